//! One client, alone with the server: every reply is the one that the model predicts, in whatever pieces bytes arrive, and
//! after a stop and a start everything is still there.

use super::roles::{Pace, soloist};
use super::{Scenario, Sketch, configuration};
use crate::plan::Fault;

pub const SCENARIO: Scenario = Scenario {
    name: "session",
    about: "one client alone, whose every reply the model predicts, across clean stops",
    draw: |dice| {
        let config = configuration(dice);
        let pace = Pace { commands_max: dice.pick(&[1, 4, 24]), ..Pace::draw(dice, 40) };
        let clients = vec![soloist(dice, "soloist", pace)];
        let faults = match dice.one_in(3) {
            true => vec![(dice.between(5..=300), Fault::Stop { down_ms: dice.pick(&[0, 10, 100]) })],
            false => Vec::new(),
        };
        Sketch { config, clients, faults, heal_ms: 0 }
    },
};
