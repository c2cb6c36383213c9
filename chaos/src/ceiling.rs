//! The memory ceiling: many clients ask for more than the server can do, some of them never read a reply (R3.2).
//!
//! Its memory must stay under a bound all the while, and everybody who reads must be served. What it can do is measured
//! first, on the same machine with the same clients; the load offered is a multiple of that, sent by the clock rather
//! than by the replies. How fast anything is decides nothing here.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bulkhead::env::Random;
use bulkhead::limits;
use bulkhead::resp::{Value, encode_command};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::client::{Client, PATIENCE};
use crate::process::{Recipe, Server};

#[derive(Clone, Debug)]
pub struct Plan {
    pub program: PathBuf,
    /// Who read what they are sent.
    pub readers: usize,
    /// Who ask and never read.
    pub silent: usize,
    /// How much is asked for, as a multiple of what the server can do.
    pub overload: u32,
    pub calibration: Duration,
    pub duration: Duration,
    /// Resident memory must stay below this: [`bound_bytes`], or a bound of one's own.
    pub bound_bytes: u64,
    /// Of the server.
    pub flags: &'static [&'static str],
}

/// Small caches and memtables: what is left is what clients can make the server hold.
pub const FLAGS: &[&str] = &[
    "--rocksdb.block_cache_size",
    "64mb",
    "--record-cache-size",
    "16mb",
    "--rocksdb.write_buffer_size",
    "16mb",
    "--channel-max-bytes",
    "64mb",
];

/// What the server may hold at most with these flags, in bytes: 512 MiB for the block cache (64), the record cache (16), the
/// channel (64), two column families' memtables (six of 16 MiB each), the program, the allocator's slack; and for every
/// client what it has sent and is not decoded, a pipeline that waits to be sent to storage, replies on their way to the
/// socket, and a chunk of replies behind them.
pub fn bound_bytes(clients: usize) -> u64 {
    let per_client =
        limits::INPUT_PAUSE_BYTES + limits::REQUEST_BYTES_MAX + limits::OUTPUT_PAUSE_BYTES + limits::REPLY_CHUNK_BYTES;
    (512 << 20) + (clients * per_client) as u64
}

const KEYS: u64 = 10_000;
const VALUE_BYTES: usize = 1024;
const WRITES_PERCENT: u64 = 20;

/// What the silent ask for, so that their replies fill whatever buffer there is.
const LARGE_VALUE_BYTES: usize = 100 * 1024;

/// In the overload several requests become due at once, so what the server can do is measured in the same way.
const CALIBRATION_PIPELINE: u64 = 16;

/// How often a client sends what has become due meanwhile.
const TICK: Duration = Duration::from_millis(100);

/// How often it is told how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

const SAMPLE_INTERVAL: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub struct Outcome {
    pub readers: usize,
    pub silent: usize,
    /// Requests per second, as measured before.
    pub capacity: f64,
    pub offered: f64,
    pub answered: u64,
    /// Answered with an error that says that the server has no time.
    pub refused: u64,
    /// Of the client that was served least.
    pub least: u64,
    pub median: u64,
    pub duration: Duration,
    pub resident_before: u64,
    pub resident_max: u64,
    pub resident_after: u64,
    pub bound_bytes: u64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes >> 20;
        let seconds = self.duration.as_secs_f64();
        write!(
            f,
            "{} clients that read and {} that never do: capacity {:.0}/s, offered {:.0}/s for {seconds:.0} s, answered \
             {:.0}/s, {} of them refused; the client served least had {} replies, the median {}; resident memory {} MiB \
             before, {} MiB at most, {} MiB after, bound {} MiB",
            self.readers,
            self.silent,
            self.capacity,
            self.offered,
            self.answered as f64 / seconds,
            self.refused,
            self.least,
            self.median,
            mib(self.resident_before),
            mib(self.resident_max),
            mib(self.resident_after),
            mib(self.bound_bytes)
        )
    }
}

