//! The two servers under comparison: ours, and the real one. A sequence runs on both, from an empty keyspace; every
//! reply must be the same bytes, or differ as families.rs allows, and so must what is left in the databases.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::time::{Duration, Instant};

use bulkhead::commands::table;
use bulkhead::resp::Value;
use bytes::{Bytes, BytesMut};

use crate::families::{allowed, same_but_for_times, sorted};
use crate::grammar::name_of;
use crate::sequence::{Sequence, line};
use crate::support::{Client, split_line, wait_for, wait_until};
use crate::values::KEYS;

/// Flags that both servers are started with.
pub const FLAGS: &[&str] = &["--proto-max-bulk-len", "1mb", "--databases", "16"];

/// Databases that sequences touch, and so the ones whose final state is compared.
const DATABASES: std::ops::Range<usize> = 0..16;

/// How soon an expired key is counted no more, whether it was looked at or not.
const RECLAIMED_WITHIN: Duration = Duration::from_secs(1);

/// A key that expires within this is waited for; later ones outlast the sequence.
const SOON_MS: i64 = 5000;

/// A call of which both replies are known.
pub struct Call<'a> {
    pub args: &'a [Bytes],
    pub ours: &'a Value,
    pub theirs: &'a Value,
}

/// What came back for a call.
#[derive(Clone, PartialEq, Eq)]
pub enum Outcome {
    Reply(Bytes),
    /// The connection ended, or nothing came in time.
    Nothing(std::io::ErrorKind),
}

/// Where the servers disagree.
pub struct Mismatch {
    /// The call, by its position; `None`: what the databases hold at the end.
    pub at: Option<usize>,
    /// What disagrees, in one word: the command's name, or `state`. Shrinking keeps it.
    pub signature: String,
    pub ours: String,
    pub theirs: String,
}

/// Two connections, and what they have seen.
pub struct Pair {
    ports: [u16; 2],
    clients: [Client; 2],
    /// Words of the sequence so far, any of which may be a key.
    words: BTreeSet<Bytes>,
    /// When a time to live was last set.
    ttl_set_at: Instant,
    resp3: bool,
    /// Arguments of the longest call of the sequence.
    longest_call: usize,
    /// Whether the sequence so far sorts anything.
    sorts: bool,
}

impl Pair {
    /// `ours` and `theirs` are the ports of running servers.
    pub fn new(ours: u16, theirs: u16) -> Pair {
        let ports = [ours, theirs];
        Pair {
            ports,
            clients: ports.map(Client::connect),
            words: BTreeSet::new(),
            ttl_set_at: Instant::now(),
            resp3: false,
            longest_call: 0,
            sorts: false,
        }
    }

    pub fn real_port(&self) -> u16 {
        self.ports[1]
    }

    /// Runs `sequence` on both servers, up to where they disagree.
    pub fn run(&mut self, sequence: &Sequence) -> Result<(), Mismatch> {
        self.begin(sequence.resp3);
        let mut done = 0;
        while done < sequence.calls.len() {
            let rest = &sequence.calls[done..];
            let len = match sequence.pipelined {
                true => rest.iter().position(|call| must_wait_after(call)).map_or(rest.len(), |last| last + 1),
                false => 1,
            };
            self.run_together(&rest[..len], done)?;
            done += len;
        }
        self.compare_states()
    }

    /// New connections and empty servers.
    fn begin(&mut self, resp3: bool) {
        self.resp3 = resp3;
        self.longest_call = 0;
        self.sorts = false;
        self.words = KEYS.iter().map(|key| Bytes::from_static(key)).collect();
        self.connect();
        for client in &mut self.clients {
            assert_eq!(client.ask("FLUSHALL"), "OK");
        }
    }

    fn connect(&mut self) {
        self.clients = self.ports.map(Client::connect);
        if self.resp3 {
            self.clients.iter_mut().for_each(|client| client.send(&["HELLO", "3"]));
            self.clients.iter_mut().for_each(|client| drop(client.read()));
        }
    }

