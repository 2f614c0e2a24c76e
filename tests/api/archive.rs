//! P14: everything that is held on a person, in one archive that other programs can read. No table
//! is forgotten in it.

mod filled;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;
use serde_json::Value;
use sluice::accounts::deletion::archive::parts::ArchivePart;
use sluice::db::AnyConnection;

pub(crate) use filled::fill;

use crate::schema;
use crate::support::app::TestApp;
use crate::support::client::{Connection, Response};
use crate::support::people::by;
use crate::support::wait::eventually;

const PATH: &str = "/api/v1/account/archive";

/// Opens an archive as anybody would, checks its sums, and prints it as JSON: what the manifest
/// says, and the rows of each file, of CSV without the line of names.
const READER: &str = r#"
import csv, hashlib, io, json, sys, zipfile
archive = zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read()))
assert archive.testzip() is None
names = archive.namelist()
assert names[-1] == "manifest.json", names
manifest = json.loads(archive.read("manifest.json"))
assert [file["name"] for file in manifest["files"]] == names[:-1]
files = {}
for file in manifest["files"]:
    data = archive.read(file["name"])
    assert len(data) == file["bytes"], file
    assert hashlib.sha256(data).hexdigest() == file["sha256"], file
    text = data.decode()
    if file["name"].endswith(".csv"):
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    else:
        rows = [json.loads(line) for line in text.splitlines()]
    assert len(rows) == file["rows"], file
    files[file["name"]] = rows
json.dump({"manifest": manifest, "files": files}, sys.stdout)
"#;

