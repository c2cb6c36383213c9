//! Sorted sets: members with scores, as [`super::elements`] keeps them, in the order of scores.
//!
//! Where a range begins by score is found at once; the position of a member, and a member by its position, are found by
//! counting from the nearer end, so ZRANK and ranges in the middle of a very large set take time in proportion to that.

use std::ops::ControlFlow;

use bytes::Bytes;

pub use super::edges::End;

use super::edges::Edges;
use super::elements::{ByHash, Editor, Element, Elements, Result, by_score, decode_score, encode_score, malformed};
use crate::engine::{ColumnFamily, Direction};
use crate::keyspace::txn::TxnCursor;
use crate::keyspace::{CommandError, Keyspace, Type};
use crate::layout::ObjectId;
use crate::layout::score::{self, Place};
use crate::limits;

/// A member and its score.
pub type Scored = (Bytes, f64);

/// What a walk calls on each member and its score.
pub type Visit<'v> = &'v mut dyn FnMut(&[u8], f64) -> Result<ControlFlow<()>>;

// ---- Single members ------------------------------------------------------------------------------------------------

/// The score of `member`.
pub fn score_of(keyspace: &mut Keyspace<'_>, zset: &Elements, member: &[u8]) -> Result<Option<f64>> {
    zset.get(keyspace, member)?.map(|value| decode_score(&value)).transpose()
}

/// The score that the value of an element of a sorted set is.
pub fn decode(value: &[u8]) -> Result<f64> {
    decode_score(value)
}

/// The options of ZADD.
#[derive(Clone, Copy, Debug, Default)]
pub struct AddOptions {
    /// NX
    pub only_new: bool,
    /// XX
    pub only_existing: bool,
    /// GT
    pub only_greater: bool,
    /// LT
    pub only_less: bool,
    /// INCR: what is given is added to the score.
    pub increment: bool,
}

/// What ZADD did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Added {
    pub new: u64,
    /// Of the members that were there, those whose score is another now.
    pub updated: u64,
    /// The last member's score; `None` if an option kept it from being set.
    pub score: Option<f64>,
}

/// ZADD and ZINCRBY.
pub fn add(keyspace: &mut Keyspace<'_>, key: &Bytes, members: &[Scored], options: AddOptions) -> Result<Added> {
    let mut zset = Editor::open(keyspace, key, Type::SortedSet)?;
    let mut added = Added::default();
    for (member, given) in members {
        let stored = zset.get(keyspace, member)?;
        let before = stored.as_deref().map(decode_score).transpose()?;
        added.score = None;
        let Some(before) = before else {
            if !options.only_existing {
                set_score(keyspace, &mut zset, member, stored, *given)?;
                added.new += 1;
                added.score = Some(*given);
            }
            continue;
        };
        if options.only_new {
            continue;
        }
        let score = if options.increment { before + given } else { *given };
        if score.is_nan() {
            return Err(CommandError::custom("ERR resulting score is not a number (NaN)"));
        }
        if options.only_less && score >= before || options.only_greater && score <= before {
            continue;
        }
        added.score = Some(score);
        // The zeros are equal: one does not replace the other.
        if score != before {
            set_score(keyspace, &mut zset, member, stored, score)?;
            added.updated += 1;
        }
    }
    let event = if options.increment { "zincr" } else { "zadd" };
    zset.finish(keyspace, (added.new + added.updated > 0).then_some(event))?;
    Ok(added)
}

/// Gives a member a score as Redis does: in its compact form a zero has no sign. `before`: what is stored for it.
fn set_score(
    keyspace: &mut Keyspace<'_>,
    zset: &mut Editor,
    member: &Bytes,
    before: Option<Bytes>,
    score: f64,
) -> Result<()> {
    let is_new = zset.elements().is_compact() && before.is_none();
    if is_new && zset.outgrows(zset.elements().len() + 1, member, b"") {
        zset.set_loose(true);
    }
    let score = if zset.elements().is_compact() { score + 0.0 } else { score };
    zset.set_over(keyspace, member, before, &encode_score(score))?;
    Ok(())
}

