//! Parts and lengths of values: APPEND, GETRANGE and its old name SUBSTR, SETRANGE, STRLEN.

use bytes::Bytes;

use super::{BASE, Result};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, KeySpec, Operation, Run};
use crate::keyspace::{Keyspace, Type};
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::types::string;

pub(super) static APPEND: Command = Command {
    name: "append",
    summary: "Append a value to a key",
    since: "2.0.0",
    complexity: "O(1). The amortized time complexity is O(1) assuming the appended value is small and the already \
        present value is of any size, since the dynamic string library used by Redis will double the free space \
        available on every reallocation.",
    arity: 3,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "insert"])],
    arguments: &[Argument::key("key", 0), Argument::string("value")],
    examples: r#"> EXISTS mykey
(integer) 0
> APPEND mykey Hello
(integer) 5
> APPEND mykey " World"
(integer) 11
> GET mykey
"Hello World""#,
    run: Run::Storage(Append::parse),
    ..BASE
};

#[derive(Debug)]
struct Append {
    key: Bytes,
    suffix: Bytes,
}

impl Append {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Append { key: args.next_bytes()?, suffix: args.next_bytes()? }))
    }
}

impl Operation for Append {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        reply.integer(string::append(keyspace, &self.key, &self.suffix)? as i64);
        Ok(())
    }
}

pub(super) static SETRANGE: Command = Command {
    name: "setrange",
    summary: "Overwrite part of a string at key starting at the specified offset",
    since: "2.2.0",
    complexity: "O(1), not counting the time taken to copy the new string in place. Usually, this string is very \
        small so the amortized complexity is O(1). Otherwise, complexity is O(M) with M being the length of the value \
        argument.",
    arity: 4,
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[KeySpec::one(1, &["RW", "update"])],
    arguments: &[Argument::key("key", 0), Argument::integer("offset"), Argument::string("value")],
    examples: r#"> SET key1 "Hello World"
OK
> SETRANGE key1 6 Redis
(integer) 11
> GET key1
"Hello Redis"
> SETRANGE key2 6 Redis
(integer) 11
> GET key2
"\x00\x00\x00\x00\x00\x00Redis""#,
    run: Run::Storage(Setrange::parse),
    ..BASE
};

#[derive(Debug)]
struct Setrange {
    key: Bytes,
    offset: usize,
    patch: Bytes,
}

impl Setrange {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let (key, offset, patch) = (args.next_bytes()?, args.next_i64()?, args.next_bytes()?);
        let offset = usize::try_from(offset).map_err(|_| CommandError::custom("ERR offset is out of range"))?;
        Ok(Box::new(Setrange { key, offset, patch }))
    }
}

impl Operation for Setrange {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        reply.integer(string::set_range(keyspace, &self.key, self.offset, &self.patch)? as i64);
        Ok(())
    }
}

pub(super) static GETRANGE: Command = Command {
    name: "getrange",
    summary: "Get a substring of the string stored at a key",
    since: "2.4.0",
    complexity: "O(N) where N is the length of the returned string. The complexity is ultimately determined by the \
        returned length, but because creating a substring from an existing string is very cheap, it can be considered \
        O(1) for small strings.",
    arity: 4,
    flags: &[Flag::Readonly],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0), Argument::integer("start"), Argument::integer("end")],
    examples: r#"> SET mykey "This is a string"
OK
> GETRANGE mykey 0 3
"This"
> GETRANGE mykey -3 -1
"ing"
> GETRANGE mykey 0 -1
"This is a string"
> GETRANGE mykey 10 100
"string""#,
    run: Run::Storage(Getrange::parse),
    ..BASE
};

pub(super) static SUBSTR: Command = Command {
    name: "substr",
    summary: "Get a substring of the string stored at a key",
    complexity: "O(N) where N is the length of the returned string. The complexity is ultimately determined by the \
        returned length, but because creating a substring from an existing string is very cheap, it can be considered \
        O(1) for small strings.",
    deprecated: Some(("2.0.0", "`GETRANGE`")),
    arity: 4,
    flags: &[Flag::Readonly],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0), Argument::integer("start"), Argument::integer("end")],
    examples: r#"> SET mykey "This is a string"
