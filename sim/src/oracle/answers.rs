//! Who waits gets an answer: where nothing goes wrong, every command of a client that reads its replies is answered, and
//! none is refused. Who waits for a key may do so for long: whatever went wrong when he began to, he is looked after once it
//! is over.

use std::time::Duration;

use super::{Case, Finding, Oracle};
use crate::history::{Ended, Outcome, Spell};
use crate::model;

pub const ORACLE: Oracle =
    Oracle { name: "answers", promise: "where nothing goes wrong every command is answered, and none refused", check };

/// How long after a fault things may still be out of order: threads start anew, deadlines pass.
const GRACE: Duration = Duration::from_secs(3);

/// When a fault and what follows from it is over.
fn over(case: &Case<'_>, spell: &Spell) -> Duration {
    let to = match spell.fault {
        // Writes are refused until the server is started anew.
        fault if fault.fails_sync() => {
            let ends = case.history.ended.iter().map(|ended| ended.at).find(|at| *at >= spell.to);
            ends.unwrap_or(Duration::MAX - GRACE)
        }
        _ => spell.to,
    };
    to + GRACE
}

fn check(case: &Case<'_>) -> Result<Finding, String> {
    let mut checked = 0;
    for operation in &case.history.operations {
        // Who does not wait learns nothing.
        let Some(until) = operation.returned.or(operation.given_up) else { continue };
        let patience = model::patience(&operation.args);
        // It may wait for ever, but its client does not.
        if patience == Some(Duration::MAX) {
            continue;
        }
        let since = if patience.is_some() { until } else { operation.invoked };
        let is_trouble = |spell: &Spell| spell.from <= until && since <= over(case, spell);
        // Not every end is in the plan: the last stop comes when everybody is done.
        let is_ended = |ended: &Ended| operation.invoked <= ended.at && ended.at <= until;
        if case.history.spells.iter().any(is_trouble) || case.history.ended.iter().any(is_ended) {
            continue;
        }
        let (client, line, invoked) = (&operation.client, &operation.line, operation.invoked);
        match &operation.outcome {
            Outcome::Reply(_) => checked += 1,
            Outcome::Refused(reply) => return Err(format!("{client}: {line} at {invoked:?} was refused with {reply}")),
            Outcome::Unknown => return Err(format!("{client}: {line}, sent at {invoked:?}, got no answer")),
        }
    }
    Finding::checked(checked)
}
