//! Background work beside the writer: the WAL is synced each second (`appendfsync everysec`), and the engine's figures
//! are read where nobody waits for them.

use std::sync::Arc;
use std::time::Duration;

use super::server::{StopSignal, StorageState};
use crate::config::Fsync;
use crate::limits;

/// Syncs the WAL once a second while something is unsynced, and whatever `appendfsync` says if deleted data waits for it:
/// what is dropped from files must not come back to be missed. On a thread of its own: an fsync may take as long as the
/// disk pleases.
pub async fn sync_wal(state: Arc<StorageState>, mut stop: StopSignal) {
    while !stop.requested_within(&state, Duration::from_secs(1)).await {
        let every_second = state.config.current().storage.fsync == Fsync::EverySecond;
        if every_second && state.unsynced_for().is_some() || state.engine.awaits_sync() {
            state.begin_sync();
            if let Err(error) = state.engine.sync_wal() {
                tracing::error!(%error, "the WAL could not be synced: storage is read-only from now on");
            } else {
                state.end_sync();
            }
        }
    }
}

/// Keeps [`StorageState::engine_statistics`] fresh.
pub async fn watch_engine(state: Arc<StorageState>, mut stop: StopSignal) {
    loop {
        state.engine_statistics.store(Arc::new(state.engine.statistics()));
        if stop.requested_within(&state, limits::ENGINE_STATISTICS_INTERVAL).await {
            return;
        }
    }
}
