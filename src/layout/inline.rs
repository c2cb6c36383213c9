//! The body of a small collection's meta record: its elements one after the other, each with its length in front.
//!
//! Which elements there are (a hash's fields and values by turns, say) is the type's business.

use bytes::{BufMut, Bytes, BytesMut};

use super::Malformed;

/// The bytes that a part of `len` bytes takes.
pub fn size(len: usize) -> usize {
    let length_bytes = (usize::BITS - (len | 1).leading_zeros()).div_ceil(7) as usize;
    length_bytes + len
}

/// Appends a part: its length, seven bits a byte, the lowest first, and itself.
pub fn push(body: &mut BytesMut, part: &[u8]) {
    let mut len = part.len();
    while len >= 0x80 {
        body.put_u8(len as u8 | 0x80);
        len >>= 7;
    }
    body.put_u8(len as u8);
    body.put_slice(part);
}

/// The parts of a body, in order, borrowing its memory.
#[derive(Clone, Debug)]
pub struct Parts<'b> {
    body: &'b Bytes,
    at: usize,
}

impl<'b> Parts<'b> {
    pub fn of(body: &'b Bytes) -> Parts<'b> {
        Parts { body, at: 0 }
    }

    /// The next part; `None` at the end.
    pub fn next(&mut self) -> Result<Option<&'b [u8]>, Malformed> {
        Ok(self.advance()?.map(|(from, to)| &self.body[from..to]))
    }

    /// As [`Parts::next`], sharing the body's memory.
    pub fn next_bytes(&mut self) -> Result<Option<Bytes>, Malformed> {
        Ok(self.advance()?.map(|(from, to)| self.body.slice(from..to)))
    }

    fn advance(&mut self) -> Result<Option<(usize, usize)>, Malformed> {
        if self.at == self.body.len() {
            return Ok(None);
        }
        let malformed = || Malformed::new("collection", self.body);
        let (mut at, mut len, mut shift) = (self.at, 0usize, 0);
        loop {
            let byte = *self.body.get(at).ok_or_else(malformed)?;
            at += 1;
            len |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
            if shift > 28 {
                return Err(malformed());
            }
        }
        let end = at.checked_add(len).filter(|end| *end <= self.body.len()).ok_or_else(malformed)?;
        self.at = end;
        Ok(Some((at, end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_round_trip(
            parts in prop::collection::vec(prop_oneof![
                prop::collection::vec(any::<u8>(), 0..5),
                (100usize..20_000).prop_map(|len| vec![7; len]),
            ], 0..6),
        ) {
            let mut body = BytesMut::new();
            for part in &parts {
                let before = body.len();
                push(&mut body, part);
                prop_assert_eq!(body.len() - before, size(part.len()));
            }
            let body = body.freeze();
            let mut read = Parts::of(&body);
            let mut shared = Parts::of(&body);
            for part in &parts {
                prop_assert_eq!(read.next().unwrap(), Some(&part[..]));
                prop_assert_eq!(shared.next_bytes().unwrap().unwrap(), &part[..]);
            }
            prop_assert_eq!(read.next(), Ok(None));
        }

        #[test]
        fn damaged_bodies_are_errors_not_panics(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let body = Bytes::from(bytes);
            let mut parts = Parts::of(&body);
            while let Ok(Some(_)) = parts.next() {}
        }
    }
}
