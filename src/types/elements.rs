//! What hashes, sets and sorted sets have in common: elements that have a name, each with a value (a field's value,
//! nothing, a score).
//!
//! A small collection lies within its key's record, in the order in which clients see it: a hash's fields as they were
//! added, a sorted set's members by score. Once it has grown too large for that, each element is an entry of its own
//! under an object id, for good; then the order is that of the names' hashes, and a sorted set has a second index, by
//! score. Once much was removed from it, a large collection moves to another object, a few elements with each change.
//!
//! It must never read all of a large collection for the sake of a few elements.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

use super::edges::{Edges, End};

use crate::config::EncodingsConfig;
use crate::engine::{ColumnFamily, Direction, EngineError};
use crate::keyspace::txn::TxnCursor;
use crate::keyspace::{CommandError, Entry, EventClass, Keyspace, Record, TxnError, Type, typed};
use crate::layout::meta::Moving;
use crate::layout::score::Place;
use crate::layout::{Malformed, ObjectId, data, inline, score};
use crate::limits;
use crate::number;

pub(super) type Result<T> = std::result::Result<T, CommandError>;

/// Variant: Redis keeps it in its compact form (`listpack`, `intset`).
const COMPACT: u8 = 0;
/// Variant: Redis keeps it in the form that any size fits into, and goes on to even if it shrinks.
const LOOSE: u8 = 1;

/// Whether Redis keeps the collection in its compact form: what OBJECT ENCODING tells.
pub fn is_compact(record: &Record) -> bool {
    record.variant == COMPACT
}

/// A collection as its record tells of it. To change it, see [`Editor`].
#[derive(Clone, Debug)]
pub struct Elements {
    kind: Type,
    /// See [`LOOSE`].
    loose: bool,
    store: Store,
}

#[derive(Clone, Debug)]
enum Store {
    /// Names and values, in the order that clients see; the body's bytes.
    Inline(Vec<(Bytes, Bytes)>, usize),
    External {
        object: ObjectId,
        len: u64,
        trail: Trail,
        /// Its position is a name's hash: all elements whose hashes are lower are under the other object, too.
        moving: Option<Moving>,
    },
}

/// What the record of a large collection remembers of those that were removed: the engine keeps remains of each until a
/// compaction comes by, and whoever walks past them pays for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Trail {
    /// How many were removed since the collection was stored under this object, or all of it anew.
    removed: u32,
    /// Of a sorted set.
    edges: Edges,
}

/// An element and its value.
pub type Element = (Bytes, Bytes);

/// The value of a sorted set's member.
pub(super) fn encode_score(score: f64) -> Bytes {
    Bytes::copy_from_slice(&score.to_bits().to_be_bytes())
}

pub(super) fn decode_score(value: &[u8]) -> Result<f64> {
    let bits = value.try_into().map(u64::from_be_bytes).map_err(|_| corrupt())?;
    Ok(f64::from_bits(bits))
}

pub(super) fn corrupt() -> CommandError {
    EngineError::Corruption("a collection on disk contradicts itself".into()).into()
}

pub(super) fn malformed(error: Malformed) -> CommandError {
    TxnError::from(error).into()
}

impl Trail {
    /// A member was removed from its place: see [`Edges::remove`].
    fn note(&mut self, place: &Place, outermost: Option<End>) {
        self.removed = self.removed.saturating_add(1);
        self.edges.remove(place, outermost);
    }

    /// Nothing, as long as nothing was removed.
    fn encode(&self, body: &mut BytesMut, kind: Type) {
        if *self == Trail::default() {
            return;
        }
        body.put_u32(self.removed);
        if kind == Type::SortedSet {
            self.edges.encode(body);
        }
    }

    fn decode(mut body: Bytes, kind: Type) -> Option<Trail> {
        if body.is_empty() {
            return Some(Trail::default());
        }
        let removed = if body.len() >= 4 { body.get_u32() } else { return None };
        let edges = match kind {
            Type::SortedSet => Edges::decode(body)?,
            _ if body.is_empty() => Edges::default(),
            _ => return None,
        };
        Some(Trail { removed, edges })
    }
}

impl Elements {
    /// No elements yet.
    fn empty(kind: Type) -> Elements {
        Elements { kind, loose: false, store: Store::Inline(Vec::new(), 0) }
    }

    /// The collection of a record.
    pub fn of(record: &Record) -> Result<Elements> {
        let store = match record.object {
            Some(object) => {
                let mut body = record.body.clone();
                let len = if body.len() >= 8 { body.get_u64() } else { return Err(corrupt()) };
                let trail = Trail::decode(body, record.kind).ok_or_else(corrupt)?;
                Store::External { object, len, trail, moving: record.moving }
            }
            None => {
                let mut parts = inline::Parts::of(&record.body);
                let mut elements = Vec::new();
                while let Some(name) = parts.next_bytes().map_err(malformed)? {
                    let value = match record.kind {
                        Type::Set => Bytes::new(),
                        _ => parts.next_bytes().map_err(malformed)?.ok_or_else(corrupt)?,
                    };
                    elements.push((name, value));
                }
                Store::Inline(elements, record.body.len())
            }
        };
        Ok(Elements { kind: record.kind, loose: record.variant == LOOSE, store })
    }

