//! The gate before the engine: which writer may have effects. Of all writers that there ever were the last one alone
//! passes; and nobody becomes the last one while another is within. So a writer that hangs outside can be replaced, and
//! will find the gate closed when it comes back, while one that hangs within cannot.
//!
//! ```text
//! epoch e, outside ──enter──▶ epoch e, within        (one compare-and-swap, and so the two exclude each other)
//!    │      ▲──────leave──────────────┘
//!    └─close──▶ epoch e + 1, outside
//! ```
//!
//! A writer answers its group before it leaves. So of what a writer had started when the gate was closed to it, nothing
//! reached the engine and nothing ever will: that is the whole proof that it may run again.
//!
//! It uses neither tokio nor time, so that loom can try all its interleavings (`tests/loom`).

#[cfg(loom)]
use loom::sync::Arc;
#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::Arc;
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering};

use crate::planted;

/// The number of a writer: higher is later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(u64);

impl Epoch {
    /// Of readers: they have no effects, and no gate to pass.
    pub const NONE: Epoch = Epoch(u64::MAX);
}

/// See the module.
#[derive(Debug)]
pub struct Gate {
    /// The last writer's epoch, and in the lowest bit whether it is within.
    word: AtomicU64,
}

const WITHIN: u64 = 1;

/// A word that says that this epoch is the last one, and its writer outside.
fn outside(epoch: Epoch) -> u64 {
    epoch.0 << 1
}

impl Default for Gate {
    fn default() -> Gate {
        Gate { word: AtomicU64::new(0) }
    }
}

impl Gate {
    /// The last writer's.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.word.load(Ordering::Acquire) >> 1)
    }

    /// Whether a later writer has begun than that of `epoch`.
    pub fn is_closed_to(&self, epoch: Epoch) -> bool {
        self.epoch() > epoch
    }

    /// Closes the gate to the writer of `epoch`. `false`: it is within.
    pub fn close_to(&self, epoch: Epoch) -> bool {
        self.is_closed_to(epoch) || self.close(epoch, planted::is("hung-commit-is-replaced"))
    }

    /// From `last` to the next epoch, if nobody is within and `last` is the last one.
    fn close(&self, last: Epoch, is_forced: bool) -> bool {
        let next = outside(Epoch(last.0 + 1));
        if is_forced {
            self.word.store(next, Ordering::Release);
            return true;
        }
        self.word.compare_exchange(outside(last), next, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

/// A writer's time, from its beginning until a later writer begins. The writer holds it, and drops it as the last of
/// what it has: what it had started has ended by then.
#[derive(Debug)]
pub struct Tenure {
    gate: Arc<Gate>,
    epoch: Epoch,
}

impl Tenure {
    /// Begins a new writer's tenure: the gate is closed to all before it. `None`: one of them is within.
    pub fn begin(gate: &Arc<Gate>) -> Option<Tenure> {
        let last = gate.epoch();
        let is_forced = planted::is("old-writer-is-not-awaited");
        gate.close(last, is_forced).then(|| Tenure { gate: gate.clone(), epoch: Epoch(last.0 + 1) })
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether another writer has taken over: this one has no effects any more.
    pub fn is_over(&self) -> bool {
        self.gate.is_closed_to(self.epoch)
    }

    /// Goes in, to have effects: nobody takes over until this writer has left. `false`: another one has.
    #[must_use]
    pub fn enter(&self) -> bool {
        let outside = outside(self.epoch);
        let entered = self.gate.word.compare_exchange(outside, outside | WITHIN, Ordering::AcqRel, Ordering::Relaxed);
        debug_assert!(entered.is_ok() || self.is_over(), "invariant: nobody enters who is within");
        entered.is_ok() || planted::is("no-epoch-fence")
    }

    /// Goes out. Who does not, because it panicked or was dropped within, stays within until its tenure is dropped.
    pub fn leave(&self) {
        let is_by_force = planted::is("no-epoch-fence")
            || planted::is("hung-commit-is-replaced")
            || planted::is("old-writer-is-not-awaited");
        if is_by_force && self.is_over() {
            return;
        }
        // Nobody else changes the word while someone is within.
        self.gate.word.store(outside(self.epoch), Ordering::Release);
    }

    /// Has an effect, unless another writer has taken over.
    pub fn act<T>(&self, effect: impl FnOnce() -> T) -> Option<T> {
        if !self.enter() {
            return None;
        }
        let result = effect();
        self.leave();
        Some(result)
    }
}

impl Drop for Tenure {
    fn drop(&mut self) {
        let outside = outside(self.epoch);
        // It may be outside already, and another one may have taken over.
        let _ = self.gate.word.compare_exchange(outside | WITHIN, outside, Ordering::AcqRel, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_writer_passes_and_none_takes_over_from_one_within() {
        let gate = Arc::new(Gate::default());
        let first = Tenure::begin(&gate).expect("nobody is within");
        assert!(first.enter());
        assert!(!gate.close_to(first.epoch()) && Tenure::begin(&gate).is_none(), "it is within");
        first.leave();
        assert_eq!(first.act(|| 7), Some(7));
        let second = Tenure::begin(&gate).expect("nobody is within");
        assert!(first.is_over() && !second.is_over());
        assert_eq!((first.act(|| 7), second.act(|| 8)), (None, Some(8)));
        drop(first);
        assert_eq!(second.act(|| 9), Some(9), "the end of one that was replaced is nobody's business");
    }

    #[test]
    fn a_gate_is_closed_to_the_writer_that_is_meant_and_to_no_later_one() {
        let gate = Arc::new(Gate::default());
        let first = Tenure::begin(&gate).expect("nobody is within");
        assert!(gate.close_to(first.epoch()) && first.is_over());
        let second = Tenure::begin(&gate).expect("nobody is within");
        assert!(gate.close_to(first.epoch()), "it is closed already");
        assert!(!second.is_over());
    }

    #[test]
    fn a_writer_that_dies_within_stays_there_until_all_that_it_had_is_gone() {
        let gate = Arc::new(Gate::default());
        let tenure = Tenure::begin(&gate).expect("nobody is within");
        let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| tenure.act(|| panic!("within"))));
        assert!(died.is_err() && Tenure::begin(&gate).is_none());
        drop(tenure);
        assert!(Tenure::begin(&gate).is_some());
    }

    #[test]
    fn readers_have_no_gate() {
        let gate = Arc::new(Gate::default());
        let _writers = [Tenure::begin(&gate), Tenure::begin(&gate)];
        assert!(!gate.is_closed_to(Epoch::NONE));
    }
}
