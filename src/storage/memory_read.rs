//! Reads that the cache of records can answer: on the network runtime, without the channel, and so at the same speed
//! whatever storage does.
//!
//! It must never touch the engine, and never answer anything that a read of the engine at this moment could not.

use bytes::BytesMut;

use super::execute::{Caller, Surroundings, execute};
use crate::channel::StorageCommand;
use crate::keyspace::{RecordCache, Txn};
use crate::observe::Client;

/// Runs a command that only reads, if the records in memory suffice for it: appends its reply to `replies`. `false`: they
/// do not, and nothing has happened.
pub fn answer_from_memory(
    surroundings: Surroundings<'_>,
    records: &RecordCache,
    random: u64,
    command: &StorageCommand,
    client: &Client,
    replies: &mut BytesMut,
) -> bool {
    if command.operation.is_long() {
        return false;
    }
    let mut keyspace = surroundings.keyspace(Txn::one_read(records, Default::default()), random);
    let caller = Caller { client, request: None };
    if execute(surroundings, command, caller, &mut keyspace, replies).is_err() {
        return false;
    }
    surroundings.take_events(keyspace.events);
    surroundings.stats.storage.reads_from_memory.add(1);
    surroundings.stats.storage.reads_from_records.add(1);
    true
}
