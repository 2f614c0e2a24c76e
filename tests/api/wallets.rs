//! Proving a wallet over `/api/v1`: who may link what, and what is said to everyone else. The
//! providers are scripted.

mod debt;

use serde_json::{Value, json};

use crate::support::api::{checksummed, hex};
use crate::support::app::{Account, Builder, TestApp};
use crate::support::chain::wallet::{Wallet, malleated};
use crate::support::client::{Request, Response};
use crate::support::rpc::Provider;
use crate::support::rpc::fault::Fault;
use crate::support::sandbox::sandbox;

/// What a contract answers to a signature that is its own.
const MAGIC: &str = "0x1626ba7e00000000000000000000000000000000000000000000000000000000";

/// A gateway with two chains that nobody mines, and the providers of the first.
struct Desk {
    app: TestApp,
    alpha: Provider,
    beta: Provider,
}

impl Desk {
    fn open() -> Self {
        Self::open_with(|builder| builder)
    }

    fn open_with(change: impl FnOnce(Builder) -> Builder) -> Self {
        let (alpha, beta) = (Provider::alone(), Provider::alone());
        for provider in [&alpha, &beta] {
            provider.on("eth_getCode", Fault::Result(json!("0x")));
        }
        let chain = |name: &str, id: u64| {
            let provider = |name: &str, url: String| {
                format!("[[chains.providers]]\nname = \"{name}\"\nurl = \"{url}\"\n")
            };
            let head = format!(
                "[[chains]]\nname = \"{name}\"\ndisplay_name = \"{name}\"\nchain_id = {id}\n\
                 treasury = \"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed\"\n"
            );
            head + &provider("alpha", alpha.url()) + &provider("beta", beta.url())
        };
        let builder = Builder::new()
            .upstream("sandbox", sandbox())
            .set("site.name", "\"Test Gateway\"")
            .set("site.base_url", "\"https://gateway.test\"")
            .set("site.support_email", "\"support@gateway.test\"")
            .section(&(chain("base", 8453) + &chain("ethereum", 1)));
        Self { app: change(builder).start(), alpha, beta }
    }

    /// Asks for a message, signs it, and sends it.
    fn link(&self, account: &Account, wallet: &Wallet) -> Response {
        let message = self.app.challenge(account, wallet.address());
        self.app.prove(account, &message, &wallet.sign_message(&message))
    }

    fn delete(&self, account: &Account, id: &Value) -> Response {
        let path = format!("/api/v1/wallets/{}", id.as_str().unwrap());
        let by_key = self.app.ask(&Request::new("DELETE", &path).key(&account.key));
        by_key.expect_refusal(403, "session_required");
        self.app.as_person(account, "DELETE", &path, None)
    }

    fn on_both(&self, method: &str, result: &Value) {
        for provider in [&self.alpha, &self.beta] {
            provider.heal();
            provider.on("eth_getCode", Fault::Result(json!("0x60")));
            provider.on(method, Fault::Result(result.clone()));
        }
    }
}

#[test]
fn a_key_pair_proves_itself_by_one_signature_on_every_chain() {
    let desk = Desk::open();
    let (account, wallet) = (desk.app.account("0"), Wallet::dev(0));
    let message = desk.app.challenge(&account, wallet.address());
    let statement = format!(
        "Link this wallet to account {} of Test Gateway. No transaction is sent.",
        account.public_id
    );
    assert!(message.starts_with("gateway.test wants you to sign in with your Ethereum account:\n"));
    assert!(message.contains(&statement), "{message}");
    assert!(message.contains("\nURI: https://gateway.test\n"), "{message}");
    assert!(message.contains("\nIssued At: 2026-11-22T12:00:00.000Z\n"), "{message}");
    assert!(message.ends_with("\nExpiration Time: 2026-11-22T12:10:00.000Z"), "{message}");

    let linked = desk.app.prove(&account, &message, &wallet.sign_message(&message));
    assert_eq!(linked.status, 201, "{}", linked.text());
    let document = linked.json();
    assert_eq!(document["address"], checksummed(wallet.address()));
    assert_eq!((&document["kind"], &document["chain"]), (&json!("eoa"), &Value::Null));
    assert_eq!(document["proven_at"], "2026-11-22T12:00:00.000Z");
    assert_eq!(desk.app.wallets(&account), std::slice::from_ref(&document));
    assert_eq!((desk.alpha.count("eth_getCode"), desk.beta.count("eth_getCode")), (0, 0));

    let again = desk.link(&account, &wallet);
    assert_eq!((again.status, again.json()), (200, document));
}

