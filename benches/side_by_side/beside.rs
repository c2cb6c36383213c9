//! What a client waits for its GET while others ask for everything in something very large, again and again: HGETALL,
//! SMEMBERS, ZRANGE 0 -1, LRANGE 0 -1, KEYS *.
//!
//! One client asks for one key a thousand times a second, or as often as it is answered; each wait counts from the moment at
//! which that GET was sent.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bulkhead::resp::{Value, encode_command};
use bytes::BytesMut;

use crate::Plan;
use crate::support::{Client, Server};
use crate::table::thousands;

const GREEDY_CLIENTS: usize = 2;
const GETS_EACH_SECOND: u32 = 1_000;
/// Elements that are put into a collection with one command.
const CHUNK: usize = 1_000;

/// A command that asks for everything; and what puts elements there: a command, and what it takes for each of them.
const GREEDY: &[(&str, &str, &str)] = &[
    ("HGETALL hash", "HSET hash", "field:{n} value:{n}"),
    ("SMEMBERS set", "SADD set", "member:{n}"),
    ("ZRANGE board 0 -1 WITHSCORES", "ZADD board", "{n} member:{n}"),
    ("LRANGE list 0 -1", "RPUSH list", "element:{n}"),
    ("KEYS *", "MSET", "key:{n} value:{n}"),
];

pub fn run(plan: Plan) -> String {
    let everysec = ["--appendfsync", "everysec"];
    let redis = Server::start_redis(&[&["--appendonly", "yes"], &everysec[..]].concat());
    let servers = [("redis-server", redis), ("Bulkhead", Server::start(&everysec))];
    let mut table = String::from(
        "| GET while 2 clients ask for | server | p50 | p99 | p99.9 | worst | these, answered per second |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for (_, server) in &servers {
        let mut client = server.client();
        client.call(&["SET", "asked-for", "value"]);
        for (_, command, element) in GREEDY {
            fill(&mut client, command, element, plan.beside_elements);
        }
    }
    let loads = std::iter::once(None).chain(GREEDY.iter().map(|(command, ..)| Some(*command)));
    for load in loads {
        for (name, server) in &servers {
            let (waits_us, answered) = measure(server, load, Duration::from_millis(plan.beside_ms));
            let at = |share: usize| waits_us[waits_us.len() * share / 1000] as f64 / 1000.0;
            let worst = waits_us[waits_us.len() - 1] as f64 / 1000.0;
            let rate = answered as f64 / (plan.beside_ms as f64 / 1000.0);
            let row = format!(
                "| {} | {name} | {:.2} | {:.2} | {:.2} | {worst:.2} | {rate:.1} |\n",
                load.unwrap_or("nothing"),
                at(500),
                at(990),
                at(999)
            );
            eprint!("{row}");
            table += &row;
        }
    }
    for (_, server) in servers {
        server.stop();
    }
    format!(
        "Long reads of {} elements each beside up to {GETS_EACH_SECOND} GET a second, {} ms each; milliseconds:\n\n{table}",
        thousands(plan.beside_elements as f64),
        plan.beside_ms
    )
}

fn fill(client: &mut Client, command: &str, element: &str, elements: usize) {
    for first in (0..elements).step_by(CHUNK) {
        let mut words: Vec<String> = command.split(' ').map(String::from).collect();
        for number in first..elements.min(first + CHUNK) {
            words.extend(element.split(' ').map(|word| word.replace("{n}", &number.to_string())));
        }
        let reply = client.call(&words);
        assert!(!matches!(reply, Value::Error(_)), "{command}: {reply}");
    }
}

/// How long each GET took, in microseconds, sorted; and how many of the others were answered.
fn measure(server: &Server, greedy: Option<&str>, window: Duration) -> (Vec<u64>, u64) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let others: Vec<_> = (0..if greedy.is_some() { GREEDY_CLIENTS } else { 0 })
            .map(|_| scope.spawn(|| ask_for_everything(server.port, greedy.unwrap_or_default(), &stop)))
            .collect();
        // They are all under way.
        std::thread::sleep(window / 8);
        let waits_us = get(server.port, window);
        stop.store(true, Ordering::Relaxed);
        let answered = others.into_iter().map(|other| other.join().expect("a greedy client panicked")).sum();
        (waits_us, answered)
    })
}

fn get(port: u16, window: Duration) -> Vec<u64> {
    let mut client = Client::connect(port);
    let (began, period) = (Instant::now(), Duration::from_secs(1) / GETS_EACH_SECOND);
    let mut waits_us = Vec::new();
    while began.elapsed() < window {
        let asked = Instant::now();
        assert_eq!(client.call(&["GET", "asked-for"]).to_string(), "\"value\"");
        waits_us.push(asked.elapsed().as_micros() as u64);
        std::thread::sleep(period.saturating_sub(asked.elapsed()));
    }
    waits_us.sort_unstable();
    waits_us
}

/// Asks, reads to the end, and asks again. What is read is not looked at, but for its end: the reply to a PING.
fn ask_for_everything(port: u16, command: &str, stop: &AtomicBool) -> u64 {
    const PONG: &[u8] = b"+PONG\r\n";
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
    let mut request = BytesMut::new();
    encode_command(&command.split(' ').collect::<Vec<&str>>(), &mut request);
    encode_command(&["PING"], &mut request);
    let (mut chunk, mut answered) = (vec![0; 256 * 1024], 0);
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(&request).expect("the server to take a request");
        let (mut tail, mut first) = (Vec::new(), true);
        while !tail.ends_with(PONG) {
            let len = stream.read(&mut chunk).expect("the server to answer");
            assert!(len > 0 && (!first || chunk[0] == b'*'), "no array: {}", chunk[..len].escape_ascii());
            first = false;
            tail.extend_from_slice(&chunk[len.saturating_sub(PONG.len())..len]);
            tail.drain(..tail.len().saturating_sub(PONG.len()));
        }
        answered += 1;
    }
    answered
}
