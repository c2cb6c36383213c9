//! A server in miniature, for the tests of commands that run in storage: one client, the memory engine, and a clock
//! that stands still until told otherwise. A script is a transcript as redis-cli prints it.

mod crash_tests;

use std::sync::Arc;

use bytes::Bytes;

use super::network_tests::TestClient;
use super::{Command, CommandTable, Operation, Run};
use crate::config::EncodingsConfig;
use crate::engine::memory::{MemoryDisk, MemoryEngine};
use crate::engine::{Engine, ReadTier, WriteOptions, thread};
use crate::keyspace::{
    CommandError, DatabaseMap, EventMask, KeyEvent, Keyspace, KeyspaceEvents, Record, Txn, TxnError, ValueLimits,
};
use crate::number;
use crate::observe::CommandStats;
use crate::resp::{CommandArgs, Protocol, ReplyBuffer, Value};

const DATABASES: usize = 16;
const ENCODINGS: EncodingsConfig = EncodingsConfig {
    hash_max_listpack_entries: 512,
    hash_max_listpack_value: 64,
    hll_sparse_bytes_max: 3000,
    set_max_intset_entries: 512,
    stream_node_max_bytes: 4096,
    stream_node_max_entries: 100,
    zset_max_listpack_entries: 128,
    zset_max_listpack_value: 64,
};
/// When scripts begin: some time in 2024.
const START_MS: u64 = 1_720_000_000_000;

/// One client and its server.
pub struct Harness {
    disk: Arc<MemoryDisk>,
    engine: Arc<MemoryEngine>,
    commands: CommandTable,
    databases: Arc<DatabaseMap>,
    db: usize,
    pub now_ms: u64,
    /// What the last command did besides changing data.
    pub events: KeyspaceEvents,
    /// What the last command said to those who asked for keyspace notifications.
    pub key_events: Vec<KeyEvent>,
}

impl Harness {
    pub fn new() -> Harness {
        thread::mark_engine_thread();
        let disk = MemoryDisk::new();
        let engine = MemoryEngine::open(disk.clone()).unwrap();
        let databases = Arc::new(DatabaseMap::load(&*engine, DATABASES).unwrap());
        let commands = CommandTable::new(&[], &CommandStats::default());
        let (events, key_events) = Default::default();
        Harness { disk, engine, commands, databases, db: 0, now_ms: START_MS, events, key_events }
    }

    /// The next process, over what the disk holds. The last one must be dead.
    fn reopen(&mut self) {
        self.engine = MemoryEngine::open(self.disk.clone()).unwrap();
        self.databases = Arc::new(DatabaseMap::load(&*self.engine, DATABASES).unwrap());
    }

    /// Runs a command as it is typed into redis-cli.
    pub fn run(&mut self, line: &str) -> Value {
        let args = CommandArgs::from_line(line.as_bytes()).unwrap();
        let mut reply = ReplyBuffer::new(Protocol::Resp2);
        if let Err(error) = self.call(&args, &mut reply) {
            reply.rollback(0);
            reply.error(error.to_string());
        }
        let mut encoded = reply.into_bytes();
        let value = Value::decode(&mut encoded).unwrap().expect("a complete reply");
        assert!(encoded.is_empty(), "{line}: more than one reply");
        value
    }

