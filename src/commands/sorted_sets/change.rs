//! Changing sorted sets: members come, get other scores, and go.

use bytes::Bytes;

use super::range::{Order, parse_range};
use super::{BASE, Result};
use crate::commands::collections::{parse_at_least_one, parse_positive};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, KeySpec, Operation, Run};
use crate::keyspace::Keyspace;
use crate::resp::{CommandArgs, Protocol, ReplyBuffer};
use crate::types::sorted_set::{self, AddOptions, End, Range, Scored};

pub(super) static ZADD: Command = Command {
    name: "zadd",
    summary: "Add one or more members to a sorted set, or update its score if it already exists",
    since: "1.2.0",
    complexity: "O(log(N)) for each item added, where N is the number of elements in the sorted set.",
    arity: -4,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "update"])],
    history: &[
        ("2.4.0", "Accepts multiple elements."),
        ("3.0.2", "Added the `XX`, `NX`, `CH` and `INCR` options."),
        ("6.2.0", "Added the `GT` and `LT` options."),
    ],
    arguments: &[
        Argument::key("key", 0),
        Argument::one_of("condition", &[Argument::flag("nx", "NX"), Argument::flag("xx", "XX")])
            .since("3.0.2")
            .optional(),
        Argument::one_of("comparison", &[Argument::flag("gt", "GT"), Argument::flag("lt", "LT")])
            .since("6.2.0")
            .optional(),
        Argument::flag("change", "CH").since("3.0.2").optional(),
        Argument::flag("increment", "INCR").since("3.0.2").optional(),
        Argument::block("score_member", &[Argument::double("score"), Argument::string("member")]).multiple(),
    ],
    examples: r#"> ZADD myzset 1 one 2 two
(integer) 2
> ZADD myzset NX 5 one 3 three
(integer) 1
> ZADD myzset GT CH 1 two 9 three
(integer) 1
> ZRANGE myzset 0 -1 WITHSCORES
1) "one"
2) "1"
3) "two"
4) "2"
5) "three"
6) "9""#,
    run: Run::Storage(|args| Add::parse(args, false)),
    ..BASE
};

pub(super) static ZINCRBY: Command = Command {
    name: "zincrby",
    summary: "Increment the score of a member in a sorted set",
    since: "1.2.0",
    complexity: "O(log(N)) where N is the number of elements in the sorted set.",
    arity: 4,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "access", "update"])],
    arguments: &[Argument::key("key", 0), Argument::integer("increment"), Argument::string("member")],
    examples: r#"> ZADD myzset 1 one
(integer) 1
> ZINCRBY myzset 2.5 one
"3.5""#,
    run: Run::Storage(|args| Add::parse(args, true)),
    ..BASE
};

#[derive(Debug)]
struct Add {
    key: Bytes,
    members: Vec<Scored>,
    options: AddOptions,
    /// CH
    count_updated: bool,
}

impl Add {
    fn parse(args: &CommandArgs, increment: bool) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let key = args.next_bytes()?;
        let (mut options, mut count_updated) = (AddOptions { increment, ..AddOptions::default() }, false);
        loop {
            let flag = match () {
                () if args.take_word("NX") => &mut options.only_new,
                () if args.take_word("XX") => &mut options.only_existing,
                () if args.take_word("GT") => &mut options.only_greater,
                () if args.take_word("LT") => &mut options.only_less,
                () if args.take_word("INCR") => &mut options.increment,
                () if args.take_word("CH") => &mut count_updated,
                () => break,
            };
            *flag = true;
        }
        if args.is_done() || !args.remaining().is_multiple_of(2) {
            return Err(CommandError::Syntax);
        }
        let AddOptions { only_new, only_existing, only_greater, only_less, increment } = options;
        if only_new && only_existing {
            return Err(CommandError::custom("ERR XX and NX options at the same time are not compatible"));
        }
        if (only_greater || only_less) && only_new || only_greater && only_less {
            return Err(CommandError::custom("ERR GT, LT, and/or NX options at the same time are not compatible"));
        }
        if increment && args.remaining() > 2 {
            return Err(CommandError::custom("ERR INCR option supports a single increment-element pair"));
        }
        let mut members = Vec::with_capacity(args.remaining() / 2);
        while !args.is_done() {
            let score = args.next_f64()?;
            members.push((args.next_bytes()?, score));
        }
        Ok(Box::new(Add { key, members, options, count_updated }))
    }
}

impl Operation for Add {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let added = sorted_set::add(keyspace, &self.key, &self.members, self.options)?;
        match (self.options.increment, added.score) {
            (true, Some(score)) => reply.double(score),
            (true, None) => reply.null(),
            (false, _) => reply.integer((added.new + if self.count_updated { added.updated } else { 0 }) as i64),
        }
        Ok(())
    }
}

