//! Integers of any width at any bit of a string: BITFIELD and BITFIELD_RO.

use bytes::Bytes;

use super::{BASE, BitOffset, Result, out_of_range};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, KeySpec, Operation, Run};
use crate::keyspace::{EventClass, Keyspace, Type};
use crate::number;
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::types::bitmap::{Field, Overflow};
use crate::types::string::{self, Editor};

const ENCODING_OFFSET: Argument =
    Argument::block("encoding_offset", &[Argument::string("encoding"), Argument::integer("offset")]).token("GET");

pub(super) static BITFIELD: Command = Command {
    name: "bitfield",
    summary: "Perform arbitrary bitfield integer operations on strings",
    since: "3.2.0",
    complexity: "O(1) for each subcommand specified",
    arity: -2,
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[KeySpec {
        notes: "This command allows both access and modification of the key",
        ..KeySpec::one(1, &["RW", "access", "update", "variable_flags"])
    }],
    arguments: &[
        Argument::key("key", 0),
        Argument::one_of(
            "operation",
            &[
                ENCODING_OFFSET,
                Argument::block(
                    "write",
                    &[
                        Argument::one_of(
                            "wrap_sat_fail",
                            &[
                                Argument::flag("wrap", "WRAP"),
                                Argument::flag("sat", "SAT"),
                                Argument::flag("fail", "FAIL"),
                            ],
                        )
                        .token("OVERFLOW")
                        .optional(),
                        Argument::one_of(
                            "write_operation",
                            &[
                                Argument::block(
                                    "encoding_offset_value",
                                    &[
                                        Argument::string("encoding"),
                                        Argument::integer("offset"),
                                        Argument::integer("value"),
                                    ],
                                )
                                .token("SET"),
                                Argument::block(
                                    "encoding_offset_increment",
                                    &[
                                        Argument::string("encoding"),
                                        Argument::integer("offset"),
                                        Argument::integer("increment"),
                                    ],
                                )
                                .token("INCRBY"),
                            ],
                        ),
                    ],
                ),
            ],
        )
        .optional()
        .multiple(),
    ],
    examples: r#"> BITFIELD mykey INCRBY i5 100 1 GET u4 0
1) (integer) 1
2) (integer) 0
> BITFIELD mykey SET u8 #1 300 OVERFLOW FAIL INCRBY u2 102 3 INCRBY u2 102 1
1) (integer) 0
2) (integer) 3
3) (nil)"#,
    run: Run::Storage(|args| Bitfield::parse(args, false)),
    ..BASE
};

pub(super) static BITFIELD_RO: Command = Command {
    name: "bitfield_ro",
    summary: "Perform arbitrary bitfield integer operations on strings. Read-only variant of BITFIELD",
    since: "6.0.0",
    complexity: "O(1) for each subcommand specified",
    arity: -2,
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0), ENCODING_OFFSET.optional().multiple().multiple_token()],
    examples: r#"> SET mykey "\xff\x01"
OK
> BITFIELD_RO mykey GET i8 0 GET u8 #1
1) (integer) -1
2) (integer) 1"#,
    run: Run::Storage(|args| Bitfield::parse(args, true)),
    ..BASE
};

#[derive(Debug)]
struct Bitfield {
    key: Bytes,
    steps: Vec<Step>,
    /// What is wrong with the arguments behind the last step: offsets before it are checked first.
    invalid: Option<CommandError>,
    read_only: bool,
}

#[derive(Debug)]
struct Step {
    field: Field,
    offset: BitOffset,
    action: Action,
}

#[derive(Debug)]
enum Action {
    Get,
    Set(i64, Overflow),
    Increment(i64, Overflow),
    /// SET or INCRBY with a value that is none; an offset out of range is the graver error.
    Invalid,
}

