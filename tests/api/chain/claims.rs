//! Hashes that accounts submit: each gets an answer, none says whose a deposit is, and no number of
//! them slows anybody.

use diesel::RunQueryDsl;
use ethers_core::types::{Address, H256, U256};
use serde_json::{Value, json};
use sluice::db::models::chains::{self, ChainRow};
use sluice::db::models::deposits::{self, DepositRow};
use sluice::db::schema::deposits as deposits_table;
use sluice::deposits::claims;
use sluice::domain::deposit::{ClaimReason, ClaimState, DepositReason, DepositState};
use sluice::domain::evm::ChainId;

use crate::support::app::Account;
use crate::support::chain::CHAIN_ID;
use crate::support::chain::wallet::{Draft, Wallet};
use crate::support::deposit_rows;
use crate::support::deposits::{Mint, Shop, USDC};
use crate::support::rpc::fault::Fault;

const TRACE: &str = "debug_traceTransaction";

#[test]
fn a_claim_that_leads_nowhere_says_why() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let (chain, mint) = (&shop.mint.chain, &shop.mint);
    let (from, treasury) = (chain.account(1), mint.treasury);
    let failed = shop.pay_usdc(1, 2_000_000 * USDC);
    let unrelated = chain.pay(from, chain.account(2), 5);
    let fake = chain.deploy("Token", ("USD Coin".to_owned(), "USDC".to_owned(), 6_u8, 0_u16));
    chain.send(chain.account(0), &fake, "mint", (from, U256::from(100 * USDC)));
    let unsupported = chain.send(from, &fake, "transfer", (treasury, U256::from(100 * USDC)));
    let spoof = chain.deploy("Spoof", ());
    // The largest amount there is, of a token that nobody listed.
    let spoofed = chain.send(from, &spoof, "say", (from, treasury, U256::MAX));
    chain.impersonate(treasury);
    chain.set_balance(treasury, U256::exp10(20));
    let own = chain.pay(treasury, treasury, U256::exp10(18));
    let payer = chain.deploy("Payer", ());
    let reverted =
        chain.send_paying(from, &payer, "payAndRevertInner", (treasury,), U256::exp10(18));
    shop.finalize();
    for (tx, reason) in [
        (failed, ClaimReason::TransactionFailed),
        (unrelated, ClaimReason::NotOurAddress),
        (unsupported, ClaimReason::UnsupportedToken),
        (spoofed, ClaimReason::UnsupportedToken),
        (own, ClaimReason::OwnTransfer),
        (reverted, ClaimReason::NotOurAddress),
    ] {
        shop.is_refused(&account, tx, reason);
    }
    // A hash of another chain is as unknown as any other, for a day.
    let elsewhere = H256::repeat_byte(0x77);
    shop.claim(&account, elsewhere);
    shop.claim_reaches(&account, elsewhere, ClaimState::NotFound, None);
    shop.pass(24 * 3600);
    shop.claim_reaches(&account, elsewhere, ClaimState::Rejected, Some(ClaimReason::Expired));
    assert!(shop.all_deposits().is_empty());
    assert_eq!(shop.available(&account), 0);
}

#[test]
fn without_traces_a_plain_token_payment_to_somebody_else_is_told_as_that() {
    let mint = Mint::open();
    let toml = mint.toml("").replace("traces = true\n", "");
    let shop = Shop::on(mint, &toml, |builder| builder);
    let account = shop.holder_of(1);
    let (chain, usdc) = (&shop.mint.chain, &shop.mint.usdc);
    let (from, stranger) = (chain.account(1), chain.account(2));
    let plain = chain.send(from, usdc, "transfer", (stranger, U256::from(3 * USDC)));
    let peg = chain.send(from, &shop.mint.peg, "transfer", (stranger, U256::exp10(18)));
    // A token that nobody listed may do anything, and coins may be sent on.
    let fake = chain.deploy("Token", ("USD Coin".to_owned(), "USDC".to_owned(), 6_u8, 0_u16));
    chain.send(chain.account(0), &fake, "mint", (from, U256::from(100 * USDC)));
    let unlisted = chain.send(from, &fake, "transfer", (stranger, U256::from(USDC)));
    let coins = chain.pay(from, stranger, 5);
    shop.finalize();
    for (tx, reason) in [
        (plain, ClaimReason::NotOurAddress),
        (peg, ClaimReason::NotOurAddress),
        (unlisted, ClaimReason::InternalNotSupported),
        (coins, ClaimReason::InternalNotSupported),
    ] {
        shop.is_refused(&account, tx, reason);
    }
    // What it says is true of all of them: nothing that can be seen pays us.
    for words in ["No visible transfer", "write to support with the hash"] {
        assert!(ClaimReason::InternalNotSupported.sentence().contains(words));
    }
}

