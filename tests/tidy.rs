//! The house rules, held by a test over the source text. A rule that is not worth a row here is a wish.
//!
//! Each rule carries a snippet that breaks it and one that keeps it, so that a checker that has gone blind is noticed.
//! It must never compile or run what it reads: text in, complaints out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;

#[test]
fn the_repository_keeps_the_house_rules() {
    let sources = rust_sources();
    assert!(sources.iter().any(|source| source.path == "src/lib.rs"), "the walk did not find the source");
    let complaints: Vec<Complaint> = RULES
        .iter()
        .flat_map(|rule| sources.iter().filter(|source| (rule.applies)(&source.path)).flat_map(|s| rule.check(s)))
        .chain(orphans(&sources))
        .chain(text_files().iter().flat_map(|(path, text)| foreign_addresses(path, text)))
        .collect();
    let listing: Vec<String> = complaints.iter().map(Complaint::to_string).collect();
    assert!(listing.is_empty(), "{} breaches of the house rules:\n{}", listing.len(), listing.join("\n"));
}

/// One rule: where it applies, what it finds, and proof that it can find it.
struct Rule {
    name: &'static str,
    applies: fn(&str) -> bool,
    find: fn(&Source) -> Vec<(usize, String)>,
    /// (path, text): each must be complained about.
    bad: &'static [(&'static str, &'static str)],
    /// (path, text): none may be.
    good: &'static [(&'static str, &'static str)],
}

