//! Publish/subscribe, on the network side alone: who listens to what. Messages wait in their subscribers' mailboxes for the
//! connections that are to send them. It works at full speed whatever storage does.
//!
//! A publisher never waits for a subscriber: a message goes into mailboxes, and a client whose mailbox grows beyond
//! `client-output-buffer-limit pubsub` is dropped. All messages have one order, the same for every subscriber.

mod message;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::channel::{Announcement, KeyEventQueue};
use crate::config::LiveConfig;
use crate::glob;
use crate::keyspace::{EventMask, KeyEvent, Publication};
use crate::limits;
use crate::observe::Mailbox;
use message::Message;

/// What can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    Channel,
    /// All channels that match.
    Pattern,
    /// A channel of SPUBLISH, a world of its own.
    Shard,
}

/// The mailboxes of those who listen to one channel or pattern, by client id: also the order of delivery.
type Listeners = BTreeMap<u64, Arc<Mailbox>>;

/// Who listens to what. One lock: a publisher holds it while it fills mailboxes, which waits for nobody, and so every
/// subscriber sees messages in the same order.
#[derive(Debug, Default)]
struct Topics([BTreeMap<Bytes, Listeners>; 3]);

impl Topics {
    fn of(&mut self, topic: Topic) -> &mut BTreeMap<Bytes, Listeners> {
        &mut self.0[topic as usize]
    }

    fn remove(&mut self, topic: Topic, name: &[u8], id: u64) {
        let names = self.of(topic);
        if let Some(listeners) = names.get_mut(name) {
            listeners.remove(&id);
            if listeners.is_empty() {
                names.remove(name);
            }
        }
    }
}

/// The switchboard of one server.
#[derive(Debug)]
pub struct Registry {
    topics: Mutex<Topics>,
    config: Arc<LiveConfig>,
}

impl Registry {
    pub fn new(config: Arc<LiveConfig>) -> Registry {
        Registry { topics: Mutex::default(), config }
    }

    /// PUBLISH. Returns how many subscriptions it reached: a client counts once for its channel and once for each of
    /// its patterns that match.
    pub fn publish(&self, channel: &[u8], payload: &[u8]) -> usize {
        let mut topics = self.topics.lock();
        // Copied once for all, and only if anyone listens: what came from a socket lies in a bigger buffer.
        let mut copy = None;
        let mut message = |pattern: Option<&Bytes>| {
            let (channel, payload) =
                copy.get_or_insert_with(|| (Bytes::copy_from_slice(channel), Bytes::copy_from_slice(payload))).clone();
            Arc::new(Message { pattern: pattern.cloned(), is_shard: false, channel, payload })
        };
        let mut reached = 0;
        if let Some(listeners) = topics.of(Topic::Channel).get(channel) {
            reached += self.deliver(listeners, message(None));
        }
        for (pattern, listeners) in topics.of(Topic::Pattern).iter() {
            if glob::matches(pattern, channel) {
                reached += self.deliver(listeners, message(Some(pattern)));
            }
        }
        reached
    }

    /// SPUBLISH.
    pub fn publish_shard(&self, channel: &[u8], payload: &[u8]) -> usize {
        let mut topics = self.topics.lock();
        let Some((channel, listeners)) = topics.of(Topic::Shard).get_key_value(channel) else { return 0 };
        let (channel, payload) = (channel.clone(), Bytes::copy_from_slice(payload));
        self.deliver(listeners, Arc::new(Message { pattern: None, is_shard: true, channel, payload }))
    }

    fn deliver(&self, listeners: &Listeners, message: Arc<Message>) -> usize {
        let bytes_max = self.config.current().network.output_limits.pubsub.hard_bytes;
        listeners.values().for_each(|mailbox| mailbox.post(message.clone(), bytes_max));
        listeners.len()
    }

    /// PUBSUB CHANNELS and SHARDCHANNELS: the channels with subscribers that match.
    pub fn names(&self, topic: Topic, pattern: Option<&[u8]>) -> Vec<Bytes> {
        let mut topics = self.topics.lock();
        let wanted = |name: &&Bytes| pattern.is_none_or(|pattern| glob::matches(pattern, name));
        topics.of(topic).keys().filter(wanted).cloned().collect()
    }

    /// PUBSUB NUMSUB and SHARDNUMSUB.
    pub fn subscribers(&self, topic: Topic, name: &[u8]) -> usize {
        self.topics.lock().of(topic).get(name).map_or(0, BTreeMap::len)
    }

    /// How many different ones have subscribers.
    pub fn count(&self, topic: Topic) -> usize {
        self.topics.lock().of(topic).len()
    }

