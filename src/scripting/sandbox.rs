//! What a script finds in its world: the globals, protected. All that a script could change and leave behind for the next one
//! is an empty table in front of the real one, which scripts can look through and not write to.
//!
//! It must never let a script reach a file, a process, the interpreter's insides, or another script's world.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use mlua::{Function, Lua, MultiValue, Result, Table, Value};

use super::arguments::{Arguments, text_of};
use super::raise::{bad_argument, error_table, fail, fail_anywhere, is_doomed, unwrap, wrong_type};
use super::watch::Watch;
use super::{bit, cjson, cmsgpack, random, redis, strings, structlib, tables};
use crate::limits;

/// Of Lua's own globals those that scripts have as they are. What is not named here, in `install` or in [`SHELL`] is not there:
/// no `dofile`, `loadfile`, `print`, `newproxy`, `getfenv`, `setfenv`, `debug`, `io`, `package`.
const AS_THEY_ARE: &[&str] = &[
    "_VERSION",
    "assert",
    "error",
    "getmetatable",
    "ipairs",
    "next",
    "rawequal",
    "rawget",
    "select",
    "tonumber",
    "tostring",
    "type",
];

/// What is written in Lua: functions that let a script see an error. It gets to see what was thrown, not how that travels.
const SHELL: &str = r#"
local pcall, xpcall, resume, unwrap, is_doomed, type, handler, front, loadstring, setfenv, globals = ...
local function seen(ok, err, ...)
    if ok or type(err) ~= 'userdata' then return ok, err, ... end
    return ok, unwrap(err)
end
-- As scripts always knew `pcall`: an error of Redis' is its text.
local function told(ok, err, ...)
    if ok then return ok, err, ... end
    if type(err) == 'userdata' then err = unwrap(err) end
    if type(err) == 'table' then
        local text = err.err
        if type(text) == 'string' or type(text) == 'number' then return ok, text end
    end
    return ok, err
end
-- While an error that ends the script is handled nothing else can end it: a script's own handler must not run then.
local function guarded(h)
    return function(err)
        if is_doomed(err) then return err end
        return h(unwrap(err))
    end
end
getmetatable('').__metatable = front
return {
    pcall = function(...) return told(pcall(...)) end,
    xpcall = function(f, h) return seen(xpcall(f, guarded(h))) end,
    resume = function(...) return seen(resume(...)) end,
    enter = function(f) return xpcall(f, handler) end,
    compile = function(text, name)
        local f, message = loadstring(text, name)
        if f then setfenv(f, globals) end
        return f, message
    end,
}
"#;

/// The name under which errors mention a script, and by which its frames are known.
const CHUNK_NAME: &str = "@user_script";

/// A world for scripts.
pub struct Sandbox {
    /// The globals, as they lie behind what scripts see: KEYS and ARGV are put here for each run.
    pub behind: Table,
    /// The table `redis`, behind its front.
    pub redis: Table,
    /// Calls a function: whether it succeeded, and what it returned, or the error as a table.
    pub enter: Function,
    compile: Function,
    /// Empty, unless a script has gone around the protection.
    fronts: Vec<Table>,
}

