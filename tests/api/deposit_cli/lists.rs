//! Deposits, chains and claims as the command line lists and shows them.

use serde_json::{Value, json};
use sluice::db::models::chains::{self, ChainRow};
use sluice::db::models::deposit_claims::{self, ClaimRow};
use sluice::db::models::deposits;
use sluice::domain::clock::UnixMillis;
use sluice::domain::deposit::{ClaimReason, ClaimState, DepositReason, DepositState};
use sluice::domain::evm::{ChainId, EvmAddress, RawAmount, TxHash};
use sluice::domain::money::NanoUsd;

use super::{BASE, Desk, GONE, NOON, row};
use crate::support::app::Account;
use crate::support::process::run;

#[test]
fn settings_that_are_in_order_are_told_what_they_cannot_do() {
    let upstream = "[[upstreams]]\nname = \"a\"\nbase_url = \"https://api.example.com\"\n\
        credential_env = \"KEY\"\n";
    let xpub = "xpub6Ce9NcJvTk36xtLSrJLZqE7wtgA5deCeYs7rSQtreh4cj6ByPtrg9sD7\
        V2FNFLPnf8heNP3FGkeV9qwfzvZNSd54JoNXVsXFYSYwHsnJxqP";
    let desk = Desk::with(upstream);
    let path = desk.file.to_str().unwrap();
    let check = |keys: &[(&str, &str)]| {
        let ran = run(&["config", "check", path], &[&[("KEY", "x")], keys].concat());
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "a note is no mistake");
        ran.out
    };
    let told = check(&[]);
    for words in [
        ": OK\n",
        "note: deposits.account_xpub: is not set",
        "exchange",
        "note: chains.base: 0 of its providers offer traces, but 2 are needed to detect ETH",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    // With an address for each account, and with traces, there is nothing to be said.
    let told = check(&[("SLUICE__DEPOSITS__ACCOUNT_XPUB", xpub)]);
    assert!(!told.contains("account_xpub") && told.contains("traces"), "{told}");
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, text.replace(".org\"\n[", ".org\"\ntraces = true\n[")).unwrap();
    let told = check(&[("SLUICE__DEPOSITS__ACCOUNT_XPUB", xpub)]);
    assert!(told.ends_with(": OK\n"), "{told}");
    // A chain with four blocks a second costs many calls, if each is read.
    let text = std::fs::read_to_string(path).unwrap();
    let fast = text.replace("chain_id = 8453", "chain_id = 42161");
    std::fs::write(path, &fast).unwrap();
    let told = check(&[("SLUICE__DEPOSITS__ACCOUNT_XPUB", xpub)]);
    assert!(told.contains("note: chains.base: reads every block for its native coin"), "{told}");
    let native = "[chains.native]\n";
    std::fs::write(path, fast.replace(native, &format!("{native}scan_blocks = false\n"))).unwrap();
    let told = check(&[("SLUICE__DEPOSITS__ACCOUNT_XPUB", xpub)]);
    assert!(told.ends_with(": OK\n"), "{told}");
}