    /// Looks a collection up for reading.
    pub fn read(keyspace: &mut Keyspace<'_>, key: &[u8], kind: Type) -> Result<Option<Elements>> {
        keyspace.get_typed(key, kind)?.map(|record| Elements::of(&record)).transpose()
    }

    /// As [`Elements::read`], without counting a hit or a miss.
    pub fn peek(keyspace: &mut Keyspace<'_>, key: &[u8], kind: Type) -> Result<Option<Elements>> {
        typed(keyspace.peek(key)?, kind)?.map(|record| Elements::of(&record)).transpose()
    }

    /// The record that holds or leads to the elements; it does not expire.
    fn record(&self) -> Record {
        let variant = if self.loose { LOOSE } else { COMPACT };
        match &self.store {
            Store::Inline(elements, size) => {
                let mut body = BytesMut::with_capacity(*size);
                for (name, value) in elements {
                    inline::push(&mut body, name);
                    if self.kind != Type::Set {
                        inline::push(&mut body, value);
                    }
                }
                Record { variant, ..Record::new(self.kind, body.freeze()) }
            }
            Store::External { object, len, trail, moving } => {
                let mut body = BytesMut::with_capacity(64);
                body.put_u64(*len);
                trail.encode(&mut body, self.kind);
                let (object, moving) = (Some(*object), *moving);
                Record { variant, object, moving, ..Record::new(self.kind, body.freeze()) }
            }
        }
    }

    pub fn kind(&self) -> Type {
        self.kind
    }

    pub fn len(&self) -> u64 {
        match &self.store {
            Store::Inline(elements, _) => elements.len() as u64,
            Store::External { len, .. } => *len,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// See [`is_compact`].
    pub fn is_compact(&self) -> bool {
        !self.loose
    }

    /// The elements of a collection that lies within its record, in order.
    pub fn inline(&self) -> Option<&[Element]> {
        match &self.store {
            Store::Inline(elements, _) => Some(elements),
            Store::External { .. } => None,
        }
    }

    /// Of a large collection.
    pub(super) fn object(&self) -> Option<ObjectId> {
        match &self.store {
            Store::Inline(..) => None,
            Store::External { object, .. } => Some(*object),
        }
    }

    /// What is known of the ends of a large sorted set.
    pub(super) fn edges(&self) -> Option<&Edges> {
        match &self.store {
            Store::Inline(..) => None,
            Store::External { trail, .. } => Some(&trail.edges),
        }
    }

    /// The value of the element called `name`.
    pub fn get(&self, keyspace: &mut Keyspace<'_>, name: &[u8]) -> Result<Option<Bytes>> {
        match &self.store {
            Store::Inline(elements, _) => {
                Ok(elements.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone()))
            }
            Store::External { object, .. } => {
                Ok(keyspace.txn_mut().get(ColumnFamily::Data, &data::element(*object, name))?)
            }
        }
    }

    /// As [`Elements::get`], beside a walk.
    pub fn look_up(&self, keyspace: &Keyspace<'_>, name: &[u8]) -> Result<Option<Bytes>> {
        match &self.store {
            Store::Inline(elements, _) => {
                Ok(elements.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone()))
            }
            Store::External { object, .. } => {
                Ok(keyspace.txn().look_up(ColumnFamily::Data, &data::element(*object, name))?)
            }
        }
    }

    /// To be called before `elements` of it are gone through.
    pub(super) fn check_walk(&self, keyspace: &Keyspace<'_>, elements: u64) -> Result<()> {
        if self.object().is_some() && elements > limits::SHORT_WALK_ELEMENTS {
            keyspace.txn().check_may_take_long()?;
        }
        Ok(())
    }

