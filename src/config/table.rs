//! The directive table: every directive that exists, once. The configuration file, the flags, CONFIG GET / SET /
//! REWRITE, `--help` and `--sample-config` all read it; adding a directive is adding a row.
//!
//! Directives of Redis 7.0.15 keep their name, default and meaning; one that has no meaning here is a row all the
//! same, with the reason why ignoring it is harmless. Where ignoring it would not be, the row says which values are
//! refused, and in which words. A row must never be accepted whose promise is then silently broken.

use super::directive::{Directive, accepted, active};
use super::model::*;
use super::text;
use super::value::{self, Kind, Value};
use crate::limits;

/// The row of a name or alias in any case, as its place in [`DIRECTIVES`] and the table's spelling of that name.
pub fn find(name: &[u8]) -> Option<(usize, &'static str)> {
    let same = |known: &&'static str| known.as_bytes().eq_ignore_ascii_case(name);
    let spelled = |row: &Directive| Some(row.name).filter(same).or(row.alias.filter(same));
    DIRECTIVES.iter().enumerate().find_map(|(index, row)| Some((index, spelled(row)?)))
}

/// The known name that an unknown one is probably meant to be.
pub fn nearest(name: &[u8]) -> Option<&'static str> {
    let names = DIRECTIVES.iter().filter(|row| !row.hidden).flat_map(|row| [Some(row.name), row.alias]).flatten();
    text::nearest(name, names)
}

// ---- Ranges that several rows share -------------------------------------------------------------------------------

const fn integer(min: i64, max: i64) -> Kind {
    Kind::Integer { min, max }
}

const fn memory(min: u64, max: u64) -> Kind {
    Kind::Memory { min, max }
}

const BOOL: Kind = Kind::Bool;
const TEXT: Kind = Kind::Text;
/// From 0 to what a C `int`, `unsigned` or `long` holds: Redis' ranges.
const INT: Kind = integer(0, i32::MAX as i64);
const UINT: Kind = integer(0, u32::MAX as i64);
const LONG: Kind = integer(0, i64::MAX);
const POSITIVE: Kind = integer(1, i32::MAX as i64);
const PORT: Kind = integer(0, u16::MAX as i64);
const PERCENT: Kind = integer(0, 100);
const THREADS: Kind = integer(1, limits::THREADS_MAX);
const KB: u64 = 1 << 10;
const MB: u64 = 1 << 20;
const GB: u64 = 1 << 30;
const SIZE: Kind = memory(0, i64::MAX as u64);
const YES_NO_LOCAL: Kind = Kind::Word(&["no", "yes", "local"]);

// ---- What `auto` comes to (STORAGE.md, section 5) ------------------------------------------------------------------

/// A larger machine is one where the writer does not share its core with everyone else.
fn is_small(machine: &Machine) -> bool {
    machine.cores <= 4
}

/// Serving sockets and reading data cost about the same, so each pool gets half of the cores.
fn half_of_cores(machine: &Machine) -> Value {
    Value::Integer((machine.cores as i64 / 2).clamp(1, 64))
}

/// One reader answers from memory, the others wait for the disk: with fewer than two of them, one cold read would hold
/// up the next.
fn readers(machine: &Machine) -> Value {
    Value::Integer((machine.cores as i64 / 2).clamp(3, 64))
}

/// A third of memory: the rest is for memtables, buffers and the operating system's own cache of compressed blocks.
fn third_of_memory(machine: &Machine) -> Value {
    Value::Memory((machine.memory_bytes / 3).clamp(8 * MB, 64 * GB))
}

fn sixteenth_of_memory(machine: &Machine) -> Value {
    Value::Memory((machine.memory_bytes / 16).clamp(MB, 4 * GB))
}

/// 128 MiB on 24 GiB: two busy column families with five memtables each then stay near a twentieth of memory.
fn memtable_bytes(machine: &Machine) -> Value {
    Value::Memory((machine.memory_bytes / 192).clamp(16 * MB, 256 * MB))
}

fn memtables(machine: &Machine) -> Value {
    Value::Integer(if is_small(machine) { 5 } else { 6 })
}

fn background_jobs(machine: &Machine) -> Value {
    Value::Integer((machine.cores as i64 / 2).clamp(2, 16))
}

fn subcompactions(machine: &Machine) -> Value {
    Value::Integer((machine.cores as i64 / 4).clamp(1, 4))
}

/// With few cores compaction falls behind sooner: there is more room before writes are slowed.
fn slowdown_trigger(machine: &Machine) -> Value {
    Value::Integer(if is_small(machine) { 24 } else { 20 })
}

fn stop_trigger(machine: &Machine) -> Value {
    Value::Integer(if is_small(machine) { 48 } else { 40 })
}

/// ZSTD pays only where compaction has cores to spare.
fn compression(machine: &Machine) -> Value {
    Value::Word(if is_small(machine) { Compression::Lz4 } else { Compression::Zstd }.word())
}

fn wal_bytes(machine: &Machine) -> Value {
    Value::Memory((machine.memory_bytes / 16).clamp(256 * MB, 2 * GB))
}

// ---- Why a directive of Redis has nothing to do here ---------------------------------------------------------------

const PERSISTENCE: &str =
    "every write goes to the engine's log before it is answered: there is no RDB file or AOF to tune";
