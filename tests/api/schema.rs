//! The tables: the usage log holds what the contract lists and nothing more, no table holds what
//! `docs/stored.md` does not know, and both databases have what the code thinks they have.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use sluice::db::{AnyConnection, migrate};

use crate::support::database::TestDatabase;

/// The columns of the usage log, as the privacy contract lists them.
const USAGE_COLUMNS: [&str; 24] = [
    "id",
    "account_id",
    "api_key_id",
    "created_at",
    "endpoint",
    "requested_model",
    "served_model",
    "upstream",
    "input_tokens",
    "output_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "cache_read_tokens",
    "web_searches",
    "service_tier",
    "inference_geo",
    "speed",
    "price_version",
    "cost_nanousd",
    "first_byte_ms",
    "latency_ms",
    "http_status",
    "ending",
    "is_estimated",
];

/// The columns of a payment: what its chain shows to anybody, whose it is, what it is worth, and
/// how far it is.
const DEPOSIT_COLUMNS: [&str; 28] = [
    "id",
    "public_id",
    "chain_id",
    "tx_hash",
    "ordinal",
    "token",
    "payer",
    "payee",
    "raw_amount",
    "block_number",
    "block_hash",
    "block_time",
    "state",
    "reason",
    "account_id",
    "wallet_id",
    "value_nanousd",
    "price_feed",
    "price_round",
    "price_answer",
    "credit_number",
    "revision",
    "check_at",
    "created_at",
    "updated_at",
    "early_credit_at",
    "early_value_nanousd",
    "is_provisional",
];

/// And of the wallet that it came from.
const WALLET_COLUMNS: [&str; 12] = [
    "id",
    "public_id",
    "account_id",
    "kind",
    "chain_id",
    "address",
    "proof_hash",
    "proof_signature",
    "proven_at",
    "ended_at",
    "end_reason",
    "label",
];

/// Table to columns, in order: name, type, whether it may be NULL.
pub(crate) type Tables = BTreeMap<String, Vec<(String, String, bool)>>;

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    table_name: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    data_type: String,
    #[diesel(sql_type = Bool)]
    is_nullable: bool,
}

const SQLITE: &str = "SELECT m.name AS table_name, c.name AS name, c.type AS data_type,
        c.\"notnull\" = 0 AND c.pk = 0 AS is_nullable
     FROM sqlite_master m JOIN pragma_table_info(m.name) c
     WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY m.name, c.cid";

const POSTGRES: &str = "SELECT table_name::text, column_name::text AS name, data_type::text,
        is_nullable = 'YES' AS is_nullable
     FROM information_schema.columns WHERE table_schema = 'public'
     ORDER BY table_name, ordinal_position";

/// What the migrations have made.
pub(crate) fn tables(conn: &mut AnyConnection) -> Tables {
    migrate::run_pending(conn).unwrap();
    let sql = match conn {
        AnyConnection::Sqlite(_) => SQLITE,
        AnyConnection::Postgres(_) => POSTGRES,
    };
    let mut tables = Tables::new();
    for column in diesel::sql_query(sql).load::<Column>(conn).unwrap() {
        if !column.table_name.starts_with("__diesel") {
            let entry = (column.name, column.data_type.to_lowercase(), column.is_nullable);
            tables.entry(column.table_name).or_default().push(entry);
        }
    }
    tables
}

/// What `diesel::table!` says.
fn declared() -> Tables {
    let source = concat!(
        include_str!("../../src/db/schema.rs"),
        include_str!("../../src/db/schema/arrivals.rs"),
        include_str!("../../src/db/schema/compatibility.rs"),
        include_str!("../../src/db/schema/journal.rs"),
        include_str!("../../src/db/schema/reading.rs"),
        include_str!("../../src/db/schema/status.rs"),
        include_str!("../../src/db/schema/mail.rs"),
        include_str!("../../src/db/schema/tombstones.rs"),
        include_str!("../../src/db/schema/usage.rs")
    );
    let mut tables = Tables::new();
    let mut current = String::new();
    for line in source.lines().map(str::trim).filter(|line| !line.starts_with("diesel::")) {
        if let Some((name, rest)) = line.split_once(" (")
            && rest.ends_with(") {")
        {
            name.clone_into(&mut current);
        } else if let Some((name, kind)) = line.split_once(" -> ") {
            let kind = kind.trim_end_matches(',');
            let inner = kind.strip_prefix("Nullable<").and_then(|rest| rest.strip_suffix('>'));
            let entry = (name.to_owned(), inner.unwrap_or(kind).to_owned(), inner.is_some());
            tables.entry(current.clone()).or_default().push(entry);
        }
    }
    tables
}

