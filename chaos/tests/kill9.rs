//! A few rounds of kill −9 under every `appendfsync`, and proof that the test would notice a loss.
//!
//! Tests the binary that `cargo test` or `cargo build` left beside it, or `BULKHEAD_SERVER`; it must never pass without
//! one.

use std::path::PathBuf;

use bulkhead_chaos::kill9::Campaign;
use bulkhead_chaos::process::server_binary;

/// Small memtables, so that flushes and compactions are cut short as well.
const SMALL_MEMTABLES: &[&str] = &["--rocksdb.write_buffer_size", "64kb"];

fn campaign(program: PathBuf, appendfsync: &str, flags: &[&str]) -> Campaign {
    let flags = flags.iter().map(|flag| flag.to_string()).collect();
    Campaign { program, appendfsync: appendfsync.into(), rounds: 6, seed: 1, writers: 6, flags }
}

#[track_caller]
fn assert_nothing_acknowledged_is_lost(appendfsync: &str) {
    let program = server_binary().unwrap_or_else(|error| panic!("{error}"));
    let home = tempfile::tempdir().expect("a temporary directory");
    match campaign(program, appendfsync, SMALL_MEMTABLES).run(home.path(), |line| println!("{line}")) {
        Ok(summary) => {
            println!("appendfsync {appendfsync}: {summary}");
            assert!(
                summary.writes.acknowledged > 0 && summary.writes.in_doubt > 0,
                "it was not killed under load: {summary}"
            );
        }
        Err(evidence) => panic!("{evidence}\nkept: {}", home.keep().display()),
    }
}

#[test]
fn kill_9_loses_nothing_acknowledged_with_appendfsync_always() {
    assert_nothing_acknowledged_is_lost("always");
}

#[test]
fn kill_9_loses_nothing_acknowledged_with_appendfsync_everysec() {
    assert_nothing_acknowledged_is_lost("everysec");
}

#[test]
fn kill_9_loses_nothing_acknowledged_with_appendfsync_no() {
    assert_nothing_acknowledged_is_lost("no");
}

#[test]
fn a_server_that_forgets_is_found_out() {
    let redis = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".into());
    let home = tempfile::tempdir().expect("a temporary directory");
    let forgetful = campaign(redis.into(), "no", &["--save", "", "--appendonly", "no"]);
    let evidence = forgetful.run(home.path(), |line| println!("{line}")).expect_err("it has forgotten everything");
    assert!(evidence.contains("was acknowledged, and is lost"), "{evidence}");
}
