//! A stream on disk. Its record holds a [`Head`]; all else lies in the data family under its object:
//!
//! ```text
//! [object]  00 [id ms, seq u64]               -> an entry: its fields and values by turns (`inline`)
//!           01 [id ms, seq u64]               -> [`Node`]: how Redis would have packed the entries from here on
//!           02 [group name]                   -> [`Group`]
//!           03 [group u64][consumer name]     -> [consumer u64]
//!           04 [group u64][consumer u64]      -> [`Consumer`]
//!           05 [group u64][id]                -> [`Pending`]: what was delivered and not acknowledged
//!           06 [group u64][consumer u64][id]  -> ""   (the same, by whom it was delivered to)
//!           07 [group u64]                    -> [key]  (destroyed, what lies under its number from there on not yet deleted)
//!           08                                -> [`Groups`]
//! ```
//!
//! Groups and consumers have numbers beside their names, which are never given twice within a stream: so a name of any
//! length stands once, and what a destroyed group leaves is out of reach of a new one of the same name.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Malformed, ObjectId};
use crate::stream_id::StreamId;

const ENTRY: u8 = 0;
const NODE: u8 = 1;
const GROUP: u8 = 2;
const CONSUMER_NAME: u8 = 3;
const CONSUMER: u8 = 4;
const PENDING: u8 = 5;
const OWNED: u8 = 6;
const DEAD_GROUP: u8 = 7;
const GROUPS: u8 = 8;

/// What a stream's record tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Entries.
    pub len: u64,
    /// Entries ever added.
    pub added: u64,
    /// The id given last: the next one is higher.
    pub last: StreamId,
    /// The lowest id there is, and the highest; `0-0` in an empty stream.
    pub first: StreamId,
    pub top: StreamId,
    /// The highest id that XDEL has deleted.
    pub max_deleted: StreamId,
    /// Entries that were trimmed and are not deleted yet: all that lie from the first of these ids to the second.
    pub trimmed: Option<(StreamId, StreamId)>,
    /// Groups that were destroyed and left something behind.
    pub dead_groups: u64,
    /// Nodes, the last one included.
    pub nodes: u64,
    /// No node's record lies below this.
    pub nodes_from: StreamId,
    /// The last node, to which entries are added; it has no record of its own.
    pub tail: Option<Node>,
}

/// Entries that Redis would keep in one piece of memory: `~` trims whole ones only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Of the entry that it was made for.
    pub first: StreamId,
    /// The highest id that was ever in it.
    pub last: StreamId,
    /// Entries, and those that were deleted from it.
    pub entries: u64,
    pub deleted: u64,
    /// Bytes of it in Redis.
    pub bytes: u64,
    /// What the fields of its first entry were called: how many, and a hash of their names.
    pub fields: (u64, u64),
}

/// The consumer groups of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    pub count: u64,
    /// The number of the next one.
    pub next: u64,
}

/// A consumer group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Group {
    pub number: u64,
    /// The id delivered last.
    pub last: StreamId,
    /// How many entries were read, as far as that is known.
    pub read: Option<u64>,
    /// Entries that were delivered and not acknowledged.
    pub pending: u64,
    /// No such entry lies below this.
    pub pending_from: StreamId,
    pub consumers: u64,
    /// The number of the next consumer.
    pub next_consumer: u64,
}

/// A consumer of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consumer {
    /// When it last did something, in Unix milliseconds.
    pub seen_ms: u64,
    pub pending: u64,
    pub name: Bytes,
}

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// The number of the consumer that has it.
    pub consumer: u64,
    /// In Unix milliseconds.
    pub delivered_ms: u64,
    /// How often it was delivered.
    pub deliveries: u64,
}

// ---- Keys ---------------------------------------------------------------------------------------------------------------

fn key(object: ObjectId, kind: u8, parts: &[&[u8]]) -> Bytes {
    let len = parts.iter().map(|part| part.len()).sum::<usize>();
    let mut bytes = BytesMut::with_capacity(ObjectId::BYTES + 1 + len);
    bytes.put_u64(object.value());
    bytes.put_u8(kind);
    parts.iter().for_each(|part| bytes.put_slice(part));
    bytes.freeze()
}

