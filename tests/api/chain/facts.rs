//! What is read of a transaction: each fault of the mock contracts gives the facts that are true of
//! it.

use ethers_core::types::{Address, Bytes, H256, U256};
use ethers_core::utils::keccak256;
use serde_json::{Value, json};
use sluice::chain::ProviderError;
use sluice::chain::facts::{Transfer, TxFacts, TxStatus, fetch_transaction};
use sluice::domain::deposit::Asset;
use sluice::domain::evm::{EvmAddress, RawAmount, TxHash};

use crate::support::chain::asking::ask;
use crate::support::chain::contract::Contract;
use crate::support::chain::{TestChain, hex, node};
use crate::support::rpc::Provider;
use crate::support::rpc::fault::Fault;

const ALICE: Address = Address::repeat_byte(0xa1);
const BOB: Address = Address::repeat_byte(0xb0);

const fn address(address: Address) -> EvmAddress {
    EvmAddress(address.0)
}

fn raw(amount: impl Into<U256>) -> RawAmount {
    let mut word = [0; 32];
    amount.into().to_big_endian(&mut word);
    RawAmount(word)
}

fn sighting(provider: &Provider, hash: H256, wants_trace: bool) -> Result<TxStatus, ProviderError> {
    ask(&[provider], async |providers| {
        fetch_transaction(&providers[0], TxHash(hash.0), wants_trace).await
    })
}

fn facts(provider: &Provider, hash: H256, wants_trace: bool) -> TxFacts {
    match sighting(provider, hash, wants_trace) {
        Ok(TxStatus::Mined(facts)) => facts,
        other => panic!("{other:?}"),
    }
}

/// Payee, amount and ordinal of each transfer.
fn moved(facts: &TxFacts) -> Vec<(i32, Address, u64)> {
    let amount = |transfer: &Transfer| u64::try_from(transfer.raw.to_u128().unwrap()).unwrap();
    facts
        .transfers
        .iter()
        .map(|transfer| (transfer.ordinal, Address::from(transfer.to.0), amount(transfer)))
        .collect()
}

fn token(chain: &TestChain, fee_bps: u16) -> Contract {
    let args = ("USD Coin".to_owned(), "USDC".to_owned(), 6_u8, fee_bps);
    let token = chain.deploy("Token", args);
    chain.send(chain.account(0), &token, "mint", (chain.account(0), U256::from(1_000_000)));
    token
}

#[test]
fn token_transfers_are_the_logs_and_nothing_but_the_logs() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    let (from, relayer, token) = (chain.account(0), chain.account(1), token(&chain, 0));

    let paid = chain.send(from, &token, "transfer", (ALICE, U256::from(100)));
    let read = facts(&provider, paid, false);
    let receipt = chain.receipt(paid);
    let transfer = Transfer {
        ordinal: 0,
        asset: Asset::Token(address(token.address)),
        from: address(from),
        to: address(ALICE),
        raw: raw(100),
    };
    assert_eq!(read.transfers, [transfer]);
    assert_eq!((read.tx_hash, read.sender), (TxHash(paid.0), address(from)));
    assert_eq!((read.is_success, read.is_traced, read.is_system), (true, false, false));
    assert_eq!(read.block_number, node::number(&receipt["blockNumber"]));
    assert_eq!(json!(read.block_hash.to_string()), receipt["blockHash"]);
    let secs = node::number(&chain.block(read.block_number)["timestamp"]);
    assert_eq!(read.block_time.as_millis(), i64::try_from(secs * 1000).unwrap());

    let failed = chain.send(from, &token, "transfer", (ALICE, U256::from(2_000_000)));
    let read = facts(&provider, failed, true);
    assert_eq!((read.is_success, moved(&read)), (false, vec![]));

    let amounts: Vec<U256> = [1_u64, 2, 3].map(U256::from).to_vec();
    let many = chain.send(from, &token, "multi", (vec![ALICE, BOB, ALICE], amounts));
    let expected = [(0, ALICE, 1), (1, BOB, 2), (2, ALICE, 3)];
    assert_eq!(moved(&facts(&provider, many, false)), expected);

    chain.send(from, &token, "approve", (relayer, U256::from(50)));
    let through = chain.send(relayer, &token, "transferFrom", (from, ALICE, U256::from(50)));
    let read = facts(&provider, through, true);
    assert_eq!((read.sender, read.transfers[0].from), (address(relayer), address(from)));

    chain.send(from, &token, "setRefuses", (true,));
    let silent = chain.send(from, &token, "transfer", (ALICE, U256::from(100)));
    let read = facts(&provider, silent, true);
    assert_eq!((read.is_success, moved(&read)), (true, vec![]));
}

