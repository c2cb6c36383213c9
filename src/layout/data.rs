//! The data family: the elements of collections that are too large for their meta record, by object id.
//!
//! Elements with a name (a hash's fields, the members of sets and sorted sets) lie in the order of a 32-bit hash of the
//! name, a fixed property of it, so that a position in a scan stays one; a list's lie by index. All entries of an object
//! begin with its id, and nothing but compaction needs more than that to reclaim them.

use bytes::{BufMut, Bytes, BytesMut};
use xxhash_rust::xxh3::xxh3_64;

use super::{Malformed, ObjectId};

/// The index of the first element ever pushed to a list: as much room before it as behind it.
pub const LIST_ORIGIN: u64 = 1 << 63;

/// An element's position in its object: what HSCAN and its like walk.
pub fn hash(name: &[u8]) -> u32 {
    (xxh3_64(name) >> 32) as u32
}

/// The key of a hash's field, or of a member of a set or a sorted set.
pub fn element(object: ObjectId, name: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(ObjectId::BYTES + 4 + name.len());
    bytes.put_u64(object.value());
    bytes.put_u32(hash(name));
    bytes.put_slice(name);
    bytes.freeze()
}

/// The lowest key of an element of `object` whose hash is `hash` or higher.
pub fn position(object: ObjectId, hash: u32) -> Bytes {
    let mut bytes = BytesMut::with_capacity(ObjectId::BYTES + 4);
    bytes.put_u64(object.value());
    bytes.put_u32(hash);
    bytes.freeze()
}

/// The hash and the name in a key of [`element`].
pub fn parse_element(key: &[u8]) -> Result<(u32, &[u8]), Malformed> {
    let rest = key.get(ObjectId::BYTES..).and_then(|rest| rest.split_first_chunk::<4>());
    let (hash, name) = rest.ok_or_else(|| Malformed::new("element key", key))?;
    Ok((u32::from_be_bytes(*hash), name))
}

/// The key of a numbered part: a list's element (see [`LIST_ORIGIN`]).
pub fn index(object: ObjectId, index: u64) -> Bytes {
    let mut bytes = BytesMut::with_capacity(ObjectId::BYTES + 8);
    bytes.put_u64(object.value());
    bytes.put_u64(index);
    bytes.freeze()
}

/// The number in a key of [`index`].
pub fn parse_index(key: &[u8]) -> Result<u64, Malformed> {
    let rest = key.get(ObjectId::BYTES..).and_then(|rest| rest.try_into().ok());
    rest.map(u64::from_be_bytes).ok_or_else(|| Malformed::new("index key", key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..20)
    }

    proptest! {
        #[test]
        fn elements_round_trip_and_order_by_object_then_hash(
            a in any::<u64>(), left in name(), b in any::<u64>(), right in name(),
        ) {
            let (a, b) = (ObjectId::from_value(a), ObjectId::from_value(b));
            let (one, other) = (element(a, &left), element(b, &right));
            prop_assert_eq!(parse_element(&one).unwrap(), (hash(&left), &left[..]));
            prop_assert_eq!(one.cmp(&other), (a, hash(&left), &left).cmp(&(b, hash(&right), &right)));
            prop_assert!(position(a, hash(&left)) <= one);
        }

        #[test]
        fn indexes_round_trip_and_order(a in any::<u64>(), left in any::<u64>(), right in any::<u64>()) {
            let a = ObjectId::from_value(a);
            prop_assert_eq!(parse_index(&index(a, left)).unwrap(), left);
            prop_assert_eq!(index(a, left).cmp(&index(a, right)), left.cmp(&right));
        }
    }
}
