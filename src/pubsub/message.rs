//! A published message, as subscribers get it.

use bytes::Bytes;

use crate::observe::Mail;
use crate::resp::ReplyBuffer;

/// A message, shared by all who get it.
#[derive(Debug)]
pub struct Message {
    /// The pattern that it came by.
    pub pattern: Option<Bytes>,
    pub is_shard: bool,
    pub channel: Bytes,
    pub payload: Bytes,
}

impl Mail for Message {
    fn bytes(&self) -> usize {
        const FRAME: usize = 64;
        FRAME + self.pattern.as_ref().map_or(0, Bytes::len) + self.channel.len() + self.payload.len()
    }

    fn write(&self, reply: &mut ReplyBuffer) {
        let kind: &[u8] = match (&self.pattern, self.is_shard) {
            (Some(_), _) => b"pmessage",
            (None, true) => b"smessage",
            (None, false) => b"message",
        };
        let parts = [Some(kind), self.pattern.as_deref(), Some(&self.channel), Some(&self.payload)];
        reply.push(parts.iter().flatten().count());
        parts.into_iter().flatten().for_each(|part| reply.bulk(part));
    }
}
