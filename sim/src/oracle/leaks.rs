//! Nothing is left behind: with all clients gone and everything answered, no request, byte, waiter or client is still
//! accounted for, and each database counts as many keys as it has.

use bulkhead::failpoints;

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
            if *field == "channel_bytes" && may_stand_still(case, &inventory.info) {
                continue;
            }
            if found.trim_end() != format!("{field}:{expected}") {
                return Err(format!("nobody is there but the auditor, and INFO says {}", found.trim_end()));
            }
            checked += 1;
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

/// Whether a storage thread may stand still: what it has begun is its own until it comes back, or ends. INFO counts such
/// threads, but for those of a storage runtime that is lost.
fn may_stand_still(case: &Case<'_>, info: &str) -> bool {
    let counted = info.lines().find_map(|line| line.strip_prefix("storage_threads_hung:"));
    let is_lost = case.plan.has_fault(|fault| fault.place() == Some("storage.runtime"));
    let stalls = |fault: &Fault| matches!(fault, Fault::Failpoint { what: failpoints::Fault::Stall(_), .. });
    counted.is_some_and(|count| count.trim_end() != "0") || (is_lost && case.plan.has_fault(stalls))
}
