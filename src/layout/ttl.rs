//! The expiry index: when each expiring key is due, in order of time. An entry is a hint: only the meta record decides.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Hash48, Malformed, PhysicalDb};

/// What is due: a whole key. (1 is reserved for hash fields.)
const KIND_KEY: u8 = 0;

/// One entry of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due<'k> {
    pub due_ms: u64,
    pub db: PhysicalDb,
    pub user_key: &'k [u8],
}

/// The index key for the key behind `meta_key`, due at `due_ms`.
pub fn key(due_ms: u64, meta_key: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(9 + meta_key.len());
    bytes.put_u64(due_ms);
    bytes.put_u8(KIND_KEY);
    bytes.put_slice(meta_key);
    bytes.freeze()
}

/// The lowest index key due at or after `due_ms`.
pub fn position(due_ms: u64) -> Bytes {
    Bytes::copy_from_slice(&due_ms.to_be_bytes())
}

pub fn parse(ttl_key: &[u8]) -> Result<Due<'_>, Malformed> {
    let malformed = || Malformed::new("expiry index key", ttl_key);
    let (due, rest) = ttl_key.split_first_chunk::<8>().ok_or_else(malformed)?;
    let (KIND_KEY, meta_key) = rest.split_first().map(|(kind, rest)| (*kind, rest)).ok_or_else(malformed)? else {
        return Err(malformed());
    };
    let (db, rest) = meta_key.split_first_chunk::<2>().ok_or_else(malformed)?;
    let (_, user_key) = rest.split_first_chunk::<{ Hash48::BYTES }>().ok_or_else(malformed)?;
    Ok(Due { due_ms: u64::from_be_bytes(*due), db: u16::from_be_bytes(*db), user_key })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::meta;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn entries_round_trip_and_order_by_time(
            a in any::<u64>(), b in any::<u64>(), db in any::<u16>(),
            user_key in prop::collection::vec(any::<u8>(), 0..30),
        ) {
            let meta_key = meta::key(db, &user_key);
            let entry = key(a, &meta_key);
            prop_assert_eq!(parse(&entry).unwrap(), Due { due_ms: a, db, user_key: &user_key });
            prop_assert!(position(a) <= entry);
            if a != b {
                prop_assert_eq!(a.cmp(&b), entry.cmp(&key(b, &meta_key)));
            }
        }

        #[test]
        fn damaged_entries_are_errors_not_panics(bytes in prop::collection::vec(any::<u8>(), 0..30)) {
            let _ = parse(&bytes);
        }
    }
}
