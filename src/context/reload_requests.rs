//! The line to whoever reads the settings again: a signal, or the operator's listener, asks; one
//! reload runs at a time.

use tokio::sync::{mpsc, oneshot};

use crate::config::{ConfigErrors, SettingsChanges};

/// Requests that may wait.
const WAITING_MAX: usize = 16;

/// What a reload has come to.
pub type ReloadResult = Result<SettingsChanges, ConfigErrors>;

/// Where to ask for a reload.
#[derive(Clone, Debug)]
pub struct ReloadRequests(mpsc::Sender<oneshot::Sender<ReloadResult>>);

/// Where requests come out.
pub type ReloadQueue = mpsc::Receiver<oneshot::Sender<ReloadResult>>;

impl ReloadRequests {
    /// Both ends of the line.
    #[must_use]
    pub fn new() -> (Self, ReloadQueue) {
        let (sender, queue) = mpsc::channel(WAITING_MAX);
        (Self(sender), queue)
    }

    /// Has the settings read again; nothing if the server is stopping, or too many have asked.
    pub async fn ask(&self) -> Option<ReloadResult> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(answer).ok()?;
        answered.await.ok()
    }
}
