//! Chains that change their minds, at every stage of a deposit.

use ethers_core::types::U256;
use serde_json::json;
use sluice::domain::deposit::{ClaimState, DepositState};
use sluice::domain::money::NanoUsd;

use crate::support::chain::CHAIN_ID;
use crate::support::chain::wallet::{Draft, Wallet};
use crate::support::deposits::{Shop, USDC};

const DOLLAR: i64 = 1_000_000_000;

#[test]
fn coins_in_a_block_that_leaves_are_credited_once_they_are_mined_again() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let (chain, wallet) = (&shop.mint.chain, Wallet::dev(1));
    let raw = wallet.transaction(&Draft {
        chain_id: CHAIN_ID,
        nonce: chain.nonce(wallet.address()),
        to: shop.mint.treasury,
        value: U256::exp10(16),
        ..Draft::default()
    });
    let tx = chain.send_raw(&raw);
    shop.mine(2);
    let before = shop.reaches(tx, DepositState::Confirming).remove(0);
    chain.reorg(3, &[]);
    shop.mine(1);
    shop.reaches(tx, DepositState::Orphaned);
    chain.send_raw(&raw);
    shop.finalize();
    let after = shop.credited(tx);
    assert_eq!((after.public_id, after.ordinal), (before.public_id, -1));
    assert_ne!(after.block_hash, before.block_hash);
    assert_eq!(shop.app.entries(&account, "deposit"), [20 * DOLLAR]);
}

#[test]
fn the_same_transaction_in_another_block_is_read_afresh() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let (chain, wallet) = (&shop.mint.chain, Wallet::dev(1));
    let usdc = &shop.mint.usdc;
    let draft = Draft {
        chain_id: CHAIN_ID,
        nonce: chain.nonce(wallet.address()),
        to: usdc.address,
        data: usdc.input("transfer", (shop.mint.treasury, U256::from(10 * USDC))),
        ..Draft::default()
    };
    let raw = wallet.transaction(&draft);
    let tx = chain.send_raw(&raw);
    shop.reaches(tx, DepositState::Confirming);
    // Reorganised at once into a chain where a fee is taken before it.
    chain.reorg(1, &[]);
    chain.send(chain.account(0), usdc, "setFeeBps", (1_000_u16,));
    chain.send_raw(&raw);
    shop.finalize();
    assert_eq!(shop.credited(tx).value_nanousd.map(NanoUsd::as_nanos), Some(9 * DOLLAR));
    assert_eq!(shop.available(&account), 9 * DOLLAR);
}

#[test]
fn a_claim_that_was_faster_than_the_scan_does_not_hang_on_a_block_that_left() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let chain = &shop.mint.chain;
    shop.caught_up();
    // The head's block is not readable yet, but its transactions are.
    for provider in [&shop.mint.alpha, &shop.mint.beta] {
        provider.when("eth_getBlockByNumber", |params| {
            (params[1] == true).then_some(crate::support::rpc::fault::Fault::Null)
        });
    }
    let tx = shop.pay_usdc(1, 3 * USDC);
    shop.claim(&account, tx);
    shop.claim_reaches(&account, tx, ClaimState::Matched, None);
    let found = shop.reaches(tx, DepositState::Confirming).remove(0);
    assert!(found.block_number > shop.cursor().unwrap().scanned_number);
    let depth = chain.head() - u64::try_from(found.block_number).unwrap() + 1;
    chain.reorg(depth, &[]);
    for provider in [&shop.mint.alpha, &shop.mint.beta] {
        provider.heal();
    }
    shop.finalize();
    shop.reaches(tx, DepositState::Orphaned);
    shop.well();
    assert_eq!(shop.available(&account), 0);
}

