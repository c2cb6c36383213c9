//! EXEC in the storage runtime: its commands one after the other, and their replies as one. The same for writer and
//! readers; that nothing comes in between is the caller's part.

use bytes::BytesMut;

use super::execute::{Caller, Restart, Surroundings};
use super::laps::Laps;
use crate::channel::{Step, StorageCommand, Transaction};
use crate::resp::ReplyBuffer;

/// Runs all commands of `transaction` by `run`, which appends their replies. Returns where each step's reply ends, if
/// the replies are asked for in parts. On `Err` nothing is appended.
pub fn run_all(
    transaction: &Transaction,
    replies: &mut BytesMut,
    mut run: impl FnMut(&StorageCommand, &mut BytesMut) -> Result<(), Restart>,
) -> Result<Option<Vec<usize>>, Restart> {
    let begin = replies.len();
    if !transaction.in_parts && !transaction.silent {
        let mut reply = ReplyBuffer::from_bytes(std::mem::take(replies), transaction.protocol);
        reply.array(transaction.steps.len());
        *replies = reply.into_bytes();
    }
    let mut ends = Vec::new();
    for step in &transaction.steps {
        match step {
            Step::Run(command) => {
                if let Err(restart) = run(command, replies) {
                    replies.truncate(begin);
                    return Err(restart);
                }
            }
            Step::Reply(bytes) => replies.extend_from_slice(bytes),
            Step::Exec(_) | Step::Wait(_) => unreachable!("invariant: transactions neither nest nor wait"),
        }
        if transaction.in_parts {
            ends.push(replies.len());
        }
    }
    Ok(transaction.in_parts.then_some(ends))
}

/// Monitors see EXEC behind what it ran.
pub fn show(transaction: &Transaction, state: Surroundings<'_>, caller: Caller<'_>, laps: &mut Laps<'_>) {
    if state.stats.monitors.any() && !transaction.in_parts {
        laps.show(state.line(caller.client, transaction.db, &transaction.exec));
    }
}

/// The reply to an EXEC of which nothing was run: by `write`, unless it is not wanted.
pub fn refuse(transaction: &Transaction, replies: &mut BytesMut, write: impl FnOnce(&mut ReplyBuffer)) {
    if !transaction.silent {
        let mut reply = ReplyBuffer::from_bytes(std::mem::take(replies), transaction.protocol);
        write(&mut reply);
        *replies = reply.into_bytes();
    }
}
