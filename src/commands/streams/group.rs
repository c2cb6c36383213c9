//! Consumer groups as such, and what ends an entry's stay with them: XGROUP, XACK.

use bytes::Bytes;

use super::{BASE, Result, invalid_id, no_group, parse_id, parse_ids};
use crate::commands::introspection::{self, unknown_subcommand_or_arity};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, KeySpec, Next, Operation, Run, Session};
use crate::keyspace::{EventClass, Keyspace};
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::stream_id::StreamId;
use crate::types::stream::{Editor, Stream};
use crate::types::stream_group::{self, OpenGroup, Swept};

pub(super) static XGROUP: Command = Command {
    name: "xgroup",
    summary: "A container for consumer groups commands",
    complexity: "Depends on subcommand.",
    arity: -2,
    categories: &[],
    subcommands: &[&CREATE, &CREATECONSUMER, &DELCONSUMER, &DESTROY, &HELP, &SETID],
    ..BASE
};

/// What stands where an id may, or `$`.
const ID: &[Argument] = &[Argument::string("id"), Argument::flag("new_id", "$")];

static CREATE: Command = Command {
    name: "create",
    summary: "Create a consumer group.",
    arity: -5,
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[KeySpec::one(2, &["RW", "insert"])],
    history: &[("7.0.0", "Added the `entries_read` named argument.")],
    arguments: &[
        Argument::key("key", 0),
        Argument::string("groupname"),
        Argument::one_of("id", ID),
        Argument::flag("mkstream", "MKSTREAM").optional(),
        Argument::integer("entries_read").token("ENTRIESREAD").optional(),
    ],
    examples: r#"> XGROUP CREATE mystream mygroup $ MKSTREAM
OK
> XGROUP CREATE mystream mygroup 0
(error) BUSYGROUP Consumer Group name already exists
> XLEN mystream
(integer) 0"#,
    run: Run::Storage(Create::parse),
    ..BASE
};

static CREATECONSUMER: Command = Command {
    name: "createconsumer",
    summary: "Create a consumer in a consumer group.",
    since: "6.2.0",
    arity: 5,
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[KeySpec::one(2, &["RW", "insert"])],
    arguments: CONSUMER,
    examples: r#"> XGROUP CREATE mystream mygroup $ MKSTREAM
OK
> XGROUP CREATECONSUMER mystream mygroup Alice
(integer) 1
> XGROUP CREATECONSUMER mystream mygroup Alice
(integer) 0"#,
    run: Run::Storage(|args| Change::parse(args, create_consumer)),
    ..BASE
};

static DELCONSUMER: Command = Command {
    name: "delconsumer",
    summary: "Delete a consumer from a consumer group.",
    arity: 5,
    flags: &[Flag::Write],
    keys: &[KeySpec::one(2, &["RW", "delete"])],
    arguments: CONSUMER,
    examples: r#"> XADD mystream 1-0 a 1
"1-0"
> XGROUP CREATE mystream mygroup 0
OK
> XREADGROUP GROUP mygroup Alice STREAMS mystream >
1) 1) "mystream"
   2) 1) 1) "1-0"
         2) 1) "a"
            2) "1"
> XGROUP DELCONSUMER mystream mygroup Alice
(integer) 1
> XGROUP DELCONSUMER mystream mygroup Alice
(integer) 0"#,
    run: Run::Storage(|args| Change::parse(args, delete_consumer)),
    ..BASE
};

const CONSUMER: &[Argument] =
    &[Argument::key("key", 0), Argument::string("groupname"), Argument::string("consumername")];

static DESTROY: Command = Command {
    name: "destroy",
    summary: "Destroy a consumer group.",
    complexity: "O(N) where N is the number of entries in the group's pending entries list (PEL).",
    arity: 4,
    flags: &[Flag::Write],
    keys: &[KeySpec::one(2, &["RW", "delete"])],
    arguments: &[Argument::key("key", 0), Argument::string("groupname")],
    examples: r#"> XGROUP CREATE mystream mygroup $ MKSTREAM
OK
> XGROUP DESTROY mystream mygroup
(integer) 1
> XGROUP DESTROY mystream mygroup
(integer) 0"#,
    run: Run::Storage(|args| Change::parse(args, destroy)),
    ..BASE
};

static SETID: Command = Command {
    name: "setid",
    summary: "Set a consumer group to an arbitrary last delivered ID value.",
    arity: -5,
    flags: &[Flag::Write],
    keys: &[KeySpec::one(2, &["RW", "update"])],
    history: &[("7.0.0", "Added the optional `entries_read` argument.")],
    arguments: &[
        Argument::key("key", 0),
        Argument::string("groupname"),
        Argument::one_of("id", ID),
        Argument::integer("entries_read").token("ENTRIESREAD").optional(),
    ],
    examples: r#"> XADD mystream 1-0 a 1
"1-0"
> XGROUP CREATE mystream mygroup $
OK
> XREADGROUP GROUP mygroup Alice STREAMS mystream >
(nil)
> XGROUP SETID mystream mygroup 0
OK
> XREADGROUP GROUP mygroup Alice STREAMS mystream >
1) 1) "mystream"
   2) 1) 1) "1-0"
         2) 1) "a"
            2) "1""#,
    run: Run::Storage(Change::parse_setid),
    ..BASE
};