impl Sandbox {
    pub fn new(lua: &Lua, watch: &Arc<Watch>) -> Result<Sandbox> {
        let builtin = lua.globals();
        let behind = lua.create_table()?;
        for name in AS_THEY_ARE {
            behind.raw_set(*name, builtin.raw_get::<Value>(*name)?)?;
        }
        let mut fronts = Fronts { lua, readonly: lua.create_function(refuse_write)?, made: Vec::new() };
        let globals = fronts.make(&behind)?;
        let missing = lua.create_table()?;
        missing.raw_set("__index", lua.create_function(no_such_global)?)?;
        behind.set_metatable(Some(missing))?;

        let caught: Function = builtin.raw_get("pcall")?;
        // What `getmetatable` gives of a string.
        let of_strings = lua.create_table()?;
        let coroutine: Table = builtin.raw_get("coroutine")?;
        let shell = lua.load(SHELL).set_name("=redis").call::<Table>(MultiValue::from_iter([
            Value::Function(caught.clone()),
            builtin.raw_get("xpcall")?,
            coroutine.raw_get("resume")?,
            Value::Function(lua.create_function(unwrap)?),
            Value::Function(lua.create_function(|_, error: Value| Ok(is_doomed(&error)))?),
            builtin.raw_get("type")?,
            Value::Function(lua.create_function(handle)?),
            Value::Table(fronts.make(&of_strings)?),
            builtin.raw_get("loadstring")?,
            builtin.raw_get("setfenv")?,
            Value::Table(globals.clone()),
        ]))?;
        behind.raw_set("pcall", shell.raw_get::<Value>("pcall")?)?;
        behind.raw_set("xpcall", shell.raw_get::<Value>("xpcall")?)?;
        coroutine.raw_set("resume", shell.raw_get::<Value>("resume")?)?;

        let string: Table = builtin.raw_get("string")?;
        strings::install(lua, &string, watch, &caught)?;
        let table: Table = builtin.raw_get("table")?;
        tables::install(lua, &table, watch, &caught)?;
        let math: Table = builtin.raw_get("math")?;
        random::install(lua, &math)?;
        let os = lua.create_table()?;
        let clock = watch.clone();
        os.raw_set("clock", lua.create_function(move |_, ()| Ok(clock.now().as_secs_f64()))?)?;
        let redis = redis::library(lua)?;
        for (name, library) in [
            ("bit", bit::library(lua)?),
            ("cjson", cjson::library(lua)?),
            ("cmsgpack", cmsgpack::library(lua)?),
            ("coroutine", coroutine),
            ("math", math),
            ("os", os),
            ("redis", redis.clone()),
            ("string", string),
            ("struct", structlib::library(lua)?),
            ("table", table),
        ] {
            behind.raw_set(name, fronts.make(&library)?)?;
        }
        of_strings.raw_set("__index", behind.raw_get::<Value>("string")?)?;
        behind.raw_set("_G", &globals)?;

        let made = Protected::new(&fronts.made);
        behind.raw_set("pairs", pairs(lua, &builtin, &fronts.made)?)?;
        let protected = made.clone();
        behind.raw_set("rawset", lua.create_function(move |lua, args| rawset(lua, args, &protected))?)?;
        behind.raw_set("setmetatable", lua.create_function(move |lua, args| setmetatable(lua, args, &made))?)?;
        behind.raw_set("unpack", lua.create_function(unpack)?)?;
        behind.raw_set("gcinfo", lua.create_function(|lua, _: MultiValue| Ok(lua.used_memory() / 1024))?)?;
        behind.raw_set("collectgarbage", lua.create_function(collectgarbage)?)?;
        let compile: Function = shell.raw_get("compile")?;
        let compiler = compile.clone();
        let load = lua.create_function(move |lua, args| loadstring(lua, args, &compiler))?;
        behind.raw_set("loadstring", &load)?;
        behind.raw_set("load", load_pieces(lua, &caught, &load)?)?;
        Ok(Sandbox { behind, redis, enter: shell.raw_get("enter")?, compile, fronts: fronts.made })
    }

    /// Turns a script's text into a function of this world; or says why it is no Lua.
    pub fn compile(&self, lua: &Lua, text: &[u8]) -> Result<Compiled> {
        compile(lua, &self.compile, text, CHUNK_NAME.as_bytes())
    }

    /// Whether a script has changed what the next one would see. `redis.call` and its like are put anew for each.
    pub fn is_tampered_with(&self) -> bool {
        self.fronts.iter().any(|front| !front.is_empty())
    }
}

/// A function, or Lua's words on why the text is none.
pub type Compiled = std::result::Result<Function, Bytes>;

/// Only a text: what the interpreter makes of bytecode nobody could foresee. The collector rests meanwhile, for this parser does
/// not hold on to all that it makes.
fn compile(lua: &Lua, compile: &Function, text: &[u8], name: &[u8]) -> Result<Compiled> {
    if text.first() == Some(&0x1b) {
        return Ok(Err("attempt to load chunk with wrong mode".into()));
    }
    lua.gc_stop();
    let compiled = compile.call::<(Value, Value)>((lua.create_string(text)?, lua.create_string(name)?));
    lua.gc_restart();
    Ok(match compiled? {
        (Value::Function(function), _) => Ok(function),
        (_, message) => Err(text_of(&message).unwrap_or_default()),
    })
}