/// All keys that begin as `prefix` does: from it on, and below what is returned.
fn behind(prefix: &[u8]) -> Bytes {
    let kept = prefix.iter().rposition(|byte| *byte < 0xff).map_or(0, |last| last + 1);
    let mut bytes = prefix[..kept].to_vec();
    if let Some(last) = bytes.last_mut() {
        *last += 1;
    }
    bytes.into()
}

fn all(prefix: Bytes) -> (Bytes, Bytes) {
    let upper = behind(&prefix);
    (prefix, upper)
}

/// What `key` has behind the object, the kind and `skipped` more bytes.
fn rest<'k>(key: &'k [u8], skipped: usize, what: &'static str) -> Result<&'k [u8], Malformed> {
    key.get(ObjectId::BYTES + 1 + skipped..).ok_or_else(|| Malformed::new(what, key))
}

pub fn entry(object: ObjectId, id: StreamId) -> Bytes {
    key(object, ENTRY, &[&id.to_bytes()])
}

/// The keys of all entries from `from` to `to`, both included; none if they are the wrong way round.
pub fn entries(object: ObjectId, from: StreamId, to: StreamId) -> (Bytes, Bytes) {
    (entry(object, from), behind(&entry(object, to)))
}

pub fn node(object: ObjectId, first: StreamId) -> Bytes {
    key(object, NODE, &[&first.to_bytes()])
}

/// As [`entries`], of nodes.
pub fn nodes(object: ObjectId, from: StreamId, to: StreamId) -> (Bytes, Bytes) {
    (node(object, from), behind(&node(object, to)))
}

pub fn group(object: ObjectId, name: &[u8]) -> Bytes {
    key(object, GROUP, &[name])
}

/// The keys of all groups, by name.
pub fn all_groups(object: ObjectId) -> (Bytes, Bytes) {
    all(key(object, GROUP, &[]))
}

pub fn consumer_name(object: ObjectId, group: u64, name: &[u8]) -> Bytes {
    key(object, CONSUMER_NAME, &[&group.to_be_bytes(), name])
}

/// The keys of a group's consumers, by name.
pub fn consumer_names(object: ObjectId, group: u64) -> (Bytes, Bytes) {
    all(consumer_name(object, group, b""))
}

pub fn consumer(object: ObjectId, group: u64, number: u64) -> Bytes {
    key(object, CONSUMER, &[&group.to_be_bytes(), &number.to_be_bytes()])
}

pub fn pending(object: ObjectId, group: u64, id: StreamId) -> Bytes {
    key(object, PENDING, &[&group.to_be_bytes(), &id.to_bytes()])
}

/// As [`entries`], of what a group has delivered.
pub fn all_pending(object: ObjectId, group: u64, from: StreamId, to: StreamId) -> (Bytes, Bytes) {
    (pending(object, group, from), behind(&pending(object, group, to)))
}

pub fn owned(object: ObjectId, group: u64, consumer: u64, id: StreamId) -> Bytes {
    key(object, OWNED, &[&group.to_be_bytes(), &consumer.to_be_bytes(), &id.to_bytes()])
}

/// As [`entries`], of what a consumer has.
pub fn all_owned(object: ObjectId, group: u64, consumer: u64, from: StreamId, to: StreamId) -> (Bytes, Bytes) {
    (owned(object, group, consumer, from), behind(&owned(object, group, consumer, to)))
}

/// All that lies under a group's number: ranges of keys.
pub fn of_group(object: ObjectId, group: u64) -> [(Bytes, Bytes); 4] {
    [CONSUMER_NAME, CONSUMER, PENDING, OWNED].map(|kind| all(key(object, kind, &[&group.to_be_bytes()])))
}

pub fn dead_group(object: ObjectId, group: u64) -> Bytes {
    key(object, DEAD_GROUP, &[&group.to_be_bytes()])
}

pub fn dead_groups(object: ObjectId) -> (Bytes, Bytes) {
    all(key(object, DEAD_GROUP, &[]))
}

pub fn groups(object: ObjectId) -> Bytes {
    key(object, GROUPS, &[])
}

