//! A calendar month of an account's books, in the reader's zone: what there was, what came and
//! went, and what there was at its end. It adds up by itself, to the nano-dollar.

use super::statement::{self, EntryDocument};
use crate::db::models::accounts;
use crate::db::models::ledger_entries::{self, ChargedDay, PlacedEntry};
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::{UnixMillis, UtcDay};
use crate::domain::entry_kind::EntryKind;
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;
use crate::domain::reader_zone::ReaderZone;

/// Entries besides usage in a month that are listed.
const ENTRIES_MAX: i64 = 1_000;
/// What a month has besides usage.
const OTHERS: [EntryKind; 4] =
    [EntryKind::Deposit, EntryKind::Adjustment, EntryKind::Refund, EntryKind::Reversal];

/// See the module.
pub struct BookMonth {
    /// What the account had, reserved money included, when it began; `None` where the charges since
    /// have been merged already.
    pub opening: Option<NanoUsd>,
    /// And at its end, or now.
    pub closing: Option<NanoUsd>,
    /// When the account was opened: there is nothing before.
    pub opened_at: UnixMillis,
    /// Charges, latest day first; of each day by model, if that was wanted.
    pub charges: Vec<ChargedDay>,
    /// What else there was, latest first.
    pub entries: Vec<PlacedEntry>,
}

impl BookMonth {
    /// The month from one local day to another. `kept_from` is the moment from which on charges are
    /// still kept apart. Must run in a snapshot.
    pub fn read(
        conn: &mut AnyConnection,
        account_id: AccountId,
        ((first, last), zone): ((UtcDay, UtcDay), ReaderZone),
        by_model: bool,
        kept_from: UnixMillis,
    ) -> Result<Self, DbError> {
        let span = (zone.begin(first), zone.begin(last.plus(1)));
        let page = (i64::MAX, ENTRIES_MAX);
        let entries = ledger_entries::besides_usage(conn, account_id, &OTHERS, span, page)?;
        let charges = ledger_entries::charged_days(conn, account_id, span, zone, by_model)?;
        let account = accounts::get(conn, account_id)?;
        let opened_at = account.as_ref().map_or(span.0, |row| row.created_at);
        let now = account.map_or(0, |row| {
            row.available_nanousd.as_nanos().saturating_add(row.reserved_nanousd.as_nanos())
        });
        let mut at = |moment| -> Result<NanoUsd, DbError> {
            let since = ledger_entries::sum_since(conn, account_id, moment)?;
            Ok(NanoUsd::from_nanos(now.saturating_sub(since.as_nanos())))
        };
        let is_known = span.1 > kept_from;
        let opening = is_known.then(|| at(span.0)).transpose()?;
        let closing = is_known.then(|| at(span.1)).transpose()?;
        Ok(Self { opening, closing, opened_at, charges, entries })
    }

    /// Whether some of its charges have been merged, whose sum is part of what it opens with.
    #[must_use]
    pub fn is_cut(begin: UnixMillis, kept_from: UnixMillis) -> bool {
        begin < kept_from
    }
}

/// A page of an account's entries of some kinds besides usage, newest first, and whether there are
/// older ones.
pub fn entries_of(
    conn: &mut AnyConnection,
    account_id: AccountId,
    kinds: &[EntryKind],
    before: i64,
    limit: usize,
) -> Result<(Vec<EntryDocument>, bool), DbError> {
    let ever = (UnixMillis::from_millis(i64::MIN), UnixMillis::from_millis(i64::MAX));
    let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let rows = ledger_entries::besides_usage(conn, account_id, kinds, ever, (before, wanted))?;
    Ok(documents(rows, limit))
}

/// A page of an account's charges of one local day, newest first, and whether there are older ones.
pub fn charges_of(
    conn: &mut AnyConnection,
    account_id: AccountId,
    (day, zone): (UtcDay, ReaderZone),
    before: i64,
    limit: usize,
) -> Result<(Vec<EntryDocument>, bool), DbError> {
    let span = (zone.begin(day), zone.begin(day.plus(1)));
    let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let rows = ledger_entries::charges(conn, account_id, span, (before, wanted))?;
    Ok(documents(rows, limit))
}

fn documents(mut rows: Vec<PlacedEntry>, limit: usize) -> (Vec<EntryDocument>, bool) {
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    (rows.iter().map(|row| statement::document(row, None)).collect(), has_more)
}
