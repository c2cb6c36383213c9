//! The meta family: one record per key, holding its type, its expiry, and the value itself where that is a string or
//! a small collection.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Hash48, Malformed, ObjectId, PhysicalDb};

/// The record format this server writes, kept in the high half of a record's first byte.
const FORMAT: u8 = 1;
const FLAG_TTL: u8 = 1 << 0;
const FLAG_EXTERNAL: u8 = 1 << 1;
/// Since [`super::control::FEATURE_MOVING`].
const FLAG_MOVING: u8 = 1 << 2;
const FLAG_VARIANT_SHIFT: u8 = 4;
const PREFIX_LEN: usize = 2 + Hash48::BYTES;

/// A key's type (Redis' TYPE). The numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Type {
    String = 1,
    List = 2,
    Set = 3,
    SortedSet = 4,
    Hash = 5,
    Stream = 6,
}

impl Type {
    pub const ALL: [Type; 6] = [Type::String, Type::List, Type::Set, Type::SortedSet, Type::Hash, Type::Stream];

    /// The word that TYPE replies, and that SCAN's TYPE option takes.
    pub fn name(self) -> &'static str {
        match self {
            Type::String => "string",
            Type::List => "list",
            Type::Set => "set",
            Type::SortedSet => "zset",
            Type::Hash => "hash",
            Type::Stream => "stream",
        }
    }
}

/// The value of a meta key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub kind: Type,
    /// Type-specific, 0 to 15: see `types`.
    pub variant: u8,
    /// Unix time in milliseconds from which on the key is gone.
    pub expire_ms: Option<u64>,
    /// Of a value that does not fit in here: what the rest of it is stored under. Whoever removes the record gives that
    /// up (`keyspace` does).
    pub object: Option<ObjectId>,
    /// Of a value that is on its way to another object: that one is given up with the record, too.
    pub moving: Option<Moving>,
    pub body: Bytes,
}

/// A value is being stored anew under another object, step by step; until that is done it is read from its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moving {
    pub to: ObjectId,
    /// What lies before this position is under both objects. A type says what its positions are.
    pub position: u32,
    /// Changes since the last step.
    pub changes: u32,
}

impl Record {
    /// A record of a value that is all in its body and does not expire.
    pub fn new(kind: Type, body: Bytes) -> Record {
        Record { kind, variant: 0, expire_ms: None, object: None, moving: None, body }
    }

    /// All that the record refers to.
    pub fn objects(&self) -> impl Iterator<Item = ObjectId> + use<> {
        self.object.into_iter().chain(self.moving.map(|moving| moving.to))
    }

    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(2 + 8 + 8 + 16 + self.body.len());
        bytes.put_u8((FORMAT << 4) | self.kind as u8);
        let ttl = if self.expire_ms.is_some() { FLAG_TTL } else { 0 };
        let external = if self.object.is_some() { FLAG_EXTERNAL } else { 0 };
        let moving = if self.moving.is_some() { FLAG_MOVING } else { 0 };
        bytes.put_u8((self.variant << FLAG_VARIANT_SHIFT) | moving | external | ttl);
        if let Some(expire_ms) = self.expire_ms {
            bytes.put_u64(expire_ms);
        }
        if let Some(object) = self.object {
            bytes.put_u64(object.value());
        }
        if let Some(moving) = self.moving {
            bytes.put_u64(moving.to.value());
            bytes.put_u64(u64::from(moving.position) << 32 | u64::from(moving.changes));
        }
        bytes.put_slice(&self.body);
        bytes.freeze()
    }

    pub fn decode(bytes: &Bytes) -> Result<Record, Malformed> {
        let (head, body_at) = Record::parse_head(bytes)?;
        Ok(Record { body: bytes.slice(body_at..), ..head })
    }

    /// Decodes all but the body, which stays empty: for walks that only look at type and expiry.
    pub fn decode_head(bytes: &[u8]) -> Result<Record, Malformed> {
        Ok(Record::parse_head(bytes)?.0)
    }

    /// The record without its body, and where that begins.
    fn parse_head(bytes: &[u8]) -> Result<(Record, usize), Malformed> {
        let malformed = || Malformed::new("record", bytes);
        let [head, flags, ..] = bytes[..] else { return Err(malformed()) };
        let kind = Type::ALL.into_iter().find(|kind| *kind as u8 == head & 0x0f).ok_or_else(malformed)?;
        if head >> 4 != FORMAT {
            return Err(malformed());
        }
        let mut body_at = 2;
        let mut number = |flag| {
            if flags & flag == 0 {
                return Ok(None);
            }
            let number = bytes.get(body_at..body_at + 8).and_then(|number| number.try_into().ok());
            body_at += 8;
            number.map(|number| Some(u64::from_be_bytes(number))).ok_or_else(malformed)
        };
        let expire_ms = number(FLAG_TTL)?;
        let object = number(FLAG_EXTERNAL)?.map(ObjectId::from_value);
        let moving = number(FLAG_MOVING)?.zip(number(FLAG_MOVING)?).map(|(to, progress)| Moving {
            to: ObjectId::from_value(to),
            position: (progress >> 32) as u32,
            changes: progress as u32,
        });
        let variant = flags >> FLAG_VARIANT_SHIFT;
        Ok((Record { kind, variant, expire_ms, object, moving, body: Bytes::new() }, body_at))
    }

    /// Whether the key is gone at `now_ms`: Redis expires a key once its time has passed, not when it is reached.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expire_ms.is_some_and(|due| now_ms > due)
    }
}

