//! The connected clients, as CLIENT LIST, CLIENT KILL and CLIENT PAUSE see them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::resp::Protocol;

/// What others may see of a connection. The connection updates it once a batch.
#[derive(Debug)]
pub struct Client {
    pub id: u64,
    /// The peer: `127.0.0.1:51234`, or the socket's path and `:0`.
    pub address: String,
    /// Our side of the connection.
    pub local_address: String,
    /// On the monotonic clock.
    pub connected_at: Duration,
    facts: Mutex<ClientFacts>,
    /// Milliseconds on the monotonic clock of the last command.
    pub last_active_ms: AtomicU64,
    /// Bytes in the read buffer.
    pub query_buffer_bytes: AtomicU64,
    /// Bytes of replies that wait for the socket.
    pub output_buffer_bytes: AtomicU64,
    /// Commands so far.
    pub commands: AtomicU64,
    /// Milliseconds on the monotonic clock by which its request must be answered; 0: none is under way.
    pub deadline_ms: AtomicU64,
    /// Since when its output buffer has been above the soft limit, as `deadline_ms`; 0: it is not.
    pub over_soft_limit_since_ms: AtomicU64,
    pub subscriptions: Subscriptions,
    /// It is shown what others do (MONITOR).
    pub is_monitor: AtomicBool,
    /// Bytes of published messages and monitored commands that wait for its connection.
    pub mailbox_bytes: AtomicU64,
    /// It has closed its side, or the server drains: nothing need wait for it any more.
    leaving: AtomicBool,
    killed: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// How much a client listens to.
#[derive(Debug, Default)]
pub struct Subscriptions {
    channels: AtomicU64,
    patterns: AtomicU64,
    shard_channels: AtomicU64,
}

impl Subscriptions {
    pub fn set(&self, channels: u64, patterns: u64, shard_channels: u64) {
        self.channels.store(channels, Ordering::Relaxed);
        self.patterns.store(patterns, Ordering::Relaxed);
        self.shard_channels.store(shard_channels, Ordering::Relaxed);
    }

    /// Channels, patterns, shard channels.
    pub fn get(&self) -> [u64; 3] {
        [&self.channels, &self.patterns, &self.shard_channels].map(|count| count.load(Ordering::Relaxed))
    }

    pub fn any(&self) -> bool {
        self.get() != [0; 3]
    }
}

/// The facts of a client that change rarely.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientFacts {
    /// CLIENT SETNAME
    pub name: String,
    /// CLIENT SETINFO LIB-NAME
    pub library_name: String,
    /// CLIENT SETINFO LIB-VER
    pub library_version: String,
    pub db: usize,
    pub protocol: Protocol,
    /// The last command's name, `client|list` for subcommands.
    pub last_command: Option<&'static str>,
    /// The container of the last command, if it was a subcommand.
    pub last_container: Option<&'static str>,
    /// CLIENT NO-EVICT
    pub no_evict: bool,
    /// Commands queued since MULTI.
    pub queued: Option<usize>,
    /// It waits in a blocking command. Kept by whoever it waits with.
    pub blocked: bool,
    /// CLIENT UNBLOCK: its connection ends the wait, and clears this.
    pub unblocked: Option<Unblock>,
}

/// How a blocking command ends that CLIENT UNBLOCK interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unblock {
    /// As if its time had run out.
    Timeout,
    /// With an `UNBLOCKED` error.
    Error,
}

impl Client {
    pub fn facts(&self) -> ClientFacts {
        self.facts.lock().clone()
    }

    pub fn update(&self, change: impl FnOnce(&mut ClientFacts)) {
        change(&mut self.facts.lock());
    }

    /// The path of the Unix socket that it came by, if it did.
    pub fn unix_socket(&self) -> Option<&str> {
        self.address.strip_suffix(":0").filter(|_| self.address.parse::<SocketAddr>().is_err())
    }

    /// RESET.
    pub fn reset(&self) {
        *self.facts.lock() = ClientFacts::default();
    }

    /// CLIENT KILL: the connection closes as soon as it sees it.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.wake();
    }

    /// CLIENT UNBLOCK. Whether it was blocked.
    pub fn unblock(&self, how: Unblock) -> bool {
        let mut facts = self.facts.lock();
        if facts.blocked {
            facts.unblocked = Some(how);
            self.wake();
        }
        facts.blocked
    }

    /// How CLIENT UNBLOCK wants its wait to end, said once.
    pub fn take_unblock(&self) -> Option<Unblock> {
        self.facts.lock().unblocked.take()
    }

    /// Makes its connection look at itself again: it was killed or unblocked, or its deadline has passed.
    pub fn wake(&self) {
        if let Some(waker) = &*self.waker.lock() {
            waker.wake_by_ref();
        }
    }

    /// Names the task of the connection: what [`Client::wake`] wakes.
    pub fn set_waker(&self, waker: &Waker) {
        *self.waker.lock() = Some(waker.clone());
    }

    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }
}

