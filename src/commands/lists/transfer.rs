//! From one list to another: LMOVE, and RPOPLPUSH, which it has come to replace.

use bytes::Bytes;

use super::{BASE, ENDS, Result, next_end};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, Flag, KeySpec, Operation, Run};
use crate::keyspace::Keyspace;
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::types::list::{self, End};

pub(super) static LMOVE: Command = Command {
    name: "lmove",
    summary: "Pop an element from a list, push it to another list and return it",
    since: "6.2.0",
    arity: 5,
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[KeySpec::one(1, &["RW", "access", "delete"]), KeySpec::one(2, &["RW", "insert"])],
    arguments: &[
        Argument::key("source", 0),
        Argument::key("destination", 1),
        Argument::one_of("wherefrom", ENDS),
        Argument::one_of("whereto", ENDS),
    ],
    examples: r#"> RPUSH mylist one two three
(integer) 3
> LMOVE mylist myotherlist RIGHT LEFT
"three"
> LMOVE mylist myotherlist LEFT RIGHT
"one"
> LRANGE mylist 0 -1
1) "two"
> LRANGE myotherlist 0 -1
1) "three"
2) "one""#,
    run: Run::Storage(Lmove::parse),
    ..BASE
};

pub(super) static RPOPLPUSH: Command = Command {
    name: "rpoplpush",
    summary: "Remove the last element in a list, prepend it to another list and return it",
    since: "1.2.0",
    deprecated: Some(("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments")),
    arity: 3,
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[KeySpec::one(1, &["RW", "access", "delete"]), KeySpec::one(2, &["RW", "insert"])],
    arguments: &[Argument::key("source", 0), Argument::key("destination", 1)],
    examples: r#"> RPUSH mylist one two three
(integer) 3
> RPOPLPUSH mylist myotherlist
"three"
> LRANGE mylist 0 -1
1) "one"
2) "two"
> LRANGE myotherlist 0 -1
1) "three""#,
    run: Run::Storage(Lmove::parse_rpoplpush),
    ..BASE
};

#[derive(Debug)]
struct Lmove {
    source: Bytes,
    destination: Bytes,
    from: End,
    to: End,
}

impl Lmove {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let (source, destination) = (args.next_bytes()?, args.next_bytes()?);
        Ok(Box::new(Lmove { source, destination, from: next_end(&mut args)?, to: next_end(&mut args)? }))
    }

    fn parse_rpoplpush(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let (source, destination) = (args.next_bytes()?, args.next_bytes()?);
        Ok(Box::new(Lmove { source, destination, from: End::Right, to: End::Left }))
    }
}

impl Operation for Lmove {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        match list::move_element(keyspace, &self.source, &self.destination, self.from, self.to)? {
            Some(element) => reply.bulk(&element),
            None => reply.null(),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::check;

    #[test]
    fn a_list_is_turned_in_place() {
        check(
            r#"
            > RPUSH l a b c
            (integer) 3
            > EXPIRE l 10
            (integer) 1
            > LMOVE l l LEFT RIGHT
            "a"
            > RPOPLPUSH l l
            "a"
            > LMOVE l l left left
            "a"
            > LRANGE l 0 -1
            1) "a"
            2) "b"
            3) "c"
            > RPUSH one x
            (integer) 1
            > EXPIRE one 10
            (integer) 1
            > RPOPLPUSH one one
            "x"
            > TTL one
            (integer) 10
            > TTL l
            (integer) 10
            "#,
        );
    }

    #[test]
    fn without_a_source_nothing_else_is_looked_at() {
        check(
            r#"
            > SET s v
            OK
            > LMOVE nothing s LEFT LEFT
            (nil)
            > LMOVE nothing s LEFT FOO
            (error) ERR syntax error
            "#,
        );
    }
}
