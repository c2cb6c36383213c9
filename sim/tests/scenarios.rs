//! What has failed before, and a few fresh seeds of everything: for each change. `make sim` runs many more.

use std::path::Path;

use bulkhead_sim::campaign::plan;
use bulkhead_sim::plan::Plan;
use bulkhead_sim::run::run;
use bulkhead_sim::seeds;

const SEEDS: u64 = 96;

/// Runs plans on two threads. Returns what failed.
fn failures(plans: Vec<Plan>) -> Vec<String> {
    let halves: Vec<&[Plan]> = plans.chunks(plans.len().div_ceil(2).max(1)).collect();
    std::thread::scope(|scope| {
        let check = |plans: &[Plan]| -> Vec<String> {
            let reports = plans.iter().map(run);
            let failed =
                reports.filter_map(|report| Some(format!("{}\n{}", report.line(), report.failure.as_ref()?.what)));
            failed.collect()
        };
        let threads: Vec<_> = halves.into_iter().map(|half| scope.spawn(move || check(half))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("it runs")).collect()
    })
}

#[test]
fn what_has_failed_before_does_not_fail_again() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds.txt");
    let known = seeds::read(&file).expect("the list can be read");
    assert!(!known.is_empty());
    assert_eq!(failures(known.into_iter().map(|known| known.plan).collect()), Vec::<String>::new());
}

#[test]
fn fresh_seeds_keep_every_promise() {
    assert_eq!(failures((0..SEEDS).map(|seed| plan(None, seed)).collect()), Vec::<String>::new());
}
