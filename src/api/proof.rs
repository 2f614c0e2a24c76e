//! Whose signature it is: a key's, found out here, or a contract's, which its chain is asked about.

use std::time::Duration;

use super::refusal::Refusal;
use super::{Api, Chain};
use crate::chain::contract::{SIGNATURE_GAS, code, is_valid_signature};
use crate::chain::quorum::Verdict;
use crate::chain::rpc::{BlockId, Priority};
use crate::chain::types::{personal_message_hash, recover};
use crate::chain::{Provider, quorum::Agreement};
use crate::deposits::proof_error::ProofError;
use crate::deposits::siwe::Message;
use crate::deposits::wallets::{self, Proof};
use crate::domain::evm::parse_bytes;

/// Bytes of a signature. A contract's may hold those of many owners.
const SIGNATURE_BYTES_MAX: usize = 8192;

/// How long someone waits for a chain's answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Reads a signature.
pub(super) fn signature(text: &str) -> Result<Vec<u8>, ProofError> {
    let bytes = parse_bytes(text).map_err(|_| ProofError::SignatureForm)?;
    let is_sensible = !bytes.is_empty() && bytes.len() <= SIGNATURE_BYTES_MAX;
    if is_sensible { Ok(bytes) } else { Err(ProofError::SignatureForm) }
}

/// How the wallet that the message names has proven itself by the signature of `text`.
///
/// A key pair comes first, so that one with delegated code (EIP-7702) counts on every chain, as its key does. Only then
/// is the chain asked whether there is a contract, and that, whether the signature is its own (EIP-1271). The nonce is
/// used up before that, so that nobody asks providers more often than there are challenges.
pub(super) async fn prove(
    api: &Api,
    chain: &Chain,
    message: &Message,
    text: &str,
    signature: Vec<u8>,
) -> Result<Proof, Refusal> {
    let hash = personal_message_hash(text.as_bytes());
    if recover(&hash, &signature) == Ok(message.address) {
        return Ok(Proof::KeyPair);
    }
    let (nonce, now) = (message.nonce.clone(), api.now());
    if !api.run(move |conn| wallets::use_up(conn, &nonce, now)).await? {
        return Err(ProofError::NonceUsed.into());
    }
    let providers = api.parts.providers.get(&chain.chain_id);
    let providers: Vec<Provider> =
        providers.into_iter().flatten().map(|one| one.at(Priority::Claim)).collect();
    let (quorum, address) = (chain.quorum, message.address);
    let asked = async {
        let found = code(&providers, quorum, address, BlockId::Latest).await;
        if agreed(found)?.is_empty() {
            return Err(ProofError::SignatureWrong.into());
        }
        let signed = (&hash, signature.as_slice());
        let at = (SIGNATURE_GAS, BlockId::Latest);
        let valid = is_valid_signature(&providers, quorum, address, signed, at).await;
        if agreed(valid)? { Ok(()) } else { Err(ProofError::ContractRefused.into()) }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or(Err(Refusal::ChainUnavailable))?;
    Ok(Proof::Contract { hash, signature })
}

fn agreed<T>(verdict: Verdict<T>) -> Result<T, Refusal> {
    match verdict.agreement {
        Agreement::Agreed(value) => Ok(value),
        Agreement::TooFew { .. } | Agreement::Disagree { .. } => Err(Refusal::ChainUnavailable),
    }
}
