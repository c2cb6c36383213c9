//! A machine's disk: the memory engine's, which knows what a crash keeps, and the few small files beside it. The engine
//! that opens on it shows its commits to the trace.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bulkhead::config::Config;
use bulkhead::engine::memory::{DiskFault, MemoryDisk, MemoryEngine};
use bulkhead::engine::{
    ColumnFamily, Cursor, Engine, EngineError, EngineStatistics, Prefix, ReadTier, Scan, View, WriteBatch, WriteOptions,
};
use bulkhead::env::StorageDoor;
use bytes::Bytes;

use crate::trace::Trace;

/// What survives on one machine.
pub struct Disk {
    pub memory: Arc<MemoryDisk>,
    /// Small files are replaced as a whole and synced at once, so no crash touches them.
    files: Mutex<BTreeMap<PathBuf, Vec<u8>>>,
    trace: Arc<Trace>,
}

impl Disk {
    pub fn new(trace: Arc<Trace>) -> Arc<Disk> {
        Arc::new(Disk { memory: MemoryDisk::new(), files: Mutex::default(), trace })
    }

    pub fn set_fault(&self, fault: Option<DiskFault>) {
        self.trace.event("disk", format_args!("fault: {fault:?}"));
        self.memory.set_fault(fault);
    }

    pub fn replace_file(&self, path: &Path, content: &[u8]) {
        self.files.lock().expect("nobody panics while holding it").insert(path.into(), content.into());
    }

    pub fn read_file(&self, path: &Path) -> io::Result<String> {
        let files = self.files.lock().expect("nobody panics while holding it");
        let content = files.get(path).ok_or(io::ErrorKind::NotFound)?;
        String::from_utf8(content.clone()).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// The storage door of a server on that machine.
pub struct SimStorage {
    disk: Arc<Disk>,
}

impl SimStorage {
    pub fn new(disk: Arc<Disk>) -> SimStorage {
        SimStorage { disk }
    }
}

impl StorageDoor for SimStorage {
    fn open(&self, _: &Config) -> Result<Arc<dyn Engine>, EngineError> {
        let opened = MemoryEngine::open(self.disk.memory.clone());
        self.disk.trace.event("disk", format_args!("opened: {:?}", opened.as_ref().err()));
        Ok(Arc::new(TracedEngine { engine: opened?, disk: self.disk.clone() }))
    }

    fn replace_file(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.disk.replace_file(path, content);
        Ok(())
    }

    fn read_file(&self, path: &Path) -> io::Result<String> {
        self.disk.read_file(path)
    }
}

/// The memory engine, its changes traced.
struct TracedEngine {
    engine: Arc<MemoryEngine>,
    disk: Arc<Disk>,
}

impl TracedEngine {
    fn traced(&self, what: &str, result: Result<(), EngineError>) -> Result<(), EngineError> {
        self.disk.trace.event("disk", format_args!("{what}: {result:?}, {} unsynced", self.disk.memory.unsynced()));
        result
    }
}

impl View for TracedEngine {
    fn get(&self, cf: ColumnFamily, key: &[u8], tier: ReadTier) -> Result<Option<Bytes>, EngineError> {
        self.engine.get(cf, key, tier)
    }

    fn scan<'v>(&'v self, cf: ColumnFamily, scan: Scan) -> Box<dyn Cursor + 'v> {
        self.engine.scan(cf, scan)
    }
}

impl Engine for TracedEngine {
    fn snapshot(&self) -> Box<dyn View + '_> {
        self.engine.snapshot()
    }

    fn write(&self, batch: &WriteBatch, options: WriteOptions) -> Result<(), EngineError> {
        let stalls = self.disk.memory.fault() == Some(DiskFault::WriteStall) && !options.no_slowdown;
        assert!(!stalls, "a stalled write blocks the simulation: its thread must be among runtime::WRITERS");
        let (mutations, durability) = (batch.mutations.len(), options.durability);
        self.traced(&format!("write of {mutations}, {durability:?}"), self.engine.write(batch, options))
    }

    fn sync_wal(&self) -> Result<(), EngineError> {
        self.traced("sync", self.engine.sync_wal())
    }

    fn flush(&self) -> Result<(), EngineError> {
        self.traced("flush", self.engine.flush())
    }

    fn compact(&self, cf: ColumnFamily, lower: Option<&[u8]>, upper: Option<&[u8]>) -> Result<(), EngineError> {
        self.traced("compaction", self.engine.compact(cf, lower, upper))
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
        self.engine.statistics()
    }

    fn close(&self) -> Result<(), EngineError> {
        self.traced("close", self.engine.close())
    }
}
