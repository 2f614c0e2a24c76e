//! What `sluice doctor` looks at: everything that a server with these settings needs, from inside.
//! Each check ends within its time and says what it found, and what to do where that is not right.
//! Nothing is changed, and nothing is sent but questions.

mod backups;
mod certificate;
mod chains;
mod host;
mod mail;
mod site;
mod storage;
mod upstreams;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, join_all};
use serde::Serialize;
use tokio::time::timeout;

use crate::config::{ConfigErrors, Settings};
use crate::domain::clock::Clock;

/// Time for one check.
const PATIENCE: Duration = Duration::from_secs(30);

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// A server runs, but something is not as it should be.
    Warn,
    /// A server does not start, or something does not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What, such as `database` or `upstream primary`.
    pub name: String,
    /// How it stands.
    pub state: CheckState,
    /// What was found.
    pub found: String,
    /// What to do; `None` where nothing has to be done.
    pub mend: Option<String>,
}

impl Check {
    fn ok(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self { name: name.into(), state: CheckState::Ok, found: found.into(), mend: None }
    }

    fn warn(name: impl Into<String>, found: impl Into<String>, mend: impl Into<String>) -> Self {
        let (name, found, mend) = (name.into(), found.into(), Some(mend.into()));
        Self { name, state: CheckState::Warn, found, mend }
    }

    fn fail(name: impl Into<String>, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { state: CheckState::Fail, ..Self::warn(name, found, mend) }
    }
}

/// What is looked at.
pub struct Doctor {
    /// As a server would have them.
    pub settings: Arc<Settings>,
    /// The folder of backups, if there is one.
    pub backups: Option<PathBuf>,
    /// The time.
    pub clock: Clock,
}

/// Mistakes in the settings, each as a check that failed. The others need settings.
#[must_use]
pub fn of_errors(errors: &ConfigErrors) -> Vec<Check> {
    let pages = errors.pages().join(", ");
    let check = |problem: &crate::config::Problem| {
        Check::fail("settings", problem.to_string(), format!("change the key: see {pages}"))
    };
    errors.problems.iter().map(check).collect()
}

impl Doctor {
    /// Makes all checks, at the same time where they wait, in the order of a start. Must run inside
    /// an actix system.
    pub async fn examine(self) -> Vec<Check> {
        let (settings, clock) = (&self.settings, &self.clock);
        let host = settings.server.clone();
        let checks: Vec<(&'static str, LocalBoxFuture<'_, Vec<Check>>)> = vec![
            ("settings", async { site::settings(settings) }.boxed_local()),
            ("ports", aside("ports", move || host::ports(&host)).boxed_local()),
            ("descriptors", async { vec![host::descriptors(&settings.server)] }.boxed_local()),
            ("database", storage::examine(settings, clock).boxed_local()),
            ("certificate", async { certificate::examine(settings, clock) }.boxed_local()),
            ("base_url", site::reach(settings).boxed_local()),
            ("mail", mail::examine(settings).boxed_local()),
            ("upstreams", upstreams::examine(settings, clock).boxed_local()),
            ("chains", chains::examine(settings, clock).boxed_local()),
            ("backups", self.backups(clock).boxed_local()),
        ];
        let timed = checks.into_iter().map(|(name, check)| async move {
            timeout(PATIENCE, check).await.unwrap_or_else(|_| vec![late(name)])
        });
        join_all(timed).await.into_iter().flatten().collect()
    }

    async fn backups(&self, clock: &Clock) -> Vec<Check> {
        backups::examine(self.backups.as_deref(), self.settings.backup.every, clock).await
    }
}

fn late(name: &str) -> Check {
    let found = format!("no answer within {} s", PATIENCE.as_secs());
    Check::fail(name, found, "see whether what it asks answers at all from this machine")
}

/// Runs a check that blocks on a thread of its own.
async fn aside(
    name: &'static str,
    check: impl FnOnce() -> Vec<Check> + Send + 'static,
) -> Vec<Check> {
    tokio::task::spawn_blocking(check).await.unwrap_or_else(|_| vec![late(name)])
}
