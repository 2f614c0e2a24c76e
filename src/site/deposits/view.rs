//! How a deposit or a claim stands, in the words of its page and of the script that keeps the page
//! up to date.

use super::estimate::about;
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
    /// The word of its state.
    pub(in crate::site) state: String,
    pub(in crate::site) state_title: &'static str,
    pub(in crate::site) message: String,
    /// What is wrong with its chain, or nothing.
    pub(in crate::site) trouble: &'static str,
    /// What it is worth, or nothing yet.
    pub(in crate::site) value: String,
    /// `7/12 confirmations`, or nothing.
    pub(in crate::site) confirmations: String,
    /// `about 8 min`, or nothing.
    pub(in crate::site) about: String,
    pub(in crate::site) seen: i64,
    pub(in crate::site) needed: i64,
    /// Whether it can be expected to change by itself.
    pub(in crate::site) is_waiting: bool,
    /// What was found in a claimed transaction, as the script writes it: it notices when there is
    /// more.
    pub(in crate::site) found: String,
    /// The wallet that somebody has to prove.
    pub(in crate::site) to_prove: Option<String>,
    /// The way to a credit; nothing where it leads elsewhere.
    pub(in crate::site) steps: Vec<ProgressStep>,
}

/// A step on the way to a credit.
pub(in crate::site) struct ProgressStep {
    pub(in crate::site) title: &'static str,
    /// `done`, `now`, or nothing.
    pub(in crate::site) class: &'static str,
    /// Confirmations are counted at this one.
    pub(in crate::site) is_counted: bool,
}

impl DepositView {
    pub(super) fn of_deposit(deposit: &Deposit, chains: &[Chain]) -> Self {
        let so_far = deposit.confirmations;
        let (seen, needed) = so_far.map_or((0, 1), |so_far| (so_far.seen, so_far.needed));
        let state = DepositState::parse(&deposit.state);
        let is_going_back = deposit.refund.as_ref().is_some_and(|refund| refund.state == "held");
        let settled = [DepositState::Rejected, DepositState::Refunded, DepositState::Credited];
        let value = deposit.value.map(|value| SignedDollars(value.0).to_string());
        let value = value.or_else(|| expected(deposit, chains));
        let trouble = deposit.chain_status.detail.filter(|_| so_far.is_some());
        Self {
            id: deposit.id.clone(),
            title: format!("{} on {}", coins_of(deposit), title_of(&deposit.chain, chains)),
            is_hash: false,
            state: deposit.state.clone(),
            state_title: state.map_or("Unknown", title_of_deposit),
            message: deposit.message.clone().unwrap_or_default(),
            trouble: trouble.unwrap_or_default(),
            value: value.unwrap_or_default(),
            confirmations: so_far
                .map(|so_far| format!("{}/{} confirmations", so_far.seen, so_far.needed))
                .unwrap_or_default(),
            about: so_far.and_then(|so_far| so_far.about_secs).map(about).unwrap_or_default(),
            seen,
            needed: needed.max(1),
            is_waiting: is_going_back
                || deposit.is_provisional
                || state.is_none_or(|state| !settled.contains(&state)),
            found: String::new(),
            to_prove: deposit.next_step.as_ref().map(|step| step.address.clone()),
            steps: state.map(steps).unwrap_or_default(),
        }
    }

    pub(super) fn of_claim(claim: &Claim, chains: &[Chain]) -> Self {
        let state = ClaimState::parse(&claim.state);
        let waits = [ClaimState::Submitted, ClaimState::NotFound];
        let is_waiting = state.is_some_and(|state| waits.contains(&state));
        Self {
            id: claim.id.clone(),
            title: format!("{} on {}", claim.tx_hash, title_of(&claim.chain, chains)),
            is_hash: true,
            state: claim.state.clone(),
            state_title: state.map_or("Unknown", title_of_claim),
            message: claim.message.clone().unwrap_or_default(),
            trouble: claim.chain_status.detail.filter(|_| is_waiting).unwrap_or_default(),
            value: String::new(),
            confirmations: String::new(),
            about: String::new(),
            seen: 0,
            needed: 1,
            is_waiting,
            found: found_in(claim),
            to_prove: None,
            steps: if is_waiting { three(("Looking up", "now"), "", "") } else { Vec::new() },
        }
    }
}