pub(super) static ZREM: Command = Command {
    name: "zrem",
    summary: "Remove one or more members from a sorted set",
    since: "1.2.0",
    complexity: "O(M*log(N)) with N being the number of elements in the sorted set and M the number of elements to be removed.",
    arity: -3,
    flags: &[Flag::Write, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "delete"])],
    history: &[("2.4.0", "Accepts multiple elements.")],
    arguments: &[Argument::key("key", 0), Argument::string("member").multiple()],
    examples: r#"> ZADD myzset 1 one 2 two
(integer) 2
> ZREM myzset one three
(integer) 1
> ZCARD myzset
(integer) 1"#,
    run: Run::Storage(Remove::parse),
    ..BASE
};

#[derive(Debug)]
struct Remove {
    key: Bytes,
    members: Vec<Bytes>,
}

impl Remove {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Remove { key: args.next_bytes()?, members: args.rest() }))
    }
}

impl Operation for Remove {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        reply.integer(sorted_set::remove(keyspace, &self.key, &self.members)? as i64);
        Ok(())
    }
}

pub(super) static ZREMRANGEBYRANK: Command = Command {
    name: "zremrangebyrank",
    summary: "Remove all members in a sorted set within the given indexes",
    since: "2.0.0",
    complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.",
    arity: 4,
    flags: &[Flag::Write],
    keys: &[KeySpec::one(1, &["RW", "delete"])],
    arguments: &[Argument::key("key", 0), Argument::integer("start"), Argument::integer("stop")],
    examples: r#"> ZADD myzset 1 one 2 two 3 three
(integer) 3
> ZREMRANGEBYRANK myzset 0 1
(integer) 2
> ZRANGE myzset 0 -1
1) "three""#,
    run: Run::Storage(|args| RemoveRange::parse(args, Order::Rank, "zremrangebyrank")),
    ..BASE
};

pub(super) static ZREMRANGEBYSCORE: Command = Command {
    name: "zremrangebyscore",
    summary: "Remove all members in a sorted set within the given scores",
    since: "1.2.0",
    complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.",
    arity: 4,
    flags: &[Flag::Write],
    keys: &[KeySpec::one(1, &["RW", "delete"])],
    arguments: &[Argument::key("key", 0), Argument::double("min"), Argument::double("max")],
    examples: r#"> ZADD myzset 1 one 2 two 3 three
(integer) 3
> ZREMRANGEBYSCORE myzset -inf (2
(integer) 1
> ZRANGE myzset 0 -1
1) "two"
2) "three""#,
    run: Run::Storage(|args| RemoveRange::parse(args, Order::Score, "zremrangebyscore")),
    ..BASE
};

pub(super) static ZREMRANGEBYLEX: Command = Command {
    name: "zremrangebylex",
    summary: "Remove all members in a sorted set between the given lexicographical range",
    since: "2.8.9",
    complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.",
    arity: 4,
    flags: &[Flag::Write],
    keys: &[KeySpec::one(1, &["RW", "delete"])],
    arguments: &[Argument::key("key", 0), Argument::string("min"), Argument::string("max")],
    examples: r#"> ZADD myzset 0 aaaa 0 b 0 c 0 d 0 e
(integer) 5
> ZREMRANGEBYLEX myzset - [c
(integer) 3
> ZRANGE myzset 0 -1
1) "d"
2) "e""#,
    run: Run::Storage(|args| RemoveRange::parse(args, Order::Lex, "zremrangebylex")),
    ..BASE
};

#[derive(Debug)]
struct RemoveRange {
    key: Bytes,
    range: Range,
    event: &'static str,
}

impl RemoveRange {
    fn parse(args: &CommandArgs, order: Order, event: &'static str) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let key = args.next_bytes()?;
        let range = parse_range(order, args.next()?, args.next()?)?;
        Ok(Box::new(RemoveRange { key, range, event }))
    }
}

impl Operation for RemoveRange {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        reply.integer(self.range.remove(keyspace, &self.key, self.event)? as i64);
        Ok(())
    }
}

pub(super) static ZPOPMIN: Command = Command {
    name: "zpopmin",
    summary: "Remove and return members with the lowest scores in a sorted set",
    since: "5.0.0",
    complexity: "O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of elements popped.",
    arity: -2,
    flags: &[Flag::Write, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "access", "delete"])],
    arguments: &[Argument::key("key", 0), Argument::integer("count").optional()],
    examples: r#"> ZADD myzset 1 one 2 two 3 three
(integer) 3
> ZPOPMIN myzset
1) "one"
2) "1"
> ZPOPMIN myzset 5
1) "two"
2) "2"
3) "three"
4) "3""#,
    run: Run::Storage(|args| Pop::parse(args, End::Min)),
    ..BASE
};

