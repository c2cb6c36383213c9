//! Pending entries that change hands: XCLAIM, XAUTOCLAIM.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::{BASE, Result, no_key_or_group, parse_integer, parse_start, reply_entry, reply_id};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, KeySpec, Operation, Run, echoed};
use crate::keyspace::{EventClass, Keyspace};
use crate::limits;
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::stream_id::StreamId;
use crate::types::list::Direction;
use crate::types::stream::Stream;
use crate::types::stream_group::{OpenGroup, Pending};

const CLAIM: Command =
    Command { arity: -6, flags: &[Flag::Write, Flag::Fast], tips: &["nondeterministic_output"], ..BASE };

pub(super) static XCLAIM: Command = Command {
    name: "xclaim",
    summary: "Changes (or acquires) ownership of a message in a consumer group, as if the message was delivered to the \
        specified consumer.",
    complexity: "O(log N) with N being the number of messages in the PEL of the consumer group.",
    keys: &[KeySpec::one(1, &["RW", "update"])],
    arguments: &[
        Argument::key("key", 0),
        Argument::string("group"),
        Argument::string("consumer"),
        Argument::string("min-idle-time"),
        Argument::string("id").multiple(),
        Argument::integer("ms").token("IDLE").optional(),
        Argument::new("unix-time-milliseconds", crate::commands::ArgumentKind::UnixTime).token("TIME").optional(),
        Argument::integer("count").token("RETRYCOUNT").optional(),
        Argument::flag("force", "FORCE").optional(),
        Argument::flag("justid", "JUSTID").optional(),
        Argument::string("id").token("LASTID").optional(),
    ],
    examples: r#"> XADD mystream 1-0 a 1
"1-0"
> XGROUP CREATE mystream mygroup 0
OK
> XREADGROUP GROUP mygroup Alice STREAMS mystream >
1) 1) "mystream"
   2) 1) 1) "1-0"
         2) 1) "a"
            2) "1"
> XCLAIM mystream mygroup Bob 0 1-0
1) 1) "1-0"
   2) 1) "a"
      2) "1"
> XCLAIM mystream mygroup Alice 3600000 1-0 JUSTID
(empty array)"#,
    run: Run::Storage(Xclaim::parse),
    ..CLAIM
};

/// Whose a claim is.
#[derive(Debug)]
struct Claimant {
    key: Bytes,
    group: Bytes,
    consumer: Bytes,
}

impl Claimant {
    fn parse(args: &mut Args<'_>) -> Result<Claimant> {
        Ok(Claimant { key: args.next_bytes()?, group: args.next_bytes()?, consumer: args.next_bytes()? })
    }

    fn open(&self, keyspace: &mut Keyspace<'_>) -> Result<(Stream, OpenGroup)> {
        let no_group = || no_key_or_group(&self.key, &self.group);
        let stream = Stream::read(keyspace, &self.key)?.ok_or_else(no_group)?;
        let open = OpenGroup::find(keyspace, &stream, &self.group)?.ok_or_else(no_group)?;
        Ok((stream, open))
    }

    fn see(&self, keyspace: &mut Keyspace<'_>, open: &mut OpenGroup) -> Result<u64> {
        let (consumer, is_new) = open.see_consumer(keyspace, &self.consumer)?;
        if is_new {
            keyspace.notify(EventClass::Stream, "xgroup-createconsumer", &self.key);
        }
        Ok(consumer)
    }
}

/// Milliseconds since an entry was delivered; of a clock that was set back, none.
fn idle_ms(now_ms: u64, pending: &Pending) -> i64 {
    now_ms as i64 - pending.delivered_ms as i64
}

fn reply_claimed(reply: &mut ReplyBuffer, id: StreamId, value: &Bytes, only_id: bool) -> Result<()> {
    if only_id {
        reply_id(reply, id);
        return Ok(());
    }
    reply_entry(reply, id, value)
}

#[derive(Debug)]
struct Xclaim {
    claimant: Claimant,
    /// Redis looks for the group before it looks at these.
    claim: Result<Claim>,
}

#[derive(Debug)]
struct Claim {
    idle_min_ms: i64,
    ids: Vec<StreamId>,
    delivered: Delivered,
    deliveries: Option<u64>,
    force: bool,
    only_id: bool,
    last: StreamId,
}

