//! The ledger's commands on a real database, and servers that share one.

mod groups;
mod leases;
mod waits;
mod writes;

use std::sync::Arc;

use diesel::prelude::*;
use sluice::app::{ShutdownSignals, StartError};
use sluice::db::AnyConnection;
use sluice::db::schema::{accounts, api_keys};
use sluice::domain::clock::{Clock, UnixMillis};
use sluice::domain::ids::{AccountId, ApiKeyId, RequestId};
use sluice::domain::money::NanoUsd;
use sluice::domain::usage_record::{Endpoint, Outcome, UsageRecord};
use sluice::ledger::{self, Command, Effect, EntryKind, Hold, Shortage};
use tempfile::TempDir;

use crate::support::app::{Account, Builder, TestApp, open_account, serve, verify_books};
use crate::support::client::{Connection, Request};
use crate::support::database::TestDatabase;
use crate::support::sandbox::body;
use crate::support::sse;
use crate::support::upstream::Upstream;
use crate::support::wait::eventually;

const NOW: UnixMillis = UnixMillis::from_millis(1_795_348_000_000);

/// A database with tables and nobody else.
struct Desk {
    conn: AnyConnection,
    database: TestDatabase,
    _folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = TestDatabase::create(folder.path());
        Self::at(database, folder)
    }

    /// On PostgreSQL, if there is one to be had.
    fn postgres() -> Option<Self> {
        Some(Self::at(TestDatabase::postgres()?, tempfile::tempdir().unwrap()))
    }

    fn at(database: TestDatabase, folder: TempDir) -> Self {
        let mut conn = database.connect();
        sluice::db::migrate::run_pending(&mut conn).unwrap();
        Self { conn, database, _folder: folder }
    }

    fn account(&mut self, dollars: &str) -> Account {
        open_account(&mut self.conn, dollars)
    }

    fn apply(&mut self, commands: &[Command]) -> Vec<Effect> {
        apply(&mut self.conn, commands)
    }

    fn one(&mut self, command: &Command) -> Effect {
        self.apply(std::slice::from_ref(command)).remove(0)
    }

    fn balance(&mut self, account: &Account) -> (i64, i64) {
        accounts::table
            .find(account.id.0)
            .select((accounts::available_nanousd, accounts::reserved_nanousd))
            .first(&mut self.conn)
            .unwrap()
    }

    fn key_of(&mut self, account: &Account) -> ApiKeyId {
        let id = api_keys::table
            .filter(api_keys::account_id.eq(account.id.0))
            .select(api_keys::id)
            .first(&mut self.conn)
            .unwrap();
        ApiKeyId(id)
    }

    fn record(&mut self, id: &str, account: &Account) -> UsageRecord {
        record(id, account, self.key_of(account))
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let report = ledger::verify(&mut self.conn).unwrap();
            assert!(report.discrepancies.is_empty(), "{:#?}", report.discrepancies);
        }
    }
}

fn apply(conn: &mut AnyConnection, commands: &[Command]) -> Vec<Effect> {
    ledger::apply(conn, commands, NOW).unwrap()
}

fn record(id: &str, account: &Account, api_key_id: ApiKeyId) -> UsageRecord {
    UsageRecord {
        id: RequestId::from_stored(id.to_owned()),
        account_id: account.id,
        api_key_id,
        created_at: UnixMillis::from_millis(1_795_348_000_000),
        endpoint: Endpoint::Messages,
        requested_model: sse::MODEL.to_owned(),
        served_model: None,
        upstream: None,
        input_tokens: 0,
        output_tokens: 0,
        cache_write_5m_tokens: 0,
        cache_write_1h_tokens: 0,
        cache_read_tokens: 0,
        web_searches: 0,
        service_tier: None,
        inference_geo: None,
        speed: None,
        price_version: "v".to_owned(),
        cost: NanoUsd::ZERO,
        first_byte_ms: None,
        latency_ms: 0,
        http_status: 200,
        ending: Outcome::Complete,
        is_estimated: false,
        passes: Vec::new(),
    }
}

fn nanos(count: i64) -> NanoUsd {
    NanoUsd::from_nanos(count)
}

fn reserved(amount: i64) -> Effect {
    Effect::Reserved { amount: nanos(amount) }
}

