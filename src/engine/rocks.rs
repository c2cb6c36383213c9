//! The engine on RocksDB: the options it runs under, and the translation of calls and errors.
//!
//! What this file must never do: let a RocksDB type or text cross the room's door (this is the only user of that
//! crate), call RocksDB from a thread that may not block, claim a sync that RocksDB did not report, or write again
//! after a sync failed.

use super::report;
use super::retire::{OpenView, PrefixSet, Retirement};
use super::thread::assert_engine_thread;
use super::{
    ColumnFamily, Cursor, Direction, Durability, Engine, EngineError, EngineStatistics, Entry, Mutation, PREFIX_BYTES,
    Prefix, ReadTier, Scan, View, WriteBatch, WriteOptions,
};
use crate::config::{Compression, RocksDbConfig};
use crate::limits;
use bytes::Bytes;
use parking_lot::Mutex;
use rocksdb::compaction_filter::{CompactionFilter, Decision};
use rocksdb::compaction_filter_factory::{CompactionFilterContext, CompactionFilterFactory};
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, BottommostLevelCompaction, Cache, ColumnFamilyDescriptor, CompactOptions,
    DB, DBCompressionType, DBRawIterator, DBRecoveryMode, DataBlockIndexType, Env, FlushOptions, InfoLogger, LogLevel,
    Options, ReadOptions, SliceTransform, Snapshot, WriteBufferManager, properties,
};
use std::ffi::CStr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// What an operator may tune. Names are RocksDB's (`include/rocksdb/options.h`, `advanced_options.h`) where it has one;
/// everything else is decided in this file. The defaults suit a machine with 2 cores and 4 GiB or more.
#[derive(Clone, Debug, PartialEq)]
pub struct RocksOptions {
    /// Capacity of the block cache (a HyperClockCache), in bytes. Holds index and filter blocks too. About 40 % of the
    /// machine's memory serves best: 10 GiB of 24.
    pub block_cache_bytes: usize,
    /// `write_buffer_size` of the column families `meta` and `data`, in bytes (64 KiB or more): one memtable. After a
    /// full disk RocksDB resumes once this much is free.
    pub write_buffer_size: usize,
    /// `write_buffer_size` of the column families `score`, `ttl` and `default`, in bytes (64 KiB or more); never more than
    /// that of the others.
    pub write_buffer_size_small: usize,
    /// Memtables per column family, the active one included (2 or more); one short of it writes are delayed, at it they
    /// stop.
    pub max_write_buffer_number: i32,
    /// All memtables together, in bytes (RocksDB's WriteBufferManager): beyond it the largest is flushed early. Never
    /// stalls writes. 0: unlimited.
    pub write_buffers_total_bytes: usize,
    /// Threads for flushes and compactions together (2 or more).
    pub max_background_jobs: i32,
    /// Threads of one compaction.
    pub max_subcompactions: u32,
    /// From the second level below level 0 on.
    pub compression: Compression,
    /// Level-0 files of a column family at which a compaction starts.
    pub level0_file_num_compaction_trigger: i32,
    /// Level-0 files of a column family at which RocksDB begins to delay writes.
    pub level0_slowdown_writes_trigger: i32,
    /// Level-0 files of a column family at which RocksDB stops writes.
    pub level0_stop_writes_trigger: i32,
    /// Size of the first level below level 0, in bytes.
    pub max_bytes_for_level_base: u64,
    /// Bytes per second that flushes and compactions together may write. 0: unlimited.
    pub rate_limit_bytes_per_second: u64,
    /// Table files held open. -1: all, without which a read of cached blocks may still have to open a file.
    pub max_open_files: i32,
    /// WAL bytes beyond which column families that hold up its deletion are flushed. 0: four times all memtables.
    pub max_total_wal_size: u64,
    /// Age in seconds at which files of `data` and `score` are rewritten, so that the remains of deleted collections go
    /// even where nothing else is written. 0: never.
    pub periodic_compaction_seconds: u64,
    /// What RocksDB tells the server's log.
    pub info_log_level: InfoLogLevel,
}

impl Default for RocksOptions {
    fn default() -> Self {
        RocksOptions {
            block_cache_bytes: 1 << 30,
            write_buffer_size: 128 << 20,
            write_buffer_size_small: 32 << 20,
            max_write_buffer_number: 5,
            write_buffers_total_bytes: 1 << 30,
            max_background_jobs: 2,
            max_subcompactions: 1,
            compression: Compression::Lz4,
            level0_file_num_compaction_trigger: 4,
            level0_slowdown_writes_trigger: 24,
            level0_stop_writes_trigger: 48,
            max_bytes_for_level_base: 512 << 20,
            rate_limit_bytes_per_second: 0,
            max_open_files: -1,
            max_total_wal_size: 1 << 30,
            periodic_compaction_seconds: 3 * 24 * 60 * 60,
            info_log_level: InfoLogLevel::Info,
        }
    }
}

/// A memtable of `meta` is filled in parts of this many bytes, at most so many, that are flushed together. A write looks for
/// its place in the part that is being filled: what of that is in the processor's cache decides what a SET costs (in eight parts
/// of 16 MiB a seventh less of the writer's time than in one of 128 MiB). A read asks each part's bloom filter. Column
/// families that are scanned are not filled in parts: there each part is one more to merge.
const MEMTABLE_PART_BYTES: usize = 16 << 20;
const MEMTABLE_PARTS_MAX: usize = 8;

/// Passes a line of RocksDB's on. Its information is our detail.
fn log_line(level: LogLevel, line: &str) {
    let line = line.trim_end();
    match level {
        LogLevel::Debug => tracing::trace!(target: "rocksdb", "{line}"),
        LogLevel::Info | LogLevel::Header => tracing::debug!(target: "rocksdb", "{line}"),
        LogLevel::Warn => tracing::warn!(target: "rocksdb", "{line}"),
        LogLevel::Error | LogLevel::Fatal => tracing::error!(target: "rocksdb", "{line}"),
    }
}

/// The least severe messages that RocksDB logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InfoLogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

impl From<&RocksDbConfig> for RocksOptions {
    fn from(knobs: &RocksDbConfig) -> RocksOptions {
        RocksOptions {
            block_cache_bytes: knobs.block_cache_size,
            write_buffer_size: knobs.write_buffer_size,
            max_write_buffer_number: knobs.max_write_buffer_number,
            max_background_jobs: knobs.max_background_jobs,
            max_subcompactions: knobs.max_subcompactions,
            compression: knobs.compression,
            level0_file_num_compaction_trigger: knobs.level0_file_num_compaction_trigger,
            level0_slowdown_writes_trigger: knobs.level0_slowdown_writes_trigger,
            level0_stop_writes_trigger: knobs.level0_stop_writes_trigger,
            rate_limit_bytes_per_second: knobs.rate_limiter_bytes_per_sec.max(0) as u64,
            max_open_files: knobs.max_open_files,
            max_total_wal_size: knobs.max_total_wal_size,
            ..RocksOptions::default()
        }
    }
}

