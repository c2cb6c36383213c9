//! LATENCY: spikes by event, and how long each command takes.

use super::{ADMIN, BASE, CONTAINER};
use crate::commands::connection::text;
use crate::commands::introspection;
use crate::commands::{Argument, Command, CommandError, Next, Run, Session};
use crate::observe::{CommandCounters, LatencyEvent};
use crate::resp::{CommandArgs, ReplyBuffer};

pub static LATENCY: Command = Command {
    name: "latency",
    summary: "A container for latency diagnostics commands",
    since: "2.8.13",
    subcommands: &[&DOCTOR, &GRAPH, &HELP, &HISTOGRAM, &HISTORY, &LATEST, &RESET],
    ..CONTAINER
};

const SPECIAL: &[&str] = &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"];

static HELP: Command = Command {
    summary: "Show helpful text about the different subcommands.",
    since: "2.8.13",
    examples: r#"> LATENCY HELP
..."#,
    ..introspection::HELP
};

static LATEST: Command = Command {
    name: "latest",
    summary: "Return the latest latency samples for all events.",
    since: "2.8.13",
    arity: 2,
    flags: ADMIN,
    tips: SPECIAL,
    examples: r#"> LATENCY LATEST
(empty array)"#,
    run: Run::Server(latest),
    ..BASE
};

fn latest(session: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let events = session.server.stats.latency.events();
    reply.array(events.len());
    for (name, event) in events {
        let (unix_s, ms) = event.samples.back().copied().unwrap_or_default();
        reply.array(4);
        reply.bulk(name.as_bytes());
        [unix_s, ms, event.max_ms].into_iter().for_each(|number| reply.integer(number as i64));
    }
    Ok(Next::Done)
}

static HISTORY: Command = Command {
    name: "history",
    summary: "Return timestamp-latency samples for the event.",
    since: "2.8.13",
    arity: 3,
    flags: ADMIN,
    tips: SPECIAL,
    arguments: &[Argument::string("event")],
    examples: r#"> LATENCY HISTORY command
(empty array)"#,
    run: Run::Server(history),
    ..BASE
};

fn history(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let samples = session.server.stats.latency.event(&args[2]).map(|(_, event)| event.samples).unwrap_or_default();
    reply.array(samples.len());
    for (unix_s, ms) in samples {
        reply.array(2);
        reply.integer(unix_s as i64);
        reply.integer(ms as i64);
    }
    Ok(Next::Done)
}

static RESET: Command = Command {
    name: "reset",
    summary: "Reset latency data for one or more events.",
    since: "2.8.13",
    arity: -2,
    flags: ADMIN,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    arguments: &[Argument::string("event").optional().multiple()],
    examples: r#"> LATENCY RESET command
(integer) 0"#,
    run: Run::Server(reset),
    ..BASE
};

fn reset(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let names: Vec<&[u8]> = args.iter().skip(2).collect();
    reply.integer(session.server.stats.latency.reset(&names) as i64);
    Ok(Next::Done)
}

static GRAPH: Command = Command {
    name: "graph",
    summary: "Return a latency graph for the event.",
    since: "2.8.13",
    arity: 3,
    flags: ADMIN,
    tips: SPECIAL,
    arguments: &[Argument::string("event")],
    examples: r#"> LATENCY GRAPH command
(error) ERR No samples available for event 'command'"#,
    run: Run::Server(graph),
    ..BASE
};

fn graph(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let Some((name, event)) = session.server.stats.latency.event(&args[2]) else {
        let message = format!("ERR No samples available for event '{}'", text(&args[2]));
        return Err(CommandError::custom(message));
    };
    let now_s = session.server.env.clock.unix_time().as_secs();
    reply.verbatim("txt", draw(name, &event, now_s).as_bytes());
    Ok(Next::Done)
}

