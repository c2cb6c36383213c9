//! The typed configuration: what the directives mean to the rest of the server.
//!
//! Plain data, built and checked by [`super::Settings::config`] and never changed afterwards: whoever holds a
//! [`Config`] holds a consistent one. Every field names its directive; the table in `table.rs` says more.

use std::fmt;
use std::path::PathBuf;

use crate::limits;

/// The machine that a configuration is for: what the directives left at `auto` are derived from. A parameter, so that
/// reading a configuration asks the operating system nothing and gives the same result everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Processors that this process may use.
    pub cores: usize,
    /// Physical memory, or the control group's limit where that is lower.
    pub memory_bytes: u64,
}

/// Everything the server obeys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    pub network: NetworkConfig,
    pub runtime: RuntimeConfig,
    pub storage: StorageConfig,
    pub commands: CommandsConfig,
    pub encodings: EncodingsConfig,
    pub log: LogConfig,
    pub monitoring: MonitoringConfig,
    pub process: ProcessConfig,
}

impl Config {
    /// The default user's password (`requirepass`); empty: none is asked for.
    pub fn requirepass(&self) -> &[u8] {
        &self.network.requirepass.0
    }
}

/// Listening, and what a connection may do to the server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetworkConfig {
    /// `bind`; empty: no TCP.
    pub bind: Vec<BindAddress>,
    /// `port`; 0: no TCP.
    pub port: u16,
    /// `protected-mode`: without a password, serve only local clients.
    pub protected_mode: bool,
    /// `unixsocket`, relative to `dir`.
    pub unix_socket: Option<PathBuf>,
    /// `unixsocketperm`; 0: whatever the process' umask leaves.
    pub unix_socket_permissions: u32,
    /// `tcp-backlog`.
    pub tcp_backlog: u32,
    /// `tcp-keepalive`; 0: off.
    pub tcp_keepalive_s: u32,
    /// `timeout`: idle connections are closed after this; 0: never.
    pub idle_timeout_s: u32,
    /// `maxclients`.
    pub clients_max: u32,
    /// `requirepass`.
    pub requirepass: Secret,
    /// `proto-max-bulk-len`.
    pub bulk_bytes_max: usize,
    /// `client-query-buffer-limit`.
    pub query_buffer_bytes_max: usize,
    /// `client-output-buffer-limit`.
    pub output_limits: OutputLimits,
}

/// One address of `bind`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindAddress {
    /// An address or a host name; `*` and `::*` have become `0.0.0.0` and `::`.
    pub host: String,
    /// Given with a leading `-`: the server starts without it where the address does not exist.
    pub optional: bool,
}

impl BindAddress {
    pub(super) fn parse(word: &[u8]) -> BindAddress {
        let (host, optional) = word.strip_prefix(b"-").map_or((word, false), |host| (host, true));
        let host = match host {
            b"*" => "0.0.0.0".into(),
            b"::*" => "::".into(),
            host => String::from_utf8_lossy(host).into_owned(),
        };
        BindAddress { host, optional }
    }
}

/// A password: compared, never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub Box<[u8]>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "***" })
    }
}

/// When a client of a class is disconnected for not reading its replies. 0 means no limit, everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// At once when this much waits.
    pub hard_bytes: u64,
    /// When this much has waited for `soft_seconds`.
    pub soft_bytes: u64,
    pub soft_seconds: u64,
}

/// The limits of the three classes of `client-output-buffer-limit`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimits {
    pub normal: OutputLimit,
    pub replica: OutputLimit,
    pub pubsub: OutputLimit,
}

impl OutputLimits {
    /// How much may wait for a monitor. Its class is `normal`, as in Redis, but without a limit it is never.
    pub fn monitor_bytes(&self) -> u64 {
        match self.normal.hard_bytes {
            0 => limits::MONITOR_BYTES_MAX,
            bytes => bytes,
        }
    }
}

