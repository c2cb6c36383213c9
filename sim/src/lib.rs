//! The whole server in one deterministic simulation: `bulkhead::server::run`, the very code that `main` runs, in a world
//! that one seed decides.
//!
//! | room | what it does |
//! |---|---|
//! | [`run`] | one seed of one scenario, from start to verdict |
//! | [`scenario`] | what clients and nemesis do, and what must hold; one file each |
//! | [`simulation`] | one server, its clients, and what can befall them |
//! | [`client`] | a Redis client over the simulated network |
//! | [`world`] | the doors: clock, network, runtimes, randomness, disk |
//! | [`dice`], [`trace`] | where a run's choices come from, and the record that proves it repeatable |
//!
//! Determinism rests on three things. Every choice is drawn from the seed; everything runs on one thread, whose order of
//! tasks and virtual time tokio and turmoil decide alike each time; and nothing reads a real clock, socket, file or random
//! number. Nothing in this package may weaken one of them: `tests/determinism.rs` compares the traces of two processes.

pub mod client;
pub mod dice;
pub mod run;
pub mod scenario;
pub mod simulation;
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
