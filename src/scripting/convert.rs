//! Replies ↔ Lua values, by Redis' rules: a status is a table with `ok`, an error one with `err`, and so on.
//!
//! It must never write a reply that does not end, nor one without bound, whatever a script returns.

use mlua::{Lua, Table, Value};

use super::arguments::to_i64;
use super::raise::counted_error;
use super::watch::{Overdue, Watch};
use crate::limits;
use crate::resp::{self, Protocol, ReplyBuffer};

/// Why a value became no reply.
#[derive(Debug)]
pub enum ReplyError {
    TooLarge,
    Overdue(Overdue),
    Lua(mlua::Error),
}

impl From<mlua::Error> for ReplyError {
    fn from(error: mlua::Error) -> ReplyError {
        ReplyError::Lua(error)
    }
}

impl From<Overdue> for ReplyError {
    fn from(overdue: Overdue) -> ReplyError {
        ReplyError::Overdue(overdue)
    }
}

/// What a command replied in `protocol`, as a script sees it.
pub fn to_lua(lua: &Lua, value: &resp::Value, protocol: Protocol) -> mlua::Result<Value> {
    use resp::Value as Reply;
    Ok(match value {
        Reply::Bulk(text) => Value::String(lua.create_string(text)?),
        Reply::Integer(number) => Value::Number(*number as f64),
        Reply::Simple(text) => of_one(lua, "ok", lua.create_string(text)?)?,
        Reply::Error(text) => Value::Table(counted_error(lua, &[b"-", &text[..]].concat())?),
        Reply::Null if protocol == Protocol::Resp3 => Value::Nil,
        Reply::Null | Reply::NullArray => Value::Boolean(false),
        Reply::Array(values) | Reply::Push(values) => {
            let table = lua.create_table_with_capacity(values.len(), 0)?;
            for (index, value) in (1..).zip(values) {
                table.raw_set(index, to_lua(lua, value, protocol)?)?;
            }
            Value::Table(table)
        }
        Reply::Map(pairs) => {
            let map = lua.create_table_with_capacity(0, pairs.len())?;
            for (key, value) in pairs {
                map.raw_set(to_lua(lua, key, protocol)?, to_lua(lua, value, protocol)?)?;
            }
            of_one(lua, "map", map)?
        }
        Reply::Set(values) => {
            let set = lua.create_table_with_capacity(0, values.len())?;
            for value in values {
                set.raw_set(to_lua(lua, value, protocol)?, true)?;
            }
            of_one(lua, "set", set)?
        }
        Reply::Double(number) => of_one(lua, "double", *number)?,
        Reply::Boolean(value) => Value::Boolean(*value),
        Reply::BigNumber(digits) => of_one(lua, "big_number", lua.create_string(digits)?)?,
        Reply::Verbatim { format, text } => {
            let parts = lua.create_table()?;
            parts.raw_set("string", lua.create_string(text)?)?;
            parts.raw_set("format", lua.create_string(format)?)?;
            of_one(lua, "verbatim_string", parts)?
        }
        Reply::Attributed { value, .. } => to_lua(lua, value, protocol)?,
    })
}

fn of_one(lua: &Lua, field: &str, value: impl mlua::IntoLua) -> mlua::Result<Value> {
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set(field, value)?;
    Ok(Value::Table(table))
}

/// Writes what a script returned.
pub struct Replies<'r> {
    pub reply: &'r mut ReplyBuffer,
    pub watch: &'r Watch,
    /// What the script has set for itself (`redis.setresp`).
    pub script_protocol: Protocol,
    pub written: u64,
}

impl Replies<'_> {
    pub fn write(&mut self, value: &Value, depth: usize) -> Result<(), ReplyError> {
        if self.reply.len() > limits::SCRIPT_REPLY_BYTES_MAX {
            return Err(ReplyError::TooLarge);
        }
        self.written += 1;
        if self.written.is_multiple_of(limits::SCRIPT_STEPS_UNWATCHED / 10) {
            self.watch.pass(limits::SCRIPT_STEPS_UNWATCHED)?;
        }
        match value {
            Value::String(text) => self.reply.bulk(&text.as_bytes()),
            Value::Boolean(value) if self.script_protocol == Protocol::Resp3 => self.reply.boolean(*value),
            Value::Boolean(true) => self.reply.integer(1),
            Value::Integer(number) => self.reply.integer(*number),
            Value::Number(number) => self.reply.integer(to_i64(*number)),
            Value::Table(_) if depth >= limits::SCRIPT_REPLY_DEPTH_MAX => {
                self.reply.error("ERR reached lua stack limit");
            }
            Value::Table(table) => return self.write_table(table, depth + 1),
            _ => self.reply.null(),
        }
        Ok(())
    }

    fn write_table(&mut self, table: &Table, depth: usize) -> Result<(), ReplyError> {
        if let Value::String(text) = table.raw_get("err")? {
            self.reply.error(&*text.as_bytes());
        } else if let Value::String(text) = table.raw_get("ok")? {
            self.reply.status(&text.as_bytes());
        } else if let Some(number) = number(&table.raw_get("double")?) {
            self.reply.double(number);
        } else if let Value::Table(map) = table.raw_get("map")? {
            let deferred = self.reply.deferred();
            let mut pairs = 0;
            for pair in map.pairs::<Value, Value>() {
                let (key, value) = pair?;
                self.write(&key, depth)?;
                self.write(&value, depth)?;
                pairs += 1;
            }
            self.reply.finish_map(deferred, pairs);
        } else if let Value::Table(set) = table.raw_get("set")? {
            let deferred = self.reply.deferred();
            let mut len = 0;
            for pair in set.pairs::<Value, Value>() {
                self.write(&pair?.0, depth)?;
                len += 1;
            }
            self.reply.finish_set(deferred, len);
        } else if let Value::String(digits) = table.raw_get("big_number")? {
            let digits = String::from_utf8_lossy(&digits.as_bytes()).replace(['\r', '\n'], " ");
            self.reply.big_number(&digits);
        } else if let Some((format, text)) = verbatim(&table.raw_get("verbatim_string")?)? {
            self.reply.verbatim(&format, &text);
        } else {
            let deferred = self.reply.deferred();
            let mut len = 0;
            loop {
                let value = table.raw_get::<Value>(len + 1)?;
                if value.is_nil() {
                    break;
                }
                self.write(&value, depth)?;
                len += 1;
            }
            self.reply.finish_array(deferred, len);
        }
        Ok(())
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

/// The three characters and the text of a verbatim string.
fn verbatim(value: &Value) -> mlua::Result<Option<(String, Vec<u8>)>> {
    let Value::Table(parts) = value else { return Ok(None) };
    let (Value::String(format), Value::String(text)) = (parts.raw_get("format")?, parts.raw_get("string")?) else {
        return Ok(None);
    };
    let format: String = String::from_utf8_lossy(&format.as_bytes()).chars().chain("   ".chars()).take(3).collect();
    Ok((format.len() == 3).then(|| (format, text.as_bytes().to_vec())))
}
