//! The table of figures: each is one row of [`ROWS`], read from the server as a whole. INFO's sections Runtimes, Channel
//! and Storage, `/metrics` and the periodic log line derive from it.
//!
//! Names that redis_exporter has for the same thing are kept (`redis_…`), so that dashboards made for it work; our own
//! begin with `bulkhead_`, and the process' with `process_`. A row reads; it must never lock for long, nor ask the engine.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::health;
use crate::channel::BreakerState;
use crate::commands::context::Server;
use crate::config::REDIS_VERSION;
use crate::observe::Reading::{Absent, Durations, Each, Number, Sizes, Time};
use crate::observe::{HealthReport, Histogram, Kind, ProcessUsage, Reading, Row, SizeHistogram, Step};
use crate::storage::{EngineStatistics, StorageState};

/// What the rows read from: a look at the server.
pub struct Figures {
    pub server: Arc<Server>,
    storage: Option<Arc<StorageState>>,
    /// Zeros while storage is not open.
    pub engine: Arc<EngineStatistics>,
    /// As read within the last second.
    pub process: Arc<ProcessUsage>,
    health: OnceCell<HealthReport>,
    /// What the cache of records holds: entries, bytes, most bytes.
    records: OnceCell<(usize, usize, usize)>,
}

impl Figures {
    pub fn of(server: &Arc<Server>) -> Figures {
        let storage = server.storage_state.load_full();
        let engine = storage.as_ref().map(|storage| storage.engine_statistics.load_full()).unwrap_or_default();
        let process = server.stats.runtime.process.load_full();
        let (health, records) = Default::default();
        Figures { server: server.clone(), storage, engine, process, health, records }
    }

    /// Judged once for all who ask.
    pub fn health(&self) -> &HealthReport {
        self.health.get_or_init(|| health::report(&self.server))
    }

    fn records(&self) -> (usize, usize, usize) {
        *self.records.get_or_init(|| self.server.records.usage())
    }

    /// Of the engine there is nothing to say while it is not open.
    fn engine(&self, read: fn(&EngineStatistics) -> u64) -> Reading {
        if self.storage.is_some() { Number(read(&self.engine)) } else { Absent }
    }
}

type F = Figures;

const RUNTIMES: &str = "Runtimes";
const CHANNEL: &str = "Channel";
const STORAGE: &str = "Storage";

const fn counter(name: &'static str, help: &'static str, read: fn(&F) -> Reading) -> Row<F> {
    Row::new(Kind::Counter, name, help, read)
}

const fn gauge(name: &'static str, help: &'static str, read: fn(&F) -> Reading) -> Row<F> {
    Row::new(Kind::Gauge, name, help, read)
}

const fn histogram(name: &'static str, help: &'static str, read: fn(&F) -> Reading) -> Row<F> {
    Row::new(Kind::Histogram, name, help, read)
}

fn fine(histogram: &Histogram) -> Reading {
    Durations(histogram.distribution(), Step::Fine)
}

fn sizes(histogram: &SizeHistogram) -> Reading {
    let (rows, sum) = histogram.cumulative();
    Sizes(rows, sum)
}

fn seconds(nanos: u64) -> Reading {
    Time(Duration::from_nanos(nanos))
}

/// `name="value"` for each of `values`.
fn each<T>(label: &'static str, values: impl IntoIterator<Item = (String, T)>, read: fn(T) -> Reading) -> Reading {
    Each(values.into_iter().map(|(value, of)| (vec![(label, value)], read(of))).collect())
}

const STAGE: &str = "How long each stage of a request takes: decode (one read's bytes), queue, execute (one command), \
    commit (one group), reply, and request, the whole from sending to the last byte of the reply.";
const QUEUED: &str = "Requests in the channel that nobody has taken yet.";
const ENDED: &str = "Requests that crossed the channel and ended, by how.";
const NOT_SENT: &str = "Requests that never entered the channel, by why.";
const LEVEL: &str = "Table files of a level of the LSM tree.";
const LEVEL_BYTES: &str = "Bytes of the table files of a level of the LSM tree.";

