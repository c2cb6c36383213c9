//! The stream commands. Each file holds rows of the command table and, next to a row, what it runs; what that does to the
//! data is in [`crate::types::stream`] and [`crate::types::stream_group`].

mod add;
mod claim;
mod group;
mod info;
mod pending;
mod range;
mod read;
mod trim;

use bytes::Bytes;

use super::{Command, CommandError, Group};
use crate::number;
use crate::resp::ReplyBuffer;
use crate::stream_id::StreamId;
use crate::types::stream::parts;

type Result<T> = std::result::Result<T, CommandError>;

const BASE: Command = Command { group: Group::Stream, since: "5.0.0", categories: &["@stream"], ..Command::BASE };

/// The rows of this family.
pub static COMMANDS: &[&Command] = &[
    &group::XACK,
    &add::XADD,
    &claim::XAUTOCLAIM,
    &claim::XCLAIM,
    &trim::XDEL,
    &group::XGROUP,
    &info::XINFO,
    &range::XLEN,
    &pending::XPENDING,
    &range::XRANGE,
    &read::XREAD,
    &read::XREADGROUP,
    &range::XREVRANGE,
    &trim::XSETID,
    &trim::XTRIM,
];

fn invalid_id() -> CommandError {
    CommandError::custom("ERR Invalid stream ID specified as stream command argument")
}

/// An id, or the error that says that it is none. A part that is missing is 0.
fn parse_id(text: &[u8]) -> Result<StreamId> {
    StreamId::parse_strict(text, 0).ok_or_else(invalid_id)
}

fn parse_ids(texts: &[Bytes]) -> Result<Vec<StreamId>> {
    texts.iter().map(|text| parse_id(text)).collect()
}

/// An end of a range and whether it is left out (`(`).
fn parse_end(text: &[u8], missing_seq: u64) -> Result<(StreamId, bool)> {
    let id = match text {
        [b'(', id @ ..] if !id.is_empty() => {
            return Ok((StreamId::parse_strict(id, missing_seq).ok_or_else(invalid_id)?, true));
        }
        id => StreamId::parse(id, missing_seq),
    };
    Ok((id.ok_or_else(invalid_id)?, false))
}

/// Where a range begins.
fn parse_start(text: &[u8]) -> Result<StreamId> {
    match parse_end(text, 0)? {
        (id, false) => Ok(id),
        (id, true) => id.next().ok_or_else(|| CommandError::custom("ERR invalid start ID for the interval")),
    }
}

/// Where a range ends.
fn parse_stop(text: &[u8]) -> Result<StreamId> {
    match parse_end(text, u64::MAX)? {
        (id, false) => Ok(id),
        (id, true) => id.previous().ok_or_else(|| CommandError::custom("ERR invalid end ID for the interval")),
    }
}

/// An integer, or `error`.
fn parse_integer(text: &[u8], error: &'static str) -> Result<i64> {
    number::parse_i64(text).ok_or_else(|| CommandError::custom(error))
}

fn no_group(parts: &[&[u8]]) -> CommandError {
    // Names are C strings in Redis' texts.
    let until_nul = |part: &&'_ [u8]| part.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    CommandError::Echo(parts.iter().flat_map(until_nul).collect())
}

/// What the commands say whose key or group has to be there.
fn no_key_or_group(key: &[u8], group: &[u8]) -> CommandError {
    no_group(&[b"NOGROUP No such key '", key, b"' or consumer group '", group, b"'"])
}

fn reply_id(reply: &mut ReplyBuffer, id: StreamId) {
    reply.bulk(id.to_string().as_bytes());
}

/// Replies an entry: its id, and an array of its fields and values.
fn reply_entry(reply: &mut ReplyBuffer, id: StreamId, value: &Bytes) -> Result<()> {
    let parts = parts(value)?;
    reply.array(2);
    reply_id(reply, id);
    reply.array(parts.len());
    parts.iter().for_each(|part| reply.bulk(part));
    Ok(())
}

fn reply_help(reply: &mut ReplyBuffer, lines: &[&str]) {
    reply.array(lines.len());
    lines.iter().for_each(|line| reply.simple(line));
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::check_examples;

    #[test]
    fn examples_run_as_they_are_written() {
        check_examples(super::COMMANDS);
    }
}
