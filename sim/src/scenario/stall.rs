//! The disk refuses or stalls writes for a while: whoever does not write must not notice, who does is told the truth, and
//! when the disk is well again, so is the server.

use super::faults::{self, Kind};
use super::roles::{Pace, counter, pinger, reader};
use super::{Scenario, Sketch, configuration, set};

pub const SCENARIO: Scenario = Scenario {
    name: "stall",
    about: "a disk that stalls, fills up or fails: PING, connecting and reads do not notice, writes recover",
    draw: |dice| {
        let mut config = configuration(dice);
        set(&mut config, "runtime-mode", "dual");
        let keys = 2;
        let steady = Pace { steps: dice.between(20..=60), commands_max: 1, pause_ms_max: 50, rude_one_in: 0 };
        let mut clients = vec![pinger(dice, "pinger", steady), reader(dice, "reader", keys, steady)];
        for number in 0..dice.between(1..=3) {
            let pace = Pace::draw(dice, 30);
            clients.push(counter(dice, &format!("w{number}"), keys, pace));
        }
        let kinds = [Kind::Stall, Kind::Stall, Kind::Hang, Kind::NoSpace, Kind::IoError, Kind::SyncFails, Kind::Cold];
        let count = dice.between(1..=3);
        let faults = faults::draw(dice, &kinds, count, 500);
        Sketch { config, clients, faults, heal_ms: dice.pick(&[500, 1000, 3500]) }
    },
};
