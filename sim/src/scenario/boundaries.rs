//! Every boundary within the server breaks: each place of the catalogue of failpoints is armed, alone and together, while
//! clients of several kinds work and storage may be started anew.

use super::faults::{self, Kind};
use super::roles::{Pace, counter, families, journal, pinger, register};
use super::{Scenario, Sketch, configuration};

pub const SCENARIO: Scenario = Scenario {
    name: "boundaries",
    about: "messages are lost, threads stall and panic, the engine fails: wherever the server can be made to",
    draw: |dice| {
        let config = configuration(dice);
        let (keys, families) = (dice.between(1..=2), families(dice));
        let steady = Pace { pause_ms_max: 50, ..Pace::draw(dice, 40) };
        let mut clients = vec![pinger(dice, "pinger", steady)];
        for number in 0..dice.between(1..=4) {
            let (name, pace) = (format!("b{number}"), Pace::draw(dice, 30));
            clients.push(match dice.index(3) {
                0 => counter(dice, &name, keys, pace),
                1 => register(dice, &name, keys, &families, pace),
                _ => journal(dice, &name, pace),
            });
        }
        let kinds =
            [Kind::Failpoint, Kind::Failpoint, Kind::Failpoint, Kind::Failpoint, Kind::RestartStorage, Kind::Kill];
        let (count, within_ms) = (dice.between(1..=5), dice.pick(&[200, 800]));
        let faults = faults::draw(dice, &kinds, count, within_ms);
        Sketch { config, clients, faults, heal_ms: dice.between(0..=2000) }
    },
};
