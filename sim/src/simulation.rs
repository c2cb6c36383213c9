//! One server, its clients and the network between them, and what can befall them: the machinery of every run.
//!
//! It never reaches into the server; what it knows comes over the network, or from the machine's owner.

use std::cell::RefCell;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::plan::Plan;
use crate::world::{Machine, World, set_taking_apart};

pub use crate::world::now;
use crate::{Verdict, ensure};

pub const SERVER: &str = "server";
pub const PORT: u16 = 6379;

/// Longer than any plan means to last; one that hangs ends here.
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
    /// Power loss: so much of what was not synced survives, and nobody gets so much as a RST.
    PowerCut { keep_percent: u64 },
}

type Body = Pin<Box<dyn Future<Output = Verdict>>>;

/// A machine that clients run on. There are few of them, for each costs every tick of the whole run; what tells clients
/// apart is their connections.
struct ClientMachine {
    name: String,
    bodies: mpsc::UnboundedSender<Body>,
}

/// How the clients are doing.
#[derive(Default)]
struct Progress {
    running: usize,
    failure: Option<Box<dyn Error>>,
}

pub struct Simulation {
    turmoil: turmoil::Sim<'static>,
    pub world: Arc<World>,
    pub machine: Arc<Machine>,
    clients: Vec<ClientMachine>,
    progress: Rc<RefCell<Progress>>,
}

impl Simulation {
    /// The network and the server of a plan. The clients are not there yet.
    pub fn new(world: &Arc<World>, plan: &Plan) -> Simulation {
        set_taking_apart(false);
        let mut builder = turmoil::Builder::new();
        builder
            .rng_seed(world.dice("network").draw())
            .epoch(UNIX_EPOCH)
            .tick_duration(Duration::from_millis(plan.surroundings.tick_ms))
            .simulation_duration(SIMULATED_MAX)
            .min_message_latency(Duration::ZERO)
            .max_message_latency(Duration::from_millis(plan.surroundings.latency_ms))
            .enable_random_order()
            .tcp_capacity(1024);
        let mut turmoil = builder.build();
        let machine = Machine::new(world.clone(), plan);
        let host = machine.clone();
        turmoil.host(SERVER, move || host.clone().serve());
        let mut clients = Vec::new();
        for number in 0..plan.surroundings.machines {
            let name = format!("clients-{number}");
            let (bodies, arriving) = mpsc::unbounded_channel();
            turmoil.client(name.as_str(), run_bodies(arriving));
            clients.push(ClientMachine { name, bodies });
        }
        Simulation { turmoil, world: world.clone(), machine, clients, progress: Rc::default() }
    }

    /// Adds a client to one of the machines, which begins at the next tick.
    pub fn client(&mut self, machine: usize, name: &str, body: impl Future<Output = Verdict> + 'static) {
        let (name, progress) = (name.to_string(), self.progress.clone());
        progress.borrow_mut().running += 1;
        let machine = &self.clients[machine % self.clients.len()];
        let body = Box::pin(async move {
            let verdict = body.await;
            let mut progress = progress.borrow_mut();
            progress.running -= 1;
            if let Err(error) = verdict {
                progress.failure.get_or_insert_with(|| failure(format!("{name}: {error}")));
            }
            Ok(())
        });
        // The machine runs for as long as this simulation.
        let _ = machine.bodies.send(body);
    }

    pub fn now(&self) -> Duration {
        self.turmoil.elapsed()
    }

    pub fn are_clients_done(&self) -> bool {
        self.progress.borrow().running == 0
    }

    /// Lets one tick pass.
    pub fn step(&mut self) -> Verdict {
        let stepped = self.turmoil.step();
        self.world.trace.set_now(self.turmoil.elapsed());
        stepped?;
        match self.progress.borrow_mut().failure.take() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    /// Lets time pass until all clients are done.
    pub fn run_clients(&mut self, limit: Duration) -> Verdict {
        let until = self.now() + limit;
        while !self.are_clients_done() {
            self.step()?;
            ensure!(self.now() < until, "the clients are not done after {limit:?}");
        }
        Ok(())
    }

    pub fn is_running(&mut self) -> bool {
        self.turmoil.is_host_running(SERVER)
    }

    /// Ends the server. A stop takes its time.
    pub fn end(&mut self, ending: Ending) -> Verdict {
        let disk = self.machine.disk.clone();
        let unsynced = disk.memory.unsynced();
        self.world.trace.event("nemesis", format_args!("{ending:?}, {unsynced} batches unsynced"));
        match ending {
            Ending::Stop => {
                self.machine.terminate();
                let until = self.now() + STOP_MAX;
                while self.is_running() {
                    self.step()?;
                    ensure!(self.now() < until, "the server did not stop within {STOP_MAX:?}");
                }
            }
            Ending::Kill => {
                disk.memory.crash_process();
                self.crash();
            }
            Ending::PowerCut { keep_percent } => {
                let kept = unsynced * keep_percent as usize / 100;
                self.world.trace.event("nemesis", format_args!("{kept} of the unsynced batches survive"));
                (0..self.clients.len()).for_each(|machine| self.partition(machine));
                disk.memory.lose_power(kept);
                self.crash();
                (0..self.clients.len()).for_each(|machine| self.repair(machine));
            }
        }
        Ok(())
    }

    /// Starts the server again, after it has ended.
    pub fn start(&mut self) {
        self.machine.is_starting();
        set_taking_apart(true);
        self.turmoil.bounce(SERVER);
        set_taking_apart(false);
    }

    fn crash(&mut self) {
        self.machine.tasks.set_crashing(true);
        set_taking_apart(true);
        self.turmoil.crash(SERVER);
        set_taking_apart(false);
    }

    pub fn partition(&mut self, machine: usize) {
        self.turmoil.partition(SERVER, self.clients[machine % self.clients.len()].name.as_str());
    }

    pub fn repair(&mut self, machine: usize) {
        self.turmoil.repair(SERVER, self.clients[machine % self.clients.len()].name.as_str());
    }

    /// Holds all messages back.
    pub fn hold(&mut self) {
        self.clients.iter().for_each(|machine| self.turmoil.hold(SERVER, machine.name.as_str()));
    }

    pub fn release(&mut self) {
        self.clients.iter().for_each(|machine| self.turmoil.release(SERVER, machine.name.as_str()));
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        // What is dropped next may still have something to say.
        set_taking_apart(true);
    }
}

/// Runs whatever arrives.
async fn run_bodies(mut arriving: mpsc::UnboundedReceiver<Body>) -> Verdict {
    let mut running = JoinSet::new();
    while let Some(body) = arriving.recv().await {
        // Those that ended are forgotten here.
        while running.try_join_next().is_some() {}
        running.spawn_local(body);
    }
    Ok(())
}

/// An error of a run, for where one has to be made by hand.
pub fn failure(message: impl Into<String>) -> Box<dyn Error> {
    message.into().into()
}
