//! Replies as a client sees them: bytes → values, and commands → bytes.
//!
//! For tests, simulated clients, benchmarks and fuzzing. It must never panic or overflow the stack, whatever a server
//! sends, and never reserve memory for a length that was only announced.

use super::encode::put_header;
use crate::limits::NESTING_MAX;
use crate::number::{format_f64, parse_f64, parse_i64};
use bytes::{Bytes, BytesMut};
use smallvec::{SmallVec, smallvec};
use std::fmt;
use std::ops::Range;

/// One reply, of any type of RESP2 and RESP3. Strings are pieces of the buffer it was read from.
#[derive(Clone, Debug)]
pub enum Value {
    /// `+`
    Simple(Bytes),
    /// `-` or `!`
    Error(Bytes),
    /// `:`
    Integer(i64),
    /// `$`
    Bulk(Bytes),
    /// `_` or `$-1`
    Null,
    /// `*-1`
    NullArray,
    /// `*`
    Array(Vec<Value>),
    /// `%`
    Map(Vec<(Value, Value)>),
    /// `~`, in the order it was sent
    Set(Vec<Value>),
    /// `>`
    Push(Vec<Value>),
    /// `,`
    Double(f64),
    /// `#`
    Boolean(bool),
    /// `(`, as its digits
    BigNumber(Bytes),
    /// `=`
    Verbatim {
        /// Three characters: `txt` or `mkd`.
        format: Bytes,
        /// What is to be shown.
        text: Bytes,
    },
    /// `|`
    Attributed {
        /// Facts about the value.
        attributes: Vec<(Value, Value)>,
        /// The reply itself.
        value: Box<Value>,
    },
}

/// Why the bytes are no reply. What follows them cannot be understood either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// No type begins with this byte.
    #[error("unknown reply type '{}'", .0.escape_ascii())]
    UnknownType(u8),
    /// The length of a string or aggregate is no number or too large to be one.
    #[error("invalid length in reply")]
    InvalidLength,
    /// A line or a string does not end in `\r\n`.
    #[error("reply does not end in a line break")]
    InvalidEnd,
    /// A number, boolean, null or verbatim string is not written as one.
    #[error("invalid value in reply")]
    InvalidValue,
    /// More than 128 aggregates within one another.
    #[error("reply is nested too deeply")]
    TooDeep,
}

impl Value {
    /// Takes the next complete reply out of `buffer`; `Ok(None)`: more bytes are needed. Each call looks through an
    /// incomplete reply again, without allocating.
    pub fn decode(buffer: &mut BytesMut) -> Result<Option<Value>, ValueError> {
        let Some(len) = complete_len(buffer)? else { return Ok(None) };
        build(&buffer.split_to(len).freeze(), &mut 0).map(Some)
    }

    /// As redis-cli shows it on a terminal; `prefix` is what stands before every line but the first.
    fn show(&self, f: &mut fmt::Formatter<'_>, prefix: &str) -> fmt::Result {
        match self {
            Value::Simple(text) | Value::BigNumber(text) | Value::Verbatim { text, .. } => show_text(f, text),
            Value::Error(text) => f.write_str("(error) ").and_then(|()| show_text(f, text)),
            Value::Integer(value) => write!(f, "(integer) {value}"),
            Value::Bulk(text) => write_quoted(f, text),
            Value::Null | Value::NullArray => f.write_str("(nil)"),
            Value::Array(values) => show_values(f, values, prefix, "(empty array)", ')'),
            Value::Set(values) => show_values(f, values, prefix, "(empty set)", '~'),
            Value::Push(values) => show_values(f, values, prefix, "(empty push)", ')'),
            Value::Map(pairs) => show_items(f, pairs, prefix, "(empty hash)", '#', |f, (key, value), prefix| {
                key.show(f, prefix)?;
                f.write_str(" => ")?;
                if value.spans_lines() {
                    write!(f, "\n{prefix}")?;
                }
                value.show(f, prefix)
            }),
            Value::Double(value) => f.write_str("(double) ").and_then(|()| show_text(f, &format_f64(*value))),
            Value::Boolean(value) => write!(f, "({value})"),
            Value::Attributed { value, .. } => value.show(f, prefix),
        }
    }

