//! Holds every engine to one simple model: an ordered map, changed by whole batches.
//!
//! A history is a list of sessions; each opens the engine, takes steps, and ends in some way: closed, dropped, crashed,
//! or (in memory only) without power. After each step the engine must answer as the model does; snapshots and cursors
//! that were taken earlier must answer as the model did then. What this file must never do: ask an engine about itself
//! to learn what is right.

use bulkhead::engine::thread::mark_engine_thread;
use bulkhead::engine::{
    ColumnFamily, Cursor, Direction, Durability, Engine, EngineError, Mutation, ReadTier, Scan, View, WriteBatch,
    WriteOptions,
};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::FileFailurePersistence;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What an engine should hold.
type Model = BTreeMap<(ColumnFamily, Bytes), Bytes>;

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<Mutation>, WriteOptions),
    Read {
        cf: ColumnFamily,
        key: Bytes,
        tier: ReadTier,
    },
    Walk {
        cf: ColumnFamily,
        scan: Scan,
        seeks: Vec<(usize, Bytes)>,
    },
    /// Takes a snapshot and a cursor, to be looked at when the session ends, many writes later.
    Hold {
        cf: ColumnFamily,
        scan: Scan,
    },
    /// Reads from one of the snapshots held.
    ReadHeld {
        which: Index,
        cf: ColumnFamily,
        key: Bytes,
        tier: ReadTier,
    },
    Sync,
    Flush,
    Compact {
        cf: ColumnFamily,
        lower: Option<Bytes>,
        upper: Option<Bytes>,
    },
}

#[derive(Clone, Copy, Debug)]
enum End {
    Close,
    Drop,
    Crash,
    /// So many unsynced batches are kept. Where there is no disk to simulate it on, as `Crash`.
    PowerCut(Index),
}

/// An engine and what survives it.
trait World {
    fn open(&mut self) -> Arc<dyn Engine>;

    /// Ends the open engine's session. `states` are those a power cut may leave: the durable one, then one per unsynced
    /// batch, the last with all that was written. Keeps of them those that still may be left.
    fn end(&mut self, engine: Arc<dyn Engine>, end: End, states: &mut Vec<Model>);
}

fn check(world: &mut dyn World, history: &[(Vec<Step>, End)]) {
    mark_engine_thread();
    let mut states = vec![Model::new()];
    for (steps, end) in history {
        let engine = world.open();
        session(&*engine, steps, &mut states);
        world.end(engine, *end, &mut states);
    }
    let engine = world.open();
    compare_all(&*engine, states.last().expect("at least one"), ReadTier::All);
}

