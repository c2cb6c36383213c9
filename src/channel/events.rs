//! The other way across: keyspace notifications, from commits and reads to the network side, which publishes them. In
//! the order of commits, after them, and without making the writer wait: past a bound they are dropped and counted.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::keyspace::KeyEvent;
use crate::limits;
use crate::observe::Counter;

/// Events on their way.
#[derive(Debug, Default)]
pub struct KeyEventQueue {
    waiting: Mutex<VecDeque<KeyEvent>>,
    arrived: Notify,
    /// How many were lost because the network side did not keep up.
    pub dropped: Counter,
}

impl KeyEventQueue {
    /// Hands over the events of one commit.
    pub fn push(&self, events: Vec<KeyEvent>) {
        if events.is_empty() {
            return;
        }
        let mut waiting = self.waiting.lock();
        if waiting.len() + events.len() > limits::KEY_EVENTS_WAITING_MAX {
            return self.dropped.add(events.len() as u64);
        }
        waiting.extend(events);
        drop(waiting);
        self.arrived.notify_one();
    }

    /// The oldest that wait, once there are any: a bounded number.
    pub async fn next(&self) -> VecDeque<KeyEvent> {
        loop {
            let events = self.take();
            if !events.is_empty() {
                return events;
            }
            self.arrived.notified().await;
        }
    }

    fn take(&self) -> VecDeque<KeyEvent> {
        let mut waiting = self.waiting.lock();
        let count = waiting.len().min(limits::KEY_EVENTS_BATCH);
        waiting.drain(..count).collect()
    }
}
