//! Pacing: writes are slowed little by little before RocksDB slows or stops them itself, which it does by much and for
//! everyone at once. How near that is, the engine's figures say; what follows is a number of nanoseconds for each KiB.
//!
//! While nothing is near it costs the writer two reads of memory a group. It must never hold reads, nor a write for long.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::config::RocksDbConfig;
use crate::engine::EngineStatistics;
use crate::limits;

/// Bytes a second at full pressure: what RocksDB itself begins to delay writes to.
const SLOWEST_BYTES_PER_SECOND: u64 = 16 << 20;
/// RocksDB's `soft_pending_compaction_bytes_limit`, where it begins to delay writes.
const PENDING_COMPACTION_BYTES_SOFT: u64 = 64 << 30;

/// How near RocksDB's own slowdown is: 0, not near at all, to 1, there.
pub fn pressure(figures: &EngineStatistics, knobs: &RocksDbConfig) -> f64 {
    let between = |figure: u64, from: u64, to: u64| match figure.saturating_sub(from) {
        0 => 0.0,
        above => (above as f64 / to.saturating_sub(from).max(1) as f64).min(1.0),
    };
    let [compacts, slows] = [knobs.level0_file_num_compaction_trigger, knobs.level0_slowdown_writes_trigger]
        .map(|files| u64::try_from(files).unwrap_or(0));
    let level0 = between(figures.level0_files, compacts.max(slows / 2), slows);
    // It delays writes at one short of all memtables, if there are more than three.
    let memtables = match u64::try_from(knobs.max_write_buffer_number).unwrap_or(0) {
        memtables @ 4.. => between(figures.immutable_memtables, memtables - 3, memtables - 1),
        _ => 0.0,
    };
    let (soft, half) = (PENDING_COMPACTION_BYTES_SOFT, PENDING_COMPACTION_BYTES_SOFT / 2);
    level0.max(memtables).max(between(figures.pending_compaction_bytes, half, soft))
}

/// What writes owe to the pace.
#[derive(Debug, Default)]
pub struct Pace {
    /// 0: none is asked for.
    ns_per_kib: AtomicU64,
    owed_ns: AtomicU64,
}

impl Pace {
    /// Sets the pace by the pressure, and returns it in bytes a second; 0: writes are not held.
    pub fn set(&self, pressure: f64) -> u64 {
        let slowest_ns = (1024 * 1_000_000_000 / SLOWEST_BYTES_PER_SECOND) as f64;
        let ns_per_kib = (slowest_ns * pressure.clamp(0.0, 1.0)) as u64;
        self.ns_per_kib.store(ns_per_kib, Ordering::Relaxed);
        if ns_per_kib == 0 {
            self.owed_ns.store(0, Ordering::Relaxed);
        }
        (1024 * 1_000_000_000u64).checked_div(ns_per_kib).unwrap_or(0)
    }

    /// So many bytes were written.
    pub fn owe(&self, bytes: usize) {
        let ns_per_kib = self.ns_per_kib.load(Ordering::Relaxed);
        if ns_per_kib > 0 {
            self.owed_ns.fetch_add(bytes as u64 * ns_per_kib / 1024, Ordering::Relaxed);
        }
    }

    /// How long to wait before the next group, once it is worth a timer.
    pub fn due(&self) -> Option<Duration> {
        if self.owed_ns.load(Ordering::Relaxed) < limits::PACE_PAUSE_MIN.as_nanos() as u64 {
            return None;
        }
        let owed = Duration::from_nanos(self.owed_ns.swap(0, Ordering::Relaxed));
        Some(owed.min(limits::PACE_PAUSE_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knobs() -> RocksDbConfig {
        RocksDbConfig {
            level0_file_num_compaction_trigger: 4,
            level0_slowdown_writes_trigger: 24,
            max_write_buffer_number: 5,
            ..RocksDbConfig::default()
        }
    }

    #[test]
    fn pressure_begins_half_way_to_the_slowdown_and_is_full_there() {
        let knobs = knobs();
        let of = |level0_files, immutable_memtables, pending_gib: u64| {
            let pending_compaction_bytes = pending_gib << 30;
            let figures = EngineStatistics {
                level0_files,
                immutable_memtables,
                pending_compaction_bytes,
                ..EngineStatistics::default()
            };
            pressure(&figures, &knobs)
        };
        assert_eq!(of(0, 0, 0), 0.0);
        assert_eq!(of(12, 2, 32), 0.0, "an ordinary day");
        assert_eq!(of(18, 0, 0), 0.5);
        assert_eq!((of(24, 0, 0), of(48, 0, 0)), (1.0, 1.0));
        assert_eq!((of(0, 3, 0), of(0, 4, 0)), (0.5, 1.0));
        assert_eq!((of(0, 0, 48), of(0, 0, 64)), (0.5, 1.0));
        assert_eq!(of(15, 3, 0), 0.5, "the nearest one counts");
    }

    #[test]
    fn writes_are_held_to_the_pace_and_not_at_all_without_pressure() {
        let pace = Pace::default();
        assert_eq!(pace.set(0.0), 0);
        pace.owe(1 << 30);
        assert_eq!(pace.due(), None);
        let full = pace.set(1.0);
        assert!(full.abs_diff(SLOWEST_BYTES_PER_SECOND) < 1024, "{full}");
        let half = pace.set(0.5);
        assert!(half.abs_diff(2 * SLOWEST_BYTES_PER_SECOND) < 4096, "{half}");
        // A second's worth at half pressure, group by group.
        let mut waited = Duration::ZERO;
        for _ in 0..32 * 1024 {
            pace.owe(1024);
            waited += pace.due().unwrap_or_default();
        }
        assert!(waited > Duration::from_millis(990) && waited < Duration::from_millis(1010), "{waited:?}");
        pace.owe(1 << 30);
        assert_eq!(pace.due(), Some(limits::PACE_PAUSE_MAX), "no write is held for long");
        pace.owe(1 << 20);
        pace.set(0.0);
        assert_eq!(pace.due(), None, "with the pressure goes the debt");
    }
}
