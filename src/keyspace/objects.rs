//! The objects of large collections: where their ids come from, and what becomes of those that nothing refers to any
//! more. A value of any size goes away in O(1): its object is noted as dead, and its entries are reclaimed later.
//!
//! It must never give an id twice, nor note an object as dead but in the batch that takes the last reference to it.

use std::collections::BTreeSet;

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;

use super::{CommandError, Entry, Keyspace, Record, Result, TxnError};
use crate::engine::{ColumnFamily, Direction, View};
use crate::layout::control;
use crate::layout::{ObjectId, PhysicalDb};
use crate::limits;

impl Keyspace<'_> {
    /// A new object for the value that is to be put under `entry`. The counter goes with the batch, so if that is lost,
    /// so is whatever was stored under the object.
    pub fn new_object(&mut self, entry: &Entry) -> Result<ObjectId> {
        let key = control::next_object_key(entry.db);
        let counter = match self.txn.get(ColumnFamily::Control, &key)? {
            Some(bytes) => control::decode_counter(&bytes).map_err(TxnError::from)?,
            None => 0,
        };
        // 2⁴⁸ objects of one database: a million a second for nine years.
        let object = ObjectId::new(entry.db, counter).ok_or(CommandError::Internal)?;
        let next = Bytes::copy_from_slice(&control::encode_counter(counter + 1));
        self.txn.put(ColumnFamily::Control, Bytes::copy_from_slice(&key), next);
        Ok(object)
    }

    /// Notes that nothing refers to `object` any more.
    pub(super) fn bury(&mut self, object: ObjectId) {
        self.txn.put(ColumnFamily::Control, Bytes::copy_from_slice(&control::dead_key(object)), Bytes::new());
    }

    /// Notes that `object` is now a value of database `home`, if it was made in another.
    pub(super) fn settle(&mut self, object: ObjectId, home: PhysicalDb) {
        if object.db() != home {
            for db in [object.db(), home] {
                self.txn.put(ColumnFamily::Control, Bytes::copy_from_slice(&control::mixed_key(db)), Bytes::new());
            }
        }
    }

    /// Stores a copy of `record`, with its expiry, that shares nothing with the original: COPY.
    pub fn put_copy(&mut self, entry: &mut Entry, record: &Record) -> Result<()> {
        // An original that is moving does not take its copy along.
        let mut copy = Record { moving: None, ..record.clone() };
        if let Some(object) = record.object {
            let copied = self.new_object(entry)?;
            self.copy_entries(ColumnFamily::Data, object, copied)?;
            self.copy_entries(ColumnFamily::Score, object, copied)?;
            copy.object = Some(copied);
        }
        self.put(entry, copy)
    }

    fn copy_entries(&mut self, cf: ColumnFamily, from: ObjectId, to: ObjectId) -> Result<()> {
        let (mut lower, upper) = from.entries();
        loop {
            let mut cursor = self.txn.scan(cf, lower.clone(), Some(upper.clone()), Direction::Forward)?;
            let mut entries: Vec<(Bytes, Bytes)> = Vec::new();
            while entries.len() < limits::COPY_ENTRIES
                && let Some((key, value)) = cursor.next()?
            {
                entries.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
            }
            drop(cursor);
            let Some((last, _)) = entries.last() else { return Ok(()) };
            // The lowest key behind the last one.
            lower = [last, &[0][..]].concat().into();
            for (key, value) in entries {
                let mut copied = BytesMut::with_capacity(key.len());
                copied.put_slice(&to.prefix());
                copied.put_slice(key.get(to.prefix().len()..).unwrap_or_default());
                self.txn.put(cf, copied.freeze(), value);
            }
        }
    }
}

/// The dead objects, as last committed: what there is to reclaim.
#[derive(Debug, Default)]
pub struct DeadObjects {
    state: Mutex<Dead>,
}

#[derive(Debug, Default)]
struct Dead {
    /// Not looked at yet.
    fresh: BTreeSet<ObjectId>,
    /// Large ones, left to compaction.
    retired: BTreeSet<ObjectId>,
}

impl DeadObjects {
    /// Reads all dead objects at start-up.
    pub fn load(&self, view: &dyn View) -> std::result::Result<(), TxnError> {
        let txn = super::Txn::snapshot(view, Default::default());
        let (lower, upper) = control::dead_objects();
        let mut cursor = txn.scan(ColumnFamily::Control, lower.into(), Some(upper.into()), Direction::Forward)?;
        let mut fresh = BTreeSet::new();
        while let Some((key, _)) = cursor.next()? {
            fresh.extend(control::dead_object(key));
        }
        *self.state.lock() = Dead { fresh, retired: BTreeSet::new() };
        Ok(())
    }

    /// Takes over what a committed group noted.
    pub(super) fn apply(&self, key: &[u8], value: Option<&Bytes>) {
        if let (Some(object), Some(_)) = (control::dead_object(key), value) {
            self.state.lock().fresh.insert(object);
        }
    }

    /// Objects that were noted as dead in another way than by a group.
    pub fn add(&self, objects: &[ObjectId]) {
        self.state.lock().fresh.extend(objects);
    }

    /// An object that was not looked at yet, from `object` on. It stays until it is retired or reclaimed.
    pub fn fresh_from(&self, object: ObjectId) -> Option<ObjectId> {
        self.state.lock().fresh.range(object..).next().copied()
    }

    /// The next object behind `object` that is left to compaction, going round.
    pub fn retired_behind(&self, object: ObjectId) -> Option<ObjectId> {
        let state = self.state.lock();
        let behind = (std::ops::Bound::Excluded(object), std::ops::Bound::Unbounded);
        state.retired.range(behind).next().or_else(|| state.retired.first()).copied()
    }

    /// `objects` are left to compaction.
    pub fn retired(&self, objects: &[ObjectId]) {
        let mut state = self.state.lock();
        for object in objects {
            state.fresh.remove(object);
            state.retired.insert(*object);
        }
    }

    /// Nothing is left of `objects`.
    pub fn reclaimed(&self, objects: &[ObjectId]) {
        let mut state = self.state.lock();
        for object in objects {
            state.fresh.remove(object);
            state.retired.remove(object);
        }
    }

    /// How many objects wait to be reclaimed.
    pub fn len(&self) -> usize {
        let state = self.state.lock();
        state.fresh.len() + state.retired.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
