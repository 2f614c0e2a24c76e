//! What providers cannot read or agree on for too long is a person's: the chain goes on, and
//! nothing is lost.

use std::time::Duration;

use ethers_core::types::{H256, U256};
use serde_json::{Value, json};
use sluice::db::models::deposit_cases::{self, CaseRow};
use sluice::deposits::cases::{self, CaseDecision};
use sluice::deposits::review;
use sluice::domain::deposit::{ClaimReason, ClaimState, DepositReason, DepositState};
use sluice::domain::deposit_case::{CaseKind, CaseState};
use sluice::domain::evm::ChainId;

use crate::support::alerting::Watched;
use crate::support::chain::CHAIN_ID;
use crate::support::chain::wallet::{Draft, Wallet};
use crate::support::deposits::{Shop, USDC};
use crate::support::leaving;
use crate::support::rpc::Provider;
use crate::support::rpc::fault::Fault;
use crate::support::wait::{PATIENCE, within};

const DOLLAR: i64 = 1_000_000_000;
const TRANSACTION: &str = "eth_getTransactionByHash";
const RECEIPT: &str = "eth_getTransactionReceipt";
/// Milliseconds until a doubt is a case.
const SOON: i64 = 600_000;

fn shop() -> Shop {
    Shop::open_with(|builder| builder.set("deposits.case_after_secs", 600), "")
}

fn rows(shop: &Shop) -> Vec<CaseRow> {
    let chain_id = ChainId(CHAIN_ID.cast_signed());
    shop.db(|conn| deposit_cases::of_chain(conn, chain_id).unwrap())
}

/// Lets time pass for what is put off, and less than makes a case, until something is so.
fn waits<T>(shop: &Shop, what: &str, done: impl Fn() -> Option<T>) -> T {
    let found = within(PATIENCE, || {
        shop.app.clock.advance(2_000);
        done()
    });
    found.unwrap_or_else(|| panic!("in vain: {what}: {:#?} {:#?}", rows(shop), shop.cursor()))
}

/// The one case, once it is in a state.
fn case(shop: &Shop, state: CaseState) -> CaseRow {
    waits(shop, state.as_str(), || {
        let row = rows(shop).pop()?;
        (row.state == state).then_some(row)
    })
}

/// The one case, which was in doubt for long enough.
fn opened(shop: &Shop) -> CaseRow {
    case(shop, CaseState::Doubted);
    shop.app.clock.advance(SOON);
    case(shop, CaseState::Open)
}

fn dismiss(shop: &Shop, case: &CaseRow) {
    let now = shop.app.clock.now();
    let done = shop.db(|conn| cases::dismiss(conn, case, "no money of ours", now).unwrap());
    assert_eq!(done, CaseDecision::Done);
}

fn retry(shop: &Shop, case: &CaseRow) {
    let now = shop.app.clock.now();
    let done = shop.db(|conn| {
        let case = deposit_cases::find(conn, &case.public_id).unwrap().expect("a case");
        cases::retry(conn, &case, "the node is mended", now).unwrap()
    });
    assert_eq!(done, CaseDecision::Done);
}

fn metric(shop: &Shop) -> u64 {
    shop.app.metric("sluice_deposit_cases{chain=\"base\"}")
}

fn well(shop: &Shop) {
    waits(shop, "a chain that is well", || (shop.cursor()?.status == "ok").then_some(()));
    assert_eq!(shop.app.metric("sluice_chain_ok{chain=\"base\"}"), 1);
}

/// Hides or changes one transaction only.
fn about(provider: &Provider, method: &str, tx: H256, fault: Fault) {
    provider.when(method, move |params| (params[0] == json!(tx)).then(|| fault.clone()));
}

fn looks(shop: &Shop, tx: H256) -> usize {
    shop.mint.alpha.calls(RECEIPT).iter().filter(|params| params[0] == json!(tx)).count()
}

/// As state sync does it: one node has the receipt only, and the other nothing.
fn hide_as_state_sync(shop: &Shop, tx: H256) {
    about(&shop.mint.alpha, TRANSACTION, tx, Fault::Null);
    about(&shop.mint.beta, TRANSACTION, tx, Fault::Null);
    about(&shop.mint.beta, RECEIPT, tx, Fault::Null);
}

fn heal(shop: &Shop) {
    shop.mint.alpha.heal();
    shop.mint.beta.heal();
}

