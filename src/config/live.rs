//! The configuration of a running server: CONFIG GET, CONFIG SET and CONFIG REWRITE, in Redis 7.0's words.
//!
//! Readers take a consistent [`Config`] without waiting; changes are made one at a time, all or nothing. Nothing here
//! touches a file or a socket: the caller does, and a change that it could not carry out does not happen.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::directive::{Change, Directive};
use super::error::{ConfigErrors, ConfigSetError, NoConfigFile};
use super::invocation::{CommandLine, ConfigFiles, Loaded};
use super::model::{Config, Machine};
use super::settings::Settings;
use super::table::{self, DIRECTIVES};
use super::text::split_words;
use super::value::Value;
use crate::glob;

/// A configuration that can be changed while it is read.
#[derive(Debug)]
pub struct LiveConfig {
    current: ArcSwap<Config>,
    /// What `current` was made from. Held while a change is made, never by a reader of `current`.
    settings: Mutex<Settings>,
    machine: Machine,
    file: Option<PathBuf>,
    line: CommandLine,
    reload: Notify,
}

/// Names and values, as CONFIG SET takes them.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

impl LiveConfig {
    /// Begins with what was read at the start.
    pub fn new(loaded: Loaded) -> LiveConfig {
        LiveConfig {
            current: ArcSwap::from_pointee(loaded.config),
            settings: Mutex::new(loaded.settings),
            machine: loaded.machine,
            file: loaded.file,
            line: loaded.line,
            reload: Notify::new(),
        }
    }

    /// SIGHUP: asks for the files to be read again.
    pub fn request_reload(&self) {
        self.reload.notify_one();
    }

    /// Resolves when that was asked for.
    pub async fn reload_requested(&self) {
        self.reload.notified().await;
    }

    /// Reads files and flags anew, as at the start. Returns what CONFIG SET has to be told for them to hold, and the
    /// directives that say something else than what holds and can change at a start only.
    pub fn reload(&self, files: &mut dyn ConfigFiles) -> Result<(Pairs, Vec<&'static str>), ConfigErrors> {
        let loaded = self.line.load(&self.machine, files)?;
        let settings = self.settings.lock();
        let (mut pairs, mut fixed) = (Pairs::new(), Vec::new());
        for (index, row) in DIRECTIVES.iter().enumerate() {
            let wanted = loaded.settings.value(index);
            match row.change {
                _ if wanted == settings.value(index) => {}
                Change::Live => pairs.push((row.name.into(), wanted.text())),
                Change::Fixed | Change::Protected | Change::FileOnly => fixed.push(row.name),
            }
        }
        Ok((pairs, fixed))
    }

    /// The configuration as of now. Whoever needs two values that belong together takes them from one of these.
    /// Asked several times a request, so it lends rather than counts a reference; keep it for a moment only.
    pub fn current(&self) -> Guard<Arc<Config>> {
        self.current.load()
    }

