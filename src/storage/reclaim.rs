//! What the writer reclaims in between: the entries of large collections that are gone, and flushed databases.
//!
//! Every step is one write batch, so a crash leaves it done or not begun; and it is bounded, so that no request waits
//! for long. It must never drop what a snapshot still shows: deletions leave that to the engine, and what is left to
//! compaction the engine gives it only when no snapshot can be missing it.

use super::server::StorageState;
use crate::channel::Tenure;
use crate::engine::{ColumnFamily, Direction, Engine, EngineError, ReadTier, Scan, WriteBatch, WriteOptions};
use crate::keyspace::{DeadObjects, Record, RecordCache, Txn, TxnError, flushed_databases};
use crate::layout::{ObjectId, PhysicalDb, control, meta};
use crate::limits;
use crate::observe::{Report, Severity, Side};
use bytes::Bytes;

/// The families that hold objects' entries.
const ENTRIES: [ColumnFamily; 2] = [ColumnFamily::Data, ColumnFamily::Score];

/// Where there is something to reclaim.
#[derive(Clone, Copy)]
struct Store<'s> {
    engine: &'s dyn Engine,
    dead: &'s DeadObjects,
    cache: &'s RecordCache,
    tenure: &'s Tenure,
}

impl<'s> Store<'s> {
    fn of(state: &'s StorageState, tenure: &'s Tenure) -> Store<'s> {
        Store { engine: &*state.engine, dead: &state.keyspace_stats.dead, cache: &state.latest.cache, tenure }
    }

    /// Has an effect, unless another writer has taken over meanwhile: what this one has found is not its business any more.
    fn act(&self, effect: impl FnOnce() -> Result<(), EngineError>) -> Result<(), EngineError> {
        self.tenure.act(effect).unwrap_or(Ok(()))
    }

    /// To be called within [`Store::act`].
    fn write(&self, batch: &WriteBatch) -> Result<(), EngineError> {
        // While writes are stalled there is nothing to reclaim that could not wait.
        self.engine.write(batch, WriteOptions { no_slowdown: true, ..WriteOptions::default() })
    }

    /// Deletes dead objects that are small, and leaves the others to compaction.
    fn delete_small(self) -> Result<(), TxnError> {
        let dead = self.dead;
        let (mut small, mut large) = (Vec::new(), Vec::new());
        let (mut batch, mut looked_at) = (WriteBatch::new(), 0);
        let mut from = ObjectId::from_value(0);
        while looked_at < limits::RECLAIM_ENTRIES
            && let Some(object) = dead.fresh_from(from)
        {
            from = ObjectId::from_value(object.value() + 1);
            // Reading the disk is not worth while: compaction reads it some day anyway.
            match first_entries(self.engine, object, ReadTier::Cached, limits::RECLAIM_SMALL_ENTRIES + 1) {
                Ok(entries) if entries.len() <= limits::RECLAIM_SMALL_ENTRIES => {
                    looked_at += entries.len() + 1;
                    entries.into_iter().for_each(|(cf, key)| batch.delete(cf, key));
                    batch.delete(ColumnFamily::Control, control::dead_key(object).to_vec());
                    small.push(object);
                }
                Ok(entries) => {
                    looked_at += entries.len();
                    large.push(object);
                }
                Err(EngineError::WouldBlock) => {
                    looked_at += 1;
                    large.push(object);
                }
                Err(error) => return Err(error.into()),
            }
        }
        if !small.is_empty() {
            self.act(|| {
                self.write(&batch)?;
                dead.reclaimed(&small);
                Ok(())
            })?;
        }
        if !large.is_empty() {
            self.act(|| {
                self.engine.retire(&prefixes(&large));
                dead.retired(&large);
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// What reclaiming remembers from one round to the next.
#[derive(Debug, Default)]
pub struct Reclaim {
    /// The large dead object last looked for.
    checked: Option<ObjectId>,
    /// The flushed database that is being gone through, and the key to go on from.
    walk: Option<(PhysicalDb, Bytes)>,
}

impl Reclaim {
    /// A quick round: deletes dead objects that are small, and leaves those that are not to compaction.
    pub fn run_quick(&self, state: &StorageState, tenure: &Tenure) {
        if let Err(error) = Store::of(state, tenure).delete_small() {
            let what = "dead collections could not be reclaimed";
            let report = Report::new(error.category(), Severity::Error, Side::Storage, what);
            state.report(report.error(&error));
        }
    }

    /// A round with more reading: flushed databases, and whether compaction is done with some dead object.
    pub fn run(&mut self, state: &StorageState, tenure: &Tenure) {
        if let Err(error) = self.step(Store::of(state, tenure)) {
            let what = "deleted data could not be reclaimed";
            let report = Report::new(error.category(), Severity::Error, Side::Storage, what);
            state.report(report.error(&error));
        }
    }

    fn step(&mut self, store: Store<'_>) -> Result<(), TxnError> {
        self.check_retired(store)?;
        self.reclaim_flushed(store)
    }

    fn check_retired(&mut self, store: Store<'_>) -> Result<(), TxnError> {
        let dead = store.dead;
        let mut gone = Vec::new();
        for _ in 0..limits::RECLAIM_CHECKS {
            let from = self.checked.unwrap_or(ObjectId::from_value(0));
            let Some(object) = dead.retired_behind(from) else { break };
            self.checked = Some(object);
            if first_entries(store.engine, object, ReadTier::All, 1)?.is_empty() {
                gone.push(object);
            }
        }
        gone.sort_unstable();
        gone.dedup();
        if !gone.is_empty() {
            let mut batch = WriteBatch::new();
            gone.iter().for_each(|object| batch.delete(ColumnFamily::Control, control::dead_key(*object).to_vec()));
            store.act(|| {
                store.write(&batch)?;
                store.engine.forget(&prefixes(&gone));
                dead.reclaimed(&gone);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Deletes the data of flushed databases: a range tombstone per column family, as cheap as it is rare.
    fn reclaim_flushed(&mut self, store: Store<'_>) -> Result<(), TxnError> {
        let mut txn = Txn::writer(store.engine);
        for db in flushed_databases(&txn)? {
            let mixed = txn.get(ColumnFamily::Control, &control::mixed_key(db))?.is_some();
            if mixed && !self.bury_collections(store, &txn, db)? {
                return Ok(());
            }
            let mut batch = WriteBatch::new();
            let (lower, upper) = meta::database(db);
            batch.delete_range(ColumnFamily::Meta, lower, upper);
            if !mixed && txn.get(ColumnFamily::Control, &control::next_object_key(db))?.is_some() {
                for cf in ENTRIES {
                    let (lower, upper) = ObjectId::all_entries(db);
                    batch.delete_range(cf, lower, upper);
                }
            }
            batch.delete(ColumnFamily::Control, control::flushed_key(db).to_vec());
            store.act(|| {
                // Its number is free for others after this.
                store.cache.forget(db);
                store.write(&batch)
            })?;
        }
        Ok(())
    }

    /// Notes some of the large collections of a flushed database as dead, one by one: it exchanged some with another
    /// database, so their objects are no range. Returns whether that was all of them. A walk that is cut short by a
    /// crash begins anew; an object that is noted twice is looked for twice.
    fn bury_collections(&mut self, store: Store<'_>, txn: &Txn<'_>, db: PhysicalDb) -> Result<bool, TxnError> {
        let (lower, upper) = meta::database(db);
        let from = match self.walk.take() {
            Some((walked, position)) if walked == db => position,
            _ => lower,
        };
        let mut cursor = txn.scan(ColumnFamily::Meta, from, Some(upper), Direction::Forward)?;
        let (mut found, mut last) = (Vec::new(), None);
        for _ in 0..limits::RECLAIM_KEYS {
            let Some((key, value)) = cursor.next()? else {
                last = None;
                break;
            };
            last = Some(Bytes::copy_from_slice(key));
            found.extend(Record::decode_head(value)?.objects());
        }
        if !found.is_empty() {
            let mut batch = WriteBatch::new();
            found.iter().for_each(|object| batch.put(ColumnFamily::Control, control::dead_key(*object).to_vec(), ""));
            store.act(|| {
                store.write(&batch)?;
                store.dead.add(&found);
                Ok(())
            })?;
        }
        let done = last.is_none();
        // The lowest key behind the last one.
        self.walk = last.map(|last| (db, [&last[..], &[0]].concat().into()));
        Ok(done)
    }
}

/// Up to `limit` keys of an object's entries.
fn first_entries(
    engine: &dyn Engine,
    object: ObjectId,
    tier: ReadTier,
    limit: usize,
) -> Result<Vec<(ColumnFamily, Bytes)>, EngineError> {
    let mut found = Vec::new();
    for cf in ENTRIES {
        let (lower, upper) = object.entries();
        let scan = Scan { lower: Some(lower), upper: Some(upper), tier, ..Scan::default() };
        let mut cursor = engine.scan(cf, scan);
        while found.len() < limit
            && let Some((key, _)) = cursor.next()?
        {
            found.push((cf, Bytes::copy_from_slice(key)));
        }
    }
    Ok(found)
}

fn prefixes(objects: &[ObjectId]) -> Vec<[u8; 8]> {
    objects.iter().map(|object| object.prefix()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::channel::Gate;
    use crate::engine::memory::{MemoryDisk, MemoryEngine};
    use crate::engine::{View, thread};
    use crate::keyspace::{DatabaseMap, Keyspace, KeyspaceStats, Type, ValueLimits};
    use crate::types::elements::Elements;
    use crate::types::sorted_set::{AddOptions, End};
    use crate::types::{hash, set, sorted_set};

    const DATABASES: usize = 2;

    /// A value as a user sees it: a hash's fields and values, a set's members, a sorted set's members and scores.
    type Value = (Type, BTreeMap<Bytes, Bytes>);

    /// What the databases should hold.
    type Model = BTreeMap<(usize, Bytes), Value>;

    /// Something done to the data, to keys `a` and `b` of two databases.
    #[derive(Clone, Debug)]
    enum Change {
        /// Adds so many elements to a collection from one on, or makes it; with another type there, nothing happens.
        Add(Type, Place, u32, u32),
        Remove(Type, Place, u32, u32),
        /// Pops from a sorted set.
        Pop(Place, u32),
        Delete(Place),
        /// RENAME or MOVE.
        Relocate(Place, Place),
        Copy(Place, Place),
        Flush(usize),
        Swap,
    }

    type Place = (usize, bool);

    #[derive(Clone, Debug)]
    enum Step {
        /// Several in one group; the last one is undone if it says so.
        Commit(Vec<Change>, bool),
        DeleteSmall,
        Reclaim,
        Sync,
        Compact,
        Restart,
        /// The machine dies; so many unsynced batches survive.
        PowerCut(usize),
    }

    fn change() -> impl Strategy<Value = Change> {
        let kind = || prop::sample::select(vec![Type::Hash, Type::Set, Type::SortedSet]);
        let place = || (0..DATABASES, any::<bool>());
        // Few, just over what fits into a record, or more than are deleted one by one.
        let count = || prop_oneof![4 => 1u32..10, 4 => 60u32..80, 1 => Just(1100u32)];
        prop_oneof![
            8 => (kind(), place(), 0u32..40, count()).prop_map(|(kind, place, from, n)| Change::Add(kind, place, from, n)),
            3 => (kind(), place(), 0u32..40, count()).prop_map(|(kind, place, from, n)| Change::Remove(kind, place, from, n)),
            1 => (place(), count()).prop_map(|(place, n)| Change::Pop(place, n)),
            3 => place().prop_map(Change::Delete),
            3 => (place(), place()).prop_map(|(from, to)| Change::Relocate(from, to)),
            2 => (place(), place()).prop_map(|(from, to)| Change::Copy(from, to)),
            1 => (0..DATABASES).prop_map(Change::Flush),
            1 => Just(Change::Swap),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            10 => (vec(change(), 1..4), prop::bool::weighted(0.2)).prop_map(|(changes, undo)| Step::Commit(changes, undo)),
            3 => Just(Step::DeleteSmall),
            3 => Just(Step::Reclaim),
            2 => Just(Step::Sync),
            2 => Just(Step::Compact),
            1 => Just(Step::Restart),
            1 => (0usize..1000).prop_map(Step::PowerCut),
        ]
    }

    fn key((_, second): Place) -> Bytes {
        Bytes::from_static(if second { b"b" } else { b"a" })
    }

    fn names(from: u32, count: u32) -> Vec<Bytes> {
        (from..from + count).map(|at| Bytes::from(format!("m{at}"))).collect()
    }

    fn value_of(kind: Type, at: usize) -> Bytes {
        match kind {
            Type::Hash => Bytes::from(format!("v{at}")),
            Type::Set => Bytes::new(),
            _ => Bytes::copy_from_slice(&score(at).to_bits().to_be_bytes()),
        }
    }

    fn score(at: usize) -> f64 {
        [1.0, -2.5, f64::INFINITY, 0.0][at % 4]
    }

    impl Change {
        fn run(&self, keyspace: &mut Keyspace<'_>) {
            match self {
                Change::Add(kind, place, from, count) => {
                    keyspace.select(place.0);
                    let (key, names) = (key(*place), names(*from, *count));
                    let done = match kind {
                        Type::Hash => {
                            let value = |(at, name): (usize, &Bytes)| (name.clone(), value_of(*kind, at));
                            let pairs: Vec<_> = names.iter().enumerate().map(value).collect();
                            hash::set(keyspace, &key, &pairs).map(drop)
                        }
                        Type::Set => set::add(keyspace, &key, &names).map(drop),
                        _ => {
                            let scored = |(at, name): (usize, &Bytes)| (name.clone(), score(at));
                            let members: Vec<_> = names.iter().enumerate().map(scored).collect();
                            sorted_set::add(keyspace, &key, &members, AddOptions::default()).map(drop)
                        }
                    };
                    // Another type is there.
                    let _ = done;
                }
                Change::Remove(kind, place, from, count) => {
                    keyspace.select(place.0);
                    let (key, names) = (key(*place), names(*from, *count));
                    let _ = match kind {
                        Type::Hash => hash::remove(keyspace, &key, &names),
                        Type::Set => set::remove(keyspace, &key, &names),
                        _ => sorted_set::remove(keyspace, &key, &names),
                    };
                }
                Change::Pop(place, count) => {
                    keyspace.select(place.0);
                    let _ = sorted_set::pop(keyspace, &key(*place), End::Min, u64::from(*count));
                }
                Change::Delete(place) => {
                    let mut entry = keyspace.entry_in_db(place.0, &key(*place)).unwrap();
                    keyspace.remove(&mut entry).unwrap();
                }
                Change::Relocate(from, to) if from != to => {
                    let mut source = keyspace.entry_in_db(from.0, &key(*from)).unwrap();
                    let mut destination = keyspace.entry_in_db(to.0, &key(*to)).unwrap();
                    keyspace.relocate(&mut source, &mut destination).unwrap();
                }
                Change::Copy(from, to) if from != to => {
                    keyspace.select(from.0);
                    if let Some(record) = keyspace.get(&key(*from)).unwrap() {
                        let mut destination = keyspace.entry_in_db(to.0, &key(*to)).unwrap();
                        keyspace.put_copy(&mut destination, &record).unwrap();
                    }
                }
                Change::Relocate(..) | Change::Copy(..) => {}
                Change::Flush(db) => keyspace.flush_database(*db).unwrap(),
                Change::Swap => keyspace.swap_databases(0, 1),
            }
        }

        fn apply(&self, model: &mut Model) {
            let at = |place: &Place| (place.0, key(*place));
            match self {
                Change::Add(kind, place, from, count) => {
                    let (found, elements) = model.entry(at(place)).or_insert_with(|| (*kind, BTreeMap::new()));
                    if found == kind {
                        elements.extend(
                            names(*from, *count).into_iter().enumerate().map(|(at, name)| (name, value_of(*kind, at))),
                        );
                    }
                }
                Change::Remove(kind, place, from, count) => {
                    if let Some((found, elements)) = model.get_mut(&at(place))
                        && found == kind
                    {
                        names(*from, *count).iter().for_each(|name| drop(elements.remove(name)));
                    }
                }
                Change::Pop(place, count) => {
                    if let Some((Type::SortedSet, elements)) = model.get_mut(&at(place)) {
                        let score = |value: &Bytes| f64::from_bits(u64::from_be_bytes(value[..].try_into().unwrap()));
                        let mut order: Vec<_> =
                            elements.iter().map(|(name, value)| (score(value), name.clone())).collect();
                        order.sort_by(|a, b| a.partial_cmp(b).unwrap());
                        order.iter().take(*count as usize).for_each(|(_, name)| drop(elements.remove(name)));
                    }
                }
                Change::Delete(place) => drop(model.remove(&at(place))),
                Change::Relocate(from, to) if from != to => {
                    if let Some(value) = model.remove(&at(from)) {
                        model.insert(at(to), value);
                    }
                }
                Change::Copy(from, to) if from != to => {
                    if let Some(value) = model.get(&at(from)).cloned() {
                        model.insert(at(to), value);
                    }
                }
                Change::Relocate(..) | Change::Copy(..) => {}
                Change::Flush(db) => model.retain(|(other, _), _| other != db),
                Change::Swap => {
                    *model =
                        std::mem::take(model).into_iter().map(|((db, key), value)| ((1 - db, key), value)).collect();
                }
            }
            model.retain(|_, (_, elements)| !elements.is_empty());
        }
    }

    /// A server's storage in miniature.
    struct World {
        disk: Arc<MemoryDisk>,
        engine: Arc<MemoryEngine>,
        databases: Arc<DatabaseMap>,
        stats: KeyspaceStats,
        cache: RecordCache,
        reclaim: Reclaim,
        /// What a power cut may leave: the durable state, then one per unsynced batch.
        states: Vec<Model>,
    }

    impl World {
        fn new() -> World {
            thread::mark_engine_thread();
            let disk = MemoryDisk::new();
            let engine = MemoryEngine::open(disk.clone()).unwrap();
            let (databases, states) = (Arc::default(), vec![Model::new()]);
            let cache = RecordCache::new(0, 0);
            let mut world = World {
                disk,
                engine,
                databases,
                stats: KeyspaceStats::default(),
                cache,
                reclaim: Reclaim::default(),
                states,
            };
            world.load();
            world
        }

        fn load(&mut self) {
            self.databases = Arc::new(DatabaseMap::load(&*self.engine, DATABASES).unwrap());
            self.stats = KeyspaceStats::default();
            self.stats.load(&*self.engine).unwrap();
            self.reclaim = Reclaim::default();
        }

        fn keyspace<'v>(&self, txn: Txn<'v>) -> Keyspace<'v> {
            let limits = ValueLimits { bytes_max: 1 << 20, ..ValueLimits::default() };
            Keyspace::new(txn, self.databases.clone(), 1_000_000, 7, limits)
        }

        fn run(&mut self, step: &Step) {
            let engine = self.engine.clone();
            let tenure = Tenure::begin(&Arc::new(Gate::default())).unwrap();
            let store = Store { engine: &*engine, dead: &self.stats.dead, cache: &self.cache, tenure: &tenure };
            match step {
                Step::Commit(changes, undo) => self.commit(changes, *undo),
                Step::DeleteSmall => store.delete_small().unwrap(),
                Step::Reclaim => self.reclaim.step(store).unwrap(),
                Step::Sync => engine.sync_wal().unwrap(),
                Step::Compact => ENTRIES.into_iter().for_each(|cf| engine.compact(cf, None, None).unwrap()),
                Step::Restart => {
                    self.disk.crash_process();
                    self.reopen();
                }
                Step::PowerCut(kept) => {
                    let kept = kept % self.states.len();
                    self.disk.lose_power(kept);
                    self.states.truncate(kept + 1);
                    self.reopen();
                }
            }
            self.align();
        }

        fn reopen(&mut self) {
            self.engine = MemoryEngine::open(self.disk.clone()).unwrap();
            self.load();
        }

        fn commit(&mut self, changes: &[Change], undo: bool) {
            let engine = self.engine.clone();
            let mut keyspace = self.keyspace(Txn::writer(&*engine));
            let mut model = self.states.last().unwrap().clone();
            for (at, change) in changes.iter().enumerate() {
                change.run(&mut keyspace);
                if undo && at + 1 == changes.len() {
                    keyspace.undo();
                } else {
                    keyspace.keep();
                    change.apply(&mut model);
                }
            }
            let batch = keyspace.txn().to_batch();
            if !batch.is_empty() {
                engine.write(&batch, WriteOptions::default()).unwrap();
                for (key, value) in keyspace.txn().effects(ColumnFamily::Control) {
                    self.stats.apply(key, value.as_ref()).unwrap();
                }
                self.databases = keyspace.databases().clone();
                self.states.push(model);
            }
        }

        /// Brings `states` into line with the batches that a power cut could take.
        fn align(&mut self) {
            let unsynced = self.disk.unsynced();
            while self.states.len() <= unsynced {
                self.states.push(self.states.last().unwrap().clone());
            }
            self.states.drain(..self.states.len() - unsynced - 1);
        }

        /// Everything that a reader finds must be what the model holds.
        fn check(&self) {
            let snapshot = self.engine.snapshot();
            let mut keyspace = self.keyspace(Txn::snapshot(&*snapshot, Default::default()));
            let mut found = Model::new();
            for db in 0..DATABASES {
                keyspace.select(db);
                for second in [false, true] {
                    let key = key((db, second));
                    let Some(record) = keyspace.get(&key).unwrap() else { continue };
                    let elements = Elements::of(&record).unwrap();
                    let mut value = BTreeMap::new();
                    let mut walked = 0;
                    let mut take = |name: &[u8], element: &[u8]| {
                        walked += 1;
                        value.insert(Bytes::copy_from_slice(name), Bytes::copy_from_slice(element));
                    };
                    elements.for_each(&keyspace, &mut take).unwrap();
                    assert_eq!(walked, elements.len());
                    if record.kind == Type::SortedSet {
                        let all = sorted_set::Range::Rank { start: 0, stop: -1 };
                        let all = all.collect(&keyspace, &elements, false, sorted_set::Window::ALL).unwrap();
                        assert!(all.is_sorted_by(|a, b| (a.1, &a.0) < (b.1, &b.0)), "{all:?}");
                        assert_eq!(all.len() as u64, elements.len());
                    }
                    found.insert((db, key), (record.kind, value));
                }
                let keys = found.keys().filter(|(other, _)| *other == db).count();
                assert_eq!(keyspace.size().unwrap(), keys as u64);
            }
            assert_eq!(&found, self.states.last().unwrap());
        }

        /// Once all is reclaimed, no entry is left that no record leads to.
        fn check_nothing_leaks(&mut self) {
            for _ in 0..20 {
                for step in [Step::DeleteSmall, Step::Sync, Step::Compact, Step::Reclaim] {
                    self.run(&step);
                }
            }
            assert!(self.stats.dead.is_empty(), "{:?}", self.stats.dead);
            let stored = |cf| -> BTreeSet<ObjectId> {
                let mut cursor = self.engine.scan(cf, Scan::default());
                let mut found = BTreeSet::new();
                while let Some((key, _)) = cursor.next().unwrap() {
                    found.extend(key.first_chunk().map(|id| ObjectId::from_value(u64::from_be_bytes(*id))));
                }
                found
            };
            let (mut read, mut owned) = (BTreeSet::new(), BTreeSet::new());
            let mut cursor = self.engine.scan(ColumnFamily::Meta, Scan::default());
            while let Some((_, value)) = cursor.next().unwrap() {
                let record = Record::decode_head(value).unwrap();
                read.extend(record.object);
                owned.extend(record.objects());
            }
            let data = stored(ColumnFamily::Data);
            assert!(read.is_subset(&data) && data.is_subset(&owned), "{read:?}, {data:?}, {owned:?}");
            assert!(stored(ColumnFamily::Score).is_subset(&owned));
        }
    }

    fn check(steps: &[Step]) {
        let mut world = World::new();
        for step in steps {
            world.run(step);
            world.check();
        }
        world.check_nothing_leaks();
        world.check();
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

        #[test]
        fn collections_hold_what_was_put_into_them_and_nothing_else_stays(steps in vec(step(), 1..40)) {
            check(&steps);
        }
    }

    #[test]
    fn a_collection_that_moved_survives_the_flush_of_where_it_was_made() {
        let (home, other) = ((0, false), (1, false));
        check(&[
            Step::Commit(vec![Change::Add(Type::Set, home, 0, 100)], false),
            Step::Commit(vec![Change::Relocate(home, other)], false),
            Step::Commit(vec![Change::Add(Type::Set, home, 0, 100)], false),
            Step::Commit(vec![Change::Flush(0)], false),
            Step::Reclaim,
            Step::DeleteSmall,
            Step::Reclaim,
        ]);
    }

    /// A set that is on its way to another object: 60 members.
    fn on_the_move(place: Place) -> Vec<Step> {
        let (add, remove) = (Change::Add(Type::Set, place, 0, 78), Change::Remove(Type::Set, place, 0, 18));
        vec![Step::Commit(vec![add], false), Step::Commit(vec![remove], false)]
    }

    #[test]
    fn a_copy_of_a_collection_on_the_move_shares_nothing_with_it() {
        let (original, copy) = ((0, false), (0, true));
        let mut steps = on_the_move(original);
        steps.push(Step::Commit(vec![Change::Copy(original, copy), Change::Delete(original)], false));
        steps.push(Step::DeleteSmall);
        // On with whatever move the copy would be on.
        let on = |at| Step::Commit(vec![Change::Remove(Type::Set, copy, at, 5)], false);
        steps.extend((18..58).step_by(5).map(on));
        check(&steps);
    }

    #[test]
    fn a_collection_on_the_move_goes_whole_with_the_flush_of_where_it_was_brought() {
        let (home, other) = ((0, false), (1, false));
        let mut steps = on_the_move(home);
        steps.push(Step::Commit(vec![Change::Relocate(home, other)], false));
        steps.extend([Step::Commit(vec![Change::Flush(1)], false), Step::Reclaim]);
        check(&steps);
    }

    #[test]
    fn a_large_collection_goes_by_compaction_and_comes_back_whole_if_its_deletion_was_lost() {
        let place = (0, false);
        let delete = Step::Commit(vec![Change::Delete(place)], false);
        let made = Step::Commit(vec![Change::Add(Type::SortedSet, place, 0, 1100)], false);
        check(&[made, Step::Sync, delete, Step::DeleteSmall, Step::Compact, Step::PowerCut(0)]);
    }
}
