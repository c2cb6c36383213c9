//! SLOWLOG: what took longer than `slowlog-log-slower-than`.

use super::{BASE, CONTAINER};
use crate::commands::introspection;
use crate::commands::{Argument, Command, CommandError, Flag, Next, Run, Session};
use crate::number;
use crate::resp::{CommandArgs, ReplyBuffer};

pub static SLOWLOG: Command = Command {
    name: "slowlog",
    summary: "A container for slow log commands",
    since: "2.2.12",
    subcommands: &[&GET, &HELP, &LEN, &RESET],
    ..CONTAINER
};

const FLAGS: &[Flag] = &[Flag::Admin, Flag::Loading, Flag::Stale];

static HELP: Command = Command {
    since: "6.2.0",
    examples: r#"> SLOWLOG HELP
..."#,
    ..introspection::HELP
};

static GET: Command = Command {
    name: "get",
    summary: "Get the slow log's entries",
    since: "2.2.12",
    complexity: "O(N) where N is the number of entries returned",
    arity: -2,
    flags: FLAGS,
    tips: &["request_policy:all_nodes", "nondeterministic_output"],
    history: &[("4.0.0", "Added client IP address, port and name to the reply.")],
    arguments: &[Argument::integer("count").optional()],
    examples: r#"> SLOWLOG GET
...
> SLOWLOG GET -2
(error) ERR count should be greater than or equal to -1"#,
    run: Run::Server(get),
    ..BASE
};

fn get(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let count = match args.get(2) {
        _ if args.len() > 3 => return Err(introspection::unknown_subcommand_or_arity(args)),
        None => 10,
        Some(count) => match number::parse_i64(count) {
            Some(-1) => usize::MAX,
            Some(count @ 0..) => count as usize,
            _ => return Err(CommandError::custom("ERR count should be greater than or equal to -1")),
        },
    };
    let entries = session.server.stats.slowlog.latest(count);
    reply.array(entries.len());
    for entry in entries {
        reply.array(6);
        reply.integer(entry.id as i64);
        reply.integer(entry.unix_s as i64);
        reply.integer(entry.took.as_micros() as i64);
        reply.array(entry.args.len());
        entry.args.iter().for_each(|arg| reply.bulk(arg));
        reply.bulk(entry.client_address.as_bytes());
        reply.bulk(entry.client_name.as_bytes());
    }
    Ok(Next::Done)
}

static LEN: Command = Command {
    name: "len",
    summary: "Get the slow log's length",
    since: "2.2.12",
    arity: 2,
    flags: FLAGS,
    tips: &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
    examples: r#"> CONFIG SET slowlog-log-slower-than -1
OK
> SLOWLOG RESET
OK
> SLOWLOG LEN
(integer) 0"#,
    run: Run::Server(len),
    ..BASE
};

fn len(session: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    reply.integer(session.server.stats.slowlog.len() as i64);
    Ok(Next::Done)
}

static RESET: Command = Command {
    name: "reset",
    summary: "Clear all entries from the slow log",
    since: "2.2.12",
    complexity: "O(N) where N is the number of entries in the slowlog",
    arity: 2,
    flags: FLAGS,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    examples: r#"> SLOWLOG RESET
OK"#,
    run: Run::Server(reset),
    ..BASE
};

fn reset(session: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    session.server.stats.slowlog.reset();
    reply.ok();
    Ok(Next::Done)
}