#[test]
fn a_fee_is_not_credited_and_a_forged_log_names_its_forger() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    let (from, token, spoof) = (chain.account(0), token(&chain, 100), chain.deploy("Spoof", ()));
    let paid = chain.send(from, &token, "transfer", (ALICE, U256::from(10_000)));
    let expected = [(0, ALICE, 9_900), (1, token.address, 100)];
    assert_eq!(moved(&facts(&provider, paid, false)), expected);

    let huge = chain.send(from, &spoof, "say", (BOB, ALICE, U256::MAX));
    let read = facts(&provider, huge, false);
    assert_eq!(read.transfers[0].asset, Asset::Token(address(spoof.address)));
    assert_eq!(read.transfers[0].raw, raw(U256::MAX));

    let erc721 = chain.send(from, &spoof, "sayErc721", (BOB, ALICE, U256::from(7)));
    assert_eq!(facts(&provider, erc721, false).transfers, []);
    let topic = keccak256("Transfer(address,address,uint256)");
    for (topics, data) in [
        (vec![topic, H256::from(BOB).0, H256::from(ALICE).0], vec![1; 31]),
        (vec![topic, H256::from(BOB).0, H256::from(ALICE).0], vec![1; 33]),
        (vec![topic, H256::from(BOB).0], vec![1; 32]),
        (vec![topic, [0xff; 32], H256::from(ALICE).0], vec![1; 32]),
        (vec![[7; 32], H256::from(BOB).0, H256::from(ALICE).0], vec![1; 32]),
        (vec![], vec![1; 32]),
    ] {
        let hash = chain.send(from, &spoof, "sayRaw", (topics, Bytes::from(data)));
        assert_eq!(facts(&provider, hash, false).transfers, []);
    }
}

#[test]
fn coins_count_at_the_top_and_inside_only_where_they_arrived() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    let (from, payer) = (chain.account(0), chain.deploy("Payer", ()));
    let (at, wei) = (payer.address, 90_u64);

    let plain = chain.pay(from, ALICE, 5);
    for wants_trace in [false, true] {
        let read = facts(&provider, plain, wants_trace);
        assert_eq!(moved(&read), [(-1, ALICE, 5)]);
        assert_eq!((read.transfers[0].asset, read.is_traced), (Asset::Native, wants_trace));
    }
    let failed = chain.send_paying(from, &payer, "payDeeperAndRevert", (ALICE,), wei);
    for wants_trace in [false, true] {
        let read = facts(&provider, failed, wants_trace);
        assert_eq!((read.is_success, moved(&read)), (false, vec![]));
    }
    let inner = |function: &str, args: (Address,)| {
        let hash = chain.send_paying(from, &payer, function, args, wei);
        // Without a trace only the top is seen, under the same ordinal.
        assert_eq!(moved(&facts(&provider, hash, false)), [(-1, at, wei)], "{function}");
        moved(&facts(&provider, hash, true))
    };
    assert_eq!(inner("pay", (ALICE,)), [(-1, at, 90), (-2, ALICE, 90)]);
    assert_eq!(inner("payAndRevertInner", (ALICE,)), [(-1, at, 90)]);
    // What was sent along is still the sender's; what a contract held before is its own.
    let payers = |tx| {
        let transfers = facts(&provider, tx, true).transfers;
        transfers.iter().map(|transfer| Address::from(transfer.from.0)).collect::<Vec<_>>()
    };
    let through = chain.send_paying(from, &payer, "pay", (ALICE,), wei);
    assert_eq!(payers(through), [from, from]);
    let wallet = chain.deploy("Wallet1271", (from,));
    chain.set_balance(wallet.address, U256::exp10(18));
    let execute = |sent: u64| {
        let args = (ALICE, U256::from(50), Bytes::default());
        payers(chain.send_paying(chain.account(1), &wallet, "execute", args, sent))
    };
    assert_eq!(execute(0), [wallet.address]);
    assert_eq!(execute(49), [chain.account(1), wallet.address]);
    assert_eq!(execute(50), [chain.account(1), chain.account(1)]);
    assert_eq!(inner("payByDelegatecall", (ALICE,)), [(-1, at, 90)]);
    assert_eq!(inner("payByCallcode", (ALICE,)), [(-1, at, 90)]);
    let left = inner("payBySelfdestruct", (ALICE,));
    let ordinals: Vec<i32> = left.iter().map(|transfer| transfer.0).collect();
    assert_eq!((ordinals, left[2]), (vec![-1, -2, -3], (-3, ALICE, 90)));

    let args = (ALICE, U256::from(30));
    let partly = chain.send_paying(from, &payer, "payTwiceRevertFirst", args, wei);
    assert_eq!(moved(&facts(&provider, partly, true)), [(-1, at, 90), (-2, ALICE, 60)]);
    let args = (vec![ALICE, BOB], vec![U256::from(40), U256::from(50)]);
    let many = chain.send_paying(from, &payer, "multiPay", args, wei);
    let expected = [(-1, at, 90), (-2, ALICE, 40), (-3, BOB, 50)];
    assert_eq!(moved(&facts(&provider, many, true)), expected);
}

