//! The reply slot: one request's place of meeting between the two runtimes. It decides, under one lock, the question on
//! which every promise about outcomes rests: did the request start?
//!
//! ```text
//!            ┌──put back──┐
//! queued ──start──▶ started ──finish──▶ done ──▶ taken
//!   │  └─withdraw─▶ withdrawn   └─dropped─▶ done, not executed, or in doubt: as its commit record says
//!   └──dropped──▶ not executed
//! ```
//!
//! Started, by a writer to which the [`Gate`] was closed since, is not executed either, and nobody need wait for that writer.
//!
//! Slots and the [`CommitRecord`]s that they point to are the ledger of outcomes: they belong to the channel and outlive
//! the storage runtime, so a writer that dies between its commit and its replies takes no answer with it.
//!
//! It uses neither tokio nor time, so that loom can try all its interleavings (`tests/loom`).

#[cfg(loom)]
use loom::sync::atomic::{AtomicU8, Ordering};
#[cfg(loom)]
use loom::sync::{Arc, Mutex, MutexGuard};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU8, Ordering};
#[cfg(not(loom))]
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use super::gate::{Epoch, Gate, Tenure};

/// How a request ended, as its sender sees it.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    Done(T),
    /// It was dropped before its effects reached the engine, or the engine refused them: it certainly had no effect, and
    /// may be sent again.
    NotExecuted,
    /// It was dropped while the engine had its effects: it may have had them.
    InDoubt,
}

/// How far the commit of a group has come: one record for all its requests, written by the writer in the same step as
/// the commit itself.
#[derive(Debug)]
pub struct CommitRecord(AtomicU8);

impl CommitRecord {
    const RUNNING: u8 = 0;
    const COMMITTING: u8 = 1;
    const COMMITTED: u8 = 2;

    /// Of a group that the engine does not know of yet.
    pub fn new() -> Arc<CommitRecord> {
        Arc::new(CommitRecord(AtomicU8::new(CommitRecord::RUNNING)))
    }

    /// Calls `commit`, which hands the group to the engine. As long as it runs, or if it panics or its outcome `is_known`
    /// not, the group is in doubt.
    pub fn commit<E>(
        &self,
        commit: impl FnOnce() -> Result<(), E>,
        is_known: impl FnOnce(&E) -> bool,
    ) -> Result<(), E> {
        self.0.store(CommitRecord::COMMITTING, Ordering::Release);
        let result = commit();
        match &result {
            Ok(()) => self.0.store(CommitRecord::COMMITTED, Ordering::Release),
            Err(error) if is_known(error) => self.0.store(CommitRecord::RUNNING, Ordering::Release),
            Err(_) => {}
        }
        result
    }

    /// A group without effects counts as committed once it ran.
    pub fn commit_nothing(&self) {
        self.0.store(CommitRecord::COMMITTED, Ordering::Release);
    }
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
    Started {
        /// Its sender has told its client that it is in doubt: it must not run again.
        given_up: bool,
        /// Of the writer that started it.
        epoch: Epoch,
    },
    Withdrawn,
    Ended(Outcome<T>),
    Taken,
}

struct Inner<T> {
    state: State<T>,
    waker: Option<Waker>,
}

