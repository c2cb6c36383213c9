//! Watching: clients, counters, slow log, latency, logging. Written by all rooms, read by INFO and its like.
//!
//! It must never make anyone wait: counters are atomics, locks are held for a field copy and never across an await.

mod clients;
mod histogram;
mod latency;
mod logging;
mod metrics;
mod process;
mod sampler;
mod slowlog;
mod stats;

pub use clients::{Client, ClientFacts, Clients, Pause, PauseKind, Unblock};
pub use histogram::{Distribution, Histogram};
pub use latency::{LatencyEvent, LatencyMonitor};
pub use logging::{LogHandle, set_log_level, start_logging};
pub use metrics::{ChannelMetrics, RuntimeMetrics, SizeHistogram, StorageMetrics, nanos};
pub use process::{PoolUsage, ProcessUsage, kernel_release, machine_memory_bytes, open_files_max};
pub use sampler::{Rate, SAMPLE_INTERVAL, Sampler};
pub use slowlog::{SlowCommand, SlowLog};
pub use stats::{CommandCounters, CommandStats, Counter, Ran, ServerStats};
