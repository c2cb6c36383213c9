//! `table.sort`. Lua's own runs in C, where nothing can stop it, and elements that lie badly take it the square of their number:
//! it is left to sort by functions written in Lua, whose instructions are counted.
//!
//! It must never compare much without being watched.

use std::sync::Arc;

use bytes::Bytes;
use mlua::{Function, Lua, MultiValue, Result, Table, Value};

use super::arguments::Arguments;
use super::raise::{doomed, fail, throw, unwrap, wrong_type};
use super::watch::Watch;

/// What Lua's own says, behind the place of the call.
const INVALID_ORDER: &[u8] = b"invalid order function for sorting";

/// Replaces it in Lua's own table. `caught` is `pcall` as Lua has it.
pub fn install(lua: &Lua, table: &Table, watch: &Arc<Watch>, caught: &Function) -> Result<()> {
    let (builtin, watch, caught): (Function, _, _) = (table.raw_get("sort")?, watch.clone(), caught.clone());
    table.raw_set("sort", lua.create_function(move |lua, args| sort(lua, args, &builtin, &watch, &caught))?)
}

fn sort(lua: &Lua, args: MultiValue, builtin: &Function, watch: &Arc<Watch>, caught: &Function) -> Result<()> {
    let args = Arguments::new(lua, args);
    let table = args.table(1)?;
    let order = match args.value(2) {
        Value::Nil if sort_alike(&table, watch)? => return Ok(()),
        Value::Nil => Value::Nil,
        Value::Function(order) if order.info().what == "C" => {
            let watch = watch.clone();
            Value::Function(lua.create_function(move |_, pair: (Value, Value)| {
                watch.pass(1).map_err(|_| doomed())?;
                order.call::<Value>(pair)
            })?)
        }
        Value::Function(order) => Value::Function(order),
        other => return Err(wrong_type(lua, 2, "function", Some(&other))),
    };
    match caught.call::<(bool, Value)>((builtin, table, order))? {
        (true, _) => Ok(()),
        (false, Value::String(text)) if text.as_bytes() == INVALID_ORDER => Err(fail(lua, INVALID_ORDER)),
        (false, error) => Err(throw(unwrap(lua, error)?)),
    }
}

/// Sorts numbers, or strings. `false`: there is something else among them.
fn sort_alike(table: &Table, watch: &Watch) -> Result<bool> {
    let (mut numbers, mut texts): (Vec<f64>, Vec<(Bytes, Value)>) = (Vec::new(), Vec::new());
    for index in 1..=table.raw_len() {
        match table.raw_get::<Value>(index)? {
            Value::Integer(number) => numbers.push(number as f64),
            Value::Number(number) => numbers.push(number),
            Value::String(text) => texts.push((Bytes::copy_from_slice(&text.as_bytes()), Value::String(text))),
            _ => return Ok(false),
        }
    }
    if !numbers.is_empty() && !texts.is_empty() {
        return Ok(false);
    }
    watch.pass((numbers.len() + texts.len()) as u64).map_err(|_| doomed())?;
    numbers.sort_unstable_by(f64::total_cmp);
    texts.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    for (index, number) in (1..).zip(numbers) {
        table.raw_set(index, number)?;
    }
    for (index, (_, text)) in (1..).zip(texts) {
        table.raw_set(index, text)?;
    }
    Ok(true)
}
