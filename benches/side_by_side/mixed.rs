//! Reads and writes at once while RocksDB compacts (R4.1): the two runtimes against one, the same binary.
//!
//! 50 clients, each with one request at a time: 80 % GET, 20 % SET, over more keys than the memtable holds. A server is
//! let alone until its compactions are done before the other's turn, so that neither pays for the other's.

use std::cell::{Cell, RefCell};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bulkhead::env::Random;
use bulkhead::resp::{Value, encode_command};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Plan;
use crate::plain::{info, number, start_with_one_runtime};
use crate::support::{PATIENCE, Server, wait_for};
use crate::table::{Row, median, render};

const CLIENTS: u64 = 50;
const VALUE_BYTES: usize = 512;

pub fn run(plan: Plan) -> String {
    // A fifth of the plain load's keys, of four times its size.
    let keys = plan.keys as u64 / 5;
    let memtable = ["--rocksdb.write_buffer_size", plan.mixed_memtable];
    let dual = Server::start(&memtable);
    let servers = [("one runtime", start_with_one_runtime(&dual, &memtable)), ("two runtimes", dual)];
    for (name, server) in &servers {
        eprintln!("setting {keys} keys for the mixed load on {name}");
        run_load(server.port, Load { keys, writes_percent: 100, stop: Stop::After { requests: keys * 2 } });
    }
    let mut row = Row { load: "80 % GET, 20 % SET".into(), samples: vec![Vec::new(); servers.len()] };
    let mut p99_us = [Vec::new(), Vec::new()];
    let mut compacting = [Vec::new(), Vec::new()];
    for round in 0..plan.rounds {
        for turn in 0..servers.len() {
            let index = (round + turn) % servers.len();
            let (name, server) = &servers[index];
            let window = Duration::from_millis(plan.mixed_ms);
            let outcome = run_load(server.port, Load { keys, writes_percent: 20, stop: Stop::At { window } });
            eprintln!("round {} of {}: mixed load: {name}: {outcome:?}", round + 1, plan.rounds);
            row.samples[index].push(outcome.rate);
            p99_us[index].push(outcome.p99_us);
            compacting[index].push(outcome.compacting_percent);
            wait_for(PATIENCE, || is_idle(server).then_some(()));
        }
    }
    let names = servers.each_ref().map(|(name, _)| *name);
    for (_, server) in servers {
        server.stop();
    }
    let table = render(&names, 0, None, &[row]);
    let mean = |samples: &[f64]| samples.iter().sum::<f64>() / samples.len() as f64;
    let facts = |index: usize| {
        let (name, p99, share) = (names[index], median(&p99_us[index]), mean(&compacting[index]));
        assert!(share > 0.0 || !plan.must_compact, "{name}: nothing was compacted, so the load was not the one meant");
        format!("{name}: p99 {p99:.0} µs, flushing or compacting {share:.0} % of the time")
    };
    format!(
        "Mixed load, {} rounds of {} ms, {keys} keys of {VALUE_BYTES} bytes, memtables of {}, {CLIENTS} clients:\n\n\
         {table}\n{}; {}.\n",
        plan.rounds,
        plan.mixed_ms,
        plan.mixed_memtable,
        facts(0),
        facts(1)
    )
}

fn is_idle(server: &Server) -> bool {
    let text = info(&mut server.client(), "storage");
    number(&text, "running_compactions") + number(&text, "running_flushes") == 0
}

#[derive(Clone, Copy)]
struct Load {
    keys: u64,
    writes_percent: u64,
    stop: Stop,
}

#[derive(Clone, Copy)]
enum Stop {
    After { requests: u64 },
    At { window: Duration },
}

#[derive(Debug)]
struct Outcome {
    /// Requests per second.
    rate: f64,
    p99_us: f64,
    /// How often INFO said that a flush or a compaction was running.
    compacting_percent: f64,
}

/// Runs all clients on one thread, so that on a small machine the load takes no more than one core.
fn run_load(port: u16, load: Load) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let clients = tokio::task::LocalSet::new();
    let latencies_us = std::rc::Rc::new(RefCell::new(Vec::new()));
    let sent = std::rc::Rc::new(Cell::new(0));
    let start = Instant::now();
    for id in 0..CLIENTS {
        let (latencies_us, sent) = (latencies_us.clone(), sent.clone());
        clients.spawn_local(async move {
            let mut connection = Connection::open(port).await;
            let mut dice = Random::from_seed(id);
            while !is_over(load.stop, sent.get(), start) {
                sent.set(sent.get() + 1);
                let asked = Instant::now();
                connection.request(&mut dice, load).await;
                latencies_us.borrow_mut().push(asked.elapsed().as_micros() as f64);
            }
        });
    }
    let busy = std::thread::scope(|scope| {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let watcher = scope.spawn(move || watch(port, &stopped));
        runtime.block_on(clients);
        drop(stop);
        watcher.join().expect("the watcher panicked")
    });
    let elapsed = start.elapsed().as_secs_f64();
    let mut latencies_us = latencies_us.take();
    latencies_us.sort_by(f64::total_cmp);
    let p99_us = latencies_us[latencies_us.len() * 99 / 100].max(1.0);
    Outcome { rate: latencies_us.len() as f64 / elapsed, p99_us, compacting_percent: busy }
}

fn is_over(stop: Stop, sent: u64, start: Instant) -> bool {
    match stop {
        Stop::After { requests } => sent >= requests,
        Stop::At { window } => start.elapsed() >= window,
    }
}

/// Asks ten times a second, until told to stop, whether RocksDB is at work: in how many percent of the cases it was.
fn watch(port: u16, stopped: &std::sync::mpsc::Receiver<()>) -> f64 {
    let mut client = crate::support::Client::connect(port);
    let (mut asked, mut busy) = (0, 0);
    loop {
        let text = info(&mut client, "storage");
        asked += 1;
        busy += u32::from(number(&text, "running_compactions") + number(&text, "running_flushes") > 0);
        if stopped.recv_timeout(Duration::from_millis(100)) != Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            return f64::from(busy) * 100.0 / f64::from(asked);
        }
    }
}

struct Connection {
    stream: TcpStream,
    unsent: BytesMut,
    unread: BytesMut,
}

impl Connection {
    async fn open(port: u16) -> Connection {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("a connection");
        stream.set_nodelay(true).expect("a usable socket");
        Connection { stream, unsent: BytesMut::new(), unread: BytesMut::new() }
    }

    /// One request and its reply, which must not be an error.
    async fn request(&mut self, dice: &mut Random, load: Load) {
        let key = format!("key:{:012}", dice.next_u64() % load.keys);
        if dice.next_u64() % 100 < load.writes_percent {
            // Bytes that do not compress: RocksDB has to move them all.
            let value: Vec<u8> = (0..VALUE_BYTES / 8).flat_map(|_| dice.next_u64().to_le_bytes()).collect();
            encode_command(&[b"SET", key.as_bytes(), &value], &mut self.unsent);
        } else {
            encode_command(&[b"GET", key.as_bytes()], &mut self.unsent);
        }
        self.stream.write_all(&self.unsent.split()).await.expect("the server to take a request");
        loop {
            match Value::decode(&mut self.unread).expect("a reply") {
                Some(reply @ Value::Error(_)) => panic!("{reply}"),
                Some(_) => return,
                None => {}
            }
            let len = self.stream.read_buf(&mut self.unread).await.expect("the server to answer");
            assert_ne!(len, 0, "the server closed the connection");
        }
    }
}