/// In how many parts memtables of each column family are filled: as it was opened with, for RocksDB cannot change it.
#[derive(Clone, Copy, Debug)]
struct MemtableParts {
    meta: usize,
}

impl MemtableParts {
    fn new(options: &RocksOptions) -> MemtableParts {
        MemtableParts { meta: (options.write_buffer_size / MEMTABLE_PART_BYTES).clamp(1, MEMTABLE_PARTS_MAX) }
    }

    fn of(self, cf: ColumnFamily) -> usize {
        if cf == ColumnFamily::Meta { self.meta } else { 1 }
    }
}

impl RocksOptions {
    /// `write_buffer_size` of a column family that is filled in so many parts, and how many of them there may be.
    fn memtables(&self, cf: ColumnFamily, parts: MemtableParts) -> (usize, i32) {
        use ColumnFamily::*;
        let bytes = match cf {
            Meta | Data => self.write_buffer_size,
            Score | Ttl | Control => self.write_buffer_size_small.min(self.write_buffer_size),
        };
        (bytes / parts.of(cf), self.max_write_buffer_number * parts.of(cf) as i32)
    }

    /// The options of a column family that can be changed while it is open, by RocksDB's names, in its words.
    fn live(&self, cf: ColumnFamily, parts: MemtableParts) -> Vec<(&'static str, String)> {
        let (write_buffer_size, max_write_buffer_number) = self.memtables(cf, parts);
        let (below, bottom) = match self.compression {
            Compression::None => ("kNoCompression", "kDisableCompressionOption"),
            Compression::Lz4 => ("kLZ4Compression", "kDisableCompressionOption"),
            Compression::Zstd => ("kLZ4Compression", "kZSTD"),
        };
        let mut options = vec![
            ("max_write_buffer_number", max_write_buffer_number.to_string()),
            ("level0_file_num_compaction_trigger", self.level0_file_num_compaction_trigger.to_string()),
            ("level0_slowdown_writes_trigger", self.level0_slowdown_writes_trigger.to_string()),
            ("level0_stop_writes_trigger", self.level0_stop_writes_trigger.to_string()),
            ("compression_per_level", format!("kNoCompression:kNoCompression:{below}")),
            ("bottommost_compression", bottom.to_string()),
        ];
        if matches!(cf, ColumnFamily::Meta | ColumnFamily::Data) {
            options.push(("write_buffer_size", write_buffer_size.to_string()));
        }
        options
    }

    fn database(&self) -> Result<Options, rocksdb::Error> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);

        options.set_max_background_jobs(self.max_background_jobs);
        options.set_max_subcompactions(self.max_subcompactions);
        // Compactions yield the CPU to the threads that answer clients; flushes, which writes wait for, do not.
        let mut env = Env::new()?;
        env.lower_thread_pool_cpu_priority();
        options.set_env(&env);
        if self.rate_limit_bytes_per_second > 0 {
            let rate = i64::try_from(self.rate_limit_bytes_per_second).unwrap_or(i64::MAX);
            options.set_ratelimiter(rate, 100_000, 10);
        }

        options.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager(
            self.write_buffers_total_bytes,
            false,
        ));
        // One thread writes. What helps many (parallel inserts, spinning in the queue) costs it.
        options.set_allow_concurrent_memtable_write(false);
        options.set_enable_write_thread_adaptive_yield(false);

        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        options.set_track_and_verify_wals_in_manifest(true);
        options.set_max_total_wal_size(self.max_total_wal_size);
        // Write back steadily rather than in one burst that a later fsync has to wait for.
        options.set_bytes_per_sync(1 << 20);
        options.set_wal_bytes_per_sync(1 << 20);
        options.set_max_manifest_file_size(64 << 20);

        options.set_max_open_files(self.max_open_files);
        // Freeing a memtable or deleting a file takes tens of milliseconds: never on the thread that reads.
        options.set_avoid_unnecessary_blocking_io(true);

        // To our own log, which drops lines rather than wait for a disk: RocksDB logs while it holds its mutex, and with a
        // log file of its own on a disk that hangs, reads would hang as well.
        options.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Debug, log_line));
        options.set_log_level(match self.info_log_level {
            InfoLogLevel::Debug => LogLevel::Debug,
            InfoLogLevel::Info => LogLevel::Info,
            InfoLogLevel::Warn => LogLevel::Warn,
            InfoLogLevel::Error => LogLevel::Error,
        });
        Ok(options)
    }

    fn family(&self, cf: ColumnFamily, parts: MemtableParts, cache: &Cache, retirement: &Arc<Retirement>) -> Options {
        use ColumnFamily::*;
        let mut options = Options::default();
        let (write_buffer_size, max_write_buffer_number) = self.memtables(cf, parts);
        options.set_write_buffer_size(write_buffer_size);
        options.set_max_write_buffer_number(max_write_buffer_number);
        options.set_min_write_buffer_number_to_merge(parts.of(cf) as i32);
        options.set_level_zero_file_num_compaction_trigger(self.level0_file_num_compaction_trigger);
        options.set_level_zero_slowdown_writes_trigger(self.level0_slowdown_writes_trigger);
        options.set_level_zero_stop_writes_trigger(self.level0_stop_writes_trigger);
        options.set_level_compaction_dynamic_level_bytes(true);
        options.set_max_bytes_for_level_base(self.max_bytes_for_level_base);
        options.set_compression_per_level(&match self.compression {
            // By distance from level 0; the last entry holds for all levels below.
            Compression::Lz4 | Compression::Zstd => {
                [DBCompressionType::None, DBCompressionType::None, DBCompressionType::Lz4]
            }
            Compression::None => [DBCompressionType::None; 3],
        });
        if self.compression == Compression::Zstd {
            options.set_bottommost_compression_type(DBCompressionType::Zstd);
        }
        if cf != Control {
            // Runs of tombstones make seeks slow until a compaction removes them: have one as soon as there is a run.
            options.add_compact_on_deletion_collector_factory(1024, 512, 0.5);
        }

        let mut table = BlockBasedOptions::default();
        table.set_block_cache(cache);
        table.set_cache_index_and_filter_blocks(true);
        table.set_cache_index_and_filter_blocks_with_high_priority(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        table.set_pin_top_level_index_and_filter(true);
        table.set_bloom_filter(10.0, false);
        table.set_block_size(if cf == Meta { 4 << 10 } else { 8 << 10 });
        match cf {
            // Point reads of one short record.
            Meta => {
                table.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
                table.set_data_block_hash_ratio(0.75);
                options.set_memtable_prefix_bloom_ratio(0.05);
                options.set_memtable_whole_key_filtering(true);
            }
            // Much data, little of it hot: load index and filters by the piece, and ask them by object id too.
            Data | Score => {
                table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
                table.set_partition_filters(true);
                options.set_prefix_extractor(SliceTransform::create_fixed_prefix(PREFIX_BYTES));
                options.set_periodic_compaction_seconds(self.periodic_compaction_seconds);
                options.set_compaction_filter_factory(RetiredFilterFactory(retirement.clone()));
            }
            Ttl | Control => {}
        }
        options.set_block_based_table_factory(&table);
        options
    }
}

