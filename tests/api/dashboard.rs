//! The pages of an account: what they say is what the interface says, and what they change is
//! theirs alone.

mod deposits;
mod guards;
mod keys;
mod usage;
mod wallets;

use crate::support::app::{Builder, TestApp};
use crate::support::rpc::Provider;
use crate::support::sandbox::sandbox;

/// The address that all accounts share.
const TREASURY: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
const USDC: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";

/// A server with a chain that nobody mines.
fn with_chain(change: impl FnOnce(Builder) -> Builder) -> TestApp {
    let provider = |name: &str| {
        let url = Provider::alone().url();
        format!("[[chains.providers]]\nname = \"{name}\"\nurl = \"{url}\"\n")
    };
    let chain = format!(
        "[[chains]]\nname = \"base\"\ndisplay_name = \"Base\"\nchain_id = 8453\nexplorer = \
         \"https://scan.example/\"\ntreasury = \"{TREASURY}\"\n"
    );
    let token = format!(
        "[[chains.tokens]]\nsymbol = \"USDC\"\naddress = \"{USDC}\"\ndecimals = 6\nfeed = \
         \"{TREASURY}\"\nfeed_description = \"USDC / USD\"\nheartbeat_secs = 86400\n"
    );
    let chain = [chain, provider("alpha"), provider("beta"), token].concat();
    change(Builder::new().upstream("sandbox", sandbox()).section(&chain)).start()
}
