//! How long things took, in buckets that are fine enough for percentiles and few enough to have one set per command.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Durations below `2^MIN_EXPONENT` ns (a microsecond) share one bucket, those from `2^MAX_EXPONENT` ns (17 s) on
/// another; in between, every power of two is cut into `2^PRECISION_BITS` buckets, so a percentile is 6 % off at most.
const MIN_EXPONENT: u32 = 10;
const MAX_EXPONENT: u32 = 34;
const PRECISION_BITS: u32 = 4;
const BUCKETS: usize = (((MAX_EXPONENT - MIN_EXPONENT) as usize) << PRECISION_BITS) + 2;

/// Counts durations. Recording is two atomic additions; until the first there are no buckets, as most commands of a
/// server are never called.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Apart from this struct: threads that record in its neighbours share no cache line with it.
    recorded: OnceLock<Box<Recorded>>,
}

#[derive(Debug)]
struct Recorded {
    total_ns: AtomicU64,
    counts: [AtomicU64; BUCKETS],
}

impl Histogram {
    pub fn record(&self, took: Duration) {
        if cfg!(feature = "unmeasured") {
            return;
        }
        self.add(bucket(took.as_nanos()), 1);
        self.add_time(took.as_nanos() as u64);
    }

    /// Counts `count` durations of one [`bucket`]. What they took together is left to [`Histogram::add_time`].
    pub(super) fn add(&self, bucket: usize, count: u64) {
        self.recorded().counts[bucket].fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn add_time(&self, ns: u64) {
        self.recorded().total_ns.fetch_add(ns, Ordering::Relaxed);
    }

    fn recorded(&self) -> &Recorded {
        let nothing =
            || Box::new(Recorded { total_ns: AtomicU64::new(0), counts: [const { AtomicU64::new(0) }; BUCKETS] });
        self.recorded.get_or_init(nothing)
    }

    /// How often each bucket was counted; nothing if none was.
    fn counts(&self) -> impl Iterator<Item = u64> {
        let counts = self.recorded.get().into_iter().flat_map(|recorded| &recorded.counts);
        counts.map(|count| count.load(Ordering::Relaxed))
    }

    /// How many were recorded so far.
    pub fn count(&self) -> u64 {
        self.counts().sum()
    }

    /// What they took together.
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.recorded.get().map_or(0, |recorded| recorded.total_ns.load(Ordering::Relaxed)))
    }

    pub fn reset(&self) {
        if let Some(Recorded { total_ns, counts }) = self.recorded.get().map(|recorded| &**recorded) {
            counts.iter().chain([total_ns]).for_each(|count| count.store(0, Ordering::Relaxed));
        }
    }

    /// What was recorded so far. Taken while others record, it may miss some of the latest.
    pub fn distribution(&self) -> Distribution {
        Distribution { counts: self.counts().collect(), total: self.total() }
    }

    /// See [`Distribution::percentile`].
    pub fn percentile(&self, percent: f64) -> Duration {
        self.distribution().percentile(percent)
    }

    /// See [`Distribution::cumulative`].
    pub fn cumulative(&self) -> Vec<(u64, u64)> {
        self.distribution().cumulative()
    }
}

/// Durations that were counted up to some moment, or between two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// Empty if there are none.
    counts: Vec<u64>,
    /// Their sum.
    pub total: Duration,
}

impl Distribution {
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds what was recorded elsewhere.
    pub fn merge(&mut self, other: &Distribution) {
        self.counts.resize(self.counts.len().max(other.counts.len()), 0);
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.total += other.total;
    }

    /// What was recorded after `earlier`. A reset in between makes it what was recorded after the reset.
    pub fn since(&self, earlier: &Distribution) -> Distribution {
        if self.total < earlier.total || self.counts.len() < earlier.counts.len() {
            return self.clone();
        }
        let before = earlier.counts.iter().chain(std::iter::repeat(&0));
        let counts = self.counts.iter().zip(before).map(|(now, then)| now.saturating_sub(*then)).collect();
        Distribution { counts, total: self.total - earlier.total }
    }

    /// How many took less than `2^exponent` nanoseconds.
    pub fn below(&self, exponent: u32) -> u64 {
        self.counts.iter().take(end_of(exponent.max(MIN_EXPONENT))).sum()
    }

    /// How long the given share of what was recorded took at most: the upper end of the bucket it falls into. Zero if
    /// nothing was recorded.
    pub fn percentile(&self, percent: f64) -> Duration {
        self.percentiles([percent])[0]
    }

    /// [`Distribution::percentile`] of each of `percents`, which grow, in one walk.
    pub fn percentiles<const N: usize>(&self, percents: [f64; N]) -> [Duration; N] {
        let all = self.count();
        let mut seen = 0;
        let mut counts = self.counts.iter().enumerate().peekable();
        percents.map(|percent| {
            let rank = ((all as f64 * percent / 100.0).ceil() as u64).max(1);
            while let Some((index, count)) = counts.peek() {
                if seen + **count >= rank {
                    return Duration::from_nanos(upper_ns(*index));
                }
                seen += **count;
                counts.next();
            }
            Duration::ZERO
        })
    }

