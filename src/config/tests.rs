//! The configuration as its users meet it: table, files, flags, CONFIG GET / SET / REWRITE. Texts marked as Redis' were
//! taken from a running redis-server 7.0.15.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::value::Before;
use super::*;

const SMALL: Machine = Machine { cores: 2, memory_bytes: 24 << 30 };
const LARGE: Machine = Machine { cores: 16, memory_bytes: 128 << 30 };

/// Files that exist in memory only.
struct Files(BTreeMap<&'static str, String>);

impl Files {
    fn of<const N: usize>(files: [(&'static str, &str); N]) -> Files {
        Files(files.map(|(path, text)| (path, text.to_string())).into())
    }
}

impl ConfigFiles for Files {
    fn read(&mut self, path: &Path) -> io::Result<String> {
        self.0
            .get(path.to_str().unwrap())
            .cloned()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file"))
    }

    fn list(&mut self, directory: &Path) -> io::Result<Vec<OsString>> {
        let paths = self.0.keys().map(Path::new);
        Ok(paths.filter(|path| path.parent() == Some(directory)).map(|path| path.file_name().unwrap().into()).collect())
    }
}

fn parse(arguments: &[&str], files: &mut Files) -> Result<Invocation, ConfigErrors> {
    Invocation::parse(arguments, &SMALL, files)
}

fn load(arguments: &[&str], files: &mut Files) -> Result<Loaded, ConfigErrors> {
    parse(arguments, files).map(|invocation| match invocation {
        Invocation::Serve(loaded) => *loaded,
        other => panic!("{other:?}"),
    })
}

/// What a file of this text, and nothing else, gives.
fn load_text(text: &str) -> Result<Loaded, ConfigErrors> {
    load(&["/etc/b.conf"], &mut Files::of([("/etc/b.conf", text)]))
}

fn load_flags(flags: &[&str]) -> Result<Loaded, ConfigErrors> {
    load(flags, &mut Files::of([]))
}

fn live(text: &str) -> LiveConfig {
    LiveConfig::new(load_text(text).unwrap())
}

/// CONFIG GET as one line per name.
fn get(live: &LiveConfig, patterns: &[&str]) -> Vec<String> {
    let patterns: Vec<&[u8]> = patterns.iter().map(|pattern| pattern.as_bytes()).collect();
    let show = |text: Vec<u8>| String::from_utf8(text).unwrap();
    live.get(&patterns).into_iter().map(|(name, value)| format!("{} {}", show(name), show(value))).collect()
}

/// CONFIG SET that the server carries out.
fn set(live: &LiveConfig, pairs: &[(&str, &str)]) -> Result<Vec<&'static str>, String> {
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    live.set(&pairs, |_, _| Ok(()))
        .map(|changed| changed.iter().map(|row| row.name).collect())
        .map_err(|error| error.to_string())
}

fn names() -> impl Iterator<Item = &'static str> {
    DIRECTIVES.iter().flat_map(|row| [Some(row.name), row.alias]).flatten()
}

// ---- The table ----------------------------------------------------------------------------------------------------

#[test]
fn names_are_unique_lower_case_and_found_in_any_case() {
    assert_eq!(names().collect::<BTreeSet<_>>().len(), names().count());
    for name in names() {
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || b"0123456789-_.".contains(&byte)), "{name}");
        let (index, spelled) = find(name.to_ascii_uppercase().as_bytes()).unwrap();
        assert_eq!(spelled, name);
        assert!([Some(DIRECTIVES[index].name), DIRECTIVES[index].alias].contains(&Some(name)));
    }
    assert_eq!(find(b"no-such"), None);
}

#[test]
fn every_default_reads_back_from_what_config_get_and_config_rewrite_write() {
    for row in DIRECTIVES.iter().filter(|row| row.change != Change::FileOnly) {
        let value = row.default_value();
        let before = Before { value: &value, repeated: false };
        let shown = value.text();
        let words: Vec<&[u8]> =
            if row.kind.takes_many_words() { shown.split(|byte| *byte == b' ').collect() } else { vec![&shown] };
        assert_eq!(row.parse(&words, before), Ok(value.clone()), "{} as shown", row.name);
        for line in value.lines() {
            let words = split_words(line.as_bytes()).unwrap();
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            if !matches!(value, Value::SavePoints(_)) {
                assert_eq!(row.parse(&words, before), Ok(value.clone()), "{} as written", row.name);
            }
        }
    }
}

#[test]
fn every_bound_and_every_word_fits_its_typed_field() {
    for row in DIRECTIVES {
        let Meaning::Active(_, apply) = row.meaning else { continue };
        let mut values = match row.kind {
            Kind::Bool => vec![Value::Bool(false), Value::Bool(true)],
            Kind::Integer { min, max } => vec![Value::Integer(min), Value::Integer(max)],
            Kind::Octal { max } => vec![Value::Octal(0), Value::Octal(max)],
            Kind::Memory { min, max } => vec![Value::Memory(min), Value::Memory(max)],
            Kind::Word(words) => words.iter().map(|word| Value::Word(word)).collect(),
            _ => vec![row.default_value()],
        };
        values.extend(row.auto.map(|of| of(&SMALL)));
        for value in values {
            apply(&mut Config::default(), &value);
        }
    }
}

#[test]
fn what_auto_stands_for_is_a_value_that_could_be_given() {
    let machines =
        [1, 2, 3, 8, 64, 1024].map(|cores| [0, 1 << 20, 1 << 30, 1 << 37, 1 << 50].map(|bytes| (cores, bytes)));
    for (cores, memory_bytes) in machines.concat() {
        let machine = Machine { cores, memory_bytes };
        for row in DIRECTIVES {
            let Some(of) = row.auto else { continue };
            let value = of(&machine);
            let before = Before { value: &Value::Auto, repeated: false };
            assert_eq!(row.parse(&[&value.text()], before), Ok(value), "{} on {machine:?}", row.name);
        }
        Settings::defaults().config(&machine).unwrap();
    }
}