    fn call(&mut self, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<(), CommandError> {
        if args.name().eq_ignore_ascii_case(b"select") {
            self.db = args.get(1).and_then(number::parse_i64).unwrap() as usize;
            reply.ok();
            return Ok(());
        }
        let command = self.commands.resolve(args)?.command;
        let operation = operation(command, args)?;
        if command.writes() || operation.waits().is_some() {
            self.write(|keyspace| match operation.run(keyspace, reply) {
                // Its time is out at once.
                Err(CommandError::WouldWait) => {
                    reply.null_array();
                    Ok(())
                }
                done => done,
            })
        } else {
            self.read(&*operation, reply)
        }
    }

    /// Runs a read as a reader does: by a single look at the latest state, and if that is not enough on a snapshot.
    fn read(&mut self, operation: &dyn Operation, reply: &mut ReplyBuffer) -> Result<(), CommandError> {
        let mut keyspace = self.keyspace(Txn::one_read(&*self.engine, ReadTier::All));
        let mut done = operation.run(&mut keyspace, reply);
        let (mut events, mut key_events) = (keyspace.events, keyspace.take_key_events());
        if done == Err(TxnError::NeedsSnapshot.into()) {
            reply.rollback(0);
            let snapshot = self.engine.snapshot();
            let mut keyspace = self.keyspace(Txn::snapshot(&*snapshot, ReadTier::All));
            done = operation.run(&mut keyspace, reply);
            (events, key_events) = (keyspace.events, keyspace.take_key_events());
        }
        (self.events, self.key_events) = (events, key_events);
        done
    }

    fn write(&mut self, run: impl FnOnce(&mut Keyspace<'_>) -> Result<(), CommandError>) -> Result<(), CommandError> {
        let mut keyspace = self.keyspace(Txn::writer(&*self.engine));
        let done = run(&mut keyspace);
        if done.is_err() {
            keyspace.undo();
        }
        keyspace.keep();
        self.engine.write(&keyspace.txn().to_batch(), WriteOptions::default()).unwrap();
        (self.events, self.databases) = (keyspace.events, keyspace.databases().clone());
        self.key_events = keyspace.take_key_events();
        done
    }

    fn keyspace<'v>(&self, txn: Txn<'v>) -> Keyspace<'v> {
        let limits = ValueLimits { bytes_max: 512 * 1024 * 1024, encodings: ENCODINGS };
        let mut keyspace = Keyspace::new(txn, self.databases.clone(), self.now_ms, self.now_ms, limits);
        keyspace.select(self.db);
        keyspace.set_event_mask(EventMask::parse("AKEmn"));
        keyspace
    }

    /// Stores a value that no command under test can make.
    pub fn put(&mut self, key: &'static str, record: Record) {
        self.write(|keyspace| {
            let mut entry = keyspace.entry(&Bytes::from_static(key.as_bytes()))?;
            keyspace.put(&mut entry, record)
        })
        .unwrap();
    }

    /// Runs a script: `> command`, then the reply; `...` stands for any rest of it, and `@ 100` lets 100 milliseconds
    /// pass. Indentation that all lines share is ignored.
    pub fn check(&mut self, script: &str) {
        let lines = || script.lines().filter(|line| !line.trim().is_empty());
        let indent = lines().map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
        let mut lines = lines().map(|line| &line[indent..]).peekable();
        while let Some(line) = lines.next() {
            if let Some(ms) = line.strip_prefix("@ ") {
                self.now_ms += ms.parse::<u64>().unwrap();
                continue;
            }
            let command = line.strip_prefix("> ").unwrap_or_else(|| panic!("neither a command nor a reply: {line}"));
            let mut expected = Vec::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with("> ") && !line.starts_with("@ ")) {
                expected.push(line);
            }
            let found = self.run(command).to_string();
            let mut found: Vec<&str> = found.lines().collect();
            if expected.last() == Some(&"...") {
                expected.pop();
                found.truncate(expected.len());
            }
            assert_eq!(found, expected, "reply to {command}");
        }
    }
}

thread_local! {
    /// The server of those commands that need one besides their data: scripts.
    static CLIENT: TestClient = TestClient::new();
}

fn operation(command: &Command, args: &CommandArgs) -> Result<Box<dyn Operation>, CommandError> {
    let operation = CLIENT.with(|client| command.run.operation(&client.session, args));
    operation.unwrap_or_else(|| panic!("{} does not run in storage", command.name))
}

/// Runs a script against a fresh server.
pub fn check(script: &str) {
    Harness::new().check(script);
}

/// Runs `> command` lines, each followed by what it says to whom it may concern: `database event key`, one a line.
pub fn check_key_events(script: &str) {
    let mut harness = Harness::new();
    let mut lines = script.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    while let Some(line) = lines.next() {
        if let Some(ms) = line.strip_prefix("@ ") {
            harness.now_ms += ms.parse::<u64>().unwrap();
            continue;
        }
        let command = line.strip_prefix("> ").unwrap_or_else(|| panic!("not a command: {line}"));
        harness.key_events.clear();
        harness.run(command);
        let said = harness
            .key_events
            .iter()
            .map(|event| format!("{} {} {}", event.db, event.name, String::from_utf8_lossy(&event.key)));
        let mut expected = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with("> ") && !line.starts_with("@ ")) {
            expected.push(line);
        }
        assert_eq!(said.collect::<Vec<_>>(), expected, "said by {command}");
    }
}

/// Runs the examples of all rows that run in storage.
pub fn check_examples(commands: &[&Command]) {
    for command in commands.iter().flat_map(|command| std::iter::once(command).chain(command.subcommands)) {
        if matches!(command.run, Run::Storage(_)) {
            assert!(!command.examples.is_empty(), "{} has no examples", command.name);
            check(command.examples);
        }
    }
}
