//! The error log: the one place through which the server reports that something failed. Each report has a category, a
//! severity and a side, and where they are known the request's id and the client's; it is counted, and written to the log
//! as one line. Network and storage report the same request under the same id, so the two streams can be laid side by side.
//!
//! A flood of one kind must never fill the log or hide another kind: per category and severity a burst of lines passes,
//! then one a second, and what was left out is counted and told. Counts are never limited. It must never wait, and never
//! decide what happens next: whoever reports has dealt with the failure.

use std::fmt::Display;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Counter, Side};
use crate::limits::{ERROR_LINE_INTERVAL, ERROR_LINES_BURST};

/// What kind of failure it is: one kind for each that an operator treats differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// The engine failed a call, or refuses all of them after an earlier failure.
    Engine,
    /// The disk is full, or nearly so.
    Space,
    /// An fsync failed.
    Sync,
    /// Stored data is damaged.
    Corruption,
    /// The engine slows or stops writes.
    Stall,
    /// A storage thread does not come back.
    Hang,
    /// Something panicked: our bug, contained.
    Panic,
    /// A thread, or the storage side, was started anew, or could not be.
    Recovery,
    /// The circuit breaker opened.
    Breaker,
    /// A client was told that its request failed, or may have been executed.
    Request,
    /// A request was refused because too much waits already.
    Overload,
    /// Work that nobody waits for failed.
    Background,
    /// A connection could not be accepted, or a client was dropped.
    Connection,
    /// A change of the configuration was refused.
    Configuration,
}

impl Category {
    pub const ALL: [Category; 14] = [
        Category::Engine,
        Category::Space,
        Category::Sync,
        Category::Corruption,
        Category::Stall,
        Category::Hang,
        Category::Panic,
        Category::Recovery,
        Category::Breaker,
        Category::Request,
        Category::Overload,
        Category::Background,
        Category::Connection,
        Category::Configuration,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Category::Engine => "engine",
            Category::Space => "space",
            Category::Sync => "sync",
            Category::Corruption => "corruption",
            Category::Stall => "stall",
            Category::Hang => "hang",
            Category::Panic => "panic",
            Category::Recovery => "recovery",
            Category::Breaker => "breaker",
            Category::Request => "request",
            Category::Overload => "overload",
            Category::Background => "background",
            Category::Connection => "connection",
            Category::Configuration => "configuration",
        }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It was dealt with; someone may have noticed.
    Warning,
    /// Someone did not get what they asked for, or will not until it is mended.
    Error,
    /// What was acknowledged may be lost, or the server cannot go on as it is.
    Critical,
}

impl Severity {
    pub const ALL: [Severity; 3] = [Severity::Warning, Severity::Error, Severity::Critical];

    pub fn word(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Error => "error",
            Severity::Critical => "critical",
        }
    }
}

/// One failure.
#[derive(Clone, Copy)]
pub struct Report<'a> {
    category: Category,
    severity: Severity,
    side: Side,
    message: &'static str,
    error: Option<&'a dyn Display>,
    request: Option<&'a dyn Display>,
    client: Option<u64>,
    subject: Option<&'a dyn Display>,
}

