//! Writing whole values: SET and the commands it has come to replace, MSET and MSETNX.

use bytes::Bytes;

use super::{BASE, Result, reply_value};
use crate::commands::keys::expiry::{Due, TimeFormat, TimeOption};
use crate::commands::parse::Args;
use crate::commands::{Argument, ArgumentKind, Command, CommandError, Flag, KeySpec, Operation, Run};
use crate::keyspace::{EventClass, Keyspace, Record, Type};
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::types::string;

pub(super) static SET: Command = Command {
    name: "set",
    summary: "Set the string value of a key",
    arity: -3,
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[KeySpec {
        notes: "RW and ACCESS due to the optional `GET` argument",
        ..KeySpec::one(1, &["RW", "access", "update", "variable_flags"])
    }],
    history: &[
        ("2.6.12", "Added the `EX`, `PX`, `NX` and `XX` options."),
        ("6.0.0", "Added the `KEEPTTL` option."),
        ("6.2.0", "Added the `GET`, `EXAT` and `PXAT` option."),
        ("7.0.0", "Allowed the `NX` and `GET` options to be used together."),
    ],
    arguments: &[
        Argument::key("key", 0),
        Argument::string("value"),
        Argument::one_of("condition", &[Argument::flag("nx", "NX"), Argument::flag("xx", "XX")])
            .since("2.6.12")
            .optional(),
        Argument::flag("get", "GET").since("6.2.0").optional(),
        Argument::one_of(
            "expiration",
            &[
                Argument::integer("seconds").token("EX").since("2.6.12"),
                Argument::integer("milliseconds").token("PX").since("2.6.12"),
                Argument::new("unix-time-seconds", ArgumentKind::UnixTime).token("EXAT").since("6.2.0"),
                Argument::new("unix-time-milliseconds", ArgumentKind::UnixTime).token("PXAT").since("6.2.0"),
                Argument::flag("keepttl", "KEEPTTL").since("6.0.0"),
            ],
        )
        .optional(),
    ],
    examples: r#"> SET mykey Hello
OK
> SET mykey World NX
(nil)
> SET mykey World XX GET
"Hello"
> GET mykey
"World"
> SET another "will expire in a minute" EX 60
OK
> TTL another
(integer) 60"#,
    run: Run::Storage(Set::parse),
    ..BASE
};

pub(super) static GETSET: Command = Command {
    name: "getset",
    summary: "Set the string value of a key and return its old value",
    deprecated: Some(("6.2.0", "`SET` with the `!GET` argument")),
    arity: 3,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "access", "update"])],
    arguments: &[Argument::key("key", 0), Argument::string("value")],
    examples: r#"> INCR mycounter
(integer) 1
> GETSET mycounter 0
"1"
> GET mycounter
"0""#,
    run: Run::Storage(Set::parse_getset),
    ..BASE
};

pub(super) static SETEX: Command = Command {
    name: "setex",
    summary: "Set the value and expiration of a key",
    since: "2.0.0",
    arity: 4,
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[KeySpec::one(1, &["OW", "update"])],
    arguments: &[Argument::key("key", 0), Argument::integer("seconds"), Argument::string("value")],
    examples: r#"> SETEX mykey 10 Hello
OK
> TTL mykey
(integer) 10
> GET mykey
"Hello""#,
    run: Run::Storage(|args| Set::parse_setex(args, TimeFormat::EX, "setex")),
    ..BASE
};

pub(super) static PSETEX: Command = Command {
    name: "psetex",
    summary: "Set the value and expiration in milliseconds of a key",
    since: "2.6.0",
    arity: 4,
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[KeySpec::one(1, &["OW", "update"])],
    arguments: &[Argument::key("key", 0), Argument::integer("milliseconds"), Argument::string("value")],
    examples: r#"> PSETEX mykey 60000 Hello
OK
> TTL mykey
(integer) 60
> GET mykey
"Hello""#,
    run: Run::Storage(|args| Set::parse_setex(args, TimeFormat::PX, "psetex")),
    ..BASE
};

#[derive(Debug)]
struct Set {
    key: Bytes,
    value: Bytes,
    condition: Condition,
    expiry: Expiry,
    /// Reply what was there before instead of OK or nil.
    get: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Condition {
    Always,
    IfAbsent,
    IfPresent,
}

/// When the new value expires.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expiry {
    Never,
    AsBefore,
    At(Due),
}

