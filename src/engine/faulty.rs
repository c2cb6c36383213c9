//! An engine that fails where failpoints say so: wrapped around the real one in builds that have them.
//!
//! What it must never do: change what the engine behind it does while nothing is armed.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::{
    ColumnFamily, Cursor, Engine, EngineError, EngineStatistics, Entry, Prefix, ReadTier, Scan, View, WriteBatch,
    WriteOptions,
};
use crate::config::RocksDbConfig;
use crate::failpoints::{
    ENGINE_GET, ENGINE_SCAN, ENGINE_STATISTICS, ENGINE_SYNC, ENGINE_WRITE, ENGINE_WRITTEN, Failpoint, Fault, fault,
};

/// Passes a place in the engine: fails or panics there if it is armed so.
pub fn pass_engine(point: &'static Failpoint) -> Result<(), EngineError> {
    let text = || format!("failpoint {}", point.name);
    match fault(point) {
        None => Ok(()),
        Some(Fault::Io) => Err(EngineError::Io(text())),
        Some(Fault::NoSpace) => Err(EngineError::NoSpace(text())),
        Some(Fault::Corrupt) => Err(EngineError::Corruption(text())),
        Some(Fault::Sync) => Err(EngineError::SyncFailed(text())),
        Some(Fault::WriteStall) => Err(EngineError::WriteStall),
        // A thread that hangs in the engine is a stall of the writer's or reader's own places.
        Some(Fault::Panic | Fault::Drop | Fault::Stall(_)) => panic!("failpoint {}", point.name),
    }
}

/// An engine behind failpoints.
pub struct FaultyEngine {
    engine: Arc<dyn Engine>,
    /// A sync has failed: as a real engine does, it takes no more writes.
    failed_sync: OnceLock<String>,
}

impl FaultyEngine {
    pub fn new(engine: Arc<dyn Engine>) -> FaultyEngine {
        FaultyEngine { engine, failed_sync: OnceLock::new() }
    }

    fn check(&self) -> Result<(), EngineError> {
        self.failed_sync.get().map_or(Ok(()), |reason| Err(EngineError::ReadOnly(reason.clone())))
    }

    fn remember(&self, error: EngineError) -> EngineError {
        if let EngineError::SyncFailed(reason) = &error {
            let _ = self.failed_sync.set(reason.clone());
        }
        error
    }
}

impl View for FaultyEngine {
    fn get(&self, cf: ColumnFamily, key: &[u8], tier: ReadTier) -> Result<Option<Bytes>, EngineError> {
        pass_engine(&ENGINE_GET)?;
        self.engine.get(cf, key, tier)
    }

    fn scan<'v>(&'v self, cf: ColumnFamily, scan: Scan) -> Box<dyn Cursor + 'v> {
        match pass_engine(&ENGINE_SCAN) {
            Ok(()) => self.engine.scan(cf, scan),
            Err(error) => Box::new(Broken(error)),
        }
    }
}

struct FaultySnapshot<'e>(Box<dyn View + 'e>);

impl View for FaultySnapshot<'_> {
    fn get(&self, cf: ColumnFamily, key: &[u8], tier: ReadTier) -> Result<Option<Bytes>, EngineError> {
        pass_engine(&ENGINE_GET)?;
        self.0.get(cf, key, tier)
    }

    fn scan<'v>(&'v self, cf: ColumnFamily, scan: Scan) -> Box<dyn Cursor + 'v> {
        match pass_engine(&ENGINE_SCAN) {
            Ok(()) => self.0.scan(cf, scan),
            Err(error) => Box::new(Broken(error)),
        }
    }
}

/// A cursor that fails.
struct Broken(EngineError);

impl Cursor for Broken {
    fn next(&mut self) -> Result<Option<Entry<'_>>, EngineError> {
        Err(self.0.clone())
    }

    fn seek(&mut self, _: &[u8]) {}
}

impl Engine for FaultyEngine {
    fn snapshot(&self) -> Box<dyn View + '_> {
        Box::new(FaultySnapshot(self.engine.snapshot()))
    }

    fn write(&self, batch: &WriteBatch, options: WriteOptions) -> Result<(), EngineError> {
        self.check()?;
        match pass_engine(&ENGINE_WRITE) {
            Err(EngineError::WriteStall) if !options.no_slowdown => {}
            Err(error @ EngineError::SyncFailed(_)) => {
                self.engine.write(batch, options)?;
                return Err(self.remember(error));
            }
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        self.engine.write(batch, options)?;
        pass_engine(&ENGINE_WRITTEN)
    }

    fn sync_wal(&self) -> Result<(), EngineError> {
        self.check()?;
        pass_engine(&ENGINE_SYNC).map_err(|error| self.remember(error))?;
        self.engine.sync_wal()
    }

    fn flush(&self) -> Result<(), EngineError> {
        self.engine.flush()
    }

    fn compact(&self, cf: ColumnFamily, lower: Option<&[u8]>, upper: Option<&[u8]>) -> Result<(), EngineError> {
        self.engine.compact(cf, lower, upper)
    }

    fn retire(&self, prefixes: &[Prefix]) {
        self.engine.retire(prefixes);
    }

    fn forget(&self, prefixes: &[Prefix]) {
        self.engine.forget(prefixes);
    }

    fn awaits_sync(&self) -> bool {
        self.engine.awaits_sync()
    }

    fn statistics(&self) -> EngineStatistics {
        let statistics = self.engine.statistics();
        match fault(&ENGINE_STATISTICS) {
            Some(Fault::WriteStall) => EngineStatistics { pending_compaction_bytes: u64::MAX, ..statistics },
            _ => statistics,
        }
    }

    fn writes_stopped(&self) -> bool {
        fault(&ENGINE_WRITE) == Some(Fault::WriteStall) || self.engine.writes_stopped()
    }

    fn tune(&self, knobs: &RocksDbConfig) -> Result<(), EngineError> {
        self.engine.tune(knobs)
    }

    fn close(&self) -> Result<(), EngineError> {
        self.engine.close()
    }
}
