//! The network side's end of the channel: sends pipelines, keeps their deadlines, and tells the truth about them.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::slot::{Outcome, ReplyReceiver, Withdrawal, slot};
use super::{MessageChannel, RequestId, Senders, Step, StorageRequest, StorageResponse};
use crate::env::{BoxFuture, Clock};
use crate::keyspace::CommandError;
use crate::limits;
use crate::observe::{ChannelMetrics, Client, Counter, ServerStats};

/// Sends requests to the storage runtime. Cheap to clone.
#[derive(Clone)]
pub struct StorageClient {
    shared: Arc<Shared>,
}

struct Shared {
    senders: Senders,
    capacity: usize,
    /// One permit per byte of `channel-max-bytes`.
    bytes: Arc<Semaphore>,
    bytes_max: AtomicUsize,
    /// Connections that wait for room in the channel.
    waiting: AtomicUsize,
    clock: Arc<dyn Clock>,
    stats: Arc<ServerStats>,
}

/// What is to be sent.
pub struct Outgoing {
    pub id: RequestId,
    pub client: Arc<Client>,
    pub steps: Arc<Vec<Step>>,
    pub first: usize,
    /// A step writes.
    pub writes: bool,
    /// What the request weighs against `channel-max-bytes`.
    pub bytes: usize,
    /// Now, on the monotonic clock.
    pub sent_at: Duration,
    pub deadline: Duration,
    pub buffer: BytesMut,
}

/// What came of sending.
pub enum Submitted {
    InFlight(InFlight),
    /// The channel is full: resolves when there was room, or with an error at the deadline.
    Waiting(BoxFuture<'static, Result<InFlight, CommandError>>),
    Refused(CommandError),
}

/// A request that was sent.
pub struct InFlight {
    receiver: ReplyReceiver<StorageResponse>,
    pub sent_at: Duration,
    pub deadline: Duration,
    pub writes: bool,
    /// How it ended was counted.
    ended: bool,
    stats: Arc<ServerStats>,
}

impl StorageClient {
    pub fn new(
        capacity: usize,
        bytes_max: usize,
        clock: Arc<dyn Clock>,
        stats: Arc<ServerStats>,
    ) -> (StorageClient, MessageChannel) {
        let (senders, channel) = MessageChannel::new(capacity);
        let bytes_max = bytes_limit(bytes_max);
        let bytes = Arc::new(Semaphore::new(bytes_max));
        let (bytes_max, waiting) = (AtomicUsize::new(bytes_max), AtomicUsize::new(0));
        let shared = Shared { senders, capacity, bytes, bytes_max, waiting, clock, stats };
        (StorageClient { shared: Arc::new(shared) }, channel)
    }

    /// Requests in the queues: (writes, reads).
    pub fn depth(&self) -> (usize, usize) {
        let Senders { writes, reads } = &self.shared.senders;
        (self.shared.capacity - writes.capacity(), self.shared.capacity - reads.capacity())
    }

    /// How many requests each queue holds at most.
    pub fn capacity(&self) -> usize {
        self.shared.capacity
    }

    /// Bytes of requests that have not ended, and the most there may be.
    pub fn bytes(&self) -> (usize, usize) {
        let bytes_max = self.shared.bytes_max.load(Ordering::Relaxed);
        (bytes_max.saturating_sub(self.shared.bytes.available_permits()), bytes_max)
    }

    /// `channel-max-bytes` changed. More room is there at once; less is taken away as requests end, and until that is done
    /// the future waits.
    pub async fn set_bytes_max(self, bytes_max: usize) {
        let bytes_max = bytes_limit(bytes_max);
        let before = self.shared.bytes_max.swap(bytes_max, Ordering::Relaxed);
        self.shared.bytes.add_permits(bytes_max.saturating_sub(before));
        let surplus = before.saturating_sub(bytes_max) as u32;
        if let Ok(permits) = self.shared.bytes.acquire_many(surplus).await {
            permits.forget();
        }
    }

    /// Connections that wait because the channel is full.
    pub fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::Relaxed)
    }

    /// Sends a request, at once if there is room.
    pub fn submit(&self, outgoing: Outgoing) -> Submitted {
        let weight = self.shared.weight(&outgoing);
        let sender = self.shared.sender(&outgoing);
        let share = match self.shared.bytes.clone().try_acquire_many_owned(weight) {
            Ok(share) => share,
            Err(_) => return self.wait(outgoing),
        };
        match sender.try_reserve() {
            Ok(permit) => {
                let (request, in_flight) = self.shared.package(outgoing, share);
                permit.send(request);
                Submitted::InFlight(in_flight)
            }
            Err(mpsc::error::TrySendError::Full(())) => {
                drop(share);
                self.wait(outgoing)
            }
            Err(mpsc::error::TrySendError::Closed(())) => Submitted::Refused(self.shared.gone()),
        }
    }

    /// Waits for room; meanwhile the connection reads nothing more from its socket. Past a bound of waiting
    /// connections the request is refused at once (R3.2).
    fn wait(&self, outgoing: Outgoing) -> Submitted {
        let shared = self.shared.clone();
        shared.stats.channel.full.add(1);
        if shared.waiting.fetch_add(1, Ordering::Relaxed) >= limits::CHANNEL_WAITERS_MAX {
            shared.waiting.fetch_sub(1, Ordering::Relaxed);
            shared.stats.channel.refused.add(1);
            return Submitted::Refused(CommandError::TryAgain("storage is overloaded, the request was not executed"));
        }
        Submitted::Waiting(Box::pin(async move {
            let _waiting = Waiting(shared.clone());
            let patience = outgoing.deadline.saturating_sub(shared.clock.now());
            let mut timeout = shared.clock.sleep(patience);
            let mut sending = Box::pin(shared.clone().send(outgoing));
            poll_fn(|context| match sending.as_mut().poll(context) {
                Poll::Ready(sent) => Poll::Ready(sent),
                Poll::Pending => timeout.as_mut().poll(context).map(|()| {
                    shared.stats.channel.timed_out.add(1);
                    Err(CommandError::TryAgain("storage is overloaded, the request was not executed in time"))
                }),
            })
            .await
        }))
    }
}

