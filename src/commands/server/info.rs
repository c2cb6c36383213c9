//! INFO: the state of the server in lines that monitoring systems parse, under Redis' names where Redis has one.
//!
//! A request for it must cost the same whatever the server holds and whoever is connected, and must never ask the
//! engine nor the kernel: counters are kept by those who count, and what those two say is read once a second and left where
//! it can be looked at. A field whose
//! value is not known is absent; one about a feature that does not exist says so with the value Redis gives when it
//! is unused.

use std::fmt::{Arguments, Display, Write};
use std::sync::Arc;
use std::time::Duration;

use super::{BASE, saved_until};
use crate::commands::context::Server;
use crate::commands::watch::figures::{self, Figures};
use crate::commands::{Argument, Command, CommandError, Flag, Next, Run, Session};
use crate::config::REDIS_VERSION;
use crate::observe::{Rate, Side, info_fields};
use crate::pubsub::Topic;
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::storage::BackgroundTask;

pub static INFO: Command = Command {
    name: "info",
    summary: "Get information and statistics about the server",
    since: "1.0.0",
    arity: -1,
    flags: &[Flag::Loading, Flag::Stale],
    categories: &["@dangerous"],
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    history: &[("7.0.0", "Added support for taking multiple section arguments.")],
    arguments: &[Argument::string("section").optional().multiple()],
    examples: r#"> INFO
..."#,
    run: Run::Server(info),
    ..BASE
};

/// A part of INFO that can be asked for by its name.
struct Section {
    /// Lower case.
    name: &'static str,
    title: &'static str,
    /// Part of a plain INFO.
    by_default: bool,
    write: fn(&Figures, &mut Fields),
}

const SECTIONS: &[Section] = &[
    Section { name: "server", title: "Server", by_default: true, write: server },
    Section { name: "clients", title: "Clients", by_default: true, write: clients },
    Section { name: "memory", title: "Memory", by_default: true, write: memory },
    Section { name: "persistence", title: "Persistence", by_default: true, write: persistence },
    Section { name: "stats", title: "Stats", by_default: true, write: stats },
    Section { name: "replication", title: "Replication", by_default: true, write: replication },
    Section { name: "cpu", title: "CPU", by_default: true, write: cpu },
    Section { name: "modules", title: "Modules", by_default: true, write: |_, _| {} },
    Section { name: "commandstats", title: "Commandstats", by_default: false, write: command_stats },
    Section { name: "errorstats", title: "Errorstats", by_default: true, write: error_stats },
    Section { name: "latencystats", title: "Latencystats", by_default: false, write: latency_stats },
    Section {
        name: "cluster",
        title: "Cluster",
        by_default: true,
        write: |_, fields| fields.put("cluster_enabled", 0),
    },
    Section { name: "keyspace", title: "Keyspace", by_default: true, write: keyspace },
    Section { name: "runtimes", title: "Runtimes", by_default: true, write: runtimes },
    Section { name: "channel", title: "Channel", by_default: true, write: channel },
    Section { name: "storage", title: "Storage", by_default: true, write: storage },
];

fn info(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let words: Vec<String> = args.iter().skip(1).map(|word| String::from_utf8_lossy(word).to_lowercase()).collect();
    reply.verbatim("txt", report(&session.server, &words).as_bytes());
    Ok(Next::Done)
}

/// The sections that `words` ask for, each once and in their order.
fn report(server: &Arc<Server>, words: &[String]) -> String {
    let is_asked = |section: &Section| match words {
        [] => section.by_default,
        words => words.iter().any(|word| match word.as_str() {
            "default" => section.by_default,
            "all" | "everything" => true,
            word => word == section.name || (word == "module_list" && section.name == "modules"),
        }),
    };
    let figures = Figures::of(server);
    let mut fields = Fields(String::with_capacity(REPORT_BYTES));
    for section in SECTIONS.iter().filter(|section| is_asked(section)) {
        let gap = if fields.0.is_empty() { "" } else { "\r\n" };
        fields.push(format_args!("{gap}# {}\r\n", section.title));
        (section.write)(&figures, &mut fields);
    }
    fields.0
}

