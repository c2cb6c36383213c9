//! Clients that wait for a key: nobody waits shorter or longer than he asked to, and no element is given to two of them.
//! That nobody waits while there is something for him, and that nothing is lost, the linearizability of these commands
//! says: a reply of nothing has its place at the end of the time.
//!
//! Told by keys `q:…`, to which every word is pushed once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bulkhead::resp::Value;

use super::isolation::{SWEEP, is_excused, request_timeout, round_trip};
use super::{Case, Finding, Oracle};
use crate::history::{Loss, Operation};
use crate::model;
use crate::plan::Fault;

pub const ORACLE: Oracle = Oracle {
    name: "waiting",
    promise: "who waits for a key waits as long as he asked to, and no element is given out twice",
    check,
};

fn check(case: &Case<'_>) -> Result<Finding, String> {
    let mut checked = check_elements(case)?;
    for operation in &case.history.operations {
        let Some(patience) = model::patience(&operation.args) else { continue };
        let Some(returned) = operation.returned.filter(|_| !operation.dawdled && operation.pipeline_len == 1) else {
            continue;
        };
        if operation.reply() != Some(&Value::NullArray) || case.is_unblocking(operation.invoked, returned) {
            continue;
        }
        let Operation { client, line, invoked, .. } = operation;
        let took = returned - *invoked;
        checked += 1;
        let tick = Duration::from_millis(2 * case.plan.surroundings.tick_ms);
        if took + tick < patience {
            return Err(format!("{client}: {line} at {invoked:?} gave up after {took:?}"));
        }
        let is_held = |fault: &Fault| {
            matches!(fault, Fault::Hang { .. } | Fault::Slow { .. } | Fault::Failpoint { .. } | Fault::Panic { .. })
        };
        if is_excused(case, operation, returned) || case.history.spells_during(*invoked, returned, is_held) {
            continue;
        }
        let longest = if case.is_calm(*invoked, returned) { patience } else { patience.max(request_timeout(case)) };
        let bound = longest.saturating_add(SWEEP + round_trip(case, 0));
        if took > bound {
            return Err(format!("{client}: {line} at {invoked:?} gave up only after {took:?}"));
        }
    }
    Finding::checked(checked)
}

/// Who pushed what, and who got it.
fn check_elements(case: &Case<'_>) -> Result<usize, String> {
    // A power cut may take a pop back, and the element is there again.
    let is_certain = case.plan.directive("appendfsync") == Some("always");
    if !is_certain && case.history.ended.iter().any(|ended| ended.loss == Loss::Unsynced) {
        return Ok(0);
    }
    let mut pushed: BTreeSet<&[u8]> = BTreeSet::new();
    let mut taken: BTreeMap<Vec<u8>, &Operation> = BTreeMap::new();
    for operation in
        case.history.operations.iter().filter(|one| one.args.get(1).is_some_and(|key| key.starts_with(b"q:")))
    {
        match (model::name(&operation.args).as_str(), operation.reply()) {
            ("RPUSH" | "LPUSH", _) if !operation.is_refused() => {
                pushed.extend(operation.args[2..].iter().map(Vec::as_slice))
            }
            ("ZADD", _) if !operation.is_refused() => pushed.extend(operation.args[3..].iter().map(Vec::as_slice)),
            ("BLPOP" | "BRPOP" | "BZPOPMIN", Some(Value::Array(parts))) => {
                if let Some(Value::Bulk(word)) = parts.get(1)
                    && let Some(first) = taken.insert(word.to_vec(), operation)
                {
                    let (word, one, other) = (word.escape_ascii(), &first.client, &operation.client);
                    return Err(format!("{word} was given out twice: to {one} and to {other}, {}", operation.line));
                }
            }
            _ => {}
        }
    }
    match taken.iter().find(|(word, _)| !pushed.contains(word.as_slice())) {
        Some((word, operation)) => {
            Err(format!("{}: {} got {}, which nobody pushed", operation.client, operation.line, word.escape_ascii()))
        }
        None => Ok(taken.len()),
    }
}
