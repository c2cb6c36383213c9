//! When keys expire: the EXPIRE and TTL commands, PERSIST, and the words for times that SET and GETEX share with them.

use bytes::Bytes;

use super::{BASE, Result};
use crate::commands::parse::Args;
use crate::commands::{Argument, ArgumentKind, Command, CommandError, Flag, KeySpec, Operation, Run, echoed};
use crate::keyspace::{Entry, EventClass, Keyspace};
use crate::number;
use crate::resp::{CommandArgs, ReplyBuffer};

/// How a command counts time: in seconds or milliseconds, from now or from 1970 on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeFormat {
    unit_ms: u64,
    from_now: bool,
}

impl TimeFormat {
    /// Seconds from now.
    pub const EX: TimeFormat = TimeFormat { unit_ms: 1000, from_now: true };
    /// Milliseconds from now.
    pub const PX: TimeFormat = TimeFormat { unit_ms: 1, from_now: true };
    /// Unix time in seconds.
    pub const EXAT: TimeFormat = TimeFormat { unit_ms: 1000, from_now: false };
    /// Unix time in milliseconds.
    pub const PXAT: TimeFormat = TimeFormat { unit_ms: 1, from_now: false };

    /// Writes a due time, to the nearest unit.
    fn format(self, due_ms: u64, now_ms: u64) -> i64 {
        let ms = if self.from_now { due_ms.saturating_sub(now_ms) } else { due_ms };
        ((ms + self.unit_ms / 2) / self.unit_ms) as i64
    }
}

/// When a key is to expire, as a client said it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Due {
    ms: i64,
    from_now: bool,
    /// Whose time it is, for the error.
    command: &'static str,
}

impl Due {
    /// Any time, past ones included.
    fn any(text: &[u8], format: TimeFormat, command: &'static str) -> Result<Due> {
        let amount = number::parse_i64(text).ok_or(CommandError::NotInteger)?;
        let ms = amount.checked_mul(format.unit_ms as i64).ok_or(CommandError::InvalidExpire(command))?;
        Ok(Due { ms, from_now: format.from_now, command })
    }

    /// A time that is more than zero.
    pub fn to_come(text: &[u8], format: TimeFormat, command: &'static str) -> Result<Due> {
        let due = Due::any(text, format, command)?;
        if due.ms > 0 { Ok(due) } else { Err(CommandError::InvalidExpire(command)) }
    }

    /// The Unix time in milliseconds; what lies before 1970 becomes 1970.
    pub fn at(self, now_ms: u64) -> Result<u64> {
        let base = if self.from_now { now_ms as i64 } else { 0 };
        let due = base.checked_add(self.ms).ok_or(CommandError::InvalidExpire(self.command))?;
        Ok(u64::try_from(due).unwrap_or(0))
    }
}

/// The option `EX 10`, `PX 10`, `EXAT 10` or `PXAT 10` of SET and GETEX. It may be repeated, and the last one counts,
/// but only in the same unit. Its number is read when the whole command's syntax is known to be right.
#[derive(Debug, Default)]
pub struct TimeOption<'a> {
    given: Option<(TimeFormat, &'a [u8])>,
}

