//! What owners are told of their deposits by mail: each occasion once, and of dust no flood.

use ethers_core::types::U256;
use sluice::deposits::{refund, review};
use sluice::domain::deposit::DepositState;
use sluice::domain::evm::TxHash;
use sluice::domain::tombstone::TombstoneKey;

use crate::support::app::{Account, TOMBSTONE_SECRET};
use crate::support::deposits::{Shop, USDC};
use crate::support::mail::Eml;

/// All mail that has gone to an account, once none waits any more.
fn mails(shop: &Shop, account: &Account, count: usize) -> Vec<Eml> {
    let address =
        shop.db(|conn| sluice::db::models::accounts::get(conn, account.id).unwrap().unwrap().email);
    shop.app.all_mail_is_gone();
    let mails = shop.app.mails_to(&address, count);
    assert_eq!(mails.len(), count, "{:?}", subjects(&mails));
    mails
}

fn subjects(mails: &[Eml]) -> Vec<String> {
    mails.iter().map(|mail| mail.header("Subject").unwrap_or_default().to_owned()).collect()
}

/// The one whose subject begins so: mails that go out at once are in no order.
fn with_subject(mails: Vec<Eml>, beginning: &str) -> Eml {
    let all = subjects(&mails);
    let begins =
        |mail: &Eml| mail.header("Subject").is_some_and(|subject| subject.starts_with(beginning));
    mails.into_iter().find(begins).unwrap_or_else(|| panic!("no {beginning:?} among {all:?}"))
}

#[test]
fn a_large_deposit_is_told_when_it_is_seen_credited_and_undone_and_seen_once_only() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let tx = shop.pay_usdc(1, 150 * USDC);
    shop.reaches(tx, DepositState::Confirming);
    let seen = mails(&shop, &account, 1).remove(0);
    let subject = "Your deposit of 150 USDC on Base has arrived and is confirming";
    assert_eq!(seen.header("Subject"), Some(subject));
    assert!(seen.text().contains("worth $150.00"), "{}", seen.body);
    assert!(seen.text().contains("/deposits/dep_"), "{}", seen.body);
    assert!(seen.header("List-Unsubscribe").is_some(), "it can be turned off");
    shop.finalize();
    shop.credited(tx);
    with_subject(mails(&shop, &account, 2), "$150.00 was credited to your ");
    // A chain that undoes it, and the same transfer once more.
    shop.mint.chain.reorg(10, &[]);
    shop.mine(1);
    shop.reaches(tx, DepositState::Reversed);
    let undone = with_subject(mails(&shop, &account, 3), "$150.00 was removed");
    assert!(undone.text().contains("credit it again automatically"), "{}", undone.body);
    let again = shop.pay_usdc(1, 150 * USDC);
    shop.finalize();
    let row = shop.credited(again);
    let all = subjects(&mails(&shop, &account, if again == tx { 4 } else { 5 }));
    let credits = all.iter().filter(|subject| subject.starts_with("$150.00 was credited"));
    assert_eq!(credits.count(), 2, "{all:?}");
    assert_eq!(row.credit_number, if again == tx { 2 } else { 1 });
}

#[test]
fn a_flood_of_small_deposits_is_one_mail_an_hour() {
    let shop = Shop::open();
    let account = shop.holder_of(1);
    let other = shop.holder_of(2);
    for _ in 0..12 {
        shop.pay_usdc(1, 2 * USDC);
    }
    let theirs = shop.pay_usdc(2, 3 * USDC);
    let last = shop.pay_usdc(1, 2 * USDC);
    shop.finalize();
    shop.credited(theirs);
    shop.credited(last);
    let first = mails(&shop, &account, 1).remove(0);
    assert_eq!(first.header("Subject").unwrap().split(" to ").next(), Some("$2.00 was credited"));
    assert!(first.text().contains("get no separate email"), "{}", first.body);
    // Somebody else's flood is no reason to be told less, and neither is one's own for what is
    // large.
    mails(&shop, &other, 1);
    let large = shop.pay_usdc(1, 100 * USDC);
    shop.finalize();
    shop.credited(large);
    let all = subjects(&mails(&shop, &account, 3));
    assert!(all.iter().any(|subject| subject.starts_with("$100.00 was credited")), "{all:?}");
    shop.pass(3_601);
    let later = shop.pay_usdc(1, 4 * USDC);
    shop.finalize();
    shop.credited(later);
    with_subject(mails(&shop, &account, 4), "$4.00 was credited");
}

#[test]
fn what_is_held_approved_and_paid_back_is_told() {
    let change =
        |builder: crate::support::app::Builder| builder.set("deposits.review_above", "\"1000\"");
    let shop = Shop::open_with(change, "");
    let account = shop.holder_of(1);
    // One coin is 2,000 dollars. What it is worth is not known before, so nothing is told before.
    let tx = shop.pay_coin(1, U256::exp10(18));
    shop.finalize();
    let row = shop.reaches(tx, DepositState::Held).remove(0);
    let held = mails(&shop, &account, 1).remove(0);
    assert_eq!(held.header("Subject"), Some("Your deposit of 1 ETH on Base is under review"));
    assert!(held.text().contains("of this size"), "{}", held.body);
    let key = TombstoneKey::of(&TOMBSTONE_SECRET.into()).unwrap();
    // Mails of the same moment have no order.
    shop.app.clock.advance(1);
    let now = shop.app.clock.now();
    let decided = shop.db(|conn| review::approve(conn, &key, &row, None, "a test", now).unwrap());
    assert_eq!(decided, review::ReviewDecision::Done);
    with_subject(mails(&shop, &account, 2), "$2000.00 was credited");
    let row = shop.deposits(tx).remove(0);
    shop.db(|conn| {
        refund::hold(conn, &crate::support::app::tombstone_key(), &row, None, "asked for", now)
            .unwrap()
    });
    mails(&shop, &account, 2);
    let row = shop.deposits(tx).remove(0);
    let paid = TxHash([0xfe; 32]);
    shop.app.clock.advance(1);
    let now = shop.app.clock.now();
    for _ in 0..2 {
        shop.db(|conn| refund::post(conn, &row, paid, now).unwrap());
    }
    let subject = "Your deposit of 1 ETH on Base was refunded";
    let refunded = with_subject(mails(&shop, &account, 3), subject);
    assert!(refunded.text().contains("We refunded $2000.00"), "{}", refunded.body);
    assert!(refunded.text().contains(&paid.to_string()), "{}", refunded.body);
}

#[test]
fn who_wants_no_notices_is_told_of_no_deposit() {
    use diesel::prelude::*;
    use sluice::db::schema::accounts;
    let shop = Shop::open();
    let account = shop.holder_of(1);
    shop.db(|conn| {
        let row = accounts::table.find(account.id.0);
        diesel::update(row).set(accounts::wants_notices.eq(false)).execute(conn).unwrap();
    });
    let tx = shop.pay_usdc(1, 500 * USDC);
    shop.finalize();
    shop.credited(tx);
    mails(&shop, &account, 0);
    // Nobody's deposit has nobody to be told.
    let nobodys = shop.pay_usdc(3, 500 * USDC);
    shop.reaches(nobodys, DepositState::Unattributed);
    shop.app.all_mail_is_gone();
    assert!(shop.app.mails().is_empty());
}
