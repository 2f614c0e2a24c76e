//! `sluice migrate-to`: from SQLite to PostgreSQL, interrupted on the way, with nothing lost and
//! nothing doubled.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use sluice::db::AnyConnection;
use sluice::db::copying::{LEFT_OUT, TABLES};
use sluice::db::schema::usage_logs;
use tempfile::TempDir;

use crate::support::app::{Account, Builder, TestApp, verify_books};
use crate::support::client::Request;
use crate::support::database::TestDatabase;
use crate::support::desk::Cli;
use crate::support::people::{PASSWORD, Person};
use crate::support::process::{Ran, run};
use crate::support::sandbox::{body, sandbox};
use crate::support::wait::eventually;
use crate::{archive, schema};

mod refusals;

/// Usage rows of the one who has most.
const ROWS: i64 = 300;

/// What no server of a test leaves behind.
const THE_REST: &str = "
INSERT INTO chains VALUES (1, 1, 1, 2, zeroblob(32), 1, 9223372036854775807, 'ok', 'ünïcode
\"quoted\" ''', 'n', 0, 0, 12000);
INSERT INTO status_days VALUES ('api', 20000, 1440, 1);
INSERT OR IGNORE INTO refused_requests (account_id, api_key_id, day, reason, requests)
SELECT account_id, id, 20000, 'credit', 3 FROM api_keys LIMIT 1;
INSERT INTO chain_blocks VALUES (1, 1, randomblob(32)), (1, 2, randomblob(32)), (10, -3,
randomblob(32));
INSERT INTO chain_candidates VALUES (1, randomblob(32), 2, 3, 4);
INSERT INTO chain_providers VALUES (1, 'it''s', NULL, 'a\\b\nc\u{1}', 1, NULL, 2, 3, 4), (1, '',
1, NULL, NULL, 1, 1, 1, 1);
INSERT INTO token_looks VALUES (1, 2, 3);
INSERT INTO derivation_counters VALUES ('ffffffff', 1);
INSERT INTO deposit_tombstones VALUES (randomblob(32)), (zeroblob(32));
INSERT INTO attempts VALUES (randomblob(32), 1, 2);
INSERT INTO address_balances SELECT 1, address, 2, '123456789012345678901234567890' FROM
deposit_addresses;
INSERT INTO deposit_cases VALUES (7, 'case_7', 1, zeroblob(32), 'claim', 0, 'open', NULL, '', 1,
2, 3);
INSERT INTO policy_versions VALUES (3, 'terms', 1, 2, 1, 'words', 'body', zeroblob(32), 1, 0, 0,
0, NULL);
INSERT INTO chores VALUES ('nothing', 1) ON CONFLICT DO NOTHING;
INSERT INTO unsubscribe_tokens SELECT randomblob(32), min(id), 9000000000000 FROM accounts;
INSERT INTO recovery_codes SELECT min(id), randomblob(32) FROM accounts;
INSERT INTO nodes (id, lease_expires_at) VALUES ('killed', 1);
";

/// An SQLite database that was served, with a row in every table.
struct Source {
    database: TestDatabase,
    folder: TempDir,
    account: Account,
    person: Person,
}

impl Source {
    fn make() -> Self {
        let mut builder = Builder::new().upstream("sandbox", sandbox());
        builder.database = Some(TestDatabase::sqlite(builder.folder.path()));
        let app = builder.start();
        let (account, person) = (app.account("2"), app.person());
        archive::fill(&app, &account);
        app.db(|conn| {
            conn.batch_execute("DELETE FROM reservations; DELETE FROM nodes").unwrap();
        });
        let (database, folder) = app.finish();
        let source = Self { database, folder, account, person };
        let mut conn = source.database.connect();
        conn.batch_execute(THE_REST).unwrap();
        source.fill(&mut conn);
        source
    }

    /// Usage without costs, a reservation that a killed server left, and an account whose id must
    /// not come again.
    fn fill(&self, conn: &mut AnyConnection) {
        let id = self.account.id.0;
        conn.batch_execute(&format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
             INSERT INTO usage_logs (id, account_id, api_key_id, created_at, endpoint,
             requested_model, input_tokens,
                 output_tokens, cache_write_5m_tokens, cache_write_1h_tokens, cache_read_tokens,
                 web_searches,
                 price_version, cost_nanousd, latency_ms, http_status, ending, is_estimated)
             SELECT 'req_bulk' || i, {id}, (SELECT min(id) FROM api_keys WHERE account_id = {id}),
             1795348800000 - i,
                 'messages', 'claude-haiku-4-5', i, i, 0, 0, 0, 0, 'v', 0, 1, 200, 'E1', i % 2
                 FROM n;
             INSERT INTO reservations (id, account_id, api_key_id, node_id, amount_nanousd,
             record, created_at)
             SELECT 'req_left', {id}, min(id), 'killed', 0, '{{}}', 0 FROM api_keys WHERE
             account_id = {id};
             INSERT INTO accounts (public_id, email, status, available_nanousd, reserved_nanousd,
             created_at)
             VALUES ('acct_gone', 'gone@example.org', 'active', 0, 0, 0);
             DELETE FROM accounts WHERE public_id = 'acct_gone'"
        ))
        .unwrap();
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("sluice.db")
    }

    fn config(&self) -> PathBuf {
        let file = self.folder.path().join("copy.toml");
        std::fs::write(&file, format!("[database]\nurl = \"{}\"\n", self.database.url)).unwrap();
        file
    }

    /// The words of the command, with the target's URL in the environment.
    fn words(&self) -> Vec<String> {
        let config = self.config();
        let words = ["migrate-to", "--url-env", "TARGET", "--batch-rows", "1", "--config"];
        words.into_iter().map(str::to_owned).chain([config.to_str().unwrap().to_owned()]).collect()
    }

    fn copy_to(&self, target: &TestDatabase) -> Ran {
        let words = self.words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        run(&words, &[("TARGET", &target.url)])
    }

    /// Begins a copy, and comes back when it has begun with a table.
    fn copy_until(&self, target: &TestDatabase, table: &str) -> Child {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .env_clear()
            .env("TARGET", &target.url)
            .args(self.words())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.as_mut().unwrap()).lines();
        let begun = lines.find(|line| line.as_ref().unwrap().starts_with(&format!("{table}: ")));
        begun.expect("it comes to that table").unwrap();
        child
    }
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

