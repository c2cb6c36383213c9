//! Strings as arrays of bits, in Redis' order: bit 0 is the highest of the first byte. Pure functions of bytes; what they
//! are done to in a keyspace is in [`super::string`].
//!
//! It must never allocate for bits that are not there: an offset is a number from the wire.

use std::ops::Range;

/// The bit at `offset`; behind the end all bits are 0.
pub fn get(bytes: &[u8], offset: u64) -> bool {
    usize::try_from(offset / 8).ok().and_then(|at| bytes.get(at)).is_some_and(|byte| byte & mask(offset) != 0)
}

/// The byte with its bit at `offset` (of which only the last three bits count) set to `bit`.
pub fn with_bit(byte: u8, offset: u64, bit: bool) -> u8 {
    if bit { byte | mask(offset) } else { byte & !mask(offset) }
}

fn mask(offset: u64) -> u8 {
    0x80 >> (offset % 8)
}

/// How many of the bits in `bits` are set; the range lies within the bytes.
pub fn count(bytes: &[u8], bits: Range<u64>) -> u64 {
    parts(bytes, bits, false).map(|part| u64::from(part.word.count_ones())).sum()
}

/// The first bit in `bits` that is `bit`; the range lies within the bytes.
pub fn position(bytes: &[u8], bits: Range<u64>, bit: bool) -> Option<u64> {
    parts(bytes, bits, !bit).find_map(|part| {
        let wanted = if bit { part.word } else { !part.word };
        (wanted != 0).then(|| part.at + u64::from(wanted.leading_zeros()))
    })
}

/// The bytes that the bits of a range lie in.
pub fn bytes_of(bits: &Range<u64>) -> Range<usize> {
    if bits.is_empty() { 0..0 } else { (bits.start / 8) as usize..bits.end.div_ceil(8) as usize }
}

/// Which of the bits of a piece of `len` bytes at byte `at` lie in a range that counts from the beginning.
pub fn within(bits: &Range<u64>, at: usize, len: usize) -> Range<u64> {
    let (start, end) = (at as u64 * 8, (at + len) as u64 * 8);
    bits.start.clamp(start, end) - start..bits.end.clamp(start, end) - start
}

/// Eight bytes as one number, the first bit highest.
struct Part {
    /// The offset of the first bit.
    at: u64,
    word: u64,
}

/// The bits of a range in parts, with bits outside of it as `outside` says.
fn parts(bytes: &[u8], bits: Range<u64>, outside: bool) -> impl Iterator<Item = Part> {
    let touched = bytes_of(&bits);
    let (first, touched) = (touched.start, &bytes[touched]);
    touched.chunks(8).enumerate().map(move |(index, chunk)| {
        let at = (first + index * 8) as u64 * 8;
        let mut padded = [0; 8];
        padded[..chunk.len()].copy_from_slice(chunk);
        let word = u64::from_be_bytes(padded);
        // How many bits at either end of this part do not belong to the range.
        let before = bits.start.saturating_sub(at).min(64) as u32;
        let behind = (at + 64).saturating_sub(bits.end).min(64) as u32;
        let inside = u64::MAX.checked_shr(before).unwrap_or(0) & u64::MAX.checked_shl(behind).unwrap_or(0);
        Part { at, word: if outside { word | !inside } else { word & inside } }
    })
}

/// BITOP's operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combination {
    And,
    Or,
    Xor,
    Not,
}

/// Combines values bit by bit; shorter ones count as if zeros followed. NOT takes the first value only.
pub fn combine(combination: Combination, values: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let len = values.iter().map(|value| value.as_ref().len()).max().unwrap_or(0);
    let Some((first, rest)) = values.split_first() else { return Vec::new() };
    let mut result = Vec::with_capacity(len);
    result.extend_from_slice(first.as_ref());
    result.resize(len, 0);
    if combination == Combination::Not {
        result.iter_mut().for_each(|byte| *byte = !*byte);
        return result;
    }
    for value in rest {
        let (common, longer) = result.split_at_mut(value.as_ref().len());
        let pairs = common.iter_mut().zip(value.as_ref());
        match combination {
            Combination::And => {
                pairs.for_each(|(byte, other)| *byte &= other);
                longer.fill(0);
            }
            Combination::Or => pairs.for_each(|(byte, other)| *byte |= other),
            Combination::Xor => pairs.for_each(|(byte, other)| *byte ^= other),
            Combination::Not => unreachable!("invariant: NOT was answered above"),
        }
    }
    result
}

