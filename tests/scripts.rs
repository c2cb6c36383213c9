//! Scripts on the real server: what else goes on while one runs, what is left of one that had to be ended, and what their cache
//! forgets. What they reply is compared with redis-server elsewhere (tests/compat).

mod support;

use bulkhead::resp::Value;

use support::{Client, Server, eventually};

const ENDLESS: &str = "redis.log(redis.LOG_WARNING, 'it runs') redis.call('SET', 'written', 'x') while true do end";

fn asks_for_script(client: &mut Client, script: &str) -> String {
    client.call(&["EVAL", script, "0"]).to_string()
}

#[test]
fn while_a_script_runs_all_that_does_not_write_goes_on() {
    let server = Server::start(&[]);
    let (mut busy, mut other) = (server.client(), server.client());
    assert_eq!(other.ask("SET known value"), "OK");
    busy.send(&["EVAL", ENDLESS, "0"]);
    eventually("the script runs", || server.log().contains("it runs"));
    for _ in 0..100 {
        other.check(&[("PING", "PONG"), ("GET known", "\"value\""), ("EXISTS written", "(integer) 0")]);
    }
    let mut late = server.client();
    late.check(&[("HGETALL nothing", "(empty array)"), ("STRLEN known", "(integer) 5")]);
    assert_eq!(late.call(&["EVAL_RO", "return redis.call('GET', KEYS[1])", "1", "known"]).to_string(), "\"value\"");
    assert_eq!(late.ask("SCRIPT KILL"), "OK");
    let reply = busy.read().to_string();
    assert_eq!(reply, "(error) ERR Script killed by user with SCRIPT KILL. It had no effect.");
    late.check(&[
        ("EXISTS written", "(integer) 0"),
        ("SCRIPT KILL", "(error) NOTBUSY No scripts in execution right now."),
        ("SET written y", "OK"),
    ]);
}

#[test]
fn a_script_that_takes_too_long_leaves_no_trace() {
    let server = Server::start(&["--busy-reply-threshold", "50", "--notify-keyspace-events", "KEA"]);
    let (mut client, mut subscriber) = (server.client(), server.client());
    subscriber.ask("PSUBSCRIBE *");
    for script in [
        ENDLESS,
        "redis.call('PUBLISH', 'c', 'm') redis.call('RPUSH', 'written', 1, 2, 3) while true do pcall(error) end",
        "redis.call('SELECT', 3) redis.call('SET', 'written', 'x') redis.call('FLUSHALL') while true do end",
        "while true do redis.call('INCR', 'written') end",
    ] {
        let reply = asks_for_script(&mut client, script);
        assert_eq!(reply, "(error) ERR the script took longer than 50 milliseconds and had no effect", "{script}");
        client.check(&[("EXISTS written", "(integer) 0"), ("SELECT 3", "OK"), ("EXISTS written", "(integer) 0")]);
        client.check(&[("SELECT 0", "OK")]);
    }
    assert_eq!(asks_for_script(&mut client, "return redis.call('SET', 'after', 'y')"), "OK");
    // The first that anybody hears of it all.
    let Value::Array(parts) = subscriber.read() else { panic!("no message") };
    assert_eq!(parts.last(), Some(&Value::Bulk("set".into())), "{parts:?}");
}

#[test]
fn a_script_that_only_reads_takes_too_long_as_well() {
    let server = Server::start(&["--busy-reply-threshold", "50"]);
    let reply = server.client().call(&["EVAL_RO", "while true do redis.call('GET', 'k') end", "0"]).to_string();
    assert_eq!(reply, "(error) ERR the script took longer than 50 milliseconds and had no effect");
}

#[test]
fn what_a_script_publishes_is_heard_when_its_writes_can_be_seen() {
    let server = Server::start(&[]);
    let (mut publisher, mut subscriber, mut reader) = (server.client(), server.client(), server.client());
    subscriber.send(&["SUBSCRIBE", "c"]);
    subscriber.read();
    for round in 0..200 {
        let script = "redis.call('SET', 'k', ARGV[1]) return redis.call('PUBLISH', 'c', ARGV[1])";
        publisher.send(&["EVAL", script, "0", &round.to_string()]);
        let Value::Array(parts) = subscriber.read() else { panic!("no message") };
        assert_eq!(parts[2], Value::Bulk(round.to_string().into()));
        assert_eq!(reader.ask("GET k"), format!("\"{round}\""));
        assert_eq!(publisher.read(), Value::Integer(1));
    }
}

#[test]
fn the_cache_forgets_the_oldest_and_never_what_was_loaded() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let Value::Bulk(loaded) = client.call(&["SCRIPT", "LOAD", "return 'loaded'"]) else { panic!("no digest") };
    assert_eq!(asks_for_script(&mut client, "return 'first'"), "\"first\"");
    let Value::Bulk(first) = client.call(&["EVAL", "return redis.sha1hex(\"return 'first'\")", "0"]) else {
        panic!("no digest")
    };
    let exists = |client: &mut Client| client.call(&[&b"SCRIPT"[..], b"EXISTS", &loaded, &first]).to_string();
    assert_eq!(exists(&mut client), "1) (integer) 1\n2) (integer) 1");
    for number in 0..5000 {
        client.call(&["EVAL", &format!("return {number}"), "0"]);
    }
    assert_eq!(exists(&mut client), "1) (integer) 1\n2) (integer) 0");
    let info = client.ask("INFO memory");
    assert!(info.contains("number_of_cached_scripts:4096"), "{info}");
    assert_eq!(
        client.call(&[&b"EVALSHA"[..], &first, b"0"]).to_string(),
        "(error) NOSCRIPT No matching script. Please use EVAL."
    );
    assert_eq!(client.call(&[&b"EVALSHA"[..], &loaded, b"0"]).to_string(), "\"loaded\"");
}
