//! What providers do not agree on at the moment. A doubt lasts from the round in which it came up
//! until it is settled, also through the rounds in which nobody asks: so the chain's state does not
//! flicker.

use std::collections::{BTreeMap, HashSet};

use super::{RoundError, WatcherState, millis};
use crate::db::models::deposit_cases;
use crate::deposits::cases;
use crate::domain::clock::UnixMillis;
use crate::domain::deposit_case::{CaseKind, CaseState};
use crate::domain::evm::TxHash;

/// How long a doubt outlasts the moment when it should have been looked at again, in milliseconds.
/// Then it concerns something that is gone.
const GRACE: i64 = 60_000;
/// Pause between two looks at what is a case already, in milliseconds.
const CASE_PAUSE: i64 = 600_000;

/// A transaction as a whole, or the deposit at that place in it.
pub(super) type About = (TxHash, Option<i64>);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Disagreements {
    current: BTreeMap<About, Disagreement>,
    /// What the table of cases has rows about.
    written: HashSet<About>,
}

#[derive(Debug)]
struct Disagreement {
    detail: String,
    until: UnixMillis,
    /// Whether the chain is in trouble for it.
    is_the_chains: bool,
}

impl Disagreements {
    /// A doubt that is looked at again at `check_at`.
    fn raise(&mut self, about: About, detail: String, check_at: UnixMillis, is_the_chains: bool) {
        let until = check_at.plus_millis(GRACE);
        self.current.insert(about, Disagreement { detail, until, is_the_chains });
    }

    /// It is settled, or its subject is gone. Whether there is a row about it.
    pub(super) fn settle(&mut self, about: About) -> bool {
        self.current.remove(&about);
        self.written.remove(&about)
    }

    /// All subjects may be gone.
    pub(super) fn clear(&mut self) {
        self.current.clear();
    }

    /// One of them, as long as there are any the same one; and how many there are. Cases for a
    /// person are none.
    pub(super) fn first(&mut self, now: UnixMillis) -> Option<String> {
        self.current.retain(|_, doubt| doubt.until >= now);
        let mut all = self.current.values().filter(|doubt| doubt.is_the_chains);
        let detail = &all.next()?.detail;
        match all.count() {
            0 => Some(detail.clone()),
            more => Some(format!("{detail} ({} such cases)", more.saturating_add(1))),
        }
    }
}

impl WatcherState {
    /// Notes a doubt that would be looked at again at `check_at`, and answers when it is: what
    /// lasts is a case, which is looked at seldom. `is_the_chains` says whether the chain is in
    /// trouble for it until then.
    pub(super) async fn doubt(
        &mut self,
        about: About,
        block_number: i64,
        why: String,
        (check_at, is_the_chains): (UnixMillis, bool),
    ) -> Result<UnixMillis, RoundError> {
        let (chain_id, now) = (self.chain_id(), self.now());
        let patience = millis(self.parts.deposits.case_after);
        let (subject, detail) = (subject(about), why.clone());
        let row = self
            .write(move |conn| {
                let about = (subject, Some(block_number));
                cases::doubt(conn, chain_id, about, &detail, patience, now)
            })
            .await?;
        self.doubts.written.insert(about);
        let is_case = row.state != CaseState::Doubted;
        let check_at = if is_case { check_at.max(now.plus_millis(CASE_PAUSE)) } else { check_at };
        if row.opened_at == Some(now) {
            let (chain, tx_hash) = (&self.parts.chain.name, about.0);
            tracing::error!(chain, case = row.public_id, %tx_hash, why, "a case for a person");
            self.learn_cases().await?;
        }
        self.doubts.raise(about, why, check_at, is_the_chains && !is_case);
        Ok(check_at)
    }

    /// Something is in no doubt any more.
    pub(super) async fn no_doubt(&mut self, about: About) -> Result<(), RoundError> {
        // Of a deposit also what a person has opened again since the rows were read.
        if self.doubts.settle(about) || about.1.is_some() {
            let (chain_id, subject) = (self.chain_id(), subject(about));
            self.parts
                .database
                .run(move |conn| deposit_cases::forget(conn, chain_id, subject))
                .await?;
        }
        Ok(())
    }

    /// Reads what people have decided meanwhile, and what this node did not write itself.
    pub(super) async fn learn_cases(&mut self) -> Result<(), RoundError> {
        let chain_id = self.chain_id();
        let rows =
            self.parts.database.run(move |conn| deposit_cases::of_chain(conn, chain_id)).await?;
        let open = rows.iter().filter(|row| row.state == CaseState::Open).count();
        let chain = &self.parts.chain.name;
        self.parts.metrics.chains.set_cases(chain, i64::try_from(open).unwrap_or(i64::MAX));
        let written = rows.iter().filter(|row| row.state != CaseState::Dismissed);
        self.doubts.written = written
            .filter_map(|row| match row.subject() {
                (tx_hash, CaseKind::Transaction, _) => Some((tx_hash, None)),
                (tx_hash, CaseKind::Deposit, ordinal) => Some((tx_hash, Some(ordinal))),
                (_, CaseKind::Claim, _) => None,
            })
            .collect();
        let Disagreements { current, written } = &mut self.doubts;
        // What has no row was dismissed.
        current.retain(|about, _| written.contains(about));
        Ok(())
    }
}

/// What a row of the table of cases is about.
fn subject((tx_hash, ordinal): About) -> deposit_cases::Subject {
    match ordinal {
        Some(ordinal) => (tx_hash, CaseKind::Deposit, ordinal),
        None => (tx_hash, CaseKind::Transaction, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_lasts_until_it_is_settled_or_its_subject_is_gone() {
        let at = UnixMillis::from_millis;
        let mut doubts = Disagreements::default();
        assert_eq!(doubts.first(at(0)), None);
        let (one, two) = ((TxHash([1; 32]), None), (TxHash([2; 32]), Some(-1)));
        doubts.raise(two, "two".to_owned(), at(100), true);
        doubts.raise(one, "one".to_owned(), at(1000), true);
        // What is a case is the chain's no more.
        doubts.raise((TxHash([3; 32]), None), "three".to_owned(), at(1000), false);
        assert_eq!(doubts.first(at(50)).as_deref(), Some("one (2 such cases)"));
        doubts.settle(one);
        assert_eq!(doubts.first(at(100 + GRACE)).as_deref(), Some("two"));
        assert_eq!(doubts.first(at(101 + GRACE)), None);
    }
}
