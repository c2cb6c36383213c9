//! Several clients of one server at once: what each of them receives must be, byte for byte and in the same order, what
//! it receives from the real redis-server. Transactions with WATCH, publish/subscribe, keyspace notifications, blocking.
//!
//! A dialogue is a list of lines `who> command`. After each the real server is given time to be done with it: two round
//! trips of another connection, for it is one thread. Then ours must come to have sent the same; what it sends earlier
//! (that a key expired) must come from the real one before the end. Of what MONITOR shows, the moment is left out, and so is
//! what the test does to look after the others; whoever did the rest is called by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use bulkhead::resp::encode_command;
use bytes::BytesMut;

use crate::dice::Dice;
use crate::families::allowed;
use crate::grammar::{Grammar, name_of};
use crate::pair::{FLAGS, sets_a_time};
use crate::sequence::line;
use crate::support::{Client, PATIENCE, Server, eventually, split_line, wait_for, wait_until};
use crate::{LongRun, number};

/// One line of a dialogue.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    /// A client, by its name, sends a command.
    Say(String, String),
    /// A client goes away without a word.
    Leave(String),
    /// Time passes.
    Wait(Duration),
}

impl Line {
    fn parse(line: &str) -> Line {
        if let Some(ms) = line.strip_prefix("wait ") {
            return Line::Wait(Duration::from_millis(ms.parse().expect("a number of milliseconds")));
        }
        if let Some(who) = line.strip_prefix("leave ") {
            return Line::Leave(who.into());
        }
        let (who, command) =
            line.split_once("> ").unwrap_or_else(|| panic!("neither wait, leave nor `who> …`: {line}"));
        Line::Say(who.into(), command.into())
    }

    fn text(&self) -> String {
        match self {
            Line::Say(who, command) => format!("{who}> {command}"),
            Line::Leave(who) => format!("leave {who}"),
            Line::Wait(time) => format!("wait {}", time.as_millis()),
        }
    }
}

/// Dialogues of a text: separated by blank lines, `#` for comments.
fn parse_all(text: &str) -> Vec<Vec<Line>> {
    let lines = |block: &str| {
        let lines = block.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(Line::parse).collect::<Vec<_>>()
    };
    text.split("\n\n").map(lines).filter(|dialogue| !dialogue.is_empty()).collect()
}

/// One server and those who talk to it.
struct Side {
    port: u16,
    /// Looks after the others.
    watcher: Client,
    people: BTreeMap<String, Person>,
    /// Who has which address, as MONITOR shows it. Who has left keeps his.
    names: BTreeMap<String, String>,
    /// What each said last.
    last: BTreeMap<String, String>,
    /// Who has said SWAPDB, perhaps within a transaction that is not over.
    swapping: BTreeSet<String>,
}

struct Person {
    stream: TcpStream,
    /// What its server calls it: `@who` in a command.
    id: String,
    heard: Vec<u8>,
    is_over: bool,
}

impl Person {
    /// Takes what has come so far.
    fn listen(&mut self) {
        let mut chunk = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return self.is_over = true,
                Ok(len) => self.heard.extend_from_slice(&chunk[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.is_over = true,
            }
        }
    }
}

impl Side {
    fn new(port: u16) -> Side {
        let mut watcher = Client::connect(port);
        eventually("everyone of an earlier dialogue has left", || {
            watcher.ask("CLIENT LIST").matches("id=").count() == 1
        });
        for line in ["FLUSHALL", "CONFIG SET notify-keyspace-events \"\"", "CONFIG RESETSTAT"] {
            assert_eq!(watcher.ask(line), "OK");
        }
        let (people, names, last, swapping) = Default::default();
        Side { port, watcher, people, names, last, swapping }
    }

    fn person(&mut self, who: &str) -> &mut Person {
        let port = self.port;
        self.people.entry(who.into()).or_insert_with(|| {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
            self.names.insert(stream.local_addr().expect("an address").to_string(), who.into());
            stream.set_nodelay(true).expect("a usable socket");
            let mut client = Client::over(stream.try_clone().expect("a second handle")).expect("a usable socket");
            let id = client.ask("CLIENT ID").trim_start_matches("(integer) ").to_string();
            stream.set_nonblocking(true).expect("a usable socket");
            Person { stream, id, heard: Vec::new(), is_over: false }
        })
    }