/// The meta key of a user key.
pub fn key(db: PhysicalDb, user_key: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(PREFIX_LEN + user_key.len());
    bytes.put_u16(db);
    bytes.put_slice(&Hash48::of(user_key).to_bytes());
    bytes.put_slice(user_key);
    bytes.freeze()
}

/// The lowest key of database `db` at or after position `hash`.
pub fn position(db: PhysicalDb, hash: Hash48) -> Bytes {
    let mut bytes = BytesMut::with_capacity(PREFIX_LEN);
    bytes.put_u16(db);
    bytes.put_slice(&hash.to_bytes());
    bytes.freeze()
}

/// All keys of a database, as a range. `db` is at most [`super::PHYSICAL_DB_LAST`].
pub fn database(db: PhysicalDb) -> (Bytes, Bytes) {
    let prefix = |db: u16| Bytes::copy_from_slice(&db.to_be_bytes());
    (prefix(db), prefix(db + 1))
}

/// The position and the user key in a meta key.
pub fn parse(meta_key: &[u8]) -> Result<(PhysicalDb, Hash48, &[u8]), Malformed> {
    let malformed = || Malformed::new("meta key", meta_key);
    let (db, rest) = meta_key.split_first_chunk::<2>().ok_or_else(malformed)?;
    let (hash, user_key) = rest.split_first_chunk().ok_or_else(malformed)?;
    Ok((u16::from_be_bytes(*db), Hash48::from_bytes(*hash), user_key))
}

#[cfg(test)]
mod tests {
    use super::super::PHYSICAL_DB_LAST;
    use super::*;
    use proptest::prelude::*;

    fn records() -> impl Strategy<Value = Record> {
        let kind = prop::sample::select(&Type::ALL[..]);
        let body = prop::collection::vec(any::<u8>(), 0..50);
        let object = any::<Option<u64>>().prop_map(|object| object.map(ObjectId::from_value));
        let moving = any::<Option<(u64, u32, u32)>>().prop_map(|moving| {
            moving.map(|(to, position, changes)| Moving { to: ObjectId::from_value(to), position, changes })
        });
        (kind, 0u8..16, any::<Option<u64>>(), object, moving, body).prop_map(
            |(kind, variant, expire_ms, object, moving, body)| Record {
                kind,
                variant,
                expire_ms,
                object,
                moving,
                body: body.into(),
            },
        )
    }

    proptest! {
        #[test]
        fn records_round_trip(record in records()) {
            prop_assert_eq!(Record::decode(&record.encode()), Ok(record));
        }

        #[test]
        fn damaged_records_are_errors_not_panics(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let _ = Record::decode(&bytes.into());
        }

        #[test]
        fn keys_round_trip_and_order_by_database_then_position(
            a in (0..=PHYSICAL_DB_LAST, prop::collection::vec(any::<u8>(), 0..30)),
            b in (0..=PHYSICAL_DB_LAST, prop::collection::vec(any::<u8>(), 0..30)),
        ) {
            let (left, right) = (key(a.0, &a.1), key(b.0, &b.1));
            prop_assert_eq!(parse(&left).unwrap(), (a.0, Hash48::of(&a.1), &a.1[..]));
            let order = (a.0, Hash48::of(&a.1), &a.1).cmp(&(b.0, Hash48::of(&b.1), &b.1));
            prop_assert_eq!(left.cmp(&right), order);
            let (lower, upper) = database(a.0);
            prop_assert!(lower <= left && left < upper);
            prop_assert!(position(a.0, Hash48::of(&a.1)) <= left);
        }
    }

    #[test]
    fn records_that_are_on_disk_already_mean_what_they_meant() {
        let hash = [b"\x15\x12".as_slice(), &77u64.to_be_bytes(), &[9; 8]].concat();
        let record = Record { variant: 1, ..Record::new(Type::Hash, Bytes::from_static(&[9; 8])) };
        let record = Record { object: Some(ObjectId::from_value(77)), ..record };
        assert_eq!(Record::decode(&hash.clone().into()), Ok(record.clone()));
        assert_eq!(record.encode(), hash);
    }

    #[test]
    fn a_key_is_gone_only_after_its_millisecond() {
        let record = Record { expire_ms: Some(1000), ..Record::new(Type::String, Bytes::new()) };
        assert!(!record.is_expired(999) && !record.is_expired(1000) && record.is_expired(1001));
    }
}
