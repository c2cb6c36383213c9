//! One server, its clients and the network between them, and what can befall them: the machinery of every scenario.
//!
//! A scenario owns the loop: it lets time pass, and between two ticks it may crash, restart or stop the server. It never
//! reaches into the server; what it knows comes over the network, or from the disk's owner.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use tokio::task::JoinSet;

use crate::dice::Dice;
use crate::world::{Machine, World};
use crate::{Verdict, ensure};

pub const SERVER: &str = "server";
pub const PORT: u16 = 6379;

/// Virtual time's step: what a crash or a delivery is exact to.
const TICK: Duration = Duration::from_millis(1);
/// Longer than any scenario means to last; one that hangs ends here.
const SIMULATED_MAX: Duration = Duration::from_secs(600);
/// How long a requested stop may take.
const STOP_MAX: Duration = Duration::from_secs(20);

/// How a server can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// SIGTERM, and time to obey it.
    Stop,
    /// SIGKILL: what was written stays in the page cache.
    Kill,
    /// Power loss: a prefix of what was not synced survives, and nobody gets so much as a RST.
    PowerCut,
}

pub struct Simulation {
    turmoil: turmoil::Sim<'static>,
    pub world: Arc<World>,
    pub machine: Arc<Machine>,
    /// No message takes longer.
    pub latency_max: Duration,
    /// Clients that have not begun yet.
    waiting: Vec<Body>,
    /// The machines that clients run on.
    client_machines: Vec<String>,
    dice: Dice,
}

type Body = Pin<Box<dyn Future<Output = Verdict>>>;

impl Simulation {
    /// A network and one server, configured with `config` besides what all simulated servers share.
    pub fn new(world: &Arc<World>, config: &[String]) -> Simulation {
        let mut dice = world.dice("simulation");
        let latency_max = dice.millis(1..=20);
        let mut builder = turmoil::Builder::new();
        builder
            .rng_seed(dice.draw())
            .epoch(UNIX_EPOCH)
            .tick_duration(TICK)
            .simulation_duration(SIMULATED_MAX)
            .min_message_latency(Duration::ZERO)
            .max_message_latency(latency_max)
            .enable_random_order()
            .tcp_capacity(1024);
        let mut turmoil = builder.build();
        let shared = ["bind 0.0.0.0", "protected-mode no"].map(String::from);
        let machine = Machine::new(world.clone(), &[&shared, config].concat());
        world.trace.event("network", format_args!("messages take up to {latency_max:?}"));
        let host = machine.clone();
        turmoil.host(SERVER, move || host.clone().serve());
        Simulation {
            turmoil,
            world: world.clone(),
            machine,
            latency_max,
            waiting: Vec::new(),
            client_machines: Vec::new(),
            dice,
        }
    }

    /// Adds a client, which begins at the next tick.
    pub fn client(&mut self, name: &str, body: impl Future<Output = Verdict> + 'static) {
        let name = name.to_string();
        self.waiting.push(Box::pin(async move { body.await.map_err(|error| failure(format!("{name}: {error}"))) }));
    }

    /// Starts the clients that wait, on one machine: each machine costs every tick of the whole run, and what tells
    /// clients apart is their connections.
    fn start_clients(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let machine = format!("clients-{}", self.client_machines.len());
        let bodies = std::mem::take(&mut self.waiting);
        self.turmoil.client(machine.as_str(), async move {
            let mut clients = JoinSet::new();
            for body in bodies {
                clients.spawn_local(body);
            }
            while let Some(ended) = clients.join_next().await {
                ended??;
            }
            Ok(())
        });
        self.client_machines.push(machine);
    }

    pub fn now(&self) -> Duration {
        self.turmoil.elapsed()
    }

    /// Lets one tick pass. Returns whether all clients are done.
    pub fn step(&mut self) -> Verdict<bool> {
        self.start_clients();
        let done = self.turmoil.step();
        self.world.trace.set_now(self.turmoil.elapsed());
        done
    }

    pub fn run_for(&mut self, duration: Duration) -> Verdict {
        let until = self.now() + duration;
        while self.now() < until {
            self.step()?;
        }
        Ok(())
    }

    /// Lets time pass until all clients are done.
    pub fn run_clients(&mut self, limit: Duration) -> Verdict {
        let until = self.now() + limit;
        while !self.step()? {
            ensure!(self.now() < until, "the clients are not done after {limit:?}");
        }
        Ok(())
    }

    /// Ends the server.
    pub fn end(&mut self, ending: Ending) -> Verdict {
        let disk = self.machine.disk.clone();
        self.world.trace.event("nemesis", format_args!("{ending:?}, {} batches unsynced", disk.memory.unsynced()));
        match ending {
            Ending::Stop => {
                self.machine.terminate();
                let until = self.now() + STOP_MAX;
                while self.turmoil.is_host_running(SERVER) {
                    self.step()?;
                    ensure!(self.now() < until, "the server did not stop within {STOP_MAX:?}");
                }
                ensure!(
                    disk.memory.unsynced() == 0,
                    "a stopped server left {} batches unsynced",
                    disk.memory.unsynced()
                );
            }
            Ending::Kill => {
                disk.memory.crash_process();
                self.crash();
            }
            Ending::PowerCut => {
                let kept = self.dice.between(0..=disk.memory.unsynced() as u64) as usize;
                self.world.trace.event("nemesis", format_args!("{kept} of the unsynced batches survive"));
                self.partition();
                disk.memory.lose_power(kept);
                self.crash();
                self.repair();
            }
        }
        Ok(())
    }

    /// Starts the server again, after it has ended.
    pub fn start(&mut self) {
        self.turmoil.bounce(SERVER);
    }

    fn crash(&mut self) {
        self.machine.tasks.set_crashing(true);
        self.turmoil.crash(SERVER);
    }

    fn partition(&mut self) {
        for machine in &self.client_machines {
            self.turmoil.partition(SERVER, machine.as_str());
        }
    }

    fn repair(&mut self) {
        for machine in &self.client_machines {
            self.turmoil.repair(SERVER, machine.as_str());
        }
    }
}

/// Virtual time as a client sees it.
pub fn now() -> Duration {
    turmoil::sim_elapsed().expect("a client runs within the simulation")
}

/// An error of a run, for where one has to be made by hand.
pub fn failure(message: impl Into<String>) -> Box<dyn Error> {
    message.into().into()
}
