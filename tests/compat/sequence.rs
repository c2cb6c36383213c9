//! A sequence of calls, and its text: what a failure prints is what regressions.txt holds.

use std::fmt::{self, Write as _};

use bytes::Bytes;

use crate::support::split_line;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    pub resp3: bool,
    /// Sent in one write, as far as nothing has to be waited for in between.
    pub pipelined: bool,
    pub calls: Vec<Vec<Bytes>>,
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.resp3 || self.pipelined {
            let words = [(self.resp3, "@resp3"), (self.pipelined, "@pipelined")];
            let words: Vec<&str> = words.iter().filter(|(is_set, _)| *is_set).map(|(_, word)| *word).collect();
            writeln!(f, "{}", words.join(" "))?;
        }
        self.calls.iter().try_for_each(|call| writeln!(f, "{}", line(call)))
    }
}

/// A call as it would be typed into redis-cli.
pub fn line(call: &[Bytes]) -> String {
    call.iter().map(|arg| quoted(arg)).collect::<Vec<_>>().join(" ")
}

fn quoted(arg: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"'\\".contains(byte);
    if !arg.is_empty() && arg.iter().all(plain) {
        return String::from_utf8_lossy(arg).into_owned();
    }
    let mut text = String::from("\"");
    for byte in arg {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => write!(text, "\\x{byte:02x}").expect("strings take text"),
        }
    }
    text + "\""
}

/// The sequences of a text: one call a line, `#` for comments, a blank line between sequences, `@resp3` and
/// `@pipelined` on the first line of one.
pub fn parse_all(text: &str) -> Vec<Sequence> {
    let mut sequences = Vec::new();
    let mut current = Sequence { resp3: false, pipelined: false, calls: Vec::new() };
    let empty = current.clone();
    for line in text.lines().chain([""]) {
        match line.trim() {
            "" if current != empty => sequences.push(std::mem::replace(&mut current, empty.clone())),
            "" => {}
            comment if comment.starts_with('#') => {}
            words if words.starts_with('@') => {
                current.resp3 = words.contains("@resp3");
                current.pipelined = words.contains("@pipelined");
            }
            call => current.calls.push(split_line(call)),
        }
    }
    sequences
}

#[test]
fn a_sequence_is_read_back_from_its_text() {
    let call = |args: &[&[u8]]| args.iter().map(|arg| Bytes::copy_from_slice(arg)).collect::<Vec<_>>();
    let sequences = [
        Sequence {
            resp3: true,
            pipelined: false,
            calls: vec![call(&[b"SET", b"", b"a\x00\r\n\xff \"\\'"]), call(&[b"GET", b"#"])],
        },
        Sequence { resp3: false, pipelined: false, calls: vec![call(&[b"PING"])] },
    ];
    let text = sequences.iter().map(|sequence| format!("# why\n{sequence}")).collect::<Vec<_>>().join("\n");
    assert_eq!(parse_all(&text), sequences, "{text}");
}
