//! `cargo sim`: runs seeds, reports progress, replays and shrinks what failed, and shows it to people.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bulkhead_sim::campaign::{Campaign, plan};
use bulkhead_sim::plan::{Plan, armed};
use bulkhead_sim::run::{record, run};
use bulkhead_sim::scenario::{self, Scenario};
use bulkhead_sim::trace::Sink;
use bulkhead_sim::{explain, seeds, shrink};

const USAGE: &str = "\
Usage:
  cargo sim run --seeds N [--from S] [--scenario X] [--jobs J] [--minutes M] [--json FILE] [--coverage] [--readme FILE]
      Runs seeds S to S + N - 1 (from 0); all scenarios take turns, or one alone. With --minutes it ends after that time,
      whatever is left. --json writes a report, --coverage shows what was reached. Exits with 1 if a run failed.
  cargo sim known [--file FILE]
      Runs everything that has failed before (sim/seeds.txt).
  cargo sim replay WHAT [--trace]
      Runs one plan again; --trace prints everything that happens in it.
  cargo sim explain WHAT [--html FILE]
      Runs one plan and tells what happened, as a timeline or as a picture.
  cargo sim shrink WHAT [--out FILE] [--runs N]
      Makes a failing plan as small as it gets (with 5000 runs at most), and keeps it in a file (shrunk.plan).
  cargo sim strength [--seeds N] [--bug NAME] [--readme FILE]
      Plants every bug of src/planted.rs and tells how many seeds it takes to notice it (2000 at most). Needs
      `--features planted-bugs`. --readme writes the table into a file that has a place for it.
  cargo sim plan WHAT [--as-failpoints]
      Prints the plan; or what arms the real server (built with failpoints) with its faults.
  cargo sim list
      Lists the scenarios and the oracles.
