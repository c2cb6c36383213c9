//! Members of sorted sets and what is said of them: scores, ranks, some by chance, and scans.

use bytes::Bytes;

use super::{BASE, Result};
use crate::commands::collections::{ElementScan, RandomElements};
use crate::commands::parse::Args;
use crate::commands::{Argument, ArgumentKind, Command, Flag, KeySpec, Operation, Run};
use crate::keyspace::{Keyspace, Type};
use crate::limits;
use crate::number;
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::types::elements::Elements;
use crate::types::sorted_set;

pub(super) static ZCARD: Command = Command {
    name: "zcard",
    summary: "Get the number of members in a sorted set",
    since: "1.2.0",
    complexity: "O(1)",
    arity: 2,
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[KeySpec::one(1, &["RO"])],
    arguments: &[Argument::key("key", 0)],
    examples: r#"> ZADD myzset 1 one 2 two
(integer) 2
> ZCARD myzset
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
        let zset = Elements::read(keyspace, &self.key, Type::SortedSet)?;
        reply.integer(zset.map_or(0, |zset| zset.len() as i64));
        Ok(())
    }
}

pub(super) static ZSCORE: Command = Command {
    name: "zscore",
    summary: "Get the score associated with the given member in a sorted set",
    since: "1.2.0",
    complexity: "O(1)",
    arity: 3,
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0), Argument::string("member")],
    examples: r#"> ZADD myzset 1.5 one
(integer) 1
> ZSCORE myzset one
"1.5""#,
    run: Run::Storage(|args| Scores::parse(args, false)),
    ..BASE
};

pub(super) static ZMSCORE: Command = Command {
    name: "zmscore",
    summary: "Get the score associated with the given members in a sorted set",
    since: "6.2.0",
    complexity: "O(N) where N is the number of members being requested.",
    arity: -3,
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0), Argument::string("member").multiple()],
    examples: r#"> ZADD myzset 1 one 2 two
(integer) 2
> ZMSCORE myzset one two nofield
1) "1"
2) "2"
3) (nil)"#,
    run: Run::Storage(|args| Scores::parse(args, true)),
    ..BASE
};

/// ZSCORE, and ZMSCORE, which replies an array.
#[derive(Debug)]
struct Scores {
    key: Bytes,
    members: Vec<Bytes>,
    many: bool,
}

impl Scores {
    fn parse(args: &CommandArgs, many: bool) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Scores { key: args.next_bytes()?, members: args.rest(), many }))
    }
}

impl Operation for Scores {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let zset = Elements::read(keyspace, &self.key, Type::SortedSet)?;
        if self.many {
            reply.array(self.members.len());
        }
        for member in &self.members {
            let score = match &zset {
                Some(zset) => sorted_set::score_of(keyspace, zset, member)?,
                None => None,
            };
            match score {
                Some(score) => reply.double(score),
                None => reply.null(),
            }
        }
        Ok(())
    }

    fn is_long(&self) -> bool {
        self.members.len() as u64 > limits::SHORT_WALK_ELEMENTS
    }
}

pub(super) static ZRANK: Command = Command {
    name: "zrank",
    summary: "Determine the index of a member in a sorted set",
    since: "2.0.0",
    complexity: "O(log(N))",
    arity: 3,
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0), Argument::string("member")],
    examples: r#"> ZADD myzset 1 one 2 two 3 three
(integer) 3
> ZRANK myzset three
(integer) 2
> ZRANK myzset four
(nil)"#,
    run: Run::Storage(|args| Rank::parse(args, false)),
    ..BASE
};

pub(super) static ZREVRANK: Command = Command {
    name: "zrevrank",
    summary: "Determine the index of a member in a sorted set, with scores ordered from high to low",
    since: "2.0.0",
    complexity: "O(log(N))",
    arity: 3,
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0), Argument::string("member")],
    examples: r#"> ZADD myzset 1 one 2 two 3 three
(integer) 3
> ZREVRANK myzset one
(integer) 2
> ZREVRANK myzset four
(nil)"#,
    run: Run::Storage(|args| Rank::parse(args, true)),
    ..BASE
};

#[derive(Debug)]
struct Rank {
    key: Bytes,
    member: Bytes,
    reverse: bool,
}

impl Rank {
    fn parse(args: &CommandArgs, reverse: bool) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Rank { key: args.next_bytes()?, member: args.next_bytes()?, reverse }))
    }
}

impl Operation for Rank {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let rank = match Elements::read(keyspace, &self.key, Type::SortedSet)? {
            Some(zset) => sorted_set::rank(keyspace, &zset, &self.member, self.reverse)?,
            None => None,
        };
        match rank {
            Some(rank) => reply.integer(rank as i64),
            None => reply.null(),
        }
        Ok(())
    }
}

pub(super) static ZRANDMEMBER: Command = Command {
    name: "zrandmember",
    summary: "Get one or multiple random elements from a sorted set",
    since: "6.2.0",
    complexity: "O(N) where N is the number of elements returned",
    arity: -2,
    flags: &[Flag::Readonly],
    tips: &["nondeterministic_output"],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[
        Argument::key("key", 0),
        Argument::block(
            "options",
            &[Argument::integer("count"), Argument::flag("withscores", "WITHSCORES").optional()],
        )
        .optional(),
    ],
    examples: r#"> ZADD dadi 1 uno
(integer) 1
> ZRANDMEMBER dadi
"uno"
> ZRANDMEMBER dadi -2
1) "uno"
2) "uno"
> ZRANDMEMBER dadi 5 WITHSCORES
1) "uno"
2) "1""#,
    run: Run::Storage(parse_random),
    ..BASE
};

fn parse_random(args: &CommandArgs) -> Result<Box<dyn Operation>> {
    RandomElements::parse(args, Type::SortedSet, Some("WITHSCORES"), |value, reply| {
        reply.double(sorted_set::decode(value)?);
        Ok(())
    })
}

pub(super) static ZSCAN: Command = Command {
    name: "zscan",
    summary: "Incrementally iterate sorted sets elements and associated scores",
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
    examples: r#"> ZADD myzset 1 one 2.5 two
(integer) 2
> ZSCAN myzset 0
1) "0"
2) 1) "one"
   2) "1"
   3) "two"
   4) "2.5"
> ZSCAN myzset 0 MATCH o* COUNT 100
1) "0"
2) 1) "one"
   2) "1""#,
    run: Run::Storage(parse_scan),
    ..BASE
};

fn parse_scan(args: &CommandArgs) -> Result<Box<dyn Operation>> {
    ElementScan::parse(args, Type::SortedSet, 2, |(member, value), reply| {
        reply.bulk(member);
        reply.bulk(&number::format_f64(sorted_set::decode(value)?));
        Ok(())
    })
}
