//! Clients wait for what others push, while threads die, writes stall and storage starts anew: who waits is served as soon
//! as there is something for him, and nobody else gets it.

use super::faults::{self, Kind};
use super::roles::{Pace, popper, pusher};
use super::{Scenario, Sketch, configuration};

pub const SCENARIO: Scenario = Scenario {
    name: "queues",
    about: "blocking pops: served in time, given up in time, each element to one client",
    draw: |dice| {
        let config = configuration(dice);
        let keys = dice.between(1..=2);
        let mut clients = Vec::new();
        for number in 0..dice.between(1..=2) {
            let pace = Pace {
                commands_max: dice.pick(&[1, 3]),
                pause_ms_max: dice.pick(&[5, 50, 300]),
                ..Pace::draw(dice, 25)
            };
            clients.push(pusher(dice, &format!("push{number}"), keys, pace));
        }
        // Few, or a crowd that is always there at the same time.
        let crowd = dice.one_in(3);
        for number in 0..dice.between(if crowd { 4..=8 } else { 1..=3 }) {
            let pause_ms_max = if crowd { 2 } else { dice.pick(&[2, 20, 100]) };
            let pace = Pace { pause_ms_max, ..Pace::draw(dice, 25) };
            clients.push(popper(dice, &format!("pop{number}"), keys, pace));
        }
        let kinds = [
            Kind::RestartStorage,
            Kind::WriterPanic,
            Kind::Stall,
            Kind::NoSpace,
            Kind::NoSpace,
            Kind::Kill,
            Kind::PowerCut,
            Kind::Stop,
            Kind::Failpoint,
            Kind::Failpoint,
        ];
        let count = dice.pick(&[0, 0, 1, 2, 3]);
        let faults = faults::draw(dice, &kinds, count, 1000);
        Sketch { config, clients, faults, heal_ms: dice.between(0..=1500) }
    },
};
