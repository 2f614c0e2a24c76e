//! How a deposit stands for people, its refund included. A deposit that was credited keeps that
//! state in its row when it is paid back, for the books hold credit and refund against each other;
//! people are told what became of the money.

use crate::db::models::deposit_refunds::RefundRow;
use crate::db::models::deposits::DepositRow;
use crate::domain::deposit::{DepositReason, DepositState, RefundState};

/// How much of a credited deposit is on its way back, or went back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundedShare {
    /// Everything that was credited.
    Whole,
    /// Some of it.
    Part,
}

/// How much of what was credited a refund is; `None` for a deposit that was not.
#[must_use]
pub fn share(row: &DepositRow, refund: &RefundRow) -> Option<RefundedShare> {
    let value = row.value_nanousd.filter(|_| row.state == DepositState::Credited)?;
    Some(if refund.amount_nanousd >= value { RefundedShare::Whole } else { RefundedShare::Part })
}

/// The word of the state: `refunded` too where a credit was paid back whole. `refund` is the one
/// that is held or posted.
#[must_use]
pub fn state(row: &DepositRow, refund: Option<&RefundRow>) -> &'static str {
    let is_back = |refund: &&RefundRow| {
        refund.state == RefundState::Posted && share(row, refund) == Some(RefundedShare::Whole)
    };
    match refund.filter(is_back) {
        Some(_) => DepositState::Refunded.as_str(),
        None => row.state.as_str(),
    }
}

/// What that means, and what to do next.
#[must_use]
pub fn sentence(row: &DepositRow, refund: Option<&RefundRow>) -> String {
    if let Some(words) = refund.and_then(|refund| of_refund(row, refund)) {
        return words;
    }
    row.reason.map_or_else(|| row.state.sentence(), DepositReason::sentence).to_owned()
}

/// What a refund makes of it; `None` where something else happened to the deposit.
fn of_refund(row: &DepositRow, refund: &RefundRow) -> Option<String> {
    let amount = refund.amount_nanousd;
    let paid = paid_by(refund);
    match (row.state, refund.state) {
        (DepositState::Credited, RefundState::Posted) => Some(match share(row, refund)? {
            RefundedShare::Whole => format!("Refunded ${amount}{paid}."),
            RefundedShare::Part => {
                format!("Credited to your balance. Refunded ${amount} of it{paid}.")
            }
        }),
        (DepositState::Credited, RefundState::Held) => Some(format!(
            "Credited to your balance. ${amount} of it was removed again for a refund to you."
        )),
        (DepositState::Refunded, RefundState::Posted) => Some(match row.value_nanousd {
            Some(value) => {
                format!("Refunded{paid}, instead of crediting ${value}.")
            }
            None => format!("Refunded{paid}, instead of crediting it."),
        }),
        _ => None,
    }
}

/// ` on 2026-11-29 by the transaction 0x…`
fn paid_by(refund: &RefundRow) -> String {
    let day = refund.updated_at.day();
    let by = refund.tx_hash.map(|hash| format!(" by the transaction {hash}"));
    format!(" on {day}{}", by.unwrap_or_default())
}