fn extended(amount: i64) -> Effect {
    Effect::Extended { amount: nanos(amount) }
}

fn reserve(record: &UsageRecord, amount: i64) -> Command {
    Command::Reserve {
        record: record.clone(),
        hold: Hold::exactly(nanos(amount)),
        node_id: "n".into(),
    }
}

fn extend(record: &UsageRecord, amount: i64) -> Command {
    let (id, account_id) = (record.id.clone(), record.account_id);
    Command::Extend { id, account_id, hold: Hold::exactly(nanos(amount)) }
}

fn post(record: &UsageRecord, cost: i64) -> Command {
    Command::Post { record: UsageRecord { cost: nanos(cost), ..record.clone() } }
}

fn checkpoint(record: &UsageRecord, cost: i64) -> Command {
    let record = UsageRecord { cost: nanos(cost), ..record.clone() };
    Command::Checkpoint { record, amount: None }
}

fn recover(record: &UsageRecord) -> Command {
    let (id, account_id) = (record.id.clone(), record.account_id);
    Command::Recover { id, account_id, ending: Outcome::Killed, judged_at: None }
}

#[test]
fn every_command_may_be_repeated_without_harm() {
    let mut desk = Desk::new();
    let account = desk.account("1.00");
    let record = desk.record("req_1", &account);
    let deposit = Command::Credit {
        account_id: account.id,
        kind: EntryKind::Adjustment,
        reference: "chain:0xabc:0".to_owned(),
        amount: nanos(500),
    };
    let steps = [
        (deposit, Effect::Credited, Effect::AlreadyCredited, (1_000_000_500, 0)),
        (reserve(&record, 1000), reserved(1000), reserved(1000), (999_999_500, 1000)),
        (extend(&record, 3000), extended(3000), extended(3000), (999_997_500, 3000)),
        (extend(&record, 2000), extended(3000), extended(3000), (999_997_500, 3000)),
        (checkpoint(&record, 7), Effect::Checkpointed, Effect::Checkpointed, (999_997_500, 3000)),
        (post(&record, 700), Effect::Posted, Effect::AlreadyPosted, (999_999_800, 0)),
        (recover(&record), Effect::NotOpen, Effect::NotOpen, (999_999_800, 0)),
        (extend(&record, 9000), Effect::NotOpen, Effect::NotOpen, (999_999_800, 0)),
        (checkpoint(&record, 9), Effect::NotOpen, Effect::NotOpen, (999_999_800, 0)),
    ];
    for (command, first, again, balance) in steps {
        assert_eq!(desk.one(&command), first, "{command:?}");
        assert_eq!(desk.balance(&account), balance, "{command:?}");
        assert_eq!(desk.one(&command), again, "{command:?}");
        // Within one group too.
        assert_eq!(desk.apply(&[command.clone(), command.clone()]), [again.clone(), again]);
        assert_eq!(desk.balance(&account), balance, "{command:?}");
    }
}

#[test]
fn a_reference_counts_once_within_its_kind() {
    let mut desk = Desk::new();
    let account = desk.account("0");
    let credit = |kind, amount| Command::Credit {
        account_id: account.id,
        kind,
        reference: "same".to_owned(),
        amount: nanos(amount),
    };
    let group = [
        credit(EntryKind::Adjustment, 100),
        credit(EntryKind::Adjustment, 100),
        credit(EntryKind::Reversal, -30),
        credit(EntryKind::CarryForward, -10),
    ];
    let outcomes = desk.apply(&group);
    let expected = [Effect::Credited, Effect::AlreadyCredited, Effect::Credited, Effect::Credited];
    assert_eq!(outcomes, expected);
    assert_eq!(desk.balance(&account), (60, 0));
}

