//! Looks into transactions: those that the scan has found, and those that accounts claim. The
//! claims' share is a constant number for each block, whatever their number.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::observe::View;
use super::{RoundError, WatcherState, height, part_end};
use crate::chain::facts::{TxFacts, TxStatus, fetch_transaction};
use crate::chain::quorum::{Agreement, QuorumResult, agree_on_sightings, ask_each};
use crate::chain::{Priority, Provider, ProviderError};
use crate::db::models::chains::{self, CandidateRow, ChainRow};
use crate::db::models::deposit_cases;
use crate::db::models::deposit_claims::{self, ClaimRow};
use crate::db::{AnyConnection, transaction};
use crate::deposits::claims::Awaited;
use crate::deposits::parcels::parcels;
use crate::deposits::recipients::{Recipients, TransferKind};
use crate::deposits::{DepositError, arrivals, cases, claims, record};
use crate::domain::backoff::{self, Backoff};
use crate::domain::deposit::ClaimReason;
use crate::domain::deposit_case::CaseKind;
use crate::domain::evm::TxHash;

/// Candidates that are looked into in one round.
const CANDIDATES: i64 = 50;
/// Those of them that are asked about at once.
const AT_ONCE: usize = 8;
/// Looks at a candidate after which, half a minute later at least, it counts that enough do not
/// know it.
const TRIES: i64 = 5;
/// Pauses between two looks at a candidate: the first five are half a minute at least.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(1200), Duration::from_secs(64));

/// What came of asking for a transaction.
pub(super) enum LookupResult {
    /// Enough say this.
    Agreed(TxStatus),
    /// Enough say that it is too large to be looked into, which is a word about it.
    TooLarge,
    /// No agreement, and why.
    Doubt(String),
}

/// The same, with how many do not know it.
pub(super) struct Lookup {
    pub(super) sighted: LookupResult,
    unknown_to: usize,
}

impl WatcherState {
    /// Turns candidates into deposits.
    pub(super) async fn look_into_candidates(
        &mut self,
        view: &View,
        ours: &Recipients,
    ) -> Result<(), RoundError> {
        let (chain_id, now) = (self.chain_id(), self.now());
        let due = self
            .parts
            .database
            .run(move |conn| chains::due_candidates(conn, chain_id, now, CANDIDATES))
            .await?;
        let end = part_end();
        for some in due.chunks(AT_ONCE) {
            if Instant::now() > end {
                break;
            }
            let sights = some.iter().map(|row| self.fetch_transaction(view, row.tx_hash, false));
            let sights = join_all(sights).await;
            for (row, sight) in some.iter().zip(sights) {
                self.look_into(view, ours, row, sight).await?;
            }
        }
        Ok(())
    }

    async fn look_into(
        &mut self,
        view: &View,
        ours: &Recipients,
        row: &CandidateRow,
        sight: Lookup,
    ) -> Result<(), RoundError> {
        let (tx_hash, tries) = (row.tx_hash, row.tries);
        let about = (tx_hash, None);
        let has_tried = tries >= TRIES;
        let doubt = match sight.sighted {
            LookupResult::Agreed(TxStatus::Mined(facts)) => {
                self.doubts.settle(about);
                self.looked_into.entry(facts.block_number).or_default().insert(tx_hash);
                self.keep(facts, ours).await?;
                return Ok(());
            }
            // Not on the chain: were it there again, the scan would find it again.
            _ if has_tried && sight.unknown_to >= view.quorum => {
                return self.forget(tx_hash).await;
            }
            LookupResult::TooLarge if has_tried => {
                let chain = &self.parts.chain.name;
                tracing::error!(chain, %tx_hash, "a transaction is too large to examine");
                self.parts.metrics.count_alert("chain_oversized_transaction");
                return self.hand_to_a_person(tx_hash, row.block_number).await;
            }
            LookupResult::Doubt(why) => Some(why),
            // For a moment one may lag.
            LookupResult::Agreed(TxStatus::Pending) if has_tried => {
                Some(format!("too few providers show the transaction {tx_hash} in its block"))
            }
            LookupResult::Agreed(_) | LookupResult::TooLarge => None,
        };
        let (chain_id, now) = (self.chain_id(), self.now());
        let failures = u32::try_from(tries.saturating_add(1)).unwrap_or(u32::MAX);
        let mut until = now.plus(BACKOFF.jittered(failures, backoff::jitter()));
        if let Some(why) = doubt {
            until = self.doubt(about, row.block_number, why, (until, true)).await?;
        }
        self.parts
            .database
            .run(move |conn| chains::put_off_candidate(conn, chain_id, tx_hash, until))
            .await?;
        Ok(())
    }

