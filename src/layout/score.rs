//! The score family: the members of large sorted sets in the order of their scores.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Malformed, ObjectId};

/// A score as eight bytes that compare as the numbers do. Both zeros are one; a score is never NaN.
fn ordered(score: f64) -> u64 {
    debug_assert!(!score.is_nan(), "invariant: no score is NaN");
    // Adding a zero makes a negative zero positive, and changes no other number.
    let bits = (score + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn from_ordered(ordered: u64) -> f64 {
    f64::from_bits(if ordered >> 63 == 1 { ordered & !(1 << 63) } else { !ordered })
}

/// The key of a member. See [`value`] for what it does not tell of the score.
pub fn key(object: ObjectId, score: f64, member: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(ObjectId::BYTES + 8 + member.len());
    bytes.put_u64(object.value());
    bytes.put_u64(ordered(score));
    bytes.put_slice(member);
    bytes.freeze()
}

/// The lowest key of a member whose score is `score` or higher.
pub fn position(object: ObjectId, score: f64) -> Bytes {
    key(object, score, b"")
}

/// The lowest key behind all members whose score is `score`.
pub fn position_after(object: ObjectId, score: f64) -> Bytes {
    let mut bytes = BytesMut::with_capacity(ObjectId::BYTES + 8);
    bytes.put_u64(object.value());
    // Infinity is not the highest pattern: above it there are those of NaN.
    bytes.put_u64(ordered(score) + 1);
    bytes.freeze()
}

/// Where a member lies among the others of its object: the rest of its key. Or a bound between such.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(Bytes);

impl Place {
    pub fn of(score: f64, member: &[u8]) -> Place {
        let mut bytes = BytesMut::with_capacity(8 + member.len());
        bytes.put_u64(ordered(score));
        bytes.put_slice(member);
        Place(bytes.freeze())
    }

    /// Above all members.
    pub fn end() -> Place {
        Place::from_bytes(Bytes::copy_from_slice(&(ordered(f64::INFINITY) + 1).to_be_bytes()))
    }

    pub fn from_bytes(bytes: Bytes) -> Place {
        Place(bytes)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The whole key.
    pub fn key(&self, object: ObjectId) -> Bytes {
        let mut bytes = BytesMut::with_capacity(ObjectId::BYTES + self.0.len());
        bytes.put_u64(object.value());
        bytes.put_slice(&self.0);
        bytes.freeze()
    }

    /// The score, and the member; of a negative zero without its sign.
    pub fn parse(&self) -> Result<(f64, &[u8]), Malformed> {
        let (ordered, member) =
            self.0.split_first_chunk::<8>().ok_or_else(|| Malformed::new("place in a sorted set", &self.0))?;
        Ok((from_ordered(u64::from_be_bytes(*ordered)), member))
    }

    /// A place of at most `len` bytes that is not above this one.
    pub fn at_or_below(&self, len: usize) -> Place {
        Place(self.0.slice(..self.0.len().min(len)))
    }

    /// A place of at most `len` bytes that is not below this one.
    pub fn at_or_above(&self, len: usize) -> Place {
        if self.0.len() <= len { self.clone() } else { self.above(len) }
    }

    /// A place of at most `len` bytes above this one.
    pub fn above(&self, len: usize) -> Place {
        if self.0.len() < len {
            return Place([&self.0[..], &[0]].concat().into());
        }
        // Above all that begin with the same bytes. No score is eight bytes of 255, so there is one.
        let mut bytes = self.0[..len].to_vec();
        while bytes.last() == Some(&u8::MAX) {
            bytes.pop();
        }
        if let Some(last) = bytes.last_mut() {
            *last += 1;
        }
        Place(bytes.into())
    }

    /// A place of at most `len` bytes, above this one if there is such a one that has nothing between itself and this.
    pub fn above_within(&self, len: usize) -> Place {
        if self.0.len() < len { self.above(len) } else { self.at_or_below(len) }
    }
}

/// The value under a member's key: the sign that a zero has lost there.
pub fn value(score: f64) -> Bytes {
    Bytes::from_static(if score == 0.0 && score.is_sign_negative() { b"-" } else { b"" })
}

/// The score and the member of an entry.
pub fn parse<'k>(key: &'k [u8], value: &[u8]) -> Result<(f64, &'k [u8]), Malformed> {
    let rest = key.get(ObjectId::BYTES..).and_then(|rest| rest.split_first_chunk::<8>());
    let (ordered, member) = rest.ok_or_else(|| Malformed::new("score key", key))?;
    let score = from_ordered(u64::from_be_bytes(*ordered));
    Ok((if value.is_empty() { score } else { -score }, member))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_score() -> impl Strategy<Value = f64> {
        let edges = vec![0.0, -0.0, 1.0, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, 5e-324];
        prop_oneof![
            prop::sample::select(edges),
            any::<u64>().prop_map(f64::from_bits).prop_filter("a score", |score| !score.is_nan())
        ]
    }

    proptest! {
        #[test]
        fn keys_round_trip_and_order_by_score_then_member(
            a in any_score(), left in prop::collection::vec(any::<u8>(), 0..5),
            b in any_score(), right in prop::collection::vec(any::<u8>(), 0..5),
        ) {
            let object = ObjectId::from_value(7);
            let (one, other) = (key(object, a, &left), key(object, b, &right));
            let (score, member) = parse(&one, &value(a)).unwrap();
            prop_assert_eq!((score.to_bits(), member), (a.to_bits(), &left[..]));
            let order = a.partial_cmp(&b).unwrap().then_with(|| left.cmp(&right));
            prop_assert_eq!(one.cmp(&other), order);
            prop_assert!(position(object, a) <= one && one < position_after(object, a));
            if a < b {
                prop_assert!(position_after(object, a) <= other);
            }
        }
    }
}
