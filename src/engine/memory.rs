//! The engine in memory, with the crash semantics of a disk: the simulation's store, and the model RocksDB is held to.
//!
//! [`MemoryDisk`] is what outlives a process: every version of every key since the last durable point, stamped with the
//! number of the batch that wrote it. Two marks divide it. Batches up to `durable` are on the platter; batches up to
//! `written` are in the page cache. The death of a process loses neither, a power cut loses a suffix of what lies
//! between them. [`MemoryEngine`] is one process's open handle.
//!
//! What this file must never do: make anything durable or visible that RocksDB would not (it may promise less, never
//! more), iterate in an order that depends on the run, or hold its lock between two calls.

use super::retire::{OpenView, PrefixSet, Retirement};
use super::thread::assert_engine_thread;
use super::{
    ColumnFamily, Cursor, Direction, Durability, Engine, EngineError, EngineStatistics, Entry, Mutation, Prefix,
    ReadTier, Scan, View, WriteBatch, WriteOptions,
};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

/// Written bytes (keys and values) after which the disk takes an unsynced tail as durable by itself, as RocksDB does
/// when it writes a full memtable out to a file. It bounds what a run that never syncs keeps.
const UNSYNCED_BYTES_MAX: usize = 16 << 20;

/// What is wrong with a [`MemoryDisk`], until it is set to something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// Writes and syncs fail with [`EngineError::NoSpace`]. Service resumes by itself when the fault is lifted.
    NoSpace,
    /// Writes fail with [`EngineError::Io`], then with [`EngineError::ReadOnly`] until the engine is opened anew; reads
    /// of [`ReadTier::All`] fail with [`EngineError::Io`] while the fault lasts.
    IoError,
    /// Written batches are accepted; the first fsync fails and leaves the engine read-only until it is opened anew. A
    /// batch that failed as [`Durability::Synced`] is invisible, and may or may not be there after the next open.
    SyncFails,
    /// Writes wait, or fail with [`EngineError::WriteStall`] under `no_slowdown`. The wait blocks the *thread*: where
    /// one thread runs everything (the simulation), look at [`MemoryDisk::fault`] first.
    WriteStall,
}

/// What survives a process. One [`MemoryEngine`] at a time is open on it.
#[derive(Default)]
pub struct MemoryDisk {
    state: Mutex<State>,
    /// Signalled when a fault or a session ends: what a stalled write waits for.
    changed: Condvar,
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> Arc<MemoryDisk> {
        Arc::default()
    }

    /// The process dies: handles of the open engine answer [`EngineError::Closed`], everything written survives.
    pub fn crash_process(&self) {
        self.state.lock().session = None;
        self.changed.notify_all();
    }

    /// The machine dies: as [`MemoryDisk::crash_process`], and of the batches not yet durable only the first
    /// `keep_unsynced` survive.
    pub fn lose_power(&self, keep_unsynced: usize) {
        let mut state = self.state.lock();
        state.session = None;
        state.rewind(keep_unsynced);
        self.changed.notify_all();
    }

    /// Batches written but not durable: how many a power cut could take.
    pub fn unsynced(&self) -> usize {
        self.state.lock().unsynced()
    }

    /// Successful syncs so far.
    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// Sets or lifts a fault.
    pub fn set_fault(&self, fault: Option<DiskFault>) {
        self.state.lock().fault = fault;
        self.changed.notify_all();
    }

    /// How many bytes of keys and values it has room for; `None`: as many as there will be.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    /// Its size and what is free of it, if it has a size.
    pub fn room(&self) -> Option<(u64, u64)> {
        let state = self.state.lock();
        state.capacity.map(|capacity| (capacity, capacity.saturating_sub(state.bytes as u64)))
    }

    /// The present fault.
    pub fn fault(&self) -> Option<DiskFault> {
        self.state.lock().fault
    }
}

/// A value (`None`: deleted) as of the batch numbered `sequence`.
struct Version {
    sequence: u64,
    value: Option<Bytes>,
}

/// The versions of each key of one column family, oldest first; never empty.
type Family = BTreeMap<Bytes, Vec<Version>>;

/// That batch `sequence` put a version on `key`.
struct Touch {
    sequence: u64,
    cf: ColumnFamily,
    key: Bytes,
}

