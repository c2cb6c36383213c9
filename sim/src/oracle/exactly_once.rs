//! Each acknowledged change happened once, each in doubt at most once, each refused never.
//!
//! Logs tell: a key `log:…` to which clients only APPEND, each time a word of its own. Counters too: a key `n:…` that
//! clients only increment by one.

use std::collections::BTreeMap;

use bulkhead::resp::Value;

use super::{Case, Finding, Oracle};
use crate::history::{Loss, Operation, Outcome};
use crate::model;

pub const ORACLE: Oracle = Oracle {
    name: "exactly-once",
    promise: "acknowledged ≤ observed ≤ acknowledged + in doubt, no change twice",
    check,
};

fn check(case: &Case<'_>) -> Result<Finding, String> {
    let mut checked = 0;
    let keys: std::collections::BTreeSet<(usize, &[u8])> = case
        .history
        .operations
        .iter()
        .filter_map(|operation| Some((operation.db, operation.args.get(1)?.as_slice())))
        .filter(|(_, key)| key.starts_with(b"log:") || key.starts_with(b"n:"))
        .collect();
    for (db, key) in keys {
        let changes: Vec<&Operation> = case.history.operations.iter().filter(|one| is_change(one, db, key)).collect();
        let Some(last) = last_seen(case, db, key) else { continue };
        if key.starts_with(b"log:") {
            check_log(case, key, &changes, last)?;
        } else {
            check_counter(case, key, &changes, last)?;
        }
        checked += changes.len();
    }
    Finding::checked(checked)
}

fn is_change(operation: &Operation, db: usize, key: &[u8]) -> bool {
    operation.db == db
        && matches!(model::name(&operation.args).as_str(), "APPEND" | "INCR")
        && operation.args.get(1).is_some_and(|arg| arg == key)
}

/// What the last audit read.
fn last_seen<'h>(case: &'h Case<'_>, db: usize, key: &[u8]) -> Option<&'h Value> {
    let audited = |one: &&Operation| {
        one.client == "auditor" && one.db == db && one.args.len() == 2 && one.args[1] == key && one.args[0] == b"GET"
    };
    case.history.operations.iter().rev().find(audited).and_then(Operation::reply)
}

/// Whether a power cut may have taken an acknowledged change back.
fn may_be_lost(case: &Case<'_>, change: &Operation) -> bool {
    let Some(returned) = change.returned else { return true };
    let cuts = case.history.ended.iter().filter(|ended| ended.loss == Loss::Unsynced);
    cuts.into_iter().any(|cut| returned <= cut.at && returned > case.must_survive_until(cut.at))
}

fn check_log(case: &Case<'_>, key: &[u8], changes: &[&Operation], last: &Value) -> Result<(), String> {
    let key = key.escape_ascii();
    let text = match last {
        Value::Bulk(text) => String::from_utf8_lossy(text).into_owned(),
        Value::Null => String::new(),
        other => return Err(format!("{key} is {other}")),
    };
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for word in text.split_inclusive('~') {
        *seen.entry(word).or_default() += 1;
    }
    let mut unexplained = seen.clone();
    for change in changes {
        let word = String::from_utf8_lossy(&change.args[2]).into_owned();
        let times = seen.get(word.as_str()).copied().unwrap_or(0);
        unexplained.remove(word.as_str());
        let (client, line) = (&change.client, &change.line);
        match &change.outcome {
            _ if times > 1 => return Err(format!("{client}: `{line}` happened {times} times")),
            Outcome::Reply(_) if times == 0 && !may_be_lost(case, change) => {
                return Err(format!("{client}: `{line}` was acknowledged and is not there"));
            }
            Outcome::Refused(reply) if times > 0 => {
                return Err(format!("{client}: `{line}` was refused with {reply} and is there"));
            }
            _ => {}
        }
    }
    match unexplained.keys().next() {
        Some(word) => Err(format!("{key} holds `{word}`, which nobody wrote")),
        None => Ok(()),
    }
}

fn check_counter(case: &Case<'_>, key: &[u8], changes: &[&Operation], last: &Value) -> Result<(), String> {
    let key = key.escape_ascii();
    let value = match last {
        Value::Null => 0,
        Value::Bulk(text) => {
            std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(format!("{key} is {last}"))?
        }
        other => return Err(format!("{key} is {other}")),
    };
    let is_certain = |change: &&&Operation| change.is_acknowledged() && !may_be_lost(case, change);
    let least = changes.iter().filter(is_certain).count() as i64;
    let most = changes.iter().filter(|change| !change.is_refused()).count() as i64;
    if value < least || value > most {
        return Err(format!("{key} is {value}, must be in {least}..={most}"));
    }
    Ok(())
}