static HELP: Command = Command {
    group: BASE.group,
    categories: BASE.categories,
    examples: r#"> XGROUP HELP
 1) XGROUP <subcommand> [<arg> [value] [opt] ...]. Subcommands are:
..."#,
    run: Run::Session(help),
    ..introspection::HELP
};

const HELP_LINES: [&str; 17] = [
    "XGROUP <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CREATE <key> <groupname> <id|$> [option]",
    "    Create a new consumer group. Options are:",
    "    * MKSTREAM",
    "      Create the empty stream if it does not exist.",
    "    * ENTRIESREAD entries_read",
    "      Set the group's entries_read counter (internal use).",
    "CREATECONSUMER <key> <groupname> <consumer>",
    "    Create a new consumer in the specified group.",
    "DELCONSUMER <key> <groupname> <consumer>",
    "    Remove the specified consumer.",
    "DESTROY <key> <groupname>",
    "    Remove the specified group.",
    "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
    "    Set the current group ID and entries_read counter.",
    "HELP",
    "    Prints this help.",
];

fn help(_: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next> {
    super::reply_help(reply, &HELP_LINES);
    Ok(Next::Done)
}

/// Reads what may stand behind an id: ENTRIESREAD, and MKSTREAM if `creates`.
fn parse_options(args: &CommandArgs, creates: bool) -> Result<(Option<u64>, bool)> {
    let mut options = Args::from(args, 5);
    let (mut read, mut make) = (None, false);
    while !options.is_done() {
        let has_value = options.remaining() > 1;
        if creates && options.take_word("MKSTREAM") {
            make = true;
        } else if has_value && options.take_word("ENTRIESREAD") {
            read = match options.next_i64()? {
                -1 => None,
                number => Some(
                    u64::try_from(number)
                        .map_err(|_| CommandError::custom("ERR value for ENTRIESREAD must be positive or -1"))?,
                ),
            };
        } else {
            return Err(unknown_subcommand_or_arity(args));
        }
    }
    Ok((read, make))
}

fn no_stream() -> CommandError {
    CommandError::custom(
        "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM \
         option to create an empty stream automatically.",
    )
}

#[derive(Debug)]
struct Create {
    key: Bytes,
    group: Bytes,
    /// As it was given: Redis looks for the key first. `$`: the last one.
    id: Bytes,
    read: Option<u64>,
    /// MKSTREAM
    make: bool,
}

impl Create {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let (read, make) = parse_options(args, true)?;
        let mut args = Args::from(args, 2);
        let (key, group, id) = (args.next_bytes()?, args.next_bytes()?, args.next_bytes()?);
        Ok(Box::new(Create { key, group, id, read, make }))
    }
}

impl Operation for Create {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let found = Stream::peek(keyspace, &self.key)?;
        if found.is_none() && !self.make {
            return Err(no_stream());
        }
        let last = match &self.id[..] {
            b"$" => found.as_ref().map_or(StreamId::MIN, |stream| stream.head().last),
            id => parse_id(id)?,
        };
        let stream = match found {
            Some(stream) => stream,
            None => {
                let editor = Editor::open_or_create(keyspace, &self.key)?;
                let stream = editor.stream().clone();
                editor.finish(keyspace)?;
                stream
            }
        };
        if !stream_group::create(keyspace, &stream, &self.group, last, self.read)? {
            return Err(CommandError::custom("BUSYGROUP Consumer Group name already exists"));
        }
        keyspace.notify(EventClass::Stream, "xgroup-create", &self.key);
        reply.ok();
        Ok(())
    }
}

