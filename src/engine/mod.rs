//! The storage engine's door: an ordered, column-family key-value store with snapshots, atomic batches and a WAL.
//!
//! Two engines stand behind it: [`rocks`] (RocksDB, the only user of that crate) and [`memory`] (an ordered map with
//! the same crash semantics, the disk of the simulation). One conformance suite holds both to the same behaviour.
//!
//! What this room must never do: know what a key or a value means (that is `layout`), or be called from a network
//! thread (R2.1: every call that can block asserts that it runs on an engine thread, see [`thread`]).

#[cfg(any(feature = "failpoints", feature = "simulated-failpoints"))]
pub mod faulty;
pub mod memory;
#[cfg(any(feature = "rocks", test))]
mod report;
mod retire;
#[cfg(feature = "rocks")]
pub mod rocks;
pub mod thread;

use bytes::Bytes;

use crate::config::RocksDbConfig;
use crate::observe::Category;

/// The column families, in the order in which they are created. The names are on disk: never rename, never reuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ColumnFamily {
    /// Superblock, object-id high-water mark, dead object ids, counters. RocksDB's `default`.
    Control = 0,
    /// One record per key: type, expiry, and the value itself where it is small or a string.
    Meta = 1,
    /// The elements of large collections, by object id.
    Data = 2,
    /// Sorted sets by score.
    Score = 3,
    /// The expiry index, by due time.
    Ttl = 4,
}

impl ColumnFamily {
    pub const ALL: [ColumnFamily; 5] =
        [ColumnFamily::Control, ColumnFamily::Meta, ColumnFamily::Data, ColumnFamily::Score, ColumnFamily::Ttl];

    /// The name on disk.
    pub fn name(self) -> &'static str {
        match self {
            ColumnFamily::Control => "default",
            ColumnFamily::Meta => "meta",
            ColumnFamily::Data => "data",
            ColumnFamily::Score => "score",
            ColumnFamily::Ttl => "ttl",
        }
    }
}

/// How far a read may go to find its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ReadTier {
    /// Memtables, block cache and files: may block on the disk.
    #[default]
    All,
    /// Memtables and block cache only: answers [`EngineError::WouldBlock`] where a file would have to be read.
    Cached,
}

/// When a committed batch counts as written (Redis: `appendfsync`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// In the WAL, handed to the operating system: survives the death of the process, not of the machine.
    #[default]
    Written,
    /// In the WAL and synced: survives power loss. Visible to readers only once it is.
    Synced,
}

/// Options of one [`Engine::write`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct WriteOptions {
    pub durability: Durability,
    /// Fail with [`EngineError::WriteStall`], having applied nothing, instead of waiting out a slowdown or a stop.
    pub no_slowdown: bool,
}

/// One effect within a [`WriteBatch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mutation {
    Put {
        cf: ColumnFamily,
        key: Bytes,
        value: Bytes,
    },
    Delete {
        cf: ColumnFamily,
        key: Bytes,
    },
    /// Deletes `start <= key < end`. Rare and large only: every live range tombstone slows iterators.
    DeleteRange {
        cf: ColumnFamily,
        start: Bytes,
        end: Bytes,
    },
}

/// Effects that become visible and durable together or not at all, applied in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteBatch {
    pub mutations: Vec<Mutation>,
}

impl WriteBatch {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn is_empty(&self) -> bool {
        self.mutations.is_empty()
    }

    pub fn put(&mut self, cf: ColumnFamily, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.mutations.push(Mutation::Put { cf, key: key.into(), value: value.into() });
    }

    pub fn delete(&mut self, cf: ColumnFamily, key: impl Into<Bytes>) {
        self.mutations.push(Mutation::Delete { cf, key: key.into() });
    }

    pub fn delete_range(&mut self, cf: ColumnFamily, start: impl Into<Bytes>, end: impl Into<Bytes>) {
        self.mutations.push(Mutation::DeleteRange { cf, start: start.into(), end: end.into() });
    }

