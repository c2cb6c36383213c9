//! The storage runtime's side: takes requests from the channel, runs them against the engine, answers.
//!
//! One [`writer`] commits in groups; [`reader`]s answer what only reads; [`maintenance`] keeps the WAL synced;
//! [`background`] flushes, compacts and keeps the books of all that nobody waits for. All run on engine threads. Nothing here knows a socket, and nothing here waits for a client.

mod background;
mod batch;
mod execute;
mod laps;
mod maintenance;
mod memory_read;
mod pacing;
mod reader;
mod reclaim;
mod reserve;
mod server;
mod supervision;
mod transaction;
mod waiting;
mod writer;

pub use crate::engine::EngineStatistics;
pub use background::{BackgroundTask, BackgroundTaskManager, TaskStatus};
pub use execute::Surroundings;
pub use memory_read::MemoryReads;
pub use server::{EngineTrouble, StorageError, StorageParts, StorageServer, StorageState, on_engine_thread};
