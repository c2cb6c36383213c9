//! The network server: listens, accepts, and gives each client a [`Connection`] of its own. An error of accept, or a
//! panic of one connection, ends nothing but that.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

use super::connection::Connection;
use super::sweeper;
use crate::commands::Session;
use crate::commands::context::Server;
use crate::config::NetworkConfig;
use crate::env::{Address, Domain, Exit, Incoming, ListenOptions, Listener, Stream, Task, spawn};
use crate::limits;
use crate::observe::Client;

/// Why the network side did not start.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error("cannot listen on {address}: {source}")]
    Listen { address: String, source: io::Error },
    #[error("`bind {host}` names no address")]
    Host { host: String },
    #[error("neither a port nor a Unix socket to listen on: set `port` or `unixsocket`")]
    Nowhere,
    #[error("the network runtime ended during start-up")]
    Ended,
}

const MAX_CLIENTS_REPLY: &[u8] = b"-ERR max number of clients reached\r\n";
const PROTECTED_REPLY: &[u8] =
    b"-DENIED Bulkhead is running in protected mode because protected mode is enabled and no \
password is set for the default user. In this mode connections are only accepted from the loopback interface. To \
connect from other computers, set a password with `requirepass`, or disable protected mode with `CONFIG SET \
protected-mode no` from this machine, or bind to the loopback interface only.\r\n";

/// The running network side.
pub struct NetworkServer {
    tasks: Vec<Task>,
    /// Where it listens, ports chosen by the system included.
    pub addresses: Vec<Address>,
}

impl NetworkServer {
    /// Binds everything, or nothing, and starts to accept.
    pub async fn start(domain: Arc<dyn Domain>, server: Arc<Server>) -> Result<NetworkServer, NetworkError> {
        let (sender, bound) = oneshot::channel();
        let binding = server.clone();
        // Listeners belong to the runtime that they are made in.
        spawn(&*domain, async move {
            // The caller waits for it.
            let _ = sender.send(bind_all(&binding).await);
        });
        let listeners = bound.await.map_err(|_| NetworkError::Ended)??;
        let addresses = listeners.iter().map(|listener| listener.local_address()).collect();
        let mut tasks: Vec<Task> = listeners
            .into_iter()
            .map(|listener| spawn(&*domain, accept_loop(domain.clone(), server.clone(), listener)))
            .collect();
        tasks.push(spawn(&*domain, sweeper::run(server.clone())));
        let publishing = server.clone();
        tasks.push(spawn(&*domain, async move {
            tokio::select! {
                biased;
                () = publishing.shutdown.requested() => {}
                () = publishing.pubsub.clone().publish_events(publishing.key_events.clone()) => {}
            }
        }));
        Ok(NetworkServer { tasks, addresses })
    }

    /// Waits until nobody accepts any more: the server drains.
    pub async fn stopped(&mut self) {
        for task in &mut self.tasks {
            if let Exit::Panicked(panic) = task.exit().await {
                tracing::error!(panic, "a task of the network server panicked: this is a bug");
            }
        }
    }
}

async fn bind_all(server: &Server) -> Result<Vec<Box<dyn Listener>>, NetworkError> {
    let config = server.config.current();
    let network = &config.network;
    let options = ListenOptions { backlog: network.tcp_backlog, keepalive_s: network.tcp_keepalive_s };
    let mut listeners = Vec::new();
    for (address, optional) in addresses(network)? {
        match server.env.network.listen(&address, options).await {
            Ok(listener) => listeners.push(listener),
            Err(error) if optional => {
                tracing::info!(%address, %error, "not listening on an optional address");
            }
            Err(source) => return Err(NetworkError::Listen { address: address.to_string(), source }),
        }
    }
    if listeners.is_empty() { Err(NetworkError::Nowhere) } else { Ok(listeners) }
}

/// What the configuration asks to listen on, and whether the server may start without it.
fn addresses(network: &NetworkConfig) -> Result<Vec<(Address, bool)>, NetworkError> {
    let mut addresses = Vec::new();
    if network.port != 0 {
        for bind in &network.bind {
            let ip = match bind.host.as_str() {
                "localhost" => [127, 0, 0, 1].into(),
                host => host.parse().map_err(|_| NetworkError::Host { host: host.to_string() })?,
            };
            addresses.push((Address::Tcp(SocketAddr::new(ip, network.port)), bind.optional));
        }
    }
    if let Some(path) = &network.unix_socket {
        addresses.push((Address::Unix { path: path.clone(), mode: network.unix_socket_permissions }, false));
    }
    Ok(addresses)
}

async fn accept_loop(domain: Arc<dyn Domain>, server: Arc<Server>, mut listener: Box<dyn Listener>) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = server.shutdown.requested() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(incoming) => admit(&domain, &server, incoming),
            Err(error) => {
                server.stats.accept_errors.add(1);
                tracing::warn!(%error, "accept failed");
                server.env.clock.sleep(limits::ACCEPT_ERROR_PAUSE).await;
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
