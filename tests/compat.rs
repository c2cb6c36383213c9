//! The differential test: whatever a client sends, Bulkhead answers what the real redis-server answers, byte for byte,
//! and holds the same data afterwards. The main oracle of what is correct here.
//!
//! Sequences of calls are generated from the command table (grammar.rs, values.rs, families.rs), run on both servers
//! (pair.rs), and shrunk when they disagree (shrink.rs). A difference that is right is a row in families.rs with its
//! reason; this must never tolerate any other. What it once found stays in compat/regressions.txt.
//!
//! `COMPAT_SEED` is the first sequence's seed, `COMPAT_SEQUENCES` how many follow, `COMPAT_FAILURES` how many different
//! disagreements are reported before it stops; `COMPAT_THEME` is the group (`sorted-set`) that all sequences are about.
//! With `COMPAT_MINUTES` it goes on for so long instead, tells how far it is, and keeps what it finds in `COMPAT_KEEP`
//! (`results/compat.txt`) at once, in the form of compat/regressions.txt: `make compat-long`.

#[path = "compat/canary.rs"]
mod canary;
#[path = "compat/dialogue.rs"]
mod dialogue;
#[path = "compat/dice.rs"]
mod dice;
#[path = "compat/families.rs"]
mod families;
#[path = "compat/grammar.rs"]
mod grammar;
#[path = "compat/introspection.rs"]
mod introspection;
#[path = "compat/pair.rs"]
mod pair;
#[path = "compat/sequence.rs"]
mod sequence;
#[path = "compat/shrink.rs"]
mod shrink;
mod support;
#[path = "compat/values.rs"]
mod values;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{Duration, Instant};

use bulkhead::commands::table;

use families::{ALLOWED, EXCLUDED, FAMILIES, callables, covers};
use grammar::Grammar;
use pair::{FLAGS, Pair};
use sequence::{line, parse_all};
use support::{Client, Server};

/// How many sequences a run without `COMPAT_SEQUENCES` compares.
const SEQUENCES: u64 = 1000;

