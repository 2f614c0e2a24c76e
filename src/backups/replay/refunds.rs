//! Refunds that were held, paid or given up after a backup. Of each only how it ended counts.

use std::collections::{BTreeMap, HashMap};

use super::{ReplayRules, Replayed};
use crate::backups::BackupError;
use crate::db::models::deposits::{self, DepositRow};
use crate::db::models::{deposit_refunds, tombstones};
use crate::db::{AnyConnection, DbError, backup_copy, transaction};
use crate::deposits::refund::{self, Refunded};
use crate::domain::deposit::{DepositState, RefundState};
use crate::domain::evm::TxHash;
use crate::domain::journal_event::{HashText, JournalEvent};
use crate::domain::money::NanoUsd;

/// What the operator's record says of it.
const REASON: &str = "done again from the journal after a restore";

/// Every refund that the journal names, by its public id.
#[derive(Debug, Default)]
pub(super) struct Refunds(BTreeMap<String, RefundStory>);

#[derive(Debug, Default)]
struct RefundStory {
    /// The deposit, the amount and whether that was all of it, if it was held after the backup.
    held: Option<(HashText, NanoUsd, bool)>,
    /// How it ended, if it did.
    end: Option<RefundEnd>,
}

#[derive(Clone, Copy, Debug)]
enum RefundEnd {
    Posted(TxHash),
    Cancelled,
}

impl Refunds {
    /// Notes an event of a refund; `false` for any other.
    pub(super) fn take(&mut self, event: &JournalEvent) -> bool {
        match event {
            JournalEvent::RefundHeld { refund, deposit, amount_nanousd, is_whole } => {
                let amount = NanoUsd::from_nanos(*amount_nanousd);
                self.story(refund).held = Some((*deposit, amount, *is_whole));
            }
            JournalEvent::RefundPosted { refund, tx_hash } => {
                self.story(refund).end = Some(RefundEnd::Posted(TxHash(tx_hash.0)));
            }
            JournalEvent::RefundCancelled { refund } => {
                self.story(refund).end = Some(RefundEnd::Cancelled);
            }
            _ => return false,
        }
        true
    }

    fn story(&mut self, refund: &str) -> &mut RefundStory {
        self.0.entry(refund.to_owned()).or_default()
    }

    /// Brings each refund to where it ended.
    pub(super) fn redo(
        &self,
        conn: &mut AnyConnection,
        rules: ReplayRules<'_>,
        replayed: &mut Replayed,
    ) -> Result<(), BackupError> {
        let rows = if self.0.is_empty() { HashMap::new() } else { deposits_by_hash(conn, rules)? };
        for (id, story) in &self.0 {
            let stored = deposit_refunds::find(conn, id)?;
            let row = match (&stored, story.held) {
                (Some(refund), _) => deposits::get(conn, refund.deposit_id)?,
                (None, Some((place, ..))) => match rows.get(&place) {
                    Some(row) => deposits::get(conn, *row)?,
                    None => None,
                },
                (None, None) => None,
            };
            let Some(row) = row else {
                without_deposit(conn, id, story, rules, replayed)?;
                continue;
            };
            let is_there = stored.is_some();
            if is_there || hold(conn, &row, (id, story), rules, replayed)? {
                finish(conn, &row, (id, story), rules, replayed)?;
            }
        }
        Ok(())
    }
}

/// Every deposit, by its hash.
fn deposits_by_hash(
    conn: &mut AnyConnection,
    rules: ReplayRules<'_>,
) -> Result<HashMap<HashText, i64>, DbError> {
    let mut found = HashMap::new();
    let mut last = 0;
    loop {
        let places = backup_copy::deposits_after(conn, last)?;
        let Some((newest, ..)) = places.last() else { return Ok(found) };
        last = *newest;
        for (id, chain_id, tx_hash, ordinal) in places {
            let hash = rules.key.tombstone(chain_id, tx_hash.as_bytes(), ordinal);
            found.insert(HashText(hash), id);
        }
    }
}