/// ZREM. Returns how many members there were.
pub fn remove(keyspace: &mut Keyspace<'_>, key: &Bytes, members: &[Bytes]) -> Result<u64> {
    let mut zset = Editor::open(keyspace, key, Type::SortedSet)?;
    let mut removed = 0;
    for member in members {
        removed += u64::from(zset.remove(keyspace, member)?.is_some());
    }
    zset.finish(keyspace, (removed > 0).then_some("zrem"))?;
    Ok(removed)
}

/// How many members come before `member`, from the lowest score on or (`reverse`) from the highest. Counts from both
/// ends at once, up to whichever reaches the member first.
pub fn rank(keyspace: &mut Keyspace<'_>, zset: &Elements, member: &[u8], reverse: bool) -> Result<Option<u64>> {
    let Some(value) = zset.get(keyspace, member)? else { return Ok(None) };
    let from_lowest = match (zset.inline(), zset.object()) {
        (Some(elements), _) => elements.iter().position(|(other, _)| other == member).unwrap_or(0) as u64,
        (None, Some(_)) => {
            let target = Place::of(decode_score(&value)?, member);
            let at_or_above = |place: (&[u8], f64)| Place::of(place.1, place.0) >= target;
            let mut from_below = Ordered::new(keyspace, zset, false, None, None)?;
            let mut from_above = Ordered::new(keyspace, zset, true, None, None)?;
            let mut steps = 0;
            loop {
                if from_below.next()?.is_none_or(at_or_above) {
                    break steps;
                }
                steps += 1;
                if from_above.next()?.is_none_or(|place| Place::of(place.1, place.0) <= target) {
                    break zset.len().saturating_sub(steps);
                }
            }
        }
        (None, None) => 0,
    };
    Ok(Some(if reverse { zset.len().saturating_sub(from_lowest + 1) } else { from_lowest }))
}

// ---- Ranges --------------------------------------------------------------------------------------------------------

/// Which members.
#[derive(Clone, Debug, PartialEq)]
pub enum Range {
    /// By position, both ends included, negative ones from the end.
    Rank {
        start: i64,
        stop: i64,
    },
    Score(ScoreRange),
    Lex(LexRange),
}

/// Scores between two ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreRange {
    pub min: f64,
    pub min_exclusive: bool,
    pub max: f64,
    pub max_exclusive: bool,
}

impl ScoreRange {
    fn is_empty(&self) -> bool {
        self.min > self.max || self.min == self.max && (self.min_exclusive || self.max_exclusive)
    }

    fn is_above_min(&self, score: f64) -> bool {
        if self.min_exclusive { score > self.min } else { score >= self.min }
    }

    fn is_below_max(&self, score: f64) -> bool {
        if self.max_exclusive { score < self.max } else { score <= self.max }
    }
}

/// Members between two ends, bytewise. Means something where all scores are the same.
#[derive(Clone, Debug, PartialEq)]
pub struct LexRange {
    pub min: LexEnd,
    pub max: LexEnd,
}

/// One end of a [`LexRange`].
#[derive(Clone, Debug, PartialEq)]
pub enum LexEnd {
    /// `-`
    Lowest,
    /// `+`
    Highest,
    /// `[member`
    Inclusive(Bytes),
    /// `(member`
    Exclusive(Bytes),
}

impl LexRange {
    fn is_empty(&self) -> bool {
        use LexEnd::*;
        match (&self.min, &self.max) {
            (Lowest, Lowest) | (Highest, _) | (_, Lowest) => true,
            (Lowest, _) | (_, Highest) => false,
            (Inclusive(min), Inclusive(max)) => min > max,
            (Inclusive(min) | Exclusive(min), Inclusive(max) | Exclusive(max)) => min >= max,
        }
    }

    fn is_above_min(&self, member: &[u8]) -> bool {
        match &self.min {
            LexEnd::Lowest => true,
            LexEnd::Highest => false,
            LexEnd::Inclusive(min) => member >= &min[..],
            LexEnd::Exclusive(min) => member > &min[..],
        }
    }

