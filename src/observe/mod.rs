//! Watching: clients, counters, slow log, latency, logging. Written by all rooms, read by INFO and its like.
//!
//! It must never make anyone wait: counters are atomics, locks are held for a field copy and never across an await.

mod clients;
mod error_log;
mod health;
mod histogram;
mod history;
mod json;
mod latency;
mod logging;
mod mailbox;
mod metrics;
mod monitors;
mod process;
mod registry;
mod sampler;
mod slowlog;
mod stats;
mod tally;

pub use clients::{Client, ClientFacts, Clients, Pause, PauseKind, Unblock};
pub use error_log::{Category, ErrorLog, Report, Severity};
pub use health::{Condition, Finding, Health, HealthChange, HealthReport, Phase, Side, Status};
pub use histogram::{Distribution, Histogram};
pub use history::{History, Second, Totals};
pub use json::Json;
pub use latency::{LatencyEvent, LatencyMonitor};
pub use logging::{LogHandle, set_log_style, start_logging};
pub use mailbox::{Mail, Mailbox};
pub use metrics::{ChannelMetrics, RuntimeMetrics, SizeHistogram, StorageMetrics, nanos};
pub use monitors::{Line, Monitor, Monitors};
pub use process::{HostFacts, PoolUsage, ProcessUsage, machine_memory_bytes};
pub use registry::{Kind, Reading, Row, Step, exposition, info_fields, log_fields};
pub use sampler::{Rate, SAMPLE_INTERVAL, Sampler};
pub use slowlog::{SlowCommand, SlowLog};
pub use stats::{CommandCounters, CommandStats, Counter, HeldClient, Ran, ServerStats};
pub use tally::Tally;
