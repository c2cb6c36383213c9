//! DEBUG: what helps those who test a server, and those who test clients against one. As in Redis, what can be debugged is
//! no part of the command table; it is a table of its own here, from which DEBUG HELP is made.
//!
//! Nothing here may delay or harm anyone but who asks for it, unless it says so: FAILPOINT and RESTART-STORAGE do.

use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::{ADMIN, BASE};
use crate::commands::introspection::unknown_subcommand_or_arity;
use crate::commands::parse::Args;
use crate::commands::{Command, CommandError, Next, Operation, Run, Session};
use crate::failpoints::{self, CATALOGUE};
use crate::glob;
use crate::keyspace::{Keyspace, Record, ScanFilter};
use crate::limits;
use crate::observe::Ran;
use crate::rdb::{self, StreamNode, Value};
use crate::resp::{CommandArgs, Protocol, ReplyBuffer};
use crate::storage::BackgroundTask;
use crate::types::{self, dump};

type Result<T> = std::result::Result<T, CommandError>;

pub(super) static DEBUG: Command = Command {
    name: "debug",
    summary: "A container for debugging commands",
    since: "1.0.0",
    complexity: "Depends on subcommand.",
    arity: -2,
    flags: ADMIN,
    doc_flags: &["syscmd"],
    examples: r#"> DEBUG SLEEP 0.01
OK
> DEBUG ERROR "LOADING not yet"
(error) LOADING not yet
> SET mykey Hello
OK
> DEBUG OBJECT mykey
Value at:0x0 refcount:1 encoding:embstr serializedlength:6 lru:0 lru_seconds_idle:0
> DEBUG DIGEST-VALUE nosuchkey
1) 0000000000000000000000000000000000000000
> FLUSHALL
OK
> DEBUG DIGEST
0000000000000000000000000000000000000000
> DEBUG SEGFAULT
(error) ERR unknown subcommand or wrong number of arguments for 'SEGFAULT'. Try DEBUG HELP."#,
    run: Run::Server(debug),
    ..BASE
};

/// One of DEBUG's subcommands.
struct Subcommand {
    name: &'static str,
    /// As DEBUG HELP shows them.
    arguments: &'static str,
    /// How many there may be.
    takes: RangeInclusive<usize>,
    help: &'static str,
    run: Runs,
}

/// Where a subcommand runs. The arguments are those of DEBUG; the subcommand's own begin at 2.
enum Runs {
    Here(fn(&mut Session, &CommandArgs, &mut ReplyBuffer) -> Result<Next>),
    Storage(fn(&CommandArgs) -> Result<Box<dyn Operation>>),
}

