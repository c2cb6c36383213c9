//! The consumer groups of a stream: who was given which entries, and has not acknowledged them. What is pending lies by
//! group and by consumer, so each of both can be walked from any id on.
//!
//! It must never go through all that is pending for the sake of a few entries. (To remove a consumer is to remove what it
//! has; what a destroyed group has goes in steps, once it is much.)

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use bytes::Bytes;

use super::stream::{Editor, Result, Stream, corrupt, delete_some, malformed};
use crate::engine::{ColumnFamily, Direction};
use crate::keyspace::{Keyspace, Txn};
use crate::layout::stream::{self as layout, Groups};
pub use crate::layout::stream::{Consumer, Group, Pending};
use crate::layout::{Malformed, ObjectId};
use crate::limits;
use crate::rdb;
use crate::stream_id::StreamId;

const DATA: ColumnFamily = ColumnFamily::Data;

fn read<T>(
    txn: &Txn<'_>,
    key: &[u8],
    decode: impl FnOnce(&Bytes) -> std::result::Result<T, Malformed>,
) -> Result<Option<T>> {
    txn.look_up(DATA, key)?.map(|value| decode(&value).map_err(malformed)).transpose()
}

fn read_groups(keyspace: &Keyspace<'_>, object: ObjectId) -> Result<Groups> {
    Ok(read(keyspace.txn(), &layout::groups(object), |value| Groups::decode(value))?.unwrap_or_default())
}

fn put_groups(keyspace: &mut Keyspace<'_>, object: ObjectId, groups: Groups) {
    keyspace.txn_mut().put(DATA, layout::groups(object), groups.encode());
}

/// How many groups a stream has.
pub fn count(keyspace: &Keyspace<'_>, stream: &Stream) -> Result<u64> {
    Ok(read_groups(keyspace, stream.object)?.count)
}

/// Visits the groups by name.
pub fn for_each(
    keyspace: &Keyspace<'_>,
    stream: &Stream,
    mut visit: impl FnMut(OpenGroup) -> Result<()>,
) -> Result<()> {
    let object = stream.object;
    let (lower, upper) = layout::all_groups(object);
    let mut cursor = keyspace.txn().scan(DATA, lower, Some(upper), Direction::Forward)?;
    while let Some((key, value)) = cursor.next()? {
        let name = Bytes::copy_from_slice(layout::parse_group(key).map_err(malformed)?);
        let group = Group::decode(value).map_err(malformed)?;
        visit(OpenGroup::of(object, name, group))?;
    }
    Ok(())
}

/// XGROUP CREATE. Returns whether there was none of that name.
pub fn create(
    keyspace: &mut Keyspace<'_>,
    stream: &Stream,
    name: &[u8],
    last: StreamId,
    read: Option<u64>,
) -> Result<bool> {
    let key = layout::group(stream.object, name);
    if keyspace.txn_mut().get(DATA, &key)?.is_some() {
        return Ok(false);
    }
    let groups = read_groups(keyspace, stream.object)?;
    let group = Group { number: groups.next, last, read, ..Group::default() };
    keyspace.txn_mut().put(DATA, key, group.encode());
    put_groups(keyspace, stream.object, Groups { count: groups.count + 1, next: groups.next + 1 });
    Ok(true)
}

/// XGROUP DESTROY. Returns whether there was one. What it leaves that is too much for one step goes with later changes.
pub fn destroy(keyspace: &mut Keyspace<'_>, editor: &mut Editor, name: &[u8]) -> Result<Option<Swept>> {
    let Some(open) = OpenGroup::find(keyspace, editor.stream(), name)? else { return Ok(None) };
    let (object, number) = (open.object, open.group.number);
    keyspace.txn_mut().delete(DATA, layout::group(object, name));
    let groups = read_groups(keyspace, object)?;
    put_groups(keyspace, object, Groups { count: groups.count.saturating_sub(1), ..groups });
    let next = sweep_group(keyspace, object, number, &Bytes::new(), limits::STREAM_SWEEP_ENTRIES)?;
    let Some(next) = next else { return Ok(Some(Swept::All)) };
    keyspace.txn_mut().put(DATA, layout::dead_group(object, number), next);
    editor.note_dead_group();
    Ok(Some(Swept::Some))
}

