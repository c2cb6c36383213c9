//! Faults at every boundary, by failpoints, in the real server, on RocksDB if the build has it: each stays where it happens, and every client is
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

/// R6.3: the engine is about to slow writes. They are held to a pace before it does, all of them are answered, and nobody
/// else waits; with the pressure goes the pace.
#[test]
fn writes_are_held_to_a_pace_while_the_engine_is_near_its_own_slowdown_and_nobody_else_is() {
    let server = start(&[]);
    let (mut writer, mut client) = (server.client(), server.client());
    writer.check(&[("SET hot 1", "OK")]);
    assert_eq!((info(&mut client, "write_pace"), info(&mut client, "write_paced_ms")), ("0".into(), "0".into()));
    arm(&server, "engine.statistics", "return(write-stall)");
    eventually("there is a pace", || info(&mut client, "write_pace") != "0");
    let value = "x".repeat(100_000);
    for number in 0..80 {
        writer.send(&["SET", &format!("k:{number}"), &value]);
    }
    client.check(&[("PING", "PONG"), ("GET hot", "\"1\""), ("MGET hot x", "1) \"1\"\n2) (nil)")]);
    for _ in 0..80 {
        assert_eq!(writer.read().to_string(), "OK");
    }
    // Eight megabytes at sixteen a second, but for the last pause, which nobody waits for.
    let paced_ms: u64 = info(&mut client, "write_paced_ms").parse().expect("a number");
    assert!((300..=1000).contains(&paced_ms), "{paced_ms} ms");
    arm(&server, "engine.statistics", "off");
    eventually("the pace goes", || info(&mut client, "write_pace") == "0");
    let before = info(&mut client, "write_paced_ms");
    writer.check(&[("SET k:0 1", "OK"), ("DBSIZE", "(integer) 81")]);
    assert_eq!(info(&mut client, "write_paced_ms"), before);
    assert_eq!(info(&mut client, "requests_timed_out"), "0");
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
#[cfg(feature = "rocks")]
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

// ---- Degradation ---------------------------------------------------------------------------------------------------

/// R3.2, R6.1: the channel is full, in number. Whoever needs no storage is served, and so is who only reads; those who wait
/// are served in the end.
#[test]
fn with_a_channel_full_of_writes_administration_and_reads_are_served() {
    let server =
        start(&[&["--channel-capacity", "16", "--batch-size", "16", "--request-timeout", "60000"], &NEVER_OPEN]);
    let mut writers: Vec<Client> = (0..64).map(|_| server.client()).collect();
    writers[0].check(&[("SET hot 1", "OK")]);
    arm(&server, "engine.write", "return(write-stall)");
    for (index, writer) in writers.iter_mut().enumerate() {
        writer.send(&["INCR", &format!("n:{index}")]);
    }
    let mut client = server.client();
    eventually("the channel is full", || info(&mut client, "channel_waiting_clients") != "0");
    for command in ["INFO everything", "CONFIG GET maxclients", "CLIENT LIST", "COMMAND COUNT", "LATENCY LATEST"] {
        let reply = client.ask(command);
        assert!(!reply.starts_with("(error)"), "{command}: {reply}");
    }
    client.check(&[("PING", "PONG"), ("CONFIG SET slowlog-max-len 100", "OK"), ("GET hot", "\"1\"")]);
    client.check(&[("MGET hot x", "1) \"1\"\n2) (nil)"), ("DBSIZE", "(integer) 1"), ("KEYS h*", "1) \"hot\"")]);
    assert!(answers(&server), "and so is who comes");
    arm(&server, "engine.write", "off");
    for writer in &mut writers {
        assert_eq!(writer.read().to_string(), "(integer) 1");
    }
}

/// R3.2, R6.1: it is full in bytes. Reads have a part of it that writes cannot take.
#[test]
fn writes_that_fill_the_channels_bytes_leave_reads_their_part() {
    let server = start(&[&["--channel-max-bytes", "1mb", "--request-timeout", "60000"], &NEVER_OPEN]);
    let mut writers: Vec<Client> = (0..8).map(|_| server.client()).collect();
    writers[0].check(&[("SET hot 1", "OK")]);
    arm(&server, "engine.write", "return(write-stall)");
    let value = "x".repeat(400_000);
    for (index, writer) in writers.iter_mut().enumerate() {
        writer.send(&["SET", &format!("large:{index}"), &value]);
    }
    let mut client = server.client();
    eventually("the channel is full", || info(&mut client, "channel_waiting_clients") != "0");
    client.check(&[("MGET hot x", "1) \"1\"\n2) (nil)"), ("KEYS h*", "1) \"hot\"")]);
    arm(&server, "engine.write", "off");
    for writer in &mut writers {
        assert_eq!(writer.read().to_string(), "OK");
    }
}

/// R3.2: one client asks for far more than the channel holds. It is served as fast as it goes, and nobody else is refused.
#[test]
fn a_client_with_a_huge_pipeline_gets_nobody_else_refused() {
    const HUGE: usize = 20_000;
    let server = start(&[&["--channel-max-bytes", "1mb", "--channel-capacity", "16", "--batch-size", "16"]]);
    let mut greedy = server.client();
    let port = server.port;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let value = "x".repeat(1000);
            for number in 0..HUGE {
                greedy.send(&["SET", &format!("greedy:{}", number % 100), &value]);
            }
            for _ in 0..HUGE {
                assert_eq!(greedy.read().to_string(), "OK");
            }
        });
        for index in 0..32 {
            scope.spawn(move || {
                let mut modest = Client::connect(port);
                for round in 1..=20 {
                    modest.check(&[(&format!("INCR modest:{index}"), &format!("(integer) {round}"))]);
                }
            });
        }
    });
    let mut client = server.client();
    assert_eq!(info(&mut client, "requests_refused"), "0");
    assert_eq!(info(&mut client, "requests_timed_out"), "0");
}

