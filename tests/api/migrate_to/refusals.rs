//! What `sluice migrate-to` does not touch, and what it says.

use diesel::connection::SimpleConnection;

use super::{Source, number, refusal_of};
use crate::support::app::{Builder, open_account};
use crate::support::database::TestDatabase;
use crate::support::desk::Cli;
use crate::support::process::{Process, run};
use crate::support::sandbox::sandbox;

/// An SQLite database with one account and nothing else.
fn small() -> (TestDatabase, tempfile::TempDir, Cli) {
    let folder = tempfile::tempdir().unwrap();
    let database = TestDatabase::sqlite(folder.path());
    let desk = Cli::at_database(&database.url);
    assert_eq!(desk.run(&["migrate"]).code, 0);
    open_account(&mut database.connect(), "5");
    (database, folder, desk)
}

#[test]
fn a_source_that_is_in_use_or_no_sqlite_is_refused() {
    let mut builder = Builder::new().upstream("sandbox", sandbox());
    builder.database = Some(TestDatabase::sqlite(builder.folder.path()));
    let mut process = Process::start(builder, &[]);
    let nowhere = "postgres://u:canary-7d1@127.0.0.1:1/nowhere";
    let desk = Cli::at_database(&process.database.url);
    let refusal = desk.refused(&["migrate-to", nowhere]);
    assert!(
        refusal.contains(
            "another process has this SQLite file: a server or `sluice migrate-to`; end it first"
        ),
        "{refusal}"
    );
    process.signal("TERM");
    assert_eq!(process.wait(), Some(0));
    let refusal = desk.refused(&["migrate-to", nowhere]);
    assert!(refusal.contains("cannot be reached"), "{refusal}");
    assert!(!refusal.contains("canary-7d1"), "{refusal}");

    let refusal = Cli::at_database("postgres://127.0.0.1/d").refused(&["migrate-to", nowhere]);
    assert!(refusal.contains("what is copied is the SQLite database"), "{refusal}");
    let absent = Cli::at_database("sqlite:///nowhere/sluice.db");
    assert!(absent.refused(&["migrate-to", nowhere]).contains("cannot be read"));
}

#[test]
fn a_target_comes_from_one_place_and_must_be_postgresql() {
    let (_database, _folder, desk) = small();
    let refusal = desk.refused(&["migrate-to", "sqlite://other.db"]);
    assert!(refusal.contains("the target must be postgres://"), "{refusal}");
    let refusal = desk.refused(&["migrate-to", "postgres://u:canary-7d1@db.example.org/d"]);
    assert!(refusal.contains("verify-full") && !refusal.contains("canary-7d1"), "{refusal}");
    let refusal = desk.refused(&["migrate-to", "--url-env", "ABSENT"]);
    assert!(refusal.contains("the environment variable ABSENT is not set"), "{refusal}");
    let refusal = desk.refused(&["migrate-to", "--url-file", "/nowhere"]);
    assert!(refusal.contains("the file /nowhere cannot be read"), "{refusal}");
    let file = desk.put("postgres://u:canary-7d1@127.0.0.1:1/d\n");
    assert!(desk.refused(&["migrate-to", "--url-file", &file]).contains("cannot be reached"));
    assert_eq!(run(&["migrate-to"], &[]).code, 2);
    assert_eq!(run(&["migrate-to", "postgres://a/b", "--url-env", "X"], &[]).code, 2);
}

#[test]
fn a_source_of_another_schema_is_refused() {
    let (database, _folder, desk) = small();
    let sql = "DELETE FROM __diesel_schema_migrations WHERE version = '20261130000013'";
    database.connect().batch_execute(sql).unwrap();
    let refusal = desk.refused(&["migrate-to", "postgres://127.0.0.1:1/d"]);
    assert!(refusal.contains("run `sluice migrate`"), "{refusal}");
}

/// What a newer version's migration adds, which older programs may serve.
const NEWER: &str = "
ALTER TABLE accounts ADD COLUMN nickname TEXT;
INSERT INTO __diesel_schema_migrations (version, run_on) VALUES ('20991231000000',
CURRENT_TIMESTAMP);
UPDATE schema_compatibility SET migrated_by = '9.9.0';
";

