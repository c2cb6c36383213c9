//! Everything, but never everything at once: each run draws which clients, commands, settings and faults take part.

use super::faults;
use super::roles::{Pace, counter, families, journal, pinger, reader, register, watcher};
use super::{Scenario, Sketch, configuration};
use crate::world::START_MS;

pub const SCENARIO: Scenario = Scenario {
    name: "swarm",
    about: "some of all clients, commands and faults, drawn anew for each run",
    draw: |dice| {
        let config = configuration(dice);
        let keys = dice.between(1..=3);
        let families = families(dice);
        let roles: Vec<usize> = (0..dice.between(1..=3)).map(|_| dice.index(6)).collect();
        let clients = (0..dice.between(2..=6))
            .map(|number| {
                let (name, pace) = (format!("u{number}"), Pace::draw(dice, 25));
                match dice.pick(&roles) {
                    0 => counter(dice, &name, keys, pace),
                    1 => register(dice, &name, keys, &families, pace),
                    2 => journal(dice, &name, pace),
                    3 => pinger(dice, &name, pace),
                    4 => reader(dice, &name, keys, pace),
                    _ => watcher(dice, &name, Pace { commands_max: 1, ..pace }, START_MS),
                }
            })
            .collect();
        let kinds = faults::some(dice, faults::ALL, 4);
        let (count, within_ms) = (dice.between(0..=6), dice.pick(&[200, 1000, 3000]));
        let faults = faults::draw(dice, &kinds, count, within_ms);
        Sketch { config, clients, faults, heal_ms: dice.between(0..=within_ms + 500) }
    },
};
