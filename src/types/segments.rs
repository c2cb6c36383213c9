//! Long strings in pieces: segments of 16 KiB, numbered from the front, as entries of an object. A segment that is not
//! there, and what lies behind a short one's end, is zeros.
//!
//! It must never read or write a segment that a change does not touch: that is what segments are for.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::elements::malformed;
use crate::engine::{ColumnFamily, Direction};
use crate::keyspace::{CommandError, Keyspace};
use crate::layout::{ObjectId, data};
use crate::limits::{STRING_SEGMENT_BYTES as SEGMENT, STRING_SHORT_READ_BYTES};

type Result<T> = std::result::Result<T, CommandError>;

/// The part of each segment that lies in `range`, with the segment's number.
fn parts(range: Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> {
    let numbers = if range.is_empty() { 0..0 } else { range.start / SEGMENT..range.end.div_ceil(SEGMENT) };
    numbers.map(move |number| {
        let start = number * SEGMENT;
        (number, range.start.max(start) - start..range.end.min(start + SEGMENT) - start)
    })
}

/// Stores a whole value under a new object.
pub fn write(keyspace: &mut Keyspace<'_>, object: ObjectId, value: &Bytes) {
    for (number, part) in parts(0..value.len()) {
        let start = number * SEGMENT;
        put(keyspace, object, number, value.slice(start + part.start..start + part.end));
    }
}

fn put(keyspace: &mut Keyspace<'_>, object: ObjectId, number: usize, segment: Bytes) {
    keyspace.txn_mut().put(ColumnFamily::Data, data::index(object, number as u64), segment);
}

/// Visits what is stored of the bytes in `range`, in order, each piece with its offset, until `visit` says stop.
pub fn walk(
    keyspace: &Keyspace<'_>,
    object: ObjectId,
    range: Range<usize>,
    mut visit: impl FnMut(usize, &[u8]) -> bool,
) -> Result<()> {
    if range.len() > STRING_SHORT_READ_BYTES {
        keyspace.txn().check_may_take_long()?;
    }
    let key = |number: usize| data::index(object, number as u64);
    let (lower, upper) = (key(range.start / SEGMENT), key(range.end.div_ceil(SEGMENT)));
    let mut cursor = keyspace.txn().scan(ColumnFamily::Data, lower, Some(upper), Direction::Forward)?;
    while let Some((key, segment)) = cursor.next()? {
        let start = data::parse_index(key).map_err(malformed)? as usize * SEGMENT;
        let from = range.start.max(start).min(start + segment.len());
        let to = range.end.min(start + segment.len());
        if from < to && !visit(from, &segment[from - start..to - start]) {
            break;
        }
    }
    Ok(())
}

/// The bytes in `range`.
pub fn read(keyspace: &Keyspace<'_>, object: ObjectId, range: Range<usize>) -> Result<Bytes> {
    let mut bytes = BytesMut::zeroed(range.len());
    walk(keyspace, object, range.clone(), |at, piece| {
        bytes[at - range.start..][..piece.len()].copy_from_slice(piece);
        true
    })?;
    Ok(bytes.freeze())
}

/// Segments that are being changed.
#[derive(Debug, Default)]
pub struct Changes {
    /// In full length, those that were looked at too.
    touched: BTreeMap<usize, Vec<u8>>,
    changed: bool,
}

impl Changes {
    /// Those that make the segments of a value that was in one piece so far.
    pub fn of_whole(value: &[u8]) -> Changes {
        let mut changes = Changes { changed: true, ..Changes::default() };
        for (number, segment) in value.chunks(SEGMENT).enumerate() {
            let mut segment = segment.to_vec();
            segment.resize(SEGMENT, 0);
            changes.touched.insert(number, segment);
        }
        changes
    }

    /// A segment as it is now.
    fn segment(&mut self, keyspace: &mut Keyspace<'_>, object: ObjectId, number: usize) -> Result<&mut Vec<u8>> {
        match self.touched.entry(number) {
            Entry::Occupied(touched) => Ok(touched.into_mut()),
            Entry::Vacant(vacant) => {
                let stored = keyspace.txn_mut().get(ColumnFamily::Data, &data::index(object, number as u64))?;
                let mut segment = stored.unwrap_or_default().to_vec();
                segment.resize(SEGMENT, 0);
                Ok(vacant.insert(segment))
            }
        }
    }

    pub fn read(&mut self, keyspace: &mut Keyspace<'_>, object: ObjectId, range: Range<usize>) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for (number, part) in parts(range) {
            bytes.extend_from_slice(&self.segment(keyspace, object, number)?[part]);
        }
        Ok(bytes)
    }

    pub fn write(&mut self, keyspace: &mut Keyspace<'_>, object: ObjectId, offset: usize, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        for (number, part) in parts(offset..offset + bytes.len()) {
            let (new, behind) = rest.split_at(part.len());
            rest = behind;
            if part.len() == SEGMENT {
                // All of it is overwritten: what it was does not matter.
                self.touched.insert(number, new.to_vec());
                self.changed = true;
                continue;
            }
            let before = &mut self.segment(keyspace, object, number)?[part];
            let differs = before != new;
            before.copy_from_slice(new);
            self.changed |= differs;
        }
        Ok(())
    }

    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// Stores them. A string ends at `len`, and nothing is stored beyond.
    pub fn finish(self, keyspace: &mut Keyspace<'_>, object: ObjectId, len: usize) {
        for (number, mut segment) in self.touched {
            segment.truncate(len.saturating_sub(number * SEGMENT));
            put(keyspace, object, number, segment.into());
        }
    }
}
