//! Publish/subscribe: SUBSCRIBE and its like, PUBLISH, PUBSUB. All on the network side; storage never hears of it.
//!
//! These commands wait until everything that the client sent before is answered: a message must not overtake the
//! replies to what came before its subscription.

mod introspection;

use super::{Argument, ArgumentKind, Command, CommandError, Flag, Group, KeySpec, Next, Run, Session};
use crate::pubsub::Topic;
use crate::resp::{CommandArgs, ReplyBuffer};

pub static COMMANDS: &[&Command] = &[
    &PSUBSCRIBE,
    &PUBLISH,
    &introspection::PUBSUB,
    &PUNSUBSCRIBE,
    &SPUBLISH,
    &SSUBSCRIBE,
    &SUBSCRIBE,
    &SUNSUBSCRIBE,
    &UNSUBSCRIBE,
];

const BASE: Command = Command { group: Group::Pubsub, ..Command::BASE };

const SUBSCRIBING: &[Flag] = &[Flag::Pubsub, Flag::Noscript, Flag::Loading, Flag::Stale];
const PUBLISHING: &[Flag] = &[Flag::Pubsub, Flag::Loading, Flag::Stale, Flag::Fast, Flag::MayReplicate];

/// Shard channels stand where keys do: in a cluster they are routed like keys.
const SHARD_CHANNELS: KeySpec = KeySpec::range(1, -1, 1, &["not_key"]);

type Result<T> = std::result::Result<T, CommandError>;

static SUBSCRIBE: Command = Command {
    name: "subscribe",
    summary: "Listen for messages published to the given channels",
    since: "2.0.0",
    complexity: "O(N) where N is the number of channels to subscribe to.",
    arity: -2,
    flags: SUBSCRIBING,
    arguments: &[Argument::string("channel").multiple()],
    examples: r#"> SUBSCRIBE news
1) "subscribe"
2) "news"
3) (integer) 1"#,
    run: Run::Server(|session, args, reply| subscribe(session, args, reply, "subscribe", Topic::Channel)),
    ..BASE
};

static PSUBSCRIBE: Command = Command {
    name: "psubscribe",
    summary: "Listen for messages published to channels matching the given patterns",
    since: "2.0.0",
    complexity: "O(N) where N is the number of patterns the client is already subscribed to.",
    arity: -2,
    flags: SUBSCRIBING,
    arguments: &[Argument::block("pattern", &[Argument::new("pattern", ArgumentKind::Pattern)]).multiple()],
    examples: r#"> PSUBSCRIBE news.*
1) "psubscribe"
2) "news.*"
3) (integer) 1"#,
    run: Run::Server(|session, args, reply| subscribe(session, args, reply, "psubscribe", Topic::Pattern)),
    ..BASE
};

static SSUBSCRIBE: Command = Command {
    name: "ssubscribe",
    summary: "Listen for messages published to the given shard channels",
    since: "7.0.0",
    complexity: "O(N) where N is the number of shard channels to subscribe to.",
    arity: -2,
    flags: SUBSCRIBING,
    keys: &[SHARD_CHANNELS],
    arguments: &[Argument::string("shardchannel").multiple()],
    examples: r#"> SSUBSCRIBE orders
1) "ssubscribe"
2) "orders"
3) (integer) 1"#,
    run: Run::Server(|session, args, reply| subscribe(session, args, reply, "ssubscribe", Topic::Shard)),
    ..BASE
};

fn subscribe(
    session: &mut Session,
    args: &CommandArgs,
    reply: &mut ReplyBuffer,
    word: &str,
    topic: Topic,
) -> Result<Next> {
    if topic == Topic::Shard && session.denies_blocking {
        return Err(CommandError::custom("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client"));
    }
    let subscriber = session.subscriber();
    for name in args.iter().skip(1) {
        match subscriber.subscribe(topic, name) {
            true => confirm(reply, word, Some(name), subscriber.count(topic)),
            false => reply.error("ERR too many subscriptions"),
        }
    }
    Ok(Next::Pushed)
}

static UNSUBSCRIBE: Command = Command {
    name: "unsubscribe",
    summary: "Stop listening for messages posted to the given channels",
    since: "2.0.0",
    complexity: "O(N) where N is the number of clients already subscribed to a channel.",
    arity: -1,
    flags: SUBSCRIBING,
    arguments: &[Argument::string("channel").optional().multiple()],
    examples: r#"> UNSUBSCRIBE
1) "unsubscribe"
2) (nil)
3) (integer) 0"#,
    run: Run::Server(|session, args, reply| unsubscribe(session, args, reply, "unsubscribe", Topic::Channel)),
    ..BASE
};

