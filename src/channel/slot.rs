//! The reply slot: one request's place of meeting between the two runtimes. It decides, under one lock, the question on
//! which every promise about outcomes rests: did the request start?
//!
//! ```text
//! queued ──start──▶ started ──finish──▶ done ──▶ taken
//!   │  └─withdraw─▶ withdrawn            ▲
//!   └──dropped──▶ lost (not started)     └─dropped─▶ lost (started)
//! ```
//!
//! It uses neither tokio nor time, so that loom can try all its interleavings (`tests/loom`).

#[cfg(loom)]
use loom::sync::{Arc, Mutex, MutexGuard};
#[cfg(not(loom))]
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

/// How a request ended, as its sender sees it.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    Done(T),
    /// It was dropped before it started: it certainly had no effect.
    NotStarted,
    /// It was dropped after it started: it may have had its effect.
    InDoubt,
}

/// What came of trying to withdraw a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Withdrawal<T> {
    /// It had not started and never will.
    Withdrawn,
    /// Too late: it runs.
    Started,
    /// Too late: it ended.
    Ended(Outcome<T>),
}

enum State<T> {
    Queued,
    Started,
    Withdrawn,
    Ended(Outcome<T>),
    Taken,
}

struct Inner<T> {
    state: State<T>,
    waker: Option<Waker>,
}

struct Slot<T>(Mutex<Inner<T>>);

impl<T> Slot<T> {
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        // Nothing panics while it holds the lock, and every state is complete in itself.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn end(&self, outcome: Outcome<T>) {
        let waker = {
            let mut inner = self.lock();
            inner.state = State::Ended(outcome);
            inner.waker.take()
        };
        // Outside the lock: whoever is woken may want it at once.
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Makes the two ends of a new slot, in state queued.
pub fn slot<T>() -> (Responder<T>, ReplyReceiver<T>) {
    let slot = Arc::new(Slot(Mutex::new(Inner { state: State::Queued, waker: None })));
    (Responder { slot: Some(slot.clone()) }, ReplyReceiver { slot })
}

/// The sender's end.
pub struct ReplyReceiver<T> {
    slot: Arc<Slot<T>>,
}

impl<T> ReplyReceiver<T> {
    /// Ready once the request ended. After that, or after a withdrawal, it must not be polled again.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Outcome<T>> {
        let mut inner = self.slot.lock();
        match std::mem::replace(&mut inner.state, State::Taken) {
            State::Ended(outcome) => Poll::Ready(outcome),
            State::Withdrawn | State::Taken => unreachable!("a reply was polled for after it was taken"),
            pending @ (State::Queued | State::Started) => {
                inner.state = pending;
                if !inner.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                    inner.waker = Some(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    /// Takes the request back, if it has not started.
    pub fn withdraw(&mut self) -> Withdrawal<T> {
        let mut inner = self.slot.lock();
        match std::mem::replace(&mut inner.state, State::Taken) {
            State::Queued => {
                inner.state = State::Withdrawn;
                Withdrawal::Withdrawn
            }
            State::Started => {
                inner.state = State::Started;
                Withdrawal::Started
            }
            State::Ended(outcome) => Withdrawal::Ended(outcome),
            State::Withdrawn | State::Taken => unreachable!("a request was withdrawn after its reply was taken"),
        }
    }
}

/// The storage side's end, before the start. Dropping it ends the request as not started.
pub struct Responder<T> {
    slot: Option<Arc<Slot<T>>>,
}

impl<T> Responder<T> {
    /// Starts the request, unless it was withdrawn.
    pub fn start(mut self) -> Option<Started<T>> {
        let slot = self.slot.take()?;
        let started = {
            let mut inner = slot.lock();
            match inner.state {
                State::Queued => {
                    inner.state = State::Started;
                    true
                }
                _ => false,
            }
        };
        started.then_some(Started { slot: Some(slot) })
    }
}

impl<T> Drop for Responder<T> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            let is_queued = matches!(slot.lock().state, State::Queued);
            // Only this end starts requests, so "queued" can change to "withdrawn" alone, and then nobody looks.
            if is_queued {
                slot.end(Outcome::NotStarted);
            }
        }
    }
}

/// The storage side's end, after the start. Dropping it leaves the request in doubt.
pub struct Started<T> {
    slot: Option<Arc<Slot<T>>>,
}

impl<T> Started<T> {
    pub fn finish(mut self, value: T) {
        if let Some(slot) = self.slot.take() {
            slot.end(Outcome::Done(value));
        }
    }
}

impl<T> Drop for Started<T> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            slot.end(Outcome::InDoubt);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn poll<T>(receiver: &mut ReplyReceiver<T>) -> Poll<Outcome<T>> {
        receiver.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_finished_request_gives_its_value() {
        let (responder, mut receiver) = slot();
        assert_eq!(poll(&mut receiver), Poll::Pending);
        let started = responder.start().expect("nobody withdrew it");
        assert_eq!(poll(&mut receiver), Poll::Pending);
        started.finish(7);
        assert_eq!(poll(&mut receiver), Poll::Ready(Outcome::Done(7)));
    }

    #[test]
    fn a_withdrawn_request_never_starts() {
        let (responder, mut receiver) = slot::<u8>();
        assert_eq!(receiver.withdraw(), Withdrawal::Withdrawn);
        assert!(responder.start().is_none());
    }

    #[test]
    fn a_started_request_cannot_be_withdrawn_and_a_dropped_one_is_in_doubt() {
        let (responder, mut receiver) = slot::<u8>();
        let started = responder.start();
        assert_eq!(receiver.withdraw(), Withdrawal::Started);
        drop(started);
        assert_eq!(receiver.withdraw(), Withdrawal::Ended(Outcome::InDoubt));
    }

    #[test]
    fn a_request_dropped_in_the_queue_did_not_start() {
        let (responder, mut receiver) = slot::<u8>();
        drop(responder);
        assert_eq!(poll(&mut receiver), Poll::Ready(Outcome::NotStarted));
    }
}
