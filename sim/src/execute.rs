//! Carries a plan out: clients do their steps, the nemesis its faults, then everything is healed, and an auditor takes
//! stock, before and after one last stop. It writes down what came of it and judges nothing.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bulkhead::engine::memory::DiskFault;
use bulkhead::failpoints;
use bulkhead::resp::{CommandArgs, Value};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::client::{Client, Manners};
use crate::dice::Dice;
use crate::history::{Connecting, Ended, History, Inventory, Listening, Loss, Message, Operation, Outcome, Spell};
use crate::model::{self, Touches};
use crate::plan::{Action, ClientPlan, Fault, Plan};
use crate::simulation::{Ending, Simulation, failure, now};
use crate::world::World;
use crate::{Verdict, ensure};

/// How long clients may take to be done after everything was healed.
const CLIENTS_MAX: Duration = Duration::from_secs(120);
/// How long the server may take to answer the prober. The oracle's bound is shorter: this one ends the run.
const RECOVERY_MAX: Duration = Duration::from_secs(30);
/// How long a requested stop may take, with whatever goes wrong meanwhile.
const STOP_MAX: Duration = Duration::from_secs(30);
/// How long a client may try to connect.
const CONNECT_MAX: Duration = Duration::from_secs(60);
/// Further than any plan lets the wall clock jump, and longer than any time to live.
const PAST_ALL_EXPIRY_MS: i64 = 60_000;
/// How long a listener waits for what was published before it stopped.
const LISTENING_ON: Duration = Duration::from_millis(300);
/// Writes and reads that must succeed one after the other until a server counts as well again: one may be a probe that the
/// circuit breaker let through.
const WELL_AFTER: u64 = 4;
/// How soon an expired key must be gone from the disk: some rounds of housekeeping.
const REMOVAL_MAX: Duration = Duration::from_millis(500);

/// How long what was sent may take to have its effect, where nothing goes wrong.
const ON_ITS_WAY_MAX: Duration = Duration::from_millis(200);

/// What the auditor asks for: sections that say nothing of the process this runs in, which no seed decides.
const INFO: &str = "INFO clients stats runtimes channel storage keyspace";

type Shared = Rc<RefCell<History>>;

/// Carries `plan` out. The history is complete even where the run fails.
pub fn execute(plan: &Plan, world: &Arc<World>) -> (History, Verdict) {
    let history = Shared::default();
    let verdict = Run::new(plan, world, &history).carry_out();
    // Clients that never ended still hold on to it.
    (history.take(), verdict)
}

/// Something that the nemesis does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    Begin(Fault),
    End(Fault),
    Start,
}

struct Run<'p> {
    plan: &'p Plan,
    world: Arc<World>,
    history: Shared,
    simulation: Simulation,
    /// What is still to be done, by time.
    deeds: BTreeMap<Duration, VecDeque<Deed>>,
    /// An fsync may have failed: then storage refuses writes until the server is started anew.
    damaged: bool,
    /// Since when the server is stopping, and because of what.
    stopping: Option<(Duration, Fault)>,
}

