//! Groups as a server applies them: from memory where that is true, and on PostgreSQL without a
//! transaction. Held against the same commands in transactions on SQLite that remember nothing;
//! beside other nodes and the command line; and counted.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use sluice::db::AnyConnection;
use sluice::db::schema::{accounts, usage_logs};
use sluice::domain::ids::ApiKeyId;
use sluice::ledger::{self, BalanceCache, Busy, Command, Effect, EntryKind, Hold};

use super::{
    Desk, NOW, apply, checkpoint, extend, nanos, post, record, recover, reserve, reserved,
};
use crate::support::app::{Account, Builder, open_account};
use crate::support::client::{Connection, Request};
use crate::support::database::TestDatabase;
use crate::support::sandbox::{body, sandbox};
use crate::support::sse;
use crate::support::wire::Wire;

/// A node's connection, with what it remembers.
struct Node {
    conn: AnyConnection,
    memory: BalanceCache,
}

impl Node {
    fn of(database: &TestDatabase) -> Self {
        let mut conn = database.connect();
        ledger::prepare(&mut conn).unwrap();
        Self { conn, memory: BalanceCache::default() }
    }

    fn apply(&mut self, commands: &[Command]) -> Vec<Effect> {
        let session = (&mut self.conn, &mut self.memory);
        ledger::apply_unless(session, commands.iter().collect(), Busy::Skip, NOW, &|| false)
            .unwrap()
    }

    fn until_free(&mut self, command: &Command) -> Effect {
        std::iter::repeat_with(|| self.apply(std::slice::from_ref(command)).remove(0))
            .find(|outcome| *outcome != Effect::AccountBusy)
            .unwrap()
    }
}

/// The same accounts on each database.
fn twins() -> Option<(Desk, Desk)> {
    let shared = Desk::postgres()?;
    let folder = tempfile::tempdir().unwrap();
    Some((shared, Desk::at(TestDatabase::sqlite(folder.path()), folder)))
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn command(&mut self, accounts: &[(Account, ApiKeyId)]) -> Command {
        let who = usize::try_from(self.throw(3)).unwrap();
        let (account, key) = &accounts[who];
        let record = record(&format!("req_{who}_{}", self.throw(7)), account, *key);
        let amount = i64::try_from(self.throw(400)).unwrap();
        match self.throw(9) {
            0..=2 => reserve(&record, amount),
            3 => extend(&record, amount),
            4 => checkpoint(&record, amount),
            5 => {
                Command::Resume { record, hold: Hold::exactly(nanos(amount)), node_id: "n".into() }
            }
            6 => recover(&record),
            7 if amount < 100 => Command::Credit {
                account_id: account.id,
                kind: EntryKind::Adjustment,
                reference: format!("more-{amount}"),
                amount: nanos(amount),
            },
            _ => post(&record, amount),
        }
    }
}

/// Three accounts with a key each, one of which has a budget.
fn accounts_of(desk: &mut Desk) -> Vec<(Account, ApiKeyId)> {
    let accounts: Vec<Account> = (0..3).map(|_| desk.account("0.000002")).collect();
    let limit = "UPDATE api_keys SET total_budget_nanousd = 1500 WHERE account_id = 2";
    desk.conn.batch_execute(limit).unwrap();
    let with_key = |account| {
        let key = desk.key_of(&account);
        (account, key)
    };
    accounts.into_iter().map(with_key).collect()
}

/// Two writers that remember and one that does not, on the database of `shared`, decide as
/// transactions that remember nothing do on another.
fn decide_as_transactions_do(mut shared: Desk, mut file: Desk, rounds: usize) {
    let mut nodes = [Node::of(&shared.database), Node::of(&shared.database)];
    let (ours, theirs) = (accounts_of(&mut shared), accounts_of(&mut file));
    let (mut dice, mut same) = (Dice(88_172_645_463_325_252), Dice(88_172_645_463_325_252));
    let mut kinds = std::collections::BTreeSet::new();
    for round in 0..rounds {
        let size = 1 + dice.throw(5);
        same.throw(5);
        let commands: Vec<Command> = (0..size).map(|_| dice.command(&ours)).collect();
        let expected: Vec<Command> = (0..size).map(|_| same.command(&theirs)).collect();
        let expected = file.apply(&expected);
        let found = match round % 5 {
            0 => apply(&mut shared.conn, &commands),
            1 | 2 => nodes[0].apply(&commands),
            _ => nodes[1].apply(&commands),
        };
        assert_eq!(found, expected, "round {round}: {commands:#?}");
        kinds.extend(found.iter().map(std::mem::discriminant).map(|kind| format!("{kind:?}")));
        for ((account, _), (other, _)) in ours.iter().zip(&theirs) {
            assert_eq!(shared.balance(account), file.balance(other), "round {round}");
        }
    }
    // Reserved, Extended, Resumed, Checkpointed, Posted, Replaced, Already…, Insufficient,
    // KeyBudget, NotOpen, Credited.
    assert!(kinds.len() >= 10, "{kinds:?}");
}

