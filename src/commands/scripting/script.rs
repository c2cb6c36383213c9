//! SCRIPT: the cache of scripts, and an end to those that run.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::{BASE as SCRIPTING, Result};
use crate::commands::context::Server;
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, Next, Operation, Run, Session, introspection};
use crate::keyspace::Keyspace;
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::scripting::{Script, ScriptDigest, compile_error};

pub(super) static SCRIPT: Command = Command {
    name: "script",
    summary: "A container for Lua scripts management commands",
    since: "2.6.0",
    complexity: "Depends on subcommand.",
    arity: -2,
    categories: &[],
    subcommands: &[&DEBUG, &EXISTS, &FLUSH, &HELP, &KILL, &LOAD],
    ..SCRIPTING
};

const BASE: Command = Command { since: "2.6.0", arity: 2, flags: &[Flag::Noscript], ..SCRIPTING };

static HELP: Command = Command {
    group: BASE.group,
    since: "5.0.0",
    categories: BASE.categories,
    examples: r#"> SCRIPT HELP
..."#,
    ..introspection::HELP
};

/// What is asked of the cache, in line with the scripts that a client sends before and after.
struct CacheCall {
    server: Arc<Server>,
    what: What,
}

#[derive(Debug)]
enum What {
    Load(Bytes),
    Exists(Vec<Bytes>),
    Flush,
}

impl fmt::Debug for CacheCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what.fmt(f)
    }
}

impl CacheCall {
    fn boxed(session: &Session, what: What) -> Box<dyn Operation> {
        Box::new(CacheCall { server: session.server.clone(), what })
    }
}

impl Operation for CacheCall {
    fn run(&self, _: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let scripting = &self.server.scripting;
        match &self.what {
            What::Load(body) => {
                let script = Arc::new(Script::new(ScriptDigest::of(body), body)?);
                let compiled = scripting.machine()?.compile(&script);
                compiled.map_err(|text| CommandError::Echo(compile_error(&text)))?;
                reply.bulk(&script.digest.0);
                scripting.load(script)?;
            }
            What::Exists(digests) => {
                reply.array(digests.len());
                for digest in digests {
                    let is_known = ScriptDigest::parse(digest).is_some_and(|digest| scripting.get(digest).is_some());
                    reply.integer(i64::from(is_known));
                }
            }
            What::Flush => {
                scripting.forget_all();
                reply.ok();
            }
        }
        Ok(())
    }

    /// The parser's time is the text's.
    fn is_long(&self) -> bool {
        matches!(self.what, What::Load(_))
    }
}

static LOAD: Command = Command {
    name: "load",
    summary: "Load the specified Lua script into the script cache.",
    complexity: "O(N) with N being the length in bytes of the script body.",
    arity: 3,
    flags: &[Flag::Noscript, Flag::Stale],
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    arguments: &[Argument::string("script")],
    examples: r#"> SCRIPT LOAD "return 1"
"e0e1f9fabfc9d4800c877a703b823ac0578ff8db"
> SCRIPT LOAD "return return"
(error) ERR Error compiling script (new function): user_script:1: unexpected symbol near 'return'"#,
    run: Run::Script(|session, args| Ok(CacheCall::boxed(session, What::Load(Args::from(args, 2).next_bytes()?)))),
    ..BASE
};

static EXISTS: Command = Command {
    name: "exists",
    summary: "Check existence of scripts in the script cache.",
    complexity: "O(N) with N being the number of scripts to check (so checking a single script is an O(1) operation).",
    arity: -3,
    tips: &["request_policy:all_shards", "response_policy:agg_logical_and"],
    arguments: &[Argument::string("sha1").multiple()],
    examples: r#"> EVAL "return 1" 0
(integer) 1
> SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db nothing
1) (integer) 1
2) (integer) 0"#,
    run: Run::Script(|session, args| Ok(CacheCall::boxed(session, What::Exists(Args::from(args, 2).rest())))),
    ..BASE
};

static FLUSH: Command = Command {
    name: "flush",
    summary: "Remove all the scripts from the script cache.",
    complexity: "O(N) with N being the number of scripts in cache",
    arity: -2,
    history: &[("6.2.0", "Added the `ASYNC` and `SYNC` flushing mode modifiers.")],
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    arguments: &[Argument::one_of("async", &[Argument::flag("async", "ASYNC"), Argument::flag("sync", "SYNC")])
        .since("6.2.0")
        .optional()],
    examples: r#"> SCRIPT FLUSH
OK
> SCRIPT FLUSH NOW
(error) ERR SCRIPT FLUSH only support SYNC|ASYNC option"#,
    run: Run::Script(flush),
    ..BASE
};

fn flush(session: &Session, args: &CommandArgs) -> Result<Box<dyn Operation>> {
    let mut mode = Args::from(args, 2);
    let is_known = mode.is_done() || (mode.take_word("ASYNC") || mode.take_word("SYNC")) && mode.is_done();
    if !is_known {
        return Err(CommandError::custom("ERR SCRIPT FLUSH only support SYNC|ASYNC option"));
    }
    Ok(CacheCall::boxed(session, What::Flush))
}

static KILL: Command = Command {
    name: "kill",
    summary: "Kill the script currently in execution.",
    flags: &[Flag::Noscript, Flag::AllowBusy],
    tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
    examples: r#"> SCRIPT KILL
(error) NOTBUSY No scripts in execution right now."#,
    run: Run::Server(kill),
    ..BASE
};

/// Whatever it has done: it can be taken back.
fn kill(session: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next> {
    if !session.server.scripting.kill_all() {
        return Err(CommandError::custom("NOTBUSY No scripts in execution right now."));
    }
    reply.ok();
    Ok(Next::Done)
}

static DEBUG: Command = Command {
    name: "debug",
    summary: "Set the debug mode for executed scripts.",
    since: "3.2.0",
    arity: 3,
    arguments: &[Argument::one_of(
        "mode",
        &[Argument::flag("yes", "YES"), Argument::flag("sync", "SYNC"), Argument::flag("no", "NO")],
    )],
    examples: r#"> SCRIPT DEBUG NO
OK
> SCRIPT DEBUG YES
(error) ERR there is no debugger for scripts here
> SCRIPT DEBUG MAYBE
(error) ERR Use SCRIPT DEBUG YES/SYNC/NO"#,
    run: Run::Session(debug),
    ..BASE
};

fn debug(_: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next> {
    let mut mode = Args::from(args, 2);
    if mode.take_word("NO") {
        reply.ok();
        return Ok(Next::Done);
    }
    let is_mode = mode.take_word("YES") || mode.take_word("SYNC");
    Err(CommandError::custom(if is_mode {
        "ERR there is no debugger for scripts here"
    } else {
        "ERR Use SCRIPT DEBUG YES/SYNC/NO"
    }))
}
