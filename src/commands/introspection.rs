//! What the server says of its own commands: COMMAND, and HELP of every container.
//!
//! Everything is read off the command table; there must never be a second list of anything it says. Shapes and orders
//! are those of Redis 7.0's replies, which client libraries and redis-cli parse.

use std::iter::once;

use super::connection::text;
use super::table::key_positions;
use super::{
    Argument, ArgumentKind, BeginSearch, Command, CommandError, CommandTable, FindKeys, Flag, Group, KeySpec, Next,
    Run, Session, echoed,
};
use crate::glob;
use crate::resp::{CommandArgs, ReplyBuffer};

pub static COMMANDS: &[&Command] = &[&COMMAND];

/// The ACL categories, in Redis' order.
pub(super) const CATEGORIES: &[&str] = &[
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

const BASE: Command = Command {
    group: Group::Server,
    flags: &[Flag::Loading, Flag::Stale],
    categories: &["@connection"],
    ..Command::BASE
};

static COMMAND: Command = Command {
    name: "command",
    summary: "Get array of Redis command details",
    since: "2.8.13",
    complexity: "O(N) where N is the total number of Redis commands",
    arity: -1,
    tips: &["nondeterministic_output_order"],
    subcommands: &[&COUNT, &DOCS, &GETKEYS, &GETKEYSANDFLAGS, &COMMAND_HELP, &INFO, &LIST],
    examples: r#"> COMMAND
..."#,
    run: Run::Session(command),
    ..BASE
};

fn command(session: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let commands = &session.server.commands;
    reply.array(commands.len());
    commands.iter().for_each(|(name, command)| write_info(name, command, reply));
    Ok(Next::Done)
}

static COUNT: Command = Command {
    name: "count",
    summary: "Get total number of Redis commands",
    since: "2.8.13",
    arity: 2,
    examples: r#"> COMMAND COUNT
..."#,
    run: Run::Session(count),
    ..BASE
};

fn count(session: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    reply.integer(session.server.commands.len() as i64);
    Ok(Next::Done)
}

static INFO: Command = Command {
    name: "info",
    summary: "Get array of specific Redis command details, or all when no argument is given.",
    since: "2.8.13",
    complexity: "O(N) where N is the number of commands to look up",
    arity: -2,
    tips: &["nondeterministic_output_order"],
    history: &[("7.0.0", "Allowed to be called with no argument to get info on all commands.")],
    arguments: &[Argument::string("command-name").optional().multiple()],
    examples: r#"> COMMAND INFO echo nosuchcommand
1)  1) "echo"
    2) (integer) 2
    3) 1) loading
       2) stale
       3) fast
    4) (integer) 0
    5) (integer) 0
    6) (integer) 0
    7) 1) @fast
       2) @connection
    8) (empty array)
    9) (empty array)
   10) (empty array)
2) (nil)"#,
    run: Run::Session(info),
    ..BASE
};

fn info(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    if args.len() == 2 {
        return command(session, args, reply);
    }
    reply.array(args.len() - 2);
    for name in args.iter().skip(2) {
        match find(&session.server.commands, name) {
            Some((name, command)) => write_info(&name, command, reply),
            None => reply.null(),
        }
    }
    Ok(Next::Done)
}

static DOCS: Command = Command {
    name: "docs",
    summary: "Get array of specific Redis command documentation",
    since: "7.0.0",
    complexity: "O(N) where N is the number of commands to look up",
    arity: -2,
    tips: &["nondeterministic_output_order"],
    arguments: &[Argument::string("command-name").optional().multiple()],
    examples: r#"> COMMAND DOCS echo
1) "echo"
2)  1) "summary"
    2) "Echo the given string"
    3) "since"
    4) "1.0.0"
    5) "group"
    6) "connection"
    7) "complexity"
    8) "O(1)"
    9) "arguments"
   10) 1) 1) "name"
          2) "message"
          3) "type"
          4) "string""#,
    run: Run::Session(docs),
    ..BASE
};

