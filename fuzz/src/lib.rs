//! The fuzz targets: each takes any bytes at all and panics if a promise is broken. Being plain functions, they run under
//! libFuzzer (`RUSTC_BOOTSTRAP=1 cargo fuzz run resp_decode`, after `cargo install cargo-fuzz`) and as an ordinary test
//! (`cargo test --manifest-path fuzz/Cargo.toml --no-default-features`), which needs neither it nor a nightly compiler.
//!
//! A target must be a function of its input alone: no clock, no file, no randomness, nothing kept between two inputs.

mod commands;
mod config;
mod input;
mod rdb;
mod resp;

pub use commands::commands;
pub use config::config;
pub use rdb::rdb_load;
pub use resp::{resp_decode, resp_value};

/// A fuzz target.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// How many inputs the ordinary test tries: about a second's worth.
    pub smoke: u64,
}

pub const TARGETS: &[Target] = &[
    Target { name: "resp_decode", run: resp_decode, smoke: 30_000 },
    Target { name: "resp_value", run: resp_value, smoke: 30_000 },
    Target { name: "rdb_load", run: rdb_load, smoke: 20_000 },
    Target { name: "config", run: config, smoke: 5_000 },
    Target { name: "commands", run: commands, smoke: 3_000 },
];
