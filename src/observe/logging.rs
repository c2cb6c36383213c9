//! The log, in Redis' line format or as JSON, to standard output or to `logfile`.
//!
//! It must never make the thread that logs wait for a disk: lines pass through a bounded queue to a thread of their
//! own, and are dropped, counted and reported when it cannot keep up. Nor may a value break a line in two.

use std::fmt::{self, Write as _};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use super::Json;
use crate::config::{Config, LogConfig, LogFormat, LogLevel};
use crate::limits::LOG_LINES_WAITING_MAX;

/// The running log. Dropping it writes out what waits.
#[derive(Debug)]
pub struct LogHandle {
    queue: SyncSender<Entry>,
    writer: Option<JoinHandle<()>>,
}

/// How the log that was started is kept. A process has one log, as it has one standard output, however many servers it
/// holds; in tests and simulations it has none.
static STYLE: OnceLock<Arc<Style>> = OnceLock::new();

/// The wall clock of the environment.
type UnixTime = Box<dyn Fn() -> Duration + Send + Sync>;

/// What can change while the log is kept, and the clock.
struct Style {
    /// For the date of a line.
    unix_time: UnixTime,
    /// A [`LogLevel`].
    level: AtomicU8,
    /// A [`LogFormat`].
    format: AtomicU8,
    /// Past this size the file is renamed; 0: never.
    file_bytes_max: AtomicU64,
    files_kept: AtomicU64,
}

impl Style {
    fn new(config: &LogConfig, unix_time: UnixTime) -> Style {
        Style {
            unix_time,
            level: AtomicU8::new(config.level as u8),
            format: AtomicU8::new(config.format as u8),
            file_bytes_max: AtomicU64::new(config.file_bytes_max),
            files_kept: AtomicU64::new(config.files_kept),
        }
    }

    fn set(&self, config: &LogConfig) {
        self.format.store(config.format as u8, Ordering::Relaxed);
        self.file_bytes_max.store(config.file_bytes_max, Ordering::Relaxed);
        self.files_kept.store(config.files_kept, Ordering::Relaxed);
        if self.level.swap(config.level as u8, Ordering::Relaxed) != config.level as u8 {
            // Every call site remembers whether it is enabled, and has to be asked again.
            tracing::callsite::rebuild_interest_cache();
        }
    }
}

/// CONFIG SET loglevel, log-format, logfile-max-size, logfile-keep.
pub fn set_log_style(config: &LogConfig) {
    if let Some(style) = STYLE.get() {
        style.set(config);
    }
}

