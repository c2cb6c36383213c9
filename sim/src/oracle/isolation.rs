//! Whoever does not write does not notice that writes stall: PING, INFO, connecting and reads take no longer than the
//! network and an unsteady machine make them. And a write is answered by its deadline, whatever the disk does.

use std::time::Duration;

use bulkhead::{failpoints, limits};

use super::{Case, Finding, Oracle};
use crate::history::{Operation, Spell};
use crate::model::{self, Touches};
use crate::plan::{Call, Fault};
use crate::world::PAUSE_MS_MAX;

pub const ORACLE: Oracle = Oracle {
    name: "isolation",
    promise: "PING, INFO, connecting and reads take no longer during a write stall; a write is answered by its deadline",
    check,
};

/// Commands of a client that watches send one short command at a time: only those are measured.
const LINE_MAX: usize = 40;
/// How exact deadlines are.
pub(super) const SWEEP: Duration = Duration::from_millis(40);

fn check(case: &Case<'_>) -> Result<Finding, String> {
    // With one runtime for both halves nobody promises this.
    if case.plan.directive("runtime-mode") == Some("single") {
        return Finding::checked(0);
    }
    let mut checked = 0;
    for operation in &case.history.operations {
        let Some(returned) = operation.returned.filter(|_| !operation.dawdled) else { continue };
        // Who asks to wait is the business of another oracle.
        if model::patience(&operation.args).is_some() {
            continue;
        }
        if operation.pipeline_len > 1 || operation.line.len() > LINE_MAX || is_excused(case, operation, returned) {
            continue;
        }
        let is_free = model::touches(operation.db, &operation.args) == Touches::Nothing;
        let (kind, bound) = match is_free {
            true => ("it needs no storage", round_trip(case, reply_len(operation))),
            false if model::is_read(&operation.args) && !is_reader_troubled(case, operation.invoked, returned) => {
                ("it only reads", round_trip(case, reply_len(operation)))
            }
            false => {
                let patience = request_timeout(case) + SWEEP + sweeper_pauses(case, operation.invoked, returned);
                ("request-timeout", round_trip(case, reply_len(operation)) + patience)
            }
        };
        let took = returned - operation.invoked;
        checked += 1;
        if took > bound {
            let Operation { client, line, invoked, .. } = operation;
            return Err(format!("{client}: {line} at {invoked:?} took {took:?}, more than {bound:?} ({kind})"));
        }
    }
    for connecting in case.history.connecting.iter().filter(|one| one.is_connected) {
        if case.history.spells_during(connecting.began, connecting.ended, is_network) {
            continue;
        }
        let (took, bound) = (connecting.ended - connecting.began, round_trip(case, 0));
        checked += 1;
        if took > bound {
            let (client, began) = (&connecting.client, connecting.began);
            return Err(format!("{client}: connecting at {began:?} took {took:?}, more than {bound:?}"));
        }
    }
    Finding::checked(checked)
}

/// How long the task that looks at deadlines may have been away: each of its panics costs it a pause, and a look.
fn sweeper_pauses(case: &Case<'_>, from: Duration, to: Duration) -> Duration {
    let pauses = |spell: &Spell| match &spell.fault {
        Fault::Failpoint { place, times, .. } if place.name() == "network.sweep" => {
            (limits::NETWORK_TASK_RESTART_PAUSE + SWEEP) * *times as u32
        }
        _ => Duration::ZERO,
    };
    let spells = case.history.spells.iter().map(|spell| (spell.from, pauses(spell)));
    spells.filter(|(began, pauses)| *began <= to && from <= *began + *pauses).map(|(_, pauses)| pauses).sum()
}

pub(super) fn is_network(fault: &Fault) -> bool {
    matches!(fault, Fault::Hold { .. } | Fault::Partition { .. }) || fault.place() == Some("network.accept")
}

pub(super) fn is_excused(case: &Case<'_>, operation: &Operation, returned: Duration) -> bool {
    let of_process = |fault: &Fault| {
        is_network(fault)
            || matches!(
                fault,
                Fault::Stop { .. } | Fault::Kill { .. } | Fault::PowerCut { .. } | Fault::KillThenPowerCut { .. }
            )
    };
    // A command that asks to wait may.
    model::name(&operation.args) == "DEBUG" || case.history.spells_during(operation.invoked, returned, of_process)
}

