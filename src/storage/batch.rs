//! The batch processor: runs a group of requests over one overlay and commits them as one write batch (R2.2), then
//! answers. Nothing is answered before the commit, and if it fails, every request of the group fails and had no effect.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::OwnedSemaphorePermit;

use super::execute::execute;
use super::server::StorageState;
use super::transaction;
use crate::channel::slot::{CommitRecord, Started};
use crate::channel::{RequestId, Step, StorageCommand, StorageRequest, StorageResponse, Transaction};
use crate::engine::{ColumnFamily, EngineError, WriteOptions};
use crate::failpoints::{self, Fault};
use crate::keyspace::{CommandError, Keyspace, Txn};
use crate::limits;
use crate::observe::Client;
use crate::planted;
use crate::resp::ReplyBuffer;

/// A request of the group that ran: what it will answer once the group is committed.
struct Ran {
    /// What it takes to put the request back.
    id: RequestId,
    client: Arc<Client>,
    steps: Arc<Vec<Step>>,
    first: usize,
    sent_at: Duration,
    deadline: Duration,
    /// Knows the answer, for when the commit succeeds.
    started: Started<StorageResponse>,
    /// The request's share of the channel's bytes, given back when it is answered.
    share: OwnedSemaphorePermit,
}

impl Ran {
    /// The request as it was before it started, unless nobody waits for it any more. It ran on an overlay that is thrown
    /// away.
    fn put_back(self) -> Option<StorageRequest> {
        let Ran { id, client, steps, first, sent_at, deadline, started, share } = self;
        let responder = started.put_back()?;
        Some(StorageRequest { id, client, steps, first, sent_at, deadline, buffer: BytesMut::new(), responder, share })
    }
}

/// How the commit of a group ended.
pub enum Committed {
    /// Everyone was answered.
    Done,
    /// The engine failed, and everyone was told.
    Failed,
    /// The engine has stopped or slowed writes, nothing was applied, and these requests can run again.
    Stalled(Vec<StorageRequest>),
}

/// One group, from its first request to its commit.
pub struct BatchProcessor<'e> {
    state: &'e StorageState,
    keyspace: Keyspace<'e>,
    ran: Vec<Ran>,
    operations: usize,
    record: Arc<CommitRecord>,
}

