//! Whole values in and out, whatever their type: what DUMP and RESTORE do, and what MEMORY USAGE counts.

use bytes::Bytes;

use super::elements::{self, Editor, Elements, encode_score};
use super::list::{self, List};
use super::stream::{self, Stream};
use super::{sort, string};
use crate::engine::{ColumnFamily, Direction};
use crate::keyspace::{CommandError, Keyspace, Record, Type};
use crate::rdb::Value;

type Result<T> = std::result::Result<T, CommandError>;

/// The whole value of a record, in RDB's form.
pub fn dump(keyspace: &Keyspace<'_>, record: &Record) -> Result<Vec<u8>> {
    Ok(crate::rdb::dump(&value(keyspace, record)?, elements::is_compact(record)))
}

/// The whole value of a record.
pub fn value(keyspace: &Keyspace<'_>, record: &Record) -> Result<Value> {
    Ok(match record.kind {
        Type::String => Value::String(string::read(keyspace, record)?),
        Type::List | Type::Set => {
            let elements = sort::elements(keyspace, record)?;
            if record.kind == Type::List { Value::List(elements) } else { Value::Set(elements) }
        }
        Type::Hash => {
            let hash = Elements::of(record)?;
            let mut fields = Vec::new();
            hash.check_walk(keyspace, hash.len())?;
            hash.for_each(keyspace, |field, value| {
                fields.push((Bytes::copy_from_slice(field), Bytes::copy_from_slice(value)));
            })?;
            Value::Hash(fields)
        }
        Type::SortedSet => Value::SortedSet(sort::scored_members(keyspace, record)?),
        Type::Stream => Value::Stream(Stream::of(record)?.dump(keyspace)?),
    })
}

/// Stores a value under a key that is not there.
pub fn restore(keyspace: &mut Keyspace<'_>, key: &Bytes, value: Value, expire_ms: Option<u64>) -> Result<()> {
    let elements = |kind, elements: Vec<(Bytes, Bytes)>, keyspace: &mut Keyspace<'_>| {
        let mut editor = Editor::replace(keyspace, key, kind)?;
        for (name, value) in &elements {
            editor.set(keyspace, name, value)?;
        }
        editor.finish(keyspace, None)
    };
    match value {
        Value::String(text) => {
            let mut entry = keyspace.entry(key)?;
            let record = string::record(keyspace, &entry, text)?;
            keyspace.put(&mut entry, record)?;
        }
        Value::List(values) => {
            let mut list = list::Editor::replace(keyspace, key)?;
            for element in values {
                list.push(keyspace, list::End::Right, element)?;
            }
            list.finish(keyspace)?;
        }
        Value::Set(members) => {
            let members = members.into_iter().map(|member| (member, Bytes::new())).collect();
            elements(Type::Set, members, keyspace)?;
        }
        Value::Hash(fields) => elements(Type::Hash, fields, keyspace)?,
        Value::SortedSet(members) => {
            let members = members.into_iter().map(|(member, score)| (member, encode_score(score))).collect();
            elements(Type::SortedSet, members, keyspace)?;
        }
        Value::Stream(stream) => {
            let mut editor = stream::Editor::open_or_create(keyspace, key)?;
            editor.restore(keyspace, stream)?;
            editor.finish(keyspace)?;
        }
    }
    if expire_ms.is_some() {
        let mut entry = keyspace.entry(key)?;
        keyspace.set_expiry(&mut entry, expire_ms)?;
    }
    Ok(())
}

/// About how many bytes a key takes in the engine, before compression: exactly what its record does, and of a large
/// value's elements as many as they would if all were as long as the first `samples`.
pub fn size(keyspace: &Keyspace<'_>, key: &Bytes, record: &Record, samples: u64) -> Result<u64> {
    let own = (key.len() + record.encode().len()) as u64;
    let Some(object) = record.object else { return Ok(own) };
    let (len, (lower, upper)) = match record.kind {
        // From its first element on: what lies before is the trail of those that were popped.
        Type::List => {
            let list = List::of(record)?;
            (list.len(), list.entries())
        }
        Type::String => {
            let segments = string::len(record)?.div_ceil(crate::limits::STRING_SEGMENT_BYTES);
            (segments as u64, object.entries())
        }
        Type::Stream => Stream::of(record)?.entries(),
        _ => (Elements::of(record)?.len(), object.entries()),
    };
    if samples.min(len) > crate::limits::SHORT_WALK_ELEMENTS {
        keyspace.txn().check_may_take_long()?;
    }
    let mut total = own;
    for cf in [ColumnFamily::Data, ColumnFamily::Score] {
        let mut cursor = keyspace.txn().scan(cf, lower.clone(), Some(upper.clone()), Direction::Forward)?;
        let (mut seen, mut bytes) = (0u64, 0u128);
        while seen < samples
            && let Some((key, value)) = cursor.next()?
        {
            seen += 1;
            bytes += (key.len() + value.len()) as u128;
        }
        total = total.saturating_add((bytes * u128::from(len)).checked_div(u128::from(seen)).unwrap_or(0) as u64);
    }
    Ok(total)
}
