//! Which keys may have got something that a blocked client waits for, gathered while commands run. What an operation that
//! fails has put, nobody is told of; and while nobody waits this costs nothing.

use bytes::Bytes;

use super::{Keyspace, Record, Type};

/// A key that may have got something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyKey {
    /// Logical: what becomes of that later in the operation, or the transaction, does not change whose turn it is.
    pub db: usize,
    pub key: Bytes,
    /// What was there is gone, or holds something else: see [`super::Wait::lost`].
    pub is_lost: bool,
}

#[derive(Debug, Default)]
pub(super) struct Ready {
    /// Somebody waits.
    wanted: bool,
    keys: Vec<ReadyKey>,
    /// So many are of operations that succeeded.
    kept: usize,
}

impl Ready {
    /// A record was put where another may have been.
    pub(super) fn note(
        &mut self,
        before: Option<&Record>,
        record: &Record,
        logical: impl FnOnce() -> Option<usize>,
        user_key: &Bytes,
    ) {
        let is_lost = before.is_some_and(may_be_lost) && record.kind != Type::Stream;
        let is_ready = matches!(record.kind, Type::List | Type::SortedSet | Type::Stream);
        self.push(is_ready, is_lost, logical, user_key);
    }

    /// A record was taken away.
    pub(super) fn note_removal(&mut self, before: &Record, logical: impl FnOnce() -> Option<usize>, user_key: &Bytes) {
        self.push(false, may_be_lost(before), logical, user_key);
    }

    fn push(&mut self, is_ready: bool, is_lost: bool, logical: impl FnOnce() -> Option<usize>, user_key: &Bytes) {
        if self.wanted
            && (is_ready || is_lost)
            && let Some(db) = logical()
        {
            self.keys.push(ReadyKey { db, key: user_key.clone(), is_lost });
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

/// Whether anybody who waits for what is there gives up when it goes.
fn may_be_lost(record: &Record) -> bool {
    record.kind == Type::Stream
}

impl Keyspace<'_> {
    /// Lets those look at a key who wait for it, though its record stays as it is: a group that they read by is gone.
    pub fn signal(&mut self, user_key: &Bytes) {
        let db = self.db;
        self.ready.push(true, false, || Some(db), user_key);
    }

    /// Whether somebody waits for keys, so that they are to be noted.
    pub fn set_waited_for(&mut self, waited_for: bool) {
        self.ready.wanted = waited_for;
    }

    /// A key of a logical database is ready by having become another one, for that database is.
    pub fn note_ready(&mut self, db: usize, key: Bytes) {
        self.ready.keys.push(ReadyKey { db, key, is_lost: true });
    }

    /// Hands over the keys put since the last time, in order.
    pub fn take_ready(&mut self) -> Vec<ReadyKey> {
        self.ready.kept = 0;
        std::mem::take(&mut self.ready.keys)
    }
}
