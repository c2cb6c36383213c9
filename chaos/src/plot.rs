//! A plot of latencies over time, as SVG: one panel for each server, one line for each probe, time from left to right,
//! latency upwards on a logarithmic scale. What a line shows is the worst of each tenth of a second.
//!
//! It only draws what it is given.

use std::fmt::Write;
use std::time::Duration;

use crate::probe::{Course, Probe};

pub struct Panel<'a> {
    pub title: String,
    pub courses: &'a [Course],
    /// From when to when the disk was ill.
    pub stall: (Duration, Duration),
    pub length: Duration,
}

const WIDTH: f64 = 900.0;
const PANEL_HEIGHT: f64 = 190.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 28.0;
const LEGEND: f64 = 34.0;

/// The least and the greatest latency that a panel shows.
const FLOOR_MS: f64 = 0.02;
const CEILING_MS: f64 = 20_000.0;
const BUCKET: Duration = Duration::from_millis(100);

fn colour(probe: Probe) -> &'static str {
    match probe {
        Probe::Ping => "#1b6ca8",
        Probe::Connect => "#d1495b",
        Probe::Info => "#6a994e",
        Probe::HotGet => "#edae49",
        Probe::ColdGet => "#7b4ea3",
    }
}

pub fn draw(panels: &[Panel<'_>]) -> String {
    let height = LEGEND + panels.len() as f64 * (PANEL_HEIGHT + TOP + 24.0);
    let mut svg = String::new();
    let mut put = |line: String| writeln!(svg, "{line}").expect("a string takes everything");
    put(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\"><rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
    ));
    for (place, probe) in Probe::ALL.into_iter().enumerate() {
        let x = LEFT + 150.0 * place as f64;
        put(format!(
            "<rect x=\"{x}\" y=\"12\" width=\"18\" height=\"4\" fill=\"{}\"/><text x=\"{}\" y=\"19\">{}</text>",
            colour(probe),
            x + 24.0,
            probe.name()
        ));
    }
    for (place, panel) in panels.iter().enumerate() {
        let top = LEGEND + TOP + place as f64 * (PANEL_HEIGHT + TOP + 24.0);
        let seconds = panel.length.as_secs_f64();
        let x = |at: f64| LEFT + (WIDTH - LEFT - 20.0) * at / seconds;
        let y = |ms: f64| {
            let share = (ms.clamp(FLOOR_MS, CEILING_MS) / FLOOR_MS).ln() / (CEILING_MS / FLOOR_MS).ln();
            top + PANEL_HEIGHT * (1.0 - share)
        };
        let (from, to) = (panel.stall.0.as_secs_f64(), panel.stall.1.as_secs_f64());
        put(format!("<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{}</text>", top - 8.0, panel.title));
        put(format!(
            "<rect x=\"{:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{PANEL_HEIGHT}\" fill=\"#f3e3e3\"/>",
            x(from),
            x(to) - x(from)
        ));
        for (ms, label) in
            [(0.1, "0.1 ms"), (1.0, "1 ms"), (10.0, "10 ms"), (100.0, "100 ms"), (1e3, "1 s"), (1e4, "10 s")]
        {
            put(format!(
                "<path d=\"M{LEFT} {y:.1}H{}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                WIDTH - 20.0,
                LEFT - 6.0,
                y(ms) + 4.0,
                y = y(ms)
            ));
        }
        for second in (0..=seconds as u32).step_by(5) {
            put(format!(
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{second} s</text>",
                x(f64::from(second)),
                top + PANEL_HEIGHT + 15.0
            ));
        }
        for course in panel.courses {
            let points: Vec<String> =
                worst_of_each_bucket(course).into_iter().map(|(at, ms)| format!("{:.1},{:.1}", x(at), y(ms))).collect();
            put(format!(
                "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"1.4\" points=\"{}\"/>",
                colour(course.probe),
                points.join(" ")
            ));
        }
    }
    put("</svg>".into());
    svg
}

/// Seconds since the start, and milliseconds.
fn worst_of_each_bucket(course: &Course) -> Vec<(f64, f64)> {
    let mut worst: Vec<(u128, Duration)> = Vec::new();
    for sample in &course.samples {
        let bucket = sample.due.as_nanos() / BUCKET.as_nanos();
        match worst.last_mut() {
            Some((last, latency)) if *last == bucket => *latency = sample.latency.max(*latency),
            _ => worst.push((bucket, sample.latency)),
        }
    }
    let bucket_s = BUCKET.as_secs_f64();
    worst.into_iter().map(|(bucket, latency)| (bucket as f64 * bucket_s, latency.as_secs_f64() * 1000.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Sample;

    #[test]
    fn a_line_goes_through_the_worst_of_each_tenth_of_a_second() {
        let ms = Duration::from_millis;
        let samples = [(0, 1), (50, 3), (99, 2), (100, 9), (310, 4)];
        let samples = samples.map(|(due, latency)| Sample { due: ms(due), latency: ms(latency) }).to_vec();
        let course = Course { probe: Probe::Ping, samples, late: ms(0), stopped: vec![] };
        let points: Vec<(i64, i64)> = worst_of_each_bucket(&course)
            .iter()
            .map(|(at, ms)| ((at * 10.0).round() as i64, ms.round() as i64))
            .collect();
        assert_eq!(points, [(0, 3), (1, 9), (3, 4)]);
        let panel = Panel { title: "one".into(), courses: &[course], stall: (ms(100), ms(200)), length: ms(400) };
        let svg = draw(&[panel]);
        assert!(svg.contains("<polyline") && svg.trim_end().ends_with("</svg>"), "{svg}");
    }
}
