//! Configuration: any file, any flags, any CONFIG SET. Nothing panics, a refused change changes nothing, and what CONFIG
//! REWRITE writes says what held.

use std::io;
use std::path::Path;

use bulkhead::config::{Change, Config, DIRECTIVES, Directive, Invocation, Kind, LiveConfig, Loaded, Machine};

use crate::input::Input;

const MACHINE: Machine = Machine { cores: 2, memory_bytes: 1 << 30 };
const FILE: &str = "fuzz.conf";

/// A few lines and flags, most of them sensible, and now and then text that is not.
pub fn config(input: &[u8]) {
    let mut input = Input::new(input);
    let (mut lines, mut flags) = (Vec::new(), Vec::new());
    for _ in 0..input.index(8) {
        let row = row(&mut input);
        // What only files may say, REWRITE leaves to them: as a flag it would be lost, as in Redis.
        match input.one_in(3) && row.change != Change::FileOnly {
            true => flags.extend(line(&mut input, row, "--")),
            false => lines.push(line(&mut input, row, "").join(" ")),
        }
    }
    if input.one_in(4) {
        let len = usize::from(input.byte());
        lines.push(String::from_utf8_lossy(input.bytes(len)).into_owned());
    }
    let text = lines.join("\n");
    let arguments = [FILE.to_string()].into_iter().chain(flags);
    let Some(loaded) = load(arguments, &text) else { return };
    let live = LiveConfig::new(*loaded);
    check_rewrite(&live, &text);
    check_set(&live, &mut input);
    check_rewrite(&live, &text);
    assert!(live.get(&[b"*"]).len() > 100, "CONFIG GET * lists the directives");
}

fn load(arguments: impl IntoIterator<Item = String>, text: &str) -> Option<Box<Loaded>> {
    let mut files = |path: &Path| match path.to_str() {
        Some(FILE | "other.conf") => Ok(text.to_string()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    match Invocation::parse(arguments, &MACHINE, &mut files) {
        Ok(Invocation::Serve(loaded) | Invocation::CheckConfig(loaded)) => Some(loaded),
        Ok(Invocation::SampleConfig | Invocation::Version | Invocation::Help) => None,
        Err(errors) => {
            assert!(!errors.to_string().is_empty(), "an error says what is wrong");
            None
        }
    }
}

/// A directive's name and its value, in as many words as it takes.
fn line(input: &mut Input<'_>, row: &Directive, prefix: &str) -> Vec<String> {
    let mut words = vec![format!("{prefix}{}", row.name), value(input, row)];
    if input.one_in(16) {
        words.push(value(input, row));
    }
    words
}

fn row(input: &mut Input<'_>) -> &'static Directive {
    &DIRECTIVES[(usize::from(input.byte()) << 8 | usize::from(input.byte())) % DIRECTIVES.len()]
}

/// A value that fits the directive, one that fits another, or anything.
fn value(input: &mut Input<'_>, row: &Directive) -> String {
    const WORDS: &[&str] = &[
        "yes",
        "no",
        "0",
        "1",
        "-1",
        "16",
        "1000",
        "6379",
        "65536",
        "99999999999999999999",
        "1gb",
        "64mb",
        "2k",
        "10%",
        "auto",
        "always",
        "everysec",
        "noeviction",
        "allkeys-lru",
        "normal 0 0 0",
        "replica 1mb 2mb 3",
        "*",
        "-::1",
        "127.0.0.1 ::1",
        "localhost",
        "debug",
        "\"\"",
        "\"a b\"",
        "'x",
        "\"\\x00\"",
        "other.conf",
        "KEA",
        "3600 1 60 100",
        "get GET",
        "GET get",
        "flushall \"\"",
        "50 99.9",
        "a:b#c",
    ];
    match input.index(8) {
        0 => {
            let len = input.index(8);
            String::from_utf8_lossy(input.bytes(len)).into_owned()
        }
        1 => input.pick(WORDS).to_string(),
        2 | 3 => row.default.to_string(),
        _ => match row.kind {
            Kind::Bool => input.pick(&["yes", "no"]).to_string(),
            Kind::Integer { min, max } => input.pick(&[min, max, max / 2, min.saturating_add(1)]).to_string(),
            Kind::Octal { max } => format!("{:o}", input.pick(&[0, max, max / 2])),
            Kind::Memory { min, max } => input.pick(&[min, max, max / 2, min.saturating_add(1)]).to_string(),
            Kind::MemoryOrPercent => input.pick(&["0", "100%", "50%", "1gb"]).to_string(),
            Kind::Word(words) => input.pick(words).to_string(),
            Kind::Text | Kind::Special(_) | Kind::List(_) => input.pick(WORDS).to_string(),
        },
    }
}

fn current(live: &LiveConfig) -> Config {
    Config::clone(&live.current())
}

/// What REWRITE writes is read back as what holds.
fn check_rewrite(live: &LiveConfig, original: &str) {
    // A file that includes others cannot be judged by itself.
    if original.to_ascii_lowercase().contains("include") {
        return;
    }
    let rewritten = live.rewrite(original);
    let again = load([FILE.to_string()], &rewritten)
        .unwrap_or_else(|| panic!("a rewritten file is refused:\n{rewritten}\n--- it was:\n{original}"));
    assert_eq!(again.config, current(live), "a rewritten file says something else:\n{rewritten}");
    assert_eq!(live.rewrite(&rewritten), rewritten, "a second rewrite changes nothing");
}

fn check_set(live: &LiveConfig, input: &mut Input<'_>) {
    while !input.is_empty() {
        let row = row(input);
        let (before, value) = (current(live), value(input, row));
        let refuses = input.one_in(5);
        let carry_out = |_: &_, _: &[_]| if refuses { Err(("port", "taken".into())) } else { Ok(()) };
        if live.set(&[(row.name.as_bytes(), value.as_bytes())], carry_out).is_err() {
            assert_eq!(before, current(live), "a refused CONFIG SET {} {value} changed something", row.name);
        }
    }
}