#[test]
fn generated_sequences_get_the_same_replies_from_both_servers() {
    let (ours, theirs) = (Server::start(FLAGS), Server::start_redis(FLAGS));
    let run = LongRun::new("COMPAT_SEQUENCES", SEQUENCES);
    let failures = compare(&mut Pair::new(ours.port, theirs.port), number("COMPAT_SEED", 1), run);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn what_once_disagreed_agrees() {
    let (ours, theirs) = (Server::start(FLAGS), Server::start_redis(FLAGS));
    let mut pair = Pair::new(ours.port, theirs.port);
    let sequences = parse_all(include_str!("compat/regressions.txt"));
    let failures: Vec<String> = sequences
        .iter()
        .filter_map(|sequence| pair.run(sequence).err().map(|mismatch| mismatch.transcript(sequence)))
        .collect();
    assert!(failures.is_empty(), "{} of {} disagree again:\n{}", failures.len(), sequences.len(), failures.join("\n"));
}

#[test]
fn written_scripts_get_the_same_replies_from_both_servers() {
    check_written(include_str!("compat/scripts.txt"));
}

/// Runs sequences, call by call: what disagrees does not hide what comes after it.
fn check_written(text: &str) {
    let (ours, theirs) = (Server::start(FLAGS), Server::start_redis(FLAGS));
    let mut pair = Pair::new(ours.port, theirs.port);
    let mut failures = Vec::new();
    for mut sequence in parse_all(text) {
        while let Err(mismatch) = pair.run(&sequence) {
            let call = mismatch.at.map(|at| sequence.calls.remove(at));
            let call = call.as_ref().map_or("# What is left differs.".into(), |call| line(call));
            failures.push(format!("{call}\n# expected: {}\n# got:      {}", mismatch.theirs, mismatch.ours));
            if mismatch.at.is_none() {
                break;
            }
        }
    }
    assert!(failures.is_empty(), "{} disagreements:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn two_real_servers_agree() {
    // Whatever this finds is a false alarm of the test itself.
    let (one, other) = (Server::start_redis(FLAGS), Server::start_redis(FLAGS));
    let run = LongRun::of(number("COMPAT_SEQUENCES", 150));
    let failures = compare(&mut Pair::new(one.port, other.port), number("COMPAT_SEED", 1), run);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_command_is_compared_or_excluded_with_a_reason() {
    let all = callables(table::all());
    let homeless = all.iter().filter(|callable| !FAMILIES.iter().any(|family| family.group == callable.command.group));
    let homeless: Vec<&str> = homeless.map(|callable| callable.name.as_str()).collect();
    assert_eq!(homeless, Vec::<&str>::new(), "their groups need rows in FAMILIES");
    let known = |pattern: &str| all.iter().any(|callable| covers(pattern, &callable.name));
    let named =
        EXCLUDED.iter().map(|(pattern, _)| *pattern).chain(ALLOWED.iter().flat_map(|row| row.commands).copied());
    let favourites = FAMILIES.iter().flat_map(|family| family.favourites).map(|(name, _)| *name);
    let strangers: Vec<&str> = named.chain(favourites).filter(|name| !known(name)).collect();
    assert_eq!(strangers, Vec::<&str>::new(), "the table has no such commands");
    assert!(ALLOWED.iter().all(|row| !row.reason.is_empty()));
}

/// Runs sequences from `seed` on; each different disagreement, shrunk, as a text.
fn compare(pair: &mut Pair, first: u64, mut run: LongRun) -> Vec<String> {
    let grammar = Grammar::new(&mut Client::connect(pair.real_port()));
    let most = number("COMPAT_FAILURES", 8) as usize;
    // By what disagrees: the report, and how many more sequences showed it.
    let mut failures: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for seed in first.. {
        if run.is_over(seed, failures.len()) {
            break;
        }
        let sequence = grammar.sequence(seed);
        let Err(mismatch) = pair.run(&sequence) else { continue };
        if let Some((_, again)) = failures.get_mut(&mismatch.signature) {
            *again += 1;
            continue;
        }
        let report = match shrink::shrink(pair, &sequence, &mismatch) {
            Some((shortest, mismatch)) => mismatch.transcript(&shortest),
            None => format!("# Not the second time; at first:\n{}", mismatch.transcript(&sequence)),
        };
        let command = "COMPAT_SEQUENCES=1 cargo test --test compat generated";
        let report = format!("# COMPAT_SEED={seed} {command}\n{report}");
        run.keep(&report);
        failures.insert(mismatch.signature, (report, 0));
        if failures.len() == most {
            break;
        }
    }
    let times = |(report, again)| format!("{report}# … and so in {again} more sequences\n");
    failures.into_values().map(times).collect()
}

/// A run of so many seeds, or for so many minutes: then it says now and then how far it is, and keeps what it finds before
/// anything can interrupt it.
pub struct LongRun {
    left: Option<u64>,
    began: Instant,
    ends: Instant,
    next_word: Instant,
}

impl LongRun {
    const WORD_EVERY: Duration = Duration::from_secs(30);

    /// For `COMPAT_MINUTES`, or else over as many seeds as `variable` says, or else `count`.
    pub fn new(variable: &str, count: u64) -> LongRun {
        let minutes = number("COMPAT_MINUTES", 0);
        let run = LongRun::of(number(variable, count));
        let (left, ends) = (run.left.filter(|_| minutes == 0), run.began + Duration::from_secs(60 * minutes));
        LongRun { left, ends, ..run }
    }

    /// Over `count` seeds.
    pub fn of(count: u64) -> LongRun {
        let now = Instant::now();
        LongRun { left: Some(count), began: now, ends: now, next_word: now + LongRun::WORD_EVERY }
    }

    /// To be asked before each seed.
    pub fn is_over(&mut self, seed: u64, failures: usize) -> bool {
        if let Some(left) = &mut self.left {
            *left = left.wrapping_sub(1);
            return *left == u64::MAX;
        }
        let now = Instant::now();
        if now >= self.next_word {
            self.next_word = now + LongRun::WORD_EVERY;
            // Past the test harness, which would hold the line back until the end.
            let passed = now.duration_since(self.began).as_secs();
            let line = format!("{passed} s: at seed {seed}, {failures} disagreements\n");
            std::io::stderr().write_all(line.as_bytes()).expect("stderr to take a line");
        }
        now >= self.ends
    }

    pub fn keep(&self, report: &str) {
        if self.left.is_some() {
            return;
        }
        let path = std::env::var("COMPAT_KEEP").unwrap_or_else(|_| "results/compat.txt".into());
        let path = std::path::Path::new(&path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).expect("a folder for what was found");
        }
        let file = std::fs::File::options().create(true).append(true).open(path);
        file.and_then(|mut file| writeln!(file, "{report}")).expect("a file for what was found");
    }
}

/// A number from the environment.
fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")),
        Err(_) => default,
    }
}
