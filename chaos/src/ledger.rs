//! What the server has acknowledged, what is in doubt, and whether the data that it holds after a restart can be true.
//!
//! Every write carries a [`Stamp`] that no other write has, so the data itself tells which writes took effect. An
//! [`audit`](Ledger::audit) compares, and then takes what it found as the new truth: what was in doubt and is absent must
//! stay absent. Only values in and sentences out: nothing here may talk to a server.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bulkhead::resp::Value;
use bytes::Bytes;

/// Which write: the writer, and its number among that writer's writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    pub writer: u32,
    pub serial: u64,
}

/// How long a stamp is as a text, always: entries of a log are found by their position.
const STAMP_LEN: usize = 14;

/// How many keys one MSET writes.
const GROUP_KEYS: usize = 4;

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{:03}-{:08};", self.writer, self.serial)
    }
}

impl Stamp {
    fn parse(text: &[u8]) -> Option<Stamp> {
        let text = std::str::from_utf8(text).ok()?;
        let (writer, serial) = text.strip_prefix('w')?.strip_suffix(';')?.split_once('-')?;
        Some(Stamp { writer: writer.parse().ok()?, serial: serial.parse().ok()? })
    }
}

/// What a write does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// INCR of the counter of this name.
    Increment(String),
    /// SET of a key that only this write ever writes.
    Token,
    /// MSET of the writer's group: all of its keys get the stamp.
    Group,
    /// APPEND of the stamp to the log of this number.
    Entry(u64),
    /// MULTI … EXEC: the stamp into the list, the hash and the set of this number, and one more on its counter.
    Transaction(u64),
}

impl Write {
    /// The commands, as they are sent. The last one's reply is the write's.
    pub fn commands(&self, stamp: Stamp) -> Vec<Vec<String>> {
        let words = |words: &[&str]| words.iter().map(|word| word.to_string()).collect::<Vec<String>>();
        let text = stamp.to_string();
        match self {
            Write::Increment(counter) => vec![words(&["INCR", counter])],
            Write::Token => vec![words(&["SET", &token_key(stamp), &text])],
            Write::Entry(log) => vec![words(&["APPEND", &log_key(*log), &text])],
            Write::Group => {
                let pairs = group_keys(stamp.writer).flat_map(|key| [key, text.clone()]);
                vec![std::iter::once("MSET".into()).chain(pairs).collect()]
            }
            Write::Transaction(number) => {
                let [list, hash, set, counter] = transaction_keys(*number);
                vec![
                    words(&["MULTI"]),
                    words(&["RPUSH", &list, &text]),
                    words(&["HSET", &hash, &text, &stamp.serial.to_string()]),
                    words(&["SADD", &set, &text]),
                    words(&["INCR", &counter]),
                    words(&["EXEC"]),
                ]
            }
        }
    }

    /// What the replies to [`Write::commands`] say; `None`: they must not be so. `refusals`: the codes of errors that
    /// mean that it was certainly not executed.
    pub fn judge(&self, replies: &[Value], refusals: &[&str]) -> Option<Fate> {
        let (last, before) = replies.split_last()?;
        let code = |reply: &Value| match reply {
            Value::Error(text) => text.split(|byte| *byte == b' ').next().map(<[u8]>::to_vec),
            _ => None,
        };
        let refuses = |code: &[u8]| refusals.iter().any(|refusal| refusal.as_bytes() == code);
        if let Some(last) = code(last) {
            return match &last[..] {
                b"INDOUBT" => Some(Fate::InDoubt),
                // A command of it was refused when it was to be queued, and therefore all of them.
                b"EXECABORT" if before.iter().filter_map(code).any(|code| refuses(&code)) => Some(Fate::Refused),
                code if refuses(code) => Some(Fate::Refused),
                _ => None,
            };
        }
        if before.iter().any(|reply| !matches!(reply, Value::Simple(_))) {
            return None;
        }
        match (self, last) {
            (Write::Increment(_) | Write::Entry(_), Value::Integer(value)) => Some(Fate::Acknowledged(Some(*value))),
            (Write::Token | Write::Group, Value::Simple(text)) if text == "OK" => Some(Fate::Acknowledged(None)),
            (Write::Transaction(_), Value::Array(replies)) => match replies[..] {
                // The stamp is new to the list, the hash and the set; and all of them have as many.
                [Value::Integer(length), Value::Integer(1), Value::Integer(1), Value::Integer(count)]
                    if length == count =>
                {
                    Some(Fate::Acknowledged(Some(length * STAMP_LEN as i64)))
                }
                _ => None,
            },
            _ => None,
        }
    }
}

