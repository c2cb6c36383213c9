//! The stall benchmark: what a server answers, and how fast, while its disk takes nothing (R1.1, R1.2, R1.4).
//!
//! Two kinds of stall: the disk hangs (`shim`), or RocksDB itself stops writes because compaction does not keep up.
//! Writers write throughout, by the ledger; probes on other connections ask at a fixed rate. Afterwards all that was
//! acknowledged must be there, once, before and after a kill −9; that, unlike any latency, is a condition.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bulkhead::env::Random;
use bulkhead::resp::Value;

use crate::audit::audit;
use crate::client::{Client, info, info_number};
use crate::ledger::Ledger;
use crate::plot::{Panel, draw};
use crate::probe::{Course, Keys, Latencies, Probe, watch};
use crate::process::{Recipe, Server};
use crate::shim::{Disk, Operations};
use crate::writer::{BUSY, Manner, Sent, Tally, Writer, enter};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Every write, sync and change of a file blocks; reads go on.
    HangingDisk,
    /// RocksDB stops writes until its compaction has caught up.
    WriteStop,
}

impl Kind {
    pub const ALL: [Kind; 2] = [Kind::HangingDisk, Kind::WriteStop];

    pub fn name(self) -> &'static str {
        match self {
            Kind::HangingDisk => "hang",
            Kind::WriteStop => "stop",
        }
    }
}

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Bulkhead,
    BulkheadOneRuntime,
    RedisEverySecond,
    RedisAlways,
}

impl Subject {
    pub const ALL: [Subject; 4] =
        [Subject::Bulkhead, Subject::BulkheadOneRuntime, Subject::RedisEverySecond, Subject::RedisAlways];

    /// For the command line.
    pub fn word(self) -> &'static str {
        match self {
            Subject::Bulkhead => "dual",
            Subject::BulkheadOneRuntime => "single",
            Subject::RedisEverySecond => "redis-everysec",
            Subject::RedisAlways => "redis-always",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Subject::Bulkhead => "Bulkhead",
            Subject::BulkheadOneRuntime => "Bulkhead, one runtime",
            Subject::RedisEverySecond => "redis-server, appendfsync everysec",
            Subject::RedisAlways => "redis-server, appendfsync always",
        }
    }

    pub fn is_redis(self) -> bool {
        matches!(self, Subject::RedisEverySecond | Subject::RedisAlways)
    }
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub program: PathBuf,
    pub redis: PathBuf,
    pub kinds: Vec<Kind>,
    pub subjects: Vec<Subject>,
    pub calm: Duration,
    pub stall: Duration,
    pub after: Duration,
    /// How many keys there are for GET of cold ones.
    pub cold_keys: u64,
}

const WRITERS: u32 = 16;
const PIPELINE_MAX: u64 = 1;
const WRITE_INTERVAL: Duration = Duration::from_millis(10);
const HOT_KEYS: u64 = 16;
const COLD_VALUE_BYTES: usize = 1024;

/// `request-timeout`: shorter than the stall, so that deadlines pass in it.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How much later than at its deadline a write may be answered: this machine is busy.
const TIMEOUT_SLACK: Duration = Duration::from_millis(500);

/// Clients that overwrite cold keys with large values, to bring RocksDB to its knees.
const BALLAST_CLIENTS: u64 = 8;
const BALLAST_VALUE_BYTES: usize = 4096;
const BALLAST_INTERVAL: Duration = Duration::from_millis(2);

/// How long RocksDB may take to let writes in again once the ballast is gone.
const RECOVERY_MAX: Duration = Duration::from_secs(120);

const WRITE_STOP_FLAGS: &[&str] = &[
    "--rocksdb.write_buffer_size",
    "1mb",
    "--rocksdb.max_write_buffer_number",
    "2",
    "--rocksdb.rate_limiter_bytes_per_sec",
    "8mb",
    "--rocksdb.level0_file_num_compaction_trigger",
    "2",
    "--rocksdb.level0_slowdown_writes_trigger",
    "3",
    "--rocksdb.level0_stop_writes_trigger",
    "4",
    "--rocksdb.compression",
    "none",
];

