//! A server, writers and their ledger, while somebody harms the disk.
//!
//! Nothing here measures time: it waits until what is expected happens, and gives up loudly with the server's last words.

use std::time::{Duration, Instant};

use bulkhead::resp::Value;

use crate::audit::{Agreement, audit};
use crate::client::{Client, PATIENCE};
use crate::ledger::{Fate, Ledger};
use crate::process::{Recipe, Server};
use crate::writer::{Manner, Sent, Writer, enter};

/// How long all writers write before it is looked at what came of it.
const ROUND: Duration = Duration::from_millis(200);

/// A key that nobody changes: reads ask for it.
const CANARY: [&str; 2] = ["canary", "sings"];

pub struct Siege {
    recipe: Recipe,
    server: Option<Server>,
    ledger: Ledger,
    writers: Vec<Writer>,
    manner: Manner,
}

impl Siege {
    pub fn begin(recipe: Recipe, writers: u32, manner: Manner) -> Result<Siege, String> {
        let server = recipe.start()?;
        let mut client = Client::connect(server.port).map_err(|error| error.to_string())?;
        let reply = client.call(&["SET", CANARY[0], CANARY[1]]).map_err(|error| error.to_string())?;
        if reply.to_string() != "OK" {
            return Err(format!("SET was answered {reply}"));
        }
        let writers = (0..writers).map(|id| Writer::new(id, u64::from(id))).collect();
        Ok(Siege { recipe, server: Some(server), ledger: Ledger::default(), writers, manner })
    }

    pub fn port(&self) -> u16 {
        self.server().port
    }

    pub fn pid(&self) -> u32 {
        self.server().pid()
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("invariant: between two methods the server runs")
    }

    /// All writers write, round after round, until one round was as it is expected to be. All that was sent.
    pub fn write_until(&mut self, expected: &str, is_so: impl Fn(&[Sent]) -> bool) -> Result<Vec<Sent>, String> {
        let (start, port, manner) = (Instant::now(), self.port(), self.manner);
        let mut all = Vec::new();
        while start.elapsed() < PATIENCE {
            let end = Instant::now() + ROUND;
            let is_over = || Instant::now() >= end;
            let reports: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = self
                    .writers
                    .iter_mut()
                    .map(|writer| scope.spawn(move || writer.write(port, manner, is_over)))
                    .collect();
                threads.into_iter().map(|thread| thread.join().expect("a writer panicked")).collect()
            });
            let mut round = Vec::new();
            for report in reports {
                let report = report.map_err(|error| self.complain(&error))?;
                enter(&mut self.ledger, &report);
                round.extend(report);
            }
            let is_so = is_so(&round);
            all.extend(round);
            if is_so {
                return Ok(all);
            }
        }
        let last = all.last().map(|sent| format!("{sent:?}")).unwrap_or_default();
        Err(self.complain(&format!("in vain for {PATIENCE:?}: {expected}; the last write: {last}")))
    }

    pub fn write_until_acknowledged(&mut self) -> Result<Vec<Sent>, String> {
        self.write_until("every write of a round is acknowledged", |round| {
            !round.is_empty() && round.iter().all(|sent| matches!(sent.fate, Fate::Acknowledged(_)))
        })
    }

    /// What the server holds agrees with the ledger.
    pub fn audit(&mut self) -> Result<Agreement, String> {
        let port = self.port();
        audit(port, &mut self.ledger, 1).map_err(|error| self.complain(&error))
    }

    /// kill −9, restart, audit.
    pub fn kill_and_audit(&mut self) -> Result<Agreement, String> {
        self.kill()?;
        self.restart()?;
        self.audit()
    }

    pub fn kill(&mut self) -> Result<(), String> {
        self.server.take().map_or(Ok(()), Server::kill)
    }

    /// After [`Siege::kill`]; the error is why it did not start.
    pub fn restart(&mut self) -> Result<(), String> {
        self.server = Some(self.recipe.start()?);
        Ok(())
    }

    fn complain(&self, what: &str) -> String {
        format!("{what}\n---- the server's last words ----\n{}", self.server().last_words())
    }
}

/// PING, INFO, a read and a new connection: what must be answered whatever the disk does.
pub fn check_that_reads_go_on(port: u16) -> Result<(), String> {
    let ask = || -> std::io::Result<Vec<Value>> {
        let mut client = Client::connect(port)?;
        [&["PING"][..], &["GET", CANARY[0]], &["MGET", CANARY[0], "nothing"], &["INFO"]]
            .iter()
            .map(|command| client.call(command))
            .collect()
    };
    let replies = ask().map_err(|error| format!("no answer: {error}"))?;
    match &replies[..] {
        [Value::Simple(pong), Value::Bulk(canary), Value::Array(_), Value::Bulk(_)]
            if pong == "PONG" && canary == CANARY[1] =>
        {
            Ok(())
        }
        other => Err(format!("reads were answered {other:?}")),
    }
}
