//! `bulkhead-chaos`: campaigns of faults against the real binary, from the command line.
//!
//! Prints a line per round and a summary; ends with exit code 1 and the evidence at the first violation.

use std::process::ExitCode;

use bulkhead_chaos::kill9::{Campaign, Summary};
use bulkhead_chaos::process::server_binary;

const USAGE: &str = "\
bulkhead-chaos kill9 [--rounds 100] [--seed 1] [--appendfsync everysec] [--writers 8] [-- FLAGS OF THE SERVER]

Writes, kills the server with SIGKILL, restarts it, and compares what it holds with what it had acknowledged.
The server is the one that cargo built beside this program; BULKHEAD_SERVER names another, redis-server for one:

  BULKHEAD_SERVER=redis-server bulkhead-chaos kill9 -- --appendonly yes";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let campaign = match campaign(&arguments) {
        Ok(campaign) => campaign,
        Err(error) => {
            eprintln!("{error}\n\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    match run(&campaign) {
        Ok(summary) => {
            println!("nothing acknowledged was lost (appendfsync {}): {summary}", campaign.appendfsync);
            ExitCode::SUCCESS
        }
        Err(evidence) => {
            eprintln!("VIOLATION with appendfsync {} in {evidence}", campaign.appendfsync);
            ExitCode::FAILURE
        }
    }
}

/// In a temporary directory, which is kept if it is evidence.
fn run(campaign: &Campaign) -> Result<Summary, String> {
    let home = tempfile::Builder::new().prefix("bulkhead-chaos-").tempdir().map_err(|error| error.to_string())?;
    let outcome = campaign.run(home.path(), |line| println!("{line}"));
    if outcome.is_err() {
        let _kept = home.keep();
    }
    outcome
}

fn campaign(arguments: &[String]) -> Result<Campaign, String> {
    let mut words = arguments.iter();
    if words.next().map(String::as_str) != Some("kill9") {
        return Err("say what is to be done".into());
    }
    let mut campaign = Campaign {
        program: server_binary()?,
        appendfsync: "everysec".into(),
        rounds: 100,
        seed: 1,
        writers: 8,
        flags: Vec::new(),
    };
    while let Some(word) = words.next() {
        if word == "--" {
            campaign.flags = words.cloned().collect();
            break;
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{word} {value}: a number is needed"));
        let small = || number()?.try_into().map_err(|_| format!("{word} {value} is too large"));
        match word.as_str() {
            "--rounds" => campaign.rounds = small()?,
            "--seed" => campaign.seed = number()?,
            "--writers" => campaign.writers = small()?,
            "--appendfsync" => campaign.appendfsync.clone_from(value),
            _ => return Err(format!("{word} is no option")),
        }
    }
    Ok(campaign)
}
