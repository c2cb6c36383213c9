//! What the record of a large sorted set remembers of its two ends, so that whoever begins there need not pass what was
//! removed there: RocksDB keeps a removed entry as a tombstone until a compaction comes by, and a queue leaves one behind
//! with every pop.
//!
//! At each end there is a horizon, beyond which nothing lies but the few members whose places are listed here. Pops move
//! the horizon inwards, new members beyond it are listed, and too many of them move it outwards again. It is part of the
//! record, so it is as consistent, as durable and as easily undone as the number of members is.
//!
//! It must never claim that there is nothing where there may be something. To know less than could be known only costs
//! time.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::layout::score::Place;
use crate::limits;

/// An end of a sorted set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Min,
    Max,
}

/// See the head of this file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Edges {
    low: Edge,
    high: Edge,
    /// Members removed, or moved, of which it is not known whether they were the outermost.
    removed: u8,
}

/// One end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Edge {
    /// All places beyond the horizon that are taken, the lowest first.
    known: Vec<Place>,
    /// At the low end: nothing else lies below it. At the high end: nothing else lies at it, or above. `None`: nothing is
    /// known.
    horizon: Option<Place>,
}

impl Edge {
    fn is_beyond(&self, end: End, place: &Place) -> bool {
        self.horizon.as_ref().is_some_and(|horizon| (place < horizon) == (end == End::Min))
    }

    fn add(&mut self, end: End, place: &Place, listable: bool) {
        if !self.is_beyond(end, place) {
            return;
        }
        let listable = listable && place.as_bytes().len() <= limits::EDGE_KNOWN_BYTES;
        if listable && let Err(at) = self.known.binary_search(place) {
            self.known.insert(at, place.clone());
        }
        if !listable {
            self.retreat(end, place);
        } else if self.known.len() > limits::EDGE_KNOWN {
            let innermost = match end {
                End::Min => self.known.last(),
                End::Max => self.known.first(),
            };
            if let Some(innermost) = innermost.cloned() {
                self.retreat(end, &innermost);
            }
        }
    }

    /// Moves the horizon outwards, so that `place` is not beyond it.
    fn retreat(&mut self, end: End, place: &Place) {
        self.horizon = Some(match end {
            End::Min => place.at_or_below(limits::EDGE_HORIZON_BYTES),
            End::Max => place.above(limits::EDGE_HORIZON_BYTES),
        });
        let known = std::mem::take(&mut self.known);
        self.known = known.into_iter().filter(|place| self.is_beyond(end, place)).collect();
    }

    /// Everything from the end up to `place`, included, is gone.
    fn advance(&mut self, end: End, place: &Place) {
        if self.is_beyond(end, place) {
            let (below, above) = (end == End::Min, end == End::Max);
            self.known.retain(|known| below && known > place || above && known < place);
        } else {
            self.known.clear();
            self.horizon = Some(match end {
                End::Min => place.above_within(limits::EDGE_HORIZON_BYTES),
                End::Max => place.at_or_above(limits::EDGE_HORIZON_BYTES),
            });
        }
    }
}

impl Edges {
    /// `place` is taken from now on. One that says less than its entry does (a negative zero) cannot be listed.
    pub fn add(&mut self, place: &Place, listable: bool) {
        self.low.add(End::Min, place, listable);
        self.high.add(End::Max, place, listable);
    }

    /// `place` is free from now on; and so, if `outermost` says so, is everything between that end and it.
    pub fn remove(&mut self, place: &Place, outermost: Option<End>) {
        for edge in [&mut self.low, &mut self.high] {
            edge.known.retain(|known| known != place);
        }
        match outermost {
            Some(End::Min) => self.low.advance(End::Min, place),
            Some(End::Max) => self.high.advance(End::Max, place),
            None => self.removed = self.removed.saturating_add(1),
        }
    }

    /// Whether so much was removed since it was last looked that it is time to look where the outermost members are.
    pub fn is_worn(&self) -> bool {
        self.removed >= limits::EDGE_REMOVALS
    }

    /// Somebody has looked between the horizons: these are the outermost members there.
    pub fn found(&mut self, outermost: Option<(&Place, &Place)>) {
        self.removed = 0;
        match outermost {
            Some((lowest, highest)) => {
                self.low.horizon = Some(lowest.at_or_below(limits::EDGE_HORIZON_BYTES));
                self.high.horizon = Some(highest.above(limits::EDGE_HORIZON_BYTES));
            }
            // All are listed: the horizons meet, unless they have passed each other already.
            None => {
                let high = self.high.horizon.clone().unwrap_or_else(Place::end);
                self.low.horizon = self.low.horizon.take().max(Some(high));
            }
        }
    }

    /// The places that are listed beyond the horizon of the low end, and between the two horizons what to search: the lowest
    /// place, and the one behind the highest. `None`: unbounded.
    pub fn low(&self) -> (&[Place], Option<&Place>) {
        (&self.low.known, self.low.horizon.as_ref())
    }

    /// The same of the high end. Some may be listed at both.
    pub fn high(&self) -> (&[Place], Option<&Place>) {
        (&self.high.known, self.high.horizon.as_ref())
    }

