//! Those functions of `string` that could take very long in C, where nothing can stop them: patterns, and `rep`.

use std::sync::Arc;

use bytes::Bytes;
use mlua::{Function, Lua, MultiValue, Result, Table, Value, Variadic};

use super::arguments::{Arguments, is_true, text_of};
use super::pattern::{Capture, Found, Matcher, PatternError};
use super::raise::{bad_argument, doomed, fail, throw, type_name};
use super::watch::Watch;
use crate::limits;

/// Bytes that make a text a pattern.
const SPECIALS: &[u8] = b"^$*+?.([%-";

/// Replaces them in Lua's own table. `caught` is `pcall` as Lua has it.
pub fn install(lua: &Lua, string: &Table, watch: &Arc<Watch>, caught: &Function) -> Result<()> {
    string.raw_set("dump", Value::Nil)?;
    string.raw_set("gfind", Value::Nil)?;
    let watched = watch.clone();
    string.raw_set("find", lua.create_function(move |lua, args| search(lua, args, &watched, true))?)?;
    let watched = watch.clone();
    string.raw_set("match", lua.create_function(move |lua, args| search(lua, args, &watched, false))?)?;
    let watched = watch.clone();
    string.raw_set("gmatch", lua.create_function(move |lua, args| gmatch(lua, args, &watched))?)?;
    let (watched, caught) = (watch.clone(), caught.clone());
    string.raw_set("gsub", lua.create_function(move |lua, args| gsub(lua, args, &watched, &caught))?)?;
    string.raw_set("rep", lua.create_function(rep)?)
}

fn failed(lua: &Lua, error: PatternError) -> mlua::Error {
    match error {
        PatternError::Malformed(words) => fail(lua, words),
        PatternError::Overdue(_) => doomed(),
    }
}

fn rep(lua: &Lua, args: MultiValue) -> Result<mlua::LuaString> {
    let args = Arguments::new(lua, args);
    let (text, count) = (args.text(1)?, args.number(2)?);
    let count = if count >= 1.0 && !text.is_empty() { count as usize } else { 0 };
    match text.len().checked_mul(count) {
        Some(len) if len <= limits::SCRIPT_MEMORY_BYTES_MAX => lua.create_string(text.repeat(count)),
        _ => Err(mlua::Error::MemoryError("not enough memory".into())),
    }
}

/// `find` and `match`.
fn search(lua: &Lua, args: MultiValue, watch: &Watch, is_find: bool) -> Result<MultiValue> {
    let args = Arguments::new(lua, args);
    let (subject, pattern) = (args.text(1)?, args.text(2)?);
    let start = match args.integer_or(3, 1)? {
        start @ 1.. => (start as usize - 1).min(subject.len()),
        0 => 0,
        back => subject.len().saturating_sub(back.unsigned_abs() as usize),
    };
    let until_nul = &pattern[..memchr::memchr(0, &pattern).unwrap_or(pattern.len())];
    if is_find && (args.is_true(4) || !until_nul.iter().any(|byte| SPECIALS.contains(byte))) {
        let found = memchr::memmem::find(&subject[start..], &pattern).map(|at| start + at);
        let ends = found.map(|at| [at as i64 + 1, (at + pattern.len()) as i64]);
        return Ok(ends.map_or_else(nil, |ends| ends.into_iter().map(Value::Integer).collect()));
    }
    let mut matcher = Matcher::new(&subject, &pattern, watch);
    let is_anchored = matcher.take_anchor();
    let Some(found) = matcher.find(start, is_anchored).map_err(|error| failed(lua, error))? else { return Ok(nil()) };
    if !is_find {
        return captures(lua, &subject, &found, found.len());
    }
    let ends = [found.start as i64 + 1, found.end as i64].map(Value::Integer);
    Ok(ends.into_iter().chain(captures(lua, &subject, &found, found.captures())?).collect())
}

fn nil() -> MultiValue {
    MultiValue::from_iter([Value::Nil])
}

fn captures(lua: &Lua, subject: &[u8], found: &Found, count: usize) -> Result<MultiValue> {
    (0..count).map(|index| capture(lua, subject, found, index)).collect()
}

fn capture(lua: &Lua, subject: &[u8], found: &Found, index: usize) -> Result<Value> {
    match found.capture(index).map_err(|error| failed(lua, error))? {
        Capture::Text { start, len } => lua.create_string(&subject[start..start + len]).map(Value::String),
        Capture::Position(position) => Ok(Value::Integer(position as i64)),
    }
}

