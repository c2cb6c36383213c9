//! Records of keys, as last committed, in memory: so that a read of a hot key needs neither the engine nor the storage
//! runtime's time, and a write need not ask the engine for what it replaces.
//!
//! Whoever reads here sees what a read of the engine could have seen at that moment: the writer hides the records that a
//! group changes before it commits, and puts the new ones in their place afterwards, before it answers. In between readers go to
//! the engine, and nothing that they find there is kept. It must never hold a record that the engine does not, or the
//! other way round, and never block on anything but its own short locks: the network runtime reads it.

use std::hash::BuildHasher;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use parking_lot::Mutex;

use crate::engine::{ColumnFamily, Cursor, Engine, EngineError, ReadTier, Scan, View};
use crate::layout::PhysicalDb;
use crate::limits;

/// Independent parts, each with a lock of its own.
const SHARDS: usize = 128;
/// What an entry takes besides its key and value, roughly, in bytes: its slot, its place in the table, the allocator's part.
const ENTRY_OVERHEAD_BYTES: usize = 64;

/// A bounded cache of records (and of absences), evicting by CLOCK.
pub struct RecordCache {
    shards: Box<[Mutex<Shard>]>,
    hasher: FixedState,
    shard_bytes_max: usize,
}

/// What the cache knows of a key.
#[derive(Debug)]
pub enum Lookup {
    /// Its record, or that it has none.
    Known(Option<Bytes>),
    /// Nothing. Whoever asks the engine after this may [`fill`](RecordCache::fill) in the answer.
    Unknown(Ticket),
}

/// Proof of when someone began to read the engine.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    generation: u64,
}

#[derive(Default)]
struct Shard {
    /// Places in `slots`, by the key there.
    table: HashTable<u32>,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    /// Where CLOCK goes on.
    hand: usize,
    bytes: usize,
    /// Keys here that a commit under way changes.
    committing: usize,
    /// Counts the commits that began and ended.
    generation: u64,
}

/// An entry. Key and value stand together in one piece of memory: to find an entry that has not been touched for long, the
/// processor waits for the table, the slot and the piece, and for nothing else.
struct Slot {
    hash: u64,
    /// The key, and after it the value.
    piece: Box<[u8]>,
    key_len: u32,
    is_absent: bool,
    /// A commit under way changes it: nobody may see it.
    hidden: bool,
    /// Looked up since the hand last came by.
    used: bool,
}

impl Slot {
    fn new(hash: u64, key: &[u8], value: Option<&[u8]>) -> Slot {
        let (piece, key_len) = ([key, value.unwrap_or_default()].concat().into_boxed_slice(), key.len() as u32);
        Slot { hash, piece, key_len, is_absent: value.is_none(), hidden: false, used: false }
    }

    fn key(&self) -> &[u8] {
        &self.piece[..self.key_len as usize]
    }

    fn value(&self) -> Option<Bytes> {
        (!self.is_absent).then(|| Bytes::copy_from_slice(&self.piece[self.key_len as usize..]))
    }

    fn bytes(&self) -> usize {
        self.piece.len() + ENTRY_OVERHEAD_BYTES
    }
}

impl Shard {
    fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        self.table.find(hash, |place| self.key_at(*place) == key).copied()
    }

    fn key_at(&self, place: u32) -> &[u8] {
        self.slots[place as usize].as_ref().map_or(&[], Slot::key)
    }

    fn remove(&mut self, hash: u64, key: &[u8]) {
        if let Some(place) = self.find(hash, key) {
            self.remove_at(place);
        }
    }

    /// Removes a hidden entry with this hash, if there is one: each commit hides every key once.
    fn remove_hidden(&mut self, hash: u64) {
        let is_hidden = |slot: &Slot| slot.hash == hash && slot.hidden;
        let found = self.table.find(hash, |place| self.slots[*place as usize].as_ref().is_some_and(is_hidden));
        if let Some(place) = found.copied() {
            self.remove_at(place);
        }
    }

    fn remove_at(&mut self, place: u32) {
        let Some(slot) = self.slots[place as usize].take() else { return };
        if let Ok(entry) = self.table.find_entry(slot.hash, |other| *other == place) {
            entry.remove();
        }
        self.bytes -= slot.bytes();
        self.free.push(place);
    }

    fn insert(&mut self, hash: u64, key: &[u8], value: Option<&[u8]>, bytes_max: usize) {
        let bytes = key.len() + value.map_or(0, <[u8]>::len) + ENTRY_OVERHEAD_BYTES;
        if let Some(place) = self.find(hash, key) {
            // Most writes leave the size as it is.
            if let (Some(slot), Some(value)) = (&mut self.slots[place as usize], value)
                && slot.bytes() == bytes
            {
                slot.piece[key.len()..].copy_from_slice(value);
                (slot.is_absent, slot.hidden) = (false, false);
                return;
            }
            self.remove_at(place);
        }
        if bytes > bytes_max {
            return;
        }
        self.make_room(bytes_max - bytes);
        self.bytes += bytes;
        let slot = Slot::new(hash, key, value);
        let place = match self.free.pop() {
            Some(place) => {
                self.slots[place as usize] = Some(slot);
                place
            }
            None => {
                self.slots.push(Some(slot));
                (self.slots.len() - 1) as u32
            }
        };
        let slots = &self.slots;
        self.table.insert_unique(hash, place, |place| slots[*place as usize].as_ref().map_or(0, |slot| slot.hash));
    }

    /// Evicts until no more than `bytes_max` are held.
    fn make_room(&mut self, bytes_max: usize) {
        // Two rounds at most: the first clears every mark.
        while self.bytes > bytes_max {
            self.hand = (self.hand + 1) % self.slots.len().max(1);
            match &mut self.slots[self.hand] {
                Some(slot) if slot.used => slot.used = false,
                Some(_) => self.remove_at(self.hand as u32),
                None => {}
            }
        }
    }

    fn end_commit_of_a_key(&mut self) {
        self.committing -= 1;
        self.generation += 1;
    }
}

