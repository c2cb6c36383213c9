//! Stop and start: what was stored is there again, a start that cannot succeed says why and leaves nothing running.
//!
//! The real binary on RocksDB and a real directory. What a crash under load does is chaos/'s business; nothing here may
//! depend on when the disk gets around to anything.

// The engine in memory keeps nothing.
#![cfg(feature = "rocks")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;

use bulkhead::engine::rocks::{RocksEngine, RocksOptions};
use bulkhead::engine::thread::mark_engine_thread;
use bulkhead::engine::{ColumnFamily, Engine, WriteBatch, WriteOptions};
use bulkhead::layout::control::{FORMAT_MAJOR, SUPERBLOCK_KEY, Superblock};
use bulkhead::resp::Value;

use support::{Client, Server, StartFailure, eventually, free_port};

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// A start that must fail; nothing may answer on its port afterwards.
#[track_caller]
fn refused(dir: &Path, flags: &[&str]) -> StartFailure {
    let port = free_port();
    match Server::try_start_in(dir, port, flags) {
        Ok(_) => panic!("it serves from {} with {flags:?}", dir.display()),
        Err(failure) => {
            assert_eq!(failure.status.code(), Some(1), "{}", failure.log);
            assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err(), "something still listens");
            assert!(!failure.log.contains("panicked"), "{}", failure.log);
            failure
        }
    }
}

#[track_caller]
fn says(failure: &StartFailure, words: &[&str]) {
    for word in words {
        assert!(failure.log.contains(word), "nothing about {word:?} in: {}", failure.log);
    }
}

// ---- What is kept --------------------------------------------------------------------------------------------------

#[test]
fn stop_and_start_keeps_everything() {
    let dir = directory();
    let server = Server::start_in(dir.path(), &[]);
    let mut client = server.client();
    for db in 0..16 {
        client.check(&[(&format!("SELECT {db}"), "OK"), (&format!("SET number {db}"), "OK")]);
    }
    client.check(&[
        ("SELECT 0", "OK"),
        ("SET binary \"\\x00\\xff\\r\\n\"", "OK"),
        ("SET \"\" empty-key", "OK"),
        ("SET empty-value \"\"", "OK"),
        ("SET lasting 1 EX 100000", "OK"),
        ("SET fleeting 1 PX 20", "OK"),
        ("SET gone 1", "OK"),
        ("DEL gone", "(integer) 1"),
        ("SET moving 1", "OK"),
        ("MOVE moving 3", "(integer) 1"),
        ("INCRBYFLOAT float 0.1", "\"0.1\""),
        ("SWAPDB 1 2", "OK"),
        ("SELECT 5", "OK"),
        ("FLUSHDB", "OK"),
        ("SELECT 6", "OK"),
        ("FLUSHDB ASYNC", "OK"),
        ("SET after-flush 1", "OK"),
    ]);
    let big = vec![b'x'; 3 * 1024 * 1024];
    assert_eq!(client.call(&[&b"SET"[..], b"big", &big]).to_string(), "OK");
    server.stop();

    let server = Server::start_in(dir.path(), &[]);
    let mut client = server.client();
    client.check(&[
        ("GET binary", "\"\\x00\\xff\\r\\n\""),
        ("GET \"\"", "\"empty-key\""),
        ("GET empty-value", "\"\""),
        ("GET gone", "(nil)"),
        ("GET moving", "(nil)"),
        ("GET float", "\"0.1\""),
        ("TTL number", "(integer) -1"),
        ("SELECT 1", "OK"),
        ("GET number", "\"2\""),
        ("SELECT 2", "OK"),
        ("GET number", "\"1\""),
        ("SELECT 3", "OK"),
        ("GET moving", "\"1\""),
        ("SELECT 5", "OK"),
        ("DBSIZE", "(integer) 0"),
        ("SELECT 6", "OK"),
        ("DBSIZE", "(integer) 2"),
        ("GET number", "(nil)"),
        ("STRLEN big", "(integer) 3145728"),
        ("SELECT 15", "OK"),
        ("GET number", "\"15\""),
        ("SELECT 0", "OK"),
    ]);
    let Value::Integer(ttl) = client.call(&["TTL", "lasting"]) else { panic!("TTL is no integer") };
    assert!((99_000..=100_000).contains(&ttl), "{ttl}");
    eventually("what expired meanwhile is gone", || client.ask("EXISTS fleeting") == "(integer) 0");
    eventually("and is not counted", || client.ask("DBSIZE") == "(integer) 6");
    server.stop();
}

