//! Which threads may call the engine (R2.1). The runtime marks engine threads; engines assert the mark on every call
//! that can block, in release builds too: one thread-local load.

use std::cell::Cell;

thread_local! {
    static MAY_BLOCK: Cell<bool> = const { Cell::new(false) };
}

/// Marks the calling thread as one that may make blocking engine calls, for as long as it lives.
pub fn mark_engine_thread() {
    MAY_BLOCK.with(|mark| mark.set(true));
}

/// Runs `body` on the calling thread as if it were an engine thread. For the simulation, where one thread is everyone.
pub fn as_engine_thread<T>(body: impl FnOnce() -> T) -> T {
    let outside = MAY_BLOCK.replace(true);
    let result = body();
    MAY_BLOCK.set(outside);
    result
}

/// Panics on a thread that [`mark_engine_thread`] has not marked.
#[track_caller]
pub fn assert_engine_thread() {
    assert!(MAY_BLOCK.with(Cell::get), "R2.1: a blocking engine call on a thread that is not an engine thread");
}
