//! `[[chains]]`: where deposits are taken, in which coins, and how sure one has to be of them.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::BaseUrl;
use super::problems::{KeyPath, Problems};
use super::providers::RpcProvider;
use super::tiers::Tier;
use super::value;
use crate::domain::deposit::{Asset, FeedPrice, NATIVE_DECIMALS, value_of};
use crate::domain::evm::{ChainId, EvmAddress, RawAmount};
use crate::domain::money::NanoUsd;

/// One chain on which deposits are taken.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Name in API, command line and metrics; unique.
    pub name: String,
    /// Name on pages.
    pub display_name: String,
    /// Number by EIP-155; unique.
    pub chain_id: ChainId,
    /// Where people look at transactions and addresses: `https://…` without a slash at its end.
    pub explorer: Option<String>,
    /// The one address to which proven wallets pay; `None` where only derived addresses are used.
    pub treasury: Option<EvmAddress>,
    /// When a block cannot be undone any more.
    pub finality: Finality,
    /// What is credited sooner, at the operator's risk: from few confirmations to more, and from
    /// small sums to larger ones.
    pub tiers: Vec<Tier>,
    /// Providers that must agree.
    pub quorum: usize,
    /// Time between two looks at the head; `None` goes by the chain's blocks and by what waits.
    pub poll: Option<Duration>,
    /// First block that is looked at; `None` is the finalized head of the first start.
    pub start_block: Option<u64>,
    /// Blocks that one query for logs may span.
    pub log_range_max: u64,
    /// Blocks whose hashes are kept to find the common ancestor after a reorganisation.
    pub reorg_window_blocks: u64,
    /// Age beyond which a head says that the chain, or who is asked about it, is in trouble.
    pub head_age_max: Duration,
    /// Blocks behind the others at which a provider does not count.
    pub head_gap_max_blocks: u64,
    /// Blocks that are scanned once more with each range, for providers that index late.
    pub rescan_blocks: u64,
    /// The chain's own coin, where it is taken.
    pub native: Option<NativeCoin>,
    /// Tokens that are taken; no other contract's word counts.
    pub tokens: Vec<Token>,
    /// Who is asked. Empty under [`LoadPurpose::Command`](super::LoadPurpose::Command).
    pub providers: Vec<RpcProvider>,
}

impl Chain {
    /// Whether every block is read with its transactions.
    #[must_use]
    pub fn reads_whole_blocks(&self) -> bool {
        self.native.as_ref().is_some_and(|native| native.scan_blocks)
    }

    /// Symbol and decimals of a coin by its contract as a column has it; `None` for a token that is
    /// not listed.
    #[must_use]
    pub fn coin(&self, token: Option<EvmAddress>) -> Option<(&str, u8)> {
        match Asset::from_column(token) {
            Asset::Native => Some((self.native.as_ref()?.symbol.as_str(), NATIVE_DECIMALS)),
            Asset::Token(address) => {
                let token = self.tokens.iter().find(|token| token.address == address)?;
                Some((token.symbol.as_str(), token.decimals))
            }
        }
    }

    /// What an amount counts while its token is within its band; `None` for what has another price.
    #[must_use]
    pub fn dollars(&self, token: Option<EvmAddress>, raw: RawAmount) -> Option<NanoUsd> {
        let (_, decimals) = self.coin(Some(token?))?;
        value_of(raw, decimals, FeedPrice::ONE)
    }
}

/// When a block cannot be undone any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finality {
    /// The node says so by its tag `finalized`.
    Finalized,
    /// So many blocks stand upon it, itself counted: 1 is the head.
    Confirmations(u64),
}

/// A chain's own coin.
#[derive(Clone, Debug)]
pub struct NativeCoin {
    /// `ETH`.
    pub symbol: String,
    /// Deposits worth less add up until they reach it.
    pub minimum: NanoUsd,
    /// What it is worth.
    pub feed: Feed,
    /// Whether every block is read to find transfers of it. Without, they are found by balances, or
    /// by their hash.
    pub scan_blocks: bool,
}

/// A token, which counts one dollar a piece within its band.
#[derive(Clone, Debug)]
pub struct Token {
    /// `USDC`; unique within the chain.
    pub symbol: String,
    /// What its `symbol()` answers, where that is something else.
    pub symbol_on_chain: Option<String>,
    /// Its contract; unique within the chain.
    pub address: EvmAddress,
    /// Digits behind the point. Checked against the contract at each start.
    pub decimals: u8,
    /// Deposits worth less add up until they reach it.
    pub minimum: NanoUsd,
    /// Where its price is watched; `None` takes it for a dollar unseen.
    pub feed: Option<Feed>,
    /// Price in USD below which a deposit is held.
    pub band_low: NanoUsd,
    /// Price in USD above which a deposit is held.
    pub band_high: NanoUsd,
}

