//! The two runtimes of the real server: their threads, and what a restart of the storage side means to clients.
//!
//! Like all black-box tests it must never look inside the process otherwise than an operator could.

mod support;

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use support::{Client, PATIENCE, Server, eventually, free_port, wait_until};

/// R1.5, R2.5
#[test]
fn threads_are_named_after_their_runtime_and_sized_by_configuration() {
    let server = Server::start(&["--network-threads", "2", "--storage-threads", "3"]);
    let wanted = ["net-0", "net-1", "sto-reader-0", "sto-reader-1", "sto-reader-2", "sto-sync", "sto-writer"];
    eventually("all threads run", || {
        let names = thread_names(server.pid());
        wanted.iter().all(|name| names.iter().any(|found| found == name))
    });
    assert!(!thread_names(server.pid()).iter().any(|name| name == "net-2" || name == "sto-reader-3"));
    server.stop();
}

/// What the init system and whoever keeps the logs see.
#[test]
fn a_hangup_reads_the_configuration_again_and_the_log_can_be_json() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let server = Server::start_in(
        dir.path(),
        &["--pidfile", "server.pid", "--log-format", "json", "--metrics-log-interval", "1"],
    );
    let pid = std::fs::read_to_string(dir.path().join("server.pid")).expect("the pidfile");
    assert_eq!(pid.trim(), server.pid().to_string());
    let mut client = server.client();
    assert_eq!(client.ask("CONFIG SET timeout 9 loglevel debug"), "OK");
    server.signal("HUP");
    eventually("what was set by hand is gone", || client.ask("CONFIG GET timeout").ends_with("\"0\""));
    let is_json =
        |line: &str| line.starts_with("{\"time\":\"20") && line.ends_with('}') && line.contains("\"message\":\"");
    eventually("the log tells of it", || server.log().contains("the configuration was read again"));
    eventually("and of the main figures", || {
        server.log().contains("\"message\":\"figures\",\"process_resident_bytes\":")
    });
    let log = server.log();
    let plain: Vec<&str> = log.lines().filter(|line| !is_json(line)).collect();
    assert!(plain.is_empty(), "{plain:?}");
    server.stop();
    assert!(!dir.path().join("server.pid").exists());
}

/// R6.5: what one request is called in the log of the network side is what storage calls it.
#[test]
fn a_request_has_one_name_in_the_logs_of_both_runtimes() {
    let server = Server::start(&["--record-cache-size", "0"]);
    let mut client = server.client();
    assert_eq!(client.ask("CONFIG SET loglevel debug"), "OK");
    client.check(&[("SET k v", "OK"), ("GET k", "\"v\"")]);
    // The id, of the latest line that says so.
    let named = |said: &str| {
        let log = server.log();
        let line = log.lines().rev().find_map(|line| line.split_once(&format!(" . {said} request=")))?.1.to_string();
        Some(line.split(' ').next().unwrap_or_default().to_string())
    };
    for said in ["request started by the writer", "request started by a reader"] {
        eventually(said, || named(said).is_some());
        let id = named(said).unwrap_or_default();
        assert!(id.len() == 36 && server.log().contains(&format!(" . request sent request={id} client=")), "{id}");
    }
    assert_eq!(client.ask("CONFIG SET loglevel notice"), "OK");
    client.check(&[("SET k unheard", "OK"), ("DEBUG RESTART-STORAGE", "OK")]);
    eventually("the restart is in the log", || server.log().contains("storage restarted"));
    let log = server.log();
    let quiet = log.rsplit_once("directive=loglevel").expect("the change is in the log").1;
    assert!(!quiet.contains("request sent"), "{quiet}");
    server.stop();
}

