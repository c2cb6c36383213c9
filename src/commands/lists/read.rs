//! What only looks: LLEN, LINDEX, LRANGE, LPOS.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::{BASE, Result, parse_from};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, KeySpec, Operation, Run};
use crate::keyspace::Keyspace;
use crate::number;
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::types::list::{self, Direction, List};

pub(super) static LLEN: Command = Command {
    name: "llen",
    summary: "Get the length of a list",
    arity: 2,
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[KeySpec::one(1, &["RO"])],
    arguments: &[Argument::key("key", 0)],
    examples: r#"> LPUSH mylist World Hello
(integer) 2
> LLEN mylist
(integer) 2"#,
    run: Run::Storage(Llen::parse),
    ..BASE
};

#[derive(Debug)]
struct Llen {
    key: Bytes,
}

impl Llen {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        Ok(Box::new(Llen { key: Args::new(args).next_bytes()? }))
    }
}

impl Operation for Llen {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let list = List::read(keyspace, &self.key)?;
        reply.integer(list.map_or(0, |list| list.len() as i64));
        Ok(())
    }
}

pub(super) static LINDEX: Command = Command {
    name: "lindex",
    summary: "Get an element from a list by its index",
    complexity: "O(N) where N is the number of elements to traverse to get to the element at index. This makes asking \
        for the first or the last element of the list O(1).",
    arity: 3,
    flags: &[Flag::Readonly],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0), Argument::integer("index")],
    examples: r#"> LPUSH mylist World Hello
(integer) 2
> LINDEX mylist 0
"Hello"
> LINDEX mylist -1
"World"
> LINDEX mylist 3
(nil)"#,
    run: Run::Storage(Lindex::parse),
    ..BASE
};

#[derive(Debug)]
struct Lindex {
    key: Bytes,
    /// As it was given: Redis reads it only if the key is there.
    index: Bytes,
}

impl Lindex {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Lindex { key: args.next_bytes()?, index: args.next_bytes()? }))
    }
}

impl Operation for Lindex {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let mut element = None;
        if let Some(list) = List::read(keyspace, &self.key)? {
            let index = number::parse_i64(&self.index).ok_or(CommandError::NotInteger)?;
            if let Some(at) = list::position(list.len(), index) {
                element = list.get(keyspace, at)?;
            }
        }
        match element {
            Some(element) => reply.bulk(&element),
            None => reply.null(),
        }
        Ok(())
    }
}

pub(super) static LRANGE: Command = Command {
    name: "lrange",
    summary: "Get a range of elements from a list",
    complexity: "O(S+N) where S is the distance of start offset from HEAD for small lists, from nearest end (HEAD or \
        TAIL) for large lists; and N is the number of elements in the specified range.",
    arity: 4,
    flags: &[Flag::Readonly],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0), Argument::integer("start"), Argument::integer("stop")],
    examples: r#"> RPUSH mylist one two three
(integer) 3
> LRANGE mylist 0 0
1) "one"
> LRANGE mylist -3 2
1) "one"
2) "two"
3) "three"
> LRANGE mylist 5 10
(empty array)"#,
    run: Run::Storage(Lrange::parse),
    ..BASE
};

#[derive(Debug)]
struct Lrange {
    key: Bytes,
    start: i64,
    stop: i64,
}

impl Lrange {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Lrange { key: args.next_bytes()?, start: args.next_i64()?, stop: args.next_i64()? }))
    }
}

impl Operation for Lrange {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let Some(list) = List::read(keyspace, &self.key)? else {
            reply.array(0);
            return Ok(());
        };
        let range = list::range(list.len(), self.start, self.stop);
        reply.array((range.end - range.start) as usize);
        list.walk(keyspace, range, Direction::Forward, |_, element| {
            reply.bulk(element);
            ControlFlow::Continue(())
        })
    }
}

pub(super) static LPOS: Command = Command {
    name: "lpos",
    summary: "Return the index of matching elements on a list",
    since: "6.0.6",
    complexity: "O(N) where N is the number of elements in the list, for the average case. When searching for elements \
        near the head or the tail of the list, or when the MAXLEN option is provided, the command may run in constant \
        time.",
    arity: -3,
    flags: &[Flag::Readonly],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[
        Argument::key("key", 0),
        Argument::string("element"),
        Argument::integer("rank").token("RANK").optional(),
        Argument::integer("num-matches").token("COUNT").optional(),
        Argument::integer("len").token("MAXLEN").optional(),
    ],
    examples: r#"> RPUSH mylist a b c d 1 2 3 4 3 3 3
(integer) 11
> LPOS mylist 3
(integer) 6
> LPOS mylist 3 COUNT 0 RANK 2
1) (integer) 8
2) (integer) 9
3) (integer) 10
> LPOS mylist c RANK -1 MAXLEN 5
(nil)"#,
    run: Run::Storage(Lpos::parse),
    ..BASE
};

