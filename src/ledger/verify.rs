//! `sluice books verify`: proves the books in one snapshot of a live database.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::db::models::parked::{self, ParkedRow};
use crate::db::{AnyConnection, DbError, transaction};

/// What the books hold, and everything that does not add up.
#[derive(Debug, Default)]
pub struct Report {
    /// Accounts looked at.
    pub accounts: i64,
    /// Ledger entries looked at.
    pub entries: i64,
    /// Usage rows looked at.
    pub usage_rows: i64,
    /// Reservations that are open now.
    pub open_reservations: i64,
    /// Settlements that the database has refused. Their money is held: the books balance with them.
    pub parked: Vec<ParkedRow>,
    /// Empty if the books balance.
    pub discrepancies: Vec<Discrepancy>,
}

/// One thing that does not add up.
#[derive(Debug, QueryableByName)]
pub struct Discrepancy {
    /// Which rule is broken.
    #[diesel(sql_type = Text)]
    pub rule: String,
    /// The account's public id, or the row's id.
    #[diesel(sql_type = Text)]
    pub subject: String,
    /// What the rule asks for: nano-dollars, or a count of rows.
    #[diesel(sql_type = BigInt)]
    pub expected: i64,
    /// What is stored.
    #[diesel(sql_type = BigInt)]
    pub found: i64,
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// The rules, each a query for what breaks it, in SQL that both databases speak. Grouped first
/// and joined then, so that each table is read once.
const RULES: [&str; 10] = [
    "SELECT 'entries = available + reserved' AS rule, a.public_id AS subject,
            CAST(COALESCE(e.total, 0) AS BIGINT) AS expected,
            a.available_nanousd + a.reserved_nanousd AS found
     FROM accounts a
     LEFT JOIN (SELECT account_id, SUM(amount_nanousd) AS total
                FROM ledger_entries GROUP BY account_id) e ON e.account_id = a.id
     WHERE COALESCE(e.total, 0) <> a.available_nanousd + a.reserved_nanousd",
    "SELECT 'reserved = open reservations' AS rule, a.public_id AS subject,
            CAST(COALESCE(r.total, 0) AS BIGINT) AS expected, a.reserved_nanousd AS found
     FROM accounts a
     LEFT JOIN (SELECT account_id, SUM(amount_nanousd) AS total
                FROM reservations GROUP BY account_id) r ON r.account_id = a.id
     WHERE COALESCE(r.total, 0) <> a.reserved_nanousd",
    "SELECT 'at risk = open reservations' AS rule, a.public_id AS subject,
            CAST(COALESCE(r.total, 0) AS BIGINT) AS expected, a.at_risk_nanousd AS found
     FROM accounts a
     LEFT JOIN (SELECT account_id, SUM(risk_nanousd) AS total
                FROM reservations GROUP BY account_id) r ON r.account_id = a.id
     WHERE COALESCE(r.total, 0) <> a.at_risk_nanousd",
    "SELECT 'usage row = usage entry' AS rule, u.id AS subject,
            -u.cost_nanousd AS expected, COALESCE(e.amount_nanousd, 0) AS found
     FROM usage_logs u
     LEFT JOIN ledger_entries e
       ON e.kind = 'usage' AND e.reference = u.id AND e.account_id = u.account_id
     WHERE -u.cost_nanousd <> COALESCE(e.amount_nanousd, 0)",
    "SELECT 'usage entry has its usage row' AS rule, e.reference AS subject,
            CAST(1 AS BIGINT) AS expected, CAST(0 AS BIGINT) AS found
     FROM ledger_entries e
     LEFT JOIN usage_logs u ON u.id = e.reference
     WHERE e.kind = 'usage' AND u.id IS NULL",
    // Rows that the purge has removed are still spent.
    "SELECT 'spent by key >= its usage rows' AS rule, k.public_id AS subject,
            CAST(u.total AS BIGINT) AS expected, k.spent_nanousd AS found
     FROM api_keys k
     JOIN (SELECT api_key_id, SUM(cost_nanousd) AS total
           FROM usage_logs GROUP BY api_key_id) u ON u.api_key_id = k.id
     WHERE k.spent_nanousd < u.total",
    // A deposit that stands credited has its entry; one that was credited and stands otherwise has
    // that undone.
    "SELECT 'credited deposit = deposit entry' AS rule, d.public_id AS subject,
            CASE WHEN d.state = 'credited' THEN d.value_nanousd ELSE 0 END AS expected,
            COALESCE(e.amount_nanousd, 0) + COALESCE(r.amount_nanousd, 0) AS found
     FROM deposits d
     LEFT JOIN ledger_entries e ON e.kind = 'deposit' AND e.account_id = d.account_id
       AND e.reference = d.public_id || ':' || CAST(d.credit_number AS TEXT)
     LEFT JOIN ledger_entries r ON r.kind = 'reversal' AND r.account_id = d.account_id
       AND r.reference = d.public_id || ':' || CAST(d.credit_number AS TEXT)
     WHERE CASE WHEN d.state = 'credited' THEN d.value_nanousd ELSE 0 END
           <> COALESCE(e.amount_nanousd, 0) + COALESCE(r.amount_nanousd, 0)",
    "SELECT 'deposit entries = credits of deposits' AS rule, 'all' AS subject,
            CAST(credits AS BIGINT) AS expected, entries AS found
     FROM (SELECT COALESCE(SUM(credit_number), 0) AS credits FROM deposits) d,
          (SELECT COUNT(*) AS entries FROM ledger_entries WHERE kind = 'deposit') e
     WHERE credits <> entries",
    // A refund takes its amount from one account, and gives it back to the same one if it is
    // cancelled.
    "SELECT 'refund = refund entry' AS rule, f.public_id AS subject,
            CASE WHEN f.state = 'cancelled' THEN 0 ELSE -f.amount_nanousd END AS expected,
            COALESCE(e.amount_nanousd, 0) + COALESCE(r.amount_nanousd, 0) AS found
     FROM deposit_refunds f
     LEFT JOIN ledger_entries e ON e.kind = 'refund' AND e.reference = f.public_id
     LEFT JOIN ledger_entries r ON r.kind = 'reversal' AND r.reference = f.public_id
       AND r.account_id = e.account_id
     WHERE CASE WHEN f.state = 'cancelled' THEN 0 ELSE -f.amount_nanousd END
           <> COALESCE(e.amount_nanousd, 0) + COALESCE(r.amount_nanousd, 0)",
    "SELECT 'refund entries = refunds of credits' AS rule, 'all' AS subject,
            refunds AS expected, entries AS found
     FROM (SELECT COUNT(*) AS refunds FROM deposit_refunds WHERE amount_nanousd > 0) f,
          (SELECT COUNT(*) AS entries FROM ledger_entries WHERE kind = 'refund') e
     WHERE refunds <> entries",
];

/// Looks at everything in one snapshot: other connections may go on writing.
pub fn verify(conn: &mut AnyConnection) -> Result<Report, DbError> {
    transaction::snapshot(conn, inspect)
}

fn inspect(conn: &mut AnyConnection) -> Result<Report, DbError> {
    let mut report = Report::default();
    for rule in RULES {
        report.discrepancies.extend(diesel::sql_query(rule).load::<Discrepancy>(conn)?);
    }
    let mut count = |table: &str| -> Result<i64, DbError> {
        let query = format!("SELECT COUNT(*) AS count FROM {table}");
        Ok(diesel::sql_query(query).get_result::<CountRow>(conn)?.count)
    };
    report.accounts = count("accounts")?;
    report.entries = count("ledger_entries")?;
    report.usage_rows = count("usage_logs")?;
    report.open_reservations = count("reservations")?;
    report.parked = parked::list(conn, None)?;
    Ok(report)
}
