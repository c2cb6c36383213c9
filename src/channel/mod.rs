//! The only crossing between the two runtimes: requests one way, through a bounded queue; replies back, through one
//! [`slot`] per request, and keyspace notifications.
//!
//! It never decides what a request does, never touches the engine, and never lets a request be answered twice or not
//! at all. The queue outlives the storage runtime: while storage restarts, requests wait in it (or are withdrawn).

mod breaker;
mod client;
mod events;
mod gate;
mod received;
pub mod slot;
mod waiters;

use breaker::Breaker;
pub use breaker::BreakerState;
pub use client::{GaveUp, InFlight, Outgoing, StorageClient, Submitted};
pub use events::{Announcement, KeyEventQueue};
pub use gate::{Epoch, Gate, Tenure};
pub use received::Received;
pub use waiters::{Parked, Turn, Waiter, Waiters};

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{Mutex, OwnedSemaphorePermit, mpsc};
use uuid::Uuid;

use crate::engine::EngineError;
use crate::keyspace::{CommandError, Operation, WatchSet};
use crate::observe::{Client, CommandCounters, ServerStats};
use crate::resp::{CommandArgs, Protocol};
use slot::Responder;

/// Identifies a request across both runtimes, in logs, and in retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub Uuid);

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// One command of a request.
#[derive(Debug)]
pub struct StorageCommand {
    /// The command's full name, for logs.
    pub name: &'static str,
    pub counters: Arc<CommandCounters>,
    /// Its row is flagged fast.
    pub is_fast: bool,
    /// MONITOR shows it.
    pub is_shown: bool,
    pub operation: Box<dyn Operation>,
    /// What the client sent, for the slow log and monitors.
    pub args: CommandArgs,
    /// The logical database it runs in.
    pub db: usize,
    pub protocol: Protocol,
    /// The reply is not wanted (CLIENT REPLY OFF).
    pub silent: bool,
}

impl StorageCommand {
    /// The same command, but it runs something else.
    pub fn with_operation(&self, operation: Box<dyn Operation>) -> StorageCommand {
        StorageCommand { counters: self.counters.clone(), args: self.args.clone(), operation, ..*self }
    }
}

/// One step of a pipeline.
#[derive(Debug)]
pub enum Step {
    Run(StorageCommand),
    /// The only step of its request: a command that may wait for a key.
    Wait(Arc<StorageCommand>),
    /// A reply that the network side knew already, in its place among the others.
    Reply(Bytes),
    /// EXEC.
    Exec(Transaction),
}

/// The commands of a transaction: they run one after the other with nothing in between, and are on disk all or none.
#[derive(Debug)]
pub struct Transaction {
    /// [`Step::Run`]s, and [`Step::Reply`]s for commands whose reply is known already.
    pub steps: Vec<Step>,
    /// If one of these keys was touched, none of the commands runs.
    pub watches: Option<WatchSet>,
    pub protocol: Protocol,
    /// The reply is not wanted.
    pub silent: bool,
    /// The network side puts the reply together from its parts: some of its commands run there. It is also who shows them to
    /// monitors.
    pub in_parts: bool,
    /// EXEC as the client sent it, and the database in which it did: for monitors.
    pub exec: CommandArgs,
    pub db: usize,
}

/// A pipeline on its way to the storage runtime.
pub struct StorageRequest {
    pub id: RequestId,
    /// Who sent it.
    pub client: Arc<Client>,
    pub steps: Arc<Vec<Step>>,
    /// Steps before this one were done by an earlier request.
    pub first: usize,
    /// When it was sent, on the monotonic clock.
    pub sent_at: Duration,
    /// On the monotonic clock. A request that has not started by then never starts.
    pub deadline: Duration,
    /// Where replies are written; comes back in the response.
    pub buffer: BytesMut,
    pub responder: Responder<StorageResponse>,
    /// Its share of `channel-max-bytes`, held until the request ends.
    pub share: OwnedSemaphorePermit,
}

/// What the storage runtime answers.
#[derive(Debug)]
pub struct StorageResponse {
    /// The engine refused the group, and this is why: the replies say so too.
    pub engine_error: Option<EngineError>,
    /// The replies, encoded.
    pub replies: BytesMut,
    /// The first step that was not run: less than all when the replies reached their size limit. The rest has to be
    /// sent again.
    pub next_step: usize,
    /// When storage was done with it, on the monotonic clock.
    pub finished_at: Duration,
    /// Of a transaction that is answered in parts and did run: where the reply of each of its steps ends.
    pub parts: Option<Vec<usize>>,
    /// To be kept until the client has the replies.
    pub reply_shares: Vec<ReplyShare>,
}

/// A large reply's share of `large-replies-max-bytes`, until it is dropped.
#[derive(Debug)]
pub struct ReplyShare {
    stats: Arc<ServerStats>,
    bytes: u64,
}

impl ReplyShare {
    /// Room for a reply of `bytes`, if large replies do not take more than `most` together with it. A single one gets it,
    /// whatever its size.
    pub fn take(stats: &Arc<ServerStats>, bytes: usize, most: usize) -> Option<ReplyShare> {
        let share = ReplyShare { stats: stats.clone(), bytes: bytes as u64 };
        let taken = &stats.channel.large_reply_bytes;
        taken.add(share.bytes);
        let others = taken.get().saturating_sub(share.bytes);
        (others == 0 || others + share.bytes <= most as u64).then_some(share)
    }
}

impl Drop for ReplyShare {
    fn drop(&mut self) {
        self.stats.channel.large_reply_bytes.subtract(self.bytes);
    }
}

/// The receiving ends, which the storage runtime borrows. They outlive it.
#[derive(Clone)]
pub struct MessageChannel {
    /// Requests with a write in them, in order, for the writer.
    pub writes: Arc<Mutex<mpsc::Receiver<StorageRequest>>>,
    /// Requests that only read, for the readers.
    pub reads: Arc<Mutex<mpsc::Receiver<StorageRequest>>>,
    /// Which writer may have effects.
    pub gate: Arc<Gate>,
    /// What writers have taken from the queue and not begun.
    pub received: Received,
    breaker: Arc<Breaker>,
}

/// The sending ends; see [`StorageClient`].
#[derive(Clone, Debug)]
struct Senders {
    writes: mpsc::Sender<StorageRequest>,
    reads: mpsc::Sender<StorageRequest>,
}

impl MessageChannel {
    /// Each of the two queues holds `capacity` requests (`channel-capacity`).
    fn new(capacity: usize, breaker: Arc<Breaker>) -> (Senders, MessageChannel) {
        let (writes, writes_end) = mpsc::channel(capacity);
        let (reads, reads_end) = mpsc::channel(capacity);
        let (writes_end, reads_end) = (Arc::new(Mutex::new(writes_end)), Arc::new(Mutex::new(reads_end)));
        let (gate, received) = Default::default();
        let ends = MessageChannel { writes: writes_end, reads: reads_end, gate, received, breaker };
        (Senders { writes, reads }, ends)
    }

    /// Storage knows that it takes no writes: they are refused from now on, but for one now and then that tries.
    pub fn trip_breaker(&self, cause: CommandError) {
        self.breaker.trip(cause);
    }
}
