//! What all tests of the real server share: starting and stopping processes, and a blocking client.
//!
//! Everything here waits for a condition and gives up loudly. It must never skip what it cannot do: a missing
//! redis-server is a failure that says what installs it.

// Each test binary compiles all of this and uses its part.
#![allow(dead_code)]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self as unix, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bulkhead::resp::{CommandArgs, Value, encode_command};
use bytes::{Bytes, BytesMut};
use tempfile::TempDir;

/// How long anything may take that is supposed to happen. Generous: the machine may be busy with a build.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `condition` holds; fails with `what` if it does not come true.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    if wait_for(PATIENCE, || condition().then_some(())).is_none() {
        panic!("in vain for {PATIENCE:?}: {what}");
    }
}

/// Polls until `attempt` gives something, at most for `patience`.
pub fn wait_for<T>(patience: Duration, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(result) = attempt() {
            return Some(result);
        }
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Returns once the clock shows `moment`: where the passing of time itself is what is waited for.
pub fn wait_until(moment: Instant) {
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
}

// ---- Processes -----------------------------------------------------------------------------------------------------

/// A running server of either kind. It does not outlive this value; if the test fails, its log is printed.
pub struct Server {
    child: Child,
    pub port: u16,
    log: PathBuf,
    /// The data directory, if it is this server's own.
    _dir: Option<TempDir>,
}

/// A server that ended instead of serving.
#[derive(Debug)]
pub struct StartFailure {
    pub status: ExitStatus,
    pub log: String,
}

impl Server {
    /// Ours, on a free port, with a data directory of its own.
    pub fn start(flags: &[&str]) -> Server {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut server = Server::start_in(dir.path(), flags);
        server._dir = Some(dir);
        server
    }

    /// Ours, on a free port, with its data in `dir`.
    pub fn start_in(dir: &Path, flags: &[&str]) -> Server {
        on_a_free_port(|port| Server::try_start_in(dir, port, flags))
    }

    /// Ours, on `port`; or how it failed.
    pub fn try_start_in(dir: &Path, port: u16, flags: &[&str]) -> Result<Server, StartFailure> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bulkhead-server"));
        command.args(["--port", &port.to_string(), "--dir"]).arg(dir).args(flags);
        Server::spawn(&mut command, port)
    }

    /// The real Redis, without persistence, on a free port.
    pub fn start_redis(flags: &[&str]) -> Server {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".into());
        let mut server = on_a_free_port(|port| {
            let mut command = Command::new(&path);
            command.args(["--save", "", "--appendonly", "no", "--enable-debug-command", "yes"]);
            command.args(["--port", &port.to_string(), "--dir"]).arg(dir.path());
            Server::spawn(command.args(flags), port)
        });
        server._dir = Some(dir);
        server
    }

    fn spawn(command: &mut Command, port: u16) -> Result<Server, StartFailure> {
        let (file, log) = tempfile::NamedTempFile::new().and_then(|file| Ok(file.keep()?)).expect("a log file");
        let errors = File::try_clone(&file).expect("a second handle of the log file");
        command.stdin(Stdio::null()).stdout(file).stderr(errors);
        let child = command.spawn().unwrap_or_else(|error| {
            let program = command.get_program().display();
            panic!("{program} does not start ({error}); `make deps` installs redis-server, or set REDIS_SERVER")
        });
        let mut server = Server { child, port, log, _dir: None };
        let answer = wait_for(PATIENCE, || {
            if let Some(status) = server.child.try_wait().expect("a child to wait for") {
                return Some(Err(StartFailure { status, log: server.log() }));
            }
            // Any reply will do: with a password it is an error.
            let mut client = Client::try_connect(port).ok()?;
            client.try_send(&["PING"]).and_then(|()| client.try_read()).ok().map(|_| Ok(()))
        });
        match answer {
            Some(Ok(())) => Ok(server),
            Some(Err(failure)) => Err(failure),
            None => panic!("the server neither answered PING nor ended within {PATIENCE:?}"),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn client(&self) -> Client {
        Client::connect(self.port)
    }

    /// What it has written to its standard streams.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its resident memory, in bytes.
    pub fn rss_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the child's /proc entry");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kilobytes") * 1024
    }

    /// Sends a signal by its name: `TERM`, `INT`.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().expect("kill to run");
        assert!(status.success(), "kill -s {name}: {status}");
    }

    /// SIGTERM; it must end with exit code 0.
    #[track_caller]
    pub fn stop(mut self) {
        self.signal("TERM");
        let status = self.wait();
        assert!(status.success(), "after SIGTERM: {status}");
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let end = wait_for(PATIENCE, || self.child.try_wait().expect("a child to wait for"));
        end.expect("the server to end")
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child to wait for").is_none()
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("a child to kill");
        self.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let end = self.child.try_wait().ok().flatten();
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let end = end.map_or(String::new(), |status| format!(", which had ended before: {status}"));
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(60)..];
            eprintln!("---- log of the server on port {}{end} ----\n{}", self.port, tail.join("\n"));
        }
        let _ = fs::remove_file(&self.log);
    }
}

/// A port that nobody listens on, and that no other test gets: for as long as this process lives it is reserved under an
/// abstract name that whoever asks here looks at, in this process or in another. It lies below those that the kernel gives to
/// clients (`ip_local_port_range`), so neither a client nor a client that meets itself takes it in between.
pub fn free_port() -> u16 {
    const PORTS: std::ops::Range<u16> = 10_000..32_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(61);
    for _ in PORTS {
        let number = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + (number % PORTS.len() as u32) as u16;
        let name = unix::SocketAddr::from_abstract_name(format!("bulkhead-test-port-{port}")).expect("a short name");
        let Ok(reservation) = UnixListener::bind_addr(&name) else { continue };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            std::mem::forget(reservation);
            return port;
        }
    }
    panic!("no free port in {PORTS:?}");
}

