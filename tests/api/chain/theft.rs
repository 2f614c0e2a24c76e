//! Whose a payment is, in every order of events: a hash is public, so whoever watches the chain may
//! claim it first, and must never get it.

use std::collections::HashMap;
use std::time::Duration;

use ethers_core::types::{H256, U256};
use serde_json::{Value, json};
use sluice::domain::deposit::DepositState;
use sluice::domain::evm::TxHash;
use sluice::domain::ids::AccountId;

use crate::support::api::{checksummed, hex};
use crate::support::app::Account;
use crate::support::chain::CHAIN_ID;
use crate::support::chain::node;
use crate::support::chain::wallet::{Draft, Wallet, malleated, transaction_hash};
use crate::support::client::Response;
use crate::support::deposits::{Shop, USDC};
use crate::support::wait::within;

/// Nano-dollars in one dollar.
const DOLLAR: i64 = 1_000_000_000;

/// Proofs that an account may attempt within the hour, and more than it makes here.
const ORDERINGS_OF_AN_ACCOUNT: usize = 40;

/// What happens to one payment. Finality is the chain's and happens to many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    VictimProves,
    VictimPays,
    VictimClaims,
    ThiefClaims,
    ThiefTries,
}

const EVENTS: [Event; 5] = [
    Event::VictimProves,
    Event::VictimPays,
    Event::VictimClaims,
    Event::ThiefClaims,
    Event::ThiefTries,
];

/// How a thief attempts to prove somebody else's wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    /// By the thief's own signature.
    OwnSignature,
    /// By the victim's message with its signature.
    Replayed,
    /// By the other signature that mathematics takes for the victim's.
    HighS,
    /// By what the victim has signed on another site.
    ForeignDomain,
    /// By what the victim signed some time ago.
    Expired,
    /// By a nonce that the victim was given.
    ForeignNonce,
    /// By a nonce that was used.
    UsedNonce,
}

const ATTEMPTS: [Attempt; 7] = [
    Attempt::OwnSignature,
    Attempt::Replayed,
    Attempt::HighS,
    Attempt::ForeignDomain,
    Attempt::Expired,
    Attempt::ForeignNonce,
    Attempt::UsedNonce,
];

/// One payment, the accounts that want it, and what is to happen in which order.
struct Case<'a> {
    shop: &'a Shop,
    victim: Account,
    thief: Account,
    wallet: Wallet,
    /// Signed, so that its hash may be claimed before it is sent.
    raw: Vec<u8>,
    tx: H256,
    attempt: Attempt,
    order: Vec<Event>,
}

