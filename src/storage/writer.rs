//! The writer: the one place from which the engine is written. It takes whatever is queued, runs it as a group, commits
//! it, answers, and goes on; in between it removes expired keys and reclaims what was deleted.
//!
//! It never waits for more requests to come unless `batch-timeout` says so, and it never blocks on anything but the
//! engine. It has effects within the gate of its [`Tenure`] alone, and whenever it comes back from something that may have
//! taken long it looks whether another has taken over: then it ends, and leaves all as it is.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};

use super::background::BackgroundTask;
use super::batch::{BatchProcessor, Committed};
use super::reclaim::Reclaim;
use super::server::{StopSignal, StorageState};
use super::supervision::Pulse;
use crate::channel::{StorageRequest, Tenure};
use crate::env::{self, BoxFuture};
use crate::failpoints::{self, Fault};
use crate::keyspace::DatabaseMap;
use crate::limits;
use crate::observe::{Category, Condition, Report, Severity, Side, Status};
use crate::planted;

/// The writer's loop, until `stop` or until another writer takes over. Whatever is queued by the stop is still run.
pub async fn run(state: Arc<StorageState>, pulse: Arc<Pulse>, mut stop: StopSignal) {
    // Dropped as the last of all.
    let Some(tenure) = begin(&state, &mut stop).await else { return };
    pulse.note_epoch(tenure.epoch());
    let (queue, received) = (state.channel.writes.clone(), state.channel.received.clone());
    let mut buffer = Vec::new();
    let mut housekeeping = Housekeeping::new(&state);
    let mut stall = Stall::new(pulse.clone());
    pulse.beat(state.env.clock.now());
    if tenure.act(|| recover(&state)).is_none() {
        return;
    }
    pulse.rest();
    loop {
        let batch_size = state.config.current().runtime.batch_size;
        // Something may be left of an earlier writer.
        if received.is_empty() {
            // The queue is held only while nothing is at work: whoever takes this one's place needs it.
            let receive = async { queue.lock().await.recv_many(&mut buffer, batch_size).await };
            tokio::select! {
                biased;
                () = stop.requested() => break,
                () = &mut housekeeping.due => {
                    pulse.beat(state.env.clock.now());
                    housekeeping.run(&state, &tenure).await;
                    pulse.rest();
                }
                count = receive => {
                    if count == 0 {
                        break;
                    }
                }
            }
        }
        if tenure.is_over() {
            return;
        }
        received.add(buffer.drain(..), &tenure);
        let patience = Duration::from_micros(state.config.current().runtime.batch_timeout_us);
        if !patience.is_zero() && (1..batch_size).contains(&received.len()) {
            gather(&state, &tenure, &queue, batch_size, patience).await;
        }
        housekeeping.note_clock(&state);
        let began = state.env.clock.now();
        pulse.beat(began);
        state.stats.storage.writer_busy_since_us.set(began.as_micros() as u64 + 1);
        if env::pass(&failpoints::WRITER_RECEIVE, &*state.env.clock).await == Some(Fault::Drop) {
            received.drop_all();
        }
        commit_all(&state, &tenure, &mut stall, &mut stop).await;
        if tenure.is_over() {
            return;
        }
        pulse.rest();
        state.stats.storage.writer_busy_since_us.set(0);
        state.worked_since(began, &state.stats.storage.writer_busy_ns);
    }
    let mut queue = queue.lock().await;
    received.add(std::iter::from_fn(|| queue.try_recv().ok()), &tenure);
    drop(queue);
    commit_all(&state, &tenure, &mut stall, &mut stop).await;
}

/// Becomes the writer, as soon as no earlier one is within its commit. `None`: storage stops, and another one follows.
async fn begin(state: &StorageState, stop: &mut StopSignal) -> Option<Tenure> {
    loop {
        if stop.is_requested() {
            return None;
        }
        if let Some(tenure) = Tenure::begin(&state.channel.gate) {
            return Some(tenure);
        }
        stop.requested_within(state, limits::SUCCESSION_INTERVAL).await;
    }
}

/// Puts in order what an earlier writer may have left: it may have died, or not come back, at any place.
fn recover(state: &StorageState) {
    reload(state);
    state.note_fresh_start();
    state.stats.storage.writer_busy_since_us.set(0);
    for task in [BackgroundTask::Expire, BackgroundTask::Reclaim] {
        state.background.interrupt(task);
    }
    // How far it came is not known: whoever watches a key may have missed a change, and whoever waits for one may have been
    // overlooked.
    state.watches.touch_all();
    state.waiters.note_overlooked();
}

