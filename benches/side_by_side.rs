//! Bulkhead beside redis-server, and its two runtimes beside one, in one run: ratios, never an absolute time (R4.5).
//!
//! `cargo bench` measures for minutes, optimised; `cargo test --bench side_by_side` is the smoke test: the same steps with
//! tiny numbers, so that a server that errs or a harness that rots is noticed. A server that answers with an error or
//! not at all ends the run; no timing ever does.
//!
//! All servers live through the whole run and are measured in turns, round by round. A ratio is taken within a round and
//! the median over the rounds, so that a machine that slows down midway slows down all of them.

#[path = "side_by_side/beside.rs"]
mod beside;
#[path = "side_by_side/collections.rs"]
mod collections;
#[path = "side_by_side/machine.rs"]
mod machine;
#[path = "side_by_side/mixed.rs"]
mod mixed;
#[path = "side_by_side/plain.rs"]
mod plain;
#[path = "side_by_side/queues.rs"]
mod queues;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "side_by_side/table.rs"]
mod table;

const USAGE: &str = "\
cargo bench --bench side_by_side -- [--scenario NAME] [--rounds 5] [--window-ms 10000] [--smoke]

plain  SET, GET, INCR, MSET by redis-benchmark, 50 clients, pipeline 1 and 16: Bulkhead, Bulkhead with
       runtime-mode single, redis-server with appendonly yes and appendfsync everysec
mixed  80 % GET, 20 % SET by 50 clients while RocksDB compacts: runtime-mode dual and single
collections  LPUSH LPOP LRANGE HSET HGETALL SADD SPOP ZADD ZRANGE ZRANGEBYSCORE by redis-benchmark, small ones and one of
       100,000 elements, pipeline 1 and 16: Bulkhead and redis-server
beside what a GET waits while others ask for all of 1,000,000 elements again and again: both servers
queues push and pop, push and trim, in 16 windows each: whether what it costs stays the same";

const SCENARIOS: [&str; 5] = ["plain", "mixed", "collections", "beside", "queues"];

/// How much is measured.
#[derive(Clone, Copy)]
struct Plan {
    rounds: usize,
    /// How many requests make one sample at pipeline 1.
    requests: usize,
    /// How many keys there are, all of them set before anything is measured.
    keys: usize,
    /// How long one sample of the mixed load takes.
    mixed_ms: u64,
    /// Small, so that the mixed load's keys do not fit and RocksDB always has something to compact.
    mixed_memtable: &'static str,
    /// Whether a mixed load during which nothing was compacted is a failure.
    must_compact: bool,
    /// Elements of a large collection.
    collection_elements: usize,
    /// Elements of what is asked for beside others, and for how long.
    beside_elements: usize,
    beside_ms: u64,
    /// How many windows, and how long, a queue is worked on.
    windows: usize,
    window_ms: u64,
}

const FULL: Plan = Plan {
    rounds: 5,
    requests: 100_000,
    keys: 1_000_000,
    mixed_ms: 10_000,
    mixed_memtable: "4mb",
    must_compact: true,
    collection_elements: 100_000,
    beside_elements: 1_000_000,
    beside_ms: 8_000,
    windows: 16,
    window_ms: 10_000,
};

const SMOKE: Plan = Plan {
    rounds: 1,
    requests: 400,
    keys: 2_000,
    mixed_ms: 300,
    mixed_memtable: "64kb",
    must_compact: false,
    collection_elements: 1_000,
    beside_elements: 5_000,
    beside_ms: 300,
    windows: 4,
    window_ms: 100,
};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` says --bench; `cargo test` does not.
    let smoke = !arguments.iter().any(|word| word == "--bench") || arguments.iter().any(|word| word == "--smoke");
    let mut plan = if smoke { SMOKE } else { FULL };
    let mut scenarios = SCENARIOS.to_vec();
    let mut words = arguments.iter().map(String::as_str).filter(|word| !matches!(*word, "--bench" | "--smoke"));
    while let Some(word) = words.next() {
        match (word, words.next()) {
            ("--scenario", Some(name)) if scenarios.contains(&name) => scenarios.retain(|scenario| *scenario == name),
            ("--rounds", Some(rounds)) if rounds.parse().is_ok_and(|rounds: usize| rounds > 0) => {
                plan.rounds = rounds.parse().expect("a number, as we have seen");
            }
            ("--window-ms", Some(window)) if window.parse().is_ok_and(|window: u64| window > 0) => {
                plan.window_ms = window.parse().expect("a number, as we have seen");
            }
            _ => {
                eprintln!("{USAGE}");
                std::process::exit(2);
            }
        }
    }
    println!("{}\n", machine::describe());
    for scenario in scenarios {
        let report = match scenario {
            "plain" => plain::run(plan),
            "mixed" => mixed::run(plan),
            "collections" => collections::run(plan),
            "beside" => beside::run(plan),
            _ => queues::run(plan),
        };
        println!("{report}");
    }
    if smoke {
        println!("This was the smoke test: the servers work, the figures mean nothing. `make bench` measures.");
    }
}