#[test]
fn rows_say_what_they_do_in_a_sentence() {
    for row in DIRECTIVES {
        if row.chapter().is_some() {
            assert!(row.doc.ends_with('.') && row.doc.starts_with(|first: char| first.is_alphabetic()), "{}", row.name);
        } else {
            assert!(!row.doc.is_empty() && !row.doc.ends_with('.'), "{}", row.name);
        }
    }
}

#[test]
fn every_directive_of_redis_is_known_with_its_default_and_its_mutability() {
    let mut listed = BTreeSet::new();
    for line in include_str!("redis-7.0.15.tsv").lines().filter(|line| !line.starts_with('#')) {
        let [name, change, default] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        listed.insert(name);
        let (index, _) = find(name.as_bytes()).unwrap_or_else(|| panic!("{name} is missing"));
        let row = &DIRECTIVES[index];
        assert_eq!(String::from_utf8_lossy(&row.default_value().text()), default, "{name}");
        let expected = match change {
            "live" => Change::Live,
            "fixed" => Change::Fixed,
            "protected" => Change::Protected,
            other => panic!("{other}"),
        };
        assert_eq!(row.change, expected, "{name}");
    }
    let ours = DIRECTIVES.iter().filter(|row| row.change != Change::FileOnly && !listed.contains(row.name));
    let ours: Vec<&str> = ours.map(|row| row.name).filter(|name| !name.starts_with("rocksdb.")).collect();
    let expected = [
        "disk-reserve",
        "background-flush-interval",
        "background-compact-interval",
        "runtime-mode",
        "network-threads",
        "storage-threads",
        "channel-capacity",
        "channel-max-bytes",
        "large-replies-max-bytes",
        "request-timeout",
        "breaker-failures",
        "breaker-pause",
        "watchdog-timeout",
        "batch-size",
        "batch-max-bytes",
        "batch-timeout",
        "record-cache-size",
        "log-format",
        "logfile-max-size",
        "logfile-keep",
        "health-port",
        "health-stall-threshold",
        "health-channel-threshold",
        "health-unsynced-threshold",
        "health-free-space-threshold",
        "metrics-log-interval",
    ];
    assert_eq!(ours, expected);
}

#[test]
fn a_small_disk_makes_memtables_and_log_smaller_and_nothing_larger() {
    let knobs = RocksDbConfig { write_buffer_size: 128 << 20, max_total_wal_size: 1 << 30, ..RocksDbConfig::default() };
    for (disk_bytes, memtable, log) in [
        (0, 128 << 20, 1 << 30),
        (100 << 30, 128 << 20, 1 << 30),
        (1 << 30, 32 << 20, 128 << 20),
        (32 << 20, 1 << 20, 4 << 20),
        (1 << 20, 64 << 10, 1 << 20),
    ] {
        let fitted = knobs.fitted_to(disk_bytes);
        assert_eq!((fitted.write_buffer_size, fitted.max_total_wal_size), (memtable, log), "{disk_bytes}");
        assert_eq!(fitted, fitted.fitted_to(disk_bytes));
    }
}

#[test]
fn defaults_fit_the_machine() {
    let config = |machine| Settings::defaults().config(&machine).unwrap();
    for (machine, threads, cache, memtable, jobs, slow, stop, compression) in [
        (SMALL, 1, 8 << 30, 128 << 20, 2, 24, 48, Compression::Lz4),
        (LARGE, 8, 128 * (1 << 30) / 3, 256 << 20, 8, 20, 40, Compression::Zstd),
        (Machine { cores: 1, memory_bytes: 1 << 29 }, 1, (1 << 29) / 3, 16 << 20, 2, 24, 48, Compression::Lz4),
        (Machine { cores: 128, memory_bytes: 1 << 40 }, 64, 64 << 30, 256 << 20, 16, 20, 40, Compression::Zstd),
    ] {
        let Config { runtime, storage, .. } = config(machine);
        assert_eq!((runtime.network_threads, runtime.storage_threads), (threads, threads.max(3)), "{machine:?}");
        let rocksdb = storage.rocksdb;
        assert_eq!((rocksdb.block_cache_size, rocksdb.write_buffer_size), (cache, memtable), "{machine:?}");
        assert_eq!(rocksdb.max_background_jobs, jobs, "{machine:?}");
        let triggers = (rocksdb.level0_slowdown_writes_trigger, rocksdb.level0_stop_writes_trigger);
        assert_eq!(triggers, (slow, stop), "{machine:?}");
        assert_eq!(rocksdb.compression, compression, "{machine:?}");
    }
    let Config { network, runtime, storage, process, .. } = config(SMALL);
    assert_eq!((network.port, network.clients_max, network.bulk_bytes_max), (6379, 10_000, 512 << 20));
    let any = |host: &str, optional| BindAddress { host: host.into(), optional };
    assert_eq!(network.bind, [any("0.0.0.0", false), any("::", true)]);
    assert_eq!((runtime.channel_capacity, runtime.channel_bytes_max), (16_384, 64 << 20));
    assert_eq!((runtime.batch_size, runtime.batch_bytes_max, runtime.batch_timeout_us), (256, 1 << 20, 0));
    assert_eq!((runtime.request_timeout_ms, process.shutdown_timeout_s), (10_000, 10));
    assert_eq!((storage.databases, storage.fsync, storage.dir), (16, Fsync::EverySecond, PathBuf::from("./")));
}

// ---- Files and flags ----------------------------------------------------------------------------------------------

