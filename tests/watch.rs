//! What the server says of itself: figures against a load whose numbers are known, and the probes over HTTP in each state
//! that a server can be in.
//!
//! The whole server runs in this process, in the real environment but for its disk: so a disk can be slow to open, stall,
//! or be full, and come back, when the test says so.

mod support;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use bulkhead::config::{Config, Invocation, LiveConfig, Machine};
use bulkhead::engine::memory::{DiskFault, MemoryDisk, MemoryEngine};
use bulkhead::engine::{Engine, EngineError};
use bulkhead::env::{Env, ShutdownRequest, StorageDoor, real};
use parking_lot::Mutex;
use support::{Client, eventually, free_port};

/// A disk whose opening can be held up.
struct Disk {
    memory: Arc<MemoryDisk>,
    opens: Mutex<Option<Receiver<()>>>,
}

impl StorageDoor for Disk {
    fn open(&self, _: &Config) -> Result<Arc<dyn Engine>, EngineError> {
        if let Some(release) = self.opens.lock().take() {
            // The other end is dropped: go on as well.
            let _ = release.recv();
        }
        Ok(MemoryEngine::open(self.memory.clone())?)
    }

    fn replace_file(&self, _: &Path, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn read_file(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A whole server in this process.
struct Server {
    port: u16,
    http: u16,
    disk: Arc<MemoryDisk>,
    shutdown: Arc<ShutdownRequest>,
    thread: Option<JoinHandle<()>>,
    /// Dropped or used, it lets the disk open.
    _release: Option<Sender<()>>,
}

impl Server {
    fn start(lines: &str) -> Server {
        let server = Server::begin(lines, None);
        eventually("the server is ready", || server.get("/readyz").0 == 200);
        server
    }

    /// Does not wait for it; `release` lets its disk open.
    fn begin(lines: &str, release: Option<(Sender<()>, Receiver<()>)>) -> Server {
        let (port, http) = (free_port(), free_port());
        let (release, opens) = release.unzip();
        let disk = MemoryDisk::new();
        let door = Disk { memory: disk.clone(), opens: Mutex::new(opens) };
        let text = format!("bind 127.0.0.1\nport {port}\nhealth-port {http}\n{lines}");
        let mut files = |_: &Path| Ok(text.clone());
        let machine = Machine { cores: 2, memory_bytes: 1 << 30 };
        let Ok(Invocation::Serve(loaded)) = Invocation::parse(["-"], &machine, &mut files) else {
            panic!("not a configuration: {text}")
        };
        let shutdown = Arc::new(ShutdownRequest::default());
        let env = Env { storage: Arc::new(door), ..real::env() };
        let (config, stop) = (Arc::new(LiveConfig::new(*loaded)), shutdown.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(bulkhead::server::run(env, config, stop)).expect("the server to run");
        });
        Server { port, http, disk, shutdown, thread: Some(thread), _release: release }
    }

    fn client(&self) -> Client {
        Client::connect(self.port)
    }

    /// Status and body of a GET; status 0 if nobody answers.
    fn get(&self, path: &str) -> (u16, String) {
        let response = self.exchange(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
        let (head, body) = response.split_once("\r\n\r\n").unwrap_or_default();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, body.to_string())
    }

    fn exchange(&self, request: &[u8]) -> String {
        let mut response = Vec::new();
        let exchanged = TcpStream::connect((Ipv4Addr::LOCALHOST, self.http)).and_then(|mut stream| {
            stream.write_all(request)?;
            stream.read_to_end(&mut response)
        });
        match exchanged {
            Ok(_) => String::from_utf8(response).expect("text"),
            Err(_) => String::new(),
        }
    }

    /// A figure of `/metrics` by its name and labels as they stand there.
    fn figure(&self, series: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().expect("a number")
    }

    fn stop(mut self) {
        self.shutdown.request();
        self.thread.take().expect("it runs").join().expect("a clean stop");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.disk.set_fault(None);
        self.shutdown.request();
    }
}

/// A field of INFO.
fn field(client: &mut Client, section: &str, name: &str) -> u64 {
    let text = client.ask(&format!("INFO {section}"));
    let line = text.split("\\r\\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
}

/// R5.1, R5.2: the figures are those of what really happened, and agree with each other.
#[test]
fn figures_count_a_known_load_exactly_and_add_up() {
    let server = Server::start("");
    let mut client = server.client();
    for number in 0..50 {
        client.ask(&format!("SET key:{number} value"));
    }
    for number in 0..30 {
        client.ask(&format!("GET key:{}", number * 2));
    }
    client.ask("LPUSHX");
    client.ask("INCR key:1");
    // One pipeline: one request.
    let pipeline: Vec<u8> = (0..20).flat_map(|n| format!("SET piped:{n} x\r\n").into_bytes()).collect();
    client.send_raw(&pipeline);
    (0..20).for_each(|_| assert_eq!(client.read().to_string(), "OK"));
    client.ask("PING");
    for (series, expected) in [
        ("redis_commands_total{cmd=\"set\"}", 70.0),
        ("redis_commands_total{cmd=\"get\"}", 30.0),
        ("redis_commands_total{cmd=\"ping\"}", 1.0),
        ("redis_commands_failed_calls_total{cmd=\"incr\"}", 1.0),
        ("bulkhead_command_duration_seconds_count{cmd=\"set\"}", 70.0),
        ("bulkhead_command_duration_seconds_bucket{cmd=\"set\",le=\"+Inf\"}", 70.0),
        ("bulkhead_stage_duration_seconds_count{stage=\"execute\"}", 101.0),
        ("bulkhead_requests_sent_total", 82.0),
        ("bulkhead_requests_ended_total{how=\"answered\"}", 82.0),
        ("bulkhead_requests_in_flight", 0.0),
        ("bulkhead_stage_duration_seconds_count{stage=\"queue\"}", 82.0),
        ("bulkhead_stage_duration_seconds_count{stage=\"request\"}", 82.0),
        ("bulkhead_request_operations_count", 82.0),
        ("bulkhead_request_operations_sum", 101.0),
        ("bulkhead_requests_read_total", 30.0),
        ("bulkhead_operations_committed_total", 70.0),
        ("redis_db_keys{db=\"db0\"}", 70.0),
        ("redis_keyspace_hits_total", 25.0),
        ("redis_keyspace_misses_total", 5.0),
        ("redis_connected_clients", 1.0),
        ("redis_connections_received_total", 1.0),
    ] {
        assert_eq!(server.figure(series), expected, "{series}");
    }
    let groups = server.figure("bulkhead_groups_committed_total");
    assert_eq!(server.figure("bulkhead_group_operations_count"), groups);
    assert_eq!(server.figure("bulkhead_group_operations_sum"), 70.0);
    assert_eq!(server.figure("bulkhead_stage_duration_seconds_count{stage=\"commit\"}"), groups);
    // INFO and the exposition read the same rows.
    assert_eq!(field(&mut client, "channel", "requests_sent"), 82);
    assert_eq!(field(&mut client, "storage", "groups_committed") as f64, groups);
    server.stop();
}

/// Whatever becomes of requests, each that was sent is in flight or ended in one way.
#[test]
fn what_was_sent_is_in_flight_or_has_ended() {
    let server = Server::start("request-timeout 100\nhealth-stall-threshold 200");
    let mut writers: Vec<Client> = (0..4).map(|_| server.client()).collect();
    assert_eq!(writers[0].ask("SET k v"), "OK");
    let books = || {
        let ended = ["answered", "withdrawn", "in_doubt", "failed", "abandoned"]
            .map(|how| server.figure(&format!("bulkhead_requests_ended_total{{how=\"{how}\"}}")));
        (server.figure("bulkhead_requests_sent_total"), server.figure("bulkhead_requests_in_flight"), ended)
    };
    server.disk.set_fault(Some(DiskFault::WriteStall));
    writers.iter_mut().for_each(|writer| writer.send(&["SET", "k", "w"]));
    eventually("all four are told at their deadline", || {
        // The books are read line by line: they balance once nothing moves.
        let (sent, in_flight, ended) = books();
        sent == 5.0 && in_flight == 0.0 && ended.iter().sum::<f64>() == sent
    });
    let (_, _, [answered, withdrawn, in_doubt, ..]) = books();
    assert_eq!((answered, withdrawn + in_doubt), (1.0, 4.0), "withdrawn {withdrawn}, in doubt {in_doubt}");
    assert!(in_doubt >= 1.0 && server.figure("bulkhead_requests_late_total") == in_doubt);
    // One that is sent and left alone.
    let mut gone = server.client();
    gone.send(&["SET", "k", "x"]);
    eventually("it is sent", || server.figure("bulkhead_requests_sent_total") == 6.0);
    server.disk.set_fault(None);
    eventually("nothing is in flight", || books().1 == 0.0);
    let (sent, _, ended) = books();
    assert_eq!(sent, ended.iter().sum::<f64>(), "{ended:?}");
    server.stop();
}

/// R5.5
#[test]
fn probes_tell_of_a_start_that_takes_long() {
    let (release, opens) = channel();
    let server = Server::begin("", Some((release.clone(), opens)));
    eventually("the health port answers before storage is open", || server.get("/livez") == (200, "ok\n".into()));
    let (status, text) = server.get("/readyz");
    assert_eq!(status, 503);
    assert!(text.starts_with("not ready: starting\n") && text.contains("storage-open: storage is not open"), "{text}");
    let (status, json) = server.get("/healthz");
    assert!(status == 503 && json.contains(r#""phase":"starting""#), "{json}");
    assert!(server.get("/metrics").1.contains("\nbulkhead_ready 0\n"));
    release.send(()).expect("the disk waits");
    eventually("it is ready", || server.get("/readyz") == (200, "ok\n".into()));
    assert_eq!(server.get("/healthz").0, 200);
    server.stop();
}

#[test]
fn probes_tell_of_a_stall_and_of_its_end() {
    let server = Server::start("health-stall-threshold 50\nrequest-timeout 60000");
    let mut client = server.client();
    assert_eq!(client.ask("SET k v"), "OK");
    server.disk.set_fault(Some(DiskFault::WriteStall));
    client.send(&["SET", "k", "w"]);
    eventually("a stall makes it not ready", || {
        let (status, text) = server.get("/readyz");
        status == 503 && text.contains("storage-writer: the writer has been at one group for ")
    });
    assert_eq!(server.get("/livez").0, 200, "a stalled server must not be restarted for it");
    let (_, json) = server.get("/healthz");
    assert!(
        json.contains(r#""network":{"status":"ok""#) && json.contains(r#""storage":{"status":"failing""#),
        "{json}"
    );
    eventually("the history has it", || server.get("/status.json").1.contains(r#""check":"storage-writer","from":"#));
    assert_eq!(server.client().ask("GET k"), "\"v\"", "reads go on");
    server.disk.set_fault(None);
    assert_eq!(client.read().to_string(), "OK");
    eventually("it is ready again", || server.get("/readyz").0 == 200);
    server.stop();
}

#[test]
fn probes_tell_of_a_full_disk_and_of_room_again() {
    let server = Server::start("");
    let mut client = server.client();
    assert_eq!(client.ask("SET k v"), "OK");
    server.disk.set_fault(Some(DiskFault::NoSpace));
    assert!(client.ask("SET k w").starts_with("(error)"));
    let (status, json) = server.get("/healthz");
    assert!(
        json.contains(r#""check":"storage-mode","status":"degraded","reason":"writes are refused: no space"#),
        "{json}"
    );
    assert_eq!(status, 200, "reads and deletes go on: {json}");
    server.disk.set_fault(None);
    eventually("writes are taken again", || client.ask("SET k w") == "OK");
    assert!(server.get("/healthz").1.contains(r#""check":"storage-mode","status":"ok""#));
    server.stop();
}

#[test]
fn probes_tell_of_a_drain() {
    let server = Server::start("shutdown-timeout 60");
    let mut client = server.client();
    assert_eq!(client.ask("PING"), "PONG");
    // Holds its connection, and with it the drain.
    client.send(&["DEBUG", "SLEEP", "1"]);
    eventually("it sleeps", || server.client().ask("CLIENT LIST").contains("cmd=debug"));
    server.shutdown.request();
    eventually("a draining server is not ready", || server.get("/readyz") == (503, "not ready: draining\n".into()));
    assert_eq!(server.get("/livez").0, 200);
    assert_eq!(client.read().to_string(), "OK");
    server.stop();
}

#[test]
fn http_answers_what_it_knows_and_refuses_the_rest() {
    let server = Server::start("");
    let (status, page) = server.get("/");
    assert!(status == 200 && page.starts_with("<!doctype html>"), "{page}");
    assert_eq!(server.get("/nowhere").0, 404);
    let head = server.exchange(b"HEAD /livez HTTP/1.1\r\n\r\n");
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Content-Length: 3\r\n") && head.ends_with("\r\n\r\n")
    );
    assert!(server.exchange(b"POST / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    assert!(server.exchange(b"PING\r\n\r\n").starts_with("HTTP/1.1 400 "));
    let large = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(16 << 10));
    let response = server.exchange(large.as_bytes());
    assert!(response.is_empty() || response.starts_with("HTTP/1.1 431 "), "{response}");
    // Peers that say nothing take places, but never all of the server.
    let silent: Vec<TcpStream> =
        (0..100).map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, server.http)).expect("a connection")).collect();
    assert_eq!(server.client().ask("PING"), "PONG");
    drop(silent);
    eventually("places are free again", || server.get("/livez").0 == 200);
    server.stop();
}
