//! Requests that wait for a key: the clients in BLPOP and its like that found nothing. Who came first is served first.
//!
//! A waiting request is queued again, in the words of its [`slot`](super::slot): its client may withdraw it at any time,
//! and whoever serves it must start it before anything is taken out for it. So no element is ever taken for a client that
//! was told that its time is out. The table outlives the storage runtime: a restart loses no waiter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::slot::{Responder, Started};
use super::{StorageCommand, StorageResponse};
use crate::limits;
use crate::observe::Client;
use crate::planted;

/// A key as clients name it: logical database and name.
type WaitedKey = (usize, Bytes);

/// A place in the line: lower is earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn(u64);

/// A request that waits.
pub struct Waiter {
    pub client: Arc<Client>,
    pub command: Arc<StorageCommand>,
    pub responder: Responder<StorageResponse>,
}

/// Everyone who waits.
#[derive(Default)]
pub struct Waiters {
    lines: Mutex<Lines>,
    /// Mirrors how many there are, so that commands need not lock while nobody waits.
    count: AtomicUsize,
    /// Some may have been passed over: a group that served them, or made them wait, did not come to its end.
    overlooked: AtomicBool,
}

#[derive(Default)]
struct Lines {
    next_turn: u64,
    waiters: BTreeMap<Turn, Waiter>,
    turns: BTreeMap<u64, Turn>,
    by_key: BTreeMap<WaitedKey, BTreeSet<Turn>>,
    /// How often a key is waited for.
    keys: usize,
    /// Those that found nothing in a group that has not been committed, and may never be: what that group had taken is
    /// there again then.
    unsettled: BTreeSet<Turn>,
}

/// What came of queueing up.
pub enum Parked {
    /// It waits, and has found nothing if the group that it ran in is committed: see [`Waiters::settle`].
    Waiting(Turn),
    /// The client has gone meanwhile.
    Abandoned,
    /// Too many wait.
    Full(Started<StorageResponse>),
}

impl Waiters {
    /// Puts a request that has started and found nothing at the end of the lines of all its keys.
    pub fn park(&self, started: Started<StorageResponse>, client: Arc<Client>, command: Arc<StorageCommand>) -> Parked {
        let keys = keys_of(&command);
        let mut lines = self.lines.lock();
        if lines.keys + keys.len() > limits::WAITED_KEYS_MAX {
            return Parked::Full(started);
        }
        // Within the lock: a client that withdraws the request removes it from here afterwards.
        let Some(responder) = started.put_back() else { return Parked::Abandoned };
        let turn = Turn(lines.next_turn);
        lines.next_turn += 1;
        lines.insert(turn, Waiter { client, command, responder });
        lines.unsettled.insert(turn);
        self.count.store(lines.waiters.len(), Ordering::Release);
        Parked::Waiting(turn)
    }

    /// The group is committed in which these have found nothing.
    pub fn settle(&self, turns: &[Turn]) {
        if turns.is_empty() {
            return;
        }
        let lines = &mut *self.lines.lock();
        for turn in turns {
            if lines.unsettled.remove(turn)
                && let Some(waiter) = lines.waiters.get(turn)
            {
                waiter.responder.wake();
            }
        }
    }

    /// Those that have found nothing in a group that was not committed.
    pub fn unsettled(&self) -> Vec<Turn> {
        self.lines.lock().unsettled.iter().copied().collect()
    }

    /// What a waiter has sent.
    pub fn command(&self, turn: Turn) -> Option<Arc<StorageCommand>> {
        self.lines.lock().waiters.get(&turn).map(|waiter| waiter.command.clone())
    }

    /// Lets another command wait in a waiter's place, for the same keys.
    pub fn replace(&self, turn: Turn, command: Arc<StorageCommand>) {
        if let Some(waiter) = self.lines.lock().waiters.get_mut(&turn) {
            debug_assert_eq!(keys_of(&waiter.command), keys_of(&command), "invariant: it stays in its lines");
            waiter.command = command;
        }
    }

    /// Takes the waiter out of all lines, to be served, if its command is one that is wanted.
    pub fn take_if(&self, turn: Turn, is_wanted: impl FnOnce(&StorageCommand) -> bool) -> Option<Waiter> {
        let mut lines = self.lines.lock();
        lines.waiters.get(&turn).filter(|waiter| is_wanted(&waiter.command))?;
        let waiter = lines.remove(turn);
        self.count.store(lines.waiters.len(), Ordering::Release);
        waiter
    }

    /// Lets a waiter that was taken wait on, in its old place.
    pub fn give_back(
        &self,
        turn: Turn,
        started: Started<StorageResponse>,
        client: Arc<Client>,
        command: Arc<StorageCommand>,
    ) {
        let mut lines = self.lines.lock();
        if let Some(responder) = started.put_back() {
            lines.insert(turn, Waiter { client, command, responder });
            self.count.store(lines.waiters.len(), Ordering::Release);
        }
    }

    /// Whether the client is in line, and rightly: there was nothing for it.
    pub fn is_waiting(&self, client: u64) -> bool {
        let lines = self.lines.lock();
        lines.turns.get(&client).is_some_and(|turn| !lines.unsettled.contains(turn))
    }

    /// The client waits no more: it has withdrawn its request.
    pub fn forget(&self, client: u64) {
        let mut lines = self.lines.lock();
        if let Some(turn) = lines.turns.get(&client).copied() {
            lines.remove(turn);
        }
        self.count.store(lines.waiters.len(), Ordering::Release);
    }

    /// Someone has to look whether everyone waits rightly.
    pub fn note_overlooked(&self) {
        self.overlooked.store(!self.is_empty(), Ordering::Release);
    }

    pub fn take_overlooked(&self) -> bool {
        self.overlooked.swap(false, Ordering::AcqRel) && !planted::is("overlooked-are-forgotten")
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Who waits for a key, in their order.
    pub fn line(&self, db: usize, key: &Bytes) -> Vec<Turn> {
        let lines = self.lines.lock();
        lines.by_key.get(&(db, key.clone())).map(|turns| turns.iter().copied().collect()).unwrap_or_default()
    }

    /// All keys that are waited for.
    pub fn keys(&self) -> Vec<(usize, Bytes)> {
        self.lines.lock().by_key.keys().cloned().collect()
    }
}

impl Lines {
    fn insert(&mut self, turn: Turn, waiter: Waiter) {
        for key in keys_of(&waiter.command) {
            self.keys += usize::from(self.by_key.entry((waiter.command.db, key.clone())).or_default().insert(turn));
        }
        waiter.client.update(|facts| facts.blocked = true);
        self.turns.insert(waiter.client.id, turn);
        self.waiters.insert(turn, waiter);
    }

    fn remove(&mut self, turn: Turn) -> Option<Waiter> {
        let waiter = self.waiters.remove(&turn)?;
        self.unsettled.remove(&turn);
        waiter.client.update(|facts| facts.blocked = false);
        self.turns.remove(&waiter.client.id);
        for key in keys_of(&waiter.command) {
            let waited = (waiter.command.db, key.clone());
            if let Some(turns) = self.by_key.get_mut(&waited) {
                self.keys -= usize::from(turns.remove(&turn));
                if turns.is_empty() {
                    self.by_key.remove(&waited);
                }
            }
        }
        Some(waiter)
    }
}

fn keys_of(command: &StorageCommand) -> &[Bytes] {
    command.operation.waits().map_or(&[], |wait| wait.keys())
}
