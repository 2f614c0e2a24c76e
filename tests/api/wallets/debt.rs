//! P8: a debt outlives its account as keyed hashes of the wallets that had been linked, and nothing
//! else does.

use std::time::Duration;

use diesel::prelude::*;
use sluice::accounts::deletion::closing;
use sluice::db::models::accounts;
use sluice::db::schema::{audit_log, deposit_tombstones};

use super::Desk;
use crate::support::api::checksummed;
use crate::support::app::{Account, TestApp, credit};
use crate::support::chain::wallet::Wallet;
use crate::support::leaving;
use crate::support::process::{Ran, run};

const DOLLAR: i64 = 1_000_000_000;

/// Erases an account at once, as the node does once its grace is over.
fn erase(app: &TestApp, account: &Account) {
    assert_eq!(leaving::erase(app, Duration::ZERO), 1);
    assert!(app.db(|conn| accounts::get(conn, account.id).unwrap()).is_none());
}

fn stones(app: &TestApp) -> i64 {
    app.db(|conn| deposit_tombstones::table.count().get_result(conn).unwrap())
}

#[test]
fn p8_a_wallet_of_an_account_that_went_with_a_debt_is_linked_again_once_that_is_paid() {
    let desk = Desk::open();
    let app = &desk.app;
    let [debtor, heir, other] = std::array::from_fn(|_| app.account("0"));
    let [kept, moved, strange] = std::array::from_fn(Wallet::dev);
    for wallet in [&kept, &moved] {
        assert_eq!(desk.link(&debtor, wallet).status, 201);
    }
    assert_eq!(desk.link(&other, &moved).status, 201, "a debt does not keep a wallet where it is");
    app.db(|conn| credit(conn, debtor.id, -DOLLAR - 1));
    leaving::close(app, &debtor, false);
    // From the wish on, and not only from the erasure.
    desk.link(&heir, &kept).expect_refusal(409, "wallet_in_debt");
    app.db(|conn| {
        assert!(closing::keep(conn, debtor.id).unwrap());
    });
    assert_eq!(desk.link(&debtor, &kept).status, 201, "its own may come back");
    leaving::close(app, &debtor, false);
    erase(app, &debtor);
    assert_eq!(stones(app), 2);
    desk.link(&heir, &kept).expect_refusal(409, "wallet_in_debt");
    desk.link(&heir, &moved).expect_refusal(409, "wallet_in_debt");
    assert_eq!(desk.link(&other, &moved).status, 200, "whoever has it keeps it");
    assert_eq!(desk.link(&heir, &strange).status, 201, "others have nothing to do with it");

    let config = app.folder().join("sluice.toml");
    let settle = |wallet: &Wallet, reason: &str| -> Ran {
        let address = checksummed(wallet.address());
        let config = config.to_str().unwrap();
        run(&["deposit", "settle-debt", &address, "--reason", reason, "--config", config], &[])
    };
    let nobody = settle(&strange, "paid");
    assert_eq!(nobody.code, 1);
    assert!(
        nobody.err.contains("no account with this wallet was erased with a debt"),
        "{}",
        nobody.err
    );
    let done = settle(&kept, "paid by bank");
    assert_eq!(
        (done.code, done.out.as_str()),
        (0, "The wallet can be linked again.\n"),
        "{}",
        done.err
    );
    assert_eq!(settle(&kept, "paid twice").code, 1);
    assert_eq!(desk.link(&heir, &kept).status, 201);
    desk.link(&heir, &moved).expect_refusal(409, "wallet_in_debt");
    let written: Vec<(String, String, Option<i64>, String)> = app.db(|conn| {
        use audit_log::{account_id, action, detail, subject};
        audit_log::table.select((action, subject, account_id, detail)).load(conn).unwrap()
    });
    let row = |word: &str| word.to_owned();
    assert_eq!(written, [(row("debt_settled"), row("wallet"), None, row("paid by bank"))]);
}

#[test]
fn p8_a_small_debt_leaves_no_trace_of_a_wallet() {
    let desk = Desk::open();
    let app = &desk.app;
    let (debtor, heir, wallet) = (app.account("0"), app.account("0"), Wallet::dev(0));
    assert_eq!(desk.link(&debtor, &wallet).status, 201);
    app.db(|conn| credit(conn, debtor.id, -DOLLAR));
    leaving::close(app, &debtor, false);
    erase(app, &debtor);
    assert_eq!(stones(app), 0);
    assert_eq!(desk.link(&heir, &wallet).status, 201);
}
