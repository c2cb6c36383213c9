//! What the health port says of health and state, as JSON: `/healthz`, and what the status page polls.
//!
//! Whoever may connect reads it, without a password: so it must never show a key, a value or an argument of a command.

use std::sync::Arc;

use super::health;
use crate::commands::context::Server;
use crate::config::REDIS_VERSION;
use crate::observe::{HealthReport, Json, Second, Side};

/// Commands that the status page lists.
const COMMANDS_SHOWN: usize = 12;
/// Slow commands that it lists.
const SLOW_SHOWN: usize = 16;

/// `/healthz`: the report, side by side, check by check.
pub fn health_json(server: &Arc<Server>, report: &HealthReport) -> String {
    let mut json = Json::new();
    json.object(|json| write_health(json, server, report));
    json.into_text()
}

fn write_health(json: &mut Json, server: &Arc<Server>, report: &HealthReport) {
    json.key("status").string(report.status(None).word());
    json.key("ready").bool(report.is_ready());
    json.key("phase").string(report.phase.word());
    json.key("runtimes").object(|json| {
        for side in Side::ALL {
            json.key(side.word()).object(|json| {
                json.key("status").string(report.status(Some(side)).word());
                json.key("checks").array(|json| {
                    for finding in report.findings.iter().filter(|finding| finding.side == side) {
                        json.object(|json| {
                            json.key("check").string(finding.check);
                            json.key("status").string(finding.status.word());
                            json.key("reason").string(&finding.reason);
                            if let Some(since) = server.stats.health.since(finding.check) {
                                json.key("since_unix_ms").number(since);
                            }
                        });
                    }
                });
            });
        }
    });
}

/// What the status page shows: everything as of now, and the seconds that ended after `since_unix_ms`.
pub fn status_json(server: &Arc<Server>, since_unix_ms: u64) -> String {
    let report = health::report(server);
    let mut json = Json::new();
    json.object(|json| {
        write_server(json, server);
        write_health(json, server, &report);
        json.key("changes").array(|json| write_changes(json, server));
        json.key("channel").object(|json| write_channel(json, server));
        json.key("stages").array(|json| write_stages(json, server));
        json.key("storage").object(|json| write_storage(json, server));
        json.key("process").object(|json| write_process(json, server));
        json.key("commands").array(|json| write_commands(json, server));
        json.key("slow").array(|json| write_slow(json, server));
        json.key("seconds").array(|json| {
            server.stats.history.since(since_unix_ms).iter().for_each(|second| write_second(json, second));
        });
    });
    json.into_text()
}

fn write_server(json: &mut Json, server: &Arc<Server>) {
    let config = server.config.current();
    json.key("version").string(env!("CARGO_PKG_VERSION"));
    json.key("redis_version").string(REDIS_VERSION);
    json.key("run_id").string(&server.run_id);
    json.key("unix_ms").number(server.env.clock.unix_ms());
    json.key("uptime_s").number(server.env.clock.now().saturating_sub(server.stats.started_at).as_secs());
    json.key("port").number(config.network.port);
    json.key("mode").string(config.runtime.mode.word());
    json.key("network_threads").number(config.runtime.network_threads);
    json.key("storage_threads").number(config.runtime.storage_threads);
    json.key("appendfsync").string(config.storage.fsync.word());
    json.key("clients").number(server.clients.len());
    json.key("clients_max").number(config.network.clients_max);
    json.key("keys").number(server.keyspace.of(&server.databases.load()).iter().map(|(_, db)| db.keys).sum::<u64>());
}

fn write_changes(json: &mut Json, server: &Arc<Server>) {
    for change in server.stats.health.changes() {
        json.object(|json| {
            json.key("unix_ms").number(change.unix_ms);
            json.key("check").string(change.check);
            json.key("from").string(change.from.word());
            json.key("to").string(change.to.word());
            json.key("reason").string(&change.reason);
        });
    }
}

