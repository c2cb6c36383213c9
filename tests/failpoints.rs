//! Faults at every boundary, by failpoints, in the real server on RocksDB: each stays where it happens, and every client is
//! told the truth about its write. Each test names the requirement that it proves.
//!
//! Time is waited for, never measured: a machine under load must not fail a test.

mod support;

use std::time::{Duration, Instant};

use support::{Client, Server, eventually, wait_until};

/// Short, so that what must run into its deadline does so soon; long enough for a busy machine to answer the rest.
const TIMEOUT: [&str; 2] = ["--request-timeout", "1500"];
const NEVER_OPEN: [&str; 2] = ["--breaker-failures", "0"];

fn start(flags: &[&[&str]]) -> Server {
    Server::start(&flags.concat())
}

/// The client that arms: what it needs of the server passes no failpoint of storage's.
fn arm(server: &Server, name: &str, action: &str) {
    assert_eq!(server.client().call(&["DEBUG", "FAILPOINT", name, action]).to_string(), "OK", "{name} {action}");
}

#[track_caller]
fn fails(client: &mut Client, command: &str, code: &str) {
    let reply = client.ask(command);
    assert!(reply.starts_with(&format!("(error) {code} ")), "{command}: {reply}");
}

/// Whether a new client is served.
fn answers(server: &Server) -> bool {
    let answered = Client::try_connect(server.port).and_then(|mut client| {
        client.try_send(&["PING"])?;
        client.try_read()
    });
    answered.is_ok()
}

/// A field of INFO.
fn info(client: &mut Client, field: &str) -> String {
    let text = client.call(&["INFO", "everything"]).to_string();
    let from = text.split(&format!("{field}:")).nth(1).unwrap_or_else(|| panic!("INFO has no {field}"));
    from.split("\\r\\n").next().unwrap_or_default().trim_end().to_string()
}

// ---- The channel ---------------------------------------------------------------------------------------------------

/// R3.4
#[test]
fn a_request_that_cannot_be_sent_gets_an_error_at_once_and_the_connection_lives_on() {
    let server = start(&[]);
    let mut client = server.client();
    arm(&server, "channel.send", "1*return(drop)");
    fails(&mut client, "SET k 1", "TRYAGAIN");
    client.check(&[("PING", "PONG"), ("EXISTS k", "(integer) 0"), ("SET k 2", "OK"), ("GET k", "\"2\"")]);
}

/// R3.6, R6.4
#[test]
fn requests_lost_before_they_start_are_sent_again_and_run_once() {
    let server = start(&[]);
    let mut client = server.client();
    for (round, point) in ["channel.drop", "writer.receive", "channel.drop"].into_iter().enumerate() {
        arm(&server, point, "2*return(drop)");
        client.check(&[("INCR n", &format!("(integer) {}", round + 1))]);
    }
    arm(&server, "reader.receive", "2*return(drop)");
    // Two keys: one record could be answered without a reader.
    client.check(&[("MGET n nothing", "1) \"3\"\n2) (nil)")]);
}

/// R6.3: a request that is lost again and again ends at its deadline, with the truth.
#[test]
fn a_request_that_never_arrives_is_refused_at_its_deadline() {
    let server = start(&[&TIMEOUT]);
    let mut client = server.client();
    arm(&server, "channel.drop", "return(drop)");
    fails(&mut client, "INCR n", "TRYAGAIN");
    arm(&server, "channel.drop", "off");
    eventually("the breaker closes", || server.client().ask("INCR n") == "(integer) 1");
}

// ---- The writer ----------------------------------------------------------------------------------------------------

/// R6.4: the writer dies before the engine has the group: nothing happened, the request runs again.
#[test]
fn a_writer_that_dies_before_its_commit_loses_nothing_and_applies_nothing_twice() {
    let server = start(&[]);
    let mut client = server.client();
    for (round, point) in ["writer.receive", "writer.before-commit"].into_iter().enumerate() {
        arm(&server, point, "1*return(panic)");
        client.check(&[("INCR n", &format!("(integer) {}", round + 1))]);
    }
    eventually("it is in the log", || server.log().contains("panicked"));
}

