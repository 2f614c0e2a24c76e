//! Deposits and claims as JSON: every field that a person may hold against the chain, and what each
//! of them waits for.

use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use crate::api::values::{Dollars, Moment, word_of, word_or_null};
use crate::config::{Chain, Finality};
use crate::db::models::chains::ChainRow;
use crate::db::models::deposit_claims::ClaimRow;
use crate::db::models::deposit_refunds::{self, RefundRow};
use crate::db::models::deposits::DepositRow;
use crate::db::{AnyConnection, DbError};
use crate::deposits::standing;
use crate::domain::deposit::{
    ClaimReason, ClaimState, DepositReason, DepositState, NATIVE_DECIMALS,
};
use crate::domain::evm::ChainId;

/// What is said of a chain in trouble. Why is the operator's business.
const TROUBLED: &str =
    "Deposits on this chain are delayed: its nodes do not respond or disagree. Nothing is lost.";

/// What is added of a credit that came early.
const PROVISIONAL: &str =
    " Its block is not final yet: if the chain reverses it, the credit is removed.";

/// A transfer to one of our addresses.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Deposit {
    /// Its id.
    #[schema(example = "dep_0123456789abcdefghjkmnpq")]
    pub id: String,
    /// The name of the chain, or its number if it is no longer configured.
    pub chain: String,
    /// The chain's EIP-155 number.
    pub chain_id: i64,
    /// Status of the chain.
    pub chain_status: ChainStatus,
    /// Hash of the transaction.
    pub tx_hash: String,
    /// Index of the transfer in its transaction.
    pub ordinal: i64,
    /// Symbol of the coin, if it is configured.
    pub asset: Option<String>,
    /// Token contract; null for the native coin.
    pub token: Option<String>,
    /// Amount in the smallest unit of the coin, decimal.
    pub raw_amount: String,
    /// Amount in whole coins, decimal and exact.
    pub amount: Option<String>,
    /// The paying address.
    pub payer: String,
    /// The paid address of this service.
    pub payee: String,
    /// Number of the block.
    pub block_number: i64,
    /// Hash of the block.
    pub block_hash: String,
    /// Block time, as stated in the block.
    pub block_time: Moment,
    /// Its state.
    #[schema(schema_with = deposit_states)]
    pub state: String,
    /// The reason for the state, if there is one.
    #[schema(schema_with = deposit_reasons)]
    pub reason: Option<String>,
    /// The state in words, with the next step.
    pub message: Option<String>,
    /// Confirmations, while they matter.
    pub confirmations: Option<Confirmations>,
    /// Whether it was credited before its block is final. Until then the credit is removed if the
    /// chain reverses the block.
    pub is_provisional: bool,
    /// The next step for the payer.
    pub next_step: Option<NextStep>,
    /// Its value in dollars, once known.
    pub value: Option<Dollars>,
    /// The price used to value it; null for a coin that counts as dollars.
    pub price: Option<Price>,
    /// Its refund, paid or pending.
    pub refund: Option<Refund>,
    /// Number of credits. More than one only after a reversal.
    pub credits: i64,
    /// When it was found.
    pub created_at: Moment,
    /// When it last changed.
    pub updated_at: Moment,
}

/// The status of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChainStatus {
    /// `ok`; `degraded`: its nodes do not respond or disagree; `stopped`: it needs the operator.
    #[schema(schema_with = chain_states)]
    pub status: String,
    /// Effect on deposits, if not `ok`.
    pub detail: Option<&'static str>,
    /// Number of the latest block seen; null before the first.
    pub head: Option<i64>,
}

/// Confirmations of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Confirmations {
    /// Blocks from that of the deposit to the latest, at most `needed`.
    pub seen: i64,
    /// Blocks needed for the credit.
    pub needed: i64,
    /// Seconds that the blocks that are missing take, by how fast blocks come at the moment; null
    /// before that was measured. An estimate.
    pub about_secs: Option<i64>,
}

/// A step that moves a deposit on.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct NextStep {
    /// `prove_wallet`: the account that links the paying wallet gets the deposit.
    pub action: &'static str,
    /// The chain of the wallet.
    pub chain: String,
    /// The wallet.
    pub address: String,
}

/// A refund to the payer.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Refund {
    /// Its id, as in the ledger.
    #[schema(example = "ref_0123456789abcdefghjkmnpq")]
    pub id: String,
    /// `held`: pending; `posted`: paid.
    #[schema(schema_with = refund_states)]
    pub state: String,
    /// The amount removed from the balance for it; 0 for a deposit that was never credited.
    pub amount: Dollars,
    /// The transaction of the payment.
    pub tx_hash: Option<String>,
    /// When it reached this state.
    pub updated_at: Moment,
}

/// The price used to value a deposit.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Price {
    /// Contract of the price feed.
    pub feed: String,
    /// Round of the price feed.
    pub round: Option<String>,
    /// The price of that round, in the decimals of the feed.
    pub answer: Option<String>,
}

