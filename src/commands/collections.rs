//! What the commands of hashes, sets and sorted sets have in common: a scan of one collection, draws by chance, and
//! numbers of keys.

use bytes::Bytes;

use super::keys::scan::{parse_cursor, parse_pattern};
use super::parse::Args;
use super::{CommandError, Operation};
use crate::glob;
use crate::keyspace::{Keyspace, Type};
use crate::limits;
use crate::number;
use crate::resp::{CommandArgs, Protocol, ReplyBuffer};
use crate::types::elements::{Element, Elements};

type Result<T> = std::result::Result<T, CommandError>;

/// HSCAN, SSCAN, ZSCAN.
#[derive(Debug)]
pub(super) struct ElementScan {
    kind: Type,
    key: Bytes,
    cursor: u64,
    /// Redis looks at them once it has found the key.
    options: Result<ScanOptions>,
    /// Writes an element's parts.
    write: fn(&Element, &mut ReplyBuffer) -> Result<()>,
    /// How many those are.
    parts: usize,
}

#[derive(Debug)]
struct ScanOptions {
    count: u64,
    pattern: Option<Bytes>,
}

impl ElementScan {
    /// How many elements a call visits unless COUNT says so.
    const COUNT: u64 = 10;

    pub(super) fn parse(
        args: &CommandArgs,
        kind: Type,
        parts: usize,
        write: fn(&Element, &mut ReplyBuffer) -> Result<()>,
    ) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let key = args.next_bytes()?;
        let cursor = parse_cursor(args.next()?).ok_or_else(|| CommandError::custom("ERR invalid cursor"))?;
        let options = ScanOptions::parse(&mut args);
        Ok(Box::new(ElementScan { kind, key, cursor, options, write, parts }))
    }
}

impl ScanOptions {
    fn parse(args: &mut Args<'_>) -> Result<ScanOptions> {
        let mut options = ScanOptions { count: ElementScan::COUNT, pattern: None };
        while !args.is_done() {
            if args.remaining() > 1 && args.take_word("COUNT") {
                options.count =
                    u64::try_from(args.next_i64()?).ok().filter(|count| *count > 0).ok_or(CommandError::Syntax)?;
            } else if args.remaining() > 1 && args.take_word("MATCH") {
                options.pattern = parse_pattern(args.next_bytes()?);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }
}

impl Operation for ElementScan {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let (mut page, mut next) = (Vec::new(), 0);
        if let Some(elements) = Elements::read(keyspace, &self.key, self.kind)? {
            let options = self.options.as_ref().map_err(Clone::clone)?;
            (page, next) = elements.page(keyspace, self.cursor, options.count)?;
            if let Some(pattern) = &options.pattern {
                page.retain(|(name, _)| glob::matches(pattern, name));
            }
        }
        reply.array(2);
        reply.bulk(itoa::Buffer::new().format(next).as_bytes());
        reply.array(page.len() * self.parts);
        page.iter().try_for_each(|element| (self.write)(element, reply))
    }
}

/// HRANDFIELD, SRANDMEMBER, ZRANDMEMBER.
#[derive(Debug)]
pub(super) struct RandomElements {
    kind: Type,
    key: Bytes,
    /// `None`: one element, by itself. Negative: so many, with repetitions.
    count: Option<i64>,
    with_values: bool,
    write_value: fn(&[u8], &mut ReplyBuffer) -> Result<()>,
}

impl RandomElements {
    /// `with`: the word that asks for values, where there are any.
    pub(super) fn parse(
        args: &CommandArgs,
        kind: Type,
        with: Option<&str>,
        write_value: fn(&[u8], &mut ReplyBuffer) -> Result<()>,
    ) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let key = args.next_bytes()?;
        let (mut count, mut with_values) = (None, false);
        if with.is_none() && args.remaining() > 1 {
            return Err(CommandError::Syntax);
        }
        if !args.is_done() {
            count = Some(parse_draws(args.next()?)?);
            with_values = with.is_some_and(|with| args.take_word(with));
            if with_values && args.is_done() && count.is_some_and(|count| count.unsigned_abs() > i64::MAX as u64 / 2) {
                return Err(CommandError::custom("ERR value is out of range"));
            }
        }
        args.finish()?;
        Ok(Box::new(RandomElements { kind, key, count, with_values, write_value }))
    }

    fn write(&self, element: &Element, reply: &mut ReplyBuffer) -> Result<()> {
        if self.with_values && reply.protocol() == Protocol::Resp3 {
            reply.array(2);
        }
        reply.bulk(&element.0);
        if self.with_values { (self.write_value)(&element.1, reply) } else { Ok(()) }
    }
}

/// How many elements to draw.
fn parse_draws(text: &[u8]) -> Result<i64> {
    let count = number::parse_i64(text).ok_or(CommandError::NotInteger)?;
    if count == i64::MIN {
        return Err(CommandError::custom(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    Ok(count)
}

impl Operation for RandomElements {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let elements = Elements::read(keyspace, &self.key, self.kind)?;
        let Some(count) = self.count else {
            match elements {
                Some(elements) => reply.bulk(&elements.draw(keyspace)?.0),
                None => reply.null(),
            }
            return Ok(());
        };
        let Some(elements) = elements else {
            reply.array(0);
            return Ok(());
        };
        let flat = if self.with_values && reply.protocol() == Protocol::Resp2 { 2 } else { 1 };
        if count >= 0 {
            let drawn = elements.draw_distinct(keyspace, count as u64)?;
            reply.array(drawn.len() * flat);
            return drawn.iter().try_for_each(|element| self.write(element, reply));
        }
        let count = count.unsigned_abs();
        if count > limits::DRAWS_MAX {
            return Err(CommandError::custom("ERR value is out of range"));
        }
        elements.check_draws(keyspace, count)?;
        reply.array(count as usize * flat);
        for _ in 0..count {
            let element = elements.draw(keyspace)?;
            self.write(&element, reply)?;
        }
        Ok(())
    }

    fn is_long(&self) -> bool {
        self.count.is_some_and(|count| count < 0 && count.unsigned_abs() > limits::SHORT_WALK_ELEMENTS)
    }
}

/// A number of elements that may not be negative.
pub(super) fn parse_positive(text: &[u8]) -> Result<u64> {
    let count = number::parse_i64(text).and_then(|count| u64::try_from(count).ok());
    count.ok_or_else(|| CommandError::custom("ERR value is out of range, must be positive"))
}

/// A number that has to be at least 1; `error` says so.
pub(super) fn parse_at_least_one(text: &[u8], error: &'static str) -> Result<u64> {
    let number = number::parse_i64(text).and_then(|number| u64::try_from(number).ok());
    number.filter(|number| *number > 0).ok_or_else(|| CommandError::custom(error))
}
