//! What the server says of itself: figures against a load whose numbers are known, and the probes over HTTP in each state
//! that a server can be in.
//!
//! The whole server runs in this process, in the real environment but for its disk: so a disk can be slow to open, stall,
//! or be full, and come back, when the test says so.

mod support;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use bulkhead::config::{Config, Invocation, LiveConfig, Machine};
use bulkhead::engine::memory::{DiskFault, MemoryDisk, MemoryEngine};
use bulkhead::engine::{Engine, EngineError};
use bulkhead::env::{Domain, DomainSpec, Env, Runtimes, ShutdownRequest, StorageDoor, real};
use parking_lot::Mutex;
use support::{Client, eventually, free_port};

/// A disk whose opening can be held up, with the server's configuration file on it.
struct Disk {
    memory: Arc<MemoryDisk>,
    opens: Mutex<Option<Receiver<()>>>,
    file: Arc<Mutex<String>>,
}

impl StorageDoor for Disk {
    fn open(&self, _: &Config) -> Result<Arc<dyn Engine>, EngineError> {
        if let Some(release) = self.opens.lock().take() {
            // The other end is dropped: go on as well.
            let _ = release.recv();
        }
        Ok(MemoryEngine::open(self.memory.clone())?)
    }

    fn replace_file(&self, _: &Path, content: &[u8]) -> io::Result<()> {
        *self.file.lock() = String::from_utf8_lossy(content).into_owned();
        Ok(())
    }

    fn read_file(&self, _: &Path) -> io::Result<String> {
        Ok(self.file.lock().clone())
    }
}

/// A machine that runs out of threads.
struct FewThreads(Arc<dyn Runtimes>);

impl FewThreads {
    const MOST: usize = 16;
}

impl Runtimes for FewThreads {
    fn build(&self, spec: DomainSpec) -> io::Result<Arc<dyn Domain>> {
        if spec.threads > FewThreads::MOST {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.0.build(spec)
    }
}

/// A whole server in this process.
struct Server {
    port: u16,
    http: u16,
    disk: Arc<MemoryDisk>,
    file: Arc<Mutex<String>>,
    config: Arc<LiveConfig>,
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
        let text = format!("bind 127.0.0.1\nport {port}\nhealth-port {http}\n{lines}\n");
        let file = Arc::new(Mutex::new(text.clone()));
        let door = Disk { memory: disk.clone(), opens: Mutex::new(opens), file: file.clone() };
        let mut files = |_: &Path| Ok(text.clone());
        let machine = Machine { cores: 2, memory_bytes: 1 << 30 };
        let Ok(Invocation::Serve(loaded)) = Invocation::parse(["bulkhead.conf"], &machine, &mut files) else {
            panic!("not a configuration: {text}")
        };
        let shutdown = Arc::new(ShutdownRequest::default());
        let real = real::env();
        let env = Env { storage: Arc::new(door), runtimes: Arc::new(FewThreads(real.runtimes.clone())), ..real };
        let config = Arc::new(LiveConfig::new(*loaded));
        let (holds, stop) = (config.clone(), shutdown.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(bulkhead::server::run(env, holds, stop)).expect("the server to run");
        });
        Server { port, http, disk, file, config, shutdown, thread: Some(thread), _release: release }
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

/// The value of a directive.
fn directive(client: &mut Client, name: &str) -> String {
    let reply = client.ask(&format!("CONFIG GET {name}"));
    reply.rsplit_once("2) ").unwrap_or_else(|| panic!("{reply}")).1.trim_matches('"').to_string()
}

/// A field of INFO.
fn field(client: &mut Client, section: &str, name: &str) -> u64 {
    let text = client.ask(&format!("INFO {section}"));
    let line = text.split("\\r\\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
}

/// What Prometheus itself thinks of `/metrics`, where its `promtool` is installed; `commands/watch/figures.rs` holds the same
/// rules everywhere.
#[test]
fn promtool_finds_nothing_wrong_with_metrics_and_alerts() {
    let program = std::env::var("PROMTOOL").unwrap_or_else(|_| "promtool".into());
    let server = Server::start("");
    assert!(
        server.client().ask("INCR k").starts_with("(integer)") && server.client().ask("HGET k f").contains("WRONGTYPE")
    );
    let (status, metrics) = server.get("/metrics");
    assert_eq!(status, 200);
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/prometheus/alerts.yml");
    for (args, input) in [(vec!["metrics"], &metrics[..]), (vec!["rules", rules], "")] {
        let mut command = Command::new(&program);
        command.arg("check").args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return eprintln!("not checked: {program}: {error} (it comes with the package `prometheus`)"),
        };
        // The pipe is closed when this statement ends.
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("promtool to read");
        let output = child.wait_with_output().expect("promtool to end");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.trim().is_empty(), "{said}");
    }
    server.stop();
}

