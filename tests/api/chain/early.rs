//! Small sums that are credited before their block is final: within the tiers, once, and taken back
//! with their block.

use std::time::Duration;

use ethers_core::types::{H256, U256};
use sluice::config::Tier;
use sluice::db::models::chains::ChainRow;
use sluice::db::models::deposits::{self, DepositRow};
use sluice::deposits::refund::{self, Refunded};
use sluice::deposits::{DepositError, credit};
use sluice::domain::deposit::DepositState;
use sluice::domain::evm::{BlockHash, ChainId};
use sluice::domain::money::NanoUsd;

use crate::support::app::{Account, tombstones};
use crate::support::chain::CHAIN_ID;
use crate::support::chain::wallet::{Draft, Wallet};
use crate::support::deposits::{Mint, Shop, USDC};
use crate::support::leaving;
use crate::support::rpc::fault::Fault;

const DOLLAR: i64 = 1_000_000_000;

/// Two dollars from two blocks on, ten from four on, twelve for everybody.
const TIERS: &str = "[[chains.tiers]]\nconfirmations = 2\nup_to_usd = \"2\"\ntotal_usd = \"12\"\n\
                     [[chains.tiers]]\nconfirmations = 4\nup_to_usd = \"10\"\ntotal_usd = \"12\"\n";

fn shop() -> Shop {
    Shop::open_with(|builder| builder, TIERS)
}

/// Waits until everything was looked at, and asserts that a deposit still waits.
fn still_waits(shop: &Shop, tx: H256) {
    shop.reaches(tx, DepositState::Confirming);
    shop.caught_up();
    let states: Vec<_> = shop.deposits(tx).iter().map(|row| row.state).collect();
    assert_eq!(states, [DepositState::Confirming]);
}

fn told(shop: &Shop, account: &Account, row: &DepositRow) -> (bool, String) {
    let path = format!("/api/v1/deposits/{}", row.public_id);
    let document = shop.app.api_get(account, &path).json();
    let message = document["message"].as_str().unwrap().to_owned();
    (document["is_provisional"].as_bool().unwrap(), message)
}

#[test]
fn a_small_deposit_is_credited_before_it_is_final_and_says_so() {
    let shop = shop();
    let account = shop.holder_of(1);
    let tx = shop.pay_usdc(1, 2 * USDC);
    still_waits(&shop, tx);
    shop.mine(1);
    let row = shop.credited(tx);
    assert!(row.block_number > shop.cursor().unwrap().final_number);
    assert!(row.early_credit_at.is_some());
    let (is_provisional, message) = told(&shop, &account, &row);
    assert!(is_provisional && message.contains("if the chain reverses it"), "{message}");
    shop.finalize();
    shop.caught_up();
    let (is_provisional, message) = told(&shop, &account, &row);
    assert!(!is_provisional && message == "Credited to your balance.", "{message}");
    assert_eq!(shop.app.entries(&account, "deposit"), [2 * DOLLAR]);
    let options = shop.app.api_get(&account, "/api/v1/deposits/options").json();
    let tiers = &options["data"][0]["early_credit"];
    assert_eq!((&tiers[0]["confirmations"], &tiers[1]["up_to"]), (&2.into(), &"10.00".into()));
}

#[test]
fn an_early_credit_goes_with_its_block_and_comes_again() {
    let shop = shop();
    let account = shop.holder_of(1);
    shop.caught_up();
    let tx = shop.pay_usdc(1, 2 * USDC);
    shop.mine(1);
    shop.credited(tx);
    shop.caught_up();
    shop.mint.chain.reorg(2, &[]);
    shop.mine(1);
    shop.reaches(tx, DepositState::Reversed);
    assert_eq!(shop.available(&account), 0);
    // What was undone counts for its day: nothing small comes early any more.
    let again = shop.pay_usdc(1, 2 * USDC);
    shop.mine(2);
    still_waits(&shop, again);
    shop.finalize();
    let row = shop.credited(again);
    assert_eq!((row.early_credit_at, shop.available(&account)), (None, 2 * DOLLAR));
}

