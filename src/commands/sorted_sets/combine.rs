//! Several sorted sets: their union, intersection and difference, with plain sets among them.

use bytes::Bytes;

use super::{BASE, Result, reply_scored};
use crate::commands::parse::Args;
use crate::commands::sets::combine::parse_limit;
use crate::commands::{Argument, Command, CommandError, Flag, KeySpec, Operation, Run};
use crate::keyspace::Keyspace;
use crate::number;
use crate::resp::{CommandArgs, Protocol, ReplyBuffer};
use crate::types::sorted_set::{self, Aggregate, Combination, Source};

const WEIGHTS: Argument = Argument::integer("weight").token("WEIGHTS").optional().multiple();
const AGGREGATE: Argument = Argument::one_of(
    "aggregate",
    &[Argument::flag("sum", "SUM"), Argument::flag("min", "MIN"), Argument::flag("max", "MAX")],
)
.token("AGGREGATE")
.optional();

pub(super) static ZUNION: Command = Command {
    name: "zunion",
    summary: "Add multiple sorted sets",
    since: "6.2.0",
    complexity: "O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted sets, and M being the number of elements in the resulting sorted set.",
    arity: -3,
    flags: &[Flag::Readonly, Flag::Movablekeys],
    keys: &[KeySpec::counted(1, &["RO", "access"])],
    arguments: &[
        Argument::integer("numkeys"),
        Argument::key("key", 0).multiple(),
        WEIGHTS,
        AGGREGATE,
        Argument::flag("withscores", "WITHSCORES").optional(),
    ],
    examples: r#"> ZADD zset1 1 one 2 two
(integer) 2
> ZADD zset2 1 one 2 two 3 three
(integer) 3
> ZUNION 2 zset1 zset2 WEIGHTS 1 10 WITHSCORES
1) "one"
2) "11"
3) "two"
4) "22"
5) "three"
6) "30""#,
    run: Run::Storage(|args| Combine::parse(args, Combination::Union, "zunion", false)),
    ..BASE
};

pub(super) static ZINTER: Command = Command {
    name: "zinter",
    summary: "Intersect multiple sorted sets",
    since: "6.2.0",
    complexity: "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of input sorted sets and M being the number of elements in the resulting sorted set.",
    arity: -3,
    flags: &[Flag::Readonly, Flag::Movablekeys],
    keys: &[KeySpec::counted(1, &["RO", "access"])],
    arguments: &[
        Argument::integer("numkeys"),
        Argument::key("key", 0).multiple(),
        WEIGHTS,
        AGGREGATE,
        Argument::flag("withscores", "WITHSCORES").optional(),
    ],
    examples: r#"> ZADD zset1 1 one 2 two
(integer) 2
> ZADD zset2 1 one 2 two 3 three
(integer) 3
> ZINTER 2 zset1 zset2 AGGREGATE MAX WITHSCORES
1) "one"
2) "1"
3) "two"
4) "2""#,
    run: Run::Storage(|args| Combine::parse(args, Combination::Intersection, "zinter", false)),
    ..BASE
};

pub(super) static ZDIFF: Command = Command {
    name: "zdiff",
    summary: "Subtract multiple sorted sets",
    since: "6.2.0",
    complexity: "O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the size of the first set, and K is the size of the result set.",
    arity: -3,
    flags: &[Flag::Readonly, Flag::Movablekeys],
    keys: &[KeySpec::counted(1, &["RO", "access"])],
    arguments: &[
        Argument::integer("numkeys"),
        Argument::key("key", 0).multiple(),
        Argument::flag("withscores", "WITHSCORES").optional(),
    ],
    examples: r#"> ZADD zset1 1 one 2 two 3 three
(integer) 3
> ZADD zset2 1 one 2 two
(integer) 2
> ZDIFF 2 zset1 zset2 WITHSCORES
1) "three"
2) "3""#,
    run: Run::Storage(|args| Combine::parse(args, Combination::Difference, "zdiff", false)),
    ..BASE
};

