//! What settings that are in order still cannot do, for `config check` to say. None of it is a
//! mistake.

use super::{Chain, Settings};

/// Chains with several blocks a second, by their numbers, with what reading each block asks of a
/// provider a day: the figures of `docs/deposits.md`.
const FAST: [(i64, &str); 2] = [(56, "200,000"), (42_161, "370,000")];

impl Settings {
    /// One sentence for each thing that whoever pays in will miss.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.chains.is_empty() && self.deposits.account_xpub.is_none() {
            notes.push(
                "deposits.account_xpub: is not set, so all accounts pay to a treasury. Users must \
                 link their wallet before they pay. You must assign payments from exchanges and \
                 other services yourself (\"sluice deposit attribute\"). A public service should \
                 give each account its own address"
                    .to_owned(),
            );
        }
        notes.extend(self.chains.iter().filter_map(untraced));
        notes.extend(self.chains.iter().filter_map(whole_blocks));
        notes
    }
}

fn untraced(chain: &Chain) -> Option<String> {
    let native = chain.native.as_ref()?;
    let able = chain.providers.iter().filter(|provider| provider.traces).count();
    (able < chain.quorum).then(|| {
        format!(
            "chains.{}: {able} of its providers offer traces, but {} are needed to detect {} sent \
             by contracts, such as exchanges, smart wallets and wallets with delegated code. \
             Tokens need none",
            chain.name, chain.quorum, native.symbol
        )
    })
}

fn whole_blocks(chain: &Chain) -> Option<String> {
    let (_, calls) = FAST.iter().find(|(chain_id, _)| *chain_id == chain.chain_id.0)?;
    chain.reads_whole_blocks().then(|| {
        format!(
            "chains.{}: reads every block for its native coin, about {calls} calls a day to each \
             provider. With \"scan_blocks = false\" in [chains.native] it finds the coin by \
             balances, some minutes later, with about 37,000",
            chain.name
        )
    })
}
