//! XADD, and the options that it has in common with XTRIM.

use bytes::Bytes;

use super::{BASE, Result, invalid_id, parse_id, reply_id};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, KeySpec, Operation, Run};
use crate::keyspace::{EventClass, Keyspace};
use crate::limits;
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::stream_id::{StreamId, WrittenId};
use crate::types::stream::{Editor, Trim, Until};

/// The options that say what to trim, as COMMAND DOCS lists them.
pub(super) const TRIM: &[Argument] = &[
    Argument::one_of(
        "strategy",
        &[Argument::flag("maxlen", "MAXLEN"), Argument::flag("minid", "MINID").since("6.2.0")],
    ),
    Argument::one_of("operator", &[Argument::flag("equal", "="), Argument::flag("approximately", "~")]).optional(),
    Argument::string("threshold"),
    Argument::integer("count").token("LIMIT").since("6.2.0").optional(),
];

pub(super) static XADD: Command = Command {
    name: "xadd",
    summary: "Appends a new entry to a stream",
    complexity: "O(1) when adding a new entry, O(N) when trimming where N being the number of entries evicted.",
    arity: -5,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    tips: &["nondeterministic_output"],
    keys: &[KeySpec {
        notes: "UPDATE instead of INSERT because of the optional trimming feature",
        ..KeySpec::one(1, &["RW", "update"])
    }],
    history: &[
        ("6.2.0", "Added the `NOMKSTREAM` option, `MINID` trimming strategy and the `LIMIT` option."),
        ("7.0.0", "Added support for the `<ms>-*` explicit ID form."),
    ],
    arguments: &[
        Argument::key("key", 0),
        Argument::flag("nomkstream", "NOMKSTREAM").since("6.2.0").optional(),
        Argument::block("trim", TRIM).optional(),
        Argument::one_of("id_or_auto", &[Argument::flag("auto_id", "*"), Argument::string("id")]),
        Argument::block("field_value", &[Argument::string("field"), Argument::string("value")]).multiple(),
    ],
    examples: r#"> XADD mystream 1526919030474-55 message Hello
"1526919030474-55"
> XADD mystream 1526919030474-* message World
"1526919030474-56"
> XADD mystream 1526919030474-56 message again
(error) ERR The ID specified in XADD is equal or smaller than the target stream top item
> XADD mystream MAXLEN = 2 1526919030475-0 name Sara surname OConnor
"1526919030475-0"
> XRANGE mystream - +
1) 1) "1526919030474-56"
   2) 1) "message"
      2) "World"
2) 1) "1526919030475-0"
   2) 1) "name"
      2) "Sara"
      3) "surname"
      4) "OConnor"
> XADD nosuchstream NOMKSTREAM * field value
(nil)"#,
    run: Run::Storage(Xadd::parse),
    ..BASE
};

/// Options of XADD and XTRIM, and the id that ends XADD's.
#[derive(Debug, Default)]
pub(super) struct Options {
    trim: Option<Until>,
    approximate: bool,
    limit: Option<u64>,
    no_create: bool,
    /// `None`: `*`.
    id: Option<WrittenId>,
}

