//! Whole hashes: their size, all of their fields, some by chance, and scans.

use bytes::Bytes;

use super::{BASE, Result};
use crate::commands::collections::{ElementScan, RandomElements};
use crate::commands::parse::Args;
use crate::commands::{Argument, ArgumentKind, Command, Flag, KeySpec, Operation, Run};
use crate::keyspace::{Keyspace, Type};
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::types::elements::Elements;

pub(super) static HLEN: Command = Command {
    name: "hlen",
    summary: "Get the number of fields in a hash",
    since: "2.0.0",
    complexity: "O(1)",
    arity: 2,
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[KeySpec::one(1, &["RO"])],
    arguments: &[Argument::key("key", 0)],
    examples: r#"> HSET myhash field1 Hello field2 World
(integer) 2
> HLEN myhash
(integer) 2"#,
    run: Run::Storage(Len::parse),
    ..BASE
};

#[derive(Debug)]
struct Len {
    key: Bytes,
}

impl Len {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        Ok(Box::new(Len { key: Args::new(args).next_bytes()? }))
    }
}

impl Operation for Len {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let hash = Elements::read(keyspace, &self.key, Type::Hash)?;
        reply.integer(hash.map_or(0, |hash| hash.len() as i64));
        Ok(())
    }
}

pub(super) static HGETALL: Command = Command {
    name: "hgetall",
    summary: "Get all the fields and values in a hash",
    since: "2.0.0",
    complexity: "O(N) where N is the size of the hash.",
    arity: 2,
    flags: &[Flag::Readonly],
    tips: &["nondeterministic_output_order"],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0)],
    examples: r#"> HSET myhash field1 Hello field2 World
(integer) 2
> HGETALL myhash
1) "field1"
2) "Hello"
3) "field2"
4) "World""#,
    run: Run::Storage(|args| All::parse(args, true, true)),
    ..BASE
};

pub(super) static HKEYS: Command = Command {
    name: "hkeys",
    summary: "Get all the fields in a hash",
    since: "2.0.0",
    complexity: "O(N) where N is the size of the hash.",
    arity: 2,
    flags: &[Flag::Readonly],
    tips: &["nondeterministic_output_order"],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0)],
    examples: r#"> HSET myhash field1 Hello field2 World
(integer) 2
> HKEYS myhash
1) "field1"
2) "field2""#,
    run: Run::Storage(|args| All::parse(args, true, false)),
    ..BASE
};

pub(super) static HVALS: Command = Command {
    name: "hvals",
    summary: "Get all the values in a hash",
    since: "2.0.0",
    complexity: "O(N) where N is the size of the hash.",
    arity: 2,
    flags: &[Flag::Readonly],
    tips: &["nondeterministic_output_order"],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0)],
    examples: r#"> HSET myhash field1 Hello field2 World
(integer) 2
> HVALS myhash
1) "Hello"
2) "World""#,
    run: Run::Storage(|args| All::parse(args, false, true)),
    ..BASE
};

/// HGETALL, HKEYS, HVALS.
#[derive(Debug)]
struct All {
    key: Bytes,
    fields: bool,
    values: bool,
}

impl All {
    fn parse(args: &CommandArgs, fields: bool, values: bool) -> Result<Box<dyn Operation>> {
        Ok(Box::new(All { key: Args::new(args).next_bytes()?, fields, values }))
    }
}

impl Operation for All {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let hash = Elements::read(keyspace, &self.key, Type::Hash)?;
        let len = hash.as_ref().map_or(0, |hash| hash.len() as usize);
        match self.fields && self.values {
            true => reply.map(len),
            false => reply.array(len),
        }
        let Some(hash) = hash else { return Ok(()) };
        hash.for_each(keyspace, |field, value| {
            if self.fields {
                reply.bulk(field);
            }
            if self.values {
                reply.bulk(value);
            }
        })
    }
}

pub(super) static HRANDFIELD: Command = Command {
    name: "hrandfield",
    summary: "Get one or multiple random fields from a hash",
    since: "6.2.0",
    complexity: "O(N) where N is the number of fields returned",
    arity: -2,
    flags: &[Flag::Readonly],
    tips: &["nondeterministic_output"],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[
        Argument::key("key", 0),
        Argument::block(
            "options",
            &[Argument::integer("count"), Argument::flag("withvalues", "WITHVALUES").optional()],
        )
        .optional(),
    ],
    examples: r#"> HSET coin heads obverse
(integer) 1
> HRANDFIELD coin
"heads"
> HRANDFIELD coin -3
1) "heads"
2) "heads"
3) "heads"
> HRANDFIELD coin 5 WITHVALUES
1) "heads"
2) "obverse""#,
    run: Run::Storage(parse_random),
    ..BASE
};

fn parse_random(args: &CommandArgs) -> Result<Box<dyn Operation>> {
    RandomElements::parse(args, Type::Hash, Some("WITHVALUES"), |value, reply| {
        reply.bulk(value);
        Ok(())
    })
}

pub(super) static HSCAN: Command = Command {
    name: "hscan",
    summary: "Incrementally iterate hash fields and associated values",
    since: "2.8.0",
    complexity: "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection..",
    arity: -3,
    flags: &[Flag::Readonly],
    tips: &["nondeterministic_output"],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[
        Argument::key("key", 0),
        Argument::integer("cursor"),
        Argument::new("pattern", ArgumentKind::Pattern).token("MATCH").optional(),
        Argument::integer("count").token("COUNT").optional(),
    ],
    examples: r#"> HSET myhash name Jack age 33
(integer) 2
> HSCAN myhash 0
1) "0"
2) 1) "name"
   2) "Jack"
   3) "age"
   4) "33"
> HSCAN myhash 0 MATCH n* COUNT 100
1) "0"
2) 1) "name"
   2) "Jack""#,
    run: Run::Storage(parse_scan),
    ..BASE
};

fn parse_scan(args: &CommandArgs) -> Result<Box<dyn Operation>> {
    ElementScan::parse(args, Type::Hash, 2, |(field, value), reply| {
        reply.bulk(field);
        reply.bulk(value);
        Ok(())
    })
}
