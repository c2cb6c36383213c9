//! Many runs: on all cores, with progress, and sums that do not depend on which run finished first.
//!
//! Real time is read here and in `main`, for progress and rates, and nowhere else in this package.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::oracle::Finding;
use crate::plan::{Place, Plan};
use crate::run::{Report, run};
use crate::scenario::{ALL, Scenario};
use crate::state::STATES;

/// One run in so many is run twice, to see that it repeats.
const TWICE_EVERY: u64 = 20;
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

/// What to run.
pub struct Campaign {
    /// All take turns, where none is named.
    pub scenario: Option<&'static Scenario>,
    pub from: u64,
    /// How many seeds, and for how long at most.
    pub seeds: u64,
    pub at_most: Duration,
    pub jobs: usize,
    pub is_quiet: bool,
}

/// The plan of a seed, where no scenario is named.
pub fn plan(scenario: Option<&'static Scenario>, seed: u64) -> Plan {
    scenario.unwrap_or(&ALL[(seed % ALL.len() as u64) as usize]).plan(seed)
}

/// What many runs came to.
#[derive(Default)]
pub struct Totals {
    /// The first seed.
    pub from: u64,
    pub runs: u64,
    pub failures: Vec<Report>,
    /// Runs that were run twice, and those of them that differed.
    pub twice: u64,
    pub differed: Vec<String>,
    pub simulated: Duration,
    pub real: Duration,
    /// The sum of all hashes: the same for the same runs.
    pub hash: u64,
    pub findings: BTreeMap<&'static str, Finding>,
    pub counts: BTreeMap<String, u64>,
    pub scenarios: BTreeMap<String, u64>,
}

impl Campaign {
    pub fn carry_out(&self) -> Totals {
        let (next, totals) = (AtomicU64::new(0), Mutex::new(Totals { from: self.from, ..Totals::default() }));
        let (began, said) = (Instant::now(), Mutex::new(Instant::now()));
        std::thread::scope(|scope| {
            for _ in 0..self.jobs {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= self.seeds || began.elapsed() >= self.at_most {
                            return;
                        }
                        let plan = plan(self.scenario, self.from.wrapping_add(number));
                        let report = run(&plan);
                        let again = number.is_multiple_of(TWICE_EVERY).then(|| run(&plan));
                        let mut totals = totals.lock().expect("adding up does not panic");
                        self.tell(&report);
                        totals.add(report, again);
                        totals.real = began.elapsed();
                        let mut said = said.lock().expect("telling the time does not panic");
                        if said.elapsed() >= PROGRESS_EVERY && !self.is_quiet {
                            *said = Instant::now();
                            eprintln!("{}", totals.line());
                        }
                    }
                });
            }
        });
        let mut totals = totals.into_inner().expect("adding up does not panic");
        totals.failures.sort_by(|a, b| (&a.scenario, a.seed).cmp(&(&b.scenario, b.seed)));
        totals
    }

    fn tell(&self, report: &Report) {
        if let Some(failure) = &report.failure
            && !self.is_quiet
        {
            let Report { scenario, seed, .. } = report;
            let again = format!("cargo sim explain --seed {seed} --scenario {scenario}");
            println!("{}\n{}\n  again: {again}", report.line(), failure.what);
        }
    }
}

impl Totals {
    fn add(&mut self, report: Report, again: Option<Report>) {
        self.runs += 1;
        self.simulated += report.simulated;
        self.hash = self.hash.wrapping_add(report.hash);
        if let Some(again) = again {
            self.twice += 1;
            self.simulated += again.simulated;
            if again != report {
                self.differed.push(format!("{}\n  the second time: {}", report.line(), again.line()));
            }
        }
        for (name, finding) in &report.findings {
            let sum = self.findings.entry(name).or_default();
            sum.checked += finding.checked;
            sum.undecided += finding.undecided;
        }
        for (what, count) in &report.counts {
            *self.counts.entry(what.clone()).or_default() += count;
        }
        *self.scenarios.entry(report.scenario.clone()).or_default() += 1;
        if report.failure.is_some() {
            self.failures.push(report);
        }
    }

    pub fn is_good(&self) -> bool {
        self.failures.is_empty() && self.differed.is_empty()
    }

    /// How much faster than the world.
    pub fn ratio(&self) -> f64 {
        self.simulated.as_secs_f64() / self.real.as_secs_f64().max(1e-9)
    }

    pub fn line(&self) -> String {
        let Totals { runs, failures, differed, .. } = self;
        let (simulated, real, ratio) = (self.simulated.as_secs_f64(), self.real.as_secs_f64(), self.ratio());
        let repeated = if differed.is_empty() { String::new() } else { format!(", {} NOT REPEATABLE", differed.len()) };
        format!(
            "{runs} runs, {} failed{repeated}; {simulated:.0} simulated s in {real:.1} s: {ratio:.0} × real time",
            failures.len()
        )
    }

