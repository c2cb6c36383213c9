//! Keys with a time to live, and a wall clock that jumps: a key is there until its time on the wall clock, gone from then
//! on whoever looks, and removed from the disk soon after.

use super::faults::{self, Kind};
use super::roles::{Pace, watcher};
use super::{Scenario, Sketch, configuration};
use crate::plan::Fault;
use crate::world::START_MS;

pub const SCENARIO: Scenario = Scenario {
    name: "expiry",
    about: "keys that expire while the wall clock jumps and the server restarts",
    draw: |dice| {
        let config = configuration(dice);
        let clients = (0..dice.between(1..=2))
            .map(|number| {
                let pause_ms_max = dice.pick(&[3, 20, 300]);
                let pace = Pace { commands_max: 1, pause_ms_max, ..Pace::draw(dice, 40) };
                watcher(dice, &format!("t{number}"), pace, START_MS)
            })
            .collect();
        let kinds = [Kind::ClockJump, Kind::ClockJump, Kind::ClockJump, Kind::RestartStorage, Kind::Kill];
        let count = dice.between(0..=6);
        let mut faults = faults::draw(dice, &kinds, count, 1500);
        // Forth, back and forth again: what was set in between lies before what was thought to be the past.
        for _ in 0..dice.between(0..=2) {
            let (mut at_ms, by_ms) = (dice.between(5..=1000), dice.between(300..=4000) as i64);
            // Right for some rounds of housekeeping, wrong between two of them.
            for (by_ms, for_ms) in [(by_ms, 100..=250), (-by_ms, 10..=90), (2 * by_ms, 0..=0)] {
                faults.push((at_ms, Fault::ClockJump { by_ms }));
                at_ms += dice.between(for_ms);
            }
        }
        Sketch { config, clients, faults, heal_ms: 0 }
    },
};