/// Reads may wait for a reader that is slow, ends, or starts.
fn is_reader_troubled(case: &Case<'_>, from: Duration, to: Duration) -> bool {
    let earlier = from.saturating_sub(Duration::from_secs(2));
    let troubles = |fault: &Fault| {
        matches!(
            fault,
            Fault::Slow { .. }
                | Fault::RestartStorage
                | Fault::IoError { .. }
                | Fault::Panic { call: Call::Read | Call::Snapshot, .. }
        ) || is_reader_armed(fault)
    };
    if case.history.spells_during(earlier, to, troubles) {
        return true;
    }
    let may_be_closed = |spell: &Spell| spell.from <= to && opened_until(spell).is_some_and(|until| from <= until);
    if case.history.spells.iter().any(may_be_closed) {
        return true;
    }
    // Storage that starts anew, or opens its engine anew after an error, waits for the thread that the disk holds.
    let spells = &case.history.spells;
    let starts_anew =
        |spell: &&Spell| matches!(spell.fault, Fault::RestartStorage | Fault::IoError { .. }) && spell.from <= to;
    spells.iter().filter(starts_anew).any(|anew| {
        let held = spells.iter().filter(|spell| spell.from <= to).filter_map(held_until);
        held.into_iter().any(|until| anew.from <= until && from <= until + Duration::from_secs(1))
    })
}

/// Until when the engine may be closed because of this, if it may at all. Each attempt to open it anew waits twice as long as
/// the one before, so the last of them comes at most as long after the trouble as the trouble lasted.
pub(super) fn opened_until(spell: &Spell) -> Option<Duration> {
    let of_engine =
        spell.fault.place().is_some_and(|place| place.starts_with("engine.")) && is_reader_armed(&spell.fault);
    let closes = of_engine || matches!(spell.fault, Fault::IoError { .. });
    closes.then(|| spell.to + spell.to.saturating_sub(spell.from) + Duration::from_secs(1))
}

/// Until when a thread of storage may stand still by this, if it may at all.
fn held_until(spell: &Spell) -> Option<Duration> {
    match &spell.fault {
        Fault::Hang { .. } | Fault::Slow { .. } => Some(spell.to),
        // Whoever came there last stands still from then on.
        Fault::Failpoint { what: failpoints::Fault::Stall(time), .. } => Some(spell.to + *time),
        _ => None,
    }
}

/// A failpoint that a read passes, or by which the engine has to be opened anew. What only stops writes is none.
fn is_reader_armed(fault: &Fault) -> bool {
    let Fault::Failpoint { place, what, .. } = fault else { return false };
    match place.name() {
        "engine.write" => !matches!(what, failpoints::Fault::WriteStall | failpoints::Fault::NoSpace),
        "engine.sync" | "engine.written" => false,
        name => ["reader.", "channel.", "engine."].iter().any(|room| name.starts_with(room)),
    }
}

pub(super) fn request_timeout(case: &Case<'_>) -> Duration {
    let ms = case.plan.directive("request-timeout").and_then(|ms| ms.parse().ok());
    Duration::from_millis(ms.unwrap_or(2000))
}

/// A message each way; a command and a reply may be cut into pieces, whose delays run side by side; and each of the tasks
/// on the way (connection, first reader, second reader) may stand still a few times, and so often more as a reply takes
/// pieces.
pub(super) fn round_trip(case: &Case<'_>, reply_len: usize) -> Duration {
    let surroundings = case.plan.surroundings;
    let steps = if surroundings.pauses > 0 { 10 + reply_len as u64 / 16 } else { 2 };
    let ms = 2 * surroundings.latency_ms + steps * PAUSE_MS_MAX + 8 * surroundings.tick_ms;
    Duration::from_millis(ms)
}

fn reply_len(operation: &Operation) -> usize {
    operation.reply().map_or(0, |reply| reply.to_string().len())
}
