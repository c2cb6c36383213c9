//! The sorted set commands that wait until there is a member: BZPOPMIN, BZPOPMAX, BZMPOP.

use std::time::Duration;

use bytes::Bytes;

use super::change::{parse_multi_pop, reply_pairs};
use super::{BASE, Result};
use crate::commands::blocking::{TIMEOUT_HISTORY, parse_timeout};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, Flag, KeySpec, Operation, Run};
use crate::keyspace::{Keyspace, Type, Wait, run_waiting};
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::types::sorted_set::{self, End};

const POP: Command = Command {
    since: "5.0.0",
    complexity: "O(log(N)) with N being the number of elements in the sorted set.",
    arity: -3,
    flags: &[Flag::Write, Flag::Noscript, Flag::Blocking, Flag::Fast],
    keys: &[KeySpec::range(1, -2, 1, &["RW", "access", "delete"])],
    history: TIMEOUT_HISTORY,
    arguments: &[Argument::key("key", 0).multiple(), Argument::double("timeout")],
    ..BASE
};

pub(super) static BZPOPMIN: Command = Command {
    name: "bzpopmin",
    summary: "Remove and return the member with the lowest score from one or more sorted sets, or block until one is \
        available",
    examples: r#"> ZADD zset1 0 a 1 b 2 c
(integer) 3
> BZPOPMIN zset1 zset2 0
1) "zset1"
2) "a"
3) "0"
> BZPOPMIN zset2 0.01
(nil)"#,
    run: Run::Storage(|args| Pop::parse(args, End::Min)),
    ..POP
};

pub(super) static BZPOPMAX: Command = Command {
    name: "bzpopmax",
    summary: "Remove and return the member with the highest score from one or more sorted sets, or block until one is \
        available",
    examples: r#"> ZADD zset1 0 a 1 b 2 c
(integer) 3
> BZPOPMAX zset1 zset2 0
1) "zset1"
2) "c"
3) "2""#,
    run: Run::Storage(|args| Pop::parse(args, End::Max)),
    ..POP
};

pub(super) static BZMPOP: Command = Command {
    name: "bzmpop",
    summary: "Remove and return members with scores in a sorted set or block until one is available",
    since: "7.0.0",
    complexity: "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in the \
        sorted set, and M being the number of elements popped.",
    arity: -5,
    flags: &[Flag::Write, Flag::Blocking, Flag::Movablekeys],
    keys: &[KeySpec::counted(2, &["RW", "access", "delete"])],
    arguments: &[
        Argument::double("timeout"),
        Argument::integer("numkeys"),
        Argument::key("key", 0).multiple(),
        Argument::one_of("where", &[Argument::flag("min", "MIN"), Argument::flag("max", "MAX")]),
        Argument::integer("count").token("COUNT").optional(),
    ],
    examples: r#"> ZADD myzset 1 one 2 two 3 three
(integer) 3
> BZMPOP 1 1 myzset MIN COUNT 2
1) "myzset"
2) 1) 1) "one"
      2) "1"
   2) 1) "two"
      2) "2"
> BZMPOP 0.01 1 nozset MAX
(nil)"#,
    run: Run::Storage(Pop::parse_multi),
    ..BASE
};

#[derive(Debug)]
struct Pop {
    keys: Vec<Bytes>,
    end: End,
    /// BZMPOP, which replies an array of pairs.
    count: Option<u64>,
    timeout: Option<Duration>,
}

impl Pop {
    fn parse(args: &CommandArgs, end: End) -> Result<Box<dyn Operation>> {
        let mut keys = Args::new(args).rest();
        let timeout = parse_timeout(&keys.pop().unwrap_or_default())?;
        Ok(Box::new(Pop { keys, end, count: None, timeout }))
    }

    fn parse_multi(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let timeout = args.next()?;
        let (keys, end, count) = parse_multi_pop(&mut args)?;
        Ok(Box::new(Pop { keys, end, count: Some(count), timeout: parse_timeout(timeout)? }))
    }
}

impl Operation for Pop {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        run_waiting(self, keyspace, reply)
    }

    fn waits(&self) -> Option<&dyn Wait> {
        Some(self)
    }
}

impl Wait for Pop {
    fn keys(&self) -> &[Bytes] {
        &self.keys
    }

    fn kind(&self) -> Type {
        Type::SortedSet
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    fn serve(&self, key: &Bytes, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<bool> {
        let Some(popped) = sorted_set::pop(keyspace, key, self.end, self.count.unwrap_or(1))? else {
            return Ok(false);
        };
        match (self.count, &popped[..]) {
            (None, [(member, score)]) => {
                reply.array(3);
                reply.bulk(key);
                reply.bulk(member);
                reply.double(*score);
            }
            _ => {
                reply.array(2);
                reply.bulk(key);
                reply_pairs(reply, &popped);
            }
        }
        Ok(true)
    }
}
