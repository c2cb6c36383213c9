//! When everything is well again, so is the server: a write and a read succeed soon.

use std::time::Duration;

use super::isolation::opened_until;
use super::{Case, Finding, Oracle};

pub const ORACLE: Oracle =
    Oracle { name: "liveness", promise: "writes and reads succeed soon after the last fault is healed", check };

/// The longest request that may still be under way, and some.
const RECOVERY_MAX: Duration = Duration::from_secs(4);

fn check(case: &Case<'_>) -> Result<Finding, String> {
    let Some(healed) = case.history.healed else { return Finding::checked(0) };
    // Who stands still does so to the end.
    let stands = case.history.spells.iter().map(|spell| spell.to.min(healed + spell.fault.lingers()));
    let opened = case.history.spells.iter().filter(|spell| spell.from <= healed).filter_map(opened_until);
    let healed = stands.chain(opened).max().unwrap_or_default().max(healed);
    match case.history.recovered {
        Some(recovered) if recovered.saturating_sub(healed) <= RECOVERY_MAX => Finding::checked(1),
        Some(recovered) => Err(format!("healed at {healed:?}, a write and a read succeeded only at {recovered:?}")),
        None => Err(format!("healed at {healed:?}, no write and read succeeded after that")),
    }
}