#[test]
fn what_a_newer_version_has_added_does_not_stay_behind() {
    let (database, _folder, desk) = small();
    let mut conn = database.connect();
    conn.batch_execute(NEWER).unwrap();
    assert_eq!(desk.run(&["account", "list"]).code, 0, "it cannot be served either");
    let refusal = desk.refused(&["migrate-to", "postgres://127.0.0.1:1/d"]);
    assert!(refusal.contains("version 9.9.0 has migrated"), "{refusal}");
    assert!(refusal.contains("20991231000000"), "{refusal}");
    assert!(refusal.contains("copy with version 9.9.0, or a newer one"), "{refusal}");
}

#[test]
fn books_that_do_not_balance_are_refused_before_the_target_is_asked_for() {
    let (database, _folder, desk) = small();
    let sql = "UPDATE accounts SET available_nanousd = available_nanousd + 1";
    database.connect().batch_execute(sql).unwrap();
    let refusal = desk.refused(&["migrate-to", "postgres://127.0.0.1:1/d"]);
    assert!(refusal.contains("the books in SQLite do not balance (entries = "), "{refusal}");
    assert!(refusal.contains("nothing was copied. Keep a copy of the file"), "{refusal}");
}

#[test]
fn a_target_with_a_newer_schema_than_the_source_is_left_alone() {
    let Some(target) = TestDatabase::postgres() else { return };
    let (_database, _folder, desk) = small();
    let there = Cli::at_database(&target.url);
    assert_eq!(there.run(&["migrate"]).code, 0);
    target.connect().batch_execute(NEWER).unwrap();
    let refusal = desk.refused(&["migrate-to", &target.url]);
    assert!(refusal.contains("the target and the SQLite database differ"), "{refusal}");
    assert!(refusal.contains("20991231000000"), "{refusal}");
    assert_eq!(there.run(&["account", "list"]).code, 0, "it was made a copy");
}

#[test]
fn a_target_that_holds_anything_else_is_left_alone() {
    let Some(target) = TestDatabase::postgres() else { return };
    let (_database, _folder, desk) = small();
    let mut conn = target.connect();
    conn.batch_execute("CREATE TABLE theirs (id BIGINT)").unwrap();
    let refusal = desk.refused(&["migrate-to", &target.url]);
    assert!(refusal.contains("it has a table theirs that is not Sluice's"), "{refusal}");
    conn.batch_execute(
        "DROP TABLE theirs;
         CREATE TABLE theirs (id BIGINT) PARTITION BY HASH (id)",
    )
    .unwrap();
    let refusal = desk.refused(&["migrate-to", &target.url]);
    assert!(refusal.contains("it has a table theirs that is not Sluice's"), "{refusal}");
    // What a managed service brings is not theirs: views, and tables of an extension.
    conn.batch_execute(
        "DROP TABLE theirs;
         CREATE EXTENSION pg_stat_statements;
         CREATE TABLE part (id BIGINT);
         ALTER EXTENSION pg_stat_statements ADD TABLE part;
         CREATE VIEW looks AS SELECT 1 AS one",
    )
    .unwrap();
    assert_eq!(Cli::at_database(&target.url).run(&["migrate"]).code, 0);
    open_account(&mut conn, "7");
    let refusal = desk.refused(&["migrate-to", &target.url]);
    assert!(refusal.contains("it has rows in accounts"), "{refusal}");
    conn.batch_execute("DELETE FROM ledger_entries; DELETE FROM api_keys; DELETE FROM accounts")
        .unwrap();
    // Empty, with its schema: that is fine.
    let ran = desk.run(&["migrate-to", &target.url]);
    assert_eq!(ran.code, 0, "{}", ran.err);
}

