//! Requests: bytes → commands, as `processMultibulkBuffer` and `processInlineBuffer` read them.
//!
//! The decoder remembers where it stopped, so every byte is looked at once however it arrives, and a finished command
//! leaves the buffer as one piece that its arguments point into. It must never reserve more than a few KiB for a length
//! that was only announced, and never let the split of the bytes into reads decide what they mean.
//!
//! Redis' leniences are kept: the byte behind a `\r` and the two bytes behind an argument are skipped unseen, inline
//! commands may end in `\n` alone, and commands without arguments get no reply. One of its traps is not: Redis searches
//! lines as C strings, so that behind a NUL it never finds their end and waits; here NUL is a byte like any other.

use crate::limits::{ARGUMENTS_MAX, INLINE_BYTES_MAX, UNAUTHENTICATED_ARGUMENTS_MAX, UNAUTHENTICATED_BULK_BYTES_MAX};
use crate::number::parse_i64;
use bytes::{Buf, Bytes, BytesMut};
use smallvec::SmallVec;
use std::fmt;
use std::ops::Index;

/// Arguments whose places are reserved when they are announced, as many as in Redis: 8 KiB. Others' when they come.
const RESERVED_ARGS_MAX: usize = 1024;

/// How far a client may go. Larger is refused with a [`ProtocolError`], after which the connection must be closed.
#[derive(Clone, Copy, Debug)]
pub struct DecodeLimits {
    /// Bytes in a line: an inline command, or the digits of a length. 64 KiB, Redis' `PROTO_INLINE_MAX_SIZE`.
    pub max_inline_len: usize,
    /// Bytes in one argument: `proto-max-bulk-len`, 512 MiB.
    pub max_bulk_len: usize,
    /// Arguments in one command: 1024 × 1024, as Redis had it before 7.0 allowed 2^31 - 1.
    pub max_args: usize,
    /// Bytes in one command: `client-query-buffer-limit`, 1 GiB. Never more than 4 GiB, whatever is set.
    pub max_frame_len: usize,
    /// Whether the client has authenticated or need not; otherwise 10 arguments of 16384 bytes are its limit.
    pub authenticated: bool,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            max_inline_len: INLINE_BYTES_MAX,
            max_bulk_len: 512 * 1024 * 1024,
            max_args: ARGUMENTS_MAX,
            max_frame_len: 1024 * 1024 * 1024,
            authenticated: true,
        }
    }
}

/// Why the bytes are no command, in Redis' words behind `ERR `. The connection is answered with them and closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The number behind `*` is none, or is more than a command may have.
    #[error("Protocol error: invalid multibulk length")]
    InvalidMultibulkLength,
    /// The number behind `$` is none, is negative, or is more than an argument may have.
    #[error("Protocol error: invalid bulk length")]
    InvalidBulkLength,
    /// Where an argument should begin stands another byte. (A byte that is not ASCII is shown as Latin-1.)
    #[error("Protocol error: expected '$', got '{}'", shown(*.0))]
    ExpectedBulk(u8),
    /// An inline command of more than 64 KiB.
    #[error("Protocol error: too big inline request")]
    TooBigInline,
    /// More than 64 KiB behind `*` and no end of line.
    #[error("Protocol error: too big mbulk count string")]
    TooBigMultibulkCount,
    /// More than 64 KiB behind `$` and no end of line.
    #[error("Protocol error: too big bulk count string")]
    TooBigBulkCount,
    /// A quoted argument of an inline command has no end, or goes on behind it.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// More than 10 arguments before authentication.
    #[error("Protocol error: unauthenticated multibulk length")]
    UnauthenticatedMultibulkLength,
    /// More than 16384 bytes in an argument before authentication.
    #[error("Protocol error: unauthenticated bulk length")]
    UnauthenticatedBulkLength,
    /// The command is longer than `client-query-buffer-limit`. Redis closes such a connection without a word.
    #[error("Protocol error: query buffer limit exceeded")]
    FrameTooLong,
}

