//! Replies: values → bytes, in RESP2 and RESP3, and nowhere else.
//!
//! Commands say what they answer; what that looks like for the client's protocol is decided here. It must never emit a
//! line that a client could read as two, nor a length that differs from what follows.

use super::Protocol;
use crate::number::format_f64;
use bytes::BytesMut;

/// The replies of one connection or one command, encoded as they are written.
#[derive(Debug)]
pub struct ReplyBuffer {
    bytes: BytesMut,
    protocol: Protocol,
}

/// Where an aggregate begins whose length is not known yet. Finish it, innermost first, or roll back in front of it.
#[derive(Debug)]
#[must_use = "without its header an aggregate is no reply"]
pub struct Deferred {
    at: usize,
}

impl ReplyBuffer {
    /// An empty buffer that allocates when it is first written to.
    pub fn new(protocol: Protocol) -> Self {
        Self::from_bytes(BytesMut::new(), protocol)
    }

    /// Writes behind what `bytes` already holds, reusing its memory.
    pub fn from_bytes(bytes: BytesMut, protocol: Protocol) -> Self {
        Self { bytes, protocol }
    }

    /// The protocol of what is written next.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Changes the protocol of what is written next, as HELLO does.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What has been written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Hands over what has been written.
    pub fn into_bytes(self) -> BytesMut {
        self.bytes
    }

    /// Appends replies that are already encoded for this protocol.
    pub fn append_raw(&mut self, encoded: &[u8]) {
        self.bytes.extend_from_slice(encoded);
    }

    /// Where the next reply will begin, for [`Self::rollback`].
    pub fn mark(&self) -> usize {
        self.bytes.len()
    }

    /// Takes back everything written since `mark`: for a command that failed half way through its reply.
    pub fn rollback(&mut self, mark: usize) {
        debug_assert!(mark <= self.bytes.len(), "invariant: a mark lies in what has been written");
        self.bytes.truncate(mark);
    }

    /// `+OK`
    pub fn ok(&mut self) {
        self.append_raw(b"+OK\r\n");
    }

    /// A status such as `PONG`; line breaks in it become spaces.
    pub fn simple(&mut self, status: &str) {
        self.status(status.as_bytes());
    }

    /// A status that a client made up, of any bytes.
    pub fn status(&mut self, status: &[u8]) {
        self.line(b'+', status);
    }

    /// An error, its code included: `ERR syntax error`. As in Redis, line breaks around it are dropped and others
    /// become spaces.
    pub fn error(&mut self, message: impl AsRef<[u8]>) {
        let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let message = message.as_ref();
        let start = message.iter().position(|byte| !is_end(byte)).unwrap_or(message.len());
        let end = message.iter().rposition(|byte| !is_end(byte)).map_or(start, |last| last + 1);
        self.line(b'-', &message[start..end]);
    }

    /// An integer.
    pub fn integer(&mut self, value: i64) {
        self.header(b':', value);
    }

