//! The other way across: keyspace notifications, and what scripts publish, from commits and reads to the network side, which
//! sends them. In the order of commits, after them, and without making the writer wait: past a bound they are dropped and
//! counted.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::keyspace::{KeyEvent, Keyspace, Publication};
use crate::limits;
use crate::observe::Counter;

/// What is to be published.
#[derive(Debug)]
pub enum Announcement {
    Event(KeyEvent),
    Publication(Publication),
}

/// Events on their way.
#[derive(Debug, Default)]
pub struct KeyEventQueue {
    waiting: Mutex<VecDeque<Announcement>>,
    arrived: Notify,
    /// How many were lost because the network side did not keep up.
    pub dropped: Counter,
}

impl KeyEventQueue {
    /// Hands over all that a commit has to say: its events, then what it publishes.
    pub fn push_all(&self, keyspace: &mut Keyspace<'_>) {
        self.push(keyspace.take_key_events().into_iter().map(Announcement::Event));
        self.push(keyspace.take_publications().into_iter().map(Announcement::Publication));
    }

    /// Hands over the events of reads.
    pub fn push_events(&self, events: Vec<KeyEvent>) {
        self.push(events.into_iter().map(Announcement::Event));
    }

    fn push(&self, announcements: impl ExactSizeIterator<Item = Announcement>) {
        let count = announcements.len();
        if count == 0 {
            return;
        }
        let mut waiting = self.waiting.lock();
        if waiting.len() + count > limits::KEY_EVENTS_WAITING_MAX {
            return self.dropped.add(count as u64);
        }
        waiting.extend(announcements);
        drop(waiting);
        self.arrived.notify_one();
    }

    /// The oldest that wait, once there are any: a bounded number.
    pub async fn next(&self) -> VecDeque<Announcement> {
        loop {
            let events = self.take();
            if !events.is_empty() {
                return events;
            }
            self.arrived.notified().await;
        }
    }

    fn take(&self) -> VecDeque<Announcement> {
        let mut waiting = self.waiting.lock();
        let count = waiting.len().min(limits::KEY_EVENTS_BATCH);
        waiting.drain(..count).collect()
    }
}
