//! How strong the simulation is: each planted bug, and how many seeds it takes until an oracle notices it. A bug that no
//! seed finds says more than a thousand runs in which nothing happens.

use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bulkhead::planted::{self, BUGS};

use crate::campaign::plan;
use crate::run::run;

/// A run of CI.
const ENOUGH: f64 = 0.95;

/// What became of one bug.
pub struct Caught {
    pub name: &'static str,
    pub what: &'static str,
    /// After how many seeds, and which oracle noticed; `None`: it survived.
    pub after: Option<(u64, String)>,
}

pub struct Strength {
    pub seeds: u64,
    pub bugs: Vec<Caught>,
}

/// Plants each bug, or one, and runs seeds until one fails.
pub fn measure(from: u64, seeds: u64, jobs: usize, only: Option<&str>, tell: impl Fn(&str)) -> Strength {
    let chosen = BUGS.iter().filter(|(name, _)| only.is_none_or(|only| only == *name));
    let mut bugs = Vec::new();
    for (name, what) in chosen {
        let after = hunt(name, from, seeds, jobs);
        let fate = after.as_ref().map_or("survived".into(), |(after, by)| format!("{by} after {after}"));
        tell(&format!("{name}: {fate}\n"));
        bugs.push(Caught { name, what, after });
    }
    Strength { seeds, bugs }
}

/// The first seed that fails, counted from one.
fn hunt(bug: &'static str, from: u64, seeds: u64, jobs: usize) -> Option<(u64, String)> {
    let (next, first) = (AtomicU64::new(0), Mutex::new(None::<(u64, String)>));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                planted::plant(Some(bug));
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let is_over = |first: &Option<(u64, String)>| first.as_ref().is_some_and(|(at, _)| *at <= number);
                    if number >= seeds || is_over(&first.lock().expect("nobody panics while holding it")) {
                        return;
                    }
                    if let Some(failure) = run(&plan(None, from.wrapping_add(number))).failure {
                        let mut first = first.lock().expect("nobody panics while holding it");
                        if first.as_ref().is_none_or(|(at, _)| number < *at) {
                            *first = Some((number, failure.by));
                        }
                    }
                }
            });
        }
    });
    let first = first.into_inner().expect("nobody panics while holding it");
    first.map(|(number, by)| (number + 1, by))
}

impl Strength {
    pub fn is_good(&self) -> bool {
        let caught = self.bugs.iter().filter(|bug| bug.after.is_some()).count();
        caught as f64 >= ENOUGH * self.bugs.len() as f64
    }

    /// For the README.
    pub fn table(&self) -> String {
        let caught = self.bugs.iter().filter(|bug| bug.after.is_some()).count();
        let mut text =
            format!("\n{caught} of {} planted bugs are caught within {} seeds.\n\n", self.bugs.len(), self.seeds);
        text += "| planted bug | what goes wrong | seeds until caught | by |\n|---|---|---|---|\n";
        for Caught { name, what, after } in &self.bugs {
            let (count, by) =
                after.as_ref().map_or(("**survived**".into(), "—"), |(after, by)| (after.to_string(), by));
            let _ = writeln!(text, "| `{name}` | {what} | {count} | {by} |");
        }
        let survivors: Vec<&str> = self.bugs.iter().filter(|bug| bug.after.is_none()).map(|bug| bug.name).collect();
        let names = if survivors.is_empty() { "none".into() } else { survivors.join(", ") };
        text + &format!("\nSurvivors: {names}.\n\n")
    }
}
