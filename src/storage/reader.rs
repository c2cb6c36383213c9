//! The readers. The first one answers from memory and hands on what would have to wait: reads that need the disk, and
//! commands that take long. Of those who take them the first takes no long ones. So a read of a hot key never queues behind
//! a cold one, neither behind one that goes through a million elements, and no read behind a write.
//!
//! A large reply takes a share of `large-replies-max-bytes` until its client has read it: what clients ask for and do not
//! read fills that, and never the machine's memory.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::sync::{Mutex, OwnedSemaphorePermit, mpsc};

use super::execute::{Caller, Restart, execute};
use super::laps::Laps;
use super::server::{StopSignal, StorageState};
use super::supervision::Pulse;
use super::transaction;
use crate::channel::slot::Started;
use crate::channel::{ReplyShare, RequestId, Step, StorageCommand, StorageRequest, StorageResponse, Transaction};
use crate::engine::ReadTier;
use crate::env;
use crate::failpoints::{self, Fault};
use crate::keyspace::{CommandError, Txn};
use crate::limits;
use crate::observe::Client;
use crate::planted;
use crate::resp::{Protocol, ReplyBuffer};

/// A started request on its way between readers.
pub struct Read {
    id: RequestId,
    steps: Arc<Vec<Step>>,
    next_step: usize,
    replies: BytesMut,
    parts: Option<Vec<usize>>,
    started: Started<StorageResponse>,
    client: Arc<Client>,
    share: OwnedSemaphorePermit,
    reply_shares: Vec<ReplyShare>,
}

/// What a read may wait for, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// Only what is in memory, and nothing that takes long.
    Memory,
    /// Nothing that takes long.
    Disk,
    Any,
}

impl Patience {
    fn tier(self) -> ReadTier {
        if self == Patience::Memory { ReadTier::Cached } else { ReadTier::All }
    }

    fn is_hurried(self) -> bool {
        self != Patience::Any
    }
}

/// What the first reader hands to the others: by what a read needs.
#[derive(Clone)]
pub struct Patient {
    cold: mpsc::Sender<Read>,
    long: mpsc::Sender<Read>,
}

type Queue = Arc<Mutex<mpsc::Receiver<Read>>>;

/// The queues between the first reader and the others.
#[derive(Clone)]
pub struct PatientQueues {
    cold: Queue,
    long: Queue,
}

impl Patient {
    pub fn new() -> (Patient, PatientQueues) {
        let (cold, cold_queue) = mpsc::channel(limits::PATIENT_QUEUE);
        let (long, long_queue) = mpsc::channel(limits::PATIENT_QUEUE);
        let queue = |receiver| Arc::new(Mutex::new(receiver));
        (Patient { cold, long }, PatientQueues { cold: queue(cold_queue), long: queue(long_queue) })
    }

    /// For a reader that takes no long reads: where those go that turn out to be.
    pub fn long(&self) -> LongReads {
        LongReads(self.long.clone())
    }
}

/// See [`Patient::long`].
#[derive(Clone)]
pub struct LongReads(mpsc::Sender<Read>);

/// Why a reader gave a read back.
enum Needs {
    Disk,
    Time,
}

/// Requests that the first reader has taken and not begun: a substitute goes on with them.
pub type Pending = Arc<parking_lot::Mutex<VecDeque<StorageRequest>>>;

/// The first reader's loop. Without `patient` readers it does everything itself.
pub async fn run_first(
    state: Arc<StorageState>,
    patient: Option<Patient>,
    pending: Pending,
    pulse: Arc<Pulse>,
    mut stop: StopSignal,
) {
    let channel = state.channel.reads.clone();
    let mut received: Vec<StorageRequest> = Vec::new();
    loop {
        if pending.lock().is_empty() {
            // Held only while nothing is at work: whoever takes this one's place needs it.
            let receive = async { channel.lock().await.recv_many(&mut received, limits::READ_BATCH).await };
            tokio::select! {
                biased;
                () = stop.requested() => break,
                count = receive => {
                    if count == 0 {
                        break;
                    }
                }
            }
            pending.lock().extend(received.drain(..));
        }
        let began = state.env.clock.moment();
        pulse.beat(state.env.clock.now());
        if env::pass(&failpoints::READER_RECEIVE, &*state.env.clock).await == Some(Fault::Drop) {
            pending.lock().clear();
        }
        if !run_pending(&state, patient.as_ref(), &pending, &pulse) {
            return;
        }
        pulse.rest();
        state.worked_since(began, &state.stats.storage.reader_busy_ns);
    }
    let mut queue = channel.lock().await;
    while let Ok(request) = queue.try_recv() {
        begin(&state, patient.as_ref(), request);
    }
}

/// `false`: someone else has taken this reader's place, and goes on with what is left.
fn run_pending(state: &StorageState, patient: Option<&Patient>, pending: &Pending, pulse: &Pulse) -> bool {
    loop {
        if pulse.is_retired() {
            return false;
        }
        let next = pending.lock().pop_front();
        let Some(request) = next else { return true };
        begin(state, patient, request);
        pulse.beat(state.env.clock.now());
    }
}

