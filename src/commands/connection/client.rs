//! CLIENT: what a connection says about itself, and what may be seen of and done to the others.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{BASE, USER, text, version_number};
use crate::commands::context::ReplyMode;
use crate::commands::introspection;
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, Next, Run, Session};
use crate::limits;
use crate::number;
use crate::observe::{Client, ClientFacts, PauseKind, Unblock};
use crate::resp::{CommandArgs, ReplyBuffer};

pub static CLIENT: Command = Command {
    name: "client",
    summary: "A container for client connection commands",
    since: "2.4.0",
    complexity: "Depends on subcommand.",
    arity: -2,
    categories: &[],
    subcommands: &[
        &GETNAME, &GETREDIR, &HELP, &ID, &INFO, &KILL, &LIST, &NO_EVICT, &PAUSE, &REPLY, &SETINFO, &SETNAME, &UNBLOCK,
        &UNPAUSE,
    ],
    ..BASE
};

/// About the connection itself.
const OWN: &[Flag] = &[Flag::Noscript, Flag::Loading, Flag::Stale];
/// About others.
const ADMIN: &[Flag] = &[Flag::Admin, Flag::Noscript, Flag::Loading, Flag::Stale];

static HELP: Command = Command {
    group: BASE.group,
    categories: BASE.categories,
    examples: r#"> CLIENT HELP
..."#,
    ..introspection::HELP
};

static ID: Command = Command {
    name: "id",
    summary: "Returns the client ID for the current connection",
    since: "5.0.0",
    arity: 2,
    flags: OWN,
    examples: r#"> CLIENT ID
..."#,
    run: Run::Session(id),
    ..BASE
};

fn id(session: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    reply.integer(session.client.id as i64);
    Ok(Next::Done)
}

static GETNAME: Command = Command {
    name: "getname",
    summary: "Get the current connection name",
    since: "2.6.9",
    arity: 2,
    flags: OWN,
    examples: r#"> CLIENT GETNAME
(nil)
> CLIENT SETNAME worker
OK
> CLIENT GETNAME
"worker""#,
    run: Run::Session(getname),
    ..BASE
};

fn getname(session: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    match session.client.facts().name {
        name if name.is_empty() => reply.null(),
        name => reply.bulk(name.as_bytes()),
    }
    Ok(Next::Done)
}

static SETNAME: Command = Command {
    name: "setname",
    summary: "Set the current connection name",
    since: "2.6.9",
    arity: 3,
    flags: OWN,
    arguments: &[Argument::string("connection-name")],
    examples: r#"> CLIENT SETNAME worker
OK
> CLIENT SETNAME "a worker"
(error) ERR Client names cannot contain spaces, newlines or special characters."#,
    run: Run::Session(setname),
    ..BASE
};

fn setname(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let name = valid_name(&args[2])?;
    session.client.update(|facts| facts.name = name);
    reply.ok();
    Ok(Next::Done)
}

/// A name that a client may have: CLIENT LIST shows it on a line of words. Empty: no name.
pub(super) fn valid_name(name: &[u8]) -> Result<String, CommandError> {
    word(name, "Client names")
}

/// The word a client gives for itself, or an error about `what`.
fn word(given: &[u8], what: &str) -> Result<String, CommandError> {
    if given.len() > limits::CLIENT_NAME_BYTES_MAX {
        let max = limits::CLIENT_NAME_BYTES_MAX;
        return Err(CommandError::custom(format!("ERR {what} cannot be longer than {max} bytes.")));
    }
    if !given.iter().all(u8::is_ascii_graphic) {
        let message = format!("ERR {what} cannot contain spaces, newlines or special characters.");
        return Err(CommandError::custom(message));
    }
    Ok(String::from_utf8_lossy(given).into_owned())
}

// In Redis since 7.2. Clients written since then send it first thing, so older servers answer it with an error each time.
static SETINFO: Command = Command {
    name: "setinfo",
    summary: "Set client or connection specific info",
    since: "7.2.0",
    arity: 4,
    flags: OWN,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    arguments: &[Argument::one_of(
        "attr",
        &[Argument::string("libname").token("LIB-NAME"), Argument::string("libver").token("LIB-VER")],
    )],
    examples: r#"> CLIENT SETINFO LIB-NAME redis-py
OK
> CLIENT SETINFO LIB-VER 5.0.1
OK
> CLIENT SETINFO LANGUAGE python
(error) ERR Unrecognized option 'LANGUAGE'"#,
    run: Run::Session(setinfo),
    ..BASE
};

