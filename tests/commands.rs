//! The sweep over the command table: every row is sound, and every row's example is true.
//!
//! An example is documentation that runs: a transcript of redis-cli against a fresh server. It must never be skipped,
//! and a command without one fails here.

mod support;

use std::collections::BTreeSet;
use std::sync::Mutex;

use bulkhead::commands::table;
use bulkhead::commands::{Argument, ArgumentKind, BeginSearch, Command, FindKeys, Flag, KeySpec, Run};

use support::{Client, Server};

/// A command or subcommand, as COMMAND names it.
struct Row {
    name: String,
    command: &'static Command,
    container: Option<&'static Command>,
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for command in table::all() {
        rows.push(Row { name: command.name.into(), command, container: None });
        for sub in command.subcommands {
            rows.push(Row { name: format!("{}|{}", command.name, sub.name), command: sub, container: Some(command) });
        }
    }
    rows
}

// ---- Examples ------------------------------------------------------------------------------------------------------

#[test]
fn every_example_is_what_a_fresh_server_answers() {
    let waiting = Mutex::new(rows());
    let wrong = Mutex::new(Vec::new());
    // Most of the time goes into starting servers, which wait for the disk.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(row) = { waiting.lock().expect("no panic in between").pop() } {
                    if let Err(problem) = check_examples(&row) {
                        wrong.lock().expect("no panic in between").push(format!("{}: {problem}", row.name));
                    }
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().expect("no panic in between");
    wrong.sort();
    assert!(wrong.is_empty(), "{} commands with wrong examples:\n{}", wrong.len(), wrong.join("\n"));
}

fn check_examples(row: &Row) -> Result<(), String> {
    if matches!(row.command.run, Run::Container) {
        return Ok(());
    }
    let exchanges = parse_examples(row.command.examples)?;
    let server = Server::start(&[]);
    let mut client = server.client();
    let own_name = |line: &str| {
        let mut words = line.split_whitespace();
        let first =
            words.next().is_some_and(|word| word.eq_ignore_ascii_case(row.container.unwrap_or(row.command).name));
        first
            && row
                .container
                .is_none_or(|_| words.next().is_some_and(|word| word.eq_ignore_ascii_case(row.command.name)))
    };
    if !exchanges.iter().any(|exchange| own_name(&exchange.line)) {
        return Err("its example does not call it".into());
    }
    exchanges.iter().try_for_each(|exchange| exchange.check(&mut client))
}

/// A line of a transcript that is sent, and the lines that are to come back.
struct Exchange {
    line: String,
    expected: Vec<String>,
}

fn parse_examples(transcript: &str) -> Result<Vec<Exchange>, String> {
    let mut exchanges: Vec<Exchange> = Vec::new();
    for text in transcript.lines() {
        match (text.strip_prefix("> "), exchanges.last_mut()) {
            (Some(line), _) => exchanges.push(Exchange { line: line.into(), expected: Vec::new() }),
            (None, Some(exchange)) => exchange.expected.push(text.into()),
            (None, None) => return Err(format!("its example begins with a reply: {text}")),
        }
    }
    if exchanges.is_empty() { Err("it has no example".into()) } else { Ok(exchanges) }
}

impl Exchange {
    /// Sends the line. Without expected lines there must be no reply, but the end of the connection (SHUTDOWN).
    fn check(&self, client: &mut Client) -> Result<(), String> {
        client.try_send(&support::split_line(&self.line)).map_err(|error| format!("> {}\n{error}", self.line))?;
        let (expected, has_rest) = match self.expected.split_last() {
            Some((last, lines)) if last.trim() == "..." => (lines, true),
            _ => (&self.expected[..], false),
        };
        let got = match client.try_read() {
            Ok(value) => value.to_string(),
            Err(_) if self.expected.is_empty() => return Ok(()),
            Err(error) => return Err(format!("> {}\nno reply: {error}", self.line)),
        };
        let got: Vec<&str> = got.lines().collect();
        let alike = if has_rest { got.starts_with(&as_strs(expected)) } else { got == as_strs(expected) };
        match alike {
            true => Ok(()),
            false => Err(format!("> {}\nexpected:\n{}\ngot:\n{}", self.line, self.expected.join("\n"), got.join("\n"))),
        }
    }
}

