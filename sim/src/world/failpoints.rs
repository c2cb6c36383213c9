//! The table of armed failpoints of one world: what `fail`'s is to the real server. Everything a world does happens on one
//! thread, so the table is that thread's for as long as the run lasts.
//!
//! The plan says at which place, with what, and for how many passes. Besides, a commit takes its time where the plan's
//! surroundings say so: that is no fault, and none is counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bulkhead::failpoints::{self, Failpoint, simulated};

use crate::dice::Dice;
use crate::plan::Place;
use crate::trace::Trace;

/// What is armed, and how often what has fired.
pub struct Failpoints {
    table: Mutex<Table>,
    trace: Arc<Trace>,
}

#[derive(Default)]
struct Table {
    armed: Vec<Armed>,
    fired: BTreeMap<String, u64>,
    /// One commit in so many takes long, and who decides which.
    slow_commits: Option<(u64, Dice)>,
}

/// Where a commit takes its time: before the engine has it, and after.
static COMMIT: &[&Failpoint] = &[&failpoints::WRITER_BEFORE_COMMIT, &failpoints::WRITER_AFTER_COMMIT];
/// The longest that it takes.
const COMMIT_MS_MAX: u64 = 5;

/// One arming. Of several at one place the first counts.
struct Armed {
    place: Place,
    what: failpoints::Fault,
    /// `None`: all passes.
    passes_left: Option<u64>,
}

/// Makes a table count on this thread until it is dropped.
pub struct InForce(());

impl Drop for InForce {
    fn drop(&mut self) {
        simulated::decide_by(None);
    }
}

impl Failpoints {
    pub fn new(trace: Arc<Trace>) -> Arc<Failpoints> {
        Arc::new(Failpoints { table: Mutex::default(), trace })
    }

    /// From now on this table decides on this thread.
    #[must_use]
    pub fn in_force(self: &Arc<Self>) -> InForce {
        let table = self.clone();
        simulated::decide_by(Some(Box::new(move |failpoint| table.pass(failpoint))));
        InForce(())
    }

    /// One commit in so many takes its time; 0: none does.
    pub fn slow_commits(&self, one_in: u64, dice: Dice) {
        self.lock().slow_commits = (one_in > 0).then_some((one_in, dice));
    }

    /// Arms a place for so many passes; 0: for all.
    pub fn arm(&self, place: Place, what: failpoints::Fault, times: u64) {
        self.lock().armed.push(Armed { place, what, passes_left: (times > 0).then_some(times) });
    }

    /// Disarms what [`Failpoints::arm`] has armed, if it has not run out by itself.
    pub fn disarm(&self, place: Place, what: failpoints::Fault) {
        self.lock().armed.retain(|armed| (armed.place, armed.what) != (place, what));
    }

    pub fn is_armed(&self, is_it: impl Fn(failpoints::Fault) -> bool) -> bool {
        self.lock().armed.iter().any(|armed| is_it(armed.what))
    }

    /// How often what has fired, by place and fault.
    pub fn fired(&self) -> BTreeMap<String, u64> {
        self.lock().fired.clone()
    }

    /// Whether anything that was armed has made somebody stand still.
    pub fn has_stalled(&self) -> bool {
        self.lock().fired.keys().any(|what| what.ends_with(" stall"))
    }

    fn pass(&self, failpoint: &'static Failpoint) -> Option<failpoints::Fault> {
        let what = {
            let table = &mut *self.lock();
            let Some(at) = table.armed.iter().position(|armed| armed.place.name() == failpoint.name) else {
                return table.slowness(failpoint);
            };
            let armed = &mut table.armed[at];
            let what = armed.what;
            if let Some(left) = &mut armed.passes_left {
                *left -= 1;
                if *left == 0 {
                    table.armed.remove(at);
                }
            }
            let word = what.to_string();
            let word = word.split(':').next().unwrap_or_default();
            *table.fired.entry(format!("{} {word}", failpoint.name)).or_default() += 1;
            what
        };
        self.trace.event("failpoint", format_args!("{}: {what}", failpoint.name));
        Some(what)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// How long a commit takes here.
    fn slowness(&mut self, failpoint: &'static Failpoint) -> Option<failpoints::Fault> {
        let (one_in, dice) = self.slow_commits.as_mut()?;
        let is_slow = COMMIT.iter().any(|place| std::ptr::eq(*place, failpoint)) && dice.one_in(*one_in);
        is_slow.then(|| failpoints::Fault::Stall(dice.millis(1..=COMMIT_MS_MAX)))
    }
}