#[test]
fn two_nodes_and_a_command_line_decide_as_transactions_on_a_file_do() {
    let Some((shared, file)) = twins() else { return };
    decide_as_transactions_do(shared, file, 1_500);
}

#[test]
fn a_server_beside_other_writers_of_its_file_decides_as_if_it_remembered_nothing() {
    let desk = || {
        let folder = tempfile::tempdir().unwrap();
        Desk::at(TestDatabase::sqlite(folder.path()), folder)
    };
    decide_as_transactions_do(desk(), desk(), 700);
}

#[test]
fn nodes_that_are_after_the_same_accounts_charge_each_exchange_once() {
    let Some(mut desk) = Desk::postgres() else { return };
    let accounts: Vec<_> = (0..2)
        .map(|_| {
            let account = open_account(&mut desk.conn, "0.000004");
            let key = desk.key_of(&account);
            (account, key)
        })
        .collect();
    // 4,000 nano-dollars each, in pieces of 100 of which 90 are used.
    let work = |number: usize| {
        let mut node = Node::of(&desk.database);
        let accounts = &accounts;
        move || {
            let mut posted = 0;
            for round in 0..60 {
                let (account, key) = &accounts[round % 2];
                let record = record(&format!("req_{number}_{round}"), account, *key);
                if node.until_free(&reserve(&record, 100)) == reserved(100) {
                    assert_eq!(node.until_free(&post(&record, 90)), Effect::Posted);
                    posted += 1;
                }
            }
            posted
        }
    };
    let posted: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|number| scope.spawn(work(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let rows: i64 = usage_logs::table.count().get_result(&mut desk.conn).unwrap();
    assert_eq!(usize::try_from(rows).unwrap(), posted);
    for (account, _) in &accounts {
        let (available, held) = desk.balance(account);
        // 43 times 90 leave 130, and once more 100 could be held.
        assert_eq!(held, 0);
        assert!((0..100).contains(&available), "{available}");
    }
}

/// What a node remembers of an account that others change.
fn remembers_only_what_is_so(
    mut desk: Desk,
) -> (Desk, impl FnMut(&mut Desk, i64) -> Effect + use<>) {
    let account = desk.account("0.000001");
    let account_id = account.id;
    let mut node = Node::of(&desk.database);
    let mut next = 0;
    let mut ask = move |desk: &mut Desk, amount| {
        next += 1;
        let record = desk.record(&format!("req_{next}"), &account);
        node.apply(&[reserve(&record, amount)]).remove(0)
    };
    assert_eq!(ask(&mut desk, 600), reserved(600));
    // It remembers 400, and refuses on what is there now.
    assert!(matches!(ask(&mut desk, 500), Effect::Insufficient(_)));
    crate::support::app::credit(&mut desk.conn, account_id, 1_000);
    assert_eq!(ask(&mut desk, 500), reserved(500));
    let set = |desk: &mut Desk, sql: &str| desk.conn.batch_execute(sql).unwrap();
    set(&mut desk, "UPDATE accounts SET status = 'suspended'");
    assert_eq!(ask(&mut desk, 1), Effect::AccountSuspended);
    set(&mut desk, "UPDATE accounts SET status = 'active'");
    assert_eq!(ask(&mut desk, 1), reserved(1));
    set(&mut desk, "UPDATE api_keys SET revoked_at = 1");
    assert_eq!(ask(&mut desk, 1), Effect::KeyRevoked);
    set(&mut desk, "UPDATE api_keys SET revoked_at = NULL, total_budget_nanousd = 1200");
    assert!(matches!(ask(&mut desk, 500), Effect::KeyBudget(_)));
    assert_eq!(ask(&mut desk, 99), reserved(99));
    (desk, ask)
}

#[test]
fn what_others_have_changed_in_a_servers_file_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    drop(remembers_only_what_is_so(Desk::at(TestDatabase::sqlite(folder.path()), folder)));
}

#[test]
fn what_was_decided_on_an_account_that_has_changed_is_decided_again() {
    let Some(desk) = Desk::postgres() else { return };
    let (mut desk, mut ask) = remembers_only_what_is_so(desk);
    // Whoever holds the account meanwhile, or held it and changed what hangs on it, comes first.
    let lock = desk.database.lock();
    assert_eq!(ask(&mut desk, 0), Effect::AccountBusy);
    drop(lock);
    assert_eq!(ask(&mut desk, 0), reserved(0));
    let reserved_nanousd: i64 =
        accounts::table.select(accounts::reserved_nanousd).first(&mut desk.conn).unwrap();
    assert_eq!(reserved_nanousd, 1_200);
}

#[derive(QueryableByName)]
struct Calls {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    calls: i64,
}

#[test]
fn a_request_alone_is_few_statements() {
    const REQUESTS: i64 = 20;
    let Some(database) = TestDatabase::postgres() else { return };
    let mut counting = database.connect();
    // Only of this database: what other tests ask would push its statements out of the list.
    let count = "CREATE EXTENSION pg_stat_statements;
         DO $$ BEGIN EXECUTE format(
             'ALTER DATABASE %I SET pg_stat_statements.track = top', current_database()
         ); END $$";
    if counting.batch_execute(count).is_err() {
        // A server of somebody's own may not have it; `scripts/test` has.
        return;
    }
    let mut builder = Builder::new().upstream("sandbox", sandbox());
    builder.database = Some(database);
    let app = builder.start();
    let account = app.account("1.00");
    let ask = || {
        let request = Request::post("/v1/messages", body(sse::MODEL, false, "text"));
        Connection::open(app.address).ask(&request.key(&account.key)).finish().expect_ok();
    };
    let mut calls = || {
        // Of the ledger's own: a node's lease and what is due now and then goes on beside it.
        let sql = "SELECT coalesce(sum(calls), 0)::bigint AS calls FROM pg_stat_statements
            WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND query LIKE ANY ('{%reservations%,%usage_logs%,%ledger_entries%,BEGIN%,COMMIT%}')
                AND query NOT LIKE '%pg_stat_statements%'";
        diesel::sql_query(sql).get_result::<Calls>(&mut counting).unwrap().calls
    };
    ask();
    let before = calls();
    for _ in 0..REQUESTS {
        ask();
    }
    let statements = calls() - before;
    // To hold and to charge, each a statement and a transaction of its own; and what the node does
    // beside it.
    assert!((2 * REQUESTS..=3 * REQUESTS).contains(&statements), "{statements}");
}

#[test]
fn a_request_alone_waits_for_the_database_twice() {
    const WAY: Duration = Duration::from_millis(15);
    let Some(database) = TestDatabase::postgres() else { return };
    let wire = Wire::before(&database);
    let mut beside = database.beside();
    beside.url = wire.url(&database);
    let mut builder = Builder::new().upstream("sandbox", sandbox());
    builder.database = Some(beside);
    let app = builder.start();
    let account = app.account("1.00");
    let median = || {
        let mut took: Vec<Duration> = (0..9)
            .map(|_| {
                let began = Instant::now();
                let request = Request::post("/v1/messages", body(sse::MODEL, false, "text"));
                Connection::open(app.address).ask(&request.key(&account.key)).finish().expect_ok();
                began.elapsed()
            })
            .collect();
        took.sort();
        took[4]
    };
    median();
    let near = median();
    wire.delay(WAY);
    let gained = median().saturating_sub(near);
    let trips = gained.as_secs_f64() / (2 * WAY).as_secs_f64();
    // Once to hold and once to charge: half a millisecond to the database makes a millisecond, and
    // less than three.
    assert!((1.9..3.0).contains(&trips), "{trips}");
}
