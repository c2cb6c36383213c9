//! Supervision of the engine threads: one that panics is started anew, one that does not come back is replaced if that is
//! safe and reported if not, and a thread that fails again and again ends the server.
//!
//! What hangs cannot be ended, only left alone: its thread goes when it comes back. A reader's work has no effects, so a
//! substitute may take over what it had not begun. A writer is replaced if the gate can be closed to it (see
//! [`Gate`](crate::channel::Gate)): then it hangs before its commit, in a command or in a read, and nothing that it holds
//! can reach the engine any more. One that hangs within its commit must never be replaced: what it holds may be on disk
//! already, or get there at any time, and nobody could say which; a second writer would break the one order of commits.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::server::StorageState;
use crate::channel::Epoch;
use crate::env::{Domain, Exit, Task, spawn, spawn_engine_thread};
use crate::keyspace::CommandError;
use crate::limits;
use crate::observe::{Category, Report, Severity, Side};
use crate::planted;

/// The sign of life of one engine thread.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Since when it has been at what it is at, in microseconds on the monotonic clock, plus one; 0: it waits for work.
    busy_since_us: AtomicU64,
    /// Another has taken its place: it is to end when it comes back.
    retired: AtomicBool,
    /// Of a writer that has begun.
    epoch: Mutex<Option<Epoch>>,
}

impl Pulse {
    /// The thread begins a piece of work, or shows that it gets on with it.
    pub fn beat(&self, now: Duration) {
        self.busy_since_us.store(now.as_micros() as u64 + 1, Ordering::Relaxed);
    }

    /// It waits for work.
    pub fn rest(&self) {
        self.busy_since_us.store(0, Ordering::Relaxed);
    }

    /// The thread is the writer of that epoch.
    pub fn note_epoch(&self, epoch: Epoch) {
        *self.epoch.lock() = Some(epoch);
    }

    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    fn busy_for(&self, now: Duration) -> Duration {
        match self.busy_since_us.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since_us => now.saturating_sub(Duration::from_micros(since_us - 1)),
        }
    }
}

/// Whether one engine thread is counted among those that do not come back. Both the thread and whoever watches over it hold
/// this: so it is counted for as long as it stands still, even if it outlives the runtime it was watched in, and never longer
/// than it runs.
struct HungMark {
    state: Arc<StorageState>,
    is_set: AtomicBool,
}

impl HungMark {
    fn new(state: &Arc<StorageState>) -> Arc<HungMark> {
        Arc::new(HungMark { state: state.clone(), is_set: AtomicBool::new(false) })
    }

    /// Returns whether that is news.
    fn set(&self, is_hung: bool) -> bool {
        let is_news = self.is_set.swap(is_hung, Ordering::AcqRel) != is_hung;
        let count = &self.state.stats.runtime.threads_hung;
        match (is_news, is_hung) {
            (true, true) => count.add(1),
            (true, false) => count.subtract(1),
            (false, _) => {}
        }
        is_news
    }
}

impl Drop for HungMark {
    fn drop(&mut self) {
        if self.is_set.load(Ordering::Relaxed) && !planted::is("hung-is-counted-for-ever") {
            self.set(false);
        }
    }
}

/// The watch over one thread. If it is broken off, for the storage runtime is lost, nobody will look at that pulse again: a
/// thread that is at work then counts as one that does not come back, until it does.
struct Watch<'w> {
    pulse: &'w Pulse,
    mark: &'w HungMark,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if self.pulse.busy_since_us.load(Ordering::Relaxed) != 0 {
            self.mark.set(true);
        }
    }
}

/// What to do about a thread that does not come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfHung {
    /// Start another one in its place.
    Replace,
    /// Start another one in its place if it can have no effects any more; else say so, and refuse writes at once instead of
    /// letting each wait for its deadline.
    Fence,
    /// Say so.
    Report,
    /// It may take as long as it likes.
    Nothing,
}

/// How often a thread may be started anew, and how long to wait before: longer each time, until it has run for a while.
#[derive(Debug, Default)]
struct Restarts {
    in_a_row: u32,
    last: Duration,
}