/// R6.4: it dies after that: the answer is known, and is given.
#[test]
fn a_writer_that_dies_after_its_commit_still_answers_and_applies_nothing_twice() {
    let server = start(&[]);
    let mut client = server.client();
    arm(&server, "writer.after-commit", "1*return(panic)");
    client.check(&[("INCR n", "(integer) 1")]);
    arm(&server, "writer.reply", "1*return(panic)");
    client.check(&[("INCR n", "(integer) 2")]);
    arm(&server, "writer.reply", "1*return(drop)");
    client.check(&[("INCR n", "(integer) 3"), ("GET n", "\"3\"")]);
    assert_eq!(server.client().ask("GET n"), "\"3\"");
}

/// R6.4: what a command changes beside keys (which database is which, how many keys there are) is not lost with the writer.
#[test]
fn a_writer_that_dies_around_its_commit_leaves_databases_and_counters_true() {
    for (point, reply) in [("writer.after-commit", "OK"), ("engine.written", "(error) INDOUBT ")] {
        let server = start(&[&NEVER_OPEN]);
        let mut client = server.client();
        client.check(&[("MSET a 1 b 2", "OK"), ("SELECT 1", "OK"), ("SET other 1", "OK"), ("SELECT 0", "OK")]);
        arm(&server, point, "1*return(panic)");
        let flushed = client.ask("FLUSHDB");
        assert!(flushed.starts_with(reply), "{flushed}");
        eventually("the writer is back", || server.client().ask("SET c 3") == "OK");
        client.check(&[("DBSIZE", "(integer) 1"), ("EXISTS a b", "(integer) 0"), ("GET c", "\"3\"")]);
        client.check(&[("SELECT 1", "OK"), ("DBSIZE", "(integer) 1")]);
    }
}

/// R6.4: it dies within the engine: nobody knows, and that is what the client is told.
#[test]
fn a_writer_that_dies_within_the_engine_leaves_a_doubt_and_no_second_execution() {
    let server = start(&[]);
    let mut client = server.client();
    arm(&server, "engine.written", "1*return(panic)");
    fails(&mut client, "INCR n", "INDOUBT");
    eventually("the writer is back", || server.client().ask("SET other 1") == "OK");
    client.check(&[("GET n", "\"1\""), ("INCR n", "(integer) 2")]);
}

/// R1.4, R6.3: the disk hangs under a commit. What started may happen; what waited certainly does not.
#[test]
fn while_a_commit_hangs_the_started_write_is_in_doubt_and_the_waiting_one_is_not_executed() {
    let server = start(&[&TIMEOUT, &NEVER_OPEN]);
    let (mut first, mut second) = (server.client(), server.client());
    first.check(&[("SET hot 1", "OK")]);
    arm(&server, "writer.before-commit", "1*return(stall:5000)");
    first.send(&["INCR", "started"]);
    // The writer takes what there is: so the second one comes only once the first has begun.
    eventually("the writer is busy", || info(&mut server.client(), "writer_busy_for_ms") != "0");
    second.send(&["INCR", "waiting"]);
    // Meanwhile everyone else is served.
    server.client().check(&[("PING", "PONG"), ("GET hot", "\"1\""), ("MGET hot started", "1) \"1\"\n2) (nil)")]);
    let (first_reply, second_reply) = (first.read().to_string(), second.read().to_string());
    assert!(first_reply.starts_with("(error) INDOUBT "), "{first_reply}");
    assert!(second_reply.starts_with("(error) TRYAGAIN "), "{second_reply}");
    eventually("the stall is over", || server.client().ask("SET other 1") == "OK");
    server.client().check(&[("GET started", "\"1\""), ("EXISTS waiting", "(integer) 0")]);
}

// ---- The engine ----------------------------------------------------------------------------------------------------

/// R1.1, R6.1, R6.3: while the engine has stopped writes, they wait, are refused at their deadline and leave no trace;
/// everything else is served; and afterwards writes go on without a restart.
#[test]
fn a_write_stop_holds_writes_only_and_leaves_no_doubt() {
    let server = start(&[&TIMEOUT, &NEVER_OPEN]);
    let mut writers: Vec<Client> = (0..8).map(|_| server.client()).collect();
    writers[0].check(&[("SET hot 1", "OK")]);
    arm(&server, "engine.write", "return(write-stall)");
    for (index, writer) in writers.iter_mut().enumerate() {
        writer.send(&["INCR", &format!("n:{index}")]);
    }
    server.client().check(&[("PING", "PONG"), ("GET hot", "\"1\""), ("MGET hot x", "1) \"1\"\n2) (nil)")]);
    for writer in &mut writers {
        let reply = writer.read().to_string();
        assert!(reply.starts_with("(error) TRYAGAIN "), "{reply}");
    }
    for (index, writer) in writers.iter_mut().enumerate() {
        writer.send(&["INCR", &format!("late:{index}")]);
    }
    arm(&server, "engine.write", "off");
    for (index, writer) in writers.iter_mut().enumerate() {
        assert_eq!(writer.read().to_string(), "(integer) 1", "what waited in time runs");
        writer.check(&[(&format!("EXISTS n:{index}"), "(integer) 0")]);
    }
}

