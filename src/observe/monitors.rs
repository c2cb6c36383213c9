//! MONITOR: clients that are shown every command that was run, in Redis' words for it, and when.
//!
//! It must never make anyone wait: a line is put together once and goes into the monitors' mailboxes, and a monitor that does
//! not read is dropped like a slow subscriber. It must never show a password. While nobody monitors, it costs whoever runs
//! commands a relaxed load or two for each.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Client, Mail, Mailbox, ServerStats};
use crate::resp::{CommandArgs, ReplyBuffer, write_quoted};

/// All monitors of a server. In a cache line of its own: it is looked at all the time, next to counters that change.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Monitors {
    count: AtomicUsize,
    /// By client id.
    mailboxes: Mutex<BTreeMap<u64, Arc<Mailbox>>>,
}

impl Monitors {
    pub fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Shows all monitors these lines, with nothing in between. A client for which more than `bytes_max` would then wait is
    /// dropped.
    pub fn show(&self, lines: Vec<Line>, bytes_max: u64) {
        let mailboxes = self.mailboxes.lock();
        for line in lines {
            let line: Arc<dyn Mail> = Arc::new(line);
            mailboxes.values().for_each(|mailbox| mailbox.post(line.clone(), bytes_max));
        }
    }
}

/// What monitors see of one command.
#[derive(Debug)]
pub struct Line {
    text: Bytes,
    bytes: usize,
}

impl Line {
    /// Of a command that `client` ran in database `db` at `unix_time`; `is_secret` says which arguments must not be shown.
    /// One that no monitor has room for, of `bytes_max`, is not put together, and weighs what it would.
    pub fn new(
        unix_time: Duration,
        db: usize,
        client: &Client,
        args: &CommandArgs,
        is_secret: impl Fn(usize) -> bool,
        bytes_max: u64,
    ) -> Line {
        let least = args.iter().map(<[u8]>::len).sum::<usize>();
        if least as u64 > bytes_max {
            return Line { text: Bytes::new(), bytes: least };
        }
        let mut text = String::with_capacity(64 + args.len() * 3 + least);
        let (seconds, micros) = (unix_time.as_secs(), unix_time.subsec_micros());
        let _ = write!(text, "+{seconds}.{micros:06} [{db} ");
        let _ = match client.unix_socket() {
            Some(path) => write!(text, "unix:{path}]"),
            None => write!(text, "{}]", client.address),
        };
        for (index, arg) in args.iter().enumerate() {
            let shown: &[u8] = if is_secret(index) { b"(redacted)" } else { arg };
            text.push(' ');
            let _ = write_quoted(&mut text, shown);
        }
        text.push_str("\r\n");
        Line { bytes: text.len(), text: text.into() }
    }
}

impl Mail for Line {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn write(&self, reply: &mut ReplyBuffer) {
        reply.append_raw(&self.text);
    }
}

/// A client is a monitor for as long as this lives.
#[derive(Debug)]
pub struct Monitor {
    stats: Arc<ServerStats>,
    mailbox: Arc<Mailbox>,
}

impl Monitor {
    pub fn new(stats: Arc<ServerStats>, mailbox: Arc<Mailbox>) -> Monitor {
        let monitors = &stats.monitors;
        let mut mailboxes = monitors.mailboxes.lock();
        mailboxes.insert(mailbox.client.id, mailbox.clone());
        monitors.count.store(mailboxes.len(), Ordering::Relaxed);
        drop(mailboxes);
        mailbox.client.is_monitor.store(true, Ordering::Relaxed);
        Monitor { stats, mailbox }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let monitors = &self.stats.monitors;
        let mut mailboxes = monitors.mailboxes.lock();
        mailboxes.remove(&self.mailbox.client.id);
        monitors.count.store(mailboxes.len(), Ordering::Relaxed);
        drop(mailboxes);
        self.mailbox.client.is_monitor.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Clients;
    use crate::resp::Protocol;

    const WHEN: Duration = Duration::from_micros(1_339_518_083_000_012);

    fn text(address: &str, db: usize, args: &[&[u8]], bytes_max: u64) -> String {
        let client = Clients::default().connect(address.into(), String::new(), Duration::ZERO);
        let line = Line::new(WHEN, db, &client, &CommandArgs::from_parts(args), |index| index == 2, bytes_max);
        let mut reply = ReplyBuffer::new(Protocol::Resp3);
        line.write(&mut reply);
        String::from_utf8(reply.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_line_is_redis_byte_for_byte() {
        for (address, db, args, expected) in [
            ("127.0.0.1:5", 0, &[&b"keys"[..], b"*"][..], r#"+1339518083.000012 [0 127.0.0.1:5] "keys" "*""#),
            ("[::1]:5", 11, &[&b"AUTH"[..], b"u", b"p"], r#"+1339518083.000012 [11 [::1]:5] "AUTH" "u" "(redacted)""#),
            ("/run/b s:0", 2, &[&b"ping"[..]], r#"+1339518083.000012 [2 unix:/run/b s] "ping""#),
            (
                "127.0.0.1:5",
                0,
                &[&b"a\x00\x07\x08\t\n\r\x1b\xff\\\"z \x7f~"[..], b""],
                r#"+1339518083.000012 [0 127.0.0.1:5] "a\x00\a\b\t\n\r\x1b\xff\\\"z \x7f~" """#,
            ),
        ] {
            assert_eq!(text(address, db, args, 1000), format!("{expected}\r\n"));
        }
        // Nobody has room for it.
        assert_eq!(text("127.0.0.1:5", 0, &[b"set", &[b'x'; 98]], 100), "");
    }

    #[test]
    fn a_monitor_sees_what_is_shown_while_it_lives_and_no_more_than_it_reads() {
        let (stats, clients) = (Arc::new(ServerStats::default()), Clients::default());
        let connect = |name: &str| clients.connect(name.into(), String::new(), Duration::ZERO);
        let (slow, quick) = (connect("a:1"), connect("b:1"));
        let boxes = [&slow, &quick].map(|client| Arc::new(Mailbox::new(client.clone())));
        assert!(!stats.monitors.any());
        let monitors = boxes.clone().map(|mailbox| Monitor::new(stats.clone(), mailbox));
        assert!(stats.monitors.any() && quick.is_monitor.load(Ordering::Relaxed));
        let mut seen = ReplyBuffer::new(Protocol::Resp2);
        for _ in 0..5 {
            let line = Line::new(WHEN, 0, &quick, &CommandArgs::from_parts(&["ping"]), |_| false, 100);
            stats.monitors.show(vec![line], 100);
            boxes[1].take(&mut seen, usize::MAX);
        }
        assert!(slow.is_killed() && !quick.is_killed() && !boxes[0].has_mail());
        assert_eq!(seen.as_bytes().iter().filter(|byte| **byte == b'+').count(), 5);
        drop(monitors);
        assert!(!stats.monitors.any() && !quick.is_monitor.load(Ordering::Relaxed));
    }
}