#[test]
fn a_claim_on_the_wrong_chain_is_closed_with_the_right_ones_name() {
    let shop = Shop::open();
    let (account, other) = (shop.holder_of(1), shop.app.account("0"));
    let there = ChainRow { chain_id: ChainId(1), ..shop.caught_up() };
    shop.db(|conn| chains::create(conn, &there).unwrap());
    let deposit = |owner: &Account, number: u8, state: &str| {
        let row = deposit_rows::row(owner, number, state, None);
        shop.db(|conn| deposits::insert(conn, &row).unwrap());
        row
    };
    let told = |owner: &Account, tx: H256| {
        let id = shop.claim_of(owner, tx).public_id;
        shop.app.api_get(owner, &format!("/api/v1/deposits/{id}")).json()
    };
    // Found there before it is claimed here.
    deposit(&account, 7, "held");
    let seven = H256::repeat_byte(7);
    shop.claim(&account, seven);
    shop.is_refused(&account, seven, ClaimReason::OtherChain);
    let claim = told(&account, seven);
    let words = "The transaction is on chain 1, not on Base. Its deposits are listed here";
    assert!(claim["message"].as_str().unwrap().starts_with(words), "{claim}");
    assert_eq!(claim["deposits"][0]["id"], "dep_7");
    // And there it is claimed now.
    let claims = shop.app.api_get(&account, "/api/v1/deposits").json()["claims"].clone();
    let states: Vec<_> = claims.as_array().unwrap().iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["matched", "rejected"]);

    // Claimed here first: the other chain's reader tells it, or the next look does.
    for (number, is_told) in [(8, true), (9, false)] {
        let tx = H256::repeat_byte(number);
        shop.claim(&account, tx);
        shop.claim(&other, tx);
        shop.claim_reaches(&account, tx, ClaimState::NotFound, None);
        let row = deposit(&account, number, "held");
        let tx_hash = row.tx_hash;
        if is_told {
            let now = shop.app.clock.now();
            shop.db(|conn| claims::match_all(conn, ChainId(1), tx_hash, now).unwrap());
            assert_eq!(shop.claim_of(&account, tx).state, ClaimState::Rejected);
        }
        shop.pass(3600);
        shop.claim_reaches(&account, tx, ClaimState::Rejected, Some(ClaimReason::OtherChain));
        // What is somebody else's is no answer to who has only the hash.
        shop.claim_reaches(&other, tx, ClaimState::NotFound, None);
        assert!(!told(&other, tx).to_string().contains("dep_"));
    }
    // Nobody's so far: whoever claims sees it, and may look at it by its name.
    let nobodys = DepositRow {
        account_id: None,
        value_nanousd: None,
        ..deposit_rows::row(&account, 10, "unattributed", None)
    };
    shop.db(|conn| deposits::insert(conn, &nobodys).unwrap());
    let ten = H256::repeat_byte(10);
    shop.claim(&other, ten);
    shop.is_refused(&other, ten, ClaimReason::OtherChain);
    assert_eq!(told(&other, ten)["deposits"][0]["id"], "dep_10");
    assert_eq!(shop.app.api_get(&other, "/api/v1/deposits/dep_10").status, 200);
    let words = told(&other, ten)["deposits"][0]["message"].to_string();
    assert!(words.contains("If you paid from an exchange or another service"), "{words}");
    shop.db(|conn| diesel::delete(deposits_table::table).execute(conn).unwrap());
}

#[test]
fn nothing_that_is_older_than_the_first_look_can_be_claimed() {
    let mint = Mint::open();
    let wei = U256::exp10(18);
    let early = mint.chain.pay(mint.chain.account(1), mint.treasury, wei);
    mint.chain.finalize();
    // Without a first block, reading begins behind what is final now.
    let toml = mint.toml("").replace("start_block = 1\n", "");
    let shop = Shop::on(mint, &toml, |builder| builder);
    let account = shop.holder_of(1);
    shop.caught_up();
    let late = shop.pay_coin(1, wei);
    shop.finalize();
    shop.credited(late);
    shop.is_refused(&account, early, ClaimReason::TooOld);
    assert!(shop.deposits(early).is_empty());
}

