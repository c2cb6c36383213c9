//! The door of randomness: seeds that follow from the run's.

use std::sync::Mutex;

use bulkhead::env::RandomSource;

use crate::dice::Dice;

pub struct SimRandom(Mutex<Dice>);

impl SimRandom {
    pub fn new(dice: Dice) -> SimRandom {
        SimRandom(Mutex::new(dice))
    }
}

impl RandomSource for SimRandom {
    fn seed(&self) -> u64 {
        self.0.lock().expect("a draw does not panic").draw()
    }
}