fn docs(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let commands = &session.server.commands;
    let chosen: Vec<(String, &Command)> = match args.len() {
        2 => commands.iter().map(|(name, command)| (name.to_string(), command)).collect(),
        _ => args.iter().skip(2).filter_map(|name| find(commands, name)).collect(),
    };
    reply.map(chosen.len());
    for (name, command) in chosen {
        reply.bulk(name.as_bytes());
        write_docs(&name, command, reply);
    }
    Ok(Next::Done)
}

static LIST: Command = Command {
    name: "list",
    summary: "Get an array of Redis command names",
    since: "7.0.0",
    complexity: "O(N) where N is the total number of Redis commands",
    arity: -2,
    tips: &["nondeterministic_output_order"],
    arguments: &[Argument::one_of(
        "filterby",
        &[
            Argument::string("module-name").token("MODULE"),
            Argument::string("category").token("ACLCAT"),
            Argument::new("pattern", ArgumentKind::Pattern).token("PATTERN"),
        ],
    )
    .token("FILTERBY")
    .optional()],
    examples: r#"> COMMAND LIST FILTERBY PATTERN client|?etname
1) "client|getname"
2) "client|setname"
> COMMAND LIST FILTERBY MODULE search
(empty array)"#,
    run: Run::Session(list),
    ..BASE
};

fn list(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let wanted = match args.len() {
        2 => ListFilter::All,
        5 if args[2].eq_ignore_ascii_case(b"FILTERBY") => ListFilter::parse(&args[3], &args[4])?,
        _ => return Err(CommandError::Syntax),
    };
    write_names(&session.server.commands, |name, command| wanted.matches(name, command), reply);
    Ok(Next::Done)
}

/// COMMAND LIST FILTERBY.
enum ListFilter<'a> {
    All,
    /// There are no modules.
    Module,
    Category(&'a [u8]),
    Pattern(&'a [u8]),
}

impl<'a> ListFilter<'a> {
    fn parse(by: &[u8], value: &'a [u8]) -> Result<ListFilter<'a>, CommandError> {
        match by.to_ascii_uppercase().as_slice() {
            b"MODULE" => Ok(ListFilter::Module),
            b"ACLCAT" => Ok(ListFilter::Category(value)),
            b"PATTERN" => Ok(ListFilter::Pattern(value)),
            _ => Err(CommandError::Syntax),
        }
    }

    fn matches(&self, name: &str, command: &Command) -> bool {
        match self {
            ListFilter::All => true,
            ListFilter::Module => false,
            ListFilter::Category(category) => is_in_category(command, category),
            ListFilter::Pattern(pattern) => glob::matches_nocase(pattern, name.as_bytes()),
        }
    }
}

/// Whether a command is in an ACL category, given without its `@` in any case.
pub(super) fn is_in_category(command: &Command, category: &[u8]) -> bool {
    command.acl_categories().iter().any(|known| known.as_bytes()[1..].eq_ignore_ascii_case(category))
}

/// Writes the names of all commands and subcommands that are wanted.
pub(super) fn write_names(commands: &CommandTable, wanted: impl Fn(&str, &Command) -> bool, reply: &mut ReplyBuffer) {
    let (names, mut count) = (reply.deferred(), 0);
    for (name, command) in commands.iter() {
        let subcommands = command.subcommands.iter().map(|sub| (format!("{name}|{}", sub.name), *sub));
        for (name, _) in once((name.to_string(), command)).chain(subcommands).filter(|(name, row)| wanted(name, row)) {
            reply.bulk(name.as_bytes());
            count += 1;
        }
    }
    reply.finish_array(names, count);
}

static GETKEYS: Command = Command {
    name: "getkeys",
    summary: "Extract keys given a full Redis command",
    since: "2.8.13",
    complexity: "O(N) where N is the number of arguments to the command",
    arity: -4,
    examples: r#"> COMMAND GETKEYS MSET key1 Hello key2 World
1) "key1"
2) "key2"
> COMMAND GETKEYS ECHO Hello
(error) ERR The command has no key arguments"#,
    run: Run::Session(getkeys),
    ..BASE
};

