//! Bulkhead: a persistent, Redis-compatible server that keeps its latency when the disk misbehaves.
//!
//! The rooms, in the order in which a request walks through them; each uses only those below it:
//!
//! | room | what it does |
//! |---|---|
//! | [`server`] | puts everything together; `main` and the simulation start here |
//! | [`runtime`] | both runtimes: start-up, health, drain, stop |
//! | [`network`] | listens, accepts, one loop per connection (read `network/connection.rs` first) |
//! | [`commands`] | the command table; one file per family |
//! | [`scripting`] | Lua as scripts know it: interpreter, sandbox, libraries |
//! | [`pubsub`] | publish/subscribe: who listens to what |
//! | [`storage`] | the writer, the readers, group commit |
//! | [`channel`] | the only crossing between the two runtimes |
//! | [`keyspace`] | what all types share: databases, expiry, counters, transactions, scan |
//! | [`layout`] | every key and value on disk |
//! | [`engine`] | the store: RocksDB, or memory with the same crash semantics |
//! | [`env`] | the doors: clock, network, runtime, randomness, disk |
//! | [`observe`] | counters, clients, slow log, logging |
//! | [`resp`] | bytes ↔ values; no I/O |
//! | [`rdb`] | a value ↔ what DUMP gives; no I/O |
//!
//! On the shelf, used by all and using nothing: [`config`], [`failpoints`], [`limits`], [`stream_id`],
//! [`number`], [`glob`].

pub mod channel;
pub mod commands;
pub mod config;
pub mod engine;
pub mod env;
pub mod failpoints;
pub mod glob;
pub mod keyspace;
pub mod layout;
pub mod limits;
pub mod network;
pub mod number;
pub mod observe;
pub mod planted;
pub mod pubsub;
pub mod rdb;
pub mod resp;
pub mod runtime;
pub mod scripting;
pub mod server;
pub mod storage;
pub mod stream_id;
pub mod types;
