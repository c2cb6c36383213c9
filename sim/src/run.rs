//! One plan, from start to verdict. A run fails by what an oracle finds, by a panic anywhere in the server that was not
//! planned, or by an error in the server's log where none is due.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};
use std::time::Duration;

use crate::execute::execute;
use crate::history::{History, Outcome};
use crate::oracle::{self, Case, Finding};
use crate::plan::Plan;
use crate::state;
use crate::trace::{Line, Log, Sink, Trace};
use crate::world::{INJECTED, World};

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub scenario: String,
    pub seed: u64,
    /// Of everything that happened: equal runs have equal hashes.
    pub hash: u64,
    pub events: u64,
    pub simulated: Duration,
    pub failure: Option<Failure>,
    /// What each oracle had to say, by name.
    pub findings: BTreeMap<&'static str, Finding>,
    /// How often what happened.
    pub counts: BTreeMap<String, u64>,
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The oracle's name, or what else noticed.
    pub by: String,
    pub what: String,
}

impl Report {
    /// The run in one line. It says nothing about real time, so that two lines can be compared.
    pub fn line(&self) -> String {
        let Report { scenario, seed, hash, events, simulated, failure, .. } = self;
        let simulated = simulated.as_secs_f64();
        let verdict = failure.as_ref().map_or("ok".into(), |failure| format!("FAILED ({})", failure.by));
        format!("{scenario} seed {seed}: {verdict}, {events} events in {simulated:.3} s, hash {hash:016x}")
    }
}

/// A run with everything that is known of it.
pub struct Record {
    pub report: Report,
    pub history: History,
    /// What happened, if it was to be kept.
    pub lines: Vec<Line>,
}

/// Runs a plan.
pub fn run(plan: &Plan) -> Report {
    record(plan, Sink::Nothing).report
}

/// Runs a plan and keeps what is known of it.
pub fn record(plan: &Plan, sink: Sink) -> Record {
    record_in(plan, World::new(plan.seed, Arc::new(Trace::new(sink))))
}

/// Runs a plan on RocksDB, which begins with an empty directory.
#[cfg(feature = "rocks")]
pub fn record_on_rocks(plan: &Plan, directory: &std::path::Path) -> Record {
    let mut world = World::new(plan.seed, Arc::new(Trace::new(Sink::Nothing)));
    world.rocks = Some(directory.to_path_buf());
    record_in(plan, world)
}

fn record_in(plan: &Plan, world: World) -> Record {
    record_panics();
    let (trace, world) = (world.trace.clone(), Arc::new(world));
    let _armed = world.failpoints.in_force();
    if plan.faults.iter().any(|(_, fault)| fault.makes_errors()) {
        trace.expect_errors();
    }
    PANICS.set(Some(Vec::new()));
    let executed = tracing::subscriber::with_default(Log(trace.clone()), || {
        catch_unwind(AssertUnwindSafe(|| execute(plan, &world)))
    });
    let panics = PANICS.take().unwrap_or_default();
    let (history, verdict) = match executed {
        Ok((history, verdict)) => (history, verdict.map_err(|error| error.to_string())),
        Err(_) => (History::default(), Err("it panicked".into())),
    };
    let unexpected = trace.unexpected_errors();
    let mut findings = BTreeMap::new();
    let failed = |by: &str, what: String| Some(Failure { by: by.into(), what });
    let failure = if !panics.is_empty() {
        failed("panic", panics.join("\n"))
    } else if let Some(failure) = judge(plan, &history, &mut findings) {
        Some(failure)
    } else if let Err(what) = verdict {
        failed("run", what)
    } else if !unexpected.is_empty() {
        failed("log", format!("the server logged: {}", unexpected.join("; ")))
    } else {
        None
    };
    let report = Report {
        scenario: plan.scenario.clone(),
        seed: plan.seed,
        hash: trace.hash(),
        events: trace.events(),
        simulated: trace.now(),
        failure,
        findings,
        counts: counts(plan, &history, &world),
    };
    Record { report, history, lines: trace.take_lines() }
}

/// Asks every oracle.
fn judge(plan: &Plan, history: &History, findings: &mut BTreeMap<&'static str, Finding>) -> Option<Failure> {
    let case = Case { plan, history };
    let mut failure = None;
    for oracle in oracle::ALL {
        match (oracle.check)(&case) {
            Ok(finding) => {
                findings.insert(oracle.name, finding);
            }
            Err(what) => {
                failure.get_or_insert(Failure { by: oracle.name.into(), what });
            }
        }
    }
    failure
}

/// How often each fault occurred, and what commands came to, in all and under each fault.
fn counts(plan: &Plan, history: &History, world: &World) -> BTreeMap<String, u64> {
    let fired = world.failpoints.fired().into_iter().map(|(what, count)| (format!("failpoint {what}"), count));
    let reported = world.trace.warnings().into_iter().map(|(what, count)| (format!("reported {what}"), count));
    let mut counts: BTreeMap<String, u64> = fired.chain(reported).collect();
    let mut add = |what: String| *counts.entry(what).or_default() += 1;
    for spell in &history.spells {
        let fault = spell.fault.word();
        add(format!("fault {fault}"));
        for state in state::at(plan, history, spell) {
            add(format!("fault {fault} met {state}"));
        }
    }
    for operation in &history.operations {
        let outcome = match &operation.outcome {
            Outcome::Reply(_) => "answered",
            Outcome::Unknown if operation.returned.is_some() => "INDOUBT",
            Outcome::Unknown => "connection lost",
            Outcome::Refused(reply) => refusal(reply),
        };
        add(format!("outcome {outcome}"));
        let returned = operation.returned.unwrap_or(operation.invoked);
        let spells = history.spells.iter().filter(|spell| spell.from <= returned && operation.invoked <= spell.to);
        let mut faults: Vec<&str> = spells.map(|spell| spell.fault.word()).collect();
        faults.sort();
        faults.dedup();
        faults.into_iter().for_each(|fault| add(format!("under {fault}: {outcome}")));
    }
    counts
}

fn refusal(reply: &bulkhead::resp::Value) -> &'static str {
    const CODES: &[&str] = &["TRYAGAIN", "NOSPACE", "READONLY", "IOERR", "CORRUPT"];
    match reply {
        bulkhead::resp::Value::Error(text) => {
            CODES.iter().find(|code| text.starts_with(code.as_bytes())).copied().unwrap_or("ERR internal error")
        }
        _ => "refused",
    }
}

thread_local! {
    /// The panics of this thread's run that nobody planned, the server's own catching notwithstanding; `None` while there
    /// is no run.
    static PANICS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

fn record_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let text = panic.to_string();
            let running = PANICS.with_borrow_mut(|panics| match panics {
                Some(panics) => {
                    if !text.contains(INJECTED) && !text.contains("failpoint ") {
                        panics.push(text);
                    }
                    true
                }
                None => false,
            });
            if !running {
                report(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a panic of the run comes to.
    fn panics_of(run: impl FnOnce()) -> Vec<String> {
        record_panics();
        PANICS.set(Some(Vec::new()));
        let _ = catch_unwind(AssertUnwindSafe(run));
        PANICS.take().unwrap_or_default()
    }

    #[test]
    fn a_panic_is_noticed_though_it_was_caught_unless_it_was_planned() {
        assert!(panics_of(|| panic!("our own bug"))[0].contains("our own bug"));
        let caught = panics_of(|| drop(catch_unwind(|| panic!("a bug that was contained"))));
        assert!(caught[0].contains("a bug that was contained"));
        assert_eq!(panics_of(|| panic!("{INJECTED} somewhere")), Vec::<String>::new());
    }
}
