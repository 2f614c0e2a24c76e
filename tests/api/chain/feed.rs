//! The price in force at a moment, from a feed as it stands on a chain.

use ethers_core::types::{I256, U256};
use sluice::chain::contract::{FeedFacts, TokenFacts, feed_facts, token_facts};
use sluice::chain::feed::{PriceRound, price_at};
use sluice::chain::quorum::{Agreement, QuorumResult};
use sluice::domain::clock::UnixMillis;
use sluice::domain::evm::EvmAddress;

use crate::support::chain::asking::ask;
use crate::support::chain::contract::Contract;
use crate::support::chain::{GENESIS_SECS, TestChain};
use crate::support::rpc::Provider;
use crate::support::rpc::fault::Fault;

fn at(secs: u64) -> UnixMillis {
    UnixMillis::from_millis(i64::try_from((GENESIS_SECS + secs) * 1000).unwrap())
}

fn price(providers: &[&Provider], feed: &Contract, secs: u64) -> QuorumResult<Option<PriceRound>> {
    let address = EvmAddress(feed.address.0);
    ask(providers, async |providers| {
        price_at(&providers, providers.len(), address, at(secs), at(100_000)).await
    })
}

/// Phase, number and price.
fn found(providers: &[&Provider], feed: &Contract, secs: u64) -> Option<(u128, u64, u128)> {
    let round = price(providers, feed, secs).agreement.agreed().unwrap()?;
    let number = u64::try_from(round.round_id & u128::from(u64::MAX)).unwrap();
    Some((round.round_id >> 64, number, round.answer))
}

#[test]
fn the_round_in_force_is_found_across_phases_whatever_a_missing_round_does() {
    let chain = TestChain::start();
    let (one, two) = (Provider::before(chain.node), Provider::before(chain.node));
    let both = [&one, &two];
    let from = chain.account(0);
    let feed = chain.deploy("Feed", ("ETH / USD".to_owned(), 8_u8));
    let push = |answer: i64, secs: u64| {
        let args = (I256::from(answer), U256::from(GENESIS_SECS + secs));
        chain.send(from, &feed, "push", args)
    };
    for round in 0..20 {
        push(300 + round, 10 * u64::try_from(round).unwrap());
    }
    chain.send(from, &feed, "newPhase", ());
    assert_eq!(found(&both, &feed, 5), None, "a phase without a round has no price");
    push(400, 300);
    push(0, 310);
    push(-5, 320);
    push(420, 330);

    for missing_reverts in [true, false] {
        chain.send(from, &feed, "setMissingReverts", (missing_reverts,));
        for (secs, expected) in [
            (9_999, Some((2, 4, 420))),
            (330, Some((2, 4, 420))),
            (329, None),
            (315, None),
            (309, Some((2, 1, 400))),
            (299, Some((1, 20, 319))),
            (190, Some((1, 20, 319))),
            (189, Some((1, 19, 318))),
            (15, Some((1, 2, 301))),
            (0, Some((1, 1, 300))),
        ] {
            assert_eq!(found(&both, &feed, secs), expected, "at {secs}");
        }
    }
    let before = UnixMillis::from_millis(at(0).as_millis() - 1000);
    let address = EvmAddress(feed.address.0);
    let none = ask(&both, async |providers| price_at(&providers, 2, address, before, at(0)).await);
    assert!(matches!(none.silent.as_slice(), [_, _]), "the latest is of the future: {none:?}");
}

#[test]
fn a_lie_about_a_price_and_a_missing_provider_leave_none() {
    let chain = TestChain::start();
    let (one, two) = (Provider::before(chain.node), Provider::before(chain.node));
    let from = chain.account(0);
    let feed = chain.deploy("Feed", ("ETH / USD".to_owned(), 8_u8));
    chain.send(from, &feed, "push", (I256::from(300), U256::from(GENESIS_SECS)));
    two.mutate("eth_call", |_, answer| {
        let higher = answer.as_str().unwrap().replacen("12c", "12d", 1);
        *answer = higher.into();
    });
    let verdict = price(&[&one, &two], &feed, 5);
    assert_eq!(verdict.agreement, Agreement::Disagree { what: "price of a round" });
    two.heal();
    two.on("eth_call", Fault::error(-32000, "header not found"));
    let verdict = price(&[&one, &two], &feed, 5);
    assert_eq!(verdict.agreement, Agreement::TooFew { answered: 1, needed: 2 });
}

#[test]
fn tokens_and_feeds_say_what_they_are() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    let feed = chain.deploy("Feed", ("ETH / USD".to_owned(), 8_u8));
    let args = ("Tether USD".to_owned(), "USDT".to_owned(), 18_u8, 0_u16);
    let token = chain.deploy("Token", args);
    ask(&[&provider], async |providers| {
        let of = |contract: &Contract| EvmAddress(contract.address.0);
        let said = feed_facts(&providers, 1, of(&feed)).await.agreement.agreed().unwrap();
        let expected = FeedFacts { description: Some("ETH / USD".to_owned()), decimals: Some(8) };
        assert_eq!(said, expected);
        let said = token_facts(&providers, 1, of(&token)).await.agreement.agreed().unwrap();
        assert_eq!(said, TokenFacts { decimals: Some(18), symbol: Some("USDT".to_owned()) });
        // A feed is no token: it has decimals, and reverts for a symbol.
        let said = token_facts(&providers, 1, of(&feed)).await.agreement.agreed().unwrap();
        assert_eq!(said, TokenFacts { decimals: Some(8), symbol: None });
        let nobody = EvmAddress([9; 20]);
        let said = feed_facts(&providers, 1, nobody).await.agreement.agreed().unwrap();
        assert_eq!(said, FeedFacts { description: None, decimals: None });
    });
}
