//! What the ledger waits for, and for how long: accounts that something else holds, and a database
//! that says nothing. Where there is one file, nobody holds a part of it.

use std::sync::Arc;
use std::time::Duration;

use actix::System;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use sluice::db::Database;
use sluice::domain::clock::Clock;
use sluice::ledger::actor::{LedgerHandle, LedgerThreads, Unavailable};
use sluice::ledger::{Command, Effect, EntryKind};
use sluice::metrics::Metrics;

use super::{Desk, NOW, checkpoint, nanos, post, recover, reserve, reserved};
use crate::support::app::{Account, Builder, verify_books};
use crate::support::client::{Connection, Request};
use crate::support::database::TestDatabase;
use crate::support::sandbox::{body, sandbox};
use crate::support::sse;
use crate::support::wait::{eventually, within};
use crate::support::wire::Wire;

fn ask(address: std::net::SocketAddr, account: &Account) -> Connection {
    let request = Request::post("/v1/messages", body(sse::MODEL, false, "text"));
    Connection::open(address).send(&request.key(&account.key))
}

#[test]
fn an_account_that_something_holds_keeps_nobody_else_waiting() {
    let Some(database) = TestDatabase::postgres() else { return };
    let mut builder =
        Builder::new().upstream("sandbox", sandbox()).set("database.lock_timeout_ms", 3000);
    builder.database = Some(database);
    let app = builder.start();
    let (held, free) = (app.account("1.00"), app.account("1.00"));
    let mut holder = app.database().connect();
    let sql = format!("BEGIN; SELECT 1 FROM accounts WHERE id = {} FOR UPDATE", held.id.0);
    holder.batch_execute(&sql).unwrap();
    let waiting = ask(app.address, &held);
    for _ in 0..20 {
        ask(app.address, &free).answer(false).finish().expect_ok();
    }
    // None of the twenty has waited for the lock's time, which would have ended the first one with
    // 503.
    holder.batch_execute("ROLLBACK").unwrap();
    waiting.answer(false).finish().expect_ok();
    app.settled(&held, 1);
    app.settled(&free, 20);
}

#[test]
fn what_is_no_settlement_waits_for_a_held_account_for_a_while_and_a_settlement_until_it_is_free() {
    let Some(database) = TestDatabase::postgres() else { return };
    let mut builder =
        Builder::new().upstream("sandbox", sandbox()).set("database.lock_timeout_ms", 600);
    builder.database = Some(database);
    let upstream = crate::support::upstream::Upstream::start();
    let app = builder.upstream("scripted", upstream.address).start();
    let account = app.account("1.00");
    let mut holder = app.database().connect();
    let sql = format!("BEGIN; SELECT 1 FROM accounts WHERE id = {} FOR UPDATE", account.id.0);
    holder.batch_execute(&sql).unwrap();
    ask(app.address, &account).answer(false).finish().expect_error(503, "api_error");
    holder.batch_execute("ROLLBACK").unwrap();
    // What may have been held for the refused one is let go.
    ask(app.address, &account).answer(false).finish().expect_ok();
    eventually("nothing is open", || (app.open_reservations() == 0).then_some(()));
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = diesel::sql_types::Bool)]
    is_so: bool,
}

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = diesel::sql_types::Text)]
    version: String,
}

/// The ledger alone, by a wire to the database.
struct Alone {
    desk: Desk,
    account: Account,
    wire: Wire,
    ledger: LedgerHandle,
    threads: LedgerThreads,
}

impl Alone {
    /// Where there is PostgreSQL; must run in an actix system.
    fn start() -> Option<Self> {
        let mut desk = Desk::postgres()?;
        let account = desk.account("1.00");
        let wire = Wire::before(&desk.database);
        let mut builder = Builder::new()
            .upstream("sandbox", sandbox())
            .set("database.lock_timeout_ms", 500)
            .set("database.answer_secs", 2);
        builder.database.as_mut().unwrap().url = wire.url(&desk.database);
        let database = Database::open(&builder.settings().database).unwrap();
        let (clock, metrics) = (Clock::manual(NOW.as_millis()), Arc::new(Metrics::new().unwrap()));
        let (ledger, threads) = LedgerHandle::start(&database, &clock, &metrics);
        Some(Self { desk, account, wire, ledger, threads })
    }

    fn credit(&self, reference: &str) -> Command {
        Command::Credit {
            account_id: self.account.id,
            kind: EntryKind::Adjustment,
            reference: reference.to_owned(),
            amount: nanos(10),
        }
    }

    /// The version of the account's row.
    fn version(&mut self) -> String {
        diesel::sql_query("SELECT xmin::text AS version FROM accounts")
            .get_result::<Version>(&mut self.desk.conn)
            .unwrap()
            .version
    }

    /// The first answer behind which the database says that something is so is lost.
    fn lose_answer(&self, sql: &'static str) {
        let mut conn = self.desk.database.connect();
        self.wire.lose_answer(move || {
            diesel::sql_query(sql).get_result::<Answer>(&mut conn).unwrap().is_so
        });
    }

