//! The library `cmsgpack`: MessagePack, as lua-cmsgpack 0.4.0 writes and reads it.

use mlua::{Lua, MultiValue, Result, Table, Value};

use super::arguments::Arguments;
use super::raise::fail;

/// Tables deeper than this are written as nil, and read as an error: the library's own bound, and a bound of the stack.
const DEPTH_MAX: usize = 16;
const READ_DEPTH_MAX: usize = 128;

pub fn library(lua: &Lua) -> Result<Table> {
    let library = lua.create_table()?;
    library.raw_set("pack", lua.create_function(pack)?)?;
    library.raw_set("unpack", lua.create_function(|lua, args| unpack(lua, args, Mode::All))?)?;
    library.raw_set("unpack_one", lua.create_function(|lua, args| unpack(lua, args, Mode::One))?)?;
    library.raw_set("unpack_limit", lua.create_function(|lua, args| unpack(lua, args, Mode::Limit))?)?;
    for (name, value) in [
        ("_NAME", "cmsgpack"),
        ("_VERSION", "lua-cmsgpack 0.4.0"),
        ("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo"),
        ("_DESCRIPTION", "MessagePack C implementation for Lua"),
    ] {
        library.raw_set(name, value)?;
    }
    Ok(library)
}

fn pack(lua: &Lua, args: MultiValue) -> Result<mlua::LuaString> {
    if args.is_empty() {
        return Err(super::raise::bad_argument(lua, 0, "MessagePack pack needs input."));
    }
    let mut out = Vec::new();
    for value in &args {
        put(&mut out, value, 0)?;
    }
    lua.create_string(out)
}

fn put(out: &mut Vec<u8>, value: &Value, depth: usize) -> Result<()> {
    match value {
        Value::String(text) => put_text(out, &text.as_bytes()),
        Value::Boolean(value) => out.push(if *value { 0xc3 } else { 0xc2 }),
        Value::Integer(number) => put_integer(out, *number),
        Value::Number(number) => put_number(out, *number),
        Value::Table(_) if depth == DEPTH_MAX => out.push(0xc0),
        Value::Table(table) => put_table(out, table, depth + 1)?,
        _ => out.push(0xc0),
    }
    Ok(())
}

