//! Several clients of the real server whose fates touch: subscribers that do not read, waiters that are served, restarts
//! of storage in between. What they are told is compared with redis-server elsewhere (tests/compat/dialogue.rs); here is
//! what takes load, time, or trouble.

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bulkhead::resp::Value;

use support::{Client, Server, eventually};

/// Asks for storage to be started anew, and waits until it was.
fn restart_storage(client: &mut Client) {
    let before = storage_starts(client);
    assert_eq!(client.ask("DEBUG RESTART-STORAGE"), "OK");
    eventually("storage started anew", || storage_starts(client) > before);
}

fn storage_starts(client: &mut Client) -> usize {
    let info = client.ask("INFO runtimes");
    let at = info.find("storage_starts:").expect("INFO's field") + "storage_starts:".len();
    info[at..].split("\\r").next().and_then(|number| number.parse().ok()).expect("a number")
}

fn blocked(client: &mut Client) -> usize {
    let info = client.ask("INFO clients");
    let at = info.find("blocked_clients:").expect("INFO's field") + "blocked_clients:".len();
    info[at..].split("\\r").next().and_then(|number| number.parse().ok()).expect("a number")
}

// ---- Publish/subscribe ---------------------------------------------------------------------------------------------

#[test]
fn a_subscriber_that_does_not_read_is_dropped_and_slows_nobody() {
    let server = Server::start(&["--client-output-buffer-limit", "pubsub", "1mb", "0", "0"]);
    let (mut publisher, mut slow, mut quick) = (server.client(), server.client(), server.client());
    slow.send(&["SUBSCRIBE", "news"]);
    slow.read();
    quick.send(&["SUBSCRIBE", "news"]);
    quick.read();
    let message = "x".repeat(10_000);
    let before = server.rss_bytes();
    // Far more than the sockets between the two hold.
    for _ in 0..2000 {
        publisher.send(&["PUBLISH", "news", &message]);
        assert!(matches!(publisher.read(), Value::Integer(1 | 2)));
        let Value::Array(parts) = quick.read() else { panic!("no message") };
        assert_eq!(parts[2], Value::Bulk(message.clone().into()));
    }
    assert_eq!(publisher.ask("PUBSUB NUMSUB news"), "1) \"news\"\n2) (integer) 1");
    let grown = server.rss_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "20 MB of messages, of which 1 MB may wait, left {grown} bytes");
    assert!(slow.read_to_end().len() < 20_000_000, "it got everything: the test does not test");
}

#[test]
fn messages_flow_while_storage_starts_anew() {
    let server = Server::start(&[]);
    let (mut admin, mut publisher, mut subscriber) = (server.client(), server.client(), server.client());
    subscriber.send(&["SUBSCRIBE", "news"]);
    subscriber.read();
    for round in 0..5 {
        admin.send(&["DEBUG", "RESTART-STORAGE"]);
        for number in 0..100 {
            let message = format!("{round}:{number}");
            publisher.send(&["PUBLISH", "news", &message]);
            assert_eq!(publisher.read(), Value::Integer(1));
            let Value::Array(parts) = subscriber.read() else { panic!("no message") };
            assert_eq!(parts[2], Value::Bulk(message.into()));
        }
        assert_eq!(admin.read().to_string(), "OK");
    }
}

#[test]
fn key_events_come_in_the_order_of_commits_and_none_is_lost() {
    let server = Server::start(&["--notify-keyspace-events", "E$"]);
    let mut subscriber = server.client();
    subscriber.send(&["SUBSCRIBE", "__keyevent@0__:incrby"]);
    subscriber.read();
    thread::scope(|scope| {
        for writer in 0..4 {
            let mut client = server.client();
            scope.spawn(move || {
                for number in 0..500 {
                    client.call(&["INCR", &format!("{writer}:{number}")]);
                }
            });
        }
        let mut next = [0; 4];
        for _ in 0..2000 {
            let Value::Array(parts) = subscriber.read() else { panic!("no message") };
            let key = parts[2].to_string();
            let (writer, number) = key.trim_matches('"').split_once(':').expect("a key of ours");
            let writer: usize = writer.parse().expect("a writer");
            assert_eq!(number.parse::<usize>().ok(), Some(next[writer]), "{key}");
            next[writer] += 1;
        }
    });
}