impl Options {
    /// Reads options, up to XADD's id if `adds`.
    pub fn parse(args: &mut Args<'_>, adds: bool) -> Result<Options> {
        let mut options = Options::default();
        while let Some(word) = args.peek() {
            let has_value = args.remaining() > 1;
            if adds && word == b"*" {
                args.next()?;
                break;
            } else if has_value && args.take_word("MAXLEN") {
                options.begin_trim(args)?;
                let most = args.next_i64()?;
                let error = || CommandError::custom("ERR The MAXLEN argument must be >= 0.");
                options.trim = Some(Until::MaxLen(u64::try_from(most).map_err(|_| error())?));
            } else if has_value && args.take_word("MINID") {
                options.begin_trim(args)?;
                options.trim = Some(Until::MinId(parse_id(args.next()?)?));
            } else if has_value && args.take_word("LIMIT") {
                let error = || CommandError::custom("ERR The LIMIT argument must be >= 0.");
                options.limit = Some(u64::try_from(args.next_i64()?).map_err(|_| error())?);
            } else if adds && args.take_word("NOMKSTREAM") {
                options.no_create = true;
            } else if adds {
                options.id = Some(StreamId::parse_written(args.next()?, 0).ok_or_else(invalid_id)?);
                break;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        if options.limit.is_some_and(|limit| limit > 0) && options.trim.is_none() {
            let text = "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy";
            return Err(CommandError::custom(text));
        }
        if !adds && options.trim.is_none() {
            let text = "ERR syntax error, XTRIM must be called with a trimming strategy";
            return Err(CommandError::custom(text));
        }
        if options.limit.is_some() && !options.approximate {
            let text = "ERR syntax error, LIMIT cannot be used without the special ~ option";
            return Err(CommandError::custom(text));
        }
        Ok(options)
    }

    fn begin_trim(&mut self, args: &mut Args<'_>) -> Result<()> {
        if self.trim.is_some() {
            let text = "ERR syntax error, MAXLEN and MINID options at the same time are not compatible";
            return Err(CommandError::custom(text));
        }
        let has_value = args.remaining() > 1;
        self.approximate = has_value && args.take_word("~");
        if has_value && !self.approximate {
            args.take_word("=");
        }
        Ok(())
    }

    /// What to trim, if anything.
    pub fn trim(&self, keyspace: &Keyspace<'_>) -> Option<Trim> {
        let until = self.trim?;
        let node = keyspace.encodings().stream_node_max_entries;
        let usual = match node.saturating_mul(limits::STREAM_TRIM_NODES) {
            0 => limits::STREAM_TRIM_ENTRIES,
            entries => entries.min(limits::STREAM_TRIM_ENTRIES_MAX),
        };
        let limit = if self.approximate { self.limit.unwrap_or(usual) } else { 0 };
        Some(Trim { until, approximate: self.approximate, limit })
    }
}

#[derive(Debug)]
struct Xadd {
    key: Bytes,
    options: Options,
    /// Fields and values by turns.
    parts: Vec<Bytes>,
}

impl Xadd {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let key = args.next_bytes()?;
        let options = Options::parse(&mut args, true)?;
        let parts = args.rest();
        if parts.is_empty() || parts.len() % 2 == 1 {
            return Err(CommandError::Arity("xadd".into()));
        }
        if options.id == Some(WrittenId { id: StreamId::MIN, has_seq: true }) {
            return Err(CommandError::custom("ERR The ID specified in XADD must be greater than 0-0"));
        }
        Ok(Box::new(Xadd { key, options, parts }))
    }

    /// The id of the new entry, which is higher than the last one.
    fn next_id(&self, last: StreamId, now_ms: u64) -> Result<StreamId> {
        let id = match self.options.id {
            Some(WrittenId { id, has_seq: true }) => id,
            Some(WrittenId { id, .. }) if id.ms == last.ms => {
                // Redis has no other word for a millisecond that is full.
                let seq = last.seq.checked_add(1).ok_or_else(too_large)?;
                StreamId { ms: id.ms, seq }
            }
            Some(WrittenId { id, .. }) => id,
            None if now_ms > last.ms => StreamId { ms: now_ms, seq: 0 },
            // The clock went backwards, or it is not the first of this millisecond.
            None => last.next().unwrap_or(last),
        };
        if id > last {
            return Ok(id);
        }
        let text = "ERR The ID specified in XADD is equal or smaller than the target stream top item";
        Err(CommandError::custom(text))
    }
}

impl Operation for Xadd {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let editor = match self.options.no_create {
            true => Editor::open(keyspace, &self.key)?,
            false => Some(Editor::open_or_create(keyspace, &self.key)?),
        };
        let Some(mut editor) = editor else {
            reply.null();
            return Ok(());
        };
        let last = editor.stream().head().last;
        if last == StreamId::MAX {
            let text = "ERR The stream has exhausted the last possible ID, unable to add more items";
            return Err(CommandError::custom(text));
        }
        let id = self.next_id(last, keyspace.now_ms())?;
        if self.parts.iter().map(Bytes::len).sum::<usize>() > limits::STREAM_ENTRY_BYTES_MAX {
            return Err(too_large());
        }
        editor.append(keyspace, id, &self.parts);
        let trimmed = match self.options.trim(keyspace) {
            Some(trim) => editor.trim(keyspace, &trim)?,
            None => 0,
        };
        editor.finish(keyspace)?;
        keyspace.notify(EventClass::Stream, "xadd", &self.key);
        if trimmed > 0 {
            keyspace.notify(EventClass::Stream, "xtrim", &self.key);
        }
        reply_id(reply, id);
        Ok(())
    }
}

fn too_large() -> CommandError {
    CommandError::custom("ERR Elements are too large to be stored")
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::check;

    #[test]
    fn ids_never_go_backwards_and_end_with_the_last_one() {
        check(
            r#"
            > XADD s * a 1
            "1720000000000-0"
            > XADD s * a 2
            "1720000000000-1"
            @ 5
            > XADD s * a 3
            "1720000000005-0"
            > XADD s 1820000000000-18446744073709551615 a 4
            "1820000000000-18446744073709551615"
            > XADD s 1820000000000-* a 5
            (error) ERR Elements are too large to be stored
            > XADD s * a 5
            "1820000000001-0"
            > XADD s 18446744073709551615-18446744073709551615 a 6
            "18446744073709551615-18446744073709551615"
            > XADD s * a 7
            (error) ERR The stream has exhausted the last possible ID, unable to add more items
            > XADD zero 0-* a 1
            "0-1"
            > XADD zero 0-0 a 1
            (error) ERR The ID specified in XADD must be greater than 0-0
            "#,
        );
    }

    #[test]
    fn options_are_refused_as_redis_refuses_them() {
        for (options, error) in [
            ("MAXLEN 1 MINID 1 *", "ERR syntax error, MAXLEN and MINID options at the same time are not compatible"),
            ("MAXLEN -1 *", "ERR The MAXLEN argument must be >= 0."),
            ("MAXLEN x *", "ERR value is not an integer or out of range"),
            ("MINID x *", "ERR Invalid stream ID specified as stream command argument"),
            ("LIMIT 1 *", "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy"),
            ("MAXLEN 1 LIMIT 1 *", "ERR syntax error, LIMIT cannot be used without the special ~ option"),
            ("MAXLEN ~ 1 LIMIT -1 *", "ERR The LIMIT argument must be >= 0."),
            ("FOO", "ERR Invalid stream ID specified as stream command argument"),
            ("* a b c", "ERR wrong number of arguments for 'xadd' command"),
        ] {
            check(&format!("> XADD s {options} a b\n(error) {error}"));
        }
    }
}
