//! Failpoints: named places where tests, the simulation and an engineer (`DEBUG FAILPOINT`) can make the server fail.
//!
//! The crate `fail` keeps the table of what is armed; what a fault then does is up to the place. Without the features
//! `failpoints` and `simulated-failpoints` every place costs nothing: [`fault`] is a constant. Neither must ever be in a
//! release build, and a place must never do anything besides what [`CATALOGUE`] says of it.
//!
//! Armed by the environment (`FAILPOINTS=name=action;…`), by [`arm`], or by `DEBUG FAILPOINT name action`, where an action
//! is `fail`'s: `off`, `return(fault)`, `3*return(fault)` (three times), `1*off->return(fault)` (from the second time on).

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One place.
#[derive(Debug)]
pub struct Failpoint {
    pub name: &'static str,
    /// What happens there, and what each fault does.
    pub doc: &'static str,
    /// How often what was armed here has fired. Of simulated worlds each counts for itself.
    fired: AtomicU64,
}

impl Failpoint {
    const fn new(name: &'static str, doc: &'static str) -> Failpoint {
        Failpoint { name, doc, fired: AtomicU64::new(0) }
    }

    /// How often what was armed here has fired.
    pub fn fired(&self) -> u64 {
        self.fired.load(Ordering::Relaxed)
    }
}

/// What an armed place does. Words are those of `return(…)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// `drop`: what passes is lost.
    Drop,
    /// `panic`: the thread panics here.
    Panic,
    /// `stall:MS`: nothing goes on for so many milliseconds.
    Stall(Duration),
    /// `io`: an I/O error.
    Io,
    /// `no-space`: the disk is full.
    NoSpace,
    /// `corrupt`: the data read is damaged.
    Corrupt,
    /// `sync`: an fsync fails.
    Sync,
    /// `write-stall`: the engine has stopped writes.
    WriteStall,
}

/// Those that are one word.
const WORDS: &[(&str, Fault)] = &[
    ("drop", Fault::Drop),
    ("panic", Fault::Panic),
    ("io", Fault::Io),
    ("no-space", Fault::NoSpace),
    ("corrupt", Fault::Corrupt),
    ("sync", Fault::Sync),
    ("write-stall", Fault::WriteStall),
];

impl FromStr for Fault {
    type Err = String;