/// What is known of a write that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was answered, with this number where there is one: the counter's value, or the length of the log in bytes.
    Acknowledged(Option<i64>),
    /// It may have been executed: no answer came, or one that says so.
    InDoubt,
    /// The server said that it certainly was not executed.
    Refused,
}

/// What a server holds: its keys and their values. A list, a hash and a set are the stamps in them as one text, those of
/// the latter two in order.
pub type Data = BTreeMap<String, Bytes>;

#[derive(Default)]
pub struct Ledger {
    counters: BTreeMap<String, Counter>,
    tokens: BTreeMap<Stamp, Token>,
    groups: BTreeMap<u32, Group>,
    logs: BTreeMap<u64, Log>,
    transactions: BTreeMap<u64, Log>,
    refused: BTreeSet<Stamp>,
}

/// Between two audits: what the last one found, what was acknowledged since, and how much is in doubt.
#[derive(Default)]
struct Counter {
    settled: i64,
    replies: Vec<i64>,
    in_doubt: i64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    Acknowledged,
    InDoubt,
    /// In doubt once, and an audit did not find it.
    Absent,
}

/// The writes that may have been a group's last one.
#[derive(Default)]
struct Group {
    settled: Option<Stamp>,
    in_doubt: Vec<Stamp>,
}

/// What the last audit found must be the head of what the next one finds.
#[derive(Default)]
struct Log {
    settled: Bytes,
    /// Each with the length of the log that it was answered with.
    acknowledged: Vec<(Stamp, i64)>,
    in_doubt: Vec<Stamp>,
}

impl Ledger {
    /// Enters a write of which no more will be learnt. A writer's writes are entered in the order they were sent.
    pub fn enter(&mut self, stamp: Stamp, write: &Write, fate: Fate) {
        match (write, fate) {
            (_, Fate::Refused) => drop(self.refused.insert(stamp)),
            (Write::Increment(counter), Fate::InDoubt) => self.counter(counter).in_doubt += 1,
            (Write::Increment(counter), Fate::Acknowledged(reply)) => {
                self.counter(counter).replies.push(reply.unwrap_or_default());
            }
            (Write::Token, Fate::InDoubt) => drop(self.tokens.insert(stamp, Token::InDoubt)),
            (Write::Token, Fate::Acknowledged(_)) => drop(self.tokens.insert(stamp, Token::Acknowledged)),
            (Write::Group, Fate::InDoubt) => self.groups.entry(stamp.writer).or_default().in_doubt.push(stamp),
            (Write::Group, Fate::Acknowledged(_)) => {
                self.groups.insert(stamp.writer, Group { settled: Some(stamp), in_doubt: Vec::new() });
            }
            (Write::Entry(log), fate) => self.logs.entry(*log).or_default().enter(stamp, fate),
            (Write::Transaction(number), fate) => self.transactions.entry(*number).or_default().enter(stamp, fate),
        }
    }

    /// Every key that may exist.
    pub fn keys(&self) -> impl Iterator<Item = String> {
        let counters = self.counters.keys().cloned();
        let tokens = self.tokens.keys().chain(&self.refused).map(|stamp| token_key(*stamp));
        let groups = self.groups.keys().flat_map(|writer| group_keys(*writer));
        let transactions = self.transactions.keys().flat_map(|number| transaction_keys(*number));
        counters.chain(tokens).chain(groups).chain(self.logs.keys().map(|log| log_key(*log))).chain(transactions)
    }

