//! Probes: small requests at a fixed rate, from connections of their own, and how long each took.
//!
//! A stall must not hide behind its own length: a request that is due while the reply to the one before it is missing is
//! charged from the moment it was due. But a probe that was late by itself, because this machine gave it no processor,
//! must not blame the server: then the time runs from the moment of sending, and [`Course::late`] tells how late it was.

use std::io;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bulkhead::env::Random;
use bulkhead::resp::Value;

use crate::client::{Client, info_number};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    Ping,
    /// A new connection, and PING over it.
    Connect,
    Info,
    /// GET of one of a few keys.
    HotGet,
    /// GET of any of many keys, most of which are in no cache of the server's.
    ColdGet,
}

/// Keys that the probes ask for; they must be there.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    pub hot: u64,
    pub cold: u64,
}

impl Keys {
    pub fn hot(number: u64) -> String {
        format!("hot:{number:08}")
    }

    pub fn cold(number: u64) -> String {
        format!("cold:{number:08}")
    }
}

/// The share of requests that a bar is about, and what it allows.
#[derive(Clone, Copy, Debug)]
pub struct Bar {
    pub quantile: f64,
    pub limit: Duration,
}

impl Probe {
    pub const ALL: [Probe; 5] = [Probe::Ping, Probe::Connect, Probe::Info, Probe::HotGet, Probe::ColdGet];

    pub fn name(self) -> &'static str {
        match self {
            Probe::Ping => "PING",
            Probe::Connect => "connect + PING",
            Probe::Info => "INFO",
            Probe::HotGet => "GET, hot",
            Probe::ColdGet => "GET, cold",
        }
    }

    /// From one request to the next.
    fn interval(self) -> Duration {
        Duration::from_millis(match self {
            Probe::Ping | Probe::HotGet => 2,
            Probe::Connect | Probe::Info | Probe::ColdGet => 10,
        })
    }

    /// What R1 asks for during a stall, on two cores.
    pub fn bar(self) -> Option<Bar> {
        let bar = |quantile, limit_ms| Some(Bar { quantile, limit: Duration::from_millis(limit_ms) });
        match self {
            Probe::Ping | Probe::Info => bar(0.999, 10),
            Probe::Connect => bar(0.99, 10),
            Probe::HotGet => bar(0.999, 20),
            Probe::ColdGet => None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Since the start of the run.
    pub due: Duration,
    pub latency: Duration,
}

/// All that one probe saw.
#[derive(Clone, Debug)]
pub struct Course {
    pub probe: Probe,
    pub samples: Vec<Sample>,
    /// How late the probe itself was, at worst.
    pub late: Duration,
    /// When INFO said that RocksDB had stopped writes, by [`Probe::Info`] only.
    pub stopped: Vec<Duration>,
}

/// Asks from `start` on until `end` is set and reached. An error reply, or none at all, is a failure.
pub fn watch(probe: Probe, port: u16, keys: Keys, start: Instant, end: &OnceLock<Instant>) -> Result<Course, String> {
    let mut course = Course { probe, samples: Vec::new(), late: Duration::ZERO, stopped: Vec::new() };
    let mut dice = Random::from_seed(probe as u64);
    let mut client = Client::connect(port).map_err(|error| format!("{}: {error}", probe.name()))?;
    let mut answered = start;
    for number in 0.. {
        let due = start + probe.interval() * number;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if end.get().is_some_and(|end| due >= *end) {
            break;
        }
        let sent = Instant::now();
        let since = if answered > due { due } else { sent };
        course.late = course.late.max(sent - due.max(answered));
        let reply = ask(probe, &mut client, port, keys, &mut dice)
            .map_err(|error| format!("{} at {:?}, after {:?}: {error}", probe.name(), due - start, sent.elapsed()))?;
        answered = Instant::now();
        course.samples.push(Sample { due: due - start, latency: answered - since });
        match (probe, reply) {
            (_, Value::Error(text)) => return Err(format!("{}: {}", probe.name(), String::from_utf8_lossy(&text))),
            (Probe::HotGet | Probe::ColdGet, Value::Null) => return Err(format!("{}: no such key", probe.name())),
            (Probe::Info, Value::Bulk(text)) if says_stopped(&text) => course.stopped.push(due - start),
            _ => {}
        }
    }
    Ok(course)
}

/// RocksDB has stopped writes.
fn says_stopped(info: &[u8]) -> bool {
    info_number(&String::from_utf8_lossy(info), "writes_stopped") == Some(1)
}

fn ask(probe: Probe, client: &mut Client, port: u16, keys: Keys, dice: &mut Random) -> io::Result<Value> {
    match probe {
        Probe::Ping => client.call(&["PING"]),
        Probe::Connect => Client::connect(port)?.call(&["PING"]),
        Probe::Info => client.call(&["INFO"]),
        Probe::HotGet => client.call(&["GET", &Keys::hot(dice.next_u64() % keys.hot)]),
        Probe::ColdGet => client.call(&["GET", &Keys::cold(dice.next_u64() % keys.cold)]),
    }
}

/// Latencies in order, to be asked for quantiles.
pub struct Latencies(Vec<Duration>);

impl Latencies {
    pub fn of(latencies: impl Iterator<Item = Duration>) -> Latencies {
        let mut latencies: Vec<Duration> = latencies.collect();
        latencies.sort_unstable();
        Latencies(latencies)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The least latency that at least such a share did not exceed; 1: the worst.
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.clamp(1, self.0.len().max(1)) - 1).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// A server whose PONG to one request takes `pause`, and to all others no time.
    fn server_that_pauses(at: usize, pause: Duration) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("the probe");
            let mut bytes = [0; 1024];
            for number in 0.. {
                if stream.read(&mut bytes).is_ok_and(|len| len == 0) {
                    return;
                }
                if number == at {
                    std::thread::sleep(pause);
                }
                if stream.write_all(b"+PONG\r\n").is_err() {
                    return;
                }
            }
        });
        port
    }

    #[test]
    fn a_pause_is_charged_to_every_request_that_was_due_in_it() {
        let pause = Duration::from_millis(600);
        let port = server_that_pauses(20, pause);
        let (start, end) = (Instant::now(), OnceLock::new());
        end.set(start + Duration::from_secs(1)).expect("set once");
        let course = watch(Probe::Ping, port, Keys { hot: 1, cold: 1 }, start, &end).expect("replies");
        assert_eq!(course.samples.len(), 500, "one for every 2 ms, whatever the server does");
        let slow = course.samples.iter().filter(|sample| sample.latency > pause / 2).count();
        // A probe that waits for its reply before it counts on would have noticed one.
        assert!((100..=200).contains(&slow), "{slow} of the 300 requests of the pause took more than half of it");
    }

    #[test]
    fn quantiles_are_latencies_that_were_measured() {
        let ms = Duration::from_millis;
        let latencies = Latencies::of((1..=1000).rev().map(ms));
        assert_eq!(latencies.quantile(0.5), ms(500));
        assert_eq!(latencies.quantile(0.999), ms(999));
        assert_eq!(latencies.quantile(1.0), ms(1000));
        assert_eq!(Latencies::of([ms(7)].into_iter()).quantile(0.5), ms(7));
        assert_eq!(Latencies::of(std::iter::empty()).quantile(0.5), ms(0));
    }
}
