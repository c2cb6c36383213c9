//! What the writer reclaims in between: the entries of large collections that are gone, and flushed databases.
//!
//! Every step is one write batch, so a crash leaves it done or not begun; and it is bounded, so that no request waits
//! for long. It must never drop what a snapshot still shows: deletions leave that to the engine, and what is left to
//! compaction the engine gives it only when no snapshot can be missing it.

use super::server::StorageState;
use crate::engine::{
    ColumnFamily, Direction, Durability, Engine, EngineError, ReadTier, Scan, WriteBatch, WriteOptions,
};
use crate::keyspace::{Record, Txn, TxnError, flushed_databases};
use crate::layout::{ObjectId, PhysicalDb, control, meta};
use crate::limits;
use bytes::Bytes;

/// The families that hold objects' entries.
const ENTRIES: [ColumnFamily; 2] = [ColumnFamily::Data, ColumnFamily::Score];

/// While writes are stalled there is nothing to reclaim that could not wait.
const WITHOUT_WAITING: WriteOptions = WriteOptions { durability: Durability::Written, no_slowdown: true };

/// What reclaiming remembers from one round to the next.
#[derive(Debug, Default)]
pub struct Reclaim {
    /// The large dead object last looked for.
    checked: Option<ObjectId>,
    /// The flushed database that is being gone through, and the key to go on from.
    walk: Option<(PhysicalDb, Bytes)>,
}

impl Reclaim {
    /// A quick round: deletes dead objects that are small, and leaves those that are not to compaction.
    pub fn run_quick(&self, state: &StorageState) {
        if let Err(error) = bury_dead(state) {
            tracing::error!(%error, "dead collections could not be reclaimed");
        }
    }

    /// A round with more reading: flushed databases, and whether compaction is done with some dead object.
    pub fn run(&mut self, state: &StorageState) {
        if let Err(error) = self.check_retired(state).and_then(|()| self.reclaim_flushed(state)) {
            tracing::error!(%error, "deleted data could not be reclaimed");
        }
    }

    fn check_retired(&mut self, state: &StorageState) -> Result<(), TxnError> {
        let dead = &state.keyspace_stats.dead;
        let mut gone = Vec::new();
        for _ in 0..limits::RECLAIM_CHECKS {
            let from = self.checked.unwrap_or(ObjectId::from_value(0));
            let Some(object) = dead.retired_behind(from) else { break };
            self.checked = Some(object);
            if first_entries(&*state.engine, object, ReadTier::All, 1)?.is_empty() {
                gone.push(object);
            }
        }
        gone.sort_unstable();
        gone.dedup();
        if !gone.is_empty() {
            let mut batch = WriteBatch::new();
            gone.iter().for_each(|object| batch.delete(ColumnFamily::Control, control::dead_key(*object).to_vec()));
            state.engine.write(&batch, WITHOUT_WAITING)?;
            state.engine.forget(&prefixes(&gone));
            dead.reclaimed(&gone);
        }
        Ok(())
    }

    /// Deletes the data of flushed databases: a range tombstone per column family, as cheap as it is rare.
    fn reclaim_flushed(&mut self, state: &StorageState) -> Result<(), TxnError> {
        let mut txn = Txn::writer(state.engine.as_ref());
        for db in flushed_databases(&txn)? {
            let mixed = txn.get(ColumnFamily::Control, &control::mixed_key(db))?.is_some();
            if mixed && !self.bury_collections(state, &txn, db)? {
                return Ok(());
            }
            // Its number is free for others after this.
            state.latest.cache.forget(db);
            let mut batch = WriteBatch::new();
            let (lower, upper) = meta::database(db);
            batch.delete_range(ColumnFamily::Meta, lower, upper);
            if !mixed && txn.get(ColumnFamily::Control, &control::next_object_key(db))?.is_some() {
                for cf in ENTRIES {
                    let (lower, upper) = ObjectId::all_entries(db);
                    batch.delete_range(cf, lower, upper);
                }
            }
            batch.delete(ColumnFamily::Control, control::flushed_key(db).to_vec());
            state.engine.write(&batch, WITHOUT_WAITING)?;
        }
        Ok(())
    }

