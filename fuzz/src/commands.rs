//! Commands over the memory engine, as the writer and the readers run them: any command with any arguments, most of them
//! drawn from its own grammar. Nothing panics; a reply is one well-formed reply; a command that fails leaves no trace; a
//! reader answers as the writer would; DBSIZE is the number of keys.

use std::sync::{Arc, LazyLock};

use bulkhead::commands::spec::{Argument, ArgumentKind, Command, Flag, Run};
use bulkhead::commands::{CommandError, CommandTable, table};
use bulkhead::engine::memory::{MemoryDisk, MemoryEngine};
use bulkhead::engine::thread::as_engine_thread;
use bulkhead::engine::{Engine, ReadTier, WriteOptions};
use bulkhead::keyspace::{DatabaseMap, Keyspace, Operation, Txn, TxnError, ValueLimits};
use bulkhead::observe::CommandStats;
use bulkhead::resp::{CommandArgs, Protocol, ReplyBuffer, Value};
use bytes::{Bytes, BytesMut};

use crate::input::Input;

const DATABASES: usize = 3;
/// `proto-max-bulk-len`: small, so that the limit is reached and quadratic commands end.
const VALUE_BYTES_MAX: usize = 2048;
const COMMANDS_MAX: usize = 64;
const START_MS: u64 = 1_720_000_000_000;

static TABLE: LazyLock<CommandTable> = LazyLock::new(|| CommandTable::new(&[], &CommandStats::default()));

/// The commands that run in storage, subcommands with their containers' names, in the order of the table.
static STORAGE: LazyLock<Vec<(Vec<&'static str>, &'static Command)>> = LazyLock::new(|| {
    let all = table::all().flat_map(|command| {
        let subcommands = command.subcommands.iter().map(move |sub| (vec![command.name, sub.name], *sub));
        std::iter::once((vec![command.name], command)).chain(subcommands)
    });
    all.filter(|(_, command)| matches!(command.run, Run::Storage(_))).collect()
});

pub fn commands(input: &[u8]) {
    as_engine_thread(|| {
        let mut input = Input::new(input);
        let mut server = Server::new(input.pick(&[Protocol::Resp2, Protocol::Resp3]));
        for _ in 0..COMMANDS_MAX {
            if input.is_empty() {
                break;
            }
            match input.index(16) {
                0 => server.now_ms += u64::from(input.byte()) * 100,
                1 => server.db = input.index(DATABASES),
                2 => server.expire(),
                _ => {
                    let args = CommandArgs::from_parts(&call(&mut input));
                    server.call(&args);
                }
            }
        }
        server.check_counts();
    });
}

// ---- Drawing a call -----------------------------------------------------------------------------------------------

/// The words of a call: by a command's grammar, and now and then spoilt.
fn call(input: &mut Input<'_>) -> Vec<Vec<u8>> {
    let (name, command) = &STORAGE[input.index(STORAGE.len())];
    let mut words: Vec<Vec<u8>> = name.iter().map(|word| word.as_bytes().to_vec()).collect();
    arguments(input, command.arguments, &mut words);
    if input.one_in(6) {
        let at = input.index(words.len());
        match input.index(4) {
            0 => drop(words.remove(at)),
            1 => words.insert(at, string(input)),
            2 => words[at] = integer(input),
            _ => {
                let other = input.index(words.len());
                words.swap(at, other);
            }
        }
    }
    words
}

fn arguments(input: &mut Input<'_>, grammar: &[Argument], words: &mut Vec<Vec<u8>>) {
    for argument in grammar {
        if argument.optional && !input.one_in(2) {
            continue;
        }
        let times = if argument.multiple { 1 + input.index(3) } else { 1 };
        for time in 0..times {
            if let Some(token) = argument.token.filter(|_| time == 0 || argument.multiple_token) {
                words.push(token.as_bytes().to_vec());
            }
            match argument.kind {
                ArgumentKind::PureToken => {}
                ArgumentKind::OneOf => {
                    let one = input.index(argument.arguments.len());
                    arguments(input, &argument.arguments[one..=one], words);
                }
                ArgumentKind::Block => arguments(input, argument.arguments, words),
                ArgumentKind::Key => words.push(input.pick(&[&b"a"[..], b"b", b"c", b"", b"a\0"]).to_vec()),
                ArgumentKind::Pattern => words.push(input.pick(&[&b"*"[..], b"a*", b"[^b]", b"[", b"\\"]).to_vec()),
                ArgumentKind::Integer | ArgumentKind::Double | ArgumentKind::UnixTime => words.push(integer(input)),
                ArgumentKind::String => words.push(string(input)),
            }
        }
    }
}

fn integer(input: &mut Input<'_>) -> Vec<u8> {
    const NUMBERS: &[&str] = &[
        "0",
        "1",
        "-1",
        "2",
        "3",
        "7",
        "10",
        "100",
        "255",
        "2047",
        "2048",
        "4096",
        "-2048",
        "1.5",
        "-0.1",
        "3e2",
        "inf",
        "nan",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551615",
        "1720000000",
        "1720000001000",
        "1720000005",
        "1e308",
        "-0",
        "007",
        " 1",
        "0x10",
        "",
    ];
    input.pick(NUMBERS).as_bytes().to_vec()
}

fn string(input: &mut Input<'_>) -> Vec<u8> {
    match input.index(4) {
        0 => integer(input),
        1 => b"xyzzy".repeat(input.index(300)),
        _ => {
            let len = input.index(16);
            input.bytes(len).to_vec()
        }
    }
}

// ---- Running it ---------------------------------------------------------------------------------------------------