fn setinfo(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let option = &args[2];
    let set: fn(&mut ClientFacts, String) = if option.eq_ignore_ascii_case(b"LIB-NAME") {
        |facts, name| facts.library_name = name
    } else if option.eq_ignore_ascii_case(b"LIB-VER") {
        |facts, version| facts.library_version = version
    } else {
        return Err(CommandError::custom(format!("ERR Unrecognized option '{}'", text(option))));
    };
    let value = word(&args[3], &text(option))?;
    session.client.update(|facts| set(facts, value));
    reply.ok();
    Ok(Next::Done)
}

static GETREDIR: Command = Command {
    name: "getredir",
    summary: "Get tracking notifications redirection client ID if any",
    since: "6.0.0",
    arity: 2,
    flags: OWN,
    examples: r#"> CLIENT GETREDIR
(integer) -1"#,
    run: Run::Session(getredir),
    ..BASE
};

/// Nobody tracks keys, so nobody is redirected.
fn getredir(_: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    reply.integer(-1);
    Ok(Next::Done)
}

static REPLY: Command = Command {
    name: "reply",
    summary: "Instruct the server whether to reply to commands",
    since: "3.2.0",
    arity: 3,
    flags: OWN,
    arguments: &[Argument::one_of(
        "on_off_skip",
        &[Argument::flag("on", "ON"), Argument::flag("off", "OFF"), Argument::flag("skip", "SKIP")],
    )],
    examples: r#"> CLIENT REPLY ON
OK
> CLIENT REPLY MAYBE
(error) ERR syntax error"#,
    run: Run::Session(reply_mode),
    ..BASE
};

/// Only ON answers, and of two words for silence the longer lasting holds.
fn reply_mode(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let mut args = Args::from(args, 2);
    if args.take_word("ON") {
        session.reply_mode = ReplyMode::On;
        reply.ok();
    } else if args.take_word("OFF") {
        session.reply_mode = ReplyMode::Off;
    } else if !args.take_word("SKIP") {
        return Err(CommandError::Syntax);
    } else if session.reply_mode != ReplyMode::Off {
        session.reply_mode = ReplyMode::SkipNext;
    }
    Ok(Next::Done)
}

static NO_EVICT: Command = Command {
    name: "no-evict",
    summary: "Set client eviction mode for the current connection",
    since: "7.0.0",
    arity: 3,
    flags: ADMIN,
    arguments: &[Argument::one_of("enabled", &[Argument::flag("on", "ON"), Argument::flag("off", "OFF")])],
    examples: r#"> CLIENT NO-EVICT ON
OK"#,
    run: Run::Session(no_evict),
    ..BASE
};

fn no_evict(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let mut args = Args::from(args, 2);
    let on = args.take_word("ON");
    if !on && !args.take_word("OFF") {
        return Err(CommandError::Syntax);
    }
    session.client.update(|facts| facts.no_evict = on);
    reply.ok();
    Ok(Next::Done)
}

static INFO: Command = Command {
    name: "info",
    summary: "Returns information about the current client connection.",
    since: "6.2.0",
    arity: 2,
    flags: OWN,
    tips: &["nondeterministic_output"],
    examples: r#"> CLIENT INFO
..."#,
    run: Run::Server(info),
    ..BASE
};

fn info(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let asking = Asking::new(session, args);
    reply.verbatim("txt", describe(&session.client, session.server.env.clock.now(), asking).as_bytes());
    Ok(Next::Done)
}

