//! Strings. A value is its record's body, or if it is long it lies in segments (`segments`), and the body is its length.
//! Redis keeps strings in memory in several ways, which OBJECT ENCODING shows; mostly the value itself tells which, and
//! where it does not the record's variant remembers.
//!
//! Nobody else must know in which form a value lies: a string's body is for this file alone.

use std::ops::Range;

use bytes::Bytes;

use super::elements::corrupt;
use super::{bitmap, segments};
use crate::keyspace::{CommandError, Entry, EventClass, Keyspace, Record, Type};
use crate::layout::ObjectId;
use crate::limits;
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

/// A value as a client gave it, to be put under `entry`; it does not expire.
pub fn record(keyspace: &mut Keyspace<'_>, entry: &Entry, value: Bytes) -> Result<Record> {
    if value.len() <= limits::STRING_INLINE_BYTES_MAX {
        return Ok(short(value, NATURAL));
    }
    let object = keyspace.new_object(entry)?;
    segments::write(keyspace, object, &value);
    Ok(long(object, value.len(), NATURAL))
}

/// As [`record`], of a value that was put together here, which Redis then keeps with room to grow.
pub fn raw_record(keyspace: &mut Keyspace<'_>, entry: &Entry, value: Vec<u8>) -> Result<Record> {
    Ok(Record { variant: RAW, ..record(keyspace, entry, value.into())? })
}

fn short(value: Bytes, variant: u8) -> Record {
    Record { variant, ..Record::new(Type::String, value) }
}

fn long(object: ObjectId, len: usize, variant: u8) -> Record {
    let body = Bytes::copy_from_slice(&(len as u64).to_be_bytes());
    Record { variant, object: Some(object), ..Record::new(Type::String, body) }
}

/// The length of a value, in bytes.
pub fn len(record: &Record) -> Result<usize> {
    match record.object {
        None => Ok(record.body.len()),
        Some(_) => {
            let len = record.body[..].try_into().map(u64::from_be_bytes).map_err(|_| corrupt())?;
            usize::try_from(len).map_err(|_| corrupt())
        }
    }
}

/// The whole value.
pub fn read(keyspace: &Keyspace<'_>, record: &Record) -> Result<Bytes> {
    match record.object {
        None => Ok(record.body.clone()),
        Some(object) => segments::read(keyspace, object, 0..len(record)?),
    }
}

/// The bytes in `range`, as far as the value goes.
pub fn read_range(keyspace: &Keyspace<'_>, record: &Record, range: Range<usize>) -> Result<Bytes> {
    let len = len(record)?;
    let range = range.start.min(len)..range.end.min(len);
    match record.object {
        _ if range.is_empty() => Ok(Bytes::new()),
        None => Ok(record.body.slice(range)),
        Some(object) => segments::read(keyspace, object, range),
    }
}

/// How many of the bits in `bits`, which lie within the value, are set.
pub fn count_bits(keyspace: &Keyspace<'_>, record: &Record, bits: Range<u64>) -> Result<u64> {
    let Some(object) = record.object else { return Ok(bitmap::count(&record.body, bits)) };
    let mut count = 0;
    segments::walk(keyspace, object, bitmap::bytes_of(&bits), |at, piece| {
        count += bitmap::count(piece, bitmap::within(&bits, at, piece.len()));
        true
    })?;
    Ok(count)
}

/// The first of the bits in `bits`, which lie within the value, that is `bit`.
pub fn find_bit(keyspace: &Keyspace<'_>, record: &Record, bits: Range<u64>, bit: bool) -> Result<Option<u64>> {
    let Some(object) = record.object else { return Ok(bitmap::position(&record.body, bits, bit)) };
    let mut found = None;
    // Bits from here on were not looked at yet.
    let mut next = bits.start;
    segments::walk(keyspace, object, bitmap::bytes_of(&bits), |at, piece| {
        let (start, wanted) = (at as u64 * 8, bitmap::within(&bits, at, piece.len()));
        if !bit && start > next {
            // Between pieces there are zeros.
            return false;
        }
        next = start + wanted.end;
        found = bitmap::position(piece, wanted, bit).map(|at| start + at);
        found.is_none()
    })?;
    Ok(found.or_else(|| (!bit && next < bits.end).then_some(next)))
}

/// The bytes of a value that is short enough to be a number or the like.
fn number_text(record: &Record) -> Option<&[u8]> {
    record.object.is_none().then_some(&record.body[..])
}

fn parse_integer(record: &Record) -> Option<i64> {
    number_text(record).and_then(number::parse_i64)
}