/// Holds a refund anew; whether it is held now.
fn hold(
    conn: &mut AnyConnection,
    row: &DepositRow,
    (id, story): (&str, &RefundStory),
    rules: ReplayRules<'_>,
    replayed: &mut Replayed,
) -> Result<bool, BackupError> {
    let Some((_, amount, is_whole)) = story.held else { return Ok(false) };
    // Nothing is left of it, whatever became of the deposit.
    if matches!(story.end, Some(RefundEnd::Cancelled)) {
        return Ok(false);
    }
    let deposit = &row.public_id;
    let is_credited = row.state == DepositState::Credited;
    if !is_credited && !is_whole {
        replayed.to_do.push(format!(
            "{amount} USD of {deposit} were paid back (refund {id}), but the backup has not \
             credited it yet: once it is credited, run `sluice deposit refund {deposit} --amount \
             {amount} --reason …`, and then with --tx"
        ));
        return Ok(false);
    }
    match refund::hold_again(conn, row, (id, amount), REASON, rules.now)? {
        Refunded::Done(_) => {
            replayed.count("refunds held");
            Ok(true)
        }
        Refunded::Already(other) => {
            let other = other.public_id;
            replayed.to_do.push(format!(
                "{deposit} has the refund {other} in the backup, and had {id} later: compare both"
            ));
            Ok(false)
        }
        refused => {
            let why = match refused {
                Refunded::Insufficient { available } => {
                    format!("its account has only {available} USD in the backup")
                }
                _ => format!("it is {} in the backup", row.state),
            };
            replayed.to_do.push(format!(
                "the refund {id} of {deposit} ({amount} USD) cannot be held again: {why}. Take the \
                 amount with `sluice account credit ACCOUNT -{amount} --reason …`"
            ));
            Ok(false)
        }
    }
}

fn finish(
    conn: &mut AnyConnection,
    row: &DepositRow,
    (id, story): (&str, &RefundStory),
    rules: ReplayRules<'_>,
    replayed: &mut Replayed,
) -> Result<(), BackupError> {
    let is_held = deposit_refunds::find(conn, id)?.is_some_and(|it| it.state == RefundState::Held);
    match story.end {
        Some(RefundEnd::Posted(tx_hash)) if is_held => {
            refund::post(conn, row, tx_hash, rules.now)?;
            replayed.count("refunds posted");
        }
        Some(RefundEnd::Cancelled) if is_held => {
            refund::cancel(conn, row, REASON, rules.now)?;
            replayed.count("refunds cancelled");
        }
        _ => {}
    }
    Ok(())
}

/// The backup does not have the deposit: its chain will bring it again.
fn without_deposit(
    conn: &mut AnyConnection,
    id: &str,
    story: &RefundStory,
    rules: ReplayRules<'_>,
    replayed: &mut Replayed,
) -> Result<(), BackupError> {
    let Some((place, amount, is_whole)) = story.held else { return Ok(()) };
    match story.end {
        Some(RefundEnd::Cancelled) => {}
        // All of it was paid back, so that nothing of it may be credited when it is found again.
        Some(RefundEnd::Posted(_)) if is_whole => {
            let kept = transaction::write(conn, |conn| {
                tombstones::must_be_known(conn, rules.key)?;
                tombstones::keep_one(conn, &place.0)
            })?;
            if kept {
                replayed.count("refunded deposits that are not credited again");
            }
        }
        end => {
            let paid = match end {
                Some(RefundEnd::Posted(tx_hash)) => format!("was paid with {tx_hash}"),
                _ => "was held, and perhaps paid".to_owned(),
            };
            replayed.to_do.push(format!(
                "the refund {id} ({amount} USD) {paid}; its deposit is younger than the backup and \
                 will be found and credited again: hold and post the refund again as soon as it is \
                 in `sluice deposit list`"
            ));
        }
    }
    Ok(())
}
