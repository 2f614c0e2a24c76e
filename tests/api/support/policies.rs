//! Versions of the policy and the terms, published beside the server as the command would.

use sluice::db::models::policies::PolicyRow;
use sluice::domain::clock::UtcDay;
use sluice::domain::policy::PolicyKind;
use sluice::policies::{PolicyDraft, PolicyError, Published, publish};
use sluice::site;

use super::app::TestApp;

impl TestApp {
    /// Publishes the page as this server shows it; whether it is a new version.
    pub(crate) fn publish(
        &self,
        kind: PolicyKind,
        words: &str,
        in_force: Option<&str>,
        is_significant: bool,
    ) -> Result<(PolicyRow, bool), PolicyError> {
        let body = site::policies::text(kind, &self.settings).unwrap();
        self.publish_text(kind, (words, &body), in_force, is_significant)
    }

    /// Publishes a text, with words on it.
    pub(crate) fn publish_text(
        &self,
        kind: PolicyKind,
        (words, body): (&str, &str),
        in_force: Option<&str>,
        is_significant: bool,
    ) -> Result<(PolicyRow, bool), PolicyError> {
        let in_force = in_force.map(|day| UtcDay::parse(day).unwrap());
        let draft = PolicyDraft { kind, words, body, in_force, is_significant, notice_days: 30 };
        let now = self.clock.now();
        self.db(|conn| {
            Ok(match publish(conn, &draft, now)? {
                Published::Now(row) => (row, true),
                Published::Before(row) => (row, false),
            })
        })
    }
}
