//! What must end before the process does. Every task is spawned here, every exchange holds a
//! token, and the stop waits until none is left.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Counts running work and carries the two words of a stop: no new work, and end now.
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    tasks: TaskTracker,
    draining: CancellationToken,
    cut: CancellationToken,
}

impl Tracker {
    /// Spawns a future on this thread's runtime; the stop waits for it.
    #[expect(clippy::disallowed_methods, reason = "this is the tracked spawn")]
    pub fn spawn<F>(&self, future: F)
    where
        F: Future<Output = ()> + 'static,
    {
        // The handle is not needed: the tracker knows when the task has ended.
        drop(tokio::task::spawn_local(self.tasks.track_future(future)));
    }

    /// A token that counts as running work until it is dropped.
    pub fn token(&self) -> TaskTrackerToken {
        self.tasks.token()
    }

    /// How much work is running.
    #[must_use]
    pub fn running(&self) -> usize {
        self.tasks.len()
    }

    /// No new work from now on.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// Whether new work is refused.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Resolves when new work is refused.
    pub async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// Running exchanges end now (E11).
    pub fn cut(&self) {
        self.cut.cancel();
    }

    /// The word that ends running exchanges.
    #[must_use]
    pub const fn cut_token(&self) -> &CancellationToken {
        &self.cut
    }

    /// Waits until nothing runs, at most `limit`; whether that was reached.
    pub async fn wait(&self, limit: Duration) -> bool {
        self.tasks.close();
        tokio::time::timeout(limit, self.tasks.wait()).await.is_ok()
    }
}