#[derive(Default)]
struct State {
    families: [Family; ColumnFamily::ALL.len()],
    /// One entry per version younger than the horizon, oldest first. A power cut takes versions back from its end;
    /// pruning takes what no one can ask for any more from its front.
    history: VecDeque<Touch>,
    /// The last batch in the page cache. Batches are numbered from 1.
    written: u64,
    /// The last batch on the platter. Invariant: `durable <= written`.
    durable: u64,
    unsynced_bytes: usize,
    /// Keys and values of all versions.
    bytes: usize,
    syncs: u64,
    /// Bytes of keys and values that it has room for.
    capacity: Option<u64>,
    fault: Option<DiskFault>,
    /// Sessions so far: the next one's name.
    sessions: u64,
    session: Option<Session>,
}

/// The open engine.
struct Session {
    id: u64,
    /// The last batch readers see. Behind `written` only after a synced write whose sync failed.
    visible: u64,
    /// The states that snapshots and cursors hold on to, and how many hold each.
    pins: BTreeMap<u64, usize>,
    /// Why writes are refused.
    read_only: Option<String>,
}

impl State {
    fn session(&mut self, id: u64) -> Result<&mut Session, EngineError> {
        self.session.as_mut().filter(|session| session.id == id).ok_or(EngineError::Closed)
    }

    fn check_readable(&mut self, id: u64, tier: ReadTier) -> Result<&mut Session, EngineError> {
        if self.fault == Some(DiskFault::IoError) && tier == ReadTier::All {
            self.session(id)?;
            return Err(EngineError::Io("read failed (injected)".into()));
        }
        self.session(id)
    }

    fn check_writable(&mut self, id: u64) -> Result<&mut Session, EngineError> {
        let session = self.session(id)?;
        match &session.read_only {
            Some(reason) => Err(EngineError::ReadOnly(reason.clone())),
            None => Ok(session),
        }
    }

    /// Refuses the open engine's writes from now on, because of `error`.
    fn refuse_writes(&mut self, error: EngineError) -> EngineError {
        if let Some(session) = &mut self.session {
            session.read_only.get_or_insert_with(|| error.to_string());
        }
        error
    }

    fn unsynced(&self) -> usize {
        (self.written - self.durable) as usize
    }

    /// Appends `batch` to the page cache.
    fn append(&mut self, batch: &WriteBatch) {
        self.written += 1;
        self.unsynced_bytes += batch.size_bytes();
        for mutation in &batch.mutations {
            match mutation {
                Mutation::Put { cf, key, value } => self.set(*cf, key, Some(value.clone())),
                Mutation::Delete { cf, key } => self.delete(*cf, key),
                Mutation::DeleteRange { cf, start, end } => {
                    let covered: Vec<Bytes> =
                        span(&self.families[*cf as usize], Bound::Included(start), Bound::Excluded(end))
                            .map(|(key, _)| key.clone())
                            .collect();
                    covered.iter().for_each(|key| self.delete(*cf, key));
                }
            }
        }
    }

    fn delete(&mut self, cf: ColumnFamily, key: &Bytes) {
        if visible(self.families[cf as usize].get(key), self.written).is_some() {
            self.set(cf, key, None);
        }
    }

    fn set(&mut self, cf: ColumnFamily, key: &Bytes, value: Option<Bytes>) {
        let (sequence, size) = (self.written, version_bytes(key, &value));
        let versions = self.families[cf as usize].entry(key.clone()).or_default();
        match versions.last_mut() {
            // The same batch again: its last word counts, and a batch is one step of history.
            Some(last) if last.sequence == sequence => {
                self.bytes -= version_bytes(key, &last.value);
                last.value = value;
            }
            _ => {
                versions.push(Version { sequence, value });
                self.history.push_back(Touch { sequence, cf, key: key.clone() });
            }
        }
        self.bytes += size;
    }

    fn sync(&mut self) -> Result<(), EngineError> {
        match self.fault {
            Some(DiskFault::SyncFails | DiskFault::IoError) => {
                Err(self.refuse_writes(EngineError::SyncFailed("fsync failed (injected)".into())))
            }
            Some(DiskFault::NoSpace) => Err(EngineError::NoSpace("(injected)".into())),
            Some(DiskFault::WriteStall) | None => {
                self.syncs += 1;
                self.settle();
                Ok(())
            }
        }
    }

