//! The real world behind the doors: tokio, the operating system's clocks and sockets, RocksDB.

use std::ffi::OsStr;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr as UnixSocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixSocket, UnixStream};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    Address, BoxFuture, Clock, Domain, DomainSpec, Env, Host, Incoming, ListenOptions, Listener, Network, RandomSource,
    Room, Runtimes, ShutdownRequest, Space, StorageDoor, Stream,
};
use crate::config::{Config, Machine};
use crate::engine::thread::mark_engine_thread;
use crate::engine::{Engine, EngineError};
use crate::limits;
use crate::observe::{HostFacts, PoolUsage, ProcessUsage};

/// The production environment.
pub fn env() -> Env {
    Env {
        clock: Arc::new(RealClock { start: Instant::now() }),
        network: Arc::new(RealNetwork),
        runtimes: Arc::new(RealRuntimes),
        random: Arc::new(RealRandom),
        storage: Arc::new(RealStorage),
        host: Arc::new(RealHost),
    }
}

/// The machine that this process runs on, as far as it may use it.
pub fn machine() -> Machine {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Machine { cores, memory_bytes: crate::observe::machine_memory_bytes() }
}

/// Drives `server` on the calling thread, requests `shutdown` at SIGTERM or SIGINT, and calls `reload` at SIGHUP. A second
/// SIGINT ends the process at once, as with Redis.
pub fn block_on<T>(
    shutdown: Arc<ShutdownRequest>,
    reload: impl Fn(),
    server: impl Future<Output = T>,
) -> io::Result<T> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // The default would end the process when its terminal closes.
        let mut hangup = signal(SignalKind::hangup())?;
        let mut server = std::pin::pin!(server);
        let mut interrupted = false;
        loop {
            tokio::select! {
                biased;
                result = &mut server => return Ok(result),
                _ = terminate.recv() => shutdown.request(),
                _ = hangup.recv() => reload(),
                _ = interrupt.recv() => {
                    if std::mem::replace(&mut interrupted, true) {
                        tracing::warn!("interrupted again: leaving without a clean stop");
                        std::process::exit(1);
                    }
                    shutdown.request();
                }
            }
        }
    })
}

struct RealClock {
    start: Instant,
}

impl Clock for RealClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn unix_time(&self) -> Duration {
        // A clock set before 1970 reads as 1970.
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

struct RealRandom;

impl RandomSource for RealRandom {
    fn seed(&self) -> u64 {
        use std::hash::{BuildHasher, RandomState};
        // The standard library seeds each `RandomState` from the operating system's generator.
        RandomState::new().hash_one(0u64)
    }
}

struct RealRuntimes;

impl Runtimes for RealRuntimes {
    fn build(&self, spec: DomainSpec) -> io::Result<Arc<dyn Domain>> {
        let index = AtomicUsize::new(0);
        let mut builder = Builder::new_multi_thread();
        builder.thread_stack_size(limits::ENGINE_THREAD_STACK_BYTES);
        builder.worker_threads(spec.threads).enable_all();
        builder.thread_name_fn(move || format!("{}-{}", spec.name, index.fetch_add(1, Ordering::Relaxed)));
        if spec.engine_on_workers {
            builder.on_thread_start(mark_engine_thread);
        }
        let runtime = builder.build()?;
        let handle = runtime.handle().clone();
        let engine_on_workers = spec.engine_on_workers;
        Ok(Arc::new(TokioDomain { handle, engine_on_workers, runtime: Mutex::new(Some(runtime)) }))
    }
}

/// One tokio runtime.
struct TokioDomain {
    handle: Handle,
    engine_on_workers: bool,
    /// Taken at shutdown.
    runtime: Mutex<Option<Runtime>>,
}

impl Domain for TokioDomain {
    fn spawn_body(&self, body: BoxFuture<'static, ()>) {
        self.handle.spawn(body);
    }

    fn spawn_engine_body(&self, name: String, body: BoxFuture<'static, ()>) -> io::Result<()> {
        if self.engine_on_workers {
            self.spawn_body(body);
            return Ok(());
        }
        let handle = self.handle.clone();
        std::thread::Builder::new().name(name).stack_size(limits::ENGINE_THREAD_STACK_BYTES).spawn(move || {
            mark_engine_thread();
            handle.block_on(body);
        })?;
        Ok(())
    }