/// Makes tables that let themselves be read and not written.
struct Fronts<'l> {
    lua: &'l Lua,
    readonly: Function,
    made: Vec<Table>,
}

impl Fronts<'_> {
    fn make(&mut self, behind: &Table) -> Result<Table> {
        let (front, meta) = (self.lua.create_table()?, self.lua.create_table()?);
        meta.raw_set("__index", behind)?;
        meta.raw_set("__newindex", &self.readonly)?;
        // What `getmetatable` gives of it: the first front, which there is nothing behind.
        let shown = self.made.first().unwrap_or(&front);
        meta.raw_set("__metatable", shown)?;
        front.set_metatable(Some(meta))?;
        self.made.push(front.clone());
        Ok(front)
    }
}

/// The tables that are fronts, by address.
#[derive(Clone)]
struct Protected(BTreeSet<usize>);

impl Protected {
    fn new(fronts: &[Table]) -> Protected {
        Protected(fronts.iter().map(|front| front.to_pointer() as usize).collect())
    }

    fn has(&self, table: &Table) -> bool {
        self.0.contains(&(table.to_pointer() as usize))
    }
}

const READONLY: &str = "Attempt to modify a readonly table";

fn refuse_write(lua: &Lua, _: MultiValue) -> Result<()> {
    Err(fail(lua, READONLY))
}

fn no_such_global(lua: &Lua, (_, name): (Value, Value)) -> Result<()> {
    match text_of(&name) {
        Some(name) => {
            Err(fail(lua, [b"Script attempted to access nonexistent global variable '", &name[..], b"'"].concat()))
        }
        None => Err(fail(lua, "Second argument to luaProtectedTableError must be a string or number")),
    }
}

/// What becomes of an error that nothing has caught: a table that says where it happened.
fn handle(lua: &Lua, error: Value) -> Result<Table> {
    let table = match unwrap(lua, error)? {
        Value::Table(table) => table,
        other => error_table(lua, &shown(&other))?,
    };
    for level in 1..=2 {
        let place = lua.inspect_stack(level, |debug| {
            let source = debug.source();
            let is_c = source.what == "C";
            (source.source.map(|source| source.into_owned()), debug.current_line(), is_c)
        });
        match place {
            Some((_, _, true)) if level == 1 => {}
            Some((source, line, _)) => {
                table.raw_set("source", source.unwrap_or_default())?;
                table.raw_set("line", line.map_or(-1, |line| line as i64))?;
                break;
            }
            None => break,
        }
    }
    Ok(table)
}

/// `tostring`, of what is no table.
fn shown(value: &Value) -> Vec<u8> {
    match value {
        Value::Nil => b"nil".to_vec(),
        Value::Boolean(value) => value.to_string().into_bytes(),
        other => match text_of(other) {
            Some(text) => text.to_vec(),
            None => format!("{}: {:p}", super::raise::type_name(other), other.to_pointer()).into_bytes(),
        },
    }
}

/// `pairs` that sees through fronts.
fn pairs(lua: &Lua, builtin: &Table, fronts: &[Table]) -> Result<Function> {
    let (next, protected): (Function, _) = (builtin.raw_get("next")?, Protected::new(fronts));
    lua.create_function(move |lua, args: MultiValue| {
        let args = Arguments::new(lua, args);
        let table = args.table(1)?;
        if !protected.has(&table) {
            return Ok((next.clone(), Value::Table(table), Value::Nil));
        }
        // The table itself stays behind.
        let behind = table.metatable().and_then(|meta| meta.raw_get::<Table>("__index").ok());
        let mut names: Vec<(Value, Value)> = Vec::new();
        for pair in behind.into_iter().flat_map(|behind| behind.pairs::<Value, Value>().collect::<Vec<_>>()) {
            names.push(pair?);
        }
        let mut names = names.into_iter();
        let walk =
            lua.create_function_mut(move |_, _: MultiValue| Ok(names.next().unwrap_or((Value::Nil, Value::Nil))))?;
        Ok((walk, Value::Nil, Value::Nil))
    })
}

fn rawset(lua: &Lua, args: MultiValue, protected: &Protected) -> Result<Table> {
    let args = Arguments::new(lua, args);
    let (table, key, value) = (args.table(1)?, args.any(2)?, args.any(3)?);
    if protected.has(&table) {
        return Err(fail_anywhere(lua, READONLY));
    }
    match key {
        Value::Nil => return Err(fail_anywhere(lua, "table index is nil")),
        Value::Number(number) if number.is_nan() => return Err(fail_anywhere(lua, "table index is NaN")),
        _ => table.raw_set(key, value)?,
    }
    Ok(table)
}

