//! The network's door over turmoil's TCP. Turmoil delivers each write whole and splits reads by buffer size alone, so
//! [`Chunked`] does what real sockets do: takes part of a write, gives part of what has arrived, and is not ready when it
//! was just said to be. With it every message is split at every place sooner or later.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bulkhead::env::{Address, BoxFuture, Incoming, ListenOptions, Listener, Network, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::{TcpListener, TcpStream};

use crate::dice::Dice;
use crate::trace::Trace;

pub struct SimNetwork {
    dice: Mutex<Dice>,
    trace: Arc<Trace>,
}

impl SimNetwork {
    pub fn new(dice: Dice, trace: Arc<Trace>) -> SimNetwork {
        SimNetwork { dice: Mutex::new(dice), trace }
    }
}

impl Network for SimNetwork {
    fn listen<'a>(&'a self, address: &'a Address, _: ListenOptions) -> BoxFuture<'a, io::Result<Arc<dyn Listener>>> {
        Box::pin(async move {
            let Address::Tcp(address) = address else {
                return Err(io::Error::new(io::ErrorKind::Unsupported, "a simulated machine has no Unix sockets"));
            };
            let listener = TcpListener::bind(*address).await?;
            let dice = self.dice.lock().expect("a draw does not panic").fork();
            Ok(Arc::new(SimListener { listener, dice: Mutex::new(dice), trace: self.trace.clone() })
                as Arc<dyn Listener>)
        })
    }
}

struct SimListener {
    listener: TcpListener,
    dice: Mutex<Dice>,
    trace: Arc<Trace>,
}

impl Listener for SimListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<Incoming>> {
        Box::pin(async move {
            let (stream, peer) = self.listener.accept().await?;
            let local = stream.local_addr()?.to_string();
            let name = format!("server-{peer}");
            let dice = self.dice.lock().expect("a draw does not panic").fork();
            let stream = Chunked::new(stream, name, dice, self.trace.clone());
            Ok(Incoming { stream: Box::new(stream), peer: peer.to_string(), local, is_local: peer.ip().is_loopback() })
        })
    }

    /// Turmoil's sockets belong to their host, not to a runtime.
    fn adopt(self: Arc<Self>) -> io::Result<Arc<dyn Listener>> {
        Ok(self)
    }

    fn local_address(&self) -> Address {
        Address::Tcp(self.listener.local_addr().expect("a bound listener knows its address"))
    }
}

/// How much of a read or write goes through at once.
#[derive(Clone, Copy, Debug)]
enum Manners {
    /// All of it: a fast link and small messages.
    Whole,
    /// A few bytes: every split occurs.
    Crumbs,
    /// Now this, now that.
    Mixed,
}

/// Bytes that go through at once, where not all do.
const PIECE_MAX: usize = 512;

/// A stream that reads and writes in pieces. Both ends of a connection have one.
pub struct Chunked {
    stream: TcpStream,
    name: String,
    manners: Manners,
    /// The last poll was turned away; the next one is not.
    turned_away: bool,
    dice: Dice,
    trace: Arc<Trace>,
}

impl Chunked {
    pub fn new(stream: TcpStream, name: String, mut dice: Dice, trace: Arc<Trace>) -> Chunked {
        let manners = dice.pick(&[Manners::Whole, Manners::Crumbs, Manners::Mixed, Manners::Mixed]);
        trace.event(&name, format_args!("connected, {manners:?}"));
        Chunked { stream, name, manners, turned_away: false, dice, trace }
    }

    /// How many of `len` bytes to let through.
    fn piece(&mut self, len: usize) -> usize {
        let most = match self.manners {
            Manners::Whole => return len,
            // A larger one now and then, so that long messages end.
            Manners::Crumbs if self.dice.one_in(16) => PIECE_MAX as u64,
            Manners::Crumbs => 3,
            Manners::Mixed if self.dice.one_in(3) => return len,
            Manners::Mixed => 64,
        };
        len.min(self.dice.between(1..=most) as usize)
    }

    /// Readiness that turns out to be none, now and then.
    fn is_unready(&mut self, context: &mut Context<'_>) -> bool {
        self.turned_away = !self.turned_away && self.dice.one_in(8);
        if self.turned_away {
            context.waker().wake_by_ref();
        }
        self.turned_away
    }
}

impl Stream for Chunked {
    fn adopt(self: Box<Self>) -> io::Result<Box<dyn Stream>> {
        Ok(self)
    }
}

impl AsyncRead for Chunked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.is_unready(context) {
            return Poll::Pending;
        }
        let piece = this.piece(buffer.remaining());
        let before = buffer.filled().len();
        let read = if piece == buffer.remaining() {
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))
        } else {
            let mut bytes = [0; PIECE_MAX];
            let mut bytes = ReadBuf::new(&mut bytes[..piece]);
            let read = ready!(Pin::new(&mut this.stream).poll_read(context, &mut bytes));
            buffer.put_slice(bytes.filled());
            read
        };
        match &read {
            Ok(()) => this.trace.bytes(&this.name, "reads", &buffer.filled()[before..]),
            Err(error) => this.trace.event(&this.name, format_args!("cannot read: {error}")),
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Chunked {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.is_unready(context) {
            return Poll::Pending;
        }
        let len = this.piece(bytes.len());
        let written = ready!(Pin::new(&mut this.stream).poll_write(context, &bytes[..len]));
        match &written {
            Ok(len) => this.trace.bytes(&this.name, "writes", &bytes[..*len]),
            Err(error) => this.trace.event(&this.name, format_args!("cannot write: {error}")),
        }
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
