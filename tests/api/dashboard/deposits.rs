//! Where to pay, what was paid, and what it waits for.

use diesel::RunQueryDsl;
use serde_json::json;
use sluice::db::models::accounts;
use sluice::db::models::deposit_refunds::{self, RefundRow};
use sluice::db::models::deposits::{self, DepositRow};
use sluice::db::schema::{deposit_refunds as deposit_refunds_table, deposits as deposits_table};
use sluice::domain::account_status::AccountStatus;
use sluice::domain::clock::UnixMillis;
use sluice::domain::deposit::{DepositState, RefundState};
use sluice::domain::evm::{ChainId, TxHash};
use sluice::domain::money::NanoUsd;

use super::{TREASURY, USDC, with_chain};
use crate::support::client::Request;
use crate::support::deposit_rows::row;

/// Of a key that nobody holds.
const XPUB: &str = "xpub6Ce9NcJvTk36xtLSrJLZqE7wtgA5deCeYs7rSQtreh4cj6ByPtrg9sD7\
    V2FNFLPnf8heNP3FGkeV9qwfzvZNSd54JoNXVsXFYSYwHsnJxqP";

#[test]
fn the_page_says_where_to_pay_in_letters_and_in_a_picture() {
    let app = with_chain(|builder| builder);
    let browser = app.browser(&app.account("0"));
    let page = browser.page("/deposits");
    assert!(page.contains(&format!("<code id=\"payee\">{TREASURY}</code>")), "{page}");
    assert!(page.contains("class=\"qr\"") && page.contains("role=\"img\""), "{page}");
    // The first picture has the plain address: a reader of such would take a payment link's token
    // for the recipient.
    let pictures: Vec<&str> = page.split("role=\"img\" aria-label=\"").skip(1).collect();
    assert!(pictures[0].starts_with(&format!("QR code of the address {TREASURY}.")), "{page}");
    assert!(pictures[0].contains("Send 25 USDC on Base."), "{page}");
    let link =
        pictures.iter().position(|one| one.starts_with("QR code with a payment link: 25 USDC"));
    let behind = page.find("For wallets that support payment links").unwrap();
    assert_eq!(link, Some(1), "{page}");
    let uri = format!("ethereum:{USDC}@8453/transfer?address={TREASURY}&#38;uint256=25000000");
    assert!(page.find(&format!("href=\"{uri}\"")).is_some_and(|at| at > behind), "{page}");
    // For the script: where, in what, and that the wallet has to be linked first.
    for said in [
        "data-chain=\"base\"".to_owned(),
        "data-chain-id=\"8453\"".to_owned(),
        format!("data-payee=\"{TREASURY}\""),
        format!("data-token=\"{USDC}\""),
        "data-decimals=\"6\"".to_owned(),
        "data-needs-proof=\"true\"".to_owned(),
    ] {
        assert!(page.contains(&said), "{said}: {page}");
    }
    assert!(page.contains("data-amount=\"25\"") && page.contains("Pay 25 USDC with"), "{page}");
    assert!(page.contains("<a href=\"/wallets\">Link your wallet</a>"), "{page}");
    assert!(page.contains("Exchanges cannot be used here."), "{page}");
    assert!(!page.contains("From an exchange</summary>"), "{page}");
}

#[test]
fn an_address_of_ones_own_comes_first_and_needs_no_proof() {
    let app = with_chain(|builder| builder.set("deposits.account_xpub", format!("\"{XPUB}\"")));
    let (one, two) = (app.account("0"), app.account("0"));
    // Nobody gets one by looking at a page or asking where to pay.
    let before = app.browser(&one).page("/deposits");
    let options = app.api_get(&one, "/api/v1/deposits/options").json();
    assert_eq!(options["data"][0]["addresses"].as_array().unwrap().len(), 1, "{options}");
    assert_eq!(options["data"][0]["may_issue_address"], true);
    let issued: i64 = app.db(|conn| {
        use diesel::prelude::*;
        sluice::db::schema::deposit_addresses::table.count().get_result(conn).unwrap()
    });
    assert_eq!(issued, 0);
    assert!(before.contains("action=\"/deposits/address\""), "{before}");
    assert!(before.contains("From an exchange, use your own address."), "{before}");
    assert_eq!(app.browser(&one).send("/deposits/address", &[]).status, 303);
    assert_eq!(app.api_post(&two, "/api/v1/deposits/address", &json!({})).status, 201);
    assert_eq!(app.api_post(&two, "/api/v1/deposits/address", &json!({})).status, 200);
    let after = app.browser(&one).page("/deposits");
    assert!(!after.contains("action=\"/deposits/address\""), "{after}");
    let own = |account| {
        let options = app.api_get(account, "/api/v1/deposits/options").json();
        let address = options["data"][0]["addresses"][0]["address"].as_str().unwrap().to_owned();
        assert_ne!(address, TREASURY);
        address
    };
    let page = app.browser(&one).page("/deposits");
    assert!(page.contains(&format!("data-payee=\"{}\"", own(&one))), "{page}");
    assert!(page.contains("data-needs-proof=\"false\""), "{page}");
    // The guide for exchanges stands there with its values.
    assert!(!page.contains("Exchanges cannot be used here"), "{page}");
    assert!(page.contains("From an exchange</summary>"), "{page}");
    let address = format!("Paste the address <span class=\"whole\">{}</span>", own(&one));
    assert!(page.contains(&address) && page.contains("withdraw <strong>USDC</strong>"), "{page}");
    assert!(!page.contains(&own(&two)) && page.contains(TREASURY), "{page}");
}