    fn shutdown(&self) {
        // The lock is not held meanwhile: tasks that end with the runtime may call this too.
        let runtime = self.runtime.lock().take();
        if let Some(runtime) = runtime {
            // Not waited for: whoever calls this may be a task itself.
            runtime.shutdown_background();
        }
    }
}

struct RealNetwork;

impl Network for RealNetwork {
    fn listen<'a>(
        &'a self,
        address: &'a Address,
        options: ListenOptions,
    ) -> BoxFuture<'a, io::Result<Arc<dyn Listener>>> {
        Box::pin(async move {
            let listener: Arc<dyn Listener> = match address {
                Address::Tcp(address) => Arc::new(listen_tcp(*address, options)?),
                Address::Unix { path, mode } => Arc::new(listen_unix(path, *mode, options)?),
            };
            Ok(listener)
        })
    }
}

fn listen_tcp(address: SocketAddr, options: ListenOptions) -> io::Result<RealTcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    if address.is_ipv6() {
        // `bind * -::*` listens on both families, each with its own socket.
        SockRef::from(&socket).set_only_v6(true)?;
    }
    socket.bind(address)?;
    Ok(RealTcpListener { listener: socket.listen(options.backlog)?, keepalive_s: options.keepalive_s })
}

struct RealTcpListener {
    listener: TcpListener,
    keepalive_s: Arc<AtomicU32>,
}

impl Stream for TcpStream {
    fn adopt(self: Box<Self>) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(TcpStream::from_std(self.into_std()?)?))
    }
}

impl Stream for UnixStream {
    fn adopt(self: Box<Self>) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(UnixStream::from_std(self.into_std()?)?))
    }
}

impl Listener for RealTcpListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<Incoming>> {
        Box::pin(async move {
            let (stream, peer) = self.listener.accept().await?;
            stream.set_nodelay(true)?;
            let keepalive_s = self.keepalive_s.load(Ordering::Relaxed);
            if keepalive_s > 0 {
                // As Redis: probe after the time given, then every third of it, three times.
                let idle = Duration::from_secs(u64::from(keepalive_s));
                let keepalive = TcpKeepalive::new()
                    .with_time(idle)
                    .with_interval((idle / 3).max(Duration::from_secs(1)))
                    .with_retries(3);
                SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
            }
            let local = stream.local_addr()?.to_string();
            let is_local = peer.ip().to_canonical().is_loopback();
            Ok(Incoming { stream: Box::new(stream), peer: peer.to_string(), local, is_local })
        })
    }

    fn adopt(self: Arc<Self>) -> io::Result<Arc<dyn Listener>> {
        let same = self.listener.as_fd().try_clone_to_owned()?;
        let listener = TcpListener::from_std(same.into())?;
        Ok(Arc::new(RealTcpListener { listener, keepalive_s: self.keepalive_s.clone() }))
    }

    fn local_address(&self) -> Address {
        let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
        Address::Tcp(self.listener.local_addr().unwrap_or(unspecified))
    }
}

fn listen_unix(path: &Path, mode: u32, options: ListenOptions) -> io::Result<RealUnixListener> {
    // As Redis: whatever an earlier server left there goes. The data directory's lock, not the socket, says who runs.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    if mode != 0 {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    let listener = socket.listen(options.backlog)?;
    Ok(RealUnixListener { listener, place: Arc::new(SocketFile { path: path.to_path_buf(), mode }) })
}

struct RealUnixListener {
    listener: UnixListener,
    place: Arc<SocketFile>,
}

impl Listener for RealUnixListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<Incoming>> {
        Box::pin(async move {
            let (stream, _) = self.listener.accept().await?;
            let name = format!("{}:0", self.local_address());
            Ok(Incoming { stream: Box::new(stream), peer: name.clone(), local: name, is_local: true })
        })
    }

    fn adopt(self: Arc<Self>) -> io::Result<Arc<dyn Listener>> {
        let same = self.listener.as_fd().try_clone_to_owned()?;
        let listener = UnixListener::from_std(same.into())?;
        Ok(Arc::new(RealUnixListener { listener, place: self.place.clone() }))
    }

    fn local_address(&self) -> Address {
        Address::Unix { path: self.place.path.clone(), mode: self.place.mode }
    }
}

