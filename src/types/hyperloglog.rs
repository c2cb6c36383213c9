//! HyperLogLog: an estimate of how many different elements were added, in at most 12 KiB. The value is a string whose
//! every byte is as Redis would have it, so that it can be loaded there and back.
//!
//! ```text
//! "HYLL" [encoding: 0 dense, 1 sparse] 00 00 00 [estimate u64 LE; top bit: outdated]
//! dense:  16,384 registers of 6 bits, the first in the lowest bits
//! sparse: runs. 00llllll: l+1 zeros. 01llllll llllllll: l+1 zeros. 1vvvvvll: l+1 times the value v+1
//! ```
//!
//! The bytes may come from anywhere (SET): nothing here may trust them. All functions are pure.

use std::ops::Range;

use smallvec::SmallVec;

use crate::keyspace::CommandError;

type Result<T> = std::result::Result<T, CommandError>;

const INDEX_BITS: u32 = 14;
/// Registers of a HyperLogLog.
pub const REGISTERS: usize = 1 << INDEX_BITS;
/// Bits of a hash that are left to count zeros in.
const COUNTED_BITS: usize = 64 - INDEX_BITS as usize;
const REGISTER_BITS: usize = 6;
const REGISTER_MAX: u8 = (1 << REGISTER_BITS) - 1;

const MAGIC: &[u8; 4] = b"HYLL";
const ENCODING_AT: usize = 4;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
const CARD_AT: usize = 8;
/// The estimate's highest byte, whose top bit says that it is outdated.
const CARD_END: usize = 15;
const OUTDATED: u8 = 1 << 7;
const HEADER_LEN: usize = 16;
const DENSE_LEN: usize = HEADER_LEN + REGISTERS * REGISTER_BITS / 8;

/// The largest value that a sparse run can hold.
const SPARSE_VALUE_MAX: u8 = 32;
const VALUE_RUN_MAX: usize = 4;
const SHORT_ZEROS_MAX: usize = 64;
/// How many runs, from the one before a change on, are looked at to join equal neighbours.
const JOIN_RUNS: usize = 5;

const HASH_SEED: u64 = 0xadc8_3b19;
/// 0.5 / ln 2.
#[allow(clippy::excessive_precision)]
const ALPHA: f64 = 0.721347520444481703680;

/// The registers as bytes, for what many HyperLogLogs come to.
pub type Registers = Box<[u8; REGISTERS]>;

/// Registers that are all zero.
pub fn no_registers() -> Registers {
    Box::new([0; REGISTERS])
}

/// A value that was found to be a HyperLogLog: its header is right, its runs need not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HyperLogLog(Vec<u8>);

impl HyperLogLog {
    /// Of no elements.
    pub fn new() -> HyperLogLog {
        let mut bytes = vec![0; HEADER_LEN];
        bytes[..MAGIC.len()].copy_from_slice(MAGIC);
        bytes[ENCODING_AT] = SPARSE;
        put_run(&mut bytes, 0, REGISTERS);
        HyperLogLog(bytes)
    }

    /// A value, if its header is one.
    pub fn from_value(value: &[u8]) -> Result<HyperLogLog> {
        let is_one = value.len() >= HEADER_LEN
            && value.starts_with(MAGIC)
            && match value[ENCODING_AT] {
                DENSE => value.len() == DENSE_LEN,
                encoding => encoding == SPARSE,
            };
        match is_one {
            true => Ok(HyperLogLog(value.to_vec())),
            false => Err(CommandError::custom("WRONGTYPE Key is not a valid HyperLogLog string value.")),
        }
    }

    pub fn into_value(self) -> Vec<u8> {
        self.0
    }

    pub fn is_dense(&self) -> bool {
        self.0[ENCODING_AT] == DENSE
    }

    fn body(&self) -> &[u8] {
        &self.0[HEADER_LEN..]
    }

