//! What is listened on, and changing that while clients are connected: new addresses are bound before old ones are
//! closed, so that a change that cannot be made changes nothing. A connection, once accepted, outlives its listener.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::oneshot;

use super::home::Home;
use crate::commands::context::Server;
use crate::config::{Config, NetworkConfig};
use crate::env::{Address, Exit, Incoming, ListenOptions, Listener, Task};
use crate::failpoints;
use crate::limits;
use crate::observe::{Category, Report, Severity, Side};
use crate::planted;

/// Why the network side did not start, or does not listen where it was told to.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error("Unable to listen on {place}: {source}")]
    Listen { place: String, source: io::Error },
    #[error("cannot go on listening on {address} in a new runtime: {source}")]
    Adopt { address: String, source: io::Error },
    #[error("`bind {host}` names no address")]
    Host { host: String },
    #[error("neither a port nor a Unix socket to listen on: set `port` or `unixsocket`")]
    Nowhere,
    #[error("the network runtime ended")]
    Ended,
}

/// What is done with an accepted connection, in the runtime where it was accepted.
pub type Admit = Arc<dyn Fn(&Arc<Home>, Incoming) + Send + Sync>;

/// An address to listen on, and whether to do without it where it does not exist.
pub type Wanted = (Address, bool);

/// A set of listeners with one purpose.
pub struct Listeners {
    home: Arc<Home>,
    server: Arc<Server>,
    admit: Admit,
    /// They close when the server drains; else only with their runtime.
    close_at_drain: bool,
    keepalive_s: Arc<AtomicU32>,
    open: Vec<Open>,
}

struct Open {
    wanted: Address,
    /// With the port that the system chose, where it was to.
    local: Address,
    listener: Arc<dyn Listener>,
    /// Dropped, it ends the task.
    _stop: oneshot::Sender<()>,
    task: Task,
}

/// What is open, ready to be used in another home.
pub struct Adopted {
    home: Arc<Home>,
    listeners: Vec<Arc<dyn Listener>>,
}

/// Addresses that are to be listened on from now on; those that are not yet, bound already.
pub struct Bound {
    wanted: Vec<Address>,
    new: Vec<(Address, Arc<dyn Listener>)>,
}

impl Listeners {
    pub fn new(home: Arc<Home>, server: Arc<Server>, admit: Admit, close_at_drain: bool) -> Listeners {
        Listeners { home, server, admit, close_at_drain, keepalive_s: Arc::default(), open: Vec::new() }
    }

    /// Binds in `home` what is wanted and not open yet, all of it or nothing. Nobody is accepted there before
    /// [`Listeners::switch`].
    pub async fn bind(
        &self,
        home: &Arc<Home>,
        wanted: Vec<Wanted>,
        config: &NetworkConfig,
    ) -> Result<Bound, NetworkError> {
        let options = ListenOptions { backlog: config.tcp_backlog, keepalive_s: self.keepalive_s.clone() };
        let is_open = |address: &Address| self.open.iter().any(|open| open.wanted == *address);
        let missing: Vec<Wanted> = wanted.iter().filter(|(address, _)| !is_open(address)).cloned().collect();
        let (sender, bound) = oneshot::channel();
        let server = self.server.clone();
        // Listeners belong to the runtime that they are made in.
        home.spawn(async move {
            // The caller waits for it.
            let _ = sender.send(bind_all(&server, missing, options).await);
        });
        let new = bound.await.map_err(|_| NetworkError::Ended)??;
        let kept = wanted.iter().any(|(address, _)| is_open(address));
        if !wanted.is_empty() && !kept && new.is_empty() {
            return Err(NetworkError::Nowhere);
        }
        Ok(Bound { wanted: wanted.into_iter().map(|(address, _)| address).collect(), new })
    }

    /// Accepts on what was bound, and closes what is no longer wanted.
    pub fn switch(&mut self, bound: Bound, config: &NetworkConfig) {
        self.keepalive_s.store(config.tcp_keepalive_s, Ordering::Relaxed);
        self.open.retain(|open| bound.wanted.contains(&open.wanted));
        for (wanted, listener) in bound.new {
            let open = self.accept_on(wanted, listener);
            self.open.push(open);
        }
    }

    fn accept_on(&self, wanted: Address, listener: Arc<dyn Listener>) -> Open {
        let (stop, stopped) = oneshot::channel();
        let accepting = Accepting {
            server: self.server.clone(),
            home: self.home.clone(),
            listener: listener.clone(),
            admit: self.admit.clone(),
            close_at_drain: self.close_at_drain,
        };
        let task = self.home.spawn(accepting.run(stopped));
        Open { wanted, local: listener.local_address(), listener, _stop: stop, task }
    }

