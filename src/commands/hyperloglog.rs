//! The HyperLogLog commands: rows of the command table and what they run. The estimate itself, and which bytes it is
//! kept in, is in [`crate::types::hyperloglog`].

use bytes::Bytes;

use super::parse::Args;
use super::{Argument, Command, CommandError, Flag, Group, KeySpec, Operation, Run, echoed};
use crate::keyspace::{Entry, EventClass, Keyspace, Type};
use crate::limits;
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::types::hyperloglog::{self, HyperLogLog, REGISTERS};
use crate::types::string;

type Result<T> = std::result::Result<T, CommandError>;

const BASE: Command = Command { group: Group::Hyperloglog, categories: &["@hyperloglog"], ..Command::BASE };

/// The rows of this family.
pub static COMMANDS: &[&Command] = &[&PFADD, &PFCOUNT, &PFDEBUG, &PFMERGE, &PFSELFTEST];

static PFADD: Command = Command {
    name: "pfadd",
    summary: "Adds the specified elements to the specified HyperLogLog.",
    since: "2.8.9",
    complexity: "O(1) to add every element.",
    arity: -2,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "insert"])],
    arguments: &[Argument::key("key", 0), Argument::string("element").optional().multiple()],
    examples: r#"> PFADD hll a b c d e f g
(integer) 1
> PFADD hll a
(integer) 0
> PFCOUNT hll
(integer) 7"#,
    run: Run::Storage(Pfadd::parse),
    ..BASE
};

#[derive(Debug)]
struct Pfadd {
    key: Bytes,
    elements: Vec<Bytes>,
}

impl Pfadd {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Pfadd { key: args.next_bytes()?, elements: args.rest() }))
    }
}

impl Operation for Pfadd {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let sparse_bytes_max = keyspace.encodings().hll_sparse_bytes_max;
        let (mut entry, found) = open(keyspace, &self.key)?;
        let mut updated = found.is_none();
        let mut hll = found.unwrap_or_default();
        for element in &self.elements {
            updated |= hll.add(element, sparse_bytes_max)?;
        }
        if updated {
            hll.outdate();
            store(keyspace, &mut entry, hll)?;
            keyspace.notify(EventClass::String, "pfadd", &self.key);
        }
        reply.integer(i64::from(updated));
        Ok(())
    }
}

static PFCOUNT: Command = Command {
    name: "pfcount",
    summary: "Return the approximated cardinality of the set(s) observed by the HyperLogLog at key(s).",
    since: "2.8.9",
    complexity: "O(1) with a very small average constant time when called with a single key. O(N) with N being the \
        number of keys, and much bigger constant times, when called with multiple keys.",
    arity: -2,
    flags: &[Flag::Readonly, Flag::MayReplicate],
    keys: &[KeySpec {
        notes: "RW because it may change the internal representation of the key, and propagate to replicas",
        ..KeySpec::range(1, -1, 1, &["RW", "access"])
    }],
    arguments: &[Argument::key("key", 0).multiple()],
    examples: r#"> PFADD hll foo bar zap
(integer) 1
> PFCOUNT hll
(integer) 3
> PFADD some-other-hll 1 2 3
(integer) 1
> PFCOUNT hll some-other-hll
(integer) 6"#,
    run: Run::Storage(Pfcount::parse),
    ..BASE
};

#[derive(Debug)]
struct Pfcount {
    keys: Vec<Bytes>,
}

impl Pfcount {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        Ok(Box::new(Pfcount { keys: Args::new(args).rest() }))
    }

    /// The estimate of one key, which is stored with it until elements are added.
    fn count_one(keyspace: &mut Keyspace<'_>, key: &Bytes) -> Result<u64> {
        let mut entry = keyspace.read_entry_typed(key, Type::String)?;
        let Some(record) = entry.record() else { return Ok(0) };
        let mut hll = HyperLogLog::from_value(&string::read(keyspace, record)?)?;
        if let Some(count) = hll.cached_count() {
            return Ok(count);
        }
        let count = hll.count()?;
        hll.cache_count(count);
        store(keyspace, &mut entry, hll)?;
        Ok(count)
    }

    fn count_union(keyspace: &mut Keyspace<'_>, keys: &[Bytes]) -> Result<u64> {
        let mut registers = hyperloglog::no_registers();
        for key in keys {
            if let Some(record) = keyspace.get_typed(key, Type::String)? {
                HyperLogLog::from_value(&string::read(keyspace, &record)?)?.merge_into(&mut registers)?;
            }
        }
        Ok(hyperloglog::count_of(&registers))
    }
}

impl Operation for Pfcount {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let count = match &self.keys[..] {
            [key] => Pfcount::count_one(keyspace, key)?,
            keys => Pfcount::count_union(keyspace, keys)?,
        };
        reply.integer(count as i64);
        Ok(())
    }
}

