//! Hashes: fields and their values, as [`super::elements`] keeps them.

use bytes::Bytes;

use super::elements::{Editor, Result};
use crate::keyspace::{CommandError, Keyspace, Type};
use crate::number::{self, LongDouble};

/// HSET. Returns how many of the fields are new.
pub fn set(keyspace: &mut Keyspace<'_>, key: &Bytes, pairs: &[(Bytes, Bytes)]) -> Result<u64> {
    let mut hash = Editor::open(keyspace, key, Type::Hash)?;
    let mut new = 0;
    for (field, value) in pairs {
        new += u64::from(hash.set(keyspace, field, value)?.is_none());
    }
    hash.finish(keyspace, Some("hset"))?;
    Ok(new)
}

/// HSETNX. Returns whether the field was set.
pub fn set_if_absent(keyspace: &mut Keyspace<'_>, key: &Bytes, field: &Bytes, value: &Bytes) -> Result<bool> {
    let mut hash = Editor::open(keyspace, key, Type::Hash)?;
    if hash.get(keyspace, field)?.is_some() {
        return Ok(false);
    }
    hash.set(keyspace, field, value)?;
    hash.finish(keyspace, Some("hset"))?;
    Ok(true)
}

/// HDEL. Returns how many fields there were.
pub fn remove(keyspace: &mut Keyspace<'_>, key: &Bytes, fields: &[Bytes]) -> Result<u64> {
    let mut hash = Editor::open(keyspace, key, Type::Hash)?;
    let mut removed = 0;
    for field in fields {
        removed += u64::from(hash.remove(keyspace, field)?.is_some());
    }
    hash.finish(keyspace, (removed > 0).then_some("hdel"))?;
    Ok(removed)
}

/// HINCRBY, with a field that is not there counting as 0. Returns the new value.
pub fn increment(keyspace: &mut Keyspace<'_>, key: &Bytes, field: &Bytes, by: i64) -> Result<i64> {
    let mut hash = Editor::open(keyspace, key, Type::Hash)?;
    let before = match hash.get(keyspace, field)? {
        Some(value) => {
            number::parse_i64(&value).ok_or_else(|| CommandError::custom("ERR hash value is not an integer"))?
        }
        None => 0,
    };
    let after = before.checked_add(by).ok_or(CommandError::Overflow)?;
    let text = Bytes::copy_from_slice(itoa::Buffer::new().format(after).as_bytes());
    hash.set(keyspace, field, &text)?;
    hash.finish(keyspace, Some("hincrby"))?;
    Ok(after)
}

/// HINCRBYFLOAT, with a field that is not there counting as 0. Returns the new value.
pub fn increment_float(keyspace: &mut Keyspace<'_>, key: &Bytes, field: &Bytes, by: LongDouble) -> Result<Bytes> {
    let mut hash = Editor::open(keyspace, key, Type::Hash)?;
    let before = hash.get(keyspace, field)?;
    let before = LongDouble::parse(before.as_deref().unwrap_or(b"0"))
        .ok_or_else(|| CommandError::custom("ERR hash value is not a float"))?;
    let after = before + by;
    if after.is_nan_or_infinite() {
        return Err(CommandError::FloatOverflow);
    }
    let text = Bytes::from(after.format());
    hash.set(keyspace, field, &text)?;
    hash.finish(keyspace, Some("hincrbyfloat"))?;
    Ok(text)
}