impl Case<'_> {
    fn happen(&self, event: Event) {
        match event {
            Event::VictimProves => {
                let app = &self.shop.app;
                let message = app.challenge(&self.victim, self.wallet.address());
                let signature = self.wallet.sign_message(&message);
                let proven = app.prove(&self.victim, &message, &signature);
                assert_eq!(proven.status, 201, "{}", proven.text());
            }
            Event::VictimPays => {
                assert_eq!(self.shop.mint.chain.send_raw(&self.raw), self.tx);
            }
            Event::VictimClaims => self.claim(&self.victim),
            Event::ThiefClaims => self.claim(&self.thief),
            Event::ThiefTries => self.try_to_steal(),
        }
    }

    fn claim(&self, account: &Account) {
        let claimed = self.shop.app.claim(account, self.tx);
        assert_eq!(claimed.status, 202, "{}", claimed.text());
    }

    fn try_to_steal(&self) {
        let app = &self.shop.app;
        let (victims, thiefs) = (&self.victim.public_id, &self.thief.public_id);
        let challenge = |account: &Account| app.challenge(account, self.wallet.address());
        let send = |message: &str, signature: &[u8]| app.prove(&self.thief, message, signature);
        let signed = |message: &str| send(message, &self.wallet.sign_message(message));
        match self.attempt {
            Attempt::OwnSignature => {
                let message = challenge(&self.thief);
                let own = Wallet::counted(1_000_000).sign_message(&message);
                send(&message, &own).expect_refusal(403, "signature_wrong");
            }
            Attempt::Replayed => {
                signed(&challenge(&self.victim)).expect_refusal(403, "other_account");
            }
            Attempt::HighS => {
                // Even over words that give the wallet to the thief.
                let message = challenge(&self.thief);
                let twin = malleated(&self.wallet.sign_message(&message));
                send(&message, &twin).expect_refusal(403, "signature_wrong");
            }
            Attempt::ForeignDomain => {
                let message = challenge(&self.thief);
                let (_, rest) = message.split_once(" wants you").unwrap();
                signed(&format!("evil.test wants you{rest}")).expect_refusal(422, "foreign_domain");
            }
            Attempt::Expired => {
                let message = challenge(&self.thief);
                let (rest, _) = message.split_once("\nExpiration Time: ").unwrap();
                signed(&format!("{rest}\nExpiration Time: 2026-11-22T12:00:00.000Z"))
                    .expect_refusal(422, "message_expired");
            }
            Attempt::ForeignNonce => {
                signed(&challenge(&self.victim).replace(victims.as_str(), thiefs))
                    .expect_refusal(403, "other_account");
            }
            Attempt::UsedNonce => {
                let message = challenge(&self.thief);
                let own = Wallet::counted(1_000_000).sign_message(&message);
                send(&message, &own).expect_refusal(403, "signature_wrong");
                signed(&message).expect_refusal(409, "nonce_used");
            }
        }
    }
}

/// All orders of the events.
fn orders(rest: &[Event]) -> Vec<Vec<Event>> {
    if rest.is_empty() {
        return vec![Vec::new()];
    }
    let begun_with = |first: &Event| {
        let others: Vec<Event> = rest.iter().copied().filter(|event| event != first).collect();
        orders(&others).into_iter().map(|tail| [vec![*first], tail].concat()).collect::<Vec<_>>()
    };
    rest.iter().flat_map(begun_with).collect()
}

fn open_shop() -> Shop {
    Shop::open_with(
        |builder| {
            builder
                .set("deposits.open_claims_max_per_account", 10_000)
                .set("deposits.claims_per_block", 1000)
                .set("deposits.wallets_max_per_account", 100)
        },
        "",
    )
}

/// Every order of the five events, with finality after so many of them.
fn every_order_with_finality_after(events: usize) {
    let shop = open_shop();
    let (chain, usdc) = (&shop.mint.chain, &shop.mint.usdc);
    let pay_usdc = usdc.input("transfer", (shop.mint.treasury, U256::from(20 * USDC)));
    let all = orders(&EVENTS);
    assert_eq!(all.len(), 120);
    let mut accounts = Vec::new();
    let mut cases = Vec::new();
    chain.set_automine(false);
    for (position, order) in all.into_iter().enumerate() {
        if position % ORDERINGS_OF_AN_ACCOUNT == 0 {
            accounts.push((shop.app.account("0"), shop.app.account("0")));
        }
        let (victim, thief) = accounts.last().unwrap().clone();
        let wallet = Wallet::counted(u32::try_from(position).unwrap());
        chain.set_balance(wallet.address(), U256::exp10(18));
        let draft = Draft { chain_id: CHAIN_ID, ..Draft::default() };
        let draft = if position % 2 == 0 {
            let holding = (wallet.address(), U256::from(20 * USDC));
            chain.send(chain.account(0), usdc, "mint", holding);
            Draft { to: usdc.address, data: pay_usdc.clone(), ..draft }
        } else {
            // At 2,000 dollars.
            Draft { to: shop.mint.treasury, value: U256::exp10(16), ..draft }
        };
        let raw = wallet.transaction(&draft);
        let (tx, attempt) = (transaction_hash(&raw), ATTEMPTS[position % ATTEMPTS.len()]);
        cases.push(Case { shop: &shop, victim, thief, wallet, raw, tx, attempt, order });
        if position % 20 == 19 {
            shop.mine(1);
        }
    }
    for step in 0..=EVENTS.len() {
        if step == events {
            shop.finalize();
        }
        for case in &cases {
            if let Some(event) = case.order.get(step) {
                case.happen(*event);
            }
        }
        // Each in a block: what does not fit into the first waits for the next.
        shop.mine(2);
        shop.caught_up();
    }
    shop.finalize();
    let found = all_credited(&shop, cases.len());
    for case in &cases {
        let owner = found.get(&TxHash(case.tx.0));
        assert_eq!(owner, Some(&case.victim.id), "{:?} {:?}", case.attempt, case.order);
    }
    for (victim, thief) in &accounts {
        let count = cases.iter().filter(|case| case.victim.id == victim.id).count();
        let entries = shop.app.entries(victim, "deposit");
        assert_eq!(entries, vec![20 * DOLLAR; count]);
        assert_eq!((shop.available(thief), shop.app.entries(thief, "deposit").len()), (0, 0));
        assert!(shop.app.wallets(thief).is_empty());
        let seen = shop.app.api_get(thief, "/api/v1/deposits?limit=200").json();
        assert_eq!((&seen["data"], seen["claims"].as_array().unwrap().len()), (&json!([]), count));
        for claim in seen["claims"].as_array().unwrap() {
            let path = format!("/api/v1/deposits/{}", claim["id"].as_str().unwrap());
            let claim = shop.app.api_get(thief, &path).json();
            assert_eq!(claim["deposits"], json!([]), "{claim}");
        }
    }
}

