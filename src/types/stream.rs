//! Streams: entries that are added behind all others, each an entry of its own in the store, by its id. The record knows
//! both ends, so nothing is ever looked for beyond them: not what was trimmed, nor what the engine keeps of deleted entries.
//!
//! Consumer groups are in [`super::stream_group`]; how Redis would pack entries, which decides what `~` trims, in
//! [`super::stream_nodes`].
//!
//! It must never read or write more of a stream than what is asked for: adding an entry looks at the record only, and what
//! is trimmed goes in steps.

use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};

use super::stream_nodes::{self as nodes, Packing};
use crate::engine::{ColumnFamily, Direction, EngineError};
use crate::keyspace::{CommandError, Entry, Keyspace, Record, TxnError, Type, typed};
use crate::layout::stream::{self as layout, Head, Node};
use crate::layout::{Malformed, ObjectId, inline};
use crate::limits;
use crate::rdb;
use crate::stream_id::{Extent, StreamId};

pub(super) type Result<T> = std::result::Result<T, CommandError>;

/// What is to be trimmed.
#[derive(Clone, Copy, Debug)]
pub struct Trim {
    pub until: Until,
    /// Only whole nodes (`~`).
    pub approximate: bool,
    /// Entries at most; 0: no limit.
    pub limit: u64,
}

/// What is to be left.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// So many entries.
    MaxLen(u64),
    /// Those from this id on.
    MinId(StreamId),
}

pub(super) fn corrupt() -> CommandError {
    EngineError::Corruption("a stream on disk contradicts itself".into()).into()
}

pub(super) fn malformed(error: Malformed) -> CommandError {
    TxnError::from(error).into()
}

// ---- Reading ------------------------------------------------------------------------------------------------------------

/// A stream as its record tells of it. To change it, see [`Editor`].
#[derive(Clone, Debug)]
pub struct Stream {
    pub(super) object: ObjectId,
    pub(super) head: Head,
}

impl Stream {
    /// The stream of a record.
    pub fn of(record: &Record) -> Result<Stream> {
        let object = record.object.ok_or_else(corrupt)?;
        Ok(Stream { object, head: Head::decode(&record.body).map_err(malformed)? })
    }

    /// Looks a stream up for reading.
    pub fn read(keyspace: &mut Keyspace<'_>, key: &[u8]) -> Result<Option<Stream>> {
        keyspace.get_typed(key, Type::Stream)?.map(|record| Stream::of(&record)).transpose()
    }

    /// As [`Stream::read`], without counting a hit or a miss.
    pub fn peek(keyspace: &mut Keyspace<'_>, key: &[u8]) -> Result<Option<Stream>> {
        typed(keyspace.peek(key)?, Type::Stream)?.map(|record| Stream::of(&record)).transpose()
    }

    fn record(&self) -> Record {
        Record { object: Some(self.object), ..Record::new(Type::Stream, self.head.encode()) }
    }

    pub fn head(&self) -> &Head {
        &self.head
    }