    /// Sends `calls` in one write to each server and compares the replies; `from` is the first one's position.
    fn run_together(&mut self, calls: &[Vec<Bytes>], from: usize) -> Result<(), Mismatch> {
        if calls.iter().any(|call| compares_times(call)) {
            // What was set before must be earlier than what is set now, on both servers' clocks.
            wait_until(self.ttl_set_at + Duration::from_millis(3));
        }
        self.longest_call = calls.iter().map(Vec::len).fold(self.longest_call, usize::max);
        self.words.extend(calls.iter().flatten().filter(|word| word.len() < 100).cloned());
        self.sorts |= calls.iter().any(|call| name_of(call).starts_with("sort"));
        let replies = self.exchange(calls);
        for (at, (call, [ours, theirs])) in calls.iter().zip(replies).enumerate() {
            if !self.alike(call, &ours, &theirs) {
                let signature = signature_of(call);
                return Err(Mismatch {
                    at: Some(from + at),
                    signature,
                    ours: ours.to_string(),
                    theirs: theirs.to_string(),
                });
            }
            if matches!(ours, Outcome::Nothing(_)) {
                self.connect();
            }
        }
        if let Some(last) = calls.last().filter(|call| sets_a_time(call)) {
            self.wait_for_expiry(last);
        }
        Ok(())
    }

    /// Sends `calls` to both servers before it reads any reply, so that both work at the same time.
    fn exchange(&mut self, calls: &[Vec<Bytes>]) -> Vec<[Outcome; 2]> {
        let mut bytes = BytesMut::new();
        calls.iter().for_each(|call| bulkhead::resp::encode_command(call, &mut bytes));
        // A server that has closed already is noticed when it is read.
        self.clients.iter_mut().for_each(|client| drop(client.try_send_raw(&bytes)));
        let read = |client: &mut Client| match client.try_read_raw() {
            Ok(reply) => Outcome::Reply(reply),
            Err(error) => Outcome::Nothing(match error.kind() {
                // Which of them it is depends on what was still under way.
                std::io::ErrorKind::ConnectionReset => std::io::ErrorKind::UnexpectedEof,
                kind => kind,
            }),
        };
        calls.iter().map(|_| self.clients.each_mut().map(read)).collect()
    }

    fn alike(&mut self, call: &[Bytes], ours: &Outcome, theirs: &Outcome) -> bool {
        if ours == theirs {
            return true;
        }
        let (Some(ours), Some(theirs)) = (ours.value(), theirs.value()) else { return false };
        if self.sorts && name_of(call).starts_with('z') && but_for_the_sign_of_zero(&ours, &theirs) {
            return true;
        }
        let Some(rule) = allowed(&name_of(call)) else { return false };
        (rule.alike)(self, &Call { args: call, ours: &ours, theirs: &theirs })
    }

    /// Asks both servers.
    fn ask(&mut self, call: &[Bytes]) -> [Outcome; 2] {
        self.exchange(&[call.to_vec()]).remove(0)
    }

    /// Waits until whatever `call` made expire soon has expired, on both servers.
    fn wait_for_expiry(&mut self, call: &[Bytes]) {
        let keys: BTreeSet<&[u8]> = KEYS.iter().copied().chain(call.iter().map(|arg| &arg[..])).collect();
        let asked: Vec<Vec<Bytes>> =
            keys.iter().map(|key| vec![Bytes::from_static(b"PTTL"), Bytes::copy_from_slice(key)]).collect();
        let replies = self.exchange(&asked);
        let left = |outcome: Outcome| match outcome.value() {
            Some(Value::Integer(left)) if (0..SOON_MS).contains(&left) => Some(left),
            _ => None,
        };
        // Not asked again: that a key has expired must show in the next call without help.
        let now = Instant::now();
        if let Some(longest) = replies.into_iter().flatten().filter_map(left).max() {
            wait_until(now + Duration::from_millis(longest as u64 + 2));
        }
        self.ttl_set_at = now;
    }