#[test]
fn an_amount_in_dollars_is_said_in_coins() {
    let app = with_chain(|builder| builder);
    let browser = app.browser(&app.account("0"));
    for (written, coins, raw) in [("25", "25", "25000000"), ("12,5", "12.5", "12500000")] {
        let page = browser.page(&format!("/deposits?amount={written}&with=base.USDC"));
        assert!(page.contains(&format!("Send {coins} USDC on Base")), "{page}");
        assert!(page.contains(&format!("data-amount=\"{coins}\"")), "{page}");
        assert!(page.contains(&format!("uint256={raw}\"")), "{page}");
        assert!(page.contains(&format!("value=\"{written}\"")), "{page}");
    }
    // Less than the minimum is not asked for, and what is asked for instead is said.
    let small = browser.page("/deposits?amount=0.10");
    assert!(small.contains("uint256=1000000\""), "{small}");
    assert!(small.contains("The minimum is $1.00 in USDC here."), "{small}");
    for written in ["ten", "-5", "0", "99999999"] {
        let page = browser.page(&format!("/deposits?amount={written}"));
        assert!(page.contains("id=\"usd-refusal\" role=\"alert\">Enter an amount"), "{page}");
        assert!(page.contains("aria-describedby=\"usd-refusal\""), "{page}");
        assert!(page.contains(&format!("value=\"{written}\"")), "{written}: {page}");
    }
    // The other choices keep this one, and words that name nothing choose nothing.
    let page = browser.page("/deposits?amount=50&with=nowhere.COIN");
    assert!(page.contains("/deposits?amount=100&#38;with=base.USDC\""), "{page}");
    assert!(page.contains("/deposits?amount=50&#38;with=base.USDC#send\" aria-current"), "{page}");
    assert!(!page.contains("nowhere") && !page.contains("placeholder"), "{page}");
}

#[test]
fn a_chain_in_trouble_says_so_before_anything_is_paid() {
    let app = with_chain(|builder| builder);
    let browser = app.browser(&app.account("0"));
    // Nobody mines it, so nothing is known of it.
    let page = browser.page("/deposits");
    assert!(page.contains("<span class=\"badge warn\">Delayed</span>"), "{page}");
    assert!(page.contains("<p class=\"notice warn\">Deposits on this chain are delayed"), "{page}");
    assert!(!page.contains("Operational"), "{page}");
    // Its address is there all the same, without a click.
    let (card, address) =
        (page.find("Delayed").unwrap(), page.find(&format!(">{TREASURY}</code>")));
    let folded = page.find("<details>").unwrap();
    assert!(address.is_some_and(|at| card < at && at < folded), "{page}");
    let status = browser.page("/status");
    assert!(
        status.contains("No block has been seen yet.") && !status.contains('\u{2212}'),
        "{status}"
    );
    let told = app.api_get(&app.account("0"), "/api/v1/deposits/options").json();
    assert_eq!(told["data"][0]["chain_status"]["head"], serde_json::Value::Null);
}