/// R6.2: the disk is full. Writes are refused, reads go on, and writes come back by themselves.
#[test]
fn a_full_disk_refuses_writes_clearly_and_heals() {
    let server = start(&[]);
    let mut client = server.client();
    client.check(&[("SET k 1", "OK")]);
    arm(&server, "engine.write", "return(no-space)");
    fails(&mut client, "SET k 2", "NOSPACE");
    client.check(&[("GET k", "\"1\""), ("PING", "PONG")]);
    fails(&mut client, "DEL k", "NOSPACE");
    arm(&server, "engine.write", "off");
    eventually("it takes writes again", || client.ask("SET k 3") == "OK");
    client.check(&[("GET k", "\"3\"")]);
}

/// R6.4: the engine has failed for good: it is opened anew under its clients, and nothing acknowledged is missing.
#[test]
fn an_engine_that_failed_is_opened_anew() {
    let server = start(&[]);
    let mut client = server.client();
    client.check(&[("SET kept 1", "OK")]);
    arm(&server, "engine.write", "1*return(io)");
    fails(&mut client, "SET refused 1", "IOERR");
    eventually("it was opened anew", || server.log().contains("the engine was opened anew"));
    client.check(&[("GET kept", "\"1\""), ("EXISTS refused", "(integer) 0")]);
    eventually("and is healthy before anyone writes", || info(&mut client, "ready") == "1");
    client.check(&[("SET after 1", "OK")]);
}

/// R6.2: a damaged record is an error for who asked for it.
#[test]
fn damage_found_by_a_read_is_told_to_its_client_alone() {
    let server = start(&[&["--record-cache-size", "0"]]);
    let mut client = server.client();
    client.check(&[("SET k 1", "OK")]);
    arm(&server, "engine.get", "1*return(corrupt)");
    fails(&mut client, "GET k", "CORRUPT");
    client.check(&[("GET k", "\"1\""), ("SET other 1", "OK")]);
    arm(&server, "engine.scan", "1*return(io)");
    fails(&mut client, "KEYS *", "IOERR");
    client.check(&[("KEYS k", "1) \"k\"")]);
}

/// A failed fsync is never retried and called success.
#[test]
fn a_failed_fsync_makes_storage_read_only_loudly() {
    let server = start(&[&["--appendfsync", "always"], &NEVER_OPEN]);
    let mut client = server.client();
    client.check(&[("SET k 1", "OK")]);
    arm(&server, "engine.write", "1*return(sync)");
    fails(&mut client, "SET k 2", "INDOUBT");
    fails(&mut client, "SET k 3", "READONLY");
    client.check(&[("PING", "PONG"), ("EXISTS k", "(integer) 1")]);
    eventually("it is in the log", || server.log().contains("fsync failed"));
}

/// Nor is it forgotten when the storage side starts anew: an engine that is opened anew would hide the loss.
#[test]
fn a_failed_fsync_outlives_a_restart_of_storage() {
    let server = start(&[&["--appendfsync", "always"], &NEVER_OPEN]);
    let mut client = server.client();
    arm(&server, "engine.write", "1*return(sync)");
    fails(&mut client, "SET k 1", "INDOUBT");
    let starts = info(&mut client, "storage_starts");
    assert_eq!(client.ask("DEBUG RESTART-STORAGE"), "OK");
    eventually("storage started anew", || info(&mut client, "storage_starts") != starts);
    fails(&mut client, "SET k 2", "READONLY");
    // As long as it would take to open the engine anew.
    wait_until(Instant::now() + Duration::from_secs(1));
    fails(&mut client, "SET k 3", "READONLY");
    assert_ne!(info(&mut client, "ready"), "1");
}

// ---- The readers ---------------------------------------------------------------------------------------------------

