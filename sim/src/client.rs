//! A Redis client over the simulated network: sends commands, waits for their replies in order, and can tell what it does
//! not know. It never retries by itself and never sends a command twice.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bulkhead::resp::{CommandArgs, Value, encode_command};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use turmoil::net::TcpStream;

use crate::Verdict;
use crate::dice::Dice;
use crate::simulation::{PORT, SERVER};
use crate::world::{Chunked, World};

/// How long a client waits for a connection or a reply before it gives the connection up.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The connection broke, or no reply came in time.
#[derive(Debug)]
pub struct Lost(String);

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection lost: {}", self.0)
    }
}

impl std::error::Error for Lost {}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Lost {
        Lost(error.to_string())
    }
}

/// What came back of a pipeline: replies to its first commands, and why there are not more.
#[derive(Debug)]
pub struct Replies {
    pub values: Vec<Value>,
    pub lost: Option<Lost>,
}

/// One connection.
pub struct Client {
    name: String,
    stream: Chunked,
    input: BytesMut,
    world: Arc<World>,
}

impl Client {
    pub async fn connect(world: &Arc<World>, name: &str, dice: &mut Dice) -> Result<Client, Lost> {
        let stream = match timeout(PATIENCE, TcpStream::connect((SERVER, PORT))).await {
            Ok(connected) => connected?,
            Err(_) => return Err(Lost("no answer to the connection request".into())),
        };
        let stream = Chunked::new(stream, name.to_string(), dice.fork(), world.trace.clone());
        Ok(Client { name: name.to_string(), stream, input: BytesMut::new(), world: world.clone() })
    }

    /// Connects, trying again until `limit` has passed.
    pub async fn connect_within(world: &Arc<World>, name: &str, dice: &mut Dice, limit: Duration) -> Verdict<Client> {
        let attempts = async {
            loop {
                match Client::connect(world, name, dice).await {
                    Ok(client) => return client,
                    Err(lost) => world.trace.event(name, format_args!("{lost}")),
                }
                tokio::time::sleep(dice.millis(1..=100)).await;
            }
        };
        timeout(limit, attempts).await.map_err(|_| format!("{name} could not connect within {limit:?}").into())
    }

    /// Sends a command, as typed into redis-cli, and waits for its reply.
    pub async fn call(&mut self, line: &str) -> Result<Value, Lost> {
        let mut replies = self.pipeline(&[line.to_string()]).await;
        match (replies.values.pop(), replies.lost) {
            (Some(value), _) => Ok(value),
            (None, lost) => Err(lost.unwrap_or_else(|| Lost("no reply".into()))),
        }
    }

    /// Sends commands together and waits for all their replies.
    pub async fn pipeline(&mut self, lines: &[String]) -> Replies {
        self.exchange(&encoded(lines), lines.len(), false).await
    }

    /// Sends commands, then bytes as they are, closes its half of the connection, and waits for the replies.
    pub async fn part(mut self, lines: &[String], bytes: &[u8]) -> Replies {
        let mut output = encoded(lines);
        output.extend_from_slice(bytes);
        self.exchange(&output, lines.len(), true).await
    }

    async fn exchange(&mut self, bytes: &[u8], count: usize, parting: bool) -> Replies {
        let mut values = Vec::with_capacity(count);
        let lost = match timeout(PATIENCE, self.talk(bytes, count, parting, &mut values)).await {
            Ok(Ok(())) => None,
            Ok(Err(lost)) => Some(lost),
            Err(_) => Some(Lost("no reply in time".into())),
        };
        if let Some(lost) = &lost {
            self.world.trace.event(&self.name, format_args!("{} of {count} replies, {lost}", values.len()));
        }
        Replies { values, lost }
    }

    async fn talk(&mut self, bytes: &[u8], count: usize, parting: bool, values: &mut Vec<Value>) -> Result<(), Lost> {
        self.stream.write_all(bytes).await?;
        if parting {
            self.stream.shutdown().await?;
        }
        while values.len() < count {
            match Value::decode(&mut self.input) {
                Ok(Some(value)) => values.push(value),
                Ok(None) if self.stream.read_buf(&mut self.input).await? == 0 => {
                    return Err(Lost("closed by the server".into()));
                }
                Ok(None) => {}
                Err(error) => return Err(Lost(format!("a malformed reply: {error}"))),
            }
        }
        Ok(())
    }
}

/// Commands, each as typed into redis-cli, one behind the other.
fn encoded(lines: &[String]) -> BytesMut {
    let mut output = BytesMut::new();
    for line in lines {
        let args = CommandArgs::from_line(line.as_bytes()).expect("scenarios balance their quotes");
        encode_command(&args.iter().collect::<Vec<_>>(), &mut output);
    }
    output
}

/// What the reply to a write says about the write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Executed,
    /// The server says that it did not execute it.
    Refused,
    Unknown,
}

impl Effect {
    pub fn of(reply: &Value) -> Effect {
        match reply {
            Value::Error(text) if text.starts_with(b"INDOUBT") => Effect::Unknown,
            Value::Error(_) => Effect::Refused,
            _ => Effect::Executed,
        }
    }
}
