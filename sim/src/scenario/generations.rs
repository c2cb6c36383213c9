//! The writer hangs, before its commit or within it, for longer than the watchdog waits: it is given up while it still runs,
//! another takes its place or none may, and when the old one comes back it finds the gate closed.

use super::faults::{self, Kind};
use super::roles::{Pace, counter, families, popper, pusher, register};
use super::{Scenario, Sketch, configuration, set};

pub const SCENARIO: Scenario = Scenario {
    name: "generations",
    about: "writers that hang and are given up while they still run: what they held happens once, or never",
    draw: |dice| {
        let mut config = configuration(dice);
        set(&mut config, "watchdog-timeout", dice.pick(&["100", "300", "1000"]));
        let (keys, families) = (dice.between(1..=2), families(dice));
        let clients = (0..dice.between(2..=5))
            .map(|number| {
                let pace = Pace { pause_ms_max: dice.pick(&[10, 100]), ..Pace::draw(dice, 30) };
                let name = format!("g{number}");
                match dice.index(5) {
                    0 | 1 => counter(dice, &name, keys, pace),
                    2 => register(dice, &name, keys, &families, pace),
                    3 => pusher(dice, &name, keys, pace),
                    _ => popper(dice, &name, keys, pace),
                }
            })
            .collect();
        let kinds =
            [Kind::WriterHang, Kind::WriterHang, Kind::WriterHang, Kind::RestartStorage, Kind::Kill, Kind::Hang];
        let (count, within_ms) = (dice.between(1..=4), dice.pick(&[200, 1000]));
        let faults = faults::draw(dice, &kinds, count, within_ms);
        Sketch { config, clients, faults, heal_ms: dice.between(0..=4000) }
    },
};
