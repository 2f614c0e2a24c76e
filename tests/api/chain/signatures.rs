//! Signatures of plain accounts, of contracts, and of accounts that are both.

use ethers_core::types::{Address, Bytes, U256};
use sluice::chain::contract::{balance, code};
use sluice::chain::provider::BlockId;
use sluice::chain::quorum::Agreement;
use sluice::chain::signature::is_valid_signature;
use sluice::chain::types::{SignatureError, personal_message_hash, recover};
use sluice::domain::evm::{BlockHash, EvmAddress};

use crate::support::chain::asking::ask;
use crate::support::chain::contract::Contract;
use crate::support::chain::wallet::{Draft, Wallet, malleated};
use crate::support::chain::{CHAIN_ID, TestChain};
use crate::support::rpc::Provider;
use crate::support::rpc::fault::Fault;

const ALICE: Address = Address::repeat_byte(0xa1);
const GAS: u64 = 200_000;

fn accepts(provider: &Provider, at: Address, by: &Wallet, block: BlockId) -> Option<bool> {
    let hash = personal_message_hash(b"hello");
    let signature = by.sign_message("hello");
    ask(&[provider], async |providers| {
        let (contract, signed) = (EvmAddress(at.0), (&hash, signature.as_slice()));
        is_valid_signature(&providers, 1, contract, signed, (GAS, block)).await.agreement.agreed()
    })
}

#[test]
fn an_accounts_signature_tells_its_address_and_its_twin_does_not() {
    let wallet = Wallet::numbered(1);
    let hash = personal_message_hash(b"hello");
    let signature = wallet.sign_message("hello");
    assert_eq!(recover(&hash, &signature).unwrap().0, wallet.address().0);
    assert_eq!(recover(&hash, &malleated(&signature)), Err(SignatureError::HighS));
}

#[test]
fn a_contract_is_asked_at_the_block_that_counts() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    let (owner, heir) = (Wallet::numbered(1), Wallet::numbered(2));
    let wallet = chain.deploy("Wallet1271", (owner.address(),));
    let before = chain.head();
    let hash: BlockHash = chain.block(before)["hash"].as_str().unwrap().parse().unwrap();
    let at = wallet.address;
    assert_eq!(accepts(&provider, at, &owner, BlockId::Latest), Some(true));
    assert_eq!(accepts(&provider, at, &heir, BlockId::Latest), Some(false));
    chain.send(chain.account(0), &wallet, "setOwner", (heir.address(),));
    assert_eq!(accepts(&provider, at, &owner, BlockId::Latest), Some(false));
    assert_eq!(accepts(&provider, at, &owner, BlockId::Number(before)), Some(true));
    assert_eq!(accepts(&provider, at, &owner, BlockId::Hash(hash)), Some(true));
    assert_eq!(accepts(&provider, at, &heir, BlockId::Hash(hash)), Some(false));
    // Neither a plain account nor a provider's refusal is a yes, and a refusal is not even a no.
    assert_eq!(accepts(&provider, owner.address(), &owner, BlockId::Latest), Some(false));
    provider.on("eth_call", Fault::error(-32000, "missing trie node"));
    assert_eq!(accepts(&provider, at, &owner, BlockId::Latest), None);
}

