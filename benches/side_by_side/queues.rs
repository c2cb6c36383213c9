//! Queues and leaderboards, worked on for long: what is popped or trimmed leaves tombstones in RocksDB, and the cost of an
//! operation must not grow with them. Each pattern runs for many windows of the same length; what is told is how the last
//! quarter of them compares with the first.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use bulkhead::env::Random;
use bulkhead::resp::{Value, encode_command};
use bytes::BytesMut;

use crate::Plan;
use crate::support::Server;
use crate::table::median;

/// Rounds of a pattern that are sent at once.
const PIPELINE: usize = 32;
/// What lies in a queue, or on a board, while it is worked on.
const BACKLOG: u64 = 1_000;
/// The same where it is to be many.
const LARGE_BACKLOG: u64 = 10 * BACKLOG;
const MEMBERS: u64 = 100_000;

/// The commands of one round of a pattern; `number` counts rounds.
type Round = fn(number: u64, dice: &mut Random) -> Vec<Vec<String>>;

const PATTERNS: &[(&str, Round)] = &[
    ("queue: LPUSH, RPOP", |number, _| {
        let push = words(&format!("LPUSH queue job:{number}"));
        if number < BACKLOG { vec![push] } else { vec![push, words("RPOP queue")] }
    }),
    ("log: LPUSH, LTRIM", |number, _| {
        vec![words(&format!("LPUSH log line:{number}")), words(&format!("LTRIM log 0 {}", BACKLOG - 1))]
    }),
    ("priority queue: ZADD, ZPOPMIN", |number, _| {
        let add = words(&format!("ZADD jobs {number} job:{number}"));
        if number < BACKLOG { vec![add] } else { vec![add, words("ZPOPMIN jobs")] }
    }),
    ("priority queue, any order: ZADD, ZPOPMIN", |number, dice| {
        let add = words(&format!("ZADD heap {} job:{number}", dice.next_u64() % MEMBERS));
        if number < BACKLOG { vec![add] } else { vec![add, words("ZPOPMIN heap")] }
    }),
    ("delayed jobs: ZADD, ZRANGEBYSCORE, ZREM", |number, _| {
        let mut round = vec![words(&format!("ZADD delayed {number} job:{number}"))];
        if let Some(due) = number.checked_sub(BACKLOG) {
            round.push(words(&format!("ZRANGEBYSCORE delayed -inf {due} LIMIT 0 1")));
            round.push(words(&format!("ZREM delayed job:{due}")));
        }
        round
    }),
    ("rate limit: ZADD, ZREMRANGEBYSCORE, ZCARD", |number, _| {
        let expired = number.saturating_sub(BACKLOG);
        vec![
            words(&format!("ZADD window {number} request:{number}")),
            words(&format!("ZREMRANGEBYSCORE window 0 {expired}")),
            words("ZCARD window"),
        ]
    }),
    ("work set: SADD, SPOP", |number, _| {
        let add = words(&format!("SADD work job:{number}"));
        if number < BACKLOG { vec![add] } else { vec![add, words("SPOP work")] }
    }),
    ("large work set: SADD, SPOP", |number, _| {
        let add = words(&format!("SADD works job:{number}"));
        if number < LARGE_BACKLOG { vec![add] } else { vec![add, words("SPOP works")] }
    }),
    ("registry: HSET, HDEL, HRANDFIELD", |number, _| {
        let mut round = vec![words(&format!("HSET registry worker:{number} here"))];
        if let Some(gone) = number.checked_sub(LARGE_BACKLOG) {
            round.push(words(&format!("HDEL registry worker:{gone}")));
            round.push(words("HRANDFIELD registry"));
        }
        round
    }),
    ("leaderboard: ZINCRBY, ZREMRANGEBYRANK, ZREVRANGE", |number, dice| {
        let (score, member) = (dice.next_u64() % 1_000, dice.next_u64() % MEMBERS);
        let mut round = vec![words(&format!("ZINCRBY board {score} member:{member}"))];
        if number.is_multiple_of(16) {
            round.push(words(&format!("ZREMRANGEBYRANK board 0 -{}", LARGE_BACKLOG + 1)));
            round.push(words("ZREVRANGE board 0 9"));
        }
        round
    }),
];

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(String::from).collect()
}

pub fn run(plan: Plan) -> String {
    let everysec = ["--appendfsync", "everysec"];
    let redis = Server::start_redis(&[&["--appendonly", "yes"], &everysec[..]].concat());
    let servers = [("redis-server", redis), ("Bulkhead", Server::start(&everysec))];
    let mut table = String::from(
        "| requests/s | server | first quarter | last quarter | last / first | slowest window / median |\n\
         | --- | --- | ---: | ---: | ---: | ---: |\n",
    );
    for (pattern, round) in PATTERNS {
        for (name, server) in &servers {
            let rates = work(server.port, *round, plan);
            eprintln!("{pattern}: {name}: {}", rates.iter().map(|rate| format!("{rate:.0} ")).collect::<String>());
            let quarter = rates.len().div_ceil(4);
            let (first, last) = (median(&rates[..quarter]), median(&rates[rates.len() - quarter..]));
            let slowest = rates.iter().copied().fold(f64::INFINITY, f64::min) / median(&rates);
            let ratio = last / first;
            table += &format!("| {pattern} | {name} | {first:.0} | {last:.0} | **{ratio:.2}** | {slowest:.2} |\n");
        }
    }
    for (_, server) in servers {
        server.stop();
    }
    format!(
        "Queues and leaderboards, one client, {} windows of {} ms, {PIPELINE} rounds in flight:\n\n{table}",
        plan.windows, plan.window_ms
    )
}

/// Works on one pattern: requests per second, window by window.
fn work(port: u16, round: Round, plan: Plan) -> Vec<f64> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
    stream.set_nodelay(true).expect("a usable socket");
    let (mut dice, mut number) = (Random::from_seed(1), 0);
    let window = Duration::from_millis(plan.window_ms);
    (0..plan.windows)
        .map(|_| {
            let (began, mut answered) = (Instant::now(), 0);
            while began.elapsed() < window {
                let mut request = BytesMut::new();
                let mut sent = 0;
                for _ in 0..PIPELINE {
                    for command in round(number, &mut dice) {
                        encode_command(&command, &mut request);
                        sent += 1;
                    }
                    number += 1;
                }
                stream.write_all(&request).expect("the server to take requests");
                read_replies(&mut stream, sent);
                answered += sent;
            }
            f64::from(answered) / began.elapsed().as_secs_f64()
        })
        .collect()
}

fn read_replies(stream: &mut TcpStream, count: u32) {
    let (mut unread, mut chunk) = (BytesMut::new(), vec![0; 64 * 1024]);
    let mut left = count;
    while left > 0 {
        match Value::decode(&mut unread).expect("a reply") {
            Some(reply @ Value::Error(_)) => panic!("{reply}"),
            Some(_) => left -= 1,
            None => {
                let len = stream.read(&mut chunk).expect("the server to answer");
                assert_ne!(len, 0, "the server closed the connection");
                unread.extend_from_slice(&chunk[..len]);
            }
        }
    }
}