    /// Makes a case of a transaction that is not looked at again by itself.
    async fn hand_to_a_person(&mut self, tx_hash: TxHash, number: i64) -> Result<(), RoundError> {
        self.doubts.settle((tx_hash, None));
        // Reading its block once more must not begin all this anew.
        self.looked_into.entry(height(number)).or_default().insert(tx_hash);
        let (chain_id, now) = (self.chain_id(), self.now());
        self.write(move |conn| {
            let about = ((tx_hash, CaseKind::Transaction, 0), Some(number));
            cases::open(conn, chain_id, about, "its transaction is too large", now)?;
            Ok(chains::forget_candidate(conn, chain_id, tx_hash)?)
        })
        .await?;
        self.learn_cases().await
    }

    async fn forget(&mut self, tx_hash: TxHash) -> Result<(), RoundError> {
        self.no_doubt((tx_hash, None)).await?;
        let chain_id = self.chain_id();
        self.parts
            .database
            .run(move |conn| chains::forget_candidate(conn, chain_id, tx_hash))
            .await?;
        Ok(())
    }

    /// Stores the deposits of agreed facts, and tells the claims of the transaction.
    pub(super) async fn keep(&self, facts: TxFacts, ours: &Recipients) -> Result<(), DepositError> {
        let (chain_id, now, ours) = (self.chain_id(), self.now(), ours.clone());
        let key = self.parts.tombstones.clone();
        self.write(move |conn| {
            transaction::write(conn, |conn| {
                let recorded = record::record(conn, &key, chain_id, &facts, &ours, now)?;
                chains::forget_candidate(conn, chain_id, facts.tx_hash)?;
                for kind in [CaseKind::Transaction, CaseKind::Claim] {
                    deposit_cases::forget(conn, chain_id, (facts.tx_hash, kind, 0))?;
                }
                let payees = facts.transfers.iter().map(|one| one.to);
                // Of a flood of transfers each payee once.
                let payees: HashSet<_> = payees.filter(|payee| ours.is_payee(*payee)).collect();
                arrivals::forget_explained(conn, chain_id, payees.into_iter())?;
                if !recorded.rows.is_empty() {
                    claims::match_all(conn, chain_id, facts.tx_hash, now)?;
                } else if recorded.is_buried {
                    // Whose it was is nobody's business any more.
                    deposit_claims::refuse_others(conn, chain_id, facts.tx_hash, &[], now)?;
                }
                Ok(())
            })
        })
        .await
    }

    /// What providers agree to know of a transaction.
    pub(super) async fn fetch_transaction(
        &self,
        view: &View,
        tx_hash: TxHash,
        wants_trace: bool,
    ) -> Lookup {
        self.sight_by(&view.providers, view.quorum, tx_hash, wants_trace).await
    }

