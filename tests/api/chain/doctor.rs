//! `sluice doctor` on chains: providers that are fit, of another chain, behind, and not there.

use serde_json::Value;

use crate::support::app::Builder;
use crate::support::chain::TestChain;
use crate::support::process::run;
use crate::support::upstream::Upstream;

#[test]
fn each_provider_is_asked_for_its_chain_its_head_and_its_limits() {
    let upstream = Upstream::start();
    let (chain, other) = (TestChain::start(), TestChain::start_as(1));
    // The doctor goes by the clock on the wall, of which the genesis block is far behind.
    let examine = |second: String, head_age_max_secs: u32| {
        let chains = format!(
            "[[chains]]\nname = \"base\"\ndisplay_name = \"Base\"\nchain_id = 8453\n\
             head_age_max_secs = {head_age_max_secs}\n\
             treasury = \"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed\"\n\
             [[chains.providers]]\nname = \"one\"\nurl = \"http://{}\"\n\
             [[chains.providers]]\nname = \"two\"\nurl = \"{second}\"\n\
             [[chains.tokens]]\nsymbol = \"USDC\"\ndecimals = 6\n\
             address = \"0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913\"\n",
            chain.node.address
        );
        let builder = Builder::new().upstream("primary", upstream.address).section(&chains);
        drop(builder.migrated());
        let file = builder.write();
        let ran = run(&["--config", file.to_str().unwrap(), "doctor", "--json"], &[]);
        let document: Value = serde_json::from_str(&ran.out).unwrap();
        let checks = document["checks"].as_array().unwrap().clone();
        let said = move |name: &str| -> String {
            let check = checks.iter().find(|check| check["name"] == name);
            let check = check.unwrap_or_else(|| panic!("{name}\n{}", ran.out));
            format!("{} {} {}", check["state"], check["found"], check["mend"])
        };
        (ran.code, said)
    };
    let well = format!("http://localhost:{}", chain.node.address.port());
    let wrong = format!("http://{}", other.node.address);
    let gone = format!("http://{}", Upstream::nowhere());

    let (code, said) = examine(well.clone(), 1);
    let told = said("chain base: two");
    assert!(code == 0 && told.starts_with("\"warn\" \"its newest block is old"), "{told}");

    chain.rpc("evm_setNextBlockTimestamp", &serde_json::json!([4_000_000_000_u64]));
    chain.mine(1);
    let (code, said) = examine(well, 60);
    let told = said("chain base: one");
    assert!(code == 0 && told.starts_with("\"ok\" \"block "), "{told}");

    let (code, said) = examine(wrong, 60);
    let told = said("chain base: two");
    assert!(code == 1 && told.contains("speaks for chain 1, but chain_id is 8453"), "{told}");
    assert!(told.contains("for this chain"), "{told}");
    let told = said("chain base");
    assert!(told.contains("1 of its providers are fit, but 2 must agree"), "{told}");

    let (code, said) = examine(gone, 60);
    let told = said("chain base: two");
    assert!(code == 1 && told.contains("cannot be reached"), "{told}");
}