OK
> SUBSTR mykey 0 3
"This""#,
    run: Run::Storage(Getrange::parse),
    ..BASE
};

#[derive(Debug)]
struct Getrange {
    key: Bytes,
    start: i64,
    end: i64,
}

impl Getrange {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Getrange { key: args.next_bytes()?, start: args.next_i64()?, end: args.next_i64()? }))
    }
}

impl Operation for Getrange {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let value = match keyspace.get_typed(&self.key, Type::String)? {
            Some(record) => {
                let range = string::range(string::len(&record)?, self.start, self.end);
                string::read_range(keyspace, &record, range)?
            }
            None => Bytes::new(),
        };
        reply.bulk(&value);
        Ok(())
    }
}

pub(super) static STRLEN: Command = Command {
    name: "strlen",
    summary: "Get the length of the value stored in a key",
    since: "2.2.0",
    arity: 2,
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[KeySpec::one(1, &["RO"])],
    arguments: &[Argument::key("key", 0)],
    examples: r#"> SET mykey "Hello world"
OK
> STRLEN mykey
(integer) 11
> STRLEN nonexisting
(integer) 0"#,
    run: Run::Storage(Strlen::parse),
    ..BASE
};

#[derive(Debug)]
struct Strlen {
    key: Bytes,
}

impl Strlen {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        Ok(Box::new(Strlen { key: Args::new(args).next_bytes()? }))
    }
}

impl Operation for Strlen {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let record = keyspace.get_typed(&self.key, Type::String)?;
        reply.integer(record.map_or(Ok(0), |record| string::len(&record))? as i64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::check;

    #[test]
    fn values_grow_where_they_are_written() {
        check(
            r#"
            > SETRANGE k 3 ""
            (integer) 0
            > EXISTS k
            (integer) 0
            > SETRANGE k 3 abc
            (integer) 6
            > SETRANGE k 1 x
            (integer) 6
            > GET k
            "\x00x\x00abc"
            > SETRANGE k 100 ""
            (integer) 6
            > APPEND k ""
            (integer) 6
            > APPEND other ""
            (integer) 0
            > EXISTS other
            (integer) 1
            "#,
        );
    }

    #[test]
    fn what_is_changed_in_place_keeps_its_expiry_and_is_raw() {
        check(
            r#"
            > SET k 12 EX 10
            OK
            > APPEND k 3
            (integer) 3
            > TTL k
            (integer) 10
            > OBJECT ENCODING k
            "raw"
            > SETRANGE k 0 4
            (integer) 3
            > TTL k
            (integer) 10
            > INCR k
            (integer) 424
            > OBJECT ENCODING k
            "int"
            > APPEND fresh 12
            (integer) 2
            > OBJECT ENCODING fresh
            "int"
            > SETRANGE fresher 0 12
            (integer) 2
            > OBJECT ENCODING fresher
            "raw"
            "#,
        );
    }

    #[test]
    fn no_value_grows_beyond_the_limit() {
        check(
            r#"
            > SETRANGE k -1 x
            (error) ERR offset is out of range
            > SETRANGE k abc x
            (error) ERR value is not an integer or out of range
            > SETRANGE k 536870912 x
            (error) ERR string exceeds maximum allowed size (proto-max-bulk-len)
            > SETRANGE k 9223372036854775807 x
            (error) ERR string exceeds maximum allowed size (proto-max-bulk-len)
            > SETRANGE k 536870912 ""
            (integer) 0
            > SET k abc
            OK
            > SETRANGE k 536870911 xy
            (error) ERR string exceeds maximum allowed size (proto-max-bulk-len)
            > GET k
            "abc"
            "#,
        );
    }

    #[test]
    fn ranges_count_from_both_ends() {
        check(
            r#"
            > SET k Hello
            OK
            > GETRANGE k 1 -2
            "ell"
            > GETRANGE k 3 1
            ""
            > GETRANGE k -100 -100
            "H"
            > GETRANGE k -1 -2
            ""
            > GETRANGE k 5 10
            ""
            > GETRANGE nothing 0 -1
            ""
            > SUBSTR k 0 x
            (error) ERR value is not an integer or out of range
            "#,
        );
    }
}
