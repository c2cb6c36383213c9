//! Strings: the value is the record's body. Redis keeps strings in memory in several ways, which OBJECT ENCODING
//! shows; mostly the value itself tells which, and where it does not the record's variant remembers.

use std::ops::Range;

use bytes::Bytes;

use crate::keyspace::{CommandError, Entry, EventClass, Keyspace, Record, Type};
use crate::number::{self, LongDouble};

type Result<T> = std::result::Result<T, CommandError>;

/// Variant: kept as the value suggests.
const NATURAL: u8 = 0;
/// Variant: was changed in place, so it is kept with room to grow, however short and however much of a number it is.
const RAW: u8 = 1;
/// Variant: kept as a text even if it is an integer.
const TEXT: u8 = 2;

/// The longest value that Redis keeps in one piece of memory with its header, in bytes.
const EMBSTR_LEN_MAX: usize = 44;
/// Redis has the integers below this one ready for all keys to share.
const SHARED_INTEGERS: i64 = 10_000;

/// A value as a client gave it; it does not expire.
pub fn new(value: Bytes) -> Record {
    Record { variant: NATURAL, ..Record::new(Type::String, value) }
}

/// A value that was put together here, which Redis then keeps with room to grow.
pub fn new_raw(value: Vec<u8>) -> Record {
    Record { variant: RAW, ..new(value.into()) }
}

/// OBJECT ENCODING.
pub fn encoding(record: &Record) -> &'static str {
    match record.variant {
        RAW => "raw",
        NATURAL if number::parse_i64(&record.body).is_some() => "int",
        _ if record.body.len() <= EMBSTR_LEN_MAX => "embstr",
        _ => "raw",
    }
}

/// Whether Redis would keep the value as one of its shared integers.
pub fn is_shared(record: &Record) -> bool {
    encoding(record) == "int"
        && number::parse_i64(&record.body).is_some_and(|value| (0..SHARED_INTEGERS).contains(&value))
}

/// APPEND. Returns the length of the new value.
pub fn append(keyspace: &mut Keyspace<'_>, key: &Bytes, suffix: &Bytes) -> Result<usize> {
    let mut entry = keyspace.entry_typed(key, Type::String)?;
    let record = match entry.record() {
        Some(before) => {
            check_len(keyspace, before.body.len(), suffix.len())?;
            new_raw([&before.body[..], suffix].concat())
        }
        None => new(suffix.clone()),
    };
    let len = record.body.len();
    keyspace.put_keeping_ttl(&mut entry, record)?;
    keyspace.notify(EventClass::String, "append", key);
    Ok(len)
}

/// SETRANGE: overwrites what is at `offset`, zeros filling a gap before it. Returns the length of the new value.
pub fn set_range(keyspace: &mut Keyspace<'_>, key: &Bytes, offset: usize, patch: &[u8]) -> Result<usize> {
    let mut entry = keyspace.entry_typed(key, Type::String)?;
    let before = entry.record().map_or(&[][..], |record| &record.body[..]);
    if patch.is_empty() {
        return Ok(before.len());
    }
    let end = check_len(keyspace, offset, patch.len())?;
    let len = before.len().max(end);
    let mut value = Vec::with_capacity(len);
    value.extend_from_slice(before);
    value.resize(len, 0);
    value[offset..end].copy_from_slice(patch);
    keyspace.put_keeping_ttl(&mut entry, new_raw(value))?;
    keyspace.notify(EventClass::String, "setrange", key);
    Ok(len)
}

/// A string in the middle of being changed in place, as SETBIT and BITFIELD do.
#[derive(Debug)]
pub struct Editor {
    entry: Entry,
    value: Vec<u8>,
    changed: bool,
}

impl Editor {
    /// Looks the key up; one that is not there begins as an empty string.
    pub fn open(keyspace: &mut Keyspace<'_>, key: &Bytes) -> Result<Editor> {
        let entry = keyspace.entry_typed(key, Type::String)?;
        let value = entry.record().map_or_else(Vec::new, |record| record.body.to_vec());
        // Redis lays a value out anew before it changes it, even if nothing changes then.
        let changed = entry.record().is_none_or(|record| encoding(record) != "raw");
        Ok(Editor { entry, value, changed })
    }

    /// Makes the string at least `len` bytes long, with zeros at its end. Whoever asks has held `len` against a limit.
    /// Returns whether it was shorter.
    pub fn grow(&mut self, len: usize) -> bool {
        let grows = len > self.value.len();
        if grows {
            self.value.resize(len, 0);
            self.changed = true;
        }
        grows
    }

    /// The bytes in `range`, which may reach beyond the end: there are zeros.
    pub fn read(&self, range: Range<usize>) -> Vec<u8> {
        slice_with_zeros(&self.value, range)
    }

    /// Overwrites the bytes from `offset` on; the string must be long enough.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        let before = &mut self.value[offset..offset + bytes.len()];
        self.changed |= before != bytes;
        before.copy_from_slice(bytes);
    }

    /// Stores what has changed.
    pub fn finish(mut self, keyspace: &mut Keyspace<'_>) -> Result<()> {
        if !self.changed {
            return Ok(());
        }
        keyspace.put_keeping_ttl(&mut self.entry, new_raw(self.value))
    }
}

