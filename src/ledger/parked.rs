//! Settlements that the database refuses, though it takes others: what is tried, how they are
//! parked, and how an operator settles them.

use super::{Command, Effect, LedgerError, apply, apply_within, rows};
use crate::db::models::accounts;
use crate::db::models::audit::{self, Decision};
use crate::db::models::parked::{self, ParkedRow};
use crate::db::{AnyConnection, DbError, books, transaction};
use crate::domain::clock::UnixMillis;
use crate::domain::money::NanoUsd;
use crate::domain::usage_record::UsageRecord;

/// Characters that are kept of a reason.
const REASON_MAX: usize = 300;

/// How an operator settles what is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// It is posted, if need be without the names that an upstream has given.
    Post,
    /// It is closed without a charge.
    Waive,
}

/// Settles an exchange whose settlement alone was refused: without the upstream's names where that
/// does it, otherwise its reservation is marked with the final record and the reason, and stays
/// open.
///
/// # Errors
/// [`LedgerError`]; then nothing has changed.
pub fn settle_or_park(
    conn: &mut AnyConnection,
    command: &Command,
    refusal: &str,
    now: UnixMillis,
) -> Result<Effect, LedgerError> {
    let Some(record) = record_of(conn, command)? else { return Ok(Effect::NotOpen) };
    if let Some(bare) = record.without_names() {
        match apply(conn, &[Command::Post { record: bare }], now) {
            Ok(outcomes) => return Ok(outcomes.into_iter().next().unwrap_or(Effect::NotOpen)),
            Err(LedgerError::Db(error)) if error.is_away() => return Err(error.into()),
            Err(_) => {}
        }
    }
    // Of an exchange that ran, the client has not heard the end; what recovery settles says so
    // already.
    let record = if matches!(command, Command::Post { .. }) { record.unheard() } else { record };
    let (id, text) = (record.id.as_str(), rows::to_json(&record)?);
    let reason: String = refusal.chars().filter(|c| !c.is_control()).take(REASON_MAX).collect();
    let marked = transaction::write(conn, |conn| {
        accounts::lock(conn, record.account_id)?;
        Ok::<_, LedgerError>(parked::park(conn, id, &text, (&reason, now))?)
    })?;
    Ok(if marked { Effect::Parked } else { Effect::NotOpen })
}

/// Settles a parked exchange, and writes down that an operator has done so; `None` if it was
/// settled meanwhile.
///
/// # Errors
/// [`LedgerError`]; then nothing has changed.
pub fn repair(
    conn: &mut AnyConnection,
    row: &ParkedRow,
    (repair, reason): (Repair, &str),
    now: UnixMillis,
) -> Result<Option<UsageRecord>, LedgerError> {
    let unreadable = |_| DbError::Unreadable { what: "parked settlement" };
    let mut record: UsageRecord = serde_json::from_str(&row.record).map_err(unreadable)?;
    if repair == Repair::Waive {
        record.cost = NanoUsd::ZERO;
    }
    let write = |conn: &mut AnyConnection, record: &UsageRecord| {
        transaction::write(conn, |conn| {
            let outcomes = apply_within(conn, &[Command::Post { record: record.clone() }], now)?;
            if !matches!(outcomes.as_slice(), [Effect::Posted]) {
                // Somebody has settled it meanwhile.
                return Ok(false);
            }
            let action = match repair {
                Repair::Post => "settle",
                Repair::Waive => "settle without a charge",
            };
            audit::write(conn, &Decision::of_account(action, record.account_id, reason), now)?;
            Ok::<_, LedgerError>(true)
        })
    };
    match (write(conn, &record), record.without_names()) {
        (Ok(is_done), _) => Ok(is_done.then_some(record)),
        (Err(_), Some(bare)) => Ok(write(conn, &bare)?.then_some(bare)),
        (Err(error), None) => Err(error),
    }
}

/// The record that a settlement would post; `None` where no reservation is open that has it.
fn record_of(
    conn: &mut AnyConnection,
    command: &Command,
) -> Result<Option<UsageRecord>, LedgerError> {
    match command {
        Command::Post { record } => Ok(Some(record.clone())),
        Command::Recover { id, ending, .. } => {
            let open = books::open_reservation(conn, id.as_str())?;
            Ok(open.map(|row| rows::recovered(&row, *ending)))
        }
        _ => Ok(None),
    }
}
