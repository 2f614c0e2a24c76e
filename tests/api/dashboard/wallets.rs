//! Wallets by hand: a message to sign elsewhere, and its signature brought back.

use super::{TREASURY, with_chain};
use crate::support::api::{checksummed, hex};
use crate::support::app::TestApp;
use crate::support::browser::Browser;
use crate::support::chain::wallet::Wallet;

/// The message on the page, as a person copies it.
fn message(browser: &Browser<'_>, address: &str) -> String {
    let response = browser.send("/wallets/challenge", &[("address", address), ("chain", "base")]);
    let page = response.text();
    assert_eq!(response.status, 200, "{page}");
    let rest = page.split("<textarea id=\"message\"").nth(1).unwrap();
    let text = rest.split_once('>').unwrap().1.split("</textarea>").next().unwrap();
    text.replace("&#38;", "&")
}

fn open() -> TestApp {
    with_chain(|builder| builder)
}

#[test]
fn a_wallet_is_linked_and_unlinked_without_a_script() {
    let app = open();
    let account = app.account("0");
    let (browser, wallet) = (app.browser(&account), Wallet::dev(0));
    let address = checksummed(wallet.address());
    let signed = message(&browser, &address);
    assert!(signed.contains(&address) && signed.contains(&account.public_id), "{signed}");
    let signature = hex(&wallet.sign_message(&signed));
    // As browsers send what stands in a form.
    let sent = signed.replace('\n', "\r\n");
    let linked = browser.send("/wallets/link", &[("message", &sent), ("signature", &signature)]);
    assert_eq!(linked.sends_to(), "/wallets");
    let wallets = app.wallets(&account);
    assert_eq!((wallets.len(), wallets[0]["address"].as_str()), (1, Some(address.as_str())));
    assert!(browser.page("/wallets").contains(&address));
    // The script that pays knows that it is linked.
    assert!(browser.page("/deposits").contains(&format!("data-proven=\"{address}\"")));

    let again = browser.send("/wallets/link", &[("message", &sent), ("signature", &signature)]);
    assert_eq!(again.status, 422);
    assert!(again.text().contains("role=\"alert\""), "{}", again.text());

    let id = wallets[0]["id"].as_str().unwrap();
    let path = format!("/wallets/{id}/label");
    assert_eq!(browser.send(&path, &[("label", "  Ledger <b> ")]).sends_to(), "/wallets");
    assert_eq!(app.wallets(&account)[0]["label"], "Ledger <b>");
    assert!(browser.page("/wallets").contains("<h2>Ledger &#60;b&#62;</h2>"));
    assert!(browser.page("/deposits").contains("Ledger &#60;b&#62;"));
    for (label, words) in [("x".repeat(41), "at most 40"), ("a\u{202e}b".to_owned(), "visible")] {
        let refused = browser.send(&path, &[("label", &label)]);
        assert_eq!(refused.status, 422, "{}", refused.text());
        assert!(refused.text().contains(words) && refused.text().contains(&label));
    }
    assert_eq!(app.browser(&app.account("0")).send(&path, &[("label", "mine")]).status, 404);
    assert_eq!(browser.send(&path, &[("label", " ")]).sends_to(), "/wallets");
    assert!(app.wallets(&account)[0]["label"].is_null());

    let path = format!("/wallets/{id}/unlink");
    assert_eq!(browser.send(&path, &[]).sends_to(), "/wallets");
    assert!(app.wallets(&account).is_empty());
    assert_eq!(browser.send(&path, &[]).status, 404);
}

#[test]
fn what_proves_nothing_is_said_on_the_page() {
    let app = open();
    let account = app.account("0");
    let browser = app.browser(&account);
    for (address, chain, words) in [
        ("0x12", "base", "40 hexadecimal digits"),
        (&TREASURY.replace('A', "a"), "base", "checksum"),
        (TREASURY, "solana", "a network from the list"),
    ] {
        let refused = browser.send("/wallets/challenge", &[("address", address), ("chain", chain)]);
        assert_eq!(refused.status, 422, "{}", refused.text());
        assert!(refused.text().contains(words), "{}", refused.text());
        assert!(refused.text().contains(&format!("value=\"{address}\"")), "{}", refused.text());
    }
    let address = checksummed(Wallet::dev(0).address());
    let signed = message(&browser, &address);
    for signature in ["", "0x", "nonsense"] {
        let fields = [("message", signed.as_str()), ("signature", signature)];
        assert_eq!(browser.send("/wallets/link", &fields).status, 422, "{signature}");
    }
    assert_eq!(
        browser.send("/wallets/link", &[("message", "x"), ("signature", "0x12")]).status,
        422
    );
    assert!(app.wallets(&account).is_empty());
}

#[test]
fn the_page_tells_the_script_where_to_link() {
    let app = open();
    let browser = app.browser(&app.account("0"));
    let page = browser.page("/wallets?address=0x12%22%3E%3Cscript%3E");
    assert!(page.contains("data-wallet=\"link\"") && page.contains("data-chains=\"base:8453\""));
    assert!(page.contains("value=\"0x12&#34;&#62;&#60;script&#62;\""), "{page}");
    assert!(page.contains("<meta name=\"csrf\" content=\""), "{page}");
}
