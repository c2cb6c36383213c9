//! A Redis client over the simulated network: sends commands, waits for their replies in order, and can tell what it does
//! not know. It never retries by itself and never sends a command twice.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bulkhead::resp::{Value, encode_command};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use turmoil::net::TcpStream;

use crate::dice::Dice;
use crate::simulation::{PORT, SERVER, now};
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

/// What came back of a pipeline: replies to its first commands, when each was there, and why there are not more.
#[derive(Debug)]
pub struct Replies {
    pub values: Vec<(Duration, Value)>,
    pub lost: Option<Lost>,
}

/// How a client behaves while it waits for its replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    Prompt,
    /// Closes its half of the connection, in the middle of a command, before it reads.
    Parting,
    /// Reads a few bytes now and then.
    Sipping,
}

/// What a parting client leaves behind.
const HALF_A_COMMAND: &[u8] = b"*2\r\n$3\r\nGET\r\n$100\r\nhalf a key";

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

    /// Sends commands together and waits for all their replies.
    pub async fn exchange(&mut self, commands: &[Vec<Vec<u8>>], manners: Manners) -> Replies {
        let count = commands.len();
        let mut values = Vec::with_capacity(count);
        let lost = match timeout(PATIENCE, self.talk(commands, manners, &mut values)).await {
            Ok(Ok(())) => None,
            Ok(Err(lost)) => Some(lost),
            Err(_) => Some(Lost("no reply in time".into())),
        };
        if let Some(lost) = &lost {
            self.world.trace.event(&self.name, format_args!("{} of {count} replies, {lost}", values.len()));
        }
        Replies { values, lost }
    }

    /// Sends commands and waits for nothing.
    pub async fn send(&mut self, commands: &[Vec<Vec<u8>>]) -> Result<(), Lost> {
        match timeout(PATIENCE, self.stream.write_all(&encoded(commands))).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(Lost("could not send in time".into())),
        }
    }

    /// Waits for whatever the server sends next.
    pub async fn next(&mut self) -> Result<Value, Lost> {
        loop {
            match Value::decode(&mut self.input) {
                Ok(Some(value)) => {
                    self.world.trace.event(&self.name, format_args!("is told {value}"));
                    return Ok(value);
                }
                Ok(None) if self.stream.read_buf(&mut self.input).await? == 0 => {
                    return Err(Lost("closed by the server".into()));
                }
                Ok(None) => {}
                Err(error) => return Err(Lost(format!("a malformed message: {error}"))),
            }
        }
    }

    async fn talk(
        &mut self,
        commands: &[Vec<Vec<u8>>],
        manners: Manners,
        values: &mut Vec<(Duration, Value)>,
    ) -> Result<(), Lost> {
        let mut output = encoded(commands);
        if manners == Manners::Parting {
            output.extend_from_slice(HALF_A_COMMAND);
        }
        self.stream.write_all(&output).await?;
        if manners == Manners::Parting {
            self.stream.shutdown().await?;
        }
        while values.len() < commands.len() {
            match Value::decode(&mut self.input) {
                Ok(Some(value)) => {
                    self.world.trace.event(&self.name, format_args!("is told {value}"));
                    values.push((now(), value));
                }
                Ok(None) => {
                    if manners == Manners::Sipping {
                        sleep(Duration::from_millis(3)).await;
                    }
                    if self.stream.read_buf(&mut self.input).await? == 0 {
                        return Err(Lost("closed by the server".into()));
                    }
                }
                Err(error) => return Err(Lost(format!("a malformed reply: {error}"))),
            }
        }
        Ok(())
    }
}

/// Commands, one behind the other.
fn encoded(commands: &[Vec<Vec<u8>>]) -> BytesMut {
    let mut output = BytesMut::new();
    for args in commands {
        encode_command(args, &mut output);
    }
    output
}