    /// A string of any bytes.
    pub fn bulk(&mut self, text: &[u8]) {
        self.bytes.reserve(text.len() + 32);
        self.header(b'$', text.len());
        self.bytes.extend_from_slice(text);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// No value. RESP2: a null string.
    pub fn null(&mut self) {
        self.append_raw(self.pick(b"$-1\r\n", b"_\r\n"));
    }

    /// No value where there might have been an array: BLPOP that timed out, EXEC that was aborted.
    pub fn null_array(&mut self) {
        self.append_raw(self.pick(b"*-1\r\n", b"_\r\n"));
    }

    /// Announces an array; `len` values must follow.
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len);
    }

    /// Announces a map; `pairs` keys, each with its value, must follow. RESP2: one flat array.
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', pairs * 2),
            Protocol::Resp3 => self.header(b'%', pairs),
        }
    }

    /// Announces a set; `len` values must follow. RESP2: an array.
    pub fn set(&mut self, len: usize) {
        self.header(self.pick(b'*', b'~'), len);
    }

    /// Announces a message that answers no command; `len` values must follow. RESP2: an array.
    pub fn push(&mut self, len: usize) {
        self.header(self.pick(b'*', b'>'), len);
    }

    /// Announces facts about the value that comes after them and returns `true`; then `pairs` keys and values must
    /// follow. RESP2 has no such thing: `false`, and they must be left out.
    #[must_use = "whether the pairs are to be written"]
    pub fn attribute(&mut self, pairs: usize) -> bool {
        let known = self.protocol == Protocol::Resp3;
        if known {
            self.header(b'|', pairs);
        }
        known
    }

    /// A double in Redis 7.0's form (`%.17g`). RESP2: that text as a string.
    pub fn double(&mut self, value: f64) {
        let text = format_f64(value);
        self.text(b',', &text);
    }

    /// A double, given as its text: where Redis does not write it as [`ReplyBuffer::double`] does. RESP2: that text as a
    /// string.
    pub fn double_text(&mut self, text: &str) {
        self.text(b',', text.as_bytes());
    }

    /// An integer of any size, given as its digits. RESP2: a string.
    pub fn big_number(&mut self, digits: &str) {
        self.text(b'(', digits.as_bytes());
    }

    /// True or false. RESP2: 1 or 0.
    pub fn boolean(&mut self, value: bool) {
        self.append_raw(match (self.protocol, value) {
            (Protocol::Resp2, true) => b":1\r\n",
            (Protocol::Resp2, false) => b":0\r\n",
            (Protocol::Resp3, true) => b"#t\r\n",
            (Protocol::Resp3, false) => b"#f\r\n",
        });
    }

    /// Text to be shown as it is, with its format in three characters: `txt` or `mkd`. RESP2: a string.
    pub fn verbatim(&mut self, format: &str, text: &[u8]) {
        debug_assert_eq!(format.len(), 3, "invariant: a verbatim format has three characters");
        if self.protocol == Protocol::Resp2 {
            return self.bulk(text);
        }
        self.header(b'=', format.len() + 1 + text.len());
        for part in [format.as_bytes(), b":", text, b"\r\n"] {
            self.bytes.extend_from_slice(part);
        }
    }

    /// Begins an aggregate whose length will only be known when it is finished.
    pub fn deferred(&mut self) -> Deferred {
        Deferred { at: self.bytes.len() }
    }

    /// Ends an array of `len` values.
    pub fn finish_array(&mut self, deferred: Deferred, len: usize) {
        self.finish(deferred, |reply| reply.array(len));
    }

    /// Ends a map of `pairs` keys and their values.
    pub fn finish_map(&mut self, deferred: Deferred, pairs: usize) {
        self.finish(deferred, |reply| reply.map(pairs));
    }

    /// Ends a set of `len` values.
    pub fn finish_set(&mut self, deferred: Deferred, len: usize) {
        self.finish(deferred, |reply| reply.set(len));
    }

    /// The header is written last and then turned to the front: one move of the values, and none of what is before.
    fn finish(&mut self, deferred: Deferred, header: impl FnOnce(&mut Self)) {
        let values_end = self.bytes.len();
        header(self);
        let header_len = self.bytes.len() - values_end;
        self.bytes[deferred.at..].rotate_right(header_len);
    }

    fn pick<T>(&self, resp2: T, resp3: T) -> T {
        match self.protocol {
            Protocol::Resp2 => resp2,
            Protocol::Resp3 => resp3,
        }
    }

    /// A number with a type of its own in RESP3, which in RESP2 is a string.
    fn text(&mut self, kind: u8, text: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.bytes.extend_from_slice(&[kind]);
                self.bytes.extend_from_slice(text);
                self.bytes.extend_from_slice(b"\r\n");
            }
        }
    }

    fn line(&mut self, kind: u8, text: impl AsRef<[u8]>) {
        self.bytes.extend_from_slice(&[kind]);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(text.as_ref());
        for byte in &mut self.bytes[start..] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.bytes.extend_from_slice(b"\r\n");
    }

    fn header(&mut self, kind: u8, number: impl itoa::Integer) {
        put_header(&mut self.bytes, kind, number);
    }
}