#[test]
fn a_deposit_is_the_same_document_alone_and_in_a_list() {
    let mut desk = Desk::new();
    desk.chain(|_| {});
    let account = desk.account("0");
    let row = desk.deposit(|row| {
        row.state = DepositState::Held;
        row.reason = Some(DepositReason::Depegged);
        row.account_id = Some(account.id);
        row.raw_amount = RawAmount::from(1_234_567);
        row.value_nanousd = Some(NanoUsd::from_nanos(1_197_529_990));
        row.price_feed = Some(EvmAddress([0xfe; 20]));
        row.price_round = Some("36893488147419103232".to_owned());
        row.price_answer = Some("97000000".to_owned());
    });
    let listed = json!([{
        "id": "dep_1", "state": "held", "reason": "depegged", "account": account.public_id,
        "chain": "base", "chain_id": 8453, "tx_hash": format!("0x{}", "01".repeat(32)),
            "ordinal": 0,
        "payer": "0xaAaAaAaaAaAaAaaAaAAAAAAAAaaaAaAaAaaAaaAa",
        "payee": "0x7E7E7e7E7E7e7e7E7e7e7E7E7E7E7E7E7E7e7E7E",
        "asset": "USDC", "token": "0xCcCCccCCCCcCccCCCCcccCCCCCCCcCCcCcccCCCc",
        "raw_amount": "1234567", "decimals": 6, "amount": "1.234567", "value": "1.19752999",
        "credit_number": 0, "early_credit_at": null, "block_number": 100,
            "block_hash": format!("0x{}", "b0".repeat(32)),
        "block_time": "2026-11-22T12:00:00.000Z", "created_at": "2026-11-22T12:00:00.000Z",
        "updated_at": "2026-11-22T12:00:00.000Z", "refund_state": null, "refunded": null,
    }]);
    let mut found = desk.json(&["list"]);
    for (key, of) in [("payee", "0x7e"), ("token", "0xcc")] {
        // Which letters are upper case is the checksum's business, and tested there.
        let address = found[0][key].as_str().unwrap().to_lowercase();
        assert!(address.starts_with(of), "{address}");
        found[0][key] = listed[0][key].clone();
    }
    found[0]["payer"] = listed[0]["payer"].clone();
    assert_eq!(found, listed);

    let shown = desk.json(&["show", &row.public_id]);
    let more = json!({
        "is_final": true, "price_round": "36893488147419103232", "price_answer": "97000000",
        "wallet": null, "derivation_index": null,
        "entries": [], "refunds": [], "decisions": [], "claims": [],
    });
    for (key, value) in more.as_object().unwrap() {
        assert_eq!(&shown[key], value, "{key}");
    }
    for key in ["sentence", "reason_sentence", "price_feed"] {
        assert!(shown[key].is_string(), "{key}");
    }
    let listed = desk.json(&["list"])[0].clone();
    for (key, value) in listed.as_object().unwrap() {
        assert_eq!(&shown[key], value, "{key}");
    }
    let known = listed.as_object().unwrap().len() + more.as_object().unwrap().len() + 3;
    assert_eq!(shown.as_object().unwrap().len(), known, "{shown:#}");

    let table = desk.ok(&["list"]);
    for word in ["dep_1", "base", "1.234567 USDC", "1.19752999", "held (depegged)", "acct_"] {
        assert!(table.contains(word), "{table}");
    }
    let text = desk.ok(&["show", "dep_1"]);
    for word in ["1.234567 USDC", "100 (final)", "manual review", "36893488147419103232"] {
        assert!(text.contains(word), "{text}");
    }
    desk.refused(&["show", "dep_nobody"], &["there is no deposit \"dep_nobody\""]);
}

#[test]
fn amounts_are_exact_and_what_is_no_longer_configured_has_its_number() {
    let mut desk = Desk::new();
    desk.deposit(|row| {
        row.token = None;
        row.ordinal = -1;
        row.raw_amount = RawAmount::from(1_000_000_000_000_000_001);
    });
    desk.deposit(|row| row.token = Some(EvmAddress([0xdd; 20])));
    desk.deposit(|row| {
        row.chain_id = ChainId(GONE);
        row.token = None;
        row.raw_amount = RawAmount::from(5);
    });
    let all = desk.json(&["list"]);
    assert_eq!(
        (&all[0]["amount"], &all[0]["asset"]),
        (&json!("1.000000000000000001"), &json!("ETH"))
    );
    assert_eq!((&all[1]["amount"], &all[1]["decimals"]), (&Value::Null, &Value::Null));
    assert_eq!((&all[2]["chain"], &all[2]["chain_id"]), (&json!("777"), &json!(777)));
    assert_eq!(
        (&all[2]["amount"], &all[2]["asset"]),
        (&json!("0.000000000000000005"), &Value::Null)
    );
    let table = desk.ok(&["list"]);
    assert!(table.contains("1.000000000000000001 ETH"), "{table}");
    assert!(table.contains("1000000 units of 0x"), "{table}");
    assert!(table.contains("0.000000000000000005 native coin"), "{table}");
    assert_eq!(desk.json(&["show", "dep_3"])["is_final"], Value::Null);
    assert!(desk.ok(&["show", "dep_3"]).contains("finality unknown"));
}

#[test]
fn a_list_is_filtered_and_as_long_as_it_is() {
    let mut desk = Desk::new();
    let (one, two) = (desk.account("0"), desk.account("0"));
    desk.held(&one);
    desk.held(&two);
    desk.deposit(|row| row.chain_id = ChainId(GONE));
    let ids = |list: Value| -> Vec<String> {
        let all = list.as_array().unwrap().iter();
        all.map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(desk.json(&["list"])), ["dep_1", "dep_2", "dep_3"]);
    assert_eq!(ids(desk.json(&["list", "--state", "held"])), ["dep_1", "dep_2"]);
    assert_eq!(ids(desk.json(&["list", "--account", &two.public_id])), ["dep_2"]);
    assert_eq!(ids(desk.json(&["list", "--chain", "base"])), ["dep_1", "dep_2"]);
    assert_eq!(ids(desk.json(&["list", "--chain", "777"])), ["dep_3"]);
    assert_eq!(desk.run(&["list", "--state", "rejected", "--json"]).out, "[]\n");
    assert!(desk.ok(&["list", "--state", "rejected"]).contains("deposit"));
    desk.wrong(&["list", "--state", "lost"], "below_minimum");
    desk.refused(&["list", "--account", "acct_nobody"], &["no account"]);
    desk.refused(&["list", "--chain", "moon"], &["no chain \"moon\"", "base"]);

    for number in 0..500_u16 {
        let mut row = row(200);
        row.public_id = format!("dep_many_{number}");
        row.ordinal = number.into();
        deposits::insert(&mut desk.conn, &row).unwrap();
    }
    let ran = desk.run(&["list", "--json"]);
    let all = ran.json();
    assert_eq!(ids(all.clone()).len(), 503);
    // Piece by piece it is the document that it would be as a whole.
    assert_eq!(ran.out, format!("{all:#}\n"));
    let table = desk.ok(&["list"]);
    assert_eq!(table.lines().filter(|line| line.contains("dep_")).count(), 503);
}

