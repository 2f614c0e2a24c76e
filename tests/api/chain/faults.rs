//! What the mock contracts do, in the node's own words: each fault is there to be refused, so it
//! has to be what it claims to be.

use ethers_core::types::{Address, Bytes, H256, I256, U256};
use ethers_core::utils::{hash_message, keccak256};
use serde_json::{Value, json};

use crate::support::chain::contract::Contract;
use crate::support::chain::wallet::{Draft, Wallet, malleated};
use crate::support::chain::{CHAIN_ID, GENESIS_SECS, TestChain, node};

const ALICE: Address = Address::repeat_byte(0xa1);
const BOB: Address = Address::repeat_byte(0xb0);

/// The only answer of EIP-1271 that is a yes.
const YES: [u8; 4] = [0x16, 0x26, 0xba, 0x7e];
const NO: [u8; 4] = [0xff; 4];

/// Asserts that a transaction was mined with that status, and gives its logs as address, number of
/// topics, payee and value.
fn logs(chain: &TestChain, hash: H256, status: &str) -> Vec<(Address, usize, Address, U256)> {
    let receipt = chain.receipt(hash);
    assert_eq!(receipt["status"], status, "{receipt}");
    let logs = receipt["logs"].as_array().unwrap();
    let read = |log: &Value| {
        let topics: Vec<H256> = node::parse(log["topics"].clone());
        assert_eq!(topics[0].0, keccak256("Transfer(address,address,uint256)"));
        let data: Bytes = node::parse(log["data"].clone());
        let address = node::parse(log["address"].clone());
        (address, topics.len(), topics[2].into(), U256::from_big_endian(&data))
    };
    logs.iter().map(read).collect()
}

fn token(chain: &TestChain, fee_bps: u16) -> Contract {
    let args = ("USD Coin".to_owned(), "USDC".to_owned(), 6_u8, fee_bps);
    let token = chain.deploy("Token", args);
    chain.send(chain.account(0), &token, "mint", (chain.account(0), U256::from(1_000_000)));
    token
}

#[test]
fn a_token_pays_fails_keeps_silent_and_pays_many() {
    let chain = TestChain::start();
    let (from, token) = (chain.account(0), token(&chain, 0));
    let at = token.address;
    assert_eq!(chain.ask::<String>(&token, "symbol", ()), "USDC");
    assert_eq!(chain.ask::<U256>(&token, "decimals", ()), 6.into());

    let paid = chain.send(from, &token, "transfer", (ALICE, U256::from(100)));
    assert_eq!(logs(&chain, paid, "0x1"), [(at, 3, ALICE, 100.into())]);
    let failed = chain.send(from, &token, "transfer", (ALICE, U256::from(2_000_000)));
    assert_eq!(logs(&chain, failed, "0x0"), []);

    let payees = vec![ALICE, BOB, ALICE];
    let amounts: Vec<U256> = [1_u64, 2, 3].map(U256::from).to_vec();
    let many = chain.send(from, &token, "multi", (payees, amounts));
    let expected = [(at, 3, ALICE, 1.into()), (at, 3, BOB, 2.into()), (at, 3, ALICE, 3.into())];
    assert_eq!(logs(&chain, many, "0x1"), expected);

    chain.send(from, &token, "setRefuses", (true,));
    let silent = chain.send(from, &token, "transfer", (ALICE, U256::from(100)));
    assert_eq!(logs(&chain, silent, "0x1"), []);
    assert_eq!(chain.ask::<U256>(&token, "balanceOf", (ALICE,)), 104.into());
}

#[test]
fn a_fee_is_missing_from_what_arrives_and_a_relayer_is_not_the_payer() {
    let chain = TestChain::start();
    let (from, relayer, token) = (chain.account(0), chain.account(1), token(&chain, 100));
    let at = token.address;
    let paid = chain.send(from, &token, "transfer", (ALICE, U256::from(10_000)));
    assert_eq!(logs(&chain, paid, "0x1"), [(at, 3, ALICE, 9_900.into()), (at, 3, at, 100.into())]);

    chain.send(from, &token, "approve", (relayer, U256::from(10_000)));
    let args = (from, ALICE, U256::from(10_000));
    let hash = chain.send(relayer, &token, "transferFrom", args);
    let receipt = chain.receipt(hash);
    let payer: H256 = node::parse(receipt["logs"][0]["topics"][1].clone());
    assert_eq!(Address::from(payer), from);
    assert_eq!(node::parse::<Address>(receipt["from"].clone()), relayer);
}