fn session(engine: &dyn Engine, steps: &[Step], states: &mut Vec<Model>) {
    compare_all(engine, states.last().expect("at least one"), ReadTier::All);
    let mut held_views: Vec<(Box<dyn View + '_>, Model)> = Vec::new();
    let mut held_cursors = Vec::new();
    for step in steps {
        let model = states.last().expect("at least one").clone();
        match step {
            Step::Write(mutations, options) => {
                engine.write(&WriteBatch { mutations: mutations.clone() }, *options).expect("a healthy engine writes");
                let mut next = model;
                mutations.iter().for_each(|mutation| apply(&mut next, mutation));
                if !mutations.is_empty() {
                    states.push(next);
                }
                if options.durability == Durability::Synced && !mutations.is_empty() {
                    settle(states);
                }
            }
            Step::Read { cf, key, tier } => compare_key(engine, &model, *cf, key, *tier),
            Step::Walk { cf, scan, seeks } => {
                walk(&mut *engine.scan(*cf, scan.clone()), &entries(&model, *cf, scan), scan, seeks);
            }
            Step::Hold { cf, scan } => {
                held_cursors.push((engine.scan(*cf, scan.clone()), entries(&model, *cf, scan), scan));
                held_views.push((engine.snapshot(), model));
            }
            Step::ReadHeld { which, cf, key, tier } => {
                if !held_views.is_empty() {
                    let (view, model) = &held_views[which.index(held_views.len())];
                    compare_key(&**view, model, *cf, key, *tier);
                }
            }
            Step::Sync => {
                engine.sync_wal().expect("a healthy engine syncs");
                settle(states);
            }
            Step::Flush => {
                engine.flush().expect("a healthy engine flushes");
                settle(states);
            }
            Step::Compact { cf, lower, upper } => {
                engine.compact(*cf, lower.as_deref(), upper.as_deref()).expect("a healthy engine compacts");
            }
        }
    }
    for (mut cursor, entries, scan) in held_cursors {
        walk(&mut *cursor, &entries, scan, &[]);
    }
    for (view, model) in held_views {
        compare_all(&*view, &model, ReadTier::Cached);
        compare_all(&*view, &model, ReadTier::All);
    }
}

/// All that was written is durable.
fn settle(states: &mut Vec<Model>) {
    states.drain(..states.len() - 1);
}

fn apply(model: &mut Model, mutation: &Mutation) {
    match mutation {
        Mutation::Put { cf, key, value } => {
            model.insert((*cf, key.clone()), value.clone());
        }
        Mutation::Delete { cf, key } => {
            model.remove(&(*cf, key.clone()));
        }
        Mutation::DeleteRange { cf, start, end } => model.retain(|(c, key), _| c != cf || key < start || key >= end),
    }
}

/// What a walk of `scan` meets, in its order.
fn entries(model: &Model, cf: ColumnFamily, scan: &Scan) -> Vec<(Bytes, Bytes)> {
    let mut entries: Vec<_> = model
        .iter()
        .filter(|((c, key), _)| {
            *c == cf
                && scan.lower.as_ref().is_none_or(|lower| key >= lower)
                && scan.upper.as_ref().is_none_or(|upper| key < upper)
        })
        .map(|((_, key), value)| (key.clone(), value.clone()))
        .collect();
    if scan.direction == Direction::Backward {
        entries.reverse();
    }
    entries
}

/// Walks to the end: each seek `(n, key)` once `n` more entries have been met.
fn walk(cursor: &mut dyn Cursor, entries: &[(Bytes, Bytes)], scan: &Scan, seeks: &[(usize, Bytes)]) {
    let mut at = 0;
    let advance = |cursor: &mut dyn Cursor, at: &mut usize| -> bool {
        let expected = entries.get(*at).map(|(key, value)| (&key[..], &value[..]));
        match cursor.next() {
            Err(EngineError::WouldBlock) if scan.tier == ReadTier::Cached => return false,
            met => assert_eq!(met, Ok(expected), "{scan:?}"),
        }
        *at += 1;
        expected.is_some()
    };
    for (steps, key) in seeks {
        for _ in 0..*steps {
            if !advance(cursor, &mut at) {
                break;
            }
        }
        cursor.seek(key);
        at = entries.partition_point(|(met, _)| match scan.direction {
            Direction::Forward => met < key,
            Direction::Backward => met > key,
        });
    }
    while advance(cursor, &mut at) {}
    // The end is the end.
    advance(cursor, &mut at);
}

fn compare_key(view: &(impl View + ?Sized), model: &Model, cf: ColumnFamily, key: &Bytes, tier: ReadTier) {
    match view.get(cf, key, tier) {
        Err(EngineError::WouldBlock) if tier == ReadTier::Cached => {}
        value => assert_eq!(value, Ok(model.get(&(cf, key.clone())).cloned()), "{cf:?} {key:?}"),
    }
}

fn compare_all(view: &(impl View + ?Sized), model: &Model, tier: ReadTier) {
    for cf in ColumnFamily::ALL {
        for direction in [Direction::Forward, Direction::Backward] {
            let scan = Scan { direction, tier, ..Scan::default() };
            walk(&mut *view.scan(cf, scan.clone()), &entries(model, cf, &scan), &scan, &[]);
        }
    }
}

/// Readers beside a writer: a cursor sees one state of its column family, a snapshot one of all, never half a batch.
fn check_atomicity(engine: &dyn Engine) {
    const BATCHES: u32 = 200;
    let keys = (0..8u8).flat_map(|n| ColumnFamily::ALL.map(|cf| (cf, Bytes::from(vec![n; 9])))).collect::<Vec<_>>();
    let count = keys.len();
    let seen = |view: &dyn View, cf: ColumnFamily| -> Vec<Bytes> {
        let mut cursor = view.scan(cf, Scan::default());
        let mut values = Vec::new();
        while let Some((_, value)) = cursor.next().expect("readable") {
            values.push(Bytes::copy_from_slice(value));
        }
        values
    };
    let check_uniform = |values: &[Bytes], count: usize| {
        assert!(values.is_empty() || values.len() == count, "part of a batch: {values:?}");
        assert!(values.windows(2).all(|pair| pair[0] == pair[1]), "parts of several batches: {values:?}");
    };
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            mark_engine_thread();
            for n in 0..BATCHES {
                let mut batch = WriteBatch::new();
                batch.delete_range(ColumnFamily::Data, vec![0; 9], vec![9]);
                keys.iter().for_each(|(cf, key)| batch.put(*cf, key.clone(), n.to_be_bytes().to_vec()));
                engine.write(&batch, WriteOptions::default()).expect("writes");
            }
        });
        scope.spawn(move || {
            mark_engine_thread();
            while !writer.is_finished() {
                ColumnFamily::ALL.into_iter().for_each(|cf| check_uniform(&seen(engine, cf), 8));
                let snapshot = engine.snapshot();
                let all: Vec<_> = ColumnFamily::ALL.into_iter().flat_map(|cf| seen(&*snapshot, cf)).collect();
                check_uniform(&all, count);
            }
        });
    });
    assert_eq!(seen(engine, ColumnFamily::Data), vec![Bytes::from((BATCHES - 1).to_be_bytes().to_vec()); 8]);
}

