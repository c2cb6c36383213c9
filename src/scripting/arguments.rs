//! The arguments of a function in Rust, checked as Lua's own functions check theirs, errors included.

use bytes::Bytes;
use mlua::{Lua, MultiValue, Result, Value};

use super::raise::{bad_argument, wrong_type};
use crate::number::format_significant;

/// The arguments of one call, counted from 1.
pub struct Arguments<'l> {
    lua: &'l Lua,
    values: MultiValue,
}

impl<'l> Arguments<'l> {
    pub fn new(lua: &'l Lua, values: MultiValue) -> Arguments<'l> {
        Arguments { lua, values }
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn get(&self, index: usize) -> Option<&Value> {
        self.values.get(index - 1)
    }

    /// Nil where there is none.
    pub fn value(&self, index: usize) -> Value {
        self.get(index).cloned().unwrap_or(Value::Nil)
    }

    fn present(&self, index: usize) -> Option<&Value> {
        self.get(index).filter(|value| !value.is_nil())
    }

    /// A string, or a number as one.
    pub fn text(&self, index: usize) -> Result<Bytes> {
        let value = self.get(index);
        value.and_then(text_of).ok_or_else(|| wrong_type(self.lua, index, "string", value))
    }

    /// A number, or a string that is one.
    pub fn number(&self, index: usize) -> Result<f64> {
        let value = self.get(index);
        value.and_then(number_of).ok_or_else(|| wrong_type(self.lua, index, "number", value))
    }

    /// A number without its fraction, within the range of a position in anything.
    pub fn integer_or(&self, index: usize, default: i64) -> Result<i64> {
        if self.present(index).is_some() { self.number(index).map(|number| number as i64) } else { Ok(default) }
    }

    pub fn table(&self, index: usize) -> Result<mlua::Table> {
        match self.get(index) {
            Some(Value::Table(table)) => Ok(table.clone()),
            other => Err(wrong_type(self.lua, index, "table", other)),
        }
    }

    pub fn is_true(&self, index: usize) -> bool {
        self.get(index).is_some_and(is_true)
    }

    /// That there is an argument at all, if only nil.
    pub fn any(&self, index: usize) -> Result<Value> {
        self.get(index).cloned().ok_or_else(|| bad_argument(self.lua, index, "value expected"))
    }
}

pub fn is_true(value: &Value) -> bool {
    !matches!(value, Value::Nil | Value::Boolean(false))
}

/// What `lua_tolstring` makes of a value.
pub fn text_of(value: &Value) -> Option<Bytes> {
    match value {
        Value::String(text) => Some(Bytes::copy_from_slice(&text.as_bytes())),
        Value::Integer(number) => Some(number_text(*number as f64)),
        Value::Number(number) => Some(number_text(*number)),
        _ => None,
    }
}

/// A number as Lua prints it: `%.14g`.
pub fn number_text(number: f64) -> Bytes {
    Bytes::copy_from_slice(&c_number(number, 14))
}

/// `%.<digits>g` as C prints it, infinite and undefined numbers included.
pub fn c_number(number: f64, digits: usize) -> Vec<u8> {
    match number {
        _ if number.is_nan() => if number.is_sign_negative() { &b"-nan"[..] } else { b"nan" }.to_vec(),
        f64::INFINITY => b"inf".to_vec(),
        f64::NEG_INFINITY => b"-inf".to_vec(),
        _ => format_significant(number, digits).to_vec(),
    }
}

/// What `lua_tonumber` makes of a value: of a text what `strtod` reads, blanks around it allowed.
pub fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        Value::String(text) => {
            let bytes = text.as_bytes();
            let text = bytes.trim_ascii();
            if text.is_empty() || text.contains(&0) { None } else { crate::number::parse_f64(text) }
        }
        _ => None,
    }
}

/// A number as a C `long long`: what is out of range becomes the least there is, as where Redis runs.
pub fn to_i64(number: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if number.is_nan() || !(-LIMIT..LIMIT).contains(&number) { i64::MIN } else { number as i64 }
}