/// The bytes of `value` in `range`, with zeros where it is shorter.
pub fn slice_with_zeros(value: &[u8], range: Range<usize>) -> Vec<u8> {
    let len = range.len();
    let there = value.get(range.start.min(value.len())..range.end.min(value.len())).unwrap_or_default();
    let mut bytes = there.to_vec();
    bytes.resize(len, 0);
    bytes
}

/// INCRBY, with a value that is not there counting as 0. Returns the new value.
pub fn increment(keyspace: &mut Keyspace<'_>, key: &Bytes, by: i64) -> Result<i64> {
    let mut entry = keyspace.entry_typed(key, Type::String)?;
    let before = match entry.record() {
        Some(record) => number::parse_i64(&record.body).ok_or(CommandError::NotInteger)?,
        None => 0,
    };
    let after = before.checked_add(by).ok_or(CommandError::Overflow)?;
    let text = Bytes::copy_from_slice(itoa::Buffer::new().format(after).as_bytes());
    keyspace.put_keeping_ttl(&mut entry, new(text))?;
    keyspace.notify(EventClass::String, "incrby", key);
    Ok(after)
}

/// INCRBYFLOAT, with a value that is not there counting as 0. `by` is read last, for a value of another type is the
/// graver error. Returns the new value.
pub fn increment_float(keyspace: &mut Keyspace<'_>, key: &Bytes, by: &[u8]) -> Result<Bytes> {
    let mut entry = keyspace.entry_typed(key, Type::String)?;
    let before = entry.record().map_or(&b"0"[..], |record| &record.body[..]);
    let parse = |text| LongDouble::parse(text).ok_or(CommandError::NotFloat);
    let after = parse(before)? + parse(by)?;
    if after.is_nan_or_infinite() {
        return Err(CommandError::FloatOverflow);
    }
    let text = Bytes::from(after.format());
    keyspace.put_keeping_ttl(&mut entry, Record { variant: TEXT, ..new(text.clone()) })?;
    keyspace.notify(EventClass::String, "incrbyfloat", key);
    Ok(text)
}

/// Which bytes of a value of `len` bytes lie between `start` and `end`, both included, as GETRANGE counts: from the end
/// where negative, and no further than the value goes.
pub fn range(len: usize, start: i64, end: i64) -> Range<usize> {
    // Said of the numbers as they were given, before those too far to the left become 0.
    if start < 0 && end < 0 && start > end {
        return 0..0;
    }
    let position = |index: i64| match usize::try_from(index) {
        Ok(from_start) => from_start,
        Err(_) => len.saturating_sub(usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    let (start, end) = (position(start), position(end).saturating_add(1).min(len));
    if start < end { start..end } else { 0..0 }
}

/// The length of a value that is to end `more` bytes behind `len`, if values may be as long.
fn check_len(keyspace: &Keyspace<'_>, len: usize, more: usize) -> Result<usize> {
    len.checked_add(more).filter(|len| *len <= keyspace.value_bytes_max()).ok_or(CommandError::StringTooLong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn encodings_are_those_that_redis_chooses() {
        let long = "x".repeat(45);
        for (value, variant, expected) in [
            ("12", NATURAL, "int"),
            ("-9223372036854775808", NATURAL, "int"),
            ("9223372036854775808", NATURAL, "embstr"),
            ("012", NATURAL, "embstr"),
            ("", NATURAL, "embstr"),
            (&long[1..], NATURAL, "embstr"),
            (&long, NATURAL, "raw"),
            ("12", RAW, "raw"),
            ("12", TEXT, "embstr"),
            (&long, TEXT, "raw"),
        ] {
            let record = Record { variant, ..new(Bytes::copy_from_slice(value.as_bytes())) };
            assert_eq!(encoding(&record), expected, "{value} {variant}");
        }
    }

    proptest! {
        #[test]
        fn a_range_is_what_redis_cuts_out(len in 0usize..8, start in -12i64..12, end in -12i64..12) {
            // getrangeCommand, in its own arithmetic.
            let size = len as i64;
            let (mut from, mut to) = (start, end);
            let expected = if from < 0 && to < 0 && from > to {
                0..0
            } else {
                from = if from < 0 { (size + from).max(0) } else { from };
                to = if to < 0 { (size + to).max(0) } else { to }.min(size - 1);
                if from > to || size == 0 { 0..0 } else { from as usize..to as usize + 1 }
            };
            prop_assert_eq!(range(len, start, end), expected);
        }
    }

    #[test]
    fn ranges_take_any_numbers() {
        assert_eq!(range(5, i64::MIN, i64::MAX), 0..5);
        assert_eq!(range(5, i64::MAX, i64::MIN), 0..0);
        assert_eq!(range(5, i64::MIN, i64::MIN), 0..1);
    }
}