const NO_EVICTION: &str = "data lives on disk and is never evicted; rocksdb.block_cache_size bounds the memory it uses";
const NO_DEFRAG: &str = "keys are not held in memory: there is no heap of them to defragment, rehash or tune";
const FREED_LATER: &str = "deleting a key of any size is one small write; its elements are freed in the background";
const REPLICATION: &str = "this version does not replicate";
const CLUSTER: &str = "this version has no cluster mode";
const TLS: &str = "this version does not speak TLS (and tls-port is 0)";
const ACL: &str = "this version has one user, whose password is requirepass";
const THREADING: &str = "network-threads and storage-threads say how many threads serve";
const SYSTEM: &str = "this is left to the init system and the operating system";
const LOOKS: &str = "this only concerns how redis-server looks in a process list, on a console or after a crash";
const ON_DISK: &str = "values are laid out for the disk";
const LATENCY: &str = "latencies are always recorded, in fixed histograms";
const CACHING: &str = "this version does not track keys for clients";
const DEBUG: &str = "this is a debugging aid of redis-server";
const PERMISSIONS: &str = "this version has no command that it would allow";
const DEPRECATED: &str = "Redis itself ignores these since 7.0";

// ---- What is refused, and why --------------------------------------------------------------------------------------

const NO_CLUSTER: &str = "cluster mode. Leave cluster-enabled at no and give each server its own part of the keys";
const NO_REPLICATION: &str = "replication. Remove replicaof; back up the data directory instead";
const NO_MIN_REPLICAS: &str = "replication, so writes would never be allowed. Set min-replicas-to-write to 0";
const NO_TLS: &str = "TLS. Leave tls-port at 0 and put a TLS proxy in front of port";
const NO_ACL: &str = "ACL users. Remove it; requirepass sets the password of the default user";
const NO_MODULES: &str = "modules. Remove loadmodule";
const NO_SENTINEL: &str = "Sentinel mode. Remove sentinel";
const NO_DAEMON: &str = "forking into the background. Leave daemonize at no and let the init system \
    (supervised systemd) or `nohup … &` do it";
const NO_UPSTART: &str = "upstart. Use supervised systemd, auto or no";
const NO_SYSLOG: &str =
    "writing to syslog. Leave syslog-enabled at no; under systemd standard output reaches the journal";

// ---- Chapters of help and sample, in the order of the rows ---------------------------------------------------------

const NETWORK: &str = "Network";
const CLIENTS: &str = "Clients and their limits";
const STORAGE: &str = "Data and durability";
const RUNTIMES: &str = "Runtimes, channel and batches";
const ENGINE: &str = "Engine (RocksDB)";
const COMMANDS: &str = "Commands";
const ENCODINGS: &str = "Encodings that OBJECT ENCODING reports";
const LOGGING: &str = "Log";
const MONITORING: &str = "Monitoring";
const PROCESS: &str = "Process";

