//! `cargo fuzz run rdb_load`: hands libFuzzer's inputs to the target in `src/`, and must do nothing else.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bulkhead_fuzz::rdb_load(input));
