//! Draws what befalls the server.

use std::time::Duration;

use bulkhead::failpoints;

use crate::dice::Dice;
use crate::plan::{Call, Fault, Place};

/// Kinds of faults that a run can take part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Stall,
    Hang,
    NoSpace,
    IoError,
    SyncFails,
    Slow,
    Damage,
    Cold,
    WriterPanic,
    WriterHang,
    ReaderPanic,
    SyncPanic,
    Stop,
    Kill,
    PowerCut,
    RestartStorage,
    Partition,
    Hold,
    ClockJump,
    Failpoint,
}

pub const ALL: &[Kind] = &[
    Kind::Stall,
    Kind::Hang,
    Kind::NoSpace,
    Kind::IoError,
    Kind::SyncFails,
    Kind::Slow,
    Kind::Damage,
    Kind::Cold,
    Kind::WriterPanic,
    Kind::WriterHang,
    Kind::ReaderPanic,
    Kind::SyncPanic,
    Kind::Stop,
    Kind::Kill,
    Kind::PowerCut,
    Kind::RestartStorage,
    Kind::Partition,
    Kind::Hold,
    Kind::ClockJump,
    Kind::Failpoint,
    Kind::Failpoint,
    Kind::Failpoint,
];

/// Some of the kinds: each run another few, so that rare combinations are not rare.
pub fn some(dice: &mut Dice, kinds: &[Kind], most: u64) -> Vec<Kind> {
    (0..dice.between(0..=most)).map(|_| dice.pick(kinds)).collect()
}

/// Faults of these kinds within a time.
pub fn draw(dice: &mut Dice, kinds: &[Kind], count: u64, within_ms: u64) -> Vec<(u64, Fault)> {
    if kinds.is_empty() {
        return Vec::new();
    }
    (0..count).map(|_| (dice.between(5..=within_ms), one(dice, kinds))).collect()
}

fn one(dice: &mut Dice, kinds: &[Kind]) -> Fault {
    // Short, long, and until everything is healed.
    let for_ms = match dice.index(5) {
        0 | 1 => dice.between(1..=100),
        2 => dice.between(100..=1000),
        3 => dice.between(1000..=4000),
        _ => 0,
    };
    let nth = if dice.one_in(2) { 1 } else { dice.between(2..=30) };
    let down_ms = dice.pick(&[0, 0, 1, 10, 100, 1000]);
    match dice.pick(kinds) {
        Kind::Stall => Fault::Stall { for_ms },
        Kind::Hang => Fault::Hang { for_ms },
        Kind::NoSpace => Fault::NoSpace { for_ms },
        Kind::IoError => Fault::IoError { for_ms },
        Kind::SyncFails => Fault::SyncFails { for_ms },
        Kind::Slow => Fault::Slow { for_ms, each_ms: dice.pick(&[1, 5, 20, 100]) },
        Kind::Damage => Fault::Damage { for_ms, one_in: dice.pick(&[1, 4, 16]) },
        Kind::Cold => Fault::Cold { for_ms, one_in: dice.pick(&[1, 2, 4]) },
        Kind::WriterPanic => Fault::Panic { call: dice.pick(&[Call::BeforeWrite, Call::AfterWrite]), nth },
        Kind::WriterHang => writer_hang(dice, for_ms),
        Kind::ReaderPanic => Fault::Panic { call: dice.pick(&[Call::Read, Call::Snapshot]), nth },
        Kind::SyncPanic => Fault::Panic { call: Call::Sync, nth: 1 },
        Kind::Stop => Fault::Stop { down_ms },
        Kind::Kill => Fault::Kill { down_ms },
        Kind::PowerCut => {
            let keep_percent = dice.pick(&[0, 0, 50, 90, 100]);
            match dice.one_in(2) {
                true => Fault::PowerCut { down_ms, keep_percent },
                false => Fault::KillThenPowerCut { down_ms, keep_percent },
            }
        }
        Kind::RestartStorage => Fault::RestartStorage,
        Kind::Partition => Fault::Partition { machine: dice.between(0..=1), for_ms },
        Kind::Hold => Fault::Hold { for_ms },
        Kind::ClockJump => Fault::ClockJump { by_ms: dice.between(0..=8000) as i64 - 4000 },
        Kind::Failpoint => failpoint(dice, for_ms),
    }
}

/// The writer stands still on its way to a commit, or within it.
fn writer_hang(dice: &mut Dice, for_ms: u64) -> Fault {
    let place = dice.pick(&["writer.receive", "writer.before-commit", "writer.before-commit", "writer.after-commit"]);
    let stall = Duration::from_millis(dice.pick(&[150, 400, 1200, 3000]));
    Fault::Failpoint {
        place: Place::named(place).expect("a place of the catalogue"),
        what: failpoints::Fault::Stall(stall),
        times: dice.pick(&[1, 1, 2, 5]),
        for_ms,
    }
}

/// A group of writes, or the next few, is not committed.
pub fn of_a_group(dice: &mut Dice) -> Fault {
    let for_ms = dice.between(10..=100);
    let refused = |what, times| {
        let place = Place::named("engine.write").expect("a place of the catalogue");
        Fault::Failpoint { place, what, times, for_ms }
    };
    match dice.index(4) {
        0 => Fault::NoSpace { for_ms },
        1 => Fault::Panic { call: Call::BeforeWrite, nth: dice.between(1..=3) },
        2 => refused(failpoints::Fault::NoSpace, dice.between(1..=3)),
        _ => refused(failpoints::Fault::WriteStall, dice.between(1..=3)),
    }
}

/// Any place of the catalogue, armed with anything that it says of itself.
fn failpoint(dice: &mut Dice, for_ms: u64) -> Fault {
    let places: Vec<Place> = Place::all().collect();
    let place = dice.pick(&places);
    let what = match dice.pick(&place.words()) {
        "stall" => failpoints::Fault::Stall(Duration::from_millis(dice.pick(&[5, 20, 300, 1500, 4000]))),
        word => word.parse().expect("the catalogue's own word"),
    };
    // For all passes only what a server can live with for long.
    let may_last = matches!(what, failpoints::Fault::WriteStall | failpoints::Fault::NoSpace);
    let times = if may_last && dice.one_in(2) { 0 } else { dice.pick(&[1, 1, 2, 5, 20]) };
    Fault::Failpoint { place, what, times, for_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_the_catalogue_says_what_it_can_be_armed_with() {
        assert_eq!(Place::all().count(), failpoints::CATALOGUE.len());
        assert!(Place::all().all(|place| !place.words().is_empty()), "a place that no plan can arm");
        let sync = Place::named("engine.sync").expect("there is such a place");
        assert_eq!(sync.words(), ["sync", "io", "no-space"]);
    }
}
