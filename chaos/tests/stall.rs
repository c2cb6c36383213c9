//! The stall benchmark in small: that it works, and that a hang loses and invents nothing. Its figures mean nothing here.

use std::time::Duration;

use bulkhead_chaos::probe::Probe;
use bulkhead_chaos::process::server_binary;
use bulkhead_chaos::stall::{Kind, Plan, Subject, plot, report, run};

/// Proof that the probes would notice: a server whose one thread stands still with its disk.
#[test]
fn a_server_that_stands_still_with_its_disk_is_found_out() {
    let plan = Plan { subjects: vec![Subject::RedisAlways], ..plan() };
    let home = tempfile::tempdir().expect("a temporary directory");
    let outcomes = run(&plan, home.path(), |line| println!("{line}")).unwrap_or_else(|error| panic!("{error}"));
    let ping = outcomes[0].courses.iter().find(|course| course.probe == Probe::Ping).expect("it was asked PING");
    let worst = ping.samples.iter().map(|sample| sample.latency).max().unwrap_or_default();
    assert!(worst >= plan.stall / 2, "PING never took longer than {worst:?}");
}

#[test]
fn the_stall_benchmark_measures_before_during_and_after_a_hang_and_finds_nothing_lost() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let plan = plan();
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

fn plan() -> Plan {
    Plan {
        program: server_binary().unwrap_or_else(|error| panic!("{error}")),
        redis: std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".into()).into(),
        kinds: vec![Kind::HangingDisk],
        subjects: vec![Subject::Bulkhead],
        calm: Duration::from_secs(1),
        stall: Duration::from_secs(2),
        after: Duration::from_secs(1),
        cold_keys: 500,
    }
}