const RULES: &[Rule] = &[
    Rule {
        name: "a file opens with what it is for",
        applies: |_| true,
        find: |source| match source.text.starts_with("//! ") {
            true => Vec::new(),
            false => vec![(0, "must open with `//! …`: what it is for, what it must never do".into())],
        },
        bad: &[("src/a.rs", "use std::fmt;\n"), ("tests/a.rs", "// A comment.\n"), ("src/a.rs", "")],
        good: &[("src/a.rs", "//! The clock's door.\n")],
    },
    Rule {
        name: "clock, network, runtime and randomness come through the doors",
        applies: in_product,
        find: |source| {
            let may = |banned: &&str| {
                let here = AT_THE_DOOR.iter().filter(|(place, ..)| source.path.starts_with(place));
                here.into_iter().any(|(_, doors, _)| doors.is_empty() || doors.contains(banned))
            };
            let breach = |path: &str| DOORS.iter().find(|(banned, _)| has_segments(path, banned) && !may(banned));
            let paths = paths(&source.product).into_iter();
            let complaint = |(at, path): (usize, String)| {
                let (_, instead) = breach(&path)?;
                Some((line_at(&source.product, at), format!("{path}: {instead}")))
            };
            paths.filter_map(complaint).collect()
        },
        bad: &[
            ("src/storage/a.rs", "use std::time::{Duration, Instant};"),
            ("src/storage/a.rs", "fn f() { let t = std::time::SystemTime::now(); }"),
            ("src/storage/a.rs", "use tokio::{sync::mpsc, time};"),
            ("src/network/a.rs", "fn f() { tokio::spawn(async {}); }"),
            ("src/network/a.rs", "use tokio::net::TcpStream;"),
            ("src/network/a.rs", "use std::net::{IpAddr, TcpListener};"),
            ("src/channel/a.rs", "fn f() { Uuid::new_v4(); }"),
            ("src/channel/a.rs", "use rand::Rng;"),
            ("src/channel/a.rs", "use std::{thread, sync::Arc};"),
            ("src/keyspace/a.rs", "use std::collections::hash_map::RandomState;"),
            ("src/keyspace/a.rs", "fn f() { std::fs::read(\"x\"); }"),
            ("src/observe/logging.rs", "fn f() { let t = std::time::SystemTime::now(); }"),
            ("src/observe/process.rs", "fn f() { std::thread::yield_now(); }"),
        ],
        good: &[
            ("src/env/real.rs", "use std::time::Instant;"),
            ("src/observe/logging.rs", "use std::{fs::File, thread};"),
            ("src/main.rs", "use tokio::signal;"),
            ("src/network/a.rs", "use std::net::{IpAddr, SocketAddr};\nuse std::time::Duration;"),
            ("src/network/a.rs", "// std::time::Instant is banned\nconst A: &str = \"std::time::Instant\";"),
            ("src/engine/a.rs", "#[cfg(test)]\nmod tests { fn f() { std::thread::spawn(|| ()); } }"),
        ],
    },
    Rule {
        name: "hash maps name a hasher that a seed decides",
        applies: in_product,
        find: |source| random_hashers(&source.product),
        bad: &[
            ("src/a.rs", "struct A { map: HashMap<Bytes, Vec<(u8, u8)>> }"),
            ("src/a.rs", "struct A { set: HashSet<u8> }"),
            ("src/a.rs", "fn f() { let map = HashMap::new(); }"),
            ("src/a.rs", "fn f() { let set = HashSet::with_capacity(1); }"),
        ],
        good: &[
            ("src/a.rs", "struct A { map: HashMap<Vec<u8>, Arc<A<B, C>>, FixedState>, set: HashSet<u8, FixedState> }"),
            ("src/a.rs", "fn f() { let map: Map = HashMap::default(); }"),
        ],
    },
    Rule {
        name: "RocksDB has one user",
        applies: |path| in_product(path) && !matches!(path, "src/engine/rocks.rs" | "src/engine/ffi.rs"),
        find: |source| {
            let paths = paths(&source.code).into_iter().filter(|(_, path)| path.starts_with("rocksdb::"));
            paths
                .map(|(at, path)| (line_at(&source.code, at), format!("{path}: only the engine knows RocksDB")))
                .collect()
        },
        bad: &[("src/engine/mod.rs", "use rocksdb::DB;"), ("src/storage/a.rs", "fn f(db: &rocksdb::DB) {}")],
        good: &[
            ("src/engine/rocks.rs", "use rocksdb::DB;"),
            ("src/engine/mod.rs", "/// See `rocksdb::DB`.\nfn f() {}"),
        ],
    },
    Rule {
        name: "the interpreter has one user",
        applies: |path| in_product(path) && !path.starts_with("src/scripting/"),
        find: |source| {
            let paths = paths(&source.code).into_iter().filter(|(_, path)| path.starts_with("mlua::"));
            paths
                .map(|(at, path)| {
                    (line_at(&source.code, at), format!("{path}: only src/scripting knows the interpreter"))
                })
                .collect()
        },
        bad: &[("src/commands/scripting/a.rs", "use mlua::Lua;"), ("src/storage/a.rs", "fn f(lua: &mlua::Lua) {}")],
        good: &[("src/scripting/a.rs", "use mlua::Lua;"), ("src/commands/a.rs", "/// See `mlua::Lua`.\nfn f() {}")],
    },
    Rule {
        name: "unsafe code has one home",
        applies: |path| in_product(path) && path != "src/engine/ffi.rs",
        find: |source| mentions(&source.code, "unsafe", "unsafe code belongs into src/engine/ffi.rs, or nowhere"),
        bad: &[("src/resp/a.rs", "fn f() { unsafe { g() } }")],
        good: &[("src/engine/ffi.rs", "fn f() { unsafe { g() } }"), ("src/a.rs", "#![forbid(unsafe_code)]")],
    },
    Rule {
        name: "failures go through the error log",
        applies: |path| ["src/storage/", "src/channel/", "src/network/"].iter().any(|room| path.starts_with(room)),
        find: |source| {
            let instead = "report it (`observe::Report`): so it is counted, and a flood does not fill the log";
            let macros = ["tracing::error", "tracing::warn"].into_iter();
            macros.flat_map(|name| mentions(&source.product, name, instead)).collect()
        },
        bad: &[
            ("src/storage/a.rs", "fn f() { tracing::error!(\"lost\"); }"),
            ("src/network/a.rs", "fn f() { tracing::warn!(%error, \"lost\"); }"),
        ],
        good: &[
            ("src/storage/a.rs", "fn f() { tracing::info!(\"found\"); }"),
            ("src/observe/error_log.rs", "fn f() { tracing::error!(\"lost\"); }"),
            ("src/channel/a.rs", "#[cfg(test)]\nmod tests { fn f() { tracing::error!(\"lost\"); } }"),
        ],
    },
    Rule {
        name: "rooms depend downwards",
        applies: in_product,
        find: |source| upward_dependencies(source),
        bad: &[
            ("src/engine/a.rs", "use crate::keyspace::Keyspace;"),
            ("src/resp/mod.rs", "use super::commands::Command;"),
            ("src/layout/a.rs", "use crate::{keyspace::Txn, number};"),
            ("src/network/a.rs", "use crate::storage::StorageServer;"),
            ("src/number.rs", "fn f() { crate::observe::count(); }"),
            ("src/attic/a.rs", "fn f() {}"),
        ],
        good: &[
            ("src/network/a.rs", "use crate::commands::Command;\nuse crate::{limits, resp::Value};"),
            ("src/keyspace/a.rs", "use super::Keyspace;\nuse crate::keyspace::txn;"),
        ],
    },
    Rule {
        name: "every test runs and nothing is left for later",
        applies: |_| true,
        find: |source| {
            let mut found = Vec::new();
            for word in ["TODO", "FIXME", "XXX"] {
                found.extend(mentions(&source.comments, word, "do it, or file it as an issue"));
                found.extend(mentions(&source.code, word, "do it, or file it as an issue"));
            }
            for word in ["todo", "unimplemented"] {
                let calls = mentions(&source.code, word, "a stub is not an implementation").into_iter();
                found
                    .extend(calls.filter(|(line, _)| squeezed_line(&source.code, *line).contains(&format!("{word}!"))));
            }
            for (line, text) in source.code.lines().enumerate() {
                let text: String = text.split_whitespace().collect();
                if text.contains("#[ignore") {
                    found.push((line, "an ignored test tests nothing: fix it or delete it".into()));
                }
                let hides = ["allow(dead_code", "allow(unused"].iter().any(|word| text.contains(word));
                if hides && !MAY_HOLD_UNUSED.iter().any(|(path, _)| *path == source.path) {
                    found.push((line, "what nothing uses goes".into()));
                }
            }
            found
        },
        bad: &[
            ("src/a.rs", "// TODO: the other half\n"),
            ("src/a.rs", "/* FIXME */ fn f() {}"),
            ("src/a.rs", "fn f() { todo!() }"),
            ("src/a.rs", "fn f() { unimplemented! (\"later\") }"),
            ("tests/a.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}"),
            ("src/a.rs", "#[allow(dead_code)]\nfn f() {}"),
            ("src/a.rs", "#![allow(unused_variables)]"),
        ],
        good: &[
            ("src/a.rs", "fn todo_list() { let word = \"TODO\"; }"),
            ("src/a.rs", "const R: &str = r#\"#[ignore]\"#;"),
        ],
    },
    Rule {
        name: "tests wait for a condition, never for a while",
        applies: |path| path.starts_with("tests/") && path != "tests/support/mod.rs",
        find: |source| {
            let paths = paths(&source.code).into_iter().filter(|(_, path)| has_segments(path, "sleep"));
            paths.map(|(at, path)| (line_at(&source.code, at), format!("{path}: use support::eventually"))).collect()
        },
        bad: &[("tests/a.rs", "fn f() { std::thread::sleep(D); }"), ("tests/a.rs", "use std::thread::sleep;")],
        good: &[("tests/a.rs", "fn f() { eventually(\"it is up\", || up()); }")],
    },
];

