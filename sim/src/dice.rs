//! Where every choice of a run comes from: generators that the seed decides, one for each user, so that one more draw
//! here does not change what is drawn there.

use std::ops::RangeInclusive;
use std::time::Duration;

use bulkhead::env::Random;

/// A seeded generator with the draws that a simulation needs.
#[derive(Clone, Debug)]
pub struct Dice(Random);

impl Dice {
    /// The dice of one user of a run.
    pub fn named(seed: u64, name: &str) -> Dice {
        let mut mixed = Random::from_seed(seed).next_u64();
        for byte in name.bytes() {
            mixed = Random::from_seed(mixed ^ u64::from(byte)).next_u64();
        }
        Dice(Random::from_seed(mixed))
    }

    pub fn fork(&mut self) -> Dice {
        Dice(Random::from_seed(self.draw()))
    }

    pub fn draw(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// From a range whose bias against its upper end nobody will notice.
    pub fn between(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (start, end) = range.into_inner();
        start + self.draw() % (end - start + 1)
    }

    pub fn index(&mut self, len: usize) -> usize {
        (self.draw() % len as u64) as usize
    }

    pub fn one_in(&mut self, count: u64) -> bool {
        self.draw().is_multiple_of(count)
    }

    pub fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())].clone()
    }

    pub fn millis(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.between(range))
    }
}
