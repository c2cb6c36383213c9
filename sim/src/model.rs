//! What Redis does, one command after the other, on a map: the sequential model that the oracles hold the server to.
//!
//! It knows the commands that plans use, and of their arguments what plans use. It shares no code with the server, and it
//! must stay simple enough to be believed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bulkhead::resp::Value;

/// A logical database and a key in it.
pub type Key = (usize, Vec<u8>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Datum {
    Str(Vec<u8>),
    List(VecDeque<Vec<u8>>),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
    /// Members and their scores, which are whole numbers here.
    Sorted(BTreeMap<Vec<u8>, i64>),
    Stream(Stream),
}

/// A stream, whose ids are all of one millisecond, and its one consumer group.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stream {
    /// Field and value, by id.
    entries: BTreeMap<i64, [Vec<u8>; 2]>,
    /// The next id.
    next: i64,
    /// What the group delivers next, and what is pending.
    group: Option<(i64, BTreeSet<i64>)>,
}

impl Datum {
    fn kind(&self) -> &'static str {
        match self {
            Datum::Str(_) => "string",
            Datum::List(_) => "list",
            Datum::Hash(_) => "hash",
            Datum::Set(_) => "set",
            Datum::Sorted(_) => "zset",
            Datum::Stream(_) => "stream",
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Datum::Str(_) | Datum::Stream(_) => false,
            Datum::List(list) => list.is_empty(),
            Datum::Hash(hash) => hash.is_empty(),
            Datum::Set(set) => set.is_empty(),
            Datum::Sorted(sorted) => sorted.is_empty(),
        }
    }
}

/// Everything that a server holds.
pub type State = BTreeMap<Key, Datum>;

/// The reply that a command must get.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    Exactly(Value),
    /// An array with these elements in any order.
    Unordered(Vec<Value>),
    /// An array of pairs in any order, as HGETALL gives them.
    Pairs(BTreeMap<Vec<u8>, Vec<u8>>),
    /// An error that begins like this, and no effect.
    Error(&'static str),
    /// The replies of a transaction's commands.
    All(Vec<Expected>),
}

impl Expected {
    pub fn allows(&self, reply: &Value) -> bool {
        match (self, reply) {
            (Expected::Exactly(expected), reply) => expected == reply,
            (Expected::Unordered(expected), Value::Array(found) | Value::Set(found)) => {
                let (mut left, mut right) = (texts(expected), texts(found));
                left.sort();
                right.sort();
                left == right
            }
            (Expected::Pairs(expected), Value::Array(found)) => {
                let pairs = found.chunks_exact(2).map(|pair| (bytes_of(&pair[0]), bytes_of(&pair[1])));
                found.len() == 2 * expected.len() && pairs.collect::<BTreeMap<_, _>>() == *expected
            }
            (Expected::Error(start), Value::Error(text)) => text.starts_with(start.as_bytes()),
            (Expected::All(expected), Value::Array(found)) => {
                expected.len() == found.len()
                    && expected.iter().zip(found).all(|(expected, found)| expected.allows(found))
            }
            _ => false,
        }
    }
}

fn texts(values: &[Value]) -> Vec<Vec<u8>> {
    values.iter().map(bytes_of).collect()
}

fn bytes_of(value: &Value) -> Vec<u8> {
    match value {
        Value::Bulk(bytes) | Value::Simple(bytes) => bytes.to_vec(),
        other => other.to_string().into_bytes(),
    }
}

/// Which keys a command looks at or changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touches {
    /// None: storage has nothing to do with it.
    Nothing,
    Keys(Vec<Key>),
    /// All there are.
    Everything,
}

/// The script that plans run: a command with two keys, one after the other.
pub const SCRIPT: &str = "return{redis.call(ARGV[1],KEYS[1],ARGV[2]),redis.call(ARGV[1],KEYS[2],ARGV[2])}";

/// Commands that read and change nothing.
const READS: &[&str] = &[
    "GET",
    "MGET",
    "STRLEN",
    "GETRANGE",
    "EXISTS",
    "TYPE",
    "TOUCH",
    "DBSIZE",
    "KEYS",
    "LLEN",
    "LRANGE",
    "LINDEX",
    "HGET",
    "HGETALL",
    "HLEN",
    "HEXISTS",
    "SMEMBERS",
    "SCARD",
    "SISMEMBER",
    "ZSCORE",
    "ZCARD",
    "ZRANGE",
    "TTL",
    "PTTL",
    "XLEN",
    "XRANGE",
];

