//! An account's statement: its ledger entries, each with what it is about and what the account came
//! to by it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::db::models::accounts;
use crate::db::models::ledger_entries::{self, PlacedEntry};
use crate::db::{AnyConnection, DbError, transaction};
use crate::domain::entry_kind::EntryKind;
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;
use crate::domain::spreadsheet::defused;

/// One entry, as it leaves the house.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = LedgerEntry)]
pub struct EntryDocument {
    /// Its number in the books. Later entries have larger ones.
    pub id: i64,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// `deposit`, `usage`, `adjustment`, `refund`, `reversal` or `carry_forward`.
    pub kind: String,
    /// What it means, in a sentence.
    pub meaning: String,
    /// Unique within its kind.
    pub reference: String,
    /// The request, deposit or refund that it is about.
    pub about: Option<String>,
    /// Dollars; a charge is negative.
    pub amount: String,
    /// What the account came to by it, reserved money included, in dollars. Not there in a list of
    /// one kind.
    pub balance: Option<String>,
}

/// A page of entries.
pub struct StatementPage {
    /// Newest first.
    pub entries: Vec<EntryDocument>,
    /// There are older ones.
    pub has_more: bool,
}

/// A page of at most `limit` entries below a number, newest first; of one kind, if one is named.
pub fn page(
    conn: &mut AnyConnection,
    account_id: AccountId,
    kind: Option<EntryKind>,
    before: Option<i64>,
    limit: usize,
) -> Result<StatementPage, DbError> {
    transaction::snapshot(conn, |conn| page_within(conn, account_id, kind, before, limit))
}

/// The same within a snapshot of the caller's.
pub fn page_within(
    conn: &mut AnyConnection,
    account_id: AccountId,
    kind: Option<EntryKind>,
    before: Option<i64>,
    limit: usize,
) -> Result<StatementPage, DbError> {
    let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let below = before.unwrap_or(i64::MAX);
    let mut rows = ledger_entries::page(conn, account_id, kind, below, wanted)?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let mut balance = match rows.first() {
        Some(newest) if kind.is_none() => Some(balance_after(conn, account_id, newest.id)?),
        _ => None,
    };
    let mut entries = Vec::with_capacity(rows.len());
    for row in &rows {
        entries.push(document(row, balance));
        balance = balance.map(|nanos| nanos.saturating_sub(row.amount_nanousd.as_nanos()));
    }
    Ok(StatementPage { entries, has_more })
}

/// What the account came to by an entry: what it comes to now, without the entries since.
fn balance_after(conn: &mut AnyConnection, account_id: AccountId, id: i64) -> Result<i64, DbError> {
    let since = ledger_entries::sum_above(conn, account_id, id)?;
    let account = accounts::get(conn, account_id)?;
    let now = account.map_or(0, |row| {
        row.available_nanousd.as_nanos().saturating_add(row.reserved_nanousd.as_nanos())
    });
    Ok(now.saturating_sub(since.as_nanos()))
}

/// An entry as a document; `balance` in nano-dollars.
#[must_use]
pub fn document(row: &PlacedEntry, balance: Option<i64>) -> EntryDocument {
    EntryDocument {
        id: row.id,
        created_at: row.created_at.to_string(),
        kind: row.kind.as_str().to_owned(),
        meaning: meaning(row.kind, row.amount_nanousd).to_owned(),
        reference: row.reference.clone(),
        about: about(row.kind, &row.reference),
        amount: row.amount_nanousd.to_string(),
        balance: balance.map(|nanos| NanoUsd::from_nanos(nanos).to_string()),
    }
}

impl EntryDocument {
    /// The same with its words safe in a spreadsheet's cells.
    #[must_use]
    pub fn for_spreadsheet(mut self) -> Self {
        self.reference = defused(&self.reference).into_owned();
        self.about = self.about.map(|about| defused(&about).into_owned());
        self
    }
}

const fn meaning(kind: EntryKind, amount: NanoUsd) -> &'static str {
    match kind {
        EntryKind::Deposit => "Deposit credited.",
        EntryKind::Usage => "Request charged.",
        EntryKind::Adjustment if amount.is_negative() => "Debit by the operator.",
        EntryKind::Adjustment => "Credit by the operator.",
        EntryKind::Refund => "Deposit refunded.",
        EntryKind::Reversal if amount.is_negative() => {
            "A credited deposit was reversed by its chain."
        }
        EntryKind::Reversal => "Refund cancelled.",
        EntryKind::CarryForward => "Sum of older entries.",
    }
}

/// A reference of the books is the id of what it is about, some with the number of the credit
/// behind it.
fn about(kind: EntryKind, reference: &str) -> Option<String> {
    match kind {
        EntryKind::Usage | EntryKind::Deposit | EntryKind::Refund | EntryKind::Reversal => {
            reference.split(':').next().map(str::to_owned)
        }
        EntryKind::Adjustment | EntryKind::CarryForward => None,
    }
}
