//! Programs and schemas of different versions: who serves what, who migrates, and what a refusal
//! says.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use sluice::db::compatibility::{GENERATION, VERSION};
use sluice::db::migrate::{self, Patience};
use sluice::db::schema::schema_compatibility as compatibility;
use sluice::db::{AnyConnection, DbError};

use crate::support::app::{Builder, open_account, verify_books};
use crate::support::client::{Connection, Request};
use crate::support::database::TestDatabase;
use crate::support::desk::Cli;
use crate::support::process::{Process, run};
use crate::support::sandbox::{body, sandbox};
use crate::support::wait::eventually;

mod migrations;

/// What a newer version's migration may add without asking the programs that serve.
const EXPANSION: [&str; 5] = [
    "ALTER TABLE accounts ADD COLUMN nickname TEXT",
    "ALTER TABLE reservations ADD COLUMN region BIGINT NOT NULL DEFAULT 7",
    "ALTER TABLE usage_logs ADD COLUMN region BIGINT NOT NULL DEFAULT 7",
    "CREATE TABLE regions (id BIGINT PRIMARY KEY, name TEXT NOT NULL)",
    "INSERT INTO __diesel_schema_migrations (version, run_on) VALUES ('20991231000000', \
     CURRENT_TIMESTAMP)",
];

fn execute(conn: &mut AnyConnection, all: &[&str]) {
    for sql in all {
        let sql = match conn {
            // SQLite's strict tables know INTEGER alone.
            AnyConnection::Sqlite(_) => sql.replace("BIGINT", "INTEGER"),
            AnyConnection::Postgres(_) => (*sql).to_owned(),
        };
        conn.batch_execute(&sql).unwrap();
    }
}

/// Makes the schema one for newer programs than this one.
fn supersede(conn: &mut AnyConnection) {
    let row = (
        compatibility::oldest_generation.eq(GENERATION + 1),
        compatibility::migrated_by.eq("9.9.0"),
    );
    assert_eq!(diesel::update(compatibility::table).set(row).execute(conn).unwrap(), 1);
}

/// The sentence about it.
fn superseded() -> String {
    format!(
        "this program (version {VERSION}, generation {GENERATION}) is too old for the database, \
         which version 9.9.0 has migrated and which is for generation {} and newer: start that \
         version, or a newer one",
        GENERATION + 1
    )
}

fn builder() -> Builder {
    Builder::new().upstream("sandbox", sandbox())
}

