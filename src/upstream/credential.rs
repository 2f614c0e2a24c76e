//! A credential that stands in a file is read again when the file changes, so that it can be
//! exchanged while requests run.

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use super::Upstream;
use crate::config;
use crate::tracker::Tracker;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What tells that a file has been written since.
type Stamp = Option<(SystemTime, u64)>;

/// Begins to watch the file of an upstream's credential, if it has one.
pub fn watch(upstream: &Arc<Upstream>, tracker: &Tracker) {
    let Some(path) = upstream.settings.credential_file.clone() else { return };
    let (upstream, draining) = (Arc::clone(upstream), tracker.clone());
    let before = stamp(&path);
    tracker.spawn(async move {
        tokio::select! {
            () = draining.draining() => {}
            () = follow(&upstream, &path, before) => {}
        }
    });
}

async fn follow(upstream: &Upstream, path: &Path, mut served: Stamp) {
    loop {
        tokio::time::sleep(LOOK).await;
        let found = stamp(path);
        // A file that is being replaced may be away for a moment.
        if found == served || found.is_none() {
            continue;
        }
        served = found;
        let name = &upstream.settings.name;
        match config::read_credential(path) {
            Ok(credential) => {
                *upstream.credential.write().unwrap_or_else(PoisonError::into_inner) = credential;
                upstream.health.note_new_credential();
                tracing::info!(upstream = name, "the credential has been read again");
            }
            // The reason names the file and never its content.
            Err(reason) => {
                tracing::error!(upstream = name, reason, "the credential before it stays in use");
            }
        }
    }
}

fn stamp(path: &Path) -> Stamp {
    let data = std::fs::metadata(path).ok()?;
    Some((data.modified().ok()?, data.len()))
}