impl Bitfield {
    fn parse(args: &CommandArgs, read_only: bool) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let mut bitfield = Bitfield { key: args.next_bytes()?, steps: Vec::new(), invalid: None, read_only };
        let mut overflow = Overflow::Wrap;
        while !args.is_done() && bitfield.invalid.is_none() {
            bitfield.invalid = bitfield.parse_step(&mut args, &mut overflow).err();
        }
        Ok(Box::new(bitfield))
    }

    fn parse_step(&mut self, args: &mut Args<'_>, overflow: &mut Overflow) -> Result<()> {
        let left = args.remaining() - 1;
        if left >= 2 && args.take_word("GET") {
            let (field, offset) = field_and_offset(args)?;
            self.steps.push(Step { field, offset, action: Action::Get });
        } else if left >= 3 && args.take_word("SET") {
            self.parse_write(args, |value| Action::Set(value, *overflow))?;
        } else if left >= 3 && args.take_word("INCRBY") {
            self.parse_write(args, |value| Action::Increment(value, *overflow))?;
        } else if left >= 1 && args.take_word("OVERFLOW") {
            *overflow = match args.next()? {
                word if word.eq_ignore_ascii_case(b"WRAP") => Overflow::Wrap,
                word if word.eq_ignore_ascii_case(b"SAT") => Overflow::Saturate,
                word if word.eq_ignore_ascii_case(b"FAIL") => Overflow::Fail,
                _ => return Err(CommandError::custom("ERR Invalid OVERFLOW type specified")),
            };
        } else {
            return Err(CommandError::Syntax);
        }
        Ok(())
    }

    fn parse_write(&mut self, args: &mut Args<'_>, action: impl FnOnce(i64) -> Action) -> Result<()> {
        let (field, offset) = field_and_offset(args)?;
        let action = number::parse_i64(args.next()?).map_or(Action::Invalid, action);
        self.steps.push(Step { field, offset, action });
        Ok(())
    }

    /// The offsets, in the order of the steps, with all errors in the order in which Redis finds them.
    fn check(&self, keyspace: &Keyspace<'_>) -> Result<Vec<u64>> {
        let mut offsets = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            offsets.push(step.offset.check(keyspace)?);
            if matches!(step.action, Action::Invalid) {
                return Err(CommandError::NotInteger);
            }
        }
        self.invalid.clone().map_or(Ok(offsets), Err)
    }

    fn writes(&self) -> bool {
        self.steps.iter().any(|step| !matches!(step.action, Action::Get))
    }

    fn run_read(&self, keyspace: &mut Keyspace<'_>, offsets: &[u64], reply: &mut ReplyBuffer) -> Result<()> {
        let record = keyspace.get_typed(&self.key, Type::String)?;
        reply.array(self.steps.len());
        for (step, &offset) in self.steps.iter().zip(offsets) {
            let range = step.field.bytes(offset);
            let there = match &record {
                Some(record) => string::read_range(keyspace, record, range.clone())?,
                None => Bytes::new(),
            };
            let bytes = string::slice_with_zeros(&there, 0..range.len());
            reply.integer(step.field.read(&bytes, offset % 8));
        }
        Ok(())
    }

    fn run_write(&self, keyspace: &mut Keyspace<'_>, offsets: &[u64], reply: &mut ReplyBuffer) -> Result<()> {
        let mut editor = Editor::open(keyspace, &self.key)?;
        // All room first: a step that fails to write has still made its bits exist.
        let writes = self.steps.iter().zip(offsets).filter(|(step, _)| !matches!(step.action, Action::Get));
        let len = writes.map(|(step, &offset)| step.field.bytes(offset).end).max().unwrap_or(0);
        let grown = editor.grow(keyspace, len)?;
        let mut changed = false;
        reply.array(self.steps.len());
        for (step, &offset) in self.steps.iter().zip(offsets) {
            let range = step.field.bytes(offset);
            let mut bytes = editor.read(keyspace, range.clone())?;
            let before = step.field.read(&bytes, offset % 8);
            let after = match step.action {
                Action::Set(value, overflow) => step.field.add(value, 0, overflow),
                Action::Increment(by, overflow) => step.field.add(before, by, overflow),
                Action::Get | Action::Invalid => {
                    reply.integer(before);
                    continue;
                }
            };
            match after {
                Some(after) => {
                    step.field.write(&mut bytes, offset % 8, after);
                    editor.write(keyspace, range.start, &bytes)?;
                    changed |= grown || before != after;
                    reply.integer(if matches!(step.action, Action::Set(..)) { before } else { after });
                }
                None => reply.null(),
            }
        }
        editor.finish(keyspace)?;
        if changed {
            keyspace.notify(EventClass::String, "setbit", &self.key);
        }
        Ok(())
    }
}

