//! Who is dead, who is only late, and what becomes of exchanges that were settled too early.

use std::time::Duration;

use diesel::prelude::*;
use sluice::db::AnyConnection;
use sluice::db::schema::{nodes, usage_logs};
use sluice::domain::clock::UnixMillis;
use sluice::domain::ids::ApiKeyId;
use sluice::domain::usage_record::{Outcome, UsageRecord};
use sluice::ledger::{Command, Effect, Hold};

use super::{Desk, apply, checkpoint, nanos, post, record, recover, reserve, reserved};
use crate::support::app::{Builder, open_account, verify_books};
use crate::support::sandbox::sandbox;
use crate::support::wait::within;

/// A node's lease, until so many milliseconds.
fn lease(conn: &mut AnyConnection, node: &str, until: i64) {
    let row = (nodes::id.eq(node), nodes::lease_expires_at.eq(until));
    diesel::insert_into(nodes::table).values(row).execute(conn).unwrap();
}

/// When the lease that was renewed last runs out.
fn newest_lease(conn: &mut AnyConnection) -> Option<i64> {
    nodes::table.select(diesel::dsl::max(nodes::lease_expires_at)).first(conn).unwrap()
}

fn resume(record: &UsageRecord, amount: i64) -> Command {
    Command::Resume {
        record: record.clone(),
        hold: Hold::exactly(nanos(amount)),
        node_id: "n".into(),
    }
}

#[test]
fn a_node_whose_lease_ran_out_is_swept_by_the_next_one_that_starts() {
    let builder = Builder::new().upstream("sandbox", sandbox());
    let mut conn = builder.migrated();
    let account = open_account(&mut conn, "1.00");
    let row = record("req_dead", &account, ApiKeyId(1));
    let hold = Hold::exactly(nanos(500));
    let command = Command::Reserve { record: row, hold, node_id: "dead".into() };
    assert_eq!(apply(&mut conn, &[command]), [reserved(500)]);
    // A lease that ended a second before noon.
    lease(&mut conn, "dead", 1_795_348_799_000);
    drop(conn);
    let app = builder.start();
    // Where nodes share a database and none of them is heard, each has one lease to come back.
    if app.database().is_postgres() {
        assert_eq!(app.open_reservations(), 1);
        // A renewal that comes later than the one after next would begin the wait anew.
        for secs in [20, 10] {
            let before = app.db(newest_lease);
            app.clock.advance(secs * 1000);
            let is_renewed = || (app.db(newest_lease) > before).then_some(());
            within(Duration::from_secs(20), is_renewed).expect("a beat");
        }
    }
    let is_settled = || (app.open_reservations() == 0).then_some(());
    within(Duration::from_secs(40), is_settled).expect("it is settled with the next beats");
    assert_eq!(app.only_row(&account).ending.code(), "E12");
    assert_eq!(app.balance(&account).available, 1_000_000_000);
}

#[test]
fn a_node_that_has_renewed_its_lease_keeps_its_exchanges() {
    let mut desk = Desk::new();
    let account = desk.account("1.00");
    for (id, node) in [("req_late", "late"), ("req_dead", "dead"), ("req_gone", "gone")] {
        let (record, hold) = (desk.record(id, &account), Hold::exactly(nanos(500)));
        desk.one(&Command::Reserve { record, hold, node_id: node.into() });
    }
    // Two were found dead at 1,000. One of them was only late; a third has no lease at all.
    lease(&mut desk.conn, "late", 1_000);
    lease(&mut desk.conn, "dead", 999);
    let judged = |record: &UsageRecord| Command::Recover {
        id: record.id.clone(),
        account_id: record.account_id,
        ending: Outcome::Killed,
        judged_at: Some(UnixMillis::from_millis(1_000)),
    };
    let commands =
        ["req_late", "req_dead", "req_gone"].map(|id| judged(&desk.record(id, &account)));
    assert_eq!(desk.apply(&commands), [Effect::OwnerAlive, Effect::Posted, Effect::Posted]);
    assert_eq!(desk.balance(&account), (999_999_500, 500));
    let late = desk.record("req_late", &account);
    assert_eq!(desk.one(&post(&late, 7)), Effect::Posted);
    verify_books(&mut desk.conn);
}

#[test]
fn e12_an_id_that_was_settled_is_not_held_for_again() {
    let mut desk = Desk::new();
    let account = desk.account("1.00");
    let record = desk.record("req_lost", &account);
    let reserve = reserve(&record, 500);
    assert_eq!(desk.one(&reserve), reserved(500));
    // The answer is lost on the way, and another node takes this one for dead before it asks again.
    assert_eq!(desk.one(&recover(&record)), Effect::Posted);
    assert_eq!(desk.one(&reserve), Effect::NotOpen);
    assert_eq!(desk.balance(&account), (1_000_000_000, 0));
    verify_books(&mut desk.conn);
}