/// When what is claimed counts as delivered.
#[derive(Clone, Copy, Debug)]
enum Delivered {
    Now,
    Ago(i64),
    At(i64),
}

impl Xclaim {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let claimant = Claimant::parse(&mut args)?;
        Ok(Box::new(Xclaim { claimant, claim: Claim::parse(&mut args) }))
    }
}

impl Claim {
    fn parse(args: &mut Args<'_>) -> Result<Claim> {
        let idle_min_ms = parse_integer(args.next()?, "ERR Invalid min-idle-time argument for XCLAIM")?.max(0);
        let mut claim = Claim {
            idle_min_ms,
            ids: Vec::new(),
            delivered: Delivered::Now,
            deliveries: None,
            force: false,
            only_id: false,
            last: StreamId::MIN,
        };
        while let Some(id) = args.peek().and_then(|word| StreamId::parse_strict(word, 0)) {
            args.next()?;
            claim.ids.push(id);
        }
        while !args.is_done() {
            let has_value = args.remaining() > 1;
            if args.take_word("FORCE") {
                claim.force = true;
            } else if args.take_word("JUSTID") {
                claim.only_id = true;
            } else if has_value && args.take_word("IDLE") {
                let ms = parse_integer(args.next()?, "ERR Invalid IDLE option argument for XCLAIM")?;
                claim.delivered = Delivered::Ago(ms);
            } else if has_value && args.take_word("TIME") {
                let ms = parse_integer(args.next()?, "ERR Invalid TIME option argument for XCLAIM")?;
                claim.delivered = Delivered::At(ms);
            } else if has_value && args.take_word("RETRYCOUNT") {
                let count = parse_integer(args.next()?, "ERR Invalid RETRYCOUNT option argument for XCLAIM")?;
                claim.deliveries = u64::try_from(count).ok();
            } else if has_value && args.take_word("LASTID") {
                claim.last = super::parse_id(args.next()?)?;
            } else {
                return Err(CommandError::echo(&[b"ERR Unrecognized XCLAIM option '", echoed(args.next()?), b"'"]));
            }
        }
        Ok(claim)
    }

    /// A moment that is none counts as now.
    fn delivered_ms(&self, now_ms: u64) -> u64 {
        let at = match self.delivered {
            Delivered::Now => return now_ms,
            Delivered::Ago(ms) => (now_ms as i64).wrapping_sub(ms),
            Delivered::At(ms) => ms,
        };
        u64::try_from(at).ok().filter(|at| *at <= now_ms).unwrap_or(now_ms)
    }
}

impl Operation for Xclaim {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let (stream, mut open) = self.claimant.open(keyspace)?;
        let claim = self.claim.as_ref().map_err(Clone::clone)?;
        let now_ms = keyspace.now_ms();
        if claim.last > open.group().last {
            open.set_last(claim.last);
        }
        let consumer = self.claimant.see(keyspace, &mut open)?;
        let delivered_ms = claim.delivered_ms(now_ms);
        let array = reply.deferred();
        let mut len = 0;
        for &id in &claim.ids {
            let before = open.pending(keyspace, id)?;
            let Some(value) = stream.get(keyspace, id)? else {
                if let Some(before) = before {
                    open.remove_pending(keyspace, id, &before)?;
                }
                continue;
            };
            let deliveries = match &before {
                Some(before) if claim.idle_min_ms > 0 && idle_ms(now_ms, before) < claim.idle_min_ms => continue,
                Some(before) => before.deliveries,
                // As if it had been delivered once already.
                None if claim.force => 1,
                None => continue,
            };
            let more = u64::from(!claim.only_id);
            let deliveries = claim.deliveries.unwrap_or_else(|| deliveries.saturating_add(more));
            open.put_pending(keyspace, id, before.as_ref(), &Pending { consumer, delivered_ms, deliveries })?;
            reply_claimed(reply, id, &value, claim.only_id)?;
            len += 1;
        }
        reply.finish_array(array, len);
        open.finish(keyspace)
    }
}