static LIST: Command = Command {
    name: "list",
    summary: "Get the list of client connections",
    since: "2.4.0",
    complexity: "O(N) where N is the number of client connections",
    arity: -2,
    flags: ADMIN,
    tips: &["nondeterministic_output"],
    history: &[
        ("2.8.12", "Added unique client `id` field."),
        ("5.0.0", "Added optional `TYPE` filter."),
        ("6.0.0", "Added `user` field."),
        ("6.2.0", "Added `argv-mem`, `tot-mem`, `laddr` and `redir` fields and the optional `ID` filter."),
        ("7.0.0", "Added `resp`, `multi-mem`, `rbs` and `rbp` fields."),
        ("7.0.3", "Added `ssub` field."),
    ],
    arguments: &[
        Argument::one_of(
            "normal_master_replica_pubsub",
            &[
                Argument::flag("normal", "NORMAL"),
                Argument::flag("master", "MASTER"),
                Argument::flag("replica", "REPLICA"),
                Argument::flag("pubsub", "PUBSUB"),
            ],
        )
        .token("TYPE")
        .since("5.0.0")
        .optional(),
        Argument::block("id", &[Argument::integer("client-id").multiple()]).token("ID").since("6.2.0").optional(),
    ],
    examples: r#"> CLIENT LIST
...
> CLIENT LIST TYPE nosuchtype
(error) ERR Unknown client type 'nosuchtype'"#,
    run: Run::Server(list),
    ..BASE
};

fn list(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let clients = &session.server.clients;
    let asking = Asking::new(session, args);
    let mut args = Args::from(args, 2);
    let chosen = if args.is_done() {
        clients.all()
    } else if args.remaining() == 2 && args.take_word("TYPE") {
        let kind = ClientKind::parse(args.next()?)?;
        clients.all().into_iter().filter(|client| ClientKind::of(client) == kind).collect()
    } else if args.remaining() > 1 && args.take_word("ID") {
        let mut chosen = Vec::new();
        while !args.is_done() {
            let invalid = |_| CommandError::custom("ERR Invalid client ID");
            chosen.extend(u64::try_from(args.next_i64().map_err(invalid)?).ok().and_then(|id| clients.get(id)));
        }
        chosen
    } else {
        return Err(CommandError::Syntax);
    };
    let now = session.server.env.clock.now();
    let lines: String = chosen.iter().map(|client| describe(client, now, asking)).collect();
    reply.verbatim("txt", lines.as_bytes());
    Ok(Next::Done)
}

/// Who asks, by a command of so many bytes: it counts as part of that client's query buffer, as in Redis.
#[derive(Clone, Copy)]
struct Asking {
    id: u64,
    bytes: usize,
}

impl Asking {
    fn new(session: &Session, args: &CommandArgs) -> Asking {
        Asking { id: session.client.id, bytes: args.frame_len() }
    }
}

/// A client's line in CLIENT LIST. What does not exist here is said as Redis says it of a client without it: no file
/// descriptor number.
fn describe(client: &Client, now: Duration, asking: Asking) -> String {
    let facts = client.facts();
    let age_s = now.saturating_sub(client.connected_at).as_secs();
    let idle_s = (now.as_millis() as u64).saturating_sub(client.last_active_ms.load(Ordering::Relaxed)) / 1000;
    let asked = if client.id == asking.id { asking.bytes as u64 } else { 0 };
    let input = client.query_buffer_bytes.load(Ordering::Relaxed) + asked;
    let output = client.output_buffer_bytes.load(Ordering::Relaxed);
    let [channels, patterns, shard_channels] = client.subscriptions.get();
    let queued = facts.queued.map_or(-1, |count| count as i64);
    let mailbox = client.mailbox_bytes.load(Ordering::Relaxed);
    let flags: String = [
        (client.is_monitor.load(Ordering::Relaxed), 'O'),
        (client.subscriptions.any(), 'P'),
        (facts.queued.is_some(), 'x'),
        (facts.blocked, 'b'),
        (client.is_killed(), 'A'),
        (client.unix_socket().is_some(), 'U'),
        (facts.no_evict, 'e'),
    ]
    .into_iter()
    .filter_map(|(holds, flag)| holds.then_some(flag))
    .collect();
    let command = match (facts.last_container, facts.last_command) {
        (Some(container), Some(name)) => format!("{container}|{name}"),
        (_, name) => name.unwrap_or("NULL").to_string(),
    };
    format!(
        "id={} addr={} laddr={} fd=-1 name={} age={age_s} idle={idle_s} flags={} db={} sub={channels} psub={patterns} \
         ssub={shard_channels} multi={queued} qbuf={input} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl={output} oll=0 \
         omem={mailbox} tot-mem={} events={} \
         cmd={command} user={USER} redir=-1 resp={} lib-name={} lib-ver={}\n",
        client.id,
        client.address,
        client.local_address,
        facts.name,
        if flags.is_empty() { "N" } else { &flags },
        facts.db,
        input + output + mailbox,
        if output > 0 { "rw" } else { "r" },
        version_number(facts.protocol),
        facts.library_name,
        facts.library_version,
    )
}

