//! What runs against a keyspace: the form in which a command crosses into the storage runtime.

use super::{CommandError, Keyspace};
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
}