/// Makes a filter for each compaction of `data` and `score`. Several threads may ask it at once, so it changes nothing.
struct RetiredFilterFactory(Arc<Retirement>);

impl CompactionFilterFactory for RetiredFilterFactory {
    type Filter = RetiredFilter;

    fn create(&mut self, _: CompactionFilterContext) -> RetiredFilter {
        RetiredFilter { droppable: self.0.droppable(), last: None }
    }

    fn name(&self) -> &CStr {
        c"bulkhead.retired"
    }
}

/// Drops the entries of retired prefixes. It must never panic, for it is called from C++.
struct RetiredFilter {
    droppable: Arc<PrefixSet>,
    /// The prefix last asked about, and the verdict: entries of one object come together.
    last: Option<(Prefix, bool)>,
}

impl CompactionFilter for RetiredFilter {
    fn filter(&mut self, _: u32, key: &[u8], _: &[u8]) -> Decision {
        let Some(prefix) = key.first_chunk::<PREFIX_BYTES>() else { return Decision::Keep };
        let drop = match self.last {
            Some((last, verdict)) if last == *prefix => verdict,
            _ => self.droppable.contains(prefix),
        };
        self.last = Some((*prefix, drop));
        // A removal leaves a tombstone, so that no older version of the entry comes to light.
        if drop { Decision::Remove } else { Decision::Keep }
    }

    fn name(&self) -> &CStr {
        c"bulkhead.retired"
    }
}

/// An open RocksDB. Dropping it without [`Engine::close`] closes it too, but without a last sync.
pub struct RocksEngine {
    db: DB,
    cache: Cache,
    /// What it runs under now. Locked for as long as it is changed.
    options: Mutex<RocksOptions>,
    parts: MemtableParts,
    reads: ReadTiers,
    writes: WriteModes,
    /// The sync failure after which nothing is written any more.
    failed_sync: OnceLock<String>,
    /// The failure to write the WAL after which no write has succeeded yet.
    wal_error: Mutex<Option<String>>,
    closed: AtomicBool,
    retirement: Arc<Retirement>,
}

impl RocksEngine {
    /// Opens the store in `directory`, creating what is missing and replaying the WAL.
    ///
    /// # Errors
    /// [`EngineError::Locked`] while another engine, of this process or another, has it open (a closed one has it until
    /// it is dropped);
    /// [`EngineError::Corruption`]; [`EngineError::NoSpace`], for replaying the WAL writes files; [`EngineError::Io`] for
    /// all else, such as a column family this version does not know.
    pub fn open(directory: &Path, options: &RocksOptions) -> Result<Arc<RocksEngine>, EngineError> {
        assert_engine_thread();
        let cache = Cache::new_hyper_clock_cache(options.block_cache_bytes, 0);
        let retirement = Arc::new(Retirement::default());
        let parts = MemtableParts::new(options);
        let families = ColumnFamily::ALL
            .map(|cf| ColumnFamilyDescriptor::new(cf.name(), options.family(cf, parts, &cache, &retirement)));
        let database = options.database().map_err(open_error)?;
        let db = DB::open_cf_descriptors(&database, directory, families).map_err(open_error)?;
        let engine = RocksEngine {
            db,
            cache,
            options: Mutex::new(options.clone()),
            parts,
            reads: ReadTiers::new(None),
            writes: WriteModes::new(),
            failed_sync: OnceLock::new(),
            wal_error: Mutex::new(None),
            closed: AtomicBool::new(false),
            retirement,
        };
        for cf in [ColumnFamily::Meta, ColumnFamily::Data, ColumnFamily::Score] {
            // A fresh flush stays readable at the cached tier. The crate has no setter for this; a live one there is,
            // which rewrites the OPTIONS file. It is a comfort only: where that fails (a full disk), serve without.
            let prepopulate = [("block_based_table_factory", "{prepopulate_block_cache=kFlushOnly;}")];
            engine.db.set_options_cf(engine.family(cf), &prepopulate).ok();
        }
        Ok(Arc::new(engine))
    }

    /// RocksDB's handle: a look-up among five names, cheaper than what a self-reference would cost in care.
    fn family(&self, cf: ColumnFamily) -> &rocksdb::ColumnFamily {
        self.db.cf_handle(cf.name()).expect("invariant: open creates every column family")
    }

    fn check_open(&self) -> Result<(), EngineError> {
        match self.closed.load(Ordering::Acquire) {
            true => Err(EngineError::Closed),
            false => Ok(()),
        }
    }

    fn check_writable(&self) -> Result<(), EngineError> {
        self.check_open()?;
        match self.failed_sync.get() {
            Some(reason) => Err(EngineError::ReadOnly(reason.clone())),
            None => Ok(()),
        }
    }

