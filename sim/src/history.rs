//! What a run came to, as its clients saw it, and what befell the server meanwhile: all that the oracles may look at.
//!
//! It is written down while the run goes on and never influences it.

use std::time::Duration;

use bulkhead::resp::Value;

use crate::plan::Fault;

/// A place in [`History::operations`].
pub type OperationId = usize;

/// One command that a client sent.
#[derive(Clone, Debug)]
pub struct Operation {
    pub client: String,
    /// Which of all connections it went through.
    pub connection: usize,
    /// Which of all pipelines it was sent in, and how many commands that had.
    pub pipeline: usize,
    pub pipeline_len: usize,
    /// As typed into redis-cli.
    pub line: String,
    pub args: Vec<Vec<u8>>,
    /// The logical database that was selected.
    pub db: usize,
    pub invoked: Duration,
    /// When the reply had arrived, whatever it says.
    pub returned: Option<Duration>,
    pub outcome: Outcome,
    /// The client took its time to read, so that the reply's time says nothing.
    pub dawdled: bool,
    /// When the client, waiting for the reply, lost its connection or its patience.
    pub given_up: Option<Duration>,
}

/// What the client knows of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It was executed, and this is what it said.
    Reply(Value),
    /// The server says that it was not executed.
    Refused(Value),
    /// It may have been executed.
    Unknown,
}

impl Outcome {
    /// What a reply says.
    pub fn of(reply: Value) -> Outcome {
        /// Codes with which the server says that it did not execute a command.
        const REFUSALS: &[&str] =
            &["TRYAGAIN", "NOSPACE", "READONLY", "IOERR", "CORRUPT", "ERR internal error", "ERR max number of clients"];
        match &reply {
            Value::Error(text) if text.starts_with(b"INDOUBT") => Outcome::Unknown,
            Value::Error(text) if REFUSALS.iter().any(|code| text.starts_with(code.as_bytes())) => {
                Outcome::Refused(reply)
            }
            _ => Outcome::Reply(reply),
        }
    }
}

impl Operation {
    /// A reply that was not a refusal.
    pub fn reply(&self) -> Option<&Value> {
        match &self.outcome {
            Outcome::Reply(value) => Some(value),
            _ => None,
        }
    }

    /// Executed, and not with an error.
    pub fn is_acknowledged(&self) -> bool {
        self.reply().is_some_and(|reply| !matches!(reply, Value::Error(_)))
    }

    pub fn is_refused(&self) -> bool {
        matches!(self.outcome, Outcome::Refused(_))
    }
}

/// A published message, as somebody heard it.
#[derive(Clone, Debug)]
pub struct Message {
    pub at: Duration,
    /// The channel or pattern that it came by.
    pub topic: String,
    pub channel: Vec<u8>,
    pub payload: Vec<u8>,
}

/// A time in which a client listened to channels and patterns.
#[derive(Clone, Debug)]
pub struct Listening {
    pub client: String,
    pub topics: Vec<String>,
    /// When all subscriptions were confirmed.
    pub since: Option<Duration>,
    /// What was published up to then it waited for.
    pub until: Duration,
    /// Its connection broke at that time.
    pub is_lost: bool,
    pub messages: Vec<Message>,
}

/// An attempt to connect.
#[derive(Clone, Debug)]
pub struct Connecting {
    pub client: String,
    pub began: Duration,
    pub ended: Duration,
    pub is_connected: bool,
}

/// How a process ended, for what survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Whatever was acknowledged is there.
    Nothing,
    /// The power failed: what was not synced may be lost, from some point on.
    Unsynced,
}

/// The end of a server's process: what was on its way either happened before or never.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub at: Duration,
    pub loss: Loss,
    /// When the next one was started.
    pub started: Option<Duration>,
}

/// Something that lasted.
#[derive(Clone, Copy, Debug)]
pub struct Spell {
    pub fault: Fault,
    pub from: Duration,
    pub to: Duration,
}

/// What was found at the end, with everything healed and nobody else connected.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// When INFO was asked for, the last time.
    pub at: Duration,
    /// INFO's fields, as text.
    pub info: String,
    /// Keys that are there, and what DBSIZE says, for each database.
    pub keys: Vec<(usize, usize, i64)>,
}

#[derive(Debug, Default)]
pub struct History {
    pub operations: Vec<Operation>,
    pub connecting: Vec<Connecting>,
    pub listenings: Vec<Listening>,
    pub ended: Vec<Ended>,
    pub spells: Vec<Spell>,
    /// Jumps of the wall clock, in milliseconds.
    pub jumps: Vec<(Duration, i64)>,
    /// When everything was healed, and when the server had answered a write and a read after that.
    pub healed: Option<Duration>,
    pub recovered: Option<Duration>,
    /// One each time the auditor was through.
    pub inventories: Vec<Inventory>,
    pub pipelines: usize,
    pub connections: usize,
}

impl History {
    /// Spells of a kind that touch the time between `from` and `to`.
    pub fn spells_during(&self, from: Duration, to: Duration, which: impl Fn(&Fault) -> bool) -> bool {
        self.spells.iter().any(|spell| which(&spell.fault) && spell.from <= to && from <= spell.to)
    }
}
