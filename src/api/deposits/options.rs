//! `GET /api/v1/deposits/options`: every chain and coin that is taken, and the address to pay to.

use actix_web::web::Data;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use super::arrivals::reads_contracts;
use super::document::{ChainStatus, ChainsView};
use super::quotes::{CoinPrice, CoinPrices, coin_prices};
use crate::api::Api;
use crate::api::answer::Json;
use crate::api::caller::CallerCredential;
use crate::api::extractors::AccountCaller;
use crate::api::refusal::Refusal;
use crate::api::values::{Dollars, word_of};
use crate::config::{Chain, Finality};
use crate::db::models::chains::{self, ChainRow};
use crate::deposits::payment_uri::payment_uri;
use crate::deposits::{DepositError, addresses};
use crate::domain::deposit::{Asset, NATIVE_DECIMALS, raw_of_dollars};
use crate::domain::evm::EvmAddress;
use crate::domain::money::NanoUsd;

/// All ways to add credit.
#[derive(Debug, Serialize, ToSchema)]
pub struct DepositOptions {
    /// Chains in the operator's order.
    pub data: Vec<DepositOption>,
    /// Whether the account is suspended. If so, do not send deposits until it is active again.
    /// Deposits that arrive are still credited.
    pub is_suspended: bool,
}

/// A chain that accepts deposits.
#[derive(Debug, Serialize, ToSchema)]
pub struct DepositOption {
    /// Its name in this API.
    pub chain: String,
    /// Its display name.
    pub display_name: String,
    /// Its EIP-155 number.
    pub chain_id: i64,
    /// Its status.
    pub chain_status: ChainStatus,
    /// When a deposit is final.
    pub finality: WhenFinal,
    /// Seconds that a deposit usually takes to be credited, once it is in a block; null before that
    /// was measured. An estimate.
    pub about_secs: Option<i64>,
    /// Early credit tiers, from small amounts to larger ones.
    pub early_credit: Vec<EarlyCredit>,
    /// Whether native coins sent by a contract (some exchanges, smart wallets) are credited
    /// automatically. Otherwise those at an own address are listed as arrived.
    pub credits_contract_payments: bool,
    /// Whether the account can get its own deposit address and has none yet.
    pub may_issue_address: bool,
    /// Where to pay.
    pub addresses: Vec<PayTo>,
    /// What to pay with.
    pub assets: Vec<PayWith>,
}

/// When a deposit is final.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum WhenFinal {
    /// When its block is final on the chain.
    Finalized,
    /// After this many blocks.
    Confirmations {
        /// The number of blocks, including its own.
        needed: u64,
    },
}

/// Deposits credited before they are final. If the chain reverses one, its credit is removed.
#[derive(Debug, Serialize, ToSchema)]
pub struct EarlyCredit {
    /// The number of blocks needed, including its own.
    pub confirmations: u64,
    /// The maximum early credit of an account on this chain within 24 hours, over all tiers, while
    /// capacity lasts.
    pub up_to: Dollars,
}

/// An address to pay to.
#[derive(Debug, Serialize, ToSchema)]
pub struct PayTo {
    /// `own`: only this account's; `treasury`: shared by all.
    #[schema(schema_with = kinds)]
    pub kind: &'static str,
    /// The address with its checksum (EIP-55).
    pub address: String,
    /// Whether the paying wallet must be linked, as all accounts share the address.
    pub needs_wallet_proof: bool,
}

/// A coin to pay with.
#[derive(Debug, Serialize, ToSchema)]
pub struct PayWith {
    /// Its symbol.
    pub symbol: String,
    /// Its contract; null for the native coin.
    pub token: Option<String>,
    /// Decimals of its smallest unit.
    #[schema(maximum = 255)]
    pub decimals: u8,
    /// Smaller deposits wait until their sum reaches this.
    pub minimum: Dollars,
    /// The price of a native coin, if it is known; null for a token, which counts one dollar. A
    /// deposit is valued at the price at its block time.
    pub price: Option<CoinPrice>,
    /// Address, coin and amount as a link for wallets (EIP-681). Its target is the token contract:
    /// use it only for wallets that support such links. A QR code for all wallets contains just the
    /// address.
    pub payment_uri: Option<String>,
    /// The amount in that link in whole coins, decimal: the least that is credited at once. Null if
    /// the coin has no fixed price; the link then has no amount.
    pub payment_amount: Option<String>,
}

fn kinds() -> Object {
    word_of(["own", "treasury"], None)
}

