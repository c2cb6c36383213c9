//! XINFO: what a stream, its groups and their consumers are like.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::range::reply_range;
use super::{BASE, Result, no_group, reply_entry, reply_help, reply_id};
use crate::commands::introspection::{self, unknown_subcommand_or_arity};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, KeySpec, Next, Operation, Run, Session};
use crate::keyspace::Keyspace;
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::stream_id::StreamId;
use crate::types::list::Direction;
use crate::types::stream::Stream;
use crate::types::stream_group::{self, Consumer, OpenGroup};

const ALL: (StreamId, StreamId) = (StreamId::MIN, StreamId::MAX);

pub(super) static XINFO: Command = Command {
    name: "xinfo",
    summary: "A container for stream introspection commands",
    complexity: "Depends on subcommand.",
    arity: -2,
    categories: &[],
    subcommands: &[&CONSUMERS, &GROUPS, &HELP, &STREAM],
    ..BASE
};

const INFO: Command = Command { flags: &[Flag::Readonly], keys: &[KeySpec::one(2, &["RO", "access"])], ..BASE };

static CONSUMERS: Command = Command {
    name: "consumers",
    summary: "List the consumers in a consumer group",
    arity: 4,
    tips: &["nondeterministic_output"],
    arguments: &[Argument::key("key", 0), Argument::string("groupname")],
    examples: r#"> XGROUP CREATE mystream mygroup $ MKSTREAM
OK
> XGROUP CREATECONSUMER mystream mygroup Alice
(integer) 1
> XINFO CONSUMERS mystream mygroup
1) 1) "name"
   2) "Alice"
   3) "pending"
   4) (integer) 0
   5) "idle"
..."#,
    run: Run::Storage(|args| Xinfo::parse(args, reply_consumers)),
    ..INFO
};

static GROUPS: Command = Command {
    name: "groups",
    summary: "List the consumer groups of a stream",
    arity: 3,
    history: &[("7.0.0", "Added the `entries-read` and `lag` fields")],
    arguments: &[Argument::key("key", 0)],
    examples: r#"> XADD mystream 1-0 a 1
"1-0"
> XGROUP CREATE mystream mygroup 0
OK
> XINFO GROUPS mystream
1)  1) "name"
    2) "mygroup"
    3) "consumers"
    4) (integer) 0
    5) "pending"
    6) (integer) 0
    7) "last-delivered-id"
    8) "0-0"
    9) "entries-read"
   10) (nil)
   11) "lag"
   12) (integer) 1"#,
    run: Run::Storage(|args| Xinfo::parse(args, reply_groups)),
    ..INFO
};

static HELP: Command = Command {
    group: BASE.group,
    categories: BASE.categories,
    examples: r#"> XINFO HELP
1) XINFO <subcommand> [<arg> [value] [opt] ...]. Subcommands are:
..."#,
    run: Run::Session(help),
    ..introspection::HELP
};

const HELP_LINES: [&str; 9] = [
    "XINFO <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CONSUMERS <key> <groupname>",
    "    Show consumers of <groupname>.",
    "GROUPS <key>",
    "    Show the stream consumer groups.",
    "STREAM <key> [FULL [COUNT <count>]",
    "    Show information about the stream.",
    "HELP",
    "    Prints this help.",
];

static STREAM: Command = Command {
    name: "stream",
    summary: "Get information about a stream",
    arity: -3,
    history: &[
        ("6.0.0", "Added the `FULL` modifier."),
        (
            "7.0.0",
            "Added the `max-deleted-entry-id`, `entries-added`, `recorded-first-entry-id`, `entries-read` and `lag` \
             fields",
        ),
    ],
    arguments: &[
        Argument::key("key", 0),
        Argument::block("full", &[Argument::integer("count").token("COUNT").optional()]).token("FULL").optional(),
    ],
    examples: r#"> XADD mystream 1-0 a 1
"1-0"
> XINFO STREAM mystream
 1) "length"
 2) (integer) 1
 3) "radix-tree-keys"
 4) (integer) 1
 5) "radix-tree-nodes"
 6) (integer) 2
 7) "last-generated-id"
 8) "1-0"
 9) "max-deleted-entry-id"