/// Which commands CLIENT PAUSE holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseKind {
    All,
    Write,
}

/// CLIENT PAUSE, while it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// On the monotonic clock.
    pub until: Duration,
    pub kind: PauseKind,
}

/// All connections of a server.
#[derive(Debug, Default)]
pub struct Clients {
    by_id: Mutex<BTreeMap<u64, Arc<Client>>>,
    last_id: AtomicU64,
    pause: Mutex<Option<Pause>>,
    /// Mirrors `pause.is_some()`, so that the request path need not lock.
    maybe_paused: AtomicBool,
    unpaused: Notify,
}

impl Clients {
    /// Registers a new connection under the next id.
    pub fn connect(&self, address: String, local_address: String, now: Duration) -> Arc<Client> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let client = Arc::new(Client {
            id,
            address,
            local_address,
            connected_at: now,
            facts: Mutex::default(),
            last_active_ms: AtomicU64::new(now.as_millis() as u64),
            query_buffer_bytes: AtomicU64::new(0),
            output_buffer_bytes: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            deadline_ms: AtomicU64::new(0),
            over_soft_limit_since_ms: AtomicU64::new(0),
            subscriptions: Subscriptions::default(),
            is_monitor: AtomicBool::new(false),
            mailbox_bytes: AtomicU64::new(0),
            leaving: AtomicBool::new(false),
            killed: AtomicBool::new(false),
            waker: Mutex::new(None),
        });
        self.by_id.lock().insert(id, client.clone());
        client
    }

    pub fn disconnect(&self, id: u64) {
        self.by_id.lock().remove(&id);
    }

    pub fn len(&self) -> usize {
        self.by_id.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn get(&self, id: u64) -> Option<Arc<Client>> {
        self.by_id.lock().get(&id).cloned()
    }

    /// In the order of ids.
    pub fn all(&self) -> Vec<Arc<Client>> {
        self.by_id.lock().values().cloned().collect()
    }

    /// Calls `visit` on each client, in the order of ids. It must be quick: connections wait meanwhile.
    pub fn for_each(&self, visit: impl FnMut(&Arc<Client>)) {
        self.by_id.lock().values().for_each(visit);
    }

    /// CLIENT PAUSE. As in Redis, a longer or stricter pause that is under way is not weakened.
    pub fn pause(&self, until: Duration, kind: PauseKind, now: Duration) {
        let mut pause = self.pause.lock();
        let running = pause.filter(|running| running.until > now);
        let kind = match running {
            Some(Pause { kind: PauseKind::All, .. }) => PauseKind::All,
            _ => kind,
        };
        let until = running.map_or(until, |running| running.until.max(until));
        *pause = Some(Pause { until, kind });
        self.maybe_paused.store(true, Ordering::Release);
    }

    /// CLIENT UNPAUSE.
    pub fn unpause(&self) {
        *self.pause.lock() = None;
        self.maybe_paused.store(false, Ordering::Release);
        self.unpaused.notify_waiters();
    }

    /// The pause that holds at `now`.
    pub fn paused(&self, now: Duration) -> Option<Pause> {
        if !self.maybe_paused.load(Ordering::Acquire) {
            return None;
        }
        self.pause.lock().filter(|pause| pause.until > now)
    }

    /// Resolves at the next CLIENT UNPAUSE.
    pub async fn unpaused(&self) {
        self.unpaused.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_pause_ends_by_itself_and_is_not_weakened_meanwhile() {
        let clients = Clients::default();
        clients.pause(SECOND * 10, PauseKind::All, SECOND);
        clients.pause(SECOND * 5, PauseKind::Write, SECOND);
        assert_eq!(clients.paused(SECOND * 9), Some(Pause { until: SECOND * 10, kind: PauseKind::All }));
        assert_eq!(clients.paused(SECOND * 10), None);
        clients.pause(SECOND * 12, PauseKind::Write, SECOND * 11);
        assert_eq!(clients.paused(SECOND * 11), Some(Pause { until: SECOND * 12, kind: PauseKind::Write }));
        clients.unpause();
        assert_eq!(clients.paused(SECOND * 11), None);
    }

    #[test]
    fn ids_grow_and_the_list_is_in_their_order() {
        let clients = Clients::default();
        let ids: Vec<u64> = (0..3).map(|_| clients.connect("a".into(), "b".into(), Duration::ZERO).id).collect();
        clients.disconnect(ids[1]);
        assert_eq!(clients.all().iter().map(|client| client.id).collect::<Vec<_>>(), [ids[0], ids[2]]);
    }
}