/// The command's name, in capitals.
pub fn name(args: &[Vec<u8>]) -> String {
    args.first().map(|name| String::from_utf8_lossy(name).to_ascii_uppercase()).unwrap_or_default()
}

pub fn is_read(args: &[Vec<u8>]) -> bool {
    READS.contains(&name(args).as_str())
}

/// How long a command waits for its keys at most; `None`: it does not wait.
pub fn patience(args: &[Vec<u8>]) -> Option<Duration> {
    if !matches!(name(args).as_str(), "BLPOP" | "BRPOP" | "BLMOVE" | "BZPOPMIN") {
        return None;
    }
    let seconds: f64 = args.last().and_then(|last| std::str::from_utf8(last).ok()?.parse().ok())?;
    Some(if seconds == 0.0 { Duration::MAX } else { Duration::from_secs_f64(seconds) })
}

pub fn touches(db: usize, args: &[Vec<u8>]) -> Touches {
    let keys = |keys: &[Vec<u8>]| Touches::Keys(keys.iter().map(|key| (db, key.clone())).collect());
    match name(args).as_str() {
        "PING" | "ECHO" | "INFO" | "SELECT" | "CLIENT" | "CONFIG" | "COMMAND" | "DEBUG" | "HELLO" | "TIME"
        | "MULTI" | "EXEC" | "DISCARD" | "PUBLISH" | "" => Touches::Nothing,
        "DBSIZE" | "KEYS" | "FLUSHDB" | "FLUSHALL" | "SWAPDB" => Touches::Everything,
        "MGET" | "DEL" | "UNLINK" | "EXISTS" | "TOUCH" => keys(&args[1..]),
        "MSET" | "MSETNX" => keys(&args[1..].iter().step_by(2).cloned().collect::<Vec<_>>()),
        "RENAME" | "RENAMENX" | "COPY" | "LMOVE" | "BLMOVE" => keys(&args[1..3]),
        "BLPOP" | "BRPOP" | "BZPOPMIN" => keys(&args[1..args.len() - 1]),
        "EVAL" => keys(args.get(3..5).unwrap_or_default()),
        "XGROUP" => keys(&args[2..3]),
        "XREADGROUP" => keys(&args[args.len() - 2..args.len() - 1]),
        _ if args.len() > 1 => keys(&args[1..2]),
        _ => Touches::Nothing,
    }
}

fn ok() -> Expected {
    Expected::Exactly(Value::Simple("OK".into()))
}

fn integer(value: i64) -> Expected {
    Expected::Exactly(Value::Integer(value))
}

fn bulk(bytes: &[u8]) -> Value {
    Value::Bulk(bytes.to_vec().into())
}

fn bulk_or_null(bytes: Option<&[u8]>) -> Expected {
    Expected::Exactly(bytes.map_or(Value::Null, bulk))
}

const WRONG_TYPE: Expected = Expected::Error("WRONGTYPE");
const NOT_INTEGER: Expected = Expected::Error("ERR value is not an integer");

/// Why a command got no further: the reply it gets instead.
type Stopped = Expected;

