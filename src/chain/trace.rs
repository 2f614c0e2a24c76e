//! Coins that a transaction moved, at its top and inside. A frame counts only if neither it nor any frame above it
//! failed: a node reports no error for a call whose caller was undone after it.

use serde_json::json;
use serde_json::value::RawValue;

use super::facts::{TRANSFERS_MAX, Transfer};
use super::rpc::{Call, CallError, ProviderError, read};
use super::wire::{FrameBody, Hex, TxBody};
use crate::domain::deposit::Asset;
use crate::domain::evm::{RawAmount, TxHash};

/// The call for a transaction's frames.
#[must_use]
pub fn call(tx_hash: TxHash) -> Call {
    let options = json!({ "tracer": "callTracer", "timeout": "10s" });
    Call::new("debug_traceTransaction", json!([tx_hash.to_string(), options]))
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

/// Reads a trace into the transfers of coins that took effect, and holds its top against the transaction.
///
/// # Errors
/// [`ProviderError`].
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

/// The transfers of a frame and those below it, depth first.
fn transfers(top: &FrameBody) -> Result<Vec<Transfer>, ProviderError> {
    let mut found = Vec::new();
    // The next frame to look at is the last.
    let mut open = vec![top];
    while let Some(frame) = open.pop() {
        if frame.error.is_some() {
            continue;
        }
        open.extend(frame.calls.iter().flatten().rev());
        // A delegate call repeats the value of its caller, and a code call pays itself.
        let moves = matches!(frame.kind.as_str(), "CALL" | "CREATE" | "CREATE2" | "SELFDESTRUCT");
        let raw = amount(frame);
        if !moves || raw.is_zero() {
            continue;
        }
        let (Some(Hex(from)), Some(Hex(to))) = (frame.from, frame.to) else {
            return Err(ProviderError::BadAnswer("a frame without its ends"));
        };
        if found.len() >= TRANSFERS_MAX {
            return Err(ProviderError::TooLarge);
        }
        let place = i32::try_from(found.len()).map_err(|_| ProviderError::TooLarge)?;
        let ordinal = (-1_i32).saturating_sub(place);
        found.push(Transfer { ordinal, asset: Asset::Native, from, to, raw });
    }
    Ok(found)
}

fn amount(frame: &FrameBody) -> RawAmount {
    frame.value.map_or(RawAmount::ZERO, |value| value.0)
}