    fn read(&self, cf: ColumnFamily, key: &[u8], options: &ReadOptions) -> Result<Option<Bytes>, EngineError> {
        assert_engine_thread();
        self.check_open()?;
        let value = self.db.get_pinned_cf_opt(self.family(cf), key, options).map_err(classify)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn cursor<'v>(&'v self, cf: ColumnFamily, scan: Scan, snapshot: Option<&Snapshot<'v>>) -> RocksCursor<'v> {
        assert_engine_thread();
        let open = self.retirement.open_view();
        let mut options = read_options(scan.tier, snapshot);
        if scan.hurried {
            options.set_max_skippable_internal_keys(limits::HURRIED_SKIPS);
        }
        options.set_total_order_seek(scan.direction == Direction::Backward || !within_one_prefix(&scan));
        if let Some(lower) = scan.lower {
            options.set_iterate_lower_bound(lower);
        }
        if let Some(upper) = scan.upper {
            options.set_iterate_upper_bound(upper);
        }
        RocksCursor {
            iterator: self.db.raw_iterator_cf_opt(self.family(cf), options),
            engine: self,
            direction: scan.direction,
            position: Position::Edge,
            _open: open,
        }
    }

    fn commit(&self, batch: rocksdb::WriteBatch, options: WriteOptions) -> Result<(), EngineError> {
        let sync = (options.durability == Durability::Synced).then(|| self.retirement.begin_sync());
        let outcome = self.db.write_opt(batch, self.writes.of(options));
        if let (Ok(()), Some(mark)) = (&outcome, sync) {
            self.retirement.synced(mark);
        }
        let mut wal_error = self.wal_error.lock();
        match outcome {
            Ok(()) => {
                *wal_error = None;
                Ok(())
            }
            Err(error) => Err(self.remember(write_error(error.into_string(), &mut wal_error))),
        }
    }

    fn sync(&self) -> Result<(), EngineError> {
        // To sync a WAL that could not be written fails, and turns an error from which RocksDB recovers by itself (a
        // full disk) into a fatal one. So ask first, by a write that changes nothing, whether it has recovered.
        if self.wal_error.lock().is_some() {
            let hurried = WriteOptions { durability: Durability::Written, no_slowdown: true };
            match self.commit(rocksdb::WriteBatch::default(), hurried) {
                Ok(()) | Err(EngineError::WriteStall) => {}
                Err(error) => return Err(error),
            }
        }
        let mark = self.retirement.begin_sync();
        self.db.flush_wal(true).map_err(|error| self.remember(sync_error(error.into_string())))?;
        self.retirement.synced(mark);
        Ok(())
    }

    /// A failed sync is the end of writing.
    fn remember(&self, error: EngineError) -> EngineError {
        if let EngineError::SyncFailed(text) = &error {
            self.failed_sync.get_or_init(|| text.clone());
        }
        error
    }
}

impl View for RocksEngine {
    fn get(&self, cf: ColumnFamily, key: &[u8], tier: ReadTier) -> Result<Option<Bytes>, EngineError> {
        self.read(cf, key, self.reads.of(tier))
    }

    fn scan<'v>(&'v self, cf: ColumnFamily, scan: Scan) -> Box<dyn Cursor + 'v> {
        Box::new(self.cursor(cf, scan, None))
    }
}

impl Engine for RocksEngine {
    fn snapshot(&self) -> Box<dyn View + '_> {
        assert_engine_thread();
        let open = self.retirement.open_view();
        let snapshot = self.db.snapshot();
        Box::new(RocksSnapshot { engine: self, reads: ReadTiers::new(Some(&snapshot)), snapshot, _open: open })
    }

    fn write(&self, batch: &WriteBatch, options: WriteOptions) -> Result<(), EngineError> {
        assert_engine_thread();
        self.check_writable()?;
        if batch.is_empty() {
            return Ok(());
        }
        // RocksDB adds a tag and up to three variable-length numbers to each mutation.
        let mut native =
            rocksdb::WriteBatch::with_capacity_bytes(batch.size_bytes() + 12 * (batch.mutations.len() + 1));
        for mutation in &batch.mutations {
            match mutation {
                Mutation::Put { cf, key, value } => native.put_cf(self.family(*cf), key, value),
                Mutation::Delete { cf, key } => native.delete_cf(self.family(*cf), key),
                // RocksDB refuses a range that ends before it starts, and only once it is in the WAL.
                Mutation::DeleteRange { cf, start, end } if start < end => {
                    native.delete_range_cf(self.family(*cf), start, end);
                }
                Mutation::DeleteRange { .. } => {}
            }
        }
        self.commit(native, options)
    }

    fn sync_wal(&self) -> Result<(), EngineError> {
        assert_engine_thread();
        self.check_writable()?;
        self.sync()
    }

    fn flush(&self) -> Result<(), EngineError> {
        assert_engine_thread();
        self.check_writable()?;
        let families = ColumnFamily::ALL.map(|cf| self.family(cf));
        self.db.flush_cfs_opt(&families, &FlushOptions::default()).map_err(classify)
    }

    fn compact(&self, cf: ColumnFamily, lower: Option<&[u8]>, upper: Option<&[u8]>) -> Result<(), EngineError> {
        assert_engine_thread();
        self.check_writable()?;
        // RocksDB would flush too; but its C interface keeps the outcome of a compaction to itself. A failure shows as
        // one more background error.
        self.db.flush_cf(self.family(cf)).map_err(classify)?;
        let errors = || self.integer(cf, properties::BACKGROUND_ERRORS);
        let before = errors();
        let mut options = CompactOptions::default();
        // Files of the last level that no newer one overlaps are rewritten too, or what is retired would stay in them.
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        self.db.compact_range_cf_opt(self.family(cf), lower, upper, &options);
        self.check_open()?;
        match errors() == before {
            true => Ok(()),
            false => Err(EngineError::Io("a background job failed during the compaction, see the server's log".into())),
        }
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
        assert_engine_thread();
        self.check_open().is_ok() && self.integer(ColumnFamily::Control, properties::IS_WRITE_STOPPED) != 0
    }

    fn statistics(&self) -> EngineStatistics {
        assert_engine_thread();
        if self.check_open().is_err() {
            return EngineStatistics::default();
        }
        let each = |name| ColumnFamily::ALL.into_iter().map(move |cf| self.integer(cf, name));
        let database = |name| self.integer(ColumnFamily::Control, name);
        let mut statistics = EngineStatistics {
            memtable_bytes: each(properties::CUR_SIZE_ALL_MEM_TABLES).sum(),
            block_cache_bytes: database(properties::BLOCK_CACHE_USAGE),
            table_files_bytes: each(properties::TOTAL_SST_FILES_SIZE).sum(),
            estimated_keys: each(properties::ESTIMATE_NUM_KEYS).sum(),
            pending_compaction_bytes: each(properties::ESTIMATE_PENDING_COMPACTION_BYTES).sum(),
            running_compactions: database(properties::NUM_RUNNING_COMPACTIONS),
            running_flushes: database(properties::NUM_RUNNING_FLUSHES),
            level0_files: ColumnFamily::ALL.into_iter().map(|cf| self.level0_files(cf)).max().unwrap_or(0),
            immutable_memtables: ColumnFamily::ALL
                .into_iter()
                .map(|cf| self.integer(cf, properties::NUM_IMMUTABLE_MEM_TABLE) / self.parts.of(cf) as u64)
                .max()
                .unwrap_or(0),
            writes_stopped: database(properties::IS_WRITE_STOPPED) != 0,
            delayed_write_rate: database(properties::ACTUAL_DELAYED_WRITE_RATE),
            background_errors: database(properties::BACKGROUND_ERRORS),
            block_cache_capacity_bytes: database(properties::BLOCK_CACHE_CAPACITY),
            block_cache_pinned_bytes: database(properties::BLOCK_CACHE_PINNED_USAGE),
            table_readers_bytes: each(properties::ESTIMATE_TABLE_READERS_MEM).sum(),
            live_data_bytes: each(properties::ESTIMATE_LIVE_DATA_SIZE).sum(),
            snapshots: database(properties::NUM_SNAPSHOTS),
            ..EngineStatistics::default()
        };
        for cf in ColumnFamily::ALL {
            report::add_levels(&self.text(cf, properties::LEVELSTATS), &mut statistics.levels);
            report::add_family(&self.text(cf, properties::CFSTATS_NO_FILE_HISTOGRAM), &mut statistics);
        }
        statistics.write_stalled_ms = report::stalled_ms(&self.text(ColumnFamily::Control, properties::DBSTATS));
        statistics
    }

    fn tune(&self, knobs: &RocksDbConfig) -> Result<(), EngineError> {
        assert_engine_thread();
        self.check_open()?;
        let wanted = RocksOptions::from(knobs);
        let mut current = self.options.lock();
        for (place, cf) in ColumnFamily::ALL.into_iter().enumerate() {
            if let Err(error) = self.change(cf, &current, &wanted) {
                for changed in &ColumnFamily::ALL[..place] {
                    // What this family refuses it had accepted before.
                    self.change(*changed, &wanted, &current).ok();
                }
                return Err(error);
            }
        }
        if wanted.block_cache_bytes != current.block_cache_bytes {
            // A handle: all of them are the one cache.
            self.cache.clone().set_capacity(wanted.block_cache_bytes);
        }
        *current = wanted;
        Ok(())
    }

    fn close(&self) -> Result<(), EngineError> {
        assert_engine_thread();
        if self.closed.swap(true, Ordering::AcqRel) {
            return Err(EngineError::Closed);
        }
        let synced = match self.failed_sync.get() {
            Some(reason) => Err(EngineError::ReadOnly(reason.clone())),
            None => self.sync(),
        };
        self.db.cancel_all_background_work(true);
        synced
    }
}