/// Monitoring that knows Redis finds all that it looks for: every field of redis-server's INFO, in the same section, and
/// where a value has parts, the same parts.
#[test]
fn info_has_every_field_of_redis() {
    /// What is not here, and why.
    const ABSENT: [(&str, &str); 1] = [("gcc_version", "no C compiler made this server")];
    let (ours, redis) = (Server::start(""), support::Server::start_redis(&[]));
    let [ours, theirs] = [ours.client(), redis.client()].map(|mut client| {
        assert_eq!(client.ask("SET k text EX 1000"), "OK");
        assert!(client.ask("INCR k").starts_with("(error) ERR "));
        fields(&client.ask("INFO everything"))
    });
    // Which commands support sends to find out whether a server is up says nothing about the server.
    let is_compared =
        |name: &str| !["cmdstat_", "latency_"].iter().any(|kind| name.starts_with(kind)) || name.ends_with("_set");
    let missing: Vec<_> = theirs
        .iter()
        .filter(|((_, name), _)| is_compared(name) && ABSENT.iter().all(|(absent, _)| name != absent))
        .filter(|(place, parts)| ours.get(*place) != Some(*parts))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(theirs.len() > 150, "{}", theirs.len());
}

/// The parts of each value (`calls` and `usec` of `calls=1,usec=2`) of an INFO, by section and name.
fn fields(info: &str) -> BTreeMap<(String, String), Vec<String>> {
    let mut section = String::new();
    let mut fields = BTreeMap::new();
    for line in info.trim_matches('"').split("\\r\\n") {
        if let Some(title) = line.strip_prefix("# ") {
            section = title.into();
        } else if let Some((name, value)) = line.split_once(':') {
            let parts = value.split(',').filter_map(|part| Some(part.split_once('=')?.0.to_string()));
            fields.insert((section.clone(), name.into()), parts.collect());
        }
    }
    fields
}

