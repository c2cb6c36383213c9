//! The two runtimes and their lives: start-up in order, health, restart of one side, drain and stop.
//!
//! Start-up is [`RuntimeManager`] → `StorageServer` → `NetworkServer`: each is healthy before the next one starts, and
//! a failure names its step and undoes the earlier ones. Nothing here knows a command or a key.

mod manager;

pub use manager::{Health, RuntimeManager, StartError};