#[test]
fn a_suspended_owner_is_told_so_before_paying() {
    let app = with_chain(|builder| builder);
    let account = app.account("0");
    let browser = app.browser(&account);
    assert!(!browser.page("/deposits").contains("This account is suspended"));
    let options = || browser.look("/api/v1/deposits/options").json();
    assert_eq!(options()["is_suspended"], false);
    app.db(|conn| accounts::set_status(conn, account.id, AccountStatus::Suspended).unwrap());
    assert_eq!(options()["is_suspended"], true);
    for path in ["/deposits", "/dashboard", "/wallets", "/account"] {
        let page = browser.page(path);
        assert_eq!(page.matches("This account is suspended").count(), 1, "{path}: {page}");
        assert!(page.contains("Do not send deposits until it is active again"), "{path}: {page}");
    }
    let page = browser.page("/deposits");
    assert!(!page.contains("data-wallet=\"pay\"") && !page.contains(TREASURY), "{page}");
    assert!(!page.contains("class=\"qr\"") && page.contains("Your deposits"), "{page}");
    assert!(!browser.page("/dashboard").contains("<a href=\"/deposits\">Add credit</a>"));
    app.db(|conn| accounts::set_status(conn, account.id, AccountStatus::Active).unwrap());
    assert!(browser.page("/deposits").contains(TREASURY));
}

#[test]
fn each_state_is_told_in_the_interfaces_words() {
    let app = with_chain(|builder| builder);
    let account = app.account("0");
    let browser = app.browser(&account);
    let states = DepositState::ALL.iter().filter(|state| **state != DepositState::Unattributed);
    let waiting = [DepositState::Rejected, DepositState::Refunded, DepositState::Credited];
    for (number, state) in (1_u8..).zip(states) {
        app.db(|conn| {
            deposits::insert(conn, &row(&account, number, state.as_str(), None)).unwrap();
        });
        let path = format!("/deposits/dep_{number}");
        let told = app.api_get(&account, &format!("/api/v1{path}")).json();
        assert_eq!(told["state"], state.as_str());
        for page in [browser.page(&path), browser.page("/deposits")] {
            assert!(page.contains(told["message"].as_str().unwrap()), "{state:?}: {page}");
        }
        let page = browser.page(&path);
        let follows = format!("data-progress=\"/api/v1{path}/events\"");
        assert_eq!(page.contains(&follows), !waiting.contains(state), "{state:?}");
        assert_eq!(
            page.contains("<noscript><meta http-equiv=\"refresh\""),
            !waiting.contains(state)
        );
        assert!(page.contains(told["tx_hash"].as_str().unwrap()), "{page}");
        assert!(page.contains("$5.50"), "{page}");
    }
    assert_eq!(browser.look("/deposits?before=dep_none").status, 404);
    // The books know nothing of the one that is credited.
    app.db(|conn| diesel::delete(deposits_table::table).execute(conn).unwrap());
}

