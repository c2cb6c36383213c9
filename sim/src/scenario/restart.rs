//! Clients keep journals while the server is stopped, killed, or loses power, and comes back.

use super::faults::{self, Kind};
use super::roles::{Pace, journal};
use super::{Scenario, Sketch, configuration, set};
use crate::plan::Fault;

pub const SCENARIO: Scenario = Scenario {
    name: "restart",
    about: "journals across stops, kills and power cuts: what must survive does, what may be lost is a suffix",
    draw: |dice| {
        let mut config = configuration(dice);
        set(&mut config, "appendfsync", dice.pick(&["always", "everysec", "everysec", "no"]));
        let within_ms = dice.pick(&[500, 2000, 4000]);
        let clients = (0..dice.between(1..=3))
            .map(|number| {
                let steps = dice.between(20..=100);
                // In a hurry, or for as long as something may happen: half of the steps wait, half as long on average.
                let pause_ms_max = dice.pick(&[10, 4 * within_ms / steps]);
                let pace = Pace { steps, commands_max: dice.pick(&[1, 5]), pause_ms_max, rude_one_in: 0 };
                journal(dice, &format!("j{number}"), pace)
            })
            .collect();
        let often = dice.pick(&[Kind::RestartStorage, Kind::PowerCut, Kind::Kill]);
        let kinds = [Kind::Stop, Kind::Kill, Kind::PowerCut, Kind::PowerCut, Kind::RestartStorage, often, often];
        let count = dice.between(1..=6);
        let mut faults = faults::draw(dice, &kinds, count, within_ms);
        if dice.one_in(2) {
            // The power fails before the process that followed a killed one has been at it for a second: time to sync what it
            // found, and none to sync anything because of what it wrote.
            let (at_ms, down_ms) = (dice.between(5..=within_ms), dice.pick(&[0, 100, 1000]));
            faults.push((at_ms, Fault::Kill { down_ms }));
            let cut_ms = at_ms + down_ms + dice.between(330..=990);
            faults.push((cut_ms, Fault::PowerCut { down_ms: 0, keep_percent: 0 }));
        }
        Sketch { config, clients, faults, heal_ms: dice.between(0..=within_ms) }
    },
};
