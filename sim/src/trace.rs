//! What happened in a run, in order: a hash of all of it, to prove that a seed repeats, and the text for whoever asks.
//!
//! Everything that crosses a door passes through here: bytes read and written, batches committed, tasks, log lines of the
//! server, what clients saw. It never influences the run: with the text printed or not, the hash is the same.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, span};

use crate::world::try_now;

/// Bytes of a message that are printed; all of them are hashed.
const SHOWN_BYTES_MAX: usize = 120;

/// Where the text of what happens goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    Nothing,
    Printed,
    Kept,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Line {
    pub at: Duration,
    pub who: String,
    pub what: String,
}

/// The record of one run.
pub struct Trace {
    state: Mutex<State>,
    sink: Sink,
}

struct State {
    hash: u64,
    events: u64,
    /// Virtual time of the last event.
    now: Duration,
    /// Errors that the server has logged; `None` where they are to be expected.
    errors: Option<Vec<String>>,
    /// How often the server has warned of what, or reported it as an error.
    warnings: BTreeMap<String, u64>,
    lines: Vec<Line>,
}

impl Trace {
    pub fn new(sink: Sink) -> Trace {
        let (now, errors) = (Duration::ZERO, Some(Vec::new()));
        let (warnings, lines) = (BTreeMap::new(), Vec::new());
        let state = State { hash: 0xcbf2_9ce4_8422_2325, events: 0, now, errors, warnings, lines };
        Trace { state: Mutex::new(state), sink }
    }

    /// Notes that something happened to `who`.
    pub fn event(&self, who: &str, what: fmt::Arguments<'_>) {
        let what = what.to_string();
        self.note(who, what.as_bytes(), || what.clone());
    }

    /// Notes that bytes passed by.
    pub fn bytes(&self, who: &str, verb: &str, bytes: &[u8]) {
        self.note(who, bytes, || {
            let shown = bytes[..bytes.len().min(SHOWN_BYTES_MAX)].escape_ascii();
            format!("{verb} {:>4} bytes {shown}{}", bytes.len(), if bytes.len() > SHOWN_BYTES_MAX { " …" } else { "" })
        });
    }

    fn note(&self, who: &str, content: &[u8], text: impl FnOnce() -> String) {
        let mut state = self.lock();
        state.now = try_now().unwrap_or(state.now);
        state.events += 1;
        let at = state.now.as_micros() as u64;
        for part in [&at.to_le_bytes()[..], who.as_bytes(), content, &[0xff]] {
            state.hash =
                part.iter().fold(state.hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        }
        match self.sink {
            Sink::Nothing => {}
            Sink::Printed => {
                // Whoever reads it may have seen enough.
                let _ = writeln!(io::stdout(), "{:>10.3} s  {who:<26} {}", state.now.as_secs_f64(), text());
            }
            Sink::Kept => {
                let line = Line { at: state.now, who: who.to_string(), what: text() };
                state.lines.push(line);
            }
        }
    }

    /// Tells what time it is, where no host is running that could be asked.
    pub fn set_now(&self, now: Duration) {
        self.lock().now = now;
    }

    pub fn now(&self) -> Duration {
        self.lock().now
    }

    /// FNV-1a over all events so far.
    pub fn hash(&self) -> u64 {
        self.lock().hash
    }

    pub fn events(&self) -> u64 {
        self.lock().events
    }

    /// The text that was kept.
    pub fn take_lines(&self) -> Vec<Line> {
        std::mem::take(&mut self.lock().lines)
    }

    /// How often the server has warned of what, or reported it as an error, as far as it logs each.
    pub fn warnings(&self) -> BTreeMap<String, u64> {
        self.lock().warnings.clone()
    }

    /// From here on the server may log errors: something is made to fail.
    pub fn expect_errors(&self) {
        self.lock().errors = None;
    }

    /// The errors that the server has logged without having been given a reason.
    pub fn unexpected_errors(&self) -> Vec<String> {
        self.lock().errors.clone().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the server's log into the trace.
pub struct Log(pub Arc<Trace>);

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().starts_with("bulkhead") && *metadata.level() <= Level::DEBUG
    }

    fn event(&self, event: &Event<'_>) {
        let level = *event.metadata().level();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = fields.line.trim_start();
        if level <= Level::WARN {
            *self.0.lock().warnings.entry(std::mem::take(&mut fields.message)).or_default() += 1;
        }
        if level == Level::ERROR
            && let Some(errors) = &mut self.0.lock().errors
        {
            errors.push(line.to_string());
        }
        self.0.event("log", format_args!("{level} {line}"));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// An event's message, and that and its fields in one line.
#[derive(Default)]
struct Fields {
    message: String,
    line: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}").and_then(|()| write!(self.line, " {value:?}")),
            name => write!(self.line, " {name}={value:?}"),
        };
    }
}