    /// The estimate that was computed last, unless elements came since.
    pub fn cached_count(&self) -> Option<u64> {
        let card = self.0[CARD_AT..HEADER_LEN].try_into().expect("invariant: the header holds eight bytes of it");
        (self.0[CARD_END] & OUTDATED == 0).then(|| u64::from_le_bytes(card))
    }

    /// Remembers an estimate.
    pub fn cache_count(&mut self, count: u64) {
        self.0[CARD_AT..HEADER_LEN].copy_from_slice(&count.to_le_bytes());
    }

    /// Forgets the estimate.
    pub fn outdate(&mut self) {
        self.0[CARD_END] |= OUTDATED;
    }

    /// Adds an element. Returns whether a register grew. A sparse value that would become longer than
    /// `sparse_bytes_max` becomes a dense one.
    pub fn add(&mut self, element: &[u8], sparse_bytes_max: usize) -> Result<bool> {
        let (register, count) = register_of(element);
        self.raise(register, count, sparse_bytes_max)
    }

    /// Raises a register to `count`, if it is lower.
    pub fn raise(&mut self, register: usize, count: u8, sparse_bytes_max: usize) -> Result<bool> {
        if self.is_dense() {
            return Ok(raise_dense(&mut self.0[HEADER_LEN..], register, count));
        }
        let raised = match count <= SPARSE_VALUE_MAX {
            true => self.raise_sparse(register, count, sparse_bytes_max)?,
            false => Raised::NeedsDense,
        };
        Ok(match raised {
            Raised::No => false,
            Raised::Yes => {
                self.outdate();
                true
            }
            Raised::NeedsDense => {
                self.make_dense()?;
                raise_dense(&mut self.0[HEADER_LEN..], register, count)
            }
        })
    }

    fn raise_sparse(&mut self, register: usize, count: u8, sparse_bytes_max: usize) -> Result<Raised> {
        let (mut previous, mut at, mut first) = (HEADER_LEN, HEADER_LEN, 0);
        let run = loop {
            let run = Run::at(&self.0, at).ok_or_else(corrupted)?;
            if register < first + run.len {
                break run;
            }
            (previous, at, first) = (at, at + run.encoded_len(), first + run.len);
        };
        if run.value >= count {
            return Ok(Raised::No);
        }
        let (before, behind) = (register - first, first + run.len - register - 1);
        let mut runs = SmallVec::<[u8; 5]>::new();
        for (value, len) in [(run.value, before), (count, 1), (run.value, behind)] {
            put_run(&mut runs, value, len);
        }
        let end = (at + run.encoded_len()).min(self.0.len());
        let grows = runs.len() > end - at;
        if grows && self.0.len() + runs.len() - (end - at) > sparse_bytes_max {
            return Ok(Raised::NeedsDense);
        }
        self.0.splice(at..end, runs);
        self.join_runs(previous);
        Ok(Raised::Yes)
    }

    /// Joins runs of the same value, from the one at `at` on, as far as one change can have made them neighbours.
    fn join_runs(&mut self, mut at: usize) {
        for _ in 0..JOIN_RUNS {
            let Some(run) = Run::at(&self.0, at) else { return };
            let next_at = at + run.encoded_len();
            let len = |next: Run| (run.value > 0 && next.value == run.value).then_some(run.len + next.len);
            match Run::at(&self.0, next_at).and_then(len).filter(|len| *len <= VALUE_RUN_MAX) {
                Some(len) => {
                    self.0[at] = value_run(run.value, len);
                    self.0.remove(next_at);
                }
                None => at = next_at,
            }
        }
    }

    /// Changes a sparse value into a dense one. Returns whether it was sparse.
    pub fn make_dense(&mut self) -> Result<bool> {
        if self.is_dense() {
            return Ok(false);
        }
        let mut dense = vec![0; DENSE_LEN];
        dense[..HEADER_LEN].copy_from_slice(&self.0[..HEADER_LEN]);
        dense[ENCODING_AT] = DENSE;
        self.for_each_value(|registers, value| {
            for register in registers {
                raise_dense(&mut dense[HEADER_LEN..], register, value);
            }
        })?;
        self.0 = dense;
        Ok(true)
    }