fn read(archive: &Response) -> Value {
    assert_eq!(archive.status, 200, "{}", archive.text());
    assert_eq!(archive.header("content-type"), Some("application/zip"));
    let mut python = Command::new("python3")
        .args(["-c", READER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(&archive.body).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "it cannot be read");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn p14_the_archive_has_everything_of_an_account_and_python_reads_it() {
    let app = TestApp::sandboxed();
    let (account, other) = (app.account("2"), app.account("3"));
    fill(&app, &account);
    let token = app.session_of(account.id);
    let archive = app.by(&token, "GET", PATH);
    let disposition = archive.header("content-disposition").unwrap();
    assert!(disposition.contains("filename=\"account-2026-11-22.zip\""), "{disposition}");
    let found = read(&archive);
    let manifest = &found["manifest"];
    assert_eq!(
        (&manifest["version"], &manifest["account_id"]),
        (&1.into(), &account.public_id.as_str().into())
    );
    for file in manifest["files"].as_array().unwrap() {
        assert_eq!(file["rows"], 1 + u64::from(file["name"] == "ledger.csv"), "{file}");
        assert!(!file["description"].as_str().unwrap().is_empty());
    }
    let only = |name: &str| &found["files"][name][0];
    assert_eq!(only("account.json")["preferences"]["wants_notices"], true);
    assert_eq!(only("keys.jsonl")["id"], account.key_id);
    assert_eq!(only("wallets.jsonl")["proof_signature"], format!("0x{}", "5a".repeat(65)));
    assert_eq!(only("refunds.jsonl")["deposit_id"], "dep_1");
    assert_eq!(only("decisions.jsonl")["detail"], "a reason");
    assert_eq!(only("usage.csv")["requested_model"], "claude-haiku-4-5");
    assert_eq!(only("ledger.csv")["amount"], "2.00");
    // Nothing of what is only kept as a hash, and nobody else.
    let text = found.to_string();
    let key_hash = sluice::domain::api_key::PlainApiKey::parse(&account.key).unwrap().hash();
    let hex = sluice::domain::evm::to_hex(key_hash.as_bytes());
    for never in
        [hex.trim_start_matches("0x"), other.public_id.as_str(), &"08".repeat(32), "token_hash"]
    {
        assert!(!text.contains(never), "{never}");
    }
    app.db(|conn| {
        conn.batch_execute("DELETE FROM reservations; DELETE FROM nodes WHERE id = 'nobody'")
            .unwrap();
    });
}

#[test]
fn p14_people_get_their_archive_whatever_their_standing_and_keys_do_not() {
    let app = TestApp::sandboxed();
    let person = app.person();
    let account = app.account("1");
    let by_key = app.ask(&crate::support::client::Request::get(PATH).key(&account.key));
    assert_eq!(by_key.status, 403, "{}", by_key.text());
    assert_eq!(app.by("sess_nothing", "GET", PATH).status, 401);
    let suspend = "UPDATE accounts SET status = 'suspended' WHERE id = ";
    app.db(|conn| conn.batch_execute(&format!("{suspend}{}", person.id.0)).unwrap());
    assert_eq!(
        read(&app.by(&person.token, "GET", PATH))["files"]["account.json"][0]["status"],
        "suspended"
    );
    let close = "UPDATE accounts SET status = 'active', closing_at = 1795348800000 WHERE id = ";
    app.db(|conn| conn.batch_execute(&format!("{close}{}", person.id.0)).unwrap());
    let closing = read(&app.by(&person.token, "GET", PATH));
    assert!(closing["files"]["account.json"][0]["closing_at"].is_string());
}

#[test]
fn one_archive_of_an_account_is_made_at_a_time_however_long_it_is() {
    let app = TestApp::sandboxed();
    let (person, other) = (app.person(), app.person());
    // Longer than what sockets hold, and nothing that could be pressed.
    app.db(|conn| {
        let id = person.id.0;
        let sql = match conn {
            AnyConnection::Sqlite(_) => format!(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
                 INSERT INTO audit_log (created_at, action, subject, account_id, detail)
                 SELECT 0, 'x', 'y', {id}, hex(randomblob(500)) FROM n"
            ),
            AnyConnection::Postgres(_) => format!(
                "INSERT INTO audit_log (created_at, action, subject, account_id, detail)
                 SELECT 0, 'x', 'y', {id}, (SELECT string_agg(md5(random()::text || k || i), '')
                 FROM generate_series(1, 31) AS p (k))
                 FROM generate_series(1, 30000) AS n (i)"
            ),
        };
        conn.batch_execute(&sql).unwrap();
    });
    let request = by(&person.token, "GET", PATH);
    let slow = Connection::open_narrow(app.address).send(&request).answer(false);
    let refused = app.ask(&request);
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (429, &"archive_running".into())
    );
    assert_eq!(app.by(&other.token, "GET", PATH).status, 200);
    slow.leave();
    let whole = eventually("the turn to be given back", || {
        let answer = app.ask(&request);
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(read(&whole)["files"]["decisions.jsonl"].as_array().unwrap().len(), 30_000);
}

/// Tables that refer to accounts and have no file of their own, each with the reason.
const LEFT_OUT: [(&str, &str); 3] = [
    ("address_balances", "what anybody reads on the chain; a note of the watcher's"),
    ("recovery_codes", "hashes alone; account.json says how many there are"),
    ("unsubscribe_tokens", "hashes alone, of links in mails that the account has"),
];

#[derive(QueryableByName)]
struct Reference {
    #[diesel(sql_type = Text)]
    from_table: String,
    #[diesel(sql_type = Text)]
    to_table: String,
}

// An address may be an account's own, whether or not the table says so.
const SQLITE: &str = "SELECT m.name AS from_table, f.\"table\" AS to_table
    FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table'
    UNION SELECT m.name, 'accounts' FROM sqlite_master m JOIN pragma_table_info(m.name) c
    WHERE m.type = 'table' AND c.name = 'account_id'
    UNION SELECT m.name, 'deposit_addresses' FROM sqlite_master m JOIN pragma_table_info(m.name) c
    WHERE m.type = 'table' AND c.name = 'address'";

const POSTGRES: &str =
    "SELECT conrelid::regclass::text AS from_table, confrelid::regclass::text AS to_table
    FROM pg_constraint WHERE contype = 'f'
    UNION SELECT table_name::text, 'accounts' FROM information_schema.columns
    WHERE table_schema = 'public' AND column_name = 'account_id'
    UNION SELECT table_name::text, 'deposit_addresses' FROM information_schema.columns
    WHERE table_schema = 'public' AND column_name = 'address'";

#[test]
fn p14_every_table_that_refers_to_an_account_is_in_the_archive_or_left_out_for_a_reason() {
    let app = TestApp::sandboxed();
    let references: Vec<Reference> = app.db(|conn| {
        let sql = if app.database().is_postgres() { POSTGRES } else { SQLITE };
        diesel::sql_query(sql).load(conn).unwrap()
    });
    let mut by_target: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Reference { from_table, to_table } in &references {
        by_target.entry(to_table).or_default().push(from_table);
    }
    let mut personal = BTreeSet::from(["accounts"]);
    let mut open = vec!["accounts"];
    while let Some(table) = open.pop() {
        for from in by_target.get(table).into_iter().flatten() {
            if personal.insert(from) {
                open.push(from);
            }
        }
    }
    let archived = ArchivePart::ALL.map(ArchivePart::table);
    let known: BTreeSet<&str> =
        archived.into_iter().chain(LEFT_OUT.map(|(table, _)| table)).collect();
    assert_eq!(personal, known, "left: the schema, right: the archive and what it leaves out");
}

/// Columns that a file has by another name than [`field_of`] gives them.
const RENAMED: [(&str, &str, &str); 7] = [
    ("accounts", "low_balance_nanousd", "preferences.low_balance"),
    ("accounts", "wants_notices", "preferences.wants_notices"),
    ("api_keys", "month", "month_begins_at"),
    ("reservations", "amount_nanousd", "held"),
    ("reservations", "api_key_id", "key_id"),
    ("refused_requests", "api_key_id", "key_id"),
    ("usage_logs", "api_key_id", "key_id"),
];

/// Columns that no file has, each with the reason. Row numbers of accounts and of rows with a
/// public id are not there either.
const COLUMNS_LEFT_OUT: [(&str, &str, &str); 29] = [
    ("deposit_arrivals", "id", "the order, in which they stand"),
    ("deposit_arrivals", "tries", "how often a node has looked"),
    ("deposit_arrivals", "check_at", "when a node looks again"),
    ("accounts", "password_hash", "a hash; has_password says whether there is one"),
    ("accounts", "totp_secret", "a secret; totp_enabled_at says whether it counts"),
    ("sessions", "credentials_epoch", EPOCH),
    ("sessions", "totp_secret", "a secret that does not count yet"),
    ("email_tokens", "credentials_epoch", EPOCH),
    ("log_in_steps", "credentials_epoch", EPOCH),
    ("outbox", "credentials_epoch", EPOCH),
    ("api_keys", "hash", "a hash"),
    ("api_keys", "previous_hash", "a hash"),
    ("sessions", "token_hash", "a hash"),
    ("email_tokens", "token_hash", "a hash"),
    ("log_in_steps", "token_hash", "a hash"),
    ("audit_log", "id", "the order, in which they stand"),
    ("outbox", "id", "the order, in which they stand"),
    ("refused_requests", "id", "the order, in which they stand"),
    ("outbox", "reference", "that one occasion writes once; kind and params say which it is"),
    ("outbox", "is_bulk", "in which line the mail waits, by its kind"),
    ("outbox", "is_notice", "in which line the mail waits, by its kind"),
    ("reservations", "node_id", "the operator's: which process answers"),
    ("reservations", "parked_at", "the operator's: since when its row cannot be written"),
    ("reservations", "parked_reason", "the operator's: why its row cannot be written"),
    ("usage_logs", "upstream", "the operator's: what an upstream is called"),
    ("deposit_addresses", "xpub_fingerprint", "the operator's: of which key the address is"),
    ("deposits", "wallet_id", "a row's number; payer is that wallet's address"),
    (
        "deposits",
        "revision",
        "that two nodes do not decide at once; updated_at says when it changed",
    ),
    ("deposits", "check_at", "when a node looks again"),
];

const EPOCH: &str = "the account's own of that time; account.json has what it is now";

/// The field that holds a column: amounts are dollars, and what people call a row is its id.
fn field_of(table: &str, column: &str) -> String {
    let renamed = RENAMED.iter().find(|(at, name, _)| (*at, *name) == (table, column));
    match (renamed, column) {
        (Some((_, _, field)), _) => (*field).to_owned(),
        (None, "public_id") => "id".to_owned(),
        (None, other) => other.trim_end_matches("_nanousd").to_owned(),
    }
}

/// Names of a row's fields, those within another one with a dot.
fn fields(row: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (name, value) in row.as_object().unwrap() {
        names.insert(name.clone());
        // A record is shown as it is stored.
        let inner = value.as_object().filter(|_| name != "record" && name != "params");
        names.extend(inner.into_iter().flatten().map(|(inner, _)| format!("{name}.{inner}")));
    }
    names
}

#[test]
fn p14_every_column_of_a_personal_table_is_in_the_archive_or_left_out_for_a_reason() {
    let app = TestApp::sandboxed();
    let account = app.account("2");
    fill(&app, &account);
    let tables = app.db(schema::tables);
    app.db(|conn| {
        let told = "UPDATE accounts SET spend_notified_at = 1795348800000 WHERE id = ";
        conn.batch_execute(&format!("{told}{}", account.id.0)).unwrap();
    });
    let archive = read(&app.by(&app.session_of(account.id), "GET", PATH));
    assert_eq!(
        archive["files"]["account.json"][0]["spend_notified_at"],
        "2026-11-22T12:00:00.000Z"
    );
    let mut missing = Vec::new();
    for part in ArchivePart::ALL {
        let row = &archive["files"][part.file()][0];
        assert!(row.is_object(), "{} has no row", part.file());
        let (table, shown) = (part.table(), fields(row));
        let columns: Vec<&str> = tables[table].iter().map(|(name, ..)| name.as_str()).collect();
        let has_name = columns.contains(&"public_id");
        for column in &columns {
            let is_number = *column == "account_id" || (*column == "id" && has_name);
            let is_left_out =
                COLUMNS_LEFT_OUT.iter().any(|(at, name, _)| (*at, *name) == (table, *column));
            if !is_number && !is_left_out && !shown.contains(&field_of(table, column)) {
                missing.push(format!("{table}.{column}"));
            }
        }
    }
    assert!(missing.is_empty(), "neither in the archive nor left out for a reason: {missing:?}");
    // Nothing is excused that is not there.
    let excused = COLUMNS_LEFT_OUT.iter().chain(&RENAMED);
    for (table, column, _) in excused {
        assert!(tables[*table].iter().any(|(name, ..)| name == column), "{table}.{column}");
    }
    app.db(|conn| {
        conn.batch_execute("DELETE FROM reservations; DELETE FROM nodes WHERE id = 'nobody'")
            .unwrap();
    });
}
