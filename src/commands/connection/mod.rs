//! The connection itself: who is at the other end, what it speaks, which database it sees. CLIENT is in [`client`].
//!
//! Nothing here waits for anything: these commands answer while storage stalls (R1.1). A password must never reach a
//! reply, a log or the slow log.

mod client;

use super::parse::Args;
use super::{Argument, Command, CommandError, Flag, Group, Next, Run, Session, echoed};
use crate::config::REDIS_VERSION;
use crate::limits;
use crate::number;
use crate::resp::{CommandArgs, Protocol, ReplyBuffer};

pub static COMMANDS: &[&Command] = &[&AUTH, &client::CLIENT, &ECHO, &HELLO, &PING, &QUIT, &RESET, &SELECT];

/// The one user there is.
pub(super) const USER: &str = "default";

/// What a connection may do before it has said who it is, at any time and in any state of the server.
const ANYTIME: &[Flag] = &[Flag::Noscript, Flag::Loading, Flag::Stale, Flag::Fast, Flag::NoAuth, Flag::AllowBusy];

const BASE: Command = Command { group: Group::Connection, categories: &["@connection"], ..Command::BASE };

static PING: Command = Command {
    name: "ping",
    summary: "Ping the server",
    since: "1.0.0",
    arity: -1,
    flags: &[Flag::Fast],
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    arguments: &[Argument::string("message").optional()],
    examples: r#"> PING
PONG
> PING "hello world"
"hello world""#,
    run: Run::Session(ping),
    ..BASE
};

/// To a client that listens in RESP2, a reply must look like a message.
fn ping(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    match args.len() {
        1 | 2 if session.is_subscriber_only() => {
            reply.array(2);
            reply.bulk(b"pong");
            reply.bulk(args.get(1).unwrap_or_default());
        }
        1 => reply.simple("PONG"),
        2 => reply.bulk(&args[1]),
        _ => return Err(CommandError::Arity(PING.name.into())),
    }
    Ok(Next::Done)
}

static ECHO: Command = Command {
    name: "echo",
    summary: "Echo the given string",
    since: "1.0.0",
    arity: 2,
    flags: &[Flag::Loading, Flag::Stale, Flag::Fast],
    arguments: &[Argument::string("message")],
    examples: r#"> ECHO "Hello World!"
"Hello World!""#,
    run: Run::Session(echo),
    ..BASE
};

fn echo(_: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    reply.bulk(&args[1]);
    Ok(Next::Done)
}

static HELLO: Command = Command {
    name: "hello",
    summary: "Handshake with Redis",
    since: "6.0.0",
    arity: -1,
    flags: ANYTIME,
    history: &[(
        "6.2.0",
        "`protover` made optional; when called without arguments the command reports the current connection's context.",
    )],
    arguments: &[Argument::block(
        "arguments",
        &[
            Argument::integer("protover"),
            Argument::block("username_password", &[Argument::string("username"), Argument::string("password")])
                .token("AUTH")
                .optional(),
            Argument::string("clientname").token("SETNAME").optional(),
        ],
    )
    .optional()],
    examples: r#"> HELLO 2 SETNAME worker
 1) "server"
 2) "redis"
 3) "version"
 4) "7.0.15"
 5) "proto"
 6) (integer) 2
...
> CLIENT GETNAME
"worker"
> HELLO 4
(error) NOPROTO unsupported protocol version
> HELLO 3 AUTH default
(error) ERR Syntax error in HELLO option 'AUTH'"#,
    run: Run::Session(hello),
    ..BASE
};

/// What HELLO does beside choosing a protocol.
enum HelloOption<'a> {
    Auth { user: &'a [u8], password: &'a [u8] },
    SetName(&'a [u8]),
}

/// Reads HELLO's arguments and returns the protocol they ask for, if they do. As in Redis, each option does its work, by
/// `act`, when it is read: a client may be authenticated by a HELLO that fails.
fn read_hello<'a>(
    args: &'a CommandArgs,
    mut act: impl FnMut(HelloOption<'a>) -> Result<(), CommandError>,
) -> Result<Option<Protocol>, CommandError> {
    let mut args = Args::new(args);
    let chosen = match args.peek() {
        None => None,
        Some(_) => Some(protocol(args.next()?)?),
    };
    while let Some(option) = args.peek() {
        if args.remaining() > 2 && args.take_word("AUTH") {
            act(HelloOption::Auth { user: args.next()?, password: args.next()? })?;
        } else if args.remaining() > 1 && args.take_word("SETNAME") {
            act(HelloOption::SetName(args.next()?))?;
        } else {
            return Err(CommandError::echo(&[b"ERR Syntax error in HELLO option '", echoed(option), b"'"]));
        }
    }
    Ok(chosen)
}

/// The protocol that a HELLO which has not run yet will choose, or `None` if it will fail or choose none: in a transaction
/// the replies after it depend on that.
pub fn foreseen_protocol(session: &Session, args: &CommandArgs) -> Option<Protocol> {
    let check = |option: HelloOption<'_>| match option {
        HelloOption::Auth { user, password } => check_password(session, user, password),
        HelloOption::SetName(name) => client::valid_name(name).map(drop),
    };
    read_hello(args, check).ok().flatten()
}

