//! Which keys may have got something that a blocked client waits for, gathered while commands run. What an operation that
//! fails has put, nobody is told of; and while nobody waits this costs nothing.

use bytes::Bytes;

use super::{Keyspace, Record, Type};

#[derive(Debug, Default)]
pub(super) struct Ready {
    /// Somebody waits.
    wanted: bool,
    /// By logical database: what becomes of that later in the operation, or the transaction, does not change whose turn it is.
    keys: Vec<(usize, Bytes)>,
    /// So many are of operations that succeeded.
    kept: usize,
}

impl Ready {
    /// A record was put.
    pub(super) fn note(&mut self, record: &Record, logical: impl FnOnce() -> Option<usize>, user_key: &Bytes) {
        if self.wanted
            && matches!(record.kind, Type::List | Type::SortedSet | Type::Stream)
            && let Some(db) = logical()
        {
            self.keys.push((db, user_key.clone()));
        }
    }

    pub(super) fn keep(&mut self) {
        self.kept = self.keys.len();
    }

    pub(super) fn undo(&mut self) {
        self.undo_to(self.kept);
    }

    pub(super) fn mark(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn undo_to(&mut self, mark: usize) {
        self.keys.truncate(mark);
    }
}

impl Keyspace<'_> {
    /// Whether somebody waits for keys, so that they are to be noted.
    pub fn set_waited_for(&mut self, waited_for: bool) {
        self.ready.wanted = waited_for;
    }

    /// Hands over the keys put since the last time, in order: each with its logical database.
    pub fn take_ready(&mut self) -> Vec<(usize, Bytes)> {
        self.ready.kept = 0;
        std::mem::take(&mut self.ready.keys)
    }
}
