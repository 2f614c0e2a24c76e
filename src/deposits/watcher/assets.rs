//! Holds the coins of the settings against the chain: a wrong address or number of decimals would
//! credit a multiple. A coin's mistake stops that coin alone: its deposits are found and wait, and
//! all others go on. A token's name is anybody's choice, so that another one than expected is said
//! and stops nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::observe::View;
use super::{RoundError, WatcherState};
use crate::chain::contract::{TokenFacts, feed_facts, token_decimals, token_facts};
use crate::chain::quorum::{Agreement, QuorumResult};
use crate::config::{Feed, Token};
use crate::domain::clock::UnixMillis;
use crate::domain::evm::EvmAddress;

/// When coins are looked at again, in milliseconds: where all is well, where one is wrong, where
/// one could not be read.
const AGAIN: i64 = 3_600_000;
const AGAIN_WRONG: i64 = 60_000;
const AGAIN_UNREAD: i64 = 5_000;

/// The coins as they were last held against the chain.
#[derive(Debug, Default)]
pub(super) struct CheckedCoins {
    checked_at: Option<UnixMillis>,
    /// Decimals of the feeds that are what they should be.
    feeds: HashMap<EvmAddress, u8>,
    /// By token, with the chain's own coin as none.
    found: BTreeMap<Option<EvmAddress>, CoinCheck>,
}

/// What became of one coin.
#[derive(Clone, Debug, PartialEq, Eq)]
enum CoinCheck {
    Fine,
    /// It goes on, and somebody should look.
    Odd(String),
    /// It contradicts the settings.
    Wrong(String),
    /// Too few providers answer, or they do not agree.
    Unread(String),
}

impl CoinCheck {
    const fn stops(&self) -> bool {
        matches!(self, Self::Wrong(_) | Self::Unread(_))
    }

    fn words(&self) -> Option<&str> {
        match self {
            Self::Fine => None,
            Self::Odd(words) | Self::Wrong(words) | Self::Unread(words) => Some(words),
        }
    }
}

impl CheckedCoins {
    /// The decimals of a feed, if it is what the settings say.
    pub(super) fn feed_decimals(&self, feed: EvmAddress) -> Option<u8> {
        self.feeds.get(&feed).copied()
    }

    /// Whether nothing is credited in a coin; `None` is the chain's own.
    pub(super) fn is_stopped(&self, token: Option<EvmAddress>) -> bool {
        self.found.get(&token).is_some_and(CoinCheck::stops)
    }

    /// The chain's status as far as its coins are concerned, and what is to be said of them.
    pub(super) fn standing(&self) -> (&'static str, Option<String>) {
        let all_stop = !self.found.is_empty() && self.found.values().all(CoinCheck::stops);
        let is_unread = self.found.values().any(|found| matches!(found, CoinCheck::Unread(_)));
        let status = match (all_stop, is_unread) {
            (false, _) => "ok",
            (true, true) => "degraded",
            (true, false) => "stopped",
        };
        let words: Vec<&str> = self.found.values().filter_map(CoinCheck::words).collect();
        (status, (!words.is_empty()).then(|| words.join("; ")))
    }

    fn is_due(&self, now: UnixMillis) -> bool {
        let has = |is: fn(&CoinCheck) -> bool| self.found.values().any(is);
        let again = if has(|found| matches!(found, CoinCheck::Unread(_))) {
            AGAIN_UNREAD
        } else if has(CoinCheck::stops) {
            AGAIN_WRONG
        } else {
            AGAIN
        };
        self.checked_at.is_none_or(|at| now.millis_since(at) >= again)
    }
}

impl WatcherState {
    /// Checks every token and feed, at the start and from time to time.
    pub(super) async fn check_assets(&mut self, view: &View) {
        let now = self.now();
        if !self.coins.is_due(now) {
            return;
        }
        self.coins.checked_at = Some(now);
        let chain = Arc::clone(&self.parts.chain);
        for token in &chain.tokens {
            let found = check_token(view, token).await;
            let priced = match &token.feed {
                Some(feed) => self.check_feed(view, &token.symbol, feed).await,
                None => CoinCheck::Fine,
            };
            let found = if found.stops() || priced == CoinCheck::Fine { found } else { priced };
            self.note_coin(&token.symbol, Some(token.address), found);
        }
        if let Some(native) = &chain.native {
            let found = self.check_feed(view, &native.symbol, &native.feed).await;
            self.note_coin(&native.symbol, None, found);
        }
    }