/// More than a plain INFO takes.
const REPORT_BYTES: usize = 16 << 10;

/// The lines of the report.
struct Fields(String);

impl Fields {
    fn put(&mut self, name: &str, value: impl Display) {
        self.push(format_args!("{name}:{value}\r\n"));
    }

    fn push(&mut self, text: Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.0.write_fmt(text);
    }

    /// Of features that do not exist here: what Redis says while nobody uses them.
    fn put_zeros(&mut self, names: &[&str]) {
        names.iter().for_each(|name| self.put(name, 0));
    }

    /// A number of bytes, and the same for people.
    fn put_bytes(&mut self, name: &str, bytes: u64) {
        self.put(name, bytes);
        self.push(format_args!("{name}_human:{}\r\n", human(bytes)));
    }
}

/// `1.02M`
fn human(bytes: u64) -> String {
    const UNITS: [(u64, char); 5] = [(1 << 50, 'P'), (1 << 40, 'T'), (1 << 30, 'G'), (1 << 20, 'M'), (1 << 10, 'K')];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, letter)) => format!("{:.2}{letter}", bytes as f64 / *unit as f64),
        None => format!("{bytes}B"),
    }
}

/// `part` / `whole`, or 0 where there is no whole.
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn server(figures: &Figures, fields: &mut Fields) {
    let server = &figures.server;
    let config = server.config.current();
    let clock = &server.env.clock;
    let uptime = clock.now().saturating_sub(server.stats.started_at);
    fields.put("redis_version", REDIS_VERSION);
    fields.put("bulkhead_version", env!("CARGO_PKG_VERSION"));
    // Neither a commit nor a build of Redis; exporters use them as labels.
    fields.put("redis_git_sha1", "00000000");
    fields.put("redis_git_dirty", 0);
    fields.put("redis_build_id", format_args!("bulkhead-{}", env!("CARGO_PKG_VERSION")));
    fields.put("redis_mode", "standalone");
    fields.put("os", format_args!("Linux {} {}", server.facts.kernel, std::env::consts::ARCH));
    fields.put("arch_bits", usize::BITS);
    fields.put("monotonic_clock", "POSIX clock_gettime");
    fields.put("atomicvar_api", "rust-std");
    fields.put("multiplexing_api", "epoll");
    fields.put("process_id", std::process::id());
    fields.put("process_supervised", config.process.supervised.word());
    fields.put("run_id", &server.run_id);
    fields.put("tcp_port", config.network.port);
    fields.put("server_time_usec", clock.unix_time().as_micros());
    fields.put("uptime_in_seconds", uptime.as_secs());
    fields.put("uptime_in_days", uptime.as_secs() / 86_400);
    fields.put("hz", config.runtime.hz);
    fields.put("configured_hz", config.runtime.hz);
    // Redis' 24 bits of seconds.
    fields.put("lru_clock", clock.unix_time().as_secs() & 0xff_ffff);
    fields.put("executable", &server.facts.executable);
    fields.put("config_file", server.config.file().map_or_else(|_| "".into(), |path| path.to_string_lossy()));
    fields.put("io_threads_active", 0);
}

fn clients(figures: &Figures, fields: &mut Fields) {
    let server = &figures.server;
    fields.put("connected_clients", server.clients.len());
    fields.put("cluster_connections", 0);
    fields.put("maxclients", server.config.current().network.clients_max);
    fields.put("client_recent_max_input_buffer", server.stats.runtime.input_buffer_max.get());
    fields.put("client_recent_max_output_buffer", server.stats.runtime.output_buffer_max.get());
    fields.put("blocked_clients", server.blocked_clients());
    fields.put_zeros(&["tracking_clients", "clients_in_timeout_table"]);
}

