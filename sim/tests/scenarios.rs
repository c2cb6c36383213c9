//! Every scenario over a few seeds: what `make test` runs for each change. `cargo sim run` runs as many as one likes.

use bulkhead_sim::run::run;
use bulkhead_sim::scenario::{self, Scenario};
use bulkhead_sim::world::World;

const SEEDS: u64 = 12;

#[test]
fn every_scenario_keeps_its_promise() {
    let check = |scenario: &'static Scenario| {
        for seed in 0..SEEDS {
            let report = run(scenario, seed, false);
            let again = format!("cargo sim replay --seed {seed} --scenario {} --trace", scenario.name);
            assert_eq!(report.failure, None, "{}; see {again}", report.line());
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = scenario::ALL.iter().map(|scenario| scope.spawn(move || check(scenario))).collect();
        for thread in threads {
            thread.join().unwrap_or_else(|failure| std::panic::resume_unwind(failure));
        }
    });
}

#[test]
fn a_run_that_goes_wrong_is_reported() {
    fn failure(run_it: fn(&std::sync::Arc<World>) -> bulkhead_sim::Verdict) -> String {
        let scenario = Box::leak(Box::new(Scenario { name: "canary", promise: "it dies", run: run_it }));
        run(scenario, 1, false).failure.expect("the canary died and nobody noticed")
    }
    assert_eq!(failure(|_| Err("wrong reply".into())), "wrong reply");
    assert!(failure(|_| panic!("our own bug")).contains("our own bug"));
    let caught = failure(|_| {
        let _ = std::panic::catch_unwind(|| panic!("a bug that was contained"));
        Ok(())
    });
    assert!(caught.contains("a bug that was contained"), "{caught}");
}