    /// Takes everything written as durable.
    fn settle(&mut self) {
        self.durable = self.written;
        self.unsynced_bytes = 0;
        self.prune();
    }

    /// Drops the versions that neither a reader nor a power cut can bring back: all those of a key older than its
    /// newest at the horizon, and that one too if it is a deletion.
    fn prune(&mut self) {
        let oldest_reader =
            self.session.as_ref().map(|session| session.pins.keys().next().copied().unwrap_or(session.visible));
        let horizon = self.durable.min(oldest_reader.unwrap_or(self.durable));
        while let Some(touch) = self.history.pop_front_if(|touch| touch.sequence <= horizon) {
            let family = &mut self.families[touch.cf as usize];
            let Some(versions) = family.get_mut(&touch.key) else { continue };
            let Some(newest) = versions.iter().rposition(|version| version.sequence <= horizon) else { continue };
            let dead = if versions[newest].value.is_none() { newest + 1 } else { newest };
            self.bytes -=
                versions.drain(..dead).map(|version| version_bytes(&touch.key, &version.value)).sum::<usize>();
            if versions.is_empty() {
                family.remove(&touch.key);
            }
        }
    }

    /// Drops the keys of `cf` between two bounds that `droppable` covers, all their versions: no view and no power cut
    /// asks for them any more.
    fn drop_covered(&mut self, cf: ColumnFamily, low: Bound<&[u8]>, high: Bound<&[u8]>, droppable: &PrefixSet) {
        let covered: Vec<Bytes> = span(&self.families[cf as usize], low, high)
            .map(|(key, _)| key.clone())
            .filter(|key| droppable.covers(key))
            .collect();
        for key in &covered {
            let versions = self.families[cf as usize].remove(key).unwrap_or_default();
            self.bytes -= versions.iter().map(|version| version_bytes(key, &version.value)).sum::<usize>();
        }
        if !covered.is_empty() {
            let families = &self.families;
            self.history.retain(|touch| families[touch.cf as usize].contains_key(&touch.key));
        }
    }

    /// Takes back all but the first `keep_unsynced` of the batches that are not durable; the rest is durable.
    fn rewind(&mut self, keep_unsynced: usize) {
        let last = self.written.min(self.durable.saturating_add(keep_unsynced as u64));
        while let Some(touch) = self.history.pop_back_if(|touch| touch.sequence > last) {
            let family = &mut self.families[touch.cf as usize];
            let versions = family.get_mut(&touch.key).expect("invariant: history holds keys that have versions");
            let version = versions.pop().expect("invariant: a key has at least one version");
            assert_eq!(version.sequence, touch.sequence, "invariant: one touch per version, in the same order");
            self.bytes -= version_bytes(&touch.key, &version.value);
            if versions.is_empty() {
                family.remove(&touch.key);
            }
        }
        self.written = last;
        self.settle();
    }
}

fn version_bytes(key: &Bytes, value: &Option<Bytes>) -> usize {
    key.len() + value.as_ref().map_or(0, Bytes::len)
}

/// The value that a reader of state `sequence` sees.
fn visible(versions: Option<&Vec<Version>>, sequence: u64) -> Option<&Bytes> {
    versions?.iter().rev().find(|version| version.sequence <= sequence)?.value.as_ref()
}

/// `family`'s keys between two bounds; none if they cross (where `BTreeMap::range` would panic).
fn span<'f>(
    family: &'f Family,
    low: Bound<&[u8]>,
    high: Bound<&[u8]>,
) -> impl DoubleEndedIterator<Item = (&'f Bytes, &'f Vec<Version>)> {
    let crossed = match (low, high) {
        (Bound::Included(low), Bound::Included(high)) => low > high,
        (Bound::Included(low) | Bound::Excluded(low), Bound::Included(high) | Bound::Excluded(high)) => low >= high,
        _ => false,
    };
    (!crossed).then(|| family.range::<[u8], _>((low, high))).into_iter().flatten()
}