/// A change to a group, of a stream that has to be there.
#[derive(Debug)]
struct Change {
    key: Bytes,
    group: Bytes,
    /// The consumer, or the id.
    argument: Bytes,
    read: Option<u64>,
    change: fn(&Change, &mut Keyspace<'_>, Stream, &mut ReplyBuffer) -> Result<()>,
}

impl Change {
    fn parse(
        args: &CommandArgs,
        change: fn(&Change, &mut Keyspace<'_>, Stream, &mut ReplyBuffer) -> Result<()>,
    ) -> Result<Box<dyn Operation>> {
        let mut args = Args::from(args, 2);
        let (key, group) = (args.next_bytes()?, args.next_bytes()?);
        let argument = if args.is_done() { Bytes::new() } else { args.next_bytes()? };
        Ok(Box::new(Change { key, group, argument, read: None, change }))
    }

    fn parse_setid(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let (read, _) = parse_options(args, false)?;
        let mut args = Args::from(args, 2);
        let (key, group, argument) = (args.next_bytes()?, args.next_bytes()?, args.next_bytes()?);
        Ok(Box::new(Change { key, group, argument, read, change: set_id }))
    }

    fn open(&self, keyspace: &Keyspace<'_>, stream: &Stream) -> Result<OpenGroup> {
        OpenGroup::find(keyspace, stream, &self.group)?.ok_or_else(|| {
            no_group(&[b"NOGROUP No such consumer group '", &self.group, b"' for key name '", &self.key, b"'"])
        })
    }
}

impl Operation for Change {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let stream = Stream::peek(keyspace, &self.key)?.ok_or_else(no_stream)?;
        (self.change)(self, keyspace, stream, reply)
    }
}

fn create_consumer(
    change: &Change,
    keyspace: &mut Keyspace<'_>,
    stream: Stream,
    reply: &mut ReplyBuffer,
) -> Result<()> {
    let mut open = change.open(keyspace, &stream)?;
    let is_new = open.create_consumer(keyspace, &change.argument)?;
    open.finish(keyspace)?;
    if is_new {
        keyspace.notify(EventClass::Stream, "xgroup-createconsumer", &change.key);
    }
    reply.integer(i64::from(is_new));
    Ok(())
}

fn delete_consumer(
    change: &Change,
    keyspace: &mut Keyspace<'_>,
    stream: Stream,
    reply: &mut ReplyBuffer,
) -> Result<()> {
    let mut open = change.open(keyspace, &stream)?;
    let removed = open.delete_consumer(keyspace, &change.argument)?;
    open.finish(keyspace)?;
    if removed.is_some() {
        keyspace.notify(EventClass::Stream, "xgroup-delconsumer", &change.key);
    }
    reply.integer(removed.unwrap_or(0) as i64);
    Ok(())
}

fn destroy(change: &Change, keyspace: &mut Keyspace<'_>, _: Stream, reply: &mut ReplyBuffer) -> Result<()> {
    let mut editor = Editor::open(keyspace, &change.key)?.ok_or_else(no_stream)?;
    let destroyed = stream_group::destroy(keyspace, &mut editor, &change.group)?;
    if destroyed == Some(Swept::Some) {
        editor.finish(keyspace)?;
    }
    if destroyed.is_some() {
        keyspace.notify(EventClass::Stream, "xgroup-destroy", &change.key);
        keyspace.signal(&change.key);
    }
    reply.integer(i64::from(destroyed.is_some()));
    Ok(())
}

fn set_id(change: &Change, keyspace: &mut Keyspace<'_>, stream: Stream, reply: &mut ReplyBuffer) -> Result<()> {
    let mut open = change.open(keyspace, &stream)?;
    let last = match &change.argument[..] {
        b"$" => stream.head().last,
        id => StreamId::parse(id, 0).ok_or_else(invalid_id)?,
    };
    open.set_last(last);
    open.set_read(change.read);
    open.finish(keyspace)?;
    keyspace.notify(EventClass::Stream, "xgroup-setid", &change.key);
    reply.ok();
    Ok(())
}

pub(super) static XACK: Command = Command {
    name: "xack",
    summary: "Marks a pending message as correctly processed, effectively removing it from the pending entries list of \
        the consumer group. Return value of the command is the number of messages successfully acknowledged, that is, \
        the IDs we were actually able to resolve in the PEL.",
    complexity: "O(1) for each message ID processed.",
    arity: -4,
    flags: &[Flag::Write, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "update"])],
    arguments: &[Argument::key("key", 0), Argument::string("group"), Argument::string("id").multiple()],
    examples: r#"> XADD mystream 1-0 a 1
"1-0"
> XGROUP CREATE mystream mygroup 0
OK
> XREADGROUP GROUP mygroup Alice STREAMS mystream >
1) 1) "mystream"
   2) 1) 1) "1-0"
         2) 1) "a"
            2) "1"
> XACK mystream mygroup 1-0 7-0
(integer) 1
> XACK mystream mygroup 1-0
(integer) 0"#,
    run: Run::Storage(Xack::parse),
    ..BASE
};

#[derive(Debug)]
struct Xack {
    key: Bytes,
    group: Bytes,
    /// As they were given: Redis reads them only if there is the group.
    ids: Vec<Bytes>,
}

impl Xack {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Xack { key: args.next_bytes()?, group: args.next_bytes()?, ids: args.rest() }))
    }
}

impl Operation for Xack {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let stream = Stream::read(keyspace, &self.key)?;
        let open = stream.map(|stream| OpenGroup::find(keyspace, &stream, &self.group)).transpose()?.flatten();
        let mut acknowledged = 0;
        if let Some(mut open) = open {
            for id in parse_ids(&self.ids)? {
                if let Some(pending) = open.pending(keyspace, id)? {
                    open.remove_pending(keyspace, id, &pending)?;
                    acknowledged += 1;
                }
            }
            open.finish(keyspace)?;
        }
        reply.integer(acknowledged);
        Ok(())
    }
}