    fn is_below_max(&self, member: &[u8]) -> bool {
        match &self.max {
            LexEnd::Lowest => false,
            LexEnd::Highest => true,
            LexEnd::Inclusive(max) => member <= &max[..],
            LexEnd::Exclusive(max) => member < &max[..],
        }
    }
}

/// LIMIT: what of a range is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Negative: nothing is left.
    pub offset: i64,
    /// Negative: all.
    pub count: i64,
}

impl Window {
    pub const ALL: Window = Window { offset: 0, count: -1 };
}

/// Which positions `start` and `stop` mean in a set of `len` members: the first, and how many.
pub fn positions(len: u64, start: i64, stop: i64) -> (u64, u64) {
    let position = |index: i64| match u64::try_from(index) {
        Ok(index) => i128::from(index),
        Err(_) => i128::from(len) + i128::from(index),
    };
    let (start, stop) = (position(start).max(0), position(stop).min(i128::from(len) - 1));
    if start > stop { (0, 0) } else { (start as u64, (stop - start + 1) as u64) }
}

impl Range {
    /// Visits the members of the range, until `visit` breaks: in order, or (`reverse`) from the highest on, where a
    /// position counts from there.
    pub fn walk(
        &self,
        keyspace: &Keyspace<'_>,
        zset: &Elements,
        reverse: bool,
        window: Window,
        visit: Visit<'_>,
    ) -> Result<()> {
        match self {
            Range::Rank { start, stop } => walk_positions(keyspace, zset, *start, *stop, reverse, visit),
            Range::Score(range) => walk_scores(keyspace, zset, range, reverse, &mut Windowed::new(window, visit)),
            Range::Lex(range) => walk_members(keyspace, zset, range, reverse, &mut Windowed::new(window, visit)),
        }
    }