/// Appends `<kind><number>\r\n`.
pub(super) fn put_header(out: &mut BytesMut, kind: u8, number: impl itoa::Integer) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(number).as_bytes();
    out.reserve(digits.len() + 3);
    out.extend_from_slice(&[kind]);
    out.extend_from_slice(digits);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use Protocol::{Resp2, Resp3};

    fn written(protocol: Protocol, write: impl FnOnce(&mut ReplyBuffer)) -> String {
        let mut reply = ReplyBuffer::new(protocol);
        write(&mut reply);
        String::from_utf8(reply.into_bytes().to_vec()).expect("these replies are UTF-8")
    }

    #[test]
    fn every_kind_of_reply_in_both_protocols() {
        type Write = fn(&mut ReplyBuffer);
        // As ordinary commands and DEBUG PROTOCOL of redis-server 7.0.15 reply.
        let table: &[(Write, &str, &str)] = &[
            (|r| r.ok(), "+OK\r\n", "+OK\r\n"),
            (|r| r.simple("PONG"), "+PONG\r\n", "+PONG\r\n"),
            (|r| r.error("ERR syntax error"), "-ERR syntax error\r\n", "-ERR syntax error\r\n"),
            (|r| r.integer(i64::MIN), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"),
            (|r| r.bulk(b""), "$0\r\n\r\n", "$0\r\n\r\n"),
            (|r| r.bulk(b"a\r\nb"), "$4\r\na\r\nb\r\n", "$4\r\na\r\nb\r\n"),
            (|r| r.null(), "$-1\r\n", "_\r\n"),
            (|r| r.null_array(), "*-1\r\n", "_\r\n"),
            (|r| r.array(10), "*10\r\n", "*10\r\n"),
            (|r| r.map(3), "*6\r\n", "%3\r\n"),
            (|r| r.set(3), "*3\r\n", "~3\r\n"),
            (|r| r.push(3), "*3\r\n", ">3\r\n"),
            (|r| r.double(2.5), "$3\r\n2.5\r\n", ",2.5\r\n"),
            (|r| r.double(0.1), "$19\r\n0.10000000000000001\r\n", ",0.10000000000000001\r\n"),
            (|r| r.double(f64::INFINITY), "$3\r\ninf\r\n", ",inf\r\n"),
            (|r| r.double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n"),
            (|r| r.double_text("0.1"), "$3\r\n0.1\r\n", ",0.1\r\n"),
            (|r| r.big_number("12345679999999999999"), "$20\r\n12345679999999999999\r\n", "(12345679999999999999\r\n"),
            (|r| r.boolean(true), ":1\r\n", "#t\r\n"),
            (|r| r.boolean(false), ":0\r\n", "#f\r\n"),
            (|r| r.verbatim("txt", b"a\nb"), "$3\r\na\nb\r\n", "=7\r\ntxt:a\nb\r\n"),
            (|r| assert_eq!(r.attribute(1), r.protocol() == Resp3), "", "|1\r\n"),
        ];
        for (write, resp2, resp3) in table {
            assert_eq!(written(Resp2, write), *resp2);
            assert_eq!(written(Resp3, write), *resp3);
        }
    }

    #[test]
    fn no_line_can_be_read_as_two() {
        assert_eq!(written(Resp2, |r| r.simple("a\r\n+b\n")), "+a  +b \r\n");
        assert_eq!(written(Resp2, |r| r.error("\r\nERR a\r\n:1\n\r")), "-ERR a  :1\r\n");
    }

    #[test]
    fn deferred_headers_land_in_front_of_their_values() {
        let nested = |r: &mut ReplyBuffer| {
            r.integer(7);
            let outer = r.deferred();
            let map = r.deferred();
            for i in 0..12 {
                r.integer(i);
                r.boolean(true);
            }
            r.finish_map(map, 12);
            let set = r.deferred();
            r.finish_set(set, 0);
            r.finish_array(outer, 2);
        };
        let pairs = |truth: &str| (0..12).map(|i| format!(":{i}\r\n{truth}\r\n")).collect::<String>();
        assert_eq!(written(Resp2, nested), format!(":7\r\n*2\r\n*24\r\n{}*0\r\n", pairs(":1")));
        assert_eq!(written(Resp3, nested), format!(":7\r\n*2\r\n%12\r\n{}~0\r\n", pairs("#t")));
    }

    #[test]
    fn a_half_written_reply_is_taken_back() {
        let failed_half_way = |r: &mut ReplyBuffer| {
            r.ok();
            let mark = r.mark();
            r.array(1000);
            r.bulk(b"first");
            r.rollback(mark);
            r.error("ERR out of luck");
        };
        assert_eq!(written(Resp3, failed_half_way), "+OK\r\n-ERR out of luck\r\n");
    }

    #[test]
    fn the_protocol_may_change_between_replies() {
        let hello = |r: &mut ReplyBuffer| {
            r.null();
            r.set_protocol(Resp3);
            r.null();
        };
        assert_eq!(written(Resp2, hello), "$-1\r\n_\r\n");
    }
}
