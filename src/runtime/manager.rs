//! [`RuntimeManager`]: owns both runtimes, the channel between them and the engine handle, so that each side can go and
//! come back without the other.

use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use crate::channel::{MessageChannel, StorageClient};
use crate::commands::CommandTable;
use crate::commands::context::{Reconfigure, Server};
use crate::commands::scripting::Scripting;
use crate::config::{Config, ConfigSetError, Directive, LiveConfig, Pairs, RocksDbConfig, RuntimeMode};
use crate::engine::{Engine, EngineError};
use crate::env::{Address, Domain, DomainSpec, Env, Random, ShutdownRequest};
use crate::failpoints::{self, Fault};
use crate::keyspace::{DatabaseMap, KeyspaceStats, RecordCache};
use crate::limits;
use crate::network::{Adopted, Bound, Home, HttpServer, NetworkError, NetworkServer, client_addresses, http_addresses};
use crate::observe::{Category, Clients, Phase, Report, ServerStats, Severity, Side, set_log_style};
use crate::planted;
use crate::pubsub::Registry;
use crate::storage::{BackgroundTaskManager, StorageError, StorageParts, StorageServer, on_engine_thread};

/// Which step of the start-up failed, and why.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the {name} runtime could not be started: {source}")]
    Runtime { name: &'static str, source: io::Error },
    #[error("storage could not be started: {0}")]
    Storage(#[from] StorageError),
    #[error("the network side could not be started: {0}")]
    Network(#[from] NetworkError),
    #[error("storage is not healthy after its start")]
    Unhealthy,
    #[error("storage has failed for good: {0}")]
    GaveUp(String),
}

/// How the two sides are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Every storage thread runs.
    pub storage: bool,
    /// The server listens.
    pub network: bool,
}

/// Both runtimes of one server.
pub struct RuntimeManager {
    server: Arc<Server>,
    channel: MessageChannel,
    network_home: Arc<Home>,
    /// Those that `network-threads` had before, as long as anybody lives there.
    left_homes: Vec<Weak<Home>>,
    storage_domain: Arc<dyn Domain>,
    storage: Option<StorageServer>,
    network: Option<NetworkServer>,
    http: Option<HttpServer>,
    reconfigurations: mpsc::Receiver<Reconfigure>,
}

impl RuntimeManager {
    /// Builds both runtimes and what they share. Nothing runs yet.
    pub fn new(
        env: Env,
        config: Arc<LiveConfig>,
        shutdown: Arc<ShutdownRequest>,
    ) -> Result<RuntimeManager, StartError> {
        let current = config.current();
        let runtime = &current.runtime;
        let shared = runtime.mode == RuntimeMode::Single;
        let network_domain = build(&env, network_spec(&current))?;
        let storage_domain = if shared { network_domain.clone() } else { build(&env, STORAGE_SPEC)? };
        let stats = Arc::new(ServerStats::new(env.clock.now()));
        stats.runtime.process.store(env.host.process().into());
        let (storage, channel) = StorageClient::new(
            runtime.channel_capacity,
            runtime.channel_bytes_max,
            env.clock.clone(),
            config.clone(),
            stats.clone(),
        );
        let renames: Vec<(String, String)> =
            current.commands.renames.iter().map(|rename| (rename.from.clone(), rename.to.clone())).collect();
        let (reconfigure, reconfigurations) = mpsc::channel(1);
        let background = Arc::new(BackgroundTaskManager::new(env.clock.clone()));
        let server = Arc::new(Server {
            commands: CommandTable::new(&renames, &stats.commands),
            scripting: Scripting::new(env.clock.clone()),
            clients: Clients::default(),
            stats,
            storage,
            pubsub: Arc::new(Registry::new(config.clone())),
            key_events: Arc::default(),
            databases: Arc::new(ArcSwap::from_pointee(DatabaseMap::default())),
            keyspace: Arc::new(KeyspaceStats::default()),
            records: Arc::new(RecordCache::new(current.storage.record_cache_bytes, env.random.seed())),
            watches: Arc::default(),
            waiters: Arc::default(),
            shutdown,
            run_id: run_id(&env),
            facts: env.host.facts(),
            env,
            config,
            background,
            storage_restart: Notify::new(),
            reads_expire: AtomicBool::new(false),
            trouble: Arc::default(),
            reconfigure,
            storage_state: ArcSwapOption::empty(),
            storage_domain: Mutex::new(storage_domain.clone()),
        });
        Ok(RuntimeManager {
            network_home: Home::new(network_domain, server.stats.clone()),
            left_homes: Vec::new(),
            server,
            channel,
            storage_domain,
            storage: None,
            network: None,
            http: None,
            reconfigurations,
        })
    }

    /// What all connections share.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Starts both sides, storage first; before them the health port, so that a start that takes long can be watched. On
    /// an error nothing is left running.
    pub async fn start(&mut self) -> Result<(), StartError> {
        if let Err(error) = self.start_all().await {
            self.stop().await;
            return Err(error);
        }
        self.server.stats.health.set_phase(Phase::Serving);
        self.server.stats.runtime.startup_bytes.set(self.server.env.host.process().anonymous_bytes);
        Ok(())
    }

    async fn start_all(&mut self) -> Result<(), StartError> {
        self.http = Some(HttpServer::start(&self.network_home, self.server.clone()).await?);
        self.start_storage(None).await?;
        self.start_network().await
    }

    async fn start_storage(&mut self, engine: Option<Arc<dyn Engine>>) -> Result<(), StartError> {
        let server = &self.server;
        let parts = StorageParts {
            env: server.env.clone(),
            config: server.config.clone(),
            channel: self.channel.clone(),
            databases: server.databases.clone(),
            keyspace_stats: server.keyspace.clone(),
            key_events: server.key_events.clone(),
            watches: server.watches.clone(),
            waiters: server.waiters.clone(),
            stats: server.stats.clone(),
            records: server.records.clone(),
            background: server.background.clone(),
            trouble: server.trouble.clone(),
        };
        let storage = StorageServer::start(self.storage_domain.clone(), parts, engine).await?;
        server.storage_state.store(Some(storage.state.clone()));
        let healthy = storage.becomes_healthy().await;
        self.storage = Some(storage);
        if healthy { Ok(()) } else { Err(StartError::Unhealthy) }
    }

    async fn start_network(&mut self) -> Result<(), StartError> {
        self.network = Some(NetworkServer::start(&self.network_home, self.server.clone()).await?);
        Ok(())
    }

    /// Stops the storage side's threads and starts them anew over the same engine; or over one that is opened anew, if they
    /// cannot read from this one. Clients stay connected; their requests wait in the channel meanwhile.
    pub async fn restart_storage(&mut self) -> Result<(), StartError> {
        self.server.stats.health.set_phase(Phase::RestartingStorage);
        let engine = match self.storage.take() {
            Some(storage) => Some(storage.stop().await),
            None => None,
        };
        if let Err(error) = self.start_storage(engine.clone()).await {
            tracing::error!(%error, "storage could not be started anew: its engine is opened anew");
            if let Some(engine) = engine.filter(|_| self.storage.is_none()) {
                self.close_failed(engine).await?;
            }
            return self.reopen_storage().await;
        }
        self.server.stats.health.set_phase(Phase::Serving);
        Ok(())
    }

    /// Whether the storage runtime has ended by itself, and with it whoever looked after the storage threads.
    pub fn storage_is_lost(&mut self) -> bool {
        let is_single = self.server.config.current().runtime.mode == RuntimeMode::Single;
        if !is_single && failpoints::fault(&failpoints::STORAGE_RUNTIME) == Some(Fault::Drop) {
            self.storage_domain.shutdown();
        }
        self.storage.as_mut().is_some_and(StorageServer::has_ended)
    }

    /// The storage runtime is lost: builds another one, and starts storage there over the same engine. What threads of the
    /// old one still do does no harm: its writer is behind the gate, and readers have no effects.
    pub async fn rebuild_storage(&mut self) -> Result<(), StartError> {
        if self.server.config.current().runtime.mode == RuntimeMode::Dual {
            let domain = build(&self.server.env, STORAGE_SPEC)?;
            std::mem::replace(&mut self.storage_domain, domain.clone()).shutdown();
            *self.server.storage_domain.lock() = domain;
        }
        self.restart_storage().await
    }

    /// Closes an engine that is of no use any more.
    async fn close_failed(&self, engine: Arc<dyn Engine>) -> Result<(), StartError> {
        self.server.storage_state.store(None);
        // It failed: its complaints about being closed are no news.
        let _ = on_engine_thread(&*self.storage_domain, move || engine.close()).await?;
        Ok(())
    }

    /// The engine has failed for good: closes it and opens it anew, threads included. Clients stay connected; reads are away
    /// as long as it takes, and writes wait in the channel. An error: it cannot be opened any more, and the server is to end.
    pub async fn reopen_storage(&mut self) -> Result<(), StartError> {
        self.server.stats.health.set_phase(Phase::RestartingStorage);
        if let Some(storage) = self.storage.take() {
            let engine = storage.stop().await;
            self.close_failed(engine).await?;
        }
        // Nothing of the old one may be held back.
        self.server.records.clear();
        let mut attempt = 1;
        while let Err(error) = self.start_storage(None).await {
            let report =
                Report::new(Category::Recovery, Severity::Critical, Side::Storage, "storage could not be opened anew");
            self.server.report(report.error(&error).subject(&format_args!("attempt {attempt}")));
            if attempt == limits::REOPEN_ATTEMPTS_MAX {
                return Err(error);
            }
            let pause = limits::REOPEN_PAUSE_MIN * (1 << attempt);
            self.server.env.clock.sleep(pause.min(limits::REOPEN_PAUSE_MAX)).await;
            attempt += 1;
        }
        self.server.stats.health.set_phase(Phase::Serving);
        Ok(())
    }

    /// The next change of the configuration that is asked for. Dropping the future loses none.
    pub async fn reconfiguration(&mut self) -> Reconfigure {
        match self.reconfigurations.recv().await {
            Some(reconfigure) => reconfigure,
            // The server, which holds the other end, outlives this.
            None => std::future::pending().await,
        }
    }

    /// Changes the configuration with all that follows from it, or refuses it with nothing changed. What can fail comes
    /// first. The error of a storage side that does not start again is the outer one.
    pub async fn reconfigure(&mut self, pairs: &Pairs) -> Result<Result<(), ConfigSetError>, StartError> {
        let prepared = match self.prepare(pairs).await {
            Ok(prepared) => prepared,
            Err(error) => return Ok(Err(error)),
        };
        let Prepared { moving, clients, http, config, changed } = prepared;
        if let Some(moving) = moving {
            self.move_network(moving).await;
        }
        if let (Some(bound), Some(network)) = (clients, &mut self.network) {
            network.listeners.switch(bound, &config.network);
        }
        if let (Some(bound), Some(http)) = (http, &mut self.http) {
            http.listeners.switch(bound, &config.network);
        }
        set_log_style(&config.log);
        let has_changed = |name: &str| changed.iter().any(|row| row.name == name);
        if has_changed("channel-max-bytes") {
            let channel = self.server.storage.clone();
            self.network_home.spawn(channel.set_bytes_max(config.runtime.channel_bytes_max));
        }
        if has_changed("storage-threads") {
            self.restart_storage().await?;
        }
        for row in changed {
            // The name alone: a value may be a password.
            tracing::info!(directive = row.name, "the configuration changed");
        }
        Ok(Ok(()))
    }

    /// Everything about a change that may fail, up to the moment where it holds.
    async fn prepare(&self, pairs: &Pairs) -> Result<Prepared, ConfigSetError> {
        let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        let failed = |argument: &str, error: &dyn std::error::Error| ConfigSetError::Failed {
            argument: argument.into(),
            reason: error.to_string(),
        };
        let (config, changed) = self.server.config.check(&pairs)?;
        let has_changed = |names: &[&str]| changed.iter().find(|row| names.contains(&row.name)).map(|row| row.name);
        let mut prepared = Prepared { moving: None, clients: None, http: None, config, changed: Vec::new() };
        let config = &prepared.config;
        if config.runtime.network_threads != self.server.config.current().runtime.network_threads {
            let moving = self.prepare_move(config).await;
            prepared.moving = Some(moving.map_err(|error| failed("network-threads", &error))?);
        }
        let home = prepared.moving.as_ref().map_or(&self.network_home, |moving| &moving.home);
        if let (Some(name), Some(network)) = (has_changed(&["bind", "port", "tcp-keepalive"]), &self.network) {
            let wanted = client_addresses(config).map_err(|error| failed(name, &error))?;
            let bound = network.listeners.bind(home, wanted, &config.network).await;
            prepared.clients = Some(bound.map_err(|error| failed(name, &error))?);
        }
        if let (Some(name), Some(http)) = (has_changed(&["bind", "health-port"]), &self.http) {
            let wanted = http_addresses(config).map_err(|error| failed(name, &error))?;
            let bound = http.listeners.bind(home, wanted, &config.network).await;
            prepared.http = Some(bound.map_err(|error| failed(name, &error))?);
        }
        if let Some(row) = changed.iter().find(|row| row.name.starts_with("rocksdb.")) {
            self.tune(config.storage.rocksdb.clone()).await.map_err(|error| failed(row.name, &*error))?;
        }
        match self.server.config.set(&pairs, |_, _| Ok(())) {
            Ok(changed) => Ok(Prepared { changed, ..prepared }),
            Err(error) => {
                // Someone else changed what this rested on; the engine goes back to what holds.
                let holds = self.server.config.current().storage.rocksdb.clone();
                self.tune(holds).await.map_err(|error| failed("rocksdb", &*error))?;
                Err(error)
            }
        }
    }

    /// Builds a network runtime with another number of threads, in which everything that is listened on can be used.
    async fn prepare_move(&self, config: &Config) -> Result<Moving, MoveError> {
        if config.runtime.mode == RuntimeMode::Single {
            return Err(MoveError::Single);
        }
        let domain = self.server.env.runtimes.build(network_spec(config)).map_err(MoveError::Build)?;
        let home = self.network_home.successor(domain);
        let clients = match &self.network {
            Some(network) => Some(network.listeners.adopt(&home).await?),
            None => None,
        };
        let http = match &self.http {
            Some(http) => Some(http.listeners.adopt(&home).await?),
            None => None,
        };
        Ok(Moving { home, clients, http })
    }

    /// The network side goes on in another runtime; the one that it was in ends once the last connection has left it.
    async fn move_network(&mut self, moving: Moving) {
        let Moving { home, clients, http } = moving;
        if let (Some(adopted), Some(http)) = (http, &mut self.http) {
            http.listeners.move_in(adopted);
        }
        if let (Some(adopted), Some(network)) = (clients, &mut self.network) {
            network.move_in(&home, adopted).await;
        }
        self.network_home.leave_for(&home);
        let left = std::mem::replace(&mut self.network_home, home);
        self.left_homes.retain(|home| home.strong_count() > 0);
        self.left_homes.push(Arc::downgrade(&left));
    }

    async fn tune(&self, knobs: RocksDbConfig) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let Some(storage) = &self.storage else { return Ok(()) };
        let knobs = knobs.fitted_to(self.server.stats.storage.disk_bytes.get());
        let engine = storage.state.engine.clone();
        Ok(on_engine_thread(&*self.storage_domain, move || engine.tune(&knobs)).await??)
    }

    /// SIGHUP: reads the configuration again, as at the start, and changes what can be changed.
    pub async fn reload(&mut self) -> Result<(), StartError> {
        let (env, config) = (self.server.env.clone(), self.server.config.clone());
        let read = move || config.reload(&mut |path: &Path| env.storage.read_file(path));
        let (pairs, fixed) = match on_engine_thread(&*self.storage_domain, read).await? {
            Ok(read) => read,
            Err(errors) => {
                let what = "the configuration could not be read again, nothing has changed";
                let report = Report::new(Category::Configuration, Severity::Error, Side::Network, what);
                self.server.report(report.error(&errors));
                return Ok(());
            }
        };
        for directive in fixed {
            tracing::warn!(directive, "changed in the configuration file: it takes effect at the next start");
        }
        match self.reconfigure(&pairs).await? {
            Ok(()) => tracing::info!(directives = pairs.len(), "the configuration was read again"),
            Err(error) => {
                let what = "the configuration was read again, and nothing has changed";
                let report = Report::new(Category::Configuration, Severity::Error, Side::Network, what);
                self.server.report(report.error(&error));
            }
        }
        Ok(())
    }

    /// Where the server listens for clients.
    pub fn addresses(&self) -> Vec<Address> {
        self.network.as_ref().map_or_else(Vec::new, |network| network.listeners.addresses())
    }

    /// Where it answers HTTP.
    pub fn http_addresses(&self) -> Vec<Address> {
        self.http.as_ref().map_or_else(Vec::new, HttpServer::addresses)
    }

    pub fn health(&self) -> Health {
        Health {
            storage: self.storage.as_ref().is_some_and(StorageServer::is_healthy),
            network: self.network.is_some(),
        }
    }

    /// Drains and stops: accepts nothing more, answers what is in flight, syncs and closes the engine.
    pub async fn stop(&mut self) {
        let grace = Duration::from_secs(u64::from(self.server.config.current().process.shutdown_timeout_s));
        self.server.shutdown.request();
        self.server.stats.health.set_phase(Phase::Draining);
        if let Some(mut network) = self.network.take() {
            network.stopped().await;
            self.drain_clients(grace).await;
        }
        if let Some(storage) = self.storage.take() {
            let engine = storage.stop().await;
            self.server.storage_state.store(None);
            let close = move || if planted::is("engine-not-closed") { Ok(()) } else { engine.close() };
            let closed = on_engine_thread(&*self.storage_domain, close);
            let clock = self.server.env.clock.clone();
            let closed = tokio::select! {
                biased;
                closed = closed => closed,
                () = clock.sleep(limits::STORAGE_STOP_PATIENCE) => Ok(Err(EngineError::Io("it does not return".into()))),
            };
            match closed {
                Ok(Ok(())) => tracing::info!("storage is synced and closed"),
                Ok(Err(error)) => {
                    let what = "storage could not be closed cleanly";
                    let report = Report::new(error.category(), Severity::Error, Side::Storage, what);
                    self.server.report(report.error(&error));
                }
                Err(error) => {
                    let what = "storage could not be closed";
                    let report = Report::new(Category::Recovery, Severity::Error, Side::Storage, what);
                    self.server.report(report.error(&error));
                }
            }
        }
        self.network_home.shutdown();
        self.left_homes.iter().filter_map(Weak::upgrade).for_each(|home| home.shutdown());
        self.storage_domain.shutdown();
    }

    /// Waits up to `grace` for the connections to answer what they have read, and end.
    async fn drain_clients(&self, grace: Duration) {
        let clock = &self.server.env.clock;
        let until = clock.now() + grace;
        while !self.server.clients.is_empty() && clock.now() < until {
            clock.sleep(limits::DRAIN_POLL_INTERVAL).await;
        }
        let left = self.server.clients.len();
        if left > 0 {
            let what = "some clients did not finish in time";
            let report = Report::new(Category::Connection, Severity::Warning, Side::Network, what);
            self.server.report(report.subject(&format_args!("{left} clients")));
        }
    }
}