// ---- A disk that is nearly full -------------------------------------------------------------------------------------

/// R6.1, R6.2: less is free than the reserve. What takes room is refused and says why, deletes and reads go on, and all
/// comes back by itself.
#[test]
fn below_the_disks_reserve_deletes_go_on_and_what_takes_room_is_refused() {
    let server = start(&[]);
    let mut client = server.client();
    client.check(&[("MSET a 1 b 2 c 3", "OK"), ("RPUSH l x y", "(integer) 2"), ("SET n 1", "OK")]);
    assert_eq!(info(&mut client, "disk_reserve_breached"), "0");
    // More than any disk has.
    client.check(&[("CONFIG SET disk-reserve 1000000gb", "OK")]);
    eventually("it notices", || info(&mut client, "disk_reserve_breached") == "1");
    for command in ["SET a 2", "INCR n", "RPUSH l z", "APPEND a x", "MSET d 1", "COPY a d", "SETRANGE a 9 x"] {
        fails(&mut client, command, "NOSPACE");
    }
    client.check(&[("DEL a", "(integer) 1"), ("UNLINK b", "(integer) 1"), ("EXPIRE c 100", "(integer) 1")]);
    client.check(&[
        ("LPOP l", "\"x\""),
        ("GET n", "\"1\""),
        ("RENAME c d", "OK"),
        ("FLUSHDB", "OK"),
        ("DBSIZE", "(integer) 0"),
    ]);
    // A transaction is taken or refused as a whole, and one that only deletes is taken.
    client.check(&[("MULTI", "OK"), ("DEL x", "QUEUED"), ("EXEC", "1) (integer) 0"), ("MULTI", "OK")]);
    fails(&mut client, "SET x 1", "NOSPACE");
    fails(&mut client, "EXEC", "EXECABORT");
    assert_eq!(info(&mut client, "refused_for_room"), "8");
    assert_eq!(info(&mut client, "failures_storage_space_error"), "1");
    assert_eq!(info(&mut client, "ready"), "1", "a full disk is no reason to send clients elsewhere");
    client.check(&[("CONFIG SET disk-reserve 0", "OK")]);
    eventually("it notices that too", || client.ask("SET a 1") == "OK");
    assert_eq!(info(&mut client, "disk_reserve_breached"), "0");
}