/// The classes of clients that TYPE names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientKind {
    Normal,
    Master,
    Replica,
    Pubsub,
}

impl ClientKind {
    fn parse(word: &[u8]) -> Result<ClientKind, CommandError> {
        match word.to_ascii_lowercase().as_slice() {
            b"normal" => Ok(ClientKind::Normal),
            b"master" => Ok(ClientKind::Master),
            b"replica" | b"slave" => Ok(ClientKind::Replica),
            b"pubsub" => Ok(ClientKind::Pubsub),
            _ => Err(CommandError::custom(format!("ERR Unknown client type '{}'", text(word)))),
        }
    }

    /// This server does not replicate.
    fn of(client: &Client) -> ClientKind {
        if client.subscriptions.any() { ClientKind::Pubsub } else { ClientKind::Normal }
    }
}

static KILL: Command = Command {
    name: "kill",
    summary: "Kill the connection of a client",
    since: "2.4.0",
    complexity: "O(N) where N is the number of client connections",
    arity: -3,
    flags: ADMIN,
    history: &[
        ("2.8.12", "Added new filter format."),
        ("2.8.12", "`ID` option."),
        ("3.2.0", "Added `master` type in for `TYPE` option."),
        ("5.0.0", "Replaced `slave` `TYPE` with `replica`. `slave` still supported for backward compatibility."),
        ("6.2.0", "`LADDR` option."),
    ],
    arguments: &[Argument::one_of(
        "filter",
        &[
            Argument::string("ip:port").deprecated_since("2.8.12"),
            Argument::one_of(
                "new-format",
                &[
                    Argument::integer("client-id").token("ID").since("2.8.12").optional(),
                    Argument::one_of(
                        "normal_master_slave_pubsub",
                        &[
                            Argument::flag("normal", "NORMAL"),
                            Argument::flag("master", "MASTER").since("3.2.0"),
                            Argument::flag("slave", "SLAVE"),
                            Argument::flag("replica", "REPLICA").since("5.0.0"),
                            Argument::flag("pubsub", "PUBSUB"),
                        ],
                    )
                    .token("TYPE")
                    .since("2.8.12")
                    .optional(),
                    Argument::string("username").token("USER").optional(),
                    Argument::string("ip:port").token("ADDR").optional(),
                    Argument::string("ip:port").token("LADDR").since("6.2.0").optional(),
                    Argument::string("yes/no").token("SKIPME").optional(),
                ],
            )
            .multiple(),
        ],
    )],
    examples: r#"> CLIENT KILL 127.0.0.1:1
(error) ERR No such client
> CLIENT KILL TYPE master SKIPME no
(integer) 0
> CLIENT KILL ID 0
(error) ERR client-id should be greater than 0"#,
    run: Run::Server(kill),
    ..BASE
};

/// Whom CLIENT KILL means: who answers to everything that is given.
#[derive(Debug, Default)]
struct Filter<'a> {
    id: Option<i64>,
    kind: Option<ClientKind>,
    address: Option<&'a [u8]>,
    local_address: Option<&'a [u8]>,
    spare_self: bool,
}

