//! Values that change their key or their database: COPY, MOVE, RENAME, RENAMENX.

use bytes::Bytes;

use super::databases::DbIndex;
use super::{BASE, Result};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, KeySpec, Operation, Run};
use crate::keyspace::{EventClass, Keyspace};
use crate::resp::{CommandArgs, ReplyBuffer};

pub(super) static COPY: Command = Command {
    name: "copy",
    summary: "Copy a key",
    since: "6.2.0",
    complexity: "O(N) worst case for collections, where N is the number of nested items. O(1) for string values.",
    arity: -3,
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[KeySpec::one(1, &["RO", "access"]), KeySpec::one(2, &["OW", "update"])],
    arguments: &[
        Argument::key("source", 0),
        Argument::key("destination", 1),
        Argument::integer("destination-db").token("DB").optional(),
        Argument::flag("replace", "REPLACE").optional(),
    ],
    examples: r#"> SET dolly sheep
OK
> COPY dolly clone
(integer) 1
> GET clone
"sheep"
> COPY dolly clone
(integer) 0
> COPY dolly dolly DB 1
(integer) 1"#,
    run: Run::Storage(Copy::parse),
    ..BASE
};

#[derive(Debug)]
struct Copy {
    source: Bytes,
    destination: Bytes,
    db: Option<DbIndex>,
    replace: bool,
    /// What was wrong with the arguments after the database: as in Redis, that one is looked at first.
    invalid: Option<CommandError>,
}

impl Copy {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let (source, destination) = (args.next_bytes()?, args.next_bytes()?);
        let mut copy = Copy { source, destination, db: None, replace: false, invalid: None };
        match copy.parse_options(&mut args) {
            Err(error) if copy.db.is_some() => copy.invalid = Some(error),
            result => result?,
        }
        Ok(Box::new(copy))
    }

    fn parse_options(&mut self, args: &mut Args<'_>) -> Result<()> {
        while !args.is_done() {
            if args.take_word("REPLACE") {
                self.replace = true;
            } else if args.take_word("DB") {
                self.db = Some(DbIndex::parse(args.next()?)?);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(())
    }
}

impl Operation for Copy {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let db = self.db.map_or(Ok(keyspace.db()), |db| db.check(keyspace))?;
        if let Some(error) = &self.invalid {
            return Err(error.clone());
        }
        if db == keyspace.db() && self.source == self.destination {
            return Err(same_object());
        }
        let copied = match keyspace.get(&self.source)? {
            Some(record) => {
                let mut destination = keyspace.entry_in_db(db, &self.destination)?;
                let free = self.replace || !destination.exists();
                if free {
                    if destination.exists() {
                        // To Redis the key that was there is gone, and this is another.
                        keyspace.notify_in_db(db, EventClass::New, "new", &self.destination);
                    }
                    keyspace.put_copy(&mut destination, &record)?;
                    keyspace.notify_in_db(db, EventClass::Generic, "copy_to", &self.destination);
                }
                free
            }
            None => false,
        };
        reply.integer(i64::from(copied));
        Ok(())
    }
}

fn same_object() -> CommandError {
    CommandError::custom("ERR source and destination objects are the same")
}

pub(super) static MOVE: Command = Command {
    name: "move",
    summary: "Move a key to another database",
    arity: 3,
    flags: &[Flag::Write, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "access", "update"])],
    arguments: &[Argument::key("key", 0), Argument::integer("db")],
    examples: r#"> SET greeting hello
OK
> MOVE greeting 1
(integer) 1
> EXISTS greeting
(integer) 0
> SELECT 1
OK
> GET greeting
"hello""#,
    run: Run::Storage(Move::parse),
    ..BASE
};

#[derive(Debug)]
struct Move {
    key: Bytes,
    db: DbIndex,
}

impl Move {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Move { key: args.next_bytes()?, db: DbIndex::parse(args.next()?)? }))
    }
}

impl Operation for Move {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let db = self.db.check(keyspace)?;
        if db == keyspace.db() {
            return Err(same_object());
        }
        let mut from = keyspace.entry(&self.key)?;
        let mut to = keyspace.entry_in_db(db, &self.key)?;
        let moves = from.exists() && !to.exists();
        if moves {
            keyspace.relocate(&mut from, &mut to)?;
            keyspace.notify(EventClass::Generic, "move_from", &self.key);
            keyspace.notify_in_db(db, EventClass::Generic, "move_to", &self.key);
        }
        reply.integer(i64::from(moves));
        Ok(())
    }
}

pub(super) static RENAME: Command = Command {
    name: "rename",
    summary: "Rename a key",
    arity: 3,
    flags: &[Flag::Write],
    keys: &[KeySpec::one(1, &["RW", "access", "delete"]), KeySpec::one(2, &["OW", "update"])],
    arguments: &[Argument::key("key", 0), Argument::key("newkey", 1)],
    examples: r#"> SET mykey Hello
OK
> RENAME mykey myotherkey
OK
> GET myotherkey
"Hello"
> RENAME mykey myotherkey
(error) ERR no such key"#,
    run: Run::Storage(|args| Rename::parse(args, false)),
    ..BASE
};

