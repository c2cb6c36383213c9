//! The network server: takes what the listeners accept, and gives each client a [`Connection`] of its own. An error of accept, or a
//! panic of one connection, ends nothing but that; a task that serves all of them is started again if it panics.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

use super::connection::Connection;
use super::home::{CurrentHome, Home};
use super::listeners::{Adopted, Listeners, NetworkError, client_addresses};
use super::sweeper;
use crate::commands::Session;
use crate::commands::context::Server;
use crate::env::{BoxFuture, Exit, Incoming, Stream, Task, caught, is_panicking};
use crate::limits;
use crate::observe::{Category, Client, Report, Severity, Side};

const MAX_CLIENTS_REPLY: &[u8] = b"-ERR max number of clients reached\r\n";
const PROTECTED_REPLY: &[u8] =
    b"-DENIED Bulkhead is running in protected mode because protected mode is enabled and no \
password is set for the default user. In this mode connections are only accepted from the loopback interface. To \
connect from other computers, set a password with `requirepass`, or disable protected mode with `CONFIG SET \
protected-mode no` from this machine, or bind to the loopback interface only.\r\n";

/// The running network side.
pub struct NetworkServer {
    pub listeners: Listeners,
    server: Arc<Server>,
    current_home: Arc<CurrentHome>,
    /// The sweeper, and who publishes key events. They end when the server drains, or with `stop_tasks`.
    tasks: Vec<Task>,
    stop_tasks: Vec<oneshot::Sender<()>>,
}

impl NetworkServer {
    /// Binds everything, or nothing, and starts to accept.
    pub async fn start(home: &Arc<Home>, server: Arc<Server>) -> Result<NetworkServer, NetworkError> {
        let config = server.config.current().clone();
        let current_home = Arc::new(CurrentHome::new(home.clone()));
        let (serves, homes) = (server.clone(), current_home.clone());
        let admit = move |home: &Arc<Home>, incoming| admit(&homes, home, &serves, incoming);
        let mut listeners = Listeners::new(home.clone(), server.clone(), Arc::new(admit), true);
        let bound = listeners.bind(home, client_addresses(&config)?, &config.network).await?;
        listeners.switch(bound, &config.network);
        let (tasks, stop_tasks) = (Vec::new(), Vec::new());
        let mut network = NetworkServer { listeners, server, current_home, tasks, stop_tasks };
        network.start_tasks(home);
        Ok(network)
    }

    fn start_tasks(&mut self, home: &Arc<Home>) {
        let publish = |server: Arc<Server>| -> BoxFuture<'static, ()> { Box::pin(publish(server)) };
        let sweep = |server: Arc<Server>| -> BoxFuture<'static, ()> { Box::pin(sweeper::run(server)) };
        let bodies: [fn(Arc<Server>) -> BoxFuture<'static, ()>; 2] = [publish, sweep];
        for body in bodies {
            let (stop, stopped) = oneshot::channel::<()>();
            let server = self.server.clone();
            self.tasks.push(home.spawn(async move {
                tokio::select! {
                    biased;
                    _ = stopped => {}
                    () = keep(server, body) => {}
                }
            }));
            self.stop_tasks.push(stop);
        }
    }

    /// Goes on in another home. Connections follow as they can: at once, or when the command that they are in is over.
    pub async fn move_in(&mut self, home: &Arc<Home>, adopted: Adopted) {
        self.listeners.move_in(adopted);
        // First the old ones end: two publishers could change the order of events.
        self.stop_tasks.clear();
        self.end_tasks().await;
        self.start_tasks(home);
        self.current_home.set(home.clone());
        self.server.clients.for_each(|client| client.wake());
    }

    /// Waits until nobody accepts any more: the server drains.
    pub async fn stopped(&mut self) {
        self.listeners.stopped().await;
        self.end_tasks().await;
    }

    async fn end_tasks(&mut self) {
        for mut task in std::mem::take(&mut self.tasks) {
            task.exit().await;
        }
    }
}

/// Publishes key events, until the server drains.
async fn publish(server: Arc<Server>) {
    tokio::select! {
        biased;
        () = server.shutdown.requested() => {}
        () = server.pubsub.clone().publish_events(server.key_events.clone()) => {}
    }
}

/// Runs what `body` makes until it ends, and again if it panics: everyone needs it.
async fn keep(server: Arc<Server>, body: fn(Arc<Server>) -> BoxFuture<'static, ()>) {
    while let Exit::Panicked(panic) = caught(body(server.clone())).await {
        let what = "a task of the network server panicked and is started again: this is a bug";
        let report = Report::new(Category::Panic, Severity::Error, Side::Network, what);
        server.report(report.error(&panic));
        server.env.clock.sleep(limits::NETWORK_TASK_RESTART_PAUSE).await;
    }
}

/// Gives a new client its connection, or the reason why not.
fn admit(homes: &Arc<CurrentHome>, home: &Arc<Home>, server: &Arc<Server>, incoming: Incoming) {
    let config = server.config.current();
    server.stats.connections_received.add(1);
    let refusal = if server.clients.len() >= config.network.clients_max as usize {
        Some(MAX_CLIENTS_REPLY)
    } else if config.network.protected_mode && config.requirepass().is_empty() && !incoming.is_local {
        Some(PROTECTED_REPLY)
    } else {
        None
    };
    if let Some(reply) = refusal {
        server.stats.connections_rejected.add(1);
        home.spawn(refuse(incoming.stream, reply));
        return;
    }
    let client = server.clients.connect(incoming.peer, incoming.local, server.env.clock.now());
    let session = Session::new(server.clone(), client.clone());
    let registration = Registration { server: server.clone(), client };
    let connection = Connection::new(incoming.stream, session, homes.clone(), home);
    home.spawn(serve(connection, registration));
}

async fn serve(connection: Connection, registration: Registration) {
    if let Some(connection) = connection.run().await {
        move_over(connection, registration);
    }
}

/// A connection is to go on in the home of today.
fn move_over(connection: Connection, registration: Registration) {
    let home = connection.next_home();
    let moved = home.clone();
    home.spawn(async move {
        let server = registration.server.clone();
        match connection.move_in(&moved) {
            Ok(connection) => {
                server.stats.runtime.connections_moved.add(1);
                // It is kept by the task itself.
                drop(moved);
                serve(connection, registration).await;
            }
            Err(error) => {
                let report = Report::new(
                    Category::Connection,
                    Severity::Error,
                    Side::Network,
                    "a connection could not be moved",
                );
                server.report(report.error(&error).client(registration.client.id));
            }
        }
    });
}

async fn refuse(mut stream: Box<dyn Stream>, reply: &'static [u8]) {
    // A client that does not even take its refusal is let go.
    let _ = stream.write_all(reply).await;
    let _ = stream.shutdown().await;
}

/// A client's place in the list, given back when its connection ends, by whatever way.
struct Registration {
    server: Arc<Server>,
    client: Arc<Client>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        if is_panicking() {
            let what = "a connection panicked and was closed: this is a bug";
            let report = Report::new(Category::Panic, Severity::Error, Side::Network, what);
            self.server.report(report.client(self.client.id));
        }
        self.server.clients.disconnect(self.client.id);
        self.server.stats.runtime.connections_closed.add(1);
    }
}
