//! EXEC on the connection. What needs storage crosses the channel as one step. If all of it does, that step is one of
//! the pipeline like any other. Commands that run here (PING, SELECT, PUBLISH …) run when storage has committed its
//! part, in their order, and the replies are put together here; then nothing else is decoded meanwhile.

use bytes::{Bytes, BytesMut};

use super::{Connection, Held, Submission, storage_command};
use crate::channel::{Step, Transaction};
use crate::commands::context::{Queued, ReplyMode, Session};
use crate::commands::spec::NetworkHandler;
use crate::commands::table::Call;
use crate::commands::{Command, CommandError, Flag, Next, Run, foreseen_operation, foreseen_protocol};
use crate::env::BoxFuture;
use crate::keyspace::WatchSet;
use crate::number;
use crate::observe::Line;
use crate::resp::{CommandArgs, Protocol, ReplyBuffer};

/// A transaction of which not everything runs in storage.
pub(super) struct Exec {
    parts: Vec<Part>,
    /// EXEC as the client sent it.
    args: CommandArgs,
    /// What storage has to do first.
    transaction: Transaction,
    bytes: usize,
    writes: bool,
    /// The reply is not wanted.
    silent: bool,
}

/// Where a command's reply comes from.
enum Part {
    Storage(Option<Noted>),
    /// It is known already: an error.
    Ready(Bytes, Option<Noted>),
    Here(Call, NetworkHandler, CommandArgs),
}

/// What monitors will see of a command, and the database it runs in.
type Noted = (CommandArgs, usize);

/// A piece of the reply.
enum Piece {
    Ready(Bytes),
    Later(BoxFuture<'static, Bytes>),
}

impl Exec {
    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether CLIENT PAUSE WRITE holds it back.
    pub(super) fn waits_for_writes(&self) -> bool {
        let replicates = |part: &Part| matches!(part, Part::Here(call, ..) if call.command.has(Flag::MayReplicate));
        self.writes || self.parts.iter().any(replicates)
    }

    /// Whether storage has any part in it.
    fn needs_storage(&self) -> bool {
        !self.transaction.steps.is_empty() || self.transaction.watches.is_some()
    }
}

/// The state in which the commands of a transaction will run, as far as earlier ones in it decide that.
struct Foreseen {
    db: usize,
    protocol: Protocol,
}

impl Foreseen {
    fn take_in(&mut self, command: &Command, args: &CommandArgs, session: &Session) {
        let db_count = session.server.databases.load().len();
        match command.name {
            "select" => {
                let db = args.get(1).and_then(number::parse_i64).and_then(|db| usize::try_from(db).ok());
                self.db = db.filter(|db| *db < db_count).unwrap_or(self.db);
            }
            "hello" => self.protocol = foreseen_protocol(session, args).unwrap_or(self.protocol),
            _ => {}
        }
    }
}

impl Connection {
    /// EXEC: parses what was queued, and sends it where it belongs.
    pub(super) fn begin_exec(&mut self, queue: Vec<Queued>, watches: Option<WatchSet>, args: &CommandArgs) {
        let exec = args.clone();
        let is_watched = self.is_watched();
        let silent = self.is_silent();
        self.advance_reply_mode();
        let (mut steps, mut parts) = (Vec::with_capacity(queue.len()), Vec::with_capacity(queue.len()));
        let mut foreseen = Foreseen { db: self.session.db, protocol: self.session.protocol };
        // Whether nobody touched what is watched, only the writer knows.
        let mut writes = watches.is_some();
        let mut bytes = 0;
        for Queued { call, args } in queue {
            let noted = || (is_watched && call.command.is_shown_to_monitors()).then(|| (args.clone(), foreseen.db));
            let operation = match call.command.run {
                Run::Server(_) => foreseen_operation(call.command, &args),
                run => run.operation(&self.session, &args),
            };
            match (operation, call.command.run) {
                (Some(Ok(operation)), _) => {
                    parts.push(Part::Storage(noted()));
                    bytes += args.frame_len();
                    // Only the writer knows what becomes of one that finds nothing to wait for.
                    writes |= call.command.writes() || operation.waits().is_some();
                    let Foreseen { db, protocol } = foreseen;
                    steps.push(Step::Run(storage_command(&call, operation, args, db, protocol, silent)));
                }
                (Some(Err(error)), _) => {
                    call.counters.failed.add(1);
                    self.session.server.stats.count_error(&error.to_string());
                    let reply = if silent { Bytes::new() } else { encode_error(&error, foreseen.protocol) };
                    steps.push(Step::Reply(reply.clone()));
                    parts.push(Part::Ready(reply, noted()));
                }
                (None, Run::Session(handler) | Run::Server(handler)) => {
                    foreseen.take_in(call.command, &args, &self.session);
                    parts.push(Part::Here(call, handler, args));
                }
                (None, Run::Container | Run::Storage(_) | Run::Script(_)) => {
                    unreachable!("invariant: a container is refused before it is queued, and storage has an operation")
                }
            }
        }
        // What is refused here is shown here.
        let runs_here = parts.iter().any(|part| matches!(part, Part::Here(..) | Part::Ready(_, Some(_))));
        let needs_storage = watches.is_some() || parts.iter().any(|part| matches!(part, Part::Storage(_)));
        let (protocol, db) = (self.session.protocol, self.session.db);
        if needs_storage && !runs_here {
            let transaction = Transaction { steps, watches, protocol, silent, in_parts: false, exec, db };
            self.batch.push_exec(transaction, bytes, writes);
            return;
        }
        steps.retain(|step| matches!(step, Step::Run(_)));
        let args = exec.clone();
        let transaction = Transaction { steps, watches, protocol, silent, in_parts: true, exec, db };
        self.held = Some(Held::Exec(Exec { parts, args, transaction, bytes, writes, silent }));
    }