    /// Notes some of the large collections of a flushed database as dead, one by one: it exchanged some with another
    /// database, so their objects are no range. Returns whether that was all of them. A walk that is cut short by a
    /// crash begins anew; an object that is noted twice is looked for twice.
    fn bury_collections(&mut self, state: &StorageState, txn: &Txn<'_>, db: PhysicalDb) -> Result<bool, TxnError> {
        let (lower, upper) = meta::database(db);
        let from = match self.walk.take() {
            Some((walked, position)) if walked == db => position,
            _ => lower,
        };
        let mut cursor = txn.scan(ColumnFamily::Meta, from, Some(upper), Direction::Forward)?;
        let (mut found, mut last) = (Vec::new(), None);
        for _ in 0..limits::RECLAIM_KEYS {
            let Some((key, value)) = cursor.next()? else {
                last = None;
                break;
            };
            last = Some(Bytes::copy_from_slice(key));
            found.extend(Record::decode_head(value)?.object);
        }
        if !found.is_empty() {
            let mut batch = WriteBatch::new();
            found.iter().for_each(|object| batch.put(ColumnFamily::Control, control::dead_key(*object).to_vec(), ""));
            state.engine.write(&batch, WITHOUT_WAITING)?;
            state.keyspace_stats.dead.add(&found);
        }
        let done = last.is_none();
        // The lowest key behind the last one.
        self.walk = last.map(|last| (db, [&last[..], &[0]].concat().into()));
        Ok(done)
    }
}

fn bury_dead(state: &StorageState) -> Result<(), TxnError> {
    let dead = &state.keyspace_stats.dead;
    let (mut small, mut large) = (Vec::new(), Vec::new());
    let (mut batch, mut looked_at) = (WriteBatch::new(), 0);
    let mut from = ObjectId::from_value(0);
    while looked_at < limits::RECLAIM_ENTRIES
        && let Some(object) = dead.fresh_from(from)
    {
        from = ObjectId::from_value(object.value() + 1);
        // Reading the disk is not worth while: compaction reads it some day anyway.
        match first_entries(&*state.engine, object, ReadTier::Cached, limits::RECLAIM_SMALL_ENTRIES + 1) {
            Ok(entries) if entries.len() <= limits::RECLAIM_SMALL_ENTRIES => {
                looked_at += entries.len() + 1;
                entries.into_iter().for_each(|(cf, key)| batch.delete(cf, key));
                batch.delete(ColumnFamily::Control, control::dead_key(object).to_vec());
                small.push(object);
            }
            Ok(entries) => {
                looked_at += entries.len();
                large.push(object);
            }
            Err(EngineError::WouldBlock) => {
                looked_at += 1;
                large.push(object);
            }
            Err(error) => return Err(error.into()),
        }
    }
    if !small.is_empty() {
        state.engine.write(&batch, WITHOUT_WAITING)?;
        dead.reclaimed(&small);
    }
    if !large.is_empty() {
        state.engine.retire(&prefixes(&large));
        dead.retired(&large);
    }
    Ok(())
}

/// Up to `limit` keys of an object's entries.
fn first_entries(
    engine: &dyn Engine,
    object: ObjectId,
    tier: ReadTier,
    limit: usize,
) -> Result<Vec<(ColumnFamily, Bytes)>, EngineError> {
    let mut found = Vec::new();
    for cf in ENTRIES {
        let (lower, upper) = object.entries();
        let scan = Scan { lower: Some(lower), upper: Some(upper), direction: Direction::Forward, tier };
        let mut cursor = engine.scan(cf, scan);
        while found.len() < limit
            && let Some((key, _)) = cursor.next()?
        {
            found.push((cf, Bytes::copy_from_slice(key)));
        }
    }
    Ok(found)
}

fn prefixes(objects: &[ObjectId]) -> Vec<[u8; 8]> {
    objects.iter().map(|object| object.prefix()).collect()
}
