//! Rates "right now": INFO's `instantaneous_*`, the mean of the last 16 samples, taken ten times a second, as in Redis.

use std::time::Duration;

use parking_lot::Mutex;

/// How often a sample should be taken.
pub const SAMPLE_INTERVAL: Duration = Duration::from_millis(100);

const SAMPLES: usize = 16;

/// Turns counters that only grow into rates per second. Between samples nothing is computed, so a rate lags by at most
/// [`SAMPLE_INTERVAL`], and reading one costs the same whatever the load.
#[derive(Debug, Default)]
pub struct Sampler(Mutex<[Metric; Rate::COUNT]>);

/// What is sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    Commands,
    InputBytes,
    OutputBytes,
}

impl Rate {
    const COUNT: usize = 3;
}

#[derive(Clone, Copy, Debug, Default)]
struct Metric {
    last_at: Duration,
    last_reading: u64,
    per_second: [u64; SAMPLES],
    next: usize,
}

impl Sampler {
    /// Takes one sample at monotonic time `now`; `readings` are the counters, in the order of [`Rate`].
    pub fn sample(&self, now: Duration, readings: [u64; Rate::COUNT]) {
        let mut metrics = self.0.lock();
        for (metric, reading) in metrics.iter_mut().zip(readings) {
            metric.sample(now, reading);
        }
    }

    /// The present rate, per second.
    pub fn per_second(&self, rate: Rate) -> u64 {
        let samples = self.0.lock()[rate as usize].per_second;
        samples.iter().sum::<u64>() / SAMPLES as u64
    }

    /// CONFIG RESETSTAT: the counters start again at zero.
    pub fn reset(&self) {
        let mut metrics = self.0.lock();
        for metric in metrics.iter_mut() {
            *metric = Metric { last_at: metric.last_at, ..Metric::default() };
        }
    }
}

impl Metric {
    fn sample(&mut self, now: Duration, reading: u64) {
        let elapsed_us = now.saturating_sub(self.last_at).as_micros() as u64;
        if elapsed_us == 0 {
            return;
        }
        let grown = reading.saturating_sub(self.last_reading);
        self.per_second[self.next] = (u128::from(grown) * 1_000_000 / u128::from(elapsed_us)) as u64;
        self.next = (self.next + 1) % SAMPLES;
        (self.last_at, self.last_reading) = (now, reading);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_load_shows_its_rate_after_a_full_ring_and_nothing_a_ring_after_it_ends() {
        let sampler = Sampler::default();
        let mut total = 0;
        for tick in 1..=SAMPLES as u32 {
            total += 50;
            sampler.sample(SAMPLE_INTERVAL * tick, [total, total * 10, 0]);
        }
        assert_eq!(sampler.per_second(Rate::Commands), 500);
        assert_eq!(sampler.per_second(Rate::InputBytes), 5000);
        assert_eq!(sampler.per_second(Rate::OutputBytes), 0);
        for tick in 17..=32 {
            sampler.sample(SAMPLE_INTERVAL * tick, [total, total * 10, 0]);
        }
        assert_eq!(sampler.per_second(Rate::Commands), 0);
    }

    #[test]
    fn late_samples_and_counters_that_were_reset_do_not_distort_a_rate() {
        let sampler = Sampler::default();
        sampler.sample(Duration::from_secs(2), [3200, 0, 0]);
        assert_eq!(sampler.per_second(Rate::Commands), 1600 / SAMPLES as u64);
        // Twice at the same moment: the second says nothing.
        sampler.sample(Duration::from_secs(2), [9999, 0, 0]);
        assert_eq!(sampler.per_second(Rate::Commands), 1600 / SAMPLES as u64);
        sampler.reset();
        sampler.sample(Duration::from_secs(3), [16, 0, 0]);
        assert_eq!(sampler.per_second(Rate::Commands), 1);
    }
}