    /// A call that looks at every key that the sequence named, so that those that have expired are gone.
    fn touch_all(&self) -> Vec<Bytes> {
        [Bytes::from_static(b"EXISTS")].into_iter().chain(self.words.iter().cloned()).collect()
    }

    /// Compares all that the databases hold.
    fn compare_states(&mut self) -> Result<(), Mismatch> {
        // The sequence may have left the connection in any state.
        self.resp3 = false;
        self.connect();
        let same: Alike = |_, _| false;
        let touches: Vec<_> = DATABASES.map(|db| (db, self.touch_all(), same)).collect();
        self.compare_all(&touches)?;
        // Keys that have expired count until they are reclaimed.
        let sizes: Vec<_> = DATABASES.map(|db| (db, split_line("DBSIZE"), same)).collect();
        wait_for(RECLAIMED_WITHIN, || self.compare_all(&sizes).ok());
        self.compare_all(&sizes)?;
        let in_any_order: Alike = |ours, theirs| sorted(ours) == sorted(theirs);
        let checks: Vec<_> = DATABASES.map(|db| (db, split_line("KEYS *"), in_any_order)).collect();
        let replies = self.compare_all(&checks)?;
        let found = checks.iter().zip(&replies).filter_map(|((db, ..), reply)| Some((*db, sorted(reply)?)));
        let keys: Vec<(usize, String)> =
            found.flat_map(|(db, keys)| keys.into_iter().map(move |key| (db, key))).collect();
        let of_each = |call: fn(&str) -> String, alike: Alike| {
            keys.iter().map(move |(db, key)| (*db, split_line(&call(key)), alike)).collect::<Vec<_>>()
        };
        self.compare_all(&of_each(
            |key| format!("PTTL {key}"),
            |ours, theirs| match (ours, theirs) {
                (Value::Integer(ours), Value::Integer(theirs)) => {
                    *ours >= 0 && *theirs >= 0 && ours.abs_diff(*theirs) < 2000
                }
                _ => false,
            },
        ))?;
        let kinds = self.compare_all(&of_each(|key| format!("TYPE {key}"), same))?;
        let encoded: Alike = if self.sorts { was_sorted } else { same };
        self.compare_all(&of_each(|key| format!("OBJECT ENCODING {key}"), encoded))?;
        let readers = keys.iter().zip(kinds).map(|((db, key), kind)| {
            let reader = READERS.iter().find(|(name, _)| *name == kind.to_string());
            let (_, reader) = reader.unwrap_or_else(|| panic!("no READERS row says how to read a {kind}"));
            let in_any_order: Alike = |ours, theirs| sorted(ours).is_some() && sorted(ours) == sorted(theirs);
            let alike = match kind.to_string().as_str() {
                "zset" if self.sorts => but_for_the_sign_of_zero,
                "stream" => same_but_for_times,
                kind if ORDERED.contains(&kind) => same,
                _ => in_any_order,
            };
            (*db, split_line(&reader.replace("{key}", key)), alike)
        });
        let readers: Vec<_> = readers.collect();
        self.compare_all(&readers).map(drop)
    }

    /// Makes all `checks` at once. Unless replies are the same, the check says whether they are alike.
    fn compare_all(&mut self, checks: &[(usize, Vec<Bytes>, Alike)]) -> Result<Vec<Value>, Mismatch> {
        let select = |db: &usize| vec![Bytes::from_static(b"SELECT"), db.to_string().into()];
        let calls: Vec<Vec<Bytes>> = checks.iter().flat_map(|(db, call, _)| [select(db), call.clone()]).collect();
        // Every second reply is SELECT's.
        let replies = self.exchange(&calls).into_iter().skip(1).step_by(2);
        let compared = checks.iter().zip(replies).map(|((db, call, alike), [ours, theirs])| {
            match (ours.value(), theirs.value()) {
                (Some(a), Some(b)) if a == b || alike(&a, &b) => Ok(b),
                _ => Err(Mismatch {
                    at: None,
                    signature: "state".into(),
                    ours: format!("database {db}, {}: {ours}", line(call)),
                    theirs: format!("database {db}, {}: {theirs}", line(call)),
                }),
            }
        });
        compared.collect()
    }

