//! The forms in which Redis keeps small collections in one piece of memory, and which go into its files as they are:
//! listpack, ziplist, intset and zipmap. Entries are read one after the other from the front.

use bytes::{BufMut, Bytes};

use super::LoadError;

type Result<T> = std::result::Result<T, LoadError>;

/// What ends a listpack, a ziplist, and a zipmap.
const END: u8 = 0xff;
const LISTPACK_HEADER_LEN: usize = 6;
/// A number of entries that means "count them".
const MANY: u16 = u16::MAX;

/// A cursor over one such piece of memory.
struct Input<'b> {
    bytes: &'b Bytes,
    at: usize,
}

impl Input<'_> {
    fn take(&mut self, len: usize) -> Result<Bytes> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len()).ok_or(LoadError::Data)?;
        let taken = self.bytes.slice(self.at..end);
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        let byte = *self.bytes.get(self.at).ok_or(LoadError::Data)?;
        self.at += 1;
        Ok(byte)
    }

    /// A little-endian number of up to eight bytes, without its sign.
    fn number(&mut self, len: usize) -> Result<u64> {
        let mut wide = [0; 8];
        wide[..len].copy_from_slice(&self.take(len)?);
        Ok(u64::from_le_bytes(wide))
    }

    /// A little-endian number of up to eight bytes, with its sign, as text.
    fn integer(&mut self, len: usize) -> Result<Bytes> {
        let unused = 64 - 8 * len as u32;
        Ok(text((self.number(len)? << unused) as i64 >> unused))
    }

    fn length(&mut self, len: usize) -> Result<usize> {
        usize::try_from(self.number(len)?).map_err(|_| LoadError::Data)
    }

    /// Nothing but the end may be left.
    fn finish(mut self, found: usize, announced: u16) -> Result<()> {
        let is_right = announced == MANY || usize::from(announced) == found;
        if self.byte()? == END && self.at == self.bytes.len() && is_right { Ok(()) } else { Err(LoadError::Data) }
    }
}

/// An integer as clients see it.
fn text(value: i64) -> Bytes {
    Bytes::copy_from_slice(itoa::Buffer::new().format(value).as_bytes())
}

/// The entries of a listpack.
pub fn read_listpack(bytes: &Bytes) -> Result<Vec<Bytes>> {
    let mut input = Input { bytes, at: 0 };
    if input.number(4)? != bytes.len() as u64 {
        return Err(LoadError::Data);
    }
    let announced = input.number(2)? as u16;
    let mut entries = Vec::new();
    while *bytes.get(input.at).ok_or(LoadError::Data)? != END {
        let start = input.at;
        let first = input.byte()?;
        let low = |bits: u32| usize::from(first) & ((1 << bits) - 1);
        entries.push(match first {
            0x00..=0x7f => text(i64::from(first)),
            0x80..=0xbf => input.take(low(6))?,
            0xc0..=0xdf => {
                let raw = (low(5) << 8 | usize::from(input.byte()?)) as i64;
                text(if raw < 1 << 12 { raw } else { raw - (1 << 13) })
            }
            0xe0..=0xef => {
                let len = low(4) << 8 | usize::from(input.byte()?);
                input.take(len)?
            }
            0xf0 => {
                let len = input.length(4)?;
                input.take(len)?
            }
            0xf1 => input.integer(2)?,
            0xf2 => input.integer(3)?,
            0xf3 => input.integer(4)?,
            0xf4 => input.integer(8)?,
            0xf5..=0xff => return Err(LoadError::Data),
        });
        // Each entry's length is repeated behind it, for those that come from the back.
        let mut back = Vec::new();
        put_back_len(&mut back, input.at - start);
        if input.take(back.len())? != back {
            return Err(LoadError::Data);
        }
    }
    input.finish(entries.len(), announced)?;
    Ok(entries)
}

/// A listpack that is being written.
#[derive(Debug)]
pub struct Listpack {
    bytes: Vec<u8>,
    len: usize,
}

