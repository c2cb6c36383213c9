//! The library `bit`: operations on 32-bit integers, as Lua BitOp has them.

use mlua::{Lua, MultiValue, Result, Table};

use super::arguments::Arguments;

/// 2^52 + 2^51: added to a number it leaves the lowest 32 bits of its integer part in the lowest bits of the sum.
const MAGIC: f64 = 6_755_399_441_055_744.0;

pub fn library(lua: &Lua) -> Result<Table> {
    let bit = lua.create_table()?;
    let add = |name: &str, run: fn(u32) -> u32| {
        bit.raw_set(name, lua.create_function(move |lua, args| signed(run(argument(&Arguments::new(lua, args), 1)?)))?)
    };
    add("tobit", |value| value)?;
    add("bnot", |value| !value)?;
    add("bswap", u32::swap_bytes)?;
    let add = |name: &str, run: fn(u32, u32) -> u32| {
        let fold = move |lua: &Lua, args: MultiValue| {
            let args = Arguments::new(lua, args);
            let first = argument(&args, 1)?;
            let folded = (2..=args.len())
                .try_fold(first, |value, index| Ok::<_, mlua::Error>(run(value, argument(&args, index)?)));
            signed(folded?)
        };
        bit.raw_set(name, lua.create_function(fold)?)
    };
    add("band", |a, b| a & b)?;
    add("bor", |a, b| a | b)?;
    add("bxor", |a, b| a ^ b)?;
    let add = |name: &str, run: fn(u32, u32) -> u32| {
        let shift = move |lua: &Lua, args: MultiValue| {
            let args = Arguments::new(lua, args);
            signed(run(argument(&args, 1)?, argument(&args, 2)? & 31))
        };
        bit.raw_set(name, lua.create_function(shift)?)
    };
    add("lshift", |value, by| value << by)?;
    add("rshift", |value, by| value >> by)?;
    add("arshift", |value, by| ((value as i32) >> by) as u32)?;
    add("rol", u32::rotate_left)?;
    add("ror", u32::rotate_right)?;
    bit.raw_set("tohex", lua.create_function(tohex)?)?;
    Ok(bit)
}

fn argument(args: &Arguments<'_>, index: usize) -> Result<u32> {
    args.number(index).map(to_bits)
}

fn to_bits(number: f64) -> u32 {
    (number + MAGIC).to_bits() as u32
}

fn signed(value: u32) -> Result<f64> {
    Ok(f64::from(value as i32))
}

/// So many digits; negative: in capitals.
fn tohex(lua: &Lua, args: MultiValue) -> Result<String> {
    let args = Arguments::new(lua, args);
    let value = argument(&args, 1)?;
    let digits = if args.len() >= 2 { argument(&args, 2)? as i32 } else { 8 };
    let count = (digits.unsigned_abs() as usize).min(8);
    let text = if digits < 0 { format!("{value:08X}") } else { format!("{value:08x}") };
    Ok(text[8 - count..].to_string())
}
