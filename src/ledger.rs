//! The books: what a balance is, and every command that changes one.
//!
//! Two phases: `reserve`, then `post` or `void`. For every account the sum of its entries equals
//! what is available plus what is reserved, always. Commands come in groups: [`apply`] locks the
//! accounts, decides the commands in order in memory, and writes each account once, all in one
//! transaction. Every command carries an id made beforehand and may be repeated without harm, so
//! that an unknown commit is resolved by asking again.

mod account;
mod command;
mod group;
mod keys;
mod notices;
pub mod parked;
mod rows;
#[cfg(test)]
mod tests;
mod verify;

pub use crate::db::books::Busy;
pub use command::{Command, EntryKind, Hold, Outcome, Shortage};
pub use verify::{Discrepancy, Report, verify};

use crate::db::books;
use crate::db::{AnyConnection, DbError, nodes, transaction};
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

impl LedgerError {
    /// Whether the database as a whole is away, so that no other command would fare better now.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Db(error) if error.is_away())
    }

    /// Whether the same command would fail again for certain.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Db(error) => error.is_refusal(),
            Self::Amount(_) | Self::Record(_) => true,
        }
    }
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
    apply_unless(conn, commands, Busy::Wait, now, || false)
}

/// The same, with accounts that another transaction holds dealt with as `busy` says, and unless `is_given_up` says before the
/// commit that nobody wants it any more. The commands of an account that is skipped are answered with
/// [`Outcome::AccountBusy`].
///
/// # Errors
/// [`LedgerError`], [`DbError::Silent`] among them: then it was given up, and nothing was done.
pub fn apply_unless(
    conn: &mut AnyConnection,
    commands: &[Command],
    busy: Busy,
    now: UnixMillis,
    is_given_up: impl Fn() -> bool,
) -> Result<Vec<Outcome>, LedgerError> {
    transaction::write(conn, |conn| {
        let outcomes = decide(conn, commands, busy, now)?;
        if is_given_up() { Err(DbError::Silent.into()) } else { Ok(outcomes) }
    })
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
    decide(conn, commands, Busy::Wait, now)
}

fn decide(
    conn: &mut AnyConnection,
    commands: &[Command],
    busy: Busy,
    now: UnixMillis,
) -> Result<Vec<Outcome>, LedgerError> {
    let mut group = load(conn, commands, busy, now)?;
    let outcomes =
        commands.iter().map(|command| group.decide(command)).collect::<Result<_, _>>()?;
    store(conn, &group, now)?;
    Ok(outcomes)
}

fn load(
    conn: &mut AnyConnection,
    commands: &[Command],
    busy: Busy,
    now: UnixMillis,
) -> Result<Group, LedgerError> {
    let mut group = Group::new(now);
    let mut account_ids: Vec<i64> = commands.iter().map(|command| command.account_id().0).collect();
    account_ids.sort_unstable();
    account_ids.dedup();
    let rows = books::lock_balances(conn, &account_ids, busy)?;
    if busy == Busy::Skip && rows.len() < account_ids.len() {
        let is_missing = |id: &i64| rows.iter().all(|row| row.id != *id);
        let missing: Vec<i64> = account_ids.into_iter().filter(is_missing).collect();
        group.set_busy(books::existing_accounts(conn, &missing)?);
    }
    group.set_balances(rows);

    let exchange_ids: Vec<String> =
        commands.iter().filter_map(Command::exchange_id).map(str::to_owned).collect();
    if !exchange_ids.is_empty() {
        group.set_reservations(books::open_reservations(conn, &exchange_ids)?);
    }
    load_keys(conn, &mut group, commands)?;
    load_leases(conn, &mut group, commands)?;
    let unmatched: Vec<String> = commands
        .iter()
        .filter_map(Command::settled_id)
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

/// The leases of the nodes that are said to be dead, held until the group is committed: one that has renewed its own
/// meanwhile is not.
fn load_leases(
    conn: &mut AnyConnection,
    group: &mut Group,
    commands: &[Command],
) -> Result<(), LedgerError> {
    let judged = commands.iter().filter_map(Command::judged_id);
    let mut owners: Vec<String> =
        judged.filter_map(|id| group.owner_of(id)).map(str::to_owned).collect();
    owners.sort_unstable();
    owners.dedup();
    if !owners.is_empty() {
        group.set_leases(nodes::hold_leases(conn, &owners)?);
    }
    Ok(())
}

/// The keys whose books the group may change. What open reservations hold counts only against a budget, and only where
/// more is to be held.
fn load_keys(
    conn: &mut AnyConnection,
    group: &mut Group,
    commands: &[Command],
) -> Result<(), LedgerError> {
    let key_of =
        |command: &Command| command.key_id().or_else(|| group.key_of(command.key_is_of()?));
    let mut all: Vec<i64> = commands.iter().filter_map(key_of).collect();
    let holding: Vec<i64> =
        commands.iter().filter(|command| command.is_hold()).filter_map(key_of).collect();
    all.sort_unstable();
    all.dedup();
    if all.is_empty() {
        return Ok(());
    }
    let keys = group.keys_mut();
    keys.set(books::keys::keys(conn, &all)?);
    let limited = keys.with_budget(holding.into_iter());
    if !limited.is_empty() {
        keys.set_held(books::keys::held_by(conn, &limited)?)?;
    }
    Ok(())
}

fn store(conn: &mut AnyConnection, group: &Group, now: UnixMillis) -> Result<(), LedgerError> {
    let reservations = group.reservation_changes();
    books::insert_reservations(conn, &reservations.opened)?;
    books::update_reservations(conn, &reservations.changed)?;
    books::delete_reservations(conn, &reservations.closed)?;
    books::forget_usage(conn, group.resumed())?;
    books::insert_usage(conn, group.new_usage())?;
    books::insert_passes(conn, group.new_passes())?;
    books::insert_entries(conn, group.new_entries())?;
    for replaced in group.replaced() {
        books::replace_usage(conn, &replaced.usage)?;
        books::delete_passes(conn, &replaced.usage.id)?;
        books::insert_passes(conn, &replaced.passes)?;
        books::replace_usage_entry(conn, &replaced.entry)?;
    }
    books::keys::change_keys(conn, &group.key_changes())?;
    books::change_balances(conn, &group.balance_changes())?;
    notices::write(conn, group, now)
}