const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand {
        name: "CHANGE-REPL-ID",
        arguments: "",
        takes: 0..=0,
        help: "Nothing: there is no replication whose id could change.",
        run: Runs::Here(nothing),
    },
    Subcommand {
        name: "DIGEST",
        arguments: "",
        takes: 0..=0,
        help: "Output a hex signature of all keys of all databases with their values: equal ones have equal contents.",
        run: Runs::Storage(|_| Ok(Box::new(DigestAll))),
    },
    Subcommand {
        name: "DIGEST-VALUE",
        arguments: "<key> [<key> ...]",
        takes: 1..=usize::MAX,
        help: "Output a hex signature of the values of all the specified keys: equal ones have equal values.",
        run: Runs::Storage(|args| Ok(Box::new(DigestValue { keys: Args::from(args, 2).rest() }))),
    },
    Subcommand {
        name: "ERROR",
        arguments: "<string>",
        takes: 1..=1,
        help: "Return a Redis protocol error with <string> as message.",
        run: Runs::Here(|_, args, _| Err(CommandError::echo(&[&args[2]]))),
    },
    Subcommand {
        name: "FAILPOINT",
        arguments: "LIST|<name> <action>",
        takes: 1..=2,
        help: "List the places where the server can be made to fail and how often it was, or make it fail at one (builds with \
               failpoints only).",
        run: Runs::Here(failpoint),
    },
    Subcommand { name: "LOADAOF", arguments: "", takes: 0..=0, help: "As RELOAD.", run: Runs::Here(reload) },
    Subcommand {
        name: "LOG",
        arguments: "<message>",
        takes: 1..=1,
        help: "Write <message> to the server log.",
        run: Runs::Here(|_, args, reply| {
            tracing::warn!("DEBUG LOG: {}", String::from_utf8_lossy(&args[2]));
            reply.ok();
            Ok(Next::Done)
        }),
    },
    Subcommand {
        name: "OBJECT",
        arguments: "<key>",
        takes: 1..=1,
        help: "Show low level info about `key` and associated value.",
        run: Runs::Storage(|args| Ok(Box::new(Object { key: Args::from(args, 2).next_bytes()? }))),
    },
    Subcommand {
        name: "PROTOCOL",
        arguments: "<type>",
        takes: 1..=1,
        help: "Reply with a test value of the specified type. <type> can be: string, integer, double, bignum, null, array, set, \
               map, attrib, push, verbatim, true, false.",
        run: Runs::Here(protocol),
    },
    Subcommand {
        name: "QUICKLIST-PACKED-THRESHOLD",
        arguments: "<size>",
        takes: 1..=1,
        help: "Nothing: lists are not kept in memory.",
        run: Runs::Here(nothing),
    },
    Subcommand {
        name: "RELOAD",
        arguments: "[option ...]",
        takes: 0..=usize::MAX,
        help: "Write memtables out to files and start the storage threads anew over what is on disk.",
        run: Runs::Here(reload),
    },
    Subcommand {
        name: "RESTART-STORAGE",
        arguments: "",
        takes: 0..=0,
        help: "Start the storage threads anew over the same data. Requests wait meanwhile.",
        run: Runs::Here(|session, _, reply| {
            session.server.storage_restart.notify_one();
            reply.ok();
            Ok(Next::Done)
        }),
    },
    Subcommand {
        name: "SET-ACTIVE-EXPIRE",
        arguments: "<0|1>",
        takes: 1..=1,
        help: "Whether keys that nobody asks for are removed when their time has come. If not, they are when they are read; \
               all reads wait for writes then.",
        run: Runs::Here(|session, args, reply| {
            let is_on = Args::from(args, 2).next_i64()? != 0;
            session.server.background.set_paused(BackgroundTask::Expire, !is_on);
            session.server.reads_expire.store(!is_on, Ordering::Relaxed);
            reply.ok();
            Ok(Next::Done)
        }),
    },
    Subcommand {
        name: "SLEEP",
        arguments: "<seconds>",
        takes: 1..=1,
        help: "Delay this reply, and what this connection sends after it. Decimals allowed.",
        run: Runs::Here(sleep),
    },
    Subcommand {
        name: "STRINGMATCH-LEN",
        arguments: "<length> <pattern>",
        takes: 2..=2,
        help: "Match a text of as many x against a glob pattern.",
        run: Runs::Here(|_, args, reply| {
            let mut args = Args::from(args, 2);
            let len = usize::try_from(args.next_i64()?).ok().filter(|len| *len <= limits::READ_CHUNK_LARGE_BYTES);
            let text = vec![b'x'; len.ok_or(CommandError::NotInteger)?];
            reply.integer(i64::from(glob::matches(args.next()?, &text)));
            Ok(Next::Done)
        }),
    },
];

fn debug(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next> {
    if args.len() == 2 && args[1].eq_ignore_ascii_case(b"HELP") {
        return help(reply);
    }
    match &subcommand(args).ok_or_else(|| unknown_subcommand_or_arity(args))?.run {
        Runs::Here(run) => run(session, args, reply),
        Runs::Storage(parse) => Ok(Next::Storage(parse(args)?)),
    }
}

fn subcommand(args: &CommandArgs) -> Option<&'static Subcommand> {
    let named = |sub: &&Subcommand| args[1].eq_ignore_ascii_case(sub.name.as_bytes());
    SUBCOMMANDS.iter().find(named).filter(|sub| sub.takes.contains(&(args.len() - 2)))
}

/// What storage will have to run of a call of DEBUG, if anything: in a transaction that is to be known beforehand.
pub fn foreseen_operation(command: &Command, args: &CommandArgs) -> Option<Result<Box<dyn Operation>>> {
    if command.name != DEBUG.name {
        return None;
    }
    match subcommand(args)?.run {
        Runs::Here(_) => None,
        Runs::Storage(parse) => Some(parse(args)),
    }
}

fn help(reply: &mut ReplyBuffer) -> Result<Next> {
    let mut lines = vec!["DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:".to_string()];
    for sub in SUBCOMMANDS {
        lines.push(format!("{} {}", sub.name, sub.arguments).trim_end().to_string());
        lines.push(format!("    {}", sub.help));
    }
    lines.extend(["HELP".to_string(), "    Print this help.".to_string()]);
    reply.array(lines.len());
    lines.iter().for_each(|line| reply.simple(line));
    Ok(Next::Done)
}