/// The loop of the readers that may wait for the disk: of one that hands on what takes long, or (`long` is `None`) of one
/// that takes it.
pub async fn run_patient(state: Arc<StorageState>, queues: PatientQueues, long: Option<LongReads>, pulse: Arc<Pulse>) {
    let patience = if long.is_some() { Patience::Disk } else { Patience::Any };
    loop {
        let Some(read) = queues.next(patience).await else { return };
        let began = state.env.clock.moment();
        pulse.beat(state.env.clock.now());
        env::pass(&failpoints::READER_PATIENT, &*state.env.clock).await;
        match (serve(&state, read, patience), &long) {
            (None, _) => {}
            (Some((read, Needs::Time)), Some(LongReads(long))) => hand_on(&state, long, read, patience),
            (Some((read, _)), _) => unreachable!("a reader without restrictions gave up at step {}", read.next_step),
        }
        pulse.rest();
        state.worked_since(began, &state.stats.storage.reader_busy_ns);
        if pulse.is_retired() {
            return;
        }
    }
}

impl PatientQueues {
    /// The next read for a reader of this patience. `None`: the first reader has ended.
    async fn next(&self, patience: Patience) -> Option<Read> {
        // A guard goes before the work begins, so that the next reader can take the next read meanwhile.
        let cold = async { self.cold.lock().await.recv().await };
        if patience != Patience::Any {
            return cold.await;
        }
        let long = async { self.long.lock().await.recv().await };
        tokio::pin!(cold, long);
        tokio::select! {
            biased;
            read = &mut cold => match read {
                None => long.await,
                read => read,
            },
            read = &mut long => match read {
                None => cold.await,
                read => read,
            },
        }
    }
}

fn begin(state: &StorageState, patient: Option<&Patient>, request: StorageRequest) {
    let now = state.env.clock.now();
    if now >= request.deadline {
        return;
    }
    let StorageRequest { id, steps, first, buffer, responder, client, share, sent_at, .. } = request;
    let Some(started) = responder.start() else { return };
    tracing::debug!(request = %id, client = client.id, "request started by a reader");
    state.stats.runtime.queue.record(now.saturating_sub(sent_at));
    state.stats.storage.requests_read.add(1);
    let reply_shares = Vec::new();
    let read = Read { id, steps, next_step: first, replies: buffer, parts: None, started, client, share, reply_shares };
    let Some(patient) = patient else {
        serve(state, read, Patience::Any);
        return;
    };
    match serve(state, read, Patience::Memory) {
        None => {}
        Some((read, Needs::Time)) => hand_on(state, &patient.long, read, Patience::Memory),
        Some((read, Needs::Disk)) => {
            state.stats.storage.reads_from_disk.add(1);
            if let Err(mpsc::error::TrySendError::Full(read) | mpsc::error::TrySendError::Closed(read)) =
                patient.cold.try_send(read)
                // All of them are busy, with a full queue: waiting here is the backpressure.
                && let Some((read, _)) = serve(state, read, Patience::Disk)
            {
                hand_on(state, &patient.long, read, Patience::Disk);
            }
        }
    }
}

/// Hands a read, whose next step takes long, to those who have time. If too many wait there already the step is refused,
/// for here others would wait for it; what follows it goes on as long as it needs no more than memory.
fn hand_on(state: &StorageState, long: &mpsc::Sender<Read>, mut read: Read, patience: Patience) {
    while let Err(mpsc::error::TrySendError::Full(back) | mpsc::error::TrySendError::Closed(back)) = long.try_send(read)
    {
        read = back;
        let (protocol, silent) = match &read.steps[read.next_step] {
            Step::Run(command) => {
                command.counters.failed.add(1);
                (command.protocol, command.silent)
            }
            Step::Exec(transaction) => (transaction.protocol, transaction.silent),
            Step::Reply(_) | Step::Wait(_) => unreachable!("invariant: only what runs may take long"),
        };
        let error = CommandError::TryAgain("too many long reads wait, this one was not executed");
        refuse(state, &error, protocol, silent, &mut read.replies);
        read.next_step += 1;
        match serve(state, read, patience) {
            None => return,
            Some((next, _)) => read = next,
        }
    }
}

fn refuse(state: &StorageState, error: &CommandError, protocol: Protocol, silent: bool, replies: &mut BytesMut) {
    state.stats.count_error(&error.to_string());
    if !silent {
        let mut reply = ReplyBuffer::from_bytes(std::mem::take(replies), protocol);
        reply.error(error.to_string());
        *replies = reply.into_bytes();
    }
}

