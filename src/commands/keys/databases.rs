//! Whole databases: DBSIZE, FLUSHALL, FLUSHDB, SWAPDB. How data goes away in no time is the keyspace's secret.

use super::{BASE, Result};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, Group, Operation, Run};
use crate::keyspace::Keyspace;
use crate::number;
use crate::resp::{CommandArgs, ReplyBuffer};

/// A database's number as a client gave it: any `int` of C.
#[derive(Clone, Copy, Debug)]
pub(super) struct DbIndex(i32);

impl DbIndex {
    /// Reads a number; whether there is such a database is not known before the command runs.
    pub(super) fn parse(text: &[u8]) -> Result<DbIndex> {
        let index = number::parse_i64(text).ok_or(CommandError::NotInteger)?;
        let index = i32::try_from(index).map_err(|_| {
            CommandError::custom("ERR value is out of range, value must between -2147483648 and 2147483647")
        })?;
        Ok(DbIndex(index))
    }

    /// The database, if there is one of that number.
    pub(super) fn check(self, keyspace: &Keyspace<'_>) -> Result<usize> {
        usize::try_from(self.0).ok().filter(|db| *db < keyspace.db_count()).ok_or(CommandError::DbIndex)
    }
}

pub(super) static DBSIZE: Command = Command {
    name: "dbsize",
    group: Group::Server,
    summary: "Return the number of keys in the selected database",
    arity: 1,
    flags: &[Flag::Readonly, Flag::Fast],
    tips: &["request_policy:all_shards", "response_policy:agg_sum"],
    examples: r#"> MSET key1 Hello key2 World
OK
> DBSIZE
(integer) 2"#,
    run: Run::Storage(DbSize::parse),
    ..BASE
};

#[derive(Debug)]
struct DbSize;

impl DbSize {
    fn parse(_: &CommandArgs) -> Result<Box<dyn Operation>> {
        Ok(Box::new(DbSize))
    }
}

impl Operation for DbSize {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        reply.integer(keyspace.size()? as i64);
        Ok(())
    }
}

/// The argument of both FLUSH commands.
const MODE: Argument = Argument::one_of(
    "async",
    &[Argument::flag("async", "ASYNC").since("4.0.0"), Argument::flag("sync", "SYNC").since("6.2.0")],
)
.optional();
const MODES_ADDED: &[(&str, &str)] =
    &[("4.0.0", "Added the `ASYNC` flushing mode modifier."), ("6.2.0", "Added the `SYNC` flushing mode modifier.")];

pub(super) static FLUSHDB: Command = Command {
    name: "flushdb",
    group: Group::Server,
    summary: "Remove all keys from the current database",
    complexity: "O(N) where N is the number of keys in the selected database",
    arity: -1,
    flags: &[Flag::Write],
    categories: &["@keyspace", "@dangerous"],
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    history: MODES_ADDED,
    arguments: &[MODE],
    examples: r#"> SET mykey Hello
OK
> SELECT 1
OK
> SET mykey World
OK
> FLUSHDB
OK
> DBSIZE
(integer) 0
> SELECT 0
OK
> DBSIZE
(integer) 1"#,
    run: Run::Storage(|args| Flush::parse(args, Flush::Selected)),
    ..BASE
};

pub(super) static FLUSHALL: Command = Command {
    name: "flushall",
    group: Group::Server,
    summary: "Remove all keys from all databases",
    complexity: "O(N) where N is the total number of keys in all databases",
    arity: -1,
    flags: &[Flag::Write],
    categories: &["@keyspace", "@dangerous"],
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    history: MODES_ADDED,
    arguments: &[MODE],
    examples: r#"> SET mykey Hello
OK
> SELECT 1
OK
> FLUSHALL
OK
> SELECT 0
OK
> DBSIZE
(integer) 0"#,
    run: Run::Storage(|args| Flush::parse(args, Flush::All)),
    ..BASE
};

#[derive(Clone, Copy, Debug)]
enum Flush {
    Selected,
    All,
}

impl Flush {
    /// ASYNC and SYNC are the same here: the keys are gone at once, and their space is reclaimed in the background.
    fn parse(args: &CommandArgs, flush: Flush) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let _ = args.take_word("ASYNC") || args.take_word("SYNC");
        args.finish()?;
        Ok(Box::new(flush))
    }
}

impl Operation for Flush {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        match self {
            Flush::Selected => keyspace.flush_database(keyspace.db())?,
            Flush::All => keyspace.flush_all()?,
        }
        reply.ok();
        Ok(())
    }
}

pub(super) static SWAPDB: Command = Command {
    name: "swapdb",
    group: Group::Server,
    summary: "Swaps two Redis databases",
    since: "4.0.0",
    complexity: "O(N) where N is the count of clients watching or blocking on keys from both databases.",
    arity: 3,
    flags: &[Flag::Write, Flag::Fast],
    categories: &["@keyspace", "@dangerous"],
    arguments: &[Argument::integer("index1"), Argument::integer("index2")],
    examples: r#"> SET mykey Hello
OK
> SWAPDB 0 1
OK
> GET mykey
(nil)
> SELECT 1
OK
> GET mykey
"Hello""#,
    run: Run::Storage(SwapDb::parse),
    ..BASE
};

#[derive(Debug)]
struct SwapDb {
    first: DbIndex,
    second: DbIndex,
}

impl SwapDb {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let mut index = |error| DbIndex::parse(args.next()?).map_err(|_| CommandError::custom(error));
        Ok(Box::new(SwapDb {
            first: index("ERR invalid first DB index")?,
            second: index("ERR invalid second DB index")?,
        }))
    }
}

impl Operation for SwapDb {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let (first, second) = (self.first.check(keyspace)?, self.second.check(keyspace)?);
        keyspace.swap_databases(first, second);
        reply.ok();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::check;

    #[test]
    fn flushing_takes_one_word() {
        check(
            r#"
            > SET a 1 EX 10
            OK
            > FLUSHALL foo
            (error) ERR syntax error
            > FLUSHDB ASYNC SYNC
            (error) ERR syntax error
            > DBSIZE
            (integer) 1
            > FLUSHDB async
            OK
            > DBSIZE
            (integer) 0
            > SET a 1
            OK
            > FLUSHALL SYNC
            OK
            > GET a
            (nil)
            "#,
        );
    }

    #[test]
    fn swapped_databases_keep_their_sizes() {
        check(
            r#"
            > SWAPDB a 1
            (error) ERR invalid first DB index
            > SWAPDB 0 99999999999
            (error) ERR invalid second DB index
            > SWAPDB 99 1
            (error) ERR DB index is out of range
            > SWAPDB 1 1
            OK
            > MSET a 1 b 2
            OK
            > SWAPDB 0 1
            OK
            > DBSIZE
            (integer) 0
            > SET c 3
            OK
            > SWAPDB 1 0
            OK
            > DBSIZE
            (integer) 2
            > SELECT 1
            OK
            > KEYS *
            1) "c"
            "#,
        );
    }
}