    /// The books, once everything has come back.
    fn end(mut self) {
        self.threads.end();
        verify_books(&mut self.desk.conn);
    }
}

#[test]
fn a_connection_that_falls_silent_is_given_up_and_nothing_that_was_settled_is_lost() {
    System::new().block_on(async {
        let Some(mut alone) = Alone::start() else { return };
        let record = alone.desk.record("req_1", &alone.account);
        assert_eq!(alone.ledger.apply(reserve(&record, 500)).await, Ok(reserved(500)));
        alone.wire.silence();
        // A settlement waits for as long as it takes.
        assert_eq!(alone.ledger.apply(post(&record, 300)).await, Ok(Effect::Posted));
        assert_eq!(alone.ledger.probe().await, Ok(()));
        alone.wire.silence();
        // All else is refused in time, and asked again it is done.
        let probe = tokio::time::timeout(Duration::from_secs(10), alone.ledger.probe()).await;
        assert!(probe.expect("it does not wait for ever").is_err());
        let credited = alone.ledger.apply(alone.credit("a")).await;
        assert_eq!(credited, Ok(Effect::Credited));
        assert_eq!(alone.desk.balance(&alone.account), (999_999_710, 0));
        alone.end();
    });
}

#[test]
fn e12_a_commit_whose_answer_is_lost_opens_nothing_twice() {
    System::new().block_on(async {
        let Some(mut alone) = Alone::start() else { return };
        let record = alone.desk.record("req_1", &alone.account);
        // The line is there before the cut.
        assert_eq!(alone.ledger.probe().await, Ok(()));
        alone.lose_answer("SELECT count(*) = 1 AS is_so FROM reservations");
        assert_eq!(alone.ledger.apply(reserve(&record, 500)).await, Ok(reserved(500)));
        assert!(alone.wire.has_lost());
        assert_eq!(alone.desk.balance(&alone.account), (999_999_500, 500));
        alone.desk.one(&checkpoint(&record, 100));
        // The same for its settlement, while another node takes this one for dead.
        alone.lose_answer("SELECT count(*) = 1 AS is_so FROM usage_logs");
        assert_eq!(alone.ledger.apply(post(&record, 300)).await, Ok(Effect::AlreadyPosted));
        assert_eq!(alone.desk.one(&recover(&record)), Effect::NotOpen);
        assert_eq!(alone.desk.balance(&alone.account), (999_999_700, 0));
        alone.end();
    });
}

#[test]
fn what_was_given_up_and_arrives_late_holds_nothing() {
    System::new().block_on(async {
        let Some(mut alone) = Alone::start() else { return };
        // From now on the account is remembered, so that the first word of a reservation is its
        // write.
        let first = alone.desk.record("req_1", &alone.account);
        assert_eq!(alone.ledger.apply(reserve(&first, 500)).await, Ok(reserved(500)));
        let late = alone.desk.record("req_2", &alone.account);
        let before = alone.version();
        alone.wire.keep();
        assert_eq!(alone.ledger.apply(reserve(&late, 500)).await, Err(Unavailable));
        // New connections work again, and the void of it is done.
        alone.wire.silence();
        eventually("it is voided", || (alone.version() != before).then_some(()));
        alone.wire.deliver();
        let mut beside = alone.desk.database.connect();
        eventually("the write has arrived", || {
            let sql = "SELECT count(*) > 0 AS is_so FROM pg_stat_activity WHERE state = 'idle'
                AND datname = current_database() AND query LIKE 'WITH change%'
                AND query_start > now() - interval '1 second'";
            let arrived = diesel::sql_query(sql).get_result::<Answer>(&mut beside).unwrap();
            arrived.is_so.then_some(())
        });
        assert_eq!(alone.desk.balance(&alone.account), (999_999_500, 500));
        assert_eq!(alone.ledger.apply(post(&first, 500)).await, Ok(Effect::Posted));
        alone.end();
    });
}

#[test]
fn readiness_is_refused_while_the_ledger_does_not_get_on() {
    let Some(database) = TestDatabase::postgres() else { return };
    let mut builder = Builder::new()
        .upstream("sandbox", sandbox())
        .set("database.lock_timeout_ms", 1000)
        .set("database.answer_secs", 4);
    let wire = Wire::before(&database);
    let mut beside = database.beside();
    beside.url = wire.url(&database);
    builder.database = Some(beside);
    let app = builder.start();
    let readyz = || app.admin("/readyz").status;
    assert_eq!(readyz(), 200);
    wire.silence();
    within(Duration::from_secs(20), || (readyz() == 503).then_some(())).expect("it is not ready");
    // TCP ends what is silent; from then on it serves as before.
    wire.end_silent();
    within(Duration::from_secs(20), || (readyz() == 200).then_some(())).expect("it is ready again");
}
