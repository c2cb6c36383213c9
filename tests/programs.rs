//! Redis' own tools against the real server, as people run them: every mode of redis-cli that needs no replication and no
//! scripts, and the whole default list of redis-benchmark.
//!
//! What they print is looked at: a tool that gives up says so there, not always by its exit code.

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use support::Server;

/// A program's output and what it complained about, after it has ended by itself.
fn output(program: &str, server: &Server, args: &[&str], input: &[u8]) -> String {
    let mut child = Command::new(program)
        .args(["-p", &server.port.to_string()])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("redis-tools to be installed; `make deps` does");
    child.stdin.take().expect("a pipe").write_all(input).expect("the program to read");
    let output = child.wait_with_output().expect("the program to end");
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).replace('\r', "\n")
}

fn redis_cli(server: &Server, args: &[&str], input: &[u8]) -> String {
    output("redis-cli", server, args, input)
}

#[track_caller]
fn assert_says(text: &str, wanted: &[&str]) {
    for part in wanted {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

/// A server that holds something of each type, put there by `redis-cli --pipe`.
fn populated() -> Server {
    let server = Server::start(&[]);
    let mut input = String::new();
    let mut add = |line: String| {
        let words: Vec<&str> = line.split(' ').collect();
        input += &format!("*{}\r\n", words.len());
        words.iter().for_each(|word| input += &format!("${}\r\n{word}\r\n", word.len()));
    };
    for number in 0..200 {
        add(format!("SET key:{number} {number}"));
        add(format!("HSET hash:{} field:{number} value", number % 3));
        add(format!("SADD set member:{number}"));
        add(format!("ZADD board {number} member:{number}"));
        add(format!("RPUSH list element:{number}"));
    }
    add("SETRANGE long 100000 x".into());
    let said = redis_cli(&server, &["--pipe"], input.as_bytes());
    assert_says(&said, &["errors: 0, replies: 1001"]);
    server
}

#[test]
fn redis_cli_finds_the_biggest_keys_and_those_that_take_most_memory() {
    let server = populated();
    let said = redis_cli(&server, &["--bigkeys"], b"");
    assert_says(
        &said,
        &[
            "Sampled 207 keys in the keyspace!",
            "Biggest string found '\"long\"' has 100001 bytes",
            "Biggest   list found '\"list\"' has 200 items",
            "Biggest    set found '\"set\"' has 200 members",
            "Biggest   zset found '\"board\"' has 200 members",
            "3 hashs with 200 fields",
        ],
    );
    let said = redis_cli(&server, &["--memkeys"], b"");
    assert_says(&said, &["Sampled 207 keys in the keyspace!", "Biggest string found '\"long\"' has"]);
    // Without an LFU policy, which there is none of, Redis says so too.
    let said = redis_cli(&server, &["--hotkeys"], b"");
    assert_says(&said, &["An LFU maxmemory policy is not selected"]);
}

#[test]
fn redis_cli_scans_and_measures() {
    let server = populated();
    let said = redis_cli(&server, &["--scan", "--pattern", "key:1*"], b"");
    assert_eq!(said.lines().count(), 111, "{said}");
    let said = redis_cli(&server, &["--quoted-pattern", "hash*", "--scan"], b"");
    assert_eq!(said.lines().count(), 3, "{said}");
    // Once, as these do without a terminal.
    let said = redis_cli(&server, &["--latency", "--raw", "-i", "0.1"], b"");
    let numbers: Vec<f64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(numbers.len() >= 4 && numbers[3] > 0.0, "least, most, mean and how often: {said}");
    let said = redis_cli(&server, &["-r", "3", "-i", "0.01", "PING"], b"");
    assert_eq!(said, "PONG\nPONG\nPONG\n");
    let said = redis_cli(&server, &["-x", "SET", "from-input"], b"as it is");
    assert_says(&said, &["OK"]);
    assert_eq!(redis_cli(&server, &["GET", "from-input"], b""), "as it is\n");
    let said = redis_cli(&server, &["-3", "--json", "HGETALL", "hash:0"], b"");
    assert_says(&said, &["{\"field:", "\":\"value\""]);
}

#[test]
fn redis_cli_tells_how_the_server_does_until_it_is_interrupted() {
    let server = populated();
    let mut child = Command::new("redis-cli")
        .args(["-p", &server.port.to_string(), "--stat", "-i", "0.01"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("redis-tools to be installed; `make deps` does");
    let lines = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
    // It prints in blocks, and has to be asked for long enough to fill one.
    let line = std::io::BufRead::lines(lines).map_while(Result::ok).find(|line| line.trim().starts_with("207 "));
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert!(line.is_some_and(|line| line.contains("(+")), "a line with 207 keys and how many requests came since");
}

#[test]
fn redis_benchmark_runs_through_its_whole_list() {
    const TESTS: &[&str] = &[
        "PING_INLINE",
        "PING_MBULK",
        "SET",
        "GET",
        "INCR",
        "LPUSH",
        "RPUSH",
        "LPOP",
        "RPOP",
        "SADD",
        "HSET",
        "SPOP",
        "ZADD",
        "ZPOPMIN",
        "LRANGE_100",
        "LRANGE_300",
        "LRANGE_500",
        "LRANGE_600",
        "MSET",
    ];
    let server = Server::start(&[]);
    for args in [&["-n", "200", "-c", "10", "-q"][..], &["-n", "640", "-c", "10", "-P", "16", "-q"]] {
        let said = output("redis-benchmark", &server, args, b"");
        let results: Vec<&str> = said.lines().filter(|line| line.contains("requests per second")).collect();
        for test in TESTS {
            let result = results.iter().find_map(|line| line.strip_prefix(test)?.split(": ").nth(1));
            let rate = result.and_then(|result| result.split(' ').next()?.parse().ok()).unwrap_or(0.0);
            assert!(rate > 0.0, "{test}: {said}");
        }
        assert!(!said.contains("rror"), "{said}");
    }
    let stats = server.client().ask("INFO errorstats");
    assert!(!stats.contains("errorstat_ERR:count"), "what redis-benchmark asked was refused: {stats}");
}