fn as_strs(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).collect()
}

#[test]
fn transcripts_are_split_into_lines_and_replies() {
    let exchanges = parse_examples("> SET a 1\nOK\n> KEYS *\n1) \"a\"\n...").unwrap();
    let found: Vec<(&str, usize)> = exchanges.iter().map(|e| (e.line.as_str(), e.expected.len())).collect();
    assert_eq!(found, [("SET a 1", 1), ("KEYS *", 2)]);
    assert!(parse_examples("").is_err() && parse_examples("OK\n> PING").is_err());
}

// ---- The table -----------------------------------------------------------------------------------------------------

/// What must hold for a row; each gives what is wrong.
const RULES: &[fn(&Row) -> Option<String>] = &[
    |row| {
        let fine = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || "-_".contains(char);
        (row.command.name.is_empty() || !row.command.name.chars().all(fine))
            .then(|| "a name is of lower-case letters".into())
    },
    |row| {
        let command = row.command;
        let runs = !matches!(command.run, Run::Container);
        (!runs && command.subcommands.is_empty()).then(|| "a container without subcommands".into())
    },
    |row| {
        let least = 1 + usize::from(row.container.is_some());
        (row.command.arity.unsigned_abs() < least as u32)
            .then(|| format!("arity {} leaves no room for its name", row.command.arity))
    },
    |row| arity_fits_arguments(row),
    |row| {
        let has = |flag| row.command.has(flag);
        (has(Flag::Write) && has(Flag::Readonly)).then(|| "both write and readonly".into())
    },
    |row| {
        let stored = matches!(row.command.run, Run::Storage(_) | Run::Script(_));
        (row.command.writes() && !stored).then(|| "writes, but does not run in the storage runtime".into())
    },
    |row| repeated(row.command.flags.iter().map(|flag| flag.name())).map(|flag| format!("flag {flag} twice")),
    |row| repeated(row.command.categories.iter().copied()).map(|category| format!("category {category} twice")),
    |row| {
        let odd = row.command.categories.iter().find(|category| !category.starts_with('@'));
        odd.map(|category| format!("category {category} without @"))
    },
    |row| row.command.summary.is_empty().then(|| "no summary".into()),
    |row| {
        let versions = row.command.history.iter().map(|(version, _)| *version);
        let odd = versions.chain([row.command.since]).find(|version| parse_version(version).is_none());
        odd.map(|version| format!("{version} is no version"))
    },
    |row| {
        let odd = all_arguments(row.command.arguments)
            .into_iter()
            .find(|argument| argument.since.is_some_and(|since| parse_version(since).is_none()));
        odd.map(|argument| format!("argument {}: since is no version", argument.name))
    },
    |row| {
        let nests = |kind| matches!(kind, ArgumentKind::OneOf | ArgumentKind::Block);
        let odd = all_arguments(row.command.arguments)
            .into_iter()
            .find(|argument| nests(argument.kind) == argument.arguments.is_empty());
        odd.map(|argument| {
            format!("argument {}: {} and its own arguments do not fit", argument.name, argument.kind.name())
        })
    },
    |row| {
        let odd = all_arguments(row.command.arguments)
            .into_iter()
            .find(|argument| argument.kind == ArgumentKind::PureToken && argument.token.is_none());
        odd.map(|argument| format!("argument {}: a pure token without one", argument.name))
    },
    |row| key_specs_fit_arguments(row),
    |row| {
        let odd = row.command.keys.iter().find(|spec| {
            !no_keys(spec) && spec.flags.iter().filter(|flag| ["RW", "RO", "OW", "RM"].contains(flag)).count() != 1
        });
        odd.map(|spec| format!("key specification {:?}: one of RW, RO, OW, RM", spec.flags))
    },
    |row| {
        let changes = |spec: &&KeySpec| !no_keys(spec) && !spec.flags.contains(&"RO");
        let odd = row.command.keys.iter().find(changes).filter(|_| !row.command.writes());
        odd.map(|spec| format!("key specification {:?} in a command that does not write", spec.flags))
    },
    |row| {
        let odd = row.command.keys.iter().find(|spec| match (spec.begin, spec.find) {
            (BeginSearch::Index(0), _) => true,
            (_, FindKeys::Range { step, limit, .. }) => step < 1 || limit < 0,
            (_, FindKeys::KeyNum { step, .. }) => step < 1,
            _ => false,
        });
        odd.map(|spec| format!("key specification {spec:?}"))
    },
];

