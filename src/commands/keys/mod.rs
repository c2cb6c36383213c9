//! The commands on keys of any type, and those on whole databases.

mod databases;
mod dump;
pub(super) mod expiry;
mod object;
pub(in crate::commands) mod scan;
mod sort;
mod transfer;
mod wait;

use bytes::Bytes;

use super::parse::Args;
use super::{Argument, Command, CommandError, Flag, Group, KeySpec, Operation, Run};
use crate::keyspace::{EventClass, Keyspace};
use crate::resp::{CommandArgs, ReplyBuffer};

type Result<T> = std::result::Result<T, CommandError>;

/// From so many keys on, a read is no longer a short one.
pub(super) const MANY_KEYS: usize = 128;

const BASE: Command = Command { group: Group::Generic, categories: &["@keyspace"], ..Command::BASE };

/// The rows of this family.
pub static COMMANDS: &[&Command] = &[
    &transfer::COPY,
    &databases::DBSIZE,
    &DEL,
    &dump::DUMP,
    &EXISTS,
    &expiry::EXPIRE,
    &expiry::EXPIREAT,
    &expiry::EXPIRETIME,
    &databases::FLUSHALL,
    &databases::FLUSHDB,
    &scan::KEYS,
    &transfer::MOVE,
    &object::OBJECT,
    &expiry::PERSIST,
    &expiry::PEXPIRE,
    &expiry::PEXPIREAT,
    &expiry::PEXPIRETIME,
    &expiry::PTTL,
    &scan::RANDOMKEY,
    &transfer::RENAME,
    &transfer::RENAMENX,
    &dump::RESTORE,
    &scan::SCAN,
    &sort::SORT,
    &sort::SORT_RO,
    &databases::SWAPDB,
    &TOUCH,
    &expiry::TTL,
    &TYPE,
    &UNLINK,
    &wait::WAIT,
];

pub(super) static DEL: Command = Command {
    name: "del",
    summary: "Delete a key",
    complexity: "O(N) where N is the number of keys that will be removed. When a key to remove holds a value other \
        than a string, the individual complexity for this key is O(M) where M is the number of elements in the list, \
        set, sorted set or hash. Removing a single key that holds a string value is O(1).",
    arity: -2,
    flags: &[Flag::Write],
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    keys: &[KeySpec::range(1, -1, 1, &["RM", "delete"])],
    arguments: &[Argument::key("key", 0).multiple()],
    examples: r#"> MSET key1 Hello key2 World
OK
> DEL key1 key2 key3
(integer) 2"#,
    run: Run::Storage(Del::parse),
    ..BASE
};

pub(super) static UNLINK: Command = Command {
    name: "unlink",
    summary: "Delete a key asynchronously in another thread. Otherwise it is just as DEL, but non blocking.",
    since: "4.0.0",
    complexity: "O(1) for each key removed regardless of its size. Then the command does O(N) work in a different \
        thread in order to reclaim memory, where N is the number of allocations the deleted objects where composed \
        of.",
    arity: -2,
    flags: &[Flag::Write, Flag::Fast],
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    keys: &[KeySpec::range(1, -1, 1, &["RM", "delete"])],
    arguments: &[Argument::key("key", 0).multiple()],
    examples: r#"> MSET key1 Hello key2 World
OK
> UNLINK key1 key2 key3
(integer) 2"#,
    run: Run::Storage(Del::parse),
    ..BASE
};

/// DEL, and UNLINK: what a value leaves behind is always reclaimed in the background.
#[derive(Debug)]
struct Del {
    keys: Vec<Bytes>,
}

impl Del {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        Ok(Box::new(Del { keys: Args::new(args).rest() }))
    }
}

impl Operation for Del {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let mut removed = 0;
        for key in &self.keys {
            let mut entry = keyspace.entry(key)?;
            if keyspace.remove(&mut entry)? {
                keyspace.notify(EventClass::Generic, "del", key);
                removed += 1;
            }
        }
        reply.integer(removed);
        Ok(())
    }
}

pub(super) static EXISTS: Command = Command {
    name: "exists",
    summary: "Determine if a key exists",
    complexity: "O(N) where N is the number of keys to check.",
    arity: -2,
    flags: &[Flag::Readonly, Flag::Fast],
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    keys: &[KeySpec::range(1, -1, 1, &["RO"])],
    history: &[("3.0.3", "Accepts multiple `key` arguments.")],
    arguments: &[Argument::key("key", 0).multiple()],
    examples: r#"> MSET key1 Hello key2 World
OK
> EXISTS key1 key1 key2 nosuchkey
(integer) 3"#,
    run: Run::Storage(Exists::parse),
    ..BASE
};

pub(super) static TOUCH: Command = Command {
    name: "touch",
    summary: "Alters the last access time of a key(s). Returns the number of existing keys specified.",
    since: "3.2.1",
    complexity: "O(N) where N is the number of keys that will be touched.",
    arity: -2,
    flags: &[Flag::Readonly, Flag::Fast],
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    keys: &[KeySpec::range(1, -1, 1, &["RO"])],
    arguments: &[Argument::key("key", 0).multiple()],
    examples: r#"> MSET key1 Hello key2 World
OK
> TOUCH key1 key2 key3
(integer) 2"#,
    run: Run::Storage(Exists::parse),
    ..BASE
};