/// Runs a command. `None`: the model does not know it.
pub fn apply(state: &mut State, db: usize, args: &[Vec<u8>]) -> Option<Expected> {
    let name = name(args);
    let result = match name.as_str() {
        "GET" | "SET" | "SETNX" | "GETSET" | "GETDEL" | "APPEND" | "STRLEN" | "INCR" | "DECR" | "INCRBY" | "DECRBY"
        | "MGET" | "MSET" | "MSETNX" | "SETRANGE" | "GETRANGE" => string(state, db, &name, args),
        "DEL" | "UNLINK" | "EXISTS" | "TOUCH" | "TYPE" | "RENAME" | "RENAMENX" | "COPY" | "DBSIZE" | "KEYS"
        | "FLUSHDB" | "FLUSHALL" | "SWAPDB" => Ok(keyspace(state, db, &name, args)),
        "LPUSH" | "RPUSH" | "LPOP" | "RPOP" | "LLEN" | "LRANGE" | "LMOVE" => list(state, db, &name, args),
        "BLPOP" | "BRPOP" | "BLMOVE" | "BZPOPMIN" => waiting(state, db, &name, args),
        "HSET" | "HGET" | "HDEL" | "HLEN" | "HGETALL" | "HINCRBY" | "HEXISTS" => hash(state, db, &name, args),
        "SADD" | "SREM" | "SCARD" | "SMEMBERS" | "SISMEMBER" => set(state, db, &name, args),
        "ZADD" | "ZREM" | "ZCARD" | "ZSCORE" | "ZINCRBY" | "ZRANGE" => sorted(state, db, &name, args),
        "XADD" | "XLEN" | "XRANGE" | "XDEL" | "XGROUP" | "XREADGROUP" | "XACK" => stream(state, db, &name, args),
        "EVAL" => Ok(script(state, db, args)?),
        _ => return None,
    };
    Some(result.unwrap_or_else(|stopped| stopped))
}

/// `EVAL SCRIPT 2 key key command argument`. None of its commands may fail.
fn script(state: &mut State, db: usize, args: &[Vec<u8>]) -> Option<Expected> {
    let [_, text, _, one, other, command, argument] = args else { return None };
    let mut run = |key: &Vec<u8>| apply(state, db, &[command.clone(), key.clone(), argument.clone()]);
    (text == SCRIPT.as_bytes()).then(|| Some(Expected::All(vec![run(one)?, run(other)?])))?
}

fn parse(bytes: &[u8]) -> Result<i64, Stopped> {
    std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).ok_or(NOT_INTEGER)
}

/// The string at a key; empty if there is none.
fn text(state: &State, key: &Key) -> Result<Option<Vec<u8>>, Stopped> {
    match state.get(key) {
        None => Ok(None),
        Some(Datum::Str(bytes)) => Ok(Some(bytes.clone())),
        Some(_) => Err(WRONG_TYPE),
    }
}

fn string(state: &mut State, db: usize, name: &str, args: &[Vec<u8>]) -> Result<Expected, Stopped> {
    let key = (db, args[1].clone());
    let put = |state: &mut State, bytes: Vec<u8>| state.insert(key.clone(), Datum::Str(bytes));
    match name {
        "GET" => Ok(bulk_or_null(text(state, &key)?.as_deref())),
        "STRLEN" => Ok(integer(text(state, &key)?.map_or(0, |bytes| bytes.len() as i64))),
        "SET" => {
            let option = args.get(3).map(|option| option.to_ascii_uppercase());
            let there = state.contains_key(&key);
            match option.as_deref() {
                Some(b"NX") if there => return Ok(bulk_or_null(None)),
                Some(b"XX") if !there => return Ok(bulk_or_null(None)),
                Some(b"GET") => {
                    let before = text(state, &key)?;
                    put(state, args[2].clone());
                    return Ok(bulk_or_null(before.as_deref()));
                }
                _ => put(state, args[2].clone()),
            };
            Ok(ok())
        }
        "SETNX" => {
            let there = state.contains_key(&key);
            if !there {
                put(state, args[2].clone());
            }
            Ok(integer(i64::from(!there)))
        }
        "GETSET" => {
            let before = text(state, &key)?;
            put(state, args[2].clone());
            Ok(bulk_or_null(before.as_deref()))
        }
        "GETDEL" => {
            let before = text(state, &key)?;
            state.remove(&key);
            Ok(bulk_or_null(before.as_deref()))
        }
        "APPEND" => {
            let mut bytes = text(state, &key)?.unwrap_or_default();
            bytes.extend_from_slice(&args[2]);
            let len = bytes.len() as i64;
            put(state, bytes);
            Ok(integer(len))
        }
        "SETRANGE" => {
            let mut bytes = text(state, &key)?.unwrap_or_default();
            let offset = parse(&args[2])? as usize;
            bytes.resize(bytes.len().max(offset + args[3].len()), 0);
            bytes[offset..offset + args[3].len()].copy_from_slice(&args[3]);
            let len = bytes.len() as i64;
            put(state, bytes);
            Ok(integer(len))
        }
        "GETRANGE" => {
            let bytes = text(state, &key)?.unwrap_or_default();
            Ok(Expected::Exactly(bulk(&bytes[span(bytes.len(), parse(&args[2])?, parse(&args[3])?)])))
        }
        "INCR" | "DECR" | "INCRBY" | "DECRBY" => {
            let by = args.get(2).map_or(Ok(1), |by| parse(by))?;
            let by = if name.starts_with("DECR") { -by } else { by };
            let sum = text(state, &key)?.map_or(Ok(0), |bytes| parse(&bytes))? + by;
            put(state, sum.to_string().into_bytes());
            Ok(integer(sum))
        }
        "MGET" => {
            let value = |key: &Vec<u8>| match state.get(&(db, key.clone())) {
                Some(Datum::Str(bytes)) => bulk(bytes),
                _ => Value::Null,
            };
            Ok(Expected::Exactly(Value::Array(args[1..].iter().map(value).collect())))
        }
        _ => {
            let pairs = || args[1..].chunks_exact(2);
            if name == "MSETNX" && pairs().any(|pair| state.contains_key(&(db, pair[0].clone()))) {
                return Ok(integer(0));
            }
            for pair in pairs() {
                state.insert((db, pair[0].clone()), Datum::Str(pair[1].clone()));
            }
            Ok(if name == "MSETNX" { integer(1) } else { ok() })
        }
    }
}

