//! Proofs that a real chain is asked about, and the deposits that wait for them.

use ethers_core::types::{Address, Bytes, U256};
use serde_json::{Value, json};
use sluice::domain::deposit::DepositState;

use crate::support::chain::CHAIN_ID;
use crate::support::chain::contract::Contract;
use crate::support::chain::wallet::{Draft, Wallet};
use crate::support::deposits::{Shop, USDC};

/// Nano-dollars in one dollar.
const DOLLAR: i64 = 1_000_000_000;

#[test]
fn a_deposit_that_nobody_had_proven_is_credited_after_the_proof() {
    let shop = Shop::open();
    let account = shop.app.account("0");
    let tx = shop.pay_usdc(1, 25 * USDC);
    shop.finalize();
    shop.reaches(tx, DepositState::Unattributed);
    let payer = Wallet::dev(1);
    assert_eq!(payer.address(), shop.mint.chain.account(1));
    let message = shop.app.challenge(&account, payer.address());
    let linked = shop.app.prove(&account, &message, &payer.sign_message(&message));
    assert_eq!(linked.status, 201, "{}", linked.text());
    assert_eq!(shop.credited(tx).account_id, Some(account.id));
    assert_eq!(shop.available(&account), 25 * DOLLAR);
}

#[test]
fn a_contract_is_asked_on_its_chain_and_again_at_the_block_of_its_deposit() {
    let shop = Shop::open();
    let chain = &shop.mint.chain;
    let (account, owner, stranger) =
        (shop.app.account("0"), Wallet::numbered(1), Wallet::numbered(2));
    let wallet = chain.deploy("Wallet1271", (owner.address(),));
    let attempt = |signer: &Wallet| {
        let message = shop.app.challenge(&account, wallet.address);
        shop.app.prove(&account, &message, &signer.sign_message(&message))
    };
    attempt(&stranger).expect_refusal(403, "contract_refused");
    let linked = attempt(&owner);
    assert_eq!(linked.status, 201, "{}", linked.text());
    let document = linked.json();
    assert_eq!((&document["kind"], &document["chain"]), (&json!("contract"), &json!("base")));

    let payer = chain.account(0);
    chain.send(payer, &shop.mint.usdc, "mint", (wallet.address, U256::from(100 * USDC)));
    let pay = || {
        let transfer = (shop.mint.treasury, U256::from(10 * USDC));
        let data = shop.mint.usdc.input("transfer", transfer);
        chain.send(payer, &wallet, "execute", (shop.mint.usdc.address, U256::zero(), data))
    };
    let paid = pay();
    shop.finalize();
    assert_eq!(shop.credited(paid).account_id, Some(account.id));
    assert_eq!(shop.available(&account), 10 * DOLLAR);

    // Its owner has changed: the proof says nothing of what it pays now.
    chain.send(payer, &wallet, "setOwner", stranger.address());
    let after = pay();
    shop.finalize();
    shop.reaches(after, DepositState::Held);
    assert_eq!(shop.available(&account), 10 * DOLLAR);
}

#[test]
fn a_contract_that_answers_oddly_proves_nothing() {
    let shop = Shop::open();
    let chain = &shop.mint.chain;
    let (account, owner) = (shop.app.account("0"), Wallet::numbered(1));
    let wallet = chain.deploy("Wallet1271", (owner.address(),));
    // Reverts, runs for ever, and answers that are too short, too long, or more than the magic
    // value.
    for answer in 2..=6_u8 {
        chain.send(chain.account(0), &wallet, "setAnswer", answer);
        let message = shop.app.challenge(&account, wallet.address);
        let signed = shop.app.prove(&account, &message, &owner.sign_message(&message));
        signed.expect_refusal(403, "contract_refused");
    }
    assert!(shop.app.wallets(&account).is_empty());
}

#[test]
fn an_account_with_delegated_code_proves_itself_by_its_key_on_every_chain() {
    let shop = Shop::open();
    let (account, user) = (shop.app.account("0"), Wallet::numbered(5));
    delegate(&shop, &user);
    let message = shop.app.challenge(&account, user.address());
    let linked = shop.app.prove(&account, &message, &user.sign_message(&message));
    assert_eq!(linked.status, 201, "{}", linked.text());
    let document = linked.json();
    assert_eq!((&document["kind"], &document["chain"]), (&json!("eoa"), &Value::Null));
    // What is not its key's own is a question to the code that it has delegated to.
    let message = shop.app.challenge(&account, user.address());
    let foreign = Wallet::numbered(6).sign_message(&message);
    shop.app.prove(&account, &message, &foreign).expect_refusal(403, "contract_refused");
}

/// Lets a contract's code stand for the account's own (EIP-7702).
fn delegate(shop: &Shop, user: &Wallet) {
    let chain = &shop.mint.chain;
    let template: Contract = chain.deploy("Wallet1271", (Address::zero(),));
    let authorization = user.authorize(CHAIN_ID, template.address, 0);
    let sender = Wallet::dev(0);
    let draft = Draft {
        chain_id: CHAIN_ID,
        nonce: chain.nonce(sender.address()),
        to: user.address(),
        value: U256::zero(),
        data: Bytes::new(),
    };
    chain.send_raw(&sender.delegating_transaction(&draft, &[authorization]));
    assert!(chain.code(user.address()).starts_with("0xef0100"));
}
