//! Prefixes whose entries compaction may drop, and when: the part of it that both engines share.
//!
//! Compaction drops without asking what a view sees or what a power cut would bring back, so a prefix is given to it
//! only once every view that was open when it was retired is closed, and everything written before is durable. It must
//! never be given to it earlier, nor need a clock or a read of the store to decide.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::Prefix;

/// What one engine handle knows of views, syncs and retired prefixes.
#[derive(Debug, Default)]
pub(super) struct Retirement {
    state: Mutex<State>,
    /// What compactions may drop now. Each takes the set as it is when it starts.
    droppable: ArcSwap<PrefixSet>,
}

#[derive(Debug, Default)]
struct State {
    /// Views, syncs and retirements draw their numbers from here: the lower, the earlier.
    next: u64,
    open_views: BTreeSet<u64>,
    waiting: Vec<Waiting>,
}

/// Prefixes that were retired together.
#[derive(Debug)]
struct Waiting {
    number: u64,
    prefixes: Vec<Prefix>,
    durable: bool,
}

impl State {
    fn draw(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn is_due(&self, waiting: &Waiting) -> bool {
        waiting.durable && self.open_views.first().is_none_or(|view| *view > waiting.number)
    }
}

impl Retirement {
    /// To be called before the engine takes the view, and kept as long as the view.
    pub fn open_view(&self) -> OpenView<'_> {
        let mut state = self.state.lock();
        let number = state.draw();
        state.open_views.insert(number);
        OpenView { retirement: self, number }
    }

    /// See [`super::Engine::retire`].
    pub fn retire(&self, prefixes: &[Prefix]) {
        if prefixes.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        let number = state.draw();
        state.waiting.push(Waiting { number, prefixes: prefixes.to_vec(), durable: false });
    }

    /// See [`super::Engine::forget`].
    pub fn forget(&self, prefixes: &[Prefix]) {
        let mut state = self.state.lock();
        for waiting in &mut state.waiting {
            waiting.prefixes.retain(|prefix| !prefixes.contains(prefix));
        }
        state.waiting.retain(|waiting| !waiting.prefixes.is_empty());
        let before = self.droppable.load();
        if prefixes.iter().any(|prefix| before.contains(prefix)) {
            let left = before.0.iter().filter(|prefix| !prefixes.contains(prefix)).copied().collect();
            self.droppable.store(Arc::new(PrefixSet(left)));
        }
    }

    /// See [`super::Engine::awaits_sync`].
    pub fn awaits_sync(&self) -> bool {
        self.state.lock().waiting.iter().any(|waiting| !waiting.durable)
    }

    /// A sync begins: to be given to [`Retirement::synced`] when it has succeeded.
    pub fn begin_sync(&self) -> SyncMark {
        SyncMark(self.state.lock().draw())
    }

    /// A sync succeeded.
    pub fn synced(&self, mark: SyncMark) {
        let mut state = self.state.lock();
        for waiting in state.waiting.iter_mut().filter(|waiting| waiting.number < mark.0) {
            waiting.durable = true;
        }
        self.admit(&mut state);
    }

    /// What a compaction that starts now may drop.
    pub fn droppable(&self) -> Arc<PrefixSet> {
        self.droppable.load_full()
    }

    fn close_view(&self, number: u64) {
        let mut state = self.state.lock();
        state.open_views.remove(&number);
        self.admit(&mut state);
    }

    fn admit(&self, state: &mut State) {
        let waiting = std::mem::take(&mut state.waiting);
        let (due, waiting): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|waiting| state.is_due(waiting));
        state.waiting = waiting;
        if !due.is_empty() {
            let mut prefixes = self.droppable.load().0.clone();
            prefixes.extend(due.into_iter().flat_map(|waiting| waiting.prefixes));
            self.droppable.store(Arc::new(PrefixSet(prefixes)));
        }
    }
}

/// A view that is open while this lives.
pub(super) struct OpenView<'r> {
    retirement: &'r Retirement,
    number: u64,
}

impl Drop for OpenView<'_> {
    fn drop(&mut self) {
        self.retirement.close_view(self.number);
    }
}

/// When a sync began.
#[derive(Clone, Copy, Debug)]
pub(super) struct SyncMark(u64);

/// Prefixes to drop; it never changes.
#[derive(Debug, Default)]
pub(super) struct PrefixSet(BTreeSet<Prefix>);

impl PrefixSet {
    pub fn contains(&self, prefix: &Prefix) -> bool {
        self.0.contains(prefix)
    }

    /// Whether an entry under `key` is to be dropped.
    pub fn covers(&self, key: &[u8]) -> bool {
        !self.0.is_empty() && key.first_chunk().is_some_and(|prefix| self.contains(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Prefix = *b"aaaaaaaa";
    const B: Prefix = *b"bbbbbbbb";

    fn sync(retirement: &Retirement) {
        retirement.synced(retirement.begin_sync());
    }

    #[test]
    fn a_prefix_is_given_to_compaction_once_older_views_are_closed_and_older_writes_durable() {
        let retirement = Retirement::default();
        let early = retirement.open_view();
        let too_early = retirement.begin_sync();
        retirement.retire(&[A]);
        retirement.synced(too_early);
        assert!(retirement.awaits_sync(), "that sync began before the retirement");
        let late = retirement.open_view();
        sync(&retirement);
        assert!(!retirement.awaits_sync());
        assert!(!retirement.droppable().covers(b"aaaaaaaafield"), "a view from before may lead there");
        drop(early);
        let droppable = retirement.droppable();
        assert!(droppable.covers(b"aaaaaaaafield") && droppable.covers(&A), "one from after does not");
        assert!(!droppable.covers(b"aaaaaaab") && !droppable.covers(b"aaaa"));
        drop(late);
    }

    #[test]
    fn what_is_forgotten_is_neither_waiting_nor_dropped() {
        let retirement = Retirement::default();
        retirement.retire(&[A, B]);
        sync(&retirement);
        retirement.forget(&[A]);
        assert!(!retirement.droppable().contains(&A) && retirement.droppable().contains(&B));
        retirement.retire(&[A]);
        retirement.forget(&[A]);
        assert!(!retirement.awaits_sync());
    }

    #[test]
    fn a_compaction_under_way_keeps_the_set_that_it_started_with() {
        let retirement = Retirement::default();
        let before = retirement.droppable();
        retirement.retire(&[A]);
        sync(&retirement);
        assert!(!before.contains(&A) && retirement.droppable().contains(&A));
    }
}
