//! CONFIG: the configuration of the running server, over [`LiveConfig`](crate::config::LiveConfig).

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{ADMIN, BASE, CONTAINER};
use crate::commands::context::Reconfigure;
use crate::commands::introspection;
use crate::commands::{Argument, Command, CommandError, Next, Run, Session};
use crate::config::{ConfigSetError, Directive, Pairs};
use crate::observe::set_log_style;
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::storage::on_engine_thread;

pub static CONFIG: Command = Command {
    name: "config",
    summary: "A container for server configuration commands",
    since: "2.0.0",
    subcommands: &[&GET, &HELP, &RESETSTAT, &REWRITE, &SET],
    ..CONTAINER
};

static HELP: Command = Command {
    examples: r#"> CONFIG HELP
..."#,
    ..introspection::HELP
};

static GET: Command = Command {
    name: "get",
    summary: "Get the values of configuration parameters",
    since: "2.0.0",
    complexity: "O(N) when N is the number of configuration parameters provided",
    arity: -3,
    flags: ADMIN,
    history: &[("7.0.0", "Added the ability to pass multiple pattern parameters in one call")],
    arguments: &[Argument::block("parameter", &[Argument::string("parameter")]).multiple()],
    examples: r#"> CONFIG GET appendfsync maxmemory
1) "appendfsync"
2) "everysec"
3) "maxmemory"
4) "0"
> CONFIG GET nosuchdirective
(empty array)"#,
    run: Run::Server(get),
    ..BASE
};

fn get(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let patterns: Vec<&[u8]> = args.iter().skip(2).collect();
    let found = session.server.config.get(&patterns);
    reply.map(found.len());
    for (name, value) in found {
        reply.bulk(&name);
        reply.bulk(&value);
    }
    Ok(Next::Done)
}

static SET: Command = Command {
    name: "set",
    summary: "Set configuration parameters to the given values",
    since: "2.0.0",
    complexity: "O(N) when N is the number of configuration parameters provided",
    arity: -4,
    flags: ADMIN,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    history: &[("7.0.0", "Added the ability to set multiple parameters in one call.")],
    arguments: &[
        Argument::block("parameter_value", &[Argument::string("parameter"), Argument::string("value")]).multiple()
    ],
    examples: r#"> CONFIG SET slowlog-max-len 64 timeout 0
OK
> CONFIG GET slowlog-max-len
1) "slowlog-max-len"
2) "64"
> CONFIG SET timeout soon
(error) ERR CONFIG SET failed (possibly related to argument 'timeout') - argument couldn't be parsed into an integer"#,
    run: Run::Server(set),
    ..BASE
};

fn set(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let words: Vec<&[u8]> = args.iter().skip(2).collect();
    let (pairs, []) = words.as_chunks::<2>() else { return Err(CommandError::Syntax) };
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|[name, value]| (*name, *value)).collect();
    let server = session.server.clone();
    let error = |error: ConfigSetError| CommandError::custom(format!("ERR {error}"));
    let (_, changed) = server.config.check(&pairs).map_err(error)?;
    if !changed.iter().any(has_consequences) {
        let changed = server.config.set(&pairs, |_, _| Ok(())).map_err(error)?;
        for row in changed {
            // The name alone: a value may be a password.
            tracing::info!(client = session.client.id, directive = row.name, "CONFIG SET");
        }
        set_log_style(&server.config.current().log);
        reply.ok();
        return Ok(Next::Done);
    }
    let pairs: Pairs = pairs.into_iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    let mut answer = ReplyBuffer::new(session.protocol);
    Ok(Next::Wait(Box::pin(async move {
        let (done, outcome) = oneshot::channel();
        // Whoever would do it is gone only when the server is.
        let outcome = match server.reconfigure.send(Reconfigure { pairs, done }).await {
            Ok(()) => outcome.await.unwrap_or(Ok(())),
            Err(_) => Ok(()),
        };
        match outcome {
            Ok(()) => answer.ok(),
            Err(error) => answer.error(format!("ERR {error}")),
        }
        Bytes::from(answer.into_bytes())
    })))
}

