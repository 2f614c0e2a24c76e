//! What the tests of deposits take for granted of the chain that they run on.

use ethers_core::types::{Address, U256};
use serde_json::{Value, json};

use crate::support::chain::wallet::{Draft, Wallet, transaction_hash};
use crate::support::chain::{BLOCK_SECS, CHAIN_ID, FINALITY_BLOCKS, GENESIS_SECS, TestChain};
use crate::support::chain::{hex, node};

const ALICE: Address = Address::repeat_byte(0xa1);

#[test]
fn blocks_finality_and_time_are_the_same_in_every_run() {
    let chain = TestChain::start();
    assert_eq!((chain.head(), chain.finalized()), (0, 0));
    chain.mine(20);
    assert_eq!((chain.head(), chain.finalized()), (20, 20 - FINALITY_BLOCKS));
    let secs = node::number(&chain.block(20)["timestamp"]);
    assert_eq!(secs, GENESIS_SECS + 20 * BLOCK_SECS);
    chain.set_next_timestamp(GENESIS_SECS + 1000);
    chain.mine(2);
    assert_eq!(node::number(&chain.block(21)["timestamp"]), GENESIS_SECS + 1000);
    assert_eq!(node::number(&chain.block("latest")["timestamp"]), GENESIS_SECS + 1000 + BLOCK_SECS);
}

#[test]
fn a_chain_is_named_at_its_start_and_may_change_its_name() {
    let chain = TestChain::start_as(56);
    assert_eq!(chain.rpc("eth_chainId", &json!([])), hex(56));
    chain.set_chain_id(CHAIN_ID);
    assert_eq!(chain.rpc("eth_chainId", &json!([])), hex(CHAIN_ID));
}

#[test]
fn a_reorg_takes_a_transaction_away_or_puts_it_elsewhere() {
    let chain = TestChain::start();
    let from = chain.account(0);
    let gone = chain.pay(from, ALICE, 5);
    let (number, hash) = {
        let receipt = chain.receipt(gone);
        (node::number(&receipt["blockNumber"]), receipt["blockHash"].clone())
    };
    chain.mine(2);
    let head = chain.head();

    chain.reorg(3, &[]);
    assert_eq!(chain.head(), head);
    assert_eq!((chain.receipt(gone), chain.transaction(gone)), (Value::Null, Value::Null));
    assert_eq!(chain.balance(ALICE), 0.into());
    assert_ne!(chain.block(number)["hash"], hash);

    let wallet = Wallet::dev(0);
    let draft = Draft { chain_id: CHAIN_ID, to: ALICE, value: 7.into(), ..Draft::default() };
    let raw = wallet.transaction(&draft);
    let moved = chain.send_raw(&raw);
    assert_eq!(moved, transaction_hash(&raw));
    let before = chain.receipt(moved);
    chain.mine(1);
    let hex_raw = ethers_core::types::Bytes::from(raw);
    chain.reorg(2, &[(json!(hex_raw), 1)]);
    let after = chain.receipt(moved);
    assert_eq!(after["status"], "0x1");
    assert_eq!(node::number(&after["blockNumber"]), node::number(&before["blockNumber"]) + 1);
    assert_eq!(chain.balance(ALICE), 7.into());
}

#[test]
fn a_reorg_below_the_finalized_block_and_a_lower_head_are_possible() {
    let chain = TestChain::start();
    let paid = chain.pay(chain.account(0), ALICE, 5);
    chain.finalize();
    let number = node::number(&chain.receipt(paid)["blockNumber"]);
    assert!(chain.finalized() >= number);
    chain.reorg(FINALITY_BLOCKS + 1, &[]);
    assert_eq!(chain.receipt(paid), Value::Null);
    let head = chain.head();
    chain.rollback(3);
    assert_eq!(chain.head(), head - 3);
}

#[test]
fn a_snapshot_brings_everything_back() {
    let chain = TestChain::start();
    let snapshot = chain.snapshot();
    let paid = chain.pay(chain.account(0), ALICE, 5);
    assert_eq!(chain.balance(ALICE), 5.into());
    chain.revert(&snapshot);
    assert_eq!((chain.head(), chain.balance(ALICE)), (0, 0.into()));
    assert_eq!(chain.receipt(paid), Value::Null);
}

#[test]
fn a_replaced_transaction_is_known_to_nobody() {
    let chain = TestChain::start();
    let from = chain.account(0);
    chain.set_automine(false);
    let price = |gwei: u64| hex(gwei * 1_000_000_000);
    let send = |value: u64, gwei: u64| {
        chain.transact(json!({
            "from": from, "to": ALICE, "value": hex(value), "nonce": "0x0", "gas": hex(21_000),
            "maxFeePerGas": price(gwei), "maxPriorityFeePerGas": price(gwei),
        }))
    };
    let (slow, fast) = (send(5, 5), send(6, 10));
    assert_eq!(chain.nonce(from), 1);
    chain.mine(1);
    assert_eq!((chain.receipt(slow), chain.transaction(slow)), (Value::Null, Value::Null));
    assert_eq!(chain.receipt(fast)["status"], "0x1");
    assert_eq!(chain.balance(ALICE), 6.into());
}

#[test]
fn an_address_without_a_key_can_send_and_a_chain_without_money_cannot() {
    let chain = TestChain::start();
    let exchange = Address::repeat_byte(0xee);
    let request = json!([{ "from": exchange, "to": ALICE, "value": hex(1) }]);
    assert!(chain.try_rpc("eth_sendTransaction", &request).is_err());
    chain.impersonate(exchange);
    chain.set_balance(exchange, U256::exp10(18));
    let paid = chain.pay(exchange, ALICE, 1);
    let sender: Address = node::parse(chain.transaction(paid)["from"].clone());
    assert_eq!(sender, exchange);
}

#[test]
fn every_kind_of_transaction_can_stand_beside_ours() {
    let chain = TestChain::start();
    let wallet = Wallet::dev(1);
    assert_eq!(wallet.address(), chain.account(1));
    let draft = |nonce| Draft {
        chain_id: CHAIN_ID,
        nonce,
        to: ALICE,
        value: 10.into(),
        ..Draft::default()
    };
    let authorization = Wallet::numbered(1).authorize(CHAIN_ID, ALICE, 0);
    chain.set_automine(false);
    let hashes = [
        chain.send_raw(&wallet.unprotected_transaction(&draft(0))),
        chain.transact(json!({
            "from": chain.account(2), "to": ALICE, "value": hex(10), "accessList": [],
            "gasPrice": hex(10_000_000_000),
        })),
        chain.send_raw(&wallet.transaction(&draft(1))),
        chain.send_raw(&wallet.blob_transaction(&draft(2))),
        chain.send_raw(&wallet.delegating_transaction(&draft(3), &[authorization])),
    ];
    chain.mine(1);
    let kinds = hashes.map(|hash| {
        assert_eq!(chain.receipt(hash)["status"], "0x1", "{hash:?}");
        assert_eq!(chain.receipt(hash)["blockNumber"], hex(1), "all in one block");
        chain.transaction(hash)["type"].as_str().unwrap().to_owned()
    });
    assert_eq!(kinds, ["0x0", "0x1", "0x2", "0x3", "0x4"]);
    assert_eq!(chain.balance(ALICE), 50.into());
}
