//! What takes entries away, and what sets a stream's counters: XDEL, XTRIM, XSETID.

use bytes::Bytes;

use super::add::{Options, TRIM};
use super::{BASE, Result, parse_id, parse_ids};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, KeySpec, Operation, Run};
use crate::keyspace::{EventClass, Keyspace};
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::stream_id::StreamId;
use crate::types::stream::Editor;

pub(super) static XDEL: Command = Command {
    name: "xdel",
    summary: "Removes the specified entries from the stream. Returns the number of items actually deleted, that may be \
        different from the number of IDs passed in case certain IDs do not exist.",
    complexity: "O(1) for each single item to delete in the stream, regardless of the stream size.",
    arity: -3,
    flags: &[Flag::Write, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "delete"])],
    arguments: &[Argument::key("key", 0), Argument::string("id").multiple()],
    examples: r#"> XADD mystream 1-0 a 1
"1-0"
> XADD mystream 2-0 b 2
"2-0"
> XDEL mystream 1-0 7-0
(integer) 1
> XRANGE mystream - +
1) 1) "2-0"
   2) 1) "b"
      2) "2""#,
    run: Run::Storage(Xdel::parse),
    ..BASE
};

#[derive(Debug)]
struct Xdel {
    key: Bytes,
    /// As they were given: Redis reads them only if the key is there.
    ids: Vec<Bytes>,
}

impl Xdel {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Xdel { key: args.next_bytes()?, ids: args.rest() }))
    }
}

impl Operation for Xdel {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let mut deleted = 0;
        if let Some(mut editor) = Editor::open(keyspace, &self.key)? {
            deleted = editor.delete(keyspace, &parse_ids(&self.ids)?)?;
            if deleted > 0 {
                editor.finish(keyspace)?;
                keyspace.notify(EventClass::Stream, "xdel", &self.key);
            }
        }
        reply.integer(deleted as i64);
        Ok(())
    }
}

pub(super) static XTRIM: Command = Command {
    name: "xtrim",
    summary: "Trims the stream to (approximately if '~' is passed) a certain size",
    complexity: "O(N), with N being the number of evicted entries. Constant times are very small however, since entries \
        are organized in macro nodes containing multiple entries that can be released with a single deallocation.",
    arity: -4,
    flags: &[Flag::Write],
    tips: &["nondeterministic_output"],
    keys: &[KeySpec::one(1, &["RW", "delete"])],
    history: &[("6.2.0", "Added the `MINID` trimming strategy and the `LIMIT` option.")],
    arguments: &[Argument::key("key", 0), Argument::block("trim", TRIM)],
    examples: r#"> XADD mystream 1-0 a 1
"1-0"
> XADD mystream 2-0 b 2
"2-0"
> XADD mystream 3-0 c 3
"3-0"
> XTRIM mystream MAXLEN 2
(integer) 1
> XTRIM mystream MINID 3
(integer) 1
> XTRIM mystream MAXLEN ~ 1000
(integer) 0
> XLEN mystream
(integer) 1"#,
    run: Run::Storage(Xtrim::parse),
    ..BASE
};

#[derive(Debug)]
struct Xtrim {
    key: Bytes,
    options: Options,
}

impl Xtrim {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Xtrim { key: args.next_bytes()?, options: Options::parse(&mut args, false)? }))
    }
}

impl Operation for Xtrim {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let mut trimmed = 0;
        if let Some(mut editor) = Editor::open(keyspace, &self.key)?
            && let Some(trim) = self.options.trim(keyspace)
        {
            trimmed = editor.trim(keyspace, &trim)?;
            if trimmed > 0 {
                editor.finish(keyspace)?;
                keyspace.notify(EventClass::Stream, "xtrim", &self.key);
            }
        }
        reply.integer(trimmed as i64);
        Ok(())
    }
}

pub(super) static XSETID: Command = Command {
    name: "xsetid",
    summary: "An internal command for replicating stream values",
    arity: -3,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "update"])],
    history: &[("7.0.0", "Added the `entries_added` and `max_deleted_entry_id` arguments.")],
    arguments: &[
        Argument::key("key", 0),
        Argument::string("last-id"),
        Argument::integer("entries_added").token("ENTRIESADDED").since("7.0.0").optional(),
        Argument::string("max_deleted_entry_id").token("MAXDELETEDID").since("7.0.0").optional(),
    ],
    examples: r#"> XADD mystream 1-0 a 1
"1-0"
> XSETID mystream 7-0
OK
> XADD mystream 7-* b 2
"7-1""#,
    run: Run::Storage(Xsetid::parse),
    ..BASE
};

#[derive(Debug)]
struct Xsetid {
    key: Bytes,
    last: StreamId,
    added: Option<u64>,
    max_deleted: Option<StreamId>,
}

impl Xsetid {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let (key, last) = (args.next_bytes()?, parse_id(args.next()?)?);
        let mut setid = Xsetid { key, last, added: None, max_deleted: None };
        while !args.is_done() {
            let has_value = args.remaining() > 1;
            if has_value && args.take_word("ENTRIESADDED") {
                let error = |_| CommandError::custom("ERR entries_added must be positive");
                setid.added = Some(u64::try_from(args.next_i64()?).map_err(error)?);
            } else if has_value && args.take_word("MAXDELETEDID") {
                let id = parse_id(args.next()?)?;
                if last < id {
                    return Err(CommandError::custom(
                        "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                    ));
                }
                setid.max_deleted = Some(id).filter(|id| *id != StreamId::MIN);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(Box::new(setid))
    }
}

impl Operation for Xsetid {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let mut editor = Editor::open(keyspace, &self.key)?.ok_or(CommandError::NoSuchKey)?;
        let head = editor.stream().head();
        let refuse = |text| Err(CommandError::custom(text));
        if head.len > 0 && self.last < head.top {
            return refuse("ERR The ID specified in XSETID is smaller than the target stream top item");
        }
        if head.len > 0 && self.added.is_some_and(|added| added < head.len) {
            return refuse("ERR The entries_added specified in XSETID is smaller than the target stream length");
        }
        editor.set_last(keyspace, self.last)?;
        self.added.into_iter().for_each(|added| editor.set_added(added));
        self.max_deleted.into_iter().for_each(|id| editor.set_max_deleted(id));
        editor.finish(keyspace)?;
        keyspace.notify(EventClass::Stream, "xsetid", &self.key);
        reply.ok();
        Ok(())
    }
}
