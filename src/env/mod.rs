//! The doors: everything that a server gets from outside, as traits. Production puts tokio and the operating system
//! behind them ([`real`]), the simulation a world of its own; the server cannot tell.
//!
//! Nothing outside this room reads a clock, draws a random number, opens a socket or starts a thread or task any other
//! way; `tests/tidy.rs` holds that.

mod clock;
mod host;
mod network;
mod random;
pub mod real;
mod runtime;
mod shutdown;

pub use clock::Clock;
pub use host::{Host, NoHost, Space};
pub use network::{Address, Incoming, ListenOptions, Listener, Network, Stream};
pub use random::{Random, RandomSource};
pub use runtime::{
    BoxFuture, Domain, DomainSpec, Exit, Runtimes, Task, caught, is_panicking, panic_message, spawn,
    spawn_engine_thread, yield_now,
};
pub use shutdown::ShutdownRequest;

use std::path::Path;
use std::sync::Arc;

use crate::config::Config;
use crate::engine::{Engine, EngineError};
use crate::failpoints::{Failpoint, Fault, fault};

/// Passes a failpoint in asynchronous code: stalls or panics there if it is armed so. Returns any other fault.
pub async fn pass(point: &'static Failpoint, clock: &dyn Clock) -> Option<Fault> {
    match fault(point) {
        Some(Fault::Stall(duration)) => {
            clock.sleep(duration).await;
            None
        }
        Some(Fault::Panic) => panic!("failpoint {}", point.name),
        other => other,
    }
}

/// The world that a server lives in.
#[derive(Clone)]
pub struct Env {
    pub clock: Arc<dyn Clock>,
    pub network: Arc<dyn Network>,
    pub runtimes: Arc<dyn Runtimes>,
    pub random: Arc<dyn RandomSource>,
    pub storage: Arc<dyn StorageDoor>,
    pub host: Arc<dyn Host>,
}

/// The room on a disk, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// What this process may still write.
    pub free_bytes: u64,
    pub disk_bytes: u64,
}

/// Opens the store, and reads and writes the few small files beside it. Called on engine threads only: any of it may
/// block for as long as the disk pleases.
pub trait StorageDoor: Send + Sync {
    /// Opens the engine in `config.dir`, creating what is missing.
    fn open(&self, config: &Config) -> Result<Arc<dyn Engine>, EngineError>;

    /// Replaces a file's content as a whole: afterwards it is the old one or the new one, never a mixture.
    fn replace_file(&self, path: &Path, content: &[u8]) -> std::io::Result<()>;

    fn read_file(&self, path: &Path) -> std::io::Result<String>;

    /// How much room the disk of a directory has. An error: it cannot be asked, and is taken to have enough.
    fn room(&self, _directory: &Path) -> std::io::Result<Room> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}
