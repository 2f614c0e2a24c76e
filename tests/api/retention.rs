//! P9: what is over goes by itself, day by day, whatever is killed on the way; the books balance
//! throughout, and no balance changes.

use std::process::{Command, Stdio};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use sluice::db::AnyConnection;
use sluice::db::models::chores;
use sluice::db::retention::newest_exchange;
use sluice::db::schema::{accounts, api_keys, ledger_entries, usage_logs};
use sluice::domain::clock::UnixMillis;
use sluice::jobs::compaction::Compaction;
use sluice::jobs::job::{Job, RunJob};
use sluice::jobs::purge::Purge;
use sluice::jobs::retention::Cutoffs;

use crate::support::app::{Builder, TestApp, verify_books};
use crate::support::process;
use crate::support::upstream::Upstream;
use crate::support::usage_rows;
use crate::support::wait::eventually;

const DAY: i64 = 24 * 60 * 60 * 1000;
const ACCOUNTS: i64 = 50;
const DAYS: i64 = 200;
const KEPT_DAYS: i64 = 90;
/// A purge by fixed limits does not look at it.
const NOW: UnixMillis = UnixMillis::from_millis(0);

/// What happened at a moment.
struct Use {
    at: i64,
    account: i64,
    cost: i64,
}

/// Usage of `DAYS` days from `start` on, at any time of day, some of it free.
fn usage(start: i64) -> Vec<Use> {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: i64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        i64::try_from(seed % u64::try_from(below).unwrap()).unwrap()
    };
    let mut all = Vec::new();
    for day in 0..DAYS {
        for account in 0..ACCOUNTS {
            let cost = if next(10) == 0 { 0 } else { next(2_000_000) };
            all.push(Use { at: start + day * DAY + next(DAY), account, cost });
        }
    }
    all
}

/// Writes history as the ledger would have written it.
fn write(conn: &mut AnyConnection, uses: &[Use]) {
    let ids: Vec<i64> =
        accounts::table.select(accounts::id).order(accounts::id).load(conn).unwrap();
    let keys: Vec<i64> =
        api_keys::table.select(api_keys::id).order(api_keys::id).load(conn).unwrap();
    conn.batch_execute("BEGIN").unwrap();
    for (number, one) in uses.iter().enumerate() {
        let at = usize::try_from(one.account).unwrap();
        let id = format!("req_{number:024}");
        usage_rows::insert(conn, &id, (ids[at], keys[at]), one.at, one.cost);
        if one.cost > 0 {
            let entry = (
                ledger_entries::account_id.eq(ids[at]),
                ledger_entries::kind.eq("usage"),
                ledger_entries::reference.eq(&id),
                ledger_entries::amount_nanousd.eq(-one.cost),
                ledger_entries::created_at.eq(one.at),
            );
            diesel::insert_into(ledger_entries::table).values(entry).execute(conn).unwrap();
        }
    }
    for (at, id) in ids.iter().enumerate() {
        let account = i64::try_from(at).unwrap();
        let spent: i64 = uses.iter().filter(|one| one.account == account).map(|one| one.cost).sum();
        diesel::update(accounts::table.find(id))
            .set(accounts::available_nanousd.eq(accounts::available_nanousd - spent))
            .execute(conn)
            .unwrap();
        diesel::update(api_keys::table.filter(api_keys::account_id.eq(id)))
            .set(api_keys::spent_nanousd.eq(spent))
            .execute(conn)
            .unwrap();
    }
    conn.batch_execute("COMMIT").unwrap();
}

fn balances(conn: &mut AnyConnection) -> Vec<(i64, i64)> {
    accounts::table
        .order(accounts::id)
        .select((accounts::available_nanousd, accounts::reserved_nanousd))
        .load(conn)
        .unwrap()
}

