//! COMMAND INFO and COMMAND DOCS: clients route, and people read, by what these say, so for every command of ours that
//! Redis 7.0 has they must say what Redis says, but for the order within what Redis prints from a hash table.

use bulkhead::commands::table;
use bulkhead::resp::Value;

use crate::families::is_newer;
use crate::support::{Client, Server};

#[test]
fn command_info_and_docs_equal_the_real_servers() {
    let (ours, theirs) = (Server::start(&[]), Server::start_redis(&[]));
    let (mut ours, mut theirs) = (ours.client(), theirs.client());
    let mut differences = Vec::new();
    let mut compared = 0;
    for command in table::all() {
        let expected = one(&mut theirs, "INFO", command.name);
        if !matches!(expected, Value::Array(_)) {
            continue; // Not a command of Redis.
        }
        compared += 1;
        let subcommands: Vec<String> = command
            .subcommands
            .iter()
            .map(|sub| format!("{}|{}", command.name, sub.name))
            .filter(|name| !is_newer(name))
            .collect();
        let info = one(&mut ours, "INFO", command.name);
        difference(
            command.name,
            info_facts(&info, &subcommands),
            info_facts(&expected, &subcommands),
            &mut differences,
        );
        let [docs, expected] = [&mut ours, &mut theirs].map(|client| docs_of(client, command.name));
        difference(
            command.name,
            docs_facts(&docs, &subcommands),
            docs_facts(&expected, &subcommands),
            &mut differences,
        );
    }
    assert!(compared > 0, "no command was compared");
    assert!(differences.is_empty(), "{} facts differ:\n{}", differences.len(), differences.join("\n"));
}

/// Fields of Redis' INFO that would say nothing here, and why. A name that ends in `*` stands for all that begin so.
const NOT_IN_INFO: &[(&str, &str)] = &[
    ("server.gcc_version", "another compiler"),
    ("memory.allocator_*", "the allocator is not asked: mem_fragmentation_ratio is of the process as a whole"),
    ("memory.rss_overhead_*", "follows from what the allocator would say"),
];

/// Monitoring parses INFO: every field that it may look for is there.
#[test]
fn info_has_the_fields_of_the_real_server() {
    let (ours, theirs) = (Server::start(&[]), Server::start_redis(&[]));
    let [ours, theirs] = [&ours, &theirs].map(|server| {
        let mut client = server.client();
        client.ask("SET k v EX 100");
        client.ask("INCR k");
        info_names(&mut client)
    });
    let is_excused = |name: &str| {
        NOT_IN_INFO.iter().any(|(excused, _)| match excused.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == *excused,
        })
    };
    let missing: Vec<&String> = theirs.iter().filter(|name| !ours.contains(name) && !is_excused(name)).collect();
    assert!(missing.is_empty(), "{} fields are missing: {missing:?}", missing.len());
    assert!(theirs.len() > 150, "the real server said only {} fields", theirs.len());
}

/// `section.field` of `INFO everything`, in their order.
fn info_names(client: &mut Client) -> Vec<String> {
    let (Value::Bulk(report) | Value::Verbatim { text: report, .. }) = client.call(&["INFO", "everything"]) else {
        panic!("INFO is a text")
    };
    let report = String::from_utf8_lossy(&report).into_owned();
    let mut section = String::new();
    let mut names = Vec::new();
    for line in report.lines() {
        match (line.strip_prefix("# "), line.split_once(':')) {
            (Some(title), _) => section = title.to_ascii_lowercase(),
            (None, Some((name, _))) => names.push(format!("{section}.{name}")),
            (None, None) => {}
        }
    }
    names
}

/// `COMMAND INFO name` or the like replies with one element per name.
fn one(client: &mut Client, subcommand: &str, name: &str) -> Value {
    match client.call(&["COMMAND", subcommand, name]) {
        Value::Array(values) if values.len() == 1 => values.into_iter().next().expect("one value"),
        other => other,
    }
}

/// `COMMAND DOCS name` replies with the name and the documentation behind it.
fn docs_of(client: &mut Client, name: &str) -> Value {
    match client.call(&["COMMAND", "DOCS", name]) {
        Value::Array(mut parts) if parts.len() == 2 => parts.remove(1),
        other => other,
    }
}

