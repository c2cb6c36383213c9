//! Clients keep journals while the server is stopped, killed, or loses power, and comes back.

use super::faults::{self, Kind};
use super::roles::{Pace, journal};
use super::{Scenario, Sketch, configuration};

pub const SCENARIO: Scenario = Scenario {
    name: "restart",
    about: "journals across stops, kills and power cuts: what must survive does, what may be lost is a suffix",
    draw: |dice| {
        let config = configuration(dice);
        let clients = (0..dice.between(1..=3))
            .map(|number| {
                let steps = dice.between(20..=100);
                let pace = Pace { steps, commands_max: dice.pick(&[1, 5]), ..Pace::draw(dice, 5) };
                journal(dice, &format!("j{number}"), pace)
            })
            .collect();
        let kinds = [Kind::Stop, Kind::Kill, Kind::PowerCut, Kind::PowerCut, Kind::PowerCut, Kind::RestartStorage];
        let (count, within_ms) = (dice.between(1..=4), dice.pick(&[500, 2000, 4000]));
        let faults = faults::draw(dice, &kinds, count, within_ms);
        Sketch { config, clients, faults, heal_ms: dice.between(0..=within_ms) }
    },
};
