//! What a writer has taken from the queue and not begun. It belongs to the channel: whoever is the writer goes on with it,
//! even if the one that took it does not come back.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::StorageRequest;
use super::gate::Tenure;

/// See the module. Cheap to clone.
#[derive(Clone, Default)]
pub struct Received(Arc<Mutex<VecDeque<StorageRequest>>>);

impl Received {
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts requests behind the others. If another writer has taken over, which may wait for the queue by now, they are
    /// dropped: that ends them as not executed.
    pub fn add(&self, requests: impl Iterator<Item = StorageRequest>, tenure: &Tenure) {
        let mut received = self.0.lock();
        if !tenure.is_over() {
            received.extend(requests);
        }
    }

    /// Puts requests before the others, in their order; or drops them, as [`Received::add`] does.
    pub fn put_back(&self, requests: Vec<StorageRequest>, tenure: &Tenure) {
        let mut received = self.0.lock();
        if !tenure.is_over() {
            requests.into_iter().rev().for_each(|request| received.push_front(request));
        }
    }

    /// The next request, unless another writer has taken over: then it is for that one.
    pub fn next(&self, tenure: &Tenure) -> Option<StorageRequest> {
        let mut received = self.0.lock();
        if tenure.is_over() { None } else { received.pop_front() }
    }

    /// Ends all of them as not executed.
    pub fn drop_all(&self) {
        // They are dropped after the lock, for that wakes their clients.
        let requests = std::mem::take(&mut *self.0.lock());
        drop(requests);
    }
}
