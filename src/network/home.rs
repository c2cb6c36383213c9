//! The runtime that the network side lives in. When `network-threads` changes, a new one is built beside it, listeners and
//! connections move over one by one, each at a moment when it holds nothing of the old one, and the last to leave turns
//! off the light. So nobody is disconnected, and nobody waits for anybody else.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::env::{Domain, Task, spawn};
use crate::observe::ServerStats;

/// A runtime, for as long as anything of the network side lives in it.
pub struct Home {
    domain: Arc<dyn Domain>,
    /// Each is another.
    number: u64,
    /// It is not lived in yet, or not any more: when the last has left, it ends.
    is_left: AtomicBool,
    stats: Arc<ServerStats>,
}

impl Home {
    /// The first one.
    pub fn new(domain: Arc<dyn Domain>, stats: Arc<ServerStats>) -> Arc<Home> {
        Home::numbered(1, domain, stats, false)
    }

    /// One to move into from this one. If nobody does, it ends.
    pub fn successor(&self, domain: Arc<dyn Domain>) -> Arc<Home> {
        Home::numbered(self.number + 1, domain, self.stats.clone(), true)
    }

    fn numbered(number: u64, domain: Arc<dyn Domain>, stats: Arc<ServerStats>, is_left: bool) -> Arc<Home> {
        stats.runtime.network_runtimes.add(1);
        Arc::new(Home { domain, number, is_left: AtomicBool::new(is_left), stats })
    }

    /// Runs `body` here, and keeps this home for as long as that takes.
    pub fn spawn(self: &Arc<Self>, body: impl Future<Output = ()> + Send + 'static) -> Task {
        let home = self.clone();
        spawn(&*self.domain, async move {
            body.await;
            drop(home);
        })
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    /// Everybody moves from this one into its successor.
    pub fn leave_for(&self, successor: &Home) {
        successor.is_left.store(false, Ordering::Release);
        self.is_left.store(true, Ordering::Release);
    }

    /// Ends it at once, with whatever still lives in it.
    pub fn shutdown(&self) {
        self.domain.shutdown();
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.stats.runtime.network_runtimes.subtract(1);
        if self.is_left.load(Ordering::Acquire) {
            self.domain.shutdown();
        }
    }
}

/// The home to be in, as connections see it.
pub struct CurrentHome {
    /// Mirrors the number of `home`, so that a connection need not lock to see that it is still where it should be.
    number: AtomicU64,
    home: Mutex<Arc<Home>>,
}

impl CurrentHome {
    pub fn new(home: Arc<Home>) -> CurrentHome {
        CurrentHome { number: AtomicU64::new(home.number), home: Mutex::new(home) }
    }

    pub fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    pub fn get(&self) -> Arc<Home> {
        self.home.lock().clone()
    }

    /// Whoever looks again moves there.
    pub fn set(&self, home: Arc<Home>) {
        let number = home.number;
        *self.home.lock() = home;
        self.number.store(number, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::BoxFuture;
    use std::io;
    use std::time::Duration;

    /// Holds what is spawned, and remembers its end.
    #[derive(Default)]
    struct Held {
        tasks: Mutex<Vec<BoxFuture<'static, ()>>>,
        is_over: AtomicBool,
    }

    impl Domain for Held {
        fn spawn_body(&self, body: BoxFuture<'static, ()>) {
            self.tasks.lock().push(body);
        }

        fn spawn_engine_body(&self, _: String, _: BoxFuture<'static, ()>) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn shutdown(&self) {
            self.is_over.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_last_to_leave_an_old_home_ends_its_runtime() {
        let stats = Arc::new(ServerStats::new(Duration::ZERO));
        let (old, new) = (Arc::new(Held::default()), Arc::new(Held::default()));
        let first = Home::new(old.clone(), stats.clone());
        let current = CurrentHome::new(first.clone());
        let _task = first.spawn(async {});
        drop(first.successor(Arc::new(Held::default())));
        let second = first.successor(new.clone());
        first.leave_for(&second);
        current.set(second);
        drop(first);
        let counts = || (stats.runtime.network_runtimes.get(), old.is_over.load(Ordering::Relaxed));
        assert_eq!((counts(), current.number(), current.get().number()), ((2, false), 2, 2));
        let tasks = std::mem::take(&mut *old.tasks.lock());
        drop(tasks);
        assert_eq!(counts(), (1, true));
        drop(current);
        assert!(!new.is_over.load(Ordering::Relaxed), "nobody was told to leave it: whoever owns it ends it");
    }
}