impl<'a> Report<'a> {
    /// `message` says what happened, in words that stay the same: what differs goes into the fields.
    pub fn new(category: Category, severity: Severity, side: Side, message: &'static str) -> Report<'a> {
        Report { category, severity, side, message, error: None, request: None, client: None, subject: None }
    }

    /// Why.
    pub fn error(self, error: &'a dyn Display) -> Report<'a> {
        Report { error: Some(error), ..self }
    }

    /// The id of the request that it happened to.
    pub fn request(self, request: &'a dyn Display) -> Report<'a> {
        Report { request: Some(request), ..self }
    }

    /// As [`Report::request`], where it is not always known.
    pub fn request_if(self, request: Option<&'a dyn Display>) -> Report<'a> {
        Report { request, ..self }
    }

    /// The client that it happened to.
    pub fn client(self, client: u64) -> Report<'a> {
        Report { client: Some(client), ..self }
    }

    /// The thread, command or file that it is about.
    pub fn subject(self, subject: &'a dyn Display) -> Report<'a> {
        Report { subject: Some(subject), ..self }
    }
}

/// Lets a burst through, then one per interval (GCRA: one moment is all its memory), and counts what it holds back.
#[derive(Debug, Default)]
struct Valve {
    /// When it would be empty again, on the monotonic clock.
    filled_until: Duration,
    held_back: u64,
}

impl Valve {
    fn is_open(&self, now: Duration) -> bool {
        self.filled_until <= now + ERROR_LINE_INTERVAL * (ERROR_LINES_BURST - 1)
    }

    /// `Some`: the line may pass, and this many before it did not.
    fn pass(&mut self, now: Duration) -> Option<u64> {
        if !self.is_open(now) {
            self.held_back += 1;
            return None;
        }
        self.filled_until = self.filled_until.max(now) + ERROR_LINE_INTERVAL;
        Some(std::mem::take(&mut self.held_back))
    }
}

type PerKind<T> = [[T; Severity::ALL.len()]; Category::ALL.len()];

/// Of one server.
#[derive(Debug, Default)]
pub struct ErrorLog {
    valves: PerKind<Mutex<Valve>>,
    counts: [PerKind<Counter>; Side::ALL.len()],
    /// Lines that were not written, by category.
    held_back: [Counter; Category::ALL.len()],
}

impl ErrorLog {
    /// Counts a failure, and logs it unless too many of its kind were logged just before. `now`: on the monotonic clock.
    pub fn report(&self, now: Duration, report: Report<'_>) {
        let (category, severity) = (report.category as usize, report.severity as usize);
        self.counts[report.side as usize][category][severity].add(1);
        match self.valves[category][severity].lock().pass(now) {
            Some(before) => write(&report, before),
            None => self.held_back[category].add(1),
        }
    }

    /// Tells how many were held back since the last line of their kind, where none has told so since. To be called now and
    /// then, so that the end of a flood is told too.
    pub fn tell_held_back(&self, now: Duration) {
        for category in Category::ALL {
            for severity in Severity::ALL {
                let mut valve = self.valves[category as usize][severity as usize].lock();
                if valve.held_back == 0 || !valve.is_open(now) {
                    continue;
                }
                if let Some(count) = valve.pass(now) {
                    drop(valve);
                    let side = self.worst_side(category, severity);
                    write(&Report::new(category, severity, side, "more failures of this kind were not logged"), count);
                }
            }
        }
    }

    /// The side with the most reports of a kind.
    fn worst_side(&self, category: Category, severity: Severity) -> Side {
        let count = |side: Side| self.counts[side as usize][category as usize][severity as usize].get();
        Side::ALL.into_iter().max_by_key(|side| count(*side)).unwrap_or(Side::Storage)
    }

    /// How many there were of each kind that there was any of.
    pub fn counts(&self) -> Vec<(Side, Category, Severity, u64)> {
        let mut counts = Vec::new();
        for side in Side::ALL {
            for category in Category::ALL {
                for severity in Severity::ALL {
                    let count = self.counts[side as usize][category as usize][severity as usize].get();
                    if count > 0 {
                        counts.push((side, category, severity, count));
                    }
                }
            }
        }
        counts
    }

    /// Lines that were held back, of each category that there was any of.
    pub fn held_back(&self) -> Vec<(Category, u64)> {
        let all = Category::ALL.into_iter().map(|category| (category, self.held_back[category as usize].get()));
        all.filter(|(_, count)| *count > 0).collect()
    }
}

/// One line. The log shows the side as the room that a target names.
fn write(report: &Report<'_>, held_back: u64) {
    macro_rules! line {
        ($level:ident, $target:literal) => {
            tracing::$level!(
                target: $target,
                category = report.category.word(),
                severity = report.severity.word(),
                request = report.request.map(display),
                client = report.client,
                subject = report.subject.map(display),
                error = report.error.map(display),
                not_logged = (held_back > 0).then_some(held_back),
                "{}",
                report.message
            )
        };
    }
    match (report.side, report.severity) {
        (Side::Network, Severity::Warning) => line!(warn, "bulkhead::network"),
        (Side::Network, _) => line!(error, "bulkhead::network"),
        (Side::Channel, Severity::Warning) => line!(warn, "bulkhead::channel"),
        (Side::Channel, _) => line!(error, "bulkhead::channel"),
        (Side::Storage, Severity::Warning) => line!(warn, "bulkhead::storage"),
        (Side::Storage, _) => line!(error, "bulkhead::storage"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tracing::Event;
    use tracing::field::{Field, Visit};
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::{Context, SubscriberExt};

    /// Keeps what is logged, as `target field=value …`.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    impl<S: tracing::Subscriber> Layer<S> for Lines {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            struct Text(String);
            impl Visit for Text {
                fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                    self.0 += &format!(" {}={value:?}", field.name());
                }
            }
            let mut text = Text(event.metadata().target().into());
            event.record(&mut text);
            self.0.lock().push(text.0);
        }
    }

    fn logged(act: impl FnOnce(&ErrorLog)) -> Vec<String> {
        let lines = Lines::default();
        let log = ErrorLog::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines.clone()), || act(&log));
        std::mem::take(&mut *lines.0.lock())
    }

    fn stall(severity: Severity) -> Report<'static> {
        Report::new(Category::Stall, severity, Side::Storage, "writes wait")
    }