/// List ways to pay.
///
/// All supported chains and coins, and the addresses to pay to. If accounts can have their own
/// deposit address, it is issued on request (`issue_deposit_address`).
#[utoipa::path(
    get, path = "/api/v1/deposits/options", operation_id = "list_deposit_options",
    responses((status = 200, description = "Chains, in the operator's order.")),
)]
pub(in crate::api) async fn options(
    caller: AccountCaller,
    api: Data<Api>,
) -> Result<Json<DepositOptions>, Refusal> {
    let account_id = caller.account_id;
    let derives = api.deposits().account_xpub.is_some();
    let read = api.run(move |conn| {
        Ok::<_, DepositError>((addresses::issued(conn, account_id)?, chains::all(conn)?))
    });
    let (own, stands) = read.await?;
    let own = own.filter(|_| derives);
    let may_ask = derives && own.is_none();
    // An API key of a suspended account is refused.
    let is_suspended = match &caller.credential {
        CallerCredential::Session(session) => session.is_suspended,
        CallerCredential::ApiKey(..) => false,
    };
    let prices = coin_prices(&api).await;
    let data = offers(api.chains(), (own, may_ask), stands, (&prices, None));
    Ok(Json(DepositOptions { data, is_suspended }))
}

/// What is offered, with the account's own address if it has one. Links ask for `amount`, where it
/// is more than the minimum.
#[must_use]
pub fn offers(
    configured: &[Chain],
    (own, may_issue): (Option<EvmAddress>, bool),
    stands: Vec<ChainRow>,
    wanted: (&CoinPrices, Option<NanoUsd>),
) -> Vec<DepositOption> {
    let chains = ChainsView::new(configured, stands);
    configured.iter().map(|chain| offer(chain, (own, may_issue), &chains, wanted)).collect()
}

fn offer(
    chain: &Chain,
    (own, may_issue): (Option<EvmAddress>, bool),
    chains: &ChainsView<'_>,
    (prices, amount): (&CoinPrices, Option<NanoUsd>),
) -> DepositOption {
    // An address of one's own needs no proof; the common one needs a proven wallet.
    let own = own.map(|address| ("own", address, false));
    let treasury = chain.treasury.map(|address| ("treasury", address, true));
    let payees: Vec<(&'static str, EvmAddress, bool)> = own.into_iter().chain(treasury).collect();
    let addresses = payees.iter().map(|&(kind, address, needs_wallet_proof)| PayTo {
        kind,
        address: address.checksummed(),
        needs_wallet_proof,
    });
    let first = payees.first().map(|(_, address, _)| *address);
    DepositOption {
        chain: chain.name.clone(),
        display_name: chain.display_name.clone(),
        chain_id: chain.chain_id.0,
        chain_status: chains.status(chain.chain_id),
        finality: match chain.finality {
            Finality::Finalized => WhenFinal::Finalized,
            Finality::Confirmations(needed) => WhenFinal::Confirmations { needed },
        },
        about_secs: chains.wait_secs(chain),
        early_credit: chain
            .tiers
            .iter()
            .map(|tier| EarlyCredit {
                confirmations: tier.confirmations,
                up_to: Dollars(tier.up_to),
            })
            .collect(),
        may_issue_address: may_issue,
        credits_contract_payments: reads_contracts(chain),
        addresses: addresses.collect(),
        assets: assets(chain, first, (prices.get(&chain.chain_id).copied(), amount)),
    }
}

/// Tokens first: their value is the one that people expect.
fn assets(
    chain: &Chain,
    payee: Option<EvmAddress>,
    (price, amount): (Option<CoinPrice>, Option<NanoUsd>),
) -> Vec<PayWith> {
    let tokens = chain.tokens.iter().map(|token| {
        let least = amount.map_or(token.minimum, |amount| amount.max(token.minimum));
        let raw = raw_of_dollars(least, token.decimals);
        let asset = Asset::Token(token.address);
        PayWith {
            symbol: token.symbol.clone(),
            token: Some(token.address.checksummed()),
            decimals: token.decimals,
            minimum: Dollars(token.minimum),
            price: None,
            payment_uri: payee.map(|payee| payment_uri(chain.chain_id, asset, payee, raw)),
            payment_amount: raw.map(|raw| raw.in_coins(token.decimals)),
        }
    });
    let native = chain.native.iter().map(|native| PayWith {
        symbol: native.symbol.clone(),
        token: None,
        decimals: NATIVE_DECIMALS,
        minimum: Dollars(native.minimum),
        price,
        payment_uri: payee.map(|payee| payment_uri(chain.chain_id, Asset::Native, payee, None)),
        payment_amount: None,
    });
    tokens.chain(native).collect()
}