/// One process's handle on a [`MemoryDisk`]. Dropping it without [`Engine::close`] is the death of that process.
pub struct MemoryEngine {
    disk: Arc<MemoryDisk>,
    session: u64,
    retirement: Retirement,
}

impl MemoryEngine {
    /// Opens `disk` with everything written on it visible.
    ///
    /// # Errors
    /// [`EngineError::Locked`] while another engine is open on it.
    pub fn open(disk: Arc<MemoryDisk>) -> Result<Arc<MemoryEngine>, EngineError> {
        assert_engine_thread();
        let mut state = disk.state.lock();
        if state.session.is_some() {
            return Err(EngineError::Locked("an engine is open on this disk".into()));
        }
        state.sessions += 1;
        let (id, visible) = (state.sessions, state.written);
        state.session = Some(Session { id, visible, pins: BTreeMap::new(), read_only: None });
        drop(state);
        Ok(Arc::new(MemoryEngine { disk, session: id, retirement: Retirement::default() }))
    }

    /// Reads at `sequence`, or at the latest state.
    fn read(
        &self,
        cf: ColumnFamily,
        key: &[u8],
        tier: ReadTier,
        sequence: Option<u64>,
    ) -> Result<Option<Bytes>, EngineError> {
        assert_engine_thread();
        let mut state = self.disk.state.lock();
        let latest = state.check_readable(self.session, tier)?.visible;
        Ok(visible(state.families[cf as usize].get(key), sequence.unwrap_or(latest)).cloned())
    }

    /// Keeps the versions that readers of `sequence` (`None`: of the latest state) need. Of a closed engine it keeps
    /// nothing, for there every read is refused.
    fn pin(&self, sequence: Option<u64>) -> Pin<'_> {
        assert_engine_thread();
        let open = self.retirement.open_view();
        let mut state = self.disk.state.lock();
        let sequence = match state.session(self.session) {
            Ok(session) => {
                let sequence = sequence.unwrap_or(session.visible);
                *session.pins.entry(sequence).or_default() += 1;
                sequence
            }
            Err(_) => 0,
        };
        Pin { engine: self, sequence, _open: open }
    }
}

impl View for MemoryEngine {
    fn get(&self, cf: ColumnFamily, key: &[u8], tier: ReadTier) -> Result<Option<Bytes>, EngineError> {
        self.read(cf, key, tier, None)
    }

    fn scan<'v>(&'v self, cf: ColumnFamily, scan: Scan) -> Box<dyn Cursor + 'v> {
        Box::new(MemoryCursor::new(self.pin(None), cf, scan))
    }
}

