//! WATCH: which keys clients watch, and whether those have been touched since. Clients register on the network side; the
//! writer marks what a commit has touched as soon as it is visible, and before anyone is answered; EXEC is judged by the
//! writer in the order of commits.
//!
//! A change that a client could not have seen when it began to watch must never be overlooked; one that it saw already
//! may count as a change, if both happened at the same time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{DatabaseMap, Keyspace, Result, TxnError};
use crate::engine::ColumnFamily;
use crate::layout::{PhysicalDb, meta};
use crate::limits;

/// A key as clients name it: logical database and name.
type WatchedKey = (usize, Bytes);

/// What is known of a watched key.
#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    watchers: usize,
    /// Counts its changes.
    version: u64,
    /// It expired at this time. To who began to watch it later, nothing happened.
    expired_ms: u64,
}

/// All watched keys of a server. It outlives the storage runtime.
#[derive(Debug, Default)]
pub struct Watches {
    keys: Mutex<BTreeMap<WatchedKey, Watched>>,
    /// Mirrors the number of keys, so that commits need not lock while nobody watches.
    count: AtomicUsize,
}

impl Watches {
    /// Counts every key as changed: when it is not known what happened.
    pub fn touch_all(&self) {
        self.keys.lock().values_mut().for_each(|watched| watched.version += 1);
    }

    /// Marks what the group in `keyspace` has touched. `before`: the map of databases before the group.
    pub fn touch(&self, keyspace: &mut Keyspace<'_>, before: &DatabaseMap) -> Result<()> {
        if self.count.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        let mut keys = self.keys.lock();
        for (meta_key, value) in keyspace.txn.effects(ColumnFamily::Meta) {
            let (home, _, user_key) = meta::parse(meta_key).map_err(TxnError::from)?;
            let user_key = Bytes::copy_from_slice(user_key);
            let dbs = [before.logical(home), keyspace.databases.logical(home)];
            let only_now = if dbs[0] == dbs[1] { None } else { dbs[1] };
            for db in dbs[0].into_iter().chain(only_now) {
                let Some(watched) = keys.get_mut(&(db, user_key.clone())) else { continue };
                match keyspace.expired.due(meta_key).filter(|_| value.is_none()) {
                    Some(due_ms) => watched.expired_ms = watched.expired_ms.max(due_ms),
                    None => watched.version += 1,
                }
            }
        }
        if keyspace.databases.as_ref() != before {
            for ((db, key), watched) in keys.iter_mut() {
                match keyspace.exchange(*db, key, before)? {
                    Exchange::Nothing => {}
                    Exchange::Expired { due_ms } => watched.expired_ms = watched.expired_ms.max(due_ms),
                    Exchange::Change => watched.version += 1,
                }
            }
        }
        Ok(())
    }
}

/// What one client watches, since when.
#[derive(Debug)]
pub struct WatchSet {
    watches: Arc<Watches>,
    keys: BTreeMap<WatchedKey, Since>,
}

#[derive(Clone, Copy, Debug)]
struct Since {
    version: u64,
    at_ms: u64,
}

impl WatchSet {
    pub fn new(watches: Arc<Watches>) -> WatchSet {
        WatchSet { watches, keys: BTreeMap::new() }
    }

    /// Watches `key` from now on, unless it does already. `false`: there are too many watched keys.
    #[must_use]
    pub fn add(&mut self, db: usize, key: &[u8], now_ms: u64) -> bool {
        // What came from a socket lies in a bigger buffer.
        let key = (db, Bytes::copy_from_slice(key));
        if self.keys.contains_key(&key) {
            return true;
        }
        let mut keys = self.watches.keys.lock();
        if keys.len() >= limits::WATCHED_KEYS_MAX {
            return false;
        }
        let watched = keys.entry(key.clone()).or_default();
        watched.watchers += 1;
        self.keys.insert(key, Since { version: watched.version, at_ms: now_ms });
        self.watches.count.store(keys.len(), Ordering::Release);
        true
    }
}

impl Drop for WatchSet {
    fn drop(&mut self) {
        let mut keys = self.watches.keys.lock();
        for key in self.keys.keys() {
            if let Some(watched) = keys.get_mut(key) {
                watched.watchers -= 1;
                if watched.watchers == 0 {
                    keys.remove(key);
                }
            }
        }
        self.watches.count.store(keys.len(), Ordering::Release);
    }
}

/// The keys that expired within a group, by their place on disk, and when that was due.
#[derive(Debug, Default)]
pub(super) struct Expired {
    keys: Vec<(Bytes, u64)>,
    /// So many are of operations that succeeded.
    kept: usize,
}