fn getkeys(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let called = args.slice(2);
    let (_, keys) = keys_of(&session.server.commands, &called)?;
    reply.array(keys.len());
    keys.into_iter().for_each(|(at, _)| reply.bulk(&called[at]));
    Ok(Next::Done)
}

static GETKEYSANDFLAGS: Command = Command {
    name: "getkeysandflags",
    summary: "Extract keys and access flags given a full Redis command",
    since: "7.0.0",
    complexity: "O(N) where N is the number of arguments to the command",
    arity: -4,
    examples: r#"> COMMAND GETKEYSANDFLAGS MSET key1 Hello
1) 1) "key1"
   2) 1) OW
      2) update"#,
    run: Run::Session(getkeysandflags),
    ..BASE
};

fn getkeysandflags(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let called = args.slice(2);
    let (command, keys) = keys_of(&session.server.commands, &called)?;
    reply.array(keys.len());
    for (at, spec) in keys {
        reply.array(2);
        reply.bulk(&called[at]);
        write_set(flags_in_call(command, spec, &called).iter().copied(), reply);
    }
    Ok(Next::Done)
}

/// The flags of a key in this call. Those of SET and BITFIELD depend on the other arguments: whether the one reads as
/// well, and the other writes at all.
fn flags_in_call<'s>(command: &Command, spec: &'s KeySpec, args: &CommandArgs) -> &'s [&'static str] {
    if !spec.flags.contains(&"variable_flags") {
        return spec.flags;
    }
    if command.name == "bitfield" {
        return if only_gets(args) { &["RO", "access"] } else { &["RW", "access", "update"] };
    }
    let reads = args.iter().skip(3).any(|word| word.eq_ignore_ascii_case(b"GET"));
    if reads { &["RW", "access", "update"] } else { &["OW", "update"] }
}

/// Whether all steps of a BITFIELD are GETs; one that is no step at all is not.
fn only_gets(args: &CommandArgs) -> bool {
    let mut at = 2;
    while at < args.len() {
        let behind = args.len() - at - 1;
        at += match &args[at] {
            word if word.eq_ignore_ascii_case(b"GET") && behind >= 2 => 3,
            word if word.eq_ignore_ascii_case(b"OVERFLOW") && behind >= 1 => 2,
            _ => return false,
        };
    }
    true
}

/// The keys of a call: where they are, and what says so.
type Keys = Vec<(usize, &'static KeySpec)>;

/// What a call calls, and where its keys are.
fn keys_of(commands: &CommandTable, args: &CommandArgs) -> Result<(&'static Command, Keys), CommandError> {
    let error = |text: &'static str| Err(CommandError::custom(text));
    let container = commands.get(args.name());
    let command = match (container, args.get(1)) {
        (Some(container), Some(word)) if !container.subcommands.is_empty() => subcommand(container, word),
        _ => container,
    };
    match command {
        None => error("ERR Invalid command specified"),
        Some(command) if command.keys.is_empty() => error("ERR The command has no key arguments"),
        Some(command) if !command.accepts(args.len()) => error("ERR Invalid number of arguments specified for command"),
        Some(command) => match key_positions(command, args) {
            keys if keys.is_empty() && !command.has(Flag::NoMandatoryKeys) => {
                error("ERR Invalid arguments specified for command")
            }
            keys => Ok((command, keys)),
        },
    }
}

/// The command called `name` (`get`, `client|list`), and how it is called here.
fn find(commands: &CommandTable, name: &[u8]) -> Option<(String, &'static Command)> {
    let mut words = name.split(|byte| *byte == b'|');
    let container = words.next()?;
    let command = commands.get(container)?;
    let container = text(container).to_ascii_lowercase();
    match (words.next(), words.next()) {
        (None, _) => Some((container, command)),
        (Some(word), None) => subcommand(command, word).map(|sub| (format!("{container}|{}", sub.name), sub)),
        (Some(_), Some(_)) => None,
    }
}

fn subcommand(container: &Command, word: &[u8]) -> Option<&'static Command> {
    container.subcommands.iter().copied().find(|sub| sub.name.as_bytes().eq_ignore_ascii_case(word))
}