/// "Used" is what the process has in memory of its own (allocator's reserves included), and the peak is that of all
/// that was resident. The data itself is on disk: there is no limit to evict for, and what counts as data set here is what
/// the engine holds of it in memory.
fn memory(figures: &Figures, fields: &mut Fields) {
    let server = &figures.server;
    let usage = &figures.process;
    let (used, resident, peak) = (usage.anonymous_bytes, usage.resident_bytes, usage.resident_bytes_max);
    fields.put_bytes("used_memory", used);
    fields.put_bytes("used_memory_rss", resident);
    fields.put_bytes("used_memory_peak", peak);
    fields.put("used_memory_peak_perc", format_args!("{:.2}%", ratio(used, peak) * 100.0));
    let dataset = (figures.engine.memtable_bytes + figures.engine.block_cache_bytes).min(used);
    fields.put("used_memory_overhead", used - dataset);
    fields.put("used_memory_startup", server.stats.runtime.startup_bytes.get());
    fields.put("used_memory_dataset", dataset);
    fields.put("used_memory_dataset_perc", format_args!("{:.2}%", ratio(dataset, used) * 100.0));
    // As Redis has it with an allocator that keeps no accounts.
    fields.put("allocator_allocated", used);
    fields.put("allocator_active", resident);
    fields.put("allocator_resident", resident);
    fields.put_bytes("total_system_memory", server.facts.memory_bytes);
    let scripting = server.scripting.figures();
    fields.put_bytes("used_memory_lua", scripting.machines_bytes as u64);
    fields.put("used_memory_vm_eval", scripting.machines_bytes);
    fields.put("used_memory_scripts_eval", scripting.scripts_bytes);
    fields.put("used_memory_vm_functions", 0);
    fields.put_bytes("used_memory_vm_total", scripting.machines_bytes as u64);
    fields.put("used_memory_functions", 0);
    fields.put_bytes("used_memory_scripts", scripting.scripts_bytes as u64);
    fields.put("number_of_cached_scripts", scripting.scripts);
    fields.put_zeros(&["number_of_functions", "number_of_libraries"]);
    fields.put_bytes("maxmemory", 0);
    fields.put("maxmemory_policy", "noeviction");
    fields.put("allocator_frag_ratio", format_args!("{:.2}", ratio(resident, used)));
    fields.put("allocator_frag_bytes", resident.saturating_sub(used));
    fields.put("allocator_rss_ratio", "1.00");
    fields.put("allocator_rss_bytes", 0);
    fields.put("rss_overhead_ratio", "1.00");
    fields.put("rss_overhead_bytes", 0);
    fields.put("mem_fragmentation_ratio", format_args!("{:.2}", ratio(resident, used)));
    fields.put("mem_fragmentation_bytes", resident.saturating_sub(used));
    fields.put_zeros(&[
        "mem_not_counted_for_evict",
        "mem_replication_backlog",
        "mem_total_replication_buffers",
        "mem_clients_slaves",
        "mem_cluster_links",
        "mem_aof_buffer",
    ]);
    fields.put("mem_clients_normal", server.stats.runtime.client_buffers_bytes.get());
    fields.put("mem_allocator", if cfg!(feature = "rocks") { "jemalloc" } else { "libc" });
    fields.put_zeros(&["active_defrag_running", "lazyfree_pending_objects", "lazyfreed_objects"]);
}