    fn perform(&mut self, line: &Line) {
        match line {
            Line::Say(who, command) => {
                self.last.insert(who.clone(), command.clone());
                match command.as_str() {
                    "EXEC" | "DISCARD" | "RESET" => drop(self.swapping.remove(who)),
                    command if command.starts_with("SWAPDB ") => drop(self.swapping.insert(who.clone())),
                    _ => {}
                }
                let mut command = split_line(command);
                for word in &mut command {
                    let name = word.strip_prefix(b"@").map(|name| String::from_utf8_lossy(name).into_owned());
                    if let Some(name) = name {
                        *word = self.person(&name).id.clone().into();
                    }
                }
                let mut bytes = BytesMut::new();
                encode_command(&command, &mut bytes);
                // A connection that is closed shows when it is listened to.
                let _ = self.person(who).stream.write_all(&bytes);
            }
            Line::Leave(who) => drop(self.people.remove(who)),
            Line::Wait(time) => wait_until(Instant::now() + *time),
        }
    }

    fn listen(&mut self) {
        self.people.values_mut().for_each(Person::listen);
    }

    /// What someone has heard, as it is compared.
    fn heard(&self, person: &Person) -> Vec<u8> {
        let lines = person.heard.split_inclusive(|byte| *byte == b'\n');
        lines.flat_map(|line| self.monitored(line).unwrap_or_else(|| line.to_vec())).collect()
    }

    /// One of MONITOR's lines, as it is compared: `+1339518083.107412 [0 127.0.0.1:60866] "ping"` as `+[0 one] "ping"`.
    fn monitored(&self, line: &[u8]) -> Option<Vec<u8>> {
        let line = std::str::from_utf8(line).ok()?;
        let (when, rest) = line.strip_prefix('+')?.split_once(" [")?;
        let (seconds, micros) = when.split_once('.')?;
        seconds.parse::<u32>().ok()?;
        assert!(micros.len() == 6 && micros.parse::<u32>().is_ok(), "{line}");
        let (whence, command) = rest.split_once("] ")?;
        let (db, address) = whence.split_once(' ')?;
        let name = self.names.get(address);
        // The watcher is nobody.
        Some(name.map_or(String::new(), |name| format!("+[{db} {name}] {command}")).into())
    }

    fn is_blocked(&mut self, who: &str) -> bool {
        self.waits_in(who).is_some()
    }

    /// The database in which someone is blocked.
    fn waits_in(&mut self, who: &str) -> Option<String> {
        let listed = self.watcher.ask(&format!("CLIENT LIST ID {}", self.people.get(who)?.id));
        let (_, db) = listed.split_once(" db=").filter(|_| listed.contains(" flags=b"))?;
        db.split(' ').next().map(String::from)
    }

    /// Whether several keys of a database that are waited for may become ready at once by what `line` does. redis-server then
    /// goes through all that are waited for there, in the order of a hash table that is another after each start: so whose
    /// turn it is differs between two of its own runs (seen with `BLPOP a b c 0` and a SWAPDB that brings all three).
    fn is_up_to_chance(&mut self, line: &Line) -> bool {
        let swaps = match line {
            Line::Say(who, command) if command == "EXEC" => self.swapping.contains(who),
            Line::Say(_, command) => command.starts_with("SWAPDB "),
            Line::Leave(_) | Line::Wait(_) => false,
        };
        if !swaps {
            return false;
        }
        let people: Vec<String> = self.people.keys().cloned().collect();
        let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for who in people {
            if let Some(db) = self.waits_in(&who) {
                let mut words = self.last[&who].split(' ');
                // The second key of these is not waited for.
                let moves = words.next().is_some_and(|name| matches!(name, "BLMOVE" | "BRPOPLPUSH"));
                let is_key = |word: &&str| word.parse::<f64>().is_err() && !ENDS.contains(word);
                let waited_for = words.filter(is_key).take(if moves { 1 } else { usize::MAX });
                keys.entry(db).or_default().extend(waited_for.map(String::from));
            }
        }
        keys.values().any(|keys| keys.len() > 1)
    }

    fn blocked(&mut self) -> String {
        let info = self.watcher.ask("INFO clients");
        let at = info.find("blocked_clients:").expect("INFO's field");
        info[at..].split("\\r").next().expect("a line").to_string()
    }
}

/// What the words of a blocking command are besides keys and numbers.
const ENDS: [&str; 5] = ["LEFT", "RIGHT", "MIN", "MAX", "COUNT"];

