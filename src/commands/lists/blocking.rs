//! The list commands that wait until there is an element: BLPOP, BRPOP, BLMPOP, BLMOVE, BRPOPLPUSH.

use std::time::Duration;

use bytes::Bytes;

use super::ends::parse_multi_pop;
use super::{BASE, ENDS, Result, next_end, reply_elements};
use crate::commands::blocking::{TIMEOUT_HISTORY, parse_timeout};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, Flag, KeySpec, Operation, Run};
use crate::keyspace::{Keyspace, Type, Wait, run_waiting};
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::types::list::{self, End};

const POP: Command = Command {
    since: "2.0.0",
    complexity: "O(N) where N is the number of provided keys.",
    arity: -3,
    flags: &[Flag::Write, Flag::Noscript, Flag::Blocking],
    keys: &[KeySpec::range(1, -2, 1, &["RW", "access", "delete"])],
    history: TIMEOUT_HISTORY,
    arguments: &[Argument::key("key", 0).multiple(), Argument::double("timeout")],
    ..BASE
};

pub(super) static BLPOP: Command = Command {
    name: "blpop",
    summary: "Remove and get the first element in a list, or block until one is available",
    examples: r#"> RPUSH list1 a b c
(integer) 3
> BLPOP list1 list2 0
1) "list1"
2) "a"
> BLPOP list2 0.01
(nil)"#,
    run: Run::Storage(|args| Pop::parse(args, End::Left)),
    ..POP
};

pub(super) static BRPOP: Command = Command {
    name: "brpop",
    summary: "Remove and get the last element in a list, or block until one is available",
    examples: r#"> RPUSH list1 a b c
(integer) 3
> BRPOP list1 list2 0
1) "list1"
2) "c""#,
    run: Run::Storage(|args| Pop::parse(args, End::Right)),
    ..POP
};

pub(super) static BLMPOP: Command = Command {
    name: "blmpop",
    summary: "Pop elements from a list, or block until one is available",
    since: "7.0.0",
    complexity: "O(N+M) where N is the number of provided keys and M is the number of elements returned.",
    arity: -5,
    flags: &[Flag::Write, Flag::Blocking, Flag::Movablekeys],
    keys: &[KeySpec::counted(2, &["RW", "access", "delete"])],
    arguments: &[
        Argument::double("timeout"),
        Argument::integer("numkeys"),
        Argument::key("key", 0).multiple(),
        Argument::one_of("where", ENDS),
        Argument::integer("count").token("COUNT").optional(),
    ],
    examples: r#"> RPUSH mylist one two three
(integer) 3
> BLMPOP 0 2 non1 mylist LEFT COUNT 2
1) "mylist"
2) 1) "one"
   2) "two"
> BLMPOP 0.01 1 non1 RIGHT
(nil)"#,
    run: Run::Storage(Pop::parse_multi),
    ..BASE
};

#[derive(Debug)]
struct Pop {
    keys: Vec<Bytes>,
    end: End,
    /// BLMPOP, which replies an array of elements.
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
        Type::List
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    fn serve(&self, key: &Bytes, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<bool> {
        let Some(elements) = list::pop(keyspace, key, self.end, self.count.unwrap_or(1))? else { return Ok(false) };
        reply.array(2);
        reply.bulk(key);
        match self.count {
            Some(_) => reply_elements(reply, &elements),
            None => elements.iter().for_each(|element| reply.bulk(element)),
        }
        Ok(true)
    }
}

pub(super) static BLMOVE: Command = Command {
    name: "blmove",
    summary: "Pop an element from a list, push it to another list and return it; or block until one is available",
    since: "6.2.0",
    arity: 6,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Noscript, Flag::Blocking],
    keys: &[KeySpec::one(1, &["RW", "access", "delete"]), KeySpec::one(2, &["RW", "insert"])],
    arguments: &[
        Argument::key("source", 0),
        Argument::key("destination", 1),
        Argument::one_of("wherefrom", ENDS),
        Argument::one_of("whereto", ENDS),
        Argument::double("timeout"),
    ],
    examples: r#"> RPUSH mylist one two three
(integer) 3
> BLMOVE mylist myotherlist LEFT RIGHT 0
"one"
> BLMOVE nolist myotherlist LEFT RIGHT 0.01
(nil)"#,
    run: Run::Storage(Move::parse),
    ..BASE
};

pub(super) static BRPOPLPUSH: Command = Command {
    name: "brpoplpush",
    summary: "Pop an element from a list, push it to another list and return it; or block until one is available",
    since: "2.2.0",
    deprecated: Some(("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments")),
    arity: 4,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Noscript, Flag::Blocking],
    keys: &[KeySpec::one(1, &["RW", "access", "delete"]), KeySpec::one(2, &["RW", "insert"])],
    history: TIMEOUT_HISTORY,
    arguments: &[Argument::key("source", 0), Argument::key("destination", 1), Argument::double("timeout")],
    examples: r#"> RPUSH mylist one two three
(integer) 3
> BRPOPLPUSH mylist myotherlist 0
"three""#,
    run: Run::Storage(Move::parse_brpoplpush),
    ..BASE
};

#[derive(Debug)]
struct Move {
    source: [Bytes; 1],
    destination: Bytes,
    from: End,
    to: End,
    timeout: Option<Duration>,
}

impl Move {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let (source, destination) = ([args.next_bytes()?], args.next_bytes()?);
        let (from, to) = (next_end(&mut args)?, next_end(&mut args)?);
        Ok(Box::new(Move { source, destination, from, to, timeout: parse_timeout(args.next()?)? }))
    }

    fn parse_brpoplpush(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let (source, destination) = ([args.next_bytes()?], args.next_bytes()?);
        let timeout = parse_timeout(args.next()?)?;
        Ok(Box::new(Move { source, destination, from: End::Right, to: End::Left, timeout }))
    }
}

impl Operation for Move {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        run_waiting(self, keyspace, reply)
    }

    fn waits(&self) -> Option<&dyn Wait> {
        Some(self)
    }
}

impl Wait for Move {
    fn keys(&self) -> &[Bytes] {
        &self.source
    }

    fn kind(&self) -> Type {
        Type::List
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    fn serve(&self, key: &Bytes, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<bool> {
        let moved = list::move_element(keyspace, key, &self.destination, self.from, self.to)?;
        if let Some(element) = &moved {
            reply.bulk(element);
        }
        Ok(moved.is_some())
    }

    fn reply_nothing(&self, reply: &mut ReplyBuffer) {
        reply.null();
    }
}