/// The id at the end of a key of [`entry`], [`node`], [`pending`] or [`owned`].
pub fn parse_id(key: &[u8]) -> Result<StreamId, Malformed> {
    let (_, id) = key.split_last_chunk().ok_or_else(|| Malformed::new("stream key", key))?;
    Ok(StreamId::from_bytes(*id))
}

/// The name in a key of [`group`].
pub fn parse_group(key: &[u8]) -> Result<&[u8], Malformed> {
    rest(key, 0, "group key")
}

/// The name in a key of [`consumer_name`].
pub fn parse_consumer_name(key: &[u8]) -> Result<&[u8], Malformed> {
    rest(key, 8, "consumer key")
}

/// The number in a key of [`dead_group`].
pub fn parse_dead_group(key: &[u8]) -> Result<u64, Malformed> {
    decode_number(rest(key, 0, "dead group")?)
}

// ---- Values -------------------------------------------------------------------------------------------------------------

/// Appends a number, seven bits a byte, the lowest first.
fn put(bytes: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        bytes.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.put_u8(value as u8);
}

fn put_id(bytes: &mut BytesMut, id: StreamId) {
    put(bytes, id.ms);
    put(bytes, id.seq);
}

/// Reads what [`put`] wrote, one after the other.
struct Numbers<'b> {
    whole: &'b [u8],
    left: &'b [u8],
    what: &'static str,
}

impl<'b> Numbers<'b> {
    fn of(bytes: &'b [u8], what: &'static str) -> Numbers<'b> {
        Numbers { whole: bytes, left: bytes, what }
    }

    fn malformed(&self) -> Malformed {
        Malformed::new(self.what, self.whole)
    }

    fn take(&mut self) -> Result<u64, Malformed> {
        let (mut value, mut shift) = (0u64, 0);
        loop {
            if self.left.is_empty() || shift > 63 {
                return Err(self.malformed());
            }
            let byte = self.left.get_u8();
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return Ok(value);
            }
        }
    }

    fn take_id(&mut self) -> Result<StreamId, Malformed> {
        Ok(StreamId { ms: self.take()?, seq: self.take()? })
    }

    fn finish<T>(self, value: T) -> Result<T, Malformed> {
        if self.left.is_empty() { Ok(value) } else { Err(self.malformed()) }
    }
}

impl Head {
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(160);
        for number in [self.len, self.added, self.dead_groups, self.nodes] {
            put(&mut bytes, number);
        }
        for id in [self.last, self.first, self.top, self.max_deleted, self.nodes_from] {
            put_id(&mut bytes, id);
        }
        put(&mut bytes, u64::from(self.trimmed.is_some()));
        for id in self.trimmed.iter().flat_map(|(from, to)| [*from, *to]) {
            put_id(&mut bytes, id);
        }
        if let Some(tail) = &self.tail {
            tail.put(&mut bytes);
        }
        bytes.freeze()
    }

    pub fn decode(bytes: &[u8]) -> Result<Head, Malformed> {
        let mut numbers = Numbers::of(bytes, "stream");
        let [len, added] = [numbers.take()?, numbers.take()?];
        let [dead_groups, nodes] = [numbers.take()?, numbers.take()?];
        let [last, first] = [numbers.take_id()?, numbers.take_id()?];
        let [top, max_deleted] = [numbers.take_id()?, numbers.take_id()?];
        let nodes_from = numbers.take_id()?;
        let trimmed = match numbers.take()? {
            0 => None,
            _ => Some((numbers.take_id()?, numbers.take_id()?)),
        };
        let tail = if numbers.left.is_empty() { None } else { Some(Node::take(&mut numbers)?) };
        let head = Head { len, added, last, first, top, max_deleted, trimmed, dead_groups, nodes, nodes_from, tail };
        numbers.finish(head)
    }
}

impl Node {
    fn put(&self, bytes: &mut BytesMut) {
        put_id(bytes, self.first);
        put_id(bytes, self.last);
        for number in [self.entries, self.deleted, self.bytes, self.fields.0, self.fields.1] {
            put(bytes, number);
        }
    }