/// Whether something has to be done for a directive to hold, beyond looking at it: by the runtime manager.
fn has_consequences(row: &&'static Directive) -> bool {
    const ELSEWHERE: &[&str] =
        &["bind", "port", "tcp-keepalive", "health-port", "network-threads", "storage-threads", "channel-max-bytes"];
    row.name.starts_with("rocksdb.") || ELSEWHERE.contains(&row.name)
}

static RESETSTAT: Command = Command {
    name: "resetstat",
    summary: "Reset the stats returned by INFO",
    since: "2.0.0",
    arity: 2,
    flags: ADMIN,
    examples: r#"> CONFIG RESETSTAT
OK"#,
    run: Run::Server(resetstat),
    ..BASE
};

fn resetstat(session: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    session.server.stats.reset();
    reply.ok();
    Ok(Next::Done)
}

static REWRITE: Command = Command {
    name: "rewrite",
    summary: "Rewrite the configuration file with the in memory configuration",
    since: "2.8.0",
    arity: 2,
    flags: ADMIN,
    examples: r#"> CONFIG REWRITE
(error) ERR The server is running without a config file"#,
    run: Run::Server(rewrite),
    ..BASE
};

/// Reads and replaces the file on a thread that may wait for the disk; this connection alone waits for it.
fn rewrite(session: &mut Session, _: &CommandArgs, _: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let server = session.server.clone();
    let path = server.config.file().map_err(|error| CommandError::custom(format!("ERR {error}")))?.to_path_buf();
    let mut answer = ReplyBuffer::new(session.protocol);
    Ok(Next::Wait(Box::pin(async move {
        let (env, config) = (server.env.clone(), server.config.clone());
        let domain = server.storage_domain.lock().clone();
        let rewritten = on_engine_thread(&*domain, move || {
            let original = match env.storage.read_file(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
                read => read?,
            };
            env.storage.replace_file(&path, config.rewrite(&original).as_bytes())
        });
        let error = match rewritten.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        match error {
            None => {
                tracing::info!("CONFIG REWRITE executed with success.");
                answer.ok();
            }
            Some(error) => {
                tracing::warn!(error, "CONFIG REWRITE failed");
                answer.error(format!("ERR Rewriting config file: {error}"));
            }
        }
        Bytes::from(answer.into_bytes())
    })))
}

#[cfg(test)]
mod tests {
    use crate::commands::network_tests::TestClient;

    #[test]
    fn directives_are_read_and_set_in_redis_words() {
        let mut client = TestClient::new();
        let failed =
            |name, reason| format!("(error) ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}");
        client.check(&[
            ("config get TIMEOUT nosuch timeout", "1) \"TIMEOUT\"\n2) \"0\""),
            ("config set timeout 5 maxclients 50", "OK"),
            ("config get timeout maxclients", "1) \"timeout\"\n2) \"5\"\n3) \"maxclients\"\n4) \"50\""),
            ("config set timeout 6 maxclients", "(error) ERR syntax error"),
            ("config set nosuch 1", "(error) ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'"),
            ("config set timeout 1 timeout 2", &failed("timeout", "duplicate parameter")),
            ("config set databases 4", &failed("databases", "can't set immutable config")),
            ("config get timeout", "1) \"timeout\"\n2) \"5\""),
            ("config resetstat", "OK"),
        ]);
    }

    /// So nothing need be done for it, and nobody asked to.
    #[test]
    fn what_does_not_change_need_not_take_effect() {
        let mut client = TestClient::new();
        client.check(&[("config set port 6379", "OK"), ("config get timeout", "1) \"timeout\"\n2) \"0\"")]);
    }

    #[test]
    fn the_file_is_rewritten_where_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("server.conf");
        std::fs::write(&path, "# mine\ntimeout 3\n").unwrap();
        let mut client = TestClient::with_file(&path);
        client.check(&[("config set timeout 9", "OK"), ("config rewrite", "OK")]);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "# mine\ntimeout 9\n");
        drop(directory);
        assert!(client.run("config rewrite").starts_with("(error) ERR Rewriting config file: "));
    }
}
