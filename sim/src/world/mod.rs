//! The simulated world behind the server's doors. A [`Machine`] is what a crash leaves: disk, files, wall clock,
//! configuration; everything else is made anew at each start.
//!
//! Each door is as hostile as the real one is allowed to be, and never more: clocks jump, reads come in pieces, tasks are
//! held up, disks fail. None may be kinder than reality in a way that would hide a bug.

mod clock;
mod disk;
mod failpoints;
mod network;
mod random;
mod runtime;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bulkhead::config::{self, Invocation, LiveConfig};
use bulkhead::env::{Env, NoHost, ShutdownRequest};

pub use clock::{START_MS, WallClock, now, set_taking_apart, try_now};
pub use disk::{Disk, INJECTED};
pub use failpoints::Failpoints;
pub use network::Chunked;
pub use runtime::{PAUSE_MS_MAX, Tasks, Weather};

use runtime::SimRuntimes;

use crate::dice::Dice;
use crate::plan::Plan;
use crate::trace::Trace;
use crate::{Verdict, ensure};

/// What all of a run shares: the plan's seed and the record.
pub struct World {
    pub seed: u64,
    pub trace: Arc<Trace>,
    pub failpoints: Arc<Failpoints>,
    /// Where RocksDB keeps what the model of a disk would.
    #[cfg(feature = "rocks")]
    pub rocks: Option<std::path::PathBuf>,
}

impl World {
    pub fn new(seed: u64, trace: Arc<Trace>) -> World {
        World {
            seed,
            failpoints: Failpoints::new(trace.clone()),
            trace,
            #[cfg(feature = "rocks")]
            rocks: None,
        }
    }

    /// The dice of one user.
    pub fn dice(&self, name: &str) -> Dice {
        Dice::named(self.seed, name)
    }
}

/// The configuration file that a simulated server starts with.
const CONFIG_FILE: &str = "bulkhead.conf";

/// How long after it failed to start a server is started again.
const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// How long a task may still run after its server has ended: the longest steps of a slow disk.
const LEFT_BEHIND_MAX: Duration = Duration::from_millis(500);

/// How long it may, where it was made to hang.
const HANGING_MAX: Duration = Duration::from_secs(10);

/// One machine with a server on it.
pub struct Machine {
    world: Arc<World>,
    pub disk: Arc<Disk>,
    pub wall: Arc<WallClock>,
    pub weather: Weather,
    pub tasks: Arc<Tasks>,
    shutdown: Mutex<Arc<ShutdownRequest>>,
    /// It was asked to stop from outside.
    is_terminated: AtomicBool,
    starts: Mutex<u64>,
}

impl Machine {
    pub fn new(world: Arc<World>, plan: &Plan) -> Arc<Machine> {
        let disk = Disk::new(
            world.dice("disk"),
            world.trace.clone(),
            #[cfg(feature = "rocks")]
            world.rocks.clone(),
        );
        let shared = ["bind 0.0.0.0", "protected-mode no"].map(String::from);
        disk.replace_file(Path::new(CONFIG_FILE), [&shared, &plan.config[..]].concat().join("\n").as_bytes());
        world.failpoints.slow_commits(plan.surroundings.commits, world.dice("commits"));
        let weather = Weather { yields: plan.surroundings.yields, pauses: plan.surroundings.pauses };
        Arc::new(Machine {
            world,
            disk,
            wall: Arc::default(),
            weather,
            tasks: Arc::default(),
            shutdown: Mutex::default(),
            is_terminated: AtomicBool::new(false),
            starts: Mutex::new(0),
        })
    }

    /// Runs the server, from one start to its stop or crash.
    pub async fn serve(self: Arc<Self>) -> Verdict {
        let start = {
            let mut starts = self.starts.lock().expect("nobody panics while counting");
            *starts += 1;
            *starts
        };
        self.world.trace.event("server", format_args!("start {start}"));
        self.tasks.set_crashing(false);
        loop {
            let shutdown = Arc::new(ShutdownRequest::default());
            *self.shutdown.lock().expect("nobody panics while replacing it") = shutdown.clone();
            // A signal may come before a process has begun to look for it.
            if self.is_terminated.load(Ordering::Relaxed) {
                shutdown.request();
            }
            let (config, was_troubled) = (Arc::new(self.config()?), self.is_troubled());
            match bulkhead::server::run(self.env(start), config, shutdown).await {
                Ok(()) => {
                    self.nothing_is_left(true).await?;
                    break;
                }
                // What starts services starts them again, and with this disk it may take a while.
                Err(error) if was_troubled || self.is_to_blame(&error) => {
                    self.world.trace.event("server", format_args!("did not start: {error}"));
                    self.nothing_is_left(false).await?;
                    if self.is_terminated.load(Ordering::Relaxed) {
                        break;
                    }
                    tokio::time::sleep(RESTART_PAUSE).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.world.trace.event("server", format_args!("stopped"));
        Ok(())
    }

    /// A server that has ended leaves no task and no thread behind. The thread that compacts is not waited for by a stop,
    /// so it gets a moment; and one that hangs is not waited for at all, and ends with the process, if that does.
    async fn nothing_is_left(&self, process_ends: bool) -> Verdict {
        let is_held = self.disk.hangs() || self.world.failpoints.has_stalled();
        let until = clock::now() + if is_held && !process_ends { HANGING_MAX } else { LEFT_BEHIND_MAX };
        loop {
            let alive = self.tasks.alive();
            if alive.is_empty() || is_held && process_ends {
                return Ok(());
            }
            ensure!(clock::now() < until, "the server has ended, and left behind: {}", alive.join(", "));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Whether this world, not the server, is why it did not start.
    fn is_to_blame(&self, error: &impl std::fmt::Display) -> bool {
        let text = error.to_string();
        self.is_troubled() || text.contains(INJECTED) || text.contains("failpoint ")
    }

    fn is_troubled(&self) -> bool {
        self.disk.is_troubled() || self.world.failpoints.is_armed(|_| true)
    }

    /// A process is about to start, to which nobody has sent a signal yet.
    pub fn is_starting(&self) {
        self.is_terminated.store(false, Ordering::Relaxed);
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.is_terminated.store(true, Ordering::Relaxed);
        self.shutdown.lock().expect("nobody panics while replacing it").request();
    }

    fn config(&self) -> Verdict<LiveConfig> {
        let machine = config::Machine { cores: 2, memory_bytes: 1 << 30 };
        let mut files = |path: &Path| self.disk.read_file(path);
        match Invocation::parse([CONFIG_FILE], &machine, &mut files)? {
            Invocation::Serve(loaded) => Ok(LiveConfig::new(*loaded)),
            other => Err(format!("the configuration file asks for {other:?}").into()),
        }
    }

    fn env(&self, start: u64) -> Env {
        let (trace, disk, tasks) = (&self.world.trace, &self.disk, &self.tasks);
        let dice = |door: &str| self.world.dice(&format!("{door} {start}"));
        Env {
            clock: Arc::new(clock::SimClock::new(self.wall.clone())),
            network: Arc::new(network::SimNetwork::new(dice("network"), trace.clone())),
            runtimes: Arc::new(SimRuntimes::new(
                dice("runtimes"),
                self.weather,
                tasks.clone(),
                disk.clone(),
                trace.clone(),
            )),
            random: Arc::new(random::SimRandom::new(dice("random"))),
            storage: Arc::new(disk::SimStorage::new(disk.clone())),
            host: Arc::new(NoHost),
        }
    }
}
