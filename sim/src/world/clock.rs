//! The clock's door on virtual time. Monotonic time is the simulation's; the wall clock is that plus an offset that can
//! jump either way, as NTP and administrators make it.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bulkhead::env::{BoxFuture, Clock};
use tokio::runtime::{Handle, Id};
use tokio::time::Instant;

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

/// Virtual time since the start of the simulation. Only a running host may ask, and what is dropped when one is taken apart:
/// that is told the time of the last event.
pub fn now() -> Duration {
    try_now().unwrap_or_else(|| {
        assert!(TAKING_APART.get(), "the clock is read within a simulated host");
        LAST.get()
    })
}

/// How many runtimes are remembered: more than a world has hosts.
const RUNTIMES: usize = 4;
/// One answer in so many is compared with turmoil's.
const CHECKED_EVERY: u64 = 256;

/// What time it was in a runtime when it first asked.
#[derive(Clone, Copy)]
struct First {
    runtime: Id,
    instant: Instant,
    elapsed: Duration,
}

thread_local! {
    /// The runtimes that asked last: the clocks of one host's runtime and of the simulation run alike.
    static FIRST: RefCell<[Option<First>; RUNTIMES]> = const { RefCell::new([None; RUNTIMES]) };
    static ASKED: Cell<u64> = const { Cell::new(0) };
    static TAKING_APART: Cell<bool> = const { Cell::new(false) };
    /// What time it was when somebody asked last.
    static LAST: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// As [`now`]; `None` where no host is running. It is asked at every event, so it does not go through turmoil, which looks
/// up the host each time.
pub fn try_now() -> Option<Duration> {
    if TAKING_APART.get() {
        return None;
    }
    let (runtime, instant) = (Handle::try_current().ok()?.id(), Instant::now());
    let known = FIRST.with_borrow(|all| all.iter().flatten().find(|first| first.runtime == runtime).copied());
    let asked = ASKED.get();
    ASKED.set(asked + 1);
    let now = match known {
        Some(first) => {
            let now = first.elapsed + instant.duration_since(first.instant);
            if asked.is_multiple_of(CHECKED_EVERY) {
                assert_eq!(turmoil::sim_elapsed(), Some(now), "a runtime's clock runs by itself");
            }
            now
        }
        None => {
            let elapsed = turmoil::sim_elapsed()?;
            let at = asked as usize % RUNTIMES;
            FIRST.with_borrow_mut(|all| {
                let at = all.iter().position(Option::is_none).unwrap_or(at);
                all[at] = Some(First { runtime, instant, elapsed });
            });
            elapsed
        }
    };
    LAST.set(now);
    Some(now)
}

/// While a host, or the world, is taken apart there is no time, only the real clock, which must not be asked.
pub fn set_taking_apart(taking_apart: bool) {
    TAKING_APART.set(taking_apart);
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
