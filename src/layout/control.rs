//! The control family: the superblock, which decides whether this server may open the store at all, and the
//! databases' numbers and counters.

use super::{Malformed, ObjectId, PhysicalDb};

/// On-disk formats this server reads and writes. A store of another major is refused.
pub const FORMAT_MAJOR: u16 = 1;
/// Raised for additions that an older server of the same major may ignore.
pub const FORMAT_MINOR: u16 = 0;
/// Records of large collections tell what was removed from these, and on the way to which other object they are.
pub const FEATURE_MOVING: u64 = 1 << 0;
/// There may be streams.
pub const FEATURE_STREAMS: u64 = 1 << 1;
/// Feature bits this server understands; a store with any other bit set is refused. What it opens has them all from then
/// on, so it must read what was written without them.
const KNOWN_FEATURES: u64 = FEATURE_MOVING | FEATURE_STREAMS;
const MAGIC: &[u8; 8] = b"BULKHEAD";

pub const SUPERBLOCK_KEY: &[u8] = b"\x00superblock";
pub const NEXT_PHYSICAL_KEY: &[u8] = b"\x04";

const LOGICAL_DB: u8 = 0x01;
const COUNTERS: u8 = 0x02;
const FLUSHED: u8 = 0x03;
const NEXT_OBJECT: u8 = 0x05;
const DEAD: u8 = 0x06;
const MIXED: u8 = 0x07;

/// What the store says of its own format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superblock {
    pub major: u16,
    pub minor: u16,
    pub features: u64,
}

/// Why a store is not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    #[error("not a Bulkhead data directory: it holds a RocksDB database without a Bulkhead superblock")]
    Foreign,
    #[error(
        "on-disk format {found}.x is unknown to this server, which reads {FORMAT_MAJOR}.x; use the version that wrote it"
    )]
    Major { found: u16 },
    #[error("the data uses on-disk features {bits:#x} unknown to this server; use a newer version")]
    Features { bits: u64 },
}

impl Superblock {
    pub const CURRENT: Superblock = Superblock { major: FORMAT_MAJOR, minor: FORMAT_MINOR, features: KNOWN_FEATURES };

    /// What the store says once this server writes to it.
    pub fn with_this_server(&self) -> Superblock {
        Superblock { features: self.features | KNOWN_FEATURES, ..*self }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.major.to_be_bytes());
        bytes.extend(self.minor.to_be_bytes());
        bytes.extend(self.features.to_be_bytes());
        bytes
    }

    /// Reads a superblock and says whether this server may work on its store.
    pub fn check(bytes: &[u8]) -> Result<Superblock, FormatError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(FormatError::Foreign)?;
        // The major comes first and is read alone: whatever a later format puts behind it, we can name it.
        let (major, rest) = rest.split_first_chunk().ok_or(FormatError::Foreign)?;
        let major = u16::from_be_bytes(*major);
        if major != FORMAT_MAJOR {
            return Err(FormatError::Major { found: major });
        }
        let (minor, rest) = rest.split_first_chunk().ok_or(FormatError::Foreign)?;
        let (features, _) = rest.split_first_chunk().ok_or(FormatError::Foreign)?;
        let features = u64::from_be_bytes(*features);
        if features & !KNOWN_FEATURES != 0 {
            return Err(FormatError::Features { bits: features & !KNOWN_FEATURES });
        }
        Ok(Superblock { major, minor: u16::from_be_bytes(*minor), features })
    }
}

/// The key that maps a logical database to its physical one.
pub fn logical_db_key(logical: u16) -> [u8; 3] {
    numbered(LOGICAL_DB, logical)
}

/// The key of a physical database's [`Counters`].
pub fn counters_key(db: PhysicalDb) -> [u8; 3] {
    numbered(COUNTERS, db)
}

/// The key that says a physical database was flushed and its data waits to be reclaimed.
pub fn flushed_key(db: PhysicalDb) -> [u8; 3] {
    numbered(FLUSHED, db)
}

/// The key of the counter of the next object that a physical database makes.
pub fn next_object_key(db: PhysicalDb) -> [u8; 3] {
    numbered(NEXT_OBJECT, db)
}

/// The key that says that an object is out of reach and its entries wait to be reclaimed.
pub fn dead_key(object: ObjectId) -> [u8; 9] {
    let mut key = [DEAD; 9];
    key[1..].copy_from_slice(&object.prefix());
    key
}

/// All dead objects' keys, as a range.
pub fn dead_objects() -> (Vec<u8>, Vec<u8>) {
    (vec![DEAD], vec![DEAD + 1])
}

/// The object of a key of [`dead_objects`]; `None`: it is another key.
pub fn dead_object(key: &[u8]) -> Option<ObjectId> {
    let value = key.strip_prefix(&[DEAD])?.try_into().ok()?;
    Some(ObjectId::from_value(u64::from_be_bytes(value)))
}

/// The key that says that a large collection was once moved into a physical database or out of it, so that the objects
/// numbered by it and those that its keys refer to are not the same.
pub fn mixed_key(db: PhysicalDb) -> [u8; 3] {
    numbered(MIXED, db)
}

