//! A machine's disk: the memory engine's, which knows what a crash keeps, and the few small files beside it. The engine
//! that opens on it shows its commits to the trace.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bulkhead::config::Config;
use bulkhead::engine::memory::{DiskFault, MemoryDisk, MemoryEngine};
use bulkhead::engine::{
    ColumnFamily, Cursor, Engine, EngineError, EngineStatistics, Prefix, ReadTier, Scan, View, WriteBatch, WriteOptions,
};
use bulkhead::env::{Room, StorageDoor};
use bytes::Bytes;

use crate::dice::Dice;
use crate::plan::{Call, Fault};
use crate::trace::Trace;

/// What every injected panic says.
pub const INJECTED: &str = "injected panic";

/// What is wrong with a disk besides [`DiskFault`].
#[derive(Default)]
struct Troubles {
    slowness: Duration,
    /// How many faults hold whoever writes.
    hangs: u64,
    /// One read in so many; 0: none.
    damage: u64,
    cold: u64,
    /// After so many more calls one panics.
    panics: BTreeMap<Call, u64>,
}

/// What survives on one machine.
pub struct Disk {
    pub memory: Arc<MemoryDisk>,
    troubles: Mutex<(Troubles, Dice)>,
    /// Something was written to it: before that there is nothing that could stall.
    is_used: AtomicBool,
    /// Small files are replaced as a whole and synced at once, so no crash touches them.
    files: Mutex<BTreeMap<PathBuf, Vec<u8>>>,
    trace: Arc<Trace>,
    /// RocksDB has its data here, and `memory` has none.
    #[cfg(feature = "rocks")]
    rocks: Option<PathBuf>,
}

impl Disk {
    pub fn new(dice: Dice, trace: Arc<Trace>, #[cfg(feature = "rocks")] rocks: Option<PathBuf>) -> Arc<Disk> {
        let troubles = Mutex::new((Troubles::default(), dice));
        let is_used = AtomicBool::new(false);
        Arc::new(Disk {
            memory: MemoryDisk::new(),
            troubles,
            is_used,
            files: Mutex::default(),
            trace,
            #[cfg(feature = "rocks")]
            rocks,
        })
    }

    /// A fault begins. Those that are none of the disk's are none of its concern.
    pub fn begin(&self, fault: &Fault) {
        if let Some(fault) = memory_fault(fault) {
            return self.set_fault(Some(fault));
        }
        let troubles = &mut self.troubles().0;
        match *fault {
            Fault::Hang { .. } => troubles.hangs += 1,
            Fault::Slow { each_ms, .. } => troubles.slowness = Duration::from_millis(each_ms),
            Fault::Damage { one_in, .. } => troubles.damage = one_in,
            Fault::Cold { one_in, .. } => troubles.cold = one_in,
            Fault::Panic { call, nth } => {
                troubles.panics.insert(call, nth);
            }
            _ => {}
        }
    }

    /// A fault ends, if it has not been replaced by another.
    pub fn end(&self, fault: &Fault) {
        if let Some(fault) = memory_fault(fault) {
            if self.memory.fault() == Some(fault) {
                self.set_fault(None);
            }
            return;
        }
        let troubles = &mut self.troubles().0;
        match fault {
            Fault::Hang { .. } => troubles.hangs = troubles.hangs.saturating_sub(1),
            Fault::Slow { .. } => troubles.slowness = Duration::ZERO,
            Fault::Damage { .. } => troubles.damage = 0,
            Fault::Cold { .. } => troubles.cold = 0,
            Fault::Panic { call, .. } => {
                troubles.panics.remove(call);
            }
            _ => {}
        }
    }

    /// Whether a call of the engine that writes, syncs, opens or closes would not come back for now. While the engine has
    /// only stopped writes, it opens and closes as ever, and says so to who asks not to wait; that all do but who opens it
    /// for the first time.
    pub fn holds(&self, is_opening: bool) -> bool {
        let is_first = is_opening && !self.is_used.load(Ordering::Relaxed);
        self.hangs() || is_first && self.memory.fault() == Some(DiskFault::WriteStall)
    }

    /// Nothing that writes comes back.
    pub fn hangs(&self) -> bool {
        self.troubles().0.hangs > 0
    }

    pub fn slowness(&self) -> Duration {
        self.troubles().0.slowness
    }

    /// A server may fail to start on it.
    pub fn is_troubled(&self) -> bool {
        let troubles = &self.troubles().0;
        self.memory.fault().is_some() || troubles.damage > 0 || !troubles.panics.is_empty()
    }