/// Runs the steps that are left and answers; or gives the request back, at a step that `patience` does not allow.
fn serve(state: &StorageState, mut read: Read, patience: Patience) -> Option<(Read, Needs)> {
    let client = read.client.clone();
    let caller = Caller { client: &client, request: Some(read.id), is_shown: true };
    while read.next_step < read.steps.len() && read.replies.len() < limits::REPLY_CHUNK_BYTES {
        let mark = read.replies.len();
        let (result, protocol, silent) = match &read.steps[read.next_step] {
            Step::Reply(bytes) => {
                read.replies.extend_from_slice(bytes);
                read.next_step += 1;
                continue;
            }
            Step::Run(command) if patience.is_hurried() && command.operation.is_long() => {
                return Some((read, Needs::Time));
            }
            Step::Run(command) => {
                let result = run(state, command, caller, patience, &mut read.replies);
                (result, command.protocol, command.silent)
            }
            Step::Wait(_) => unreachable!("invariant: what waits is a write"),
            Step::Exec(transaction) if patience.is_hurried() && is_long(transaction) => {
                return Some((read, Needs::Time));
            }
            Step::Exec(transaction) => {
                let result = run_transaction(state, transaction, caller, patience, &mut read.replies);
                (result.map(|parts| read.parts = parts), transaction.protocol, transaction.silent)
            }
        };
        match result {
            Ok(()) => {}
            Err(Restart::Disk) => return Some((read, Needs::Disk)),
            Err(Restart::Time) => return Some((read, Needs::Time)),
            Err(restart) => unreachable!("a read on a snapshot asked for {restart:?}"),
        }
        let grown = read.replies.len() - mark;
        if grown > limits::REPLY_CHUNK_BYTES {
            let most = state.config.current().runtime.large_replies_bytes_max;
            match ReplyShare::take(&state.stats, grown, most) {
                Some(share) => read.reply_shares.push(share),
                None => {
                    // A new buffer: the old one has the size that there is no room for.
                    read.replies = BytesMut::from(&read.replies[..mark]);
                    read.parts = None;
                    let error = CommandError::TryAgain("too many large replies wait for their clients to read them");
                    refuse(state, &error, protocol, silent, &mut read.replies);
                }
            }
        }
        read.next_step += 1;
    }
    let Read { next_step, replies, parts, started, share, reply_shares, .. } = read;
    started.finish(StorageResponse {
        engine_error: None,
        replies,
        next_step,
        finished_at: state.env.clock.moment(),
        parts,
        reply_shares,
    });
    drop(share);
    None
}

fn is_long(transaction: &Transaction) -> bool {
    transaction.steps.iter().any(|step| matches!(step, Step::Run(command) if command.operation.is_long()))
}

/// Runs a transaction that only reads, on one snapshot. Returns the parts of its reply, if they are asked for.
fn run_transaction(
    state: &StorageState,
    transaction: &Transaction,
    caller: Caller<'_>,
    patience: Patience,
    replies: &mut BytesMut,
) -> Result<Option<Vec<usize>>, Restart> {
    assert!(transaction.watches.is_none(), "invariant: what is watched is judged by the writer");
    let snapshot = state.engine.snapshot();
    let mut keyspace = state.keyspace(Txn::snapshot(&*snapshot, patience.tier()).hurried(patience.is_hurried()));
    let mut laps = Laps::begin(&*state.env.clock);
    let caller = Caller { is_shown: !transaction.in_parts, ..caller };
    let parts = transaction::run_all(transaction, replies, |command, replies| {
        execute(state.surroundings(), command, caller, &mut laps, &mut keyspace, replies).map(drop)
    })?;
    state.take_events(keyspace.events);
    state.key_events.push_all(&mut keyspace);
    transaction::show(transaction, state.surroundings(), caller, &mut laps);
    state.surroundings().show(laps.take_lines());
    Ok(parts)
}

/// Runs one command: without a snapshot if one read is enough for it, else on one.
fn run(
    state: &StorageState,
    command: &StorageCommand,
    caller: Caller<'_>,
    patience: Patience,
    replies: &mut BytesMut,
) -> Result<(), Restart> {
    let latest = Txn::one_read(&state.latest, patience.tier()).hurried(patience.is_hurried());
    let (mut laps, mut keyspace) = (Laps::begin(&*state.env.clock), state.keyspace(latest));
    let mut outcome = execute(state.surroundings(), command, caller, &mut laps, &mut keyspace, replies);
    let (mut events, mut key_events) = (keyspace.events, keyspace.take_key_events());
    if outcome == Err(Restart::Snapshot) {
        let snapshot = state.engine.snapshot();
        // The map of databases is read after the snapshot is taken: an older one could lead into data that is being
        // reclaimed.
        let mut keyspace = state.keyspace(Txn::snapshot(&*snapshot, patience.tier()).hurried(patience.is_hurried()));
        outcome = execute(state.surroundings(), command, caller, &mut laps, &mut keyspace, replies);
        (events, key_events) = (keyspace.events, keyspace.take_key_events());
    }
    match outcome {
        Ok(_) => {
            state.take_events(events);
            state.key_events.push_events(key_events);
            state.surroundings().show(laps.take_lines());
            Ok(())
        }
        Err(restart) => {
            if restart == Restart::Disk && planted::is("cold-read-answers-twice") {
                replies.extend_from_slice(b"$-1\r\n");
            }
            Err(restart)
        }
    }
}
