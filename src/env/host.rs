//! The machine, this process' accounts there, and the init system, as far as a server asks or tells them anything.
//!
//! Every figure here is for people to look at; nobody may decide anything by one.

use std::io;
use std::path::Path;

use crate::observe::{HostFacts, PoolUsage, ProcessUsage};

pub trait Host: Send + Sync {
    /// Tells the init system something (`READY=1`, `STOPPING=1`), in the words of sd_notify. Nobody need be listening.
    fn notify(&self, state: &str);

    /// What lies in a directory. May block.
    fn space(&self, directory: &Path) -> io::Result<Space>;

    /// What does not change.
    fn facts(&self) -> HostFacts;

    /// What this process uses. Takes a few files, so not for whoever asks often.
    fn process(&self) -> ProcessUsage;

    /// What its threads use, pool by pool. Takes a few files for each thread, so not for a network thread.
    fn pools(&self) -> Vec<PoolUsage>;
}

/// Bytes of a data directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Files of the engine's write-ahead log.
    pub wal_bytes: u64,
    /// All files, subdirectories not counted.
    pub directory_bytes: u64,
}

/// A machine without an init system that listens, and whose disk and processes cannot be asked: a simulated one.
pub struct NoHost;

impl Host for NoHost {
    fn notify(&self, _: &str) {}

    fn space(&self, _: &Path) -> io::Result<Space> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn facts(&self) -> HostFacts {
        HostFacts::default()
    }

    fn process(&self) -> ProcessUsage {
        ProcessUsage::default()
    }

    fn pools(&self) -> Vec<PoolUsage> {
        Vec::new()
    }
}
