//! The scenarios: each draws a plan from a seed, with what it is about in the foreground. A scenario is one file and one
//! line in [`ALL`]. What must hold in a run the oracles say, whichever scenario drew it.

mod boundaries;
mod channels;
mod counters;
mod expiry;
mod faults;
mod generations;
mod queues;
mod registers;
mod restart;
mod roles;
mod session;
mod stall;
mod swarm;

use crate::dice::Dice;
use crate::plan::{ClientPlan, Fault, Plan, Surroundings};

/// A situation that the server is put into, over and over, in ever new ways.
pub struct Scenario {
    pub name: &'static str,
    /// What it is about, in a sentence.
    pub about: &'static str,
    draw: fn(&mut Dice) -> Sketch,
}

/// What a scenario decides.
struct Sketch {
    config: Vec<String>,
    clients: Vec<ClientPlan>,
    faults: Vec<(u64, Fault)>,
    heal_ms: u64,
}

/// In the order in which the runs of a campaign take turns.
pub const ALL: &[Scenario] = &[
    swarm::SCENARIO,
    boundaries::SCENARIO,
    registers::SCENARIO,
    counters::SCENARIO,
    restart::SCENARIO,
    queues::SCENARIO,
    channels::SCENARIO,
    stall::SCENARIO,
    session::SCENARIO,
    swarm::SCENARIO,
    expiry::SCENARIO,
    generations::SCENARIO,
];

pub fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

/// Each scenario once.
pub fn distinct() -> impl Iterator<Item = &'static Scenario> {
    ALL.iter()
        .enumerate()
        .filter(|(at, one)| !ALL[..*at].iter().any(|other| other.name == one.name))
        .map(|(_, one)| one)
}

impl Scenario {
    /// The plan that a seed makes.
    pub fn plan(&self, seed: u64) -> Plan {
        let mut dice = Dice::named(seed, self.name);
        let surroundings = Surroundings::draw(&mut dice);
        let Sketch { config, clients, mut faults, heal_ms } = (self.draw)(&mut dice);
        faults.sort();
        let scenario = self.name.to_string();
        Plan { scenario, seed, surroundings, config, faults, heal_ms, clients }
    }
}

/// A server's configuration: every run has another.
fn configuration(dice: &mut Dice) -> Vec<String> {
    let batch_size = dice.pick(&[1, 3, 16, 256]);
    vec![
        format!("appendfsync {}", dice.pick(&["always", "everysec", "no"])),
        format!("storage-threads {}", dice.between(1..=4)),
        format!("network-threads {}", dice.between(1..=2)),
        format!("runtime-mode {}", dice.pick(&["dual", "dual", "dual", "dual", "single"])),
        format!("batch-size {batch_size}"),
        format!("batch-timeout {}", dice.pick(&[0, 0, 0, 3000])),
        format!("channel-capacity {}", dice.pick(&[batch_size.max(16), 256, 16384])),
        format!("record-cache-size {}", dice.pick(&["0", "64kb", "16mb"])),
        format!("watchdog-timeout {}", dice.pick(&[30_000, 30_000, 1000, 500])),
        "request-timeout 2000".into(),
    ]
}

/// Replaces a directive that [`configuration`] has drawn.
fn set(config: &mut Vec<String>, name: &str, value: &str) {
    config.retain(|line| line.split(' ').next() != Some(name));
    config.push(format!("{name} {value}"));
}

/// Whether the server knows a command: plans use what there is.
fn is_served(name: &str) -> bool {
    let families = bulkhead::commands::FAMILIES.iter().copied();
    families.flatten().any(|command| command.name.eq_ignore_ascii_case(name))
}
