//! Each type against a simple model, with a crash between any two calls that a command makes to the engine: after it the
//! data is what it was before the command or after it, never between; and after a power cut it is what it was after some
//! earlier command, of all keys together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;
use crate::engine::{ColumnFamily, Cursor, EngineError, Scan, View};

const KEYS: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug, PartialEq)]
enum Held {
    Text(Vec<u8>),
    List(Vec<String>),
    Hash(BTreeMap<String, String>),
    Set(BTreeSet<String>),
    Board(BTreeMap<String, i64>),
    Log(Log),
}

/// A stream, whose ids are all of one millisecond.
#[derive(Clone, Debug, Default, PartialEq)]
struct Log {
    entries: BTreeMap<u64, String>,
    /// Given last.
    last: Option<u64>,
    /// The consumer group: what it has delivered last, and what is pending.
    group: Option<(Option<u64>, BTreeSet<u64>)>,
}

type Model = BTreeMap<&'static str, Held>;

/// A command, and what it makes of the model.
#[derive(Clone, Debug)]
struct Call {
    args: Vec<String>,
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    Write { key: &'static str, from: usize, text: String },
    Append { key: &'static str, text: String },
    Replace { key: &'static str, text: String },
    Push { key: &'static str, left: bool, elements: Vec<String> },
    Pop { key: &'static str, left: bool, count: usize },
    MoveElement { from: &'static str, to: &'static str },
    RemoveElement { key: &'static str, element: String },
    Insert { key: &'static str, pivot: String, element: String },
    Trim { key: &'static str, from: usize, to: usize },
    SetFields { key: &'static str, fields: Vec<(String, String)> },
    RemoveNames { key: &'static str, names: Vec<String> },
    AddMembers { key: &'static str, members: Vec<String> },
    MoveMember { from: &'static str, to: &'static str, member: String },
    Union { to: &'static str, of: [&'static str; 2] },
    SetScores { key: &'static str, scores: Vec<(i64, String)> },
    AddScore { key: &'static str, score: i64, member: String },
    PopScores { key: &'static str, lowest: bool, count: usize },
    RemoveScores { key: &'static str, from: i64, to: i64 },
    AddEntry { key: &'static str, text: String, most: usize },
    DeleteEntries { key: &'static str, ids: Vec<u64> },
    TrimEntries { key: &'static str, most: usize },
    MakeGroup { key: &'static str },
    DropGroup { key: &'static str },
    Deliver { key: &'static str, count: usize },
    Acknowledge { key: &'static str, ids: Vec<u64> },
    Delete { key: &'static str },
    Rename { from: &'static str, to: &'static str },
    Copy { from: &'static str, to: &'static str },
    Flush,
}

fn call(words: &[&str], rest: impl IntoIterator<Item = String>, change: Change) -> Call {
    Call { args: words.iter().map(|word| word.to_string()).chain(rest).collect(), change }
}

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&KEYS[..])
}

/// Some names are so long that four of them do not fit into a record.
fn name() -> impl Strategy<Value = String> {
    (0usize..90).prop_map(element)
}

fn element(number: usize) -> String {
    if number.is_multiple_of(10) { format!("{number}").repeat(150) } else { format!("m{number}") }
}

/// A few, or so many that the collection outgrows its record; or nearly all of these, which leave a few if they are removed.
fn names() -> impl Strategy<Value = Vec<String>> {
    prop_oneof![
        3 => prop::collection::vec(name(), 1..6),
        1 => Just((0..90).map(element).collect::<Vec<String>>()),
        1 => Just((5..90).map(element).collect::<Vec<String>>()),
    ]
}

fn generic() -> BoxedStrategy<Call> {
    prop_oneof![
        3 => key().prop_map(|key| call(&["DEL", key], [], Change::Delete { key })),
        2 => (key(), key()).prop_map(|(from, to)| call(&["RENAME", from, to], [], Change::Rename { from, to })),
        2 => (key(), key())
            .prop_map(|(from, to)| call(&["COPY", from, to, "REPLACE"], [], Change::Copy { from, to })),
        1 => Just(call(&["FLUSHDB"], [], Change::Flush)),
    ]
    .boxed()
}

/// Texts short and long, and so long that they lie in segments.
fn text() -> impl Strategy<Value = String> {
    (prop::sample::select(&[1usize, 30, 3000, 70_000][..]), prop::char::range('a', 'z'))
        .prop_map(|(len, letter)| letter.to_string().repeat(len))
}

fn texts() -> BoxedStrategy<Call> {
    prop_oneof![
        (key(), text()).prop_map(|(key, text)| call(&["SET", key], [text.clone()], Change::Replace { key, text })),
        (key(), text()).prop_map(|(key, text)| call(&["APPEND", key], [text.clone()], Change::Append { key, text })),
        (key(), 0usize..100_000, text()).prop_map(|(key, from, text)| {
            call(&["SETRANGE", key], [from.to_string(), text.clone()], Change::Write { key, from, text })
        }),
    ]
    .boxed()
}

fn lists() -> BoxedStrategy<Call> {
    prop_oneof![
        4 => (key(), any::<bool>(), names()).prop_map(|(key, left, elements)| {
            let word = if left { "LPUSH" } else { "RPUSH" };
            call(&[word, key], elements.clone(), Change::Push { key, left, elements })
        }),
        2 => (key(), any::<bool>(), 1usize..100).prop_map(|(key, left, count)| {
            let word = if left { "LPOP" } else { "RPOP" };
            call(&[word, key], [count.to_string()], Change::Pop { key, left, count })
        }),
        1 => (key(), key()).prop_map(|(from, to)| {
            call(&["LMOVE", from, to, "LEFT", "RIGHT"], [], Change::MoveElement { from, to })
        }),
        1 => (key(), name()).prop_map(|(key, element)| {
            call(&["LREM", key, "0"], [element.clone()], Change::RemoveElement { key, element })
        }),
        1 => (key(), name(), name()).prop_map(|(key, pivot, element)| {
            let rest = [pivot.clone(), element.clone()];
            call(&["LINSERT", key, "BEFORE"], rest, Change::Insert { key, pivot, element })
        }),
        1 => (key(), 0usize..60, 0usize..120).prop_map(|(key, from, to)| {
            call(&["LTRIM", key], [from.to_string(), to.to_string()], Change::Trim { key, from, to })
        }),
    ]
    .boxed()
}

fn hashes() -> BoxedStrategy<Call> {
    prop_oneof![
        3 => (key(), names(), name()).prop_map(|(key, names, value)| {
            let fields: Vec<(String, String)> = names.into_iter().map(|name| (name, value.clone())).collect();
            let rest: Vec<String> = fields.iter().flat_map(|(name, value)| [name.clone(), value.clone()]).collect();
            call(&["HSET", key], rest, Change::SetFields { key, fields })
        }),
        2 => (key(), names())
            .prop_map(|(key, names)| call(&["HDEL", key], names.clone(), Change::RemoveNames { key, names })),
    ]
    .boxed()
}

fn sets() -> BoxedStrategy<Call> {
    prop_oneof![
        3 => (key(), names())
            .prop_map(|(key, members)| call(&["SADD", key], members.clone(), Change::AddMembers { key, members })),
        2 => (key(), names())
            .prop_map(|(key, names)| call(&["SREM", key], names.clone(), Change::RemoveNames { key, names })),
        1 => (key(), key(), name()).prop_map(|(from, to, member)| {
            call(&["SMOVE", from, to], [member.clone()], Change::MoveMember { from, to, member })
        }),
        1 => (key(), key(), key())
            .prop_map(|(to, one, two)| call(&["SUNIONSTORE", to, one, two], [], Change::Union { to, of: [one, two] })),
    ]
    .boxed()
}

fn boards() -> BoxedStrategy<Call> {
    prop_oneof![
        3 => (key(), names(), -5i64..5).prop_map(|(key, names, first)| {
            let scores: Vec<(i64, String)> =
                names.into_iter().enumerate().map(|(at, name)| (first + at as i64 % 7, name)).collect();
            let rest: Vec<String> = scores.iter().flat_map(|(score, name)| [score.to_string(), name.clone()]).collect();
            call(&["ZADD", key], rest, Change::SetScores { key, scores })
        }),
        1 => (key(), -5i64..5, name()).prop_map(|(key, score, member)| {
            call(&["ZINCRBY", key], [score.to_string(), member.clone()], Change::AddScore { key, score, member })
        }),
        1 => (key(), names())
            .prop_map(|(key, names)| call(&["ZREM", key], names.clone(), Change::RemoveNames { key, names })),
        2 => (key(), any::<bool>(), prop_oneof![1usize..5, 1usize..100]).prop_map(|(key, lowest, count)| {
            let word = if lowest { "ZPOPMIN" } else { "ZPOPMAX" };
            call(&[word, key], [count.to_string()], Change::PopScores { key, lowest, count })
        }),
        1 => (key(), -5i64..5, -5i64..5).prop_map(|(key, from, to)| {
            let rest = [from.to_string(), to.to_string()];
            call(&["ZREMRANGEBYSCORE", key], rest, Change::RemoveScores { key, from, to })
        }),
    ]
    .boxed()
}

fn logs() -> BoxedStrategy<Call> {
    let ids = || prop::collection::vec(0u64..30, 1..6);
    let words = |ids: &[u64]| ids.iter().map(|id| format!("1-{id}")).collect::<Vec<String>>();
    prop_oneof![
        6 => (key(), name(), prop_oneof![Just(1000usize), 0usize..8]).prop_map(|(key, text, most)| {
            let rest = [most.to_string(), "1-*".into(), "f".into(), text.clone()];
            call(&["XADD", key, "MAXLEN"], rest, Change::AddEntry { key, text, most })
        }),
        2 => (key(), ids()).prop_map(move |(key, ids)| {
            call(&["XDEL", key], words(&ids), Change::DeleteEntries { key, ids })
        }),
        1 => (key(), 0usize..8).prop_map(|(key, most)| {
            call(&["XTRIM", key, "MAXLEN"], [most.to_string()], Change::TrimEntries { key, most })
        }),
        2 => key().prop_map(|key| {
            call(&["XGROUP", "CREATE", key, "g", "0", "MKSTREAM"], [], Change::MakeGroup { key })
        }),
        1 => key().prop_map(|key| call(&["XGROUP", "DESTROY", key, "g"], [], Change::DropGroup { key })),
        3 => (key(), 1usize..6).prop_map(|(key, count)| {
            let rest = [count.to_string(), "STREAMS".into(), key.into(), ">".into()];
            call(&["XREADGROUP", "GROUP", "g", "c", "COUNT"], rest, Change::Deliver { key, count })
        }),
        2 => (key(), ids()).prop_map(move |(key, ids)| {
            call(&["XACK", key, "g"], words(&ids), Change::Acknowledge { key, ids })
        }),
    ]
    .boxed()
}

/// The same commands, each the first half of a script, or all of it; the second half is an error.
fn scripted(of_a_type: BoxedStrategy<Call>) -> BoxedStrategy<Call> {
    let script = prop_oneof![
        Just("return redis.call(unpack(ARGV))"),
        Just("redis.call(unpack(ARGV)) error('behind it')"),
        Just("redis.pcall('SET') redis.pcall('BITOP', 'AND', 'a') return redis.pcall(unpack(ARGV))"),
    ];
    (of_a_type, script).prop_map(|(inner, script)| call(&["EVAL", script, "0"], inner.args, inner.change)).boxed()
}

fn list<'m>(model: &'m mut Model, key: &'static str) -> &'m mut Vec<String> {
    match model.entry(key).or_insert_with(|| Held::List(Vec::new())) {
        Held::List(list) => list,
        other => panic!("{other:?} is no list"),
    }
}

fn text_of<'m>(model: &'m mut Model, key: &'static str) -> &'m mut Vec<u8> {
    match model.entry(key).or_insert_with(|| Held::Text(Vec::new())) {
        Held::Text(text) => text,
        other => panic!("{other:?} is no text"),
    }
}

fn set<'m>(model: &'m mut Model, key: &'static str) -> &'m mut BTreeSet<String> {
    match model.entry(key).or_insert_with(|| Held::Set(BTreeSet::new())) {
        Held::Set(set) => set,
        other => panic!("{other:?} is no set"),
    }
}

fn board<'m>(model: &'m mut Model, key: &'static str) -> &'m mut BTreeMap<String, i64> {
    match model.entry(key).or_insert_with(|| Held::Board(BTreeMap::new())) {
        Held::Board(board) => board,
        other => panic!("{other:?} is no sorted set"),
    }
}

/// `None`: there is no stream.
fn log<'m>(model: &'m mut Model, key: &'static str) -> Option<&'m mut Log> {
    match model.get_mut(key) {
        Some(Held::Log(log)) => Some(log),
        None => None,
        Some(other) => panic!("{other:?} is no stream"),
    }
}

fn apply_to_log(model: &mut Model, change: Change) {
    let make = |model: &mut Model, key| {
        model.entry(key).or_insert_with(|| Held::Log(Log::default()));
    };
    let trim = |log: &mut Log, most: usize| {
        while log.entries.len() > most {
            log.entries.pop_first();
        }
    };
    match change {
        Change::AddEntry { key, text, most } => {
            make(model, key);
            let log = log(model, key).unwrap();
            let id = log.last.map_or(0, |last| last + 1);
            log.last = Some(id);
            log.entries.insert(id, text);
            trim(log, most);
        }
        Change::DeleteEntries { key, ids } => {
            log(model, key).into_iter().for_each(|log| log.entries.retain(|id, _| !ids.contains(id)));
        }
        Change::TrimEntries { key, most } => log(model, key).into_iter().for_each(|log| trim(log, most)),
        Change::MakeGroup { key } => {
            make(model, key);
            log(model, key).unwrap().group.get_or_insert_default();
        }
        Change::DropGroup { key } => log(model, key).into_iter().for_each(|log| log.group = None),
        Change::Deliver { key, count } => {
            if let Some(Log { entries, group: Some((last, pending)), .. }) = log(model, key) {
                let new = entries.keys().copied().filter(|id| last.is_none_or(|last| *id > last));
                let new: Vec<u64> = new.take(count).collect();
                *last = new.last().copied().or(*last);
                pending.extend(new);
            }
        }
        Change::Acknowledge { key, ids } => {
            if let Some(Log { group: Some((_, pending)), .. }) = log(model, key) {
                pending.retain(|id| !ids.contains(id));
            }
        }
        other => panic!("{other:?} is about no stream"),
    }
}

fn apply(model: &mut Model, change: &Change) {
    match change.clone() {
        Change::Write { key, from, text } => {
            let held = text_of(model, key);
            held.resize(held.len().max(from + text.len()), 0);
            held[from..from + text.len()].copy_from_slice(text.as_bytes());
        }
        Change::Append { key, text } => text_of(model, key).extend_from_slice(text.as_bytes()),
        Change::Replace { key, text } => drop(model.insert(key, Held::Text(text.into_bytes()))),
        Change::Push { key, left, elements } => {
            let list = list(model, key);
            for element in elements {
                list.insert(if left { 0 } else { list.len() }, element);
            }
        }
        Change::Pop { key, left, count } => {
            let list = list(model, key);
            let count = count.min(list.len());
            let range = if left { 0..count } else { list.len() - count..list.len() };
            list.drain(range);
        }
        Change::MoveElement { from, to } => {
            if !list(model, from).is_empty() {
                let element = list(model, from).remove(0);
                list(model, to).push(element);
            }
        }
        Change::RemoveElement { key, element } => list(model, key).retain(|other| *other != element),
        Change::Insert { key, pivot, element } => {
            let list = list(model, key);
            if let Some(at) = list.iter().position(|other| *other == pivot) {
                list.insert(at, element);
            }
        }
        Change::Trim { key, from, to } => {
            let list = list(model, key);
            list.truncate(to + 1);
            list.drain(..from.min(list.len()));
        }
        Change::SetFields { key, fields } => {
            let held = model.entry(key).or_insert_with(|| Held::Hash(BTreeMap::new()));
            let Held::Hash(hash) = held else { panic!("{held:?} is no hash") };
            hash.extend(fields);
        }
        Change::RemoveNames { key, names } => match model.get_mut(key) {
            None => {}
            Some(Held::Hash(hash)) => hash.retain(|name, _| !names.contains(name)),
            Some(Held::Set(set)) => set.retain(|name| !names.contains(name)),
            Some(Held::Board(board)) => board.retain(|name, _| !names.contains(name)),
            Some(other) => panic!("{other:?} has no names"),
        },
        Change::AddMembers { key, members } => set(model, key).extend(members),
        Change::MoveMember { from, to, member } => {
            if set(model, from).remove(&member) {
                set(model, to).insert(member);
            }
        }
        Change::Union { to, of } => {
            let union: BTreeSet<String> = of.into_iter().flat_map(|key| set(model, key).clone()).collect();
            *set(model, to) = union;
        }
        Change::SetScores { key, scores } => {
            board(model, key).extend(scores.into_iter().map(|(score, member)| (member, score)));
        }
        Change::AddScore { key, score, member } => *board(model, key).entry(member).or_default() += score,
        Change::PopScores { key, lowest, count } => {
            let board = board(model, key);
            let mut order: Vec<(i64, String)> = board.iter().map(|(name, score)| (*score, name.clone())).collect();
            order.sort();
            if !lowest {
                order.reverse();
            }
            for (_, name) in order.iter().take(count) {
                board.remove(name);
            }
        }
        Change::RemoveScores { key, from, to } => board(model, key).retain(|_, score| *score < from || *score > to),
        Change::Delete { key } => drop(model.remove(key)),
        Change::Rename { from, to } => {
            if let Some(held) = model.remove(from) {
                model.insert(to, held);
            }
        }
        Change::Copy { from, to } => {
            if let Some(held) = model.get(from).cloned() {
                model.insert(to, held);
            }
        }
        Change::Flush => model.clear(),
        change => apply_to_log(model, change),
    }
    model.retain(|_, held| match held {
        Held::Text(_) => true,
        Held::List(list) => !list.is_empty(),
        Held::Hash(hash) => !hash.is_empty(),
        Held::Set(set) => !set.is_empty(),
        Held::Board(board) => !board.is_empty(),
        Held::Log(_) => true,
    });
}

// ---- The engine that dies -------------------------------------------------------------------------------------------

/// A view whose process dies before its last call but so many.
struct Dying<'e> {
    engine: &'e MemoryEngine,
    disk: &'e MemoryDisk,
    calls_left: AtomicU64,
}

impl Dying<'_> {
    fn pass(&self) {
        if self.calls_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err() {
            self.disk.crash_process();
        }
    }
}

impl View for Dying<'_> {
    fn get(&self, cf: ColumnFamily, key: &[u8], tier: ReadTier) -> Result<Option<Bytes>, EngineError> {
        self.pass();
        self.engine.get(cf, key, tier)
    }

    fn scan<'v>(&'v self, cf: ColumnFamily, scan: Scan) -> Box<dyn Cursor + 'v> {
        self.pass();
        self.engine.scan(cf, scan)
    }
}

/// Runs a command that dies after `calls` calls to the engine, if it makes so many. `false`: it died before it was
/// written.
fn attempt(harness: &mut Harness, args: &CommandArgs, calls: u64) -> bool {
    let command = harness.commands.resolve(args).unwrap().command;
    let operation = operation(command, args).unwrap();
    let engine = harness.engine.clone();
    let view = Dying { engine: &engine, disk: &harness.disk, calls_left: AtomicU64::new(calls) };
    let mut keyspace = harness.keyspace(Txn::writer(&view));
    match operation.run(&mut keyspace, &mut ReplyBuffer::new(Protocol::Resp2)) {
        Ok(()) => {}
        Err(CommandError::Storage(TxnError::Engine(EngineError::Closed))) => return false,
        // What it did stays.
        Err(CommandError::Script { .. }) => {}
        Err(_) => keyspace.undo(),
    }
    keyspace.keep();
    let batch = keyspace.txn().to_batch();
    let databases = keyspace.databases().clone();
    drop(keyspace);
    view.pass();
    if !batch.is_empty() && engine.write(&batch, WriteOptions::default()).is_err() {
        return false;
    }
    harness.databases = databases;
    true
}

/// What a stream and its group are, from what three commands say.
fn held_log(harness: &mut Harness, key: &str) -> Log {
    let array = |value: Value| match value {
        Value::Array(values) => values,
        other => panic!("{other} is no array"),
    };
    let text = |value: &Value| match value {
        Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("{other} is no text"),
    };
    let id = |value: &Value| match text(value).split_once('-').unwrap() {
        ("0", "0") => None,
        (ms, seq) => Some(seq.parse::<u64>().unwrap()).filter(|_| ms == "1"),
    };
    let mut log = Log::default();
    for entry in array(harness.run(&format!("XRANGE {key} - +"))) {
        let entry = array(entry);
        log.entries.insert(id(&entry[0]).unwrap(), text(&array(entry[1].clone())[1]));
    }
    let info = array(harness.run(&format!("XINFO STREAM {key}")));
    log.last = id(&info[7]);
    assert_eq!(info[1], Value::Integer(log.entries.len() as i64), "length of {key}");
    for group in array(harness.run(&format!("XINFO GROUPS {key}"))) {
        let group = array(group);
        let pending = array(harness.run(&format!("XPENDING {key} g - + 1000")));
        let ids: BTreeSet<u64> = pending.into_iter().map(|entry| id(&array(entry)[0]).unwrap()).collect();
        assert_eq!(group[5], Value::Integer(ids.len() as i64), "what is pending of {key}");
        log.group = Some((id(&group[7]), ids));
    }
    log
}

/// What the server says that it holds.
fn held(harness: &mut Harness) -> Model {
    let text = |value: &Value| match value {
        Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("{other} is no text"),
    };
    let mut model = Model::new();
    for key in KEYS {
        let kind = match harness.run(&format!("TYPE {key}")) {
            Value::Simple(kind) => kind,
            other => panic!("TYPE: {other}"),
        };
        let mut ask = |line: String| match harness.run(&line) {
            Value::Array(values) => values.iter().map(text).collect::<Vec<String>>(),
            other => vec![text(&other)],
        };
        let pairs = |flat: Vec<String>| -> Vec<(String, String)> {
            flat.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
        };
        let held = match &kind[..] {
            b"none" => continue,
            b"string" => Held::Text(ask(format!("GET {key}")).remove(0).into_bytes()),
            b"list" => Held::List(ask(format!("LRANGE {key} 0 -1"))),
            b"hash" => Held::Hash(pairs(ask(format!("HGETALL {key}"))).into_iter().collect()),
            b"set" => Held::Set(ask(format!("SMEMBERS {key}")).into_iter().collect()),
            b"zset" => {
                let flat = pairs(ask(format!("ZRANGE {key} 0 -1 WITHSCORES")));
                // The index by score has to say the same as the members' own scores.
                assert!(flat.is_sorted_by_key(|(_, score)| score.parse::<i64>().unwrap()), "{flat:?}");
                let board: BTreeMap<String, i64> =
                    flat.into_iter().map(|(name, score)| (name, score.parse().unwrap())).collect();
                let names: Vec<String> = board.keys().cloned().collect();
                let scores = ask(format!("ZMSCORE {key} {}", names.join(" ")));
                assert!(
                    board.values().map(i64::to_string).eq(scores),
                    "the two indexes of {key} contradict each other"
                );
                Held::Board(board)
            }
            b"stream" => Held::Log(held_log(harness, key)),
            other => panic!("{}", other.escape_ascii()),
        };
        model.insert(key, held);
    }
    let size = harness.run("DBSIZE").to_string();
    assert_eq!(size, format!("(integer) {}", model.len()), "DBSIZE");
    model
}

/// How the machine treats the server after (or within) a command.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Lives,
    Syncs,
    /// The process dies after so many calls of the command, at the latest after the command.
    Dies(u64),
    /// The machine does, and of what was not synced only the first so many writes are kept.
    LosesPower(u64, usize),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        8 => Just(Fate::Lives),
        1 => Just(Fate::Syncs),
        3 => (0u64..12).prop_map(Fate::Dies),
        2 => (0u64..12, 0usize..8).prop_map(|(calls, kept)| Fate::LosesPower(calls, kept)),
    ]
}

fn check_fates(steps: Vec<(Call, Fate)>) {
    let mut harness = Harness::new();
    // What was held after each write since the last sync, and before the first of them.
    harness.engine.sync_wal().unwrap();
    let mut states = vec![Model::new()];
    for (call, fate) in steps {
        let before = states.last().unwrap().clone();
        let mut after = before.clone();
        apply(&mut after, &call.change);
        let unsynced = harness.disk.unsynced();
        let calls = match fate {
            Fate::Lives | Fate::Syncs => u64::MAX,
            Fate::Dies(calls) | Fate::LosesPower(calls, _) => calls,
        };
        let is_done = attempt(&mut harness, &CommandArgs::from_parts(&call.args), calls);
        let written = harness.disk.unsynced() - unsynced;
        assert!(written <= usize::from(is_done), "{call:?} wrote {written} times");
        match written {
            0 if is_done => assert_eq!(before, after, "{call:?} wrote nothing"),
            0 => {}
            _ => states.push(after),
        }
        match fate {
            Fate::Lives => {}
            Fate::Syncs => {
                harness.engine.sync_wal().unwrap();
                states.drain(..states.len() - 1);
            }
            Fate::Dies(_) => {
                harness.disk.crash_process();
                harness.reopen();
            }
            Fate::LosesPower(_, kept) => {
                harness.disk.lose_power(kept);
                // What is left is what the next process finds: it will not go any more.
                states.truncate(kept + 1);
                states.drain(..states.len() - 1);
                harness.reopen();
            }
        }
        assert_eq!(held(&mut harness), *states.last().unwrap(), "after {:?} and {fate:?}", call.change);
    }
}

/// Mostly commands of one type, and some that every type knows.
fn steps(of_a_type: BoxedStrategy<Call>) -> impl Strategy<Value = Vec<(Call, Fate)>> {
    prop::collection::vec((prop_oneof![4 => of_a_type, 1 => generic()], fate()), 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn strings_survive_a_crash_at_any_call(steps in steps(texts())) {
        check_fates(steps);
    }

    #[test]
    fn lists_survive_a_crash_at_any_call(steps in steps(lists())) {
        check_fates(steps);
    }

    #[test]
    fn hashes_survive_a_crash_at_any_call(steps in steps(hashes())) {
        check_fates(steps);
    }

    #[test]
    fn sets_survive_a_crash_at_any_call(steps in steps(sets())) {
        check_fates(steps);
    }

    #[test]
    fn sorted_sets_survive_a_crash_at_any_call(steps in steps(boards())) {
        check_fates(steps);
    }

    #[test]
    fn streams_survive_a_crash_at_any_call(steps in steps(logs())) {
        check_fates(steps);
    }

    #[test]
    fn scripts_survive_a_crash_at_any_call(
        steps in prop_oneof![steps(scripted(texts())), steps(scripted(lists())), steps(scripted(boards()))]
    ) {
        check_fates(steps);
    }
}
