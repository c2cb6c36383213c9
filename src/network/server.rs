//! The network server: takes what the listeners accept, and gives each client a [`Connection`] of its own. An error of accept, or a
//! panic of one connection, ends nothing but that.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;

use super::connection::Connection;
use super::listeners::{Listeners, NetworkError, client_addresses};
use super::sweeper;
use crate::commands::Session;
use crate::commands::context::Server;
use crate::env::{Domain, Exit, Incoming, Stream, Task, spawn};
use crate::observe::Client;

const MAX_CLIENTS_REPLY: &[u8] = b"-ERR max number of clients reached\r\n";
const PROTECTED_REPLY: &[u8] =
    b"-DENIED Bulkhead is running in protected mode because protected mode is enabled and no \
password is set for the default user. In this mode connections are only accepted from the loopback interface. To \
connect from other computers, set a password with `requirepass`, or disable protected mode with `CONFIG SET \
protected-mode no` from this machine, or bind to the loopback interface only.\r\n";

/// The running network side.
pub struct NetworkServer {
    pub listeners: Listeners,
    /// The sweeper, and who publishes key events.
    tasks: Vec<Task>,
}

impl NetworkServer {
    /// Binds everything, or nothing, and starts to accept.
    pub async fn start(domain: Arc<dyn Domain>, server: Arc<Server>) -> Result<NetworkServer, NetworkError> {
        let config = server.config.current().clone();
        let (runs_on, serves) = (domain.clone(), server.clone());
        let admit = move |incoming| admit(&runs_on, &serves, incoming);
        let mut listeners = Listeners::new(domain.clone(), server.clone(), Arc::new(admit), true);
        let bound = listeners.bind(client_addresses(&config)?, &config.network).await?;
        listeners.switch(bound, &config.network);
        let publishing = server.clone();
        let publisher = async move {
            tokio::select! {
                biased;
                () = publishing.shutdown.requested() => {}
                () = publishing.pubsub.clone().publish_events(publishing.key_events.clone()) => {}
            }
        };
        let tasks = vec![spawn(&*domain, publisher), spawn(&*domain, sweeper::run(server))];
        Ok(NetworkServer { listeners, tasks })
    }

    /// Waits until nobody accepts any more: the server drains.
    pub async fn stopped(&mut self) {
        self.listeners.stopped().await;
        for task in &mut self.tasks {
            if let Exit::Panicked(panic) = task.exit().await {
                tracing::error!(panic, "a task of the network server panicked: this is a bug");
            }
        }
    }
}

/// Gives a new client its connection, or the reason why not.
fn admit(domain: &Arc<dyn Domain>, server: &Arc<Server>, incoming: Incoming) {
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
        spawn(&**domain, refuse(incoming.stream, reply));
        return;
    }
    let client = server.clients.connect(incoming.peer, incoming.local, server.env.clock.now());
    let session = Session::new(server.clone(), client.clone());
    let registration = Registration { server: server.clone(), client };
    let connection = Connection::new(incoming.stream, session);
    spawn(&**domain, async move {
        let _registration = registration;
        connection.run().await;
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
        self.server.clients.disconnect(self.client.id);
        self.server.stats.runtime.connections_closed.add(1);
    }
}
