//! Reads back what a server holds and holds it against the ledger.
//!
//! It must not change anything, nor be asked while writes in doubt may still be on their way.

use std::io;

use bulkhead::resp::Value;

use crate::client::Client;
use crate::ledger::{Data, Ledger};

/// How many violations are told.
const SAMPLE: usize = 20;

/// What an audit found that agrees with the ledger.
#[derive(Clone, Copy, Debug, Default)]
pub struct Agreement {
    pub keys: usize,
    /// Of the tokens and entries in doubt, those that had taken effect.
    pub came_true: usize,
}

/// Compares what the server holds with the ledger. `others`: keys there that the ledger does not know.
pub fn audit(port: u16, ledger: &mut Ledger, others: usize) -> Result<Agreement, String> {
    let (found, dbsize) = read_all(port, ledger).map_err(|error| format!("reading the data back: {error}"))?;
    let (mut wrong, came_true) = ledger.audit(&found);
    // Also finds keys that nobody wrote.
    if dbsize != Value::Integer((found.len() + others) as i64) {
        wrong.insert(0, format!("{} keys were found, and {others} others, and DBSIZE says {dbsize}", found.len()));
    }
    if wrong.is_empty() {
        return Ok(Agreement { keys: found.len(), came_true });
    }
    let sample: Vec<String> = wrong.iter().step_by(wrong.len().div_ceil(SAMPLE)).cloned().collect();
    Err(format!("{} violations, {} of them:\n{}", wrong.len(), sample.len(), sample.join("\n")))
}

/// What the server holds of the keys that the ledger knows, and its reply to DBSIZE.
fn read_all(port: u16, ledger: &Ledger) -> io::Result<(Data, Value)> {
    let mut client = Client::connect(port)?;
    let keys: Vec<String> = ledger.keys().collect();
    let (collections, strings): (Vec<String>, Vec<String>) =
        keys.into_iter().partition(|key| read_members(key).is_some());
    let mut found = Data::new();
    for keys in strings.chunks(500) {
        let mut command = vec!["MGET".to_string()];
        command.extend_from_slice(keys);
        let reply = client.call(&command)?;
        let Value::Array(values) = reply else { return Err(io::Error::other(format!("MGET was answered {reply}"))) };
        for (key, value) in keys.iter().zip(values) {
            match value {
                Value::Bulk(value) => drop(found.insert(key.clone(), value)),
                Value::Null => {}
                other => return Err(io::Error::other(format!("{key} was read as {other}"))),
            }
        }
    }
    for key in collections {
        let command = read_members(&key).expect("a collection, as we have seen");
        let reply = client.call(&command)?;
        let Value::Array(members) = reply else { return Err(io::Error::other(format!("{key} was read as {reply}"))) };
        let texts = members.iter().map(|member| match member {
            Value::Bulk(text) => Ok(text.clone()),
            other => Err(io::Error::other(format!("{key} holds {other}"))),
        });
        let mut texts = texts.collect::<io::Result<Vec<_>>>()?;
        if command[0] != "LRANGE" {
            texts.sort_unstable();
        }
        if !texts.is_empty() {
            found.insert(key, texts.concat().into());
        }
    }
    Ok((found, client.call(&["DBSIZE"])?))
}

/// The command that reads a collection whole; `None` for a string. The ledger's names tell which is which.
fn read_members(key: &str) -> Option<Vec<String>> {
    let words: &[&str] = match key.split(':').next()? {
        "list" => &["LRANGE", key, "0", "-1"],
        "hash" => &["HKEYS", key],
        "set" => &["SMEMBERS", key],
        _ => return None,
    };
    Some(words.iter().map(|word| word.to_string()).collect())
}