/// How much of what was to be deleted is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swept {
    All,
    Some,
}

/// Deletes some of what a destroyed group has left. Returns whether that was all.
pub(super) fn sweep(keyspace: &mut Keyspace<'_>, object: ObjectId, most: usize) -> Result<bool> {
    let (lower, upper) = layout::dead_groups(object);
    let mut cursor = keyspace.txn().scan(DATA, lower, Some(upper), Direction::Forward)?;
    let (key, from) = cursor.next()?.ok_or_else(corrupt)?;
    let number = layout::parse_dead_group(key).map_err(malformed)?;
    let (key, from) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(from));
    drop(cursor);
    let next = sweep_group(keyspace, object, number, &from, most)?;
    let is_done = next.is_none();
    match next {
        Some(next) => keyspace.txn_mut().put(DATA, key, next),
        None => keyspace.txn_mut().delete(DATA, key),
    }
    Ok(is_done)
}

/// Deletes what lies under a group's number from a key on. Returns where to go on, if that was not all.
fn sweep_group(
    keyspace: &mut Keyspace<'_>,
    object: ObjectId,
    number: u64,
    from: &Bytes,
    most: usize,
) -> Result<Option<Bytes>> {
    let mut left = most;
    for (lower, upper) in layout::of_group(object, number) {
        if upper <= *from {
            continue;
        }
        let deleted = delete_some(keyspace, (lower.max(from.clone()), upper), left)?;
        left -= deleted.len();
        if left == 0 {
            return Ok(deleted.last().cloned());
        }
    }
    Ok(None)
}

/// A group that is looked at or changed; changes are stored with [`OpenGroup::finish`].
#[derive(Clone, Debug)]
pub struct OpenGroup {
    object: ObjectId,
    name: Bytes,
    group: Group,
    /// Those that were changed, by number.
    consumers: BTreeMap<u64, Consumer>,
    changed: bool,
    /// The lowest id that was pending is not any more.
    lowest_is_gone: bool,
}

impl OpenGroup {
    pub fn find(keyspace: &Keyspace<'_>, stream: &Stream, name: &[u8]) -> Result<Option<OpenGroup>> {
        let object = stream.object;
        let group = read(keyspace.txn(), &layout::group(object, name), |value| Group::decode(value))?;
        let name = Bytes::copy_from_slice(name);
        Ok(group.map(|group| OpenGroup::of(object, name, group)))
    }

    fn of(object: ObjectId, name: Bytes, group: Group) -> OpenGroup {
        OpenGroup { object, name, group, consumers: BTreeMap::new(), changed: false, lowest_is_gone: false }
    }

    pub fn name(&self) -> &Bytes {
        &self.name
    }

    /// As it is stored; what is being changed shows when that is finished.
    pub fn group(&self) -> &Group {
        &self.group
    }

    pub fn set_last(&mut self, last: StreamId) {
        self.group.last = last;
        self.changed = true;
    }

    pub fn set_read(&mut self, read: Option<u64>) {
        self.group.read = read;
        self.changed = true;
    }

    // ---- Consumers --------------------------------------------------------------------------------------------------

    /// The number of the consumer called `name`.
    pub fn consumer(&self, keyspace: &Keyspace<'_>, name: &[u8]) -> Result<Option<u64>> {
        let key = layout::consumer_name(self.object, self.group.number, name);
        read(keyspace.txn(), &key, |value| layout::decode_number(value))
    }

    /// The consumer of a number that there is.
    pub fn consumer_at(&self, keyspace: &Keyspace<'_>, number: u64) -> Result<Consumer> {
        if let Some(changed) = self.consumers.get(&number) {
            return Ok(changed.clone());
        }
        let key = layout::consumer(self.object, self.group.number, number);
        read(keyspace.txn(), &key, Consumer::decode)?.ok_or_else(corrupt)
    }