impl Engine for MemoryEngine {
    fn snapshot(&self) -> Box<dyn View + '_> {
        Box::new(self.pin(None))
    }

    fn write(&self, batch: &WriteBatch, options: WriteOptions) -> Result<(), EngineError> {
        assert_engine_thread();
        let mut state = self.disk.state.lock();
        loop {
            state.check_writable(self.session)?;
            match state.fault {
                Some(DiskFault::WriteStall) if options.no_slowdown => return Err(EngineError::WriteStall),
                Some(DiskFault::WriteStall) => self.disk.changed.wait(&mut state),
                Some(DiskFault::NoSpace) => return Err(EngineError::NoSpace("(injected)".into())),
                Some(DiskFault::IoError) => {
                    return Err(state.refuse_writes(EngineError::Io("write failed (injected)".into())));
                }
                Some(DiskFault::SyncFails) | None => break,
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        if state.capacity.is_some_and(|capacity| (state.bytes + batch.size_bytes()) as u64 > capacity) {
            return Err(EngineError::NoSpace("the disk is full".into()));
        }
        state.append(batch);
        if options.durability == Durability::Synced {
            let mark = self.retirement.begin_sync();
            state.sync()?;
            self.retirement.synced(mark);
        }
        let written = state.written;
        state.session(self.session)?.visible = written;
        if state.unsynced_bytes > UNSYNCED_BYTES_MAX && state.fault.is_none() {
            state.settle();
        } else {
            state.prune();
        }
        Ok(())
    }

    fn sync_wal(&self) -> Result<(), EngineError> {
        assert_engine_thread();
        let mut state = self.disk.state.lock();
        state.check_writable(self.session)?;
        let mark = self.retirement.begin_sync();
        state.sync()?;
        self.retirement.synced(mark);
        Ok(())
    }

    fn flush(&self) -> Result<(), EngineError> {
        assert_engine_thread();
        let mut state = self.disk.state.lock();
        state.check_writable(self.session)?;
        match state.fault {
            Some(DiskFault::NoSpace) => Err(EngineError::NoSpace("(injected)".into())),
            Some(DiskFault::IoError | DiskFault::SyncFails) => {
                Err(state.refuse_writes(EngineError::Io("flush failed (injected)".into())))
            }
            Some(DiskFault::WriteStall) | None => {
                state.settle();
                Ok(())
            }
        }
    }

    fn compact(&self, cf: ColumnFamily, lower: Option<&[u8]>, upper: Option<&[u8]>) -> Result<(), EngineError> {
        assert_engine_thread();
        let mut state = self.disk.state.lock();
        state.check_writable(self.session)?;
        if matches!(cf, ColumnFamily::Data | ColumnFamily::Score) {
            let low = lower.map_or(Bound::Unbounded, Bound::Included);
            let high = upper.map_or(Bound::Unbounded, Bound::Excluded);
            state.drop_covered(cf, low, high, &self.retirement.droppable());
        }
        Ok(())
    }

    fn retire(&self, prefixes: &[Prefix]) {
        self.retirement.retire(prefixes);
    }

    fn forget(&self, prefixes: &[Prefix]) {
        self.retirement.forget(prefixes);
    }

    fn awaits_sync(&self) -> bool {
        self.retirement.awaits_sync()
    }

    fn writes_stopped(&self) -> bool {
        self.disk.state.lock().fault == Some(DiskFault::WriteStall)
    }

    fn statistics(&self) -> EngineStatistics {
        assert_engine_thread();
        let mut state = self.disk.state.lock();
        let background_errors = match state.session(self.session) {
            Ok(session) => u64::from(session.read_only.is_some()),
            Err(_) => return EngineStatistics::default(),
        };
        EngineStatistics {
            memtable_bytes: state.bytes as u64,
            estimated_keys: state.families.iter().map(|family| family.len() as u64).sum(),
            writes_stopped: state.fault == Some(DiskFault::WriteStall),
            background_errors,
            ..EngineStatistics::default()
        }
    }

    fn close(&self) -> Result<(), EngineError> {
        assert_engine_thread();
        let mut state = self.disk.state.lock();
        let synced = state.check_writable(self.session).map(|_| ()).and_then(|()| state.sync());
        if synced != Err(EngineError::Closed) {
            state.session = None;
        }
        self.disk.changed.notify_all();
        synced
    }
}

impl Drop for MemoryEngine {
    fn drop(&mut self) {
        let mut state = self.disk.state.lock();
        if state.session(self.session).is_ok() {
            state.session = None;
        }
    }
}

/// A state that is kept readable while this lives: a snapshot, or what a cursor stands on.
struct Pin<'e> {
    engine: &'e MemoryEngine,
    sequence: u64,
    _open: OpenView<'e>,
}

impl View for Pin<'_> {
    fn get(&self, cf: ColumnFamily, key: &[u8], tier: ReadTier) -> Result<Option<Bytes>, EngineError> {
        self.engine.read(cf, key, tier, Some(self.sequence))
    }

    fn scan<'v>(&'v self, cf: ColumnFamily, scan: Scan) -> Box<dyn Cursor + 'v> {
        Box::new(MemoryCursor::new(self.engine.pin(Some(self.sequence)), cf, scan))
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        let mut state = self.engine.disk.state.lock();
        let Ok(session) = state.session(self.engine.session) else { return };
        if let Some(holders) = session.pins.get_mut(&self.sequence) {
            *holders -= 1;
            if *holders == 0 {
                session.pins.remove(&self.sequence);
                state.prune();
            }
        }
    }
}

/// Where a cursor's next step begins.
enum Position {
    /// The edge of the scan that its direction starts from.
    Edge,
    /// This key, included.
    At(Bytes),
    /// The key last lent, excluded.
    Past,
    /// The end, or the error that stopped it.
    Done(Result<(), EngineError>),
}