    /// Everything before the EXEC is answered: sends storage its part, if it has any.
    pub(super) fn submit_exec(&mut self, mut exec: Exec) {
        if !exec.needs_storage() {
            return self.finish_exec(exec, BytesMut::new(), &[]);
        }
        let (protocol, silent) = (exec.transaction.protocol, exec.silent);
        let (args, db) = (exec.args.clone(), exec.transaction.db);
        let nothing =
            Transaction { steps: Vec::new(), watches: None, protocol, silent, in_parts: true, exec: args, db };
        let transaction = std::mem::replace(&mut exec.transaction, nothing);
        let submission = Submission::new(vec![Step::Exec(transaction)], exec.bytes, exec.writes);
        self.exec = Some(exec);
        self.send(submission);
    }

    /// Storage has committed its part, and `replies` are those of its commands, which end at `ends`: runs the others.
    pub(super) fn finish_exec(&mut self, exec: Exec, replies: BytesMut, ends: &[usize]) {
        let replies = replies.freeze();
        let mut from = 0;
        let mut ends = ends.iter().copied();
        let mut pieces = Vec::with_capacity(exec.parts.len() + 1);
        let mut lines = Vec::new();
        if !exec.silent {
            let mut header = ReplyBuffer::new(self.session.protocol);
            header.array(exec.parts.len());
            pieces.push(Piece::Ready(header.into_bytes().freeze()));
        }
        for part in exec.parts {
            match part {
                Part::Storage(noted) => {
                    lines.extend(noted.map(|(args, db)| self.line_in(db, &args, |_| false)));
                    let end = ends.next().unwrap_or(from);
                    pieces.push(Piece::Ready(replies.slice(from..end)));
                    from = end;
                }
                Part::Ready(reply, noted) => {
                    lines.extend(noted.map(|(args, db)| self.line_in(db, &args, |_| false)));
                    pieces.push(Piece::Ready(reply));
                }
                Part::Here(call, handler, args) => {
                    if call.command.has(Flag::Pubsub) {
                        // A monitor that also subscribes sees what was before a message before it.
                        self.show(std::mem::take(&mut lines));
                    }
                    self.run_in_exec(&call, handler, &args, &mut pieces, &mut lines);
                }
            }
        }
        if self.is_watched() {
            lines.push(self.line(&exec.args, |_| false));
        }
        self.show(lines);
        self.session.client.update(|facts| facts.queued = None);
        if self.session.reply_mode == ReplyMode::SkipNext {
            // The command after CLIENT REPLY SKIP is the one after EXEC.
            self.advance_reply_mode();
        }
        if pieces.iter().all(|piece| matches!(piece, Piece::Ready(_))) {
            for piece in pieces {
                if let Piece::Ready(bytes) = piece {
                    self.output.extend_from_slice(&bytes);
                }
            }
            return;
        }
        self.pending = super::Pending::Handler(Box::pin(async move {
            let mut reply = BytesMut::new();
            for piece in pieces {
                reply.extend_from_slice(&match piece {
                    Piece::Ready(bytes) => bytes,
                    Piece::Later(bytes) => bytes.await,
                });
            }
            reply.freeze()
        }));
    }

    /// Monitors see a transaction of which nothing ran.
    pub(super) fn show_exec(&self, exec: &Exec) {
        if self.is_watched() {
            self.show(vec![self.line(&exec.args, |_| false)]);
        }
    }

    fn run_in_exec(
        &mut self,
        call: &Call,
        handler: NetworkHandler,
        args: &CommandArgs,
        pieces: &mut Vec<Piece>,
        lines: &mut Vec<Line>,
    ) {
        self.session.denies_blocking = true;
        let result = self.run_here(call, handler, args, lines);
        self.session.denies_blocking = false;
        let silent = self.is_silent();
        match result {
            Ok((reply, next)) => {
                if !silent || matches!(next, Next::Pushed) {
                    pieces.push(Piece::Ready(reply));
                }
                match next {
                    Next::Done | Next::Pushed => {}
                    Next::Close | Next::Shutdown => self.closing = true,
                    Next::Wait(reply) => pieces.push(Piece::Later(reply)),
                    Next::Exec(..) => unreachable!("invariant: EXEC is not queued"),
                    Next::Storage(_) => unreachable!("invariant: what storage runs of a transaction is foreseen"),
                }
            }
            Err(error) => {
                self.session.server.stats.count_error(&error.to_string());
                if !silent {
                    pieces.push(Piece::Ready(encode_error(&error, self.session.protocol)));
                }
            }
        }
    }
}

fn encode_error(error: &CommandError, protocol: Protocol) -> Bytes {
    let mut reply = ReplyBuffer::new(protocol);
    reply.error(error.reply_text());
    reply.into_bytes().freeze()
}