impl<'a> TimeOption<'a> {
    const WORDS: [(&'static str, TimeFormat); 4] =
        [("EX", TimeFormat::EX), ("PX", TimeFormat::PX), ("EXAT", TimeFormat::EXAT), ("PXAT", TimeFormat::PXAT)];

    /// Takes the option. `false`: the next word is another, or its unit is not the one given before, or its number is
    /// missing; a syntax error in any case, unless the word means something else to the command.
    pub fn take(&mut self, args: &mut Args<'a>) -> bool {
        let Some((_, format)) = Self::WORDS.into_iter().find(|(word, _)| args.take_word(word)) else { return false };
        let same_unit = self.given.is_none_or(|(before, _)| before == format);
        match args.next() {
            Ok(amount) if same_unit => self.given = Some((format, amount)),
            _ => return false,
        }
        true
    }

    pub fn is_none(&self) -> bool {
        self.given.is_none()
    }

    pub fn due(&self, command: &'static str) -> Result<Option<Due>> {
        self.given.map(|(format, amount)| Due::to_come(amount, format, command)).transpose()
    }
}

/// Lets a key expire at `due_ms`; if that is past, it is removed now.
pub fn expire_at(keyspace: &mut Keyspace<'_>, entry: &mut Entry, due_ms: u64) -> Result<()> {
    let event = if due_ms <= keyspace.now_ms() {
        keyspace.remove(entry)?;
        "del"
    } else {
        keyspace.set_expiry(entry, Some(due_ms))?;
        "expire"
    };
    keyspace.notify(EventClass::Generic, event, entry.user_key());
    Ok(())
}

/// The last argument of all EXPIRE commands.
const CONDITION: Argument = Argument::one_of(
    "condition",
    &[Argument::flag("nx", "NX"), Argument::flag("xx", "XX"), Argument::flag("gt", "GT"), Argument::flag("lt", "LT")],
)
.since("7.0.0")
.optional();
const CONDITION_ADDED: &[(&str, &str)] = &[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")];

pub(super) static EXPIRE: Command = Command {
    name: "expire",
    summary: "Set a key's time to live in seconds",
    arity: -3,
    flags: &[Flag::Write, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "update"])],
    history: CONDITION_ADDED,
    arguments: &[Argument::key("key", 0), Argument::integer("seconds"), CONDITION],
    examples: r#"> SET mykey Hello
OK
> EXPIRE mykey 10 XX
(integer) 0
> EXPIRE mykey 10
(integer) 1
> TTL mykey
(integer) 10
> EXPIRE mykey 5 GT
(integer) 0
> SET mykey "Hello World"
OK
> TTL mykey
(integer) -1"#,
    run: Run::Storage(|args| Expire::parse(args, TimeFormat::EX, "expire")),
    ..BASE
};

pub(super) static PEXPIRE: Command = Command {
    name: "pexpire",
    summary: "Set a key's time to live in milliseconds",
    since: "2.6.0",
    arity: -3,
    flags: &[Flag::Write, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "update"])],
    history: CONDITION_ADDED,
    arguments: &[Argument::key("key", 0), Argument::integer("milliseconds"), CONDITION],
    examples: r#"> SET mykey Hello
OK
> PEXPIRE mykey 1500000
(integer) 1
> TTL mykey
(integer) 1500
> PEXPIRE mykey 1000 NX
(integer) 0"#,
    run: Run::Storage(|args| Expire::parse(args, TimeFormat::PX, "pexpire")),
    ..BASE
};

pub(super) static EXPIREAT: Command = Command {
    name: "expireat",
    summary: "Set the expiration for a key as a UNIX timestamp",
    since: "1.2.0",
    arity: -3,
    flags: &[Flag::Write, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "update"])],
    history: CONDITION_ADDED,
    arguments: &[Argument::key("key", 0), Argument::new("unix-time-seconds", ArgumentKind::UnixTime), CONDITION],
    examples: r#"> SET mykey Hello
OK
> EXPIREAT mykey 1293840000
(integer) 1
> EXISTS mykey
(integer) 0"#,
    run: Run::Storage(|args| Expire::parse(args, TimeFormat::EXAT, "expireat")),
    ..BASE
};

pub(super) static PEXPIREAT: Command = Command {
    name: "pexpireat",
    summary: "Set the expiration for a key as a UNIX timestamp specified in milliseconds",
    since: "2.6.0",
    arity: -3,
    flags: &[Flag::Write, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "update"])],
    history: CONDITION_ADDED,
    arguments: &[Argument::key("key", 0), Argument::new("unix-time-milliseconds", ArgumentKind::UnixTime), CONDITION],
    examples: r#"> SET mykey Hello
OK
> PEXPIREAT mykey 33177117420000
(integer) 1
> PEXPIRETIME mykey
(integer) 33177117420000"#,
    run: Run::Storage(|args| Expire::parse(args, TimeFormat::PXAT, "pexpireat")),
    ..BASE
};

#[derive(Debug)]
struct Expire {
    key: Bytes,
    due: Due,
    condition: Condition,
}

