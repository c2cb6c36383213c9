//! How Redis would pack a stream's entries: into nodes, each so full as the configuration lets it be. `~` trims whole nodes
//! only, so what a client is told depends on them; nothing is stored by them here.
//!
//! The last node is in the stream's record, and becomes a record of its own when the next one begins. It must never take
//! more than one look into the store to note what becomes of an entry.

use std::ops::ControlFlow;

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3Default;

use super::stream::{Result, corrupt, malformed};
use crate::engine::{ColumnFamily, Direction};
use crate::keyspace::Keyspace;
use crate::layout::ObjectId;
use crate::layout::stream::{self as layout, Head, Node};
use crate::limits;
use crate::rdb::{self, LISTPACK_EMPTY_LEN, listpack_entry_len, listpack_integer_len};
use crate::stream_id::StreamId;

/// Bytes of a node whatever the configuration says.
const BYTES_MAX: u64 = 1 << 30;

/// When a node is full.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packing {
    bytes_max: u64,
    /// 0: any number.
    entries_max: u64,
}

impl Packing {
    pub fn of(keyspace: &Keyspace<'_>) -> Packing {
        let encodings = keyspace.encodings();
        let bytes_max = match encodings.stream_node_max_bytes {
            0 => BYTES_MAX,
            bytes => bytes.min(BYTES_MAX),
        };
        Packing { bytes_max, entries_max: encodings.stream_node_max_entries }
    }

    fn is_full(self, node: &Node, parts: &[Bytes]) -> bool {
        let text: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let count = node.entries + node.deleted;
        node.bytes + text >= self.bytes_max || self.entries_max > 0 && count >= self.entries_max
    }
}

fn len_of(integer: u64) -> u64 {
    listpack_integer_len(integer as i64) as u64
}

fn len_of_texts<'t>(texts: impl Iterator<Item = &'t Bytes>) -> u64 {
    texts.map(|text| listpack_entry_len(text) as u64).sum()
}

/// The names of an entry's fields, as a node remembers them.
fn mark<'t>(names: impl Iterator<Item = &'t Bytes>) -> (u64, u64) {
    let (mut count, mut hash) = (0, Xxh3Default::new());
    for name in names {
        count += 1;
        hash.update(&(name.len() as u64).to_le_bytes());
        hash.update(name);
    }
    (count, hash.digest())
}

/// Notes an entry that is being added.
pub(super) fn append(
    keyspace: &mut Keyspace<'_>,
    object: ObjectId,
    head: &mut Head,
    packing: Packing,
    id: StreamId,
    parts: &[Bytes],
) {
    let fields = mark(parts.iter().step_by(2));
    if let Some(full) = head.tail.take_if(|tail| packing.is_full(tail, parts)) {
        keyspace.txn_mut().put(ColumnFamily::Data, layout::node(object, full.first), full.encode());
    }
    let node = head.tail.get_or_insert_with(|| {
        head.nodes += 1;
        // The numbers of its entries, of those that were deleted, and of its fields; these, and what ends them.
        let around = LISTPACK_EMPTY_LEN as u64 + 3 * len_of(0) + len_of(fields.0);
        let bytes = around + len_of_texts(parts.iter().step_by(2));
        Node { first: id, last: id, entries: 0, deleted: 0, bytes, fields }
    });
    let (ms, seq) = (id.ms.wrapping_sub(node.first.ms), id.seq.wrapping_sub(node.first.seq));
    // Flags, id, and how long it is.
    let mut bytes = len_of(0) + len_of(ms) + len_of(seq);
    bytes += match node.fields == fields {
        true => len_of_texts(parts.iter().skip(1).step_by(2)) + len_of(fields.0 + 3),
        false => len_of(fields.0) + len_of_texts(parts.iter()) + len_of(2 * fields.0 + 4),
    };
    node.bytes += bytes;
    node.last = id;
    recount(node, node.entries + 1, node.deleted);
}

/// The numbers themselves take more bytes when they are larger.
fn recount(node: &mut Node, entries: u64, deleted: u64) {
    let before = len_of(node.entries) + len_of(node.deleted);
    node.bytes = (node.bytes + len_of(entries) + len_of(deleted)).saturating_sub(before);
    (node.entries, node.deleted) = (entries, deleted);
}

