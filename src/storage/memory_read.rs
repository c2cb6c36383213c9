//! Reads that the cache of records can answer: on the network runtime, without the channel, and so at the same speed
//! whatever storage does.
//!
//! It must never touch the engine, and never answer anything that a read of the engine at this moment could not.

use std::time::Duration;

use bytes::BytesMut;

use super::execute::{Caller, Surroundings, execute};
use super::laps::Laps;
use crate::channel::StorageCommand;
use crate::keyspace::{KeyspaceEvents, RecordCache, Txn};
use crate::limits;
use crate::observe::Client;

/// A client's reads in a row. Dropped, it has counted them: before the client gets the replies.
pub struct MemoryReads<'a> {
    surroundings: Surroundings<'a>,
    records: &'a RecordCache,
    client: &'a Client,
    laps: Laps<'a>,
    events: KeyspaceEvents,
    answered: u64,
    /// Nobody asks about commands of less than a millisecond one by one.
    may_share: bool,
}

impl<'a> MemoryReads<'a> {
    /// Begins at monotonic time `now`.
    pub fn begin(
        surroundings: Surroundings<'a>,
        records: &'a RecordCache,
        client: &'a Client,
        now: Duration,
    ) -> MemoryReads<'a> {
        let laps = Laps::begin_at(now, &*surroundings.env.clock);
        let slower_than_us = surroundings.config.current().monitoring.slowlog_slower_than_us;
        let may_share = !(0..1000).contains(&slower_than_us);
        MemoryReads { surroundings, records, client, laps, events: KeyspaceEvents::default(), answered: 0, may_share }
    }

    /// Runs a command that only reads, if the records in memory suffice for it: appends its reply to `replies`. `false`:
    /// they do not, and nothing has happened. `random` seeds what it draws.
    pub fn answer(&mut self, random: u64, command: &StorageCommand, replies: &mut BytesMut) -> bool {
        if command.operation.is_long() {
            return false;
        }
        // What a fast command does with a few records in memory is little more than a look at the clock: if it takes long,
        // its thread had to wait, and that says nothing of it.
        let is_short = command.is_fast && command.args.len() <= limits::SHORT_COMMAND_ARGUMENTS_MAX;
        self.laps.share(&command.counters, self.may_share && is_short);
        let txn = Txn::one_read(self.records, Default::default());
        let mut keyspace = self.surroundings.keyspace(txn, self.laps.unix_ms(), random);
        let caller = Caller { client: self.client, request: None, is_shown: true };
        if execute(self.surroundings, command, caller, &mut self.laps, &mut keyspace, replies).is_err() {
            return false;
        }
        self.events += keyspace.events;
        self.answered += 1;
        true
    }
}

impl Drop for MemoryReads<'_> {
    fn drop(&mut self) {
        self.surroundings.take_events(self.events);
        self.surroundings.show(self.laps.take_lines());
        if self.answered > 0 {
            self.surroundings.stats.storage.reads_from_memory.add(self.answered);
        }
    }
}
