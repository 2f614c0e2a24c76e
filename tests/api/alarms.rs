//! Causes of alerts that no other test brings about. The other alerts fire in the tests of their
//! causes: `manual::rules` knows of all.

use diesel::connection::SimpleConnection;
use serde_json::json;
use sluice::db::AnyConnection;
use sluice::db::models::nodes;
use sluice::jobs::job::RunJob;
use sluice::jobs::purge::Purge;

use crate::support::alerting::Watched;
use crate::support::app::{Builder, TestApp};
use crate::support::client::Request;
use crate::support::process::Process;
use crate::support::sandbox::body;
use crate::support::sse;
use crate::support::upstream::{Upstream, message};
use crate::support::wait::eventually;

fn alerts(app: &TestApp, what: &str) -> u64 {
    app.metric(&format!("sluice_alerts_total{{what=\"{what}"))
}

#[test]
fn a_server_that_serves_raises_no_alert_and_one_that_is_gone_does() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let watched = Watched::new(app.admin_address);
    let account = app.account("5.00");
    let connection = app.send(&account, &body(sse::MODEL, false, "text"));
    upstream.next().answer_json(&message(&json!({ "input_tokens": 9, "output_tokens": 9 })));
    connection.answer(false).finish().expect_ok();
    app.ask(&Request::post("/v1/messages", "{").key(&account.key))
        .expect_error(400, "invalid_request_error");
    watched.fires(&[]);
    drop(app.finish());
    watched.fires_without_it(&["SluiceDown"]);
}

#[test]
fn an_alert_tells_of_a_model_without_a_price_and_of_an_answer_that_is_none() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let account = app.account("5.00");
    let watched = Watched::new(app.admin_address);
    let ask = |answer: &str, kind: &str| {
        let connection = app.send(&account, &body(sse::MODEL, false, "text"));
        let length = answer.len();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}");
        upstream.next().send(format!("{head}\r\n\r\n{answer}"));
        connection.answer(false).finish().status
    };
    let used = message(&json!({ "input_tokens": 9, "output_tokens": 9 }));
    assert_eq!(ask(&used.replace(sse::MODEL, "nobody-knows-9"), "application/json"), 200);
    watched.fires(&["SluiceModelWithoutPrice"]);
    assert_eq!(ask("<p>Hello</p>", "text/html"), 502);
    watched.fires(&["SluiceModelWithoutPrice", "SluiceUpstreamMisbehaves"]);
}

#[test]
fn an_alert_tells_of_a_job_that_fails() {
    let app = TestApp::sandboxed();
    let watched = Watched::new(app.admin_address);
    app.db(|conn| conn.batch_execute("ALTER TABLE email_tokens RENAME TO elsewhere").unwrap());
    let failures = || app.metric("sluice_chore_failures_total{chore=\"purge\"}");
    eventually("the purge to fail", || {
        app.scheduler.try_send(RunJob::of::<Purge>()).unwrap();
        (failures() > 0).then_some(())
    });
    watched.fires(&["SluiceJobFailed"]);
    app.db(|conn| conn.batch_execute("ALTER TABLE elsewhere RENAME TO email_tokens").unwrap());
}

#[test]
fn an_alert_tells_of_a_lease_that_ran_out() {
    let app = TestApp::sandboxed();
    let watched = Watched::new(app.admin_address);
    // As a node that was away for long finds itself.
    app.db(|conn| {
        for (row, _) in nodes::list(conn).unwrap() {
            nodes::release(conn, &row.id).unwrap();
        }
    });
    eventually("the next renewal", || (alerts(&app, "the lease had run out") > 0).then_some(()));
    watched.fires(&["SluiceLeaseLost"]);
}

/// Only PostgreSQL has a clock of its own: here it says that five seconds more have passed.
#[test]
fn an_alert_tells_of_a_clock_that_is_wrong() {
    let builder = Builder::new().upstream("primary", Upstream::nowhere());
    let AnyConnection::Postgres(mut conn) = builder.migrated() else { return };
    conn.batch_execute(
        "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
             $$ SELECT pg_catalog.clock_timestamp() + interval '5 seconds' $$;
         DO $$ BEGIN
             EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog',
                 current_database());
         END $$",
    )
    .unwrap();
    drop(conn);
    let process = Process::start(builder, &[]);
    Watched::before_the_start(process.admin_address).fires(&["SluiceClockDrift"]);
}
