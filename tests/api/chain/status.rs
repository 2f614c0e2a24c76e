//! How chains stand, as anybody may read it.

use serde_json::json;
use sluice::db::models::chains;
use sluice::domain::evm::ChainId;

use crate::support::app::Builder;
use crate::support::chain::CHAIN_ID;
use crate::support::client::Request;
use crate::support::deposits::Mint;
use crate::support::sandbox::sandbox;
use crate::support::wait::eventually;

#[test]
fn status_names_each_chain_and_how_it_stands() {
    let mint = Mint::open();
    let builder = Builder::new().upstream("sandbox", sandbox()).section(&mint.toml(""));
    let app = builder.start();
    let chain = eventually("the chain to be read", || {
        let status = app.ask(&Request::get("/api/v1/status")).expect_ok().json();
        let chain = status["chains"][0].clone();
        (!chain["chain_status"]["head"].is_null()).then_some(chain)
    });
    assert_eq!((&chain["chain"], &chain["display_name"]), (&json!("base"), &json!("Base")));
    let text = chain.to_string();
    for secret in ["alpha", "beta", "127.0.0.1"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn a_chain_that_was_never_reached_has_no_newest_block() {
    let mint = Mint::open();
    mint.alpha.die();
    mint.beta.die();
    let builder = Builder::new().upstream("sandbox", sandbox()).section(&mint.toml(""));
    let app = builder.start();
    let row = eventually("the watcher to have its say", || {
        let chain_id = ChainId(CHAIN_ID.cast_signed());
        let row = app.db(|conn| chains::find(conn, chain_id).unwrap())?;
        row.status_detail
            .as_ref()
            .is_some_and(|detail| detail.contains("make sense"))
            .then_some(row)
    });
    assert_eq!(row.head_number, -1);
    let status = app.ask(&Request::get("/api/v1/status")).expect_ok().json();
    let stands = &status["chains"][0]["chain_status"];
    assert_eq!((&stands["status"], &stands["head"]), (&json!("degraded"), &json!(null)));
}
