//! The network runtime's side: listens, accepts, and runs one [`connection`] per client.
//!
//! It never calls the engine (R2.1) and never waits for anything but sockets, replies and the clock.

mod connection;
mod server;
mod sweeper;

pub use server::{NetworkError, NetworkServer};