// ---- COMMAND INFO's rows -------------------------------------------------------------------------------------------

fn write_info(name: &str, command: &Command, reply: &mut ReplyBuffer) {
    reply.array(10);
    reply.bulk(name.as_bytes());
    reply.integer(i64::from(command.arity));
    // Redis keeps this one to itself.
    let flags: Vec<_> = command.flags.iter().filter(|flag| **flag != Flag::MayReplicate).collect();
    write_set(flags.iter().map(|flag| flag.name()), reply);
    let (first, last, step) = legacy_keys(command.keys);
    for number in [first, last, step] {
        reply.integer(number);
    }
    let categories: Vec<String> = CATEGORIES
        .iter()
        .filter(|category| is_in_category(command, category.as_bytes()))
        .map(|category| format!("@{category}"))
        .collect();
    write_set(categories.iter().map(String::as_str), reply);
    reply.set(command.tips.len());
    command.tips.iter().for_each(|tip| reply.bulk(tip.as_bytes()));
    reply.set(command.keys.len());
    command.keys.iter().for_each(|spec| write_key_spec(spec, reply));
    match command.subcommands.len() {
        // So it is in Redis.
        0 => reply.set(0),
        count => reply.array(count),
    }
    for sub in command.subcommands {
        write_info(&format!("{name}|{}", sub.name), sub, reply);
    }
}

/// The first and last key and the step between keys, as clients knew them before key specifications: the first run of
/// single keys that follow on each other; what does not fit in is left to `movablekeys`.
fn legacy_keys(specs: &[KeySpec]) -> (i64, i64, i64) {
    let range = |spec: &KeySpec| match (spec.begin, spec.find) {
        (BeginSearch::Index(first), FindKeys::Range { last, step, .. }) => {
            let (first, last) = (first as i64, i64::from(last));
            Some((first, if last >= 0 { first + last } else { last }, i64::from(step)))
        }
        _ => None,
    };
    if let [spec] = specs {
        return range(spec).unwrap_or_default();
    }
    let mut joined: Option<(i64, i64)> = None;
    for (first, last, step) in specs.iter().filter_map(range) {
        let follows = joined.is_none_or(|(_, end)| end == first - 1);
        if step == 1 && follows {
            joined = Some((joined.map_or(first, |(begin, _)| begin), last));
        }
    }
    joined.map_or((0, 0, 0), |(first, last)| (first, last, 1))
}

fn write_key_spec(spec: &KeySpec, reply: &mut ReplyBuffer) {
    let has_notes = !spec.notes.is_empty();
    reply.map(3 + usize::from(has_notes));
    if has_notes {
        write_pair("notes", spec.notes, reply);
    }
    reply.bulk(b"flags");
    write_set(spec.flags.iter().copied(), reply);
    reply.bulk(b"begin_search");
    match spec.begin {
        BeginSearch::Index(index) => write_search("index", &[("index", index as i64)], reply),
        BeginSearch::Keyword { keyword, start_from } => {
            reply.map(2);
            write_pair("type", "keyword", reply);
            reply.bulk(b"spec");
            reply.map(2);
            write_pair("keyword", keyword, reply);
            reply.bulk(b"startfrom");
            reply.integer(i64::from(start_from));
        }
        BeginSearch::Unknown => write_search("unknown", &[], reply),
    }
    reply.bulk(b"find_keys");
    match spec.find {
        FindKeys::Range { last, step, limit } => {
            let spec = [("lastkey", last.into()), ("keystep", step.into()), ("limit", limit.into())];
            write_search("range", &spec, reply);
        }
        FindKeys::KeyNum { key_num_index, first_key, step } => {
            let spec = [("keynumidx", key_num_index as i64), ("firstkey", first_key as i64), ("keystep", step as i64)];
            write_search("keynum", &spec, reply);
        }
        FindKeys::Unknown | FindKeys::Search(_) => write_search("unknown", &[], reply),
    }
}