    // ---- What families.rs allows to differ needs a closer look at ---------------------------------------------------

    /// Whether whole iterations with the options of `call` find the same keys.
    pub fn scans_alike(&mut self, call: &Call<'_>) -> bool {
        self.iterations_alike(call, 1)
    }

    /// As [`Pair::scans_alike`], for HSCAN and its like, which have a key in front of the cursor.
    pub fn element_scans_alike(&mut self, call: &Call<'_>) -> bool {
        self.iterations_alike(call, 2)
    }

    fn iterations_alike(&mut self, call: &Call<'_>, cursor_at: usize) -> bool {
        let first = |value: &Value| match value {
            Value::Array(parts) if parts.len() == 2 => Some((parts[0].clone(), sorted(&parts[1])?)),
            _ => None,
        };
        let (Some(ours), Some(theirs)) = (first(call.ours), first(call.theirs)) else { return false };
        if call.args[cursor_at] != Bytes::from_static(b"0") {
            // A cursor that neither server gave out: that both take it is all there is to compare.
            return true;
        }
        let mut found = [BTreeSet::from_iter(ours.1), BTreeSet::from_iter(theirs.1)];
        for (side, cursor) in [(0, ours.0), (1, theirs.0)] {
            let mut cursor = cursor;
            for _ in 0..100_000 {
                let Value::Bulk(position) = cursor.clone() else { return false };
                if position == Bytes::from_static(b"0") {
                    break;
                }
                let mut again = call.args.to_vec();
                again[cursor_at] = position;
                let page = self.clients[side].call(&again);
                let Some((next, keys)) = first(&page) else { return false };
                found[side].extend(keys);
                cursor = next;
            }
        }
        found[0] == found[1]
    }

    /// Whether each server replied with a key that it has.
    pub fn both_exist(&mut self, call: &Call<'_>) -> bool {
        [call.ours, call.theirs].into_iter().zip(&mut self.clients).all(|(reply, client)| match reply {
            Value::Bulk(key) => client.call(&[&b"EXISTS"[..], key]) == Value::Integer(1),
            _ => false,
        })
    }

    /// Whether a range by member was asked of a sorted set that Redis may keep in a skiplist, and whose scores differ: then
    /// what is found depends on how high its nodes are, which is chance. If a sorted set was changed by it, ours becomes
    /// what the other one is.
    pub fn ranges_by_member_alike(&mut self, call: &Call<'_>) -> bool {
        let name = name_of(call.args);
        let by_member = name.contains("lex") || call.args.iter().any(|arg| arg.eq_ignore_ascii_case(b"BYLEX"));
        let has_long = self.words.iter().any(|word| word.len() > 64);
        let failed = [call.ours, call.theirs].iter().any(|reply| matches!(reply, Value::Error(_)));
        if failed || !by_member || !(has_long || self.sorts || self.longest_call > 128) {
            return false;
        }
        if name != "zrangestore" && name != "zremrangebylex" {
            return true;
        }
        let (key, [ours, theirs]) = (&call.args[1][..], &mut self.clients);
        let due = match theirs.call(&[b"PEXPIRETIME", key]) {
            Value::Integer(due @ 1..) => due.to_string(),
            _ => "0".to_string(),
        };
        ours.call(&[b"DEL", key]);
        match theirs.call(&[&b"DUMP"[..], key]) {
            Value::Bulk(payload) => {
                let restored = ours.call(&[b"RESTORE", key, due.as_bytes(), &payload, b"ABSTTL"]);
                restored == Value::Simple(Bytes::from_static(b"OK"))
            }
            nothing => nothing == Value::Null,
        }
    }