/// EXISTS, and TOUCH: when a key was last used is not recorded. A key that is named twice counts twice.
#[derive(Debug)]
struct Exists {
    keys: Vec<Bytes>,
}

impl Exists {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        Ok(Box::new(Exists { keys: Args::new(args).rest() }))
    }
}

impl Operation for Exists {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let mut found = 0;
        for key in &self.keys {
            found += i64::from(keyspace.get(key)?.is_some());
        }
        reply.integer(found);
        Ok(())
    }

    fn is_long(&self) -> bool {
        self.keys.len() >= MANY_KEYS
    }
}

pub(super) static TYPE: Command = Command {
    name: "type",
    summary: "Determine the type stored at key",
    arity: 2,
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[KeySpec::one(1, &["RO"])],
    arguments: &[Argument::key("key", 0)],
    examples: r#"> SET key1 value
OK
> TYPE key1
string
> TYPE key2
none"#,
    run: Run::Storage(Type::parse),
    ..BASE
};

#[derive(Debug)]
struct Type {
    key: Bytes,
}

impl Type {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        Ok(Box::new(Type { key: Args::new(args).next_bytes()? }))
    }
}

impl Operation for Type {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        reply.simple(keyspace.get(&self.key)?.map_or("none", |record| record.kind.name()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::{Harness, check, check_examples, check_key_events};

    #[test]
    fn examples_run_as_they_are_written() {
        check_examples(super::COMMANDS);
    }

    #[test]
    fn keys_that_have_expired_are_not_there() {
        check(
            r#"
            > SET k v PX 100
            OK
            > EXISTS k
            (integer) 1
            @ 101
            > EXISTS k
            (integer) 0
            > TYPE k
            none
            > TOUCH k
            (integer) 0
            > KEYS *
            (empty array)
            > RANDOMKEY
            (nil)
            > DEL k
            (integer) 0
            "#,
        );
    }

    #[test]
    fn keys_tell_what_happened_to_them() {
        check_key_events(
            r#"
            > SET k v
            0 new k
            0 set k
            > SET k v NX
            > SET k v EX 10
            0 set k
            0 expire k
            > MSET a 1 b 2
            0 new a
            0 set a
            0 new b
            0 set b
            > GET nothing
            0 keymiss nothing
            > OBJECT FREQ nothing
            > EXPIRE nothing 10
            > PERSIST a
            > EXPIRE a 100
            0 expire a
            > PERSIST a
            0 persist a
            > EXPIRE a -1
            0 del a
            > RENAME k b
            0 new b
            0 rename_from k
            0 rename_to b
            > RENAME nothing b
            > MOVE b 3
            3 new b
            0 move_from b
            3 move_to b
            > SELECT 3
            > COPY b b DB 0
            0 new b
            0 copy_to b
            > COPY b b DB 0 REPLACE
            0 new b
            0 copy_to b
            > DEL b nothing b
            3 del b
            > SET k v PXAT 1
            3 new k
            3 set k
            3 expire k
            3 expired k
            > SET k v PX 10
            3 new k
            3 set k
            3 expire k
            @ 11
            > APPEND k x
            3 expired k
            3 new k
            3 append k
            > GETEX k EX 5
            3 expire k
            > GETDEL k
            3 del k
            > INCR k
            3 new k
            3 incrby k
            > INCR k x
            > FLUSHALL
            "#,
        );
    }

    #[test]
    fn repeated_keys_are_found_twice_and_removed_once() {
        check(
            r#"
            > MSET a 1 b 2
            OK
            > EXISTS a a nothing
            (integer) 2
            > TOUCH a b b
            (integer) 3
            > DEL a a nothing
            (integer) 1
            > UNLINK b b
            (integer) 1
            > DBSIZE
            (integer) 0
            "#,
        );
    }

    #[test]
    fn lookups_count_as_hits_and_misses_as_in_redis() {
        for (command, hits, misses) in [
            ("EXISTS k k nothing", 2, 1),
            ("TOUCH k nothing", 1, 1),
            ("TYPE nothing", 0, 1),
            ("TTL k", 1, 0),
            ("PEXPIRETIME nothing", 0, 1),
            ("OBJECT FREQ k", 1, 0),
            ("OBJECT ENCODING nothing", 0, 1),
            ("COPY k other", 1, 0),
            ("COPY nothing k", 0, 1),
            ("DEL k nothing", 0, 0),
            ("EXPIRE k 10", 0, 0),
            ("PERSIST nothing", 0, 0),
            ("RENAME k other", 0, 0),
            ("MOVE k 1", 0, 0),
            ("KEYS *", 0, 0),
            ("SCAN 0", 0, 0),
            ("RANDOMKEY", 0, 0),
        ] {
            let mut harness = Harness::new();
            harness.run("SET k v");
            harness.run(command);
            assert_eq!((harness.events.hits, harness.events.misses), (hits, misses), "{command}");
        }
    }
}