/// There is neither an RDB file nor an AOF; what monitoring asks of them is answered for the engine's log instead. Every
/// acknowledged write is in it, so no change waits for a save, and `rdb_last_save_time` is the moment up to which it
/// is synced too. `aof_last_write_status` tells whether writes get through.
fn persistence(figures: &Figures, fields: &mut Fields) {
    let server = &figures.server;
    let errors = figures.engine.background_errors;
    let flush = server.background.status(BackgroundTask::Flush);
    let status = |failed: bool| if failed { "err" } else { "ok" };
    fields.put_zeros(&["loading", "async_loading", "current_cow_peak", "current_cow_size", "current_cow_size_age"]);
    fields.put("current_fork_perc", "0.00");
    fields.put_zeros(&["current_save_keys_processed", "current_save_keys_total", "rdb_changes_since_last_save"]);
    fields.put("rdb_bgsave_in_progress", u8::from(flush.running_for.is_some()));
    fields.put("rdb_last_save_time", saved_until(server));
    fields.put("rdb_last_bgsave_status", status(flush.last_error.is_some()));
    let last_took = (flush.runs > 0).then_some(flush.last_took);
    for (name, time) in [("rdb_last_bgsave_time_sec", last_took), ("rdb_current_bgsave_time_sec", flush.running_for)] {
        fields.put(name, time.map_or(-1, |time| time.as_secs() as i64));
    }
    fields.put("rdb_saves", flush.runs - flush.failures);
    fields.put_zeros(&[
        "rdb_last_cow_size",
        "rdb_last_load_keys_expired",
        "rdb_last_load_keys_loaded",
        "aof_enabled",
        "aof_rewrite_in_progress",
        "aof_rewrite_scheduled",
    ]);
    fields.put("aof_last_rewrite_time_sec", -1);
    fields.put("aof_current_rewrite_time_sec", -1);
    fields.put("aof_last_bgrewrite_status", "ok");
    fields.put_zeros(&["aof_rewrites", "aof_rewrites_consecutive_failures"]);
    fields.put("aof_last_write_status", status(errors > 0));
    fields.put_zeros(&["aof_last_cow_size", "module_fork_in_progress", "module_fork_last_cow_size"]);
}

fn stats(figures: &Figures, fields: &mut Fields) {
    let server = &figures.server;
    let stats = &server.stats;
    let kbps = |rate| format!("{:.2}", stats.sampler.per_second(rate) as f64 / 1024.0);
    fields.put("total_connections_received", stats.connections_received.get());
    fields.put("total_commands_processed", stats.commands_processed.get());
    fields.put("instantaneous_ops_per_sec", stats.sampler.per_second(Rate::Commands));
    fields.put("total_net_input_bytes", stats.net_input_bytes.get());
    fields.put("total_net_output_bytes", stats.net_output_bytes.get());
    fields.put_zeros(&["total_net_repl_input_bytes", "total_net_repl_output_bytes"]);
    fields.put("instantaneous_input_kbps", kbps(Rate::InputBytes));
    fields.put("instantaneous_output_kbps", kbps(Rate::OutputBytes));
    fields.put("instantaneous_input_repl_kbps", "0.00");
    fields.put("instantaneous_output_repl_kbps", "0.00");
    fields.put("rejected_connections", stats.connections_rejected.get());
    fields.put_zeros(&["sync_full", "sync_partial_ok", "sync_partial_err"]);
    fields.put("expired_keys", stats.expired_keys.get());
    // Keys that are due are removed in the order of their time, with no sampling and no cap.
    fields.put("expired_stale_perc", "0.00");
    fields.put("expired_time_cap_reached_count", 0);
    let expiry = server.background.status(BackgroundTask::Expire);
    fields.put("expire_cycle_cpu_milliseconds", expiry.total_took.as_millis());
    fields.put_zeros(&[
        "evicted_keys",
        "evicted_clients",
        "total_eviction_exceeded_time",
        "current_eviction_exceeded_time",
    ]);
    fields.put("keyspace_hits", stats.keyspace_hits.get());
    fields.put("keyspace_misses", stats.keyspace_misses.get());
    fields.put("pubsub_channels", server.pubsub.count(Topic::Channel));
    fields.put("pubsub_patterns", server.pubsub.count(Topic::Pattern));
    fields.put("pubsubshard_channels", server.pubsub.count(Topic::Shard));
    fields.put_zeros(&[
        "latest_fork_usec",
        "total_forks",
        "migrate_cached_sockets",
        "slave_expires_tracked_keys",
        "active_defrag_hits",
        "active_defrag_misses",
        "active_defrag_key_hits",
        "active_defrag_key_misses",
        "total_active_defrag_time",
        "current_active_defrag_time",
        "tracking_total_keys",
        "tracking_total_items",
        "tracking_total_prefixes",
    ]);
    fields.put("unexpected_error_replies", 0);
    fields.put("total_error_replies", stats.error_replies.get());
    fields.put("total_reads_processed", stats.socket_reads.get());
    fields.put("total_writes_processed", stats.socket_writes.get());
    fields.put_zeros(&["reply_buffer_shrinks", "reply_buffer_expands"]);
    fields.put_zeros(&["dump_payload_sanitizations", "io_threaded_reads_processed", "io_threaded_writes_processed"]);
}

