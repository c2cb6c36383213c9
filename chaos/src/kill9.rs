//! The kill −9 test: clients write, the server dies in mid-load, starts again, and must hold what it had acknowledged.
//!
//! One [`Campaign`] is many rounds on a few directories. A round: start, audit, write, SIGKILL at a random moment; now and
//! then the next start is killed as well, in the middle of its recovery. The seed decides what is written and how long
//! the server lives; what was on its way at that moment is up to the machine, so a seed does not repeat a failure; the
//! evidence is the directory and the log, which a failed campaign leaves behind.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bulkhead::env::Random;
use bulkhead::resp::Value;

use crate::client::Client;
use crate::ledger::{Data, Fate, Ledger, Stamp, Write};
use crate::process::{Recipe, Server};

/// A directory sees this many rounds before a new one is begun, so that audits stay short.
const ROUNDS_PER_DIRECTORY: u32 = 10;

const SHARED_COUNTERS: u64 = 4;

/// How many writes of a writer go to the same log.
const WRITES_PER_LOG: u64 = 64;

const PIPELINE_MAX: u64 = 16;

/// How long a server lives under load.
const LIFE_MS: std::ops::Range<u64> = 30..600;

#[derive(Clone, Debug)]
pub struct Campaign {
    pub program: PathBuf,
    pub appendfsync: String,
    pub rounds: u32,
    pub seed: u64,
    pub writers: u32,
    /// More flags for the server.
    pub flags: Vec<String>,
}

/// What a campaign did.
#[derive(Debug, Default)]
pub struct Summary {
    pub rounds: u32,
    pub cut_recoveries: u32,
    pub acknowledged: u64,
    pub in_doubt: u64,
    pub refused: u64,
    /// Of the tokens and log entries in doubt, those that had taken effect.
    pub came_true: usize,
    pub loaded: Duration,
    pub starts: Vec<Duration>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut starts = self.starts.clone();
        starts.sort_unstable();
        let start = |index: usize| starts.get(index).copied().unwrap_or_default().as_millis();
        write!(
            f,
            "{} rounds, {} of them with a recovery cut short: {} writes acknowledged ({:.0}/s), {} in doubt ({} tokens and \
             entries of them took effect), {} refused; restart to PONG: median {} ms, worst {} ms",
            self.rounds,
            self.cut_recoveries,
            self.acknowledged,
            self.acknowledged as f64 / self.loaded.as_secs_f64().max(f64::EPSILON),
            self.in_doubt,
            self.came_true,
            self.refused,
            start(starts.len() / 2),
            start(starts.len().saturating_sub(1)),
        )
    }
}

impl Campaign {
    /// Runs all rounds with their directories in `home`; the first violation ends it, as a text with the evidence, and
    /// leaves its directory there. `progress` gets a line per round.
    pub fn run(&self, home: &Path, mut progress: impl FnMut(&str)) -> Result<Summary, String> {
        let mut summary = Summary::default();
        let mut dice = Random::from_seed(self.seed);
        while summary.rounds < self.rounds {
            let dir = home.join(format!("from-round-{}", summary.rounds));
            std::fs::create_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
            let fsync = ["--appendfsync".into(), self.appendfsync.clone()];
            let flags = fsync.into_iter().chain(self.flags.clone()).collect();
            let recipe = Recipe { program: self.program.clone(), dir, flags };
            let rounds = (self.rounds - summary.rounds).min(ROUNDS_PER_DIRECTORY);
            self.wear_out(&recipe, rounds, &mut dice, &mut summary, &mut progress).map_err(|evidence| {
                let (round, seed, log) = (summary.rounds, self.seed, recipe.log());
                format!("round {round}, seed {seed}, log {}: {evidence}", log.display())
            })?;
            std::fs::remove_dir_all(&recipe.dir).map_err(|error| format!("{}: {error}", recipe.dir.display()))?;
        }
        Ok(summary)
    }

    /// The rounds of one directory.
    fn wear_out(
        &self,
        recipe: &Recipe,
        rounds: u32,
        dice: &mut Random,
        summary: &mut Summary,
        progress: &mut impl FnMut(&str),
    ) -> Result<(), String> {
        let mut ledger = Ledger::default();
        let mut writers: Vec<Writer> = (0..self.writers).map(|id| Writer::new(id, dice.next_u64())).collect();
        for round in 0..=rounds {
            if round > 0 && dice.next_u64().is_multiple_of(4) {
                recipe.start_and_kill_after(Duration::from_millis(dice.next_u64() % 100))?;
                summary.cut_recoveries += 1;
            }
            let server = recipe.start()?;
            let (found, dbsize) =
                read_all(server.port, &ledger).map_err(|error| format!("reading the data back: {error}"))?;
            let (mut wrong, came_true) = ledger.audit(&found);
            // Also finds keys that nobody wrote.
            if dbsize != Value::Integer(found.len() as i64) {
                wrong.insert(0, format!("{} keys were found, and DBSIZE says {dbsize}", found.len()));
            }
            if !wrong.is_empty() {
                let sample: Vec<String> = wrong.iter().step_by(wrong.len().div_ceil(20)).cloned().collect();
                return Err(format!("{} violations, {} of them:\n{}", wrong.len(), sample.len(), sample.join("\n")));
            }
            if round > 0 {
                summary.starts.push(server.started_in);
            }
            summary.came_true += came_true;
            if round < rounds {
                let life = Duration::from_millis(LIFE_MS.start + dice.next_u64() % (LIFE_MS.end - LIFE_MS.start));
                self.load_and_kill(server, life, &mut writers, &mut ledger, summary)?;
                progress(&format!(
                    "round {}/{}: {} keys held; so far {summary}",
                    summary.rounds,
                    self.rounds,
                    found.len()
                ));
            }
        }
        Ok(())
    }