#[test]
fn a_transfer_that_is_mined_again_waits_for_finality_and_counts_for_its_day() {
    let shop = shop();
    let account = shop.holder_of(1);
    let (chain, wallet) = (&shop.mint.chain, Wallet::dev(1));
    let draft = Draft {
        chain_id: CHAIN_ID,
        nonce: chain.nonce(wallet.address()),
        to: shop.mint.usdc.address,
        data: shop.mint.usdc.input("transfer", (shop.mint.treasury, U256::from(2 * USDC))),
        ..Draft::default()
    };
    let raw = wallet.transaction(&draft);
    let tx = chain.send_raw(&raw);
    shop.mine(1);
    shop.credited(tx);
    shop.caught_up();
    chain.reorg(2, &[]);
    shop.mine(1);
    shop.reaches(tx, DepositState::Reversed);
    assert_eq!(chain.send_raw(&raw), tx);
    shop.mine(2);
    still_waits(&shop, tx);
    let (row, now) = (shop.deposits(tx).remove(0), shop.app.clock.now());
    let sums = shop.db(|conn| {
        let chain_id = ChainId(CHAIN_ID.cast_signed());
        deposits::credited_early(conn, chain_id, account.id, now.plus_millis(-86_400_000)).unwrap()
    });
    let two = NanoUsd::from_nanos(2 * DOLLAR);
    assert_eq!(
        (sums, row.value_nanousd.map(NanoUsd::as_nanos), row.is_provisional),
        ((two, two), None, false)
    );
    shop.finalize();
    assert_eq!(shop.credited(tx).credit_number, 2);
    assert_eq!(shop.available(&account), 2 * DOLLAR);
}

#[test]
fn a_credit_whose_block_is_not_the_one_that_became_final_is_taken_back() {
    let shop = shop();
    let account = shop.holder_of(1);
    let tx = shop.pay_usdc(1, 2 * USDC);
    shop.mine(1);
    let row = shop.credited(tx);
    // As if it had been found in a block that nobody has read, in a moment in which the providers
    // had that one.
    let elsewhere = DepositRow { block_hash: BlockHash([0xee; 32]), ..row };
    let now = shop.app.clock.now();
    assert!(shop.db(|conn| deposits::change(conn, &elsewhere, now).unwrap()));
    shop.finalize();
    shop.reaches(tx, DepositState::Reversed);
    assert_eq!(shop.available(&account), 0);
}

#[test]
fn a_fork_above_an_early_credit_leaves_it_alone() {
    let mint = Mint::open();
    // So that of many blocks only the last one is compared.
    let toml =
        mint.toml(TIERS).replace("symbol = \"ETH\"\n", "symbol = \"ETH\"\nscan_blocks = false\n");
    let shop = Shop::on(mint, &toml, |builder| builder);
    let account = shop.holder_of(1);
    shop.caught_up();
    for provider in [&shop.mint.alpha, &shop.mint.beta] {
        provider.when("eth_getBlockByNumber", |_| Some(Fault::Null));
    }
    let tx = shop.pay_usdc(1, 2 * USDC);
    shop.mine(4);
    for provider in [&shop.mint.alpha, &shop.mint.beta] {
        provider.heal();
    }
    shop.credited(tx);
    shop.caught_up();
    shop.mint.chain.reorg(2, &[]);
    shop.mine(1);
    shop.caught_up();
    let row = shop.credited(tx);
    assert_eq!((row.credit_number, row.is_provisional), (1, true));
    assert!(shop.app.entries(&account, "reversal").is_empty());
    shop.finalize();
    shop.caught_up();
    assert!(!shop.credited(tx).is_provisional);
}

#[test]
fn whoever_was_overtaken_credits_nothing_early() {
    let shop = shop();
    let account = shop.holder_of(1);
    shop.caught_up();
    let large = shop.pay_usdc(1, 11 * USDC);
    shop.mine(1);
    still_waits(&shop, large);
    let tier = shop.app.settings.chains[0].tiers[0];
    let tier = Tier { up_to: NanoUsd::from_nanos(20 * DOLLAR), total: tier.up_to, ..tier };
    let row = DepositRow {
        value_nanousd: Some(NanoUsd::from_nanos(11 * DOLLAR)),
        ..shop.deposits(large).remove(0)
    };
    let now = shop.app.clock.now();
    let credit = |chain: &ChainRow| {
        shop.db(|conn| {
            let key = tombstones(conn, &shop.app.settings);
            credit::credit_early(conn, &key, &row, (tier, chain), NanoUsd::ZERO, now)
        })
    };
    let read = shop.cursor().unwrap();
    let earlier = ChainRow { revision: read.revision - 1, ..read.clone() };
    let others = ChainRow { node_id: "another".to_owned(), ..read };
    for chain in [earlier, others] {
        assert!(matches!(credit(&chain), Err(DepositError::Overtaken)));
    }
    assert_eq!(shop.available(&account), 0);
}

