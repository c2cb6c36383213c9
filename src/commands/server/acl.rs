//! ACL, as far as there is something to say: one user, who may do everything, with or without a password.
//!
//! Users cannot be made, so the subcommands that would are absent rather than refusing.

use super::{ADMIN, BASE, CONTAINER};
use crate::commands::connection::{USER, text};
use crate::commands::introspection::{self, CATEGORIES};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, Next, Run, Session};
use crate::resp::{CommandArgs, ReplyBuffer};

pub static ACL: Command = Command {
    name: "acl",
    summary: "A container for Access List Control commands ",
    since: "6.0.0",
    subcommands: &[&CAT, &GETUSER, &HELP, &LIST, &LOG, &USERS, &WHOAMI],
    ..CONTAINER
};

static HELP: Command = Command {
    since: "6.0.0",
    examples: r#"> ACL HELP
..."#,
    ..introspection::HELP
};

static CAT: Command = Command {
    name: "cat",
    summary: "List the ACL categories or the commands inside a category",
    since: "6.0.0",
    complexity: "O(1) since the categories and commands are a fixed set.",
    arity: -2,
    flags: &[Flag::Noscript, Flag::Loading, Flag::Stale],
    arguments: &[Argument::string("categoryname").optional()],
    examples: r#"> ACL CAT
 1) "keyspace"
 2) "read"
 3) "write"
...
> ACL CAT nosuchcategory
(error) ERR Unknown category 'nosuchcategory'"#,
    run: Run::Session(cat),
    ..BASE
};

fn cat(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    match args.get(2) {
        _ if args.len() > 3 => return Err(introspection::unknown_subcommand_or_arity(args)),
        None => {
            reply.array(CATEGORIES.len());
            CATEGORIES.iter().for_each(|category| reply.bulk(category.as_bytes()));
        }
        Some(category) if CATEGORIES.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(category)) => {
            let is_in = |_: &str, command: &Command| introspection::is_in_category(command, category);
            introspection::write_names(&session.server.commands, is_in, reply);
        }
        Some(category) => {
            return Err(CommandError::custom(format!("ERR Unknown category '{}'", text(category))));
        }
    }
    Ok(Next::Done)
}

static LIST: Command = Command {
    name: "list",
    summary: "List the current ACL rules in ACL config file format",
    since: "6.0.0",
    complexity: "O(N). Where N is the number of configured users.",
    arity: 2,
    flags: ADMIN,
    examples: r#"> ACL LIST
1) "user default on nopass ~* &* +@all""#,
    run: Run::Server(list),
    ..BASE
};

/// Where Redis prints the password's hash nothing is printed: who reads it could go and guess.
fn list(session: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let password = match session.server.config.current().requirepass().is_empty() {
        true => "nopass",
        false => "#(redacted)",
    };
    reply.array(1);
    reply.bulk(format!("user {USER} on {password} ~* &* +@all").as_bytes());
    Ok(Next::Done)
}

static GETUSER: Command = Command {
    name: "getuser",
    summary: "Get the rules for a specific ACL user",
    since: "6.0.0",
    complexity: "O(N). Where N is the number of password, command and pattern rules that the user has.",
    arity: 3,
    flags: ADMIN,
    history: &[
        ("6.2.0", "Added Pub/Sub channel patterns."),
        (
            "7.0.0",
            "Added selectors and changed the format of key and channel patterns from a list to their rule representation.",
        ),
    ],
    arguments: &[Argument::string("username")],
    examples: r#"> ACL GETUSER default
 1) "flags"
 2) 1) "on"
    2) "nopass"
...
> ACL GETUSER nobody
(nil)"#,
    run: Run::Server(getuser),
    ..BASE
};

/// As in LIST, a password is not shown, not even its hash.
fn getuser(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    if args.get(2) != Some(USER.as_bytes()) {
        reply.null();
        return Ok(Next::Done);
    }
    let has_password = !session.server.config.current().requirepass().is_empty();
    reply.map(6);
    reply.bulk(b"flags");
    let flags: &[&str] = if has_password { &["on"] } else { &["on", "nopass"] };
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"passwords");
    reply.array(usize::from(has_password));
    if has_password {
        reply.bulk(b"(redacted)");
    }
    for (name, rules) in [("commands", "+@all"), ("keys", "~*"), ("channels", "&*")] {
        reply.bulk(name.as_bytes());
        reply.bulk(rules.as_bytes());
    }
    reply.bulk(b"selectors");
    reply.array(0);
    Ok(Next::Done)
}

static LOG: Command = Command {
    name: "log",
    summary: "List latest events denied because of ACLs in place",
    since: "6.0.0",
    complexity: "O(N) with N being the number of entries shown.",
    arity: -2,
    flags: ADMIN,
    arguments: &[
        Argument::one_of("operation", &[Argument::integer("count"), Argument::flag("reset", "RESET")]).optional()
    ],
    examples: r#"> ACL LOG
(empty array)
> ACL LOG RESET
OK"#,
    run: Run::Session(log),
    ..BASE
};

/// Nobody is ever denied anything but for a wrong password.
fn log(_: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    if args.len() > 3 {
        return Err(introspection::unknown_subcommand_or_arity(args));
    }
    let mut args = Args::from(args, 2);
    if args.take_word("RESET") {
        reply.ok();
        return Ok(Next::Done);
    }
    if !args.is_done() {
        args.next_i64()?;
    }
    reply.array(0);
    Ok(Next::Done)
}

static USERS: Command = Command {
    name: "users",
    summary: "List the username of all the configured ACL rules",
    since: "6.0.0",
    complexity: "O(N). Where N is the number of configured users.",
    arity: 2,
    flags: ADMIN,
    examples: r#"> ACL USERS
1) "default""#,
    run: Run::Session(users),
    ..BASE
};

fn users(_: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    reply.array(1);
    reply.bulk(USER.as_bytes());
    Ok(Next::Done)
}

static WHOAMI: Command = Command {
    name: "whoami",
    summary: "Return the name of the user associated to the current connection",
    since: "6.0.0",
    arity: 2,
    flags: &[Flag::Noscript, Flag::Loading, Flag::Stale],
    examples: r#"> ACL WHOAMI
"default""#,
    run: Run::Session(whoami),
    ..BASE
};

fn whoami(_: &mut Session, _: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    reply.bulk(USER.as_bytes());
    Ok(Next::Done)
}