impl Listpack {
    pub fn new() -> Listpack {
        Listpack { bytes: vec![0; LISTPACK_HEADER_LEN], len: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes so far.
    pub fn size(&self) -> usize {
        self.bytes.len() + 1
    }

    /// Appends an entry, as an integer if its text is one's only form.
    pub fn push(&mut self, entry: &[u8]) {
        match crate::number::parse_i64(entry) {
            Some(value) => self.push_integer(value),
            None => self.push_text(entry),
        }
    }

    pub fn push_integer(&mut self, value: i64) {
        let start = self.bytes.len();
        let bytes = &mut self.bytes;
        let little = value.to_le_bytes();
        match value {
            0..=127 => bytes.push(value as u8),
            -4096..=4095 => bytes.extend([0xc0 | (value >> 8) as u8 & 0x1f, value as u8]),
            -0x8000..=0x7fff => bytes.extend([&[0xf1], &little[..2]].concat()),
            -0x80_0000..=0x7f_ffff => bytes.extend([&[0xf2], &little[..3]].concat()),
            -0x8000_0000..=0x7fff_ffff => bytes.extend([&[0xf3], &little[..4]].concat()),
            _ => bytes.extend([&[0xf4], &little[..]].concat()),
        }
        self.finish_entry(start);
    }

    fn push_text(&mut self, text: &[u8]) {
        let start = self.bytes.len();
        match text.len() {
            len @ ..64 => self.bytes.push(0x80 | len as u8),
            len @ 64..4096 => self.bytes.extend([0xe0 | (len >> 8) as u8, len as u8]),
            len => {
                self.bytes.push(0xf0);
                self.bytes.put_u32_le(len as u32);
            }
        }
        self.bytes.extend_from_slice(text);
        self.finish_entry(start);
    }

    fn finish_entry(&mut self, start: usize) {
        let len = self.bytes.len() - start;
        put_back_len(&mut self.bytes, len);
        self.len += 1;
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.push(END);
        let total = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&total.to_le_bytes());
        let len = u16::try_from(self.len).unwrap_or(MANY);
        self.bytes[4..LISTPACK_HEADER_LEN].copy_from_slice(&len.to_le_bytes());
        self.bytes
    }
}

/// Bytes of a listpack without entries.
pub const LISTPACK_EMPTY_LEN: usize = LISTPACK_HEADER_LEN + 1;

/// Bytes that [`Listpack::push`] appends for an entry.
pub fn listpack_entry_len(entry: &[u8]) -> usize {
    if let Some(value) = crate::number::parse_i64(entry) {
        return listpack_integer_len(value);
    }
    let head = match entry.len() {
        ..64 => 1,
        64..4096 => 2,
        _ => 5,
    };
    with_back_len(head + entry.len())
}

/// Bytes that [`Listpack::push_integer`] appends.
pub fn listpack_integer_len(value: i64) -> usize {
    with_back_len(match value {
        0..=127 => 1,
        -4096..=4095 => 2,
        -0x8000..=0x7fff => 3,
        -0x80_0000..=0x7f_ffff => 4,
        -0x8000_0000..=0x7fff_ffff => 5,
        _ => 9,
    })
}

fn with_back_len(len: usize) -> usize {
    len + back_len_bytes(len)
}

/// Bytes of an entry's length behind it. Where a further byte begins is off by one from what seven bits hold, in Redis.
fn back_len_bytes(len: usize) -> usize {
    match len {
        ..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// An entry's length, seven bits a byte, the highest first; all but the first byte are marked.
fn put_back_len(out: &mut Vec<u8>, len: usize) {
    let bytes = back_len_bytes(len);
    for byte in (0..bytes).rev() {
        let mark = if byte == bytes - 1 { 0 } else { 0x80 };
        out.push((len >> (7 * byte)) as u8 & 0x7f | mark);
    }
}

/// The entries of a ziplist.
pub fn read_ziplist(bytes: &Bytes) -> Result<Vec<Bytes>> {
    let mut input = Input { bytes, at: 0 };
    if input.number(4)? != bytes.len() as u64 {
        return Err(LoadError::Data);
    }
    let tail = input.length(4)?;
    let announced = input.number(2)? as u16;
    let mut entries = Vec::new();
    let (mut previous_len, mut last) = (0, input.at);
    while *bytes.get(input.at).ok_or(LoadError::Data)? != END {
        let start = input.at;
        let previous = match input.byte()? {
            0xfe => input.length(4)?,
            len => usize::from(len),
        };
        if previous != previous_len {
            return Err(LoadError::Data);
        }
        let first = input.byte()?;
        entries.push(match first {
            0x00..=0x3f => input.take(usize::from(first))?,
            0x40..=0x7f => {
                let len = usize::from(first & 0x3f) << 8 | usize::from(input.byte()?);
                input.take(len)?
            }
            0x80 => {
                let len = input.number(4)? as u32;
                input.take(len.swap_bytes() as usize)?
            }
            0xc0 => input.integer(2)?,
            0xd0 => input.integer(4)?,
            0xe0 => input.integer(8)?,
            0xf0 => input.integer(3)?,
            0xfe => input.integer(1)?,
            0xf1..=0xfd => text(i64::from(first & 0x0f) - 1),
            _ => return Err(LoadError::Data),
        });
        (previous_len, last) = (input.at - start, start);
    }
    if tail != last {
        return Err(LoadError::Data);
    }
    input.finish(entries.len(), announced)?;
    Ok(entries)
}

/// The members of an intset.
pub fn read_intset(bytes: &Bytes) -> Result<Vec<Bytes>> {
    let mut input = Input { bytes, at: 0 };
    let (width, len) = (input.length(4)?, input.length(4)?);
    if !matches!(width, 2 | 4 | 8) || len.checked_mul(width) != Some(bytes.len() - input.at) {
        return Err(LoadError::Data);
    }
    (0..len).map(|_| input.integer(width)).collect()
}

/// Writes integers as an intset.
pub fn write_intset(values: &mut [i64]) -> Vec<u8> {
    values.sort_unstable();
    let fits = |value: &i64, bits: u32| *value >= -1 << (bits - 1) && *value < 1 << (bits - 1);
    let width = [2u32, 4].into_iter().find(|width| values.iter().all(|value| fits(value, width * 8))).unwrap_or(8);
    let mut bytes = Vec::with_capacity(8 + values.len() * width as usize);
    bytes.put_u32_le(width);
    bytes.put_u32_le(values.len() as u32);
    values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()[..width as usize]));
    bytes
}

/// The fields and values of a zipmap, by turns.
pub fn read_zipmap(bytes: &Bytes) -> Result<Vec<Bytes>> {
    let mut input = Input { bytes, at: 0 };
    // The number of fields, if it is below 254.
    let announced = input.byte()?;
    let mut entries = Vec::new();
    while *bytes.get(input.at).ok_or(LoadError::Data)? != END {
        for is_value in [false, true] {
            let len = match input.byte()? {
                0xfe => input.length(4)?,
                0xff => return Err(LoadError::Data),
                len => usize::from(len),
            };
            // Values may have room to grow behind them.
            let free = if is_value { usize::from(input.byte()?) } else { 0 };
            entries.push(input.take(len)?);
            input.take(free)?;
        }
    }
    let announced = if announced < 0xfe { u16::from(announced) } else { MANY };
    input.finish(entries.len() / 2, announced)?;
    Ok(entries)
}
