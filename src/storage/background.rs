//! [`BackgroundTaskManager`]: what storage does besides answering, as an operator sees and steers it: run it now, pause
//! it, see how far it is and how it went.
//!
//! Expiry and reclaim are the writer's (there is one writer), syncs and statistics have threads of their own; they report
//! here and ask whether they may. Flushes and compactions run here, on a thread of their own that may wait for the disk
//! as long as it likes. The manager outlives the storage runtime, so that a restart forgets nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::server::{StopSignal, StorageState};
use crate::engine::{ColumnFamily, EngineError};
use crate::env::Clock;
use crate::observe::{Category, Report, Severity, Side};

/// A kind of background work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackgroundTask {
    /// Removes keys whose time has come.
    Expire,
    /// Deletes the data of flushed databases.
    Reclaim,
    /// Syncs the log (`appendfsync everysec`).
    Sync,
    /// Asks the engine for its figures.
    Statistics,
    /// Writes memtables out to files.
    Flush,
    /// Rewrites all table files, so that what was deleted takes no room any more.
    Compact,
}

impl BackgroundTask {
    pub const ALL: [BackgroundTask; 6] = [
        BackgroundTask::Expire,
        BackgroundTask::Reclaim,
        BackgroundTask::Sync,
        BackgroundTask::Statistics,
        BackgroundTask::Flush,
        BackgroundTask::Compact,
    ];

    pub fn name(self) -> &'static str {
        match self {
            BackgroundTask::Expire => "expire",
            BackgroundTask::Reclaim => "reclaim",
            BackgroundTask::Sync => "sync",
            BackgroundTask::Statistics => "statistics",
            BackgroundTask::Flush => "flush",
            BackgroundTask::Compact => "compact",
        }
    }

    /// The task called `name`, in any case.
    pub fn of(name: &[u8]) -> Option<BackgroundTask> {
        BackgroundTask::ALL.into_iter().find(|task| task.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// Whether it may be paused: without syncs, nobody would know how much a power failure takes.
    pub fn may_pause(self) -> bool {
        self != BackgroundTask::Sync
    }
}

/// How a task is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStatus {
    pub task: BackgroundTask,
    pub paused: bool,
    /// Since when it has been running, if it is.
    pub running_for: Option<Duration>,
    /// Asked for, and not begun yet.
    pub waiting: bool,
    /// Steps done of steps to do, of the run under way.
    pub progress: (u64, u64),
    pub runs: u64,
    pub failures: u64,
    /// Keys removed, databases reclaimed and the like, by all runs together.
    pub items: u64,
    /// When the last run ended, as Unix time in milliseconds, and how long it took.
    pub last_end_unix_ms: u64,
    pub last_took: Duration,
    /// How long all runs took together.
    pub total_took: Duration,
    /// Why it failed, if the last run did.
    pub last_error: Option<String>,
}

#[derive(Debug, Default)]
struct TaskState {
    paused: AtomicBool,
    /// Microseconds on the monotonic clock, plus one; 0: it does not run.
    running_since_us: AtomicU64,
    steps_done: AtomicU64,
    steps: AtomicU64,
    /// How often it was asked for.
    asked: AtomicU64,
    runs: AtomicU64,
    failures: AtomicU64,
    items: AtomicU64,
    took_us: AtomicU64,
    last: Mutex<Last>,
    /// How many of the times that it was asked for are done, and why the last of them failed, if it did.
    answered: watch::Sender<(u64, Option<String>)>,
}

#[derive(Debug, Default)]
struct Last {
    end_unix_ms: u64,
    took: Duration,
    error: Option<String>,
}

/// All background tasks of a server.
pub struct BackgroundTaskManager {
    clock: Arc<dyn Clock>,
    tasks: [TaskState; BackgroundTask::ALL.len()],
    /// Wakes the thread that flushes and compacts.
    wake: Notify,
}