fn gmatch(lua: &Lua, args: MultiValue, watch: &Arc<Watch>) -> Result<Function> {
    let args = Arguments::new(lua, args);
    let (subject, pattern, watch) = (args.text(1)?, args.text(2)?, watch.clone());
    let next = std::sync::atomic::AtomicUsize::new(0);
    lua.create_function(move |lua, _: Variadic<Value>| {
        let start = next.load(std::sync::atomic::Ordering::Relaxed);
        if start > subject.len() {
            return Ok(nil());
        }
        let found = Matcher::new(&subject, &pattern, &watch).find(start, false);
        let found = found.map_err(|error| failed(lua, error))?;
        // A match of nothing is not found again.
        let after = found.as_ref().map_or(subject.len() + 1, |found| found.end + usize::from(found.end == found.start));
        next.store(after, std::sync::atomic::Ordering::Relaxed);
        found.map_or_else(|| Ok(nil()), |found| captures(lua, &subject, &found, found.len()))
    })
}

/// What `gsub` puts in the place of a match.
enum Replacement {
    Text(Bytes),
    Table(Table),
    Function(Function),
}

fn gsub(lua: &Lua, args: MultiValue, watch: &Watch, caught: &Function) -> Result<(mlua::LuaString, i64)> {
    let args = Arguments::new(lua, args);
    let (subject, pattern) = (args.text(1)?, args.text(2)?);
    let replacement = match args.value(3) {
        Value::Table(table) => Replacement::Table(table),
        Value::Function(function) => Replacement::Function(function),
        value => match text_of(&value) {
            Some(text) => Replacement::Text(text),
            None => return Err(bad_argument(lua, 3, "string/function/table expected")),
        },
    };
    let most = args.integer_or(4, i64::MAX)?;
    let mut matcher = Matcher::new(&subject, &pattern, watch);
    let is_anchored = matcher.take_anchor();
    let (mut result, mut at, mut count) = (Vec::new(), 0, 0);
    while count < most {
        let found = matcher.match_at(at).map_err(|error| failed(lua, error))?;
        if let Some(found) = &found {
            count += 1;
            add_replacement(lua, &subject, found, &replacement, caught, &mut result)?;
        }
        match found {
            Some(found) if found.end > at => at = found.end,
            _ => match subject.get(at) {
                Some(byte) => {
                    result.push(*byte);
                    at += 1;
                }
                None => break,
            },
        }
        if result.len() > limits::SCRIPT_MEMORY_BYTES_MAX {
            return Err(mlua::Error::MemoryError("not enough memory".into()));
        }
        if is_anchored {
            break;
        }
    }
    result.extend_from_slice(&subject[at.min(subject.len())..]);
    Ok((lua.create_string(result)?, count))
}

fn add_replacement(
    lua: &Lua,
    subject: &[u8],
    found: &Found,
    replacement: &Replacement,
    caught: &Function,
    result: &mut Vec<u8>,
) -> Result<()> {
    let value = match replacement {
        Replacement::Text(text) => return add_text(lua, subject, found, text, result),
        Replacement::Table(table) => {
            let key = capture(lua, subject, found, 0)?;
            match table.raw_get::<Value>(&key)? {
                // A metatable may know.
                Value::Nil if table.metatable().is_some() => table.get::<Value>(key)?,
                value => value,
            }
        }
        Replacement::Function(function) => {
            let mut call = captures(lua, subject, found, found.len())?;
            call.push_front(Value::Function(function.clone()));
            let mut returned = caught.call::<MultiValue>(call)?;
            match returned.pop_front() {
                Some(Value::Boolean(true)) => returned.pop_front().unwrap_or(Value::Nil),
                _ => return Err(throw(super::raise::unwrap(lua, returned.pop_front().unwrap_or(Value::Nil))?)),
            }
        }
    };
    match text_of(&value) {
        Some(text) => result.extend_from_slice(&text),
        None if !is_true(&value) => result.extend_from_slice(&subject[found.start..found.end]),
        None => return Err(fail(lua, format!("invalid replacement value (a {})", type_name(&value)))),
    }
    Ok(())
}

/// A text in which `%1` stands for what was captured.
fn add_text(lua: &Lua, subject: &[u8], found: &Found, text: &[u8], result: &mut Vec<u8>) -> Result<()> {
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'%' {
            result.push(*byte);
            continue;
        }
        match bytes.next() {
            Some(b'0') => result.extend_from_slice(&subject[found.start..found.end]),
            Some(digit @ b'1'..=b'9') => {
                let value = capture(lua, subject, found, usize::from(digit - b'1'))?;
                result.extend_from_slice(&text_of(&value).unwrap_or_default());
            }
            Some(other) => result.push(*other),
            None => result.push(0),
        }
    }
    Ok(())
}