fn write_channel(json: &mut Json, server: &Arc<Server>) {
    let (channel, metrics) = (&server.storage, &server.stats.channel);
    let ((writes, reads), (bytes, bytes_max)) = (channel.depth(), channel.bytes());
    for (name, value) in [
        ("capacity", channel.capacity() as u64),
        ("writes", writes as u64),
        ("reads", reads as u64),
        ("bytes", bytes as u64),
        ("bytes_max", bytes_max as u64),
        ("waiting", channel.waiting() as u64),
        ("in_flight", metrics.in_flight.get()),
        ("sent", metrics.sent.get()),
        ("answered", metrics.answered.get()),
        ("withdrawn", metrics.withdrawn.get()),
        ("in_doubt", metrics.in_doubt.get()),
        ("late", metrics.late.get()),
        ("failed", metrics.failed.get()),
        ("abandoned", metrics.abandoned.get()),
        ("refused", metrics.refused.get()),
        ("timed_out", metrics.timed_out.get()),
        ("full", metrics.full.get()),
    ] {
        json.key(name).number(value);
    }
}

fn write_stages(json: &mut Json, server: &Arc<Server>) {
    for (stage, distribution) in server.stats.stages() {
        json.object(|json| {
            json.key("stage").string(stage);
            json.key("count").number(distribution.count());
            let percentiles = distribution.percentiles([50.0, 99.0, 99.9]);
            for (name, time) in ["p50_us", "p99_us", "p999_us"].iter().zip(percentiles) {
                json.key(name).number(time.as_micros());
            }
        });
    }
}

fn write_storage(json: &mut Json, server: &Arc<Server>) {
    let metrics = &server.stats.storage;
    for (name, value) in [
        ("groups", metrics.groups_committed.get()),
        ("groups_failed", metrics.groups_failed.get()),
        ("operations", metrics.operations_committed.get()),
        ("requests_read", metrics.requests_read.get()),
        ("reads_from_disk", metrics.reads_from_disk.get()),
        ("writer_stopped_ms", metrics.stalled_us.get() / 1000),
        ("wal_bytes", metrics.wal_bytes.get()),
        ("directory_bytes", metrics.directory_bytes.get()),
        ("free_bytes", metrics.free_bytes.get()),
        ("disk_bytes", metrics.disk_bytes.get()),
    ] {
        json.key(name).number(value);
    }
    let storage = server.storage_state.load();
    let Some(storage) = storage.as_ref() else { return };
    let engine = storage.engine_statistics.load();
    json.key("unsynced_ms").number(storage.unsynced_for().unwrap_or_default().as_millis());
    for (name, value) in [
        ("memtable_bytes", engine.memtable_bytes),
        ("immutable_memtables", engine.immutable_memtables),
        ("block_cache_bytes", engine.block_cache_bytes),
        ("block_cache_capacity_bytes", engine.block_cache_capacity_bytes),
        ("table_files_bytes", engine.table_files_bytes),
        ("pending_compaction_bytes", engine.pending_compaction_bytes),
        ("running_compactions", engine.running_compactions),
        ("running_flushes", engine.running_flushes),
        ("flushed_bytes", engine.flushed_bytes),
        ("compaction_written_bytes", engine.compaction_written_bytes),
        ("write_stalled_ms", engine.write_stalled_ms),
        ("delayed_write_rate", engine.delayed_write_rate),
        ("background_errors", engine.background_errors),
    ] {
        json.key(name).number(value);
    }
    json.key("writes_stopped").bool(engine.writes_stopped);
    json.key("levels").array(|json| {
        for level in &engine.levels {
            json.object(|json| {
                json.key("files").number(level.files);
                json.key("bytes").number(level.bytes);
            });
        }
    });
}