impl Expired {
    pub(super) fn add(&mut self, meta_key: Bytes, due_ms: u64) {
        self.keys.push((meta_key, due_ms));
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

    fn due(&self, meta_key: &[u8]) -> Option<u64> {
        self.keys.iter().rev().find(|(key, _)| key == meta_key).map(|(_, due_ms)| *due_ms)
    }
}

impl Keyspace<'_> {
    /// Whether any key of `set` has been touched since it is watched, by a commit or earlier in this group, or has
    /// expired. `before`: the map of databases before the group.
    pub fn is_touched(&mut self, set: &WatchSet, before: &DatabaseMap) -> Result<bool> {
        for ((db, key), since) in &set.keys {
            let watched = set.watches.keys.lock().get(&(*db, key.clone())).copied().unwrap_or_default();
            if watched.version != since.version || watched.expired_ms > since.at_ms {
                return Ok(true);
            }
            let meta_key = meta::key(self.databases.physical(*db), key);
            if let Some(value) = self.txn.effect(ColumnFamily::Meta, &meta_key) {
                let due_ms = self.expired.due(&meta_key).filter(|_| value.is_none());
                if due_ms.is_none_or(|due_ms| due_ms > since.at_ms) {
                    return Ok(true);
                }
            }
            let expired = self.stored(&meta_key)?.filter(|record| record.is_expired(self.now_ms));
            if expired.is_some_and(|record| record.expire_ms >= Some(since.at_ms)) {
                return Ok(true);
            }
            if self.databases.as_ref() != before {
                match self.exchange(*db, key, before)? {
                    Exchange::Change => return Ok(true),
                    Exchange::Expired { due_ms } if due_ms > since.at_ms => return Ok(true),
                    Exchange::Expired { .. } | Exchange::Nothing => {}
                }
            }
        }
        Ok(false)
    }

    /// What it means for a key if its database is another than before, by FLUSHDB or SWAPDB.
    fn exchange(&mut self, db: usize, key: &[u8], before: &DatabaseMap) -> Result<Exchange> {
        let homes: [PhysicalDb; 2] = [before.physical(db), self.databases.physical(db)];
        if homes[0] == homes[1] {
            return Ok(Exchange::Nothing);
        }
        let (old, new) = (self.stored(&meta::key(homes[0], key))?, self.stored(&meta::key(homes[1], key))?);
        if [&old, &new].into_iter().flatten().any(|record| !record.is_expired(self.now_ms)) {
            return Ok(Exchange::Change);
        }
        let due_ms = old.and_then(|record| record.expire_ms);
        Ok(due_ms.map_or(Exchange::Nothing, |due_ms| Exchange::Expired { due_ms }))
    }
}

/// What becomes of a watched key when its database is exchanged for another.
enum Exchange {
    /// It was not there, and is not: what is expired and not yet removed is not there.
    Nothing,
    /// It is not there any more, and would not be anyway: it expired at this time.
    Expired { due_ms: u64 },
    /// It was there, or it is now.
    Change,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::memory::{MemoryDisk, MemoryEngine};
    use crate::engine::{Engine, WriteOptions, thread};
    use crate::keyspace::{Record, Txn, Type, ValueLimits};

    /// A store and its writer.
    struct World {
        engine: Arc<MemoryEngine>,
        databases: Arc<DatabaseMap>,
        watches: Arc<Watches>,
        now_ms: u64,
    }

    impl World {
        fn new() -> World {
            thread::mark_engine_thread();
            let engine = MemoryEngine::open(MemoryDisk::new()).unwrap();
            let databases = Arc::new(DatabaseMap::load(&*engine, 4).unwrap());
            World { engine, databases, watches: Arc::default(), now_ms: 1000 }
        }

        fn watch(&self, db: usize, key: &str) -> WatchSet {
            let mut set = WatchSet::new(self.watches.clone());
            assert!(set.add(db, key.as_bytes(), self.now_ms));
            set
        }

        /// Runs a group and commits it; what `work` returns.
        fn group<T>(&mut self, work: impl FnOnce(&mut Keyspace<'_>) -> T) -> T {
            let engine = self.engine.clone();
            let mut keyspace =
                Keyspace::new(Txn::writer(&*engine), self.databases.clone(), self.now_ms, 0, ValueLimits::default());
            let result = work(&mut keyspace);
            keyspace.keep();
            engine.write(&keyspace.txn().to_batch(), WriteOptions::default()).unwrap();
            self.watches.touch(&mut keyspace, &self.databases).unwrap();
            self.databases = keyspace.databases().clone();
            result
        }

        fn is_touched(&mut self, set: &WatchSet) -> bool {
            let before = self.databases.clone();
            self.group(|keyspace| keyspace.is_touched(set, &before).unwrap())
        }
    }

