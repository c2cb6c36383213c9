//! Looking through a database: KEYS, SCAN, RANDOMKEY.

use bytes::Bytes;

use super::{BASE, MANY_KEYS, Result};
use crate::commands::parse::Args;
use crate::commands::{Argument, ArgumentKind, Command, CommandError, Flag, Operation, Run};
use crate::keyspace::{Keyspace, ScanFilter, ScanPage, Type};
use crate::resp::{CommandArgs, ReplyBuffer};

pub(super) static KEYS: Command = Command {
    name: "keys",
    summary: "Find all keys matching the given pattern",
    complexity: "O(N) with N being the number of keys in the database, under the assumption that the key names in the \
        database and the given pattern have limited length.",
    arity: 2,
    flags: &[Flag::Readonly],
    categories: &["@keyspace", "@dangerous"],
    tips: &["request_policy:all_shards", "nondeterministic_output_order"],
    arguments: &[Argument::new("pattern", ArgumentKind::Pattern)],
    examples: r#"> MSET firstname Jack lastname Stuntman age 35
OK
> KEYS a??
1) "age"
> KEYS f*
1) "firstname"
> KEYS *z*
(empty array)"#,
    run: Run::Storage(Keys::parse),
    ..BASE
};

#[derive(Debug)]
struct Keys {
    filter: ScanFilter,
}

impl Keys {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let pattern = parse_pattern(Args::new(args).next_bytes()?);
        Ok(Box::new(Keys { filter: ScanFilter { pattern, kind: None } }))
    }
}

impl Operation for Keys {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        reply_keys(reply, &keyspace.scan(0, usize::MAX, &self.filter)?.keys);
        Ok(())
    }

    fn is_long(&self) -> bool {
        true
    }
}

pub(super) static SCAN: Command = Command {
    name: "scan",
    summary: "Incrementally iterate the keys space",
    since: "2.8.0",
    complexity: "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to \
        return back to 0. N is the number of elements inside the collection.",
    arity: -2,
    flags: &[Flag::Readonly],
    tips: &["nondeterministic_output", "request_policy:special"],
    history: &[("6.0.0", "Added the `TYPE` subcommand.")],
    arguments: &[
        Argument::integer("cursor"),
        Argument::new("pattern", ArgumentKind::Pattern).token("MATCH").optional(),
        Argument::integer("count").token("COUNT").optional(),
        Argument::string("type").token("TYPE").since("6.0.0").optional(),
    ],
    examples: r#"> MSET user:1 Ann user:2 Bob city:1 Rome
OK
> SCAN 0 MATCH city:* COUNT 100 TYPE string
1) "0"
2) 1) "city:1"
> SCAN 0 TYPE list COUNT 100
1) "0"
2) (empty array)"#,
    run: Run::Storage(Scan::parse),
    ..BASE
};

#[derive(Debug)]
struct Scan {
    cursor: u64,
    count: usize,
    /// `None`: a type that no key can have.
    filter: Option<ScanFilter>,
}

impl Scan {
    /// How many keys a call visits unless COUNT says so.
    const COUNT: usize = 10;

    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let cursor = parse_cursor(args.next()?).ok_or_else(|| CommandError::custom("ERR invalid cursor"))?;
        let (mut count, mut pattern, mut kind) = (Scan::COUNT, None, None);
        while !args.is_done() {
            if args.take_word("COUNT") {
                count =
                    usize::try_from(args.next_i64()?).ok().filter(|count| *count > 0).ok_or(CommandError::Syntax)?;
            } else if args.take_word("MATCH") {
                pattern = parse_pattern(args.next_bytes()?);
            } else if args.take_word("TYPE") {
                kind = Some(parse_type(args.next()?));
            } else {
                return Err(CommandError::Syntax);
            }
        }
        let filter = match kind {
            Some(None) => None,
            kind => Some(ScanFilter { pattern, kind: kind.flatten() }),
        };
        Ok(Box::new(Scan { cursor, count, filter }))
    }
}

impl Operation for Scan {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let page = match &self.filter {
            Some(filter) => keyspace.scan(self.cursor, self.count, filter)?,
            None => ScanPage { keys: Vec::new(), cursor: 0 },
        };
        reply.array(2);
        reply.bulk(itoa::Buffer::new().format(page.cursor).as_bytes());
        reply_keys(reply, &page.keys);
        Ok(())
    }

    fn is_long(&self) -> bool {
        self.count >= MANY_KEYS
    }
}

