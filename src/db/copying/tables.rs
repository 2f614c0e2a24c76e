//! Which tables are copied, and in which order: a row comes after the rows that it refers to.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::CopyError;

/// Every table whose rows go along.
pub const TABLES: [&str; 35] = [
    "secret_checks",
    "accounts",
    "api_keys",
    "ledger_entries",
    "usage_logs",
    "usage_passes",
    "refused_requests",
    "reservations",
    "wallets",
    "wallet_challenges",
    "derivation_counters",
    "deposit_addresses",
    "address_balances",
    "deposit_arrivals",
    "token_looks",
    "deposits",
    "deposit_claims",
    "deposit_cases",
    "deposit_refunds",
    "deposit_tombstones",
    "audit_log",
    "sessions",
    "log_in_steps",
    "email_tokens",
    "unsubscribe_tokens",
    "recovery_codes",
    "attempts",
    "outbox",
    "policy_versions",
    "chores",
    "status_days",
    "chains",
    "chain_blocks",
    "chain_candidates",
    "chain_providers",
];

/// Tables whose rows do not, each with the reason.
pub const LEFT_OUT: [(&str, &str); 3] = [
    ("journal_events", "SQLite's journal has them, and PostgreSQL has none"),
    ("nodes", "leases of servers that have ended"),
    ("schema_compatibility", "migrations make its row"),
];

/// A column as SQLite declares it.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct TableColumn {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    kind: String,
    /// Its place in the primary key, from 1; 0 if it is not in it.
    #[diesel(sql_type = BigInt)]
    key: i64,
}

/// A table and how its rows are written down: as JSON, with bytes in hexadecimal digits, which
/// PostgreSQL reads by the types of its own columns.
#[derive(Debug)]
pub(super) struct TableLayout {
    pub(super) name: &'static str,
    columns: Vec<TableColumn>,
}

impl TableLayout {
    pub(super) fn of(name: &'static str, source: &mut SqliteConnection) -> Result<Self, CopyError> {
        let sql = "SELECT name, type AS kind, pk AS key FROM pragma_table_info(?) ORDER BY cid";
        let columns: Vec<TableColumn> =
            diesel::sql_query(sql).bind::<Text, _>(name).load(source)?;
        if columns.iter().all(|column| column.key == 0) {
            return Err(CopyError::Unreadable(name));
        }
        Ok(Self { name, columns })
    }

    /// Names of the columns that hold money.
    pub(super) fn sums(&self) -> impl Iterator<Item = &str> {
        let names = self.columns.iter().map(|column| column.name.as_str());
        names.filter(|name| name.ends_with("_nanousd"))
    }

    fn names(&self) -> String {
        self.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn key(&self) -> Vec<&str> {
        let mut key: Vec<&TableColumn> =
            self.columns.iter().filter(|column| column.key > 0).collect();
        key.sort_by_key(|column| column.key);
        key.into_iter().map(|column| column.name.as_str()).collect()
    }

    /// Rows behind a place in the order of the primary key, each with its own place, as SQLite's
    /// literals.
    pub(super) fn read_sqlite(&self, behind: Option<&str>, limit: usize) -> String {
        let fields = self.columns.iter().map(|TableColumn { name, kind, .. }| match kind.as_str() {
            "BLOB" => format!(
                "'{name}', CASE WHEN {name} IS NULL THEN NULL ELSE '\\x' || lower(hex({name})) END"
            ),
            _ => format!("'{name}', {name}"),
        });
        let fields = fields.collect::<Vec<_>>().join(", ");
        let key = self.key();
        let place: Vec<String> = key.iter().map(|name| format!("quote({name})")).collect();
        let (place, key) = (place.join(" || ', ' || "), key.join(", "));
        let behind =
            behind.map(|behind| format!("WHERE ({key}) > ({behind}) ")).unwrap_or_default();
        format!(
            "SELECT {place} AS place, CAST(json_object({fields}) AS BLOB) AS line FROM {} \
             {behind}ORDER BY {key} LIMIT {limit}",
            self.name
        )
    }

    /// The same lines from PostgreSQL, all of them in any order.
    pub(super) fn read_postgres(&self) -> String {
        let fields =
            self.columns.iter().map(|TableColumn { name, .. }| format!("'{name}', {name}"));
        let fields = fields.collect::<Vec<_>>().join(", ");
        format!("SELECT json_build_object({fields})::text AS line FROM {}", self.name)
    }

    /// Inserts an array of lines, `$1`.
    pub(super) fn insert(&self) -> String {
        let (name, names) = (self.name, self.names());
        format!(
            "INSERT INTO {name} ({names}) SELECT {names} FROM \
             json_populate_recordset(NULL::{name}, $1::json)"
        )
    }
}