    /// A sparse value's runs, each with its first register.
    fn runs(&self) -> impl Iterator<Item = (usize, Run)> {
        let (mut at, mut first) = (HEADER_LEN, 0);
        std::iter::from_fn(move || {
            let run = Run::at(&self.0, at)?;
            at += run.encoded_len();
            first += run.len;
            Some((first - run.len, run))
        })
    }

    /// Calls `each` with every run of a sparse value that is not zero; an error unless the runs add up.
    fn for_each_value(&self, mut each: impl FnMut(Range<usize>, u8)) -> Result<()> {
        let mut end = 0;
        for (first, run) in self.runs() {
            if run.value > 0 {
                if first + run.len > REGISTERS {
                    break;
                }
                each(first..first + run.len, run.value);
            }
            end = first + run.len;
        }
        if end == REGISTERS { Ok(()) } else { Err(corrupted()) }
    }

    /// Raises each of `registers` to this value's.
    pub fn merge_into(&self, registers: &mut Registers) -> Result<()> {
        if !self.is_dense() {
            return self.for_each_value(|run, value| {
                registers[run].iter_mut().for_each(|register| *register = value.max(*register));
            });
        }
        let ours = (0..REGISTERS).map(|register| dense_register(self.body(), register));
        registers.iter_mut().zip(ours).for_each(|(register, ours)| *register = ours.max(*register));
        Ok(())
    }

    /// Every register's value.
    pub fn registers(&self) -> Result<Registers> {
        let mut registers = no_registers();
        self.merge_into(&mut registers)?;
        Ok(registers)
    }

    /// The estimate, computed anew.
    pub fn count(&self) -> Result<u64> {
        let mut histogram = [0; 64];
        if self.is_dense() {
            (0..REGISTERS).for_each(|register| histogram[usize::from(dense_register(self.body(), register))] += 1);
            return Ok(estimate(&histogram));
        }
        let mut total = 0;
        for (_, run) in self.runs() {
            histogram[usize::from(run.value)] += run.len as u64;
            total += run.len;
        }
        if total == REGISTERS { Ok(estimate(&histogram)) } else { Err(corrupted()) }
    }

    /// A sparse value's runs as text: `Z:8436 v:1,1 z:3`.
    pub fn describe_runs(&self) -> String {
        let word = |(_, run): (usize, Run)| match (run.value, run.encoded_len()) {
            (0, 1) => format!("z:{}", run.len),
            (0, _) => format!("Z:{}", run.len),
            (value, _) => format!("v:{value},{}", run.len),
        };
        self.runs().map(word).collect::<Vec<String>>().join(" ")
    }
}

impl Default for HyperLogLog {
    fn default() -> Self {
        Self::new()
    }
}

/// The estimate for registers that are not packed: of a union that is stored nowhere.
pub fn count_of(registers: &Registers) -> u64 {
    let mut histogram = [0; 64];
    registers.iter().for_each(|register| histogram[usize::from(*register & REGISTER_MAX)] += 1);
    estimate(&histogram)
}

fn corrupted() -> CommandError {
    CommandError::custom("INVALIDOBJ Corrupted HLL object detected")
}

/// What came of an attempt to raise a register of a sparse value.
enum Raised {
    No,
    Yes,
    NeedsDense,
}

/// A run of registers with the same value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// 0: zeros.
    value: u8,
    len: usize,
    /// Zeros in the two-byte form, which Redis chooses for more than 64 of them.
    is_long: bool,
}

impl Run {
    /// The run at a place of a value, `None` at its end. A form cut short counts as if zeros followed, as in Redis,
    /// where there is one.
    fn at(bytes: &[u8], at: usize) -> Option<Run> {
        let byte = *bytes.get(at)?;
        Some(match byte >> 6 {
            0 => Run { value: 0, len: usize::from(byte) + 1, is_long: false },
            1 => {
                let low = bytes.get(at + 1).copied().unwrap_or(0);
                Run { value: 0, len: (usize::from(byte & 0x3f) << 8 | usize::from(low)) + 1, is_long: true }
            }
            _ => Run { value: (byte >> 2 & 0x1f) + 1, len: usize::from(byte & 3) + 1, is_long: false },
        })
    }

