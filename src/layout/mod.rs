//! Every key and every value on disk, and nothing else: pure functions between values and bytes.
//!
//! All keys compare bytewise, so every number in a key is big-endian and only the last part has variable length.
//! Ids, once released, are never reused for something else. A change here is a change of the on-disk format: raise
//! [`control::FORMAT_MAJOR`] when an older server would misread the result.
//!
//! ```text
//! control : 00 "superblock"            -> magic, major, minor, features
//!           01 [logical db u16]        -> [physical db u16]          (absent: the same number)
//!           02 [physical db u16]       -> [keys u64][expiring keys u64]
//!           03 [physical db u16]       -> ""                         (flushed, its data not yet reclaimed)
//!           04                         -> [next physical db u16]
//!           05 [physical db u16]       -> [next object counter u64]
//!           06 [object u64]            -> ""                         (dead, its entries not yet reclaimed)
//!           07 [physical db u16]       -> ""                         (mixed: see `control::mixed_key`)
//! meta    : [db u16][hash48][user key] -> [format4|type4][flags][expire_ms u64 if TTL][object u64 if EXTERNAL]
//!                                         [to u64, position u32, changes u32 if MOVING][body]
//!           body: a string's bytes; a small collection's elements (`inline`); of what is larger, its length and the
//!                 like. MOVING: it is being stored anew under `to`, where all that lies before `position` is too
//! data    : [object u64][hash32][name] -> a field's value | "" | a member's score (f64 bits)
//!           [object u64][index u64]    -> a list's element | a long string's segment
//!           [object u64][kind u8][…]   -> a stream's entries, consumer groups and what they have to do: see `stream`
//! score   : [object u64][ordered score u64][member] -> "" | "-" if the score is a negative zero
//! ttl     : [due_ms u64][kind u8][db u16][hash48][user key] -> ""
//! ```

pub mod control;
pub mod data;
pub mod inline;
pub mod meta;
pub mod score;
pub mod stream;
pub mod ttl;

use bytes::Bytes;
use crc::{CRC_16_XMODEM, Crc};
use xxhash_rust::xxh3::xxh3_64;

const CRC16: Crc<u16, crc::Table<16>> = Crc::<u16, crc::Table<16>>::new(&CRC_16_XMODEM);

/// Hash slots of Redis Cluster.
pub const SLOTS: u16 = 16_384;

/// The number of a physical database: where a logical database's keys live. FLUSHDB moves to a new one.
pub type PhysicalDb = u16;

/// The last physical number ever given: the one above it bounds its keys.
pub const PHYSICAL_DB_LAST: PhysicalDb = PhysicalDb::MAX - 1;

/// What the entries of a large collection are stored under: the physical database that it was made in, and a number
/// that database never gives twice. A collection keeps its object when it is renamed or moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectId(u64);

impl ObjectId {
    const COUNTER_BITS: u32 = 48;
    const BYTES: usize = 8;

    /// The object numbered `counter` of `db`; `None` above 48 bits.
    pub fn new(db: PhysicalDb, counter: u64) -> Option<ObjectId> {
        (counter >> ObjectId::COUNTER_BITS == 0).then(|| ObjectId(u64::from(db) << ObjectId::COUNTER_BITS | counter))
    }

    /// The id that [`ObjectId::value`] gave.
    pub fn from_value(value: u64) -> ObjectId {
        ObjectId(value)
    }

    pub fn value(self) -> u64 {
        self.0
    }

    /// The physical database that the object was made in.
    pub fn db(self) -> PhysicalDb {
        (self.0 >> ObjectId::COUNTER_BITS) as PhysicalDb
    }

    /// What the keys of all its entries begin with.
    pub fn prefix(self) -> [u8; ObjectId::BYTES] {
        self.0.to_be_bytes()
    }

    /// The keys of all its entries, as a range.
    pub fn entries(self) -> (Bytes, Bytes) {
        let bound = |value: u64| Bytes::copy_from_slice(&value.to_be_bytes());
        (bound(self.0), bound(self.0.saturating_add(1)))
    }