pub(super) static ZUNIONSTORE: Command = Command {
    name: "zunionstore",
    summary: "Add multiple sorted sets and store the resulting sorted set in a new key",
    since: "2.0.0",
    complexity: "O(N)+O(M log(M)) with N being the sum of the sizes of the input sorted sets, and M being the number of elements in the resulting sorted set.",
    arity: -4,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Movablekeys],
    keys: &[KeySpec::one(1, &["OW", "update"]), KeySpec::counted(2, &["RO", "access"])],
    arguments: &[
        Argument::key("destination", 0),
        Argument::integer("numkeys"),
        Argument::key("key", 1).multiple(),
        WEIGHTS,
        AGGREGATE,
    ],
    examples: r#"> ZADD zset1 1 one 2 two
(integer) 2
> ZADD zset2 1 one 2 two 3 three
(integer) 3
> ZUNIONSTORE out 2 zset1 zset2 WEIGHTS 2 3
(integer) 3
> ZRANGE out 0 -1 WITHSCORES
1) "one"
2) "5"
3) "three"
4) "9"
5) "two"
6) "10""#,
    run: Run::Storage(|args| Combine::parse(args, Combination::Union, "zunionstore", true)),
    ..BASE
};

pub(super) static ZINTERSTORE: Command = Command {
    name: "zinterstore",
    summary: "Intersect multiple sorted sets and store the resulting sorted set in a new key",
    since: "2.0.0",
    complexity: "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of input sorted sets and M being the number of elements in the resulting sorted set.",
    arity: -4,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Movablekeys],
    keys: &[KeySpec::one(1, &["OW", "update"]), KeySpec::counted(2, &["RO", "access"])],
    arguments: &[
        Argument::key("destination", 0),
        Argument::integer("numkeys"),
        Argument::key("key", 1).multiple(),
        WEIGHTS,
        AGGREGATE,
    ],
    examples: r#"> ZADD zset1 1 one 2 two
(integer) 2
> ZADD zset2 1 one 2 two 3 three
(integer) 3
> ZINTERSTORE out 2 zset1 zset2 WEIGHTS 2 3
(integer) 2
> ZRANGE out 0 -1 WITHSCORES
1) "one"
2) "5"
3) "two"
4) "10""#,
    run: Run::Storage(|args| Combine::parse(args, Combination::Intersection, "zinterstore", true)),
    ..BASE
};

pub(super) static ZDIFFSTORE: Command = Command {
    name: "zdiffstore",
    summary: "Subtract multiple sorted sets and store the resulting sorted set in a new key",
    since: "6.2.0",
    complexity: "O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the size of the first set, and K is the size of the result set.",
    arity: -4,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Movablekeys],
    keys: &[KeySpec::one(1, &["OW", "update"]), KeySpec::counted(2, &["RO", "access"])],
    arguments: &[Argument::key("destination", 0), Argument::integer("numkeys"), Argument::key("key", 1).multiple()],
    examples: r#"> ZADD zset1 1 one 2 two 3 three
(integer) 3
> ZADD zset2 1 one 2 two
(integer) 2
> ZDIFFSTORE out 2 zset1 zset2
(integer) 1
> ZRANGE out 0 -1 WITHSCORES
1) "three"
2) "3""#,
    run: Run::Storage(|args| Combine::parse(args, Combination::Difference, "zdiffstore", true)),
    ..BASE
};

#[derive(Debug)]
struct Combine {
    combination: Combination,
    destination: Option<Bytes>,
    keys: Vec<Bytes>,
    /// Redis looks at them once it has looked up the keys.
    options: Result<Options>,
}

#[derive(Debug)]
struct Options {
    /// One for each key; none: all are 1.
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
}

impl Combine {
    fn parse(
        args: &CommandArgs,
        combination: Combination,
        command: &'static str,
        store: bool,
    ) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let destination = if store { Some(args.next_bytes()?) } else { None };
        let keys = parse_keys(&mut args, command)?;
        let options = Options::parse(&mut args, keys.len(), combination, store);
        Ok(Box::new(Combine { combination, destination, keys, options }))
    }
}