/// Where a Unix socket lies. It goes with the last listener there.
struct SocketFile {
    path: PathBuf,
    mode: u32,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may be gone already; a successor removes it anyway.
        let _ = std::fs::remove_file(&self.path);
    }
}

struct RealStorage;

impl StorageDoor for RealStorage {
    #[cfg(feature = "rocks")]
    fn open(&self, config: &Config) -> Result<Arc<dyn Engine>, EngineError> {
        let configured = &config.storage.rocksdb;
        // A directory that cannot be made is for the engine to complain about.
        let _ = std::fs::create_dir_all(&config.storage.dir);
        let disk_bytes = self.room(&config.storage.dir).map_or(0, |room| room.disk_bytes);
        let fitted = configured.fitted_to(disk_bytes);
        if fitted != *configured {
            let (memtable, log) = (fitted.write_buffer_size, fitted.max_total_wal_size);
            tracing::info!(
                disk_bytes,
                memtable,
                log,
                "the disk is small: memtables and log are smaller than configured"
            );
        }
        Ok(crate::engine::rocks::RocksEngine::open(&config.storage.dir, &(&fitted).into())?)
    }

    /// Without RocksDB there is only memory: nothing survives this process.
    #[cfg(not(feature = "rocks"))]
    fn open(&self, _config: &Config) -> Result<Arc<dyn Engine>, EngineError> {
        use crate::engine::memory::{MemoryDisk, MemoryEngine};
        Ok(MemoryEngine::open(MemoryDisk::new())?)
    }

    fn replace_file(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let mut file = std::fs::File::create(&temporary)?;
        io::Write::write_all(&mut file, content)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        // The rename is durable only once the directory is.
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::File::open(directory)?.sync_all()
    }

    fn read_file(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }

    fn room(&self, directory: &Path) -> io::Result<Room> {
        let disk = rustix::fs::statvfs(directory)?;
        Ok(Room { free_bytes: disk.f_bavail * disk.f_frsize, disk_bytes: disk.f_blocks * disk.f_frsize })
    }
}

struct RealHost;

impl Host for RealHost {
    fn notify(&self, state: &str) {
        let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
        if let Err(error) = notify(&socket, state) {
            tracing::warn!(%error, state, "the init system could not be told");
        }
    }

    fn space(&self, directory: &Path) -> io::Result<Space> {
        let mut space = Space::default();
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            // A file that went meanwhile takes no room.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_file() {
                space.directory_bytes += metadata.len();
                if entry.path().extension().is_some_and(|extension| extension == "log") {
                    space.wal_bytes += metadata.len();
                }
            }
        }
        Ok(space)
    }

    fn facts(&self) -> HostFacts {
        HostFacts::read()
    }

    fn process(&self) -> ProcessUsage {
        ProcessUsage::read()
    }

    fn pools(&self) -> Vec<PoolUsage> {
        PoolUsage::read_all()
    }
}

/// sd_notify: one datagram to a Unix socket, whose name begins with `@` where it is an abstract one.
fn notify(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => UnixSocketAddr::from_abstract_name(name)?,
        None => UnixSocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_init_system_is_told_by_datagram() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        notify(path.as_os_str(), "READY=1").unwrap();
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1");
        let name = format!("bulkhead-test-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&UnixSocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        notify(OsStr::new(&format!("@{name}")), "STOPPING=1").unwrap();
        assert_eq!(socket.recv(&mut buffer).unwrap(), 10);
    }

    #[test]
    fn the_log_is_told_from_the_other_files_of_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("000004.log"), [0; 100]).unwrap();
        std::fs::write(directory.path().join("000005.sst"), [0; 1000]).unwrap();
        std::fs::create_dir(directory.path().join("other.log")).unwrap();
        let space = RealHost.space(directory.path()).unwrap();
        assert_eq!((space.wal_bytes, space.directory_bytes), (100, 1100));
        let room = RealStorage.room(directory.path()).unwrap();
        assert!(room.free_bytes > 0 && room.disk_bytes >= room.free_bytes, "{room:?}");
        assert!(RealHost.space(&directory.path().join("nowhere")).is_err());
    }
}
