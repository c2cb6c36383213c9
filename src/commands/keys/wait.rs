//! WAIT: how many replicas have the client's writes. There are none, so all there is to it is the waiting.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;

use super::BASE;
use crate::commands::{Argument, Command, CommandError, Flag, Next, Run, Session};
use crate::number;
use crate::observe::{Client, HeldClient, Unblock};
use crate::resp::{CommandArgs, ReplyBuffer};

const UNBLOCKED_REPLY: &[u8] = b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n";

pub(super) static WAIT: Command = Command {
    name: "wait",
    summary: "Wait for the synchronous replication of all the write commands sent in the context of the current \
        connection",
    since: "3.0.0",
    arity: 3,
    flags: &[Flag::Noscript],
    categories: &["@connection"],
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    arguments: &[Argument::integer("numreplicas"), Argument::integer("timeout")],
    examples: r#"> SET mykey Hello
OK
> WAIT 0 0
(integer) 0
> WAIT 1 10
(integer) 0"#,
    run: Run::Server(wait),
    ..BASE
};

fn wait(session: &mut Session, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
    let replicas = number::parse_i64(&args[1]).ok_or(CommandError::NotInteger)?;
    let timeout =
        number::parse_i64(&args[2]).ok_or(CommandError::custom("ERR timeout is not an integer or out of range"))?;
    let timeout = u64::try_from(timeout).map_err(|_| CommandError::custom("ERR timeout is negative"))?;
    if replicas <= 0 || session.denies_blocking {
        reply.integer(0);
        return Ok(Next::Done);
    }
    let waiting = Waiting::begin(session);
    // 0: for ever, or until the client leaves, which wakes its connection.
    let clock = session.server.env.clock.clone();
    let mut over = (timeout > 0).then(|| clock.sleep(Duration::from_millis(timeout)));
    Ok(Next::Wait(Box::pin(async move {
        poll_fn(|context| {
            let is_over = over.as_mut().is_some_and(|over| over.as_mut().poll(context).is_ready());
            match waiting.client.take_unblock() {
                Some(Unblock::Error) => Poll::Ready(Bytes::from_static(UNBLOCKED_REPLY)),
                None if !is_over && !waiting.client.is_leaving() => Poll::Pending,
                _ => Poll::Ready(Bytes::from_static(b":0\r\n")),
            }
        })
        .await
    })))
}

/// A client in WAIT, as others see it.
struct Waiting {
    client: Arc<Client>,
    _held: HeldClient,
}

impl Waiting {
    fn begin(session: &Session) -> Waiting {
        session.client.update(|facts| facts.blocked = true);
        Waiting { client: session.client.clone(), _held: session.server.stats.hold() }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.client.update(|facts| (facts.blocked, facts.unblocked) = (false, None));
    }
}
