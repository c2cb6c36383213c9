//! Changes between the ends: LSET, LINSERT, LREM, LTRIM.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::{BASE, Result};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, KeySpec, Operation, Run};
use crate::keyspace::{EventClass, Keyspace};
use crate::number;
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::types::list::{self, Direction, Editor};

pub(super) static LSET: Command = Command {
    name: "lset",
    summary: "Set the value of an element in a list by its index",
    complexity: "O(N) where N is the length of the list. Setting either the first or the last element of the list is \
        O(1).",
    arity: 4,
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[KeySpec::one(1, &["RW", "update"])],
    arguments: &[Argument::key("key", 0), Argument::integer("index"), Argument::string("element")],
    examples: r#"> RPUSH mylist one two three
(integer) 3
> LSET mylist 0 four
OK
> LSET mylist -2 five
OK
> LRANGE mylist 0 -1
1) "four"
2) "five"
3) "three""#,
    run: Run::Storage(Lset::parse),
    ..BASE
};

#[derive(Debug)]
struct Lset {
    key: Bytes,
    /// As it was given: that there is no such key is the graver error.
    index: Bytes,
    element: Bytes,
}

impl Lset {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Lset { key: args.next_bytes()?, index: args.next_bytes()?, element: args.next_bytes()? }))
    }
}

impl Operation for Lset {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let mut editor = Editor::open(keyspace, &self.key)?;
        if !editor.exists() {
            return Err(CommandError::NoSuchKey);
        }
        let index = number::parse_i64(&self.index).ok_or(CommandError::NotInteger)?;
        let at = list::position(editor.list().len(), index).ok_or(CommandError::IndexOutOfRange)?;
        editor.set(keyspace, at, self.element.clone())?;
        editor.finish(keyspace)?;
        keyspace.notify(EventClass::List, "lset", &self.key);
        reply.ok();
        Ok(())
    }
}

pub(super) static LINSERT: Command = Command {
    name: "linsert",
    summary: "Insert an element before or after another element in a list",
    since: "2.2.0",
    complexity: "O(N) where N is the number of elements to traverse before seeing the value pivot. This means that \
        inserting somewhere on the left end on the list (head) can be considered O(1) and inserting somewhere on the \
        right end (tail) is O(N).",
    arity: 5,
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[KeySpec::one(1, &["RW", "insert"])],
    arguments: &[
        Argument::key("key", 0),
        Argument::one_of("where", &[Argument::flag("before", "BEFORE"), Argument::flag("after", "AFTER")]),
        Argument::string("pivot"),
        Argument::string("element"),
    ],
    examples: r#"> RPUSH mylist Hello World
(integer) 2
> LINSERT mylist BEFORE World There
(integer) 3
> LRANGE mylist 0 -1
1) "Hello"
2) "There"
3) "World""#,
    run: Run::Storage(Linsert::parse),
    ..BASE
};

#[derive(Debug)]
struct Linsert {
    key: Bytes,
    after: bool,
    pivot: Bytes,
    element: Bytes,
}

impl Linsert {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let key = args.next_bytes()?;
        let after = match args.next()? {
            word if word.eq_ignore_ascii_case(b"BEFORE") => false,
            word if word.eq_ignore_ascii_case(b"AFTER") => true,
            _ => return Err(CommandError::Syntax),
        };
        Ok(Box::new(Linsert { key, after, pivot: args.next_bytes()?, element: args.next_bytes()? }))
    }
}

impl Operation for Linsert {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let mut editor = Editor::open(keyspace, &self.key)?;
        if !editor.exists() {
            reply.integer(0);
            return Ok(());
        }
        let Some(pivot) = find(keyspace, &editor, &self.pivot, Direction::Forward, 1)?.pop() else {
            reply.integer(-1);
            return Ok(());
        };
        editor.insert(keyspace, pivot + u64::from(self.after), self.element.clone())?;
        reply.integer(editor.list().len() as i64);
        editor.finish(keyspace)?;
        keyspace.notify(EventClass::List, "linsert", &self.key);
        Ok(())
    }
}

