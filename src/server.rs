//! The composition root: one whole server in one environment, from start to stop. `main` and the simulation both call
//! [`run`]; there is no other way to put the rooms together.

use std::sync::Arc;
use std::time::Duration;

use crate::commands::context::{Reconfigure, Server};
use crate::commands::watch;
use crate::config::{LiveConfig, Supervised};
use crate::env::{Env, ShutdownRequest};
use crate::limits;
use crate::observe::{Category, Report, SAMPLE_INTERVAL, Severity, Side};
use crate::runtime::{RuntimeManager, StartError};

/// Runs a server until `shutdown` is requested, from outside or by a client.
pub async fn run(env: Env, config: Arc<LiveConfig>, shutdown: Arc<ShutdownRequest>) -> Result<(), StartError> {
    let mut manager = RuntimeManager::new(env.clone(), config, shutdown.clone())?;
    manager.start().await?;
    for address in manager.addresses() {
        tracing::info!(%address, "listening");
    }
    for address in manager.http_addresses() {
        tracing::info!(%address, "listening for HTTP");
    }
    tracing::info!("Ready to accept connections");
    notify(manager.server(), "READY=1\nSTATUS=Ready to accept connections");
    let server = manager.server().clone();
    let mut rounds = Rounds::default();
    loop {
        let wish = tokio::select! {
            biased;
            () = shutdown.requested() => break,
            () = server.storage_restart.notified() => Wish::RestartStorage,
            reason = server.trouble.gave_up() => Wish::GiveUp(reason),
            () = server.trouble.reopen.notified() => Wish::ReopenStorage,
            () = server.config.reload_requested() => Wish::Reload,
            reconfigure = manager.reconfiguration() => Wish::Reconfigure(reconfigure),
            () = env.clock.sleep(SAMPLE_INTERVAL) => Wish::Nothing,
        };
        if let Err(error) = fulfil(wish, &mut manager, &mut rounds).await {
            manager.stop().await;
            return Err(error);
        }
    }
    notify(&server, "STOPPING=1");
    tracing::info!("stopping: answering what is in flight");
    manager.stop().await;
    tracing::info!("bye");
    Ok(())
}

/// What the server is asked for while it serves.
enum Wish {
    Nothing,
    RestartStorage,
    /// The engine has failed for good.
    ReopenStorage,
    /// So has something that nothing helps against.
    GiveUp(String),
    Reload,
    Reconfigure(Reconfigure),
}

/// An error is the end of the server.
async fn fulfil(wish: Wish, manager: &mut RuntimeManager, rounds: &mut Rounds) -> Result<(), StartError> {
    match wish {
        Wish::Nothing => {
            rounds.run(manager.server());
            let now = manager.server().env.clock.now();
            if manager.storage_is_lost() && !rounds.rebuild.ask(now) {
                let reason = format!("the storage runtime ended {} times in a row", limits::REOPENS_MAX);
                manager.server().trouble.give_up(reason);
            }
            if rounds.rebuild.is_due(now) {
                let what = "the storage runtime has ended: building it anew";
                manager.server().report(Report::new(Category::Recovery, Severity::Error, Side::Storage, what));
                manager.rebuild_storage().await?;
                tracing::info!(health = ?manager.health(), "the storage runtime was built anew");
            }
            if rounds.reopen.is_due(manager.server().env.clock.now()) {
                let what = "the engine has failed: opening it anew";
                manager.server().report(Report::new(Category::Recovery, Severity::Error, Side::Storage, what));
                manager.reopen_storage().await?;
                tracing::info!(health = ?manager.health(), "the engine was opened anew");
            }
        }
        Wish::ReopenStorage => {
            if !rounds.reopen.ask(manager.server().env.clock.now()) {
                let reason = format!("the engine failed {} times in a row", limits::REOPENS_MAX);
                manager.server().trouble.give_up(reason);
            }
        }
        Wish::GiveUp(reason) => {
            let what = "storage has failed for good: the server ends";
            manager
                .server()
                .report(Report::new(Category::Recovery, Severity::Critical, Side::Storage, what).error(&reason));
            return Err(StartError::GaveUp(reason));
        }
        Wish::RestartStorage => {
            tracing::info!("restarting storage");
            manager.restart_storage().await?;
            tracing::info!(health = ?manager.health(), "storage restarted");
        }
        Wish::Reload => manager.reload().await?,
        Wish::Reconfigure(Reconfigure { pairs, done }) => {
            let outcome = manager.reconfigure(&pairs).await?;
            // Whoever asked may have left.
            let _ = done.send(outcome);
        }
    }
    Ok(())
}