    pub(super) async fn sight_by(
        &self,
        providers: &[Provider],
        quorum: usize,
        tx_hash: TxHash,
        wants_trace: bool,
    ) -> Lookup {
        let able = providers.iter().filter(|provider| !wants_trace || provider.has_traces());
        let able: Vec<Provider> = able.cloned().collect();
        let mut said =
            ask_each(&able, |provider| fetch_transaction(provider, tx_hash, wants_trace)).await;
        for (_, answer) in &mut said {
            if answer.as_ref().is_ok_and(|sighting| self.hides_a_transfer(sighting)) {
                *answer = Err(ProviderError::Implausible("a log of a token that cannot be read"));
            }
        }
        let is_unknown = |answer: &Result<_, _>| matches!(answer, Ok(TxStatus::Unknown));
        let unknown_to = said.iter().filter(|(_, answer)| is_unknown(answer)).count();
        let QuorumResult { agreement, dissenting, silent } = agree_on_sightings(said, quorum);
        self.note_dissent(&dissenting, "transaction");
        let too_large = silent.iter().filter(|(_, error)| *error == ProviderError::TooLarge);
        let sighted = match agreement {
            Agreement::Agreed(sighting) => LookupResult::Agreed(sighting),
            _ if too_large.count() >= quorum => LookupResult::TooLarge,
            Agreement::Disagree { what } => LookupResult::Doubt(format!(
                "providers disagree about the transaction {tx_hash}: {what}"
            )),
            Agreement::TooFew { answered, needed } => {
                let why: Vec<String> =
                    silent.iter().map(|(name, error)| format!("; {name}: {error}")).collect();
                let why = why.concat();
                LookupResult::Doubt(format!(
                    "{answered} providers answer about the transaction {tx_hash} and {needed} are \
                     needed{why}"
                ))
            }
        };
        Lookup { sighted, unknown_to }
    }

    /// Whether a log that cannot be read is of a token that counts.
    fn hides_a_transfer(&self, sighting: &TxStatus) -> bool {
        let TxStatus::Mined(facts) = sighting else { return false };
        let tokens = &self.parts.chain.tokens;
        tokens.iter().any(|token| facts.unread_logs_of.contains(&token.address))
    }

    /// Looks up as many claims as the budget allows, fairly between accounts. What users ask about
    /// says nothing of the chain's state: it may be anything.
    pub(super) async fn look_up_claims(
        &mut self,
        view: &View,
        ours: &Recipients,
        row: &ChainRow,
    ) -> Result<(), RoundError> {
        let (chain_id, now, budget) = (self.chain_id(), self.now(), self.claim_budget);
        if budget == 0 {
            return Ok(());
        }
        let due = self
            .parts
            .database
            .run(move |conn| deposit_claims::due(conn, chain_id, now, budget.into()))
            .await?;
        let end = part_end();
        for claim in due {
            if Instant::now() > end {
                break;
            }
            self.claim_budget = self.claim_budget.saturating_sub(1);
            self.look_up(view, ours, row, claim).await?;
        }
        Ok(())
    }

    async fn look_up(
        &self,
        view: &View,
        ours: &Recipients,
        row: &ChainRow,
        claim: ClaimRow,
    ) -> Result<(), RoundError> {
        let (chain_id, now) = (self.chain_id(), self.now());
        let known = claim.clone();
        let take_turn = move |conn: &mut AnyConnection| {
            transaction::write(conn, |conn| {
                deposit_claims::stand_back(conn, known.account_id, chain_id, now)?;
                claims::settle_by_rows(conn, &known, now)
            })
        };
        let is_known = self.write(take_turn).await?;
        if is_known {
            return Ok(());
        }
        let providers = at_claim_priority(&view.providers);
        let mined = match self.sight_by(&providers, view.quorum, claim.tx_hash, false).await.sighted
        {
            LookupResult::Agreed(TxStatus::Mined(mined)) => mined,
            LookupResult::Agreed(TxStatus::Pending) => {
                return self.wait(claim, Awaited::Block).await;
            }
            LookupResult::Agreed(TxStatus::Unknown) => {
                return self.wait(claim, Awaited::Sight).await;
            }
            LookupResult::TooLarge => return self.refuse(claim, ClaimReason::Unreadable).await,
            LookupResult::Doubt(why) => return self.wait_for_agreement(claim, &why).await,
        };
        if mined.block_number < self.parts.chain.start_block.unwrap_or(height(row.first_number)) {
            return self.refuse(claim, ClaimReason::TooOld).await;
        }
        if !mined.is_success {
            // Until it is final it may yet be mined again, and succeed.
            if mined.block_number > view.final_number {
                return self.wait(claim, Awaited::Block).await;
            }
            return self.refuse(claim, ClaimReason::TransactionFailed).await;
        }
        if makes_deposit(ours, &mined) {
            self.keep(mined, ours).await?;
            return Ok(());
        }
        if mined.block_number > height(row.scanned_number) {
            return self.wait(claim, Awaited::Block).await;
        }
        self.look_inside(view, ours, claim, mined).await
    }

