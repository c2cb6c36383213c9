//! Clients publish and listen while others write and the disk misbehaves: messages do not notice.

use super::faults::{self, Kind};
use super::roles::{Pace, counter, listener, publisher};
use super::{Scenario, Sketch, configuration};

pub const SCENARIO: Scenario = Scenario {
    name: "channels",
    about: "messages come once, in order and in time, whatever storage does meanwhile",
    draw: |dice| {
        let config = configuration(dice);
        let channels = dice.between(1..=3);
        let mut clients = Vec::new();
        for number in 0..dice.between(1..=2) {
            let pace = Pace { pause_ms_max: dice.pick(&[2, 20, 60]), ..Pace::draw(dice, 60) };
            clients.push(publisher(dice, &format!("pub{number}"), channels, pace));
        }
        clients.extend((0..dice.between(1..=3)).map(|number| listener(dice, &format!("sub{number}"), channels)));
        if dice.one_in(2) {
            let pace = Pace::draw(dice, 25);
            clients.push(counter(dice, "writer", 2, pace));
        }
        let kinds =
            [Kind::Stall, Kind::Hang, Kind::NoSpace, Kind::RestartStorage, Kind::Kill, Kind::Stop, Kind::Failpoint];
        let count = dice.between(0..=3);
        let faults = faults::draw(dice, &kinds, count, 800);
        Sketch { config, clients, faults, heal_ms: dice.between(0..=1500) }
    },
};
