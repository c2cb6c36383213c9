//! `redis.call`: a command of a script, run over the script's own keyspace. The same table, the same parsing, the same
//! operations as for any client, and each command that fails takes back what it did, and nothing else.
//!
//! It must never publish or show anything before the script is committed.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::Result;
use crate::commands::context::Server;
use crate::commands::spec::NetworkHandler;
use crate::commands::table::Call;
use crate::commands::{CommandError, Flag, Next, Run, Session};
use crate::env::panic_message;
use crate::keyspace::{Keyspace, Publication};
use crate::limits;
use crate::observe::{Category, Client, Report, Severity, Side};
use crate::pubsub::Topic;
use crate::resp::{CommandArgs, Protocol, ReplyBuffer};
use crate::scripting::{CallError, Host, ScriptFlags};

/// The code of all errors of those that a script may not call.
const REFUSED_CODE: &str = "ERR";

/// See the head of this file.
pub struct ScriptHost<'h, 'v> {
    server: &'h Arc<Server>,
    client: &'h Arc<Client>,
    keyspace: &'h mut Keyspace<'v>,
    only_reads: bool,
    flags: ScriptFlags,
    has_written: bool,
    /// Bytes that the group had written before.
    written_before: usize,
    /// What ended the script, where it could not go on.
    pub fatal: Option<CommandError>,
}

impl<'h, 'v> ScriptHost<'h, 'v> {
    pub fn new(
        server: &'h Arc<Server>,
        client: &'h Arc<Client>,
        keyspace: &'h mut Keyspace<'v>,
        only_reads: bool,
        flags: ScriptFlags,
    ) -> ScriptHost<'h, 'v> {
        let written_before = keyspace.txn().overlay_bytes();
        ScriptHost { server, client, keyspace, only_reads, flags, has_written: false, written_before, fatal: None }
    }

    /// Whether a script may call this now, and if not, why.
    fn check_allowed(&self, call: &Call) -> std::result::Result<(), &'static str> {
        let command = call.command;
        if command.has(Flag::Noscript) {
            return Err("This Redis command is not allowed from script");
        }
        if self.only_reads && (command.writes() || command.has(Flag::MayReplicate)) {
            return Err("Write commands are not allowed from read-only scripts.");
        }
        Ok(())
    }

    /// As for any command while the disk's reserve is touched; but a script that has begun to write may go on.
    fn lacks_room(&self, call: &Call) -> bool {
        let is_breached = self.server.stats.storage.reserve_breached.get() != 0;
        is_breached && call.command.has(Flag::Denyoom) && !self.has_written && !self.flags.allow_oom
    }

    fn run(&mut self, call: &Call, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<()> {
        if self.lacks_room(call) {
            self.server.stats.storage.refused_for_room.add(1);
            return Err(CommandError::DiskReserve);
        }
        if args.iter().any(|arg| arg.len() > self.keyspace.value_bytes_max()) {
            return Err(CommandError::StringTooLong);
        }
        match call.command.run {
            Run::Storage(parse) => {
                let operation = parse(args)?;
                match (operation.run(self.keyspace, reply), operation.waits()) {
                    // A script does not wait.
                    (Err(CommandError::WouldWait), Some(wait)) => {
                        wait.reply_nothing(reply);
                        Ok(())
                    }
                    (done, _) => done,
                }
            }
            Run::Session(handler) | Run::Server(handler) => match call.command.name {
                "publish" => self.publish(args, false, reply),
                "spublish" => self.publish(args, true, reply),
                _ => self.run_on_network_side(handler, args, reply),
            },
            Run::Script(_) | Run::Container => Err(CommandError::Internal),
        }
    }

    /// PUBLISH leaves with the commit, and tells whom it would reach now.
    fn publish(&mut self, args: &CommandArgs, is_shard: bool, reply: &mut ReplyBuffer) -> Result<()> {
        let [channel, payload] = [1, 2].map(|index| Bytes::copy_from_slice(&args[index]));
        let reached = match is_shard {
            true => self.server.pubsub.subscribers(Topic::Shard, &channel),
            false => self.server.pubsub.reach(&channel),
        };
        self.keyspace.publish(Publication { channel, payload, is_shard });
        reply.integer(reached as i64);
        Ok(())
    }

    /// A command that needs no storage (PING, SELECT, TIME, INFO), in a session of the script's own.
    fn run_on_network_side(
        &mut self,
        handler: NetworkHandler,
        args: &CommandArgs,
        reply: &mut ReplyBuffer,
    ) -> Result<()> {
        let mut session = Session::new(self.server.clone(), self.client.clone());
        (session.db, session.protocol, session.denies_blocking) = (self.keyspace.db(), reply.protocol(), true);
        match handler(&mut session, args, reply)? {
            Next::Done => {
                self.keyspace.select(session.db);
                Ok(())
            }
            _ => Err(CommandError::custom("ERR This Redis command is not allowed from script")),
        }
    }

    /// What has gone wrong within the server, not within the command.
    fn report(&self, call: &Call, panic: &str) {
        let what = "a command of a script panicked, and the script had no effect: this is a bug";
        let report = Report::new(Category::Panic, Severity::Error, Side::Storage, what);
        self.server.report(report.subject(&call.command.name).error(&panic).client(self.client.id));
    }

    fn end(&mut self, error: CommandError) -> CallError {
        self.fatal = Some(error);
        CallError::Fatal
    }
}

impl Host for ScriptHost<'_, '_> {
    fn call(&mut self, args: &CommandArgs, protocol: Protocol) -> std::result::Result<BytesMut, CallError> {
        let refuse = |words: &'static str| {
            self.server.stats.count_error(REFUSED_CODE);
            CallError::Refused(words)
        };
        let call = self.server.commands.resolve(args).map_err(|error| match error {
            CommandError::Arity(_) => refuse("Wrong number of args calling Redis command from script"),
            _ => refuse("Unknown Redis command called from script"),
        })?;
        if let Err(words) = self.check_allowed(&call) {
            call.counters.rejected.add(1);
            return Err(refuse(words));
        }
        let began = self.server.env.clock.moment();
        let before = self.keyspace.savepoint();
        let mut reply = ReplyBuffer::new(protocol);
        let ran = std::panic::catch_unwind(AssertUnwindSafe(|| self.run(&call, args, &mut reply)));
        let result = match ran {
            Ok(result) => result,
            Err(panic) => {
                self.report(&call, &panic_message(&*panic));
                return Err(self.end(CommandError::Internal));
            }
        };
        let failed = result.is_err();
        match result {
            Ok(()) => self.has_written |= call.command.has(Flag::Write),
            Err(error @ CommandError::Storage(_)) => return Err(self.end(error)),
            Err(error) => {
                self.keyspace.undo_to(before);
                reply.rollback(0);
                reply.error(error.reply_text());
                self.server.stats.count_error(&error.to_string());
            }
        }
        call.counters.record(self.server.env.clock.moment().saturating_sub(began), failed);
        self.server.stats.commands_processed.add(1);
        if self.keyspace.txn().overlay_bytes() - self.written_before > limits::SCRIPT_WRITTEN_BYTES_MAX {
            let text = format!("ERR the script writes more than {} bytes", limits::SCRIPT_WRITTEN_BYTES_MAX);
            return Err(self.end(CommandError::custom(text)));
        }
        Ok(reply.into_bytes())
    }

    fn may_call(&self, args: &CommandArgs) -> Option<bool> {
        self.server.commands.resolve(args).is_ok().then_some(true)
    }
}