impl RecordCache {
    /// A cache of up to `bytes_max` bytes (`record-cache-size`); 0: it keeps nothing. `seed` keeps clients from choosing
    /// keys that collide.
    pub fn new(bytes_max: usize, seed: u64) -> RecordCache {
        RecordCache {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: FixedState::with_seed(seed),
            shard_bytes_max: bytes_max / SHARDS,
        }
    }

    fn locate(&self, meta_key: &[u8]) -> (u64, &Mutex<Shard>) {
        let hash = self.hasher.hash_one(meta_key);
        // The table inside a shard uses the low and the very high bits.
        (hash, &self.shards[(hash >> 32) as usize % SHARDS])
    }

    pub fn lookup(&self, meta_key: &[u8]) -> Lookup {
        let (hash, shard) = self.locate(meta_key);
        let mut shard = shard.lock();
        match shard.find(hash, meta_key) {
            Some(place) => {
                let slot = shard.slots[place as usize].as_mut().expect("invariant: the table holds places in use");
                if slot.hidden {
                    return Lookup::Unknown(Ticket { generation: shard.generation });
                }
                slot.used = true;
                Lookup::Known(slot.value())
            }
            None => Lookup::Unknown(Ticket { generation: shard.generation }),
        }
    }

    /// Keeps what the engine answered, unless a commit may have changed it since the lookup that gave the ticket.
    pub fn fill(&self, ticket: Ticket, meta_key: &[u8], value: Option<&Bytes>) {
        if value.map_or(0, Bytes::len) > limits::CACHED_RECORD_BYTES_MAX {
            return;
        }
        let (hash, shard) = self.locate(meta_key);
        let mut shard = shard.lock();
        if shard.committing == 0 && shard.generation == ticket.generation {
            shard.insert(hash, meta_key, value.map(|value| &value[..]), self.shard_bytes_max);
        }
    }

    /// Hides the records of `keys`: a commit that changes them begins. The same keys have to be given at its end.
    pub fn begin_commit<'c, 'k>(&'c self, keys: impl Iterator<Item = &'k Bytes>) -> Commit<'c> {
        let mut open = Vec::new();
        for key in keys {
            let (hash, shard) = self.locate(key);
            let mut locked = shard.lock();
            if let Some(place) = locked.find(hash, key)
                && let Some(slot) = &mut locked.slots[place as usize]
            {
                slot.hidden = true;
            }
            locked.committing += 1;
            locked.generation += 1;
            open.push((hash, shard));
        }
        open.reverse();
        Commit { open, shard_bytes_max: self.shard_bytes_max }
    }

    /// Forgets all keys of a physical database: its number may be given again.
    pub fn forget(&self, db: PhysicalDb) {
        let prefix = db.to_be_bytes();
        for shard in &self.shards {
            let mut shard = shard.lock();
            for place in 0..shard.slots.len() as u32 {
                if shard.key_at(place).starts_with(&prefix) {
                    shard.remove_at(place);
                }
            }
        }
    }

    /// Forgets everything: another engine is opened.
    pub fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            for place in 0..shard.slots.len() as u32 {
                shard.remove_at(place);
            }
            shard.generation += 1;
        }
    }

    /// (entries, bytes, most bytes)
    pub fn usage(&self) -> (usize, usize, usize) {
        let (mut entries, mut bytes) = (0, 0);
        for shard in &self.shards {
            let shard = shard.lock();
            entries += shard.table.len();
            bytes += shard.bytes;
        }
        (entries, bytes, self.shard_bytes_max * SHARDS)
    }
}