#[test]
fn a_message_counts_only_as_it_was_given_and_only_once() {
    let desk = Desk::open();
    let (account, other, wallet) = (desk.app.account("0"), desk.app.account("0"), Wallet::dev(0));
    let elsewhere = Wallet::dev(1);
    let changed = |from: &str, to: &str| {
        let message = desk.app.challenge(&account, wallet.address());
        let spoilt = message.replacen(from, to, 1);
        assert_ne!(spoilt, message, "{from}");
        desk.app.prove(&account, &spoilt, &wallet.sign_message(&spoilt))
    };
    let (own, foreign) = (account.public_id.as_str(), other.public_id.as_str());
    let stranger = checksummed(elsewhere.address());
    let cases = [
        ("gateway.test wants", "evil.test wants", 422, "foreign_domain"),
        ("URI: https://gateway.test", "URI: https://gateway.test.evil.test", 422, "foreign_uri"),
        (&checksummed(wallet.address()), &stranger, 422, "wrong_address"),
        ("Chain ID: 8453", "Chain ID: 1", 422, "wrong_chain"),
        (own, foreign, 403, "other_account"),
        ("Version: 1", "Version: 2", 400, "message_version"),
        ("Nonce: ", "Nonce: 0", 422, "unknown_nonce"),
        ("T12:00:00.000Z", "T12:01:01.000Z", 422, "issued_in_future"),
        ("T12:10:00.000Z", "T12:00:00.000Z", 422, "message_expired"),
        (
            "T12:10:00.000Z",
            "T12:10:00.000Z\nNot Before: 2026-11-22T12:00:01Z",
            422,
            "message_not_yet_valid",
        ),
        ("Chain ID", "Chain", 400, "message_malformed"),
        ("\n\nLink", "\r\rLink", 400, "message_malformed"),
    ];
    for (from, to, status, code) in cases {
        changed(from, to).expect_refusal(status, code);
    }
    changed("Test Gateway", &"x".repeat(5000)).expect_refusal(400, "message_too_long");

    let message = desk.app.challenge(&account, wallet.address());
    let signature = wallet.sign_message(&message);
    // A message that was given to one account, in the hands of another.
    desk.app.prove(&other, &message, &signature).expect_refusal(403, "other_account");
    for form in ["", "0x12", "0x1", hex(&signature).trim_start_matches("0x"), &hex(&[7; 8193])] {
        let body = json!({ "message": message, "signature": form });
        desk.app
            .api_post(&account, "/api/v1/wallets", &body)
            .expect_refusal(400, "signature_malformed");
    }
    assert!(desk.app.wallets(&account).is_empty() && desk.app.wallets(&other).is_empty());

    assert_eq!(desk.app.prove(&account, &message, &signature).status, 201);
    desk.app.prove(&account, &message, &signature).expect_refusal(409, "nonce_used");
    let late = desk.app.challenge(&account, elsewhere.address());
    desk.app.clock.advance(600_000);
    // Even if it claims to last longer.
    let longer = late.replace("T12:10:00.000Z", "T13:00:00.000Z");
    for message in [late, longer] {
        let response = desk.app.prove(&account, &message, &elsewhere.sign_message(&message));
        response.expect_refusal(422, "message_expired");
    }
}

