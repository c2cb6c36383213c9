//! Values as bytes that another server can load: DUMP and RESTORE.

use bytes::Bytes;

use super::{BASE, Result};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, KeySpec, Operation, Run};
use crate::keyspace::{EventClass, Keyspace};
use crate::number;
use crate::rdb;
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::types::dump;

pub(super) static DUMP: Command = Command {
    name: "dump",
    summary: "Return a serialized version of the value stored at the specified key.",
    since: "2.6.0",
    complexity: "O(1) to access the key and additional O(N*M) to serialize it, where N is the number of Redis objects \
        composing the value and M their average size. For small string values the time complexity is thus O(1)+O(1*M) \
        where M is small, so simply O(1).",
    arity: 2,
    flags: &[Flag::Readonly],
    tips: &["nondeterministic_output"],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0)],
    examples: r#"> SET mykey 10
OK
> DUMP mykey
"\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb"
> DUMP nosuchkey
(nil)"#,
    run: Run::Storage(Dump::parse),
    ..BASE
};

#[derive(Debug)]
struct Dump {
    key: Bytes,
}

impl Dump {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        Ok(Box::new(Dump { key: Args::new(args).next_bytes()? }))
    }
}

impl Operation for Dump {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        match keyspace.get(&self.key)? {
            Some(record) => reply.bulk(&dump::dump(keyspace, &record)?),
            None => reply.null(),
        }
        Ok(())
    }
}

pub(super) static RESTORE: Command = Command {
    name: "restore",
    summary: "Create a key using the provided serialized value, previously obtained using DUMP.",
    since: "2.6.0",
    complexity: "O(1) to create the new key and additional O(N*M) to reconstruct the serialized value, where N is the \
        number of Redis objects composing the value and M their average size. For small string values the time \
        complexity is thus O(1)+O(1*M) where M is small, so simply O(1). However for sorted set values the complexity \
        is O(N*M*log(N)) because inserting values into sorted sets is O(log(N)).",
    arity: -4,
    flags: &[Flag::Write, Flag::Denyoom],
    categories: &["@keyspace", "@dangerous"],
    keys: &[KeySpec::one(1, &["OW", "update"])],
    history: &[
        ("3.0.0", "Added the `REPLACE` modifier."),
        ("5.0.0", "Added the `ABSTTL` modifier."),
        ("5.0.0", "Added the `IDLETIME` and `FREQ` options."),
    ],
    arguments: &[
        Argument::key("key", 0),
        Argument::integer("ttl"),
        Argument::string("serialized-value"),
        Argument::flag("replace", "REPLACE").since("3.0.0").optional(),
        Argument::flag("absttl", "ABSTTL").since("5.0.0").optional(),
        Argument::integer("seconds").token("IDLETIME").since("5.0.0").optional(),
        Argument::integer("frequency").token("FREQ").since("5.0.0").optional(),
    ],
    examples: r#"> RESTORE mykey 0 "\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb"
OK
> GET mykey
"10"
> RESTORE mykey 0 "\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb"
(error) BUSYKEY Target key name already exists.
> RESTORE mykey 60000 "\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb" REPLACE
OK
> TTL mykey
(integer) 60"#,
    run: Run::Storage(Restore::parse),
    ..BASE
};

#[derive(Debug)]
struct Restore {
    key: Bytes,
    /// Milliseconds as they were given: that the key is there already is the graver error.
    ttl: Bytes,
    payload: Bytes,
    replace: bool,
    /// The time to live is a moment.
    absolute: bool,
}

