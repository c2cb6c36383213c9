//! The stall benchmark in small: that it works, and that a hang loses and invents nothing. Its figures mean nothing here.

use std::time::Duration;

use bulkhead_chaos::process::server_binary;
use bulkhead_chaos::stall::{Kind, Plan, Subject, plot, report, run};

#[test]
fn the_stall_benchmark_measures_before_during_and_after_a_hang_and_finds_nothing_lost() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let plan = Plan {
        program: server_binary().unwrap_or_else(|error| panic!("{error}")),
        redis: "redis-server".into(),
        kinds: vec![Kind::HangingDisk],
        subjects: vec![Subject::Bulkhead],
        calm: Duration::from_secs(1),
        stall: Duration::from_secs(2),
        after: Duration::from_secs(1),
        cold_keys: 500,
    };
    let outcomes = run(&plan, home.path(), |line| println!("{line}")).unwrap_or_else(|error| panic!("{error}"));
    let report = report(&plan, &outcomes);
    println!("{report}");
    assert!(outcomes[0].violations.is_empty(), "{:?}", outcomes[0].violations);
    // Every probe has asked throughout: 500 times a second, 50 at the very least.
    for course in &outcomes[0].courses {
        assert!(course.samples.len() >= 200, "{}: {} samples", course.probe.name(), course.samples.len());
    }
    assert!(plot(Kind::HangingDisk, &outcomes).is_some_and(|svg| svg.contains("<polyline")));
}
