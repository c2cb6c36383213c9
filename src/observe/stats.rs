//! The server's counters: what INFO calls stats, commandstats and errorstats.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::{
    ChannelMetrics, Client, Distribution, ErrorLog, Health, Histogram, History, LatencyMonitor, Monitors,
    RuntimeMetrics, Sampler, SlowLog, StorageMetrics,
};
use crate::config::MonitoringConfig;
use crate::resp::CommandArgs;

/// A number that only grows (until CONFIG RESETSTAT), or that goes up and down.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, amount: u64) {
        if !cfg!(feature = "unmeasured") {
            self.0.fetch_add(amount, Ordering::Relaxed);
        }
    }

    pub fn subtract(&self, amount: u64) {
        if !cfg!(feature = "unmeasured") {
            self.0.fetch_sub(amount, Ordering::Relaxed);
        }
    }

    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One command's counters (INFO commandstats).
#[derive(Debug, Default)]
pub struct CommandCounters {
    /// Refused before it ran: arity, authentication, limits.
    pub rejected: Counter,
    /// Ran and replied with an error.
    pub failed: Counter,
    /// How long the calls took (INFO latencystats, LATENCY HISTOGRAM), and so how many there were.
    pub latency: Histogram,
}

impl CommandCounters {
    /// Counts a call that ran, and how long it took. Whoever runs many in a row has a [`Tally`](super::Tally).
    pub fn record(&self, took: Duration, failed: bool) {
        self.failed.add(u64::from(failed));
        self.latency.record(took);
    }

    pub fn calls(&self) -> u64 {
        self.latency.count()
    }

    /// What all calls took together.
    pub fn time(&self) -> Duration {
        self.latency.total()
    }
}

/// Counters by command, `client|list` for subcommands.
#[derive(Debug, Default)]
pub struct CommandStats {
    by_name: Mutex<BTreeMap<(&'static str, &'static str), std::sync::Arc<CommandCounters>>>,
}

impl CommandStats {
    /// The counters of a command: `container` is empty unless it is a subcommand. Keep the handle: this locks.
    pub fn of(&self, container: &'static str, name: &'static str) -> std::sync::Arc<CommandCounters> {
        self.by_name.lock().entry((container, name)).or_default().clone()
    }

    /// All commands that were called, or refused, by name.
    pub fn all(&self) -> Vec<(String, std::sync::Arc<CommandCounters>)> {
        let named = |(container, name): &(&str, &str)| match *container {
            "" => name.to_string(),
            container => format!("{container}|{name}"),
        };
        let used = |counters: &CommandCounters| {
            counters.calls() > 0 || [&counters.rejected, &counters.failed].iter().any(|counter| counter.get() > 0)
        };
        let by_name = self.by_name.lock();
        by_name.iter().filter(|(_, counters)| used(counters)).map(|(key, row)| (named(key), row.clone())).collect()
    }

    fn reset(&self) {
        for counters in self.by_name.lock().values() {
            counters.rejected.set(0);
            counters.failed.set(0);
            counters.latency.reset();
        }
    }

    /// How long calls took, of whatever command.
    fn latency(&self) -> Distribution {
        let mut all = Distribution::default();
        self.by_name.lock().values().for_each(|counters| all.merge(&counters.latency.distribution()));
        all
    }
}

/// A command that ran.
#[derive(Clone, Copy, Debug)]
pub struct Ran<'a> {
    pub args: &'a CommandArgs,
    pub client: &'a Client,
    pub took: Duration,
    /// Its row is flagged fast.
    pub is_fast: bool,
}

/// Counters of the whole server.
#[derive(Debug, Default)]
pub struct ServerStats {
    /// On the monotonic clock.
    pub started_at: Duration,
    pub connections_received: Counter,
    pub connections_rejected: Counter,
    pub commands_processed: Counter,
    pub net_input_bytes: Counter,
    pub net_output_bytes: Counter,
    /// Reads from and writes to sockets that moved bytes.
    pub socket_reads: Counter,
    pub socket_writes: Counter,
    pub error_replies: Counter,
    /// Clients in WAIT, and those that CLIENT PAUSE holds up; who waits for a key is counted there.
    pub clients_held: Counter,
    pub keyspace_hits: Counter,
    pub keyspace_misses: Counter,
    pub expired_keys: Counter,
    pub accept_errors: Counter,
    pub runtime: RuntimeMetrics,
    pub channel: ChannelMetrics,
    pub storage: StorageMetrics,
    pub commands: CommandStats,
    pub slowlog: SlowLog,
    pub latency: LatencyMonitor,
    pub monitors: Monitors,
    pub sampler: Sampler,
    pub health: Health,
    pub error_log: ErrorLog,
    pub history: History,
    errors: Mutex<BTreeMap<String, u64>>,
}

impl ServerStats {
    pub fn new(started_at: Duration) -> ServerStats {
        ServerStats { started_at, ..ServerStats::default() }
    }

    /// Counts an error reply under its code (INFO errorstats). The number of codes is bounded, as in Redis.
    pub fn count_error(&self, reply: &str) {
        self.error_replies.add(1);
        let code = reply.split_ascii_whitespace().next().unwrap_or("ERR");
        let mut errors = self.errors.lock();
        if let Some(count) = errors.get_mut(code) {
            *count += 1;
        } else if errors.len() < crate::limits::ERROR_CODES_MAX {
            errors.insert(code.to_string(), 1);
        }
    }

