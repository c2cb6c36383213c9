//! Several clients work on the same few keys with every command there is: one order of all commands explains all replies,
//! while reads are cold, the disk is slow or damaged, and threads die.

use super::faults::{self, Kind};
use super::roles::{Pace, families, register};
use super::{Scenario, Sketch, configuration};

pub const SCENARIO: Scenario = Scenario {
    name: "registers",
    about: "few keys, all commands, many clients: one order explains every reply",
    draw: |dice| {
        let config = configuration(dice);
        let (keys, families) = (dice.between(1..=3), families(dice));
        let clients = (0..dice.between(2..=5))
            .map(|number| {
                let pace = Pace::draw(dice, 30);
                register(dice, &format!("r{number}"), keys, &families, pace)
            })
            .collect();
        let kinds = [
            Kind::Cold,
            Kind::Cold,
            Kind::Slow,
            Kind::Damage,
            Kind::Kill,
            Kind::PowerCut,
            Kind::RestartStorage,
            Kind::ReaderPanic,
            Kind::WriterPanic,
            Kind::NoSpace,
        ];
        let count = dice.between(0..=4);
        let faults = faults::draw(dice, &kinds, count, 800);
        Sketch { config, clients, faults, heal_ms: dice.between(0..=1000) }
    },
};
