//! The machine and its init system, as far as a server talks to them: is there room on the disk, and whom to tell that
//! it is ready.

use std::io;
use std::path::Path;

pub trait Host: Send + Sync {
    /// Tells the init system something (`READY=1`, `STOPPING=1`), in the words of sd_notify. Nobody need be listening.
    fn notify(&self, state: &str);

    /// What lies in a directory and how much room there is beside it. May block.
    fn space(&self, directory: &Path) -> io::Result<Space>;
}

/// Bytes of a data directory and of the disk that it is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Files of the engine's write-ahead log.
    pub wal_bytes: u64,
    /// All files, subdirectories not counted.
    pub directory_bytes: u64,
    /// What this process may still write.
    pub free_bytes: u64,
    pub disk_bytes: u64,
}

/// A machine without an init system that listens and without a disk that can be asked: a simulated one.
pub struct NoHost;

impl Host for NoHost {
    fn notify(&self, _: &str) {}

    fn space(&self, _: &Path) -> io::Result<Space> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