static PFMERGE: Command = Command {
    name: "pfmerge",
    summary: "Merge N different HyperLogLogs into a single one.",
    since: "2.8.9",
    complexity: "O(N) to merge N HyperLogLogs, but with high constant times.",
    arity: -2,
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[KeySpec::one(1, &["RW", "access", "insert"]), KeySpec::range(2, -1, 1, &["RO", "access"])],
    arguments: &[Argument::key("destkey", 0), Argument::key("sourcekey", 1).multiple()],
    examples: r#"> PFADD hll1 foo bar zap a
(integer) 1
> PFADD hll2 a b c foo
(integer) 1
> PFMERGE hll3 hll1 hll2
OK
> PFCOUNT hll3
(integer) 6"#,
    run: Run::Storage(Pfmerge::parse),
    ..BASE
};

#[derive(Debug)]
struct Pfmerge {
    /// The destination comes first: it is merged too.
    keys: Vec<Bytes>,
}

impl Pfmerge {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        Ok(Box::new(Pfmerge { keys: Args::new(args).rest() }))
    }
}

impl Operation for Pfmerge {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let sparse_bytes_max = keyspace.encodings().hll_sparse_bytes_max;
        let mut merged = hyperloglog::no_registers();
        let mut any_is_dense = false;
        for key in &self.keys {
            if let Some(record) = keyspace.get_typed(key, Type::String)? {
                let hll = HyperLogLog::from_value(&string::read(keyspace, &record)?)?;
                any_is_dense |= hll.is_dense();
                hll.merge_into(&mut merged)?;
            }
        }
        let (mut entry, found) = open(keyspace, &self.keys[0])?;
        let mut hll = found.unwrap_or_default();
        if any_is_dense {
            hll.make_dense()?;
        }
        for (register, &count) in merged.iter().enumerate().filter(|(_, count)| **count > 0) {
            hll.raise(register, count, sparse_bytes_max)?;
        }
        hll.outdate();
        store(keyspace, &mut entry, hll)?;
        keyspace.notify(EventClass::String, "pfadd", &self.keys[0]);
        reply.ok();
        Ok(())
    }
}

static PFDEBUG: Command = Command {
    name: "pfdebug",
    summary: "Internal commands for debugging HyperLogLog values",
    since: "2.8.9",
    complexity: "N/A",
    doc_flags: &["syscmd"],
    arity: 3,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Admin],
    keys: &[KeySpec::one(2, &["RW", "access"])],
    arguments: &[Argument::string("subcommand"), Argument::key("key", 0)],
    examples: r#"> PFADD hll a b c
(integer) 1
> PFDEBUG ENCODING hll
sparse
> PFDEBUG DECODE hll
"Z:8436 v:1,1 Z:4274 v:2,1 Z:3068 v:1,1 Z:603"
> PFDEBUG TODENSE hll
(integer) 1
> PFDEBUG ENCODING hll
dense"#,
    run: Run::Storage(Pfdebug::parse),
    ..BASE
};

#[derive(Debug)]
struct Pfdebug {
    subcommand: Bytes,
    key: Bytes,
}

impl Pfdebug {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Pfdebug { subcommand: args.next_bytes()?, key: args.next_bytes()? }))
    }
}

impl Operation for Pfdebug {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let (mut entry, found) = open(keyspace, &self.key)?;
        let Some(mut hll) = found else { return Err(CommandError::custom("ERR The specified key does not exist")) };
        match self.subcommand.to_ascii_lowercase().as_slice() {
            b"getreg" => {
                let was_sparse = hll.make_dense()?;
                reply.array(REGISTERS);
                hll.registers()?.iter().for_each(|register| reply.integer(i64::from(*register)));
                if was_sparse {
                    store(keyspace, &mut entry, hll)?;
                }
            }
            b"decode" if hll.is_dense() => return Err(CommandError::custom("ERR HLL encoding is not sparse")),
            b"decode" => reply.bulk(hll.describe_runs().as_bytes()),
            b"encoding" => reply.simple(if hll.is_dense() { "dense" } else { "sparse" }),
            b"todense" => {
                let was_sparse = hll.make_dense()?;
                reply.integer(i64::from(was_sparse));
                if was_sparse {
                    store(keyspace, &mut entry, hll)?;
                }
            }
            _ => {
                let word = echoed(&self.subcommand);
                return Err(CommandError::echo(&[b"ERR Unknown PFDEBUG subcommand '", word, b"'"]));
            }
        }
        Ok(())
    }
}

static PFSELFTEST: Command = Command {
    name: "pfselftest",
    summary: "An internal command for testing HyperLogLog values",
    since: "2.8.9",
    complexity: "N/A",
    doc_flags: &["syscmd"],
    arity: 1,
    flags: &[Flag::Admin],
    examples: r#"> PFSELFTEST
OK"#,
    run: Run::Storage(|_| Ok(Box::new(Pfselftest))),
    ..BASE
};

