//! A disk that hangs, is full, fails or refuses, under a server that is being written to (R6.1, R6.2, R6.3).
//!
//! In each case: writes get a clear answer, reads go on, and nothing acknowledged is lost nor anything refused invented,
//! while it lives and after a kill −9. Not one of these may depend on how fast this machine is.

use std::time::Duration;

use bulkhead_chaos::client::Client;
use bulkhead_chaos::ledger::Fate;
use bulkhead_chaos::process::{Recipe, server_binary};
use bulkhead_chaos::shim::{Disk, Failure, Operations};
use bulkhead_chaos::siege::{Siege, check_that_reads_go_on};
use bulkhead_chaos::tmpfs::Tmpfs;
use bulkhead_chaos::writer::{BUSY, DISK_REFUSES, Manner, Sent};

const WRITERS: u32 = 4;

/// The smaller one is smaller than the memtables that a server is configured with.
const TMPFS_MIB: [u32; 2] = [128, 32];

fn manner(refusals: &'static [&'static str]) -> Manner {
    Manner { pipeline_max: 4, interval: Duration::from_millis(5), refusals }
}

fn recipe(dir: std::path::PathBuf, flags: &[&str]) -> Recipe {
    let program = server_binary().unwrap_or_else(|error| panic!("{error}"));
    let common = ["--rocksdb.write_buffer_size", "1mb", "--request-timeout", "1000"];
    let flags = common.iter().chain(flags).map(|flag| flag.to_string()).collect();
    Recipe { program, dir, flags, environment: Vec::new() }
}

/// A siege on a disk that obeys.
fn siege(home: &std::path::Path, refusals: &'static [&'static str], flags: &[&str]) -> (Siege, Disk) {
    let dir = home.join("data");
    std::fs::create_dir(&dir).expect("a directory");
    let disk = Disk::new(home, &dir).expect("a compiler");
    let recipe = Recipe { environment: disk.environment(), ..recipe(dir, flags) };
    let siege = Siege::begin(recipe, WRITERS, manner(refusals)).expect("a server");
    assert!(disk.is_attached_to(siege.pid()), "the server runs without the library that harms its disk");
    (siege, disk)
}

fn has(round: &[Sent], fate: Fate) -> bool {
    round.iter().any(|sent| sent.fate == fate)
}

/// All different errors, for whoever reads the test's output.
fn errors(sent: &[Sent]) -> Vec<&str> {
    let mut errors: Vec<&str> = sent.iter().filter_map(|sent| sent.error.as_deref()).collect();
    errors.sort_unstable();
    errors.dedup();
    errors
}

#[test]
fn a_disk_that_hangs_holds_up_writes_until_their_deadline_and_nothing_else() -> Result<(), String> {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (mut siege, disk) = siege(home.path(), BUSY, &[]);
    siege.write_until_acknowledged()?;
    disk.hang(Operations::ALL);
    let port = siege.port();
    let sent = std::thread::scope(|scope| {
        let writing =
            scope.spawn(|| siege.write_until("writes meet their deadline", |round| has(round, Fate::Refused)));
        let mut reads = Ok(());
        while reads.is_ok() && !writing.is_finished() {
            reads = check_that_reads_go_on(port);
        }
        reads.and(writing.join().expect("the writers panicked"))
    })?;
    assert!(disk.held() > 0, "the disk hangs still, so the answers came in spite of it");
    println!("while the disk hung: {:#?}", errors(&sent));
    check_that_reads_go_on(port)?;
    disk.heal();
    siege.write_until_acknowledged()?;
    siege.audit()?;
    siege.kill_and_audit()?;
    Ok(())
}

/// While `harm` lasts, writes are refused and reads go on; afterwards nothing is lost or invented.
fn check_that_a_failing_disk_is_told(
    home: &std::path::Path,
    flags: &[&str],
    harm: impl Fn(&Disk),
) -> Result<(Siege, Disk, Vec<String>), String> {
    let (mut siege, disk) = siege(home, DISK_REFUSES, flags);
    siege.write_until_acknowledged()?;
    harm(&disk);
    let sent = siege.write_until("a write is refused", |round| has(round, Fate::Refused))?;
    assert!(disk.failed() > 0, "nothing has failed by order, so what was refused?");
    println!("while the disk failed: {:#?}", errors(&sent));
    let words = errors(&sent).into_iter().map(String::from).collect();
    check_that_reads_go_on(siege.port())?;
    // And what is refused stays so, for as long as the disk does.
    siege.write_until("a write is refused", |round| has(round, Fate::Refused))?;
    check_that_reads_go_on(siege.port())?;
    Ok((siege, disk, words))
}

#[test]
fn an_input_output_error_is_told_and_a_restart_finds_what_was_acknowledged() -> Result<(), String> {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (mut siege, disk, _) =
        check_that_a_failing_disk_is_told(home.path(), &[], |disk| disk.fail(Operations::ALL, Failure::InputOutput))?;
    disk.heal();
    siege.kill_and_audit()?;
    siege.write_until_acknowledged()?;
    siege.kill_and_audit()?;
    Ok(())
}

#[test]
fn a_file_system_that_turns_read_only_is_told_and_a_restart_finds_what_was_acknowledged() -> Result<(), String> {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (mut siege, disk, _) =
        check_that_a_failing_disk_is_told(home.path(), &[], |disk| disk.fail(Operations::ALL, Failure::ReadOnly))?;
    disk.heal();
    siege.kill_and_audit()?;
    siege.write_until_acknowledged()?;
    siege.kill_and_audit()?;
    Ok(())
}