/// Where a dialogue went another way, as a text.
/// `polite`: nobody speaks while he is blocked. What clients have sent meanwhile runs in no particular order once several
/// of them are served at once. Nor does anybody say what has an outcome up to chance.
fn run(lines: &[Line], ours: u16, theirs: u16, polite: bool) -> Result<(), String> {
    let [mut ours, mut theirs] = [ours, theirs].map(Side::new);
    for (at, line) in lines.iter().enumerate() {
        if polite && (matches!(line, Line::Say(who, _) if theirs.is_blocked(who)) || theirs.is_up_to_chance(line)) {
            continue;
        }
        theirs.perform(line);
        for _ in 0..2 {
            assert_eq!(theirs.watcher.ask("PING"), "PONG");
        }
        theirs.listen();
        let blocked = theirs.blocked();
        ours.perform(line);
        // Whether it did is looked at in any case.
        let _ = wait_for(patience(), || has_caught_up(&mut ours, &theirs).then_some(()));
        let same_blocked = wait_for(patience(), || (ours.blocked() == blocked).then_some(())).is_some();
        if !same_blocked || !is_alike(&ours, &theirs, |ours, theirs| ours.starts_with(theirs)) {
            return Err(report(&lines[..=at], &mut ours, &theirs, &blocked));
        }
    }
    // What comes although nobody asked comes soon.
    wait_until(Instant::now() + Duration::from_millis(2));
    ours.listen();
    theirs.listen();
    if is_alike(&ours, &theirs, |ours, theirs| ours == theirs) {
        Ok(())
    } else {
        Err(report(lines, &mut ours, &theirs, ""))
    }
}

/// How long ours may take for what the real server has done already. Not long, or shrinking takes forever.
fn patience() -> Duration {
    PATIENCE / 30
}

fn has_caught_up(ours: &mut Side, theirs: &Side) -> bool {
    ours.listen();
    theirs.people.iter().all(|(who, person)| {
        let our = &ours.people[who];
        ours.heard(our).len() >= theirs.heard(person).len() && our.is_over == person.is_over
    })
}

fn is_alike(ours: &Side, theirs: &Side, is_alike: fn(&[u8], &[u8]) -> bool) -> bool {
    theirs.people.iter().all(|(who, person)| {
        let our = &ours.people[who];
        is_alike(&ours.heard(our), &theirs.heard(person)) && our.is_over == person.is_over
    })
}

fn report(lines: &[Line], ours: &mut Side, theirs: &Side, blocked: &str) -> String {
    let mut text: String = lines.iter().map(|line| line.text() + "\n").collect();
    for (who, person) in &theirs.people {
        let our = &ours.people[who];
        let heard = [theirs.heard(person), ours.heard(our)];
        if heard[0] != heard[1] || our.is_over != person.is_over {
            let same = heard[0].iter().zip(&heard[1]).take_while(|(a, b)| a == b).count();
            let from = heard[0][..same].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let [expected, got] = heard.map(|heard| heard[from..].escape_ascii().to_string());
            let _ = writeln!(text, "# {who} expected: {expected} over={}", person.is_over);
            let _ = writeln!(text, "# {who} got:      {got} over={}", our.is_over);
        }
    }
    let _ = writeln!(text, "# expected {blocked}, got {}", ours.blocked());
    text
}

#[test]
fn written_dialogues_go_as_with_the_real_server() {
    let (ours, theirs) = (Server::start(FLAGS), Server::start_redis(FLAGS));
    let dialogues = parse_all(include_str!("dialogues.txt"));
    let failures: Vec<String> =
        dialogues.iter().filter_map(|dialogue| run(dialogue, ours.port, theirs.port, false).err()).collect();
    assert!(failures.is_empty(), "{} of {} differ:\n{}", failures.len(), dialogues.len(), failures.join("\n"));
}

