//! The sorted set commands. What they do to the data is in [`crate::types::sorted_set`] and [`crate::types::elements`].

mod blocking;
pub(super) mod change;
mod combine;
mod range;
mod read;

use super::{Command, CommandError, Group};
use crate::resp::{Protocol, ReplyBuffer};

type Result<T> = std::result::Result<T, CommandError>;

const BASE: Command = Command { group: Group::SortedSet, categories: &["@sortedset"], ..Command::BASE };

/// The rows of this family.
pub static COMMANDS: &[&Command] = &[
    &blocking::BZMPOP,
    &blocking::BZPOPMAX,
    &blocking::BZPOPMIN,
    &change::ZADD,
    &read::ZCARD,
    &range::ZCOUNT,
    &combine::ZDIFF,
    &combine::ZDIFFSTORE,
    &change::ZINCRBY,
    &combine::ZINTER,
    &combine::ZINTERCARD,
    &combine::ZINTERSTORE,
    &range::ZLEXCOUNT,
    &change::ZMPOP,
    &read::ZMSCORE,
    &change::ZPOPMAX,
    &change::ZPOPMIN,
    &read::ZRANDMEMBER,
    &range::ZRANGE,
    &range::ZRANGEBYLEX,
    &range::ZRANGEBYSCORE,
    &range::ZRANGESTORE,
    &read::ZRANK,
    &change::ZREM,
    &change::ZREMRANGEBYLEX,
    &change::ZREMRANGEBYRANK,
    &change::ZREMRANGEBYSCORE,
    &range::ZREVRANGE,
    &range::ZREVRANGEBYLEX,
    &range::ZREVRANGEBYSCORE,
    &read::ZREVRANK,
    &read::ZSCAN,
    &read::ZSCORE,
    &combine::ZUNION,
    &combine::ZUNIONSTORE,
];