/// Notes that an entry is being deleted.
pub(super) fn delete(keyspace: &mut Keyspace<'_>, object: ObjectId, head: &mut Head, id: StreamId) -> Result<()> {
    let node = match &head.tail {
        Some(tail) if tail.first <= id => *tail,
        _ => find(keyspace, object, (head.nodes_from, id), Direction::Backward)?.ok_or_else(corrupt)?,
    };
    if node.entries > 1 {
        note_removed(keyspace, object, head, node, 1);
        return Ok(());
    }
    head.nodes = head.nodes.saturating_sub(1);
    if head.tail.take_if(|tail| tail.first == node.first).is_none() {
        keyspace.txn_mut().delete(ColumnFamily::Data, layout::node(object, node.first));
        return Ok(());
    }
    // The one before is the last one again.
    head.tail = find(keyspace, object, (head.nodes_from, node.first), Direction::Backward)?;
    if let Some(tail) = &head.tail {
        keyspace.txn_mut().delete(ColumnFamily::Data, layout::node(object, tail.first));
    }
    Ok(())
}

/// Notes that some of a node's entries are gone.
pub(super) fn note_removed(
    keyspace: &mut Keyspace<'_>,
    object: ObjectId,
    head: &mut Head,
    mut node: Node,
    removed: u64,
) {
    let (entries, deleted) = (node.entries.saturating_sub(removed), node.deleted + removed);
    recount(&mut node, entries, deleted);
    match &mut head.tail {
        Some(tail) if tail.first == node.first => *tail = node,
        _ => keyspace.txn_mut().put(ColumnFamily::Data, layout::node(object, node.first), node.encode()),
    }
}

/// The first node.
pub(super) fn first(keyspace: &Keyspace<'_>, object: ObjectId, head: &Head) -> Result<Option<Node>> {
    match head.nodes {
        0 | 1 => Ok(head.tail),
        _ => find(keyspace, object, (head.nodes_from, StreamId::MAX), Direction::Forward),
    }
}

/// Removes the first node, with all that is in it.
pub(super) fn remove_first(keyspace: &mut Keyspace<'_>, object: ObjectId, head: &mut Head, node: &Node) {
    head.nodes = head.nodes.saturating_sub(1);
    if head.tail.take_if(|tail| tail.first == node.first).is_none() {
        keyspace.txn_mut().delete(ColumnFamily::Data, layout::node(object, node.first));
    }
    // So that nobody looks for the next one where only deleted ones lie.
    head.nodes_from = node.first.next().unwrap_or(StreamId::MAX);
}

/// Removes what is left of nodes in an empty stream: those that hold nothing any more.
pub(super) fn clear(keyspace: &mut Keyspace<'_>, object: ObjectId, head: &mut Head) -> Result<()> {
    while let Some(node) = first(keyspace, object, head)? {
        remove_first(keyspace, object, head, &node);
    }
    head.nodes_from = StreamId::MIN;
    Ok(())
}

/// Of those that have a record.
fn find(
    keyspace: &Keyspace<'_>,
    object: ObjectId,
    range: (StreamId, StreamId),
    direction: Direction,
) -> Result<Option<Node>> {
    let mut found = None;
    walk(keyspace, object, range, direction, |node| {
        found = Some(node);
        ControlFlow::Break(())
    })?;
    Ok(found)
}

fn walk(
    keyspace: &Keyspace<'_>,
    object: ObjectId,
    (from, to): (StreamId, StreamId),
    direction: Direction,
    mut visit: impl FnMut(Node) -> ControlFlow<()>,
) -> Result<()> {
    let (lower, upper) = layout::nodes(object, from, to);
    let mut cursor = keyspace.txn().scan(ColumnFamily::Data, lower, Some(upper), direction)?;
    while let Some((_, value)) = cursor.next()? {
        if visit(Node::decode(value).map_err(malformed)?).is_break() {
            break;
        }
    }
    Ok(())
}

/// All nodes, without their entries.
pub(super) fn all(keyspace: &Keyspace<'_>, object: ObjectId, head: &Head) -> Result<Vec<rdb::StreamNode>> {
    let mut nodes = Vec::new();
    let empty = |node: &Node| {
        let Node { first, last, deleted, bytes, .. } = *node;
        rdb::StreamNode { first, last, deleted, bytes, ..Default::default() }
    };
    walk(keyspace, object, (head.nodes_from, StreamId::MAX), Direction::Forward, |node| {
        nodes.push(empty(&node));
        ControlFlow::Continue(())
    })?;
    nodes.extend(head.tail.iter().map(empty));
    Ok(nodes)
}

