//! Single sets: their members, some by chance, and scans.

use bytes::Bytes;

use super::{BASE, Result, reply_members};
use crate::commands::collections::{ElementScan, RandomElements, parse_positive};
use crate::commands::parse::Args;
use crate::commands::{Argument, ArgumentKind, Command, Flag, KeySpec, Operation, Run};
use crate::keyspace::{Keyspace, Type};
use crate::limits;
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::types::elements::Elements;
use crate::types::set;

pub(super) static SADD: Command = Command {
    name: "sadd",
    summary: "Add one or more members to a set",
    since: "1.0.0",
    complexity: "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.",
    arity: -3,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "insert"])],
    history: &[("2.4.0", "Accepts multiple `member` arguments.")],
    arguments: &[Argument::key("key", 0), Argument::string("member").multiple()],
    examples: r#"> SADD myset Hello World
(integer) 2
> SADD myset World !
(integer) 1
> SCARD myset
(integer) 3"#,
    run: Run::Storage(|args| Change::parse(args, set::add)),
    ..BASE
};

pub(super) static SREM: Command = Command {
    name: "srem",
    summary: "Remove one or more members from a set",
    since: "1.0.0",
    complexity: "O(N) where N is the number of members to be removed.",
    arity: -3,
    flags: &[Flag::Write, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "delete"])],
    history: &[("2.4.0", "Accepts multiple `member` arguments.")],
    arguments: &[Argument::key("key", 0), Argument::string("member").multiple()],
    examples: r#"> SADD myset one two three
(integer) 3
> SREM myset one four
(integer) 1
> SCARD myset
(integer) 2"#,
    run: Run::Storage(|args| Change::parse(args, set::remove)),
    ..BASE
};

/// SADD and SREM, which reply how many members that made a difference to.
#[derive(Debug)]
struct Change {
    key: Bytes,
    members: Vec<Bytes>,
    change: fn(&mut Keyspace<'_>, &Bytes, &[Bytes]) -> Result<u64>,
}

impl Change {
    fn parse(
        args: &CommandArgs,
        change: fn(&mut Keyspace<'_>, &Bytes, &[Bytes]) -> Result<u64>,
    ) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Change { key: args.next_bytes()?, members: args.rest(), change }))
    }
}

impl Operation for Change {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        reply.integer((self.change)(keyspace, &self.key, &self.members)? as i64);
        Ok(())
    }
}

pub(super) static SMOVE: Command = Command {
    name: "smove",
    summary: "Move a member from one set to another",
    since: "1.0.0",
    complexity: "O(1)",
    arity: 4,
    flags: &[Flag::Write, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "access", "delete"]), KeySpec::one(2, &["RW", "insert"])],
    arguments: &[Argument::key("source", 0), Argument::key("destination", 1), Argument::string("member")],
    examples: r#"> SADD myset one two
(integer) 2
> SADD myotherset three
(integer) 1
> SMOVE myset myotherset two
(integer) 1
> SMISMEMBER myotherset two three
1) (integer) 1
2) (integer) 1"#,
    run: Run::Storage(Move::parse),
    ..BASE
};

#[derive(Debug)]
struct Move {
    from: Bytes,
    to: Bytes,
    member: Bytes,
}

impl Move {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Move { from: args.next_bytes()?, to: args.next_bytes()?, member: args.next_bytes()? }))
    }
}

impl Operation for Move {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        reply.integer(i64::from(set::move_member(keyspace, &self.from, &self.to, &self.member)?));
        Ok(())
    }
}

pub(super) static SCARD: Command = Command {
    name: "scard",
    summary: "Get the number of members in a set",
    since: "1.0.0",
    complexity: "O(1)",
    arity: 2,
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[KeySpec::one(1, &["RO"])],
    arguments: &[Argument::key("key", 0)],
    examples: r#"> SADD myset Hello World
(integer) 2
> SCARD myset
(integer) 2"#,
    run: Run::Storage(Card::parse),
    ..BASE
};

#[derive(Debug)]
struct Card {
    key: Bytes,
}

impl Card {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        Ok(Box::new(Card { key: Args::new(args).next_bytes()? }))
    }
}

impl Operation for Card {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let set = Elements::read(keyspace, &self.key, Type::Set)?;
        reply.integer(set.map_or(0, |set| set.len() as i64));
        Ok(())
    }
}

pub(super) static SISMEMBER: Command = Command {
    name: "sismember",
    summary: "Determine if a given value is a member of a set",
    since: "1.0.0",
    complexity: "O(1)",
    arity: 3,
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[KeySpec::one(1, &["RO"])],
    arguments: &[Argument::key("key", 0), Argument::string("member")],
    examples: r#"> SADD myset one
(integer) 1
> SISMEMBER myset one
(integer) 1
> SISMEMBER myset two
(integer) 0"#,
    run: Run::Storage(|args| IsMember::parse(args, false)),
    ..BASE
};

pub(super) static SMISMEMBER: Command = Command {
    name: "smismember",
    summary: "Returns the membership associated with the given elements for a set",
    since: "6.2.0",
    complexity: "O(N) where N is the number of elements being checked for membership",
    arity: -3,
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0), Argument::string("member").multiple()],
    examples: r#"> SADD myset one
