//! What a chain's own coin is worth now, for whoever chooses what to pay with. Asked of the price
//! feed when somebody looks, and kept for a minute. No deposit is valued by it: what one counts is
//! read again at the time of its block.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::api::Api;
use crate::api::values::{Dollars, Moment};
use crate::chain::Provider;
use crate::chain::contract::feed_facts;
use crate::chain::feed::price_at;
use crate::chain::provider::Priority;
use crate::chain::quorum::Agreement;
use crate::config::{Chain, Feed};
use crate::deposits::valuation::LATENESS;
use crate::domain::clock::UnixMillis;
use crate::domain::evm::ChainId;

/// How long an answer is shown before the feed is asked again.
const AGE: Duration = Duration::from_mins(1);
/// An answer that could not be renewed is shown no longer than this.
const AGE_MAX: Duration = Duration::from_mins(10);
/// How long a page waits for the feeds.
const PATIENCE: Duration = Duration::from_secs(2);

/// The price of a native coin, from its price feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CoinPrice {
    /// Dollars for one coin.
    pub usd: Dollars,
    /// When the feed was last updated.
    pub updated_at: Moment,
    /// Whether the feed is out of date. Deposits that arrive meanwhile wait for a manual review.
    pub is_stale: bool,
}

/// Prices by chain; a chain whose price is not known has none.
pub type CoinPrices = HashMap<ChainId, CoinPrice>;

/// What feeds said last.
#[derive(Default)]
pub(in crate::api) struct CoinQuotes(Mutex<HashMap<ChainId, Quote>>);

#[derive(Clone, Copy)]
struct Quote {
    price: Option<CoinPrice>,
    /// When the price was read.
    read_at: Instant,
    /// When somebody began to ask for it: others need not.
    asked_at: Instant,
}

/// The prices of all native coins that are accepted, as of a minute ago at most where the feeds
/// answer in time.
pub async fn coin_prices(api: &Api) -> CoinPrices {
    let due = api.quotes.due(api.chains());
    let asked = due.iter().map(|chain| async {
        let asked = tokio::time::timeout(PATIENCE, ask(api, chain)).await;
        (chain.chain_id, asked.ok().flatten())
    });
    for (chain_id, price) in join_all(asked).await {
        api.quotes.keep(chain_id, price);
    }
    api.quotes.known()
}

async fn ask(api: &Api, chain: &Chain) -> Option<CoinPrice> {
    let feed = &chain.native.as_ref()?.feed;
    let providers = api.parts.providers.get(&chain.chain_id)?;
    let providers: Vec<Provider> = providers.iter().map(|one| one.at(Priority::Claim)).collect();
    read(&providers, chain.quorum, feed, api.now()).await
}

async fn read(
    providers: &[Provider],
    quorum: usize,
    feed: &Feed,
    now: UnixMillis,
) -> Option<CoinPrice> {
    let facts = feed_facts(providers, quorum, feed.address);
    let round = price_at(providers, quorum, feed.address, now, now);
    let (facts, round) = tokio::join!(facts, round);
    let (Agreement::Agreed(facts), Agreement::Agreed(Some(round))) =
        (facts.agreement, round.agreement)
    else {
        return None;
    };
    // Another feed's price would be worse than none.
    let decimals = facts.decimals.filter(|_| facts.description.as_ref() == Some(&feed.description));
    let usd = round.price(decimals?).per_coin()?;
    let age_max = i64::try_from(feed.heartbeat.saturating_add(LATENESS).as_millis()).ok()?;
    Some(CoinPrice {
        usd: Dollars(usd),
        updated_at: Moment(round.updated_at),
        is_stale: round.is_stale(now, age_max),
    })
}

impl CoinQuotes {
    /// The chains whose prices are to be asked for by whoever calls this.
    fn due<'a>(&self, chains: &'a [Chain]) -> Vec<&'a Chain> {
        let mut quotes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_due = |chain: &&Chain| {
            chain.native.is_some()
                && quotes.get(&chain.chain_id).is_none_or(|quote| now - quote.asked_at >= AGE)
        };
        let due: Vec<&Chain> = chains.iter().filter(is_due).collect();
        for chain in &due {
            let quote = quotes.entry(chain.chain_id);
            let first = Quote { price: None, read_at: now, asked_at: now };
            quote.and_modify(|quote| quote.asked_at = now).or_insert(first);
        }
        due
    }

    /// Keeps what was found; an older price stays where nothing was.
    fn keep(&self, chain_id: ChainId, price: Option<CoinPrice>) {
        let mut quotes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(quote) = quotes.get_mut(&chain_id).filter(|_| price.is_some()) {
            quote.price = price;
            quote.read_at = Instant::now();
        }
    }

    fn known(&self) -> CoinPrices {
        let quotes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = quotes.iter().filter(|(_, quote)| quote.read_at.elapsed() < AGE_MAX);
        fresh.filter_map(|(chain_id, quote)| Some((*chain_id, quote.price?))).collect()
    }
}
