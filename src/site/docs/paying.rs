//! `/docs/deposits`: how to pay from an exchange and from each kind of wallet, by what this
//! gateway's settings offer.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use crate::config::{Chain, Finality};
use crate::site::format::sooner;
use crate::site::layout::Frame;
use crate::site::{Site, page_request};

#[derive(Template)]
#[template(path = "docs_deposits.html")]
struct GuidePage {
    frame: Frame,
    ways: Vec<PayingChain>,
    /// Each account has an address of its own.
    has_own: bool,
    /// Some chain has the common address.
    has_common: bool,
    /// Some chain takes its own coin.
    takes_coins: bool,
}

/// What one chain offers.
struct PayingChain {
    title: String,
    tokens: String,
    /// The chain's own coin.
    native: Option<String>,
    /// Coins that a contract has sent can be read there.
    is_traced: bool,
    has_common: bool,
    when: String,
}

impl PayingChain {
    fn of(chain: &Chain) -> Self {
        let tokens: Vec<&str> = chain.tokens.iter().map(|token| token.symbol.as_str()).collect();
        let able = chain.providers.iter().filter(|provider| provider.traces).count();
        Self {
            title: chain.display_name.clone(),
            tokens: tokens.join(", "),
            native: chain.native.as_ref().map(|native| native.symbol.clone()),
            is_traced: able >= chain.quorum,
            has_common: chain.treasury.is_some(),
            when: sooner(chain.tiers.iter().map(|tier| (tier.confirmations, tier.up_to)))
                + &match chain.finality {
                    Finality::Finalized => {
                        "once its block is final, usually within 20 minutes".to_owned()
                    }
                    Finality::Confirmations(count) => format!("after {count} confirmations"),
                },
        }
    }
}

impl GuidePage {
    fn of(frame: Frame, chains: &[Chain], has_own: bool) -> Self {
        let ways: Vec<PayingChain> = chains.iter().map(PayingChain::of).collect();
        Self {
            frame,
            has_own,
            has_common: ways.iter().any(|way| way.has_common),
            takes_coins: ways.iter().any(|way| way.native.is_some()),
            ways,
        }
    }

    /// The chains on which coins that a contract has sent cannot be read, by their names.
    fn untraced(&self) -> String {
        let untraced = self.ways.iter().filter(|way| way.native.is_some() && !way.is_traced);
        untraced.map(|way| way.title.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// `GET /docs/deposits`
pub(in crate::site) async fn show(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let settings = visit.site.settings();
        let has_own = settings.deposits.account_xpub.is_some();
        visit.public_page(&GuidePage::of(
            visit.frame("How to add credit"),
            &settings.chains,
            has_own,
        ))
    })
    .await
}
