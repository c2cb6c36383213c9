//! The data types: what each does to the values under a key. One file per type, functions over a [`Keyspace`].
//!
//! It must never read a client's words or write a reply: that is the commands' part.
//!
//! [`Keyspace`]: crate::keyspace::Keyspace

pub mod bitmap;
pub mod dump;
mod edges;
pub mod elements;
pub mod geo;
pub mod hash;
pub mod hyperloglog;
pub mod list;
mod partial_sort;
mod segments;
pub mod set;
pub mod sort;
pub mod sorted_set;
pub mod stream;
pub mod stream_group;
mod stream_nodes;
pub mod string;

use crate::keyspace::{Record, Type};

/// What OBJECT ENCODING calls the way Redis would keep this value in memory.
pub fn encoding(record: &Record) -> &'static str {
    match record.kind {
        Type::String => string::encoding(record),
        Type::List => "quicklist",
        Type::Hash | Type::SortedSet if elements::is_compact(record) => "listpack",
        Type::Set if elements::is_compact(record) => "intset",
        Type::Hash | Type::Set => "hashtable",
        Type::SortedSet => "skiplist",
        Type::Stream => "stream",
    }
}