/// For which keys EXPIRE does anything: `nx` those that do not expire yet, `xx` those that do, `gt` and `lt` those that
/// expire earlier or later, never being latest of all.
#[derive(Clone, Copy, Debug, Default)]
struct Condition {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Condition {
    fn parse(mut args: Args<'_>) -> Result<Condition> {
        let mut condition = Condition::default();
        while !args.is_done() {
            let flag = if args.take_word("NX") {
                &mut condition.nx
            } else if args.take_word("XX") {
                &mut condition.xx
            } else if args.take_word("GT") {
                &mut condition.gt
            } else if args.take_word("LT") {
                &mut condition.lt
            } else {
                return Err(CommandError::echo(&[b"ERR Unsupported option ", echoed(args.next()?)]));
            };
            *flag = true;
        }
        let Condition { nx, xx, gt, lt } = condition;
        if nx && (xx || gt || lt) {
            let text = "ERR NX and XX, GT or LT options at the same time are not compatible";
            return Err(CommandError::custom(text));
        }
        if gt && lt {
            return Err(CommandError::custom("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(condition)
    }

    fn allows(self, before_ms: Option<u64>, due_ms: u64) -> bool {
        let refused = self.nx && before_ms.is_some()
            || self.xx && before_ms.is_none()
            || self.gt && before_ms.is_none_or(|before| due_ms <= before)
            || self.lt && before_ms.is_some_and(|before| due_ms >= before);
        !refused
    }
}

impl Expire {
    fn parse(args: &CommandArgs, format: TimeFormat, command: &'static str) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let (key, time) = (args.next_bytes()?, args.next()?);
        let condition = Condition::parse(args)?;
        Ok(Box::new(Expire { key, due: Due::any(time, format, command)?, condition }))
    }
}

impl Operation for Expire {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let due_ms = self.due.at(keyspace.now_ms())?;
        let mut entry = keyspace.entry(&self.key)?;
        let applies = entry.record().is_some_and(|record| self.condition.allows(record.expire_ms, due_ms));
        if applies {
            expire_at(keyspace, &mut entry, due_ms)?;
        }
        reply.integer(i64::from(applies));
        Ok(())
    }
}

pub(super) static PERSIST: Command = Command {
    name: "persist",
    summary: "Remove the expiration from a key",
    since: "2.2.0",
    arity: 2,
    flags: &[Flag::Write, Flag::Fast],
    keys: &[KeySpec::one(1, &["RW", "update"])],
    arguments: &[Argument::key("key", 0)],
    examples: r#"> SET mykey Hello EX 10
OK
> TTL mykey
(integer) 10
> PERSIST mykey
(integer) 1
> TTL mykey
(integer) -1"#,
    run: Run::Storage(Persist::parse),
    ..BASE
};

#[derive(Debug)]
struct Persist {
    key: Bytes,
}

impl Persist {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        Ok(Box::new(Persist { key: Args::new(args).next_bytes()? }))
    }
}

impl Operation for Persist {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let mut entry = keyspace.entry(&self.key)?;
        let persists = keyspace.set_expiry(&mut entry, None)?;
        if persists {
            keyspace.notify(EventClass::Generic, "persist", &self.key);
        }
        reply.integer(i64::from(persists));
        Ok(())
    }
}

pub(super) static TTL: Command = Command {
    name: "ttl",
    summary: "Get the time to live for a key in seconds",
    arity: 2,
    flags: &[Flag::Readonly, Flag::Fast],
    tips: &["nondeterministic_output"],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    history: &[("2.8.0", "Added the -2 reply.")],
    arguments: &[Argument::key("key", 0)],
    examples: r#"> TTL mykey
(integer) -2
> SET mykey Hello
OK
> TTL mykey
(integer) -1
> EXPIRE mykey 10
(integer) 1
> TTL mykey
(integer) 10"#,
    run: Run::Storage(|args| Ttl::parse(args, TimeFormat::EX)),
    ..BASE
};

pub(super) static PTTL: Command = Command {
    name: "pttl",
    summary: "Get the time to live for a key in milliseconds",
    since: "2.6.0",
    arity: 2,
    flags: &[Flag::Readonly, Flag::Fast],
    tips: &["nondeterministic_output"],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    history: &[("2.8.0", "Added the -2 reply.")],
    arguments: &[Argument::key("key", 0)],
    examples: r#"> PTTL mykey
(integer) -2
> SET mykey Hello
OK
> PTTL mykey
(integer) -1
> PEXPIRE mykey 10000
(integer) 1
> PTTL mykey
..."#,
    run: Run::Storage(|args| Ttl::parse(args, TimeFormat::PX)),
    ..BASE
};

pub(super) static EXPIRETIME: Command = Command {
    name: "expiretime",
    summary: "Get the expiration Unix timestamp for a key",
    since: "7.0.0",
    arity: 2,
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0)],
    examples: r#"> SET mykey Hello
