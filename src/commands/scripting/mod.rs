//! Scripts: EVAL and its like. A script is one operation: on the writer it runs over the same overlay as any other command, so
//! it is atomic by construction; one that may only read runs on a reader, over a snapshot.
//!
//! As in Redis, what a script did before it failed stays. But one that has to be ended by force, for its time or by SCRIPT KILL,
//! leaves no trace: the writer can take back what it did, so there is no reason to keep half of it.

mod cache;
mod function;
mod host;
mod script;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::parse::Args;
use super::{Argument, Command, CommandError, Flag, Group, KeySpec, Operation, Run, Session};
use crate::commands::context::Server;
use crate::config::Config;
use crate::keyspace::Keyspace;
use crate::limits;
use crate::observe::Client;
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::scripting::{Ended, Job, Overdue, Script, ScriptDigest, compile_error};
pub use cache::Scripting;
use host::ScriptHost;

pub static COMMANDS: &[&Command] = &[&EVAL, &EVALSHA, &EVALSHA_RO, &EVAL_RO, &function::FUNCTION, &script::SCRIPT];

type Result<T> = std::result::Result<T, CommandError>;

const BASE: Command = Command { group: Group::Scripting, categories: &["@scripting"], ..Command::BASE };

const RUNS: Command = Command {
    since: "2.6.0",
    complexity: "Depends on the script that is executed.",
    arity: -3,
    flags: &[Flag::Noscript, Flag::Stale, Flag::SkipMonitor, Flag::NoMandatoryKeys, Flag::Movablekeys],
    keys: &[WRITTEN_KEYS],
    ..BASE
};

const WRITTEN_KEYS: KeySpec = KeySpec::counted(2, &["RW", "access", "update"]);
const READ_KEYS: KeySpec = KeySpec::counted(2, &["RO", "access"]);

const READS: Command = Command {
    since: "7.0.0",
    flags: &[Flag::Readonly, Flag::Noscript, Flag::Stale, Flag::SkipMonitor, Flag::NoMandatoryKeys, Flag::Movablekeys],
    keys: &[READ_KEYS],
    ..RUNS
};

const NUMKEYS: Argument = Argument::integer("numkeys");
const KEYS: Argument = Argument::key("key", 0).optional().multiple();
const ARGUMENTS: Argument = Argument::string("arg").optional().multiple();

static EVAL: Command = Command {
    name: "eval",
    summary: "Execute a Lua script server side",
    keys: &[KeySpec {
        notes: "We cannot tell how the keys will be used so we assume the worst, RW and UPDATE",
        ..WRITTEN_KEYS
    }],
    arguments: &[Argument::string("script"), NUMKEYS, KEYS, ARGUMENTS],
    examples: r#"> EVAL "return {KEYS[1], ARGV[1], 3.9, true, false}" 1 key value
1) "key"
2) "value"
3) (integer) 3
4) (integer) 1
5) (nil)
> EVAL "return redis.call('SET', KEYS[1], ARGV[1])" 1 mykey hello
OK
> EVAL "return redis.call('GET', KEYS[1])" 1 mykey
"hello"
> EVAL "redis.call('INCR', KEYS[1])" 1 mykey
(error) ERR value is not an integer or out of range script: 710c39fc051231c602a0256ba9e8b095e9b027a2, on @user_script:1.
> EVAL "return redis.pcall('INCR', KEYS[1]).err" 1 mykey
"ERR value is not an integer or out of range"
> EVAL "return {ok = 'fine'}" 0
fine
> EVAL "return 1" 2 onlyone
(error) ERR Number of keys can't be greater than number of args"#,
    run: Run::Script(|session, args| parse(session, args, Named::Body, false)),
    ..RUNS
};

static EVALSHA: Command = Command {
    name: "evalsha",
    summary: "Execute a Lua script server side",
    arguments: &[Argument::string("sha1"), NUMKEYS, KEYS, ARGUMENTS],
    examples: r#"> EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0
(error) NOSCRIPT No matching script. Please use EVAL.
> SCRIPT LOAD "return 1"
"e0e1f9fabfc9d4800c877a703b823ac0578ff8db"
> EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0
(integer) 1"#,
    run: Run::Script(|session, args| parse(session, args, Named::Digest, false)),
    ..RUNS
};

static EVAL_RO: Command = Command {
    name: "eval_ro",
    summary: "Execute a read-only Lua script server side",
    keys: &[KeySpec {
        notes: "We cannot tell how the keys will be used so we assume the worst, RO and ACCESS",
        ..READ_KEYS
    }],
    arguments: &[Argument::string("script"), NUMKEYS, KEYS, ARGUMENTS],
    examples: r#"> SET mykey hello
OK
> EVAL_RO "return redis.call('GET', KEYS[1])" 1 mykey
"hello"
> EVAL_RO "return redis.pcall('DEL', KEYS[1]).err" 1 mykey
"ERR Write commands are not allowed from read-only scripts.""#,
    run: Run::Script(|session, args| parse(session, args, Named::Body, true)),
    ..READS
};