/// Where the doors may be built (none named: all of them), and why.
const AT_THE_DOOR: &[(&str, &[&str], &str)] = &[
    ("src/env/", &[], "the doors themselves"),
    ("src/main.rs", &[], "the composition root of production: signals, exit codes"),
    ("src/observe/process.rs", &["std::fs"], "this process' accounts in /proc are no data of the server's"),
    ("src/observe/logging.rs", &["std::fs", "std::thread"], "a process has one log, before and after any environment"),
];

/// What stands behind a door, and which door.
const DOORS: &[(&str, &str)] = &[
    ("Instant", "monotonic time is `env.clock.now()`"),
    ("SystemTime", "wall-clock time is `env.clock.unix_time()`"),
    ("tokio::time", "time passes in `env.clock` only"),
    ("tokio::spawn", "tasks start in a `Domain` (env::spawn)"),
    ("tokio::task", "tasks start in a `Domain` (env::spawn)"),
    ("tokio::runtime", "runtimes are built by `env.runtimes`"),
    ("std::thread", "threads start by env::spawn_engine_thread"),
    ("tokio::net", "sockets come from `env.network`"),
    ("tokio::signal", "signals are main's; the server is asked to stop by its ShutdownRequest"),
    ("TcpListener", "sockets come from `env.network`"),
    ("TcpStream", "sockets come from `env.network`"),
    ("UnixListener", "sockets come from `env.network`"),
    ("UnixStream", "sockets come from `env.network`"),
    ("UdpSocket", "sockets come from `env.network`"),
    ("std::fs", "files are read and written by `env.storage`"),
    ("tokio::fs", "files are read and written by `env.storage`"),
    ("rand", "randomness is `env.random`, so that a seed decides it"),
    ("getrandom", "randomness is `env.random`, so that a seed decides it"),
    ("fastrand", "randomness is `env.random`, so that a seed decides it"),
    ("new_v4", "ids come from `env.random`, so that a seed decides them"),
    ("now_v7", "ids come from `env.random`, so that a seed decides them"),
    ("RandomState", "hashers have a fixed seed, so that a run can be repeated"),
];