/// A raw payment of USDC by the first account, not sent yet, and its hash.
fn payment(shop: &Shop) -> (Vec<u8>, H256) {
    let (wallet, usdc) = (Wallet::dev(1), &shop.mint.usdc);
    let raw = wallet.transaction(&Draft {
        chain_id: CHAIN_ID,
        nonce: shop.mint.chain.nonce(wallet.address()),
        to: usdc.address,
        data: usdc.input("transfer", (shop.mint.treasury, U256::from(5 * USDC))),
        ..Draft::default()
    });
    let hash = crate::support::chain::wallet::transaction_hash(&raw);
    (raw, hash)
}

#[test]
fn a_receipt_without_its_transaction_is_a_case_and_the_chain_goes_on() {
    let shop = shop();
    let (account, other) = (shop.holder_of(1), shop.holder_of(2));
    let (raw, hidden) = payment(&shop);
    hide_as_state_sync(&shop, hidden);
    assert_eq!(shop.mint.chain.send_raw(&raw), hidden);
    shop.finalize();
    shop.in_trouble("a receipt of an unknown transaction");
    let found = opened(&shop);
    assert_eq!(
        (found.kind.as_str(), found.detail.contains(&format!("{hidden:?}"))),
        ("transaction", true)
    );
    well(&shop);
    assert_eq!(metric(&shop), 1);
    Watched::before_the_start(shop.app.admin_address).fires(&["SluiceDepositCases"]);
    let paid = shop.pay_usdc(2, 3 * USDC);
    shop.finalize();
    shop.credited(paid);
    assert_eq!(shop.available(&other), 3 * DOLLAR);

    // Dismissed, it is not looked at, however long.
    dismiss(&shop, &found);
    assert_eq!(shop.candidates(), 0);
    let before = looks(&shop, hidden);
    for _ in 0..5 {
        shop.app.clock.advance(SOON);
        shop.rounds(2);
    }
    assert_eq!(looks(&shop, hidden), before);
    waits(&shop, "no case", || (metric(&shop) == 0).then_some(()));
    // Again, it is; and once it can be read it is a deposit as any other.
    retry(&shop, &found);
    waits(&shop, "a look", || (looks(&shop, hidden) > before).then_some(()));
    heal(&shop);
    shop.credited(hidden);
    assert_eq!((rows(&shop), shop.available(&account)), (vec![], 5 * DOLLAR));
}

#[test]
fn a_case_that_can_be_read_after_all_goes_by_itself() {
    let shop = shop();
    let account = shop.holder_of(1);
    let (raw, hidden) = payment(&shop);
    hide_as_state_sync(&shop, hidden);
    shop.mint.chain.send_raw(&raw);
    shop.finalize();
    opened(&shop);
    heal(&shop);
    shop.app.clock.advance(SOON);
    shop.credited(hidden);
    well(&shop);
    assert_eq!((rows(&shop), shop.available(&account)), (vec![], 5 * DOLLAR));
    waits(&shop, "no case", || (metric(&shop) == 0).then_some(()));
}

#[test]
fn what_was_dismissed_and_is_included_anew_is_looked_at_again() {
    let shop = shop();
    let account = shop.holder_of(1);
    let (raw, hidden) = payment(&shop);
    hide_as_state_sync(&shop, hidden);
    shop.mint.chain.send_raw(&raw);
    shop.mine(1);
    let found = opened(&shop);
    dismiss(&shop, &found);
    // The same blocks once more change nothing: the transaction is where it was.
    let chain_id = ChainId(CHAIN_ID.cast_signed());
    let hash = sluice::domain::evm::TxHash(hidden.0);
    let (number, now) = (found.block_number.unwrap(), shop.app.clock.now());
    let again = |number| {
        let noted = [(hash, number)];
        shop.db(|conn| {
            sluice::db::models::chains::note_candidates(conn, chain_id, &noted, now).unwrap();
        });
    };
    again(number);
    assert_eq!(shop.candidates(), 0);
    heal(&shop);
    shop.mint.chain.reorg(2, &[]);
    shop.mine(3);
    shop.mint.chain.send_raw(&raw);
    shop.finalize();
    shop.credited(hidden);
    assert_eq!(shop.available(&account), 5 * DOLLAR);
}