/// OBJECT ENCODING.
pub fn encoding(record: &Record) -> &'static str {
    match record.variant {
        RAW => "raw",
        _ if record.object.is_some() => "raw",
        NATURAL if parse_integer(record).is_some() => "int",
        _ if record.body.len() <= EMBSTR_LEN_MAX => "embstr",
        _ => "raw",
    }
}

/// Whether Redis would keep the value as one of its shared integers.
pub fn is_shared(record: &Record) -> bool {
    encoding(record) == "int" && parse_integer(record).is_some_and(|value| (0..SHARED_INTEGERS).contains(&value))
}

/// APPEND. Returns the length of the new value.
pub fn append(keyspace: &mut Keyspace<'_>, key: &Bytes, suffix: &Bytes) -> Result<usize> {
    let mut editor = Editor::open(keyspace, key)?;
    let before = editor.len();
    if editor.entry.exists() {
        let len = check_len(keyspace, before, suffix.len())?;
        editor.grow(keyspace, len)?;
        editor.write(keyspace, before, suffix)?;
        editor.changed = true;
        editor.finish(keyspace)?;
    } else {
        let record = record(keyspace, &editor.entry, suffix.clone())?;
        keyspace.put(&mut editor.entry, record)?;
    }
    keyspace.notify(EventClass::String, "append", key);
    Ok(before + suffix.len())
}

/// SETRANGE: overwrites what is at `offset`, zeros filling a gap before it. Returns the length of the new value.
pub fn set_range(keyspace: &mut Keyspace<'_>, key: &Bytes, offset: usize, patch: &[u8]) -> Result<usize> {
    let mut editor = Editor::open(keyspace, key)?;
    if patch.is_empty() {
        return Ok(editor.len());
    }
    let end = check_len(keyspace, offset, patch.len())?;
    editor.grow(keyspace, end)?;
    editor.write(keyspace, offset, patch)?;
    editor.changed = true;
    let len = editor.len();
    editor.finish(keyspace)?;
    keyspace.notify(EventClass::String, "setrange", key);
    Ok(len)
}

/// A string in the middle of being changed in place. Of a long one only what is touched is read and written.
#[derive(Debug)]
pub struct Editor {
    entry: Entry,
    value: Value,
    changed: bool,
}

#[derive(Debug)]
enum Value {
    Short(Vec<u8>),
    Long { object: ObjectId, len: usize, changes: segments::Changes },
}

impl Editor {
    /// Looks the key up; one that is not there begins as an empty string.
    pub fn open(keyspace: &mut Keyspace<'_>, key: &Bytes) -> Result<Editor> {
        let entry = keyspace.entry_typed(key, Type::String)?;
        let value = match entry.record() {
            Some(record) => match record.object {
                Some(object) => Value::Long { object, len: len(record)?, changes: segments::Changes::default() },
                None => Value::Short(record.body.to_vec()),
            },
            None => Value::Short(Vec::new()),
        };
        // Redis lays a value out anew before it changes it, even if nothing changes then.
        let changed = entry.record().is_none_or(|record| encoding(record) != "raw");
        Ok(Editor { entry, value, changed })
    }