/// R5.1, R5.2: the figures are those of what really happened, and agree with each other.
#[test]
fn figures_count_a_known_load_exactly_and_add_up() {
    // With the cache of records some reads would not cross the channel.
    let server = Server::start("record-cache-size 0");
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
        // The INCR that failed and the PING too, which ran on the network side.
        ("bulkhead_stage_duration_seconds_count{stage=\"execute\"}", 102.0),
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

/// The same of a pipeline that the network side answers as far as it can.
#[test]
fn reads_from_memory_are_counted_exactly_and_come_in_order() {
    let server = Server::start("");
    let mut client = server.client();
    for number in 0..10 {
        assert_eq!(client.ask(&format!("SET key:{number} {number}")), "OK");
    }
    let reads = (0..10).map(|number| (format!("GET key:{number}"), format!("\"{number}\"")));
    let rest = [
        ("PING", "PONG"),
        ("GET key:3 more", "(error) ERR wrong number of arguments for 'get' command"),
        ("GET key:4", "\"4\""),
        // From here on the writer has it, so that nothing is read before it is written.
        ("SET key:0 new", "OK"),
        ("GET key:0", "\"new\""),
        ("GET nosuchkey", "(nil)"),
        ("PING", "PONG"),
    ];
    let pipeline: Vec<(String, String)> =
        reads.chain(rest.map(|(line, reply)| (line.to_string(), reply.to_string()))).collect();
    let lines: String = pipeline.iter().map(|(line, _)| format!("{line}\r\n")).collect();
    client.send_raw(lines.as_bytes());
    for (line, reply) in &pipeline {
        assert_eq!(client.read().to_string(), *reply, "{line}");
    }
    for (series, expected) in [
        ("redis_commands_total{cmd=\"get\"}", 13.0),
        ("redis_commands_rejected_calls_total{cmd=\"get\"}", 1.0),
        ("redis_commands_total{cmd=\"set\"}", 11.0),
        ("redis_commands_total{cmd=\"ping\"}", 2.0),
        ("redis_commands_processed_total", 27.0),
        ("bulkhead_command_duration_seconds_count{cmd=\"get\"}", 13.0),
        ("bulkhead_stage_duration_seconds_count{stage=\"execute\"}", 26.0),
        ("bulkhead_stage_duration_seconds_count{stage=\"decode\"}", 11.0),
        ("bulkhead_reads_from_memory_total", 11.0),
        ("bulkhead_requests_sent_total", 11.0),
        ("bulkhead_requests_ended_total{how=\"answered\"}", 11.0),
        ("bulkhead_request_operations_sum", 14.0),
        ("redis_keyspace_hits_total", 12.0),
        ("redis_keyspace_misses_total", 1.0),
    ] {
        assert_eq!(server.figure(series), expected, "{series}");
    }
    // CONFIG RESETSTAT is the one command since.
    assert_eq!(client.ask("CONFIG RESETSTAT"), "OK");
    assert_eq!(server.figure("bulkhead_stage_duration_seconds_count{stage=\"execute\"}"), 1.0);
    assert_eq!(server.figure("bulkhead_stage_duration_seconds_count{stage=\"queue\"}"), 0.0);
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
    assert_eq!(server.figure("bulkhead_requests_late_total"), in_doubt);
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

/// R5.4: what needs more than taking note of it is done, or refused together with all else of the same command.
#[test]
fn a_change_of_address_is_made_whole_or_not_at_all_and_no_client_notices() {
    let mut server = Server::start("");
    let mut client = server.client();
    assert_eq!(client.ask("SET k v"), "OK");
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let taken_port = taken.local_addr().expect("its address").port();
    let refused = client.ask(&format!("CONFIG SET timeout 77 port {taken_port}"));
    let reason = "(error) ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port: 127.0.0.1:";
    assert!(refused.starts_with(reason), "{refused}");
    assert_eq!(directive(&mut client, "timeout"), "0");
    assert_eq!(directive(&mut client, "port"), server.port.to_string());
    assert_eq!(server.client().ask("GET k"), "\"v\"");

    let port = free_port();
    assert_eq!(client.ask(&format!("CONFIG SET port {port} timeout 77")), "OK");
    assert_eq!(Client::connect(port).ask("GET k"), "\"v\"");
    assert!(Client::try_connect(server.port).is_err(), "the old port is closed");
    assert_eq!(client.ask("GET k"), "\"v\"", "who was connected stays");
    assert_eq!(directive(&mut client, "timeout"), "77");

    let http = free_port();
    assert_eq!(client.ask(&format!("CONFIG SET health-port {http}")), "OK");
    assert_eq!(server.get("/livez").0, 0, "nobody answers there any more");
    server.http = http;
    assert_eq!(server.get("/livez").0, 200);
    assert_eq!(client.ask("CONFIG SET health-port 0"), "OK");
    assert_eq!(server.get("/livez").0, 0);
    assert_eq!(client.ask("CONFIG SET tcp-keepalive 60 bind 127.0.0.1"), "OK");
    server.stop();
}

/// R5.4: the storage side is rebuilt while the network side serves.
#[test]
fn the_readers_are_resized_under_load_and_no_reply_is_lost() {
    let server = Server::start("storage-threads 3");
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (mut client, done) = (server.client(), done.clone());
            std::thread::spawn(move || {
                let mut count = 0u64;
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    assert!(client.ask("INCR counter").starts_with("(integer)"));
                    assert!(client.ask("GET counter").starts_with('"'));
                    count += 1;
                }
                count
            })
        })
        .collect();
    let mut operator = server.client();
    for threads in [5, 1, 4] {
        assert_eq!(operator.ask(&format!("CONFIG SET storage-threads {threads}")), "OK");
        // The writer, the one that syncs and the one that watches come on top.
        eventually("as many threads as asked for", || {
            field(&mut operator, "runtimes", "engine_threads_alive") >= threads + 3
        });
        assert_eq!(field(&mut operator, "runtimes", "storage_reader_threads"), threads);
    }
    assert_eq!(field(&mut operator, "runtimes", "storage_starts"), 4);
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    let count: u64 = workers.into_iter().map(|worker| worker.join().expect("a client was refused")).sum();
    assert_eq!(operator.ask("GET counter"), format!("\"{count}\""));
    server.stop();
}

