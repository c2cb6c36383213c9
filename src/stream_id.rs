//! Ids of a stream's entries: a time in milliseconds and a number within it, as clients write them (`1526919030474-55`).
//!
//! Text is read as Redis reads it, oddities included: what it takes for an id must be one here.

use std::fmt;

use crate::number;

/// What an id's text may be long at most.
const TEXT_BYTES_MAX: usize = 127;

/// An entry's place in its stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId {
    pub ms: u64,
    pub seq: u64,
}

/// What a client wrote where an id is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenId {
    pub id: StreamId,
    /// `false`: `ms-*`, the server is to choose the rest.
    pub has_seq: bool,
}

impl StreamId {
    pub const MIN: StreamId = StreamId { ms: 0, seq: 0 };
    pub const MAX: StreamId = StreamId { ms: u64::MAX, seq: u64::MAX };
    pub const BYTES: usize = 16;

    /// `None`: there is no higher one.
    pub fn next(self) -> Option<StreamId> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(StreamId { ms: self.ms, seq }),
            None => self.ms.checked_add(1).map(|ms| StreamId { ms, seq: 0 }),
        }
    }

    /// `None`: there is no lower one.
    pub fn previous(self) -> Option<StreamId> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(StreamId { ms: self.ms, seq }),
            None => self.ms.checked_sub(1).map(|ms| StreamId { ms, seq: u64::MAX }),
        }
    }

    /// In the order of ids.
    pub fn to_bytes(self) -> [u8; StreamId::BYTES] {
        (u128::from(self.ms) << 64 | u128::from(self.seq)).to_be_bytes()
    }

    pub fn from_bytes(bytes: [u8; StreamId::BYTES]) -> StreamId {
        let both = u128::from_be_bytes(bytes);
        StreamId { ms: (both >> 64) as u64, seq: both as u64 }
    }

    /// Reads `ms` or `ms-seq`, and `-` and `+`, the ends of a range. `missing_seq`: what a missing part means.
    pub fn parse(text: &[u8], missing_seq: u64) -> Option<StreamId> {
        match text {
            b"-" => Some(StreamId::MIN),
            b"+" => Some(StreamId::MAX),
            _ => StreamId::parse_strict(text, missing_seq),
        }
    }

    /// As [`StreamId::parse`], without the ends of a range.
    pub fn parse_strict(text: &[u8], missing_seq: u64) -> Option<StreamId> {
        StreamId::parse_written(text, missing_seq).filter(|written| written.has_seq).map(|written| written.id)
    }

    /// As [`StreamId::parse_strict`]; `ms-*` is one too.
    pub fn parse_written(text: &[u8], missing_seq: u64) -> Option<WrittenId> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        // To Redis a text ends at its first NUL.
        let text = &text[..memchr::memchr(0, text).unwrap_or(text.len())];
        let Some(at) = memchr::memchr(b'-', text) else {
            let id = StreamId { ms: parse_part(text)?, seq: missing_seq };
            return Some(WrittenId { id, has_seq: true });
        };
        let (ms, seq) = (parse_part(&text[..at])?, &text[at + 1..]);
        match seq {
            b"*" => Some(WrittenId { id: StreamId { ms, seq: 0 }, has_seq: false }),
            _ => Some(WrittenId { id: StreamId { ms, seq: parse_part(seq)? }, has_seq: true }),
        }
    }
}

/// A number without a sign; what is none is read again as C's `strtoull` does.
fn parse_part(text: &[u8]) -> Option<u64> {
    if let Some(value) = number::parse_i64(text) {
        return u64::try_from(value).ok();
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = text.iter().position(|byte| !is_space(byte))?;
    let (negative, digits) = match &text[start..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })?;
    Some(if negative { value.wrapping_neg() } else { value })
}

/// What is known of a stream without looking at its entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    pub len: u64,
    /// Entries ever added.
    pub added: u64,
    /// The lowest id there is; `0-0` in an empty stream.
    pub first: StreamId,
    /// The id given last.
    pub last: StreamId,
    /// The highest id that was deleted from within.
    pub max_deleted: StreamId,
}

impl Extent {
    /// How many entries were ever added up to `id`, as far as that can be told.
    pub fn added_up_to(&self, id: StreamId) -> Option<u64> {
        if self.added == 0 {
            return Some(0);
        }
        if self.len == 0 && id <= self.last {
            return Some(self.added);
        }
        if id != StreamId::MIN && id < self.max_deleted {
            return None;
        }
        if id >= self.last {
            return (id == self.last).then_some(self.added);
        }
        let is_whole = self.max_deleted == StreamId::MIN || self.max_deleted < self.first;
        if !is_whole || id > self.first {
            return None;
        }
        Some(self.added.saturating_sub(self.len) + u64::from(id == self.first))
    }

    /// Whether something was deleted at `id` or behind it.
    pub fn has_gap_from(&self, id: StreamId) -> bool {
        self.len > 0 && self.max_deleted != StreamId::MIN && id <= self.max_deleted
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(ms: u64, seq: u64) -> StreamId {
        StreamId { ms, seq }
    }

    #[test]
    fn texts_are_read_as_redis_reads_them() {
        for (text, expected) in [
            (&b"5"[..], Some(id(5, 77))),
            (b"5-6", Some(id(5, 6))),
            (b"0-0", Some(id(0, 0))),
            (b"18446744073709551615-18446744073709551615", Some(StreamId::MAX)),
            (b"18446744073709551616-0", None),
            (b"5-", None),
            (b"-5", None),
            (b"", None),
            (b"5--3", None),
            (b"5--03", Some(id(5, 3u64.wrapping_neg()))),
            (b"05-+6", Some(id(5, 6))),
            (b" 5- 6", Some(id(5, 6))),
            (b"5-6 ", None),
            (b"5-6-7", None),
            (b"5-6\0-7", Some(id(5, 6))),
            (b"5-*", None),
            (b"*", None),
            (b"a-b", None),
            (&[b'0'; 128], None),
        ] {
            assert_eq!(StreamId::parse_strict(text, 77), expected, "{}", text.escape_ascii());
        }
        assert_eq!(StreamId::parse(b"-", 0), Some(StreamId::MIN));
        assert_eq!(StreamId::parse(b"+", 0), Some(StreamId::MAX));
        assert_eq!(StreamId::parse_strict(b"+", 0), None);
        let written = StreamId::parse_written(b"5-*", 0);
        assert_eq!(written, Some(WrittenId { id: id(5, 0), has_seq: false }));
    }

    #[test]
    fn neighbours_carry_and_end() {
        assert_eq!(id(1, u64::MAX).next(), Some(id(2, 0)));
        assert_eq!(id(2, 0).previous(), Some(id(1, u64::MAX)));
        assert_eq!((StreamId::MAX.next(), StreamId::MIN.previous()), (None, None));
    }

    proptest! {
        #[test]
        fn ids_round_trip_and_keep_their_order_in_bytes(a in any::<(u64, u64)>(), b in any::<(u64, u64)>()) {
            let (a, b) = (id(a.0, a.1), id(b.0, b.1));
            prop_assert_eq!(StreamId::from_bytes(a.to_bytes()), a);
            prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
            prop_assert_eq!(StreamId::parse_strict(a.to_string().as_bytes(), 0), Some(a));
            prop_assert_eq!(a.next().and_then(StreamId::previous), a.next().map(|_| a));
        }
    }
}