#[test]
fn a_file_a_redis_user_would_write_means_what_it_says() {
    let loaded = load_text(
        "# comment\n\n  PORT 7000  \r\nbind 127.0.0.1 -::1\n\trequirepass \"a \\x62\"\nmaxclients 5\nmaxclients 77\n\
         unixsocket 'run/b.sock'\nunixsocketperm 770\ndir /data\nlogfile b.log\npidfile /run/b.pid\nloglevel WARNING\n\
         client-output-buffer-limit replica 1mb 0 0\nclient-output-buffer-limit pubsub 2mb 1mb 3\nlua-time-limit 9\n\
         slave-priority 50\nrename-command FLUSHALL \"\"\nrename-command CONFIG secret\nsave 60 1\nio-threads 4\n\
         notify-keyspace-events AKE\nrocksdb.compression zstd\nnetwork-threads 3\nstorage-threads auto\nhz 100000\n\
         user default on nopass sanitize-payload ~* &* +@all\nreplicaof no one\nappendfsync always\n",
    )
    .unwrap();
    let Config { network, runtime, storage, commands, log, process, .. } = &loaded.config;
    assert_eq!((network.port, network.clients_max, &network.requirepass.0[..]), (7000, 77, &b"a b"[..]));
    let local = |host: &str, optional| BindAddress { host: host.into(), optional };
    assert_eq!(network.bind, [local("127.0.0.1", false), local("::1", true)]);
    assert_eq!(network.unix_socket.as_deref(), Some(Path::new("/data/run/b.sock")));
    assert_eq!(network.unix_socket_permissions, 0o770);
    assert_eq!((&log.file, log.level), (&Some("/data/b.log".into()), LogLevel::Warning));
    assert_eq!(process.pid_file, Some("/run/b.pid".into()));
    let limit = |hard_bytes, soft_bytes, soft_seconds| OutputLimit { hard_bytes, soft_bytes, soft_seconds };
    let expected =
        OutputLimits { normal: limit(0, 0, 0), replica: limit(1 << 20, 0, 0), pubsub: limit(2 << 20, 1 << 20, 3) };
    assert_eq!(network.output_limits, expected);
    assert_eq!(commands.keyspace_events, "AKE");
    let rename = |from: &str, to: &str| Rename { from: from.into(), to: to.into() };
    assert_eq!(commands.renames, [rename("flushall", ""), rename("config", "secret")]);
    assert_eq!((runtime.network_threads, runtime.storage_threads, runtime.hz), (3, 3, 500));
    assert_eq!((storage.fsync, storage.rocksdb.compression), (Fsync::Always, Compression::Zstd));
    assert_eq!(loaded.file, Some("/etc/b.conf".into()));
    assert_eq!(
        loaded.without_effect_notice().unwrap(),
        "These directives are accepted but have no effect in Bulkhead: io-threads, replica-priority, save"
    );
    assert_eq!(load_text("port 1").unwrap().without_effect_notice(), None);
}

#[test]
fn each_wrong_line_is_reported_with_its_place_and_what_is_allowed() {
    const NOT: &str = "not supported by this version of Bulkhead:";
    for (line, error) in [
        // Redis' words.
        ("port", "port: wrong number of arguments"),
        ("port 1 2", "port: wrong number of arguments"),
        ("port 1 # no comments here", "port: wrong number of arguments"),
        ("port 70000", "port: argument must be between 0 and 65535 inclusive"),
        ("Port x", "Port: argument couldn't be parsed into an integer"),
        ("protected-mode 1", "protected-mode: argument must be 'yes' or 'no'"),
        ("maxmemory x", "maxmemory: argument must be a memory value"),
        ("maxmemory-clients 101%", "maxmemory-clients: percentage argument must be less or equal to 100"),
        ("maxmemory-clients -5%", "maxmemory-clients: argument must be a memory or percent value"),
        (
            "proto-max-bulk-len 1kb",
            "proto-max-bulk-len: argument must be between 1048576 and 9223372036854775807 inclusive",
        ),
        ("unixsocketperm 999", "unixsocketperm: argument couldn't be parsed as an octal number"),
        ("unixsocketperm 1000", "unixsocketperm: argument must be between 0 and 777 inclusive"),
        ("appendfsync x", "appendfsync: argument(s) must be one of the following: everysec, always, no"),
        ("loglevel x", "loglevel: argument(s) must be one of the following: debug, verbose, notice, warning"),
        ("save 1", "save: Invalid save parameters"),
        ("save 0 1", "save: Invalid save parameters"),
        (
            "client-output-buffer-limit normal 1 2",
            "client-output-buffer-limit: Wrong number of arguments in buffer limit configuration.",
        ),
        ("bind 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17", "bind: Too many bind addresses specified."),
        // Ours.
        (
            "port \"1",
            "unbalanced quotes: a quoted argument must be closed, and followed by a space or the end of the line",
        ),
        ("appendfsnyc always", "appendfsnyc: unknown directive; did you mean 'appendfsync'?"),
        ("slave-prority 5", "slave-prority: unknown directive; did you mean 'slave-priority'?"),
        ("frobnicate yes", "frobnicate: unknown directive"),
        ("databases 20000", "databases: argument must be between 1 and 16384 inclusive"),
        ("channel-capacity 15", "channel-capacity: argument must be between 16 and 1048576 inclusive"),
        ("network-threads 0", "network-threads: argument must be between 1 and 256 inclusive, or 'auto'"),
        ("network-threads many", "network-threads: argument couldn't be parsed into an integer, or 'auto'"),
        (
            "rocksdb.compression x",
            "rocksdb.compression: argument(s) must be one of the following: none, lz4, zstd, or 'auto'",
        ),
        ("dbfilename a/b", "dbfilename: argument can't be a path, just a file name"),
        ("rename-command FLUSHALL", "rename-command: wrong number of arguments"),
        ("include", "include: wrong number of arguments"),
        ("include /none", "include: can't read '/none': no such file"),
        // What cannot be ignored.
        (
            "daemonize yes",
            "daemonize: NOT forking into the background. Leave daemonize at no and let the init system \
             (supervised systemd) or `nohup … &` do it",
        ),
        (
            "cluster-enabled yes",
            "cluster-enabled: NOT cluster mode. Leave cluster-enabled at no and give each server its own part of \
             the keys",
        ),
        ("slaveof a 1", "slaveof: NOT replication. Remove replicaof; back up the data directory instead"),
        (
            "min-replicas-to-write 1",
            "min-replicas-to-write: NOT replication, so writes would never be allowed. Set min-replicas-to-write to 0",
        ),
        ("tls-port 6380", "tls-port: NOT TLS. Leave tls-port at 0 and put a TLS proxy in front of port"),
        ("aclfile /a", "aclfile: NOT ACL users. Remove it; requirepass sets the password of the default user"),
        ("user alice on", "user: NOT ACL users. Remove it; requirepass sets the password of the default user"),
        ("loadmodule /m.so", "loadmodule: NOT modules. Remove loadmodule"),
        ("sentinel monitor a", "sentinel: NOT Sentinel mode. Remove sentinel"),
        ("supervised upstart", "supervised: NOT upstart. Use supervised systemd, auto or no"),
        (
            "syslog-enabled yes",
            "syslog-enabled: NOT writing to syslog. Leave syslog-enabled at no; under systemd standard output reaches \
             the journal",
        ),
    ] {
        let errors = load_text(&format!("# one\n{line}\ntimeout 1\n")).unwrap_err();
        assert_eq!(errors.to_string(), format!("/etc/b.conf:2: {}", error.replace("NOT", NOT)), "{line}");
    }
}