fn setmetatable(lua: &Lua, args: MultiValue, protected: &Protected) -> Result<Table> {
    let args = Arguments::new(lua, args);
    let table = args.table(1)?;
    let meta = match args.get(2) {
        Some(Value::Nil) => None,
        Some(Value::Table(meta)) => Some(meta.clone()),
        _ => return Err(bad_argument(lua, 2, "nil or table expected")),
    };
    if protected.has(&table) {
        return Err(fail_anywhere(lua, READONLY));
    }
    if table.metatable().is_some_and(|meta| !matches!(meta.raw_get("__metatable"), Ok(Value::Nil))) {
        return Err(fail(lua, "cannot change a protected metatable"));
    }
    table.set_metatable(meta)?;
    Ok(table)
}

/// `unpack`, with what it may unpack at once bounded before anything is counted.
fn unpack(lua: &Lua, args: MultiValue) -> Result<MultiValue> {
    let args = Arguments::new(lua, args);
    let table = args.table(1)?;
    let (first, last) = (args.integer_or(2, 1)?, args.integer_or(3, table.raw_len() as i64)?);
    if first > last {
        return Ok(MultiValue::new());
    }
    match last.checked_sub(first) {
        Some(more) if more < limits::SCRIPT_UNPACKED_MAX as i64 => {
            (first..=last).map(|index| table.raw_get::<Value>(index)).collect()
        }
        _ => Err(fail(lua, "too many results to unpack")),
    }
}

/// Scripts can ask how much memory they use; when it is collected is not for them to say.
fn collectgarbage(lua: &Lua, args: MultiValue) -> Result<Value> {
    let args = Arguments::new(lua, args);
    let option = if args.len() == 0 { "collect".into() } else { args.text(1)? };
    match &option[..] {
        b"count" => Ok(Value::Number(lua.used_memory() as f64 / 1024.0)),
        b"collect" | b"stop" | b"restart" | b"step" | b"setpause" | b"setstepmul" => Ok(Value::Integer(0)),
        _ => Err(bad_argument(lua, 1, &format!("invalid option '{}'", String::from_utf8_lossy(&option)))),
    }
}

/// Nil and a message, if the text is no Lua.
fn loadstring(lua: &Lua, args: MultiValue, compiler: &Function) -> Result<(Value, Value)> {
    let args = Arguments::new(lua, args);
    let text = args.text(1)?;
    let name = if args.value(2).is_nil() { text.clone() } else { args.text(2)? };
    Ok(match compile(lua, compiler, &text, &name)? {
        Ok(function) => (Value::Function(function), Value::Nil),
        Err(message) => (Value::Nil, Value::String(lua.create_string(message)?)),
    })
}

/// `load`: the pieces that a function gives, as one text.
fn load_pieces(lua: &Lua, caught: &Function, loadstring: &Function) -> Result<Function> {
    let (caught, loadstring) = (caught.clone(), loadstring.clone());
    lua.create_function(move |lua, args: MultiValue| {
        let args = Arguments::new(lua, args);
        let Some(Value::Function(reader)) = args.get(1) else {
            return Err(wrong_type(lua, 1, "function", args.get(1)));
        };
        let mut text = Vec::new();
        loop {
            match caught.call::<(bool, Value)>(reader)? {
                (true, Value::Nil) => break,
                (true, piece) => match text_of(&piece) {
                    Some(piece) if piece.is_empty() => break,
                    Some(piece) => text.extend_from_slice(&piece),
                    None => return Err(fail(lua, "reader function must return a string")),
                },
                (false, error) => return Ok((Value::Nil, unwrap(lua, error)?)),
            }
            if text.len() > limits::SCRIPT_MEMORY_BYTES_MAX {
                return Err(mlua::Error::MemoryError("not enough memory".into()));
            }
        }
        let name = if args.value(2).is_nil() { "=(load)".into() } else { args.text(2)? };
        loadstring.call::<(Value, Value)>((lua.create_string(text)?, lua.create_string(name)?))
    })
}