impl BackgroundTaskManager {
    pub fn new(clock: Arc<dyn Clock>) -> BackgroundTaskManager {
        BackgroundTaskManager { clock, tasks: Default::default(), wake: Notify::new() }
    }

    fn of(&self, task: BackgroundTask) -> &TaskState {
        &self.tasks[task as usize]
    }

    /// Asks for a run as soon as can be, paused or not. Asking again before it begins changes nothing.
    pub fn request(&self, task: BackgroundTask) {
        self.ask(task);
    }

    /// Asks for a run, and waits for its end.
    pub async fn run(&self, task: BackgroundTask) -> Result<(), String> {
        let wanted = self.ask(task);
        let mut answered = self.of(task).answered.subscribe();
        match answered.wait_for(|(done, _)| *done >= wanted).await {
            Ok(outcome) => outcome.1.clone().map_or(Ok(()), Err),
            Err(_) => Err("the server is gone".into()),
        }
    }

    fn ask(&self, task: BackgroundTask) -> u64 {
        let state = self.of(task);
        // One that waits answers for all who ask before it begins; one that runs may have begun too early.
        let asked = if self.is_waiting(task) {
            state.asked.load(Ordering::Acquire)
        } else {
            state.asked.fetch_add(1, Ordering::AcqRel) + 1
        };
        self.wake.notify_one();
        asked
    }

    /// Whether someone asked for a run that has not begun.
    pub fn is_waiting(&self, task: BackgroundTask) -> bool {
        let state = self.of(task);
        let running = u64::from(state.running_since_us.load(Ordering::Acquire) != 0);
        state.asked.load(Ordering::Acquire) > state.answered.borrow().0 + running
    }

    /// Whether it runs now.
    pub fn is_running(&self, task: BackgroundTask) -> bool {
        self.of(task).running_since_us.load(Ordering::Acquire) != 0
    }

    pub fn set_paused(&self, task: BackgroundTask, paused: bool) {
        self.of(task).paused.store(paused, Ordering::Release);
    }

    /// Whether a run that nobody asked for may begin.
    pub fn is_paused(&self, task: BackgroundTask) -> bool {
        self.of(task).paused.load(Ordering::Acquire)
    }

    /// Whether a task that is due by its schedule is to run: not while it is paused, unless someone asked.
    pub fn may_run(&self, task: BackgroundTask) -> bool {
        !self.is_paused(task) || self.is_waiting(task)
    }

    /// Begins a run, unless one is under way. It ends with [`Run::end`], or as failed when that is dropped.
    pub fn begin(&self, task: BackgroundTask, steps: u64) -> Option<Run<'_>> {
        let state = self.of(task);
        let now = self.clock.now();
        let since_us = now.as_micros() as u64 + 1;
        state.running_since_us.compare_exchange(0, since_us, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        state.steps_done.store(0, Ordering::Relaxed);
        state.steps.store(steps, Ordering::Relaxed);
        let answers = state.asked.load(Ordering::Acquire);
        let outcome = Err("it was interrupted".into());
        Some(Run { manager: self, task, began: now, since_us, answers, outcome, items: 0 })
    }

    /// The thread that ran it does not come back, and another takes its place: its run has failed, and the next one may
    /// begin. Whoever asked for it is answered by that one.
    pub fn interrupt(&self, task: BackgroundTask) {
        let state = self.of(task);
        let since_us = state.running_since_us.swap(0, Ordering::AcqRel);
        if since_us != 0 {
            self.note_end(task, Duration::from_micros(since_us - 1), &Err("it was interrupted".into()), 0);
        }
    }

    fn note_end(&self, task: BackgroundTask, began: Duration, outcome: &Result<(), String>, items: u64) {
        let state = self.of(task);
        state.runs.fetch_add(1, Ordering::Relaxed);
        state.failures.fetch_add(u64::from(outcome.is_err()), Ordering::Relaxed);
        state.items.fetch_add(items, Ordering::Relaxed);
        let took = self.clock.now().saturating_sub(began);
        state.took_us.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
        *state.last.lock() = Last { end_unix_ms: self.clock.unix_ms(), took, error: outcome.clone().err() };
    }