// ---- The watchdog --------------------------------------------------------------------------------------------------

const WATCHDOG: [&str; 2] = ["--watchdog-timeout", "200"];

/// R1.4, R6.4: a reader hangs. Another takes its place, and goes on with what it had taken and not begun.
#[test]
fn a_reader_that_hangs_is_replaced_and_its_requests_are_answered() {
    let server = start(&[&WATCHDOG]);
    let mut client = server.client();
    client.check(&[("MSET a 1 b 2", "OK")]);
    arm(&server, "reader.receive", "1*return(stall:600000)");
    client.check(&[("MGET a b", "1) \"1\"\n2) \"2\"")]);
    assert_eq!(info(&mut client, "storage_thread_replacements"), "1");
    assert_eq!(info(&mut client, "storage_threads_hung"), "1");
    client.check(&[("MGET b a", "1) \"2\"\n2) \"1\""), ("SET c 3", "OK"), ("KEYS c", "1) \"c\"")]);
}

/// R6.4: substitutes are bounded in number, and those that were replaced go when they come back.
#[test]
fn readers_that_hang_one_after_the_other_are_replaced_up_to_a_bound() {
    let server = start(&[&WATCHDOG]);
    let mut client = server.client();
    client.check(&[("MSET a 1 b 2", "OK")]);
    arm(&server, "reader.receive", "return(stall:5000)");
    client.send(&["MGET", "a", "b"]);
    let mut other = server.client();
    eventually("the last one is not replaced", || info(&mut other, "storage_threads_hung") == "5");
    assert_eq!(info(&mut other, "storage_thread_replacements"), "4");
    arm(&server, "reader.receive", "off");
    other.check(&[("PING", "PONG"), ("SET c 3", "OK")]);
    assert_eq!(client.read().to_string(), "1) \"1\"\n2) \"2\"");
    eventually("they come back", || info(&mut other, "storage_threads_hung") == "0");
    other.check(&[("MGET a b", "1) \"1\"\n2) \"2\"")]);
    eventually("all places are taken", || info(&mut other, "ready") == "1");
}

/// What the log says of a writer that is not replaced.
const NOT_REPLACED: &str = "the writer does not come back: writes are refused";

/// Waits until a writer that was replaced has come back and gone.
fn comes_back(server: &Server) {
    eventually("the old writer comes back and goes", || {
        let is_gone = server.log().contains("a storage thread that was replaced has come back, and ended");
        is_gone && info(&mut server.client(), "storage_threads_hung") == "0"
    });
}

/// R6.4, R6.5: the writer hangs before its commit, wherever that is: having taken requests, within a command that reads a
/// disk which does not answer, or having run the group. Another takes its place and the client gets its answer; and what the
/// old one does when it comes back changes nothing: a counter that is incremented twice would show it.
#[test]
fn a_writer_that_hangs_before_its_commit_is_replaced_and_its_write_is_applied_once() {
    for (point, action) in [
        ("writer.receive", "1*return(stall:4000)"),
        ("engine.get", "1*sleep(4000)"),
        ("writer.before-commit", "1*return(stall:4000)"),
    ] {
        let server = start(&[&WATCHDOG, &["--record-cache-size", "0"]]);
        let (mut first, mut client) = (server.client(), server.client());
        client.check(&[("MSET hot 1 other 5", "OK")]);
        arm(&server, point, action);
        first.check(&[("INCR n", "(integer) 1")]);
        assert_eq!(info(&mut client, "storage_thread_replacements"), "1", "{point}");
        assert_eq!(
            info(&mut client, "storage_threads_hung"),
            "1",
            "{point}: the answer came before the old writer did"
        );
        assert_eq!(info(&mut client, "failures_storage_hang_error"), "1");
        assert_eq!(info(&mut client, "breaker_state"), "closed");
        client.check(&[("INCR other", "(integer) 6"), ("MGET hot n", "1) \"1\"\n2) \"1\""), ("DBSIZE", "(integer) 3")]);
        comes_back(&server);
        client.check(&[("GET n", "\"1\""), ("INCR n", "(integer) 2"), ("GET other", "\"6\"")]);
        assert_eq!(info(&mut client, "ready"), "1");
    }
}