#[test]
fn a_position_in_the_block_is_not_a_position_in_the_receipt() {
    let chain = TestChain::start();
    let (from, other, token) = (chain.account(0), chain.account(1), token(&chain, 0));
    chain.send(from, &token, "transfer", (other, U256::from(10)));
    chain.set_automine(false);
    let first = chain.send(from, &token, "transfer", (ALICE, U256::from(1)));
    let second = chain.send(other, &token, "transfer", (ALICE, U256::from(1)));
    chain.mine(1);
    let indexes =
        [first, second].map(|hash| node::number(&chain.receipt(hash)["logs"][0]["logIndex"]));
    assert!(indexes == [0, 1] || indexes == [1, 0], "{indexes:?}");
}

#[test]
fn a_spoof_says_everything_and_moves_nothing() {
    let chain = TestChain::start();
    let from = chain.account(0);
    let spoof = chain.deploy("Spoof", ());
    let at = spoof.address;
    let huge = chain.send(from, &spoof, "say", (BOB, ALICE, U256::MAX));
    assert_eq!(logs(&chain, huge, "0x1"), [(at, 3, ALICE, U256::MAX)]);
    let erc721 = chain.send(from, &spoof, "sayErc721", (BOB, ALICE, U256::from(7)));
    assert_eq!(logs(&chain, erc721, "0x1"), [(at, 4, ALICE, 0.into())]);

    let topic = keccak256("Transfer(address,address,uint256)");
    let topics = vec![topic, H256::from(BOB).0, H256::from(ALICE).0];
    let short = chain.send(from, &spoof, "sayRaw", (topics, Bytes::from(vec![1; 31])));
    let data: Bytes = node::parse(chain.receipt(short)["logs"][0]["data"].clone());
    assert_eq!(data.len(), 31);
}

/// Every frame of a trace, from the top: kind, payee, value, and whether it failed itself.
fn frames(frame: &Value, found: &mut Vec<(String, Address, U256, bool)>) {
    let to = frame.get("to").cloned().map_or_else(Address::zero, node::parse);
    let value = frame.get("value").cloned().map_or_else(U256::zero, node::parse);
    let kind = frame["type"].as_str().unwrap().to_owned();
    found.push((kind, to, value, frame.get("error").is_some()));
    for inner in frame.get("calls").and_then(Value::as_array).into_iter().flatten() {
        frames(inner, found);
    }
}

fn traced(chain: &TestChain, hash: H256) -> Vec<(String, Address, U256, bool)> {
    let mut found = Vec::new();
    frames(&chain.trace(hash), &mut found);
    found
}

#[test]
fn native_coin_comes_from_within_where_the_transaction_does_not_show_it() {
    let chain = TestChain::start();
    let from = chain.account(0);
    let payer = chain.deploy("Payer", ());
    let (at, wei) = (payer.address, U256::from(90));

    let paid = chain.send_paying(from, &payer, "pay", (ALICE,), wei);
    assert_eq!(node::parse::<Address>(chain.transaction(paid)["to"].clone()), at);
    let call = |to, value: u64, failed| ("CALL".to_owned(), to, U256::from(value), failed);
    assert_eq!(traced(&chain, paid), [call(at, 90, false), call(ALICE, 90, false)]);

    let amounts = vec![U256::from(40), U256::from(50)];
    let many = chain.send_paying(from, &payer, "multiPay", (vec![ALICE, BOB], amounts), wei);
    let expected = [call(at, 90, false), call(ALICE, 40, false), call(BOB, 50, false)];
    assert_eq!(traced(&chain, many), expected);

    let left = chain.send_paying(from, &payer, "payBySelfdestruct", (ALICE,), wei);
    let kinds = traced(&chain, left).into_iter().map(|(kind, ..)| kind).collect::<Vec<_>>();
    assert_eq!(kinds, ["CALL", "CREATE", "SELFDESTRUCT"]);
    assert_eq!((chain.balance(ALICE), chain.balance(BOB)), (220.into(), 50.into()));
}