    /// Whether the elements are the same, in an order that may differ: of a hash only if it ever was large, or if it is one
    /// that Redis keeps in a hash table.
    pub fn fields_alike(&mut self, call: &Call<'_>) -> bool {
        let (Some(ours), Some(theirs)) = (elements(call.ours), elements(call.theirs)) else { return false };
        let is_small = self.longest_call <= 40;
        let encoding = self.clients[1].call(&[&b"OBJECT"[..], b"ENCODING", &call.args[1]]);
        let in_order = is_small && encoding == Value::Bulk(Bytes::from_static(b"listpack"));
        !in_order && multiset(ours) == multiset(theirs)
    }

    /// Whether as many elements were drawn by each server, all of them elements of the collection that it has; the reader
    /// is a command that gives them all.
    pub fn draws_alike(&mut self, call: &Call<'_>, reader: &[&[u8]]) -> bool {
        let drawn = [call.ours, call.theirs].map(drawn_elements);
        let [Some(ours), Some(theirs)] = &drawn else { return false };
        if ours.len() != theirs.len() {
            return false;
        }
        let repeats = call.args.get(2).is_some_and(|count| count.starts_with(b"-"));
        drawn.iter().flatten().zip(&mut self.clients).all(|(drawn, client)| {
            let mut words = vec![reader[0], &call.args[1][..]];
            words.extend(&reader[1..]);
            let all = elements(&client.call(&words)).unwrap_or_default();
            let distinct: BTreeSet<&String> = drawn.iter().collect();
            let with_values = call.args.len() > 3;
            drawn.iter().all(|text| all.contains(text)) && (repeats || with_values || distinct.len() == drawn.len())
        })
    }

    /// Whether both servers popped as many members of a set; then ours is made to hold what is left on the other, for
    /// chance chose differently.
    pub fn pops_alike(&mut self, call: &Call<'_>) -> bool {
        let [ours, theirs] = [call.ours, call.theirs].map(|reply| match reply {
            Value::Bulk(member) => Some(vec![member.clone()]),
            Value::Array(members) | Value::Set(members) => members.iter().map(bulk).collect(),
            _ => None,
        });
        let (Some(ours), Some(theirs)) = (ours, theirs) else { return false };
        if ours.len() != theirs.len() {
            return false;
        }
        let key = &call.args[1][..];
        let call_with = |client: &mut Client, name: &'static [u8], members: &[Bytes]| {
            let mut words = vec![name, key];
            words.extend(members.iter().map(|member| &member[..]));
            client.call(&words)
        };
        let [ours_client, theirs_client] = &mut self.clients;
        let all_added = call_with(ours_client, b"SADD", &ours) == Value::Integer(ours.len() as i64);
        let all_removed = call_with(ours_client, b"SREM", &theirs) == Value::Integer(theirs.len() as i64);
        let encoding = [&b"OBJECT"[..], b"ENCODING", key];
        if ours_client.call(&encoding) != theirs_client.call(&encoding) {
            // Whether only integers are left was chance as well.
            if theirs_client.call(&encoding) == Value::Bulk(Bytes::from_static(b"intset")) {
                let ttl = ours_client.call(&[b"PEXPIRETIME", key]);
                ours_client.call(&[b"SUNIONSTORE", key, key]);
                if let Value::Integer(due @ 1..) = ttl {
                    ours_client.call(&[b"PEXPIREAT", key, due.to_string().as_bytes()]);
                }
            } else {
                ours_client.call(&[b"SADD", key, b"no integer"]);
                ours_client.call(&[b"SREM", key, b"no integer"]);
            }
        }
        all_added && all_removed
    }

    /// Whether a sorted set is kept in another form because it was sorted.
    pub fn encodings_alike(&self, call: &Call<'_>) -> bool {
        self.sorts && was_sorted(call.ours, call.theirs)
    }

    /// Whether each server restores the other's dump, and then both hold what they held before.
    pub fn dumps_alike(&mut self, call: &Call<'_>) -> bool {
        let (Value::Bulk(ours), Value::Bulk(theirs)) = (call.ours, call.theirs) else { return false };
        let as_value = |payload: &Bytes| bulkhead::rdb::load(payload).ok().map(in_order);
        let scratch = "a key for dumps";
        let mut restored = [(0, theirs), (1, ours)].into_iter().map(|(side, payload)| {
            let restore: [&[u8]; 4] = [b"RESTORE", scratch.as_bytes(), b"0", payload];
            let reply = self.clients[side].call(&restore);
            let again = self.clients[side].call(&["DUMP", scratch]);
            self.clients[side].call(&["DEL", scratch]);
            match (reply.to_string().as_str(), again) {
                ("OK", Value::Bulk(again)) => as_value(&again),
                _ => None,
            }
        });
        let value = as_value(ours);
        value.is_some() && value == as_value(theirs) && restored.all(|again| again == value)
    }

    /// Whether the same number of keys is left when all expired ones are gone.
    pub fn sizes_alike(&mut self, call: &Call<'_>) -> bool {
        self.ask(&self.touch_all());
        let same = |[ours, theirs]: [Outcome; 2]| (ours == theirs).then_some(());
        wait_for(RECLAIMED_WITHIN, || same(self.ask(call.args))).is_some()
    }
}