/// What a semaphore can count.
fn bytes_limit(bytes_max: usize) -> usize {
    bytes_max.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize)
}

/// Counts one waiting connection, for as long as it lives.
struct Waiting(Arc<Shared>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    fn sender(&self, outgoing: &Outgoing) -> &mpsc::Sender<StorageRequest> {
        if outgoing.writes { &self.senders.writes } else { &self.senders.reads }
    }

    /// A request heavier than all of the channel passes alone.
    fn weight(&self, outgoing: &Outgoing) -> u32 {
        outgoing.bytes.clamp(1, self.bytes_max.load(Ordering::Relaxed)) as u32
    }

    fn package(&self, outgoing: Outgoing, share: OwnedSemaphorePermit) -> (StorageRequest, InFlight) {
        let (responder, receiver) = slot();
        let Outgoing { id, client, steps, first, writes, sent_at, deadline, buffer, bytes: _ } = outgoing;
        let metrics = &self.stats.channel;
        metrics.sent.add(1);
        metrics.in_flight.add(1);
        metrics.operations.record((steps.len() - first) as u64);
        let request = StorageRequest { id, client, steps, first, sent_at, deadline, buffer, responder, share };
        (request, InFlight { receiver, sent_at, deadline, writes, ended: false, stats: self.stats.clone() })
    }

    async fn send(self: Arc<Self>, outgoing: Outgoing) -> Result<InFlight, CommandError> {
        let share = self.bytes.clone().acquire_many_owned(self.weight(&outgoing)).await.map_err(|_| self.gone())?;
        let permit = self.sender(&outgoing).reserve().await.map_err(|_| self.gone())?;
        let (request, in_flight) = self.package(outgoing, share);
        permit.send(request);
        Ok(in_flight)
    }

    fn gone(&self) -> CommandError {
        self.stats.channel.refused.add(1);
        CommandError::TryAgain("storage is gone, the request was not executed")
    }
}

impl InFlight {
    /// Ready with the response, or with the error that says what may have happened.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<StorageResponse, CommandError>> {
        self.receiver.poll(context).map(|outcome| self.judge(outcome))
    }

    /// The deadline has passed: takes the request back, or says that it may still be executed.
    pub fn expire(&mut self) -> Result<StorageResponse, CommandError> {
        match self.receiver.withdraw() {
            Withdrawal::Ended(outcome) => self.judge(outcome),
            Withdrawal::Withdrawn => {
                self.end(|metrics| &metrics.withdrawn);
                Err(CommandError::TryAgain("storage did not start the request in time, it was not executed"))
            }
            Withdrawal::Started => {
                self.stats.channel.late.add(1);
                self.fail(
                    "storage did not answer in time, the request may have been executed",
                    "storage did not answer the read in time",
                )
            }
        }
    }

    fn judge(&mut self, outcome: Outcome<StorageResponse>) -> Result<StorageResponse, CommandError> {
        match outcome {
            Outcome::Done(response) => {
                self.end(|metrics| &metrics.answered);
                Ok(response)
            }
            Outcome::NotStarted => {
                self.end(|metrics| &metrics.failed);
                Err(CommandError::TryAgain("storage dropped the request, it was not executed"))
            }
            Outcome::InDoubt => self.fail(
                "storage failed while it ran the request, it may have been executed",
                "storage failed while it ran the read",
            ),
        }
    }

    /// It started and its result is not known: of a write that leaves a doubt, of a read nothing.
    fn fail(&mut self, write: &'static str, read: &'static str) -> Result<StorageResponse, CommandError> {
        if self.writes {
            self.end(|metrics| &metrics.in_doubt);
            Err(CommandError::InDoubt(write))
        } else {
            self.end(|metrics| &metrics.failed);
            Err(CommandError::TryAgain(read))
        }
    }

    fn end(&mut self, how: fn(&ChannelMetrics) -> &Counter) {
        how(&self.stats.channel).add(1);
        self.ended = true;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.ended {
            self.stats.channel.abandoned.add(1);
        }
        self.stats.channel.in_flight.subtract(1);
    }
}