#[test]
fn a_contract_that_pays_in_a_transaction_without_value_pays_first() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    let from = chain.account(0);
    let wallet = chain.deploy("Wallet1271", (ALICE,));
    chain.pay(from, wallet.address, 9);
    let paid = chain.send(from, &wallet, "execute", (BOB, U256::from(9), Bytes::new()));
    assert_eq!(facts(&provider, paid, false).transfers, []);
    let read = facts(&provider, paid, true);
    assert_eq!(moved(&read), [(-1, BOB, 9)]);
    // The wallet pays, whoever made it.
    assert_eq!((read.transfers[0].from, read.sender), (address(wallet.address), address(from)));

    let created = chain.transact(json!({ "from": from, "data": "0x00", "value": hex(7) }));
    assert_eq!(facts(&provider, created, false).transfers, []);
    let read = facts(&provider, created, true);
    assert_eq!(read.transfers[0].raw, raw(7));
    assert_eq!(json!(read.transfers[0].to.to_string()), chain.receipt(created)["contractAddress"]);
}

#[test]
fn a_transaction_that_is_mined_again_elsewhere_keeps_its_ordinals() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    let (from, other, token) = (chain.account(0), chain.account(1), token(&chain, 0));
    chain.send(from, &token, "transfer", (other, U256::from(10)));
    chain.set_automine(false);
    let input = token.input("transfer", (ALICE, U256::from(1)));
    let nonce = chain.nonce(other);
    let again = json!({
        "from": other, "to": token.address, "data": input, "gas": hex(100_000),
        "nonce": hex(nonce), "gasPrice": hex(10_000_000_000),
    });
    // The dearer one goes first.
    let first = chain.transact(json!({
        "from": from, "to": token.address, "data": token.input("transfer", (BOB, U256::from(1))),
        "gasPrice": hex(20_000_000_000),
    }));
    let hash = chain.transact(again.clone());
    chain.mine(1);
    assert_eq!(chain.receipt(first)["logs"][0]["logIndex"], "0x0");
    assert_eq!(chain.receipt(hash)["logs"][0]["logIndex"], "0x1");
    let before = facts(&provider, hash, false);

    chain.reorg(1, &[(again, 0)]);
    assert_eq!(chain.receipt(hash)["logs"][0]["logIndex"], "0x0");
    let after = facts(&provider, hash, false);
    assert_ne!(before.block_hash, after.block_hash);
    assert_eq!(before.transfers, after.transfers);
    assert_eq!(before.difference(&after), "block hash");
    assert_eq!(sighting(&provider, first, false), Ok(TxStatus::Unknown));
}

#[test]
fn what_is_missing_is_no_failure() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    let from = chain.account(0);
    chain.set_automine(false);
    let waiting = chain.pay(from, ALICE, 5);
    assert_eq!(sighting(&provider, waiting, true), Ok(TxStatus::Pending));
    chain.mine(1);
    assert!(facts(&provider, waiting, true).is_success);

    provider.times(1, "eth_getTransactionReceipt", Fault::Null);
    assert_eq!(sighting(&provider, waiting, true), Ok(TxStatus::Pending));
    provider.set_lag(1);
    assert_eq!(sighting(&provider, waiting, true), Ok(TxStatus::Unknown));
    provider.set_lag(0);
    assert_eq!(sighting(&provider, H256::repeat_byte(9), true), Ok(TxStatus::Unknown));
    chain.reorg(1, &[]);
    assert_eq!(sighting(&provider, waiting, true), Ok(TxStatus::Unknown));
}