impl<T> Inner<T> {
    /// The writer that started it and was replaced had not brought it to the engine, and never will.
    fn end_if_fenced(&mut self, gate: &Gate) {
        if let State::Started { epoch, .. } = self.state
            && gate.is_closed_to(epoch)
        {
            self.state = State::Ended(Outcome::NotExecuted);
        }
    }
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
    pub fn poll(&mut self, context: &mut Context<'_>, gate: &Gate) -> Poll<Outcome<T>> {
        let mut inner = self.slot.lock();
        inner.end_if_fenced(gate);
        match std::mem::replace(&mut inner.state, State::Taken) {
            State::Ended(outcome) => Poll::Ready(outcome),
            State::Withdrawn | State::Taken => unreachable!("a reply was polled for after it was taken"),
            pending @ (State::Queued | State::Started { .. }) => {
                inner.state = pending;
                if !inner.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                    inner.waker = Some(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    /// Takes the request back, if it has not started.
    pub fn withdraw(&mut self, gate: &Gate) -> Withdrawal<T> {
        let mut inner = self.slot.lock();
        inner.end_if_fenced(gate);
        match std::mem::replace(&mut inner.state, State::Taken) {
            State::Queued => {
                inner.state = State::Withdrawn;
                Withdrawal::Withdrawn
            }
            State::Started { epoch, .. } => {
                inner.state = State::Started { given_up: true, epoch };
                Withdrawal::Started
            }
            State::Ended(outcome) => Withdrawal::Ended(outcome),
            State::Withdrawn | State::Taken => unreachable!("a request was withdrawn after its reply was taken"),
        }
    }

    /// As [`ReplyReceiver::withdraw`], of a request that waits for something: too late now, it may still be in time once
    /// the request is put back, which wakes the sender.
    pub fn withdraw_waiting(&mut self, gate: &Gate) -> Withdrawal<T> {
        let mut inner = self.slot.lock();
        inner.end_if_fenced(gate);
        match std::mem::replace(&mut inner.state, State::Taken) {
            State::Queued => {
                inner.state = State::Withdrawn;
                Withdrawal::Withdrawn
            }
            running @ State::Started { .. } => {
                inner.state = running;
                Withdrawal::Started
            }
            State::Ended(outcome) => Withdrawal::Ended(outcome),
            State::Withdrawn | State::Taken => unreachable!("a request was withdrawn after its reply was taken"),
        }
    }

    /// The sender goes and will not ask again: the request never starts (again), unless it runs right now.
    pub fn abandon(&mut self) {
        let mut inner = self.slot.lock();
        match inner.state {
            State::Queued => inner.state = State::Withdrawn,
            State::Started { epoch, .. } => inner.state = State::Started { given_up: true, epoch },
            State::Withdrawn | State::Ended(_) | State::Taken => {}
        }
    }
}

/// The storage side's end, before the start. Dropping it ends the request as not executed.
pub struct Responder<T> {
    slot: Option<Arc<Slot<T>>>,
}

impl<T> Responder<T> {
    /// A reader starts the request, unless it was withdrawn.
    pub fn start(self) -> Option<Started<T>> {
        self.start_in(Epoch::NONE, || true)
    }

    /// A writer starts it, unless it was withdrawn or another writer has taken over: then it certainly does not run here.
    pub fn start_by(self, tenure: &Tenure) -> Option<Started<T>> {
        self.start_in(tenure.epoch(), || !tenure.is_over())
    }

    fn start_in(mut self, epoch: Epoch, may_start: impl FnOnce() -> bool) -> Option<Started<T>> {
        {
            let mut inner = self.slot.as_ref()?.lock();
            // Asked under the lock: whoever looks at the slot after the gate was closed finds it not started, or started
            // by a writer that was replaced.
            if !matches!(inner.state, State::Queued) || !may_start() {
                drop(inner);
                return None;
            }
            inner.state = State::Started { given_up: false, epoch };
        }
        self.slot.take().map(|slot| Started { slot: Some(slot), prepared: None })
    }

    /// Lets the sender look again whether it still waits rightly.
    pub fn wake(&self) {
        let waker = self.slot.as_ref().and_then(|slot| slot.lock().waker.take());
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Responder<T> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            let is_queued = matches!(slot.lock().state, State::Queued);
            // Only this end starts requests, so "queued" can change to "withdrawn" alone, and then nobody looks.
            if is_queued {
                slot.end(Outcome::NotExecuted);
            }
        }
    }
}

/// The storage side's end, after the start. Dropping it ends the request as far as it came.
pub struct Started<T> {
    slot: Option<Arc<Slot<T>>>,
    prepared: Option<(T, Arc<CommitRecord>)>,
}

impl<T> Started<T> {
    /// From now on the request is part of a commit, and `value` is its answer if that succeeds.
    pub fn prepare(&mut self, value: T, record: Arc<CommitRecord>) {
        self.prepared = Some((value, record));
    }

    /// The commit succeeded.
    pub fn finish_prepared(mut self, adjust: impl FnOnce(T) -> T) {
        if let (Some(slot), Some((value, _))) = (self.slot.take(), self.prepared.take()) {
            slot.end(Outcome::Done(adjust(value)));
        }
    }

    /// It had no effect and goes back to where it came from, or waits for something to do; `None`: nobody waits for it any
    /// more. Its sender is woken, for he may have tried to withdraw it meanwhile.
    pub fn put_back(mut self) -> Option<Responder<T>> {
        let slot = self.slot.take()?;
        let waker = {
            let mut inner = slot.lock();
            if !matches!(inner.state, State::Started { given_up: false, .. }) {
                return None;
            }
            inner.state = State::Queued;
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Some(Responder { slot: Some(slot) })
    }

    pub fn finish(mut self, value: T) {
        if let Some(slot) = self.slot.take() {
            slot.end(Outcome::Done(value));
        }
    }
}

impl<T> Drop for Started<T> {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        slot.end(match self.prepared.take() {
            None => Outcome::NotExecuted,
            Some((value, record)) => match record.0.load(Ordering::Acquire) {
                CommitRecord::COMMITTED => Outcome::Done(value),
                CommitRecord::COMMITTING => Outcome::InDoubt,
                _ => Outcome::NotExecuted,
            },
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn poll<T>(receiver: &mut ReplyReceiver<T>) -> Poll<Outcome<T>> {
        receiver.poll(&mut Context::from_waker(Waker::noop()), &Gate::default())
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
        assert_eq!(receiver.withdraw(&Gate::default()), Withdrawal::Withdrawn);
        assert!(responder.start().is_none());
    }

    #[test]
    fn a_request_that_is_dropped_ends_as_far_as_its_commit_came() {
        type Step = fn(&CommitRecord);
        let cases: [(Option<Step>, Outcome<u8>); 5] = [
            (None, Outcome::NotExecuted),
            (Some(|_| {}), Outcome::NotExecuted),
            (
                Some(|record| {
                    let _ = record.commit(|| Err("refused"), |_| true);
                }),
                Outcome::NotExecuted,
            ),
            (
                Some(|record| {
                    let _ = record.commit(|| Err("sync failed"), |_| false);
                }),
                Outcome::InDoubt,
            ),
            (
                Some(|record| {
                    let _ = record.commit(|| Ok::<(), &str>(()), |_| true);
                }),
                Outcome::Done(7),
            ),
        ];
        for (step, expected) in cases {
            let (responder, mut receiver) = slot::<u8>();
            let mut started = responder.start().expect("nobody withdrew it");
            assert_eq!(receiver.withdraw(&Gate::default()), Withdrawal::Started);
            if let Some(step) = step {
                let record = CommitRecord::new();
                started.prepare(7, record.clone());
                step(&record);
            }
            drop(started);
            assert_eq!(receiver.withdraw(&Gate::default()), Withdrawal::Ended(expected));
        }
    }

    #[test]
    fn a_panic_in_the_commit_leaves_a_doubt() {
        let (responder, mut receiver) = slot::<u8>();
        let mut started = responder.start().expect("nobody withdrew it");
        let record = CommitRecord::new();
        started.prepare(7, record.clone());
        let commit = || record.commit(|| -> Result<(), ()> { panic!("in the engine") }, |()| true);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(commit));
        assert!(panicked.is_err());
        drop(started);
        assert_eq!(poll(&mut receiver), Poll::Ready(Outcome::InDoubt));
    }

    #[test]
    fn a_request_that_was_put_back_can_be_withdrawn_or_started_again_but_not_once_it_was_given_up() {
        let (responder, mut receiver) = slot::<u8>();
        let responder = responder.start().expect("nobody withdrew it").put_back().expect("its sender waits");
        let responder = responder.start().expect("it was queued again").put_back().expect("its sender waits");
        assert_eq!(receiver.withdraw(&Gate::default()), Withdrawal::Withdrawn);
        assert!(responder.start().is_none());

        let (responder, mut receiver) = slot::<u8>();
        let started = responder.start().expect("nobody withdrew it");
        assert_eq!(receiver.withdraw(&Gate::default()), Withdrawal::Started);
        assert!(started.put_back().is_none());
    }

    #[test]
    fn a_request_that_waits_is_not_given_up_by_who_asks_too_early() {
        let (responder, mut receiver) = slot::<u8>();
        let started = responder.start().expect("nobody withdrew it");
        assert_eq!(receiver.withdraw_waiting(&Gate::default()), Withdrawal::Started);
        let responder = started.put_back().expect("its sender waits");
        assert_eq!(receiver.withdraw_waiting(&Gate::default()), Withdrawal::Withdrawn);
        assert!(responder.start().is_none());
    }

    #[test]
    fn an_abandoned_request_does_not_start_again() {
        let (responder, mut receiver) = slot::<u8>();
        receiver.abandon();
        assert!(responder.start().is_none());
        let (responder, mut receiver) = slot::<u8>();
        let started = responder.start().expect("nobody has gone");
        receiver.abandon();
        assert!(started.put_back().is_none());
    }

    #[test]
    fn a_request_dropped_in_the_queue_did_not_start() {
        let (responder, mut receiver) = slot::<u8>();
        drop(responder);
        assert_eq!(poll(&mut receiver), Poll::Ready(Outcome::NotExecuted));
    }

    #[test]
    fn what_a_replaced_writer_had_started_is_not_executed_whatever_it_does_later() {
        let gate = Arc::new(Gate::default());
        let tenure = Tenure::begin(&gate).expect("nobody is within");
        let (responder, mut receiver) = slot::<u8>();
        let (other, mut other_receiver) = slot::<u8>();
        let mut started = responder.start_by(&tenure).expect("nobody withdrew it");
        started.prepare(7, CommitRecord::new());
        let context = &mut Context::from_waker(Waker::noop());
        assert_eq!(receiver.poll(context, &gate), Poll::Pending);
        assert!(gate.close_to(tenure.epoch()));
        assert_eq!(receiver.poll(context, &gate), Poll::Ready(Outcome::NotExecuted));
        assert!(started.put_back().is_none());
        assert!(other.start_by(&tenure).is_none());
        assert_eq!(other_receiver.withdraw(&gate), Withdrawal::Ended(Outcome::NotExecuted));
    }
}