pub(super) static XAUTOCLAIM: Command = Command {
    name: "xautoclaim",
    summary: "Changes (or acquires) ownership of messages in a consumer group, as if the messages were delivered to the \
        specified consumer.",
    since: "6.2.0",
    complexity: "O(1) if COUNT is small.",
    keys: &[KeySpec::one(1, &["RW", "delete"])],
    history: &[(
        "7.0.0",
        "Added an element to the reply array, containing deleted entries the command cleared from the PEL",
    )],
    arguments: &[
        Argument::key("key", 0),
        Argument::string("group"),
        Argument::string("consumer"),
        Argument::string("min-idle-time"),
        Argument::string("start"),
        Argument::integer("count").token("COUNT").optional(),
        Argument::flag("justid", "JUSTID").optional(),
    ],
    examples: r#"> XADD mystream 1-0 a 1
"1-0"
> XGROUP CREATE mystream mygroup 0
OK
> XREADGROUP GROUP mygroup Alice STREAMS mystream >
1) 1) "mystream"
   2) 1) 1) "1-0"
         2) 1) "a"
            2) "1"
> XAUTOCLAIM mystream mygroup Bob 0 0-0 COUNT 25
1) "0-0"
2) 1) 1) "1-0"
      2) 1) "a"
         2) "1"
3) (empty array)"#,
    run: Run::Storage(Xautoclaim::parse),
    ..CLAIM
};

#[derive(Debug)]
struct Xautoclaim {
    claimant: Claimant,
    idle_min_ms: i64,
    start: StreamId,
    count: u64,
    only_id: bool,
}

impl Xautoclaim {
    /// Entries that are claimed unless COUNT says so.
    const COUNT: u64 = 100;
    /// So many are looked at for each that may be claimed.
    const LOOKS: u64 = 10;
    const COUNT_MAX: u64 = i64::MAX as u64 / StreamId::BYTES as u64;

    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let claimant = Claimant::parse(&mut args)?;
        let idle_min_ms = parse_integer(args.next()?, "ERR Invalid min-idle-time argument for XAUTOCLAIM")?.max(0);
        let start = parse_start(args.next()?)?;
        let mut claim = Xautoclaim { claimant, idle_min_ms, start, count: Self::COUNT, only_id: false };
        while !args.is_done() {
            if args.remaining() > 1 && args.take_word("COUNT") {
                const RANGE: &str = "ERR COUNT must be > 0";
                let count = parse_integer(args.next()?, RANGE)?;
                let count = u64::try_from(count).ok().filter(|count| (1..=Self::COUNT_MAX).contains(count));
                claim.count = count.ok_or(CommandError::custom(RANGE))?;
            } else if args.take_word("JUSTID") {
                claim.only_id = true;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(Box::new(claim))
    }
}

impl Operation for Xautoclaim {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let (stream, mut open) = self.claimant.open(keyspace)?;
        if self.count * StreamId::BYTES as u64 >= limits::STREAM_CLAIM_BYTES {
            return Err(CommandError::custom(
                "ERR Insufficient memory, failed allocating transient memory, COUNT too high.",
            ));
        }
        let consumer = self.claimant.see(keyspace, &mut open)?;
        let now_ms = keyspace.now_ms();
        // What is claimed, or was deleted from the stream; and where to go on.
        let (mut found, mut looks, mut next) = (Vec::new(), 0, StreamId::MIN);
        open.walk(keyspace, None, (self.start, StreamId::MAX), Direction::Forward, |id, pending| {
            if found.len() as u64 >= self.count || looks >= self.count.saturating_mul(Self::LOOKS) {
                next = id;
                return Ok(ControlFlow::Break(()));
            }
            looks += 1;
            let value = stream.get(keyspace, id)?;
            if value.is_none() || self.idle_min_ms == 0 || idle_ms(now_ms, &pending) >= self.idle_min_ms {
                found.push((id, pending, value));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        reply.array(3);
        reply_id(reply, next);
        let array = reply.deferred();
        let (mut len, mut deleted) = (0, Vec::new());
        for (id, before, value) in found {
            let Some(value) = value else {
                open.remove_pending(keyspace, id, &before)?;
                deleted.push(id);
                continue;
            };
            let deliveries = before.deliveries.saturating_add(u64::from(!self.only_id));
            let pending = Pending { consumer, delivered_ms: now_ms, deliveries };
            open.put_pending(keyspace, id, Some(&before), &pending)?;
            reply_claimed(reply, id, &value, self.only_id)?;
            len += 1;
        }
        reply.finish_array(array, len);
        reply.array(deleted.len());
        deleted.iter().for_each(|id| reply_id(reply, *id));
        open.finish(keyspace)
    }
}