/// A commit under way. Dropped without [`Commit::publish`] it failed, and what it would have changed stays unknown.
pub struct Commit<'c> {
    /// Where its keys belong, the last one first.
    open: Vec<(u64, &'c Mutex<Shard>)>,
    shard_bytes_max: usize,
}

impl Commit<'_> {
    /// The commit is in the engine: its `effects`, of the keys that it began with and in their order, are what readers
    /// see from now on.
    pub fn publish<'k>(mut self, effects: impl Iterator<Item = (&'k Bytes, &'k Option<Bytes>)>) {
        for (key, value) in effects {
            let Some((hash, shard)) = self.open.pop() else { return };
            let mut shard = shard.lock();
            match value {
                Some(value) if value.len() <= limits::CACHED_RECORD_BYTES_MAX => {
                    shard.insert(hash, key, Some(value), self.shard_bytes_max);
                }
                _ => shard.remove(hash, key),
            }
            shard.end_commit_of_a_key();
        }
    }
}

impl Drop for Commit<'_> {
    fn drop(&mut self) {
        for (hash, shard) in self.open.drain(..) {
            let mut shard = shard.lock();
            shard.remove_hidden(hash);
            shard.end_commit_of_a_key();
        }
    }
}

/// The engine's latest state, read through the cache. For transactions that see the latest state only: a snapshot's
/// answers are older, and must neither come from here nor be kept.
pub struct CachedView {
    pub engine: Arc<dyn Engine>,
    pub cache: Arc<RecordCache>,
}

impl View for CachedView {
    fn get(&self, cf: ColumnFamily, key: &[u8], tier: ReadTier) -> Result<Option<Bytes>, EngineError> {
        if cf != ColumnFamily::Meta {
            return self.engine.get(cf, key, tier);
        }
        match self.cache.lookup(key) {
            Lookup::Known(value) => Ok(value),
            Lookup::Unknown(ticket) => {
                let value = self.engine.get(cf, key, tier)?;
                self.cache.fill(ticket, key, value.as_ref());
                Ok(value)
            }
        }
    }

    fn scan<'v>(&'v self, cf: ColumnFamily, scan: Scan) -> Box<dyn Cursor + 'v> {
        self.engine.scan(cf, scan)
    }
}

/// The cache alone: what it does not know would block.
impl View for RecordCache {
    fn get(&self, cf: ColumnFamily, key: &[u8], _: ReadTier) -> Result<Option<Bytes>, EngineError> {
        match cf {
            ColumnFamily::Meta => match self.lookup(key) {
                Lookup::Known(value) => Ok(value),
                Lookup::Unknown(_) => Err(EngineError::WouldBlock),
            },
            _ => Err(EngineError::WouldBlock),
        }
    }

    fn scan<'v>(&'v self, _: ColumnFamily, _: Scan) -> Box<dyn Cursor + 'v> {
        Box::new(NothingKnown)
    }
}

struct NothingKnown;

