//! Lists. A small one lies within its key's record, its elements in order. Once it has grown too large for that, each
//! element is an entry of its own under an object id, for good: entries are numbered without gaps, and the record holds
//! the first number and the one behind the last.
//!
//! It must never look for an element in any other way than by its number, nor from before the first one: a queue leaves
//! a trail of deleted entries there that only compaction clears away.

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};

use bytes::{Buf, BufMut, Bytes, BytesMut};

pub use crate::engine::Direction;
use crate::engine::{ColumnFamily, EngineError};
use crate::keyspace::{CommandError, Entry, EventClass, Keyspace, Record, TxnError, Type};
use crate::layout::{Malformed, ObjectId, data, inline};
use crate::limits;

type Result<T> = std::result::Result<T, CommandError>;

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Left,
    Right,
}

impl End {
    /// What a keyspace notification calls a push to this end.
    fn pushed(self) -> &'static str {
        match self {
            End::Left => "lpush",
            End::Right => "rpush",
        }
    }

    fn popped(self) -> &'static str {
        match self {
            End::Left => "lpop",
            End::Right => "rpop",
        }
    }
}

// ---- What commands do, blocking ones included ---------------------------------------------------------------------------

/// Pushes elements one after the other. Returns the length of the list; 0 if it had to exist and did not.
pub fn push(keyspace: &mut Keyspace<'_>, key: &Bytes, end: End, elements: &[Bytes], must_exist: bool) -> Result<u64> {
    let mut editor = Editor::open(keyspace, key)?;
    if must_exist && !editor.exists() {
        return Ok(0);
    }
    for element in elements {
        editor.push(keyspace, end, element.clone())?;
    }
    let len = editor.list().len();
    editor.finish(keyspace)?;
    keyspace.notify(EventClass::List, end.pushed(), key);
    Ok(len)
}

/// Pops up to `count` elements, the outermost first. `None`: there is no list.
pub fn pop(keyspace: &mut Keyspace<'_>, key: &Bytes, end: End, count: u64) -> Result<Option<Vec<Bytes>>> {
    let mut editor = Editor::open(keyspace, key)?;
    if !editor.exists() {
        return Ok(None);
    }
    let popped = editor.pop(keyspace, end, count)?;
    let emptied = editor.finish(keyspace)?;
    if !popped.is_empty() {
        notify_removal(keyspace, end.popped(), key, emptied);
    }
    Ok(Some(popped))
}

/// Says that elements were removed, and that the list is gone if that emptied it.
pub fn notify_removal(keyspace: &mut Keyspace<'_>, event: &'static str, key: &Bytes, emptied: bool) {
    keyspace.notify(EventClass::List, event, key);
    if emptied {
        keyspace.notify(EventClass::Generic, "del", key);
    }
}

/// Pops an element from one list and pushes it to another, or to the same. `None`: there is no source, and nothing
/// happened.
pub fn move_element(
    keyspace: &mut Keyspace<'_>,
    source: &Bytes,
    destination: &Bytes,
    from: End,
    to: End,
) -> Result<Option<Bytes>> {
    let mut taken = Editor::open(keyspace, source)?;
    if !taken.exists() {
        return Ok(None);
    }
    let mut given = match source == destination {
        true => None,
        // Looked up before anything is changed: it may be of another type.
        false => Some(Editor::open(keyspace, destination)?),
    };
    let Some(element) = taken.pop(keyspace, from, 1)?.pop() else { return Ok(None) };
    given.as_mut().unwrap_or(&mut taken).push(keyspace, to, element.clone())?;
    let emptied = taken.finish(keyspace)?;
    if let Some(given) = given {
        given.finish(keyspace)?;
    }
    keyspace.notify(EventClass::List, to.pushed(), destination);
    notify_removal(keyspace, from.popped(), source, emptied);
    Ok(Some(element))
}

/// The elements that `start` and `stop`, both included and from the end where negative, mean in a list of `len`.
pub fn range(len: u64, start: i64, stop: i64) -> Range<u64> {
    let position = |index: i64| match u64::try_from(index) {
        Ok(from_start) => Some(from_start),
        Err(_) => len.checked_sub(index.unsigned_abs()),
    };
    let start = position(start).unwrap_or(0);
    // One that lies before the first element ends in front of it.
    let end = position(stop).map_or(0, |stop| stop.saturating_add(1).min(len));
    if start < end { start..end } else { 0..0 }
}

