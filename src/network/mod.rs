//! The network runtime's side: listens, accepts, and runs one [`connection`] per client.
//!
//! It never calls the engine (R2.1) and never waits for anything but sockets, replies and the clock.

mod connection;
mod home;
mod http;
mod listeners;
mod server;
mod sweeper;

pub use home::Home;
pub use http::HttpServer;
pub use listeners::{Adopted, Bound, NetworkError, client_addresses, http_addresses};
pub use server::NetworkServer;
