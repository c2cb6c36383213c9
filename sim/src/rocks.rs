//! A plan on RocksDB itself: what clients see there is what they see on the model of a disk.
//!
//! Only plans in which nobody's chance decides: one client alone, and faults that the real engine knows too. RocksDB has
//! threads and a clock of its own, but a call of it takes no virtual time, and no reply may depend on what it does in the
//! background.

use std::path::Path;

use bulkhead::resp::Value;

use crate::history::{History, Outcome};
use crate::plan::{Fault, Plan};
use crate::run::{record, record_on_rocks};
use crate::trace::Sink;

/// The plan with one client alone, and without what only the model of a disk can do.
pub fn comparable(plan: &Plan) -> Plan {
    let is_known = |fault: &Fault| {
        matches!(
            fault,
            Fault::Stop { .. }
                | Fault::Kill { .. }
                | Fault::RestartStorage
                | Fault::ClockJump { .. }
                | Fault::Cold { .. }
        )
    };
    let mut plan = plan.clone();
    plan.clients.truncate(1);
    plan.faults.retain(|(_, fault)| is_known(fault));
    plan
}

/// Runs a plan on the model and on RocksDB in `directory`, which must be empty. Says how many commands had the same reply,
/// or where the two part.
pub fn compare(plan: &Plan, directory: &Path) -> Result<usize, String> {
    let plan = comparable(plan);
    let (model, rocks) = (record(&plan, Sink::Nothing), record_on_rocks(&plan, directory));
    if let Some(failure) = &model.report.failure {
        return Err(format!("on the model: {}: {}", failure.by, failure.what));
    }
    let (on_model, on_rocks) = (told(&model.history), told(&rocks.history));
    for (number, (model, rocks)) in on_model.iter().zip(&on_rocks).enumerate() {
        if model != rocks {
            return Err(format!("command {number}: on the model {model:?}, on RocksDB {rocks:?}"));
        }
    }
    if let Some(failure) = &rocks.report.failure {
        return Err(format!("on RocksDB: {}: {}", failure.by, failure.what));
    }
    match on_model.len() == on_rocks.len() {
        true => Ok(on_model.len()),
        false => Err(format!("{} commands on the model, {} on RocksDB", on_model.len(), on_rocks.len())),
    }
}

/// What each command was told, figures of the process apart.
fn told(history: &History) -> Vec<(String, Option<Value>)> {
    let is_about_keys = |line: &str| !line.to_ascii_uppercase().starts_with("INFO");
    let all = history.operations.iter().filter(|operation| is_about_keys(&operation.line));
    all.map(|operation| {
        let reply = match &operation.outcome {
            Outcome::Reply(reply) | Outcome::Refused(reply) => Some(reply.clone()),
            Outcome::Unknown => None,
        };
        (operation.line.clone(), reply)
    })
    .collect()
}