pub(super) static RENAMENX: Command = Command {
    name: "renamenx",
    summary: "Rename a key, only if the new key does not exist",
    arity: 3,
    flags: &[Flag::Write, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "access", "delete"]), KeySpec::one(2, &["OW", "insert"])],
    history: &[("3.2.0", "The command no longer returns an error when source and destination names are the same.")],
    arguments: &[Argument::key("key", 0), Argument::key("newkey", 1)],
    examples: r#"> MSET mykey Hello myotherkey World
OK
> RENAMENX mykey myotherkey
(integer) 0
> GET myotherkey
"World""#,
    run: Run::Storage(|args| Rename::parse(args, true)),
    ..BASE
};

#[derive(Debug)]
struct Rename {
    from: Bytes,
    to: Bytes,
    /// RENAMENX, which also replies differently.
    only_if_free: bool,
}

impl Rename {
    fn parse(args: &CommandArgs, only_if_free: bool) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Rename { from: args.next_bytes()?, to: args.next_bytes()?, only_if_free }))
    }

    /// Returns whether the key now has its new name, without having collided with another or with itself.
    fn rename(&self, keyspace: &mut Keyspace<'_>) -> Result<bool> {
        let mut from = keyspace.entry(&self.from)?;
        if !from.exists() {
            return Err(CommandError::NoSuchKey);
        }
        if self.from == self.to {
            return Ok(false);
        }
        let mut to = keyspace.entry(&self.to)?;
        if self.only_if_free && to.exists() {
            return Ok(false);
        }
        keyspace.relocate(&mut from, &mut to)?;
        keyspace.notify(EventClass::Generic, "rename_from", &self.from);
        keyspace.notify(EventClass::Generic, "rename_to", &self.to);
        Ok(true)
    }
}

impl Operation for Rename {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let renamed = self.rename(keyspace)?;
        match self.only_if_free {
            true => reply.integer(i64::from(renamed)),
            false => reply.ok(),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::check;

    #[test]
    fn a_renamed_key_takes_its_expiry_and_encoding_along() {
        check(
            r#"
            > SET a 1 EX 10
            OK
            > SET b 2 EX 100
            OK
            > APPEND a 2
            (integer) 2
            > RENAME a b
            OK
            > TTL b
            (integer) 10
            > OBJECT ENCODING b
            "raw"
            > SET a plain
            OK
            > RENAME a b
            OK
            > TTL b
            (integer) -1
            > DBSIZE
            (integer) 1
            "#,
        );
    }

    #[test]
    fn names_that_are_the_same_or_taken() {
        check(
            r#"
            > RENAME nothing nothing
            (error) ERR no such key
            > RENAMENX nothing other
            (error) ERR no such key
            > MSET a 1 b 2
            OK
            > RENAME a a
            OK
            > RENAMENX a a
            (integer) 0
            > RENAMENX a b
            (integer) 0
            > RENAMENX a c
            (integer) 1
            > MGET a b c
            1) (nil)
            2) "2"
            3) "1"
            "#,
        );
    }

    #[test]
    fn copies_go_to_any_database() {
        check(
            r#"
            > SET a 1 EX 10
            OK
            > COPY a b
            (integer) 1
            > TTL b
            (integer) 10
            > APPEND b 2
            (integer) 2
            > COPY b a
            (integer) 0
            > COPY b a REPLACE
            (integer) 1
            > GET a
            "12"
            > COPY a a DB 3
            (integer) 1
            > COPY nothing c
            (integer) 0
            > SELECT 3
            OK
            > GET a
            "12"
            > OBJECT ENCODING a
            "raw"
            "#,
        );
    }

    #[test]
    fn copy_refuses() {
        check(
            r#"
            > COPY nothing nothing
            (error) ERR source and destination objects are the same
            > COPY a a DB 0
            (error) ERR source and destination objects are the same
            > COPY a b DB 16
            (error) ERR DB index is out of range
            > COPY a b DB -1
            (error) ERR DB index is out of range
            > COPY a b DB x
            (error) ERR value is not an integer or out of range
            > COPY a b DB 2147483648
            (error) ERR value is out of range, value must between -2147483648 and 2147483647
            > COPY a b DB
            (error) ERR syntax error
            > COPY a b FOO
            (error) ERR syntax error
            "#,
        );
    }

    #[test]
    fn a_key_moves_only_to_where_it_is_not() {
        check(
            r#"
            > MOVE nothing 0
            (error) ERR source and destination objects are the same
            > MOVE nothing 16
            (error) ERR DB index is out of range
            > MOVE nothing x
            (error) ERR value is not an integer or out of range
            > MOVE nothing 1
            (integer) 0
            > SET a 1 EX 10
            OK
            > MOVE a 1
            (integer) 1
            > SET a 2
            OK
            > MOVE a 1
            (integer) 0
            > GET a
            "2"
            > SELECT 1
            OK
            > TTL a
            (integer) 10
            "#,
        );
    }
}
