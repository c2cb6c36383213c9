//! What SORT sorts: the elements of lists, sets and sorted sets, and the values of other keys that they lead to.
//!
//! It must never depend on a locale: texts are compared byte by byte, as Redis does in the C locale.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::elements::{Elements, by_score, decode_score};
use super::list::List;
use super::string;
use crate::engine::Direction;
use crate::keyspace::{CommandError, Keyspace, Record, Type};
use crate::number;

type Result<T> = std::result::Result<T, CommandError>;

/// The elements of a value in its own order: as pushed, by score, or (of sets) in none.
pub fn elements(keyspace: &Keyspace<'_>, record: &Record) -> Result<Vec<Bytes>> {
    match record.kind {
        Type::List => {
            let list = List::of(record)?;
            list.take(keyspace, 0..list.len(), Direction::Forward)
        }
        Type::Set => {
            let set = Elements::of(record)?;
            let mut members = Vec::new();
            set.check_walk(keyspace, set.len())?;
            set.for_each(keyspace, |member, _| members.push(Bytes::copy_from_slice(member)))?;
            Ok(members)
        }
        Type::SortedSet => Ok(scored_members(keyspace, record)?.into_iter().map(|(member, _)| member).collect()),
        Type::String | Type::Hash | Type::Stream => Err(CommandError::WrongType),
    }
}

/// A sorted set's members with their scores, lowest first.
pub(super) fn scored_members(keyspace: &Keyspace<'_>, record: &Record) -> Result<Vec<(Bytes, f64)>> {
    let set = Elements::of(record)?;
    let mut members = Vec::new();
    set.check_walk(keyspace, set.len())?;
    set.walk(keyspace, |member, score| {
        members.push((Bytes::copy_from_slice(member), decode_score(score)?));
        Ok(ControlFlow::Continue(()))
    })?;
    members.sort_by(|a, b| by_score((a.1, &a.0), (b.1, &b.0)));
    Ok(members)
}

/// A pattern of BY or GET: how an element leads to a value. A C string to Redis, so that what is behind a NUL counts only
/// as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// `#`: the element itself.
    Element,
    /// Without a `*`: to nothing.
    Nowhere,
    /// The element takes the place of the `*` in a key, and that of a hash's field may follow behind `->`.
    Key { before: Bytes, behind: Bytes, field: Option<Bytes> },
}

impl Pattern {
    pub fn parse(pattern: &Bytes) -> Pattern {
        let text = c_string(pattern);
        if text == b"#" {
            return Pattern::Element;
        }
        let Some(star) = memchr::memchr(b'*', text) else { return Pattern::Nowhere };
        let arrow = memchr::memmem::find(&text[star + 1..], b"->").map(|at| star + 1 + at);
        let (end, field) = match arrow.filter(|arrow| arrow + 2 < text.len()) {
            Some(arrow) => (arrow, Some(pattern.slice(arrow + 2..))),
            None => (pattern.len(), None),
        };
        Pattern::Key { before: pattern.slice(..star), behind: pattern.slice(star + 1..end), field }
    }

    /// The value that `element` leads to, if there is one.
    pub fn look_up(&self, keyspace: &mut Keyspace<'_>, element: &Bytes) -> Result<Option<Bytes>> {
        let (before, behind, field) = match self {
            Pattern::Element => return Ok(Some(element.clone())),
            Pattern::Nowhere => return Ok(None),
            Pattern::Key { before, behind, field } => (before, behind, field),
        };
        let key = [&before[..], element, behind].concat();
        match (keyspace.get(&key)?, field) {
            (Some(record), None) if record.kind == Type::String => string::read(keyspace, &record).map(Some),
            (Some(record), Some(field)) if record.kind == Type::Hash => Elements::of(&record)?.get(keyspace, field),
            _ => Ok(None),
        }
    }
}

/// What an element is sorted by.
#[derive(Clone, Debug, PartialEq)]
pub enum Weight {
    Number(f64),
    /// `None` comes before all texts.
    Text(Option<Bytes>),
}

/// The number that SORT takes a text for: `strtod`, which goes over spaces in front, and finds nothing worth 0.
pub fn parse_number(text: &[u8]) -> Option<f64> {
    let text = c_string(text);
    if text.is_empty() {
        return Some(0.0);
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let unspaced = &text[text.iter().take_while(|byte| is_space(byte)).count()..];
    // Results too small to be precise are out of range, as those are that would be 0.
    number::parse_f64(unspaced).filter(|value| !value.is_subnormal())
}

/// The order of two elements with their weights. Where texts are only shown, they are compared as C strings; where they
/// are stored, in full.
pub fn compare(a: (&Weight, &Bytes), b: (&Weight, &Bytes), is_stored: bool) -> Ordering {
    let texts = |a: &[u8], b: &[u8]| if is_stored { a.cmp(b) } else { c_string(a).cmp(c_string(b)) };
    match (a.0, b.0) {
        (Weight::Number(left), Weight::Number(right)) => {
            left.partial_cmp(right).unwrap_or(Ordering::Equal).then_with(|| a.1.cmp(b.1))
        }
        (Weight::Text(Some(left)), Weight::Text(Some(right))) => texts(left, right),
        (Weight::Text(left), Weight::Text(right)) => left.is_some().cmp(&right.is_some()),
        (Weight::Number(_), Weight::Text(_)) => Ordering::Less,
        (Weight::Text(_), Weight::Number(_)) => Ordering::Greater,
    }
}

/// A text up to its first NUL.
pub fn c_string(text: &[u8]) -> &[u8] {
    memchr::memchr(0, text).map_or(text, |end| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_taken_apart_as_redis_does() {
        let parse = |pattern: &'static str| Pattern::parse(&Bytes::from_static(pattern.as_bytes()));
        let key = |before: &'static str, behind: &'static str, field: Option<&'static str>| Pattern::Key {
            before: before.into(),
            behind: behind.into(),
            field: field.map(Bytes::from),
        };
        assert_eq!(parse("#"), Pattern::Element);
        assert_eq!(parse("nosort"), Pattern::Nowhere);
        assert_eq!(parse("#->x"), Pattern::Nowhere);
        assert_eq!(parse("w_*"), key("w_", "", None));
        assert_eq!(parse("*_w*->f"), key("", "_w*", Some("f")));
        assert_eq!(parse("a->*"), key("a->", "", None));
        assert_eq!(parse("*->"), key("", "->", None));
        assert_eq!(parse("*->f->g"), key("", "", Some("f->g")));
    }

    #[test]
    fn texts_are_numbers_as_for_strtod() {
        for (text, number) in [
            ("", Some(0.0)),
            ("5", Some(5.0)),
            (" \t5.5", Some(5.5)),
            ("5 ", None),
            (" ", None),
            ("5\0x", Some(5.0)),
            ("-inf", Some(f64::NEG_INFINITY)),
            ("0x10", Some(16.0)),
            ("nan", None),
            ("1e400", None),
            ("1e-310", None),
            ("abc", None),
        ] {
            assert_eq!(parse_number(text.as_bytes()), number, "{text:?}");
        }
    }
}
