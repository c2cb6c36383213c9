//! The oracles: each looks at a finished run and says what the server promised and did not keep. One file, one promise.
//!
//! An oracle may be silent where it cannot tell; it must never accuse a server that kept its word. What it cannot decide
//! it counts as undecided, so that blindness shows.

mod answers;
mod durability;
mod exactly_once;
mod expiry;
mod isolation;
mod leaks;
pub mod linearizability;
mod liveness;
mod order;
mod refusal;

use std::time::Duration;

use crate::history::{History, Spell};
use crate::plan::{Call, Fault, Plan};

/// One promise, and how to check that it was kept.
pub struct Oracle {
    pub name: &'static str,
    pub promise: &'static str,
    pub check: fn(&Case<'_>) -> Result<Finding, String>,
}

/// What an oracle looks at.
pub struct Case<'a> {
    pub plan: &'a Plan,
    pub history: &'a History,
}

/// How much an oracle had to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// Things that it compared.
    pub checked: u64,
    /// Things that were too much for it.
    pub undecided: u64,
}

impl Finding {
    pub fn checked(checked: usize) -> Result<Finding, String> {
        Ok(Finding { checked: checked as u64, undecided: 0 })
    }
}

pub const ALL: &[Oracle] = &[
    order::ORACLE,
    answers::ORACLE,
    refusal::ORACLE,
    exactly_once::ORACLE,
    durability::ORACLE,
    linearizability::ORACLE,
    expiry::ORACLE,
    isolation::ORACLE,
    liveness::ORACLE,
    leaks::ORACLE,
];

/// What `everysec` may lose: a second, and the time that a thread may take to get going.
const LOSS_WINDOW: Duration = Duration::from_millis(1100);
/// How long a server may take from its start to the first sync.
const STARTING_MAX: Duration = Duration::from_millis(300);

impl Case<'_> {
    /// Up to when a write must have been acknowledged to survive a power cut at `cut`.
    fn must_survive_until(&self, cut: Duration) -> Duration {
        let window = match self.plan.directive("appendfsync") {
            Some("always") => return cut,
            Some("no") => return Duration::ZERO,
            _ => LOSS_WINDOW,
        };
        // Nobody can sync a disk that does not let him.
        let hinders = |spell: &&Spell| spell.from <= cut && hindered_until(spell) >= cut;
        let hindered = self.history.spells.iter().filter(hinders).map(|spell| spell.from).min();
        hindered.unwrap_or(cut).saturating_sub(window)
    }

    /// How far the clocks of two machines may be apart.
    fn skew(&self) -> Duration {
        match self.plan.surroundings.machines {
            1 => Duration::ZERO,
            _ => Duration::from_millis(2 * self.plan.surroundings.tick_ms),
        }
    }
}

/// Until when nothing could be synced because of a fault; zero if it does not matter to syncing.
fn hindered_until(spell: &Spell) -> Duration {
    match spell.fault {
        Fault::NoSpace { .. } | Fault::Slow { .. } | Fault::Hang { .. } => spell.to + LOSS_WINDOW,
        // Until the server is started anew.
        Fault::IoError { .. } | Fault::SyncFails { .. } => Duration::from_secs(3600),
        Fault::Panic { call: Call::Sync, .. } => spell.to + Duration::from_secs(2),
        Fault::Stop { .. } | Fault::Kill { .. } => spell.to + STARTING_MAX,
        _ => Duration::ZERO,
    }
}
