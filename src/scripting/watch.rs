//! What a running script is watched for: that it ends in time. Looked at by the interpreter now and then, and by whatever a
//! script can make take long.
//!
//! Time is the clock's of the environment. In the simulation that stands still while a script runs, so instructions are
//! counted as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::env::Clock;
use crate::limits;

/// Why a script must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// SCRIPT KILL
    Killed,
    /// It has taken longer than it may.
    Time,
}

/// A script that runs, as SCRIPT KILL sees it.
#[derive(Debug, Default)]
pub struct Running {
    killed: AtomicBool,
}

impl Running {
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Relaxed);
    }
}

/// Watches one machine.
pub struct Watch {
    clock: Arc<dyn Clock>,
    deadline_us: AtomicU64,
    /// Instructions that are left.
    left: AtomicU64,
    running: Mutex<Arc<Running>>,
    /// What it has found; it stays so until the next script begins.
    overdue: Mutex<Option<Overdue>>,
}

impl Watch {
    pub fn new(clock: Arc<dyn Clock>) -> Watch {
        let (deadline_us, left, running, overdue) = Default::default();
        Watch { clock, deadline_us, left, running, overdue }
    }

    /// A script begins.
    pub fn begin(&self, time_max: Duration, running: Arc<Running>) {
        let deadline = self.clock.now().saturating_add(time_max);
        self.deadline_us.store(u64::try_from(deadline.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.left.store(limits::SCRIPT_INSTRUCTIONS_MAX, Ordering::Relaxed);
        *self.running.lock() = running;
        *self.overdue.lock() = None;
    }

    /// Why the script that ran last had to end.
    pub fn overdue(&self) -> Option<Overdue> {
        *self.overdue.lock()
    }

    /// Monotonic time.
    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    /// So many instructions, or steps of other work, have been done. `Err`: the script must end.
    pub fn pass(&self, steps: u64) -> Result<(), Overdue> {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(steps), Ordering::Relaxed);
        let found = if self.running.lock().killed.load(Ordering::Relaxed) {
            Overdue::Killed
        } else if left < steps || self.clock.now().as_micros() as u64 >= self.deadline_us.load(Ordering::Relaxed) {
            Overdue::Time
        } else {
            return Ok(());
        };
        Err(*self.overdue.lock().get_or_insert(found))
    }
}