#[test]
fn a_deposit_that_is_not_agreed_on_is_a_case_and_held_once_it_is_dismissed() {
    let shop = shop();
    let (account, other) = (shop.holder_of(1), shop.holder_of(2));
    let tx = shop.pay_usdc(1, 5 * USDC);
    shop.reaches(tx, DepositState::Confirming);
    shop.mint.beta.mutate(RECEIPT, move |params, receipt| {
        if params[0] == json!(tx) {
            receipt["status"] = json!("0x0");
            receipt["logs"] = json!([]);
        }
    });
    shop.finalize();
    shop.in_trouble("disagree about the transaction");
    let found = opened(&shop);
    assert_eq!(found.kind, CaseKind::Deposit);
    well(&shop);
    let paid = shop.pay_usdc(2, 3 * USDC);
    shop.finalize();
    shop.credited(paid);
    assert_eq!((shop.available(&account), shop.available(&other)), (0, 3 * DOLLAR));

    dismiss(&shop, &found);
    let held = shop.reaches(tx, DepositState::Held).remove(0);
    assert_eq!(held.reason, Some(DepositReason::Unreadable));
    shop.app.all_mail_is_gone();
    let told = Some("Your deposit of 5 USDC on Base is under review");
    assert!(shop.app.mails().iter().any(|mail| mail.header("Subject") == told));
    retry(&shop, &found);
    shop.reaches(tx, DepositState::Confirming);
    heal(&shop);
    shop.credited(tx);
    assert_eq!(shop.available(&account), 5 * DOLLAR);
    assert_eq!(rows(&shop), []);
    let decided = shop.db(|conn| sluice::db::models::audit::of(conn, &found.public_id).unwrap());
    let actions: Vec<_> = decided.iter().map(|one| one.action.as_str()).collect();
    assert_eq!(actions, ["case_dismissed", "case_retried"]);
    assert!(decided.iter().all(|one| one.account_id == Some(account.id)));
}

#[test]
fn a_deposit_that_a_person_has_refused_is_no_case_any_more() {
    let shop = shop();
    shop.holder_of(1);
    let tx = shop.pay_usdc(1, 5 * USDC);
    shop.reaches(tx, DepositState::Confirming);
    shop.mint.beta.mutate(RECEIPT, move |params, receipt| {
        if params[0] == json!(tx) {
            receipt["logs"] = json!([]);
        }
    });
    shop.finalize();
    opened(&shop);
    waits(&shop, "a decision", || {
        let (row, now) = (shop.deposits(tx).remove(0), shop.app.clock.now());
        let decided = shop.db(|conn| review::reject(conn, &row, "not ours", now).unwrap());
        (decided == review::ReviewDecision::Done).then_some(())
    });
    assert_eq!(rows(&shop), []);
    waits(&shop, "no case", || (metric(&shop) == 0).then_some(()));
}

#[test]
fn a_claim_that_cannot_be_read_is_a_case_and_a_few_of_one_account_at_most() {
    let shop = Shop::open_with(|builder| builder.set("deposits.claim_open_secs", 600), "");
    let account = shop.app.account("0");
    let chain = &shop.mint.chain;
    let pay = |_| chain.pay(chain.account(2), chain.account(3), 1);
    let asked: Vec<H256> = (0..12).map(pay).collect();
    // No node tells a status, so that nobody knows what became of any.
    for provider in [&shop.mint.alpha, &shop.mint.beta] {
        provider.mutate(RECEIPT, |_, receipt| {
            if !receipt.is_null() {
                receipt["status"] = Value::Null;
            }
        });
    }
    shop.finalize();
    for tx in &asked {
        shop.claim(&account, *tx);
    }
    for tx in &asked {
        let unreadable = Some(ClaimReason::Unreadable);
        shop.claim_reaches(&account, *tx, ClaimState::Rejected, unreadable);
    }
    let found = rows(&shop);
    assert_eq!(found.len(), 10);
    assert!(found.iter().all(|case| case.kind == CaseKind::Claim && case.state == CaseState::Open));
    assert_eq!(shop.cursor().unwrap().status, "ok", "what people ask about says nothing of it");
    // Asked again, it is answered, and is a case no more.
    heal(&shop);
    retry(&shop, &found[0]);
    let not_ours = Some(ClaimReason::NotOurAddress);
    shop.claim_reaches(&account, H256(found[0].tx_hash.0), ClaimState::Rejected, not_ours);
    assert_eq!(rows(&shop).len(), 9);
    // With the account they go.
    leaving::close(&shop.app, &account, true);
    assert_eq!(leaving::erase(&shop.app, Duration::ZERO), 1);
    assert_eq!(rows(&shop), []);
}