    /// Panics, if that was planned for this call.
    fn pass(&self, call: Call) {
        let is_due = {
            let panics = &mut self.troubles().0.panics;
            let is_due = match panics.get_mut(&call) {
                Some(left) => {
                    *left -= 1;
                    *left == 0
                }
                None => false,
            };
            if is_due {
                panics.remove(&call);
            }
            is_due
        };
        if is_due {
            self.trace.event("disk", format_args!("panic at {call:?}"));
            panic!("{INJECTED} at {call:?}");
        }
    }

    /// What befalls a read.
    fn trouble(&self, cf: ColumnFamily, tier: ReadTier) -> Result<(), EngineError> {
        if cf == ColumnFamily::Meta {
            self.pass(Call::Read);
        }
        let (troubles, dice) = &mut *self.troubles();
        if tier == ReadTier::Cached && troubles.cold > 0 && dice.one_in(troubles.cold) {
            return Err(EngineError::WouldBlock);
        }
        if cf != ColumnFamily::Control && troubles.damage > 0 && dice.one_in(troubles.damage) {
            return Err(EngineError::Corruption("block checksum mismatch (injected)".into()));
        }
        Ok(())
    }

    fn troubles(&self) -> MutexGuard<'_, (Troubles, Dice)> {
        self.troubles.lock().expect("nobody panics while holding it")
    }

    fn set_fault(&self, fault: Option<DiskFault>) {
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
    fn open(&self, _config: &Config) -> Result<Arc<dyn Engine>, EngineError> {
        #[cfg(feature = "rocks")]
        if let Some(directory) = &self.disk.rocks {
            let engine = bulkhead::engine::rocks::RocksEngine::open(directory, &(&_config.storage.rocksdb).into())?;
            return Ok(Arc::new(TracedEngine { engine, disk: self.disk.clone() }));
        }
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

    fn room(&self, _: &Path) -> io::Result<Room> {
        let room = self.disk.memory.room().map(|(disk_bytes, free_bytes)| Room { free_bytes, disk_bytes });
        room.ok_or_else(|| io::ErrorKind::Unsupported.into())
    }
}

fn memory_fault(fault: &Fault) -> Option<DiskFault> {
    match fault {
        Fault::Stall { .. } => Some(DiskFault::WriteStall),
        Fault::NoSpace { .. } => Some(DiskFault::NoSpace),
        Fault::IoError { .. } => Some(DiskFault::IoError),
        Fault::SyncFails { .. } => Some(DiskFault::SyncFails),
        _ => None,
    }
}

/// A view whose reads run into the disk's troubles.
struct TroubledView<'e> {
    view: Box<dyn View + 'e>,
    disk: &'e Disk,
}

impl View for TroubledView<'_> {
    fn get(&self, cf: ColumnFamily, key: &[u8], tier: ReadTier) -> Result<Option<Bytes>, EngineError> {
        self.disk.trouble(cf, tier)?;
        self.view.get(cf, key, tier)
    }

    fn scan<'v>(&'v self, cf: ColumnFamily, scan: Scan) -> Box<dyn Cursor + 'v> {
        self.view.scan(cf, scan)
    }
}

/// An engine, its changes traced.
struct TracedEngine {
    engine: Arc<dyn Engine>,
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
        self.disk.trouble(cf, tier)?;
        self.engine.get(cf, key, tier)
    }

    fn scan<'v>(&'v self, cf: ColumnFamily, scan: Scan) -> Box<dyn Cursor + 'v> {
        self.engine.scan(cf, scan)
    }
}

impl Engine for TracedEngine {
    fn snapshot(&self) -> Box<dyn View + '_> {
        self.disk.pass(Call::Snapshot);
        Box::new(TroubledView { view: self.engine.snapshot(), disk: &self.disk })
    }

    fn write(&self, batch: &WriteBatch, options: WriteOptions) -> Result<(), EngineError> {
        let stalls = self.disk.memory.fault() == Some(DiskFault::WriteStall) && !options.no_slowdown;
        if stalls {
            // Whoever waited it out in here would hold up all of the simulation. It began after its caller had looked.
            return self.traced("a write that would wait", Err(EngineError::WriteStall));
        }
        self.disk.pass(Call::BeforeWrite);
        let (mutations, durability) = (batch.mutations.len(), options.durability);
        let written = self.traced(&format!("write of {mutations}, {durability:?}"), self.engine.write(batch, options));
        if written.is_ok() {
            self.disk.is_used.store(true, Ordering::Relaxed);
        }
        self.disk.pass(Call::AfterWrite);
        written
    }

    fn sync_wal(&self) -> Result<(), EngineError> {
        self.disk.pass(Call::Sync);
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

    fn writes_stopped(&self) -> bool {
        self.engine.writes_stopped()
    }

    fn statistics(&self) -> EngineStatistics {
        self.engine.statistics()
    }

    fn close(&self) -> Result<(), EngineError> {
        self.traced("close", self.engine.close())
    }
}
