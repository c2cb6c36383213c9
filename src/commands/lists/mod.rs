//! The list commands. Each file holds rows of the command table and, next to a row, what it runs; what that does to the
//! data is in [`crate::types::list`].

mod blocking;
mod change;
mod ends;
mod read;
mod transfer;

use super::parse::Args;
use super::{Argument, Command, CommandError, Group};
use crate::number;
use crate::resp::ReplyBuffer;
use crate::types::list::End;

type Result<T> = std::result::Result<T, CommandError>;

const BASE: Command = Command { group: Group::List, categories: &["@list"], ..Command::BASE };

/// The rows of this family.
pub static COMMANDS: &[&Command] = &[
    &blocking::BLMOVE,
    &blocking::BLMPOP,
    &blocking::BLPOP,
    &blocking::BRPOP,
    &blocking::BRPOPLPUSH,
    &read::LINDEX,
    &change::LINSERT,
    &read::LLEN,
    &transfer::LMOVE,
    &ends::LMPOP,
    &ends::LPOP,
    &read::LPOS,
    &ends::LPUSH,
    &ends::LPUSHX,
    &read::LRANGE,
    &change::LREM,
    &change::LSET,
    &change::LTRIM,
    &ends::RPOP,
    &transfer::RPOPLPUSH,
    &ends::RPUSH,
    &ends::RPUSHX,
];

/// `LEFT | RIGHT`, as COMMAND DOCS lists them.
const ENDS: &[Argument] = &[Argument::flag("left", "LEFT"), Argument::flag("right", "RIGHT")];

/// `LEFT` or `RIGHT`, in any case.
fn next_end(args: &mut Args<'_>) -> Result<End> {
    match args.next()? {
        word if word.eq_ignore_ascii_case(b"LEFT") => Ok(End::Left),
        word if word.eq_ignore_ascii_case(b"RIGHT") => Ok(End::Right),
        _ => Err(CommandError::Syntax),
    }
}

/// An integer that is `min` at least, or the error that says so.
fn parse_from(min: i64, text: &[u8], error: &'static str) -> Result<u64> {
    let value = number::parse_i64(text).filter(|value| *value >= min);
    value.map(i64::unsigned_abs).ok_or_else(|| CommandError::custom(error))
}

/// Replies an array of elements.
fn reply_elements(reply: &mut ReplyBuffer, elements: &[impl AsRef<[u8]>]) {
    reply.array(elements.len());
    elements.iter().for_each(|element| reply.bulk(element.as_ref()));
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::{check, check_examples};

    #[test]
    fn examples_run_as_they_are_written() {
        check_examples(super::COMMANDS);
    }

    #[test]
    fn values_of_other_types_are_refused() {
        for command in [
            "LINDEX s 0",
            "LINSERT s BEFORE a b",
            "LLEN s",
            "LMOVE s d LEFT LEFT",
            "LMOVE l s LEFT LEFT",
            "LMPOP 2 nothing s LEFT",
            "LPOP s",
            "LPOP s 0",
            "LPOS s a",
            "LPUSH s a",
            "LPUSHX s a",
            "LRANGE s 0 -1",
            "LREM s 0 a",
            "LSET s 0 a",
            "LTRIM s 0 0",
            "RPOPLPUSH l s",
        ] {
            check(&format!(
                r#"
                > SET s v
                OK
                > RPUSH l 1
                (integer) 1
                > {command}
                (error) WRONGTYPE Operation against a key holding the wrong kind of value
                > LRANGE l 0 -1
                1) "1"
                "#
            ));
        }
    }

    #[test]
    fn large_lists_answer_as_small_ones() {
        let long = "x".repeat(300);
        check(&format!(
            r#"
            > RPUSH l {long}0 {long}1 {long}2 {long}3 {long}4 5 6
            (integer) 7
            > EXPIRE l 10
            (integer) 1
            > LINDEX l -1
            "6"
            > LINSERT l AFTER {long}0 new
            (integer) 8
            > LINSERT l BEFORE 6 new
            (integer) 9
            > LPOS l new RANK -1
            (integer) 7
            > LREM l 0 new
            (integer) 2
            > LSET l 2 two
            OK
            > LRANGE l 2 4
            1) "two"
            2) "{long}3"
            3) "{long}4"
            > RPOPLPUSH l l
            "6"
            > LPOP l 2
            1) "6"
            2) "{long}0"
            > LTRIM l 1 2
            OK
            > LRANGE l 0 -1
            1) "two"
            2) "{long}3"
            > TTL l
            (integer) 10
            > OBJECT ENCODING l
            "quicklist"
            > COPY l m
            (integer) 1
            > RENAME l n
            OK
            > RPOP n 5
            1) "{long}3"
            2) "two"
            > EXISTS l n
            (integer) 0
            > LLEN m
            (integer) 2
            "#
        ));
    }
}
