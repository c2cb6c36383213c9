//! The server as its operators see it: TIME, SHUTDOWN, ROLE and their like here, one file for each larger
//! subject beside it.
//!
//! All of it answers without storage, in a stall above all (R1.1): what it says of storage is what storage has left
//! for others to see. It must never claim what is not so; a figure that would have to be made up is left out.

mod acl;
mod bgtask;
mod config;
mod debug;
mod info;
mod latency;
mod lolwut;
mod memory;
mod persistence;
mod slowlog;

use super::context::Server;
use super::introspection;
use super::parse::Args;
use super::{Argument, Command, CommandError, Flag, Group, Next, Run, Session};
use crate::resp::{CommandArgs, ReplyBuffer};

pub static COMMANDS: &[&Command] = &[
    &acl::ACL,
    &ASKING,
    &persistence::BGREWRITEAOF,
    &persistence::BGSAVE,
    &bgtask::BGTASK,
    &CLUSTER,
    &config::CONFIG,
    &debug::DEBUG,
    &info::INFO,
    &LASTSAVE,
    &latency::LATENCY,
    &lolwut::LOLWUT,
    &memory::MEMORY,
    &MODULE,
    &READONLY,
    &READWRITE,
    &REPLICAOF,
    &ROLE,
    &persistence::SAVE,
    &SHUTDOWN,
    &SLAVEOF,
    &slowlog::SLOWLOG,
    &TIME,
];

const BASE: Command = Command { group: Group::Server, ..Command::BASE };

/// A container of subcommands.
const CONTAINER: Command = Command { complexity: "Depends on subcommand.", arity: -2, ..BASE };

/// For operators.
const ADMIN: &[Flag] = &[Flag::Admin, Flag::Noscript, Flag::Loading, Flag::Stale];

static TIME: Command = Command {
    name: "time",
    summary: "Return the current server time",
    since: "2.6.0",
    arity: 1,
    flags: &[Flag::Loading, Flag::Stale, Flag::Fast],
    tips: &["nondeterministic_output"],
    examples: r#"> TIME
..."#,
    run: Run::Server(time),
    ..BASE
};

fn time(session: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let now = session.server.env.clock.unix_time();
    reply.array(2);
    reply.bulk(now.as_secs().to_string().as_bytes());
    reply.bulk(now.subsec_micros().to_string().as_bytes());
    Ok(Next::Done)
}

static SHUTDOWN: Command = Command {
    name: "shutdown",
    summary: "Synchronously save the dataset to disk and then shut down the server",
    since: "1.0.0",
    complexity: "O(N) when saving, where N is the total number of keys in all databases when saving data, otherwise \
                 O(1)",
    arity: -1,
    flags: &[Flag::Admin, Flag::Noscript, Flag::Loading, Flag::Stale, Flag::NoMulti, Flag::AllowBusy],
    history: &[("7.0.0", "Added the `NOW`, `FORCE` and `ABORT` modifiers.")],
    arguments: &[
        Argument::one_of("nosave_save", &[Argument::flag("nosave", "NOSAVE"), Argument::flag("save", "SAVE")])
            .optional(),
        Argument::flag("now", "NOW").since("7.0.0").optional(),
        Argument::flag("force", "FORCE").since("7.0.0").optional(),
        Argument::flag("abort", "ABORT").since("7.0.0").optional(),
    ],
    examples: r#"> SHUTDOWN ABORT
(error) ERR No shutdown in progress.
> SHUTDOWN SAVE NOSAVE
(error) ERR syntax error"#,
    run: Run::Server(shutdown),
    ..BASE
};

/// Whatever is asked, acknowledged writes are synced before the process ends: there is nothing for SAVE, NOSAVE or FORCE
/// to change, no replica for NOW not to wait for, and no way back for ABORT.
fn shutdown(session: &mut Session, args: &CommandArgs, _: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let mut args = Args::new(args);
    let (mut save, mut nosave, mut others, mut abort) = (false, false, false, false);
    while !args.is_done() {
        if args.take_word("SAVE") {
            save = true;
        } else if args.take_word("NOSAVE") {
            nosave = true;
        } else if args.take_word("ABORT") {
            abort = true;
        } else if args.take_word("NOW") || args.take_word("FORCE") {
            others = true;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let shutdown = &session.server.shutdown;
    match abort {
        _ if (save && nosave) || (abort && (save || nosave || others)) => Err(CommandError::Syntax),
        true if shutdown.is_requested() => Err(CommandError::custom("ERR The shutdown cannot be aborted.")),
        true => Err(CommandError::custom("ERR No shutdown in progress.")),
        false => {
            tracing::info!(client = session.client.id, "User requested shutdown...");
            shutdown.request();
            Ok(Next::Shutdown)
        }
    }
}

static MODULE: Command = Command {
    name: "module",
    summary: "A container for module commands",
    since: "4.0.0",
    subcommands: &[&MODULE_HELP, &MODULE_LIST],
    ..CONTAINER
};

static MODULE_HELP: Command = Command {
    examples: r#"> MODULE HELP
..."#,
    ..introspection::HELP
};

static MODULE_LIST: Command = Command {
    name: "list",
    summary: "List all modules loaded by the server",
    since: "4.0.0",
    complexity: "O(N) where N is the number of loaded modules.",
    arity: 2,
    flags: &[Flag::Admin, Flag::Noscript],
    tips: &["nondeterministic_output_order"],
    examples: r#"> MODULE LIST
(empty array)"#,
    run: Run::Session(module_list),
    ..BASE
};

fn module_list(_: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    reply.array(0);
    Ok(Next::Done)
}

static ROLE: Command = Command {
    name: "role",
    summary: "Return the role of the instance in the context of replication",
    since: "2.8.12",
    arity: 1,
    flags: &[Flag::Noscript, Flag::Loading, Flag::Stale, Flag::Fast],
    categories: &["@admin", "@dangerous"],
    examples: r#"> ROLE
1) "master"
2) (integer) 0
3) (empty array)"#,
    run: Run::Session(role),
    ..BASE
};