/// Redis' way to cut a range out of `len` elements.
fn span(len: usize, start: i64, end: i64) -> std::ops::Range<usize> {
    let place = |index: i64| if index < 0 { (len as i64 + index).max(0) } else { index };
    let (start, end) = (place(start).min(len as i64), (place(end) + 1).min(len as i64));
    if end < 1 || start >= end { 0..0 } else { start as usize..end as usize }
}

fn keyspace(state: &mut State, db: usize, name: &str, args: &[Vec<u8>]) -> Expected {
    let of = |key: &[u8]| (db, key.to_vec());
    match name {
        "DEL" | "UNLINK" => integer(args[1..].iter().filter(|key| state.remove(&of(key)).is_some()).count() as i64),
        "EXISTS" | "TOUCH" => integer(args[1..].iter().filter(|key| state.contains_key(&of(key))).count() as i64),
        "TYPE" => Expected::Exactly(Value::Simple(state.get(&of(&args[1])).map_or("none", Datum::kind).into())),
        "RENAME" | "RENAMENX" => {
            let (from, to) = (of(&args[1]), of(&args[2]));
            if !state.contains_key(&from) {
                return Expected::Error("ERR no such key");
            }
            if name == "RENAMENX" && state.contains_key(&to) {
                return integer(0);
            }
            if let Some(datum) = state.remove(&from) {
                state.insert(to, datum);
            }
            if name == "RENAMENX" { integer(1) } else { ok() }
        }
        "COPY" => {
            let (from, to) = (of(&args[1]), of(&args[2]));
            if from == to {
                return Expected::Error("ERR source and destination objects are the same");
            }
            let replace = args.get(3).is_some_and(|word| word.eq_ignore_ascii_case(b"REPLACE"));
            match state.get(&from).cloned() {
                Some(datum) if replace || !state.contains_key(&to) => {
                    state.insert(to, datum);
                    integer(1)
                }
                _ => integer(0),
            }
        }
        "DBSIZE" => integer(in_db(state, db).count() as i64),
        "KEYS" => Expected::Unordered(in_db(state, db).map(|(_, key)| bulk(key)).collect()),
        "FLUSHDB" => {
            state.retain(|(of, _), _| *of != db);
            ok()
        }
        "FLUSHALL" => {
            state.clear();
            ok()
        }
        _ => {
            let index = |arg: &Vec<u8>| parse(arg).unwrap_or_default() as usize;
            let (a, b) = (index(&args[1]), index(&args[2]));
            let swapped = |db: usize| {
                if db == a {
                    b
                } else if db == b {
                    a
                } else {
                    db
                }
            };
            *state = std::mem::take(state).into_iter().map(|((db, key), datum)| ((swapped(db), key), datum)).collect();
            ok()
        }
    }
}

fn in_db(state: &State, db: usize) -> impl Iterator<Item = &Key> {
    state.keys().filter(move |(of, _)| *of == db)
}

