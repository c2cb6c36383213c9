//! Elements that come and go at the ends: LPUSH, RPUSH, LPUSHX, RPUSHX, LPOP, RPOP, LMPOP.

use bytes::Bytes;

use super::{BASE, ENDS, Result, next_end, parse_from, reply_elements};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, KeySpec, Operation, Run};
use crate::keyspace::Keyspace;
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::types::list::{self, End};

/// What all four pushes have in common.
const PUSH: Command = Command {
    complexity: "O(1) for each element added, so O(N) to add N elements when the command is called with multiple \
        arguments.",
    arity: -3,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "insert"])],
    history: &[("2.4.0", "Accepts multiple `element` arguments.")],
    arguments: &[Argument::key("key", 0), Argument::string("element").multiple()],
    ..BASE
};

/// Those that want the list to exist.
const PUSHX: Command =
    Command { since: "2.2.0", history: &[("4.0.0", "Accepts multiple `element` arguments.")], ..PUSH };

pub(super) static LPUSH: Command = Command {
    name: "lpush",
    summary: "Prepend one or multiple elements to a list",
    examples: r#"> LPUSH mylist world
(integer) 1
> LPUSH mylist there hello
(integer) 3
> LRANGE mylist 0 -1
1) "hello"
2) "there"
3) "world""#,
    run: Run::Storage(|args| Push::parse(args, End::Left, false)),
    ..PUSH
};

pub(super) static RPUSH: Command = Command {
    name: "rpush",
    summary: "Append one or multiple elements to a list",
    examples: r#"> RPUSH mylist hello
(integer) 1
> RPUSH mylist there world
(integer) 3
> LRANGE mylist 0 -1
1) "hello"
2) "there"
3) "world""#,
    run: Run::Storage(|args| Push::parse(args, End::Right, false)),
    ..PUSH
};

pub(super) static LPUSHX: Command = Command {
    name: "lpushx",
    summary: "Prepend an element to a list, only if the list exists",
    examples: r#"> LPUSH mylist World
(integer) 1
> LPUSHX mylist Hello
(integer) 2
> LPUSHX myotherlist Hello
(integer) 0
> EXISTS myotherlist
(integer) 0"#,
    run: Run::Storage(|args| Push::parse(args, End::Left, true)),
    ..PUSHX
};

pub(super) static RPUSHX: Command = Command {
    name: "rpushx",
    summary: "Append an element to a list, only if the list exists",
    examples: r#"> RPUSH mylist Hello
(integer) 1
> RPUSHX mylist World
(integer) 2
> RPUSHX myotherlist World
(integer) 0
> EXISTS myotherlist
(integer) 0"#,
    run: Run::Storage(|args| Push::parse(args, End::Right, true)),
    ..PUSHX
};

#[derive(Debug)]
struct Push {
    key: Bytes,
    end: End,
    elements: Vec<Bytes>,
    must_exist: bool,
}

impl Push {
    fn parse(args: &CommandArgs, end: End, must_exist: bool) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Push { key: args.next_bytes()?, end, elements: args.rest(), must_exist }))
    }
}

impl Operation for Push {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let len = list::push(keyspace, &self.key, self.end, &self.elements, self.must_exist)?;
        reply.integer(len as i64);
        Ok(())
    }
}

/// What both pops have in common.
const POP: Command = Command {
    complexity: "O(N) where N is the number of elements returned",
    arity: -2,
    flags: &[Flag::Write, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "access", "delete"])],
    history: &[("6.2.0", "Added the `count` argument.")],
    arguments: &[Argument::key("key", 0), Argument::integer("count").since("6.2.0").optional()],
    ..BASE
};

pub(super) static LPOP: Command = Command {
    name: "lpop",
    summary: "Remove and get the first elements in a list",
    examples: r#"> RPUSH mylist one two three four
(integer) 4
> LPOP mylist
"one"
> LPOP mylist 2
1) "two"
2) "three"
> LRANGE mylist 0 -1
1) "four""#,
    run: Run::Storage(|args| Pop::parse(args, End::Left, "lpop")),
    ..POP
};

pub(super) static RPOP: Command = Command {
    name: "rpop",
    summary: "Remove and get the last elements in a list",
    examples: r#"> RPUSH mylist one two three four
(integer) 4
> RPOP mylist
"four"
> RPOP mylist 2
1) "three"
2) "two"
> LRANGE mylist 0 -1
1) "one""#,
    run: Run::Storage(|args| Pop::parse(args, End::Right, "rpop")),
    ..POP
};

#[derive(Debug)]
struct Pop {
    key: Bytes,
    end: End,
    /// With one the reply is an array.
    count: Option<u64>,
}

