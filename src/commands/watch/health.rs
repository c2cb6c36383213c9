//! The checks: each looks at a few figures, holds them against a threshold, and says why it finds what it finds.
//!
//! A check is "degraded" when requests are still served, some of them late or with an error, and "failing" when clients
//! are better off elsewhere. A disk that is full is not failing: reads and deletes go on.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::commands::context::Server;
use crate::config::Config;
use crate::observe::{Condition, Finding, HealthReport, Side, Status};
use crate::storage::StorageState;

/// How late the network runtime's own task may wake.
const NETWORK_LAG_MAX: Duration = Duration::from_secs(1);

/// All checks, now.
pub fn report(server: &Server) -> HealthReport {
    let config = server.config.current();
    let mut findings = vec![lag(server), clients(server, &config), queue(server, &config)];
    let storage = server.storage_state.load();
    match storage.as_ref() {
        None => findings.push(found("storage-open", Side::Storage, Status::Failing, "storage is not open".into())),
        Some(storage) => {
            findings.push(found("storage-open", Side::Storage, Status::Ok, "storage is open".into()));
            findings.extend([
                threads(storage),
                writer(server, &config),
                stall(storage),
                unsynced(storage, &config),
                engine(storage),
                space(server, &config),
            ]);
        }
    }
    findings.extend(Condition::ALL.map(|condition| server.stats.health.condition(condition)));
    HealthReport { phase: server.stats.health.phase(), findings }
}

fn found(check: &'static str, side: Side, status: Status, reason: String) -> Finding {
    Finding { check, side, status, reason }
}

/// `bad` if the condition holds.
fn unless(condition: bool, bad: Status) -> Status {
    if condition { bad } else { Status::Ok }
}

fn lag(server: &Server) -> Finding {
    let lag = Duration::from_micros(server.stats.runtime.network_lag_us.get());
    let reason = format!("the network runtime's own task woke {} ms late", lag.as_millis());
    found("network-lag", Side::Network, unless(lag > NETWORK_LAG_MAX, Status::Degraded), reason)
}

fn clients(server: &Server, config: &Config) -> Finding {
    let (connected, most) = (server.clients.len() as u64, u64::from(config.network.clients_max));
    let reason = format!("{connected} of {most} clients are connected");
    found("clients", Side::Network, unless(connected >= most, Status::Degraded), reason)
}

/// The queues and the bytes in them, whichever is fuller. Clients that wait for room are served late.
fn queue(server: &Server, config: &Config) -> Finding {
    let channel = &server.storage;
    let (writes, reads) = channel.depth();
    let (bytes, bytes_max) = channel.bytes();
    let percent = |part: usize, whole: usize| part as u128 * 100 / whole.max(1) as u128;
    let fullest = percent(writes.max(reads), channel.capacity()).max(percent(bytes, bytes_max));
    let waiting = channel.waiting();
    let status = match fullest >= u128::from(config.monitoring.health_channel_percent) {
        true => Status::Failing,
        false => unless(waiting > 0, Status::Degraded),
    };
    found("channel-queue", Side::Channel, status, format!("{fullest} % full, {waiting} clients wait for room"))
}

fn threads(storage: &StorageState) -> Finding {
    let [alive, wanted] = [&storage.threads, &storage.threads_wanted].map(|count| count.load(Ordering::Relaxed));
    let reason = format!("{alive} of {wanted} storage threads run");
    found("storage-threads", Side::Storage, unless(alive < wanted, Status::Failing), reason)
}

/// Whether the writer gets on: one group that takes long is one engine call that does.
fn writer(server: &Server, config: &Config) -> Finding {
    let busy = server.stats.storage.writer_busy_for(server.env.clock.now());
    let threshold = Duration::from_millis(config.monitoring.health_stall_ms);
    let status = match busy {
        busy if busy > threshold => Status::Failing,
        busy => unless(busy > threshold / 5, Status::Degraded),
    };
    let reason = match busy.is_zero() {
        true => "the writer waits for work".into(),
        false => format!("the writer has been at one group for {} ms", busy.as_millis()),
    };
    found("storage-writer", Side::Storage, status, reason)
}

fn stall(storage: &StorageState) -> Finding {
    let engine = storage.engine_statistics.load();
    let (status, reason) = match (engine.writes_stopped, engine.delayed_write_rate) {
        (true, _) => (Status::Degraded, "the engine has stopped writes".into()),
        (false, 0) => (Status::Ok, "the engine takes writes at full speed".into()),
        (false, rate) => (Status::Degraded, format!("the engine holds writes to {rate} bytes per second")),
    };
    found("engine-stall", Side::Storage, status, reason)
}

fn unsynced(storage: &StorageState, config: &Config) -> Finding {
    let age = storage.unsynced_for().unwrap_or_default();
    let threshold = Duration::from_millis(config.monitoring.health_unsynced_ms);
    let reason = format!("a power failure would lose {} ms of writes", age.as_millis());
    found("unsynced", Side::Storage, unless(age > threshold && !threshold.is_zero(), Status::Degraded), reason)
}

fn engine(storage: &StorageState) -> Finding {
    let errors = storage.engine_statistics.load().background_errors;
    let reason = format!("{errors} flushes and compactions have failed");
    found("engine-errors", Side::Storage, unless(errors > 0, Status::Degraded), reason)
}

fn space(server: &Server, config: &Config) -> Finding {
    let storage = &server.stats.storage;
    let (free, disk) = (storage.free_bytes.get(), storage.disk_bytes.get());
    let low = disk > 0 && free < config.monitoring.health_free_bytes;
    found("disk-space", Side::Storage, unless(low, Status::Degraded), format!("{} MB are free", free >> 20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::network_tests::TestClient;

    fn status(client: &TestClient, check: &str) -> Status {
        let report = report(&client.session.server);
        report.findings.iter().find(|finding| finding.check == check).unwrap_or_else(|| panic!("{check}")).status
    }

    #[test]
    fn a_check_follows_its_figures_and_its_threshold() {
        let client = TestClient::with_config("maxclients 1\nhealth-stall-threshold 1000");
        let server = client.session.server.clone();
        assert_eq!(status(&client, "clients"), Status::Degraded);
        assert_eq!(status(&client, "storage-open"), Status::Failing);
        let config = server.config.current();
        let now_us = server.env.clock.now().as_micros() as u64 + 5_000_000;
        // The clock is the real one: "since" lies in its future, then in its past.
        for (since_us, expected) in [(0, Status::Ok), (now_us, Status::Ok)] {
            server.stats.storage.writer_busy_since_us.set(since_us);
            assert_eq!(writer(&server, &config).status, expected, "{since_us}");
        }
        server.stats.runtime.network_lag_us.set(2_000_000);
        assert_eq!(status(&client, "network-lag"), Status::Degraded);
        server.stats.storage.disk_bytes.set(100 << 30);
        server.stats.storage.free_bytes.set(1 << 20);
        assert_eq!(space(&server, &config).status, Status::Degraded);
        server.stats.storage.free_bytes.set(50 << 30);
        assert_eq!(space(&server, &config).status, Status::Ok);
        server.stats.health.set(Condition::Breaker, Status::Failing, "open");
        assert_eq!(status(&client, "breaker"), Status::Failing);
    }
}