/// The element that `index`, from the end where negative, means in a list of `len`.
pub fn position(len: u64, index: i64) -> Option<u64> {
    match u64::try_from(index) {
        Ok(from_start) => Some(from_start).filter(|at| *at < len),
        Err(_) => len.checked_sub(index.unsigned_abs()),
    }
}

// ---- Reading ------------------------------------------------------------------------------------------------------------

/// A list as its record tells of it. To change it, see [`Editor`].
#[derive(Clone, Debug)]
pub struct List(Store);

#[derive(Clone, Debug)]
enum Store {
    /// The elements, and the body's bytes.
    Inline(VecDeque<Bytes>, usize),
    /// The numbers of its entries.
    External(ObjectId, Range<u64>),
}

impl List {
    fn empty() -> List {
        List(Store::Inline(VecDeque::new(), 0))
    }

    /// The list of a record.
    pub fn of(record: &Record) -> Result<List> {
        if let Some(object) = record.object {
            let mut body = &record.body[..];
            if body.len() != 16 {
                return Err(corrupt());
            }
            return Ok(List(Store::External(object, body.get_u64()..body.get_u64())));
        }
        let mut parts = inline::Parts::of(&record.body);
        let mut elements = VecDeque::new();
        while let Some(element) = parts.next_bytes().map_err(malformed)? {
            elements.push_back(element);
        }
        Ok(List(Store::Inline(elements, record.body.len())))
    }

    /// Looks a list up for reading.
    pub fn read(keyspace: &mut Keyspace<'_>, key: &[u8]) -> Result<Option<List>> {
        keyspace.get_typed(key, Type::List)?.map(|record| List::of(&record)).transpose()
    }

    /// The record that holds or leads to the elements; it does not expire.
    fn record(&self) -> Record {
        match &self.0 {
            Store::Inline(elements, size) => {
                let mut body = BytesMut::with_capacity(*size);
                elements.iter().for_each(|element| inline::push(&mut body, element));
                Record::new(Type::List, body.freeze())
            }
            Store::External(object, numbers) => {
                let mut body = BytesMut::with_capacity(16);
                body.put_u64(numbers.start);
                body.put_u64(numbers.end);
                Record { object: Some(*object), ..Record::new(Type::List, body.freeze()) }
            }
        }
    }

