//! Running one command of a request: the same for writer and readers. A panic in a command, our bug, fails that command
//! and nothing else.

use std::fmt::Display;
use std::panic::AssertUnwindSafe;

use bytes::BytesMut;

use arc_swap::ArcSwap;

use super::laps::Laps;
use crate::channel::{RequestId, StorageCommand};
use crate::config::LiveConfig;
use crate::env::{Env, panic_message};
use crate::keyspace::{CommandError, DatabaseMap, EventMask, Keyspace, KeyspaceEvents, Txn, TxnError, ValueLimits};
use crate::observe::{Category, Client, Line, Ran, Report, ServerStats, Severity, Side};
use crate::resp::{CommandArgs, ReplyBuffer};

/// What a command runs in, besides its keyspace.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    pub env: &'a Env,
    pub config: &'a LiveConfig,
    pub stats: &'a ServerStats,
    pub databases: &'a ArcSwap<DatabaseMap>,
}

impl Surroundings<'_> {
    /// A keyspace over `txn`, as of `unix_ms`; `random` seeds what commands draw. The map of databases is read here: after
    /// the transaction's view was taken.
    pub fn keyspace<'e>(&self, txn: Txn<'e>, unix_ms: u64, random: u64) -> Keyspace<'e> {
        let config = self.config.current();
        let limits = ValueLimits { bytes_max: config.network.bulk_bytes_max, encodings: config.encodings.clone() };
        let mut keyspace = Keyspace::new(txn, self.databases.load_full(), unix_ms, random, limits);
        if !config.commands.keyspace_events.is_empty() {
            keyspace.set_event_mask(EventMask::parse(&config.commands.keyspace_events));
        }
        keyspace
    }

    /// What monitors see of a command that ran just now. No storage command has a secret among its arguments.
    pub fn line(&self, client: &Client, db: usize, args: &CommandArgs) -> Line {
        let bytes_max = self.config.current().network.output_limits.monitor_bytes();
        Line::new(self.env.clock.unix_time(), db, client, args, |_| false, bytes_max)
    }

    /// Shows monitors what is over: committed, if it wrote, and not answered yet.
    pub fn show(&self, lines: Vec<Line>) {
        if !lines.is_empty() {
            self.stats.monitors.show(lines, self.config.current().network.output_limits.monitor_bytes());
        }
    }

    /// Counts what commands found.
    pub fn take_events(&self, events: KeyspaceEvents) {
        for (counter, amount) in [
            (&self.stats.keyspace_hits, events.hits),
            (&self.stats.keyspace_misses, events.misses),
            (&self.stats.expired_keys, events.expired),
        ] {
            if amount > 0 {
                counter.add(amount);
            }
        }
    }
}

/// On whose behalf a command runs.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    pub client: &'a Client,
    /// Not known of a command that never crossed the channel, or that waited for a key since.
    pub request: Option<RequestId>,
    /// Monitors are shown it when it has run; not so if they were before it waited, or if the connection shows it.
    pub is_shown: bool,
}

/// The command has to be run again, by someone who can do more, or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    Snapshot,
    Disk,
    /// It takes long, and short reads would wait for it.
    Time,
    /// Once a key has something for it.
    Ready,
}

/// Runs `command` and appends its reply to `replies`: its error, if it failed. On `Err` it appended nothing.
/// `keyspace` is left as the command left it; whether to keep that, `Ok(true)` says: it succeeded, or it is a script. It is a
/// lap of `laps`.
pub fn execute(
    state: Surroundings<'_>,
    command: &StorageCommand,
    caller: Caller<'_>,
    laps: &mut Laps<'_>,
    keyspace: &mut Keyspace<'_>,
    replies: &mut BytesMut,
) -> Result<bool, Restart> {
    execute_by(state, command, caller, laps, keyspace, replies, |keyspace, reply| {
        command.operation.run(keyspace, reply)
    })
}

/// As [`execute`], but it is `run` that runs.
pub fn execute_by(
    state: Surroundings<'_>,
    command: &StorageCommand,
    caller: Caller<'_>,
    laps: &mut Laps<'_>,
    keyspace: &mut Keyspace<'_>,
    replies: &mut BytesMut,
    run: impl FnOnce(&mut Keyspace<'_>, &mut ReplyBuffer) -> Result<(), CommandError>,
) -> Result<bool, Restart> {
    keyspace.select(command.db);
    let mut reply = ReplyBuffer::from_bytes(std::mem::take(replies), command.protocol);
    let mark = reply.mark();
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| run(keyspace, &mut reply))).unwrap_or_else(|panic| {
        let panic = panic_message(&*panic);
        let request = caller.request.as_ref().map(|id| id as &dyn Display);
        let what = "a command panicked and had no effect: this is a bug";
        let report = Report::new(Category::Panic, Severity::Error, Side::Storage, what);
        let report = report.subject(&command.name).error(&panic).client(caller.client.id).request_if(request);
        state.stats.error_log.report(state.env.clock.now(), report);
        Err(CommandError::Internal)
    });
    let mut failed = false;
    let outcome = match result {
        Ok(()) => Ok(true),
        Err(CommandError::Storage(TxnError::NeedsSnapshot)) => Err(Restart::Snapshot),
        Err(CommandError::Storage(TxnError::NeedsDisk)) => Err(Restart::Disk),
        Err(CommandError::Storage(TxnError::NeedsTime)) => Err(Restart::Time),
        Err(CommandError::WouldWait) => Err(Restart::Ready),
        Err(error) => {
            failed = true;
            if let CommandError::Storage(cause) = &error {
                let request = caller.request.as_ref().map(|id| id as &dyn Display);
                let report =
                    Report::new(cause.category(), Severity::Error, Side::Storage, "a command could not read its data");
                let report = report.subject(&command.name).error(cause).client(caller.client.id).request_if(request);
                state.stats.error_log.report(state.env.clock.now(), report);
            }
            reply.rollback(mark);
            let text = error.to_string();
            reply.error(error.reply_text());
            if !matches!(error, CommandError::Script { is_counted: true, .. }) {
                state.stats.count_error(&text);
            }
            Ok(matches!(error, CommandError::Script { .. }))
        }
    };
    if outcome.is_err() || command.silent {
        reply.rollback(mark);
    }
    *replies = reply.into_bytes();
    if outcome.is_ok() {
        let took = laps.end(&command.counters, failed);
        let ran = Ran { args: &command.args, client: caller.client, took, is_fast: command.is_fast };
        let config = state.config.current();
        // No storage command has a secret among its arguments.
        state.stats.note_if_slow(&ran, |_| false, &config.monitoring, || state.env.clock.unix_time());
    }
    let is_over = matches!(outcome, Ok(_) | Err(Restart::Ready));
    if state.stats.monitors.any() && caller.is_shown && command.is_shown && is_over {
        laps.show(state.line(caller.client, command.db, &command.args));
    }
    outcome
}