    /// Visits the elements, until `visit` breaks: a small collection's in order, a large one's by hash.
    pub fn walk(
        &self,
        keyspace: &Keyspace<'_>,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        match &self.store {
            Store::Inline(elements, _) => {
                for (name, value) in elements {
                    if visit(name, value)?.is_break() {
                        break;
                    }
                }
                Ok(())
            }
            Store::External { object, len, .. } => {
                self.check_walk(keyspace, *len)?;
                self.walk_by_hash(keyspace, *object, 0, |_, name, value| visit(name, value))
            }
        }
    }

    /// Visits every element.
    pub fn for_each(&self, keyspace: &Keyspace<'_>, mut visit: impl FnMut(&[u8], &[u8])) -> Result<()> {
        self.walk(keyspace, |name, value| {
            visit(name, value);
            Ok(ControlFlow::Continue(()))
        })
    }

    /// The elements of any collection in the order of their names' hashes, one by one, so that several collections can be
    /// gone through side by side.
    pub(super) fn by_hash<'k>(&'k self, keyspace: &'k Keyspace<'_>) -> Result<ByHash<'k>> {
        match &self.store {
            Store::Inline(elements, _) => {
                let mut sorted: Vec<(u32, &Element)> =
                    elements.iter().map(|element| (data::hash(&element.0), element)).collect();
                sorted.sort_unstable_by(|a, b| (a.0, &a.1.0).cmp(&(b.0, &b.1.0)));
                Ok(ByHash::Inline(sorted.into_iter()))
            }
            Store::External { object, len, .. } => {
                self.check_walk(keyspace, *len)?;
                let (lower, upper) = object.entries();
                let cursor = keyspace.txn().scan(ColumnFamily::Data, lower, Some(upper), Direction::Forward)?;
                Ok(ByHash::External(Box::new(cursor)))
            }
        }
    }

    fn walk_by_hash(
        &self,
        keyspace: &Keyspace<'_>,
        object: ObjectId,
        from: u32,
        mut visit: impl FnMut(u32, &[u8], &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let (_, upper) = object.entries();
        let lower = data::position(object, from);
        let mut cursor = keyspace.txn().scan(ColumnFamily::Data, lower, Some(upper), Direction::Forward)?;
        while let Some((key, value)) = cursor.next()? {
            let (hash, name) = data::parse_element(key).map_err(malformed)?;
            if visit(hash, name, value)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// One call's worth of HSCAN and its like: `count` elements or a few more from `cursor` on, and the cursor to go on
    /// with, 0 at the end. A cursor is a position in the order of hashes, so an element that is there throughout is
    /// given exactly once. A small collection is given at once.
    pub fn page(&self, keyspace: &Keyspace<'_>, cursor: u64, count: u64) -> Result<(Vec<Element>, u64)> {
        let object = match &self.store {
            Store::Inline(elements, _) => return Ok((elements.clone(), 0)),
            Store::External { object, .. } => *object,
        };
        let Ok(from) = u32::try_from(cursor) else { return Ok((Vec::new(), 0)) };
        self.check_walk(keyspace, count.min(self.len()))?;
        let (mut found, mut last, mut next) = (Vec::new(), None, 0);
        self.walk_by_hash(keyspace, object, from, |hash, name, value| {
            if found.len() as u64 >= count && last != Some(hash) {
                next = u64::from(hash);
                return Ok(ControlFlow::Break(()));
            }
            last = Some(hash);
            found.push((Bytes::copy_from_slice(name), Bytes::copy_from_slice(value)));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok((found, next))
    }

    // ---- Chance ------------------------------------------------------------------------------------------------------

    /// Draws an element, each as likely as any other.
    pub fn draw(&self, keyspace: &mut Keyspace<'_>) -> Result<Element> {
        match &self.store {
            Store::Inline(elements, _) => {
                let at = random_below(keyspace, elements.len() as u64);
                elements.get(at as usize).cloned().ok_or_else(corrupt)
            }
            Store::External { object, len, .. } => self.draw_external(keyspace, *object, *len),
        }
    }

    /// The hashes are cut into buckets of equal width that hold some elements each. A bucket is drawn, and a place in it,
    /// of as many places as any bucket has elements: whatever gaps lie between their hashes, all elements are equally
    /// likely. If nothing is at that place, another try is due.
    fn draw_external(&self, keyspace: &mut Keyspace<'_>, object: ObjectId, len: u64) -> Result<Element> {
        const USUAL: u64 = 8;
        /// Of a trillion buckets, not one holds more: what is behind in such a one would never be drawn.
        const MOST: u64 = 36;
        const HASHES: u64 = 1 << 32;
        /// Each finds something with a chance of more than a fifth.
        const TRIES: usize = 1000;
        let width = (HASHES / len.max(1)).saturating_mul(USUAL).clamp(1, HASHES);
        // The cursor borrows the keyspace, so a generator of its own is drawn from.
        let mut random = SplitMix(keyspace.random());
        let (start, end) = object.entries();
        let mut cursor = keyspace.txn().scan(ColumnFamily::Data, start, Some(end.clone()), Direction::Forward)?;
        for _ in 0..TRIES {
            let from = random.below(HASHES.div_ceil(width)) * width;
            // One bucket holds everything.
            let mut place = random.below(if width == HASHES { len } else { MOST });
            let upper = u32::try_from(from + width).map_or(end.clone(), |end| data::position(object, end));
            cursor.narrow(data::position(object, from as u32), upper);
            while let Some((key, value)) = cursor.next()? {
                if place == 0 {
                    let (_, name) = data::parse_element(key).map_err(malformed)?;
                    return Ok((Bytes::copy_from_slice(name), Bytes::copy_from_slice(value)));
                }
                place -= 1;
            }
        }
        Err(corrupt())
    }

    /// To be called before `count` elements are drawn one by one.
    pub fn check_draws(&self, keyspace: &Keyspace<'_>, count: u64) -> Result<()> {
        // Each looks at some tens of elements, or what was left of such.
        self.check_walk(keyspace, count.saturating_mul(16))
    }

    /// Draws `count` different elements, or all if there are no more; each choice of them is as likely as any other.
    pub fn draw_distinct(&self, keyspace: &mut Keyspace<'_>, count: u64) -> Result<Vec<Element>> {
        let len = self.len();
        let count = count.min(len);
        self.check_walk(keyspace, count)?;
        // Of a large collection a few are drawn until they are different; otherwise it is gone through once, each element
        // taken with the chance that is left to it.
        if self.object().is_some() && count.saturating_mul(8) < len {
            let mut names = BTreeSet::new();
            let mut drawn = Vec::new();
            while (drawn.len() as u64) < count {
                let element = self.draw(keyspace)?;
                if names.insert(element.0.clone()) {
                    drawn.push(element);
                }
            }
            return Ok(drawn);
        }
        self.check_walk(keyspace, len)?;
        let (mut drawn, mut left) = (Vec::new(), len);
        // The walk borrows the keyspace, so it draws from a generator of its own.
        let mut random = SplitMix(keyspace.random());
        self.for_each(keyspace, |name, value| {
            if random.below(left.max(1)) < count - drawn.len() as u64 {
                drawn.push((Bytes::copy_from_slice(name), Bytes::copy_from_slice(value)));
            }
            left = left.saturating_sub(1);
        })?;
        Ok(drawn)
    }
}

/// See [`Elements::by_hash`].
pub(super) enum ByHash<'k> {
    Inline(std::vec::IntoIter<(u32, &'k Element)>),
    External(Box<TxnCursor<'k>>),
}

impl ByHash<'_> {
    /// The next element's hash, name and value.
    pub fn next(&mut self) -> Result<Option<(u32, Element)>> {
        match self {
            ByHash::Inline(elements) => Ok(elements.next().map(|(hash, element)| (hash, element.clone()))),
            ByHash::External(cursor) => {
                let Some((key, value)) = cursor.next()? else { return Ok(None) };
                let (hash, name) = data::parse_element(key).map_err(malformed)?;
                Ok(Some((hash, (Bytes::copy_from_slice(name), Bytes::copy_from_slice(value)))))
            }
        }
    }
}

/// A random number below `end`, which is not 0.
fn random_below(keyspace: &mut Keyspace<'_>, end: u64) -> u64 {
    scale(keyspace.random(), end)
}

fn scale(random: u64, end: u64) -> u64 {
    ((u128::from(random) * u128::from(end)) >> 64) as u64
}

/// The generator of [`Keyspace::random`].
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, end: u64) -> u64 {
        scale(crate::keyspace::split_mix(&mut self.0), end)
    }
}

/// The order of a sorted set: by score, and by member where scores are equal.
pub(super) fn by_score(a: (f64, &[u8]), b: (f64, &[u8])) -> Ordering {
    // Scores are never NaN.
    a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal).then_with(|| a.1.cmp(b.1))
}

/// A collection that is being changed: looked up, changed element by element, and stored with [`Editor::finish`].
#[derive(Debug)]
pub struct Editor {
    entry: Entry,
    elements: Elements,
    encodings: EncodingsConfig,
    changed: bool,
    /// It takes the place of whatever was there, and does not expire.
    fresh: bool,
}

impl Editor {
    /// Looks a collection up, to change it; it may be empty.
    pub fn open(keyspace: &mut Keyspace<'_>, key: &Bytes, kind: Type) -> Result<Editor> {
        let entry = keyspace.entry_typed(key, kind)?;
        Editor::new(keyspace, entry, kind)
    }

    /// As [`Editor::open`], for commands that also reply what they found: counts a hit or a miss.
    pub fn open_read(keyspace: &mut Keyspace<'_>, key: &Bytes, kind: Type) -> Result<Editor> {
        let entry = keyspace.read_entry_typed(key, kind)?;
        Editor::new(keyspace, entry, kind)
    }

    fn new(keyspace: &Keyspace<'_>, entry: Entry, kind: Type) -> Result<Editor> {
        let elements = match entry.record() {
            Some(record) => Elements::of(record)?,
            None => Elements::empty(kind),
        };
        Ok(Editor { entry, elements, encodings: keyspace.encodings().clone(), changed: false, fresh: false })
    }

    /// An empty collection that is to take the place of whatever is at `key`.
    pub fn replace(keyspace: &mut Keyspace<'_>, key: &Bytes, kind: Type) -> Result<Editor> {
        let entry = keyspace.entry(key)?;
        let encodings = keyspace.encodings().clone();
        Ok(Editor { entry, elements: Elements::empty(kind), encodings, changed: true, fresh: true })
    }

    /// Whether the collection was there.
    pub fn exists(&self) -> bool {
        self.entry.exists()
    }

    pub fn elements(&self) -> &Elements {
        &self.elements
    }

    pub fn get(&self, keyspace: &mut Keyspace<'_>, name: &[u8]) -> Result<Option<Bytes>> {
        self.elements.get(keyspace, name)
    }

    /// Gives the element called `name` a value. Returns the one it had; `None`: it is new.
    pub fn set(&mut self, keyspace: &mut Keyspace<'_>, name: &Bytes, value: &Bytes) -> Result<Option<Bytes>> {
        let before = match self.elements.object() {
            // It is looked for there anyway.
            None => None,
            Some(_) => self.get(keyspace, name)?,
        };
        self.set_over(keyspace, name, before, value)
    }

    /// As [`Editor::set`]; `before` is what [`Editor::get`] says.
    pub(super) fn set_over(
        &mut self,
        keyspace: &mut Keyspace<'_>,
        name: &Bytes,
        before: Option<Bytes>,
        value: &Bytes,
    ) -> Result<Option<Bytes>> {
        if let Store::Inline(elements, size) = &mut self.elements.store {
            let before = set_inline(self.elements.kind, elements, size, name, value)?;
            if *size > limits::COLLECTION_INLINE_BYTES_MAX || elements.len() > limits::COLLECTION_INLINE_ELEMENTS_MAX {
                self.externalize(keyspace)?;
            }
            self.changed |= before.as_ref() != Some(value);
            self.note_form(name, value);
            return Ok(before);
        }
        let kind = self.elements.kind;
        let Store::External { object, len, trail, moving } = &mut self.elements.store else { return Err(corrupt()) };
        if before.is_none() {
            *len += 1;
        }
        if before.as_ref() != Some(value) {
            self.changed = true;
            let homes = homes(*object, moving, name);
            for home in &homes {
                if let Some(before) = before.as_ref().filter(|_| kind == Type::SortedSet) {
                    keyspace.txn_mut().delete(ColumnFamily::Score, score::key(*home, decode_score(before)?, name));
                }
                store_element(keyspace, kind, *home, name, value)?;
            }
            if kind == Type::SortedSet {
                if let Some(before) = &before {
                    trail.note(&Place::of(decode_score(before)?, name), None);
                }
                let new = decode_score(value)?;
                trail.edges.add(&Place::of(new, name), score::value(new).is_empty());
            }
        }
        self.note_form(name, value);
        Ok(before)
    }

    /// Removes the element called `name`. Returns the value it had.
    pub fn remove(&mut self, keyspace: &mut Keyspace<'_>, name: &[u8]) -> Result<Option<Bytes>> {
        let removed = match &mut self.elements.store {
            Store::Inline(elements, size) => {
                let at = elements.iter().position(|(other, _)| other == name);
                let removed = at.map(|at| elements.remove(at));
                removed.map(|(name, value)| {
                    *size -= element_size(self.elements.kind, &name, &value);
                    value
                })
            }
            Store::External { .. } => {
                let found = self.get(keyspace, name)?;
                if let Some(value) = &found {
                    self.remove_found(keyspace, name, value)?;
                }
                found
            }
        };
        self.changed |= removed.is_some();
        Ok(removed)
    }

    /// Removes an element that has just been found, with this value.
    pub(super) fn remove_found(&mut self, keyspace: &mut Keyspace<'_>, name: &[u8], value: &[u8]) -> Result<()> {
        let place = match self.elements.kind {
            Type::SortedSet => Some(Place::of(decode_score(value)?, name)),
            _ => None,
        };
        self.remove_at(keyspace, name, place.as_ref(), None)
    }

    /// Removes a member that a walk has just found; and that, if `outermost` says so, is the outermost one at that end.
    pub(super) fn remove_scored(
        &mut self,
        keyspace: &mut Keyspace<'_>,
        (member, score): &(Bytes, f64),
        outermost: Option<End>,
    ) -> Result<()> {
        self.remove_at(keyspace, member, Some(&Place::of(*score, member)), outermost)
    }

    /// Removes an element that is there. `place`: where, in a sorted set.
    fn remove_at(
        &mut self,
        keyspace: &mut Keyspace<'_>,
        name: &[u8],
        place: Option<&Place>,
        outermost: Option<End>,
    ) -> Result<()> {
        let Store::External { object, len, trail, moving } = &mut self.elements.store else {
            self.remove(keyspace, name)?;
            return Ok(());
        };
        *len = len.checked_sub(1).ok_or_else(corrupt)?;
        for home in homes(*object, moving, name) {
            delete_element(keyspace, home, name, place);
        }
        match place {
            Some(place) => trail.note(place, outermost),
            None => trail.removed = trail.removed.saturating_add(1),
        }
        self.changed = true;
        Ok(())
    }

    /// Removes the whole collection at once, whatever its size.
    pub fn clear(&mut self) {
        self.changed = true;
        self.elements = Elements::empty(self.elements.kind);
    }

    /// From now on Redis keeps it in the form that any size fits into.
    pub fn set_loose(&mut self, loose: bool) {
        self.changed |= self.elements.loose != loose;
        self.elements.loose = loose;
    }

    /// Notes if Redis would leave its compact form for the element that was just set.
    fn note_form(&mut self, name: &[u8], value: &[u8]) {
        if !self.elements.loose && self.outgrows(self.elements.len(), name, value) {
            self.set_loose(true);
        }
    }

    /// Whether Redis keeps a collection of `len` elements, one of them this one, in the form that any size fits into.
    pub(super) fn outgrows(&self, len: u64, name: &[u8], value: &[u8]) -> bool {
        let limits = &self.encodings;
        match self.elements.kind {
            Type::Hash => {
                let longest = name.len().max(value.len()) as u64;
                longest > limits.hash_max_listpack_value || len > limits.hash_max_listpack_entries
            }
            Type::Set => number::parse_i64(name).is_none() || len > limits.set_max_intset_entries,
            _ => name.len() as u64 > limits.zset_max_listpack_value || len > limits.zset_max_listpack_entries,
        }
    }

    /// Gives each element an entry of its own. There is no way back: the collection that grew once may well do so again.
    fn externalize(&mut self, keyspace: &mut Keyspace<'_>) -> Result<()> {
        let object = keyspace.new_object(&self.entry)?;
        let Store::Inline(elements, _) = &mut self.elements.store else { return Err(corrupt()) };
        let elements = std::mem::take(elements);
        let len = elements.len() as u64;
        for (name, value) in elements {
            store_element(keyspace, self.elements.kind, object, &name, &value)?;
        }
        self.elements.store = Store::External { object, len, trail: Trail::default(), moving: None };
        Ok(())
    }

    /// Sees to it that what was removed does not hold up whoever walks through what is left.
    fn maintain(&mut self, keyspace: &mut Keyspace<'_>) -> Result<()> {
        self.renew(keyspace)?;
        let Store::External { trail, .. } = &self.elements.store else { return Ok(()) };
        if trail.edges.is_worn() {
            let found = super::sorted_set::outermost(keyspace, &self.elements)?;
            if let Store::External { trail, .. } = &mut self.elements.store {
                trail.edges.found(found.as_ref().map(|(lowest, highest)| (lowest, highest)));
            }
        }
        Ok(())
    }

    /// Once much was removed from a large collection, it is stored anew under another object, from which nothing was ever
    /// removed. This is done in steps, so that none of them takes the writer long: until the last one the collection is read
    /// where it was, and what has been stored anew already is changed in both places.
    fn renew(&mut self, keyspace: &mut Keyspace<'_>) -> Result<()> {
        let Store::External { object, len, trail, moving } = &self.elements.store else { return Ok(()) };
        let (object, moving) = (*object, *moving);
        let is_due = match &moving {
            Some(moving) => moving.changes >= limits::RENEW_CHANGES,
            None => u64::from(trail.removed) > limits::RENEW_REMOVED + limits::RENEW_REMOVED_PER_ELEMENT * len,
        };
        if !is_due {
            return Ok(());
        }
        let from = moving.map_or(0, |moving| moving.position);
        let changes = moving.map_or(limits::RENEW_CHANGES, |moving| moving.changes);
        let most = (changes as usize).saturating_mul(limits::RENEW_ELEMENTS_PER_CHANGE).min(limits::RENEW_ELEMENTS_MAX);
        let (mut taken, mut bytes, mut last, mut next) = (Vec::new(), 0, None, None);
        self.elements.walk_by_hash(keyspace, object, from, |hash, name, value| {
            // Those of one hash stay together.
            if taken.len() >= most && last != Some(hash) {
                next = Some(hash);
                return Ok(ControlFlow::Break(()));
            }
            last = Some(hash);
            bytes += name.len() + value.len();
            taken.push((Bytes::copy_from_slice(name), Bytes::copy_from_slice(value)));
            let is_heavy = bytes > most * limits::RENEW_ELEMENT_BYTES;
            Ok(if is_heavy { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if bytes > most * limits::RENEW_ELEMENT_BYTES {
            // It is not worth while. Ask again when as many more are removed; what was stored anew goes with the record's
            // word of it.
            return self.settle(object, None);
        }
        let to = match moving {
            Some(moving) => moving.to,
            None => keyspace.new_object(&self.entry)?,
        };
        for (name, value) in &taken {
            store_element(keyspace, self.elements.kind, to, name, value)?;
        }
        match next {
            Some(position) => self.settle(object, Some(Moving { to, position, changes: 0 })),
            None => self.settle(to, None),
        }
    }

    /// Where the collection is read from now on, and where it is moving; if nowhere, removals are counted from now on.
    fn settle(&mut self, home: ObjectId, next: Option<Moving>) -> Result<()> {
        let Store::External { object, trail, moving, .. } = &mut self.elements.store else { return Err(corrupt()) };
        (*object, *moving) = (home, next);
        if next.is_none() {
            trail.removed = 0;
        }
        Ok(())
    }

    /// Stores what was changed, and says that `event` happened, if there is one to tell of. An empty collection is no key.
    pub fn finish(mut self, keyspace: &mut Keyspace<'_>, event: Option<&'static str>) -> Result<()> {
        let class = match self.elements.kind {
            Type::Hash => EventClass::Hash,
            Type::Set => EventClass::Set,
            _ => EventClass::SortedSet,
        };
        let empty = self.elements.is_empty();
        if self.changed && !empty {
            self.maintain(keyspace)?;
            let record = self.elements.record();
            match self.fresh {
                true => keyspace.put(&mut self.entry, record)?,
                false => keyspace.put_keeping_ttl(&mut self.entry, record)?,
            }
        }
        if let Some(event) = event.filter(|_| !(self.fresh && empty)) {
            keyspace.notify(class, event, self.entry.user_key());
        }
        if self.changed && empty && keyspace.remove(&mut self.entry)? {
            keyspace.notify(EventClass::Generic, "del", self.entry.user_key());
        }
        Ok(())
    }
}

/// The objects under which the element called `name` is to be changed, which counts as a change.
fn homes(object: ObjectId, moving: &mut Option<Moving>, name: &[u8]) -> SmallVec<[ObjectId; 2]> {
    let mut homes = SmallVec::from_slice(&[object]);
    if let Some(moving) = moving {
        moving.changes = moving.changes.saturating_add(1);
        if data::hash(name) < moving.position {
            homes.push(moving.to);
        }
    }
    homes
}

/// Stores an element that is not there, or a new value of it: of a sorted set's member, the old score's entry must be gone.
fn store_element(keyspace: &mut Keyspace<'_>, kind: Type, object: ObjectId, name: &[u8], value: &Bytes) -> Result<()> {
    if kind == Type::SortedSet {
        let new = decode_score(value)?;
        keyspace.txn_mut().put(ColumnFamily::Score, score::key(object, new, name), score::value(new));
    }
    keyspace.txn_mut().put(ColumnFamily::Data, data::element(object, name), value.clone());
    Ok(())
}

/// `place` is the one of a sorted set's member.
fn delete_element(keyspace: &mut Keyspace<'_>, object: ObjectId, name: &[u8], place: Option<&Place>) {
    keyspace.txn_mut().delete(ColumnFamily::Data, data::element(object, name));
    if let Some(place) = place {
        keyspace.txn_mut().delete(ColumnFamily::Score, place.key(object));
    }
}

/// The bytes that an element takes in a record's body.
fn element_size(kind: Type, name: &[u8], value: &[u8]) -> usize {
    inline::size(name.len()) + if kind == Type::Set { 0 } else { inline::size(value.len()) }
}

fn set_inline(
    kind: Type,
    elements: &mut Vec<Element>,
    size: &mut usize,
    name: &Bytes,
    value: &Bytes,
) -> Result<Option<Bytes>> {
    *size += element_size(kind, name, value);
    let found = elements.iter().position(|(other, _)| other == name);
    if let Some((name, before)) = found.map(|at| &elements[at]) {
        *size -= element_size(kind, name, before);
    }
    if kind != Type::SortedSet {
        return Ok(match found {
            Some(at) => Some(std::mem::replace(&mut elements[at].1, value.clone())),
            None => {
                elements.push((name.clone(), value.clone()));
                None
            }
        });
    }
    let before = found.map(|at| elements.remove(at).1);
    let new = decode_score(value)?;
    let mut at = elements.len();
    for (index, (other, value)) in elements.iter().enumerate() {
        if by_score((new, name), (decode_score(value)?, other)) == Ordering::Less {
            at = index;
            break;
        }
    }
    elements.insert(at, (name.clone(), value.clone()));
    Ok(before)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::engine::memory::{MemoryDisk, MemoryEngine};
    use crate::engine::{Engine, WriteOptions, thread};
    use crate::keyspace::{DatabaseMap, Txn, ValueLimits};
    use crate::layout::control;

    const KEY: Bytes = Bytes::from_static(b"key");

    struct World {
        engine: Arc<MemoryEngine>,
        databases: Arc<DatabaseMap>,
    }

    /// What a command did.
    struct Done {
        record: Record,
        /// Entries of the data family: whether they were removed.
        data: Vec<(Bytes, bool)>,
        buried: Vec<ObjectId>,
    }

    impl World {
        fn new() -> World {
            thread::mark_engine_thread();
            let engine = MemoryEngine::open(MemoryDisk::new()).unwrap();
            let databases = Arc::new(DatabaseMap::load(&*engine, 1).unwrap());
            World { engine, databases }
        }

        fn keyspace<'v>(&self, txn: Txn<'v>) -> Keyspace<'v> {
            Keyspace::new(txn, self.databases.clone(), 1, 7, ValueLimits::default())
        }

        /// Sets elements, or removes those that come without a value.
        fn change(&self, kind: Type, changes: &[(Bytes, Option<Bytes>)]) -> Done {
            let mut keyspace = self.keyspace(Txn::writer(&*self.engine));
            let mut editor = Editor::open(&mut keyspace, &KEY, kind).unwrap();
            for (name, value) in changes {
                match value {
                    Some(value) => editor.set(&mut keyspace, name, value).unwrap(),
                    None => editor.remove(&mut keyspace, name).unwrap(),
                };
            }
            editor.finish(&mut keyspace, None).unwrap();
            keyspace.keep();
            let record = keyspace.peek(&KEY).unwrap().unwrap();
            let effects = keyspace.txn().effects(ColumnFamily::Data);
            let data = effects.map(|(key, value)| (key.clone(), value.is_none())).collect();
            let control = keyspace.txn().effects(ColumnFamily::Control);
            let buried = control.filter_map(|(key, _)| control::dead_object(key)).collect();
            self.engine.write(&keyspace.txn().to_batch(), WriteOptions::default()).unwrap();
            Done { record, data, buried }
        }

        fn all(&self) -> BTreeMap<Bytes, Bytes> {
            let snapshot = self.engine.snapshot();
            let mut keyspace = self.keyspace(Txn::snapshot(&*snapshot, Default::default()));
            let elements = Elements::of(&keyspace.peek(&KEY).unwrap().unwrap()).unwrap();
            let mut all = BTreeMap::new();
            elements
                .for_each(&keyspace, |name, value| {
                    all.insert(Bytes::copy_from_slice(name), Bytes::copy_from_slice(value));
                })
                .unwrap();
            all
        }
    }

    fn name(number: usize) -> Bytes {
        format!("element {number}").into()
    }

    fn value(kind: Type, number: usize) -> Bytes {
        match kind {
            Type::Set => Bytes::new(),
            Type::Hash => number.to_string().into(),
            _ => encode_score((number % 100) as f64),
        }
    }

    fn added(kind: Type, numbers: std::ops::Range<usize>) -> Vec<(Bytes, Option<Bytes>)> {
        numbers.map(|number| (name(number), Some(value(kind, number)))).collect()
    }

    #[test]
    fn what_was_removed_from_a_large_collection_is_left_behind_in_small_steps() {
        const LEN: usize = 3000;
        // Those of a step, those that the command changes, and how many may share a hash.
        let step = limits::RENEW_CHANGES as usize * limits::RENEW_ELEMENTS_PER_CHANGE + 8;
        for kind in [Type::Hash, Type::Set, Type::SortedSet] {
            let world = World::new();
            let mut object = world.change(kind, &added(kind, 0..LEN)).record.object.unwrap();
            let mut remains: BTreeMap<ObjectId, usize> = BTreeMap::new();
            let mut moves = 0;
            for number in LEN..4 * LEN {
                let mut changes = added(kind, number..number + 1);
                changes.push((name(number - LEN), None));
                let done = world.change(kind, &changes);
                assert!(done.data.len() <= step, "{} entries written at once", done.data.len());
                for (key, _) in done.data.iter().filter(|(_, is_removed)| *is_removed) {
                    let object = ObjectId::from_value(u64::from_be_bytes(*key.first_chunk().unwrap()));
                    *remains.entry(object).or_default() += 1;
                }
                if done.record.object != Some(object) {
                    assert_eq!(done.buried, [object]);
                    object = done.record.object.unwrap();
                    moves += 1;
                }
                let passed = remains.get(&object).copied().unwrap_or(0);
                // Moving takes half as many changes as there are elements, and half of the changes are removals.
                assert!(passed <= LEN, "{passed} remains among {LEN} {kind:?} elements");
            }
            assert!(moves >= 3, "{moves}");
            let left: BTreeMap<Bytes, Bytes> =
                (3 * LEN..4 * LEN).map(|number| (name(number), value(kind, number))).collect();
            assert_eq!(world.all(), left);
        }
    }

    #[test]
    fn a_collection_that_turns_out_to_be_heavy_stays_where_it_is() {
        const LEN: usize = 200;
        let world = World::new();
        let mut light: Vec<Bytes> = (0..LEN).map(name).collect();
        light.sort_by_key(|name| data::hash(name));
        let heavy = Bytes::from(vec![b'x'; 10 * limits::RENEW_ELEMENT_BYTES]);
        let with_value = |(at, name): (usize, &Bytes)| {
            let value = if at < LEN / 2 { Bytes::from_static(b"v") } else { heavy.clone() };
            (name.clone(), Some(value))
        };
        let all: Vec<_> = light.iter().enumerate().map(with_value).collect();
        let object = world.change(Type::Hash, &all).record.object;
        let mut moving = None;
        let mut buried = Vec::new();
        for number in 0..100 {
            let come_and_gone = Bytes::from(format!("other {number}"));
            world.change(Type::Hash, &[(come_and_gone.clone(), Some(Bytes::new()))]);
            let done = world.change(Type::Hash, &[(come_and_gone, None)]);
            assert_eq!(done.record.object, object);
            buried.extend(done.buried);
            moving = moving.max(done.record.moving.map(|moving| moving.position));
        }
        assert!(moving.is_some() && !buried.is_empty(), "it never began, or did not give up");
        assert_eq!(world.all(), all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect());
    }

    #[test]
    fn records_of_older_servers_are_read() {
        let object = Some(ObjectId::from_value(5));
        let read = |kind, body: Vec<u8>| {
            let elements = Elements::of(&Record { object, ..Record::new(kind, body.clone().into()) }).unwrap();
            // What is written back is what that server wrote.
            assert_eq!(elements.record().body, body);
            (elements.len(), elements.edges().cloned())
        };
        let len = 70u64.to_be_bytes();
        for kind in [Type::Hash, Type::Set, Type::SortedSet] {
            assert_eq!(read(kind, len.to_vec()), (70, Some(Edges::default())));
        }
        assert_eq!(read(Type::Set, [&len[..], &[0, 0, 0, 9]].concat()), (70, Some(Edges::default())));
        // Nine members removed, of which three anywhere; one below a horizon, and no upper one.
        let (known, horizon) = (Place::of(1.0, b"a"), Place::of(2.0, b"b"));
        let edges = [&[3, 1, 9], known.as_bytes(), &[9], horizon.as_bytes(), &[0, 0]].concat();
        let (_, edges) = read(Type::SortedSet, [&len[..], &[0, 0, 0, 9], &edges].concat());
        assert_eq!(edges.unwrap().low(), (&[known][..], Some(&horizon)));
    }
}
