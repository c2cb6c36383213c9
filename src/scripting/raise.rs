//! Errors from Rust to Lua. A function in Rust can throw any Lua value, as C functions can: it travels wrapped in an error of
//! `mlua`'s, and every function that lets a script see an error (`pcall`, `xpcall`, `coroutine.resume`) unwraps it first.
//!
//! It must never let a script see the wrapping, nor what is only for the server.

use std::fmt;

use mlua::{Error, Lua, Table, Value};

/// A Lua value on its way up the stack.
#[derive(Debug)]
struct Thrown(Value);

impl fmt::Display for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for Thrown {}

/// The script must end, whatever it thinks of errors; the machine knows why.
#[derive(Debug)]
struct Doomed;

impl fmt::Display for Doomed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the script was ended")
    }
}

impl std::error::Error for Doomed {}

/// The error within those that it was wrapped in on its way.
fn innermost(mut error: &Error) -> &Error {
    while let Error::CallbackError { cause, .. } = error {
        error = cause;
    }
    error
}

/// Whether it is the error that ends a script for good.
pub fn is_doomed(value: &Value) -> bool {
    let Value::Error(error) = value else { return false };
    matches!(innermost(error), Error::ExternalError(external) if external.is::<Doomed>())
}

pub fn throw(value: Value) -> Error {
    Error::external(Thrown(value))
}

pub fn doomed() -> Error {
    Error::external(Doomed)
}

/// A text as an error, behind the place in the script that called the running function: what `luaL_error` does.
pub fn fail(lua: &Lua, message: impl AsRef<[u8]>) -> Error {
    let mut text = place(lua, 1);
    text.extend_from_slice(message.as_ref());
    fail_anywhere(lua, text)
}

/// A text as an error.
pub fn fail_anywhere(lua: &Lua, message: impl AsRef<[u8]>) -> Error {
    match lua.create_string(message) {
        Ok(text) => throw(Value::String(text)),
        Err(error) => error,
    }
}

/// `user_script:1: `, of the function so many levels up; nothing if it is none of Lua's.
fn place(lua: &Lua, level: usize) -> Vec<u8> {
    let place = lua.inspect_stack(level, |debug| {
        let source = debug.source();
        let line = debug.current_line().filter(|line| *line > 0)?;
        Some(format!("{}:{line}: ", source.short_src?).into_bytes())
    });
    place.flatten().unwrap_or_default()
}

/// What `luaL_argerror` says of argument `index` of the running function.
pub fn bad_argument(lua: &Lua, index: usize, what: &str) -> Error {
    let called = lua.inspect_stack(0, |debug| {
        let names = debug.names();
        (names.name.map(|name| name.into_owned()), names.name_what == Some("method"))
    });
    let (name, is_method) = called.unwrap_or_default();
    let name = name.unwrap_or_else(|| "?".into());
    match (is_method, index) {
        (true, 1) => fail(lua, format!("calling '{name}' on bad self ({what})")),
        (true, index) => fail(lua, format!("bad argument #{} to '{name}' ({what})", index - 1)),
        (false, index) => fail(lua, format!("bad argument #{index} to '{name}' ({what})")),
    }
}

/// `luaL_typerror`: argument `index` is no `wanted`.
pub fn wrong_type(lua: &Lua, index: usize, wanted: &str, found: Option<&Value>) -> Error {
    let found = found.map_or("no value", type_name);
    bad_argument(lua, index, &format!("{wanted} expected, got {found}"))
}

/// As Lua calls its types.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Boolean(_) => "boolean",
        Value::Integer(_) | Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Table(_) => "table",
        Value::Function(_) => "function",
        Value::Thread(_) => "thread",
        _ => "userdata",
    }
}

/// What a script is to see of an error that it caught.
pub fn unwrap(lua: &Lua, value: Value) -> mlua::Result<Value> {
    let Value::Error(error) = value else { return Ok(value) };
    let text = match innermost(&error) {
        Error::ExternalError(external) => match external.downcast_ref::<Thrown>() {
            Some(Thrown(value)) => return Ok(value.clone()),
            None => external.to_string(),
        },
        Error::MemoryError(_) => "not enough memory".to_string(),
        Error::StackError => "stack overflow".to_string(),
        other => other.to_string(),
    };
    Ok(Value::String(lua.create_string(text)?))
}

/// An error as the table in which scripts get it: `{err = 'CODE text'}`. `message` is a reply's, with its `-`, or a text without
/// a code.
pub fn error_table(lua: &Lua, message: &[u8]) -> mlua::Result<Table> {
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let end = message.iter().rposition(|byte| !is_end(byte)).map_or(0, |last| last + 1);
    let text = match message[..end].strip_prefix(b"-") {
        Some(text) if text.contains(&b' ') => text.to_vec(),
        Some(text) => [b"ERR ", text].concat(),
        None => [b"ERR ", &message[..end]].concat(),
    };
    let table = lua.create_table()?;
    table.raw_set("err", lua.create_string(text)?)?;
    Ok(table)
}

/// As [`error_table`], of an error that was counted where the command failed.
pub fn counted_error(lua: &Lua, message: &[u8]) -> mlua::Result<Table> {
    let table = error_table(lua, message)?;
    table.raw_set("ignore_error_stats_update", true)?;
    Ok(table)
}
