//! The tables: the usage log holds what the contract lists and nothing more, and both databases
//! have what the code thinks they have.

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

/// Table to columns, in order: name, type, whether it may be NULL.
type Tables = BTreeMap<String, Vec<(String, String, bool)>>;

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

fn tables(conn: &mut AnyConnection) -> Tables {
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
    let source = include_str!("../../src/db/schema.rs");
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
        let names: Vec<&str> = found["usage_logs"].iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, USAGE_COLUMNS);
    }
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