    /// CONFIG GET: names and values that match, each once, in the order of the patterns and within one of the table.
    ///
    /// A name without `* ? [` is looked up as such, in any case, and comes back as it was spelled.
    pub fn get(&self, patterns: &[&[u8]]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let settings = self.settings.lock();
        let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut add = |name: &[u8], index: usize| {
            if !found.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                found.push((name.to_vec(), settings.value(index).text()));
            }
        };
        for &pattern in patterns {
            if !pattern.iter().any(|byte| b"*?[".contains(byte)) {
                if let Some((index, _)) = find(pattern) {
                    add(pattern, index);
                }
                continue;
            }
            for (index, row) in DIRECTIVES.iter().enumerate() {
                for name in [Some(row.name), row.alias].into_iter().flatten() {
                    let listed = row.change != Change::FileOnly && !row.hidden;
                    if listed && glob::matches_nocase(pattern, name.as_bytes()) {
                        add(name.as_bytes(), index);
                    }
                }
            }
        }
        found
    }

    /// CONFIG SET: gives directives new values, all or none, and returns those whose value is another than before.
    ///
    /// `carry_out` is called with the configuration that is about to hold and the rows that changed, before anyone
    /// sees it, and may refuse with the name of a directive and a reason (a port that is taken). Other changes wait
    /// for it, so it must be quick; slow consequences belong after this returns.
    pub fn set<C>(&self, pairs: &[(&[u8], &[u8])], carry_out: C) -> Result<Vec<&'static Directive>, ConfigSetError>
    where
        C: FnOnce(&Config, &[&'static Directive]) -> Result<(), (&'static str, String)>,
    {
        let mut settings = self.settings.lock();
        let (wanted, config) = self.with(&settings, pairs)?;
        let changed = wanted.changed_since(&settings);
        carry_out(&config, &changed).map_err(|(name, reason)| failed(name, reason))?;
        *settings = wanted;
        self.current.store(Arc::new(config));
        Ok(changed)
    }

    /// What [`LiveConfig::set`] would do: the configuration that would hold, and the rows that would change.
    pub fn check(&self, pairs: &[(&[u8], &[u8])]) -> Result<(Config, Vec<&'static Directive>), ConfigSetError> {
        let settings = self.settings.lock();
        let (wanted, config) = self.with(&settings, pairs)?;
        Ok((config, wanted.changed_since(&settings)))
    }

    /// The settings with new values for some directives, and what they mean together.
    fn with(&self, settings: &Settings, pairs: &[(&[u8], &[u8])]) -> Result<(Settings, Config), ConfigSetError> {
        let refused = |name: &[u8], reason: &str| failed(&String::from_utf8_lossy(name), reason.into());

        // All names first: one bad name must not depend on the values before it.
        let mut named: Vec<(usize, &'static str)> = Vec::with_capacity(pairs.len());
        for (name, _) in pairs {
            let unknown = || ConfigSetError::Unknown(String::from_utf8_lossy(name).into_owned());
            let (index, spelled) = find(name).ok_or_else(unknown)?;
            match DIRECTIVES[index].change {
                Change::Fixed | Change::FileOnly => return Err(refused(name, "can't set immutable config")),
                Change::Protected => return Err(refused(name, "can't set protected config")),
                // As in Redis, a name and its alias are two: the later one wins.
                Change::Live if named.contains(&(index, spelled)) => return Err(refused(name, "duplicate parameter")),
                Change::Live => named.push((index, spelled)),
            }
        }

        let mut wanted = settings.clone();
        for ((index, spelled), (_, value)) in named.iter().zip(pairs) {
            let many = DIRECTIVES[*index].kind.takes_many_words();
            let words: Vec<&[u8]> = if many { value.split(|byte| *byte == b' ').collect() } else { vec![value] };
            wanted.set(*index, &words, false).map_err(|cause| failed(spelled, cause.to_string()))?;
        }
        let config = wanted.config(&self.machine).map_err(|conflicts| {
            // Of several (there is at least one), the one that this command named.
            let said = |name: &str| named.iter().any(|(index, _)| DIRECTIVES[*index].name == name);
            let (name, cause) = conflicts.iter().find(|(name, _)| said(name)).unwrap_or(&conflicts[0]);
            failed(name, cause.to_string())
        })?;
        Ok((wanted, config))
    }

    /// The file that CONFIG REWRITE reads and replaces.
    pub fn file(&self) -> Result<&Path, NoConfigFile> {
        self.file.as_deref().ok_or(NoConfigFile)
    }

    /// CONFIG REWRITE: the new text of a file whose text is `original` (empty where the file is gone).
    ///
    /// Lines that still say what holds stay byte for byte, comments and order included. Of a directive that changed,
    /// its lines are replaced where they stand; what the file does not mention and is not the default is appended
    /// below a mark. A line that could not be read again becomes a comment, as in Redis.
    pub fn rewrite(&self, original: &str) -> String {
        const MARK: &str = "# Generated by CONFIG REWRITE";
        let settings = self.settings.lock();
        let mut lines: Vec<Option<String>> = original.lines().map(|line| Some(line.to_string())).collect();

        // Which lines speak of which row.
        let mut places: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut said = Settings::defaults();
        for (place, line) in lines.iter_mut().enumerate() {
            let Some(text) = line.as_deref().map(str::trim_ascii) else { continue };
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let words = split_words(text.as_bytes()).unwrap_or_default();
            let Some((name, values)) = words.split_first() else {
                *line = Some(format!("# ??? {text}"));
                continue;
            };
            if name.eq_ignore_ascii_case(b"include") {
                continue;
            }
            let Some((index, _)) = table::find(name) else {
                *line = Some(format!("# ??? {text}"));
                continue;
            };
            let places = places.entry(index).or_default();
            let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
            // A value that cannot be read says nothing; the line is then replaced below if something else holds.
            _ = said.set(index, &values, !places.is_empty());
            places.push(place);
        }

        let mut appended = Vec::new();
        for (index, row) in DIRECTIVES.iter().enumerate() {
            let (now, said) = (settings.value(index), said.value(index));
            if now == said || row.change == Change::FileOnly {
                continue;
            }
            let mut places = places.remove(&index).unwrap_or_default().into_iter();
            for value in now.lines().into_iter().filter(|line| !is_default_class(row, now, line)) {
                let text = format!("{} {value}", row.name);
                match places.next() {
                    Some(place) => lines[place] = Some(text),
                    None => appended.push(text),
                }
            }
            places.for_each(|place| lines[place] = None);
        }

        let mut rewritten: Vec<String> = lines.into_iter().flatten().collect();
        if !appended.is_empty() && !rewritten.iter().any(|line| line == MARK) {
            rewritten.push(MARK.into());
        }
        rewritten.extend(appended);
        rewritten.iter().map(|line| format!("{line}\n")).collect()
    }
}

fn failed(argument: &str, reason: String) -> ConfigSetError {
    ConfigSetError::Failed { argument: argument.into(), reason }
}

/// Whether a line concerns one class of clients, which stands at its default: it need not be written.
fn is_default_class(row: &Directive, value: &Value, line: &str) -> bool {
    matches!(value, Value::OutputLimits(_)) && row.default_value().lines().iter().any(|default| default == line)
}

/// The row of a name that CONFIG GET and SET know.
fn find(name: &[u8]) -> Option<(usize, &'static str)> {
    table::find(name).filter(|(index, _)| DIRECTIVES[*index].change != Change::FileOnly)
}
