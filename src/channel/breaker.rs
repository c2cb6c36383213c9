//! The circuit breaker before storage's writes (Nygard, "Release It!"): while storage fails, a write is refused at once
//! and with the reason, instead of making its client wait for the same end.
//!
//! ```text
//! closed ──failures in a row──▶ open ──pause over──▶ half-open: one probe ──success──▶ closed
//!                                ▲                            └──failure──▶ open, for longer
//! ```
//!
//! It judges storage by what came of requests (engine errors, stalls, timeouts), never by what a command replied to its
//! client. Reads pass it by: they are served while writes fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::config::LiveConfig;
use crate::env::Clock;
use crate::keyspace::CommandError;
use crate::limits;
use crate::observe::{Category, Condition, Report, ServerStats, Severity, Side, Status};
use crate::planted;

/// How the breaker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    Closed,
    Open,
    HalfOpen,
}

impl BreakerState {
    pub fn word(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half-open",
        }
    }
}

/// A request that was let through, until its end. Dropped without [`Permit::end`] it says nothing of storage: its client
/// left, wherever the request was by then; so a probe that is lost never keeps the breaker shut.
pub struct Permit {
    breaker: Arc<Breaker>,
    admission: Option<Admission>,
}

impl Permit {
    /// Lets a write through, or refuses it with the error that storage failed by.
    pub fn ask(breaker: &Arc<Breaker>) -> Result<Permit, CommandError> {
        let admission = Some(breaker.admit()?);
        Ok(Permit { breaker: breaker.clone(), admission })
    }

    /// The request has ended.
    pub fn end(mut self, verdict: Verdict) {
        if let Some(admission) = self.admission.take() {
            self.breaker.record(admission, verdict);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(admission) = self.admission.take() {
            self.breaker.record(admission, Verdict::Nothing);
        }
    }
}

/// How a request was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    Normal,
    /// The one request that tries whether storage is back.
    Probe,
}

/// What the end of a request says of storage.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Success,
    /// With what later requests are refused by.
    Failure(CommandError),
    /// Nothing: the client left, say.
    Nothing,
}

#[derive(Debug)]
enum Inner {
    Closed { failures: u64 },
    Open { until: Duration, pause: Duration, cause: CommandError },
    HalfOpen { pause: Duration, cause: CommandError },
}

/// One for the whole server.
pub struct Breaker {
    inner: Mutex<Inner>,
    /// Failures in a row while it is closed; `u64::MAX` while it is not. The hot path reads only this.
    mark: AtomicU64,
    clock: Arc<dyn Clock>,
    config: Arc<LiveConfig>,
    stats: Arc<ServerStats>,
}

const NOT_CLOSED: u64 = u64::MAX;

impl Breaker {
    pub fn new(clock: Arc<dyn Clock>, config: Arc<LiveConfig>, stats: Arc<ServerStats>) -> Breaker {
        let inner = Mutex::new(Inner::Closed { failures: 0 });
        Breaker { inner, mark: AtomicU64::new(0), clock, config, stats }
    }

