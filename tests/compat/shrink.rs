//! From a long sequence on which the servers disagree to the shortest one that still shows it (delta debugging).

use std::time::{Duration, Instant};

use crate::grammar::takes_seconds;
use crate::pair::{Mismatch, Pair};
use crate::sequence::Sequence;

/// Shrinking stops here, however much is left: it runs for a reader, not for beauty.
const PATIENCE: Duration = Duration::from_secs(15);

/// Shrinks `sequence` as long as the same thing disagrees; `None` if it does not disagree a second time.
pub fn shrink(pair: &mut Pair, sequence: &Sequence, mismatch: &Mismatch) -> Option<(Sequence, Mismatch)> {
    let deadline = Instant::now() + PATIENCE;
    let mut attempt = |candidate: &Sequence| {
        if Instant::now() >= deadline || candidate.calls.iter().any(|call| takes_seconds(call)) {
            return None;
        }
        pair.run(candidate).err().filter(|found| found.signature == mismatch.signature)
    };
    let mut best = sequence.clone();
    if let Some(at) = mismatch.at {
        best.calls.truncate(at + 1);
    }
    let mut found = attempt(&best)?;
    loop {
        let before = best.clone();
        let mut try_to = |best: &mut Sequence, change: &dyn Fn(&mut Sequence)| {
            let mut candidate = best.clone();
            change(&mut candidate);
            match attempt(&candidate) {
                Some(mismatch) if candidate != *best => {
                    (*best, found) = (candidate, mismatch);
                    true
                }
                _ => false,
            }
        };
        try_to(&mut best, &|candidate| candidate.pipelined = false);
        try_to(&mut best, &|candidate| candidate.resp3 = false);
        let mut len = best.calls.len() / 2;
        while len > 0 {
            let mut from = 0;
            while from < best.calls.len() {
                let end = (from + len).min(best.calls.len());
                if !try_to(&mut best, &|candidate| drop(candidate.calls.drain(from..end))) {
                    from += len;
                }
            }
            len /= 2;
        }
        for call in (0..best.calls.len()).rev() {
            for arg in (1..best.calls[call].len()).rev() {
                try_to(&mut best, &|candidate| drop(candidate.calls[call].remove(arg)));
            }
            for arg in 1..best.calls[call].len() {
                for simple in ["k0", "1"] {
                    if best.calls[call][arg].len() > simple.len() {
                        try_to(&mut best, &|candidate| candidate.calls[call][arg] = simple.into());
                    }
                }
            }
        }
        if best == before {
            return Some((best, found));
        }
    }
}