/// R6.4: what the writer had taken and not begun is not lost with it, and need not be sent again.
#[test]
fn what_a_hung_writer_had_taken_and_not_begun_goes_to_its_substitute() {
    let server = start(&[&WATCHDOG]);
    let mut clients: Vec<Client> = (0..32).map(|_| server.client()).collect();
    clients[0].check(&[("SET n 0", "OK")]);
    arm(&server, "writer.receive", "1*return(stall:4000)");
    for client in &mut clients {
        client.send(&["INCR", "n"]);
    }
    let mut replies: Vec<String> = clients.iter_mut().map(|client| client.read().to_string()).collect();
    replies.sort_by_key(|reply| reply.trim_start_matches("(integer) ").parse::<u32>().expect("a number"));
    let expected: Vec<String> = (1..=32).map(|number| format!("(integer) {number}")).collect();
    assert_eq!(replies, expected);
    assert_eq!(info(&mut clients[0], "requests_retried"), "0");
    comes_back(&server);
    clients[0].check(&[("GET n", "\"32\"")]);
}

/// R6.4: the writer hangs with a client in hand that waited for a key. Both it and who pushed are served, once.
#[test]
fn a_client_that_a_hung_writer_was_serving_gets_its_element_from_the_substitute() {
    let server = start(&[&WATCHDOG]);
    let (mut waiting, mut pushing) = (server.client(), server.client());
    waiting.send(&["BLPOP", "l", "0"]);
    eventually("it waits", || info(&mut pushing, "blocked_clients") == "1");
    arm(&server, "writer.before-commit", "1*return(stall:4000)");
    pushing.check(&[("RPUSH l x", "(integer) 1")]);
    assert_eq!(waiting.read().to_string(), "1) \"l\"\n2) \"x\"");
    assert_eq!(info(&mut pushing, "storage_thread_replacements"), "1");
    pushing.check(&[("LLEN l", "(integer) 0"), ("RPUSH l y", "(integer) 1")]);
    comes_back(&server);
    pushing.check(&[("LRANGE l 0 -1", "1) \"y\"")]);
    assert_eq!(info(&mut pushing, "blocked_clients"), "0");
}

/// R6.4: it hangs in what it does by itself, with nobody waiting for it. The substitute does that work.
#[test]
fn a_writer_that_hangs_in_its_housekeeping_is_replaced_and_the_work_is_done() {
    let server = start(&[&WATCHDOG]);
    let mut client = server.client();
    client.check(&[("SET k 1 PX 200", "OK"), ("SET kept 1", "OK")]);
    arm(&server, "engine.scan", "1*sleep(4000)");
    eventually("it is replaced", || info(&mut client, "storage_thread_replacements") == "1");
    eventually("what is due is removed", || client.ask("DBSIZE") == "(integer) 1");
    client.check(&[("SET k 2", "OK")]);
    comes_back(&server);
    client.check(&[("GET k", "\"2\""), ("DBSIZE", "(integer) 2")]);
    for task in ["Expire", "Reclaim"] {
        client.check(&[(&format!("BGTASK RUN {task}"), "OK")]);
    }
}

