//! MONITOR: shows a client what all clients do.
//!
//! Commands are shown where they run, once they ran; see `observe::Monitors`. It must never show a password.

use super::{ADMIN, BASE};
use crate::commands::{Command, CommandError, Next, Run, Session};
use crate::resp::{CommandArgs, ReplyBuffer};

pub static MONITOR: Command = Command {
    name: "monitor",
    summary: "Listen for all requests received by the server in real time",
    since: "1.0.0",
    complexity: "",
    arity: 1,
    flags: ADMIN,
    examples: r#"> MONITOR
OK
> RESET
RESET"#,
    run: Run::Server(monitor),
    ..BASE
};

/// As in Redis, whoever is a monitor already gets no reply.
fn monitor(session: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    if session.denies_blocking {
        return Err(CommandError::custom("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    if session.become_monitor() {
        reply.ok();
    }
    Ok(Next::Done)
}