#[derive(QueryableByName)]
struct Word {
    #[diesel(sql_type = Text)]
    word: String,
}

fn number(conn: &mut AnyConnection, sql: &str) -> i64 {
    diesel::sql_query(sql).get_result::<Number>(conn).unwrap().number
}

fn copied(target: &TestDatabase, table: &str) -> i64 {
    let sql = format!(
        "SELECT COALESCE(MAX(copied), 0) AS number FROM sluice_copy WHERE table_name = '{table}'"
    );
    number(&mut target.connect(), &sql)
}

/// Whether a server would serve from it, and why not.
fn refusal_of(target: &TestDatabase) -> String {
    Cli::at_database(&target.url).refused(&["account", "list"])
}

fn serve(target: TestDatabase, secret: &Path) -> TestApp {
    let mut builder = Builder::new()
        .upstream("sandbox", sandbox())
        .set("privacy.tombstone_secret_file", format!("\"{}\"", secret.display()));
    builder.database = Some(target);
    builder.start()
}

#[test]
fn a_database_comes_over_whole_though_the_copy_is_interrupted_three_times_and_serves_at_once() {
    let Some(target) = TestDatabase::postgres() else { return };
    let source = Source::make();
    let before = std::fs::read(source.path()).unwrap();

    // By SIGKILL in the middle of a table.
    let mut child = source.copy_until(&target, "usage_logs");
    eventually("some rows", || (copied(&target, "usage_logs") >= 20).then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();
    let first = copied(&target, "usage_logs");
    assert!((20..ROWS).contains(&first), "{first}");
    assert!(refusal_of(&target).contains("unfinished copy"));
    // By a lost connection.
    let mut admin = target.connect();
    let mut child = source.copy_until(&target, "usage_logs");
    admin
        .batch_execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(copied(&target, "usage_logs") >= first, "it began anew");
    // And between two tables.
    let mut child = source.copy_until(&target, "reservations");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(copied(&target, "usage_logs") > ROWS, "it is not whole");
    assert!(refusal_of(&target).contains("unfinished copy"));

    let ran = source.copy_to(&target);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("going on with an unfinished copy"), "{}", ran.err);
    for word in [
        "the copy is complete",
        "usage_logs",
        "available 1.9",
        "sluice.db.secret",
        "move it away now",
    ] {
        assert!(ran.out.contains(word), "{word}: {}", ran.out);
    }
    assert_eq!(std::fs::read(source.path()).unwrap(), before, "the source has changed");
    // It is over: asked again, it says so.
    let again = source.copy_to(&target);
    assert!(again.code == 1 && again.err.contains("already a complete copy"), "{}", again.err);
    every_row_is_there(&source, &target);
    it_serves(&source, target);
}