impl Pop {
    fn parse(args: &CommandArgs, end: End, command: &str) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let key = args.next_bytes()?;
        if args.remaining() > 1 {
            return Err(CommandError::Arity(command.to_string()));
        }
        let parse = |count| parse_from(0, count, "ERR value is out of range, must be positive");
        Ok(Box::new(Pop { key, end, count: args.peek().map(parse).transpose()? }))
    }
}

impl Operation for Pop {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let popped = list::pop(keyspace, &self.key, self.end, self.count.unwrap_or(1))?;
        match (popped, self.count) {
            (Some(elements), Some(_)) => reply_elements(reply, &elements),
            (Some(elements), None) => elements.iter().for_each(|element| reply.bulk(element)),
            (None, Some(_)) => reply.null_array(),
            (None, None) => reply.null(),
        }
        Ok(())
    }
}

pub(super) static LMPOP: Command = Command {
    name: "lmpop",
    summary: "Pop elements from a list",
    since: "7.0.0",
    complexity: "O(N+M) where N is the number of provided keys and M is the number of elements returned.",
    arity: -4,
    flags: &[Flag::Write, Flag::Movablekeys],
    keys: &[KeySpec::counted(1, &["RW", "access", "delete"])],
    arguments: &[
        Argument::integer("numkeys"),
        Argument::key("key", 0).multiple(),
        Argument::one_of("where", ENDS),
        Argument::integer("count").token("COUNT").optional(),
    ],
    examples: r#"> LMPOP 2 non1 non2 LEFT COUNT 10
(nil)
> RPUSH mylist one two three
(integer) 3
> LMPOP 1 mylist LEFT
1) "mylist"
2) 1) "one"
> LMPOP 2 mylist mylist2 RIGHT COUNT 3
1) "mylist"
2) 1) "three"
   2) "two"
> EXISTS mylist mylist2
(integer) 0"#,
    run: Run::Storage(Lmpop::parse),
    ..BASE
};

#[derive(Debug)]
struct Lmpop {
    keys: Vec<Bytes>,
    end: End,
    count: u64,
}

impl Lmpop {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let (keys, end, count) = parse_multi_pop(&mut args)?;
        Ok(Box::new(Lmpop { keys, end, count }))
    }
}

/// `numkeys key … LEFT|RIGHT [COUNT count]`, to the end of the arguments: LMPOP, BLMPOP.
pub(super) fn parse_multi_pop(args: &mut Args<'_>) -> Result<(Vec<Bytes>, End, u64)> {
    let keys = parse_from(1, args.next()?, "ERR numkeys should be greater than 0")?;
    if keys >= args.remaining() as u64 {
        return Err(CommandError::Syntax);
    }
    let keys = (0..keys).map(|_| args.next_bytes()).collect::<Result<Vec<Bytes>>>()?;
    let end = next_end(args)?;
    let mut count = None;
    while !args.is_done() {
        if count.is_some() || !args.take_word("COUNT") {
            return Err(CommandError::Syntax);
        }
        count = Some(parse_from(1, args.next()?, "ERR count should be greater than 0")?);
    }
    Ok((keys, end, count.unwrap_or(1)))
}

impl Operation for Lmpop {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        for key in &self.keys {
            if let Some(elements) = list::pop(keyspace, key, self.end, self.count)? {
                reply.array(2);
                reply.bulk(key);
                reply_elements(reply, &elements);
                return Ok(());
            }
        }
        reply.null_array();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::check;

    #[test]
    fn counts_of_pops() {
        check(
            r#"
            > LPOP nothing
            (nil)
            > LPOP nothing 0
            (nil)
            > RPUSH l a b c
            (integer) 3
            > LPOP l 0
            (empty array)
            > RPOP l -1
            (error) ERR value is out of range, must be positive
            > RPOP l x
            (error) ERR value is out of range, must be positive
            > LPOP l 1 2
            (error) ERR wrong number of arguments for 'lpop' command
            > LPOP l 9223372036854775807
            1) "a"
            2) "b"
            3) "c"
            > EXISTS l
            (integer) 0
            "#,
        );
    }

    #[test]
    fn lmpop_reads_its_arguments_in_redis_order() {
        check(
            r#"
            > LMPOP 0 l LEFT
            (error) ERR numkeys should be greater than 0
            > LMPOP x l LEFT
            (error) ERR numkeys should be greater than 0
            > LMPOP 2 l LEFT
            (error) ERR syntax error
            > LMPOP 9223372036854775807 l LEFT
            (error) ERR syntax error
            > LMPOP 1 l UP
            (error) ERR syntax error
            > LMPOP 1 l LEFT COUNT
            (error) ERR syntax error
            > LMPOP 1 l LEFT COUNT 0
            (error) ERR count should be greater than 0
            > LMPOP 1 l LEFT COUNT 1 COUNT 1
            (error) ERR syntax error
            "#,
        );
    }
}