// ---- Retired prefixes ----------------------------------------------------------------------------------------------

/// The objects that histories of retirements are about.
const OBJECTS: std::ops::Range<u64> = 1..5;

/// What may be done around a retirement.
#[derive(Clone, Debug)]
enum Retiring {
    /// Writes an entry of an object that is not retired, in each family.
    Write(u64, u8),
    /// Takes a snapshot and a cursor.
    Hold(ColumnFamily),
    Release(Index),
    Retire(u64),
    /// Takes a retirement back.
    Forget(u64),
    Sync,
    Flush,
    Compact,
}

fn retiring() -> impl Strategy<Value = Retiring> {
    let object = || OBJECTS;
    let family = select(vec![ColumnFamily::Meta, ColumnFamily::Data, ColumnFamily::Score]);
    prop_oneof![
        8 => (object(), any::<u8>()).prop_map(|(object, field)| Retiring::Write(object, field)),
        3 => family.prop_map(Retiring::Hold),
        3 => any::<Index>().prop_map(Retiring::Release),
        2 => object().prop_map(Retiring::Retire),
        1 => object().prop_map(Retiring::Forget),
        2 => Just(Retiring::Sync),
        2 => Just(Retiring::Flush),
        4 => Just(Retiring::Compact),
    ]
}

/// Views from before a retirement go on showing everything; later ones miss nothing but what is retired, and that is gone
/// once the views are closed, everything is durable, and a compaction has passed. The engine ends up without views.
fn check_retirements(engine: &dyn Engine, steps: &[Retiring]) {
    let mut model = Model::new();
    let mut retired: BTreeSet<u64> = BTreeSet::new();
    // What was retired once, forgotten or not: it may have been dropped.
    let mut doubtful: BTreeSet<u64> = BTreeSet::new();
    let mut held = Vec::new();
    let compact = || {
        [ColumnFamily::Meta, ColumnFamily::Data, ColumnFamily::Score]
            .into_iter()
            .for_each(|cf| engine.compact(cf, None, None).expect("a healthy engine compacts"));
    };
    for step in steps {
        match step {
            Retiring::Write(object, field) if !doubtful.contains(object) => {
                let key = Bytes::from([&object.to_be_bytes()[..], &[*field]].concat());
                let mut batch = WriteBatch::new();
                for cf in [ColumnFamily::Meta, ColumnFamily::Data, ColumnFamily::Score] {
                    batch.put(cf, key.clone(), vec![*field]);
                    model.insert((cf, key.clone()), vec![*field].into());
                }
                engine.write(&batch, WriteOptions::default()).expect("a healthy engine writes");
            }
            Retiring::Write(..) => {}
            Retiring::Hold(cf) => {
                held.push((engine.snapshot(), engine.scan(*cf, Scan::default()), *cf, model.clone(), doubtful.clone()));
            }
            Retiring::Release(which) if !held.is_empty() => {
                let (view, mut cursor, cf, model, doubtful) = held.swap_remove(which.index(held.len()));
                compare_but(&*view, &model, &doubtful);
                assert_eq!(but(seen(&mut *cursor), cf, &doubtful), but(of_family(&model, cf), cf, &doubtful));
            }
            Retiring::Release(_) => {}
            Retiring::Retire(object) => {
                retired.insert(*object);
                doubtful.insert(*object);
                engine.retire(&[object.to_be_bytes()]);
            }
            Retiring::Forget(object) => {
                retired.remove(object);
                engine.forget(&[object.to_be_bytes()]);
            }
            Retiring::Sync => {
                engine.sync_wal().expect("a healthy engine syncs");
                assert!(!engine.awaits_sync());
            }
            Retiring::Flush => engine.flush().expect("a healthy engine flushes"),
            Retiring::Compact => compact(),
        }
        compare_but(engine, &model, &doubtful);
    }
    for (view, mut cursor, cf, model, doubtful) in held.drain(..) {
        compare_but(&*view, &model, &doubtful);
        assert_eq!(but(seen(&mut *cursor), cf, &doubtful), but(of_family(&model, cf), cf, &doubtful));
    }
    engine.sync_wal().expect("a healthy engine syncs");
    compact();
    for cf in [ColumnFamily::Data, ColumnFamily::Score] {
        let left = seen(&mut *engine.scan(cf, Scan::default()));
        assert!(!left.iter().any(|(key, _)| retired.contains(&object_of(key))), "{retired:?} left {left:?} in {cf:?}");
    }
}