fn nothing(_: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next> {
    reply.ok();
    Ok(Next::Done)
}

/// DEBUG SLEEP: to its own client it is a command that takes as long, and so it is to the slow log; nobody else waits.
fn sleep(session: &mut Session, args: &CommandArgs, _: &mut ReplyBuffer) -> Result<Next> {
    let seconds = Args::from(args, 2).next_f64()?.max(0.0);
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| CommandError::NotFloat)?;
    let (server, client, args) = (session.server.clone(), session.client.clone(), args.clone());
    Ok(Next::Wait(Box::pin(async move {
        let began = server.env.clock.now();
        server.env.clock.sleep(duration).await;
        let took = server.env.clock.now().saturating_sub(began);
        let ran = Ran { args: &args, client: &client, took, is_fast: false };
        let config = server.config.current();
        server.stats.note_if_slow(&ran, |_| false, &config.monitoring, || server.env.clock.unix_time());
        Bytes::from_static(b"+OK\r\n")
    })))
}

/// DEBUG RELOAD: what is answered afterwards comes from disk, or it was never there.
fn reload(session: &mut Session, _: &CommandArgs, _: &mut ReplyBuffer) -> Result<Next> {
    let server = session.server.clone();
    let mut answer = ReplyBuffer::new(session.protocol);
    Ok(Next::Wait(Box::pin(async move {
        match server.background.run(BackgroundTask::Flush).await {
            Ok(()) => {
                server.storage_restart.notify_one();
                answer.ok();
            }
            Err(error) => answer.error(format!("ERR Error trying to load the RDB dump: {error}")),
        }
        Bytes::from(answer.into_bytes())
    })))
}