    /// SLOWLOG and LATENCY: remembers a command that took longer than is asked for. `is_secret` says which of its
    /// arguments must not be shown. The wall clock is asked only if there is something to date.
    pub fn note_if_slow(
        &self,
        ran: &Ran<'_>,
        is_secret: impl Fn(usize) -> bool,
        config: &MonitoringConfig,
        unix_time: impl Fn() -> Duration,
    ) {
        let Ran { args, client, took, is_fast } = *ran;
        if u128::try_from(config.slowlog_slower_than_us).is_ok_and(|least| took.as_micros() >= least) {
            let unix_s = unix_time().as_secs();
            self.slowlog.record(args, is_secret, client, took, unix_s, config.slowlog_entries_max);
        }
        let took_ms = took.as_millis() as u64;
        if config.latency_threshold_ms > 0 && took_ms >= config.latency_threshold_ms {
            // Of a fast command not even a long key explains a spike: look at the machine.
            let event = if is_fast { "fast-command" } else { "command" };
            self.latency.record(event, took_ms, unix_time().as_secs());
        }
    }

    /// Takes the samples behind INFO's `instantaneous_*`; a task of the server does it every
    /// [`SAMPLE_INTERVAL`](super::SAMPLE_INTERVAL).
    pub fn sample(&self, now: Duration) {
        let readings = [&self.commands_processed, &self.net_input_bytes, &self.net_output_bytes];
        self.sampler.sample(now, readings.map(Counter::get));
    }

    /// The stages of a request, by name, in the order in which it passes them. What commands take is counted command by
    /// command, and nowhere else: "execute" is all of them together.
    pub fn stages(&self) -> [(&'static str, Distribution); 6] {
        let RuntimeMetrics { decode, queue, commit, reply, request, .. } = &self.runtime;
        [
            ("decode", decode.distribution()),
            ("queue", queue.distribution()),
            ("execute", self.execute()),
            ("commit", commit.distribution()),
            ("reply", reply.distribution()),
            ("request", request.distribution()),
        ]
    }

    /// Running one command, of whatever name.
    pub fn execute(&self) -> Distribution {
        self.commands.latency()
    }

    /// Error replies by code.
    pub fn errors(&self) -> BTreeMap<String, u64> {
        self.errors.lock().clone()
    }

    /// CONFIG RESETSTAT.
    pub fn reset(&self) {
        for counter in [
            &self.connections_received,
            &self.connections_rejected,
            &self.commands_processed,
            &self.net_input_bytes,
            &self.net_output_bytes,
            &self.socket_reads,
            &self.socket_writes,
            &self.error_replies,
            &self.keyspace_hits,
            &self.keyspace_misses,
            &self.expired_keys,
        ] {
            counter.set(0);
        }
        self.errors.lock().clear();
        self.commands.reset();
        // With them, for one stage is all commands together.
        let RuntimeMetrics { decode, queue, commit, reply, request, .. } = &self.runtime;
        [decode, queue, commit, reply, request].into_iter().for_each(Histogram::reset);
        self.sampler.reset();
    }
}

/// Counts in [`ServerStats::clients_held`] for as long as it lives.
pub struct HeldClient(Arc<ServerStats>);

impl ServerStats {
    /// A client is held up from now on.
    pub fn hold(self: &Arc<Self>) -> HeldClient {
        self.clients_held.add(1);
        HeldClient(self.clone())
    }
}

impl Drop for HeldClient {
    fn drop(&mut self) {
        self.0.clients_held.subtract(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Clients;

    #[test]
    fn what_took_as_long_as_a_threshold_is_remembered() {
        let client = Clients::default().connect("127.0.0.1:5".into(), String::new(), Duration::ZERO);
        let args = CommandArgs::from_parts(&["auth", "secret"]);
        // (slowlog-log-slower-than, latency-monitor-threshold, took µs, is fast) → (slow log entries, event)
        for (slower_than_us, threshold_ms, took_us, is_fast, entries, event) in [
            (10_000, 0, 9_999, false, 0, None),
            (10_000, 0, 10_000, false, 1, None),
            (0, 0, 0, false, 1, None),
            (-1, 5, 4_999, false, 0, None),
            (-1, 5, 5_000, false, 0, Some("command")),
            (-1, 5, 5_000, true, 0, Some("fast-command")),
        ] {
            let stats = ServerStats::default();
            let config = MonitoringConfig {
                slowlog_slower_than_us: slower_than_us,
                slowlog_entries_max: 8,
                latency_threshold_ms: threshold_ms,
                ..MonitoringConfig::default()
            };
            let ran = Ran { args: &args, client: &client, took: Duration::from_micros(took_us), is_fast };
            stats.note_if_slow(&ran, |index| index == 1, &config, || Duration::from_secs(7));
            let logged = stats.slowlog.latest(9);
            assert_eq!(logged.len(), entries, "{took_us}");
            assert!(logged.iter().all(|entry| entry.unix_s == 7 && entry.args[1] == "(redacted)"));
            assert_eq!(stats.latency.events().into_keys().next(), event, "{took_us}");
        }
    }
}