/// A writer that died within the engine has not published what its last group changed beside its keys.
fn reload(state: &StorageState) {
    let databases = state.config.current().storage.databases as usize;
    let recovered = DatabaseMap::load(&*state.engine, databases).and_then(|map| {
        state.databases.store(Arc::new(map));
        state.keyspace_stats.load(&*state.engine)
    });
    if let Err(error) = recovered {
        let what = "the map of databases and the counters could not be read again";
        state.report(Report::new(error.category(), Severity::Critical, Side::Storage, what).error(&error));
    }
}

/// Waits up to `patience` for a group to fill (`batch-timeout`).
async fn gather(
    state: &StorageState,
    tenure: &Tenure,
    queue: &Mutex<mpsc::Receiver<StorageRequest>>,
    batch_size: usize,
    patience: Duration,
) {
    let received = &state.channel.received;
    let mut timeout = state.env.clock.sleep(patience);
    while received.len() < batch_size {
        tokio::select! {
            biased;
            request = async { queue.lock().await.recv().await } => match request {
                Some(request) => received.add(std::iter::once(request), tenure),
                None => return,
            },
            () = &mut timeout => return,
        }
    }
}

/// Runs and commits what was received, group by group, until another writer takes over. While the engine has stopped
/// writes, nothing starts: what waits can be withdrawn, and its client knows for certain that it had no effect.
async fn commit_all(state: &StorageState, tenure: &Tenure, stall: &mut Stall, stop: &mut StopSignal) {
    let received = &state.channel.received;
    while !received.is_empty() {
        let is_stopped = !stall.is_over(state, stop).await;
        if tenure.is_over() {
            return;
        }
        if is_stopped {
            // The storage side ends in the middle of it. Whoever waits is told that nothing happened.
            return received.drop_all();
        }
        let mut group = BatchProcessor::new(state, tenure);
        while !group.is_full()
            && let Some(request) = received.next(tenure)
        {
            group.run(request);
        }
        match group.commit(stall.is_slow(state)).await {
            // A failure was logged, and told to every client of the group; the next group tries anew.
            Committed::Done | Committed::Failed => {}
            Committed::Fenced => return,
            Committed::Stalled(requests) => {
                stall.note_refusal(state);
                received.put_back(requests, tenure);
            }
        }
        if let Some(pause) = state.pace.due() {
            state.stats.storage.paced_us.add(pause.as_micros() as u64);
            // At a stop what was received is run all the same, at full speed.
            stop.requested_within(state, pause).await;
        }
        stall.pulse.beat(state.env.clock.now());
    }
}

/// Looks after those who wait for keys and may have been passed over. If that fails they are looked after next time.
async fn serve_overlooked(state: &StorageState, tenure: &Tenure) {
    if state.waiters.take_overlooked() {
        let mut group = BatchProcessor::new(state, tenure);
        group.serve_everyone();
        let _ = group.commit(false).await;
    }
}

/// What the writer knows of the engine's slowing and stopping of writes.
///
/// A write is first tried without waiting. If the engine refuses it, it has either stopped writes: then the writer looks
/// now and then whether that is over, and writes nothing. Or it only slows them: then writes wait in the engine, each as
/// long as the engine thinks right. Trying again and again would set back the credit that it gives (RocksDB's
/// `WriteController`).
struct Stall {
    /// To show that the writer has not hung while it waits.
    pulse: Arc<Pulse>,
    /// Until then writes are handed over with patience, on the monotonic clock.
    slow_until: Duration,
    /// The last write was refused.
    refused: bool,
    /// Since when writes are stopped.
    stopped_since: Option<Duration>,
}

impl Stall {
    fn new(pulse: Arc<Pulse>) -> Stall {
        Stall { pulse, slow_until: Duration::ZERO, refused: false, stopped_since: None }
    }

    fn note_refusal(&mut self, state: &StorageState) {
        self.refused = true;
        self.slow_until = state.env.clock.now() + limits::SLOW_WRITES_FOR;
    }

    fn is_slow(&self, state: &StorageState) -> bool {
        state.env.clock.now() < self.slow_until
    }

