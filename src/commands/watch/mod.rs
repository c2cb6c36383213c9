//! What the server reports of itself as a whole: its figures, its health, its status page. INFO, the health port and the
//! log all ask here.
//!
//! It must answer whatever storage does: it looks at counters and at what storage left for others to see, never at the
//! engine, and costs the same whatever the server holds.

pub mod figures;
pub mod health;
pub mod status;

use std::sync::Arc;
use std::time::Duration;

use super::context::Server;
use crate::observe::{Condition, Second, Status, Totals, log_fields, nanos};
use figures::Figures;

/// How often [`every_second`] is to be called.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// Judges the server's health, ends a second of its history, and reads the accounts of its threads: for the one task that
/// does it every [`INTERVAL`], on a thread that may take a few milliseconds for it.
pub fn every_second(server: &Server) {
    server.stats.error_log.tell_held_back(server.env.clock.now());
    server.stats.runtime.process.store(server.env.host.process().into());
    server.stats.runtime.pools.store(server.env.host.pools().into());
    let unix_ms = server.env.clock.unix_ms();
    let report = health::report(server);
    for change in server.stats.health.note(&report, unix_ms) {
        let (check, from, to, reason) = (change.check, change.from.word(), change.to.word(), change.reason);
        if change.to == Status::Ok {
            tracing::info!(check, from, to, reason, "health changed");
        } else {
            tracing::warn!(check, from, to, reason, "health changed");
        }
    }
    end_second(server, unix_ms, report.status(None));
}

/// Logs the main figures on one line.
pub fn log_figures(server: &Arc<Server>) {
    let figures = Figures::of(server);
    tracing::info!(figures = log_fields(figures::ROWS, &figures).as_str(), "figures");
}

fn end_second(server: &Server, unix_ms: u64, health: Status) {
    let stats = &server.stats;
    let storage = server.storage_state.load();
    let engine = storage.as_ref().map(|storage| storage.engine_statistics.load_full()).unwrap_or_default();
    let (queued_writes, queued_reads) = server.storage.depth();
    let writer_busy = stats.storage.writer_busy_for(server.env.clock.now());
    // The engine's figures are some seconds old at times; the writer knows at once. One that does not come back from the
    // engine is stalled as well.
    let is_stopped = stats.health.condition(Condition::WriteStall).status != Status::Ok || writer_busy >= INTERVAL;
    let stall = match (engine.writes_stopped || is_stopped, engine.delayed_write_rate > 0) {
        (true, _) => 2,
        (false, true) => 1,
        (false, false) => 0,
    };
    let second = Second {
        unix_ms,
        clients: server.clients.len() as u64,
        queued_writes: queued_writes as u64,
        queued_reads: queued_reads as u64,
        in_flight: stats.channel.in_flight.get(),
        network_lag_us: stats.runtime.network_lag_us.get(),
        stall,
        flushes: engine.running_flushes,
        compactions: engine.running_compactions,
        level0_files: engine.level0_files,
        health: health as u64,
        ..Second::default()
    };
    let totals = Totals {
        commands: stats.commands_processed.get(),
        input_bytes: stats.net_input_bytes.get(),
        output_bytes: stats.net_output_bytes.get(),
        // What it is at counts when it is over; for the second it counts now.
        writer_busy_ns: stats.storage.writer_busy_ns.get() + nanos(writer_busy),
        reader_busy_ns: stats.storage.reader_busy_ns.get(),
        requests: stats.runtime.request.distribution(),
    };
    stats.history.push(second, totals);
}