/// R5.4: so is the network side, together with whatever else the same command asks for, or not at all. Under load:
/// `tests/runtime.rs`.
#[test]
fn a_network_runtime_that_cannot_be_built_changes_nothing() {
    let mut server = Server::start("network-threads 2");
    let mut client = server.client();
    let more = FewThreads::MOST + 1;
    let (port, http) = (free_port(), free_port());
    let refused = client.ask(&format!("CONFIG SET timeout 77 network-threads {more} port {port}"));
    let reason =
        "(error) ERR CONFIG SET failed (possibly related to argument 'network-threads') - the runtime could not";
    assert!(refused.starts_with(reason), "{refused}");
    assert_eq!(
        (directive(&mut client, "timeout"), directive(&mut client, "network-threads")),
        ("0".into(), "2".into())
    );
    assert!(Client::try_connect(port).is_err(), "nothing listens there");
    // The other way round: a port that is taken, and threads that could be had.
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let taken_port = taken.local_addr().expect("its address").port();
    let refused = client.ask(&format!("CONFIG SET network-threads 3 port {taken_port}"));
    assert!(refused.contains("'port'"), "{refused}");
    eventually("what was built for it is gone", || field(&mut client, "runtimes", "network_runtimes") == 1);
    assert_eq!(field(&mut client, "runtimes", "network_threads"), 2);

    assert_eq!(client.ask(&format!("CONFIG SET network-threads 3 port {port} health-port {http}")), "OK");
    server.http = http;
    assert_eq!((Client::connect(port).ask("PING"), server.get("/livez").0), ("PONG".into(), 200));
    assert!(Client::try_connect(server.port).is_err(), "the old port is closed");
    assert_eq!(field(&mut client, "runtimes", "network_threads"), 3);
    server.stop();

    let single = Server::start("runtime-mode single");
    let refused = single.client().ask("CONFIG SET network-threads 3");
    assert!(refused.ends_with("with runtime-mode single it takes effect at a start only"), "{refused}");
    single.stop();
}

#[test]
fn the_channel_grows_and_shrinks_while_it_is_used() {
    let server = Server::start("channel-max-bytes 8mb");
    let mut client = server.client();
    for (limit, bytes) in [("32mb", 32u64 << 20), ("2mb", 2 << 20), ("16mb", 16 << 20)] {
        assert_eq!(client.ask(&format!("CONFIG SET channel-max-bytes {limit}")), "OK");
        assert_eq!(field(&mut client, "channel", "channel_bytes_max"), bytes);
        assert_eq!(client.ask("SET k v"), "OK");
        eventually("nothing is in the channel", || field(&mut client, "channel", "channel_bytes") == 0);
    }
    server.stop();
}

