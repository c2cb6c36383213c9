//! Reading whole values: GET, MGET, and GETDEL and GETEX, which also do something to the key.

use bytes::Bytes;

use super::{BASE, Result, reply_value};
use crate::commands::keys::MANY_KEYS;
use crate::commands::keys::expiry::{Due, TimeOption, expire_at};
use crate::commands::parse::Args;
use crate::commands::{Argument, ArgumentKind, Command, CommandError, Flag, KeySpec, Operation, Run};
use crate::keyspace::{EventClass, Keyspace, Type};
use crate::resp::{CommandArgs, ReplyBuffer};

pub(super) static GET: Command = Command {
    name: "get",
    summary: "Get the value of a key",
    arity: 2,
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0)],
    examples: r#"> GET nonexisting
(nil)
> SET mykey Hello
OK
> GET mykey
"Hello""#,
    run: Run::Storage(Get::parse),
    ..BASE
};

#[derive(Debug)]
struct Get {
    key: Bytes,
}

impl Get {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        Ok(Box::new(Get { key: Args::new(args).next_bytes()? }))
    }
}

impl Operation for Get {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let record = keyspace.get_typed(&self.key, Type::String)?;
        reply_value(keyspace, reply, record.as_ref())?;
        Ok(())
    }
}

pub(super) static MGET: Command = Command {
    name: "mget",
    summary: "Get the values of all the given keys",
    complexity: "O(N) where N is the number of keys to retrieve.",
    arity: -2,
    flags: &[Flag::Readonly, Flag::Fast],
    tips: &["request_policy:multi_shard"],
    keys: &[KeySpec::range(1, -1, 1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0).multiple()],
    examples: r#"> MSET key1 Hello key2 World
OK
> MGET key1 key2 nonexisting
1) "Hello"
2) "World"
3) (nil)"#,
    run: Run::Storage(Mget::parse),
    ..BASE
};

#[derive(Debug)]
struct Mget {
    keys: Vec<Bytes>,
}

impl Mget {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        Ok(Box::new(Mget { keys: Args::new(args).rest() }))
    }
}

impl Operation for Mget {
    /// A key of another type has no value here: MGET never fails.
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        reply.array(self.keys.len());
        for key in &self.keys {
            let record = keyspace.get(key)?.filter(|record| record.kind == Type::String);
            reply_value(keyspace, reply, record.as_ref())?;
        }
        Ok(())
    }

    fn is_long(&self) -> bool {
        self.keys.len() >= MANY_KEYS
    }
}

pub(super) static GETDEL: Command = Command {
    name: "getdel",
    summary: "Get the value of a key and delete the key",
    since: "6.2.0",
    arity: 2,
    flags: &[Flag::Write, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "access", "delete"])],
    arguments: &[Argument::key("key", 0)],
    examples: r#"> SET mykey Hello
OK
> GETDEL mykey
"Hello"
> GET mykey
(nil)"#,
    run: Run::Storage(Getdel::parse),
    ..BASE
};

#[derive(Debug)]
struct Getdel {
    key: Bytes,
}

impl Getdel {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        Ok(Box::new(Getdel { key: Args::new(args).next_bytes()? }))
    }
}

impl Operation for Getdel {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let mut entry = keyspace.read_entry_typed(&self.key, Type::String)?;
        reply_value(keyspace, reply, entry.record())?;
        if keyspace.remove(&mut entry)? {
            keyspace.notify(EventClass::Generic, "del", &self.key);
        }
        Ok(())
    }
}

