//! Whose signature it is: a key's, found out here, or a contract's, which its chain is asked about.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::refusal::Refusal;
use super::{Api, Chain};
use crate::chain::contract::code;
use crate::chain::provider::{BlockId, Priority};
use crate::chain::quorum::QuorumResult;
use crate::chain::signature::{SIGNATURE_GAS, is_valid_signature};
use crate::chain::types::{SignatureError, personal_message_hash, recover, unwrapped};
use crate::chain::{Provider, quorum::Agreement};
use crate::deposits::clipboard;
use crate::deposits::proof_error::ProofError;
use crate::deposits::siwe::SiweMessage;
use crate::deposits::wallets::{self, Proof};
use crate::domain::evm::parse_bytes;

/// Bytes of a signature, unless it is empty. A contract's may hold those of many owners.
const SIGNATURE_BYTES: RangeInclusive<usize> = 64..=8192;

/// How long someone waits for a chain's answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Reads a signature. The empty one is that of a contract whose owners have approved the message on
/// its chain. Shorter ones than a key's are a part of one that was copied, and refused before
/// anything is used up.
pub(super) fn signature(text: &str) -> Result<Vec<u8>, ProofError> {
    let text = clipboard::signature(text);
    let bytes = parse_bytes(&text).map_err(|_| ProofError::SignatureForm)?;
    let is_sensible = bytes.is_empty() || SIGNATURE_BYTES.contains(&bytes.len());
    if is_sensible { Ok(bytes) } else { Err(ProofError::SignatureForm) }
}

/// How the wallet that the message names has proven itself by the signature of `text`.
///
/// A key pair comes first, so that one with delegated code (EIP-7702) counts on every chain, as its
/// key does. Only then is the chain asked whether there is a contract, and that, whether the
/// signature is its own (EIP-1271). A wallet that is not deployed is proven for its chain by a
/// signature that deploys it (ERC-6492); that is kept and asked about again at the block of each
/// deposit, where the wallet either stands or is deployed by it once more. The nonce is used up
/// before the chain is asked, so that nobody asks providers more often than there are challenges.
///
/// `written` is the message as it came: whoever pasted it into a wallet may have signed the
/// clipboard's additions as well.
pub(super) async fn prove(
    api: &Api,
    chain: &Chain,
    message: &SiweMessage,
    (text, written): (&str, &str),
    signature: Vec<u8>,
) -> Result<Proof, Refusal> {
    let hash = personal_message_hash(text.as_bytes());
    let hash_written = personal_message_hash(written.as_bytes());
    let unwrapped = unwrapped(&signature);
    let of_key = unwrapped.as_ref().map_or(&signature, |wrapped| &wrapped.signature);
    let signers = [recover(&hash, of_key), recover(&hash_written, of_key)];
    if signers.contains(&Ok(message.address)) {
        return Ok(Proof::KeyPair);
    }
    let [by_key, _] = signers;
    let (nonce, now) = (message.nonce.clone(), api.now());
    if !api.run(move |conn| wallets::use_up(conn, &nonce, now)).await? {
        return Err(ProofError::NonceUsed.into());
    }
    let providers = api.parts.providers.get(&chain.chain_id);
    let providers: Vec<Provider> =
        providers.into_iter().flatten().map(|one| one.at(Priority::Claim)).collect();
    let (quorum, address) = (chain.quorum, message.address);
    let asked = async {
        if unwrapped.is_none() {
            let found = code(&providers, quorum, address, BlockId::Latest).await;
            if agreed(found)?.is_empty() {
                let is_keys = by_key.is_ok() || by_key == Err(SignatureError::HighS);
                let error =
                    if is_keys { ProofError::SignatureWrong } else { ProofError::NotDeployed };
                return Err(error.into());
            }
        }
        let at = (SIGNATURE_GAS, BlockId::Latest);
        let hashes = [hash, hash_written];
        for hash in hashes.iter().take(if hash == hash_written { 1 } else { 2 }) {
            let signed = (hash, signature.as_slice());
            let valid = is_valid_signature(&providers, quorum, address, signed, at).await;
            if agreed(valid)? {
                return Ok(*hash);
            }
        }
        let is_wrapped = unwrapped.is_some();
        let error =
            if is_wrapped { ProofError::DeploymentRefused } else { ProofError::ContractRefused };
        Err(error.into())
    };
    let asked = tokio::time::timeout(PATIENCE, asked).await;
    let hash = asked.unwrap_or(Err(Refusal::ChainUnavailable))?;
    Ok(Proof::Contract { hash, signature })
}

fn agreed<T>(verdict: QuorumResult<T>) -> Result<T, Refusal> {
    match verdict.agreement {
        Agreement::Agreed(value) => Ok(value),
        Agreement::TooFew { .. } | Agreement::Disagree { .. } => Err(Refusal::ChainUnavailable),
    }
}