/// Nothing older than the limit, nothing younger gone, books and balances as they were.
fn prove(conn: &mut AnyConnection, uses: &[Use], now: i64, before: &[(i64, i64)]) {
    let limit = now - KEPT_DAYS * DAY;
    let kept: Vec<i64> = usage_logs::table
        .order(usage_logs::created_at)
        .select(usage_logs::created_at)
        .load(conn)
        .unwrap();
    let mut expected: Vec<i64> = uses.iter().map(|one| one.at).filter(|at| *at >= limit).collect();
    expected.sort_unstable();
    assert_eq!(kept, expected);
    assert_eq!(balances(conn), before);
    verify_books(conn);
    let gone: i64 = uses.iter().filter(|one| one.at < limit).map(|one| one.cost).sum();
    let carried: Vec<i64> = ledger_entries::table
        .filter(ledger_entries::kind.eq("carry_forward"))
        .select(ledger_entries::amount_nanousd)
        .load(conn)
        .unwrap();
    assert!(carried.len() <= usize::try_from(ACCOUNTS).unwrap());
    assert_eq!(carried.iter().sum::<i64>(), -gone);
}

/// `sluice purge` as of the test's day, killed after a while that differs from day to day.
fn kill_a_purge(config: &std::path::Path, day: &str, after: Duration) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["purge", "--as-of", day, "--config"])
        .arg(config)
        .env_clear()
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::park_timeout(after);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The server's own turn, to its end.
pub(crate) fn purge(app: &TestApp) {
    let done = || app.metric("sluice_chore_finished_timestamp_seconds{chore=\"purge\"}");
    let now = u64::try_from(app.clock.now().as_millis() / 1000).unwrap();
    app.scheduler.try_send(RunJob::of::<Purge>()).unwrap();
    eventually("the purge", || (done() == now).then_some(()));
}

#[test]
fn p9_two_hundred_days_go_day_by_day_and_the_books_balance_after_each() {
    let upstream = Upstream::start();
    // Long enough ago that a command that asks the system for the time may be told to act as of any
    // of these days.
    let start = 1_795_348_800_000 - 400 * DAY;
    let builder = Builder::new().upstream("primary", upstream.address);
    let config = builder.write();
    let mut conn = builder.migrated();
    let uses = usage(start);
    for _ in 0..ACCOUNTS {
        crate::support::app::open_account(&mut conn, "1");
    }
    write(&mut conn, &uses);
    let before = balances(&mut conn);
    verify_books(&mut conn);
    let app = builder.clock_at(start).start();
    for day in 1..=DAYS + KEPT_DAYS {
        app.clock.advance(DAY);
        let now = app.clock.now();
        if day > KEPT_DAYS && day % 3 == 0 {
            // At midnight, half a day before: it leaves a piece of the day's work done.
            let date = now.to_string();
            let after = Duration::from_millis(u64::try_from(day * 7 % 60).unwrap());
            kill_a_purge(&config, date.split('T').next().unwrap(), after);
            verify_books(&mut conn);
            assert_eq!(balances(&mut conn), before);
        }
        purge(&app);
        prove(&mut conn, &uses, now.as_millis(), &before);
    }
    assert_eq!(usage_logs::table.count().get_result::<i64>(&mut conn).unwrap(), 0);
    let dry =
        process::run(&["purge", "--dry-run", "--json", "--config", config.to_str().unwrap()], &[]);
    assert_eq!(dry.json()["usage_logs"], 0);
}

/// Without samples of whose a row is, PostgreSQL takes a list of names for half of a table and
/// reads all of it. And until a vacuum, its index has a place for each row that has gone, which
/// whoever looks from the start passes each time.
#[test]
fn p9_on_postgres_a_purge_reads_what_goes_and_no_more() {
    const ROWS: i64 = 10_000;
    let builder = Builder::new().upstream("primary", Upstream::nowhere());
    let config = builder.write();
    let mut conn = builder.migrated();
    if !matches!(conn, AnyConnection::Postgres(_)) {
        return;
    }
    write_short(&mut conn, ROWS);
    conn.batch_execute("ANALYZE").unwrap();
    let before = Reads::so_far(&mut conn);
    let done = process::run(&["purge", "--config", config.to_str().unwrap()], &[]);
    assert_eq!(done.code, 0, "{}", done.err);
    // What a session has read is counted when it ends.
    let after = eventually("the counts", || {
        let now = Reads::so_far(&mut conn);
        (now.found - before.found >= 2 * ROWS).then_some(now)
    });
    let whole = after.whole - before.whole;
    assert!(whole < ROWS, "{whole} rows were read in order to delete {ROWS}");
    let pages = after.pages - before.pages;
    let searches = after.searches - before.searches;
    assert!(searches > 0 && pages / searches < 8, "{pages} pages for {searches} searches");
    assert_eq!(usage_logs::table.count().get_result::<i64>(&mut conn).unwrap(), 0);
}

