//! A transaction over the engine: reads of one consistent view, and (for the writer) an overlay of effects that are not
//! committed yet, with an undo log, so that one operation of a group can fail without a trace.
//!
//! It must never write to the engine: the overlay leaves it as one batch, and the writer commits that.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::engine::{ColumnFamily, Cursor, Direction, EngineError, Entry, ReadTier, Scan, View, WriteBatch};
use crate::layout::Malformed;
use crate::observe::Category;

/// Why a read within a transaction failed. The first three are no failures: the caller runs the operation again, as told.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TxnError {
    #[error("a second read needs a snapshot")]
    NeedsSnapshot,
    #[error("the answer is on disk, not in memory")]
    NeedsDisk,
    #[error("the answer takes long to find")]
    NeedsTime,
    #[error(transparent)]
    Engine(EngineError),
}

impl TxnError {
    /// Under which it is reported.
    pub fn category(&self) -> Category {
        match self {
            TxnError::Engine(error) => error.category(),
            TxnError::NeedsSnapshot | TxnError::NeedsDisk | TxnError::NeedsTime => Category::Engine,
        }
    }
}

impl From<EngineError> for TxnError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::WouldBlock => TxnError::NeedsDisk,
            EngineError::TakesLong => TxnError::NeedsTime,
            other => TxnError::Engine(other),
        }
    }
}

impl From<Malformed> for TxnError {
    fn from(error: Malformed) -> Self {
        TxnError::Engine(EngineError::Corruption(error.to_string()))
    }
}

/// How a transaction may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Consistency {
    /// The view moves with every commit: one point read is consistent with itself, a second one would not be.
    OneRead { used: bool },
    /// The view stands still, or the reader is the only writer.
    Stable,
}

type Map = BTreeMap<Bytes, Option<Bytes>>;

/// One undo step: what the overlay held for a key before it was touched.
type Undo = (ColumnFamily, Bytes, Option<Option<Bytes>>);

pub struct Txn<'v> {
    view: &'v dyn View,
    tier: ReadTier,
    /// Short reads wait for this one.
    hurried: bool,
    consistency: Consistency,
    writable: bool,
    overlay: [Map; ColumnFamily::ALL.len()],
    undo: Vec<Undo>,
    overlay_bytes: usize,
}

impl<'v> Txn<'v> {
    fn new(view: &'v dyn View, tier: ReadTier, consistency: Consistency, writable: bool) -> Self {
        let (overlay, undo) = Default::default();
        Txn { view, tier, hurried: false, consistency, writable, overlay, undo, overlay_bytes: 0 }
    }

    /// Reads the engine's latest state without the cost of a snapshot: good for exactly one point read, which is what
    /// most commands need. Anything more fails with [`TxnError::NeedsSnapshot`].
    pub fn one_read(view: &'v dyn View, tier: ReadTier) -> Self {
        Self::new(view, tier, Consistency::OneRead { used: false }, false)
    }

    /// Reads a snapshot.
    pub fn snapshot(view: &'v dyn View, tier: ReadTier) -> Self {
        Self::new(view, tier, Consistency::Stable, false)
    }

    /// The writer's: reads and writes over the engine's latest state, which only the writer changes.
    pub fn writer(view: &'v dyn View) -> Self {
        Self::new(view, ReadTier::All, Consistency::Stable, true)
    }

    /// Short reads wait for it, if `hurried`: see [`Txn::check_may_take_long`].
    pub fn hurried(self, hurried: bool) -> Self {
        Txn { hurried, ..self }
    }

    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// To be asked before work that takes long, and that nobody could know of before the key was looked up: refused to
    /// a reader on whom short reads wait. The operation then starts again on one that has time.
    pub fn check_may_take_long(&self) -> Result<(), TxnError> {
        if self.hurried { Err(TxnError::NeedsTime) } else { Ok(()) }
    }

    /// To be asked before several reads that cannot be begun again half-way: refused where the view moves.
    pub fn check_stands_still(&self) -> Result<(), TxnError> {
        match self.consistency {
            Consistency::Stable => Ok(()),
            Consistency::OneRead { .. } => Err(TxnError::NeedsSnapshot),
        }
    }