/// Starts a server that must refuse, and returns what it says.
fn refused_start(builder: &Builder) -> String {
    // One that does not refuse ends at a port that is taken, instead of serving for ever.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let file = builder.write();
    let words = ["serve", "--config", file.to_str().unwrap()];
    let ran = run(&words, &[("SLUICE__SERVER__LISTEN", listen.as_str())]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    ran.err
}

#[test]
fn an_older_program_serves_a_schema_that_only_has_more_and_says_so() {
    let builder = builder();
    execute(&mut builder.migrated(), &EXPANSION);
    let mut process = Process::start(builder, &[]);
    let account = open_account(&mut process.database.connect(), "5");
    for wants_stream in [false, true] {
        let body = body("claude-haiku-4-5", wants_stream, "");
        let request = Request::post("/v1/messages", body).key(&account.key);
        Connection::open(process.address).ask(&request).finish().expect_ok();
    }
    let me = Request::get("/api/v1/account").key(&account.key);
    Connection::open(process.address).ask(&me).finish().expect_ok();
    let log = process.log();
    let said = log.lines().filter(|line| line.contains("which this one may serve"));
    assert_eq!(said.filter(|line| line.contains("20991231000000")).count(), 1, "{log}");
    let config = process.config.to_str().unwrap().to_owned();
    let ran = run(&["account", "create", "ada@example.org", "--config", &config], &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    process.signal("TERM");
    assert_eq!(process.wait(), Some(0), "{}", process.log());
    verify_books(&mut process.database.connect());
}

#[test]
fn a_schema_for_newer_programs_is_refused_with_one_sentence_and_left_as_it_is() {
    let builder = builder();
    let mut conn = builder.migrated();
    execute(&mut conn, &EXPANSION);
    supersede(&mut conn);
    let refusal = refused_start(&builder);
    assert!(refusal.contains(&superseded()), "{refusal}");
    let file = builder.write();
    for words in [&["account", "list"][..], &["books", "verify"], &["migrate"]] {
        let ran = run(&[words, &["--config", file.to_str().unwrap()]].concat(), &[]);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{words:?}: {}", ran.err);
        assert!(ran.err.contains(&superseded()), "{words:?}: {}", ran.err);
    }
}

#[test]
fn a_migration_that_nobody_explains_is_refused() {
    let forgotten = ["DELETE FROM schema_compatibility"];
    let before = [
        "DROP TABLE schema_compatibility",
        "DELETE FROM __diesel_schema_migrations WHERE version = '20261130000014'",
    ];
    for words in [&forgotten[..], &before] {
        let builder = builder();
        let mut conn = builder.migrated();
        execute(&mut conn, &EXPANSION);
        execute(&mut conn, words);
        let refusal = refused_start(&builder);
        let sentence = format!(
            "that this program (version {VERSION}) does not know (20991231000000), and does not \
             say which"
        );
        assert!(refusal.contains(&sentence), "{refusal}");
        assert!(matches!(migrate::run_pending(&mut conn), Err(DbError::Unfamiliar { .. })));
        assert!(matches!(migrate::ensure(&mut conn), Err(DbError::Unfamiliar { .. })));
    }
}

#[test]
fn a_server_whose_database_is_migrated_beyond_it_stops_in_order() {
    let mut process = Process::start(builder(), &[]);
    supersede(&mut process.database.connect());
    let end = eventually("the server to end", || {
        let ended = process.log().contains("the database no longer matches this program");
        ended.then(|| process.wait())
    });
    assert_eq!(end, Some(1), "{}", process.log());
    assert!(process.log().contains(&superseded()), "{}", process.log());
}

/// A database that lacks the last table of its schema.
fn outdated(conn: &mut AnyConnection) {
    execute(
        conn,
        &[
            include_str!("../../migrations/postgres/2026-11-30-000014_say_who_may_serve/down.sql"),
            "DELETE FROM __diesel_schema_migrations WHERE version = '20261130000014'",
        ],
    );
}

#[test]
fn a_newer_programs_commands_leave_the_schema_to_those_who_migrate() {
    let desk = Cli::new();
    assert_eq!(desk.run(&["migrate"]).code, 0);
    let mut conn = desk.database().connect();
    outdated(&mut conn);
    let commands: [&[&str]; 6] = [
        &["account", "create", "ada@example.org"],
        &["key", "list", "ada@example.org"],
        &["deposit", "list"],
        &["books", "verify"],
        &["policy", "list"],
        &["purge", "--dry-run"],
    ];
    for words in commands {
        let refusal = desk.refused(words);
        assert!(refusal.contains("run `sluice migrate`"), "{words:?}: {refusal}");
    }
    assert!(compatibility::table.count().get_result::<i64>(&mut conn).is_err(), "it migrated");
    let ran = desk.run(&["migrate"]);
    assert!(ran.code == 0 && ran.out.contains("ran 20261130000014"), "{}{}", ran.out, ran.err);
    desk.json(&["account", "create", "ada@example.org"]);
    let by: Option<String> =
        compatibility::table.select(compatibility::migrated_by).first(&mut conn).unwrap();
    assert_eq!(by.as_deref(), Some(VERSION));
}

#[test]
fn a_server_migrates_at_its_start_unless_the_operator_wants_to() {
    let builder = builder().set("database.migrate_at_start", false);
    let mut conn = builder.migrated();
    outdated(&mut conn);
    let refusal = refused_start(&builder);
    assert!(refusal.contains("run `sluice migrate`"), "{refusal}");
    let builder = builder.set("database.migrate_at_start", true);
    drop(builder.start().finish());
    // An empty database has nobody to ask.
    drop(self::builder().set("database.migrate_at_start", false).start());
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[test]
fn a_migration_waits_briefly_for_its_tables_and_names_itself_when_it_gives_up() {
    let Some(database) = TestDatabase::postgres() else { return };
    let mut conn = database.connect();
    migrate::run_pending(&mut conn).unwrap();
    execute(
        &mut conn,
        &[
            include_str!("../../migrations/postgres/2026-11-30-000011_find_arrivals/down.sql"),
            "DELETE FROM __diesel_schema_migrations WHERE version = '20261130000011'",
        ],
    );
    let mut holder = database.connect();
    holder.batch_execute("BEGIN; LOCK TABLE deposits IN ROW EXCLUSIVE MODE").unwrap();
    let patience = Patience { lock: Duration::from_millis(300), tries: 2 };
    let error = migrate::run_pending_within(&mut conn, patience).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, DbError::MigrationWaits { tries: 2, .. }), "{text}");
    assert!(text.contains("2026-11-30-000011_find_arrivals"), "{text}");
    assert!(text.contains("pg_stat_activity"), "{text}");
    // Nothing of it was done, nothing is locked, and the connection has its own limits again.
    let locks = "SELECT COUNT(*) AS count FROM pg_locks WHERE locktype = 'advisory' AND database =
         (SELECT oid FROM pg_database WHERE datname = current_database())";
    let found: Count = diesel::sql_query(locks).get_result(&mut conn).unwrap();
    assert_eq!(found.count, 0);
    let limit = "SELECT setting::bigint AS count FROM pg_settings WHERE name = 'lock_timeout'";
    let found: Count = diesel::sql_query(limit).get_result(&mut conn).unwrap();
    assert_eq!(found.count, 20_000);
    // Who comes back in time lets it go on.
    let patience = Patience { tries: 30, ..patience };
    let migrating = std::thread::spawn(move || migrate::run_pending_within(&mut conn, patience));
    let waits = "SELECT COUNT(*) AS count FROM pg_locks WHERE NOT granted AND database =
         (SELECT oid FROM pg_database WHERE datname = current_database())";
    eventually("the migration to wait", || {
        let waiting: Count = diesel::sql_query(waits).get_result(&mut holder).unwrap();
        (waiting.count > 0).then_some(())
    });
    holder.batch_execute("COMMIT").unwrap();
    assert_eq!(migrating.join().unwrap().unwrap(), ["20261130000011"]);
}

#[test]
fn a_migration_that_fails_briefly_is_tried_once_more() {
    let Some(database) = TestDatabase::postgres() else { return };
    let mut conn = database.connect();
    migrate::run_pending(&mut conn).unwrap();
    // What it makes is there already.
    let undone = ["DELETE FROM __diesel_schema_migrations WHERE version = '20261130000011'"];
    execute(&mut conn, &undone);
    let error = migrate::run_pending(&mut conn).unwrap_err();
    assert!(matches!(&error, DbError::Migrate(_)), "{error}");
    let down = include_str!("../../migrations/postgres/2026-11-30-000011_find_arrivals/down.sql");
    let mut other = database.connect();
    let migrating = std::thread::spawn(move || migrate::run_pending(&mut conn));
    // Its first try fails at once, and its second comes a second later.
    eventually("the pause after the first try", || {
        let sql = "SELECT COUNT(*) AS count FROM pg_stat_activity
             WHERE datname = current_database() AND query = 'SELECT pg_sleep(1)' AND state =
             'active'";
        let pausing: Count = diesel::sql_query(sql).get_result(&mut other).unwrap();
        (pausing.count > 0).then_some(())
    });
    execute(&mut other, &[down]);
    assert_eq!(migrating.join().unwrap().unwrap(), ["20261130000011"]);
}

#[test]
fn those_that_migrate_at_once_take_turns() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let database = TestDatabase::create(folder.path());
        let start = Arc::new(Barrier::new(4));
        // Servers, and commands that find nothing or half of it.
        let all: Vec<_> = [true, true, false, false]
            .map(|is_server| {
                let (mut conn, start) = (database.connect(), Arc::clone(&start));
                std::thread::spawn(move || {
                    start.wait();
                    if is_server {
                        return migrate::run_pending(&mut conn).unwrap().len();
                    }
                    migrate::ensure(&mut conn).unwrap();
                    0
                })
            })
            .into();
        let ran: Vec<usize> = all.into_iter().map(|one| one.join().unwrap()).collect();
        assert!(ran.iter().filter(|count| **count > 0).count() <= 1, "{ran:?}");
        assert_eq!(migrate::run_pending(&mut database.connect()).unwrap().len(), 0);
    }
}
