//! A payload → a value.

use bytes::Bytes;

use super::compact::{read_intset, read_listpack, read_ziplist, read_zipmap};
use super::{CRC64, FOOTER_LEN, LoadError, VERSION, Value, encoded, kind, length, lzf, node, stream};
use crate::limits;
use crate::number;

type Result<T> = std::result::Result<T, LoadError>;

/// Reads what DUMP gave.
pub fn load(payload: &Bytes) -> Result<Value> {
    let data_len = payload.len().checked_sub(FOOTER_LEN).ok_or(LoadError::Footer)?;
    let (checked, checksum) = payload.split_at(payload.len() - 8);
    let version = u16::from_le_bytes([payload[data_len], payload[data_len + 1]]);
    if version > VERSION || CRC64.checksum(checked).to_le_bytes() != checksum {
        return Err(LoadError::Footer);
    }
    // What stands between a value's end and the footer is not looked at, nor does Redis.
    let mut reader = Reader { bytes: payload.slice(..data_len), decompressed: 0 };
    let kind = reader.byte()?;
    reader.value(kind)
}

pub(super) struct Reader {
    /// What was not read yet.
    bytes: Bytes,
    /// Bytes that came of compressed strings so far.
    decompressed: usize,
}

/// What stands where a length is expected.
enum Length {
    Plain(u64),
    Encoded(u8),
}

