//! MULTI, EXEC, DISCARD, WATCH, UNWATCH. What is queued waits in the session; EXEC hands it to the connection, and the
//! storage runtime runs it as one step.

use super::{Argument, Command, CommandError, Flag, Group, KeySpec, Next, Run, Session};
use crate::keyspace::WatchSet;
use crate::limits;
use crate::resp::{CommandArgs, ReplyBuffer};

pub static COMMANDS: &[&Command] = &[&DISCARD, &EXEC, &MULTI, &UNWATCH, &WATCH];

const BASE: Command = Command { group: Group::Transactions, categories: &["@transaction"], ..Command::BASE };

const FLAGS: &[Flag] = &[Flag::Noscript, Flag::Loading, Flag::Stale, Flag::Fast, Flag::AllowBusy];

type Result<T> = std::result::Result<T, CommandError>;

static MULTI: Command = Command {
    name: "multi",
    summary: "Mark the start of a transaction block",
    since: "1.2.0",
    arity: 1,
    flags: FLAGS,
    examples: r#"> MULTI
OK
> SET mykey 10
QUEUED
> INCR mykey
QUEUED
> MULTI
(error) ERR MULTI calls can not be nested
> EXEC
1) OK
2) (integer) 11"#,
    run: Run::Session(multi),
    ..BASE
};

fn multi(session: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next> {
    if session.transaction.is_some() {
        return Err(CommandError::custom("ERR MULTI calls can not be nested"));
    }
    session.transaction = Some(Box::default());
    reply.ok();
    Ok(Next::Done)
}

static EXEC: Command = Command {
    name: "exec",
    summary: "Execute all commands issued after MULTI",
    since: "1.2.0",
    complexity: "Depends on commands in the transaction",
    arity: 1,
    flags: &[Flag::Noscript, Flag::Loading, Flag::Stale, Flag::SkipSlowlog],
    examples: r#"> EXEC
(error) ERR EXEC without MULTI
> MULTI
OK
> SET mykey
(error) ERR wrong number of arguments for 'set' command
> EXEC
(error) EXECABORT Transaction discarded because of previous errors.
> MULTI
OK
> SET mykey Hello
QUEUED
> INCR mykey
QUEUED
> EXEC
1) OK
2) (error) ERR value is not an integer or out of range"#,
    run: Run::Session(exec),
    ..BASE
};

fn exec(session: &mut Session, _: &CommandArgs, _: &mut ReplyBuffer) -> Result<Next> {
    let transaction = session.transaction.take().ok_or(CommandError::custom("ERR EXEC without MULTI"))?;
    let watches = session.watches.take();
    if transaction.is_aborted {
        return Err(CommandError::custom("EXECABORT Transaction discarded because of previous errors."));
    }
    Ok(Next::Exec(transaction.queue, watches))
}

static DISCARD: Command = Command {
    name: "discard",
    summary: "Discard all commands issued after MULTI",
    since: "2.0.0",
    complexity: "O(N), when N is the number of queued commands",
    arity: 1,
    flags: FLAGS,
    examples: r#"> DISCARD
(error) ERR DISCARD without MULTI
> MULTI
OK
> SET mykey Hello
QUEUED
> DISCARD
OK
> EXISTS mykey
(integer) 0"#,
    run: Run::Session(discard),
    ..BASE
};

fn discard(session: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next> {
    if session.transaction.take().is_none() {
        return Err(CommandError::custom("ERR DISCARD without MULTI"));
    }
    session.watches = None;
    reply.ok();
    Ok(Next::Done)
}

static WATCH: Command = Command {
    name: "watch",
    summary: "Watch the given keys to determine execution of the MULTI/EXEC block",
    since: "2.2.0",
    complexity: "O(1) for every key.",
    arity: -2,
    flags: FLAGS,
    keys: &[KeySpec::range(1, -1, 1, &["RO"])],
    arguments: &[Argument::key("key", 0).multiple()],
    examples: r#"> WATCH mykey
OK
> SET mykey Hello
OK
> MULTI
OK
> SET mykey World
QUEUED
> EXEC
(nil)
> GET mykey
"Hello""#,
    // Not before everything sent earlier is answered: one's own writes from before must not count.
    run: Run::Server(watch),
    ..BASE
};

fn watch(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next> {
    if session.transaction.is_some() {
        return Err(CommandError::custom("ERR WATCH inside MULTI is not allowed"));
    }
    let now_ms = session.server.env.clock.unix_ms();
    let watches = session.server.watches.clone();
    let set = session.watches.get_or_insert_with(|| WatchSet::new(watches));
    for key in args.iter().skip(1) {
        if !set.add(session.db, key, now_ms) {
            return Err(CommandError::custom("ERR too many watched keys"));
        }
    }
    reply.ok();
    Ok(Next::Done)
}

static UNWATCH: Command = Command {
    name: "unwatch",
    summary: "Forget about all watched keys",
    since: "2.2.0",
    arity: 1,
    flags: FLAGS,
    examples: r#"> WATCH mykey
OK
> UNWATCH
OK"#,
    run: Run::Session(unwatch),
    ..BASE
};

fn unwatch(session: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next> {
    session.watches = None;
    reply.ok();
    Ok(Next::Done)
}

/// An EXEC that is refused for itself ends the transaction as well.
pub fn abort_exec(session: &mut Session, error: &CommandError) -> CommandError {
    (session.transaction, session.watches) = (None, None);
    let text = error.reply_text();
    CommandError::echo(&[b"EXECABORT Transaction discarded because of: ", text.strip_prefix(b"ERR ").unwrap_or(&text)])
}

/// Whether MULTI does not queue a command, but lets it run at once.
pub fn runs_within_multi(command: &Command) -> bool {
    ["discard", "exec", "multi", "quit", "reset", "watch"].contains(&command.name)
}

/// Puts a command off until EXEC.
pub fn enqueue(session: &mut Session, queued: super::context::Queued, bytes: usize) -> Result<()> {
    let bytes_max = session.server.config.current().network.query_buffer_bytes_max;
    let Some(transaction) = session.transaction.as_mut() else { return Err(CommandError::Internal) };
    if transaction.queue.len() >= limits::TRANSACTION_COMMANDS_MAX || transaction.bytes + bytes > bytes_max {
        transaction.is_aborted = true;
        return Err(CommandError::custom("ERR the transaction is too large"));
    }
    transaction.bytes += bytes;
    transaction.queue.push(queued);
    Ok(())
}