fn replication(figures: &Figures, fields: &mut Fields) {
    let server = &figures.server;
    fields.put("role", "master");
    fields.put("connected_slaves", 0);
    fields.put("master_failover_state", "no-failover");
    fields.put("master_replid", &server.run_id);
    fields.put("master_replid2", "0".repeat(server.run_id.len()));
    fields.put("master_repl_offset", 0);
    fields.put("second_repl_offset", -1);
    fields.put_zeros(&[
        "repl_backlog_active",
        "repl_backlog_size",
        "repl_backlog_first_byte_offset",
        "repl_backlog_histlen",
    ]);
}

fn cpu(figures: &Figures, fields: &mut Fields) {
    let server = &figures.server;
    let usage = &figures.process;
    let seconds = |time: Duration| format!("{}.{:06}", time.as_secs(), time.subsec_micros());
    fields.put("used_cpu_sys", seconds(usage.cpu_system));
    fields.put("used_cpu_user", seconds(usage.cpu_user));
    fields.put("used_cpu_sys_children", seconds(usage.cpu_system_children));
    fields.put("used_cpu_user_children", seconds(usage.cpu_user_children));
    // Where Redis has one thread that serves clients, we have a pool.
    let pools = server.stats.runtime.pools.load();
    let network = pools.iter().find(|pool| pool.name == "net").cloned().unwrap_or_default();
    fields.put("used_cpu_sys_main_thread", seconds(network.cpu_system));
    fields.put("used_cpu_user_main_thread", seconds(network.cpu_user));
}

fn command_stats(figures: &Figures, fields: &mut Fields) {
    let server = &figures.server;
    for (name, counters) in server.stats.commands.all() {
        let (calls, usec) = (counters.calls(), counters.time().as_micros() as u64);
        let (rejected, failed, each) = (counters.rejected.get(), counters.failed.get(), ratio(usec, calls));
        let value = format_args!(
            "calls={calls},usec={usec},usec_per_call={each:.2},rejected_calls={rejected},failed_calls={failed}"
        );
        fields.put(&format!("cmdstat_{name}"), value);
    }
}

