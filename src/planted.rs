//! Bugs on purpose, each a mistake that a good engineer could make here, to measure how soon the tests notice. Where one is
//! planted stands `planted::is("its-name")`.
//!
//! Only the feature `planted-bugs` makes any of them possible, which no server is ever built with. Without it [`is`] is a
//! constant, and nothing of this is in the program.

/// All of them: name, and what goes wrong.
pub const BUGS: &[(&str, &str)] = &[
    ("acknowledged-though-not-committed", "a group whose commit failed is answered as if it had been committed"),
    ("always-is-not-synced", "appendfsync always commits without waiting for the fsync"),
    ("batch-in-two-commits", "a group is committed in two write batches"),
    ("breaker-stays-open", "a probe that succeeds does not close the breaker"),
    ("cache-before-commit", "records are published to the cache though their commit failed"),
    ("clock-mark-not-taken-back", "the mark of expired keys stays when the wall clock is set back"),
    ("cold-read-answers-twice", "a read that needs the disk leaves the replies of its first try"),
    ("commit-record-before-commit", "a group counts as committed before the engine has it, whatever comes of that"),
    ("connection-waits-for-writes", "nobody is admitted while a write is queued"),
    ("count-ignores-overwritten", "RENAME over an existing key does not count that one as gone"),
    ("deadline-ignored", "a request that storage does not answer is waited for without end"),
    ("doubt-is-called-refusal", "a write that may have been executed is answered with TRYAGAIN"),
    ("engine-not-closed", "a stop forgets to sync and close the engine"),
    ("everysec-is-every-three", "the WAL is synced every three seconds"),
    ("exec-answered-before-commit", "EXEC is answered when it has run, before its group is committed"),
    ("expired-is-read", "a read shows a key whose time has passed, until housekeeping removes it"),
    ("expiry-races-set", "housekeeping removes what the expiry index names, though the key has lost its expiry"),
    ("failed-command-leaves-traces", "the effects of a command that failed are kept"),
    ("gives-up-before-anyone-looked", "a blocking command's time runs out before storage has looked at its keys"),
    ("half-close-drops-replies", "a client that closes its half of the connection does not get what it waits for"),
    ("hung-commit-is-replaced", "a writer that hangs within its commit is replaced as if it hung before"),
    ("hung-is-counted-for-ever", "a thread that did not come back stays counted as such when it ends"),
    ("message-is-lost", "a mailbox in which two messages wait takes no third"),
    ("message-overtakes", "of the messages that wait for a subscriber the last is sent first"),
    ("no-epoch-fence", "a writer that was replaced commits all the same when it comes back"),
    ("no-sync-at-start", "what a killed process wrote is not synced when the next one starts"),
    ("old-writer-is-not-awaited", "the storage threads start anew while the old writer still commits"),
    (
        "overlooked-are-forgotten",
        "nobody looks after waiting clients that a failed group or an ended writer has passed over",
    ),
    ("panicked-thread-stays-dead", "a storage thread that panicked is not started again"),
    ("partial-write-is-whole", "what a socket did not take of a reply is dropped"),
    ("queued-is-left-queued", "a request that is given up at its deadline is not withdrawn"),
    ("reads-queue-behind-writes", "reads go through the writer's queue"),
    ("registration-leaks", "a client whose connection broke stays in the client list"),
    ("reply-overtakes", "a reply that the network side knows does not wait for those before it"),
    ("restart-delays-sync", "each start of the storage threads begins the second of everysec anew"),
    ("share-leaks", "a failed group keeps its share of the channel's bytes"),
    ("split-command-is-lost", "what was received of a command is forgotten if it ends within a line"),
    ("timeout-takes-an-element", "a client whose time is out is told so, though it is being served right now"),
    ("transaction-wakes-nobody", "what a transaction pushes serves no waiting client"),
    ("watch-is-not-looked-at", "EXEC runs though a watched key was touched"),
    ("write-in-doubt-is-repeated", "a write that may have been executed is sent again"),
];

#[cfg(feature = "planted-bugs")]
mod planting {
    use std::cell::Cell;

    use super::BUGS;

    thread_local! {
        /// The place of the planted bug in the list.
        static PLANTED: Cell<Option<usize>> = const { Cell::new(None) };
        /// A bit for each bug that was asked for.
        static ASKED: Cell<u128> = const { Cell::new(0) };
    }

    const _: () = assert!(BUGS.len() <= u128::BITS as usize);

    /// Plants one bug, or none, in everything that runs on this thread. Nothing counts as asked for any more.
    pub fn plant(name: Option<&str>) {
        PLANTED.set(name.map(place));
        ASKED.set(0);
    }

    /// Whether that bug is planted.
    pub fn is(name: &str) -> bool {
        let place = place(name);
        ASKED.set(ASKED.get() | 1 << place);
        PLANTED.get() == Some(place)
    }

    /// Whether [`is`] was asked for a bug since the last [`plant`]. A deterministic run in which it was not is the same run
    /// with the bug.
    pub fn is_asked(name: &str) -> bool {
        ASKED.get() & 1 << place(name) != 0
    }

    fn place(name: &str) -> usize {
        BUGS.iter().position(|(known, _)| *known == name).expect("invariant: every planted bug is in the list")
    }
}

#[cfg(feature = "planted-bugs")]
pub use planting::{is, is_asked, plant};

/// Whether that bug is planted: never.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
pub const fn is(_name: &str) -> bool {
    false
}
