//! How a group of commands comes into the books: what it needs is read, it is decided in memory,
//! and the difference is written.
//!
//! A server on PostgreSQL does that without a transaction around it. The decision is then made on
//! what was read, and an account is written only if it is still as it was then. So nothing is held
//! while a node thinks, or stops thinking. All else, and whatever writes more than a group usually
//! does, holds its accounts in a transaction.
//!
//! A server on `SQLite` has the whole file in each transaction, and reads only what it does not
//! remember from its last one.

use std::collections::HashSet;

use super::command::{Command, Effect};
use super::group::Group;
use super::{LedgerError, notices};
use crate::db::books::{self, BalanceCache, Busy, CommandNeeds};
use crate::db::models::nodes;
use crate::db::{AnyConnection, DbError, transaction};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;

/// How often commands are decided whose account was not as it was remembered or read, before they
/// stand aside.
const ROUNDS: usize = 3;

/// Makes a server's connection ready for [`apply_unless`].
pub fn prepare(conn: &mut AnyConnection) -> Result<(), DbError> {
    Ok(books::prepare(conn)?)
}

/// Applies `commands` in order in one transaction and answers each.
///
/// # Errors
/// [`LedgerError`]; the caller may repeat the same commands.
pub fn apply(
    conn: &mut AnyConnection,
    commands: &[Command],
    now: UnixMillis,
) -> Result<Vec<Effect>, LedgerError> {
    let memory = &mut BalanceCache::default();
    apply_held((conn, memory), &commands.iter().collect::<Vec<_>>(), Busy::Wait, now, &|| false)
}

/// The same for a server: with what its connection remembers, with accounts that another
/// transaction holds dealt with as `busy` says, and unless `is_given_up` says before the commit
/// that nobody wants it any more. The commands of an account that is skipped are answered with
/// [`Effect::AccountBusy`].
///
/// # Errors
/// [`LedgerError`], [`DbError::Silent`] among them: then it was given up, and nothing more is done;
/// accounts that were written before others had to be decided again stay so. The memory is to be
/// cleared.
pub fn apply_unless(
    (conn, memory): (&mut AnyConnection, &mut BalanceCache),
    commands: Vec<&Command>,
    busy: Busy,
    now: UnixMillis,
    is_given_up: &dyn Fn() -> bool,
) -> Result<Vec<Effect>, LedgerError> {
    let is_usual = busy == Busy::Skip && commands.iter().all(|command| command.is_of_an_exchange());
    if is_usual && matches!(conn, AnyConnection::Postgres(_)) {
        return apply_unheld((conn, memory), commands, now, is_given_up);
    }
    apply_held((conn, memory), &commands, busy, now, is_given_up)
}

/// The same within a write transaction of the caller's, who has more to write that belongs to it.
///
/// # Errors
/// [`LedgerError`]; the transaction must then be given up.
pub fn apply_within(
    conn: &mut AnyConnection,
    commands: &[Command],
    now: UnixMillis,
) -> Result<Vec<Effect>, LedgerError> {
    let memory = &mut BalanceCache::default();
    decide((conn, memory), &commands.iter().collect::<Vec<_>>(), Busy::Wait, now)
}

fn apply_held(
    (conn, memory): (&mut AnyConnection, &mut BalanceCache),
    commands: &[&Command],
    busy: Busy,
    now: UnixMillis,
    is_given_up: &dyn Fn() -> bool,
) -> Result<Vec<Effect>, LedgerError> {
    transaction::write(conn, |conn| {
        let outcomes = decide((conn, memory), commands, busy, now)?;
        if is_given_up() { Err(DbError::Silent.into()) } else { Ok(outcomes) }
    })
}