impl<'a> Filter<'a> {
    fn parse(mut args: Args<'a>) -> Result<Filter<'a>, CommandError> {
        let mut filter = Filter { spare_self: true, ..Filter::default() };
        while !args.is_done() {
            if args.remaining() < 2 {
                return Err(CommandError::Syntax);
            } else if args.take_word("ID") {
                let id = args.next_i64().ok().filter(|id| *id > 0);
                filter.id = Some(id.ok_or(CommandError::custom("ERR client-id should be greater than 0"))?);
            } else if args.take_word("TYPE") {
                filter.kind = Some(ClientKind::parse(args.next()?)?);
            } else if args.take_word("ADDR") {
                filter.address = Some(args.next()?);
            } else if args.take_word("LADDR") {
                filter.local_address = Some(args.next()?);
            } else if args.take_word("USER") {
                // Everyone is the one user.
                let user = args.next()?;
                if user != USER.as_bytes() {
                    return Err(CommandError::custom(format!("ERR No such user '{}'", text(user))));
                }
            } else if args.take_word("SKIPME") {
                filter.spare_self = args.take_word("YES");
                if !filter.spare_self && !args.take_word("NO") {
                    return Err(CommandError::Syntax);
                }
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(filter)
    }

    fn matches(&self, client: &Client) -> bool {
        self.id.is_none_or(|id| client.id == id as u64)
            && self.kind.is_none_or(|kind| ClientKind::of(client) == kind)
            && self.address.is_none_or(|address| client.address.as_bytes() == address)
            && self.local_address.is_none_or(|address| client.local_address.as_bytes() == address)
    }
}

fn kill(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    // The old form names one address, which may be one's own.
    let is_old_form = args.len() == 3;
    let filter = match is_old_form {
        true => Filter { address: args.get(2), ..Filter::default() },
        false => Filter::parse(Args::from(args, 2))?,
    };
    let mut killed = 0;
    let mut next = Next::Done;
    for client in session.server.clients.all() {
        let is_self = client.id == session.client.id;
        if !filter.matches(&client) || (is_self && filter.spare_self) {
            continue;
        }
        killed += 1;
        match is_self {
            // Once it has read how it went.
            true => next = Next::Close,
            false => client.kill(),
        }
    }
    match (is_old_form, killed) {
        (true, 0) => return Err(CommandError::custom("ERR No such client")),
        (true, _) => reply.ok(),
        (false, killed) => reply.integer(killed),
    }
    Ok(next)
}

static PAUSE: Command = Command {
    name: "pause",
    summary: "Stop processing commands from clients for some time",
    since: "2.9.50",
    arity: -3,
    flags: ADMIN,
    history: &[("6.2.0", "`CLIENT PAUSE WRITE` mode added along with the `mode` option.")],
    arguments: &[
        Argument::integer("timeout"),
        Argument::one_of("mode", &[Argument::flag("write", "WRITE"), Argument::flag("all", "ALL")])
            .since("6.2.0")
            .optional(),
    ],
    examples: r#"> CLIENT PAUSE 1 WRITE
OK
> CLIENT PAUSE -1
(error) ERR timeout is negative
> CLIENT PAUSE 1 READ
(error) ERR CLIENT PAUSE mode must be WRITE or ALL"#,
    run: Run::Server(pause),
    ..BASE
};

fn pause(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let kind = match args.get(3) {
        _ if args.len() > 4 => return Err(introspection::unknown_subcommand_or_arity(args)),
        None => PauseKind::All,
        Some(word) if word.eq_ignore_ascii_case(b"WRITE") => PauseKind::Write,
        Some(word) if word.eq_ignore_ascii_case(b"ALL") => PauseKind::All,
        Some(_) => return Err(CommandError::custom("ERR CLIENT PAUSE mode must be WRITE or ALL")),
    };
    let Some(ms) = number::parse_i64(&args[2]) else {
        return Err(CommandError::custom("ERR timeout is not an integer or out of range"));
    };
    let ms = u64::try_from(ms).map_err(|_| CommandError::custom("ERR timeout is negative"))?;
    let now = session.server.env.clock.now();
    session.server.clients.pause(now.saturating_add(Duration::from_millis(ms)), kind, now);
    reply.ok();
    Ok(Next::Done)
}

static UNPAUSE: Command = Command {
    name: "unpause",
    summary: "Resume processing of clients that were paused",
    since: "6.2.0",
    complexity: "O(N) Where N is the number of paused clients",
    arity: 2,
    flags: ADMIN,
    examples: r#"> CLIENT PAUSE 100000 WRITE
OK
> CLIENT UNPAUSE
OK"#,
    run: Run::Server(unpause),
    ..BASE
};

fn unpause(session: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    session.server.clients.unpause();
    reply.ok();
    Ok(Next::Done)
}

static UNBLOCK: Command = Command {
    name: "unblock",
    summary: "Unblock a client blocked in a blocking command from a different connection",
    since: "5.0.0",
    complexity: "O(log N) where N is the number of client connections",
    arity: -3,
    flags: ADMIN,
    arguments: &[
        Argument::integer("client-id"),
        Argument::one_of("timeout_error", &[Argument::flag("timeout", "TIMEOUT"), Argument::flag("error", "ERROR")])
            .optional(),
    ],
    examples: r#"> CLIENT UNBLOCK 1000000
(integer) 0
> CLIENT UNBLOCK 1000000 NOW
(error) ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"#,
    run: Run::Server(unblock),
    ..BASE
};

fn unblock(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let how = match args.get(3) {
        _ if args.len() > 4 => return Err(introspection::unknown_subcommand_or_arity(args)),
        None => Unblock::Timeout,
        Some(word) if word.eq_ignore_ascii_case(b"TIMEOUT") => Unblock::Timeout,
        Some(word) if word.eq_ignore_ascii_case(b"ERROR") => Unblock::Error,
        Some(_) => return Err(CommandError::custom("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
    };
    let id = number::parse_i64(&args[2]).ok_or(CommandError::NotInteger)?;
    let client = u64::try_from(id).ok().and_then(|id| session.server.clients.get(id));
    reply.integer(i64::from(client.is_some_and(|client| client.unblock(how))));
    Ok(Next::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::network_tests::TestClient;

    #[test]
    fn a_client_names_itself_and_its_library() {
        let no_word = |what| format!("(error) ERR {what} cannot contain spaces, newlines or special characters.");
        let mut client = TestClient::new();
        client.check(&[
            ("client getname", "(nil)"),
            ("client setname worker", "OK"),
            ("client getname", "\"worker\""),
            ("client setname \"a b\"", &no_word("Client names")),
            ("client setname \"a\\n\"", &no_word("Client names")),
            ("client getname", "\"worker\""),
            ("client setname \"\"", "OK"),
            ("client getname", "(nil)"),
            ("client setinfo lib-name redis-py(5.0)", "OK"),
            ("client setinfo LIB-VER 5.0.1", "OK"),
            ("client setinfo lib-ver \"5 1\"", &no_word("lib-ver")),
            ("client setinfo colour red", "(error) ERR Unrecognized option 'colour'"),
        ]);
        assert!(client.run("client info").contains(" lib-name=redis-py(5.0) lib-ver=5.0.1\\n"));
        let long = "x".repeat(limits::CLIENT_NAME_BYTES_MAX + 1);
        assert!(client.run(&format!("client setname {long}")).starts_with("(error) ERR Client names cannot be longer"));
    }

    #[test]
    fn a_line_tells_all_fields_in_redis_order() {
        let mut client = TestClient::new();
        client.check(&[("select 3", "OK"), ("client setname x", "OK"), ("client no-evict on", "OK")]);
        let nobody = Asking { id: 0, bytes: 99 };
        let line =
            describe(&client.session.client, client.session.client.connected_at + Duration::from_secs(5), nobody);
        let expected = "id=1 addr=127.0.0.1:50000 laddr=127.0.0.1:6379 fd=-1 name=x age=5 idle=5 flags=e db=3 sub=0 \
                        psub=0 ssub=0 multi=-1 qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 \
                        omem=0 tot-mem=0 events=r cmd=NULL user=default redir=-1 resp=2 lib-name= lib-ver=\n";
        assert_eq!(line, expected);
    }

    #[test]
    fn lists_are_of_all_of_a_kind_or_of_the_ids_given() {
        let mut client = TestClient::new();
        let others = [client.another(), client.another()];
        let mut ids = |line: &str| -> Vec<String> {
            let text = client.run(line);
            text.trim_matches('"').split("\\n").filter_map(|line| Some(line.split_once(' ')?.0.to_string())).collect()
        };
        assert_eq!(ids("client list"), ["id=1", "id=2", "id=3"]);
        assert_eq!(ids("client list type NORMAL").len(), 3);
        assert_eq!(ids("client list type pubsub").len(), 0);
        assert_eq!(ids("client list id 3 -1 99 1"), ["id=3", "id=1"]);
        client.check(&[
            ("client list type", "(error) ERR syntax error"),
            ("client list type foo", "(error) ERR Unknown client type 'foo'"),
            ("client list id", "(error) ERR syntax error"),
            ("client list id x", "(error) ERR Invalid client ID"),
            ("client list foo", "(error) ERR syntax error"),
        ]);
        drop(others);
    }

    #[test]
    fn killing_is_by_address_or_by_everything_that_is_given() {
        let mut client = TestClient::new();
        let [second, third] = [client.another(), client.another()];
        client.check(&[
            ("client kill 127.0.0.1:1", "(error) ERR No such client"),
            ("client kill id 0", "(error) ERR client-id should be greater than 0"),
            ("client kill id x", "(error) ERR client-id should be greater than 0"),
            ("client kill id 2 type foo", "(error) ERR Unknown client type 'foo'"),
            ("client kill id 2 skipme maybe", "(error) ERR syntax error"),
            ("client kill id 2 addr", "(error) ERR syntax error"),
            ("client kill id 2 user someone", "(error) ERR No such user 'someone'"),
            ("client kill id 2 addr 127.0.0.1:50002", "(integer) 0"),
            ("client kill id 2 type replica", "(integer) 0"),
            ("client kill id 1", "(integer) 0"),
        ]);
        assert!(!second.session.client.is_killed() && !client.closed);
        client.check(&[("client kill id 2 user default laddr 127.0.0.1:6379", "(integer) 1")]);
        client.check(&[("client kill 127.0.0.1:50002", "OK")]);
        assert!(second.session.client.is_killed() && third.session.client.is_killed() && !client.closed);
        // Oneself hears about it first.
        client.check(&[("client kill 127.0.0.1:50000", "OK")]);
        assert!(client.closed && !client.session.client.is_killed());
    }

    #[test]
    fn replies_are_silenced_as_long_as_was_asked() {
        let mut client = TestClient::new();
        for (line, reply, mode) in [
            ("client reply skip", "", ReplyMode::SkipNext),
            ("client reply off", "", ReplyMode::Off),
            ("client reply skip", "", ReplyMode::Off),
            ("client reply on", "OK", ReplyMode::On),
            ("client reply", "(error) ERR wrong number of arguments for 'client|reply' command", ReplyMode::On),
        ] {
            assert_eq!((&*client.run(line), client.session.reply_mode), (reply, mode), "{line}");
        }
    }

    #[test]
    fn pauses_begin_and_end() {
        let mut client = TestClient::new();
        let server = client.session.server.clone();
        let paused = || server.clients.paused(server.env.clock.now()).map(|pause| pause.kind);
        client.check(&[
            ("client pause x", "(error) ERR timeout is not an integer or out of range"),
            ("client pause -1", "(error) ERR timeout is negative"),
            ("client pause x read", "(error) ERR CLIENT PAUSE mode must be WRITE or ALL"),
        ]);
        assert_eq!(paused(), None);
        client.check(&[("client pause 100000 write", "OK")]);
        assert_eq!(paused(), Some(PauseKind::Write));
        client.check(&[("client pause 9223372036854775807", "OK")]);
        assert_eq!(paused(), Some(PauseKind::All));
        client.check(&[("client unpause", "OK")]);
        assert_eq!(paused(), None);
    }

    #[test]
    fn only_who_is_blocked_can_be_unblocked() {
        let mut client = TestClient::new();
        let other = client.another();
        client.check(&[
            ("client unblock 2", "(integer) 0"),
            ("client unblock x", "(error) ERR value is not an integer or out of range"),
            ("client unblock 2 now", "(error) ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
        ]);
        other.session.client.update(|facts| facts.blocked = true);
        client.check(&[("client unblock 2 error", "(integer) 1"), ("client unblock 3", "(integer) 0")]);
        assert_eq!(other.session.client.facts().unblocked, Some(Unblock::Error));
    }
}