    /// Compares what was found with what can be true; each contradiction as a sentence. What was found is the truth from
    /// now on. Also tells how many of the tokens and entries in doubt took effect.
    pub fn audit(&mut self, found: &Data) -> (Vec<String>, usize) {
        let mut wrong = Vec::new();
        let mut came_true = 0;
        for (key, counter) in &mut self.counters {
            counter.audit(key, found.get(key), &mut wrong);
        }
        for (stamp, token) in &mut self.tokens {
            came_true += token.audit(*stamp, found.get(&token_key(*stamp)), &mut wrong);
        }
        for (writer, group) in &mut self.groups {
            group.audit(*writer, found, &mut wrong);
        }
        for (number, log) in &mut self.logs {
            let key = log_key(*number);
            came_true += log.audit(&key, found.get(&key), &mut wrong);
        }
        for (number, list) in &mut self.transactions {
            let [key, hash, set, counter] = transaction_keys(*number);
            came_true += list.audit(&key, found.get(&key), &mut wrong);
            let mut stamps: Vec<&[u8]> = list.settled.chunks(STAMP_LEN).collect();
            stamps.sort_unstable();
            for other in [hash, set] {
                if found.get(&other).cloned().unwrap_or_default() != stamps.concat() {
                    wrong.push(format!("a transaction took effect in part: {key} and {other} differ"));
                }
            }
            let count = found.get(&counter).map_or("0".into(), |count| String::from_utf8_lossy(count));
            if count != stamps.len().to_string() {
                wrong.push(format!(
                    "a transaction took effect in part: {counter} is {count}, {key} has {}",
                    stamps.len()
                ));
            }
        }
        for stamp in self.refused.iter().filter(|stamp| found.contains_key(&token_key(**stamp))) {
            wrong.push(format!("{stamp} was refused as certainly not executed, and is there"));
        }
        (wrong, came_true)
    }

    fn counter(&mut self, key: &str) -> &mut Counter {
        self.counters.entry(key.into()).or_default()
    }
}

impl Counter {
    fn audit(&mut self, key: &str, found: Option<&Bytes>, wrong: &mut Vec<String>) {
        let number = |text: &Bytes| std::str::from_utf8(text).ok()?.parse().ok();
        let Some(value) = found.map_or(Some(0), number) else {
            return wrong.push(format!("{key} is no number: {found:?}"));
        };
        let Counter { settled, mut replies, in_doubt } = std::mem::take(self);
        let least = settled + replies.len() as i64;
        if !(least..=least + in_doubt).contains(&value) {
            let acknowledged = replies.len();
            wrong.push(format!("{key} is {value}: was {settled}, {acknowledged} acknowledged, {in_doubt} in doubt"));
        }
        replies.sort_unstable();
        wrong.extend(
            replies.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| format!("{key}: two INCR got {}", pair[0])),
        );
        let (first, last) = (replies.first(), replies.last());
        if first.is_some_and(|reply| *reply <= settled) || last.is_some_and(|reply| *reply > value) {
            wrong.push(format!("{key}: went from {settled} to {value}, INCR answered {first:?} to {last:?}"));
        }
        self.settled = value;
    }
}

impl Token {
    fn audit(&mut self, stamp: Stamp, found: Option<&Bytes>, wrong: &mut Vec<String>) -> usize {
        let was_in_doubt = *self == Token::InDoubt;
        match found {
            Some(value) if value[..] != *stamp.to_string().as_bytes() => {
                wrong.push(format!("the key of {stamp} holds {value:?}"));
            }
            Some(_) if *self == Token::Absent => {
                wrong.push(format!("{stamp} was absent at the last restart, and is back"))
            }
            None if *self == Token::Acknowledged => wrong.push(format!("{stamp} was acknowledged, and is lost")),
            _ => {}
        }
        *self = if found.is_some() { Token::Acknowledged } else { Token::Absent };
        usize::from(was_in_doubt && found.is_some())
    }
}

impl Group {
    fn audit(&mut self, writer: u32, found: &Data, wrong: &mut Vec<String>) {
        let values: Vec<Option<&Bytes>> = group_keys(writer).map(|key| found.get(&key)).collect();
        if values.iter().any(|value| *value != values[0]) {
            wrong.push(format!("w{writer:03}: an MSET took effect in part: {values:?}"));
        }
        let last = values[0].and_then(|value| Stamp::parse(value));
        let Group { settled, in_doubt } = std::mem::take(self);
        if last != settled && !last.is_some_and(|stamp| in_doubt.contains(&stamp)) {
            wrong
                .push(format!("w{writer:03}: MSET of {last:?} found, {settled:?} acknowledged, {in_doubt:?} in doubt"));
        }
        self.settled = last;
    }
}