/// Works on the collection at `key`, made if it is not there, and removed if it is empty afterwards.
macro_rules! collection {
    ($state:expr, $key:expr, $variant:ident, $work:expr) => {{
        let key = $key;
        let fresh = !$state.contains_key(&key);
        let datum = $state.entry(key.clone()).or_insert_with(|| Datum::$variant(Default::default()));
        let result = match datum {
            Datum::$variant(inner) => $work(inner),
            _ => Err(WRONG_TYPE),
        };
        if datum.is_empty() || fresh && result.is_err() {
            $state.remove(&key);
        }
        result
    }};
}

fn list(state: &mut State, db: usize, name: &str, args: &[Vec<u8>]) -> Result<Expected, Stopped> {
    let key = (db, args[1].clone());
    if name == "LMOVE" {
        let to = (db, args[2].clone());
        let is_left = |word: &Vec<u8>| word.eq_ignore_ascii_case(b"LEFT");
        match (state.get(&key), state.get(&to)) {
            (None, _) => return Ok(bulk_or_null(None)),
            (Some(Datum::List(_)), None | Some(Datum::List(_))) => {}
            _ => return Err(WRONG_TYPE),
        }
        let moved = collection!(state, key, List, |list: &mut VecDeque<Vec<u8>>| {
            Ok(if is_left(&args[3]) { list.pop_front() } else { list.pop_back() })
        })?;
        let Some(moved) = moved else { return Ok(bulk_or_null(None)) };
        collection!(state, to, List, |list: &mut VecDeque<Vec<u8>>| {
            if is_left(&args[4]) {
                list.push_front(moved.clone())
            } else {
                list.push_back(moved.clone())
            }
            Ok(())
        })?;
        return Ok(Expected::Exactly(bulk(&moved)));
    }
    collection!(state, key, List, |list: &mut VecDeque<Vec<u8>>| match name {
        "LPUSH" | "RPUSH" => {
            for element in &args[2..] {
                if name == "LPUSH" { list.push_front(element.clone()) } else { list.push_back(element.clone()) }
            }
            Ok(integer(list.len() as i64))
        }
        "LPOP" => Ok(bulk_or_null(list.pop_front().as_deref())),
        "RPOP" => Ok(bulk_or_null(list.pop_back().as_deref())),
        "LLEN" => Ok(integer(list.len() as i64)),
        _ => {
            let span = span(list.len(), parse(&args[2])?, parse(&args[3])?);
            Ok(Expected::Exactly(Value::Array(list.range(span).map(|element| bulk(element)).collect())))
        }
    })
}

/// A command that waits, at the moment when it is served, or gives up.
fn waiting(state: &mut State, db: usize, name: &str, args: &[Vec<u8>]) -> Result<Expected, Stopped> {
    let nothing = Ok(Expected::Exactly(Value::NullArray));
    if name == "BLMOVE" {
        return match list(state, db, "LMOVE", &args[..5])? {
            Expected::Exactly(Value::Null) => nothing,
            moved => Ok(moved),
        };
    }
    for key in &args[1..args.len() - 1] {
        let place = (db, key.clone());
        let taken = match (state.get_mut(&place), name) {
            (None, _) => continue,
            (Some(Datum::List(list)), "BLPOP") => list.pop_front().map(|taken| vec![taken]),
            (Some(Datum::List(list)), "BRPOP") => list.pop_back().map(|taken| vec![taken]),
            (Some(Datum::Sorted(sorted)), "BZPOPMIN") => {
                let first = sorted.iter().map(|(member, score)| (*score, member.clone())).min();
                first.map(|(score, member)| {
                    sorted.remove(&member);
                    vec![member, score.to_string().into_bytes()]
                })
            }
            _ => return Err(WRONG_TYPE),
        };
        if state.get(&place).is_some_and(Datum::is_empty) {
            state.remove(&place);
        }
        let reply = [key.clone()].into_iter().chain(taken.unwrap_or_default());
        return Ok(Expected::Exactly(Value::Array(reply.map(|part| bulk(&part)).collect())));
    }
    nothing
}

