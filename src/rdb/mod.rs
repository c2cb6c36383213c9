//! What DUMP gives and RESTORE takes: one value in the form that Redis 7.0 writes into its RDB files (version 10), with a
//! version and a checksum behind it.
//!
//! It reads what any Redis up to 7.0 wrote, whichever way it kept the value in memory: listpacks, ziplists, zipmaps and
//! intsets, quicklists of both kinds, strings compressed by LZF. It writes what Redis 7.0 would, but compresses nothing.
//!
//! Bytes ↔ values, no I/O. A payload may come from anywhere: every length in it is held against what is there before
//! anything is allocated, and nothing may make this panic.

mod compact;
mod lzf;
mod read;
mod stream;
mod write;

pub use compact::{LISTPACK_EMPTY_LEN, listpack_entry_len, listpack_integer_len};
pub use read::load;
pub use stream::{Stream, StreamConsumer, StreamEntry, StreamGroup, StreamNode, StreamPending};
pub use write::{dump, seal};

use bytes::Bytes;
use crc::{CRC_64_REDIS, Crc};

/// The RDB version of Redis 7.0: what it writes, and the highest it reads.
const VERSION: u16 = 10;
/// Version and checksum.
const FOOTER_LEN: usize = 10;
/// What [`dump`] writes around a value: its type, version and checksum.
pub const AROUND_BYTES: usize = 1 + FOOTER_LEN;

const CRC64: Crc<u64, crc::Table<16>> = Crc::<u64, crc::Table<16>>::new(&CRC_64_REDIS);

/// A value of any type, its elements in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    String(Bytes),
    List(Vec<Bytes>),
    Set(Vec<Bytes>),
    /// Members with their scores, which are never NaN.
    SortedSet(Vec<(Bytes, f64)>),
    /// Fields with their values.
    Hash(Vec<(Bytes, Bytes)>),
    Stream(Stream),
}

/// Why a payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It is of a newer Redis, or damaged.
    #[error("DUMP payload version or checksum are wrong")]
    Footer,
    /// It is of no type that this server has, or contradicts itself.
    #[error("Bad data format")]
    Data,
}

/// The types that an RDB file knows, by their numbers there.
mod kind {
    pub const STRING: u8 = 0;
    pub const LIST: u8 = 1;
    pub const SET: u8 = 2;
    pub const SORTED_SET: u8 = 3;
    pub const HASH: u8 = 4;
    /// Scores as binary doubles.
    pub const SORTED_SET_2: u8 = 5;
    pub const HASH_ZIPMAP: u8 = 9;
    pub const LIST_ZIPLIST: u8 = 10;
    pub const SET_INTSET: u8 = 11;
    pub const SORTED_SET_ZIPLIST: u8 = 12;
    pub const HASH_ZIPLIST: u8 = 13;
    /// A list of ziplists.
    pub const LIST_QUICKLIST: u8 = 14;
    pub const STREAM_LISTPACKS: u8 = 15;
    pub const HASH_LISTPACK: u8 = 16;
    pub const SORTED_SET_LISTPACK: u8 = 17;
    /// A list of listpacks, and of single elements.
    pub const LIST_QUICKLIST_2: u8 = 18;
    /// A stream that knows how many entries were ever added to it, and which were deleted.
    pub const STREAM_LISTPACKS_2: u8 = 19;
}

/// How a length is written: the first two bits of its first byte.
mod length {
    pub const SIX_BITS: u8 = 0;
    pub const FOURTEEN_BITS: u8 = 1;
    /// Not a length but a string in a form of its own.
    pub const ENCODED: u8 = 3;
    pub const FOUR_BYTES: u8 = 0x80;
    pub const EIGHT_BYTES: u8 = 0x81;
}

/// The forms of a string other than as it is.
mod encoded {
    pub const INT8: u8 = 0;
    pub const INT16: u8 = 1;
    pub const INT32: u8 = 2;
    pub const LZF: u8 = 3;
}

/// A quicklist's nodes.
mod node {
    /// One element as it is.
    pub const PLAIN: u64 = 1;
    /// A listpack.
    pub const PACKED: u64 = 2;
}

#[cfg(test)]
mod tests;