/// A price feed with Chainlink's interface, on the same chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// Its contract.
    pub address: EvmAddress,
    /// What its `description()` must answer, such as `ETH / USD`: addresses are mixed up easily.
    pub description: String,
    /// Time after which a round without a successor is stale.
    pub heartbeat: Duration,
}

/// `[[chains]]` as written, without what stands in tables of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChainEntry {
    #[serde(deserialize_with = "slug")]
    pub(super) name: String,
    #[serde(deserialize_with = "value::text")]
    display_name: String,
    #[serde(deserialize_with = "value::whole::<1, 9_223_372_036_854_775_807, _, _>")]
    pub(super) chain_id: i64,
    #[serde(default, deserialize_with = "explorer")]
    explorer: Option<String>,
    #[serde(default, deserialize_with = "value::optional_address")]
    pub(super) treasury: Option<EvmAddress>,
    #[serde(default, deserialize_with = "optional_blocks")]
    confirmations: Option<u64>,
    #[serde(default = "default_quorum", deserialize_with = "value::whole::<1, 64, _, _>")]
    pub(super) quorum: usize,
    #[serde(
        rename = "poll_millis",
        default,
        deserialize_with = "value::optional_millis::<10, 600_000, _>"
    )]
    poll: Option<Duration>,
    #[serde(default, deserialize_with = "optional_block")]
    start_block: Option<u64>,
    #[serde(
        default = "default_log_range_max",
        deserialize_with = "value::whole::<1, 1_000_000, _, _>"
    )]
    log_range_max: u64,
    #[serde(
        default = "default_reorg_window_blocks",
        deserialize_with = "value::whole::<1, 1_000_000, _, _>"
    )]
    reorg_window_blocks: u64,
    #[serde(
        rename = "head_age_max_secs",
        default = "default_head_age_max",
        deserialize_with = "value::secs::<1, 86_400, _>"
    )]
    head_age_max: Duration,
    #[serde(
        default = "default_head_gap_max_blocks",
        deserialize_with = "value::whole::<0, 1_000_000, _, _>"
    )]
    head_gap_max_blocks: u64,
    #[serde(
        default = "default_rescan_blocks",
        deserialize_with = "value::whole::<0, 1_000_000, _, _>"
    )]
    rescan_blocks: u64,
    #[serde(rename = "providers", default)]
    _providers: Value,
    #[serde(rename = "native", default)]
    _native: Value,
    #[serde(rename = "tiers", default)]
    _tiers: Value,
    #[serde(rename = "tokens", default)]
    _tokens: Value,
}

impl ChainEntry {
    /// Rules that span keys of the chain itself.
    pub(super) fn check(&self, at: &KeyPath, has_xpub: bool, problems: &mut Problems) {
        if self.treasury.is_none() && !has_xpub {
            problems.add(
                &at.key("treasury"),
                "is missing: deposits need a treasury, or deposits.account_xpub for an own \
                 address of each account",
            );
        }
        if self.confirmations.is_some_and(|depth| depth > self.reorg_window_blocks) {
            let reason =
                "must not be above reorg_window_blocks: deeper blocks are no longer compared";
            problems.add(&at.key("confirmations"), reason);
        }
    }

    /// The chain with what stands in its tables.
    pub(super) fn into_chain(
        self,
        tiers: Vec<Tier>,
        native: Option<NativeCoin>,
        tokens: Vec<Token>,
        providers: Vec<RpcProvider>,
    ) -> Chain {
        Chain {
            name: self.name,
            display_name: self.display_name,
            chain_id: ChainId(self.chain_id),
            explorer: self.explorer,
            treasury: self.treasury,
            finality: self.confirmations.map_or(Finality::Finalized, Finality::Confirmations),
            tiers,
            quorum: self.quorum,
            poll: self.poll,
            start_block: self.start_block,
            log_range_max: self.log_range_max,
            reorg_window_blocks: self.reorg_window_blocks,
            head_age_max: self.head_age_max,
            head_gap_max_blocks: self.head_gap_max_blocks,
            rescan_blocks: self.rescan_blocks,
            native,
            tokens,
            providers,
        }
    }
}

/// `[chains.native]` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NativeEntry {
    #[serde(deserialize_with = "symbol")]
    symbol: String,
    #[serde(default = "default_minimum", deserialize_with = "value::usd")]
    minimum: NanoUsd,
    #[serde(deserialize_with = "value::address")]
    feed: EvmAddress,
    #[serde(deserialize_with = "value::text")]
    feed_description: String,
    #[serde(rename = "heartbeat_secs", deserialize_with = "value::secs::<1, 2_592_000, _>")]
    heartbeat: Duration,
    #[serde(default = "default_scan_blocks", deserialize_with = "value::flag")]
    scan_blocks: bool,
}

