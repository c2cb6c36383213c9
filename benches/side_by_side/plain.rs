//! One command at a time, driven by Debian's redis-benchmark: 50 clients, 128-byte values, pipelines of 1 and 16.

use std::process::Command;

use bulkhead::resp::Value;

use crate::Plan;
use crate::support::{Client, Server};
use crate::table::{Row, render};

/// As redis-benchmark knows them. MSET writes ten keys.
const TESTS: &[&str] = &["set", "get", "incr", "mset"];
const PIPELINES: &[usize] = &[1, 16];
const VALUE_BYTES: usize = 128;
pub const CLIENTS: usize = 50;

pub fn run(plan: Plan) -> String {
    let everysec = ["--appendfsync", "everysec"];
    let redis = Server::start_redis(&[&["--appendonly", "yes"], &everysec[..]].concat());
    let dual = Server::start(&everysec);
    let single = start_with_one_runtime(&dual, &everysec);
    let servers = [("redis-server", redis), ("Bulkhead", dual), ("Bulkhead, one runtime", single)];
    for (name, server) in &servers {
        eprintln!("setting {} keys on {name}", plan.keys);
        set_all_keys(&mut server.client(), plan.keys);
    }
    let loads = || PIPELINES.iter().flat_map(|pipeline| TESTS.iter().map(move |test| (*test, *pipeline)));
    let mut rows: Vec<Row> = loads()
        .map(|(test, pipeline)| Row {
            load: format!("{}, pipeline {pipeline}", test.to_uppercase()),
            samples: vec![Vec::new(); servers.len()],
        })
        .collect();
    for round in 0..plan.rounds {
        for ((test, pipeline), row) in loads().zip(&mut rows) {
            // Whoever comes first this time comes last next time.
            for turn in 0..servers.len() {
                let index = (round + turn) % servers.len();
                let (name, server) = &servers[index];
                let rate = sample(server, test, pipeline, plan);
                eprintln!("round {} of {}: {}: {name}: {rate:.0}/s", round + 1, plan.rounds, row.load);
                row.samples[index].push(rate);
            }
        }
    }
    let names = servers.each_ref().map(|(name, _)| *name);
    for (_, server) in servers {
        server.stop();
    }
    let table = render(&names, 0, Some(("two runtimes / one", 1, 2)), &rows);
    let Plan { rounds, keys, .. } = plan;
    format!(
        "{rounds} rounds, {keys} keys, 50 clients, {VALUE_BYTES}-byte values, appendfsync everysec everywhere:\n\n{table}"
    )
}

/// Bulkhead with both halves on one shared runtime, which gets as many threads as the two of `dual` have together: what is
/// compared is the wall between them, not how many there are.
pub fn start_with_one_runtime(dual: &Server, flags: &[&str]) -> Server {
    let text = info(&mut dual.client(), "runtimes");
    let writer = 1;
    let threads = number(&text, "network_threads") + number(&text, "storage_reader_threads") + writer;
    Server::start(&[&["--runtime-mode", "single", "--network-threads", &threads.to_string()], flags].concat())
}

/// One run of one of redis-benchmark's own tests.
fn sample(server: &Server, test: &str, pipeline: usize, plan: Plan) -> f64 {
    // About as long for each: a pipeline is faster, ten keys are slower.
    let requests = plan.requests * if pipeline > 1 { 4 } else { 1 } / if test == "mset" { 4 } else { 1 };
    let words = ["-t", test, "-d", &VALUE_BYTES.to_string()].map(str::to_string);
    benchmark(server, &words, Amount { requests, clients: CLIENTS, pipeline, range: plan.keys })
}

/// How much redis-benchmark is to ask for; its random numbers are below `range`.
#[derive(Clone, Copy)]
pub struct Amount {
    pub requests: usize,
    pub clients: usize,
    pub pipeline: usize,
    pub range: usize,
}

/// redis-benchmark with `words`: requests per second. Every request must have been answered, none with an error.
pub fn benchmark(server: &Server, words: &[String], amount: Amount) -> f64 {
    let Amount { requests, clients, pipeline, range } = amount;
    let mut client = server.client();
    let before = counts(&mut client);
    let output = Command::new("redis-benchmark")
        .args(["--csv", "-c", &clients.to_string(), "-p", &server.port.to_string(), "-r", &range.to_string()])
        .args(["-n", &requests.to_string(), "-P", &pipeline.to_string()])
        .args(words)
        .output()
        .expect("redis-benchmark to start; `make deps` installs it");
    let text = String::from_utf8_lossy(&output.stdout);
    let failure = || format!("redis-benchmark {} -P {pipeline}: {}\n{output:?}", words.join(" "), output.status);
    assert!(output.status.success(), "{}", failure());
    let after = counts(&mut client);
    assert!(after.0 - before.0 >= requests as u64, "{before:?} to {after:?} commands for {requests}: {}", failure());
    assert_eq!(after.1, before.1, "errors were answered: {}", failure());
    rate(&text).unwrap_or_else(|| panic!("no figure: {}", failure()))
}

/// The second column of the only row below the headings: `"SET","90909.09",…`.
fn rate(csv: &str) -> Option<f64> {
    let row = csv.lines().find(|line| !line.starts_with("\"test\"") && line.starts_with('"'))?;
    row.split("\",\"").nth(1)?.parse().ok()
}

/// Commands processed, and errors answered, since the server's start.
fn counts(client: &mut Client) -> (u64, u64) {
    let text = info(client, "stats");
    (number(&text, "total_commands_processed"), number(&text, "total_error_replies"))
}

pub fn info(client: &mut Client, section: &str) -> String {
    match client.call(&["INFO", section]) {
        Value::Bulk(text) => String::from_utf8_lossy(&text).into_owned(),
        other => panic!("INFO {section}: {other}"),
    }
}

pub fn number(info: &str, field: &str) -> u64 {
    let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no number for {field} in INFO:\n{info}"))
}

/// Sets every key that redis-benchmark may ask for with `-r keys`, so that its GET finds what it looks for.
fn set_all_keys(client: &mut Client, keys: usize) {
    let value = vec![b'x'; VALUE_BYTES];
    for first in (0..keys).step_by(100) {
        let mut command = vec![b"MSET".to_vec()];
        for key in first..keys.min(first + 100) {
            command.extend([format!("key:{key:012}").into_bytes(), value.clone()]);
        }
        assert_eq!(client.call(&command).to_string(), "OK");
    }
}