    pub fn state(&self) -> BreakerState {
        match *self.inner.lock() {
            Inner::Closed { .. } => BreakerState::Closed,
            Inner::Open { .. } => BreakerState::Open,
            Inner::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    fn admit(&self) -> Result<Admission, CommandError> {
        if self.mark.load(Ordering::Relaxed) != NOT_CLOSED {
            return Ok(Admission::Normal);
        }
        let mut inner = self.inner.lock();
        let (pause, cause) = match &*inner {
            Inner::Closed { .. } => return Ok(Admission::Normal),
            Inner::Open { until, pause, cause } if self.clock.now() >= *until => (*pause, cause.clone()),
            Inner::Open { cause, .. } | Inner::HalfOpen { cause, .. } => {
                self.stats.channel.shed.add(1);
                return Err(cause.clone());
            }
        };
        *inner = Inner::HalfOpen { pause, cause };
        Ok(Admission::Probe)
    }

    fn record(&self, admission: Admission, verdict: Verdict) {
        let is_quiet = admission == Admission::Normal && verdict != Verdict::Nothing;
        if is_quiet && verdict == Verdict::Success && self.mark.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut inner = self.inner.lock();
        let next = match (&*inner, admission, verdict) {
            (Inner::Closed { .. }, _, Verdict::Success) => Inner::Closed { failures: 0 },
            (Inner::Closed { failures }, _, Verdict::Failure(cause)) => self.after_failure(failures + 1, cause),
            (Inner::HalfOpen { pause, cause }, Admission::Probe, Verdict::Success)
                if planted::is("breaker-stays-open") =>
            {
                Inner::Open { until: self.clock.now() + *pause, pause: *pause, cause: cause.clone() }
            }
            (Inner::HalfOpen { .. }, Admission::Probe, Verdict::Success) => Inner::Closed { failures: 0 },
            (Inner::HalfOpen { pause, .. }, Admission::Probe, Verdict::Failure(cause)) => {
                self.open((*pause * 2).min(limits::BREAKER_PAUSE_MAX), cause)
            }
            // The probe said nothing: the next one may go at once.
            (Inner::HalfOpen { pause, cause }, Admission::Probe, Verdict::Nothing) => {
                Inner::Open { until: self.clock.now(), pause: *pause, cause: cause.clone() }
            }
            // Let through before it opened: only the probe closes it again.
            _ => return,
        };
        self.set(&mut inner, next);
    }

    fn after_failure(&self, failures: u64, cause: CommandError) -> Inner {
        let runtime = &self.config.current().runtime;
        if runtime.breaker_failures == 0 || failures < runtime.breaker_failures {
            Inner::Closed { failures }
        } else {
            self.open(Duration::from_millis(runtime.breaker_pause_ms), cause)
        }
    }

    /// Opens it, unless it is so already or is being tried.
    pub fn trip(&self, cause: CommandError) {
        let runtime = &self.config.current().runtime;
        let mut inner = self.inner.lock();
        if runtime.breaker_failures > 0 && matches!(*inner, Inner::Closed { .. }) {
            let next = self.open(Duration::from_millis(runtime.breaker_pause_ms), cause);
            self.set(&mut inner, next);
        }
    }

    fn open(&self, pause: Duration, cause: CommandError) -> Inner {
        self.stats.channel.breaker_opened.add(1);
        Inner::Open { until: self.clock.now() + pause, pause, cause }
    }

    fn set(&self, inner: &mut Inner, next: Inner) {
        let mark = match &next {
            Inner::Closed { failures } => *failures,
            _ => NOT_CLOSED,
        };
        self.mark.store(mark, Ordering::Relaxed);
        let was_closed = matches!(inner, Inner::Closed { .. });
        match &next {
            Inner::Open { pause, cause, .. } => {
                let reason = format!("open for {} ms after failures: {cause}", pause.as_millis());
                if was_closed {
                    let what = "circuit breaker opened: writes are refused until storage takes them again";
                    let report = Report::new(Category::Breaker, Severity::Error, Side::Channel, what);
                    self.stats.error_log.report(self.clock.now(), report.error(cause));
                }
                self.stats.health.set(Condition::Breaker, Status::Degraded, reason);
            }
            Inner::Closed { failures: 0 } if !was_closed => {
                tracing::info!("circuit breaker closed: storage takes writes again");
                self.stats.health.set(Condition::Breaker, Status::Ok, "closed");
            }
            _ => {}
        }
        *inner = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Invocation, Machine};
    use crate::env::BoxFuture;
    use proptest::prelude::*;
    use std::path::Path;

    #[derive(Default)]
    struct HandClock(AtomicU64);

    impl Clock for HandClock {
        fn now(&self) -> Duration {
            Duration::from_millis(self.0.load(Ordering::Relaxed))
        }

        fn unix_time(&self) -> Duration {
            self.now()
        }

        fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
            Box::pin(std::future::pending())
        }
    }

    const PAUSE_MS: u64 = 100;

    fn breaker() -> (Breaker, Arc<HandClock>) {
        let clock = Arc::new(HandClock::default());
        let arguments = ["--breaker-failures", "3", "--breaker-pause", "100"].map(std::ffi::OsString::from);
        let machine = Machine { cores: 2, memory_bytes: 1 << 30 };
        let mut files = |_: &Path| -> std::io::Result<String> { Err(std::io::ErrorKind::NotFound.into()) };
        let Ok(Invocation::Serve(loaded)) = Invocation::parse(arguments, &machine, &mut files) else { panic!() };
        (Breaker::new(clock.clone(), Arc::new(LiveConfig::new(*loaded)), Arc::default()), clock)
    }

    fn failure() -> Verdict {
        Verdict::Failure(CommandError::TryAgain("storage is away"))
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_probe_through_after_its_pause() {
        let (breaker, clock) = breaker();
        for verdict in [failure(), failure(), Verdict::Success, failure(), failure()] {
            breaker.record(breaker.admit().expect("closed"), verdict);
        }
        assert_eq!(breaker.state(), BreakerState::Closed, "never three in a row");
        breaker.record(Admission::Normal, failure());
        assert_eq!(breaker.admit(), Err(CommandError::TryAgain("storage is away")));
        clock.0.store(PAUSE_MS, Ordering::Relaxed);
        assert_eq!(breaker.admit(), Ok(Admission::Probe));
        assert!(breaker.admit().is_err(), "one probe at a time");
        breaker.record(Admission::Normal, Verdict::Success);
        assert!(breaker.admit().is_err(), "only the probe decides");
        breaker.record(Admission::Probe, failure());
        clock.0.store(PAUSE_MS * 2, Ordering::Relaxed);
        assert!(breaker.admit().is_err(), "the next pause is longer");
        clock.0.store(PAUSE_MS * 3, Ordering::Relaxed);
        assert_eq!(breaker.admit(), Ok(Admission::Probe));
        breaker.record(Admission::Probe, Verdict::Nothing);
        assert_eq!(breaker.admit(), Ok(Admission::Probe), "a client that left takes no other's chance");
        breaker.record(Admission::Probe, Verdict::Success);
        assert_eq!((breaker.admit(), breaker.state()), (Ok(Admission::Normal), BreakerState::Closed));
    }

    #[test]
    fn a_probe_whose_client_leaves_before_it_is_sent_keeps_nobody_out() {
        let (breaker, clock) = breaker();
        let breaker = Arc::new(breaker);
        (0..3).for_each(|_| breaker.record(Admission::Normal, failure()));
        clock.0.store(PAUSE_MS, Ordering::Relaxed);
        let probe = Permit::ask(&breaker).expect("its pause is over");
        assert!(Permit::ask(&breaker).is_err(), "one probe at a time");
        drop(probe);
        Permit::ask(&breaker).expect("the next one may try").end(Verdict::Success);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    proptest! {
        #[test]
        fn never_two_probes_and_never_shut_for_good(acts in prop::collection::vec((0u8..3, 0u64..300), 0..80)) {
            let (breaker, clock) = breaker();
            let mut probing = false;
            for (act, ms) in acts {
                clock.0.fetch_add(ms, Ordering::Relaxed);
                match breaker.admit() {
                    Ok(Admission::Probe) => {
                        prop_assert!(!probing);
                        probing = true;
                    }
                    Ok(Admission::Normal) => prop_assert!(!probing),
                    Err(_) => {}
                }
                let verdict = [Verdict::Success, failure(), Verdict::Nothing][usize::from(act)].clone();
                let admission = if std::mem::take(&mut probing) { Admission::Probe } else { Admission::Normal };
                breaker.record(admission, verdict);
            }
            clock.0.fetch_add(limits::BREAKER_PAUSE_MAX.as_millis() as u64, Ordering::Relaxed);
            prop_assert!(breaker.admit().is_ok());
        }
    }
}
