//! What an account's owner is told of deposits by mail, put in by the transaction that makes it
//! true: so it is told once, and only of what has happened. Whoever is sent dust gets no flood of
//! mail: what is not large is told at most once an hour, what was credited apart from what went
//! wrong.

use std::time::Duration;

use serde_json::json;

use super::DepositError;
use crate::db::models::accounts::{self, DepositPace};
use crate::db::models::deposit_refunds::RefundRow;
use crate::db::models::deposits::{self, DepositRow};
use crate::db::models::outbox::{self, NewMail};
use crate::db::{AnyConnection, transaction};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::{DepositReason, DepositState};
use crate::domain::mail::{DepositNews, MailKind};
use crate::domain::money::NanoUsd;

/// Who was told within this is not told again of what is not large.
const QUIET: Duration = Duration::from_hours(1);

/// A deposit has its owner, and waits for finality: told if it is worth `value`, which is large.
/// Only of one that was never moved before, so that a chain that goes to and fro tells once.
pub fn seen(
    conn: &mut AnyConnection,
    row: &DepositRow,
    value: NanoUsd,
    now: UnixMillis,
) -> Result<(), DepositError> {
    let is_new = row.revision == 0 && row.state == DepositState::Confirming;
    if !is_new {
        return Ok(());
    }
    tell(conn, MailKind::DepositSeen, row, (Some(value), None), now)
}

/// A deposit was credited. One that is worth less than `above` is told at most once an hour.
pub fn credited(
    conn: &mut AnyConnection,
    row: &DepositRow,
    above: NanoUsd,
    now: UnixMillis,
) -> Result<(), DepositError> {
    let pace = pace(row, above, DepositPace::Credited);
    tell(conn, MailKind::DepositCredited, row, (row.value_nanousd, pace), now)
}

/// Writes a row as a look at the deposit has left it, and tells if a person has to look now.
/// Whether there was one of its revision.
pub fn change(
    conn: &mut AnyConnection,
    row: &DepositRow,
    above: NanoUsd,
    now: UnixMillis,
) -> Result<bool, DepositError> {
    transaction::write(conn, |conn| change_within(conn, row, above, now))
}

/// The same within a write transaction of the caller's.
///
/// # Errors
/// [`DepositError`]; the transaction must then be given up.
pub fn change_within(
    conn: &mut AnyConnection,
    row: &DepositRow,
    above: NanoUsd,
    now: UnixMillis,
) -> Result<bool, DepositError> {
    let is_refund = row.reason == Some(DepositReason::RefundPending);
    let is_told = row.state == DepositState::Held && !is_refund;
    if is_told && let Some(account_id) = row.account_id {
        // Before the deposit, as an erasure does it.
        accounts::lock(conn, account_id)?;
    }
    if !deposits::change(conn, row, now)? {
        return Ok(false);
    }
    if is_told {
        let pace = pace(row, above, DepositPace::Trouble);
        tell(conn, MailKind::DepositHeld, row, (row.value_nanousd, pace), now)?;
    }
    Ok(true)
}

/// A credit was taken back with its block.
pub fn reversed(
    conn: &mut AnyConnection,
    row: &DepositRow,
    now: UnixMillis,
) -> Result<(), DepositError> {
    let pace = Some(DepositPace::Trouble);
    tell(conn, MailKind::DepositReversed, row, (row.value_nanousd, pace), now)
}

/// A refund was paid. Operators do that one by one.
pub fn refunded(
    conn: &mut AnyConnection,
    row: &DepositRow,
    refund: &RefundRow,
    now: UnixMillis,
) -> Result<(), DepositError> {
    let amount = refund.amount_nanousd;
    let is_credited = amount > NanoUsd::ZERO;
    let mut news = news(row, if is_credited { Some(amount) } else { row.value_nanousd });
    news.tx_hash = refund.tx_hash.map(|hash| hash.to_string());
    put(conn, MailKind::DepositRefunded, row, &news, now)
}

/// `None` for what is told in any case.
fn pace(row: &DepositRow, above: NanoUsd, pace: DepositPace) -> Option<DepositPace> {
    row.value_nanousd.is_none_or(|value| value < above).then_some(pace)
}

fn tell(
    conn: &mut AnyConnection,
    kind: MailKind,
    row: &DepositRow,
    (value, pace): (Option<NanoUsd>, Option<DepositPace>),
    now: UnixMillis,
) -> Result<(), DepositError> {
    let Some(account_id) = row.account_id else { return Ok(()) };
    if let Some(pace) = pace
        && !accounts::notify_of_deposit(conn, account_id, pace, (now.minus(QUIET), now))?
    {
        return Ok(());
    }
    put(conn, kind, row, &DepositNews { is_paced: pace.is_some(), ..news(row, value) }, now)
}

fn news(row: &DepositRow, value: Option<NanoUsd>) -> DepositNews {
    DepositNews {
        deposit: row.public_id.clone(),
        chain_id: row.chain_id.0,
        token: row.token.map(|token| token.to_string()),
        raw_amount: row.raw_amount.to_string(),
        value_usd: value.map(|value| value.to_string()),
        reason: row.reason.map(|reason| reason.as_str().to_owned()),
        tx_hash: None,
        is_paced: false,
    }
}

fn put(
    conn: &mut AnyConnection,
    kind: MailKind,
    row: &DepositRow,
    news: &DepositNews,
    now: UnixMillis,
) -> Result<(), DepositError> {
    let Some(account_id) = row.account_id else { return Ok(()) };
    let Some(account) = accounts::get(conn, account_id)? else { return Ok(()) };
    let mail = NewMail {
        kind,
        // A revision comes once.
        reference: format!("{}:{}", row.public_id, row.revision),
        account_id: Some(account_id),
        recipient: &account.email,
        params: json!(news),
    };
    outbox::enqueue(conn, &mail, now)?;
    Ok(())
}
