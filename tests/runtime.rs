//! The two runtimes of the real server: their threads, and what a restart of the storage side means to clients.
//!
//! Like all black-box tests it must never look inside the process otherwise than an operator could.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use support::{Server, eventually};

/// R1.5, R2.5
#[test]
fn threads_are_named_after_their_runtime_and_sized_by_configuration() {
    let server = Server::start(&["--network-threads", "2", "--storage-threads", "3"]);
    let wanted = ["net-0", "net-1", "sto-reader-0", "sto-reader-1", "sto-reader-2", "sto-sync", "sto-writer"];
    eventually("all threads run", || {
        let names = thread_names(server.pid());
        wanted.iter().all(|name| names.iter().any(|found| found == name))
    });
    assert!(!thread_names(server.pid()).iter().any(|name| name == "net-2" || name == "sto-reader-3"));
    server.stop();
}

/// What the init system and whoever keeps the logs see.
#[test]
fn a_hangup_reads_the_configuration_again_and_the_log_can_be_json() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let server = Server::start_in(dir.path(), &["--pidfile", "server.pid", "--log-format", "json"]);
    let pid = std::fs::read_to_string(dir.path().join("server.pid")).expect("the pidfile");
    assert_eq!(pid.trim(), server.pid().to_string());
    let mut client = server.client();
    assert_eq!(client.ask("CONFIG SET timeout 9 loglevel debug"), "OK");
    server.signal("HUP");
    eventually("what was set by hand is gone", || client.ask("CONFIG GET timeout").ends_with("\"0\""));
    let is_json =
        |line: &str| line.starts_with("{\"time\":\"20") && line.ends_with('}') && line.contains("\"message\":\"");
    eventually("the log tells of it", || server.log().contains("the configuration was read again"));
    let log = server.log();
    let plain: Vec<&str> = log.lines().filter(|line| !is_json(line)).collect();
    assert!(plain.is_empty(), "{plain:?}");
    server.stop();
    assert!(!dir.path().join("server.pid").exists());
}

fn thread_names(pid: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives");
    // A thread that ended meanwhile has no name any more.
    let name = |task: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(task.ok()?.path().join("comm")).ok();
    tasks.filter_map(name).map(|name| name.trim().to_string()).collect()
}

/// R6.4, as far as an orderly restart goes: nothing acknowledged is lost, nothing is applied twice, nobody is cut off.
#[test]
fn storage_restarts_under_load_and_no_client_notices() {
    let server = Server::start(&[]);
    let done = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (mut client, done) = (server.client(), done.clone());
            std::thread::spawn(move || {
                let mut acknowledged = 0u64;
                while !done.load(Ordering::Relaxed) {
                    let reply = client.ask("INCR counter");
                    assert!(reply.starts_with("(integer)"), "{reply}");
                    acknowledged += 1;
                }
                acknowledged
            })
        })
        .collect();
    let mut operator = server.client();
    for round in 1..=5 {
        assert_eq!(operator.ask("DEBUG RESTART-STORAGE"), "OK");
        eventually("storage restarted", || server.log().matches("storage restarted").count() == round);
        // A restart that happened before any write would prove nothing.
        let before = operator.ask("GET counter");
        eventually("writes go on after it", || operator.ask("GET counter") != before);
    }
    done.store(true, Ordering::Relaxed);
    let acknowledged: u64 = writers.into_iter().map(|writer| writer.join().expect("a writer was refused")).sum();
    assert_eq!(operator.ask("GET counter"), format!("\"{acknowledged}\""));
    server.stop();
}