struct MemoryCursor<'e> {
    pin: Pin<'e>,
    cf: ColumnFamily,
    scan: Scan,
    position: Position,
    /// The entry last lent.
    entry: (Bytes, Bytes),
}

impl<'e> MemoryCursor<'e> {
    fn new(pin: Pin<'e>, cf: ColumnFamily, scan: Scan) -> Self {
        MemoryCursor { pin, cf, scan, position: Position::Edge, entry: Default::default() }
    }

    fn step(&self) -> Result<Option<(Bytes, Bytes)>, EngineError> {
        let (engine, scan) = (self.pin.engine, &self.scan);
        let mut state = engine.disk.state.lock();
        state.check_readable(engine.session, scan.tier)?;
        let start = match &self.position {
            Position::Edge => None,
            Position::At(key) => Some(Bound::Included(&key[..])),
            Position::Past => Some(Bound::Excluded(&self.entry.0[..])),
            Position::Done(outcome) => return outcome.clone().map(|()| None),
        };
        let lower = scan.lower.as_deref().map_or(Bound::Unbounded, Bound::Included);
        let upper = scan.upper.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let family = &state.families[self.cf as usize];
        let lend = |(key, versions): (&Bytes, &Vec<Version>)| {
            visible(Some(versions), self.pin.sequence).map(|value| (key.clone(), value.clone()))
        };
        Ok(match scan.direction {
            Direction::Forward => span(family, start.unwrap_or(lower), upper).find_map(lend),
            Direction::Backward => span(family, lower, start.unwrap_or(upper)).rev().find_map(lend),
        })
    }
}

impl Cursor for MemoryCursor<'_> {
    fn next(&mut self) -> Result<Option<Entry<'_>>, EngineError> {
        assert_engine_thread();
        let step = self.step();
        self.position = match &step {
            Ok(Some(_)) => Position::Past,
            Ok(None) => Position::Done(Ok(())),
            Err(error) => Position::Done(Err(error.clone())),
        };
        let Some(entry) = step? else { return Ok(None) };
        self.entry = entry;
        Ok(Some((&self.entry.0, &self.entry.1)))
    }

    fn seek(&mut self, key: &[u8]) {
        assert_engine_thread();
        let outside = match self.scan.direction {
            Direction::Forward => self.scan.lower.as_ref().is_some_and(|lower| key < &lower[..]),
            Direction::Backward => self.scan.upper.as_ref().is_some_and(|upper| key >= &upper[..]),
        };
        self.position = if outside { Position::Edge } else { Position::At(Bytes::copy_from_slice(key)) };
    }
}

#[cfg(test)]
mod tests {
    use super::super::thread::mark_engine_thread;
    use super::*;

    const CF: ColumnFamily = ColumnFamily::Meta;
    const WRITTEN: WriteOptions = WriteOptions { durability: Durability::Written, no_slowdown: false };
    const SYNCED: WriteOptions = WriteOptions { durability: Durability::Synced, no_slowdown: false };

    fn open(disk: &Arc<MemoryDisk>) -> Arc<MemoryEngine> {
        mark_engine_thread();
        MemoryEngine::open(disk.clone()).expect("opens")
    }

    fn put(
        engine: &MemoryEngine,
        key: &'static str,
        value: &'static str,
        options: WriteOptions,
    ) -> Result<(), EngineError> {
        let mut batch = WriteBatch::new();
        batch.put(CF, key, value);
        engine.write(&batch, options)
    }

    fn get(view: &dyn View, key: &str) -> Option<String> {
        let value = view.get(CF, key.as_bytes(), ReadTier::All).expect("readable");
        value.map(|value| String::from_utf8(value.to_vec()).expect("text"))
    }