    fn encoded_len(self) -> usize {
        1 + usize::from(self.is_long)
    }
}

/// Appends a run; nothing if it is empty.
fn put_run(out: &mut impl Extend<u8>, value: u8, len: usize) {
    let Some(rest) = len.checked_sub(1) else { return };
    match value {
        0 if len <= SHORT_ZEROS_MAX => out.extend([rest as u8]),
        0 => out.extend([0x40 | (rest >> 8) as u8, rest as u8]),
        value => out.extend([value_run(value, len)]),
    }
}

fn value_run(value: u8, len: usize) -> u8 {
    0x80 | (value - 1) << 2 | (len - 1) as u8
}

/// The register of a dense value.
fn dense_register(body: &[u8], register: usize) -> u8 {
    let (at, shift) = dense_place(register);
    let wide = u16::from_le_bytes([body[at], body.get(at + 1).copied().unwrap_or(0)]);
    (wide >> shift) as u8 & REGISTER_MAX
}

/// Sets the register of a dense value if it is lower. Returns whether it was.
fn raise_dense(body: &mut [u8], register: usize, value: u8) -> bool {
    if dense_register(body, register) >= value {
        return false;
    }
    let (at, shift) = dense_place(register);
    let (mask, bits) = (u16::from(REGISTER_MAX) << shift, u16::from(value) << shift);
    body[at] = body[at] & !(mask as u8) | bits as u8;
    if let Some(next) = body.get_mut(at + 1) {
        *next = *next & !((mask >> 8) as u8) | (bits >> 8) as u8;
    }
    true
}

/// Where a register's lowest bit lies: in which byte, at which of its bits.
fn dense_place(register: usize) -> (usize, usize) {
    let bit = register * REGISTER_BITS;
    (bit / 8, bit % 8)
}

/// Which register an element belongs to, and what it raises that to: one more than the zeros that follow in its hash.
pub fn register_of(element: &[u8]) -> (usize, u8) {
    let hash = murmur64a(element);
    let rest = hash >> INDEX_BITS | 1 << COUNTED_BITS;
    (hash as usize & (REGISTERS - 1), rest.trailing_zeros() as u8 + 1)
}

/// MurmurHash64A, as Redis has it on machines of either byte order.
fn murmur64a(data: &[u8]) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const R: u32 = 47;
    let (words, tail) = data.as_chunks::<8>();
    let mut hash = HASH_SEED ^ (data.len() as u64).wrapping_mul(M);
    for word in words {
        let mut k = u64::from_le_bytes(*word).wrapping_mul(M);
        k = (k ^ k >> R).wrapping_mul(M);
        hash = (hash ^ k).wrapping_mul(M);
    }
    if !tail.is_empty() {
        let mut last = [0; 8];
        last[..tail.len()].copy_from_slice(tail);
        hash = (hash ^ u64::from_le_bytes(last)).wrapping_mul(M);
    }
    hash = (hash ^ hash >> R).wrapping_mul(M);
    hash ^ hash >> R
}

