//! What the two runtimes and the channel between them count about themselves: [`RuntimeMetrics`], [`ChannelMetrics`] and
//! [`StorageMetrics`].
//!
//! Everyone on the request's path writes here, so it must never lock, allocate (but for a histogram's first value) or do
//! more than a few relaxed additions. Figures that someone else keeps anyway (the depth of a queue, what the engine says)
//! are not copied here: whoever reports reads them where they are.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::{Counter, Histogram, PoolUsage, ProcessUsage};

/// The process' two runtimes: how long each stage of a request takes, and the processor time of each thread pool. How long
/// commands run is in [`CommandCounters`](super::CommandCounters).
#[derive(Debug, Default)]
pub struct RuntimeMetrics {
    /// Turning the bytes of one read into commands.
    pub decode: Histogram,
    /// From sending a request to its start by a writer or reader.
    pub queue: Histogram,
    /// Writing one group to the engine.
    pub commit: Histogram,
    /// From the end of a request in storage until the socket has taken its last reply.
    pub reply: Histogram,
    /// From sending a request until the socket has taken its last reply: what a client waits, but for its network.
    pub request: Histogram,
    /// Connections that ended.
    pub connections_closed: Counter,
    /// Network runtimes that live: two while connections move from one to the other, else one.
    pub network_runtimes: Counter,
    /// Times that a connection moved to another network runtime.
    pub connections_moved: Counter,
    /// How late the network runtime's sweeper woke last, in microseconds: how busy its threads are.
    pub network_lag_us: Counter,
    /// As the sweeper last saw them, in bytes: the fullest read buffer, the fullest buffer of replies, and all together.
    pub input_buffer_max: Counter,
    pub output_buffer_max: Counter,
    pub client_buffers_bytes: Counter,
    /// Memory of the process' own when it began to serve.
    pub startup_bytes: Counter,
    /// Threads of the storage runtime that panicked and were started again.
    pub threads_restarted: Counter,
    /// Readers that did not come back, and in whose place another was started.
    pub threads_replaced: Counter,
    /// Storage threads that do not come back, replaced or not.
    pub threads_hung: Counter,
    /// Times that the storage side was started, the first included.
    pub storage_starts: Counter,
    /// What the process uses, and processor time by pool of threads, as last read: within the last second.
    pub process: ArcSwap<ProcessUsage>,
    pub pools: ArcSwap<Vec<PoolUsage>>,
}

/// The requests that crossed, and how each ended. Of those sent, each is in flight or ended in exactly one way.
#[derive(Debug, Default)]
pub struct ChannelMetrics {
    pub sent: Counter,
    /// With its result, or with an error of its own.
    pub answered: Counter,
    /// Taken back at its deadline before it started: certainly not executed.
    pub withdrawn: Counter,
    /// Told "in doubt": it may have been executed.
    pub in_doubt: Counter,
    /// Dropped by storage before it started, or a read that storage did not finish: its client was told so.
    pub failed: Counter,
    /// Its connection ended before its answer came.
    pub abandoned: Counter,
    /// Sent, and not ended yet.
    pub in_flight: Counter,
    /// Still running when its deadline passed; its result, when it came, was thrown away.
    pub late: Counter,
    /// Never sent: too many connections waited already, or storage is gone.
    pub refused: Counter,
    /// Never sent: waited for room until its deadline.
    pub timed_out: Counter,
    /// Sent again: they provably had no effect, and time was left.
    pub retried: Counter,
    /// Never sent: the circuit breaker was open.
    pub shed: Counter,
    /// Times that the circuit breaker opened.
    pub breaker_opened: Counter,
    /// Times that a connection had to wait because the channel was full.
    pub full: Counter,
    /// Commands in one request.
    pub operations: SizeHistogram,
    /// Bytes of large replies that their clients have not read yet.
    pub large_reply_bytes: Counter,
}