#[test]
fn what_is_above_a_tier_waits_for_the_next_one_or_for_finality() {
    let shop = shop();
    let account = shop.holder_of(1);
    let (small, more) = (shop.pay_usdc(1, 3 * USDC / 2), shop.pay_usdc(1, USDC));
    let large = shop.pay_usdc(1, 8 * USDC);
    shop.mine(1);
    shop.credited(small);
    // Together they are more than the first tier lets through.
    still_waits(&shop, more);
    still_waits(&shop, large);
    shop.mine(1);
    shop.credited(more);
    // With the large one they are more than the second one does.
    shop.mine(3);
    still_waits(&shop, large);
    assert_eq!(shop.available(&account), 5 * DOLLAR / 2);
    shop.finalize();
    shop.credited(large);
    assert_eq!(shop.available(&account), 21 * DOLLAR / 2);
}

#[test]
fn a_day_later_there_is_room_again() {
    let shop = shop();
    let _account = shop.holder_of(1);
    let first = shop.pay_usdc(1, 10 * USDC);
    shop.mine(3);
    shop.credited(first);
    let second = shop.pay_usdc(1, 10 * USDC);
    shop.mine(3);
    still_waits(&shop, second);
    shop.finalize();
    shop.credited(second);
    shop.pass(86_401);
    let third = shop.pay_usdc(1, 10 * USDC);
    shop.mine(3);
    assert!(shop.credited(third).early_credit_at.is_some());
}

#[test]
fn all_accounts_together_get_no_more_than_the_total() {
    let shop = shop();
    let accounts = [1, 2].map(|index| shop.holder_of(index));
    let first = shop.pay_usdc(1, 10 * USDC);
    shop.mine(3);
    shop.credited(first);
    let (over, within) = (shop.pay_usdc(2, 3 * USDC), shop.pay_usdc(2, 2 * USDC));
    shop.mine(1);
    shop.credited(within);
    shop.mine(1);
    still_waits(&shop, over);
    assert!(shop.credited(first).is_provisional);
    assert_eq!(accounts.each_ref().map(|one| shop.available(one)), [10 * DOLLAR, 2 * DOLLAR]);
    shop.finalize();
    shop.credited(over);
    // What is final cannot be lost any more, and makes room.
    let third = shop.holder_of(3);
    let small = shop.pay_usdc(3, 2 * USDC);
    shop.mine(1);
    assert!(shop.credited(small).is_provisional && shop.available(&third) == 2 * DOLLAR);
}

#[test]
fn a_coin_with_a_price_is_weighed_by_it() {
    let shop = shop();
    let account = shop.holder_of(1);
    // Two dollars, and two dollars and a half.
    let small = shop.pay_coin(1, U256::exp10(15));
    shop.mine(1);
    assert_eq!(shop.credited(small).value_nanousd.map(NanoUsd::as_nanos), Some(2 * DOLLAR));
    let large = shop.pay_coin(1, U256::exp10(14) * 45);
    shop.mine(5);
    still_waits(&shop, large);
    assert_eq!(shop.available(&account), 2 * DOLLAR);
    shop.finalize();
    shop.credited(large);
}

#[test]
fn one_provider_is_not_enough_for_an_early_credit_either() {
    let shop = shop();
    let account = shop.holder_of(1);
    shop.caught_up();
    let tx = shop.pay_usdc(1, 2 * USDC);
    still_waits(&shop, tx);
    shop.mint.beta.when("eth_getTransactionReceipt", |_| Some(Fault::Null));
    shop.mine(1);
    still_waits(&shop, tx);
    assert_eq!(shop.available(&account), 0);
    shop.mint.beta.heal();
    // At two blocks it was looked at in vain, so that it comes round again at four.
    shop.mine(2);
    shop.credited(tx);
}

#[test]
fn nothing_that_may_yet_be_undone_is_paid_back_and_nobody_is_erased_over_it() {
    let shop = shop();
    let account = shop.holder_of(1);
    let tx = shop.pay_usdc(1, 2 * USDC);
    shop.mine(1);
    let row = shop.credited(tx);
    let hold = |row: &DepositRow| {
        let now = shop.app.clock.now();
        shop.db(|conn| {
            refund::hold(conn, &crate::support::app::tombstone_key(), row, None, "a test", now)
                .unwrap()
        })
    };
    assert_eq!(hold(&row), Refunded::NotFinal);
    leaving::close(&shop.app, &account, true);
    shop.app.clock.advance(1);
    assert_eq!(leaving::erase(&shop.app, Duration::ZERO), 0);
    shop.finalize();
    shop.caught_up();
    let row = shop.credited(tx);
    assert_eq!(leaving::erase(&shop.app, Duration::ZERO), 1);
    assert!(shop.deposits(tx).iter().all(|now| now.account_id.is_none()), "{row:?}");
}