/// What one server did under one kind of stall.
pub struct Outcome {
    pub kind: Kind,
    pub subject: Subject,
    pub courses: Vec<Course>,
    pub stall: (Duration, Duration),
    pub length: Duration,
    pub writes: Tally,
    /// Of all writes that were answered, the ballast's too.
    pub write_latencies: Latencies,
    /// What was wrong, other than slow.
    pub violations: Vec<String>,
}

#[derive(Clone, Copy)]
enum Phase {
    Before,
    During,
    After,
}

impl Outcome {
    fn latencies(&self, course: &Course, phase: Phase) -> Latencies {
        let (from, to) = match phase {
            Phase::Before => (Duration::ZERO, self.stall.0),
            Phase::During => self.stall,
            Phase::After => (self.stall.1, Duration::MAX),
        };
        Latencies::of(course.samples.iter().filter(|s| (from..to).contains(&s.due)).map(|s| s.latency))
    }

    /// For how long INFO said that writes were stopped.
    fn stopped_for(&self) -> Duration {
        let seen = self.courses.iter().map(|course| course.stopped.len()).sum::<usize>();
        Duration::from_millis(10) * seen as u32
    }
}

/// Measures everybody in turn. `progress` gets a line for each.
pub fn run(plan: &Plan, home: &Path, mut progress: impl FnMut(&str)) -> Result<Vec<Outcome>, String> {
    let mut outcomes = Vec::new();
    for kind in plan.kinds.iter().copied() {
        for subject in plan.subjects.iter().copied().filter(|subject| kind == Kind::HangingDisk || !subject.is_redis())
        {
            progress(&format!("{}: {}", kind.name(), subject.title()));
            let home = home.join(format!("{}-{}", kind.name(), subject.word()));
            let outcome = measure(plan, kind, subject, &home)
                .map_err(|error| format!("{}, {}: {error}", kind.name(), subject.title()))?;
            outcome.violations.iter().for_each(|violation| progress(&format!("VIOLATION: {violation}")));
            outcomes.push(outcome);
        }
    }
    Ok(outcomes)
}

fn measure(plan: &Plan, kind: Kind, subject: Subject, home: &Path) -> Result<Outcome, String> {
    let dir = home.join("data");
    std::fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let disk = Disk::new(home, &dir)?;
    let keys = Keys { hot: HOT_KEYS, cold: plan.cold_keys };
    let program = if subject.is_redis() { plan.redis.clone() } else { plan.program.clone() };
    let mut recipe = Recipe { program, dir, flags: flags(subject), environment: disk.environment() };
    let loading = recipe.start()?;
    let threads = load(&loading, keys).map_err(|error| format!("loading: {error}"))?;
    loading.stop()?;
    if kind == Kind::WriteStop {
        recipe.flags.extend(WRITE_STOP_FLAGS.iter().map(|flag| flag.to_string()));
    }
    if subject == Subject::BulkheadOneRuntime {
        let single = ["--runtime-mode", "single", "--network-threads"].map(String::from);
        recipe.flags.extend(single.into_iter().chain([threads.to_string()]));
    }
    let server = recipe.start()?;
    if !disk.is_attached_to(server.pid()) {
        return Err("the server runs without the library that makes its disk hang".into());
    }
    let Run { courses, reports, ballast, stall, length } = load_and_stall(plan, kind, &server, &disk, keys)?;
    let mut ledger = Ledger::default();
    let mut writes = Tally::default();
    for report in &reports {
        let tally = enter(&mut ledger, report);
        writes.acknowledged += tally.acknowledged;
        writes.in_doubt += tally.in_doubt;
        writes.refused += tally.refused;
    }
    let others = (keys.hot + keys.cold) as usize;
    let mut violations = Vec::new();
    violations.extend(audit(server.port, &mut ledger, others).err());
    server.kill()?;
    let server = recipe.start()?;
    violations.extend(audit(server.port, &mut ledger, others).err().map(|found| format!("after kill -9: {found}")));
    let answered = reports.iter().flatten().filter_map(|sent| sent.took).chain(ballast);
    let write_latencies = Latencies::of(answered);
    // With one runtime nobody is left to keep the deadlines; that is what two are for.
    if subject == Subject::Bulkhead && write_latencies.quantile(1.0) > TIMEOUT + TIMEOUT_SLACK {
        let worst = write_latencies.quantile(1.0);
        violations.push(format!("a write was answered after {worst:?}, and request-timeout is {TIMEOUT:?}"));
    }
    let unanswered = reports.iter().flatten().filter(|sent| sent.took.is_none()).count();
    if unanswered > 0 {
        violations.push(format!("{unanswered} writes were never answered"));
    }
    let stopped = courses.iter().map(|course| course.stopped.len()).sum::<usize>();
    if kind == Kind::WriteStop && stopped == 0 {
        violations.push("INFO never said that RocksDB stopped writes: the stall was not the one meant".into());
    }
    Ok(Outcome { kind, subject, courses, stall, length, writes, write_latencies, violations })
}