impl<'p> Run<'p> {
    fn new(plan: &'p Plan, world: &Arc<World>, history: &Shared) -> Run<'p> {
        let mut deeds: BTreeMap<Duration, VecDeque<Deed>> = BTreeMap::new();
        for (at_ms, fault) in &plan.faults {
            deeds.entry(Duration::from_millis(*at_ms)).or_default().push_back(Deed::Begin(*fault));
        }
        Run {
            plan,
            world: world.clone(),
            history: history.clone(),
            simulation: Simulation::new(world, plan),
            deeds,
            damaged: false,
            stopping: None,
        }
    }

    fn carry_out(mut self) -> Verdict {
        for (index, client) in self.plan.clients.iter().enumerate() {
            let body = self.user(&client.name).run(client.clone());
            self.simulation.client(index, &client.name, body);
        }
        let heal_at = Duration::from_millis(self.plan.heal_ms);
        while !self.deeds.is_empty() || self.stopping.is_some() || self.simulation.now() < heal_at {
            self.do_what_is_due()?;
            self.simulation.step()?;
            self.look_after_stop()?;
        }
        self.heal()?;
        self.probe()?;
        self.simulation.run_clients(CLIENTS_MAX)?;
        self.audit()?;
        // After a clean stop not even a power cut takes anything away.
        self.end(Ending::Stop)?;
        let unsynced = self.simulation.machine.disk.memory.unsynced();
        ensure!(unsynced == 0, "a stopped server left {unsynced} batches unsynced");
        self.simulation.end(Ending::PowerCut { keep_percent: 0 })?;
        self.start();
        self.audit()
    }

    fn user(&self, name: &str) -> User {
        User {
            name: name.to_string(),
            world: self.world.clone(),
            history: self.history.clone(),
            // By name, so that a client does the same whoever else takes part.
            dice: self.world.dice(&format!("client {name}")),
            connection: None,
        }
    }

    // ---- the nemesis ----

    fn do_what_is_due(&mut self) -> Verdict {
        while let Some(mut due) = self.deeds.first_entry().filter(|due| *due.key() <= self.simulation.now()) {
            match due.get_mut().pop_front() {
                Some(deed) => self.act(deed)?,
                None => {
                    due.remove();
                }
            }
        }
        Ok(())
    }

    fn later(&mut self, after_ms: u64, deed: Deed) {
        let at = self.simulation.now() + Duration::from_millis(after_ms);
        self.deeds.entry(at).or_default().push_back(deed);
    }

    fn act(&mut self, deed: Deed) -> Verdict {
        self.world.trace.event("nemesis", format_args!("{deed:?}"));
        match deed {
            Deed::Begin(fault) => self.begin(fault),
            Deed::End(fault) => {
                self.finish(&fault);
                Ok(())
            }
            Deed::Start => {
                if !self.simulation.is_running() {
                    self.start();
                }
                Ok(())
            }
        }
    }

    fn start(&mut self) {
        self.simulation.start();
        let fault = self.simulation.machine.disk.memory.fault();
        self.damaged = matches!(fault, Some(DiskFault::SyncFails | DiskFault::IoError))
            || self.world.failpoints.is_armed(|what| what == failpoints::Fault::Sync);
        let now = self.simulation.now();
        if let Some(ended) = self.history.borrow_mut().ended.last_mut() {
            ended.started = Some(now);
        }
    }

    fn begin(&mut self, fault: Fault) -> Verdict {
        let now = self.simulation.now();
        let lasts = Duration::from_millis(fault.duration_ms());
        if is_ending(&fault) {
            return self.end_process(fault, lasts);
        }
        match fault {
            Fault::RestartStorage => {
                let name = format!("operator-{}", now.as_millis());
                let operator = self.user(&name).restart_storage();
                self.simulation.client(0, &name, operator);
            }
            Fault::ClockJump { by_ms } => {
                self.history.borrow_mut().jumps.push((now, by_ms));
                self.simulation.machine.wall.jump_ms(by_ms);
            }
            Fault::Partition { machine, .. } => self.simulation.partition(machine as usize),
            Fault::Hold { .. } => self.simulation.hold(),
            Fault::Failpoint { place, what, times, .. } => self.world.failpoints.arm(place, what, times),
            _ => {
                self.simulation.machine.disk.begin(&fault);
            }
        }
        self.damaged |= fault.fails_sync();
        self.history.borrow_mut().spells.push(Spell { fault, from: now, to: now + lasts + fault.lingers() });
        if !lasts.is_zero() {
            self.later(fault.duration_ms(), Deed::End(fault));
        }
        Ok(())
    }

    fn finish(&mut self, fault: &Fault) {
        match *fault {
            Fault::Partition { machine, .. } => self.simulation.repair(machine as usize),
            Fault::Hold { .. } => self.simulation.release(),
            Fault::Failpoint { place, what, .. } => self.world.failpoints.disarm(place, what),
            _ => self.simulation.machine.disk.end(fault),
        }
    }

    fn end_process(&mut self, fault: Fault, down: Duration) -> Verdict {
        if !self.simulation.is_running() {
            return Ok(());
        }
        let from = self.simulation.now();
        match fault {
            Fault::Stop { .. } => {
                if self.stopping.is_none() {
                    self.stopping = Some((from, fault));
                    self.simulation.machine.terminate();
                }
                return Ok(());
            }
            Fault::Kill { .. } => self.end(Ending::Kill)?,
            Fault::PowerCut { keep_percent, .. } => self.end(Ending::PowerCut { keep_percent })?,
            Fault::KillThenPowerCut { keep_percent, .. } => {
                self.simulation.end(Ending::Kill)?;
                self.end(Ending::PowerCut { keep_percent })?;
            }
            _ => {}
        }
        // A stop that it overtook was under way until now.
        if let Some((since, stop)) = self.stopping.take() {
            self.history.borrow_mut().spells.push(Spell { fault: stop, from: since, to: from });
        }
        let to = self.simulation.now() + down;
        self.history.borrow_mut().spells.push(Spell { fault, from, to });
        self.later(fault.duration_ms(), Deed::Start);
        Ok(())
    }

    /// Waits for a server that was asked to stop.
    fn look_after_stop(&mut self) -> Verdict {
        let Some((since, fault)) = self.stopping else { return Ok(()) };
        let now = self.simulation.now();
        if self.simulation.is_running() {
            if now < since + STOP_MAX {
                return Ok(());
            }
            // From a disk that hangs nobody comes back: whoever stops services kills them in the end.
            ensure!(self.simulation.machine.disk.hangs(), "the server did not stop within {STOP_MAX:?}");
            let down_ms = fault.duration_ms();
            return self.end_process(Fault::Kill { down_ms }, Duration::from_millis(down_ms));
        }
        self.stopping = None;
        let to = now + Duration::from_millis(fault.duration_ms());
        let history = &mut *self.history.borrow_mut();
        history.ended.push(Ended { at: now, loss: Loss::Nothing, started: None });
        history.spells.push(Spell { fault, from: since, to });
        self.deeds.entry(to).or_default().push_back(Deed::Start);
        Ok(())
    }

    fn end(&mut self, ending: Ending) -> Verdict {
        let ended = self.simulation.end(ending);
        let loss = if matches!(ending, Ending::PowerCut { .. }) { Loss::Unsynced } else { Loss::Nothing };
        let at = self.simulation.now();
        self.history.borrow_mut().ended.push(Ended { at, loss, started: None });
        ended
    }

    /// Makes everything well again: whatever lasts ends now, and a server whose engine will not write is started anew, as
    /// its operator would.
    fn heal(&mut self) -> Verdict {
        let now = self.simulation.now();
        let spells = self.history.borrow().spells.clone();
        for spell in &spells {
            if !is_ending(&spell.fault) {
                self.finish(&spell.fault);
            }
        }
        for spell in &mut self.history.borrow_mut().spells {
            let lasts = !matches!(spell.fault, Fault::RestartStorage | Fault::ClockJump { .. });
            if lasts && spell.fault.duration_ms() == 0 && !is_ending(&spell.fault) {
                spell.to = now + spell.fault.lingers();
            }
        }
        if self.damaged && self.simulation.is_running() {
            self.end(Ending::Kill)?;
        }
        if !self.simulation.is_running() {
            self.start();
        }
        self.world.trace.event("nemesis", format_args!("everything is well again"));
        self.history.borrow_mut().healed = Some(now);
        Ok(())
    }

    /// Waits until the server serves.
    fn probe(&mut self) -> Verdict {
        let prober = self.user("prober").probe();
        self.simulation.client(0, "prober", prober);
        let until = self.simulation.now() + RECOVERY_MAX;
        while self.history.borrow().recovered.is_none() && self.simulation.now() < until {
            self.simulation.step()?;
        }
        Ok(())
    }

    /// Reads everything there is.
    fn audit(&mut self) -> Verdict {
        if self.plan.clients.iter().flat_map(|client| &client.steps).any(|step| mentions_expiry(&step.action)) {
            let at = self.simulation.now();
            self.history.borrow_mut().jumps.push((at, PAST_ALL_EXPIRY_MS));
            self.simulation.machine.wall.jump_ms(PAST_ALL_EXPIRY_MS);
        }
        let auditor = self.user("auditor").audit();
        self.simulation.client(0, "auditor", auditor);
        self.simulation.run_clients(CLIENTS_MAX)
    }
}

fn is_ending(fault: &Fault) -> bool {
    matches!(fault, Fault::Stop { .. } | Fault::Kill { .. } | Fault::PowerCut { .. } | Fault::KillThenPowerCut { .. })
}

fn mentions_expiry(action: &Action) -> bool {
    action.commands().iter().any(|line| line.contains(" PX"))
}

/// Somebody who uses the server.
struct User {
    name: String,
    world: Arc<World>,
    history: Shared,
    dice: Dice,
    /// The connection, its number, and the database that is selected in it.
    connection: Option<(Client, usize, usize)>,
}

impl User {
    async fn run(mut self, plan: ClientPlan) -> Verdict {
        for step in plan.steps {
            if step.wait_ms > 0 {
                sleep(Duration::from_millis(step.wait_ms)).await;
            }
            match step.action {
                Action::Send(lines) => drop(self.talk(&lines, Manners::Prompt).await?),
                Action::Sip(lines) => drop(self.talk(&lines, Manners::Sipping).await?),
                Action::Part(lines) => {
                    self.talk(&lines, Manners::Parting).await?;
                    self.connection = None;
                }
                Action::Abandon(lines) => self.abandon(&lines).await?,
                Action::Storm(count) => self.storm(count).await,
                Action::Listen { topics, for_ms } => self.listen(topics, Duration::from_millis(for_ms)).await?,
            }
        }
        Ok(())
    }

