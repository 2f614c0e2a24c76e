//! Hashes that accounts submit: each gets an answer, none says whose a deposit is, and no number of them slows anybody.

use ethers_core::types::{Address, H256, U256};
use serde_json::{Value, json};
use sluice::domain::deposit::{ClaimReason, ClaimState, DepositState};

use crate::support::chain::CHAIN_ID;
use crate::support::chain::wallet::{Draft, Wallet};
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
    assert_ne!(shop.claim_of(&account, tx).state, ClaimState::Matched.as_str());
    chain.set_automine(true);
    shop.mine(1);
    shop.claim_reaches(&account, tx, ClaimState::Matched, None);
    shop.finalize();
    shop.credited(tx);
    // Asked again, it is answered as it stands.
    assert_eq!(shop.claim(&account, tx).state, ClaimState::Matched.as_str());
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
    assert_eq!(shop.credited(tx).account_id, Some(owner.id.0));
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
        rows.iter().map(|row| (row.ordinal, row.raw_amount.clone())).collect::<Vec<_>>()
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
    assert_eq!(row.reason.as_deref(), Some("untraceable"));
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
        shop.app.clock.advance(1000);
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