static EVALSHA_RO: Command = Command {
    name: "evalsha_ro",
    summary: "Execute a read-only Lua script server side",
    arguments: &[Argument::string("sha1"), NUMKEYS, KEYS, ARGUMENTS],
    examples: r#"> SCRIPT LOAD "return 1"
"e0e1f9fabfc9d4800c877a703b823ac0578ff8db"
> EVALSHA_RO e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0
(integer) 1
> EVALSHA_RO 0000000000000000000000000000000000000000 0
(error) NOSCRIPT No matching script. Please use EVAL."#,
    run: Run::Script(|session, args| parse(session, args, Named::Digest, true)),
    ..READS
};

/// How a call names its script.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    Body,
    Digest,
}

/// A script to be run.
struct Eval {
    server: Arc<Server>,
    client: Arc<Client>,
    digest: ScriptDigest,
    /// Not known if the client named it by its digest.
    body: Option<Bytes>,
    keys: Vec<Bytes>,
    arguments: Vec<Bytes>,
    only_reads: bool,
}

impl fmt::Debug for Eval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Eval").field("digest", &self.digest).field("keys", &self.keys).finish_non_exhaustive()
    }
}

fn no_script() -> CommandError {
    CommandError::custom("NOSCRIPT No matching script. Please use EVAL.")
}

fn parse(session: &Session, args: &CommandArgs, named: Named, only_reads: bool) -> Result<Box<dyn Operation>> {
    let mut words = Args::new(args);
    let name = words.next_bytes()?;
    let (digest, body) = match named {
        Named::Body => (ScriptDigest::of(&name), Some(name)),
        Named::Digest => (ScriptDigest::parse(&name).ok_or_else(no_script)?, None),
    };
    let count = words.next_i64()?;
    let mut keys = words.rest();
    if count > keys.len() as i64 {
        return Err(CommandError::custom("ERR Number of keys can't be greater than number of args"));
    }
    let count = usize::try_from(count).map_err(|_| CommandError::custom("ERR Number of keys can't be negative"))?;
    let arguments = keys.split_off(count);
    let (server, client) = (session.server.clone(), session.client.clone());
    Ok(Box::new(Eval { server, client, digest, body, keys, arguments, only_reads }))
}

impl Operation for Eval {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        // A script cannot be begun again in the middle.
        keyspace.txn().check_stands_still()?;
        let scripting = &self.server.scripting;
        let mut machine = scripting.machine()?;
        let script = match (scripting.get(self.digest), &self.body) {
            (Some(script), _) => script,
            (None, None) => return Err(no_script()),
            (None, Some(body)) => {
                let script = Arc::new(Script::new(self.digest, body)?);
                machine.compile(&script).map_err(|text| CommandError::Echo(compile_error(&text)))?;
                scripting.remember(script.clone());
                script
            }
        };
        if self.only_reads && script.flags.is_declared && !script.flags.no_writes {
            let text = "ERR Can not execute a script with write flag using *_ro command.";
            return Err(CommandError::custom(text));
        }
        let time_max = time_max(&self.server.config.current());
        let running = scripting.begin();
        let job = Job {
            script: &script,
            keys: &self.keys,
            arguments: &self.arguments,
            time_max,
            running: running.as_killable().clone(),
        };
        let db = keyspace.db();
        let only_reads = self.only_reads || script.flags.no_writes;
        let mut host = ScriptHost::new(&self.server, &self.client, keyspace, only_reads, script.flags);
        let outcome = machine.run(&job, &mut host, reply);
        let fatal = host.fatal.take();
        keyspace.select(db);
        outcome.map_err(|ended| match ended {
            Ended::Failed { text, is_counted } => CommandError::Script { text, is_counted },
            Ended::Overdue(Overdue::Killed) => {
                CommandError::custom("ERR Script killed by user with SCRIPT KILL. It had no effect.")
            }
            Ended::Overdue(Overdue::Time) => {
                let ms = time_max.as_millis();
                CommandError::custom(format!("ERR the script took longer than {ms} milliseconds and had no effect"))
            }
            Ended::ReplyTooLarge => {
                let text = format!("ERR the script's reply is larger than {} bytes", limits::SCRIPT_REPLY_BYTES_MAX);
                CommandError::Script { text: text.into_bytes(), is_counted: false }
            }
            Ended::Fatal => fatal.unwrap_or(CommandError::Internal),
        })
    }

    /// Nobody knows how long it takes.
    fn is_long(&self) -> bool {
        true
    }
}

/// How long a script may run: `busy-reply-threshold`, but no longer than its client waits, nor until the thread that runs it
/// counts as hung.
fn time_max(config: &Config) -> Duration {
    let runtime = &config.runtime;
    let watchdog = Some(runtime.watchdog_timeout_ms / 2).filter(|ms| *ms > 0);
    let threshold = Some(config.commands.script_time_ms).filter(|ms| *ms > 0);
    let ms = [watchdog, threshold].into_iter().flatten().fold(runtime.request_timeout_ms, u64::min);
    Duration::from_millis(ms)
}