#[test]
fn a_claim_before_the_block_is_answered_with_the_deposit() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let chain = &shop.mint.chain;
    chain.set_automine(false);
    let tx = shop.pay_usdc(1, 3 * USDC);
    shop.claim(&account, tx);
    shop.rounds(2);
    assert_ne!(shop.claim_of(&account, tx).state, ClaimState::Matched);
    chain.set_automine(true);
    shop.mine(1);
    shop.claim_reaches(&account, tx, ClaimState::Matched, None);
    shop.finalize();
    shop.credited(tx);
    // Asked again, it is answered as it stands.
    assert_eq!(shop.claim(&account, tx).state, ClaimState::Matched);
    assert_eq!(shop.available(&account), 3_000_000_000);
}

#[test]
fn a_replaced_transaction_is_never_found_and_its_replacement_is_credited_by_itself() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let (chain, wallet) = (&shop.mint.chain, Wallet::dev(1));
    let draft = Draft {
        chain_id: CHAIN_ID,
        nonce: chain.nonce(wallet.address()),
        to: shop.mint.treasury,
        value: U256::exp10(16),
        ..Draft::default()
    };
    chain.set_automine(false);
    let replaced = chain.send_raw(&wallet.transaction(&draft));
    shop.claim(&account, replaced);
    // The same nonce, at a higher price.
    let input = json!({
        "from": wallet.address(), "to": shop.mint.treasury, "value": U256::exp10(16) + 1,
        "nonce": crate::support::chain::hex(draft.nonce), "gasPrice": U256::exp10(12),
    });
    let replacement = chain.transact(input);
    chain.mine(1);
    chain.set_automine(true);
    shop.finalize();
    shop.credited(replacement);
    shop.claim_reaches(&account, replaced, ClaimState::NotFound, None);
    shop.pass(24 * 3600);
    shop.claim_reaches(&account, replaced, ClaimState::Rejected, Some(ClaimReason::Expired));
    assert_eq!(shop.all_deposits().len(), 1);
}

#[test]
fn whoever_claims_first_gets_nothing_by_it() {
    let shop = Shop::open();
    let owner = shop.holder_of(1);
    let thief = shop.holder_of(2);
    let tx = shop.pay_usdc(1, 3 * USDC);
    shop.claim(&thief, tx);
    shop.claim_reaches(&thief, tx, ClaimState::Rejected, Some(ClaimReason::OtherAccount));
    shop.claim(&owner, tx);
    shop.claim_reaches(&owner, tx, ClaimState::Matched, None);
    shop.finalize();
    assert_eq!(shop.credited(tx).account_id, Some(owner.id));
    assert_eq!((shop.available(&owner), shop.available(&thief)), (3_000_000_000, 0));

    // Of a wallet that nobody has proven, both see it, and the proof decides.
    let unproven = shop.mint.chain.account(3);
    let tx = shop.pay_usdc(3, 4 * USDC);
    shop.claim(&thief, tx);
    shop.claim_reaches(&thief, tx, ClaimState::Matched, None);
    shop.reaches(tx, DepositState::Unattributed);
    // Without a word to the watcher: it looks by itself now and then.
    shop.link(&owner, unproven, shop.app.clock.now());
    shop.app.clock.advance(60_000);
    shop.finalize();
    shop.credited(tx);
    assert_eq!((shop.available(&owner), shop.available(&thief)), (7_000_000_000, 0));
    shop.claim_reaches(&thief, tx, ClaimState::Rejected, Some(ClaimReason::OtherAccount));
}

#[test]
fn coins_from_within_are_credited_on_claim_each_frame_by_itself() {
    let shop = Shop::open();
    // The contract passes on what the wallet sends along: it stays the wallet's payment.
    let account = shop.holder_of(1);
    let (chain, treasury) = (&shop.mint.chain, shop.mint.treasury);
    let payer = chain.deploy("Payer", ());
    let from = chain.account(1);
    let one = chain.send_paying(from, &payer, "pay", (treasury,), U256::exp10(16));
    let wei = |part: u64| U256::exp10(15) * part;
    let payees = vec![treasury, Address::repeat_byte(0x99), treasury];
    let amounts = vec![wei(1), wei(2), wei(3)];
    let many = chain.send_paying(from, &payer, "multiPay", (payees, amounts), wei(6));
    let partly = chain.send_paying(from, &payer, "payTwiceRevertFirst", (treasury, wei(7)), wei(9));
    shop.finalize();
    shop.caught_up();
    assert!(shop.all_deposits().is_empty(), "nothing in the blocks shows them");
    for tx in [one, many, partly] {
        shop.claim(&account, tx);
        shop.claim_reaches(&account, tx, ClaimState::Matched, None);
    }
    let ordinals = |tx| {
        let rows = shop.reaches(tx, DepositState::Credited);
        rows.iter().map(|row| (row.ordinal, row.raw_amount.to_string())).collect::<Vec<_>>()
    };
    // The top of the transaction is −1: what it gives to the contract.
    assert_eq!(ordinals(one), [(-2, "10000000000000000".to_owned())]);
    let expected = [(-4, "3000000000000000".to_owned()), (-2, "1000000000000000".to_owned())];
    assert_eq!(ordinals(many), expected);
    assert_eq!(ordinals(partly), [(-2, "2000000000000000".to_owned())]);
    assert_eq!(shop.available(&account), 32_000_000_000);
}

