//! Two servers on one database: one reads the chain, the other takes over when it is gone, and no
//! deposit is credited by both.

use sluice::domain::deposit::DepositState;

use crate::support::app::{Builder, TestApp};
use crate::support::database::TestDatabase;
use crate::support::deposits::{Mint, Shop, USDC};
use crate::support::rpc::Provider;
use crate::support::wait::eventually;

const DOLLAR: i64 = 1_000_000_000;

/// A second server, which reads the same chain through providers of its own; its clock may be
/// ahead.
fn second(shop: &Shop, ahead_millis: i64) -> (TestApp, Provider, Provider) {
    let Mint { chain, alpha, beta, .. } = &shop.mint;
    let (gamma, delta) = (Provider::before(chain.node), Provider::before(chain.node));
    let toml = shop.mint.toml("");
    let toml = toml.replace(&alpha.url(), &gamma.url()).replace(&beta.url(), &delta.url());
    let mut builder = Builder::new()
        .upstream("sandbox", crate::support::sandbox::sandbox())
        .section(&toml)
        .clock_at(shop.app.clock.now().as_millis() + ahead_millis);
    builder.database = Some(shop.app.database().beside());
    (builder.start(), gamma, delta)
}

/// Where two servers may share a database.
fn on_postgres() -> Option<Shop> {
    let database = TestDatabase::postgres()?;
    Some(Shop::open_with(
        move |mut builder| {
            builder.database = Some(database);
            builder
        },
        "",
    ))
}

#[test]
fn one_of_two_servers_reads_a_chain_and_the_other_takes_over() {
    let Some(shop) = on_postgres() else { return };
    let account = shop.holder_of(1);
    shop.caught_up();
    let reader = shop.cursor().unwrap().node_id;
    let (other, gamma, _delta) = second(&shop, 0);
    let first = shop.pay_usdc(1, 2 * USDC);
    shop.finalize();
    shop.credited(first);
    assert_eq!(shop.cursor().unwrap().node_id, reader);
    assert_eq!(gamma.count("eth_getLogs"), 0, "the other one waits");

    // The first one stops while a payment confirms.
    let waiting = shop.pay_usdc(1, 3 * USDC);
    shop.reaches(waiting, DepositState::Confirming);
    let (mint, (database, _folder)) = shop.stop();
    mint.chain.finalize();
    let shop = Shop::of(other, mint);
    shop.credited(waiting);
    assert_ne!(shop.cursor().unwrap().node_id, reader);
    assert!(gamma.count("eth_getLogs") > 0);
    assert_eq!(shop.app.entries(&account, "deposit"), [2 * DOLLAR, 3 * DOLLAR]);
    drop(shop);
    drop(database);
}

#[test]
fn two_servers_that_both_think_they_read_a_chain_credit_once() {
    let Some(shop) = on_postgres() else { return };
    let account = shop.holder_of(1);
    shop.caught_up();
    let reader = shop.cursor().unwrap().node_id;
    // To a clock that is far ahead the first one's lease has run out, although it is alive.
    let (other, gamma, _delta) = second(&shop, 600_000);
    eventually("the other server to read", || (shop.cursor()?.node_id != reader).then_some(()));
    let mut paid = Vec::new();
    for round in 0..10 {
        paid.push(shop.pay_usdc(1, (round + 1) * USDC));
        shop.mine(3);
        // Now the first one's clock is ahead, then the other's again.
        let gap = other.clock.now().as_millis() - shop.app.clock.now().as_millis();
        let behind = if round % 2 == 0 { &shop.app.clock } else { &other.clock };
        behind.advance(gap.abs() + 120_000);
    }
    shop.finalize();
    for tx in paid {
        eventually("the credit", || {
            shop.app.clock.advance(50);
            other.clock.advance(50);
            let rows = shop.deposits(tx);
            (rows.len() == 1 && rows[0].state == DepositState::Credited).then_some(())
        });
    }
    assert!(gamma.count("eth_getLogs") > 0);
    assert_eq!(shop.available(&account), 55 * DOLLAR);
    assert_eq!(shop.app.entries(&account, "deposit").len(), 10);
    drop(other);
}
