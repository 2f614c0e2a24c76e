//! Coins that a transaction moved, at its top and inside. A frame counts only if neither it nor any
//! frame above it failed: a node reports no error for a call whose caller was undone after it.

use serde_json::json;
use serde_json::value::RawValue;

use super::provider::{CallError, ProviderError, RpcCall, read};
use super::transfer::{TRANSFERS_MAX, Transfer};
use super::wire::{FrameBody, Hex, TxBody};
use crate::domain::deposit::Asset;
use crate::domain::evm::{EvmAddress, RawAmount, TxHash};

/// The call for a transaction's frames.
#[must_use]
pub fn call(tx_hash: TxHash) -> RpcCall {
    let options = json!({ "tracer": "callTracer", "timeout": "10s" });
    RpcCall::new("debug_traceTransaction", json!([tx_hash.to_string(), options]))
}

/// What the transaction itself carries to an address.
///
/// # Errors
/// [`ProviderError::BadAnswer`] where it does not say how much.
pub fn top_level(tx: &TxBody) -> Result<Option<Transfer>, ProviderError> {
    let Hex(raw) = tx.value.ok_or(ProviderError::BadAnswer("a transaction without a value"))?;
    let transfer =
        |Hex(to)| Transfer { ordinal: -1, asset: Asset::Native, from: tx.from.0, to, raw };
    Ok(tx.to.filter(|_| !raw.is_zero()).map(transfer))
}

/// Reads a trace into the transfers of coins that took effect, and holds its top against the
/// transaction.
pub fn read_transfers(
    answer: Result<Box<RawValue>, CallError>,
    tx: &TxBody,
    is_success: bool,
) -> Result<Vec<Transfer>, ProviderError> {
    let top: FrameBody = read(answer)?;
    let is_same = top.from == Some(tx.from)
        && (tx.to.is_none() || top.to == tx.to)
        && amount(&top) == tx.value.map_or(RawAmount::ZERO, |value| value.0)
        && top.error.is_none() == is_success;
    if !is_same {
        return Err(ProviderError::Implausible("a trace of another transaction"));
    }
    transfers(&top)
}

/// The transfers of the top frame and those below it, depth first.
fn transfers(top: &FrameBody) -> Result<Vec<Transfer>, ProviderError> {
    let mut found = Vec::new();
    if top.error.is_none() {
        take(top, None, &mut found)?;
        walk(top, funder(top, top.from), &mut found)?;
    }
    Ok(found)
}

/// The transfers below a frame. `funder` is whoever sent the coins that contracts pass on in it;
/// where they pay from what they held before, each pays for itself. (So a signer who pays through a
/// contract is the payer, and one who only sets off the payment of somebody else's wallet is not.)
fn walk(
    frame: &FrameBody,
    funder_above: Option<Hex<EvmAddress>>,
    found: &mut Vec<Transfer>,
) -> Result<(), ProviderError> {
    for child in effective(frame) {
        match kind(child) {
            CallKind::Moves => {
                take(child, funder_above, found)?;
                walk(child, funder(child, funder_above), found)?;
            }
            // It acts with its caller's coins.
            CallKind::ForCaller => walk(child, funder_above, found)?,
            CallKind::Other => walk(child, None, found)?,
        }
    }
    Ok(())
}

/// Notes what a frame moves. A trace is never deeper than its JSON may be nested, so this ends.
fn take(
    frame: &FrameBody,
    funder: Option<Hex<EvmAddress>>,
    found: &mut Vec<Transfer>,
) -> Result<(), ProviderError> {
    let raw = amount(frame);
    if raw.is_zero() || kind(frame) != CallKind::Moves {
        return Ok(());
    }
    let (Some(Hex(from)), Some(Hex(to))) = (funder.or(frame.from), frame.to) else {
        return Err(ProviderError::BadAnswer("a frame without its ends"));
    };
    if found.len() >= TRANSFERS_MAX {
        return Err(ProviderError::TooLarge);
    }
    let place = i32::try_from(found.len()).map_err(|_| ProviderError::TooLarge)?;
    let ordinal = (-1_i32).saturating_sub(place);
    found.push(Transfer { ordinal, asset: Asset::Native, from, to, raw });
    Ok(())
}

/// `funder_above` if the frame passes on no more than it was sent, so that the coins are still
/// theirs.
fn funder(frame: &FrameBody, funder_above: Option<Hex<EvmAddress>>) -> Option<Hex<EvmAddress>> {
    let received = amount(frame).to_u128();
    funder_above.filter(
        |_| matches!((received, spent(frame)), (Some(received), Some(spent)) if spent <= received),
    )
}

/// What a frame pays from the coins of its contract; `None` where that cannot be added up.
fn spent(frame: &FrameBody) -> Option<u128> {
    effective(frame).try_fold(0_u128, |total, child| {
        let more = match kind(child) {
            CallKind::Moves => amount(child).to_u128()?,
            CallKind::ForCaller => spent(child)?,
            CallKind::Other => 0,
        };
        total.checked_add(more)
    })
}

/// The frames directly below that did not fail.
fn effective(frame: &FrameBody) -> impl Iterator<Item = &FrameBody> {
    frame.calls.iter().flatten().filter(|child| child.error.is_none())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CallKind {
    /// Its value goes from its caller to its callee.
    Moves,
    /// Foreign code that runs as its caller: the value that it shows is its caller's, or goes
    /// nowhere.
    ForCaller,
    /// Moves nothing.
    Other,
}

fn kind(frame: &FrameBody) -> CallKind {
    match frame.kind.as_str() {
        "CALL" | "CREATE" | "CREATE2" | "SELFDESTRUCT" => CallKind::Moves,
        "DELEGATECALL" | "CALLCODE" => CallKind::ForCaller,
        _ => CallKind::Other,
    }
}

fn amount(frame: &FrameBody) -> RawAmount {
    frame.value.map_or(RawAmount::ZERO, |value| value.0)
}