impl Drop for LogHandle {
    fn drop(&mut self) {
        let _ = self.queue.send(Entry::Stop);
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// Starts the log of this process, once; its lines are dated by `unix_time`. Fails when `logfile` cannot be written.
pub fn start_logging(
    config: &Config,
    unix_time: impl Fn() -> Duration + Send + Sync + 'static,
) -> io::Result<LogHandle> {
    let file = config.log.file.as_ref().map(|file| config.storage.dir.join(file));
    if let Some(path) = &file {
        // Opened again for every batch; tried here, while somebody looks.
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        open(path).map_err(|error| io::Error::new(error.kind(), format!("logfile {}: {error}", path.display())))?;
    }
    let (layer, handle) = pipeline(&config.log, file, Box::new(unix_time))?;
    let style = layer.style.clone();
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::set_global_default(subscriber).map_err(io::Error::other)?;
    // Only the log whose subscriber was taken gets here, and that is the first.
    STYLE.get_or_init(|| style);
    Ok(handle)
}

fn pipeline(config: &LogConfig, file: Option<PathBuf>, unix_time: UnixTime) -> io::Result<(Lines, LogHandle)> {
    let style = Arc::new(Style::new(config, unix_time));
    let dropped = Arc::new(AtomicU64::new(0));
    let (queue, entries) = sync_channel(LOG_LINES_WAITING_MAX);
    let layer = Lines { style: style.clone(), queue: queue.clone(), dropped: dropped.clone() };
    let writer = std::thread::Builder::new()
        .name("log".into())
        .spawn(move || write_entries(&entries, file, &dropped, &style))?;
    Ok((layer, LogHandle { queue, writer: Some(writer) }))
}

enum Entry {
    Line(String),
    Stop,
}

/// Turns events into lines.
struct Lines {
    style: Arc<Style>,
    queue: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

impl Lines {
    fn threshold(&self) -> LevelFilter {
        match self.style.level.load(Ordering::Relaxed) {
            level if level == LogLevel::Debug as u8 => LevelFilter::TRACE,
            level if level == LogLevel::Warning as u8 => LevelFilter::WARN,
            // Nothing of ours is less than a notice and more than debugging.
            _ => LevelFilter::INFO,
        }
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= self.threshold()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.threshold())
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let (level, room) = (*event.metadata().level(), room(event.metadata().target()));
        if let Some(room) = room.filter(|_| level <= Level::WARN || self.style.is_json()) {
            // Which side a problem is on, for those who watch one side.
            text.field("room", room, false);
        }
        if self.queue.try_send(Entry::Line(self.style.line(level, &text))).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// `storage` of `bulkhead::storage::writer`.
fn room(target: &str) -> Option<&str> {
    target.split("::").nth(1)
}

impl Style {
    fn is_json(&self) -> bool {
        self.format.load(Ordering::Relaxed) == LogFormat::Json as u8
    }

    /// What the log has to say of itself.
    fn own_line(&self, message: String) -> String {
        self.line(Level::WARN, &Text { message, ..Text::default() })
    }

    fn line(&self, level: Level, text: &Text) -> String {
        let unix_time = (self.unix_time)();
        if self.is_json() { json_line(unix_time, level, text) } else { line(unix_time, level, text) }
    }
}

/// `{"time":"2026-11-24T05:13:01.371Z","level":"info","pid":15085,"message":"listening","address":"127.0.0.1:6379"}`
fn json_line(unix_time: Duration, level: Level, text: &Text) -> String {
    let seconds = unix_time.as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let millis = unix_time.subsec_millis();
    let mut json = Json::new();
    json.object(|json| {
        let time = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z");
        json.key("time").string(&time);
        json.key("level").string(&level.as_str().to_ascii_lowercase());
        json.key("pid").number(std::process::id());
        json.key("message").string(&text.message);
        for (name, value, is_literal) in &text.fields {
            match is_literal {
                true => json.key(name).number(value),
                false => json.key(name).string(value),
            }
        }
    });
    json.into_text() + "\n"
}

/// `15085:M 24 Nov 2026 05:13:01.371 * Ready to accept connections port=6379`, the date in UTC.
fn line(unix_time: Duration, level: Level, text: &Text) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = unix_time.as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let mark = match level {
        Level::TRACE | Level::DEBUG => '.',
        Level::INFO => '*',
        _ => '#',
    };
    let (process, millis, month) = (std::process::id(), unix_time.subsec_millis(), MONTHS[month as usize - 1]);
    let message: String = text.message.chars().flat_map(printable).collect();
    let mut fields = String::new();
    for (name, value, _) in &text.fields {
        let plain = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
        // Writing to a string cannot fail.
        let _ = match plain {
            true => write!(fields, " {name}={value}"),
            false => write!(fields, " {name}={value:?}"),
        };
    }
    format!(
        "{process}:M {day:02} {month} {year} {hour:02}:{minute:02}:{second:02}.{millis:03} {mark} {message}{fields}\n"
    )
}

/// The year, month and day of a day counted from 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms"):
/// years begin in March, so that the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// An event's message, and its other fields: name, value, and whether the value is a number or the like.
#[derive(Default)]
struct Text {
    message: String,
    fields: Vec<(String, String, bool)>,
}

impl Text {
    fn field(&mut self, name: &str, value: &str, is_literal: bool) {
        self.fields.push((name.to_string(), value.to_string(), is_literal));
    }
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
            // Fields whose names are known at run time only: `name=value name=value`.
            "figures" => value
                .split_ascii_whitespace()
                .filter_map(|figure| figure.split_once('='))
                .for_each(|(name, value)| self.field(name, value, value.parse::<f64>().is_ok_and(f64::is_finite))),
            name => self.field(name, value, false),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field.name(), &value.to_string(), true);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field.name(), &value.to_string(), true);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field.name(), &value.to_string(), true);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// A character as a line can show it: control characters become escapes.
fn printable(character: char) -> impl Iterator<Item = char> {
    let escape = character.is_control().then(|| character.escape_default());
    let itself = escape.is_none().then_some(character);
    escape.into_iter().flatten().chain(itself)
}

/// The writer's thread: everything that waits is written at once.
fn write_entries(entries: &Receiver<Entry>, file: Option<PathBuf>, dropped: &AtomicU64, style: &Style) {
    let mut stop = false;
    // The file could not be renamed, which is said once.
    let mut is_stuck = false;
    while !stop && let Ok(first) = entries.recv() {
        let mut lines = String::new();
        for entry in std::iter::once(first).chain(entries.try_iter().take(LOG_LINES_WAITING_MAX)) {
            match entry {
                Entry::Line(line) => lines.push_str(&line),
                Entry::Stop => stop = true,
            }
        }
        if let lost @ 1.. = dropped.swap(0, Ordering::Relaxed) {
            lines.push_str(&style.own_line(format!("{lost} log lines were dropped: the log is written too slowly")));
        }
        match file.as_ref().filter(|_| !lines.is_empty()).map(|path| rotate(path, lines.len() as u64, style)) {
            None | Some(Ok(())) => is_stuck = false,
            Some(Err(error)) if !std::mem::replace(&mut is_stuck, true) => {
                lines.push_str(&style.own_line(format!("the log file could not be renamed, and grows: {error}")));
            }
            Some(Err(_)) => {}
        }
        let written = match &file {
            None => io::stdout().write_all(lines.as_bytes()),
            Some(path) => open(path).and_then(|mut file| file.write_all(lines.as_bytes())),
        };
        if written.is_err() {
            // A full disk should not silence its own report; if this fails too there is nobody left to tell.
            let _ = io::stderr().write_all(lines.as_bytes());
        }
    }
}

/// Renames the file out of the way if `more` bytes would take it past its size. The highest number goes first, so that
/// whatever fails in between loses nothing.
fn rotate(path: &Path, more: u64, style: &Style) -> io::Result<()> {
    let (bytes_max, kept) = (style.file_bytes_max.load(Ordering::Relaxed), style.files_kept.load(Ordering::Relaxed));
    let bytes = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        // Not there yet, or `/dev/stdout` and the like.
        _ => return Ok(()),
    };
    if bytes_max == 0 || bytes == 0 || bytes + more <= bytes_max {
        return Ok(());
    }
    let numbered = |number: u64| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    for number in (1..kept).rev() {
        rename_if_there(&numbered(number), &numbered(number + 1))?;
    }
    rename_if_there(path, &numbered(1))
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => renamed,
    }
}

