//! The hash commands. What they do to the data is in [`crate::types::hash`] and [`crate::types::elements`].

mod fields;
mod whole;

use super::{Command, CommandError, Group};

type Result<T> = std::result::Result<T, CommandError>;

const BASE: Command = Command { group: Group::Hash, categories: &["@hash"], ..Command::BASE };

/// The rows of this family.
pub static COMMANDS: &[&Command] = &[
    &fields::HDEL,
    &fields::HEXISTS,
    &fields::HGET,
    &whole::HGETALL,
    &fields::HINCRBY,
    &fields::HINCRBYFLOAT,
    &whole::HKEYS,
    &whole::HLEN,
    &fields::HMGET,
    &fields::HMSET,
    &whole::HRANDFIELD,
    &whole::HSCAN,
    &fields::HSET,
    &fields::HSETNX,
    &fields::HSTRLEN,
    &whole::HVALS,
];

#[cfg(test)]
mod tests {
    use crate::commands::tests::{Harness, check, check_examples};
    use crate::resp::Value;
    use std::collections::BTreeSet;

    #[test]
    fn examples_run_as_they_are_written() {
        check_examples(super::COMMANDS);
    }

    #[test]
    fn encodings_change_where_redis_changes_them_and_never_back() {
        check(
            r#"
            > HSET h f v
            (integer) 1
            > OBJECT ENCODING h
            "listpack"
            > HSET h f 0123456789012345678901234567890123456789012345678901234567890123
            (integer) 0
            > OBJECT ENCODING h
            "listpack"
            > HSET h f 01234567890123456789012345678901234567890123456789012345678901234
            (integer) 0
            > OBJECT ENCODING h
            "hashtable"
            > HSET h f v
            (integer) 0
            > OBJECT ENCODING h
            "hashtable"
            "#,
        );
    }

    /// A hash with fields `f0` to `f<count - 1>`, too many to lie within its record.
    fn large(count: usize) -> Harness {
        let mut harness = Harness::new();
        for at in 0..count {
            assert_eq!(harness.run(&format!("HSET h f{at} v{at}")), Value::Integer(1));
        }
        harness
    }

    #[test]
    fn a_large_hash_answers_as_a_small_one() {
        let mut harness = large(600);
        harness.check(
            r#"
            > HLEN h
            (integer) 600
            > OBJECT ENCODING h
            "hashtable"
            > HMGET h f0 f599 f600
            1) "v0"
            2) "v599"
            3) (nil)
            > HSET h f0 new
            (integer) 0
            > HINCRBY h n 5
            (integer) 5
            > HDEL h f1 f2 f2
            (integer) 2
            > HLEN h
            (integer) 599
            > RENAME h other
            OK
            > COPY other h
            (integer) 1
            > HDEL other f0
            (integer) 1
            > HGET h f0
            "new"
            > DEL other
            (integer) 1
            > HLEN h
            (integer) 599
            > HGET h n
            "5"
            "#,
        );
        let Value::Array(all) = harness.run("HGETALL h") else { panic!("an array") };
        assert_eq!(all.len(), 599 * 2);
    }

    #[test]
    fn a_scan_gives_every_field_once() {
        let mut harness = large(300);
        let (mut found, mut cursor, mut calls) = (Vec::new(), "0".to_string(), 0);
        loop {
            let Value::Array(page) = harness.run(&format!("HSCAN h {cursor} COUNT 7")) else { panic!("an array") };
            let [Value::Bulk(next), Value::Array(parts)] = &page[..] else { panic!("a cursor and fields") };
            found.extend(parts.chunks(2).map(|pair| pair[0].to_string()));
            cursor = String::from_utf8(next.to_vec()).unwrap();
            calls += 1;
            if cursor == "0" {
                break;
            }
        }
        assert_eq!((found.len(), calls), (300, 43));
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>().len(), 300);
    }

    #[test]
    fn draws_are_fair_in_small_and_large_hashes() {
        for count in [10, 200] {
            let mut harness = large(count);
            let mut drawn = vec![0; count];
            let Value::Array(fields) = harness.run(&format!("HRANDFIELD h -{}", count * 100)) else {
                panic!("an array")
            };
            for field in &fields {
                let at: usize = field.to_string().trim_matches('"')[1..].parse().unwrap();
                drawn[at] += 1;
            }
            // A hundred each, give or take a tenth of them: six times that is out of the question.
            assert!(drawn.iter().all(|times| (40..160).contains(times)), "{drawn:?}");
        }
    }

    #[test]
    fn distinct_draws_are_distinct() {
        let mut harness = large(200);
        for count in [1, 10, 150, 200, 500] {
            let Value::Array(fields) = harness.run(&format!("HRANDFIELD h {count}")) else { panic!("an array") };
            let distinct: BTreeSet<String> = fields.iter().map(Value::to_string).collect();
            assert_eq!((fields.len(), distinct.len()), (count.min(200), count.min(200)));
        }
    }

    #[test]
    fn values_that_are_no_numbers_and_types_that_are_no_hashes() {
        check(
            r#"
            > HSET h f text
            (integer) 1
            > HINCRBY h f 1
            (error) ERR hash value is not an integer
            > HINCRBYFLOAT h f 1
            (error) ERR hash value is not a float
            > HSET h n 9223372036854775807
            (integer) 1
            > HINCRBY h n 1
            (error) ERR increment or decrement would overflow
            > SET s v
            OK
            > HGETALL s
            (error) WRONGTYPE Operation against a key holding the wrong kind of value
            > HSCAN s 0 COUNT 0
            (error) WRONGTYPE Operation against a key holding the wrong kind of value
            > HSCAN nothing 0 COUNT 0
            1) "0"
            2) (empty array)
            > HSCAN h 0 COUNT 0
            (error) ERR syntax error
            > HSET h f
            (error) ERR wrong number of arguments for 'hset' command
            "#,
        );
    }
}
