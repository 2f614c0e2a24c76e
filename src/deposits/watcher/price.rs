//! What a deposit is worth by the feed's round in force when it was mined.

use std::collections::HashMap;

use super::WatcherState;
use super::observe::View;
use crate::chain::feed::{PriceRound, price_at};
use crate::chain::quorum::Agreement;
use crate::deposits::valuation::{ConfiguredCoin, FeedRound, Valuation, value};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::{Asset, DepositReason, FeedPrice};
use crate::domain::evm::{EvmAddress, RawAmount};
use crate::domain::money::NanoUsd;

/// What feeds said of a moment, so that they are asked once for all deposits of a block that are
/// looked at together.
pub(super) type Rounds = HashMap<(EvmAddress, UnixMillis), Agreement<Option<PriceRound>>>;

/// What was found out about a deposit's worth.
pub(super) struct Appraisal {
    /// What it counts, or may count.
    pub(super) value: Option<NanoUsd>,
    /// Why a person has to look first.
    pub(super) hold: Option<DepositReason>,
    /// What its kind must reach.
    pub(super) minimum: NanoUsd,
    /// Feed, round and answer, as they are kept with the credit.
    pub(super) source: Option<(EvmAddress, String, String)>,
}

/// Whether it could be found out.
pub(super) enum Valued {
    /// This.
    As(Appraisal),
    /// Not now, and why.
    Doubt(String),
    /// Not before its coin is mended, which says nothing about the chain.
    Wait(&'static str),
}

impl WatcherState {
    /// Values a deposit.
    pub(super) async fn value(
        &self,
        view: &View,
        rounds: &mut Rounds,
        (asset, raw): (Asset, RawAmount),
        mined_at: UnixMillis,
    ) -> Valued {
        let chain = &self.parts.chain;
        let coin = match asset {
            Asset::Native => chain.native.as_ref().map(ConfiguredCoin::Native),
            Asset::Token(address) => chain
                .tokens
                .iter()
                .find(|token| token.address == address)
                .map(ConfiguredCoin::Token),
        };
        let Some(coin) = coin else {
            return Valued::Doubt("a deposit is in a coin that is no longer configured".to_owned());
        };
        let token = match asset {
            Asset::Native => None,
            Asset::Token(address) => Some(address),
        };
        if self.coins.is_stopped(token) {
            return Valued::Wait("its coin is not as the settings say");
        }
        let (feed, minimum) = match coin {
            ConfiguredCoin::Native(native) => (Some(&native.feed), native.minimum),
            ConfiguredCoin::Token(token) => (token.feed.as_ref(), token.minimum),
        };
        let (mut round, mut source) = (None, None);
        if let Some(feed) = feed {
            let Some(decimals) = self.coins.feed_decimals(feed.address) else {
                return Valued::Doubt(format!("{} was not checked yet", feed.description));
            };
            let agreement = self.round_of(view, rounds, feed.address, mined_at).await;
            match agreement {
                Agreement::Agreed(Some(found)) => {
                    let price = FeedPrice { answer: found.answer, decimals };
                    round = Some(FeedRound { price, updated_at: found.updated_at });
                    let (id, answer) = (found.round_id.to_string(), found.answer.to_string());
                    source = Some((feed.address, id, answer));
                }
                Agreement::Agreed(None) => {}
                _ => {
                    let name = &feed.description;
                    return Valued::Doubt(format!("providers do not agree on the price of {name}"));
                }
            }
        }
        let (value, hold) = match value(coin, raw, round, mined_at) {
            Valuation::Worth(value) => (Some(value), None),
            Valuation::Held(reason, value) => (value, Some(reason)),
        };
        Valued::As(Appraisal { value, hold, minimum, source })
    }

    async fn round_of(
        &self,
        view: &View,
        rounds: &mut Rounds,
        feed: EvmAddress,
        mined_at: UnixMillis,
    ) -> Agreement<Option<PriceRound>> {
        if let Some(said) = rounds.get(&(feed, mined_at)) {
            return said.clone();
        }
        let verdict = price_at(&view.providers, view.quorum, feed, mined_at, self.now()).await;
        self.note_dissent(&verdict.dissenting, "price feed");
        rounds.insert((feed, mined_at), verdict.agreement.clone());
        verdict.agreement
    }
}
