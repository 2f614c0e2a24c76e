//! `/api/v1/wallets`: the wallets that an account has proven, and how it proves one.

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Body, answer};
use super::refusal::Refusal;
use super::{Api, proof};
use crate::db::wallets::{self as rows, EVERY_CHAIN, WalletRow};
use crate::deposits::proof_error::ProofError;
use crate::deposits::siwe::Message;
use crate::deposits::wallets::{self, Linked};
use crate::domain::clock::UnixMillis;
use crate::domain::evm::EvmAddress;

/// What a message to sign is asked with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Where the wallet is asked, should it be a contract.
    chain: String,
    /// The wallet.
    address: String,
}

impl Body for Wanted {
    const FIELDS: &'static str = "chain, address (both text)";
}

/// A message, signed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    /// To the byte as it was signed.
    message: String,
    /// `0x` and hexadecimal digits.
    signature: String,
}

impl Body for Signed {
    const FIELDS: &'static str = "message, signature (both text)";
}

/// `POST /api/v1/wallets/challenge`: a message to sign.
pub(super) async fn challenge(http: HttpRequest, payload: Payload, api: Data<Api>) -> HttpResponse {
    answer(http, payload, &api, async |call| {
        let Wanted { chain, address } = call.body().await?;
        let chain_id = call.api.chain(&chain)?.chain_id;
        let address = EvmAddress::parse_written(&address).map_err(Refusal::Address)?;
        let (origin, lifetime) = (call.api.origin.clone(), call.api.deposits().challenge);
        let (account_id, now) = (call.principal.account_id, call.api.now());
        let challenged = call.api.run(move |conn| {
            let wallet = (address, chain_id);
            wallets::challenge(conn, &origin, account_id, wallet, lifetime, now)
        });
        let message = challenged.await?.ok_or(Refusal::TooManyChallenges)?;
        Ok(Answer::Document(json!({
            "message": message.to_string(),
            "nonce": message.nonce,
            "expires_at": message.expires_at.map(|moment| moment.to_string()),
        })))
    })
    .await
}

/// `POST /api/v1/wallets`: links the wallet that has signed.
pub(super) async fn create(http: HttpRequest, payload: Payload, api: Data<Api>) -> HttpResponse {
    answer(http, payload, &api, async |call| {
        let signed: Signed = call.body().await?;
        let message = Message::parse(&signed.message)?;
        let signature = proof::signature(&signed.signature)?;
        let (api, account_id, now) = (call.api, call.principal.account_id, call.api.now());
        let (origin, unchecked) = (api.origin.clone(), message.clone());
        let checked =
            api.run(move |conn| wallets::check(conn, &origin, account_id, &unchecked, now)).await?;
        checked?;
        let chain = api.chains().iter().find(|chain| chain.chain_id == message.chain_id);
        let chain = chain.ok_or(Refusal::UnknownChain)?;
        let proof = proof::prove(api, chain, &message, &signed.message, signature).await?;
        let limits = api.deposits().clone();
        let most = limits.wallets_max_per_account;
        let linked = api
            .run(move |conn| wallets::link(conn, account_id, &message, proof, &limits, now))
            .await?;
        match linked {
            Linked::New(row) => Ok(Answer::Created(document(api, &row))),
            Linked::Before(row) => Ok(Answer::Document(document(api, &row))),
            Linked::NonceUsed => Err(ProofError::NonceUsed.into()),
            Linked::TooMany => Err(Refusal::TooManyWallets(most)),
        }
    })
    .await
}

/// `GET /api/v1/wallets`: those in force, and those that have moved to another account, newest first.
pub(super) async fn list(http: HttpRequest, payload: Payload, api: Data<Api>) -> HttpResponse {
    answer(http, payload, &api, async |call| {
        let account_id = call.principal.account_id;
        let rows = call.api.run(move |conn| rows::of_account(conn, account_id)).await?;
        let documents: Vec<Value> = rows.iter().map(|row| document(call.api, row)).collect();
        Ok(Answer::Document(json!({ "data": documents })))
    })
    .await
}

/// `DELETE /api/v1/wallets/{id}`: what the wallet pays from now on is nobody's until it is proven again.
pub(super) async fn delete(
    http: HttpRequest,
    payload: Payload,
    id: Path<String>,
    api: Data<Api>,
) -> HttpResponse {
    answer(http, payload, &api, async |call| {
        let (account_id, now) = (call.principal.account_id, call.api.now());
        let id = id.into_inner();
        let is_ended = call.api.run(move |conn| wallets::unlink(conn, account_id, &id, now));
        if is_ended.await? { Ok(Answer::Nothing) } else { Err(Refusal::NotFound) }
    })
    .await
}

fn document(api: &Api, row: &WalletRow) -> Value {
    let moment = |millis| UnixMillis::from_millis(millis).to_string();
    let chain = api.chains().iter().find(|chain| chain.chain_id.0 == row.chain_id);
    let chain = match chain {
        _ if row.chain_id == EVERY_CHAIN.0 => None,
        Some(chain) => Some(chain.name.clone()),
        // Its chain is not offered any more.
        None => Some(row.chain_id.to_string()),
    };
    json!({
        "id": row.public_id,
        "address": EvmAddress::from_slice(&row.address).map(|address| address.checksummed()),
        "kind": row.kind,
        "chain": chain,
        "proven_at": moment(row.proven_at),
        "ended_at": row.ended_at.map(moment),
        "end_reason": row.end_reason,
    })
}