    pub fn len(&self) -> usize {
        match &self.value {
            Value::Short(value) => value.len(),
            Value::Long { len, .. } => *len,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes the string at least `len` bytes long, with zeros at its end. Whoever asks has held `len` against a limit.
    /// Returns whether it was shorter.
    pub fn grow(&mut self, keyspace: &mut Keyspace<'_>, new_len: usize) -> Result<bool> {
        if new_len <= self.len() {
            return Ok(false);
        }
        self.changed = true;
        match &mut self.value {
            Value::Short(value) if new_len <= limits::STRING_INLINE_BYTES_MAX => value.resize(new_len, 0),
            Value::Short(value) => {
                let changes = segments::Changes::of_whole(value);
                let object = keyspace.new_object(&self.entry)?;
                self.value = Value::Long { object, len: new_len, changes };
            }
            Value::Long { len, .. } => *len = new_len,
        }
        Ok(true)
    }

    /// The bytes in `range`, which may reach beyond the end: there are zeros.
    pub fn read(&mut self, keyspace: &mut Keyspace<'_>, range: Range<usize>) -> Result<Vec<u8>> {
        match &mut self.value {
            Value::Short(value) => Ok(slice_with_zeros(value, range)),
            Value::Long { object, changes, .. } => changes.read(keyspace, *object, range),
        }
    }

    /// Overwrites the bytes from `offset` on; the string must be long enough.
    pub fn write(&mut self, keyspace: &mut Keyspace<'_>, offset: usize, bytes: &[u8]) -> Result<()> {
        match &mut self.value {
            Value::Short(value) => {
                let before = &mut value[offset..offset + bytes.len()];
                self.changed |= before != bytes;
                before.copy_from_slice(bytes);
                Ok(())
            }
            Value::Long { object, changes, .. } => changes.write(keyspace, *object, offset, bytes),
        }
    }

    /// Stores what has changed.
    pub fn finish(mut self, keyspace: &mut Keyspace<'_>) -> Result<()> {
        let record = match self.value {
            Value::Short(value) => short(value.into(), RAW),
            Value::Long { object, len, changes } => {
                self.changed |= changes.is_changed();
                changes.finish(keyspace, object, len);
                long(object, len, RAW)
            }
        };
        if self.changed { keyspace.put_keeping_ttl(&mut self.entry, record) } else { Ok(()) }
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
        Some(record) => parse_integer(record).ok_or(CommandError::NotInteger)?,
        None => 0,
    };
    let after = before.checked_add(by).ok_or(CommandError::Overflow)?;
    let text = Bytes::copy_from_slice(itoa::Buffer::new().format(after).as_bytes());
    keyspace.put_keeping_ttl(&mut entry, short(text, NATURAL))?;
    keyspace.notify(EventClass::String, "incrby", key);
    Ok(after)
}

/// INCRBYFLOAT, with a value that is not there counting as 0. `by` is read last, for a value of another type is the
/// graver error. Returns the new value.
pub fn increment_float(keyspace: &mut Keyspace<'_>, key: &Bytes, by: &[u8]) -> Result<Bytes> {
    let mut entry = keyspace.entry_typed(key, Type::String)?;
    let before = entry.record().map_or(Some(&b"0"[..]), number_text);
    let parse = |text| LongDouble::parse(text).ok_or(CommandError::NotFloat);
    let after = parse(before.ok_or(CommandError::NotFloat)?)? + parse(by)?;
    if after.is_nan_or_infinite() {
        return Err(CommandError::FloatOverflow);
    }
    let text = Bytes::from(after.format());
    keyspace.put_keeping_ttl(&mut entry, short(text.clone(), TEXT))?;
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
    use std::sync::Arc;

    use super::*;
    use crate::engine::memory::{MemoryDisk, MemoryEngine};
    use crate::engine::{Engine, WriteOptions, thread};
    use crate::keyspace::{DatabaseMap, Txn, ValueLimits};
    use proptest::prelude::*;

    /// A change of a string: what is written where, or (`None`) at the end; or a whole new value.
    #[derive(Clone, Debug)]
    enum Change {
        Set(Vec<u8>),
        Write(Option<usize>, Vec<u8>),
        /// A bit, by a byte and its number there.
        Bit(usize, u8),
    }

    /// At and around where segments begin, and where a string becomes a long one.
    fn place() -> impl Strategy<Value = usize> {
        const EDGES: [usize; 6] = [0, 16 * 1024, 32 * 1024, 64 * 1024, 80 * 1024, 96 * 1024];
        (prop::sample::select(&EDGES[..]), 0usize..5).prop_map(|(edge, more)| (edge + more).saturating_sub(2))
    }

    fn change() -> impl Strategy<Value = Change> {
        let text = || (place(), any::<u8>()).prop_map(|(len, byte)| vec![byte; len]);
        prop_oneof![
            1 => text().prop_map(Change::Set),
            2 => text().prop_map(|text| Change::Write(None, text)),
            2 => (place(), text()).prop_map(|(at, text)| Change::Write(Some(at), text)),
            3 => (place(), 0u8..8).prop_map(|(at, bit)| Change::Bit(at, bit)),
        ]
    }

    const KEY: Bytes = Bytes::from_static(b"string");

    fn apply(keyspace: &mut Keyspace<'_>, model: &mut Vec<u8>, change: Change) {
        match change {
            Change::Set(value) => {
                let mut entry = keyspace.entry(&KEY).unwrap();
                let record = record(keyspace, &entry, value.clone().into()).unwrap();
                keyspace.put(&mut entry, record).unwrap();
                *model = value;
            }
            Change::Write(None, text) => {
                model.extend_from_slice(&text);
                assert_eq!(append(keyspace, &KEY, &text.into()), Ok(model.len()));
            }
            Change::Write(Some(at), text) => {
                if !text.is_empty() {
                    model.resize(model.len().max(at + text.len()), 0);
                    model[at..at + text.len()].copy_from_slice(&text);
                }
                assert_eq!(set_range(keyspace, &KEY, at, &text), Ok(model.len()));
            }
            Change::Bit(at, bit) => {
                let mut editor = Editor::open(keyspace, &KEY).unwrap();
                assert_eq!(editor.grow(keyspace, at + 1), Ok(at >= model.len()));
                model.resize(model.len().max(at + 1), 0);
                let before = editor.read(keyspace, at..at + 1).unwrap();
                assert_eq!(before, model[at..at + 1]);
                model[at] = bitmap::with_bit(model[at], bit.into(), true);
                editor.write(keyspace, at, &model[at..at + 1]).unwrap();
                editor.finish(keyspace).unwrap();
            }
        }
    }

    fn compare(keyspace: &mut Keyspace<'_>, model: &[u8], from: usize, to: usize, bit: bool) {
        let Some(record) = keyspace.get_typed(&KEY, Type::String).unwrap() else { return assert!(model.is_empty()) };
        assert_eq!(len(&record), Ok(model.len()));
        assert_eq!(record.object.is_some(), model.len() > limits::STRING_INLINE_BYTES_MAX);
        assert!(read(keyspace, &record).unwrap() == model, "the value differs");
        let range = from.min(to).min(model.len())..from.max(to).min(model.len());
        assert!(read_range(keyspace, &record, range.clone()).unwrap() == model[range.clone()], "{range:?} differs");
        let bits = (range.start as u64 * 8 + 3).min(range.end as u64 * 8)..range.end as u64 * 8;
        assert_eq!(count_bits(keyspace, &record, bits.clone()), Ok(bitmap::count(model, bits.clone())));
        assert_eq!(find_bit(keyspace, &record, bits.clone(), bit), Ok(bitmap::position(model, bits, bit)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        #[test]
        fn a_string_is_a_row_of_bytes_whatever_its_form(
            changes in prop::collection::vec((change(), place(), place(), any::<bool>(), any::<bool>()), 0..8),
        ) {
            thread::mark_engine_thread();
            let engine = MemoryEngine::open(MemoryDisk::new()).unwrap();
            let databases = Arc::new(DatabaseMap::load(&*engine, 1).unwrap());
            let limits = || ValueLimits { bytes_max: usize::MAX, ..ValueLimits::default() };
            let mut model = Vec::new();
            let mut keyspace = Keyspace::new(Txn::writer(&*engine), databases.clone(), 0, 0, limits());
            for (change, from, to, bit, commit) in changes {
                apply(&mut keyspace, &mut model, change);
                keyspace.keep();
                compare(&mut keyspace, &model, from, to, bit);
                if commit {
                    engine.write(&keyspace.txn().to_batch(), WriteOptions::default()).unwrap();
                    keyspace = Keyspace::new(Txn::writer(&*engine), databases.clone(), 0, 0, limits());
                    compare(&mut keyspace, &model, from, to, bit);
                }
            }
        }
    }

    #[test]
    fn a_bit_far_out_costs_one_segment() {
        thread::mark_engine_thread();
        let engine = MemoryEngine::open(MemoryDisk::new()).unwrap();
        let databases = Arc::new(DatabaseMap::load(&*engine, 1).unwrap());
        let mut keyspace = Keyspace::new(Txn::writer(&*engine), databases, 0, 0, ValueLimits::default());
        let far = 512 * 1024 * 1024 - 1;
        for expected in [true, false] {
            let written = keyspace.txn().overlay_bytes();
            let mut editor = Editor::open(&mut keyspace, &KEY).unwrap();
            assert_eq!(editor.grow(&mut keyspace, far + 1), Ok(expected));
            editor.write(&mut keyspace, far, if expected { b"\x01" } else { b"\x81" }).unwrap();
            editor.finish(&mut keyspace).unwrap();
            keyspace.keep();
            assert!(keyspace.txn().overlay_bytes() - written < 17 * 1024);
        }
        let record = keyspace.get_typed(&KEY, Type::String).unwrap().unwrap();
        let bits = 0..(far as u64 + 1) * 8;
        assert_eq!(count_bits(&keyspace, &record, bits.clone()), Ok(2));
        assert_eq!(find_bit(&keyspace, &record, bits.clone(), true), Ok(Some(far as u64 * 8)));
        assert_eq!(find_bit(&keyspace, &record, bits, false), Ok(Some(0)));
    }

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
            let record = short(Bytes::copy_from_slice(value.as_bytes()), variant);
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
