//! Scanning: the blocks and logs that are a reason to look closer.

use ethers_core::types::{Address, H256, U256};
use serde_json::{Value, json};
use sluice::chain::ProviderError;
use sluice::chain::blocks::{ScannedBlock, blocks};
use sluice::chain::logs::{LogFilter, LogQuery, LogsError, TransferLog, transfer_logs};
use sluice::chain::provider::{CallError, CallErrorKind};
use sluice::domain::evm::EvmAddress;

use crate::support::chain::asking::ask;
use crate::support::chain::{TestChain, hex};
use crate::support::rpc::Provider;
use crate::support::rpc::fault::Fault;

const ALICE: Address = Address::repeat_byte(0xa1);
const BOB: Address = Address::repeat_byte(0xb0);

fn read_blocks(provider: &Provider, numbers: Vec<u64>, full: bool) -> Vec<Option<ScannedBlock>> {
    ask(&[provider], async |providers| blocks(&providers[0], numbers, full).await.unwrap())
}

fn read_logs(
    provider: &Provider,
    (from, to): (u64, u64),
    token: Address,
    payees: &[Address],
) -> Result<Vec<TransferLog>, LogsError> {
    let payees: Vec<EvmAddress> = payees.iter().map(|payee| EvmAddress(payee.0)).collect();
    let wanted = LogFilter::new(vec![EvmAddress(token.0)], payees);
    ask(&[provider], async |providers| {
        let logs = transfer_logs(&providers[0], (from, to), &wanted, LogQuery::Payees(500)).await?;
        Ok(logs.found)
    })
}

/// What a refusal of too much proposes instead.
fn proposed(answer: Result<Vec<TransferLog>, LogsError>) -> Option<(u64, u64)> {
    match answer {
        Err(LogsError::TooMany { suggested, .. }) => suggested,
        other => panic!("{other:?}"),
    }
}

#[test]
fn plain_transfers_are_found_in_blocks_whatever_else_is_in_them() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    let from = chain.account(0);
    chain.set_automine(false);
    let paid = chain.pay(from, ALICE, 5);
    let strange = chain.pay(from, BOB, 6);
    chain.pay(from, BOB, 0);
    chain.transact(json!({ "from": from, "data": "0x00", "value": hex(7) }));
    chain.mine(2);
    provider.mutate("eth_getBlockByNumber", move |params, block| {
        if block.is_null() {
            return;
        }
        for tx in block["transactions"].as_array_mut().into_iter().flatten() {
            if params[1] == true && tx["hash"] == json!(strange) {
                *tx = json!({ "hash": strange, "type": "0x7f", "value": 6 });
            }
        }
        block["requestsHash"] = json!({ "of": ["a", "future"] });
    });
    let found = read_blocks(&provider, vec![2, 1, 9], true);
    let [Some(second), Some(first), None] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((second.at.number, second.transfers.len()), (2, 0));
    assert_eq!(second.at.parent_hash, first.at.hash);
    let transfer = first.transfers[0];
    assert_eq!(first.transfers.len(), 1);
    assert_eq!((transfer.tx_hash.0, transfer.to.0), (paid.0, ALICE.0));
    assert_eq!((transfer.from.0, transfer.value), (from.0, 5_u128.into()));
    let found = read_blocks(&provider, vec![1], false);
    assert_eq!(found[0].as_ref().map(|block| block.transfers.len()), Some(0));

    provider.mutate("eth_getBlockByNumber", |_, block| block["number"] = json!("0x7"));
    let wrong = ask(&[&provider], async |providers| blocks(&providers[0], vec![1], true).await);
    assert!(matches!(wrong, Err(ProviderError::BadAnswer(_))), "{wrong:?}");
}

#[test]
fn logs_are_filtered_by_the_provider_and_again_here() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    let (from, args) = (chain.account(0), ("USD Coin".to_owned(), "USDC".to_owned(), 6_u8, 0_u16));
    let (token, spoof) = (chain.deploy("Token", args), chain.deploy("Spoof", ()));
    chain.send(from, &token, "mint", (from, U256::from(1000)));
    let to_bob = chain.send(from, &token, "transfer", (BOB, U256::from(1)));
    let payees = (vec![ALICE, BOB, ALICE], vec![U256::one(); 3]);
    let to_both = chain.send(from, &token, "multi", payees);
    chain.send(from, &spoof, "say", (from, ALICE, U256::from(9)));
    let head = chain.head();

    let found = read_logs(&provider, (0, head), token.address, &[ALICE]).unwrap();
    assert_eq!(found.iter().map(|log| log.tx_hash.0).collect::<Vec<_>>(), [to_both.0]);
    assert_eq!(found[0].block_number, head - 1);
    let found = read_logs(&provider, (0, head), token.address, &[ALICE, BOB]).unwrap();
    assert_eq!(found.iter().map(|log| log.tx_hash.0).collect::<Vec<_>>(), [to_bob.0, to_both.0]);
    let params = provider.calls("eth_getLogs").pop().unwrap();
    assert_eq!(params[0]["address"].as_array().unwrap().len(), 1);
    assert_eq!(params[0]["topics"][2].as_array().unwrap().len(), 2);
    assert_eq!(read_logs(&provider, (0, head), token.address, &[]), Ok(vec![]));

    // A node that ignores the filter, as one with a broken index does.
    let everything = chain.rpc("eth_getLogs", &json!([{ "fromBlock": "0x0" }]));
    assert_eq!(everything.as_array().unwrap().len(), 6);
    provider.on("eth_getLogs", Fault::Result(everything));
    let found = read_logs(&provider, (0, head), token.address, &[ALICE]).unwrap();
    assert_eq!(found.iter().map(|log| log.tx_hash.0).collect::<Vec<_>>(), [to_both.0]);
    assert_eq!(read_logs(&provider, (0, head - 2), token.address, &[ALICE]), Ok(vec![]));
    let mut gone = chain.receipt(to_both)["logs"].clone();
    for log in gone.as_array_mut().unwrap() {
        log["removed"] = json!(true);
    }
    provider.on("eth_getLogs", Fault::Result(gone));
    assert_eq!(read_logs(&provider, (0, head), token.address, &[ALICE]), Ok(vec![]));
}

