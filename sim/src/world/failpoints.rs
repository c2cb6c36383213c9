//! The table of armed failpoints of one world: what `fail`'s is to the real server. Everything a world does happens on one
//! thread, so the table is that thread's for as long as the run lasts.
//!
//! It must never decide anything by chance: the plan says at which place, with what, and for how many passes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bulkhead::failpoints::{self, Failpoint, simulated};

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
}

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

    fn pass(&self, failpoint: &'static Failpoint) -> Option<failpoints::Fault> {
        let what = {
            let table = &mut *self.lock();
            let at = table.armed.iter().position(|armed| armed.place.name() == failpoint.name)?;
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