/// Which files may switch the unused-code lints off, and why.
const MAY_HOLD_UNUSED: &[(&str, &str)] =
    &[("tests/support/mod.rs", "each test binary compiles all helpers and uses its part of them")];

/// The rooms, from the street door down to the cellar, as src/lib.rs describes them: each may use those below it, and
/// the shelf.
const ROOMS: &[&str] = &[
    "main",
    "lib",
    "server",
    "runtime",
    "network",
    "commands",
    "scripting",
    "pubsub",
    "storage",
    "channel",
    "types",
    "keyspace",
    "layout",
    "env",
    "engine",
];

/// Used by all; each may use those after it only.
const SHELF: &[&str] =
    &["observe", "config", "resp", "rdb", "failpoints", "limits", "planted", "stream_id", "number", "glob"];

/// Uses that would go downwards and are wrong all the same.
const NEVER: &[(&str, &str, &str)] = &[
    ("network", "storage", "the channel is the only crossing"),
    ("network", "engine", "R2.1: no network thread ever makes an engine call that can block"),
    ("commands", "engine", "commands see the engine as a Keyspace"),
];

fn in_product(path: &str) -> bool {
    path.starts_with("src/") && !path.ends_with("tests.rs")
}

impl Rule {
    fn check(&self, source: &Source) -> Vec<Complaint> {
        let complaint = |(line, what)| Complaint { path: source.path.clone(), line: line + 1, what, rule: self.name };
        (self.find)(source).into_iter().map(complaint).collect()
    }
}

struct Complaint {
    path: String,
    line: usize,
    what: String,
    rule: &'static str,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} ({})", self.path, self.line, self.what, self.rule)
    }
}

#[test]
fn every_rule_sees_its_bad_snippets_and_lets_its_good_ones_pass() {
    let complaints = |rule: &Rule, path: &str, text: &str| match (rule.applies)(path) {
        true => rule.check(&Source::new(path, text)).iter().map(Complaint::to_string).collect(),
        false => Vec::new(),
    };
    for rule in RULES {
        assert!(!rule.bad.is_empty() && !rule.good.is_empty(), "{}: give it snippets", rule.name);
        for (path, text) in rule.bad {
            assert!(!complaints(rule, path, text).is_empty(), "{}: overlooked in {path}: {text}", rule.name);
        }
        for (path, text) in rule.good {
            assert_eq!(complaints(rule, path, text), Vec::<String>::new(), "{}: {path}: {text}", rule.name);
        }
    }
}

// ---- Rules with more to them ---------------------------------------------------------------------------------------

/// `HashMap<K, V>` and its constructors that only exist for the standard library's random hasher.
fn random_hashers(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (kind, parameters) in [("HashMap", 3), ("HashSet", 2)] {
        for at in words(code, kind) {
            let after = code[at + kind.len()..].trim_start().trim_start_matches("::");
            let constructor = ["new", "with_capacity", "from"].iter().find(|name| after.starts_with(*name));
            let few = after.starts_with('<') && generic_arguments(after) < parameters;
            if few || constructor.is_some() {
                found.push((line_at(code, at), format!("{kind} without a fixed hasher: foldhash::fast::FixedState")));
            }
        }
    }
    found
}

