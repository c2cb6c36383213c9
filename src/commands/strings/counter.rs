//! Values as numbers: INCR, DECR, INCRBY, DECRBY, INCRBYFLOAT.

use bytes::Bytes;

use super::{BASE, Result};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, KeySpec, Operation, Run};
use crate::keyspace::Keyspace;
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::types::string;

pub(super) static INCR: Command = Command {
    name: "incr",
    summary: "Increment the integer value of a key by one",
    arity: 2,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "access", "update"])],
    arguments: &[Argument::key("key", 0)],
    examples: r#"> SET mykey 10
OK
> INCR mykey
(integer) 11
> GET mykey
"11""#,
    run: Run::Storage(|args| Increment::parse(args, 1)),
    ..BASE
};

pub(super) static INCRBY: Command = Command {
    name: "incrby",
    summary: "Increment the integer value of a key by the given amount",
    arity: 3,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "access", "update"])],
    arguments: &[Argument::key("key", 0), Argument::integer("increment")],
    examples: r#"> SET mykey 10
OK
> INCRBY mykey 5
(integer) 15"#,
    run: Run::Storage(|args| Increment::parse(args, Args::from(args, 2).next_i64()?)),
    ..BASE
};

pub(super) static DECR: Command = Command {
    name: "decr",
    summary: "Decrement the integer value of a key by one",
    arity: 2,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "access", "update"])],
    arguments: &[Argument::key("key", 0)],
    examples: r#"> SET mykey 10
OK
> DECR mykey
(integer) 9
> SET mykey 234293482390480948029348230948
OK
> DECR mykey
(error) ERR value is not an integer or out of range"#,
    run: Run::Storage(|args| Increment::parse(args, -1)),
    ..BASE
};

pub(super) static DECRBY: Command = Command {
    name: "decrby",
    summary: "Decrement the integer value of a key by the given number",
    arity: 3,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "access", "update"])],
    arguments: &[Argument::key("key", 0), Argument::integer("decrement")],
    examples: r#"> SET mykey 10
OK
> DECRBY mykey 3
(integer) 7"#,
    run: Run::Storage(Increment::parse_decrement),
    ..BASE
};

#[derive(Debug)]
struct Increment {
    key: Bytes,
    by: i64,
}

impl Increment {
    fn parse(args: &CommandArgs, by: i64) -> Result<Box<dyn Operation>> {
        Ok(Box::new(Increment { key: Args::new(args).next_bytes()?, by }))
    }

    fn parse_decrement(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let decrement = Args::from(args, 2).next_i64()?;
        let by = decrement.checked_neg().ok_or_else(|| CommandError::custom("ERR decrement would overflow"))?;
        Increment::parse(args, by)
    }
}

impl Operation for Increment {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        reply.integer(string::increment(keyspace, &self.key, self.by)?);
        Ok(())
    }
}

pub(super) static INCRBYFLOAT: Command = Command {
    name: "incrbyfloat",
    summary: "Increment the float value of a key by the given amount",
    since: "2.6.0",
    arity: 3,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "access", "update"])],
    arguments: &[Argument::key("key", 0), Argument::double("increment")],
    examples: r#"> SET mykey 10.50
OK
> INCRBYFLOAT mykey 0.1
"10.6"
> INCRBYFLOAT mykey -5
"5.6"
> SET mykey 5.0e3
OK
> INCRBYFLOAT mykey 2.0e2
"5200""#,
    run: Run::Storage(IncrementFloat::parse),
    ..BASE
};

#[derive(Debug)]
struct IncrementFloat {
    key: Bytes,
    /// As it was sent: it is looked at after the value.
    by: Bytes,
}

impl IncrementFloat {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(IncrementFloat { key: args.next_bytes()?, by: args.next_bytes()? }))
    }
}

impl Operation for IncrementFloat {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        reply.bulk(&string::increment_float(keyspace, &self.key, &self.by)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::check;

    #[test]
    fn integers_stay_within_their_range() {
        check(
            r#"
            > DECRBY k -9223372036854775808
            (error) ERR decrement would overflow
            > INCRBY k -9223372036854775808
            (integer) -9223372036854775808
            > DECR k
            (error) ERR increment or decrement would overflow
            > INCRBY k 9223372036854775808
            (error) ERR value is not an integer or out of range
            > DECRBY k -9223372036854775807
            (integer) -1
            "#,
        );
    }

    #[test]
    fn only_numbers_count() {
        check(
            r#"
            > MSET k 012 f 1.5
            OK
            > INCR k
            (error) ERR value is not an integer or out of range
            > INCR f
            (error) ERR value is not an integer or out of range
            > INCRBY k 1.5
            (error) ERR value is not an integer or out of range
            > INCRBYFLOAT f abc
            (error) ERR value is not a valid float
            > INCRBYFLOAT f inf
            (error) ERR increment would produce NaN or Infinity
            > INCRBYFLOAT f " 1"
            (error) ERR value is not a valid float
            "#,
        );
    }

    #[test]
    fn counting_keeps_the_expiry_and_a_float_is_never_kept_as_an_integer() {
        check(
            r#"
            > SET k 1.5 EX 10
            OK
            > INCRBYFLOAT k 1.5
            "3"
            > OBJECT ENCODING k
            "embstr"
            > INCR k
            (integer) 4
            > OBJECT ENCODING k
            "int"
            > TTL k
            (integer) 10
            > INCRBYFLOAT k 1e19
            "10000000000000000004"
            "#,
        );
    }
}
