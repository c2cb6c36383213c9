//! A command that was refused had no effect: the word that only it would have written is never seen.

use bulkhead::resp::Value;

use super::{Case, Finding, Oracle};
use crate::history::Outcome;
use crate::model;

pub const ORACLE: Oracle =
    Oracle { name: "refusal", promise: "what the server says it did not execute has no effect, ever", check };

/// Words are unique because plans make them so: they carry this sign.
const TOKEN: u8 = b'~';

fn check(case: &Case<'_>) -> Result<Finding, String> {
    let operations = &case.history.operations;
    let refused: Vec<_> = operations.iter().filter(|operation| operation.is_refused()).collect();
    let tokens: Vec<(&[u8], &str)> = refused
        .iter()
        .filter(|operation| !model::is_read(&operation.args))
        .flat_map(|operation| operation.args[1..].iter().map(|arg| (&arg[..], operation.line.as_str())))
        .filter(|(word, _)| word.contains(&TOKEN))
        .collect();
    if tokens.is_empty() {
        return Finding::checked(0);
    }
    for operation in operations.iter().filter(|operation| model::is_read(&operation.args)) {
        let Outcome::Reply(reply) = &operation.outcome else { continue };
        for (token, line) in &tokens {
            if mentions(reply, token) {
                let seen = &operation.line;
                return Err(format!("`{line}` was refused, yet {} sees it: {seen} is {reply}", operation.client));
            }
        }
    }
    Finding::checked(tokens.len())
}

fn mentions(reply: &Value, token: &[u8]) -> bool {
    match reply {
        Value::Bulk(text) => memory(text, token),
        Value::Array(values) | Value::Set(values) => values.iter().any(|value| mentions(value, token)),
        _ => false,
    }
}

/// Whether `token` stands in `text` as a whole word: tokens end with their sign.
fn memory(text: &[u8], token: &[u8]) -> bool {
    text.windows(token.len()).enumerate().any(|(at, window)| window == token && (at == 0 || text[at - 1] == TOKEN))
}