/// A byte as it appears in an error, where a line break is a space.
fn shown(byte: u8) -> char {
    if matches!(byte, b'\r' | b'\n') { ' ' } else { char::from(byte) }
}

/// Cuts the bytes of one connection into commands. Once it has failed it fails again: the bytes stay where they are.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Everything in front is understood and not looked at again.
    position: usize,
    /// From `position` to here no line ends. Beyond 0 only in the middle of a command.
    searched: usize,
    /// Arguments still to come; 0 until the command has told how many it has.
    missing: usize,
    /// The length of the argument at `position`, once it is known.
    bulk_len: Option<usize>,
    ranges: Ranges,
}

impl Decoder {
    /// Takes the next complete command out of `buffer`, which must hold what the previous call left and whatever has
    /// arrived since. `Ok(None)`: more bytes are needed. Commands without arguments are skipped.
    pub fn decode(
        &mut self,
        buffer: &mut BytesMut,
        limits: &DecodeLimits,
    ) -> Result<Option<CommandArgs>, ProtocolError> {
        loop {
            let command = match buffer.first() {
                None => None,
                Some(b'*') => self.multibulk(buffer, limits)?,
                Some(_) => self.inline(buffer, limits)?,
            };
            if command.as_ref().is_none_or(|args| !args.is_empty()) {
                return Ok(command);
            }
        }
    }

    /// How many more bytes the argument being read certainly needs, 0 when unknown: lets the connection grow its read
    /// buffer for a big value. The number is the client's: grow in bounded steps, as bytes arrive.
    pub fn bytes_wanted(&self, buffer: &BytesMut) -> usize {
        self.bulk_len.map_or(0, |len| (self.position + len + 2).saturating_sub(buffer.len()))
    }

    /// Whether part of a command has been read and the rest is still to come.
    pub fn is_mid_command(&self) -> bool {
        self.searched > 0
    }

    fn multibulk(
        &mut self,
        buffer: &mut BytesMut,
        limits: &DecodeLimits,
    ) -> Result<Option<CommandArgs>, ProtocolError> {
        if self.missing == 0 {
            let Some(count) = self.multibulk_len(buffer, limits)? else { return Ok(None) };
            self.missing = count;
            self.ranges.reserve(count.min(RESERVED_ARGS_MAX));
        }
        while self.missing > 0 {
            let Some(len) = self.bulk_len(buffer, limits)? else { return Ok(None) };
            let end = self.position + len;
            if buffer.len() < end + 2 {
                self.bulk_len = Some(len);
                return Ok(None);
            }
            self.ranges.push(range(self.position, end));
            self.bulk_len = None;
            self.missing -= 1;
            self.move_to(end + 2);
        }
        let frame = buffer.split_to(self.position).freeze();
        let ranges = std::mem::take(&mut self.ranges);
        self.move_to(0);
        Ok(Some(CommandArgs { frame, ranges }))
    }

    /// Reads `*<count>`; nothing and less than nothing both mean a command without arguments.
    fn multibulk_len(&mut self, buffer: &[u8], limits: &DecodeLimits) -> Result<Option<usize>, ProtocolError> {
        let Some(line) = self.line(buffer, limits, ProtocolError::TooBigMultibulkCount)? else { return Ok(None) };
        let count = parse_i64(&line[1..]).ok_or(ProtocolError::InvalidMultibulkLength)?;
        let count = usize::try_from(count).unwrap_or(0);
        if count > limits.max_args {
            Err(ProtocolError::InvalidMultibulkLength)
        } else if count > UNAUTHENTICATED_ARGUMENTS_MAX && !limits.authenticated {
            Err(ProtocolError::UnauthenticatedMultibulkLength)
        } else {
            self.move_behind(line);
            Ok(Some(count))
        }
    }

