//! FUNCTION, as far as there is something to say while there are no functions: there are none to list, and nothing is left
//! to flush. Tools that empty a server before they use it do so.
//!
//! What would make a function is absent rather than refusing.

use super::BASE as SCRIPTING;
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, Next, Operation, Run, Session, echoed, introspection};
use crate::keyspace::Keyspace;
use crate::resp::{CommandArgs, ReplyBuffer};

const BASE: Command = Command { since: "7.0.0", arity: -2, flags: &[Flag::Noscript], ..SCRIPTING };

pub(super) static FUNCTION: Command = Command {
    name: "function",
    summary: "A container for function commands",
    complexity: "Depends on subcommand.",
    flags: &[],
    categories: &[],
    subcommands: &[&FLUSH, &HELP, &LIST],
    ..BASE
};

static HELP: Command = Command {
    group: BASE.group,
    since: BASE.since,
    categories: BASE.categories,
    examples: r#"> FUNCTION HELP
..."#,
    ..introspection::HELP
};

static FLUSH: Command = Command {
    name: "flush",
    summary: "Deleting all functions",
    complexity: "O(N) where N is the number of functions deleted",
    flags: &[Flag::Write, Flag::Noscript],
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    arguments: &[
        Argument::one_of("async", &[Argument::flag("async", "ASYNC"), Argument::flag("sync", "SYNC")]).optional()
    ],
    examples: r#"> FUNCTION FLUSH
OK
> FUNCTION FLUSH NOW
(error) ERR FUNCTION FLUSH only supports SYNC|ASYNC option"#,
    run: Run::Storage(Flush::parse),
    ..BASE
};

/// It is a write in Redis, so it goes where writes go: in line with them.
#[derive(Debug)]
struct Flush;

impl Flush {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>, CommandError> {
        if args.len() > 3 {
            return Err(introspection::unknown_subcommand_or_arity(args));
        }
        let mut mode = Args::from(args, 2);
        if !mode.is_done() && !mode.take_word("ASYNC") && !mode.take_word("SYNC") {
            return Err(CommandError::custom("ERR FUNCTION FLUSH only supports SYNC|ASYNC option"));
        }
        Ok(Box::new(Flush))
    }
}

impl Operation for Flush {
    fn run(&self, _: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<(), CommandError> {
        reply.ok();
        Ok(())
    }
}

static LIST: Command = Command {
    name: "list",
    summary: "List information about all the functions",
    complexity: "O(N) where N is the number of functions",
    tips: &["nondeterministic_output_order"],
    arguments: &[
        Argument::string("library-name-pattern").token("LIBRARYNAME").optional(),
        Argument::flag("withcode", "WITHCODE").optional(),
    ],
    examples: r#"> FUNCTION LIST
(empty array)
> FUNCTION LIST LIBRARYNAME
(error) ERR library name argument was not given"#,
    run: Run::Session(list),
    ..BASE
};

fn list(_: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let mut words = Args::from(args, 2);
    let (mut with_code, mut pattern) = (false, false);
    while !words.is_done() {
        if !with_code && words.take_word("WITHCODE") {
            with_code = true;
        } else if !pattern && words.take_word("LIBRARYNAME") {
            if words.is_done() {
                return Err(CommandError::custom("ERR library name argument was not given"));
            }
            words.next()?;
            pattern = true;
        } else {
            return Err(CommandError::echo(&[b"ERR Unknown argument ", echoed(words.next()?)]));
        }
    }
    reply.array(0);
    Ok(Next::Done)
}
