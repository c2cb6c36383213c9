//! A Lua interpreter that runs one script after another, for as long as none has damaged it.
//!
//! It must never run a script without a watch, and never be used again once it had to end one by force.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use foldhash::fast::FixedState;
use mlua::{Function, HookTriggers, Lua, LuaOptions, MultiValue, StdLib, Value, VmState};

use super::arguments::{c_number, is_true};
use super::cjson;
use super::convert::{Replies, ReplyError, to_lua};
use super::raise::{counted_error, doomed, error_table, throw};
use super::random::Reseed;
use super::redis;
use super::sandbox::Sandbox;
use super::script::{Script, ScriptDigest};
use super::watch::{Overdue, Running, Watch};
use crate::env::Clock;
use crate::limits;
use crate::resp::{self, CommandArgs, Protocol, ReplyBuffer};

/// What a script reaches by `redis.call`.
pub trait Host {
    /// Runs a command. Its reply, encoded in `protocol`, an error's too.
    fn call(&mut self, args: &CommandArgs, protocol: Protocol) -> Result<BytesMut, CallError>;

    /// Whether the script's user may run a command; `None`: there is no such command.
    fn may_call(&self, args: &CommandArgs) -> Option<bool>;
}

/// Why a command did not even fail.
#[derive(Debug)]
pub enum CallError {
    /// It is refused in these words.
    Refused(&'static str),
    /// The script cannot go on, nor handle this: the host knows why.
    Fatal,
}

/// How a script ended that did not end well.
#[derive(Debug)]
pub enum Ended {
    /// By an error of its own: the text, with its code. It may have been counted where a command failed.
    Failed {
        text: Vec<u8>,
        is_counted: bool,
    },
    Overdue(Overdue),
    ReplyTooLarge,
    /// By [`CallError::Fatal`].
    Fatal,
}

/// A run of a script.
pub struct Job<'j> {
    pub script: &'j Script,
    pub keys: &'j [Bytes],
    pub arguments: &'j [Bytes],
    pub time_max: Duration,
    pub running: Arc<Running>,
}

/// See the head of this file.
pub struct Machine {
    lua: Lua,
    sandbox: Sandbox,
    watch: Arc<Watch>,
    compiled: HashMap<ScriptDigest, Function, FixedState>,
    /// No other script may run on it.
    is_spoilt: bool,
}

impl Machine {
    pub fn new(clock: Arc<dyn Clock>) -> mlua::Result<Machine> {
        let libraries = StdLib::STRING | StdLib::TABLE | StdLib::MATH;
        let lua = Lua::new_with(libraries, LuaOptions::new())?;
        lua.set_memory_limit(limits::SCRIPT_MEMORY_BYTES_MAX)?;
        let watch = Arc::new(Watch::new(clock));
        let sandbox = Sandbox::new(&lua, &watch)?;
        let watched = watch.clone();
        let triggers = HookTriggers::new().every_nth_instruction(limits::SCRIPT_STEPS_UNWATCHED as u32);
        lua.set_global_hook(triggers, move |lua, _| match watched.pass(limits::SCRIPT_STEPS_UNWATCHED) {
            Ok(()) => Ok(VmState::Continue),
            Err(_) => Err(doom(lua)),
        })?;
        Ok(Machine { lua, sandbox, watch, compiled: HashMap::default(), is_spoilt: false })
    }

    /// Whether it may be used again.
    pub fn is_sound(&self) -> bool {
        !self.is_spoilt
    }

    /// Bytes that the interpreter holds.
    pub fn memory_bytes(&self) -> usize {
        self.lua.used_memory()
    }

    /// Makes sure that a script can be run. `Err`: why it is no Lua.
    pub fn compile(&mut self, script: &Script) -> Result<(), Vec<u8>> {
        self.function(script).map(drop)
    }

    fn function(&mut self, script: &Script) -> Result<Function, Vec<u8>> {
        if let Some(function) = self.compiled.get(&script.digest) {
            return Ok(function.clone());
        }
        let compiled = self.sandbox.compile(&self.lua, script.code());
        let function = compiled.map_err(|error| error.to_string().into_bytes())?.map_err(|words| words.to_vec())?;
        if self.compiled.len() >= limits::SCRIPTS_MAX {
            self.compiled.clear();
        }
        self.compiled.insert(script.digest, function.clone());
        Ok(function)
    }

