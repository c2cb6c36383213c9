//! A run as a person reads it: what befell the server, what each client did and was told, and why that is wrong. As text,
//! and as one picture in a file that needs nothing else.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use crate::history::{Operation, Outcome};
use crate::plan::Plan;
use crate::run::Record;

/// What the trace says about bytes and tasks is for `replay --trace`.
const TOLD_BY: &[&str] = &["disk", "nemesis", "server", "log"];
const REPLY_SHOWN: usize = 100;

/// The timeline: faults, the server's log, the disk, and each command at the time of its reply.
pub fn timeline(plan: &Plan, record: &Record) -> String {
    let mut lines: Vec<(Duration, String, String)> = Vec::new();
    for line in record.lines.iter().filter(|line| TOLD_BY.contains(&line.who.as_str())) {
        lines.push((line.at, line.who.clone(), line.what.clone()));
    }
    for operation in &record.history.operations {
        let what = match operation.returned {
            Some(_) => format!("{}  →  {}  (since {})", operation.line, outcome(operation), seconds(operation.invoked)),
            None => format!("{}  →  no reply", operation.line),
        };
        lines.push((operation.returned.unwrap_or(operation.invoked), operation.client.clone(), what));
    }
    lines.sort_by_key(|(at, _, _)| *at);
    let mut text = String::new();
    for (at, who, what) in lines {
        let _ = writeln!(text, "{:>9} {who:<12} {what}", seconds(at));
    }
    let _ = writeln!(text, "\n{}", record.report.line());
    let faults: Vec<String> = plan.faults.iter().map(|(at_ms, fault)| format!("{fault} at {at_ms} ms")).collect();
    let _ = writeln!(text, "faults: {}", if faults.is_empty() { "none".into() } else { faults.join(", ") });
    if let Some(failure) = &record.report.failure {
        let _ = writeln!(text, "{}: {}", failure.by, failure.what);
    }
    text
}

fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

