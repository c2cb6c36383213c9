//! Single bits, and counting and finding them: SETBIT, GETBIT, BITCOUNT, BITPOS.

use std::ops::Range;

use bytes::Bytes;

use super::{BASE, BitOffset, Result};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, KeySpec, Operation, Run};
use crate::keyspace::{EventClass, Keyspace, Type};
use crate::number;
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::types::bitmap;
use crate::types::string::{self, Editor};

pub(super) static SETBIT: Command = Command {
    name: "setbit",
    summary: "Sets or clears the bit at offset in the string value stored at key",
    since: "2.2.0",
    arity: 4,
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[KeySpec::one(1, &["RW", "access", "update"])],
    arguments: &[Argument::key("key", 0), Argument::integer("offset"), Argument::integer("value")],
    examples: r#"> SETBIT mykey 7 1
(integer) 0
> SETBIT mykey 7 0
(integer) 1
> GET mykey
"\x00""#,
    run: Run::Storage(Setbit::parse),
    ..BASE
};

#[derive(Debug)]
struct Setbit {
    key: Bytes,
    offset: BitOffset,
    /// As it was given: an offset out of range is the graver error.
    bit: Bytes,
}

impl Setbit {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let (key, offset, bit) = (args.next_bytes()?, BitOffset::parse(args.next()?)?, args.next_bytes()?);
        Ok(Box::new(Setbit { key, offset, bit }))
    }
}

impl Operation for Setbit {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let offset = self.offset.check(keyspace)?;
        let bit = match number::parse_i64(&self.bit) {
            Some(bit @ 0..=1) => bit == 1,
            _ => return Err(CommandError::custom("ERR bit is not an integer or out of range")),
        };
        let at = (offset / 8) as usize;
        let mut editor = Editor::open(keyspace, &self.key)?;
        let grown = editor.grow(keyspace, at + 1)?;
        let before = editor.read(keyspace, at..at + 1)?[0];
        let after = bitmap::with_bit(before, offset, bit);
        editor.write(keyspace, at, &[after])?;
        editor.finish(keyspace)?;
        if grown || before != after {
            keyspace.notify(EventClass::String, "setbit", &self.key);
        }
        reply.integer(i64::from(bitmap::get(&[before], offset % 8)));
        Ok(())
    }
}

pub(super) static GETBIT: Command = Command {
    name: "getbit",
    summary: "Returns the bit value at offset in the string value stored at key",
    since: "2.2.0",
    arity: 3,
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0), Argument::integer("offset")],
    examples: r#"> SETBIT mykey 7 1
(integer) 0
> GETBIT mykey 0
(integer) 0
> GETBIT mykey 7
(integer) 1
> GETBIT mykey 100
(integer) 0"#,
    run: Run::Storage(Getbit::parse),
    ..BASE
};

#[derive(Debug)]
struct Getbit {
    key: Bytes,
    offset: BitOffset,
}

impl Getbit {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Getbit { key: args.next_bytes()?, offset: BitOffset::parse(args.next()?)? }))
    }
}

impl Operation for Getbit {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let offset = self.offset.check(keyspace)?;
        let bit = match keyspace.get_typed(&self.key, Type::String)? {
            Some(record) => {
                let at = (offset / 8) as usize;
                bitmap::get(&string::read_range(keyspace, &record, at..at + 1)?, offset % 8)
            }
            None => false,
        };
        reply.integer(i64::from(bit));
        Ok(())
    }
}

const INDEX_UNIT: Argument =
    Argument::one_of("index_unit", &[Argument::flag("byte", "BYTE"), Argument::flag("bit", "BIT")])
        .since("7.0.0")
        .optional();

pub(super) static BITCOUNT: Command = Command {
    name: "bitcount",
    summary: "Count set bits in a string",
    since: "2.6.0",
    complexity: "O(N)",
    arity: -2,
    flags: &[Flag::Readonly],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    history: &[("7.0.0", "Added the `BYTE|BIT` option.")],
    arguments: &[
        Argument::key("key", 0),
        Argument::block("index", &[Argument::integer("start"), Argument::integer("end"), INDEX_UNIT]).optional(),
    ],
    examples: r#"> SET mykey foobar
OK
> BITCOUNT mykey
(integer) 26
> BITCOUNT mykey 1 1
(integer) 6
> BITCOUNT mykey 5 30 BIT
(integer) 17"#,
    run: Run::Storage(Bitcount::parse),
    ..BASE
};