/// What systemd waits for before it starts what depends on the server, and before it asks why a stop takes long.
#[test]
fn the_init_system_is_told_of_readiness_and_of_the_stop() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let told = || {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).expect("the init system is told something");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let port = free_port();
    let mut server = Command::new(env!("CARGO_BIN_EXE_bulkhead-server"))
        .args(["--port", &port.to_string(), "--supervised", "systemd", "--dir"])
        .arg(dir.path())
        .env("NOTIFY_SOCKET", &path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the server starts");
    assert!(told().starts_with("READY=1\n"));
    // Not a moment too early.
    assert_eq!(Client::connect(port).ask("SET k v"), "OK");
    let killed = Command::new("kill").args(["-s", "TERM", &server.id().to_string()]).status().expect("kill to run");
    assert!(killed.success());
    assert_eq!(told(), "STOPPING=1");
    assert!(server.wait().expect("its end").success());
}

fn thread_names(pid: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives");
    // A thread that ended meanwhile has no name any more.
    let name = |task: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(task.ok()?.path().join("comm")).ok();
    tasks.filter_map(name).map(|name| name.trim().to_string()).collect()
}

/// R6.4, as far as an orderly restart goes: nothing acknowledged is lost, nothing is applied twice, nobody is cut off.
#[test]
fn storage_restarts_under_load_and_no_client_notices() {
    let server = Server::start(&[]);
    let done = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (mut client, done) = (server.client(), done.clone());
            std::thread::spawn(move || {
                let mut acknowledged = 0u64;
                while !done.load(Ordering::Relaxed) {
                    let reply = client.ask("INCR counter");
                    assert!(reply.starts_with("(integer)"), "{reply}");
                    acknowledged += 1;
                }
                acknowledged
            })
        })
        .collect();
    let mut operator = server.client();
    for round in 1..=5 {
        assert_eq!(operator.ask("DEBUG RESTART-STORAGE"), "OK");
        eventually("storage restarted", || server.log().matches("storage restarted").count() == round);
        // A restart that happened before any write would prove nothing.
        let before = operator.ask("GET counter");
        eventually("writes go on after it", || operator.ask("GET counter") != before);
    }
    done.store(true, Ordering::Relaxed);
    let acknowledged: u64 = writers.into_iter().map(|writer| writer.join().expect("a writer was refused")).sum();
    assert_eq!(operator.ask("GET counter"), format!("\"{acknowledged}\""));
    server.stop();
}

/// A thread that calls `work` until it is told to stop, and gives back how often that was.
fn busy(done: &Arc<AtomicBool>, mut work: impl FnMut(u64) + Send + 'static) -> JoinHandle<u64> {
    let done = done.clone();
    std::thread::spawn(move || {
        let mut rounds = 0;
        while !done.load(Ordering::Relaxed) {
            work(rounds);
            rounds += 1;
        }
        rounds
    })
}

/// redis-benchmark, over and over. It ends at the first error that it is told, and waits for every reply: for ever, so it does
/// not outlive this value.
struct Benchmark {
    port: u16,
    process: Option<Child>,
}