#[test]
fn native_coin_that_a_trace_shows_and_that_nobody_gets() {
    let chain = TestChain::start();
    let from = chain.account(0);
    let payer = chain.deploy("Payer", ());
    let (at, wei) = (payer.address, U256::from(90));
    let call = |to, value: u64, failed| ("CALL".to_owned(), to, U256::from(value), failed);

    let undone = chain.send_paying(from, &payer, "payAndRevertInner", (ALICE,), wei);
    assert_eq!(chain.receipt(undone)["status"], "0x1");
    let expected =
        [call(at, 90, false), call(at, 90, true), call(at, 90, false), call(ALICE, 90, false)];
    assert_eq!(traced(&chain, undone), expected);
    assert_eq!(chain.balance(ALICE), 0.into());

    for (function, kind) in [("payByDelegatecall", "DELEGATECALL"), ("payByCallcode", "CALLCODE")] {
        let hash = chain.send_paying(from, &payer, function, (ALICE,), wei);
        assert_eq!(chain.receipt(hash)["status"], "0x1");
        let inner = traced(&chain, hash).pop().unwrap();
        assert_eq!((inner.0.as_str(), inner.1, inner.3), (kind, ALICE, false));
        // The value that this node shows is what a careless reader would credit.
        assert_eq!(inner.2, wei, "{kind}");
        assert_eq!(chain.balance(ALICE), 0.into());
    }

    let args = (ALICE, U256::from(30));
    let partly = chain.send_paying(from, &payer, "payTwiceRevertFirst", args, wei);
    let shown = traced(&chain, partly).into_iter().filter(|frame| frame.1 == ALICE);
    assert_eq!(shown.collect::<Vec<_>>(), [call(ALICE, 30, false), call(ALICE, 60, false)]);
    assert_eq!(chain.balance(ALICE), 60.into());
}

fn is_valid(chain: &TestChain, wallet: &Contract, message: &str, signature: [u8; 65]) -> [u8; 4] {
    let args = (hash_message(message), Bytes::from(signature));
    chain.ask(wallet, "isValidSignature", args)
}

#[test]
fn a_contract_signs_as_its_owner_and_pays_as_itself() {
    let chain = TestChain::start();
    let (from, owner, heir) = (chain.account(0), Wallet::numbered(1), Wallet::numbered(2));
    let wallet = chain.deploy("Wallet1271", (owner.address(),));
    let (by_owner, by_heir) = (owner.sign_message("hello"), heir.sign_message("hello"));
    assert_eq!(is_valid(&chain, &wallet, "hello", by_owner), YES);
    assert_eq!(is_valid(&chain, &wallet, "hello", by_heir), NO);
    assert_eq!(is_valid(&chain, &wallet, "hallo", by_owner), NO);
    assert_eq!(is_valid(&chain, &wallet, "hello", malleated(&by_owner)), YES);

    let before = chain.head();
    chain.send(from, &wallet, "setOwner", (heir.address(),));
    assert_eq!(is_valid(&chain, &wallet, "hello", by_owner), NO);
    assert_eq!(is_valid(&chain, &wallet, "hello", by_heir), YES);
    let args = (hash_message("hello"), Bytes::from(by_owner));
    assert_eq!(chain.ask_at::<[u8; 4]>(&wallet, "isValidSignature", args, before), YES);

    let token = token(&chain, 0);
    chain.send(from, &token, "mint", (wallet.address, U256::from(50)));
    let input = token.input("transfer", (ALICE, U256::from(50)));
    let args = (token.address, U256::zero(), input);
    let paid = chain.send(from, &wallet, "execute", args);
    let payer: H256 = node::parse(chain.receipt(paid)["logs"][0]["topics"][1].clone());
    assert_eq!(Address::from(payer), wallet.address);
    chain.pay(from, wallet.address, 9);
    chain.send(from, &wallet, "execute", (BOB, U256::from(9), Bytes::new()));
    assert_eq!(chain.balance(BOB), 9.into());
}