    pub fn len(&self) -> u64 {
        self.head.len
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn extent(&self) -> Extent {
        let Head { len, added, first, last, max_deleted, .. } = self.head;
        Extent { len, added, first, last, max_deleted }
    }

    /// Whether there is an entry behind `id`.
    pub fn has_behind(&self, id: StreamId) -> bool {
        !self.is_empty() && self.head.top > id
    }

    /// The entry at `id`, if it is there: its fields and values, as [`parts`] reads them.
    pub fn get(&self, keyspace: &Keyspace<'_>, id: StreamId) -> Result<Option<Bytes>> {
        if !self.may_have(id) {
            return Ok(None);
        }
        Ok(keyspace.txn().look_up(ColumnFamily::Data, &layout::entry(self.object, id))?)
    }

    fn may_have(&self, id: StreamId) -> bool {
        !self.is_empty() && self.head.first <= id && id <= self.head.top
    }

    /// Visits the entries from `from` to `to`, both included, until `visit` breaks.
    pub fn walk(
        &self,
        keyspace: &Keyspace<'_>,
        (from, to): (StreamId, StreamId),
        direction: Direction,
        mut visit: impl FnMut(StreamId, Bytes) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let (from, to) = (from.max(self.head.first), to.min(self.head.top));
        if self.is_empty() || from > to {
            return Ok(());
        }
        let (lower, upper) = layout::entries(self.object, from, to);
        let mut cursor = keyspace.txn().scan(ColumnFamily::Data, lower, Some(upper), direction)?;
        let mut visited = 0;
        while let Some((key, value)) = cursor.next()? {
            visited += 1;
            if visited > limits::SHORT_WALK_ELEMENTS {
                keyspace.txn().check_may_take_long()?;
            }
            let id = layout::parse_id(key).map_err(malformed)?;
            if visit(id, Bytes::copy_from_slice(value))?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The first entry of a range in the direction given.
    fn find(&self, keyspace: &Keyspace<'_>, range: (StreamId, StreamId), direction: Direction) -> Result<StreamId> {
        let mut found = None;
        self.walk(keyspace, range, direction, |id, _| {
            found = Some(id);
            Ok(ControlFlow::Break(()))
        })?;
        found.ok_or_else(corrupt)
    }

    /// The nodes that Redis would have: how many, and about how many of a radix tree by their first ids.
    pub fn count_nodes(&self, keyspace: &Keyspace<'_>) -> Result<(u64, u64)> {
        nodes::count(keyspace, self.object, &self.head)
    }

    /// Entries that [`super::dump::size`] counts, and the keys of all that is stored for the stream.
    pub(super) fn entries(&self) -> (u64, (Bytes, Bytes)) {
        (self.head.len, layout::entries(self.object, self.head.first, self.head.top))
    }

    /// The whole stream, in RDB's form.
    pub(super) fn dump(&self, keyspace: &Keyspace<'_>) -> Result<rdb::Stream> {
        if self.head.len > limits::SHORT_WALK_ELEMENTS {
            keyspace.txn().check_may_take_long()?;
        }
        let mut dumped = nodes::all(keyspace, self.object, &self.head)?;
        let mut at = 0;
        self.walk(keyspace, (StreamId::MIN, StreamId::MAX), Direction::Forward, |id, value| {
            while dumped.get(at).is_some_and(|node: &rdb::StreamNode| node.last < id) {
                at += 1;
            }
            let node = dumped.get_mut(at).ok_or_else(corrupt)?;
            node.entries.push(rdb::StreamEntry { id, parts: parts(&value)? });
            Ok(ControlFlow::Continue(()))
        })?;
        let Head { last, first, max_deleted, added, .. } = self.head;
        let groups = super::stream_group::dump(keyspace, self)?;
        Ok(rdb::Stream { nodes: dumped, last, first, max_deleted, added, groups })
    }
}

/// An entry's fields and values by turns.
pub fn parts(value: &Bytes) -> Result<Vec<Bytes>> {
    let (mut parts, mut found) = (inline::Parts::of(value), Vec::new());
    while let Some(part) = parts.next_bytes().map_err(malformed)? {
        found.push(part);
    }
    Ok(found)
}

fn encode_parts(parts: &[Bytes]) -> Bytes {
    let mut value = BytesMut::with_capacity(parts.iter().map(|part| inline::size(part.len())).sum());
    parts.iter().for_each(|part| inline::push(&mut value, part));
    value.freeze()
}

// ---- Changing -----------------------------------------------------------------------------------------------------------

/// A stream that is being changed: looked up, changed, and stored with [`Editor::finish`].
#[derive(Debug)]
pub struct Editor {
    entry: Entry,
    stream: Stream,
}

impl Editor {
    /// Looks a stream up, to change it.
    pub fn open(keyspace: &mut Keyspace<'_>, key: &Bytes) -> Result<Option<Editor>> {
        let entry = keyspace.entry_typed(key, Type::Stream)?;
        Editor::of(entry)
    }

    /// As [`Editor::open`], for commands that also reply what they found: counts a hit or a miss.
    pub fn open_read(keyspace: &mut Keyspace<'_>, key: &Bytes) -> Result<Option<Editor>> {
        let entry = keyspace.read_entry_typed(key, Type::Stream)?;
        Editor::of(entry)
    }

    fn of(entry: Entry) -> Result<Option<Editor>> {
        let stream = entry.record().map(Stream::of).transpose()?;
        Ok(stream.map(|stream| Editor { entry, stream }))
    }

    /// As [`Editor::open`]; if there is none, one is made.
    pub fn open_or_create(keyspace: &mut Keyspace<'_>, key: &Bytes) -> Result<Editor> {
        let entry = keyspace.entry_typed(key, Type::Stream)?;
        let stream = match entry.record() {
            Some(record) => Stream::of(record)?,
            None => Stream { object: keyspace.new_object(&entry)?, head: Head::default() },
        };
        Ok(Editor { entry, stream })
    }

    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Adds an entry, of fields and values by turns. `id` is higher than any that was given.
    pub fn append(&mut self, keyspace: &mut Keyspace<'_>, id: StreamId, parts: &[Bytes]) {
        debug_assert!(id > self.stream.head.last, "invariant: ids rise");
        let (object, packing) = (self.stream.object, Packing::of(keyspace));
        keyspace.txn_mut().put(ColumnFamily::Data, layout::entry(object, id), encode_parts(parts));
        let head = &mut self.stream.head;
        nodes::append(keyspace, object, head, packing, id, parts);
        head.len += 1;
        head.added = head.added.saturating_add(1);
        (head.last, head.top) = (id, id);
        if head.len == 1 {
            head.first = id;
        }
    }

    /// Deletes entries. Returns how many there were.
    pub fn delete(&mut self, keyspace: &mut Keyspace<'_>, ids: &[StreamId]) -> Result<u64> {
        let mut deleted = 0;
        for &id in ids {
            deleted += u64::from(self.delete_one(keyspace, id)?);
        }
        let (stream, first, top) = (&self.stream, self.stream.head.first, self.stream.head.top);
        if stream.is_empty() {
            (self.stream.head.first, self.stream.head.top) = (StreamId::MIN, StreamId::MIN);
        } else if deleted > 0 {
            let is_gone = |id| stream.get(keyspace, id).map(|found| found.is_none());
            let first = if is_gone(first)? { stream.find(keyspace, (first, top), Direction::Forward)? } else { first };
            let top = if is_gone(top)? { stream.find(keyspace, (first, top), Direction::Backward)? } else { top };
            (self.stream.head.first, self.stream.head.top) = (first, top);
        }
        Ok(deleted)
    }

    /// Both ends may be gone after this.
    fn delete_one(&mut self, keyspace: &mut Keyspace<'_>, id: StreamId) -> Result<bool> {
        if self.stream.get(keyspace, id)?.is_none() {
            return Ok(false);
        }
        let object = self.stream.object;
        keyspace.txn_mut().delete(ColumnFamily::Data, layout::entry(object, id));
        let head = &mut self.stream.head;
        nodes::delete(keyspace, object, head, id)?;
        head.len = head.len.checked_sub(1).ok_or_else(corrupt)?;
        head.max_deleted = head.max_deleted.max(id);
        Ok(true)
    }

    /// Removes the lowest entries. They are out of sight at once; what they take goes in steps (see [`Editor::finish`]).
    /// Returns how many there were.
    pub fn trim(&mut self, keyspace: &mut Keyspace<'_>, trim: &Trim) -> Result<u64> {
        let object = self.stream.object;
        // The number removed, and the highest id that was.
        let (mut removed, mut gone) = (0, None);
        loop {
            let head = &mut self.stream.head;
            let Some(node) = nodes::first(keyspace, object, head)? else { break };
            let is_enough = matches!(trim.until, Until::MaxLen(most) if head.len <= most);
            if is_enough || trim.limit > 0 && removed + node.entries > trim.limit {
                break;
            }
            let goes_whole = match trim.until {
                Until::MaxLen(most) => head.len - node.entries.min(head.len) >= most,
                Until::MinId(least) => node.last < least,
            };
            if goes_whole {
                nodes::remove_first(keyspace, object, head, &node);
                head.len = head.len.checked_sub(node.entries).ok_or_else(corrupt)?;
                removed += node.entries;
                gone = Some(node.last);
                continue;
            }
            if !trim.approximate {
                let (count, last) = self.trim_within(keyspace, node, gone, trim.until)?;
                removed += count;
                gone = last.or(gone);
            }
            break;
        }
        if let Some(gone) = gone {
            self.set_first_behind(keyspace, gone)?;
        }
        Ok(removed)
    }

    /// Removes the lowest entries of a node, but not all of the stream's. Returns how many, and the last of them.
    fn trim_within(
        &mut self,
        keyspace: &mut Keyspace<'_>,
        node: Node,
        gone: Option<StreamId>,
        until: Until,
    ) -> Result<(u64, Option<StreamId>)> {
        let (mut removed, mut last) = (0, None);
        let len = self.stream.len();
        let from = gone.and_then(StreamId::next).unwrap_or(StreamId::MIN);
        self.stream.walk(keyspace, (from, node.last), Direction::Forward, |id, _| {
            let stays = match until {
                Until::MaxLen(most) => len - removed <= most,
                Until::MinId(least) => id >= least,
            };
            if stays {
                return Ok(ControlFlow::Break(()));
            }
            (removed, last) = (removed + 1, Some(id));
            Ok(ControlFlow::Continue(()))
        })?;
        self.stream.head.len -= removed;
        nodes::note_removed(keyspace, self.stream.object, &mut self.stream.head, node, removed);
        Ok((removed, last))
    }

    /// All entries up to `gone` were trimmed.
    fn set_first_behind(&mut self, keyspace: &mut Keyspace<'_>, gone: StreamId) -> Result<()> {
        let head = &mut self.stream.head;
        let from = head.trimmed.map_or(head.first, |(from, _)| from);
        head.trimmed = Some((from, gone));
        if head.len == 0 {
            (head.first, head.top) = (StreamId::MIN, StreamId::MIN);
            return Ok(());
        }
        let behind = gone.next().ok_or_else(corrupt)?;
        self.stream.head.first = self.stream.find(keyspace, (behind, StreamId::MAX), Direction::Forward)?;
        Ok(())
    }

    /// XSETID: the next id is higher than this.
    pub fn set_last(&mut self, keyspace: &mut Keyspace<'_>, last: StreamId) -> Result<()> {
        // Or an entry yet to come would lie among those that were trimmed.
        while self.stream.head.trimmed.is_some_and(|(_, to)| last < to) {
            self.sweep(keyspace)?;
        }
        if self.stream.is_empty() {
            // The next one may lie lower than those that were.
            nodes::clear(keyspace, self.stream.object, &mut self.stream.head)?;
        }
        if let Some(tail) = &mut self.stream.head.tail {
            // What lay beyond was deleted.
            tail.last = tail.last.min(last);
        }
        self.stream.head.last = last;
        Ok(())
    }

    pub fn set_added(&mut self, added: u64) {
        self.stream.head.added = added;
    }

    pub fn set_max_deleted(&mut self, id: StreamId) {
        self.stream.head.max_deleted = id;
    }

    /// A group was destroyed and left something behind.
    pub(super) fn note_dead_group(&mut self) {
        self.stream.head.dead_groups += 1;
    }

    /// Fills an empty stream.
    pub(super) fn restore(&mut self, keyspace: &mut Keyspace<'_>, dumped: rdb::Stream) -> Result<()> {
        let (extent, top, object) = (dumped.extent(), dumped.top(), self.stream.object);
        for node in &dumped.nodes {
            for entry in &node.entries {
                let value = encode_parts(&entry.parts);
                keyspace.txn_mut().put(ColumnFamily::Data, layout::entry(object, entry.id), value);
            }
            nodes::restore(keyspace, object, &mut self.stream.head, node);
        }
        let Extent { len, added, first, last, max_deleted } = extent;
        self.stream.head = Head { len, added, first, last, max_deleted, top, ..self.stream.head.clone() };
        super::stream_group::restore(keyspace, object, dumped.groups);
        Ok(())
    }

    /// Deletes some of what is out of sight: entries that were trimmed, and what destroyed groups have left.
    fn sweep(&mut self, keyspace: &mut Keyspace<'_>) -> Result<()> {
        let (object, most) = (self.stream.object, limits::STREAM_SWEEP_ENTRIES);
        if let Some((from, to)) = self.stream.head.trimmed {
            let deleted = delete_some(keyspace, layout::entries(object, from, to), most)?;
            let next = deleted.last().map(|key| layout::parse_id(key).map_err(malformed)).transpose()?;
            let next = next.filter(|_| deleted.len() == most).and_then(StreamId::next);
            self.stream.head.trimmed = next.filter(|next| *next <= to).map(|next| (next, to));
        } else if self.stream.head.dead_groups > 0 {
            let swept = super::stream_group::sweep(keyspace, object, most)?;
            self.stream.head.dead_groups -= u64::from(swept);
        }
        Ok(())
    }

    /// Stores what was changed.
    pub fn finish(mut self, keyspace: &mut Keyspace<'_>) -> Result<()> {
        self.sweep(keyspace)?;
        keyspace.put_keeping_ttl(&mut self.entry, self.stream.record())
    }
}

/// Deletes up to `most` entries of the store within a range of keys. Returns their keys.
pub(super) fn delete_some(
    keyspace: &mut Keyspace<'_>,
    (lower, upper): (Bytes, Bytes),
    most: usize,
) -> Result<Vec<Bytes>> {
    let mut keys = Vec::new();
    let mut cursor = keyspace.txn().scan(ColumnFamily::Data, lower, Some(upper), Direction::Forward)?;
    while keys.len() < most
        && let Some((key, _)) = cursor.next()?
    {
        keys.push(Bytes::copy_from_slice(key));
    }
    drop(cursor);
    keys.iter().for_each(|key| keyspace.txn_mut().delete(ColumnFamily::Data, key.clone()));
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::super::stream_group::{self, OpenGroup, Pending};
    use super::*;
    use crate::config::EncodingsConfig;
    use crate::engine::memory::{MemoryDisk, MemoryEngine};
    use crate::engine::{Engine, WriteOptions, thread};
    use crate::keyspace::{DatabaseMap, Txn, ValueLimits};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    const KEY: Bytes = Bytes::from_static(b"stream");
    const ALL: (StreamId, StreamId) = (StreamId::MIN, StreamId::MAX);
    const GROUPS: [&str; 2] = ["g", "h"];
    const CONSUMERS: [Bytes; 2] = [Bytes::from_static(b"Alice"), Bytes::from_static(b"Bob")];

    fn id(number: u64) -> StreamId {
        StreamId { ms: number / 3, seq: number % 3 }
    }

    #[derive(Clone, Debug)]
    enum Change {
        Append(u64),
        Delete(Vec<u64>),
        KeepLast(u64, bool),
        KeepFrom(u64, bool),
        SetLast,
        Destroy(usize),
        Deliver(usize, usize, u64),
        Acknowledge(usize, u64),
        DeleteConsumer(usize, usize),
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            6 => (1u64..12).prop_map(Change::Append),
            2 => prop::collection::vec(0u64..60, 1..6).prop_map(Change::Delete),
            1 => (0u64..12, any::<bool>()).prop_map(|(most, whole)| Change::KeepLast(most, whole)),
            1 => (0u64..60, any::<bool>()).prop_map(|(least, whole)| Change::KeepFrom(least, whole)),
            1 => Just(Change::SetLast),
            1 => (0usize..2).prop_map(Change::Destroy),
            4 => (0usize..2, 0usize..2, 0u64..60).prop_map(|(group, by, at)| Change::Deliver(group, by, at)),
            3 => (0usize..2, 0u64..60).prop_map(|(group, at)| Change::Acknowledge(group, at)),
            1 => (0usize..2, 0usize..2).prop_map(|(group, by)| Change::DeleteConsumer(group, by)),
        ]
    }

    /// Entries by id, and of each group who has what.
    #[derive(Clone, Debug, Default)]
    struct Model {
        entries: BTreeMap<StreamId, Vec<Bytes>>,
        last: u64,
        pending: [BTreeMap<StreamId, usize>; 2],
    }

    fn parts_of(number: u64) -> Vec<Bytes> {
        vec![format!("f{}", number % 4 / 3).into(), number.to_string().into()]
    }

    fn open_group(keyspace: &mut Keyspace<'_>, group: usize) -> OpenGroup {
        let stream = Stream::read(keyspace, &KEY).unwrap().unwrap();
        let name = GROUPS[group].as_bytes();
        stream_group::create(keyspace, &stream, name, StreamId::MIN, None).unwrap();
        OpenGroup::find(keyspace, &stream, name).unwrap().unwrap()
    }

    fn apply(keyspace: &mut Keyspace<'_>, model: &mut Model, change: Change) {
        let mut editor = Editor::open_or_create(keyspace, &KEY).unwrap();
        match change {
            Change::Append(count) => {
                for _ in 0..count {
                    model.last += 1;
                    editor.append(keyspace, id(model.last), &parts_of(model.last));
                    model.entries.insert(id(model.last), parts_of(model.last));
                }
            }
            Change::Delete(numbers) => {
                let ids: Vec<StreamId> = numbers.into_iter().map(id).collect();
                let deleted = editor.delete(keyspace, &ids).unwrap();
                let found = ids.iter().filter(|id| model.entries.remove(id).is_some()).count();
                assert_eq!(deleted, found as u64);
            }
            Change::KeepLast(most, approximate) => {
                let trim = Trim { until: Until::MaxLen(most), approximate, limit: 0 };
                trim_both(&mut editor, keyspace, model, &trim, |model| model.entries.len() as u64 > most);
            }
            Change::KeepFrom(least, approximate) => {
                let trim = Trim { until: Until::MinId(id(least)), approximate, limit: 0 };
                let has_lower = |model: &Model| model.entries.keys().next().is_some_and(|first| *first < id(least));
                trim_both(&mut editor, keyspace, model, &trim, has_lower);
            }
            Change::SetLast => {
                // Back as far as it goes.
                let top = model.entries.keys().next_back().copied().unwrap_or(StreamId::MIN);
                editor.set_last(keyspace, top).unwrap();
                model.last = top.ms * 3 + top.seq;
            }
            Change::Destroy(group) => {
                editor.finish(keyspace).unwrap();
                open_group(keyspace, group).finish(keyspace).unwrap();
                editor = Editor::open(keyspace, &KEY).unwrap().unwrap();
                let name = GROUPS[group].as_bytes();
                assert!(stream_group::destroy(keyspace, &mut editor, name).unwrap().is_some());
                assert_eq!(stream_group::destroy(keyspace, &mut editor, name).unwrap(), None);
                model.pending[group].clear();
            }
            Change::Deliver(group, by, from) => {
                editor.finish(keyspace).unwrap();
                let mut open = open_group(keyspace, group);
                let (consumer, _) = open.see_consumer(keyspace, &CONSUMERS[by]).unwrap();
                for number in from..from + 4 {
                    let before = open.pending(keyspace, id(number)).unwrap();
                    let pending = Pending { consumer, delivered_ms: 5, deliveries: 1 };
                    open.put_pending(keyspace, id(number), before.as_ref(), &pending).unwrap();
                    model.pending[group].insert(id(number), by);
                }
                return open.finish(keyspace).unwrap();
            }
            Change::Acknowledge(group, from) => {
                editor.finish(keyspace).unwrap();
                let mut open = open_group(keyspace, group);
                for number in from..from + 6 {
                    let found = open.pending(keyspace, id(number)).unwrap();
                    assert_eq!(found.is_some(), model.pending[group].remove(&id(number)).is_some());
                    if let Some(pending) = found {
                        open.remove_pending(keyspace, id(number), &pending).unwrap();
                    }
                }
                return open.finish(keyspace).unwrap();
            }
            Change::DeleteConsumer(group, by) => {
                editor.finish(keyspace).unwrap();
                let mut open = open_group(keyspace, group);
                let removed = open.delete_consumer(keyspace, &CONSUMERS[by]).unwrap().unwrap_or(0);
                let before = model.pending[group].len();
                model.pending[group].retain(|_, owner| *owner != by);
                assert_eq!(removed, (before - model.pending[group].len()) as u64);
                return open.finish(keyspace).unwrap();
            }
        }
        editor.finish(keyspace).unwrap();
    }

    /// Whole nodes may stay, but only if they are not all to go; nothing else goes that is not to.
    fn trim_both(
        editor: &mut Editor,
        keyspace: &mut Keyspace<'_>,
        model: &mut Model,
        trim: &Trim,
        has_more: impl Fn(&Model) -> bool,
    ) {
        let mut removed = 0;
        let trimmed = editor.trim(keyspace, trim).unwrap();
        while has_more(model) && (!trim.approximate || removed < trimmed) {
            model.entries.pop_first();
            removed += 1;
        }
        assert_eq!(trimmed, removed);
    }

    fn compare(keyspace: &mut Keyspace<'_>, model: &Model, from: u64) {
        let Some(stream) = Stream::read(keyspace, &KEY).unwrap() else { return assert!(model.entries.is_empty()) };
        let ends = (model.entries.keys().next(), model.entries.keys().next_back());
        let ends = (ends.0.copied().unwrap_or_default(), ends.1.copied().unwrap_or_default());
        assert_eq!((stream.head().first, stream.head().top), ends);
        assert_eq!(stream.len(), model.entries.len() as u64);
        for direction in [Direction::Forward, Direction::Backward] {
            for range in [ALL, (id(from), id(from + 9))] {
                let mut found = Vec::new();
                stream
                    .walk(keyspace, range, direction, |id, value| {
                        found.push((id, parts(&value)?));
                        Ok(ControlFlow::Continue(()))
                    })
                    .unwrap();
                let mut expected: Vec<_> =
                    model.entries.range(range.0..=range.1).map(|(k, v)| (*k, v.clone())).collect();
                if direction == Direction::Backward {
                    expected.reverse();
                }
                assert_eq!(found, expected);
            }
        }
        let dumped = stream.dump(keyspace).unwrap();
        assert_eq!(dumped.nodes.len() as u64, stream.head().nodes);
        assert_eq!(dumped.len(), stream.len());
        for (group, pending) in model.pending.iter().enumerate() {
            let Some(open) = OpenGroup::find(keyspace, &stream, GROUPS[group].as_bytes()).unwrap() else { continue };
            assert_eq!(open.group().pending, pending.len() as u64);
            let edges = pending.keys().next().copied().zip(pending.keys().next_back().copied());
            assert_eq!(open.edges(keyspace).unwrap(), edges);
            for (by, name) in CONSUMERS.iter().enumerate() {
                let Some(number) = open.consumer(keyspace, name).unwrap() else { continue };
                let mut found = Vec::new();
                open.walk(keyspace, Some(number), ALL, Direction::Forward, |id, pending| {
                    assert_eq!(pending.consumer, number);
                    found.push(id);
                    Ok(ControlFlow::Continue(()))
                })
                .unwrap();
                let expected: Vec<_> = pending.iter().filter(|(_, owner)| **owner == by).map(|(id, _)| *id).collect();
                assert_eq!(open.consumer_at(keyspace, number).unwrap().pending, expected.len() as u64);
                assert_eq!(found, expected);
            }
        }
    }

    proptest! {
        #[test]
        fn a_stream_is_a_row_of_entries_and_who_has_which(
            changes in prop::collection::vec((change(), 0u64..60, any::<bool>()), 0..40),
        ) {
            thread::mark_engine_thread();
            let engine = MemoryEngine::open(MemoryDisk::new()).unwrap();
            let databases = Arc::new(DatabaseMap::load(&*engine, 1).unwrap());
            let encodings = EncodingsConfig { stream_node_max_entries: 3, ..Default::default() };
            let limits = || ValueLimits { bytes_max: 0, encodings: encodings.clone() };
            let mut model = Model::default();
            let mut keyspace = Keyspace::new(Txn::writer(&*engine), databases.clone(), 0, 0, limits());
            for (change, probe, commit) in changes {
                apply(&mut keyspace, &mut model, change);
                keyspace.keep();
                compare(&mut keyspace, &model, probe);
                if commit {
                    engine.write(&keyspace.txn().to_batch(), WriteOptions::default()).unwrap();
                    keyspace = Keyspace::new(Txn::writer(&*engine), databases.clone(), 0, 0, limits());
                    compare(&mut keyspace, &model, probe);
                }
            }
            let Some(mut editor) = Editor::open(&mut keyspace, &KEY).unwrap() else { return Ok(()) };
            while editor.stream.head.trimmed.is_some() || editor.stream.head.dead_groups > 0 {
                editor.sweep(&mut keyspace).unwrap();
            }
            let object = editor.stream.object;
            let left = |keyspace: &Keyspace<'_>, (lower, upper): (Bytes, Bytes)| {
                let mut count = 0;
                let mut cursor = keyspace.txn().scan(ColumnFamily::Data, lower, Some(upper), Direction::Forward).unwrap();
                while cursor.next().unwrap().is_some() {
                    count += 1;
                }
                count
            };
            prop_assert_eq!(left(&keyspace, layout::entries(object, ALL.0, ALL.1)), model.entries.len());
            prop_assert_eq!(left(&keyspace, layout::dead_groups(object)), 0);
        }
    }
}
