//! A short overload with clients that never read: memory stays bounded, and whoever reads is served (R3.2).

use std::time::Duration;

use bulkhead_chaos::ceiling::{FLAGS, Plan, bound_bytes, run};
use bulkhead_chaos::process::server_binary;

#[test]
fn an_overload_with_clients_that_never_read_keeps_memory_below_the_bound_and_serves_the_others() {
    let home = tempfile::tempdir().expect("a temporary directory");
    match run(&plan(), home.path(), |line| println!("{line}")) {
        Ok(outcome) => println!("{outcome}"),
        Err(failure) => panic!("{failure}"),
    }
}

/// Proof that the test would notice: no server does with so little.
#[test]
fn a_server_that_takes_more_than_the_bound_is_found_out() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let plan = Plan { bound_bytes: 1 << 20, readers: 8, silent: 2, duration: Duration::from_secs(1), ..plan() };
    let failure = run(&plan, home.path(), |line| println!("{line}")).expect_err("a bound that no server keeps");
    assert!(failure.contains("its memory went over the bound"), "{failure}");
}

fn plan() -> Plan {
    Plan {
        program: server_binary().unwrap_or_else(|error| panic!("{error}")),
        readers: 100,
        silent: 50,
        overload: 3,
        calibration: Duration::from_secs(1),
        duration: Duration::from_secs(5),
        bound_bytes: bound_bytes(150),
        flags: FLAGS,
    }
}
