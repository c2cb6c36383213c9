//! The runtimes' door. Each domain is a group of tasks on the simulation's one thread that ends together. An engine thread
//! is a task as well, except that it may call the engine, and that its domain's end is not its own.
//!
//! Tokio runs ready tasks first come, first served, which is one interleaving of many. So every task passes a
//! [`Hurdle`] before each of its steps: it lets others go first, or stands still for some milliseconds, as a thread does
//! that the kernel has taken off its processor.
//!
//! The bodies of the tasks are kept in [`Tasks`], for one reason: when a runtime is dropped, as in a crash, tokio drops
//! its tasks in an order that depends on how many the process has started before, and with them sockets say goodbye.

use std::borrow::Cow;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bulkhead::engine::thread::as_engine_thread;
use bulkhead::env::{BoxFuture, Domain, DomainSpec, Runtimes};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep};

use super::Disk;
use crate::dice::Dice;
use crate::trace::Trace;

/// How unsteady a machine is.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// One step in so many lets others go first; 0: none does.
    pub yields: u64,
    /// One step in so many stands still; 0: none does.
    pub pauses: u64,
}

/// The longest that a task stands still.
pub const PAUSE_MS_MAX: u64 = 5;

/// The engine threads that write. A write that hangs blocks its thread, and here there is one thread only: so while the
/// disk hangs, these tasks are held instead, before their next step.
const WRITERS: &[&str] = &["sto-writer", OPENER, "sto-sync"];
/// The thread that opens and closes the engine.
const OPENER: &str = "sto-open";

/// The bodies of a machine's tasks, by the order in which they were started.
#[derive(Default)]
pub struct Tasks(Mutex<TaskList>);

#[derive(Default)]
struct TaskList {
    /// In the order in which they were started, those that ended included.
    tasks: Vec<Listed>,
    crashing: bool,
}

struct Listed {
    name: Cow<'static, str>,
    is_alive: bool,
    /// `None` while it is running just now, and when it has ended.
    body: Option<BoxFuture<'static, ()>>,
}

impl Tasks {
    /// The machine starts, or crashes: from then on the end of any task is the end of all, in order.
    pub fn set_crashing(&self, crashing: bool) {
        self.lock().crashing = crashing;
    }

    /// The names of those that have not ended.
    pub fn alive(&self) -> Vec<String> {
        self.lock().tasks.iter().filter(|task| task.is_alive).map(|task| task.name.to_string()).collect()
    }

    fn add(&self, name: Cow<'static, str>, body: BoxFuture<'static, ()>) -> usize {
        let mut list = self.lock();
        list.tasks.push(Listed { name, is_alive: true, body: Some(body) });
        list.tasks.len() - 1
    }

    fn take(&self, number: usize) -> Option<BoxFuture<'static, ()>> {
        self.lock().tasks[number].body.take()
    }

    fn put_back(&self, number: usize, body: BoxFuture<'static, ()>) {
        self.lock().tasks[number].body = Some(body);
    }

    fn end(&self, number: usize) {
        let ending: Vec<_> = {
            let mut list = self.lock();
            list.tasks[number].is_alive = false;
            match list.crashing {
                true => list.tasks.iter_mut().filter_map(|task| task.body.take()).collect(),
                false => list.tasks[number].body.take().into_iter().collect(),
            }
        };
        // Outside the lock: what a task owned may end other tasks.
        drop(ending);
    }

    fn lock(&self) -> MutexGuard<'_, TaskList> {
        self.0.lock().expect("nobody panics while holding it")
    }
}

pub struct SimRuntimes {
    dice: Mutex<Dice>,
    weather: Weather,
    tasks: Arc<Tasks>,
    disk: Arc<Disk>,
    trace: Arc<Trace>,
}

impl SimRuntimes {
    pub fn new(dice: Dice, weather: Weather, tasks: Arc<Tasks>, disk: Arc<Disk>, trace: Arc<Trace>) -> SimRuntimes {
        SimRuntimes { dice: Mutex::new(dice), weather, tasks, disk, trace }
    }
}

impl Runtimes for SimRuntimes {
    fn build(&self, spec: DomainSpec) -> io::Result<Arc<dyn Domain>> {
        self.trace.event(spec.name, format_args!("{spec:?}"));
        Ok(Arc::new(SimDomain {
            spec,
            own: Mutex::default(),
            tasks: self.tasks.clone(),
            dice: Mutex::new(self.dice.lock().expect("a draw does not panic").fork()),
            weather: self.weather,
            disk: self.disk.clone(),
            trace: self.trace.clone(),
        }))
    }
}