/// How many arguments stand between the `<` that `text` begins with and its `>`.
fn generic_arguments(text: &str) -> usize {
    let (mut depth, mut count, mut before) = (0, 1, ' ');
    for char in text.chars() {
        match char {
            '<' | '(' | '[' => depth += 1,
            '>' if before == '-' => {}
            '>' | ')' | ']' => depth -= 1,
            ',' if depth == 1 => count += 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        before = char;
    }
    count
}

fn upward_dependencies(source: &Source) -> Vec<(usize, String)> {
    let known = |room: &str| ROOMS.contains(&room) || SHELF.contains(&room);
    let room = room_of(&source.path);
    if !known(room) {
        return vec![(0, format!("`{room}` is no room: give it a place in ROOMS or SHELF of tests/tidy.rs"))];
    }
    if matches!(room, "main" | "lib") {
        return Vec::new();
    }
    let at_top = !source.path.trim_start_matches("src/").contains('/') || source.path.ends_with("/mod.rs");
    let mut found = Vec::new();
    for (at, path) in paths(&source.product) {
        let mut segments = path.split("::");
        let target = match segments.next() {
            Some("crate") => segments.next(),
            Some("super") if at_top => segments.next(),
            _ => None,
        };
        let Some(target) = target.filter(|target| known(target) && *target != room) else { continue };
        if !may_use(room, target) {
            found.push((line_at(&source.product, at), format!("`{room}` must not know `{target}`")));
        }
    }
    found
}

/// `src/keyspace/txn.rs` is of the room `keyspace`, `src/glob.rs` of `glob`.
fn room_of(path: &str) -> &str {
    let inside = path.trim_start_matches("src/");
    inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
}

fn may_use(room: &str, target: &str) -> bool {
    let place = |list: &[&str], room: &str| list.iter().position(|name| *name == room);
    let is_never = NEVER.iter().any(|(from, to, _)| (*from, *to) == (room, target));
    match (place(ROOMS, room), place(ROOMS, target), place(SHELF, room), place(SHELF, target)) {
        (Some(from), Some(to), _, _) => from < to && !is_never,
        (Some(_), None, _, _) => true,
        (None, _, Some(from), Some(to)) => from < to,
        _ => false,
    }
}

#[test]
fn the_table_of_rooms_says_what_it_means() {
    assert!(may_use("network", "channel") && may_use("storage", "limits") && may_use("observe", "limits"));
    assert!(!may_use("engine", "network") && !may_use("limits", "engine") && !may_use("glob", "observe"));
    assert!(!may_use("network", "storage"));
    for (from, to, _) in NEVER {
        let known = |room| ROOMS.contains(room) || SHELF.contains(room);
        assert!(known(from) && known(to), "{from} → {to}");
    }
}

/// Source files that no `mod` line reaches: the compiler never sees them.
fn orphans(sources: &[Source]) -> Vec<Complaint> {
    let by_path: BTreeMap<&str, &Source> = sources.iter().map(|source| (source.path.as_str(), source)).collect();
    let mut reached = BTreeSet::new();
    let mut open = vec!["src/lib.rs".to_string(), "src/main.rs".to_string()];
    while let Some(path) = open.pop() {
        let Some(source) = by_path.get(path.as_str()) else { continue };
        if reached.insert(path.clone()) {
            let folder =
                match path.strip_suffix("/mod.rs").or(path.strip_suffix("/lib.rs")).or(path.strip_suffix("/main.rs")) {
                    Some(folder) => folder,
                    None => path.trim_end_matches(".rs"),
                };
            for name in declared_modules(&source.code) {
                open.extend([format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")]);
            }
        }
    }
    let lost = sources.iter().filter(|source| source.path.starts_with("src/") && !reached.contains(&source.path));
    lost.map(|source| Complaint {
        path: source.path.clone(),
        line: 1,
        what: "no `mod` line reaches this file".into(),
        rule: "nothing is unwired",
    })
    .collect()
}

/// The names in `mod name;`.
fn declared_modules(code: &str) -> Vec<&str> {
    let after_mod = words(code, "mod").map(|at| code[at + 3..].trim_start());
    after_mod
        .filter_map(|rest| {
            let end = rest.find(|char: char| !is_word(char))?;
            rest[end..].trim_start().starts_with(';').then_some(&rest[..end])
        })
        .collect()
}

#[test]
fn a_file_without_a_mod_line_is_an_orphan() {
    let tree = |lib: &str| {
        [
            ("src/lib.rs", lib),
            ("src/a/mod.rs", "//! A.\nmod b;"),
            ("src/a/b.rs", "//! B."),
            ("src/main.rs", "fn main() {}"),
        ]
        .map(|(path, text)| Source::new(path, text))
    };
    assert!(orphans(&tree("pub mod a;")).is_empty());
    let lost: Vec<String> = orphans(&tree("// pub mod a;\nmod c {}")).into_iter().map(|lost| lost.path).collect();
    assert_eq!(lost, ["src/a/mod.rs", "src/a/b.rs"]);
}

/// Addresses that mean something on one machine only: private package registries, and folders of this workplace.
fn foreign_addresses(path: &str, text: &str) -> Vec<Complaint> {
    const PUBLIC_INDEX: &str = "registry+https://github.com/rust-lang/crates.io-index";
    let workplace = concat!("/wo", "rk/");
    let mut found = Vec::new();
    for (line, text) in text.lines().enumerate() {
        let text = text.replace(PUBLIC_INDEX, "");
        let mut add = |what: &str| {
            let what = format!("{what}: {}", text.trim().chars().take(80).collect::<String>());
            found.push(Complaint { path: path.into(), line: line + 1, what, rule: "the repository stands alone" });
        };
        let hosts = text.split("://").skip(1).filter_map(|rest| rest.split(['/', '"', '\'', ' ', ')', '>']).next());
        if hosts.map(str::to_ascii_lowercase).any(|host| REGISTRY_HOSTS.iter().any(|word| host.contains(word))) {
            add("a package registry's address");
        }
        if path.ends_with("config.toml")
            && ["[source", "[registries", "replace-with"].iter().any(|word| text.contains(word))
        {
            add("a package registry of one workplace");
        }
        if text
            .match_indices(workplace)
            .any(|(at, _)| !text[..at].ends_with(|char: char| is_word(char) || ".}$".contains(char)))
        {
            add("a folder of one workplace");
        }
    }
    found
}

const REGISTRY_HOSTS: &[&str] =
    &["registry", "mirror", "artifactory", "nexus", "proxy", "index.crates.io", "static.crates.io", "pypi", "npmjs"];

#[test]
fn private_addresses_are_found_and_public_ones_pass() {
    let count = |path: &str, text: &str| foreign_addresses(path, text).len();
    assert_eq!(count("Cargo.lock", "source = \"registry+https://github.com/rust-lang/crates.io-index\""), 0);
    assert_eq!(count("Cargo.lock", concat!("source = \"registry+https://regi", "stry.example/index\"")), 1);
    assert_eq!(count(".cargo/config.toml", "[source.crates-io]\nreplace-with = \"mine\""), 2);
    assert_eq!(count("README.md", concat!("see /wo", "rk/main/README.md, or https://redis.io/docs")), 1);
    assert_eq!(count("ci.yml", "https://example.org/wo\nhttps://github.com/bulkhead/work/issues"), 0);
}

// ---- Reading source text -------------------------------------------------------------------------------------------

/// A Rust file, and what is left of it when parts are blanked (line numbers stay).
struct Source {
    path: String,
    text: String,
    /// Without comments and without what stands in literals.
    code: String,
    /// The comments alone.
    comments: String,
    /// `code` without its `#[cfg(test)]` modules.
    product: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Source {
        let (code, comments) = split_comments(text);
        let product = without_test_modules(&code);
        Source { path: path.into(), text: text.into(), code, comments, product }
    }
}

/// Splits Rust text into its code, literals emptied, and its comments; each keeps the other's place blank.
fn split_comments(text: &str) -> (String, String) {
    let (mut code, mut comments) = (String::new(), String::new());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let blank = |part: &str| part.chars().map(|char| if char == '\n' { '\n' } else { ' ' }).collect::<String>();
        let (comment, literal) = (comment_len(rest), literal_len(rest, code.chars().next_back()));
        if let Some(len) = comment {
            comments.push_str(&rest[..len]);
            code.push_str(&blank(&rest[..len]));
            rest = &rest[len..];
        } else if let Some(len) = literal {
            comments.push_str(&blank(&rest[..len]));
            code.push_str(&blank(&rest[..len]));
            rest = &rest[len..];
        } else {
            comments.push(if first == '\n' { '\n' } else { ' ' });
            code.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    (code, comments)
}

/// The length of the comment that `text` begins with. Block comments nest.
fn comment_len(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    let (mut depth, mut at) = (0usize, 0);
    text.starts_with("/*").then(|| {
        while at < text.len() {
            if text[at..].starts_with("/*") {
                (depth, at) = (depth + 1, at + 2);
            } else if text[at..].starts_with("*/") {
                (depth, at) = (depth - 1, at + 2);
            } else {
                at += text[at..].chars().next().map_or(1, char::len_utf8);
            }
            if depth == 0 {
                break;
            }
        }
        at
    })
}

/// The length of the string or character literal that `text` begins with; `before` is the character in front of it.
fn literal_len(text: &str, before: Option<char>) -> Option<usize> {
    if before.is_some_and(is_word) {
        return None;
    }
    let body = text.trim_start_matches(['b', 'c']);
    let prefix = text.len() - body.len();
    if prefix <= 1
        && let Some(raw) = body.strip_prefix('r')
    {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let close = format!("\"{}", "#".repeat(hashes));
        return raw[hashes..].strip_prefix('"').map(|inside| {
            let len = inside.find(&close).map_or(inside.len(), |at| at + close.len());
            prefix + 1 + hashes + 1 + len
        });
    }
    let quote = body.chars().next().filter(|char| prefix <= 1 && matches!(char, '"' | '\''))?;
    // `'a` is a lifetime unless a quote closes it behind one character.
    if quote == '\'' && !body[1..].starts_with('\\') && body[1..].chars().nth(1) != Some('\'') {
        return None;
    }
    let mut escaped = false;
    for (at, char) in body.char_indices().skip(1) {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if char == quote => return Some(prefix + at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

/// `code` with the bodies of its `#[cfg(test)]` modules blanked.
fn without_test_modules(code: &str) -> String {
    let mut product = code.to_string();
    for (at, attribute) in code.match_indices("#[cfg(test)]") {
        let after = &code[at + attribute.len()..];
        let Some(open) = after.find('{').filter(|open| words(&after[..*open], "mod").next().is_some()) else {
            continue;
        };
        let mut depth = 0;
        let close = after[open..].find(|char| {
            depth += i32::from(char == '{') - i32::from(char == '}');
            depth == 0
        });
        let end = close.map_or(code.len(), |close| at + attribute.len() + open + close);
        let blank: String = code[at..end].chars().map(|char| if char == '\n' { '\n' } else { ' ' }).collect();
        // Blanks may be shorter than what they replace, so the tail is taken from the end.
        let tail = code.len() - end;
        product.replace_range(product.len() - (code.len() - at)..product.len() - tail, &blank);
    }
    product
}

#[test]
fn comments_literals_and_test_modules_are_told_from_code() {
    let text = "a // b\n/* c /* d */ e */ f(\"g \\\" h\", 'i', '\\'', b\"j\", r#\"k \" l\"#); fn m<'n>(o: &'n str) {}";
    let (code, comments) = split_comments(text);
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(squeeze(&code), "a f( , , , , ); fn m<'n>(o: &'n str) {}");
    assert_eq!(squeeze(&comments), "// b /* c /* d */ e */");
    let product = without_test_modules("fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { é }\n}\nfn c() {}");
    assert_eq!(squeeze(&product), "fn a() {} } fn c() {}");
}

/// Every path that `code` names, its `use` trees spread out, with where it stands.
fn paths(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut tokens = Tokens { code, at: 0 };
    while let Some((at, token)) = tokens.next() {
        if token == "use" && tokens.peek() != Some("<") {
            use_tree(&mut tokens, String::new(), &mut found);
        } else if token.starts_with(is_word) {
            let mut path = token.to_string();
            while tokens.peek() == Some("::") {
                tokens.next();
                match tokens.peek() {
                    Some(word) if word.starts_with(is_word) => path.extend(["::", word]),
                    _ => break,
                }
                tokens.next();
            }
            found.push((at, path));
        }
    }
    found
}

/// One tree of a `use` line, up to its comma, brace or semicolon.
fn use_tree(tokens: &mut Tokens<'_>, prefix: String, found: &mut Vec<(usize, String)>) {
    let mut path = prefix;
    let mut last = tokens.at;
    while let Some((at, token)) = tokens.next() {
        last = at;
        match token {
            "::" if !path.is_empty() => path.push_str("::"),
            "::" => {}
            "{" => {
                while let Some(next) = tokens.peek() {
                    if next == "}" {
                        break;
                    }
                    use_tree(tokens, path.clone(), found);
                    if tokens.peek() == Some(",") {
                        tokens.next();
                    }
                }
                tokens.next();
                return;
            }
            "as" => {
                tokens.next();
            }
            ";" => break,
            word => path.push_str(word),
        }
        if matches!(tokens.peek(), Some("," | "}")) {
            break;
        }
    }
    found.push((last, path));
}

/// Words, `::`, and single characters.
struct Tokens<'a> {
    code: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Option<(usize, &'a str)> {
        let rest = self.code[self.at..].trim_start();
        let start = self.code.len() - rest.len();
        let first = rest.chars().next()?;
        let len = match first {
            _ if is_word(first) => rest.find(|char| !is_word(char)).unwrap_or(rest.len()),
            ':' if rest.starts_with("::") => 2,
            _ => first.len_utf8(),
        };
        self.at = start + len;
        Some((start, &rest[..len]))
    }

    fn peek(&self) -> Option<&'a str> {
        Tokens { code: self.code, at: self.at }.next().map(|(_, token)| token)
    }
}

#[test]
fn use_trees_are_spread_into_paths() {
    let code =
        "use std::{self, time::{Duration, Instant as I}, sync::*};\nfn f() -> tokio::time::Sleep { ::core::g() }";
    let found: Vec<String> =
        paths(code).into_iter().map(|(at, path)| format!("{} {path}", line_at(code, at))).collect();
    let expected = ["0 std::self", "0 std::time::Duration", "0 std::time::Instant", "0 std::sync::*"];
    assert_eq!(found[..4], expected);
    assert!(found.contains(&"1 tokio::time::Sleep".to_string()), "{found:?}");
}

/// Whether `path` holds the segments of `wanted` side by side; a path of several segments only where it begins.
fn has_segments(path: &str, wanted: &str) -> bool {
    match wanted.contains("::") {
        true => path == wanted || path.strip_prefix(wanted).is_some_and(|rest| rest.starts_with("::")),
        false => path.split("::").any(|segment| segment == wanted),
    }
}

fn mentions(code: &str, word: &str, what: &str) -> Vec<(usize, String)> {
    words(code, word).map(|at| (line_at(code, at), format!("{word}: {what}"))).collect()
}

/// Where `word` stands as a whole word.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let edge = |char: Option<char>| !char.is_some_and(is_word);
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| edge(code[..*at].chars().next_back()) && edge(code[at + word.len()..].chars().next()))
}

fn squeezed_line(code: &str, line: usize) -> String {
    code.lines().nth(line).unwrap_or_default().split_whitespace().collect()
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

fn line_at(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count()
}

fn rust_sources() -> Vec<Source> {
    let rust = text_files().into_iter().filter(|(path, _)| path.ends_with(".rs"));
    rust.map(|(path, text)| Source::new(&path, &text)).collect()
}

/// Every text file of the repository, by its path from the root. What is built or fetched is not of the repository.
fn text_files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a readable directory entry").path();
            let inside = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
            if matches!(inside.as_str(), ".git" | "data") || path.ends_with("target") || path.ends_with("corpus") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                files.push((inside, text));
            }
        }
    }
    files.sort();
    files
}