    /// Runs a script to its end and writes what it returns. On `Err` what is written means nothing.
    pub fn run(&mut self, job: &Job<'_>, host: &mut dyn Host, reply: &mut ReplyBuffer) -> Result<(), Ended> {
        self.watch.begin(job.time_max, job.running.clone());
        let function = match self.function(job.script) {
            Ok(function) => function,
            Err(text) => return Err(Ended::Failed { text: compile_error(&text), is_counted: false }),
        };
        let is_fatal = Cell::new(false);
        let returned = self.enter(job, function, host, &is_fatal);
        let outcome = self.conclude(job, returned, is_fatal.get(), reply);
        self.leave();
        outcome
    }

    fn enter(
        &self,
        job: &Job<'_>,
        function: Function,
        host: &mut dyn Host,
        is_fatal: &Cell<bool>,
    ) -> mlua::Result<(bool, Value)> {
        let Machine { lua, sandbox, watch, .. } = self;
        if let Some(reseed) = lua.app_data_ref::<Reseed>() {
            reseed.run();
        }
        if let Some(settings) = lua.app_data_ref::<cjson::Shared>() {
            settings.reset();
        }
        redis::set_protocol(lua, Protocol::Resp2);
        sandbox.behind.raw_set("KEYS", strings(lua, job.keys)?)?;
        sandbox.behind.raw_set("ARGV", strings(lua, job.arguments)?)?;
        let host = RefCell::new(host);
        lua.scope(|scope| {
            let call = |lua: &Lua, args: MultiValue, throws: bool| match call(lua, &args, &host, watch) {
                Ok(value) if throws && is_error(&value) => Err(throw(value)),
                Ok(value) => Ok(value),
                Err(Refused::Fatal) => {
                    is_fatal.set(true);
                    Err(doom(lua))
                }
                Err(Refused::Overdue) => Err(doom(lua)),
                Err(Refused::Lua(error)) => Err(error),
            };
            let redis = &sandbox.redis;
            redis.raw_set("call", scope.create_function(move |lua, args| call(lua, args, true))?)?;
            redis.raw_set("pcall", scope.create_function(move |lua, args| call(lua, args, false))?)?;
            let may_call = |lua: &Lua, args: MultiValue| may_call(lua, &args, &host);
            redis.raw_set("acl_check_cmd", scope.create_function(may_call)?)?;
            sandbox.enter.call::<(bool, Value)>(function)
        })
    }

    /// What a script's end means.
    fn conclude(
        &mut self,
        job: &Job<'_>,
        returned: mlua::Result<(bool, Value)>,
        is_fatal: bool,
        reply: &mut ReplyBuffer,
    ) -> Result<(), Ended> {
        if let Some(overdue) = self.watch.overdue() {
            self.is_spoilt = true;
            return Err(Ended::Overdue(overdue));
        }
        if is_fatal {
            self.is_spoilt = true;
            return Err(Ended::Fatal);
        }
        let value = match returned {
            Ok((true, value)) => value,
            Ok((false, Value::Table(error))) => return Err(failed(job, &error)),
            Ok((false, other)) => {
                self.is_spoilt = true;
                return Err(not_run(job, &super::arguments::text_of(&other).unwrap_or("execution failure".into())));
            }
            Err(error) => {
                self.is_spoilt = true;
                return Err(not_run(job, error.to_string().as_bytes()));
            }
        };
        if let Value::Table(table) = &value
            && let Ok(Value::String(text)) = table.raw_get("err")
        {
            let is_counted = is_true(&table.raw_get("ignore_error_stats_update").unwrap_or(Value::Nil));
            return Err(Ended::Failed { text: text.as_bytes().to_vec(), is_counted });
        }
        let script_protocol = redis::protocol(&self.lua);
        let mut replies = Replies { reply, watch: &self.watch, script_protocol, written: 0 };
        replies.write(&value, 0).map_err(|error| match error {
            ReplyError::TooLarge => Ended::ReplyTooLarge,
            ReplyError::Overdue(overdue) => Ended::Overdue(overdue),
            ReplyError::Lua(error) => not_run(job, error.to_string().as_bytes()),
        })
    }

    /// Leaves nothing of a run behind.
    fn leave(&mut self) {
        let behind = &self.sandbox.behind;
        let cleared = ["KEYS", "ARGV"].into_iter().all(|name| behind.raw_set(name, Value::Nil).is_ok());
        if !cleared || self.sandbox.is_tampered_with() {
            self.is_spoilt = true;
        }
        if self.is_sound() && self.lua.used_memory() > limits::SCRIPT_MEMORY_KEPT_BYTES {
            self.is_spoilt = self.lua.gc_collect().is_err();
        }
    }
}

