//! The table `redis`, as far as it needs no server: what does (`redis.call` and its like) the machine puts there for each run.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use mlua::{Lua, MultiValue, Result, Table, Value};
use sha1::{Digest, Sha1};

use super::arguments::{Arguments, text_of};
use super::raise::{error_table, throw};
use crate::config::REDIS_VERSION;
use crate::resp::Protocol;

/// Redis' levels of logging, in its order.
const LOG_LEVELS: [&str; 4] = ["LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING"];

/// What `redis.set_repl` takes. Nothing here is replicated; scripts that say how still run.
const REPLICATION: [(&str, i64); 5] =
    [("REPL_NONE", 0), ("REPL_AOF", 1), ("REPL_SLAVE", 2), ("REPL_REPLICA", 2), ("REPL_ALL", 3)];

/// In what the running script wants its replies (`redis.setresp`).
#[derive(Debug, Default)]
struct WantsResp3(AtomicBool);

pub fn set_protocol(lua: &Lua, protocol: Protocol) {
    if let Some(wants) = lua.app_data_ref::<WantsResp3>() {
        wants.0.store(protocol == Protocol::Resp3, Ordering::Relaxed);
    }
}

pub fn protocol(lua: &Lua) -> Protocol {
    let wants_resp3 = lua.app_data_ref::<WantsResp3>().is_some_and(|wants| wants.0.load(Ordering::Relaxed));
    if wants_resp3 { Protocol::Resp3 } else { Protocol::Resp2 }
}

pub fn library(lua: &Lua) -> Result<Table> {
    lua.set_app_data(WantsResp3::default());
    let redis = lua.create_table()?;
    for (level, name) in (0..).zip(LOG_LEVELS) {
        redis.raw_set(name, level)?;
    }
    for (name, value) in REPLICATION {
        redis.raw_set(name, value)?;
    }
    redis.raw_set("REDIS_VERSION", REDIS_VERSION)?;
    redis.raw_set("REDIS_VERSION_NUM", version_number(REDIS_VERSION))?;
    redis.raw_set("error_reply", lua.create_function(error_reply)?)?;
    redis.raw_set("status_reply", lua.create_function(status_reply)?)?;
    redis.raw_set("sha1hex", lua.create_function(sha1hex)?)?;
    redis.raw_set("log", lua.create_function(log)?)?;
    redis.raw_set("setresp", lua.create_function(setresp)?)?;
    redis.raw_set("set_repl", lua.create_function(set_repl)?)?;
    // There is no debugger to break into.
    redis.raw_set("breakpoint", lua.create_function(|_, _: MultiValue| Ok(false))?)?;
    redis.raw_set("debug", lua.create_function(|_, _: MultiValue| Ok(()))?)?;
    // Effects are all that is ever written.
    redis.raw_set("replicate_commands", lua.create_function(|_, _: MultiValue| Ok(true))?)?;
    Ok(redis)
}

/// A byte for each part.
fn version_number(version: &str) -> u32 {
    version.split('.').filter_map(|part| part.parse::<u32>().ok()).fold(0, |number, part| number << 8 | part)
}

/// An error as `redis.call` throws them.
pub fn error(lua: &Lua, message: &str) -> mlua::Error {
    match error_table(lua, message.as_bytes()) {
        Ok(table) => throw(Value::Table(table)),
        Err(error) => error,
    }
}

fn error_reply(lua: &Lua, args: MultiValue) -> Result<Table> {
    match single_text(&args) {
        Some(text) => error_table(lua, &[b"-", text.strip_prefix(b"-").unwrap_or(&text)].concat()),
        None => error_table(lua, b"wrong number or type of arguments"),
    }
}

fn status_reply(lua: &Lua, args: MultiValue) -> Result<Table> {
    let Some(text) = single_text(&args) else { return error_table(lua, b"wrong number or type of arguments") };
    let table = lua.create_table()?;
    table.raw_set("ok", lua.create_string(text)?)?;
    Ok(table)
}

fn single_text(args: &MultiValue) -> Option<Bytes> {
    let only = args.front().filter(|value| args.len() == 1 && matches!(value, Value::String(_)))?;
    text_of(only)
}

fn sha1hex(lua: &Lua, args: MultiValue) -> Result<mlua::LuaString> {
    if args.len() != 1 {
        return Err(error(lua, "wrong number of arguments"));
    }
    lua.create_string(digest(&args.front().and_then(text_of).unwrap_or_default()))
}

/// The SHA-1 of a text, in hexadecimal digits.
pub fn digest(text: &[u8]) -> [u8; 40] {
    let mut digits = [0; 40];
    for (byte, pair) in Sha1::digest(text).iter().zip(digits.chunks_exact_mut(2)) {
        for (digit, half) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
            *digit = b"0123456789abcdef"[usize::from(half)];
        }
    }
    digits
}

fn log(lua: &Lua, args: MultiValue) -> Result<()> {
    let args = Arguments::new(lua, args);
    if args.len() < 2 {
        return Err(error(lua, "redis.log() requires two arguments or more."));
    }
    let level = match args.value(1) {
        Value::Integer(level) => usize::try_from(level).ok(),
        Value::Number(level) => Some(level as usize),
        _ => return Err(error(lua, "First argument must be a number (log level).")),
    };
    let text = (2..=args.len()).filter_map(|index| args.get(index).and_then(text_of)).collect::<Vec<_>>();
    let text = text.join(&b' ');
    let text = String::from_utf8_lossy(&text);
    match level.and_then(|level| LOG_LEVELS.get(level)) {
        Some(&"LOG_WARNING") => tracing::warn!("{text}"),
        Some(&"LOG_NOTICE") => tracing::info!("{text}"),
        Some(_) => tracing::debug!("{text}"),
        None => return Err(error(lua, "Invalid debug level.")),
    }
    Ok(())
}

fn setresp(lua: &Lua, args: MultiValue) -> Result<()> {
    let args = Arguments::new(lua, args);
    if args.len() != 1 {
        return Err(error(lua, "redis.setresp() requires one argument."));
    }
    match args.number(1).ok() {
        Some(2.0) => set_protocol(lua, Protocol::Resp2),
        Some(3.0) => set_protocol(lua, Protocol::Resp3),
        _ => return Err(error(lua, "RESP version must be 2 or 3.")),
    }
    Ok(())
}

fn set_repl(lua: &Lua, args: MultiValue) -> Result<()> {
    let args = Arguments::new(lua, args);
    if args.len() != 1 {
        return Err(error(lua, "redis.set_repl() requires two arguments."));
    }
    match args.number(1).ok() {
        Some(flags) if (0.0..=3.0).contains(&flags) => Ok(()),
        _ => Err(error(lua, "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.")),
    }
}