fn flags(subject: Subject) -> Vec<String> {
    let flags: &[&str] = match subject {
        // Small caches, so that GET of a cold key has to read a file.
        Subject::Bulkhead | Subject::BulkheadOneRuntime => {
            &["--rocksdb.block_cache_size", "8mb", "--record-cache-size", "1mb"]
        }
        Subject::RedisEverySecond => &["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"],
        Subject::RedisAlways => &["--save", "", "--appendonly", "yes", "--appendfsync", "always"],
    };
    let mut flags: Vec<String> = flags.iter().map(|flag| flag.to_string()).collect();
    if !subject.is_redis() {
        flags.extend(["--request-timeout".into(), TIMEOUT.as_millis().to_string()]);
    }
    flags
}

/// Sets the keys that the probes ask for. How many threads the server serves with, if it tells.
fn load(server: &Server, keys: Keys) -> io::Result<u64> {
    let mut client = Client::connect(server.port)?;
    let names = (0..keys.hot).map(Keys::hot).chain((0..keys.cold).map(Keys::cold));
    let mut dice = Random::from_seed(7);
    let names: Vec<String> = names.collect();
    for names in names.chunks(100) {
        let mut command = vec![b"MSET".to_vec()];
        for name in names {
            command.extend([name.clone().into_bytes(), incompressible(&mut dice, COLD_VALUE_BYTES)]);
        }
        match client.call(&command)? {
            Value::Simple(_) => {}
            other => return Err(io::Error::other(format!("MSET was answered {other}"))),
        }
    }
    let text = info(&mut client, "runtimes")?;
    let threads = |field| info_number(&text, field).unwrap_or_default();
    // And the writer.
    Ok(threads("network_threads") + threads("storage_reader_threads") + 1)
}

fn incompressible(dice: &mut Random, len: usize) -> Vec<u8> {
    (0..len / 8).flat_map(|_| dice.next_u64().to_le_bytes()).collect()
}

/// What happened while the clock ran.
struct Run {
    courses: Vec<Course>,
    reports: Vec<Vec<Sent>>,
    /// How long the writes of the ballast took.
    ballast: Vec<Duration>,
    stall: (Duration, Duration),
    length: Duration,
}

