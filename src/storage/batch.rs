//! The batch processor: runs a group of requests over one overlay and commits them as one write batch (R2.2), then
//! answers. Nothing is answered before the commit, and if it fails, every request of the group fails and had no effect. From
//! the commit to the last answer the writer is within its [`Tenure`]'s gate: one that was replaced meanwhile does not get in.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::OwnedSemaphorePermit;

use super::execute::{Caller, Restart, execute};
use super::laps::Laps;
use super::server::StorageState;
use super::transaction;
use crate::channel::slot::{CommitRecord, Started};
use crate::channel::{RequestId, Step, StorageCommand, StorageRequest, StorageResponse, Tenure, Transaction, Turn};
use crate::engine::{ColumnFamily, EngineError, WriteOptions};
use crate::env;
use crate::failpoints::{self, Fault};
use crate::keyspace::{CommandError, DatabaseMap, Keyspace, Txn};
use crate::limits;
use crate::observe::{Category, Client, Report, Severity, Side};
use crate::planted;
use crate::resp::{Protocol, ReplyBuffer};

/// A request of the group that ran: what it will answer once the group is committed.
pub(super) struct Ran {
    pub client: Arc<Client>,
    /// Knows the answer, for when the commit succeeds.
    pub started: Started<StorageResponse>,
    pub origin: Origin,
}

/// Where a request was before it ran: what it takes to put it back.
pub(super) enum Origin {
    Queue {
        id: RequestId,
        steps: Arc<Vec<Step>>,
        first: usize,
        sent_at: Duration,
        deadline: Duration,
        /// The request's share of the channel's bytes, given back when it is answered.
        share: OwnedSemaphorePermit,
    },
    /// It waited for a key.
    Line(Turn, Arc<StorageCommand>),
}

impl Ran {
    /// The request as it was before it started, unless nobody waits for it any more, or it is back where it waits for a
    /// key. It ran on an overlay that is thrown away.
    fn put_back(self, state: &StorageState) -> Option<StorageRequest> {
        let Ran { client, started, origin } = self;
        match origin {
            Origin::Queue { id, steps, first, sent_at, deadline, share } => {
                let (responder, buffer) = (started.put_back()?, BytesMut::new());
                Some(StorageRequest { id, client, steps, first, sent_at, deadline, buffer, responder, share })
            }
            Origin::Line(turn, command) => {
                state.waiters.give_back(turn, started, client, command);
                None
            }
        }
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
    /// Another writer has taken over: nothing was applied, and nothing that this one does is of any use.
    Fenced,
}

/// One group, from its first request to its commit.
pub struct BatchProcessor<'e> {
    pub(super) state: &'e StorageState,
    pub(super) tenure: &'e Tenure,
    pub(super) keyspace: Keyspace<'e>,
    pub(super) ran: Vec<Ran>,
    /// Who waits because it has found nothing in this group.
    pub(super) parked: Vec<Turn>,
    pub(super) operations: usize,
    pub(super) laps: Laps<'e>,
    pub(super) record: Arc<CommitRecord>,
    /// The map of databases by which it is known which of the keys that are waited for are there.
    pub(super) databases_served: Arc<DatabaseMap>,
}