fn hash(state: &mut State, db: usize, name: &str, args: &[Vec<u8>]) -> Result<Expected, Stopped> {
    collection!(state, (db, args[1].clone()), Hash, |hash: &mut BTreeMap<Vec<u8>, Vec<u8>>| match name {
        "HSET" => {
            let fresh =
                args[2..].chunks_exact(2).filter(|pair| hash.insert(pair[0].clone(), pair[1].clone()).is_none());
            Ok(integer(fresh.count() as i64))
        }
        "HGET" => Ok(bulk_or_null(hash.get(&args[2]).map(Vec::as_slice))),
        "HEXISTS" => Ok(integer(i64::from(hash.contains_key(&args[2])))),
        "HDEL" => Ok(integer(args[2..].iter().filter(|field| hash.remove(*field).is_some()).count() as i64)),
        "HLEN" => Ok(integer(hash.len() as i64)),
        "HINCRBY" => {
            let before = hash.get(&args[2]).map_or(Ok(0), |value| parse(value));
            let sum = before.map_err(|_| Expected::Error("ERR hash value is not an integer"))? + parse(&args[3])?;
            hash.insert(args[2].clone(), sum.to_string().into_bytes());
            Ok(integer(sum))
        }
        _ => Ok(Expected::Pairs(hash.clone())),
    })
}

fn set(state: &mut State, db: usize, name: &str, args: &[Vec<u8>]) -> Result<Expected, Stopped> {
    collection!(state, (db, args[1].clone()), Set, |set: &mut BTreeSet<Vec<u8>>| match name {
        "SADD" => Ok(integer(args[2..].iter().filter(|member| set.insert(member.to_vec())).count() as i64)),
        "SREM" => Ok(integer(args[2..].iter().filter(|member| set.remove(*member)).count() as i64)),
        "SCARD" => Ok(integer(set.len() as i64)),
        "SISMEMBER" => Ok(integer(i64::from(set.contains(&args[2])))),
        _ => Ok(Expected::Unordered(set.iter().map(|member| bulk(member)).collect())),
    })
}

fn sorted(state: &mut State, db: usize, name: &str, args: &[Vec<u8>]) -> Result<Expected, Stopped> {
    collection!(state, (db, args[1].clone()), Sorted, |sorted: &mut BTreeMap<Vec<u8>, i64>| match name {
        "ZADD" => {
            let fresh = args[2..].chunks_exact(2).filter(|pair| {
                let score = parse(&pair[0]).unwrap_or_default();
                sorted.insert(pair[1].clone(), score).is_none()
            });
            Ok(integer(fresh.count() as i64))
        }
        "ZREM" => Ok(integer(args[2..].iter().filter(|member| sorted.remove(*member).is_some()).count() as i64)),
        "ZCARD" => Ok(integer(sorted.len() as i64)),
        "ZSCORE" => Ok(bulk_or_null(sorted.get(&args[2]).map(|score| score.to_string()).as_deref().map(str::as_bytes))),
        "ZINCRBY" => {
            let score = sorted.entry(args[3].clone()).or_default();
            *score += parse(&args[2])?;
            Ok(Expected::Exactly(bulk(score.to_string().as_bytes())))
        }
        _ => {
            let mut ranked: Vec<(i64, &Vec<u8>)> = sorted.iter().map(|(member, score)| (*score, member)).collect();
            ranked.sort();
            let span = span(ranked.len(), parse(&args[2])?, parse(&args[3])?);
            Ok(Expected::Exactly(Value::Array(ranked[span].iter().map(|(_, member)| bulk(member)).collect())))
        }
    })
}

