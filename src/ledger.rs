//! The books: what a balance is, and every command that changes one.
//!
//! Two phases: `reserve`, then `post` or `void`. For every account the sum of its entries equals
//! what is available plus what is reserved, always. Commands come in groups: [`apply`] locks the
//! accounts, decides the commands in order in memory, and writes each account once, all in one
//! transaction. Every command carries an id made beforehand and may be repeated without harm, so
//! that an unknown commit is resolved by asking again.

mod command;
mod group;
#[cfg(test)]
mod tests;
mod verify;

pub use command::{Command, EntryKind, Outcome};
pub use verify::{Discrepancy, Report, verify};

use crate::db::books;
use crate::db::{AnyConnection, DbError, transaction};
use crate::domain::clock::UnixMillis;
use group::Group;

/// Why a group could not be applied. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Storage failed; a commit may or may not have landed.
    #[error("the ledger cannot be written")]
    Db(#[from] DbError),
    /// A sum left 64 bits.
    #[error("a balance would not fit its column")]
    Amount(#[from] crate::domain::money::MoneyError),
    /// A usage record does not turn into text.
    #[error("a usage record cannot be stored")]
    Record(#[source] serde_json::Error),
}

impl From<diesel::result::Error> for LedgerError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Db(DbError::Query(error))
    }
}

/// Applies `commands` in order in one transaction and answers each.
///
/// # Errors
/// [`LedgerError`]; the caller may repeat the same commands.
pub fn apply(
    conn: &mut AnyConnection,
    commands: &[Command],
    now: UnixMillis,
) -> Result<Vec<Outcome>, LedgerError> {
    transaction::write(conn, |conn| apply_within(conn, commands, now))
}

/// The same within a write transaction of the caller's, who has more to write that belongs to it.
///
/// # Errors
/// [`LedgerError`]; the transaction must then be given up.
pub fn apply_within(
    conn: &mut AnyConnection,
    commands: &[Command],
    now: UnixMillis,
) -> Result<Vec<Outcome>, LedgerError> {
    let mut group = load(conn, commands, now)?;
    let outcomes =
        commands.iter().map(|command| group.decide(command)).collect::<Result<_, _>>()?;
    store(conn, &group)?;
    Ok(outcomes)
}

fn load(
    conn: &mut AnyConnection,
    commands: &[Command],
    now: UnixMillis,
) -> Result<Group, LedgerError> {
    let mut group = Group::new(now);
    let mut account_ids: Vec<i64> = commands.iter().map(|command| command.account_id().0).collect();
    account_ids.sort_unstable();
    account_ids.dedup();
    group.set_balances(books::lock_balances(conn, &account_ids)?);

    let key_ids: Vec<i64> = commands.iter().filter_map(Command::reserving_key).collect();
    if !key_ids.is_empty() {
        group.set_live_keys(books::live_keys(conn, &key_ids)?);
    }
    let exchange_ids: Vec<String> =
        commands.iter().filter_map(Command::exchange_id).map(str::to_owned).collect();
    if !exchange_ids.is_empty() {
        group.set_reservations(books::open_reservations(conn, &exchange_ids)?);
    }
    // Only a settlement without its reservation needs to know whether it had landed before.
    let unmatched: Vec<String> = commands
        .iter()
        .filter_map(Command::settling_id)
        .filter(|id| !group.has_reservation(id))
        .map(str::to_owned)
        .collect();
    if !unmatched.is_empty() {
        group.set_usage(books::settled_usage(conn, &unmatched)?);
    }
    for (kind, reference) in commands.iter().filter_map(Command::credit_reference) {
        if books::entry_exists(conn, kind.as_str(), reference)? {
            group.set_entry(kind, reference);
        }
    }
    Ok(group)
}

fn store(conn: &mut AnyConnection, group: &Group) -> Result<(), LedgerError> {
    let reservations = group.reservation_changes();
    books::insert_reservations(conn, &reservations.opened)?;
    books::update_reservations(conn, &reservations.changed)?;
    books::delete_reservations(conn, &reservations.closed)?;
    books::insert_usage(conn, group.new_usage())?;
    books::insert_entries(conn, group.new_entries())?;
    for raised in group.raised() {
        books::replace_usage(conn, &raised.usage)?;
        let amount = raised.entry.amount_nanousd;
        if amount == 0 {
            continue;
        }
        if !books::raise_usage_entry(conn, &raised.entry.reference, amount)? {
            books::insert_entries(conn, std::slice::from_ref(&raised.entry))?;
        }
    }
    books::change_balances(conn, &group.balance_changes())?;
    Ok(())
}
