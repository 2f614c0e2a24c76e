//! Does again, in a restored database, what happened after the backup and must not be undone. Each
//! event may be done twice. What cannot be done is told to the operator.

mod refunds;

use std::collections::BTreeMap;

use super::BackupError;
use super::journal::JournalLine;
use crate::accounts::deletion::erasure;
use crate::db::models::api_keys::rotation::{self, NewSecret};
use crate::db::models::{
    accounts, api_keys, credentials, credentials_epoch, deposit_addresses, tombstones, wallets,
};
use crate::db::{AnyConnection, DbError, backup_copy, closing, transaction};
use crate::domain::account_status::AccountStatus;
use crate::domain::api_key::ApiKeyHash;
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::journal_event::{ChangedCredential, JournalEvent};
use crate::domain::money::NanoUsd;
use crate::domain::tombstone::TombstoneKey;
use refunds::Refunds;

/// What was done again.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    /// How many events took effect, by what they are.
    pub done: BTreeMap<&'static str, usize>,
    /// What the operator has to do.
    pub to_do: Vec<String>,
}

impl Replayed {
    fn count(&mut self, what: &'static str) {
        let count = self.done.entry(what).or_default();
        *count = count.saturating_add(1);
    }
}

/// How a replay is done.
#[derive(Clone, Copy)]
pub struct ReplayRules<'a> {
    /// What deposits and wallets are hashed with.
    pub key: &'a TombstoneKey,
    /// With what debt an account goes without a trace.
    pub debt_forgiven: NanoUsd,
    /// Now.
    pub now: UnixMillis,
}

/// Does the events again, in their order, and sends no mail about them: their owners had it.
///
/// # Errors
/// [`BackupError`]; the events before it are done.
pub fn replay(
    conn: &mut AnyConnection,
    lines: &[JournalLine],
    rules: ReplayRules<'_>,
) -> Result<Replayed, BackupError> {
    let newest_mail = backup_copy::newest_mail(conn)?;
    let mut replayed = Replayed::default();
    let mut refunds = Refunds::default();
    for line in lines {
        if !refunds.take(&line.event) {
            redo(conn, line, rules, &mut replayed)?;
        }
    }
    refunds.redo(conn, rules, &mut replayed)?;
    // Last, since a refund or a tombstone is about a deposit of theirs.
    for line in lines {
        if let JournalEvent::AccountErased { account } = line.event {
            erase(conn, account, rules, &mut replayed)?;
        }
    }
    backup_copy::drop_mail_after(conn, newest_mail)?;
    Ok(replayed)
}

fn redo(
    conn: &mut AnyConnection,
    line: &JournalLine,
    rules: ReplayRules<'_>,
    replayed: &mut Replayed,
) -> Result<(), BackupError> {
    let done = transaction::write(conn, |conn| apply(conn, line, rules, replayed))?;
    if let Some(what) = done {
        replayed.count(what);
    }
    Ok(())
}

/// Gives a key the secret that it had from then on; whether it had another.
fn rotate(
    conn: &mut AnyConnection,
    key: &str,
    secret: &NewSecret,
    at: UnixMillis,
) -> Result<bool, DbError> {
    let row = api_keys::find(conn, key)?;
    let is_behind = row.is_some_and(|row| row.rotated_at.is_none_or(|known| known < at));
    if is_behind {
        rotation::rotate(conn, key, secret, at)?;
    }
    Ok(is_behind)
}

