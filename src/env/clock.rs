//! Time, of two kinds that must not be mixed up: monotonic time for deadlines and latencies, wall-clock time for what
//! clients call a date (expiry). The wall clock may jump either way.

use std::time::Duration;

use super::BoxFuture;

pub trait Clock: Send + Sync {
    /// Monotonic time since some fixed moment.
    fn now(&self) -> Duration;

    /// [`Clock::now`], for a duration that is only measured: in a build that measures nothing nobody asks.
    fn moment(&self) -> Duration {
        if cfg!(feature = "unmeasured") { Duration::ZERO } else { self.now() }
    }

    /// Time since the Unix epoch, UTC.
    fn unix_time(&self) -> Duration;

    /// Resolves after `duration` of monotonic time.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// [`Clock::unix_time`] in milliseconds: the unit of expiry.
    fn unix_ms(&self) -> u64 {
        self.unix_time().as_millis() as u64
    }
}