fn assert_declared(actual: &Tables, matches: impl Fn(&str, &str) -> bool) {
    let declared = declared();
    assert_eq!(
        actual.keys().collect::<Vec<_>>(),
        declared.keys().collect::<Vec<_>>(),
        "the same tables"
    );
    for (table, columns) in &declared {
        let found = &actual[table];
        assert_eq!(found.len(), columns.len(), "{table}: {found:?}");
        for ((name, kind, is_nullable), other) in columns.iter().zip(found) {
            assert_eq!((name, is_nullable), (&other.0, &other.2), "{table}.{name}");
            assert!(matches(kind, &other.1), "{table}.{name}: {kind} is {}", other.1);
        }
    }
}

fn databases() -> Vec<(TestDatabase, tempfile::TempDir)> {
    let folder = || tempfile::tempdir().unwrap();
    let first = folder();
    let mut all = vec![(TestDatabase::sqlite(first.path()), first)];
    all.extend(TestDatabase::postgres().map(|database| (database, folder())));
    all
}

#[test]
fn p3_the_usage_log_has_the_columns_of_the_contract_and_no_other() {
    for (database, _folder) in databases() {
        let found = tables(&mut database.connect());
        assert_eq!(names(&found["usage_logs"]), USAGE_COLUMNS);
    }
}

#[test]
fn p4_of_a_payment_is_kept_what_its_chain_shows_and_nothing_of_a_card() {
    for (database, _folder) in databases() {
        let found = tables(&mut database.connect());
        assert_eq!(names(&found["deposits"]), DEPOSIT_COLUMNS);
        assert_eq!(names(&found["wallets"]), WALLET_COLUMNS);
    }
}

#[test]
fn p3_no_table_has_a_column_that_is_not_declared() {
    let declared = documented();
    for (database, _folder) in databases() {
        let mut missing = Vec::new();
        let found = tables(&mut database.connect());
        for (table, columns) in &found {
            let known = declared.get(table).map(Vec::as_slice).unwrap_or_default();
            let unknown = names(columns).into_iter().filter(|name| !known.contains(name));
            missing.extend(unknown.map(|name| format!("{table}.{name}")));
        }
        assert!(missing.is_empty(), "docs/stored.md does not say what for: {missing:?}");
        for (table, known) in &declared {
            let there = found.get(table).map(|columns| names(columns)).unwrap_or_default();
            assert_eq!(known, &there, "docs/stored.md has another {table}");
        }
    }
}

/// Tables and columns as `docs/stored.md` has them, each of them with what it is kept for.
fn documented() -> BTreeMap<String, Vec<&'static str>> {
    let mut tables = BTreeMap::new();
    let mut current = "";
    for line in include_str!("../../docs/stored.md").lines() {
        if let Some(name) = line.strip_prefix("## ") {
            current = name;
            assert!(tables.insert(name.to_owned(), Vec::new()).is_none(), "{name} twice");
        } else if let Some((name, purpose)) =
            line.strip_prefix("| `").and_then(|rest| rest.split_once("` | "))
        {
            assert!(purpose.trim_end_matches('|').trim().len() > 3, "{current}.{name}: what for?");
            tables.get_mut(current).expect("a table").push(name);
        }
    }
    tables
}

fn names(columns: &[(String, String, bool)]) -> Vec<&str> {
    columns.iter().map(|(name, ..)| name.as_str()).collect()
}

#[test]
fn both_databases_have_the_tables_that_the_code_declares() {
    for (database, _folder) in databases() {
        let found = tables(&mut database.connect());
        if database.is_postgres() {
            assert_declared(&found, |declared, actual| {
                matches!(
                    (declared, actual),
                    ("BigInt", "bigint")
                        | ("Integer", "integer")
                        | ("Text", "text")
                        | ("Bool", "boolean")
                        | ("Binary", "bytea")
                )
            });
        } else {
            assert_declared(&found, |declared, actual| {
                matches!(
                    (declared, actual),
                    ("BigInt" | "Integer" | "Bool", "integer")
                        | ("Text", "text")
                        | ("Binary", "blob")
                )
            });
        }
    }
}

#[test]
fn migrations_run_once_and_leave_nothing_to_do() {
    for (database, _folder) in databases() {
        let mut conn = database.connect();
        assert!(!migrate::run_pending(&mut conn).unwrap().is_empty());
        assert!(migrate::run_pending(&mut conn).unwrap().is_empty());
    }
}