#[test]
fn chains_tell_what_is_wrong_and_what_waits() {
    let mut desk = Desk::new();
    let account = desk.account("0");
    let unread = desk.json(&["chains"]);
    assert_eq!((&unread[0]["chain"], &unread[0]["status"]), (&json!("base"), &json!("unread")));
    assert!(desk.ok(&["chains"]).contains("base: no server has read it yet"));

    desk.chain(|_| {});
    desk.held(&account);
    desk.deposit(|_| {});
    desk.deposit(|row| row.chain_id = ChainId(GONE));
    claim(&mut desk, &account, Some(0));
    let all = desk.json(&["chains"]);
    let (gone, base) = (&all[0], &all[1]);
    assert_eq!((&gone["chain"], &gone["status"]), (&json!("777"), &json!("not_configured")));
    let heights = ["head", "final", "scanned", "lag", "open_claims"].map(|key| base[key].clone());
    assert_eq!(heights, [120, 110, 118, 2, 1].map(Value::from));
    assert_eq!((&base["status"], &base["is_read"]), (&json!("ok"), &json!(true)));
    let counts = ["held", "seen", "credited"].map(|state| base["deposits"][state].clone());
    assert_eq!(counts, [1, 1, 0].map(Value::from));
    let text = desk.ok(&["chains"]);
    assert!(!text.contains("base: ") && text.contains("777: not in the settings"), "{text}");

    // A node that is gone has left its last word behind.
    let row = chains::find(&mut desk.conn, ChainId(BASE)).unwrap().unwrap();
    let left = ChainRow { lease_expires_at: UnixMillis::from_millis(1), ..row };
    assert!(chains::change(&mut desk.conn, &left, NOON).unwrap());
    let base = desk.json(&["chains"])[1].clone();
    assert_eq!((&base["status"], &base["is_read"]), (&json!("unread"), &json!(false)));
    assert!(
        desk.ok(&["chains"]).contains("no server reads it; last update at 2026-11-22T12:00:00Z")
    );

    let row = chains::find(&mut desk.conn, ChainId(BASE)).unwrap().unwrap();
    let degraded = ChainRow {
        lease_expires_at: UnixMillis::from_millis(i64::MAX),
        status: "degraded".to_owned(),
        status_detail: Some("providers \u{1b}[2Jdisagree".to_owned()),
        ..row
    };
    assert!(chains::change(&mut desk.conn, &degraded, NOON).unwrap());
    let text = desk.ok(&["chains"]);
    assert!(text.contains("base: degraded: providers \\u{1b}[2Jdisagree"), "{text:?}");
    assert_eq!(desk.json(&["chains"])[1]["detail"], "providers \u{1b}[2Jdisagree");
}

#[test]
fn chains_are_listed_with_what_their_providers_are_asked_and_refuse() {
    use sluice::db::models::chain_providers::{self, ProviderRow};
    let mut desk = Desk::new();
    desk.chain(|row| row.status_detail = Some("USDT: the token calls itself \"USD₮0\"".to_owned()));
    let plain = ProviderRow {
        chain_id: ChainId(BASE),
        name: "alpha".to_owned(),
        asked_per_day: None,
        refusal: None,
        refused_at: None,
        log_blocks: None,
        batch_calls: 20,
        calls_per_second: 20,
        updated_at: NOON,
    };
    let refusing = ProviderRow {
        name: "beta".to_owned(),
        asked_per_day: Some(57_600),
        refusal: Some("refused logs of 10 blocks (code -32005)".to_owned()),
        refused_at: Some(NOON),
        log_blocks: Some(1),
        batch_calls: 1,
        calls_per_second: 5,
        ..plain.clone()
    };
    let rows = [plain, refusing];
    chain_providers::note(&mut desk.conn, ChainId(BASE), &rows).unwrap();
    // Of a chain that is not in the settings nobody is asked.
    let other = [ProviderRow { chain_id: ChainId(5), ..rows[0].clone() }];
    chain_providers::note(&mut desk.conn, ChainId(5), &other).unwrap();
    let text = desk.ok(&["chains"]);
    for line in [
        "base: USDT: the token calls itself \"USD₮0\"",
        "base: alpha: not measured yet; takes 20 calls a request, 20 calls a second",
        "base: beta: some 57600 calls a day; takes logs of 1 block, 1 call a request, 5 calls a \
         second; last refused logs of 10 blocks (code -32005) at 2026-11-22T12:00:00Z",
    ] {
        assert!(text.lines().any(|has| has == line), "{line}: {text}");
    }
    assert_eq!(text.matches("calls a second").count(), 2, "{text}");
    let listed = desk.json(&["chains"]);
    let base = listed.as_array().unwrap().iter().find(|chain| chain["chain"] == "base").unwrap();
    assert_eq!(base["providers"][0]["asked_per_day"], Value::Null);
    assert_eq!(base["providers"][1]["last_refusal"], "refused logs of 10 blocks (code -32005)");
    assert_eq!(base["providers"][1]["last_refusal_at"], "2026-11-22T12:00:00.000Z");
    // One that was taken out of the settings is forgotten.
    chain_providers::note(&mut desk.conn, ChainId(BASE), &rows[1..]).unwrap();
    assert_eq!(chain_providers::all(&mut desk.conn).unwrap().len(), 2);
}