impl Restarts {
    /// The pause before the next start. `None`: that was once too often.
    fn next(&mut self, now: Duration) -> Option<Duration> {
        if now >= self.last + limits::THREAD_RESTARTS_FORGIVEN_AFTER {
            self.in_a_row = 0;
        }
        (self.last, self.in_a_row) = (now, self.in_a_row + 1);
        let pause = limits::THREAD_RESTART_PAUSE_MIN * (1 << (self.in_a_row - 1).min(16));
        (self.in_a_row <= limits::THREAD_RESTARTS_MAX).then_some(pause.min(limits::THREAD_RESTART_PAUSE_MAX))
    }
}

/// How the watch over one thread ended.
enum End {
    Exit(Exit),
    /// It is to be replaced.
    Hung,
}

/// One engine thread's place, whoever sits in it.
pub(super) struct Seat<B> {
    pub state: Arc<StorageState>,
    pub domain: Arc<dyn Domain>,
    pub name: String,
    pub if_hung: IfHung,
    /// Makes the thread's loop.
    pub body: B,
}

impl<B, F> Seat<B>
where
    B: Fn(Arc<Pulse>) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    /// Keeps a thread in this place until its loop ends.
    pub async fn keep(self) {
        let state = &self.state;
        let mut restarts = Restarts::default();
        // Those that were replaced and have not come back.
        let hung = Arc::new(AtomicUsize::new(0));
        loop {
            let (pulse, mark) = (Arc::new(Pulse::default()), HungMark::new(state));
            let (body, held) = ((self.body)(pulse.clone()), mark.clone());
            let body = async move {
                body.await;
                drop(held);
            };
            let failed = match spawn_engine_thread(&*self.domain, self.name.clone(), body) {
                Err(error) => {
                    (Category::Recovery, "a storage thread could not be started, trying again", error.to_string())
                }
                Ok(mut thread) => {
                    state.threads.fetch_add(1, Ordering::Relaxed);
                    let end = self.watch(&mut thread, &pulse, &mark, &hung).await;
                    state.threads.fetch_sub(1, Ordering::Relaxed);
                    match end {
                        End::Hung => {
                            pulse.retire();
                            self.await_return(thread, hung.clone());
                            continue;
                        }
                        End::Exit(Exit::Finished | Exit::Dropped) => return,
                        End::Exit(Exit::Panicked(_)) if planted::is("panicked-thread-stays-dead") => {
                            return std::future::pending().await;
                        }
                        End::Exit(Exit::Panicked(panic)) => {
                            state.stats.runtime.threads_restarted.add(1);
                            (Category::Panic, "a storage thread panicked, starting it again", panic)
                        }
                    }
                }
            };
            let (category, what, error) = failed;
            let report = Report::new(category, Severity::Error, Side::Storage, what);
            state.report(report.subject(&self.name).error(&error));
            match restarts.next(state.env.clock.now()) {
                Some(pause) => state.env.clock.sleep(pause).await,
                None => {
                    let often = limits::THREAD_RESTARTS_MAX;
                    let reason = format!("the storage thread {} failed {often} times in a row: {error}", self.name);
                    return state.trouble.give_up(reason);
                }
            }
        }
    }

    /// Looks at the thread's pulse until it ends or is to be replaced.
    async fn watch(&self, thread: &mut Task, pulse: &Pulse, mark: &HungMark, hung: &AtomicUsize) -> End {
        let state = &self.state;
        let _watch = Watch { pulse, mark };
        loop {
            let patience = Duration::from_millis(state.config.current().runtime.watchdog_timeout_ms);
            let interval = (patience / 4).clamp(limits::WATCHDOG_INTERVAL_MIN, limits::WATCHDOG_INTERVAL_MAX);
            tokio::select! {
                biased;
                exit = thread.exit() => {
                    pulse.rest();
                    return End::Exit(exit);
                }
                () = state.env.clock.sleep(interval) => {}
            }
            let busy = pulse.busy_for(state.env.clock.now());
            if patience.is_zero() || busy < patience || self.if_hung == IfHung::Nothing {
                if mark.set(false) {
                    tracing::info!(thread = self.name, "a storage thread that did not come back has come back");
                }
                continue;
            }
            let is_replaced = hung.load(Ordering::Relaxed) < limits::THREAD_SUBSTITUTES_MAX && self.may_replace(pulse);
            if mark.set(true) || is_replaced {
                self.tell(busy, is_replaced);
            }
            if is_replaced {
                return End::Hung;
            }
        }
    }

    /// Whether the thread has no effects any more, from now on at the latest.
    fn may_replace(&self, pulse: &Pulse) -> bool {
        match self.if_hung {
            IfHung::Replace => true,
            IfHung::Fence => pulse.epoch.lock().is_some_and(|epoch| self.state.channel.gate.close_to(epoch)),
            IfHung::Report | IfHung::Nothing => false,
        }
    }

    fn tell(&self, busy: Duration, is_replaced: bool) {
        let is_writer = self.if_hung == IfHung::Fence;
        let (severity, what) = match (is_writer, is_replaced) {
            (true, true) => {
                (Severity::Error, "the writer does not come back: another takes its place, what it held had no effect")
            }
            (true, false) => (Severity::Critical, "the writer does not come back: writes are refused"),
            (false, true) => (Severity::Error, "a storage thread does not come back: another takes its place"),
            (false, false) => (Severity::Error, "a storage thread does not come back"),
        };
        let report = Report::new(Category::Hang, severity, Side::Storage, what);
        self.state.report(report.subject(&self.name).error(&format_args!("for {} ms", busy.as_millis())));
        if is_writer && !is_replaced {
            let cause = "the writer does not come back, the write was not executed";
            self.state.channel.trip_breaker(CommandError::TryAgain(cause));
        }
    }

    /// The thread was replaced: it is forgotten when it comes back, and counts as hung until then.
    fn await_return(&self, mut thread: Task, hung: Arc<AtomicUsize>) {
        hung.fetch_add(1, Ordering::Relaxed);
        let name = self.name.clone();
        self.state.stats.runtime.threads_replaced.add(1);
        spawn(&*self.domain, async move {
            thread.exit().await;
            hung.fetch_sub(1, Ordering::Relaxed);
            tracing::info!(thread = name, "a storage thread that was replaced has come back, and ended");
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_fails_again_and_again_is_started_later_each_time_and_then_no_more() {
        let mut restarts = Restarts::default();
        let mut now = Duration::from_secs(3600);
        let mut pauses = Vec::new();
        while let Some(pause) = restarts.next(now) {
            pauses.push(pause);
            now += pause;
            assert!(pauses.len() <= 1000, "it never gives up");
        }
        assert_eq!(pauses.len(), limits::THREAD_RESTARTS_MAX as usize);
        assert_eq!(pauses[0], limits::THREAD_RESTART_PAUSE_MIN);
        assert!(pauses.is_sorted() && pauses[pauses.len() - 1] == limits::THREAD_RESTART_PAUSE_MAX, "{pauses:?}");
        let pause = restarts.next(now + limits::THREAD_RESTARTS_FORGIVEN_AFTER);
        assert_eq!(pause, Some(limits::THREAD_RESTART_PAUSE_MIN), "after a good while it starts from the beginning");
    }

    #[test]
    fn a_pulse_tells_for_how_long_a_thread_has_been_at_it() {
        let pulse = Pulse::default();
        let second = Duration::from_secs(1);
        assert_eq!(pulse.busy_for(second * 9), Duration::ZERO, "it waits for work");
        pulse.beat(second);
        assert_eq!(pulse.busy_for(second * 9), second * 8);
        pulse.beat(second * 8);
        assert_eq!(pulse.busy_for(second * 9), second);
        pulse.rest();
        assert_eq!(pulse.busy_for(second * 9), Duration::ZERO);
    }
}