#[test]
fn all_errors_are_collected_and_no_value_is_shown() {
    let errors = load(
        &["/etc/b.conf", "--hz", "fast", "--requirepass", "sesame", "open"],
        &mut Files::of([
            ("/etc/b.conf", "port x\nrequirepass open sesame\ninclude /other.conf\n"),
            ("/other.conf", "\nfoo 1"),
        ]),
    )
    .unwrap_err();
    assert_eq!(
        errors.to_string(),
        "/etc/b.conf:1: port: argument couldn't be parsed into an integer\n\
         /etc/b.conf:2: requirepass: wrong number of arguments\n\
         /other.conf:2: foo: unknown directive\n\
         command line: hz: argument couldn't be parsed into an integer\n\
         command line: requirepass: wrong number of arguments"
    );
    let config = load_flags(&["--requirepass", "sesame"]).unwrap().config;
    assert_eq!(config.requirepass(), b"sesame");
    assert!(!format!("{config:?}").contains("sesame"));
}

#[test]
fn directives_that_do_not_fit_together_are_refused_where_they_were_said() {
    for (flags, error) in [
        (&["--port", "0"][..], "command line: port: nothing to listen on: set port and bind, or unixsocket"),
        (&["--bind", ""], "port: nothing to listen on: set port and bind, or unixsocket"),
        (&["--health-port", "6379"], "command line: health-port: must not be the same as port"),
        (
            &["--dir", "/a", "--unixsocket", &"s".repeat(105)],
            "command line: unixsocket: longer, together with dir, than the 107 bytes that a socket's path may have",
        ),
        (
            &["--batch-size", "17", "--channel-capacity", "16"],
            "command line: batch-size: can't be larger than channel-capacity, which is 16",
        ),
        (
            &["--batch-max-bytes", "65mb"],
            "command line: batch-max-bytes: can't be larger than channel-max-bytes, which is 67108864",
        ),
        (
            &["--rocksdb.level0_file_num_compaction_trigger", "30"],
            "rocksdb.level0_slowdown_writes_trigger: can't be lower than \
             rocksdb.level0_file_num_compaction_trigger, which is 30",
        ),
        (
            &["--rocksdb.level0_slowdown_writes_trigger", "50"],
            "rocksdb.level0_stop_writes_trigger: can't be lower than rocksdb.level0_slowdown_writes_trigger, which \
             is 50",
        ),
        (
            &["--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru"],
            "command line: maxmemory-policy: not supported by this version of Bulkhead: evicting keys. Set \
             maxmemory-policy to noeviction, or maxmemory to 0 if the data may grow as large as the disk",
        ),
        (
            &["--rename-command", "a", "b", "--rename-command", "A", "c"],
            "command line: rename-command: 'a' is renamed twice",
        ),
        (
            &["--rename-command", "a", "x", "--rename-command", "b", "X"],
            "command line: rename-command: two commands are renamed to 'x'",
        ),
    ] {
        assert_eq!(load_flags(flags).unwrap_err().to_string(), error);
    }
    for flags in [
        &["--port", "0", "--unixsocket", "/s"][..],
        &["--maxmemory", "1gb"],
        &["--maxmemory-policy", "allkeys-lru"],
        &["--rename-command", "a", "", "--rename-command", "b", ""],
    ] {
        load_flags(flags).unwrap();
    }
    let two = load_text("batch-size 20\nchannel-capacity 16\nhealth-port 6379\n").unwrap_err();
    assert_eq!(two.0.len(), 2);
}

