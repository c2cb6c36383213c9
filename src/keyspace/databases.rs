//! Logical databases and where they live: SELECT sees a logical number, the disk a physical one, so that SWAPDB and
//! FLUSHDB of any size are O(1). Also the figures that INFO shows of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{DeadObjects, Keyspace, Result, TxnError};
use crate::engine::{ColumnFamily, Direction, View};
use crate::layout::control::{self, Counters};
use crate::layout::{Malformed, PHYSICAL_DB_LAST, PhysicalDb};

/// Physical numbers below it are the first homes of the logical databases; FLUSHDB allocates from here on.
const FIRST_FRESH: PhysicalDb = crate::limits::DATABASES_MAX as PhysicalDb;

/// Which physical database each logical one is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseMap {
    physical: Vec<PhysicalDb>,
}

impl DatabaseMap {
    /// Reads the map of `count` databases.
    pub fn load(view: &dyn View, count: usize) -> std::result::Result<DatabaseMap, TxnError> {
        let mut physical: Vec<PhysicalDb> = (0..count as PhysicalDb).collect();
        let mut txn = super::Txn::snapshot(view, Default::default());
        for (logical, home) in physical.iter_mut().enumerate() {
            if let Some(bytes) = txn.get(ColumnFamily::Control, &control::logical_db_key(logical as u16))? {
                *home = control::decode_db(&bytes)?;
            }
        }
        Ok(DatabaseMap { physical })
    }

    pub fn len(&self) -> usize {
        self.physical.len()
    }

    pub fn is_empty(&self) -> bool {
        self.physical.is_empty()
    }

    /// # Panics
    /// If there is no database `logical`: SELECT and its like check before.
    pub fn physical(&self, logical: usize) -> PhysicalDb {
        self.physical[logical]
    }

    /// The logical database that lives at `physical`, unless that was flushed.
    pub fn logical(&self, physical: PhysicalDb) -> Option<usize> {
        self.physical.iter().position(|home| *home == physical)
    }
}

impl Keyspace<'_> {
    /// SWAPDB.
    pub fn swap_databases(&mut self, a: usize, b: usize) {
        let (home_a, home_b) = (self.databases.physical(a), self.databases.physical(b));
        if home_a != home_b {
            self.move_database(a, home_b);
            self.move_database(b, home_a);
        }
    }

    /// FLUSHDB of one logical database: O(1), the old data is reclaimed in the background.
    pub fn flush_database(&mut self, db: usize) -> Result<()> {
        let old = self.databases.physical(db);
        if self.counters(old)?.keys == 0 {
            return Ok(());
        }
        let fresh = self.fresh_physical()?;
        self.move_database(db, fresh);
        self.txn.put(ColumnFamily::Control, copy(&control::flushed_key(old)), Bytes::new());
        self.txn.delete(ColumnFamily::Control, copy(&control::counters_key(old)));
        Ok(())
    }

    /// FLUSHALL.
    pub fn flush_all(&mut self) -> Result<()> {
        (0..self.db_count()).try_for_each(|db| self.flush_database(db))
    }

    fn move_database(&mut self, db: usize, home: PhysicalDb) {
        Arc::make_mut(&mut self.databases).physical[db] = home;
        let (key, value) = (control::logical_db_key(db as u16), control::encode_db(home));
        self.txn.put(ColumnFamily::Control, copy(&key), copy(&value));
    }

    /// A physical number that no database has, and that no flushed data still occupies.
    fn fresh_physical(&mut self) -> Result<PhysicalDb> {
        let stored = self.txn.get(ColumnFamily::Control, control::NEXT_PHYSICAL_KEY)?;
        let next = match stored {
            Some(bytes) => control::decode_db(&bytes).map_err(TxnError::from)?,
            None => FIRST_FRESH,
        };
        let flushed = flushed_databases(&self.txn)?;
        let taken = |db: &PhysicalDb| self.databases.physical.contains(db) || flushed.contains(db);
        let fresh = (next..=PHYSICAL_DB_LAST).chain(FIRST_FRESH..next).find(|db| !taken(db)).ok_or_else(|| {
            super::CommandError::custom("TRYAGAIN too many flushed databases wait to be reclaimed, try again later")
        })?;
        let after = if fresh == PHYSICAL_DB_LAST { FIRST_FRESH } else { fresh + 1 };
        self.txn.put(ColumnFamily::Control, copy(control::NEXT_PHYSICAL_KEY), copy(&control::encode_db(after)));
        Ok(fresh)
    }
}

/// The physical databases that were flushed and not yet reclaimed.
pub fn flushed_databases(txn: &super::Txn<'_>) -> std::result::Result<Vec<PhysicalDb>, TxnError> {
    let (lower, upper) = control::flushed_dbs();
    let mut cursor = txn.scan(ColumnFamily::Control, lower.into(), Some(upper.into()), Direction::Forward)?;
    let mut found = Vec::new();
    while let Some((key, _)) = cursor.next()? {
        found.push(control::number_of(key)?);
    }
    Ok(found)
}

fn copy(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// The committed counters, for INFO and for whoever must not ask the engine; and what there is to reclaim.
#[derive(Debug, Default)]
pub struct KeyspaceStats {
    pub dead: DeadObjects,
    by_physical: Mutex<BTreeMap<PhysicalDb, Counters>>,
}

impl KeyspaceStats {
    /// Reads all counters and dead objects at start-up.
    pub fn load(&self, view: &dyn View) -> std::result::Result<(), TxnError> {
        let txn = super::Txn::snapshot(view, Default::default());
        let (lower, upper) = control::all_counters();
        let mut cursor = txn.scan(ColumnFamily::Control, lower.into(), Some(upper.into()), Direction::Forward)?;
        let mut loaded = BTreeMap::new();
        while let Some((key, value)) = cursor.next()? {
            loaded.insert(control::number_of(key)?, Counters::decode(value)?);
        }
        *self.by_physical.lock() = loaded;
        self.dead.load(view)
    }

    /// Takes over what a committed group changed in the control family.
    pub fn apply(&self, key: &[u8], value: Option<&Bytes>) -> std::result::Result<(), Malformed> {
        self.dead.apply(key, value);
        if control::is_counters_key(key) {
            let db = control::number_of(key)?;
            match value {
                Some(value) => self.by_physical.lock().insert(db, Counters::decode(value)?),
                None => self.by_physical.lock().remove(&db),
            };
        }
        Ok(())
    }

    /// Whether any key, of any database, has an expiry.
    pub fn any_expiring(&self) -> bool {
        self.by_physical.lock().values().any(|counters| counters.expiring > 0)
    }

    /// The counters of each logical database that holds a key.
    pub fn of(&self, databases: &DatabaseMap) -> Vec<(usize, Counters)> {
        let counters = self.by_physical.lock();
        let of = |db| counters.get(&databases.physical(db)).copied().unwrap_or_default();
        (0..databases.len()).map(|db| (db, of(db))).filter(|(_, counters)| counters.keys > 0).collect()
    }
}