    /// Connects, unless it is connected already.
    async fn connect(&mut self) -> Verdict {
        let until = now() + CONNECT_MAX;
        while self.connection.is_none() {
            let began = now();
            let connected = Client::connect(&self.world, &self.name, &mut self.dice).await;
            let (client, is_connected) = (self.name.clone(), connected.is_ok());
            let connecting = Connecting { client, began, ended: now(), is_connected };
            let number = {
                let history = &mut *self.history.borrow_mut();
                history.connecting.push(connecting);
                history.connections += 1;
                history.connections
            };
            match connected {
                Ok(client) => self.connection = Some((client, number, 0)),
                Err(lost) => {
                    self.world.trace.event(&self.name, format_args!("{lost}"));
                    ensure!(now() < until, "could not connect within {CONNECT_MAX:?}");
                    sleep(self.dice.millis(1..=100)).await;
                }
            }
        }
        Ok(())
    }

    /// Sends a pipeline, waits for its replies, and writes both down. Returns the replies that came.
    async fn talk(&mut self, lines: &[String], manners: Manners) -> Verdict<Vec<Value>> {
        self.connect().await?;
        let commands = parsed(lines)?;
        let first = self.note(lines, &commands, manners);
        let Some((client, _, _)) = &mut self.connection else { return Err(failure("a connection was made")) };
        let replies = client.exchange(&commands, manners).await;
        let mut values = Vec::new();
        for (index, (at, value)) in replies.values.into_iter().enumerate() {
            values.push(value.clone());
            let operation = &mut self.history.borrow_mut().operations[first + index];
            operation.returned = Some(at);
            operation.outcome = Outcome::of(value);
        }
        if replies.lost.is_some() {
            self.connection = None;
            for operation in &mut self.history.borrow_mut().operations[first + values.len()..first + lines.len()] {
                operation.given_up = Some(now());
            }
        }
        Ok(values)
    }

