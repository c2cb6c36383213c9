//! How strong the simulation is: each planted bug, and how many seeds it takes until an oracle notices it. A bug that no
//! seed finds says more than a thousand runs in which nothing happens.
//!
//! The seeds are those of a campaign, the same for every bug. A run that never comes to the place of a bug is the same run
//! with it: so each seed is run once without any bug, and then only with those that it came to and that no seed before it
//! has caught.

use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bulkhead::planted::{self, BUGS};

use crate::campaign::plan;
use crate::run::run;

/// So much of all that is planted a run of CI must notice.
const ENOUGH: f64 = 0.95;

/// What became of one bug.
#[derive(Clone, Debug)]
pub struct Hunted {
    pub name: &'static str,
    pub what: &'static str,
    /// The first seed that caught it, counted from one, and what noticed; `None`: it survived.
    pub caught: Option<(u64, String)>,
    /// So many seeds came to its place until then.
    pub met: u64,
}

/// What the hunt came to.
pub struct Strength {
    pub seeds: u64,
    pub bugs: Vec<Hunted>,
    /// Seeds that fail without any bug: they say nothing.
    pub broken: Vec<u64>,
    pub runs: u64,
    pub took: Duration,
}

/// Hunts every bug, or one, through so many seeds.
pub fn measure(from: u64, seeds: u64, jobs: usize, only: Option<&str>, tell: impl Fn(&str) + Sync) -> Strength {
    let chosen = BUGS.iter().filter(|(name, _)| only.is_none_or(|only| only == *name));
    let bugs = chosen.map(|(name, what)| Hunted { name, what, caught: None, met: 0 }).collect();
    let strength = Mutex::new(Strength { seeds, bugs, broken: Vec::new(), runs: 0, took: Duration::ZERO });
    let (next, began) = (AtomicU64::new(0), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= seeds || !strength.lock().expect("counting does not panic").is_wanted(number) {
                        return;
                    }
                    hunt(from.wrapping_add(number), number, &strength, &tell);
                }
            });
        }
    });
    let mut strength = strength.into_inner().expect("counting does not panic");
    strength.took = began.elapsed();
    strength
}

/// Runs one seed, without a bug and with each that may show in it.
fn hunt(seed: u64, number: u64, strength: &Mutex<Strength>, tell: &impl Fn(&str)) {
    let lock = || strength.lock().expect("counting does not panic");
    let plan = plan(None, seed);
    planted::plant(None);
    let is_broken = run(&plan).failure.is_some();
    lock().runs += 1;
    if is_broken {
        tell(&format!("seed {seed} fails without any bug\n"));
        return lock().broken.push(seed);
    }
    let met: Vec<usize> = {
        let bugs = &mut lock().bugs;
        let may_show = |bug: &Hunted| bug.is_wanted(number) && planted::is_asked(bug.name);
        let met: Vec<usize> = (0..bugs.len()).filter(|place| may_show(&bugs[*place])).collect();
        met.iter().for_each(|place| bugs[*place].met += 1);
        met
    };
    for place in met {
        let bug = lock().bugs[place].clone();
        // Another seed may have caught it meanwhile.
        if !bug.is_wanted(number) {
            continue;
        }
        planted::plant(Some(bug.name));
        let failure = run(&plan).failure;
        let mut strength = lock();
        strength.runs += 1;
        if let Some(failure) = failure
            && strength.bugs[place].is_wanted(number)
        {
            tell(&format!("{}: {} after {} seeds\n", bug.name, failure.by, number + 1));
            strength.bugs[place].caught = Some((number + 1, failure.by));
        }
    }
    planted::plant(None);
}

impl Hunted {
    /// Whether a seed may be the first to catch it.
    fn is_wanted(&self, number: u64) -> bool {
        self.caught.as_ref().is_none_or(|(first, _)| number + 1 < *first)
    }
}

impl Strength {
    fn is_wanted(&self, number: u64) -> bool {
        self.bugs.iter().any(|bug| bug.is_wanted(number))
    }

    fn caught(&self) -> usize {
        self.bugs.iter().filter(|bug| bug.caught.is_some()).count()
    }

    pub fn is_good(&self) -> bool {
        self.broken.is_empty() && self.caught() as f64 >= ENOUGH * self.bugs.len() as f64
    }

    /// How much work it was: for whoever waits, not for the README.
    pub fn line(&self) -> String {
        let Strength { bugs, runs, took, .. } = self;
        format!(
            "{} of {} planted bugs caught, by {runs} runs in {:.0} s",
            self.caught(),
            bugs.len(),
            took.as_secs_f64()
        )
    }

    /// For the README.
    pub fn table(&self) -> String {
        let mut text = format!(
            "\n{} of {} planted bugs are caught within {} seeds.\n\n",
            self.caught(),
            self.bugs.len(),
            self.seeds
        );
        text += "| planted bug | what goes wrong | seeds until caught | of which came to it | by |\n|---|---|---|---|---|\n";
        for Hunted { name, what, caught, met } in &self.bugs {
            let (count, by) =
                caught.as_ref().map_or(("**survived**".into(), "—"), |(count, by)| (count.to_string(), by));
            let _ = writeln!(text, "| `{name}` | {what} | {count} | {met} | {by} |");
        }
        let survivors: Vec<&str> = self.bugs.iter().filter(|bug| bug.caught.is_none()).map(|bug| bug.name).collect();
        let names = if survivors.is_empty() { "none".into() } else { survivors.join(", ") };
        text + &format!("\nSurvivors: {names}.\n\n")
    }
}
