//! Single fields of hashes: HSET, HGET and their like, counters.

use bytes::Bytes;

use super::{BASE, Result};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, KeySpec, Operation, Run};
use crate::keyspace::{Keyspace, Type};
use crate::limits;
use crate::number::LongDouble;
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::types::elements::Elements;
use crate::types::hash;

pub(super) static HSET: Command = Command {
    name: "hset",
    summary: "Set the string value of a hash field",
    since: "2.0.0",
    complexity: "O(1) for each field/value pair added, so O(N) to add N field/value pairs when the command is called with multiple field/value pairs.",
    arity: -4,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "update"])],
    history: &[("4.0.0", "Accepts multiple `field` and `value` arguments.")],
    arguments: &[
        Argument::key("key", 0),
        Argument::block("field_value", &[Argument::string("field"), Argument::string("value")]).multiple(),
    ],
    examples: r#"> HSET myhash field1 Hello
(integer) 1
> HSET myhash field1 World field2 !
(integer) 1
> HGETALL myhash
1) "field1"
2) "World"
3) "field2"
4) "!""#,
    run: Run::Storage(|args| Set::parse(args, "hset")),
    ..BASE
};

pub(super) static HMSET: Command = Command {
    name: "hmset",
    summary: "Set multiple hash fields to multiple values",
    since: "2.0.0",
    complexity: "O(N) where N is the number of fields being set.",
    arity: -4,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "update"])],
    deprecated: Some(("4.0.0", "`HSET` with multiple field-value pairs")),
    arguments: &[
        Argument::key("key", 0),
        Argument::block("field_value", &[Argument::string("field"), Argument::string("value")]).multiple(),
    ],
    examples: r#"> HMSET myhash field1 Hello field2 World
OK
> HGET myhash field2
"World""#,
    run: Run::Storage(|args| Set::parse(args, "hmset")),
    ..BASE
};

/// HSET, and HMSET, which replies OK.
#[derive(Debug)]
struct Set {
    key: Bytes,
    pairs: Vec<(Bytes, Bytes)>,
    count: bool,
}

impl Set {
    fn parse(args: &CommandArgs, command: &str) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let key = args.next_bytes()?;
        if !args.remaining().is_multiple_of(2) {
            return Err(CommandError::Arity(command.to_string()));
        }
        let mut pairs = Vec::with_capacity(args.remaining() / 2);
        while !args.is_done() {
            pairs.push((args.next_bytes()?, args.next_bytes()?));
        }
        Ok(Box::new(Set { key, pairs, count: command == "hset" }))
    }
}

impl Operation for Set {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let new = hash::set(keyspace, &self.key, &self.pairs)?;
        match self.count {
            true => reply.integer(new as i64),
            false => reply.ok(),
        }
        Ok(())
    }
}

pub(super) static HSETNX: Command = Command {
    name: "hsetnx",
    summary: "Set the value of a hash field, only if the field does not exist",
    since: "2.0.0",
    complexity: "O(1)",
    arity: 4,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "insert"])],
    arguments: &[Argument::key("key", 0), Argument::string("field"), Argument::string("value")],
    examples: r#"> HSETNX myhash field Hello
(integer) 1
> HSETNX myhash field World
(integer) 0
> HGET myhash field
"Hello""#,
    run: Run::Storage(SetIfAbsent::parse),
    ..BASE
};

#[derive(Debug)]
struct SetIfAbsent {
    key: Bytes,
    field: Bytes,
    value: Bytes,
}

impl SetIfAbsent {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let (key, field, value) = (args.next_bytes()?, args.next_bytes()?, args.next_bytes()?);
        Ok(Box::new(SetIfAbsent { key, field, value }))
    }
}

impl Operation for SetIfAbsent {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let set = hash::set_if_absent(keyspace, &self.key, &self.field, &self.value)?;
        reply.integer(i64::from(set));
        Ok(())
    }
}

pub(super) static HGET: Command = Command {
    name: "hget",
    summary: "Get the value of a hash field",
    since: "2.0.0",
    complexity: "O(1)",
    arity: 3,
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0), Argument::string("field")],
    examples: r#"> HSET myhash field1 foo
(integer) 1
> HGET myhash field1
"foo"
> HGET myhash field2
(nil)"#,
    run: Run::Storage(|args| Field::parse(args, get)),
    ..BASE
};

pub(super) static HEXISTS: Command = Command {
    name: "hexists",
    summary: "Determine if a hash field exists",
    since: "2.0.0",
    complexity: "O(1)",
    arity: 3,
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[KeySpec::one(1, &["RO"])],
    arguments: &[Argument::key("key", 0), Argument::string("field")],
    examples: r#"> HSET myhash field1 foo
(integer) 1
> HEXISTS myhash field1
(integer) 1
> HEXISTS myhash field2
(integer) 0"#,
    run: Run::Storage(|args| Field::parse(args, exists)),
    ..BASE
};

pub(super) static HSTRLEN: Command = Command {
    name: "hstrlen",
    summary: "Get the length of the value of a hash field",
    since: "3.2.0",
    complexity: "O(1)",
    arity: 3,
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[KeySpec::one(1, &["RO"])],
    arguments: &[Argument::key("key", 0), Argument::string("field")],
    examples: r#"> HSET myhash f1 HelloWorld f2 99
(integer) 2
> HSTRLEN myhash f1
(integer) 10
> HSTRLEN myhash f3
(integer) 0"#,
    run: Run::Storage(|args| Field::parse(args, strlen)),
    ..BASE
};

/// A command that answers something about the value of one field.
#[derive(Debug)]
struct Field {
    key: Bytes,
    field: Bytes,
    answer: fn(Option<Bytes>, &mut ReplyBuffer),
}