/// R6.4, R6.5: the writer hangs within its commit. It is not replaced, for what it holds may reach the disk or be there; it is
/// told, writes are refused at once, reads go on, and it goes on by itself.
#[test]
fn a_writer_that_hangs_within_its_commit_is_reported_and_writes_are_refused_at_once() {
    let server = start(&[&WATCHDOG, &["--breaker-pause", "2000", "--request-timeout", "60000"]]);
    for (round, (point, action)) in
        [("engine.write", "1*sleep(4000)"), ("writer.after-commit", "1*return(stall:4000)")].into_iter().enumerate()
    {
        let (mut first, mut client) = (server.client(), server.client());
        client.check(&[("SET hot 1", "OK")]);
        arm(&server, point, action);
        first.send(&["INCR", "n"]);
        eventually("it is told", || server.log().matches(NOT_REPLACED).count() == round + 1);
        fails(&mut client, "SET k 1", "TRYAGAIN");
        client.check(&[("GET hot", "\"1\""), ("MGET hot x", "1) \"1\"\n2) (nil)")]);
        assert_eq!(info(&mut client, "storage_threads_hung"), "1");
        assert_eq!(first.read().to_string(), format!("(integer) {}", round + 1));
        eventually("writes go on", || client.ask("SET k 2") == "OK");
        eventually("it is well", || info(&mut client, "storage_threads_hung") == "0");
        assert_eq!(info(&mut client, "storage_thread_replacements"), "0");
        client.check(&[("GET n", &format!("\"{}\"", round + 1))]);
    }
    assert_eq!(info(&mut server.client(), "failures_storage_hang_critical"), "2");
}

/// R6.3, R6.4: it hangs there until the deadline: who had started is in doubt, who waited was not executed, and both is true.
#[test]
fn while_a_writer_hangs_within_its_commit_each_client_is_told_the_truth_at_its_deadline() {
    let server = start(&[&WATCHDOG, &TIMEOUT, &NEVER_OPEN]);
    let (mut first, mut second) = (server.client(), server.client());
    arm(&server, "engine.write", "1*sleep(5000)");
    first.send(&["INCR", "started"]);
    eventually("the writer is busy", || info(&mut server.client(), "writer_busy_for_ms") != "0");
    second.send(&["INCR", "waiting"]);
    let (first_reply, second_reply) = (first.read().to_string(), second.read().to_string());
    assert!(first_reply.starts_with("(error) INDOUBT "), "{first_reply}");
    assert!(second_reply.starts_with("(error) TRYAGAIN "), "{second_reply}");
    eventually("the writer is back", || second.ask("SET other 1") == "OK");
    second.check(&[("GET started", "\"1\""), ("EXISTS waiting", "(integer) 0")]);
    assert_eq!(info(&mut second, "storage_thread_replacements"), "0");
}

/// R6.4: writers that hang one after the other are replaced up to a bound; the next one is only reported. The request that
/// all of them had in hand is applied once.
#[test]
fn writers_that_hang_one_after_the_other_are_replaced_up_to_a_bound() {
    let server = start(&[&WATCHDOG, &["--request-timeout", "60000"]]);
    let (mut client, mut other) = (server.client(), server.client());
    client.check(&[("SET hot 1", "OK")]);
    arm(&server, "writer.before-commit", "return(stall:5000)");
    client.send(&["INCR", "n"]);
    eventually("the last one is not replaced", || info(&mut other, "storage_threads_hung") == "5");
    eventually("that is told", || server.log().contains(NOT_REPLACED));
    assert_eq!(info(&mut other, "storage_thread_replacements"), "4");
    fails(&mut other, "SET k 1", "TRYAGAIN");
    other.check(&[("PING", "PONG"), ("GET hot", "\"1\"")]);
    arm(&server, "writer.before-commit", "off");
    assert_eq!(client.read().to_string(), "(integer) 1");
    eventually("all come back", || info(&mut other, "storage_threads_hung") == "0");
    eventually("writes go on", || other.ask("SET k 1") == "OK");
    other.check(&[("GET n", "\"1\""), ("EXISTS k hot n", "(integer) 3")]);
    eventually("it is well", || info(&mut other, "ready") == "1");
}