#[test]
fn a_group_is_decided_in_order_and_one_refusal_harms_no_other() {
    let mut desk = Desk::new();
    let (rich, poor) = (desk.account("1.00"), desk.account("0.000001"));
    let (a, b, c) =
        (desk.record("req_a", &rich), desk.record("req_b", &poor), desk.record("req_c", &poor));
    let mut ghost = a.clone();
    ghost.account_id = AccountId(4_000_000);
    ghost.id = RequestId::from_stored("req_ghost".to_owned());
    let outcomes = desk.apply(&[
        reserve(&b, 600),
        reserve(&c, 600),
        reserve(&a, 600),
        post(&b, 100),
        reserve(&c, 600),
        reserve(&ghost, 1),
        post(&a, 0),
    ]);
    let expected = [
        reserved(600),
        Effect::Insufficient(Shortage {
            available: nanos(400),
            spendable: nanos(400),
            attainable: nanos(1000),
            held: nanos(600),
        }),
        reserved(600),
        Effect::Posted,
        reserved(600),
        Effect::NoAccount,
        Effect::Posted,
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(desk.balance(&rich), (1_000_000_000, 0));
    assert_eq!(desk.balance(&poor), (300, 600));
}

#[test]
fn a_revoked_key_and_a_suspended_account_reserve_nothing() {
    let mut desk = Desk::new();
    let account = desk.account("1.00");
    let record = desk.record("req_1", &account);
    let set = |desk: &mut Desk, status: &str| {
        diesel::update(accounts::table.find(account.id.0))
            .set(accounts::status.eq(status))
            .execute(&mut desk.conn)
            .unwrap();
    };
    set(&mut desk, "suspended");
    assert_eq!(desk.one(&reserve(&record, 1)), Effect::AccountSuspended);
    set(&mut desk, "active");
    let now = UnixMillis::from_millis(1_795_348_000_001);
    sluice::db::models::api_keys::revoke(&mut desk.conn, &account.key_id, now).unwrap();
    assert_eq!(desk.one(&reserve(&record, 1)), Effect::KeyRevoked);
    assert_eq!(desk.balance(&account), (1_000_000_000, 0));
}

#[test]
fn a_post_without_a_reservation_is_not_taken() {
    let mut desk = Desk::new();
    let account = desk.account("1.00");
    let record = desk.record("req_never", &account);
    assert_eq!(desk.one(&post(&record, 5)), Effect::NotOpen);
    assert_eq!(desk.balance(&account), (1_000_000_000, 0));
}

#[test]
fn connections_that_write_at_once_lose_nothing() {
    let mut desk = Desk::new();
    let accounts: Vec<Account> = (0..3).map(|_| desk.account("1.00")).collect();
    let keys: Vec<ApiKeyId> = accounts.iter().map(|account| desk.key_of(account)).collect();
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let mut conn = desk.database.connect();
            let (accounts, keys) = (accounts.clone(), keys.clone());
            std::thread::spawn(move || {
                for round in 0..25 {
                    // Accounts in an order of its own: locks must not depend on it.
                    let group: Vec<Command> = (0..3)
                        .map(|step| (step * (writer + 1) + round) % 3)
                        .zip(0..)
                        .flat_map(|(at, step): (usize, usize)| {
                            let id = format!("req_{writer}_{round}_{step}");
                            let record = record(&id, &accounts[at], keys[at]);
                            [reserve(&record, 1000), post(&record, 10)]
                        })
                        .collect();
                    let outcomes = apply(&mut conn, &group);
                    assert_eq!(outcomes.iter().filter(|one| **one == Effect::Posted).count(), 3);
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    let left: i64 = accounts.iter().map(|account| desk.balance(account).0).sum();
    assert_eq!(left, 3_000_000_000 - 4 * 25 * 3 * 10);
    verify_books(&mut desk.conn);
}

#[test]
fn what_does_not_add_up_is_found() {
    let harm = [
        "UPDATE accounts SET available_nanousd = available_nanousd + 1",
        "UPDATE accounts SET available_nanousd = available_nanousd - 1, reserved_nanousd = 1",
        "UPDATE usage_logs SET cost_nanousd = cost_nanousd + 1",
        "DELETE FROM usage_logs",
        "DELETE FROM ledger_entries WHERE kind = 'usage'",
        "UPDATE ledger_entries SET amount_nanousd = amount_nanousd - 1 WHERE kind = 'adjustment'",
    ];
    for sql in harm {
        let mut desk = Desk::new();
        let account = desk.account("1.00");
        let record = desk.record("req_1", &account);
        desk.apply(&[reserve(&record, 1000), post(&record, 10)]);
        verify_books(&mut desk.conn);
        diesel::sql_query(sql).execute(&mut desk.conn).unwrap();
        let report = ledger::verify(&mut desk.conn).unwrap();
        assert!(!report.discrepancies.is_empty(), "{sql}");
        // So that the desk can be left in order.
        for table in ["usage_logs", "ledger_entries", "reservations", "api_keys", "accounts"] {
            diesel::sql_query(format!("DELETE FROM {table}")).execute(&mut desk.conn).unwrap();
        }
    }
}

#[test]
fn a_second_server_on_one_sqlite_file_is_refused_and_the_first_goes_on() {
    let app = TestApp::sandboxed();
    if app.database().is_postgres() {
        return;
    }
    let account = app.account("1.00");
    let (thread, started) =
        serve(Arc::clone(&app.settings), Clock::System, ShutdownSignals::default());
    assert!(matches!(started, Err(StartError::SecondServer)));
    thread.join().unwrap();
    app.messages(&account, &body(sse::MODEL, true, "text")).expect_ok();
    app.only_row(&account);
}

#[test]
fn a_file_can_be_served_again_after_a_stop() {
    let app = TestApp::sandboxed();
    let account = app.account("1.00");
    app.messages(&account, &body(sse::MODEL, true, "text")).expect_ok();
    let settings = Arc::clone(&app.settings);
    let (database, _folder) = app.finish();
    let stop = ShutdownSignals::default();
    let (thread, started) = serve(settings, Clock::System, stop.clone());
    let address = started.unwrap().clients;
    let request = Request::post("/v1/messages", body(sse::MODEL, true, "text")).key(&account.key);
    Connection::open(address).ask(&request).finish().expect_ok();
    stop.in_order.cancel();
    assert!(thread.join().unwrap());
    verify_books(&mut database.connect());
}

#[test]
fn two_nodes_on_one_postgres_share_balances_and_leave_each_others_exchanges_alone() {
    let upstream = Upstream::start();
    let first = Builder::new().upstream("primary", upstream.address).start();
    if !first.database().is_postgres() {
        return;
    }
    let stop = ShutdownSignals::default();
    let (thread, started) = serve(Arc::clone(&first.settings), first.clock.clone(), stop.clone());
    let second = started.unwrap().clients;
    let body = body(sse::MODEL, true, "text");
    let probe = first.account("1.00");
    let waiting = first.send(&probe, &body);
    let exchange = upstream.next();
    let hold = first.balance(&probe).reserved;
    // A third node starts meanwhile; it sweeps, and must not take this one for dead.
    let third_stop = ShutdownSignals::default();
    let (third, started) =
        serve(Arc::clone(&first.settings), first.clock.clone(), third_stop.clone());
    started.unwrap();
    assert_eq!(first.balance(&probe).reserved, hold);
    exchange.answer_stream(&sse::whole("Hello"));
    waiting.answer(false).finish().expect_ok();
    assert_eq!(first.only_row(&probe).ending.code(), "E1");

    // One balance for ten, asked for by twenty on each node.
    let account = first.account("0");
    first.db(|conn| crate::support::app::credit(conn, account.id, 10 * hold));
    let ask = |address| {
        let (key, body) = (account.key.clone(), body.clone());
        std::thread::spawn(move || {
            let request = Request::post("/v1/messages", body).key(&key);
            Connection::open(address).ask(&request).finish().status
        })
    };
    let clients: Vec<_> = (0..20).flat_map(|_| [ask(first.address), ask(second)]).collect();
    let admitted: Vec<_> = (0..10).map(|_| upstream.next()).collect();
    eventually("the rest to be refused", || {
        (clients.iter().filter(|client| client.is_finished()).count() == 30).then_some(())
    });
    for exchange in admitted {
        exchange.answer_stream(&sse::whole("Hello"));
    }
    let statuses: Vec<u16> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 10);
    assert_eq!(statuses.iter().filter(|status| **status == 402).count(), 30);
    first.settled(&account, 10);

    // What one node revokes, the other refuses on the next request.
    let other = first.account("1.00");
    let request = Request::post("/v1/messages", body).key(&other.key);
    let waiting = Connection::open(second).send(&request);
    upstream.next().answer_stream(&sse::whole("Hello"));
    waiting.answer(false).finish().expect_ok();
    first.revoke(&other);
    let refused = Connection::open(second).ask(&request).finish();
    refused.expect_error(401, "authentication_error");
    for (stop, thread) in [(stop, thread), (third_stop, third)] {
        stop.in_order.cancel();
        assert!(thread.join().unwrap());
    }
}