impl Operation for Bitfield {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let offsets = self.check(keyspace)?;
        match (self.writes(), self.read_only) {
            (false, _) => self.run_read(keyspace, &offsets, reply),
            (true, true) => Err(CommandError::custom("ERR BITFIELD_RO only supports the GET subcommand")),
            (true, false) => self.run_write(keyspace, &offsets, reply),
        }
    }
}

/// The first two arguments of a step. An offset `#n` counts in fields.
fn field_and_offset(args: &mut Args<'_>) -> Result<(Field, BitOffset)> {
    let field = parse_field(args.next()?)?;
    let offset = match args.next()? {
        [b'#', count @ ..] => {
            let count = number::parse_i64(count).ok_or_else(out_of_range)?;
            // As in Redis, one that is far too large wraps around.
            BitOffset(count.wrapping_mul(i64::from(field.bits)))
        }
        offset => BitOffset::parse(offset)?,
    };
    Ok((field, offset))
}

/// `i8`, `u63`; a C string to Redis, so that a NUL ends it.
fn parse_field(text: &[u8]) -> Result<Field> {
    let text = memchr::memchr(0, text).map_or(text, |end| &text[..end]);
    let (signed, bits) = match text {
        [b'i', bits @ ..] => (true, bits),
        [b'u', bits @ ..] => (false, bits),
        _ => return Err(invalid_type()),
    };
    match number::parse_i64(bits) {
        Some(bits @ 1..=63) => Ok(Field { signed, bits: bits as u32 }),
        Some(64) if signed => Ok(Field { signed, bits: 64 }),
        _ => Err(invalid_type()),
    }
}

fn invalid_type() -> CommandError {
    CommandError::custom(
        "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
    )
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::check;

    #[test]
    fn fields_reach_beyond_the_end() {
        check(
            r#"
            > SET k abc EX 10
            OK
            > BITFIELD k GET u16 16 GET i64 1000 GET u1 #4294967295
            1) (integer) 25344
            2) (integer) 0
            3) (integer) 0
            > STRLEN k
            (integer) 3
            > BITFIELD k SET i64 20 -1
            1) (integer) 3458764513820540928
            > GET k
            "abo\xff\xff\xff\xff\xff\xff\xff\xf0"
            > TTL k
            (integer) 10
            > BITFIELD nothing GET u8 0
            1) (integer) 0
            > BITFIELD nothing
            (empty array)
            > EXISTS nothing
            (integer) 0
            "#,
        );
    }

    #[test]
    fn overflow_as_it_was_chosen_last() {
        check(
            r#"
            > BITFIELD k SET u8 0 200 INCRBY u8 0 100 OVERFLOW SAT INCRBY u8 0 250 OVERFLOW FAIL INCRBY u8 0 1 GET u8 0
            1) (integer) 0
            2) (integer) 44
            3) (integer) 255
            4) (nil)
            5) (integer) 255
            > BITFIELD k OVERFLOW FAIL SET i8 100 128
            1) (nil)
            > STRLEN k
            (integer) 14
            > BITFIELD k SET i8 0 128 OVERFLOW SAT INCRBY i8 0 -1 SET i8 0 -9223372036854775808 GET i8 0
            1) (integer) -1
            2) (integer) -128
            3) (integer) -128
            4) (integer) 127
            "#,
        );
    }

    #[test]
    fn errors_come_in_the_order_of_the_arguments() {
        check(
            r#"
            > BITFIELD k GET u64 0
            (error) ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.
            > BITFIELD k GET u8 4294967296 FOO
            (error) ERR bit offset is not an integer or out of range
            > BITFIELD k SET u8 -1 x
            (error) ERR bit offset is not an integer or out of range
            > BITFIELD k SET u8 0 x FOO
            (error) ERR value is not an integer or out of range
            > BITFIELD k SET u8 0
            (error) ERR syntax error
            > BITFIELD k OVERFLOW
            (error) ERR syntax error
            > BITFIELD k OVERFLOW FOO
            (error) ERR Invalid OVERFLOW type specified
            > BITFIELD k GET u8 #2305843009213693952
            1) (integer) 0
            > BITFIELD k GET u8 #9223372036854775807
            (error) ERR bit offset is not an integer or out of range
            > BITFIELD_RO k SET u8 0 1
            (error) ERR BITFIELD_RO only supports the GET subcommand
            > BITFIELD_RO k SET u8 0 x
            (error) ERR value is not an integer or out of range
            > EXISTS k
            (integer) 0
            "#,
        );
    }
}