#[test]
fn a_copy_that_is_whole_is_known_again_and_one_whose_source_went_on() {
    let Some(target) = TestDatabase::postgres() else { return };
    let (database, _folder, desk) = small();
    assert_eq!(desk.run(&["migrate-to", &target.url]).code, 0);
    let refusal = desk.refused(&["migrate-to", &target.url]);
    assert!(refusal.contains("already a complete copy"), "{refusal}");
    assert!(refusal.contains("set database.url"), "{refusal}");
    open_account(&mut database.connect(), "1");
    let refusal = desk.refused(&["migrate-to", &target.url]);
    assert!(refusal.contains("the SQLite file has changed since"), "{refusal}");
    let (_database, _folder, other) = small();
    let refusal = other.refused(&["migrate-to", &target.url]);
    assert!(refusal.contains("it has rows in"), "{refusal}");
}

#[test]
fn a_row_that_postgresql_cannot_take_is_named() {
    let Some(target) = TestDatabase::postgres() else { return };
    let (database, _folder, desk) = small();
    let mut conn = database.connect();
    let id = number(&mut conn, "SELECT max(id) AS number FROM api_keys");
    conn.batch_execute("UPDATE api_keys SET name = 'a' || char(0) || 'b'").unwrap();
    let ran = desk.run(&["migrate-to", &target.url]);
    let named = format!("the rows of api_keys with the keys {id} to {id} could not be copied");
    assert!(
        ran.code == 1 && ran.err.contains(&named) && ran.err.contains("--batch-rows 1"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("because: unsupported Unicode"), "{}", ran.err);

    let Some(target) = TestDatabase::postgres() else { return };
    conn.batch_execute("UPDATE api_keys SET name = CAST(x'61ff' AS TEXT)").unwrap();
    let ran = desk.run(&["migrate-to", &target.url]);
    let named = format!("the row of api_keys with the key {id} holds a text that is not UTF-8");
    assert!(ran.code == 1 && ran.err.contains(&named), "{}", ran.err);
}

#[test]
fn whoever_copies_already_is_named_and_a_session_that_is_gone_does_not_stay() {
    let Some(target) = TestDatabase::postgres() else { return };
    let (_database, _folder, desk) = small();
    let mut holder = target.connect();
    holder.batch_execute("SELECT pg_advisory_lock(7361756963653)").unwrap();
    let pid = number(&mut holder, "SELECT pg_backend_pid()::bigint AS number");
    let refusal = desk.refused(&["migrate-to", &target.url]);
    assert!(refusal.contains(&format!("PostgreSQL's process {pid}")), "{refusal}");
    assert!(refusal.contains(&format!("SELECT pg_terminate_backend({pid})")), "{refusal}");
    let idle = "SELECT current_setting('tcp_keepalives_idle')::bigint * 1000000
         + current_setting('tcp_keepalives_interval')::bigint * 1000
         + current_setting('tcp_keepalives_count')::bigint AS number";
    assert_eq!(number(&mut holder, idle), 15_005_003);
    drop(holder);
    assert_eq!(desk.run(&["migrate-to", &target.url]).code, 0);
}

#[test]
fn an_unfinished_copy_is_gone_on_with_by_nothing_but_its_own_unchanged_source() {
    let Some(target) = TestDatabase::postgres() else { return };
    let source = Source::make();
    let mut child = source.copy_until(&target, "usage_logs");
    child.kill().unwrap();
    child.wait().unwrap();
    let (_database, _folder, other) = small();
    let refusal = other.refused(&["migrate-to", &target.url]);
    assert!(refusal.contains("unfinished copy of another database"), "{refusal}");

    // What was copied already is looked at again in the end.
    let mut conn = target.connect();
    conn.batch_execute("UPDATE accounts SET email = email || 'x' WHERE id = 1").unwrap();
    let ran = source.copy_to(&target);
    assert!(ran.code == 1 && ran.err.contains("the copy of accounts differs"), "{}", ran.err);
    assert!(refusal_of(&target).contains("unfinished copy"));

    source.database.connect().batch_execute("UPDATE accounts SET wants_notices = 0").unwrap();
    let ran = source.copy_to(&target);
    assert!(ran.code == 1 && ran.err.contains("has changed since"), "{}", ran.err);
    let refusal = Cli::at_database(&target.url).refused(&["migrate"]);
    assert!(refusal.contains("unfinished copy"), "{refusal}");
}
