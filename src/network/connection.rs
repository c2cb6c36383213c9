//! One client's connection: THE loop. Read this first.
//!
//! Bytes are decoded into commands; commands that need no storage are answered here; the others of a pipeline cross the
//! channel together as one request. At most one request per connection is in flight, and the next is decoded meanwhile:
//! that alone keeps commands and replies in order. A client that does not read its replies is not read from either.

mod blocked;
mod exec;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use uuid::Builder;

use super::home::{CurrentHome, Home};
use crate::channel::{
    InFlight, Outgoing, ReplyShare, RequestId, Step, StorageCommand, StorageResponse, Submitted, Transaction,
};
use crate::commands::context::{Queued, ReplyMode};
use crate::commands::secrets::is_secret;
use crate::commands::spec::NetworkHandler;
use crate::commands::table::Call;
use crate::commands::transactions::{abort_exec, enqueue, runs_within_multi};
use crate::commands::{Command, CommandError, Flag, Next, Operation, Run, Session};
use crate::env::{BoxFuture, Random, Stream};
use crate::failpoints;
use crate::limits;
use crate::observe::{Category, Line, PauseKind, Ran, Report, Severity, Side};
use crate::planted;
use crate::resp::{CommandArgs, DecodeLimits, Decoder, Protocol, ReplyBuffer};
use blocked::{Blocked, End, Outcome};
use exec::Exec;

/// A client's connection, from accept to close.
pub struct Connection {
    stream: Box<dyn Stream>,
    session: Session,
    decoder: Decoder,
    /// Received, not decoded yet.
    input: BytesMut,
    /// Replies, not sent yet.
    output: BytesMut,
    /// Of those among them that are large.
    reply_shares: Vec<ReplyShare>,
    /// Decoded, not submitted yet.
    batch: Batch,
    held: Option<Held>,
    pending: Pending,
    /// The transaction of which storage runs its part.
    exec: Option<Exec>,
    input_closed: bool,
    /// Decode nothing more; close once everything is sent.
    closing: bool,
    random: Random,
    homes: Arc<CurrentHome>,
    /// The number of the home that it lives in.
    home: u64,
    /// The monotonic clock, as last read since the connection woke.
    at: Option<Duration>,
    /// When the replies in `output` were sent for, and when storage was done with them, on the monotonic clock.
    replying_since: Option<(Duration, Duration)>,
}

/// What waits until everything before it has been answered.
enum Held {
    /// It looks at shared state.
    Call(Call, NetworkHandler, CommandArgs),
    /// It is refused for its arguments, and monitors are to see it in its turn.
    Refused(Call, CommandArgs, CommandError),
    /// Some of it runs here.
    Exec(Exec),
    /// It may block.
    Wait(Arc<StorageCommand>),
}

/// The pipeline being put together.
#[derive(Default)]
struct Batch {
    steps: Vec<Step>,
    /// Steps at its beginning that only read.
    reads: usize,
    bytes: usize,
    runs: bool,
    writes: bool,
}

thread_local! {
    /// Room for the steps of a batch that never leaves its connection.
    static SPARE: Cell<Vec<Step>> = const { Cell::new(Vec::new()) };
}

impl Batch {
    fn push_run(&mut self, command: StorageCommand, writes: bool) {
        self.runs = true;
        self.writes |= writes;
        let bytes = command.args.frame_len();
        self.push(Step::Run(command), bytes, !writes);
    }

    /// Adds a transaction: it runs as a whole, and in storage.
    fn push_exec(&mut self, transaction: Transaction, bytes: usize, writes: bool) {
        self.runs = true;
        self.writes |= writes;
        self.push(Step::Exec(transaction), bytes, false);
    }

    /// Adds a reply that is known already.
    fn push_reply(&mut self, bytes: Bytes) {
        let len = bytes.len();
        self.push(Step::Reply(bytes), len, true);
    }

    fn push(&mut self, step: Step, bytes: usize, only_reads: bool) {
        if self.steps.capacity() == 0 {
            self.steps = SPARE.take();
        }
        if only_reads && self.reads == self.steps.len() {
            self.reads += 1;
        }
        self.bytes += bytes;
        self.steps.push(step);
    }

    /// The first `count` steps, which only read, are done.
    fn remove(&mut self, count: usize) {
        if count == self.steps.len() {
            self.steps.clear();
            SPARE.set(std::mem::take(self).steps);
            return;
        }
        for step in self.steps.drain(..count) {
            self.bytes -= match step {
                Step::Run(command) => command.args.frame_len(),
                Step::Reply(bytes) => bytes.len(),
                Step::Wait(_) | Step::Exec(_) => unreachable!("invariant: these do not count as reads"),
            };
        }
        self.reads -= count;
    }

    fn is_full(&self) -> bool {
        self.steps.len() >= limits::REQUEST_OPERATIONS_MAX || self.bytes >= limits::REQUEST_BYTES_MAX
    }
}

/// What a client called last, for CLIENT LIST.
struct Called {
    name: &'static str,
    container: Option<&'static str>,
}

/// A submitted pipeline, kept to answer in its place if storage does not.
#[derive(Clone)]
struct Submission {
    steps: Arc<Vec<Step>>,
    first: usize,
    bytes: usize,
    writes: bool,
}

impl Submission {
    fn new(steps: Vec<Step>, bytes: usize, writes: bool) -> Submission {
        Submission { steps: Arc::new(steps), first: 0, bytes, writes }
    }
}