    /// How many subscriptions PUBLISH would reach now.
    pub fn reach(&self, channel: &[u8]) -> usize {
        let mut topics = self.topics.lock();
        let direct = topics.of(Topic::Channel).get(channel).map_or(0, BTreeMap::len);
        let patterns = topics.of(Topic::Pattern).iter().filter(|(pattern, _)| glob::matches(pattern, channel));
        direct + patterns.map(|(_, listeners)| listeners.len()).sum::<usize>()
    }

    /// Publishes keyspace notifications, and what scripts publish, as they come out of commits, for as long as the server lives.
    pub async fn publish_events(self: Arc<Self>, queue: Arc<KeyEventQueue>) {
        loop {
            let events = queue.next().await;
            let mask = EventMask::parse(&self.config.current().commands.keyspace_events);
            for announcement in &events {
                match announcement {
                    Announcement::Event(event) => self.publish_event(event, mask),
                    Announcement::Publication(Publication { channel, payload, is_shard: false }) => {
                        self.publish(channel, payload);
                    }
                    Announcement::Publication(Publication { channel, payload, is_shard: true }) => {
                        self.publish_shard(channel, payload);
                    }
                }
            }
            take_turns().await;
        }
    }

    fn publish_event(&self, event: &KeyEvent, mask: EventMask) {
        let channel = |kind: &str, rest: &[u8]| [format!("__{kind}@{}__:", event.db).as_bytes(), rest].concat();
        if mask.keyspace {
            self.publish(&channel("keyspace", &event.key), event.name.as_bytes());
        }
        if mask.keyevent {
            self.publish(&channel("keyevent", event.name.as_bytes()), &event.key);
        }
    }
}

/// Lets others run that wait for this thread.
async fn take_turns() {
    let mut has_yielded = false;
    poll_fn(|context| match std::mem::replace(&mut has_yielded, true) {
        true => Poll::Ready(()),
        false => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

/// One client's subscriptions. Gone, it listens to nothing any more.
#[derive(Debug)]
pub struct Subscriber {
    registry: Arc<Registry>,
    mailbox: Arc<Mailbox>,
    /// And which subscription each was, counted from the first on: PUNSUBSCRIBE tells of them in that order.
    names: [BTreeMap<Bytes, u64>; 3],
    made: u64,
}

impl Subscriber {
    /// Of the client whose mailbox this is.
    pub fn new(registry: Arc<Registry>, mailbox: Arc<Mailbox>) -> Subscriber {
        Subscriber { registry, mailbox, names: Default::default(), made: 0 }
    }

    /// Listens from now on. `false`: there are too many subscriptions to add this one.
    #[must_use]
    pub fn subscribe(&mut self, topic: Topic, name: &[u8]) -> bool {
        if self.names[topic as usize].contains_key(name) {
            return true;
        }
        if self.names.iter().map(BTreeMap::len).sum::<usize>() >= limits::SUBSCRIPTIONS_MAX {
            return false;
        }
        let name = Bytes::copy_from_slice(name);
        self.names[topic as usize].insert(name.clone(), self.made);
        self.made += 1;
        let id = self.mailbox.client.id;
        self.registry.topics.lock().of(topic).entry(name).or_default().insert(id, self.mailbox.clone());
        self.tell_client();
        true
    }

    /// Listens no more.
    pub fn unsubscribe(&mut self, topic: Topic, name: &[u8]) {
        if self.names[topic as usize].remove(name).is_some() {
            self.registry.topics.lock().remove(topic, name, self.mailbox.client.id);
            self.tell_client();
        }
    }

    /// What it listens to, the oldest subscription first.
    pub fn names(&self, topic: Topic) -> Vec<Bytes> {
        let mut names: Vec<_> = self.names[topic as usize].iter().collect();
        names.sort_unstable_by_key(|(_, made)| **made);
        names.into_iter().map(|(name, _)| name.clone()).collect()
    }

    /// How many there are, as the replies to the commands for `topic` count them: shard channels apart from all others.
    pub fn count(&self, topic: Topic) -> usize {
        let len = |topic: Topic| self.names[topic as usize].len();
        match topic {
            Topic::Shard => len(Topic::Shard),
            Topic::Channel | Topic::Pattern => len(Topic::Channel) + len(Topic::Pattern),
        }
    }

    pub fn is_idle(&self) -> bool {
        self.names.iter().all(BTreeMap::is_empty)
    }

    /// For CLIENT LIST.
    fn tell_client(&self) {
        let len = |topic: Topic| self.names[topic as usize].len() as u64;
        self.mailbox.client.subscriptions.set(len(Topic::Channel), len(Topic::Pattern), len(Topic::Shard));
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let mut topics = self.registry.topics.lock();
        for topic in [Topic::Channel, Topic::Pattern, Topic::Shard] {
            for name in self.names[topic as usize].keys() {
                topics.remove(topic, name, self.mailbox.client.id);
            }
        }
        drop(topics);
        self.mailbox.client.subscriptions.set(0, 0, 0);
    }
}
