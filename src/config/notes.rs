//! What settings that are in order still cannot do, for `config check` to say. None of it is a mistake.

use super::{Chain, Settings};

impl Settings {
    /// One sentence for each thing that whoever pays in will miss.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.chains.is_empty() && self.deposits.account_xpub.is_none() {
            notes.push(
                "deposits.account_xpub: is not set, so all accounts pay to a treasury. Each has to link the wallet that it pays from first, and what an exchange or another service pays there cannot be attributed without you (\"sluice deposit attribute\"). A public service should give each account an address of its own".to_owned(),
            );
        }
        notes.extend(self.chains.iter().filter_map(untraced));
        notes
    }
}

fn untraced(chain: &Chain) -> Option<String> {
    let native = chain.native.as_ref()?;
    let able = chain.providers.iter().filter(|provider| provider.traces).count();
    (able < chain.quorum).then(|| {
        format!(
            "chains.{}: {able} of its providers offer traces and {} are needed to read {} that a contract has sent, as exchanges, smart wallets and wallets with delegated code do. Tokens need none",
            chain.name, chain.quorum, native.symbol
        )
    })
}