/// Replies a member, with its score if that is wanted: in RESP3 the two make a pair.
fn reply_scored(reply: &mut ReplyBuffer, member: &[u8], score: Option<f64>) {
    if score.is_some() && reply.protocol() == Protocol::Resp3 {
        reply.array(2);
    }
    reply.bulk(member);
    if let Some(score) = score {
        reply.double(score);
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::{Harness, check, check_examples};
    use crate::resp::Value;

    #[test]
    fn examples_run_as_they_are_written() {
        check_examples(super::COMMANDS);
    }

    /// A sorted set of members `m000` and so on, the scores of which are a third of their number: several are equal.
    fn scored(count: usize) -> Harness {
        let mut harness = Harness::new();
        // Not in order.
        for at in (0..count).map(|at| at * 7 % count) {
            harness.run(&format!("ZADD z {} m{at:03}", at / 3));
        }
        harness
    }

    fn members(harness: &mut Harness, line: &str) -> Vec<usize> {
        let Value::Array(members) = harness.run(line) else { panic!("{line}: no array") };
        members.iter().map(|member| member.to_string().replace(['"', 'm'], "").parse().unwrap()).collect()
    }

    #[test]
    fn ranges_of_small_and_large_sorted_sets() {
        for count in [10, 500] {
            let mut harness = scored(count);
            let forward: Vec<usize> = (0..count).collect();
            let backward: Vec<usize> = (0..count).rev().collect();
            assert_eq!(members(&mut harness, "ZRANGE z 0 -1"), forward);
            assert_eq!(members(&mut harness, "ZREVRANGE z 0 -1"), backward);
            for (start, stop) in [(0, 2), (3, 3), (count - 3, count - 1), (count - 5, count + 5), (5, 4)] {
                let wanted = start..(stop + 1).min(count).max(start);
                assert_eq!(members(&mut harness, &format!("ZRANGE z {start} {stop}")), forward[wanted.clone()]);
                assert_eq!(members(&mut harness, &format!("ZREVRANGE z {start} {stop}")), backward[wanted]);
            }
            assert_eq!(members(&mut harness, "ZRANGEBYSCORE z 1 2"), [3, 4, 5, 6, 7, 8]);
            assert_eq!(members(&mut harness, "ZRANGEBYSCORE z (1 2 LIMIT 1 2"), [7, 8]);
            assert_eq!(members(&mut harness, "ZREVRANGEBYSCORE z (2 -inf LIMIT 0 4"), [5, 4, 3, 2]);
            assert_eq!(members(&mut harness, "ZRANGEBYSCORE z 2 1"), [0; 0]);
            assert_eq!(members(&mut harness, "ZRANGEBYSCORE z (1 (1"), [0; 0]);
            assert_eq!(members(&mut harness, "ZRANGEBYSCORE z 1 2 LIMIT -1 2"), [0; 0]);
            for at in 0..count {
                assert_eq!(harness.run(&format!("ZRANK z m{at:03}")), Value::Integer(at as i64));
                assert_eq!(harness.run(&format!("ZREVRANK z m{at:03}")), Value::Integer((count - 1 - at) as i64));
            }
            assert_eq!(harness.run("ZCOUNT z 1 (3"), Value::Integer(6));
            assert_eq!(harness.run("ZREMRANGEBYSCORE z 1 1"), Value::Integer(3));
            assert_eq!(harness.run("ZREMRANGEBYRANK z 0 1"), Value::Integer(2));
            assert_eq!(members(&mut harness, "ZRANGE z 0 1"), [2, 6]);
            assert_eq!(harness.run("ZPOPMIN z").to_string(), "1) \"m002\"\n2) \"0\"");
            assert_eq!(harness.run(&format!("ZPOPMAX z {count}")).to_string().lines().count(), (count - 6) * 2);
            assert_eq!(harness.run("EXISTS z"), Value::Integer(0));
        }
    }

    #[test]
    fn ranges_by_member_of_small_and_large_sorted_sets() {
        for count in [10, 500] {
            let mut harness = Harness::new();
            (0..count).for_each(|at| drop(harness.run(&format!("ZADD z 7 m{at:03}"))));
            assert_eq!(members(&mut harness, "ZRANGEBYLEX z [m002 (m005"), [2, 3, 4]);
            assert_eq!(members(&mut harness, "ZRANGEBYLEX z (m002 [m005"), [3, 4, 5]);
            assert_eq!(members(&mut harness, "ZREVRANGEBYLEX z (m003 -"), [2, 1, 0]);
            assert_eq!(members(&mut harness, "ZRANGE z + [m008 BYLEX REV LIMIT 0 1"), [count - 1]);
            assert_eq!(harness.run("ZLEXCOUNT z - +"), Value::Integer(count as i64));
            assert_eq!(harness.run("ZLEXCOUNT z [m0025 (m004"), Value::Integer(1));
            assert_eq!(harness.run("ZREMRANGEBYLEX z - (m003"), Value::Integer(3));
            assert_eq!(members(&mut harness, "ZRANGE z 0 0"), [3]);
        }
    }

    #[test]
    fn a_member_keeps_its_place_when_its_score_changes() {
        let mut harness = scored(500);
        harness.check(
            r#"
            > ZADD z -1 m250
            (integer) 0
            > ZRANK z m250
            (integer) 0
            > ZINCRBY z 1000 m250
            "999"
            > ZREVRANK z m250
            (integer) 0
            > ZCARD z
            (integer) 500
            > ZREM z m250 m251 m251
            (integer) 2
            > ZSCORE z m250
            (nil)
            > COPY z y
            (integer) 1
            > RENAME z x
            OK
            > ZUNIONSTORE u 2 x y WEIGHTS 1 -1
            (integer) 498
            > ZCOUNT u 0 0
            (integer) 498
            > ZDIFF 2 x y
            (empty array)
            > ZINTERCARD 2 x y
            (integer) 498
            > ZRANGE y 0 0 WITHSCORES
            1) "m000"
            2) "0"
            "#,
        );
    }

    #[test]
    fn a_zero_keeps_its_sign_where_redis_keeps_it() {
        check(
            r#"
            > ZADD z -0 a
            (integer) 1
            > ZSCORE z a
            "0"
            > ZADD y 1 01234567890123456789012345678901234567890123456789012345678901234
            (integer) 1
            > OBJECT ENCODING y
            "skiplist"
            > ZADD y -0 a 0 b
            (integer) 2
            > ZRANGE y 0 1 WITHSCORES
            1) "a"
            2) "-0"
            3) "b"
            4) "0"
            > ZADD y 0 a
            (integer) 0
            > ZMSCORE y a b
            1) "-0"
            2) "0"
            "#,
        );
        let mut harness = scored(300);
        harness.check(
            r#"
            > ZADD z -0 negative
            (integer) 1
            > ZRANGE z 3 3 WITHSCORES
            1) "negative"
            2) "-0"
            > ZINCRBY z 0 negative
            "0"
            > ZSCORE z negative
            "-0"
            "#,
        );
    }

    #[test]
    fn options_that_exclude_one_another() {
        check(
            r#"
            > ZADD z NX XX 1 a
            (error) ERR XX and NX options at the same time are not compatible
            > ZADD z GT LT 1 a
            (error) ERR GT, LT, and/or NX options at the same time are not compatible
            > ZADD z INCR 1 a 2 b
            (error) ERR INCR option supports a single increment-element pair
            > ZADD z XX INCR 1 a
            (nil)
            > ZADD z inf a
            (integer) 1
            > ZINCRBY z -inf a
            (error) ERR resulting score is not a number (NaN)
            > ZADD z nan a
            (error) ERR value is not a valid float
            > ZADD z 1
            (error) ERR wrong number of arguments for 'zadd' command
            > ZADD z CH 1
            (error) ERR syntax error
            > ZRANGE z 0 1 LIMIT 0 1
            (error) ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX
            > ZRANGE z - + BYLEX WITHSCORES
            (error) ERR syntax error, WITHSCORES not supported in combination with BYLEX
            > ZRANGEBYSCORE z a b
            (error) ERR min or max is not a float
            > ZRANGEBYLEX z a b
            (error) ERR min or max not valid string range item
            > ZUNION 0 z
            (error) ERR at least 1 input key is needed for 'zunion' command
            > ZUNION 2 z
            (error) ERR syntax error
            > ZUNIONSTORE d 1 z WEIGHTS a
            (error) ERR weight value is not a float
            > ZMPOP 0 z MIN
            (error) ERR numkeys should be greater than 0
            > ZMPOP 1 z MIN COUNT 0
            (error) ERR count should be greater than 0
            "#,
        );
    }

    #[test]
    fn encodings_change_where_redis_changes_them() {
        let mut harness = Harness::new();
        (0..128).for_each(|at| drop(harness.run(&format!("ZADD z {at} {at}"))));
        harness.check(
            r#"
            > OBJECT ENCODING z
            "listpack"
            > ZADD z 128 128
            (integer) 1
            > OBJECT ENCODING z
            "skiplist"
            > ZREM z 128
            (integer) 1
            > OBJECT ENCODING z
            "skiplist"
            > ZUNIONSTORE y 1 z
            (integer) 128
            > OBJECT ENCODING y
            "listpack"
            "#,
        );
    }
}