fn error_stats(figures: &Figures, fields: &mut Fields) {
    let server = &figures.server;
    for (code, count) in server.stats.errors() {
        fields.put(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

fn latency_stats(figures: &Figures, fields: &mut Fields) {
    let server = &figures.server;
    for (name, counters) in server.stats.commands.all() {
        if counters.calls() == 0 {
            continue;
        }
        let latency = counters.latency.distribution();
        let us = latency.percentiles([50.0, 99.0, 99.9]).map(|time| time.as_nanos() as f64 / 1000.0);
        let value = format_args!("p50={:.3},p99={:.3},p99.9={:.3}", us[0], us[1], us[2]);
        fields.put(&format!("latency_percentiles_usec_{name}"), value);
    }
}

/// Only databases that hold a key: some monitoring divides by the number. The mean time to live is not kept.
fn keyspace(figures: &Figures, fields: &mut Fields) {
    let server = &figures.server;
    for (db, counters) in server.keyspace.of(&server.databases.load()) {
        let value = format_args!("keys={},expires={},avg_ttl=0", counters.keys, counters.expiring);
        fields.put(&format!("db{db}"), value);
    }
}

fn runtimes(figures: &Figures, fields: &mut Fields) {
    let server = &figures.server;
    let config = server.config.current();
    let report = figures.health();
    fields.put("runtime_mode", config.runtime.mode.word());
    fields.put("network_threads", config.runtime.network_threads);
    fields.put("storage_reader_threads", config.runtime.storage_threads);
    fields.put("storage_runtime", if server.storage_state.load().is_some() { "up" } else { "down" });
    fields.put("shutdown_in_progress", u8::from(server.shutdown.is_requested()));
    fields.put("phase", report.phase.word());
    for side in Side::ALL {
        fields.put(&format!("health_{}", side.word()), report.status(Some(side)).word());
    }
    registered(figures, "Runtimes", fields);
}

/// The crossing between the runtimes. What does not fit waits with its connection, which is not read from meanwhile.
fn channel(figures: &Figures, fields: &mut Fields) {
    let server = &figures.server;
    fields.put("breaker_state", server.storage.breaker().word());
    registered(figures, "Channel", fields);
}

/// What the engine said of itself lately; while storage is down there is nothing to say of it.
fn storage(figures: &Figures, fields: &mut Fields) {
    let server = &figures.server;
    let storage = &server.stats.storage;
    let each = ratio(storage.operations_committed.get(), storage.groups_committed.get());
    fields.put("operations_per_group", format_args!("{each:.2}"));
    registered(figures, "Storage", fields);
}

/// The rows of the table of figures that belong to a section.
fn registered(figures: &Figures, section: &str, fields: &mut Fields) {
    info_fields(figures::ROWS, section, figures, |name, value| fields.put(name, value));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::network_tests::TestClient;

    /// The titles of the sections that `line` shows.
    fn titles(client: &mut TestClient, line: &str) -> Vec<String> {
        let text = client.run(line);
        text.trim_matches('"').split("\\r\\n").filter_map(|line| Some(line.strip_prefix("# ")?.to_string())).collect()
    }

    #[test]
    fn sections_are_chosen_by_name_or_together() {
        let mut client = TestClient::new();
        let all: Vec<&str> = SECTIONS.iter().map(|section| section.title).collect();
        let default: Vec<&str> =
            all.iter().copied().filter(|title| !["Commandstats", "Latencystats"].contains(title)).collect();
        for (line, expected) in [
            ("info", &default[..]),
            ("info default", &default),
            ("info all", &all),
            ("info everything", &all),
            ("info KEYSPACE cluster keyspace", &["Cluster", "Keyspace"]),
            ("info nosuch", &[]),
            ("info nosuch module_list", &["Modules"]),
        ] {
            assert_eq!(titles(&mut client, line), expected, "{line}");
        }
        client.check(&[("info cluster", "\"# Cluster\\r\\ncluster_enabled:0\\r\\n\"")]);
    }

    #[test]
    fn fields_are_one_to_a_line_each_once_and_true() {
        let mut client = TestClient::new();
        let server = client.session.server.clone();
        server.stats.commands.of("client", "id").record(Duration::from_micros(3), false);
        server.stats.count_error("WRONGTYPE x");
        let text = report(&server, &["all".into()]);
        let mut names = std::collections::BTreeSet::new();
        for line in text.split("\r\n").filter(|line| !line.is_empty() && !line.starts_with("# ")) {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no field: {line}"));
            assert!(names.insert(name), "{name} twice");
            assert!(!name.contains(' ') && value.trim() == value, "{line}");
        }
        for line in [
            "redis_version:7.0.15",
            "connected_clients:1",
            "maxclients:10000",
            "cmdstat_client|id:calls=1,usec=3,usec_per_call=3.00,rejected_calls=0,failed_calls=0",
            "errorstat_WRONGTYPE:count=1",
            "latency_percentiles_usec_client|id:p50=3.071,p99=3.071,p99.9=3.071",
            "storage_runtime:down",
            "channel_capacity:16384",
        ] {
            assert!(text.contains(&format!("\r\n{line}\r\n")), "{line}\n{text}");
        }
        assert!(client.encoded("info").starts_with(b"$"));
        client.run("hello 3");
        assert!(client.encoded("info").starts_with(b"="));
    }

    #[test]
    fn sizes_for_people_are_rounded_as_redis_rounds_them() {
        for (bytes, expected) in
            [(0, "0B"), (1023, "1023B"), (1024, "1.00K"), (1_064_784, "1.02M"), (25_276_063_744, "23.54G")]
        {
            assert_eq!(human(bytes), expected);
        }
    }
}
