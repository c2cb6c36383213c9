//! A plan on RocksDB itself: what clients see there is what they see on the model of a disk.
//!
//! Only plans in which nobody's chance decides: one client alone, and faults that the real engine knows too. RocksDB has
//! threads and a clock of its own, but a call of it takes no virtual time, and no reply may depend on what it does in the
//! background.

use std::path::Path;

use bulkhead::resp::Value;

use crate::history::{History, Outcome};
use crate::plan::{Fault, Plan};
use crate::run::{Record, record, record_on_rocks};
use crate::trace::Sink;

/// The plan without what only the model of a disk can do.
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
    plan.faults.retain(|(_, fault)| is_known(fault));
    plan
}

/// Runs a plan on the model and on RocksDB in `directory`, which must be empty. Says where they part.
pub fn compare(plan: &Plan, directory: &Path) -> Result<(), String> {
    let plan = comparable(plan);
    let (model, rocks) = (record(&plan, Sink::Nothing), record_on_rocks(&plan, directory));
    for (name, Record { report, .. }) in [("the model", &model), ("RocksDB", &rocks)] {
        if let Some(failure) = &report.failure {
            return Err(format!("on {name}: {}: {}", failure.by, failure.what));
        }
    }
    let (model, rocks) = (told(&model.history), told(&rocks.history));
    for (number, (on_model, on_rocks)) in model.iter().zip(&rocks).enumerate() {
        if on_model != on_rocks {
            return Err(format!("command {number}: on the model {on_model:?}, on RocksDB {on_rocks:?}"));
        }
    }
    match model.len() == rocks.len() {
        true => Ok(()),
        false => Err(format!("{} commands on the model, {} on RocksDB", model.len(), rocks.len())),
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
