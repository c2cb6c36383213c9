//! Randomness that a seed decides: request ids, run ids, what RANDOMKEY draws, back-off jitter. Not for secrets.

/// Where generators come from. Each user takes one of its own, so that nobody's draws depend on another's.
pub trait RandomSource: Send + Sync {
    fn seed(&self) -> u64;
}

/// A generator: SplitMix64 (Steele, Lea, Flood 2014), small, fast, and every seed a good one.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    pub fn from_seed(seed: u64) -> Random {
        Random { state: seed }
    }

    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn next_u128(&mut self) -> u128 {
        (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_those_of_the_reference_implementation() {
        let mut random = Random::from_seed(1234567);
        let draws = [random.next_u64(), random.next_u64(), random.next_u64()];
        assert_eq!(draws, [6457827717110365317, 3203168211198807973, 9817491932198370423]);
    }
}