#[derive(Debug)]
struct Lpos {
    key: Bytes,
    element: Bytes,
    /// How many matches to pass over, and one; from the right if negative.
    rank: i64,
    /// How many matches to reply, 0: all; `None`: one, and not as an array.
    count: Option<u64>,
    /// How many elements to compare at most; 0: all.
    len_max: u64,
}

impl Lpos {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let (key, element) = (args.next_bytes()?, args.next_bytes()?);
        let mut lpos = Lpos { key, element, rank: 1, count: None, len_max: 0 };
        while !args.is_done() {
            if args.take_word("RANK") {
                lpos.rank = args.next_i64()?;
                if lpos.rank == 0 {
                    return Err(CommandError::custom(
                        "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use \
                         negative to start from the end of the list",
                    ));
                }
            } else if args.take_word("COUNT") {
                lpos.count = Some(parse_from(0, args.next()?, "ERR COUNT can't be negative")?);
            } else if args.take_word("MAXLEN") {
                lpos.len_max = parse_from(0, args.next()?, "ERR MAXLEN can't be negative")?;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(Box::new(lpos))
    }

    /// The indexes of the matches asked for.
    fn find(&self, keyspace: &mut Keyspace<'_>) -> Result<Vec<u64>> {
        let Some(list) = List::read(keyspace, &self.key)? else { return Ok(Vec::new()) };
        let len = list.len();
        let compared = if self.len_max == 0 { len } else { self.len_max.min(len) };
        let (range, direction) = match self.rank {
            1.. => (0..compared, Direction::Forward),
            _ => (len - compared..len, Direction::Backward),
        };
        // As in Redis, the lowest rank of all has no positive counterpart: it passes over nothing and is never satisfied.
        let rank = self.rank.wrapping_abs();
        let (mut matches, mut found) = (0i64, Vec::new());
        list.walk(keyspace, range, direction, |index, element| {
            if *element != self.element[..] {
                return ControlFlow::Continue(());
            }
            matches += 1;
            if matches < rank {
                return ControlFlow::Continue(());
            }
            found.push(index);
            let is_last = match self.count {
                Some(0) => false,
                Some(count) => matches.wrapping_sub(rank).wrapping_add(1) >= count as i64,
                None => true,
            };
            if is_last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(found)
    }
}

impl Operation for Lpos {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let found = self.find(keyspace)?;
        match (self.count, found.first()) {
            (Some(_), _) => {
                reply.array(found.len());
                found.iter().for_each(|index| reply.integer(*index as i64));
            }
            (None, Some(index)) => reply.integer(*index as i64),
            (None, None) => reply.null(),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::check;

    #[test]
    fn lindex_reads_its_index_only_if_the_key_is_there() {
        check(
            r#"
            > LINDEX nothing x
            (nil)
            > RPUSH l a b
            (integer) 2
            > LINDEX l x
            (error) ERR value is not an integer or out of range
            > LINDEX l -3
            (nil)
            > LRANGE nothing 0 x
            (error) ERR value is not an integer or out of range
            > LRANGE nothing 0 -1
            (empty array)
            > LRANGE l -100 -2
            1) "a"
            "#,
        );
    }

    #[test]
    fn lpos_finds_by_rank_count_and_length() {
        check(
            r#"
            > RPUSH l a b a c a
            (integer) 5
            > LPOS l a RANK -2
            (integer) 2
            > LPOS l a RANK -1 COUNT 2
            1) (integer) 4
            2) (integer) 2
            > LPOS l a RANK 2 COUNT 0 MAXLEN 4
            1) (integer) 2
            > LPOS l a RANK 4
            (nil)
            > LPOS l a RANK 4 COUNT 1
            (empty array)
            > LPOS nothing a COUNT 1
            (empty array)
            > LPOS l a RANK -9223372036854775808 COUNT 1
            1) (integer) 4
            2) (integer) 2
            3) (integer) 0
            "#,
        );
    }

    #[test]
    fn lpos_refuses() {
        check(
            r#"
            > LPOS l a RANK 0
            (error) ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list
            > LPOS l a RANK x
            (error) ERR value is not an integer or out of range
            > LPOS l a COUNT -1
            (error) ERR COUNT can't be negative
            > LPOS l a MAXLEN x
            (error) ERR MAXLEN can't be negative
            > LPOS l a COUNT
            (error) ERR syntax error
            "#,
        );
    }
}