    /// (microseconds, how many took less) at every power of two where the second number grows. The microseconds are the
    /// labels of Redis' histograms, which lie a hundredth above the power of two in nanoseconds.
    pub fn cumulative(&self) -> Vec<(u64, u64)> {
        let mut below = 0;
        let mut rows: Vec<(u64, u64)> = Vec::new();
        for exponent in MIN_EXPONENT..=MAX_EXPONENT + 1 {
            let end = end_of(exponent);
            let start = if exponent == MIN_EXPONENT { 0 } else { end_of(exponent - 1) };
            let more: u64 = self.counts.get(start..end).into_iter().flatten().sum();
            if more > 0 {
                below += more;
                let bound = 1u64 << exponent;
                rows.push(((bound + bound / 128 - 1) / 1000, below));
            }
        }
        rows
    }
}

/// Where a duration of `ns` nanoseconds is counted.
pub(super) fn bucket(ns: u128) -> usize {
    match ns.checked_ilog2() {
        None => 0,
        Some(exponent) if exponent < MIN_EXPONENT => 0,
        Some(exponent) if exponent >= MAX_EXPONENT => BUCKETS - 1,
        Some(exponent) => {
            let fine = (ns >> (exponent - PRECISION_BITS)) as usize & ((1 << PRECISION_BITS) - 1);
            1 + (((exponent - MIN_EXPONENT) as usize) << PRECISION_BITS) + fine
        }
    }
}

/// The buckets of durations below `2^exponent` ns are those before this one.
fn end_of(exponent: u32) -> usize {
    if exponent > MAX_EXPONENT { BUCKETS } else { 1 + (((exponent - MIN_EXPONENT) as usize) << PRECISION_BITS) }
}

/// The longest duration that falls into a bucket, in nanoseconds; of the last bucket, the shortest.
fn upper_ns(index: usize) -> u64 {
    match index.checked_sub(1) {
        None => (1 << MIN_EXPONENT) - 1,
        Some(_) if index == BUCKETS - 1 => 1 << MAX_EXPONENT,
        Some(index) => {
            let (octave, fine) = (index >> PRECISION_BITS, index & ((1 << PRECISION_BITS) - 1));
            let shift = MIN_EXPONENT + octave as u32 - PRECISION_BITS;
            (((1 << PRECISION_BITS) + fine as u64 + 1) << shift) - 1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_in_a_bucket_that_ends_at_most_a_sixteenth_above_it() {
        for ns in (0..40).flat_map(|exponent| [1u64 << exponent, (1 << exponent) + 7, (2 << exponent) - 1]) {
            let index = bucket(u128::from(ns));
            if (1 << MIN_EXPONENT..1 << MAX_EXPONENT).contains(&ns) {
                let upper = upper_ns(index);
                assert!(ns <= upper && upper - ns <= ns / 16, "{ns} {upper}");
            } else {
                assert_eq!(index, if ns < 1 << MIN_EXPONENT { 0 } else { BUCKETS - 1 });
            }
        }
    }

    #[test]
    fn rows_grow_at_redis_own_labels_and_percentiles_follow() {
        let histogram = Histogram::default();
        assert_eq!((histogram.percentile(50.0), histogram.cumulative()), (Duration::ZERO, vec![]));
        for us in [0, 3, 3, 20, 30, 40, 500, 100_000, 2_000_000, 60_000_000] {
            histogram.record(Duration::from_micros(us));
        }
        let rows = [(1, 1), (4, 3), (33, 5), (66, 6), (528, 7), (135_266, 8), (2_164_260, 9), (34_628_173, 10)];
        assert_eq!(histogram.cumulative(), rows);
        let percentile = |percent| histogram.percentile(percent).as_micros();
        assert_eq!((percentile(1.0), percentile(50.0), percentile(70.0)), (1, 30, 507));
        assert_eq!((percentile(90.0), percentile(100.0)), (2_013_265, 17_179_869));
        let together = histogram.distribution().percentiles([1.0, 50.0, 70.0, 90.0, 90.0, 100.0]);
        assert_eq!(together.map(|time| time.as_micros()), [1, 30, 507, 2_013_265, 2_013_265, 17_179_869]);
        assert_eq!((histogram.distribution().count(), histogram.distribution().below(15)), (10, 5));
        histogram.reset();
        assert_eq!(histogram.cumulative(), []);
    }

    #[test]
    fn what_came_since_an_earlier_look_is_told_apart() {
        let histogram = Histogram::default();
        let nothing = histogram.distribution();
        histogram.record(Duration::from_millis(1));
        let earlier = histogram.distribution();
        assert_eq!(earlier.since(&nothing), earlier);
        histogram.record(Duration::from_millis(50));
        let since = histogram.distribution().since(&earlier);
        assert_eq!((since.count(), since.total), (1, Duration::from_millis(50)));
        let mut both = nothing.clone();
        both.merge(&earlier);
        both.merge(&since);
        both.merge(&nothing);
        assert_eq!(both, histogram.distribution());
        assert!(since.percentile(1.0) > Duration::from_millis(49));
        histogram.reset();
        histogram.record(Duration::from_millis(2));
        assert_eq!(histogram.distribution().since(&earlier).count(), 1);
    }
}