    pub fn get(&mut self, cf: ColumnFamily, key: &[u8]) -> Result<Option<Bytes>, TxnError> {
        if let Consistency::OneRead { used } = &mut self.consistency
            && std::mem::replace(used, true)
        {
            return Err(TxnError::NeedsSnapshot);
        }
        self.read(cf, key)
    }

    /// As [`Txn::get`], beside cursors: of a view that stands still.
    pub fn look_up(&self, cf: ColumnFamily, key: &[u8]) -> Result<Option<Bytes>, TxnError> {
        match self.consistency {
            Consistency::Stable => self.read(cf, key),
            Consistency::OneRead { .. } => Err(TxnError::NeedsSnapshot),
        }
    }

    fn read(&self, cf: ColumnFamily, key: &[u8]) -> Result<Option<Bytes>, TxnError> {
        match self.overlay[cf as usize].get(key) {
            Some(value) => Ok(value.clone()),
            None => Ok(self.view.get(cf, key, self.tier)?),
        }
    }

    /// Walks `lower <= key < upper` in `direction`, uncommitted effects included.
    pub fn scan(
        &self,
        cf: ColumnFamily,
        lower: Bytes,
        upper: Option<Bytes>,
        direction: Direction,
    ) -> Result<TxnCursor<'_>, TxnError> {
        if self.consistency != Consistency::Stable {
            return Err(TxnError::NeedsSnapshot);
        }
        let overlay = &self.overlay[cf as usize];
        let touches = touches(overlay, &lower, upper.as_ref());
        let (tier, hurried) = (self.tier, self.hurried);
        let scan = Scan { lower: Some(lower.clone()), upper: upper.clone(), direction, tier, hurried };
        let stored = self.view.scan(cf, scan);
        let (stored_next, at, current) = (None, None, None);
        let is_narrowed = false;
        Ok(TxnCursor { stored, stored_next, overlay, touches, lower, upper, is_narrowed, direction, at, current })
    }

    pub fn put(&mut self, cf: ColumnFamily, key: Bytes, value: Bytes) {
        self.set(cf, key, Some(value));
    }

    pub fn delete(&mut self, cf: ColumnFamily, key: Bytes) {
        self.set(cf, key, None);
    }

    fn set(&mut self, cf: ColumnFamily, key: Bytes, value: Option<Bytes>) {
        assert!(self.writable, "a command without the `write` flag tried to write");
        self.overlay_bytes += key.len() + value.as_ref().map_or(0, Bytes::len);
        let previous = self.overlay[cf as usize].insert(key.clone(), value);
        self.undo.push((cf, key, previous));
    }

    /// Ends an operation: its effects stay. Returns whether it had any.
    pub fn keep(&mut self) -> bool {
        let changed = !self.undo.is_empty();
        self.undo.clear();
        changed
    }

    /// Ends an operation: the overlay is again as [`Txn::keep`] left it last.
    pub fn undo(&mut self) {
        self.undo_to(0);
    }

    /// How much the running operation has changed, for [`Txn::undo_to`].
    pub fn mark(&self) -> usize {
        self.undo.len()
    }

    /// Takes back what the running operation has changed since `mark`.
    pub fn undo_to(&mut self, mark: usize) {
        while self.undo.len() > mark
            && let Some((cf, key, previous)) = self.undo.pop()
        {
            let map = &mut self.overlay[cf as usize];
            match previous {
                Some(value) => map.insert(key, value),
                None => map.remove(&key),
            };
        }
    }

    /// Bytes put into the overlay so far, overwritten ones included: what bounds a group.
    pub fn overlay_bytes(&self) -> usize {
        self.overlay_bytes
    }

    /// The uncommitted effects on one column family.
    pub fn effects(&self, cf: ColumnFamily) -> impl Iterator<Item = (&Bytes, &Option<Bytes>)> {
        self.overlay[cf as usize].iter()
    }

    /// The uncommitted effect on one key, a deletion included.
    pub fn effect(&self, cf: ColumnFamily, key: &[u8]) -> Option<&Option<Bytes>> {
        self.overlay[cf as usize].get(key)
    }

    /// All effects as one batch, one mutation per key.
    pub fn to_batch(&self) -> WriteBatch {
        debug_assert!(self.undo.is_empty(), "a group is committed between operations");
        let mut batch = WriteBatch::new();
        for cf in ColumnFamily::ALL {
            for (key, value) in &self.overlay[cf as usize] {
                match value {
                    Some(value) => batch.put(cf, key.clone(), value.clone()),
                    None => batch.delete(cf, key.clone()),
                }
            }
        }
        batch
    }
}