#[test]
fn generated_dialogues_go_as_with_the_real_server() {
    let (ours, theirs) = (Server::start(FLAGS), Server::start_redis(FLAGS));
    let mut long_run = LongRun::new("COMPAT_DIALOGUES", 150);
    let grammar = Grammar::new(&mut theirs.client());
    let mut failures = Vec::new();
    for seed in number("COMPAT_SEED", 1).. {
        if long_run.is_over(seed, failures.len()) {
            break;
        }
        let dialogue = generate(seed, &grammar);
        let Err(first) = run(&dialogue, ours.port, theirs.port, true) else { continue };
        let shortest = shrink(dialogue, |lines| run(lines, ours.port, theirs.port, true).is_err());
        let report = run(&shortest, ours.port, theirs.port, true).err().unwrap_or(first);
        failures.push(format!("# COMPAT_SEED={seed} COMPAT_DIALOGUES=1\n{report}"));
        long_run.keep(&failures[failures.len() - 1]);
        if failures.len() >= number("COMPAT_FAILURES", 4) as usize {
            break;
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Leaves out lines for as long as it still fails.
fn shrink(mut lines: Vec<Line>, fails: impl Fn(&[Line]) -> bool) -> Vec<Line> {
    let mut size = lines.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < lines.len() {
            let mut fewer = lines.clone();
            fewer.drain(at..(at + size).min(lines.len()));
            if !fewer.is_empty() && fails(&fewer) {
                lines = fewer;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    lines
}

/// (Nothing without a reply: there would be nothing to wait for before the next one speaks.)
/// What clients say to each other's trouble: `{k}` a key, `{v}` a value, `{d}` a database, `{c}` a channel.
const COMMANDS: &[(usize, &str)] = &[
    (8, "MULTI"),
    (8, "EXEC"),
    (2, "DISCARD"),
    (6, "WATCH {k}"),
    (2, "WATCH {k} {k}"),
    (1, "UNWATCH"),
    (6, "SET {k} {v}"),
    (1, "SET {k} {v} NOSUCH"),
    (1, "SET {k} {v} EX 100"),
    (1, "SET {k} {v} XX"),
    (4, "GET {k}"),
    (3, "INCR {k}"),
    (2, "APPEND {k} {v}"),
    (1, "APPEND {k} \"\""),
    (3, "DEL {k}"),
    (1, "DEL {k} {k}"),
    (1, "EXPIRE {k} 100"),
    (1, "EXPIRE {k} -1"),
    (1, "PERSIST {k}"),
    (1, "RENAME {k} {k}"),
    (1, "COPY {k} {k} REPLACE"),
    (1, "MOVE {k} {d}"),
    (1, "GETDEL {k}"),
    (1, "GETEX {k} PERSIST"),
    (1, "MSETNX {k} {v} {k} {v}"),
    (1, "SETRANGE {k} 2 {v}"),
    (2, "SELECT {d}"),
    (1, "SELECT 99"),
    (1, "SWAPDB {d} {d}"),
    (1, "FLUSHDB"),
    (1, "FLUSHALL"),
    (1, "PING"),
    (1, "PING {v}"),
    (1, "ECHO {v}"),
    (1, "NOSUCH {v}"),
    (1, "GET"),
    (1, "RESET"),
    (2, "PUBLISH {c} {v}"),
    (1, "SPUBLISH {c} {v}"),
    (1, "PUBSUB NUMSUB {c}"),
    (1, "PUBSUB NUMPAT"),
    (1, "HELLO 3 NOSUCH"),
    (1, "DBSIZE"),
];

/// What the one client says that mostly listens.
const LISTENING: &[(usize, &str)] = &[
    (4, "SUBSCRIBE {c}"),
    (2, "SUBSCRIBE {c} {c}"),
    (3, "PSUBSCRIBE {p}"),
    (2, "SSUBSCRIBE {c}"),
    (2, "UNSUBSCRIBE {c}"),
    (1, "PUNSUBSCRIBE {p}"),
    (1, "SUNSUBSCRIBE {c}"),
    (1, "PING"),
    (1, "PING {v}"),
    (1, "GET {k}"),
    (1, "MULTI"),
    (1, "EXEC"),
    (1, "RESET"),
];

fn generate(seed: u64, grammar: &Grammar) -> Vec<Line> {
    let mut dice = Dice::new(seed);
    let mut lines = Vec::new();
    if dice.percent(60) {
        lines.push(Line::Say("admin".into(), "CONFIG SET notify-keyspace-events AKEn".into()));
        let channel = dice.pick(&["__keyevent@*", "__keyspace@*", "__key*"]);
        lines.push(Line::Say("ear".into(), format!("PSUBSCRIBE {channel}")));
    }
    if dice.percent(40) {
        lines.push(Line::Say("monitor".into(), "MONITOR".into()));
    }
    if dice.percent(40) {
        generate_waiting(&mut dice, &mut lines);
        return lines;
    }
    for _ in 0..10 + dice.below(30) {
        let (who, commands) = match dice.below(10) {
            0..5 => ("one", COMMANDS),
            5..8 => ("two", COMMANDS),
            _ => ("listener", LISTENING),
        };
        if dice.percent(15) {
            // Anything at all, if it answers the same on both sides whenever it is asked.
            let call = grammar.call(&mut dice, None);
            if allowed(&name_of(&call)).is_none() && !sets_a_time(&call) {
                lines.push(Line::Say(who.into(), line(&call)));
            }
            continue;
        }
        let (_, template) = dice.pick_weighted(commands, |(weight, _)| *weight);
        lines.push(Line::Say(who.into(), fill(&mut dice, template)));
    }
    lines
}

fn fill(dice: &mut Dice, template: &str) -> String {
    let words = template.split(' ').map(|word| match word {
        "{k}" => dice.pick(&["a", "b", "c"]),
        "{v}" => dice.pick(&["1", "x", "hello", "\"\""]),
        "{d}" => dice.pick(&["0", "1"]),
        "{c}" => dice.pick(&["ch", "news", "a"]),
        "{p}" => dice.pick(&["ne*", "c?", "a"]),
        "{e}" => dice.pick(&["LEFT", "RIGHT"]),
        "{who}" => dice.pick(&["@one", "@two", "@three", "@four"]),
        word => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Clients that wait for elements, others that bring some. (Not SORT … STORE, ZUNIONSTORE and their like: over a key of
/// another type Redis 7.0 does not notice that there is a list, or a sorted set, now, and lets its waiters wait.)
const WAITING: &[(usize, &str)] = &[
    (6, "BLPOP {k} 0"),
    (3, "BLPOP {k} {k} 0"),
    (2, "BRPOP {k} {k} {k} 0"),
    (4, "BLMOVE {k} {k} {e} {e} 0"),
    (1, "BRPOPLPUSH {k} {k} 0"),
    (2, "BLMPOP 0 2 {k} {k} {e} COUNT 2"),
    (3, "BZPOPMIN {k} {k} 0"),
    (1, "BZPOPMAX {k} 0"),
    (1, "BZMPOP 0 1 {k} MIN COUNT 2"),
    (3, "XREAD BLOCK 0 STREAMS {k} $"),
    (3, "XREAD BLOCK 0 COUNT 1 STREAMS {k} {k} $ 0"),
    (4, "XREADGROUP GROUP g {c} BLOCK 0 STREAMS {k} >"),
    (2, "XREADGROUP GROUP g {v} NOACK BLOCK 0 STREAMS {k} {k} > >"),
    (4, "XADD {k} 5-* f {v}"),
    (4, "XGROUP CREATE {k} g $ MKSTREAM"),
    (1, "XGROUP SETID {k} g 0"),
    (1, "XGROUP DESTROY {k} g"),
    (1, "XDEL {k} 5-0 5-1 5-2"),
    (1, "XTRIM {k} MAXLEN 1"),
    (1, "XACK {k} g 5-0 5-1"),
    (8, "LPUSH {k} {v}"),
    (6, "RPUSH {k} {v} {v} {v}"),
    (5, "ZADD {k} 1 x 2 y"),
    (2, "LPOP {k}"),
    (1, "RPOPLPUSH {k} {k}"),
    (1, "LMOVE {k} {k} {e} {e}"),
    (3, "DEL {k}"),
    (1, "SET {k} {v}"),
    (2, "RENAME {k} {k}"),
    (1, "COPY {k} {k} REPLACE"),
    (1, "COPY {k} {k} DB {d} REPLACE"),
    (1, "MOVE {k} {d}"),
    (1, "SWAPDB 0 1"),
    (1, "SELECT {d}"),
    (1, "FLUSHALL"),
    (3, "MULTI"),
    (4, "EXEC"),
    (2, "CLIENT UNBLOCK {who}"),
    (1, "CLIENT UNBLOCK {who} ERROR"),
    (1, "WATCH {k}"),
    (1, "PING"),
];

fn generate_waiting(dice: &mut Dice, lines: &mut Vec<Line>) {
    let mut in_multi = BTreeSet::new();
    for _ in 0..10 + dice.below(40) {
        let who = dice.pick(&["one", "two", "three", "four"]);
        if dice.percent(2) {
            lines.push(Line::Leave(who.into()));
            continue;
        }
        let (_, template) = dice.pick_weighted(WAITING, |(weight, _)| *weight);
        match *template {
            "MULTI" => drop(in_multi.insert(who)),
            "EXEC" => drop(in_multi.remove(who)),
            // Ours serves first whom the same transaction has brought something, for that is one with its commit.
            template if template.starts_with("CLIENT UNBLOCK") && in_multi.contains(who) => continue,
            _ => {}
        }
        lines.push(Line::Say(who.into(), fill(dice, template)));
    }
}

#[test]
fn a_dialogue_is_read_back_from_its_text() {
    let text = "# why\none> SET k 1\nwait 5\n\nleave one\n";
    let read = parse_all(text);
    assert_eq!(read.len(), 2);
    assert_eq!(read[0].iter().map(Line::text).collect::<Vec<_>>(), ["one> SET k 1", "wait 5"]);
    let many = vec![Line::Wait(Duration::ZERO); 25];
    assert_eq!(shrink(many, |lines| lines.len() > 3).len(), 4);
}
