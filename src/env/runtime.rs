//! Where code runs. A [`Domain`] is one isolated runtime: a tokio runtime with named threads in production, a group of
//! tasks that can crash together in the simulation. The server has two: network and storage.

use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::oneshot;

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Builds domains.
pub trait Runtimes: Send + Sync {
    fn build(&self, spec: DomainSpec) -> io::Result<Arc<dyn Domain>>;
}

/// A domain to be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainSpec {
    /// Its worker threads are called `{name}-0`, `{name}-1` …
    pub name: &'static str,
    pub threads: usize,
    /// Engine bodies run as plain tasks on the worker threads, which may block in the engine: `runtime-mode single`,
    /// which exists to be measured against.
    pub engine_on_workers: bool,
}

/// One isolated runtime.
pub trait Domain: Send + Sync {
    /// Runs `body` as a task. Use [`spawn`], which also says how it ended.
    fn spawn_body(&self, body: BoxFuture<'static, ()>);

    /// Runs `body` on a thread of its own called `name`, which may make blocking engine calls. Use
    /// [`spawn_engine_thread`].
    fn spawn_engine_body(&self, name: String, body: BoxFuture<'static, ()>) -> io::Result<()>;

    /// Stops the domain: its tasks are dropped at their next await. Does not wait, and does not end engine threads: they
    /// are told to end before.
    fn shutdown(&self);
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    Finished,
    /// With the panic's message.
    Panicked(String),
    /// Its domain was shut down under it.
    Dropped,
}

/// A running task. Dropping the handle leaves the task running.
#[derive(Debug)]
pub struct Task {
    exit: oneshot::Receiver<Exit>,
    /// What [`Task::has_ended`] found.
    ended: Option<Exit>,
}

impl Task {
    /// Waits for the end of the task.
    pub async fn exit(&mut self) -> Exit {
        match self.ended.take() {
            Some(exit) => exit,
            None => (&mut self.exit).await.unwrap_or(Exit::Dropped),
        }
    }

    /// Whether the task has ended, without waiting for it.
    pub fn has_ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = match self.exit.try_recv() {
                Ok(exit) => Some(exit),
                Err(oneshot::error::TryRecvError::Closed) => Some(Exit::Dropped),
                Err(oneshot::error::TryRecvError::Empty) => None,
            };
        }
        self.ended.is_some()
    }
}

/// Runs `body` as a task of `domain`. A panic ends that task alone, and shows as its [`Exit`].
pub fn spawn(domain: &dyn Domain, body: impl Future<Output = ()> + Send + 'static) -> Task {
    let (watched, task) = watch(body);
    domain.spawn_body(watched);
    task
}

/// Runs `body` on an engine thread of `domain`.
pub fn spawn_engine_thread(
    domain: &dyn Domain,
    name: impl Into<String>,
    body: impl Future<Output = ()> + Send + 'static,
) -> io::Result<Task> {
    let (watched, task) = watch(body);
    domain.spawn_engine_body(name.into(), watched)?;
    Ok(task)
}

fn watch(body: impl Future<Output = ()> + Send + 'static) -> (BoxFuture<'static, ()>, Task) {
    let (report, exit) = oneshot::channel();
    let watched = async move {
        let exit = caught(body).await;
        // Nobody need be listening.
        let _ = report.send(exit);
    };
    (Box::pin(watched), Task { exit, ended: None })
}

/// Runs `body` until it ends or panics.
pub async fn caught(body: impl Future<Output = ()> + Send + 'static) -> Exit {
    let mut body = Box::pin(body);
    std::future::poll_fn(move |context| {
        // Unwind safety: after a panic the future is dropped and nothing it owned is looked at again.
        match std::panic::catch_unwind(AssertUnwindSafe(|| body.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(Exit::Finished),
            Err(panic) => Poll::Ready(Exit::Panicked(panic_message(&*panic))),
        }
    })
    .await
}

/// Whether what is dropped right now is dropped by a panic.
pub fn is_panicking() -> bool {
    std::thread::panicking()
}

/// The text of a caught panic.
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".into())
}

/// Lets other tasks of the domain run.
pub async fn yield_now() {
    tokio::task::yield_now().await;
}
