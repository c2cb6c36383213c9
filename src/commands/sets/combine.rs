//! Several sets: their union, intersection and difference.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::{BASE, Result, reply_members};
use crate::commands::collections::parse_at_least_one;
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, KeySpec, Operation, Run};
use crate::keyspace::Keyspace;
use crate::number;
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::types::elements::Elements;
use crate::types::set::{self, Combination};

pub(super) static SUNION: Command = Command {
    name: "sunion",
    summary: "Add multiple sets",
    since: "1.0.0",
    complexity: "O(N) where N is the total number of elements in all given sets.",
    arity: -2,
    flags: &[Flag::Readonly],
    tips: &["nondeterministic_output_order"],
    keys: &[KeySpec::range(1, -1, 1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0).multiple()],
    examples: r#"> SADD key1 1 2
(integer) 2
> SADD key2 2 3
(integer) 2
> SUNION key1 key2
1) "1"
2) "2"
3) "3""#,
    run: Run::Storage(|args| Combine::parse(args, Combination::Union)),
    ..BASE
};

pub(super) static SINTER: Command = Command {
    name: "sinter",
    summary: "Intersect multiple sets",
    since: "1.0.0",
    complexity: "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.",
    arity: -2,
    flags: &[Flag::Readonly],
    tips: &["nondeterministic_output_order"],
    keys: &[KeySpec::range(1, -1, 1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0).multiple()],
    examples: r#"> SADD key1 1 2
(integer) 2
> SADD key2 2 3
(integer) 2
> SINTER key1 key2
1) "2""#,
    run: Run::Storage(|args| Combine::parse(args, Combination::Intersection)),
    ..BASE
};

pub(super) static SDIFF: Command = Command {
    name: "sdiff",
    summary: "Subtract multiple sets",
    since: "1.0.0",
    complexity: "O(N) where N is the total number of elements in all given sets.",
    arity: -2,
    flags: &[Flag::Readonly],
    tips: &["nondeterministic_output_order"],
    keys: &[KeySpec::range(1, -1, 1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0).multiple()],
    examples: r#"> SADD key1 1 2
(integer) 2
> SADD key2 2 3
(integer) 2
> SDIFF key1 key2
1) "1""#,
    run: Run::Storage(|args| Combine::parse(args, Combination::Difference)),
    ..BASE
};

#[derive(Debug)]
struct Combine {
    combination: Combination,
    keys: Vec<Bytes>,
}

impl Combine {
    fn parse(args: &CommandArgs, combination: Combination) -> Result<Box<dyn Operation>> {
        Ok(Box::new(Combine { combination, keys: Args::new(args).rest() }))
    }
}

impl Operation for Combine {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let sets = set::read_all(keyspace, &self.keys)?;
        // Then so is the result, and Redis keeps it in order.
        if sets.iter().flatten().all(Elements::is_compact) {
            let mut members = self.combination.collect(keyspace, &sets)?;
            set::sort_integers(&mut members);
            reply_members(reply, &members);
            return Ok(());
        }
        let (header, mut len) = (reply.deferred(), 0);
        self.combination.walk(keyspace, &sets, &mut |member| {
            reply.bulk(member);
            len += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        reply.finish_set(header, len);
        Ok(())
    }
}

pub(super) static SUNIONSTORE: Command = Command {
    name: "sunionstore",
    summary: "Add multiple sets and store the resulting set in a key",
    since: "1.0.0",
    complexity: "O(N) where N is the total number of elements in all given sets.",
    arity: -3,
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[KeySpec::one(1, &["OW", "update"]), KeySpec::range(2, -1, 1, &["RO", "access"])],
    arguments: &[Argument::key("destination", 0), Argument::key("key", 1).multiple()],
    examples: r#"> SADD key1 1 2
(integer) 2
> SADD key2 2 3
(integer) 2
> SUNIONSTORE key key1 key2
(integer) 3
> SMEMBERS key
1) "1"
2) "2"
3) "3""#,
    run: Run::Storage(|args| Store::parse(args, Combination::Union)),
    ..BASE
};

