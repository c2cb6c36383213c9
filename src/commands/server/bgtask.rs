//! BGTASK, a command of ours: sees and steers background work. See `storage/background.rs` for the tasks.

use bytes::Bytes;

use super::{ADMIN, BASE, CONTAINER};
use crate::commands::introspection;
use crate::commands::{Argument, Command, CommandError, Next, Run, Session, echoed};
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::storage::BackgroundTask;

pub static BGTASK: Command = Command {
    name: "bgtask",
    summary: "A container for commands about background work",
    since: "0.1.0",
    subcommands: &[&HELP, &LIST, &PAUSE, &RESUME, &RUN],
    ..CONTAINER
};

static HELP: Command = Command {
    since: "0.1.0",
    examples: r#"> BGTASK HELP
..."#,
    ..introspection::HELP
};

const NAME: &[Argument] = &[Argument::string("task")];

static LIST: Command = Command {
    name: "list",
    summary: "Returns each background task, whether it runs or is paused, its progress and how it went.",
    since: "0.1.0",
    arity: 2,
    flags: ADMIN,
    tips: &["nondeterministic_output"],
    examples: r#"> BGTASK LIST
1)  1) "task"
    2) "expire"
    3) "state"
    4) "idle"
..."#,
    run: Run::Server(list),
    ..BASE
};

fn list(session: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let background = &session.server.background;
    reply.array(BackgroundTask::ALL.len());
    for task in BackgroundTask::ALL {
        let status = background.status(task);
        let state = match (&status.running_for, status.waiting, status.paused) {
            (Some(_), ..) => "running",
            (None, true, _) => "waiting",
            (None, false, true) => "paused",
            (None, false, false) => "idle",
        };
        reply.map(11);
        for (name, text) in [("task", task.name()), ("state", state)] {
            reply.bulk(name.as_bytes());
            reply.bulk(text.as_bytes());
        }
        let (done, steps) = status.progress;
        for (name, number) in [
            ("paused", u64::from(status.paused)),
            ("running-ms", status.running_for.unwrap_or_default().as_millis() as u64),
            ("steps-done", done),
            ("steps", steps),
            ("runs", status.runs),
            ("failures", status.failures),
            ("items", status.items),
            ("last-took-ms", status.last_took.as_millis() as u64),
        ] {
            reply.bulk(name.as_bytes());
            reply.integer(number as i64);
        }
        reply.bulk(b"last-error");
        reply.bulk(status.last_error.unwrap_or_default().as_bytes());
    }
    Ok(Next::Done)
}

static RUN: Command = Command {
    name: "run",
    summary: "Runs a background task as soon as can be, paused or not, and waits for it if asked to.",
    since: "0.1.0",
    complexity: "O(N) for compact, where N is the size of the data.",
    arity: -3,
    flags: ADMIN,
    arguments: &[Argument::string("task"), Argument::flag("wait", "WAIT").optional()],
    examples: r#"> BGTASK RUN compact WAIT
OK
> BGTASK RUN defrag
(error) ERR Unknown background task 'defrag'. Try BGTASK LIST."#,
    run: Run::Server(run),
    ..BASE
};

fn run(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let task = task_of(args.get(2).unwrap_or_default())?;
    let background = session.server.background.clone();
    match args.get(3) {
        None => {
            background.request(task);
            reply.ok();
            Ok(Next::Done)
        }
        Some(word) if args.len() == 4 && word.eq_ignore_ascii_case(b"WAIT") => {
            let mut answer = ReplyBuffer::new(session.protocol);
            Ok(Next::Wait(Box::pin(async move {
                match background.run(task).await {
                    Ok(()) => answer.ok(),
                    Err(error) => answer.error(format!("ERR The background task failed: {error}")),
                }
                Bytes::from(answer.into_bytes())
            })))
        }
        Some(_) => Err(CommandError::Syntax),
    }
}

static PAUSE: Command = Command {
    name: "pause",
    summary: "Keeps a background task, or ALL that may be paused, from running by itself.",
    since: "0.1.0",
    arity: 3,
    flags: ADMIN,
    arguments: NAME,
    examples: r#"> BGTASK PAUSE compact
OK
> BGTASK PAUSE sync
(error) ERR The background task 'sync' can't be paused: nobody would know how much a power failure takes."#,
    run: Run::Server(pause),
    ..BASE
};

fn pause(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    set_paused(session, args, reply, true)
}

static RESUME: Command = Command {
    name: "resume",
    summary: "Lets a background task, or ALL, run by itself again.",
    since: "0.1.0",
    arity: 3,
    flags: ADMIN,
    arguments: NAME,
    examples: r#"> BGTASK RESUME ALL
OK"#,
    run: Run::Server(resume),
    ..BASE
};

fn resume(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    set_paused(session, args, reply, false)
}

fn set_paused(
    session: &mut Session,
    args: &CommandArgs,
    reply: &mut ReplyBuffer,
    paused: bool,
) -> Result<Next, CommandError> {
    let name = args.get(2).unwrap_or_default();
    let tasks: Vec<BackgroundTask> = match name.eq_ignore_ascii_case(b"ALL") {
        true => BackgroundTask::ALL.into_iter().filter(|task| task.may_pause()).collect(),
        false => vec![task_of(name)?],
    };
    if let Some(task) = tasks.iter().find(|task| !task.may_pause()) {
        return Err(CommandError::custom(format!(
            "ERR The background task '{}' can't be paused: nobody would know how much a power failure takes.",
            task.name()
        )));
    }
    for task in tasks {
        session.server.background.set_paused(task, paused);
        tracing::info!(client = session.client.id, task = task.name(), paused, "BGTASK");
    }
    reply.ok();
    Ok(Next::Done)
}

fn task_of(name: &[u8]) -> Result<BackgroundTask, CommandError> {
    let unknown = || CommandError::echo(&[b"ERR Unknown background task '", echoed(name), b"'. Try BGTASK LIST."]);
    BackgroundTask::of(name).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use crate::commands::network_tests::TestClient;

    #[test]
    fn tasks_are_paused_by_name_or_together_and_the_sync_never() {
        let mut client = TestClient::new();
        client.check(&[("bgtask pause EXPIRE", "OK"), ("bgtask run reclaim", "OK")]);
        let list = client.run("bgtask list");
        assert!(list.contains("\"expire\"\n    3) \"state\"\n    4) \"paused\""), "{list}");
        assert!(list.contains("\"reclaim\"\n    3) \"state\"\n    4) \"waiting\""), "{list}");
        client.check(&[("bgtask resume all", "OK"), ("bgtask pause all", "OK")]);
        let list = client.run("bgtask list");
        assert_eq!(list.matches("\"paused\"\n    6) (integer) 1").count(), 5, "{list}");
        assert!(client.run("bgtask pause sync").contains("can't be paused"));
        client.check(&[("bgtask run flush later", "(error) ERR syntax error")]);
    }
}
