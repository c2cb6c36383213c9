//! The faults of a plan on the real server: what `cargo sim plan --as-failpoints` prints arms it, in its environment or by a
//! script, and what is armed fires there. Takes a server that was built with failpoints, so it is asked for by name:
//! `make sim-armed`.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use bulkhead_sim::plan::{Fault, Plan, armed};
use bulkhead_sim::scenario;

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// So many plans are tried on the real server, out of the first so many that arm it with something.
const PLANS: usize = 12;
const SEEDS_MAX: u64 = 1000;

/// Places that every command mix passes. The others need a restart, a cold read or a full second.
const ALWAYS_PASSED: &[&str] = &[
    "channel.send",
    "channel.drop",
    "writer.receive",
    "writer.before-commit",
    "writer.after-commit",
    "writer.reply",
    "reader.receive",
    "engine.get",
    "engine.write",
    "network.accept",
    "network.read",
    "network.connection",
];

/// A server that does not outlive this.
struct Server {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(failpoints: &str) -> Server {
        let program = std::env::var("BULKHEAD_SERVER").expect("BULKHEAD_SERVER names a server built with failpoints");
        let dir = tempfile::tempdir().expect("a temporary directory");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let mut command = Command::new(program);
        command.args(["--port", &free.port().to_string(), "--request-timeout", "500", "--dir"]).arg(dir.path());
        command.env("FAILPOINTS", failpoints).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("the server starts");
        let server = Server { child, port: free.port(), _dir: dir };
        server.ask("PING");
        server
    }

    /// One command's reply as bytes, from whichever connection gets through.
    fn ask(&self, line: &str) -> String {
        let began = Instant::now();
        loop {
            if let Ok(reply) = exchange(self.port, line) {
                return reply;
            }
            assert!(began.elapsed() < PATIENCE, "{line} was not answered");
            sleep(Duration::from_millis(10));
        }
    }

    /// How often what was armed has fired, by place.
    fn fired(&self) -> BTreeMap<String, u64> {
        let list = self.ask("DEBUG FAILPOINT LIST");
        let mut words = list.split("\r\n").filter(|word| !word.starts_with(['*', '$']));
        let mut fired = BTreeMap::new();
        while let (Some(name), Some(_), Some(count)) = (words.next(), words.next(), words.next()) {
            let count = count.strip_prefix(':').and_then(|count| count.parse().ok());
            fired.insert(name.to_string(), count.expect("a number"));
        }
        fired
    }

    /// Whether something that every command mix passes has not fired yet.
    fn has_not_fired(&self, plan: &Plan) -> bool {
        let fired = self.fired();
        places(plan).iter().any(|place| fired[*place] == 0)
    }

    /// Clients that use it while `work` is done.
    fn used_while(&self, work: impl FnOnce()) {
        // Set even if the work fails: the others are waited for.
        struct Over<'o>(&'o AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for client in 0..2 {
                let is_over = &is_over;
                scope.spawn(move || {
                    for round in 0.. {
                        if is_over.load(Ordering::Relaxed) {
                            return;
                        }
                        // Whatever becomes of it.
                        for line in [format!("SET k{client} {round}"), "MGET k0 k1".into(), "KEYS *".into()] {
                            let _ = exchange(self.port, &line);
                        }
                    }
                });
            }
            let _over = Over(&is_over);
            work();
        });
    }
}

/// Sends one line in a connection of its own and reads until the reply is complete, or nothing more comes.
fn exchange(port: u16, line: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{line}\r\nQUIT\r\n").as_bytes())?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    match reply.strip_suffix("+OK\r\n") {
        Some(reply) => Ok(reply.to_string()),
        None => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

/// The armings of a plan, and the places that must fire.
fn places(plan: &Plan) -> Vec<&'static str> {
    let faults = plan.faults.iter().filter_map(|(_, fault)| fault.place());
    let mut places: Vec<_> = faults.filter(|place| ALWAYS_PASSED.contains(place)).collect();
    places.sort_unstable();
    places.dedup();
    places
}

/// Plans of `boundaries` with nothing but failpoints that `is_wanted`, each of which must make something fire.
fn plans(is_wanted: impl Fn(&'static str, &Fault) -> bool) -> Vec<Plan> {
    let boundaries = scenario::find("boundaries").expect("there is such a scenario");
    let armed = (0..SEEDS_MAX).map(|seed| {
        let mut plan = boundaries.plan(seed);
        plan.faults.retain(|(_, fault)| fault.place().is_some_and(|place| is_wanted(place, fault)));
        plan
    });
    let plans: Vec<Plan> = armed.filter(|plan| !places(plan).is_empty()).take(PLANS).collect();
    assert_eq!(plans.len(), PLANS, "of {SEEDS_MAX} plans too few arm anything");
    plans
}

#[test]
fn what_a_plan_puts_into_the_environment_fires_in_the_real_server() {
    // Whoever cannot use its engine does not start: those places are for the script.
    for plan in plans(|place, _| !place.starts_with("engine.")) {
        let script = armed::script(&plan);
        let line = script.lines().next().and_then(|line| line.split_once("FAILPOINTS='")).expect("what to arm").1;
        let server = Server::start(line.trim_end_matches('\''));
        let began = Instant::now();
        server.used_while(|| {
            while server.has_not_fired(&plan) {
                assert!(began.elapsed() < PATIENCE, "{line}: {:?}", server.fired());
                sleep(Duration::from_millis(20));
            }
        });
    }
}

#[test]
fn the_script_of_a_plan_arms_the_real_server_in_time() {
    // Whoever arms it must get through; and what is disarmed again may not have been passed meanwhile.
    for plan in plans(|place, fault| fault.duration_ms() == 0 && !place.starts_with("network.")) {
        let server = Server::start("");
        let mut output = String::new();
        server.used_while(|| {
            let mut command = Command::new("sh");
            command.arg("-c").arg(armed::script(&plan)).env("CLI", format!("redis-cli -p {}", server.port));
            let done = command.output().expect("there is a shell");
            output = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
            let began = Instant::now();
            while began.elapsed() < PATIENCE && server.has_not_fired(&plan) {
                sleep(Duration::from_millis(20));
            }
        });
        assert!(output.lines().all(|line| line == "OK"), "{}: {output}", armed::script(&plan));
        assert!(!server.has_not_fired(&plan), "{:?}: {}", server.fired(), armed::script(&plan));
    }
}