/// A bar for each sample, four rows high, its age written down below it: Redis' sparklines.
fn draw(name: &str, event: &LatencyEvent, now_s: u64) -> String {
    const COLUMNS: usize = 80;
    const ROWS: usize = 4;
    /// How the top of a bar looks within its row.
    const TOPS: [char; 3] = ['_', 'o', '#'];
    let latencies = || event.samples.iter().map(|(_, ms)| *ms);
    let (low, high) = (latencies().min().unwrap_or(0), latencies().max().unwrap_or(0));
    let range = (high - low).max(1);
    let steps = TOPS.len() * ROWS;

    let columns: Vec<Vec<char>> = event
        .samples
        .iter()
        .map(|(unix_s, ms)| {
            let height = (((ms - low) * steps as u64 / range) as usize).min(steps - 1);
            let bar = (0..ROWS).rev().map(|row| match height.checked_sub(row * TOPS.len()) {
                None => ' ',
                Some(top) => TOPS.get(top).copied().unwrap_or('|'),
            });
            bar.chain(age(now_s.saturating_sub(*unix_s)).chars()).collect()
        })
        .collect();

    let mut graph = format!("{name} - high {high} ms, low {low} ms (all time high {} ms)\n", event.max_ms);
    graph.push_str(&format!("{}\n", "-".repeat(COLUMNS)));
    for block in columns.chunks(COLUMNS) {
        let height = block.iter().map(Vec::len).max().unwrap_or(0);
        for row in 0..height {
            graph.extend(block.iter().map(|column| column.get(row).copied().unwrap_or(' ')));
            graph.push('\n');
        }
        graph.push('\n');
    }
    graph
}

/// `59s`, `59m`, `23h`, `9d`.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

static DOCTOR: Command = Command {
    name: "doctor",
    summary: "Return a human readable latency analysis report.",
    since: "2.8.13",
    arity: 2,
    flags: ADMIN,
    tips: SPECIAL,
    examples: r#"> LATENCY DOCTOR
..."#,
    run: Run::Server(doctor),
    ..BASE
};

fn doctor(session: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let threshold_ms = session.server.config.current().monitoring.latency_threshold_ms;
    let events = session.server.stats.latency.events();
    let report = match threshold_ms {
        _ if !events.is_empty() => events.iter().map(|(name, event)| diagnosis(name, event)).collect(),
        0 => "Latency monitoring is off. CONFIG SET latency-monitor-threshold <milliseconds> turns it on; LATENCY \
              HISTOGRAM works without it.\n"
            .to_string(),
        _ => format!("Nothing took {threshold_ms} ms or longer.\n"),
    };
    reply.verbatim("txt", report.as_bytes());
    Ok(Next::Done)
}

/// One event's spikes in numbers, and where to look next.
fn diagnosis(name: &str, event: &LatencyEvent) -> String {
    let count = event.samples.len() as u64;
    let mean_ms = event.samples.iter().map(|(_, ms)| ms).sum::<u64>() / count.max(1);
    let span_s = match (event.samples.front(), event.samples.back()) {
        (Some((first, _)), Some((last, _))) => last - first,
        _ => 0,
    };
    let advice = match name {
        "command" => "SLOWLOG GET shows which commands were slow; INFO storage whether the engine was busy then.",
        _ => "INFO storage shows whether the engine is behind.",
    };
    format!(
        "{name}: {count} seconds with a spike within {span_s} s, {mean_ms} ms on average, {} ms at worst. {advice}\n",
        event.max_ms
    )
}

static HISTOGRAM: Command = Command {
    name: "histogram",
    summary: "Return the cumulative distribution of latencies of a subset of commands or all.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of commands with latency information being retrieved.",
    arity: -2,
    flags: ADMIN,
    tips: SPECIAL,
    arguments: &[Argument::string("command").optional().multiple()],
    examples: r#"> LATENCY HISTOGRAM geoadd
(empty array)"#,
    run: Run::Server(histogram),
    ..BASE
};