/// `XADD key [MAXLEN n] 1-* field value`, `XGROUP CREATE key g 0 MKSTREAM`, `XREADGROUP GROUP g c COUNT n STREAMS key >`.
fn stream(state: &mut State, db: usize, name: &str, args: &[Vec<u8>]) -> Result<Expected, Stopped> {
    let key = match name {
        "XGROUP" => &args[2],
        "XREADGROUP" => &args[args.len() - 2],
        _ => &args[1],
    };
    let place = (db, key.clone());
    let number = |id: &Vec<u8>| parse(id.strip_prefix(b"1-").unwrap_or(id));
    let ids = |args: &[Vec<u8>]| args.iter().map(number).collect::<Result<Vec<i64>, Stopped>>();
    let entry = |(id, parts): (&i64, &[Vec<u8>; 2])| {
        let parts = parts.iter().map(|part| bulk(part)).collect();
        Value::Array(vec![bulk(format!("1-{id}").as_bytes()), Value::Array(parts)])
    };
    match (state.get(&place), name) {
        (Some(Datum::Stream(_)), _) => {}
        (Some(_), _) => return Err(WRONG_TYPE),
        (None, "XADD" | "XGROUP") => drop(state.insert(place.clone(), Datum::Stream(Stream::default()))),
        (None, "XREADGROUP") => return Err(Expected::Error("NOGROUP")),
        (None, "XRANGE") => return Ok(Expected::Exactly(Value::Array(Vec::new()))),
        (None, _) => return Ok(integer(0)),
    }
    let Some(Datum::Stream(stream)) = state.get_mut(&place) else { return Err(WRONG_TYPE) };
    match name {
        "XADD" => {
            let [.., field, value] = args else { return Err(Expected::Error("ERR")) };
            let id = stream.next;
            stream.next += 1;
            stream.entries.insert(id, [field.clone(), value.clone()]);
            let most = if args.len() > 5 { parse(&args[3])? as usize } else { usize::MAX };
            while stream.entries.len() > most {
                stream.entries.pop_first();
            }
            Ok(Expected::Exactly(bulk(format!("1-{id}").as_bytes())))
        }
        "XLEN" => Ok(integer(stream.entries.len() as i64)),
        "XRANGE" => Ok(Expected::Exactly(Value::Array(stream.entries.iter().map(entry).collect()))),
        "XDEL" => Ok(integer(ids(&args[2..])?.iter().filter(|id| stream.entries.remove(id).is_some()).count() as i64)),
        "XGROUP" => match &stream.group {
            Some(_) => Err(Expected::Error("BUSYGROUP")),
            None => {
                stream.group = Some((0, BTreeSet::new()));
                Ok(ok())
            }
        },
        "XREADGROUP" => {
            let Some((next, pending)) = &mut stream.group else { return Err(Expected::Error("NOGROUP")) };
            let new: Vec<_> = stream.entries.range(*next..).take(parse(&args[5])? as usize).collect();
            let Some((last, _)) = new.last() else { return Ok(Expected::Exactly(Value::NullArray)) };
            *next = *last + 1;
            pending.extend(new.iter().map(|(id, _)| **id));
            let entries = Value::Array(new.into_iter().map(entry).collect());
            Ok(Expected::Exactly(Value::Array(vec![Value::Array(vec![bulk(key), entries])])))
        }
        _ => {
            let Some((_, pending)) = &mut stream.group else { return Ok(integer(0)) };
            Ok(integer(ids(&args[3..])?.iter().filter(|id| pending.remove(id)).count() as i64))
        }
    }
}

#[cfg(test)]
mod tests {
    use bulkhead::resp::CommandArgs;

    use super::*;

    /// Runs commands as typed, each with the reply that redis-cli would show.
    fn check(script: &[(&str, &str)]) {
        let mut state = State::new();
        for (line, expected) in script {
            let args = CommandArgs::from_line(line.as_bytes()).expect("the quotes are balanced");
            let args: Vec<Vec<u8>> = args.iter().map(<[u8]>::to_vec).collect();
            let shown = match apply(&mut state, 0, &args).expect("the model knows it") {
                Expected::Exactly(value) => value.to_string(),
                Expected::Error(start) => format!("(error) {start}"),
                Expected::Unordered(values) => format!("{} in any order", values.len()),
                Expected::Pairs(pairs) => format!("{} pairs", pairs.len()),
                Expected::All(_) => "a transaction".into(),
            };
            assert_eq!(shown, *expected, "{line}");
        }
    }

    #[test]
    fn a_script_does_what_its_commands_do() {
        let script = format!("EVAL {SCRIPT} 2 a b INCRBY 2");
        check(&[("SET a 5", "OK"), (&script, "a transaction"), ("MGET a b", "1) \"7\"\n2) \"2\"")]);
        let other: Vec<Vec<u8>> =
            script.replace("return", "").split(' ').map(|word| word.as_bytes().to_vec()).collect();
        assert_eq!(apply(&mut State::new(), 0, &other), None);
    }