OK
> EXPIREAT mykey 33177117420
(integer) 1
> EXPIRETIME mykey
(integer) 33177117420"#,
    run: Run::Storage(|args| Ttl::parse(args, TimeFormat::EXAT)),
    ..BASE
};

pub(super) static PEXPIRETIME: Command = Command {
    name: "pexpiretime",
    summary: "Get the expiration Unix timestamp for a key in milliseconds",
    since: "7.0.0",
    arity: 2,
    flags: &[Flag::Readonly, Flag::Fast],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0)],
    examples: r#"> SET mykey Hello
OK
> PEXPIRETIME mykey
(integer) -1
> PEXPIREAT mykey 33177117420000
(integer) 1
> PEXPIRETIME mykey
(integer) 33177117420000"#,
    run: Run::Storage(|args| Ttl::parse(args, TimeFormat::PXAT)),
    ..BASE
};

#[derive(Debug)]
struct Ttl {
    key: Bytes,
    format: TimeFormat,
}

impl Ttl {
    fn parse(args: &CommandArgs, format: TimeFormat) -> Result<Box<dyn Operation>> {
        Ok(Box::new(Ttl { key: Args::new(args).next_bytes()?, format }))
    }
}

impl Operation for Ttl {
    /// -2: no such key; -1: it never expires.
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        reply.integer(match keyspace.get(&self.key)?.map(|record| record.expire_ms) {
            Some(Some(due_ms)) => self.format.format(due_ms, keyspace.now_ms()),
            Some(None) => -1,
            None => -2,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::check;

    #[test]
    fn conditions() {
        check(
            r#"
            > SET k v
            OK
            > EXPIRE k 10 XX
            (integer) 0
            > EXPIRE k 10 GT
            (integer) 0
            > EXPIRE k 10 XX LT
            (integer) 0
            > EXPIRE k 10 LT
            (integer) 1
            > EXPIRE k 20 NX
            (integer) 0
            > EXPIRE k 10 GT
            (integer) 0
            > EXPIRE k 20 XX GT
            (integer) 1
            > EXPIRE k 20 LT
            (integer) 0
            > TTL k
            (integer) 20
            > EXPIRE nothing 10
            (integer) 0
            "#,
        );
    }

    #[test]
    fn a_time_that_is_past_removes_the_key() {
        check(
            r#"
            > MSET a 1 b 1 c 1
            OK
            > EXPIRE a 0
            (integer) 1
            > PEXPIRE b -9223372036854775808
            (integer) 1
            > EXPIREAT c 1
            (integer) 1
            > DBSIZE
            (integer) 0
            "#,
        );
    }

    #[test]
    fn errors_in_their_order() {
        check(
            r#"
            > EXPIRE k abc NX XX
            (error) ERR NX and XX, GT or LT options at the same time are not compatible
            > EXPIRE k abc GT LT
            (error) ERR GT and LT options at the same time are not compatible
            > EXPIRE k abc NX XX FOO
            (error) ERR Unsupported option FOO
            > EXPIRE k abc
            (error) ERR value is not an integer or out of range
            > EXPIRE k 9223372036854776
            (error) ERR invalid expire time in 'expire' command
            > EXPIREAT k -9223372036854775808
            (error) ERR invalid expire time in 'expireat' command
            > PEXPIRE k 9223372036854775807
            (error) ERR invalid expire time in 'pexpire' command
            > PEXPIREAT k 9223372036854775807
            (integer) 0
            "#,
        );
    }

    #[test]
    fn seconds_are_rounded_to_the_nearest() {
        check(
            r#"
            > SET k v PX 1600
            OK
            > TTL k
            (integer) 2
            @ 101
            > TTL k
            (integer) 1
            > PTTL k
            (integer) 1499
            @ 1499
            > PTTL k
            (integer) 0
            > SET k v PXAT 9223372036854775807
            OK
            > EXPIRETIME k
            (integer) 9223372036854776
            > PERSIST k
            (integer) 1
            > PERSIST k
            (integer) 0
            > PERSIST nothing
            (integer) 0
            "#,
        );
    }
}