/// What was changed, if something was.
fn apply(
    conn: &mut AnyConnection,
    line: &JournalLine,
    rules: ReplayRules<'_>,
    replayed: &mut Replayed,
) -> Result<Option<&'static str>, DbError> {
    let done = match &line.event {
        JournalEvent::KeyRevoked { key } => {
            let revoked = api_keys::revoke(conn, key, line.at)? == Some(true);
            revoked.then_some("keys revoked")
        }
        JournalEvent::KeyRotated { key, hash, hint, previous_expires_at, rotated_at } => {
            let secret = NewSecret {
                hash: ApiKeyHash::from_bytes(hash.0),
                hint: hint.clone(),
                previous_expires_at: previous_expires_at.map(UnixMillis::from_millis),
            };
            let at = UnixMillis::from_millis(*rotated_at);
            rotate(conn, key, &secret, at)?.then_some("keys rotated")
        }
        JournalEvent::AccountSuspended { account } => {
            let set = accounts::set_status(conn, *account, AccountStatus::Suspended)?;
            set.then_some("accounts suspended")
        }
        JournalEvent::AccountResumed { account } => {
            let set = accounts::set_status(conn, *account, AccountStatus::Active)?;
            set.then_some("accounts resumed")
        }
        JournalEvent::AccountClosing { account, waives_balance, since } => {
            let is_there = closing::get(conn, *account)?.is_some();
            if is_there {
                let since = UnixMillis::from_millis(*since);
                closing::begin(conn, *account, *waives_balance, since)?;
            }
            is_there.then_some("accounts about to be deleted")
        }
        JournalEvent::AccountKept { account } => {
            closing::undo(conn, *account)?.then_some("accounts kept after all")
        }
        JournalEvent::AccountErased { account } => {
            // What ends at once; the rows go once everything else is done.
            if closing::get(conn, *account)?.is_some() {
                closing::begin(conn, *account, true, UnixMillis::from_millis(0))?;
            }
            None
        }
        JournalEvent::CredentialsChanged { account, credential } => {
            change_credentials(conn, *account, *credential, replayed)?
        }
        JournalEvent::WalletEnded { wallet } => match wallets::named(conn, wallet)? {
            Some(row) if row.ended_at.is_none() => {
                wallets::end(conn, row.id, "unlinked", line.at)?.then_some("wallets unlinked")
            }
            _ => None,
        },
        JournalEvent::AddressIssued { xpub, index } => {
            let next = index.saturating_add(1);
            let is_behind = deposit_addresses::counter(conn, xpub)? < next;
            if is_behind {
                deposit_addresses::advance(conn, xpub, next)?;
            }
            is_behind.then_some("address numbers skipped")
        }
        JournalEvent::TombstoneKept { tombstone } => {
            tombstones::must_be_known(conn, rules.key)?;
            tombstones::keep_one(conn, &tombstone.0)?.then_some("tombstones kept")
        }
        JournalEvent::TombstoneForgotten { tombstone } => {
            tombstones::forget_one(conn, &tombstone.0)?.then_some("tombstones forgotten")
        }
        JournalEvent::RefundHeld { .. }
        | JournalEvent::RefundPosted { .. }
        | JournalEvent::RefundCancelled { .. } => None,
    };
    Ok(done)
}

/// A password or an address of before the change must open nothing: somebody may have changed it
/// because it was known to others.
fn change_credentials(
    conn: &mut AnyConnection,
    id: AccountId,
    credential: ChangedCredential,
    replayed: &mut Replayed,
) -> Result<Option<&'static str>, DbError> {
    let Some(row) = accounts::get(conn, id)? else { return Ok(None) };
    credentials_epoch::raise(conn, id, credentials_epoch::Kept::Nobodys)?;
    let account = &row.public_id;
    let to_do = match credential {
        ChangedCredential::Password => {
            credentials::clear_password(conn, id)?;
            None
        }
        ChangedCredential::Address => {
            credentials::clear_password(conn, id)?;
            Some(format!(
                "{account} changed its mail address after the backup and has the earlier one \
                 again: suspend it until its owner has written to you"
            ))
        }
        ChangedCredential::SecondFactor => Some(format!(
            "{account} changed its second factor after the backup and has the earlier one again, \
             or none: tell its owner"
        )),
    };
    replayed.to_do.extend(to_do);
    Ok(Some("credentials ended"))
}

/// Erases an account, as far as nothing of it is under way in the restored books.
fn erase(
    conn: &mut AnyConnection,
    account: AccountId,
    rules: ReplayRules<'_>,
    replayed: &mut Replayed,
) -> Result<(), BackupError> {
    let Some(row) = accounts::get(conn, account)? else { return Ok(()) };
    if erasure::erase(conn, (rules.key, rules.debt_forgiven), account, rules.now)? {
        replayed.count("accounts erased");
    } else {
        replayed.count("accounts that a server erases");
        replayed.to_do.push(format!(
            "{} is erased by the server once what was under way in the backup has ended: see \
             `sluice account show`",
            row.public_id
        ));
    }
    Ok(())
}