/// How many elements a distribution of register values speaks for (Ertl, arXiv:1702.01284).
fn estimate(histogram: &[u64; 64]) -> u64 {
    let m = REGISTERS as f64;
    let mut z = m * tau((m - histogram[COUNTED_BITS + 1] as f64) / m);
    for count in histogram[1..=COUNTED_BITS].iter().rev() {
        z = (z + *count as f64) * 0.5;
    }
    z += m * sigma(histogram[0] as f64 / m);
    let estimate = (ALPHA * m * m / z).round();
    // Registers that no elements can have made: what x86-64 makes of an infinite number.
    if estimate.is_finite() { estimate as u64 } else { 1 << 63 }
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if before == z {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if before == z {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPARSE_BYTES_MAX: usize = 3000;

    #[test]
    fn bytes_are_those_of_redis() {
        // PFADD h a b c; PFCOUNT h; GET h on redis-server 7.0.15.
        let mut hll = HyperLogLog::new();
        for element in [b"a", b"b", b"c"] {
            assert_eq!(hll.add(element, SPARSE_BYTES_MAX), Ok(true));
        }
        assert_eq!(hll.add(b"a", SPARSE_BYTES_MAX), Ok(false));
        assert_eq!(hll.cached_count(), None);
        let count = hll.count().unwrap();
        assert_eq!(count, 3);
        hll.cache_count(count);
        assert_eq!(hll.cached_count(), Some(3));
        assert_eq!(hll.describe_runs(), "Z:8436 v:1,1 Z:4274 v:2,1 Z:3068 v:1,1 Z:603");
        let expected = b"HYLL\x01\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\
            \x60\xf3\x80\x50\xb1\x84\x4b\xfb\x80\x42\x5a";
        assert_eq!(hll.into_value(), expected);
    }

    #[test]
    fn estimates_are_close() {
        for total in [10u64, 1000, 20_000] {
            let mut hll = HyperLogLog::new();
            for number in 0..total {
                hll.add(format!("element {number}").as_bytes(), SPARSE_BYTES_MAX).unwrap();
            }
            let error = (hll.count().unwrap() as f64 - total as f64).abs() / total as f64;
            assert!(error < 0.03, "{total}: off by {error}");
            assert_eq!(count_of(&hll.registers().unwrap()), hll.count().unwrap());
        }
    }

    #[test]
    fn impossible_registers_have_an_estimate_too() {
        assert_eq!(count_of(&Box::new([REGISTER_MAX; REGISTERS])), 1 << 63);
    }

    proptest! {
        #[test]
        fn sparse_and_dense_values_hold_the_same_registers(
            raises in prop::collection::vec((0usize..40, 1u8..36), 0..200), sparse_bytes_max in 0usize..80,
        ) {
            let (mut hll, mut dense) = (HyperLogLog::new(), HyperLogLog::new());
            dense.make_dense().unwrap();
            let mut model = no_registers();
            for (register, count) in raises {
                // Near both ends and one another, so that runs split and join.
                let register = if register < 20 { register } else { REGISTERS - 1 - (register - 20) };
                let raised = model[register] < count;
                model[register] = model[register].max(count);
                prop_assert_eq!(hll.raise(register, count, sparse_bytes_max), Ok(raised));
                prop_assert_eq!(dense.raise(register, count, sparse_bytes_max), Ok(raised));
                prop_assert!(hll.is_dense() || hll.0.len() <= sparse_bytes_max.max(HEADER_LEN + 2));
            }
            prop_assert_eq!(&hll.registers().unwrap(), &model);
            prop_assert_eq!(&dense.registers().unwrap(), &model);
            prop_assert_eq!(hll.count(), dense.count());
            prop_assert_eq!(hll.count(), Ok(count_of(&model)));
            hll.make_dense().unwrap();
            prop_assert_eq!(hll.body(), dense.body());
        }

        #[test]
        fn damaged_values_are_errors_not_panics(
            body in prop::collection::vec(any::<u8>(), 0..40), elements in prop::collection::vec(any::<[u8; 3]>(), 0..5),
        ) {
            let mut value = HyperLogLog::new().into_value();
            value.splice(HEADER_LEN.., body);
            let mut hll = HyperLogLog::from_value(&value).unwrap();
            for element in elements {
                let _ = hll.add(&element, SPARSE_BYTES_MAX);
            }
            let _ = (hll.count(), hll.registers(), hll.describe_runs(), hll.make_dense());
        }

        #[test]
        fn headers_are_checked(value in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert!(HyperLogLog::from_value(&value).is_err());
        }
    }
}
