//! A few runs on RocksDB itself, compared with the same runs on the model of a disk. Takes a build with RocksDB, so it is
//! asked for by name: `make sim-rocks`.
#![cfg(feature = "rocks")]

use bulkhead_sim::{rocks, scenario};

const SEEDS: u64 = 12;

#[test]
fn what_a_client_sees_on_rocksdb_is_what_it_sees_on_the_model() {
    let scenario = scenario::find("session").expect("there is such a scenario");
    for seed in 0..SEEDS {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let compared = rocks::compare(&scenario.plan(seed), directory.path());
        assert_eq!(compared, Ok(()), "session {seed}");
    }
}