impl Reader {
    pub(super) fn take(&mut self, len: usize) -> Result<Bytes> {
        if len > self.bytes.len() {
            return Err(LoadError::Data);
        }
        Ok(self.bytes.split_to(len))
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?[..].try_into().map_err(|_| LoadError::Data)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn length_or_encoding(&mut self) -> Result<Length> {
        let first = self.byte()?;
        let low = first & 0x3f;
        Ok(match first >> 6 {
            length::SIX_BITS => Length::Plain(u64::from(low)),
            length::FOURTEEN_BITS => Length::Plain(u64::from(low) << 8 | u64::from(self.byte()?)),
            length::ENCODED => Length::Encoded(low),
            _ if first == length::FOUR_BYTES => Length::Plain(u64::from(u32::from_be_bytes(self.array()?))),
            _ if first == length::EIGHT_BYTES => Length::Plain(u64::from_be_bytes(self.array()?)),
            _ => return Err(LoadError::Data),
        })
    }

    pub(super) fn length(&mut self) -> Result<u64> {
        match self.length_or_encoding()? {
            Length::Plain(len) => Ok(len),
            Length::Encoded(_) => Err(LoadError::Data),
        }
    }

    /// A length in bytes.
    pub(super) fn size(&mut self) -> Result<usize> {
        usize::try_from(self.length()?).map_err(|_| LoadError::Data)
    }

    /// A number of elements, of which each takes a byte at least. There are none without elements.
    fn count(&mut self) -> Result<usize> {
        let count = self.size()?;
        if count == 0 || count > self.bytes.len() { Err(LoadError::Data) } else { Ok(count) }
    }

    pub(super) fn string(&mut self) -> Result<Bytes> {
        let integer = match self.length_or_encoding()? {
            Length::Plain(len) => return self.take(usize::try_from(len).map_err(|_| LoadError::Data)?),
            Length::Encoded(encoded::INT8) => i64::from(i8::from_le_bytes(self.array()?)),
            Length::Encoded(encoded::INT16) => i64::from(i16::from_le_bytes(self.array()?)),
            Length::Encoded(encoded::INT32) => i64::from(i32::from_le_bytes(self.array()?)),
            Length::Encoded(encoded::LZF) => {
                let (compressed, len) = (self.size()?, self.size()?);
                let compressed = self.take(compressed)?;
                self.decompressed = self.decompressed.saturating_add(len);
                if self.decompressed > limits::RDB_VALUE_BYTES_MAX {
                    return Err(LoadError::Data);
                }
                return Ok(lzf::decompress(&compressed, len)?.into());
            }
            Length::Encoded(_) => return Err(LoadError::Data),
        };
        Ok(Bytes::copy_from_slice(itoa::Buffer::new().format(integer).as_bytes()))
    }

    /// As many elements as are announced, each read by `read`.
    fn many<T>(&mut self, read: impl Fn(&mut Reader) -> Result<T>) -> Result<Vec<T>> {
        let count = self.count()?;
        (0..count).map(|_| read(self)).collect()
    }

    fn value(&mut self, kind: u8) -> Result<Value> {
        match kind {
            kind::STRING => self.string().map(Value::String),
            kind::LIST => self.many(Reader::string).map(Value::List),
            kind::LIST_ZIPLIST => list(read_ziplist(&self.string()?)?),
            kind::LIST_QUICKLIST => {
                let nodes = self.many(|reader| read_ziplist(&reader.string()?))?;
                list(nodes.concat())
            }
            kind::LIST_QUICKLIST_2 => {
                let nodes = self.many(|reader| match reader.length()? {
                    node::PLAIN => Ok(vec![reader.string()?]),
                    node::PACKED => read_listpack(&reader.string()?),
                    _ => Err(LoadError::Data),
                })?;
                list(nodes.concat())
            }
            kind::SET => set(self.many(Reader::string)?),
            kind::SET_INTSET => set(read_intset(&self.string()?)?),
            kind::HASH => hash(self.many(|reader| Ok((reader.string()?, reader.string()?)))?),
            kind::HASH_ZIPMAP => hash(pairs(read_zipmap(&self.string()?)?)?),
            kind::HASH_ZIPLIST => hash(pairs(read_ziplist(&self.string()?)?)?),
            kind::HASH_LISTPACK => hash(pairs(read_listpack(&self.string()?)?)?),
            kind::SORTED_SET => sorted_set(self.many(|reader| Ok((reader.string()?, reader.text_score()?)))?),
            kind::SORTED_SET_2 => {
                sorted_set(self.many(|reader| Ok((reader.string()?, f64::from_le_bytes(reader.array()?))))?)
            }
            kind::SORTED_SET_ZIPLIST => scored(read_ziplist(&self.string()?)?),
            kind::SORTED_SET_LISTPACK => scored(read_listpack(&self.string()?)?),
            kind::STREAM_LISTPACKS | kind::STREAM_LISTPACKS_2 => {
                stream::read(self, kind == kind::STREAM_LISTPACKS_2).map(Value::Stream)
            }
            _ => Err(LoadError::Data),
        }
    }

    /// A score as text, with a length of one byte of which the highest three mean something else.
    fn text_score(&mut self) -> Result<f64> {
        match self.byte()? {
            0xff => Ok(f64::NEG_INFINITY),
            0xfe => Ok(f64::INFINITY),
            0xfd => Err(LoadError::Data),
            len => number::parse_f64(&self.take(usize::from(len))?).ok_or(LoadError::Data),
        }
    }
}

fn list(elements: Vec<Bytes>) -> Result<Value> {
    if elements.is_empty() { Err(LoadError::Data) } else { Ok(Value::List(elements)) }
}

fn set(members: Vec<Bytes>) -> Result<Value> {
    check_names(members.iter())?;
    Ok(Value::Set(members))
}

fn hash(fields: Vec<(Bytes, Bytes)>) -> Result<Value> {
    check_names(fields.iter().map(|(field, _)| field))?;
    Ok(Value::Hash(fields))
}

fn sorted_set(members: Vec<(Bytes, f64)>) -> Result<Value> {
    check_names(members.iter().map(|(member, _)| member))?;
    if members.iter().any(|(_, score)| score.is_nan()) {
        return Err(LoadError::Data);
    }
    Ok(Value::SortedSet(members))
}

/// Members and scores by turns.
fn scored(entries: Vec<Bytes>) -> Result<Value> {
    let score = |(member, score): (Bytes, Bytes)| Ok((member, number::parse_f64(&score).ok_or(LoadError::Data)?));
    sorted_set(pairs(entries)?.into_iter().map(score).collect::<Result<_>>()?)
}

fn pairs(entries: Vec<Bytes>) -> Result<Vec<(Bytes, Bytes)>> {
    if entries.len() % 2 == 1 {
        return Err(LoadError::Data);
    }
    let mut entries = entries.into_iter();
    let mut pairs = Vec::with_capacity(entries.len() / 2);
    while let (Some(first), Some(second)) = (entries.next(), entries.next()) {
        pairs.push((first, second));
    }
    Ok(pairs)
}

/// There is one at least, and none twice.
fn check_names<'e>(names: impl Iterator<Item = &'e Bytes>) -> Result<()> {
    let mut names: Vec<&Bytes> = names.collect();
    names.sort_unstable();
    let is_repeated = names.windows(2).any(|pair| pair[0] == pair[1]);
    if names.is_empty() || is_repeated { Err(LoadError::Data) } else { Ok(()) }
}