/// What one changed field makes of a sighting.
fn lied(
    chain: &TestChain,
    hash: H256,
    (method, field): (&str, &'static str),
    value: Value,
) -> Result<TxStatus, ProviderError> {
    let provider = Provider::before(chain.node);
    provider.mutate(method, move |_, result| match &value {
        Value::Null => drop(result.as_object_mut().unwrap().remove(field)),
        value => result[field] = value.clone(),
    });
    sighting(&provider, hash, true)
}

#[test]
fn a_provider_that_contradicts_itself_has_not_answered() {
    let chain = TestChain::start();
    let (from, token) = (chain.account(0), token(&chain, 0));
    let hash = chain.send(from, &token, "transfer", (ALICE, U256::from(100)));
    let (tx, receipt) = ("eth_getTransactionByHash", "eth_getTransactionReceipt");
    let (block, trace) = ("eth_getBlockByNumber", "debug_traceTransaction");
    let other = json!(H256::repeat_byte(9));
    for (place, value) in [
        ((receipt, "status"), json!("0x2")),
        ((receipt, "status"), json!(false)),
        ((receipt, "logs"), Value::Null),
        ((receipt, "status"), json!("0x0")),
        ((receipt, "blockHash"), other.clone()),
        ((tx, "blockHash"), other.clone()),
        ((block, "hash"), other.clone()),
        ((trace, "value"), json!("0x1")),
        ((trace, "error"), json!("execution reverted")),
        ((trace, "from"), json!(ALICE)),
        ((block, "timestamp"), json!("0x7fffffffffffffff")),
    ] {
        let answer = lied(&chain, hash, place, value);
        assert!(matches!(answer, Err(ProviderError::Implausible(_))), "{place:?}: {answer:?}");
    }
    for (place, value) in [
        ((receipt, "transactionHash"), other.clone()),
        ((tx, "hash"), other),
        ((tx, "from"), Value::Null),
        ((tx, "value"), json!("100")),
        ((receipt, "logs"), json!([{ "data": "0x" }])),
        ((receipt, "status"), json!("1")),
        ((receipt, "status"), json!([])),
        ((receipt, "blockNumber"), json!(5)),
        ((block, "timestamp"), json!("0xffffffffffffffff")),
        ((block, "number"), json!("0x1")),
        ((trace, "calls"), json!([{ "type": "CALL", "value": "0x1" }])),
        ((trace, "calls"), json!([[]])),
    ] {
        let answer = lied(&chain, hash, place, value);
        assert!(matches!(answer, Err(ProviderError::BadAnswer(_))), "{place:?}: {answer:?}");
    }
}

#[test]
fn what_concerns_no_money_may_have_any_shape() {
    let chain = TestChain::start();
    let (from, token) = (chain.account(0), token(&chain, 0));
    let tokens = chain.send(from, &token, "transfer", (ALICE, U256::from(100)));
    let coins = chain.pay(from, ALICE, 5);
    let (tx, receipt) = ("eth_getTransactionByHash", "eth_getTransactionReceipt");
    let honest = facts(&Provider::before(chain.node), tokens, false);
    let read = |hash, place: (&str, &'static str), value: Value| {
        let provider = Provider::before(chain.node);
        let (method, field) = place;
        provider.mutate(method, move |_, result| result[field] = value.clone());
        sighting(&provider, hash, false)
    };
    for value in [json!(null), json!("0x0"), json!("0x"), json!("0x1"), json!(0), json!([7])] {
        let seen = read(tokens, (tx, "chainId"), value.clone());
        assert_eq!(seen, Ok(TxStatus::Mined(honest.clone())), "chainId {value}");
        let seen = read(tokens, (tx, "type"), value.clone());
        assert_eq!(seen, Ok(TxStatus::Mined(honest.clone())), "type {value}");
    }
    for value in [json!(1), json!(true), json!("0x01")] {
        let seen = read(tokens, (receipt, "status"), value.clone());
        assert_eq!(seen, Ok(TxStatus::Mined(honest.clone())), "status {value}");
    }
    // Coins that are not told are none beside tokens; alone they may be the payment.
    let seen = read(tokens, (tx, "value"), Value::Null);
    assert_eq!(seen, Ok(TxStatus::Mined(honest.clone())));
    let seen = read(coins, (tx, "value"), Value::Null);
    assert!(matches!(seen, Err(ProviderError::BadAnswer(_))), "{seen:?}");
    // No list of logs is none, where a bloom says so or nothing was called.
    for hash in [coins, tokens] {
        let seen = read(hash, (receipt, "logs"), Value::Null);
        assert_eq!(seen.is_ok(), hash == coins, "{seen:?}");
    }
    // Without a status, logs say that it went well, but others must say so too.
    let Ok(TxStatus::Mined(untold)) = read(tokens, (receipt, "status"), Value::Null) else {
        panic!("not read")
    };
    assert!(untold.is_success && !untold.is_status_told);
    let seen = read(coins, (receipt, "status"), Value::Null);
    assert!(matches!(seen, Err(ProviderError::Implausible(_))), "{seen:?}");
    // Whatever stands beside our log: ours keeps its place.
    for beside in [
        json!({ "address": BOB, "topics": null, "data": "0x" }),
        json!({ "address": BOB }),
        json!({ "address": BOB, "topics": ["0x01", 7], "data": 1, "logIndex": [] }),
    ] {
        let provider = Provider::before(chain.node);
        provider.mutate(receipt, move |_, result| {
            result["logs"].as_array_mut().unwrap().insert(0, beside.clone());
        });
        let seen = facts(&provider, tokens, false);
        assert_eq!((seen.transfers.len(), seen.transfers[0].ordinal), (1, 1));
        assert_eq!(seen.unread_logs_of, [sluice::domain::evm::EvmAddress(BOB.0)]);
    }
    // But one that has anything of a transfer must be one.
    for (field, value) in [("data", json!("100")), ("blockHash", json!(7)), ("address", json!(7))] {
        let provider = Provider::before(chain.node);
        provider.mutate(receipt, move |_, result| result["logs"][0][field] = value.clone());
        let seen = sighting(&provider, tokens, false);
        assert!(matches!(seen, Err(ProviderError::BadAnswer(_))), "{field}: {seen:?}");
    }
}

#[test]
fn transactions_of_other_kinds_are_read_by_what_they_move() {
    let chain = TestChain::start();
    let hash = chain.pay(chain.account(0), ALICE, 5);
    let (tx, receipt) = ("eth_getTransactionByHash", "eth_getTransactionReceipt");
    let read = |place, value| match lied(&chain, hash, place, value) {
        Ok(TxStatus::Mined(facts)) => facts,
        other => panic!("{place:?}: {other:?}"),
    };
    // An L2's deposit, one of a kind that nobody knows yet, and one from before EIP-155.
    for (field, value) in
        [("type", json!("0x7e")), ("type", json!("0x55")), ("chainId", Value::Null)]
    {
        let facts = read((tx, field), value);
        assert_eq!((moved(&facts), facts.is_system), (vec![(-1, ALICE, 5)], false));
    }
    for field in ["v", "r", "s", "nonce", "gas", "type", "input", "blockNumber"] {
        assert_eq!(moved(&read((tx, field), Value::Null)), [(-1, ALICE, 5)], "without {field}");
    }
    assert_eq!(moved(&read((receipt, "logsBloom"), Value::Null)), [(-1, ALICE, 5)]);
    let internal = read((tx, "type"), json!("0x6a"));
    assert_eq!((moved(&internal), internal.is_system), (vec![], true));

    for sender in [
        "0x0000000000000000000000000000000000000000",
        "0xdeaddeaddeaddeaddeaddeaddeaddeaddead0001",
        "0x00000000000000000000000000000000000a4b05",
    ] {
        let provider = Provider::before(chain.node);
        for method in [tx, "debug_traceTransaction"] {
            provider.mutate(method, move |_, result| result["from"] = json!(sender));
        }
        let facts = facts(&provider, hash, true);
        assert_eq!((moved(&facts), facts.is_system), (vec![], true), "{sender}");
    }
}

#[test]
fn traces_of_any_depth_are_read_or_refused() {
    let chain = TestChain::start();
    let hash = chain.pay(chain.account(0), ALICE, 5);
    let nested = |depth: usize| {
        let leaf = json!({ "type": "CALL", "from": BOB, "to": ALICE, "value": "0x1" });
        (0..depth).fold(leaf, |inner, _| json!({ "type": "STATICCALL", "calls": [inner] }))
    };
    let trace = "debug_traceTransaction";
    let Ok(TxStatus::Mined(facts)) = lied(&chain, hash, (trace, "calls"), json!([nested(40)]))
    else {
        panic!("forty frames deep is possible");
    };
    assert_eq!(moved(&facts), [(-1, ALICE, 5), (-2, ALICE, 1)]);
    let wide = vec![nested(0); 10_001];
    assert_eq!(lied(&chain, hash, (trace, "calls"), json!(wide)), Err(ProviderError::TooLarge));
    // Nothing below a frame that failed counts, at whatever depth.
    let mut failed = nested(3);
    failed["error"] = json!("out of gas");
    let Ok(TxStatus::Mined(facts)) = lied(&chain, hash, (trace, "calls"), json!([failed])) else {
        panic!("a frame that failed is possible");
    };
    assert_eq!(moved(&facts), [(-1, ALICE, 5)]);
}
