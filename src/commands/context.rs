//! What a command that runs on the network side may see and change: its own [`Session`], and through it the [`Server`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};

use super::CommandTable;
use super::scripting::Scripting;
use super::table::Call;
use crate::channel::{KeyEventQueue, StorageClient, Waiters};
use crate::config::{ConfigSetError, LiveConfig, Pairs};
use crate::env::{Domain, Env, ShutdownRequest};
use crate::keyspace::{DatabaseMap, KeyspaceStats, Operation, RecordCache, WatchSet, Watches};
use crate::observe::{Client, Clients, HostFacts, Mailbox, Monitor, Report, ServerStats};
use crate::pubsub::{Registry, Subscriber};
use crate::resp::{CommandArgs, Protocol, ReplyBuffer};
use crate::storage::{BackgroundTaskManager, EngineTrouble, MemoryReads, StorageState, Surroundings};

/// What the connection does after a network-side command.
pub enum Next {
    /// The reply is written; go on.
    Done,
    /// What is written goes out even if replies are not wanted (CLIENT REPLY): it is no reply (SUBSCRIBE).
    Pushed,
    /// Send what was written, then close the connection (QUIT).
    Close,
    /// The reply takes time: the connection awaits these bytes (encoded for the session's protocol) and goes on decoding
    /// only after them. Never for anything that a stalled disk could hold up, unless the command is about the disk.
    Wait(Pin<Box<dyn Future<Output = Bytes> + Send>>),
    /// The rest is for storage: it runs this, and the reply is its.
    Storage(Box<dyn Operation>),
    /// EXEC: the connection runs these commands, unless what is watched was touched.
    Exec(Vec<Queued>, Option<WatchSet>),
    /// Nothing is sent: the server is going down and the connection ends with it (SHUTDOWN).
    Shutdown,
}

/// CLIENT REPLY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyMode {
    #[default]
    On,
    Off,
    /// The next command's reply is not sent.
    SkipNext,
    /// This command's reply is not sent; [`ReplyMode::On`] after it.
    Skip,
}

/// A command that waits for EXEC.
#[derive(Debug)]
pub struct Queued {
    pub call: Call,
    pub args: CommandArgs,
}

/// What follows on MULTI.
#[derive(Debug, Default)]
pub struct Transaction {
    pub queue: Vec<Queued>,
    /// Bytes of the arguments in `queue`.
    pub bytes: usize,
    /// A command was refused when it was to be queued: EXEC will refuse them all.
    pub is_aborted: bool,
}

/// One connection's own state. Only its connection touches it; what others may see of it is in [`Client`].
pub struct Session {
    pub server: Arc<Server>,
    pub client: Arc<Client>,
    /// SELECT
    pub db: usize,
    /// HELLO
    pub protocol: Protocol,
    /// AUTH, or no password is required.
    pub authenticated: bool,
    pub reply_mode: ReplyMode,
    /// Where waits what it listens to. Kept once there is one, as the next.
    pub mailbox: Option<Arc<Mailbox>>,
    /// What it listens to.
    pub subscriber: Option<Box<Subscriber>>,
    /// MONITOR
    pub monitor: Option<Monitor>,
    /// MULTI
    pub transaction: Option<Box<Transaction>>,
    /// WATCH
    pub watches: Option<WatchSet>,
    /// What runs is part of a transaction, and may not wait.
    pub denies_blocking: bool,
}

impl Session {
    pub fn new(server: Arc<Server>, client: Arc<Client>) -> Session {
        let authenticated = server.config.current().requirepass().is_empty();
        let (db, protocol, reply_mode) = (0, Protocol::Resp2, ReplyMode::On);
        let (mailbox, subscriber, monitor, transaction, watches) = (None, None, None, None, None);
        let denies_blocking = false;
        Session {
            server,
            client,
            db,
            protocol,
            authenticated,
            reply_mode,
            mailbox,
            subscriber,
            monitor,
            transaction,
            watches,
            denies_blocking,
        }
    }

    /// Its subscriptions, to add to them.
    pub fn subscriber(&mut self) -> &mut Subscriber {
        let mailbox = self.mailbox();
        let new = || Box::new(Subscriber::new(self.server.pubsub.clone(), mailbox));
        self.subscriber.get_or_insert_with(new)
    }

    /// Its mailbox, to have something put into it.
    fn mailbox(&mut self) -> Arc<Mailbox> {
        self.mailbox.get_or_insert_with(|| Arc::new(Mailbox::new(self.client.clone()))).clone()
    }