/// Appends a node that was read from a dump.
pub(super) fn restore(keyspace: &mut Keyspace<'_>, object: ObjectId, head: &mut Head, node: &rdb::StreamNode) {
    let &rdb::StreamNode { first, last, deleted, bytes, .. } = node;
    let entries = node.entries.len() as u64;
    let node = Node { first, last, entries, deleted, bytes, fields: mark(node.fields.iter()) };
    head.nodes += 1;
    if let Some(before) = head.tail.replace(node) {
        keyspace.txn_mut().put(ColumnFamily::Data, layout::node(object, before.first), before.encode());
    }
}

/// How many nodes there are, and how many a radix tree of their first ids has; of many, as many as it would have if all were
/// as those first looked at.
pub(super) fn count(keyspace: &Keyspace<'_>, object: ObjectId, head: &Head) -> Result<(u64, u64)> {
    let mut firsts = Vec::new();
    walk(keyspace, object, (head.nodes_from, StreamId::MAX), Direction::Forward, |node| {
        firsts.push(node.first.to_bytes());
        if firsts.len() as u64 >= limits::SHORT_WALK_ELEMENTS {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    if (firsts.len() as u64) < limits::SHORT_WALK_ELEMENTS {
        firsts.extend(head.tail.iter().map(|tail| tail.first.to_bytes()));
    }
    let (seen, found) = (firsts.len() as u64, radix_tree_nodes(&firsts));
    let all = if seen < head.nodes { found.saturating_mul(head.nodes) / seen.max(1) } else { found };
    Ok((head.nodes, all))
}

/// How many nodes a compressed radix tree of `keys` has, which rise: one for the end of each, one where some part, and one
/// for each row of bytes between two of these.
fn radix_tree_nodes(keys: &[[u8; StreamId::BYTES]]) -> u64 {
    if keys.is_empty() {
        return 1;
    }
    // A row between a place where keys part, which takes a byte itself, and what is below; or from the root.
    let row = |above: Option<usize>, below: usize| u64::from(below > above.map_or(0, |above| above + 1));
    let common =
        |pair: &[[u8; StreamId::BYTES]]| pair[0].iter().zip(&pair[1]).take_while(|(one, other)| one == other).count();
    let (mut total, mut parted) = (0, Vec::new());
    let mut before = None;
    for at in 0..keys.len() {
        let after = keys.get(at..at + 2).map(common);
        total += 1 + row(before.max(after), StreamId::BYTES);
        while let Some(below) = parted.pop_if(|below| after.is_none_or(|after| *below > after)) {
            total += 1 + row(parted.last().copied().max(after), below);
        }
        if let Some(after) = after
            && parted.last() != Some(&after)
        {
            parted.push(after);
        }
        before = after;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// By taking the tree apart: `keys` share their first `depth` bytes, and are not empty.
    fn nodes_below(keys: &[[u8; StreamId::BYTES]], depth: usize) -> u64 {
        let Some(parted) = (depth..StreamId::BYTES).find(|at| keys.iter().any(|key| key[*at] != keys[0][*at])) else {
            return 1 + u64::from(depth < StreamId::BYTES);
        };
        let bytes: BTreeSet<u8> = keys.iter().map(|key| key[parted]).collect();
        let below = |byte: u8| {
            let keys: Vec<_> = keys.iter().filter(|key| key[parted] == byte).copied().collect();
            nodes_below(&keys, parted + 1)
        };
        1 + u64::from(depth < parted) + bytes.into_iter().map(below).sum::<u64>()
    }

    proptest! {
        #[test]
        fn radix_trees_are_counted_without_being_built(
            ids in prop::collection::btree_set((0u64..3000, prop_oneof![Just(0), 0u64..70_000]), 1..60),
        ) {
            let keys: Vec<_> = ids.into_iter().map(|(ms, seq)| StreamId { ms, seq }.to_bytes()).collect();
            prop_assert_eq!(radix_tree_nodes(&keys), nodes_below(&keys, 0));
        }
    }
}