#[test]
fn many_payees_are_asked_for_in_several_calls_of_one_batch() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    let (from, args) = (chain.account(0), ("USD Coin".to_owned(), "USDC".to_owned(), 6_u8, 0_u16));
    let token = chain.deploy("Token", args);
    let payees: Vec<Address> = (1..=1201).map(Address::from_low_u64_be).collect();
    for payee in [payees[0], payees[1200]] {
        chain.send(from, &token, "mint", (payee, U256::from(1)));
    }
    let found = read_logs(&provider, (0, chain.head()), token.address, &payees).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!((provider.posts().len(), provider.count("eth_getLogs")), (1, 3));
}

#[test]
fn a_range_that_is_too_large_is_told_from_a_provider_in_trouble() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    chain.mine(30);
    let read = |from, to| read_logs(&provider, (from, to), ALICE, &[BOB]);
    provider.limit_logs(10);
    assert_eq!(read(1, 10), Ok(vec![]));
    assert_eq!(proposed(read(1, 11)), None);
    provider.heal();
    let words = "this block range should work: [0x3, 0x7]";
    provider
        .on("eth_getLogs", Fault::error(-32602, &format!("Log response size exceeded, {words}")));
    assert_eq!(proposed(read(1, 30)), Some((3, 7)));
    // A proposal outside of what was asked for is none.
    assert_eq!(proposed(read(4, 30)), None);
    provider.on(
        "eth_getLogs",
        Fault::Http { status: 413, headers: String::new(), body: String::new() },
    );
    assert_eq!(proposed(read(1, 30)), None);
    provider.on("eth_getLogs", Fault::error(-32005, "rate limit"));
    assert!(matches!(read(1, 30), Err(LogsError::Provider(ProviderError::RateLimited { .. }))));
    // Over which limit it is it does not say: the caller asks for less first.
    provider.on("eth_getLogs", Fault::error(-32005, "limit exceeded"));
    let unnamed = CallError { code: -32005, kind: CallErrorKind::OverLimit };
    assert_eq!(read(1, 30), Err(LogsError::Provider(ProviderError::Call(unnamed))));
    provider.on("eth_getLogs", Fault::Result(Value::Null));
    assert!(matches!(read(1, 30), Err(LogsError::Provider(ProviderError::BadAnswer(_)))));
    provider.on("eth_getLogs", Fault::Result(json!([{ "address": H256::zero() }])));
    assert!(matches!(read(1, 30), Err(LogsError::Provider(ProviderError::BadAnswer(_)))));
}

#[test]
fn a_log_that_lacks_a_field_is_found_or_makes_its_answer_bad_and_is_not_skipped() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    let (from, args) = (chain.account(0), ("USD Coin".to_owned(), "USDC".to_owned(), 6_u8, 0_u16));
    let token = chain.deploy("Token", args);
    let paid = chain.send(from, &token, "mint", (ALICE, U256::from(1)));
    let head = chain.head();
    let without = |field: &'static str, is_null: bool| {
        provider.heal();
        provider.mutate("eth_getLogs", move |_, logs| {
            let log = logs[0].as_object_mut().unwrap();
            log.remove(field);
            if is_null {
                log.insert(field.to_owned(), Value::Null);
            }
        });
        read_logs(&provider, (0, head), token.address, &[ALICE])
    };
    for is_null in [false, true] {
        for field in ["blockHash", "blockNumber", "logIndex", "transactionIndex", "removed"] {
            let found = without(field, is_null).unwrap();
            let hashes: Vec<H256> = found.iter().map(|log| H256(log.tx_hash.0)).collect();
            assert_eq!(hashes, [paid], "{field}");
        }
        for field in ["transactionHash", "data", "topics", "address"] {
            let bad = without(field, is_null);
            let is_bad = matches!(bad, Err(LogsError::Provider(ProviderError::BadAnswer(_))));
            assert!(is_bad, "{field}: {bad:?}");
        }
    }
}

#[test]
fn all_transfers_of_a_token_are_asked_for_in_one_call_however_many_are_paid() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    let (from, args) = (chain.account(0), ("USD Coin".to_owned(), "USDC".to_owned(), 6_u8, 0_u16));
    let token = chain.deploy("Token", args);
    let payees: Vec<Address> = (1..=20_000).map(Address::from_low_u64_be).collect();
    for payee in [payees[0], ALICE, payees[19_999]] {
        chain.send(from, &token, "mint", (payee, U256::from(1)));
    }
    let payees = payees.iter().map(|payee| EvmAddress(payee.0)).collect();
    let wanted = LogFilter::new(vec![EvmAddress(token.address.0)], payees);
    let logs = ask(&[&provider], async |providers| {
        transfer_logs(&providers[0], (0, chain.head()), &wanted, LogQuery::Everybody).await.unwrap()
    });
    assert_eq!((logs.found.len(), logs.given, logs.may_be_cut), (2, 3, false));
    assert_eq!(provider.count("eth_getLogs"), 1);
    assert_eq!(provider.calls("eth_getLogs")[0][0]["topics"].as_array().unwrap().len(), 1);
}