#[test]
fn a_deposit_says_what_comes_next_and_where_the_explorer_shows_it() {
    let app = with_chain(|builder| builder);
    let account = app.account("2.50");
    let browser = app.browser(&account);
    let usdc = |number: u8, state: &str, raw: u128, nanos: i64| DepositRow {
        chain_id: ChainId(8453),
        token: USDC.parse().ok(),
        raw_amount: raw.into(),
        value_nanousd: Some(NanoUsd::from_nanos(nanos)),
        ..row(&account, number, state, None)
    };
    let rows = [
        usdc(1, "below_minimum", 250_000, 250_000_000),
        usdc(2, "below_minimum", 150_000, 150_000_000),
        usdc(3, "credited", 12_500_000, 12_500_000_000),
    ];
    for row in &rows {
        app.db(|conn| deposits::insert(conn, row).unwrap());
    }
    let small = browser.page("/deposits/dep_2");
    assert!(small.contains("Send $0.60 more</strong> in USDC"), "{small}");
    assert!(small.contains("<title>Below minimum: 0.15 USDC on Base"), "{small}");
    assert!(!small.contains("book-receipt") && small.contains("Waiting for more"), "{small}");
    let page = browser.page("/deposits/dep_3");
    for words in ["<title>Credited: 12.5 USDC on Base", "href=\"/docs\">Send a request"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    // Only the owner's click leads there, and tells the explorer nothing.
    let link =
        format!("href=\"https://scan.example/tx/{}\" rel=\"noreferrer noopener\"", rows[2].tx_hash);
    assert_eq!(page.matches(&link).count(), 2, "{page}");
    let payer = rows[2].payer.checksummed();
    assert!(page.contains(&format!("href=\"https://scan.example/address/{payer}\"")), "{page}");
    let receipt = page.split("book-receipt").nth(1).unwrap();
    let receipt = receipt.split("</section>").next().unwrap();
    for words in ["1 USDC = $1.00", "12.5 USDC", "$12.50", "dep_3", "@"] {
        assert!(receipt.contains(words), "{words}: {receipt}");
    }
    app.db(|conn| diesel::delete(deposits_table::table).execute(conn).unwrap());
}

#[test]
fn a_hash_with_one_deposit_leads_to_it() {
    let app = with_chain(|builder| builder);
    let account = app.account("0");
    let browser = app.browser(&account);
    let hash = format!("0x{}", "07".repeat(32));
    let claim = browser.send("/deposits", &[("chain", "base"), ("tx_hash", &hash)]);
    let path = claim.sends_to().to_owned();
    assert!(browser.page(&path).contains("<title>Looking up: Transaction 0x070707…0707"));
    let found = DepositRow { chain_id: ChainId(8453), ..row(&account, 7, "held", None) };
    app.db(|conn| deposits::insert(conn, &found).unwrap());
    let led = browser.look(&path);
    assert_eq!((led.status, led.sends_to()), (303, "/deposits/dep_7"), "{}", led.text());
}

#[test]
fn a_refunded_deposit_says_so_everywhere() {
    let app = with_chain(|builder| builder);
    let account = app.account("0");
    let browser = app.browser(&account);
    let refund = |number: u8, state: &str, nanos: i64| {
        let deposit_id =
            app.db(|conn| deposits::find(conn, &format!("dep_{number}")).unwrap().unwrap().id);
        let refund = RefundRow {
            id: 0,
            public_id: format!("ref_{number}"),
            deposit_id,
            state: RefundState::parse(state).unwrap(),
            amount_nanousd: NanoUsd::from_nanos(nanos),
            tx_hash: (state == "posted").then_some(TxHash([0xfe; 32])),
            created_at: UnixMillis::from_millis(0),
            updated_at: UnixMillis::from_millis(1_795_348_800_000),
        };
        app.db(|conn| deposit_refunds::insert(conn, &refund).unwrap());
    };
    for (number, state) in [(1, "credited"), (2, "credited"), (3, "credited"), (4, "refunded")] {
        app.db(|conn| deposits::insert(conn, &row(&account, number, state, None)).unwrap());
    }
    refund(1, "posted", 5_500_000_000);
    refund(2, "posted", 1_000_000_000);
    refund(3, "held", 5_500_000_000);
    refund(4, "posted", 0);
    let by = format!(" on 2026-11-22 by the transaction 0x{}", "fe".repeat(32));
    let expected = [
        (1, "refunded", format!("Refunded $5.50{by}.")),
        (2, "credited", format!("Credited to your balance. Refunded $1.00 of it{by}.")),
        (3, "credited", "$5.50 of it was removed again for a refund to you.".to_owned()),
        (4, "refunded", format!("Refunded{by}, instead of crediting $5.50.")),
    ];
    let list = browser.page("/deposits");
    let told = app.api_get(&account, "/api/v1/deposits").json();
    for (number, state, words) in &expected {
        let path = format!("/deposits/dep_{number}");
        let one = app.api_get(&account, &format!("/api/v1{path}")).json();
        let data = told["data"].as_array().unwrap();
        let listed = data.iter().find(|other| other["id"] == one["id"]).unwrap();
        assert_eq!(*listed, one);
        assert_eq!(one["state"], *state, "{one}");
        assert!(one["message"].as_str().unwrap().contains(words), "{one}");
        assert_eq!(one["refund"]["id"], format!("ref_{number}"));
        let page = browser.page(&path);
        for page in [&page, &list] {
            assert!(page.contains(words), "{words}: {page}");
        }
        assert!(page.contains(&format!("<span class=\"state state-{state}\"")), "{page}");
        // What is on its way back is followed until it is there.
        assert_eq!(page.contains("data-progress"), *number == 3, "{page}");
        assert_eq!(page.contains("Refund transaction"), *number != 3, "{page}");
    }
    app.db(|conn| diesel::delete(deposit_refunds_table::table).execute(conn).unwrap());
    app.db(|conn| diesel::delete(deposits_table::table).execute(conn).unwrap());
}

#[test]
fn the_guide_says_what_works_by_these_settings() {
    let common = with_chain(|builder| builder);
    let browser = common.browser(&common.account("0"));
    let guide = browser.page("/docs/deposits");
    assert!(guide.contains("Do not withdraw from an exchange to the address here."), "{guide}");
    assert!(guide.contains("<em>pay a small token amount first</em>"), "{guide}");
    assert!(guide.contains("link it manually: enter the Safe's address"), "{guide}");
    // This chain takes no coin of its own, so nothing is said of such.
    assert!(!guide.contains("Native coin") && !guide.contains("cannot detect"), "{guide}");
    assert!(browser.page("/deposits").contains("href=\"/docs/deposits\""));
    assert!(browser.page("/docs").contains("href=\"/docs/deposits\""));

    let own = with_chain(|builder| builder.set("deposits.account_xpub", format!("\"{XPUB}\"")));
    let guide = own.browser(&own.account("0")).page("/docs/deposits");
    assert!(guide.contains("copy <em>your own address</em>"), "{guide}");
    assert!(
        !guide.contains("Do not withdraw") && !guide.contains("pay a small token amount"),
        "{guide}"
    );

    let none = crate::support::app::TestApp::sandboxed();
    let guide = none.browser(&none.account("0")).page("/docs/deposits");
    assert!(
        guide.contains("No chain accepts deposits") && !guide.contains("From a Safe"),
        "{guide}"
    );
}

#[test]
fn deposits_beyond_a_page_follow_on_the_next() {
    let app = with_chain(|builder| builder);
    let account = app.account("0");
    for number in 1..=22 {
        app.db(|conn| deposits::insert(conn, &row(&account, number, "held", None)).unwrap());
    }
    let browser = app.browser(&account);
    let first = browser.page("/deposits");
    assert_eq!(first.matches("<article").count(), 20);
    assert!(first.contains("/deposits?before=dep_3\""), "{first}");
    let second = browser.page("/deposits?before=dep_3");
    assert_eq!(second.matches("<article").count(), 2);
    assert!(!second.contains(">Older<"), "{second}");
}

#[test]
fn a_hash_is_submitted_by_a_form_and_has_a_page() {
    let app = with_chain(|builder| builder.set("deposits.open_claims_max_per_account", 1));
    let account = app.account("0");
    let browser = app.browser(&account);
    let hash = format!("0x{}", "ab".repeat(32));
    for (chain, written, words) in [
        ("base", "0x12", "64 hexadecimal digits"),
        ("base", "", "64 hexadecimal digits"),
        ("base", TREASURY, "40 are an address"),
        ("nowhere", hash.as_str(), "a network from the list"),
    ] {
        let refused = browser.send("/deposits", &[("chain", chain), ("tx_hash", written)]);
        assert_eq!(refused.status, 422, "{}", refused.text());
        assert!(refused.text().contains(words), "{words}: {}", refused.text());
        assert!(refused.text().contains(&format!("value=\"{written}\"")), "{}", refused.text());
    }
    let kept = browser.send("/deposits", &[("chain", "base"), ("tx_hash", &format!(" {hash} "))]);
    let path = kept.sends_to().to_owned();
    // As people paste it: an explorer's link, without 0x, with a mark that nobody sees.
    for written in [
        format!("https://basescan.org/tx/{hash}#eventlog"),
        hash.replace("0x", ""),
        format!("\u{200b}{}", hash.replace("0x", "0X")),
        format!("eip155:8453:tx:{hash}"),
    ] {
        let again = browser.send("/deposits", &[("chain", "base"), ("tx_hash", &written)]);
        assert_eq!(again.sends_to(), path, "{written}");
        let body = serde_json::json!({ "chain": "base", "tx_hash": written }).to_string();
        let claim = app.ask(&Request::post("/api/v1/deposits", body).key(&account.key));
        assert_eq!(claim.status, 202, "{written}: {}", claim.text());
        assert!(path.ends_with(claim.json()["id"].as_str().unwrap()));
    }
    assert!(path.starts_with("/deposits/claim_"), "{path}");
    let page = browser.page(&path);
    assert!(page.contains(&hash) && page.contains("looked up"), "{page}");
    assert!(browser.page("/deposits").contains(&hash));

    // Once its deposit is there, the hash is listed no more beside it.
    let found = DepositRow { chain_id: ChainId(8453), ..row(&account, 0xab, "held", None) };
    app.db(|conn| deposits::insert(conn, &found).unwrap());
    let page = browser.page("/deposits");
    assert!(page.contains("/deposits/dep_171") && !page.contains(&hash), "{page}");

    let other = format!("0x{}", "cd".repeat(32));
    let refused = browser.send("/deposits", &[("chain", "base"), ("tx_hash", &other)]);
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("looking up 1 of your transactions"), "{}", refused.text());
}