#[test]
fn a_contract_may_answer_what_no_honest_wallet_answers() {
    let chain = TestChain::start();
    let from = chain.account(0);
    let wallet = chain.deploy("Wallet1271", (ALICE,));
    let input = wallet.input("isValidSignature", ([0_u8; 32], Bytes::new()));
    let call = json!({ "to": wallet.address, "data": input, "gas": "0x30d40" });
    let answers: [Result<Bytes, _>; 6] = [1_u8, 2, 3, 4, 5, 6].map(|answer| {
        chain.send(from, &wallet, "setAnswer", (answer,));
        chain.try_rpc("eth_call", &json!([call, "latest"])).map(node::parse)
    });
    let [always, reverts, endless, short, long, dirty] = &answers;
    let padded: Vec<u8> = [&YES[..], &[0; 28]].concat();
    assert_eq!(always.as_ref().unwrap()[..], padded);
    assert_eq!(reverts.as_ref().unwrap_err().code, 3);
    assert!(endless.is_err());
    assert_eq!(short.as_ref().unwrap()[..], YES);
    assert_eq!(long.as_ref().unwrap().len(), 65_536);
    assert_eq!(dirty.as_ref().unwrap()[..5], [&YES[..], &[0]].concat());
    assert_eq!(dirty.as_ref().unwrap()[31], 1);
}

#[test]
fn an_account_that_delegates_has_code_and_still_signs_itself() {
    let chain = TestChain::start();
    let template = chain.deploy("Wallet1271", (ALICE,));
    let user = Wallet::numbered(1);
    let authorization = user.authorize(CHAIN_ID, template.address, 0);
    let draft = Draft { chain_id: CHAIN_ID, to: BOB, ..Draft::default() };
    let hash = chain.send_raw(&Wallet::dev(1).delegating_transaction(&draft, &[authorization]));
    assert_eq!(chain.receipt(hash)["status"], "0x1");
    let code = format!("0xef0100{:x}", template.address);
    assert_eq!(chain.code(user.address()), code);

    let account = Contract::at("Wallet1271", user.address());
    assert_eq!(is_valid(&chain, &account, "hello", user.sign_message("hello")), YES);
    assert_eq!(is_valid(&chain, &account, "hello", Wallet::dev(1).sign_message("hello")), NO);
    chain.set_balance(user.address(), 9.into());
    chain.send(chain.account(2), &account, "execute", (BOB, U256::from(9), Bytes::new()));
    assert_eq!(chain.balance(BOB), 9.into());
}

/// Id, answer, when it started, when it was updated, and what is deprecated.
type Round = (U256, I256, U256, U256, U256);

#[test]
fn a_feed_has_rounds_in_phases() {
    let chain = TestChain::start();
    let from = chain.account(0);
    let feed = chain.deploy("Feed", ("ETH / USD".to_owned(), 8_u8));
    let push = |answer: i64, secs: u64| {
        chain.send(from, &feed, "push", (I256::from(answer), U256::from(GENESIS_SECS + secs)))
    };
    push(300_000_000_000, 0);
    push(310_000_000_000, 60);
    chain.send(from, &feed, "newPhase", ());
    push(-1, 120);

    let id = |phase: u64, round: u64| (U256::from(phase) << 64) + round;
    let latest: Round = chain.ask(&feed, "latestRoundData", ());
    let secs = |secs: u64| U256::from(GENESIS_SECS + secs);
    assert_eq!(latest, (id(2, 1), I256::from(-1), secs(120), secs(120), id(2, 1)));
    let second: Round = chain.ask(&feed, "getRoundData", (id(1, 2),));
    assert_eq!((second.0, second.1), (id(1, 2), I256::from(310_000_000_000_i64)));
    assert_eq!(chain.ask::<U256>(&feed, "phaseId", ()), 2.into());

    let input = feed.input("getRoundData", (id(1, 3),));
    let missing = json!([{ "to": feed.address, "data": input }, "latest"]);
    assert!(chain.try_rpc("eth_call", &missing).unwrap_err().message.contains("No data present"));
    chain.send(from, &feed, "setMissingReverts", (false,));
    let zeros: Round = chain.ask(&feed, "getRoundData", (id(1, 3),));
    assert_eq!((zeros.0, zeros.3), (0.into(), 0.into()));
}
