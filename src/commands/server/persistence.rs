//! SAVE, BGSAVE and BGREWRITEAOF, for the clients and scripts that know them: memtables are written out to table files.
//! Nothing is gained for safety, which the log alone gives; what is gained is a shorter recovery.

use bytes::Bytes;

use super::BASE;
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, Next, Run, Session};
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::storage::BackgroundTask;

pub static SAVE: Command = Command {
    name: "save",
    summary: "Synchronously save the dataset to disk",
    complexity: "O(N) where N is the total number of keys in all databases",
    arity: 1,
    flags: &[Flag::Admin, Flag::Noscript, Flag::NoAsyncLoading, Flag::NoMulti],
    examples: r#"> SAVE
OK"#,
    run: Run::Server(save),
    ..BASE
};

/// Only who asks waits for it.
fn save(session: &mut Session, _: &CommandArgs, _: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let background = session.server.background.clone();
    if background.is_running(BackgroundTask::Flush) {
        return Err(CommandError::custom("ERR Background save already in progress"));
    }
    let mut answer = ReplyBuffer::new(session.protocol);
    Ok(Next::Wait(Box::pin(async move {
        match background.run(BackgroundTask::Flush).await {
            Ok(()) => answer.ok(),
            // Why is in the error log.
            Err(_) => answer.error("ERR"),
        }
        Bytes::from(answer.into_bytes())
    })))
}

pub static BGSAVE: Command = Command {
    name: "bgsave",
    summary: "Asynchronously save the dataset to disk",
    arity: -1,
    flags: &[Flag::Admin, Flag::Noscript, Flag::NoAsyncLoading],
    history: &[("3.2.2", "Added the `SCHEDULE` option.")],
    arguments: &[Argument::flag("schedule", "SCHEDULE").since("3.2.2").optional()],
    examples: r#"> BGSAVE SCHEDULE
Background saving started
> BGSAVE NOW
(error) ERR syntax error"#,
    run: Run::Server(bgsave),
    ..BASE
};

fn bgsave(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let mut args = Args::new(args);
    let scheduled = args.take_word("SCHEDULE");
    if !args.is_done() {
        return Err(CommandError::Syntax);
    }
    let background = &session.server.background;
    if background.is_running(BackgroundTask::Flush) && !scheduled {
        return Err(CommandError::custom("ERR Background save already in progress"));
    }
    background.request(BackgroundTask::Flush);
    reply.simple("Background saving started");
    Ok(Next::Done)
}

pub static BGREWRITEAOF: Command = Command {
    name: "bgrewriteaof",
    summary: "Asynchronously rewrite the append-only file",
    arity: 1,
    flags: &[Flag::Admin, Flag::Noscript, Flag::NoAsyncLoading],
    examples: r#"> BGREWRITEAOF
Background append only file rewriting started"#,
    run: Run::Server(bgrewriteaof),
    ..BASE
};

/// What a flush leaves of the log is what a rewrite would leave of the append-only file: as little as can be.
fn bgrewriteaof(session: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    session.server.background.request(BackgroundTask::Flush);
    reply.simple("Background append only file rewriting started");
    Ok(Next::Done)
}
