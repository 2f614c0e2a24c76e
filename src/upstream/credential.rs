//! A credential that stands in a file is read again when the file changes, and at once where the
//! one in force is refused, so that it can be exchanged while requests run.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret, SecretString};

use super::Upstream;
use super::node::CallContext;
use crate::config;
use crate::domain::unprintable::unprintable;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What tells that a file has been written since.
type FileStamp = Option<(SystemTime, u64)>;

/// The credential in force: the one of the settings, until its file has another.
pub struct UpstreamCredential(RwLock<InForce>);

struct InForce {
    secret: SecretString,
    /// Grows by one with each other credential.
    number: u64,
}

unprintable!(UpstreamCredential, InForce);

impl UpstreamCredential {
    /// The credential of the settings.
    #[must_use]
    pub fn new(secret: SecretString) -> Self {
        Self(RwLock::new(InForce { secret, number: 0 }))
    }

    /// Its number among all that were in force.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).number
    }

    /// Does something with its text.
    pub(super) fn with<T>(&self, work: impl FnOnce(&str) -> T) -> T {
        work(self.0.read().unwrap_or_else(PoisonError::into_inner).secret.expose_secret())
    }

    /// Puts `secret` in force; whether it is another one.
    fn replace(&self, secret: SecretString) -> bool {
        let mut in_force = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if in_force.secret.expose_secret() == secret.expose_secret() {
            return false;
        }
        *in_force = InForce { secret, number: in_force.number.saturating_add(1) };
        true
    }
}

/// Begins to watch the file of an upstream's credential, if it has one, for as long as the upstream
/// is in use.
pub fn watch(upstream: &Arc<Upstream>, node: &CallContext) {
    let Some(path) = upstream.settings.credential_file.clone() else { return };
    let (upstream, node) = (Arc::downgrade(upstream), node.clone());
    let tracker = node.tracker.clone();
    tracker.spawn(async move {
        tokio::select! {
            () = node.tracker.draining() => {}
            () = follow(&node, &upstream, &path) => {}
        }
    });
}

async fn follow(node: &CallContext, upstream: &Weak<Upstream>, path: &Path) {
    let mut seen = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(upstream) = upstream.upgrade() else { return };
        let found = stamp(path);
        // A file that is being replaced may be away for a moment.
        if found == seen || found.is_none() {
            continue;
        }
        seen = found;
        // The reason names the file and never its content.
        if let Err(reason) = read_again(node, &upstream, path) {
            let name = &upstream.settings.name;
            tracing::error!(upstream = name, reason, "the previous credential stays in use");
        }
    }
}

/// Whether the credential in force, after a look at its file, is another than the one with that
/// number: a refusal of that one says nothing of it.
#[must_use]
pub fn is_renewed(node: &CallContext, upstream: &Upstream, number: u64) -> bool {
    // Where the file cannot be read, whoever watches it says so.
    if let Some(path) = &upstream.settings.credential_file {
        drop(read_again(node, upstream, path));
    }
    upstream.credential.number() != number
}

fn read_again(node: &CallContext, upstream: &Upstream, path: &Path) -> Result<(), String> {
    if upstream.credential.replace(config::read_credential(path)?) {
        tracing::info!(upstream = upstream.settings.name, "the credential has been read again");
        node.tell(upstream, upstream.health.note_new_credential());
    }
    Ok(())
}

fn stamp(path: &Path) -> FileStamp {
    let data = std::fs::metadata(path).ok()?;
    Some((data.modified().ok()?, data.len()))
}