/// A master whose stream has no bytes and no readers: it does not replicate.
fn role(_: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    reply.array(3);
    reply.bulk(b"master");
    reply.integer(0);
    reply.array(0);
    Ok(Next::Done)
}

/// The argument of REPLICAOF.
const MASTER: Argument = Argument::one_of(
    "args",
    &[
        Argument::block("host-port", &[Argument::string("host"), Argument::integer("port")]),
        Argument::block("no-one", &[Argument::flag("no", "NO"), Argument::flag("one", "ONE")]),
    ],
);

static REPLICAOF: Command = Command {
    name: "replicaof",
    summary: "Make the server a replica of another instance, or promote it as master.",
    since: "5.0.0",
    arity: 3,
    flags: &[Flag::Admin, Flag::Noscript, Flag::Stale, Flag::NoAsyncLoading],
    arguments: &[MASTER],
    examples: r#"> REPLICAOF NO ONE
OK
> REPLICAOF localhost 6380
(error) ERR replication is not supported"#,
    run: Run::Session(replicaof),
    ..BASE
};

static SLAVEOF: Command = Command {
    name: "slaveof",
    since: "1.0.0",
    deprecated: Some(("5.0.0", "`REPLICAOF`")),
    examples: r#"> SLAVEOF NO ONE
OK"#,
    ..REPLICAOF
};

/// A master it is already.
fn replicaof(_: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let mut args = Args::new(args);
    if !(args.take_word("NO") && args.take_word("ONE")) {
        return Err(CommandError::custom("ERR replication is not supported"));
    }
    reply.ok();
    Ok(Next::Done)
}

static LASTSAVE: Command = Command {
    name: "lastsave",
    summary: "Get the UNIX time stamp of the last successful save to disk",
    since: "1.0.0",
    arity: 1,
    flags: &[Flag::Loading, Flag::Stale, Flag::Fast],
    categories: &["@admin", "@dangerous"],
    tips: &["nondeterministic_output"],
    examples: r#"> LASTSAVE
..."#,
    run: Run::Server(lastsave),
    ..BASE
};

fn lastsave(session: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    reply.integer(saved_until(&session.server) as i64);
    Ok(Next::Done)
}

/// The Unix time, in seconds, up to which every acknowledged write survives a power failure: now, less the age of the
/// oldest write that waits for its sync.
fn saved_until(server: &Server) -> u64 {
    let unsynced = server.storage_state.load().as_ref().and_then(|storage| storage.unsynced_for());
    server.env.clock.unix_time().saturating_sub(unsynced.unwrap_or_default()).as_secs()
}

// ---- Redis Cluster: there is none, and clients are told so in Redis' words -----------------------------------------

const NO_CLUSTER: Command = Command {
    group: Group::Cluster,
    since: "3.0.0",
    arity: 1,
    flags: &[Flag::Loading, Flag::Stale, Flag::Fast],
    categories: &["@connection"],
    run: Run::Session(no_cluster),
    ..Command::BASE
};

static CLUSTER: Command = Command {
    name: "cluster",
    summary: "A container for cluster commands",
    complexity: "Depends on subcommand.",
    arity: -2,
    flags: &[],
    categories: &[],
    examples: r#"> CLUSTER INFO
(error) ERR This instance has cluster support disabled"#,
    refused: CLUSTER_SUBCOMMANDS,
    ..NO_CLUSTER
};

static ASKING: Command = Command {
    name: "asking",
    summary: "Sent by cluster clients after an -ASK redirect",
    flags: &[Flag::Fast],
    examples: r#"> ASKING
(error) ERR This instance has cluster support disabled"#,
    ..NO_CLUSTER
};

