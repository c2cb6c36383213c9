//! What all types share: databases, lookup, type checks, expiry and its index, counters, scanning. A [`Keyspace`] is
//! what a command works on: one selected database within one transaction, at one moment.
//!
//! It must never read a clock or draw a random number itself: both are given, so that a run can be repeated.

mod databases;
pub mod error;
mod notify;
mod objects;
mod operation;
mod ready;
pub mod record_cache;
mod scan;
pub mod txn;
mod watch;

pub use databases::{DatabaseMap, KeyspaceStats, flushed_databases};
pub use error::{CommandError, echoed};
pub use notify::{EventClass, EventMask, KeyEvent, Publication};
pub use objects::DeadObjects;
pub use operation::{Operation, Wait, run_waiting};
pub use ready::ReadyKey;
pub use record_cache::{CachedView, RecordCache};
pub use scan::{ScanFilter, ScanPage};
pub use txn::{Txn, TxnError};
pub use watch::{WatchSet, Watches};

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::config::EncodingsConfig;
use crate::engine::ColumnFamily;
use crate::layout::control::{self, Counters};
pub use crate::layout::meta::{Record, Type};
use crate::layout::{ObjectId, PhysicalDb, meta, ttl};
use crate::planted;

type Result<T> = std::result::Result<T, CommandError>;

/// What happened to the keyspace besides its data, for INFO. Reset by whoever reports it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyspaceEvents {
    pub hits: u64,
    pub misses: u64,
    pub expired: u64,
}

impl std::ops::AddAssign for KeyspaceEvents {
    fn add_assign(&mut self, more: KeyspaceEvents) {
        self.hits += more.hits;
        self.misses += more.misses;
        self.expired += more.expired;
    }
}

/// What the configuration says about values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ValueLimits {
    /// The longest string value allowed (`proto-max-bulk-len`), in bytes.
    pub bytes_max: usize,
    /// Where Redis would begin to keep a value in another way.
    pub encodings: EncodingsConfig,
}

/// A transaction seen as Redis databases.
pub struct Keyspace<'v> {
    txn: Txn<'v>,
    databases: Arc<DatabaseMap>,
    /// `databases` before the running operation, should it fail.
    databases_kept: Arc<DatabaseMap>,
    db: usize,
    now_ms: u64,
    random: u64,
    limits: ValueLimits,
    notices: notify::Notices,
    expired: watch::Expired,
    ready: ready::Ready,
    pub events: KeyspaceEvents,
}

/// How far the running operation had come: see [`Keyspace::savepoint`].
pub struct Savepoint {
    databases: Arc<DatabaseMap>,
    effects: usize,
    notices: notify::NoticesMark,
    expired: usize,
    ready: usize,
}

/// A key that was looked up: what is stored for it, and where. Changing it costs no second lookup.
#[derive(Debug)]
pub struct Entry {
    user_key: Bytes,
    db: PhysicalDb,
    meta_key: Bytes,
    record: Option<Record>,
}

impl Entry {
    /// The live record; an expired one counts as absent.
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    pub fn exists(&self) -> bool {
        self.record.is_some()
    }

    pub fn into_record(self) -> Option<Record> {
        self.record
    }

    pub fn user_key(&self) -> &Bytes {
        &self.user_key
    }

    fn of_type(self, kind: Type) -> Result<Entry> {
        match self.record() {
            Some(record) if record.kind != kind => Err(CommandError::WrongType),
            _ => Ok(self),
        }
    }
}