/// Row by row as text, independently of how the program compares.
fn every_row_is_there(source: &Source, target: &TestDatabase) {
    let (mut there, mut here) = (source.database.connect(), target.connect());
    let tables = schema::tables(&mut there);
    for table in TABLES {
        let count = format!("SELECT COUNT(*) AS number FROM {table}");
        let rows = number(&mut there, &count);
        assert!(rows > 0, "{table} has no row, so that nothing is shown");
        assert_eq!(rows, number(&mut here, &count), "{table}");
        for (column, ..) in &tables[table] {
            let read = |conn: &mut AnyConnection| {
                let (sqlite, postgres) = (
                    format!(
                        "CASE typeof({column}) WHEN 'blob' THEN lower(hex({column}))
                         ELSE COALESCE(CAST({column} AS TEXT), 'NULL') END"
                    ),
                    format!(
                        "CASE pg_typeof({column})::text WHEN 'bytea' THEN substr({column}::text, 3)
                         WHEN 'boolean' THEN CASE {column}::text WHEN 'true' THEN '1' ELSE '0' END
                         ELSE {column}::text END"
                    ),
                );
                let word = match conn {
                    AnyConnection::Sqlite(_) => sqlite,
                    AnyConnection::Postgres(_) => format!("COALESCE({postgres}, 'NULL')"),
                };
                let sql = format!("SELECT {word} AS word FROM {table}");
                let mut words: Vec<String> = diesel::sql_query(sql)
                    .load::<Word>(conn)
                    .unwrap()
                    .into_iter()
                    .map(|row| row.word)
                    .collect();
                words.sort_unstable();
                words
            };
            assert_eq!(read(&mut there), read(&mut here), "{table}.{column}");
        }
    }
}

fn it_serves(source: &Source, target: TestDatabase) {
    // What the killed server left has no record that can be read, and is not what this is about.
    target.connect().batch_execute("DELETE FROM reservations").unwrap();
    let last = number(
        &mut source.database.connect(),
        "SELECT seq AS number FROM sqlite_sequence WHERE name = 'accounts'",
    );
    let app = serve(target, &source.folder.path().join("sluice.db.secret"));
    let before = app.usage(&source.account).len();
    app.messages(&source.account, &body("claude-haiku-4-5", false, "")).expect_ok();
    assert_eq!(app.usage(&source.account).len(), before + 1);
    let rows: i64 = app.db(|conn| {
        let own = usage_logs::table.filter(usage_logs::account_id.eq(source.account.id.0));
        own.count().get_result(conn).unwrap()
    });
    assert_eq!(rows, ROWS + 2);
    assert!(app.is_logged_in(&source.person.token));
    let session = app.log_in(&source.person.email, PASSWORD).session();
    assert!(app.is_logged_in(&session));
    let shown = app.ask(&Request::get("/api/v1/usage").key(&source.account.key));
    assert_eq!(shown.status, 200, "{}", shown.text());
    // An id that was given out is not given out again.
    let next = app.account("1");
    assert_eq!(next.id.0, last + 1);
    app.db(verify_books);
}

#[test]
fn every_table_is_copied_or_left_out_for_a_reason_and_in_an_order_that_can_be_inserted() {
    let folder = tempfile::tempdir().unwrap();
    let mut conn = TestDatabase::sqlite(folder.path()).connect();
    let tables: BTreeSet<String> = schema::tables(&mut conn).into_keys().collect();
    let left_out = LEFT_OUT.iter().map(|(table, _)| *table);
    let known: Vec<&str> = TABLES.into_iter().chain(left_out).collect();
    assert_eq!(known.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), tables);
    assert_eq!(known.len(), tables.len(), "one stands there twice");
    for (index, table) in TABLES.iter().enumerate() {
        let sql = format!("SELECT \"table\" AS word FROM pragma_foreign_key_list('{table}')");
        for Word { word } in diesel::sql_query(sql).load(&mut conn).unwrap() {
            assert!(TABLES[..index].contains(&word.as_str()), "{table} comes before {word}");
        }
    }
}
