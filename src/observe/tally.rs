//! What a thread counts of the commands that it runs in a row, before everybody sees it.
//!
//! A command counted where all threads count costs an atomic addition for each figure. Of equal commands in a row, which a
//! pipeline mostly is, a tally adds up what they took by itself, and adds the sums once. It must be flushed before anyone
//! can see a reply to any of them: then every figure is exact for whoever has the replies.

use std::sync::Arc;
use std::time::Duration;

use super::CommandCounters;
use super::histogram::bucket;

/// See the head of this file. What it holds when it is dropped is added then.
#[derive(Debug, Default)]
pub struct Tally {
    row: Option<Row>,
}

/// Calls of one command.
#[derive(Debug)]
struct Row {
    counters: Arc<CommandCounters>,
    /// Calls in a row that fell into the same bucket of the histogram, and which.
    calls: u64,
    bucket: usize,
    total_ns: u64,
    failed: u64,
}

impl Tally {
    /// Counts a call that ran, and how long it took.
    pub fn record(&mut self, counters: &Arc<CommandCounters>, took: Duration, failed: bool) {
        self.record_all(counters, 1, took, u64::from(failed));
    }

    /// Counts `calls` that ran one after the other, at least one of them, and how long they took together: each counts as
    /// having taken its share.
    pub fn record_all(&mut self, counters: &Arc<CommandCounters>, calls: u64, took: Duration, failed: u64) {
        if cfg!(feature = "unmeasured") {
            return;
        }
        let ns = took.as_nanos() as u64;
        let bucket = bucket(u128::from(ns / calls));
        match &mut self.row {
            Some(row) if Arc::ptr_eq(&row.counters, counters) => {
                if row.bucket != bucket {
                    row.counters.latency.add(row.bucket, std::mem::take(&mut row.calls));
                    row.bucket = bucket;
                }
                row.calls += calls;
                row.total_ns += ns;
                row.failed += failed;
            }
            _ => {
                self.flush();
                self.row = Some(Row { counters: counters.clone(), calls, bucket, total_ns: ns, failed });
            }
        }
    }

    /// Adds what was counted to what everybody sees.
    pub fn flush(&mut self) {
        let Some(Row { counters, calls, bucket, total_ns, failed }) = self.row.take() else { return };
        counters.latency.add(bucket, calls);
        counters.latency.add_time(total_ns);
        if failed > 0 {
            counters.failed.add(failed);
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_in_a_row_reads_as_if_each_had_been_counted_by_itself() {
        let (alone, together): ([Arc<CommandCounters>; 2], [Arc<CommandCounters>; 2]) = Default::default();
        let mut tally = Tally::default();
        for (which, us, failed) in [
            (0, 3, false),
            (0, 3, true),
            (0, 90, false),
            (0, 3, false),
            (1, 0, false),
            (0, 7, true),
            (1, 5_000_000, true),
        ] {
            let took = Duration::from_micros(us);
            alone[which].record(took, failed);
            tally.record(&together[which], took, failed);
        }
        assert!(together[1].calls() < alone[1].calls(), "the last is not flushed yet");
        drop(tally);
        for (alone, together) in alone.iter().zip(&together) {
            let seen = |row: &CommandCounters| (row.calls(), row.time(), row.failed.get(), row.latency.distribution());
            assert_eq!(seen(together), seen(alone));
        }
    }
}
