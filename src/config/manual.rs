//! What the server says of itself on the command line: version, help, a sample of a configuration file.
//!
//! All of it is derived from the directive table and the table of flags. Nothing here is printed here.

use super::directive::{Change, Directive};
use super::invocation::ACTIONS;
use super::table::DIRECTIVES;

/// The version of Redis whose commands, directives and replies this server follows. Clients gate features on it.
pub const REDIS_VERSION: &str = "7.0.15";

/// What `--version` prints. The ` v=` is what test suites written for redis-server look for.
pub fn version() -> String {
    let bits = usize::BITS;
    format!("Bulkhead server v={} redis={REDIS_VERSION} bits={bits}\n", env!("CARGO_PKG_VERSION"))
}

/// What `--help` prints.
pub fn help() -> String {
    let mut help = String::from(
        "Usage: bulkhead-server [/path/to/bulkhead.conf] [--directive value ...] [-]\n\
         \x20      -, first or last, also reads a configuration from standard input.\n\n\
         Examples:\n\
         \x20      bulkhead-server --port 6380 --dir /var/lib/bulkhead\n\
         \x20      bulkhead-server /etc/bulkhead/bulkhead.conf --appendfsync always\n\
         \x20      echo 'maxclients 100' | bulkhead-server -\n\n\
         Flags:\n",
    );
    for (_, spellings, doc) in ACTIONS {
        help.push_str(&format!("  {}\n        {doc}\n", spellings.join(", ")));
    }
    for (chapter, rows) in chapters() {
        help.push_str(&format!("\n{chapter}:\n"));
        for row in rows {
            let default = if row.default.is_empty() { "\"\"" } else { row.default };
            help.push_str(&format!("  --{} {} (default {default})\n        {}\n", row.name, row.syntax(), row.doc));
        }
    }
    let accepted = DIRECTIVES.iter().filter(|row| row.has_no_effect()).count();
    help.push_str(&format!("\n{accepted} more directives of Redis {REDIS_VERSION} are accepted without effect.\n"));
    help
}

/// What `--sample-config` prints: a file that, read back, gives the defaults.
pub fn sample_config() -> String {
    let mut sample = format!(
        "# Bulkhead {}: every directive at its default, in redis.conf's syntax.\n\
         # Sizes: 1k is 1000 bytes, 1kb is 1024; so for m, mb, g, gb. `include file` reads another file here.\n\
         # A later line wins over an earlier one, and a flag (--port 6380) over the file.\n",
        env!("CARGO_PKG_VERSION")
    );
    for (chapter, rows) in chapters() {
        sample.push_str(&format!("\n# ---- {chapter} ----\n"));
        for row in rows {
            sample.push_str(&format!("\n{}", comment(row.doc)));
            if row.change == Change::FileOnly {
                sample.push_str(&format!("# {} ...\n", row.name));
                continue;
            }
            for line in row.default_value().lines() {
                sample.push_str(&format!("{} {line}\n", row.name));
            }
        }
    }
    sample.push_str(&format!(
        "\n# ---- Directives of Redis {REDIS_VERSION} that are refused, but for harmless values ----\n"
    ));
    for row in DIRECTIVES.iter().filter(|row| row.chapter().is_none()) {
        if let Some(refusal) = row.refusal() {
            sample.push_str(&format!("\n{}", comment(&format!("{}: {refusal}.", row.name))));
        }
    }
    sample.push_str(&format!("\n# ---- Directives of Redis {REDIS_VERSION} that are accepted without effect ----\n"));
    let idle: Vec<&Directive> = DIRECTIVES.iter().filter(|row| row.has_no_effect() && !row.hidden).collect();
    for group in idle.chunk_by(|row, next| row.doc == next.doc) {
        let names: Vec<&str> = group.iter().map(|row| row.name).collect();
        let because = format!("Because {}:", group[0].doc);
        sample.push_str(&format!("\n{}{}", comment(&because), comment(&names.join(" "))));
    }
    sample
}

/// The directives that the server obeys, by chapter.
fn chapters() -> impl Iterator<Item = (&'static str, &'static [Directive])> {
    let chapters = DIRECTIVES.chunk_by(|row, next| row.chapter() == next.chapter());
    chapters.filter_map(|rows| Some((rows[0].chapter()?, rows)))
}

/// A text as comment lines of at most 100 columns.
fn comment(text: &str) -> String {
    let mut lines = String::from("#");
    let mut column = 1;
    for word in text.split_whitespace() {
        if column + 1 + word.len() > 100 {
            lines.push_str("\n#");
            column = 1;
        }
        lines.push(' ');
        lines.push_str(word);
        column += 1 + word.len();
    }
    lines.push('\n');
    lines
}
