//! Background work beside the writer: the WAL is synced each second (`appendfsync everysec`), and the engine's figures
//! are read where nobody waits for them.

use std::sync::Arc;
use std::time::Duration;

use super::background::BackgroundTask;
use super::pacing::pressure;
use super::reserve::Reserve;
use super::server::{StopSignal, StorageState};
use super::supervision::Pulse;
use crate::config::Fsync;
use crate::engine::EngineError;
use crate::limits;
use crate::observe::{Report, Severity, Side};
use crate::planted;

/// Syncs the WAL once a second while something is unsynced, and whatever `appendfsync` says if deleted data waits for it:
/// what is dropped from files must not come back to be missed. On a thread of its own: an fsync may take as long as the
/// disk pleases.
pub async fn sync_wal(state: Arc<StorageState>, pulse: Arc<Pulse>, mut stop: StopSignal) {
    let interval = Duration::from_secs(if planted::is("everysec-is-every-three") { 3 } else { 1 });
    // What threads before this one have left unsynced may be almost a second old.
    let mut patience = if planted::is("restart-delays-sync") { interval } else { Duration::ZERO };
    while !stop.requested_within(&state, patience).await {
        patience = interval;
        let every_second = state.config.current().storage.fsync == Fsync::EverySecond;
        let is_due = every_second && state.unsynced_for().is_some() || state.engine.awaits_sync();
        if (is_due || state.background.is_waiting(BackgroundTask::Sync))
            && let Some(run) = state.background.begin(BackgroundTask::Sync, 1)
        {
            state.begin_sync();
            let metrics = &state.stats.storage;
            let began = state.env.clock.now();
            pulse.beat(began);
            let synced = state.engine.sync_wal();
            pulse.rest();
            metrics.sync.record(state.env.clock.now().saturating_sub(began));
            metrics.syncs.add(1);
            if let Err(error) = synced {
                metrics.syncs_failed.add(1);
                let is_final = matches!(error, EngineError::SyncFailed(_));
                let (severity, what) = match is_final {
                    true => (Severity::Critical, "the WAL could not be synced: storage is read-only from now on"),
                    false => (Severity::Error, "the WAL could not be synced yet"),
                };
                state.report(Report::new(error.category(), severity, Side::Storage, what).error(&error));
                if is_final {
                    state.note_failed_sync();
                }
                run.end(Err(error.to_string()), 0);
            } else {
                state.end_sync();
                run.end(Ok(()), 1);
            }
        }
    }
}

/// Keeps [`StorageState::engine_statistics`] fresh, sets the pace by them, and watches over the disk's reserve.
pub async fn watch_engine(state: Arc<StorageState>, pulse: Arc<Pulse>, mut stop: StopSignal) {
    let mut reserve = Reserve::default();
    let mut figures_due = state.env.clock.now();
    loop {
        pulse.beat(state.env.clock.now());
        reserve.look(&state);
        pulse.rest();
        if stop.requested_within(&state, limits::RESERVE_INTERVAL).await {
            return;
        }
        let now = state.env.clock.now();
        if now < figures_due {
            continue;
        }
        figures_due = now + limits::ENGINE_STATISTICS_INTERVAL;
        let background = state.background.clone();
        let run = background
            .may_run(BackgroundTask::Statistics)
            .then(|| background.begin(BackgroundTask::Statistics, 1))
            .flatten();
        if let Some(run) = run {
            pulse.beat(state.env.clock.now());
            read_figures(&state);
            pulse.rest();
            run.end(Ok(()), 1);
        }
    }
}

/// What the engine says of itself, and what its files take.
fn read_figures(state: &StorageState) {
    state.engine_statistics.store(Arc::new(state.engine.statistics()));
    let figures = state.engine_statistics.load();
    let pressure = pressure(&figures, &state.config.current().storage.rocksdb);
    state.stats.storage.pace_bytes_per_second.set(state.pace.set(pressure));
    if let Ok(space) = state.env.host.space(&state.config.current().storage.dir) {
        let metrics = &state.stats.storage;
        metrics.wal_bytes.set(space.wal_bytes);
        metrics.directory_bytes.set(space.directory_bytes);
    }
}
