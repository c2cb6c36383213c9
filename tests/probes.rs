//! The probes over HTTP, asked by curl, in each state that a server can be in, with the state brought about by a failpoint in
//! the real binary. R5.5.
//!
//! What holds in all of them: `/livez` answers 200, for no trouble of storage's is mended by killing the process.

mod support;

use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use support::{Client, eventually, free_port};

/// A server that is not waited for: it may be long in starting.
struct Probed {
    child: Child,
    port: u16,
    http: u16,
    _dir: tempfile::TempDir,
}

/// What curl brings: the status code, 0 if nobody answers, and the body.
type Answer = (u16, String);

impl Probed {
    /// With failpoints armed from the start, if any: `name=action`.
    fn begin(flags: &[&str], armed: &str) -> Probed {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (port, http) = (free_port(), free_port());
        let mut command = Command::new(env!("CARGO_BIN_EXE_bulkhead-server"));
        command.args(["--port", &port.to_string(), "--health-port", &http.to_string(), "--bind", "127.0.0.1"]);
        command.arg("--dir").arg(dir.path()).args(flags).env("FAILPOINTS", armed);
        let child = command.stdin(Stdio::null()).stdout(log(dir.path())).spawn().expect("the server to start");
        Probed { child, port, http, _dir: dir }
    }

    fn start(flags: &[&str]) -> Probed {
        let server = Probed::begin(flags, "");
        eventually("it is ready", || server.get("/readyz") == (200, "ok\n".into()));
        server
    }

    fn client(&self) -> Client {
        Client::connect(self.port)
    }

    fn arm(&self, name: &str, action: &str) {
        assert_eq!(self.client().call(&["DEBUG", "FAILPOINT", name, action]).to_string(), "OK", "{name} {action}");
    }

    #[track_caller]
    fn get(&self, path: &str) -> Answer {
        let url = format!("http://127.0.0.1:{}{path}", self.http);
        let output = Command::new("curl")
            .args(["--silent", "--max-time", "20", "--write-out", "\n%{http_code}", &url])
            .output()
            .expect("curl, which `make deps` installs");
        let text = String::from_utf8(output.stdout).expect("text");
        let (body, status) = text.rsplit_once('\n').expect("a status");
        (status.parse().expect("a number"), body.to_string())
    }