impl RocksEngine {
    /// An integer property; 0 where RocksDB does not answer.
    fn integer(&self, cf: ColumnFamily, name: &properties::PropName) -> u64 {
        self.db.property_int_value_cf(self.family(cf), name).ok().flatten().unwrap_or(0)
    }

    /// A property that is a text; empty where RocksDB does not answer.
    fn text(&self, cf: ColumnFamily, name: &properties::PropName) -> String {
        self.db.property_value_cf(self.family(cf), name).ok().flatten().unwrap_or_default()
    }

    /// Sets the options of a column family whose values differ. Each call rewrites the OPTIONS file: so one, if any.
    fn change(&self, cf: ColumnFamily, from: &RocksOptions, to: &RocksOptions) -> Result<(), EngineError> {
        let before = from.live(cf, self.parts);
        let changed: Vec<(&str, String)> =
            to.live(cf, self.parts).into_iter().filter(|option| !before.contains(option)).collect();
        let changed: Vec<(&str, &str)> = changed.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if changed.is_empty() {
            return Ok(());
        }
        self.db.set_options_cf(self.family(cf), &changed).map_err(classify)
    }

    fn level0_files(&self, cf: ColumnFamily) -> u64 {
        let text = self.db.property_value_cf(self.family(cf), properties::num_files_at_level(0)).ok().flatten();
        text.and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

struct RocksSnapshot<'e> {
    engine: &'e RocksEngine,
    reads: ReadTiers,
    snapshot: Snapshot<'e>,
    _open: OpenView<'e>,
}

impl View for RocksSnapshot<'_> {
    fn get(&self, cf: ColumnFamily, key: &[u8], tier: ReadTier) -> Result<Option<Bytes>, EngineError> {
        self.engine.read(cf, key, self.reads.of(tier))
    }

    fn scan<'v>(&'v self, cf: ColumnFamily, scan: Scan) -> Box<dyn Cursor + 'v> {
        Box::new(self.engine.cursor(cf, scan, Some(&self.snapshot)))
    }
}

/// What a cursor's next step does.
enum Position {
    /// Go to the edge of the scan that its direction starts from.
    Edge,
    /// Stay: a seek has found the entry to lend.
    Found,
    /// Step off the entry last lent.
    Lent,
    /// Stay at the end, or at the error that stopped it.
    Done(Result<(), EngineError>),
}

struct RocksCursor<'v> {
    iterator: DBRawIterator<'v>,
    engine: &'v RocksEngine,
    direction: Direction,
    position: Position,
    /// Behind the iterator: what it stands on is let go before that is said.
    _open: OpenView<'v>,
}

impl Cursor for RocksCursor<'_> {
    fn next(&mut self) -> Result<Option<Entry<'_>>, EngineError> {
        assert_engine_thread();
        self.engine.check_open()?;
        match (&self.position, self.direction) {
            (Position::Edge, Direction::Forward) => self.iterator.seek_to_first(),
            (Position::Edge, Direction::Backward) => self.iterator.seek_to_last(),
            (Position::Lent, Direction::Forward) => self.iterator.next(),
            (Position::Lent, Direction::Backward) => self.iterator.prev(),
            (Position::Found, _) => {}
            (Position::Done(outcome), _) => return outcome.clone().map(|()| None),
        }
        if !self.iterator.valid() {
            let outcome = self.iterator.status().map_err(classify);
            self.position = Position::Done(outcome.clone());
            return outcome.map(|()| None);
        }
        self.position = Position::Lent;
        Ok(self.iterator.item())
    }

    fn seek(&mut self, key: &[u8]) {
        assert_engine_thread();
        match self.direction {
            Direction::Forward => self.iterator.seek(key),
            Direction::Backward => self.iterator.seek_for_prev(key),
        }
        self.position = Position::Found;
    }
}

fn read_options(tier: ReadTier, snapshot: Option<&Snapshot<'_>>) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_read_tier(match tier {
        ReadTier::All => rocksdb::ReadTier::All,
        ReadTier::Cached => rocksdb::ReadTier::BlockCache,
    });
    if let Some(snapshot) = snapshot {
        options.set_snapshot(snapshot);
    }
    options
}

/// The options of point reads, made once: each is an allocation in C++.
struct ReadTiers {
    all: ReadOptions,
    cached: ReadOptions,
}

impl ReadTiers {
    fn new(snapshot: Option<&Snapshot<'_>>) -> Self {
        ReadTiers { all: read_options(ReadTier::All, snapshot), cached: read_options(ReadTier::Cached, snapshot) }
    }

    fn of(&self, tier: ReadTier) -> &ReadOptions {
        match tier {
            ReadTier::All => &self.all,
            ReadTier::Cached => &self.cached,
        }
    }
}

/// The options of writes, made once, by durability and whether to fail on a slowdown.
struct WriteModes([[rocksdb::WriteOptions; 2]; 2]);

impl WriteModes {
    fn new() -> Self {
        WriteModes([false, true].map(|sync| {
            [false, true].map(|no_slowdown| {
                let mut options = rocksdb::WriteOptions::default();
                options.set_sync(sync);
                options.set_no_slowdown(no_slowdown);
                options
            })
        }))
    }

