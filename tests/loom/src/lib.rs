//! Loom tries every interleaving of the reply slot (`src/channel/slot.rs`) and of the writers' gate (`src/channel/gate.rs`), on
//! which the promises about outcomes rest: a withdrawn request never runs, a reply arrives exactly once, nobody sleeps
//! through it, and a writer that was replaced has no effects.
//!
//! `make loom`, or by hand:
//! `RUSTFLAGS="--cfg loom" cargo test -p bulkhead-loom --release --target-dir target/loom`. They are compiled here from
//! their own files, so that neither tokio (whose sockets do not exist under `--cfg loom`) nor the rest of the server is. At most
//! three threads and three preemptions a model: that is what can be tried completely, and what has found bugs.

#[cfg(all(loom, test))]
#[path = "../../../src/channel/gate.rs"]
mod gate;

#[cfg(all(loom, test))]
#[path = "../../../src/channel/slot.rs"]
mod slot;

/// No bugs are planted here.
#[cfg(all(loom, test))]
mod planted {
    pub const fn is(_name: &str) -> bool {
        false
    }
}

#[cfg(all(loom, test))]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use loom::future::block_on;
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicU8, Ordering};
    use loom::thread;

    use super::gate::{Gate, Tenure};
    use super::slot::{CommitRecord, Outcome, ReplyReceiver, Started, Withdrawal, slot};

    const REPLY: u8 = 7;

    fn every_interleaving(model: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(model);
    }

    /// Waits for the reply as a connection does. A wake-up that is lost is a deadlock, which loom reports.
    fn wait(receiver: &mut ReplyReceiver<u8>) -> Outcome<u8> {
        block_on(poll_fn(|context| receiver.poll(context, &Gate::default())))
    }

    /// Looks once, and leaves its waker behind if it is too early.
    fn look(receiver: &mut ReplyReceiver<u8>, gate: &Gate) -> Option<Outcome<u8>> {
        block_on(poll_fn(|context| match receiver.poll(context, gate) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending => Poll::Ready(None),
        }))
    }

    fn finish(started: Option<Started<u8>>) -> bool {
        let did_start = started.is_some();
        if let Some(started) = started {
            started.finish(REPLY);
        }
        did_start
    }

    #[test]
    fn either_the_start_or_the_withdrawal_wins() {
        every_interleaving(|| {
            let (responder, mut receiver) = slot::<u8>();
            let storage = thread::spawn(move || responder.start());
            let withdrawal = receiver.withdraw(&Gate::default());
            let started = storage.join().unwrap();
            match withdrawal {
                Withdrawal::Withdrawn => assert!(started.is_none(), "a withdrawn request ran"),
                Withdrawal::Started => assert!(started.is_some(), "a request that nobody runs was called started"),
                Withdrawal::Ended(outcome) => panic!("ended by nobody: {outcome:?}"),
            }
        });
    }

    #[test]
    fn a_reply_wakes_whoever_waits_for_it() {
        every_interleaving(|| {
            let (responder, mut receiver) = slot();
            let storage = thread::spawn(move || finish(responder.start()));
            assert_eq!(wait(&mut receiver), Outcome::Done(REPLY));
            assert!(storage.join().unwrap());
        });
    }

    /// A connection's deadline passes while storage is at work: it looks, withdraws, and if that comes too late waits on.
    #[test]
    fn a_deadline_ends_in_one_outcome_whatever_storage_does_meanwhile() {
        every_interleaving(|| {
            let (responder, mut receiver) = slot();
            let storage = thread::spawn(move || finish(responder.start()));
            let seen = look(&mut receiver, &Gate::default()).map(Withdrawal::Ended);
            let ran = match seen.unwrap_or_else(|| receiver.withdraw(&Gate::default())) {
                Withdrawal::Withdrawn => false,
                Withdrawal::Ended(outcome) => outcome == Outcome::Done(REPLY),
                Withdrawal::Started => wait(&mut receiver) == Outcome::Done(REPLY),
            };
            assert_eq!(storage.join().unwrap(), ran, "the client was told something else than what happened");
        });
    }

    /// The first reader starts a request and hands it to another one.
    #[test]
    fn a_request_may_be_finished_by_another_thread_than_started_it() {
        every_interleaving(|| {
            let (responder, mut receiver) = slot();
            let first = thread::spawn(move || {
                let started = responder.start();
                thread::spawn(move || finish(started)).join().unwrap()
            });
            let ran = match receiver.withdraw(&Gate::default()) {
                Withdrawal::Withdrawn => false,
                Withdrawal::Started => wait(&mut receiver) == Outcome::Done(REPLY),
                Withdrawal::Ended(outcome) => outcome == Outcome::Done(REPLY),
            };
            assert_eq!(first.join().unwrap(), ran);
        });
    }

    #[test]
    fn a_reply_finds_the_waker_of_the_last_look() {
        every_interleaving(|| {
            let (responder, mut receiver) = slot();
            let storage = thread::spawn(move || finish(responder.start()));
            // Each look has a waker of its own, as a task that moved between threads has.
            let outcome = look(&mut receiver, &Gate::default())
                .or_else(|| look(&mut receiver, &Gate::default()))
                .unwrap_or_else(|| wait(&mut receiver));
            assert_eq!(outcome, Outcome::Done(REPLY));
            assert!(storage.join().unwrap());
        });
    }

    /// A blocking command: storage finds nothing, puts it back, and later serves it; its time runs out meanwhile. Either
    /// it is served and the client hears so, or it was withdrawn and nothing is taken for it; and nobody sleeps for ever.
    #[test]
    fn a_request_that_waits_is_served_or_times_out_but_never_both() {
        every_interleaving(|| {
            let (responder, mut receiver) = slot();
            let storage = thread::spawn(move || {
                let Some(started) = responder.start() else { return false };
                let Some(responder) = started.put_back() else { return false };
                finish(responder.start())
            });
            let served = block_on(poll_fn(|context| match receiver.poll(context, &Gate::default()) {
                Poll::Ready(outcome) => Poll::Ready(outcome == Outcome::Done(REPLY)),
                // Its time is out already; if that comes too late for now, the next wake-up tries again.
                Poll::Pending => match receiver.withdraw_waiting(&Gate::default()) {
                    Withdrawal::Withdrawn => Poll::Ready(false),
                    Withdrawal::Started => Poll::Pending,
                    Withdrawal::Ended(outcome) => Poll::Ready(outcome == Outcome::Done(REPLY)),
                },
            }));
            assert_eq!(storage.join().unwrap(), served, "an element was taken for a client that was told otherwise");
        });
    }

    /// Its time runs out while storage looks for something, and nothing ever comes: it is told so all the same.
    #[test]
    fn who_was_too_late_to_withdraw_is_woken_when_the_request_is_put_back() {
        every_interleaving(|| {
            let (responder, mut receiver) = slot::<u8>();
            let storage = thread::spawn(move || responder.start().map(Started::put_back));
            block_on(poll_fn(|context| {
                match (receiver.poll(context, &Gate::default()), receiver.withdraw_waiting(&Gate::default())) {
                    (Poll::Pending, Withdrawal::Withdrawn) => Poll::Ready(()),
                    (Poll::Pending, Withdrawal::Started) => Poll::Pending,
                    (_, withdrawal) => panic!("nothing came, and yet {withdrawal:?}"),
                }
            }));
            let left = storage.join().unwrap().flatten();
            assert!(left.is_none_or(|responder| responder.start().is_none()));
        });
    }

    /// The client goes at any moment: its request is not left waiting.
    #[test]
    fn a_request_that_waits_for_a_client_that_went_is_not_served() {
        every_interleaving(|| {
            let (responder, mut receiver) = slot::<u8>();
            let storage = thread::spawn(move || responder.start().map(Started::put_back));
            receiver.abandon();
            let left = storage.join().unwrap().flatten();
            assert!(left.is_none_or(|responder| responder.start().is_none()), "served although nobody is there");
        });
    }

    #[test]
    fn a_request_dropped_in_the_queue_did_not_start() {
        every_interleaving(|| {
            let (responder, mut receiver) = slot::<u8>();
            let storage = thread::spawn(move || drop(responder));
            assert_eq!(wait(&mut receiver), Outcome::NotExecuted);
            storage.join().unwrap();
        });
    }

    #[test]
    fn a_drop_and_a_withdrawal_agree_that_it_did_not_start() {
        every_interleaving(|| {
            let (responder, mut receiver) = slot::<u8>();
            let storage = thread::spawn(move || drop(responder));
            let withdrawal = receiver.withdraw(&Gate::default());
            assert!(
                matches!(withdrawal, Withdrawal::Withdrawn | Withdrawal::Ended(Outcome::NotExecuted)),
                "{withdrawal:?}"
            );
            storage.join().unwrap();
        });
    }

    /// The writer dies somewhere between the start of a request and its answer.
    #[test]
    fn a_request_dropped_after_its_start_ends_as_far_as_its_commit_came() {
        for (succeeds, expected) in
            [(None, Outcome::NotExecuted), (Some(false), Outcome::InDoubt), (Some(true), Outcome::Done(REPLY))]
        {
            every_interleaving(move || {
                let (responder, mut receiver) = slot::<u8>();
                let storage = thread::spawn(move || {
                    let Some(mut started) = responder.start() else { return false };
                    if let Some(succeeds) = succeeds {
                        let record = CommitRecord::new();
                        started.prepare(REPLY, record.clone());
                        let _ = record.commit(|| succeeds.then_some(()).ok_or(()), |()| false);
                    }
                    true
                });
                let outcome = match receiver.withdraw(&Gate::default()) {
                    Withdrawal::Withdrawn => None,
                    Withdrawal::Started => Some(wait(&mut receiver)),
                    Withdrawal::Ended(outcome) => Some(outcome),
                };
                assert_eq!(storage.join().unwrap(), outcome.is_some());
                assert!(outcome.is_none_or(|outcome| outcome == expected));
            });
        }
    }

    /// The engine has stopped writes: the writer puts the request back, while its deadline passes.
    #[test]
    fn a_request_that_was_put_back_never_runs_after_its_client_was_answered() {
        every_interleaving(|| {
            let (responder, mut receiver) = slot::<u8>();
            let storage = thread::spawn(move || {
                let again =
                    responder.start().and_then(|started| started.put_back()).and_then(|responder| responder.start());
                finish(again)
            });
            let ran = match receiver.withdraw(&Gate::default()) {
                // Started the first time or the second: then it may or may not run to its end.
                Withdrawal::Started => None,
                Withdrawal::Withdrawn => Some(false),
                Withdrawal::Ended(outcome) => Some(outcome == Outcome::Done(REPLY)),
            };
            let finished = storage.join().unwrap();
            assert!(ran.is_none_or(|ran| ran == finished), "the client was told something else than what happened");
        });
    }

    /// A writer that was taken for hung comes back at any moment while another takes its place: what the client is told is
    /// what happened, and a request that is sent again runs once.
    #[test]
    fn a_writer_that_is_replaced_has_no_effect_that_its_client_does_not_know_of() {
        every_interleaving(|| {
            let gate = Arc::new(Gate::default());
            let tenure = Tenure::begin(&gate).expect("nobody is within");
            let epoch = tenure.epoch();
            let effects = Arc::new(AtomicU8::new(0));
            let (responder, mut receiver) = slot::<u8>();
            let writer = {
                let effects = effects.clone();
                thread::spawn(move || {
                    let Some(mut started) = responder.start_by(&tenure) else { return };
                    let record = CommitRecord::new();
                    started.prepare(REPLY, record.clone());
                    if tenure.enter() {
                        let commit = || {
                            effects.fetch_add(1, Ordering::Relaxed);
                            Ok::<(), ()>(())
                        };
                        let _ = record.commit(commit, |()| true);
                        started.finish_prepared(|reply| reply);
                        tenure.leave();
                    }
                })
            };
            // The supervisor, and then the client that the sweeper wakes.
            let replaced = gate.close_to(epoch);
            let told = look(&mut receiver, &gate);
            writer.join().unwrap();
            let told = told.or_else(|| look(&mut receiver, &gate)).expect("the writer has ended");
            let effects = effects.load(Ordering::Relaxed);
            match told {
                Outcome::NotExecuted => assert!(replaced && effects == 0, "it may not run again: {effects} effects"),
                outcome => assert_eq!((outcome, effects), (Outcome::Done(REPLY), 1)),
            }
        });
    }
}