    /// Waits until `/readyz` says no, with all of these reasons; meanwhile the process is alive, and `/healthz` and
    /// `/metrics` say the same.
    #[track_caller]
    fn becomes_unready(&self, reasons: &[&str]) {
        eventually(&format!("not ready: {reasons:?}"), || {
            let (status, text) = self.get("/readyz");
            status == 503 && reasons.iter().all(|reason| text.contains(reason))
        });
        assert_eq!(self.get("/livez"), (200, "ok\n".into()));
        let (status, json) = self.get("/healthz");
        assert!(status == 503 && json.contains(r#""ready":false"#), "{json}");
        assert!(self.get("/metrics").1.contains("\nbulkhead_ready 0\n"));
    }

    #[track_caller]
    fn becomes_ready(&self) {
        eventually("it is ready again", || self.get("/readyz") == (200, "ok\n".into()));
        let (status, json) = self.get("/healthz");
        assert!(status == 200 && json.contains(r#""ready":true"#), "{json}");
    }

    /// Waits until a check is as said, while the server stays ready.
    #[track_caller]
    fn is_degraded(&self, check: &str, reason: &str) {
        let wanted = format!(r#""check":"{check}","status":"degraded","reason":"{reason}"#);
        eventually(&wanted, || self.get("/healthz").1.contains(&wanted));
        assert_eq!((self.get("/readyz").0, self.get("/livez").0), (200, 200));
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().expect("kill to run");
        assert!(sent.success());
    }
}

impl Drop for Probed {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Its log goes with its data.
fn log(dir: &Path) -> Stdio {
    let file: io::Result<std::fs::File> = std::fs::File::create(dir.join("log"));
    file.expect("a log file").into()
}

#[test]
fn while_storage_opens_it_lives_and_is_not_ready() {
    let server = Probed::begin(&[], "engine.open=1*sleep(3000)");
    eventually("somebody answers", || server.get("/livez").0 == 200);
    server.becomes_unready(&["not ready: starting", "storage-open: storage is not open"]);
    assert!(Client::try_connect(server.port).is_err(), "clients are not accepted yet");
    server.becomes_ready();
    server.client().check(&[("SET k v", "OK")]);
}

#[test]
fn a_commit_that_hangs_is_failing_and_a_write_stop_degraded() {
    let server = Probed::start(&["--health-stall-threshold", "200", "--breaker-failures", "0"]);
    let (mut writer, mut reader) = (server.client(), server.client());
    writer.check(&[("SET k v", "OK")]);
    server.arm("writer.before-commit", "1*return(stall:3000)");
    writer.send(&["SET", "k", "w"]);
    server.becomes_unready(&["storage-writer: the writer has been at one group for "]);
    reader.check(&[("GET k", "\"v\"")]);
    assert_eq!(writer.read().to_string(), "OK");
    server.becomes_ready();

    server.arm("engine.write", "return(write-stall)");
    writer.send(&["SET", "k", "x"]);
    server.is_degraded("write-stall", "");
    reader.check(&[("GET k", "\"w\"")]);
    server.arm("engine.write", "off");
    assert_eq!(writer.read().to_string(), "OK");
    server.becomes_ready();
}

#[test]
fn a_storage_side_that_starts_anew_is_not_ready_until_it_has() {
    let server = Probed::start(&[]);
    let mut writer = server.client();
    // The old one has to finish what it is at.
    server.arm("writer.before-commit", "1*return(stall:3000)");
    writer.send(&["SET", "k", "v"]);
    let mut operator = server.client();
    eventually("it is at it", || operator.ask("INFO channel").contains("requests_in_flight:1"));
    operator.check(&[("DEBUG RESTART-STORAGE", "OK")]);
    server.becomes_unready(&["not ready: restarting-storage"]);
    assert_eq!(writer.read().to_string(), "OK");
    server.becomes_ready();

    // An engine that failed for good is closed, and opened anew.
    server.arm("engine.open", "1*sleep(3000)");
    server.arm("engine.write", "1*return(io)");
    assert!(writer.ask("SET k w").starts_with("(error) IOERR "));
    server.becomes_unready(&["not ready: restarting-storage", "storage-open: storage is not open"]);
    server.becomes_ready();
    writer.check(&[("SET k x", "OK")]);
}

/// R6.4: the channel is full of writes. The health port answers all the same, and says so.
#[test]
fn a_full_channel_is_failing_and_the_health_port_answers_at_once() {
    let flags =
        ["--channel-capacity", "16", "--batch-size", "16", "--request-timeout", "60000", "--breaker-failures", "0"];
    let server = Probed::start(&flags);
    let mut writers: Vec<Client> = (0..64).map(|_| server.client()).collect();
    writers[0].check(&[("SET k v", "OK")]);
    server.arm("engine.write", "return(write-stall)");
    for (index, writer) in writers.iter_mut().enumerate() {
        writer.send(&["INCR", &format!("n:{index}")]);
    }
    server.becomes_unready(&["channel-queue: 100 % full, "]);
    assert!(server.get("/metrics").1.contains("\nbulkhead_channel_waiting_clients "), "and the figures are there");
    assert_eq!((server.get("/status.json").0, server.get("/").0), (200, 200));
    server.client().check(&[("PING", "PONG"), ("GET k", "\"v\"")]);
    server.arm("engine.write", "off");
    for writer in &mut writers {
        assert_eq!(writer.read().to_string(), "(integer) 1");
    }
    server.becomes_ready();
    assert!(server.get("/healthz").1.contains(r#""check":"channel-queue","status":"ok""#));
}

#[test]
fn a_full_disk_degrades_for_reads_go_on() {
    let server = Probed::start(&["--breaker-failures", "0"]);
    let mut client = server.client();
    client.check(&[("SET k v", "OK")]);
    server.arm("engine.write", "return(no-space)");
    assert!(client.ask("SET k w").starts_with("(error) NOSPACE "));
    server.is_degraded("storage-mode", "writes are refused: no space");
    client.check(&[("GET k", "\"v\"")]);
    server.arm("engine.write", "off");
    eventually("writes are taken again", || client.ask("SET k w") == "OK");
    server.becomes_ready();
}

#[test]
fn an_open_breaker_is_told_of_and_so_is_its_closing() {
    let server = Probed::start(&["--breaker-failures", "2"]);
    let mut client = server.client();
    server.arm("engine.write", "return(no-space)");
    (0..4).for_each(|_| assert!(client.ask("SET k v").starts_with("(error) NOSPACE ")));
    server.is_degraded("breaker", "");
    let noted = r#""check":"breaker","from":"#;
    eventually("the history has it", || server.get("/status.json").1.contains(noted));
    server.arm("engine.write", "off");
    eventually("the breaker closes", || client.ask("SET k v") == "OK");
    let closed = r#""check":"breaker","status":"ok""#;
    eventually("it is told of", || server.get("/healthz").1.contains(closed));
}

/// What may be lost does not come back: only a new start makes such a server ready.
#[test]
fn a_failed_fsync_is_failing_for_good() {
    let server = Probed::start(&["--appendfsync", "always"]);
    let mut client = server.client();
    client.check(&[("SET k v", "OK")]);
    server.arm("engine.write", "1*return(sync)");
    assert!(client.ask("SET k w").starts_with("(error) INDOUBT "));
    server.becomes_unready(&["storage-mode: fsync failed"]);
}

#[test]
fn a_server_that_drains_lives_and_is_not_ready() {
    let mut server = Probed::start(&[]);
    let mut client = server.client();
    // Holds its connection, and with it the drain.
    client.send(&["DEBUG", "SLEEP", "2"]);
    eventually("it sleeps", || server.client().ask("CLIENT LIST").contains("cmd=debug"));
    server.signal("TERM");
    server.becomes_unready(&["not ready: draining"]);
    eventually("nobody new is accepted", || Client::try_connect(server.port).is_err());
    assert_eq!(client.read().to_string(), "OK");
    assert!(server.child.wait().expect("its end").success());
    assert_eq!(server.get("/livez").0, 0);
}