impl Drop for Benchmark {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Benchmark {
    fn start(port: u16) -> Benchmark {
        let process = Command::new("redis-benchmark")
            .args(["-p", &port.to_string(), "-t", "set,get,incr,lpush", "-n", "4000", "-P", "4", "-c", "20", "-q"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("redis-benchmark, which `make deps` installs");
        Benchmark { port, process: Some(process) }
    }

    /// It goes on being answered.
    fn assert_served(&mut self, operator: &mut Client) {
        let mut calls = || {
            let text = operator.ask("INFO commandstats");
            let of = |name: &str| text.split_once(&format!("cmdstat_{name}:calls="))?.1.split(',').next()?.parse().ok();
            ["set", "lpush"].map(|name| of(name).unwrap_or(0u64)).iter().sum::<u64>()
        };
        let before = calls();
        eventually("redis-benchmark gets replies", || {
            if self.process.as_mut().is_some_and(|process| process.try_wait().expect("a child of ours").is_some()) {
                let next = Benchmark::start(self.port);
                std::mem::replace(self, next).end();
            }
            calls() > before + 1000
        });
    }

    /// Waits until it has all its replies.
    fn end(mut self) {
        let process = self.process.take().expect("it runs");
        let output = process.wait_with_output().expect("redis-benchmark ends");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && !said.contains("rror"), "{said}");
        assert_eq!(said.matches("requests per second").count(), 4, "{said}");
    }
}

fn info(client: &mut Client, name: &str) -> u64 {
    let text = client.ask("INFO runtimes");
    let value = text.split("\\r\\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
}

/// R5.4: the network runtime is rebuilt while clients are connected, whatever they are at, and none of them notices.
#[test]
fn the_network_runtime_is_resized_under_load_and_no_reply_is_lost() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let socket = dir.path().join("b.sock");
    let path = socket.display().to_string();
    let server = Server::start_in(dir.path(), &["--network-threads", "2", "--unixsocket", &path]);
    let port = server.port;
    let mut operator = Client::connect_unix(&socket);
    let done = Arc::new(AtomicBool::new(false));

    // Clients that are in the middle of something, and stay so over all changes.
    let mut blocked = server.client();
    blocked.send(&["BLPOP", "later", "0"]);
    let mut transaction = server.client();
    assert_eq!(transaction.ask("WATCH w"), "OK");
    assert_eq!(transaction.ask("MULTI"), "OK");
    assert_eq!(transaction.ask("INCR w"), "QUEUED");
    let mut half = server.client();
    half.send_raw(b"*2\r\n$4\r\nECHO\r\n$5\r\nhe");
    let mut subscriber = server.client();
    assert!(subscriber.ask("SUBSCRIBE news").contains("\"news\""));
    let mut idle = Client::connect_unix(&socket);
    assert_eq!(idle.ask("PING"), "PONG");
    let mut unread = server.client();
    assert_eq!(unread.call(&[b"SET".to_vec(), b"big".to_vec(), vec![b'x'; 1 << 20]]).to_string(), "OK");
    // More than sockets and buffers hold: it is written in pieces, and nobody reads.
    (0..12).for_each(|_| unread.send(&["GET", "big"]));

    // And such that are busy.
    let workers: Vec<JoinHandle<u64>> = (0..3)
        .map(|_| {
            let mut client = server.client();
            busy(&done, move |_| assert!(client.ask("INCR counter").starts_with("(integer)")))
        })
        .collect();
    let (mut pipelined, mut publisher) = (server.client(), server.client());
    let others = [
        busy(&done, move |round| {
            let pipeline: Vec<u8> =
                (0..50).flat_map(|n| format!("ECHO {round}-{n}\r\nGET counter\r\n").into_bytes()).collect();
            pipelined.send_raw(&pipeline);
            for n in 0..50 {
                assert_eq!(pipelined.read().to_string(), format!("\"{round}-{n}\""));
                pipelined.read();
            }
        }),
        busy(&done, move |round| assert_eq!(publisher.ask(&format!("PUBLISH news {round}")), "(integer) 1")),
        // Whoever comes is served: no listener is ever away.
        busy(&done, move |_| {
            assert_eq!(Client::connect(port).ask("PING"), "PONG");
            // Each takes a port of the machine for a minute.
            wait_until(Instant::now() + Duration::from_millis(5));
        }),
    ];
    let listening = std::thread::spawn(move || {
        let mut next = 0;
        loop {
            let message = subscriber.read().to_string();
            let number = message.rsplit_once("3) ").expect("a message").1.trim_matches('"').to_string();
            if number == "end" {
                return next;
            }
            assert_eq!(number, next.to_string(), "messages come in order, each once");
            next += 1;
        }
    });
    let mut benchmark = Benchmark::start(port);

    for threads in [1, 4, 2, 3] {
        let mut timed = server.client();
        timed.send(&["BLPOP", "never", "0.3"]);
        assert_eq!(operator.ask(&format!("CONFIG SET network-threads {threads}")), "OK");
        assert_eq!(info(&mut operator, "network_threads"), threads);
        eventually("the old runtime is gone, threads and all", || {
            let names = thread_names(server.pid());
            let pool = names.iter().filter(|name| name.starts_with("net-")).count();
            info(&mut operator, "network_runtimes") == 1 && pool as u64 == threads
        });
        assert_eq!(timed.read().to_string(), "(nil)", "a timeout moves with its connection");
        benchmark.assert_served(&mut operator);
    }
    assert!(info(&mut operator, "connections_moved") >= 40, "ten clients at least, four times");
    // Who is in a command of the network side stays for its reply, and holds up nobody else.
    let mut asleep = server.client();
    asleep.send(&["DEBUG", "SLEEP", "2"]);
    eventually("it sleeps", || operator.ask("CLIENT LIST").contains("cmd=debug"));
    assert_eq!(operator.ask("CONFIG SET network-threads 2"), "OK");
    assert_eq!((info(&mut operator, "network_runtimes"), idle.ask("PING")), (2, "PONG".into()));
    assert_eq!(asleep.read().to_string(), "OK");
    eventually("it has followed", || info(&mut operator, "network_runtimes") == 1);

    benchmark.end();
    done.store(true, Ordering::Relaxed);
    let acknowledged: u64 = workers.into_iter().map(|worker| worker.join().expect("a writer was refused")).sum();
    assert_eq!(operator.ask("GET counter"), format!("\"{acknowledged}\""));
    let [_, published, _] = others.map(|other| other.join().expect("a client was cut off"));
    assert_eq!(operator.ask("PUBLISH news end"), "(integer) 1");
    assert_eq!(listening.join().expect("a subscriber was cut off"), published);
    assert_eq!(operator.ask("RPUSH later now"), "(integer) 1");
    assert_eq!(blocked.read().to_string(), "1) \"later\"\n2) \"now\"");
    assert_eq!(transaction.ask("EXEC"), "1) (integer) 1");
    half.send_raw(b"llo\r\n");
    assert_eq!(half.read().to_string(), "\"hello\"");
    (0..12).for_each(|_| assert_eq!(unread.read().to_string().len(), (1 << 20) + 2));
    assert_eq!(idle.ask("PING"), "PONG");
    server.stop();
    assert!(!socket.exists(), "the socket's file goes with the server");
}

/// R5.4: so are both pools, in turns, growing and shrinking, with redis-benchmark at work all the time.
#[test]
fn both_pools_grow_and_shrink_under_load_and_no_reply_is_lost() {
    let server = Server::start(&["--network-threads", "1", "--storage-threads", "2", "--record-cache-size", "0"]);
    let done = Arc::new(AtomicBool::new(false));
    // Each counts for itself, so that a reply that is lost, doubled or another's shows at once.
    let workers: Vec<JoinHandle<u64>> = (0..3)
        .map(|worker| {
            let mut client = server.client();
            busy(&done, move |round| {
                client
                    .send_raw(format!("INCR own:{worker}\r\nGET own:{worker}\r\nECHO {worker}-{round}\r\n").as_bytes());
                let replies: Vec<String> = (0..3).map(|_| client.read().to_string()).collect();
                let count = round + 1;
                let expected = [format!("(integer) {count}"), format!("\"{count}\""), format!("\"{worker}-{round}\"")];
                assert_eq!(replies, expected);
            })
        })
        .collect();
    let mut operator = server.client();
    let mut benchmark = Benchmark::start(server.port);
    for (network, storage) in [(3, 2), (3, 5), (1, 5), (1, 1), (2, 3)] {
        let change = format!("CONFIG SET network-threads {network} storage-threads {storage}");
        assert_eq!(operator.ask(&change), "OK");
        eventually("both pools have their size, and the old threads are gone", || {
            let names = thread_names(server.pid());
            let count = |pool: &str| names.iter().filter(|name| name.starts_with(pool)).count();
            info(&mut operator, "network_runtimes") == 1 && (count("net-"), count("sto-reader-")) == (network, storage)
        });
        benchmark.assert_served(&mut operator);
    }
    benchmark.end();
    done.store(true, Ordering::Relaxed);
    for (worker, rounds) in workers.into_iter().enumerate() {
        let rounds = rounds.join().expect("a client was refused or cut off");
        assert_eq!(operator.ask(&format!("GET own:{worker}")), format!("\"{rounds}\""));
    }
    server.stop();
}