static PUNSUBSCRIBE: Command = Command {
    name: "punsubscribe",
    summary: "Stop listening for messages posted to channels matching the given patterns",
    since: "2.0.0",
    complexity: "O(N+M) where N is the number of patterns the client is already subscribed and M is the number of \
        total patterns subscribed in the system (by any client).",
    arity: -1,
    flags: SUBSCRIBING,
    arguments: &[Argument::new("pattern", ArgumentKind::Pattern).optional().multiple()],
    examples: r#"> PUNSUBSCRIBE news.*
1) "punsubscribe"
2) "news.*"
3) (integer) 0"#,
    run: Run::Server(|session, args, reply| unsubscribe(session, args, reply, "punsubscribe", Topic::Pattern)),
    ..BASE
};

static SUNSUBSCRIBE: Command = Command {
    name: "sunsubscribe",
    summary: "Stop listening for messages posted to the given shard channels",
    since: "7.0.0",
    complexity: "O(N) where N is the number of clients already subscribed to a shard channel.",
    arity: -1,
    flags: SUBSCRIBING,
    keys: &[SHARD_CHANNELS],
    arguments: &[Argument::string("shardchannel").optional().multiple()],
    examples: r#"> SUNSUBSCRIBE
1) "sunsubscribe"
2) (nil)
3) (integer) 0"#,
    run: Run::Server(|session, args, reply| unsubscribe(session, args, reply, "sunsubscribe", Topic::Shard)),
    ..BASE
};

/// Of the names given, or of all that there are. What was published before comes before the confirmation, so once that
/// is there nothing more comes.
fn unsubscribe(
    session: &mut Session,
    args: &CommandArgs,
    reply: &mut ReplyBuffer,
    word: &str,
    topic: Topic,
) -> Result<Next> {
    let Some(subscriber) = session.subscriber.as_mut() else {
        match args.len() {
            1 => confirm(reply, word, None, 0),
            _ => args.iter().skip(1).for_each(|name| confirm(reply, word, Some(name), 0)),
        }
        return Ok(Next::Pushed);
    };
    let all = if args.len() == 1 { subscriber.names(topic) } else { Vec::new() };
    let names: Vec<&[u8]> = args.iter().skip(1).chain(all.iter().map(|name| &name[..])).collect();
    let mut counts = Vec::with_capacity(names.len());
    for name in &names {
        subscriber.unsubscribe(topic, name);
        counts.push(subscriber.count(topic));
    }
    let left = subscriber.count(topic);
    session.take_mail(reply, usize::MAX);
    for (name, count) in names.iter().zip(counts) {
        confirm(reply, word, Some(name), count);
    }
    if names.is_empty() {
        confirm(reply, word, None, left);
    }
    Ok(Next::Pushed)
}

/// What a client is told of each of its subscriptions that begins or ends, and how many are left.
fn confirm(reply: &mut ReplyBuffer, word: &str, name: Option<&[u8]>, count: usize) {
    reply.push(3);
    reply.bulk(word.as_bytes());
    match name {
        Some(name) => reply.bulk(name),
        None => reply.null(),
    }
    reply.integer(count as i64);
}

static PUBLISH: Command = Command {
    name: "publish",
    summary: "Post a message to a channel",
    since: "2.0.0",
    complexity: "O(N+M) where N is the number of clients subscribed to the receiving channel and M is the total number \
        of subscribed patterns (by any client).",
    arity: 3,
    flags: PUBLISHING,
    arguments: &[Argument::string("channel"), Argument::string("message")],
    examples: r#"> PUBLISH news hello
(integer) 0"#,
    run: Run::Server(publish),
    ..BASE
};

