//! `bulkhead-chaos`: campaigns of faults against the real binary, from the command line.
//!
//! Prints what it does and a summary; ends with exit code 1 and the evidence if anything acknowledged was lost or invented.
//! How fast a server was is told, and never ends anything.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use bulkhead_chaos::ceiling;
use bulkhead_chaos::kill9::Campaign;
use bulkhead_chaos::process::server_binary;
use bulkhead_chaos::stall::{self, Kind, Plan, Subject};

const USAGE: &str = "\
bulkhead-chaos kill9 [--rounds 100] [--seed 1] [--appendfsync everysec] [--writers 8] [-- FLAGS OF THE SERVER]

  Writes, kills the server with SIGKILL, restarts it, and compares what it holds with what it had acknowledged.

bulkhead-chaos stall [--kind hang|stop] [--subject dual|single|redis-everysec|redis-always] [--calm-s 5] [--stall-s 10]
                     [--after-s 5] [--keys 65536] [--out DIRECTORY]

  Writes, and asks on other connections at a fixed rate, while the disk hangs or RocksDB stops writes: a table of
  latencies before, during and after, and with --out the table and the plots as files.

bulkhead-chaos ceiling [--readers 800] [--silent 200] [--overload 3] [--duration-s 60] [--bound-mib N]

  Offers more load than the server can serve, with clients that never read: its memory must stay below the bound, and
  everybody who reads must be served.

The server is the one that cargo built beside this program; BULKHEAD_SERVER names another, redis-server for one:

  BULKHEAD_SERVER=redis-server bulkhead-chaos kill9 -- --appendonly yes";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (task, options) = match arguments.split_first() {
        Some((task, options)) => (task.as_str(), options),
        None => ("", &[][..]),
    };
    let outcome = match task {
        "kill9" => campaign(options).map(|campaign| in_a_home(|home| kill9(&campaign, home))),
        "stall" => stall_plan(options).map(|(plan, out)| in_a_home(|home| stall(&plan, home, out.as_deref()))),
        "ceiling" => ceiling_plan(options).map(|plan| in_a_home(|home| ceiling(&plan, home))),
        _ => Err("say what is to be done".into()),
    };
    match outcome {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(evidence)) => {
            eprintln!("VIOLATION {evidence}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}\n\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}

/// Runs it in a temporary directory, which is kept if it is evidence.
fn in_a_home(run: impl FnOnce(&Path) -> Result<(), String>) -> Result<(), String> {
    let home = tempfile::Builder::new().prefix("bulkhead-chaos-").tempdir().map_err(|error| error.to_string())?;
    let outcome = run(home.path());
    if outcome.is_err() {
        let _kept = home.keep();
    }
    outcome
}

fn kill9(campaign: &Campaign, home: &Path) -> Result<(), String> {
    let fsync = &campaign.appendfsync;
    let summary = campaign.run(home, |line| println!("{line}"));
    let summary = summary.map_err(|evidence| format!("with appendfsync {fsync} in {evidence}"))?;
    println!("nothing acknowledged was lost (appendfsync {fsync}): {summary}");
    Ok(())
}

fn stall(plan: &Plan, home: &Path, out: Option<&Path>) -> Result<(), String> {
    let outcomes = stall::run(plan, home, |line| eprintln!("{line}"))?;
    let report = stall::report(plan, &outcomes);
    println!("{report}");
    let keep = |name: String, text: &str| match out {
        Some(out) => std::fs::write(out.join(&name), text).map_err(|error| format!("{name}: {error}")),
        None => Ok(()),
    };
    keep("stall.md".into(), &report)?;
    for kind in Kind::ALL {
        if let Some(plot) = stall::plot(kind, &outcomes) {
            keep(format!("stall-{}.svg", kind.name()), &plot)?;
        }
    }
    match outcomes.iter().flat_map(|outcome| &outcome.violations).next() {
        Some(violation) => Err(violation.clone()),
        None => Ok(()),
    }
}

fn ceiling(plan: &ceiling::Plan, home: &Path) -> Result<(), String> {
    println!("{}", ceiling::run(plan, home, |line| println!("{line}"))?);
    Ok(())
}

/// The value of an option, as a number.
fn number<N: FromStr>(option: &str, value: &str) -> Result<N, String> {
    value.parse().map_err(|_| format!("{option} {value}: a number is needed, and not too large a one"))
}

fn campaign(options: &[String]) -> Result<Campaign, String> {
    let mut campaign = Campaign {
        program: server_binary()?,
        appendfsync: "everysec".into(),
        rounds: 100,
        seed: 1,
        writers: 8,
        flags: Vec::new(),
    };
    let mut words = options.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            campaign.flags = words.cloned().collect();
            break;
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        match word.as_str() {
            "--rounds" => campaign.rounds = number(word, value)?,
            "--seed" => campaign.seed = number(word, value)?,
            "--writers" => campaign.writers = number(word, value)?,
            "--appendfsync" => campaign.appendfsync.clone_from(value),
            _ => return Err(format!("{word} is no option")),
        }
    }
    Ok(campaign)
}

fn stall_plan(options: &[String]) -> Result<(Plan, Option<PathBuf>), String> {
    let redis = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".into());
    let mut plan = Plan {
        program: server_binary()?,
        redis: redis.into(),
        kinds: Kind::ALL.to_vec(),
        subjects: Subject::ALL.to_vec(),
        calm: Duration::from_secs(5),
        stall: Duration::from_secs(10),
        after: Duration::from_secs(5),
        cold_keys: 65_536,
    };
    let mut out = None;
    for pair in options.chunks(2) {
        let [word, value] = pair else { return Err(format!("{} needs a value", pair[0])) };
        let seconds = || number(word, value).map(Duration::from_secs);
        match word.as_str() {
            "--kind" => plan.kinds.retain(|kind| kind.name() == value),
            "--subject" => plan.subjects.retain(|subject| subject.word() == value),
            "--calm-s" => plan.calm = seconds()?,
            "--stall-s" => plan.stall = seconds()?,
            "--after-s" => plan.after = seconds()?,
            "--keys" => plan.cold_keys = number(word, value)?,
            "--out" => out = Some(PathBuf::from(value)),
            _ => return Err(format!("{word} is no option")),
        }
        if plan.kinds.is_empty() || plan.subjects.is_empty() {
            return Err(format!("{word} knows no {value}"));
        }
    }
    Ok((plan, out))
}

fn ceiling_plan(options: &[String]) -> Result<ceiling::Plan, String> {
    let mut plan = ceiling::Plan {
        program: server_binary()?,
        readers: 800,
        silent: 200,
        overload: 3,
        calibration: Duration::from_secs(5),
        duration: Duration::from_secs(60),
        bound_bytes: 0,
        flags: ceiling::FLAGS,
    };
    for pair in options.chunks(2) {
        let [word, value] = pair else { return Err(format!("{} needs a value", pair[0])) };
        match word.as_str() {
            "--readers" => plan.readers = number(word, value)?,
            "--silent" => plan.silent = number(word, value)?,
            "--overload" => plan.overload = number(word, value)?,
            "--duration-s" => plan.duration = Duration::from_secs(number(word, value)?),
            "--bound-mib" => plan.bound_bytes = number::<u64>(word, value)? << 20,
            _ => return Err(format!("{word} is no option")),
        }
    }
    if plan.readers == 0 {
        return Err("without anybody who reads there is nothing to be served".into());
    }
    if plan.bound_bytes == 0 {
        plan.bound_bytes = ceiling::bound_bytes(plan.readers + plan.silent);
    }
    Ok(plan)
}