/// The two runtimes and the channel between them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuntimeConfig {
    /// `runtime-mode`.
    pub mode: RuntimeMode,
    /// `network-threads`.
    pub network_threads: usize,
    /// `storage-threads`: readers; the one writer comes on top.
    pub storage_threads: usize,
    /// `channel-capacity`: requests that may wait.
    pub channel_capacity: usize,
    /// `channel-max-bytes`: bytes that may wait.
    pub channel_bytes_max: usize,
    /// `large-replies-max-bytes`: bytes of replies above a megabyte that clients have not read yet.
    pub large_replies_bytes_max: usize,
    /// `request-timeout`.
    pub request_timeout_ms: u64,
    /// `breaker-failures`: write failures in a row that open the circuit breaker; 0: it never opens.
    pub breaker_failures: u64,
    /// `breaker-pause`: until its first probe.
    pub breaker_pause_ms: u64,
    /// `watchdog-timeout`: until a storage thread counts as hung; 0: never.
    pub watchdog_timeout_ms: u64,
    /// `batch-size`: operations of one group commit.
    pub batch_size: usize,
    /// `batch-max-bytes`: bytes of one group commit.
    pub batch_bytes_max: usize,
    /// `batch-timeout`: how long an unfilled group waits for more; 0: never.
    pub batch_timeout_us: u64,
    /// `hz`: ticks of background work a second.
    pub hz: u32,
}

/// Where data lives and when it is safe.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StorageConfig {
    /// `dir`.
    pub dir: PathBuf,
    /// `databases`.
    pub databases: u32,
    /// `appendfsync`.
    pub fsync: Fsync,
    /// `record-cache-size`.
    pub record_cache_bytes: usize,
    /// `disk-reserve`: bytes to be kept free; `None`: as the size of the disk asks for.
    pub disk_reserve_bytes: Option<u64>,
    /// `background-flush-interval`; 0: none.
    pub flush_interval_s: u64,
    /// `background-compact-interval`; 0: none.
    pub compact_interval_s: u64,
    pub rocksdb: RocksDbConfig,
}

/// The engine's knobs; names and meaning are RocksDB's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RocksDbConfig {
    /// Bytes.
    pub block_cache_size: usize,
    /// Bytes of one memtable.
    pub write_buffer_size: usize,
    /// Memtables, the active one included.
    pub max_write_buffer_number: i32,
    /// Flushes and compactions at once.
    pub max_background_jobs: i32,
    /// Threads of one compaction.
    pub max_subcompactions: u32,
    /// Below level 1.
    pub compression: Compression,
    /// Of flush and compaction; 0: no limit.
    pub rate_limiter_bytes_per_sec: i64,
    /// −1: all.
    pub max_open_files: i32,
    /// Files in level 0; never above the next.
    pub level0_file_num_compaction_trigger: i32,
    /// Files in level 0; never above the next.
    pub level0_slowdown_writes_trigger: i32,
    /// Files in level 0.
    pub level0_stop_writes_trigger: i32,
    /// Bytes of log that hold back a flush at most.
    pub max_total_wal_size: u64,
}

impl RocksDbConfig {
    /// As much smaller as a disk of this size asks for: after a full disk RocksDB takes writes again once a memtable would
    /// find room, and it keeps its log until all memtables that are in it are written out. 0: its size is not known.
    pub fn fitted_to(&self, disk_bytes: u64) -> RocksDbConfig {
        let part = |least: u64, share: u64| match disk_bytes {
            0 => usize::MAX,
            bytes => usize::try_from((bytes / share).max(least)).unwrap_or(usize::MAX),
        };
        RocksDbConfig {
            write_buffer_size: self.write_buffer_size.min(part(64 << 10, 32)),
            max_total_wal_size: self.max_total_wal_size.min(part(1 << 20, 8) as u64),
            ..self.clone()
        }
    }
}

/// What is said about commands as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CommandsConfig {
    /// `rename-command`, in the order given, lower case. Whether the commands exist is for the command table to say.
    pub renames: Vec<Rename>,
    /// `notify-keyspace-events`: a set of letters, `A` spelled as such; empty: off.
    pub keyspace_events: String,
    /// `busy-reply-threshold`: how long a script may run; 0: as long as its client waits.
    pub script_time_ms: u64,
}

/// One `rename-command`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    pub from: String,
    /// Empty: the command is taken away.
    pub to: String,
}

