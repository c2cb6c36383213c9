//! Replies come in the order of their commands: each ECHO and PING says its own word, and no command gets the reply of
//! another kind.

use bulkhead::resp::Value;

use super::{Case, Finding, Oracle};
use crate::history::Outcome;
use crate::model;

pub const ORACLE: Oracle =
    Oracle { name: "order", promise: "reply number n of a connection is to its command number n", check };

fn check(case: &Case<'_>) -> Result<Finding, String> {
    let mut checked = 0;
    for operation in &case.history.operations {
        let Outcome::Reply(reply) = &operation.outcome else { continue };
        let word = operation.args.get(1);
        if matches!(reply, Value::Simple(text) if text == "QUEUED") {
            continue;
        }
        let is_right = match (model::name(&operation.args).as_str(), reply) {
            ("ECHO", Value::Bulk(text)) => word.is_some_and(|word| *word == text[..]),
            ("PING", Value::Simple(text)) => word.is_none() && text == "PONG",
            ("PING", Value::Bulk(text)) => word.is_some_and(|word| *word == text[..]),
            ("SELECT", Value::Simple(text)) => text == "OK",
            ("ECHO" | "PING" | "SELECT", _) => false,
            ("INFO", Value::Bulk(text)) => text.starts_with(b"# "),
            ("INFO", _) => false,
            ("INCR" | "INCRBY" | "DECR" | "DECRBY" | "APPEND" | "STRLEN" | "DEL" | "EXISTS", Value::Integer(_)) => true,
            ("INCR" | "INCRBY" | "DECR" | "DECRBY" | "APPEND" | "STRLEN" | "DEL" | "EXISTS", Value::Error(_)) => true,
            ("INCR" | "INCRBY" | "DECR" | "DECRBY" | "APPEND" | "STRLEN" | "DEL" | "EXISTS", _) => false,
            ("PUBLISH", Value::Integer(_)) => true,
            ("PUBLISH", _) => false,
            ("MGET", Value::Array(values)) => values.len() == operation.args.len() - 1,
            ("MGET", _) => false,
            _ => true,
        };
        if !is_right {
            return Err(format!("{}: {} was answered with {reply}", operation.client, operation.line));
        }
        checked += 1;
    }
    Finding::checked(checked)
}