#[test]
fn coins_from_within_that_nobody_can_trace_are_refused_with_the_reason() {
    let mint = Mint::open();
    let toml = mint.toml("").replace("traces = true", "traces = false");
    let shop = Shop::on(mint, &toml, |builder| builder);
    let account = shop.holder_of(1);
    let (chain, treasury) = (&shop.mint.chain, shop.mint.treasury);
    let payer = chain.deploy("Payer", ());
    let tx = chain.send_paying(chain.account(1), &payer, "pay", (treasury,), U256::exp10(16));
    shop.finalize();
    shop.is_refused(&account, tx, ClaimReason::InternalNotSupported);
    assert_eq!(shop.mint.alpha.count(TRACE), 0);
}

#[test]
fn coins_from_within_that_cannot_be_traced_again_wait_for_a_person() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let (chain, treasury) = (&shop.mint.chain, shop.mint.treasury);
    let payer = chain.deploy("Payer", ());
    let tx = chain.send_paying(chain.account(1), &payer, "pay", (treasury,), U256::exp10(16));
    shop.mine(1);
    shop.claim(&account, tx);
    shop.claim_reaches(&account, tx, ClaimState::Matched, None);
    shop.reaches(tx, DepositState::Confirming);
    for provider in [&shop.mint.alpha, &shop.mint.beta] {
        provider.on(TRACE, Fault::error(-32000, "required historical state unavailable"));
    }
    shop.finalize();
    shop.rounds(3);
    assert_eq!(shop.cursor().unwrap().status, "ok", "it is nobody's fault");
    shop.pass(24 * 3600);
    let row = shop.reaches(tx, DepositState::Held).remove(0);
    assert_eq!(row.reason, Some(DepositReason::Untraceable));
    assert_eq!(shop.available(&account), 0);
}

#[test]
fn what_is_made_to_be_unreadable_is_answered_and_troubles_nobody() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let chain = &shop.mint.chain;
    let payer = chain.deploy("Payer", ());
    let deep =
        chain.send_paying(chain.account(1), &payer, "pay", (shop.mint.treasury,), U256::exp10(16));
    let author = json!(chain.account(2));
    for provider in [&shop.mint.alpha, &shop.mint.beta] {
        // Calls within calls, beyond what a reader of JSON follows.
        provider.mutate(TRACE, move |params, frame| {
            if params[0] == json!(deep) {
                for _ in 0..200 {
                    let inner = frame.take();
                    *frame = inner.clone();
                    frame["calls"] = json!([inner]);
                }
            }
        });
        let author = author.clone();
        provider.mutate("eth_getTransactionReceipt", move |_, receipt| {
            if receipt["from"] == author {
                let log = receipt["logs"][0].clone();
                receipt["logs"] = Value::Array(vec![log; 10_001]);
            }
        });
    }
    let alerts = shop.alert_count("chain_oversized_transaction");
    let large = shop.pay_usdc(2, 5 * USDC);
    shop.finalize();
    shop.claim(&account, deep);
    shop.is_refused(&account, large, ClaimReason::Unreadable);
    // The scan has found it too, and lets it go.
    crate::support::wait::eventually("the candidate to be given up", || {
        shop.app.clock.advance(4000);
        (shop.alert_count("chain_oversized_transaction") > alerts).then_some(())
    });
    shop.rounds(1);
    assert_eq!(shop.candidates(), 0);
    let good = shop.pay_usdc(1, 3 * USDC);
    shop.finalize();
    shop.credited(good);
    assert_eq!(shop.caught_up().status, "ok");
    shop.pass(24 * 3600);
    shop.claim_reaches(&account, deep, ClaimState::Rejected, Some(ClaimReason::Unreadable));
}