    fn of(&self, options: WriteOptions) -> &rocksdb::WriteOptions {
        &self.0[usize::from(options.durability == Durability::Synced)][usize::from(options.no_slowdown)]
    }
}

/// Whether all keys between the scan's bounds begin with the same prefix, so that RocksDB may skip files whose filter
/// does not know it. (`auto_prefix_mode` would decide this, but counts keys shorter than a prefix as absent.)
fn within_one_prefix(scan: &Scan) -> bool {
    let (Some(lower), Some(upper)) = (&scan.lower, &scan.upper) else { return false };
    if lower.len() < PREFIX_BYTES || upper.len() < PREFIX_BYTES {
        return false;
    }
    let (last, head) = (PREFIX_BYTES - 1, ..PREFIX_BYTES - 1);
    // Up to the prefix's successor, if only its last byte differs: a carry would let shorter keys in between.
    lower[head] == upper[head]
        && (lower[last] == upper[last]
            || upper.len() == PREFIX_BYTES && lower[last].checked_add(1) == Some(upper[last]))
}

/// What an error text of RocksDB means, for a read or a background job. Statuses reach us as text only, subcodes
/// included (`util/status.cc`).
fn classify(text: impl Into<String>) -> EngineError {
    let text = text.into();
    let kind = text.split(':').next().unwrap_or_default();
    match kind {
        "Result incomplete" if text.contains("Write stall") => EngineError::WriteStall,
        "Result incomplete" if text.contains("Too many internal keys skipped") => EngineError::TakesLong,
        // An I/O error, or (of a write, while writes are stopped) an incomplete that quotes one.
        "IO error" | "Result incomplete"
            if text.contains("No space left on device") || text.contains("Space limit reached") =>
        {
            EngineError::NoSpace(text)
        }
        "Result incomplete" => EngineError::WouldBlock,
        "Corruption" => EngineError::Corruption(text),
        "Shutdown in progress" => EngineError::Closed,
        _ => EngineError::Io(text),
    }
}

/// What the error of a write means. `wal_error` is the failure to write the WAL after which no write succeeded, and is
/// set if this is one.
fn write_error(text: String, wal_error: &mut Option<String>) -> EngineError {
    if is_wal_sync(&text) {
        return EngineError::SyncFailed(text);
    }
    let on_wal = text.contains(".log:");
    let repeated = wal_error.as_ref() == Some(&text);
    if on_wal {
        *wal_error = Some(text.clone());
    }
    match classify(&text[..]) {
        refusal @ (EngineError::WriteStall | EngineError::NoSpace(_) | EngineError::Closed) => refusal,
        // This write's own failure. RocksDB refuses the next ones with its text.
        failure @ EngineError::Io(_) if on_wal && !repeated => failure,
        // An earlier failure, of a background job or of a write, that RocksDB does not forget.
        _ => EngineError::ReadOnly(text),
    }
}

/// What the error of a sync means: the end, unless the disk was too full to note in the manifest that it succeeded.
fn sync_error(text: String) -> EngineError {
    match classify(&text[..]) {
        full @ EngineError::NoSpace(_) if text.contains("MANIFEST") => full,
        _ => EngineError::SyncFailed(text),
    }
}

/// Whether a write failed because the WAL could not be synced (`env/io_posix.cc`). Other files' syncs, which RocksDB
/// also reports to writers when a background job failed on them, lose nothing: the WAL still has it.
fn is_wal_sync(text: &str) -> bool {
    ["While fsync", "While fdatasync", "While sync_file_range"].iter().any(|call| text.contains(call))
        && (text.contains(".log:") || text.contains("a directory"))
}