    #[test]
    fn strings_do_what_redis_does() {
        check(&[
            ("GET a", "(nil)"),
            ("SET a 5", "OK"),
            ("SET a 6 NX", "(nil)"),
            ("SET b 6 XX", "(nil)"),
            ("INCRBY a 10", "(integer) 15"),
            ("APPEND a x", "(integer) 3"),
            ("INCR a", "(error) ERR value is not an integer"),
            ("SETRANGE a 5 yz", "(integer) 7"),
            ("GETRANGE a -2 -1", "\"yz\""),
            ("GETRANGE a 5 2", "\"\""),
            ("MSETNX b 1 a 2", "(integer) 0"),
            ("EXISTS a a b", "(integer) 2"),
            ("RENAME a c", "OK"),
            ("RENAME a c", "(error) ERR no such key"),
            ("COPY c d", "(integer) 1"),
            ("GETDEL c", "\"15x\\x00\\x00yz\""),
            ("DBSIZE", "(integer) 1"),
            ("KEYS *", "1 in any order"),
        ]);
    }

    #[test]
    fn collections_vanish_when_they_are_empty() {
        check(&[
            ("RPUSH l a b", "(integer) 2"),
            ("GET l", "(error) WRONGTYPE"),
            ("LMOVE l m LEFT RIGHT", "\"a\""),
            ("LPOP l", "\"b\""),
            ("TYPE l", "none"),
            ("LPOP l", "(nil)"),
            ("EXISTS l m", "(integer) 1"),
            ("RPUSH q x y", "(integer) 2"),
            ("BLMOVE q p LEFT RIGHT 1", "\"x\""),
            ("BLMOVE none p LEFT RIGHT 1", "(nil)"),
            ("BRPOP none q p 0.5", "1) \"q\"\n2) \"y\""),
            ("BLPOP none q p 0.5", "1) \"p\"\n2) \"x\""),
            ("BLPOP q p 0.5", "(nil)"),
            ("EXISTS q p", "(integer) 0"),
            ("ZADD zq 3 a 2 c 2 b", "(integer) 3"),
            ("BZPOPMIN zq 0", "1) \"zq\"\n2) \"b\"\n3) \"2\""),
            ("BLPOP zq 1", "(error) WRONGTYPE"),
            ("DEL zq", "(integer) 1"),
            ("HSET h f 1 g x", "(integer) 2"),
            ("HINCRBY h f 4", "(integer) 5"),
            ("HINCRBY h g 4", "(error) ERR hash value is not an integer"),
            ("HINCRBY z g x", "(error) ERR value is not an integer"),
            ("EXISTS z", "(integer) 0"),
            ("HGETALL h", "2 pairs"),
            ("SADD s a a b", "(integer) 2"),
            ("SADD h a", "(error) WRONGTYPE"),
            ("ZADD z 2 b 1 a", "(integer) 2"),
            ("ZINCRBY z 5 a", "\"6\""),
            ("ZSCORE z a", "\"6\""),
            ("SREM s a b c", "(integer) 2"),
            ("TYPE s", "none"),
        ]);
    }

    #[test]
    fn streams_give_each_entry_to_one_consumer() {
        check(&[
            ("XREADGROUP GROUP g c COUNT 2 STREAMS x >", "(error) NOGROUP"),
            ("XADD x 1-* f a", "\"1-0\""),
            ("XADD x MAXLEN 2 1-* f b", "\"1-1\""),
            ("XADD x MAXLEN 2 1-* f c", "\"1-2\""),
            ("XGROUP CREATE x g 0 MKSTREAM", "OK"),
            ("XGROUP CREATE x g 0 MKSTREAM", "(error) BUSYGROUP"),
            (
                "XREADGROUP GROUP g c COUNT 1 STREAMS x >",
                "1) 1) \"x\"\n   2) 1) 1) \"1-1\"\n         2) 1) \"f\"\n            2) \"b\"",
            ),
            ("XDEL x 1-1 1-2 1-9", "(integer) 2"),
            ("XREADGROUP GROUP g c COUNT 1 STREAMS x >", "(nil)"),
            ("XACK x g 1-1 1-2", "(integer) 1"),
            ("XLEN x", "(integer) 0"),
            ("TYPE x", "stream"),
            ("XADD x 1-* f d", "\"1-3\""),
            ("XRANGE x - +", "1) 1) \"1-3\"\n   2) 1) \"f\"\n      2) \"d\""),
        ]);
    }
}