/// The outcome, or what the server did not stand. `log` hears how far it is.
pub fn run(plan: &Plan, home: &Path, log: impl Fn(&str) + Copy) -> Result<Outcome, String> {
    let dir = home.join("data");
    std::fs::create_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let flags = plan.flags.iter().map(|flag| flag.to_string()).collect();
    let recipe = Recipe { program: plan.program.clone(), dir, flags, environment: Vec::new() };
    let mut server = recipe.start()?;
    log(&format!("serving after {} ms", server.started_in.as_millis()));
    load(server.port).map_err(|error| format!("loading: {error}"))?;
    let port = server.port;
    log(&format!("{KEYS} keys are there; {} clients find out what it can do", plan.readers));
    let calibration = in_a_runtime(|| closed_loop(port, plan.readers, plan.calibration))?;
    let capacity = calibration as f64 / plan.calibration.as_secs_f64();
    let resident = |server: &Server| server.resident_bytes().map_err(|error| format!("its memory: {error}"));
    let resident_before = resident(&server)?;
    let (over, resident_max) = (AtomicBool::new(false), AtomicU64::new(0));
    let rate = capacity * f64::from(plan.overload) / plan.readers as f64;
    let offered = rate * plan.readers as f64;
    log(&format!("{capacity:.0} requests a second; now {offered:.0} are asked for, for {:?}", plan.duration));
    let served = std::thread::scope(|scope| {
        // However the load ends, even by a panic, the one who looks at the memory ends with it.
        let _over = SetAtEnd(&over);
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                resident_max.fetch_max(server.resident_bytes().unwrap_or_default(), Ordering::Relaxed);
                std::thread::sleep(SAMPLE_INTERVAL);
            }
        });
        in_a_runtime(|| open_loop(port, plan, rate, log))
    });
    if server.has_ended() {
        return Err(format!("the server ended under the load:\n{}", server.last_words()));
    }
    let (served, took) = served?;
    let mut replies: Vec<u64> = served.iter().map(|served| served.replies).collect();
    replies.sort_unstable();
    // Everybody who has left must be forgotten.
    let mut client = Client::connect(port).map_err(|error| error.to_string())?;
    client.call(&["PING"]).map_err(|error| format!("PING after the load: {error}"))?;
    let outcome = Outcome {
        readers: plan.readers,
        silent: plan.silent,
        capacity,
        offered,
        answered: replies.iter().sum(),
        refused: served.iter().map(|served| served.refused).sum(),
        least: replies[0],
        median: replies[replies.len() / 2],
        duration: took,
        resident_before,
        resident_max: resident_max.load(Ordering::Relaxed),
        resident_after: resident(&server)?,
        bound_bytes: plan.bound_bytes,
    };
    if outcome.resident_max > plan.bound_bytes {
        return Err(format!("its memory went over the bound: {outcome}"));
    }
    if outcome.least == 0 {
        return Err(format!("somebody who reads was not served at all: {outcome}"));
    }
    Ok(outcome)
}

/// Sets a flag when it goes.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn load(port: u16) -> io::Result<()> {
    let mut client = Client::connect(port)?;
    for number in 0..KEYS {
        client.queue(&[b"SET".to_vec(), key(number), vec![b'x'; VALUE_BYTES]]);
    }
    client.queue(&[b"SET".to_vec(), b"large".to_vec(), vec![b'x'; LARGE_VALUE_BYTES]]);
    client.flush()?;
    for _ in 0..=KEYS {
        if let Value::Error(text) = client.read()? {
            return Err(io::Error::other(String::from_utf8_lossy(&text).into_owned()));
        }
    }
    Ok(())
}

fn key(number: u64) -> Vec<u8> {
    format!("key:{number:08}").into_bytes()
}

/// All clients on one thread, so that on a small machine they take no more than one core.
fn in_a_runtime<T, F: Future<Output = Result<T, String>>>(work: impl FnOnce() -> F) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("a runtime: {error}"))?;
    tokio::task::LocalSet::new().block_on(&runtime, work())
}

fn put_request(dice: &mut Random, out: &mut BytesMut) {
    let key = key(dice.next_u64() % KEYS);
    if dice.next_u64() % 100 < WRITES_PERCENT {
        encode_command(&[&b"SET"[..], &key, &[b'y'; VALUE_BYTES]], out);
    } else {
        encode_command(&[&b"GET"[..], &key], out);
    }
}

async fn connect(port: u16) -> Result<(OwnedReadHalf, OwnedWriteHalf), String> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| format!("a client: {error}"))?;
    Ok(stream.into_split())
}

/// The next reply. The end of a connection is an error: nobody who reads may be thrown out.
async fn read(from: &mut OwnedReadHalf, unread: &mut BytesMut) -> Result<Value, String> {
    loop {
        match Value::decode(unread).map_err(|error| error.to_string())? {
            Some(reply) => return Ok(reply),
            None => match from.read_buf(unread).await {
                Ok(0) => return Err("a client that reads was thrown out".into()),
                Ok(_) => {}
                Err(error) => return Err(format!("a client that reads: {error}")),
            },
        }
    }
}