/// An error of open: the lock on the directory is an I/O error like any other to RocksDB (`env/fs_posix.cc`).
fn open_error(text: impl Into<String>) -> EngineError {
    match classify(text) {
        EngineError::Io(text) if text.contains("lock hold by current process") || text.contains("While lock file") => {
            EngineError::Locked(text)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::thread::mark_engine_thread;
    use super::*;

    const CF: ColumnFamily = ColumnFamily::Meta;

    fn small() -> RocksOptions {
        RocksOptions { block_cache_bytes: 8 << 20, ..RocksOptions::default() }
    }

    fn open(directory: &Path, options: &RocksOptions) -> Arc<RocksEngine> {
        mark_engine_thread();
        RocksEngine::open(directory, options).expect("opens")
    }

    fn put(key: &'static [u8], value: impl Into<Bytes>) -> WriteBatch {
        let mut batch = WriteBatch::new();
        batch.put(CF, key, value);
        batch
    }

    #[test]
    fn one_engine_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let engine = open(directory.path(), &small());
        let second = RocksEngine::open(directory.path(), &small());
        assert!(matches!(second, Err(EngineError::Locked(_))), "{:?}", second.err());
        drop(engine);
        open(directory.path(), &small());
    }

    #[test]
    fn a_closed_engine_answers_closed() {
        let directory = tempfile::tempdir().unwrap();
        let engine = open(directory.path(), &small());
        engine.write(&put(b"k", "v"), WriteOptions::default()).unwrap();
        let snapshot = engine.snapshot();
        let mut cursor = snapshot.scan(CF, Scan::default());
        assert_eq!(engine.close(), Ok(()));
        assert_eq!(engine.close(), Err(EngineError::Closed));
        assert_eq!(engine.write(&put(b"k", "v"), WriteOptions::default()), Err(EngineError::Closed));
        assert_eq!(engine.get(CF, b"k", ReadTier::All), Err(EngineError::Closed));
        assert_eq!(snapshot.get(CF, b"k", ReadTier::All), Err(EngineError::Closed));
        assert_eq!(cursor.next(), Err(EngineError::Closed));
        assert_eq!(engine.flush(), Err(EngineError::Closed));
        assert_eq!(engine.statistics(), EngineStatistics::default());
    }

    #[test]
    fn threads_that_are_not_engine_threads_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let engine = open(directory.path(), &small());
        assert!(std::thread::spawn(move || engine.get(CF, b"k", ReadTier::All)).join().is_err());
    }

    #[test]
    fn a_hurried_cursor_does_not_pass_a_long_row_of_removed_entries() {
        let directory = tempfile::tempdir().unwrap();
        let engine = open(directory.path(), &small());
        let (mut puts, mut deletes) = (WriteBatch::new(), WriteBatch::new());
        for number in 0..2 * limits::HURRIED_SKIPS {
            puts.put(CF, number.to_be_bytes().to_vec(), "v");
            deletes.delete(CF, number.to_be_bytes().to_vec());
        }
        puts.put(CF, u64::MAX.to_be_bytes().to_vec(), "last");
        engine.write(&puts, WriteOptions::default()).unwrap();
        engine.write(&deletes, WriteOptions::default()).unwrap();
        let hurried = Scan { hurried: true, ..Scan::default() };
        assert_eq!(engine.scan(CF, hurried.clone()).next(), Err(EngineError::TakesLong));
        assert_eq!(
            engine.scan(CF, Scan { direction: Direction::Backward, ..hurried }).next().unwrap().unwrap().1,
            b"last"
        );
        assert_eq!(engine.scan(CF, Scan::default()).next().unwrap().unwrap().1, b"last");
    }

    #[test]
    fn a_cold_read_of_the_cached_tier_would_block() {
        let directory = tempfile::tempdir().unwrap();
        let engine = open(directory.path(), &small());
        engine.write(&put(b"k", "v"), WriteOptions::default()).unwrap();
        engine.flush().unwrap();
        assert_eq!(engine.get(CF, b"k", ReadTier::Cached), Ok(Some("v".into())), "a flush leaves its blocks cached");
        drop(engine);
        let engine = open(directory.path(), &small());
        let cached = Scan { tier: ReadTier::Cached, ..Scan::default() };
        assert_eq!(engine.get(CF, b"k", ReadTier::Cached), Err(EngineError::WouldBlock));
        let mut cursor = engine.scan(CF, cached.clone());
        assert_eq!(cursor.next(), Err(EngineError::WouldBlock));
        assert_eq!(cursor.next(), Err(EngineError::WouldBlock), "a cursor stays at its error");
        assert_eq!(engine.get(CF, b"k", ReadTier::All), Ok(Some("v".into())));
        assert_eq!(engine.get(CF, b"k", ReadTier::Cached), Ok(Some("v".into())));
        assert_eq!(engine.scan(CF, cached).next(), Ok(Some((&b"k"[..], &b"v"[..]))));
    }

    #[test]
    fn error_texts_are_told_apart() {
        for (text, expected) in [
            ("Result incomplete: no blocking io", EngineError::WouldBlock),
            ("Corruption: block checksum mismatch", EngineError::Corruption("{}".into())),
            ("IO error: While pread offset 0 len 9: /d/7.sst: Input/output error", EngineError::Io("{}".into())),
            ("Invalid argument: Column families not opened: new", EngineError::Io("{}".into())),
            (
                "IO error: lock hold by current process, acquire time 1: /d/LOCK: No locks",
                EngineError::Locked("{}".into()),
            ),
            ("IO error: While lock file: /d/LOCK: Resource temporarily", EngineError::Locked("{}".into())),
            ("IO error: while open a file for lock: /d/LOCK: Permission denied", EngineError::Io("{}".into())),
        ] {
            assert_eq!(open_error(text).to_string(), expected.to_string().replace("{}", text));
        }
    }

    #[test]
    fn write_errors_say_whether_it_was_this_write_and_whether_it_is_the_end() {
        let check = |wal_error: &mut Option<String>, text: &str, expected: fn(String) -> EngineError| {
            assert_eq!(write_error(text.into(), wal_error), expected(text.into()));
        };
        let healthy = &mut None;
        check(healthy, "Result incomplete: Write stall", |_| EngineError::WriteStall);
        check(healthy, "Shutdown in progress: stalled writes", |_| EngineError::Closed);
        check(healthy, "IO error: While fdatasync: /d/9.sst: Input/output error", EngineError::ReadOnly);
        check(healthy, "Result incomplete: IO error: While pread: /d/9.sst: Input/output error", EngineError::ReadOnly);
        check(healthy, "Corruption: block checksum mismatch", EngineError::ReadOnly);
        check(healthy, "IO error: No space left on device: While appending to file: /d/9.sst", EngineError::NoSpace);
        assert_eq!(*healthy, None, "none of these was about the WAL");
        check(healthy, "IO error: While fdatasync: /d/4.log: Input/output error", EngineError::SyncFailed);
        check(healthy, "IO error: No space left on device: While fsync: /d/4.log: No space", EngineError::SyncFailed);
        check(healthy, "IO error: While fsync: a directory: Input/output error", EngineError::SyncFailed);

        let broken = &mut None;
        let text = "IO error: While appending to file: /d/4.log: Input/output error";
        check(broken, text, EngineError::Io);
        assert_eq!(broken.as_deref(), Some(text));
        check(broken, text, EngineError::ReadOnly);
        let full = "IO error: No space left on device: While appending to file: /d/4.log: No space left on device";
        check(&mut None, full, EngineError::NoSpace);
        check(&mut Some(full.into()), full, EngineError::NoSpace);
    }

    #[test]
    fn a_failed_sync_is_the_end_unless_only_the_manifest_had_no_space() {
        let full = "IO error: No space left on device: While appending to file: /d/MANIFEST-1: No space left on device";
        assert_eq!(sync_error(full.into()), EngineError::NoSpace(full.into()));
        let failed = "IO error: While fdatasync: /d/4.log: Input/output error";
        assert_eq!(sync_error(failed.into()), EngineError::SyncFailed(failed.into()));

        let directory = tempfile::tempdir().unwrap();
        let engine = open(directory.path(), &small());
        engine.write(&put(b"k", "v"), WriteOptions::default()).unwrap();
        assert_eq!(engine.remember(EngineError::SyncFailed("fsync".into())), EngineError::SyncFailed("fsync".into()));
        let refused = Err(EngineError::ReadOnly("fsync".into()));
        assert_eq!(engine.write(&put(b"k", "w"), WriteOptions::default()), refused);
        assert_eq!(engine.sync_wal(), refused);
        assert_eq!(engine.flush(), refused);
        assert_eq!(engine.get(CF, b"k", ReadTier::All), Ok(Some("v".into())), "reads go on");
        assert_eq!(engine.close(), refused);
    }

    /// Flushes at 64 KiB/s cannot keep up, so the two memtables fill.
    #[test]
    fn a_stalled_write_says_so_if_asked_not_to_wait_and_waits_otherwise() {
        let directory = tempfile::tempdir().unwrap();
        let options = RocksOptions {
            write_buffer_size: 64 << 10,
            max_write_buffer_number: 2,
            rate_limit_bytes_per_second: 64 << 10,
            compression: Compression::None,
            ..small()
        };
        let engine = open(directory.path(), &options);
        let hurried = WriteOptions { no_slowdown: true, ..WriteOptions::default() };
        let value = Bytes::from(vec![7; 16 << 10]);
        let refused = (0..1000).find_map(|_| engine.write(&put(b"k", value.clone()), hurried).err());
        assert_eq!(refused, Some(EngineError::WriteStall));
        let statistics = engine.statistics();
        assert!(statistics.writes_stopped || statistics.delayed_write_rate > 0, "{statistics:?}");
        assert_eq!(engine.get(CF, b"k", ReadTier::Cached), Ok(Some(value.clone())), "reads go on");
        assert_eq!(engine.write(&put(b"k", "after"), WriteOptions::default()), Ok(()));
        assert_eq!(engine.get(CF, b"k", ReadTier::Cached), Ok(Some("after".into())));
    }

    /// The filter of a file that holds only a range tombstone does not know the prefix; the tombstone counts anyway.
    #[test]
    fn a_range_deletion_holds_in_a_file_that_has_no_key_of_its_prefix() {
        let directory = tempfile::tempdir().unwrap();
        let engine = open(directory.path(), &small());
        let (lower, upper) = (7u64.to_be_bytes(), 8u64.to_be_bytes());
        let key = Bytes::from([&lower[..], b"field"].concat());
        let mut batch = WriteBatch::new();
        batch.put(ColumnFamily::Data, key.clone(), "old");
        engine.write(&batch, WriteOptions::default()).unwrap();
        engine.flush().unwrap();
        let mut batch = WriteBatch::new();
        batch.delete_range(ColumnFamily::Data, lower.to_vec(), upper.to_vec());
        batch.put(ColumnFamily::Data, 9u64.to_be_bytes().to_vec(), "elsewhere");
        engine.write(&batch, WriteOptions::default()).unwrap();
        engine.flush().unwrap();
        let scan = Scan { lower: Some(lower.to_vec().into()), upper: Some(upper.to_vec().into()), ..Scan::default() };
        assert!(within_one_prefix(&scan));
        assert_eq!(engine.scan(ColumnFamily::Data, scan).next(), Ok(None));
        assert_eq!(engine.get(ColumnFamily::Data, &key, ReadTier::All), Ok(None));
    }

    #[test]
    fn a_memtable_in_parts_is_flushed_as_one_and_is_as_large_as_configured_after_a_change_too() {
        let directory = tempfile::tempdir().unwrap();
        let options = RocksOptions { write_buffer_size: 2 * MEMTABLE_PART_BYTES, ..small() };
        let engine = open(directory.path(), &options);
        let wanted = RocksDbConfig {
            block_cache_size: options.block_cache_bytes,
            write_buffer_size: 4 * MEMTABLE_PART_BYTES,
            max_write_buffer_number: options.max_write_buffer_number,
            level0_file_num_compaction_trigger: options.level0_file_num_compaction_trigger,
            level0_slowdown_writes_trigger: options.level0_slowdown_writes_trigger,
            level0_stop_writes_trigger: options.level0_stop_writes_trigger,
            ..RocksDbConfig::default()
        };
        let value = Bytes::from(vec![7; 1 << 20]);
        let mut written = 0;
        let mut fill = |mebibytes: u32| {
            for _ in 0..mebibytes {
                written += 1;
                let mut batch = WriteBatch::new();
                batch.put(CF, u32::to_be_bytes(written).to_vec(), value.clone());
                engine.write(&batch, WriteOptions::default()).unwrap();
            }
            engine.statistics()
        };
        let files = |statistics: &EngineStatistics| statistics.level0_files;
        let half = fill(20);
        assert_eq!((files(&half), half.immutable_memtables), (0, 0), "one part is full, and that flushes nothing");
        engine.flush().unwrap();
        assert_eq!(files(&engine.statistics()), 1, "by request it is flushed whatever it is");
        engine.tune(&wanted).unwrap();
        assert_eq!(files(&fill(40)), 1, "its parts are twice as large now");
        assert_eq!(engine.get(CF, &u32::to_be_bytes(1), ReadTier::All), Ok(Some(value.clone())));
    }

    #[test]
    fn statistics_tell_of_memtables_files_and_keys() {
        let directory = tempfile::tempdir().unwrap();
        let engine = open(directory.path(), &small());
        engine.write(&put(b"k", vec![0; 1000]), WriteOptions::default()).unwrap();
        let before = engine.statistics();
        assert!(before.memtable_bytes > 1000 && before.table_files_bytes == 0, "{before:?}");
        engine.flush().unwrap();
        let after = engine.statistics();
        assert!(after.table_files_bytes > 0 && after.level0_files == 1 && after.estimated_keys == 1, "{after:?}");
        assert!(after.block_cache_bytes > 0, "{after:?}");
    }

    #[test]
    fn what_can_change_changes_while_the_store_is_open() {
        let directory = tempfile::tempdir().unwrap();
        let engine = open(directory.path(), &small());
        let knobs = RocksDbConfig {
            block_cache_size: 16 << 20,
            write_buffer_size: 1 << 20,
            max_write_buffer_number: 4,
            level0_file_num_compaction_trigger: 3,
            level0_slowdown_writes_trigger: 7,
            level0_stop_writes_trigger: 9,
            compression: Compression::Zstd,
            ..RocksDbConfig::default()
        };
        assert_eq!(engine.tune(&knobs), Ok(()));
        assert_eq!(engine.statistics().block_cache_capacity_bytes, 16 << 20);
        assert_eq!(engine.options.lock().compression, Compression::Zstd);
        engine.write(&put(b"k", vec![0; 1000]), WriteOptions::default()).unwrap();
        engine.flush().unwrap();
        let statistics = engine.statistics();
        assert_eq!(statistics.levels.iter().map(|level| level.files).sum::<u64>(), 1, "{statistics:?}");
    }

    #[test]
    fn scans_of_one_prefix_are_told_from_others() {
        for (lower, upper, expected) in [
            (&b"\0\0\0\0\0\0\0\x05"[..], &b"\0\0\0\0\0\0\0\x06"[..], true),
            (b"\0\0\0\0\0\0\0\x05aa", b"\0\0\0\0\0\0\0\x05b", true),
            (b"\0\0\0\0\0\0\0\x05aa", b"\0\0\0\0\0\0\0\x06", true),
            (b"\0\0\0\0\0\0\0\x05", b"\0\0\0\0\0\0\0\x06a", false),
            (b"\0\0\0\0\0\0\0\x05", b"\0\0\0\0\0\0\0\x07", false),
            (b"\0\0\0\0\0\0\0\xff", b"\0\0\0\0\0\0\x01\0", false),
            (b"\0\0\0\0\0\0\0\xff", b"\0\0\0\0\0\0\x01", false),
            (b"a", b"b", false),
        ] {
            let [lower_bound, upper_bound] = [lower, upper].map(|bound| Some(Bytes::from_static(bound)));
            let scan = Scan { lower: lower_bound, upper: upper_bound, ..Scan::default() };
            assert_eq!(within_one_prefix(&scan), expected, "{lower:?}..{upper:?}");
        }
        assert!(!within_one_prefix(&Scan::default()));
    }
}