10) "0-0"
11) "entries-added"
12) (integer) 1
13) "recorded-first-entry-id"
14) "1-0"
15) "groups"
16) (integer) 0
17) "first-entry"
18) 1) "1-0"
    2) 1) "a"
       2) "1"
19) "last-entry"
20) 1) "1-0"
    2) 1) "a"
       2) "1""#,
    run: Run::Storage(Xinfo::parse_stream),
    ..INFO
};

fn help(_: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next> {
    reply_help(reply, &HELP_LINES);
    Ok(Next::Done)
}

#[derive(Debug)]
struct Xinfo {
    key: Bytes,
    group: Bytes,
    /// FULL: so many of everything, 0: all. Redis looks for the key first.
    full: Result<Option<u64>>,
    reply: fn(&Xinfo, &Keyspace<'_>, &Stream, &mut ReplyBuffer) -> Result<()>,
}

impl Xinfo {
    /// How much FULL tells of unless COUNT says so.
    const COUNT: u64 = 10;

    fn parse(
        args: &CommandArgs,
        reply: fn(&Xinfo, &Keyspace<'_>, &Stream, &mut ReplyBuffer) -> Result<()>,
    ) -> Result<Box<dyn Operation>> {
        let mut args = Args::from(args, 2);
        let key = args.next_bytes()?;
        let group = if args.is_done() { Bytes::new() } else { args.next_bytes()? };
        Ok(Box::new(Xinfo { key, group, full: Ok(None), reply }))
    }

    fn parse_stream(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut options = Args::from(args, 2);
        let key = options.next_bytes()?;
        let full = match options.remaining() {
            0 => Ok(None),
            1 if options.take_word("FULL") => Ok(Some(Self::COUNT)),
            3 if options.take_word("FULL") && options.take_word("COUNT") => {
                options.next_i64().map(|count| Some(u64::try_from(count).unwrap_or(Self::COUNT)))
            }
            _ => Err(unknown_subcommand_or_arity(args)),
        };
        Ok(Box::new(Xinfo { key, group: Bytes::new(), full, reply: reply_stream }))
    }
}

impl Operation for Xinfo {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let stream = Stream::read(keyspace, &self.key)?.ok_or(CommandError::NoSuchKey)?;
        (self.reply)(self, keyspace, &stream, reply)
    }
}

fn reply_consumers(info: &Xinfo, keyspace: &Keyspace<'_>, stream: &Stream, reply: &mut ReplyBuffer) -> Result<()> {
    let open = OpenGroup::find(keyspace, stream, &info.group)?.ok_or_else(|| {
        no_group(&[b"NOGROUP No such consumer group '", &info.group, b"' for key name '", &info.key, b"'"])
    })?;
    reply.array(open.group().consumers as usize);
    open.for_each_consumer(keyspace, |_, consumer| {
        reply.map(3);
        reply.bulk(b"name");
        reply.bulk(&consumer.name);
        reply.bulk(b"pending");
        reply.integer(consumer.pending as i64);
        reply.bulk(b"idle");
        reply.integer((keyspace.now_ms() as i64 - consumer.seen_ms as i64).max(0));
        Ok(())
    })
}

fn reply_groups(_: &Xinfo, keyspace: &Keyspace<'_>, stream: &Stream, reply: &mut ReplyBuffer) -> Result<()> {
    let array = reply.deferred();
    let mut len = 0;
    stream_group::for_each(keyspace, stream, |open| {
        len += 1;
        reply.map(6);
        reply.bulk(b"name");
        reply.bulk(open.name());
        reply.bulk(b"consumers");
        reply.integer(open.group().consumers as i64);
        reply.bulk(b"pending");
        reply.integer(open.group().pending as i64);
        reply_progress(stream, &open, reply);
        Ok(())
    })?;
    reply.finish_array(array, len);
    Ok(())
}

/// Three pairs: what a group has delivered last, how much it has read, and how much there is left.
fn reply_progress(stream: &Stream, open: &OpenGroup, reply: &mut ReplyBuffer) {
    let integer_or_null = |name: &[u8], value: Option<i64>, reply: &mut ReplyBuffer| {
        reply.bulk(name);
        match value {
            Some(value) => reply.integer(value),
            None => reply.null(),
        }
    };
    let (group, extent) = (open.group(), stream.extent());
    reply.bulk(b"last-delivered-id");
    reply_id(reply, group.last);
    integer_or_null(b"entries-read", group.read.map(|read| read as i64), reply);
    let read = match group.read {
        _ if extent.added == 0 => Some(0),
        Some(read) if !extent.has_gap_from(group.last) => Some(read),
        _ => extent.added_up_to(group.last),
    };
    integer_or_null(b"lag", read.map(|read| (extent.added as i64).wrapping_sub(read as i64)), reply);
}

fn reply_stream(info: &Xinfo, keyspace: &Keyspace<'_>, stream: &Stream, reply: &mut ReplyBuffer) -> Result<()> {
    let full = info.full.clone()?;
    let head = stream.head();
    let (nodes, radix_tree_nodes) = stream.count_nodes(keyspace)?;
    reply.map(if full.is_some() { 9 } else { 10 });
    for (name, value) in [("length", head.len), ("radix-tree-keys", nodes), ("radix-tree-nodes", radix_tree_nodes)] {
        reply.bulk(name.as_bytes());
        reply.integer(value as i64);
    }
    reply.bulk(b"last-generated-id");
    reply_id(reply, head.last);
    reply.bulk(b"max-deleted-entry-id");
    reply_id(reply, head.max_deleted);
    reply.bulk(b"entries-added");
    reply.integer(head.added as i64);
    reply.bulk(b"recorded-first-entry-id");
    reply_id(reply, head.first);
    if let Some(count) = full {
        reply.bulk(b"entries");
        let count = Some(count).filter(|count| *count > 0);
        reply_range(keyspace, stream, ALL, Direction::Forward, count, reply)?;
        reply.bulk(b"groups");
        return reply_full_groups(keyspace, stream, count, reply);
    }
    reply.bulk(b"groups");
    reply.integer(stream_group::count(keyspace, stream)? as i64);
    for (name, id) in [("first-entry", head.first), ("last-entry", head.top)] {
        reply.bulk(name.as_bytes());
        match stream.get(keyspace, id)? {
            Some(value) => reply_entry(reply, id, &value)?,
            None => reply.null(),
        }
    }
    Ok(())
}

/// The groups, with `count` of their pending entries at most.
fn reply_full_groups(
    keyspace: &Keyspace<'_>,
    stream: &Stream,
    count: Option<u64>,
    reply: &mut ReplyBuffer,
) -> Result<()> {
    let groups = reply.deferred();
    let mut len = 0;
    stream_group::for_each(keyspace, stream, |open| {
        len += 1;
        reply.map(7);
        reply.bulk(b"name");
        reply.bulk(open.name());
        reply_progress(stream, &open, reply);
        reply.bulk(b"pel-count");
        reply.integer(open.group().pending as i64);
        reply.bulk(b"pending");
        reply_pending(keyspace, &open, None, count, reply)?;
        reply.bulk(b"consumers");
        reply.array(open.group().consumers as usize);
        open.for_each_consumer(keyspace, |number, Consumer { seen_ms, pending, name }| {
            reply.map(4);
            reply.bulk(b"name");
            reply.bulk(&name);
            reply.bulk(b"seen-time");
            reply.integer(seen_ms as i64);
            reply.bulk(b"pel-count");
            reply.integer(pending as i64);
            reply.bulk(b"pending");
            reply_pending(keyspace, &open, Some(number), count, reply)
        })
    })?;
    reply.finish_array(groups, len);
    Ok(())
}

/// What is pending: of one consumer, or of all and with whom.
fn reply_pending(
    keyspace: &Keyspace<'_>,
    open: &OpenGroup,
    consumer: Option<u64>,
    count: Option<u64>,
    reply: &mut ReplyBuffer,
) -> Result<()> {
    let array = reply.deferred();
    let mut len = 0;
    open.walk(keyspace, consumer, ALL, Direction::Forward, |id, pending| {
        len += 1;
        reply.array(if consumer.is_some() { 3 } else { 4 });
        reply_id(reply, id);
        if consumer.is_none() {
            reply.bulk(&open.consumer_at(keyspace, pending.consumer)?.name);
        }
        reply.integer(pending.delivered_ms as i64);
        reply.integer(pending.deliveries as i64);
        Ok(if count == Some(len) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    reply.finish_array(array, len as usize);
    Ok(())
}