#[test]
fn flags_follow_redis_rules() {
    let file = || Files::of([("/etc/b.conf", "timeout 5\nport 7000\nsave 9 9"), ("-", "timeout 6\n")]);
    for (arguments, patterns, expected) in [
        // Flags win over the file, standard input stands between them.
        (&["/etc/b.conf"][..], &["port", "timeout"][..], &["port 7000", "timeout 5"][..]),
        (&["/etc/b.conf", "--port", "7001"], &["port"], &["port 7001"]),
        (&["/etc/b.conf", "-"], &["timeout"], &["timeout 6"]),
        (&["-"], &["timeout"], &["timeout 6"]),
        (&["-", "--timeout", "7"], &["timeout"], &["timeout 7"]),
        (&["/etc/b.conf", "--timeout", "7", "-"], &["timeout"], &["timeout 7"]),
        // Several values, and several words in one argument.
        (&["--save", "60", "1", "--port", "7000"], &["save", "port"], &["save 60 1", "port 7000"]),
        (&["--save", "60", "1", "30", "2"], &["save"], &["save 60 1 30 2"]),
        (&["--save", "60", "1", "--save", "30", "2"], &["save"], &["save 60 1 30 2"]),
        (&["/etc/b.conf", "--save", "60", "1"], &["save"], &["save 9 9 60 1"]),
        (&["/etc/b.conf", "--save", ""], &["save"], &["save "]),
        (&["--port 7002", "--timeout 8"], &["port", "timeout"], &["port 7002", "timeout 8"]),
        // An empty save, as scripts write it.
        (&["--save", "--port", "7000"], &["save", "port"], &["save ", "port 7000"]),
        (&["--save"], &["save"], &["save "]),
        // The first value may look like a flag; later ones may begin with one dash.
        (&["--requirepass", "--x", "--port", "1"], &["requirepass", "port"], &["requirepass --x", "port 1"]),
        (&["--bind", "127.0.0.1", "-::1"], &["bind"], &["bind 127.0.0.1 -::1"]),
        (&["--BIND", "-::1"], &["bind"], &["bind -::1"]),
        (&["--include", "/etc/b.conf", "--port", "1"], &["port", "timeout"], &["port 1", "timeout 5"]),
    ] {
        let live = LiveConfig::new(load(arguments, &mut file()).unwrap());
        assert_eq!(get(&live, patterns), expected, "{arguments:?}");
    }
    for (arguments, error) in [
        (&["--port"][..], "command line: port: wrong number of arguments"),
        (&["--port", "--save"], "command line: port: argument couldn't be parsed into an integer"),
        (&["--port", "1", "2"], "command line: port: wrong number of arguments"),
        (&["--prot", "1"], "command line: prot: unknown directive; did you mean 'port'?"),
        (&["/nope"], "can't read '/nope': no such file"),
        (
            &["-p", "1"],
            "command line: -p: neither a configuration file (that comes first) nor a flag; flags are spelled \
             --directive value\n\
             command line: 1: neither a configuration file (that comes first) nor a flag; flags are spelled \
             --directive value",
        ),
    ] {
        assert_eq!(load(arguments, &mut file()).unwrap_err().to_string(), error, "{arguments:?}");
    }
}

#[test]
fn flags_that_are_no_directives_say_what_to_do_instead() {
    let mut files = Files::of([("/etc/b.conf", "port 7000\nsave 1 1"), ("/bad", "prot 1")]);
    let mut parse = |arguments: &[&str]| parse(arguments, &mut files);
    assert!(matches!(parse(&["-v"]), Ok(Invocation::Version)));
    assert!(matches!(parse(&["/bad", "--version"]), Ok(Invocation::Version)));
    assert!(matches!(parse(&["--help"]), Ok(Invocation::Help)));
    assert!(matches!(parse(&["-h", "--port", "x"]), Ok(Invocation::Help)));
    assert!(matches!(parse(&["--port", "1", "--sample-config"]), Ok(Invocation::SampleConfig)));
    let Ok(Invocation::CheckConfig(checked)) = parse(&["/etc/b.conf", "--check-config", "--hz", "7"]) else { panic!() };
    assert_eq!((checked.config.network.port, checked.config.runtime.hz), (7000, 7));
    assert_eq!(checked.without_effect, ["save"]);
    assert!(parse(&["/bad", "--check-config"]).is_err());
    assert!(version().contains(" v=") && version().contains("redis=7.0.15"));
}

#[test]
fn a_closure_that_reads_files_is_enough() {
    let mut read = |path: &Path| match path.to_str() {
        Some("/a") => Ok("include /b\n".to_string()),
        Some("/b") => Ok("port 7\ninclude /conf.d/*.conf\n".to_string()),
        _ => Err(io::Error::other("gone")),
    };
    let errors = Invocation::parse(["/a"], &SMALL, &mut read).unwrap_err();
    assert_eq!(errors.to_string(), "/b:2: include: can't read '/conf.d/*.conf': patterns can't be used here");
}

#[test]
fn includes_are_read_where_they_stand_and_patterns_in_order() {
    let mut files = Files::of([
        ("/a", "port 1\ninclude \"/b\"\ntimeout 2\n"),
        ("/b", "port 3\ntimeout 4\ninclude /conf.d/*.conf\ninclude /none/*\n"),
        ("/conf.d/2.conf", "hz 2\n"),
        ("/conf.d/1.conf", "hz 1\nmaxclients 9\n"),
        ("/conf.d/.hidden.conf", "hz 77\n"),
        ("/conf.d/3.conf~", "hz 99\n"),
    ]);
    let config = load(&["/a"], &mut files).unwrap().config;
    assert_eq!((config.network.port, config.network.idle_timeout_s), (3, 2));
    assert_eq!((config.runtime.hz, config.network.clients_max), (2, 9));
}

#[test]
fn includes_end() {
    let mut loops = Files::of([("/a", "port 1\ninclude /b"), ("/b", "include /a")]);
    assert_eq!(load(&["/a"], &mut loops).unwrap_err().to_string(), "/b:1: include: '/a' includes itself");

    // A file that is another one each time it is asked for by another name.
    let chain = |last: usize| {
        move |path: &Path| {
            let number: usize = path.to_str().unwrap()[1..].parse().unwrap();
            Ok(if number == last { "port 1".into() } else { format!("include /{}", number + 1) })
        }
    };
    Invocation::parse(["/0"], &SMALL, &mut chain(16)).unwrap();
    let deep = Invocation::parse(["/0"], &SMALL, &mut chain(17)).unwrap_err();
    assert_eq!(deep.to_string(), "/16:1: include: nested deeper than 16 files");

    let mut fan = |path: &Path| {
        let number: usize = path.to_str().unwrap()[1..].parse().unwrap();
        Ok(if number == 16 { "port 1".into() } else { format!("include /{0}\ninclude /{0}", number + 1) })
    };
    let fanned = Invocation::parse(["/0"], &SMALL, &mut fan).unwrap_err();
    assert!(fanned.0.iter().all(|error| error.cause == Cause::TooManyFiles));
}