#[derive(Debug)]
struct Bitcount {
    key: Bytes,
    /// What stands behind the key. Redis reads it only if the key is there.
    range: Vec<Bytes>,
}

impl Bitcount {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Bitcount { key: args.next_bytes()?, range: args.rest() }))
    }

    /// The bits of a value of `len` bytes to look at.
    fn bits(&self, len: usize) -> Result<Range<u64>> {
        let (start, end, unit) = match &self.range[..] {
            [] => return Ok(0..len as u64 * 8),
            [start, end] => (start, end, None),
            [start, end, unit] => (start, end, Some(unit)),
            _ => return Err(CommandError::Syntax),
        };
        let (start, end) = (integer(start)?, integer(end)?);
        if start < 0 && end < 0 && start > end {
            return Ok(0..0);
        }
        let unit = unit.map_or(Ok(Unit::Byte), |word| Unit::parse(word))?;
        Ok(unit.bits(len, start, Some(end)))
    }
}

impl Operation for Bitcount {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let Some(record) = keyspace.get_typed(&self.key, Type::String)? else {
            reply.integer(0);
            return Ok(());
        };
        let bits = self.bits(string::len(&record)?)?;
        reply.integer(string::count_bits(keyspace, &record, bits)? as i64);
        Ok(())
    }
}

pub(super) static BITPOS: Command = Command {
    name: "bitpos",
    summary: "Find first bit set or clear in a string",
    since: "2.8.7",
    complexity: "O(N)",
    arity: -3,
    flags: &[Flag::Readonly],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    history: &[("7.0.0", "Added the `BYTE|BIT` option.")],
    arguments: &[
        Argument::key("key", 0),
        Argument::integer("bit"),
        Argument::block(
            "index",
            &[
                Argument::integer("start"),
                Argument::block("end_index", &[Argument::integer("end"), INDEX_UNIT]).optional(),
            ],
        )
        .optional(),
    ],
    examples: r#"> SET mykey "\xff\xf0\x00"
OK
> BITPOS mykey 0
(integer) 12
> BITPOS mykey 1 2
(integer) -1
> BITPOS mykey 1 7 15 BIT
(integer) 7"#,
    run: Run::Storage(Bitpos::parse),
    ..BASE
};

#[derive(Debug)]
struct Bitpos {
    key: Bytes,
    bit: bool,
    /// What stands behind the bit. Redis reads it only if the key is there.
    range: Vec<Bytes>,
}

impl Bitpos {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let key = args.next_bytes()?;
        let bit = match args.next_i64()? {
            bit @ 0..=1 => bit == 1,
            _ => return Err(CommandError::custom("ERR The bit argument must be 1 or 0.")),
        };
        Ok(Box::new(Bitpos { key, bit, range: args.rest() }))
    }

    /// The bits of a value of `len` bytes to look at, and whether their end was given.
    fn bits(&self, len: usize) -> Result<(Range<u64>, bool)> {
        let (start, end, unit) = match &self.range[..] {
            [] => return Ok((0..len as u64 * 8, false)),
            [start] => (start, None, None),
            [start, end] => (start, Some(end), None),
            [start, end, unit] => (start, Some(end), Some(unit)),
            _ => return Err(CommandError::Syntax),
        };
        let start = integer(start)?;
        let unit = unit.map_or(Ok(Unit::Byte), |word| Unit::parse(word))?;
        let end = end.map(|end| integer(end)).transpose()?;
        Ok((unit.bits(len, start, end), end.is_some()))
    }
}

impl Operation for Bitpos {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        // A key that is not there is an endless row of zeros.
        let Some(record) = keyspace.get_typed(&self.key, Type::String)? else {
            reply.integer(if self.bit { -1 } else { 0 });
            return Ok(());
        };
        let (bits, end_given) = self.bits(string::len(&record)?)?;
        let found = string::find_bit(keyspace, &record, bits.clone(), self.bit)?;
        // Zeros follow behind the end of a value, unless the end of the search was given.
        let behind = (!self.bit && !end_given && !bits.is_empty()).then_some(bits.end);
        reply.integer(found.or(behind).map_or(-1, |at| at as i64));
        Ok(())
    }
}

/// What the numbers of a range count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Byte,
    Bit,
}