fn put_number(out: &mut Vec<u8>, number: f64) {
    if number.fract() == 0.0 && (-9.2e18..9.2e18).contains(&number) {
        return put_integer(out, number as i64);
    }
    let short = number as f32;
    if f64::from(short) == number {
        out.push(0xca);
        out.extend_from_slice(&short.to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

fn put_integer(out: &mut Vec<u8>, number: i64) {
    match number {
        0..=0x7f => out.push(number as u8),
        0x80..=0xff => out.extend_from_slice(&[0xcc, number as u8]),
        0x100..=0xffff => put_with(out, 0xcd, &(number as u16).to_be_bytes()),
        0x1_0000..=0xffff_ffff => put_with(out, 0xce, &(number as u32).to_be_bytes()),
        0x1_0000_0000.. => put_with(out, 0xcf, &(number as u64).to_be_bytes()),
        -32..=-1 => out.push(number as i8 as u8),
        -128..=-33 => out.extend_from_slice(&[0xd0, number as i8 as u8]),
        -32_768..=-129 => put_with(out, 0xd1, &(number as i16).to_be_bytes()),
        -2_147_483_648..=-32_769 => put_with(out, 0xd2, &(number as i32).to_be_bytes()),
        _ => put_with(out, 0xd3, &number.to_be_bytes()),
    }
}

fn put_with(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    out.push(kind);
    out.extend_from_slice(bytes);
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    match text.len() {
        len @ 0..=31 => out.push(0xa0 | len as u8),
        len @ 32..=0xff => out.extend_from_slice(&[0xd9, len as u8]),
        len @ 0x100..=0xffff => put_with(out, 0xda, &(len as u16).to_be_bytes()),
        len => put_with(out, 0xdb, &(len as u32).to_be_bytes()),
    }
    out.extend_from_slice(text);
}

/// An array, if the keys are the numbers from 1 on without a gap; else a map.
fn put_table(out: &mut Vec<u8>, table: &Table, depth: usize) -> Result<()> {
    let mut pairs = Vec::new();
    let (mut is_array, mut most) = (true, 0usize);
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        match key {
            Value::Integer(index @ 1..) => most = most.max(index as usize),
            _ => is_array = false,
        }
        pairs.push((key, value));
    }
    if is_array && most == pairs.len() {
        put_len(out, pairs.len(), 0x90, 0xdc);
        for index in 1..=most {
            put(out, &table.raw_get(index)?, depth)?;
        }
        return Ok(());
    }
    put_len(out, pairs.len(), 0x80, 0xde);
    for (key, value) in &pairs {
        put(out, key, depth)?;
        put(out, value, depth)?;
    }
    Ok(())
}

/// `short` with up to four bits of length; `long` with two bytes of it, the one after that with four.
fn put_len(out: &mut Vec<u8>, len: usize, short: u8, long: u8) {
    match len {
        0..=15 => out.push(short | len as u8),
        16..=0xffff => put_with(out, long, &(len as u16).to_be_bytes()),
        _ => put_with(out, long + 1, &(len as u32).to_be_bytes()),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    All,
    One,
    Limit,
}

fn unpack(lua: &Lua, args: MultiValue, mode: Mode) -> Result<MultiValue> {
    let args = Arguments::new(lua, args);
    let text = args.text(1)?;
    let (limit, offset) = match mode {
        Mode::All => (0, 0),
        Mode::One => (1, args.integer_or(2, 0)?),
        Mode::Limit => (args.number(2)? as i64, args.integer_or(3, 0)?),
    };
    if limit < 0 || offset < 0 {
        // In place of the limit the library names the length.
        let text = format!("Invalid request to unpack with offset of {offset} and limit of {}.", text.len());
        return Err(fail(lua, text));
    }
    let offset = offset as usize;
    if offset > text.len() {
        let text = format!("Start offset {offset} greater than input length {}.", text.len());
        return Err(fail(lua, text));
    }
    let most = if limit == 0 { usize::MAX } else { limit as usize };
    let mut reader = Reader { lua, bytes: &text, at: offset };
    let mut values = Vec::new();
    while reader.at < text.len() && values.len() < most {
        if values.len() > crate::limits::SCRIPT_UNPACKED_MAX {
            return Err(fail(lua, "too many results to unpack"));
        }
        values.push(reader.value(0)?);
    }
    if mode != Mode::All {
        let next = if reader.at == text.len() { -1 } else { reader.at as i64 };
        values.insert(0, Value::Integer(next));
    }
    Ok(MultiValue::from_iter(values))
}

struct Reader<'a> {
    lua: &'a Lua,
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8]> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| fail(self.lua, "Missing bytes in input."))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn unsigned(&mut self, count: usize) -> Result<u64> {
        Ok(self.take(count)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn signed(&mut self, count: usize) -> Result<i64> {
        let unused = 64 - 8 * count as u32;
        Ok((self.unsigned(count)? << unused) as i64 >> unused)
    }

    fn text(&mut self, len: usize) -> Result<Value> {
        let lua = self.lua;
        Ok(Value::String(lua.create_string(self.take(len)?)?))
    }

    fn array(&mut self, len: usize, depth: usize) -> Result<Value> {
        let table = self.lua.create_table()?;
        for index in 1..=len {
            table.raw_set(index, self.value(depth + 1)?)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, len: usize, depth: usize) -> Result<Value> {
        let table = self.lua.create_table()?;
        for _ in 0..len {
            let (key, value) = (self.value(depth + 1)?, self.value(depth + 1)?);
            match key {
                Value::Nil => return Err(fail(self.lua, "table index is nil")),
                Value::Number(number) if number.is_nan() => return Err(fail(self.lua, "table index is NaN")),
                key => table.raw_set(key, value)?,
            }
        }
        Ok(Value::Table(table))
    }

    fn value(&mut self, depth: usize) -> Result<Value> {
        if depth > READ_DEPTH_MAX {
            return Err(fail(self.lua, "Bad data format in input."));
        }
        let kind = self.take(1)?[0];
        match kind {
            0x00..=0x7f => Ok(Value::Integer(i64::from(kind))),
            0x80..=0x8f => self.map(usize::from(kind & 15), depth),
            0x90..=0x9f => self.array(usize::from(kind & 15), depth),
            0xa0..=0xbf => self.text(usize::from(kind & 31)),
            0xc0 => Ok(Value::Nil),
            0xc2 => Ok(Value::Boolean(false)),
            0xc3 => Ok(Value::Boolean(true)),
            0xca => Ok(Value::Number(f64::from(f32::from_bits(self.unsigned(4)? as u32)))),
            0xcb => Ok(Value::Number(f64::from_bits(self.unsigned(8)?))),
            0xcc..=0xcf => Ok(Value::Number(self.unsigned(1 << (kind - 0xcc))? as f64)),
            0xd0..=0xd3 => Ok(Value::Number(self.signed(1 << (kind - 0xd0))? as f64)),
            0xd9..=0xdb => {
                let len = self.unsigned(1 << (kind - 0xd9))? as usize;
                self.text(len)
            }
            0xdc | 0xdd => {
                let len = self.unsigned(2 << (kind - 0xdc))? as usize;
                self.array(len, depth)
            }
            0xde | 0xdf => {
                let len = self.unsigned(2 << (kind - 0xde))? as usize;
                self.map(len, depth)
            }
            0xe0..=0xff => Ok(Value::Integer(i64::from(kind as i8))),
            _ => Err(fail(self.lua, "Bad data format in input.")),
        }
    }
}