/// Waits until so many deposits are there and credited; whose each of their transactions is.
fn all_credited(shop: &Shop, count: usize) -> HashMap<TxHash, AccountId> {
    let mut last = Vec::new();
    let found = within(Duration::from_mins(3), || {
        shop.app.clock.advance(50);
        last = shop.all_deposits();
        let is_credited = |row: &&sluice::db::models::deposits::DepositRow| {
            row.state == DepositState::Credited && row.credit_number == 1
        };
        (last.iter().filter(is_credited).count() == count).then_some(())
    });
    assert!(found.is_some() && last.len() == count, "{:?} {last:#?}", shop.cursor());
    last.into_iter().map(|row| (row.tx_hash, row.account_id.unwrap())).collect()
}

#[test]
fn a_claim_steals_nothing_in_any_order_when_all_was_final_before_the_payment() {
    every_order_with_finality_after(0);
}

#[test]
fn a_claim_steals_nothing_in_any_order_when_the_first_event_is_final() {
    every_order_with_finality_after(1);
}

#[test]
fn a_claim_steals_nothing_in_any_order_when_two_events_are_final() {
    every_order_with_finality_after(2);
}

#[test]
fn a_claim_steals_nothing_in_any_order_when_three_events_are_final() {
    every_order_with_finality_after(3);
}

#[test]
fn a_claim_steals_nothing_in_any_order_when_four_events_are_final() {
    every_order_with_finality_after(4);
}

#[test]
fn a_claim_steals_nothing_in_any_order_when_finality_comes_last() {
    every_order_with_finality_after(5);
}

/// Links a wallet over the API.
fn prove(shop: &Shop, account: &Account, wallet: &Wallet) -> Value {
    let message = shop.app.challenge(account, wallet.address());
    let proven = shop.app.prove(account, &message, &wallet.sign_message(&message));
    assert_eq!(proven.status, 201, "{}", proven.text());
    proven.json()
}

fn unlink(shop: &Shop, account: &Account, wallet: &Value) -> Response {
    let path = format!("/api/v1/wallets/{}", wallet["id"].as_str().unwrap());
    shop.app.as_person(account, "DELETE", &path, None)
}

/// Pays dollars in a block whose time is after everything that was done.
fn pay_after_it(shop: &Shop, dollars: u64) -> H256 {
    let newest = node::number(&shop.mint.chain.block("latest")["timestamp"]);
    let now = u64::try_from(shop.app.clock.now().as_millis() / 1000).unwrap();
    shop.mint.chain.set_next_timestamp(newest.max(now) + 5);
    let tx = shop.pay_usdc(1, dollars * USDC);
    shop.keep_time();
    tx
}

