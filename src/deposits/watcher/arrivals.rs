//! Notices what arrives at accounts' own addresses and at the treasury and is no deposit. Every few
//! minutes the balances of many addresses are read in one call; where one differs from what is
//! known, blocks and traces are looked into. What is found there becomes a deposit as a claim's
//! would; the rest is noted, and its account is told. Trouble here troubles nothing else.

mod search;
mod tokens;

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::lookup::LookupResult;
use super::observe::View;
use super::{RoundError, WatcherState, column, height, millis, part_end};
use crate::chain::balances::{ADDRESSES_MAX, balances, standing};
use crate::chain::block_trace::{self, Paying};
use crate::chain::facts::TxStatus;
use crate::chain::provider::BlockId;
use crate::chain::{Priority, Provider};
use crate::db::models::arrivals::{self as rows, AddressBalanceRow, ArrivalRow};
use crate::db::models::chains::ChainRow;
use crate::db::{AnyConnection, DbError, transaction};
use crate::deposits::arrivals;
use crate::deposits::recipients::{Recipients, TransferKind};
use crate::domain::backoff::{self, Backoff};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::Asset;
use crate::domain::evm::{EvmAddress, RawAmount, TxHash};

/// Differences that are looked into at one look, over all addresses.
const ROWS: i64 = 4;
/// Transactions of one block that are looked into for one address, of those that each provider
/// names.
const HITS: usize = 50;
/// Looks with traces after which nothing more can be expected: what comes without a transaction, as
/// a block's reward does, is in no trace.
const TRIES: i64 = 6;
/// The first and the longest pause between two looks, in milliseconds, and how they grow; jitter
/// shortens them.
const PAUSE: i64 = 300_000;
const PAUSE_MAX: i64 = 86_400_000;
const BACKOFF: Backoff = Backoff::new(Duration::from_mins(5), Duration::from_hours(24));
/// For so many milliseconds failures do not end the search for what a sweep may hide, of which
/// there is nothing to tell.
const HIDDEN_MAX: i64 = 7 * PAUSE_MAX;

/// What is remembered between two looks. All of it can be found out again.
#[derive(Default)]
pub(super) struct Looks {
    /// When the next one is.
    next_at: Option<UnixMillis>,
    /// The address at which the turn of all the others has stopped.
    turn: Option<EvmAddress>,
    /// Until which block the stored balance of an address has been seen unchanged.
    since: HashMap<EvmAddress, i64>,
    /// Transactions that the treasury had sent at the last look.
    treasury_nonce: Option<u64>,
}

impl WatcherState {
    /// Looks, if it is time.
    pub(super) async fn look_for_arrivals(
        &mut self,
        view: &View,
        ours: &Recipients,
        row: &ChainRow,
    ) -> Result<(), RoundError> {
        let (now, number) = (self.now(), view.final_number);
        let is_due = self.arrivals.next_at.is_none_or(|at| at <= now);
        // Otherwise transfers of that block may be missing among those that are known.
        if !is_due || row.scanned_number < column(number) {
            return Ok(());
        }
        let pause = millis(self.parts.deposits.balance_check);
        self.arrivals.next_at = Some(now.plus_millis(pause));
        if self.parts.chain.native.is_some() {
            // A node without old state may not have the final block's any more.
            let heights = [number, height(row.scanned_number)];
            for at in heights {
                if self.look_at_balances(view, at).await? {
                    break;
                }
            }
            for at in heights {
                if self.look_at_treasury(view, at).await? {
                    break;
                }
            }
            self.look_into_arrivals(view, ours).await?;
        }
        self.look_for_tokens(view, ours, number).await?;
        let chain_id = self.chain_id();
        let count = move |conn: &mut AnyConnection| {
            rows::set_waiting(conn, chain_id, now)?;
            rows::count(conn, chain_id)
        };
        let count = self.parts.database.run(count).await?;
        self.parts.metrics.chains.set_arrivals(&self.parts.chain.name, count);
        Ok(())
    }

