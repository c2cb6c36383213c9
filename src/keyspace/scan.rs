//! Walking the keys of a database: SCAN, KEYS, RANDOMKEY.
//!
//! Keys are stored in the order of [`Hash48`], a fixed property of the key, so a SCAN cursor is simply the next
//! position: no state on the server, valid across restarts, and a key that is there throughout is given exactly once.

use bytes::Bytes;

use super::{CommandError, Keyspace, Record, Result, Type};
use crate::engine::{ColumnFamily, Direction};
use crate::glob;
use crate::keyspace::TxnError;
use crate::layout::{Hash48, meta};

/// Which keys a scan wants.
#[derive(Clone, Debug, Default)]
pub struct ScanFilter {
    pub pattern: Option<Bytes>,
    pub kind: Option<Type>,
}

/// One call's worth of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanPage {
    pub keys: Vec<Bytes>,
    /// Where the next call goes on; 0: the scan is complete.
    pub cursor: u64,
}

impl Keyspace<'_> {
    /// Visits at least `count` keys from `cursor` on and returns those that `filter` wants. It ends only between two
    /// positions, so that keys whose hashes collide are given together.
    pub fn scan(&mut self, cursor: u64, count: usize, filter: &ScanFilter) -> Result<ScanPage> {
        // A cursor that we never gave leads past the end, as in Redis: the scan is over.
        let Some(from) = Hash48::new(cursor) else { return Ok(ScanPage { keys: Vec::new(), cursor: 0 }) };
        let mut keys = Vec::new();
        let (mut visited, mut last) = (0, None);
        let cursor = self.walk(from, |hash, user_key, record| {
            if visited >= count && last != Some(hash) {
                return Some(hash.value());
            }
            (visited, last) = (visited + 1, Some(hash));
            if filter.kind.is_none_or(|kind| kind == record.kind)
                && filter.pattern.as_ref().is_none_or(|pattern| glob::matches(pattern, user_key))
            {
                keys.push(Bytes::copy_from_slice(user_key));
            }
            None
        })?;
        Ok(ScanPage { keys, cursor: cursor.unwrap_or(0) })
    }

    /// A key drawn by chance, or `None` from an empty database. Drawn by position, so not perfectly uniform: keys after
    /// a wide gap are likelier.
    pub fn random_key(&mut self) -> Result<Option<Bytes>> {
        let from = self.random() >> (64 - Hash48::BITS);
        for start in [from, 0] {
            let start = Hash48::new(start).ok_or(CommandError::Internal)?;
            if let Some(key) = self.walk(start, |_, user_key, _| Some(Bytes::copy_from_slice(user_key)))? {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    /// Calls `visit` on each live key from position `from` on, until it returns something.
    fn walk<T>(
        &mut self,
        from: Hash48,
        mut visit: impl FnMut(Hash48, &[u8], &Record) -> Option<T>,
    ) -> Result<Option<T>> {
        let db = self.physical();
        let (_, upper) = meta::database(db);
        let mut cursor =
            self.txn.scan(ColumnFamily::Meta, meta::position(db, from), Some(upper), Direction::Forward)?;
        while let Some((key, value)) = cursor.next()? {
            let (_, hash, user_key) = meta::parse(key).map_err(TxnError::from)?;
            let record = Record::decode_head(value).map_err(TxnError::from)?;
            if record.is_expired(self.now_ms) {
                continue;
            }
            if let Some(found) = visit(hash, user_key, &record) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}
