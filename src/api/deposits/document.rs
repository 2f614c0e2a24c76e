//! Deposits and claims as JSON: every field that a person may hold against the chain, and what each of them waits for.

use serde_json::{Value, json};

use crate::config::{Chain, Finality};
use crate::db::chains::ChainRow;
use crate::db::deposit_claims::ClaimRow;
use crate::db::deposits::DepositRow;
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::{
    Asset, ClaimReason, ClaimState, DepositReason, DepositState, NATIVE_DECIMALS,
};
use crate::domain::evm::{EvmAddress, RawAmount, to_hex};
use crate::domain::money::NanoUsd;

/// What is said of a chain in trouble. Why is the operator's business.
const TROUBLED: &str = "Deposits on this chain wait at the moment, because its nodes do not answer or do not agree. Nothing is lost.";

/// The chains as configured, and as they stand.
pub(super) struct Chains<'a> {
    configured: &'a [Chain],
    stands: Vec<ChainRow>,
}

impl<'a> Chains<'a> {
    pub(super) const fn new(configured: &'a [Chain], stands: Vec<ChainRow>) -> Self {
        Self { configured, stands }
    }

    /// `ok`, `degraded`, or `stopped`; a chain that was never read is being started.
    pub(super) fn status(&self, chain_id: i64) -> Value {
        let stand = self.stand(chain_id);
        let status = stand.map_or("degraded", |stand| stand.status.as_str());
        let detail = (status != "ok").then_some(TROUBLED);
        json!({ "status": status, "detail": detail, "head": stand.map(|stand| stand.head_number) })
    }

    /// A deposit.
    pub(super) fn deposit(&self, row: &DepositRow) -> Value {
        let state = row.state();
        let reason = row.reason.as_deref().and_then(DepositReason::parse);
        let chain = self.chain(row.chain_id);
        let (symbol, decimals) = coin(chain, row);
        let raw: Option<RawAmount> = row.raw_amount.parse().ok();
        let moment = |millis| UnixMillis::from_millis(millis).to_string();
        json!({
            "id": row.public_id,
            "chain": self.name(row.chain_id),
            "chain_id": row.chain_id,
            "chain_status": self.status(row.chain_id),
            "tx_hash": to_hex(&row.tx_hash),
            "ordinal": row.ordinal,
            "asset": symbol,
            "token": row.token.as_deref().map(checksummed),
            "raw_amount": row.raw_amount,
            "amount": raw.zip(decimals).map(|(raw, decimals)| raw.in_coins(decimals)),
            "payer": checksummed(&row.payer),
            "payee": checksummed(&row.payee),
            "block_number": row.block_number,
            "block_hash": to_hex(&row.block_hash),
            "block_time": moment(row.block_time),
            "state": row.state,
            "reason": row.reason,
            "message": reason.map_or_else(
                || state.map(DepositState::sentence),
                |reason| Some(reason.sentence()),
            ),
            "confirmations": self.confirmations(chain, row),
            "next_step": (state == Some(DepositState::Unattributed)).then(|| json!({
                "action": "prove_wallet",
                "chain": self.name(row.chain_id),
                "address": checksummed(&row.payer),
            })),
            "value": row.value_nanousd.map(|nanos| NanoUsd::from_nanos(nanos).to_string()),
            "price": row.price_feed.as_deref().map(|feed| json!({
                "feed": checksummed(feed),
                "round": row.price_round,
                "answer": row.price_answer,
            })),
            "credits": row.credit_number,
            "created_at": moment(row.created_at),
            "updated_at": moment(row.updated_at),
        })
    }

    /// A claim, without its deposits.
    pub(super) fn claim(&self, claim: &ClaimRow) -> Value {
        let reason = claim.reason.as_deref().and_then(ClaimReason::parse);
        let state = ClaimState::parse(&claim.state);
        let moment = |millis| UnixMillis::from_millis(millis).to_string();
        json!({
            "id": claim.public_id,
            "chain": self.name(claim.chain_id),
            "chain_status": self.status(claim.chain_id),
            "tx_hash": to_hex(&claim.tx_hash),
            "state": claim.state,
            "reason": claim.reason,
            "message": reason.map_or_else(
                || state.map(ClaimState::sentence),
                |reason| Some(reason.sentence()),
            ),
            "created_at": moment(claim.created_at),
            "updated_at": moment(claim.updated_at),
        })
    }

    /// How deep a deposit's block is, and how deep it has to be: as configured, or as the chain's finality lags now.
    fn confirmations(&self, chain: Option<&Chain>, row: &DepositRow) -> Option<Value> {
        let waits = matches!(row.state()?, DepositState::Seen | DepositState::Confirming);
        let stand = self.stand(row.chain_id).filter(|_| waits)?;
        let depth = |from: i64| stand.head_number.saturating_sub(from).saturating_add(1).max(0);
        let needed = match chain?.finality {
            Finality::Confirmations(count) => i64::try_from(count).unwrap_or(i64::MAX),
            Finality::Finalized => depth(stand.final_number),
        };
        Some(json!({ "seen": depth(row.block_number).min(needed), "needed": needed }))
    }

    fn chain(&self, chain_id: i64) -> Option<&'a Chain> {
        self.configured.iter().find(|chain| chain.chain_id.0 == chain_id)
    }

    fn stand(&self, chain_id: i64) -> Option<&ChainRow> {
        self.stands.iter().find(|stand| stand.chain_id == chain_id)
    }

    /// The name of a chain; of one that is not configured any more its number.
    fn name(&self, chain_id: i64) -> String {
        self.chain(chain_id).map_or_else(|| chain_id.to_string(), |chain| chain.name.clone())
    }
}

fn coin<'a>(chain: Option<&'a Chain>, row: &DepositRow) -> (Option<&'a str>, Option<u8>) {
    match Asset::from_column(row.token.as_deref()) {
        Some(Asset::Native) => {
            let native = chain.and_then(|chain| chain.native.as_ref());
            (native.map(|native| native.symbol.as_str()), Some(NATIVE_DECIMALS))
        }
        Some(Asset::Token(address)) => {
            let mut tokens = chain.iter().flat_map(|chain| &chain.tokens);
            let token = tokens.find(|token| token.address == address);
            (token.map(|token| token.symbol.as_str()), token.map(|token| token.decimals))
        }
        None => (None, None),
    }
}

fn checksummed(bytes: &[u8]) -> String {
    EvmAddress::from_slice(bytes).map_or_else(|| to_hex(bytes), |address| address.checksummed())
}
