//! Accounts that go: the wish, and what the node's beat does about it.

use std::time::Duration;

use sluice::accounts::deletion::closing::{self, Closed};
use sluice::accounts::deletion::erasure;
use sluice::db::transaction;

use super::app::{Account, TestApp, tombstones};

/// Has an account closed, as its owner wishes.
pub(crate) fn close(app: &TestApp, account: &Account, waives: bool) -> Closed {
    let (grace, now) = (app.settings.accounts.closing_grace, app.clock.now());
    app.db(|conn| {
        transaction::write(conn, |conn| closing::close(conn, account.id, waives, grace, now))
            .unwrap()
    })
}

/// Erases what is due once a wish may be undone for so long; how many accounts that were.
pub(crate) fn erase(app: &TestApp, grace: Duration) -> usize {
    let terms = (grace, app.settings.deposits.debt_forgiven);
    app.db(|conn| {
        let key = tombstones(conn, &app.settings);
        erasure::erase_due(conn, &key, terms, app.clock.now()).unwrap()
    })
}
