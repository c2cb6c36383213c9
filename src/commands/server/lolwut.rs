//! LOLWUT: some art, and the version behind it.

use super::BASE;
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, Next, Run, Session};
use crate::config::REDIS_VERSION;
use crate::resp::{CommandArgs, ReplyBuffer};

pub static LOLWUT: Command = Command {
    name: "lolwut",
    summary: "Display some computer art and the Redis version",
    since: "5.0.0",
    complexity: "",
    arity: -1,
    flags: &[Flag::Readonly, Flag::Fast],
    arguments: &[Argument::integer("version").token("VERSION").optional()],
    examples: r#"> LOLWUT VERSION 5
...
> LOLWUT VERSION one
(error) ERR value is not an integer or out of range"#,
    run: Run::Session(lolwut),
    ..BASE
};

/// One compartment is flooded; the ship floats.
const ART: &str = r"
                              |\
               ~              | \
                      ________|__\_______
   ~    \-----.------'----.-------.------'------/
   ______\    |     o     |~~~~~~~|     o      /______
          \   |           |~~~~~~~|           /
   ~~~~~~~~\__|___________|~~~~~~~|__________/~~~~~~~~
        ~        ~~             ~         ~~      ~
";

fn lolwut(_: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let mut args = Args::new(args);
    if args.remaining() > 1 && args.take_word("VERSION") {
        // All versions of this art are the same.
        args.next_i64()?;
    }
    let version = env!("CARGO_PKG_VERSION");
    reply.verbatim("txt", format!("{ART}\nRedis ver. {REDIS_VERSION} (Bulkhead {version})\n").as_bytes());
    Ok(Next::Done)
}
