//! What arrived at an account's own address and is no deposit, as JSON and as the page tells it. Of
//! a token only the address of its contract: whoever sends one unasked writes what he likes into
//! its name.

use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use crate::api::values::{Moment, word_of};
use crate::config::Chain;
use crate::deposits::arrivals;
use crate::domain::deposit::NATIVE_DECIMALS;

/// An arrival at the account's own deposit address that is not a deposit.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Arrival {
    /// `coins`: native coins sent by a contract, without a known transaction; `unaccepted_token`.
    #[schema(schema_with = kinds)]
    pub kind: &'static str,
    /// The name of the chain, or its number if it is no longer configured.
    pub chain: String,
    /// Symbol of the native coin; null for a token, as anyone can choose its name.
    pub asset: Option<String>,
    /// Token contract; null for native coins.
    pub token: Option<String>,
    /// Amount in whole coins, decimal and exact; null for a token.
    pub amount: Option<String>,
    /// The same in the smallest unit, decimal.
    pub raw_amount: String,
    /// Hash of the transaction; null for native coins, of which only the blocks are known.
    pub tx_hash: Option<String>,
    /// The first possible block of the arrival.
    pub from_block: i64,
    /// The last possible block.
    pub to_block: i64,
    /// The meaning, and the next step.
    pub message: &'static str,
    /// When it was noticed.
    pub created_at: Moment,
}

fn kinds() -> Object {
    word_of(["coins", "unaccepted_token"], None)
}

const WAITING: &str = "Coins arrived without a known transaction. They are queued for a search. \
    Submit the hash of their transaction to find them at once.";
const UNREAD: &str = "Coins arrived from a contract. We are looking for their transaction. Submit \
    its hash to find it at once.";
const UNFOUND: &str = "Coins arrived, but we did not find their transaction. They are not lost: \
    submit the hash of the transaction, or write to support if you do not have it.";
const UNREADABLE: &str = "Coins arrived from a contract, and this service cannot read such \
    transactions on this chain. They are not lost: submit the hash of the transaction, and send \
    it to support.";
const UNACCEPTED: &str = "A token arrived that is not accepted here, so it is not credited. If \
    you sent it, write to support with the transaction hash. If not, it is advertising: do not \
    follow its name anywhere.";

/// Whether coins that contracts send on this chain are read: enough of its providers have traces.
#[must_use]
pub fn reads_contracts(chain: &Chain) -> bool {
    chain.providers.iter().filter(|provider| provider.traces).count() >= chain.quorum
}

impl Arrival {
    /// As it is told.
    #[must_use]
    pub fn of(configured: &[Chain], arrival: &arrivals::AccountArrival) -> Self {
        let row = &arrival.row;
        let chain = configured.iter().find(|chain| chain.chain_id == row.chain_id);
        let is_coin = row.token.is_none();
        let native = chain.and_then(|chain| chain.native.as_ref()).filter(|_| is_coin);
        Self {
            kind: if is_coin { "coins" } else { "unaccepted_token" },
            chain: chain.map_or_else(|| row.chain_id.to_string(), |chain| chain.name.clone()),
            asset: native.map(|native| native.symbol.clone()),
            token: row.token.map(|token| token.checksummed()),
            amount: is_coin.then(|| arrival.raw.in_coins(NATIVE_DECIMALS)),
            raw_amount: arrival.raw.to_string(),
            tx_hash: row.tx_hash.map(|hash| hash.to_string()),
            from_block: row.after_number.saturating_add(1),
            to_block: row.block_number,
            message: match (is_coin, chain.is_some_and(reads_contracts)) {
                (false, _) => UNACCEPTED,
                (true, _) if row.tries == 0 => WAITING,
                (true, true) if row.check_at.is_some() => UNREAD,
                (true, true) => UNFOUND,
                (true, false) => UNREADABLE,
            },
            created_at: Moment(row.created_at),
        }
    }
}