/// Why the network side cannot have another number of threads.
#[derive(Debug, thiserror::Error)]
enum MoveError {
    #[error("with runtime-mode single it takes effect at a start only")]
    Single,
    #[error("the runtime could not be built: {0}")]
    Build(io::Error),
    #[error(transparent)]
    Adopt(#[from] NetworkError),
}

/// A network runtime that is ready to be moved into.
struct Moving {
    home: Arc<Home>,
    clients: Option<Adopted>,
    http: Option<Adopted>,
}

/// A change of the configuration that holds, but for what cannot fail.
struct Prepared {
    moving: Option<Moving>,
    clients: Option<Bound>,
    http: Option<Bound>,
    config: Config,
    changed: Vec<&'static Directive>,
}

/// The storage runtime's own workers only keep its timers; the work is done on engine threads.
const STORAGE_SPEC: DomainSpec = DomainSpec { name: "sto", threads: 1, engine_on_workers: false };

/// The network runtime that the configuration asks for. In `runtime-mode single` it is the only one.
fn network_spec(config: &Config) -> DomainSpec {
    let Config { runtime, .. } = config;
    let engine_on_workers = runtime.mode == RuntimeMode::Single;
    DomainSpec { name: "net", threads: runtime.network_threads, engine_on_workers }
}

fn build(env: &Env, spec: DomainSpec) -> Result<Arc<dyn Domain>, StartError> {
    env.runtimes.build(spec).map_err(|source| StartError::Runtime { name: spec.name, source })
}

fn run_id(env: &Env) -> String {
    let mut random = Random::from_seed(env.random.seed());
    let wide = format!("{:032x}{:032x}", random.next_u128(), random.next_u128());
    wide[..40].to_string()
}