fn outcome(operation: &Operation) -> String {
    let text = match &operation.outcome {
        Outcome::Reply(reply) => reply.to_string(),
        Outcome::Refused(reply) => format!("refused: {reply}"),
        Outcome::Unknown if operation.returned.is_some() => "in doubt".into(),
        Outcome::Unknown => "unknown".into(),
    };
    match text.char_indices().nth(REPLY_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

const LEFT: f64 = 110.0;
const LANE: f64 = 22.0;
const WIDTH_MIN: f64 = 1200.0;
const WIDTH_MAX: f64 = 12000.0;

/// The picture: one lane for the faults, the server, its log and the disk, one for each client.
pub fn picture(plan: &Plan, record: &Record) -> String {
    let end = record.report.simulated.as_secs_f64().max(0.001);
    let scale = (end * 1000.0).clamp(WIDTH_MIN, WIDTH_MAX) / end;
    let x = |time: Duration| LEFT + time.as_secs_f64() * scale;
    let mut lanes = Lanes::default();
    let mut svg = String::new();
    for spell in &record.history.spells {
        let y = lanes.of("faults");
        bar(&mut svg, x(spell.from), x(spell.to), y, "fault", &spell.fault.to_string());
    }
    if let Some(healed) = record.history.healed {
        let y = lanes.of("faults");
        mark(&mut svg, x(healed), y, "healed", "everything is well again");
    }
    for who in ["server", "nemesis", "disk", "log"] {
        for line in record.lines.iter().filter(|line| line.who == who) {
            let class = if line.what.starts_with("ERROR") || line.what.contains("Err(") { "bad" } else { "event" };
            let y = lanes.of(who);
            mark(&mut svg, x(line.at), y, class, &format!("{} {}", seconds(line.at), line.what));
        }
    }
    for operation in &record.history.operations {
        let class = match &operation.outcome {
            Outcome::Reply(_) => "answered",
            Outcome::Refused(_) => "refused",
            Outcome::Unknown => "unknown",
        };
        let title = format!("{} {}\n{}", seconds(operation.invoked), operation.line, outcome(operation));
        let until = operation.returned.unwrap_or(operation.invoked + Duration::from_millis(5));
        let y = lanes.of(&operation.client);
        bar(&mut svg, x(operation.invoked), x(until), y, class, &title);
    }
    for tenth in 0..=(end * 10.0) as u64 {
        let at = x(Duration::from_millis(tenth * 100));
        let class = if tenth % 10 == 0 { "second" } else { "tenth" };
        let _ = writeln!(svg, "<line class='{class}' x1='{at:.1}' x2='{at:.1}' y1='0' y2='{}'/>", lanes.height());
        if tenth % 10 == 0 {
            let _ =
                writeln!(svg, "<text class='time' x='{at:.1}' y='{}'>{} s</text>", lanes.height() + 14.0, tenth / 10);
        }
    }
    for (name, lane) in &lanes.names {
        let _ = writeln!(svg, "<text x='4' y='{}'>{}</text>", *lane as f64 * LANE + 15.0, escaped(name));
    }
    let (width, height) = (LEFT + end * scale + 20.0, lanes.height() + 24.0);
    let verdict = record
        .report
        .failure
        .as_ref()
        .map_or("It kept its promises.".into(), |failure| format!("{}: {}", failure.by, failure.what));
    format!(
        "<!doctype html><meta charset='utf-8'><title>{title}</title><style>{STYLE}</style>\n<h1>{title}</h1>\
<pre class='verdict'>{}</pre>\n<p>Point at anything to read it. <b class='answered'>answered</b> \
<b class='refused'>refused</b> <b class='unknown'>in doubt</b> <b class='fault'>fault</b></p>\n\
<div><svg width='{width:.0}' height='{height:.0}'>\n{svg}</svg></div>\n<h2>The plan</h2><pre>{}</pre>\n",
        escaped(&verdict),
        escaped(&plan.to_string()),
        title = escaped(&record.report.line()),
    )
}

const STYLE: &str = "body{font:14px sans-serif;margin:16px}div{overflow-x:auto;border:1px solid #ccc}\
svg text{font:12px sans-serif}.verdict{background:#fee;padding:8px;white-space:pre-wrap}\
rect.answered{fill:#4a8;opacity:.6}rect.refused{fill:#d92;opacity:.8}rect.unknown{fill:#c33;opacity:.8}\
rect.fault{fill:#a3c;opacity:.5}b.answered{color:#4a8}b.refused{color:#d92}b.unknown{color:#c33}b.fault{color:#a3c}\
circle.event{fill:#47a}circle.bad{fill:#c00}circle.healed{fill:#0a0}\
line.second{stroke:#999;stroke-width:.6}line.tenth{stroke:#ddd;stroke-width:.4}.time{fill:#666}";

/// Which lane belongs to whom, in the order in which they were asked for.
#[derive(Default)]
struct Lanes {
    names: BTreeMap<String, usize>,
}

impl Lanes {
    /// The top of a lane.
    fn of(&mut self, name: &str) -> f64 {
        let next = self.names.len();
        *self.names.entry(name.to_string()).or_insert(next) as f64 * LANE
    }

    fn height(&self) -> f64 {
        self.names.len() as f64 * LANE
    }
}

fn bar(svg: &mut String, from: f64, to: f64, y: f64, class: &str, title: &str) {
    let (y, width, height, title) = (y + 3.0, (to - from).max(2.0), LANE - 6.0, escaped(title));
    let _ = writeln!(
        svg,
        "<rect class='{class}' x='{from:.1}' y='{y:.1}' width='{width:.1}' height='{height}'><title>{title}</title></rect>"
    );
}

fn mark(svg: &mut String, at: f64, y: f64, class: &str, title: &str) {
    let (y, title) = (y + LANE / 2.0, escaped(title));
    let _ = writeln!(svg, "<circle class='{class}' cx='{at:.1}' cy='{y:.1}' r='3.5'><title>{title}</title></circle>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;")
}