fn claim(desk: &mut Desk, account: &Account, check_at: Option<i64>) -> ClaimRow {
    let row = ClaimRow {
        id: 0,
        public_id: format!("claim_{}", account.public_id),
        account_id: account.id,
        chain_id: ChainId(BASE),
        tx_hash: TxHash([1; 32]),
        state: ClaimState::Rejected,
        reason: Some(ClaimReason::Expired),
        tries: 3,
        check_at: check_at.map(UnixMillis::from_millis),
        created_at: NOON,
        updated_at: NOON,
    };
    deposit_claims::submit(&mut desk.conn, &row).unwrap()
}

#[test]
fn claims_are_listed_and_stand_beside_the_deposit_that_they_ask_about() {
    let mut desk = Desk::new();
    let (one, two) = (desk.account("0"), desk.account("0"));
    desk.deposit(|row| row.state = DepositState::Unattributed);
    claim(&mut desk, &one, None);
    claim(&mut desk, &two, Some(NOON.as_millis()));
    let all = desk.json(&["claims"]);
    assert_eq!(all.as_array().unwrap().len(), 2);
    let listed = json!({
        "id": format!("claim_{}", two.public_id), "account": two.public_id, "chain": "base",
        "chain_id": 8453, "tx_hash": format!("0x{}", "01".repeat(32)), "state": "rejected",
        "reason": "expired", "tries": 3, "check_at": "2026-11-22T12:00:00.000Z",
        "created_at": "2026-11-22T12:00:00.000Z", "updated_at": "2026-11-22T12:00:00.000Z",
    });
    assert_eq!(desk.json(&["claims", "--account", &two.public_id]), json!([listed]));
    let table = desk.ok(&["claims"]);
    assert!(table.contains("rejected (expired)") && table.contains(&one.public_id), "{table}");
    // Who says that it is theirs helps to attribute it.
    assert_eq!(desk.json(&["show", "dep_1"])["claims"], all);
    assert!(desk.ok(&["show", "dep_1"]).contains(&two.public_id));
    desk.refused(&["claims", "--account", "acct_nobody"], &["no account"]);
}

#[test]
fn a_transaction_is_found_on_every_chain_with_its_deposits_claims_and_accounts() {
    let mut desk = Desk::new();
    let (one, two) = (desk.account("0"), desk.account("0"));
    let paid = desk.credited(&one, 1_000_000_000);
    desk.deposit(|row| {
        row.chain_id = ChainId(GONE);
        row.tx_hash = paid.tx_hash;
    });
    desk.deposit(|_| {});
    claim(&mut desk, &two, None);
    let hash = paid.tx_hash.to_string();
    let found = desk.json(&["find", &hash]);
    let words = |kind: &str, field: &str| -> Vec<Value> {
        found[kind].as_array().unwrap().iter().map(|one| one[field].clone()).collect()
    };
    assert_eq!(words("deposits", "chain"), [json!("base"), json!("777")]);
    assert_eq!(words("deposits", "account"), [json!(one.public_id), Value::Null]);
    assert_eq!(words("claims", "account"), [json!(two.public_id)]);
    let table = desk.ok(&["find", &hash]);
    for word in ["1 USDC", "claim_", &one.public_id, &two.public_id] {
        assert!(table.contains(word), "{word}: {table}");
    }
    let nowhere = format!("0x{}", "ef".repeat(32));
    assert_eq!(desk.json(&["find", &nowhere]), json!({ "deposits": [], "claims": [] }));
    assert!(desk.ok(&["find", &nowhere]).contains("No deposit"));
    desk.wrong(&["find", "0x12"], "0x12");
}
