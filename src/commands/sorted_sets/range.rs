//! Ranges of sorted sets: by position, by score, by member; read, counted, stored.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::{BASE, Result, reply_scored};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, KeySpec, Operation, Run};
use crate::keyspace::{Keyspace, Type};
use crate::number;
use crate::resp::{CommandArgs, Protocol, ReplyBuffer};
use crate::types::elements::Elements;
use crate::types::sorted_set::{self, LexEnd, LexRange, Range, ScoreRange, Window};

/// What the ends of a range are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Rank,
    Score,
    Lex,
}

/// Reads the two ends of a range, the lower one first.
pub(super) fn parse_range(order: Order, min: &[u8], max: &[u8]) -> Result<Range> {
    match order {
        Order::Rank => {
            let position = |text| number::parse_i64(text).ok_or(CommandError::NotInteger);
            Ok(Range::Rank { start: position(min)?, stop: position(max)? })
        }
        Order::Score => {
            let error = || CommandError::custom("ERR min or max is not a float");
            let (min, min_exclusive) = parse_score_end(min).ok_or_else(error)?;
            let (max, max_exclusive) = parse_score_end(max).ok_or_else(error)?;
            Ok(Range::Score(ScoreRange { min, min_exclusive, max, max_exclusive }))
        }
        Order::Lex => {
            let end = |text| {
                parse_lex_end(text).ok_or_else(|| CommandError::custom("ERR min or max not valid string range item"))
            };
            Ok(Range::Lex(LexRange { min: end(min)?, max: end(max)? }))
        }
    }
}

/// A score, and whether it is excluded.
fn parse_score_end(text: &[u8]) -> Option<(f64, bool)> {
    match text.strip_prefix(b"(") {
        Some(text) => Some((number::parse_f64_as_strtod(text)?, true)),
        None => Some((number::parse_f64_as_strtod(text)?, false)),
    }
}

fn parse_lex_end(text: &[u8]) -> Option<LexEnd> {
    match text {
        // A NUL ends what Redis looks at here.
        [b'-'] | [b'-', 0, ..] => Some(LexEnd::Lowest),
        [b'+'] | [b'+', 0, ..] => Some(LexEnd::Highest),
        [b'[', member @ ..] => Some(LexEnd::Inclusive(Bytes::copy_from_slice(member))),
        [b'(', member @ ..] => Some(LexEnd::Exclusive(Bytes::copy_from_slice(member))),
        _ => None,
    }
}

pub(super) static ZRANGE: Command = Command {
    name: "zrange",
    summary: "Return a range of members in a sorted set",
    since: "1.2.0",
    complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements returned.",
    arity: -4,
    flags: &[Flag::Readonly],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    history: &[("6.2.0", "Added the `REV`, `BYSCORE`, `BYLEX` and `LIMIT` options.")],
    arguments: &[
        Argument::key("key", 0),
        Argument::string("start"),
        Argument::string("stop"),
        Argument::one_of("sortby", &[Argument::flag("byscore", "BYSCORE"), Argument::flag("bylex", "BYLEX")])
            .since("6.2.0")
            .optional(),
        Argument::flag("rev", "REV").since("6.2.0").optional(),
        Argument::block("offset_count", &[Argument::integer("offset"), Argument::integer("count")])
            .token("LIMIT")
            .since("6.2.0")
            .optional(),
        Argument::flag("withscores", "WITHSCORES").optional(),
    ],
    examples: r#"> ZADD myzset 1 one 2 two 3 three
(integer) 3
> ZRANGE myzset 0 -1
1) "one"
2) "two"
3) "three"
> ZRANGE myzset 1 (3 BYSCORE LIMIT 1 1
1) "two"
> ZRANGE myzset 0 0 REV WITHSCORES
1) "three"
2) "3""#,
    run: Run::Storage(|args| RangeQuery::parse(args, None, None, false)),
    ..BASE
};