/// Every figure. Rows of one name stand together.
// Not formatted: read by column, as the table of directives is.
#[rustfmt::skip]
pub static ROWS: &[Row<Figures>] = &[
    // What redis_exporter would say
    gauge("redis_up", "Always 1: the server answers.", |_| Number(1)),
    gauge("redis_instance_info", "What runs here.", |f| Each(vec![(vec![
        ("role", "master".into()),
        ("redis_version", REDIS_VERSION.into()),
        ("redis_mode", "standalone".into()),
        ("bulkhead_version", env!("CARGO_PKG_VERSION").into()),
        ("run_id", f.server.run_id.clone()),
        ("tcp_port", f.server.config.current().network.port.to_string()),
    ], Number(1))])),
    gauge("redis_uptime_in_seconds", "Seconds since the start.",
        |f| Number(f.server.env.clock.now().saturating_sub(f.server.stats.started_at).as_secs())),
    gauge("redis_connected_clients", "Clients that are connected.", |f| Number(f.server.clients.len() as u64)),
    gauge("redis_blocked_clients", "Clients that wait in a blocking command, or that CLIENT PAUSE holds up.",
        |f| Number(f.server.blocked_clients())),
    gauge("redis_config_maxclients", "Clients that may be connected.",
        |f| Number(f.server.config.current().network.clients_max.into())),
    counter("redis_connections_received_total", "Connections accepted.",
        |f| Number(f.server.stats.connections_received.get())),
    counter("redis_rejected_connections_total", "Connections refused: too many, or protected mode.",
        |f| Number(f.server.stats.connections_rejected.get())),
    counter("redis_commands_processed_total", "Commands decoded.", |f| Number(f.server.stats.commands_processed.get())),
    counter("redis_net_input_bytes_total", "Bytes received from clients.",
        |f| Number(f.server.stats.net_input_bytes.get())),
    counter("redis_net_output_bytes_total", "Bytes sent to clients.",
        |f| Number(f.server.stats.net_output_bytes.get())),
    counter("redis_keyspace_hits_total", "Reads that found their key.", |f| Number(f.server.stats.keyspace_hits.get())),
    counter("redis_keyspace_misses_total", "Reads that did not find their key.",
        |f| Number(f.server.stats.keyspace_misses.get())),
    counter("redis_expired_keys_total", "Keys removed because their time had come.",
        |f| Number(f.server.stats.expired_keys.get())),
    gauge("redis_memory_used_bytes", "Memory of the process' own.", |f| Number(f.process.anonymous_bytes)),
    gauge("redis_memory_used_rss_bytes", "Resident memory.", |f| Number(f.process.resident_bytes)),
    gauge("redis_memory_max_bytes", "Always 0: data is never evicted.", |_| Number(0)),
    gauge("redis_slowlog_length", "Entries of the slow log.", |f| Number(f.server.stats.slowlog.len() as u64)),
    gauge("redis_db_keys", "Keys of a database.", |f| each("db", databases(f), |(keys, _)| Number(keys))),
    gauge("redis_db_keys_expiring", "Keys of a database that expire.",
        |f| each("db", databases(f), |(_, expiring)| Number(expiring))),
    counter("redis_commands_total", "Calls of a command.",
        |f| each("cmd", f.server.stats.commands.all(), |row| Number(row.calls()))),
    counter("redis_commands_duration_seconds_total", "Time spent in a command.",
        |f| each("cmd", f.server.stats.commands.all(), |row| Time(row.time()))),
    counter("redis_commands_failed_calls_total", "Calls of a command that replied with an error.",
        |f| each("cmd", f.server.stats.commands.all(), |row| Number(row.failed.get()))),
    counter("redis_commands_rejected_calls_total", "Calls of a command that were refused before it ran.",
        |f| each("cmd", f.server.stats.commands.all(), |row| Number(row.rejected.get()))),
    counter("redis_errors_total", "Error replies by their code.",
        |f| each("err", f.server.stats.errors(), Number)),

    // The process
    gauge("process_start_time_seconds", "When the process started, as Unix time.", |f| {
        let up = f.server.env.clock.now().saturating_sub(f.server.stats.started_at);
        Time(f.server.env.clock.unix_time().saturating_sub(up))
    }),
    counter("process_cpu_seconds_total", "Processor time.", |f| Time(f.process.cpu_user + f.process.cpu_system)),
    gauge("process_resident_memory_bytes", "Resident memory.", |f| Number(f.process.resident_bytes))
        .info(RUNTIMES, "process_resident_bytes").logged(),
    gauge("process_open_fds", "Open file descriptors.", |f| Number(f.process.open_files))
        .info(RUNTIMES, "process_open_files").logged(),
    gauge("process_max_fds", "File descriptors that may be open.", |f| Number(f.process.open_files_max)),
    gauge("process_threads", "Threads.", |f| Number(f.process.threads)).info(RUNTIMES, "process_threads"),

    // Runtimes
    gauge("bulkhead_ready", "1: clients should be sent here; 0: see /readyz.",
        |f| Number(f.health().is_ready().into())).info(RUNTIMES, "ready").logged(),
    gauge("bulkhead_health_status", "Each check: 0 ok, 1 degraded, 2 failing.", |f| {
        each("check", f.health().findings.iter().map(|finding| (finding.check.into(), finding.status)),
            |status| Number(status as u64))
    }),
    gauge("bulkhead_storage_threads_alive", "Engine threads that run.",
        |f| Number(f.storage.as_ref().map_or(0, |storage| storage.threads.load(Ordering::Relaxed) as u64)))
        .info(RUNTIMES, "engine_threads_alive"),
    gauge("bulkhead_network_runtimes", "Network runtimes that live: two while connections move from one to the other.",
        |f| Number(f.server.stats.runtime.network_runtimes.get())).info(RUNTIMES, "network_runtimes"),
    counter("bulkhead_connections_moved_total", "Times that a connection moved to a new network runtime.",
        |f| Number(f.server.stats.runtime.connections_moved.get())).info(RUNTIMES, "connections_moved"),
    counter("bulkhead_storage_starts_total", "Times that the storage side was started.",
        |f| Number(f.server.stats.runtime.storage_starts.get())).info(RUNTIMES, "storage_starts"),
    counter("bulkhead_storage_thread_restarts_total", "Storage threads that panicked and were started again.",
        |f| Number(f.server.stats.runtime.threads_restarted.get())).info(RUNTIMES, "storage_thread_restarts").logged(),
    counter("bulkhead_storage_thread_replacements_total", "Readers that did not come back, and were replaced.",
        |f| Number(f.server.stats.runtime.threads_replaced.get())).info(RUNTIMES, "storage_thread_replacements"),
    gauge("bulkhead_storage_threads_hung", "Storage threads that do not come back.",
        |f| Number(f.server.stats.runtime.threads_hung.get())).info(RUNTIMES, "storage_threads_hung").logged(),
    counter("bulkhead_connections_closed_total", "Connections that ended.",
        |f| Number(f.server.stats.runtime.connections_closed.get())).info(RUNTIMES, "connections_closed"),
    counter("bulkhead_accept_errors_total", "Connections that could not be accepted.",
        |f| Number(f.server.stats.accept_errors.get())).info(RUNTIMES, "accept_errors"),
    gauge("bulkhead_network_lag_seconds", "How late the network runtime's own task woke last.",
        |f| Time(Duration::from_micros(f.server.stats.runtime.network_lag_us.get())))
        .info(RUNTIMES, "network_lag_us").logged(),
    counter("bulkhead_thread_cpu_seconds_total", "Processor time of a pool of threads.",
        |f| each("pool", pools(f), Time)).info(RUNTIMES, "cpu_ms"),
    histogram("bulkhead_stage_duration_seconds", STAGE, |f| fine(&f.server.stats.runtime.decode))
        .labels("stage=\"decode\"").info(RUNTIMES, "stage_decode_us"),
    histogram("bulkhead_stage_duration_seconds", STAGE, |f| fine(&f.server.stats.runtime.queue))
        .labels("stage=\"queue\"").info(RUNTIMES, "stage_queue_us"),
    histogram("bulkhead_stage_duration_seconds", STAGE, |f| Durations(f.server.stats.execute(), Step::Fine))
        .labels("stage=\"execute\"").info(RUNTIMES, "stage_execute_us"),
    histogram("bulkhead_stage_duration_seconds", STAGE, |f| fine(&f.server.stats.runtime.commit))
        .labels("stage=\"commit\"").info(RUNTIMES, "stage_commit_us"),
    histogram("bulkhead_stage_duration_seconds", STAGE, |f| fine(&f.server.stats.runtime.reply))
        .labels("stage=\"reply\"").info(RUNTIMES, "stage_reply_us"),
    histogram("bulkhead_stage_duration_seconds", STAGE, |f| fine(&f.server.stats.runtime.request))
        .labels("stage=\"request\"").info(RUNTIMES, "stage_request_us").logged(),
    histogram("bulkhead_command_duration_seconds", "How long each command runs, without its wait in the channel.",
        |f| each("cmd", called(f), |row| Durations(row.latency.distribution(), Step::Coarse))),

    counter("bulkhead_failures_total", "Failures that the error log counted, by side, category and severity.", failures)
        .info(RUNTIMES, "failures").logged(),
    counter("bulkhead_failures_not_logged_total", "Failures counted of which the log shows no line: too many of one kind.",
        |f| each("category", f.server.stats.error_log.held_back().into_iter()
            .map(|(category, count)| (category.word().into(), count)), Number))
        .info(RUNTIMES, "failures_not_logged"),

    // Channel
    gauge("bulkhead_channel_capacity", "Requests that each queue of the channel holds at most.",
        |f| Number(f.server.storage.capacity() as u64)).info(CHANNEL, "channel_capacity"),
    gauge("bulkhead_channel_queued_requests", QUEUED, |f| Number(f.server.storage.depth().0 as u64))
        .labels("queue=\"writes\"").info(CHANNEL, "channel_queued_writes").logged(),
    gauge("bulkhead_channel_queued_requests", QUEUED, |f| Number(f.server.storage.depth().1 as u64))
        .labels("queue=\"reads\"").info(CHANNEL, "channel_queued_reads").logged(),
    gauge("bulkhead_channel_bytes", "Bytes of requests that have not ended.", |f| Number(f.server.storage.bytes().0 as u64))
        .info(CHANNEL, "channel_bytes"),
    gauge("bulkhead_channel_bytes_limit", "Bytes of requests that there may be.",
        |f| Number(f.server.storage.bytes().1 as u64)).info(CHANNEL, "channel_bytes_max"),
    gauge("bulkhead_channel_waiting_clients", "Connections that wait for room in the channel.",
        |f| Number(f.server.storage.waiting() as u64)).info(CHANNEL, "channel_waiting_clients"),
    counter("bulkhead_channel_full_total", "Times that a connection had to wait for room in the channel.",
        |f| Number(f.server.stats.channel.full.get())).info(CHANNEL, "channel_full_count").logged(),
    counter("bulkhead_requests_sent_total", "Requests that entered the channel.",
        |f| Number(f.server.stats.channel.sent.get())).info(CHANNEL, "requests_sent").logged(),
    gauge("bulkhead_requests_in_flight", "Requests sent and not ended.", |f| Number(f.server.stats.channel.in_flight.get()))
        .info(CHANNEL, "requests_in_flight"),
    gauge("bulkhead_large_reply_bytes", "Bytes of large replies that their clients have not read yet.",
        |f| Number(f.server.stats.channel.large_reply_bytes.get())).info(CHANNEL, "large_reply_bytes"),
    counter("bulkhead_requests_ended_total", ENDED, |f| Number(f.server.stats.channel.answered.get()))
        .labels("how=\"answered\"").info(CHANNEL, "requests_answered"),
    counter("bulkhead_requests_ended_total", ENDED, |f| Number(f.server.stats.channel.withdrawn.get()))
        .labels("how=\"withdrawn\"").info(CHANNEL, "requests_withdrawn").logged(),
    counter("bulkhead_requests_ended_total", ENDED, |f| Number(f.server.stats.channel.in_doubt.get()))
        .labels("how=\"in_doubt\"").info(CHANNEL, "requests_in_doubt").logged(),
    counter("bulkhead_requests_ended_total", ENDED, |f| Number(f.server.stats.channel.failed.get()))
        .labels("how=\"failed\"").info(CHANNEL, "requests_failed"),
    counter("bulkhead_requests_ended_total", ENDED, |f| Number(f.server.stats.channel.abandoned.get()))
        .labels("how=\"abandoned\"").info(CHANNEL, "requests_abandoned"),
    counter("bulkhead_requests_not_sent_total", NOT_SENT, |f| Number(f.server.stats.channel.refused.get()))
        .labels("why=\"refused\"").info(CHANNEL, "requests_refused"),
    counter("bulkhead_requests_not_sent_total", NOT_SENT, |f| Number(f.server.stats.channel.timed_out.get()))
        .labels("why=\"timed_out\"").info(CHANNEL, "requests_timed_out"),
    counter("bulkhead_requests_not_sent_total", NOT_SENT, |f| Number(f.server.stats.channel.shed.get()))
        .labels("why=\"breaker\"").info(CHANNEL, "requests_shed").logged(),
    counter("bulkhead_requests_late_total", "Requests that still ran when their deadline passed.",
        |f| Number(f.server.stats.channel.late.get())).info(CHANNEL, "requests_late"),
    counter("bulkhead_requests_retried_total", "Requests sent again, since they provably had no effect.",
        |f| Number(f.server.stats.channel.retried.get())).info(CHANNEL, "requests_retried").logged(),
    gauge("bulkhead_breaker_state", "The circuit breaker before the writes: 0 closed, 1 half-open, 2 open.",
        |f| Number(match f.server.storage.breaker() {
            BreakerState::Closed => 0,
            BreakerState::HalfOpen => 1,
            BreakerState::Open => 2,
        })),
    counter("bulkhead_breaker_opened_total", "Times that the circuit breaker opened.",
        |f| Number(f.server.stats.channel.breaker_opened.get())).info(CHANNEL, "breaker_opened").logged(),
    histogram("bulkhead_request_operations", "Commands and ready replies in one request.",
        |f| sizes(&f.server.stats.channel.operations)).info(CHANNEL, "request_operations"),

    // Storage
    counter("bulkhead_groups_committed_total", "Groups of requests that were committed as one write batch.",
        |f| Number(f.server.stats.storage.groups_committed.get())).info(STORAGE, "groups_committed").logged(),
    counter("bulkhead_groups_failed_total", "Groups that the engine did not take.",
        |f| Number(f.server.stats.storage.groups_failed.get())).info(STORAGE, "groups_failed").logged(),
    counter("bulkhead_operations_committed_total", "Commands in committed groups.",
        |f| Number(f.server.stats.storage.operations_committed.get())).info(STORAGE, "operations_committed").logged(),
    histogram("bulkhead_group_operations", "Commands in one committed group.",
        |f| sizes(&f.server.stats.storage.group_operations)).info(STORAGE, "group_operations"),
    histogram("bulkhead_group_bytes", "Bytes of one write batch.", |f| sizes(&f.server.stats.storage.group_bytes))
        .info(STORAGE, "group_bytes"),
    counter("bulkhead_writer_stops_total", "Times that writes waited because the engine had stopped them.",
        |f| Number(f.server.stats.storage.stalls.get())).info(STORAGE, "writer_stops").logged(),
    counter("bulkhead_writer_stopped_seconds_total", "How long writes waited because the engine had stopped them.",
        |f| Time(Duration::from_micros(f.server.stats.storage.stalled_us.get()))).info(STORAGE, "writer_stopped_ms"),
    gauge("bulkhead_writer_busy_seconds", "For how long the writer has been at what it is at.",
        |f| Time(f.server.stats.storage.writer_busy_for(f.server.env.clock.now()))).info(STORAGE, "writer_busy_for_ms"),
    counter("bulkhead_reads_from_memory_total", "Reads answered from the cache of records, without a request to storage.",
        |f| Number(f.server.stats.storage.reads_from_memory.get())).info(STORAGE, "reads_from_memory").logged(),
    gauge("bulkhead_record_cache_entries", "Keys in the cache of records.", |f| Number(f.records().0 as u64))
        .info(STORAGE, "record_cache_entries"),
    gauge("bulkhead_record_cache_bytes", "Bytes of the cache of records.", |f| Number(f.records().1 as u64))
        .info(STORAGE, "record_cache_bytes"),
    gauge("bulkhead_record_cache_limit_bytes", "Bytes that the cache of records may take.",
        |f| Number(f.records().2 as u64)).info(STORAGE, "record_cache_bytes_max"),
    counter("bulkhead_requests_read_total", "Requests that readers took.",
        |f| Number(f.server.stats.storage.requests_read.get())).info(STORAGE, "requests_read"),
    counter("bulkhead_reads_from_disk_total", "Reads that memory could not answer, or that take long.",
        |f| Number(f.server.stats.storage.reads_from_disk.get())).info(STORAGE, "reads_from_disk"),
    counter("bulkhead_busy_seconds_total", "Time that the writer, and all readers together, spent working.",
        |f| seconds(f.server.stats.storage.writer_busy_ns.get())).labels("who=\"writer\"").info(STORAGE, "writer_busy_ms"),
    counter("bulkhead_busy_seconds_total", "Time that the writer, and all readers together, spent working.",
        |f| seconds(f.server.stats.storage.reader_busy_ns.get())).labels("who=\"readers\"").info(STORAGE, "reader_busy_ms"),
    gauge("bulkhead_unsynced_seconds", "Age of the oldest acknowledged write that a power failure would lose now.",
        |f| f.storage.as_ref().map_or(Absent, |storage| Time(storage.unsynced_for().unwrap_or_default())))
        .info(STORAGE, "unsynced_ms").logged(),
    counter("bulkhead_wal_syncs_total", "Syncs of the log, those of appendfsync always not counted.",
        |f| Number(f.server.stats.storage.syncs.get())).info(STORAGE, "wal_syncs"),
    counter("bulkhead_wal_syncs_failed_total", "Syncs of the log that failed.",
        |f| Number(f.server.stats.storage.syncs_failed.get())).info(STORAGE, "wal_syncs_failed").logged(),
    histogram("bulkhead_wal_sync_duration_seconds", "How long a sync of the log takes.",
        |f| fine(&f.server.stats.storage.sync)).info(STORAGE, "wal_sync_us"),
    gauge("bulkhead_wal_bytes", "Bytes of the log's files.", |f| Number(f.server.stats.storage.wal_bytes.get()))
        .info(STORAGE, "wal_bytes").logged(),
    gauge("bulkhead_directory_bytes", "Bytes of all files of the data directory.",
        |f| Number(f.server.stats.storage.directory_bytes.get())).info(STORAGE, "directory_bytes").logged(),
    gauge("bulkhead_disk_free_bytes", "Bytes that may still be written to the disk of the data directory.",
        |f| Number(f.server.stats.storage.free_bytes.get())).info(STORAGE, "disk_free_bytes").logged(),
    gauge("bulkhead_disk_bytes", "Size of the disk of the data directory.",
        |f| Number(f.server.stats.storage.disk_bytes.get())).info(STORAGE, "disk_bytes"),

    gauge("bulkhead_disk_reserve_bytes", "Bytes of the disk that are kept free for deletes and compaction.",
        |f| Number(f.server.stats.storage.reserve_bytes.get())).info(STORAGE, "disk_reserve_bytes"),
    gauge("bulkhead_disk_reserve_breached", "1: less is free than the reserve, and commands that take room are refused.",
        |f| Number(f.server.stats.storage.reserve_breached.get())).info(STORAGE, "disk_reserve_breached").logged(),
    counter("bulkhead_refused_for_room_total", "Commands that were refused because the disk is nearly full.",
        |f| Number(f.server.stats.storage.refused_for_room.get())).info(STORAGE, "refused_for_room"),
    gauge("bulkhead_write_pace_bytes_per_second", "What writes are held to before the engine slows them; 0: they are not.",
        |f| Number(f.server.stats.storage.pace_bytes_per_second.get())).info(STORAGE, "write_pace").logged(),
    counter("bulkhead_write_paced_seconds_total", "How long the writer was held by pacing.",
        |f| Time(Duration::from_micros(f.server.stats.storage.paced_us.get()))).info(STORAGE, "write_paced_ms"),

    // The engine
    gauge("bulkhead_engine_memtable_bytes", "Bytes of memtables.", |f| f.engine(|e| e.memtable_bytes))
        .info(STORAGE, "memtable_bytes").logged(),
    gauge("bulkhead_engine_immutable_memtables", "Memtables that wait for their flush, of the column family with most.",
        |f| f.engine(|e| e.immutable_memtables)).info(STORAGE, "immutable_memtables"),
    gauge("bulkhead_engine_block_cache_bytes", "Bytes of the block cache in use.", |f| f.engine(|e| e.block_cache_bytes))
        .info(STORAGE, "block_cache_bytes"),
    gauge("bulkhead_engine_block_cache_capacity_bytes", "Bytes that the block cache may use.",
        |f| f.engine(|e| e.block_cache_capacity_bytes)).info(STORAGE, "block_cache_capacity_bytes"),
    gauge("bulkhead_engine_block_cache_pinned_bytes", "Bytes of the block cache that cannot be evicted now.",
        |f| f.engine(|e| e.block_cache_pinned_bytes)).info(STORAGE, "block_cache_pinned_bytes"),
    gauge("bulkhead_engine_table_readers_bytes", "Memory of open table files beside the block cache.",
        |f| f.engine(|e| e.table_readers_bytes)).info(STORAGE, "table_readers_bytes"),
    gauge("bulkhead_engine_table_files_bytes", "Bytes of table files.", |f| f.engine(|e| e.table_files_bytes))
        .info(STORAGE, "table_files_bytes"),
    gauge("bulkhead_engine_live_data_bytes", "Bytes of table files that are neither deleted nor overwritten, estimated.",
        |f| f.engine(|e| e.live_data_bytes)).info(STORAGE, "live_data_bytes"),
    gauge("bulkhead_engine_keys", "Records of the engine, estimated.", |f| f.engine(|e| e.estimated_keys))
        .info(STORAGE, "estimated_keys"),
    gauge("bulkhead_engine_snapshots", "Snapshots that readers hold.", |f| f.engine(|e| e.snapshots))
        .info(STORAGE, "snapshots"),
    gauge("bulkhead_engine_level_files", LEVEL, |f| levels(f, |files, _| files)).info(STORAGE, "level_files"),
    gauge("bulkhead_engine_level_bytes", LEVEL_BYTES, |f| levels(f, |_, bytes| bytes)).info(STORAGE, "level_bytes"),
    gauge("bulkhead_engine_level0_files", "Level-0 files of the column family with most: writes are slowed by them.",
        |f| f.engine(|e| e.level0_files)).info(STORAGE, "level0_files").logged(),
    gauge("bulkhead_engine_pending_compaction_bytes", "Bytes that compaction has to rewrite, estimated.",
        |f| f.engine(|e| e.pending_compaction_bytes)).info(STORAGE, "pending_compaction_bytes").logged(),
    gauge("bulkhead_engine_running_compactions", "Compactions that run.", |f| f.engine(|e| e.running_compactions))
        .info(STORAGE, "running_compactions").logged(),
    gauge("bulkhead_engine_running_flushes", "Flushes that run.", |f| f.engine(|e| e.running_flushes))
        .info(STORAGE, "running_flushes"),
    counter("bulkhead_engine_flushed_bytes_total", "Bytes written by flushes.", |f| f.engine(|e| e.flushed_bytes))
        .info(STORAGE, "flushed_bytes"),
    counter("bulkhead_engine_compaction_read_bytes_total", "Bytes read by compactions.",
        |f| f.engine(|e| e.compaction_read_bytes)).info(STORAGE, "compaction_read_bytes"),
    counter("bulkhead_engine_compaction_written_bytes_total", "Bytes written by compactions.",
        |f| f.engine(|e| e.compaction_written_bytes)).info(STORAGE, "compaction_written_bytes"),
    gauge("bulkhead_engine_writes_stopped", "1: the engine has stopped writes.", |f| f.engine(|e| e.writes_stopped.into()))
        .info(STORAGE, "writes_stopped").logged(),
    gauge("bulkhead_engine_delayed_write_bytes_per_second", "What the engine holds writes to; 0: it does not.",
        |f| f.engine(|e| e.delayed_write_rate)).info(STORAGE, "delayed_write_rate").logged(),
    counter("bulkhead_engine_write_delays_total", "Times that the engine began to slow writes.",
        |f| f.engine(|e| e.write_delays)).info(STORAGE, "write_delays"),
    counter("bulkhead_engine_write_stops_total", "Times that the engine stopped writes.",
        |f| f.engine(|e| e.write_stops)).info(STORAGE, "write_stops"),
    counter("bulkhead_engine_write_stalled_seconds_total", "Time that writes waited for the engine's stalls.",
        |f| if f.storage.is_some() { Time(Duration::from_millis(f.engine.write_stalled_ms)) } else { Absent })
        .info(STORAGE, "write_stalled_ms").logged(),
    counter("bulkhead_engine_background_errors_total", "Flushes and compactions that failed.",
        |f| f.engine(|e| e.background_errors)).info(STORAGE, "background_errors").logged(),
];

