//! One client that writes what the ledger can check, and notes what became of each write.
//!
//! It must never use a serial number twice, nor take a reply for an answer that is none.

use std::io;
use std::time::{Duration, Instant};

use bulkhead::env::Random;
use bulkhead::resp::Value;

use crate::client::Client;
use crate::ledger::{Fate, Ledger, Stamp, Write};

const SHARED_COUNTERS: u64 = 4;

/// How many writes of a writer go to the same log or list.
const WRITES_PER_LOG: u64 = 64;

/// How a writer goes about it.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Writes sent at once, at most.
    pub pipeline_max: u64,
    /// From the start of one pipeline to the next, if the server is that fast.
    pub interval: Duration,
    /// Codes of errors that mean: certainly not executed. Any other error is a violation, but for INDOUBT.
    pub refusals: &'static [&'static str],
}

/// What a server says when it has no time.
pub const BUSY: &[&str] = &["TRYAGAIN"];

/// What it may say besides when the disk refuses.
pub const DISK_REFUSES: &[&str] = &["TRYAGAIN", "NOSPACE", "IOERR", "READONLY"];

/// A write that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub stamp: Stamp,
    pub write: Write,
    pub fate: Fate,
    pub at: Instant,
    /// Until it was answered, if it was.
    pub took: Option<Duration>,
    /// The error that it was answered with.
    pub error: Option<String>,
}

/// What became of many writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub acknowledged: u64,
    pub in_doubt: u64,
    pub refused: u64,
}

impl Tally {
    pub fn add(&mut self, fate: Fate) {
        *match fate {
            Fate::Acknowledged(_) => &mut self.acknowledged,
            Fate::InDoubt => &mut self.in_doubt,
            Fate::Refused => &mut self.refused,
        } += 1;
    }
}

/// Enters all of a writer's writes.
pub fn enter(ledger: &mut Ledger, report: &[Sent]) -> Tally {
    let mut tally = Tally::default();
    for Sent { stamp, write, fate, .. } in report {
        ledger.enter(*stamp, write, *fate);
        tally.add(*fate);
    }
    tally
}

/// One client, which may connect anew at any time.
pub struct Writer {
    id: u32,
    serial: u64,
    dice: Random,
}

impl Writer {
    pub fn new(id: u32, seed: u64) -> Writer {
        Writer { id, serial: 0, dice: Random::from_seed(seed) }
    }

    /// Pipelines of random writes until `is_over` or the connection ends.
    pub fn write(&mut self, port: u16, manner: Manner, is_over: impl Fn() -> bool) -> Result<Vec<Sent>, String> {
        let mut report = Vec::new();
        // A server that is killed before everybody is connected is nothing special.
        let Ok(mut client) = Client::connect(port) else { return Ok(report) };
        while !is_over() {
            let began = Instant::now();
            let answered = report.len();
            for _ in 0..=self.dice.next_u64() % manner.pipeline_max {
                let (stamp, write) = self.next_write();
                write.commands(stamp).iter().for_each(|command| client.queue(command));
                report.push(Sent { stamp, write, fate: Fate::InDoubt, at: began, took: None, error: None });
            }
            if client.flush().is_err() {
                return Ok(report);
            }
            for sent in &mut report[answered..] {
                match read_replies(&mut client, sent) {
                    Ok(replies) => sent.learn(&replies, manner.refusals)?,
                    Err(error) if was_cut(&error) => return Ok(report),
                    Err(error) => return Err(format!("{:?} of {} was not answered: {error}", sent.write, sent.stamp)),
                }
            }
            std::thread::sleep(manner.interval.saturating_sub(began.elapsed()));
        }
        Ok(report)
    }

    fn next_write(&mut self) -> (Stamp, Write) {
        self.serial += 1;
        let stamp = Stamp { writer: self.id, serial: self.serial };
        let write = match self.dice.next_u64() % 6 {
            0 => Write::Increment(format!("counter:shared:{}", self.dice.next_u64() % SHARED_COUNTERS)),
            1 => Write::Increment(format!("counter:w{:03}", self.id)),
            2 => Write::Token,
            3 => Write::Group,
            4 => Write::Transaction(self.serial / WRITES_PER_LOG),
            _ => Write::Entry(self.serial / WRITES_PER_LOG),
        };
        (stamp, write)
    }
}

fn read_replies(client: &mut Client, sent: &Sent) -> io::Result<Vec<Value>> {
    sent.write.commands(sent.stamp).iter().map(|_| client.read()).collect()
}

impl Sent {
    fn learn(&mut self, replies: &[Value], refusals: &[&str]) -> Result<(), String> {
        let texts = || replies.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
        let fate = self.write.judge(replies, refusals);
        self.fate = fate.ok_or_else(|| format!("{:?} of {} was answered {}", self.write, self.stamp, texts()))?;
        self.took = Some(self.at.elapsed());
        if let Some(Value::Error(text)) = replies.last() {
            self.error = Some(String::from_utf8_lossy(text).into_owned());
        }
        Ok(())
    }
}

/// Whether the connection ended, rather than a reply being garbled or missing.
fn was_cut(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), ConnectionReset | BrokenPipe | UnexpectedEof)
}