    #[test]
    fn a_line_says_all_that_is_known_and_on_which_side() {
        let lines = logged(|log| {
            let report = Report::new(Category::Request, Severity::Warning, Side::Network, "it failed");
            log.report(Duration::ZERO, report.request(&"id-1").client(7).error(&"no space"));
            log.report(Duration::ZERO, stall(Severity::Error).subject(&"sto-writer"));
        });
        assert_eq!(
            lines,
            [
                "bulkhead::network message=it failed category=\"request\" severity=\"warning\" request=id-1 client=7 \
                 error=no space",
                "bulkhead::storage message=writes wait category=\"stall\" severity=\"error\" subject=sto-writer",
            ]
        );
    }

    #[test]
    fn every_report_counts_and_a_flood_of_one_kind_fills_no_log_and_hides_no_other() {
        let burst = u64::from(ERROR_LINES_BURST);
        let lines = logged(|log| {
            for _ in 0..1000 {
                log.report(Duration::ZERO, stall(Severity::Warning));
            }
            log.report(Duration::ZERO, stall(Severity::Critical));
            log.tell_held_back(Duration::ZERO);
            // The flood goes on, at the rate at which lines pass.
            log.report(ERROR_LINE_INTERVAL, stall(Severity::Warning));
            log.report(ERROR_LINE_INTERVAL, stall(Severity::Warning));
            // And is over.
            log.tell_held_back(ERROR_LINE_INTERVAL * 2);
            log.tell_held_back(ERROR_LINE_INTERVAL * 3);
            let kinds = [(Severity::Warning, 1002), (Severity::Critical, 1)];
            let expected = kinds.map(|(severity, count)| (Side::Storage, Category::Stall, severity, count));
            assert_eq!(log.counts(), expected);
            assert_eq!(log.held_back(), [(Category::Stall, 1000 - burst + 1)]);
        });
        assert_eq!(lines.len(), ERROR_LINES_BURST as usize + 3, "{lines:#?}");
        let last = &lines[lines.len() - 3..];
        assert!(last[0].contains("critical"), "{last:?}");
        assert!(last[1].ends_with(&format!(" not_logged={}", 1000 - burst)), "{last:?}");
        assert!(last[2].contains("were not logged") && last[2].ends_with(" not_logged=1"), "{last:?}");
    }

    #[test]
    fn after_a_pause_a_whole_burst_passes_again() {
        let lines = logged(|log| {
            for second in [0, 100] {
                for _ in 0..100 {
                    log.report(Duration::from_secs(second), stall(Severity::Error));
                }
            }
        });
        assert_eq!(lines.len(), 2 * ERROR_LINES_BURST as usize);
    }

    #[test]
    fn words_are_unique() {
        let mut words: Vec<&str> = Category::ALL.into_iter().map(Category::word).collect();
        assert!(Category::ALL.iter().enumerate().all(|(place, category)| *category as usize == place));
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Category::ALL.len());
    }
}
