//! Keys with a time to live, and a wall clock that jumps: a key is there until its time on the wall clock, gone from then
//! on whoever looks, and removed from the disk soon after.

use super::faults::{self, Kind};
use super::roles::{Pace, watcher};
use super::{Scenario, Sketch, configuration};
use crate::world::START_MS;

pub const SCENARIO: Scenario = Scenario {
    name: "expiry",
    about: "keys that expire while the wall clock jumps and the server restarts",
    draw: |dice| {
        let config = configuration(dice);
        let clients = (0..dice.between(1..=2))
            .map(|number| {
                let pace = Pace { commands_max: 1, pause_ms_max: 300, ..Pace::draw(dice, 20) };
                watcher(dice, &format!("t{number}"), pace, START_MS)
            })
            .collect();
        let kinds = [Kind::ClockJump, Kind::ClockJump, Kind::ClockJump, Kind::RestartStorage, Kind::Kill];
        let count = dice.between(0..=6);
        let faults = faults::draw(dice, &kinds, count, 2500);
        Sketch { config, clients, faults, heal_ms: 0 }
    },
};