    /// Waits until writes are not stopped. `false`: the storage side ends before that.
    async fn is_over(&mut self, state: &StorageState, stop: &mut StopSignal) -> bool {
        if !std::mem::take(&mut self.refused) && !self.is_slow(state) {
            return true;
        }
        while state.engine.writes_stopped() {
            if self.stopped_since.is_none() {
                self.stopped_since = Some(state.env.clock.now());
                state.stats.storage.stalls.add(1);
                let what = "the engine has stopped writes: they wait, reads go on";
                state.report(Report::new(Category::Stall, Severity::Warning, Side::Storage, what));
                let reason = "the engine has stopped writes, they wait until compaction has caught up";
                state.stats.health.set(Condition::WriteStall, Status::Degraded, reason);
            }
            if stop.requested_within(state, limits::STALL_POLL_INTERVAL).await {
                return false;
            }
            self.pulse.beat(state.env.clock.now());
        }
        if let Some(since) = self.stopped_since.take() {
            let took = state.env.clock.now().saturating_sub(since);
            state.stats.storage.stalled_us.add(took.as_micros() as u64);
            tracing::info!(ms = took.as_millis() as u64, "the engine takes writes again");
            state.stats.health.set(Condition::WriteStall, Status::Ok, "writes are at full speed");
            self.slow_until = state.env.clock.now() + limits::SLOW_WRITES_FOR;
        }
        true
    }
}

/// The time between two rounds (`hz`).
fn interval(state: &StorageState) -> Duration {
    Duration::from_secs(1) / state.config.current().runtime.hz.max(1)
}

/// What the writer does by itself, ten times a second or as often as `hz` says.
struct Housekeeping {
    due: BoxFuture<'static, ()>,
    /// Everything due before it was removed already: the scan need not walk over those tombstones again.
    expired_until_ms: u64,
    ticks: u64,
    reclaim: Reclaim,
}

impl Housekeeping {
    fn new(state: &StorageState) -> Housekeeping {
        let due = state.env.clock.sleep(interval(state));
        Housekeeping { due, expired_until_ms: 0, ticks: 0, reclaim: Reclaim::default() }
    }

    async fn run(&mut self, state: &StorageState, tenure: &Tenure) {
        serve_overlooked(state, tenure).await;
        let more = !tenure.is_over() && self.expire(state, tenure).await;
        if tenure.is_over() {
            return;
        }
        if state.background.may_run(BackgroundTask::Reclaim)
            && let Some(run) = state.background.begin(BackgroundTask::Reclaim, 1)
        {
            self.reclaim.run_quick(state, tenure);
            if self.ticks.is_multiple_of(limits::RECLAIM_EVERY_TICKS) {
                self.reclaim.run(state, tenure);
            }
            run.end(Ok(()), 0);
        }
        self.ticks += 1;
        // With more to expire the next round comes soon, yet after the requests that wait.
        let pause = if more { interval(state) / 100 } else { interval(state) };
        self.due = state.env.clock.sleep(pause);
    }

    /// Before commands run: what they let expire is due from now on, and if the clock was set back that lies before the
    /// mark. By the next round it may be right again.
    fn note_clock(&mut self, state: &StorageState) {
        if planted::is("clock-mark-not-taken-back") {
            return;
        }
        self.expired_until_ms = self.expired_until_ms.min(state.env.clock.unix_ms());
    }

    /// Removes a bounded number of due keys. Returns whether more are due.
    async fn expire(&mut self, state: &StorageState, tenure: &Tenure) -> bool {
        let background = &state.background;
        let is_due = state.keyspace_stats.any_expiring() || background.is_waiting(BackgroundTask::Expire);
        if !is_due || !background.may_run(BackgroundTask::Expire) {
            return false;
        }
        let Some(run) = background.begin(BackgroundTask::Expire, 1) else { return false };
        let now_ms = state.env.clock.unix_ms();
        let mut group = BatchProcessor::new(state, tenure);
        // The clock may have been set back: then what is due now lies before the mark.
        let from_ms = self.expired_until_ms.min(now_ms);
        match group.expire_due(from_ms, limits::EXPIRE_BATCH) {
            Ok(count) => {
                // While writes are stopped this tries again and again; nobody waits for it.
                let done = matches!(group.commit(false).await, Committed::Done);
                if done && count < limits::EXPIRE_BATCH {
                    self.expired_until_ms = now_ms;
                }
                run.end(Ok(()), count as u64);
                done && count == limits::EXPIRE_BATCH
            }
            Err(error) => {
                let report = Report::new(
                    Category::Background,
                    Severity::Error,
                    Side::Storage,
                    "expired keys could not be removed",
                );
                state.report(report.error(&error));
                run.end(Err(error.to_string()), 0);
                false
            }
        }
    }
}
