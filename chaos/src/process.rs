//! The server as a child process: started on a directory, killed, started again.
//!
//! It must never leave a process behind, nor a failure without the server's own words.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use bulkhead::resp::Value;

use crate::client::{Client, PATIENCE};

/// How a server is started: everything but its port.
#[derive(Clone, Debug)]
pub struct Recipe {
    pub program: PathBuf,
    pub dir: PathBuf,
    pub flags: Vec<String>,
    /// Added to this process' own.
    pub environment: Vec<(String, OsString)>,
}

/// A running server. It does not outlive this value.
pub struct Server {
    child: Child,
    log: PathBuf,
    /// Where its words begin: earlier ones are another start's.
    log_start: u64,
    pub port: u16,
    /// From its start to its first PONG: how long a user waits after a crash.
    pub started_in: Duration,
}

impl Recipe {
    /// Starts it on a free port and waits until it answers PING.
    pub fn start(&self) -> Result<Server, String> {
        for _ in 0..3 {
            match self.spawn().and_then(Server::wait_until_it_serves) {
                Err(failure) if is_port_taken(&failure) => continue,
                outcome => return outcome,
            }
        }
        Err("three free ports in a row were taken by somebody else".into())
    }

    /// Starts it and kills it before it may be ready: a recovery that is cut short.
    pub fn start_and_kill_after(&self, pause: Duration) -> Result<(), String> {
        let server = self.spawn()?;
        std::thread::sleep(pause);
        server.kill().or_else(|failure| if is_port_taken(&failure) { Ok(()) } else { Err(failure) })
    }

    /// Where the server writes what it has to say, beside its directory.
    pub fn log(&self) -> PathBuf {
        self.dir.with_extension("log")
    }

    fn spawn(&self) -> Result<Server, String> {
        let fail = |what: &str, error: io::Error| format!("{what}: {error}");
        let port = free_port().map_err(|error| fail("no free port", error))?;
        let log = self.log();
        let open = || File::options().create(true).append(true).open(&log).map_err(|error| fail("no log file", error));
        let log_start = std::fs::metadata(&log).map_or(0, |file| file.len());
        let child = Command::new(&self.program)
            .args(["--port", &port.to_string(), "--dir"])
            .arg(&self.dir)
            .args(&self.flags)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(open()?)
            .stderr(open()?)
            .spawn()
            .map_err(|error| fail(&self.program.display().to_string(), error))?;
        Ok(Server { child, log, log_start, port, started_in: Duration::ZERO })
    }
}

impl Server {
    fn wait_until_it_serves(mut self) -> Result<Server, String> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if self.has_ended() {
                return Err(format!("the server ended instead of serving:\n{}", self.last_words()));
            }
            if self.serves().unwrap_or(false) {
                self.started_in = start.elapsed();
                return Ok(self);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err(format!("no PONG within {PATIENCE:?}:\n{}", self.last_words()))
    }

    /// Whether it answers PING; and it is really this one, rather than somebody who took the port.
    fn serves(&self) -> io::Result<bool> {
        let mut client = Client::connect(self.port)?;
        let (pong, info) = (client.call(&["PING"])?, client.call(&["INFO", "server"])?);
        let this = format!("process_id:{}\r", self.child.id());
        Ok(pong.to_string() == "PONG" && matches!(info, Value::Bulk(text) if contains(&text, this.as_bytes())))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory, in bytes.
    pub fn resident_bytes(&self) -> io::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let kilobytes =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
        kilobytes.map(|kilobytes: u64| kilobytes * 1024).ok_or_else(|| io::Error::other("no VmRSS"))
    }

    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL. An error if there was nothing left to kill.
    pub fn kill(mut self) -> Result<(), String> {
        if self.has_ended() {
            return Err(format!("the server had ended by itself:\n{}", self.last_words()));
        }
        self.child.kill().and_then(|()| self.child.wait()).map(drop).map_err(|error| format!("kill -9: {error}"))
    }

    /// SIGTERM, as an operator stops it; how it ended.
    pub fn stop(mut self) -> Result<ExitStatus, String> {
        let sent = Command::new("kill").args(["-s", "TERM", &self.pid().to_string()]).status();
        if !sent.is_ok_and(|status| status.success()) {
            return Err("kill -s TERM failed".into());
        }
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(format!("it did not end within {PATIENCE:?} after SIGTERM:\n{}", self.last_words()))
    }

    /// What it wrote last.
    pub fn last_words(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(log.get(self.log_start as usize..).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary under test: `BULKHEAD_SERVER`, or the one that cargo built beside this program.
pub fn server_binary() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("BULKHEAD_SERVER") {
        return Ok(path.into());
    }
    let this = std::env::current_exe().map_err(|error| format!("this program's own path: {error}"))?;
    // A test lies one folder deeper, in `deps`.
    let found =
        this.ancestors().skip(1).take(2).map(|folder| folder.join("bulkhead-server")).find(|path| path.exists());
    found
        .ok_or_else(|| format!("no bulkhead-server near {}: run `cargo build`, or set BULKHEAD_SERVER", this.display()))
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

/// Somebody may take the port between our look and the server's bind.
fn is_port_taken(failure: &str) -> bool {
    failure.contains("in use")
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
