//! XREAD and XREADGROUP: the next entries of several streams, or to wait until there are some.

use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;

use super::range::reply_range;
use super::{BASE, Result, no_group, parse_id, parse_integer, reply_entry, reply_id};
use crate::commands::parse::Args;
use crate::commands::{Argument, Command, CommandError, Flag, KeySpec, Operation, Run};
use crate::keyspace::{EventClass, Keyspace, Type, Wait};
use crate::limits;
use crate::resp::{CommandArgs, Protocol, ReplyBuffer};
use crate::stream_id::StreamId;
use crate::types::list::Direction;
use crate::types::stream::Stream;
use crate::types::stream_group::{OpenGroup, Pending};

const STREAMS: &[Argument] = &[Argument::key("key", 0).multiple(), Argument::string("id").multiple()];

pub(super) static XREAD: Command = Command {
    name: "xread",
    summary: "Return never seen elements in multiple streams, with IDs greater than the ones reported by the caller for \
        each stream. Can block.",
    complexity: "For each stream mentioned: O(N) with N being the number of elements being returned, it means that \
        XREAD-ing with a fixed COUNT is O(1). Note that when the BLOCK option is used, XADD will pay O(M) time in order \
        to serve the M clients blocked on the stream getting new data.",
    arity: -4,
    flags: &[Flag::Readonly, Flag::Blocking, Flag::Movablekeys],
    keys: &[KeySpec::streams(1, &["RO", "access"])],
    arguments: &[
        Argument::integer("count").token("COUNT").optional(),
        Argument::integer("milliseconds").token("BLOCK").optional(),
        Argument::block("streams", STREAMS).token("STREAMS"),
    ],
    examples: r#"> XADD mystream 1-0 a 1
"1-0"
> XADD writers 5-0 name Virginia
"5-0"
> XREAD COUNT 2 STREAMS mystream writers 0-0 0-0
1) 1) "mystream"
   2) 1) 1) "1-0"
         2) 1) "a"
            2) "1"
2) 1) "writers"
   2) 1) 1) "5-0"
         2) 1) "name"
            2) "Virginia"
> XREAD STREAMS mystream 1-0
(nil)
> XREAD BLOCK 10 STREAMS mystream $
(nil)"#,
    run: Run::Storage(|args| Read::parse(args, false)),
    ..BASE
};

pub(super) static XREADGROUP: Command = Command {
    name: "xreadgroup",
    summary: "Return new entries from a stream using a consumer group, or access the history of the pending entries for \
        a given consumer. Can block.",
    complexity: "For each stream mentioned: O(M) with M being the number of elements returned. If M is constant (e.g. \
        always asking for the first 10 elements with COUNT), you can consider it O(1). On the other side when \
        XREADGROUP blocks, XADD will pay the O(N) time in order to serve the N clients blocked on the stream getting \
        new data.",
    arity: -7,
    flags: &[Flag::Write, Flag::Blocking, Flag::Movablekeys],
    keys: &[KeySpec::streams(4, &["RO", "access"])],
    arguments: &[
        Argument::block("group_consumer", &[Argument::string("group"), Argument::string("consumer")]).token("GROUP"),
        Argument::integer("count").token("COUNT").optional(),
        Argument::integer("milliseconds").token("BLOCK").optional(),
        Argument::flag("noack", "NOACK").optional(),
        Argument::block("streams", STREAMS).token("STREAMS"),
    ],
    examples: r#"> XADD mystream 1-0 a 1
"1-0"
> XADD mystream 2-0 b 2
"2-0"
> XGROUP CREATE mystream mygroup 0
OK
> XREADGROUP GROUP mygroup Alice COUNT 1 STREAMS mystream >
1) 1) "mystream"
   2) 1) 1) "1-0"
         2) 1) "a"
            2) "1"
> XREADGROUP GROUP mygroup Bob NOACK STREAMS mystream >
1) 1) "mystream"
   2) 1) 1) "2-0"
         2) 1) "b"
            2) "2"
> XREADGROUP GROUP mygroup Alice STREAMS mystream 0
1) 1) "mystream"
   2) 1) 1) "1-0"
         2) 1) "a"
            2) "1"
> XREADGROUP GROUP mygroup Bob STREAMS mystream >
(nil)"#,
    run: Run::Storage(|args| Read::parse(args, true)),
    ..BASE
};