    pub fn encode(&self, body: &mut BytesMut) {
        body.put_u8(self.removed);
        for edge in [&self.low, &self.high] {
            // No limit is above what a byte holds.
            body.put_u8(edge.known.len() as u8);
            let places = edge.known.iter().chain(&edge.horizon);
            if edge.horizon.is_none() {
                body.put_u8(0);
            }
            for place in places {
                body.put_u8(place.as_bytes().len() as u8);
                body.put_slice(place.as_bytes());
            }
        }
    }

    /// `None`: that is none.
    pub fn decode(mut body: Bytes) -> Option<Edges> {
        let mut edges = Edges { removed: take_u8(&mut body)?, ..Edges::default() };
        for edge in [&mut edges.low, &mut edges.high] {
            let known = take_u8(&mut body)?;
            for _ in 0..known {
                edge.known.push(take_place(&mut body)??);
            }
            edge.horizon = take_place(&mut body)?;
        }
        body.is_empty().then_some(edges)
    }
}

fn take_u8(body: &mut Bytes) -> Option<u8> {
    (!body.is_empty()).then(|| body.get_u8())
}

/// Inner `None`: a length of 0, which no place has.
fn take_place(body: &mut Bytes) -> Option<Option<Place>> {
    let len = usize::from(take_u8(body)?);
    if len == 0 {
        return Some(None);
    }
    (len <= body.len()).then(|| Some(Place::from_bytes(body.split_to(len))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[derive(Clone, Debug)]
    enum Step {
        Add(Place),
        Remove(usize),
        Pop(End, usize),
        Look,
    }

    fn place() -> impl Strategy<Value = Place> {
        // Short members and long ones, with beginnings in common; bytes that carry.
        let member = prop_oneof![
            prop::collection::vec(prop::sample::select(vec![0u8, 1, 254, 255]), 0..3),
            (0usize..130, any::<u8>()).prop_map(|(len, last)| [vec![255; len], vec![last]].concat()),
        ];
        let score = prop::sample::select(vec![f64::NEG_INFINITY, -1.0, 0.0, 1.0, f64::INFINITY]);
        (score, member).prop_map(|(score, member)| Place::of(score, &member))
    }

    fn step() -> impl Strategy<Value = Step> {
        let end = prop::sample::select(vec![End::Min, End::Max]);
        prop_oneof![
            4 => place().prop_map(Step::Add),
            1 => any::<prop::sample::Index>().prop_map(|at| Step::Remove(at.index(100))),
            2 => (end, 1usize..4).prop_map(|(end, count)| Step::Pop(end, count)),
            1 => Just(Step::Look),
        ]
    }

    /// What a walk over all sees that begins with what is listed.
    fn seen(edges: &Edges, taken: &BTreeSet<Place>) -> Vec<Place> {
        let ((low, from), (high, to)) = (edges.low(), edges.high());
        let mut seen = low.to_vec();
        let between = |place: &&Place| from.is_none_or(|from| *place >= from) && to.is_none_or(|to| *place < to);
        seen.extend(taken.iter().filter(between).cloned());
        seen.extend(high.iter().filter(|place| from.is_none_or(|from| *place >= from)).cloned());
        seen
    }

    proptest! {
        #[test]
        fn whatever_is_done_nothing_is_overlooked_and_nothing_listed_that_is_gone(
            steps in prop::collection::vec(step(), 0..60)
        ) {
            let (mut edges, mut taken) = (Edges::default(), BTreeSet::new());
            for step in steps {
                match step {
                    Step::Add(place) => {
                        if taken.insert(place.clone()) {
                            edges.add(&place, true);
                        }
                    }
                    Step::Remove(at) => {
                        if let Some(place) = taken.iter().nth(at % taken.len().max(1)).cloned() {
                            taken.remove(&place);
                            edges.remove(&place, None);
                        }
                    }
                    Step::Pop(end, count) => {
                        let popped: Vec<Place> = match end {
                            End::Min => taken.iter().take(count).cloned().collect(),
                            End::Max => taken.iter().rev().take(count).cloned().collect(),
                        };
                        for place in &popped {
                            taken.remove(place);
                            edges.remove(place, Some(end));
                        }
                    }
                    Step::Look => {
                        let ((_, from), (_, to)) = (edges.low(), edges.high());
                        let between =
                            |place: &&Place| from.is_none_or(|from| *place >= from) && to.is_none_or(|to| *place < to);
                        let unlisted: Vec<&Place> = taken.iter().filter(between).collect();
                        let outermost = unlisted.first().copied().zip(unlisted.last().copied());
                        let mut looked = edges.clone();
                        looked.found(outermost);
                        edges = looked;
                    }
                }
                prop_assert_eq!(seen(&edges, &taken), taken.iter().cloned().collect::<Vec<Place>>(), "{:?}", edges);
                prop_assert!(edges.low.known.len() <= limits::EDGE_KNOWN && edges.high.known.len() <= limits::EDGE_KNOWN);
                let mut body = BytesMut::new();
                edges.encode(&mut body);
                prop_assert_eq!(Edges::decode(body.freeze()), Some(edges.clone()));
            }
        }

        #[test]
        fn any_bytes_decode_or_do_not(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(edges) = Edges::decode(Bytes::from(bytes.clone())) {
                let mut body = BytesMut::new();
                edges.encode(&mut body);
                prop_assert_eq!(&body[..], &bytes[..]);
            }
        }
    }
}