    #[test]
    fn a_crashed_process_loses_nothing_written_and_its_handles_are_closed() {
        let disk = MemoryDisk::new();
        let engine = open(&disk);
        put(&engine, "k", "v", WRITTEN).unwrap();
        let snapshot = engine.snapshot();
        let mut cursor = snapshot.scan(CF, Scan::default());
        disk.crash_process();
        assert_eq!(engine.get(CF, b"k", ReadTier::All), Err(EngineError::Closed));
        assert_eq!(snapshot.get(CF, b"k", ReadTier::Cached), Err(EngineError::Closed));
        assert_eq!(cursor.next(), Err(EngineError::Closed));
        assert_eq!(put(&engine, "k", "w", WRITTEN), Err(EngineError::Closed));
        assert_eq!(engine.close(), Err(EngineError::Closed));
        let next = open(&disk);
        assert_eq!(get(&*next, "k").as_deref(), Some("v"));
        drop(cursor);
        drop(snapshot);
        drop(engine);
        assert_eq!(get(&*next, "k").as_deref(), Some("v"), "a dead handle's drop leaves its successor open");
    }

    #[test]
    fn a_power_cut_keeps_what_was_synced_and_a_prefix_of_the_rest() {
        for kept in 0..=3 {
            let disk = MemoryDisk::new();
            let engine = open(&disk);
            put(&engine, "k", "synced", SYNCED).unwrap();
            put(&engine, "k", "1", WRITTEN).unwrap();
            put(&engine, "other", "2", WRITTEN).unwrap();
            assert_eq!((disk.unsynced(), disk.syncs()), (2, 1));
            disk.lose_power(kept);
            let engine = open(&disk);
            assert_eq!(get(&*engine, "k").as_deref(), Some(if kept == 0 { "synced" } else { "1" }));
            assert_eq!(get(&*engine, "other").as_deref(), (kept >= 2).then_some("2"));
            assert_eq!(disk.unsynced(), 0, "what a power cut left is on the platter");
        }
    }

    #[test]
    fn one_engine_at_a_time() {
        let disk = MemoryDisk::new();
        let engine = open(&disk);
        assert!(matches!(MemoryEngine::open(disk.clone()), Err(EngineError::Locked(_))));
        engine.close().unwrap();
        assert_eq!(engine.get(CF, b"k", ReadTier::All), Err(EngineError::Closed));
        drop(open(&disk));
        open(&disk);
    }

    #[test]
    fn a_full_disk_refuses_writes_until_there_is_space() {
        let disk = MemoryDisk::new();
        let engine = open(&disk);
        disk.set_fault(Some(DiskFault::NoSpace));
        assert!(matches!(put(&engine, "k", "v", WRITTEN), Err(EngineError::NoSpace(_))));
        assert!(matches!(engine.sync_wal(), Err(EngineError::NoSpace(_))));
        assert_eq!(get(&*engine, "k"), None);
        disk.set_fault(None);
        assert_eq!(put(&engine, "k", "v", SYNCED), Ok(()));
    }

    #[test]
    fn a_disk_of_a_size_has_room_until_it_is_full_and_again_after_a_delete() {
        let disk = MemoryDisk::new();
        let engine = open(&disk);
        assert_eq!(disk.room(), None);
        disk.set_capacity(Some(12));
        put(&engine, "k", "12345", SYNCED).unwrap();
        assert_eq!(disk.room(), Some((12, 6)));
        assert!(matches!(put(&engine, "x", "123456", SYNCED), Err(EngineError::NoSpace(_))));
        assert_eq!(get(&*engine, "x"), None);
        let mut batch = WriteBatch::new();
        batch.delete(CF, "k");
        engine.write(&batch, SYNCED).unwrap();
        assert_eq!(disk.room(), Some((12, 12)));
        assert_eq!(put(&engine, "x", "123456", SYNCED), Ok(()));
    }

    #[test]
    fn an_io_error_makes_the_engine_read_only_until_it_is_opened_anew() {
        let disk = MemoryDisk::new();
        let engine = open(&disk);
        put(&engine, "k", "v", WRITTEN).unwrap();
        disk.set_fault(Some(DiskFault::IoError));
        assert!(matches!(engine.get(CF, b"k", ReadTier::All), Err(EngineError::Io(_))));
        assert!(matches!(engine.get(CF, b"k", ReadTier::Cached), Ok(Some(_))));
        assert!(matches!(put(&engine, "k", "w", WRITTEN), Err(EngineError::Io(_))));
        disk.set_fault(None);
        assert!(matches!(put(&engine, "k", "w", WRITTEN), Err(EngineError::ReadOnly(_))));
        assert_eq!(get(&*engine, "k").as_deref(), Some("v"));
        drop(engine);
        assert_eq!(put(&open(&disk), "k", "w", WRITTEN), Ok(()));
    }