/// R6.4: a reader that dies is replaced, and its reads run again.
#[test]
fn a_reader_that_dies_is_replaced_and_its_reads_are_answered() {
    let server = start(&[]);
    let mut client = server.client();
    client.check(&[("MSET a 1 b 2", "OK")]);
    arm(&server, "reader.receive", "1*return(panic)");
    client.check(&[("MGET a b", "1) \"1\"\n2) \"2\"")]);
    arm(&server, "reader.patient", "1*return(panic)");
    client.check(&[("KEYS a", "1) \"a\"")]);
}

/// R1.4: a read that hangs holds up neither other reads nor writes.
#[test]
fn a_read_that_hangs_holds_up_nobody_else() {
    let server = start(&[]);
    let mut client = server.client();
    client.check(&[("MSET a 1 b 2", "OK")]);
    arm(&server, "reader.patient", "1*return(stall:3000)");
    let mut slow = server.client();
    slow.send(&["KEYS", "a"]);
    client.check(&[("MGET a b", "1) \"1\"\n2) \"2\""), ("SET c 3", "OK"), ("GET a", "\"1\"")]);
    assert_eq!(slow.read().to_string(), "1) \"a\"");
}

// ---- The network side ----------------------------------------------------------------------------------------------

/// The network runtime survives anything a connection does.
#[test]
fn a_connection_that_panics_takes_nobody_with_it() {
    let server = start(&[]);
    let mut client = server.client();
    client.check(&[("SET k 1", "OK")]);
    let mut victim = server.client();
    victim.check(&[("PING", "PONG")]);
    arm(&server, "network.connection", "1*return(panic)");
    victim.send(&["PING"]);
    assert!(victim.try_read().is_err(), "its connection is gone");
    client.check(&[("GET k", "\"1\"")]);
    arm(&server, "network.accept", "1*return(drop)");
    // The first one is refused by an accept error, the next are served.
    eventually("new clients are served", || answers(&server));
    for point in ["network.read", "network.write"] {
        let mut victim = server.client();
        victim.check(&[("PING", "PONG")]);
        // The client that arms it may be the first to lose its connection, and then hears no answer.
        let mut arming = server.client();
        let _ = arming.try_send(&["DEBUG", "FAILPOINT", point, "3*return(drop)"]).and_then(|()| arming.try_read());
        let lost = (0..4).any(|_| {
            let mut any = server.client();
            any.try_send(&["PING"]).and_then(|()| any.try_read()).is_err()
        });
        assert!(lost || victim.try_send(&["PING"]).and_then(|()| victim.try_read()).is_err(), "{point}");
        eventually("others are served", || answers(&server));
    }
}

// ---- The breaker ---------------------------------------------------------------------------------------------------

/// R6.1: while storage fails, writes are refused at once and with the reason; one client's errors open nothing.
#[test]
fn the_breaker_opens_on_engine_errors_not_on_bad_commands_and_closes_by_itself() {
    let server = start(&[&["--breaker-failures", "3"]]);
    let mut client = server.client();
    client.check(&[("SET k text", "OK")]);
    for _ in 0..10 {
        fails(&mut client, "INCR k", "ERR");
    }
    assert_eq!(info(&mut client, "breaker_state"), "closed");
    arm(&server, "engine.write", "return(no-space)");
    for _ in 0..6 {
        fails(&mut client, "SET k 2", "NOSPACE");
    }
    assert_ne!(info(&mut client, "breaker_state"), "closed");
    client.check(&[("GET k", "\"text\""), ("PING", "PONG")]);
    arm(&server, "engine.write", "off");
    eventually("the breaker closes", || client.ask("SET k 3") == "OK");
    assert_eq!(info(&mut client, "breaker_state"), "closed");
}

/// Every place in the catalogue is one that a test can reach: its name is accepted, another is not.
#[test]
fn only_places_in_the_catalogue_can_be_armed() {
    let server = start(&[]);
    let mut client = server.client();
    let list = client.call(&["DEBUG", "FAILPOINT", "LIST"]).to_string();
    assert!(list.contains("writer.before-commit") && list.contains("engine.write"), "{list}");
    fails(&mut client, "DEBUG FAILPOINT nowhere off", "ERR");
    fails(&mut client, "DEBUG FAILPOINT engine.write return(nonsense)", "ERR");
}
