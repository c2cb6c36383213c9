//! The proof on which everything else in this package stands: a plan gives the same run, event by event, whenever and
//! wherever it is run. It comes first in CI.

use std::process::Command;

use bulkhead_sim::campaign::plan;
use bulkhead_sim::plan::Plan;
use bulkhead_sim::run::{Report, run};
use bulkhead_sim::scenario;

/// The first runs of a campaign: each scenario is among them.
const SEEDS: u64 = 16;

fn reports() -> Vec<Report> {
    (0..SEEDS).map(|seed| run(&plan(None, seed))).collect()
}

#[test]
fn a_plan_gives_the_same_run_in_every_thread_of_a_process() {
    let threads: Vec<_> = (0..2).map(|_| std::thread::spawn(reports)).collect();
    let [first, second] = threads
        .into_iter()
        .map(|thread| thread.join().expect("it runs"))
        .collect::<Vec<_>>()
        .try_into()
        .expect("two threads");
    assert_eq!(first, second);
    let hashes: std::collections::BTreeSet<u64> = first.iter().map(|report| report.hash).collect();
    assert_eq!(hashes.len(), first.len(), "different seeds give different runs");
}

fn command(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_bulkhead-sim")).args(words).output().expect("it starts");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_seed_gives_the_same_run_in_another_process() {
    for scenario in scenario::distinct() {
        let here = run(&scenario.plan(7)).line();
        let there = command(&["replay", "--scenario", scenario.name, "--seed", "7"]);
        assert_eq!(there.lines().next(), Some(here.as_str()));
    }
}

#[test]
fn watching_a_run_does_not_change_it() {
    let report = run(&plan(scenario::find("counters"), 1));
    let traced = command(&["replay", "--scenario", "counters", "--seed", "1", "--trace"]);
    assert_eq!(traced.lines().last(), Some(report.line().as_str()));
    assert_eq!(traced.lines().count() as u64, report.events + 1, "each event is one line");
}

#[test]
fn a_plan_that_was_written_down_gives_the_same_run() {
    for seed in 0..SEEDS {
        let plan = plan(None, seed);
        let read: Plan = plan.to_string().parse().expect("its own text");
        assert_eq!(read, plan);
    }
}
