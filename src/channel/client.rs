//! The network side's end of the channel: sends pipelines, keeps their deadlines, and tells the truth about them.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::breaker::{Breaker, BreakerState, Permit, Verdict};
use super::gate::{Epoch, Gate};
use super::slot::{Outcome, ReplyReceiver, Withdrawal, slot};
use super::{MessageChannel, RequestId, Senders, Step, StorageRequest, StorageResponse};
use crate::config::LiveConfig;
use crate::env::{BoxFuture, Clock, Random};
use crate::failpoints::{self, Failpoint, Fault};
use crate::keyspace::CommandError;
use crate::limits;
use crate::observe::{Category, ChannelMetrics, Client, Counter, Report, ServerStats, Severity, Side};
use crate::planted;

/// Sends requests to the storage runtime. Cheap to clone.
#[derive(Clone)]
pub struct StorageClient {
    shared: Arc<Shared>,
}

struct Shared {
    senders: Senders,
    capacity: usize,
    /// Of reads, and of writes: while writes are stopped and fill their part, reads find theirs.
    lanes: [Lane; 2],
    breaker: Arc<Breaker>,
    gate: Arc<Gate>,
    clock: Arc<dyn Clock>,
    stats: Arc<ServerStats>,
}

/// One queue's part of `channel-max-bytes`.
struct Lane {
    /// One permit per byte.
    bytes: Arc<Semaphore>,
    bytes_max: AtomicUsize,
    /// Connections that wait for room.
    waiting: AtomicUsize,
}

impl Lane {
    fn new(bytes_max: usize) -> Lane {
        let bytes = Arc::new(Semaphore::new(bytes_max));
        Lane { bytes, bytes_max: AtomicUsize::new(bytes_max), waiting: AtomicUsize::new(0) }
    }
}

