//! `/api/v1/wallets`: the wallets that an account has proven, and how it proves one.

use std::borrow::Cow;

use actix_web::web::{Data, Path};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use super::answer::{CreatedOnce, Json, NoContent};
use super::extractors::{AccountCaller, Body, Fields, SessionCaller};
use super::refusal::Refusal;
use super::values::{List, Moment, word_of, word_or_null};
use super::{Api, proof};
use crate::config::Chain;
use crate::db::AnyConnection;
use crate::db::models::wallets::{self as rows, EVERY_CHAIN, WalletRow};
use crate::deposits::clipboard;
use crate::deposits::proof_error::ProofError;
use crate::deposits::siwe::SiweMessage;
use crate::deposits::wallets::{self, Linked};
use crate::domain::evm::EvmAddress;
use crate::domain::ids::AccountId;

/// A request for a message to sign.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// The chain of the wallet, if it is a contract: a chain name.
    #[schema(example = "base")]
    chain: String,
    /// The wallet address; if it has mixed case, its checksum (EIP-55) must be valid.
    #[schema(pattern = "^0x[0-9a-fA-F]{40}$")]
    address: String,
}

impl Fields for Wanted {
    const FIELDS: &'static str = "chain, address (both text)";
}

/// A signed message.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Signed {
    /// The message exactly as signed. Line endings and surrounding blanks may differ.
    message: String,
    /// `0x` and hexadecimal digits: the signature of a key (also compact, ERC-2098) or of a
    /// contract wallet. An undeployed wallet adds its deployment (ERC-6492). A contract that has
    /// approved the message on its chain sends just `0x`.
    #[schema(pattern = "^0[xX]([0-9a-fA-F]{2}){0,8192}$")]
    signature: String,
}

impl Fields for Signed {
    const FIELDS: &'static str = "message, signature (both text)";
}

/// A message to sign, and its expiry.
#[derive(Serialize, ToSchema)]
pub(super) struct Challenge {
    /// The text to sign unchanged (ERC-4361).
    message: String,
    /// The single-use nonce in it.
    nonce: String,
    /// When it expires.
    #[schema(value_type = Option<Moment>)]
    expires_at: Option<String>,
}

/// A linked wallet.
#[derive(Debug, Serialize, ToSchema)]
pub struct Wallet {
    /// Its id.
    #[schema(example = "wal_0123456789abcdefghjkmnpq")]
    pub id: String,
    /// The address with its checksum (EIP-55).
    pub address: Option<String>,
    /// `eoa`: a key pair, valid on every chain; `contract`: a contract on one chain.
    #[schema(schema_with = kinds)]
    pub kind: String,
    /// The contract's chain; null for a key.
    pub chain: Option<String>,
    /// When it was linked.
    pub proven_at: Moment,
    /// When the link ended.
    pub ended_at: Option<Moment>,
    /// `moved`: another account has linked it.
    #[schema(schema_with = end_reasons)]
    pub end_reason: Option<String>,
    /// The owner's name for it, set on the website.
    pub label: Option<String>,
}

fn kinds() -> Object {
    word_of(["eoa", "contract"], None)
}

fn end_reasons() -> Object {
    word_or_null(["moved"])
}

/// Create a message to sign.
///
/// A wallet is linked by signing this message (ERC-4361). Nothing is transferred.
#[utoipa::path(
    post, path = "/api/v1/wallets/challenge", operation_id = "create_wallet_challenge",
    responses(
        (status = 200, description = "The message."),
        (status = 400, description = "`invalid_address`: not a valid address."),
        (status = 404, description = "`unknown_chain`: no chain with this name."),
        (status = 429, description = "`too_many_challenges`."),
    ),
)]
pub(super) async fn challenge(
    caller: AccountCaller,
    api: Data<Api>,
    body: Body<Wanted>,
) -> Result<Json<Challenge>, Refusal> {
    let Wanted { chain, address } = body.0;
    let chain_id = api.chain(&chain)?.chain_id;
    let address = clipboard::address(&address);
    let address = EvmAddress::parse_written(&address).map_err(Refusal::Address)?;
    let (origin, lifetime) = (api.origin.clone(), api.deposits().challenge);
    let (account_id, now) = (caller.account_id, api.now());
    let challenged = api.run(move |conn| {
        let wallet = (address, chain_id);
        wallets::challenge(conn, &origin, account_id, wallet, lifetime, now)
    });
    let message = challenged.await?.ok_or(Refusal::TooManyChallenges)?;
    Ok(Json(Challenge {
        message: message.to_string(),
        expires_at: message.expires_at.map(|moment| moment.to_string()),
        nonce: message.nonce,
    }))
}