impl<'e> BatchProcessor<'e> {
    pub fn new(state: &'e StorageState, tenure: &'e Tenure) -> BatchProcessor<'e> {
        let keyspace = state.keyspace(Txn::writer(&state.latest));
        let (databases_served, record) = (keyspace.databases().clone(), CommitRecord::new());
        let laps = Laps::begin(&*state.env.clock);
        let (ran, parked) = (Vec::new(), Vec::new());
        BatchProcessor { state, tenure, keyspace, ran, parked, operations: 0, laps, record, databases_served }
    }

    /// Whether the group has reached its size (`batch-size`, `batch-max-bytes`).
    pub fn is_full(&self) -> bool {
        let limits = self.state.config.current();
        self.operations >= limits.runtime.batch_size
            || self.keyspace.txn().overlay_bytes() >= limits.runtime.batch_bytes_max
    }

    /// Begins an operation, or a transaction.
    pub(super) fn begin(&mut self) {
        self.keyspace.begin(self.laps.unix_ms());
        self.keyspace.set_waited_for(!self.state.waiters.is_empty());
    }

    /// Runs a request, unless it was withdrawn or is past its deadline.
    pub fn run(&mut self, request: StorageRequest) {
        if let [Step::Wait(command)] = &request.steps[..] {
            let command = command.clone();
            return self.run_waiting(request, command);
        }
        let now = self.laps.now();
        if now >= request.deadline && !planted::is("queued-is-left-queued") {
            // Its client withdraws it at this very moment; dropping it says the same: it did not start.
            return;
        }
        let StorageRequest { id, client, steps, first, sent_at, deadline, buffer: mut replies, responder, share } =
            request;
        let Some(mut started) = responder.start_by(self.tenure) else { return };
        tracing::debug!(request = %id, client = client.id, "request started by the writer");
        self.state.stats.runtime.queue.record(now.saturating_sub(sent_at));
        let caller = Caller { client: &client, request: Some(id), is_shown: true };
        let mut next_step = first;
        let mut parts = None;
        while next_step < steps.len() && replies.len() < limits::REPLY_CHUNK_BYTES {
            match &steps[next_step] {
                Step::Reply(bytes) => replies.extend_from_slice(bytes),
                Step::Run(command) => {
                    self.begin();
                    self.command(command, caller, &mut replies);
                }
                Step::Exec(transaction) => {
                    let caller = Caller { is_shown: !transaction.in_parts, ..caller };
                    parts = self.transaction(transaction, caller, &mut replies);
                    transaction::show(transaction, self.state.surroundings(), caller, &mut self.laps);
                }
                Step::Wait(_) => unreachable!("invariant: what waits comes alone"),
            }
            if !(planted::is("transaction-wakes-nobody") && matches!(steps[next_step], Step::Exec(_))) {
                self.serve_ready();
            }
            next_step += 1;
        }
        let response = StorageResponse {
            engine_error: None,
            replies,
            next_step,
            finished_at: now,
            parts,
            reply_shares: Vec::new(),
        };
        started.prepare(response, self.record.clone());
        let origin = Origin::Queue { id, steps, first, sent_at, deadline, share };
        self.ran.push(Ran { client, started, origin });
    }

    fn command(&mut self, command: &StorageCommand, caller: Caller<'_>, replies: &mut BytesMut) {
        self.operations += 1;
        match execute(self.state.surroundings(), command, caller, &mut self.laps, &mut self.keyspace, replies) {
            Ok(true) => {
                self.note_exchange();
                self.keyspace.keep();
            }
            Ok(false) if planted::is("failed-command-leaves-traces") => {
                self.keyspace.keep();
            }
            Ok(false) => self.keyspace.undo(),
            // Within a transaction nothing waits.
            Err(Restart::Ready) => {
                self.keyspace.keep();
                if !command.silent
                    && let Some(wait) = command.operation.waits()
                {
                    let mut reply = ReplyBuffer::from_bytes(std::mem::take(replies), command.protocol);
                    wait.reply_nothing(&mut reply);
                    *replies = reply.into_bytes();
                }
            }
            Err(restart) => unreachable!("the writer's reads are unrestricted, yet one asked for {restart:?}"),
        }
    }

    /// Runs a transaction at one moment, unless a key that its client watches was touched. Returns the parts of its
    /// reply, if they are asked for.
    fn transaction(
        &mut self,
        transaction: &Transaction,
        caller: Caller<'_>,
        replies: &mut BytesMut,
    ) -> Option<Vec<usize>> {
        self.begin();
        let before = self.state.databases.load_full();
        let touched = transaction.watches.as_ref().map_or(Ok(false), |set| self.keyspace.is_touched(set, &before));
        match touched {
            Ok(true) if !planted::is("watch-is-not-looked-at") => {
                transaction::refuse(transaction, replies, ReplyBuffer::null_array)
            }
            Ok(_) => {
                let run = |command: &StorageCommand, replies: &mut BytesMut| {
                    self.command(command, caller, replies);
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
        self.begin();
        self.keyspace.begin(self.state.env.clock.unix_ms());
        match self.keyspace.expire_due(from_ms, limit) {
            Ok(count) => {
                self.keyspace.keep();
                // Who reads a stream by a group is told that it is gone.
                self.serve_ready();
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
    pub async fn commit(mut self, patient: bool) -> Committed {
        if planted::is("exec-answered-before-commit") {
            self.ran = answer_transactions(self.ran);
        }
        env::pass(&failpoints::WRITER_BEFORE_COMMIT, &*self.state.env.clock).await;
        let tenure = self.tenure;
        if !tenure.enter() {
            // Dropped, its requests end as not executed.
            return Committed::Fenced;
        }
        let committed = self.commit_within(patient).await;
        tenure.leave();
        committed
    }

    /// As [`BatchProcessor::commit`], within the gate.
    async fn commit_within(self, patient: bool) -> Committed {
        let BatchProcessor { state, mut keyspace, ran, parked, operations, record, mut laps, .. } = self;
        let lines = laps.take_lines();
        // What was counted shows before anyone is answered.
        drop(laps);
        let batch = keyspace.txn().to_batch();
        let before = state.databases.load_full();
        if planted::is("batch-in-two-commits") && batch.mutations.len() > 1 {
            let mut first = crate::engine::WriteBatch::new();
            first.mutations = batch.mutations[..batch.mutations.len() / 2].to_vec();
            let _ = state.engine.write(&first, WriteOptions { durability: state.durability(), no_slowdown: true });
        }
        let committed = if batch.is_empty() {
            record.commit_nothing();
            Ok(())
        } else {
            let options = WriteOptions { durability: state.durability(), no_slowdown: !patient };
            let began = state.env.clock.moment();
            let keys = keyspace.txn().effects(ColumnFamily::Meta).map(|(key, _)| key);
            let records = state.latest.cache.begin_commit(keys);
            // Only after a failed sync is it not known what is on disk.
            let is_known = |error: &EngineError| !matches!(error, EngineError::SyncFailed(_));
            // What the group changed beside its keys is published in the same step: whoever looks at the record of a commit
            // that succeeded must find everything else as the commit left it.
            let commit = || {
                state.engine.write(&batch, options)?;
                publish(state, &keyspace);
                Ok(())
            };
            let written = if planted::is("commit-record-before-commit") {
                record.commit_nothing();
                commit()
            } else {
                record.commit(commit, is_known)
            };
            if written == Err(EngineError::WriteStall) {
                let requests = ran.into_iter().filter_map(|ran| ran.put_back(state)).collect();
                // What some of them found wanting may be there after all.
                state.waiters.note_overlooked();
                return Committed::Stalled(requests);
            }
            if written.is_ok() || planted::is("cache-before-commit") {
                records.publish(keyspace.txn().effects(ColumnFamily::Meta));
            }
            state.stats.runtime.commit.record(state.env.clock.moment().saturating_sub(began));
            written
        };
        env::pass(&failpoints::WRITER_AFTER_COMMIT, &*state.env.clock).await;
        let finished_at = state.env.clock.moment();
        state.take_events(keyspace.events);
        if !batch.is_empty() {
            state.note_outcome(&committed);
        }
        if committed.is_ok() && !batch.is_empty() {
            let metrics = &state.stats.storage;
            metrics.groups_committed.add(1);
            metrics.operations_committed.add(operations as u64);
            metrics.group_operations.record(operations as u64);
            metrics.group_bytes.record(batch.size_bytes() as u64);
            state.pace.owe(batch.size_bytes());
            state.wrote();
        }
        // Once it is visible, or a client could begin to watch a key in between and still read what was there before.
        // And even if the commit failed, for then nobody knows what is on disk.
        if let Err(error) = state.watches.touch(&mut keyspace, &before) {
            let what = "what a group touched is not known: all watched keys count as touched";
            state.report(Report::new(error.category(), Severity::Warning, Side::Storage, what).error(&error));
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
                state.surroundings().show(lines);
                state.waiters.settle(&parked);
                state.key_events.push_all(&mut keyspace);
                // What the requests took of the channel is given back at once, not one by one: the network side counts there
                // all the time.
                let mut shares: Option<OwnedSemaphorePermit> = None;
                for Ran { client, started, origin } in ran {
                    // Before the reply: then the network side, which made it, is the last to hold the request and frees it.
                    drop(client);
                    if let Origin::Queue { share, steps, .. } = origin {
                        drop(steps);
                        match &mut shares {
                            Some(shares) => shares.merge(share),
                            None => shares = Some(share),
                        }
                    }
                    match failpoints::fault(&failpoints::WRITER_REPLY) {
                        Some(Fault::Drop) => drop(started),
                        Some(Fault::Panic) => panic!("failpoint {}", failpoints::WRITER_REPLY.name),
                        _ => started.finish_prepared(|response| StorageResponse { finished_at, ..response }),
                    }
                }
                Committed::Done
            }
            Err(error) => {
                state.stats.storage.groups_failed.add(1);
                for Ran { client, started, origin } in ran {
                    report_failed(state, &client, &origin, error);
                    started.finish(match origin {
                        Origin::Queue { steps, first, share, .. } => {
                            if planted::is("share-leaks") {
                                std::mem::forget(share);
                            }
                            failed(&steps[first..], error, state, finished_at)
                        }
                        Origin::Line(_, command) => failed(&[Step::Wait(command)], error, state, finished_at),
                    });
                }
                state.waiters.note_overlooked();
                Committed::Failed
            }
        }
    }
}

/// A planted bug.
fn answer_transactions(ran: Vec<Ran>) -> Vec<Ran> {
    let has_exec = |steps: &[Step]| steps.iter().any(|step| matches!(step, Step::Exec(_)));
    let is_transaction = |ran: &Ran| matches!(&ran.origin, Origin::Queue { steps, .. } if has_exec(steps));
    let (early, ran): (Vec<Ran>, Vec<Ran>) = ran.into_iter().partition(is_transaction);
    early.into_iter().for_each(|ran| ran.started.finish_prepared(|response| response));
    ran
}

/// Makes what the group changed beside its keys visible: before the replies, so that no client sees less than it wrote.
fn publish(state: &StorageState, keyspace: &Keyspace<'_>) {
    if !Arc::ptr_eq(keyspace.databases(), &state.databases.load()) {
        state.databases.store(keyspace.databases().clone());
    }
    for (key, value) in keyspace.txn().effects(ColumnFamily::Control) {
        if let Err(error) = state.keyspace_stats.apply(key, value.as_ref()) {
            let what = "the writer wrote a counter that it cannot read: this is a bug";
            state.report(Report::new(Category::Corruption, Severity::Critical, Side::Storage, what).error(&error));
        }
    }
}

/// A request of a group that the engine did not take.
fn report_failed(state: &StorageState, client: &Client, origin: &Origin, error: &EngineError) {
    let severity = match error {
        EngineError::SyncFailed(_) => Severity::Critical,
        _ => Severity::Error,
    };
    let report = Report::new(error.category(), severity, Side::Storage, "a write was not committed");
    let report = report.error(error).client(client.id);
    state.report(match origin {
        Origin::Queue { id, .. } => report.request(id),
        Origin::Line(..) => report,
    });
}

/// The answer to a request whose group was not committed: the error, once for each reply that is due.
fn failed(steps: &[Step], error: &EngineError, state: &StorageState, finished_at: Duration) -> StorageResponse {
    let text = CommandError::from(error.clone()).to_string();
    let refuse = |protocol: Protocol, silent: bool, replies: &mut BytesMut| {
        if !silent {
            let mut reply = ReplyBuffer::from_bytes(std::mem::take(replies), protocol);
            reply.error(&text);
            *replies = reply.into_bytes();
            state.stats.count_error(&text);
        }
    };
    let mut replies = BytesMut::new();
    for step in steps {
        match step {
            Step::Reply(bytes) => replies.extend_from_slice(bytes),
            Step::Run(command) => refuse(command.protocol, command.silent, &mut replies),
            Step::Wait(command) => refuse(command.protocol, command.silent, &mut replies),
            Step::Exec(transaction) => refuse(transaction.protocol, transaction.silent, &mut replies),
        }
    }
    // There is nothing to be sent again.
    StorageResponse {
        engine_error: Some(error.clone()),
        replies,
        next_step: usize::MAX,
        finished_at,
        parts: None,
        reply_shares: Vec::new(),
    }
}