    fn take(numbers: &mut Numbers<'_>) -> Result<Node, Malformed> {
        let [first, last] = [numbers.take_id()?, numbers.take_id()?];
        let [entries, deleted, bytes] = [numbers.take()?, numbers.take()?, numbers.take()?];
        Ok(Node { first, last, entries, deleted, bytes, fields: (numbers.take()?, numbers.take()?) })
    }

    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(48);
        self.put(&mut bytes);
        bytes.freeze()
    }

    pub fn decode(bytes: &[u8]) -> Result<Node, Malformed> {
        let mut numbers = Numbers::of(bytes, "stream node");
        let node = Node::take(&mut numbers)?;
        numbers.finish(node)
    }
}

impl Groups {
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(4);
        put(&mut bytes, self.count);
        put(&mut bytes, self.next);
        bytes.freeze()
    }

    pub fn decode(bytes: &[u8]) -> Result<Groups, Malformed> {
        let mut numbers = Numbers::of(bytes, "consumer groups");
        let groups = Groups { count: numbers.take()?, next: numbers.take()? };
        numbers.finish(groups)
    }
}

impl Group {
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(24);
        // 0: it is not known; such a number is never so high that one more would not fit.
        let read = self.read.map_or(0, |read| read.saturating_add(1));
        for number in [self.number, read, self.pending, self.consumers, self.next_consumer] {
            put(&mut bytes, number);
        }
        put_id(&mut bytes, self.last);
        put_id(&mut bytes, self.pending_from);
        bytes.freeze()
    }

    pub fn decode(bytes: &[u8]) -> Result<Group, Malformed> {
        let mut numbers = Numbers::of(bytes, "consumer group");
        let (number, read) = (numbers.take()?, numbers.take()?.checked_sub(1));
        let [pending, consumers, next_consumer] = [numbers.take()?, numbers.take()?, numbers.take()?];
        let [last, pending_from] = [numbers.take_id()?, numbers.take_id()?];
        numbers.finish(Group { number, last, read, pending, pending_from, consumers, next_consumer })
    }
}

impl Consumer {
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(16 + self.name.len());
        put(&mut bytes, self.seen_ms);
        put(&mut bytes, self.pending);
        bytes.put_slice(&self.name);
        bytes.freeze()
    }

    pub fn decode(bytes: &Bytes) -> Result<Consumer, Malformed> {
        let mut numbers = Numbers::of(bytes, "consumer");
        let [seen_ms, pending] = [numbers.take()?, numbers.take()?];
        let name = bytes.slice(bytes.len() - numbers.left.len()..);
        Ok(Consumer { seen_ms, pending, name })
    }
}

impl Pending {
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(12);
        for number in [self.consumer, self.delivered_ms, self.deliveries] {
            put(&mut bytes, number);
        }
        bytes.freeze()
    }

    pub fn decode(bytes: &[u8]) -> Result<Pending, Malformed> {
        let mut numbers = Numbers::of(bytes, "pending entry");
        let [consumer, delivered_ms, deliveries] = [numbers.take()?, numbers.take()?, numbers.take()?];
        numbers.finish(Pending { consumer, delivered_ms, deliveries })
    }
}