/// Tells the init system, if the configuration says that there is one (`supervised`).
fn notify(server: &Server, state: &str) {
    if server.config.current().process.supervised != Supervised::No {
        server.env.host.notify(state);
    }
}

/// What is done now and then while nothing else happens: when it was done last.
#[derive(Default)]
struct Rounds {
    watched_at: Duration,
    logged_at: Duration,
    reopen: Reopen,
    rebuild: Reopen,
}

/// When to open the engine anew, or to build the storage runtime anew: the more often lately, the later.
#[derive(Default)]
struct Reopen {
    due: Option<Duration>,
    last: Option<(Duration, Duration)>,
    in_a_row: u32,
}

impl Reopen {
    /// `false`: that was once too often.
    fn ask(&mut self, now: Duration) -> bool {
        if self.due.is_some() {
            return true;
        }
        let pause = match self.last {
            Some((at, pause)) if now < at + limits::REOPEN_FORGIVEN_AFTER => (pause * 2).min(limits::REOPEN_PAUSE_MAX),
            _ => {
                self.in_a_row = 0;
                limits::REOPEN_PAUSE_MIN
            }
        };
        self.in_a_row += 1;
        self.last = Some((now + pause, pause));
        self.due = Some(now + pause);
        self.in_a_row <= limits::REOPENS_MAX
    }

    fn is_due(&mut self, now: Duration) -> bool {
        let due = self.due.is_some_and(|due| now >= due);
        if due {
            self.due = None;
        }
        due
    }
}

impl Rounds {
    fn run(&mut self, server: &Arc<Server>) {
        let now = server.env.clock.now();
        server.stats.sample(now);
        if now >= self.watched_at + watch::INTERVAL {
            self.watched_at = now;
            watch::every_second(server);
        }
        let log_interval = Duration::from_secs(server.config.current().monitoring.log_interval_s);
        if !log_interval.is_zero() && now >= self.logged_at + log_interval {
            self.logged_at = now;
            watch::log_figures(server);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails, waits until it is opened anew, serves for `served`, and so on: how often it is opened before that is given up.
    fn reopenings(served: Duration) -> (u32, Vec<Duration>) {
        let mut reopen = Reopen::default();
        let (mut now, mut pauses) = (Duration::from_secs(1), Vec::new());
        while reopen.ask(now) && pauses.len() < 100 {
            assert!(reopen.ask(now), "asking again while it waits is the same failure");
            assert!(!reopen.is_due(now), "never at once");
            let due = reopen.due.expect("it was asked for");
            pauses.push(due - now);
            now = due;
            assert!(reopen.is_due(now) && !reopen.is_due(now), "once for each failure");
            now += served;
        }
        (pauses.len() as u32, pauses)
    }

    #[test]
    fn an_engine_that_fails_again_and_again_is_opened_later_each_time_and_then_no_more() {
        let (count, pauses) = reopenings(Duration::from_secs(1));
        assert_eq!(count, limits::REOPENS_MAX);
        assert!(pauses.is_sorted() && pauses[0] == limits::REOPEN_PAUSE_MIN, "{pauses:?}");
        assert_eq!(pauses.last(), Some(&limits::REOPEN_PAUSE_MAX));
    }

    #[test]
    fn an_engine_that_served_for_a_good_while_starts_from_the_beginning() {
        let (count, pauses) = reopenings(limits::REOPEN_FORGIVEN_AFTER);
        assert_eq!(count, 100, "there is no end to it");
        assert!(pauses.iter().all(|pause| *pause == limits::REOPEN_PAUSE_MIN));
    }
}