/// `numkeys key …`
fn parse_keys(args: &mut Args<'_>, command: &'static str) -> Result<Vec<Bytes>> {
    let count = args.next_i64()?;
    if count < 1 {
        let text = format!("ERR at least 1 input key is needed for '{command}' command");
        return Err(CommandError::custom(text));
    }
    if count as u64 > args.remaining() as u64 {
        return Err(CommandError::Syntax);
    }
    (0..count).map(|_| args.next_bytes()).collect()
}

impl Options {
    fn parse(args: &mut Args<'_>, keys: usize, combination: Combination, store: bool) -> Result<Options> {
        let mut options = Options { weights: Vec::new(), aggregate: Aggregate::Sum, with_scores: false };
        let scored = combination != Combination::Difference;
        while !args.is_done() {
            if scored && args.remaining() > keys && args.take_word("WEIGHTS") {
                let error = || CommandError::custom("ERR weight value is not a float");
                let weight = |_| number::parse_f64(args.next()?).ok_or_else(error);
                options.weights = (0..keys).map(weight).collect::<Result<_>>()?;
            } else if scored && args.remaining() > 1 && args.take_word("AGGREGATE") {
                options.aggregate = match () {
                    () if args.take_word("SUM") => Aggregate::Sum,
                    () if args.take_word("MIN") => Aggregate::Min,
                    () if args.take_word("MAX") => Aggregate::Max,
                    () => return Err(CommandError::Syntax),
                };
            } else if !store && args.take_word("WITHSCORES") {
                options.with_scores = true;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }
}

impl Operation for Combine {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let mut sources: Vec<Source> =
            self.keys.iter().map(|key| Source::read(keyspace, key)).collect::<Result<_>>()?;
        let options = self.options.as_ref().map_err(Clone::clone)?;
        for (source, weight) in sources.iter_mut().zip(&options.weights) {
            source.weight = *weight;
        }
        if let Some(destination) = &self.destination {
            let len = self.combination.store(keyspace, destination, sources, options.aggregate)?;
            reply.integer(len as i64);
            return Ok(());
        }
        let members = self.combination.collect(keyspace, sources, options.aggregate)?;
        let flat = if options.with_scores && reply.protocol() == Protocol::Resp2 { 2 } else { 1 };
        reply.array(members.len() * flat);
        for (member, score) in &members {
            reply_scored(reply, member, options.with_scores.then_some(*score));
        }
        Ok(())
    }
}

pub(super) static ZINTERCARD: Command = Command {
    name: "zintercard",
    summary: "Intersect multiple sorted sets and return the cardinality of the result",
    since: "7.0.0",
    complexity: "O(N*K) worst case with N being the smallest input sorted set, K being the number of input sorted sets.",
    arity: -3,
    flags: &[Flag::Readonly, Flag::Movablekeys],
    keys: &[KeySpec::counted(1, &["RO", "access"])],
    arguments: &[
        Argument::integer("numkeys"),
        Argument::key("key", 0).multiple(),
        Argument::integer("limit").token("LIMIT").optional(),
    ],
    examples: r#"> ZADD zset1 1 one 2 two
(integer) 2
> ZADD zset2 1 one 2 two 3 three
(integer) 3
> ZINTERCARD 2 zset1 zset2
(integer) 2
> ZINTERCARD 2 zset1 zset2 LIMIT 1
(integer) 1"#,
    run: Run::Storage(InterCard::parse),
    ..BASE
};

#[derive(Debug)]
struct InterCard {
    keys: Vec<Bytes>,
    limit: Result<u64>,
}

impl InterCard {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let keys = parse_keys(&mut args, "zintercard")?;
        let limit = parse_limit(&mut args);
        Ok(Box::new(InterCard { keys, limit }))
    }
}

impl Operation for InterCard {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let sources = self.keys.iter().map(|key| Source::read(keyspace, key)).collect::<Result<_>>()?;
        let limit = self.limit.clone()?;
        reply.integer(sorted_set::count_intersection(keyspace, sources, limit)? as i64);
        Ok(())
    }
}