    /// For the README: what commands came to while which fault lasted.
    pub fn table(&self) -> String {
        const OUTCOMES: &[&str] = &[
            "answered",
            "TRYAGAIN",
            "INDOUBT",
            "NOSPACE",
            "READONLY",
            "IOERR",
            "CORRUPT",
            "ERR internal error",
            "connection lost",
        ];
        let count = |what: &str| self.counts.get(what).copied().unwrap_or(0);
        let mut text =
            format!("\n{} runs, {:.1} simulated hours.\n\n", self.runs, self.simulated.as_secs_f64() / 3600.0);
        let _ =
            writeln!(text, "| fault | times | {} |\n|---|---{}|", OUTCOMES.join(" | "), "|---".repeat(OUTCOMES.len()));
        let faults: Vec<&str> = self.counts.keys().filter_map(|what| what.strip_prefix("fault ")).collect();
        let faults: Vec<&str> = faults.into_iter().filter(|fault| !fault.contains(" met ")).collect();
        for fault in &faults {
            let cells: Vec<String> =
                OUTCOMES.iter().map(|outcome| count(&format!("under {fault}: {outcome}")).to_string()).collect();
            let _ = writeln!(text, "| {fault} | {} | {} |", count(&format!("fault {fault}")), cells.join(" | "));
        }
        let (states, lines) = (STATES.join(" | "), "|---".repeat(STATES.len()));
        let _ = writeln!(text, "\nIn which states faults met the server:\n\n| fault | {states} |\n|---{lines}|");
        for fault in &faults {
            let cells: Vec<String> =
                STATES.iter().map(|state| count(&format!("fault {fault} met {state}")).to_string()).collect();
            let _ = writeln!(text, "| {fault} | {} |", cells.join(" | "));
        }
        text += "\nWhat the server reported, as often as it logged it:\n\n| warning or error | times |\n|---|---|\n";
        for (what, count) in &self.counts {
            if let Some(what) = what.strip_prefix("reported ") {
                let _ = writeln!(text, "| {what} | {count} |");
            }
        }
        text += "\nFailpoints that fired, and how often:\n\n| place | as |\n|---|---|\n";
        for place in Place::all() {
            let start = format!("failpoint {} ", place.name());
            let fired = self.counts.iter().filter_map(|(what, count)| Some((what.strip_prefix(&start)?, count)));
            let fired: Vec<String> = fired.map(|(fault, count)| format!("{fault} {count}")).collect();
            let _ = writeln!(text, "| {} | {} |", place.name(), fired.join(", "));
        }
        text + "\n"
    }

    /// What was covered, for people.
    pub fn coverage(&self) -> String {
        let mut text = String::new();
        for (name, finding) in &self.findings {
            let undecided = match finding.undecided {
                0 => String::new(),
                undecided => format!(", {undecided} undecided"),
            };
            let _ = writeln!(text, "  oracle {name}: {} checked{undecided}", finding.checked);
        }
        for (what, count) in &self.counts {
            let _ = writeln!(text, "  {what}: {count}");
        }
        text
    }

    /// Everything, for machines.
    pub fn json(&self) -> String {
        let object = |entries: Vec<(String, String)>| {
            let fields: Vec<String> =
                entries.iter().map(|(name, value)| format!("{}: {value}", quoted(name))).collect();
            format!("{{{}}}", fields.join(", "))
        };
        let numbers = |map: &BTreeMap<String, u64>| {
            object(map.iter().map(|(name, count)| (name.clone(), count.to_string())).collect())
        };
        let findings = self.findings.iter().map(|(name, finding)| {
            let Finding { checked, undecided } = finding;
            (name.to_string(), format!("{{\"checked\": {checked}, \"undecided\": {undecided}}}"))
        });
        let failures = self.failures.iter().filter_map(|report| {
            let failure = report.failure.as_ref()?;
            Some(object(vec![
                ("scenario".into(), quoted(&report.scenario)),
                ("seed".into(), report.seed.to_string()),
                ("by".into(), quoted(&failure.by)),
                ("what".into(), quoted(&failure.what)),
            ]))
        });
        let list = |items: Vec<String>| format!("[{}]", items.join(", "));
        let fields = vec![
            ("from".into(), self.from.to_string()),
            ("runs".into(), self.runs.to_string()),
            ("failed".into(), self.failures.len().to_string()),
            ("run_twice".into(), self.twice.to_string()),
            ("not_repeatable".into(), list(self.differed.iter().map(|text| quoted(text)).collect())),
            ("simulated_hours".into(), format!("{:.3}", self.simulated.as_secs_f64() / 3600.0)),
            ("real_seconds".into(), format!("{:.1}", self.real.as_secs_f64())),
            ("times_real_time".into(), format!("{:.0}", self.ratio())),
            ("hash".into(), quoted(&format!("{:016x}", self.hash))),
            ("scenarios".into(), numbers(&self.scenarios)),
            ("oracles".into(), object(findings.collect())),
            ("counts".into(), numbers(&self.counts)),
            ("failures".into(), list(failures.collect())),
        ];
        object(fields) + "\n"
    }
}

/// A text as JSON has it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            '\n' => quoted.push_str("\\n"),
            control if control.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", control as u32);
            }
            other => quoted.push(other),
        }
    }
    quoted + "\""
}
