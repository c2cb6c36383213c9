//! The string commands. Each file holds rows of the command table and, next to a row, what it runs; what that does to
//! the data is in [`crate::types::string`].

mod counter;
mod get;
mod lcs;
mod range;
mod set;

use super::{Command, CommandError, Group};
use crate::keyspace::{Keyspace, Record};
use crate::resp::ReplyBuffer;
use crate::types::string;

type Result<T> = std::result::Result<T, CommandError>;

const BASE: Command = Command { group: Group::String, categories: &["@string"], ..Command::BASE };

/// The rows of this family.
pub static COMMANDS: &[&Command] = &[
    &range::APPEND,
    &counter::DECR,
    &counter::DECRBY,
    &get::GET,
    &get::GETDEL,
    &get::GETEX,
    &range::GETRANGE,
    &set::GETSET,
    &counter::INCR,
    &counter::INCRBY,
    &counter::INCRBYFLOAT,
    &lcs::LCS,
    &get::MGET,
    &set::MSET,
    &set::MSETNX,
    &set::PSETEX,
    &set::SET,
    &set::SETEX,
    &set::SETNX,
    &range::SETRANGE,
    &range::STRLEN,
    &range::SUBSTR,
];

/// Replies a value, or that there is none.
fn reply_value(keyspace: &Keyspace<'_>, reply: &mut ReplyBuffer, record: Option<&Record>) -> Result<()> {
    match record {
        Some(record) => reply.bulk(&string::read(keyspace, record)?),
        None => reply.null(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::commands::tests::{Harness, check_examples};
    use crate::keyspace::{Record, Type};

    #[test]
    fn examples_run_as_they_are_written() {
        check_examples(super::COMMANDS);
    }

    /// A server that has the key `list`, of another type.
    fn with_list() -> Harness {
        let mut harness = Harness::new();
        harness.put("list", Record::new(Type::List, Bytes::new()));
        harness
    }

    #[test]
    fn values_of_other_types_are_refused() {
        for command in [
            "APPEND list v",
            "DECRBY list 1",
            "GET list",
            "GETDEL list",
            "GETEX list EX abc",
            "GETRANGE list 0 1",
            "GETSET list v",
            "INCR list",
            "INCRBYFLOAT list abc",
            "SET list v GET",
            "SETRANGE list 536870912 v",
            "SETRANGE list 0 \"\"",
            "STRLEN list",
        ] {
            let reply = with_list().run(command).to_string();
            assert_eq!(reply, "(error) WRONGTYPE Operation against a key holding the wrong kind of value", "{command}");
        }
        with_list().check(
            r#"
            > LCS list nothing FOO
            (error) ERR The specified keys must contain string values
            > SETNX list v
            (integer) 0
            > MGET list
            1) (nil)
            > SET list v XX
            OK
            > GET list
            "v"
            "#,
        );
    }

    #[test]
    fn lookups_count_as_hits_and_misses_as_in_redis() {
        for (command, hits, misses) in [
            ("GET k", 1, 0),
            ("GET nothing", 0, 1),
            ("GET list", 1, 0),
            ("GETRANGE nothing 0 1", 0, 1),
            ("STRLEN k", 1, 0),
            ("MGET k nothing list", 2, 1),
            ("LCS k nothing", 1, 1),
            ("GETDEL k", 1, 0),
            ("GETEX nothing", 0, 1),
            ("GETSET list v", 1, 0),
            ("SET k v GET", 1, 0),
            ("SET nothing v GET", 0, 1),
            ("SET k v XX", 0, 0),
            ("SETNX k v", 0, 0),
            ("MSETNX k v nothing v", 0, 0),
            ("APPEND k v", 0, 0),
            ("SETRANGE nothing 0 v", 0, 0),
            ("INCR nothing", 0, 0),
        ] {
            let mut harness = with_list();
            harness.run("SET k v");
            harness.run(command);
            assert_eq!((harness.events.hits, harness.events.misses), (hits, misses), "{command}");
        }
    }
}
