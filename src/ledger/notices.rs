//! What an account's owner is told of by mail, written with the very change that it is about: so it
//! is told once, and only of what has happened. Of the same key or account he is told once within a
//! while, however often it happens.

use std::time::Duration;

use diesel::prelude::*;
use serde_json::json;

use super::LedgerError;
use super::group::{Crossing, Group};
use super::keys::PausedKey;
use crate::db::AnyConnection;
use crate::db::models::outbox::{self, NewMail};
use crate::db::models::{accounts as account_rows, api_keys as key_rows};
use crate::db::schema::{accounts, api_keys};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::mail::{KeyPaused, LowBalance, MailKind};
use crate::domain::money::NanoUsd;
use crate::domain::plain_text::shown_name;

/// Who was told within this is not told again: thresholds and budgets can be moved as often as one
/// likes.
const QUIET: Duration = Duration::from_hours(1);

/// Id, name and hint of a key; number and address of its account.
type KeyNames = ((String, String, Option<String>), (AccountId, String));

/// Puts the mails of a group in.
pub(super) fn write(
    conn: &mut AnyConnection,
    group: &Group,
    now: UnixMillis,
) -> Result<(), LedgerError> {
    for crossing in group.crossings()? {
        low_balance(conn, crossing, now)?;
    }
    for paused in group.paused_keys() {
        key_paused(conn, paused, now)?;
    }
    Ok(())
}

fn low_balance(
    conn: &mut AnyConnection,
    crossing: Crossing,
    now: UnixMillis,
) -> Result<(), LedgerError> {
    let Crossing { account_id, balance, threshold } = crossing;
    if !account_rows::notify_of_low_balance(conn, account_id, (now.minus(QUIET), now))? {
        return Ok(());
    }
    let found: Option<(String, String)> = accounts::table
        .find(account_id)
        .select((accounts::public_id, accounts::email))
        .first(conn)
        .optional()?;
    let Some((public_id, recipient)) = found else { return Ok(()) };
    let params =
        LowBalance { balance_usd: balance.to_string(), threshold_usd: threshold.to_string() };
    let mail = NewMail {
        kind: MailKind::LowBalance,
        reference: format!("{public_id}:{}", now.as_millis()),
        account_id: Some(account_id),
        recipient: &recipient,
        params: json!(params),
    };
    outbox::enqueue(conn, &mail, now)?;
    Ok(())
}

fn key_paused(
    conn: &mut AnyConnection,
    paused: PausedKey,
    now: UnixMillis,
) -> Result<(), LedgerError> {
    let PausedKey { id, period, budget, left } = paused;
    if !key_rows::notify_of_pause(conn, id, (now.minus(QUIET), now))? {
        return Ok(());
    }
    let found: Option<KeyNames> = api_keys::table
        .inner_join(accounts::table)
        .filter(api_keys::id.eq(id))
        .select((
            (api_keys::public_id, api_keys::name, api_keys::hint),
            (accounts::id, accounts::email),
        ))
        .first(conn)
        .optional()?;
    let Some(((public_id, key_name, hint), (account_id, recipient))) = found else {
        return Ok(());
    };
    let params = KeyPaused {
        key_name: shown_name(&key_name).into_owned(),
        hint,
        period,
        budget_usd: budget.to_string(),
        left_usd: (left > NanoUsd::ZERO).then(|| left.to_string()),
    };
    let mail = NewMail {
        kind: MailKind::KeyPaused,
        reference: format!("{public_id}:{}", now.as_millis()),
        account_id: Some(account_id),
        recipient: &recipient,
        params: json!(params),
    };
    outbox::enqueue(conn, &mail, now)?;
    Ok(())
}
