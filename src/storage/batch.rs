//! The batch processor: runs a group of requests over one overlay and commits them as one write batch (R2.2), then
//! answers. Nothing is answered before the commit, and if it fails, every request of the group fails and had no effect.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::OwnedSemaphorePermit;

use super::execute::execute;
use super::server::StorageState;
use crate::channel::slot::Started;
use crate::channel::{Step, StorageRequest, StorageResponse};
use crate::engine::{ColumnFamily, EngineError, WriteOptions};
use crate::keyspace::{CommandError, Keyspace, Txn};
use crate::limits;
use crate::observe::Client;
use crate::resp::ReplyBuffer;

/// A request of the group that ran: what it will answer once the group is committed.
struct Ran {
    steps: Arc<Vec<Step>>,
    first: usize,
    started: Started<StorageResponse>,
    response: StorageResponse,
    /// The request's share of the channel's bytes, given back when it is answered.
    _share: OwnedSemaphorePermit,
}

/// One group, from its first request to its commit.
pub struct BatchProcessor<'e> {
    state: &'e StorageState,
    keyspace: Keyspace<'e>,
    ran: Vec<Ran>,
    operations: usize,
}

impl<'e> BatchProcessor<'e> {
    pub fn new(state: &'e StorageState) -> BatchProcessor<'e> {
        let keyspace = state.keyspace(Txn::writer(state.engine.as_ref()));
        BatchProcessor { state, keyspace, ran: Vec::new(), operations: 0 }
    }

    /// Whether the group has reached its size (`batch-size`, `batch-max-bytes`).
    pub fn is_full(&self) -> bool {
        let limits = self.state.config.current();
        self.operations >= limits.runtime.batch_size
            || self.keyspace.txn().overlay_bytes() >= limits.runtime.batch_bytes_max
    }

    /// Runs a request, unless it was withdrawn or is past its deadline.
    pub fn run(&mut self, request: StorageRequest) {
        let now = self.state.env.clock.now();
        if now >= request.deadline {
            // Its client withdraws it at this very moment; dropping it says the same: it did not start.
            return;
        }
        let StorageRequest { steps, first, buffer: mut replies, responder, client, share, sent_at, .. } = request;
        let Some(started) = responder.start() else { return };
        self.state.stats.runtime.queue.record(now.saturating_sub(sent_at));
        let mut next_step = first;
        while next_step < steps.len() && replies.len() < limits::REPLY_CHUNK_BYTES {
            self.step(&steps[next_step], &client, &mut replies);
            next_step += 1;
        }
        let response = StorageResponse { replies, next_step, finished_at: now };
        self.ran.push(Ran { steps, first, started, response, _share: share });
    }

    fn step(&mut self, step: &Step, client: &Client, replies: &mut BytesMut) {
        match step {
            Step::Reply(bytes) => replies.extend_from_slice(bytes),
            Step::Run(command) => {
                self.operations += 1;
                self.keyspace.begin(self.state.env.clock.unix_ms());
                match execute(self.state, command, client, &mut self.keyspace, replies) {
                    Ok(true) => {
                        self.keyspace.keep();
                    }
                    Ok(false) => self.keyspace.undo(),
                    Err(restart) => unreachable!("the writer's reads are unrestricted, yet one asked for {restart:?}"),
                }
            }
        }
    }

    /// Removes keys that are due, as part of the group. Returns how many index entries that took.
    pub fn expire_due(&mut self, from_ms: u64, limit: usize) -> Result<usize, CommandError> {
        self.keyspace.begin(self.state.env.clock.unix_ms());
        match self.keyspace.expire_due(from_ms, limit) {
            Ok(count) => {
                self.keyspace.keep();
                Ok(count)
            }
            Err(error) => {
                self.keyspace.undo();
                Err(error)
            }
        }
    }

    /// Commits what the group did and answers every request in it.
    pub fn commit(self) -> Result<(), EngineError> {
        let BatchProcessor { state, mut keyspace, ran, operations } = self;
        let batch = keyspace.txn().to_batch();
        let committed = if batch.is_empty() {
            Ok(())
        } else {
            let options = WriteOptions { durability: state.durability(), no_slowdown: false };
            let began = state.env.clock.now();
            let written = state.engine.write(&batch, options);
            state.stats.runtime.commit.record(state.env.clock.now().saturating_sub(began));
            written
        };
        let finished_at = state.env.clock.now();
        state.take_events(keyspace.events);
        if !batch.is_empty() {
            state.note_outcome(&committed);
        }
        match &committed {
            Ok(()) => {
                if !batch.is_empty() {
                    let metrics = &state.stats.storage;
                    metrics.groups_committed.add(1);
                    metrics.operations_committed.add(operations as u64);
                    metrics.group_operations.record(operations as u64);
                    metrics.group_bytes.record(batch.size_bytes() as u64);
                    publish(state, &keyspace);
                    state.wrote();
                }
                state.key_events.push(keyspace.take_key_events());
                for ran in ran {
                    ran.started.finish(StorageResponse { finished_at, ..ran.response });
                }
            }
            Err(error) => {
                state.stats.storage.groups_failed.add(1);
                tracing::error!(%error, requests = ran.len(), "a group was not committed");
                for ran in ran {
                    ran.started.finish(failed(&ran.steps, ran.first, error, state, finished_at));
                }
            }
        }
        committed
    }
}

/// Makes what the group changed beside its keys visible: before the replies, so that no client sees less than it wrote.
fn publish(state: &StorageState, keyspace: &Keyspace<'_>) {
    if !Arc::ptr_eq(keyspace.databases(), &state.databases.load()) {
        state.databases.store(keyspace.databases().clone());
    }
    for (key, value) in keyspace.txn().effects(ColumnFamily::Control) {
        if let Err(error) = state.keyspace_stats.apply(key, value.as_ref()) {
            tracing::error!(%error, "the writer wrote a counter that it cannot read: this is a bug");
        }
    }
}

/// The answer to a request whose group was not committed: the error, once for each reply that is due.
fn failed(
    steps: &[Step],
    first: usize,
    error: &EngineError,
    state: &StorageState,
    finished_at: Duration,
) -> StorageResponse {
    let text = CommandError::from(error.clone()).to_string();
    let mut replies = BytesMut::new();
    for step in &steps[first..] {
        match step {
            Step::Reply(bytes) => replies.extend_from_slice(bytes),
            Step::Run(command) if command.silent => {}
            Step::Run(command) => {
                let mut reply = ReplyBuffer::from_bytes(replies, command.protocol);
                reply.error(&text);
                replies = reply.into_bytes();
                state.stats.count_error(&text);
            }
        }
    }
    StorageResponse { replies, next_step: steps.len(), finished_at }
}