/// Starts on a free port, and again on another if a program that is none of ours took it meanwhile.
fn on_a_free_port(start: impl Fn(u16) -> Result<Server, StartFailure>) -> Server {
    let mut failures = String::new();
    for _ in 0..5 {
        match start(free_port()) {
            Ok(server) => return server,
            Err(failure) => {
                let _ = writeln!(failures, "{}: {}", failure.status, failure.log);
                if !failure.log.contains("in use") {
                    break;
                }
            }
        }
    }
    panic!("the server does not start: {failures}");
}

// ---- A client ------------------------------------------------------------------------------------------------------

/// A blocking client that speaks bytes as well as commands. A reply that does not come within [`PATIENCE`] is a failure.
pub struct Client {
    stream: Box<dyn Duplex>,
    buffer: BytesMut,
}

/// A socket of either family.
pub trait Duplex: Read + Write + Send {
    fn set_patience(&self, patience: Duration) -> io::Result<()>;
}

impl Duplex for TcpStream {
    fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(patience))
    }
}

impl Duplex for UnixStream {
    fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(patience))
    }
}

impl Client {
    #[track_caller]
    pub fn connect(port: u16) -> Client {
        Client::try_connect(port).unwrap_or_else(|error| panic!("no connection to port {port}: {error}"))
    }

    pub fn try_connect(port: u16) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PATIENCE)?;
        stream.set_nodelay(true)?;
        Client::over(stream)
    }

    pub fn connect_unix(path: &Path) -> Client {
        Client::over(UnixStream::connect(path).expect("a connection to the Unix socket")).expect("a usable socket")
    }

    pub fn over(stream: impl Duplex + 'static) -> io::Result<Client> {
        stream.set_patience(PATIENCE)?;
        Ok(Client { stream: Box::new(stream), buffer: BytesMut::new() })
    }

    pub fn set_patience(&mut self, patience: Duration) {
        self.stream.set_patience(patience).expect("a usable socket");
    }

    /// After HELLO 3.
    #[track_caller]
    pub fn resp3(mut self) -> Client {
        let hello = self.call(&["HELLO", "3"]);
        assert!(matches!(hello, Value::Map(_)), "{hello}");
        self
    }

    #[track_caller]
    pub fn send(&mut self, args: &[impl AsRef<[u8]>]) {
        self.try_send(args).expect("the server to take a command");
    }

    pub fn try_send(&mut self, args: &[impl AsRef<[u8]>]) -> io::Result<()> {
        let mut bytes = BytesMut::new();
        encode_command(args, &mut bytes);
        self.stream.write_all(&bytes)
    }

    #[track_caller]
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.try_send_raw(bytes).expect("the server to take bytes");
    }

    pub fn try_send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next reply. An end of the stream is an error.
    pub fn try_read(&mut self) -> io::Result<Value> {
        loop {
            match Value::decode(&mut self.buffer) {
                Ok(Some(value)) => return Ok(value),
                Ok(None) if self.fill()? == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(None) => {}
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
    }

    /// The bytes of the next reply, as they came.
    pub fn try_read_raw(&mut self) -> io::Result<Bytes> {
        loop {
            let before = Bytes::copy_from_slice(&self.buffer);
            match Value::decode(&mut self.buffer) {
                Ok(Some(_)) => return Ok(before.slice(..before.len() - self.buffer.len())),
                Ok(None) if self.fill()? == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(None) => {}
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
    }

    #[track_caller]
    pub fn read(&mut self) -> Value {
        self.try_read().unwrap_or_else(|error| panic!("no reply: {error}"))
    }

    /// The next `len` bytes, whatever they mean.
    #[track_caller]
    pub fn read_bytes(&mut self, len: usize) -> Bytes {
        while self.buffer.len() < len {
            let more = self.fill().unwrap_or_else(|error| panic!("no bytes: {error}"));
            assert_ne!(more, 0, "the connection was closed behind {:?}", self.buffer);
        }
        self.buffer.split_to(len).freeze()
    }

    /// Everything up to the end of the stream: the server has closed, or closes now.
    #[track_caller]
    pub fn read_to_end(&mut self) -> Bytes {
        loop {
            match self.fill() {
                Ok(0) => return self.buffer.split().freeze(),
                Ok(_) => {}
                // What we sent and it never read turns its close into a reset.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return self.buffer.split().freeze(),
                Err(error) => panic!("the connection stays open: {error}"),
            }
        }
    }

    #[track_caller]
    pub fn call(&mut self, args: &[impl AsRef<[u8]>]) -> Value {
        self.send(args);
        self.read()
    }

    /// A command line as typed into redis-cli, and the reply as redis-cli prints it.
    #[track_caller]
    pub fn ask(&mut self, line: &str) -> String {
        self.call(&split_line(line)).to_string()
    }

    /// [`Client::ask`] for commands in a row, each with its reply.
    #[track_caller]
    pub fn check(&mut self, dialogue: &[(&str, &str)]) {
        for (line, expected) in dialogue {
            assert_eq!(self.ask(line), *expected, "> {line}");
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 64 * 1024];
        let len = loop {
            match self.stream.read(&mut chunk) {
                // The test was stopped and goes on.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.buffer.extend_from_slice(&chunk[..len]);
        Ok(len)
    }
}

/// The arguments of a command line, quoted as for redis-cli.
#[track_caller]
pub fn split_line(line: &str) -> Vec<Bytes> {
    let args = CommandArgs::from_line(line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error:?}"));
    (0..args.len()).filter_map(|index| args.bytes(index)).collect()
}
