//! Secrets that the program works with: an upstream's credential does not print, and of a key there
//! is a hash.

use diesel::prelude::*;
use serde_json::json;
use sha2::{Digest, Sha256};
use sluice::db::schema::api_keys;

use crate::support::app::{Builder, CREDENTIAL, TestApp};
use crate::support::upstream::Upstream;

#[test]
fn p12_the_credential_of_an_upstream_does_not_print() {
    let builder = Builder::new().upstream("primary", Upstream::nowhere());
    let settings = builder.settings();
    let shown = format!("{settings:?} {:#?} {}", settings.upstreams, settings.render());
    assert!(!shown.contains(CREDENTIAL));
    let tls = sluice::upstream::client::tls_config().unwrap();
    let upstream = sluice::upstream::Upstream::new(settings.upstreams[0].clone(), &tls).unwrap();
    let (name, value) = upstream.credential_header().unwrap();
    assert!(value.is_sensitive());
    assert!(!format!("{name:?} {value:?}").contains(CREDENTIAL));
}

#[test]
fn p11_a_key_is_kept_as_its_sha256_and_shown_once() {
    let app = TestApp::sandboxed();
    let person = app.person();
    let made = app.by_with(&person.token, "POST", "/api/v1/keys", &json!({ "name": "laptop" }));
    assert_eq!(made.status, 201, "{}", made.text());
    let (key, id) = (made.json()["key"].clone(), made.json()["id"].clone());
    let (key, id) = (key.as_str().unwrap(), id.as_str().unwrap());
    let stored: Vec<u8> = app.db(|conn| {
        let row = api_keys::table.filter(api_keys::public_id.eq(id));
        row.select(api_keys::hash).first(conn).unwrap()
    });
    assert_eq!(stored, Sha256::digest(key).to_vec());
    for path in ["/api/v1/keys", &format!("/api/v1/keys/{id}")] {
        let shown = app.by(&person.token, "GET", path);
        assert_eq!(shown.status, 200, "{}", shown.text());
        assert!(!shown.text().contains(key.get(7..50).unwrap()), "{path} shows it again");
    }
}