fn load_and_stall(plan: &Plan, kind: Kind, server: &Server, disk: &Disk, keys: Keys) -> Result<Run, String> {
    let port = server.port;
    let manner = Manner { pipeline_max: PIPELINE_MAX, interval: WRITE_INTERVAL, refusals: BUSY };
    let (end, ballast_on) = (OnceLock::new(), AtomicBool::new(false));
    // A moment for threads and caches to come to life before anything counts.
    let start = Instant::now() + Duration::from_secs(1);
    std::thread::scope(|scope| {
        let (end, ballast_on) = (&end, &ballast_on);
        let is_over = move || end.get().is_some_and(|end| Instant::now() >= *end);
        let writers: Vec<_> = (0..WRITERS)
            .map(|id| scope.spawn(move || Writer::new(id, u64::from(id)).write(port, manner, is_over)))
            .collect();
        let probes: Vec<_> =
            Probe::ALL.map(|probe| scope.spawn(move || watch(probe, port, keys, start, end))).into_iter().collect();
        let ballast: Vec<_> = (0..BALLAST_CLIENTS)
            .map(|id| scope.spawn(move || throw_ballast(id, port, keys, ballast_on, is_over)))
            .collect();
        std::thread::sleep((start + plan.calm).saturating_duration_since(Instant::now()));
        let from = start.elapsed();
        let recovered = match kind {
            Kind::HangingDisk => {
                disk.hang(Operations::ALL);
                std::thread::sleep(plan.stall);
                disk.heal();
                Ok(())
            }
            Kind::WriteStop => {
                ballast_on.store(true, Ordering::Relaxed);
                std::thread::sleep(plan.stall);
                ballast_on.store(false, Ordering::Relaxed);
                wait_until_writes_flow(port)
            }
        };
        let to = start.elapsed();
        let last = Instant::now() + plan.after;
        end.set(last).expect("invariant: only this line sets it");
        let join = |what: &str| format!("{what} panicked");
        let reports = writers.into_iter().map(|thread| thread.join().map_err(|_| join("a writer"))?);
        let reports = reports.collect::<Result<Vec<_>, String>>();
        let courses = probes.into_iter().map(|thread| thread.join().map_err(|_| join("a probe"))?);
        let courses = courses.collect::<Result<Vec<_>, String>>();
        let ballast = ballast.into_iter().map(|thread| thread.join().map_err(|_| join("a ballast client"))?);
        let ballast = ballast.collect::<Result<Vec<_>, String>>();
        recovered?;
        Ok(Run {
            courses: courses?,
            reports: reports?,
            ballast: ballast?.into_iter().flatten().collect(),
            stall: (from, to),
            length: last - start,
        })
    })
}

