//! `cargo sim`: runs seeds, reports progress, and replays one seed with everything that happened in it.
//!
//! Real time is read here, for progress and rates, and nowhere else in this package.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bulkhead_sim::run::{Report, run};
use bulkhead_sim::scenario::{self, Scenario};

const USAGE: &str = "\
Usage:
  cargo sim run --seeds N [--from S] [--scenario X] [--jobs J]
      Runs seeds S to S + N - 1 (from 0) of every scenario, or of one. Exits with 1 if one failed.
  cargo sim replay --seed S --scenario X [--trace]
      Runs one seed again; --trace prints everything that happens in it.
  cargo sim list
      Lists the scenarios and what they promise.";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match Order::parse(&words) {
        Ok(Order::Run { seeds, from, scenarios, jobs }) => run_seeds(from, seeds, &scenarios, jobs),
        Ok(Order::Replay { seed, scenario, trace }) => replay(scenario, seed, trace),
        Ok(Order::List) => {
            scenario::ALL.iter().for_each(|scenario| println!("{:<10} {}", scenario.name, scenario.promise));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

enum Order {
    Run { seeds: u64, from: u64, scenarios: Vec<&'static Scenario>, jobs: usize },
    Replay { seed: u64, scenario: &'static Scenario, trace: bool },
    List,
}

impl Order {
    fn parse(words: &[String]) -> Result<Order, String> {
        let (verb, mut rest) = words.split_first().ok_or("nothing to do")?;
        let (mut seeds, mut from, mut seed, mut scenario, mut trace) = (None, 0, None, None, false);
        let mut jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let number = |text: &String| text.parse::<u64>().map_err(|_| format!("not a number: {text}"));
        while let [flag, after @ ..] = rest {
            rest = after;
            if flag == "--trace" {
                trace = true;
                continue;
            }
            let [value, after @ ..] = rest else { return Err(format!("{flag} needs a value")) };
            rest = after;
            match flag.as_str() {
                "--seeds" => seeds = Some(number(value)?),
                "--from" => from = number(value)?,
                "--seed" => seed = Some(number(value)?),
                "--jobs" => jobs = number(value)?.max(1) as usize,
                "--scenario" => {
                    scenario = Some(scenario::find(value).ok_or_else(|| format!("no scenario is called {value}"))?);
                }
                _ => return Err(format!("unknown flag {flag}")),
            }
        }
        match verb.as_str() {
            "run" => {
                let seeds = seeds.ok_or("run needs --seeds")?;
                Ok(Order::Run {
                    seeds,
                    from,
                    scenarios: scenario.map_or(scenario::ALL.iter().collect(), |one| vec![one]),
                    jobs,
                })
            }
            "replay" => {
                let seed = seed.ok_or("replay needs --seed")?;
                Ok(Order::Replay { seed, scenario: scenario.ok_or("replay needs --scenario")?, trace })
            }
            "list" => Ok(Order::List),
            _ => Err(format!("unknown order {verb}")),
        }
    }
}

fn replay(scenario: &'static Scenario, seed: u64, trace: bool) -> ExitCode {
    let report = run(scenario, seed, trace);
    let failure = report.failure.as_deref().map(|failure| format!("{failure}\n"));
    // Whoever reads it may have seen enough.
    let _ = write!(io::stdout(), "{}\n{}", report.line(), failure.as_deref().unwrap_or_default());
    if failure.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_seeds(from: u64, seeds: u64, scenarios: &[&'static Scenario], jobs: usize) -> ExitCode {
    let total = seeds * scenarios.len() as u64;
    let (next, progress) = (AtomicU64::new(0), Mutex::new(Progress::new(total)));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= total {
                        return;
                    }
                    let scenario = scenarios[(number % scenarios.len() as u64) as usize];
                    let report = run(scenario, from + number / scenarios.len() as u64, false);
                    progress.lock().expect("adding up does not panic").add(report);
                }
            });
        }
    });
    progress.into_inner().expect("adding up does not panic").finish()
}

/// What has been run so far.
struct Progress {
    began: Instant,
    said: Instant,
    total: u64,
    done: u64,
    failed: u64,
    simulated: Duration,
    /// The sum of all hashes: the same for the same seeds, whichever finished first.
    hash: u64,
}

impl Progress {
    fn new(total: u64) -> Progress {
        let now = Instant::now();
        Progress { began: now, said: now, total, done: 0, failed: 0, simulated: Duration::ZERO, hash: 0 }
    }

    fn add(&mut self, report: Report) {
        self.done += 1;
        self.simulated += report.simulated;
        self.hash = self.hash.wrapping_add(report.hash);
        if let Some(failure) = &report.failure {
            self.failed += 1;
            let Report { scenario, seed, .. } = report;
            println!(
                "{}\n{failure}\n  again: cargo sim replay --seed {seed} --scenario {scenario} --trace",
                report.line()
            );
        }
        if self.said.elapsed() >= Duration::from_secs(2) {
            self.said = Instant::now();
            eprintln!("{}", self.line());
        }
    }

    fn line(&self) -> String {
        let (simulated, real) = (self.simulated.as_secs_f64(), self.began.elapsed().as_secs_f64());
        let Progress { done, total, failed, .. } = self;
        let ratio = simulated / real;
        format!(
            "{done} of {total} runs, {failed} failed; {simulated:.0} simulated s in {real:.1} s: {ratio:.0} × real time"
        )
    }

    fn finish(self) -> ExitCode {
        println!("{}; hash {:016x}", self.line(), self.hash);
        if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