#[test]
fn of_many_that_send_one_proof_at_once_one_is_heard() {
    let desk = Desk::open();
    let (account, wallet) = (desk.app.account("0"), Wallet::dev(0));
    let message = desk.app.challenge(&account, wallet.address());
    let signature = wallet.sign_message(&message);
    let mut statuses: Vec<u16> = std::thread::scope(|scope| {
        let send = || desk.app.prove(&account, &message, &signature).status;
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(send)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
    assert_eq!(desk.app.wallets(&account).len(), 1);
}

#[test]
fn a_signature_of_somebody_else_and_its_twin_prove_nothing() {
    let desk = Desk::open();
    let (account, wallet) = (desk.app.account("0"), Wallet::dev(0));
    let message = desk.app.challenge(&account, wallet.address());
    let foreign = Wallet::dev(1).sign_message(&message);
    desk.app.prove(&account, &message, &foreign).expect_refusal(403, "signature_wrong");
    // The chain was asked, so the nonce is gone: providers are asked as often as there are
    // challenges.
    let own = wallet.sign_message(&message);
    desk.app.prove(&account, &message, &own).expect_refusal(409, "nonce_used");
    assert_eq!((desk.alpha.count("eth_getCode"), desk.beta.count("eth_getCode")), (1, 1));

    let message = desk.app.challenge(&account, wallet.address());
    let twin = malleated(&wallet.sign_message(&message));
    desk.app.prove(&account, &message, &twin).expect_refusal(403, "signature_wrong");
    assert!(desk.app.wallets(&account).is_empty());
}

#[test]
fn a_contract_proves_itself_by_the_word_of_its_chain_and_only_there() {
    let desk = Desk::open();
    let (account, wallet) = (desk.app.account("0"), Wallet::numbered(7));
    let signature = [0xab; 130];
    let attempt = || {
        let message = desk.app.challenge(&account, wallet.address());
        desk.app.prove(&account, &message, &signature)
    };
    desk.on_both("eth_call", &json!("0xffffffff"));
    attempt().expect_refusal(403, "contract_refused");
    desk.on_both("eth_call", &json!("0x1626ba7e"));
    attempt().expect_refusal(403, "contract_refused");
    for provider in [&desk.alpha, &desk.beta] {
        provider.on("eth_call", Fault::error(3, "execution reverted"));
    }
    attempt().expect_refusal(403, "contract_refused");

    desk.on_both("eth_call", &json!(MAGIC));
    let linked = attempt();
    assert_eq!(linked.status, 201, "{}", linked.text());
    let first = linked.json();
    assert_eq!((&first["kind"], &first["chain"]), (&json!("contract"), &json!("base")));
    let asked = desk.alpha.calls("eth_call").pop().unwrap();
    assert_eq!(asked[0]["gas"], "0x2dc6c0", "{asked}");
    assert!(asked[0]["data"].as_str().unwrap().starts_with("0x1626ba7e"), "{asked}");

    // A new proof takes the old one's place: its owners may have changed.
    desk.app.clock.advance(1000);
    let second = attempt();
    assert_eq!(second.status, 201);
    assert_ne!(second.json()["id"], first["id"]);
    assert_eq!(desk.app.wallets(&account), [second.json()]);
}

#[test]
fn one_providers_word_proves_no_contract() {
    let desk = Desk::open();
    let (account, wallet) = (desk.app.account("0"), Wallet::numbered(7));
    let attempt = || {
        let message = desk.app.challenge(&account, wallet.address());
        let response = desk.app.prove(&account, &message, &[1; 65]);
        response.expect_refusal(503, "chain_unavailable");
        assert!(response.header("retry-after").is_some());
    };
    desk.on_both("eth_call", &json!(MAGIC));
    desk.beta.on("eth_call", Fault::Result(json!("0xffffffff")));
    attempt();
    desk.on_both("eth_call", &json!(MAGIC));
    desk.beta.on("eth_getCode", Fault::Result(json!("0x")));
    attempt();
    desk.on_both("eth_call", &json!(MAGIC));
    desk.beta.on("eth_call", Fault::error(-32603, "internal error"));
    attempt();
    desk.on_both("eth_call", &json!(MAGIC));
    desk.beta.die();
    attempt();
    assert!(desk.app.wallets(&account).is_empty());
}

#[test]
fn a_wallet_belongs_to_whoever_proved_it_last_and_the_other_is_told() {
    let desk = Desk::open();
    let (first, second, wallet) = (desk.app.account("0"), desk.app.account("0"), Wallet::dev(0));
    let mine = desk.link(&first, &wallet).json();
    desk.app.clock.advance(5000);
    let theirs = desk.link(&second, &wallet);
    assert_eq!(theirs.status, 201, "{}", theirs.text());
    assert_eq!(desk.app.wallets(&second), [theirs.json()]);
    let told = desk.app.wallets(&first);
    assert_eq!((told.len(), &told[0]["id"]), (1, &mine["id"]));
    assert_eq!(told[0]["end_reason"], "moved");
    assert_eq!(told[0]["ended_at"], "2026-11-22T12:00:05.000Z");
    assert!(!theirs.text().contains(&first.public_id));
    // It is not the first one's to unlink any more, and never was anybody else's.
    desk.delete(&first, &mine["id"]).expect_refusal(404, "not_found");
    desk.delete(&first, &theirs.json()["id"]).expect_refusal(404, "not_found");

    let gone = desk.delete(&second, &theirs.json()["id"]);
    assert_eq!((gone.status, gone.body.len()), (204, 0));
    desk.delete(&second, &theirs.json()["id"]).expect_refusal(404, "not_found");
    assert!(desk.app.wallets(&second).is_empty());
    assert_eq!(desk.link(&first, &wallet).status, 201);
}

#[test]
fn an_account_has_so_many_wallets_and_so_many_messages_to_sign() {
    let desk = Desk::open_with(|builder| builder.set("deposits.wallets_max_per_account", 2));
    let account = desk.app.account("0");
    for index in 0..2 {
        assert_eq!(desk.link(&account, &Wallet::dev(index)).status, 201);
    }
    desk.link(&account, &Wallet::dev(2)).expect_refusal(409, "too_many_wallets");
    // One that it has already is none more.
    assert_eq!(desk.link(&account, &Wallet::dev(1)).status, 200);
    for _ in 4..60 {
        desk.app.challenge(&account, Wallet::dev(0).address());
    }
    let body = json!({ "chain": "base", "address": checksummed(Wallet::dev(0).address()) });
    let challenge = || desk.app.api_post(&account, "/api/v1/wallets/challenge", &body);
    challenge().expect_refusal(429, "too_many_challenges");
    desk.app.clock.advance(3_600_001);
    assert_eq!(challenge().status, 200);
}

#[test]
fn what_is_not_asked_properly_is_refused_with_a_word_that_stays() {
    let desk = Desk::open();
    let account = desk.app.account("0");
    let address = checksummed(Wallet::dev(0).address());
    let challenge = |body: &str| {
        let request = Request::post("/api/v1/wallets/challenge", body);
        desk.app.ask(&request.key(&account.key))
    };
    for body in [
        "",
        "[]",
        "{\"chain\":\"base\"}",
        "{\"chain\":\"base\",\"address\":5}",
        &format!("{{\"chain\":\"base\",\"address\":\"{address}\",\"x\":1}}"),
        &format!("{{\"chain\":\"base\",\"chain\":\"base\",\"address\":\"{address}\"}}"),
        &format!("{{\"chain\":\"base\",\"address\":\"{address}\"}} x"),
    ] {
        challenge(body).expect_refusal(400, "invalid_body");
    }
    let body =
        |chain: &str, address: &str| json!({ "chain": chain, "address": address }).to_string();
    challenge(&body("solana", &address)).expect_refusal(404, "unknown_chain");
    challenge(&body("base", address.trim_start_matches("0x")))
        .expect_refusal(400, "invalid_address");
    challenge(&body("base", &address.replacen('f', "F", 1))).expect_refusal(400, "invalid_address");
    challenge(&"x".repeat(65 * 1024)).expect_refusal(413, "body_too_large");
    let encoded = Request::post("/api/v1/wallets", "{}").header("content-encoding", "gzip");
    desk.app.ask(&encoded.key(&account.key)).expect_refusal(415, "body_encoding");

    let nobody = desk.app.ask(&Request::get("/api/v1/wallets"));
    nobody.expect_refusal(401, "unauthenticated");
    let bearer = format!("Bearer {}", account.key);
    let bearer = desk.app.ask(&Request::get("/api/v1/wallets").header("authorization", &bearer));
    assert_eq!(bearer.status, 200);
    desk.app.ask(&Request::get("/api/v1/nothing")).expect_refusal(404, "not_found");
    let put = Request::new("PUT", "/api/v1/wallets").key(&account.key);
    desk.app.ask(&put).expect_refusal(405, "method_not_allowed");
    // The other interface's errors keep their shape.
    desk.app.ask(&Request::get("/nothing")).expect_error(404, "not_found_error");

    let suspended = desk.app.account("0");
    desk.app.set_status(&suspended, "suspended");
    let refused = desk.app.ask(&Request::get("/api/v1/wallets").key(&suspended.key));
    refused.expect_refusal(403, "account_suspended");
}

#[test]
fn requests_count_against_the_accounts_minute() {
    let desk = Desk::open_with(|builder| builder.set("server.requests_per_minute_per_account", 3));
    let account = desk.app.account("0");
    for _ in 0..3 {
        desk.app.wallets(&account);
    }
    let refused = desk.app.ask(&Request::get("/api/v1/wallets").key(&account.key));
    refused.expect_refusal(429, "rate_limited");
    assert!(refused.header("retry-after").is_some());
}