/// DEBUG FAILPOINT. Names and actions are texts, and so are the errors.
fn failpoint(_: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next> {
    let text = |index: usize| String::from_utf8_lossy(&args[index]).into_owned();
    if args.len() == 3 {
        if !args[2].eq_ignore_ascii_case(b"LIST") {
            return Err(unknown_subcommand_or_arity(args));
        }
        reply.array(CATALOGUE.len());
        for point in CATALOGUE {
            reply.array(3);
            reply.bulk(point.name.as_bytes());
            reply.bulk(point.doc.trim().as_bytes());
            reply.integer(point.fired() as i64);
        }
        return Ok(Next::Done);
    }
    failpoints::arm(&text(2), &text(3)).map_err(|error| CommandError::custom(format!("ERR {error}")))?;
    reply.ok();
    Ok(Next::Done)
}

/// DEBUG PROTOCOL: what Redis answers, for those who test what their client makes of it.
fn protocol(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next> {
    match args[2].to_ascii_lowercase().as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.integer(12345),
        b"double" => reply.double_text("3.141"),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|number| reply.integer(number));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|number| reply.integer(number));
        }
        b"map" => {
            reply.map(3);
            for number in 0..3 {
                reply.integer(number);
                reply.boolean(number == 1);
            }
        }
        b"attrib" => {
            if reply.attribute(1) {
                reply.bulk(b"key-popularity");
                reply.array(2);
                reply.bulk(b"key:123");
                reply.integer(90);
            }
            reply.bulk(b"Some real reply following the attribute");
        }
        b"push" if session.protocol == Protocol::Resp2 => {
            return Err(CommandError::custom("ERR RESP2 is not supported by this command"));
        }
        b"push" => {
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.integer(42);
            reply.bulk(b"Some real reply following the push reply");
        }
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        b"verbatim" => reply.verbatim("txt", b"This is a verbatim\nstring"),
        b"bignum" => reply.big_number("1234567999999999999999999999999999999"),
        _ => {
            return Err(CommandError::custom(
                "ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(Next::Done)
}

#[derive(Debug)]
struct Object {
    key: Bytes,
}

impl Operation for Object {
    /// Values are not objects in memory: there is no address, and nobody notes when one was read.
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let record = keyspace.peek(&self.key)?.ok_or(CommandError::NoSuchKey)?;
        // As in Redis, without the type in front, and the version and the checksum behind.
        let serialized = dump::dump(keyspace, &record)?.len().saturating_sub(rdb::AROUND_BYTES);
        let encoding = types::encoding(&record);
        reply.simple(&format!(
            "Value at:0x0 refcount:1 encoding:{encoding} serializedlength:{serialized} lru:0 lru_seconds_idle:0"
        ));
        Ok(())
    }

    fn is_long(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct DigestValue {
    keys: Vec<Bytes>,
}

impl Operation for DigestValue {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        reply.array(self.keys.len());
        for key in &self.keys {
            let digest = match keyspace.peek(key)? {
                Some(record) => Digest::of(keyspace, &record, &[])?,
                None => Digest::default(),
            };
            reply.simple(&digest.to_string());
        }
        Ok(())
    }

    fn is_long(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct DigestAll;

impl Operation for DigestAll {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let mut digest = Digest::default();
        for db in 0..keyspace.db_count() {
            keyspace.select(db);
            let mut cursor = 0;
            loop {
                let page = keyspace.scan(cursor, limits::DIGEST_KEYS, &ScanFilter::default())?;
                for key in page.keys {
                    if let Some(record) = keyspace.peek(&key)? {
                        let place = [&(db as u64).to_be_bytes()[..], &(key.len() as u64).to_be_bytes(), &key].concat();
                        digest.mix(Digest::of(keyspace, &record, &place)?);
                    }
                }
                cursor = page.cursor;
                if cursor == 0 {
                    break;
                }
            }
        }
        reply.simple(&digest.to_string());
        Ok(())
    }

    fn is_long(&self) -> bool {
        true
    }
}

/// Forty digits, as Redis' are. They are others, and mean something on this server only. Of nothing they are zeros.
#[derive(Clone, Copy, Default)]
struct Digest(u128, u32);

impl Digest {
    /// Of a value, whether it expires, and `place`.
    fn of(keyspace: &mut Keyspace<'_>, record: &Record, place: &[u8]) -> Result<Digest> {
        let value = in_order(dump::value(keyspace, record)?);
        let bytes = [place, &rdb::dump(&value, false)].concat();
        Ok(Digest(xxh3_128(&bytes), xxh3_64(&bytes) as u32 ^ u32::from(record.expire_ms.is_some())))
    }

    /// In whatever order: the result is the same.
    fn mix(&mut self, other: Digest) {
        (self.0, self.1) = (self.0 ^ other.0, self.1 ^ other.1);
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}{:08x}", self.0, self.1)
    }
}

/// The value with its elements in an order that does not depend on how it came about.
fn in_order(mut value: Value) -> Value {
    match &mut value {
        Value::String(_) | Value::List(_) => {}
        Value::Set(members) => members.sort(),
        Value::Hash(fields) => fields.sort(),
        Value::SortedSet(members) => members.sort_by(|a, b| a.0.cmp(&b.0)),
        // What matters is in its entries and groups, not how these are packed.
        Value::Stream(stream) => {
            let mut whole = StreamNode { first: stream.first, last: stream.top(), ..Default::default() };
            whole.entries = std::mem::take(&mut stream.nodes).into_iter().flat_map(|node| node.entries).collect();
            stream.nodes = vec![whole];
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::network_tests::TestClient;

    #[test]
    fn subcommands_stand_in_order_and_help_tells_of_each() {
        assert!(SUBCOMMANDS.is_sorted_by_key(|sub| sub.name));
        let help = TestClient::new().run("debug help");
        assert!(SUBCOMMANDS.iter().all(|sub| help.contains(sub.name)), "{help}");
    }

    #[test]
    fn sleep_delays_who_asked_and_is_slow() {
        let mut client = TestClient::new();
        client.check(&[("config set slowlog-log-slower-than 15000", "OK")]);
        let started = client.session.server.env.clock.now();
        client.check(&[
            ("debug sleep 0.02", "OK"),
            ("debug sleep -1", "OK"),
            ("debug sleep x", "(error) ERR value is not a valid float"),
            ("debug sleep 1e300", "(error) ERR value is not a valid float"),
        ]);
        assert!(client.session.server.env.clock.now() - started >= Duration::from_millis(20));
        client.check(&[("slowlog len", "(integer) 1")]);
    }

    #[test]
    fn protocol_shows_every_type_in_either_protocol() {
        let mut client = TestClient::new();
        let replies = |client: &mut TestClient| {
            ["double", "map", "attrib", "true", "bignum"].map(|kind| client.encoded(&format!("debug protocol {kind}")))
        };
        let resp2 = replies(&mut client);
        assert_eq!(resp2[0], &b"$5\r\n3.141\r\n"[..]);
        assert_eq!(resp2[1], &b"*6\r\n:0\r\n:0\r\n:1\r\n:1\r\n:2\r\n:0\r\n"[..]);
        assert_eq!(resp2[2], &b"$39\r\nSome real reply following the attribute\r\n"[..]);
        assert_eq!(resp2[3], &b":1\r\n"[..]);
        client.encoded("hello 3");
        let resp3 = replies(&mut client);
        assert_eq!(resp3[0], &b",3.141\r\n"[..]);
        assert_eq!(resp3[1], &b"%3\r\n:0\r\n#f\r\n:1\r\n#t\r\n:2\r\n#f\r\n"[..]);
        assert!(resp3[2].starts_with(b"|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n$39\r\nSome"));
        assert_eq!(resp3[4], &b"(1234567999999999999999999999999999999\r\n"[..]);
    }
}
