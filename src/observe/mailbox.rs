//! A client's mailbox: published messages and MONITOR's lines that wait until its connection sends them, bounded in bytes.
//! It must never make anyone wait who puts something in.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::Client;
use crate::planted;
use crate::resp::ReplyBuffer;

/// What waits in a mailbox, shared by all who get it.
pub trait Mail: fmt::Debug + Send + Sync {
    /// What it weighs: about its length on the wire.
    fn bytes(&self) -> usize;

    fn write(&self, reply: &mut ReplyBuffer);
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Arc<dyn Mail>>,
    bytes: usize,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Mailbox {
    pub client: Arc<Client>,
    waiting: Mutex<Waiting>,
}

impl Mailbox {
    pub fn new(client: Arc<Client>) -> Mailbox {
        Mailbox { client, waiting: Mutex::default() }
    }

    /// Puts a message in and wakes the connection. If with it more than `bytes_max` (0: no limit) would wait for the
    /// client, here and in its connection, the client is dropped instead.
    pub fn post(&self, message: Arc<dyn Mail>, bytes_max: u64) {
        if self.client.is_killed() {
            return;
        }
        let mut waiting = self.waiting.lock();
        if planted::is("message-is-lost") && waiting.messages.len() >= 2 {
            return;
        }
        waiting.bytes += message.bytes();
        waiting.messages.push_back(message);
        let (is_first, bytes) = (waiting.messages.len() == 1, waiting.bytes as u64);
        let is_too_much = bytes_max > 0 && bytes + self.client.output_buffer_bytes.load(Ordering::Relaxed) > bytes_max;
        if is_too_much {
            *waiting = Waiting::default();
        }
        self.client.mailbox_bytes.store(waiting.bytes as u64, Ordering::Relaxed);
        drop(waiting);
        if is_too_much {
            tracing::warn!(client = self.client.id, bytes, "client dropped: output buffer limit reached");
            self.client.kill();
        } else if is_first {
            self.client.wake();
        }
    }

    pub fn has_mail(&self) -> bool {
        self.client.mailbox_bytes.load(Ordering::Acquire) > 0
    }

    /// Writes what waits, until `reply` holds `bytes_max`.
    pub fn take(&self, reply: &mut ReplyBuffer, bytes_max: usize) {
        let mut waiting = self.waiting.lock();
        while reply.len() < bytes_max
            && let Some(message) = match planted::is("message-overtakes") {
                true => waiting.messages.pop_back(),
                false => waiting.messages.pop_front(),
            }
        {
            waiting.bytes -= message.bytes();
            message.write(reply);
        }
        if waiting.messages.is_empty() {
            // An idle mailbox holds no buffer.
            waiting.messages = VecDeque::new();
        }
        self.client.mailbox_bytes.store(waiting.bytes as u64, Ordering::Release);
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.client.mailbox_bytes.store(0, Ordering::Relaxed);
    }
}
