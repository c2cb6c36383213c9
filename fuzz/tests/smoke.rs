//! Every target over a fixed number of inputs that a seed decides: the seed corpus, the corpus mutated, and noise. It
//! finds no deep bug; it notices at every change that a target still runs and the shallow ones are gone.

use std::collections::BTreeMap;
use std::path::Path;

use bulkhead::env::Random;
use bulkhead_fuzz::{TARGETS, Target};

const LEN_MAX: u64 = 256;

#[test]
fn every_target_survives_seeds_mutations_and_noise() {
    std::thread::scope(|scope| {
        let threads: Vec<_> = TARGETS.iter().map(|target| scope.spawn(|| smoke(target))).collect();
        for thread in threads {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
}

#[test]
fn every_target_has_its_entry_for_libfuzzer_and_seeds() {
    for target in TARGETS {
        let entry = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets").join(target.name).with_extension("rs");
        assert!(entry.exists(), "{} is missing", entry.display());
        assert!(!seeds(target).is_empty(), "{} has no seeds", target.name);
    }
}

fn smoke(target: &Target) {
    let seeds: Vec<Vec<u8>> = seeds(target).into_values().collect();
    let mut random = Random::from_seed(0x5eed);
    for seed in &seeds {
        attempt(target, seed);
    }
    for number in 0..target.smoke {
        let input = match number % 4 {
            0 => noise(&mut random),
            _ => mutated(&seeds, &mut random),
        };
        attempt(target, &input);
    }
}

/// The seed corpus, by file name.
fn seeds(target: &Target) -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target.name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("a readable entry").path());
    paths.map(|path| (path.display().to_string(), std::fs::read(&path).expect("a readable seed"))).collect()
}

fn attempt(target: &Target, input: &[u8]) {
    if let Err(panic) = std::panic::catch_unwind(|| (target.run)(input)) {
        eprintln!("{} fails on b\"{}\"", target.name, input.escape_ascii());
        std::panic::resume_unwind(panic);
    }
}

fn below(random: &mut Random, end: usize) -> usize {
    (random.next_u64() % end.max(1) as u64) as usize
}

fn noise(random: &mut Random) -> Vec<u8> {
    (0..random.next_u64() % LEN_MAX).map(|_| random.next_u64() as u8).collect()
}

/// A seed, or two spliced, with some bytes changed, cut, doubled or put in.
fn mutated(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    const PIECES: &[&[u8]] =
        &[b"\r\n", b"*1\r\n", b"$-1\r\n", b"$0\r\n\r\n", b"*-1\r\n", b"99999999999999999999", b"\0", b"\"", b" "];
    let mut input = seeds[below(random, seeds.len())].clone();
    for _ in 0..=below(random, 4) {
        let (at, other) = (below(random, input.len() + 1), below(random, input.len() + 1));
        let (start, end) = (at.min(other), at.max(other));
        match below(random, 6) {
            0 => drop(input.drain(start..end)),
            1 => drop(input.splice(at..at, PIECES[below(random, PIECES.len())].iter().copied())),
            2 => {
                let doubled = input[start..end].to_vec();
                drop(input.splice(end..end, doubled));
            }
            3 => {
                let donor = &seeds[below(random, seeds.len())];
                input.truncate(at);
                input.extend_from_slice(&donor[below(random, donor.len() + 1)..]);
            }
            _ if at < input.len() => input[at] = random.next_u64() as u8,
            _ => input.push(random.next_u64() as u8),
        }
    }
    input.truncate(4 * LEN_MAX as usize);
    input
}