    fn load_and_kill(
        &self,
        server: Server,
        life: Duration,
        writers: &mut [Writer],
        ledger: &mut Ledger,
        summary: &mut Summary,
    ) -> Result<(), String> {
        let port = server.port;
        let start = Instant::now();
        let (killed, reports) = std::thread::scope(|scope| {
            let threads: Vec<_> =
                writers.iter_mut().map(|writer| scope.spawn(|| writer.write_until_cut(port))).collect();
            std::thread::sleep(life);
            let killed = server.kill();
            let reports: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("a writer panicked")).collect();
            (killed, reports)
        });
        summary.loaded += start.elapsed();
        summary.rounds += 1;
        killed?;
        for report in reports {
            for (stamp, write, fate) in report? {
                *match fate {
                    Fate::Acknowledged(_) => &mut summary.acknowledged,
                    Fate::InDoubt => &mut summary.in_doubt,
                    Fate::Refused => &mut summary.refused,
                } += 1;
                ledger.enter(stamp, &write, fate);
            }
        }
        Ok(())
    }
}

/// What a writer sent in one round, and what became of it.
type Report = Vec<(Stamp, Write, Fate)>;

/// One client, which connects anew each round and never uses a serial number twice.
struct Writer {
    id: u32,
    serial: u64,
    dice: Random,
}

impl Writer {
    fn new(id: u32, seed: u64) -> Writer {
        Writer { id, serial: 0, dice: Random::from_seed(seed) }
    }

    /// Pipelines of random writes until the connection ends.
    fn write_until_cut(&mut self, port: u16) -> Result<Report, String> {
        let mut report = Report::new();
        // A server that is killed before everybody is connected is nothing special.
        let Ok(mut client) = Client::connect(port) else { return Ok(report) };
        loop {
            let answered = report.len();
            for _ in 0..=self.dice.next_u64() % PIPELINE_MAX {
                let (stamp, write) = self.next_write();
                client.queue(&write.command(stamp));
                report.push((stamp, write, Fate::InDoubt));
            }
            if client.flush().is_err() {
                return Ok(report);
            }
            for (stamp, write, fate) in &mut report[answered..] {
                match client.read() {
                    Ok(reply) => {
                        *fate = judge(write, &reply).ok_or(format!("{write:?} of {stamp} was answered {reply}"))?
                    }
                    Err(error) if was_cut(&error) => return Ok(report),
                    Err(error) => return Err(format!("{write:?} of {stamp} was not answered: {error}")),
                }
            }
        }
    }

    fn next_write(&mut self) -> (Stamp, Write) {
        self.serial += 1;
        let stamp = Stamp { writer: self.id, serial: self.serial };
        let write = match self.dice.next_u64() % 5 {
            0 => Write::Increment(format!("counter:shared:{}", self.dice.next_u64() % SHARED_COUNTERS)),
            1 => Write::Increment(format!("counter:w{:03}", self.id)),
            2 => Write::Token,
            3 => Write::Group,
            _ => Write::Entry(self.serial / WRITES_PER_LOG),
        };
        (stamp, write)
    }
}

/// What a reply says about a write; `None`: it must not be answered so.
fn judge(write: &Write, reply: &Value) -> Option<Fate> {
    match (write, reply) {
        (Write::Increment(_) | Write::Entry(_), Value::Integer(value)) => Some(Fate::Acknowledged(Some(*value))),
        (Write::Token | Write::Group, Value::Simple(text)) if text == "OK" => Some(Fate::Acknowledged(None)),
        (_, Value::Error(text)) if text.starts_with(b"INDOUBT ") => Some(Fate::InDoubt),
        (_, Value::Error(text)) if text.starts_with(b"TRYAGAIN ") => Some(Fate::Refused),
        _ => None,
    }
}

/// Whether the connection ended, rather than a reply being garbled or missing.
fn was_cut(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), ConnectionReset | BrokenPipe | UnexpectedEof)
}

/// What the server holds of the keys that the ledger knows, and its reply to DBSIZE.
fn read_all(port: u16, ledger: &Ledger) -> io::Result<(Data, Value)> {
    let mut client = Client::connect(port)?;
    let keys: Vec<String> = ledger.keys().collect();
    let mut found = Data::new();
    for keys in keys.chunks(500) {
        let mut command = vec!["MGET".to_string()];
        command.extend_from_slice(keys);
        let reply = client.call(&command)?;
        let Value::Array(values) = reply else { return Err(io::Error::other(format!("MGET was answered {reply}"))) };
        for (key, value) in keys.iter().zip(values) {
            match value {
                Value::Bulk(value) => drop(found.insert(key.clone(), value)),
                Value::Null => {}
                other => return Err(io::Error::other(format!("{key} was read as {other}"))),
            }
        }
    }
    Ok((found, client.call(&["DBSIZE"])?))
}
