//! A run as data: everything that will be done to a server, decided before it starts. A seed makes a plan, a plan makes a
//! run; so a run that failed can be kept, shrunk and repeated after the code that made its plan has changed.
//!
//! A plan never says what must come of it: that is for the oracles.

pub mod armed;
mod text;

use std::fmt;
use std::time::Duration;

use bulkhead::failpoints::{self, CATALOGUE, Failpoint};
use bulkhead::limits;

use crate::dice::Dice;

/// All of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which scenario drew it.
    pub scenario: String,
    /// Decides what the plan leaves open: latencies, in what pieces bytes arrive, which task runs first.
    pub seed: u64,
    pub surroundings: Surroundings,
    /// Lines of the server's configuration file.
    pub config: Vec<String>,
    /// What befalls the server, and when, in milliseconds after the start.
    pub faults: Vec<(u64, Fault)>,
    /// When everything is healed, at the earliest: not before the last fault has begun.
    pub heal_ms: u64,
    pub clients: Vec<ClientPlan>,
}

/// The network, and how steadily the machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// The step of virtual time.
    pub tick_ms: u64,
    /// No message takes longer.
    pub latency_ms: u64,
    /// One step of a task in so many lets others go first; 0: none does.
    pub yields: u64,
    /// One step of a task in so many stands still for some milliseconds; 0: none does.
    pub pauses: u64,
    /// One commit in so many takes some milliseconds, before or after the engine has it; 0: none does.
    pub commits: u64,
    /// The machines that clients are spread over: a partition cuts one off.
    pub machines: u64,
}

impl Surroundings {
    pub fn draw(dice: &mut Dice) -> Surroundings {
        Surroundings {
            tick_ms: dice.pick(&[1, 2, 4, 4, 8, 8]),
            latency_ms: dice.between(1..=20),
            yields: dice.pick(&[0, 2, 4]),
            pauses: dice.pick(&[0, 0, 16, 64]),
            commits: dice.pick(&[0, 1, 4, 16]),
            machines: dice.pick(&[1, 1, 1, 2]),
        }
    }
}

/// What one client does, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientPlan {
    pub name: String,
    pub steps: Vec<Step>,
}

/// One thing that a client does, so long after the one before was over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub wait_ms: u64,
    pub action: Action,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sends commands together, each as typed into redis-cli, and waits for their replies.
    Send(Vec<String>),
    /// As `Send`, then breaks off in the middle of a command and closes its half of the connection.
    Part(Vec<String>),
    /// As `Send`, and goes away without reading a reply.
    Abandon(Vec<String>),
    /// As `Send`, but reads its replies a few bytes now and then.
    Sip(Vec<String>),
    /// Opens so many connections at once, and drops them.
    Storm(u64),
    /// Listens to channels and patterns, in a connection of its own.
    Listen { topics: Vec<String>, for_ms: u64 },
}

impl Action {
    /// The commands that it sends.
    pub fn commands(&self) -> &[String] {
        match self {
            Action::Send(lines) | Action::Part(lines) | Action::Abandon(lines) | Action::Sip(lines) => lines,
            Action::Storm(_) | Action::Listen { .. } => &[],
        }
    }

    pub fn commands_mut(&mut self) -> Option<&mut Vec<String>> {
        match self {
            Action::Send(lines) | Action::Part(lines) | Action::Abandon(lines) | Action::Sip(lines) => Some(lines),
            Action::Storm(_) | Action::Listen { .. } => None,
        }
    }
}

/// What befalls the server. Whatever lasts ends by itself, or when everything is healed; what lasts for 0 ms only then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The engine has stopped writes, as RocksDB does when compaction does not keep up.
    Stall { for_ms: u64 },
    /// Whatever writes or syncs does not come back.
    Hang { for_ms: u64 },
    /// Writes are refused for want of space.
    NoSpace { for_ms: u64 },
    /// Writes fail, and the engine is read-only from then on; reads fail meanwhile.
    IoError { for_ms: u64 },
    /// Fsync fails, and the engine is read-only from then on.
    SyncFails { for_ms: u64 },
    /// Each step of an engine thread takes so long.
    Slow { for_ms: u64, each_ms: u64 },
    /// One read in so many finds damaged data.
    Damage { for_ms: u64, one_in: u64 },
    /// One read in so many is not in memory and has to be sent to a patient reader.
    Cold { for_ms: u64, one_in: u64 },
    /// An engine thread panics at so manieth call of this kind from now.
    Panic { call: Call, nth: u64 },
    /// SIGTERM, and so long until it is started again.
    Stop { down_ms: u64 },
    /// SIGKILL: what was written stays in the page cache.
    Kill { down_ms: u64 },
    /// The power fails: so much of what was not synced survives.
    PowerCut { down_ms: u64, keep_percent: u64 },
    /// The power fails while the process is down already, or at once after it was killed.
    KillThenPowerCut { down_ms: u64, keep_percent: u64 },
    /// The storage threads are started anew.
    RestartStorage,
    /// Nothing that machine's clients send arrives, nor anything sent to them.
    Partition { machine: u64, for_ms: u64 },
    /// All messages are held back, then delivered.
    Hold { for_ms: u64 },
    /// The wall clock jumps.
    ClockJump { by_ms: i64 },
    /// A place in the server is armed with one of its faults, for so many passes; 0: for all.
    Failpoint { place: Place, what: failpoints::Fault, times: u64, for_ms: u64 },
}

/// A place in the server that can be armed (`src/failpoints.rs`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(usize);

