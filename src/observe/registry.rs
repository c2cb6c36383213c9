//! The registry: what a figure is called, in INFO and for Prometheus, what it means and where it is read. INFO's sections,
//! `/metrics` and the periodic log line all walk the same rows, so none can say what another does not.
//!
//! A row is data; it holds no value and keeps none. What the rows read from (`S`) is the caller's.

use std::fmt::{Arguments, Display, Write};
use std::time::Duration;

use super::Distribution;

/// One figure, or one family of figures that differ in their labels.
pub struct Row<S: ?Sized + 'static> {
    /// By Prometheus' conventions: base units, `_total` for what only grows.
    pub name: &'static str,
    /// `queue="writes"`; rows that share a name stand together.
    pub labels: &'static str,
    pub kind: Kind,
    pub help: &'static str,
    /// INFO's section and the field there.
    pub info: Option<(&'static str, &'static str)>,
    /// Part of the periodic log line, under its name in INFO.
    pub logged: bool,
    pub read: fn(&S) -> Reading,
}

/// Prometheus' types of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// What a row reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// There is nothing to say now: the line is left out.
    Absent,
    Number(u64),
    Float(f64),
    /// Seconds for Prometheus; in INFO what the field's name ends in: `_ms` or `_us`.
    Time(Duration),
    /// Only with [`Kind::Histogram`]. Bounds at every `step`-th power of two.
    Durations(Distribution, Step),
    /// Only with [`Kind::Histogram`]: (upper bound, how many are at most that), and the sum of all.
    Sizes(Vec<(u64, u64)>, u64),
    /// One reading for each set of labels: names and values.
    Each(Vec<(Vec<(&'static str, String)>, Reading)>),
}

/// How fine the bounds of an exported histogram are: each is a time series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Fine = 1,
    Coarse = 2,
}

/// The first and the last bound of exported histograms: a microsecond and 17 seconds, as powers of two in nanoseconds.
const BOUNDS: (u32, u32) = (10, 34);

impl<S: ?Sized> Row<S> {
    pub const fn new(kind: Kind, name: &'static str, help: &'static str, read: fn(&S) -> Reading) -> Row<S> {
        Row { name, labels: "", kind, help, info: None, logged: false, read }
    }

    pub const fn labels(self, labels: &'static str) -> Row<S> {
        Row { labels, ..self }
    }

    pub const fn info(self, section: &'static str, field: &'static str) -> Row<S> {
        Row { info: Some((section, field)), ..self }
    }

    pub const fn logged(self) -> Row<S> {
        Row { logged: true, ..self }
    }
}

/// All rows in Prometheus' text format.
pub fn exposition<S: ?Sized>(rows: &[Row<S>], source: &S) -> String {
    let mut text = String::new();
    for family in rows.chunk_by(|row, next| row.name == next.name) {
        let mut samples = String::new();
        for row in family {
            write_samples(&mut samples, row.name, row.labels, &(row.read)(source));
        }
        if samples.is_empty() {
            continue;
        }
        let kind = match family[0].kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing to a string cannot fail.
        let _ = write!(text, "# HELP {0} {1}\n# TYPE {0} {kind}\n{samples}", family[0].name, family[0].help);
    }
    text
}

/// Gives `put` the fields of one of INFO's sections, name and value, in the order of the rows.
pub fn info_fields<S: ?Sized>(rows: &[Row<S>], section: &str, source: &S, mut put: impl FnMut(&str, Arguments<'_>)) {
    for row in rows {
        if let Some((_, field)) = row.info.filter(|(of, _)| *of == section) {
            put_fields(&mut put, field, (row.read)(source));
        }
    }
}

/// The rows that are logged now and then, as ` field=value`.
pub fn log_fields<S: ?Sized>(rows: &[Row<S>], source: &S) -> String {
    let mut line = String::new();
    let mut put = |name: &str, value: Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = write!(line, " {name}={value}");
    };
    for row in rows.iter().filter(|row| row.logged) {
        if let Some((_, field)) = row.info {
            put_fields(&mut put, field, (row.read)(source));
        }
    }
    line
}

fn put_fields(put: &mut dyn FnMut(&str, Arguments<'_>), field: &str, reading: Reading) {
    match reading {
        Reading::Absent => {}
        Reading::Number(number) => put(field, format_args!("{number}")),
        Reading::Float(number) => put(field, format_args!("{number:.2}")),
        Reading::Time(time) if field.ends_with("_us") => put(field, format_args!("{}", time.as_micros())),
        Reading::Time(time) => put(field, format_args!("{}", time.as_millis())),
        Reading::Durations(distribution, _) => {
            let us = |time: Duration| time.as_nanos() as f64 / 1000.0;
            let [p50, p99, p999] = distribution.percentiles([50.0, 99.0, 99.9]).map(us);
            put(field, format_args!("count={},p50={p50:.3},p99={p99:.3},p99.9={p999:.3}", distribution.count()));
        }
        Reading::Sizes(rows, sum) => {
            let count = rows.last().map_or(0, |(_, count)| *count);
            put(field, format_args!("count={count},sum={sum},max<={}", rows.last().map_or(0, |(bound, _)| *bound)));
        }
        Reading::Each(readings) => {
            for (labels, reading) in readings {
                let suffix: Vec<&str> = labels.iter().map(|(_, value)| value.as_str()).collect();
                put_fields(put, &format!("{field}_{}", suffix.join("_")), reading);
            }
        }
    }
}

fn write_samples(text: &mut String, name: &str, labels: &str, reading: &Reading) {
    let mut sample = |suffix: &str, more: &str, value: &dyn Display| {
        let separator = if labels.is_empty() || more.is_empty() { "" } else { "," };
        let _ = match labels.is_empty() && more.is_empty() {
            true => writeln!(text, "{name}{suffix} {value}"),
            false => writeln!(text, "{name}{suffix}{{{labels}{separator}{more}}} {value}"),
        };
    };
    match reading {
        Reading::Absent => {}
        Reading::Number(number) => sample("", "", number),
        Reading::Float(number) => sample("", "", number),
        Reading::Time(time) => sample("", "", &time.as_secs_f64()),
        Reading::Durations(distribution, step) => {
            for exponent in (BOUNDS.0..=BOUNDS.1).step_by(*step as usize) {
                let seconds = (1u64 << exponent) as f64 / 1e9;
                sample("_bucket", &format!("le=\"{seconds}\""), &distribution.below(exponent));
            }
            sample("_bucket", "le=\"+Inf\"", &distribution.count());
            sample("_sum", "", &distribution.total.as_secs_f64());
            sample("_count", "", &distribution.count());
        }
        Reading::Sizes(rows, sum) => {
            for (bound, count) in rows {
                sample("_bucket", &format!("le=\"{bound}\""), count);
            }
            let count = rows.last().map_or(0, |(_, count)| *count);
            sample("_bucket", "le=\"+Inf\"", &count);
            sample("_sum", "", sum);
            sample("_count", "", &count);
        }
        Reading::Each(readings) => {
            for (more, reading) in readings {
                let more: Vec<String> =
                    more.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
                let all: Vec<&str> = [labels]
                    .into_iter()
                    .filter(|labels| !labels.is_empty())
                    .chain(more.iter().map(String::as_str))
                    .collect();
                write_samples(text, name, &all.join(","), reading);
            }
        }
    }
}

/// A label's value as it stands between quotes.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Histogram;

    static ROWS: &[Row<u64>] = &[
        Row::new(Kind::Counter, "x_things_total", "Things.", |n| Reading::Number(*n)).info("Xs", "things").logged(),
        Row::new(Kind::Gauge, "x_queued", "Waiting.", |_| Reading::Number(1))
            .labels("queue=\"a\"")
            .info("Xs", "queued_a"),
        Row::new(Kind::Gauge, "x_queued", "Waiting.", |_| Reading::Number(2)).labels("queue=\"b\""),
        Row::new(Kind::Gauge, "x_age_seconds", "Age.", |_| Reading::Time(Duration::from_millis(1500)))
            .info("Xs", "age_ms"),
        Row::new(Kind::Gauge, "x_nothing", "Nothing.", |_| Reading::Absent).info("Xs", "nothing"),
        Row::new(Kind::Counter, "x_errors_total", "Errors.", |_| {
            Reading::Each(vec![(vec![("code", "A\"B".into())], Reading::Number(3))])
        })
        .info("Ys", "errors"),
    ];

    #[test]
    fn one_table_reads_as_prometheus_as_info_and_as_a_log_line() {
        let expected = "# HELP x_things_total Things.\n# TYPE x_things_total counter\nx_things_total 7\n\
            # HELP x_queued Waiting.\n# TYPE x_queued gauge\nx_queued{queue=\"a\"} 1\nx_queued{queue=\"b\"} 2\n\
            # HELP x_age_seconds Age.\n# TYPE x_age_seconds gauge\nx_age_seconds 1.5\n\
            # HELP x_errors_total Errors.\n# TYPE x_errors_total counter\nx_errors_total{code=\"A\\\"B\"} 3\n";
        assert_eq!(exposition(ROWS, &7), expected);
        let fields = |section| {
            let mut fields = Vec::new();
            info_fields(ROWS, section, &7, |name, value| fields.push(format!("{name}:{value}")));
            fields
        };
        assert_eq!(fields("Xs"), ["things:7", "queued_a:1", "age_ms:1500"]);
        assert_eq!(fields("Ys"), ["errors_A\"B:3"]);
        assert_eq!(log_fields(ROWS, &7), " things=7");
    }

    #[test]
    fn histograms_are_cumulative_and_end_at_infinity() {
        let histogram = Histogram::default();
        [1, 1_500, 20_000_000].into_iter().for_each(|us| histogram.record(Duration::from_micros(us)));
        let mut text = String::new();
        write_samples(&mut text, "x_seconds", "a=\"1\"", &Reading::Durations(histogram.distribution(), Step::Coarse));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "x_seconds_bucket{a=\"1\",le=\"0.000001024\"} 1");
        assert_eq!(lines.len(), 13 + 3);
        assert_eq!(
            lines[13..],
            [
                "x_seconds_bucket{a=\"1\",le=\"+Inf\"} 3",
                "x_seconds_sum{a=\"1\"} 20.001501",
                "x_seconds_count{a=\"1\"} 3"
            ]
        );
        let counts: Vec<u64> =
            lines[..14].iter().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        assert!(counts.is_sorted(), "{counts:?}");
        text.clear();
        write_samples(&mut text, "x", "", &Reading::Sizes(vec![(0, 1), (1, 3)], 2));
        assert_eq!(text, "x_bucket{le=\"0\"} 1\nx_bucket{le=\"1\"} 3\nx_bucket{le=\"+Inf\"} 3\nx_sum 2\nx_count 3\n");
    }
}