/// The sizes past which Redis stores a value differently: what OBJECT ENCODING goes by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EncodingsConfig {
    /// Fields.
    pub hash_max_listpack_entries: u64,
    /// Bytes of a field or value.
    pub hash_max_listpack_value: u64,
    /// Bytes of a HyperLogLog before it becomes a dense one.
    pub hll_sparse_bytes_max: usize,
    /// Members, all of them integers.
    pub set_max_intset_entries: u64,
    /// Bytes of a stream's node; 0: no limit.
    pub stream_node_max_bytes: u64,
    /// Entries of a stream's node; 0: no limit.
    pub stream_node_max_entries: u64,
    /// Members.
    pub zset_max_listpack_entries: u64,
    /// Bytes of a member.
    pub zset_max_listpack_value: u64,
}

/// Where the log goes and how much of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogConfig {
    /// `loglevel`.
    pub level: LogLevel,
    /// `log-format`.
    pub format: LogFormat,
    /// `logfile`, relative to `dir`; `None`: standard output.
    pub file: Option<PathBuf>,
    /// `logfile-max-size`; 0: it grows without end.
    pub file_bytes_max: u64,
    /// `logfile-keep`.
    pub files_kept: u64,
}

/// What is watched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MonitoringConfig {
    /// `slowlog-log-slower-than`; negative: off, 0: every command.
    pub slowlog_slower_than_us: i64,
    /// `slowlog-max-len`.
    pub slowlog_entries_max: u64,
    /// `latency-monitor-threshold`; 0: off.
    pub latency_threshold_ms: u64,
    /// `health-port`; 0: off.
    pub health_port: u16,
    /// `health-stall-threshold`.
    pub health_stall_ms: u64,
    /// `health-channel-threshold`.
    pub health_channel_percent: u32,
    /// `health-unsynced-threshold`; 0: never.
    pub health_unsynced_ms: u64,
    /// `health-free-space-threshold`; 0: never.
    pub health_free_bytes: u64,
    /// `metrics-log-interval`; 0: never.
    pub log_interval_s: u64,
}

/// The process as the init system sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProcessConfig {
    /// `supervised`.
    pub supervised: Supervised,
    /// `pidfile`, relative to `dir`.
    pub pid_file: Option<PathBuf>,
    /// `shutdown-timeout`: how long a shutdown waits for what is in flight.
    pub shutdown_timeout_s: u32,
}

/// Enums whose variants are words of the configuration, so that the words stand in one place.
macro_rules! word_enums {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ })+) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// The words, in the order in which errors list them.
            pub const WORDS: &'static [&'static str] = &[$($word,)+];

            /// The variant of one of [`Self::WORDS`]. Panics on another: the table holds only these.
            pub(super) fn of(word: &str) -> $name {
                match word {
                    $($word => $name::$variant,)+
                    other => panic!("{other} is not a word of {}", stringify!($name)),
                }
            }

            /// The word of the variant.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }
        }
    )+ };
}

word_enums! {
    /// `appendfsync`: when the write-ahead log is synced.
    Fsync {
        #[default]
        EverySecond = "everysec",
        /// Before each answer.
        Always = "always",
        /// When the operating system pleases.
        Never = "no",
    }
    /// `loglevel`.
    LogLevel {
        Debug = "debug",
        Verbose = "verbose",
        #[default]
        Notice = "notice",
        Warning = "warning",
    }
    /// `log-format`: how a line of the log reads.
    LogFormat {
        /// As Redis writes it.
        #[default]
        Redis = "redis",
        /// One JSON object.
        Json = "json",
    }
    /// `supervised`: whom to tell that the server is ready.
    Supervised {
        /// By SIGSTOP; refused, since upstart is gone.
        Upstart = "upstart",
        Systemd = "systemd",
        /// Systemd where NOTIFY_SOCKET is set.
        Auto = "auto",
        #[default]
        No = "no",
    }
    /// `runtime-mode`.
    RuntimeMode {
        /// Network and storage on runtimes of their own.
        #[default]
        Dual = "dual",
        /// Both on one shared runtime: only there to be measured against.
        Single = "single",
    }
    /// `rocksdb.compression`: of the levels below the first two, which are never compressed.
    Compression {
        #[default]
        None = "none",
        Lz4 = "lz4",
        /// LZ4, and ZSTD on the bottommost level.
        Zstd = "zstd",
    }
}
