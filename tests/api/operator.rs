//! What operators do for owners, by commands beside a running server: each leaves its record in the
//! audit log.

mod access;
mod lookup;
mod mail;

use diesel::prelude::*;
use serde_json::Value;
use sluice::db::schema::audit_log;
use sluice::domain::ids::AccountId;

use crate::support::app::{Builder, TestApp};
use crate::support::desk::Cli;
use crate::support::sandbox::sandbox;

/// A server whose clock agrees with that of commands, and somebody who gives commands.
fn sandboxed() -> (TestApp, Cli) {
    let now = sluice::domain::clock::Clock::System.now().as_millis();
    let app = Builder::new().upstream("sandbox", sandbox()).clock_at(now).start();
    let desk = Cli::beside(&app);
    (app, desk)
}

/// Action, account and detail of all decisions, oldest first.
fn decisions(app: &TestApp) -> Vec<(String, Option<i64>, String)> {
    app.db(|conn| {
        let columns = (audit_log::action, audit_log::account_id, audit_log::detail);
        audit_log::table.order(audit_log::id).select(columns).load(conn).unwrap()
    })
}

fn decision(action: &str, id: AccountId, detail: &str) -> (String, Option<i64>, String) {
    (action.to_owned(), Some(id.0), detail.to_owned())
}

fn ids(listed: &Value) -> Vec<&str> {
    listed.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect()
}
