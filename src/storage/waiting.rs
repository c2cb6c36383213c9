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
use crate::keyspace::{CommandError, Keyspace, ReadyKey, Wait};
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
                let origin = Origin::Queue { id, steps, first, sent_at, deadline, share };
                let command = match self.settle(&command) {
                    Ok(settled) => settled.unwrap_or(command),
                    Err(error) => return self.refuse(client, started, origin, &command, &error.reply_text()),
                };
                self.keyspace.keep();
                // Its share of the channel is given back: what waits is not on its way. If another writer has taken over,
                // that one may have seen what it waits for: it ends as not executed.
                let park = || self.state.waiters.park(started, client.clone(), command.clone());
                match self.tenure.act(park) {
                    Some(Parked::Waiting(turn)) => self.parked.push(turn),
                    Some(Parked::Abandoned) | None => {}
                    Some(Parked::Full(started)) => {
                        self.refuse(client, started, origin, &command, b"ERR too many blocked clients");
                    }
                }
            }
            Err(restart) => unreachable!("the writer's reads are unrestricted, yet one asked for {restart:?}"),
        }
        self.serve_ready();
    }

    /// What is to wait in place of a command that has found nothing, if not that itself.
    fn settle(&mut self, command: &StorageCommand) -> Result<Option<Arc<StorageCommand>>, CommandError> {
        self.keyspace.select(command.db);
        let wait = command.operation.waits().ok_or(CommandError::Internal)?;
        let settled = wait.settle(&mut self.keyspace)?;
        Ok(settled.map(|operation| Arc::new(command.with_operation(operation))))
    }

    /// The command can neither be served nor wait.
    fn refuse(
        &mut self,
        client: Arc<Client>,
        started: Started<StorageResponse>,
        origin: Origin,
        command: &StorageCommand,
        error: &[u8],
    ) {
        let mut reply = ReplyBuffer::new(command.protocol);
        if !command.silent {
            reply.error(error);
        }
        self.end(client, started, origin, reply.into_bytes(), false);
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
    /// are ready, and before what comes after it in a transaction. Of those that are not there only who reads by a group is
    /// told.
    pub(super) fn note_exchange(&mut self) {
        if Arc::ptr_eq(self.keyspace.databases(), &self.databases_served) {
            return;
        }
        self.databases_served = self.keyspace.databases().clone();
        for (db, key) in self.state.waiters.keys() {
            self.keyspace.select(db);
            // Of one that cannot be read it is reported where it is served.
            if self.keyspace.peek(&key) != Ok(None) || self.may_be_missed(db, &key) {
                self.keyspace.note_ready(db, key);
            }
        }
    }

    /// Whether anybody who waits for this key gives up when it goes.
    fn may_be_missed(&self, db: usize, key: &Bytes) -> bool {
        let waiters = &self.state.waiters;
        let gives_up = |command: &StorageCommand| command.operation.waits().is_some_and(|wait| wait.lost().is_some());
        waiters.line(db, key).into_iter().any(|turn| waiters.command(turn).is_some_and(|command| gives_up(&command)))
    }

    fn waited_for(&self) -> impl Iterator<Item = ReadyKey> + use<> {
        self.state.waiters.keys().into_iter().map(|(db, key)| ReadyKey { db, key, is_lost: true })
    }

    /// Looks at every key that anybody waits for.
    pub fn serve_everyone(&mut self) {
        self.begin();
        self.parked = self.state.waiters.unsettled();
        for turn in self.parked.clone() {
            // What it took for the state of things may never have come to be.
            let Some(command) = self.state.waiters.command(turn) else { continue };
            match self.settle(&command) {
                Ok(Some(settled)) => drop(self.tenure.act(|| self.state.waiters.replace(turn, settled))),
                Ok(None) => {}
                Err(error) => self.report_unread(&error),
            }
        }
        let all = self.waited_for().collect();
        self.serve(all);
    }

    fn serve(&mut self, mut ready: VecDeque<ReadyKey>) {
        while let Some(ReadyKey { db, key, is_lost }) = ready.pop_front() {
            if self.state.waiters.is_empty() {
                return;
            }
            for turn in self.state.waiters.line(db, &key) {
                if !self.serve_one(turn, db, &key, is_lost) {
                    break;
                }
            }
            // Who moves an element on makes another key ready.
            ready.extend(self.keyspace.take_ready());
        }
    }

    fn report_unread(&self, error: &CommandError) {
        let what = "a key that clients wait for could not be read";
        let report = Report::new(error.category(), Severity::Error, Side::Storage, what);
        self.state.report(report.error(error));
    }

    /// Serves one waiter from `key`, or tells it that what it waits for is not there any more if `is_lost` says that it may
    /// not be. Returns whether the key may have something for the next one.
    fn serve_one(&mut self, turn: Turn, db: usize, key: &Bytes, is_lost: bool) -> bool {
        self.keyspace.select(db);
        let kind = match self.keyspace.peek(key) {
            Ok(Some(record)) => Some(record.kind),
            Ok(None) if is_lost => None,
            Ok(None) => return false,
            Err(error) => {
                self.report_unread(&error);
                return false;
            }
        };
        let is_wanted = |command: &StorageCommand| {
            let wants = |wait: &dyn Wait| kind == Some(wait.kind()) || is_lost && wait.lost().is_some();
            command.operation.waits().is_some_and(wants)
        };
        // Whoever waits is for the writer in office alone to serve.
        let Some(taken) = self.tenure.act(|| self.state.waiters.take_if(turn, is_wanted)) else { return false };
        let Some(waiter) = taken else { return true };
        // Whoever has withdrawn is skipped, and nothing taken.
        let Some(started) = waiter.responder.start_by(self.tenure) else { return true };
        let (client, command) = (waiter.client, waiter.command);
        let mut replies = BytesMut::new();
        let serve = |keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer| {
            let wait = command.operation.waits().ok_or(CommandError::Internal)?;
            if kind != Some(wait.kind()) {
                return Err(wait.lost().unwrap_or(CommandError::WouldWait));
            }
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