/// A store and one client's place in it.
struct Server {
    engine: Arc<MemoryEngine>,
    databases: Arc<DatabaseMap>,
    db: usize,
    now_ms: u64,
    protocol: Protocol,
}

impl Server {
    fn new(protocol: Protocol) -> Server {
        let engine = MemoryEngine::open(MemoryDisk::new()).expect("an empty disk opens");
        let databases = Arc::new(DatabaseMap::load(&*engine, DATABASES).expect("an empty disk is readable"));
        Server { engine, databases, db: 0, now_ms: START_MS, protocol }
    }

    /// Runs a call where it belongs, and gives its reply.
    fn call(&mut self, args: &CommandArgs) -> Value {
        let command = match TABLE.resolve(args) {
            Ok(call) => call.command,
            Err(error) => return self.refused(args, &error),
        };
        let Run::Storage(parse) = command.run else { return Value::Null };
        let operation = match parse(args) {
            Ok(operation) => operation,
            Err(error) => return self.refused(args, &error),
        };
        let reply = self.write(&*operation);
        if command.has(Flag::Readonly) {
            assert_eq!(self.read(&*operation), reply, "a reader's reply to {args:?}, and the writer's");
        }
        well_formed(&reply, self.protocol, args)
    }

    fn refused(&self, args: &CommandArgs, error: &CommandError) -> Value {
        let mut reply = ReplyBuffer::new(self.protocol);
        reply.error(error.to_string());
        well_formed(&reply.into_bytes().freeze(), self.protocol, args)
    }

    /// As the writer: over an overlay, which becomes one batch. A failed command's overlay must be as it was.
    fn write(&mut self, operation: &dyn Operation) -> Bytes {
        let mut keyspace = self.keyspace(Txn::writer(&*self.engine));
        let mut reply = ReplyBuffer::new(self.protocol);
        match operation.run(&mut keyspace, &mut reply) {
            Ok(()) => drop(keyspace.keep()),
            Err(error) => {
                keyspace.undo();
                assert!(keyspace.txn().to_batch().is_empty(), "{operation:?} failed with {error} and left a trace");
                reply.rollback(0);
                reply.error(error.to_string());
            }
        }
        self.commit(&keyspace.txn().to_batch(), keyspace.databases().clone());
        reply.into_bytes().freeze()
    }

    /// As a reader: by a single look, and if that is not enough on a snapshot.
    fn read(&self, operation: &dyn Operation) -> Bytes {
        let mut reply = ReplyBuffer::new(self.protocol);
        let mut done = operation.run(&mut self.keyspace(Txn::one_read(&*self.engine, ReadTier::All)), &mut reply);
        if done == Err(TxnError::NeedsSnapshot.into()) {
            reply.rollback(0);
            let snapshot = self.engine.snapshot();
            done = operation.run(&mut self.keyspace(Txn::snapshot(&*snapshot, ReadTier::All)), &mut reply);
        }
        if let Err(error) = done {
            reply.rollback(0);
            reply.error(error.to_string());
        }
        reply.into_bytes().freeze()
    }

    fn keyspace<'v>(&self, txn: Txn<'v>) -> Keyspace<'v> {
        let limits = ValueLimits { bytes_max: VALUE_BYTES_MAX, ..ValueLimits::default() };
        let mut keyspace = Keyspace::new(txn, self.databases.clone(), self.now_ms, self.now_ms, limits);
        keyspace.select(self.db);
        keyspace
    }

    fn commit(&mut self, batch: &bulkhead::engine::WriteBatch, databases: Arc<DatabaseMap>) {
        self.engine.write(batch, WriteOptions::default()).expect("a healthy disk takes writes");
        self.databases = databases;
    }

    /// Removes what has expired, as housekeeping does.
    fn expire(&mut self) {
        loop {
            let mut keyspace = self.keyspace(Txn::writer(&*self.engine));
            let count = keyspace.expire_due(0, 16).expect("the expiry index is readable");
            keyspace.keep();
            self.commit(&keyspace.txn().to_batch(), keyspace.databases().clone());
            if count == 0 {
                return;
            }
        }
    }

    fn check_counts(&mut self) {
        self.expire();
        for db in 0..DATABASES {
            self.db = db;
            let keys = self.call(&CommandArgs::from_parts(&["KEYS", "*"]));
            let count = self.call(&CommandArgs::from_parts(&["DBSIZE"]));
            let Value::Array(keys) = keys else { panic!("KEYS is answered with {keys}") };
            assert_eq!(count, Value::Integer(keys.len() as i64), "DBSIZE of database {db}, which holds {keys:?}");
        }
    }
}

/// One reply, complete, with nothing behind it, in the words of its protocol.
fn well_formed(reply: &[u8], protocol: Protocol, args: &CommandArgs) -> Value {
    let mut rest = BytesMut::from(reply);
    let value =
        Value::decode(&mut rest).unwrap_or_else(|error| panic!("{args:?}: {error} in {}", reply.escape_ascii()));
    let value = value.unwrap_or_else(|| panic!("{args:?}: half a reply: {}", reply.escape_ascii()));
    assert!(rest.is_empty(), "{args:?}: more than one reply: {}", reply.escape_ascii());
    assert!(protocol == Protocol::Resp3 || is_resp2(&value), "{args:?}: RESP3 for a RESP2 client: {value:?}");
    value
}

fn is_resp2(value: &Value) -> bool {
    match value {
        Value::Simple(_) | Value::Error(_) | Value::Integer(_) | Value::Bulk(_) | Value::Null | Value::NullArray => {
            true
        }
        Value::Array(values) => values.iter().all(is_resp2),
        _ => false,
    }
}
