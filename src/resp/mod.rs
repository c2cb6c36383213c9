//! The Redis protocol, RESP2 and RESP3: bytes ↔ commands and replies.
//!
//! Read `decode.rs` for what clients send, `encode.rs` for what they get back, `value.rs` for the client's side.
//! This room must never do I/O, read a clock, or let a length that was only announced decide how much memory is taken.

mod decode;
mod encode;
mod value;

pub use decode::{CommandArgs, DecodeLimits, Decoder, ProtocolError};
pub use encode::{Deferred, ReplyBuffer};
pub use value::{Value, ValueError, encode_command, write_quoted};

/// The version of the protocol a connection's replies are written in, chosen with HELLO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// What every connection starts with.
    #[default]
    Resp2,
    /// With maps, sets, doubles, booleans, pushes and one null.
    Resp3,
}
