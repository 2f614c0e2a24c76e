//! How a deposit or a claim stands, in the words of its page and of the script that keeps the page
//! up to date.

use crate::api::deposits::document::{Claim, Deposit};
use crate::config::Chain;
use crate::domain::deposit::{ClaimState, DepositState};
use crate::site::format::SignedDollars;

/// A deposit, or a hash that was submitted.
pub(in crate::site) struct DepositView {
    pub(in crate::site) id: String,
    pub(in crate::site) title: String,
    /// The title is made of a hash.
    pub(in crate::site) is_hash: bool,
    /// The page is about nothing else, and has the title already.
    pub(in crate::site) is_alone: bool,
    /// The word of its state.
    pub(in crate::site) state: String,
    pub(in crate::site) state_title: String,
    pub(in crate::site) message: String,
    /// What is wrong with its chain, or nothing.
    pub(in crate::site) trouble: &'static str,
    /// What it is worth, or nothing yet.
    pub(in crate::site) value: String,
    /// `7/12 confirmations`, or nothing.
    pub(in crate::site) confirmations: String,
    pub(in crate::site) seen: i64,
    pub(in crate::site) needed: i64,
    /// Whether it can be expected to change by itself.
    pub(in crate::site) is_waiting: bool,
    /// What was found in a claimed transaction, as the script writes it: it notices when there is
    /// more.
    pub(in crate::site) found: String,
    /// The wallet that somebody has to prove.
    pub(in crate::site) to_prove: Option<String>,
}

/// Something that may be held against the chain.
pub(in crate::site) struct Fact {
    pub(in crate::site) name: &'static str,
    pub(in crate::site) text: String,
}

impl DepositView {
    pub(super) fn of_deposit(deposit: &Deposit, chains: &[Chain]) -> Self {
        let (seen, needed) =
            deposit.confirmations.map_or((0, 1), |so_far| (so_far.seen, so_far.needed));
        let amount = deposit.amount.as_deref().unwrap_or(&deposit.raw_amount);
        let coin = deposit.asset.as_deref().or(deposit.token.as_deref()).unwrap_or("coins");
        let state = DepositState::parse(&deposit.state);
        let is_going_back = deposit.refund.as_ref().is_some_and(|refund| refund.state == "held");
        let settled = [DepositState::Rejected, DepositState::Refunded, DepositState::Credited];
        Self {
            id: deposit.id.clone(),
            title: format!("{amount} {coin} on {}", title_of(&deposit.chain, chains)),
            is_hash: false,
            is_alone: false,
            state: deposit.state.clone(),
            state_title: title(&deposit.state),
            message: deposit.message.clone().unwrap_or_default(),
            trouble: deposit
                .chain_status
                .detail
                .filter(|_| deposit.confirmations.is_some())
                .unwrap_or_default(),
            value: deposit
                .value
                .map(|value| SignedDollars(value.0).to_string())
                .unwrap_or_default(),
            confirmations: deposit
                .confirmations
                .map(|so_far| format!("{}/{} confirmations", so_far.seen, so_far.needed))
                .unwrap_or_default(),
            seen,
            needed: needed.max(1),
            is_waiting: is_going_back
                || deposit.is_provisional
                || state.is_none_or(|state| !settled.contains(&state)),
            found: String::new(),
            to_prove: deposit.next_step.as_ref().map(|step| step.address.clone()),
        }
    }

    /// For the page that is about nothing else.
    pub(super) fn alone(self) -> Self {
        Self { is_alone: true, ..self }
    }

    pub(super) fn of_claim(claim: &Claim, chains: &[Chain]) -> Self {
        let state = ClaimState::parse(&claim.state);
        let waits = [ClaimState::Submitted, ClaimState::NotFound];
        let is_waiting = state.is_some_and(|state| waits.contains(&state));
        Self {
            id: claim.id.clone(),
            title: format!("{} on {}", claim.tx_hash, title_of(&claim.chain, chains)),
            is_hash: true,
            is_alone: false,
            state: claim.state.clone(),
            state_title: title(&claim.state),
            message: claim.message.clone().unwrap_or_default(),
            trouble: claim.chain_status.detail.filter(|_| is_waiting).unwrap_or_default(),
            value: String::new(),
            confirmations: String::new(),
            seen: 0,
            needed: 1,
            is_waiting,
            found: found_in(claim),
            to_prove: None,
        }
    }
}

pub(super) fn facts_of_deposit(deposit: &Deposit) -> Vec<Fact> {
    let mut facts = vec![
        ("Chain", format!("{} ({})", deposit.chain, deposit.chain_id)),
        ("Transaction", deposit.tx_hash.clone()),
        ("Transfer index", deposit.ordinal.to_string()),
        ("From", deposit.payer.clone()),
        ("To", deposit.payee.clone()),
        ("Raw amount", deposit.raw_amount.clone()),
        ("Block", deposit.block_number.to_string()),
        ("Block hash", deposit.block_hash.clone()),
    ];
    if let Some(token) = &deposit.token {
        facts.push(("Token contract", token.clone()));
    }
    if let Some(price) = &deposit.price {
        facts.push(("Price feed", price.feed.clone()));
        let said = [("Price feed round", &price.round), ("Price feed answer", &price.answer)];
        facts.extend(said.into_iter().filter_map(|(name, text)| Some((name, text.clone()?))));
    }
    if let Some(refund) = &deposit.refund {
        facts.push(("Refund", refund.id.clone()));
        facts.extend(refund.tx_hash.clone().map(|hash| ("Refund transaction", hash)));
    }
    facts.into_iter().map(|(name, text)| Fact { name, text }).collect()
}

pub(super) fn facts_of_claim(claim: &Claim) -> Vec<Fact> {
    let facts = [("Chain", claim.chain.clone()), ("Transaction", claim.tx_hash.clone())];
    facts.into_iter().map(|(name, text)| Fact { name, text }).collect()
}

/// The deposits of a claim in one line.
fn found_in(claim: &Claim) -> String {
    let found = claim.deposits.iter().flatten();
    found.map(|one| format!("{} {}", one.id, one.state)).collect::<Vec<_>>().join(", ")
}

/// A chain's name for people.
fn title_of(name: &str, chains: &[Chain]) -> String {
    let known = chains.iter().find(|chain| chain.name == name);
    known.map_or_else(|| format!("chain {name}"), |chain| chain.display_name.clone())
}

/// `below_minimum` is `Below minimum`. The script says it the same way.
fn title(state: &str) -> String {
    let words = state.replace('_', " ");
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::title;

    #[test]
    fn states_are_words() {
        assert_eq!([title("seen"), title("below_minimum")], ["Seen", "Below minimum"]);
    }
}
