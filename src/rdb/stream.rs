//! Streams in an RDB file: nodes, each a listpack of entries that are written relative to the node's first, and the consumer
//! groups behind them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes};

use super::LoadError;
use super::compact::{LISTPACK_EMPTY_LEN, Listpack, read_listpack};
use super::read::Reader;
use super::write::{put_length, put_string};
use crate::number;
use crate::stream_id::{Extent, StreamId};

type Result<T> = std::result::Result<T, LoadError>;

/// An entry that was deleted, and its node not written anew.
const DELETED: i64 = 1 << 0;
/// An entry whose fields are called as those of its node's first.
const SAME_FIELDS: i64 = 1 << 1;
/// What stands for a number of entries read that is not known.
const UNKNOWN: u64 = u64::MAX;

/// A stream, whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stream {
    pub nodes: Vec<StreamNode>,
    pub last: StreamId,
    /// `0-0` if it is empty.
    pub first: StreamId,
    pub max_deleted: StreamId,
    /// Entries ever added.
    pub added: u64,
    /// By name.
    pub groups: Vec<StreamGroup>,
}

/// Entries that lie together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamNode {
    pub first: StreamId,
    /// The highest id that was ever in it.
    pub last: StreamId,
    pub entries: Vec<StreamEntry>,
    /// How many entries were deleted from it.
    pub deleted: u64,
    /// How many bytes its listpack takes.
    pub bytes: u64,
    /// What the fields of its first entry were called.
    pub fields: Vec<Bytes>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamEntry {
    pub id: StreamId,
    /// Fields and values by turns.
    pub parts: Vec<Bytes>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamGroup {
    pub name: Bytes,
    pub last: StreamId,
    /// How many entries were read, as far as that is known.
    pub read: Option<u64>,
    /// By id.
    pub pending: Vec<StreamPending>,
    /// By name.
    pub consumers: Vec<StreamConsumer>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StreamPending {
    pub id: StreamId,
    pub delivered_ms: u64,
    pub deliveries: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamConsumer {
    pub name: Bytes,
    pub seen_ms: u64,
    /// Each is one of its group's.
    pub pending: Vec<StreamId>,
}

impl Stream {
    pub fn len(&self) -> u64 {
        self.nodes.iter().map(|node| node.entries.len() as u64).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn extent(&self) -> Extent {
        let (added, first, last, max_deleted) = (self.added, self.first, self.last, self.max_deleted);
        Extent { len: self.len(), added, first, last, max_deleted }
    }

    /// The same without what only its nodes' form tells, and is not written: what was deleted from them.
    pub fn without_form(mut self) -> Stream {
        self.nodes.retain(|node| !node.entries.is_empty());
        for node in &mut self.nodes {
            let entries = std::mem::take(&mut node.entries);
            let last = entries.last().map_or(node.first, |entry| entry.id);
            *node = StreamNode { first: node.first, last, entries, ..StreamNode::default() };
        }
        self
    }

    /// The last id that is there.
    pub fn top(&self) -> StreamId {
        let top = self.nodes.iter().rev().find_map(|node| node.entries.last());
        top.map_or(StreamId::MIN, |entry| entry.id)
    }
}

// ---- Writing ------------------------------------------------------------------------------------------------------------

pub(super) fn write(out: &mut Vec<u8>, stream: &Stream) {
    let nodes = || stream.nodes.iter().filter(|node| !node.entries.is_empty());
    put_length(out, nodes().count());
    for node in nodes() {
        put_string(out, &node.first.to_bytes());
        put_string(out, &listpack(node));
    }
    put_number(out, stream.len());
    for id in [stream.last, stream.first, stream.max_deleted] {
        put_id(out, id);
    }
    put_number(out, stream.added);
    put_length(out, stream.groups.len());
    for group in &stream.groups {
        put_string(out, &group.name);
        put_id(out, group.last);
        put_number(out, group.read.unwrap_or(UNKNOWN));
        put_length(out, group.pending.len());
        for pending in &group.pending {
            out.extend_from_slice(&pending.id.to_bytes());
            out.put_u64_le(pending.delivered_ms);
            put_number(out, pending.deliveries);
        }
        put_length(out, group.consumers.len());
        for consumer in &group.consumers {
            put_string(out, &consumer.name);
            out.put_u64_le(consumer.seen_ms);
            put_length(out, consumer.pending.len());
            consumer.pending.iter().for_each(|id| out.extend_from_slice(&id.to_bytes()));
        }
    }
}

fn put_number(out: &mut Vec<u8>, number: u64) {
    // Where this is built to run, a size is as wide.
    put_length(out, number as usize);
}

fn put_id(out: &mut Vec<u8>, id: StreamId) {
    put_number(out, id.ms);
    put_number(out, id.seq);
}

fn names(parts: &[Bytes]) -> impl Iterator<Item = &Bytes> {
    parts.iter().step_by(2)
}

fn listpack(node: &StreamNode) -> Vec<u8> {
    let mut listpack = Listpack::new();
    // What was deleted is left out.
    listpack.push_integer(node.entries.len() as i64);
    listpack.push_integer(0);
    let first: Vec<&Bytes> = node.entries.first().map(|entry| names(&entry.parts).collect()).unwrap_or_default();
    listpack.push_integer(first.len() as i64);
    first.iter().for_each(|name| listpack.push(name));
    listpack.push_integer(0);
    for entry in &node.entries {
        let is_same = names(&entry.parts).eq(first.iter().copied());
        listpack.push_integer(if is_same { SAME_FIELDS } else { 0 });
        listpack.push_integer(entry.id.ms.wrapping_sub(node.first.ms) as i64);
        listpack.push_integer(entry.id.seq.wrapping_sub(node.first.seq) as i64);
        let fields = entry.parts.len() as i64 / 2;
        if is_same {
            entry.parts.iter().skip(1).step_by(2).for_each(|value| listpack.push(value));
            listpack.push_integer(fields + 3);
        } else {
            listpack.push_integer(fields);
            entry.parts.iter().for_each(|part| listpack.push(part));
            listpack.push_integer(2 * fields + 4);
        }
    }
    listpack.finish()
}

// ---- Reading ------------------------------------------------------------------------------------------------------------

/// `counted`: the form that tells how many entries were ever added.
pub(super) fn read(reader: &mut Reader, counted: bool) -> Result<Stream> {
    let mut stream = Stream::default();
    for _ in 0..reader.length()? {
        let first = StreamId::from_bytes(reader.string()?[..].try_into().map_err(|_| LoadError::Data)?);
        let node = read_node(first, &reader.string()?)?;
        if stream.nodes.last().is_some_and(|before| before.last >= node.first) {
            return Err(LoadError::Data);
        }
        stream.nodes.push(node);
    }
    let len = reader.length()?;
    stream.last = read_id(reader)?;
    if len != stream.len() || stream.last < stream.top() {
        return Err(LoadError::Data);
    }
    let first = stream.nodes.iter().find_map(|node| node.entries.first());
    stream.first = first.map_or(StreamId::MIN, |entry| entry.id);
    stream.added = len;
    if counted {
        // That is what it is.
        read_id(reader)?;
        stream.max_deleted = read_id(reader)?;
        stream.added = reader.length()?;
    }
    for _ in 0..reader.length()? {
        let mut group = read_group(reader, counted)?;
        if !counted {
            group.read = stream.extent().added_up_to(group.last);
        }
        stream.groups.push(group);
    }
    sort_by_name(&mut stream.groups, |group| &group.name)?;
    Ok(stream)
}

/// No name may stand twice.
fn sort_by_name<T>(named: &mut [T], name: impl Fn(&T) -> &Bytes) -> Result<()> {
    named.sort_by(|a, b| name(a).cmp(name(b)));
    let is_repeated = named.windows(2).any(|pair| name(&pair[0]) == name(&pair[1]));
    if is_repeated { Err(LoadError::Data) } else { Ok(()) }
}

fn read_id(reader: &mut Reader) -> Result<StreamId> {
    Ok(StreamId { ms: reader.length()?, seq: reader.length()? })
}

/// Reads a listpack's entries, which are all texts here, as they are needed.
struct Entries(std::vec::IntoIter<Bytes>);

impl Entries {
    fn text(&mut self) -> Result<Bytes> {
        self.0.next().ok_or(LoadError::Data)
    }

    fn integer(&mut self) -> Result<i64> {
        number::parse_i64(&self.text()?).ok_or(LoadError::Data)
    }

    /// A number of entries, or of pairs of them, that follow.
    fn count(&mut self) -> Result<usize> {
        let count = usize::try_from(self.integer()?).map_err(|_| LoadError::Data)?;
        if count > self.0.len() { Err(LoadError::Data) } else { Ok(count) }
    }
}

fn read_node(first: StreamId, listpack: &Bytes) -> Result<StreamNode> {
    if listpack.len() <= LISTPACK_EMPTY_LEN {
        return Err(LoadError::Data);
    }
    let mut entries = Entries(read_listpack(listpack)?.into_iter());
    let (live, deleted) = (entries.count()?, entries.count()?);
    let fields = entries.count()?;
    let fields = (0..fields).map(|_| entries.text()).collect::<Result<Vec<Bytes>>>()?;
    if entries.integer()? != 0 {
        return Err(LoadError::Data);
    }
    let deleted_count = deleted as u64;
    let mut node = StreamNode {
        first,
        last: first,
        deleted: deleted_count,
        bytes: listpack.len() as u64,
        fields,
        ..Default::default()
    };
    let mut last = None;
    for _ in 0..live.checked_add(deleted).ok_or(LoadError::Data)? {
        let flags = entries.integer()?;
        let ms = first.ms.wrapping_add(entries.integer()? as u64);
        let id = StreamId { ms, seq: first.seq.wrapping_add(entries.integer()? as u64) };
        if id < first || last.is_some_and(|last| last >= id) {
            return Err(LoadError::Data);
        }
        last = Some(id);
        let (mut parts, count);
        if flags & SAME_FIELDS != 0 {
            parts = Vec::with_capacity(2 * node.fields.len());
            for name in &node.fields {
                parts.extend([name.clone(), entries.text()?]);
            }
            count = node.fields.len() as i64 + 3;
        } else {
            let fields = entries.count()?;
            parts = Vec::new();
            for _ in 0..fields {
                parts.extend([entries.text()?, entries.text()?]);
            }
            count = 2 * fields as i64 + 4;
        }
        if entries.integer()? != count || parts.is_empty() {
            return Err(LoadError::Data);
        }
        if flags & DELETED == 0 {
            node.entries.push(StreamEntry { id, parts });
        }
    }
    node.last = last.unwrap_or(first);
    if node.entries.len() == live && entries.0.len() == 0 { Ok(node) } else { Err(LoadError::Data) }
}

fn read_group(reader: &mut Reader, counted: bool) -> Result<StreamGroup> {
    let mut group = StreamGroup { name: reader.string()?, last: read_id(reader)?, ..Default::default() };
    if counted {
        group.read = Some(reader.length()?).filter(|read| *read != UNKNOWN);
    }
    let mut pending = BTreeMap::new();
    for _ in 0..reader.length()? {
        let id = StreamId::from_bytes(reader.array()?);
        let entry =
            StreamPending { id, delivered_ms: u64::from_le_bytes(reader.array()?), deliveries: reader.length()? };
        if pending.insert(id, entry).is_some() {
            return Err(LoadError::Data);
        }
    }
    let mut unowned: BTreeSet<StreamId> = pending.keys().copied().collect();
    for _ in 0..reader.length()? {
        let (name, seen_ms) = (reader.string()?, u64::from_le_bytes(reader.array()?));
        let mut consumer = StreamConsumer { name, seen_ms, pending: Vec::new() };
        for _ in 0..reader.length()? {
            let id = StreamId::from_bytes(reader.array()?);
            if !unowned.remove(&id) {
                return Err(LoadError::Data);
            }
            consumer.pending.push(id);
        }
        consumer.pending.sort_unstable();
        group.consumers.push(consumer);
    }
    if !unowned.is_empty() {
        return Err(LoadError::Data);
    }
    sort_by_name(&mut group.consumers, |consumer| &consumer.name)?;
    group.pending = pending.into_values().collect();
    Ok(group)
}
