//! Signatures of wallets that may not be deployed yet (ERC-6492): who deploys the wallet, and how,
//! comes with the signature. One call without a contract deploys it for the moment, if there is
//! none at its address, and asks it as EIP-1271 says; nothing of that stays.

use serde_json::json;

use super::contract::{ask_at, outcome};
use super::provider::{BlockId, Provider, RpcCall, quantity};
use super::quorum::{QuorumResult, agree, ask_each};
use super::types::{MAGIC_WORD, Wrapped, is_valid_signature_call};
use crate::domain::evm::{EvmAddress, to_hex};

/// What the deployment, and the call's own data, may use up beside the signature's gas.
const DEPLOYMENT_GAS: u64 = 8_000_000;

/// Where the code's second part begins, and where its data does.
const SECOND: u8 = 0x56;
const DATA: usize = 0xba;

/// Asks a wallet, deployed for the moment if need be, whether a signature is its own. Any answer
/// but the magic word, and a deployment that fails, mean no.
pub(super) async fn is_valid_signature(
    providers: &[Provider],
    quorum: usize,
    wallet: EvmAddress,
    (hash, wrapped): (&[u8; 32], &Wrapped),
    (gas, at): (u64, BlockId),
) -> QuorumResult<bool> {
    let question = is_valid_signature_call(*hash, &wrapped.signature);
    let code = code(wallet, wrapped, &question, gas);
    let all_gas = quantity(gas.saturating_add(DEPLOYMENT_GAS));
    let call = code.map(|code| json!({ "data": to_hex(&code), "gas": all_gas }));
    let ask = |provider: &'_ Provider| {
        let (provider, call) = (provider.clone(), call.clone());
        async move {
            // It is longer than any code may be.
            let Some(call) = call else { return Ok(false) };
            let call = |at: BlockId| RpcCall::new("eth_call", json!([call, at.to_param()]));
            let read =
                |answer| outcome(answer).map(|outcome| outcome.returned().is_some_and(is_one));
            ask_at(&provider, at, call, read).await
        }
    };
    agree(ask_each(providers, ask).await, quorum, |_, _| "validity of the signature")
}

/// The code: it returns one word, 1 if the wallet accepts the signature, else 0. The data of both
/// calls follows it.
fn code(wallet: EvmAddress, wrapped: &Wrapped, question: &[u8], gas: u64) -> Option<Vec<u8>> {
    let gas = u32::try_from(gas).ok()?;
    let question_at = DATA.checked_add(wrapped.data.len())?;
    let parts: [&[u8]; 17] = [
        // Where there is code at the wallet's address, the second part follows at once:
        // PUSH20 wallet, EXTCODESIZE, PUSH2 second, JUMPI
        &[0x73],
        &wallet.0,
        &[0x3b, 0x61, 0x00, SECOND, 0x57],
        // The factory is called with its data, and nothing of its answer is kept.
        &copy(wrapped.data.len(), DATA)?,
        &[0x60, 0x00, 0x60, 0x00, 0x62],
        &three(wrapped.data.len())?,
        &[0x60, 0x00, 0x60, 0x00, 0x73],
        &wrapped.factory.0,
        // GAS, CALL; on success PUSH2 second, JUMPI; else a word of zeros is returned.
        &[0x5a, 0xf1, 0x61, 0x00, SECOND, 0x57],
        &[0x60, 0x00, 0x60, 0x00, 0x52, 0x60, 0x20, 0x60, 0x00, 0xf3],
        // JUMPDEST; the wallet is asked by STATICCALL, and one word of its answer is kept.
        &[0x5b],
        &copy(question.len(), question_at)?,
        &[0x60, 0x20, 0x60, 0x00, 0x62],
        &three(question.len())?,
        &[0x60, 0x00, 0x73],
        &wallet.0,
        &[0x63],
    ];
    let mut code = parts.concat();
    code.extend(gas.to_be_bytes());
    // STATICCALL; RETURNDATASIZE PUSH1 32 EQ AND; PUSH1 0 MLOAD PUSH32 magic EQ AND; that is
    // returned.
    code.extend([0xfa, 0x3d, 0x60, 0x20, 0x14, 0x16, 0x60, 0x00, 0x51, 0x7f]);
    code.extend(MAGIC_WORD);
    code.extend([0x14, 0x16, 0x60, 0x00, 0x52, 0x60, 0x20, 0x60, 0x00, 0xf3]);
    code.extend(&wrapped.data);
    code.extend(question);
    Some(code)
}

/// `PUSH3 length PUSH3 place PUSH1 0 CODECOPY`
fn copy(length: usize, place: usize) -> Option<Vec<u8>> {
    let (length, place) = (three(length)?, three(place)?);
    Some([&[0x62][..], &length, &[0x62], &place, &[0x60, 0x00, 0x39]].concat())
}

/// A number in three bytes.
fn three(number: usize) -> Option<[u8; 3]> {
    let [0, bytes @ ..] = u32::try_from(number).ok()?.to_be_bytes() else { return None };
    Some(bytes)
}

fn is_one(word: &[u8]) -> bool {
    word.split_last().is_some_and(|(last, rest)| {
        *last == 1 && rest.len() == 31 && rest.iter().all(|&byte| byte == 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_and_copies_go_where_the_code_has_its_parts() {
        let wrapped =
            Wrapped { factory: EvmAddress([0xfa; 20]), data: vec![0xdd; 7], signature: Vec::new() };
        let code = code(EvmAddress([0x11; 20]), &wrapped, &[0xcc; 9], 3_000_000).unwrap();
        assert_eq!(code[usize::from(SECOND)], 0x5b);
        assert_eq!((&code[DATA..DATA + 7], &code[DATA + 7..]), (&[0xdd; 7][..], &[0xcc; 9][..]));
        assert_eq!((three(0x0001_0203), three(0x0100_0000)), (Some([1, 2, 3]), None));
    }
}