/// Link a wallet.
///
/// Payments of the wallet to a shared address are credited to this account: all later ones, and
/// earlier ones that belong to no account yet. A wallet linked to another account moves to this
/// one.
#[utoipa::path(
    post, path = "/api/v1/wallets", operation_id = "link_wallet",
    responses(
        (status = 201, description = "Linked."),
        (status = 200, description = "Already linked to this account."),
        (status = 400,
            description = "`message_too_long`, `message_malformed`, `message_version`, \
                `signature_malformed`."),
        (status = 403,
            description = "`other_account`, `signature_wrong`, `wallet_not_deployed`, \
                `contract_refused`, `deployment_refused`: the signature is not from this wallet, \
                or is for another account."),
        (status = 404, description = "`unknown_chain`."),
        (status = 409,
            description = "`nonce_used`: request a new message. `too_many_wallets`: unlink one \
                first. `wallet_in_debt`: it was linked to an account that was deleted with a \
                debt."),
        (status = 422,
            description = "Not a valid message of this service: `foreign_domain`, `foreign_uri`, \
                `wrong_address`, `wrong_chain`, `unknown_nonce`, `message_expired`, \
                `message_not_yet_valid`, `issued_in_future`."),
        (status = 503,
            description = "`chain_unavailable`: a contract wallet cannot be checked on its chain \
                now."),
    ),
)]
pub(super) async fn create(
    caller: AccountCaller,
    api: Data<Api>,
    body: Body<Signed>,
) -> Result<CreatedOnce<Wallet>, Refusal> {
    let Signed { message, signature } = body.0;
    let (row, is_new) = linked(&api, caller.account_id, &message, &signature).await?;
    let document = document(api.chains(), &row);
    Ok(if is_new { CreatedOnce::Now(document) } else { CreatedOnce::Before(document) })
}

/// Links the wallet that has signed a message, as [`create`] does.
///
/// # Errors
/// Why not, in a sentence, and whether the message may be signed once more: nothing was used up.
pub async fn link(
    api: &Api,
    account_id: AccountId,
    message: &str,
    signature: &str,
) -> Result<Wallet, (Cow<'static, str>, bool)> {
    match linked(api, account_id, message, signature).await {
        Ok((row, _)) => Ok(document(api.chains(), &row)),
        Err(refusal) => {
            let keeps = matches!(refusal, Refusal::Proof(ProofError::SignatureForm));
            Err((refusal.tell().message, keeps))
        }
    }
}

/// The wallet that has signed, linked now; whether it was not before.
async fn linked(
    api: &Api,
    account_id: AccountId,
    text: &str,
    signature: &str,
) -> Result<(WalletRow, bool), Refusal> {
    let written = text;
    let text = &*clipboard::message(written);
    let message = SiweMessage::parse(text)?;
    let signature = proof::signature(signature)?;
    let now = api.now();
    let (origin, unchecked) = (api.origin.clone(), message.clone());
    let checked =
        api.run(move |conn| wallets::check(conn, &origin, account_id, &unchecked, now)).await?;
    checked?;
    let chain = api.chains().iter().find(|chain| chain.chain_id == message.chain_id);
    let chain = chain.ok_or(Refusal::UnknownChain)?;
    let proof = proof::prove(api, chain, &message, (text, written), signature).await?;
    let (limits, key) = (api.deposits().clone(), api.parts.context.tombstones.clone());
    let most = limits.wallets_max_per_account;
    let link = move |conn: &mut AnyConnection| {
        wallets::link(conn, account_id, &message, proof, (&limits, &key), now)
    };
    let linked = api.run(link).await?;
    match linked {
        Linked::New(row) => Ok((row, true)),
        Linked::Before(row) => Ok((row, false)),
        Linked::NonceUsed => Err(ProofError::NonceUsed.into()),
        Linked::InDebt => Err(Refusal::WalletInDebt),
        Linked::TooMany => Err(Refusal::TooManyWallets(most)),
    }
}

/// List wallets.
///
/// Linked wallets, and wallets that moved to another account, newest first.
#[utoipa::path(
    get, path = "/api/v1/wallets", operation_id = "list_wallets",
    responses((status = 200, description = "The complete list.")),
)]
pub(super) async fn list(
    caller: AccountCaller,
    api: Data<Api>,
) -> Result<Json<List<Wallet>>, Refusal> {
    let account_id = caller.account_id;
    let rows = api.run(move |conn| rows::of_account(conn, account_id)).await?;
    let data = rows.iter().map(|row| document(api.chains(), row)).collect();
    Ok(Json(List { data }))
}

/// Unlink a wallet.
///
/// Later payments of the wallet belong to nobody until it is linked again. Therefore this requires
/// a session, not a key.
#[utoipa::path(
    delete, path = "/api/v1/wallets/{id}", operation_id = "unlink_wallet",
    params(("id" = String, Path, description = "A wallet (`wal_…`).")),
    responses(
        (status = 204, description = "Unlinked."),
        (status = 404, description = "`not_found`: no linked wallet of this account."),
    ),
)]
pub(super) async fn delete(
    caller: SessionCaller,
    api: Data<Api>,
    id: Path<String>,
) -> Result<NoContent, Refusal> {
    let (account_id, now) = (caller.session.account_id(), api.now());
    let id = id.into_inner();
    let is_ended = api.run(move |conn| wallets::unlink(conn, account_id, &id, now));
    if is_ended.await? { Ok(NoContent) } else { Err(Refusal::NotFound) }
}

/// A wallet as it is told.
#[must_use]
pub fn document(chains: &[Chain], row: &WalletRow) -> Wallet {
    let chain = chains.iter().find(|chain| chain.chain_id == row.chain_id);
    let chain = match chain {
        _ if row.chain_id == EVERY_CHAIN => None,
        Some(chain) => Some(chain.name.clone()),
        // Its chain is not offered any more.
        None => Some(row.chain_id.to_string()),
    };
    Wallet {
        id: row.public_id.clone(),
        address: Some(row.address.checksummed()),
        kind: row.kind.clone(),
        chain,
        proven_at: Moment(row.proven_at),
        ended_at: row.ended_at.map(Moment),
        end_reason: row.end_reason.clone(),
        label: row.label.clone(),
    }
}
