//! Several clients change the same few counters and logs, in pipelines, while the server may be killed, its threads die
//! and its storage side is started anew.

use super::faults::{self, Kind};
use super::roles::{Pace, counter};
use super::{Scenario, Sketch, configuration};

pub const SCENARIO: Scenario = Scenario {
    name: "counters",
    about: "shared counters and logs while processes and threads die: each change happens once",
    draw: |dice| {
        let config = configuration(dice);
        let keys = dice.between(1..=3);
        let clients = (0..dice.between(2..=6))
            .map(|number| {
                let pace = Pace::draw(dice, 30);
                counter(dice, &format!("c{number}"), keys, pace)
            })
            .collect();
        let kinds = [Kind::Kill, Kind::RestartStorage, Kind::RestartStorage, Kind::WriterPanic, Kind::Stop, Kind::Hold];
        let count = dice.between(0..=4);
        let faults = faults::draw(dice, &kinds, count, 800);
        Sketch { config, clients, faults, heal_ms: dice.between(0..=1000) }
    },
};