/// R6.4: storage starts anew while its writer hangs, and nobody watches. Its stop waits for so long and no longer; the next
/// writer takes over, with what the old one held, which has no effect when it comes back.
#[test]
fn a_restart_of_storage_does_not_wait_for_a_hung_writer_for_ever() {
    let server = start(&[&["--watchdog-timeout", "0", "--request-timeout", "120000"]]);
    let (mut first, mut client) = (server.client(), server.client());
    client.check(&[("SET hot 1", "OK")]);
    arm(&server, "writer.before-commit", "1*return(stall:45000)");
    first.send(&["INCR", "n"]);
    eventually("the writer is busy", || info(&mut client, "writer_busy_for_ms") != "0");
    let starts = info(&mut client, "storage_starts");
    client.check(&[("DEBUG RESTART-STORAGE", "OK")]);
    eventually("it goes on without it", || {
        server.log().contains("storage is stopped without waiting for it any longer")
    });
    assert_eq!(first.read().to_string(), "(integer) 1");
    client.check(&[("SET k 1", "OK"), ("GET hot", "\"1\"")]);
    assert_ne!(info(&mut client, "storage_starts"), starts);
    // There is nothing to see of it when it comes back: its time has passed once the stall has.
    wait_until(Instant::now() + Duration::from_secs(16));
    client.check(&[("GET n", "\"1\""), ("INCR n", "(integer) 2")]);
}

/// R6.4: the same while the writer hangs within its commit. The next one does not begin before it has left the engine, and
/// what it wrote is counted once.
#[test]
fn a_writer_within_its_commit_is_awaited_by_the_one_that_a_restart_brings() {
    let server = start(&[&["--watchdog-timeout", "0", "--request-timeout", "120000"]]);
    let (mut first, mut second, mut client) = (server.client(), server.client(), server.client());
    client.check(&[("SET hot 1", "OK")]);
    arm(&server, "engine.write", "1*sleep(40000)");
    first.send(&["INCR", "n"]);
    eventually("the writer is busy", || info(&mut client, "writer_busy_for_ms") != "0");
    client.check(&[("DEBUG RESTART-STORAGE", "OK")]);
    eventually("it goes on without it", || {
        server.log().contains("storage is stopped without waiting for it any longer")
    });
    second.send(&["INCR", "n"]);
    eventually("reads go on", || client.ask("MGET hot n") == "1) \"1\"\n2) (nil)");
    assert_eq!(first.read().to_string(), "(integer) 1");
    assert_eq!(second.read().to_string(), "(integer) 2");
    client.check(&[("GET n", "\"2\"")]);
}

/// R6.4: restarts are bounded. A thread that dies again and again ends the server, with a clear message.
#[test]
fn a_writer_that_dies_again_and_again_ends_the_server_with_the_reason() {
    let mut server = start(&[&NEVER_OPEN]);
    arm(&server, "writer.receive", "return(panic)");
    eventually("the server ends", || {
        let _ = Client::try_connect(server.port).and_then(|mut client| {
            client.try_send(&["INCR", "n"])?;
            client.try_read()
        });
        !server.is_running()
    });
    assert!(!server.wait().success());
    let log = server.log();
    assert!(log.contains("the storage thread sto-writer failed 10 times in a row"), "{log}");
}

/// R1.3, R6.4: the whole storage runtime ends under its threads. Another is built over the same engine; clients stay
/// connected, those that wait go on waiting, and each write is applied once.
#[test]
fn a_storage_runtime_that_ends_is_built_anew_and_clients_stay() {
    let server = start(&[]);
    let mut clients: Vec<Client> = (0..8).map(|_| server.client()).collect();
    let (mut waiting, mut client) = (server.client(), server.client());
    client.check(&[("SET hot 1", "OK")]);
    waiting.send(&["BLPOP", "l", "0"]);
    eventually("it waits", || info(&mut client, "blocked_clients") == "1");
    for round in 1..=3 {
        let starts = info(&mut client, "storage_starts");
        arm(&server, "storage.runtime", "1*return(drop)");
        for turn in 0..20 {
            for client in &mut clients {
                client.send(&["INCR", "n"]);
            }
            for client in &mut clients {
                assert!(client.read().to_string().starts_with("(integer) "), "round {round}, turn {turn}");
            }
        }
        eventually("it starts anew", || info(&mut client, "storage_starts") != starts);
        client.check(&[("GET hot", "\"1\""), ("GET n", &format!("\"{}\"", round * 20 * 8))]);
        client.check(&[("MGET hot x", "1) \"1\"\n2) (nil)"), ("KEYS h*", "1) \"hot\"")]);
        eventually("it is well", || info(&mut client, "ready") == "1");
    }
    client.check(&[("RPUSH l x", "(integer) 1"), ("LLEN l", "(integer) 0")]);
    assert_eq!(waiting.read().to_string(), "1) \"l\"\n2) \"x\"");
    assert_eq!(server.log().matches("the storage runtime was built anew").count(), 3);
}