pub(super) static ZPOPMAX: Command = Command {
    name: "zpopmax",
    summary: "Remove and return members with the highest scores in a sorted set",
    since: "5.0.0",
    complexity: "O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of elements popped.",
    arity: -2,
    flags: &[Flag::Write, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "access", "delete"])],
    arguments: &[Argument::key("key", 0), Argument::integer("count").optional()],
    examples: r#"> ZADD myzset 1 one 2 two 3 three
(integer) 3
> ZPOPMAX myzset
1) "three"
2) "3"
> ZPOPMAX myzset 5
1) "two"
2) "2"
3) "one"
4) "1""#,
    run: Run::Storage(|args| Pop::parse(args, End::Max)),
    ..BASE
};

#[derive(Debug)]
struct Pop {
    key: Bytes,
    end: End,
    count: Option<u64>,
}

impl Pop {
    fn parse(args: &CommandArgs, end: End) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let key = args.next_bytes()?;
        let count = match args.remaining() {
            0 => None,
            1 => Some(parse_positive(args.next()?)?),
            _ => return Err(CommandError::Syntax),
        };
        Ok(Box::new(Pop { key, end, count }))
    }
}

impl Operation for Pop {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let popped = sorted_set::pop(keyspace, &self.key, self.end, self.count.unwrap_or(1))?.unwrap_or_default();
        // Without a count the one pair is not nested, whatever the protocol.
        if popped.is_empty() {
            reply.array(0);
        } else if self.count.is_some() && reply.protocol() == Protocol::Resp3 {
            reply_pairs(reply, &popped);
        } else {
            reply.array(popped.len() * 2);
            for (member, score) in &popped {
                reply.bulk(member);
                reply.double(*score);
            }
        }
        Ok(())
    }
}

/// Replies members with their scores, each pair by itself in both protocols.
pub(in crate::commands) fn reply_pairs(reply: &mut ReplyBuffer, pairs: &[Scored]) {
    reply.array(pairs.len());
    for (member, score) in pairs {
        reply.array(2);
        reply.bulk(member);
        reply.double(*score);
    }
}

pub(super) static ZMPOP: Command = Command {
    name: "zmpop",
    summary: "Remove and return members with scores in a sorted set",
    since: "7.0.0",
    complexity: "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in the sorted set, and M being the number of elements popped.",
    arity: -4,
    flags: &[Flag::Write, Flag::Movablekeys],
    keys: &[KeySpec::counted(1, &["RW", "access", "delete"])],
    arguments: &[
        Argument::integer("numkeys"),
        Argument::key("key", 0).multiple(),
        Argument::one_of("where", &[Argument::flag("min", "MIN"), Argument::flag("max", "MAX")]),
        Argument::integer("count").token("COUNT").optional(),
    ],
    examples: r#"> ZADD myzset 1 one 2 two 3 three
(integer) 3
> ZMPOP 2 notsuchkey myzset MIN
1) "myzset"
2) 1) 1) "one"
      2) "1"
> ZMPOP 1 myzset MAX COUNT 10
1) "myzset"
2) 1) 1) "three"
      2) "3"
   2) 1) "two"
      2) "2"
> ZMPOP 1 myzset MAX
(nil)"#,
    run: Run::Storage(MultiPop::parse),
    ..BASE
};

#[derive(Debug)]
struct MultiPop {
    keys: Vec<Bytes>,
    end: End,
    count: u64,
}

impl MultiPop {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let (keys, end, count) = parse_multi_pop(&mut args)?;
        Ok(Box::new(MultiPop { keys, end, count }))
    }
}

/// `numkeys key … MIN|MAX [COUNT count]`, to the end of the arguments: ZMPOP, BZMPOP.
pub(in crate::commands) fn parse_multi_pop(args: &mut Args<'_>) -> Result<(Vec<Bytes>, End, u64)> {
    let numkeys = parse_at_least_one(args.next()?, "ERR numkeys should be greater than 0")?;
    if numkeys >= args.remaining() as u64 {
        return Err(CommandError::Syntax);
    }
    let keys = (0..numkeys).map(|_| args.next_bytes()).collect::<Result<_>>()?;
    let end = match () {
        () if args.take_word("MIN") => End::Min,
        () if args.take_word("MAX") => End::Max,
        () => return Err(CommandError::Syntax),
    };
    let mut count = None;
    while !args.is_done() {
        if count.is_some() || args.remaining() == 1 || !args.take_word("COUNT") {
            return Err(CommandError::Syntax);
        }
        count = Some(parse_at_least_one(args.next()?, "ERR count should be greater than 0")?);
    }
    Ok((keys, end, count.unwrap_or(1)))
}

impl Operation for MultiPop {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        for key in &self.keys {
            if let Some(popped) = sorted_set::pop(keyspace, key, self.end, self.count)? {
                reply.array(2);
                reply.bulk(key);
                reply_pairs(reply, &popped);
                return Ok(());
            }
        }
        reply.null_array();
        Ok(())
    }
}