#[test]
fn the_sample_reads_back_to_the_defaults_and_names_every_directive() {
    let sample = sample_config();
    let loaded = load_text(&sample).unwrap();
    assert_eq!(loaded.settings, Settings::defaults());
    assert_eq!(loaded.without_effect, [""; 0]);
    let help = help();
    for row in DIRECTIVES {
        if row.chapter().is_some() {
            assert!(help.contains(&format!("  --{} ", row.name)), "{} in help", row.name);
        }
        let mentioned = sample.split_whitespace().any(|word| word.trim_end_matches(':') == row.name);
        assert_eq!(mentioned, !row.hidden, "{} in sample", row.name);
    }
    assert!(sample.lines().all(|line| line.len() <= 100), "lines fit");
}

// ---- CONFIG GET / SET ----------------------------------------------------------------------------------------------

#[test]
fn config_get_finds_names_aliases_and_patterns_once_each() {
    let live = live("maxclients 77\nunixsocketperm 700\nmaxmemory 1gb\nmaxmemory-clients 5%\nbind 1.2.3.4 ::1");
    for (patterns, expected) in [
        (&["PORT"][..], &["PORT 6379"][..]),
        (&["port", "Port"], &["port 6379"]),
        (&["PO*"], &["port 6379"]),
        (&["save", "appendonly"], &["save 3600 1 300 100 60 10000", "appendonly no"]),
        (&["slaveof", "replicaof"], &["slaveof ", "replicaof "]),
        (&["lua-time-limit", "busy-reply-threshold"], &["lua-time-limit 5000", "busy-reply-threshold 5000"]),
        (&["*-priority"], &["replica-priority 100", "slave-priority 100"]),
        (
            &["maxclients", "max[cm]*"],
            &[
                "maxclients 77",
                "maxmemory 1073741824",
                "maxmemory-policy noeviction",
                "maxmemory-samples 5",
                "maxmemory-eviction-tenacity 10",
                "maxmemory-clients 5%",
            ],
        ),
        (&["unixsocketperm", "bind"], &["unixsocketperm 700", "bind 1.2.3.4 ::1"]),
        (
            &["client-output-buffer-limit"],
            &["client-output-buffer-limit normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"],
        ),
        (&["storage-threads"], &["storage-threads auto"]),
        (&["watchdog-period"], &["watchdog-period 0"]),
        (&["watchdog*"], &["watchdog-timeout 30000"]),
        (&["rename-command", "user", "include", "nothing", ""], &[]),
    ] {
        assert_eq!(get(&live, patterns), expected, "{patterns:?}");
    }
    let redis: BTreeSet<&str> =
        include_str!("redis-7.0.15.tsv").lines().filter_map(|line| line.split('\t').next()).collect();
    // Five of Redis' are hidden there too.
    let all = redis.iter().filter(|line| !line.starts_with('#')).count() - 5;
    let ours = DIRECTIVES.iter().filter(|row| row.change != Change::FileOnly && !redis.contains(row.name)).count();
    assert_eq!(get(&live, &["*"]).len(), all + ours);
}

#[test]
fn config_set_answers_as_redis_does() {
    let failed = |argument: &str, reason: &str| {
        Err(format!("CONFIG SET failed (possibly related to argument '{argument}') - {reason}"))
    };
    let unknown = |name: &str| Err(format!("Unknown option or number of arguments for CONFIG SET - '{name}'"));
    for (pairs, expected) in [
        (&[("timeout", "5")][..], Ok(vec!["timeout"])),
        (&[("Timeout", "0")], Ok(vec![])),
        (&[("timeout", "5"), ("maxclients", "7")], Ok(vec!["maxclients", "timeout"])),
        (&[("foo", "1")], unknown("foo")),
        (&[("rename-command", "a b")], unknown("rename-command")),
        (&[("timeout", "7"), ("foo", "8"), ("databases", "2")], unknown("foo")),
        (&[("timeout", "7"), ("databases", "2"), ("foo", "8")], failed("databases", "can't set immutable config")),
        (&[("DataBases", "2")], failed("DataBases", "can't set immutable config")),
        (&[("dir", "/tmp")], failed("dir", "can't set protected config")),
        (&[("timeout", "5"), ("TIMEOUT", "6")], failed("TIMEOUT", "duplicate parameter")),
        (&[("lua-time-limit", "1"), ("busy-reply-threshold", "2")], Ok(vec!["busy-reply-threshold"])),
        (&[("MaxClients", "0")], failed("maxclients", "argument must be between 1 and 4294967295 inclusive")),
        (&[("slave-priority", "-1")], failed("slave-priority", "argument must be between 0 and 2147483647 inclusive")),
        (&[("timeout", "01")], failed("timeout", "argument couldn't be parsed into an integer")),
        (&[("maxmemory", "-1")], failed("maxmemory", "argument must be a memory value")),
        (&[("maxmemory-clients", "x")], failed("maxmemory-clients", "argument must be a memory or percent value")),
        (
            &[("slowlog-log-slower-than", "-2")],
            failed("slowlog-log-slower-than", "argument must be between -1 and 9223372036854775807 inclusive"),
        ),
        (&[("save", "1")], failed("save", "Invalid save parameters")),
        (&[("save", "1  2")], failed("save", "Invalid save parameters")),
        (&[("save", "60 1 30 2")], Ok(vec!["save"])),
        (
            &[("client-output-buffer-limit", "normal 1 2")],
            failed("client-output-buffer-limit", "Wrong number of arguments in buffer limit configuration."),
        ),
        (
            &[("client-output-buffer-limit", "master 1 2 3")],
            failed("client-output-buffer-limit", "Invalid client class specified in buffer limit configuration."),
        ),
        (
            &[("client-output-buffer-limit", "replica 1 2 -3")],
            failed(
                "client-output-buffer-limit",
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
            ),
        ),
        (&[("client-output-buffer-limit", "")], Ok(vec![])),
        (
            &[("notify-keyspace-events", "Q")],
            failed("notify-keyspace-events", "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."),
        ),
        (&[("oom-score-adj-values", "1 2")], failed("oom-score-adj-values", "wrong number of arguments")),
        (
            &[("oom-score-adj-values", "0 0 99999")],
            failed("oom-score-adj-values", "Invalid oom-score-adj-values, elements must be between -2000 and 2000."),
        ),
        (
            &[("latency-tracking-info-percentiles", "50 101")],
            failed(
                "latency-tracking-info-percentiles",
                "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
            ),
        ),
        (
            &[("shutdown-on-sigterm", "")],
            failed(
                "shutdown-on-sigterm",
                "argument(s) must be one of the following: default, save, nosave, now, force",
            ),
        ),
        (
            &[("shutdown-on-sigint", "save nosave")],
            failed("shutdown-on-sigint", "shutdown options SAVE and NOSAVE can't be used simultaneously"),
        ),
        // Ours: what cannot be obeyed is refused here too, and so is what does not fit together.
        (
            &[("tls-port", "1")],
            failed(
                "tls-port",
                "not supported by this version of Bulkhead: TLS. Leave tls-port at 0 and put a TLS proxy in front of \
                 port",
            ),
        ),
        (&[("port", "0")], failed("port", "nothing to listen on: set port and bind, or unixsocket")),
        (&[("maxmemory-policy", "allkeys-lru")], Ok(vec!["maxmemory-policy"])),
        (
            &[("maxmemory-policy", "allkeys-lru"), ("maxmemory", "1gb")],
            failed(
                "maxmemory-policy",
                "not supported by this version of Bulkhead: evicting keys. Set maxmemory-policy to noeviction, or \
                 maxmemory to 0 if the data may grow as large as the disk",
            ),
        ),
        (&[("network-threads", "4"), ("storage-threads", "8")], Ok(vec!["network-threads", "storage-threads"])),
    ] {
        let live = live("");
        let before = live.current().clone();
        let result = set(&live, pairs).map(|mut changed| {
            changed.sort_unstable();
            changed
        });
        assert_eq!(result, expected, "{pairs:?}");
        if result.is_err() {
            assert_eq!(**live.current(), *before, "a refused change must change nothing: {pairs:?}");
        }
    }
}