    /// The keys of all entries of the objects of `db`, as a range.
    pub fn all_entries(db: PhysicalDb) -> (Bytes, Bytes) {
        let bound = |db: u64| Bytes::copy_from_slice(&(db << ObjectId::COUNTER_BITS).to_be_bytes());
        (bound(u64::from(db)), bound(u64::from(db) + 1))
    }
}

/// A key's position in its database: slot and hash, 48 bits. SCAN walks it, and a SCAN cursor is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash48(u64);

impl Hash48 {
    pub const BITS: u32 = 48;
    const BYTES: usize = 6;

    /// `None` above 48 bits.
    pub fn new(value: u64) -> Option<Hash48> {
        (value >> Hash48::BITS == 0).then_some(Hash48(value))
    }

    /// The cluster slot in the high 14 bits, 34 bits of XXH3 below it.
    pub fn of(user_key: &[u8]) -> Hash48 {
        let low = xxh3_64(user_key) & ((1 << 34) - 1);
        Hash48((u64::from(slot(user_key)) << 34) | low)
    }

    pub fn value(self) -> u64 {
        self.0
    }

    fn to_bytes(self) -> [u8; Hash48::BYTES] {
        let [_, _, rest @ ..] = self.0.to_be_bytes();
        rest
    }

    fn from_bytes(bytes: [u8; Hash48::BYTES]) -> Hash48 {
        let mut wide = [0; 8];
        wide[2..].copy_from_slice(&bytes);
        Hash48(u64::from_be_bytes(wide))
    }
}

/// The cluster slot of a key: CRC16 of its hash tag, if it has one, else of all of it (Redis Cluster specification).
pub fn slot(user_key: &[u8]) -> u16 {
    let hashed = memchr::memchr(b'{', user_key)
        .and_then(|open| {
            let tag = &user_key[open + 1..];
            memchr::memchr(b'}', tag).filter(|&end| end > 0).map(|end| &tag[..end])
        })
        .unwrap_or(user_key);
    CRC16.checksum(hashed) % SLOTS
}

/// Bytes on disk that this server did not write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {what} on disk: {bytes:02x?}")]
pub struct Malformed {
    pub what: &'static str,
    /// The first 64 bytes of it.
    pub bytes: Vec<u8>,
}

impl Malformed {
    fn new(what: &'static str, bytes: &[u8]) -> Malformed {
        Malformed { what, bytes: bytes[..bytes.len().min(64)].to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slots_are_those_of_redis_cluster() {
        // From `CLUSTER KEYSLOT` of Redis 7.0.15.
        for (key, expected) in [
            ("foo", 12182),
            ("", 0),
            ("somekey", 11058),
            ("foo{hash_tag}", 2515),
            ("{user1000}.following", 3443),
            ("foo{}{bar}", 8363),
            ("foo{{bar}}zap", 4015),
            ("foo{bar}{zap}", 5061),
        ] {
            assert_eq!(slot(key.as_bytes()), expected, "{key}");
        }
    }

    #[test]
    fn object_ids_carry_their_database() {
        let id = ObjectId::new(PHYSICAL_DB_LAST, 7).unwrap();
        assert_eq!((id.db(), ObjectId::from_value(id.value())), (PHYSICAL_DB_LAST, id));
        assert_eq!(ObjectId::new(0, 1 << 48), None);
        let last = ObjectId::new(PHYSICAL_DB_LAST, (1 << 48) - 1).unwrap();
        let (lower, upper) = ObjectId::all_entries(PHYSICAL_DB_LAST);
        assert!(lower <= id.entries().0 && last.entries().1 <= upper);
    }

    proptest! {
        #[test]
        fn hash48_keeps_its_order_in_bytes(a in 0u64..1 << 48, b in 0u64..1 << 48) {
            let (a, b) = (Hash48::new(a).unwrap(), Hash48::new(b).unwrap());
            prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
            prop_assert_eq!(Hash48::from_bytes(a.to_bytes()), a);
        }

        #[test]
        fn hash48_begins_with_the_slot(key in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!((Hash48::of(&key).value() >> 34) as u16, slot(&key));
        }
    }
}
