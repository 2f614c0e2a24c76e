//! Holds the config against the chain: a wrong address or number of decimals would credit a multiple.

use std::collections::HashMap;

use super::observe::View;
use super::{State, Trouble};
use crate::chain::contract::{feed_facts, token_facts};
use crate::chain::quorum::Agreement;
use crate::config::{Feed, Token};

impl State {
    /// Checks every token and feed, once for each start.
    pub(super) async fn check_assets(&mut self, view: &View) -> Result<(), Trouble> {
        if self.feed_decimals.is_some() {
            return Ok(());
        }
        let chain = std::sync::Arc::clone(&self.parts.chain);
        for token in &chain.tokens {
            check_token(view, token).await?;
        }
        let native = chain.native.iter().map(|native| &native.feed);
        let feeds = native.chain(chain.tokens.iter().filter_map(|token| token.feed.as_ref()));
        let mut decimals = HashMap::new();
        for feed in feeds {
            decimals.insert(feed.address, check_feed(view, feed).await?);
        }
        self.feed_decimals = Some(decimals);
        Ok(())
    }
}

async fn check_token(view: &View, token: &Token) -> Result<(), Trouble> {
    let (symbol, address) = (&token.symbol, token.address.checksummed());
    let verdict = token_facts(&view.providers, view.quorum, token.address).await;
    let facts = agreed(verdict.agreement, &format!("the token {symbol}"))?;
    let Some(decimals) = facts.decimals else {
        return Err(Trouble::Config(format!("{symbol}: there is no token at {address}")));
    };
    if decimals != token.decimals {
        return Err(Trouble::Config(format!(
            "{symbol}: the config says {} decimals, the token at {address} says {decimals}",
            token.decimals
        )));
    }
    let expected = token.symbol_on_chain.as_ref().unwrap_or(symbol);
    match facts.symbol {
        Some(told) if told == *expected => Ok(()),
        told => Err(Trouble::Config(format!(
            "{symbol}: the token at {address} calls itself {:?}, and the config says {expected:?}",
            told.unwrap_or_default()
        ))),
    }
}

async fn check_feed(view: &View, feed: &Feed) -> Result<u8, Trouble> {
    let (name, address) = (&feed.description, feed.address.checksummed());
    let verdict = feed_facts(&view.providers, view.quorum, feed.address).await;
    let facts = agreed(verdict.agreement, &format!("the feed {name}"))?;
    match (facts.description, facts.decimals) {
        (Some(told), Some(decimals)) if told == *name => Ok(decimals),
        (Some(told), Some(_)) => Err(Trouble::Config(format!(
            "{name}: the feed at {address} describes itself as {told:?}"
        ))),
        _ => Err(Trouble::Config(format!("{name}: there is no feed at {address}"))),
    }
}

/// What was agreed on, or the reason to wait.
pub(super) fn agreed<T>(agreement: Agreement<T>, about: &str) -> Result<T, Trouble> {
    match agreement {
        Agreement::Agreed(value) => Ok(value),
        Agreement::TooFew { answered, needed } => Err(Trouble::Chain(format!(
            "{answered} providers answer about {about} and {needed} are needed"
        ))),
        Agreement::Disagree { what } => {
            Err(Trouble::Chain(format!("providers disagree about {about}: {what}")))
        }
    }
}