/// The value of a [`consumer_name`].
pub fn encode_number(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

pub fn decode_number(bytes: &[u8]) -> Result<u64, Malformed> {
    bytes.try_into().map(u64::from_be_bytes).map_err(|_| Malformed::new("number", bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id() -> impl Strategy<Value = StreamId> {
        let part = || prop_oneof![Just(0), Just(1), Just(u64::MAX), any::<u64>()];
        (part(), part()).prop_map(|(ms, seq)| StreamId { ms, seq })
    }

    fn node_value() -> impl Strategy<Value = Node> {
        (id(), id(), any::<[u64; 3]>(), any::<(u64, u64)>()).prop_map(
            |(first, last, [entries, deleted, bytes], fields)| Node { first, last, entries, deleted, bytes, fields },
        )
    }

    fn head() -> impl Strategy<Value = Head> {
        let ids = (id(), id(), id(), id(), prop::option::of((id(), id())), id());
        (any::<[u64; 4]>(), ids, prop::option::of(node_value())).prop_map(|(numbers, ids, tail)| {
            let [len, added, dead_groups, nodes] = numbers;
            let (last, first, top, max_deleted, trimmed, nodes_from) = ids;
            Head { len, added, last, first, top, max_deleted, trimmed, dead_groups, nodes, nodes_from, tail }
        })
    }

    proptest! {
        #[test]
        fn values_round_trip(
            head in head(), node in node_value(), numbers in any::<[u64; 4]>(), last in id(), read in any::<Option<u32>>(),
            name in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            prop_assert_eq!(Head::decode(&head.encode()), Ok(head));
            prop_assert_eq!(Node::decode(&node.encode()), Ok(node));
            let [number, pending, consumers, next_consumer] = numbers;
            let (read, pending_from) = (read.map(u64::from), node.first);
            let group = Group { number, last, read, pending, pending_from, consumers, next_consumer };
            prop_assert_eq!(Group::decode(&group.encode()), Ok(group));
            let groups = Groups { count: number, next: pending };
            prop_assert_eq!(Groups::decode(&groups.encode()), Ok(groups));
            let consumer = Consumer { seen_ms: number, pending, name: name.into() };
            prop_assert_eq!(Consumer::decode(&consumer.encode()), Ok(consumer));
            let entry = Pending { consumer: number, delivered_ms: pending, deliveries: consumers };
            prop_assert_eq!(Pending::decode(&entry.encode()), Ok(entry));
            prop_assert_eq!(decode_number(&encode_number(number)), Ok(number));
        }

        #[test]
        fn damaged_values_are_errors_not_panics(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = (Head::decode(&bytes), Node::decode(&bytes), Group::decode(&bytes), Groups::decode(&bytes));
            let _ = (Consumer::decode(&bytes.clone().into()), Pending::decode(&bytes), decode_number(&bytes));
            let _ = (parse_id(&bytes), parse_group(&bytes), parse_consumer_name(&bytes), parse_dead_group(&bytes));
        }

        #[test]
        fn keys_keep_the_order_of_ids_and_each_kind_to_itself(
            object in any::<u64>(), a in id(), b in id(), group_number in any::<u64>(), other in any::<u64>(),
            name in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let object = ObjectId::from_value(object);
            let within = |(lower, upper): (Bytes, Bytes), key: &Bytes| lower <= *key && *key < upper;
            for key in [entry, node] {
                prop_assert_eq!(key(object, a).cmp(&key(object, b)), a.cmp(&b));
                prop_assert_eq!(parse_id(&key(object, a)), Ok(a));
            }
            prop_assert_eq!(pending(object, other, a).cmp(&pending(object, other, b)), a.cmp(&b));
            let [low, high] = [a.min(b), a.max(b)];
            for id in [a, b] {
                prop_assert!(within(entries(object, low, high), &entry(object, id)));
                prop_assert!(within(all_pending(object, other, low, high), &pending(object, other, id)));
                prop_assert!(within(all_owned(object, other, 7, low, high), &owned(object, other, 7, id)));
            }
            let keys = [
                entry(object, a), node(object, a), group(object, &name), consumer_name(object, group_number, &name),
                consumer(object, group_number, other), pending(object, group_number, a),
                owned(object, group_number, other, a), dead_group(object, group_number), groups(object),
            ];
            prop_assert!(keys.is_sorted());
            prop_assert!(keys.iter().all(|key| key.starts_with(&object.prefix())));
            prop_assert!(within(all_groups(object), &keys[2]) && within(dead_groups(object), &keys[7]));
            prop_assert!(within(consumer_names(object, group_number), &keys[3]));
            let of_group = of_group(object, group_number);
            for (at, range) in of_group.into_iter().enumerate() {
                prop_assert!(within(range, &keys[at + 3]));
            }
            prop_assert_eq!(parse_group(&keys[2]), Ok(&name[..]));
            prop_assert_eq!(parse_consumer_name(&keys[3]), Ok(&name[..]));
            prop_assert_eq!(parse_dead_group(&keys[7]), Ok(group_number));
        }
    }
}
