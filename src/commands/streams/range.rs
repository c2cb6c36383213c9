//! What only looks at a stream's entries: XLEN, XRANGE, XREVRANGE.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::{BASE, Result, parse_start, parse_stop, reply_entry};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, KeySpec, Operation, Run};
use crate::keyspace::Keyspace;
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::stream_id::StreamId;
use crate::types::list::Direction;
use crate::types::stream::Stream;

pub(super) static XLEN: Command = Command {
    name: "xlen",
    summary: "Return the number of entries in a stream",
    arity: 2,
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[KeySpec::one(1, &["RO"])],
    arguments: &[Argument::key("key", 0)],
    examples: r#"> XADD mystream 1-0 item 1
"1-0"
> XADD mystream 2-0 item 2
"2-0"
> XLEN mystream
(integer) 2
> XLEN nosuchstream
(integer) 0"#,
    run: Run::Storage(Xlen::parse),
    ..BASE
};

#[derive(Debug)]
struct Xlen {
    key: Bytes,
}

impl Xlen {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        Ok(Box::new(Xlen { key: Args::new(args).next_bytes()? }))
    }
}

impl Operation for Xlen {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let stream = Stream::read(keyspace, &self.key)?;
        reply.integer(stream.map_or(0, |stream| stream.len() as i64));
        Ok(())
    }
}

pub(super) static XRANGE: Command = Command {
    name: "xrange",
    summary: "Return a range of elements in a stream, with IDs matching the specified IDs interval",
    arguments: &[
        Argument::key("key", 0),
        Argument::string("start"),
        Argument::string("end"),
        Argument::integer("count").token("COUNT").optional(),
    ],
    complexity: "O(N) with N being the number of elements being returned. If N is constant (e.g. always asking for the \
        first 10 elements with COUNT), you can consider it O(1).",
    examples: r#"> XADD mystream 1-0 a 1
"1-0"
> XADD mystream 1-1 b 2
"1-1"
> XADD mystream 2-0 c 3
"2-0"
> XRANGE mystream - + COUNT 1
1) 1) "1-0"
   2) 1) "a"
      2) "1"
> XRANGE mystream (1-0 1
1) 1) "1-1"
   2) 1) "b"
      2) "2"
> XRANGE mystream 3 +
(empty array)"#,
    run: Run::Storage(|args| Xrange::parse(args, Direction::Forward)),
    ..RANGE
};

pub(super) static XREVRANGE: Command = Command {
    name: "xrevrange",
    summary: "Return a range of elements in a stream, with IDs matching the specified IDs interval, in reverse order \
        (from greater to smaller IDs) compared to XRANGE",
    arguments: &[
        Argument::key("key", 0),
        Argument::string("end"),
        Argument::string("start"),
        Argument::integer("count").token("COUNT").optional(),
    ],
    complexity: "O(N) with N being the number of elements returned. If N is constant (e.g. always asking for the first \
        10 elements with COUNT), you can consider it O(1).",
    examples: r#"> XADD mystream 1-0 a 1
"1-0"
> XADD mystream 2-0 b 2
"2-0"
> XREVRANGE mystream + - COUNT 1
1) 1) "2-0"
   2) 1) "b"
      2) "2""#,
    run: Run::Storage(|args| Xrange::parse(args, Direction::Backward)),
    ..RANGE
};

const RANGE: Command = Command {
    arity: -4,
    flags: &[Flag::Readonly],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    history: &[("6.2.0", "Added exclusive ranges.")],
    ..BASE
};

#[derive(Debug)]
struct Xrange {
    key: Bytes,
    range: (StreamId, StreamId),
    direction: Direction,
    /// `None`: all.
    count: Option<u64>,
}

impl Xrange {
    fn parse(args: &CommandArgs, direction: Direction) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let key = args.next_bytes()?;
        let (one, other) = (args.next()?, args.next()?);
        let (start, stop) = if direction == Direction::Forward { (one, other) } else { (other, one) };
        let range = (parse_start(start)?, parse_stop(stop)?);
        let mut count = None;
        while !args.is_done() {
            if args.remaining() < 2 || !args.take_word("COUNT") {
                return Err(CommandError::Syntax);
            }
            count = Some(u64::try_from(args.next_i64()?).unwrap_or(0));
        }
        Ok(Box::new(Xrange { key, range, direction, count }))
    }
}

impl Operation for Xrange {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let Some(stream) = Stream::read(keyspace, &self.key)? else {
            reply.array(0);
            return Ok(());
        };
        if self.count == Some(0) {
            reply.null_array();
            return Ok(());
        }
        reply_range(keyspace, &stream, self.range, self.direction, self.count, reply)
    }
}

/// Replies an array of the entries in a range, `count` at most.
pub(super) fn reply_range(
    keyspace: &Keyspace<'_>,
    stream: &Stream,
    range: (StreamId, StreamId),
    direction: Direction,
    count: Option<u64>,
    reply: &mut ReplyBuffer,
) -> Result<()> {
    let array = reply.deferred();
    let mut len = 0;
    stream.walk(keyspace, range, direction, |id, value| {
        len += 1;
        reply_entry(reply, id, &value)?;
        Ok(if count == Some(len) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    reply.finish_array(array, len as usize);
    Ok(())
}