    fn from_str(word: &str) -> Result<Fault, String> {
        if let Some(ms) = word.strip_prefix("stall:") {
            let ms = ms.parse().map_err(|_| format!("not a number of milliseconds: {ms}"))?;
            return Ok(Fault::Stall(Duration::from_millis(ms)));
        }
        let known = WORDS.iter().find(|(known, _)| *known == word);
        known.map(|(_, fault)| *fault).ok_or_else(|| format!("unknown fault: {word}"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Stall(duration) => write!(f, "stall:{}", duration.as_millis()),
            other => f.write_str(WORDS.iter().find(|(_, fault)| fault == other).map_or("", |(word, _)| word)),
        }
    }
}

macro_rules! catalogue {
    ($($(#[doc = $doc:literal])+ $id:ident = $name:literal;)+) => {
        $($(#[doc = $doc])+ pub static $id: Failpoint = Failpoint::new($name, concat!($($doc),+));)+

        /// Every place, by name.
        pub static CATALOGUE: &[&Failpoint] = &[$(&$id),+];
    };
}

catalogue! {
    /// A request is about to be sent. `drop`: it is refused as if storage were gone.
    CHANNEL_SEND = "channel.send";
    /// A request is put into the queue. `drop`: it is lost there, before it starts.
    CHANNEL_DROP = "channel.drop";
    /// The writer has taken requests from the queue. `drop`: they are lost. `panic`, `stall`.
    WRITER_RECEIVE = "writer.receive";
    /// A group has run, and nothing of it is in the engine. `panic`, `stall`.
    WRITER_BEFORE_COMMIT = "writer.before-commit";
    /// The engine has the group, and nobody was told. `panic`, `stall`.
    WRITER_AFTER_COMMIT = "writer.after-commit";
    /// The writer is about to answer one request. `drop`: the answer is lost. `panic`.
    WRITER_REPLY = "writer.reply";
    /// The first reader has taken requests from the queue. `drop`: they are lost. `panic`, `stall`.
    READER_RECEIVE = "reader.receive";
    /// A patient reader is about to read. `panic`, `stall`.
    READER_PATIENT = "reader.patient";
    /// The engine opens. `io`, `no-space`, `corrupt`.
    ENGINE_OPEN = "engine.open";
    /// The engine looks a key up. `io`, `corrupt`, `panic`.
    ENGINE_GET = "engine.get";
    /// The engine begins to iterate. `io`, `corrupt`: the first step fails.
    ENGINE_SCAN = "engine.scan";
    /// The engine takes a write batch. `io`, `no-space`, `write-stall`: nothing is applied. `sync`: it is applied, and its
    /// sync failed. `panic`.
    ENGINE_WRITE = "engine.write";
    /// The engine has applied a write batch, and does not return. `panic`.
    ENGINE_WRITTEN = "engine.written";
    /// The engine syncs its log. `sync`, `io`, `no-space`.
    ENGINE_SYNC = "engine.sync";
    /// A connection is accepted. `drop`: it is an accept error.
    NETWORK_ACCEPT = "network.accept";
    /// A connection reads from its socket. `drop`: the peer is gone.
    NETWORK_READ = "network.read";
    /// A connection writes to its socket. `drop`: the peer is gone.
    NETWORK_WRITE = "network.write";
    /// A connection handles what it has read. `panic`: its task panics.
    NETWORK_CONNECTION = "network.connection";
    /// The engine is asked for its figures. `write-stall`: they say that it is about to stop writes.
    ENGINE_STATISTICS = "engine.statistics";
    /// The storage runtime runs, ten times a second. `drop`: it ends, under all that runs in it.
    STORAGE_RUNTIME = "storage.runtime";
    /// The sweeper, which looks after the deadlines of all connections, begins a round. `panic`.
    NETWORK_SWEEP = "network.sweep";
}

/// What is armed at `point`, if anything. Each call counts as one pass.
#[inline(always)]
pub fn fault(point: &'static Failpoint) -> Option<Fault> {
    #[cfg(feature = "simulated-failpoints")]
    if let Some(fault) = simulated::fault(point) {
        return Some(fault);
    }
    #[cfg(feature = "failpoints")]
    {
        let fired = fail::eval(point.name, |word| match word.as_deref().unwrap_or_default().parse() {
            Ok(fault) => fault,
            // So that a typing error does not go unnoticed.
            Err(error) => panic!("failpoint: {error}"),
        });
        point.fired.fetch_add(u64::from(fired.is_some()), Ordering::Relaxed);
        fired
    }
    #[cfg(not(feature = "failpoints"))]
    {
        let _ = point;
        None
    }
}

/// The table of a simulated world. All of a world runs on one thread, and so each thread has a table of its own.
#[cfg(feature = "simulated-failpoints")]
pub mod simulated {
    use std::cell::RefCell;

    use super::{Failpoint, Fault};

    /// Says what is armed at a place that is passed.
    pub type Table = Box<dyn FnMut(&'static Failpoint) -> Option<Fault>>;

    thread_local! {
        static TABLE: RefCell<Option<Table>> = const { RefCell::new(None) };
    }

    /// From now on `table` decides on this thread; `None`: nothing is armed.
    pub fn decide_by(table: Option<Table>) {
        TABLE.set(table);
    }

    pub(super) fn fault(point: &'static Failpoint) -> Option<Fault> {
        TABLE.with_borrow_mut(|table| table.as_mut().and_then(|table| table(point)))
    }
}

/// Arms the place called `name`, or says what is wrong.
#[cfg(feature = "failpoints")]
pub fn arm(name: &str, action: &str) -> Result<(), String> {
    if !CATALOGUE.iter().any(|point| point.name == name) {
        return Err(format!("there is no failpoint '{name}'"));
    }
    if let Some((_, rest)) = action.split_once("return(")
        && let Some((word, _)) = rest.split_once(')')
        && word.parse::<Fault>().is_err()
    {
        return Err(format!("there is no fault '{word}'"));
    }
    fail::cfg(name, action)
}

/// Nothing can be armed in this build.
#[cfg(not(feature = "failpoints"))]
pub fn arm(_: &str, _: &str) -> Result<(), String> {
    Err("this build has no failpoints: build with --features failpoints".into())
}

/// Arms what the environment asks for (`FAILPOINTS`). Once, at the start.
pub fn arm_from_environment() {
    #[cfg(feature = "failpoints")]
    {
        // Lives as long as the process: dropping it would disarm everything.
        std::mem::forget(fail::FailScenario::setup());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_place_says_what_it_does() {
        let mut names: Vec<&str> = CATALOGUE.iter().map(|point| point.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CATALOGUE.len());
        assert!(CATALOGUE.iter().all(|point| point.doc.contains('`')), "a place without a fault");
    }

    #[test]
    fn faults_are_read_from_their_words() {
        assert_eq!("stall:250".parse(), Ok(Fault::Stall(Duration::from_millis(250))));
        assert!("nospace".parse::<Fault>().is_err() && "stall:long".parse::<Fault>().is_err());
        for (word, fault) in WORDS {
            assert_eq!((word.parse(), fault.to_string().as_str()), (Ok(*fault), *word));
        }
    }
}