/// From now on every instruction fails, so that the script ends however it treats errors.
fn doom(lua: &Lua) -> mlua::Error {
    let triggers = HookTriggers::EVERY_LINE.every_nth_instruction(1);
    match lua.set_global_hook(triggers, |_, _| Err(doomed())) {
        Ok(()) => doomed(),
        Err(error) => error,
    }
}

fn strings(lua: &Lua, texts: &[Bytes]) -> mlua::Result<mlua::Table> {
    let table = lua.create_table_with_capacity(texts.len(), 0)?;
    for (index, text) in (1..).zip(texts) {
        table.raw_set(index, lua.create_string(text)?)?;
    }
    Ok(table)
}

const NO_ARGUMENT: &str = "Please specify at least one argument for this redis lib call";
const ODD_ARGUMENT: &str = "Lua redis lib command arguments must be strings or integers";

/// Why `redis.call` has no reply.
enum Refused {
    Fatal,
    Overdue,
    Lua(mlua::Error),
}

impl From<mlua::Error> for Refused {
    fn from(error: mlua::Error) -> Refused {
        Refused::Lua(error)
    }
}

fn call(lua: &Lua, args: &MultiValue, host: &RefCell<&mut dyn Host>, watch: &Watch) -> Result<Value, Refused> {
    let wrong = |words: &str| Ok(Value::Table(error_table(lua, words.as_bytes())?));
    if args.is_empty() {
        return wrong(NO_ARGUMENT);
    }
    let Some(args) = command_args(args) else { return wrong(ODD_ARGUMENT) };
    let protocol = redis::protocol(lua);
    let mut encoded = match host.borrow_mut().call(&args, protocol) {
        Ok(encoded) => encoded,
        Err(CallError::Fatal) => return Err(Refused::Fatal),
        Err(CallError::Refused(words)) => return Ok(Value::Table(counted_error(lua, words.as_bytes())?)),
    };
    watch.pass(1).map_err(|_| Refused::Overdue)?;
    match resp::Value::decode(&mut encoded) {
        Ok(Some(value)) => Ok(to_lua(lua, &value, protocol)?),
        _ => wrong("the command's reply was not understood"),
    }
}

/// `redis.acl_check_cmd`
fn may_call(lua: &Lua, args: &MultiValue, host: &RefCell<&mut dyn Host>) -> mlua::Result<bool> {
    if args.is_empty() {
        return Err(redis::error(lua, NO_ARGUMENT));
    }
    let args = command_args(args);
    let args = args.ok_or_else(|| redis::error(lua, ODD_ARGUMENT))?;
    let may = host.borrow().may_call(&args);
    may.ok_or_else(|| redis::error(lua, "Invalid command passed to redis.acl_check_cmd()"))
}

/// Strings as they are, numbers as `%.17g`; nothing else.
fn command_args(args: &MultiValue) -> Option<CommandArgs> {
    let texts = args.iter().map(|value| match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Integer(number) => Some(c_number(*number as f64, 17)),
        Value::Number(number) => Some(c_number(*number, 17)),
        _ => None,
    });
    Some(CommandArgs::from_parts(&texts.collect::<Option<Vec<_>>>()?))
}

/// Whether a command's reply was an error.
fn is_error(value: &Value) -> bool {
    matches!(value, Value::Table(table) if matches!(table.raw_get("err"), Ok(Value::String(_))))
}

/// The words for a script that is no Lua.
pub fn compile_error(text: &[u8]) -> Vec<u8> {
    [b"ERR Error compiling script (new function): ", text].concat()
}

/// An error that nothing has caught.
fn failed(job: &Job<'_>, error: &mlua::Table) -> Ended {
    let field = |name: &str| error.raw_get::<Value>(name).ok().and_then(|value| super::arguments::text_of(&value));
    let mut text = field("err").unwrap_or_else(|| "ERR unknown error".into()).to_vec();
    if let (Some(source), Some(line)) = (field("source"), field("line")) {
        let place = [&b" script: "[..], &job.script.digest.0, b", on ", &source, b":", &line, b"."];
        text.extend(place.concat());
    }
    let is_counted = is_true(&error.raw_get("ignore_error_stats_update").unwrap_or(Value::Nil));
    Ended::Failed { text, is_counted }
}

/// The interpreter itself gave up.
fn not_run(job: &Job<'_>, why: &[u8]) -> Ended {
    let why = &why[..why.len().min(100)];
    let text = [&b"ERR Error running script "[..], &job.script.digest.0, b", ", why].concat();
    Ended::Failed { text, is_counted: false }
}