    fn put(keyspace: &mut Keyspace<'_>, key: &'static str, due_ms: Option<u64>) {
        let record = Record { expire_ms: due_ms, ..Record::new(Type::String, Bytes::new()) };
        let mut entry = keyspace.entry(&Bytes::from_static(key.as_bytes())).unwrap();
        keyspace.put(&mut entry, record).unwrap();
    }

    fn remove(keyspace: &mut Keyspace<'_>, key: &'static str) {
        let mut entry = keyspace.entry(&Bytes::from_static(key.as_bytes())).unwrap();
        keyspace.remove(&mut entry).unwrap();
    }

    #[test]
    fn a_change_touches_who_watches_that_key_and_nobody_else() {
        let mut world = World::new();
        let (k, other, elsewhere) = (world.watch(0, "k"), world.watch(0, "other"), world.watch(1, "k"));
        world.group(|keyspace| put(keyspace, "k", None));
        assert!(world.is_touched(&k) && !world.is_touched(&other) && !world.is_touched(&elsewhere));
        let later = world.watch(0, "k");
        assert!(!world.is_touched(&later) && world.is_touched(&k));
    }

    #[test]
    fn what_changed_earlier_in_the_group_counts_and_what_was_undone_does_not() {
        let mut world = World::new();
        let set = world.watch(0, "k");
        let before = world.databases.clone();
        world.group(|keyspace| {
            put(keyspace, "k", None);
            keyspace.undo();
            assert!(!keyspace.is_touched(&set, &before).unwrap());
            put(keyspace, "k", None);
            assert!(keyspace.is_touched(&set, &before).unwrap());
        });
    }

    #[test]
    fn expiry_touches_who_watched_the_key_while_it_was_alive() {
        let mut world = World::new();
        world.group(|keyspace| put(keyspace, "k", Some(2000)));
        let alive = world.watch(0, "k");
        assert!(!world.is_touched(&alive));
        world.now_ms = 2001;
        assert!(world.is_touched(&alive), "expired, and not yet removed");
        let dead = world.watch(0, "k");
        assert!(!world.is_touched(&dead));
        world.group(|keyspace| remove(keyspace, "k"));
        assert!(world.is_touched(&alive) && !world.is_touched(&dead));
        world.group(|keyspace| put(keyspace, "k", None));
        assert!(world.is_touched(&dead));
    }

    #[test]
    fn exchanged_databases_touch_the_keys_that_are_in_either() {
        let mut world = World::new();
        world.group(|keyspace| put(keyspace, "k", None));
        let sets = [world.watch(0, "k"), world.watch(1, "k"), world.watch(2, "k"), world.watch(0, "nothing")];
        let before = world.databases.clone();
        world.group(|keyspace| {
            keyspace.swap_databases(0, 1);
            let found = sets.each_ref().map(|set| keyspace.is_touched(set, &before).unwrap());
            assert_eq!(found, [true, true, false, false]);
        });
        assert_eq!(sets.each_ref().map(|set| world.is_touched(set)), [true, true, false, false]);
        let sets = [world.watch(1, "k"), world.watch(1, "nothing")];
        world.group(|keyspace| keyspace.flush_all().unwrap());
        assert_eq!(sets.each_ref().map(|set| world.is_touched(set)), [true, false]);
    }

    #[test]
    fn exchanged_databases_touch_an_expired_key_only_for_who_watched_it_alive() {
        let mut world = World::new();
        world.group(|keyspace| put(keyspace, "k", Some(2000)));
        let alive = world.watch(0, "k");
        world.now_ms = 2001;
        let (dead, elsewhere) = (world.watch(0, "k"), world.watch(1, "k"));
        let before = world.databases.clone();
        world.group(|keyspace| {
            keyspace.swap_databases(0, 1);
            let found = [&alive, &dead, &elsewhere].map(|set| keyspace.is_touched(set, &before).unwrap());
            assert_eq!(found, [true, false, false], "within the group");
        });
        assert_eq!([&alive, &dead, &elsewhere].map(|set| world.is_touched(set)), [true, false, false]);
        world.group(|keyspace| keyspace.flush_all().unwrap());
        assert_eq!([&alive, &dead, &elsewhere].map(|set| world.is_touched(set)), [true, false, false]);
        let unborn = world.watch(0, "k");
        world.group(|keyspace| keyspace.swap_databases(0, 2));
        assert!(!world.is_touched(&unborn), "what is dead takes no place");
    }

    #[test]
    fn nothing_is_left_of_who_watches_no_more() {
        let mut world = World::new();
        let sets = [world.watch(0, "k"), world.watch(0, "k")];
        world.watches.touch_all();
        assert!(world.is_touched(&sets[0]));
        drop(sets);
        assert!(world.watches.keys.lock().is_empty());
    }
}