/// An account with so many uses, a millisecond apart.
fn write_short(conn: &mut AnyConnection, rows: i64) {
    crate::support::app::open_account(conn, "1");
    let uses: Vec<Use> = (0..rows).map(|at| Use { at, account: 0, cost: 1 }).collect();
    write(conn, &uses);
}

/// What PostgreSQL has counted.
#[derive(QueryableByName)]
struct Reads {
    /// Rows of tables that were read as a whole.
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    whole: i64,
    /// Rows that an index led to.
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    found: i64,
    /// Pages of the index by time that were looked at, and by how many searches.
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    pages: i64,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    searches: i64,
}

impl Reads {
    fn so_far(conn: &mut AnyConnection) -> Self {
        // What this session has done itself is not to be counted later.
        conn.batch_execute("SELECT pg_stat_force_next_flush()").unwrap();
        diesel::sql_query(
            "SELECT sum(seq_tup_read)::bigint AS whole, sum(idx_tup_fetch)::bigint AS found,
                 (SELECT idx_blks_hit + idx_blks_read FROM pg_statio_user_indexes
                  WHERE indexrelname = 'usage_logs_by_time') AS pages,
                 (SELECT idx_scan FROM pg_stat_user_indexes
                  WHERE indexrelname = 'usage_logs_by_time') AS searches
             FROM pg_stat_user_tables WHERE relname IN ('usage_logs', 'ledger_entries')",
        )
        .get_result(conn)
        .unwrap()
    }
}

/// A node that was slow to settle may write a row from before those that have gone already.
#[test]
fn p9_a_row_that_comes_late_goes_with_the_same_purge() {
    let builder = Builder::new().upstream("primary", Upstream::nowhere());
    let mut conn = builder.migrated();
    write_short(&mut conn, 200);
    let mut purge = purge_before(1000);
    assert!(!purge.step(&mut conn, NOW).unwrap().is_last);
    let key = api_keys::table.select((api_keys::account_id, api_keys::id));
    let key: (i64, i64) = key.first(&mut conn).unwrap();
    usage_rows::insert(&mut conn, "req_late", key, 0, 0);
    to_the_end(purge, &mut conn);
    assert_eq!(usage_logs::table.count().get_result::<i64>(&mut conn).unwrap(), 0);
}

/// Two nodes find the same rows, and one of them comes first.
#[test]
fn p9_of_two_purges_at_once_each_row_goes_with_one() {
    const ROWS: i64 = 3000;
    let builder = Builder::new().upstream("primary", Upstream::nowhere());
    let mut conns = [builder.migrated(), builder.migrated()];
    let [first, _] = &mut conns;
    write_short(first, ROWS);
    let before = balances(first);
    let gone: usize = std::thread::scope(|scope| {
        let purges =
            conns.each_mut().map(|conn| scope.spawn(move || to_the_end(purge_before(ROWS), conn)));
        purges.map(|purge| purge.join().unwrap()).into_iter().sum()
    });
    assert_eq!(i64::try_from(gone).unwrap(), ROWS);
    let [first, _] = &mut conns;
    assert_eq!(usage_logs::table.count().get_result::<i64>(first).unwrap(), 0);
    assert_eq!(balances(first), before);
    verify_books(first);
}