    /// Whether the value takes more than one line to show, so that behind its key it begins on a line of its own.
    fn spans_lines(&self) -> bool {
        match self {
            Value::Array(values) | Value::Set(values) | Value::Push(values) => match &values[..] {
                [] => false,
                [value] => value.spans_lines(),
                _ => true,
            },
            Value::Map(pairs) => match &pairs[..] {
                [] => false,
                [(_, value)] => value.spans_lines(),
                _ => true,
            },
            Value::Attributed { value, .. } => value.spans_lines(),
            _ => false,
        }
    }
}

/// Appends a command as clients send it.
pub fn encode_command(args: &[impl AsRef<[u8]>], out: &mut BytesMut) {
    put_header(out, b'*', args.len());
    for arg in args.iter().map(AsRef::as_ref) {
        put_header(out, b'$', arg.len());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

impl PartialEq for Value {
    /// As one would derive it, but doubles are compared by their bits, so that NaN equals itself and 0 is not -0.
    fn eq(&self, other: &Self) -> bool {
        use Value::*;
        match (self, other) {
            (Simple(a), Simple(b)) | (Error(a), Error(b)) | (Bulk(a), Bulk(b)) | (BigNumber(a), BigNumber(b)) => a == b,
            (Array(a), Array(b)) | (Set(a), Set(b)) | (Push(a), Push(b)) => a == b,
            (Map(a), Map(b)) => a == b,
            (Integer(a), Integer(b)) => a == b,
            (Boolean(a), Boolean(b)) => a == b,
            (Double(a), Double(b)) => a.to_bits() == b.to_bits(),
            (Verbatim { format: a, text: s }, Verbatim { format: b, text: t }) => a == b && s == t,
            (Attributed { attributes: a, value: v }, Attributed { attributes: b, value: w }) => a == b && v == w,
            (Null, Null) | (NullArray, NullArray) => true,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show(f, "")
    }
}

/// What comes next in a reply: a whole value, or the head of an aggregate.
struct Token {
    kind: u8,
    body: Body,
}

enum Body {
    /// Where the text of a line or string lies.
    Text(Range<usize>),
    /// How many keys and values, or elements, follow.
    Items(usize),
    /// A length of -1.
    Null,
}

impl Token {
    /// Reads the token at `at` and moves behind it; `None` if it is not complete.
    fn read(bytes: &[u8], at: &mut usize) -> Result<Option<Self>, ValueError> {
        let Some(&kind) = bytes.get(*at) else { return Ok(None) };
        let sized = match kind {
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => false,
            b'$' | b'!' | b'=' | b'*' | b'%' | b'~' | b'>' | b'|' => true,
            _ => return Err(ValueError::UnknownType(kind)),
        };
        let start = *at + 1;
        let Some(line_len) = memchr::memchr(b'\r', &bytes[start..]) else { return Ok(None) };
        let end = start + line_len;
        if !line_ends_at(bytes, end)? {
            return Ok(None);
        }
        let body = if sized { sized_body(kind, bytes, start..end)? } else { Body::Text(start..end) };
        let body_end = if let Body::Text(text) = &body { text.end } else { end };
        if !line_ends_at(bytes, body_end)? {
            return Ok(None);
        }
        *at = body_end + 2;
        Ok(Some(Self { kind, body }))
    }

    /// How many values follow before this one is complete.
    fn children(&self) -> Result<usize, ValueError> {
        let Body::Items(items) = self.body else { return Ok(0) };
        match self.kind {
            b'%' => items.checked_mul(2),
            b'|' => items.checked_mul(2).and_then(|facts| facts.checked_add(1)),
            _ => Some(items),
        }
        .ok_or(ValueError::InvalidLength)
    }
}

/// What a length announces; `line` is where its digits lie.
fn sized_body(kind: u8, bytes: &[u8], line: Range<usize>) -> Result<Body, ValueError> {
    let start = line.end + 2;
    let len = parse_i64(&bytes[line]).ok_or(ValueError::InvalidLength)?;
    match usize::try_from(len) {
        Ok(items) if matches!(kind, b'*' | b'%' | b'~' | b'>' | b'|') => Ok(Body::Items(items)),
        Ok(len) => Ok(Body::Text(start..start.checked_add(len).ok_or(ValueError::InvalidLength)?)),
        Err(_) if len == -1 && matches!(kind, b'$' | b'*') => Ok(Body::Null),
        Err(_) => Err(ValueError::InvalidLength),
    }
}

/// Whether a line break has arrived at `end`; anything else there is an error.
fn line_ends_at(bytes: &[u8], end: usize) -> Result<bool, ValueError> {
    match bytes.get(end..).unwrap_or_default() {
        [b'\r', b'\n', ..] => Ok(true),
        [] | [b'\r'] => Ok(false),
        _ => Err(ValueError::InvalidEnd),
    }
}

/// The length of the reply at the head of `bytes` if all of it is there. Bounds the nesting, so that everything that
/// comes later may recurse.
fn complete_len(bytes: &[u8]) -> Result<Option<usize>, ValueError> {
    // What each open aggregate still waits for, the innermost last.
    let mut missing: SmallVec<[usize; 8]> = smallvec![1];
    let mut at = 0;
    while let Some(innermost) = missing.last_mut() {
        if *innermost == 0 {
            missing.pop();
            continue;
        }
        *innermost -= 1;
        let Some(token) = Token::read(bytes, &mut at)? else { return Ok(None) };
        match token.children()? {
            0 => {}
            _ if missing.len() > NESTING_MAX => return Err(ValueError::TooDeep),
            children => missing.push(children),
        }
    }
    Ok(Some(at))
}

/// Builds the value at `at` of a reply that is known to be complete.
fn build(frame: &Bytes, at: &mut usize) -> Result<Value, ValueError> {
    let Token { kind, body } = Token::read(frame, at)?.expect("invariant: the reply is complete");
    match body {
        Body::Null if kind == b'*' => Ok(Value::NullArray),
        Body::Null => Ok(Value::Null),
        Body::Text(range) => build_scalar(kind, frame.slice(range)),
        Body::Items(len) => match kind {
            b'%' => build_pairs(frame, at, len).map(Value::Map),
            b'~' => build_values(frame, at, len).map(Value::Set),
            b'>' => build_values(frame, at, len).map(Value::Push),
            b'|' => {
                let attributes = build_pairs(frame, at, len)?;
                Ok(Value::Attributed { attributes, value: Box::new(build(frame, at)?) })
            }
            _ => build_values(frame, at, len).map(Value::Array),
        },
    }
}

fn build_values(frame: &Bytes, at: &mut usize, len: usize) -> Result<Vec<Value>, ValueError> {
    (0..len).map(|_| build(frame, at)).collect()
}

fn build_pairs(frame: &Bytes, at: &mut usize, len: usize) -> Result<Vec<(Value, Value)>, ValueError> {
    (0..len).map(|_| Ok((build(frame, at)?, build(frame, at)?))).collect()
}

fn build_scalar(kind: u8, text: Bytes) -> Result<Value, ValueError> {
    match (kind, &text[..]) {
        (b'+', _) => Some(Value::Simple(text)),
        (b'-' | b'!', _) => Some(Value::Error(text)),
        (b'$', _) => Some(Value::Bulk(text)),
        (b'(', _) => Some(Value::BigNumber(text)),
        (b':', digits) => parse_i64(digits).map(Value::Integer),
        (b',', b"nan" | b"-nan") => Some(Value::Double(f64::NAN)),
        (b',', number) => parse_f64(number).map(Value::Double),
        (b'#', b"t") => Some(Value::Boolean(true)),
        (b'#', b"f") => Some(Value::Boolean(false)),
        (b'_', b"") => Some(Value::Null),
        (b'=', [_, _, _, b':', ..]) => Some(Value::Verbatim { format: text.slice(..3), text: text.slice(4..) }),
        _ => None,
    }
    .ok_or(ValueError::InvalidValue)
}

fn show_text(f: &mut fmt::Formatter<'_>, text: &[u8]) -> fmt::Result {
    f.write_str(&String::from_utf8_lossy(text))
}

/// `sdscatrepr`: quoted, with everything that is not printable ASCII escaped.
pub fn write_quoted(f: &mut impl fmt::Write, text: &[u8]) -> fmt::Result {
    f.write_char('"')?;
    for &byte in text {
        match byte {
            b'\\' | b'"' => write!(f, "\\{}", char::from(byte)),
            b'\n' => f.write_str("\\n"),
            b'\r' => f.write_str("\\r"),
            b'\t' => f.write_str("\\t"),
            0x07 => f.write_str("\\a"),
            0x08 => f.write_str("\\b"),
            b' '..=b'~' => f.write_char(char::from(byte)),
            _ => write!(f, "\\x{byte:02x}"),
        }?;
    }
    f.write_char('"')
}

fn show_values(f: &mut fmt::Formatter<'_>, values: &[Value], prefix: &str, empty: &str, mark: char) -> fmt::Result {
    show_items(f, values, prefix, empty, mark, |f, value, prefix| value.show(f, prefix))
}

/// One numbered line per item, aligned below one another and to the right of what they are part of.
fn show_items<T>(
    f: &mut fmt::Formatter<'_>,
    items: &[T],
    prefix: &str,
    empty: &str,
    mark: char,
    show: impl Fn(&mut fmt::Formatter<'_>, &T, &str) -> fmt::Result,
) -> fmt::Result {
    if items.is_empty() {
        return f.write_str(empty);
    }
    let width = items.len().to_string().len();
    let inner = format!("{prefix}{:1$}", "", width + 2);
    for (number, item) in (1..).zip(items) {
        // The first item stands on the line that its aggregate's number has begun.
        if number > 1 {
            write!(f, "\n{prefix}")?;
        }
        write!(f, "{number:width$}{mark} ")?;
        show(f, item, &inner)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::{Protocol, ReplyBuffer};
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Result<Option<Value>, ValueError> {
        Value::decode(&mut BytesMut::from(bytes))
    }

    fn text(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    /// Writes a value with the encoder under test; `NullArray` is for RESP2 only.
    fn write(value: &Value, reply: &mut ReplyBuffer) {
        let utf8 = |text: &Bytes| String::from_utf8(text.to_vec()).expect("only UTF-8 is generated here");
        let write_pairs = |pairs: &[(Value, Value)], reply: &mut ReplyBuffer| {
            pairs.iter().flat_map(|(key, value)| [key, value]).for_each(|value| write(value, reply));
        };
        match value {
            Value::Simple(text) => reply.simple(&utf8(text)),
            Value::Error(text) => reply.error(utf8(text)),
            Value::Integer(value) => reply.integer(*value),
            Value::Bulk(text) => reply.bulk(text),
            Value::Null => reply.null(),
            Value::NullArray => reply.null_array(),
            Value::Double(value) => reply.double(*value),
            Value::Boolean(value) => reply.boolean(*value),
            Value::BigNumber(digits) => reply.big_number(&utf8(digits)),
            Value::Verbatim { format, text } => reply.verbatim(&utf8(format), text),
            Value::Array(values) => {
                reply.array(values.len());
                values.iter().for_each(|value| write(value, reply));
            }
            Value::Push(values) => {
                reply.push(values.len());
                values.iter().for_each(|value| write(value, reply));
            }
            Value::Set(values) => {
                let deferred = reply.deferred();
                values.iter().for_each(|value| write(value, reply));
                reply.finish_set(deferred, values.len());
            }
            Value::Map(pairs) => {
                let deferred = reply.deferred();
                write_pairs(pairs, reply);
                reply.finish_map(deferred, pairs.len());
            }
            Value::Attributed { attributes, value } => {
                if reply.attribute(attributes.len()) {
                    write_pairs(attributes, reply);
                }
                write(value, reply);
            }
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let line = || "[ -~]{0,12}".prop_map(Bytes::from);
        let bytes = || proptest::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from);
        let scalar = prop_oneof![
            line().prop_map(Value::Simple),
            line().prop_map(Value::Error),
            any::<i64>().prop_map(Value::Integer),
            bytes().prop_map(Value::Bulk),
            Just(Value::Null),
            any::<u64>()
                .prop_map(f64::from_bits)
                .prop_filter("one NaN", |value| !value.is_nan())
                .prop_map(Value::Double),
            Just(Value::Double(f64::NAN)),
            any::<bool>().prop_map(Value::Boolean),
            "-?[1-9][0-9]{0,30}".prop_map(|digits| Value::BigNumber(digits.into())),
            ("[a-z]{3}", bytes()).prop_map(|(format, text)| Value::Verbatim { format: format.into(), text }),
        ];
        scalar.prop_recursive(4, 24, 4, |value| {
            let values = || proptest::collection::vec(value.clone(), 0..4);
            let pairs = || proptest::collection::vec((value.clone(), value.clone()), 0..3);
            prop_oneof![
                values().prop_map(Value::Array),
                values().prop_map(Value::Set),
                values().prop_map(Value::Push),
                pairs().prop_map(Value::Map),
                (pairs(), value.clone())
                    .prop_map(|(attributes, value)| Value::Attributed { attributes, value: Box::new(value) }),
            ]
        })
    }

    #[test]
    fn the_nulls_of_resp2_are_told_apart() {
        assert_eq!(read(b"$-1\r\n"), Ok(Some(Value::Null)));
        assert_eq!(read(b"*-1\r\n"), Ok(Some(Value::NullArray)));
        assert_eq!(read(b"_\r\n"), Ok(Some(Value::Null)));
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for (bytes, error) in [
            (&b"PING\r\n"[..], ValueError::UnknownType(b'P')),
            (b"\r\n", ValueError::UnknownType(b'\r')),
            (b"+OK\rx", ValueError::InvalidEnd),
            (b"$1\r\nabc", ValueError::InvalidEnd),
            (b"$x\r\n", ValueError::InvalidLength),
            (b"$-2\r\n", ValueError::InvalidLength),
            (b"%-1\r\n", ValueError::InvalidLength),
            (b"$99999999999999999999\r\n", ValueError::InvalidLength),
            (b":1.5\r\n", ValueError::InvalidValue),
            (b",one\r\n", ValueError::InvalidValue),
            (b"#x\r\n", ValueError::InvalidValue),
            (b"_x\r\n", ValueError::InvalidValue),
            (b"=2\r\nab\r\n", ValueError::InvalidValue),
        ] {
            assert_eq!(read(bytes), Err(error), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn more_than_will_ever_come_is_waited_for_without_memory() {
        for bytes in [&b"$9223372036854775807\r\n"[..], b"*9223372036854775807\r\n", b"|9223372036854775807\r\n"] {
            assert_eq!(read(bytes), Ok(None));
        }
    }

    #[test]
    fn nesting_has_a_limit_even_if_it_never_ends() {
        let nested = |depth: usize| [b"*1\r\n".repeat(depth), b":1\r\n".to_vec()].concat();
        assert!(matches!(read(&nested(NESTING_MAX)), Ok(Some(Value::Array(_)))));
        assert_eq!(read(&nested(NESTING_MAX + 1)), Err(ValueError::TooDeep));
        assert_eq!(read(&b"|0\r\n".repeat(100_000)), Err(ValueError::TooDeep));
        assert_eq!(read(&b"*4000000000\r\n".repeat(100)), Ok(None));
    }

    #[test]
    fn values_are_shown_as_redis_cli_shows_them() {
        let bulk = |text: &'static str| Value::Bulk(Bytes::from_static(text.as_bytes()));
        let nested = Value::Array(vec![Value::Integer(7), Value::Array(vec![bulk("x"), Value::Null])]);
        for (value, shown) in [
            (Value::Simple(text("PONG")), "PONG"),
            (Value::Error(text("ERR syntax error")), "(error) ERR syntax error"),
            (Value::Integer(-1), "(integer) -1"),
            (Value::Bulk(Bytes::from_static(b"a\"\\\n\r\t\x07\x08\0\xff")), r#""a\"\\\n\r\t\a\b\x00\xff""#),
            (Value::Null, "(nil)"),
            (Value::Array(vec![]), "(empty array)"),
            (Value::Map(vec![]), "(empty hash)"),
            (Value::Set(vec![]), "(empty set)"),
            (Value::Double(0.5), "(double) 0.5"),
            (Value::Boolean(true), "(true)"),
            (Value::BigNumber(text("12345678901234567890")), "12345678901234567890"),
            (Value::Verbatim { format: text("txt"), text: text("a\nb") }, "a\nb"),
            (
                Value::Array(vec![bulk("a"), nested.clone()]),
                "1) \"a\"\n2) 1) (integer) 7\n   2) 1) \"x\"\n      2) (nil)",
            ),
            (Value::Map(vec![(bulk("k"), nested)]), "1# \"k\" => \n   1) (integer) 7\n   2) 1) \"x\"\n      2) (nil)"),
            (Value::Map(vec![(bulk("k"), Value::Array(vec![bulk("x")]))]), "1# \"k\" => 1) \"x\""),
            (Value::Set(vec![bulk("a"), bulk("b")]), "1~ \"a\"\n2~ \"b\""),
        ] {
            assert_eq!(value.to_string(), shown);
        }
        let ten = Value::Array(vec![Value::Integer(0); 10]).to_string();
        assert!(ten.starts_with(" 1) (integer) 0\n 2) ") && ten.ends_with("\n10) (integer) 0"), "{ten}");
    }

    proptest! {
        #[test]
        fn every_value_comes_back_from_resp3_at_every_split(value in any_value(), next in any_value()) {
            let mut reply = ReplyBuffer::new(Protocol::Resp3);
            write(&value, &mut reply);
            let len = reply.len();
            write(&next, &mut reply);
            let bytes = reply.into_bytes();
            for split in 0..len {
                let mut partial = BytesMut::from(&bytes[..split]);
                prop_assert_eq!(Value::decode(&mut partial), Ok(None));
                prop_assert_eq!(partial.len(), split, "an incomplete reply stays in the buffer");
            }
            let mut buffer = bytes;
            prop_assert_eq!(Value::decode(&mut buffer), Ok(Some(value)));
            prop_assert_eq!(Value::decode(&mut buffer), Ok(Some(next)));
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn what_resp2_has_no_type_for_is_still_a_reply(value in any_value()) {
            let mut reply = ReplyBuffer::new(Protocol::Resp2);
            write(&value, &mut reply);
            let mut buffer = reply.into_bytes();
            let read = Value::decode(&mut buffer);
            prop_assert!(matches!(
                read,
                Ok(Some(
                    Value::Simple(_)
                        | Value::Error(_)
                        | Value::Integer(_)
                        | Value::Bulk(_)
                        | Value::Null
                        | Value::Array(_)
                ))
            ));
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn garbage_is_refused_or_waited_for(
            bytes: Vec<u8>,
            replies in "([+$*%~>|=,:#_!(-][0-9-]{0,2}(\r\n)?[a-c]?){0,12}",
        ) {
            for bytes in [&bytes[..], replies.as_bytes()] {
                if let Ok(Some(value)) = read(bytes) {
                    let _shown = value.to_string();
                }
            }
        }
    }
}