    fn note_coin(&mut self, symbol: &str, token: Option<EvmAddress>, found: CoinCheck) {
        let before = self.coins.found.get(&token);
        // What was well is not stopped because providers are silent for a moment.
        let was_well = before.is_some_and(|before| !before.stops());
        if was_well && matches!(found, CoinCheck::Unread(_)) {
            return;
        }
        let chain = &self.parts.chain.name;
        if before != Some(&found) {
            match &found {
                CoinCheck::Fine if before.is_none() => {}
                CoinCheck::Fine => {
                    tracing::info!(chain, coin = symbol, "a coin matches the settings again");
                }
                CoinCheck::Odd(why) => tracing::warn!(chain, why, "a coin is not as expected"),
                CoinCheck::Wrong(why) | CoinCheck::Unread(why) => {
                    tracing::error!(chain, why, "a coin is stopped: its deposits wait");
                    self.parts.metrics.count_alert("chain_coin");
                }
            }
        }
        self.parts.metrics.chains.set_coin_ok(chain, symbol, !found.stops());
        self.coins.found.insert(token, found);
    }

    async fn check_feed(&mut self, view: &View, symbol: &str, feed: &Feed) -> CoinCheck {
        let (name, address) = (&feed.description, feed.address.checksummed());
        let verdict = feed_facts(&view.providers, view.quorum, feed.address).await;
        let facts = match agreed(verdict, &format!("the feed {name}")) {
            Ok(facts) => facts,
            Err(trouble) => return CoinCheck::Unread(format!("{symbol}: {trouble}")),
        };
        let wrong = match (facts.description, facts.decimals) {
            (Some(told), Some(decimals)) if told == *name => {
                self.coins.feeds.insert(feed.address, decimals);
                return CoinCheck::Fine;
            }
            (Some(told), Some(_)) => {
                format!("{name}: the feed at {address} describes itself as {told:?}")
            }
            _ => format!("{name}: there is no feed at {address}"),
        };
        self.coins.feeds.remove(&feed.address);
        CoinCheck::Wrong(format!("{symbol} is stopped: {wrong}"))
    }
}

async fn check_token(view: &View, token: &Token) -> CoinCheck {
    let (symbol, address) = (&token.symbol, token.address.checksummed());
    let mut verdict = token_facts(&view.providers, view.quorum, token.address).await;
    let mut differ = false;
    if verdict.agreement == (Agreement::Disagree { what: "symbol" }) {
        // Nodes may change over to a new name one after the other: then the decimals alone count.
        let decimals = token_decimals(&view.providers, view.quorum, token.address).await;
        let QuorumResult { agreement, dissenting, silent } = decimals;
        let agreement = agreement.map(|decimals| TokenFacts { decimals, symbol: None });
        verdict = QuorumResult { agreement, dissenting, silent };
        differ = true;
    }
    let facts = match agreed(verdict, &format!("the token {symbol}")) {
        Ok(facts) => facts,
        Err(trouble) => return CoinCheck::Unread(format!("{symbol}: {trouble}")),
    };
    let stopped = |why: String| CoinCheck::Wrong(format!("{symbol} is stopped: {why}"));
    let Some(decimals) = facts.decimals else {
        return stopped(format!("{symbol}: there is no token at {address}"));
    };
    if decimals != token.decimals {
        return stopped(format!(
            "the config says {} decimals, the token at {address} says {decimals}",
            token.decimals
        ));
    }
    let expected = token.symbol_on_chain.as_ref().unwrap_or(symbol);
    match facts.symbol {
        _ if differ => {
            CoinCheck::Odd(format!("{symbol}: providers differ about how the token calls itself"))
        }
        Some(told) if told == *expected => CoinCheck::Fine,
        told => CoinCheck::Odd(format!(
            "{symbol}: the token at {address} calls itself {:?}, and the config says {expected:?}",
            told.unwrap_or_default()
        )),
    }
}

/// What was agreed on, or the reason to wait, with what each provider said instead.
pub(super) fn agreed<T>(verdict: QuorumResult<T>, about: &str) -> Result<T, RoundError> {
    match verdict.agreement {
        Agreement::Agreed(value) => Ok(value),
        Agreement::TooFew { answered, needed } => {
            let silent = verdict.silent.iter().map(|(name, error)| format!("{name}: {error}"));
            let silent: Vec<String> = silent.collect();
            let reasons = match silent.as_slice() {
                [] => String::new(),
                reasons => format!(" ({})", reasons.join("; ")),
            };
            Err(RoundError::Chain(format!(
                "{answered} providers answer about {about} and {needed} are needed{reasons}"
            )))
        }
        Agreement::Disagree { what } => {
            Err(RoundError::Chain(format!("providers disagree about {about}: {what}")))
        }
    }
}
