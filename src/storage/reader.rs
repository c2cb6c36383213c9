//! The readers. The first one answers from memory and hands on what would have to wait: reads that need the disk, and
//! commands that take long. So a read of a hot key never queues behind a cold one, and no read behind a write.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::sync::{Mutex, OwnedSemaphorePermit, mpsc};

use super::execute::{Caller, Restart, execute};
use super::server::{StopSignal, StorageState};
use super::supervision::Pulse;
use super::transaction;
use crate::channel::slot::Started;
use crate::channel::{RequestId, Step, StorageCommand, StorageRequest, StorageResponse, Transaction};
use crate::engine::ReadTier;
use crate::env;
use crate::failpoints::{self, Fault};
use crate::keyspace::Txn;
use crate::limits;
use crate::observe::Client;
use crate::planted;

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
}

/// What the first reader hands to the others.
pub type Patient = mpsc::Sender<Read>;

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

/// The loop of the readers that may wait for the disk.
pub async fn run_patient(state: Arc<StorageState>, queue: Arc<Mutex<mpsc::Receiver<Read>>>, pulse: Arc<Pulse>) {
    loop {
        // The guard goes before the work, so that the next reader can take the next read meanwhile.
        let read = queue.lock().await.recv().await;
        let Some(read) = read else { return };
        let began = state.env.clock.moment();
        pulse.beat(state.env.clock.now());
        env::pass(&failpoints::READER_PATIENT, &*state.env.clock).await;
        if let Some(read) = serve(&state, read, ReadTier::All, false) {
            unreachable!("a reader without restrictions gave up at step {}", read.next_step);
        }
        pulse.rest();
        state.worked_since(began, &state.stats.storage.reader_busy_ns);
        if pulse.is_retired() {
            return;
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
    let read = Read { id, steps, next_step: first, replies: buffer, parts: None, started, client, share };
    let Some(patient) = patient else {
        serve(state, read, ReadTier::All, false);
        return;
    };
    if let Some(read) = serve(state, read, ReadTier::Cached, true) {
        state.stats.storage.reads_from_disk.add(1);
        if let Err(mpsc::error::TrySendError::Full(read) | mpsc::error::TrySendError::Closed(read)) =
            patient.try_send(read)
        {
            // All of them are busy, with a full queue: waiting here is the backpressure.
            serve(state, read, ReadTier::All, false);
        }
    }
}

/// Runs the steps that are left and answers; or gives the request back, at a step that `tier` does not allow or (if
/// `short_only`) that takes long.
fn serve(state: &StorageState, mut read: Read, tier: ReadTier, short_only: bool) -> Option<Read> {
    let client = read.client.clone();
    let caller = Caller { client: &client, request: Some(read.id) };
    while read.next_step < read.steps.len() && read.replies.len() < limits::REPLY_CHUNK_BYTES {
        match &read.steps[read.next_step] {
            Step::Reply(bytes) => read.replies.extend_from_slice(bytes),
            Step::Run(command) if short_only && command.operation.is_long() => return Some(read),
            Step::Run(command) => {
                if !run(state, command, caller, tier, &mut read.replies) {
                    return Some(read);
                }
            }
            Step::Wait(_) => unreachable!("invariant: what waits is a write"),
            Step::Exec(transaction) if short_only && is_long(transaction) => return Some(read),
            Step::Exec(transaction) => match run_transaction(state, transaction, caller, tier, &mut read.replies) {
                Some(parts) => read.parts = parts,
                None => return Some(read),
            },
        }
        read.next_step += 1;
    }
    let Read { next_step, replies, parts, started, share, .. } = read;
    started.finish(StorageResponse {
        engine_error: None,
        replies,
        next_step,
        finished_at: state.env.clock.moment(),
        parts,
    });
    drop(share);
    None
}

fn is_long(transaction: &Transaction) -> bool {
    transaction.steps.iter().any(|step| matches!(step, Step::Run(command) if command.operation.is_long()))
}

/// Runs a transaction that only reads, on one snapshot. Returns the parts of its reply, if they are asked for; or
/// `None`: it needs the disk.
fn run_transaction(
    state: &StorageState,
    transaction: &Transaction,
    caller: Caller<'_>,
    tier: ReadTier,
    replies: &mut BytesMut,
) -> Option<Option<Vec<usize>>> {
    assert!(transaction.watches.is_none(), "invariant: what is watched is judged by the writer");
    let snapshot = state.engine.snapshot();
    let mut keyspace = state.keyspace(Txn::snapshot(&*snapshot, tier));
    let parts = transaction::run_all(transaction, replies, |command, replies| {
        execute(state.surroundings(), command, caller, &mut keyspace, replies).map(drop)
    });
    match parts {
        Ok(parts) => {
            state.take_events(keyspace.events);
            state.key_events.push(keyspace.take_key_events());
            Some(parts)
        }
        Err(Restart::Disk) => None,
        Err(restart) => unreachable!("a read on a snapshot asked for {restart:?}"),
    }
}

/// Runs one command: without a snapshot if one read is enough for it, else on one. `false`: it needs the disk.
fn run(
    state: &StorageState,
    command: &StorageCommand,
    caller: Caller<'_>,
    tier: ReadTier,
    replies: &mut BytesMut,
) -> bool {
    let mut keyspace = state.keyspace(Txn::one_read(&state.latest, tier));
    let mut outcome = execute(state.surroundings(), command, caller, &mut keyspace, replies);
    let (mut events, mut key_events) = (keyspace.events, keyspace.take_key_events());
    if outcome == Err(Restart::Snapshot) {
        let snapshot = state.engine.snapshot();
        // The map of databases is read after the snapshot is taken: an older one could lead into data that is being
        // reclaimed.
        let mut keyspace = state.keyspace(Txn::snapshot(&*snapshot, tier));
        outcome = execute(state.surroundings(), command, caller, &mut keyspace, replies);
        (events, key_events) = (keyspace.events, keyspace.take_key_events());
    }
    match outcome {
        Ok(_) => {
            state.take_events(events);
            state.key_events.push(key_events);
            true
        }
        Err(Restart::Disk) => {
            if planted::is("cold-read-answers-twice") {
                replies.extend_from_slice(b"$-1\r\n");
            }
            false
        }
        Err(restart) => unreachable!("a read on a snapshot asked for {restart:?}"),
    }
}