/// Opened anew for every batch of lines, as Redis does for every line: what logrotate moved away is found missing and
/// created again, without a signal.
fn open(path: &Path) -> io::Result<std::fs::File> {
    OpenOptions::new().append(true).create(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::registry;

    /// What is in `file` after `events` were logged at `level`, without the process and the date of each line.
    fn logged(level: LogLevel, events: impl FnOnce(&Style, &Path)) -> String {
        let config = LogConfig { level, ..LogConfig::default() };
        written(&config, events).lines().map(|line| line.splitn(6, ' ').last().unwrap().to_string() + "\n").collect()
    }

    /// What is in `file` after `events` were logged.
    fn written(config: &LogConfig, events: impl FnOnce(&Style, &Path)) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("server.log");
        let (layer, handle) =
            pipeline(config, Some(path.clone()), Box::new(|| Duration::from_millis(1_795_497_361_503))).unwrap();
        let style = layer.style.clone();
        tracing::subscriber::with_default(registry().with(layer), || events(&style, &path));
        drop(handle);
        std::fs::read_to_string(&path).unwrap()
    }

    #[test]
    fn a_line_reads_as_redis_writes_it() {
        let text = Text { message: "Ready".into(), fields: vec![("port".into(), "1".into(), true)] };
        let pid = std::process::id();
        for (unix_ms, level, expected) in [
            (1_795_497_361_503, Level::INFO, "24 Nov 2026 05:16:01.503 * Ready port=1\n"),
            (0, Level::DEBUG, "01 Jan 1970 00:00:00.000 . Ready port=1\n"),
            (951_782_400_000, Level::WARN, "29 Feb 2000 00:00:00.000 # Ready port=1\n"),
            (4_107_542_399_999, Level::ERROR, "28 Feb 2100 23:59:59.999 # Ready port=1\n"),
            (4_107_542_400_000, Level::TRACE, "01 Mar 2100 00:00:00.000 . Ready port=1\n"),
        ] {
            assert_eq!(line(Duration::from_millis(unix_ms), level, &text), format!("{pid}:M {expected}"));
        }
    }

    #[test]
    fn fields_follow_the_message_and_nothing_breaks_a_line() {
        let text = logged(LogLevel::Debug, |_, _| {
            tracing::info!(request = %"01-ab", client = 7, "served");
            tracing::debug!(error = "no\nspace", empty = "", "two\nlines");
            tracing::warn!(target: "bulkhead::storage::writer", "stalled");
        });
        let expected = concat!(
            "* served request=01-ab client=7\n",
            ". two\\nlines error=\"no\\nspace\" empty=\"\"\n",
            "# stalled room=storage\n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn the_level_changes_while_the_server_runs() {
        let text = logged(LogLevel::Warning, |style, _| {
            let say = |word| tracing::info!("{word}");
            say("unheard");
            style.set(&LogConfig { level: LogLevel::Notice, ..LogConfig::default() });
            say("heard");
            tracing::debug!("unheard");
        });
        assert_eq!(text, "* heard\n");
    }

    #[test]
    fn a_json_line_is_one_object_with_numbers_as_numbers() {
        let config = LogConfig { format: LogFormat::Json, ..LogConfig::default() };
        let text = written(&config, |style, _| {
            tracing::warn!(target: "bulkhead::storage::writer", requests = 7, ok = false, error = "no\n\"space\"", "stalled");
            tracing::info!(figures = " ready=1 load=0.50 phase=serving", "figures");
            style.set(&LogConfig::default());
            tracing::info!("plain again");
        });
        let [first, figures, second] = text.trim_end().split('\n').collect::<Vec<_>>()[..] else { panic!("{text}") };
        assert!(figures.contains(r#""message":"figures","ready":1,"load":0.50,"phase":"serving","#), "{figures}");
        let pid = std::process::id();
        let (time, rest) = first.split_once(",\"level\":").unwrap();
        assert!(time.starts_with("{\"time\":\"20") && time.ends_with("Z\""), "{time}");
        let expected = format!(
            r#""warn","pid":{pid},"message":"stalled","requests":7,"ok":false,"error":"no\n\"space\"","room":"storage"}}"#
        );
        assert_eq!(rest, expected);
        assert!(second.ends_with(" * plain again"), "{second}");
        let line = json_line(Duration::from_millis(1_795_497_361_503), Level::INFO, &Text::default());
        assert_eq!(
            line,
            format!("{{\"time\":\"2026-11-24T05:16:01.503Z\",\"level\":\"info\",\"pid\":{pid},\"message\":\"\"}}\n")
        );
    }

    /// Says `word` and waits until it is written: lines that wait together are written together.
    fn say(path: &Path, word: &str) {
        tracing::info!("{word}");
        let written =
            |path: &Path| std::fs::read_to_string(path).is_ok_and(|text| text.ends_with(&format!(" {word}\n")));
        while !written(path) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_file_that_is_full_is_numbered_and_the_oldest_go() {
        let config = LogConfig { level: LogLevel::Notice, file_bytes_max: 90, files_kept: 2, ..LogConfig::default() };
        let text = written(&config, |style, path| {
            let numbered = |number: u32| std::fs::read_to_string(format!("{}.{number}", path.display()));
            let words = |text: String| -> Vec<String> {
                text.lines().map(|line| line.rsplit_once(' ').unwrap().1.to_string()).collect()
            };
            // Two lines fit, a third does not.
            for word in ["a", "b", "c", "d", "e", "f", "g"] {
                say(path, word);
            }
            let files = [numbered(1), numbered(2)].map(|text| words(text.unwrap()));
            assert_eq!(files, [["e", "f"], ["c", "d"]]);
            assert!(numbered(3).is_err(), "two are kept");
            style.set(&LogConfig { file_bytes_max: 0, ..config.clone() });
            say(path, "h");
            say(path, "i");
            // What cannot be renamed is written anyway.
            std::fs::remove_file(path.with_extension("log.1")).unwrap();
            std::fs::create_dir(path.with_extension("log.1")).unwrap();
            style.set(&LogConfig { files_kept: 1, ..config.clone() });
            tracing::info!("j");
        });
        let words: Vec<&str> = text.lines().map(|line| line.split_once(" * ").map_or("#", |line| line.1)).collect();
        assert_eq!(words, ["g", "h", "i", "j", "#"], "{text}");
    }

    #[test]
    fn a_file_that_was_rotated_away_is_created_again() {
        let text = logged(LogLevel::Notice, |_, path| {
            tracing::info!("before");
            while !std::fs::read_to_string(path).is_ok_and(|text| text.ends_with("* before\n")) {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::fs::rename(path, path.with_extension("1")).unwrap();
            tracing::info!("after");
        });
        assert_eq!(text, "* after\n");
    }
}
