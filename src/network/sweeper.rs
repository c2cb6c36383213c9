//! The sweeper: what connections would each need a timer for, done for all of them by one task. Deadlines of requests,
//! the idle `timeout`, the soft output limit, and the wake-up call when the server drains, or when another writer has taken
//! over from one that will not answer any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::commands::context::Server;
use crate::failpoints::{self, Fault};
use crate::limits;
use crate::observe::{Category, Client, Report, Severity, Side};

/// Runs until the server drains.
pub async fn run(server: Arc<Server>) {
    let interval = Duration::from_millis(limits::DEADLINE_SWEEP_MS);
    let mut writer = server.storage.writer_epoch();
    loop {
        let began = server.env.clock.now();
        tokio::select! {
            biased;
            () = server.shutdown.requested() => break,
            () = server.env.clock.sleep(interval) => sweep(&server),
        }
        let before = std::mem::replace(&mut writer, server.storage.writer_epoch());
        if writer != before {
            server.clients.for_each(|client| client.wake());
        }
        let late = server.env.clock.now().saturating_sub(began + interval);
        server.stats.runtime.network_lag_us.set(late.as_micros() as u64);
    }
    server.clients.for_each(|client| {
        client.leave();
        client.wake();
    });
}

fn sweep(server: &Server) {
    if failpoints::fault(&failpoints::NETWORK_SWEEP) == Some(Fault::Panic) {
        panic!("failpoint {}", failpoints::NETWORK_SWEEP.name);
    }
    let now_ms = server.env.clock.now().as_millis() as u64;
    let config = server.config.current();
    let timeout_ms = u64::from(config.network.idle_timeout_s) * 1000;
    let limits = &config.network.output_limits;
    let (mut input_max, mut output_max, mut buffers_bytes) = (0, 0, 0);
    server.clients.for_each(|client| {
        let input = client.query_buffer_bytes.load(Ordering::Relaxed);
        let output = client.output_buffer_bytes.load(Ordering::Relaxed);
        (input_max, output_max) = (input_max.max(input), output_max.max(output));
        buffers_bytes += input + output;
        let deadline_ms = client.deadline_ms.load(Ordering::Relaxed);
        if deadline_ms != 0 && deadline_ms <= now_ms {
            client.wake();
        }
        let idle_ms = now_ms.saturating_sub(client.last_active_ms.load(Ordering::Relaxed));
        // As in Redis, whoever listens may be quiet.
        let listens = client.subscriptions.any() || client.is_monitor.load(Ordering::Relaxed);
        if timeout_ms > 0 && deadline_ms == 0 && idle_ms > timeout_ms && !listens {
            tracing::debug!(client = client.id, "closing idle client");
            client.kill();
        }
        let soft = if client.subscriptions.any() { limits.pubsub } else { limits.normal };
        if soft.soft_bytes > 0 && is_over_soft_limit(client, now_ms, soft.soft_bytes, soft.soft_seconds) {
            let what = "client dropped: soft output buffer limit reached";
            let report = Report::new(Category::Connection, Severity::Warning, Side::Network, what);
            server.report(report.client(client.id));
            client.kill();
        }
    });
    let metrics = &server.stats.runtime;
    metrics.input_buffer_max.set(input_max);
    metrics.output_buffer_max.set(output_max);
    metrics.client_buffers_bytes.set(buffers_bytes);
}

/// Whether the client's output has been above the soft limit for longer than it may.
fn is_over_soft_limit(client: &Client, now_ms: u64, soft_bytes: u64, soft_seconds: u64) -> bool {
    let waiting = [&client.output_buffer_bytes, &client.mailbox_bytes].map(|bytes| bytes.load(Ordering::Relaxed));
    if waiting.iter().sum::<u64>() <= soft_bytes {
        client.over_soft_limit_since_ms.store(0, Ordering::Relaxed);
        return false;
    }
    let since_ms = client.over_soft_limit_since_ms.load(Ordering::Relaxed);
    if since_ms == 0 {
        client.over_soft_limit_since_ms.store(now_ms.max(1), Ordering::Relaxed);
        return false;
    }
    now_ms - since_ms > soft_seconds.saturating_mul(1000)
}