impl Log {
    fn enter(&mut self, stamp: Stamp, fate: Fate) {
        match fate {
            Fate::Acknowledged(reply) => self.acknowledged.push((stamp, reply.unwrap_or_default())),
            Fate::InDoubt => self.in_doubt.push(stamp),
            // Whoever finds it is told that it must not be there.
            Fate::Refused => {}
        }
    }

    fn audit(&mut self, key: &str, found: Option<&Bytes>, wrong: &mut Vec<String>) -> usize {
        let found = found.cloned().unwrap_or_default();
        let Log { settled, acknowledged, in_doubt } = std::mem::take(self);
        if !found.starts_with(&settled) || found.len() % STAMP_LEN != 0 {
            let (was, is) = (settled.len(), found.len());
            wrong.push(format!("{key}: {is} bytes, which are no entries or do not begin with the {was} of last time"));
        }
        let new = found.get(settled.len()..).unwrap_or_default();
        let entries: Vec<Option<Stamp>> = new.chunks(STAMP_LEN).map(Stamp::parse).collect();
        for (stamp, length) in &acknowledged {
            let index = (*length as usize).saturating_sub(settled.len()) / STAMP_LEN;
            if index == 0 || entries.get(index - 1) != Some(&Some(*stamp)) {
                wrong.push(format!("{key}: {stamp} was acknowledged with length {length}, and is not there"));
            }
        }
        let known: BTreeSet<Stamp> = acknowledged.iter().map(|(stamp, _)| *stamp).chain(in_doubt.clone()).collect();
        let mut latest: BTreeMap<u32, u64> = BTreeMap::new();
        for entry in &entries {
            match entry {
                Some(stamp) if !known.contains(stamp) => wrong.push(format!("{key}: {stamp} is there and must not be")),
                Some(Stamp { writer, serial }) => {
                    // Also finds an entry that is there twice.
                    if latest.insert(*writer, *serial).is_some_and(|before| before >= *serial) {
                        wrong.push(format!("{key}: number {serial} of w{writer:03} is there twice or out of order"));
                    }
                }
                None => wrong.push(format!("{key}: an entry is garbled")),
            }
        }
        self.settled = found;
        in_doubt.iter().filter(|stamp| entries.contains(&Some(**stamp))).count()
    }
}

fn token_key(stamp: Stamp) -> String {
    format!("token:{stamp}")
}

fn log_key(log: u64) -> String {
    format!("log:{log}")
}

/// A list, a hash, a set and a counter. Their first letters tell [`read_all`](crate::audit::read_all) what they are.
fn transaction_keys(number: u64) -> [String; 4] {
    ["list", "hash", "set", "count"].map(|kind| format!("{kind}:{number}"))
}

