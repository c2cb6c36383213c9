//! A blocking connection to a server that may be killed at any moment.
//!
//! The end of a connection is an ordinary answer here. A reply that does not come is not: it must never wait for ever.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use bulkhead::resp::{Value, encode_command};
use bytes::BytesMut;

/// How long a reply, or the start of a server, may take. Generous: the machine may be busy with a build.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Client {
    stream: TcpStream,
    unsent: BytesMut,
    unread: BytesMut,
}

impl Client {
    pub fn connect(port: u16) -> io::Result<Client> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Client { stream, unsent: BytesMut::new(), unread: BytesMut::new() })
    }

    /// Adds a command to what [`Client::flush`] will send.
    pub fn queue(&mut self, args: &[impl AsRef<[u8]>]) {
        encode_command(args, &mut self.unsent);
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.unsent.split())
    }

    /// The next reply; the end of the connection is an error.
    pub fn read(&mut self) -> io::Result<Value> {
        let mut chunk = [0; 64 * 1024];
        loop {
            match Value::decode(&mut self.unread) {
                Ok(Some(value)) => return Ok(value),
                Ok(None) => {}
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                len => self.unread.extend_from_slice(&chunk[..len]),
            }
        }
    }

    /// How long [`Client::read`] waits from now on.
    pub fn set_patience(&mut self, patience: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(patience))
    }

    pub fn call(&mut self, args: &[impl AsRef<[u8]>]) -> io::Result<Value> {
        self.queue(args);
        self.flush()?;
        self.read()
    }
}

/// A section of INFO, as its text.
pub fn info(client: &mut Client, section: &str) -> io::Result<String> {
    match client.call(&["INFO", section])? {
        Value::Bulk(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
        other => Err(io::Error::other(format!("INFO {section} was answered {other}"))),
    }
}

/// A number in INFO; `None` if the server does not tell it.
pub fn info_number(info: &str, field: &str) -> Option<u64> {
    info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')?.trim_end().parse().ok())
}
