//! The disk reserve: while a little room is left, commands that take more of it are refused, so that deletes, expiry and
//! compaction still have what they need. RocksDB takes no write at all once a disk is full, not even a delete.
//!
//! It looks at the disk ten times a second, and never touches the engine. Refusing is the network side's part: it reads one
//! counter.

use std::time::Duration;

use super::background::BackgroundTask;
use super::server::StorageState;
use crate::limits;
use crate::observe::{Category, Condition, Report, Severity, Side, Status};

/// What is remembered between two looks.
#[derive(Default)]
pub struct Reserve {
    is_breached: bool,
    flushed_at: Duration,
    groups_at_flush: u64,
}

/// How much is kept free of a disk of this size. `configured`: `disk-reserve`, unless it is left at `auto`.
pub fn reserve_bytes(configured: Option<u64>, disk_bytes: u64) -> u64 {
    let twentieth = (disk_bytes / 20).clamp(limits::DISK_RESERVE_MIN, limits::DISK_RESERVE_MAX);
    configured.unwrap_or(twentieth.min(disk_bytes / 4))
}

/// Whether so little is free that the reserve is touched. Once it is, a quarter more has to be free until it is not, so that
/// service does not come and go with every file.
fn is_breached(before: bool, free_bytes: u64, reserve_bytes: u64) -> bool {
    let least = if before { reserve_bytes.saturating_add(reserve_bytes / 4) } else { reserve_bytes };
    free_bytes < least
}

impl Reserve {
    /// Looks how much room there is, and says so if that makes a difference.
    pub fn look(&mut self, state: &StorageState) {
        let config = state.config.current();
        let Ok(room) = state.env.storage.room(&config.storage.dir) else { return };
        let reserve = reserve_bytes(config.storage.disk_reserve_bytes, room.disk_bytes);
        let metrics = &state.stats.storage;
        metrics.reserve_bytes.set(reserve);
        metrics.free_bytes.set(room.free_bytes);
        metrics.disk_bytes.set(room.disk_bytes);
        let before = self.is_breached;
        self.is_breached = is_breached(before, room.free_bytes, reserve);
        metrics.reserve_breached.set(self.is_breached.into());
        if self.is_breached != before {
            self.tell(state, room.free_bytes, reserve);
        }
        if self.is_breached {
            self.make_room(state, !before);
        }
    }

    fn tell(&self, state: &StorageState, free_bytes: u64, reserve_bytes: u64) {
        let health = &state.stats.health;
        if self.is_breached {
            let reason = format!("{free_bytes} bytes are free, less than the reserve of {reserve_bytes}");
            let what = "the disk is nearly full: writes that take room are refused, deletes and reads go on";
            let report = Report::new(Category::Space, Severity::Error, Side::Storage, what);
            state.report(report.error(&reason));
            health.set(
                Condition::DiskReserve,
                Status::Degraded,
                format!("writes that take room are refused: {reason}"),
            );
        } else {
            tracing::info!(free_bytes, reserve_bytes, "the disk has room again: all writes are taken");
            health.set(Condition::DiskReserve, Status::Ok, "the disk has room");
        }
    }

    /// What was deleted takes room until it leaves the memtables: they are written out now and then, and compaction follows.
    fn make_room(&mut self, state: &StorageState, is_new: bool) {
        let (now, groups) = (state.env.clock.now(), state.stats.storage.groups_committed.get());
        let is_due = groups != self.groups_at_flush && now >= self.flushed_at + limits::RESERVE_FLUSH_INTERVAL;
        if is_new || is_due {
            (self.flushed_at, self.groups_at_flush) = (now, groups);
            state.background.request(BackgroundTask::Flush);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    #[test]
    fn the_reserve_follows_the_disk_unless_it_is_given() {
        for (configured, disk, expected) in [
            (None, 32 * MB, 8 * MB),
            (None, 128 * MB, 16 * MB),
            (None, 1024 * MB, 1024 * MB / 20),
            (None, 100 * 1024 * MB, 1024 * MB),
            (Some(0), 1024 * MB, 0),
            (Some(5000 * MB), 1024 * MB, 5000 * MB),
        ] {
            assert_eq!(reserve_bytes(configured, disk), expected, "{configured:?} {disk}");
        }
    }

    #[test]
    fn it_is_touched_below_its_size_and_whole_again_only_a_quarter_above() {
        for (before, free, expected) in [
            (false, 100, false),
            (false, 99, true),
            (true, 100, true),
            (true, 124, true),
            (true, 125, false),
            (false, 0, true),
        ] {
            assert_eq!(is_breached(before, free, 100), expected, "{before} {free}");
        }
        assert!(!is_breached(false, 0, 0) && !is_breached(true, 0, 0), "a reserve of nothing is never touched");
    }
}