/// An integer of BITFIELD: `i1` to `i64`, `u1` to `u63`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    pub signed: bool,
    pub bits: u32,
}

/// The most bytes that a field touches: 64 bits that begin within a byte.
pub const FIELD_BYTES_MAX: usize = 9;

/// What becomes of a value that its field cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

impl Field {
    /// The bytes that the field at `offset` touches.
    pub fn bytes(self, offset: u64) -> Range<usize> {
        (offset / 8) as usize..(offset + u64::from(self.bits)).div_ceil(8) as usize
    }

    /// Reads the field at bit `offset` of `bytes`, which it lies within.
    pub fn read(self, bytes: &[u8], offset: u64) -> i64 {
        let wide = wide(&bytes[self.bytes(offset)]);
        let behind = 128 - (offset % 8) as u32 - self.bits;
        let raw = (wide >> behind) as u64 & self.mask();
        let is_negative = self.signed && raw >> (self.bits - 1) == 1;
        (if is_negative { raw | !self.mask() } else { raw }) as i64
    }

    /// Writes the field at bit `offset` of `bytes`, which it lies within.
    pub fn write(self, bytes: &mut [u8], offset: u64, value: i64) {
        let touched = &mut bytes[self.bytes(offset)];
        let behind = 128 - (offset % 8) as u32 - self.bits;
        let mask = u128::from(self.mask()) << behind;
        let wide = (wide(touched) & !mask) | (u128::from(value as u64) << behind & mask);
        let len = touched.len();
        touched.copy_from_slice(&wide.to_be_bytes()[..len]);
    }

    fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }

    /// `value + increment` as the field holds it, `None` where it may not hold it. Redis' own arithmetic, which takes a
    /// value of SET that is far too small for one that is too large.
    pub fn add(self, value: i64, increment: i64, overflow: Overflow) -> Option<i64> {
        let exceeds = if self.signed { self.signed_excess(value, increment) } else { self.excess(value, increment) };
        let sum = value.wrapping_add(increment);
        match (exceeds, overflow) {
            (None, _) => Some(sum),
            (Some(_), Overflow::Fail) => None,
            (Some(_), Overflow::Wrap) => Some(self.truncate(sum)),
            (Some(Excess::Above), Overflow::Saturate) => Some(self.max()),
            (Some(Excess::Below), Overflow::Saturate) => Some(self.min()),
        }
    }

    fn max(self) -> i64 {
        (self.mask() >> u32::from(self.signed)) as i64
    }

    fn min(self) -> i64 {
        if self.signed { -self.max() - 1 } else { 0 }
    }

    fn truncate(self, value: i64) -> i64 {
        let raw = value as u64 & self.mask();
        let is_negative = self.signed && raw >> (self.bits - 1) == 1;
        (if is_negative { raw | !self.mask() } else { raw }) as i64
    }

    fn excess(self, value: i64, increment: i64) -> Option<Excess> {
        let max_increment = self.max().wrapping_sub(value);
        if value as u64 > self.mask() || increment > 0 && increment > max_increment {
            return Some(Excess::Above);
        }
        (increment < 0 && increment < value.wrapping_neg()).then_some(Excess::Below)
    }

    fn signed_excess(self, value: i64, increment: i64) -> Option<Excess> {
        let (max_increment, min_increment) = (self.max().wrapping_sub(value), self.min().wrapping_sub(value));
        let narrow = self.bits != 64;
        if value > self.max()
            || narrow && increment > max_increment
            || value >= 0 && increment > 0 && increment > max_increment
        {
            return Some(Excess::Above);
        }
        let below = value < self.min()
            || narrow && increment < min_increment
            || value < 0 && increment < 0 && increment < min_increment;
        below.then_some(Excess::Below)
    }
}

#[derive(Clone, Copy)]
enum Excess {
    Above,
    Below,
}