#[test]
fn with_confirmations_a_credit_comes_earlier_and_goes_with_its_block() {
    let shop = Shop::open_with(|builder| builder, "confirmations = 3\n");
    let account = shop.holder_of(1);
    let chain = &shop.mint.chain;
    let tx = shop.pay_usdc(1, 3 * USDC);
    shop.mine(1);
    shop.reaches(tx, DepositState::Confirming);
    shop.caught_up();
    assert_eq!(shop.available(&account), 0, "two blocks, its own among them, are not three");
    shop.mine(1);
    shop.credited(tx);
    assert_eq!(shop.available(&account), 3 * DOLLAR);
    chain.reorg(3, &[]);
    shop.mine(1);
    shop.reaches(tx, DepositState::Reversed);
    assert_eq!(shop.available(&account), 0);
    let again = shop.pay_usdc(1, 3 * USDC);
    shop.mine(2);
    shop.credited(again);
    assert_eq!(shop.available(&account), 3 * DOLLAR);
}

#[test]
fn a_chain_that_is_shorter_for_a_moment_takes_nothing_back() {
    let shop = Shop::open_with(|builder| builder, "confirmations = 1\n");
    let account = shop.holder_of(1);
    let chain = &shop.mint.chain;
    let tx = shop.pay_usdc(1, 3 * USDC);
    shop.credited(tx);
    shop.caught_up();
    for provider in [&shop.mint.alpha, &shop.mint.beta] {
        provider.set_lag(3);
    }
    shop.rounds(5);
    assert_eq!(shop.available(&account), 3 * DOLLAR);
    for provider in [&shop.mint.alpha, &shop.mint.beta] {
        provider.set_lag(0);
    }
    // But what comes back different is taken back.
    chain.rollback(2);
    shop.mine(3);
    shop.reaches(tx, DepositState::Reversed);
    assert_eq!(shop.available(&account), 0);
    assert_eq!(shop.app.entries(&account, "deposit").len(), 1);
}

#[test]
fn a_chain_that_was_rewritten_deeper_than_it_is_remembered_says_so_and_credits_nothing() {
    let shop = Shop::open_with(|builder| builder, "reorg_window_blocks = 8\n");
    let account = shop.holder_of(1);
    let before = shop.pay_usdc(1, 2 * USDC);
    shop.finalize();
    shop.credited(before);
    shop.caught_up();
    shop.mine(10);
    let waiting = shop.pay_usdc(1, 3 * USDC);
    shop.caught_up();
    shop.mint.chain.reorg(12, &[(json!({ "from": shop.mint.chain.account(2) }), 0)]);
    shop.mine(1);
    let said = shop.in_trouble("by more than reorg_window_blocks = 8");
    assert!(said.contains("the chain was rewritten below block"), "{said}");
    shop.finalize();
    shop.rounds(3);
    assert!(shop.deposits(waiting).iter().all(|row| row.credit_number == 0));
    assert_eq!(shop.available(&account), 2 * DOLLAR, "what was final stays");
    assert_eq!(shop.app.models(&account).status, 200);
}

#[test]
fn a_sum_of_small_deposits_loses_the_one_whose_block_leaves() {
    let shop = Shop::open_with(|builder| builder, "confirmations = 2\n");
    let account = shop.holder_of(1);
    let first = shop.pay_usdc(1, USDC * 6 / 10);
    shop.mine(1);
    shop.reaches(first, DepositState::BelowMinimum);
    // It leaves before its sum is reached.
    shop.mint.chain.reorg(2, &[]);
    shop.mine(1);
    shop.reaches(first, DepositState::Orphaned);
    let second = shop.pay_usdc(2, USDC);
    let small = shop.pay_usdc(1, USDC * 5 / 10);
    shop.mine(2);
    shop.reaches(small, DepositState::BelowMinimum);
    shop.reaches(second, DepositState::Unattributed);
    assert_eq!(shop.available(&account), 0);
    // Together with a third it is enough; the third leaves afterwards, and takes its part along.
    let third = shop.pay_usdc(1, USDC * 7 / 10);
    shop.mine(1);
    shop.credited(small);
    shop.credited(third);
    assert_eq!(shop.available(&account), 1_200_000_000);
    shop.mint.chain.reorg(2, &[]);
    shop.mine(1);
    shop.reaches(third, DepositState::Reversed);
    assert_eq!(shop.available(&account), 500_000_000);
}