pub(super) static LREM: Command = Command {
    name: "lrem",
    summary: "Remove elements from a list",
    complexity: "O(N+M) where N is the length of the list and M is the number of elements removed.",
    arity: 4,
    flags: &[Flag::Write],
    keys: &[KeySpec::one(1, &["RW", "delete"])],
    arguments: &[Argument::key("key", 0), Argument::integer("count"), Argument::string("element")],
    examples: r#"> RPUSH mylist hello hello foo hello
(integer) 4
> LREM mylist -2 hello
(integer) 2
> LRANGE mylist 0 -1
1) "hello"
2) "foo""#,
    run: Run::Storage(Lrem::parse),
    ..BASE
};

#[derive(Debug)]
struct Lrem {
    key: Bytes,
    /// How many to remove, from the right if negative; 0: all.
    count: i64,
    element: Bytes,
}

impl Lrem {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Lrem { key: args.next_bytes()?, count: args.next_i64()?, element: args.next_bytes()? }))
    }
}

impl Operation for Lrem {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let mut editor = Editor::open(keyspace, &self.key)?;
        let direction = if self.count < 0 { Direction::Backward } else { Direction::Forward };
        let count = if self.count == 0 { u64::MAX } else { self.count.unsigned_abs() };
        let mut found = find(keyspace, &editor, &self.element, direction, count)?;
        found.sort_unstable();
        editor.remove(keyspace, &found)?;
        let emptied = editor.finish(keyspace)?;
        if !found.is_empty() {
            list::notify_removal(keyspace, "lrem", &self.key, emptied);
        }
        reply.integer(found.len() as i64);
        Ok(())
    }
}

/// The indexes of up to `count` elements that are `element`, in the order in which they are found.
fn find(
    keyspace: &Keyspace<'_>,
    editor: &Editor,
    element: &[u8],
    direction: Direction,
    count: u64,
) -> Result<Vec<u64>> {
    let mut found = Vec::new();
    editor.list().walk(keyspace, 0..editor.list().len(), direction, |index, other| {
        if other == element {
            found.push(index);
        }
        if (found.len() as u64) < count { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(found)
}

pub(super) static LTRIM: Command = Command {
    name: "ltrim",
    summary: "Trim a list to the specified range",
    complexity: "O(N) where N is the number of elements to be removed by the operation.",
    arity: 4,
    flags: &[Flag::Write],
    keys: &[KeySpec::one(1, &["RW", "delete"])],
    arguments: &[Argument::key("key", 0), Argument::integer("start"), Argument::integer("stop")],
    examples: r#"> RPUSH mylist one two three
(integer) 3
> LTRIM mylist 1 -1
OK
> LRANGE mylist 0 -1
1) "two"
2) "three""#,
    run: Run::Storage(Ltrim::parse),
    ..BASE
};

#[derive(Debug)]
struct Ltrim {
    key: Bytes,
    start: i64,
    stop: i64,
}

impl Ltrim {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Ltrim { key: args.next_bytes()?, start: args.next_i64()?, stop: args.next_i64()? }))
    }
}

impl Operation for Ltrim {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let mut editor = Editor::open(keyspace, &self.key)?;
        if editor.exists() {
            let kept = list::range(editor.list().len(), self.start, self.stop);
            editor.trim(keyspace, kept)?;
            let emptied = editor.finish(keyspace)?;
            list::notify_removal(keyspace, "ltrim", &self.key, emptied);
        }
        reply.ok();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::check;

    #[test]
    fn errors_come_in_redis_order() {
        check(
            r#"
            > LSET nothing x y
            (error) ERR no such key
            > RPUSH l a b
            (integer) 2
            > LSET l x y
            (error) ERR value is not an integer or out of range
            > LSET l 2 y
            (error) ERR index out of range
            > LSET l -3 y
            (error) ERR index out of range
            > LINSERT nothing FOO a b
            (error) ERR syntax error
            > LINSERT nothing BEFORE a b
            (integer) 0
            > LINSERT l after zz b
            (integer) -1
            > LREM nothing x a
            (error) ERR value is not an integer or out of range
            > LTRIM nothing 0 x
            (error) ERR value is not an integer or out of range
            > LTRIM nothing 0 0
            OK
            "#,
        );
    }

    #[test]
    fn what_is_emptied_is_gone() {
        check(
            r#"
            > RPUSH l a a
            (integer) 2
            > LREM l -9223372036854775808 a
            (integer) 2
            > EXISTS l
            (integer) 0
            > RPUSH l a b
            (integer) 2
            > LTRIM l 5 10
            OK
            > EXISTS l
            (integer) 0
            "#,
        );
    }
}
