//! Keyspace notifications (`notify-keyspace-events`): what commands say about keys, gathered while a group runs and
//! handed on once it is committed. An operation that fails has said nothing.
//!
//! It must cost nothing while notifications are off, and it never sends anything itself.

use bytes::Bytes;

use super::Keyspace;

/// A class of events, as a letter of `notify-keyspace-events` chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventClass {
    /// `g`: commands on keys of any type, `del` and `expire` among them, whatever the key holds.
    Generic,
    /// `$`
    String,
    /// `l`
    List,
    /// `s`
    Set,
    /// `h`
    Hash,
    /// `z`
    SortedSet,
    /// `x`: a key expired.
    Expired,
    /// `e`: a key was evicted.
    Evicted,
    /// `t`
    Stream,
    /// `m`: a key that was read was not there.
    KeyMiss,
    /// `n`: a key came to be.
    New,
}

impl EventClass {
    const LETTERS: [(u8, EventClass); 11] = [
        (b'g', EventClass::Generic),
        (b'$', EventClass::String),
        (b'l', EventClass::List),
        (b's', EventClass::Set),
        (b'h', EventClass::Hash),
        (b'z', EventClass::SortedSet),
        (b'x', EventClass::Expired),
        (b'e', EventClass::Evicted),
        (b't', EventClass::Stream),
        (b'm', EventClass::KeyMiss),
        (b'n', EventClass::New),
    ];

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// What `notify-keyspace-events` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventMask {
    classes: u16,
    /// `K`: on `__keyspace@<db>__:<key>`.
    pub keyspace: bool,
    /// `E`: on `__keyevent@<db>__:<event>`.
    pub keyevent: bool,
}

impl EventMask {
    /// Reads the directive's letters; `A` stands for all classes but `m` and `n`.
    pub fn parse(letters: &str) -> EventMask {
        let has = |letter| letters.as_bytes().contains(&letter);
        let chosen = EventClass::LETTERS
            .iter()
            .filter(|(letter, _)| has(*letter) || has(b'A') && !matches!(letter, b'm' | b'n'));
        let (keyspace, keyevent) = (has(b'K'), has(b'E'));
        let classes = chosen.map(|(_, class)| class.bit()).sum();
        EventMask { classes: if keyspace || keyevent { classes } else { 0 }, keyspace, keyevent }
    }

    fn wants(self, class: EventClass) -> bool {
        self.classes & class.bit() != 0
    }
}

/// Something that happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEvent {
    /// Logical database.
    pub db: usize,
    /// As Redis names it: `set`, `rename_from`.
    pub name: &'static str,
    pub key: Bytes,
}

/// A message that an operation publishes (PUBLISH in a script), once it is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    pub channel: Bytes,
    pub payload: Bytes,
    /// SPUBLISH
    pub is_shard: bool,
}

/// The events of a group so far.
#[derive(Debug, Default)]
pub(super) struct Notices {
    mask: EventMask,
    events: Vec<KeyEvent>,
    /// So many are of operations that succeeded.
    kept: usize,
    /// What comes behind everything else that the running operation says.
    last: Vec<KeyEvent>,
    publications: Vec<Publication>,
    publications_kept: usize,
}

/// How many events and publications there were at some moment.
pub(super) type NoticesMark = (usize, usize);

impl Notices {
    pub(super) fn keep(&mut self) {
        let (events, publications) = self.mark();
        (self.kept, self.publications_kept) = (events, publications);
    }

    pub(super) fn undo(&mut self) {
        self.undo_to((self.kept, self.publications_kept));
    }

    /// Ends a part of the running operation.
    pub(super) fn mark(&mut self) -> NoticesMark {
        self.events.append(&mut self.last);
        (self.events.len(), self.publications.len())
    }

    /// Takes back what was said since.
    pub(super) fn undo_to(&mut self, (events, publications): NoticesMark) {
        self.last.clear();
        self.events.truncate(events);
        self.publications.truncate(publications);
    }
}

impl Keyspace<'_> {
    /// Turns notifications on: `mask` is what `notify-keyspace-events` asks for.
    pub fn set_event_mask(&mut self, mask: EventMask) {
        self.notices.mask = mask;
    }

    /// Says that `event` happened to `key` of the selected database. Every command that changes a key says so, after
    /// the change, in Redis' word for it.
    pub fn notify(&mut self, class: EventClass, event: &'static str, key: &Bytes) {
        self.notify_in_db(self.db, class, event, key);
    }

    /// As [`Keyspace::notify`], in logical database `db`: MOVE, COPY.
    pub fn notify_in_db(&mut self, db: usize, class: EventClass, event: &'static str, key: &Bytes) {
        if self.notices.mask.wants(class) {
            self.notices.events.push(KeyEvent { db, name: event, key: key.clone() });
        }
    }

    /// As [`Keyspace::notify`], of a read that did not find its key.
    pub(super) fn notify_miss(&mut self, user_key: &[u8]) {
        if self.notices.mask.wants(EventClass::KeyMiss) {
            let key = Bytes::copy_from_slice(user_key);
            self.notices.events.push(KeyEvent { db: self.db, name: "keymiss", key });
        }
    }

    /// As [`Keyspace::notify`], in the database whose physical number is known; nothing if that was flushed.
    pub(super) fn notify_in_physical(
        &mut self,
        physical: crate::layout::PhysicalDb,
        class: EventClass,
        event: &'static str,
        key: &Bytes,
    ) {
        if self.notices.mask.wants(class)
            && let Some(db) = self.databases.logical(physical)
        {
            self.notices.events.push(KeyEvent { db, name: event, key: key.clone() });
        }
    }

    /// As [`Keyspace::notify_in_physical`], behind all else that the running operation will say.
    pub(super) fn notify_at_end(
        &mut self,
        physical: crate::layout::PhysicalDb,
        class: EventClass,
        event: &'static str,
        key: &Bytes,
    ) {
        if self.notices.mask.wants(class)
            && let Some(db) = self.databases.logical(physical)
        {
            self.notices.last.push(KeyEvent { db, name: event, key: key.clone() });
        }
    }

    /// Publishes a message once all this is committed.
    pub fn publish(&mut self, publication: Publication) {
        self.notices.publications.push(publication);
    }

    /// Hands over what was published since the last time. To be sent only once what went with it is committed.
    pub fn take_publications(&mut self) -> Vec<Publication> {
        self.notices.publications_kept = 0;
        std::mem::take(&mut self.notices.publications)
    }

    /// Hands over the events since the last time, in the order in which they happened. To be told to others only once
    /// what caused them is committed.
    pub fn take_key_events(&mut self) -> Vec<KeyEvent> {
        self.notices.kept = 0;
        std::mem::take(&mut self.notices.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_choose_classes_and_without_a_channel_there_is_nothing() {
        for (letters, class, expected) in [
            ("", EventClass::String, false),
            ("A", EventClass::String, false),
            ("AK", EventClass::String, true),
            ("AE", EventClass::Expired, true),
            ("AKE", EventClass::KeyMiss, false),
            ("AKE", EventClass::New, false),
            ("AKEmn", EventClass::New, true),
            ("g$E", EventClass::List, false),
            ("lE", EventClass::List, true),
        ] {
            assert_eq!(EventMask::parse(letters).wants(class), expected, "{letters} {class:?}");
        }
        let mask = EventMask::parse("xE");
        assert!(!mask.keyspace && mask.keyevent);
    }
}