    pub fn len(&self) -> u64 {
        match &self.0 {
            Store::Inline(elements, _) => elements.len() as u64,
            Store::External(_, numbers) => numbers.end.saturating_sub(numbers.start),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at `index`, counted from the left.
    pub fn get(&self, keyspace: &mut Keyspace<'_>, index: u64) -> Result<Option<Bytes>> {
        if index >= self.len() {
            return Ok(None);
        }
        match &self.0 {
            Store::Inline(elements, _) => Ok(elements.get(index as usize).cloned()),
            Store::External(object, numbers) => {
                let key = data::index(*object, numbers.start + index);
                let element = keyspace.txn_mut().get(ColumnFamily::Data, &key)?;
                element.map(Some).ok_or_else(corrupt)
            }
        }
    }

    /// The keys of all its entries, as a range; none of a small list.
    pub(super) fn entries(&self) -> (Bytes, Bytes) {
        match &self.0 {
            Store::Inline(..) => (Bytes::new(), Bytes::new()),
            Store::External(object, numbers) => {
                (data::index(*object, numbers.start), data::index(*object, numbers.end))
            }
        }
    }

    /// Visits the elements of a range, which lies within the list, until `visit` breaks; with their indexes.
    pub fn walk(
        &self,
        keyspace: &Keyspace<'_>,
        range: Range<u64>,
        direction: Direction,
        mut visit: impl FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> Result<()> {
        let (object, numbers) = match &self.0 {
            Store::External(object, numbers) => (*object, numbers),
            Store::Inline(elements, _) => {
                let mut walk = |index: u64| visit(index, &elements[index as usize]);
                // Broken off or not: there is no more to do.
                let _ = match direction {
                    Direction::Forward => range.into_iter().try_for_each(&mut walk),
                    Direction::Backward => range.into_iter().rev().try_for_each(&mut walk),
                };
                return Ok(());
            }
        };
        let mut left = range.end.saturating_sub(range.start);
        if left == 0 {
            // A push at an end moves nothing: it must not pay for a search.
            return Ok(());
        }
        if left > limits::SHORT_WALK_ELEMENTS {
            keyspace.txn().check_may_take_long()?;
        }
        let key = |index: u64| data::index(object, numbers.start + index);
        let (lower, upper) = (key(range.start), key(range.end));
        let mut cursor = keyspace.txn().scan(ColumnFamily::Data, lower, Some(upper), direction)?;
        while let Some((key, element)) = cursor.next()? {
            let number = data::parse_index(key).map_err(malformed)?;
            left = left.checked_sub(1).ok_or_else(corrupt)?;
            if visit(number.wrapping_sub(numbers.start), element).is_break() {
                return Ok(());
            }
        }
        if left == 0 { Ok(()) } else { Err(corrupt()) }
    }

    /// The elements of a range, which lies within the list, in the direction given.
    pub fn take(&self, keyspace: &Keyspace<'_>, range: Range<u64>, direction: Direction) -> Result<Vec<Bytes>> {
        let mut elements = Vec::new();
        self.walk(keyspace, range, direction, |_, element| {
            elements.push(Bytes::copy_from_slice(element));
            ControlFlow::Continue(())
        })?;
        Ok(elements)
    }
}

fn corrupt() -> CommandError {
    EngineError::Corruption("a list on disk contradicts itself".into()).into()
}

fn malformed(error: Malformed) -> CommandError {
    TxnError::from(error).into()
}

// ---- Changing -----------------------------------------------------------------------------------------------------------

/// A list that is being changed: looked up, changed, and stored with [`Editor::finish`].
#[derive(Debug)]
pub struct Editor {
    entry: Entry,
    list: List,
    changed: bool,
    /// It takes the place of whatever was there, and does not expire.
    fresh: bool,
}

impl Editor {
    /// Looks a list up, to change it; it may not be there yet.
    pub fn open(keyspace: &mut Keyspace<'_>, key: &Bytes) -> Result<Editor> {
        let entry = keyspace.entry_typed(key, Type::List)?;
        let list = entry.record().map_or_else(|| Ok(List::empty()), List::of)?;
        Ok(Editor { entry, list, changed: false, fresh: false })
    }

    /// An empty list that is to take the place of whatever is at `key`.
    pub fn replace(keyspace: &mut Keyspace<'_>, key: &Bytes) -> Result<Editor> {
        Ok(Editor { entry: keyspace.entry(key)?, list: List::empty(), changed: true, fresh: true })
    }

    /// Whether the list was there.
    pub fn exists(&self) -> bool {
        self.entry.exists()
    }

    pub fn list(&self) -> &List {
        &self.list
    }

    pub fn push(&mut self, keyspace: &mut Keyspace<'_>, end: End, element: Bytes) -> Result<()> {
        let at = match end {
            End::Left => 0,
            End::Right => self.list.len(),
        };
        self.insert(keyspace, at, element)
    }

    /// Pops up to `count` elements, the outermost first.
    pub fn pop(&mut self, keyspace: &mut Keyspace<'_>, end: End, count: u64) -> Result<Vec<Bytes>> {
        let len = self.list.len();
        let count = count.min(len);
        if count == 0 {
            return Ok(Vec::new());
        }
        let (popped, direction, kept) = match end {
            End::Left => (0..count, Direction::Forward, count..len),
            End::Right => (len - count..len, Direction::Backward, 0..len - count),
        };
        let elements = match count {
            // Its number is known: no need to search.
            1 => self.list.get(keyspace, popped.start)?.into_iter().collect(),
            _ => self.list.take(keyspace, popped, direction)?,
        };
        self.trim(keyspace, kept)?;
        Ok(elements)
    }

    /// Replaces the element at `index`, which there is.
    pub fn set(&mut self, keyspace: &mut Keyspace<'_>, index: u64, element: Bytes) -> Result<()> {
        self.changed = true;
        match &mut self.list.0 {
            Store::Inline(elements, size) => {
                *size = *size - inline::size(elements[index as usize].len()) + inline::size(element.len());
                elements[index as usize] = element;
                self.externalize_if_large(keyspace)
            }
            Store::External(object, numbers) => {
                let key = data::index(*object, numbers.start + index);
                keyspace.txn_mut().put(ColumnFamily::Data, key, element);
                Ok(())
            }
        }
    }

    /// Puts an element in front of the one at `index`, or at the end. The shorter side moves.
    pub fn insert(&mut self, keyspace: &mut Keyspace<'_>, index: u64, element: Bytes) -> Result<()> {
        self.changed = true;
        let len = self.list.len();
        match &mut self.list.0 {
            Store::Inline(elements, size) => {
                *size += inline::size(element.len());
                elements.insert(index as usize, element);
                self.externalize_if_large(keyspace)
            }
            Store::External(object, numbers) => {
                let object = *object;
                let number = if index < len - index {
                    let first = numbers.start.checked_sub(1).ok_or(CommandError::Internal)?;
                    let moved = self.list.take(keyspace, 0..index, Direction::Forward)?;
                    write(keyspace, object, first, moved);
                    self.list.0 = Store::External(object, first..first + 1 + len);
                    first + index
                } else {
                    let (first, number) = (numbers.start, numbers.start + index);
                    numbers.end.checked_add(1).ok_or(CommandError::Internal)?;
                    let moved = self.list.take(keyspace, index..len, Direction::Forward)?;
                    write(keyspace, object, number + 1, moved);
                    self.list.0 = Store::External(object, first..first + len + 1);
                    number
                };
                write(keyspace, object, number, [element]);
                Ok(())
            }
        }
    }

    /// Removes the elements at `indexes`, which rise. Whichever side of them is shorter moves.
    pub fn remove(&mut self, keyspace: &mut Keyspace<'_>, indexes: &[u64]) -> Result<()> {
        let (Some(&first), Some(&last)) = (indexes.first(), indexes.last()) else { return Ok(()) };
        self.changed = true;
        let (len, count) = (self.list.len(), indexes.len() as u64);
        let (object, numbers) = match &mut self.list.0 {
            Store::Inline(elements, size) => {
                for &index in indexes.iter().rev() {
                    let removed = elements.remove(index as usize).ok_or_else(corrupt)?;
                    *size -= inline::size(removed.len());
                }
                return Ok(());
            }
            Store::External(object, numbers) => (*object, numbers.clone()),
        };
        // What remains between the outermost removed elements moves with the side that moves.
        let from_left = last + 1 < len - first;
        let range = if from_left { 0..last + 1 } else { first..len };
        let mut moved = Vec::new();
        let mut next = indexes.iter().copied().peekable();
        self.list.walk(keyspace, range.clone(), Direction::Forward, |index, element| {
            if next.next_if_eq(&index).is_none() {
                moved.push(Bytes::copy_from_slice(element));
            }
            ControlFlow::Continue(())
        })?;
        if from_left {
            write(keyspace, object, numbers.start + count, moved);
            self.trim(keyspace, count..len)
        } else {
            write(keyspace, object, numbers.start + range.start, moved);
            self.trim(keyspace, 0..len - count)
        }
    }

    /// Removes all elements but those of `kept`. It counts as a change even if there are no others.
    pub fn trim(&mut self, keyspace: &mut Keyspace<'_>, kept: Range<u64>) -> Result<()> {
        let len = self.list.len();
        self.changed = true;
        let (kept_len, removed_len) = (kept.end - kept.start, len - (kept.end - kept.start));
        match &mut self.list.0 {
            Store::Inline(elements, size) => {
                elements.truncate(kept.end as usize);
                elements.drain(..kept.start as usize);
                *size = elements.iter().map(|element| inline::size(element.len())).sum();
            }
            // Less work than to delete the others: they go with their object.
            Store::External(..) if kept_len < removed_len => {
                let kept = self.list.take(keyspace, kept, Direction::Forward)?;
                self.list = List::empty();
                for element in kept {
                    self.push(keyspace, End::Right, element)?;
                }
            }
            Store::External(object, numbers) => {
                let start = numbers.start;
                for index in (0..kept.start).chain(kept.end..len) {
                    keyspace.txn_mut().delete(ColumnFamily::Data, data::index(*object, start + index));
                }
                *numbers = start + kept.start..start + kept.end;
            }
        }
        Ok(())
    }

    /// Gives each element an entry of its own, if that is due. There is no way back: a list that grew once may well do
    /// so again.
    fn externalize_if_large(&mut self, keyspace: &mut Keyspace<'_>) -> Result<()> {
        let Store::Inline(elements, size) = &mut self.list.0 else { return Ok(()) };
        if *size <= limits::COLLECTION_INLINE_BYTES_MAX && elements.len() <= limits::COLLECTION_INLINE_ELEMENTS_MAX {
            return Ok(());
        }
        let elements = std::mem::take(elements);
        let object = keyspace.new_object(&self.entry)?;
        let numbers = data::LIST_ORIGIN..data::LIST_ORIGIN + elements.len() as u64;
        write(keyspace, object, numbers.start, elements);
        self.list.0 = Store::External(object, numbers);
        Ok(())
    }

    /// Stores what was changed. An empty list is no key; returns whether there was one that now is gone for that.
    pub fn finish(mut self, keyspace: &mut Keyspace<'_>) -> Result<bool> {
        if !self.changed {
            return Ok(false);
        }
        if self.list.is_empty() {
            return keyspace.remove(&mut self.entry);
        }
        if self.fresh {
            keyspace.put(&mut self.entry, self.list.record())?;
        } else {
            keyspace.put_keeping_ttl(&mut self.entry, self.list.record())?;
        }
        Ok(false)
    }
}

/// Stores elements as the entries numbered `first` and on.
fn write(keyspace: &mut Keyspace<'_>, object: ObjectId, first: u64, elements: impl IntoIterator<Item = Bytes>) {
    for (number, element) in (first..).zip(elements) {
        keyspace.txn_mut().put(ColumnFamily::Data, data::index(object, number), element);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::memory::{MemoryDisk, MemoryEngine};
    use crate::engine::{Engine, WriteOptions, thread};
    use crate::keyspace::{DatabaseMap, Txn, ValueLimits};
    use proptest::prelude::*;
    use std::sync::Arc;

    const KEY: Bytes = Bytes::from_static(b"list");

    #[derive(Clone, Debug)]
    enum Change {
        Push(End, Vec<Bytes>),
        Pop(End, u64),
        Move(End, End),
        Set(u64, Bytes),
        Insert(u64, Bytes),
        Remove(Vec<u64>),
        Trim(u64, u64),
    }

    fn end() -> impl Strategy<Value = End> {
        prop_oneof![Just(End::Left), Just(End::Right)]
    }

    /// Some so long that four of them do not fit into a record.
    fn element() -> impl Strategy<Value = Bytes> {
        prop_oneof![Just(0usize), Just(1), Just(300)]
            .prop_flat_map(|len| any::<u8>().prop_map(move |byte| vec![byte; len].into()))
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            3 => (end(), prop::collection::vec(element(), 1..8)).prop_map(|(end, new)| Change::Push(end, new)),
            2 => (end(), 0u64..6).prop_map(|(end, count)| Change::Pop(end, count)),
            1 => (end(), end()).prop_map(|(from, to)| Change::Move(from, to)),
            1 => (0u64..20, element()).prop_map(|(at, new)| Change::Set(at, new)),
            2 => (0u64..20, element()).prop_map(|(at, new)| Change::Insert(at, new)),
            2 => prop::collection::btree_set(0u64..20, 0..6).prop_map(|at| Change::Remove(at.into_iter().collect())),
            1 => (0u64..20, 0u64..20).prop_map(|(start, len)| Change::Trim(start, start + len)),
        ]
    }

    fn pop_model(model: &mut VecDeque<Bytes>, end: End) -> Option<Bytes> {
        match end {
            End::Left => model.pop_front(),
            End::Right => model.pop_back(),
        }
    }

    fn push_model(model: &mut VecDeque<Bytes>, end: End, element: Bytes) {
        match end {
            End::Left => model.push_front(element),
            End::Right => model.push_back(element),
        }
    }

    fn apply(keyspace: &mut Keyspace<'_>, model: &mut VecDeque<Bytes>, change: Change) {
        let len = model.len() as u64;
        let edit = |keyspace: &mut Keyspace<'_>, edit: &dyn Fn(&mut Editor, &mut Keyspace<'_>) -> Result<()>| {
            let mut editor = Editor::open(keyspace, &KEY).unwrap();
            edit(&mut editor, keyspace).unwrap();
            editor.finish(keyspace).unwrap();
        };
        match change {
            Change::Push(end, elements) => {
                let pushed = push(keyspace, &KEY, end, &elements, false).unwrap();
                elements.into_iter().for_each(|element| push_model(model, end, element));
                assert_eq!(pushed, model.len() as u64);
            }
            Change::Pop(end, count) => {
                let popped = pop(keyspace, &KEY, end, count).unwrap();
                let expected = (0..count).map_while(|_| pop_model(model, end)).collect();
                assert_eq!(popped, (len > 0).then_some(expected));
            }
            Change::Move(from, to) => {
                let moved = move_element(keyspace, &KEY, &KEY, from, to).unwrap();
                assert_eq!(moved, pop_model(model, from));
                moved.into_iter().for_each(|element| push_model(model, to, element));
            }
            Change::Set(at, element) if at < len => {
                edit(keyspace, &|editor, keyspace| editor.set(keyspace, at, element.clone()));
                model[at as usize] = element;
            }
            Change::Insert(at, element) => {
                let at = at.min(len);
                edit(keyspace, &|editor, keyspace| editor.insert(keyspace, at, element.clone()));
                model.insert(at as usize, element);
            }
            Change::Remove(mut at) => {
                at.retain(|at| *at < len);
                edit(keyspace, &|editor, keyspace| editor.remove(keyspace, &at));
                at.iter().rev().for_each(|at| drop(model.remove(*at as usize)));
            }
            Change::Trim(start, end) => {
                let kept = start.min(len)..end.min(len);
                edit(keyspace, &|editor, keyspace| editor.trim(keyspace, kept.clone()));
                model.truncate(kept.end as usize);
                model.drain(..kept.start as usize);
            }
            Change::Set(..) => {}
        }
    }

    fn compare(keyspace: &mut Keyspace<'_>, model: &VecDeque<Bytes>, probe: u64) {
        let Some(list) = List::read(keyspace, &KEY).unwrap() else { return assert!(model.is_empty()) };
        let len = list.len();
        assert_eq!(len, model.len() as u64);
        assert_eq!(*model, list.take(keyspace, 0..len, Direction::Forward).unwrap());
        assert_eq!(list.get(keyspace, probe).unwrap().as_ref(), model.get(probe as usize));
        let tail = probe.min(len)..len;
        let backward = model.iter().skip(tail.start as usize).rev().cloned().collect::<Vec<Bytes>>();
        assert_eq!(list.take(keyspace, tail, Direction::Backward).unwrap(), backward);
    }

    proptest! {
        #[test]
        fn a_list_is_a_row_of_elements_whatever_its_form(
            changes in prop::collection::vec((change(), 0u64..20, any::<bool>()), 0..30),
        ) {
            thread::mark_engine_thread();
            let engine = MemoryEngine::open(MemoryDisk::new()).unwrap();
            let databases = Arc::new(DatabaseMap::load(&*engine, 1).unwrap());
            let limits = ValueLimits::default;
            let mut model = VecDeque::new();
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
        }

        #[test]
        fn a_range_is_what_redis_cuts_out(len in 0u64..8, start in -12i64..12, stop in -12i64..12) {
            // addListRangeReply, in its own arithmetic.
            let size = len as i64;
            let from = if start < 0 { (size + start).max(0) } else { start };
            let to = if stop < 0 { size + stop } else { stop };
            let expected =
                if from > to || from >= size { 0..0 } else { from as u64..to.min(size - 1) as u64 + 1 };
            prop_assert_eq!(range(len, start, stop), expected);
        }
    }

    #[test]
    fn indexes_count_from_both_ends() {
        assert_eq!(position(3, 0), Some(0));
        assert_eq!(position(3, -3), Some(0));
        assert_eq!(position(3, 3), None);
        assert_eq!(position(3, -4), None);
        assert_eq!(position(3, i64::MIN), None);
        assert_eq!(range(3, i64::MIN, i64::MAX), 0..3);
        assert_eq!(range(3, i64::MAX, i64::MIN), 0..0);
    }
}