#[test]
fn a_node_that_takes_no_hash_of_a_block_is_asked_by_its_number_and_the_hash_is_compared() {
    let chain = TestChain::start();
    let (owner, heir) = (Wallet::numbered(1), Wallet::numbered(2));
    let wallet = chain.deploy("Wallet1271", (owner.address(),));
    let before = chain.head();
    let hash: BlockHash = chain.block(before)["hash"].as_str().unwrap().parse().unwrap();
    chain.send(chain.account(0), &wallet, "setOwner", (heir.address(),));
    let at = BlockId::Hash(hash);
    for (code, words) in [
        (-32602, "invalid argument 1: json: cannot unmarshal object into Go value of type string"),
        (-32602, "Invalid params"),
        (-32000, "blockHash is not supported"),
        (-32603, "Internal error"),
    ] {
        let provider = Provider::before(chain.node);
        let refusal = Fault::error(code, words);
        provider.when("eth_call", move |params| params[1].is_object().then(|| refusal.clone()));
        assert_eq!(accepts(&provider, wallet.address, &owner, at), Some(true), "{words}");
        assert_eq!(accepts(&provider, wallet.address, &heir, at), Some(false), "{words}");
        // Another block at that height, from the beginning or since a moment ago.
        for honest in [0, 1] {
            let asked = std::sync::atomic::AtomicUsize::new(0);
            provider.mutate("eth_getBlockByNumber", move |_, block| {
                if asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) >= honest {
                    block["hash"] = serde_json::json!(ethers_core::types::H256::repeat_byte(7));
                }
            });
            assert_eq!(accepts(&provider, wallet.address, &owner, at), None, "{words}");
        }
        provider.on("eth_getBlockByHash", Fault::Null);
        assert_eq!(accepts(&provider, wallet.address, &owner, at), None, "{words}");
    }
    // It is remembered: of the second question nothing is refused.
    let provider = Provider::before(chain.node);
    let refusal = Fault::error(-32602, "Invalid params");
    provider.when("eth_getCode", move |params| params[1].is_object().then(|| refusal.clone()));
    ask(&[&provider], async |providers| {
        let address = EvmAddress(wallet.address.0);
        for _ in 0..2 {
            let found = code(&providers, 1, address, at).await.agreement.agreed();
            assert!(found.is_some_and(|code| !code.is_empty()));
        }
        assert!(providers[0].standing().takes_no_hashes());
    });
    assert_eq!(provider.count("eth_getCode"), 3);
}

#[test]
fn only_an_honest_yes_is_a_yes() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    let stranger = Wallet::numbered(3);
    let wallet = chain.deploy("Wallet1271", (ALICE,));
    // Always yes, reverts, burns all gas, too short, too long, and something behind the magic
    // value.
    let expected = [true, false, false, false, false, false];
    for (answer, expected) in (1_u8..).zip(expected) {
        chain.send(chain.account(0), &wallet, "setAnswer", (answer,));
        let said = accepts(&provider, wallet.address, &stranger, BlockId::Latest);
        assert_eq!(said, Some(expected), "answer {answer}");
    }
}

#[test]
fn an_account_that_delegates_shows_it_and_signs_both_ways() {
    let chain = TestChain::start();
    let provider = Provider::before(chain.node);
    let (template, user) = (chain.deploy("Wallet1271", (ALICE,)), Wallet::numbered(1));
    let authorization = user.authorize(CHAIN_ID, template.address, 0);
    let draft = Draft { chain_id: CHAIN_ID, to: ALICE, ..Draft::default() };
    chain.send_raw(&Wallet::dev(1).delegating_transaction(&draft, &[authorization]));
    let shown = |address: Address| {
        ask(&[&provider], async |providers| {
            code(&providers, 1, EvmAddress(address.0), BlockId::Latest).await.agreement.agreed()
        })
    };
    let delegation = [&[0xef, 0x01, 0x00], template.address.as_bytes()].concat();
    assert_eq!(shown(user.address()), Some(delegation));
    assert_eq!(shown(ALICE), Some(vec![]));
    assert_eq!(accepts(&provider, user.address(), &user, BlockId::Latest), Some(true));
    let hash = personal_message_hash(b"hello");
    assert_eq!(recover(&hash, &user.sign_message("hello")).unwrap().0, user.address().0);
}

#[test]
fn providers_that_answer_otherwise_do_not_agree() {
    let chain = TestChain::start();
    let (one, two) = (Provider::before(chain.node), Provider::before(chain.node));
    let args = ("USD Coin".to_owned(), "USDC".to_owned(), 6_u8, 0_u16);
    let token = chain.deploy("Token", args);
    chain.send(chain.account(0), &token, "mint", (ALICE, U256::from(5)));
    let held = |contract: &Contract| {
        let pair = (EvmAddress(contract.address.0), EvmAddress(ALICE.0));
        ask(&[&one, &two], async |providers| {
            balance(&providers, 2, pair, BlockId::Latest).await.agreement
        })
    };
    assert_eq!(held(&token), Agreement::Agreed(Some(5_u128.into())));
    assert_eq!(held(&Contract::at("Token", ALICE)), Agreement::Agreed(None));
    two.mutate("eth_call", |_, answer| *answer = serde_json::json!(Bytes::from(vec![0; 32])));
    assert_eq!(held(&token), Agreement::Disagree { what: "answer of the contract" });
}