    /// Keys and values, in bytes: what bounds a group commit.
    pub fn size_bytes(&self) -> usize {
        self.mutations
            .iter()
            .map(|mutation| match mutation {
                Mutation::Put { key, value, .. } => key.len() + value.len(),
                Mutation::Delete { key, .. } => key.len(),
                Mutation::DeleteRange { start, end, .. } => start.len() + end.len(),
            })
            .sum()
    }
}

/// Which keys a [`Cursor`] walks, and which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Direction {
    #[default]
    Forward,
    Backward,
}

/// What a [`Cursor`] is to walk: `lower <= key < upper`; `None` is unbounded on that side.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    pub lower: Option<Bytes>,
    pub upper: Option<Bytes>,
    pub direction: Direction,
    pub tier: ReadTier,
    /// Give up with [`EngineError::TakesLong`] rather than pass a long row of removed entries that no compaction has
    /// cleared away yet.
    pub hurried: bool,
}

/// A consistent view to read from: the latest committed state of an [`Engine`] (each call its own), or a snapshot
/// (all calls the same).
pub trait View: Sync {
    /// The value of `key`, or `None`.
    fn get(&self, cf: ColumnFamily, key: &[u8], tier: ReadTier) -> Result<Option<Bytes>, EngineError>;

    /// A cursor over `scan`, positioned before its first entry (last, if backward). It sees one consistent state.
    /// It pins memory and files while it lives: keep it short.
    fn scan<'v>(&'v self, cf: ColumnFamily, scan: Scan) -> Box<dyn Cursor + 'v>;
}

/// A key and its value, as a [`Cursor`] lends them.
pub type Entry<'c> = (&'c [u8], &'c [u8]);

/// Walks a key range in byte order.
pub trait Cursor {
    /// Steps to the next entry in the direction of the scan and lends it; `None` at the end. After an error or the
    /// end the cursor stays there until [`Cursor::seek`].
    fn next(&mut self) -> Result<Option<Entry<'_>>, EngineError>;

    /// Repositions so that [`Cursor::next`] gives the first entry at or after `key` (backward: at or before), within
    /// the bounds.
    fn seek(&mut self, key: &[u8]);
}

/// What the keys of one object in [`ColumnFamily::Data`] and [`ColumnFamily::Score`] begin with.
pub type Prefix = [u8; PREFIX_BYTES];

/// The length of a [`Prefix`].
pub const PREFIX_BYTES: usize = 8;

/// An opened store. Handles are shared between the writer, the readers and maintenance.
pub trait Engine: View + Send + Sync + 'static {
    /// All reads through the returned view see the state at this call.
    fn snapshot(&self) -> Box<dyn View + '_>;

    /// Applies `batch` atomically. When it returns an error nothing was applied, except
    /// [`EngineError::SyncFailed`]: there the disk's state is unknown and the engine refuses writes from then on.
    fn write(&self, batch: &WriteBatch, options: WriteOptions) -> Result<(), EngineError>;

    /// Makes every batch written before this call durable (fsync of the WAL). [`EngineError::SyncFailed`] is final: the
    /// engine refuses writes from then on, for a second fsync that succeeds proves nothing about what the first one
    /// lost. [`EngineError::NoSpace`] says that there was no fsync, and nothing is lost: ask again.
    fn sync_wal(&self) -> Result<(), EngineError>;

    /// Writes memtables out to files and waits for it.
    fn flush(&self) -> Result<(), EngineError>;

    /// Compacts the range (`None`: unbounded) and waits for it.
    fn compact(&self, cf: ColumnFamily, lower: Option<&[u8]>, upper: Option<&[u8]>) -> Result<(), EngineError>;

    /// Says that no view taken from now on leads to the entries of [`ColumnFamily::Data`] and [`ColumnFamily::Score`]
    /// whose keys begin with one of `prefixes`, and that nothing will be written to them any more. Compactions drop
    /// them, whenever one meets them; but not before every view that is open now is closed, and everything written so
    /// far is durable. Kept in memory only: to be said again after each open.
    fn retire(&self, prefixes: &[Prefix]);

    /// Takes back [`Engine::retire`]: there is nothing left of these, or nothing was dropped that will be missed.
    fn forget(&self, prefixes: &[Prefix]);

    /// Whether retired prefixes wait for a sync.
    fn awaits_sync(&self) -> bool;

    /// Current figures, zeros once closed; may take the engine's internal lock, so ask rarely and from one thread.
    fn statistics(&self) -> EngineStatistics;

    /// Whether a write would wait for the engine to take writes again: a stop, not a slowdown. Cheap enough to ask every
    /// few milliseconds, not for every write.
    fn writes_stopped(&self) -> bool;

    /// Changes what can be changed while the store is open; the rest holds from the next open on. On an error everything is
    /// as before. An engine without such knobs has nothing to do.
    fn tune(&self, _knobs: &RocksDbConfig) -> Result<(), EngineError> {
        Ok(())
    }

    /// Syncs the WAL and stops background work. Calls after it answer [`EngineError::Closed`].
    fn close(&self) -> Result<(), EngineError>;
}