// ---- MONITOR -------------------------------------------------------------------------------------------------------

/// One line that a monitor gets, without the moment.
fn monitored(monitor: &mut Client) -> String {
    let line = monitor.read().to_string();
    let (when, rest) = line.split_once(' ').expect("a moment and what happened then");
    let (seconds, micros) = when.split_once('.').expect("seconds and microseconds");
    assert!(seconds.parse::<u64>().is_ok_and(|seconds| seconds > 1_700_000_000) && micros.len() == 6, "{line}");
    rest.into()
}

#[test]
fn a_monitor_sees_who_did_what_in_either_protocol_and_by_any_socket() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let socket = dir.path().join("s.sock");
    let server = Server::start(&["--unixsocket", socket.to_str().expect("UTF-8")]);
    let mut monitors = [server.client(), server.client().resp3()];
    for monitor in &mut monitors {
        assert_eq!(monitor.ask("MONITOR"), "OK");
    }
    let mut local = Client::connect_unix(&socket);
    assert_eq!(local.ask("SET k \"a b\\n\""), "OK");
    // What is sent at once is seen in its order, wherever it runs.
    local.send_raw(
        b"SELECT 2\r\nSET a 1\r\nPING\r\nSET a 1 EX x\r\nGET a\r\nECHO x\r\nGET\r\nINCR a\r\nAUTH default pw\r\n",
    );
    for _ in 0..9 {
        local.read();
    }
    let path = socket.display();
    let expected = [
        format!(r#"[0 unix:{path}] "SET" "k" "a b\n""#),
        format!(r#"[2 unix:{path}] "SELECT" "2""#),
        format!(r#"[2 unix:{path}] "SET" "a" "1""#),
        format!(r#"[2 unix:{path}] "PING""#),
        format!(r#"[2 unix:{path}] "SET" "a" "1" "EX" "x""#),
        format!(r#"[2 unix:{path}] "GET" "a""#),
        format!(r#"[2 unix:{path}] "ECHO" "x""#),
        format!(r#"[2 unix:{path}] "INCR" "a""#),
        format!(r#"[2 unix:{path}] "AUTH" "(redacted)" "(redacted)""#),
    ];
    for monitor in &mut monitors {
        for line in &expected {
            assert_eq!(monitored(monitor), *line);
        }
    }
    assert_eq!(local.ask("CLIENT LIST").matches(" flags=O ").count(), 2);
    assert!(local.ask("CLIENT LIST TYPE normal").contains(" flags=O "));
}

#[test]
fn a_monitor_sees_every_write_once_in_the_order_of_commits_whatever_befalls_storage() {
    let server = Server::start(&[]);
    let (mut monitor, mut admin) = (server.client(), server.client());
    assert_eq!(monitor.ask("MONITOR"), "OK");
    let writers = 4;
    let each = 300;
    let seen = thread::scope(|scope| {
        for writer in 0..writers {
            let mut client = server.client();
            scope.spawn(move || {
                for number in 0..each {
                    client.call(&["RPUSH", "list", &format!("{writer}:{number}")]);
                    client.call(&["LLEN", "list"]);
                }
            });
        }
        for _ in 0..3 {
            restart_storage(&mut admin);
        }
        let mut seen = Vec::new();
        for _ in 0..2 * writers * each {
            let line = loop {
                let line = monitored(&mut monitor);
                if !line.contains("\"INFO\"") {
                    break line;
                }
            };
            if let Some((_, element)) = line.split_once("\"RPUSH\" \"list\" ") {
                seen.push(element.to_string());
            }
        }
        seen
    });
    let Value::Array(list) = admin.call(&["LRANGE", "list", "0", "-1"]) else { panic!("no list") };
    assert_eq!(seen, list.iter().map(Value::to_string).collect::<Vec<_>>());
}

#[test]
fn a_monitor_that_does_not_read_is_dropped_and_slows_nobody() {
    let server = Server::start(&["--client-output-buffer-limit", "normal", "1mb", "0", "0"]);
    let (mut writer, mut slow, mut quick) = (server.client(), server.client(), server.client());
    for monitor in [&mut slow, &mut quick] {
        assert_eq!(monitor.ask("MONITOR"), "OK");
    }
    let value = "x".repeat(10_000);
    let before = server.rss_bytes();
    for _ in 0..2000 {
        writer.send(&["SET", "k", &value]);
        assert_eq!(writer.read().to_string(), "OK");
        assert!(monitored(&mut quick).ends_with(&format!("\"SET\" \"k\" \"{value}\"")));
    }
    let grown = server.rss_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "20 MB of commands, of which 1 MB may wait, left {grown} bytes");
    assert!(slow.read_to_end().len() < 20_000_000, "it got everything: the test does not test");
    // A single command that no monitor has room for.
    writer.send(&["SET", "k", &"x".repeat(2 << 20)]);
    assert_eq!(writer.read().to_string(), "OK");
    assert_eq!(quick.read_to_end().len(), 0);
    assert_eq!(writer.ask("GET nosuch"), "(nil)");
}

#[test]
fn pauses_hold_back_publishing_and_no_monitor() {
    let server = Server::start(&[]);
    let (mut admin, mut publisher, mut monitor) = (server.client(), server.client(), server.client());
    assert_eq!(monitor.ask("MONITOR"), "OK");
    for (line, expected) in
        [("PUBLISH news x", "(integer) 0"), ("SPUBLISH news x", "(integer) 0"), ("PFCOUNT p", "(integer) 0")]
    {
        assert_eq!(admin.ask("CLIENT PAUSE 100000 WRITE"), "OK");
        publisher.send_raw(format!("{line}\r\n").as_bytes());
        eventually("it is held up", || blocked(&mut admin) == 1);
        monitor.send_raw(b"ECHO x\r\n");
        while monitor.read().to_string() != "\"x\"" {}
        assert_eq!(admin.ask("CLIENT UNPAUSE"), "OK");
        assert_eq!(publisher.read().to_string(), expected, "{line}");
    }
    publisher.check(&[("MULTI", "OK"), ("PUBLISH news x", "QUEUED")]);
    assert_eq!(admin.ask("CLIENT PAUSE 100000 WRITE"), "OK");
    publisher.send_raw(b"EXEC\r\n");
    eventually("it is held up", || blocked(&mut admin) == 1);
    assert_eq!(admin.ask("CLIENT UNPAUSE"), "OK");
    assert_eq!(publisher.read().to_string(), "1) (integer) 0");
}

// ---- Transactions --------------------------------------------------------------------------------------------------

#[test]
fn debug_looks_at_keys_from_within_a_transaction() {
    let server = Server::start(&[]);
    server.client().check(&[
        ("MULTI", "OK"),
        ("SET k Hello", "QUEUED"),
        ("DEBUG OBJECT k", "QUEUED"),
        ("EXEC", "1) OK\n2) Value at:0x0 refcount:1 encoding:embstr serializedlength:6 lru:0 lru_seconds_idle:0"),
        ("MULTI", "OK"),
        ("DEBUG DIGEST-VALUE nosuch", "QUEUED"),
        ("DEBUG OBJECT nosuch", "QUEUED"),
        ("DEBUG OBJECT", "QUEUED"),
        ("DEBUG SLEEP 0", "QUEUED"),
        (
            "EXEC",
            "1) 1) 0000000000000000000000000000000000000000\n2) (error) ERR no such key\n3) (error) ERR unknown subcommand or \
             wrong number of arguments for 'OBJECT'. Try DEBUG HELP.\n4) OK",
        ),
    ]);
}

#[test]
fn the_digest_of_everything_knows_keys_values_expiry_and_databases_and_no_order() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let mut digest_after = |lines: &[&str]| {
        client.ask("FLUSHALL");
        for line in lines {
            let reply = client.ask(line);
            assert!(!reply.starts_with("(error)"), "{line}: {reply}");
        }
        let digest = client.ask("DEBUG DIGEST");
        assert_eq!(digest.len(), 40, "{digest}");
        digest
    };
    let base = digest_after(&["SET a 1", "SADD s 1 2 x"]);
    assert_eq!(base, digest_after(&["SADD s x 1", "SET a 2", "SET b 3", "SADD s 2", "SET a 1", "DEL b"]));
    let others: [&[&str]; 6] = [
        &["SET a 2", "SADD s 1 2 x"],
        &["SET b 1", "SADD s 1 2 x"],
        &["SET a 1", "SADD s 1 2"],
        &["SET a 1 EX 100", "SADD s 1 2 x"],
        &["SET a 1", "SADD s 1 2 x", "MOVE s 1"],
        &["SADD s 1 2 x"],
    ];
    for other in others {
        assert_ne!(base, digest_after(other), "{other:?}");
    }
}

#[test]
fn a_transaction_is_never_seen_half_done() {
    let server = Server::start(&[]);
    let rounds = 300;
    thread::scope(|scope| {
        let mut writer = server.client();
        scope.spawn(move || {
            for number in 0..rounds {
                writer.send_raw(format!("MULTI\r\nSET a {number}\r\nSET b {number}\r\nEXEC\r\n").as_bytes());
                (0..3).for_each(|_| drop(writer.read()));
                assert_eq!(writer.read().to_string(), "1) OK\n2) OK");
            }
        });
        let mut reader = server.client();
        while reader.ask("GET a") != format!("\"{}\"", rounds - 1) {
            let Value::Array(both) = reader.call(&["MGET", "a", "b"]) else { panic!("no array") };
            assert_eq!(both[0], both[1]);
            reader.send_raw(b"MULTI\r\nGET a\r\nGET b\r\nEXEC\r\n");
            (0..3).for_each(|_| drop(reader.read()));
            let Value::Array(both) = reader.read() else { panic!("no array") };
            assert_eq!(both[0], both[1]);
        }
    });
}

#[test]
fn optimistic_counters_lose_nothing() {
    let server = Server::start(&[]);
    let retries = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            let mut client = server.client();
            let retries = &retries;
            scope.spawn(move || {
                for _ in 0..100 {
                    loop {
                        assert_eq!(client.ask("WATCH counter"), "OK");
                        let value = client.ask("GET counter");
                        let value: u64 = value.trim_matches('"').parse().unwrap_or(0);
                        client.send_raw(format!("MULTI\r\nSET counter {}\r\nEXEC\r\n", value + 1).as_bytes());
                        (0..2).for_each(|_| drop(client.read()));
                        if client.read().to_string() != "(nil)" {
                            break;
                        }
                        retries.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(server.client().ask("GET counter"), "\"400\"");
    assert!(retries.into_inner() > 0, "nobody got in another's way: the test does not test");
}

#[test]
fn what_was_watched_over_a_restart_of_storage_counts_as_changed() {
    let server = Server::start(&[]);
    let (mut admin, mut client) = (server.client(), server.client());
    client.check(&[("WATCH k", "OK"), ("MULTI", "OK"), ("SET k 1", "QUEUED")]);
    restart_storage(&mut admin);
    client.check(&[("EXEC", "(nil)"), ("WATCH k", "OK"), ("MULTI", "OK"), ("SET k 1", "QUEUED"), ("EXEC", "1) OK")]);
}

// ---- Blocking ------------------------------------------------------------------------------------------------------

#[test]
fn a_waiter_is_served_after_storage_started_anew() {
    let server = Server::start(&[]);
    let (mut admin, mut one, mut other) = (server.client(), server.client(), server.client());
    one.send(&["BLPOP", "k", "0"]);
    eventually("one waits", || blocked(&mut admin) == 1);
    restart_storage(&mut admin);
    other.send(&["BRPOP", "k", "0"]);
    eventually("both wait", || blocked(&mut admin) == 2);
    assert_eq!(admin.ask("RPUSH k a b c"), "(integer) 3");
    assert_eq!(one.read().to_string(), "1) \"k\"\n2) \"a\"");
    assert_eq!(other.read().to_string(), "1) \"k\"\n2) \"c\"");
    assert_eq!(admin.ask("LRANGE k 0 -1"), "1) \"b\"");
}

#[test]
fn time_runs_out_when_it_should() {
    let server = Server::start(&[]);
    let mut client = server.client();
    for ms in [1, 30, 250] {
        let began = Instant::now();
        assert_eq!(client.ask(&format!("BLPOP k {}", f64::from(ms) / 1000.0)), "(nil)");
        let (took, least) = (began.elapsed(), Duration::from_millis(ms as u64));
        assert!(took >= least && took < least + Duration::from_secs(5), "{ms} ms became {took:?}");
    }
}

#[test]
fn a_server_that_stops_does_not_wait_for_the_blocked() {
    let server = Server::start(&[]);
    let (mut admin, mut waiter, mut other) = (server.client(), server.client(), server.client());
    waiter.send(&["BLPOP", "k", "0"]);
    eventually("it waits", || blocked(&mut admin) == 1);
    other.send(&["WAIT", "1", "0"]);
    eventually("both wait", || blocked(&mut admin) == 2);
    let began = Instant::now();
    server.stop();
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
    assert_eq!(waiter.read_to_end(), &b""[..]);
}

/// Producers push, consumers wait with short timeouts and hang up in the middle: every element goes to exactly one of
/// them, or is left, or was under way to one that hung up.
#[test]
fn every_element_is_taken_once_whoever_comes_and_goes() {
    let server = Server::start(&[]);
    let (pushes, producers) = (400, 3);
    let (taken, hung_up) = (AtomicU64::new(0), AtomicU64::new(0));
    let done = AtomicU64::new(0);
    thread::scope(|scope| {
        for producer in 0..producers {
            let mut client = server.client();
            let done = &done;
            scope.spawn(move || {
                for number in 0..pushes {
                    client.call(&["RPUSH", "queue", &format!("{producer}:{number}")]);
                }
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        for consumer in 0..6 {
            let (taken, hung_up, done, server) = (&taken, &hung_up, &done, &server);
            scope.spawn(move || {
                let mut client = server.client();
                for round in 0.. {
                    if consumer == 0 && round % 20 == 19 {
                        // What it may be sent after this is gone with it.
                        client.send(&["BLPOP", "queue", "0"]);
                        hung_up.fetch_add(1, Ordering::Relaxed);
                        client = server.client();
                    }
                    match client.ask("BLPOP queue 0.003").as_str() {
                        "(nil)" if done.load(Ordering::Relaxed) == producers => return,
                        "(nil)" => {}
                        _ => drop(taken.fetch_add(1, Ordering::Relaxed)),
                    }
                }
            });
        }
    });
    let mut admin = server.client();
    eventually("nobody waits", || blocked(&mut admin) == 0);
    let left: u64 = admin.ask("LLEN queue").trim_start_matches("(integer) ").parse().expect("a length");
    let (taken, hung_up, all) = (taken.into_inner(), hung_up.into_inner(), pushes * producers);
    assert!(taken + left <= all && taken + left + hung_up >= all, "{taken} + {left} + up to {hung_up} of {all}");
}