impl Set {
    fn new(key: Bytes, value: Bytes) -> Set {
        Set { key, value, condition: Condition::Always, expiry: Expiry::Never, get: false }
    }

    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let mut set = Set::new(args.next_bytes()?, args.next_bytes()?);
        let mut time = TimeOption::default();
        while !args.is_done() {
            if set.condition != Condition::IfPresent && args.take_word("NX") {
                set.condition = Condition::IfAbsent;
            } else if set.condition != Condition::IfAbsent && args.take_word("XX") {
                set.condition = Condition::IfPresent;
            } else if args.take_word("GET") {
                set.get = true;
            } else if time.is_none() && args.take_word("KEEPTTL") {
                set.expiry = Expiry::AsBefore;
            } else if set.expiry == Expiry::AsBefore || !time.take(&mut args) {
                return Err(CommandError::Syntax);
            }
        }
        if let Some(due) = time.due("set")? {
            set.expiry = Expiry::At(due);
        }
        Ok(Box::new(set))
    }

    fn parse_getset(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Set { get: true, ..Set::new(args.next_bytes()?, args.next_bytes()?) }))
    }

    fn parse_setex(args: &CommandArgs, format: TimeFormat, command: &'static str) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let (key, time, value) = (args.next_bytes()?, args.next()?, args.next_bytes()?);
        Ok(Box::new(Set { expiry: Expiry::At(Due::to_come(time, format, command)?), ..Set::new(key, value) }))
    }
}

impl Operation for Set {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let expire_ms = match self.expiry {
            Expiry::At(due) => Some(due.at(keyspace.now_ms())?),
            Expiry::Never | Expiry::AsBefore => None,
        };
        let mut entry = match self.get {
            true => keyspace.read_entry_typed(&self.key, Type::String)?,
            false => keyspace.entry(&self.key)?,
        };
        let set = match self.condition {
            Condition::Always => true,
            Condition::IfAbsent => !entry.exists(),
            Condition::IfPresent => entry.exists(),
        };
        match (self.get, set) {
            (true, _) => reply_value(keyspace, reply, entry.record())?,
            (false, true) => reply.ok(),
            (false, false) => reply.null(),
        }
        if !set {
            return Ok(());
        }
        let record = string::record(keyspace, &entry, self.value.clone())?;
        match self.expiry {
            Expiry::AsBefore => keyspace.put_keeping_ttl(&mut entry, record)?,
            _ => keyspace.put(&mut entry, Record { expire_ms, ..record })?,
        }
        keyspace.notify(EventClass::String, "set", &self.key);
        if matches!(self.expiry, Expiry::At(_)) {
            keyspace.notify(EventClass::Generic, "expire", &self.key);
        }
        Ok(())
    }
}

pub(super) static MSET: Command = Command {
    name: "mset",
    summary: "Set multiple keys to multiple values",
    since: "1.0.1",
    complexity: "O(N) where N is the number of keys to set.",
    arity: -3,
    flags: &[Flag::Write, Flag::Denyoom],
    tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
    keys: &[KeySpec::range(1, -1, 2, &["OW", "update"])],
    arguments: &[Argument::block("key_value", &[Argument::key("key", 0), Argument::string("value")]).multiple()],
    examples: r#"> MSET key1 Hello key2 World
OK
> GET key1
"Hello"
> GET key2
"World""#,
    run: Run::Storage(|args| Mset::parse(args, "mset", false)),
    ..BASE
};

pub(super) static MSETNX: Command = Command {
    name: "msetnx",
    summary: "Set multiple keys to multiple values, only if none of the keys exist",
    since: "1.0.1",
    complexity: "O(N) where N is the number of keys to set.",
    arity: -3,
    flags: &[Flag::Write, Flag::Denyoom],
    tips: &["request_policy:multi_shard", "response_policy:agg_min"],
    keys: &[KeySpec::range(1, -1, 2, &["OW", "insert"])],
    arguments: &[Argument::block("key_value", &[Argument::key("key", 0), Argument::string("value")]).multiple()],
    examples: r#"> MSETNX key1 Hello key2 there
(integer) 1
> MSETNX key2 new key3 world
(integer) 0
> MGET key1 key2 key3
1) "Hello"
2) "there"
3) (nil)"#,
    run: Run::Storage(|args| Mset::parse(args, "msetnx", true)),
    ..BASE
};

pub(super) static SETNX: Command = Command {
    name: "setnx",
    summary: "Set the value of a key, only if the key does not exist",
    arity: 3,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[KeySpec::one(1, &["OW", "insert"])],
    arguments: &[Argument::key("key", 0), Argument::string("value")],
    examples: r#"> SETNX mykey Hello
(integer) 1
> SETNX mykey World
(integer) 0
> GET mykey
"Hello""#,
    run: Run::Storage(|args| Mset::parse(args, "setnx", true)),
    ..BASE
};

