//! Rows that a group makes of usage records, and records of rows.

use super::LedgerError;
use crate::db::books::{EntryRow, ReservationRow};
use crate::domain::clock::UnixMillis;
use crate::domain::entry_kind::EntryKind;
use crate::domain::ids::RequestId;
use crate::domain::usage_record::{Outcome, UsageRecord};

/// What can be said of an exchange whose own record cannot be read.
fn blank_record(row: &ReservationRow) -> UsageRecord {
    UsageRecord {
        requested_model: "unknown".to_owned(),
        price_version: "unknown".to_owned(),
        is_estimated: true,
        ..UsageRecord::blank(
            RequestId::from_stored(row.id.clone()),
            row.account_id,
            row.api_key_id,
            row.created_at,
        )
    }
}

/// What a reservation is settled at without its exchange: its last checkpoint. A record of another
/// version must not keep the money held: without it the charge is 0.
pub(super) fn recovered(row: &ReservationRow, ending: Outcome) -> UsageRecord {
    let record = serde_json::from_str(&row.record).unwrap_or_else(|_| blank_record(row));
    UsageRecord { ending, ..record }
}

pub(super) fn usage_entry(record: &UsageRecord, now: UnixMillis) -> Result<EntryRow, LedgerError> {
    Ok(EntryRow {
        account_id: record.account_id,
        kind: EntryKind::Usage,
        reference: record.id.as_str().to_owned(),
        amount_nanousd: record.cost.negated()?,
        created_at: now,
    })
}

pub(super) fn to_json(record: &UsageRecord) -> Result<String, LedgerError> {
    serde_json::to_string(record).map_err(LedgerError::Record)
}