struct SimDomain {
    spec: DomainSpec,
    /// What ends with the domain.
    own: Mutex<JoinSet<()>>,
    tasks: Arc<Tasks>,
    dice: Mutex<Dice>,
    weather: Weather,
    disk: Arc<Disk>,
    trace: Arc<Trace>,
}

impl SimDomain {
    fn steps(&self, body: BoxFuture<'static, ()>, is_engine: bool, name: Cow<'static, str>) -> Steps {
        let dice = self.dice.lock().expect("a draw does not panic").fork();
        let (writes, opens) = (WRITERS.contains(&&*name), name == OPENER);
        let (tasks, weather, hurdle) = (self.tasks.clone(), self.weather, Hurdle::Undrawn);
        Steps {
            number: tasks.add(name, body),
            tasks,
            dice,
            weather,
            hurdle,
            disk: self.disk.clone(),
            writes,
            opens,
            is_engine,
        }
    }
}

impl Domain for SimDomain {
    fn spawn_body(&self, body: BoxFuture<'static, ()>) {
        let mut own = self.own.lock().expect("starting a task does not panic");
        // Those that ended are forgotten here, or a domain would grow with every connection.
        while own.try_join_next().is_some() {}
        own.spawn(self.steps(body, self.spec.engine_on_workers, self.spec.name.into()));
    }

    fn spawn_engine_body(&self, name: String, body: BoxFuture<'static, ()>) -> io::Result<()> {
        self.trace.event(self.spec.name, format_args!("starts engine thread {name}"));
        tokio::spawn(self.steps(body, true, name.into()));
        Ok(())
    }

    fn shutdown(&self) {
        self.trace.event(self.spec.name, format_args!("shut down"));
        self.own.lock().expect("aborting tasks does not panic").abort_all();
    }
}

/// What a task has to pass before its next step.
enum Hurdle {
    Undrawn,
    /// Lets others go first, so many times.
    Yield(u64),
    Pause(Pin<Box<Sleep>>),
    Passed,
}

/// A task's steps, and the hurdles in front of each.
struct Steps {
    number: usize,
    tasks: Arc<Tasks>,
    dice: Dice,
    weather: Weather,
    hurdle: Hurdle,
    disk: Arc<Disk>,
    /// The task writes, and is held while the disk hangs; or even opens the engine.
    writes: bool,
    opens: bool,
    is_engine: bool,
}

impl Steps {
    fn draw(&mut self) -> Hurdle {
        let Weather { yields, pauses } = self.weather;
        let slowness = if self.is_engine { self.disk.slowness() } else { Duration::ZERO };
        if !slowness.is_zero() {
            Hurdle::Pause(Box::pin(sleep(slowness)))
        } else if pauses > 0 && self.dice.one_in(pauses) {
            let pause = self.dice.millis(1..=PAUSE_MS_MAX);
            Hurdle::Pause(Box::pin(sleep(pause)))
        } else if yields > 0 && self.dice.one_in(yields) {
            Hurdle::Yield(self.dice.between(1..=3))
        } else {
            Hurdle::Passed
        }
    }

    fn is_held(&self) -> bool {
        self.writes && self.disk.holds(self.opens)
    }
}

impl Future for Steps {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            let is_held = this.is_held();
            match &mut this.hurdle {
                Hurdle::Undrawn => this.hurdle = this.draw(),
                Hurdle::Yield(0) => this.hurdle = Hurdle::Passed,
                Hurdle::Yield(left) => {
                    *left -= 1;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Hurdle::Pause(pause) => {
                    ready!(pause.as_mut().poll(context));
                    this.hurdle = Hurdle::Passed;
                }
                Hurdle::Passed if is_held => {
                    this.hurdle = Hurdle::Pause(Box::pin(sleep(Duration::from_millis(1))));
                }
                Hurdle::Passed => break,
            }
        }
        this.hurdle = Hurdle::Undrawn;
        let Some(mut body) = this.tasks.take(this.number) else { return Poll::Ready(()) };
        let mut step = || body.as_mut().poll(context);
        let polled = if this.is_engine { as_engine_thread(step) } else { step() };
        if polled.is_pending() {
            this.tasks.put_back(this.number, body);
        }
        polled
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.tasks.end(self.number);
    }
}