    /// Reads `$<length>` if that has not been done, and holds the argument to every limit before it is waited for.
    fn bulk_len(&mut self, buffer: &[u8], limits: &DecodeLimits) -> Result<Option<usize>, ProtocolError> {
        if self.bulk_len.is_some() {
            return Ok(self.bulk_len);
        }
        let Some(line) = self.line(buffer, limits, ProtocolError::TooBigBulkCount)? else { return Ok(None) };
        let Some((b'$', digits)) = line.split_first() else {
            return Err(ProtocolError::ExpectedBulk(*line.first().unwrap_or(&b'\r')));
        };
        let len = parse_i64(digits).and_then(|len| usize::try_from(len).ok());
        let len = len.filter(|&len| len <= limits.max_bulk_len).ok_or(ProtocolError::InvalidBulkLength)?;
        if len > UNAUTHENTICATED_BULK_BYTES_MAX && !limits.authenticated {
            return Err(ProtocolError::UnauthenticatedBulkLength);
        }
        let frame_len_max = limits.max_frame_len.min(u32::MAX as usize);
        if len.saturating_add(self.position + line.len() + 4) > frame_len_max {
            return Err(ProtocolError::FrameTooLong);
        }
        self.move_behind(line);
        Ok(Some(len))
    }

    /// The line at the position, without its end; `None` while that is missing.
    fn line<'b>(
        &mut self,
        buffer: &'b [u8],
        limits: &DecodeLimits,
        too_long: ProtocolError,
    ) -> Result<Option<&'b [u8]>, ProtocolError> {
        let end = self.search(b'\r', buffer, limits.max_inline_len, too_long)?;
        Ok(end.filter(|end| end + 2 <= buffer.len()).map(|end| &buffer[self.position..end]))
    }

    fn inline(&mut self, buffer: &mut BytesMut, limits: &DecodeLimits) -> Result<Option<CommandArgs>, ProtocolError> {
        let end = self.search(b'\n', buffer, limits.max_inline_len, ProtocolError::TooBigInline)?;
        let Some(end) = end else { return Ok(None) };
        let line = &buffer[..end];
        let args = CommandArgs::from_line(line.strip_suffix(b"\r").unwrap_or(line))?;
        buffer.advance(end + 1);
        self.move_to(0);
        Ok(Some(args))
    }

    /// Where the line at the position ends, looking only at what no earlier call has seen.
    fn search(
        &mut self,
        line_end: u8,
        buffer: &[u8],
        max_len: usize,
        too_long: ProtocolError,
    ) -> Result<Option<usize>, ProtocolError> {
        let unseen = &buffer[self.searched..];
        // Lengths are a few digits: too short for a vector search to pay off.
        let near = unseen.iter().take(6).position(|&byte| byte == line_end);
        let found = near.or_else(|| memchr::memchr(line_end, unseen)).map(|offset| self.searched + offset);
        self.searched = found.unwrap_or(buffer.len());
        if self.searched - self.position > max_len { Err(too_long) } else { Ok(found) }
    }

    fn move_behind(&mut self, line: &[u8]) {
        self.move_to(self.position + line.len() + 2);
    }

    fn move_to(&mut self, position: usize) {
        (self.position, self.searched) = (position, position);
    }
}

/// Where the arguments lie in the frame. Six are held without an allocation, enough for most commands.
type Ranges = SmallVec<[(u32, u32); 6]>;

fn range(start: usize, end: usize) -> (u32, u32) {
    let narrow = |offset| u32::try_from(offset).expect("invariant: a frame is shorter than 4 GiB");
    (narrow(start), narrow(end))
}

/// One command: its bytes in one piece, and where each argument lies in them. Arguments are borrowed; a clone counts a
/// reference and copies no argument.
#[derive(Clone)]
pub struct CommandArgs {
    frame: Bytes,
    ranges: Ranges,
}