    /// Makes what is open usable in `home` as well, all of it or nothing.
    pub async fn adopt(&self, home: &Arc<Home>) -> Result<Adopted, NetworkError> {
        let open: Vec<_> = self.open.iter().map(|open| (open.local.clone(), open.listener.clone())).collect();
        let (sender, adopted) = oneshot::channel();
        home.spawn(async move {
            let adopt = |(address, listener): (Address, Arc<dyn Listener>)| {
                listener.adopt().map_err(|source| NetworkError::Adopt { address: address.to_string(), source })
            };
            // The caller waits for it.
            let _ = sender.send(open.into_iter().map(adopt).collect::<Result<Vec<_>, _>>());
        });
        let listeners = adopted.await.map_err(|_| NetworkError::Ended)??;
        Ok(Adopted { home: home.clone(), listeners })
    }

    /// Accepts in another home from now on. Who has connected meanwhile and was not accepted is so there.
    pub fn move_in(&mut self, Adopted { home, listeners }: Adopted) {
        self.home = home;
        let before = std::mem::take(&mut self.open).into_iter().zip(listeners);
        self.open = before.map(|(open, listener)| self.accept_on(open.wanted, listener)).collect();
    }

    /// Where it really listens.
    pub fn addresses(&self) -> Vec<Address> {
        self.open.iter().map(|open| open.local.clone()).collect()
    }

    /// Waits until nobody accepts any more, for the server drains, and closes what was open.
    pub async fn stopped(&mut self) {
        for mut open in std::mem::take(&mut self.open) {
            if let Exit::Panicked(panic) = open.task.exit().await {
                let what = "a listener panicked: this is a bug";
                let report = Report::new(Category::Panic, Severity::Error, Side::Network, what);
                self.server.report(report.error(&panic));
            }
        }
    }
}

async fn bind_all(
    server: &Server,
    wanted: Vec<Wanted>,
    options: ListenOptions,
) -> Result<Vec<(Address, Arc<dyn Listener>)>, NetworkError> {
    let mut listeners = Vec::new();
    for (address, optional) in wanted {
        match server.env.network.listen(&address, options.clone()).await {
            Ok(listener) => listeners.push((address, listener)),
            Err(error) if optional => {
                tracing::info!(%address, %error, "not listening on an optional address");
            }
            Err(source) => {
                let place = match &address {
                    // What Redis says, and more.
                    Address::Tcp(address) => format!("this port: {address}"),
                    Address::Unix { .. } => address.to_string(),
                };
                return Err(NetworkError::Listen { place, source });
            }
        }
    }
    Ok(listeners)
}

/// One listener at work.
struct Accepting {
    server: Arc<Server>,
    home: Arc<Home>,
    listener: Arc<dyn Listener>,
    admit: Admit,
    close_at_drain: bool,
}

impl Accepting {
    async fn run(self, mut stopped: oneshot::Receiver<()>) {
        let Accepting { server, home, listener, admit, close_at_drain } = self;
        loop {
            let accepted = tokio::select! {
                biased;
                () = server.shutdown.requested(), if close_at_drain => return,
                _ = &mut stopped => return,
                accepted = listener.accept() => accepted,
            };
            let accepted = match failpoints::fault(&failpoints::NETWORK_ACCEPT) {
                Some(_) => Err(std::io::Error::other("failpoint")),
                None => accepted,
            };
            match accepted {
                Ok(incoming) => {
                    while planted::is("connection-waits-for-writes") && server.storage.depth().0 > 0 {
                        server.env.clock.sleep(limits::ACCEPT_ERROR_PAUSE / 100).await;
                    }
                    admit(&home, incoming);
                }
                Err(error) => {
                    server.stats.accept_errors.add(1);
                    let what = "a connection could not be accepted";
                    let report = Report::new(Category::Connection, Severity::Warning, Side::Network, what);
                    server.report(report.error(&error));
                    server.env.clock.sleep(limits::ACCEPT_ERROR_PAUSE).await;
                }
            }
        }
    }
}

/// Where the configuration asks to serve clients.
pub fn client_addresses(config: &Config) -> Result<Vec<Wanted>, NetworkError> {
    let mut addresses = tcp_addresses(&config.network, config.network.port)?;
    if let Some(path) = &config.network.unix_socket {
        addresses.push((Address::Unix { path: path.clone(), mode: config.network.unix_socket_permissions }, false));
    }
    Ok(addresses)
}

/// Where it asks to serve HTTP: `health-port` on the addresses of `bind`.
pub fn http_addresses(config: &Config) -> Result<Vec<Wanted>, NetworkError> {
    tcp_addresses(&config.network, config.monitoring.health_port)
}

/// A port on each address of `bind`; none for port 0.
fn tcp_addresses(network: &NetworkConfig, port: u16) -> Result<Vec<Wanted>, NetworkError> {
    let mut addresses = Vec::new();
    for bind in network.bind.iter().filter(|_| port != 0) {
        let ip = match bind.host.as_str() {
            "localhost" => [127, 0, 0, 1].into(),
            host => host.parse().map_err(|_| NetworkError::Host { host: host.to_string() })?,
        };
        addresses.push((Address::Tcp(SocketAddr::new(ip, port)), bind.optional));
    }
    Ok(addresses)
}