/// MSET; or, if no key may be there before, MSETNX, of which SETNX is the case of one key.
#[derive(Debug)]
struct Mset {
    pairs: Vec<(Bytes, Bytes)>,
    only_if_none_exists: bool,
}

impl Mset {
    fn parse(args: &CommandArgs, command: &str, only_if_none_exists: bool) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        if !args.remaining().is_multiple_of(2) {
            return Err(CommandError::Arity(command.to_string()));
        }
        let mut pairs = Vec::with_capacity(args.remaining() / 2);
        while !args.is_done() {
            pairs.push((args.next_bytes()?, args.next_bytes()?));
        }
        Ok(Box::new(Mset { pairs, only_if_none_exists }))
    }
}

impl Operation for Mset {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        if self.only_if_none_exists {
            for (key, _) in &self.pairs {
                if keyspace.peek(key)?.is_some() {
                    reply.integer(0);
                    return Ok(());
                }
            }
        }
        for (key, value) in &self.pairs {
            let mut entry = keyspace.entry(key)?;
            let record = string::record(keyspace, &entry, value.clone())?;
            keyspace.put(&mut entry, record)?;
            keyspace.notify(EventClass::String, "set", key);
        }
        match self.only_if_none_exists {
            true => reply.integer(1),
            false => reply.ok(),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::check;

    #[test]
    fn set_with_conditions() {
        check(
            r#"
            > SET k v XX
            (nil)
            > SET k v NX NX
            OK
            > SET k w NX
            (nil)
            > SET k w NX GET
            "v"
            > SET k w XX GET GET
            "v"
            > SET other w XX GET
            (nil)
            > SET other w NX GET
            (nil)
            > MGET k other
            1) "w"
            2) "w"
            "#,
        );
    }

    #[test]
    fn set_forgets_the_expiry_unless_told_otherwise() {
        check(
            r#"
            > SET k v EX 10
            OK
            > SET k w KEEPTTL KEEPTTL
            OK
            > TTL k
            (integer) 10
            > GETSET k x
            "w"
            > TTL k
            (integer) -1
            > SET k v PX 1500
            OK
            @ 1500
            > GET k
            "v"
            @ 1
            > GET k
            (nil)
            > SET k v EXAT 1
            OK
            > GET k
            (nil)
            "#,
        );
    }

    #[test]
    fn options_that_exclude_one_another() {
        check(
            r#"
            > SET k v NX XX
            (error) ERR syntax error
            > SET k v XX NX
            (error) ERR syntax error
            > SET k v EX 10 PX 10
            (error) ERR syntax error
            > SET k v EX 10 KEEPTTL
            (error) ERR syntax error
            > SET k v KEEPTTL EX 10
            (error) ERR syntax error
            > SET k v PERSIST
            (error) ERR syntax error
            > SET k v EX
            (error) ERR syntax error
            > SET k v EX abc FOO
            (error) ERR syntax error
            > SET k v EX 10 EX 20
            OK
            > TTL k
            (integer) 20
            "#,
        );
    }

    #[test]
    fn times_that_are_none() {
        check(
            r#"
            > SET k v EX abc
            (error) ERR value is not an integer or out of range
            > SET k v EX 0
            (error) ERR invalid expire time in 'set' command
            > SET k v EX 9223372036854775
            (error) ERR invalid expire time in 'set' command
            > SET k v PX 9223372036854775807 GET
            (error) ERR invalid expire time in 'set' command
            > SETEX k -1 v
            (error) ERR invalid expire time in 'setex' command
            > PSETEX k 0 v
            (error) ERR invalid expire time in 'psetex' command
            > EXISTS k
            (integer) 0
            > SET k v PXAT 9223372036854775807
            OK
            > PEXPIRETIME k
            (integer) 9223372036854775807
            "#,
        );
    }

    #[test]
    fn mset_takes_pairs_and_msetnx_all_or_nothing() {
        check(
            r#"
            > MSET a 1 b
            (error) ERR wrong number of arguments for 'mset' command
            > MSETNX a 1 b
            (error) ERR wrong number of arguments for 'msetnx' command
            > MSETNX a 1 a 2
            (integer) 1
            > GET a
            "2"
            > MSETNX b 1 a 1
            (integer) 0
            > EXPIRE a 10
            (integer) 1
            > MSET b 1 a 3
            OK
            > TTL a
            (integer) -1
            > SETNX a 4
            (integer) 0
            "#,
        );
    }
}