impl Field {
    fn parse(args: &CommandArgs, answer: fn(Option<Bytes>, &mut ReplyBuffer)) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Field { key: args.next_bytes()?, field: args.next_bytes()?, answer }))
    }
}

impl Operation for Field {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let value = match Elements::read(keyspace, &self.key, Type::Hash)? {
            Some(hash) => hash.get(keyspace, &self.field)?,
            None => None,
        };
        (self.answer)(value, reply);
        Ok(())
    }
}

fn get(value: Option<Bytes>, reply: &mut ReplyBuffer) {
    match value {
        Some(value) => reply.bulk(&value),
        None => reply.null(),
    }
}

fn exists(value: Option<Bytes>, reply: &mut ReplyBuffer) {
    reply.integer(i64::from(value.is_some()));
}

fn strlen(value: Option<Bytes>, reply: &mut ReplyBuffer) {
    reply.integer(value.map_or(0, |value| value.len() as i64));
}

pub(super) static HMGET: Command = Command {
    name: "hmget",
    summary: "Get the values of all the given hash fields",
    since: "2.0.0",
    complexity: "O(N) where N is the number of fields being requested.",
    arity: -3,
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0), Argument::string("field").multiple()],
    examples: r#"> HSET myhash field1 Hello field2 World
(integer) 2
> HMGET myhash field1 field2 nofield
1) "Hello"
2) "World"
3) (nil)"#,
    run: Run::Storage(GetMany::parse),
    ..BASE
};

#[derive(Debug)]
struct GetMany {
    key: Bytes,
    fields: Vec<Bytes>,
}

impl GetMany {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(GetMany { key: args.next_bytes()?, fields: args.rest() }))
    }
}

impl Operation for GetMany {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let hash = Elements::read(keyspace, &self.key, Type::Hash)?;
        reply.array(self.fields.len());
        for field in &self.fields {
            let value = match &hash {
                Some(hash) => hash.get(keyspace, field)?,
                None => None,
            };
            get(value, reply);
        }
        Ok(())
    }

    fn is_long(&self) -> bool {
        self.fields.len() as u64 > limits::SHORT_WALK_ELEMENTS
    }
}

pub(super) static HDEL: Command = Command {
    name: "hdel",
    summary: "Delete one or more hash fields",
    since: "2.0.0",
    complexity: "O(N) where N is the number of fields to be removed.",
    arity: -3,
    flags: &[Flag::Write, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "delete"])],
    history: &[("2.4.0", "Accepts multiple `field` arguments.")],
    arguments: &[Argument::key("key", 0), Argument::string("field").multiple()],
    examples: r#"> HSET myhash field1 foo
(integer) 1
> HDEL myhash field1 field2
(integer) 1
> EXISTS myhash
(integer) 0"#,
    run: Run::Storage(Delete::parse),
    ..BASE
};

#[derive(Debug)]
struct Delete {
    key: Bytes,
    fields: Vec<Bytes>,
}

impl Delete {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Delete { key: args.next_bytes()?, fields: args.rest() }))
    }
}

impl Operation for Delete {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        reply.integer(hash::remove(keyspace, &self.key, &self.fields)? as i64);
        Ok(())
    }
}

pub(super) static HINCRBY: Command = Command {
    name: "hincrby",
    summary: "Increment the integer value of a hash field by the given number",
    since: "2.0.0",
    complexity: "O(1)",
    arity: 4,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "access", "update"])],
    arguments: &[Argument::key("key", 0), Argument::string("field"), Argument::integer("increment")],
    examples: r#"> HSET myhash field 5
(integer) 1
> HINCRBY myhash field 1
(integer) 6
> HINCRBY myhash field -10
(integer) -4"#,
    run: Run::Storage(Increment::parse),
    ..BASE
};

#[derive(Debug)]
struct Increment {
    key: Bytes,
    field: Bytes,
    by: i64,
}

impl Increment {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Increment { key: args.next_bytes()?, field: args.next_bytes()?, by: args.next_i64()? }))
    }
}

impl Operation for Increment {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        reply.integer(hash::increment(keyspace, &self.key, &self.field, self.by)?);
        Ok(())
    }
}

pub(super) static HINCRBYFLOAT: Command = Command {
    name: "hincrbyfloat",
    summary: "Increment the float value of a hash field by the given amount",
    since: "2.6.0",
    complexity: "O(1)",
    arity: 4,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "access", "update"])],
    arguments: &[Argument::key("key", 0), Argument::string("field"), Argument::double("increment")],
    examples: r#"> HSET mykey field 10.50
(integer) 1
> HINCRBYFLOAT mykey field 0.1
"10.6"
> HINCRBYFLOAT mykey field -5
"5.6"
> HSET mykey field 5.0e3
(integer) 0
> HINCRBYFLOAT mykey field 2.0e2
"5200""#,
    run: Run::Storage(IncrementFloat::parse),
    ..BASE
};

#[derive(Debug)]
struct IncrementFloat {
    key: Bytes,
    field: Bytes,
    by: LongDouble,
}

impl IncrementFloat {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let (key, field) = (args.next_bytes()?, args.next_bytes()?);
        let by = LongDouble::parse(args.next()?).ok_or(CommandError::NotFloat)?;
        if by.is_nan_or_infinite() {
            return Err(CommandError::custom("ERR value is NaN or Infinity"));
        }
        Ok(Box::new(IncrementFloat { key, field, by }))
    }
}

impl Operation for IncrementFloat {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        reply.bulk(&hash::increment_float(keyspace, &self.key, &self.field, self.by)?);
        Ok(())
    }
}