/// A cursor over stored and uncommitted entries together.
pub struct TxnCursor<'t> {
    stored: Box<dyn Cursor + 't>,
    /// The stored entry that comes next, read ahead; outer `None`: not read yet.
    stored_next: Option<Option<(Bytes, Bytes)>>,
    overlay: &'t Map,
    /// There are uncommitted effects within the bounds. If not, stored entries are lent as they are.
    touches: bool,
    lower: Bytes,
    upper: Option<Bytes>,
    /// The bounds are narrower than those of `stored`.
    is_narrowed: bool,
    direction: Direction,
    /// The last key given.
    at: Option<Bytes>,
    current: Option<(Bytes, Bytes)>,
}

impl TxnCursor<'_> {
    /// Begins anew between other bounds, which lie within those it was made with. Of a cursor that goes forward: many short
    /// scans in one place cost one cursor.
    pub fn narrow(&mut self, lower: Bytes, upper: Bytes) {
        debug_assert_eq!(self.direction, Direction::Forward, "invariant: nobody looks backwards in several places");
        self.touches = touches(self.overlay, &lower, Some(&upper));
        self.stored.seek(&lower);
        (self.lower, self.upper, self.is_narrowed) = (lower, Some(upper), true);
        (self.stored_next, self.at, self.current) = (None, None, None);
    }

    /// The next entry in the direction of the scan; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Entry<'_>>, TxnError> {
        if !self.touches && !self.is_narrowed {
            return Ok(self.stored.next()?);
        }
        let map = self.overlay;
        let end = self.upper.as_ref().filter(|_| self.is_narrowed);
        let is_within = |(key, _): &Entry<'_>| end.is_none_or(|end| *key < &end[..]);
        if !self.touches {
            return Ok(self.stored.next()?.filter(is_within));
        }
        self.current = loop {
            if self.stored_next.is_none() {
                let entry = self.stored.next()?.filter(is_within);
                self.stored_next =
                    Some(entry.map(|(key, value)| (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value))));
            }
            let stored = self.stored_next.as_ref().and_then(Option::as_ref);
            let pending = self.pending_next(map);
            let take_pending = match (&stored, &pending) {
                (None, None) => break None,
                (None, Some(_)) => true,
                (Some(_), None) => false,
                (Some((stored, _)), Some((pending, _))) => match self.direction {
                    Direction::Forward => *pending <= stored,
                    Direction::Backward => *pending >= stored,
                },
            };
            if !take_pending {
                let entry = self.stored_next.take().flatten();
                self.at = entry.as_ref().map(|(key, _)| key.clone());
                break entry;
            }
            let Some((key, value)) = pending.map(|(key, value)| (key.clone(), value.clone())) else { break None };
            if stored.is_some_and(|(stored, _)| *stored == key) {
                self.stored_next = None;
            }
            self.at = Some(key.clone());
            if let Some(value) = value {
                break Some((key, value));
            }
        };
        Ok(self.current.as_ref().map(|(key, value)| (&key[..], &value[..])))
    }

    /// The uncommitted entry that comes next, a deletion included.
    fn pending_next<'m>(&self, map: &'m Map) -> Option<(&'m Bytes, &'m Option<Bytes>)> {
        let upper = self.upper.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        match (self.direction, &self.at) {
            (Direction::Forward, at) => {
                let lower = at.as_ref().map_or(Bound::Included(&self.lower), Bound::Excluded);
                in_order(lower, upper).then(|| map.range::<Bytes, _>((lower, upper)).next())?
            }
            (Direction::Backward, at) => {
                let (lower, upper) = (Bound::Included(&self.lower), at.as_ref().map_or(upper, Bound::Excluded));
                in_order(lower, upper).then(|| map.range::<Bytes, _>((lower, upper)).next_back())?
            }
        }
    }
}

/// Whether there are uncommitted effects in the range.
fn touches(overlay: &Map, lower: &Bytes, upper: Option<&Bytes>) -> bool {
    let range = (Bound::Included(lower), upper.map_or(Bound::Unbounded, Bound::Excluded));
    in_order(range.0, range.1) && overlay.range::<Bytes, _>(range).next().is_some()
}