/// A step of a key specification: its type, and a map of numbers.
fn write_search(kind: &str, spec: &[(&str, i64)], reply: &mut ReplyBuffer) {
    reply.map(2);
    write_pair("type", kind, reply);
    reply.bulk(b"spec");
    reply.map(spec.len());
    for (name, number) in spec {
        reply.bulk(name.as_bytes());
        reply.integer(*number);
    }
}

// ---- COMMAND DOCS' maps --------------------------------------------------------------------------------------------

fn write_docs(name: &str, command: &Command, reply: &mut ReplyBuffer) {
    let (map, mut pairs) = (reply.deferred(), 3);
    write_pair("summary", command.summary, reply);
    write_pair("since", command.since, reply);
    write_pair("group", command.group.name(), reply);
    pairs += write_optional("complexity", Some(command.complexity).filter(|text| !text.is_empty()), reply);
    let doc_flags: Vec<&str> =
        command.deprecated.map(|_| "deprecated").into_iter().chain(command.doc_flags.iter().copied()).collect();
    if !doc_flags.is_empty() {
        reply.bulk(b"doc_flags");
        write_set(doc_flags.into_iter(), reply);
        pairs += 1;
    }
    if let Some((since, replaced_by)) = command.deprecated {
        write_pair("deprecated_since", since, reply);
        write_pair("replaced_by", replaced_by, reply);
        pairs += 2;
    }
    if !command.history.is_empty() {
        reply.bulk(b"history");
        reply.set(command.history.len());
        for (version, change) in command.history {
            reply.array(2);
            reply.bulk(version.as_bytes());
            reply.bulk(change.as_bytes());
        }
        pairs += 1;
    }
    if !command.arguments.is_empty() {
        reply.bulk(b"arguments");
        write_arguments(command.arguments, reply);
        pairs += 1;
    }
    if !command.subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(command.subcommands.len());
        for sub in command.subcommands {
            let name = format!("{name}|{}", sub.name);
            reply.bulk(name.as_bytes());
            write_docs(&name, sub, reply);
        }
        pairs += 1;
    }
    reply.finish_map(map, pairs);
}

fn write_arguments(arguments: &[Argument], reply: &mut ReplyBuffer) {
    reply.array(arguments.len());
    for argument in arguments {
        write_argument(argument, reply);
    }
}

fn write_argument(argument: &Argument, reply: &mut ReplyBuffer) {
    let (map, mut pairs) = (reply.deferred(), 2);
    write_pair("name", argument.name, reply);
    write_pair("type", argument.kind.name(), reply);
    if let Some(index) = argument.key_spec {
        reply.bulk(b"key_spec_index");
        reply.integer(index as i64);
        pairs += 1;
    }
    pairs += write_optional("token", argument.token, reply);
    pairs += write_optional("summary", argument.summary, reply);
    pairs += write_optional("since", argument.since, reply);
    pairs += write_optional("deprecated_since", argument.deprecated_since, reply);
    let flags: Vec<&str> =
        [(argument.optional, "optional"), (argument.multiple, "multiple"), (argument.multiple_token, "multiple_token")]
            .into_iter()
            .filter_map(|(holds, flag)| holds.then_some(flag))
            .collect();
    if !flags.is_empty() {
        reply.bulk(b"flags");
        write_set(flags.into_iter(), reply);
        pairs += 1;
    }
    if !argument.arguments.is_empty() {
        reply.bulk(b"arguments");
        write_arguments(argument.arguments, reply);
        pairs += 1;
    }
    reply.finish_map(map, pairs);
}

fn write_pair(name: &str, value: &str, reply: &mut ReplyBuffer) {
    reply.bulk(name.as_bytes());
    reply.bulk(value.as_bytes());
}

/// Writes a pair, if there is a value. Returns how many it wrote.
fn write_optional(name: &str, value: Option<&str>, reply: &mut ReplyBuffer) -> usize {
    if let Some(value) = value {
        write_pair(name, value, reply);
    }
    usize::from(value.is_some())
}