/// A transaction submitted by an account.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Claim {
    /// Its id.
    #[schema(example = "claim_0123456789abcdefghjkmnpq")]
    pub id: String,
    /// The name of the chain.
    pub chain: String,
    /// Status of the chain.
    pub chain_status: ChainStatus,
    /// Hash of the transaction.
    pub tx_hash: String,
    /// Its state.
    #[schema(schema_with = claim_states)]
    pub state: String,
    /// The reason for the state, if there is one.
    #[schema(schema_with = claim_reasons)]
    pub reason: Option<String>,
    /// The state in words, with the next step.
    pub message: Option<String>,
    /// Deposits of the account found in the transaction. Not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub deposits: Option<Vec<Deposit>>,
    /// When it was created.
    pub created_at: Moment,
    /// When it last changed.
    pub updated_at: Moment,
}

/// What a name may stand for.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum DepositOrClaim {
    /// A deposit.
    Deposit(Box<Deposit>),
    /// A claim with the deposits of its transaction.
    Claim(Box<Claim>),
}

fn chain_states() -> Object {
    word_of(["ok", "degraded", "stopped"], None)
}

fn deposit_states() -> Object {
    word_of(DepositState::ALL.iter().map(|state| state.as_str()), None)
}

fn deposit_reasons() -> Object {
    word_or_null(DepositReason::ALL.iter().map(|reason| reason.as_str()))
}

fn refund_states() -> Object {
    word_of(["held", "posted"], None)
}

fn claim_states() -> Object {
    word_of(ClaimState::ALL.iter().map(|state| state.as_str()), None)
}

fn claim_reasons() -> Object {
    word_or_null(ClaimReason::ALL.iter().map(|reason| reason.as_str()))
}

/// The chains as configured, and as they stand.
pub struct ChainsView<'a> {
    configured: &'a [Chain],
    stands: Vec<ChainRow>,
}

impl<'a> ChainsView<'a> {
    /// From the settings and the rows.
    #[must_use]
    pub const fn new(configured: &'a [Chain], stands: Vec<ChainRow>) -> Self {
        Self { configured, stands }
    }

    /// `ok`, `degraded`, or `stopped`; a chain that was never read is being started.
    #[must_use]
    pub fn status(&self, chain_id: ChainId) -> ChainStatus {
        let stand = self.stand(chain_id);
        let status = stand.map_or("degraded", |stand| stand.status.as_str());
        ChainStatus {
            status: status.to_owned(),
            detail: (status != "ok").then_some(TROUBLED),
            // A chain that was never reached has a row, and −1 in it.
            head: stand.map(|stand| stand.head_number).filter(|&head| head >= 0),
        }
    }

    /// Deposits with their refunds, in the same order.
    pub fn deposits(
        &self,
        conn: &mut AnyConnection,
        rows: &[DepositRow],
    ) -> Result<Vec<Deposit>, DbError> {
        let refunds = deposit_refunds::standing(conn, rows)?;
        Ok(rows.iter().map(|row| self.deposit(row, refunds.get(&row.id))).collect())
    }

    /// A deposit, with the refund of it that is held or posted.
    fn deposit(&self, row: &DepositRow, refund: Option<&RefundRow>) -> Deposit {
        let chain = self.chain(row.chain_id);
        let coin = chain.and_then(|chain| chain.coin(row.token));
        let symbol = coin.map(|(symbol, _)| symbol);
        // Every chain's own coin has as many.
        let decimals =
            coin.map(|(_, decimals)| decimals).or(row.token.is_none().then_some(NATIVE_DECIMALS));
        let is_provisional = row.is_provisional;
        let words = standing::sentence(row, refund);
        Deposit {
            id: row.public_id.clone(),
            chain: self.name(row.chain_id),
            chain_id: row.chain_id.0,
            chain_status: self.status(row.chain_id),
            tx_hash: row.tx_hash.to_string(),
            ordinal: row.ordinal,
            asset: symbol.map(str::to_owned),
            token: row.token.map(|token| token.checksummed()),
            raw_amount: row.raw_amount.to_string(),
            amount: decimals.map(|decimals| row.raw_amount.in_coins(decimals)),
            payer: row.payer.checksummed(),
            payee: row.payee.checksummed(),
            block_number: row.block_number,
            block_hash: row.block_hash.to_string(),
            block_time: Moment(row.block_time),
            state: standing::state(row, refund).to_owned(),
            reason: row.reason.map(|reason| reason.to_string()),
            message: Some(if is_provisional { words + PROVISIONAL } else { words }),
            confirmations: self.confirmations(chain, row),
            is_provisional,
            next_step: (row.state == DepositState::Unattributed).then(|| NextStep {
                action: "prove_wallet",
                chain: self.name(row.chain_id),
                address: row.payer.checksummed(),
            }),
            value: row.value_nanousd.map(Dollars),
            price: row.price_feed.map(|feed| Price {
                feed: feed.checksummed(),
                round: row.price_round.clone(),
                answer: row.price_answer.clone(),
            }),
            refund: refund.map(Refund::of),
            credits: row.credit_number,
            created_at: Moment(row.created_at),
            updated_at: Moment(
                refund.map_or(row.updated_at, |refund| refund.updated_at.max(row.updated_at)),
            ),
        }
    }