/// Behind what a stream is to be read.
#[derive(Clone, Copy, Debug)]
enum Behind {
    Id(StreamId),
    /// `$`: what was the last one when the command first ran, once that is known.
    Last(Option<StreamId>),
    /// `>`: what the group has delivered.
    Delivered,
}

/// For whom XREADGROUP reads.
#[derive(Clone, Debug)]
struct Reader {
    group: Bytes,
    consumer: Bytes,
    /// What is delivered counts as acknowledged.
    no_ack: bool,
}

#[derive(Clone, Debug)]
struct Read {
    keys: Vec<Bytes>,
    /// Of each key. Redis looks at the key first, and then whether this is an id.
    behind: Vec<Result<Behind>>,
    /// 0: all.
    count: u64,
    /// It waits if there is nothing: for ever, or for a time.
    block: Option<Option<Duration>>,
    reader: Option<Reader>,
}

impl Read {
    fn parse(args: &CommandArgs, is_group: bool) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let (mut keys, mut count, mut block, mut reader, mut no_ack) = (None, 0, None, None, false);
        while !args.is_done() {
            let has_value = args.remaining() > 1;
            if has_value && args.take_word("BLOCK") {
                block = Some(parse_block(args.next()?)?);
            } else if has_value && args.take_word("COUNT") {
                count = u64::try_from(args.next_i64()?).unwrap_or(0);
            } else if has_value && args.take_word("STREAMS") {
                keys = Some(args.rest());
            } else if args.remaining() > 2 && args.take_word("GROUP") {
                if !is_group {
                    return Err(only_by_group("GROUP"));
                }
                reader = Some((args.next_bytes()?, args.next_bytes()?));
            } else if args.take_word("NOACK") {
                if !is_group {
                    return Err(only_by_group("NOACK"));
                }
                no_ack = true;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        let mut keys = keys.unwrap_or_default();
        if keys.len() % 2 == 1 {
            return Err(CommandError::custom(
                "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.",
            ));
        }
        if keys.is_empty() {
            return Err(CommandError::Syntax);
        }
        if is_group && reader.is_none() {
            return Err(CommandError::custom("ERR Missing GROUP option for XREADGROUP"));
        }
        let ids = keys.split_off(keys.len() / 2);
        let behind = ids.iter().map(|id| Behind::parse(id, is_group)).collect();
        let reader = reader.map(|(group, consumer)| Reader { group, consumer, no_ack });
        Ok(Box::new(Read { keys, behind, count, block, reader }))
    }

    /// What stands first in the reply to every stream.
    fn reply_key(key: &[u8], reply: &mut ReplyBuffer) {
        if reply.protocol() == Protocol::Resp2 {
            reply.array(2);
        }
        reply.bulk(key);
    }

    /// Replies what there is in one stream, if anything.
    fn read_one(
        &self,
        keyspace: &mut Keyspace<'_>,
        key: &Bytes,
        stream: &Stream,
        behind: Behind,
        reply: &mut ReplyBuffer,
    ) -> Result<bool> {
        let behind = match (&self.reader, behind) {
            (Some(reader), behind) => {
                let open = OpenGroup::find(keyspace, stream, &reader.group)?.ok_or_else(|| self.no_group(key))?;
                return match behind {
                    Behind::Id(id) => self.repeat(keyspace, key, stream, open, id, reply).map(|()| true),
                    _ if !stream.has_behind(open.group().last) => Ok(false),
                    _ => self.deliver(keyspace, key, stream, open, reply).map(|()| true),
                };
            }
            (None, Behind::Id(id) | Behind::Last(Some(id))) => id,
            (None, Behind::Last(None) | Behind::Delivered) => return Ok(false),
        };
        if !stream.has_behind(behind) {
            return Ok(false);
        }
        self.reply_behind(keyspace, key, stream, behind, reply)?;
        Ok(true)
    }

    fn reply_behind(
        &self,
        keyspace: &Keyspace<'_>,
        key: &[u8],
        stream: &Stream,
        behind: StreamId,
        reply: &mut ReplyBuffer,
    ) -> Result<()> {
        Self::reply_key(key, reply);
        let range = (behind.next().unwrap_or(StreamId::MAX), StreamId::MAX);
        let count = Some(self.count).filter(|count| *count > 0);
        reply_range(keyspace, stream, range, Direction::Forward, count, reply)
    }

    /// The consumer that reads, who is made for that if need be.
    fn see_reader(&self, keyspace: &mut Keyspace<'_>, key: &Bytes, open: &mut OpenGroup) -> Result<(u64, bool)> {
        let reader = self.reader.as_ref().ok_or(CommandError::Internal)?;
        let (consumer, is_new) = open.see_consumer(keyspace, &reader.consumer)?;
        if is_new {
            keyspace.notify(EventClass::Stream, "xgroup-createconsumer", key);
        }
        Ok((consumer, reader.no_ack))
    }

    /// Delivers what the group has not delivered yet.
    fn deliver(
        &self,
        keyspace: &mut Keyspace<'_>,
        key: &Bytes,
        stream: &Stream,
        mut open: OpenGroup,
        reply: &mut ReplyBuffer,
    ) -> Result<()> {
        let (consumer, no_ack) = self.see_reader(keyspace, key, &mut open)?;
        Self::reply_key(key, reply);
        let array = reply.deferred();
        let (mut ids, mut read, extent) = (Vec::new(), open.group().read, stream.extent());
        let from = open.group().last.next().unwrap_or(StreamId::MAX);
        stream.walk(keyspace, (from, StreamId::MAX), Direction::Forward, |id, value| {
            read = match read {
                Some(read) if !extent.has_gap_from(id) => Some(read.saturating_add(1)),
                read if extent.added == 0 => read,
                _ => extent.added_up_to(id),
            };
            ids.push(id);
            reply_entry(reply, id, &value)?;
            let is_enough = self.count > 0 && ids.len() as u64 >= self.count;
            Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        reply.finish_array(array, ids.len());
        if let Some(&last) = ids.last() {
            open.set_last(last);
            open.set_read(read);
        }
        if !no_ack {
            let pending = Pending { consumer, delivered_ms: keyspace.now_ms(), deliveries: 1 };
            for id in ids {
                // It may be pending already: XGROUP SETID can set a group back.
                let before = open.pending(keyspace, id)?;
                open.put_pending(keyspace, id, before.as_ref(), &pending)?;
            }
        }
        open.finish(keyspace)
    }

    /// Delivers once more what the consumer has pending.
    fn repeat(
        &self,
        keyspace: &mut Keyspace<'_>,
        key: &Bytes,
        stream: &Stream,
        mut open: OpenGroup,
        behind: StreamId,
        reply: &mut ReplyBuffer,
    ) -> Result<()> {
        let (consumer, _) = self.see_reader(keyspace, key, &mut open)?;
        Self::reply_key(key, reply);
        let range = (behind.next().unwrap_or(StreamId::MAX), StreamId::MAX);
        let mut found = Vec::new();
        open.walk(keyspace, Some(consumer), range, Direction::Forward, |id, pending| {
            found.push((id, pending));
            let is_enough = self.count > 0 && found.len() as u64 >= self.count;
            Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        reply.array(found.len());
        let delivered_ms = keyspace.now_ms();
        for (id, before) in found {
            let Some(value) = stream.get(keyspace, id)? else {
                reply.array(2);
                reply_id(reply, id);
                reply.null_array();
                continue;
            };
            reply_entry(reply, id, &value)?;
            let deliveries = before.deliveries.saturating_add(1);
            open.put_pending(keyspace, id, Some(&before), &Pending { delivered_ms, deliveries, ..before })?;
        }
        open.finish(keyspace)
    }

    fn no_group(&self, key: &[u8]) -> CommandError {
        let group = self.reader.as_ref().map(|reader| &reader.group[..]).unwrap_or_default();
        no_group(&[
            b"NOGROUP No such key '",
            key,
            b"' or consumer group '",
            group,
            b"' in XREADGROUP with GROUP option",
        ])
    }

    /// Looks at all keys, and then at what was wrong with their ids, in Redis' order.
    fn check(&self, keyspace: &mut Keyspace<'_>) -> Result<()> {
        for (key, behind) in self.keys.iter().zip(&self.behind) {
            let stream = Stream::read(keyspace, key)?;
            if let Some(reader) = &self.reader {
                let group = stream.map(|stream| OpenGroup::find(keyspace, &stream, &reader.group)).transpose()?;
                group.flatten().ok_or_else(|| self.no_group(key))?;
            }
            behind.as_ref().map_err(Clone::clone)?;
        }
        Ok(())
    }
}

fn only_by_group(option: &str) -> CommandError {
    let text = format!("ERR The {option} option is only supported by XREADGROUP. You called XREAD instead.");
    CommandError::custom(text)
}

/// How long to wait, in milliseconds; 0 is for ever.
fn parse_block(text: &[u8]) -> Result<Option<Duration>> {
    let ms = parse_integer(text, "ERR timeout is not an integer or out of range")?;
    let ms = u64::try_from(ms).map_err(|_| CommandError::custom("ERR timeout is negative"))?;
    Ok((ms > 0).then(|| Duration::from_millis(ms)))
}

impl Behind {
    fn parse(text: &[u8], is_group: bool) -> Result<Behind> {
        match text {
            b"$" if is_group => Err(CommandError::custom(
                "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this \
                 consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return \
                 an empty result set.",
            )),
            b"$" => Ok(Behind::Last(None)),
            b">" if !is_group => Err(CommandError::custom(
                "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
            )),
            b">" => Ok(Behind::Delivered),
            id => match parse_id(id)? {
                // To Redis that is the same.
                StreamId::MAX if is_group => Ok(Behind::Delivered),
                id => Ok(Behind::Id(id)),
            },
        }
    }
}

impl Operation for Read {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        self.check(keyspace)?;
        let (all, mut found) = (reply.deferred(), 0);
        for (key, behind) in self.keys.iter().zip(&self.behind) {
            let behind = behind.clone()?;
            if let Some(stream) = Stream::peek(keyspace, key)? {
                found += usize::from(self.read_one(keyspace, key, &stream, behind, reply)?);
            }
        }
        if found > 0 {
            match reply.protocol() {
                Protocol::Resp2 => reply.finish_array(all, found),
                Protocol::Resp3 => reply.finish_map(all, found),
            }
            return Ok(());
        }
        if self.block.is_some() {
            return Err(CommandError::WouldWait);
        }
        reply.null_array();
        Ok(())
    }

    fn waits(&self) -> Option<&dyn Wait> {
        self.block.is_some().then_some(self as &dyn Wait)
    }
}

impl Wait for Read {
    fn keys(&self) -> &[Bytes] {
        &self.keys
    }

    fn kind(&self) -> Type {
        Type::Stream
    }

    fn timeout(&self) -> Option<Duration> {
        self.block.flatten()
    }

    fn serve(&self, key: &Bytes, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<bool> {
        let Some(stream) = Stream::peek(keyspace, key)? else { return Ok(false) };
        // A key that is named twice is waited for once.
        let behind = self.keys.iter().position(|other| other == key).and_then(|at| self.behind.get(at).cloned());
        let behind = behind.ok_or(CommandError::Internal)??;
        let mut reader = self.clone();
        if reader.count == 0 {
            reader.count = limits::STREAM_BLOCKED_COUNT;
        }
        let open = match &self.reader {
            Some(by) => Some(OpenGroup::find(keyspace, &stream, &by.group)?.ok_or_else(|| {
                CommandError::custom("NOGROUP the consumer group this client was blocked on no longer exists")
            })?),
            None => None,
        };
        let behind = match (&open, behind) {
            (Some(open), _) => open.group().last,
            (None, Behind::Id(id) | Behind::Last(Some(id))) => id,
            (None, Behind::Last(None) | Behind::Delivered) => return Err(CommandError::Internal),
        };
        // Even if what was added is gone again: then it is given nothing.
        if stream.head().last <= behind {
            return Ok(false);
        }
        match reply.protocol() {
            Protocol::Resp2 => reply.array(1),
            Protocol::Resp3 => reply.map(1),
        }
        match open {
            Some(open) => reader.deliver(keyspace, key, &stream, open, reply)?,
            None => reader.reply_behind(keyspace, key, &stream, behind, reply)?,
        }
        Ok(true)
    }

    fn settle(&self, keyspace: &mut Keyspace<'_>) -> Result<Option<Box<dyn Operation>>> {
        if !self.behind.iter().any(|behind| matches!(behind, Ok(Behind::Last(_)))) {
            return Ok(None);
        }
        let mut settled = self.clone();
        for (key, behind) in self.keys.iter().zip(&mut settled.behind) {
            if let Ok(Behind::Last(last)) = behind {
                let stream = Stream::peek(keyspace, key)?;
                *last = Some(stream.map_or(StreamId::MIN, |stream| stream.head().last));
            }
        }
        Ok(Some(Box::new(settled)))
    }

    fn lost(&self) -> Option<CommandError> {
        let by_group = || CommandError::custom("UNBLOCKED the stream key no longer exists");
        self.reader.is_some().then(by_group)
    }
}