// ---- The error log -------------------------------------------------------------------------------------------------

/// R6.5: both sides report the same request under the same id, each in its own stream, and each failure is counted.
#[test]
fn a_failed_write_is_reported_by_both_sides_under_one_id() {
    let server = start(&[&NEVER_OPEN]);
    let mut client = server.client();
    arm(&server, "engine.write", "1*return(no-space)");
    fails(&mut client, "SET k 1", "NOSPACE");
    let line = |side: &str, category: &str| {
        let log = server.log();
        let is_it =
            |line: &&str| line.contains(&format!("category={category} ")) && line.contains(&format!("room={side}"));
        log.lines().find(is_it).map(str::to_string)
    };
    eventually("both have told", || line("storage", "space").and(line("network", "request")).is_some());
    let field = |line: &str, name: &str| {
        line.split(' ').find_map(|word| word.strip_prefix(&format!("{name}="))).map(str::to_string).expect("a field")
    };
    let [storage, network] =
        [("storage", "space"), ("network", "request")].map(|(side, kind)| line(side, kind).unwrap());
    for name in ["request", "client"] {
        assert_eq!(field(&storage, name), field(&network, name), "{storage}\n{network}");
    }
    assert_eq!(field(&storage, "request").len(), 36, "a UUID");
    assert_eq!(info(&mut client, "failures_storage_space_error"), "1");
    assert_eq!(info(&mut client, "failures_network_request_error"), "1");
}

/// R6.5: a flood of failures is counted to the last one, and does not fill the log.
#[test]
fn a_flood_of_failures_is_counted_and_not_all_logged() {
    let server = start(&[&NEVER_OPEN]);
    let mut client = server.client();
    arm(&server, "engine.write", "200*return(no-space)");
    for _ in 0..200 {
        fails(&mut client, "SET k 1", "NOSPACE");
    }
    client.check(&[("SET k 1", "OK")]);
    assert_eq!(info(&mut client, "failures_storage_space_error"), "200");
    eventually("what was left out is told", || server.log().contains("not_logged="));
    let lines = server.log().lines().filter(|line| line.contains("a write was not committed")).count();
    let not_logged: u64 = info(&mut client, "failures_not_logged_space").parse().expect("a number");
    assert_eq!(lines as u64 + not_logged, 200);
    assert!(lines < 100, "{lines} lines");
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
    eventually("it is told", || server.log().contains("a connection panicked and was closed"));
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

/// A task that all connections need comes back when it panics: deadlines are met afterwards as before.
#[test]
fn a_sweeper_that_panics_is_started_again_and_deadlines_are_met() {
    let server = start(&[&TIMEOUT, &NEVER_OPEN]);
    let mut client = server.client();
    client.check(&[("SET k 1", "OK")]);
    arm(&server, "network.sweep", "2*return(panic)");
    let what = "a task of the network server panicked and is started again";
    eventually("it is told", || server.log().matches(what).count() == 2);
    arm(&server, "engine.write", "return(write-stall)");
    fails(&mut client, "SET k 2", "TRYAGAIN");
    arm(&server, "engine.write", "off");
    eventually("writes go on", || client.ask("SET k 3") == "OK");
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