    /// How many members there are in the range.
    pub fn count(&self, keyspace: &Keyspace<'_>, zset: &Elements) -> Result<u64> {
        let mut count = 0;
        self.walk(keyspace, zset, false, Window::ALL, &mut |_, _| {
            count += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(count)
    }

    /// The members of the range, in order.
    pub fn collect(
        &self,
        keyspace: &Keyspace<'_>,
        zset: &Elements,
        reverse: bool,
        window: Window,
    ) -> Result<Vec<Scored>> {
        let mut found = Vec::new();
        self.walk(keyspace, zset, reverse, window, &mut |member, score| {
            found.push((Bytes::copy_from_slice(member), score));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// ZREMRANGEBYRANK and its like. Returns how many members that were.
    pub fn remove(&self, keyspace: &mut Keyspace<'_>, key: &Bytes, event: &'static str) -> Result<u64> {
        let mut zset = Editor::open(keyspace, key, Type::SortedSet)?;
        if !zset.exists() {
            return Ok(0);
        }
        let found = self.collect(keyspace, zset.elements(), false, Window::ALL)?;
        let lowest = match self {
            Range::Rank { start, .. } => positions(zset.elements().len(), *start, -1).0 == 0,
            Range::Score(range) => range.min == f64::NEG_INFINITY && !range.min_exclusive,
            Range::Lex(range) => range.min == LexEnd::Lowest,
        };
        remove_all(keyspace, &mut zset, &found, lowest.then_some(End::Min))?;
        zset.finish(keyspace, (!found.is_empty()).then_some(event))?;
        Ok(found.len() as u64)
    }
}

/// Removes members that are there; those at an end of the set, the outermost first, if it says so. All of them: at once.
fn remove_all(
    keyspace: &mut Keyspace<'_>,
    zset: &mut Editor,
    members: &[Scored],
    outermost: Option<End>,
) -> Result<()> {
    if members.len() as u64 == zset.elements().len() {
        zset.clear();
        return Ok(());
    }
    for scored in members {
        zset.remove_scored(keyspace, scored, outermost)?;
    }
    Ok(())
}

/// Passes on what lies in a [`Window`].
struct Windowed<'v> {
    skip: Option<u64>,
    left: u64,
    visit: Visit<'v>,
}

impl<'v> Windowed<'v> {
    fn new(window: Window, visit: Visit<'v>) -> Windowed<'v> {
        let left = u64::try_from(window.count).unwrap_or(u64::MAX);
        Windowed { skip: u64::try_from(window.offset).ok(), left, visit }
    }

    fn is_over(&self) -> bool {
        self.skip.is_none() || self.left == 0
    }

    fn pass(&mut self, member: &[u8], score: f64) -> Result<ControlFlow<()>> {
        match &mut self.skip {
            None => return Ok(ControlFlow::Break(())),
            Some(skip) if *skip > 0 => *skip -= 1,
            Some(_) if self.left == 0 => return Ok(ControlFlow::Break(())),
            Some(_) => {
                self.left -= 1;
                if (self.visit)(member, score)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(if self.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }
}

/// The members in the order of scores, one by one.
enum Ordered<'k> {
    Forward(std::slice::Iter<'k, Element>),
    Backward(std::iter::Rev<std::slice::Iter<'k, Element>>),
    External(Box<External<'k>>),
}

/// The members of a large sorted set: those that its record lists at the end where the walk begins, what lies between the
/// horizons, and those listed at the other end.
struct External<'k> {
    keyspace: &'k Keyspace<'k>,
    first: std::vec::IntoIter<Place>,
    last: std::vec::IntoIter<Place>,
    /// The bounds of what is to be searched; not wanted before what comes first is gone through.
    search: Option<(Bytes, Bytes)>,
    direction: Direction,
    cursor: Option<TxnCursor<'k>>,
    /// The last one given that was listed.
    listed: Option<Place>,
    steps: u64,
}

impl<'k> External<'k> {
    fn new(
        keyspace: &'k Keyspace<'k>,
        object: ObjectId,
        edges: &Edges,
        direction: Direction,
        lower: Option<Bytes>,
        upper: Option<Bytes>,
    ) -> External<'k> {
        let (start, behind) = object.entries();
        let (lower, upper) = (lower.unwrap_or(start), upper.unwrap_or(behind));
        let ((low, from), (high, to)) = (edges.low(), edges.high());
        // The bounds as places; what lies above the object bounds none of its own.
        let (lowest, end) = (lower.strip_prefix(&object.prefix()), upper.strip_prefix(&object.prefix()));
        let wanted = |place: &&Place| {
            lowest.is_none_or(|lowest| place.as_bytes() >= lowest) && end.is_none_or(|end| place.as_bytes() < end)
        };
        let low: Vec<Place> = low.iter().filter(wanted).cloned().collect();
        // A place may be listed at both ends.
        let unlisted = |place: &&Place| from.is_none_or(|from| *place >= from);
        let high: Vec<Place> = high.iter().filter(unlisted).filter(wanted).cloned().collect();
        let lower = from.map_or(lower.clone(), |from| lower.max(from.key(object)));
        let upper = to.map_or(upper.clone(), |to| upper.min(to.key(object)));
        let search = (lower < upper).then_some((lower, upper));
        let (first, last) = match direction {
            Direction::Forward => (low, high),
            Direction::Backward => (high.into_iter().rev().collect(), low.into_iter().rev().collect()),
        };
        let (first, last) = (first.into_iter(), last.into_iter());
        External { keyspace, first, last, search, direction, cursor: None, listed: None, steps: 0 }
    }

    fn next(&mut self) -> Result<Option<(&[u8], f64)>> {
        self.steps += 1;
        if self.steps == limits::SHORT_WALK_ELEMENTS {
            self.keyspace.txn().check_may_take_long()?;
        }
        self.listed = self.first.next();
        if self.listed.is_none() {
            if let Some((lower, upper)) = self.search.take() {
                let txn = self.keyspace.txn();
                self.cursor = Some(txn.scan(ColumnFamily::Score, lower, Some(upper), self.direction)?);
            }
            if let Some(cursor) = &mut self.cursor
                && let Some((key, value)) = cursor.next()?
            {
                let (score, member) = score::parse(key, value).map_err(malformed)?;
                return Ok(Some((member, score)));
            }
            self.listed = self.last.next();
        }
        let Some(place) = &self.listed else { return Ok(None) };
        let (score, member) = place.parse().map_err(malformed)?;
        Ok(Some((member, score)))
    }
}

/// The outermost members between the horizons of a large sorted set's ends.
pub(super) fn outermost(keyspace: &Keyspace<'_>, zset: &Elements) -> Result<Option<(Place, Place)>> {
    let (Some(object), Some(edges)) = (zset.object(), zset.edges()) else { return Ok(None) };
    let (from, to) = (edges.low().1, edges.high().1);
    let (start, end) = object.entries();
    let (lower, upper) = (from.map_or(start, |from| from.key(object)), to.map_or(end, |to| to.key(object)));
    if lower >= upper {
        return Ok(None);
    }
    let find = |direction| -> Result<Option<Place>> {
        let mut cursor = keyspace.txn().scan(ColumnFamily::Score, lower.clone(), Some(upper.clone()), direction)?;
        let Some((key, value)) = cursor.next()? else { return Ok(None) };
        let (score, member) = score::parse(key, value).map_err(malformed)?;
        Ok(Some(Place::of(score, member)))
    };
    Ok(find(Direction::Forward)?.zip(find(Direction::Backward)?))
}

impl<'k> Ordered<'k> {
    /// `lower` and `upper` bound what is looked at of a large set; of a small one all of it is.
    fn new(
        keyspace: &'k Keyspace<'k>,
        zset: &'k Elements,
        reverse: bool,
        lower: Option<Bytes>,
        upper: Option<Bytes>,
    ) -> Result<Ordered<'k>> {
        Ok(match (zset.inline(), zset.object()) {
            (Some(elements), _) if reverse => Ordered::Backward(elements.iter().rev()),
            (Some(elements), _) => Ordered::Forward(elements.iter()),
            (None, Some(object)) => {
                let direction = if reverse { Direction::Backward } else { Direction::Forward };
                let nothing_known = Edges::default();
                let edges = zset.edges().unwrap_or(&nothing_known);
                Ordered::External(Box::new(External::new(keyspace, object, edges, direction, lower, upper)))
            }
            (None, None) => Ordered::Forward([].iter()),
        })
    }

    fn next(&mut self) -> Result<Option<(&[u8], f64)>> {
        let element = match self {
            Ordered::Forward(elements) => elements.next(),
            Ordered::Backward(elements) => elements.next(),
            Ordered::External(external) => return external.next(),
        };
        element.map(|(member, value)| Ok((&member[..], decode_score(value)?))).transpose()
    }
}

fn walk_positions(
    keyspace: &Keyspace<'_>,
    zset: &Elements,
    start: i64,
    stop: i64,
    reverse: bool,
    visit: Visit<'_>,
) -> Result<()> {
    let (skip, count) = positions(zset.len(), start, stop);
    let behind = zset.len() - skip - count;
    if count == 0 {
        return Ok(());
    }
    // From the nearer end; the other way round what is found has to be turned.
    let from_behind = zset.object().is_some() && behind < skip;
    let mut ordered = Ordered::new(keyspace, zset, reverse != from_behind, None, None)?;
    for _ in 0..skip.min(if from_behind { behind } else { skip }) {
        ordered.next()?;
    }
    let mut found = Vec::new();
    for _ in 0..count {
        let Some((member, score)) = ordered.next()? else { break };
        if from_behind {
            found.push((Bytes::copy_from_slice(member), score));
        } else if visit(member, score)?.is_break() {
            break;
        }
    }
    for (member, score) in found.iter().rev() {
        if visit(member, *score)?.is_break() {
            break;
        }
    }
    Ok(())
}

fn walk_scores(
    keyspace: &Keyspace<'_>,
    zset: &Elements,
    range: &ScoreRange,
    reverse: bool,
    window: &mut Windowed<'_>,
) -> Result<()> {
    if range.is_empty() || window.is_over() {
        return Ok(());
    }
    let lower = zset.object().map(|object| match range.min_exclusive {
        true => score::position_after(object, range.min),
        false => score::position(object, range.min),
    });
    let upper = zset.object().map(|object| match range.max_exclusive {
        true => score::position(object, range.max),
        false => score::position_after(object, range.max),
    });
    let mut ordered = Ordered::new(keyspace, zset, reverse, lower, upper)?;
    while let Some((member, score)) = ordered.next()? {
        let (above, below) = (range.is_above_min(score), range.is_below_max(score));
        let (begun, ended) = if reverse { (below, !above) } else { (above, !below) };
        if begun && (ended || window.pass(member, score)?.is_break()) {
            break;
        }
    }
    Ok(())
}

/// Where scores differ, this does what Redis does with a small set: from the first member in the range on, as long as
/// the other end is not passed.
fn walk_members(
    keyspace: &Keyspace<'_>,
    zset: &Elements,
    range: &LexRange,
    reverse: bool,
    window: &mut Windowed<'_>,
) -> Result<()> {
    if range.is_empty() || window.is_over() {
        return Ok(());
    }
    let end = |reverse| -> Result<Option<Scored>> {
        let mut ordered = Ordered::new(keyspace, zset, reverse, None, None)?;
        Ok(ordered.next()?.map(|(member, score)| (Bytes::copy_from_slice(member), score)))
    };
    let (Some(first), Some(last)) = (end(false)?, end(true)?) else { return Ok(()) };
    if !range.is_above_min(&last.0) || !range.is_below_max(&first.0) {
        return Ok(());
    }
    let object = zset.object().filter(|_| first.1 == last.1);
    let key = |end: &LexEnd| match (object, end) {
        (Some(object), LexEnd::Inclusive(member) | LexEnd::Exclusive(member)) => {
            Some(score::key(object, first.1, member))
        }
        _ => None,
    };
    // The key right behind a member's, for an end that includes it.
    let behind = |key: Option<Bytes>| key.map(|key| Bytes::from([&key[..], &[0]].concat()));
    let mut ordered = Ordered::new(keyspace, zset, reverse, key(&range.min), behind(key(&range.max)))?;
    let mut begun = false;
    while let Some((member, score)) = ordered.next()? {
        let (above, below) = (range.is_above_min(member), range.is_below_max(member));
        let (from, to) = if reverse { (below, above) } else { (above, below) };
        begun |= from;
        if begun && (!to || window.pass(member, score)?.is_break()) {
            break;
        }
    }
    Ok(())
}

// ---- Pops ----------------------------------------------------------------------------------------------------------

/// Removes and returns up to `count` members from an end of the sorted set, the outermost first: ZPOPMIN, ZPOPMAX. Also
/// whether there was a sorted set at all.
pub fn pop(keyspace: &mut Keyspace<'_>, key: &Bytes, end: End, count: u64) -> Result<Option<Vec<Scored>>> {
    let mut zset = Editor::open(keyspace, key, Type::SortedSet)?;
    if !zset.exists() {
        return Ok(None);
    }
    let Some(last) = count.checked_sub(1) else { return Ok(Some(Vec::new())) };
    let range = Range::Rank { start: 0, stop: i64::try_from(last).unwrap_or(i64::MAX) };
    let popped = range.collect(keyspace, zset.elements(), end == End::Max, Window::ALL)?;
    remove_all(keyspace, &mut zset, &popped, Some(end))?;
    let event = if end == End::Min { "zpopmin" } else { "zpopmax" };
    zset.finish(keyspace, Some(event))?;
    Ok(Some(popped))
}

// ---- Several sorted sets -------------------------------------------------------------------------------------------

/// What several sorted sets, or sets, are made one by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combination {
    Union,
    Intersection,
    /// What is in the first and in no other, with its score there.
    Difference,
}

/// How the scores of one member become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aggregate {
    #[default]
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            // Infinities of both signs.
            Aggregate::Sum if (a + b).is_nan() => 0.0,
            Aggregate::Sum => a + b,
            Aggregate::Min => {
                if b < a {
                    b
                } else {
                    a
                }
            }
            Aggregate::Max => {
                if b > a {
                    b
                } else {
                    a
                }
            }
        }
    }
}

/// A set or a sorted set that is combined with others, and what its scores are multiplied by.
#[derive(Debug)]
pub struct Source {
    pub elements: Option<Elements>,
    pub weight: f64,
}

impl Source {
    /// Looks up a sorted set or a set, whose members all have the score 1.
    pub fn read(keyspace: &mut Keyspace<'_>, key: &[u8]) -> Result<Source> {
        let elements = match keyspace.get(key)? {
            Some(record) if matches!(record.kind, Type::Set | Type::SortedSet) => Some(Elements::of(&record)?),
            Some(_) => return Err(CommandError::WrongType),
            None => None,
        };
        Ok(Source { elements, weight: 1.0 })
    }

    fn len(&self) -> u64 {
        self.elements.as_ref().map_or(0, Elements::len)
    }

    fn score(&self, value: &[u8]) -> Result<f64> {
        match &self.elements {
            Some(elements) if elements.kind() == Type::SortedSet => decode_score(value),
            _ => Ok(1.0),
        }
    }

    /// Times the weight; an infinity times 0 is nothing.
    fn weighted(&self, value: &[u8]) -> Result<f64> {
        let score = self.weight * self.score(value)?;
        Ok(if score.is_nan() { 0.0 } else { score })
    }
}

impl Combination {
    /// The members of the combined set, in order.
    pub fn collect(
        self,
        keyspace: &Keyspace<'_>,
        mut sources: Vec<Source>,
        aggregate: Aggregate,
    ) -> Result<Vec<Scored>> {
        let mut found: Vec<Scored> = Vec::new();
        let mut take = |member: &[u8], score| {
            found.push((Bytes::copy_from_slice(member), score));
            Ok(ControlFlow::Continue(()))
        };
        match self {
            Combination::Union => {
                // The order in which scores are added up: from the smallest set on.
                sources.sort_by_key(Source::len);
                union(keyspace, &sources, aggregate, &mut take)?;
            }
            Combination::Intersection => intersection(keyspace, sources, aggregate, &mut take)?,
            Combination::Difference => difference(keyspace, &sources, &mut take)?,
        }
        found.sort_by(|a, b| by_score((a.1, &a.0), (b.1, &b.0)));
        Ok(found)
    }

    /// ZUNIONSTORE and its like. Returns how many members there are.
    pub fn store(
        self,
        keyspace: &mut Keyspace<'_>,
        key: &Bytes,
        sources: Vec<Source>,
        aggregate: Aggregate,
    ) -> Result<u64> {
        let members = self.collect(keyspace, sources, aggregate)?;
        let event = match self {
            Combination::Union => "zunionstore",
            Combination::Intersection => "zinterstore",
            Combination::Difference => "zdiffstore",
        };
        store(keyspace, key, &members, event)
    }
}

/// Puts a new sorted set in the place of whatever is at `key`. Returns how many members it has.
pub fn store(keyspace: &mut Keyspace<'_>, key: &Bytes, members: &[Scored], event: &'static str) -> Result<u64> {
    // Redis looks at the whole of it before it chooses a form.
    let longest = members.iter().map(|(member, _)| &member[..]).max_by_key(|member| member.len());
    fill(keyspace, key, members, (members.len(), longest.unwrap_or_default()), event)
}

/// ZRANGESTORE, to which Redis adds one by one and sees only then what comes; but of positions it knows how many.
pub fn store_range(keyspace: &mut Keyspace<'_>, key: &Bytes, members: &[Scored], range: &Range) -> Result<u64> {
    let known = if matches!(range, Range::Rank { .. }) { members.len() } else { 0 };
    fill(keyspace, key, members, (known, b""), "zrangestore")
}

/// `foreseen`: how many members, and the longest of them, by which Redis chooses the form to begin with.
fn fill(
    keyspace: &mut Keyspace<'_>,
    key: &Bytes,
    members: &[Scored],
    foreseen: (usize, &[u8]),
    event: &'static str,
) -> Result<u64> {
    let mut zset = Editor::replace(keyspace, key, Type::SortedSet)?;
    if zset.outgrows(foreseen.0 as u64, foreseen.1, b"") {
        zset.set_loose(true);
    }
    for (member, score) in members {
        // No member comes twice.
        set_score(keyspace, &mut zset, member, None, *score)?;
    }
    zset.finish(keyspace, Some(event))?;
    Ok(members.len() as u64)
}

/// ZINTERCARD: counts up to `limit`, or (0) all.
pub fn count_intersection(keyspace: &Keyspace<'_>, sources: Vec<Source>, limit: u64) -> Result<u64> {
    let mut count = 0;
    intersection(keyspace, sources, Aggregate::default(), &mut |_, _| {
        count += 1;
        Ok(if count == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(count)
}

/// Goes through all sets side by side, in the order of their members' hashes.
fn union(keyspace: &Keyspace<'_>, sources: &[Source], aggregate: Aggregate, visit: Visit<'_>) -> Result<()> {
    let sources: Vec<(&Source, &Elements)> =
        sources.iter().filter_map(|source| Some((source, source.elements.as_ref()?))).collect();
    let mut walks = sources.iter().map(|(_, set)| set.by_hash(keyspace)).collect::<Result<Vec<ByHash<'_>>>>()?;
    let mut heads: Vec<Option<(u32, Element)>> = walks.iter_mut().map(ByHash::next).collect::<Result<_>>()?;
    let name = |head: &(u32, Element)| (head.0, head.1.0.clone());
    while let Some(lowest) = heads.iter().flatten().map(name).min() {
        let mut total = None;
        for (at, head) in heads.iter_mut().enumerate() {
            if let Some(element) = head.take_if(|head| name(head) == lowest) {
                let score = sources[at].0.weighted(&element.1.1)?;
                total = Some(total.map_or(score, |total| aggregate.of(total, score)));
                *head = walks[at].next()?;
            }
        }
        if visit(&lowest.1, total.unwrap_or(0.0))?.is_break() {
            break;
        }
    }
    Ok(())
}

fn intersection(
    keyspace: &Keyspace<'_>,
    mut sources: Vec<Source>,
    aggregate: Aggregate,
    visit: Visit<'_>,
) -> Result<()> {
    sources.sort_by_key(Source::len);
    let Some((smallest, others)) = sources.split_first() else { return Ok(()) };
    let Some(elements) = &smallest.elements else { return Ok(()) };
    elements.walk(keyspace, |member, value| {
        let mut score = smallest.weighted(value)?;
        for other in others {
            let Some(set) = &other.elements else { return Ok(ControlFlow::Break(())) };
            let Some(value) = set.look_up(keyspace, member)? else { return Ok(ControlFlow::Continue(())) };
            // Here Redis leaves it to the aggregation to deal with what is not a number.
            score = aggregate.of(score, other.weight * other.score(&value)?);
        }
        visit(member, score)
    })
}

fn difference(keyspace: &Keyspace<'_>, sources: &[Source], visit: Visit<'_>) -> Result<()> {
    let Some((first, others)) = sources.split_first() else { return Ok(()) };
    let Some(elements) = &first.elements else { return Ok(()) };
    elements.walk(keyspace, |member, value| {
        for other in others.iter().filter_map(|other| other.elements.as_ref()) {
            if other.look_up(keyspace, member)?.is_some() {
                return Ok(ControlFlow::Continue(()));
            }
        }
        visit(member, first.score(value)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_from_either_end() {
        for (len, start, stop, expected) in [
            (5, 0, -1, (0, 5)),
            (5, 1, 3, (1, 3)),
            (5, -2, -1, (3, 2)),
            (5, -100, 100, (0, 5)),
            (5, 3, 1, (0, 0)),
            (5, 5, 10, (0, 0)),
            (5, 0, -6, (0, 0)),
            (0, 0, -1, (0, 0)),
            (5, i64::MIN, i64::MAX, (0, 5)),
            (5, i64::MAX, i64::MIN, (0, 0)),
        ] {
            assert_eq!(positions(len, start, stop), expected, "{len} {start} {stop}");
        }
    }

    #[test]
    fn sums_of_infinities_are_zero() {
        assert_eq!(Aggregate::Sum.of(f64::INFINITY, f64::NEG_INFINITY), 0.0);
        assert_eq!(Aggregate::Min.of(1.0, f64::NAN), 1.0);
    }
}
