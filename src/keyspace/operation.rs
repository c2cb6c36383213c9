//! What runs against a keyspace: the form in which a command crosses into the storage runtime.

use std::time::Duration;

use bytes::Bytes;

use super::{CommandError, Keyspace, Type};
use crate::resp::ReplyBuffer;

/// A parsed command that runs in the storage runtime.
///
/// `run` may be called more than once: a read is started again when it turns out to need the disk or a snapshot. A run
/// that fails leaves no trace: its writes and what it put into `reply` are undone by the caller.
pub trait Operation: Send + Sync + std::fmt::Debug {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<(), CommandError>;

    /// Whether one run may take more than about a millisecond (KEYS, say): then it goes to a reader of its own, so
    /// that it does not hold up short reads.
    fn is_long(&self) -> bool {
        false
    }

    /// Of a command that may wait until a key has something for it: how it does. Its `run` is [`run_waiting`], or fails
    /// with [`CommandError::WouldWait`] as that does.
    fn waits(&self) -> Option<&dyn Wait> {
        None
    }
}

/// A command that waits for data: BLPOP and its like.
pub trait Wait: Send + Sync + std::fmt::Debug {
    /// The keys to look at, in order.
    fn keys(&self) -> &[Bytes];

    /// What they have to hold.
    fn kind(&self) -> Type;

    /// How long it waits at most; `None`: for ever.
    fn timeout(&self) -> Option<Duration>;

    /// Takes what it is after from `key` and replies. `false`: there is nothing, and nothing was done.
    fn serve(&self, key: &Bytes, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<bool, CommandError>;

    /// Of a command that is after what comes when it has begun to wait: what waits in its place, and knows what was there
    /// then. It is made when the command has found nothing; and once more if what had been there by then was not kept.
    fn settle(&self, _keyspace: &mut Keyspace<'_>) -> Result<Option<Box<dyn Operation>>, CommandError> {
        Ok(None)
    }

    /// What its client is told once the key is gone, or holds something else. `None`: it waits on.
    fn lost(&self) -> Option<CommandError> {
        None
    }

    /// What it replies in a transaction, where it may not wait.
    fn reply_nothing(&self, reply: &mut ReplyBuffer) {
        reply.null_array();
    }
}

/// Takes from the first key that has something; [`CommandError::WouldWait`] if none has.
pub fn run_waiting(wait: &dyn Wait, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<(), CommandError> {
    for key in wait.keys() {
        if wait.serve(key, keyspace, reply)? {
            return Ok(());
        }
    }
    Err(CommandError::WouldWait)
}
