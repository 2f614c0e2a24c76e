//! Balances of coins: of many addresses in one call, and of one address with its nonce. A balance
//! credits nothing; it is a reason to look closer.

use serde_json::json;

use super::provider::{BlockId, Provider, ProviderError, RpcCall, quantity, read};
use super::quorum::{QuorumResult, agree, ask_each};
use super::wire::Hex;
use crate::domain::evm::{EvmAddress, RawAmount, to_hex};

/// Addresses in one call at most. With these the code has 20 kB and its answer 16 kB, below the
/// limits of EIP-3860 and EIP-170.
pub const ADDRESSES_MAX: usize = 1_000;

/// Gas for one call; 1,000 cold balances take some 7 million with the price of the answer.
const GAS: u64 = 16_000_000;

/// Bytes of one balance in the answer.
const BALANCE_BYTES: usize = 16;

/// Code that is run as a contract's creation, so that no contract has to stand on the chain. The
/// addresses follow it, 20 bytes each; it returns their balances, 16 bytes each.
///
/// ```text
/// 00  PUSH1 2a  PUSH1 00                         the place in the code, and in the answer
/// 04  JUMPDEST  DUP2 CODESIZE GT PUSH1 0e JUMPI  while there is an address
/// 0b  PUSH1 00 RETURN                            the answer so far is the whole one
/// 0e  JUMPDEST  PUSH1 20 DUP3 DUP3 CODECOPY      the address and what follows it
/// 14  DUP1 MLOAD PUSH1 60 SHR BALANCE            its balance
/// 1a  PUSH1 80 SHL DUP2 MSTORE                   the lower half of it
/// 1f  PUSH1 10 ADD SWAP1 PUSH1 14 ADD SWAP1      16 bytes on, and 20
/// 27  PUSH1 04 JUMP
/// ```
const CODE: [u8; 42] = [
    0x60, 0x2a, 0x60, 0x00, 0x5b, 0x81, 0x38, 0x11, 0x60, 0x0e, 0x57, 0x60, 0x00, 0xf3, 0x5b, 0x60,
    0x20, 0x82, 0x82, 0x39, 0x80, 0x51, 0x60, 0x60, 0x1c, 0x31, 0x60, 0x80, 0x1b, 0x81, 0x52, 0x60,
    0x10, 0x01, 0x90, 0x60, 0x14, 0x01, 0x90, 0x60, 0x04, 0x56,
];

/// What an address has at a block, and how many transactions it has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressState {
    /// In the smallest unit.
    pub balance: u128,
    /// Transactions sent.
    pub nonce: u64,
}

/// The balances of at most [`ADDRESSES_MAX`] addresses at a block, in their order.
pub async fn balances(
    providers: &[Provider],
    quorum: usize,
    addresses: &[EvmAddress],
    at: BlockId,
) -> QuorumResult<Vec<u128>> {
    let mut code = CODE.to_vec();
    code.extend(addresses.iter().flat_map(|address| address.0));
    let call = json!({ "data": to_hex(&code), "gas": quantity(GAS) });
    let call = RpcCall::new("eth_call", json!([call, at.to_param()]));
    let ask = |provider: &'_ Provider| {
        let (provider, call) = (provider.clone(), call.clone());
        async move {
            let Hex(answer): Hex<Vec<u8>> = provider.ask_one(call).await?;
            let (balances, rest) = answer.as_chunks::<BALANCE_BYTES>();
            if balances.len() != addresses.len() || !rest.is_empty() {
                return Err(ProviderError::BadAnswer("not a balance for each address"));
            }
            Ok(balances.iter().map(|bytes| u128::from_be_bytes(*bytes)).collect())
        }
    };
    agree(ask_each(providers, ask).await, quorum, |_, _| "balances")
}

/// How an address stands at the end of a block.
pub async fn standing(
    providers: &[Provider],
    quorum: usize,
    address: EvmAddress,
    number: u64,
) -> QuorumResult<AddressState> {
    let params = json!([address.to_string(), quantity(number)]);
    let ask = |provider: &'_ Provider| {
        let (provider, params) = (provider.clone(), params.clone());
        async move {
            let calls = [
                RpcCall::new("eth_getBalance", params.clone()),
                RpcCall::new("eth_getTransactionCount", params),
            ];
            let [balance, nonce] = provider.ask_all(calls).await?;
            let (Hex(balance), Hex(nonce)): (Hex<RawAmount>, Hex<u64>) =
                (read(balance)?, read(nonce)?);
            let balance = balance.to_u128();
            let balance =
                balance.ok_or(ProviderError::Implausible("a balance beyond all coins"))?;
            Ok(AddressState { balance, nonce })
        }
    };
    agree(ask_each(providers, ask).await, quorum, |_, _| "balance")
}