/// All logical-database keys, as a range.
pub fn logical_dbs() -> (Vec<u8>, Vec<u8>) {
    (vec![LOGICAL_DB], vec![LOGICAL_DB + 1])
}

/// All counter keys, as a range.
pub fn all_counters() -> (Vec<u8>, Vec<u8>) {
    (vec![COUNTERS], vec![COUNTERS + 1])
}

/// All keys of flushed databases, as a range.
pub fn flushed_dbs() -> (Vec<u8>, Vec<u8>) {
    (vec![FLUSHED], vec![FLUSHED + 1])
}

/// The number in a key of [`logical_dbs`], [`all_counters`] or [`flushed_dbs`].
pub fn number_of(key: &[u8]) -> Result<u16, Malformed> {
    match key {
        [_, high, low] => Ok(u16::from_be_bytes([*high, *low])),
        _ => Err(Malformed::new("control key", key)),
    }
}

/// Whether `key` holds [`Counters`].
pub fn is_counters_key(key: &[u8]) -> bool {
    key.first() == Some(&COUNTERS)
}

/// The value of a logical-database key and of [`NEXT_PHYSICAL_KEY`].
pub fn encode_db(db: PhysicalDb) -> [u8; 2] {
    db.to_be_bytes()
}

pub fn decode_db(bytes: &[u8]) -> Result<PhysicalDb, Malformed> {
    bytes.try_into().map(u16::from_be_bytes).map_err(|_| Malformed::new("database number", bytes))
}

/// The value of a [`next_object_key`].
pub fn encode_counter(counter: u64) -> [u8; 8] {
    counter.to_be_bytes()
}

pub fn decode_counter(bytes: &[u8]) -> Result<u64, Malformed> {
    bytes.try_into().map(u64::from_be_bytes).map_err(|_| Malformed::new("object counter", bytes))
}

fn numbered(kind: u8, number: u16) -> [u8; 3] {
    let [high, low] = number.to_be_bytes();
    [kind, high, low]
}

/// What a physical database holds, exactly: one put per commit keeps DBSIZE O(1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub keys: u64,
    /// Those of them that have an expiry.
    pub expiring: u64,
}

impl Counters {
    pub fn encode(self) -> Vec<u8> {
        [self.keys.to_be_bytes(), self.expiring.to_be_bytes()].concat()
    }

    pub fn decode(bytes: &[u8]) -> Result<Counters, Malformed> {
        let malformed = || Malformed::new("counters", bytes);
        let (keys, rest) = bytes.split_first_chunk().ok_or_else(malformed)?;
        let expiring = rest.try_into().map_err(|_| malformed())?;
        Ok(Counters { keys: u64::from_be_bytes(*keys), expiring: u64::from_be_bytes(expiring) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_superblock_of_this_server_is_accepted() {
        assert_eq!(Superblock::check(&Superblock::CURRENT.encode()), Ok(Superblock::CURRENT));
    }

    #[test]
    fn foreign_newer_and_unknown_formats_are_refused_by_name() {
        let encode = |major, features| Superblock { major, minor: 9, features }.encode();
        assert_eq!(Superblock::check(b"MySQL"), Err(FormatError::Foreign));
        assert_eq!(Superblock::check(b"BULKHEAD\x00"), Err(FormatError::Foreign));
        assert_eq!(Superblock::check(&encode(2, 0)), Err(FormatError::Major { found: 2 }));
        assert_eq!(Superblock::check(&encode(FORMAT_MAJOR, 4)), Err(FormatError::Features { bits: 4 }));
        let newer = Superblock::check(&encode(FORMAT_MAJOR, 0)).expect("a newer minor is welcome");
        let taken = Superblock { major: FORMAT_MAJOR, minor: 9, features: KNOWN_FEATURES };
        assert_eq!(newer.with_this_server(), taken);
    }

    #[test]
    fn counters_round_trip_and_refuse_other_lengths() {
        let counters = Counters { keys: 7, expiring: u64::MAX };
        assert_eq!(Counters::decode(&counters.encode()), Ok(counters));
        assert!(Counters::decode(b"short").is_err());
        assert!(Counters::decode(&[0; 17]).is_err());
    }

    #[test]
    fn dead_objects_are_told_from_other_keys() {
        let object = ObjectId::new(3, 77).unwrap();
        let key = dead_key(object);
        assert_eq!(dead_object(&key), Some(object));
        assert_eq!(dead_object(&counters_key(3)), None);
        assert_eq!(dead_object(&mixed_key(3)), None);
        let (lower, upper) = dead_objects();
        assert!(lower.as_slice() <= &key[..] && &key[..] < upper.as_slice());
        assert_eq!(decode_counter(&encode_counter(77)), Ok(77));
    }

    #[test]
    fn control_keys_carry_their_number() {
        assert_eq!(number_of(&counters_key(513)), Ok(513));
        assert!(number_of(SUPERBLOCK_KEY).is_err());
        let (lower, upper) = all_counters();
        let key = counters_key(u16::MAX);
        assert!(lower.as_slice() <= key.as_slice() && key.as_slice() < upper.as_slice());
    }
}
