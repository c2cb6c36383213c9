//! The storage server: opens the store, checks that it may, starts the engine threads and watches over them.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};

use super::background::{self, BackgroundTaskManager};
use super::execute::Surroundings;
use super::pacing::Pace;
use super::supervision::{IfHung, Pulse, Seat};
use super::{maintenance, reader, writer};
use crate::channel::{KeyEventQueue, MessageChannel, Waiters};
use crate::config::{Fsync, LiveConfig};
use crate::engine::{
    ColumnFamily, Durability, Engine, EngineError, EngineStatistics, ReadTier, WriteBatch, WriteOptions,
};
use crate::env::{Domain, Env, Random, Task, spawn, spawn_engine_thread};
use crate::keyspace::{
    CachedView, DatabaseMap, Keyspace, KeyspaceEvents, KeyspaceStats, RecordCache, Txn, TxnError, Watches,
};
use crate::layout::control::{FormatError, SUPERBLOCK_KEY, Superblock};
use crate::limits;
use crate::observe::{Category, Condition, Counter, Report, ServerStats, Severity, Side, Status, nanos};
use crate::planted;

/// Why storage did not start.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("cannot open the data directory {directory}: {source}", directory = .directory.display())]
    Open { directory: PathBuf, source: EngineError },
    #[error("cannot use the data directory: {0}")]
    Format(#[from] FormatError),
    #[error("cannot read the data directory: {0}")]
    Read(#[source] TxnError),
    #[error("cannot start a storage thread: {0}")]
    Thread(#[source] std::io::Error),
    #[error("the storage runtime ended during start-up: {0}")]
    Ended(String),
}

/// What has befallen the engine. It outlives the storage side: a failed sync is not forgotten because threads start anew.
#[derive(Debug, Default)]
pub struct EngineTrouble {
    /// Told when the engine takes no more writes and should be opened anew.
    pub reopen: Notify,
    /// An fsync failed. True until the process ends.
    sync_failed: AtomicBool,
    /// Why the server cannot go on.
    gave_up: Mutex<Option<String>>,
    /// Told when it cannot.
    end: Notify,
}

impl EngineTrouble {
    /// Nothing helps any more: the server is to end, and to say why.
    pub fn give_up(&self, reason: String) {
        self.gave_up.lock().get_or_insert(reason);
        self.end.notify_one();
    }

    /// Resolves with the reason once the server cannot go on.
    pub async fn gave_up(&self) -> String {
        loop {
            if let Some(reason) = self.gave_up.lock().clone() {
                return reason;
            }
            self.end.notified().await;
        }
    }
}

/// What the loops of the storage runtime share, and what the network side may look at (never through the engine).
pub struct StorageState {
    pub env: Env,
    pub config: Arc<LiveConfig>,
    pub engine: Arc<dyn Engine>,
    pub channel: MessageChannel,
    pub databases: Arc<ArcSwap<DatabaseMap>>,
    pub keyspace_stats: Arc<KeyspaceStats>,
    pub key_events: Arc<KeyEventQueue>,
    pub watches: Arc<Watches>,
    pub waiters: Arc<Waiters>,
    pub stats: Arc<ServerStats>,
    pub background: Arc<BackgroundTaskManager>,
    pub engine_statistics: ArcSwap<EngineStatistics>,
    /// The engine's latest state, read through the cache of records.
    pub latest: CachedView,
    /// What writes owe to the pace that the engine's figures ask for.
    pub pace: Pace,
    random: Mutex<Random>,
    /// Microseconds on the monotonic clock, plus one, of the oldest acknowledged write that no sync has covered; 0: none.
    unsynced_since_us: AtomicU64,
    /// As above, for the writes that the sync under way covers.
    syncing_since_us: AtomicU64,
    /// The last group was not taken by the engine.
    writes_refused: AtomicBool,
    pub(super) trouble: Arc<EngineTrouble>,
    /// Engine threads alive.
    pub threads: AtomicUsize,
    /// Engine threads that should be.
    pub threads_wanted: AtomicUsize,
}

impl StorageState {
    /// What commands run in.
    pub fn surroundings(&self) -> Surroundings<'_> {
        Surroundings { env: &self.env, config: &self.config, stats: &self.stats, databases: &self.databases }
    }

    /// A keyspace over `txn`, as of now: see [`Surroundings::keyspace`].
    pub fn keyspace<'e>(&self, txn: Txn<'e>) -> Keyspace<'e> {
        let random = self.random.lock().next_u64();
        self.surroundings().keyspace(txn, self.env.clock.unix_ms(), random)
    }

    /// What a commit has to wait for (`appendfsync`).
    pub fn durability(&self) -> Durability {
        match self.config.current().storage.fsync {
            Fsync::Always if planted::is("always-is-not-synced") => Durability::Written,
            Fsync::Always => Durability::Synced,
            Fsync::EverySecond | Fsync::Never => Durability::Written,
        }
    }

    /// Tells the error log.
    pub fn report(&self, report: Report<'_>) {
        self.stats.error_log.report(self.env.clock.now(), report);
    }

    pub fn take_events(&self, events: KeyspaceEvents) {
        self.surroundings().take_events(events);
    }

    /// A writer starts: what an earlier one said of stalls and errors does not hold any more. A failed sync does.
    pub fn note_fresh_start(&self) {
        self.stats.health.set(Condition::WriteStall, Status::Ok, "writes are at full speed");
        if !self.trouble.sync_failed.load(Ordering::Relaxed) {
            self.stats.health.set(Condition::StorageMode, Status::Ok, "reads and writes are served");
        }
    }

    /// Lets the health checks see whether the engine takes writes.
    pub fn note_outcome(&self, committed: &Result<(), EngineError>) {
        let refused = committed.is_err();
        if self.writes_refused.swap(refused, Ordering::Relaxed) == refused && !refused {
            return;
        }
        let (status, reason) = match committed {
            Ok(()) => (Status::Ok, "reads and writes are served".into()),
            Err(error @ EngineError::NoSpace(_)) => (Status::Degraded, format!("writes are refused: {error}")),
            Err(error) => (Status::Failing, format!("writes are refused: {error}")),
        };
        self.stats.health.set(Condition::StorageMode, status, reason);
        match committed {
            Err(EngineError::SyncFailed(_)) => self.note_failed_sync(),
            // RocksDB takes no more writes until it is opened anew. After a failed sync that is for an operator to decide:
            // what was acknowledged may be lost, and an open would hide it.
            Err(EngineError::Io(_) | EngineError::ReadOnly(_)) if !self.trouble.sync_failed.load(Ordering::Relaxed) => {
                self.trouble.reopen.notify_one();
            }
            _ => {}
        }
    }

    /// An fsync failed: storage stays read-only.
    pub fn note_failed_sync(&self) {
        self.trouble.sync_failed.store(true, Ordering::Relaxed);
        let reason =
            "fsync failed: writes are refused until the server is started anew, and what was written last may be lost";
        self.stats.health.set(Condition::StorageMode, Status::Failing, reason);
    }

    /// Adds the time since `began` to a counter of busy time.
    pub fn worked_since(&self, began: Duration, busy_ns: &Counter) {
        busy_ns.add(nanos(self.env.clock.moment().saturating_sub(began)));
    }

    /// A group was committed: under `always` it is synced already, else the loss window opens.
    pub fn wrote(&self) {
        if self.durability() == Durability::Written {
            let now_us = self.env.clock.now().as_micros() as u64 + 1;
            let _ = self.unsynced_since_us.compare_exchange(0, now_us, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    pub fn begin_sync(&self) {
        self.syncing_since_us.store(self.unsynced_since_us.swap(0, Ordering::AcqRel), Ordering::Release);
    }

    pub fn end_sync(&self) {
        self.syncing_since_us.store(0, Ordering::Release);
    }

    /// For how long the oldest acknowledged write has not been synced: what a power failure could lose right now.
    pub fn unsynced_for(&self) -> Option<Duration> {
        let marks = [&self.syncing_since_us, &self.unsynced_since_us];
        let oldest = marks.map(|mark| mark.load(Ordering::Acquire)).into_iter().filter(|since| *since > 0).min()?;
        Some(self.env.clock.now().saturating_sub(Duration::from_micros(oldest - 1)))
    }
}

/// Tells the loops to end.
#[derive(Clone)]
pub struct StopSignal(watch::Receiver<bool>);

impl StopSignal {
    /// Resolves once the loops are to end.
    pub async fn requested(&mut self) {
        // An error means that the server itself is gone, which says the same.
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// Whether the loops are to end.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Whether the loops are to end, waiting up to `patience` for it.
    pub async fn requested_within(&mut self, state: &StorageState, patience: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.requested() => true,
            () = state.env.clock.sleep(patience) => false,
        }
    }
}

/// What a storage server is started with.
pub struct StorageParts {
    pub env: Env,
    pub config: Arc<LiveConfig>,
    pub channel: MessageChannel,
    pub databases: Arc<ArcSwap<DatabaseMap>>,
    pub keyspace_stats: Arc<KeyspaceStats>,
    pub key_events: Arc<KeyEventQueue>,
    pub watches: Arc<Watches>,
    pub waiters: Arc<Waiters>,
    pub stats: Arc<ServerStats>,
    pub records: Arc<RecordCache>,
    pub background: Arc<BackgroundTaskManager>,
    pub trouble: Arc<EngineTrouble>,
}

/// The running storage side.
pub struct StorageServer {
    pub state: Arc<StorageState>,
    stop: watch::Sender<bool>,
    supervisors: Vec<Task>,
}

impl StorageServer {
    /// Opens the store on an engine thread of `domain` and starts the loops. `engine`: the handle of a store that is open
    /// already, when only the threads are started anew.
    pub async fn start(
        domain: Arc<dyn Domain>,
        parts: StorageParts,
        engine: Option<Arc<dyn Engine>>,
    ) -> Result<StorageServer, StorageError> {
        let state = Arc::new(on_engine_thread(&*domain, move || open(parts, engine)).await??);
        let (stop, stopped) = watch::channel(false);
        let mut server = StorageServer { state, stop, supervisors: Vec::new() };
        server.start_loops(domain, StopSignal(stopped))?;
        server.state.stats.runtime.storage_starts.add(1);
        Ok(server)
    }

    fn start_loops(&mut self, domain: Arc<dyn Domain>, stop: StopSignal) -> Result<(), StorageError> {
        let readers = self.state.config.current().runtime.storage_threads;
        let patient = (readers > 1).then(|| {
            let (patient, queues) = reader::Patient::new();
            for index in 1..readers {
                // Of several the first takes nothing that takes long, so that there is always one for cold reads.
                let long = (index == 1 && readers > 2).then(|| patient.long());
                let (state, queues) = (self.state.clone(), queues.clone());
                let body = move |pulse| reader::run_patient(state.clone(), queues.clone(), long.clone(), pulse);
                self.supervise(&domain, format!("sto-reader-{index}"), IfHung::Replace, body);
            }
            patient
        });
        let state = &self.state.clone();
        let (shared, signal, pending) = (state.clone(), stop.clone(), reader::Pending::default());
        self.supervise(&domain, "sto-reader-0".into(), IfHung::Replace, move |pulse| {
            reader::run_first(shared.clone(), patient.clone(), pending.clone(), pulse, signal.clone())
        });
        let (shared, signal) = (state.clone(), stop.clone());
        self.supervise(&domain, "sto-writer".into(), IfHung::Fence, move |pulse| {
            writer::run(shared.clone(), pulse, signal.clone())
        });
        let (shared, signal) = (state.clone(), stop.clone());
        self.supervise(&domain, "sto-sync".into(), IfHung::Report, move |pulse| {
            maintenance::sync_wal(shared.clone(), pulse, signal.clone())
        });
        let (shared, signal) = (state.clone(), stop.clone());
        self.supervise(&domain, "sto-stats".into(), IfHung::Report, move |pulse| {
            maintenance::watch_engine(shared.clone(), pulse, signal.clone())
        });
        let (shared, signal) = (state.clone(), stop);
        self.supervise(&domain, "sto-background".into(), IfHung::Nothing, move |_| {
            background::run(shared.clone(), signal.clone())
        });
        // A compaction may take hours: a stop does not wait for it. It ends at its next step, or as the engine closes.
        self.supervisors.pop();
        Ok(())
    }

    /// Runs the loop that `body` makes on an engine thread called `name`, and again if it panics.
    fn supervise<F>(
        &mut self,
        domain: &Arc<dyn Domain>,
        name: String,
        if_hung: IfHung,
        body: impl Fn(Arc<Pulse>) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        self.state.threads_wanted.fetch_add(1, Ordering::Relaxed);
        let seat = Seat { state: self.state.clone(), domain: domain.clone(), name, if_hung, body };
        self.supervisors.push(spawn(&**domain, seat.keep()));
    }

    /// Waits a moment for every engine thread to run.
    pub async fn becomes_healthy(&self) -> bool {
        let until = self.state.env.clock.now() + limits::STORAGE_START_PATIENCE;
        while !self.is_healthy() && self.state.env.clock.now() < until {
            self.state.env.clock.sleep(limits::DRAIN_POLL_INTERVAL).await;
        }
        self.is_healthy()
    }

    /// Whether every engine thread runs.
    pub fn is_healthy(&self) -> bool {
        self.state.threads.load(Ordering::Relaxed) == self.state.threads_wanted.load(Ordering::Relaxed)
    }

    /// Whether it has ended by itself: nobody looks after its threads any more.
    pub fn has_ended(&mut self) -> bool {
        self.supervisors.iter_mut().any(Task::has_ended)
    }

    /// Ends the loops, requests already queued included. The engine stays open: the caller keeps or closes it. A thread that
    /// does not come back within a bound is left alone: it goes with the process, or when it comes back.
    pub async fn stop(mut self) -> Arc<dyn Engine> {
        // Nobody listening means that all loops ended already.
        let _ = self.stop.send(true);
        let state = self.state.clone();
        if planted::is("old-writer-is-not-awaited") {
            return state.engine.clone();
        }
        let supervisors = &mut self.supervisors;
        let all_end = async {
            for supervisor in supervisors {
                supervisor.exit().await;
            }
        };
        tokio::select! {
            biased;
            () = all_end => {}
            () = state.env.clock.sleep(limits::STORAGE_STOP_PATIENCE) => {
                let what = "a storage thread does not come back: storage is stopped without waiting for it any longer";
                state.report(Report::new(Category::Hang, Severity::Critical, Side::Storage, what));
            }
        }
        state.engine.clone()
    }
}

/// Runs `work` on a fresh engine thread and waits for its result.
pub async fn on_engine_thread<T: Send + 'static>(
    domain: &dyn Domain,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StorageError> {
    let (sender, result) = oneshot::channel();
    let body = async move {
        // The caller may have given up.
        let _ = sender.send(work());
    };
    let mut thread = spawn_engine_thread(domain, "sto-open", body).map_err(StorageError::Thread)?;
    match result.await {
        Ok(result) => Ok(result),
        Err(_) => Err(StorageError::Ended(format!("{:?}", thread.exit().await))),
    }
}

/// Opens the store, claims it if it is new, and reads what has to be known of it.
fn open(parts: StorageParts, engine: Option<Arc<dyn Engine>>) -> Result<StorageState, StorageError> {
    let StorageParts {
        env,
        config,
        channel,
        databases,
        keyspace_stats,
        key_events,
        watches,
        waiters,
        stats,
        background,
        records,
        trouble,
    } = parts;
    // Storage threads that ended may have left something unsynced, and so may a process that was killed: that is synced
    // now, for an idle server would never get to it.
    let (engine, synced) = match engine {
        Some(engine) => (engine, false),
        None => {
            #[cfg(any(feature = "failpoints", feature = "simulated-failpoints"))]
            let armed = crate::engine::faulty::pass_engine(&crate::failpoints::ENGINE_OPEN);
            #[cfg(not(any(feature = "failpoints", feature = "simulated-failpoints")))]
            let armed = Ok(());
            let opened = armed.and_then(|()| env.storage.open(&config.current()));
            let engine = opened.map_err(|source| {
                let directory = config.current().storage.dir.clone();
                StorageError::Open { directory, source }
            })?;
            #[cfg(any(feature = "failpoints", feature = "simulated-failpoints"))]
            let engine: Arc<dyn Engine> = Arc::new(crate::engine::faulty::FaultyEngine::new(engine));
            let synced = if planted::is("no-sync-at-start") { Ok(()) } else { engine.sync_wal() };
            if let Err(error) = &synced {
                let what = "what an earlier process wrote could not be synced";
                let report = Report::new(error.category(), Severity::Error, Side::Storage, what);
                stats.error_log.report(env.clock.now(), report.error(error));
            }
            (engine, synced.is_ok())
        }
    };
    let unsynced_since_us = if synced { 0 } else { env.clock.now().as_micros() as u64 + 1 };
    check_format(&*engine)?;
    let map = DatabaseMap::load(&*engine, config.current().storage.databases as usize).map_err(StorageError::Read)?;
    databases.store(Arc::new(map));
    keyspace_stats.load(&*engine).map_err(StorageError::Read)?;
    let random = Mutex::new(Random::from_seed(env.random.seed()));
    let latest = CachedView { engine: engine.clone(), cache: records };
    Ok(StorageState {
        engine_statistics: ArcSwap::from_pointee(engine.statistics()),
        env,
        config,
        engine,
        channel,
        databases,
        keyspace_stats,
        key_events,
        watches,
        waiters,
        stats,
        latest,
        trouble,
        background,
        pace: Pace::default(),
        random,
        unsynced_since_us: AtomicU64::new(unsynced_since_us),
        syncing_since_us: AtomicU64::new(0),
        writes_refused: AtomicBool::new(false),
        threads: AtomicUsize::new(0),
        threads_wanted: AtomicUsize::new(0),
    })
}

fn check_format(engine: &dyn Engine) -> Result<(), StorageError> {
    let stored = engine
        .get(ColumnFamily::Control, SUPERBLOCK_KEY, ReadTier::All)
        .map_err(|error| StorageError::Read(error.into()))?;
    let superblock = match stored {
        Some(stored) => {
            let stored = Superblock::check(&stored)?;
            let superblock = stored.with_this_server();
            if superblock == stored {
                return Ok(());
            }
            superblock
        }
        None => {
            check_empty(engine)?;
            Superblock::CURRENT
        }
    };
    // Before anything is written that an older server would misread.
    let mut batch = WriteBatch::new();
    batch.put(ColumnFamily::Control, SUPERBLOCK_KEY, superblock.encode());
    let options = WriteOptions { durability: Durability::Synced, no_slowdown: false };
    engine.write(&batch, options).map_err(|error| StorageError::Read(error.into()))
}

fn check_empty(engine: &dyn Engine) -> Result<(), StorageError> {
    let mut anything = engine.scan(ColumnFamily::Control, Default::default());
    if anything.next().map_err(|error| StorageError::Read(error.into()))?.is_some() {
        return Err(FormatError::Foreign.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::memory::{MemoryDisk, MemoryEngine};
    use crate::engine::{View, thread};
    use crate::layout::control::{FEATURE_MOVING, FEATURE_STREAMS};

    #[test]
    fn a_store_of_an_older_server_is_marked_before_it_is_written_to() {
        thread::mark_engine_thread();
        for features in [0, FEATURE_MOVING] {
            let engine = MemoryEngine::open(MemoryDisk::new()).unwrap();
            let old = Superblock { features, ..Superblock::CURRENT };
            let mut batch = WriteBatch::new();
            batch.put(ColumnFamily::Control, SUPERBLOCK_KEY, old.encode());
            engine.write(&batch, WriteOptions::default()).unwrap();
            for _ in 0..2 {
                check_format(&*engine).unwrap();
                let stored = engine.get(ColumnFamily::Control, SUPERBLOCK_KEY, ReadTier::All).unwrap().unwrap();
                let features = Superblock::check(&stored).unwrap().features;
                assert_eq!(features, FEATURE_MOVING | FEATURE_STREAMS, "a server that knows fewer features refuses it");
            }
        }
    }
}
