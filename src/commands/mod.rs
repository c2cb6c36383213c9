//! The commands: one file per family, each holding its rows of the command table, its parsing, its running and its
//! examples. Adding a command edits one file; adding a family adds one line to [`FAMILIES`].
//!
//! A command is parsed in the network runtime and, if it needs data, run in the storage runtime as an [`Operation`]: a
//! synchronous function of a [`Keyspace`]. It must never read a clock, draw a random number, or touch a socket or a
//! file by any other way than its context gives it.

pub mod context;
pub mod parse;
pub mod scripting;
pub mod secrets;
pub mod spec;
pub mod table;
pub mod transactions;
pub mod watch;

mod bitmaps;
mod blocking;
mod cluster;
mod collections;
mod connection;
mod geo;
mod hashes;
mod hyperloglog;
mod introspection;
mod keys;
mod lists;
mod pubsub;
mod server;
mod sets;
mod sorted_sets;
mod streams;
mod strings;

#[cfg(test)]
mod network_tests;
#[cfg(test)]
mod tests;

pub use crate::keyspace::{CommandError, Operation, echoed};
pub use connection::foreseen_protocol;
pub use context::{Next, Session};
pub use server::foreseen_operation;
pub use spec::{Argument, ArgumentKind, BeginSearch, Command, FindKeys, Flag, Group, KeySpec, Run};
pub use table::CommandTable;

/// Every family of commands.
pub static FAMILIES: &[&[&Command]] = &[
    bitmaps::COMMANDS,
    cluster::COMMANDS,
    connection::COMMANDS,
    geo::COMMANDS,
    hashes::COMMANDS,
    hyperloglog::COMMANDS,
    introspection::COMMANDS,
    keys::COMMANDS,
    lists::COMMANDS,
    pubsub::COMMANDS,
    scripting::COMMANDS,
    server::COMMANDS,
    sets::COMMANDS,
    sorted_sets::COMMANDS,
    streams::COMMANDS,
    strings::COMMANDS,
    transactions::COMMANDS,
];