#[test]
fn a_scan_goes_on_after_a_restart() {
    let dir = directory();
    let server = Server::start_in(dir.path(), &[]);
    let mut client = server.client();
    let keys: BTreeSet<String> = (0..1000).map(|index| format!("key:{index}")).collect();
    for key in &keys {
        client.send(&["SET", key, "1"]);
    }
    keys.iter().for_each(|_| assert_eq!(client.read().to_string(), "OK"));
    let mut found = BTreeSet::new();
    let cursor = scan(&mut client, "0".into(), 30, &mut found);
    assert_ne!(cursor, "0");
    // Whatever comes and goes meanwhile, what stays is found.
    client.check(&[("SET another 1", "OK"), ("SELECT 1", "OK"), ("SET elsewhere 1", "OK")]);
    server.stop();

    let server = Server::start_in(dir.path(), &[]);
    let cursor = scan(&mut server.client(), cursor, 30, &mut found);
    assert_ne!(cursor, "0");
    server.kill();

    let server = Server::start_in(dir.path(), &[]);
    assert_eq!(scan(&mut server.client(), cursor, usize::MAX, &mut found), "0");
    found.remove("another");
    assert_eq!(found, keys);
}

/// Scans up to `pages` pages from `cursor` on; the cursor where it stopped.
fn scan(client: &mut Client, mut cursor: String, pages: usize, found: &mut BTreeSet<String>) -> String {
    for _ in 0..pages {
        let Value::Array(page) = client.call(&["SCAN", &cursor, "COUNT", "10"]) else { panic!("no page") };
        let [Value::Bulk(next), Value::Array(keys)] = &page[..] else { panic!("a page of {} parts", page.len()) };
        for key in keys {
            let Value::Bulk(key) = key else { panic!("a key that is {key}") };
            assert!(found.insert(String::from_utf8_lossy(key).into_owned()), "{key:?} came twice");
        }
        cursor = String::from_utf8_lossy(next).into_owned();
        if cursor == "0" {
            break;
        }
    }
    cursor
}

#[test]
fn a_killed_server_has_kept_what_it_acknowledged() {
    for policy in ["always", "everysec", "no"] {
        let dir = directory();
        let flags = ["--appendfsync", policy];
        let server = Server::start_in(dir.path(), &flags);
        let mut client = server.client();
        for index in 0..200 {
            assert_eq!(client.ask(&format!("SET k{index} {index}")), "OK");
        }
        server.kill();
        let server = Server::start_in(dir.path(), &flags);
        let mut client = server.client();
        assert_eq!(client.ask("DBSIZE"), "(integer) 200", "appendfsync {policy}");
        assert_eq!(client.ask("GET k199"), "\"199\"", "appendfsync {policy}");
    }
}

// ---- Stopping ------------------------------------------------------------------------------------------------------

#[test]
fn a_stop_answers_what_is_under_way_and_keeps_it() {
    for signal in ["TERM", "INT"] {
        let dir = directory();
        let mut server = Server::start_in(dir.path(), &[]);
        let mut client = server.client();
        let lines: String = (0..20_000).map(|index| format!("SET k{index} {index}\r\n")).collect();
        client.send_raw(lines.as_bytes());
        assert_eq!(client.read().to_string(), "OK");
        server.signal(signal);
        // Each reply that came counts; the end of the connection ends them.
        let mut answered = 1;
        while let Ok(reply) = client.try_read() {
            assert_eq!(reply.to_string(), "OK", "reply {answered}");
            answered += 1;
        }
        assert!(server.wait().success(), "after SIG{signal}: {}", server.log());
        let server = Server::start_in(dir.path(), &[]);
        let mut client = server.client();
        let Value::Integer(size) = client.call(&["DBSIZE"]) else { panic!("DBSIZE is no integer") };
        assert!(size >= answered, "{answered} writes were acknowledged, {size} are there");
        for index in 0..answered {
            client.send(&["GET", &format!("k{index}")]);
        }
        for index in 0..answered {
            assert_eq!(client.read().to_string(), format!("\"{index}\""));
        }
    }
}

#[test]
fn shutdown_stops_the_server_and_an_idle_client_does_not_hold_it_up() {
    let dir = directory();
    let mut server = Server::start_in(dir.path(), &[]);
    let mut idle = server.client();
    idle.check(&[("SET k 1", "OK")]);
    let mut half = server.client();
    half.send_raw(b"*2\r\n$3\r\nGET\r\n$10\r\nabc");
    let mut client = server.client();
    client.send(&["SHUTDOWN"]);
    assert_eq!(client.read_to_end(), &b""[..]);
    assert!(server.wait().success(), "{}", server.log());
    assert_eq!(idle.read_to_end(), &b""[..]);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).is_err());
    assert_eq!(Server::start_in(dir.path(), &[]).client().ask("GET k"), "\"1\"");
}

