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
mod pubsub;
mod refusal;
mod waiting;

use std::time::Duration;

use bulkhead::resp::Value;

use crate::history::{History, Operation, Outcome, Spell};
use crate::model;
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
    waiting::ORACLE,
    pubsub::ORACLE,
    expiry::ORACLE,
    isolation::ORACLE,
    liveness::ORACLE,
    leaks::ORACLE,
];

/// How long after a fault things may still be out of order.
const AFTERMATH: Duration = Duration::from_secs(3);
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

    /// Whether the process that followed the end number `index` came so far that all it had found is on disk for good: it syncs
    /// that when it starts, if the disk lets it.
    fn settles(&self, index: usize) -> bool {
        let Some(next) = self.history.ended.get(index + 1) else { return true };
        let Some(started) = self.history.ended[index].started else { return false };
        let is_of_disk = |spell: &&Spell| !matches!(spell.fault, Fault::Stop { .. } | Fault::Kill { .. });
        let meanwhile = self.history.spells.iter().filter(|spell| is_of_disk(spell) && spell.from <= next.at);
        let hindered = meanwhile.map(hindered_until).max().unwrap_or_default();
        started.max(hindered).saturating_add(STARTING_MAX) < next.at
    }

    /// Whether nothing goes wrong between two moments, and nothing has lately.
    fn is_calm(&self, from: Duration, to: Duration) -> bool {
        let lately = from.saturating_sub(AFTERMATH);
        let ends = self.history.ended.iter().map(|ended| (ended.at, ended.started.unwrap_or(ended.at)));
        let spells = self.history.spells.iter().map(|spell| (spell.from, spell.to));
        let fails_sync = self.plan.has_fault(Fault::fails_sync);
        !fails_sync && !ends.chain(spells).any(|(began, ended)| began <= to && lately <= ended)
    }

    /// Whether somebody may have let others give up waiting between two moments.
    fn is_unblocking(&self, from: Duration, to: Duration) -> bool {
        let unblocks = |one: &&Operation| {
            model::name(&one.args) == "CLIENT" && one.args.get(1).is_some_and(|word| word == b"UNBLOCK")
        };
        let mut all = self.history.operations.iter().filter(unblocks);
        // Both were seen by clients of their own, whose clocks may differ.
        let skew = self.skew();
        all.any(|one| {
            one.invoked <= to + skew && from <= one.returned.map_or(Duration::MAX, |returned| returned + skew)
        })
    }

    /// How far the clocks of two machines may be apart.
    fn skew(&self) -> Duration {
        match self.plan.surroundings.machines {
            1 => Duration::ZERO,
            _ => Duration::from_millis(2 * self.plan.surroundings.tick_ms),
        }
    }
}

/// CLIENT UNBLOCK … ERROR has ended it, without effect.
fn is_unblocked(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Reply(Value::Error(text)) if text.starts_with(b"UNBLOCKED"))
}

/// Until when nothing could be synced because of a fault; zero if it does not matter to syncing.
fn hindered_until(spell: &Spell) -> Duration {
    match spell.fault {
        Fault::NoSpace { .. } | Fault::Slow { .. } | Fault::Hang { .. } => spell.to + LOSS_WINDOW,
        // Until the server is started anew.
        fault if fault.fails_sync() => Duration::from_secs(3600),
        Fault::Panic { call: Call::Sync, .. } => spell.to + Duration::from_secs(2),
        Fault::Stop { .. } | Fault::Kill { .. } => spell.to + STARTING_MAX,
        // The engine is opened anew meanwhile, and again.
        fault if fault.place().is_some_and(|place| place.starts_with("engine.")) => spell.to + 2 * LOSS_WINDOW,
        _ => Duration::ZERO,
    }
}