    /// What the treasury has at a block, and how many transactions it has sent; `None` where that
    /// cannot be had, or nobody pays coins to one.
    pub(super) async fn treasury_at(
        &self,
        view: &View,
        number: u64,
    ) -> Option<(AddressBalanceRow, u64)> {
        let chain = &self.parts.chain;
        let treasury = chain.treasury.filter(|_| chain.native.is_some())?;
        let providers = at_claim_priority(&view.providers);
        let verdict = standing(&providers, view.quorum, treasury, number).await;
        let Some(stands) = verdict.agreement.agreed() else {
            let (chain, silent) = (&chain.name, verdict.silent.len());
            tracing::debug!(chain, number, silent, "the treasury's balance cannot be read");
            return None;
        };
        let balance = AddressBalanceRow {
            chain_id: self.chain_id(),
            address: treasury,
            block_number: column(number),
            balance: RawAmount::from(stands.balance).to_string(),
        };
        Some((balance, stands.nonce))
    }

    /// Holds the treasury's balance against what is known; whether it could be had. It is noted
    /// each time: so the blocks to search are few, and all that is missing after a restart.
    async fn look_at_treasury(&mut self, view: &View, number: u64) -> Result<bool, RoundError> {
        if self.parts.chain.treasury.is_none() {
            return Ok(true);
        }
        let Some((is, nonce)) = self.treasury_at(view, number).await else { return Ok(false) };
        // Whoever empties it after each payment leaves the same balance.
        let has_sent = self.arrivals.treasury_nonce.is_some_and(|before| before != nonce);
        let (chain_id, now) = (self.chain_id(), self.now());
        let most = i64::from(self.parts.deposits.arrivals_max_per_address);
        let compare = move |conn: &mut AnyConnection| {
            let before = rows::balances(conn, chain_id, std::slice::from_ref(&is.address))?.pop();
            arrivals::look(conn, before.as_ref(), &is, (0, has_sent), most, now)?;
            if before.is_some_and(|before| before.block_number < is.block_number) {
                rows::set_balance(conn, &is)?;
            }
            Ok(())
        };
        self.write(move |conn| transaction::write(conn, compare)).await?;
        self.arrivals.treasury_nonce = Some(nonce);
        Ok(true)
    }

    /// Holds balances against what is known; whether they could be had.
    async fn look_at_balances(&mut self, view: &View, number: u64) -> Result<bool, RoundError> {
        let (limit, turn) = (
            column(u64::try_from(ADDRESSES_MAX).unwrap_or(0)),
            self.arrivals.turn.unwrap_or(EvmAddress::ZERO),
        );
        let read = move |conn: &mut AnyConnection| {
            let likely = rows::likely(conn, limit)?;
            Ok::<_, DbError>((likely, rows::behind(conn, turn, limit)?))
        };
        let (likely, others) = self.parts.database.run(read).await?;
        let known: HashSet<EvmAddress> = likely.iter().copied().collect();
        let in_turn: Vec<EvmAddress> =
            others.iter().copied().filter(|address| !known.contains(address)).collect();
        for some in [&likely, &in_turn] {
            if !some.is_empty() && !self.look_at(view, some, number).await? {
                return Ok(false);
            }
        }
        // From the beginning again.
        let is_last = others.len() < ADDRESSES_MAX;
        self.arrivals.turn = others.into_iter().next_back().filter(|_| !is_last);
        Ok(true)
    }

