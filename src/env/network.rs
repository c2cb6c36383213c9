//! Sockets: what the server listens on and the byte streams it accepts.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use tokio::io::{AsyncRead, AsyncWrite};

use super::BoxFuture;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    /// A Unix socket and its file mode (`unixsocketperm`); 0: as the umask has it.
    Unix {
        path: PathBuf,
        mode: u32,
    },
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix { path, .. } => path.display().fmt(f),
        }
    }
}

/// How a listener treats its connections.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// `tcp-backlog`
    pub backlog: u32,
    /// `tcp-keepalive`, in seconds; 0: off. Asked for each connection, since it may change.
    pub keepalive_s: Arc<AtomicU32>,
}

pub trait Network: Send + Sync {
    /// Must be called from within the runtime that will accept.
    fn listen<'a>(
        &'a self,
        address: &'a Address,
        options: ListenOptions,
    ) -> BoxFuture<'a, io::Result<Arc<dyn Listener>>>;
}

pub trait Listener: Send + Sync {
    /// Called by one task at a time.
    fn accept(&self) -> BoxFuture<'_, io::Result<Incoming>>;

    /// The same listener for the runtime that calls this; the one that it was made in needs it no more. Until this one is
    /// dropped, either may accept.
    fn adopt(self: Arc<Self>) -> io::Result<Arc<dyn Listener>>;

    /// Where it really listens: the port that the system chose, where 0 was asked for.
    fn local_address(&self) -> Address;
}

/// An accepted connection.
pub struct Incoming {
    pub stream: Box<dyn Stream>,
    /// As CLIENT LIST shows it: `ip:port`, or `path:0`.
    pub peer: String,
    pub local: String,
    /// The peer is on this machine (loopback or Unix socket): what protected mode asks.
    pub is_local: bool,
}

/// A byte stream both ways.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {
    /// The same stream for the runtime that calls this; the one that it was made in needs it no more. An error closes it.
    fn adopt(self: Box<Self>) -> io::Result<Box<dyn Stream>>;
}