impl CommandArgs {
    /// Puts a command together from its arguments: for scripts, tests and simulated clients.
    pub fn from_parts(args: &[impl AsRef<[u8]>]) -> Self {
        let (mut frame, mut ranges) = (Vec::new(), Ranges::new());
        for arg in args {
            let start = frame.len();
            frame.extend_from_slice(arg.as_ref());
            ranges.push(range(start, frame.len()));
        }
        Self { frame: frame.into(), ranges }
    }

    /// Splits a line into arguments as `sdssplitargs` does, for inline commands and configuration files: blanks
    /// separate; `"…"` understands `\n \r \t \b \a \xHH` and takes any other escaped byte for itself; `'…'` understands
    /// `\'` only. Fails with [`ProtocolError::UnbalancedQuotes`].
    pub fn from_line(line: &[u8]) -> Result<Self, ProtocolError> {
        let (mut frame, mut ranges, mut rest) = (Vec::with_capacity(line.len()), Ranges::new(), line);
        loop {
            rest = &rest[rest.iter().take_while(|&&byte| is_space(byte)).count()..];
            if rest.is_empty() {
                return Ok(Self { frame: frame.into(), ranges });
            }
            let start = frame.len();
            rest = split_argument(rest, &mut frame)?;
            ranges.push(range(start, frame.len()));
        }
    }

    /// How many arguments there are, the command's name among them.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there is not even a name; never so for what the decoder returns.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The argument at `index`; 0 is the command's name.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        self.ranges.get(index).map(|range| self.at(range))
    }

    /// The argument at `index` as a handle of its own, without a copy. It keeps the frame alive, and with it the read
    /// buffer it was cut from: copy what is to be kept for long.
    pub fn bytes(&self, index: usize) -> Option<Bytes> {
        let &(start, end) = self.ranges.get(index)?;
        Some(self.frame.slice(start as usize..end as usize))
    }

    /// The command's name as it was sent; empty if there are no arguments.
    pub fn name(&self) -> &[u8] {
        self.get(0).unwrap_or_default()
    }

    /// All arguments, the name first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + DoubleEndedIterator {
        self.ranges.iter().map(|range| self.at(range))
    }

    /// Bytes the arguments keep in memory, their framing included.
    pub fn frame_len(&self) -> usize {
        self.frame.len()
    }

    /// The arguments from index `from` on as a command of their own, sharing the frame: `CONFIG GET x` → `GET x`.
    pub fn slice(&self, from: usize) -> Self {
        Self { frame: self.frame.clone(), ranges: self.ranges.get(from..).unwrap_or_default().into() }
    }

    fn at(&self, &(start, end): &(u32, u32)) -> &[u8] {
        &self.frame[start as usize..end as usize]
    }
}

impl Index<usize> for CommandArgs {
    type Output = [u8];

    fn index(&self, index: usize) -> &[u8] {
        self.at(&self.ranges[index])
    }
}

impl fmt::Debug for CommandArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|arg| arg.escape_ascii().to_string())).finish()
    }
}

/// C's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Appends the argument at the head of `rest` to `frame` and returns what follows it. A quote may open inside an
/// argument, but ends it: `a"b c"` is `ab c`.
fn split_argument<'l>(mut rest: &'l [u8], frame: &mut Vec<u8>) -> Result<&'l [u8], ProtocolError> {
    while let [byte, after @ ..] = rest {
        match byte {
            // Fewer than `is_space`: within an argument, vertical tab and form feed are ordinary bytes.
            b' ' | b'\n' | b'\r' | b'\t' => break,
            b'"' | b'\'' => return split_quoted(*byte, after, frame),
            _ => frame.push(*byte),
        }
        rest = after;
    }
    Ok(rest)
}