impl Unit {
    fn parse(word: &[u8]) -> Result<Unit> {
        match word {
            word if word.eq_ignore_ascii_case(b"BYTE") => Ok(Unit::Byte),
            word if word.eq_ignore_ascii_case(b"BIT") => Ok(Unit::Bit),
            _ => Err(CommandError::Syntax),
        }
    }

    /// The bits between `start` and `end`, both included and from the end where negative, of a value of `len` bytes.
    fn bits(self, len: usize, start: i64, end: Option<i64>) -> Range<u64> {
        let bits = if self == Unit::Bit { 1 } else { 8 };
        let units = len as u64 * 8 / bits;
        let position = |index: i64| match u64::try_from(index) {
            Ok(from_start) => from_start,
            Err(_) => units.saturating_sub(index.unsigned_abs()),
        };
        let start = position(start);
        let end = end.map_or(units, |end| position(end).saturating_add(1).min(units));
        if start < end { start * bits..end * bits } else { 0..0 }
    }
}

fn integer(text: &[u8]) -> Result<i64> {
    number::parse_i64(text).ok_or(CommandError::NotInteger)
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::check;

    #[test]
    fn bits_are_set_and_read() {
        check(
            r#"
            > SETBIT k 9 1
            (integer) 0
            > GET k
            "\x00@"
            > SETBIT k 9 1
            (integer) 1
            > SETBIT k 0 0
            (integer) 0
            > OBJECT ENCODING k
            "raw"
            > SET n 1 EX 10
            OK
            > GETBIT n 2
            (integer) 1
            > SETBIT n 2 1
            (integer) 1
            > OBJECT ENCODING n
            "raw"
            > TTL n
            (integer) 10
            "#,
        );
    }

    #[test]
    fn offsets_and_bits_that_are_none() {
        check(
            r#"
            > SETBIT k -1 2
            (error) ERR bit offset is not an integer or out of range
            > SETBIT k x 1
            (error) ERR bit offset is not an integer or out of range
            > SETBIT k 4294967296 2
            (error) ERR bit offset is not an integer or out of range
            > SETBIT k 1 2
            (error) ERR bit is not an integer or out of range
            > SETBIT k 1 x
            (error) ERR bit is not an integer or out of range
            > GETBIT k 4294967296
            (error) ERR bit offset is not an integer or out of range
            > GETBIT k 4294967295
            (integer) 0
            > EXISTS k
            (integer) 0
            > BITPOS k 2
            (error) ERR The bit argument must be 1 or 0.
            "#,
        );
    }

    #[test]
    fn counting_reads_its_range_only_if_the_key_is_there() {
        check(
            r#"
            > BITCOUNT nothing x y z w
            (integer) 0
            > SET k "\xff\xff"
            OK
            > BITCOUNT k -5 -9
            (integer) 0
            > BITCOUNT k -9 -5
            (integer) 8
            > BITCOUNT k -1 -2 FOO
            (integer) 0
            > BITCOUNT k 0 -1 FOO
            (error) ERR syntax error
            > BITCOUNT k 0
            (error) ERR syntax error
            > BITCOUNT k 0 x FOO
            (error) ERR value is not an integer or out of range
            > BITCOUNT k 3 -2 bit
            (integer) 12
            > BITCOUNT k 9223372036854775807 9223372036854775807 bit
            (integer) 0
            "#,
        );
    }

    #[test]
    fn finding_treats_what_is_behind_the_end_as_zeros_unless_told_where_it_is() {
        check(
            r#"
            > BITPOS nothing 0 x
            (integer) 0
            > BITPOS nothing 1
            (integer) -1
            > SET k "\xff\xff"
            OK
            > BITPOS k 0
            (integer) 16
            > BITPOS k 0 1
            (integer) 16
            > BITPOS k 0 0 -1
            (integer) -1
            > BITPOS k 0 2
            (integer) -1
            > BITPOS k 1 -5 -9
            (integer) 0
            > BITPOS k 1 3 5 BIT
            (integer) 3
            > BITPOS k 0 0 x FOO
            (error) ERR syntax error
            > BITPOS k 0 x 0 FOO
            (error) ERR value is not an integer or out of range
            > BITPOS k 0 1 2 BIT x
            (error) ERR syntax error
            > SET e ""
            OK
            > BITPOS e 0
            (integer) -1
            "#,
        );
    }
}