/// `BTreeMap::range` panics on an inverted range; to us it is an empty one.
fn in_order(lower: Bound<&Bytes>, upper: Bound<&Bytes>) -> bool {
    match (lower, upper) {
        (Bound::Included(lower) | Bound::Excluded(lower), Bound::Excluded(upper)) => lower < upper,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::memory::{MemoryDisk, MemoryEngine};
    use crate::engine::{Engine, WriteOptions};
    use proptest::prelude::*;

    const CF: ColumnFamily = ColumnFamily::Meta;

    fn small_key() -> impl Strategy<Value = Bytes> {
        prop::collection::vec(0u8..3, 0..4).prop_map(Bytes::from)
    }

    fn writes() -> impl Strategy<Value = Vec<(Bytes, Option<u8>)>> {
        prop::collection::vec((small_key(), any::<Option<u8>>()), 0..20)
    }

    fn apply(txn: &mut Txn<'_>, model: &mut BTreeMap<Bytes, Bytes>, writes: &[(Bytes, Option<u8>)]) {
        for (key, value) in writes {
            match value {
                Some(value) => {
                    let value = Bytes::copy_from_slice(&[*value]);
                    model.insert(key.clone(), value.clone());
                    txn.put(CF, key.clone(), value);
                }
                None => {
                    model.remove(key);
                    txn.delete(CF, key.clone());
                }
            }
        }
    }

    fn all(cursor: &mut TxnCursor<'_>) -> Vec<(Bytes, Bytes)> {
        let mut found = Vec::new();
        while let Some((key, value)) = cursor.next().unwrap() {
            found.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        }
        found
    }

    proptest! {
        #[test]
        fn stored_and_uncommitted_entries_read_as_one_map(
            stored in writes(), kept in writes(), undone in writes(),
            lower in small_key(), upper in prop::option::of(small_key()), backward in any::<bool>(),
            narrower in prop::collection::vec((small_key(), small_key()), 0..4),
        ) {
            crate::engine::thread::mark_engine_thread();
            let engine = MemoryEngine::open(MemoryDisk::new()).unwrap();
            let mut model = BTreeMap::new();
            let mut first = Txn::writer(&*engine);
            apply(&mut first, &mut model, &stored);
            first.keep();
            engine.write(&first.to_batch(), WriteOptions::default()).unwrap();

            let mut txn = Txn::writer(&*engine);
            apply(&mut txn, &mut model, &kept);
            txn.keep();
            apply(&mut txn, &mut model.clone(), &undone);
            txn.undo();

            for (key, _) in stored.iter().chain(&kept).chain(&undone) {
                prop_assert_eq!(txn.get(CF, key).unwrap(), model.get(key).cloned());
            }
            let direction = if backward { Direction::Backward } else { Direction::Forward };
            let within = |lower: &Bytes, upper: Option<&Bytes>| -> Vec<(Bytes, Bytes)> {
                let is_within = |key: &Bytes| key >= lower && upper.is_none_or(|end| key < end);
                model.iter().filter(|(key, _)| is_within(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
            };
            let mut expected = within(&lower, upper.as_ref());
            if backward {
                expected.reverse();
            }
            let mut cursor = txn.scan(CF, lower.clone(), upper.clone(), direction).unwrap();
            prop_assert_eq!(all(&mut cursor), expected);
            if !backward {
                for (from, to) in narrower {
                    let (from, to) = (from.max(lower.clone()), upper.as_ref().map_or(to.clone(), |upper| upper.min(&to).clone()));
                    cursor.narrow(from.clone(), to.clone());
                    prop_assert_eq!(all(&mut cursor), within(&from, Some(&to)));
                }
            }
        }
    }

    #[test]
    fn a_second_read_without_a_snapshot_is_refused() {
        crate::engine::thread::mark_engine_thread();
        let engine = MemoryEngine::open(MemoryDisk::new()).unwrap();
        let mut txn = Txn::one_read(&*engine, ReadTier::Cached);
        assert_eq!(txn.get(CF, b"a"), Ok(None));
        assert_eq!(txn.get(CF, b"a"), Err(TxnError::NeedsSnapshot));
    }
}