/// Without a transaction around it. Accounts that are held, or change while they are decided on,
/// are answered as busy.
fn apply_unheld<'a>(
    (conn, memory): (&mut AnyConnection, &mut BalanceCache),
    commands: Vec<&'a Command>,
    now: UnixMillis,
    is_given_up: &dyn Fn() -> bool,
) -> Result<Vec<Effect>, LedgerError> {
    let mut outcomes = vec![Effect::AccountBusy; commands.len()];
    let mut left: Vec<(usize, &'a Command)> = commands.into_iter().enumerate().collect();
    for _ in 0..ROUNDS {
        let (places, these): (Vec<usize>, Vec<&Command>) = left.iter().copied().unzip();
        let decided = match attempt((&mut *conn, &mut *memory), &these, now, is_given_up)? {
            GroupOutcome::Written(decided) => decided,
            GroupOutcome::Unusual => {
                let all =
                    apply_held((&mut *conn, &mut *memory), &these, Busy::Skip, now, is_given_up)?;
                all.into_iter().map(Some).collect()
            }
        };
        left = Vec::new();
        for ((place, command), decided) in places.into_iter().zip(these).zip(decided) {
            match (decided, outcomes.get_mut(place)) {
                (Some(decided), Some(outcome)) => *outcome = decided,
                _ => left.push((place, command)),
            }
        }
        if left.is_empty() {
            break;
        }
    }
    Ok(outcomes)
}

/// What came of deciding commands once.
enum GroupOutcome {
    /// It is written, but for the accounts of those without an outcome.
    Written(Vec<Option<Effect>>),
    /// More is to be written than can be without a transaction.
    Unusual,
}

fn attempt(
    (conn, memory): (&mut AnyConnection, &mut BalanceCache),
    commands: &[&Command],
    now: UnixMillis,
    is_given_up: &dyn Fn() -> bool,
) -> Result<GroupOutcome, LedgerError> {
    let (known, unknown) = memory.find(&wants(commands));
    let remembered: HashSet<AccountId> = known.balances.iter().map(|row| row.id).collect();
    let mut group = Group::new(now);
    group.set(known)?;
    if !unknown.is_empty() {
        let read = books::read(conn, &unknown)?;
        memory.learn(&read);
        group.set(read)?;
    }
    let outcomes = group.decide_all(commands)?;
    if group.is_unusual()? {
        return Ok(GroupOutcome::Unusual);
    }
    if is_given_up() {
        return Err(DbError::Silent.into());
    }
    let changes = group.changes();
    let written = books::write(conn, &changes)?;
    memory.note(&changes, &written);
    let touched: HashSet<AccountId> =
        changes.balances.iter().map(|change| change.account_id).collect();
    let written: HashSet<AccountId> = written.into_iter().map(|(id, _)| id).collect();
    // Of what was not written, nothing says that it is still so.
    let ids = commands.iter().map(|command| command.account_id());
    memory.forget(ids.filter(|id| !written.contains(id)));
    // A decision that changes nothing is as good as what it was made on.
    let is_unproven = |id: &AccountId| touched.contains(id) || remembered.contains(id);
    let stands = |id: &AccountId| written.contains(id) || !is_unproven(id);
    let decided = commands.iter().zip(outcomes);
    Ok(GroupOutcome::Written(
        decided
            .map(|(command, outcome)| stands(&command.account_id()).then_some(outcome))
            .collect(),
    ))
}

fn decide(
    (conn, memory): (&mut AnyConnection, &mut BalanceCache),
    commands: &[&Command],
    busy: Busy,
    now: UnixMillis,
) -> Result<Vec<Effect>, LedgerError> {
    let mut group = Group::new(now);
    let mut account_ids: Vec<AccountId> =
        commands.iter().map(|command| command.account_id()).collect();
    account_ids.sort_unstable();
    account_ids.dedup();
    // Only what is read behind the lock is sure to stay.
    let held = books::lock(conn, &account_ids, busy)?;
    let wants = wants(commands);
    let may_remember = books::keep_up(conn, memory, &wants)?;
    let (known, unknown) = memory.find(&wants);
    let mut found: HashSet<AccountId> = known.balances.iter().map(|row| row.id).collect();
    group.set(known)?;
    if !unknown.is_empty() {
        let read = books::read(conn, &unknown)?;
        found.extend(read.balances.iter().map(|row| row.id));
        memory.learn(&read);
        group.set(read)?;
    }
    group.set_busy(found.into_iter().filter(|id| !held.contains(id)).collect());
    load_leases(conn, &mut group, commands)?;
    for (kind, reference) in commands.iter().filter_map(|command| command.credit_reference()) {
        if books::entry_exists(conn, kind, reference)? {
            group.set_entry(kind, reference);
        }
    }
    let outcomes = group.decide_all(commands)?;
    store((conn, memory), &group, now)?;
    if !may_remember || group.is_unusual()? {
        memory.forget(account_ids);
    }
    Ok(outcomes)
}

fn wants<'a>(commands: &[&'a Command]) -> Vec<CommandNeeds<'a>> {
    commands.iter().map(|command| want(command)).collect()
}

fn want(command: &Command) -> CommandNeeds<'_> {
    CommandNeeds {
        account_id: command.account_id(),
        key_id: command.key_id(),
        exchange_id: command.exchange_id(),
        is_key_of_exchange: command.has_key_of_exchange(),
        is_hold: command.is_hold(),
        is_new: command.is_new(),
    }
}

/// The leases of the nodes that are said to be dead, held until the group is committed: one that
/// has renewed its own meanwhile is not.
fn load_leases(
    conn: &mut AnyConnection,
    group: &mut Group,
    commands: &[&Command],
) -> Result<(), LedgerError> {
    let judged = commands.iter().filter_map(|command| command.judged_id());
    let mut owners: Vec<String> =
        judged.filter_map(|id| group.owner_of(id)).map(str::to_owned).collect();
    owners.sort_unstable();
    owners.dedup();
    if !owners.is_empty() {
        group.set_leases(nodes::hold_leases(conn, &owners)?);
    }
    Ok(())
}

fn store(
    (conn, memory): (&mut AnyConnection, &mut BalanceCache),
    group: &Group,
    now: UnixMillis,
) -> Result<(), LedgerError> {
    books::forget_usage(conn, group.resumed())?;
    let changes = group.changes();
    let written = books::write(conn, &changes)?;
    if written.len() < changes.balances.len() {
        // All of them are held, so this cannot be; then nothing may stay.
        return Err(DbError::Task.into());
    }
    memory.note(&changes, &written);
    books::insert_passes(conn, group.new_passes())?;
    for replaced in group.replaced() {
        books::replace_usage(conn, &replaced.usage)?;
        books::delete_passes(conn, &replaced.usage.id)?;
        books::insert_passes(conn, &replaced.passes)?;
        books::replace_usage_entry(conn, &replaced.entry)?;
    }
    notices::write(conn, group, now)
}