WHAT is --seed S [--scenario X] or --plan FILE.";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.split_first() {
        Some((verb, rest)) => Flags::parse(rest).and_then(|flags| carry_out(verb, &flags)),
        None => Err("nothing to do".into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Everything that can be said behind the verb.
struct Flags {
    seeds: Option<u64>,
    from: u64,
    seed: Option<u64>,
    scenario: Option<&'static Scenario>,
    plan: Option<PathBuf>,
    jobs: usize,
    minutes: Option<u64>,
    runs: u64,
    json: Option<PathBuf>,
    html: Option<PathBuf>,
    readme: Option<PathBuf>,
    bug: Option<String>,
    out: PathBuf,
    file: PathBuf,
    trace: bool,
    as_failpoints: bool,
    coverage: bool,
}

impl Flags {
    fn parse(mut rest: &[String]) -> Result<Flags, String> {
        let mut flags = Flags {
            seeds: None,
            from: 0,
            seed: None,
            scenario: None,
            plan: None,
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            minutes: None,
            runs: 5000,
            json: None,
            html: None,
            readme: None,
            bug: None,
            out: "shrunk.plan".into(),
            file: Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds.txt"),
            trace: false,
            as_failpoints: false,
            coverage: false,
        };
        let number = |text: &String| text.parse::<u64>().map_err(|_| format!("not a number: {text}"));
        while let [flag, after @ ..] = rest {
            rest = after;
            match flag.as_str() {
                "--trace" => flags.trace = true,
                "--as-failpoints" => flags.as_failpoints = true,
                "--coverage" => flags.coverage = true,
                _ => {
                    let [value, after @ ..] = rest else { return Err(format!("{flag} needs a value")) };
                    rest = after;
                    match flag.as_str() {
                        "--seeds" => flags.seeds = Some(number(value)?),
                        "--from" => flags.from = number(value)?,
                        "--seed" => flags.seed = Some(number(value)?),
                        "--jobs" => flags.jobs = number(value)?.max(1) as usize,
                        "--minutes" => flags.minutes = Some(number(value)?),
                        "--runs" => flags.runs = number(value)?,
                        "--plan" => flags.plan = Some(value.into()),
                        "--json" => flags.json = Some(value.into()),
                        "--readme" => flags.readme = Some(value.into()),
                        "--bug" => flags.bug = Some(value.clone()),
                        "--html" => flags.html = Some(value.into()),
                        "--out" => flags.out = value.into(),
                        "--file" => flags.file = value.into(),
                        "--scenario" => {
                            let found = scenario::find(value);
                            flags.scenario = Some(found.ok_or_else(|| format!("no scenario is called {value}"))?);
                        }
                        _ => return Err(format!("unknown flag {flag}")),
                    }
                }
            }
        }
        Ok(flags)
    }

    /// The plan that `WHAT` means.
    fn what(&self) -> Result<Plan, String> {
        match (&self.plan, self.seed) {
            (Some(path), None) => seeds::read_plan(path),
            (None, Some(seed)) => Ok(plan(self.scenario, seed)),
            _ => Err("which run? --seed S [--scenario X], or --plan FILE".into()),
        }
    }
}

/// Returns whether all is well.
fn carry_out(verb: &str, flags: &Flags) -> Result<bool, String> {
    match verb {
        "run" => run_seeds(flags),
        "known" => run_known(&flags.file),
        "replay" => replay(&flags.what()?, flags.trace),
        "explain" => tell(&flags.what()?, flags.html.as_deref()),
        "strength" => strength(flags),
        "shrink" => shrink_plan(&flags.what()?, flags),
        "plan" => {
            let plan = flags.what()?;
            say(&if flags.as_failpoints { armed::script(&plan) } else { plan.to_string() });
            Ok(true)
        }
        "list" => {
            let scenarios = scenario::distinct().map(|one| format!("{:<16} {}\n", one.name, one.about));
            let oracles = bulkhead_sim::oracle::ALL.iter().map(|one| format!("{:<16} {}\n", one.name, one.promise));
            say(&format!("Scenarios:\n{}Oracles:\n{}", scenarios.collect::<String>(), oracles.collect::<String>()));
            Ok(true)
        }
        _ => Err(format!("unknown order {verb}")),
    }
}

/// Prints, for whoever reads it: he may have seen enough.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

fn save(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn run_seeds(flags: &Flags) -> Result<bool, String> {
    let seeds = match (flags.seeds, flags.minutes) {
        (Some(seeds), _) => seeds,
        (None, Some(_)) => u64::MAX,
        (None, None) => return Err("run needs --seeds or --minutes".into()),
    };
    let campaign = Campaign {
        scenario: flags.scenario,
        from: flags.from,
        seeds,
        at_most: flags.minutes.map_or(Duration::MAX, |minutes| Duration::from_secs(60 * minutes)),
        jobs: flags.jobs,
        is_quiet: false,
    };
    let totals = campaign.carry_out();
    if flags.coverage {
        say(&totals.coverage());
    }
    totals.differed.iter().for_each(|text| say(&format!("not repeatable: {text}\n")));
    say(&format!("{}; hash {:016x}\n", totals.line(), totals.hash));
    if let Some(path) = &flags.readme {
        seeds::replace_part(path, "coverage", &totals.table())?;
    }
    if let Some(path) = &flags.json {
        save(path, &totals.json())?;
    }
    Ok(totals.is_good())
}

fn run_known(file: &Path) -> Result<bool, String> {
    let (mut count, mut failed) = (0, 0);
    for known in seeds::read(file)? {
        let report = run(&known.plan);
        count += 1;
        if let Some(failure) = &report.failure {
            failed += 1;
            say(&format!("{}: {}\n{}\n", known.name, report.line(), failure.what));
        }
    }
    say(&format!("{count} runs that once failed, {failed} fail\n"));
    Ok(failed == 0)
}

fn replay(plan: &Plan, trace: bool) -> Result<bool, String> {
    let report = record(plan, if trace { Sink::Printed } else { Sink::Nothing }).report;
    let failure = report.failure.as_ref().map(|failure| format!("{}\n", failure.what));
    say(&format!("{}\n{}", report.line(), failure.as_deref().unwrap_or_default()));
    Ok(failure.is_none())
}

fn tell(plan: &Plan, html: Option<&Path>) -> Result<bool, String> {
    let record = record(plan, Sink::Kept);
    match html {
        Some(path) => {
            save(path, &explain::picture(plan, &record))?;
            say(&format!("{}\n", record.report.line()));
        }
        None => say(&explain::timeline(plan, &record)),
    }
    Ok(record.report.failure.is_none())
}

#[cfg(not(feature = "planted-bugs"))]
fn strength(_: &Flags) -> Result<bool, String> {
    Err("this build has no planted bugs: \
cargo run --profile sim --package bulkhead-sim --features planted-bugs -- strength"
        .into())
}

#[cfg(feature = "planted-bugs")]
fn strength(flags: &Flags) -> Result<bool, String> {
    use bulkhead_sim::strength::{Strength, measure};

    if let Some(bug) = &flags.bug
        && !bulkhead::planted::BUGS.iter().any(|(name, _)| name == bug)
    {
        return Err(format!("no planted bug is called {bug}"));
    }
    let seeds = flags.seeds.unwrap_or(2000);
    let strength: Strength = measure(flags.from, seeds, flags.jobs, flags.bug.as_deref(), |line| say(line));
    say(&format!("{}{}\n", strength.table(), strength.line()));
    if let Some(path) = &flags.readme {
        seeds::replace_part(path, "strength", &strength.table())?;
    }
    Ok(strength.is_good())
}

fn shrink_plan(plan: &Plan, flags: &Flags) -> Result<bool, String> {
    let size = |plan: &Plan| {
        let (clients, commands, faults) = (plan.clients.len(), plan.commands(), plan.faults.len());
        format!("{clients} clients, {commands} commands, {faults} faults")
    };
    eprintln!("{}", size(plan));
    let shrunk = shrink::shrink(plan, flags.runs, |plan| eprintln!("{}", size(plan)));
    let Some(shrunk) = shrunk else { return Err("that plan does not fail".into()) };
    save(&flags.out, &shrunk.plan.to_string())?;
    let record = record(&shrunk.plan, Sink::Kept);
    say(&explain::timeline(&shrunk.plan, &record));
    let (runs, by, out) = (shrunk.runs, shrunk.by, flags.out.display());
    say(&format!("{} after {runs} runs, still noticed by {by}: {out}\n", size(&shrunk.plan)));
    Ok(true)
}