#[test]
fn config_set_shows_in_config_get_and_in_what_the_server_obeys() {
    let live = live("");
    for (name, value, shown) in [
        ("maxmemory", "1KB", "1024"),
        ("maxmemory", "1k", "1000"),
        ("hz", "1000", "500"),
        ("hz", "0", "1"),
        ("appendfsync", "ALWAYS", "always"),
        ("save", "", ""),
        ("save", "60 1 30 2", "60 1 30 2"),
        ("save", "10 1", "10 1"),
        ("notify-keyspace-events", "KEA", "AKE"),
        ("notify-keyspace-events", "KEAm", "AKEm"),
        ("notify-keyspace-events", "Kg$lshzxetdE", "AKE"),
        ("notify-keyspace-events", "gxE", "gxE"),
        ("notify-keyspace-events", "AnE", "AEn"),
        ("shutdown-on-sigterm", "now SAVE", "save now"),
        ("shutdown-on-sigterm", "default now", "now"),
        ("latency-tracking-info-percentiles", "50 99.90", "50 99.9"),
        ("latency-tracking-info-percentiles", "", ""),
        (
            "client-output-buffer-limit",
            "normal 1mb 2kb 3 PUBSUB 5 6 7",
            "normal 1048576 2048 3 slave 268435456 67108864 60 pubsub 5 6 7",
        ),
        ("network-threads", "AUTO", "auto"),
        ("bind", "127.0.0.1 -::1", "127.0.0.1 -::1"),
    ] {
        set(&live, &[(name, value)]).unwrap();
        assert_eq!(get(&live, &[name]), [format!("{name} {shown}")], "{name} {value}");
    }
    let held = live.current();
    assert_eq!((held.storage.fsync, held.network.bind.len()), (Fsync::Always, 2));
    set(&live, &[("appendfsync", "no")]).unwrap();
    assert_eq!(held.storage.fsync, Fsync::Always, "a configuration that someone holds never changes");
    assert_eq!(live.current().storage.fsync, Fsync::Never);
}

#[test]
fn a_change_that_the_server_cannot_carry_out_does_not_happen() {
    let live = live("");
    let refused = live.set(&[(b"port", b"1"), (b"hz", b"20")], |config, changed| {
        assert_eq!((config.network.port, config.runtime.hz), (1, 20));
        assert_eq!(changed.iter().map(|row| row.name).collect::<Vec<_>>(), ["port", "hz"]);
        Err(("port", "Unable to listen on this port. Check server logs.".into()))
    });
    assert_eq!(
        refused.unwrap_err().to_string(),
        "CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port. Check server logs."
    );
    assert_eq!(get(&live, &["port", "hz"]), ["port 6379", "hz 10"]);
    assert_eq!(live.current().network.port, 6379);
}

// ---- CONFIG REWRITE ------------------------------------------------------------------------------------------------