/// Reads a cursor as C's `strtoul` does, to which nothing is 0, -1 is the largest number, and a NUL the end.
pub(in crate::commands) fn parse_cursor(text: &[u8]) -> Option<u64> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() && !text.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0u64, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })?;
    Some(if negative { value.wrapping_neg() } else { value })
}

/// A pattern, or `None` for the one that matches everything, the empty key included.
pub(in crate::commands) fn parse_pattern(pattern: Bytes) -> Option<Bytes> {
    (pattern != "*").then_some(pattern)
}

fn parse_type(name: &[u8]) -> Option<Type> {
    Type::ALL.into_iter().find(|kind| name.eq_ignore_ascii_case(kind.name().as_bytes()))
}

fn reply_keys(reply: &mut ReplyBuffer, keys: &[Bytes]) {
    reply.array(keys.len());
    keys.iter().for_each(|key| reply.bulk(key));
}

pub(super) static RANDOMKEY: Command = Command {
    name: "randomkey",
    summary: "Return a random key from the keyspace",
    arity: 1,
    flags: &[Flag::Readonly],
    tips: &["request_policy:all_shards", "nondeterministic_output"],
    examples: r#"> RANDOMKEY
(nil)
> SET mykey Hello
OK
> RANDOMKEY
"mykey""#,
    run: Run::Storage(RandomKey::parse),
    ..BASE
};

#[derive(Debug)]
struct RandomKey;

impl RandomKey {
    fn parse(_: &CommandArgs) -> Result<Box<dyn Operation>> {
        Ok(Box::new(RandomKey))
    }
}

impl Operation for RandomKey {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        match keyspace.random_key()? {
            Some(key) => reply.bulk(&key),
            None => reply.null(),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::tests::{Harness, check};
    use crate::resp::Value;
    use std::collections::BTreeSet;

    #[test]
    fn cursors_are_read_as_redis_reads_them() {
        for (text, expected) in [
            ("", Some(0)),
            ("0", Some(0)),
            ("007", Some(7)),
            ("+5", Some(5)),
            ("-1", Some(u64::MAX)),
            ("18446744073709551615", Some(u64::MAX)),
            ("-18446744073709551615", Some(1)),
            ("18446744073709551616", None),
            ("-18446744073709551616", None),
            ("abc", None),
            (" 1", None),
            ("1 ", None),
            ("0x1", None),
            ("5\0x", Some(5)),
            ("-", None),
            ("--1", None),
        ] {
            assert_eq!(parse_cursor(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn options() {
        check(
            r#"
            > SCAN abc FOO
            (error) ERR invalid cursor
            > SCAN 0 COUNT 0
            (error) ERR syntax error
            > SCAN 0 COUNT
            (error) ERR syntax error
            > SCAN 0 COUNT abc
            (error) ERR value is not an integer or out of range
            > SCAN 0 FOO
            (error) ERR syntax error
            > SET k v
            OK
            > SCAN 0 TYPE STRING
            1) "0"
            2) 1) "k"
            > SCAN 0 TYPE unheard-of
            1) "0"
            2) (empty array)
            > SCAN 0 TYPE unheard-of TYPE string
            1) "0"
            2) 1) "k"
            > SCAN -1
            1) "0"
            2) (empty array)
            "#,
        );
    }

    #[test]
    fn a_star_matches_the_empty_key_as_well() {
        check(
            r#"
            > SET "" v
            OK
            > KEYS *
            1) ""
            > KEYS **
            (empty array)
            > SCAN 0 MATCH *
            1) "0"
            2) 1) ""
            "#,
        );
    }

    #[test]
    fn a_scan_gives_every_key_once() {
        let mut harness = Harness::new();
        let expected: BTreeSet<String> = (0..500).map(|n| format!("key:{n}")).collect();
        for key in &expected {
            harness.run(&format!("SET {key} v"));
        }
        let (mut found, mut cursor, mut calls) = (Vec::new(), "0".to_string(), 0);
        loop {
            let Value::Array(page) = harness.run(&format!("SCAN {cursor} COUNT 7")) else { panic!("an array") };
            let [Value::Bulk(next), Value::Array(keys)] = &page[..] else { panic!("a cursor and keys") };
            found.extend(keys.iter().map(|key| key.to_string().trim_matches('"').to_string()));
            cursor = String::from_utf8(next.to_vec()).unwrap();
            calls += 1;
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(found.len(), expected.len());
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
        assert_eq!(calls, 72);
    }
}