impl NativeEntry {
    pub(super) fn into_coin(self) -> NativeCoin {
        let feed = Feed {
            address: self.feed,
            description: self.feed_description,
            heartbeat: self.heartbeat,
        };
        NativeCoin {
            symbol: self.symbol,
            minimum: self.minimum,
            feed,
            scan_blocks: self.scan_blocks,
        }
    }
}

/// `[[chains.tokens]]` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenEntry {
    #[serde(deserialize_with = "symbol")]
    symbol: String,
    #[serde(default, deserialize_with = "value::optional_text")]
    symbol_on_chain: Option<String>,
    #[serde(deserialize_with = "value::address")]
    address: EvmAddress,
    #[serde(deserialize_with = "value::whole::<0, 30, _, _>")]
    decimals: u8,
    #[serde(default = "default_minimum", deserialize_with = "value::usd")]
    minimum: NanoUsd,
    #[serde(default, deserialize_with = "value::optional_address")]
    feed: Option<EvmAddress>,
    #[serde(default, deserialize_with = "value::optional_text")]
    feed_description: Option<String>,
    #[serde(
        rename = "heartbeat_secs",
        default,
        deserialize_with = "value::optional_secs::<1, 2_592_000, _>"
    )]
    heartbeat: Option<Duration>,
    #[serde(default, deserialize_with = "value::optional_usd")]
    band_low: Option<NanoUsd>,
    #[serde(default, deserialize_with = "value::optional_usd")]
    band_high: Option<NanoUsd>,
}

impl TokenEntry {
    /// The token, or nothing and what is wrong between its keys.
    pub(super) fn into_token(self, at: &KeyPath, problems: &mut Problems) -> Option<Token> {
        let feed = match (self.feed, self.feed_description, self.heartbeat) {
            (Some(address), Some(description), Some(heartbeat)) => {
                Some(Feed { address, description, heartbeat })
            }
            (None, None, None) if self.band_low.is_none() && self.band_high.is_none() => None,
            (None, ..) => {
                let reason =
                    "is missing: the other keys of the feed and its band have no effect without it";
                problems.add(&at.key("feed"), reason);
                return None;
            }
            (Some(_), description, _) => {
                let key = if description.is_none() { "feed_description" } else { "heartbeat_secs" };
                problems.add(&at.key(key), "is missing: a feed needs it");
                return None;
            }
        };
        let band_low = self.band_low.unwrap_or(NanoUsd::from_nanos(980_000_000));
        let band_high = self.band_high.unwrap_or(NanoUsd::from_nanos(1_020_000_000));
        if band_low > DOLLAR || band_high < DOLLAR {
            let key = if band_low > DOLLAR { "band_low" } else { "band_high" };
            problems.add(&at.key(key), "must leave \"1\" within the band");
            return None;
        }
        Some(Token {
            symbol: self.symbol,
            symbol_on_chain: self.symbol_on_chain,
            address: self.address,
            decimals: self.decimals,
            minimum: self.minimum,
            feed,
            band_low,
            band_high,
        })
    }
}

const DOLLAR: NanoUsd = NanoUsd::from_nanos(1_000_000_000);

fn slug<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = value::text(from)?;
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.len() > 32 || !name.bytes().all(is_plain) {
        return Err(serde::de::Error::custom("must be at most 32 of the characters a-z 0-9 -"));
    }
    Ok(name)
}

fn symbol<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = value::text(from)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    if name.len() > 16 || !name.bytes().all(is_plain) {
        return Err(serde::de::Error::custom(
            "must be at most 16 of the characters A-Z a-z 0-9 . -",
        ));
    }
    Ok(name)
}

/// A page links to it, so it is https, and nothing in it can end the link's path.
fn explorer<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = value::text(from)?;
    let base = text.parse::<BaseUrl>().ok().filter(BaseUrl::is_https);
    let base = base.ok_or_else(|| {
        serde::de::Error::custom("must be an https address such as \"https://basescan.org\"")
    })?;
    Ok(Some(base.as_str().to_owned()))
}

fn optional_blocks<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    value::whole::<1, 100_000, D, u64>(from).map(Some)
}

fn optional_block<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    value::whole::<0, 9_223_372_036_854_775_807, D, u64>(from).map(Some)
}

const fn default_quorum() -> usize {
    2
}

const fn default_log_range_max() -> u64 {
    1_000
}

const fn default_reorg_window_blocks() -> u64 {
    256
}

const fn default_head_age_max() -> Duration {
    Duration::from_mins(3)
}

const fn default_head_gap_max_blocks() -> u64 {
    16
}

const fn default_rescan_blocks() -> u64 {
    16
}

const fn default_scan_blocks() -> bool {
    true
}

const fn default_minimum() -> NanoUsd {
    DOLLAR
}
