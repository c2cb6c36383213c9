//! A value → a payload.

use bytes::BufMut;

use super::compact::{Listpack, write_intset};
use super::{CRC64, VERSION, Value, encoded, kind, length, node, stream};
use crate::number;

/// Texts up to this length may be integers: `-2147483648`.
const INTEGER_LEN_MAX: usize = 11;
/// Bytes of a quicklist's node: `list-max-listpack-size` −2, the default.
const NODE_BYTES_MAX: usize = 8192;
/// What Redis reckons for an entry's own length.
const ENTRY_OVERHEAD: usize = 8;

/// Writes what DUMP gives. `compact`: the way Redis writes a collection that it keeps in its compact form; of a set, its
/// members must be integers then.
pub fn dump(value: &Value, compact: bool) -> Vec<u8> {
    let mut out = Vec::new();
    match value {
        Value::String(text) => {
            out.push(kind::STRING);
            put_string(&mut out, text);
        }
        Value::List(elements) => {
            out.push(kind::LIST_QUICKLIST_2);
            put_list(&mut out, elements);
        }
        Value::Set(members) => match members.iter().map(|member| number::parse_i64(member)).collect() {
            Some::<Vec<i64>>(mut integers) if compact => {
                out.push(kind::SET_INTSET);
                put_string(&mut out, &write_intset(&mut integers));
            }
            _ => {
                out.push(kind::SET);
                put_length(&mut out, members.len());
                members.iter().for_each(|member| put_string(&mut out, member));
            }
        },
        Value::Hash(fields) if compact => {
            out.push(kind::HASH_LISTPACK);
            let mut listpack = Listpack::new();
            for (field, value) in fields {
                listpack.push(field);
                listpack.push(value);
            }
            put_string(&mut out, &listpack.finish());
        }
        Value::Hash(fields) => {
            out.push(kind::HASH);
            put_length(&mut out, fields.len());
            for (field, value) in fields {
                put_string(&mut out, field);
                put_string(&mut out, value);
            }
        }
        Value::SortedSet(members) if compact => {
            out.push(kind::SORTED_SET_LISTPACK);
            let mut listpack = Listpack::new();
            for (member, score) in members {
                listpack.push(member);
                push_score(&mut listpack, *score);
            }
            put_string(&mut out, &listpack.finish());
        }
        Value::SortedSet(members) => {
            out.push(kind::SORTED_SET_2);
            put_length(&mut out, members.len());
            // Highest first: so Redis inserts each at the front when it loads them.
            for (member, score) in members.iter().rev() {
                put_string(&mut out, member);
                out.put_f64_le(*score);
            }
        }
        Value::Stream(stream) => {
            out.push(kind::STREAM_LISTPACKS_2);
            stream::write(&mut out, stream);
        }
    }
    seal(out)
}

/// Puts version and checksum behind a value's bytes.
pub fn seal(mut value: Vec<u8>) -> Vec<u8> {
    value.put_u16_le(VERSION);
    let checksum = CRC64.checksum(&value);
    value.put_u64_le(checksum);
    value
}

/// As nodes that hold as much as Redis puts into one.
fn put_list(out: &mut Vec<u8>, elements: &[impl AsRef<[u8]>]) {
    let mut nodes = Vec::new();
    let mut listpack = Listpack::new();
    for element in elements.iter().map(AsRef::as_ref) {
        let size = listpack.size() + element.len() + ENTRY_OVERHEAD;
        if size > NODE_BYTES_MAX && !listpack.is_empty() {
            nodes.push(std::mem::replace(&mut listpack, Listpack::new()).finish());
        }
        listpack.push(element);
    }
    nodes.push(listpack.finish());
    put_length(out, nodes.len());
    for listpack in nodes {
        put_length(out, node::PACKED as usize);
        put_string(out, &listpack);
    }
}

/// A whole number as such, as Redis takes it for one.
fn push_score(listpack: &mut Listpack, score: f64) {
    // Beyond half of what 64 bits hold it does not try.
    let is_whole = score.abs() <= (i64::MAX / 2) as f64 && score.fract() == 0.0;
    match is_whole {
        true => listpack.push_integer(score as i64),
        false => listpack.push(&number::format_f64(score)),
    }
}

pub(super) fn put_length(out: &mut Vec<u8>, len: usize) {
    match len {
        0..0x40 => out.push(len as u8),
        0x40..0x4000 => out.extend([length::FOURTEEN_BITS << 6 | (len >> 8) as u8, len as u8]),
        _ => match u32::try_from(len) {
            Ok(len) => {
                out.push(length::FOUR_BYTES);
                out.put_u32(len);
            }
            Err(_) => {
                out.push(length::EIGHT_BYTES);
                out.put_u64(len as u64);
            }
        },
    }
}

pub(super) fn put_string(out: &mut Vec<u8>, text: &[u8]) {
    let integer = (text.len() <= INTEGER_LEN_MAX).then(|| number::parse_i64(text)).flatten();
    if let Some(value) = integer.and_then(|value| i32::try_from(value).ok()) {
        let little = value.to_le_bytes();
        let (form, bytes) = match value {
            -0x80..=0x7f => (encoded::INT8, &little[..1]),
            -0x8000..=0x7fff => (encoded::INT16, &little[..2]),
            _ => (encoded::INT32, &little[..]),
        };
        out.push(length::ENCODED << 6 | form);
        out.extend_from_slice(bytes);
        return;
    }
    put_length(out, text.len());
    out.extend_from_slice(text);
}