fn group_keys(writer: u32) -> impl Iterator<Item = String> {
    (0..GROUP_KEYS).map(move |index| format!("group:w{writer:03}:{index}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: &str = "counter:shared";

    fn stamp(serial: u64) -> Stamp {
        Stamp { writer: 1, serial }
    }

    /// Two writes of each kind acknowledged and one in doubt, and the data of a server that lost nothing and did not
    /// execute what is in doubt.
    fn scene() -> (Ledger, Data) {
        let mut ledger = Ledger::default();
        let counter = || Write::Increment(SHARED.into());
        let length = |entries: usize| Fate::Acknowledged(Some((entries * STAMP_LEN) as i64));
        ledger.enter(stamp(1), &counter(), Fate::Acknowledged(Some(1)));
        ledger.enter(stamp(2), &counter(), Fate::Acknowledged(Some(2)));
        ledger.enter(stamp(3), &Write::Token, Fate::Acknowledged(None));
        ledger.enter(stamp(4), &Write::Token, Fate::Acknowledged(None));
        ledger.enter(stamp(5), &Write::Group, Fate::Acknowledged(None));
        ledger.enter(stamp(6), &Write::Group, Fate::Acknowledged(None));
        ledger.enter(stamp(7), &Write::Entry(0), length(1));
        ledger.enter(stamp(8), &Write::Entry(0), length(2));
        ledger.enter(stamp(9), &Write::Token, Fate::Refused);
        ledger.enter(stamp(10), &counter(), Fate::InDoubt);
        ledger.enter(stamp(11), &Write::Token, Fate::InDoubt);
        ledger.enter(stamp(12), &Write::Group, Fate::InDoubt);
        ledger.enter(stamp(13), &Write::Entry(0), Fate::InDoubt);
        ledger.enter(stamp(14), &Write::Transaction(0), length(1));
        ledger.enter(stamp(15), &Write::Transaction(0), length(2));
        ledger.enter(stamp(16), &Write::Transaction(0), Fate::InDoubt);
        let mut data = Data::from([(SHARED.into(), "2".into())]);
        data.extend([3, 4].map(|serial| (token_key(stamp(serial)), stamp(serial).to_string().into())));
        data.extend(group_keys(1).map(|key| (key, stamp(6).to_string().into())));
        data.insert(log_key(0), format!("{}{}", stamp(7), stamp(8)).into());
        put_transactions(&mut data, [14, 15]);
        (ledger, data)
    }

    fn put_transactions<const N: usize>(data: &mut Data, serials: [u64; N]) {
        let [list, hash, set, counter] = transaction_keys(0);
        let stamps = serials.map(|serial| stamp(serial).to_string()).concat();
        data.extend([list, hash, set].map(|key| (key, stamps.clone().into())));
        data.insert(counter, N.to_string().into());
    }

    /// What took effect of the writes in doubt.
    fn execute_doubts(data: &mut Data) {
        data.insert(SHARED.into(), "3".into());
        data.insert(token_key(stamp(11)), stamp(11).to_string().into());
        data.extend(group_keys(1).map(|key| (key, stamp(12).to_string().into())));
        data.insert(log_key(0), format!("{}{}{}", stamp(7), stamp(8), stamp(13)).into());
        put_transactions(data, [14, 15, 16]);
    }

    #[test]
    fn what_is_in_doubt_may_be_there_or_not() {
        let (mut ledger, data) = scene();
        assert_eq!(ledger.audit(&data), (vec![], 0));
        let (mut ledger, mut data) = scene();
        execute_doubts(&mut data);
        assert_eq!(ledger.audit(&data), (vec![], 3));
        // The same data once more: nothing is in doubt any longer.
        assert_eq!(ledger.audit(&data), (vec![], 0));
    }

    #[test]
    fn what_was_absent_once_must_not_come_back() {
        let (mut ledger, mut data) = scene();
        assert_eq!(ledger.audit(&data), (vec![], 0));
        execute_doubts(&mut data);
        let (wrong, _) = ledger.audit(&data);
        assert_eq!(wrong.len(), 5, "{wrong:?}");
    }

    #[test]
    fn every_planted_loss_is_found() {
        type Plant = fn(&mut Data);
        let plants: [(&str, Plant); 21] = [
            ("is 1: was 0, 2 acknowledged", |data| drop(data.insert(SHARED.into(), "1".into()))),
            ("is 4: was 0, 2 acknowledged", |data| drop(data.insert(SHARED.into(), "4".into()))),
            ("is 0: was 0, 2 acknowledged", |data| drop(data.remove(SHARED))),
            ("is no number", |data| drop(data.insert(SHARED.into(), "2x".into()))),
            ("was acknowledged, and is lost", |data| drop(data.remove(&token_key(stamp(4))))),
            ("holds", |data| drop(data.insert(token_key(stamp(4)), stamp(3).to_string().into()))),
            ("was refused", |data| drop(data.insert(token_key(stamp(9)), stamp(9).to_string().into()))),
            ("in part", |data| drop(data.insert("group:w001:2".into(), stamp(12).to_string().into()))),
            ("in part", |data| drop(data.remove("group:w001:3"))),
            ("MSET of", |data| data.extend(group_keys(1).map(|key| (key, stamp(5).to_string().into())))),
            ("and is not there", |data| drop(data.insert(log_key(0), stamp(7).to_string().into()))),
            ("and is not there", |data| drop(data.insert(log_key(0), format!("{}{}", stamp(8), stamp(7)).into()))),
            ("there twice", |data| {
                drop(data.insert(log_key(0), format!("{}{}{}", stamp(7), stamp(8), stamp(8)).into()));
            }),
            ("must not be", |data| {
                drop(data.insert(log_key(0), format!("{}{}{}", stamp(7), stamp(8), stamp(3)).into()));
            }),
            ("no entries", |data| {
                drop(data.insert(log_key(0), format!("{}{}w001", stamp(7), stamp(8)).into()));
            }),
            ("count:0 is 1, list:0 has 2", |data| drop(data.insert("count:0".into(), "1".into()))),
            ("list:0 and hash:0 differ", |data| drop(data.remove("hash:0"))),
            ("list:0 and set:0 differ", |data| drop(data.insert("set:0".into(), stamp(14).to_string().into()))),
            ("list:0: w001-00000015; was acknowledged", |data| put_transactions(data, [14])),
            ("list:0: w001-00000014; was acknowledged", |data| put_transactions(data, [15])),
            ("list:0: number 15 of w001 is there twice", |data| put_transactions(data, [14, 15, 15])),
        ];
        for (expected, plant) in plants {
            let (mut ledger, mut data) = scene();
            plant(&mut data);
            let (wrong, _) = ledger.audit(&data);
            assert!(wrong.iter().any(|sentence| sentence.contains(expected)), "{expected:?} not in {wrong:?}");
        }
    }

    #[test]
    fn replies_say_what_became_of_a_write() {
        let error = |text: &'static str| Value::Error(text.into());
        let judge = |write: &Write, replies: &[Value]| write.judge(replies, &["TRYAGAIN", "NOSPACE"]);
        assert_eq!(judge(&Write::Token, &[Value::Simple("OK".into())]), Some(Fate::Acknowledged(None)));
        assert_eq!(judge(&Write::Token, &[error("NOSPACE the disk is full")]), Some(Fate::Refused));
        assert_eq!(judge(&Write::Token, &[error("INDOUBT storage")]), Some(Fate::InDoubt));
        assert_eq!(judge(&Write::Token, &[error("IOERR storage")]), None);
        assert_eq!(judge(&Write::Token, &[Value::Integer(1)]), None);
        let transaction = |before: Value, lengths: [i64; 4]| {
            let last = Value::Array(lengths.map(Value::Integer).to_vec());
            judge(&Write::Transaction(0), &[Value::Simple("OK".into()), before, last])
        };
        let queued = || Value::Simple("QUEUED".into());
        assert_eq!(transaction(queued(), [3, 1, 1, 3]), Some(Fate::Acknowledged(Some(3 * STAMP_LEN as i64))));
        assert_eq!(transaction(queued(), [3, 1, 1, 4]), None);
        assert_eq!(transaction(queued(), [3, 0, 1, 3]), None);
        assert_eq!(transaction(error("ERR no"), [3, 1, 1, 3]), None);
        let aborted = |reason: &'static str| {
            judge(&Write::Transaction(0), &[Value::Simple("OK".into()), error(reason), error("EXECABORT no")])
        };
        assert_eq!(aborted("TRYAGAIN later"), Some(Fate::Refused));
        assert_eq!(aborted("ERR no"), None);
    }

    #[test]
    fn replies_that_cannot_be_true_are_found() {
        for (replies, expected) in [([1, 1], "two INCR got 1"), ([0, 1], "answered"), ([2, 3], "answered")] {
            let mut ledger = Ledger::default();
            for (serial, reply) in replies.into_iter().enumerate() {
                let fate = Fate::Acknowledged(Some(reply));
                ledger.enter(stamp(serial as u64), &Write::Increment(SHARED.into()), fate);
            }
            let (wrong, _) = ledger.audit(&Data::from([(SHARED.into(), "2".into())]));
            assert!(wrong.iter().any(|sentence| sentence.contains(expected)), "{replies:?}: {wrong:?}");
        }
    }

    #[test]
    fn the_ledger_asks_for_every_key_that_its_writes_touch() {
        let (ledger, mut data) = scene();
        execute_doubts(&mut data);
        let keys: BTreeSet<String> = ledger.keys().collect();
        assert!(data.keys().all(|key| keys.contains(key)), "{keys:?}");
        assert!(keys.contains(&token_key(stamp(9))), "a refused write must be looked for");
    }
}