    async fn look_at(
        &mut self,
        view: &View,
        addresses: &[EvmAddress],
        number: u64,
    ) -> Result<bool, RoundError> {
        let providers = at_claim_priority(&view.providers);
        let verdict = balances(&providers, view.quorum, addresses, BlockId::Number(number)).await;
        let Some(told) = verdict.agreement.agreed() else {
            let (chain, silent) = (&self.parts.chain.name, verdict.silent.len());
            tracing::debug!(chain, number, silent, "the balances of own addresses cannot be read");
            return Ok(false);
        };
        let (chain_id, now, at) = (self.chain_id(), self.now(), column(number));
        let most = i64::from(self.parts.deposits.arrivals_max_per_address);
        let since: HashMap<EvmAddress, i64> = addresses
            .iter()
            .filter_map(|address| Some((*address, *self.arrivals.since.get(address)?)))
            .collect();
        let addresses = addresses.to_vec();
        let compare = move |conn: &mut AnyConnection| {
            let before = rows::balances(conn, chain_id, &addresses)?;
            let before: HashMap<EvmAddress, &AddressBalanceRow> =
                before.iter().map(|row| (row.address, row)).collect();
            let mut unchanged = Vec::new();
            for (address, balance) in addresses.into_iter().zip(told) {
                let is = AddressBalanceRow {
                    chain_id,
                    address,
                    block_number: at,
                    balance: RawAmount::from(balance).to_string(),
                };
                let before = before.get(&address).copied();
                if before.is_some_and(|before| before.balance == is.balance) {
                    unchanged.push(address);
                    continue;
                }
                let since = since.get(&address).copied().unwrap_or(0);
                arrivals::look(conn, before, &is, (since, false), most, now)?;
            }
            Ok(unchanged)
        };
        let compare = move |conn: &mut AnyConnection| transaction::write(conn, compare);
        for address in self.write(compare).await? {
            self.arrivals.since.insert(address, at);
        }
        Ok(true)
    }

    /// Looks into what is due.
    async fn look_into_arrivals(
        &mut self,
        view: &View,
        ours: &Recipients,
    ) -> Result<(), RoundError> {
        let (chain_id, end) = (self.chain_id(), part_end());
        // A difference over many blocks leads to single ones, which are looked into at once.
        for _ in 0..2 {
            let now = self.now();
            let due = move |conn: &mut AnyConnection| rows::due(conn, chain_id, now, ROWS);
            for row in self.parts.database.run(due).await? {
                if Instant::now() > end {
                    return Ok(());
                }
                let address = row.address;
                if self.is_explained(&row).await? {
                    self.forget_arrival(row.id).await?;
                    continue;
                }
                if row.block_number.saturating_sub(row.after_number) > 1 {
                    self.search(view, ours, row, address).await?;
                } else {
                    self.look_into_block(view, ours, row, address).await?;
                }
            }
        }
        Ok(())
    }

    /// Whether what is known by now is all that came in. Of what a sweep may hide nobody knows.
    async fn is_explained(&self, row: &ArrivalRow) -> Result<bool, RoundError> {
        let kept = row.clone();
        let rest = self.parts.database.run(move |conn| arrivals::unexplained(conn, &kept)).await?;
        Ok(rest == 0 && !row.raw_amount.is_zero())
    }

    /// Finds, by traces, the transactions that brought the coins of a single block.
    async fn look_into_block(
        &self,
        view: &View,
        ours: &Recipients,
        row: ArrivalRow,
        address: EvmAddress,
    ) -> Result<(), RoundError> {
        let number = height(row.block_number);
        if !self.look_for_plain(view, ours, number, address).await? {
            return self.leave_a_while(row).await;
        }
        let providers = at_claim_priority(&view.providers);
        let able: Vec<&Provider> = providers.iter().filter(|one| one.has_traces()).collect();
        if able.len() < view.quorum {
            // A day apart nothing is asked but the database: the config may offer traces by then.
            return self.leave_for_traces(row).await;
        }
        // All of them: one that leaves the transaction out, or fails, must not hide it.
        let said = join_all(able.iter().map(|one| block_trace::paying(one, number, address))).await;
        let (hits, mut is_read) = hits(said.into_iter().map(Result::ok).collect());
        let end = part_end();
        // What came from the operator's own addresses is explained, and is no deposit.
        let mut own = 0_u128;
        for tx_hash in hits {
            if Instant::now() > end {
                is_read = false;
                break;
            }
            let facts = match self.sight_by(&providers, view.quorum, tx_hash, true).await.sighted {
                LookupResult::Agreed(TxStatus::Mined(facts)) if facts.is_success => facts,
                LookupResult::Agreed(_) => continue,
                // One provider may have made it up: the others' transactions are looked into all
                // the same.
                LookupResult::Doubt(_) | LookupResult::TooLarge => {
                    is_read = false;
                    continue;
                }
            };
            let coins = facts.transfers.iter().filter(|one| one.asset == Asset::Native);
            let from_own = coins.filter(|one| one.to == address && ours.is_own(one.from));
            // Plain ones are not counted in the row.
            let inside = from_own.filter(|one| one.from != facts.sender || one.ordinal != -1);
            own = inside.filter_map(|one| one.raw.to_u128()).fold(own, u128::saturating_add);
            if facts.transfers.iter().any(|one| ours.bearing(one) == TransferKind::Deposit) {
                self.keep(facts, ours).await?;
            }
        }
        let kept = row.clone();
        let rest = self.parts.database.run(move |conn| arrivals::unexplained(conn, &kept)).await?;
        let is_hidden = row.raw_amount.is_zero() && !is_read;
        if rest <= own && !is_hidden {
            return self.forget_arrival(row.id).await;
        }
        if is_read { self.count_try(row).await } else { self.leave_a_while(row).await }
    }

