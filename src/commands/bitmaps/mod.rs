//! The commands that see strings as arrays of bits: rows of the command table and what they run. The arithmetic is in
//! [`crate::types::bitmap`].

mod bitfield;
mod bitop;
mod bits;

use super::{Command, CommandError, Group};
use crate::keyspace::Keyspace;
use crate::number;

type Result<T> = std::result::Result<T, CommandError>;

const BASE: Command = Command { group: Group::Bitmap, categories: &["@bitmap"], ..Command::BASE };

/// The rows of this family.
pub static COMMANDS: &[&Command] = &[
    &bits::BITCOUNT,
    &bitfield::BITFIELD,
    &bitfield::BITFIELD_RO,
    &bitop::BITOP,
    &bits::BITPOS,
    &bits::GETBIT,
    &bits::SETBIT,
];

/// An offset of a bit as it was given. What is allowed depends on how long values may be (`proto-max-bulk-len`), so it
/// is only checked where it runs.
#[derive(Clone, Copy, Debug)]
struct BitOffset(i64);

impl BitOffset {
    fn parse(text: &[u8]) -> Result<BitOffset> {
        number::parse_i64(text).map(BitOffset).ok_or_else(out_of_range)
    }

    /// The offset, if the byte that it lies in may exist.
    fn check(self, keyspace: &Keyspace<'_>) -> Result<u64> {
        let offset = u64::try_from(self.0).map_err(|_| out_of_range())?;
        if offset / 8 < keyspace.value_bytes_max() as u64 { Ok(offset) } else { Err(out_of_range()) }
    }
}

fn out_of_range() -> CommandError {
    CommandError::custom("ERR bit offset is not an integer or out of range")
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::check_examples;

    #[test]
    fn examples_run_as_they_are_written() {
        check_examples(super::COMMANDS);
    }
}