#[test]
fn one_failed_fsync_ends_writing_under_every_appendfsync_that_promises_one() -> Result<(), String> {
    for appendfsync in ["always", "everysec"] {
        let home = tempfile::tempdir().expect("a temporary directory");
        let (mut siege, _disk, words) =
            check_that_a_failing_disk_is_told(home.path(), &["--appendfsync", appendfsync], |disk| {
                disk.fail_next_syncs(1);
            })?;
        // The disk is well again, and yet: a second fsync that succeeds proves nothing about what the first one lost.
        assert!(words.iter().any(|words| words.starts_with("READONLY ")), "{appendfsync}: {words:?}");
        siege.kill_and_audit()?;
        siege.write_until_acknowledged()?;
        siege.kill_and_audit()?;
    }
    Ok(())
}

/// A small file system and a server on it; `None`: this machine does not let us mount one.
fn on_a_small_disk(home: &std::path::Path, size_mib: u32) -> Result<Option<(Siege, Tmpfs)>, String> {
    let dir = home.join("data");
    std::fs::create_dir(&dir).expect("a directory");
    let disk = match Tmpfs::mount(&dir, size_mib) {
        Ok(disk) => disk,
        Err(error) => {
            println!("SKIPPED: this needs the right to mount a small file system, and has it not: {error}");
            return Ok(None);
        }
    };
    let mut siege = Siege::begin(recipe(dir, &[]), WRITERS, manner(DISK_REFUSES))?;
    siege.write_until_acknowledged()?;
    Ok(Some((siege, disk)))
}

#[test]
fn a_disk_that_is_really_full_refuses_writes_until_there_is_room_again() -> Result<(), String> {
    for size_mib in TMPFS_MIB {
        let home = tempfile::tempdir().expect("a temporary directory");
        let Some((mut siege, disk)) = on_a_small_disk(home.path(), size_mib)? else { return Ok(()) };
        for round in 0..2 {
            disk.fill()?;
            let sent = siege.write_until("a write is refused", |round| has(round, Fate::Refused))?;
            println!("while the disk of {size_mib} MiB was full: {:#?}", errors(&sent));
            assert!(errors(&sent).iter().any(|words| words.starts_with("NOSPACE ")), "{:?}", errors(&sent));
            check_that_reads_go_on(siege.port())?;
            // The first time it comes back by itself, the second time by a restart.
            if round == 1 {
                siege.kill()?;
                match siege.restart() {
                    Ok(()) => check_that_reads_go_on(siege.port())?,
                    Err(words) => assert!(words.contains("space"), "it does not start, and does not say why: {words}"),
                }
                siege.kill()?;
            }
            disk.empty()?;
            if round == 1 {
                siege.restart()?;
                siege.audit()?;
            }
            siege.write_until_acknowledged()?;
            siege.audit()?;
            siege.kill_and_audit()?;
        }
    }
    Ok(())
}

/// Before it is full, room is kept for deletes: they free it.
#[test]
fn a_disk_that_is_nearly_full_takes_deletes_and_refuses_what_takes_room() -> Result<(), String> {
    let home = tempfile::tempdir().expect("a temporary directory");
    let Some((mut siege, disk)) = on_a_small_disk(home.path(), TMPFS_MIB[0])? else { return Ok(()) };
    let mut client = Client::connect(siege.port()).map_err(|error| error.to_string())?;
    let mut call = |args: &[&str]| client.call(args).map(|reply| reply.to_string()).map_err(|error| error.to_string());
    assert_eq!(call(&["MSET", "doomed", "1", "listed", "1"])?, "OK");
    // Half of its reserve.
    disk.fill_but(8 << 20)?;
    let sent = siege.write_until("writes are refused", |round| has(round, Fate::Refused))?;
    assert!(errors(&sent).iter().any(|words| words.starts_with("NOSPACE ")), "{:?}", errors(&sent));
    assert_eq!(call(&["DEL", "doomed"])?, "(integer) 1");
    assert_eq!(call(&["EXPIRE", "listed", "1000"])?, "(integer) 1");
    assert!(call(&["SET", "doomed", "2"])?.starts_with("(error) NOSPACE "));
    assert_eq!(call(&["EXISTS", "doomed"])?, "(integer) 0");
    // The audit knows of the writers' keys only.
    assert_eq!(call(&["UNLINK", "listed"])?, "(integer) 1");
    check_that_reads_go_on(siege.port())?;
    disk.empty()?;
    siege.write_until_acknowledged()?;
    siege.kill_and_audit()?;
    Ok(())
}

/// Proof that these tests would notice a loss: a server that keeps nothing on its disk.
#[test]
fn a_server_that_forgets_is_found_out() {
    let redis = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".into());
    let home = tempfile::tempdir().expect("a temporary directory");
    let dir = home.path().join("data");
    std::fs::create_dir(&dir).expect("a directory");
    let flags = ["--save", "", "--appendonly", "no"].map(str::to_string).to_vec();
    let recipe = Recipe { program: redis.into(), dir, flags, environment: Vec::new() };
    let mut siege = Siege::begin(recipe, WRITERS, manner(BUSY)).expect("redis-server; `make deps` installs it");
    siege.write_until_acknowledged().expect("it takes writes");
    siege.audit().expect("as long as it lives it forgets nothing");
    let evidence = siege.kill_and_audit().expect_err("it has forgotten everything");
    assert!(evidence.contains("was acknowledged, and is lost"), "{evidence}");
}
