//! BITOP: whole strings combined bit by bit.

use bytes::Bytes;

use super::{BASE, Result};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, KeySpec, Operation, Run};
use crate::keyspace::{EventClass, Keyspace, Type};
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::types::bitmap::{self, Combination};
use crate::types::string;

pub(super) static BITOP: Command = Command {
    name: "bitop",
    summary: "Perform bitwise operations between strings",
    since: "2.6.0",
    complexity: "O(N)",
    arity: -4,
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[KeySpec::one(2, &["OW", "update"]), KeySpec::range(3, -1, 1, &["RO", "access"])],
    arguments: &[Argument::string("operation"), Argument::key("destkey", 0), Argument::key("key", 1).multiple()],
    examples: r#"> SET key1 foobar
OK
> SET key2 abcdef
OK
> BITOP AND dest key1 key2
(integer) 6
> GET dest
"`bc`ab"
> BITOP NOT dest key1
(integer) 6
> GET dest
"\x99\x90\x90\x9d\x9e\x8d""#,
    run: Run::Storage(Bitop::parse),
    ..BASE
};

#[derive(Debug)]
struct Bitop {
    combination: Combination,
    destination: Bytes,
    sources: Vec<Bytes>,
}

impl Bitop {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let combination = match args.next()? {
            word if word.eq_ignore_ascii_case(b"AND") => Combination::And,
            word if word.eq_ignore_ascii_case(b"OR") => Combination::Or,
            word if word.eq_ignore_ascii_case(b"XOR") => Combination::Xor,
            word if word.eq_ignore_ascii_case(b"NOT") => Combination::Not,
            _ => return Err(CommandError::Syntax),
        };
        let (destination, sources) = (args.next_bytes()?, args.rest());
        if combination == Combination::Not && sources.len() != 1 {
            return Err(CommandError::custom("ERR BITOP NOT must be called with a single source key."));
        }
        Ok(Box::new(Bitop { combination, destination, sources }))
    }
}

impl Operation for Bitop {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let mut values = Vec::with_capacity(self.sources.len());
        for source in &self.sources {
            let record = keyspace.get_typed(source, Type::String)?;
            values.push(record.map_or(Ok(Bytes::new()), |record| string::read(keyspace, &record))?);
        }
        let combined = bitmap::combine(self.combination, &values);
        reply.integer(combined.len() as i64);
        let mut entry = keyspace.entry(&self.destination)?;
        if combined.is_empty() {
            if keyspace.remove(&mut entry)? {
                keyspace.notify(EventClass::Generic, "del", &self.destination);
            }
            return Ok(());
        }
        let record = string::raw_record(keyspace, &entry, combined)?;
        keyspace.put(&mut entry, record)?;
        keyspace.notify(EventClass::String, "set", &self.destination);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::check;

    #[test]
    fn shorter_values_and_missing_keys_are_zeros() {
        check(
            r#"
            > MSET a "\xff\x0f" b "\xf0"
            OK
            > BITOP AND d a b
            (integer) 2
            > GET d
            "\xf0\x00"
            > BITOP or d a b nothing
            (integer) 2
            > GET d
            "\xff\x0f"
            > BITOP XOR a a b
            (integer) 2
            > GET a
            "\x0f\x0f"
            > OBJECT ENCODING a
            "raw"
            "#,
        );
    }

    #[test]
    fn an_empty_result_removes_the_destination() {
        check(
            r#"
            > SET d x EX 10
            OK
            > BITOP NOT d d
            (integer) 1
            > TTL d
            (integer) -1
            > BITOP AND d nothing
            (integer) 0
            > EXISTS d
            (integer) 0
            > BITOP NOT d a b
            (error) ERR BITOP NOT must be called with a single source key.
            > BITOP FOO d a
            (error) ERR syntax error
            "#,
        );
    }
}
