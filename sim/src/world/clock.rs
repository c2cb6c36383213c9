//! The clock's door on virtual time. Monotonic time is the simulation's; the wall clock is that plus an offset that can
//! jump either way, as NTP and administrators make it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bulkhead::env::{BoxFuture, Clock};

/// The Unix time at which every simulation begins: some time in 2024.
pub const START_MS: i64 = 1_720_000_000_000;

/// How far a machine's wall clock has jumped.
#[derive(Default)]
pub struct WallClock {
    jumped_ms: AtomicI64,
}

impl WallClock {
    pub fn jump_ms(&self, by_ms: i64) {
        self.jumped_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// What the clock shows, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        START_MS + now().as_millis() as i64 + self.jumped_ms.load(Ordering::Relaxed)
    }
}

/// Virtual time since the start of the simulation. Only a running host may ask.
pub fn now() -> Duration {
    turmoil::sim_elapsed().expect("the clock is read within a simulated host")
}

pub struct SimClock {
    wall: Arc<WallClock>,
}

impl SimClock {
    pub fn new(wall: Arc<WallClock>) -> SimClock {
        SimClock { wall }
    }
}

impl Clock for SimClock {
    fn now(&self) -> Duration {
        now()
    }

    fn unix_time(&self) -> Duration {
        Duration::from_millis(self.wall.now_ms().max(0) as u64)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}