/// All but the entries of `objects`, which may be gone.
fn but(mut entries: Vec<(Bytes, Bytes)>, cf: ColumnFamily, objects: &BTreeSet<u64>) -> Vec<(Bytes, Bytes)> {
    entries.retain(|(key, _)| cf == ColumnFamily::Meta || !objects.contains(&object_of(key)));
    entries
}

fn compare_but(view: &(impl View + ?Sized), model: &Model, objects: &BTreeSet<u64>) {
    for cf in [ColumnFamily::Meta, ColumnFamily::Data, ColumnFamily::Score] {
        let found = seen(&mut *view.scan(cf, Scan::default()));
        assert_eq!(but(found, cf, objects), but(of_family(model, cf), cf, objects), "{cf:?}");
    }
}

fn of_family(model: &Model, cf: ColumnFamily) -> Vec<(Bytes, Bytes)> {
    entries(model, cf, &Scan::default())
}

fn seen(cursor: &mut dyn Cursor) -> Vec<(Bytes, Bytes)> {
    let mut found = Vec::new();
    while let Some((key, value)) = cursor.next().expect("readable") {
        found.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
    }
    found
}

fn object_of(key: &[u8]) -> u64 {
    u64::from_be_bytes(key[..8].try_into().expect("a whole prefix"))
}

/// What was retired but may come back by a power cut is not dropped.
fn check_undurable_retirement(engine: &dyn Engine) {
    let key = Bytes::from([&1u64.to_be_bytes()[..], b"field"].concat());
    let mut batch = WriteBatch::new();
    batch.put(ColumnFamily::Data, key.clone(), "value");
    batch.put(ColumnFamily::Meta, "k", "1");
    engine.write(&batch, WriteOptions { durability: Durability::Synced, no_slowdown: false }).expect("writes");
    let mut batch = WriteBatch::new();
    batch.delete(ColumnFamily::Meta, "k");
    engine.write(&batch, WriteOptions::default()).expect("writes");
    engine.retire(&[1u64.to_be_bytes()]);
    assert!(engine.awaits_sync());
    engine.compact(ColumnFamily::Data, None, None).expect("compacts");
    assert_eq!(engine.get(ColumnFamily::Data, &key, ReadTier::All), Ok(Some("value".into())));
}

/// Few enough that batches meet on them; with the empty one, prefixes of each other, and object ids (eight bytes, the
/// prefix of `data`) around a carry, with the seven-byte key that lies between two of them.
fn key() -> impl Strategy<Value = Bytes> {
    let short = vec(select(vec![0x00, b'a', b'b', 0xff]), 0..=2);
    let object = (select(vec![1u64, 2, 3, 255, 256]), vec(select(vec![0x00, b'a', 0xff]), 0..=1));
    prop_oneof![
        3 => short,
        4 => object.prop_map(|(id, field)| [&id.to_be_bytes()[..], &field].concat()),
        1 => Just(vec![0, 0, 0, 0, 0, 0, 1]),
    ]
    .prop_map(Bytes::from)
}

fn family() -> impl Strategy<Value = ColumnFamily> {
    prop_oneof![
        1 => select(&ColumnFamily::ALL[..]),
        3 => Just(ColumnFamily::Data),
        2 => Just(ColumnFamily::Meta),
    ]
}