#[test]
fn e12_what_still_runs_is_opened_again_as_if_it_had_never_been_settled() {
    let mut desk = Desk::new();
    let account = desk.account("1.00");
    let record = desk.record("req_paused", &account);
    desk.apply(&[reserve(&record, 500), checkpoint(&record, 300), recover(&record)]);
    assert_eq!(desk.balance(&account), (999_999_700, 0));
    let resumed = |amount| Effect::Resumed { amount: nanos(amount) };
    assert_eq!(desk.one(&resume(&record, 600)), resumed(600));
    assert_eq!(desk.balance(&account), (999_999_400, 600));
    let rows = usage_logs::table.count().get_result::<i64>(&mut desk.conn).unwrap();
    assert_eq!(rows, 0, "nothing is left of the settlement");
    // Again, as after an answer that was lost.
    assert_eq!(desk.one(&resume(&record, 700)), resumed(600));
    assert_eq!(desk.one(&post(&record, 450)), Effect::Posted);
    assert_eq!(desk.balance(&account), (999_999_550, 0));
    // What has ended is not opened again.
    assert_eq!(desk.one(&resume(&record, 600)), Effect::NotOpen);
    verify_books(&mut desk.conn);
}

#[test]
fn e18_what_was_spent_meanwhile_is_not_held_for_an_exchange_that_still_runs() {
    let mut desk = Desk::new();
    let account = desk.account("0.000001");
    let record = desk.record("req_paused", &account);
    desk.apply(&[reserve(&record, 1000), checkpoint(&record, 300), recover(&record)]);
    // Another request takes what was let go.
    let other = desk.record("req_other", &account);
    assert_eq!(desk.one(&reserve(&other, 600)), reserved(600));
    let refused = desk.one(&resume(&record, 500));
    assert!(matches!(refused, Effect::Insufficient(_)), "{refused:?}");
    assert_eq!(desk.balance(&account), (100, 600), "it stays settled at its checkpoint");
    // Its end takes no more than there is, though it has cost more.
    let cut = UsageRecord { ending: Outcome::NotExtended, cost: nanos(900), ..record.clone() };
    assert_eq!(desk.one(&Command::Post { record: cut }), Effect::Replaced);
    assert_eq!(desk.balance(&account), (0, 600));
    desk.apply(&[post(&other, 600)]);
    assert_eq!(desk.balance(&account), (0, 0));
    verify_books(&mut desk.conn);
}

#[test]
fn e12_what_is_left_of_what_was_let_go_is_held_again() {
    let mut desk = Desk::new();
    let account = desk.account("0.000001");
    let record = desk.record("req_paused", &account);
    desk.apply(&[reserve(&record, 1000), checkpoint(&record, 300), recover(&record)]);
    let other = desk.record("req_other", &account);
    assert_eq!(desk.one(&reserve(&other, 600)), reserved(600));
    assert_eq!(desk.one(&resume(&record, 400)), Effect::Resumed { amount: nanos(400) });
    assert_eq!(desk.balance(&account), (0, 1000));
    desk.apply(&[post(&record, 400), post(&other, 600)]);
    assert_eq!(desk.balance(&account), (0, 0));
    verify_books(&mut desk.conn);
}

#[test]
fn e12_a_late_post_is_the_truth_up_or_down_and_an_estimate_only_if_it_is_more() {
    let mut desk = Desk::new();
    let account = desk.account("1.00");
    let mut spent = 0;
    for (id, cost, is_estimated, charged) in [
        ("req_more", 400, false, 400),
        ("req_less", 200, false, 200),
        ("req_nothing", 0, false, 0),
        ("req_same", 300, false, 300),
        ("req_guess", 250, true, 300),
        ("req_large_guess", 350, true, 350),
    ] {
        let record = UsageRecord { is_estimated, ..desk.record(id, &account) };
        desk.apply(&[reserve(&record, 500), checkpoint(&record, 300), recover(&record)]);
        let is_kept = id == "req_guess";
        let expected = if is_kept { Effect::AlreadyPosted } else { Effect::Replaced };
        assert_eq!(desk.one(&post(&record, cost)), expected, "{id}");
        assert_eq!(desk.one(&post(&record, cost)), Effect::AlreadyPosted, "{id}");
        let (ending, cost): (String, i64) = usage_logs::table
            .find(id)
            .select((usage_logs::ending, usage_logs::cost_nanousd))
            .first(&mut desk.conn)
            .unwrap();
        assert_eq!((ending.as_str(), cost), (if is_kept { "E12" } else { "E1" }, charged), "{id}");
        spent += charged;
        assert_eq!(desk.balance(&account), (1_000_000_000 - spent, 0), "{id}");
        verify_books(&mut desk.conn);
    }
}