    /// The last resort for a claim: coins that contracts moved inside the transaction.
    async fn look_inside(
        &self,
        view: &View,
        ours: &Recipients,
        claim: ClaimRow,
        mined: TxFacts,
    ) -> Result<(), RoundError> {
        let able = self.parts.providers.iter().filter(|provider| provider.has_traces()).count();
        let may_hide_coins = self.parts.chain.native.is_some() && !mined.is_system;
        let mut seen = mined;
        if may_hide_coins && able >= view.quorum {
            let providers = at_claim_priority(&view.providers);
            match self.sight_by(&providers, view.quorum, seen.tx_hash, true).await.sighted {
                LookupResult::Agreed(TxStatus::Mined(traced)) => {
                    if makes_deposit(ours, &traced) {
                        self.keep(traced, ours).await?;
                        return Ok(());
                    }
                    seen = traced;
                }
                LookupResult::Agreed(_) => return self.wait(claim, Awaited::Block).await,
                LookupResult::TooLarge => return self.refuse(claim, ClaimReason::Unreadable).await,
                LookupResult::Doubt(why) => return self.wait_for_agreement(claim, &why).await,
            }
        }
        let reason = if bears(ours, &seen, TransferKind::Deposit) {
            ClaimReason::TooSmall
        } else if bears(ours, &seen, TransferKind::OwnTransfer) {
            ClaimReason::OwnTransfer
        } else if bears(ours, &seen, TransferKind::UnsupportedToken) {
            ClaimReason::UnsupportedToken
        } else if may_hide_coins && able < view.quorum && !ours.is_plain_payment(&seen) {
            ClaimReason::InternalNotSupported
        } else {
            ClaimReason::NotOurAddress
        };
        self.refuse(claim, reason).await
    }

    async fn wait_for_agreement(&self, claim: ClaimRow, why: &str) -> Result<(), RoundError> {
        let chain = &self.parts.chain.name;
        tracing::warn!(chain, claim = claim.public_id, why, "a claim waits");
        let (chain_id, now) = (self.chain_id(), self.now());
        let open_millis = super::millis(self.parts.deposits.claim_open);
        let why = why.to_owned();
        self.write(move |conn| {
            transaction::write(conn, |conn| {
                claims::put_off(conn, &claim, Awaited::Agreement, open_millis, now)?;
                cases::of_claim(conn, chain_id, &claim, open_millis, (&why, now))
            })
        })
        .await?;
        Ok(())
    }

    async fn wait(&self, claim: ClaimRow, awaited: Awaited) -> Result<(), RoundError> {
        let now = self.now();
        let open_millis = super::millis(self.parts.deposits.claim_open);
        self.write(move |conn| claims::put_off(conn, &claim, awaited, open_millis, now)).await?;
        Ok(())
    }

    async fn refuse(&self, claim: ClaimRow, reason: ClaimReason) -> Result<(), RoundError> {
        let (chain_id, now) = (self.chain_id(), self.now());
        self.write(move |conn| {
            transaction::write(conn, |conn| {
                claims::reject(conn, &claim, reason, now)?;
                Ok(deposit_cases::forget(conn, chain_id, (claim.tx_hash, CaseKind::Claim, 0))?)
            })
        })
        .await?;
        Ok(())
    }
}

fn bears(ours: &Recipients, facts: &TxFacts, bearing: TransferKind) -> bool {
    facts.transfers.iter().any(|transfer| ours.bearing(transfer) == bearing)
}

/// Whether anything in a transaction is more than dust to us.
fn makes_deposit(ours: &Recipients, facts: &TxFacts) -> bool {
    parcels(facts, ours).iter().any(|parcel| !parcel.is_dust)
}

fn at_claim_priority(providers: &[Provider]) -> Vec<Provider> {
    providers.iter().map(|provider| provider.at(Priority::Claim)).collect()
}