#[test]
fn rewriting_keeps_what_still_holds_and_replaces_what_changed_in_place() {
    for (file, changes, rewritten) in [
        // Nothing changed: byte for byte, but for the end of the last line.
        ("# a\n\n\n  PORT   7000\nsave 60 1\nsave 30 2", &[][..], "# a\n\n\n  PORT   7000\nsave 60 1\nsave 30 2\n"),
        ("", &[], ""),
        // In place, in canonical form, under the current name.
        ("# head\nport 7000\n# tail\n", &[("port", "7001")], "# head\nport 7001\n# tail\n"),
        ("slave-priority 50\nhz 10\n", &[("slave-priority", "9")], "replica-priority 9\nhz 10\n"),
        ("maxmemory 1024kb\n", &[("maxmemory", "2048kb")], "maxmemory 2mb\n"),
        ("requirepass a\n", &[("requirepass", "b \"c\"\n")], "requirepass \"b \\\"c\\\"\\n\"\n"),
        ("requirepass a\n", &[("requirepass", "")], "requirepass \"\"\n"),
        ("bind 1.2.3.4\n", &[("bind", "1.2.3.4 -::1")], "bind 1.2.3.4 -::1\n"),
        ("network-threads 5\n", &[("network-threads", "auto")], "network-threads auto\n"),
        // Back to the default: the line stays, and says so.
        ("timeout 5\n", &[("timeout", "0")], "timeout 0\n"),
        // Repeated lines: the first is used, the others go.
        ("timeout 5\nTIMEOUT 6\nhz 10\n", &[("timeout", "9")], "timeout 9\nhz 10\n"),
        // Several lines for one directive, more or fewer than before.
        ("save 60 1\n", &[("save", "60 1 30 2")], "save 60 1\n# Generated by CONFIG REWRITE\nsave 30 2\n"),
        ("# s\nsave 60 1\nsave 30 2\n# e\n", &[("save", "9 9")], "# s\nsave 9 9\n# e\n"),
        ("save 60 1\nsave 30 2\n", &[("save", "")], "save \"\"\n"),
        (
            "client-output-buffer-limit slave 256mb 64mb 60\n",
            &[("client-output-buffer-limit", "pubsub 1mb 0 0 replica 2mb 0 0")],
            "client-output-buffer-limit replica 2mb 0 0\n# Generated by CONFIG REWRITE\n\
             client-output-buffer-limit pubsub 1mb 0 0\n",
        ),
        // Not mentioned, not the default: appended below the mark, which is written once.
        ("hz 10\n", &[("timeout", "9")], "hz 10\n# Generated by CONFIG REWRITE\ntimeout 9\n"),
        (
            "# Generated by CONFIG REWRITE\ntimeout 9\n",
            &[("maxclients", "7")],
            "# Generated by CONFIG REWRITE\ntimeout 9\nmaxclients 7\n",
        ),
        // Lines that CONFIG SET has nothing to do with.
        (
            "rename-command FLUSHALL \"\"\nrename-command CONFIG x\nlist-max-ziplist-entries 5\nhz 10\n",
            &[("hz", "20")],
            "rename-command FLUSHALL \"\"\nrename-command CONFIG x\nlist-max-ziplist-entries 5\nhz 20\n",
        ),
    ] {
        let live = live(file);
        for change in changes {
            set(&live, &[*change]).unwrap();
        }
        assert_eq!(live.rewrite(file), rewritten, "{file:?} {changes:?}");
        assert_eq!(live.rewrite(rewritten), rewritten, "rewriting twice: {file:?}");
    }
}

#[test]
fn rewriting_survives_a_file_that_changed_under_the_server() {
    let live = live("port 7000\n");
    assert_eq!(
        live.rewrite("hz \"1\nfoo 3\ninclude /x\nport none\n  port 5 5\n"),
        "# ??? hz \"1\n# ??? foo 3\ninclude /x\nport 7000\n"
    );
    assert_eq!(live.rewrite(""), "# Generated by CONFIG REWRITE\nport 7000\n");
    assert_eq!(live.file(), Ok(Path::new("/etc/b.conf")));
    let without = LiveConfig::new(load_flags(&["--port", "7000"]).unwrap());
    assert_eq!(without.file().unwrap_err().to_string(), "The server is running without a config file");
}

#[test]
fn flags_reach_the_file_by_rewriting() {
    let loaded = load(&["/etc/b.conf", "--port", "7001"], &mut Files::of([("/etc/b.conf", "port 7000\n")])).unwrap();
    assert_eq!(LiveConfig::new(loaded).rewrite("port 7000\n"), "port 7001\n");
}

fn any_change() -> impl Strategy<Value = (usize, String)> {
    let row = prop::sample::select((0..DIRECTIVES.len()).collect::<Vec<_>>());
    row.prop_flat_map(|index| {
        let value = match DIRECTIVES[index].kind {
            Kind::Bool => prop::sample::select(vec!["yes", "no"]).prop_map(str::to_string).boxed(),
            Kind::Word(words) => prop::sample::select(words).prop_map(str::to_string).boxed(),
            Kind::Text | Kind::Special(_) => ".{0,8}".boxed(),
            Kind::List(_) => "([1-9]{1,3} [1-9]{1,3}|normal [1-9]mb 0 0|)".boxed(),
            _ => "[1-9][0-9]{0,7}".boxed(),
        };
        (Just(index), value)
    })
}

proptest! {
    /// Whatever CONFIG SET accepts survives CONFIG REWRITE and a restart, whatever the file said before.
    #[test]
    fn a_rewritten_file_reads_back_as_what_holds(
        first in prop::collection::vec(any_change(), 0..20),
        second in prop::collection::vec(any_change(), 0..20),
    ) {
        let apply = |live: &LiveConfig, changes: &[(usize, String)]| {
            for (index, value) in changes {
                _ = set(live, &[(DIRECTIVES[*index].name, value)]);
            }
        };
        let earlier = live("");
        apply(&earlier, &first);
        let file = earlier.rewrite("# old\n");
        let later = live(&file);
        prop_assert_eq!(get(&later, &["*"]), get(&earlier, &["*"]));
        apply(&later, &second);
        let restarted = live(&later.rewrite(&file));
        prop_assert_eq!(get(&restarted, &["*"]), get(&later, &["*"]));
        prop_assert_eq!(&**restarted.current(), &**later.current());
    }

    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in "[a-z\"' \\\\\n#0-9-]{0,200}") {
        _ = load_text(&text);
        _ = live("").rewrite(&text);
    }

    #[test]
    fn any_command_line_is_read_or_refused_without_a_panic(
        arguments in prop::collection::vec("(--)?[a-z -]{0,6}", 0..6),
    ) {
        _ = Invocation::parse(arguments, &SMALL, &mut Files::of([]));
    }
}
