//! Nothing is left behind: with all clients gone and everything answered, no request, byte, waiter or client is still
//! accounted for, and each database counts as many keys as it has.

use std::time::Duration;

use super::{Case, Finding, Oracle};
use crate::plan::Fault;

pub const ORACLE: Oracle =
    Oracle { name: "leaks", promise: "no request, byte, waiter, client or key is counted that is not there", check };

/// INFO's fields that must say this once nobody but the auditor is connected.
const AT_REST: &[(&str, &str)] = &[
    ("channel_queued_writes", "0"),
    ("channel_queued_reads", "0"),
    ("channel_bytes", "0"),
    ("channel_waiting_clients", "0"),
    ("connected_clients", "1"),
    ("blocked_clients", "0"),
];

/// How long after the end of what makes it stand still a thread may still be counted as one that does: a look of the
/// watchdog, and some steps of an unsteady machine.
const COMING_BACK_MAX: Duration = Duration::from_secs(2);

fn check(case: &Case<'_>) -> Result<Finding, String> {
    let mut checked = 0;
    for inventory in &case.history.inventories {
        for (field, expected) in AT_REST {
            let line = |line: &&str| line.strip_prefix(field).is_some_and(|rest| rest.starts_with(':'));
            let Some(found) = inventory.info.lines().find(line) else { continue };
            // A client that was cut off cannot say goodbye, and there is no keepalive here that would notice.
            if *field == "connected_clients" && case.plan.has_fault(|fault| matches!(fault, Fault::Partition { .. })) {
                continue;
            }
            if *field == "channel_bytes" && stands_still(&inventory.info) {
                continue;
            }
            if found.trim_end() != format!("{field}:{expected}") {
                return Err(format!("nobody is there but the auditor, and INFO says {}", found.trim_end()));
            }
            checked += 1;
        }
        // Whoever was made to stand still has come back by then.
        let is_over = case.history.spells.iter().all(|spell| spell.to + COMING_BACK_MAX < inventory.at);
        if is_over && stands_still(&inventory.info) {
            return Err("INFO says that a storage thread stands still, long after the last fault".into());
        }
        for (db, found, counted) in &inventory.keys {
            if *found as i64 != *counted {
                return Err(format!("database {db} holds {found} keys, and DBSIZE says {counted}"));
            }
            let fields = inventory.info.lines().find_map(|line| line.strip_prefix(&format!("db{db}:keys=")));
            let shown = fields.and_then(|fields| fields.split(',').next()).unwrap_or("0");
            if shown != counted.to_string() {
                return Err(format!("database {db} holds {counted} keys, and INFO says {shown}"));
            }
            checked += 1;
        }
    }
    Finding::checked(checked)
}

/// Whether a storage thread stands still, as INFO says: what it has begun is its own until it comes back, or ends.
fn stands_still(info: &str) -> bool {
    let counted = info.lines().find_map(|line| line.strip_prefix("storage_threads_hung:"));
    counted.is_some_and(|count| count.trim_end() != "0")
}