    async fn abandon(&mut self, lines: &[String]) -> Verdict {
        self.connect().await?;
        let commands = parsed(lines)?;
        self.note(lines, &commands, Manners::Prompt);
        if let Some((client, _, _)) = &mut self.connection {
            // Whether it was sent is as unknown as whether it was executed.
            let _ = client.send(&commands).await;
        }
        self.connection = None;
        Ok(())
    }

    async fn storm(&mut self, count: u64) {
        let mut connecting = JoinSet::new();
        for number in 0..count {
            let (world, name, mut dice) = (self.world.clone(), format!("{}-{number}", self.name), self.dice.fork());
            connecting.spawn_local(async move { Client::connect(&world, &name, &mut dice).await.ok() });
        }
        let mut connected = Vec::new();
        while let Some(client) = connecting.join_next().await {
            connected.push(client);
        }
    }

    /// Listens for a while, and a moment longer, for what is on its way.
    async fn listen(&mut self, topics: Vec<String>, patience: Duration) -> Verdict {
        self.connection = None;
        self.connect().await?;
        let Some((mut client, _, _)) = self.connection.take() else { return Err(failure("a connection was made")) };
        let (patterns, channels): (Vec<&String>, Vec<&String>) = topics.iter().partition(|topic| topic.ends_with('*'));
        let subscribe = |verb: &str, names: &[&String]| -> Option<Vec<Vec<u8>>> {
            let words = [verb].into_iter().chain(names.iter().map(|name| name.as_str()));
            (!names.is_empty()).then(|| words.map(|word| word.as_bytes().to_vec()).collect())
        };
        let commands = [subscribe("SUBSCRIBE", &channels), subscribe("PSUBSCRIBE", &patterns)];
        let until = now() + patience;
        let (mut since, mut confirmed, mut messages, mut lost) = (None, 0, Vec::new(), None);
        if client.send(&commands.into_iter().flatten().collect::<Vec<_>>()).await.is_err() {
            lost = Some(now());
        }
        while lost.is_none() {
            let left = (until + LISTENING_ON).saturating_sub(now());
            match timeout(left, client.next()).await {
                Err(_) => break,
                Ok(Err(_)) => lost = Some(now()),
                Ok(Ok(value)) => match heard(&value) {
                    Some(message) => messages.push(message),
                    None => {
                        confirmed += 1;
                        since = since.or((confirmed == topics.len()).then(now));
                    }
                },
            }
        }
        let is_lost = lost.is_some();
        let until = lost.map_or(until, |lost| lost.min(until));
        let client = self.name.clone();
        let listening = Listening { client, topics, since, until, is_lost, messages };
        self.history.borrow_mut().listenings.push(listening);
        Ok(())
    }