pub(super) static ZREVRANGE: Command = Command {
    name: "zrevrange",
    summary: "Return a range of members in a sorted set, by index, with scores ordered from high to low",
    since: "1.2.0",
    complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements returned.",
    arity: -4,
    flags: &[Flag::Readonly],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` argument")),
    arguments: &[
        Argument::key("key", 0),
        Argument::integer("start"),
        Argument::integer("stop"),
        Argument::flag("withscores", "WITHSCORES").optional(),
    ],
    examples: r#"> ZADD myzset 1 one 2 two 3 three
(integer) 3
> ZREVRANGE myzset 0 1 WITHSCORES
1) "three"
2) "3"
3) "two"
4) "2""#,
    run: Run::Storage(|args| RangeQuery::parse(args, Some(Order::Rank), Some(true), false)),
    ..BASE
};

pub(super) static ZRANGEBYSCORE: Command = Command {
    name: "zrangebyscore",
    summary: "Return a range of members in a sorted set, by score",
    since: "1.0.5",
    complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
    arity: -4,
    flags: &[Flag::Readonly],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    deprecated: Some(("6.2.0", "`ZRANGE` with the `BYSCORE` argument")),
    history: &[("2.0.0", "Added the `WITHSCORES` modifier.")],
    arguments: &[
        Argument::key("key", 0),
        Argument::double("min"),
        Argument::double("max"),
        Argument::flag("withscores", "WITHSCORES").since("2.0.0").optional(),
        Argument::block("offset_count", &[Argument::integer("offset"), Argument::integer("count")])
            .token("LIMIT")
            .optional(),
    ],
    examples: r#"> ZADD myzset 1 one 2 two 3 three
(integer) 3
> ZRANGEBYSCORE myzset -inf +inf
1) "one"
2) "two"
3) "three"
> ZRANGEBYSCORE myzset (1 2
1) "two""#,
    run: Run::Storage(|args| RangeQuery::parse(args, Some(Order::Score), Some(false), false)),
    ..BASE
};

pub(super) static ZREVRANGEBYSCORE: Command = Command {
    name: "zrevrangebyscore",
    summary: "Return a range of members in a sorted set, by score, with scores ordered from high to low",
    since: "2.2.0",
    complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
    arity: -4,
    flags: &[Flag::Readonly],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments")),
    history: &[("2.1.6", "`min` and `max` can be exclusive.")],
    arguments: &[
        Argument::key("key", 0),
        Argument::double("max"),
        Argument::double("min"),
        Argument::flag("withscores", "WITHSCORES").optional(),
        Argument::block("offset_count", &[Argument::integer("offset"), Argument::integer("count")])
            .token("LIMIT")
            .optional(),
    ],
    examples: r#"> ZADD myzset 1 one 2 two 3 three
(integer) 3
> ZREVRANGEBYSCORE myzset +inf (1
1) "three"
2) "two""#,
    run: Run::Storage(|args| RangeQuery::parse(args, Some(Order::Score), Some(true), false)),
    ..BASE
};

pub(super) static ZRANGEBYLEX: Command = Command {
    name: "zrangebylex",
    summary: "Return a range of members in a sorted set, by lexicographical range",
    since: "2.8.9",
    complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
    arity: -4,
    flags: &[Flag::Readonly],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    deprecated: Some(("6.2.0", "`ZRANGE` with the `BYLEX` argument")),
    arguments: &[
        Argument::key("key", 0),
        Argument::string("min"),
        Argument::string("max"),
        Argument::block("offset_count", &[Argument::integer("offset"), Argument::integer("count")])
            .token("LIMIT")
            .optional(),
    ],
    examples: r#"> ZADD myzset 0 a 0 b 0 c 0 d
(integer) 4
> ZRANGEBYLEX myzset - [c
1) "a"
2) "b"
3) "c"
> ZRANGEBYLEX myzset [aaa (d
1) "b"
2) "c""#,
    run: Run::Storage(|args| RangeQuery::parse(args, Some(Order::Lex), Some(false), false)),
    ..BASE
};

pub(super) static ZREVRANGEBYLEX: Command = Command {
    name: "zrevrangebylex",
    summary: "Return a range of members in a sorted set, by lexicographical range, ordered from higher to lower strings.",
    since: "2.8.9",
    complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
    arity: -4,
    flags: &[Flag::Readonly],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments")),
    arguments: &[
        Argument::key("key", 0),
        Argument::string("max"),
        Argument::string("min"),
        Argument::block("offset_count", &[Argument::integer("offset"), Argument::integer("count")])
            .token("LIMIT")
            .optional(),
    ],
    examples: r#"> ZADD myzset 0 a 0 b 0 c 0 d
(integer) 4
> ZREVRANGEBYLEX myzset [c -
1) "c"
2) "b"
3) "a""#,
    run: Run::Storage(|args| RangeQuery::parse(args, Some(Order::Lex), Some(true), false)),
    ..BASE
};

pub(super) static ZRANGESTORE: Command = Command {
    name: "zrangestore",
    summary: "Store a range of members from sorted set into another key",
    since: "6.2.0",
    complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements stored into the destination key.",
    arity: -5,
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[KeySpec::one(1, &["OW", "update"]), KeySpec::one(2, &["RO", "access"])],
    arguments: &[
        Argument::key("dst", 0),
        Argument::key("src", 1),
        Argument::string("min"),
        Argument::string("max"),
        Argument::one_of("sortby", &[Argument::flag("byscore", "BYSCORE"), Argument::flag("bylex", "BYLEX")])
            .optional(),
        Argument::flag("rev", "REV").optional(),
        Argument::block("offset_count", &[Argument::integer("offset"), Argument::integer("count")])
            .token("LIMIT")
            .optional(),
    ],
    examples: r#"> ZADD srczset 1 one 2 two 3 three 4 four
(integer) 4
> ZRANGESTORE dstzset srczset 2 -1
(integer) 2
> ZRANGE dstzset 0 -1
1) "three"
2) "four""#,
    run: Run::Storage(|args| RangeQuery::parse(args, None, None, true)),
    ..BASE
};

#[derive(Debug)]
struct RangeQuery {
    key: Bytes,
    destination: Option<Bytes>,
    range: Range,
    reverse: bool,
    window: Window,
    with_scores: bool,
}

impl RangeQuery {
    /// `order` and `reverse`: what the command's name says, or an option may.
    fn parse(
        args: &CommandArgs,
        mut order: Option<Order>,
        mut reverse: Option<bool>,
        store: bool,
    ) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let destination = if store { Some(args.next_bytes()?) } else { None };
        let (key, first, second) = (args.next_bytes()?, args.next()?, args.next()?);
        let (mut window, mut with_scores) = (Window::ALL, false);
        while !args.is_done() {
            if !store && args.take_word("WITHSCORES") {
                with_scores = true;
            } else if args.remaining() > 2 && args.take_word("LIMIT") {
                window = Window { offset: args.next_i64()?, count: args.next_i64()? };
            } else if reverse.is_none() && args.take_word("REV") {
                reverse = Some(true);
            } else if order.is_none() && args.take_word("BYLEX") {
                order = Some(Order::Lex);
            } else if order.is_none() && args.take_word("BYSCORE") {
                order = Some(Order::Score);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        let (order, reverse) = (order.unwrap_or(Order::Rank), reverse.unwrap_or(false));
        if window.count != -1 && order == Order::Rank {
            return Err(CommandError::custom(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if with_scores && order == Order::Lex {
            return Err(CommandError::custom("ERR syntax error, WITHSCORES not supported in combination with BYLEX"));
        }
        let range = match reverse && order != Order::Rank {
            true => parse_range(order, second, first)?,
            false => parse_range(order, first, second)?,
        };
        Ok(Box::new(RangeQuery { key, destination, range, reverse, window, with_scores }))
    }
}

impl Operation for RangeQuery {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let zset = Elements::read(keyspace, &self.key, Type::SortedSet)?;
        if let Some(destination) = &self.destination {
            let found = match zset {
                Some(zset) => self.range.collect(keyspace, &zset, self.reverse, self.window)?,
                None => Vec::new(),
            };
            reply.integer(sorted_set::store_range(keyspace, destination, &found, &self.range)? as i64);
            return Ok(());
        }
        let (header, mut len) = (reply.deferred(), 0);
        if let Some(zset) = zset {
            self.range.walk(keyspace, &zset, self.reverse, self.window, &mut |member, score| {
                reply_scored(reply, member, self.with_scores.then_some(score));
                len += 1;
                Ok(ControlFlow::Continue(()))
            })?;
        }
        let flat = if self.with_scores && reply.protocol() == Protocol::Resp2 { 2 } else { 1 };
        reply.finish_array(header, len * flat);
        Ok(())
    }
}

pub(super) static ZCOUNT: Command = Command {
    name: "zcount",
    summary: "Count the members in a sorted set with scores within the given values",
    since: "2.0.0",
    complexity: "O(log(N)) with N being the number of elements in the sorted set.",
    arity: 4,
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0), Argument::double("min"), Argument::double("max")],
    examples: r#"> ZADD myzset 1 one 2 two 3 three
(integer) 3
> ZCOUNT myzset (1 3
(integer) 2"#,
    run: Run::Storage(|args| Count::parse(args, Order::Score)),
    ..BASE
};

pub(super) static ZLEXCOUNT: Command = Command {
    name: "zlexcount",
    summary: "Count the number of members in a sorted set between a given lexicographical range",
    since: "2.8.9",
    complexity: "O(log(N)) with N being the number of elements in the sorted set.",
    arity: 4,
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0), Argument::string("min"), Argument::string("max")],
    examples: r#"> ZADD myzset 0 a 0 b 0 c 0 d
(integer) 4
> ZLEXCOUNT myzset [b +
(integer) 3"#,
    run: Run::Storage(|args| Count::parse(args, Order::Lex)),
    ..BASE
};

#[derive(Debug)]
struct Count {
    key: Bytes,
    range: Range,
}

impl Count {
    fn parse(args: &CommandArgs, order: Order) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Count { key: args.next_bytes()?, range: parse_range(order, args.next()?, args.next()?)? }))
    }
}

impl Operation for Count {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let count = match Elements::read(keyspace, &self.key, Type::SortedSet)? {
            Some(zset) => self.range.count(keyspace, &zset)?,
            None => 0,
        };
        reply.integer(count as i64);
        Ok(())
    }
}