impl<'e> BatchProcessor<'e> {
    pub fn new(state: &'e StorageState) -> BatchProcessor<'e> {
        let keyspace = state.keyspace(Txn::writer(&state.latest));
        BatchProcessor { state, keyspace, ran: Vec::new(), operations: 0, record: CommitRecord::new() }
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
        if now >= request.deadline && !planted::is("queued-is-left-queued") {
            // Its client withdraws it at this very moment; dropping it says the same: it did not start.
            return;
        }
        let StorageRequest { id, client, steps, first, sent_at, deadline, buffer: mut replies, responder, share } =
            request;
        let Some(mut started) = responder.start() else { return };
        self.state.stats.runtime.queue.record(now.saturating_sub(sent_at));
        let mut next_step = first;
        let mut parts = None;
        while next_step < steps.len() && replies.len() < limits::REPLY_CHUNK_BYTES {
            match &steps[next_step] {
                Step::Reply(bytes) => replies.extend_from_slice(bytes),
                Step::Run(command) => {
                    self.keyspace.begin(self.state.env.clock.unix_ms());
                    self.command(command, &client, &mut replies);
                }
                Step::Exec(transaction) => parts = self.transaction(transaction, &client, &mut replies),
            }
            next_step += 1;
        }
        let response = StorageResponse { engine_error: None, replies, next_step, finished_at: now, parts };
        started.prepare(response, self.record.clone());
        self.ran.push(Ran { id, client, steps, first, sent_at, deadline, started, share });
    }

    fn command(&mut self, command: &StorageCommand, client: &Client, replies: &mut BytesMut) {
        self.operations += 1;
        match execute(self.state.surroundings(), command, client, &mut self.keyspace, replies) {
            Ok(true) => {
                self.keyspace.keep();
            }
            Ok(false) if planted::is("failed-command-leaves-traces") => {
                self.keyspace.keep();
            }
            Ok(false) => self.keyspace.undo(),
            Err(restart) => unreachable!("the writer's reads are unrestricted, yet one asked for {restart:?}"),
        }
    }

    /// Runs a transaction at one moment, unless a key that its client watches was touched. Returns the parts of its
    /// reply, if they are asked for.
    fn transaction(
        &mut self,
        transaction: &Transaction,
        client: &Client,
        replies: &mut BytesMut,
    ) -> Option<Vec<usize>> {
        self.keyspace.begin(self.state.env.clock.unix_ms());
        let before = self.state.databases.load_full();
        let touched = transaction.watches.as_ref().map_or(Ok(false), |set| self.keyspace.is_touched(set, &before));
        match touched {
            Ok(true) if !planted::is("watch-is-not-looked-at") => {
                transaction::refuse(transaction, replies, ReplyBuffer::null_array)
            }
            Ok(_) => {
                let run = |command: &StorageCommand, replies: &mut BytesMut| {
                    self.command(command, client, replies);
                    Ok(())
                };
                return transaction::run_all(transaction, replies, run).ok().flatten();
            }
            Err(error) => {
                self.state.stats.count_error(&error.to_string());
                transaction::refuse(transaction, replies, |reply| reply.error(error.reply_text()));
            }
        }
        None
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

    /// Commits what the group did and answers every request in it. Where the engine has stopped or slowed writes it waits
    /// if `patient`, else it gives the requests back.
    pub async fn commit(self, patient: bool) -> Committed {
        let BatchProcessor { state, mut keyspace, ran, operations, record } = self;
        let batch = keyspace.txn().to_batch();
        if planted::is("batch-in-two-commits") && batch.mutations.len() > 1 {
            let mut first = crate::engine::WriteBatch::new();
            first.mutations = batch.mutations[..batch.mutations.len() / 2].to_vec();
            let _ = state.engine.write(&first, WriteOptions { durability: state.durability(), no_slowdown: true });
        }
        failpoints::pass(&failpoints::WRITER_BEFORE_COMMIT, &*state.env.clock).await;
        let committed = if batch.is_empty() {
            record.commit_nothing();
            Ok(())
        } else {
            let options = WriteOptions { durability: state.durability(), no_slowdown: !patient };
            let began = state.env.clock.now();
            let keys = keyspace.txn().effects(ColumnFamily::Meta).map(|(key, _)| key);
            let records = state.latest.cache.begin_commit(keys);
            // Only after a failed sync is it not known what is on disk.
            let is_known = |error: &EngineError| !matches!(error, EngineError::SyncFailed(_));
            if planted::is("commit-record-before-commit") {
                let _ = record.commit(|| Ok(()), is_known);
            }
            let written = record.commit(|| state.engine.write(&batch, options), is_known);
            if written == Err(EngineError::WriteStall) {
                return Committed::Stalled(ran.into_iter().filter_map(Ran::put_back).collect());
            }
            if written.is_ok() || planted::is("cache-before-commit") {
                records.publish(keyspace.txn().effects(ColumnFamily::Meta));
            }
            state.stats.runtime.commit.record(state.env.clock.now().saturating_sub(began));
            written
        };
        failpoints::pass(&failpoints::WRITER_AFTER_COMMIT, &*state.env.clock).await;
        let finished_at = state.env.clock.now();
        state.take_events(keyspace.events);
        let before = state.databases.load_full();
        if !batch.is_empty() {
            state.note_outcome(&committed);
        }
        if committed.is_ok() && !batch.is_empty() {
            let metrics = &state.stats.storage;
            metrics.groups_committed.add(1);
            metrics.operations_committed.add(operations as u64);
            metrics.group_operations.record(operations as u64);
            metrics.group_bytes.record(batch.size_bytes() as u64);
            publish(state, &keyspace);
            state.wrote();
        }
        // Once it is visible, or a client could begin to watch a key in between and still read what was there before.
        // And even if the commit failed, for then nobody knows what is on disk.
        if let Err(error) = state.watches.touch(&mut keyspace, &before) {
            tracing::error!(%error, "what a group touched is not known: all watched keys count as touched");
            state.watches.touch_all();
        }
        match &committed {
            Err(_) if planted::is("acknowledged-though-not-committed") => {
                for ran in ran {
                    ran.started.finish_prepared(|response| StorageResponse { finished_at, ..response });
                }
                Committed::Failed
            }
            Ok(()) => {
                state.key_events.push(keyspace.take_key_events());
                for ran in ran {
                    match failpoints::fault(&failpoints::WRITER_REPLY) {
                        Some(Fault::Drop) => drop(ran),
                        Some(Fault::Panic) => panic!("failpoint {}", failpoints::WRITER_REPLY.name),
                        _ => ran.started.finish_prepared(|response| StorageResponse { finished_at, ..response }),
                    }
                }
                Committed::Done
            }
            Err(error) => {
                state.stats.storage.groups_failed.add(1);
                tracing::error!(%error, requests = ran.len(), "a group was not committed");
                for ran in ran {
                    if planted::is("share-leaks") {
                        std::mem::forget(ran.share);
                    }
                    ran.started.finish(failed(&ran.steps, ran.first, error, state, finished_at));
                }
                Committed::Failed
            }
        }
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
            Step::Run(StorageCommand { silent: true, .. }) | Step::Exec(Transaction { silent: true, .. }) => {}
            Step::Run(StorageCommand { protocol, .. }) | Step::Exec(Transaction { protocol, .. }) => {
                let mut reply = ReplyBuffer::from_bytes(replies, *protocol);
                reply.error(&text);
                replies = reply.into_bytes();
                state.stats.count_error(&text);
            }
        }
    }
    StorageResponse { engine_error: Some(error.clone()), replies, next_step: steps.len(), finished_at, parts: None }
}