pub(super) static GETEX: Command = Command {
    name: "getex",
    summary: "Get the value of a key and optionally set its expiration",
    since: "6.2.0",
    arity: -2,
    flags: &[Flag::Write, Flag::Fast],
    keys: &[KeySpec {
        notes: "RW and UPDATE because it changes the TTL",
        ..KeySpec::one(1, &["RW", "access", "update"])
    }],
    arguments: &[
        Argument::key("key", 0),
        Argument::one_of(
            "expiration",
            &[
                Argument::integer("seconds").token("EX"),
                Argument::integer("milliseconds").token("PX"),
                Argument::new("unix-time-seconds", ArgumentKind::UnixTime).token("EXAT"),
                Argument::new("unix-time-milliseconds", ArgumentKind::UnixTime).token("PXAT"),
                Argument::flag("persist", "PERSIST"),
            ],
        )
        .optional(),
    ],
    examples: r#"> SET mykey Hello
OK
> GETEX mykey EX 60
"Hello"
> TTL mykey
(integer) 60
> GETEX mykey PERSIST
"Hello"
> TTL mykey
(integer) -1"#,
    run: Run::Storage(Getex::parse),
    ..BASE
};

#[derive(Debug)]
struct Getex {
    key: Bytes,
    /// An invalid time is an error only for a key that is there, as in Redis.
    change: Result<ExpiryChange>,
}

#[derive(Clone, Copy, Debug)]
enum ExpiryChange {
    Nothing,
    Persist,
    At(Due),
}

impl Getex {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let key = args.next_bytes()?;
        let mut time = TimeOption::default();
        let mut persist = false;
        while !args.is_done() {
            if time.is_none() && args.take_word("PERSIST") {
                persist = true;
            } else if persist || !time.take(&mut args) {
                return Err(CommandError::Syntax);
            }
        }
        let change = time.due("getex").map(|due| match due {
            Some(due) => ExpiryChange::At(due),
            None if persist => ExpiryChange::Persist,
            None => ExpiryChange::Nothing,
        });
        Ok(Box::new(Getex { key, change }))
    }
}

impl Operation for Getex {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let mut entry = keyspace.read_entry_typed(&self.key, Type::String)?;
        reply_value(keyspace, reply, entry.record())?;
        if !entry.exists() {
            return Ok(());
        }
        match self.change.clone()? {
            ExpiryChange::Nothing => {}
            ExpiryChange::Persist => {
                if keyspace.set_expiry(&mut entry, None)? {
                    keyspace.notify(EventClass::Generic, "persist", &self.key);
                }
            }
            ExpiryChange::At(due) => expire_at(keyspace, &mut entry, due.at(keyspace.now_ms())?)?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::check;

    #[test]
    fn values_of_other_types_and_missing_ones() {
        check(
            r#"
            > GET nothing
            (nil)
            > MGET nothing nothing
            1) (nil)
            2) (nil)
            > GETDEL nothing
            (nil)
            "#,
        );
    }

    #[test]
    fn getex_changes_the_expiry_as_told() {
        check(
            r#"
            > SET k v
            OK
            > GETEX k EX 10
            "v"
            > TTL k
            (integer) 10
            > GETEX k
            "v"
            > TTL k
            (integer) 10
            > GETEX k PX 2500 PX 3500
            "v"
            > PTTL k
            (integer) 3500
            > GETEX k PERSIST PERSIST
            "v"
            > TTL k
            (integer) -1
            > GETEX k PXAT 33177117420000
            "v"
            > PEXPIRETIME k
            (integer) 33177117420000
            > GETEX k EXAT 1
            "v"
            > EXISTS k
            (integer) 0
            "#,
        );
    }

    #[test]
    fn getex_looks_at_the_syntax_first_at_the_key_next_and_at_the_time_last() {
        check(
            r#"
            > GETEX nothing EX abc PX 1
            (error) ERR syntax error
            > GETEX nothing EX 10 PERSIST
            (error) ERR syntax error
            > GETEX nothing PERSIST EX 10
            (error) ERR syntax error
            > GETEX nothing EX
            (error) ERR syntax error
            > GETEX nothing KEEPTTL
            (error) ERR syntax error
            > GETEX nothing EX abc
            (nil)
            > SET k v
            OK
            > GETEX k EX abc
            (error) ERR value is not an integer or out of range
            > GETEX k EX 0
            (error) ERR invalid expire time in 'getex' command
            > GETEX k PX 9223372036854775807
            (error) ERR invalid expire time in 'getex' command
            "#,
        );
    }
}