fn bulk(value: &Value) -> Option<Bytes> {
    match value {
        Value::Bulk(text) => Some(text.clone()),
        _ => None,
    }
}

/// What was drawn: one element or several.
fn drawn_elements(reply: &Value) -> Option<Vec<String>> {
    match reply {
        Value::Bulk(_) => Some(vec![reply.to_string()]),
        several => elements(several),
    }
}

/// The texts of all elements of an aggregate, those of aggregates in it included.
pub fn elements(value: &Value) -> Option<Vec<String>> {
    fn flatten(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Array(values) | Value::Set(values) => values.iter().for_each(|value| flatten(value, into)),
            Value::Map(pairs) => pairs.iter().for_each(|(key, value)| {
                flatten(key, into);
                flatten(value, into);
            }),
            // A score, whatever the protocol makes of it.
            Value::Double(_) => into.push(format!("\"{}\"", value.to_string().trim_start_matches("(double) "))),
            other => into.push(other.to_string()),
        }
    }
    let mut texts = Vec::new();
    match value {
        Value::Array(_) | Value::Set(_) | Value::Map(_) => flatten(value, &mut texts),
        _ => return None,
    }
    Some(texts)
}

fn multiset(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

/// Whether the elements of two sets are the same.
pub fn same_elements(call: &Call<'_>) -> bool {
    let [ours, theirs] = [call.ours, call.theirs].map(|reply| elements(reply).map(multiset));
    ours.is_some() && ours == theirs
}

/// SORT makes a skiplist of a listpack that it only reads.
fn was_sorted(ours: &Value, theirs: &Value) -> bool {
    (ours.to_string().as_str(), theirs.to_string().as_str()) == ("\"listpack\"", "\"skiplist\"")
}

/// A skiplist keeps the sign of a zero that a listpack loses.
fn but_for_the_sign_of_zero(ours: &Value, theirs: &Value) -> bool {
    let [ours, theirs] = [ours, theirs].map(|reply| reply.to_string().replace("\"-0\"", "\"0\""));
    ours == theirs
}

/// A value with the elements of types that have no order in one.
fn in_order(value: bulkhead::rdb::Value) -> bulkhead::rdb::Value {
    use bulkhead::rdb::Value;
    match value {
        Value::Set(mut members) => {
            members.sort();
            Value::Set(members)
        }
        Value::Hash(mut fields) => {
            fields.sort();
            Value::Hash(fields)
        }
        Value::SortedSet(mut members) => {
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::SortedSet(members)
        }
        // What was deleted is not dumped here, so nodes are not as large as Redis'; and each delivered at its time.
        Value::Stream(stream) => {
            let mut stream = stream.without_form();
            for group in &mut stream.groups {
                group.pending.iter_mut().for_each(|pending| pending.delivered_ms = 0);
                group.consumers.iter_mut().for_each(|consumer| consumer.seen_ms = 0);
            }
            Value::Stream(stream)
        }
        value => value,
    }
}

/// Whether two replies that are not the same may pass.
type Alike = fn(&Value, &Value) -> bool;

/// How to read the whole of a value, by its type.
const READERS: &[(&str, &str)] = &[
    ("string", "GET {key}"),
    ("list", "LRANGE {key} 0 -1"),
    ("hash", "HGETALL {key}"),
    ("set", "SMEMBERS {key}"),
    ("zset", "ZRANGE {key} 0 -1 WITHSCORES"),
    ("stream", "XINFO STREAM {key} FULL COUNT 0"),
];
/// The types whose elements have an order of their own.
const ORDERED: &[&str] = &["list", "zset"];

/// Whether nothing else may be sent before the reply to `call` has been looked at.
fn must_wait_after(call: &[Bytes]) -> bool {
    sets_a_time(call) || allowed(&name_of(call)).is_some() || name_of(call) == "quit"
}

/// Whether `call` may make a key expire.
pub fn sets_a_time(call: &[Bytes]) -> bool {
    let name = name_of(call);
    let by_option = call
        .iter()
        .skip(1)
        .any(|arg| [&b"EX"[..], b"PX", b"EXAT", b"PXAT"].iter().any(|word| arg.eq_ignore_ascii_case(word)));
    let restores = name == "restore" && call.get(2).is_some_and(|ttl| &ttl[..] != b"0");
    by_option || restores || name.contains("expire") || name.contains("setex")
}

/// Whether the outcome of `call` depends on which of two times is later.
fn compares_times(call: &[Bytes]) -> bool {
    call.iter().any(|arg| arg.eq_ignore_ascii_case(b"GT") || arg.eq_ignore_ascii_case(b"LT"))
}

impl Outcome {
    fn value(&self) -> Option<Value> {
        match self {
            Outcome::Reply(bytes) => Value::decode(&mut BytesMut::from(&bytes[..])).ok().flatten(),
            Outcome::Nothing(_) => None,
        }
    }
}

impl fmt::Display for Outcome {
    /// The reply as redis-cli prints it, and its bytes: what differs may not show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.value()) {
            (Outcome::Reply(bytes), Some(value)) => {
                let lines = value.to_string();
                let (lines, bytes) = (excerpt(&lines, 2000), bytes.escape_ascii().to_string());
                write!(f, "{lines}   [{}]", excerpt(&bytes, 400))
            }
            (Outcome::Reply(bytes), None) => write!(f, "no reply at all: [{}]", bytes.escape_ascii()),
            (Outcome::Nothing(why), _) => write!(f, "no reply: {why}"),
        }
    }
}

impl Mismatch {
    /// The sequence up to the mismatch, and both replies there.
    pub fn transcript(&self, sequence: &Sequence) -> String {
        let mut text = String::new();
        if sequence.resp3 || sequence.pipelined {
            text.push_str(sequence.to_string().lines().next().unwrap_or_default());
            text.push('\n');
        }
        for call in &sequence.calls[..self.at.map_or(sequence.calls.len(), |at| at + 1)] {
            let _ = writeln!(text, "{}", line(call));
        }
        let at_end = if self.at.is_none() { "# What is left differs.\n" } else { "" };
        let _ = write!(text, "{at_end}# expected: {}\n# got:      {}\n", indented(&self.theirs), indented(&self.ours));
        text
    }
}

/// All unknown commands disagree in the same way.
fn signature_of(call: &[Bytes]) -> String {
    let name = name_of(call);
    let word = name.split('|').next().unwrap_or_default();
    if table::all().any(|command| command.name == word) { name } else { "an unknown command".into() }
}

fn excerpt(text: &str, chars: usize) -> String {
    let end = text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at);
    format!("{}{}", &text[..end], if end < text.len() { " …" } else { "" })
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n#           ")
}