    async fn forget_arrival(&self, id: i64) -> Result<(), RoundError> {
        Ok(self.parts.database.run(move |conn| rows::forget(conn, id)).await?)
    }

    /// Traces were read and held nothing: looks again later, each time after twice as long; in the
    /// end not any more.
    async fn count_try(&self, row: ArrivalRow) -> Result<(), RoundError> {
        let failures = u32::try_from(row.tries.saturating_add(1)).unwrap_or(u32::MAX);
        let pause = BACKOFF.jittered(failures, backoff::jitter());
        let until = (row.tries < TRIES).then(|| self.now().plus(pause));
        self.put_off(row.id, row.tries.saturating_add(1), until).await
    }

    /// Something failed, which is no try: looks again after as long as it has waited, at most a
    /// day, until it succeeds.
    async fn leave_a_while(&self, row: ArrivalRow) -> Result<(), RoundError> {
        let age = self.now().millis_ahead_of(row.created_at);
        if row.raw_amount.is_zero() && age > HIDDEN_MAX {
            return self.forget_arrival(row.id).await;
        }
        let until = self.now().plus_millis(age.clamp(PAUSE, PAUSE_MAX));
        self.put_off(row.id, row.tries.max(1), Some(until)).await
    }

    /// Looks again in a day. Where nothing is known to have come in, only traces would tell, and it
    /// is forgotten.
    async fn leave_for_traces(&self, row: ArrivalRow) -> Result<(), RoundError> {
        if row.raw_amount.is_zero() {
            return self.forget_arrival(row.id).await;
        }
        self.put_off(row.id, row.tries.max(1), Some(self.now().plus_millis(PAUSE_MAX))).await
    }

    async fn put_off(
        &self,
        id: i64,
        tries: i64,
        until: Option<UnixMillis>,
    ) -> Result<(), RoundError> {
        let now = self.now();
        let work = move |conn: &mut AnyConnection| rows::put_off(conn, id, (tries, until), now);
        Ok(self.parts.database.run(work).await?)
    }
}

fn at_claim_priority(providers: &[Provider]) -> Vec<Provider> {
    providers.iter().map(|provider| provider.at(Priority::Claim)).collect()
}

/// The transactions that providers name for a block, those first that most of them name, then each
/// provider's first ones; and whether that is all there is. One that names many keeps the others'
/// from nothing.
fn hits(said: Vec<Option<Paying>>) -> (Vec<TxHash>, bool) {
    let is_whole = |one: &Option<Paying>| {
        one.as_ref().is_some_and(|one| one.is_whole && one.named.len() <= HITS)
    };
    let is_all = said.iter().all(is_whole);
    let mut named: HashMap<TxHash, (usize, usize)> = HashMap::new();
    for one in said.into_iter().flatten() {
        for (place, tx_hash) in one.named.into_iter().take(HITS).enumerate() {
            let (count, first) = named.entry(tx_hash).or_insert((0, place));
            *count = count.saturating_add(1);
            *first = place.min(*first);
        }
    }
    let mut hits: Vec<(TxHash, (usize, usize))> = named.into_iter().collect();
    hits.sort_unstable_by_key(|(tx_hash, (count, first))| (Reverse(*count), *first, *tx_hash));
    (hits.into_iter().map(|(tx_hash, _)| tx_hash).collect(), is_all)
}