impl Place {
    pub fn all() -> impl Iterator<Item = Place> {
        (0..CATALOGUE.len()).map(Place)
    }

    pub fn named(name: &str) -> Option<Place> {
        Place::all().find(|place| place.name() == name)
    }

    pub fn failpoint(self) -> &'static Failpoint {
        CATALOGUE[self.0]
    }

    pub fn name(self) -> &'static str {
        self.failpoint().name
    }

    /// What it can be armed with, by the words of the catalogue; `stall` without its time.
    pub fn words(self) -> Vec<&'static str> {
        let quoted = self.failpoint().doc.split('`').skip(1).step_by(2);
        quoted.filter(|word| *word == "stall" || word.parse::<failpoints::Fault>().is_ok()).collect()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A call of the engine, where a panic can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// A write, before anything of it is there.
    BeforeWrite,
    /// A write that is there already.
    AfterWrite,
    /// The taking of a snapshot.
    Snapshot,
    /// A read.
    Read,
    /// A sync.
    Sync,
}

impl Call {
    pub const ALL: &[(Call, &'static str)] = &[
        (Call::BeforeWrite, "before-write"),
        (Call::AfterWrite, "after-write"),
        (Call::Snapshot, "snapshot"),
        (Call::Read, "read"),
        (Call::Sync, "sync"),
    ];
}

impl Fault {
    /// Its name in a plan's text.
    pub fn word(&self) -> &'static str {
        match self {
            Fault::Stall { .. } => "stall",
            Fault::Hang { .. } => "hang",
            Fault::NoSpace { .. } => "no-space",
            Fault::IoError { .. } => "io-error",
            Fault::SyncFails { .. } => "sync-fails",
            Fault::Slow { .. } => "slow",
            Fault::Damage { .. } => "damage",
            Fault::Cold { .. } => "cold",
            Fault::Panic { .. } => "panic",
            Fault::Stop { .. } => "stop",
            Fault::Kill { .. } => "kill",
            Fault::PowerCut { .. } => "power-cut",
            Fault::KillThenPowerCut { .. } => "kill-then-power-cut",
            Fault::RestartStorage => "restart-storage",
            Fault::Partition { .. } => "partition",
            Fault::Hold { .. } => "hold",
            Fault::ClockJump { .. } => "clock-jump",
            Fault::Failpoint { .. } => "failpoint",
        }
    }

    /// How long it lasts. For an ending of the process: how long it stays down.
    pub fn duration_ms(&self) -> u64 {
        match *self {
            Fault::Stall { for_ms }
            | Fault::Hang { for_ms }
            | Fault::NoSpace { for_ms }
            | Fault::IoError { for_ms }
            | Fault::SyncFails { for_ms }
            | Fault::Slow { for_ms, .. }
            | Fault::Damage { for_ms, .. }
            | Fault::Cold { for_ms, .. }
            | Fault::Partition { for_ms, .. }
            | Fault::Hold { for_ms }
            | Fault::Failpoint { for_ms, .. } => for_ms,
            Fault::Stop { down_ms }
            | Fault::Kill { down_ms }
            | Fault::PowerCut { down_ms, .. }
            | Fault::KillThenPowerCut { down_ms, .. } => down_ms,
            Fault::Panic { .. } | Fault::RestartStorage | Fault::ClockJump { .. } => 0,
        }
    }

    /// How long what it began may go on after it was lifted.
    pub fn lingers(&self) -> Duration {
        match self {
            Fault::Failpoint { what: failpoints::Fault::Stall(stall), .. } => *stall,
            // Whoever failed to accept somebody looks for the next one only after a while.
            Fault::Failpoint { place, .. } if place.name() == "network.accept" => limits::ACCEPT_ERROR_PAUSE,
            _ => Duration::ZERO,
        }
    }

    /// An fsync may fail: then storage refuses writes until the server is started anew.
    pub fn fails_sync(&self) -> bool {
        matches!(
            self,
            Fault::SyncFails { .. } | Fault::IoError { .. } | Fault::Failpoint { what: failpoints::Fault::Sync, .. }
        )
    }

    /// The place that is armed, by name; none for all other faults.
    pub fn place(&self) -> Option<&'static str> {
        match self {
            Fault::Failpoint { place, .. } => Some(place.name()),
            _ => None,
        }
    }

    /// The server may log errors because of it.
    pub fn makes_errors(&self) -> bool {
        !matches!(
            self,
            Fault::Slow { .. }
                | Fault::Cold { .. }
                | Fault::Stop { .. }
                | Fault::Kill { .. }
                | Fault::PowerCut { .. }
                | Fault::KillThenPowerCut { .. }
                | Fault::RestartStorage
                | Fault::Partition { .. }
                | Fault::Hold { .. }
                | Fault::ClockJump { .. }
        )
    }
}

impl Plan {
    /// The value of a directive of the server's configuration, the last that the plan gives.
    pub fn directive(&self, name: &str) -> Option<&str> {
        let value = |line: &'_ String| line.split_once(' ').is_some_and(|(directive, _)| directive == name);
        self.config.iter().rev().find(|line| value(line)).and_then(|line| line.split_once(' ')).map(|(_, value)| value)
    }

    pub fn has_fault(&self, is_it: impl Fn(&Fault) -> bool) -> bool {
        self.faults.iter().any(|(_, fault)| is_it(fault))
    }

    /// Commands of all clients.
    pub fn commands(&self) -> usize {
        self.clients.iter().flat_map(|client| &client.steps).map(|step| step.action.commands().len()).sum()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::render(self, f)
    }
}

impl std::str::FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Plan, String> {
        text::parse(text)
    }
}
