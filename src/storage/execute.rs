//! Running one command of a request: the same for writer and readers. A panic in a command, our bug, fails that command
//! and nothing else.

use std::panic::AssertUnwindSafe;

use bytes::BytesMut;

use super::server::StorageState;
use crate::channel::StorageCommand;
use crate::env::panic_message;
use crate::keyspace::{CommandError, Keyspace, TxnError};
use crate::observe::{Client, Ran};
use crate::resp::ReplyBuffer;

/// The command has to be run again, by someone who can do more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    Snapshot,
    Disk,
}

/// Runs `command` and appends its reply to `replies`: its error, if it failed. On `Err` it appended nothing.
/// `keyspace` is left as the command left it; whether to keep that, `Ok(true)` says: it succeeded.
pub fn execute(
    state: &StorageState,
    command: &StorageCommand,
    client: &Client,
    keyspace: &mut Keyspace<'_>,
    replies: &mut BytesMut,
) -> Result<bool, Restart> {
    let started = state.env.clock.now();
    keyspace.select(command.db);
    let mut reply = ReplyBuffer::from_bytes(std::mem::take(replies), command.protocol);
    let mark = reply.mark();
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| command.operation.run(keyspace, &mut reply)))
        .unwrap_or_else(|panic| {
            tracing::error!(
                command = command.name,
                panic = panic_message(&*panic),
                "a command panicked: this is a bug"
            );
            Err(CommandError::Internal)
        });
    let outcome = match result {
        Ok(()) => Ok(true),
        Err(CommandError::Storage(TxnError::NeedsSnapshot)) => Err(Restart::Snapshot),
        Err(CommandError::Storage(TxnError::NeedsDisk)) => Err(Restart::Disk),
        Err(error) => {
            reply.rollback(mark);
            let text = error.to_string();
            reply.error(error.reply_text());
            state.stats.count_error(&text);
            Ok(false)
        }
    };
    if outcome.is_err() || command.silent {
        reply.rollback(mark);
    }
    *replies = reply.into_bytes();
    if outcome.is_ok() {
        let took = state.env.clock.now().saturating_sub(started);
        command.counters.record(took, outcome == Ok(false));
        state.stats.runtime.execute.record(took);
        let ran = Ran { args: &command.args, client, took, is_fast: command.is_fast };
        let config = state.config.current();
        // No storage command has a secret among its arguments.
        state.stats.note_if_slow(&ran, |_| false, &config.monitoring, || state.env.clock.unix_time());
    }
    outcome
}