    /// Writes a pipeline down that is about to be sent. Returns the place of its first command.
    fn note(&mut self, lines: &[String], commands: &[Vec<Vec<u8>>], manners: Manners) -> usize {
        let Some((_, connection, db)) = &mut self.connection else { return 0 };
        let history = &mut *self.history.borrow_mut();
        history.pipelines += 1;
        let first = history.operations.len();
        for (line, args) in lines.iter().zip(commands) {
            self.world.trace.event(&self.name, format_args!("sends {line}"));
            history.operations.push(Operation {
                client: self.name.clone(),
                connection: *connection,
                pipeline: history.pipelines,
                pipeline_len: lines.len(),
                line: line.clone(),
                args: args.clone(),
                db: *db,
                invoked: now(),
                returned: None,
                outcome: Outcome::Unknown,
                dawdled: manners != Manners::Prompt,
                given_up: None,
            });
            if model::name(args) == "SELECT" {
                *db = args.get(1).and_then(|db| database(db)).unwrap_or(*db);
            }
        }
        first
    }

    /// Sends one command. `None`: no reply came.
    async fn call(&mut self, line: impl Into<String>) -> Verdict<Option<Value>> {
        Ok(self.talk(&[line.into()], Manners::Prompt).await?.pop())
    }

    async fn restart_storage(mut self) -> Verdict {
        self.call("DEBUG RESTART-STORAGE").await?;
        Ok(())
    }

