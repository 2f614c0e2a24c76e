//! How long PostgreSQL may work on one statement.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use sluice::db::{AnyConnection, Database};
use sluice::jobs::compaction;

use crate::support::app::Builder;
use crate::support::database::TestDatabase;
use crate::support::process::Process;
use crate::support::sandbox::sandbox;
use crate::support::wait::{eventually, within};
use crate::support::wire::Wire;

#[derive(QueryableByName)]
struct Limit {
    #[diesel(sql_type = Text)]
    statement_timeout: String,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

fn limit(conn: &mut AnyConnection) -> String {
    let sql = "SELECT current_setting('statement_timeout') AS statement_timeout";
    diesel::sql_query(sql).get_result::<Limit>(conn).unwrap().statement_timeout
}

#[test]
fn a_statement_of_a_request_is_ended_in_time_and_a_compaction_is_not() {
    let Some(database) = TestDatabase::postgres() else { return };
    let mut holder = database.connect();
    let mut builder = Builder::new()
        .upstream("sandbox", sandbox())
        .set("database.lock_timeout_ms", 900)
        .set("database.statement_secs", 1);
    builder.database = Some(database);
    drop(builder.migrated());
    let mut settings = builder.settings();
    // Longer than the statement's, which no file may say: so that a compaction waits for a lock.
    settings.database.lock_timeout = std::time::Duration::from_secs(20);
    let open = Database::open(&settings.database).unwrap();
    let mut conn = open.connection().unwrap();
    let slow = "SELECT pg_sleep(1.5)";
    let error = conn.batch_execute(slow).unwrap_err().to_string();
    assert!(error.contains("statement timeout"), "{error}");
    // What a server lives by, and what migrates, has other limits.
    open.connect().unwrap().batch_execute(slow).unwrap();

    holder.batch_execute("BEGIN; LOCK TABLE usage_logs IN ACCESS SHARE MODE").unwrap();
    let compaction = std::thread::spawn(move || {
        let done = compaction::compact(&mut conn);
        (done, limit(&mut conn))
    });
    let waits = "SELECT COUNT(*) AS count FROM pg_stat_activity WHERE wait_event_type = 'Lock'
         AND datname = current_database() AND clock_timestamp() - query_start > INTERVAL '1.3
         seconds'";
    eventually("the compaction to wait for longer than a statement may", || {
        let waiting: Count = diesel::sql_query(waits).get_result(&mut holder).unwrap();
        (waiting.count > 0).then_some(())
    });
    holder.batch_execute("COMMIT").unwrap();
    let (done, after) = compaction.join().unwrap();
    done.unwrap();
    assert_eq!(after, "1s");
}

#[test]
fn a_stop_ends_in_time_although_the_database_says_nothing() {
    let Some(database) = TestDatabase::postgres() else { return };
    let wire = Wire::before(&database);
    let mut builder = Builder::new()
        .upstream("sandbox", sandbox())
        .set("server.drain_secs", 0)
        .set("stream.settle_wait_secs", 1)
        .set("database.lock_timeout_ms", 500)
        .set("database.answer_secs", 2);
    let mut beside = database.beside();
    beside.url = wire.url(&database);
    builder.database = Some(beside);
    let mut process = Process::start(builder, &[]);
    wire.keep();
    process.signal("TERM");
    // 0 to drain, 1 and 15 to settle, and two answers.
    let began = Instant::now();
    within(Duration::from_secs(40), || process.has_ended().then_some(())).expect("it ends");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}