    #[test]
    fn a_failed_sync_is_final_and_its_batch_invisible() {
        let disk = MemoryDisk::new();
        let engine = open(&disk);
        put(&engine, "k", "old", SYNCED).unwrap();
        disk.set_fault(Some(DiskFault::SyncFails));
        assert_eq!(put(&engine, "k", "new", WRITTEN), Ok(()));
        assert!(matches!(put(&engine, "k", "doubtful", SYNCED), Err(EngineError::SyncFailed(_))));
        disk.set_fault(None);
        assert!(matches!(engine.sync_wal(), Err(EngineError::ReadOnly(_))));
        assert!(matches!(put(&engine, "k", "w", WRITTEN), Err(EngineError::ReadOnly(_))));
        assert_eq!(get(&*engine, "k").as_deref(), Some("new"));
        assert!(matches!(engine.close(), Err(EngineError::ReadOnly(_))));
        let engine = open(&disk);
        assert_eq!(get(&*engine, "k").as_deref(), Some("doubtful"), "in the page cache, so a new process finds it");
        disk.lose_power(0);
        assert_eq!(get(&*open(&disk), "k").as_deref(), Some("old"), "never synced, so a power cut takes it");
    }

    #[test]
    fn a_stalled_write_waits_for_the_fault_or_the_session_to_end() {
        let disk = MemoryDisk::new();
        let engine = open(&disk);
        for crash in [false, true] {
            disk.set_fault(Some(DiskFault::WriteStall));
            let hurried = WriteOptions { no_slowdown: true, ..WRITTEN };
            assert_eq!(put(&engine, "k", "hurried", hurried), Err(EngineError::WriteStall));
            let writer = std::thread::spawn({
                let engine = engine.clone();
                move || {
                    mark_engine_thread();
                    put(&engine, "k", "patient", WRITTEN)
                }
            });
            if crash {
                disk.crash_process();
                assert_eq!(writer.join().expect("returns"), Err(EngineError::Closed));
            } else {
                assert!(engine.statistics().writes_stopped);
                disk.set_fault(None);
                assert_eq!(writer.join().expect("returns"), Ok(()));
                assert_eq!(get(&*engine, "k").as_deref(), Some("patient"));
            }
        }
    }

    #[test]
    fn versions_no_one_can_ask_for_are_dropped() {
        let disk = MemoryDisk::new();
        let engine = open(&disk);
        let versions = || disk.state.lock().families.iter().flat_map(|f| f.values()).map(Vec::len).sum::<usize>();
        put(&engine, "k", "first", SYNCED).unwrap();
        let snapshot = engine.snapshot();
        for _ in 0..100 {
            put(&engine, "k", "next", SYNCED).unwrap();
        }
        assert_eq!(get(&*snapshot, "k").as_deref(), Some("first"));
        drop(snapshot);
        assert_eq!((versions(), disk.state.lock().history.len()), (1, 0));
        let mut batch = WriteBatch::new();
        batch.delete(CF, "k");
        engine.write(&batch, WRITTEN).unwrap();
        assert_eq!(versions(), 2, "a power cut may still bring the value back");
        engine.sync_wal().unwrap();
        assert_eq!((versions(), disk.state.lock().bytes), (0, 0));
    }

    #[test]
    fn a_run_that_never_syncs_stays_bounded() {
        let disk = MemoryDisk::new();
        let engine = open(&disk);
        let value = Bytes::from(vec![0; UNSYNCED_BYTES_MAX / 4]);
        for _ in 0..20 {
            let mut batch = WriteBatch::new();
            batch.put(CF, "k", value.clone());
            engine.write(&batch, WRITTEN).unwrap();
            assert!(disk.unsynced() <= 4);
        }
    }

    #[test]
    fn threads_that_are_not_engine_threads_are_refused() {
        let engine = open(&MemoryDisk::new());
        assert!(std::thread::spawn(move || engine.get(CF, b"k", ReadTier::All)).join().is_err());
    }
}