fn wait_until_writes_flow(port: u16) -> Result<(), String> {
    let mut client = Client::connect(port).map_err(|error| error.to_string())?;
    let start = Instant::now();
    while start.elapsed() < RECOVERY_MAX {
        let text = info(&mut client, "storage").map_err(|error| error.to_string())?;
        if info_number(&text, "writes_stopped") == Some(0) && info_number(&text, "delayed_write_rate") == Some(0) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(format!("RocksDB still holds writes back {RECOVERY_MAX:?} after the load has ended"))
}

/// Overwrites cold keys for as long as `on` says. Its writes are no part of the ledger, and bound by the deadline alike.
fn throw_ballast(
    id: u64,
    port: u16,
    keys: Keys,
    on: &AtomicBool,
    is_over: impl Fn() -> bool,
) -> Result<Vec<Duration>, String> {
    let mut client = Client::connect(port).map_err(|error| format!("ballast: {error}"))?;
    let mut dice = Random::from_seed(1000 + id);
    let mut took = Vec::new();
    while !is_over() {
        let began = Instant::now();
        if on.load(Ordering::Relaxed) {
            let key = Keys::cold(dice.next_u64() % keys.cold).into_bytes();
            let reply = client.call(&[b"SET".to_vec(), key, incompressible(&mut dice, BALLAST_VALUE_BYTES)]);
            match reply.map_err(|error| format!("ballast: {error}"))? {
                Value::Simple(_) => {}
                Value::Error(text) if text.starts_with(b"TRYAGAIN ") || text.starts_with(b"INDOUBT ") => {}
                other => return Err(format!("ballast was answered {other}")),
            }
            took.push(began.elapsed());
        }
        std::thread::sleep(BALLAST_INTERVAL.saturating_sub(began.elapsed()).max(Duration::from_micros(100)));
    }
    Ok(took)
}

// ---- What is told of it --------------------------------------------------------------------------------------------

/// Milliseconds, with as many digits as mean something.
fn ms(latency: Duration) -> String {
    let ms = latency.as_secs_f64() * 1000.0;
    match ms {
        ms if ms < 10.0 => format!("{ms:.2}"),
        ms if ms < 100.0 => format!("{ms:.1}"),
        ms => format!("{ms:.0}"),
    }
}

/// Markdown: a table for each kind of stall.
pub fn report(plan: &Plan, outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    let mut put = |line: String| writeln!(text, "{line}").expect("a string takes everything");
    for kind in Kind::ALL {
        let outcomes: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.kind == kind).collect();
        if outcomes.is_empty() {
            continue;
        }
        put(match kind {
            Kind::HangingDisk => format!(
                "### A disk that hangs for {} s\n\nEvery write, sync and change of a file under the data directory blocks; \
                 reads go on.\n",
                plan.stall.as_secs()
            ),
            Kind::WriteStop => format!(
                "### RocksDB stops writes\n\n{BALLAST_CLIENTS} clients overwrite values of {BALLAST_VALUE_BYTES} bytes for \
                 {} s, compaction may write 8 MiB a second, memtables hold 1 MiB, writes stop at 4 files in level 0.\n",
                plan.stall.as_secs()
            ),
        });
        put("Milliseconds, p50 / p99 / p99.9 / worst.\n".into());
        put("| server | request | before | during | after | bar |\n|---|---|---|---|---|---|".into());
        for outcome in &outcomes {
            for course in &outcome.courses {
                let cell = |phase| {
                    let latencies = outcome.latencies(course, phase);
                    [0.5, 0.99, 0.999, 1.0].map(|share| ms(latencies.quantile(share))).join(" / ")
                };
                put(format!(
                    "| {} | {} | {} | {} | {} | {} |",
                    outcome.subject.title(),
                    course.probe.name(),
                    cell(Phase::Before),
                    cell(Phase::During),
                    cell(Phase::After),
                    outcome.verdict(course)
                ));
            }
        }
        put(String::new());
        for outcome in &outcomes {
            let Tally { acknowledged, in_doubt, refused } = outcome.writes;
            let late = outcome.courses.iter().map(|course| course.late).max().unwrap_or_default();
            let writes = &outcome.write_latencies;
            let truth = match outcome.violations.is_empty() {
                true => "all acknowledged ones there, none twice, before and after a kill -9".to_string(),
                false => format!("**VIOLATED**: {}", outcome.violations.join("; ").replace('\n', " ")),
            };
            let stopped = match kind {
                Kind::WriteStop => format!(
                    " INFO said that writes were stopped for {:.0} s of the whole {:.0} s.",
                    outcome.stopped_for().as_secs_f64(),
                    outcome.length.as_secs_f64()
                ),
                Kind::HangingDisk => String::new(),
            };
            put(format!(
                "- {}: {acknowledged} writes acknowledged, {in_doubt} in doubt, {refused} refused as not executed; p50 {} ms, \
                 worst {} ms; {truth}.{stopped} The probes themselves were late by {} ms at worst.",
                outcome.subject.title(),
                ms(writes.quantile(0.5)),
                ms(writes.quantile(1.0)),
                ms(late)
            ));
        }
        put(String::new());
    }
    text
}

/// An SVG of one kind of stall, all servers below one another.
pub fn plot(kind: Kind, outcomes: &[Outcome]) -> Option<String> {
    let panels: Vec<Panel<'_>> = outcomes
        .iter()
        .filter(|outcome| outcome.kind == kind)
        .map(|outcome| Panel {
            title: outcome.subject.title().into(),
            courses: &outcome.courses,
            stall: outcome.stall,
            length: outcome.length,
        })
        .collect();
    (!panels.is_empty()).then(|| draw(&panels))
}

impl Outcome {
    /// Whether a probe met its bar while the disk was ill.
    fn verdict(&self, course: &Course) -> String {
        let Some(bar) = course.probe.bar() else { return "–".into() };
        let latencies = self.latencies(course, Phase::During);
        let verdict = if latencies.quantile(bar.quantile) < bar.limit { "met" } else { "**missed**" };
        format!("{verdict} (p{} < {})", bar.quantile * 100.0, bar.limit.as_millis())
    }
}