/// Databases that hold a key: name, keys, keys that expire.
fn databases(f: &F) -> Vec<(String, (u64, u64))> {
    let counters = f.server.keyspace.of(&f.server.databases.load());
    counters.into_iter().map(|(db, counters)| (format!("db{db}"), (counters.keys, counters.expiring))).collect()
}

/// The error log's counts.
fn failures(f: &F) -> Reading {
    let counts = f.server.stats.error_log.counts().into_iter();
    Each(
        counts
            .map(|(side, category, severity, count)| {
                let words = [("side", side.word()), ("category", category.word()), ("severity", severity.word())];
                (words.map(|(label, word)| (label, word.to_string())).to_vec(), Number(count))
            })
            .collect(),
    )
}

/// Commands that ran, and their counters.
fn called(f: &F) -> impl Iterator<Item = (String, Arc<crate::observe::CommandCounters>)> {
    f.server.stats.commands.all().into_iter().filter(|(_, row)| row.calls() > 0)
}

fn pools(f: &F) -> Vec<(String, Duration)> {
    let pools = f.server.stats.runtime.pools.load();
    pools.iter().map(|pool| (pool.name.clone(), pool.cpu_user + pool.cpu_system)).collect()
}

/// A figure of each level, by its number.
fn levels(f: &F, read: fn(u64, u64) -> u64) -> Reading {
    if f.storage.is_none() {
        return Absent;
    }
    let levels = f.engine.levels.iter().enumerate();
    Each(levels.map(|(n, level)| (vec![("level", n.to_string())], Number(read(level.files, level.bytes)))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::network_tests::TestClient;
    use crate::observe::exposition;
    use std::collections::BTreeSet;

    #[test]
    fn names_follow_the_conventions_and_families_stand_together() {
        let mut families = BTreeSet::new();
        for family in ROWS.chunk_by(|row, next| row.name == next.name) {
            let Row { name, kind, help, .. } = family[0];
            assert!(families.insert(name), "{name}: its rows stand apart");
            assert!(["redis_", "bulkhead_", "process_"].iter().any(|prefix| name.starts_with(prefix)), "{name}");
            assert_eq!(kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert!(help.ends_with('.') && !help.contains('\n'), "{name}: {help}");
            assert!(family.iter().all(|row| row.kind == kind && row.help == help), "{name}");
            let labels: BTreeSet<&str> = family.iter().map(|row| row.labels).collect();
            assert_eq!(labels.len(), family.len(), "{name}: two rows have the same labels");
        }
        let fields: Vec<_> = ROWS.iter().filter_map(|row| row.info).collect();
        assert_eq!(fields.iter().collect::<BTreeSet<_>>().len(), fields.len(), "a field of INFO stands twice");
        assert!(ROWS.iter().all(|row| !row.logged || row.info.is_some()), "what is logged has a name in INFO");
    }

    /// What the dashboard and the alerts ask for is there to be asked.
    #[test]
    fn dashboards_and_alerts_ask_for_figures_that_exist() {
        let names: BTreeSet<&str> = ROWS.iter().map(|row| row.name).collect();
        let files = [
            include_str!("../../../packaging/grafana/bulkhead.json"),
            include_str!("../../../packaging/prometheus/alerts.yml"),
        ];
        let mut asked = BTreeSet::new();
        for word in files.iter().flat_map(|text| text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_'))
        {
            if !["bulkhead_", "redis_", "process_"].iter().any(|prefix| word.starts_with(prefix)) {
                continue;
            }
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| word.strip_suffix(suffix));
            let name = family.filter(|name| names.contains(name)).unwrap_or(word);
            assert!(names.contains(name), "{word} does not exist");
            asked.insert(name);
        }
        assert!(asked.len() > 40, "{asked:?}");
    }

    #[test]
    fn every_line_of_the_exposition_is_one_that_prometheus_reads() {
        let client = TestClient::new();
        let server = client.session.server.clone();
        server.stats.commands.of("client", "id").record(Duration::from_micros(3), true);
        server.stats.count_error("WRONG\"TYPE x");
        server.stats.runtime.queue.record(Duration::from_millis(1));
        let text = exposition(ROWS, &Figures::of(&server));
        let mut described = BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# ") {
                let mut words = rest.splitn(3, ' ');
                let (what, name) = (words.next().unwrap(), words.next().unwrap());
                assert!(["HELP", "TYPE"].contains(&what) && words.next().is_some(), "{line}");
                described.insert(name.to_string());
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap();
            value.parse::<f64>().unwrap_or_else(|_| panic!("{line}"));
            let name = series.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            assert!(described.contains(name) || family.is_some_and(|name| described.contains(name)), "{line}");
        }
        for line in [
            "redis_commands_total{cmd=\"client|id\"} 1",
            "redis_commands_failed_calls_total{cmd=\"client|id\"} 1",
            "redis_errors_total{err=\"WRONG\\\"TYPE\"} 1",
            "bulkhead_stage_duration_seconds_count{stage=\"queue\"} 1",
            "bulkhead_stage_duration_seconds_sum{stage=\"queue\"} 0.001",
            "bulkhead_ready 0",
        ] {
            assert!(text.contains(&format!("\n{line}\n")), "{line}\n{text}");
        }
    }
}