#[derive(Debug)]
struct Pfselftest;

impl Operation for Pfselftest {
    /// Whether estimates of more and more random elements stay as close as they should: four standard errors.
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let sparse_bytes_max = keyspace.encodings().hll_sparse_bytes_max;
        let tolerance = 4.0 * 1.04 / (REGISTERS as f64).sqrt();
        let (mut sparse, mut dense) = (HyperLogLog::new(), HyperLogLog::new());
        dense.make_dense()?;
        for total in 1..=limits::PFSELFTEST_ELEMENTS {
            let element = keyspace.random().to_le_bytes();
            sparse.add(&element, sparse_bytes_max)?;
            dense.add(&element, sparse_bytes_max)?;
            if !total.is_power_of_two() {
                continue;
            }
            let count = dense.count()?;
            if sparse.count()? != count {
                return Err(CommandError::custom("ERR TESTFAILED dense/sparse disagree"));
            }
            if count.abs_diff(total) as f64 > (total as f64 * tolerance).max(10.0) {
                return Err(CommandError::custom("ERR TESTFAILED Too big error"));
            }
        }
        reply.ok();
        Ok(())
    }

    fn is_long(&self) -> bool {
        true
    }
}

/// Looks a key up in order to change it, and reads the HyperLogLog there.
fn open(keyspace: &mut Keyspace<'_>, key: &Bytes) -> Result<(Entry, Option<HyperLogLog>)> {
    let entry = keyspace.entry_typed(key, Type::String)?;
    let value = entry.record().map(|record| string::read(keyspace, record)).transpose()?;
    let hll = value.map(|value| HyperLogLog::from_value(&value)).transpose()?;
    Ok((entry, hll))
}

fn store(keyspace: &mut Keyspace<'_>, entry: &mut Entry, hll: HyperLogLog) -> Result<()> {
    let record = string::raw_record(keyspace, entry, hll.into_value())?;
    keyspace.put_keeping_ttl(entry, record)
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::{check, check_examples};

    #[test]
    fn examples_run_as_they_are_written() {
        check_examples(super::COMMANDS);
    }

    #[test]
    fn the_estimate_is_stored_with_the_value() {
        check(
            r#"
            > PFADD h
            (integer) 1
            > GET h
            "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff"
            > PFCOUNT h
            (integer) 0
            > PFADD h
            (integer) 0
            > GET h
            "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x7f\xff"
            > EXPIRE h 10
            (integer) 1
            > PFADD h a
            (integer) 1
            > PFCOUNT h
            (integer) 1
            > TTL h
            (integer) 10
            > OBJECT ENCODING h
            "raw"
            "#,
        );
    }

    #[test]
    fn a_merge_is_dense_if_any_of_its_sources_is() {
        check(
            r#"
            > PFADD a 1 2 3
            (integer) 1
            > PFADD b 3 4
            (integer) 1
            > PFMERGE c a b nothing
            OK
            > PFDEBUG ENCODING c
            sparse
            > PFCOUNT c
            (integer) 4
            > PFDEBUG TODENSE b
            (integer) 1
            > PFDEBUG TODENSE b
            (integer) 0
            > PFMERGE c b
            OK
            > PFDEBUG ENCODING c
            dense
            > PFCOUNT c a
            (integer) 4
            > PFDEBUG DECODE c
            (error) ERR HLL encoding is not sparse
            > PFDEBUG GETREG a
            ...
            > PFDEBUG ENCODING a
            dense
            "#,
        );
    }

    #[test]
    fn what_is_no_hyperloglog() {
        check(
            r#"
            > SET s HYLL
            OK
            > PFADD s a
            (error) WRONGTYPE Key is not a valid HyperLogLog string value.
            > PFCOUNT s
            (error) WRONGTYPE Key is not a valid HyperLogLog string value.
            > PFCOUNT nothing s
            (error) WRONGTYPE Key is not a valid HyperLogLog string value.
            > PFMERGE d s
            (error) WRONGTYPE Key is not a valid HyperLogLog string value.
            > EXISTS d
            (integer) 0
            > PFDEBUG GETREG nothing
            (error) ERR The specified key does not exist
            > PFADD h
            (integer) 1
            > PFDEBUG FOO h
            (error) ERR Unknown PFDEBUG subcommand 'FOO'
            > SETRANGE h 16 "\x00"
            (integer) 18
            > PFADD h b
            (error) INVALIDOBJ Corrupted HLL object detected
            > PFCOUNT h h
            (error) INVALIDOBJ Corrupted HLL object detected
            "#,
        );
    }
}
