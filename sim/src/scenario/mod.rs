//! The scenarios: each draws a plan from the seed, runs it, and says what must hold. A scenario is one file and one line
//! in [`ALL`].
//!
//! The plan is made before the run, as data that the trace shows, so that nothing that happens during the run can change
//! what is done to the server.

mod counters;
mod expiry;
mod restart;
mod session;
mod stall;

use std::sync::Arc;

use crate::Verdict;
use crate::dice::Dice;
use crate::world::World;

/// A situation that the server is put into, over and over, in ever new ways.
pub struct Scenario {
    pub name: &'static str,
    /// What must hold in it, in a sentence.
    pub promise: &'static str,
    pub run: fn(&Arc<World>) -> Verdict,
}

pub const ALL: &[Scenario] =
    &[session::SCENARIO, counters::SCENARIO, restart::SCENARIO, stall::SCENARIO, expiry::SCENARIO];

pub fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

/// `appendfsync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fsync {
    Always,
    EverySecond,
    Never,
}

impl Fsync {
    const ALL: [Fsync; 3] = [Fsync::Always, Fsync::EverySecond, Fsync::Never];

    fn word(self) -> &'static str {
        match self {
            Fsync::Always => "always",
            Fsync::EverySecond => "everysec",
            Fsync::Never => "no",
        }
    }
}

/// A server's configuration: every run has another.
fn configuration(dice: &mut Dice, fsync: Fsync) -> Vec<String> {
    vec![
        format!("appendfsync {}", fsync.word()),
        format!("storage-threads {}", dice.between(1..=4)),
        format!("network-threads {}", dice.between(1..=2)),
        format!("runtime-mode {}", dice.pick(&["dual", "dual", "dual", "single"])),
        format!("batch-size {}", dice.pick(&[1, 3, 16, 256])),
        format!("batch-timeout {}", dice.pick(&[0, 0, 0, 3000])),
        format!("channel-capacity {}", dice.pick(&[256, 16384])),
        "request-timeout 2000".into(),
    ]
}