    /// A claim, without its deposits.
    #[must_use]
    pub fn claim(&self, claim: &ClaimRow) -> Claim {
        let words = claim.reason.map_or_else(|| claim.state.sentence(), ClaimReason::sentence);
        Claim {
            id: claim.public_id.clone(),
            chain: self.name(claim.chain_id),
            chain_status: self.status(claim.chain_id),
            tx_hash: claim.tx_hash.to_string(),
            state: claim.state.to_string(),
            reason: claim.reason.map(|reason| reason.to_string()),
            message: Some(words.to_owned()),
            deposits: None,
            created_at: Moment(claim.created_at),
            updated_at: Moment(claim.updated_at),
        }
    }

    /// A claim with the deposits that were found in its transaction.
    pub fn claim_with(
        &self,
        conn: &mut AnyConnection,
        claim: &ClaimRow,
        found: &[DepositRow],
    ) -> Result<Claim, DbError> {
        let deposits = self.deposits(conn, found)?;
        let mut document = self.claim(claim);
        // Where it is, is known by what was found.
        if let Some(elsewhere) = found.first().filter(|row| row.chain_id != claim.chain_id) {
            let (right, wrong) = (self.title(elsewhere.chain_id), self.title(claim.chain_id));
            document.message = Some(format!(
                "The transaction is on {right}, not on {wrong}. Its deposits are listed here. \
                 There is nothing to do."
            ));
        }
        Ok(Claim { deposits: Some(deposits), ..document })
    }

    /// How deep a deposit's block is, and how deep it has to be: as configured, or as the chain's
    /// finality lags now.
    fn confirmations(&self, chain: Option<&Chain>, row: &DepositRow) -> Option<Confirmations> {
        let waits = matches!(row.state, DepositState::Seen | DepositState::Confirming);
        let stand = self.stand(row.chain_id).filter(|_| waits)?;
        let depth = |from: i64| stand.head_number.saturating_sub(from).saturating_add(1).max(0);
        let needed = match chain?.finality {
            Finality::Confirmations(count) => i64::try_from(count).unwrap_or(i64::MAX),
            Finality::Finalized => depth(stand.final_number),
        };
        let seen = depth(row.block_number).min(needed);
        let about_secs = about_secs(stand, needed.saturating_sub(seen));
        Some(Confirmations { seen, needed, about_secs })
    }

    /// How long a transfer takes to be credited, counted from its block; `None` where blocks were
    /// not measured yet. An estimate.
    #[must_use]
    pub fn wait_secs(&self, chain: &Chain) -> Option<i64> {
        let stand = self.stand(chain.chain_id)?;
        let needed = match chain.finality {
            Finality::Confirmations(count) => i64::try_from(count).unwrap_or(i64::MAX),
            Finality::Finalized if stand.final_number < 0 => return None,
            Finality::Finalized => stand.head_number.saturating_sub(stand.final_number),
        };
        about_secs(stand, needed)
    }

    fn chain(&self, chain_id: ChainId) -> Option<&'a Chain> {
        self.configured.iter().find(|chain| chain.chain_id == chain_id)
    }

    fn stand(&self, chain_id: ChainId) -> Option<&ChainRow> {
        self.stands.iter().find(|stand| stand.chain_id == chain_id)
    }

    /// The name of a chain for people.
    fn title(&self, chain_id: ChainId) -> String {
        let known = self.chain(chain_id).map(|chain| chain.display_name.clone());
        known.unwrap_or_else(|| format!("chain {chain_id}"))
    }

    /// The name of a chain; of one that is not configured any more its number.
    fn name(&self, chain_id: ChainId) -> String {
        self.chain(chain_id).map_or_else(|| chain_id.to_string(), |chain| chain.name.clone())
    }
}

fn about_secs(stand: &ChainRow, blocks: i64) -> Option<i64> {
    let millis = stand.block_millis.filter(|&millis| millis > 0)?;
    blocks.max(0).checked_mul(millis)?.checked_div(1000)
}

impl Refund {
    fn of(row: &RefundRow) -> Self {
        Self {
            id: row.public_id.clone(),
            state: row.state.to_string(),
            amount: Dollars(row.amount_nanousd),
            tx_hash: row.tx_hash.map(|hash| hash.to_string()),
            updated_at: Moment(row.updated_at),
        }
    }
}