fn write_process(json: &mut Json, server: &Arc<Server>) {
    let usage = server.stats.runtime.process.load();
    json.key("resident_bytes").number(usage.resident_bytes);
    json.key("open_files").number(usage.open_files);
    json.key("threads").number(usage.threads);
    json.key("pools").array(|json| {
        for pool in server.stats.runtime.pools.load().iter() {
            json.object(|json| {
                json.key("pool").string(&pool.name);
                json.key("threads").number(pool.threads);
                json.key("cpu_ms").number((pool.cpu_user + pool.cpu_system).as_millis());
            });
        }
    });
}

/// Those that took most time together, first.
fn write_commands(json: &mut Json, server: &Arc<Server>) {
    let mut commands = server.stats.commands.all();
    commands.sort_by_key(|(_, counters)| std::cmp::Reverse(counters.time()));
    for (name, counters) in commands.iter().take(COMMANDS_SHOWN) {
        json.object(|json| {
            json.key("command").string(name);
            let [p50, p99] = counters.latency.distribution().percentiles([50.0, 99.0]);
            json.key("calls").number(counters.calls());
            json.key("failed").number(counters.failed.get() + counters.rejected.get());
            json.key("total_us").number(counters.time().as_micros());
            json.key("p50_us").number(p50.as_micros());
            json.key("p99_us").number(p99.as_micros());
        });
    }
}

fn write_slow(json: &mut Json, server: &Arc<Server>) {
    for entry in server.stats.slowlog.latest(SLOW_SHOWN) {
        let word = |place: usize| entry.args.get(place).map(|arg| String::from_utf8_lossy(arg).to_ascii_uppercase());
        let name = word(0).unwrap_or_default();
        let known = server.commands.get(name.as_bytes()).is_some();
        json.object(|json| {
            json.key("unix_s").number(entry.unix_s);
            json.key("took_us").number(entry.took.as_micros());
            // What a client made up may be anything.
            json.key("command").string(if known { &name } else { "(unknown)" });
            json.key("arguments").number(entry.args.len().saturating_sub(1));
            json.key("client").string(&entry.client_address);
        });
    }
}

/// An array: a name for every number of six hundred seconds would be most of the text. The page knows the order.
fn write_second(json: &mut Json, second: &Second) {
    json.array(|json| {
        for value in [
            second.unix_ms,
            second.commands,
            second.input_bytes,
            second.output_bytes,
            second.clients,
            second.p50_us,
            second.p99_us,
            second.p999_us,
            second.queued_writes,
            second.queued_reads,
            second.in_flight,
            second.network_lag_us,
            second.writer_busy_ms,
            second.reader_busy_ms,
            second.stall,
            second.flushes,
            second.compactions,
            second.level0_files,
            second.health,
        ] {
            json.number(value);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::network_tests::TestClient;
    use crate::resp::CommandArgs;
    use std::time::Duration;

    #[test]
    fn nothing_that_clients_stored_or_said_is_shown() {
        let client = TestClient::new();
        let server = client.session.server.clone();
        for args in [&["set", "private-key", "private-value"][..], &["private-command", "x"]] {
            let args = CommandArgs::from_parts(args);
            server.stats.slowlog.record(&args, |_| false, &client.session.client, Duration::from_millis(5), 7, 9);
        }
        super::super::every_second(&server);
        let text = status_json(&server, 0);
        assert!(text.contains(r#""command":"SET","arguments":2"#) && text.contains("(unknown)"), "{text}");
        assert!(!text.contains("private"), "{text}");
        assert!(text.contains(r#""seconds":[["#) && !status_json(&server, u64::MAX).contains(r#""seconds":[["#));
    }

    #[test]
    fn the_report_tells_runtime_by_runtime() {
        let client = TestClient::new();
        let server = client.session.server.clone();
        let text = health_json(&server, &health::report(&server));
        assert!(text.starts_with(r#"{"status":"failing","ready":false,"phase":"starting","runtimes":{"network":"#));
        assert!(
            text.contains(r#"{"check":"storage-open","status":"failing","reason":"storage is not open"}"#),
            "{text}"
        );
    }
}