impl Restore {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let (key, ttl, payload) = (args.next_bytes()?, args.next_bytes()?, args.next_bytes()?);
        let mut restore = Restore { key, ttl, payload, replace: false, absolute: false };
        let (mut idle_time, mut frequency) = (false, false);
        while !args.is_done() {
            let has_value = args.remaining() > 1;
            if args.take_word("REPLACE") {
                restore.replace = true;
            } else if args.take_word("ABSTTL") {
                restore.absolute = true;
            } else if has_value && !frequency && args.take_word("IDLETIME") {
                // Nothing is evicted here, so how long a value was idle, or how often it was used, is of no use.
                if args.next_i64()? < 0 {
                    return Err(CommandError::custom("ERR Invalid IDLETIME value, must be >= 0"));
                }
                idle_time = true;
            } else if has_value && !idle_time && args.take_word("FREQ") {
                if !(0..=255).contains(&args.next_i64()?) {
                    return Err(CommandError::custom("ERR Invalid FREQ value, must be >= 0 and <= 255"));
                }
                frequency = true;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(Box::new(restore))
    }

    /// When the value expires; a moment that has passed already is one too.
    fn due(&self, now_ms: u64) -> Result<Option<i64>> {
        let ttl = number::parse_i64(&self.ttl).ok_or(CommandError::NotInteger)?;
        match ttl {
            ..0 => Err(CommandError::custom("ERR Invalid TTL value, must be >= 0")),
            0 => Ok(None),
            moment if self.absolute => Ok(Some(moment)),
            // As in Redis, one beyond all times wraps around to long ago.
            ttl => Ok(Some(ttl.wrapping_add(now_ms as i64))),
        }
    }
}

impl Operation for Restore {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let mut entry = keyspace.entry(&self.key)?;
        if entry.exists() && !self.replace {
            return Err(CommandError::custom("BUSYKEY Target key name already exists."));
        }
        let now_ms = keyspace.now_ms();
        let due = self.due(now_ms)?;
        let value = rdb::load(&self.payload).map_err(|error| CommandError::custom(format!("ERR {error}")))?;
        let removed = keyspace.remove(&mut entry)?;
        reply.ok();
        let expire_ms = due.map(|due| u64::try_from(due).unwrap_or(0));
        if expire_ms.is_some_and(|due| due <= now_ms) {
            if removed {
                keyspace.notify(EventClass::Generic, "del", &self.key);
            }
            return Ok(());
        }
        dump::restore(keyspace, &self.key, value, expire_ms)?;
        keyspace.notify(EventClass::Generic, "restore", &self.key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::{Harness, check};
    use crate::resp::Value;

    #[test]
    fn values_of_every_type_come_back_as_they_were() {
        let long = "x".repeat(300);
        for (make, read) in [
            ("SET k 12".to_string(), "GET k"),
            (format!("SET k {long}"), "GET k"),
            ("RPUSH k a 1 \"\" b".to_string(), "LRANGE k 0 -1"),
            (format!("RPUSH k {long} {long} {long} {long} 5"), "LRANGE k 0 -1"),
            ("SADD k 1 -5 100000".to_string(), "SORT k"),
            (format!("SADD k a {long}1 {long}2 {long}3 {long}4"), "SORT k ALPHA"),
            ("HSET k f v g 1".to_string(), "HGETALL k"),
            (format!("HSET k f {long} g {long} h {long} i {long}"), "HMGET k f g h i j"),
            ("ZADD k 1 a -2.5 b inf c".to_string(), "ZRANGE k 0 -1 WITHSCORES"),
            (format!("ZADD k 1 {long}1 -2.5 {long}2 inf {long}3 0 {long}4"), "ZRANGE k 0 -1 WITHSCORES"),
        ] {
            let mut harness = Harness::new();
            harness.run(&make);
            let (value, encoding) = (harness.run(read), harness.run("OBJECT ENCODING k"));
            let Value::Bulk(payload) = harness.run("DUMP k") else { panic!("no dump after {make}") };
            let escaped: String = payload.iter().map(|byte| format!("\\x{byte:02x}")).collect();
            let restored = harness.run(&format!("RESTORE k 10000 \"{escaped}\" REPLACE"));
            assert_eq!(restored.to_string(), "OK", "{make}");
            assert_eq!(harness.run(read), value, "{make}");
            assert_eq!(harness.run("OBJECT ENCODING k"), encoding, "{make}");
            assert_eq!(harness.run("TTL k"), Value::Integer(10), "{make}");
        }
    }

    #[test]
    fn errors_come_in_redis_order() {
        check(
            r#"
            > RESTORE k x y FOO
            (error) ERR syntax error
            > RESTORE k x y IDLETIME -1
            (error) ERR Invalid IDLETIME value, must be >= 0
            > RESTORE k x y FREQ 256
            (error) ERR Invalid FREQ value, must be >= 0 and <= 255
            > RESTORE k x y FREQ 1 IDLETIME 1
            (error) ERR syntax error
            > RESTORE k x y
            (error) ERR value is not an integer or out of range
            > RESTORE k -1 y
            (error) ERR Invalid TTL value, must be >= 0
            > RESTORE k 0 y
            (error) ERR DUMP payload version or checksum are wrong
            > SET k v
            OK
            > RESTORE k x y
            (error) BUSYKEY Target key name already exists.
            "#,
        );
    }

    #[test]
    fn what_has_expired_is_not_restored() {
        check(
            r#"
            > SET k v
            OK
            > RESTORE k 1 "\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb" ABSTTL REPLACE
            OK
            > EXISTS k
            (integer) 0
            > RESTORE k 9223372036854775807 "\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb"
            OK
            > EXISTS k
            (integer) 0
            > RESTORE k 4102444800000 "\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb" ABSTTL
            OK
            > EXPIRETIME k
            (integer) 4102444800
            "#,
        );
    }
}