/// Each client sends when it has its replies: how many replies in all.
async fn closed_loop(port: u16, clients: usize, duration: Duration) -> Result<u64, String> {
    // All of them first: whoever asks while others connect would have more than its share of the server.
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(connect(port).await?);
    }
    let start = Instant::now();
    let mut tasks = Vec::new();
    for (id, (mut from, mut to)) in connections.into_iter().enumerate() {
        tasks.push(tokio::task::spawn_local(async move {
            let (mut dice, mut unread, mut replies) = (Random::from_seed(id as u64), BytesMut::new(), 0);
            while start.elapsed() < duration {
                let mut requests = BytesMut::new();
                (0..CALIBRATION_PIPELINE).for_each(|_| put_request(&mut dice, &mut requests));
                to.write_all(&requests).await.map_err(|error| error.to_string())?;
                for _ in 0..CALIBRATION_PIPELINE {
                    read(&mut from, &mut unread).await?;
                    replies += 1;
                }
            }
            Ok::<u64, String>(replies)
        }));
    }
    let mut replies = 0;
    for task in tasks {
        replies += task.await.map_err(|error| error.to_string())??;
    }
    Ok(replies)
}

#[derive(Clone, Copy, Default)]
struct Served {
    replies: u64,
    refused: u64,
}

/// Each client sends `rate` requests a second, whatever comes back, as long as its socket takes them.
async fn open_loop(port: u16, plan: &Plan, rate: f64, log: impl Fn(&str)) -> Result<(Vec<Served>, Duration), String> {
    let served = Rc::new(RefCell::new(vec![Served::default(); plan.readers]));
    let failure: Rc<RefCell<Option<String>>> = Rc::default();
    let mut tasks = Vec::new();
    // All of them first: who connects late would be served less.
    let (mut silent, mut readers) = (Vec::new(), Vec::new());
    for _ in 0..plan.silent {
        silent.push(connect(port).await?);
    }
    for _ in 0..plan.readers {
        readers.push(connect(port).await?);
    }
    let start = Instant::now();
    for (from, to) in silent {
        tasks.push(tokio::task::spawn_local(stay_silent(from, to)));
    }
    for (id, (mut from, to)) in readers.into_iter().enumerate() {
        tasks.push(tokio::task::spawn_local(send(to, id as u64, rate)));
        let (served, failure) = (served.clone(), failure.clone());
        tasks.push(tokio::task::spawn_local(async move {
            let mut unread = BytesMut::new();
            loop {
                let refused = match read(&mut from, &mut unread).await {
                    Ok(Value::Error(text)) if text.starts_with(b"TRYAGAIN ") || text.starts_with(b"INDOUBT ") => 1,
                    Ok(Value::Error(text)) => {
                        failure.replace(Some(String::from_utf8_lossy(&text).into_owned()));
                        return;
                    }
                    Ok(_) => 0,
                    Err(error) => {
                        failure.replace(Some(error));
                        return;
                    }
                };
                let mut served = served.borrow_mut();
                served[id].replies += 1;
                served[id].refused += refused;
            }
        }));
    }
    while start.elapsed() < plan.duration {
        tokio::time::sleep(PROGRESS_INTERVAL.min(plan.duration.saturating_sub(start.elapsed()))).await;
        let (replies, unserved) = {
            let served = served.borrow();
            let replies: u64 = served.iter().map(|served| served.replies).sum();
            (replies, served.iter().filter(|served| served.replies == 0).count())
        };
        log(&format!("after {} s: {replies} replies, {unserved} clients without any", start.elapsed().as_secs()));
        if failure.borrow().is_some() {
            break;
        }
    }
    // The load stays on until everybody has been served, or it is clear that somebody never will be.
    while failure.borrow().is_none()
        && start.elapsed() < plan.duration + PATIENCE
        && served.borrow().iter().any(|served| served.replies == 0)
    {
        tokio::time::sleep(TICK).await;
    }
    let took = start.elapsed();
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    match failure.take() {
        Some(failure) => Err(failure),
        None => Ok((served.borrow().clone(), took)),
    }
}

async fn send(mut to: OwnedWriteHalf, id: u64, rate: f64) {
    let mut dice = Random::from_seed(id);
    let (start, mut sent) = (Instant::now(), 0.0);
    loop {
        let due = start.elapsed().as_secs_f64() * rate;
        let mut requests = BytesMut::new();
        while sent < due {
            put_request(&mut dice, &mut requests);
            sent += 1.0;
            // A few at a time: what the socket does not take is lost load, not this program's memory.
            if requests.len() > 64 * 1024 {
                break;
            }
        }
        // An end of the connection is for the reader to tell.
        if to.write_all(&requests).await.is_err() {
            return;
        }
        tokio::time::sleep(TICK).await;
    }
}

/// Asks for large values until the socket takes no more, and never reads.
async fn stay_silent(from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut requests = BytesMut::new();
    for _ in 0..100 {
        encode_command(&[&b"GET"[..], b"large"], &mut requests);
    }
    // It may be thrown out: that is the server's right.
    while to.write_all(&requests).await.is_ok() {}
    drop(from);
}
