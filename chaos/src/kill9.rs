//! The kill −9 test: clients write, the server dies in mid-load, starts again, and must hold what it had acknowledged.
//!
//! One [`Campaign`] is many rounds on a few directories. A round: start, audit, write, SIGKILL at a random moment; now and
//! then the next start is killed as well, in the middle of its recovery. The seed decides what is written and how long
//! the server lives; what was on its way at that moment is up to the machine, so a seed does not repeat a failure; the
//! evidence is the directory and the log, which a failed campaign leaves behind.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bulkhead::env::Random;

use crate::audit::audit;
use crate::ledger::Ledger;
use crate::process::{Recipe, Server};
use crate::writer::{BUSY, Manner, Tally, Writer, enter};

/// A directory sees this many rounds before a new one is begun, so that audits stay short.
const ROUNDS_PER_DIRECTORY: u32 = 10;

/// As fast as the server answers.
const MANNER: Manner = Manner { pipeline_max: 16, interval: Duration::ZERO, refusals: BUSY };

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
    pub writes: Tally,
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
            self.writes.acknowledged,
            self.writes.acknowledged as f64 / self.loaded.as_secs_f64().max(f64::EPSILON),
            self.writes.in_doubt,
            self.came_true,
            self.writes.refused,
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
            let recipe = Recipe { program: self.program.clone(), dir, flags, environment: Vec::new() };
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
            let agreed = audit(server.port, &mut ledger, 0)?;
            if round > 0 {
                summary.starts.push(server.started_in);
            }
            summary.came_true += agreed.came_true;
            if round < rounds {
                let life = Duration::from_millis(LIFE_MS.start + dice.next_u64() % (LIFE_MS.end - LIFE_MS.start));
                self.load_and_kill(server, life, &mut writers, &mut ledger, summary)?;
                progress(&format!(
                    "round {}/{}: {} keys held; so far {summary}",
                    summary.rounds, self.rounds, agreed.keys
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
                writers.iter_mut().map(|writer| scope.spawn(|| writer.write(port, MANNER, || false))).collect();
            std::thread::sleep(life);
            let killed = server.kill();
            let reports: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("a writer panicked")).collect();
            (killed, reports)
        });
        summary.loaded += start.elapsed();
        summary.rounds += 1;
        killed?;
        for report in reports {
            let tally = enter(ledger, &report?);
            summary.writes.acknowledged += tally.acknowledged;
            summary.writes.in_doubt += tally.in_doubt;
            summary.writes.refused += tally.refused;
        }
        Ok(())
    }
}