/// A HELLO that fails does not change the protocol.
fn hello(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let chosen = read_hello(args, |option| match option {
        HelloOption::Auth { user, password } => authenticate(session, user, password),
        HelloOption::SetName(name) => {
            let name = client::valid_name(name)?;
            session.client.update(|facts| facts.name = name);
            Ok(())
        }
    })?;
    let protocol = chosen.unwrap_or(session.protocol);
    if !session.authenticated {
        return Err(CommandError::custom(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> \
             option can be used to authenticate the client and select the RESP protocol version at the same time",
        ));
    }
    session.protocol = protocol;
    session.client.update(|facts| facts.protocol = protocol);
    reply.set_protocol(protocol);
    introduce(session, reply);
    Ok(Next::Done)
}

fn protocol(version: &[u8]) -> Result<Protocol, CommandError> {
    match number::parse_i64(version) {
        Some(2) => Ok(Protocol::Resp2),
        Some(3) => Ok(Protocol::Resp3),
        Some(_) => Err(CommandError::custom("NOPROTO unsupported protocol version")),
        None => Err(CommandError::custom("ERR Protocol version is not an integer or out of range")),
    }
}

/// HELLO's reply: what clients choose their behaviour by.
fn introduce(session: &Session, reply: &mut ReplyBuffer) {
    reply.map(7);
    for (name, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"proto");
    reply.integer(version_number(session.protocol));
    reply.bulk(b"id");
    reply.integer(session.client.id as i64);
    for (name, value) in [("mode", "standalone"), ("role", "master")] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
}

/// What HELLO calls a protocol.
fn version_number(protocol: Protocol) -> i64 {
    match protocol {
        Protocol::Resp2 => 2,
        Protocol::Resp3 => 3,
    }
}

static AUTH: Command = Command {
    name: "auth",
    summary: "Authenticate to the server",
    since: "1.0.0",
    complexity: "O(N) where N is the number of passwords defined for the user",
    arity: -2,
    flags: ANYTIME,
    history: &[("6.0.0", "Added ACL style (username and password).")],
    arguments: &[Argument::string("username").since("6.0.0").optional(), Argument::string("password")],
    examples: r#"> AUTH secret
(error) ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?
> CONFIG SET requirepass secret
OK
> AUTH wrong
(error) WRONGPASS invalid username-password pair or user is disabled.
> AUTH default secret
OK"#,
    run: Run::Session(auth),
    ..BASE
};

fn auth(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    match args.len() {
        2 if session.server.config.current().requirepass().is_empty() => {
            return Err(CommandError::custom(
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
                 configuration is correct?",
            ));
        }
        2 => authenticate(session, USER.as_bytes(), &args[1])?,
        3 => authenticate(session, &args[1], &args[2])?,
        _ => return Err(CommandError::Syntax),
    }
    reply.ok();
    Ok(Next::Done)
}

/// Without a password the user may come with any.
fn authenticate(session: &mut Session, user: &[u8], password: &[u8]) -> Result<(), CommandError> {
    check_password(session, user, password)?;
    session.authenticated = true;
    Ok(())
}

fn check_password(session: &Session, user: &[u8], password: &[u8]) -> Result<(), CommandError> {
    let config = session.server.config.current();
    let expected = config.requirepass();
    if user != USER.as_bytes() || !(expected.is_empty() || same_secret(expected, password)) {
        return Err(CommandError::custom("WRONGPASS invalid username-password pair or user is disabled."));
    }
    Ok(())
}

/// Compares without telling by the time it takes how much is right: the length, at most.
fn same_secret(expected: &[u8], given: &[u8]) -> bool {
    let differences = expected.iter().zip(given).fold(0, |found, (a, b)| found | (a ^ b));
    expected.len() == given.len() && std::hint::black_box(differences) == 0
}

static SELECT: Command = Command {
    name: "select",
    summary: "Change the selected database for the current connection",
    since: "1.0.0",
    arity: 2,
    flags: &[Flag::Loading, Flag::Stale, Flag::Fast],
    arguments: &[Argument::integer("index")],
    examples: r#"> SELECT 1
OK
> SELECT 100000
(error) ERR DB index is out of range"#,
    run: Run::Session(select),
    ..BASE
};

fn select(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let index = number::parse_i64(&args[1]).ok_or(CommandError::NotInteger)?;
    if i32::try_from(index).is_err() {
        return Err(CommandError::custom("ERR value is out of range, value must between -2147483648 and 2147483647"));
    }
    let count = session.server.databases.load().len();
    let db = usize::try_from(index).ok().filter(|db| *db < count).ok_or(CommandError::DbIndex)?;
    session.db = db;
    session.client.update(|facts| facts.db = db);
    reply.ok();
    Ok(Next::Done)
}

static QUIT: Command = Command {
    name: "quit",
    summary: "Close the connection",
    since: "1.0.0",
    arity: -1,
    flags: ANYTIME,
    examples: r#"> QUIT
OK"#,
    run: Run::Session(quit),
    ..BASE
};

