//! The library `struct`: binary formats, as Roberto Ierusalimschy's `struct` 0.2 has them (`>I4`, `s`, `c0`).

use mlua::{Lua, MultiValue, Result, Table, Value};

use super::arguments::{Arguments, to_i64};
use super::raise::{bad_argument, fail};
use crate::limits;

const INTEGER_BYTES_MAX: usize = 32;
/// What `!` alone aligns to.
const ALIGNMENT: usize = 8;

pub fn library(lua: &Lua) -> Result<Table> {
    let library = lua.create_table()?;
    library.raw_set("pack", lua.create_function(pack)?)?;
    library.raw_set("unpack", lua.create_function(unpack)?)?;
    library.raw_set("size", lua.create_function(size)?)?;
    Ok(library)
}

/// A format as it is walked through.
struct Format<'a> {
    lua: &'a Lua,
    text: &'a [u8],
    at: usize,
    is_little: bool,
    align: usize,
}

/// One item of a format, and how many bytes it takes (of `s` and `c0`: 0).
struct Item {
    option: u8,
    size: usize,
}

impl<'a> Format<'a> {
    fn new(lua: &'a Lua, text: &'a [u8]) -> Format<'a> {
        // As the C string that it is there.
        let text = &text[..memchr::memchr(0, text).unwrap_or(text.len())];
        Format { lua, text, at: 0, is_little: true, align: 1 }
    }

    fn number(&mut self, default: usize) -> Result<usize> {
        let start = self.at;
        let mut number = 0usize;
        while let Some(digit @ b'0'..=b'9') = self.text.get(self.at) {
            number = number * 10 + usize::from(digit - b'0');
            if number > i32::MAX as usize {
                return Err(fail(self.lua, "integral size overflow"));
            }
            self.at += 1;
        }
        Ok(if self.at == start { default } else { number })
    }

    fn integer_size(&mut self, default: usize) -> Result<usize> {
        let size = self.number(default)?;
        if size > INTEGER_BYTES_MAX {
            let text = format!("integral size {size} is larger than limit of {INTEGER_BYTES_MAX}");
            return Err(fail(self.lua, text));
        }
        Ok(size)
    }

    fn next(&mut self) -> Result<Option<Item>> {
        let Some(&option) = self.text.get(self.at) else { return Ok(None) };
        self.at += 1;
        let size = match option {
            b'b' | b'B' | b'x' => 1,
            b'h' | b'H' => 2,
            b'f' => 4,
            b'l' | b'L' | b'T' | b'd' => 8,
            b'c' => self.number(1)?,
            b'i' | b'I' => self.integer_size(4)?,
            _ => 0,
        };
        Ok(Some(Item { option, size }))
    }

    /// Bytes of padding before an item at offset `total`.
    fn padding(&self, item: &Item, total: usize) -> usize {
        let align = item.size.min(self.align);
        if item.size == 0 || item.option == b'c' || align <= 1 {
            0
        } else {
            (align - (total & (align - 1))) & (align - 1)
        }
    }

    /// An option that only changes how the others are read.
    fn control(&mut self, option: u8) -> Result<()> {
        match option {
            b' ' => {}
            b'>' => self.is_little = false,
            b'<' => self.is_little = true,
            b'!' => {
                let align = self.number(ALIGNMENT)?;
                if align == 0 || !align.is_power_of_two() {
                    return Err(fail(self.lua, format!("alignment {align} is not a power of 2")));
                }
                self.align = align;
            }
            other => {
                let what = format!("invalid format option '{}'", char::from(other));
                return Err(bad_argument(self.lua, 1, &what));
            }
        }
        Ok(())
    }

    fn put_integer(&self, out: &mut Vec<u8>, number: f64, size: usize) {
        // A negative number wraps, as its bits do.
        let value = if number < 0.0 { to_i64(number) as u64 } else { number as u64 };
        let start = out.len();
        for index in 0..size {
            out.push(value.checked_shr(8 * index as u32).unwrap_or(0) as u8);
        }
        if !self.is_little {
            out[start..].reverse();
        }
    }

    fn get_integer(&self, bytes: &[u8], is_signed: bool) -> f64 {
        let mut value = 0u64;
        let mut take = |byte: &u8| value = value << 8 | u64::from(*byte);
        match self.is_little {
            true => bytes.iter().rev().for_each(&mut take),
            false => bytes.iter().for_each(&mut take),
        }
        if !is_signed {
            return value as f64;
        }
        let unused = 64 - 8 * bytes.len().min(8) as u32;
        match unused {
            64 => 0.0,
            _ => (((value << unused) as i64) >> unused) as f64,
        }
    }

    fn put_bytes<const N: usize>(&self, out: &mut Vec<u8>, mut little: [u8; N]) {
        if !self.is_little {
            little.reverse();
        }
        out.extend_from_slice(&little);
    }

    fn get_bytes<const N: usize>(&self, bytes: &[u8]) -> [u8; N] {
        let mut little: [u8; N] = bytes.try_into().expect("invariant: an item has its size");
        if !self.is_little {
            little.reverse();
        }
        little
    }
}

