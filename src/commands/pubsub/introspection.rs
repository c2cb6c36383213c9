//! PUBSUB: who listens to what.

use super::{BASE, Result};
use crate::commands::introspection;
use crate::commands::{Argument, ArgumentKind, Command, Flag, Next, Run, Session};
use crate::pubsub::Topic;
use crate::resp::{CommandArgs, ReplyBuffer};

const FLAGS: &[Flag] = &[Flag::Pubsub, Flag::Loading, Flag::Stale];

pub static PUBSUB: Command = Command {
    name: "pubsub",
    summary: "A container for Pub/Sub commands",
    since: "2.8.0",
    complexity: "Depends on subcommand.",
    arity: -2,
    subcommands: &[&CHANNELS, &HELP, &NUMPAT, &NUMSUB, &SHARDCHANNELS, &SHARDNUMSUB],
    ..BASE
};

static HELP: Command = Command {
    group: BASE.group,
    since: "6.2.0",
    examples: r#"> PUBSUB HELP
..."#,
    ..introspection::HELP
};

static CHANNELS: Command = Command {
    name: "channels",
    summary: "List active channels",
    since: "2.8.0",
    complexity: "O(N) where N is the number of active channels, and assuming constant time pattern matching (relatively \
        short channels and patterns)",
    arity: -2,
    flags: FLAGS,
    arguments: &[Argument::new("pattern", ArgumentKind::Pattern).optional()],
    examples: r#"> HELLO 3
...
> SUBSCRIBE news.art
1) "subscribe"
2) "news.art"
3) (integer) 1
> PUBSUB CHANNELS news.*
1) "news.art"
> PUBSUB CHANNELS weather.*
(empty array)"#,
    run: Run::Server(|session, args, reply| names(session, args, reply, Topic::Channel)),
    ..BASE
};

static SHARDCHANNELS: Command = Command {
    name: "shardchannels",
    summary: "List active shard channels",
    since: "7.0.0",
    complexity: "O(N) where N is the number of active shard channels, and assuming constant time pattern matching \
        (relatively short shard channels).",
    arity: -2,
    flags: FLAGS,
    arguments: &[Argument::new("pattern", ArgumentKind::Pattern).optional()],
    examples: r#"> HELLO 3
...
> SSUBSCRIBE orders
1) "ssubscribe"
2) "orders"
3) (integer) 1
> PUBSUB SHARDCHANNELS
1) "orders""#,
    run: Run::Server(|session, args, reply| names(session, args, reply, Topic::Shard)),
    ..BASE
};

fn names(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer, topic: Topic) -> Result<Next> {
    if args.len() > 3 {
        return Err(introspection::unknown_subcommand_or_arity(args));
    }
    let names = session.server.pubsub.names(topic, args.get(2));
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name));
    Ok(Next::Done)
}

static NUMSUB: Command = Command {
    name: "numsub",
    summary: "Get the count of subscribers for channels",
    since: "2.8.0",
    complexity: "O(N) for the NUMSUB subcommand, where N is the number of requested channels",
    arity: -2,
    flags: FLAGS,
    arguments: &[Argument::string("channel").optional().multiple()],
    examples: r#"> PUBSUB NUMSUB news
1) "news"
2) (integer) 0
> PUBSUB NUMSUB
(empty array)"#,
    run: Run::Server(|session, args, reply| subscribers(session, args, reply, Topic::Channel)),
    ..BASE
};

static SHARDNUMSUB: Command = Command {
    name: "shardnumsub",
    summary: "Get the count of subscribers for shard channels",
    since: "7.0.0",
    complexity: "O(N) for the SHARDNUMSUB subcommand, where N is the number of requested shard channels",
    arity: -2,
    flags: FLAGS,
    arguments: &[Argument::string("shardchannel").optional().multiple()],
    examples: r#"> PUBSUB SHARDNUMSUB orders
1) "orders"
2) (integer) 0"#,
    run: Run::Server(|session, args, reply| subscribers(session, args, reply, Topic::Shard)),
    ..BASE
};

fn subscribers(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer, topic: Topic) -> Result<Next> {
    reply.array((args.len() - 2) * 2);
    for name in args.iter().skip(2) {
        reply.bulk(name);
        reply.integer(session.server.pubsub.subscribers(topic, name) as i64);
    }
    Ok(Next::Done)
}

static NUMPAT: Command = Command {
    name: "numpat",
    summary: "Get the count of unique patterns pattern subscriptions",
    since: "2.8.0",
    arity: 2,
    flags: FLAGS,
    examples: r#"> PUBSUB NUMPAT
(integer) 0"#,
    run: Run::Server(numpat),
    ..BASE
};

fn numpat(session: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next> {
    reply.integer(session.server.pubsub.count(Topic::Pattern) as i64);
    Ok(Next::Done)
}
