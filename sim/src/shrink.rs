//! Makes a failing plan small: leaves out whatever it fails without, halves first, then single things, until nothing more
//! can go. A smaller plan must fail for the same reason, as far as the name of who noticed it tells.

use crate::plan::{Action, ClientPlan, Plan};
use crate::run::run;

/// Schedules that are tried with each smaller plan: leaving something out shifts what happens when.
const SCHEDULES: u64 = 4;

/// A plan that has been made smaller, and how many runs that took.
pub struct Shrunk {
    pub plan: Plan,
    pub by: String,
    pub runs: u64,
}

/// Shrinks a plan with at most so many runs. `None`: it does not fail.
pub fn shrink(plan: &Plan, runs_max: u64, mut tell: impl FnMut(&Plan)) -> Option<Shrunk> {
    let by = run(plan).failure?.by;
    let mut shrinking = Shrinking { plan: plan.clone(), by, runs: 1, runs_max };
    loop {
        let before = shrinking.plan.clone();
        for pass in PASSES {
            pass(&mut shrinking);
            tell(&shrinking.plan);
        }
        if shrinking.plan == before || shrinking.runs >= runs_max {
            let Shrinking { plan, by, runs, .. } = shrinking;
            return Some(Shrunk { plan, by, runs });
        }
    }
}

struct Shrinking {
    plan: Plan,
    by: String,
    runs: u64,
    runs_max: u64,
}

const PASSES: &[fn(&mut Shrinking)] = &[clients, faults, steps, commands, settings, times];

impl Shrinking {
    /// Takes `smaller` if it fails as well, with one of a few schedules.
    fn try_plan(&mut self, smaller: Plan) -> bool {
        if smaller == self.plan {
            return false;
        }
        for offset in 0..SCHEDULES {
            if self.runs >= self.runs_max {
                return false;
            }
            let candidate = Plan { seed: smaller.seed.wrapping_add(offset), ..smaller.clone() };
            self.runs += 1;
            if run(&candidate).failure.is_some_and(|failure| failure.by == self.by) {
                self.plan = candidate;
                return true;
            }
        }
        false
    }

    /// Leaves things out of a list, in ever smaller groups.
    fn thin<T: Clone>(&mut self, list: impl Fn(&mut Plan) -> Option<&mut Vec<T>>) {
        let len = |plan: &Plan| list(&mut plan.clone()).map_or(0, |items| items.len());
        let mut group = len(&self.plan);
        while group > 0 {
            let mut at = 0;
            while at < len(&self.plan) {
                let mut smaller = self.plan.clone();
                if let Some(items) = list(&mut smaller) {
                    items.drain(at..(at + group).min(items.len()));
                }
                if !self.try_plan(smaller) {
                    at += group;
                }
            }
            group /= 2;
        }
    }
}

fn clients(shrinking: &mut Shrinking) {
    shrinking.thin(|plan| Some(&mut plan.clients));
}

fn faults(shrinking: &mut Shrinking) {
    shrinking.thin(|plan| Some(&mut plan.faults));
}

fn steps(shrinking: &mut Shrinking) {
    for index in 0..shrinking.plan.clients.len() {
        shrinking.thin(|plan| plan.clients.get_mut(index).map(|client| &mut client.steps));
    }
}

fn commands(shrinking: &mut Shrinking) {
    let places: Vec<(usize, usize)> = shrinking
        .plan
        .clients
        .iter()
        .enumerate()
        .flat_map(|(client, plan)| (0..plan.steps.len()).map(move |step| (client, step)))
        .collect();
    for (client, step) in places {
        let lines = |plan: &Plan| plan.clients[client].steps[step].action.commands().len();
        for line in (0..lines(&shrinking.plan)).rev() {
            let mut smaller = shrinking.plan.clone();
            if lines(&smaller) < 2 {
                break;
            }
            if let Some(lines) = smaller.clients[client].steps[step].action.commands_mut() {
                lines.remove(line);
            }
            shrinking.try_plan(smaller);
        }
        let mut plainer = shrinking.plan.clone();
        let action = &mut plainer.clients[client].steps[step].action;
        if let Action::Part(lines) | Action::Sip(lines) = action {
            *action = Action::Send(std::mem::take(lines));
            shrinking.try_plan(plainer);
        }
    }
}

fn settings(shrinking: &mut Shrinking) {
    shrinking.thin(|plan| Some(&mut plan.config));
    let simplify: [fn(&mut Plan); 6] = [
        |plan| plan.surroundings.machines = 1,
        |plan| plan.surroundings.tick_ms = 1,
        |plan| plan.surroundings.pauses = 0,
        |plan| plan.surroundings.commits = 0,
        |plan| plan.surroundings.yields = 0,
        |plan| plan.surroundings.latency_ms = 1,
    ];
    for simplify in simplify {
        let mut simpler = shrinking.plan.clone();
        simplify(&mut simpler);
        shrinking.try_plan(simpler);
    }
}

fn times(shrinking: &mut Shrinking) {
    let mut sooner = shrinking.plan.clone();
    sooner.heal_ms = 0;
    shrinking.try_plan(sooner);
    for divisor in [0, 2] {
        let shorten = |ms: u64| ms.checked_div(divisor).unwrap_or(0);
        for client in 0..shrinking.plan.clients.len() {
            let mut faster = shrinking.plan.clone();
            let ClientPlan { steps, .. } = &mut faster.clients[client];
            steps.iter_mut().for_each(|step| step.wait_ms = shorten(step.wait_ms));
            shrinking.try_plan(faster);
        }
    }
    for fault in 0..shrinking.plan.faults.len() {
        let mut earlier = shrinking.plan.clone();
        earlier.faults[fault].0 /= 2;
        shrinking.try_plan(earlier);
    }
}