/// A set of statuses: how Redis writes flags.
fn write_set<'a>(words: impl ExactSizeIterator<Item = &'a str>, reply: &mut ReplyBuffer) {
    reply.set(words.len());
    words.for_each(|word| reply.simple(word));
}

// ---- HELP ----------------------------------------------------------------------------------------------------------

static COMMAND_HELP: Command = Command {
    categories: BASE.categories,
    examples: r#"> COMMAND HELP
..."#,
    ..HELP
};

/// HELP of any container, to be completed with its group, its categories and its example.
pub(super) const HELP: Command = Command {
    name: "help",
    group: Group::Server,
    summary: "Show helpful text about the different subcommands",
    since: "5.0.0",
    arity: 2,
    flags: &[Flag::Loading, Flag::Stale],
    run: Run::Session(help),
    ..Command::BASE
};

fn help(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let container = session.server.commands.get(args.name()).ok_or(CommandError::Internal)?;
    let name = text(args.name()).to_ascii_uppercase();
    reply.array(1 + 2 * container.subcommands.len());
    reply.simple(&format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for sub in container.subcommands {
        let words = once(sub.name.to_ascii_uppercase()).chain(sub.arguments.iter().map(syntax));
        reply.simple(&words.collect::<Vec<_>>().join(" "));
        reply.simple(&format!("    {}.", sub.summary.trim_end_matches('.')));
    }
    Ok(Next::Done)
}

/// How an argument is written: `[COUNT <count>]`, `(ON|OFF)`.
fn syntax(argument: &Argument) -> String {
    let parts = |separator| argument.arguments.iter().map(syntax).collect::<Vec<_>>().join(separator);
    let value = match argument.kind {
        ArgumentKind::PureToken => None,
        ArgumentKind::OneOf if argument.optional && argument.token.is_none() => Some(parts("|")),
        ArgumentKind::OneOf => Some(format!("({})", parts("|"))),
        ArgumentKind::Block => Some(parts(" ")),
        _ => Some(format!("<{}>", argument.name)),
    };
    let token = argument.token.map(str::to_string);
    let once: String = [&token, &value].into_iter().flatten().cloned().collect::<Vec<_>>().join(" ");
    let repeated = if argument.multiple_token { Some(&once) } else { value.as_ref() };
    let all = match repeated {
        Some(repeated) if argument.multiple => format!("{once} [{repeated} ...]"),
        _ => once,
    };
    if argument.optional { format!("[{all}]") } else { all }
}

/// The error of a subcommand that checks the number of its arguments itself.
pub(super) fn unknown_subcommand_or_arity(args: &CommandArgs) -> CommandError {
    let word = echoed(args.get(1).unwrap_or_default());
    let container = args.name().to_ascii_uppercase();
    let what = b"ERR unknown subcommand or wrong number of arguments for '";
    CommandError::echo(&[what, word, b"'. Try ", &container, b" HELP."])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::network_tests::TestClient;

    #[test]
    fn names_are_found_with_their_subcommands_in_any_case() {
        TestClient::new().check(&[
            ("command info nosuch client|nosuch client|list|x", "1) (nil)\n2) (nil)\n3) (nil)"),
            ("command docs nosuch", "(empty array)"),
            ("command list filterby pattern CLIENT|?etn*", "1) \"client|getname\"\n2) \"client|setname\""),
            ("command list filterby module x", "(empty array)"),
            ("command list filterby aclcat nosuch", "(empty array)"),
            ("command list filterby colour red", "(error) ERR syntax error"),
            ("command list filterby", "(error) ERR syntax error"),
        ]);
        let mut client = TestClient::new();
        assert!(client.run("command info Client|ID").starts_with("1)  1) \"client|id\"\n    2) (integer) 2\n"));
        assert!(client.run("command list filterby aclcat CONNECTION").contains("\"echo\""));
        let count = client.session.server.commands.len();
        assert_eq!(client.run("command count"), format!("(integer) {count}"));
        assert!(client.encoded("command").starts_with(format!("*{count}\r\n*10\r\n").as_bytes()));
        assert!(client.encoded("command docs").starts_with(format!("*{}\r\n", count * 2).as_bytes()));
    }

    #[test]
    fn keys_are_found_in_calls() {
        TestClient::new().check(&[
            ("command getkeys mset a 1 b 2", "1) \"a\"\n2) \"b\""),
            ("command getkeysandflags mset a 1", "1) 1) \"a\"\n   2) 1) OW\n      2) update"),
            ("command getkeysandflags set a GET", "1) 1) \"a\"\n   2) 1) OW\n      2) update"),
            ("command getkeysandflags set a 1 get", "1) 1) \"a\"\n   2) 1) RW\n      2) access\n      3) update"),
            ("command getkeys nosuch x", "(error) ERR Invalid command specified"),
            ("command getkeys client nosuch", "(error) ERR Invalid command specified"),
            ("command getkeys client list", "(error) ERR The command has no key arguments"),
            ("command getkeys get a b", "(error) ERR Invalid number of arguments specified for command"),
        ]);
    }

    #[test]
    fn a_renamed_command_goes_by_its_new_name() {
        let mut client = TestClient::with_config("rename-command CONFIG guarded\nrename-command DEBUG \"\"");
        client.check(&[
            ("command info config debug", "1) (nil)\n2) (nil)"),
            ("command list filterby pattern guarded|?et", "1) \"guarded|get\"\n2) \"guarded|set\""),
        ]);
        assert!(client.run("guarded help").contains("1) GUARDED <subcommand> "));
    }

    #[test]
    fn the_legacy_range_is_the_first_run_of_single_keys() {
        const FLAGS: &[&str] = &[];
        let keyword =
            KeySpec { begin: BeginSearch::Keyword { keyword: "STREAMS", start_from: 1 }, ..KeySpec::one(0, FLAGS) };
        for (specs, expected) in [
            (&[][..], (0, 0, 0)),
            (&[KeySpec::one(1, FLAGS)], (1, 1, 1)),
            (&[KeySpec::range(1, -1, 2, FLAGS)], (1, -1, 2)),
            (&[KeySpec::range(2, -2, 1, FLAGS)], (2, -2, 1)),
            (&[keyword], (0, 0, 0)),
            (&[KeySpec::one(1, FLAGS), KeySpec::one(2, FLAGS)], (1, 2, 1)),
            (&[KeySpec::one(1, FLAGS), KeySpec::one(3, FLAGS)], (1, 1, 1)),
            (&[KeySpec::one(1, FLAGS), KeySpec::range(2, -1, 1, FLAGS)], (1, -1, 1)),
            (&[KeySpec::one(1, FLAGS), keyword], (1, 1, 1)),
        ] {
            assert_eq!(legacy_keys(specs), expected, "{specs:?}");
        }
    }

    #[test]
    fn help_is_read_off_the_table() {
        let help = TestClient::new().run("client help");
        for line in [
            "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            "PAUSE <timeout> [WRITE|ALL]",
            "REPLY (ON|OFF|SKIP)",
        ] {
            assert!(help.contains(line), "{help}");
        }
        const PREFIX: Argument = Argument::string("prefix").token("PREFIX").optional().multiple();
        const PAIR: Argument = Argument::block("pair", &[Argument::string("a"), Argument::string("b")]).multiple();
        const HOW: Argument = Argument::one_of("how", &[Argument::flag("x", "X"), PAIR]).token("BY");
        for (argument, expected) in [
            (PREFIX, "[PREFIX <prefix> [<prefix> ...]]"),
            (PREFIX.multiple_token(), "[PREFIX <prefix> [PREFIX <prefix> ...]]"),
            (PAIR, "<a> <b> [<a> <b> ...]"),
            (HOW, "BY (X|<a> <b> [<a> <b> ...])"),
        ] {
            assert_eq!(syntax(&argument), expected);
        }
    }
}