/// SIGHUP: what the file says holds; what can change at a start only is named and left.
#[test]
fn the_file_is_read_again_on_request() {
    let server = Server::start("slowlog-max-len 7");
    let mut client = server.client();
    assert_eq!(client.ask("CONFIG SET timeout 9"), "OK");
    let port = free_port();
    let text = server.file.lock().replace(&format!("\nport {}", server.port), &format!("\nport {port}"));
    *server.file.lock() = text.replace("slowlog-max-len 7", "slowlog-max-len 8\ndatabases 3\nnetwork-threads 9");
    server.config.request_reload();
    eventually("it listens where the file says", || Client::try_connect(port).is_ok());
    eventually("the rest holds too", || directive(&mut client, "slowlog-max-len") == "8");
    assert_eq!(directive(&mut client, "timeout"), "0", "what was set by hand is gone");
    assert_eq!(
        (directive(&mut client, "databases"), directive(&mut client, "network-threads")),
        ("16".into(), "9".into())
    );
    assert_eq!(field(&mut client, "runtimes", "network_threads"), 9);

    *server.file.lock() = "slowlog-max-len 8\nno-such-directive 1\n".into();
    server.config.request_reload();
    // Comes after it, and so after what it did not do.
    assert_eq!(client.ask("CONFIG SET tcp-keepalive 61"), "OK");
    assert_eq!(
        (directive(&mut client, "slowlog-max-len"), directive(&mut client, "port")),
        ("8".into(), port.to_string())
    );
    *server.file.lock() = text.replace("slowlog-max-len 7", "slowlog-max-len 9");
    server.config.request_reload();
    eventually("a bad file changes nothing, a good one does", || directive(&mut client, "slowlog-max-len") == "9");

    // CONFIG REWRITE keeps the rest of the file.
    *server.file.lock() = format!("# mine\n{}", server.file.lock());
    assert_eq!(client.ask("CONFIG SET slowlog-max-len 11"), "OK");
    assert_eq!(client.ask("CONFIG REWRITE"), "OK");
    let file = server.file.lock().clone();
    assert!(file.starts_with("# mine\nbind 127.0.0.1\n") && file.contains("\nslowlog-max-len 11\n"), "{file}");
    server.stop();
}

/// R2.3: background work is seen and steered.
#[test]
fn background_work_is_run_paused_and_resumed_on_request() {
    let server = Server::start("");
    let mut client = server.client();
    assert_eq!(client.ask("SET k v PX 1"), "OK");
    assert_eq!(client.ask("SAVE"), "OK");
    assert_eq!(field(&mut client, "persistence", "rdb_saves"), 1);
    assert_eq!(client.ask("BGSAVE SCHEDULE"), "Background saving started");
    eventually("the second flush", || field(&mut client, "persistence", "rdb_saves") == 2);
    for task in ["compact", "flush", "statistics", "reclaim", "expire", "sync"] {
        assert_eq!(client.ask(&format!("BGTASK RUN {task} WAIT")), "OK", "{task}");
    }
    assert_eq!(client.ask("BGTASK PAUSE expire"), "OK");
    let before = field(&mut client, "stats", "expired_keys");
    assert_eq!(client.ask("SET k v PX 1"), "OK");
    // Nobody looks at the key, and nobody removes it; asked once, it is done once.
    assert_eq!(client.ask("BGTASK RUN statistics WAIT"), "OK");
    assert_eq!(client.ask("DBSIZE"), "(integer) 1");
    eventually("its time has come", || {
        assert_eq!(client.ask("BGTASK RUN expire WAIT"), "OK");
        field(&mut client, "stats", "expired_keys") == before + 1
    });
    assert_eq!(client.ask("BGTASK RESUME expire"), "OK");
    server.disk.set_fault(Some(DiskFault::NoSpace));
    assert_eq!(client.ask("SAVE"), "(error) ERR");
    assert!(client.ask("BGTASK RUN flush WAIT").starts_with("(error) ERR The background task failed: no space left"));
    assert!(client.ask("INFO persistence").contains("rdb_last_bgsave_status:err"));
    server.stop();
}