/// What reads and writes get of `channel-max-bytes`: a read is seldom more than its key.
fn parts_of(bytes_max: usize) -> [usize; 2] {
    let reads = (bytes_max / 4).max(1);
    [reads, bytes_max - bytes_max / 4].map(bytes_limit)
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

/// A request that was sent, until its end.
pub struct InFlight {
    shared: Arc<Shared>,
    /// What it takes to send it again.
    parts: Parts,
    stage: Stage,
    retries: u32,
    /// Of a write.
    permit: Option<Permit>,
}

/// What of a request stays the same when it is sent again: its id above all.
#[derive(Clone)]
struct Parts {
    id: RequestId,
    client: Arc<Client>,
    steps: Arc<Vec<Step>>,
    first: usize,
    writes: bool,
    bytes: usize,
    sent_at: Duration,
    deadline: Duration,
}

/// Where a request is.
enum Stage {
    WithStorage(ReplyReceiver<StorageResponse>),
    /// It certainly had no effect, and is sent again after a while.
    BackingOff(BoxFuture<'static, ()>),
    Resending(BoxFuture<'static, Result<ReplyReceiver<StorageResponse>, CommandError>>),
    /// Its end was counted.
    Ended,
}

/// What came of taking back a request that waits.
pub enum GaveUp {
    Withdrawn,
    /// It runs: ask again when woken.
    NotNow,
    Answered(Result<StorageResponse, CommandError>),
}

impl StorageClient {
    pub fn new(
        capacity: usize,
        bytes_max: usize,
        clock: Arc<dyn Clock>,
        config: Arc<LiveConfig>,
        stats: Arc<ServerStats>,
    ) -> (StorageClient, MessageChannel) {
        let lanes = parts_of(bytes_max).map(Lane::new);
        let breaker = Arc::new(Breaker::new(clock.clone(), config, stats.clone()));
        let (senders, channel) = MessageChannel::new(capacity, breaker.clone());
        let shared = Shared { senders, capacity, lanes, breaker, gate: channel.gate.clone(), clock, stats };
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
        let [reads, writes] = self.shared.lanes.each_ref().map(|lane| {
            let bytes_max = lane.bytes_max.load(Ordering::Relaxed);
            (bytes_max.saturating_sub(lane.bytes.available_permits()), bytes_max)
        });
        (reads.0 + writes.0, reads.1 + writes.1)
    }

    /// `channel-max-bytes` changed. More room is there at once; less is taken away as requests end, and until that is done
    /// the future waits.
    pub async fn set_bytes_max(self, bytes_max: usize) {
        for (lane, bytes_max) in self.shared.lanes.iter().zip(parts_of(bytes_max)) {
            let before = lane.bytes_max.swap(bytes_max, Ordering::Relaxed);
            lane.bytes.add_permits(bytes_max.saturating_sub(before));
            let surplus = before.saturating_sub(bytes_max) as u32;
            if let Ok(permits) = lane.bytes.acquire_many(surplus).await {
                permits.forget();
            }
        }
    }

    /// Connections that wait because the channel is full.
    pub fn waiting(&self) -> usize {
        self.shared.lanes.iter().map(|lane| lane.waiting.load(Ordering::Relaxed)).sum()
    }

    /// How the circuit breaker before the writes is.
    pub fn breaker(&self) -> BreakerState {
        self.shared.breaker.state()
    }

    /// Changes when another writer takes over: whoever waits for an answer then has to look again, for it may come from
    /// nobody any more.
    pub fn writer_epoch(&self) -> Epoch {
        self.shared.gate.epoch()
    }

    /// Sends a request, at once if there is room.
    pub fn submit(&self, outgoing: Outgoing) -> Submitted {
        let permit = match outgoing.writes.then(|| Permit::ask(&self.shared.breaker)).transpose() {
            Ok(permit) => permit,
            Err(error) => return Submitted::Refused(error),
        };
        let Outgoing { id, client, steps, first, writes, bytes, sent_at, deadline, buffer } = outgoing;
        let parts = Parts { id, client, steps, first, writes, bytes, sent_at, deadline };
        match self.shared.try_send(&parts, buffer) {
            Ok(receiver) => Submitted::InFlight(InFlight::new(&self.shared, parts, receiver, permit)),
            Err(Some(buffer)) => self.wait(parts, buffer, permit),
            Err(None) => {
                judge_unsent(permit);
                self.shared.report(&parts, Category::Request, Severity::Error, "a request could not be sent");
                Submitted::Refused(self.shared.gone())
            }
        }
    }

    /// Waits for room; meanwhile the connection reads nothing more from its socket. Past a bound of waiting
    /// connections the request is refused at once (R3.2).
    fn wait(&self, parts: Parts, buffer: BytesMut, permit: Option<Permit>) -> Submitted {
        let shared = self.shared.clone();
        shared.stats.channel.full.add(1);
        // Counted from now on, and until it goes by whatever way.
        let waiting = Waiting::new(&shared, parts.writes);
        if waiting.before >= limits::CHANNEL_WAITERS_MAX {
            shared.stats.channel.refused.add(1);
            shared.report(
                &parts,
                Category::Overload,
                Severity::Warning,
                "a request was refused: too many wait for storage",
            );
            judge_unsent(permit);
            return Submitted::Refused(CommandError::TryAgain("storage is overloaded, the request was not executed"));
        }
        Submitted::Waiting(Box::pin(async move {
            let _waiting = waiting;
            let patience = parts.deadline.saturating_sub(shared.clock.now());
            let mut timeout = shared.clock.sleep(patience);
            let mut sending = Box::pin(shared.clone().send(parts.clone(), buffer));
            let sent = poll_fn(|context| match sending.as_mut().poll(context) {
                Poll::Ready(sent) => Poll::Ready(sent),
                Poll::Pending => timeout.as_mut().poll(context).map(|()| {
                    shared.stats.channel.timed_out.add(1);
                    let what = "a request was refused: it found no room in the channel until its deadline";
                    shared.report(&parts, Category::Overload, Severity::Warning, what);
                    Err(CommandError::TryAgain("storage is overloaded, the request was not executed in time"))
                }),
            })
            .await;
            match sent {
                Ok(receiver) => Ok(InFlight::new(&shared, parts, receiver, permit)),
                Err(error) => {
                    judge_unsent(permit);
                    Err(error)
                }
            }
        }))
    }
}

/// What a semaphore can count.
fn bytes_limit(bytes_max: usize) -> usize {
    bytes_max.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize)
}

/// Counts one waiting connection, for as long as it lives.
struct Waiting {
    shared: Arc<Shared>,
    writes: bool,
    /// How many waited already.
    before: usize,
}

impl Waiting {
    fn new(shared: &Arc<Shared>, writes: bool) -> Waiting {
        let before = shared.lane(writes).waiting.fetch_add(1, Ordering::Relaxed);
        Waiting { shared: shared.clone(), writes, before }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.shared.lane(self.writes).waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    fn sender(&self, writes: bool) -> &mpsc::Sender<StorageRequest> {
        let by_writer = writes || planted::is("reads-queue-behind-writes");
        if by_writer { &self.senders.writes } else { &self.senders.reads }
    }

    fn lane(&self, writes: bool) -> &Lane {
        &self.lanes[usize::from(writes)]
    }

    /// A request heavier than all of its lane passes alone.
    fn weight(&self, parts: &Parts) -> u32 {
        parts.bytes.clamp(1, self.lane(parts.writes).bytes_max.load(Ordering::Relaxed)) as u32
    }

    /// Sends at once; `Err`: there is no room (with the buffer), or storage is gone.
    fn try_send(&self, parts: &Parts, buffer: BytesMut) -> Result<ReplyReceiver<StorageResponse>, Option<BytesMut>> {
        if self.is_cut(&failpoints::CHANNEL_SEND) {
            return Err(None);
        }
        let Ok(share) = self.lane(parts.writes).bytes.clone().try_acquire_many_owned(self.weight(parts)) else {
            return Err(Some(buffer));
        };
        match self.sender(parts.writes).try_reserve() {
            Ok(permit) => Ok(self.package(permit, parts, buffer, share)),
            Err(mpsc::error::TrySendError::Full(())) => Err(Some(buffer)),
            Err(mpsc::error::TrySendError::Closed(())) => Err(None),
        }
    }

    fn package(
        &self,
        permit: mpsc::Permit<'_, StorageRequest>,
        parts: &Parts,
        buffer: BytesMut,
        share: OwnedSemaphorePermit,
    ) -> ReplyReceiver<StorageResponse> {
        let (responder, receiver) = slot();
        let Parts { id, client, steps, first, sent_at, deadline, .. } = parts.clone();
        let request = StorageRequest { id, client, steps, first, sent_at, deadline, buffer, responder, share };
        if self.is_cut(&failpoints::CHANNEL_DROP) {
            // Lost on its way: that ends it as not executed.
            drop(request);
        } else {
            permit.send(request);
        }
        receiver
    }

    fn is_cut(&self, point: &'static Failpoint) -> bool {
        matches!(failpoints::fault(point), Some(Fault::Drop))
    }

    async fn send(
        self: Arc<Self>,
        parts: Parts,
        buffer: BytesMut,
    ) -> Result<ReplyReceiver<StorageResponse>, CommandError> {
        let share = self
            .lane(parts.writes)
            .bytes
            .clone()
            .acquire_many_owned(self.weight(&parts))
            .await
            .map_err(|_| self.gone())?;
        let permit = self.sender(parts.writes).reserve().await.map_err(|_| self.gone())?;
        Ok(self.package(permit, &parts, buffer, share))
    }

    fn report(&self, parts: &Parts, category: Category, severity: Severity, what: &'static str) {
        let report = Report::new(category, severity, Side::Network, what).request(&parts.id).client(parts.client.id);
        self.stats.error_log.report(self.clock.now(), report);
    }

    fn gone(&self) -> CommandError {
        self.stats.channel.refused.add(1);
        CommandError::TryAgain("storage is gone, the request was not executed")
    }
}

/// A write that was let through and not sent: storage did not keep up.
fn judge_unsent(permit: Option<Permit>) {
    if let Some(permit) = permit {
        permit.end(Verdict::Failure(AWAY));
    }
}

/// What writes are refused with after timeouts.
const AWAY: CommandError = CommandError::TryAgain("storage takes no writes at the moment, the write was not executed");

impl InFlight {
    fn new(
        shared: &Arc<Shared>,
        parts: Parts,
        receiver: ReplyReceiver<StorageResponse>,
        permit: Option<Permit>,
    ) -> InFlight {
        let metrics = &shared.stats.channel;
        metrics.sent.add(1);
        metrics.in_flight.add(1);
        metrics.operations.record((parts.steps.len() - parts.first) as u64);
        let stage = Stage::WithStorage(receiver);
        let mut in_flight = InFlight { shared: shared.clone(), parts, stage, retries: 0, permit };
        if in_flight.waits() {
            // How long it takes says nothing of storage, and no probe may wait for a client's push.
            drop(in_flight.permit.take());
        }
        in_flight
    }

    /// Whether it is a command that may wait for a key.
    fn waits(&self) -> bool {
        matches!(self.parts.steps[..], [Step::Wait(_)])
    }

    /// Whether it may be polled in another runtime from now on: it holds no timer of the one that it was polled in.
    pub fn is_movable(&self) -> bool {
        !matches!(self.stage, Stage::BackingOff(_))
    }

    pub fn sent_at(&self) -> Duration {
        self.parts.sent_at
    }

    pub fn deadline(&self) -> Duration {
        self.parts.deadline
    }

    /// Ready with the response, or with the error that says what may have happened. A request that provably had no effect
    /// is sent again meanwhile, as long as its deadline lets it.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<StorageResponse, CommandError>> {
        loop {
            self.stage = match &mut self.stage {
                Stage::WithStorage(receiver) => match receiver.poll(context, &self.shared.gate) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Outcome::NotExecuted) if let Some(pause) = self.next_pause() => {
                        self.retries += 1;
                        self.shared.stats.channel.retried.add(1);
                        Stage::BackingOff(self.shared.clock.sleep(pause))
                    }
                    Poll::Ready(outcome) => return Poll::Ready(self.judge(outcome)),
                },
                Stage::BackingOff(over) => match over.as_mut().poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => {
                        Stage::Resending(Box::pin(self.shared.clone().send(self.parts.clone(), BytesMut::new())))
                    }
                },
                Stage::Resending(sending) => match sending.as_mut().poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(receiver)) => Stage::WithStorage(receiver),
                    Poll::Ready(Err(_)) => return Poll::Ready(self.judge(Outcome::NotExecuted)),
                },
                Stage::Ended => unreachable!("a request was polled after its end"),
            };
        }
    }

    /// How long to wait before the request is sent again: exponential backoff with full jitter (Brooker, "Exponential
    /// Backoff and Jitter"). `None`: its deadline would pass first.
    fn next_pause(&self) -> Option<Duration> {
        let most = limits::RETRY_PAUSE_MIN.saturating_mul(1 << self.retries.min(16)).min(limits::RETRY_PAUSE_MAX);
        let (high, low) = self.parts.id.0.as_u64_pair();
        let draw = Random::from_seed(high ^ low ^ u64::from(self.retries)).next_u64();
        let pause = Duration::from_micros(draw % (most.as_micros() as u64 + 1));
        // Who waits for a key has no deadline but its own.
        (self.waits() || self.shared.clock.now() + pause < self.parts.deadline).then_some(pause)
    }

    /// The deadline has passed: takes the request back, or says that it may still be executed.
    pub fn expire(&mut self) -> Result<StorageResponse, CommandError> {
        if planted::is("queued-is-left-queued") && matches!(self.stage, Stage::WithStorage(_)) {
            self.end(|metrics| &metrics.withdrawn, Verdict::Failure(AWAY));
            return Err(CommandError::TryAgain("storage did not start the request in time, it was not executed"));
        }
        let withdrawal = match &mut self.stage {
            Stage::WithStorage(receiver) => receiver.withdraw(&self.shared.gate),
            Stage::BackingOff(_) | Stage::Resending(_) | Stage::Ended => Withdrawal::Withdrawn,
        };
        match withdrawal {
            Withdrawal::Ended(outcome) => self.judge(outcome),
            Withdrawal::Withdrawn => {
                self.report(Severity::Warning, "a request was taken back at its deadline: it was not executed");
                self.end(|metrics| &metrics.withdrawn, Verdict::Failure(AWAY));
                Err(CommandError::TryAgain("storage did not start the request in time, it was not executed"))
            }
            Withdrawal::Started => {
                self.shared.stats.channel.late.add(1);
                self.fail(
                    "storage did not answer in time, the request may have been executed",
                    "storage did not answer the read in time",
                )
            }
        }
    }

    /// Takes a request back that waits for a key, unless something is done for it right now.
    pub fn give_up(&mut self) -> GaveUp {
        let withdrawal = match &mut self.stage {
            Stage::WithStorage(receiver) => receiver.withdraw_waiting(&self.shared.gate),
            Stage::BackingOff(_) | Stage::Resending(_) | Stage::Ended => Withdrawal::Withdrawn,
        };
        match withdrawal {
            Withdrawal::Withdrawn => {
                self.end(|metrics| &metrics.withdrawn, Verdict::Nothing);
                GaveUp::Withdrawn
            }
            Withdrawal::Started => GaveUp::NotNow,
            Withdrawal::Ended(outcome) => GaveUp::Answered(self.judge(outcome)),
        }
    }

    /// Nobody will ask for the answer any more.
    pub fn abandon(&mut self) {
        if let Stage::WithStorage(receiver) = &mut self.stage {
            receiver.abandon();
        }
    }

    fn judge(&mut self, outcome: Outcome<StorageResponse>) -> Result<StorageResponse, CommandError> {
        match outcome {
            Outcome::Done(response) => {
                let verdict = match &response.engine_error {
                    None => Verdict::Success,
                    Some(error) => {
                        self.report(Severity::Error, "a request was answered with the engine's error");
                        Verdict::Failure(error.clone().into())
                    }
                };
                self.end(|metrics| &metrics.answered, verdict);
                Ok(response)
            }
            Outcome::NotExecuted => {
                self.report(Severity::Warning, "storage dropped a request: it was not executed");
                self.end(|metrics| &metrics.failed, Verdict::Failure(AWAY));
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
        if self.parts.writes && !planted::is("doubt-is-called-refusal") {
            self.report(Severity::Error, "a request is in doubt: it may have been executed");
            self.end(|metrics| &metrics.in_doubt, Verdict::Failure(AWAY));
            Err(CommandError::InDoubt(write))
        } else {
            self.report(Severity::Warning, "storage did not finish a read");
            self.end(|metrics| &metrics.failed, Verdict::Nothing);
            Err(CommandError::TryAgain(read))
        }
    }

    /// What its client is told: the storage side reports the cause under the same id.
    fn report(&self, severity: Severity, what: &'static str) {
        self.shared.report(&self.parts, Category::Request, severity, what);
    }

    fn end(&mut self, how: fn(&ChannelMetrics) -> &Counter, verdict: Verdict) {
        how(&self.shared.stats.channel).add(1);
        self.stage = Stage::Ended;
        if let Some(permit) = self.permit.take() {
            permit.end(verdict);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !matches!(self.stage, Stage::Ended) {
            self.end(|metrics| &metrics.abandoned, Verdict::Nothing);
        }
        self.shared.stats.channel.in_flight.subtract(1);
    }
}
