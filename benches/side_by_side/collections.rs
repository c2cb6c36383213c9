//! Lists, hashes, sets and sorted sets, driven by Debian's redis-benchmark: small ones under many keys, and one large one,
//! at pipelines of 1 and 16.

use std::collections::BTreeSet;

use crate::Plan;
use crate::plain::{self, Amount, CLIENTS};
use crate::support::Server;
use crate::table::{Row, render, thousands};

const PIPELINES: &[usize] = &[1, 16];
/// 32 bytes.
const VALUE: &str = "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv";
/// Keys that small collections lie under.
const SMALL_KEYS: usize = 1_000;

/// What one row measures. `{n}` is a random number below the number of keys (or, of a large collection, of its elements),
/// `{v}` a value.
struct Load {
    name: &'static str,
    command: &'static str,
    /// Run first, untimed, so that there is something to read. Whoever takes elements finds at least as many as it asks
    /// for.
    fill: &'static str,
    /// One command stands for so many usual ones: it is sent more rarely.
    weight: usize,
}

const fn load(name: &'static str, fill: &'static str, command: &'static str, weight: usize) -> Load {
    Load { name, command, fill, weight }
}

const SMALL: &[Load] = &[
    load("LPUSH", "", "LPUSH list:{n} {v}", 1),
    load("LPOP", "RPUSH list:{n} {v}", "LPOP list:{n}", 1),
    load("LRANGE", "RPUSH l10:{n} 1 2 3 4 5 6 7 8 9 10", "LRANGE l10:{n} 0 9", 1),
    load("HSET", "", "HSET hash:{n} field {v}", 1),
    load("HGETALL", "HSET h10:{n} a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8 i 9 j 10", "HGETALL h10:{n}", 1),
    load("SADD", "", "SADD set:{n} {n}", 1),
    load("SPOP", "SADD pop:{n} {n} a{n} b{n}", "SPOP pop:{n}", 1),
    load("ZADD", "", "ZADD board:{n} {n} member", 1),
    load("ZRANGE", "ZADD z10:{n} 1 a 2 b 3 c 4 d 5 e 6 f 7 g 8 h 9 i 10 j", "ZRANGE z10:{n} 0 -1", 1),
    load("ZRANGEBYSCORE", "ZADD z10:{n} 1 a 2 b 3 c 4 d 5 e 6 f 7 g 8 h 9 i 10 j", "ZRANGEBYSCORE z10:{n} 3 8", 1),
];

const LARGE: &[Load] = &[
    load("LPUSH", "LPUSH large-list {v}", "LPUSH large-list {v}", 1),
    load("LPOP", "RPUSH large-list {v}", "LPOP large-list", 1),
    load("LRANGE of 100", "RPUSH large-range {v}", "LRANGE large-range 0 99", 10),
    load("HSET", "HSET large-hash f{n} {v}", "HSET large-hash f{n} {v}", 1),
    load("HGETALL", "HSET large-all f{n} {v}", "HGETALL large-all", 5_000),
    load("SADD", "SADD large-set m{n}", "SADD large-set m{n}", 1),
    load("SPOP", "SADD large-pop m{n}", "SPOP large-pop", 1),
    load("ZADD", "ZADD large-board {n} m{n}", "ZADD large-board {n} m{n}", 1),
    load("ZRANGE of 10", "ZADD large-board {n} m{n}", "ZRANGE large-board 0 9", 1),
    load("ZRANGEBYSCORE of 10", "ZADD large-board {n} m{n}", "ZRANGEBYSCORE large-board {n} +inf LIMIT 0 10", 1),
];

pub fn run(plan: Plan) -> String {
    let everysec = ["--appendfsync", "everysec"];
    let redis = Server::start_redis(&[&["--appendonly", "yes"], &everysec[..]].concat());
    let servers = [("redis-server", redis), ("Bulkhead", Server::start(&everysec))];
    let names = servers.each_ref().map(|(name, _)| *name);
    let mut tables = String::new();
    let mut filled = BTreeSet::new();
    let large = format!("of {} elements", thousands(plan.collection_elements as f64));
    for (size, loads, range) in [("small", SMALL, SMALL_KEYS), (&large, LARGE, plan.collection_elements)] {
        let samples = || PIPELINES.iter().flat_map(|pipeline| loads.iter().map(move |load| (load, *pipeline)));
        let mut rows: Vec<Row> = samples()
            .map(|(load, pipeline)| Row {
                load: format!("{}, pipeline {pipeline}", load.name),
                samples: vec![Vec::new(); servers.len()],
            })
            .collect();
        for round in 0..plan.rounds {
            for ((load, pipeline), row) in samples().zip(&mut rows) {
                for turn in 0..servers.len() {
                    let index = (round + turn) % servers.len();
                    let (name, server) = &servers[index];
                    let amount = load.amount(plan.requests, pipeline, range);
                    if !load.fill.is_empty() && (load.takes() || filled.insert((index, load.fill))) {
                        fill(server, load, amount);
                    }
                    let rate = benchmark(server, load.command, amount);
                    eprintln!("round {} of {}: {} ({size}): {name}: {rate:.0}/s", round + 1, plan.rounds, row.load);
                    row.samples[index].push(rate);
                }
            }
        }
        let table = render(&names, 0, None, &rows);
        tables += &format!("Collections, {size}, {} rounds, {CLIENTS} clients:\n\n{table}\n", plan.rounds);
    }
    for (_, server) in servers {
        server.stop();
    }
    tables
}

impl Load {
    /// Whether it takes what is there, so that it has to be put there again.
    fn takes(&self) -> bool {
        self.name.contains("POP")
    }

    fn amount(&self, requests: usize, pipeline: usize, range: usize) -> Amount {
        // Of commands that stand for thousands it takes few to keep a server busy.
        let clients = if self.weight >= 1_000 { 2 } else { CLIENTS };
        // About as long for each: a pipeline is faster.
        let requests = requests * 2 / 5 * if pipeline > 1 { 4 } else { 1 } / self.weight;
        Amount { requests: requests.max(pipeline * clients), clients, pipeline, range }
    }
}

fn fill(server: &Server, load: &Load, amount: Amount) {
    let Amount { requests, range, .. } = amount;
    // Several times as many as there are numbers to draw, so that nearly all are drawn; for each that is taken, one.
    let requests = if load.takes() { requests.max(range) } else { range * 3 };
    benchmark(server, load.fill, Amount { requests, clients: CLIENTS, pipeline: 16, range });
}

fn benchmark(server: &Server, command: &str, amount: Amount) -> f64 {
    let words = command.split(' ').map(|word| word.replace("{n}", "__rand_int__").replace("{v}", VALUE));
    plain::benchmark(server, &words.collect::<Vec<String>>(), amount)
}