#[test]
fn every_row_is_sound() {
    let problems = rows()
        .iter()
        .flat_map(|row| RULES.iter().filter_map(move |rule| Some(format!("{}: {}", row.name, rule(row)?))))
        .collect::<Vec<_>>();
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn names_are_unique() {
    assert_eq!(repeated(rows().iter().map(|row| row.name.as_str())), None);
}

/// Where Redis' own table, which ours repeats, describes the arguments more loosely or more strictly than the arity.
const LOOSE_ARITY: &[(&str, &str)] = &[
    ("client|kill", "each of its filters is optional, but one must be there"),
    ("geohash", "may be called without members, which Redis does not describe"),
    ("geopos", "may be called without members, which Redis does not describe"),
    ("pfmerge", "may be called without sources, which Redis does not describe"),
    ("debug", "has subcommands that nobody should rely on"),
    ("command|getkeys", "takes a whole command, which Redis does not describe"),
    ("command|getkeysandflags", "takes a whole command, which Redis does not describe"),
];

/// The fewest words that the grammar allows must satisfy the arity, and one less must not.
fn arity_fits_arguments(row: &Row) -> Option<String> {
    let words = 1 + usize::from(row.container.is_some());
    let least: usize = words + row.command.arguments.iter().map(least_words).sum::<usize>();
    let grows = all_arguments(row.command.arguments).into_iter().any(|argument| argument.optional || argument.multiple);
    let arity = row.command.arity;
    let is_bare_container = row.command.arguments.is_empty() && matches!(row.command.run, Run::Container);
    if is_bare_container || LOOSE_ARITY.iter().any(|(name, _)| *name == row.name) {
        return None;
    }
    if !row.command.accepts(least) || (least > words && row.command.accepts(least - 1)) {
        return Some(format!("arity {arity}, but its arguments take at least {least} words"));
    }
    (arity > 0 && grows).then(|| format!("arity {arity} is exact, but an argument is optional or repeats"))
}

fn least_words(argument: &Argument) -> usize {
    if argument.optional {
        return 0;
    }
    let own = match argument.kind {
        ArgumentKind::PureToken => 0,
        ArgumentKind::OneOf => argument.arguments.iter().map(least_words).min().unwrap_or(0),
        ArgumentKind::Block => argument.arguments.iter().map(least_words).sum(),
        _ => 1,
    };
    own + usize::from(argument.token.is_some())
}

/// What stands there is routed as keys are, and is none: a shard channel.
fn no_keys(spec: &KeySpec) -> bool {
    spec.flags.contains(&"not_key")
}

/// Every key argument names a specification that exists, and every specification is some argument's.
fn key_specs_fit_arguments(row: &Row) -> Option<String> {
    let named: BTreeSet<usize> =
        all_arguments(row.command.arguments).iter().filter_map(|argument| argument.key_spec).collect();
    let keys = row.command.keys.iter().enumerate().filter(|(_, spec)| !no_keys(spec));
    let specs: BTreeSet<usize> = keys.map(|(index, _)| index).collect();
    (named != specs).then(|| format!("arguments name key specifications {named:?}, the row has {specs:?}"))
}

fn all_arguments(arguments: &'static [Argument]) -> Vec<&'static Argument> {
    arguments.iter().flat_map(|argument| [argument].into_iter().chain(all_arguments(argument.arguments))).collect()
}

fn repeated<T: Ord + Copy>(items: impl Iterator<Item = T>) -> Option<T> {
    let mut seen = BTreeSet::new();
    let mut items = items;
    items.find(|item| !seen.insert(*item))
}

fn parse_version(text: &str) -> Option<Vec<u32>> {
    let parts: Vec<u32> = text.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    (parts.len() == 3).then_some(parts)
}
