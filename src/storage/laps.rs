//! Time and counts of commands that one thread runs in a row. The clock is read once between two commands: the end of one
//! is the beginning of the next, and by the same reading the next judges what has expired. Of commands so short that reading
//! it costs a part of what they take, several in a row share a lap.
//!
//! Nobody may wait between two laps. What was counted becomes visible at a flush, and that has to come before the replies.

use std::sync::Arc;
use std::time::Duration;

use crate::env::Clock;
use crate::limits;
use crate::observe::{CommandCounters, Line, Tally};

/// See the head of this file. What it counted is flushed when it is dropped.
pub struct Laps<'c> {
    clock: &'c dyn Clock,
    /// When this lap began, on the monotonic clock. `None`: nobody looked.
    at: Option<Duration>,
    /// The same moment by both clocks: monotonic, Unix time.
    both: Option<(Duration, Duration)>,
    tally: Tally,
    /// The command that runs shares its lap with its like.
    shares: bool,
    /// What has run in this lap.
    row: Option<Row>,
    /// What monitors are to be shown of these commands, once they are over for good.
    lines: Vec<Line>,
}

/// Calls of one command.
struct Row {
    counters: Arc<CommandCounters>,
    calls: u64,
    failed: u64,
}

impl<'c> Laps<'c> {
    pub fn begin(clock: &'c dyn Clock) -> Laps<'c> {
        let (tally, lines) = (Tally::default(), Vec::new());
        Laps { clock, at: None, both: None, tally, shares: false, row: None, lines }
    }

    /// Begins at `now`, which the caller has just read.
    pub fn begin_at(now: Duration, clock: &'c dyn Clock) -> Laps<'c> {
        let mut laps = Laps::begin(clock);
        laps.at = Some(now);
        laps
    }

    /// When this lap began, on the monotonic clock.
    pub fn now(&mut self) -> Duration {
        *self.at.get_or_insert_with(|| self.clock.now())
    }

    /// When this lap began as Unix time, in milliseconds. That the wall clock was set meanwhile is noticed by the next [`Laps`].
    pub fn unix_ms(&mut self) -> u64 {
        let now = self.now();
        let (then, unix_then) = *self.both.get_or_insert_with(|| (now, self.clock.unix_time()));
        (unix_then + now.saturating_sub(then)).as_millis() as u64
    }

    /// Says before a command runs whether it shares its lap with equal ones, before and after it: then nobody is told how
    /// long it took by itself.
    pub fn share(&mut self, counters: &Arc<CommandCounters>, shares: bool) {
        self.shares = shares;
        let goes_on = |row: &Row| {
            shares && row.calls < limits::COMMANDS_TIMED_TOGETHER_MAX && Arc::ptr_eq(&row.counters, counters)
        };
        if self.row.as_ref().is_some_and(|row| !goes_on(row)) {
            self.end_row();
        }
    }

    /// Ends the lap of commands that share it.
    fn end_row(&mut self) {
        let Some(Row { counters, calls, failed }) = self.row.take() else { return };
        let (began, now) = (self.now(), self.clock.moment());
        self.at = Some(now);
        self.tally.record_all(&counters, calls, now.saturating_sub(began), failed);
    }

    /// Monitors are to see this, unless all of it is done again.
    pub fn show(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// Hands over what monitors are to see.
    pub fn take_lines(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.lines)
    }

    /// Ends a lap in which a command ran, and counts it. Returns how long it took: of one that shares its lap, nothing.
    pub fn end(&mut self, counters: &Arc<CommandCounters>, failed: bool) -> Duration {
        if self.shares {
            if !cfg!(feature = "unmeasured") {
                let new = || Row { counters: counters.clone(), calls: 0, failed: 0 };
                let row = self.row.get_or_insert_with(new);
                row.calls += 1;
                row.failed += u64::from(failed);
            }
            return Duration::ZERO;
        }
        if cfg!(feature = "unmeasured") {
            // The next one looks by itself.
            self.at = None;
            return Duration::ZERO;
        }
        let (began, now) = (self.now(), self.clock.now());
        self.at = Some(now);
        let took = now.saturating_sub(began);
        self.tally.record(counters, took, failed);
        took
    }
}

impl Drop for Laps<'_> {
    fn drop(&mut self) {
        self.end_row();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::env::BoxFuture;

    /// Each look at it takes a microsecond.
    #[derive(Default)]
    struct Ticking(std::sync::atomic::AtomicU64);

    impl Clock for Ticking {
        fn now(&self) -> Duration {
            Duration::from_micros(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
        }

        fn unix_time(&self) -> Duration {
            Duration::ZERO
        }

        fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
            unreachable!("nobody sleeps here")
        }
    }

    #[test]
    fn commands_that_share_a_lap_are_all_counted_and_share_its_time() {
        let (clock, [short, long]): (Ticking, [Arc<CommandCounters>; 2]) = Default::default();
        let looks = Cell::new(0);
        let mut laps = Laps::begin_at(clock.now(), &clock);
        let run = |laps: &mut Laps<'_>, counters: &Arc<CommandCounters>, shares, failed| {
            laps.share(counters, shares);
            laps.end(counters, failed);
            looks.set(clock.0.load(std::sync::atomic::Ordering::Relaxed));
        };
        for call in 0..limits::COMMANDS_TIMED_TOGETHER_MAX + 3 {
            run(&mut laps, &short, true, call == 2);
        }
        assert_eq!(looks.get(), 2, "at the beginning, and when they were too many");
        run(&mut laps, &long, false, false);
        assert_eq!(looks.get(), 4, "the others' lap ended before, its own after it");
        run(&mut laps, &short, true, true);
        assert!(short.calls() < limits::COMMANDS_TIMED_TOGETHER_MAX + 4, "the last is not counted yet");
        drop(laps);
        let seen = |counters: &CommandCounters| (counters.calls(), counters.failed.get(), counters.time().as_micros());
        assert_eq!(seen(&short), (limits::COMMANDS_TIMED_TOGETHER_MAX + 4, 2, 3));
        assert_eq!(seen(&long), (1, 0, 1));
    }
}
