//! Sets: members without values, as [`super::elements`] keeps them; and what several of them have in common.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::elements::{ByHash, Editor, Element, Elements, Result};
use crate::keyspace::{Keyspace, Type};
use crate::number;

/// Redis moves what is left of a set to a new one if it is less than a fifth of what was popped.
const POP_REBUILDS_BELOW: u64 = 5;

/// SADD. Returns how many of the members are new.
pub fn add(keyspace: &mut Keyspace<'_>, key: &Bytes, members: &[Bytes]) -> Result<u64> {
    let mut set = Editor::open(keyspace, key, Type::Set)?;
    let mut new = 0;
    for member in members {
        new += u64::from(set.set(keyspace, member, &Bytes::new())?.is_none());
    }
    set.finish(keyspace, (new > 0).then_some("sadd"))?;
    Ok(new)
}

/// SREM. Returns how many members there were.
pub fn remove(keyspace: &mut Keyspace<'_>, key: &Bytes, members: &[Bytes]) -> Result<u64> {
    let mut set = Editor::open(keyspace, key, Type::Set)?;
    let mut removed = 0;
    for member in members {
        removed += u64::from(set.remove(keyspace, member)?.is_some());
    }
    set.finish(keyspace, (removed > 0).then_some("srem"))?;
    Ok(removed)
}

/// SMOVE. Returns whether the member was in the source.
pub fn move_member(keyspace: &mut Keyspace<'_>, from: &Bytes, to: &Bytes, member: &Bytes) -> Result<bool> {
    let mut source = Editor::open(keyspace, from, Type::Set)?;
    if !source.exists() {
        return Ok(false);
    }
    let mut destination = Editor::open(keyspace, to, Type::Set)?;
    if from == to {
        return Ok(source.get(keyspace, member)?.is_some());
    }
    if source.remove(keyspace, member)?.is_none() {
        return Ok(false);
    }
    source.finish(keyspace, Some("srem"))?;
    let added = destination.set(keyspace, member, &Bytes::new())?.is_none();
    destination.finish(keyspace, added.then_some("sadd"))?;
    Ok(true)
}

/// SPOP without a count: removes and returns a member drawn by chance.
pub fn pop(keyspace: &mut Keyspace<'_>, key: &Bytes) -> Result<Option<Bytes>> {
    let mut set = Editor::open(keyspace, key, Type::Set)?;
    if !set.exists() {
        return Ok(None);
    }
    let (member, value) = set.elements().draw(keyspace)?;
    set.remove_found(keyspace, &member, &value)?;
    set.finish(keyspace, Some("spop"))?;
    Ok(Some(member))
}

/// SPOP of up to `count` members.
pub fn pop_many(keyspace: &mut Keyspace<'_>, key: &Bytes, count: u64) -> Result<Vec<Bytes>> {
    let mut set = Editor::open(keyspace, key, Type::Set)?;
    if !set.exists() || count == 0 {
        return Ok(Vec::new());
    }
    let elements = set.elements().clone();
    if count >= elements.len() {
        let all = members(keyspace, &elements)?;
        set.clear();
        set.finish(keyspace, Some("spop"))?;
        return Ok(all);
    }
    let drawn = elements.draw_distinct(keyspace, count)?;
    for (member, value) in &drawn {
        set.remove_found(keyspace, member, value)?;
    }
    let popped = drawn.into_iter().map(|(member, _)| member).collect();
    let left = set.elements().len();
    if left.saturating_mul(POP_REBUILDS_BELOW) <= count && !set.elements().is_compact() {
        let mut all_integers = true;
        let mut position = 0;
        set.elements().for_each(keyspace, |member, _| {
            all_integers &= number::parse_i64(member).is_some();
            position += 1;
        })?;
        if all_integers && position <= keyspace.encodings().set_max_intset_entries {
            set.set_loose(false);
        }
    }
    set.finish(keyspace, Some("spop"))?;
    Ok(popped)
}

/// All members; of a set of integers that Redis keeps in order, in that order.
pub fn members(keyspace: &Keyspace<'_>, set: &Elements) -> Result<Vec<Bytes>> {
    let mut members = Vec::new();
    set.for_each(keyspace, |member, _| members.push(Bytes::copy_from_slice(member)))?;
    if set.is_compact() {
        sort_integers(&mut members);
    }
    Ok(members)
}

