//! LZF, as Redis compresses longer strings: runs of bytes as they are, and references to bytes that came before.

use super::LoadError;
use crate::limits;

/// Up to so many bytes can come of the three that a reference takes.
const EXPANSION_MAX: usize = 264;

/// Decompresses to exactly `len` bytes.
pub fn decompress(compressed: &[u8], len: usize) -> Result<Vec<u8>, LoadError> {
    if len > compressed.len().saturating_mul(EXPANSION_MAX) || len > limits::RDB_VALUE_BYTES_MAX {
        return Err(LoadError::Data);
    }
    let mut out = Vec::with_capacity(len);
    let mut input = compressed;
    while let Some((&control, rest)) = input.split_first() {
        let control = usize::from(control);
        if control < 1 << 5 {
            let (literal, rest) = rest.split_at_checked(control + 1).ok_or(LoadError::Data)?;
            out.extend_from_slice(literal);
            input = rest;
        } else {
            let (count, rest) = match (control >> 5, rest) {
                (7, [more, rest @ ..]) => (usize::from(*more) + 9, rest),
                (count, rest) => (count + 2, rest),
            };
            let (&low, rest) = rest.split_first().ok_or(LoadError::Data)?;
            let distance = ((control & 0x1f) << 8 | usize::from(low)) + 1;
            let start = out.len().checked_sub(distance).ok_or(LoadError::Data)?;
            // What is copied may be copied again at once.
            for at in start..start + count {
                out.push(out[at]);
            }
            input = rest;
        }
        if out.len() > len {
            return Err(LoadError::Data);
        }
    }
    if out.len() == len { Ok(out) } else { Err(LoadError::Data) }
}
