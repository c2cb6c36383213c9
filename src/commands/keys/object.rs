//! OBJECT: how Redis would keep a value in memory.

use bytes::Bytes;

use super::{BASE, Result};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, KeySpec, Next, Operation, Run, Session};
use crate::keyspace::{Keyspace, Record, Type};
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::types::{self, string};

/// The reference count of an integer that all keys share.
const SHARED_REFCOUNT: i64 = i32::MAX as i64;

const HELP: [&str; 15] = [
    "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ENCODING <key>",
    "    Return the kind of internal representation used in order to store the value",
    "    associated with a <key>.",
    "FREQ <key>",
    "    Return the access frequency index of the <key>. The returned integer is",
    "    proportional to the logarithm of the recent access frequency of the key.",
    "IDLETIME <key>",
    "    Return the idle time of the <key>, that is the approximated number of",
    "    seconds elapsed since the last access to the key.",
    "REFCOUNT <key>",
    "    Return the number of references of the value associated with the specified",
    "    <key>.",
    "HELP",
    "    Prints this help.",
];

pub(super) static OBJECT: Command = Command {
    name: "object",
    summary: "A container for object introspection commands",
    since: "2.2.3",
    complexity: "Depends on subcommand.",
    arity: -2,
    categories: &[],
    subcommands: &[&OBJECT_FREQ, &OBJECT_IDLETIME, &OBJECT_ENCODING, &OBJECT_HELP, &OBJECT_REFCOUNT],
    ..BASE
};

static OBJECT_FREQ: Command = Command {
    name: "freq",
    summary: "Get the logarithmic access frequency counter of a Redis object",
    since: "4.0.0",
    arity: 3,
    flags: &[Flag::Readonly],
    tips: &["nondeterministic_output"],
    keys: &[KeySpec::one(2, &["RO"])],
    arguments: &[Argument::key("key", 0)],
    examples: r#"> SET mykey Hello
OK
> OBJECT FREQ mykey
(error) ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust."#,
    run: Run::Storage(|args| Object::parse(args, freq)),
    ..BASE
};

static OBJECT_IDLETIME: Command = Command {
    name: "idletime",
    summary: "Get the time since a Redis object was last accessed",
    since: "2.2.3",
    arity: 3,
    flags: &[Flag::Readonly],
    tips: &["nondeterministic_output"],
    keys: &[KeySpec::one(2, &["RO"])],
    arguments: &[Argument::key("key", 0)],
    examples: r#"> SET mykey Hello
OK
> OBJECT IDLETIME mykey
(integer) 0"#,
    run: Run::Storage(|args| Object::parse(args, idletime)),
    ..BASE
};

static OBJECT_ENCODING: Command = Command {
    name: "encoding",
    summary: "Inspect the internal encoding of a Redis object",
    since: "2.2.3",
    arity: 3,
    flags: &[Flag::Readonly],
    tips: &["nondeterministic_output"],
    keys: &[KeySpec::one(2, &["RO"])],
    arguments: &[Argument::key("key", 0)],
    examples: r#"> SET mykey 1234
OK
> OBJECT ENCODING mykey
"int"
> APPEND mykey 5
(integer) 5
> OBJECT ENCODING mykey
"raw""#,
    run: Run::Storage(|args| Object::parse(args, encoding)),
    ..BASE
};

static OBJECT_HELP: Command = Command {
    name: "help",
    summary: "Show helpful text about the different subcommands",
    since: "6.2.0",
    arity: 2,
    flags: &[Flag::Loading, Flag::Stale],
    examples: r#"> OBJECT HELP
 1) OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:
..."#,
    run: Run::Session(help),
    ..BASE
};

static OBJECT_REFCOUNT: Command = Command {
    name: "refcount",
    summary: "Get the number of references to the value of the key",
    since: "2.2.3",
    arity: 3,
    flags: &[Flag::Readonly],
    tips: &["nondeterministic_output"],
    keys: &[KeySpec::one(2, &["RO"])],
    arguments: &[Argument::key("key", 0)],
    examples: r#"> SET mykey Hello
OK
> OBJECT REFCOUNT mykey
(integer) 1"#,
    run: Run::Storage(|args| Object::parse(args, refcount)),
    ..BASE
};

/// A subcommand that answers something about the value of a key, or nil if there is none.
#[derive(Debug)]
struct Object {
    key: Bytes,
    answer: fn(&Record, &mut ReplyBuffer) -> Result<()>,
}

impl Object {
    fn parse(args: &CommandArgs, answer: fn(&Record, &mut ReplyBuffer) -> Result<()>) -> Result<Box<dyn Operation>> {
        Ok(Box::new(Object { key: Args::from(args, 2).next_bytes()?, answer }))
    }
}

impl Operation for Object {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        match keyspace.get_untold(&self.key)? {
            Some(record) => (self.answer)(&record, reply),
            None => {
                reply.null();
                Ok(())
            }
        }
    }
}

fn encoding(record: &Record, reply: &mut ReplyBuffer) -> Result<()> {
    reply.bulk(types::encoding(record).as_bytes());
    Ok(())
}

fn freq(_: &Record, _: &mut ReplyBuffer) -> Result<()> {
    Err(CommandError::custom(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching \
         between policies at runtime LRU and LFU data will take some time to adjust.",
    ))
}

/// When a key was last used is not recorded: always just now.
fn idletime(_: &Record, reply: &mut ReplyBuffer) -> Result<()> {
    reply.integer(0);
    Ok(())
}

fn refcount(record: &Record, reply: &mut ReplyBuffer) -> Result<()> {
    let shared = record.kind == Type::String && string::is_shared(record);
    reply.integer(if shared { SHARED_REFCOUNT } else { 1 });
    Ok(())
}

fn help(_: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next> {
    reply.array(HELP.len());
    HELP.iter().for_each(|line| reply.simple(line));
    Ok(Next::Done)
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::check;

    #[test]
    fn small_integers_are_shared() {
        check(
            r#"
            > MSET a 0 b 9999 c 10000 d -1
            OK
            > OBJECT REFCOUNT a
            (integer) 2147483647
            > OBJECT REFCOUNT b
            (integer) 2147483647
            > OBJECT REFCOUNT c
            (integer) 1
            > OBJECT REFCOUNT d
            (integer) 1
            > APPEND a 1
            (integer) 2
            > OBJECT REFCOUNT a
            (integer) 1
            "#,
        );
    }

    #[test]
    fn nothing_is_said_of_keys_that_are_not_there() {
        for subcommand in ["ENCODING", "FREQ", "IDLETIME", "REFCOUNT"] {
            check(&format!("> OBJECT {subcommand} nothing\n(nil)"));
        }
    }
}