/// Facts by their name; what has subcommands repeats them with the subcommand's name in front.
type Facts = Vec<(String, String)>;

fn difference(command: &str, ours: Facts, theirs: Facts, differences: &mut Vec<String>) {
    let find = |facts: &Facts, name: &str| facts.iter().find(|(fact, _)| fact == name).map(|(_, value)| value.clone());
    let mut names: Vec<&String> = ours.iter().chain(&theirs).map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    for name in names {
        let (got, expected) = (find(&ours, name), find(&theirs, name));
        if got != expected {
            let show = |value: Option<String>| value.unwrap_or_else(|| "(nothing)".into());
            differences.push(format!("{command}: {name}\n  expected {}\n  got      {}", show(expected), show(got)));
        }
    }
}

/// One command's entry of COMMAND INFO.
fn info_facts(info: &Value, subcommands: &[String]) -> Facts {
    let Value::Array(fields) = info else { return vec![("info".into(), info.to_string())] };
    let names =
        ["name", "arity", "flags", "first key", "last key", "step", "categories", "tips", "key specs", "subcommands"];
    let mut facts = vec![("info: number of fields".to_string(), fields.len().to_string())];
    for (name, field) in names.into_iter().zip(fields) {
        match name {
            "flags" | "categories" | "tips" => facts.push((format!("info: {name}"), flat(&sorted(field)))),
            "key specs" => facts.push((format!("info: {name}"), flat(&sorted_flags(field)))),
            "subcommands" => facts.extend(elements(field).iter().flat_map(|sub| {
                let name = elements(sub).first().map(text).unwrap_or_default();
                let wanted = subcommands.contains(&name);
                let facts = if wanted { info_facts(sub, &[]) } else { Facts::new() };
                facts.into_iter().map(move |(fact, value)| (format!("{name} {fact}"), value))
            })),
            _ => facts.push((format!("info: {name}"), flat(field))),
        }
    }
    facts
}

/// One command's entry of COMMAND DOCS: names and values in turn.
fn docs_facts(docs: &Value, subcommands: &[String]) -> Facts {
    let Value::Array(parts) = docs else { return vec![("docs".into(), docs.to_string())] };
    let mut facts = Facts::new();
    for pair in parts.chunks(2) {
        let (name, value) = (text(&pair[0]), &pair[pair.len() - 1]);
        match name.as_str() {
            "history" | "doc_flags" => facts.push((format!("docs: {name}"), flat(&sorted(value)))),
            "arguments" => facts.push((format!("docs: {name}"), flat(&sorted_flags(value)))),
            "subcommands" => facts.extend(elements(value).chunks(2).flat_map(|pair| {
                let (name, docs) = (text(&pair[0]), &pair[pair.len() - 1]);
                let facts = if subcommands.contains(&name) { docs_facts(docs, &[]) } else { Facts::new() };
                facts.into_iter().map(move |(fact, value)| (format!("{name} {fact}"), value))
            })),
            _ => facts.push((format!("docs: {name}"), flat(value))),
        }
    }
    facts
}

fn elements(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) | Value::Set(values) => values,
        _ => &[],
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Bulk(text) | Value::Simple(text) => String::from_utf8_lossy(text).into_owned(),
        other => other.to_string(),
    }
}

/// An array in order of its elements' text.
fn sorted(value: &Value) -> Value {
    let mut values = elements(value).to_vec();
    values.sort_by_key(flat);
    Value::Array(values)
}

/// With whatever stands behind a `flags` sorted, at any depth.
fn sorted_flags(value: &Value) -> Value {
    let mut after_flags = false;
    let parts = elements(value).iter().map(|part| {
        let was_flags = std::mem::replace(
            &mut after_flags,
            matches!(part, Value::Bulk(_) | Value::Simple(_)) && text(part) == "flags",
        );
        match part {
            Value::Array(_) if was_flags => sorted(part),
            Value::Array(_) => sorted_flags(part),
            other => other.clone(),
        }
    });
    Value::Array(parts.collect())
}

/// On one line, with the type of each string: `+status "bulk"`.
fn flat(value: &Value) -> String {
    match value {
        Value::Array(values) => format!("[{}]", values.iter().map(flat).collect::<Vec<_>>().join(" ")),
        Value::Simple(text) => format!("+{}", String::from_utf8_lossy(text)),
        other => other.to_string(),
    }
}