#[test]
fn what_is_paid_between_unlinking_and_proving_is_the_first_provers() {
    let shop = Shop::open();
    let (first, second, wallet) = (shop.app.account("0"), shop.app.account("0"), Wallet::dev(1));
    let linked = prove(&shop, &first, &wallet);
    let before = pay_after_it(&shop, 10);
    shop.reaches(before, DepositState::Confirming);
    assert_eq!(unlink(&shop, &first, &linked).status, 204);
    let between = pay_after_it(&shop, 20);
    shop.finalize();
    shop.credited(before);
    shop.reaches(between, DepositState::Unattributed);

    // The second sees it, and what is missing, and cannot have it without the wallet's key.
    let claim = shop.app.claim(&second, between).json();
    let step = &claim["deposits"][0]["next_step"];
    let address = checksummed(wallet.address());
    assert_eq!(
        step,
        &json!({ "action": "prove_wallet", "chain": "base", "address": address }),
        "{claim}"
    );
    let message = shop.app.challenge(&second, wallet.address());
    let forged = Wallet::dev(2).sign_message(&message);
    shop.app.prove(&second, &message, &forged).expect_refusal(403, "signature_wrong");
    shop.caught_up();
    shop.reaches(between, DepositState::Unattributed);

    // With the key it is the wallet's owner: what waits is its own, what was credited stays.
    prove(&shop, &second, &wallet);
    let after = pay_after_it(&shop, 40);
    shop.finalize();
    for (tx, owner) in [(before, &first), (between, &second), (after, &second)] {
        assert_eq!(shop.credited(tx).account_id, Some(owner.id));
    }
    assert_eq!((shop.available(&first), shop.available(&second)), (10 * DOLLAR, 60 * DOLLAR));
}

#[test]
fn a_wallet_that_moves_takes_only_later_payments_along_and_both_are_told() {
    let shop = Shop::open();
    let (first, second, wallet) = (shop.app.account("0"), shop.app.account("0"), Wallet::dev(1));
    let told = |account: &Account| {
        let wallets = shop.app.wallets(account);
        wallets.iter().map(|wallet| wallet["end_reason"].clone()).collect::<Vec<_>>()
    };
    let moved = json!("moved");
    // Proven after the payment, and moved on before that is final.
    let early = pay_after_it(&shop, 1);
    shop.reaches(early, DepositState::Unattributed);
    prove(&shop, &first, &wallet);
    shop.reaches(early, DepositState::Confirming);
    let mine = pay_after_it(&shop, 2);
    shop.app.clock.advance(1000);
    prove(&shop, &second, &wallet);
    assert_eq!((told(&first), told(&second)), (vec![moved.clone()], vec![Value::Null]));
    let theirs = pay_after_it(&shop, 4);
    shop.app.clock.advance(1000);
    prove(&shop, &first, &wallet);
    assert_eq!(told(&first), [Value::Null, moved.clone()]);
    assert_eq!(told(&second), [moved]);
    let again = pay_after_it(&shop, 8);
    shop.finalize();
    for (tx, owner) in [(early, &first), (mine, &first), (theirs, &second), (again, &first)] {
        assert_eq!(shop.credited(tx).account_id, Some(owner.id));
    }
    assert_eq!((shop.available(&first), shop.available(&second)), (11 * DOLLAR, 4 * DOLLAR));
    // Each sees its own, and the other's are not there.
    let seen = |account: &Account| shop.app.api_get(account, "/api/v1/deposits").json();
    assert_eq!(seen(&first)["data"].as_array().unwrap().len(), 3);
    assert_eq!(seen(&second)["data"].as_array().unwrap().len(), 1);
    assert_eq!(seen(&second)["data"][0]["tx_hash"], hex(theirs.as_bytes()));
}