/// What an engine says about itself. Zero where an engine has no such thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineStatistics {
    pub memtable_bytes: u64,
    pub block_cache_bytes: u64,
    pub table_files_bytes: u64,
    pub estimated_keys: u64,
    pub pending_compaction_bytes: u64,
    pub running_compactions: u64,
    pub running_flushes: u64,
    /// Of the column family that has the most: it is what RocksDB slows and stops writes by.
    pub level0_files: u64,
    /// Of the column family that has the most.
    pub immutable_memtables: u64,
    /// RocksDB's write controller has stopped writes.
    pub writes_stopped: bool,
    /// Bytes per second to which RocksDB's write controller holds writes; 0: not held.
    pub delayed_write_rate: u64,
    /// Flushes and compactions that failed. Failed writes and syncs are not counted.
    pub background_errors: u64,
    /// Of all column families together.
    pub levels: [LevelStatistics; LEVELS],
    pub block_cache_capacity_bytes: u64,
    /// Of the block cache, what is in use and cannot be evicted.
    pub block_cache_pinned_bytes: u64,
    /// Memory of open tables beside the block cache.
    pub table_readers_bytes: u64,
    /// Of the table files, what is neither deleted nor overwritten.
    pub live_data_bytes: u64,
    pub snapshots: u64,
    /// Written by flushes, read and written by compactions, since the store was opened; to a few megabytes.
    pub flushed_bytes: u64,
    pub compaction_read_bytes: u64,
    pub compaction_written_bytes: u64,
    /// How often RocksDB began to slow or to stop writes, and for how long writes waited for it together.
    pub write_delays: u64,
    pub write_stops: u64,
    pub write_stalled_ms: u64,
}

/// Levels of the LSM tree.
pub const LEVELS: usize = 7;

/// One level of the LSM tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelStatistics {
    pub files: u64,
    pub bytes: u64,
}

/// Why an engine call failed. One variant per cause that someone treats differently.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    #[error("the answer is not in memory")]
    WouldBlock,
    #[error("the answer takes long to find")]
    TakesLong,
    #[error("writes are stalled")]
    WriteStall,
    #[error("no space left on the device: {0}")]
    NoSpace(String),
    #[error("the engine is read-only after an earlier error: {0}")]
    ReadOnly(String),
    #[error("fsync failed, what was written since the last one may be lost: {0}")]
    SyncFailed(String),
    #[error("corruption: {0}")]
    Corruption(String),
    #[error("I/O error: {0}")]
    Io(String),
    #[error("the data directory is locked by another process: {0}")]
    Locked(String),
    #[error("the engine is closed")]
    Closed,
}

impl EngineError {
    /// Under which it is reported.
    pub fn category(&self) -> Category {
        match self {
            EngineError::WriteStall => Category::Stall,
            EngineError::NoSpace(_) => Category::Space,
            EngineError::SyncFailed(_) => Category::Sync,
            EngineError::Corruption(_) => Category::Corruption,
            EngineError::WouldBlock
            | EngineError::TakesLong
            | EngineError::ReadOnly(_)
            | EngineError::Io(_)
            | EngineError::Locked(_)
            | EngineError::Closed => Category::Engine,
        }
    }
}
