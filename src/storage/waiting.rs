//! Blocking commands in the writer: a command that finds nothing is parked, and after each command, or transaction, the
//! parked ones are served whose keys have got something: key by key in the order in which those became ready, and of each
//! key who came first. What they take is part of the same group, so it is on disk with the push that they waited for.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::batch::{BatchProcessor, Origin, Ran};
use super::execute::{Caller, Restart, execute, execute_by};
use crate::channel::slot::Started;
use crate::channel::{Parked, StorageCommand, StorageRequest, StorageResponse, Turn};
use crate::keyspace::{CommandError, Keyspace};
use crate::observe::{Client, Report, Severity, Side};
use crate::resp::ReplyBuffer;

impl BatchProcessor<'_> {
    /// Runs a command that waits if there is nothing for it. Its deadline is its client's.
    pub(super) fn run_waiting(&mut self, request: StorageRequest, command: Arc<StorageCommand>) {
        let StorageRequest { id, client, steps, first, sent_at, deadline, buffer, responder, share } = request;
        let mut replies = buffer;
        let Some(started) = responder.start_by(self.tenure) else { return };
        let waited = self.state.env.clock.now().saturating_sub(sent_at);
        self.state.stats.runtime.queue.record(waited);
        self.begin();
        let caller = Caller { client: &client, request: Some(id), is_shown: true };
        match execute(self.state.surroundings(), &command, caller, &mut self.laps, &mut self.keyspace, &mut replies) {
            Ok(succeeded) => {
                let origin = Origin::Queue { id, steps, first, sent_at, deadline, share };
                self.end(client, started, origin, replies, succeeded);
            }
            Err(Restart::Ready) => {
                self.keyspace.keep();
                // Its share of the channel is given back: what waits is not on its way. If another writer has taken over,
                // that one may have seen what it waits for: it ends as not executed.
                let park = || self.state.waiters.park(started, client.clone(), command.clone());
                match self.tenure.act(park) {
                    Some(Parked::Waiting(turn)) => self.parked.push(turn),
                    Some(Parked::Abandoned) | None => {}
                    Some(Parked::Full(started)) => {
                        let mut reply = ReplyBuffer::new(command.protocol);
                        if !command.silent {
                            reply.error("ERR too many blocked clients");
                        }
                        let origin = Origin::Queue { id, steps, first, sent_at, deadline, share };
                        self.end(client, started, origin, reply.into_bytes(), false);
                    }
                }
            }
            Err(restart) => unreachable!("the writer's reads are unrestricted, yet one asked for {restart:?}"),
        }
        self.serve_ready();
    }

    /// The command is over; it will be answered with the group.
    fn end(
        &mut self,
        client: Arc<Client>,
        mut started: Started<StorageResponse>,
        origin: Origin,
        replies: BytesMut,
        succeeded: bool,
    ) {
        self.operations += 1;
        if succeeded {
            self.keyspace.keep();
        } else {
            self.keyspace.undo();
        }
        let finished_at = self.state.env.clock.now();
        let response = StorageResponse {
            engine_error: None,
            replies,
            next_step: 1,
            finished_at,
            parts: None,
            reply_shares: Vec::new(),
        };
        started.prepare(response, self.record.clone());
        self.ran.push(Ran { client, started, origin });
    }

    /// Serves whom the last command, or transaction, has given something to wait no more for.
    pub(super) fn serve_ready(&mut self) {
        let ready = self.keyspace.take_ready();
        self.serve(ready.into());
    }

    /// A command has run. If it has exchanged databases, any key may be another now: those that are waited for and are there
    /// are ready, and before what comes after it in a transaction.
    pub(super) fn note_exchange(&mut self) {
        if Arc::ptr_eq(self.keyspace.databases(), &self.databases_served) {
            return;
        }
        self.databases_served = self.keyspace.databases().clone();
        for (db, key) in self.state.waiters.keys() {
            self.keyspace.select(db);
            // Of one that cannot be read it is reported where it is served.
            if self.keyspace.peek(&key) != Ok(None) {
                self.keyspace.note_ready(db, key);
            }
        }
    }

    /// Looks at every key that anybody waits for.
    pub fn serve_everyone(&mut self) {
        self.begin();
        self.parked = self.state.waiters.unsettled();
        self.serve(self.state.waiters.keys().into());
    }

    fn serve(&mut self, mut ready: VecDeque<(usize, Bytes)>) {
        while let Some((db, key)) = ready.pop_front() {
            if self.state.waiters.is_empty() {
                return;
            }
            for turn in self.state.waiters.line(db, &key) {
                if !self.serve_one(turn, db, &key) {
                    break;
                }
            }
            // Who moves an element on makes another key ready.
            ready.extend(self.keyspace.take_ready());
        }
    }

    /// Serves one waiter from `key`. Returns whether the key may have something for the next one.
    fn serve_one(&mut self, turn: Turn, db: usize, key: &Bytes) -> bool {
        self.keyspace.select(db);
        let kind = match self.keyspace.peek(key) {
            Ok(Some(record)) => record.kind,
            Ok(None) => return false,
            Err(error) => {
                let what = "a key that clients wait for could not be read";
                let report = Report::new(error.category(), Severity::Error, Side::Storage, what);
                self.state.report(report.error(&error));
                return false;
            }
        };
        let is_wanted = |command: &StorageCommand| command.operation.waits().is_some_and(|wait| wait.kind() == kind);
        // Whoever waits is for the writer in office alone to serve.
        let Some(taken) = self.tenure.act(|| self.state.waiters.take_if(turn, is_wanted)) else { return false };
        let Some(waiter) = taken else { return true };
        // Whoever has withdrawn is skipped, and nothing taken.
        let Some(started) = waiter.responder.start_by(self.tenure) else { return true };
        let (client, command) = (waiter.client, waiter.command);
        let mut replies = BytesMut::new();
        let serve = |keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer| {
            let wait = command.operation.waits().ok_or(CommandError::Internal)?;
            if wait.serve(key, keyspace, reply)? { Ok(()) } else { Err(CommandError::WouldWait) }
        };
        let caller = Caller { client: &client, request: None, is_shown: false };
        let state = self.state.surroundings();
        match execute_by(state, &command, caller, &mut self.laps, &mut self.keyspace, &mut replies, serve) {
            Ok(succeeded) => self.end(client, started, Origin::Line(turn, command), replies, succeeded),
            Err(_) => {
                self.keyspace.undo();
                // If another writer has taken over, it ends as not executed.
                self.tenure.act(|| self.state.waiters.give_back(turn, started, client, command));
            }
        }
        true
    }
}