/// The rest of an argument behind its opening quote. Behind the closing quote must come a space or nothing.
fn split_quoted<'l>(quote: u8, mut rest: &'l [u8], frame: &mut Vec<u8>) -> Result<&'l [u8], ProtocolError> {
    loop {
        let (byte, after) = match rest {
            [byte, after @ ..] if *byte == quote => match after.first() {
                Some(&next) if !is_space(next) => return Err(ProtocolError::UnbalancedQuotes),
                _ => return Ok(after),
            },
            [b'\\', b'\'', after @ ..] if quote == b'\'' => (b'\'', after),
            [b'\\', escape @ ..] if quote == b'"' && !escape.is_empty() => unescape(escape),
            [byte, after @ ..] => (*byte, after),
            [] => return Err(ProtocolError::UnbalancedQuotes),
        };
        frame.push(byte);
        rest = after;
    }
}

/// The byte that an escape behind its `\` stands for, and what follows it.
fn unescape(escape: &[u8]) -> (u8, &[u8]) {
    let hex = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    if let [b'x', high, low, after @ ..] = escape
        && let (Some(high), Some(low)) = (hex(*high), hex(*low))
    {
        return (high << 4 | low, after);
    }
    let byte = match escape[0] {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    };
    (byte, &escape[1..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::encode_command;
    use proptest::collection::vec;
    use proptest::prelude::*;

    type Outcome = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

    /// The commands in `bytes` when they arrive in pieces that end at `splits`, and the error that ended them.
    fn decode_split(bytes: &[u8], splits: impl IntoIterator<Item = usize>, limits: &DecodeLimits) -> Outcome {
        let (mut decoder, mut buffer, mut commands, mut start) = (Decoder::default(), BytesMut::new(), Vec::new(), 0);
        for end in splits.into_iter().chain([bytes.len()]) {
            buffer.extend_from_slice(&bytes[start..end]);
            start = end;
            loop {
                match decoder.decode(&mut buffer, limits) {
                    Ok(Some(args)) => commands.push(args.iter().map(<[u8]>::to_vec).collect()),
                    Ok(None) => break,
                    Err(error) => {
                        assert_eq!(decoder.decode(&mut buffer, limits).err(), Some(error), "an error stays");
                        return (commands, Some(error));
                    }
                }
            }
            assert_eq!(decoder.is_mid_command(), !buffer.is_empty());
        }
        (commands, None)
    }

    fn decode(bytes: &[u8]) -> Outcome {
        decode_split(bytes, [], &DecodeLimits::default())
    }

    fn args(line: &str) -> Vec<Vec<u8>> {
        line.split(' ').map(|arg| arg.as_bytes().to_vec()).collect()
    }

    #[test]
    fn errors_are_worded_as_redis_words_them() {
        let long = |start: &str| [start.as_bytes(), &[b'1'; 70_000]].concat();
        let limits = DecodeLimits { max_args: i32::MAX as usize, ..DecodeLimits::default() };
        // From redis-server 7.0.15; empty: it waits for more.
        let table: &[(&[u8], &str)] = &[
            (b"*abc\r\n", "invalid multibulk length"),
            (b"*\r\n", "invalid multibulk length"),
            (b"*00\r\n", "invalid multibulk length"),
            (b"*+1\r\n", "invalid multibulk length"),
            (b"* 1\r\n", "invalid multibulk length"),
            (b"*2147483647\r\n", ""),
            (b"*2147483648\r\n", "invalid multibulk length"),
            (b"*18446744073709551617\r\n", "invalid multibulk length"),
            (b"*abc", ""),
            (b"*1\n$4\nPING\n", ""),
            (b"*1\r\n:3", ""),
            (b"*1\r\n:3\r\n", "expected '$', got ':'"),
            (b"*1\r\n'\r\n", "expected '$', got '''"),
            (b"*1\r\n\x01\r\n", "expected '$', got '\x01'"),
            (b"*1\r\n\r\n", "expected '$', got ' '"),
            (b"*1\r\n\n\r\n", "expected '$', got ' '"),
            (b"*1\r\n$\r\n", "invalid bulk length"),
            (b"*1\r\n$-5\r\n", "invalid bulk length"),
            (b"*1\r\n$+4\r\n", "invalid bulk length"),
            (b"*1\r\n$04\r\n", "invalid bulk length"),
            (b"*1\r\n$536870912\r\n", ""),
            (b"*1\r\n$536870913\r\n", "invalid bulk length"),
            (b"*1\r\n$99999999999999\r\n", "invalid bulk length"),
            (b"*2\r\n$4\r\nECHO\r\n$-1\r\n", "invalid bulk length"),
            (&long("A"), "too big inline request"),
            (&long("*"), "too big mbulk count string"),
            (&long("*1\r\n$"), "too big bulk count string"),
            (&long("*1\r\n:"), "too big bulk count string"),
            (b"ECHO \"a\"b\n", "unbalanced quotes in request"),
            (b"ECHO \"a\n", "unbalanced quotes in request"),
            (b"ECHO 'a\n", "unbalanced quotes in request"),
            (b"ECHO \"a\\\n", "unbalanced quotes in request"),
        ];
        for (bytes, message) in table {
            let (commands, error) = decode_split(bytes, [], &limits);
            let expected = if message.is_empty() { String::new() } else { format!("Protocol error: {message}") };
            let got = error.map(|error| error.to_string()).unwrap_or_default();
            assert_eq!((commands.len(), got), (0, expected), "{}", bytes[..bytes.len().min(40)].escape_ascii());
        }
    }

    #[test]
    fn a_line_may_be_exactly_as_long_as_the_limit() {
        let error_of = |start: &str, len: usize| decode(&[start.as_bytes(), &vec![b'1'; len]].concat()).1;
        assert_eq!(error_of("A", 65_535), None);
        assert_eq!(error_of("A", 65_536), Some(ProtocolError::TooBigInline));
        assert_eq!(error_of("*", 65_535), None);
        assert_eq!(error_of("*", 65_536), Some(ProtocolError::TooBigMultibulkCount));
        assert_eq!(error_of("*1\r\n$", 65_535), None);
        assert_eq!(error_of("*1\r\n$", 65_536), Some(ProtocolError::TooBigBulkCount));
        assert_eq!(decode(&[&[b'A'; 65_536][..], b"\n"].concat()).0.len(), 1);
    }

    #[test]
    fn strangers_may_send_ten_short_arguments() {
        let limits = DecodeLimits { authenticated: false, ..DecodeLimits::default() };
        for (bytes, message) in [
            (&b"*10\r\n"[..], None),
            (b"*11\r\n", Some("Protocol error: unauthenticated multibulk length")),
            (b"*1048577\r\n", Some("Protocol error: invalid multibulk length")),
            (b"*1\r\n$16384\r\n", None),
            (b"*1\r\n$16385\r\n", Some("Protocol error: unauthenticated bulk length")),
            (b"*1\r\n$536870913\r\n", Some("Protocol error: invalid bulk length")),
            (b"PING 1 2 3 4 5 6 7 8 9 10 11 12\n", None),
        ] {
            let got = decode_split(bytes, [], &limits).1.map(|error| error.to_string());
            assert_eq!(got.as_deref(), message, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_command_longer_than_the_query_buffer_is_refused_before_it_is_waited_for() {
        let limits = DecodeLimits { max_frame_len: 100, ..DecodeLimits::default() };
        assert_eq!(decode_split(b"*1\r\n$89\r\n", [], &limits).1, None);
        assert_eq!(decode_split(b"*1\r\n$90\r\n", [], &limits).1, Some(ProtocolError::FrameTooLong));
        let trickle = [&b"*1000\r\n"[..], &b"$0\r\n\r\n".repeat(1000)].concat();
        assert_eq!(decode_split(&trickle, [], &limits).1, Some(ProtocolError::FrameTooLong));
    }

    #[test]
    fn commands_without_arguments_are_skipped() {
        let bytes = b"*0\r\n*-1\r\n\r\n\n  \t\r\n*-5\r\nPING\r\n*0\r\n*1\r\n$0\r\n\r\n\n";
        assert_eq!(decode(bytes), (vec![args("PING"), args("")], None));
    }

    #[test]
    fn line_ends_are_taken_on_trust_as_in_redis() {
        assert_eq!(decode(b"*1\rX$4\rYPINGZZPING\n"), (vec![args("PING"), args("PING")], None));
    }

    #[test]
    fn inline_arguments_are_split_and_unquoted_as_redis_does() {
        let table: &[(&[u8], &[&[u8]])] = &[
            (b"PING", &[b"PING"]),
            (b" \t PING \x0b\x0c", &[b"PING"]),
            (b"PING\rhi\r", &[b"PING", b"hi"]),
            (br#"ECHO "a\x41\n\r\t\b\a\q\"\\""#, &[b"ECHO", b"aA\n\r\t\x08\x07q\"\\"]),
            (br#""\xfF\x4\xzz""#, &[b"\xffx4xzz"]),
            (br"ECHO 'a\'b\n'", &[b"ECHO", b"a'b\\n"]),
            (br#"ECHO a"b c""#, &[b"ECHO", b"ab c"]),
            (br"ECHO a\nb", &[b"ECHO", br"a\nb"]),
            (br#"ECHO "" ''"#, &[b"ECHO", b"", b""]),
            (b"ECHO a\x0bb", &[b"ECHO", b"a\x0bb"]),
            (b"ECHO \"a\"\x0bb", &[b"ECHO", b"a", b"b"]),
            (b"ECHO a\0b", &[b"ECHO", b"a\0b"]),
            (b"", &[]),
        ];
        for (line, expected) in table {
            let args = CommandArgs::from_line(line).expect("the quotes are balanced");
            assert_eq!(args.iter().collect::<Vec<_>>(), *expected, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn what_has_been_understood_is_never_looked_at_again() {
        let value = [b'v'; 32];
        let mset: Vec<&[u8]> = std::iter::once(&b"MSET"[..]).chain((0..100_000).map(|_| &value[..])).collect();
        let mut bytes = BytesMut::new();
        encode_command(&mset, &mut bytes);

        let (mut decoder, mut buffer, limits) = (Decoder::default(), BytesMut::new(), DecodeLimits::default());
        let mut decoded = None;
        for chunk in bytes.chunks(16 * 1024) {
            assert!(decoded.is_none());
            buffer.extend_from_slice(chunk);
            decoded = decoder.decode(&mut buffer, &limits).expect("the command is well-formed");
            // Whoever read this again would fail; only the first byte tells what kind of command it is.
            buffer[decoder.position.min(1)..decoder.position].fill(b'!');
        }
        let args = decoded.expect("the command is complete");
        assert_eq!((args.len(), &args[100_000]), (mset.len(), &value[..]));
    }

    #[test]
    fn a_long_line_is_searched_once() {
        let (mut decoder, mut buffer, limits) = (Decoder::default(), BytesMut::new(), DecodeLimits::default());
        for _ in 0..60 {
            buffer.extend_from_slice(&[b'x'; 1000]);
            assert!(matches!(decoder.decode(&mut buffer, &limits), Ok(None)));
            assert_eq!(decoder.searched, buffer.len());
        }
        buffer.extend_from_slice(b"\r\n");
        let args = decoder.decode(&mut buffer, &limits).expect("it is within the limit").expect("it is complete");
        assert_eq!((args.name().len(), decoder.searched), (60_000, 0));
    }

    #[test]
    fn the_bytes_a_big_value_still_needs_are_known_but_not_reserved() {
        let (mut decoder, limits) = (Decoder::default(), DecodeLimits::default());
        let mut buffer = BytesMut::from(&b"*2\r\n$3\r\nGET\r\n$500000000"[..]);
        assert!(matches!(decoder.decode(&mut buffer, &limits), Ok(None)));
        assert_eq!(decoder.bytes_wanted(&buffer), 0);
        buffer.extend_from_slice(b"\r\nabc");
        assert!(matches!(decoder.decode(&mut buffer, &limits), Ok(None)));
        assert_eq!(decoder.bytes_wanted(&buffer), 500_000_000 + 2 - 3);
        assert!(buffer.capacity() < 1024);
    }

    #[test]
    fn arguments_are_pieces_of_one_frame() {
        let mut buffer = BytesMut::from(&b"*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$1\r\nx\r\nPING"[..]);
        let decoded = Decoder::default().decode(&mut buffer, &DecodeLimits::default()).expect("it is well-formed");
        let args = decoded.expect("it is complete");
        assert_eq!(&buffer[..], b"PING");
        assert_eq!((args.len(), args.is_empty(), args.frame_len()), (3, false, 32));
        assert_eq!((args.name(), &args[2], args.get(3)), (&b"CONFIG"[..], &b"x"[..], None));
        assert_eq!((args.bytes(1).as_deref(), args.bytes(3)), (Some(&b"GET"[..]), None));
        assert_eq!(args.bytes(1).map(|arg| arg.as_ptr()), args.get(1).map(<[u8]>::as_ptr), "no copy");
        assert_eq!(format!("{:?}", args.slice(1)), r#"["GET", "x"]"#);
        assert!(args.slice(3).is_empty() && args.slice(4).name().is_empty());
    }

    /// A command, or something near one, on the wire.
    fn any_request() -> impl Strategy<Value = Vec<u8>> {
        let command = vec(vec(any::<u8>(), 0..12), 1..9).prop_map(|args| {
            let mut bytes = BytesMut::new();
            encode_command(&args, &mut bytes);
            bytes.to_vec()
        });
        let line = "[a-z\"' ]{0,12}\r?\n".prop_map(Vec::from);
        let piece = "[*$]?-?[0-9]{0,3}\r?\n?[a-c \"'\\\\]{0,3}\r?\n?".prop_map(Vec::from);
        prop_oneof![6 => command, 2 => line, 1 => piece]
    }

    proptest! {
        #[test]
        fn how_the_bytes_arrive_does_not_matter(requests in vec(any_request(), 0..6), authenticated: bool) {
            let (bytes, small) = (requests.concat(), [10, 40, 20, 90]);
            let [max_inline_len, max_bulk_len, max_args, max_frame_len] = small;
            let limits = DecodeLimits { max_inline_len, max_bulk_len, max_args, max_frame_len, authenticated };
            let whole = decode_split(&bytes, [], &limits);
            prop_assert_eq!(&decode_split(&bytes, 0..bytes.len(), &limits), &whole, "byte by byte");
            for split in 0..bytes.len() {
                prop_assert_eq!(&decode_split(&bytes, [split], &limits), &whole, "split at {}", split);
            }
        }

        #[test]
        fn arguments_survive_a_round_trip(commands in vec(vec(any::<Vec<u8>>(), 1..12), 0..4)) {
            let mut bytes = BytesMut::new();
            for args in &commands {
                encode_command(args, &mut bytes);
                let parts = CommandArgs::from_parts(args);
                prop_assert_eq!(&parts.iter().map(<[u8]>::to_vec).collect::<Vec<_>>(), args);
            }
            prop_assert_eq!(decode(&bytes), (commands, None));
        }

        #[test]
        fn quoted_arguments_survive_a_round_trip(args: Vec<Vec<u8>>) {
            let hex = |arg: &Vec<u8>| arg.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
            let line: String = args.iter().map(|arg| format!(" \"{}\"", hex(arg))).collect();
            let split = CommandArgs::from_line(line.as_bytes()).expect("the quotes are balanced");
            prop_assert_eq!(split.iter().map(<[u8]>::to_vec).collect::<Vec<_>>(), args);
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let whole = decode(&bytes);
            prop_assert_eq!(decode_split(&bytes, 0..bytes.len(), &DecodeLimits::default()), whole);
        }
    }
}
