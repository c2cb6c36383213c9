//! The proof on which everything else in this package stands: a seed gives the same run, event by event, whenever and
//! wherever it is run. It comes first in CI.

use std::process::Command;

use bulkhead_sim::run::{Report, run};
use bulkhead_sim::scenario;

const SEEDS: u64 = 4;

/// Runs the first seeds of every scenario.
fn reports() -> Vec<Report> {
    let seeds = scenario::ALL.iter().flat_map(|scenario| (0..SEEDS).map(move |seed| (scenario, seed)));
    seeds.map(|(scenario, seed)| run(scenario, seed, false)).collect()
}

#[test]
fn a_seed_gives_the_same_run_in_every_thread_of_a_process() {
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

#[test]
fn a_seed_gives_the_same_run_in_another_process() {
    for scenario in scenario::ALL {
        for seed in 0..2 {
            let here = run(scenario, seed, false).line();
            let replay = ["replay", "--scenario", scenario.name, "--seed", &seed.to_string()];
            let there = Command::new(env!("CARGO_BIN_EXE_bulkhead-sim")).args(replay).output().expect("it starts");
            assert_eq!(String::from_utf8_lossy(&there.stdout).trim_end(), here);
        }
    }
}

#[test]
fn watching_a_run_does_not_change_it() {
    let scenario = scenario::find("counters").expect("it is in the list");
    let traced = ["replay", "--scenario", scenario.name, "--seed", "1", "--trace"];
    let there = Command::new(env!("CARGO_BIN_EXE_bulkhead-sim")).args(traced).output().expect("it starts");
    let output = String::from_utf8_lossy(&there.stdout);
    let report = run(scenario, 1, false);
    assert_eq!(output.lines().last(), Some(report.line().as_str()));
    assert_eq!(output.lines().count() as u64, report.events + 1, "each event is one line");
}
