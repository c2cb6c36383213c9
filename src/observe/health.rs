//! Health: what is checked, how each check is and since when, and what has changed lately.
//!
//! Two kinds of knowledge meet here. Some parts know how they are and say so when it changes ([`Health::set`]); the rest
//! is judged by whoever looks at the figures, and handed in as a [`HealthReport`] once a second ([`Health::note`]).
//! Nothing here judges a figure or decides what to do about it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;

use crate::limits::HEALTH_CHANGES_MAX;

/// How a check is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    #[default]
    Ok,
    /// Something is wrong; requests are still served, some of them perhaps with an error or late.
    Degraded,
    /// Requests that should be served are not: send them elsewhere.
    Failing,
}

impl Status {
    pub fn word(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Degraded => "degraded",
            Status::Failing => "failing",
        }
    }
}

/// Where a check belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Network,
    Channel,
    Storage,
}

impl Side {
    pub const ALL: [Side; 3] = [Side::Network, Side::Channel, Side::Storage];

    pub fn word(self) -> &'static str {
        match self {
            Side::Network => "network",
            Side::Channel => "channel",
            Side::Storage => "storage",
        }
    }
}

/// Where the server is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    #[default]
    Starting,
    Serving,
    /// The storage side starts anew; requests wait in the channel.
    RestartingStorage,
    /// Nobody new is accepted; what is in flight is answered.
    Draining,
}

impl Phase {
    pub fn word(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Serving => "serving",
            Phase::RestartingStorage => "restarting-storage",
            Phase::Draining => "draining",
        }
    }

    fn of(number: u8) -> Phase {
        [Phase::Starting, Phase::Serving, Phase::RestartingStorage, Phase::Draining][usize::from(number)]
    }
}

/// What parts of the server say of themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Whether requests are let through to storage.
    Breaker,
    /// Whether the engine takes writes at full speed.
    WriteStall,
    /// What storage can do: everything, only read and delete, only read.
    StorageMode,
    /// Whether the disk has more room than its reserve.
    DiskReserve,
}

impl Condition {
    pub const ALL: [Condition; 4] =
        [Condition::Breaker, Condition::WriteStall, Condition::StorageMode, Condition::DiskReserve];

    /// The check that shows it.
    pub fn name(self) -> &'static str {
        match self {
            Condition::Breaker => "breaker",
            Condition::WriteStall => "write-stall",
            Condition::StorageMode => "storage-mode",
            Condition::DiskReserve => "disk-reserve",
        }
    }

    /// What there is to say while nothing is wrong.
    fn when_well(self) -> &'static str {
        match self {
            Condition::Breaker => "requests are let through to storage",
            Condition::WriteStall => "writes are not held up",
            Condition::StorageMode => "reads and writes are served",
            Condition::DiskReserve => "the disk has room",
        }
    }

    pub fn side(self) -> Side {
        match self {
            Condition::Breaker => Side::Channel,
            Condition::WriteStall | Condition::StorageMode | Condition::DiskReserve => Side::Storage,
        }
    }
}

/// One check, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub check: &'static str,
    pub side: Side,
    pub status: Status,
    /// Why it is so; of a good check, what it looked at.
    pub reason: String,
}

/// All checks at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthReport {
    pub phase: Phase,
    pub findings: Vec<Finding>,
}

impl HealthReport {
    /// The worst of one side, or of all.
    pub fn status(&self, side: Option<Side>) -> Status {
        let of_side = self.findings.iter().filter(|finding| side.is_none_or(|side| finding.side == side));
        of_side.map(|finding| finding.status).max().unwrap_or_default()
    }

    /// Whether clients should be sent here.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Serving && self.status(None) < Status::Failing
    }
}

/// A check that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthChange {
    pub unix_ms: u64,
    pub check: &'static str,
    pub from: Status,
    pub to: Status,
    pub reason: String,
}

/// What is known of the server's health.
#[derive(Debug, Default)]
pub struct Health {
    phase: AtomicU8,
    conditions: [Mutex<(Status, String)>; Condition::ALL.len()],
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    /// By check: how it is, and since when (Unix time in milliseconds).
    statuses: BTreeMap<&'static str, (Status, u64)>,
    /// Oldest first.
    changes: VecDeque<HealthChange>,
}

impl Health {
    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub fn phase(&self) -> Phase {
        Phase::of(self.phase.load(Ordering::Relaxed))
    }