/// What the connection waits for besides its socket.
enum Pending {
    Nothing,
    /// CLIENT PAUSE holds the batch back.
    Paused(BoxFuture<'static, ()>),
    /// The channel is full.
    Sending(Submission, BoxFuture<'static, Result<InFlight, CommandError>>),
    /// Storage has it.
    Request(Submission, InFlight),
    /// The replies so far fill a chunk: the rest goes on when they are sent.
    Rest(Submission),
    /// It has, and the client is in a blocking command.
    Blocked(Arc<StorageCommand>, Blocked),
    /// A network-side command takes its time.
    Handler(BoxFuture<'static, Bytes>),
}

/// What the loop wakes up for.
enum Event {
    Input(usize),
    InputClosed,
    Output,
    Resumed,
    Sent(Submission, Result<InFlight, CommandError>),
    /// And when it was sent.
    Answer(Submission, Duration, Result<StorageResponse, CommandError>),
    Handled(Bytes),
    Unblocked(Arc<StorageCommand>, Outcome),
    /// Something waits in the client's mailbox.
    Mail,
    /// Someone asked the connection to look at itself again: it was killed, or the server drains.
    Woken,
    Failed(io::Error),
}

impl Connection {
    pub fn new(stream: Box<dyn Stream>, session: Session, homes: Arc<CurrentHome>, home: &Home) -> Connection {
        let random = Random::from_seed(session.server.env.random.seed());
        Connection {
            stream,
            session,
            decoder: Decoder::default(),
            input: BytesMut::new(),
            output: BytesMut::new(),
            reply_shares: Vec::new(),
            batch: Batch::default(),
            held: None,
            pending: Pending::Nothing,
            exec: None,
            input_closed: false,
            closing: false,
            random,
            homes,
            home: home.number(),
            at: None,
            replying_since: None,
        }
    }

    /// Serves the client until it leaves, is killed, or the server drains; or until the connection is to go on in another
    /// home: then it comes back.
    pub async fn run(mut self) -> Option<Connection> {
        let client = self.session.client.clone();
        poll_fn(|context| {
            client.set_waker(context.waker());
            Poll::Ready(())
        })
        .await;
        loop {
            while self.decode() | self.submit() {}
            self.take_mail();
            self.publish_sizes();
            if self.is_done() {
                break;
            }
            if self.is_to_move() {
                return Some(self);
            }
            let event = self.event().await;
            self.at = None;
            match event {
                Event::Input(count) => {
                    if failpoints::fault(&failpoints::NETWORK_CONNECTION).is_some() {
                        panic!("failpoint {}", failpoints::NETWORK_CONNECTION.name);
                    }
                    self.session.server.stats.net_input_bytes.add(count as u64);
                    self.session.server.stats.socket_reads.add(1);
                    client.last_active_ms.store(self.now().as_millis() as u64, Ordering::Relaxed);
                }
                Event::InputClosed if planted::is("half-close-drops-replies") => break,
                Event::InputClosed => {
                    self.input_closed = true;
                    client.leave();
                }
                Event::Output | Event::Resumed | Event::Mail => {}
                Event::Sent(submission, Ok(in_flight)) => self.await_answer(submission, in_flight),
                Event::Sent(submission, Err(error)) => self.answer_all(&submission, &error),
                Event::Answer(submission, sent_at, Ok(response)) => self.take_answer(submission, sent_at, response),
                Event::Answer(submission, _, Err(CommandError::InDoubt(_)))
                    if planted::is("write-in-doubt-is-repeated") =>
                {
                    self.send(submission);
                }
                Event::Answer(submission, _, Err(error)) => self.answer_all(&submission, &error),
                Event::Handled(reply) => self.output.extend_from_slice(&reply),
                Event::Unblocked(_, Outcome::GaveUp(End::Gone)) => break,
                Event::Unblocked(command, outcome) => self.take_unblocked(&command, outcome),
                Event::Woken => {
                    if client.is_killed() {
                        break;
                    }
                }
                // The peer is gone; what it sent that is in flight still runs.
                Event::Failed(error) => {
                    tracing::debug!(client = client.id, %error, "connection lost");
                    if planted::is("registration-leaks") {
                        std::mem::forget(self.session.server.clients.connect(
                            String::new(),
                            String::new(),
                            self.session.server.env.clock.now(),
                        ));
                    }
                    break;
                }
            }
        }
        // The peer may be gone already.
        let _ = self.stream.shutdown().await;
        None
    }

    /// Whether it is to live elsewhere, and holds nothing that needs the runtime that it lives in.
    fn is_to_move(&self) -> bool {
        self.home != self.homes.number()
            && match &self.pending {
                Pending::Nothing | Pending::Rest(_) | Pending::Paused(_) => true,
                Pending::Request(_, in_flight) => in_flight.is_movable(),
                Pending::Blocked(_, blocked) => blocked.is_movable(),
                // These hold timers, and end by themselves.
                Pending::Sending(..) | Pending::Handler(_) => false,
            }
    }

    /// Where it is to live.
    pub fn next_home(&self) -> Arc<Home> {
        self.homes.get()
    }

    /// Goes on in `home`, within whose runtime this is called.
    pub fn move_in(mut self, home: &Home) -> io::Result<Connection> {
        if let Pending::Blocked(_, blocked) = &mut self.pending {
            blocked.move_in();
        }
        if matches!(self.pending, Pending::Paused(_)) {
            // Its timer belongs to the old home. Whether it is still paused is asked again.
            self.pending = Pending::Nothing;
        }
        Ok(Connection { stream: self.stream.adopt()?, home: home.number(), ..self })
    }

    fn is_done(&self) -> bool {
        let nothing_to_do =
            matches!(self.pending, Pending::Nothing) && self.batch.steps.is_empty() && self.held.is_none();
        let no_more_input = self.closing || self.input_closed || self.is_draining();
        nothing_to_do && self.output.is_empty() && no_more_input
    }

    fn is_draining(&self) -> bool {
        self.session.server.shutdown.is_requested()
    }

    /// The monotonic clock: as read since the connection woke, if it was.
    fn now(&mut self) -> Duration {
        *self.at.get_or_insert_with(|| self.session.server.env.clock.now())
    }

    /// What was read of the clock does not hold any more. Returns it as of now, if anybody measures.
    fn look_again(&mut self) -> Duration {
        self.at = (!cfg!(feature = "unmeasured")).then(|| self.session.server.env.clock.now());
        self.at.unwrap_or_default()
    }

    /// Lets CLIENT LIST and the sweeper see the buffers.
    fn publish_sizes(&self) {
        let client = &self.session.client;
        client.query_buffer_bytes.store(self.input.len() as u64, Ordering::Relaxed);
        client.output_buffer_bytes.store(self.output.len() as u64, Ordering::Relaxed);
    }

    // ---- from bytes to steps ----

    /// Decodes commands into the batch, as far as there is room. Returns whether it decoded any.
    fn decode(&mut self) -> bool {
        if !self.may_decode() {
            return false;
        }
        let began = self.now();
        let mut limits = self.decode_limits();
        let mut commands = 0;
        let mut last = None;
        let mut is_broken = false;
        while self.may_decode() {
            limits.authenticated = self.session.authenticated;
            match self.decoder.decode(&mut self.input, &limits) {
                Ok(Some(args)) => {
                    commands += 1;
                    last = self.take(args).or(last);
                }
                Ok(None) => {
                    if planted::is("split-command-is-lost") && self.input.ends_with(b"\r") {
                        self.input.truncate(self.input.len() - 1);
                    }
                    break;
                }
                Err(error) => {
                    self.reply_error(&CommandError::custom(format!("ERR {error}")));
                    self.closing = true;
                    is_broken = true;
                }
            }
        }
        let server = &self.session.server;
        server.stats.commands_processed.add(commands);
        self.session.client.commands.fetch_add(commands, Ordering::Relaxed);
        if commands > 0 {
            let took = self.look_again().saturating_sub(began);
            self.session.server.stats.runtime.decode.record(took);
        }
        if let Some(call) = last {
            self.publish_last_command(&call);
        }
        commands > 0 || is_broken
    }

    fn may_decode(&self) -> bool {
        let drained = self.is_draining() && self.batch.steps.is_empty();
        !self.closing
            && !drained
            && self.held.is_none()
            && self.exec.is_none()
            && !self.batch.is_full()
            && self.output.len() < limits::OUTPUT_PAUSE_BYTES
            && !self.input.is_empty()
    }

    fn decode_limits(&self) -> DecodeLimits {
        let config = self.session.server.config.current();
        DecodeLimits {
            max_inline_len: limits::INLINE_BYTES_MAX,
            max_bulk_len: config.network.bulk_bytes_max,
            max_args: limits::ARGUMENTS_MAX,
            max_frame_len: config.network.query_buffer_bytes_max,
            authenticated: self.session.authenticated,
        }
    }

    /// Sends one command where it belongs. Returns which one it was, unless it was refused.
    fn take(&mut self, args: CommandArgs) -> Option<Called> {
        let call = match self.session.server.commands.resolve(&args) {
            Ok(call) => call,
            Err(error) => {
                self.reject(&args, error);
                return None;
            }
        };
        if let Err(error) = self.check_allowed(&call) {
            call.counters.rejected.add(1);
            self.reject(&args, error);
            return None;
        }
        let called = Called { name: call.command.name, container: call.container.map(|container| container.name) };
        if self.session.transaction.is_some() && !(call.container.is_none() && runs_within_multi(call.command)) {
            self.enqueue(call, args);
            return Some(called);
        }
        if let Some(operation) = call.command.run.operation(&self.session, &args) {
            self.take_operation(call, &called, operation, args);
            return Some(called);
        }
        match call.command.run {
            // Monitors see what a client sent in its order.
            Run::Session(handler) if self.is_watched() => {
                self.publish_last_command(&called);
                self.held = Some(Held::Call(call, handler, args));
            }
            Run::Session(handler) => self.handle(&call, handler, &args),
            // It may look at the client list, so its own entry there is brought up to date first.
            Run::Server(handler) => {
                self.publish_last_command(&called);
                self.held = Some(Held::Call(call, handler, args));
            }
            Run::Container => self.reject(&args, CommandError::Arity(call.full_name())),
            Run::Storage(_) | Run::Script(_) => unreachable!("invariant: these have an operation"),
        }
        Some(called)
    }

    /// Puts a command that runs in storage, or is refused for its arguments, into its place.
    fn take_operation(
        &mut self,
        call: Call,
        called: &Called,
        operation: Result<Box<dyn Operation>, CommandError>,
        args: CommandArgs,
    ) {
        match operation {
            Ok(operation) if operation.waits().is_some() => {
                self.publish_last_command(called);
                let (db, protocol, silent) = (self.session.db, self.session.protocol, self.is_silent());
                self.advance_reply_mode();
                let command = storage_command(&call, operation, args, db, protocol, silent);
                self.held = Some(Held::Wait(Arc::new(command)));
            }
            Ok(operation) => self.push_run(call, operation, args),
            Err(error) if self.is_watched() => self.held = Some(Held::Refused(call, args, error)),
            Err(error) => {
                call.counters.failed.add(1);
                self.finish_command(Err(error));
            }
        }
    }

    /// Whether this client may call this now, and if not, why.
    fn check_allowed(&self, call: &Call) -> Result<(), CommandError> {
        if !self.session.authenticated && !call.command.has(Flag::NoAuth) {
            return Err(CommandError::NoAuth);
        }
        if self.session.transaction.is_some() && call.command.has(Flag::NoMulti) {
            return Err(CommandError::custom("ERR Command not allowed inside a transaction"));
        }
        if self.session.server.stats.storage.reserve_breached.get() != 0 && self.takes_room(call) {
            self.session.server.stats.storage.refused_for_room.add(1);
            return Err(CommandError::DiskReserve);
        }
        if self.session.is_subscriber_only() && !is_allowed_while_subscribed(call) {
            return Err(CommandError::custom(format!(
                "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in \
                 this context",
                call.full_name()
            )));
        }
        // Redis counts monitors among replicas.
        let touches_keys = |command: &Command| command.has(Flag::Write) || command.has(Flag::Readonly);
        if self.session.monitor.is_some() && (touches_keys(call.command) || call.command.has(Flag::MayReplicate)) {
            return Err(CommandError::custom("ERR Replica can't interact with the keyspace"));
        }
        Ok(())
    }

    /// Whether it may make the data larger: by the flag that Redis has for a full memory. EXEC does what it runs does.
    fn takes_room(&self, call: &Call) -> bool {
        let transaction = self.session.transaction.as_ref().filter(|_| call.command.name == "exec");
        let queue = transaction.map_or(&[][..], |transaction| &transaction.queue);
        call.command.has(Flag::Denyoom) || queue.iter().any(|queued| queued.call.command.has(Flag::Denyoom))
    }

    /// Refuses a command before it runs: what it would have been part of can then not run either.
    fn reject(&mut self, args: &CommandArgs, error: CommandError) {
        let is_exec = self.session.server.commands.get(args.name()).is_some_and(|command| command.name == "exec");
        if is_exec {
            if self.is_watched() {
                self.show(vec![self.line(args, |_| false)]);
            }
            let aborted = abort_exec(&mut self.session, &error);
            return self.finish_command(Err(aborted));
        }
        if let Some(transaction) = self.session.transaction.as_mut() {
            transaction.is_aborted = true;
        }
        self.finish_command(Err(error));
    }

    /// Between MULTI and EXEC.
    fn enqueue(&mut self, call: Call, args: CommandArgs) {
        if matches!(call.command.run, Run::Container) {
            return self.reject(&args, CommandError::Arity(call.full_name()));
        }
        let bytes = args.frame_len();
        let queued = enqueue(&mut self.session, Queued { call, args }, bytes);
        self.finish_command(queued.map(|()| Bytes::from_static(b"+QUEUED\r\n")));
    }

    fn publish_last_command(&self, called: &Called) {
        let (db, protocol) = (self.session.db, self.session.protocol);
        let queued = match (&self.session.transaction, &self.held) {
            (Some(transaction), _) => Some(transaction.queue.len()),
            (None, Some(Held::Exec(exec))) => Some(exec.len()),
            _ => None,
        };
        self.session.client.update(|facts| {
            facts.last_command = Some(called.name);
            facts.last_container = called.container;
            (facts.db, facts.protocol, facts.queued) = (db, protocol, queued);
        });
    }

    fn push_run(&mut self, call: Call, operation: Box<dyn Operation>, args: CommandArgs) {
        let (db, protocol, silent) = (self.session.db, self.session.protocol, self.is_silent());
        let writes = call.command.writes();
        let command = storage_command(&call, operation, args, db, protocol, silent);
        self.batch.push_run(command, writes);
        self.advance_reply_mode();
    }

    /// Answers the commands at the beginning of the batch that only read, as far as their records are in memory and there is
    /// room for replies: everything before them is answered.
    fn answer_from_memory(&mut self) {
        let now = self.now();
        let server = &self.session.server;
        // Notifications are for storage to order (`keymiss` is one of a read).
        let notifies = !server.config.current().commands.keyspace_events.is_empty();
        let reads_expire = server.reads_expire.load(Ordering::Relaxed);
        if self.batch.reads == 0 || notifies || reads_expire || server.clients.paused(now).is_some() {
            return;
        }
        let mut reads = self.session.memory_reads(now);
        let mut done = 0;
        for step in &self.batch.steps[..self.batch.reads] {
            if self.output.len() >= limits::OUTPUT_PAUSE_BYTES {
                break;
            }
            match step {
                Step::Reply(bytes) => self.output.extend_from_slice(bytes),
                Step::Run(command) if reads.answer(self.random.next_u64(), command, &mut self.output) => {}
                Step::Run(_) | Step::Wait(_) | Step::Exec(_) => break,
            }
            done += 1;
        }
        drop(reads);
        if done > 0 {
            self.batch.remove(done);
            self.at = None;
        }
    }

    /// Runs a network-side command now and answers it.
    fn handle(&mut self, call: &Call, handler: NetworkHandler, args: &CommandArgs) {
        let mut lines = Vec::new();
        let result = self.run_here(call, handler, args, &mut lines);
        if matches!(result, Ok((_, Next::Close))) {
            // The reply to QUIT is the last that it gets.
            self.session.monitor = None;
        }
        self.show(lines);
        match result {
            Ok((reply, Next::Pushed)) => {
                self.advance_reply_mode();
                self.push_reply(reply);
            }
            Ok((_, Next::Exec(queue, watches))) => self.begin_exec(queue, watches, args),
            Ok((_, Next::Storage(operation))) => self.push_run(call.clone(), operation, args.clone()),
            Ok((reply, next)) => {
                self.finish_command(Ok(reply));
                match next {
                    Next::Close | Next::Shutdown => self.closing = true,
                    Next::Wait(future) => self.pending = Pending::Handler(future),
                    Next::Done | Next::Pushed | Next::Exec(..) | Next::Storage(_) => {}
                }
            }
            Err(error) => self.finish_command(Err(error)),
        }
    }

    /// Whether anyone monitors.
    fn is_watched(&self) -> bool {
        self.session.server.stats.monitors.any()
    }

    /// What monitors see of a command that this client ran just now.
    fn line(&self, args: &CommandArgs, is_secret: impl Fn(usize) -> bool) -> Line {
        self.line_in(self.session.db, args, is_secret)
    }

    /// As [`Connection::line`], in another database than the client is in by now.
    fn line_in(&self, db: usize, args: &CommandArgs, is_secret: impl Fn(usize) -> bool) -> Line {
        let server = &self.session.server;
        let bytes_max = server.config.current().network.output_limits.monitor_bytes();
        Line::new(server.env.clock.unix_time(), db, &self.session.client, args, is_secret, bytes_max)
    }

    fn show(&self, lines: Vec<Line>) {
        if !lines.is_empty() {
            let server = &self.session.server;
            server.stats.monitors.show(lines, server.config.current().network.output_limits.monitor_bytes());
        }
    }

    /// Runs a network-side command. Its reply, and what is to be done then, is the caller's, and so is to show monitors what
    /// is added to `lines`.
    fn run_here(
        &mut self,
        call: &Call,
        handler: NetworkHandler,
        args: &CommandArgs,
        lines: &mut Vec<Line>,
    ) -> Result<(Bytes, Next), CommandError> {
        let started = self.session.server.env.clock.moment();
        let mut reply = ReplyBuffer::new(self.session.protocol);
        let result = handler(&mut self.session, args, &mut reply);
        let took = self.session.server.env.clock.moment().saturating_sub(started);
        // Storage counts what it runs.
        if !matches!(result, Ok(Next::Storage(_))) {
            call.counters.record(took, result.is_err());
        }
        // Storage shows what it runs, and EXEC comes behind what it runs.
        let is_shown = call.command.is_shown_to_monitors() && !matches!(result, Ok(Next::Storage(_) | Next::Exec(..)));
        if is_shown && self.is_watched() {
            lines.push(self.line(args, |index| is_secret(call, args, index)));
        }
        // What takes time tells itself how much of it was work.
        let is_over = !matches!(result, Ok(Next::Wait(_) | Next::Storage(_)));
        if is_over && !call.command.has(Flag::SkipSlowlog) {
            let server = &self.session.server;
            let is_fast = call.command.has(Flag::Fast);
            let ran = Ran { args, client: &self.session.client, took, is_fast };
            let hide = |index| is_secret(call, args, index);
            let config = server.config.current();
            server.stats.note_if_slow(&ran, hide, &config.monitoring, || server.env.clock.unix_time());
        }
        Ok((reply.into_bytes().freeze(), result?))
    }

    /// Puts the reply of a command that is over in its place, unless it is not wanted.
    fn finish_command(&mut self, reply: Result<Bytes, CommandError>) {
        let silent = self.is_silent();
        self.advance_reply_mode();
        match reply {
            Ok(_) if silent => {}
            Ok(bytes) => self.push_reply(bytes),
            Err(error) if silent => self.session.server.stats.count_error(&error.to_string()),
            Err(error) => self.reply_error(&error),
        }
    }

    fn reply_error(&mut self, error: &CommandError) {
        let text = error.to_string();
        self.session.server.stats.count_error(&text);
        let mut reply = ReplyBuffer::new(self.session.protocol);
        reply.error(error.reply_text());
        self.push_reply(reply.into_bytes().freeze());
    }

    fn push_reply(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let is_next = matches!(self.pending, Pending::Nothing) || planted::is("reply-overtakes");
        if self.batch.steps.is_empty() && is_next {
            self.output.extend_from_slice(&bytes);
        } else {
            self.batch.push_reply(bytes);
        }
    }

    fn is_silent(&self) -> bool {
        matches!(self.session.reply_mode, ReplyMode::Off | ReplyMode::Skip)
    }

    fn advance_reply_mode(&mut self) {
        self.session.reply_mode = match self.session.reply_mode {
            ReplyMode::SkipNext => ReplyMode::Skip,
            ReplyMode::Skip => ReplyMode::On,
            mode => mode,
        };
    }

    // ---- from steps to replies ----

    /// Sends the batch on, or the command held behind it, if nothing is pending. Returns whether there may be more to do.
    fn submit(&mut self) -> bool {
        if let Pending::Rest(_) = self.pending {
            if self.output.len() >= limits::OUTPUT_PAUSE_BYTES {
                return false;
            }
            if let Pending::Rest(submission) = std::mem::replace(&mut self.pending, Pending::Nothing) {
                self.send(submission);
            }
            return true;
        }
        if !matches!(self.pending, Pending::Nothing) {
            return false;
        }
        if self.batch.runs {
            self.answer_from_memory();
            if self.batch.steps.is_empty() {
                return true;
            }
            if self.batch.reads > 0 && self.output.len() >= limits::OUTPUT_PAUSE_BYTES {
                // They go on once the client has read.
                return false;
            }
            if let Some(pause) = self.pause(self.batch.writes) {
                self.pending = Pending::Paused(pause);
                return false;
            }
            let Batch { steps, bytes, writes, .. } = std::mem::take(&mut self.batch);
            self.send(Submission::new(steps, bytes, writes));
            return true;
        }
        if !self.batch.steps.is_empty() {
            for step in std::mem::take(&mut self.batch).steps {
                if let Step::Reply(bytes) = step {
                    self.output.extend_from_slice(&bytes);
                }
            }
            return true;
        }
        match self.held.take() {
            Some(Held::Call(call, handler, args)) => {
                if call.command.has(Flag::MayReplicate)
                    && let Some(pause) = self.pause(true)
                {
                    self.held = Some(Held::Call(call, handler, args));
                    self.pending = Pending::Paused(pause);
                    return false;
                }
                self.handle(&call, handler, &args);
                if self.session.monitor.is_some() {
                    // It sees what it did itself right behind the reply.
                    self.take_mail();
                }
            }
            Some(Held::Refused(call, args, error)) => {
                call.counters.failed.add(1);
                if call.command.is_shown_to_monitors() {
                    self.show(vec![self.line(&args, |_| false)]);
                }
                self.finish_command(Err(error));
            }
            Some(Held::Exec(exec)) => match self.pause(exec.waits_for_writes()) {
                Some(pause) => {
                    self.held = Some(Held::Exec(exec));
                    self.pending = Pending::Paused(pause);
                    return false;
                }
                None => self.submit_exec(exec),
            },
            Some(Held::Wait(command)) => match self.pause(true) {
                Some(pause) => {
                    self.held = Some(Held::Wait(command));
                    self.pending = Pending::Paused(pause);
                    return false;
                }
                None => {
                    let bytes = command.args.frame_len();
                    self.send(Submission::new(vec![Step::Wait(command)], bytes, true));
                }
            },
            None => return false,
        }
        true
    }

    /// CLIENT PAUSE: what to wait for before a batch, or a transaction, may go.
    fn pause(&mut self, writes: bool) -> Option<BoxFuture<'static, ()>> {
        let now = self.now();
        let server = self.session.server.clone();
        let pause = server.clients.paused(now)?;
        // As in Redis, monitors are not held up.
        if self.session.monitor.is_some() || (pause.kind == PauseKind::Write && !writes) {
            return None;
        }
        Some(Box::pin(async move {
            let _held = server.stats.hold();
            let mut over = server.env.clock.sleep(pause.until.saturating_sub(now));
            tokio::select! {
                biased;
                () = &mut over => {}
                () = server.clients.unpaused() => {}
            }
        }))
    }

    fn send(&mut self, submission: Submission) {
        let sent_at = self.now();
        let server = &self.session.server;
        let deadline = sent_at + Duration::from_millis(server.config.current().runtime.request_timeout_ms);
        let outgoing = Outgoing {
            id: RequestId(Builder::from_random_bytes(self.random.next_u128().to_be_bytes()).into_uuid()),
            client: self.session.client.clone(),
            steps: submission.steps.clone(),
            first: submission.first,
            writes: submission.writes || server.reads_expire.load(Ordering::Relaxed),
            bytes: submission.bytes,
            sent_at,
            deadline,
            buffer: BytesMut::new(),
        };
        self.session.client.deadline_ms.store(deadline.as_millis() as u64, Ordering::Relaxed);
        tracing::debug!(request = %outgoing.id, client = outgoing.client.id, "request sent");
        match server.storage.submit(outgoing) {
            Submitted::InFlight(in_flight) => self.await_answer(submission, in_flight),
            Submitted::Waiting(sending) => self.pending = Pending::Sending(submission, sending),
            Submitted::Refused(error) => self.answer_all(&submission, &error),
        }
    }

    fn take_answer(&mut self, submission: Submission, sent_at: Duration, mut response: StorageResponse) {
        self.session.client.deadline_ms.store(0, Ordering::Relaxed);
        // Of several answers in the output the first one waits longest.
        self.replying_since.get_or_insert((sent_at, response.finished_at));
        self.reply_shares.append(&mut response.reply_shares);
        if let Some(exec) = self.exec.take() {
            if let Some(ends) = &response.parts {
                self.finish_exec(exec, response.replies, ends);
                return self.check_output_limit();
            }
            self.show_exec(&exec);
        }
        if self.output.is_empty() {
            self.output = response.replies;
        } else {
            self.output.extend_from_slice(&response.replies);
        }
        if self.output.is_empty() {
            self.note_replied();
        }
        if response.next_step < submission.steps.len() {
            self.pending = Pending::Rest(Submission { first: response.next_step, ..submission });
        }
        self.check_output_limit();
    }

    fn await_answer(&mut self, submission: Submission, in_flight: InFlight) {
        self.pending = match &submission.steps[..] {
            [Step::Wait(command)] => {
                let blocked = Blocked::new(&self.session.server, &self.session.client, command, in_flight);
                Pending::Blocked(command.clone(), blocked)
            }
            _ => Pending::Request(submission, in_flight),
        };
    }

    /// A blocking command is over.
    fn take_unblocked(&mut self, command: &Arc<StorageCommand>, outcome: Outcome) {
        match outcome {
            Outcome::Answered(Ok(response)) => self.output.extend_from_slice(&response.replies),
            Outcome::Answered(Err(error)) => self.answer_with(&error.to_string(), command.protocol, command.silent),
            Outcome::GaveUp(End::Unblocked) => {
                let error = "UNBLOCKED client unblocked via CLIENT UNBLOCK";
                self.answer_with(error, command.protocol, command.silent);
            }
            Outcome::GaveUp(End::TimedOut | End::Gone) => {
                command.counters.record(Duration::ZERO, false);
                if !command.silent {
                    let output = std::mem::take(&mut self.output);
                    let mut reply = ReplyBuffer::from_bytes(output, command.protocol);
                    reply.null_array();
                    self.output = reply.into_bytes();
                }
            }
        }
        self.check_output_limit();
    }

    /// Storage did not answer: every command of the pipeline gets the error, every other reply its place.
    fn answer_all(&mut self, submission: &Submission, error: &CommandError) {
        self.session.client.deadline_ms.store(0, Ordering::Relaxed);
        self.exec = None;
        let text = error.to_string();
        for step in &submission.steps[submission.first..] {
            match step {
                Step::Reply(bytes) => self.output.extend_from_slice(bytes),
                Step::Run(command) => {
                    command.counters.failed.add(1);
                    self.answer_with(&text, command.protocol, command.silent);
                }
                Step::Wait(command) => {
                    command.counters.failed.add(1);
                    self.answer_with(&text, command.protocol, command.silent);
                }
                Step::Exec(transaction) => self.answer_with(&text, transaction.protocol, transaction.silent),
            }
        }
    }

    fn answer_with(&mut self, error: &str, protocol: Protocol, silent: bool) {
        self.session.server.stats.count_error(error);
        if !silent {
            let mut reply = ReplyBuffer::from_bytes(std::mem::take(&mut self.output), protocol);
            reply.error(error);
            self.output = reply.into_bytes();
        }
    }

    /// `client-output-buffer-limit`: past the hard limit the client is dropped, as in Redis.
    fn check_output_limit(&mut self) {
        let config = self.session.server.config.current();
        let limits = &config.network.output_limits;
        let listens = self.session.client.subscriptions.any();
        let hard = if listens { limits.pubsub } else { limits.normal }.hard_bytes;
        if hard > 0 && self.output.len() as u64 > hard {
            let client = &self.session.client;
            let what = "client dropped: output buffer limit reached";
            let report = Report::new(Category::Connection, Severity::Warning, Side::Network, what);
            let bytes = self.output.len();
            self.session.server.report(report.client(client.id).subject(&format_args!("{bytes} bytes")));
            client.kill();
        }
    }

    /// Moves published messages and monitored commands into the output, as far as the client reads. Between replies they may
    /// stand anywhere: a client that listens in RESP2 gets no others.
    fn take_mail(&mut self) {
        if self.session.has_mail() {
            let output = std::mem::take(&mut self.output);
            let mut reply = ReplyBuffer::from_bytes(output, self.session.protocol);
            self.session.take_mail(&mut reply, limits::OUTPUT_PAUSE_BYTES);
            self.output = reply.into_bytes();
        }
    }

    fn has_mail(&self) -> bool {
        self.output.len() < limits::OUTPUT_PAUSE_BYTES && self.session.has_mail()
    }

    // ---- waiting ----

    /// Waits for whatever comes first.
    async fn event(&mut self) -> Event {
        poll_fn(|context| self.poll_event(context)).await
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if self.session.client.is_killed() {
            return Poll::Ready(Event::Woken);
        }
        if let Poll::Ready(event) = self.poll_pending(context) {
            return Poll::Ready(event);
        }
        if self.has_mail() {
            return Poll::Ready(Event::Mail);
        }
        if !self.output.is_empty()
            && let Poll::Ready(event) = self.poll_output(context)
        {
            return Poll::Ready(event);
        }
        if self.wants_input()
            && let Poll::Ready(event) = self.poll_input(context)
        {
            return Poll::Ready(event);
        }
        // The sweeper wakes every connection once when the server begins to drain; whoever makes them move does so too.
        if (self.is_draining() && self.is_done()) || self.is_to_move() {
            return Poll::Ready(Event::Woken);
        }
        Poll::Pending
    }

    fn poll_pending(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        let is_leaving = self.session.client.is_leaving();
        let event = match &mut self.pending {
            Pending::Nothing | Pending::Rest(_) => return Poll::Pending,
            Pending::Paused(over) => match over.as_mut().poll(context) {
                Poll::Ready(()) => Event::Resumed,
                Poll::Pending => return Poll::Pending,
            },
            Pending::Handler(future) => match future.as_mut().poll(context) {
                Poll::Ready(reply) => Event::Handled(reply),
                Poll::Pending => return Poll::Pending,
            },
            Pending::Blocked(command, blocked) => match blocked.poll(context, is_leaving) {
                Poll::Ready(outcome) => Event::Unblocked(command.clone(), outcome),
                Poll::Pending => return Poll::Pending,
            },
            Pending::Sending(submission, sending) => match sending.as_mut().poll(context) {
                Poll::Ready(sent) => Event::Sent(submission.clone(), sent),
                Poll::Pending => return Poll::Pending,
            },
            Pending::Request(submission, in_flight) => match in_flight.poll(context) {
                Poll::Ready(answer) => Event::Answer(submission.clone(), in_flight.sent_at(), answer),
                Poll::Pending if planted::is("deadline-ignored") => return Poll::Pending,
                Poll::Pending if self.session.server.env.clock.now() >= in_flight.deadline() => {
                    Event::Answer(submission.clone(), in_flight.sent_at(), in_flight.expire())
                }
                Poll::Pending => return Poll::Pending,
            },
        };
        self.pending = Pending::Nothing;
        Poll::Ready(event)
    }

    fn poll_output(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if failpoints::fault(&failpoints::NETWORK_WRITE).is_some() {
            return Poll::Ready(Event::Failed(io::ErrorKind::BrokenPipe.into()));
        }
        match Pin::new(&mut self.stream).poll_write(context, &self.output) {
            Poll::Ready(Ok(0)) => Poll::Ready(Event::Failed(io::ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(count)) => {
                self.session.server.stats.net_output_bytes.add(count as u64);
                self.session.server.stats.socket_writes.add(1);
                self.output.advance(count);
                if planted::is("partial-write-is-whole") {
                    self.output.clear();
                }
                if self.output.is_empty() {
                    // An idle connection holds no buffer.
                    self.output = BytesMut::new();
                    self.reply_shares.clear();
                    self.note_replied();
                }
                Poll::Ready(Event::Output)
            }
            Poll::Ready(Err(error)) => Poll::Ready(Event::Failed(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// The socket has taken all replies.
    fn note_replied(&mut self) {
        let Some((sent_at, finished_at)) = self.replying_since.take() else { return };
        let server = &self.session.server;
        let now = server.env.clock.moment();
        server.stats.runtime.reply.record(now.saturating_sub(finished_at));
        server.stats.runtime.request.record(now.saturating_sub(sent_at));
    }

    /// Whether to read more, if only to see the end of a client that is blocked: not past what one decoding step may need, and not while the client does not read.
    fn wants_input(&self) -> bool {
        let decoding_big_value = self.decoder.is_mid_command() && self.batch.steps.is_empty() && self.held.is_none();
        !self.input_closed
            && (!self.closing || matches!(self.pending, Pending::Blocked(..)))
            && !self.is_draining()
            && self.output.len() < limits::OUTPUT_PAUSE_BYTES
            && (self.input.len() < limits::INPUT_PAUSE_BYTES || decoding_big_value)
    }

    fn poll_input(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if failpoints::fault(&failpoints::NETWORK_READ).is_some() {
            return Poll::Ready(Event::Failed(io::ErrorKind::ConnectionReset.into()));
        }
        let wanted = self.decoder.bytes_wanted(&self.input);
        let read = if wanted > limits::READ_CHUNK_BYTES {
            // A big value: straight into its place, in steps, so that memory grows only as bytes arrive.
            self.input.reserve(wanted.min(limits::READ_CHUNK_LARGE_BYTES));
            let read = pin!(self.stream.read_buf(&mut self.input));
            read.poll(context)
        } else {
            read_small(&mut *self.stream, &mut self.input, context)
        };
        read.map(|read| match read {
            Ok(0) => Event::InputClosed,
            Ok(count) => Event::Input(count),
            Err(error) => Event::Failed(error),
        })
    }
}

fn storage_command(
    call: &Call,
    operation: Box<dyn Operation>,
    args: CommandArgs,
    db: usize,
    protocol: Protocol,
    silent: bool,
) -> StorageCommand {
    let (name, is_fast, counters) = (call.command.name, call.command.has(Flag::Fast), call.counters.clone());
    let is_shown = call.command.is_shown_to_monitors();
    StorageCommand { name, counters, is_fast, is_shown, operation, args, db, protocol, silent }
}

/// What a client that listens in RESP2 may still call: the rest would get replies that look like messages.
fn is_allowed_while_subscribed(call: &Call) -> bool {
    const NAMES: [&str; 9] = [
        "ping",
        "subscribe",
        "ssubscribe",
        "unsubscribe",
        "sunsubscribe",
        "psubscribe",
        "punsubscribe",
        "quit",
        "reset",
    ];
    call.container.is_none() && NAMES.contains(&call.command.name)
}

thread_local! {
    static CHUNK: RefCell<Box<[u8]>> = RefCell::new(vec![0; limits::READ_CHUNK_BYTES].into_boxed_slice());
}

/// Reads through a buffer that all connections of a thread share, so that ten thousand idle ones need no buffers.
fn read_small(stream: &mut dyn Stream, input: &mut BytesMut, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
    CHUNK.with_borrow_mut(|chunk| {
        let mut chunk = ReadBuf::new(chunk);
        Pin::new(stream).poll_read(context, &mut chunk).map_ok(|()| {
            input.extend_from_slice(chunk.filled());
            chunk.filled().len()
        })
    })
}