/// Naming a container names its subcommands.
fn histogram(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let is_named = |name: &str| {
        let container = name.split('|').next().unwrap_or(name);
        let same = |word: &[u8]| [name, container].iter().any(|known| known.as_bytes().eq_ignore_ascii_case(word));
        args.len() == 2 || args.iter().skip(2).any(same)
    };
    let (map, mut pairs) = (reply.deferred(), 0);
    for (name, counters) in session.server.stats.commands.all() {
        if is_named(&name) && counters.calls() > 0 {
            reply.bulk(name.as_bytes());
            write_histogram(&counters, reply);
            pairs += 1;
        }
    }
    reply.finish_map(map, pairs);
    Ok(Next::Done)
}

fn write_histogram(counters: &CommandCounters, reply: &mut ReplyBuffer) {
    let rows = counters.latency.cumulative();
    reply.map(2);
    reply.bulk(b"calls");
    // Of the histogram itself, so that the last row and this agree while calls go on.
    reply.integer(rows.last().map_or(0, |(_, count)| *count as i64));
    reply.bulk(b"histogram_usec");
    reply.map(rows.len());
    for (us, count) in rows {
        reply.integer(us as i64);
        reply.integer(count as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::network_tests::TestClient;
    use std::time::Duration;

    #[test]
    fn spikes_are_told_by_event() {
        let mut client = TestClient::new();
        client.check(&[
            ("latency latest", "(empty array)"),
            ("latency history command", "(empty array)"),
            ("latency graph command", "(error) ERR No samples available for event 'command'"),
        ]);
        assert!(client.run("latency doctor").contains("CONFIG SET latency-monitor-threshold"));
        client.check(&[("config set latency-monitor-threshold 5", "OK")]);
        assert!(client.run("latency doctor").contains("Nothing took 5 ms"));
        for (unix_s, ms) in [(100, 7), (100, 9), (104, 5)] {
            client.session.server.stats.latency.record("command", ms, unix_s);
        }
        client.check(&[
            ("latency latest", "1) 1) \"command\"\n   2) (integer) 104\n   3) (integer) 5\n   4) (integer) 9"),
            (
                "latency history COMMAND",
                "1) 1) (integer) 100\n   2) (integer) 9\n2) 1) (integer) 104\n   2) (integer) 5",
            ),
        ]);
        assert!(client.run("latency doctor").contains("command: 2 seconds with a spike within 4 s, 7 ms on average"));
        assert!(
            client.run("latency graph command").starts_with("\"command - high 9 ms, low 5 ms (all time high 9 ms)")
        );
        client.check(&[("latency reset nosuch", "(integer) 0"), ("latency reset command", "(integer) 1")]);
    }

    #[test]
    fn histograms_are_of_what_was_called() {
        let mut client = TestClient::new();
        let record = |container, name, us| {
            let counters = client.session.server.stats.commands.of(container, name);
            counters.record(Duration::from_micros(us), false);
        };
        record("", "get", 3);
        record("", "get", 30);
        record("client", "id", 1);
        let row = |name: &str, calls: u32, rows: &str| {
            format!("\"{name}\"\n2) 1) \"calls\"\n   2) (integer) {calls}\n   3) \"histogram_usec\"\n   4) {rows}")
        };
        let id = row("client|id", 1, "1) (integer) 1\n      2) (integer) 1");
        let get = "1) (integer) 4\n      2) (integer) 1\n      3) (integer) 33\n      4) (integer) 2";
        client.check(&[
            ("latency histogram GET set", &format!("1) {}", row("get", 2, get))),
            ("latency histogram client", &format!("1) {id}")),
            ("latency histogram set", "(empty array)"),
        ]);
    }

    #[test]
    fn graphs_look_as_redis_draws_them() {
        let samples = [(100, 239), (101, 691), (103, 1174), (105, 1996)].into();
        let drawn = draw("command", &LatencyEvent { max_ms: 1996, samples }, 105);
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines[0], "command - high 1996 ms, low 239 ms (all time high 1996 ms)");
        assert_eq!(lines[2..], ["   #", "  _|", " _||", "_|||", "5420", "ssss", ""]);
    }
}
