//! A few runs on RocksDB itself, compared with the same runs on the model of a disk. Takes a build with RocksDB, so it is
//! asked for by name: `make sim-rocks`.

use bulkhead_sim::{rocks, scenario};

/// Of each scenario.
const SEEDS: u64 = 12;
/// A run has some dozens of commands: so many must have been compared on average.
const COMMANDS_MIN: usize = 20;

#[test]
fn what_a_client_sees_on_rocksdb_is_what_it_sees_on_the_model() {
    let (mut runs, mut commands, mut differ) = (0, 0, Vec::new());
    for scenario in scenario::distinct() {
        for seed in 0..SEEDS {
            let directory = tempfile::tempdir().expect("a temporary directory");
            match rocks::compare(&scenario.plan(seed), directory.path()) {
                Ok(same) => commands += same,
                Err(what) => differ.push(format!("{} {seed}: {what}", scenario.name)),
            }
            assert!(directory.path().join("CURRENT").exists(), "{} {seed}: RocksDB was never opened", scenario.name);
            runs += 1;
        }
    }
    assert!(differ.is_empty(), "{} of {runs} runs:\n{}", differ.len(), differ.join("\n"));
    assert!(commands >= COMMANDS_MIN * runs, "only {commands} commands were compared");
}