static READONLY: Command = Command {
    name: "readonly",
    summary: "Enables read queries for a connection to a cluster replica node",
    examples: r#"> READONLY
(error) ERR This instance has cluster support disabled"#,
    ..NO_CLUSTER
};

static READWRITE: Command = Command {
    name: "readwrite",
    summary: "Disables read queries for a connection to a cluster replica node",
    examples: r#"> READWRITE
(error) ERR This instance has cluster support disabled"#,
    ..NO_CLUSTER
};

/// The subcommands of Redis 7.0's CLUSTER, all of which need what is not here.
const CLUSTER_SUBCOMMANDS: &[(&str, i32)] = &[
    ("addslots", -3),
    ("addslotsrange", -4),
    ("bumpepoch", 2),
    ("count-failure-reports", 3),
    ("countkeysinslot", 3),
    ("delslots", -3),
    ("delslotsrange", -4),
    ("failover", -2),
    ("flushslots", 2),
    ("forget", 3),
    ("getkeysinslot", 4),
    ("help", 2),
    ("info", 2),
    ("keyslot", 3),
    ("links", 2),
    ("meet", -4),
    ("myid", 2),
    ("nodes", 2),
    ("replicas", 3),
    ("replicate", 3),
    ("reset", -2),
    ("saveconfig", 2),
    ("set-config-epoch", 3),
    ("setslot", -4),
    ("shards", 2),
    ("slaves", 3),
    ("slots", 2),
];

fn no_cluster(_: &mut Session, _: &CommandArgs, _: &mut ReplyBuffer) -> Result<Next, CommandError> {
    Err(CommandError::custom("ERR This instance has cluster support disabled"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::commands::network_tests::TestClient;

    #[test]
    fn shutdown_is_asked_for_in_words_that_go_together() {
        let mut client = TestClient::new();
        for line in ["shutdown later", "shutdown save nosave", "shutdown abort now", "shutdown abort save"] {
            assert_eq!(client.run(line), "(error) ERR syntax error", "{line}");
        }
        client.check(&[("shutdown abort", "(error) ERR No shutdown in progress.")]);
        assert!(!client.session.server.shutdown.is_requested());
        client.check(&[("shutdown nosave now force", "")]);
        assert!(client.closed && client.session.server.shutdown.is_requested());
    }

    #[test]
    fn there_is_no_cluster() {
        const NONE: &str = "(error) ERR This instance has cluster support disabled";
        TestClient::new().check(&[
            ("cluster info", NONE),
            ("cluster nodes", NONE),
            ("asking", NONE),
            ("readonly", NONE),
            ("readwrite", NONE),
            ("cluster", "(error) ERR wrong number of arguments for 'cluster' command"),
            ("cluster keyslot", "(error) ERR wrong number of arguments for 'cluster|keyslot' command"),
            ("cluster keyslot a b", "(error) ERR wrong number of arguments for 'cluster|keyslot' command"),
            ("cluster Keyslot a", NONE),
            ("cluster nonsense", "(error) ERR unknown subcommand 'nonsense'. Try CLUSTER HELP."),
        ]);
    }

    #[test]
    fn what_is_slow_is_logged_and_can_be_read() {
        let mut client = TestClient::new();
        let server = client.session.server.clone();
        let args = CommandArgs::from_parts(&["get", "k"]);
        for took_us in [15, 70_000] {
            let took = Duration::from_micros(took_us);
            server.stats.slowlog.record(&args, |_| false, &client.session.client, took, 1_700_000_000, 128);
        }
        client.check(&[
            ("slowlog len", "(integer) 2"),
            (
                "slowlog get 1",
                "1) 1) (integer) 1\n   2) (integer) 1700000000\n   3) (integer) 70000\n   4) 1) \"get\"\n      2) \"k\"\n   \
                 5) \"127.0.0.1:50000\"\n   6) \"\"",
            ),
            ("slowlog get x", "(error) ERR count should be greater than or equal to -1"),
            ("slowlog get -2", "(error) ERR count should be greater than or equal to -1"),
            (
                "slowlog get 1 2",
                "(error) ERR unknown subcommand or wrong number of arguments for 'get'. Try SLOWLOG HELP.",
            ),
            ("slowlog reset", "OK"),
            ("slowlog get -1", "(empty array)"),
        ]);
    }

    #[test]
    fn the_one_user_may_do_everything() {
        TestClient::new().check(&[
            ("acl whoami", "\"default\""),
            ("acl users", "1) \"default\""),
            ("acl list", "1) \"user default on nopass ~* &* +@all\""),
            ("acl cat nosuch", "(error) ERR Unknown category 'nosuch'"),
        ]);
        let mut client = TestClient::with_config("requirepass secret");
        client.run("auth secret");
        client.check(&[("acl list", "1) \"user default on #(redacted) ~* &* +@all\"")]);
        assert!(client.run("acl cat dangerous").contains("\"client|kill\""));
    }
}