fn pack(lua: &Lua, mut args: MultiValue) -> Result<mlua::LuaString> {
    // What is missing is nil to the library.
    args.push_back(Value::Nil);
    let args = Arguments::new(lua, args);
    let text = args.text(1)?;
    let mut format = Format::new(lua, &text);
    let (mut out, mut index) = (Vec::new(), 2);
    while let Some(item) = format.next()? {
        out.resize(out.len() + format.padding(&item, out.len()), 0);
        match item.option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                format.put_integer(&mut out, args.number(index)?, item.size);
                index += 1;
            }
            b'x' => out.push(0),
            b'f' => {
                format.put_bytes(&mut out, (args.number(index)? as f32).to_le_bytes());
                index += 1;
            }
            b'd' => {
                format.put_bytes(&mut out, args.number(index)?.to_le_bytes());
                index += 1;
            }
            b'c' | b's' => {
                let value = args.text(index)?;
                index += 1;
                let size = if item.size == 0 { value.len() } else { item.size };
                if value.len() < size {
                    return Err(bad_argument(lua, index, "string too short"));
                }
                out.extend_from_slice(&value[..size]);
                if item.option == b's' {
                    out.push(0);
                }
            }
            other => format.control(other)?,
        }
        if out.len() > limits::SCRIPT_MEMORY_BYTES_MAX {
            return Err(mlua::Error::MemoryError("not enough memory".into()));
        }
    }
    lua.create_string(out)
}

fn unpack(lua: &Lua, args: MultiValue) -> Result<MultiValue> {
    let args = Arguments::new(lua, args);
    let (text, data) = (args.text(1)?, args.text(2)?);
    let position = args.integer_or(3, 1)?;
    let Some(mut at) = position.checked_sub(1).and_then(|at| usize::try_from(at).ok()) else {
        return Err(bad_argument(lua, 3, "offset must be 1 or greater"));
    };
    let mut format = Format::new(lua, &text);
    let mut values: Vec<Value> = Vec::new();
    while let Some(item) = format.next()? {
        at += format.padding(&item, at);
        let too_short = || bad_argument(lua, 2, "data string too short");
        let end = at.checked_add(item.size).filter(|end| *end <= data.len()).ok_or_else(too_short)?;
        let bytes = &data[at..end];
        at = end;
        match item.option {
            b'b' | b'h' | b'l' | b'i' => values.push(Value::Number(format.get_integer(bytes, true))),
            b'B' | b'H' | b'L' | b'T' | b'I' => values.push(Value::Number(format.get_integer(bytes, false))),
            b'x' => {}
            b'f' => values.push(Value::Number(f64::from(f32::from_le_bytes(format.get_bytes(bytes))))),
            b'd' => values.push(Value::Number(f64::from_le_bytes(format.get_bytes(bytes)))),
            b'c' if item.size == 0 => {
                let len = match values.pop() {
                    Some(Value::Number(len)) => len,
                    _ => return Err(fail(lua, "format 'c0' needs a previous size")),
                };
                let end = at.checked_add(len as usize).filter(|end| *end <= data.len()).ok_or_else(too_short)?;
                values.push(Value::String(lua.create_string(&data[at..end])?));
                at = end;
            }
            b'c' => values.push(Value::String(lua.create_string(bytes)?)),
            b's' => {
                let len = memchr::memchr(0, &data[at..]);
                let len = len.ok_or_else(|| fail(lua, "unfinished string in data"))?;
                values.push(Value::String(lua.create_string(&data[at..at + len])?));
                at += len + 1;
            }
            other => format.control(other)?,
        }
        if values.len() > limits::SCRIPT_UNPACKED_MAX {
            return Err(fail(lua, "too many results to unpack"));
        }
    }
    values.push(Value::Integer(at as i64 + 1));
    Ok(MultiValue::from_iter(values))
}

fn size(lua: &Lua, args: MultiValue) -> Result<i64> {
    let args = Arguments::new(lua, args);
    let text = args.text(1)?;
    let mut format = Format::new(lua, &text);
    let mut total = 0usize;
    while let Some(item) = format.next()? {
        total += format.padding(&item, total);
        match item.option {
            b's' => return Err(bad_argument(lua, 1, "option 's' has no fixed size")),
            b'c' if item.size == 0 => return Err(bad_argument(lua, 1, "option 'c0' has no fixed size")),
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' | b'x' | b'f' | b'd' | b'c' => {}
            other => format.control(other)?,
        }
        total = total.saturating_add(item.size);
    }
    Ok(total as i64)
}