(integer) 1
> SMISMEMBER myset one notamember
1) (integer) 1
2) (integer) 0"#,
    run: Run::Storage(|args| IsMember::parse(args, true)),
    ..BASE
};

/// SISMEMBER, and SMISMEMBER, which replies an array.
#[derive(Debug)]
struct IsMember {
    key: Bytes,
    members: Vec<Bytes>,
    many: bool,
}

impl IsMember {
    fn parse(args: &CommandArgs, many: bool) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(IsMember { key: args.next_bytes()?, members: args.rest(), many }))
    }
}

impl Operation for IsMember {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let set = Elements::read(keyspace, &self.key, Type::Set)?;
        if self.many {
            reply.array(self.members.len());
        }
        for member in &self.members {
            let is_member = match &set {
                Some(set) => set.get(keyspace, member)?.is_some(),
                None => false,
            };
            reply.integer(i64::from(is_member));
        }
        Ok(())
    }

    fn is_long(&self) -> bool {
        self.members.len() as u64 > limits::SHORT_WALK_ELEMENTS
    }
}

pub(super) static SMEMBERS: Command = Command {
    name: "smembers",
    summary: "Get all the members in a set",
    since: "1.0.0",
    complexity: "O(N) where N is the set cardinality.",
    arity: 2,
    flags: &[Flag::Readonly],
    tips: &["nondeterministic_output_order"],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0)],
    examples: r#"> SADD myset 3 1 2
(integer) 3
> SMEMBERS myset
1) "1"
2) "2"
3) "3""#,
    run: Run::Storage(Members::parse),
    ..BASE
};

#[derive(Debug)]
struct Members {
    key: Bytes,
}

impl Members {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        Ok(Box::new(Members { key: Args::new(args).next_bytes()? }))
    }
}

impl Operation for Members {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        match Elements::read(keyspace, &self.key, Type::Set)? {
            Some(set) if set.is_compact() => reply_members(reply, &set::members(keyspace, &set)?),
            Some(set) => {
                reply.set(set.len() as usize);
                set.for_each(keyspace, |member, _| reply.bulk(member))?;
            }
            None => reply.set(0),
        }
        Ok(())
    }
}

pub(super) static SPOP: Command = Command {
    name: "spop",
    summary: "Remove and return one or multiple random members from a set",
    since: "1.0.0",
    complexity: "Without the count argument O(1), otherwise O(N) where N is the value of the passed count.",
    arity: -2,
    flags: &[Flag::Write, Flag::Fast],
    tips: &["nondeterministic_output"],
    keys: &[KeySpec::one(1, &["RW", "access", "delete"])],
    history: &[("3.2.0", "Added the `count` argument.")],
    arguments: &[Argument::key("key", 0), Argument::integer("count").since("3.2.0").optional()],
    examples: r#"> SADD myset one
(integer) 1
> SPOP myset
"one"
> SADD myset 1 2 3
(integer) 3
> SPOP myset 5
1) "1"
2) "2"
3) "3"
> EXISTS myset
(integer) 0"#,
    run: Run::Storage(Pop::parse),
    ..BASE
};

#[derive(Debug)]
struct Pop {
    key: Bytes,
    count: Option<u64>,
}

impl Pop {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let key = args.next_bytes()?;
        let count = match args.remaining() {
            1 => Some(parse_positive(args.next()?)?),
            _ => None,
        };
        args.finish()?;
        Ok(Box::new(Pop { key, count }))
    }
}

impl Operation for Pop {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        match self.count {
            Some(count) => reply_members(reply, &set::pop_many(keyspace, &self.key, count)?),
            None => match set::pop(keyspace, &self.key)? {
                Some(member) => reply.bulk(&member),
                None => reply.null(),
            },
        }
        Ok(())
    }
}

pub(super) static SRANDMEMBER: Command = Command {
    name: "srandmember",
    summary: "Get one or multiple random members from a set",
    since: "1.0.0",
    complexity: "Without the count argument O(1), otherwise O(N) where N is the absolute value of the passed count.",
    arity: -2,
    flags: &[Flag::Readonly],
    tips: &["nondeterministic_output"],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    history: &[("2.6.0", "Added the optional `count` argument.")],
    arguments: &[Argument::key("key", 0), Argument::integer("count").since("2.6.0").optional()],
    examples: r#"> SADD myset one
(integer) 1
> SRANDMEMBER myset
"one"
> SRANDMEMBER myset -2
1) "one"
2) "one"
> SRANDMEMBER nothing
(nil)"#,
    run: Run::Storage(parse_random),
    ..BASE
};

fn parse_random(args: &CommandArgs) -> Result<Box<dyn Operation>> {
    RandomElements::parse(args, Type::Set, None, |_, _| Ok(()))
}

pub(super) static SSCAN: Command = Command {
    name: "sscan",
    summary: "Incrementally iterate Set elements",
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
    examples: r#"> SADD myset 1 2
(integer) 2
> SSCAN myset 0
1) "0"
2) 1) "1"
   2) "2"
> SSCAN myset 0 MATCH 1* COUNT 100
1) "0"
2) 1) "1""#,
    run: Run::Storage(parse_scan),
    ..BASE
};

fn parse_scan(args: &CommandArgs) -> Result<Box<dyn Operation>> {
    ElementScan::parse(args, Type::Set, 1, |(member, _), reply| {
        reply.bulk(member);
        Ok(())
    })
}
