//! In which states of the server its faults have met it, as the history tells: what a run has covered. It judges nothing.

use std::time::Duration;

use crate::history::{History, Operation, Spell};
use crate::model::{self, Touches};
use crate::plan::{Fault, Plan};

/// What can be said of the server at a moment; several may be true.
pub const STATES: &[&str] = &[
    "at rest",
    "writing",
    "reading",
    "with waiters",
    "in a transaction",
    "with another fault",
    "storage restarting",
    "stopping",
    "just started",
    "single runtime",
];

/// How long storage may take to start anew, and a process to be started.
const STARTING: Duration = Duration::from_millis(100);

/// The states in which a fault met the server, of [`STATES`].
pub fn at<'a>(plan: &'a Plan, history: &'a History, met: &'a Spell) -> impl Iterator<Item = &'static str> + 'a {
    let at = met.from;
    let under_way = |operation: &&Operation| {
        let until = operation.returned.or(operation.given_up).unwrap_or(operation.invoked);
        operation.invoked <= at && at <= until
    };
    let is_any = move |which: fn(&Operation) -> bool| history.operations.iter().filter(under_way).any(which);
    let lasts = move |which: fn(&Fault) -> bool| {
        let others = history.spells.iter().filter(|spell| !std::ptr::eq(*spell, met));
        others.into_iter().any(|spell| which(&spell.fault) && spell.from <= at && at <= spell.to)
    };
    let began_lately = |moment: Duration| moment <= at && at <= moment + STARTING;
    let starts = history.ended.iter().filter_map(|ended| ended.started).chain([Duration::ZERO]);
    let restarts =
        history.spells.iter().filter(|spell| spell.fault == Fault::RestartStorage && !std::ptr::eq(*spell, met));
    let is = [
        !is_any(|_| true),
        is_any(|one| model::touches(one.db, &one.args) != Touches::Nothing && !model::is_read(&one.args)),
        is_any(|one| model::touches(one.db, &one.args) != Touches::Nothing && model::is_read(&one.args)),
        is_any(|one| model::patience(&one.args).is_some()),
        is_any(|one| model::name(&one.args) == "EXEC"),
        lasts(|fault| !matches!(fault, Fault::Stop { .. } | Fault::RestartStorage | Fault::ClockJump { .. })),
        restarts.map(|spell| spell.from).any(began_lately),
        lasts(|fault| matches!(fault, Fault::Stop { .. })),
        starts.into_iter().any(began_lately),
        plan.directive("runtime-mode") == Some("single"),
    ];
    STATES.iter().zip(is).filter(|(_, is)| *is).map(|(state, _)| *state)
}
