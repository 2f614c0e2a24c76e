//! How chains stand, as anybody may read it.

use serde_json::json;

use crate::support::app::Builder;
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