/// Up to nine bytes at the high end of a number.
fn wide(bytes: &[u8]) -> u128 {
    let mut padded = [0; 16];
    padded[..bytes.len()].copy_from_slice(bytes);
    u128::from_be_bytes(padded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The bits one by one: the model.
    fn bits_of(bytes: &[u8]) -> Vec<bool> {
        bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte & (0x80 >> bit) != 0)).collect()
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop_oneof![Just(0u8), Just(0xff), any::<u8>()], 0..40)
    }

    fn field() -> impl Strategy<Value = Field> {
        prop_oneof![
            (1u32..=64).prop_map(|bits| Field { signed: true, bits }),
            (1u32..=63).prop_map(|bits| Field { signed: false, bits }),
        ]
    }

    proptest! {
        #[test]
        fn bits_are_counted_and_found_as_one_by_one(bytes in bytes(), a in 0u64..320, b in 0u64..320, bit: bool) {
            let bits = bits_of(&bytes);
            let len = bits.len() as u64;
            let range = a.min(b).min(len)..a.max(b).min(len);
            let within = &bits[range.start as usize..range.end as usize];
            prop_assert_eq!(count(&bytes, range.clone()), within.iter().filter(|bit| **bit).count() as u64);
            let found = within.iter().position(|other| *other == bit).map(|at| range.start + at as u64);
            prop_assert_eq!(position(&bytes, range, bit), found);
            prop_assert_eq!(get(&bytes, a), bits.get(a as usize).copied().unwrap_or(false));
        }

        #[test]
        fn values_are_combined_bit_by_bit(values in prop::collection::vec(bytes(), 1..4)) {
            let len = values.iter().map(Vec::len).max().unwrap();
            let bit = |value: &Vec<u8>, at: usize| get(value, at as u64);
            let all = |combined: &dyn Fn(usize) -> bool| (0..len * 8).map(combined).collect::<Vec<bool>>();
            let and = all(&|at| values.iter().all(|value| bit(value, at)));
            let or = all(&|at| values.iter().any(|value| bit(value, at)));
            let xor = all(&|at| values.iter().filter(|value| bit(value, at)).count() % 2 == 1);
            for (combination, expected) in [(Combination::And, and), (Combination::Or, or), (Combination::Xor, xor)] {
                prop_assert_eq!(bits_of(&combine(combination, &values)), expected);
            }
            let not: Vec<bool> = bits_of(&values[0]).into_iter().map(|bit| !bit).collect();
            prop_assert_eq!(bits_of(&combine(Combination::Not, &values[..1])), not);
        }

        #[test]
        fn a_field_reads_what_was_written_and_nothing_else_changes(
            before in prop::collection::vec(any::<u8>(), 20), offset in 0u64..90, field in field(), value: i64,
        ) {
            let mut after = before.clone();
            field.write(&mut after, offset, value);
            prop_assert_eq!(field.read(&after, offset), field.truncate(value));
            let (old, new) = (bits_of(&before), bits_of(&after));
            let end = (offset + u64::from(field.bits)) as usize;
            prop_assert_eq!(&old[..offset as usize], &new[..offset as usize]);
            prop_assert_eq!(&old[end..], &new[end..]);
            let digits = (0..field.bits).map(|bit| field.truncate(value) >> (field.bits - 1 - bit) & 1 == 1);
            prop_assert_eq!(&new[offset as usize..end], &digits.collect::<Vec<bool>>()[..]);
        }

        #[test]
        fn sums_of_values_that_fit_are_exact_or_overflow(field in field(), value: i64, increment: i64) {
            let value = field.truncate(value);
            let sum = i128::from(value) + i128::from(increment);
            let range = i128::from(field.min())..=i128::from(field.max());
            if range.contains(&sum) {
                for overflow in [Overflow::Wrap, Overflow::Saturate, Overflow::Fail] {
                    prop_assert_eq!(field.add(value, increment, overflow), Some(sum as i64));
                }
            } else {
                prop_assert_eq!(field.add(value, increment, Overflow::Fail), None);
                prop_assert_eq!(field.add(value, increment, Overflow::Wrap), Some(field.truncate(sum as i64)));
                let edge = if sum > *range.end() { field.max() } else { field.min() };
                prop_assert_eq!(field.add(value, increment, Overflow::Saturate), Some(edge));
            }
        }
    }

    #[test]
    fn setting_one_bit() {
        assert_eq!(with_bit(0, 0, true), 0x80);
        assert_eq!(with_bit(0, 15, true), 1);
        assert_eq!(with_bit(0xff, 2, false), 0xdf);
    }

    #[test]
    fn values_far_below_a_field_count_as_above_it() {
        // BITFIELD k OVERFLOW SAT SET i8 0 -9223372036854775808 stores 127 on redis-server 7.0.15.
        let field = Field { signed: true, bits: 8 };
        assert_eq!(field.add(i64::MIN, 0, Overflow::Saturate), Some(127));
        assert_eq!(field.add(-1000, 0, Overflow::Saturate), Some(-128));
    }
}