    pub fn status(&self, task: BackgroundTask) -> TaskStatus {
        let state = self.of(task);
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let running_since_us = state.running_since_us.load(Ordering::Acquire);
        let running_for = (running_since_us != 0)
            .then(|| self.clock.now().saturating_sub(Duration::from_micros(running_since_us - 1)));
        let last = state.last.lock();
        TaskStatus {
            task,
            paused: self.is_paused(task),
            running_for,
            waiting: self.is_waiting(task),
            progress: if running_for.is_some() { (load(&state.steps_done), load(&state.steps)) } else { (0, 0) },
            runs: load(&state.runs),
            failures: load(&state.failures),
            items: load(&state.items),
            last_end_unix_ms: last.end_unix_ms,
            last_took: last.took,
            total_took: Duration::from_micros(load(&state.took_us)),
            last_error: last.error.clone(),
        }
    }
}

/// A run of a task, from its beginning to its end.
pub struct Run<'m> {
    manager: &'m BackgroundTaskManager,
    task: BackgroundTask,
    began: Duration,
    /// What the task's `running_since_us` says as long as this is the run under way.
    since_us: u64,
    /// The times that it was asked for which this run answers.
    answers: u64,
    outcome: Result<(), String>,
    items: u64,
}

impl Run<'_> {
    /// One more step is done.
    pub fn step(&self) {
        self.manager.of(self.task).steps_done.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends it, having treated so many items.
    pub fn end(mut self, outcome: Result<(), String>, items: u64) {
        self.outcome = outcome;
        self.items = items;
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let state = self.manager.of(self.task);
        if state.running_since_us.load(Ordering::Acquire) != self.since_us {
            // It was interrupted, and another run may be under way.
            return;
        }
        self.manager.note_end(self.task, self.began, &self.outcome, self.items);
        state.running_since_us.store(0, Ordering::Release);
        state.answered.send_replace((self.answers, self.outcome.clone().err()));
    }
}

/// How often the schedule of flushes and compactions is looked at.
const SCHEDULE_INTERVAL: Duration = Duration::from_secs(1);

/// The thread that flushes and compacts, until `stop`.
pub async fn run(state: Arc<StorageState>, mut stop: StopSignal) {
    let manager = state.background.clone();
    // By the schedule nothing is due before a whole interval has passed.
    let mut due = Due { flush: state.env.clock.now(), compact: state.env.clock.now() };
    loop {
        tokio::select! {
            biased;
            () = stop.requested() => return,
            () = manager.wake.notified() => {}
            () = state.env.clock.sleep(SCHEDULE_INTERVAL) => {}
        }
        due.look(&state);
        if manager.is_waiting(BackgroundTask::Flush)
            && let Some(run) = manager.begin(BackgroundTask::Flush, 1)
        {
            let outcome = state.engine.flush();
            run.step();
            finish(&state, run, outcome);
        }
        if manager.is_waiting(BackgroundTask::Compact)
            && let Some(run) = manager.begin(BackgroundTask::Compact, ColumnFamily::ALL.len() as u64)
        {
            let outcome = compact(&state, &run, &stop);
            finish(&state, run, outcome);
        }
    }
}

/// When the schedule last asked.
struct Due {
    flush: Duration,
    compact: Duration,
}

impl Due {
    fn look(&mut self, state: &StorageState) {
        let now = state.env.clock.now();
        let config = state.config.current();
        for (task, last, interval_s) in [
            (BackgroundTask::Flush, &mut self.flush, config.storage.flush_interval_s),
            (BackgroundTask::Compact, &mut self.compact, config.storage.compact_interval_s),
        ] {
            if interval_s > 0 && now >= *last + Duration::from_secs(interval_s) {
                *last = now;
                if !state.background.is_paused(task) {
                    state.background.request(task);
                }
            }
        }
    }
}