    /// Visits the consumers by name.
    pub fn for_each_consumer(
        &self,
        keyspace: &Keyspace<'_>,
        mut visit: impl FnMut(u64, Consumer) -> Result<()>,
    ) -> Result<()> {
        let (lower, upper) = layout::consumer_names(self.object, self.group.number);
        let mut cursor = keyspace.txn().scan(DATA, lower, Some(upper), Direction::Forward)?;
        while let Some((_, value)) = cursor.next()? {
            let number = layout::decode_number(value).map_err(malformed)?;
            visit(number, self.consumer_at(keyspace, number)?)?;
        }
        Ok(())
    }

    /// Makes a consumer of a name that there is not.
    fn add_consumer(&mut self, keyspace: &mut Keyspace<'_>, name: &Bytes, seen_ms: u64) -> u64 {
        let number = self.group.next_consumer;
        self.group.next_consumer += 1;
        self.group.consumers += 1;
        self.changed = true;
        let key = layout::consumer_name(self.object, self.group.number, name);
        keyspace.txn_mut().put(DATA, key, layout::encode_number(number));
        self.consumers.insert(number, Consumer { seen_ms, pending: 0, name: name.clone() });
        number
    }

    /// XGROUP CREATECONSUMER. Returns whether there was none of that name.
    pub fn create_consumer(&mut self, keyspace: &mut Keyspace<'_>, name: &Bytes) -> Result<bool> {
        let is_new = self.consumer(keyspace, name)?.is_none();
        if is_new {
            let now_ms = keyspace.now_ms();
            self.add_consumer(keyspace, name, now_ms);
        }
        Ok(is_new)
    }

    /// The consumer called `name`, who does something now. Returns its number, and whether it was made for that.
    pub fn see_consumer(&mut self, keyspace: &mut Keyspace<'_>, name: &Bytes) -> Result<(u64, bool)> {
        let now_ms = keyspace.now_ms();
        match self.consumer(keyspace, name)? {
            Some(number) => {
                self.change_consumer(keyspace, number, |consumer| consumer.seen_ms = now_ms)?;
                Ok((number, false))
            }
            None => Ok((self.add_consumer(keyspace, name, now_ms), true)),
        }
    }

    fn change_consumer(
        &mut self,
        keyspace: &Keyspace<'_>,
        number: u64,
        change: impl FnOnce(&mut Consumer),
    ) -> Result<()> {
        if !self.consumers.contains_key(&number) {
            let consumer = self.consumer_at(keyspace, number)?;
            self.consumers.insert(number, consumer);
        }
        change(self.consumers.get_mut(&number).ok_or_else(corrupt)?);
        Ok(())
    }

    /// XGROUP DELCONSUMER. Returns how much it had pending, which nobody has then; `None`: there is no such consumer.
    pub fn delete_consumer(&mut self, keyspace: &mut Keyspace<'_>, name: &[u8]) -> Result<Option<u64>> {
        let Some(number) = self.consumer(keyspace, name)? else { return Ok(None) };
        let (object, group) = (self.object, self.group.number);
        let (mut removed, mut from) = (0, Some(self.group.pending_from));
        while let Some(lower) = from {
            let owned = layout::all_owned(object, group, number, lower, StreamId::MAX);
            let keys = delete_some(keyspace, owned, limits::STREAM_SWEEP_ENTRIES)?;
            let mut last = None;
            for key in &keys {
                let id = layout::parse_id(key).map_err(malformed)?;
                keyspace.txn_mut().delete(DATA, layout::pending(object, group, id));
                last = Some(id);
            }
            removed += keys.len() as u64;
            from = last.and_then(StreamId::next);
        }
        keyspace.txn_mut().delete(DATA, layout::consumer_name(object, group, name));
        keyspace.txn_mut().delete(DATA, layout::consumer(object, group, number));
        self.consumers.remove(&number);
        self.group.pending = self.group.pending.checked_sub(removed).ok_or_else(corrupt)?;
        self.group.consumers = self.group.consumers.checked_sub(1).ok_or_else(corrupt)?;
        self.changed = true;
        Ok(Some(removed))
    }