    /// Whether anything that it listens to waits to be sent.
    pub fn has_mail(&self) -> bool {
        self.mailbox.as_ref().is_some_and(|mailbox| mailbox.has_mail())
    }

    /// Writes what waits in its mailbox, in its order, until `reply` holds `bytes_max` or nothing is left.
    pub fn take_mail(&self, reply: &mut ReplyBuffer, bytes_max: usize) {
        if let Some(mailbox) = &self.mailbox {
            mailbox.take(reply, bytes_max);
        }
    }

    /// Is shown from now on what all clients do. `false`: it is already.
    #[must_use]
    pub fn become_monitor(&mut self) -> bool {
        let mailbox = self.mailbox();
        let is_new = self.monitor.is_none();
        self.monitor.get_or_insert_with(|| Monitor::new(self.server.stats.clone(), mailbox));
        is_new
    }

    /// Whether it listens to anything and speaks a protocol in which it can then do little else.
    pub fn is_subscriber_only(&self) -> bool {
        self.protocol == Protocol::Resp2 && self.subscriber.as_ref().is_some_and(|subscriber| !subscriber.is_idle())
    }

    /// To answer commands from the records in memory, beginning at monotonic time `now`.
    pub fn memory_reads(&self, now: Duration) -> MemoryReads<'_> {
        let server = &*self.server;
        let surroundings = Surroundings {
            env: &server.env,
            config: &server.config,
            stats: &server.stats,
            databases: &server.databases,
        };
        MemoryReads::begin(surroundings, &server.records, &self.client, now)
    }

    /// RESET: as a new connection, except for its id and address.
    pub fn reset(&mut self) {
        // What CLIENT REPLY SKIP took away stays away.
        let reply_mode = if self.reply_mode == ReplyMode::Skip { ReplyMode::Skip } else { ReplyMode::On };
        *self = Session { reply_mode, ..Session::new(self.server.clone(), self.client.clone()) };
        self.client.reset();
    }
}

/// A change of the configuration with consequences for listeners, threads or the engine: the runtime manager makes it, or
/// refuses it as a whole.
pub struct Reconfigure {
    pub pairs: Pairs,
    pub done: oneshot::Sender<Result<(), ConfigSetError>>,
}

/// What all connections share. Everything in it answers without waiting for storage, [`Server::storage`] excepted.
pub struct Server {
    pub env: Env,
    pub config: Arc<LiveConfig>,
    pub commands: CommandTable,
    pub scripting: Scripting,
    pub clients: Clients,
    pub stats: Arc<ServerStats>,
    pub storage: StorageClient,
    pub pubsub: Arc<Registry>,
    /// Keyspace notifications, on their way from storage to `pubsub`.
    pub key_events: Arc<KeyEventQueue>,
    /// Which physical database each logical one is, as last committed.
    pub databases: Arc<ArcSwap<DatabaseMap>>,
    pub keyspace: Arc<KeyspaceStats>,
    /// Records in memory, which reads may be answered from without storage.
    pub records: Arc<RecordCache>,
    pub watches: Arc<Watches>,
    /// Who waits in a blocking command.
    pub waiters: Arc<Waiters>,
    pub shutdown: Arc<ShutdownRequest>,
    /// 40 hexadecimal digits, new at every start (INFO's `run_id`).
    pub run_id: String,
    /// Of the machine, for INFO.
    pub facts: HostFacts,
    /// Asks for the storage side to be started anew (DEBUG RESTART-STORAGE).
    pub storage_restart: Notify,
    /// Reads are for the writer too, so that what they find expired is removed (DEBUG SET-ACTIVE-EXPIRE 0).
    pub reads_expire: AtomicBool,
    /// What has befallen the engine.
    pub trouble: Arc<EngineTrouble>,
    /// What storage does besides answering: seen and steered by BGTASK.
    pub background: Arc<BackgroundTaskManager>,
    /// Asks for a change of the configuration that takes more than taking note of it (CONFIG SET port).
    pub reconfigure: mpsc::Sender<Reconfigure>,
    /// The storage side, while it runs: for its figures. Its engine is not for the network side (R2.1).
    pub storage_state: ArcSwapOption<StorageState>,
    /// Where threads may wait for the disk: CONFIG REWRITE.
    pub storage_domain: Mutex<Arc<dyn Domain>>,
}

impl Server {
    /// Tells the error log.
    pub fn report(&self, report: Report<'_>) {
        self.stats.error_log.report(self.env.clock.now(), report);
    }

    /// Clients that wait in a blocking command, or that CLIENT PAUSE holds up.
    pub fn blocked_clients(&self) -> u64 {
        self.waiters.len() as u64 + self.stats.clients_held.get()
    }
}
