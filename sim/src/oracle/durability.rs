//! What survives the end of a process: everything that was acknowledged, but for a power cut under `everysec` and `no`,
//! which may take a suffix; never something from the middle, and never half a command.
//!
//! Journals tell: clients that MSET `j:<client>:<number>` together with `j:<client>:last`, each number once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bulkhead::resp::Value;

use super::{Case, Finding, Oracle};
use crate::history::{Loss, Operation, Outcome};

pub const ORACLE: Oracle = Oracle {
    name: "durability",
    promise: "what appendfsync promises survives, what is lost is a suffix, no command is there in part",
    check,
};

fn check(case: &Case<'_>) -> Result<Finding, String> {
    let mut entries: Vec<&Operation> = case.history.operations.iter().filter(|one| is_entry(one)).collect();
    if entries.is_empty() {
        return Finding::checked(0);
    }
    entries.sort_by_key(|entry| entry.invoked);
    let Some(found) = found(case) else { return Finding::checked(0) };
    let is_there = |entry: &Operation| found.get(&entry.args[1]).is_some_and(|value| *value == entry.args[2]);
    check_whole(case, &entries, &found)?;
    // Each process' life by itself: what a later one did says nothing about what an earlier one lost.
    let ends = &case.history.ended;
    let life_of = |entry: &Operation| ends.iter().position(|ended| entry.invoked <= ended.at);
    for (index, ended) in ends.iter().enumerate() {
        let life: Vec<&&Operation> = entries.iter().filter(|entry| life_of(entry) == Some(index)).collect();
        // Of what survived, the last to begin: nothing that was acknowledged before it began may be missing.
        let last = life.iter().filter(|entry| is_there(entry)).map(|entry| entry.invoked).max().unwrap_or_default();
        for entry in life {
            let Some(returned) = entry.returned.filter(|_| entry.is_acknowledged() && !is_there(entry)) else {
                continue;
            };
            let line = &entry.line;
            if returned + case.skew() < last {
                return Err(format!(
                    "`{line}`, acknowledged at {returned:?}, is missing; one sent at {last:?} is there"
                ));
            }
            if !may_be_lost(case, index, returned) {
                let at = ended.at;
                return Err(format!("`{line}`, acknowledged at {returned:?}, did not survive the end at {at:?}"));
            }
        }
    }
    for entry in &entries {
        if let Outcome::Refused(reply) = &entry.outcome
            && is_there(entry)
        {
            return Err(format!("`{}` was refused with {reply} and is there", entry.line));
        }
    }
    Finding::checked(entries.len())
}

/// Whether the end of a process, or one of those that followed before anything was synced, may have taken what was
/// acknowledged at that time.
fn may_be_lost(case: &Case<'_>, end: usize, returned: Duration) -> bool {
    for (index, ended) in case.history.ended.iter().enumerate().skip(end) {
        if ended.loss == Loss::Unsynced && returned > case.must_survive_until(ended.at) {
            return true;
        }
        if case.settles(index) {
            return false;
        }
    }
    false
}

fn is_entry(operation: &Operation) -> bool {
    operation.args.len() == 5 && operation.args[0] == b"MSET" && operation.args[1].starts_with(b"j:")
}

/// The last audit's values of the journals' keys.
fn found(case: &Case<'_>) -> Option<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut any = false;
    let audits = case.history.operations.iter().filter(|one| one.client == "auditor" && one.args[0] == b"GET");
    for audit in audits.filter(|one| one.args[1].starts_with(b"j:")) {
        any = true;
        match audit.reply() {
            Some(Value::Bulk(text)) => {
                found.insert(audit.args[1].clone(), text.to_vec());
            }
            _ => {
                found.remove(&audit.args[1]);
            }
        }
    }
    any.then_some(found)
}

/// `last` holds the value of the last entry that is there.
fn check_whole(case: &Case<'_>, entries: &[&Operation], found: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<(), String> {
    let lasts: BTreeSet<&Vec<u8>> = entries.iter().map(|entry| &entry.args[3]).collect();
    for last in lasts {
        let mut own: Vec<&&Operation> = entries.iter().filter(|entry| entry.args[3] == *last).collect();
        own.sort_by_key(|entry| entry.invoked);
        // Entries in doubt may have happened in another order; the model of the keys looks at those.
        if own.iter().any(|entry| entry.outcome == Outcome::Unknown) && !case.history.spells.is_empty() {
            let value = found.get(last);
            let is_known = |value: &Vec<u8>| own.iter().any(|entry| entry.args[4] == *value);
            if value.is_some_and(|value| !is_known(value)) {
                return Err(format!("{} holds what nobody wrote", last.escape_ascii()));
            }
            continue;
        }
        let there =
            own.iter().rev().find(|entry| found.get(&entry.args[1]).is_some_and(|value| *value == entry.args[2]));
        let (expected, value) = (there.map(|entry| &entry.args[4]), found.get(last));
        if expected != value {
            let show =
                |value: Option<&Vec<u8>>| value.map_or("nothing".into(), |value| value.escape_ascii().to_string());
            let (key, value, expected) = (last.escape_ascii(), show(value), show(expected));
            return Err(format!("{key} is {value}, must be {expected}: a command is there in part"));
        }
    }
    Ok(())
}
