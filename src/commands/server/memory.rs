//! MEMORY: how much a key takes, and what the process does. Values live on disk, so what there is to say of memory is
//! little: most of it is the engine's block cache and its memtables.

use bytes::Bytes;

use super::{BASE, CONTAINER};
use crate::commands::introspection;
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, KeySpec, Next, Operation, Run, Session};
use crate::keyspace::Keyspace;
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::types::dump;

/// Elements of a large collection that MEMORY USAGE looks at unless told otherwise.
const SAMPLES: u64 = 5;

pub static MEMORY: Command = Command {
    name: "memory",
    summary: "A container for memory diagnostics commands",
    since: "4.0.0",
    subcommands: &[&DOCTOR, &HELP, &MALLOC_STATS, &PURGE, &STATS, &USAGE],
    ..CONTAINER
};

static HELP: Command = Command {
    since: "4.0.0",
    flags: &[Flag::Loading, Flag::Stale],
    examples: r#"> MEMORY HELP
..."#,
    ..introspection::HELP
};

static DOCTOR: Command = Command {
    name: "doctor",
    summary: "Outputs memory problems report",
    since: "4.0.0",
    arity: 2,
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    examples: r#"> MEMORY DOCTOR
..."#,
    run: Run::Server(doctor),
    ..BASE
};

fn doctor(_: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    reply.verbatim("txt", b"Hi Sam, values live on disk here: there is no heap of them that I could examine.\n");
    Ok(Next::Done)
}

static MALLOC_STATS: Command = Command {
    name: "malloc-stats",
    summary: "Show allocator internal stats",
    since: "4.0.0",
    complexity: "Depends on how much memory is allocated, could be slow",
    arity: 2,
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    examples: r#"> MEMORY MALLOC-STATS
"Stats not supported for the current allocator""#,
    run: Run::Server(malloc_stats),
    ..BASE
};

fn malloc_stats(_: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    reply.verbatim("txt", b"Stats not supported for the current allocator");
    Ok(Next::Done)
}

static PURGE: Command = Command {
    name: "purge",
    summary: "Ask the allocator to release memory",
    since: "4.0.0",
    complexity: "Depends on how much memory is allocated, could be slow",
    arity: 2,
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    examples: r#"> MEMORY PURGE
OK"#,
    run: Run::Server(purge),
    ..BASE
};

/// The allocator returns memory by itself; as in Redis where it could not be asked to, the answer is OK.
fn purge(_: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    reply.ok();
    Ok(Next::Done)
}

static STATS: Command = Command {
    name: "stats",
    summary: "Show memory usage details",
    since: "4.0.0",
    arity: 2,
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    examples: r#"> MEMORY STATS
 1) "peak.allocated"
..."#,
    run: Run::Server(stats),
    ..BASE
};

/// Redis' figures, without those of a heap that holds the data.
fn stats(session: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let server = &session.server;
    let usage = server.stats.runtime.process.load();
    let keys: u64 = server.keyspace.of(&server.databases.load()).iter().map(|(_, counters)| counters.keys).sum();
    let (used, resident, peak) = (usage.anonymous_bytes, usage.resident_bytes, usage.resident_bytes_max);
    let ratio = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    let integers = [
        ("peak.allocated", peak),
        ("total.allocated", used),
        ("replication.backlog", 0),
        ("clients.slaves", 0),
        ("cluster.links", 0),
        ("aof.buffer", 0),
        ("keys.count", keys),
        ("allocator.resident", resident),
        ("fragmentation.bytes", resident.saturating_sub(used)),
    ];
    let ratios = [("peak.percentage", ratio(used, peak) * 100.0), ("fragmentation", ratio(resident, used))];
    reply.map(integers.len() + ratios.len());
    for (name, value) in integers {
        reply.bulk(name.as_bytes());
        reply.integer(value as i64);
    }
    for (name, value) in ratios {
        reply.bulk(name.as_bytes());
        reply.double(value);
    }
    Ok(Next::Done)
}

static USAGE: Command = Command {
    name: "usage",
    summary: "Estimate the memory usage of a key",
    since: "4.0.0",
    complexity: "O(N) where N is the number of samples.",
    arity: -3,
    flags: &[Flag::Readonly],
    keys: &[KeySpec::one(2, &["RO"])],
    arguments: &[Argument::key("key", 0), Argument::integer("count").token("SAMPLES").optional()],
    examples: r#"> SET mykey Hello
OK
> MEMORY USAGE mykey
(integer) 12
> MEMORY USAGE nosuchkey
(nil)"#,
    run: Run::Storage(Usage::parse),
    ..BASE
};

#[derive(Debug)]
struct Usage {
    key: Bytes,
    samples: u64,
}

impl Usage {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>, CommandError> {
        let mut args = Args::from(args, 2);
        let mut usage = Usage { key: args.next_bytes()?, samples: SAMPLES };
        while !args.is_done() {
            if args.remaining() == 1 || !args.take_word("SAMPLES") {
                return Err(CommandError::Syntax);
            }
            usage.samples = match u64::try_from(args.next_i64()?).map_err(|_| CommandError::Syntax)? {
                0 => u64::MAX,
                samples => samples,
            };
        }
        Ok(Box::new(usage))
    }
}

impl Operation for Usage {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<(), CommandError> {
        match keyspace.peek(&self.key)? {
            Some(record) => reply.integer(dump::size(keyspace, &self.key, &record, self.samples)? as i64),
            None => reply.null(),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::check;

    #[test]
    fn usage_of_a_large_collection_is_estimated_from_a_few_elements() {
        let long = "x".repeat(300);
        check(&format!(
            r#"
            > RPUSH l {long} {long} {long} {long}
            (integer) 4
            > MEMORY USAGE l
            (integer) 1291
            > MEMORY USAGE l SAMPLES 0
            (integer) 1291
            > MEMORY USAGE l SAMPLES 1 SAMPLES 2
            (integer) 1291
            > RPUSH l {long}{long}
            (integer) 5
            > MEMORY USAGE l SAMPLES 1
            (integer) 1607
            > MEMORY USAGE l SAMPLES 0
            (integer) 1907
            > MEMORY USAGE l SAMPLES -1
            (error) ERR syntax error
            > MEMORY USAGE l SAMPLES
            (error) ERR syntax error
            > MEMORY USAGE l SAMPLES x
            (error) ERR value is not an integer or out of range
            "#
        ));
    }
}
