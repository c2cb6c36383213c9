//! The whole server in one deterministic simulation: `bulkhead::server::run`, the very code that `main` runs, in a world
//! that one seed decides.
//!
//! | room | what it does |
//! |---|---|
//! | [`plan`] | a run as data: workload, faults, settings; its text |
//! | [`scenario`] | draws plans from seeds; one file each |
//! | [`run`] | one plan, from start to verdict |
//! | [`execute`] | carries a plan out and writes down what came of it: a [`history`] |
//! | [`state`] | in which states its faults met the server |
//! | [`oracle`] | what must hold in every history; one file, one promise. [`model`] is what they compare with |
//! | [`simulation`], [`client`] | one server, its clients, the network between them |
//! | [`world`] | the doors: clock, network, runtimes, randomness, disk |
//! | [`dice`], [`trace`] | where choices come from, and the record that proves a run repeatable |
//! | [`campaign`], [`shrink`], [`explain`], `strength`, `rocks` | what the command line does with runs |
//!
//! Determinism rests on three things. Every choice is drawn from the seed; everything runs on one thread, whose order of
//! tasks and virtual time tokio and turmoil decide alike each time; and nothing reads a real clock, socket, file or random
//! number. Nothing in this package may weaken one of them: `tests/determinism.rs` compares the traces of two processes.

pub mod campaign;
pub mod client;
pub mod dice;
pub mod execute;
pub mod explain;
pub mod history;
pub mod model;
pub mod oracle;
pub mod plan;
#[cfg(feature = "rocks")]
pub mod rocks;
pub mod run;
pub mod scenario;
pub mod seeds;
pub mod shrink;
pub mod simulation;
pub mod state;
#[cfg(feature = "planted-bugs")]
pub mod strength;
pub mod trace;
pub mod world;

/// What a step of a run comes to. An error ends the run and is its verdict.
pub type Verdict<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Ends the run with a message unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+).into());
        }
    };
}