/// Column family by column family, so that a pause or a stop need not wait for all of them.
fn compact(state: &StorageState, run: &Run<'_>, stop: &StopSignal) -> Result<(), EngineError> {
    for cf in ColumnFamily::ALL {
        if stop.is_requested() || state.background.is_paused(BackgroundTask::Compact) {
            return Err(EngineError::Io("interrupted between two column families".into()));
        }
        state.engine.compact(cf, None, None)?;
        run.step();
    }
    Ok(())
}

fn finish(state: &StorageState, run: Run<'_>, outcome: Result<(), EngineError>) {
    let task = run.task.name();
    let took = run.manager.clock.now().saturating_sub(run.began);
    match outcome {
        Ok(()) => {
            tracing::info!(task, took_ms = took.as_millis() as u64, "background task done");
            run.end(Ok(()), 1);
        }
        Err(error) => {
            let report = Report::new(Category::Background, Severity::Error, Side::Storage, "a background task failed");
            state.report(report.subject(&task).error(&error));
            run.end(Err(error.to_string()), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::real;

    fn manager() -> BackgroundTaskManager {
        BackgroundTaskManager::new(real::env().clock)
    }

    #[test]
    fn a_run_answers_all_who_asked_before_it_began_and_none_who_asked_later() {
        let manager = manager();
        let task = BackgroundTask::Flush;
        assert!(!manager.is_waiting(task) && manager.may_run(task));
        manager.request(task);
        manager.request(task);
        assert!(manager.is_waiting(task));
        let run = manager.begin(task, 3).unwrap();
        assert!(!manager.is_waiting(task) && manager.is_running(task) && manager.begin(task, 1).is_none());
        run.step();
        assert_eq!(manager.status(task).progress, (1, 3));
        manager.request(task);
        assert!(manager.is_waiting(task), "it may have begun too early for this one");
        run.end(Ok(()), 1);
        assert!(manager.is_waiting(task));
        manager.begin(task, 1).unwrap().end(Err("no".into()), 0);
        let status = manager.status(task);
        assert_eq!((status.runs, status.failures, status.items, status.waiting), (2, 1, 1, false));
        assert_eq!((status.last_error.as_deref(), status.running_for), (Some("no"), None));
    }

    #[test]
    fn a_paused_task_runs_only_when_asked_and_one_that_is_dropped_has_failed() {
        let manager = manager();
        let task = BackgroundTask::Expire;
        manager.set_paused(task, true);
        assert!(!manager.may_run(task));
        manager.request(task);
        assert!(manager.may_run(task));
        drop(manager.begin(task, 1));
        assert!(!manager.may_run(task));
        assert_eq!(manager.status(task).failures, 1);
        manager.set_paused(task, false);
        assert!(manager.may_run(task));
    }

    #[test]
    fn a_run_whose_thread_was_replaced_has_failed_and_its_late_end_changes_nothing() {
        let manager = manager();
        let task = BackgroundTask::Reclaim;
        manager.request(task);
        let hung = manager.begin(task, 1).unwrap();
        manager.interrupt(task);
        assert!(manager.is_waiting(task), "nobody has answered who asked");
        let mut substitute = manager.begin(task, 1).unwrap();
        substitute.since_us += 1;
        manager.of(task).running_since_us.store(substitute.since_us, Ordering::Release);
        hung.end(Ok(()), 5);
        assert!(manager.is_running(task), "the other run is under way");
        substitute.end(Ok(()), 1);
        let status = manager.status(task);
        assert_eq!((status.runs, status.failures, status.items, status.waiting), (2, 1, 1, false));
        manager.interrupt(task);
        assert_eq!(manager.status(task).runs, 2, "nothing was under way");
    }

    #[test]
    fn names_find_their_tasks() {
        for task in BackgroundTask::ALL {
            assert_eq!(BackgroundTask::of(task.name().to_uppercase().as_bytes()), Some(task));
        }
        assert_eq!(BackgroundTask::of(b"defrag"), None);
    }
}