fn quit(_: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    reply.ok();
    Ok(Next::Close)
}

static RESET: Command = Command {
    name: "reset",
    summary: "Reset the connection",
    since: "6.2.0",
    arity: 1,
    flags: ANYTIME,
    examples: r#"> CLIENT SETNAME worker
OK
> RESET
RESET
> CLIENT GETNAME
(nil)"#,
    run: Run::Session(reset),
    ..BASE
};

fn reset(session: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    (session.subscriber, session.monitor) = (None, None);
    session.take_mail(reply, usize::MAX);
    session.reset();
    reply.set_protocol(session.protocol);
    reply.simple("RESET");
    Ok(Next::Done)
}

/// A client's words, for an error that repeats them.
pub(super) fn text(word: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(&word[..word.len().min(limits::ERROR_WORD_BYTES_MAX)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::network_tests::TestClient;

    const NO_NAME: &str = "(error) ERR Client names cannot contain spaces, newlines or special characters.";
    const WRONG_PASSWORD: &str = "(error) WRONGPASS invalid username-password pair or user is disabled.";

    #[test]
    fn a_connection_speaks_for_itself() {
        TestClient::new().check(&[
            ("ping", "PONG"),
            ("ping x", "\"x\""),
            ("ping x y", "(error) ERR wrong number of arguments for 'ping' command"),
            ("echo hi", "\"hi\""),
            ("select 15", "OK"),
            ("select 16", "(error) ERR DB index is out of range"),
            ("select -1", "(error) ERR DB index is out of range"),
            ("select x", "(error) ERR value is not an integer or out of range"),
            ("select 99999999999", "(error) ERR value is out of range, value must between -2147483648 and 2147483647"),
        ]);
    }

    #[test]
    fn a_hello_that_fails_leaves_the_protocol_alone() {
        let mut client = TestClient::new();
        for (line, expected) in [
            ("hello 2 setname x foo", "(error) ERR Syntax error in HELLO option 'foo'"),
            ("hello 3 auth default", "(error) ERR Syntax error in HELLO option 'auth'"),
            ("hello 3 setname", "(error) ERR Syntax error in HELLO option 'setname'"),
            ("hello 3 setname \"a b\"", NO_NAME),
            ("hello 3 auth someone x", WRONG_PASSWORD),
            ("hello 4", "(error) NOPROTO unsupported protocol version"),
            ("hello two", "(error) ERR Protocol version is not an integer or out of range"),
        ] {
            assert_eq!(client.run(line), expected);
            assert_eq!(client.session.protocol, Protocol::Resp2);
        }
        assert!(client.encoded("hello 3 setname x").starts_with(b"%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n"));
        assert_eq!(client.run("client getname"), "\"x\"");
        assert!(client.encoded("hello").starts_with(b"%7\r\n"));
        assert!(client.encoded("hello 2").starts_with(b"*14\r\n"));
    }

    #[test]
    fn without_a_password_the_user_may_come_with_any() {
        TestClient::new().check(&[
            ("auth default anything", "OK"),
            ("auth someone anything", WRONG_PASSWORD),
            ("auth a b c", "(error) ERR syntax error"),
            (
                "auth anything",
                "(error) ERR AUTH <password> called without any password configured for the default user. Are you sure \
                 your configuration is correct?",
            ),
        ]);
    }

    #[test]
    fn with_a_password_nothing_works_before_it_is_given_and_reset_takes_it_back() {
        let mut client = TestClient::with_config("requirepass secret");
        client.check(&[
            ("ping", "(error) NOAUTH Authentication required."),
            ("auth secre", WRONG_PASSWORD),
            ("auth secret2", WRONG_PASSWORD),
            ("auth Default secret", WRONG_PASSWORD),
            ("auth secret", "OK"),
            ("ping", "PONG"),
            ("auth wrong", WRONG_PASSWORD),
            ("ping", "PONG"),
            ("reset", "RESET"),
            ("ping", "(error) NOAUTH Authentication required."),
        ]);
        assert!(client.run("hello 3").starts_with("(error) NOAUTH HELLO must be called"));
        assert!(client.encoded("hello 3 auth default secret").starts_with(b"%7"));
        assert_eq!(client.run("ping"), "PONG");
        client.run("quit");
        assert!(client.closed);
    }

    #[test]
    fn reset_makes_a_connection_as_new() {
        let mut client = TestClient::new();
        client.check(&[("select 3", "OK"), ("client setname x", "OK"), ("client no-evict on", "OK")]);
        client.run("hello 3");
        client.check(&[("reset", "RESET"), ("client getname", "(nil)")]);
        assert_eq!((client.session.db, client.session.protocol), (0, Protocol::Resp2));
        assert!(!client.session.client.facts().no_evict);
    }

    #[test]
    fn secrets_are_the_same_or_not() {
        for (given, expected) in
            [("", false), ("secre", false), ("secret", true), ("secrets", false), ("Secret", false)]
        {
            assert_eq!(same_secret(b"secret", given.as_bytes()), expected, "{given}");
        }
    }
}