/// Writer, readers and engine, as the storage runtime sees them.
#[derive(Debug, Default)]
pub struct StorageMetrics {
    /// Groups committed, and the operations in them: their ratio is the batch efficiency (R2.2).
    pub groups_committed: Counter,
    pub operations_committed: Counter,
    /// Groups that the engine refused.
    pub groups_failed: Counter,
    /// Operations in one group, and bytes in one write batch.
    pub group_operations: SizeHistogram,
    pub group_bytes: SizeHistogram,
    /// Times that the engine had stopped writes, and for how long together, in microseconds.
    pub stalls: Counter,
    pub stalled_us: Counter,
    /// Commands that the cache of records answered on the network runtime, without a request.
    pub reads_from_memory: Counter,
    /// Requests answered by readers.
    pub requests_read: Counter,
    /// Reads that had to be repeated on a reader that may wait for the disk.
    pub reads_from_disk: Counter,
    /// Time that the writer, and all readers together, spent working, in nanoseconds.
    pub writer_busy_ns: Counter,
    pub reader_busy_ns: Counter,
    /// Since when the writer has been at what it is at, in microseconds on the monotonic clock, plus one; 0: it waits for
    /// work.
    pub writer_busy_since_us: Counter,
    /// Syncs of the WAL, those that failed, and how long they took. Synced commits are in [`RuntimeMetrics::commit`].
    pub syncs: Counter,
    pub syncs_failed: Counter,
    pub sync: Histogram,
    /// Bytes of the WAL's files and of all files of the data directory, and what is free beside them, as last read.
    pub wal_bytes: Counter,
    pub directory_bytes: Counter,
    pub free_bytes: Counter,
    pub disk_bytes: Counter,
    /// What is to be kept free, and 1 while less is: then commands that take room are refused, and how many were.
    pub reserve_bytes: Counter,
    pub reserve_breached: Counter,
    pub refused_for_room: Counter,
    /// Bytes a second that pacing holds writes to (0: it does not), and how long it has held the writer, in microseconds.
    pub pace_bytes_per_second: Counter,
    pub paced_us: Counter,
}

impl StorageMetrics {
    /// For how long the writer has been at what it is at.
    pub fn writer_busy_for(&self, now: Duration) -> Duration {
        match self.writer_busy_since_us.get() {
            0 => Duration::ZERO,
            since_us => now.saturating_sub(Duration::from_micros(since_us - 1)),
        }
    }
}

/// Counts sizes by power of two: fine enough for what is said of batches, and small enough to be always there.
#[derive(Debug, Default)]
pub struct SizeHistogram {
    /// How many were 0, 1, 2–3, 4–7 …; the last one takes all that is larger.
    counts: [AtomicU64; SizeHistogram::BUCKETS],
    total: AtomicU64,
}

impl SizeHistogram {
    const BUCKETS: usize = 32;

    pub fn record(&self, size: u64) {
        if cfg!(feature = "unmeasured") {
            return;
        }
        let bucket = size.checked_ilog2().map_or(0, |exponent| exponent as usize + 1).min(Self::BUCKETS - 1);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.total.fetch_add(size, Ordering::Relaxed);
    }

    /// (upper bound, how many were at most that), up to the largest that occurred, and the sum of all.
    pub fn cumulative(&self) -> (Vec<(u64, u64)>, u64) {
        let counts: Vec<u64> = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let used = counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        let mut below = 0;
        let rows = counts[..used].iter().enumerate().map(|(bucket, count)| {
            below += count;
            ((1u64 << bucket) - 1, below)
        });
        (rows.collect(), self.total.load(Ordering::Relaxed))
    }

    pub fn mean(&self) -> f64 {
        let count: u64 = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        if count == 0 { 0.0 } else { self.total.load(Ordering::Relaxed) as f64 / count as f64 }
    }
}

/// A duration in nanoseconds, for a counter of busy time.
pub fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_fall_between_powers_of_two() {
        let sizes = SizeHistogram::default();
        assert_eq!((sizes.cumulative(), sizes.mean()), ((vec![], 0), 0.0));
        for size in [0, 1, 2, 3, 4, 7, 8, 100] {
            sizes.record(size);
        }
        let rows = vec![(0, 1), (1, 2), (3, 4), (7, 6), (15, 7), (31, 7), (63, 7), (127, 8)];
        assert_eq!(sizes.cumulative(), (rows, 125));
        assert_eq!(sizes.mean(), 125.0 / 8.0);
        sizes.record(u64::MAX / 2);
        assert_eq!(sizes.cumulative().0.last(), Some(&((1 << 31) - 1, 9)));
    }
}