impl<'v> Keyspace<'v> {
    /// `random` seeds whatever commands draw by chance.
    pub fn new(
        txn: Txn<'v>,
        databases: Arc<DatabaseMap>,
        now_ms: u64,
        random: u64,
        limits: ValueLimits,
    ) -> Keyspace<'v> {
        let databases_kept = databases.clone();
        let (events, notices, expired, ready) = Default::default();
        Keyspace { txn, databases, databases_kept, db: 0, now_ms, random, limits, notices, expired, ready, events }
    }

    /// The logical database that commands see.
    pub fn select(&mut self, db: usize) {
        self.db = db;
    }

    /// The selected logical database.
    pub fn db(&self) -> usize {
        self.db
    }

    /// How many logical databases there are (`databases`).
    pub fn db_count(&self) -> usize {
        self.databases.len()
    }

    /// Unix time in milliseconds, the same for a whole operation.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// The longest string value allowed (`proto-max-bulk-len`), in bytes.
    pub fn value_bytes_max(&self) -> usize {
        self.limits.bytes_max
    }

    /// The sizes past which Redis keeps a value in another way: what OBJECT ENCODING goes by.
    pub fn encodings(&self) -> &EncodingsConfig {
        &self.limits.encodings
    }

    /// A random number, from the seed given (SplitMix64).
    pub fn random(&mut self) -> u64 {
        split_mix(&mut self.random)
    }

    pub fn txn(&self) -> &Txn<'v> {
        &self.txn
    }

    /// For the types whose values are more than their record.
    pub fn txn_mut(&mut self) -> &mut Txn<'v> {
        &mut self.txn
    }

    /// Starts an operation of the writer's group at `now_ms`.
    pub fn begin(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// Ends an operation that succeeded. Returns whether it changed anything.
    pub fn keep(&mut self) -> bool {
        self.databases_kept = self.databases.clone();
        self.notices.keep();
        self.expired.keep();
        self.ready.keep();
        self.txn.keep()
    }

    /// Ends an operation that failed: it leaves no trace.
    pub fn undo(&mut self) {
        self.databases = self.databases_kept.clone();
        self.notices.undo();
        self.expired.undo();
        self.ready.undo();
        self.txn.undo();
    }

    /// Ends one of the commands that the running operation consists of: [`Keyspace::undo_to`] comes back here.
    pub fn savepoint(&mut self) -> Savepoint {
        Savepoint {
            databases: self.databases.clone(),
            effects: self.txn.mark(),
            notices: self.notices.mark(),
            expired: self.expired.mark(),
            ready: self.ready.mark(),
        }
    }

    /// Takes back what the running operation has done since `savepoint`, and nothing else.
    pub fn undo_to(&mut self, savepoint: Savepoint) {
        self.databases = savepoint.databases;
        self.txn.undo_to(savepoint.effects);
        self.notices.undo_to(savepoint.notices);
        self.expired.undo_to(savepoint.expired);
        self.ready.undo_to(savepoint.ready);
    }

    /// The map of databases as this group has left it, for the writer to publish after the commit.
    pub fn databases(&self) -> &Arc<DatabaseMap> {
        &self.databases
    }

    /// Looks a key up for reading: counts a hit or a miss.
    pub fn get(&mut self, user_key: &[u8]) -> Result<Option<Record>> {
        let record = self.get_untold(user_key)?;
        if record.is_none() {
            self.notify_miss(user_key);
        }
        Ok(record)
    }

    fn count_lookup(&mut self, found: bool) {
        match found {
            true => self.events.hits += 1,
            false => self.events.misses += 1,
        }
    }

    /// As [`Keyspace::get`], but nobody is notified of a miss: OBJECT.
    pub fn get_untold(&mut self, user_key: &[u8]) -> Result<Option<Record>> {
        let stored = self.stored(&meta::key(self.physical(), user_key))?;
        let is_expired = stored.as_ref().is_some_and(|record| !self.is_there(record));
        if is_expired && self.txn.is_writable() {
            // Removed on sight, by who can.
            self.entry(&Bytes::copy_from_slice(user_key))?;
        }
        let record = stored.filter(|_| !is_expired);
        self.count_lookup(record.is_some());
        Ok(record)
    }

    /// As [`Keyspace::get`], and of the given type or `WRONGTYPE`.
    pub fn get_typed(&mut self, user_key: &[u8], kind: Type) -> Result<Option<Record>> {
        typed(self.get(user_key)?, kind)
    }

    /// Looks a key up without counting a hit or a miss: where Redis does not either.
    pub fn peek(&mut self, user_key: &[u8]) -> Result<Option<Record>> {
        let stored = self.stored(&meta::key(self.physical(), user_key))?;
        Ok(stored.filter(|record| self.is_there(record)))
    }

    fn is_there(&self, record: &Record) -> bool {
        !record.is_expired(self.now_ms) || planted::is("expired-is-read")
    }

    /// Looks a key up in order to change it. An expired one is removed on sight.
    pub fn entry(&mut self, user_key: &Bytes) -> Result<Entry> {
        self.entry_in(self.physical(), user_key)
    }

    /// As [`Keyspace::entry`], in logical database `db`.
    pub fn entry_in_db(&mut self, db: usize, user_key: &Bytes) -> Result<Entry> {
        self.entry_in(self.databases.physical(db), user_key)
    }

    /// As [`Keyspace::entry`], and of the given type or `WRONGTYPE`.
    pub fn entry_typed(&mut self, user_key: &Bytes, kind: Type) -> Result<Entry> {
        self.entry(user_key)?.of_type(kind)
    }

    /// As [`Keyspace::entry_typed`], for commands that also reply what they found: counts a hit or a miss.
    pub fn read_entry_typed(&mut self, user_key: &Bytes, kind: Type) -> Result<Entry> {
        let entry = self.entry(user_key)?;
        self.count_lookup(entry.exists());
        if !entry.exists() {
            self.notify_miss(user_key);
        }
        entry.of_type(kind)
    }

    fn entry_in(&mut self, db: PhysicalDb, user_key: &Bytes) -> Result<Entry> {
        let meta_key = meta::key(db, user_key);
        let record = self.stored(&meta_key)?;
        let mut entry = Entry { user_key: user_key.clone(), db, meta_key, record };
        let expired = entry.record.as_ref().filter(|record| record.is_expired(self.now_ms));
        if let Some(due_ms) = expired.and_then(|record| record.expire_ms) {
            self.remove(&mut entry)?;
            self.note_expired(&entry, due_ms);
        }
        Ok(entry)
    }

    fn note_expired(&mut self, entry: &Entry, due_ms: u64) {
        self.events.expired += 1;
        self.expired.add(entry.meta_key.clone(), due_ms);
        self.notify_in_physical(entry.db, EventClass::Expired, "expired", &entry.user_key);
    }

    fn stored(&mut self, meta_key: &[u8]) -> Result<Option<Record>> {
        let Some(bytes) = self.txn.get(ColumnFamily::Meta, meta_key)? else { return Ok(None) };
        Ok(Some(Record::decode(&bytes).map_err(TxnError::from)?))
    }

    /// Stores `record` under the entry's key, keeping the expiry index and the counters true. A record that is expired
    /// already is not stored, and what was there goes: Redis would remove it at the next look.
    pub fn put(&mut self, entry: &mut Entry, record: Record) -> Result<()> {
        let objects_before: SmallVec<[ObjectId; 2]> = entry.record.iter().flat_map(Record::objects).collect();
        if entry.record.is_none() {
            self.notify_in_physical(entry.db, EventClass::New, "new", &entry.user_key);
        }
        if record.is_expired(self.now_ms) {
            self.remove(entry)?;
            record.objects().filter(|object| !objects_before.contains(object)).for_each(|object| self.bury(object));
            self.notify_at_end(entry.db, EventClass::Expired, "expired", &entry.user_key);
            return Ok(());
        }
        for object in objects_before {
            if record.objects().all(|kept| kept != object) {
                self.bury(object);
            }
        }
        let before = entry.record.as_ref();
        let (old_due, new_due) = (before.and_then(|record| record.expire_ms), record.expire_ms);
        let mut change = CountersChange { keys: i64::from(before.is_none()), expiring: 0 };
        if old_due != new_due {
            change.expiring = i64::from(new_due.is_some()) - i64::from(old_due.is_some());
            self.index_expiry(&entry.meta_key, old_due, new_due);
        }
        self.count(entry.db, change)?;
        self.txn.put(ColumnFamily::Meta, entry.meta_key.clone(), record.encode());
        self.ready.note(entry.record.as_ref(), &record, || self.databases.logical(entry.db), &entry.user_key);
        entry.record = Some(record);
        Ok(())
    }

    /// Stores a new value and keeps the expiry that the key has.
    pub fn put_keeping_ttl(&mut self, entry: &mut Entry, mut record: Record) -> Result<()> {
        record.expire_ms = entry.record.as_ref().and_then(|before| before.expire_ms);
        self.put(entry, record)
    }

    /// Lets the key expire at `due_ms`, or never, and changes nothing else. Returns whether that is news.
    pub fn set_expiry(&mut self, entry: &mut Entry, due_ms: Option<u64>) -> Result<bool> {
        let Some(record) = entry.record.as_ref().filter(|record| record.expire_ms != due_ms) else { return Ok(false) };
        let record = Record { expire_ms: due_ms, ..record.clone() };
        self.put(entry, record)?;
        Ok(true)
    }

    /// Moves the value of `from`, with its expiry, over whatever is at `to`: RENAME, MOVE. The record goes as it is, so
    /// that what it refers to changes hands and is neither copied nor given up. The two must be different keys.
    pub fn relocate(&mut self, from: &mut Entry, to: &mut Entry) -> Result<()> {
        debug_assert_ne!(from.meta_key, to.meta_key, "invariant: one key has one entry");
        let Some(record) = self.detach(from)? else { return Ok(()) };
        if planted::is("count-ignores-overwritten") && to.exists() {
            self.count(to.db, CountersChange { keys: 1, expiring: 0 })?;
        }
        if to.exists() {
            // To Redis the key that was there is gone, and this is another.
            self.notify_in_physical(to.db, EventClass::New, "new", &to.user_key);
        }
        record.objects().for_each(|object| self.settle(object, to.db));
        self.put(to, record)
    }

    /// Removes the key, in O(1) whatever its size. Returns whether there was one.
    pub fn remove(&mut self, entry: &mut Entry) -> Result<bool> {
        let Some(record) = self.detach(entry)? else { return Ok(false) };
        record.objects().for_each(|object| self.bury(object));
        Ok(true)
    }

    /// Takes the record from its key, and with it the duty to put it elsewhere or to bury its objects.
    fn detach(&mut self, entry: &mut Entry) -> Result<Option<Record>> {
        let Some(record) = entry.record.take() else { return Ok(None) };
        self.index_expiry(&entry.meta_key, record.expire_ms, None);
        self.count(entry.db, CountersChange { keys: -1, expiring: -i64::from(record.expire_ms.is_some()) })?;
        self.txn.delete(ColumnFamily::Meta, entry.meta_key.clone());
        self.ready.note_removal(&record, || self.databases.logical(entry.db), &entry.user_key);
        Ok(Some(record))
    }

    fn index_expiry(&mut self, meta_key: &[u8], old_due: Option<u64>, new_due: Option<u64>) {
        if let Some(due) = old_due.filter(|_| !planted::is("expiry-races-set")) {
            self.txn.delete(ColumnFamily::Ttl, ttl::key(due, meta_key));
        }
        if let Some(due) = new_due {
            self.txn.put(ColumnFamily::Ttl, ttl::key(due, meta_key), Bytes::new());
        }
    }

    /// How many keys the selected database holds, expired ones that were not reclaimed yet included, as in Redis.
    pub fn size(&mut self) -> Result<u64> {
        let db = self.physical();
        Ok(self.counters(db)?.keys)
    }

    fn counters(&mut self, db: PhysicalDb) -> Result<Counters> {
        match self.txn.get(ColumnFamily::Control, &control::counters_key(db))? {
            Some(bytes) => Ok(Counters::decode(&bytes).map_err(TxnError::from)?),
            None => Ok(Counters::default()),
        }
    }

    fn count(&mut self, db: PhysicalDb, change: CountersChange) -> Result<()> {
        if change == CountersChange::default() {
            return Ok(());
        }
        let before = self.counters(db)?;
        let counters = Counters {
            keys: before.keys.saturating_add_signed(change.keys),
            expiring: before.expiring.saturating_add_signed(change.expiring),
        };
        debug_assert!(counters.expiring <= counters.keys, "{before:?} {change:?}");
        let key = Bytes::copy_from_slice(&control::counters_key(db));
        self.txn.put(ColumnFamily::Control, key, counters.encode().into());
        Ok(())
    }

    fn physical(&self) -> PhysicalDb {
        self.databases.physical(self.db)
    }

    /// Removes up to `limit` keys, of all databases, that were due before now, beginning at `from_ms` in the index.
    /// Returns how many index entries it went through: fewer than `limit` means that none is left.
    pub fn expire_due(&mut self, from_ms: u64, limit: usize) -> Result<usize> {
        let mut due_keys = Vec::new();
        let mut cursor = self.txn.scan(
            ColumnFamily::Ttl,
            ttl::position(from_ms),
            Some(ttl::position(self.now_ms)),
            crate::engine::Direction::Forward,
        )?;
        while due_keys.len() < limit
            && let Some((key, _)) = cursor.next()?
        {
            due_keys.push(Bytes::copy_from_slice(key));
        }
        drop(cursor);
        for key in &due_keys {
            let due = ttl::parse(key).map_err(TxnError::from)?;
            let user_key = Bytes::copy_from_slice(due.user_key);
            let mut entry = self.entry_in(due.db, &user_key)?;
            if planted::is("expiry-races-set") {
                self.remove(&mut entry)?;
            }
            // Usually gone already, with its key; a stale entry (its database was flushed) goes here.
            self.txn.delete(ColumnFamily::Ttl, key.clone());
        }
        Ok(due_keys.len())
    }
}

/// The next number of SplitMix64.
pub fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// `record`, if it is of type `kind`.
pub fn typed(record: Option<Record>, kind: Type) -> Result<Option<Record>> {
    match record {
        Some(record) if record.kind != kind => Err(CommandError::WrongType),
        record => Ok(record),
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct CountersChange {
    keys: i64,
    expiring: i64,
}