    /// Writes and reads until both succeed.
    async fn probe(mut self) -> Verdict {
        let mut in_a_row = 0;
        for attempt in 0.. {
            let wrote = self.call(format!("SET probe {attempt}")).await?;
            let read = self.call("GET probe").await?;
            let is_well = |reply: &Option<Value>| reply.as_ref().is_some_and(|reply| !matches!(reply, Value::Error(_)));
            in_a_row = if is_well(&wrote) && is_well(&read) { in_a_row + 1 } else { 0 };
            if in_a_row == WELL_AFTER {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        self.history.borrow_mut().recovered = Some(now());
        Ok(())
    }

    async fn audit(mut self) -> Verdict {
        // What a client sent and did not wait for may still be on its way.
        if self.history.borrow().operations.iter().any(|operation| operation.returned.is_none()) {
            sleep(ON_ITS_WAY_MAX).await;
        }
        let keys = self.keys();
        let mut inventory = Inventory::default();
        let expires = keys.values().flatten().any(|key| key.starts_with(b"t:"));
        for (db, keys) in &keys {
            if *db > 0 {
                self.must(format!("SELECT {db}")).await?;
            }
            if expires {
                sleep(REMOVAL_MAX).await;
            }
            let mut found = 0;
            for keys in keys.iter().collect::<Vec<_>>().chunks(16) {
                let kinds: Vec<String> = keys.iter().map(|key| format!("TYPE {}", quoted(key))).collect();
                let kinds = self.talk(&kinds, Manners::Prompt).await?;
                ensure!(kinds.len() == keys.len(), "the audit got {} replies to {}", kinds.len(), keys.len());
                let reads: Vec<String> = keys.iter().zip(&kinds).map(|(key, kind)| reading(key, kind)).collect();
                found += kinds.iter().filter(|kind| **kind != Value::Simple("none".into())).count();
                self.talk(&reads, Manners::Prompt).await?;
            }
            let Value::Integer(counted) = self.must("DBSIZE").await? else {
                return Err(failure("DBSIZE is no number"));
            };
            inventory.keys.push((*db, found, counted));
        }
        // What others left behind may take a moment to be noticed.
        for _ in 0..20 {
            inventory.at = now();
            let Value::Bulk(info) = self.must(INFO).await? else { return Err(failure("INFO is no text")) };
            inventory.info = String::from_utf8_lossy(&info).into_owned();
            if inventory.info.contains("\nconnected_clients:1\r") && inventory.info.contains("\nchannel_bytes:0\r") {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        self.history.borrow_mut().inventories.push(inventory);
        Ok(())
    }

    /// As `call`, where nothing stands in the way.
    async fn must(&mut self, line: impl Into<String>) -> Verdict<Value> {
        let line = line.into();
        match self.call(line.clone()).await? {
            Some(Value::Error(text)) => Err(failure(format!("{line} was answered with {}", text.escape_ascii()))),
            Some(reply) => Ok(reply),
            None => Err(failure(format!("{line} was not answered"))),
        }
    }

    /// All keys that anybody has used.
    fn keys(&self) -> BTreeMap<usize, BTreeSet<Vec<u8>>> {
        let mut keys: BTreeMap<usize, BTreeSet<Vec<u8>>> = BTreeMap::new();
        let (mut databases, mut names) = (BTreeSet::from([0]), BTreeSet::new());
        let mut swapped = false;
        for operation in &self.history.borrow().operations {
            if model::name(&operation.args) == "SWAPDB" {
                swapped = true;
                databases.extend(operation.args[1..].iter().filter_map(|db| database(db)));
            }
            databases.insert(operation.db);
            if let Touches::Keys(touched) = model::touches(operation.db, &operation.args) {
                names.extend(touched.iter().map(|(_, key)| key.clone()));
                for (db, key) in touched {
                    keys.entry(db).or_default().insert(key);
                }
            }
        }
        for db in databases {
            keys.entry(db).or_default();
        }
        if swapped {
            keys.values_mut().for_each(|of| *of = names.clone());
        }
        keys
    }
}

/// The message that a subscriber was sent; `None`: it is something else.
fn heard(value: &Value) -> Option<Message> {
    let Value::Array(parts) = value else { return None };
    let texts: Option<Vec<Vec<u8>>> =
        parts.iter().map(|part| if let Value::Bulk(text) = part { Some(text.to_vec()) } else { None }).collect();
    let texts = texts?;
    let (topic, channel, payload) = match &texts[..] {
        [kind, channel, payload] if kind == b"message" => (channel, channel, payload),
        [kind, pattern, channel, payload] if kind == b"pmessage" => (pattern, channel, payload),
        _ => return None,
    };
    let topic = String::from_utf8_lossy(topic).into_owned();
    Some(Message { at: now(), topic, channel: channel.clone(), payload: payload.clone() })
}

fn parsed(lines: &[String]) -> Verdict<Vec<Vec<Vec<u8>>>> {
    let parse = |line: &String| match CommandArgs::from_line(line.as_bytes()) {
        Ok(args) => Ok(args.iter().map(<[u8]>::to_vec).collect()),
        Err(error) => Err(failure(format!("the plan says {line}: {error}"))),
    };
    lines.iter().map(parse).collect()
}

fn database(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The command that reads a key of that kind.
fn reading(key: &[u8], kind: &Value) -> String {
    let key = quoted(key);
    match kind {
        Value::Simple(kind) if kind == "list" => format!("LRANGE {key} 0 -1"),
        Value::Simple(kind) if kind == "hash" => format!("HGETALL {key}"),
        Value::Simple(kind) if kind == "set" => format!("SMEMBERS {key}"),
        Value::Simple(kind) if kind == "zset" => format!("ZRANGE {key} 0 -1"),
        _ => format!("GET {key}"),
    }
}

fn quoted(key: &[u8]) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'-' | b'_');
    match key.iter().all(is_plain) && !key.is_empty() {
        true => String::from_utf8_lossy(key).into_owned(),
        false => format!("\"{}\"", key.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>()),
    }
}