/// Puts the members of compact sets into the order in which Redis keeps them.
pub fn sort_integers(members: &mut [Bytes]) {
    members.sort_by_cached_key(|member| number::parse_i64(member));
}

/// What several sets are made one by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combination {
    Union,
    Intersection,
    /// What is in the first and in no other.
    Difference,
}

/// The sets at `keys`; `None`: there is none.
pub fn read_all(keyspace: &mut Keyspace<'_>, keys: &[Bytes]) -> Result<Vec<Option<Elements>>> {
    keys.iter().map(|key| Elements::read(keyspace, key, Type::Set)).collect()
}

impl Combination {
    /// Visits each member of the combined set once, until `visit` breaks; in no particular order.
    pub fn walk(
        self,
        keyspace: &Keyspace<'_>,
        sets: &[Option<Elements>],
        visit: &mut dyn FnMut(&[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        match self {
            Combination::Union => {
                let sets: Vec<&Elements> = sets.iter().flatten().collect();
                merge(keyspace, &sets, |_| true, visit)
            }
            Combination::Intersection => {
                let Some(mut sets) = sets.iter().map(Option::as_ref).collect::<Option<Vec<_>>>() else {
                    return Ok(());
                };
                sets.sort_by_key(|set| set.len());
                let Some((smallest, others)) = sets.split_first() else { return Ok(()) };
                smallest.walk(keyspace, |member, _| {
                    for set in others {
                        if set.look_up(keyspace, member)?.is_none() {
                            return Ok(ControlFlow::Continue(()));
                        }
                    }
                    visit(member)
                })
            }
            Combination::Difference => {
                let Some((Some(first), others)) = sets.split_first() else { return Ok(()) };
                let others: Vec<&Elements> = others.iter().flatten().collect();
                // A look-up costs several times what a step of a walk does.
                let beside = others.iter().map(|set| set.len()).sum::<u64>();
                if first.len().saturating_mul(4 * others.len() as u64) > beside {
                    let sets: Vec<&Elements> = std::iter::once(first).chain(others).collect();
                    return merge(keyspace, &sets, |holders| holders[0] && !holders[1..].contains(&true), visit);
                }
                first.walk(keyspace, |member, _| {
                    for set in &others {
                        if set.look_up(keyspace, member)?.is_some() {
                            return Ok(ControlFlow::Continue(()));
                        }
                    }
                    visit(member)
                })
            }
        }
    }

    /// The members of the combined set, for a command that stores them.
    pub fn collect(self, keyspace: &Keyspace<'_>, sets: &[Option<Elements>]) -> Result<Vec<Bytes>> {
        let mut members = Vec::new();
        self.walk(keyspace, sets, &mut |member| {
            members.push(Bytes::copy_from_slice(member));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(members)
    }

    /// SUNIONSTORE and its like. Returns how many members there are.
    pub fn store(self, keyspace: &mut Keyspace<'_>, key: &Bytes, sets: &[Option<Elements>]) -> Result<u64> {
        let members = self.collect(keyspace, sets)?;
        let mut set = Editor::replace(keyspace, key, Type::Set)?;
        for member in &members {
            set.set(keyspace, member, &Bytes::new())?;
        }
        let event = match self {
            Combination::Union => "sunionstore",
            Combination::Intersection => "sinterstore",
            Combination::Difference => "sdiffstore",
        };
        set.finish(keyspace, Some(event))?;
        Ok(members.len() as u64)
    }
}

/// Goes through all sets side by side, in the order of their members' hashes, and visits those members that `wanted`
/// says yes to, knowing which sets hold them. Needs no memory but a member per set.
fn merge(
    keyspace: &Keyspace<'_>,
    sets: &[&Elements],
    wanted: impl Fn(&[bool]) -> bool,
    visit: &mut dyn FnMut(&[u8]) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let mut sources = sets.iter().map(|set| set.by_hash(keyspace)).collect::<Result<Vec<ByHash<'_>>>>()?;
    let mut heads: Vec<Option<(u32, Element)>> = sources.iter_mut().map(ByHash::next).collect::<Result<_>>()?;
    while let Some(lowest) = heads.iter().flatten().min().cloned() {
        let mut holders = vec![false; heads.len()];
        for (at, head) in heads.iter_mut().enumerate() {
            if head.as_ref() == Some(&lowest) {
                holders[at] = true;
                *head = sources[at].next()?;
            }
        }
        if wanted(&holders) && visit(&lowest.1.0)?.is_break() {
            break;
        }
    }
    Ok(())
}
