//! A client in a blocking command: it waits for its reply, its time, CLIENT UNBLOCK, or its own end, and exactly one of
//! them is what happened. Who gives up takes the request back first; if it is being served right now, that wins.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::channel::{GaveUp, InFlight, StorageCommand, StorageResponse};
use crate::commands::CommandError;
use crate::commands::context::Server;
use crate::env::BoxFuture;
use crate::observe::{Client, Unblock};
use crate::planted;

/// Why it waits no more, without having got anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Its time is out, or CLIENT UNBLOCK says so.
    TimedOut,
    /// CLIENT UNBLOCK … ERROR
    Unblocked,
    /// The client has left, or the server drains.
    Gone,
}

/// What came of waiting.
pub(super) enum Outcome {
    Answered(Result<StorageResponse, CommandError>),
    GaveUp(End),
}

/// What it is told whose request storage did not look at until its deadline.
const UNSEEN: CommandError = CommandError::TryAgain("storage did not start the request in time, it was not executed");

/// While it waits.
pub(super) struct Blocked {
    server: Arc<Server>,
    client: Arc<Client>,
    in_flight: InFlight,
    /// When it gives up, on the monotonic clock.
    until: Option<Duration>,
    timeout: Option<BoxFuture<'static, ()>>,
    /// Storage has looked whether there is something for it, put it in line, and committed whatever that depended on.
    is_seen: bool,
    end: Option<End>,
}

impl Blocked {
    /// Waits for the answer to `command`, which has been sent.
    pub(super) fn new(
        server: &Arc<Server>,
        client: &Arc<Client>,
        command: &StorageCommand,
        in_flight: InFlight,
    ) -> Blocked {
        let timeout = command.operation.waits().and_then(|wait| wait.timeout());
        let until = timeout.map(|timeout| server.env.clock.now().saturating_add(timeout));
        let timeout = timeout.map(|timeout| server.env.clock.sleep(timeout));
        client.deadline_ms.store(u64::MAX, Ordering::Relaxed);
        Blocked { server: server.clone(), client: client.clone(), in_flight, until, timeout, is_seen: false, end: None }
    }

    /// Whether nothing but its own timer needs the runtime that it is polled in.
    pub(super) fn is_movable(&self) -> bool {
        self.in_flight.is_movable()
    }

    /// Is polled in another runtime from now on, in which this is called.
    pub(super) fn move_in(&mut self) {
        let clock = &self.server.env.clock;
        self.timeout = self.until.map(|until| clock.sleep(until.saturating_sub(clock.now())));
    }

    /// Ready when it waits no more. `is_leaving`: the client has gone.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, is_leaving: bool) -> Poll<Outcome> {
        if let Poll::Ready(answer) = self.in_flight.poll(context) {
            return Poll::Ready(Outcome::Answered(answer));
        }
        // The commit of the group that put it in line wakes it.
        self.is_seen = self.is_seen || self.server.waiters.is_waiting(self.client.id);
        if self.end.is_none() || is_leaving {
            self.end = self.check(context, is_leaving);
        }
        let Some(end) = self.end else { return Poll::Pending };
        // Before anyone has looked whether there is something for it, nobody can say that there was nothing in time.
        let is_unseen = end == End::TimedOut && !self.is_seen && !planted::is("gives-up-before-anyone-looked");
        let deadline = self.in_flight.deadline();
        if is_unseen && self.server.env.clock.now() < deadline {
            self.client.deadline_ms.store(deadline.as_millis() as u64, Ordering::Relaxed);
            return Poll::Pending;
        }
        match self.in_flight.give_up() {
            GaveUp::Withdrawn if is_unseen => Poll::Ready(Outcome::Answered(Err(UNSEEN))),
            GaveUp::Withdrawn => Poll::Ready(Outcome::GaveUp(end)),
            GaveUp::Answered(answer) => Poll::Ready(Outcome::Answered(answer)),
            // It is looked after this very moment; whatever comes of that wakes the connection.
            GaveUp::NotNow if planted::is("timeout-takes-an-element") => Poll::Ready(Outcome::GaveUp(end)),
            GaveUp::NotNow => Poll::Pending,
        }
    }

    fn check(&mut self, context: &mut Context<'_>, is_leaving: bool) -> Option<End> {
        if is_leaving {
            return Some(End::Gone);
        }
        match self.client.take_unblock() {
            Some(Unblock::Timeout) => return Some(End::TimedOut),
            Some(Unblock::Error) => return Some(End::Unblocked),
            None => {}
        }
        let is_over = self.timeout.as_mut().is_some_and(|timeout| timeout.as_mut().poll(context).is_ready());
        is_over.then_some(End::TimedOut)
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.in_flight.abandon();
        self.server.waiters.forget(self.client.id);
        // It is in no line any more, so nobody can unblock it after this.
        self.client.update(|facts| facts.unblocked = None);
        self.client.deadline_ms.store(0, Ordering::Relaxed);
    }
}
