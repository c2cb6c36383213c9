//! The set commands. What they do to the data is in [`crate::types::set`] and [`crate::types::elements`].

pub(super) mod combine;
mod members;

use bytes::Bytes;

use super::{Command, CommandError, Group};
use crate::resp::ReplyBuffer;

type Result<T> = std::result::Result<T, CommandError>;

const BASE: Command = Command { group: Group::Set, categories: &["@set"], ..Command::BASE };

/// The rows of this family.
pub static COMMANDS: &[&Command] = &[
    &members::SADD,
    &members::SCARD,
    &combine::SDIFF,
    &combine::SDIFFSTORE,
    &combine::SINTER,
    &combine::SINTERCARD,
    &combine::SINTERSTORE,
    &members::SISMEMBER,
    &members::SMEMBERS,
    &members::SMISMEMBER,
    &members::SMOVE,
    &members::SPOP,
    &members::SRANDMEMBER,
    &members::SREM,
    &members::SSCAN,
    &combine::SUNION,
    &combine::SUNIONSTORE,
];

/// Replies members as a set.
fn reply_members(reply: &mut ReplyBuffer, members: &[Bytes]) {
    reply.set(members.len());
    members.iter().for_each(|member| reply.bulk(member));
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::{Harness, check, check_examples};
    use crate::resp::Value;
    use std::collections::BTreeSet;

    #[test]
    fn examples_run_as_they_are_written() {
        check_examples(super::COMMANDS);
    }

    fn members(harness: &mut Harness, line: &str) -> BTreeSet<String> {
        let Value::Array(members) = harness.run(line) else { panic!("{line}: no array") };
        let distinct: BTreeSet<String> = members.iter().map(|member| member.to_string().replace('"', "")).collect();
        assert_eq!(distinct.len(), members.len(), "{line}: a member twice");
        distinct
    }

    fn add(harness: &mut Harness, key: &str, members: impl Iterator<Item = u32>, prefix: &str) -> BTreeSet<String> {
        let names: BTreeSet<String> = members.map(|member| format!("{prefix}{member}")).collect();
        for name in &names {
            harness.run(&format!("SADD {key} {name}"));
        }
        names
    }

    #[test]
    fn sets_of_any_sizes_combine() {
        for prefix in ["", "m"] {
            let mut harness = Harness::new();
            // Small and large ones, which lie on disk in different ways.
            let a = add(&mut harness, "a", 0..200, prefix);
            let b = add(&mut harness, "b", 100..300, prefix);
            let c = add(&mut harness, "c", 150..160, prefix);
            let two =
                |op: fn(&BTreeSet<String>, &BTreeSet<String>) -> BTreeSet<String>, line: &str, h: &mut Harness| {
                    for (one, other, names) in [(&a, &b, "a b"), (&b, &c, "b c"), (&c, &a, "c a"), (&a, &a, "a a")] {
                        assert_eq!(members(h, &format!("{line} {names}")), op(one, other), "{line} {names}");
                        h.run(&format!("{line}STORE d {names}"));
                        assert_eq!(members(h, "SMEMBERS d"), op(one, other), "{line}STORE {names}");
                    }
                };
            two(|one, other| one | other, "SUNION", &mut harness);
            two(|one, other| one & other, "SINTER", &mut harness);
            two(|one, other| one - other, "SDIFF", &mut harness);
            assert_eq!(members(&mut harness, "SDIFF a b c nothing"), &(&a - &b) - &c);
            assert_eq!(members(&mut harness, "SUNION nothing a c b"), &a | &b);
            assert_eq!(members(&mut harness, "SINTER a b c"), c);
            assert_eq!(members(&mut harness, "SINTER a nothing c"), BTreeSet::new());
            assert_eq!(harness.run("SINTERCARD 2 a b"), Value::Integer(100));
            assert_eq!(harness.run("SINTERCARD 2 a b LIMIT 7"), Value::Integer(7));
            harness.run("SUNIONSTORE a a b");
            assert_eq!(
                members(&mut harness, "SMEMBERS a"),
                BTreeSet::from_iter((0..300).map(|n| format!("{prefix}{n}")))
            );
        }
    }

    #[test]
    fn integers_come_in_order_and_encodings_never_go_back() {
        check(
            r#"
            > SADD s 10 -3 7
            (integer) 3
            > SMEMBERS s
            1) "-3"
            2) "7"
            3) "10"
            > OBJECT ENCODING s
            "intset"
            > SADD s 007
            (integer) 1
            > OBJECT ENCODING s
            "hashtable"
            > SREM s 007
            (integer) 1
            > OBJECT ENCODING s
            "hashtable"
            > SUNIONSTORE s s
            (integer) 3
            > OBJECT ENCODING s
            "intset"
            "#,
        );
        let mut harness = Harness::new();
        add(&mut harness, "s", 0..513, "");
        assert_eq!(harness.run("OBJECT ENCODING s").to_string(), "\"hashtable\"");
        harness.run("SPOP s 500");
        assert_eq!(harness.run("OBJECT ENCODING s").to_string(), "\"intset\"");
    }

    #[test]
    fn pops_take_members_out() {
        for count in [20, 200] {
            let mut harness = Harness::new();
            let all = add(&mut harness, "s", 0..count, "m");
            let mut left = all.clone();
            for pop in 0..5 {
                let member = harness.run("SPOP s").to_string().replace('"', "");
                assert!(left.remove(&member), "{member} again, or unknown");
                let many = members(&mut harness, "SPOP s 2");
                assert!(many.is_subset(&left) && many.len() == 2, "{many:?}");
                left = &left - &many;
                assert_eq!(members(&mut harness, "SMEMBERS s"), left, "after {pop}");
            }
            assert_eq!(members(&mut harness, "SPOP s 1000"), left);
            assert_eq!(harness.run("EXISTS s"), Value::Integer(0));
        }
    }

    #[test]
    fn a_member_moves_or_stays() {
        check(
            r#"
            > SADD a 1 2
            (integer) 2
            > SMOVE a b 1
            (integer) 1
            > SMOVE a b 1
            (integer) 0
            > SMOVE a a 2
            (integer) 1
            > SMOVE a a 3
            (integer) 0
            > SMOVE nothing a 1
            (integer) 0
            > SMOVE a b 2
            (integer) 1
            > EXISTS a
            (integer) 0
            > SMEMBERS b
            1) "1"
            2) "2"
            > SET s v
            OK
            > SMOVE b s 1
            (error) WRONGTYPE Operation against a key holding the wrong kind of value
            > SMOVE nothing s 1
            (integer) 0
            "#,
        );
    }

    #[test]
    fn counts_that_are_refused() {
        check(
            r#"
            > SPOP s -1
            (error) ERR value is out of range, must be positive
            > SPOP s abc
            (error) ERR value is out of range, must be positive
            > SPOP s 1 2
            (error) ERR syntax error
            > SRANDMEMBER s abc
            (error) ERR value is not an integer or out of range
            > SRANDMEMBER s abc 1
            (error) ERR syntax error
            > SRANDMEMBER s -9223372036854775808
            (error) ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
            > SINTERCARD 0 s
            (error) ERR numkeys should be greater than 0
            > SINTERCARD 2 s
            (error) ERR Number of keys can't be greater than number of args
            > SINTERCARD 1 s LIMIT -1
            (error) ERR LIMIT can't be negative
            > SINTERCARD 1 s LIMIT
            (error) ERR syntax error
            "#,
        );
    }
}
