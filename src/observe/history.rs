//! The last ten minutes, second by second: what the status page draws. A fixed ring; nothing in it grows with the load.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::Distribution;
use crate::limits::HISTORY_SECONDS;

/// One second of the server's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Second {
    /// When it ended.
    pub unix_ms: u64,
    pub commands: u64,
    pub input_bytes: u64,
    pub output_bytes: u64,
    pub clients: u64,
    /// Of the requests that were answered in it, in microseconds.
    pub p50_us: u64,
    pub p99_us: u64,
    pub p999_us: u64,
    /// At its end.
    pub queued_writes: u64,
    pub queued_reads: u64,
    pub in_flight: u64,
    /// How late the network runtime was, in microseconds.
    pub network_lag_us: u64,
    /// How long the writer and the readers worked, in milliseconds.
    pub writer_busy_ms: u64,
    pub reader_busy_ms: u64,
    /// 0: writes flow; 1: they are slowed; 2: they are stopped.
    pub stall: u64,
    pub flushes: u64,
    pub compactions: u64,
    pub level0_files: u64,
    /// 0 to 2, as [`super::Status`].
    pub health: u64,
}

/// Counters as they stood, to make differences of.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    pub commands: u64,
    pub input_bytes: u64,
    pub output_bytes: u64,
    pub writer_busy_ns: u64,
    pub reader_busy_ns: u64,
    pub requests: Distribution,
}

/// The seconds so far.
#[derive(Debug, Default)]
pub struct History(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    before: Totals,
    /// Oldest first.
    seconds: VecDeque<Second>,
}

impl History {
    /// Ends a second: `now` gives its momentary figures, `totals` the counters whose growth belongs to it.
    pub fn push(&self, now: Second, totals: Totals) {
        let mut ring = self.0.lock();
        let before = std::mem::replace(&mut ring.before, totals.clone());
        let requests = totals.requests.since(&before.requests);
        let [p50_us, p99_us, p999_us] = requests.percentiles([50.0, 99.0, 99.9]).map(|time| time.as_micros() as u64);
        let second = Second {
            // A counter that was reset has grown by what it is now.
            commands: totals.commands.checked_sub(before.commands).unwrap_or(totals.commands),
            input_bytes: totals.input_bytes.checked_sub(before.input_bytes).unwrap_or(totals.input_bytes),
            output_bytes: totals.output_bytes.checked_sub(before.output_bytes).unwrap_or(totals.output_bytes),
            writer_busy_ms: (totals.writer_busy_ns.saturating_sub(before.writer_busy_ns) / 1_000_000).min(1000),
            reader_busy_ms: totals.reader_busy_ns.saturating_sub(before.reader_busy_ns) / 1_000_000,
            p50_us,
            p99_us,
            p999_us,
            ..now
        };
        ring.seconds.push_back(second);
        if ring.seconds.len() > HISTORY_SECONDS {
            ring.seconds.pop_front();
        }
    }

    /// The seconds that ended after `unix_ms`, oldest first.
    pub fn since(&self, unix_ms: u64) -> Vec<Second> {
        self.0.lock().seconds.iter().filter(|second| second.unix_ms > unix_ms).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Histogram;
    use std::time::Duration;

    #[test]
    fn a_second_holds_what_grew_in_it() {
        let (history, histogram) = (History::default(), Histogram::default());
        let totals = |commands| Totals { commands, requests: histogram.distribution(), ..Totals::default() };
        histogram.record(Duration::from_millis(900));
        history.push(Second { unix_ms: 1000, ..Second::default() }, totals(5));
        histogram.record(Duration::from_micros(3));
        history.push(Second { unix_ms: 2000, clients: 2, ..Second::default() }, totals(12));
        // CONFIG RESETSTAT in between.
        history.push(Second { unix_ms: 3000, ..Second::default() }, totals(4));
        let seconds = history.since(1000);
        assert_eq!(seconds.iter().map(|second| second.commands).collect::<Vec<_>>(), [7, 4]);
        assert_eq!((seconds[0].clients, seconds[0].p999_us, seconds[1].p50_us), (2, 3, 0));
        for unix_ms in 0..HISTORY_SECONDS as u64 * 2 {
            history.push(Second { unix_ms: 4000 + unix_ms, ..Second::default() }, Totals::default());
        }
        assert_eq!(history.since(0).len(), HISTORY_SECONDS);
    }
}
