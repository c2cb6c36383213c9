//! XPENDING: what was delivered and not acknowledged.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::{BASE, Result, no_key_or_group, parse_start, parse_stop, reply_id};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, KeySpec, Operation, Run};
use crate::keyspace::Keyspace;
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::stream_id::StreamId;
use crate::types::list::Direction;
use crate::types::stream::Stream;
use crate::types::stream_group::OpenGroup;

pub(super) static XPENDING: Command = Command {
    name: "xpending",
    summary: "Return information and entries from a stream consumer group pending entries list, that are messages \
        fetched but never acknowledged.",
    complexity: "O(N) with N being the number of elements returned, so asking for a small fixed number of entries per \
        call is O(1). O(M), where M is the total number of entries scanned when used with the IDLE filter. When the \
        command returns just the summary and the list of consumers is small, it runs in O(1) time; otherwise, an \
        additional O(N) time for iterating every consumer.",
    arity: -3,
    flags: &[Flag::Readonly],
    tips: &["nondeterministic_output"],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    history: &[("6.2.0", "Added the `IDLE` option and exclusive range intervals.")],
    arguments: &[
        Argument::key("key", 0),
        Argument::string("group"),
        Argument::block(
            "filters",
            &[
                Argument::integer("min-idle-time").token("IDLE").since("6.2.0").optional(),
                Argument::string("start"),
                Argument::string("end"),
                Argument::integer("count"),
                Argument::string("consumer").optional(),
            ],
        )
        .optional(),
    ],
    examples: r#"> XADD mystream 1-0 a 1
"1-0"
> XGROUP CREATE mystream mygroup 0
OK
> XREADGROUP GROUP mygroup Alice STREAMS mystream >
1) 1) "mystream"
   2) 1) 1) "1-0"
         2) 1) "a"
            2) "1"
> XPENDING mystream mygroup
1) (integer) 1
2) "1-0"
3) "1-0"
4) 1) 1) "Alice"
      2) "1"
> XPENDING mystream mygroup IDLE 60000 - + 10
(empty array)
> XPENDING mystream mygroup - + 10 Bob
(empty array)"#,
    run: Run::Storage(Xpending::parse),
    ..BASE
};

#[derive(Debug)]
struct Xpending {
    key: Bytes,
    group: Bytes,
    /// `None`: a summary.
    filter: Option<Filter>,
}

#[derive(Debug)]
struct Filter {
    idle_ms: i64,
    range: (StreamId, StreamId),
    count: u64,
    consumer: Option<Bytes>,
}

impl Xpending {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let count = args.len();
        let mut args = Args::new(args);
        let (key, group) = (args.next_bytes()?, args.next_bytes()?);
        let filter = match count {
            3 => None,
            6..=9 => Some(Filter::parse(&mut args)?),
            _ => return Err(CommandError::Syntax),
        };
        Ok(Box::new(Xpending { key, group, filter }))
    }
}

impl Filter {
    fn parse(args: &mut Args<'_>) -> Result<Filter> {
        let mut idle_ms = 0;
        if args.take_word("IDLE") {
            idle_ms = args.next_i64()?;
            if args.remaining() < 3 {
                return Err(CommandError::Syntax);
            }
        }
        let (start, stop) = (args.next()?, args.next()?);
        let count = u64::try_from(args.next_i64()?).unwrap_or(0);
        let range = (parse_start(start)?, parse_stop(stop)?);
        // What follows on that Redis does not look at.
        let consumer = if args.is_done() { None } else { Some(args.next_bytes()?) };
        Ok(Filter { idle_ms, range, count, consumer })
    }
}

impl Operation for Xpending {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let no_group = || no_key_or_group(&self.key, &self.group);
        let stream = Stream::read(keyspace, &self.key)?.ok_or_else(no_group)?;
        let open = OpenGroup::find(keyspace, &stream, &self.group)?.ok_or_else(no_group)?;
        match &self.filter {
            None => reply_summary(keyspace, &open, reply),
            Some(filter) => filter.reply(keyspace, &open, reply),
        }
    }
}

fn reply_summary(keyspace: &Keyspace<'_>, open: &OpenGroup, reply: &mut ReplyBuffer) -> Result<()> {
    reply.array(4);
    reply.integer(open.group().pending as i64);
    let Some((first, last)) = open.edges(keyspace)? else {
        reply.null();
        reply.null();
        reply.null_array();
        return Ok(());
    };
    reply_id(reply, first);
    reply_id(reply, last);
    let array = reply.deferred();
    let mut len = 0;
    open.for_each_consumer(keyspace, |_, consumer| {
        if consumer.pending > 0 {
            reply.array(2);
            reply.bulk(&consumer.name);
            reply.bulk(itoa::Buffer::new().format(consumer.pending).as_bytes());
            len += 1;
        }
        Ok(())
    })?;
    reply.finish_array(array, len);
    Ok(())
}

impl Filter {
    fn reply(&self, keyspace: &Keyspace<'_>, open: &OpenGroup, reply: &mut ReplyBuffer) -> Result<()> {
        let consumer = match &self.consumer {
            Some(name) => match open.consumer(keyspace, name)? {
                None => {
                    reply.array(0);
                    return Ok(());
                }
                number => number,
            },
            None => None,
        };
        let array = reply.deferred();
        let (mut len, mut names) = (0, BTreeMap::new());
        if self.count > 0 {
            open.walk(keyspace, consumer, self.range, Direction::Forward, |id, pending| {
                let idle_ms = keyspace.now_ms() as i64 - pending.delivered_ms as i64;
                if self.idle_ms != 0 && idle_ms < self.idle_ms {
                    return Ok(ControlFlow::Continue(()));
                }
                let name = match names.get(&pending.consumer) {
                    Some(name) => Bytes::clone(name),
                    None => {
                        let name = open.consumer_at(keyspace, pending.consumer)?.name;
                        names.insert(pending.consumer, name.clone());
                        name
                    }
                };
                reply.array(4);
                reply_id(reply, id);
                reply.bulk(&name);
                reply.integer(idle_ms.max(0));
                reply.integer(pending.deliveries as i64);
                len += 1;
                Ok(if len == self.count { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
        }
        reply.finish_array(array, len as usize);
        Ok(())
    }
}