// ---- Starts that fail ----------------------------------------------------------------------------------------------

#[test]
fn a_second_server_on_the_same_directory_is_refused() {
    let dir = directory();
    let first = Server::start_in(dir.path(), &[]);
    assert_eq!(first.client().ask("SET k 1"), "OK");
    says(
        &refused(dir.path(), &[]),
        &["the data directory is locked by another process", dir.path().to_str().expect("a UTF-8 path")],
    );
    assert_eq!(first.client().ask("GET k"), "\"1\"");
    first.stop();
    Server::start_in(dir.path(), &[]).stop();
}

#[test]
fn a_port_that_is_taken_is_named_and_the_data_stays_free_for_others() {
    let dir = directory();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = taken.local_addr().expect("its address").port();
    // Nobody answers there, so the failure must come from the server itself.
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_bulkhead-server"))
        .args(["--port", &port.to_string(), "--dir"])
        .arg(dir.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the server to start");
    let _ = child.wait().expect("its end");
    let output = child.wait_with_output().expect("its output");
    let log = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains(&format!(":{port}")) && log.contains("in use"), "{log}");
    Server::start_in(dir.path(), &[]).stop();
}

#[test]
fn a_directory_that_is_missing_is_made() {
    let dir = directory();
    let below = dir.path().join("a/b");
    let server = Server::start_in(&below, &[]);
    assert_eq!(server.client().ask("SET k 1"), "OK");
    server.stop();
    assert!(below.is_dir());
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let dir = directory();
    let file = dir.path().join("file");
    fs::write(&file, "not a directory").expect("a file");
    says(&refused(&file, &[]), &["cannot open the data directory", file.to_str().expect("a UTF-8 path")]);
    says(&refused(&file.join("below"), &[]), &["cannot open the data directory", "file/below"]);
    // Nobody can write there, not even root.
    says(&refused(Path::new("/proc/bulkhead"), &[]), &["cannot open the data directory", "/proc/bulkhead"]);
}

#[test]
fn a_format_of_the_future_is_refused_and_left_alone() {
    let dir = directory();
    Server::start_in(dir.path(), &[]).stop();
    let future = Superblock { major: FORMAT_MAJOR + 1, ..Superblock::CURRENT };
    let written = future.encode();
    with_engine(dir.path(), move |engine| {
        let mut batch = WriteBatch::new();
        batch.put(ColumnFamily::Control, SUPERBLOCK_KEY, written);
        engine.write(&batch, WriteOptions::default()).expect("the superblock to be written");
    });
    says(&refused(dir.path(), &[]), &["cannot use the data directory", &format!("{}", FORMAT_MAJOR + 1)]);
    with_engine(dir.path(), move |engine| {
        let kept =
            engine.get(ColumnFamily::Control, SUPERBLOCK_KEY, Default::default()).expect("a readable superblock");
        assert_eq!(kept.as_deref(), Some(&future.encode()[..]));
    });
}

#[test]
fn data_that_is_no_database_is_refused() {
    let dir = directory();
    Server::start_in(dir.path(), &[]).stop();
    fs::write(dir.path().join("CURRENT"), "rubbish").expect("a writable file");
    says(&refused(dir.path(), &[]), &["cannot open the data directory"]);
}

/// Opens the store as the server does and closes it again.
fn with_engine(dir: &Path, work: impl FnOnce(&dyn Engine) + Send + 'static) {
    let dir = dir.to_path_buf();
    let thread = std::thread::spawn(move || {
        mark_engine_thread();
        let engine = RocksEngine::open(&dir, &RocksOptions::default()).expect("an engine");
        work(&*engine);
        engine.close().expect("a clean close");
    });
    thread.join().expect("no panic");
}

#[test]
fn a_wrong_flag_is_named() {
    let dir = directory();
    says(&refused(dir.path(), &["--appendfsnyc", "always"]), &["appendfsnyc", "did you mean 'appendfsync'"]);
    says(&refused(dir.path(), &["--maxclients", "many"]), &["maxclients"]);
    assert_eq!(
        fs::read_dir(dir.path()).expect("the directory").count(),
        0,
        "a start that cannot succeed wrote something"
    );
}