fn tier() -> impl Strategy<Value = ReadTier> {
    select(vec![ReadTier::All, ReadTier::Cached])
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let value = prop_oneof![Just(Bytes::new()), vec(any::<u8>(), 1..20).prop_map(Bytes::from)];
    prop_oneof![
        8 => (family(), key(), value).prop_map(|(cf, key, value)| Mutation::Put { cf, key, value }),
        3 => (family(), key()).prop_map(|(cf, key)| Mutation::Delete { cf, key }),
        1 => (family(), key(), key()).prop_map(|(cf, start, end)| Mutation::DeleteRange { cf, start, end }),
    ]
}

fn scan() -> impl Strategy<Value = Scan> {
    // Over one object as the layout's are, over several, over anything.
    let id = || select(vec![1u64, 2, 3, 4, 255, 256]);
    let objects = |first: u64, end: u64| [first, end].map(|id| Some(Bytes::copy_from_slice(&id.to_be_bytes()))).into();
    let bounds = prop_oneof![
        2 => id().prop_map(move |id| objects(id, id + 1)),
        1 => (id(), id()).prop_map(move |(first, end)| objects(first, end)),
        1 => (option::of(key()), option::of(key())),
    ];
    let direction = select(vec![Direction::Forward, Direction::Backward]);
    // Where a hurried scan gives up depends on what an engine has not cleared away yet.
    let hurried = false;
    (bounds, direction, tier()).prop_map(move |((lower, upper), direction, tier)| Scan {
        lower,
        upper,
        direction,
        tier,
        hurried,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let options = (any::<bool>(), prop::bool::weighted(0.2)).prop_map(|(no_slowdown, synced)| WriteOptions {
        no_slowdown,
        durability: if synced { Durability::Synced } else { Durability::Written },
    });
    prop_oneof![
        12 => (vec(mutation(), 0..8), options).prop_map(|(mutations, options)| Step::Write(mutations, options)),
        4 => (family(), key(), tier()).prop_map(|(cf, key, tier)| Step::Read { cf, key, tier }),
        6 => (family(), scan(), vec((0..4usize, key()), 0..3))
            .prop_map(|(cf, scan, seeks)| Step::Walk { cf, scan, seeks }),
        2 => (family(), scan()).prop_map(|(cf, scan)| Step::Hold { cf, scan }),
        2 => (any::<Index>(), family(), key(), tier())
            .prop_map(|(which, cf, key, tier)| Step::ReadHeld { which, cf, key, tier }),
        1 => Just(Step::Sync),
        2 => Just(Step::Flush),
        1 => (family(), option::of(key()), option::of(key()))
            .prop_map(|(cf, lower, upper)| Step::Compact { cf, lower, upper }),
    ]
}

fn history(steps_max: usize) -> impl Strategy<Value = Vec<(Vec<Step>, End)>> {
    let end = prop_oneof![Just(End::Close), Just(End::Drop), Just(End::Crash), any::<Index>().prop_map(End::PowerCut),];
    vec((vec(step(), 0..steps_max), end), 1..4)
}

/// Seeds that once failed are kept beside this file, and run first.
fn config(cases: u32) -> ProptestConfig {
    let failure_persistence = Some(Box::new(FileFailurePersistence::WithSource("regressions")) as _);
    ProptestConfig { cases, failure_persistence, ..ProptestConfig::default() }
}

mod memory {
    use super::*;
    use bulkhead::engine::memory::{MemoryDisk, MemoryEngine};

    struct Memory(Arc<MemoryDisk>);

    impl World for Memory {
        fn open(&mut self) -> Arc<dyn Engine> {
            MemoryEngine::open(self.0.clone()).expect("opens")
        }

        fn end(&mut self, engine: Arc<dyn Engine>, end: End, states: &mut Vec<Model>) {
            assert_eq!(self.0.unsynced(), states.len() - 1, "the disk counts the batches that a power cut could take");
            match end {
                End::Close => {
                    engine.close().expect("a healthy engine closes");
                    settle(states);
                }
                End::Drop => return,
                End::Crash => self.0.crash_process(),
                End::PowerCut(kept) => {
                    let kept = kept.index(states.len());
                    self.0.lose_power(kept);
                    states.truncate(kept + 1);
                    settle(states);
                }
            }
            let answer = engine.get(ColumnFamily::Meta, b"", ReadTier::All);
            assert_eq!(answer, Err(EngineError::Closed), "handles do not outlive their session");
        }
    }

    proptest! {
        #![proptest_config(config(1024))]

        #[test]
        fn the_memory_engine_answers_as_the_model(history in history(40)) {
            check(&mut Memory(MemoryDisk::new()), &history);
        }
    }

    proptest! {
        #![proptest_config(config(512))]

        #[test]
        fn the_memory_engine_drops_what_is_retired_and_no_sooner(steps in vec(retiring(), 0..60)) {
            mark_engine_thread();
            check_retirements(&*Memory(MemoryDisk::new()).open(), &steps);
        }
    }

    #[test]
    fn a_power_cut_brings_a_retired_object_back_whole() {
        mark_engine_thread();
        let disk = MemoryDisk::new();
        let engine = Memory(disk.clone()).open();
        check_undurable_retirement(&*engine);
        disk.lose_power(0);
        drop(engine);
        let engine = Memory(disk).open();
        assert_eq!(engine.get(ColumnFamily::Meta, b"k", ReadTier::All), Ok(Some("1".into())));
        let left = seen(&mut *engine.scan(ColumnFamily::Data, Scan::default()));
        assert_eq!(left.len(), 1);
    }

    #[test]
    fn readers_of_the_memory_engine_see_whole_batches() {
        mark_engine_thread();
        check_atomicity(&*Memory(MemoryDisk::new()).open());
    }
}

#[cfg(feature = "rocks")]
mod rocks {
    use super::*;
    use bulkhead::engine::rocks::{RocksEngine, RocksOptions};
    use std::ffi::OsString;
    use std::path::Path;
    use std::{fs, io};
    use tempfile::TempDir;

    struct Rocks(TempDir);

    impl World for Rocks {
        fn open(&mut self) -> Arc<dyn Engine> {
            let options = RocksOptions {
                block_cache_bytes: 8 << 20,
                // RocksDB reserves space for a WAL of a memtable's size, and a file system in memory clears it.
                write_buffer_size: 1 << 20,
                write_buffer_size_small: 1 << 20,
                level0_file_num_compaction_trigger: 2,
                ..RocksOptions::default()
            };
            RocksEngine::open(self.0.path(), &options).expect("opens")
        }

        fn end(&mut self, engine: Arc<dyn Engine>, end: End, _states: &mut Vec<Model>) {
            match end {
                End::Close => engine.close().expect("a healthy engine closes"),
                End::Drop => {}
                // What a killed process leaves: its files as they are, without what the engine does in dropping.
                End::Crash | End::PowerCut(_) => {
                    let left = image(self.0.path());
                    drop(engine);
                    self.0 = left;
                }
            }
        }
    }

    /// In memory if that can be had: no power is lost here, and nothing else asks what an fsync is worth.
    fn new_directory() -> io::Result<TempDir> {
        tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())
    }

    /// A copy of the files of a running engine, at a moment when no background job changes which there are.
    fn image(directory: &Path) -> TempDir {
        let list = || -> io::Result<Vec<(OsString, u64)>> {
            let files =
                fs::read_dir(directory)?.map(|file| file.and_then(|f| Ok((f.file_name(), f.metadata()?.len()))));
            files.collect()
        };
        let try_copy = || -> io::Result<Option<TempDir>> {
            let (before, copy) = (list()?, new_directory()?);
            for (name, _) in &before {
                fs::copy(directory.join(name), copy.path().join(name))?;
            }
            Ok((list()? == before).then_some(copy))
        };
        (0..100).find_map(|_| try_copy().ok().flatten()).expect("background jobs come to rest")
    }

    proptest! {
        #![proptest_config(config(48))]

        #[test]
        fn rocksdb_answers_as_the_model(history in history(100)) {
            check(&mut Rocks(new_directory().expect("a directory")), &history);
        }
    }

    proptest! {
        #![proptest_config(config(48))]

        #[test]
        fn rocksdb_drops_what_is_retired_and_no_sooner(steps in vec(retiring(), 0..60)) {
            mark_engine_thread();
            check_retirements(&*Rocks(new_directory().expect("a directory")).open(), &steps);
        }
    }

    #[test]
    fn rocksdb_drops_nothing_that_a_power_cut_may_bring_back() {
        mark_engine_thread();
        check_undurable_retirement(&*Rocks(new_directory().expect("a directory")).open());
    }

    #[test]
    fn readers_of_rocksdb_see_whole_batches() {
        mark_engine_thread();
        check_atomicity(&*Rocks(new_directory().expect("a directory")).open());
    }
}