pub(super) static SINTERSTORE: Command = Command {
    name: "sinterstore",
    summary: "Intersect multiple sets and store the resulting set in a key",
    since: "1.0.0",
    complexity: "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.",
    arity: -3,
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[KeySpec::one(1, &["RW", "update"]), KeySpec::range(2, -1, 1, &["RO", "access"])],
    arguments: &[Argument::key("destination", 0), Argument::key("key", 1).multiple()],
    examples: r#"> SADD key1 1 2
(integer) 2
> SADD key2 2 3
(integer) 2
> SINTERSTORE key key1 key2
(integer) 1
> SMEMBERS key
1) "2""#,
    run: Run::Storage(|args| Store::parse(args, Combination::Intersection)),
    ..BASE
};

pub(super) static SDIFFSTORE: Command = Command {
    name: "sdiffstore",
    summary: "Subtract multiple sets and store the resulting set in a key",
    since: "1.0.0",
    complexity: "O(N) where N is the total number of elements in all given sets.",
    arity: -3,
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[KeySpec::one(1, &["OW", "update"]), KeySpec::range(2, -1, 1, &["RO", "access"])],
    arguments: &[Argument::key("destination", 0), Argument::key("key", 1).multiple()],
    examples: r#"> SADD key1 1 2
(integer) 2
> SADD key2 2 3
(integer) 2
> SDIFFSTORE key key1 key2
(integer) 1
> SMEMBERS key
1) "1""#,
    run: Run::Storage(|args| Store::parse(args, Combination::Difference)),
    ..BASE
};

#[derive(Debug)]
struct Store {
    combination: Combination,
    destination: Bytes,
    keys: Vec<Bytes>,
}

impl Store {
    fn parse(args: &CommandArgs, combination: Combination) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Store { combination, destination: args.next_bytes()?, keys: args.rest() }))
    }
}

impl Operation for Store {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let sets = set::read_all(keyspace, &self.keys)?;
        reply.integer(self.combination.store(keyspace, &self.destination, &sets)? as i64);
        Ok(())
    }
}

pub(super) static SINTERCARD: Command = Command {
    name: "sintercard",
    summary: "Intersect multiple sets and return the cardinality of the result",
    since: "7.0.0",
    complexity: "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.",
    arity: -3,
    flags: &[Flag::Readonly, Flag::Movablekeys],
    keys: &[KeySpec::counted(1, &["RO", "access"])],
    arguments: &[
        Argument::integer("numkeys"),
        Argument::key("key", 0).multiple(),
        Argument::integer("limit").token("LIMIT").optional(),
    ],
    examples: r#"> SADD key1 a b c d
(integer) 4
> SADD key2 c d e
(integer) 3
> SINTERCARD 2 key1 key2
(integer) 2
> SINTERCARD 2 key1 key2 LIMIT 1
(integer) 1"#,
    run: Run::Storage(InterCard::parse),
    ..BASE
};

#[derive(Debug)]
struct InterCard {
    keys: Vec<Bytes>,
    /// 0: none.
    limit: u64,
}

impl InterCard {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let count = parse_at_least_one(args.next()?, "ERR numkeys should be greater than 0")?;
        if count > args.remaining() as u64 {
            return Err(CommandError::custom("ERR Number of keys can't be greater than number of args"));
        }
        let keys = (0..count).map(|_| args.next_bytes()).collect::<Result<_>>()?;
        Ok(Box::new(InterCard { keys, limit: parse_limit(&mut args)? }))
    }
}

/// LIMIT of SINTERCARD and ZINTERCARD; 0: none.
pub(in crate::commands) fn parse_limit(args: &mut Args<'_>) -> Result<u64> {
    let mut limit = 0;
    while !args.is_done() {
        if args.remaining() == 1 || !args.take_word("LIMIT") {
            return Err(CommandError::Syntax);
        }
        let number = number::parse_i64(args.next()?).and_then(|number| u64::try_from(number).ok());
        limit = number.ok_or_else(|| CommandError::custom("ERR LIMIT can't be negative"))?;
    }
    Ok(limit)
}

impl Operation for InterCard {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let sets = set::read_all(keyspace, &self.keys)?;
        let mut found = 0;
        Combination::Intersection.walk(keyspace, &sets, &mut |_| {
            found += 1;
            Ok(if found == self.limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        reply.integer(found as i64);
        Ok(())
    }
}