fn publish(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next> {
    reply.integer(session.server.pubsub.publish(&args[1], &args[2]) as i64);
    Ok(Next::Done)
}

static SPUBLISH: Command = Command {
    name: "spublish",
    summary: "Post a message to a shard channel",
    since: "7.0.0",
    complexity: "O(N) where N is the number of clients subscribed to the receiving shard channel.",
    arity: 3,
    flags: PUBLISHING,
    keys: &[KeySpec::one(1, &["not_key"])],
    arguments: &[Argument::string("shardchannel"), Argument::string("message")],
    examples: r#"> SPUBLISH orders hello
(integer) 0"#,
    run: Run::Server(spublish),
    ..BASE
};

fn spublish(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next> {
    reply.integer(session.server.pubsub.publish_shard(&args[1], &args[2]) as i64);
    Ok(Next::Done)
}

#[cfg(test)]
mod tests {
    use crate::commands::network_tests::TestClient;
    use crate::config::REDIS_VERSION;
    use crate::resp::ReplyBuffer;

    /// What waits for a client, as it would be sent.
    fn mail(client: &TestClient) -> String {
        let mut reply = ReplyBuffer::new(client.session.protocol);
        client.session.take_mail(&mut reply, usize::MAX);
        reply.as_bytes().escape_ascii().to_string()
    }

    #[test]
    fn a_message_reaches_each_subscription_once_in_the_order_of_publishing() {
        let mut publisher = TestClient::new();
        let (mut one, mut other) = (publisher.another(), publisher.another());
        one.encoded("subscribe news news");
        other.encoded("psubscribe n* ?ews");
        other.encoded("hello 3");
        publisher.check(&[("publish news hi", "(integer) 3"), ("publish now x", "(integer) 1")]);
        assert_eq!(mail(&one), r"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n");
        let by_pattern = |pattern: &str, channel: &str, text: &str| {
            let parts = ["pmessage", pattern, channel, text].map(|part| format!("${}\\r\\n{part}\\r\\n", part.len()));
            format!(">4\\r\\n{}", parts.concat())
        };
        let expected = [by_pattern("?ews", "news", "hi"), by_pattern("n*", "news", "hi"), by_pattern("n*", "now", "x")];
        assert_eq!(mail(&other), expected.concat());
        assert_eq!(mail(&other), "");
    }

    #[test]
    fn shard_channels_are_a_world_of_their_own() {
        let mut client = TestClient::new();
        let mut other = client.another();
        other.encoded("ssubscribe a");
        other.encoded("subscribe b");
        client.check(&[
            ("publish a x", "(integer) 0"),
            ("spublish b x", "(integer) 0"),
            ("spublish a x", "(integer) 1"),
            ("pubsub shardchannels", "1) \"a\""),
            ("pubsub channels", "1) \"b\""),
        ]);
        assert_eq!(mail(&other), r"*3\r\n$8\r\nsmessage\r\n$1\r\na\r\n$1\r\nx\r\n");
    }

    #[test]
    fn what_was_published_before_comes_before_the_end_of_a_subscription() {
        let mut publisher = TestClient::new();
        let mut client = publisher.another();
        client.encoded("subscribe a b");
        publisher.run("publish b x");
        let reply = client.encoded("unsubscribe b").escape_ascii().to_string();
        assert_eq!(
            reply,
            r"*3\r\n$7\r\nmessage\r\n$1\r\nb\r\n$1\r\nx\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:1\r\n"
        );
        publisher.check(&[("publish b x", "(integer) 0"), ("publish a x", "(integer) 1")]);
    }

    #[test]
    fn a_client_that_is_gone_or_reset_listens_to_nothing() {
        let mut watcher = TestClient::new();
        let (mut one, mut other) = (watcher.another(), watcher.another());
        one.encoded("subscribe a");
        other.encoded("psubscribe a*");
        watcher.check(&[
            ("pubsub numsub a b", "1) \"a\"\n2) (integer) 1\n3) \"b\"\n4) (integer) 0"),
            ("pubsub numpat", "(integer) 1"),
        ]);
        assert!(watcher.run("client list type pubsub").contains("flags=P db=0 sub=0 psub=1 ssub=0"));
        assert!(
            watcher.run("info stats").contains("pubsub_channels:1\\r\\npubsub_patterns:1\\r\\npubsubshard_channels:0")
        );
        drop(one);
        other.check(&[("ping", "1) \"pong\"\n2) \"\""), ("reset", "RESET"), ("ping", "PONG")]);
        watcher.check(&[("pubsub channels", "(empty array)"), ("pubsub numpat", "(integer) 0")]);
        assert!(watcher.run("hello").contains(REDIS_VERSION));
    }

    #[test]
    fn a_mailbox_beyond_its_limit_drops_its_client_and_nobody_else() {
        let mut publisher = TestClient::with_config("client-output-buffer-limit pubsub 1000 0 0");
        let (mut slow, mut quick) = (publisher.another(), publisher.another());
        slow.encoded("subscribe a");
        quick.encoded("subscribe a");
        for _ in 0..20 {
            publisher.check(&[("publish a 0123456789012345678901234567890123456789", "(integer) 2")]);
            assert_ne!(mail(&quick), "");
        }
        assert!(slow.session.client.is_killed() && !quick.session.client.is_killed());
        assert_eq!(mail(&slow), "");
    }
}
