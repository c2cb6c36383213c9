//! SLOWLOG: the commands that took long, the last few of them.
//!
//! It must never hold more than it was told to, nor a long argument whole, nor a secret: entries are cut when they are
//! made, by the rules of Redis.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::Client;
use crate::limits::{SLOWLOG_ARGUMENT_BYTES_MAX, SLOWLOG_ARGUMENTS_MAX};
use crate::resp::CommandArgs;

/// The log of slow commands.
#[derive(Debug, Default)]
pub struct SlowLog(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    /// Newest first.
    entries: VecDeque<Arc<SlowCommand>>,
    next_id: u64,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowCommand {
    /// Unique for as long as the server lives, SLOWLOG RESET notwithstanding.
    pub id: u64,
    /// When it ended, as Unix time.
    pub unix_s: u64,
    pub took: Duration,
    pub args: Vec<Bytes>,
    pub client_address: String,
    pub client_name: String,
}

impl SlowLog {
    /// Logs a command, and drops the oldest entries beyond `entries_max`. The caller has held `took` against the
    /// threshold; `is_secret` says which arguments must not be shown.
    pub fn record(
        &self,
        args: &CommandArgs,
        is_secret: impl Fn(usize) -> bool,
        client: &Client,
        took: Duration,
        unix_s: u64,
        entries_max: u64,
    ) {
        // Built before the lock is taken: nobody waits for copies.
        let mut entry = SlowCommand {
            id: 0,
            unix_s,
            took,
            args: shown(args, is_secret),
            client_address: client.address.clone(),
            client_name: client.facts().name,
        };
        let mut ring = self.0.lock();
        entry.id = ring.next_id;
        ring.next_id += 1;
        ring.entries.push_front(Arc::new(entry));
        ring.entries.truncate(usize::try_from(entries_max).unwrap_or(usize::MAX));
    }

    /// Up to `count` entries, newest first.
    pub fn latest(&self, count: usize) -> Vec<Arc<SlowCommand>> {
        self.0.lock().entries.iter().take(count).cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.0.lock().entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all entries.
    pub fn reset(&self) {
        self.0.lock().entries.clear();
    }
}

/// The arguments as an entry shows them.
fn shown(args: &CommandArgs, is_secret: impl Fn(usize) -> bool) -> Vec<Bytes> {
    let whole = if args.len() > SLOWLOG_ARGUMENTS_MAX { SLOWLOG_ARGUMENTS_MAX - 1 } else { args.len() };
    let show = |(index, arg): (usize, &[u8])| match arg.split_at_checked(SLOWLOG_ARGUMENT_BYTES_MAX) {
        _ if is_secret(index) => Bytes::from_static(b"(redacted)"),
        Some((kept, cut)) if !cut.is_empty() => {
            Bytes::from([kept, format!("... ({} more bytes)", cut.len()).as_bytes()].concat())
        }
        _ => Bytes::copy_from_slice(arg),
    };
    let mut shown: Vec<Bytes> = args.iter().take(whole).enumerate().map(show).collect();
    if args.len() > whole {
        shown.push(Bytes::from(format!("... ({} more arguments)", args.len() - whole)));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Clients;

    fn record(log: &SlowLog, args: &[&str], entries_max: u64) {
        let client = Clients::default().connect("127.0.0.1:5".into(), String::new(), Duration::ZERO);
        client.update(|facts| facts.name = "worker".into());
        let args = CommandArgs::from_parts(args);
        log.record(&args, |index| index == 7, &client, Duration::from_micros(15), 1_700_000_000, entries_max);
    }

    #[test]
    fn the_newest_come_first_and_the_oldest_go() {
        let log = SlowLog::default();
        for value in ["1", "2", "3"] {
            record(&log, &["set", "k", value], 2);
        }
        let latest = log.latest(10);
        assert_eq!(latest.iter().map(|entry| entry.id).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(latest[0].args, ["set", "k", "3"].map(Bytes::from));
        assert_eq!((&*latest[0].client_address, &*latest[0].client_name), ("127.0.0.1:5", "worker"));
        log.reset();
        assert!(log.is_empty());
        record(&log, &["get", "k"], 2);
        assert_eq!((log.latest(1)[0].id, log.len()), (3, 1));
        record(&log, &["get", "k"], 0);
        assert_eq!(log.len(), 0);
    }

    #[test]
    fn long_arguments_many_arguments_and_secrets_are_cut() {
        let long = "x".repeat(130);
        let args: Vec<&str> = ["set", &long, &long[..128]].into_iter().chain(std::iter::repeat_n("a", 30)).collect();
        let shown = shown(&CommandArgs::from_parts(&args), |index| index == 4);
        assert_eq!(shown.len(), 32);
        assert_eq!(shown[1], format!("{}... (2 more bytes)", &long[..128]));
        assert_eq!(
            (&shown[2][..], &shown[3][..], &shown[4][..]),
            (&long.as_bytes()[..128], &b"a"[..], &b"(redacted)"[..])
        );
        assert_eq!(shown[31], "... (2 more arguments)");
        assert_eq!(super::shown(&CommandArgs::from_parts(&args[..32]), |_| false)[31], "a");
    }
}