/// Names need not sort as times do, and many rows may be of one moment.
#[test]
fn p9_the_oldest_rows_go_first_and_a_purge_that_was_killed_is_continued() {
    const ROWS: i64 = 1000;
    const MOMENTS: i64 = ROWS / 40;
    let builder = Builder::new().upstream("primary", Upstream::nowhere());
    let mut conn = builder.migrated();
    crate::support::app::open_account(&mut conn, "1");
    let uses: Vec<Use> =
        (0..ROWS).rev().map(|row| Use { at: row % MOMENTS, account: 0, cost: row }).collect();
    write(&mut conn, &uses);
    let before = balances(&mut conn);
    for killed in 0..5 {
        let mut purge = purge_before(MOMENTS - 1);
        for _ in 0..killed {
            purge.step(&mut conn, NOW).unwrap();
        }
        drop(purge);
        verify_books(&mut conn);
        assert_eq!(balances(&mut conn), before);
        let left: Vec<i64> = times(&mut conn);
        let mut youngest: Vec<i64> = uses.iter().map(|one| one.at).collect();
        youngest.sort_unstable();
        assert_eq!(left, youngest.split_off(youngest.len() - left.len()));
    }
    assert!(times(&mut conn).len() < uses.len());
    to_the_end(purge_before(MOMENTS - 1), &mut conn);
    assert_eq!(times(&mut conn), [MOMENTS - 1; 40]);
    assert_eq!(balances(&mut conn), before);
    verify_books(&mut conn);
}

/// When the rows that are left were made.
fn times(conn: &mut AnyConnection) -> Vec<i64> {
    let rows = usage_logs::table.order(usage_logs::created_at);
    rows.select(usage_logs::created_at).load(conn).unwrap()
}

/// A purge takes more at once while nobody else uses the database, through whichever node.
#[test]
fn p9_a_purge_sees_who_uses_the_database() {
    let builder = Builder::new().upstream("primary", Upstream::nowhere());
    let mut conn = builder.migrated();
    assert_eq!(newest_exchange(&mut conn).unwrap(), None);
    write_short(&mut conn, 2);
    let settled = newest_exchange(&mut conn).unwrap().unwrap();
    conn.batch_execute(
        "INSERT INTO reservations
             (id, account_id, api_key_id, node_id, amount_nanousd, record, created_at)
         SELECT 'req_1', account_id, id, 'node', 0, '{}', 0 FROM api_keys",
    )
    .unwrap();
    let open = newest_exchange(&mut conn).unwrap().unwrap();
    assert!(open > settled, "{open} after {settled}");
    conn.batch_execute("DELETE FROM reservations").unwrap();
    assert_eq!(newest_exchange(&mut conn).unwrap(), Some(settled));
}

/// The alarm rings each day, and by default a compaction is due each week.
#[test]
fn p9_a_turn_that_comes_too_early_does_not_put_off_the_next_compaction() {
    let app = TestApp::sandboxed();
    let turn = || {
        let done = || app.metric("sluice_chore_finished_timestamp_seconds{chore=\"compact\"}");
        let now = u64::try_from(app.clock.now().as_millis() / 1000).unwrap();
        app.scheduler.try_send(RunJob::of::<Compaction>()).unwrap();
        eventually("the compaction's turn", || (done() == now).then_some(()));
        app.db(|conn| chores::finished_at(conn, "compact").unwrap())
    };
    let first = app.clock.now();
    assert_eq!(turn(), Some(first));
    for _ in 1..7 {
        app.clock.advance(DAY);
        assert_eq!(turn(), Some(first));
    }
    app.clock.advance(DAY);
    assert_eq!(turn(), Some(app.clock.now()));
}

/// A purge of what is from before a moment.
fn purge_before(millis: i64) -> Purge {
    let over = UnixMillis::from_millis(millis);
    Purge::new(Cutoffs { usage_before: over, now: over, claims_before: over })
}

/// How many rows went.
fn to_the_end(mut purge: Purge, conn: &mut AnyConnection) -> usize {
    let mut gone = 0;
    loop {
        let batch = purge.step(conn, NOW).unwrap();
        gone += batch.rows;
        if batch.is_last {
            return gone;
        }
    }
}
