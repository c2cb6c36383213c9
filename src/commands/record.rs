//! What is remembered of a command that ran, on whichever side it ran: its counters, the slow log, the latency monitor.
//!
//! Nothing here may cost more than a few atomics unless the command was slow, and no secret may be remembered.

use std::time::Duration;

use super::Flag;
use super::table::Call;
use crate::config::{self, DIRECTIVES, MonitoringConfig};
use crate::env::Clock;
use crate::observe::{Client, ServerStats};
use crate::resp::CommandArgs;

/// A command that ran.
pub struct Finished<'a> {
    pub call: &'a Call,
    pub args: &'a CommandArgs,
    pub client: &'a Client,
    pub took: Duration,
    /// It replied with an error.
    pub failed: bool,
}

impl Finished<'_> {
    /// Counts the call, and notes it where it was slower than is asked for.
    pub fn record(&self, stats: &ServerStats, config: &MonitoringConfig, clock: &dyn Clock) {
        let Finished { call, args, client, took, failed } = *self;
        call.counters.record(took, failed);
        let is_slow = u128::try_from(config.slowlog_slower_than_us).is_ok_and(|least| took.as_micros() >= least);
        if is_slow && !call.command.has(Flag::SkipSlowlog) {
            let is_secret = |index| is_secret(call, args, index);
            let unix_s = clock.unix_time().as_secs();
            stats.slowlog.record(args, is_secret, client, took, unix_s, config.slowlog_entries_max);
        }
        let took_ms = took.as_millis() as u64;
        if config.latency_threshold_ms > 0 && took_ms >= config.latency_threshold_ms {
            // Of a fast command not even a long key explains a spike: it was the machine.
            let event = if call.command.has(Flag::Fast) { "fast-command" } else { "command" };
            stats.latency.record(event, took_ms, clock.unix_time().as_secs());
        }
    }
}

/// Whether an argument must not be shown to anyone: a password, in AUTH, HELLO or CONFIG SET.
pub fn is_secret(call: &Call, args: &CommandArgs, index: usize) -> bool {
    match (call.container.map(|container| container.name), call.command.name) {
        (None, "auth") => index > 0,
        (None, "hello") => {
            let is_auth = |at: usize| args.get(at).is_some_and(|word| at > 1 && word.eq_ignore_ascii_case(b"auth"));
            [1, 2].iter().any(|back| index.checked_sub(*back).is_some_and(is_auth))
        }
        (Some("config"), "set") => {
            let name = args.get(index.saturating_sub(1)).unwrap_or_default();
            index >= 3 && index % 2 == 1 && config::find(name).is_some_and(|(row, _)| DIRECTIVES[row].secret)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::CommandTable;

    #[test]
    fn passwords_are_secret_and_nothing_else() {
        let stats = ServerStats::default();
        let commands = CommandTable::new(&[], &stats.commands);
        for (line, expected) in [
            ("auth pw", "auth *"),
            ("AUTH default pw", "AUTH * *"),
            ("hello 3 auth default pw setname x", "hello 3 auth * * setname x"),
            ("hello 3 setname auth", "hello 3 setname auth"),
            ("config set requirepass pw timeout 3", "config set requirepass * timeout 3"),
            ("CONFIG SET timeout 3 MasterAuth pw", "CONFIG SET timeout 3 MasterAuth *"),
            ("config get requirepass", "config get requirepass"),
            ("echo auth", "echo auth"),
        ] {
            let args = CommandArgs::from_line(line.as_bytes()).unwrap();
            let call = commands.resolve(&args).unwrap();
            let shown = args.iter().enumerate().map(|(index, arg)| match is_secret(&call, &args, index) {
                true => "*".into(),
                false => String::from_utf8_lossy(arg).into_owned(),
            });
            assert_eq!(shown.collect::<Vec<_>>().join(" "), expected);
        }
    }
}