    // ---- What is pending --------------------------------------------------------------------------------------------

    pub fn pending(&self, keyspace: &Keyspace<'_>, id: StreamId) -> Result<Option<Pending>> {
        read(keyspace.txn(), &layout::pending(self.object, self.group.number, id), |value| Pending::decode(value))
    }

    /// Visits what is pending from `from` to `to`, both included, until `visit` breaks: of one consumer, or of all.
    pub fn walk(
        &self,
        keyspace: &Keyspace<'_>,
        consumer: Option<u64>,
        (from, to): (StreamId, StreamId),
        direction: Direction,
        mut visit: impl FnMut(StreamId, Pending) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let (object, group) = (self.object, self.group.number);
        // What lies before were the remains of what was acknowledged.
        let from = from.max(self.group.pending_from);
        if from > to || self.group.pending == 0 {
            return Ok(());
        }
        let (lower, upper) = match consumer {
            Some(consumer) => layout::all_owned(object, group, consumer, from, to),
            None => layout::all_pending(object, group, from, to),
        };
        let mut cursor = keyspace.txn().scan(DATA, lower, Some(upper), direction)?;
        let mut visited = 0;
        while let Some((key, value)) = cursor.next()? {
            visited += 1;
            if visited > limits::SHORT_WALK_ELEMENTS {
                keyspace.txn().check_may_take_long()?;
            }
            let id = layout::parse_id(key).map_err(malformed)?;
            let pending = match consumer {
                Some(_) => self.pending(keyspace, id)?.ok_or_else(corrupt)?,
                None => Pending::decode(value).map_err(malformed)?,
            };
            if visit(id, pending)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The lowest and the highest id that is pending.
    pub fn edges(&self, keyspace: &Keyspace<'_>) -> Result<Option<(StreamId, StreamId)>> {
        Ok(self.edge(keyspace, Direction::Forward)?.zip(self.edge(keyspace, Direction::Backward)?))
    }

    fn edge(&self, keyspace: &Keyspace<'_>, direction: Direction) -> Result<Option<StreamId>> {
        let mut found = None;
        self.walk(keyspace, None, (StreamId::MIN, StreamId::MAX), direction, |id, _| {
            found = Some(id);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// `id` is pending from now on, or in another way; `before` is how it was.
    pub fn put_pending(
        &mut self,
        keyspace: &mut Keyspace<'_>,
        id: StreamId,
        before: Option<&Pending>,
        pending: &Pending,
    ) -> Result<()> {
        let (object, group) = (self.object, self.group.number);
        keyspace.txn_mut().put(DATA, layout::pending(object, group, id), pending.encode());
        if before.is_some_and(|before| before.consumer == pending.consumer) {
            return Ok(());
        }
        match before {
            Some(before) => self.disown(keyspace, id, before.consumer)?,
            None => {
                let lowest = if self.group.pending == 0 { StreamId::MAX } else { self.group.pending_from };
                self.group.pending_from = lowest.min(id);
                self.group.pending += 1;
            }
        }
        self.changed = true;
        keyspace.txn_mut().put(DATA, layout::owned(object, group, pending.consumer, id), Bytes::new());
        self.change_consumer(keyspace, pending.consumer, |consumer| consumer.pending += 1)
    }

    /// `id` is pending no more.
    pub fn remove_pending(&mut self, keyspace: &mut Keyspace<'_>, id: StreamId, pending: &Pending) -> Result<()> {
        keyspace.txn_mut().delete(DATA, layout::pending(self.object, self.group.number, id));
        self.group.pending = self.group.pending.checked_sub(1).ok_or_else(corrupt)?;
        self.lowest_is_gone |= id == self.group.pending_from;
        self.changed = true;
        self.disown(keyspace, id, pending.consumer)
    }

    fn disown(&mut self, keyspace: &mut Keyspace<'_>, id: StreamId, consumer: u64) -> Result<()> {
        keyspace.txn_mut().delete(DATA, layout::owned(self.object, self.group.number, consumer, id));
        self.change_consumer(keyspace, consumer, |consumer| consumer.pending = consumer.pending.saturating_sub(1))
    }

    /// Stores what was changed.
    pub fn finish(mut self, keyspace: &mut Keyspace<'_>) -> Result<()> {
        if self.lowest_is_gone {
            self.group.pending_from = self.edge(keyspace, Direction::Forward)?.unwrap_or(StreamId::MAX);
        }
        if self.changed {
            keyspace.txn_mut().put(DATA, layout::group(self.object, &self.name), self.group.encode());
        }
        for (number, consumer) in self.consumers {
            let key = layout::consumer(self.object, self.group.number, number);
            keyspace.txn_mut().put(DATA, key, consumer.encode());
        }
        Ok(())
    }
}

// ---- Whole ------------------------------------------------------------------------------------------------------------

/// All groups, in RDB's form.
pub(super) fn dump(keyspace: &Keyspace<'_>, stream: &Stream) -> Result<Vec<rdb::StreamGroup>> {
    let all = (StreamId::MIN, StreamId::MAX);
    let mut dumped = Vec::new();
    for_each(keyspace, stream, |open| {
        let Group { last, read, .. } = open.group;
        let mut group = rdb::StreamGroup { name: open.name.clone(), last, read, ..Default::default() };
        let mut by_consumer: BTreeMap<u64, Vec<StreamId>> = BTreeMap::new();
        open.walk(keyspace, None, all, Direction::Forward, |id, pending| {
            let Pending { consumer, delivered_ms, deliveries } = pending;
            group.pending.push(rdb::StreamPending { id, delivered_ms, deliveries });
            by_consumer.entry(consumer).or_default().push(id);
            Ok(ControlFlow::Continue(()))
        })?;
        open.for_each_consumer(keyspace, |number, Consumer { seen_ms, name, .. }| {
            let pending = by_consumer.remove(&number).unwrap_or_default();
            group.consumers.push(rdb::StreamConsumer { name, seen_ms, pending });
            Ok(())
        })?;
        dumped.push(group);
        Ok(())
    })?;
    Ok(dumped)
}

/// Stores the groups of a stream that has none.
pub(super) fn restore(keyspace: &mut Keyspace<'_>, object: ObjectId, dumped: Vec<rdb::StreamGroup>) {
    let count = dumped.len() as u64;
    for (number, group) in (0..).zip(dumped) {
        let mut owners = BTreeMap::new();
        let consumers = group.consumers.len() as u64;
        for (consumer, rdb::StreamConsumer { name, seen_ms, pending }) in (0..).zip(group.consumers) {
            for id in &pending {
                owners.insert(*id, consumer);
                keyspace.txn_mut().put(DATA, layout::owned(object, number, consumer, *id), Bytes::new());
            }
            let name_key = layout::consumer_name(object, number, &name);
            keyspace.txn_mut().put(DATA, name_key, layout::encode_number(consumer));
            let pending = pending.len() as u64;
            let value = Consumer { seen_ms, pending, name }.encode();
            keyspace.txn_mut().put(DATA, layout::consumer(object, number, consumer), value);
        }
        let ids: BTreeSet<StreamId> = group.pending.iter().map(|pending| pending.id).collect();
        debug_assert!(ids.iter().all(|id| owners.contains_key(id)), "invariant: a dump's pending entries have owners");
        for rdb::StreamPending { id, delivered_ms, deliveries } in group.pending {
            let pending = Pending { consumer: owners.get(&id).copied().unwrap_or(0), delivered_ms, deliveries };
            keyspace.txn_mut().put(DATA, layout::pending(object, number, id), pending.encode());
        }
        let (pending, pending_from) = (ids.len() as u64, ids.first().copied().unwrap_or(StreamId::MAX));
        let (last, read, next_consumer) = (group.last, group.read, consumers);
        let value = Group { number, last, read, pending, pending_from, consumers, next_consumer }.encode();
        keyspace.txn_mut().put(DATA, layout::group(object, &group.name), value);
    }
    if count > 0 {
        put_groups(keyspace, object, Groups { count, next: count });
    }
}