impl Cursor for NothingKnown {
    fn next(&mut self) -> Result<Option<crate::engine::Entry<'_>>, EngineError> {
        Err(EngineError::WouldBlock)
    }

    fn seek(&mut self, _: &[u8]) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn key(number: u8) -> Bytes {
        Bytes::copy_from_slice(&[0, 1, number])
    }

    fn known(cache: &RecordCache, number: u8) -> Option<Option<Bytes>> {
        match cache.lookup(&key(number)) {
            Lookup::Known(value) => Some(value),
            Lookup::Unknown(_) => None,
        }
    }

    fn ticket(cache: &RecordCache, number: u8) -> Ticket {
        match cache.lookup(&key(number)) {
            Lookup::Unknown(ticket) => ticket,
            Lookup::Known(value) => panic!("{number} is known: {value:?}"),
        }
    }

    #[test]
    fn a_read_that_began_before_a_commit_is_not_kept() {
        let cache = RecordCache::new(1 << 20, 1);
        let (old, new) = (Bytes::from_static(b"old"), Some(Bytes::from_static(b"new")));
        let early = ticket(&cache, 1);
        let keys = [key(1)];
        let commit = cache.begin_commit(keys.iter());
        cache.fill(early, &key(1), Some(&old));
        assert_eq!(known(&cache, 1), None, "the commit may be in the engine already");
        let during = ticket(&cache, 1);
        cache.fill(during, &key(1), Some(&old));
        assert_eq!(known(&cache, 1), None, "it may be in the engine at any moment");
        commit.publish([(&key(1), &new)].into_iter());
        cache.fill(during, &key(1), Some(&old));
        assert_eq!(known(&cache, 1), Some(new));
    }

    #[test]
    fn after_a_commit_that_failed_the_engine_is_asked() {
        let cache = RecordCache::new(1 << 20, 1);
        let value = Bytes::from_static(b"value");
        cache.fill(ticket(&cache, 1), &key(1), Some(&value));
        let keys = [key(1), key(2)];
        drop(cache.begin_commit(keys.iter()));
        assert_eq!(known(&cache, 1), None);
        cache.fill(ticket(&cache, 1), &key(1), Some(&value));
        assert_eq!(known(&cache, 1), Some(Some(value)), "it is open for new answers again");
    }

    #[test]
    fn a_database_whose_number_is_free_again_is_forgotten() {
        let cache = RecordCache::new(1 << 20, 1);
        let other = Bytes::from_static(&[0, 2, 1]);
        cache.fill(ticket(&cache, 1), &key(1), None);
        cache.fill(Ticket { generation: 0 }, &other, None);
        cache.forget(1);
        assert_eq!(known(&cache, 1), None);
        assert!(matches!(cache.lookup(&other), Lookup::Known(None)));
    }

    #[test]
    fn what_is_used_stays_and_the_bound_holds() {
        // Room for about a thousand entries, in all shards together.
        let cache = RecordCache::new(1000 * (ENTRY_OVERHEAD_BYTES + 8), 1);
        let hot = Bytes::from_static(b"\0\x01hot");
        for number in 0..10_000u32 {
            let key = [&[0, 1][..], &number.to_be_bytes()].concat();
            if let Lookup::Unknown(ticket) = cache.lookup(&key) {
                cache.fill(ticket, &key, None);
            }
            if let Lookup::Unknown(ticket) = cache.lookup(&hot) {
                assert_eq!(number, 0, "the hot key was evicted");
                cache.fill(ticket, &hot, None);
            }
        }
        let (entries, bytes, bytes_max) = cache.usage();
        assert!(bytes <= bytes_max && entries > 500, "{entries} {bytes} {bytes_max}");
    }

    #[derive(Clone, Debug)]
    enum Act {
        Commit(BTreeMap<u8, Option<u8>>, bool),
        BeginRead(u8),
        EndRead(u8),
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let changes = prop::collection::btree_map(0u8..6, any::<Option<u8>>(), 1..4);
        let act = prop_oneof![
            (changes, any::<bool>()).prop_map(|(changes, succeeds)| Act::Commit(changes, succeeds)),
            (0u8..6).prop_map(Act::BeginRead),
            (0u8..6).prop_map(Act::EndRead),
        ];
        prop::collection::vec(act, 0..60)
    }

    proptest! {
        /// Reads begin and end anywhere between commits, and fill in what was true when they asked the engine.
        #[test]
        fn what_is_known_is_what_the_engine_holds(acts in acts(), small in any::<bool>()) {
            let cache = RecordCache::new(if small { SHARDS * 500 } else { 1 << 20 }, 1);
            let mut engine: BTreeMap<u8, Bytes> = BTreeMap::new();
            let mut reads = BTreeMap::new();
            for act in acts {
                match act {
                    Act::Commit(changes, succeeds) => {
                        let effects: Vec<(Bytes, Option<Bytes>)> = changes
                            .iter()
                            .map(|(number, value)| (key(*number), value.map(|byte| Bytes::copy_from_slice(&[byte]))))
                            .collect();
                        let commit = cache.begin_commit(effects.iter().map(|(key, _)| key));
                        if succeeds {
                            for ((number, _), (_, value)) in changes.iter().zip(&effects) {
                                match value {
                                    Some(value) => engine.insert(*number, value.clone()),
                                    None => engine.remove(number),
                                };
                            }
                            commit.publish(effects.iter().map(|(key, value)| (key, value)));
                        }
                    }
                    Act::BeginRead(number) => {
                        if let Lookup::Unknown(ticket) = cache.lookup(&key(number)) {
                            reads.insert(number, (ticket, engine.get(&number).cloned()));
                        }
                    }
                    Act::EndRead(number) => {
                        if let Some((ticket, value)) = reads.remove(&number) {
                            cache.fill(ticket, &key(number), value.as_ref());
                        }
                    }
                }
                for number in 0..6 {
                    if let Some(value) = known(&cache, number) {
                        prop_assert_eq!(value.as_ref(), engine.get(&number));
                    }
                }
            }
        }
    }
}