    /// A part of the server says how it is. It need say so only when that changes.
    pub fn set(&self, condition: Condition, status: Status, reason: impl Into<String>) {
        *self.conditions[condition as usize].lock() = (status, reason.into());
    }

    /// What was last said.
    pub fn condition(&self, condition: Condition) -> Finding {
        let (status, mut reason) = self.conditions[condition as usize].lock().clone();
        if reason.is_empty() {
            reason = condition.when_well().into();
        }
        Finding { check: condition.name(), side: condition.side(), status, reason }
    }

    /// Compares a report with the one before and remembers what changed; returns that.
    pub fn note(&self, report: &HealthReport, unix_ms: u64) -> Vec<HealthChange> {
        let mut changes = Vec::new();
        let mut noted = self.noted.lock();
        for finding in &report.findings {
            let (from, since) = noted.statuses.entry(finding.check).or_insert((Status::Ok, unix_ms));
            if *from == finding.status {
                continue;
            }
            changes.push(HealthChange {
                unix_ms,
                check: finding.check,
                from: *from,
                to: finding.status,
                reason: finding.reason.clone(),
            });
            (*from, *since) = (finding.status, unix_ms);
        }
        noted.changes.extend(changes.iter().cloned());
        let surplus = noted.changes.len().saturating_sub(HEALTH_CHANGES_MAX);
        noted.changes.drain(..surplus);
        changes
    }

    /// Since when a check has been as it is, in Unix milliseconds; `None` before it was first noted.
    pub fn since(&self, check: &str) -> Option<u64> {
        self.noted.lock().statuses.get(check).map(|(_, since)| *since)
    }

    /// The latest changes, oldest first.
    pub fn changes(&self) -> Vec<HealthChange> {
        self.noted.lock().changes.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(phase: Phase, status: Status) -> HealthReport {
        let finding = |check, side, status| Finding { check, side, status, reason: "because".into() };
        let findings = vec![finding("a", Side::Network, Status::Ok), finding("b", Side::Storage, status)];
        HealthReport { phase, findings }
    }

    #[test]
    fn ready_means_serving_and_nothing_failing() {
        for (phase, status, ready) in [
            (Phase::Serving, Status::Ok, true),
            (Phase::Serving, Status::Degraded, true),
            (Phase::Serving, Status::Failing, false),
            (Phase::Starting, Status::Ok, false),
            (Phase::RestartingStorage, Status::Ok, false),
            (Phase::Draining, Status::Ok, false),
        ] {
            assert_eq!(report(phase, status).is_ready(), ready, "{phase:?} {status:?}");
        }
        let failing = report(Phase::Serving, Status::Failing);
        assert_eq!(failing.status(Some(Side::Network)), Status::Ok);
        assert_eq!(failing.status(Some(Side::Storage)), Status::Failing);
    }

    #[test]
    fn changes_are_remembered_with_their_time_up_to_a_limit() {
        let health = Health::default();
        assert!(health.note(&report(Phase::Serving, Status::Ok), 5).is_empty());
        let changes = health.note(&report(Phase::Serving, Status::Degraded), 6);
        assert_eq!((changes.len(), changes[0].check, changes[0].to), (1, "b", Status::Degraded));
        assert!(health.note(&report(Phase::Serving, Status::Degraded), 7).is_empty());
        assert_eq!((health.since("a"), health.since("b"), health.since("c")), (Some(5), Some(6), None));
        for round in 0..HEALTH_CHANGES_MAX as u64 {
            let status = if round % 2 == 0 { Status::Ok } else { Status::Failing };
            health.note(&report(Phase::Serving, status), 8 + round);
        }
        assert_eq!(health.changes().len(), HEALTH_CHANGES_MAX);
        assert_eq!(health.changes()[0].unix_ms, 8);
    }

    #[test]
    fn what_parts_say_of_themselves_is_kept() {
        let health = Health::default();
        assert_eq!((health.phase(), health.condition(Condition::Breaker).status), (Phase::Starting, Status::Ok));
        health.set(Condition::Breaker, Status::Failing, "open: 5 errors in a row");
        health.set_phase(Phase::Draining);
        let finding = health.condition(Condition::Breaker);
        assert_eq!((finding.side, finding.status), (Side::Channel, Status::Failing));
        assert_eq!((finding.reason.as_str(), health.phase()), ("open: 5 errors in a row", Phase::Draining));
    }
}