/// Every directive. `active(chapter, name, kind, default, setter, doc)` or `accepted(why, name, kind, default)`.
// Not formatted: a table of two hundred rows is read by column, and rustfmt would give each row ten lines.
#[rustfmt::skip]
pub static DIRECTIVES: &[Directive] = &[
    // Network
    active(NETWORK, "bind", Kind::List(value::addresses), "* -::*",
        |c, v| c.network.bind = v.list().iter().map(|word| BindAddress::parse(word)).collect(),
        "Addresses to listen on; one with a leading - may be missing. * is every IPv4, ::* every IPv6 address."),
    active(NETWORK, "port", PORT, "6379", |c, v| c.network.port = v.number(),
        "TCP port to listen on; 0 listens on none."),
    active(NETWORK, "protected-mode", BOOL, "yes", |c, v| c.network.protected_mode = v.flag(),
        "Without a requirepass, serve only clients of this host."),
    active(NETWORK, "unixsocket", TEXT, "", |c, v| c.network.unix_socket = v.path(),
        "Unix socket to listen on, relative to dir.").fixed(),
    active(NETWORK, "unixsocketperm", Kind::Octal { max: 0o777 }, "0",
        |c, v| c.network.unix_socket_permissions = v.number(),
        "Permissions of the Unix socket, octal; 0 leaves them to the umask.").fixed(),
    active(NETWORK, "tcp-backlog", INT, "511", |c, v| c.network.tcp_backlog = v.number(),
        "Connections that the operating system queues before they are accepted.").fixed(),
    active(NETWORK, "tcp-keepalive", INT, "300", |c, v| c.network.tcp_keepalive_s = v.number(),
        "Seconds after which an idle peer is probed; 0 probes none."),

    // Clients
    active(CLIENTS, "requirepass", TEXT, "", |c, v| c.network.requirepass = Secret(v.bytes().into()),
        "Password that AUTH asks for; empty asks for none.").secret(),
    active(CLIENTS, "maxclients", integer(1, u32::MAX as i64), "10000", |c, v| c.network.clients_max = v.number(),
        "Connections served at once; more are told so and closed."),
    active(CLIENTS, "timeout", INT, "0", |c, v| c.network.idle_timeout_s = v.number(),
        "Seconds after which an idle client is closed; 0 closes none."),
    active(CLIENTS, "proto-max-bulk-len", memory(MB, i64::MAX as u64), "512mb",
        |c, v| c.network.bulk_bytes_max = v.number(),
        "Bytes of one argument, and of one string value."),
    active(CLIENTS, "client-query-buffer-limit", memory(MB, i64::MAX as u64), "1gb",
        |c, v| c.network.query_buffer_bytes_max = v.number(),
        "Bytes that a client may have sent and not yet seen run."),
    active(CLIENTS, "client-output-buffer-limit", Kind::List(value::output_limits),
        "normal 0 0 0 replica 256mb 64mb 60 pubsub 32mb 8mb 60", |c, v| c.network.output_limits = v.output_limits(),
        "Class, hard limit, soft limit, soft seconds: a client that leaves more unread is closed; 0 is no limit."),

    // Data and durability
    active(STORAGE, "dir", TEXT, "./", |c, v| c.storage.dir = v.path().unwrap_or_else(|| "./".into()),
        "Directory of the data; one server at a time may use it.").protected(),
    active(STORAGE, "databases", integer(1, limits::DATABASES_MAX as i64), "16",
        |c, v| c.storage.databases = v.number(),
        "Databases that SELECT can choose from.").fixed(),
    active(STORAGE, "appendfsync", Kind::Word(Fsync::WORDS), "everysec", |c, v| c.storage.fsync = Fsync::of(v.word()),
        "When the log is forced to disk: always before each answer, once a second, or no (when the system pleases). \
         A crash of this process loses nothing acknowledged under any of them; a power cut may, except under always."),
    active(STORAGE, "disk-reserve", memory(0, limits::DISK_RESERVE_AUTO), "auto",
        |c, v| c.storage.disk_reserve_bytes = Some(v.number()).filter(|bytes| *bytes != limits::DISK_RESERVE_AUTO),
        "Bytes of the disk that are kept free: below it commands that take room are refused, deletes and reads go on; 0 \
         keeps none, auto a twentieth of the disk, 16mb to 1gb.").auto(|_| Value::Memory(limits::DISK_RESERVE_AUTO)),
    active(STORAGE, "background-flush-interval", INT, "0", |c, v| c.storage.flush_interval_s = v.number(),
        "Seconds between two flushes of all memtables, which shorten recovery; 0 leaves it to the engine."),
    active(STORAGE, "background-compact-interval", INT, "0", |c, v| c.storage.compact_interval_s = v.number(),
        "Seconds between two compactions of everything; 0 leaves it to the engine. See also BGTASK."),

    // Runtimes, channel and batches
    active(RUNTIMES, "runtime-mode", Kind::Word(RuntimeMode::WORDS), "dual",
        |c, v| c.runtime.mode = RuntimeMode::of(v.word()),
        "dual: network and storage each on their own threads. single: one shared runtime, for comparison.").fixed(),
    active(RUNTIMES, "network-threads", THREADS, "auto", |c, v| c.runtime.network_threads = v.number(),
        "Threads that serve sockets; auto is half of the cores.").auto(half_of_cores),
    active(RUNTIMES, "storage-threads", THREADS, "auto", |c, v| c.runtime.storage_threads = v.number(),
        "Threads that read data, beside the one that writes; auto is half of the cores, at least 3.").auto(readers),
    active(RUNTIMES, "channel-capacity", integer(16, 1 << 20), "16384", |c, v| c.runtime.channel_capacity = v.number(),
        "Requests that may wait for storage. A connection has one at a time, so this many can be served before \
         others wait their turn.").fixed(),
    active(RUNTIMES, "channel-max-bytes", memory(MB, 1 << 40), "64mb", |c, v| c.runtime.channel_bytes_max = v.number(),
        "Bytes of requests that may wait for storage; past it sockets are no longer read."),
    active(RUNTIMES, "large-replies-max-bytes", memory(MB, 1 << 40), "1gb",
        |c, v| c.runtime.large_replies_bytes_max = v.number(),
        "Bytes of replies larger than a megabyte that may wait for their clients to read them; past it, further ones are \
         refused. One alone may be larger."),
    active(RUNTIMES, "request-timeout", integer(10, 3_600_000), "10000",
        |c, v| c.runtime.request_timeout_ms = v.number(),
        "Milliseconds after which a waiting request is answered with an error. Long enough to sit out a write stall of \
         the engine, short enough that no client waits for a dead disk; blocking commands bring their own timeout."),
    active(RUNTIMES, "breaker-failures", integer(0, 1_000_000), "32", |c, v| c.runtime.breaker_failures = v.number(),
        "Writes in a row that storage failed (an engine error, a timeout) until further ones are refused at once; 0 never \
         refuses."),
    active(RUNTIMES, "breaker-pause", integer(10, 2_000), "250", |c, v| c.runtime.breaker_pause_ms = v.number(),
        "Milliseconds until one write may try whether storage is back; doubled each time that it is not, up to 2000."),
    active(RUNTIMES, "watchdog-timeout", integer(0, 86_400_000), "30000",
        |c, v| c.runtime.watchdog_timeout_ms = v.number(),
        "Milliseconds that a storage thread may be at one piece of work before it counts as hung: a reader is then \
         replaced, and so is a writer unless it is within its commit; then it is told and writes are refused; 0 never."),
    active(RUNTIMES, "batch-size", integer(1, 65_536), "256", |c, v| c.runtime.batch_size = v.number(),
        "Operations committed together at most. Bounds what one commit can delay."),
    active(RUNTIMES, "batch-max-bytes", memory(64 * KB, GB), "1mb", |c, v| c.runtime.batch_bytes_max = v.number(),
        "Bytes committed together at most; a single larger operation is committed alone."),
    active(RUNTIMES, "batch-timeout", integer(0, 1_000_000), "0", |c, v| c.runtime.batch_timeout_us = v.number(),
        "Microseconds that an unfilled batch waits for more; 0 never waits. Pays only where a sync costs far more."),
    active(RUNTIMES, "hz", Kind::Special(value::frequency), "10", |c, v| c.runtime.hz = v.number(),
        "Ticks a second of background work, from 1 to 500."),

    // Engine
    active(ENGINE, "record-cache-size", memory(0, 1 << 50), "auto",
        |c, v| c.storage.record_cache_bytes = v.number(),
        "Bytes of hot keys' records kept in memory, ready to be read without the storage threads; auto is a sixteenth of memory, at most 4gb.")
        .auto(sixteenth_of_memory).fixed(),
    active(ENGINE, "rocksdb.block_cache_size", memory(MB, 1 << 50), "auto",
        |c, v| c.storage.rocksdb.block_cache_size = v.number(),
        "Bytes of uncompressed blocks kept in memory; auto is a third of memory, at most 64gb.").auto(third_of_memory),
    active(ENGINE, "rocksdb.write_buffer_size", memory(64 * KB, 16 * GB), "auto",
        |c, v| c.storage.rocksdb.write_buffer_size = v.number(),
        "Bytes of one memtable; auto is 16mb to 256mb by memory.").auto(memtable_bytes),
    active(ENGINE, "rocksdb.max_write_buffer_number", integer(2, 64), "auto",
        |c, v| c.storage.rocksdb.max_write_buffer_number = v.number(),
        "Memtables before writes stop; auto is 5, or 6 with more than 4 cores.").auto(memtables),
    active(ENGINE, "rocksdb.max_background_jobs", integer(1, 128), "auto",
        |c, v| c.storage.rocksdb.max_background_jobs = v.number(),
        "Flushes and compactions at once; auto is half of the cores, at least 2.").auto(background_jobs).fixed(),
    active(ENGINE, "rocksdb.max_subcompactions", integer(1, 128), "auto",
        |c, v| c.storage.rocksdb.max_subcompactions = v.number(),
        "Threads that share one compaction; auto is a quarter of the cores, 1 to 4.").auto(subcompactions).fixed(),
    active(ENGINE, "rocksdb.compression", Kind::Word(Compression::WORDS), "auto",
        |c, v| c.storage.rocksdb.compression = Compression::of(v.word()),
        "Of the levels below the first two: none, lz4, or zstd (on the last level, LZ4 above); auto is lz4, or zstd \
         with more than 4 cores.").auto(compression),
    active(ENGINE, "rocksdb.rate_limiter_bytes_per_sec", SIZE, "0",
        |c, v| c.storage.rocksdb.rate_limiter_bytes_per_sec = v.number(),
        "Bytes a second that flush and compaction may write; 0 is no limit.").fixed(),
    active(ENGINE, "rocksdb.max_open_files", integer(-1, i32::MAX as i64), "-1",
        |c, v| c.storage.rocksdb.max_open_files = v.number(),
        "Table files held open; -1 holds all.").fixed(),
    active(ENGINE, "rocksdb.level0_file_num_compaction_trigger", integer(1, 1024), "4",
        |c, v| c.storage.rocksdb.level0_file_num_compaction_trigger = v.number(),
        "Files in level 0 that start a compaction."),
    active(ENGINE, "rocksdb.level0_slowdown_writes_trigger", integer(1, 1024), "auto",
        |c, v| c.storage.rocksdb.level0_slowdown_writes_trigger = v.number(),
        "Files in level 0 that slow writes; auto is 24, or 20 with more than 4 cores.").auto(slowdown_trigger),
    active(ENGINE, "rocksdb.level0_stop_writes_trigger", integer(1, 1024), "auto",
        |c, v| c.storage.rocksdb.level0_stop_writes_trigger = v.number(),
        "Files in level 0 that stop writes; auto is 48, or 40 with more than 4 cores.").auto(stop_trigger),
    active(ENGINE, "rocksdb.max_total_wal_size", memory(MB, 1 << 40), "auto",
        |c, v| c.storage.rocksdb.max_total_wal_size = v.number(),
        "Bytes of log before the oldest memtables are flushed; auto is 256mb to 2gb by memory.")
        .auto(wal_bytes).fixed(),

    // Commands
    active(COMMANDS, "rename-command", Kind::List(value::rename), "",
        |c, v| c.commands.renames = v.list().chunks(2).map(|pair| {
            let [from, to] = [0, 1].map(|at| String::from_utf8_lossy(&pair[at]).into_owned());
            Rename { from, to }
        }).collect(),
        "Gives a command another name, or none (\"\"): rename-command FLUSHALL \"\". May be repeated.").file_only(),
    active(COMMANDS, "notify-keyspace-events", Kind::Special(value::keyspace_events), "",
        |c, v| c.commands.keyspace_events = String::from_utf8_lossy(v.bytes()).into_owned(),
        "Events published to subscribers: a set of the letters KEg$lshzxetdmnA; empty publishes none."),
    active(COMMANDS, "busy-reply-threshold", LONG, "5000", |c, v| c.commands.script_time_ms = v.number(),
        "Milliseconds that a script may run; then it is ended, and nothing of what it did stays. It never runs longer than \
         request-timeout, or half of watchdog-timeout; 0 sets no other bound.").alias("lua-time-limit"),

    // Encodings
    active(ENCODINGS, "hash-max-listpack-entries", LONG, "512",
        |c, v| c.encodings.hash_max_listpack_entries = v.number(),
        "Fields of a hash that is a listpack.").alias("hash-max-ziplist-entries"),
    active(ENCODINGS, "hash-max-listpack-value", SIZE, "64", |c, v| c.encodings.hash_max_listpack_value = v.number(),
        "Bytes of a field or value in a listpack.").alias("hash-max-ziplist-value"),
    active(ENCODINGS, "hll-sparse-max-bytes", SIZE, "3000", |c, v| c.encodings.hll_sparse_bytes_max = v.number(),
        "Bytes of a HyperLogLog that stays sparse."),
    active(ENCODINGS, "set-max-intset-entries", LONG, "512", |c, v| c.encodings.set_max_intset_entries = v.number(),
        "Members of a set of integers that is an intset."),
    active(ENCODINGS, "stream-node-max-bytes", SIZE, "4096", |c, v| c.encodings.stream_node_max_bytes = v.number(),
        "Bytes of entries of a stream that ~ trims together; 0: any number."),
    active(ENCODINGS, "stream-node-max-entries", LONG, "100",
        |c, v| c.encodings.stream_node_max_entries = v.number(),
        "Entries of a stream that ~ trims together; 0: any number."),
    active(ENCODINGS, "zset-max-listpack-entries", LONG, "128",
        |c, v| c.encodings.zset_max_listpack_entries = v.number(),
        "Members of a sorted set that is a listpack.").alias("zset-max-ziplist-entries"),
    active(ENCODINGS, "zset-max-listpack-value", SIZE, "64", |c, v| c.encodings.zset_max_listpack_value = v.number(),
        "Bytes of a member in a listpack.").alias("zset-max-ziplist-value"),

    // Log
    active(LOGGING, "loglevel", Kind::Word(LogLevel::WORDS), "notice", |c, v| c.log.level = LogLevel::of(v.word()),
        "Least important level that is logged."),
    active(LOGGING, "logfile", TEXT, "", |c, v| c.log.file = v.path(),
        "File to log to, relative to dir; empty logs to standard output.").fixed(),
    active(LOGGING, "log-format", Kind::Word(LogFormat::WORDS), "redis", |c, v| c.log.format = LogFormat::of(v.word()),
        "How a line of the log reads: as redis-server writes it, or as one JSON object."),
    active(LOGGING, "logfile-max-size", memory(0, 1 << 40), "0", |c, v| c.log.file_bytes_max = v.number(),
        "Bytes at which logfile is renamed to logfile.1, logfile.1 to logfile.2 and so on; 0 leaves that to logrotate."),
    active(LOGGING, "logfile-keep", integer(1, 1000), "10", |c, v| c.log.files_kept = v.number(),
        "Files that logfile-max-size leaves beside logfile."),

    // Monitoring
    active(MONITORING, "slowlog-log-slower-than", integer(-1, i64::MAX), "10000",
        |c, v| c.monitoring.slowlog_slower_than_us = v.number(),
        "Microseconds from which a command enters the slow log; 0 logs all, -1 none."),
    active(MONITORING, "slowlog-max-len", LONG, "128", |c, v| c.monitoring.slowlog_entries_max = v.number(),
        "Entries that the slow log keeps."),
    active(MONITORING, "latency-monitor-threshold", LONG, "0", |c, v| c.monitoring.latency_threshold_ms = v.number(),
        "Milliseconds from which LATENCY records an event; 0 records none."),
    active(MONITORING, "health-port", PORT, "0", |c, v| c.monitoring.health_port = v.number(),
        "HTTP port of the status page, /livez, /readyz, /healthz and /metrics, on the addresses of bind; 0 serves none."),
    active(MONITORING, "health-stall-threshold", integer(10, 3_600_000), "5000",
        |c, v| c.monitoring.health_stall_ms = v.number(),
        "Milliseconds that one group commit may take before /readyz says no."),
    active(MONITORING, "health-channel-threshold", integer(1, 100), "90",
        |c, v| c.monitoring.health_channel_percent = v.number(),
        "Percent of the channel that may be full before /readyz says no."),
    active(MONITORING, "health-unsynced-threshold", integer(0, 3_600_000), "5000",
        |c, v| c.monitoring.health_unsynced_ms = v.number(),
        "Milliseconds that a write may wait for its sync before health is degraded; 0 is no limit."),
    active(MONITORING, "health-free-space-threshold", SIZE, "512mb", |c, v| c.monitoring.health_free_bytes = v.number(),
        "Bytes that should be free on the disk of dir, or health is degraded; 0 is no limit."),
    active(MONITORING, "metrics-log-interval", INT, "60", |c, v| c.monitoring.log_interval_s = v.number(),
        "Seconds between two lines of the log that hold the main figures; 0 logs none."),

    // Process
    active(PROCESS, "supervised", Kind::Word(Supervised::WORDS), "no",
        |c, v| c.process.supervised = Supervised::of(v.word()),
        "Whom to tell that the server is ready: systemd, auto (systemd where it started us), or no one.").fixed()
        .only(&["systemd", "auto", "no"], NO_UPSTART),
    active(PROCESS, "pidfile", TEXT, "", |c, v| c.process.pid_file = v.path(),
        "File that holds the process id while the server runs, relative to dir.").fixed(),
    active(PROCESS, "shutdown-timeout", INT, "10", |c, v| c.process.shutdown_timeout_s = v.number(),
        "Seconds that a shutdown waits for requests in flight."),

    // Accepted: snapshots and append-only file
    accepted(PERSISTENCE, "save", Kind::List(value::save_points), "3600 1 300 100 60 10000"),
    accepted(PERSISTENCE, "appendonly", BOOL, "no"),
    accepted(PERSISTENCE, "appendfilename", Kind::Special(value::file_name), "appendonly.aof").fixed(),
    accepted(PERSISTENCE, "appenddirname", Kind::Special(value::file_name), "appendonlydir").fixed(),
    accepted(PERSISTENCE, "dbfilename", Kind::Special(value::file_name), "dump.rdb").protected(),
    accepted(PERSISTENCE, "no-appendfsync-on-rewrite", BOOL, "no"),
    accepted(PERSISTENCE, "auto-aof-rewrite-percentage", INT, "100"),
    accepted(PERSISTENCE, "auto-aof-rewrite-min-size", SIZE, "64mb"),
    accepted(PERSISTENCE, "aof-load-truncated", BOOL, "yes"),
    accepted(PERSISTENCE, "aof-use-rdb-preamble", BOOL, "yes"),
    accepted(PERSISTENCE, "aof-timestamp-enabled", BOOL, "no"),
    accepted(PERSISTENCE, "aof-disable-auto-gc", BOOL, "no"),
    accepted(PERSISTENCE, "aof-rewrite-incremental-fsync", BOOL, "yes"),
    accepted(PERSISTENCE, "rdb-save-incremental-fsync", BOOL, "yes"),
    accepted(PERSISTENCE, "rdbcompression", BOOL, "yes"),
    accepted(PERSISTENCE, "rdbchecksum", BOOL, "yes").fixed(),
    accepted(PERSISTENCE, "rdb-del-sync-files", BOOL, "no"),
    accepted(PERSISTENCE, "stop-writes-on-bgsave-error", BOOL, "yes"),
    accepted(PERSISTENCE, "sanitize-dump-payload", Kind::Word(&["no", "yes", "clients"]), "no"),
    accepted(PERSISTENCE, "shutdown-on-sigterm", Kind::List(value::shutdown_options), "default"),
    accepted(PERSISTENCE, "shutdown-on-sigint", Kind::List(value::shutdown_options), "default"),

    // Accepted: memory
    accepted(NO_EVICTION, "maxmemory", memory(0, u64::MAX), "0"),
    accepted(NO_EVICTION, "maxmemory-policy", Kind::Word(&["volatile-lru", "volatile-lfu", "volatile-random",
        "volatile-ttl", "allkeys-lru", "allkeys-lfu", "allkeys-random", "noeviction"]), "noeviction"),
    accepted(NO_EVICTION, "maxmemory-samples", POSITIVE, "5"),
    accepted(NO_EVICTION, "maxmemory-eviction-tenacity", PERCENT, "10"),
    accepted(NO_EVICTION, "maxmemory-clients", Kind::MemoryOrPercent, "0"),
    accepted(NO_EVICTION, "lfu-log-factor", INT, "10"),
    accepted(NO_EVICTION, "lfu-decay-time", INT, "1"),
    accepted(FREED_LATER, "lazyfree-lazy-eviction", BOOL, "no"),
    accepted(FREED_LATER, "lazyfree-lazy-expire", BOOL, "no"),
    accepted(FREED_LATER, "lazyfree-lazy-server-del", BOOL, "no"),
    accepted(FREED_LATER, "lazyfree-lazy-user-del", BOOL, "no"),
    accepted(FREED_LATER, "lazyfree-lazy-user-flush", BOOL, "no"),
    accepted(FREED_LATER, "active-expire-effort", integer(1, 10), "1"),
    accepted(NO_DEFRAG, "activerehashing", BOOL, "yes"),
    accepted(NO_DEFRAG, "activedefrag", BOOL, "no"),
    accepted(NO_DEFRAG, "active-defrag-ignore-bytes", memory(1, i64::MAX as u64), "100mb"),
    accepted(NO_DEFRAG, "active-defrag-threshold-lower", integer(0, 1000), "10"),
    accepted(NO_DEFRAG, "active-defrag-threshold-upper", integer(0, 1000), "100"),
    accepted(NO_DEFRAG, "active-defrag-cycle-min", integer(1, 99), "1"),
    accepted(NO_DEFRAG, "active-defrag-cycle-max", integer(1, 99), "25"),
    accepted(NO_DEFRAG, "active-defrag-max-scan-fields", integer(1, i64::MAX), "1000"),
    accepted(NO_DEFRAG, "jemalloc-bg-thread", BOOL, "yes"),
    accepted(ON_DISK, "list-compress-depth", INT, "0"),
    accepted(ON_DISK, "list-max-listpack-size", integer(i32::MIN as i64, i32::MAX as i64), "-2")
        .alias("list-max-ziplist-size"),

    // Accepted: replication
    accepted(REPLICATION, "replicaof", Kind::List(value::primary), "").alias("slaveof").fixed()
        .only(&[""], NO_REPLICATION),
    accepted(REPLICATION, "masterauth", TEXT, "").secret(),
    accepted(REPLICATION, "masteruser", TEXT, "").secret(),
    accepted(REPLICATION, "min-replicas-to-write", INT, "0").alias("min-slaves-to-write").only(&["0"], NO_MIN_REPLICAS),
    accepted(REPLICATION, "min-replicas-max-lag", INT, "10").alias("min-slaves-max-lag"),
    accepted(REPLICATION, "replica-serve-stale-data", BOOL, "yes").alias("slave-serve-stale-data"),
    accepted(REPLICATION, "replica-read-only", BOOL, "yes").alias("slave-read-only"),
    accepted(REPLICATION, "replica-priority", INT, "100").alias("slave-priority"),
    accepted(REPLICATION, "replica-lazy-flush", BOOL, "no").alias("slave-lazy-flush"),
    accepted(REPLICATION, "replica-ignore-maxmemory", BOOL, "yes").alias("slave-ignore-maxmemory"),
    accepted(REPLICATION, "replica-announce-ip", TEXT, "").alias("slave-announce-ip"),
    accepted(REPLICATION, "replica-announce-port", PORT, "0").alias("slave-announce-port"),
    accepted(REPLICATION, "replica-announced", BOOL, "yes"),
    accepted(REPLICATION, "replica-ignore-disk-write-errors", BOOL, "no"),
    accepted(REPLICATION, "repl-ping-replica-period", POSITIVE, "10").alias("repl-ping-slave-period"),
    accepted(REPLICATION, "repl-timeout", POSITIVE, "60"),
    accepted(REPLICATION, "repl-disable-tcp-nodelay", BOOL, "no"),
    accepted(REPLICATION, "repl-backlog-size", memory(1, i64::MAX as u64), "1mb"),
    accepted(REPLICATION, "repl-backlog-ttl", LONG, "3600"),
    accepted(REPLICATION, "repl-diskless-sync", BOOL, "yes"),
    accepted(REPLICATION, "repl-diskless-sync-delay", INT, "5"),
    accepted(REPLICATION, "repl-diskless-sync-max-replicas", INT, "0"),
    accepted(REPLICATION, "repl-diskless-load", Kind::Word(&["disabled", "on-empty-db", "swapdb"]), "disabled"),
    accepted(REPLICATION, "propagation-error-behavior", Kind::Word(&["ignore", "panic", "panic-on-replicas"]),
        "ignore"),
    accepted(REPLICATION, "bind-source-addr", TEXT, ""),

    // Accepted: cluster
    accepted(CLUSTER, "cluster-enabled", BOOL, "no").fixed().only(&["no"], NO_CLUSTER),
    accepted(CLUSTER, "cluster-config-file", TEXT, "nodes.conf").fixed(),
    accepted(CLUSTER, "cluster-node-timeout", LONG, "15000"),
    accepted(CLUSTER, "cluster-port", PORT, "0").fixed(),
    accepted(CLUSTER, "cluster-announce-ip", TEXT, ""),
    accepted(CLUSTER, "cluster-announce-hostname", TEXT, ""),
    accepted(CLUSTER, "cluster-announce-port", PORT, "0"),
    accepted(CLUSTER, "cluster-announce-bus-port", PORT, "0"),
    accepted(CLUSTER, "cluster-announce-tls-port", PORT, "0"),
    accepted(CLUSTER, "cluster-preferred-endpoint-type", Kind::Word(&["ip", "hostname", "unknown-endpoint"]), "ip"),
    accepted(CLUSTER, "cluster-replica-validity-factor", INT, "10").alias("cluster-slave-validity-factor"),
    accepted(CLUSTER, "cluster-replica-no-failover", BOOL, "no").alias("cluster-slave-no-failover"),
    accepted(CLUSTER, "cluster-migration-barrier", INT, "1"),
    accepted(CLUSTER, "cluster-allow-replica-migration", BOOL, "yes"),
    accepted(CLUSTER, "cluster-require-full-coverage", BOOL, "yes"),
    accepted(CLUSTER, "cluster-allow-reads-when-down", BOOL, "no"),
    accepted(CLUSTER, "cluster-allow-pubsubshard-when-down", BOOL, "yes"),
    accepted(CLUSTER, "cluster-link-sendbuf-limit", memory(0, u64::MAX), "0"),

    // Accepted: TLS
    accepted(TLS, "tls-port", PORT, "0").only(&["0"], NO_TLS),
    accepted(TLS, "tls-cluster", BOOL, "no"),
    accepted(TLS, "tls-replication", BOOL, "no"),
    accepted(TLS, "tls-auth-clients", Kind::Word(&["no", "yes", "optional"]), "yes"),
    accepted(TLS, "tls-cert-file", TEXT, ""),
    accepted(TLS, "tls-key-file", TEXT, ""),
    accepted(TLS, "tls-key-file-pass", TEXT, "").secret(),
    accepted(TLS, "tls-client-cert-file", TEXT, ""),
    accepted(TLS, "tls-client-key-file", TEXT, ""),
    accepted(TLS, "tls-client-key-file-pass", TEXT, "").secret(),
    accepted(TLS, "tls-dh-params-file", TEXT, ""),
    accepted(TLS, "tls-ca-cert-file", TEXT, ""),
    accepted(TLS, "tls-ca-cert-dir", TEXT, ""),
    accepted(TLS, "tls-protocols", TEXT, ""),
    accepted(TLS, "tls-ciphers", TEXT, ""),
    accepted(TLS, "tls-ciphersuites", TEXT, ""),
    accepted(TLS, "tls-prefer-server-ciphers", BOOL, "no"),
    accepted(TLS, "tls-session-caching", BOOL, "yes"),
    accepted(TLS, "tls-session-cache-size", INT, "20480"),
    accepted(TLS, "tls-session-cache-timeout", INT, "300"),

    // Accepted: users, modules, other modes
    accepted(ACL, "aclfile", TEXT, "").fixed().only(&[""], NO_ACL),
    accepted(ACL, "acl-pubsub-default", Kind::Word(&["allchannels", "resetchannels"]), "resetchannels"),
    accepted(ACL, "acllog-max-len", LONG, "128"),
    accepted(ACL, "user", Kind::List(value::user), "").file_only().only(&[""], NO_ACL),
    accepted(PERMISSIONS, "enable-protected-configs", YES_NO_LOCAL, "no").fixed(),
    accepted(PERMISSIONS, "enable-debug-command", YES_NO_LOCAL, "no").fixed(),
    accepted(PERMISSIONS, "enable-module-command", YES_NO_LOCAL, "no").fixed(),
    accepted(PERMISSIONS, "loadmodule", Kind::List(value::anything), "").file_only().only(&[], NO_MODULES),
    accepted(PERMISSIONS, "sentinel", Kind::List(value::anything), "").file_only().only(&[], NO_SENTINEL),

    // Accepted: threads, process, the operating system
    accepted(THREADING, "io-threads", integer(1, 128), "1").fixed(),
    accepted(THREADING, "io-threads-do-reads", BOOL, "no").fixed(),
    accepted(THREADING, "dynamic-hz", BOOL, "yes"),
    accepted(SYSTEM, "daemonize", BOOL, "no").fixed().only(&["no"], NO_DAEMON),
    accepted(SYSTEM, "server_cpulist", TEXT, "").fixed(),
    accepted(SYSTEM, "bio_cpulist", TEXT, "").fixed(),
    accepted(SYSTEM, "aof_rewrite_cpulist", TEXT, "").fixed(),
    accepted(SYSTEM, "bgsave_cpulist", TEXT, "").fixed(),
    accepted(SYSTEM, "oom-score-adj", Kind::Word(&["no", "yes", "relative", "absolute"]), "no"),
    accepted(SYSTEM, "oom-score-adj-values", Kind::List(value::oom_scores), "0 200 800"),
    accepted(SYSTEM, "disable-thp", BOOL, "yes").fixed(),
    accepted(SYSTEM, "socket-mark-id", UINT, "0").fixed(),
    accepted(SYSTEM, "syslog-enabled", BOOL, "no").fixed().only(&["no"], NO_SYSLOG),
    accepted(SYSTEM, "syslog-ident", TEXT, "redis").fixed(),
    accepted(SYSTEM, "syslog-facility", Kind::Word(&["user", "local0", "local1", "local2", "local3", "local4", "local5",
        "local6", "local7"]), "local0").fixed(),
    accepted(LOOKS, "always-show-logo", BOOL, "no").fixed(),
    accepted(LOOKS, "set-proc-title", BOOL, "yes").fixed(),
    accepted(LOOKS, "proc-title-template", TEXT, "\"{title} {listen-addr} {server-mode}\""),
    accepted(LOOKS, "ignore-warnings", TEXT, ""),
    accepted(LOOKS, "crash-log-enabled", BOOL, "yes"),
    accepted(LOOKS, "crash-memcheck-enabled", BOOL, "yes"),

    // Accepted: watching
    accepted(LATENCY, "latency-tracking", BOOL, "yes"),
    accepted(LATENCY, "latency-tracking-info-percentiles", Kind::List(value::percentiles), "50 99 99.9"),
    accepted(CACHING, "tracking-table-max-keys", LONG, "1000000"),

    // Accepted: hidden in Redis too, or gone
    accepted(DEBUG, "use-exit-on-panic", BOOL, "no").hidden(),
    accepted(DEBUG, "watchdog-period", INT, "0").hidden(),
    accepted(DEBUG, "key-load-delay", integer(i32::MIN as i64, i32::MAX as i64), "0").hidden(),
    accepted(DEBUG, "rdb-key-save-delay", integer(i32::MIN as i64, i32::MAX as i64), "0").hidden(),
    accepted(DEBUG, "loading-process-events-interval-bytes", integer(1024, i32::MAX as i64), "2097152").hidden(),
    accepted(DEPRECATED, "list-max-ziplist-entries", Kind::List(value::anything), "").file_only(),
    accepted(DEPRECATED, "list-max-ziplist-value", Kind::List(value::anything), "").file_only(),
    accepted(DEPRECATED, "lua-replicate-commands", Kind::List(value::anything), "").file_only(),
];
