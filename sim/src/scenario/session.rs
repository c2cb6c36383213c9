//! One client, alone with the server: every reply is the one that the model predicts, in whatever pieces bytes arrive, and
//! after a stop and a start everything is still there.

use super::faults::{self, Kind};
use super::roles::{Pace, soloist};
use super::{Scenario, Sketch, configuration};

pub const SCENARIO: Scenario = Scenario {
    name: "session",
    about: "one client alone, whose every reply the model predicts, across stops, restarts and panics",
    draw: |dice| {
        let config = configuration(dice);
        let pace = Pace { commands_max: dice.pick(&[1, 4, 24]), ..Pace::draw(dice, 40) };
        let clients = vec![soloist(dice, "soloist", pace)];
        let kinds = [Kind::Stop, Kind::Stop, Kind::RestartStorage, Kind::WriterPanic, Kind::Kill, Kind::Cold];
        let count = dice.pick(&[0, 0, 1, 2]);
        let faults = faults::draw(dice, &kinds, count, 300);
        Sketch { config, clients, faults, heal_ms: 0 }
    },
};