/// `12.5 USDC`.
pub(super) fn coins_of(deposit: &Deposit) -> String {
    let amount = deposit.amount.as_deref().unwrap_or(&deposit.raw_amount);
    let coin = deposit.asset.as_deref().or(deposit.token.as_deref()).unwrap_or("coins");
    format!("{amount} {coin}")
}

/// What a token will count if it stays within its band, until it has been valued: `≈ $12.50`.
fn expected(deposit: &Deposit, chains: &[Chain]) -> Option<String> {
    let chain = chains.iter().find(|chain| chain.name == deposit.chain)?;
    let token = deposit.token.as_deref()?.parse().ok()?;
    let raw = deposit.raw_amount.parse().ok()?;
    chain.dollars(Some(token), raw).map(|value| format!("≈ {}", SignedDollars(value)))
}

/// A chain's name for people.
pub(super) fn title_of(name: &str, chains: &[Chain]) -> String {
    let known = chains.iter().find(|chain| chain.name == name);
    known.map_or_else(|| format!("chain {name}"), |chain| chain.display_name.clone())
}

/// The deposits of a claim in one line.
fn found_in(claim: &Claim) -> String {
    let found = claim.deposits.iter().flatten();
    found.map(|one| format!("{} {}", one.id, one.state)).collect::<Vec<_>>().join(", ")
}

/// A state in a word or two. The script says it the same way.
const fn title_of_deposit(state: DepositState) -> &'static str {
    match state {
        DepositState::Seen => "Seen",
        DepositState::Confirming => "Confirming",
        DepositState::Credited => "Credited",
        DepositState::Reversed => "Reversed",
        DepositState::Orphaned => "Dropped by the chain",
        DepositState::Held => "Under review",
        DepositState::Unattributed => "Unattributed",
        DepositState::BelowMinimum => "Below minimum",
        DepositState::Rejected => "Rejected",
        DepositState::Refunded => "Refunded",
        DepositState::Erased => "Erased",
    }
}

/// The same of a hash that was submitted.
const fn title_of_claim(state: ClaimState) -> &'static str {
    match state {
        ClaimState::Submitted => "Looking up",
        ClaimState::Matched => "Found",
        ClaimState::NotFound => "Not found yet",
        ClaimState::Rejected => "Rejected",
    }
}

fn steps(state: DepositState) -> Vec<ProgressStep> {
    let now = |title| three(("Seen", "done"), title, "");
    match state {
        DepositState::Seen => three(("Seen", "now"), "", ""),
        DepositState::Confirming => now(""),
        DepositState::Held => now("Under review"),
        DepositState::BelowMinimum => now("Waiting for more"),
        DepositState::Unattributed => now("Waiting for a linked wallet"),
        DepositState::Credited => three(("Seen", "done"), "", "done"),
        DepositState::Reversed
        | DepositState::Orphaned
        | DepositState::Rejected
        | DepositState::Refunded
        | DepositState::Erased => Vec::new(),
    }
}

/// First, what is in between (confirming unless it says otherwise), and the credit.
fn three(
    (first, class): (&'static str, &'static str),
    between: &'static str,
    last: &'static str,
) -> Vec<ProgressStep> {
    let step = |title, class, is_counted| ProgressStep { title, class, is_counted };
    let second = match (class, last) {
        (_, "done") => "done",
        ("done", _) => "now",
        _ => "",
    };
    let title = if between.is_empty() { "Confirming" } else { between };
    let is_counted = between.is_empty() && second == "now";
    vec![step(first, class, false), step(title, second, is_counted), step("Credited", last, false)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_words_of_its_own() {
        let mut titles: Vec<&str> =
            DepositState::ALL.iter().map(|&state| title_of_deposit(state)).collect();
        titles.sort_unstable();
        titles.dedup();
        assert_eq!(titles.len(), DepositState::ALL.len());
    }

    #[test]
    fn the_way_to_a_credit_has_one_step_that_is_now() {
        let classes = |state| steps(state).iter().map(|step| step.class).collect::<Vec<_>>();
        assert_eq!(classes(DepositState::Seen), ["now", "", ""]);
        assert_eq!(classes(DepositState::Confirming), ["done", "now", ""]);
        assert_eq!(classes(DepositState::Held), ["done", "now", ""]);
        assert_eq!(classes(DepositState::Credited), ["done", "done", "done"]);
        assert!(classes(DepositState::Refunded).is_empty());
        let counted = |state| steps(state).iter().filter(|step| step.is_counted).count();
        assert_eq!((counted(DepositState::Confirming), counted(DepositState::Held)), (1, 0));
    }
}
