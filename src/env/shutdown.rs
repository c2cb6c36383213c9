//! The wish that the server stop, from outside (a signal) or from a client (SHUTDOWN).

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// How the server is asked to stop: SIGTERM, SHUTDOWN.
#[derive(Debug, Default)]
pub struct ShutdownRequest {
    requested: AtomicBool,
    notify: Notify,
}

impl ShutdownRequest {
    pub fn request(&self) {
        self.requested.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }

    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    /// Resolves once a stop was requested.
    pub async fn requested(&self) {
        let mut notified = std::pin::pin!(self.notify.notified());
        // Registered before the flag is read: a request in between wakes us.
        notified.as_mut().enable();
        if !self.is_requested() {
            notified.await;
        }
    }
}
