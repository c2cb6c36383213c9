//! Time and counts of commands that one thread runs in a row. The clock is read once between two commands: the end of one
//! is the beginning of the next, and by the same reading the next judges what has expired.
//!
//! Nobody may wait between two laps. What was counted becomes visible at a flush, and that has to come before the replies.

use std::sync::Arc;
use std::time::Duration;

use crate::env::Clock;
use crate::observe::{CommandCounters, Line, Tally};

/// See the head of this file. What it counted is flushed when it is dropped.
pub struct Laps<'c> {
    clock: &'c dyn Clock,
    /// When this lap began, on the monotonic clock. `None`: nobody looked.
    at: Option<Duration>,
    /// The same moment by both clocks: monotonic, Unix time.
    both: Option<(Duration, Duration)>,
    tally: Tally,
    /// What monitors are to be shown of these commands, once they are over for good.
    lines: Vec<Line>,
}

impl<'c> Laps<'c> {
    pub fn begin(clock: &'c dyn Clock) -> Laps<'c> {
        Laps { clock, at: None, both: None, tally: Tally::default(), lines: Vec::new() }
    }

    /// Begins at `now`, which the caller has just read.
    pub fn begin_at(now: Duration, clock: &'c dyn Clock) -> Laps<'c> {
        Laps { at: Some(now), ..Laps::begin(clock) }
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

    /// Monitors are to see this, unless all of it is done again.
    pub fn show(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// Hands over what monitors are to see.
    pub fn take_lines(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.lines)
    }

    /// Ends a lap in which a command ran, and counts it. Returns how long it took.
    pub fn end(&mut self, counters: &Arc<CommandCounters>, failed: bool) -> Duration {
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
