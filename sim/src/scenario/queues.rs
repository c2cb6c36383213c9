//! Clients wait for what others push, while threads die, writes stall and storage starts anew: who waits is served as soon
//! as there is something for him, and nobody else gets it.

use super::faults::{self, Kind};
use super::roles::{Pace, counter, popper, pusher, straggler};
use super::{Scenario, Sketch, configuration, set};

pub const SCENARIO: Scenario = Scenario {
    name: "queues",
    about: "blocking pops: served in time, given up in time, each element to one client",
    draw: |dice| {
        let mut config = configuration(dice);
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
        let mut faults = faults::draw(dice, &kinds, count, 1000);
        if dice.one_in(2) {
            // A group fails in which somebody has just begun to wait, and nobody pushes anything for him any more.
            let at_ms = dice.between(5..=100);
            faults.push((at_ms, faults::of_a_group(dice)));
            set(&mut config, "batch-timeout", dice.pick(&["0", "3000"]));
            let busy = Pace { steps: 40, commands_max: 3, pause_ms_max: 5, rude_one_in: 0 };
            clients.push(counter(dice, "busy", keys, busy));
            for number in 0..dice.between(2..=5) {
                clients.push(straggler(dice, &format!("late{number}"), at_ms));
            }
        }
        Sketch { config, clients, faults, heal_ms: dice.between(0..=1500) }
    },
};
