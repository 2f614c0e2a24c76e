//! `/api/v1/deposits`: where to pay, what became of it, and claims of transaction hashes. A claim speeds up and
//! explains; whose a deposit is, it does not say.

mod document;
mod options;

use actix_web::web::{Data, Path, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Body, answer};
use super::refusal::Refusal;
use super::{Api, deposits::document::Chains};
use crate::db::deposit_claims::{self, ClaimRow};
use crate::db::deposits::{self as rows, DepositRow};
use crate::db::{AnyConnection, chains};
use crate::deposits::DepositError;
use crate::deposits::claims::{self, Submitted};
use crate::domain::evm::{ChainId, TxHash};
use crate::domain::ids::AccountId;

pub(super) use options::options;

/// Deposits and claims in one answer, if no number was asked for.
const PAGE: i64 = 50;
/// And at most.
const PAGE_MAX: i64 = 200;

/// What is claimed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claimed {
    /// The chain's name.
    chain: String,
    /// `0x` and 64 hexadecimal digits.
    tx_hash: String,
}

impl Body for Claimed {
    const FIELDS: &'static str = "chain, tx_hash (both text)";
}

/// Which part of a list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// The id of a deposit: older ones follow.
    before: Option<String>,
    /// How many.
    limit: Option<i64>,
}

/// `POST /api/v1/deposits`: 202 with the claim as it stands.
pub(super) async fn claim(http: HttpRequest, payload: Payload, api: Data<Api>) -> HttpResponse {
    answer(http, payload, &api, async |call| {
        let Claimed { chain, tx_hash } = call.body().await?;
        let chain_id = call.api.chain(&chain)?.chain_id;
        let tx_hash: TxHash = tx_hash.trim().parse().map_err(Refusal::TxHash)?;
        let (account_id, now) = (call.principal.account_id, call.api.now());
        let limits = call.api.deposits().clone();
        let (open, recent) =
            (limits.open_claims_max_per_account, limits.claims_per_hour_per_account);
        let submitted = call
            .api
            .run(move |conn| claims::submit(conn, account_id, chain_id, tx_hash, &limits, now));
        match submitted.await? {
            Submitted::Kept(claim) => Ok(Answer::Accepted(claim_document(call.api, claim).await?)),
            Submitted::TooManyOpen => Err(Refusal::TooManyOpenClaims(open)),
            Submitted::TooManyRecent => Err(Refusal::TooManyClaims(recent)),
        }
    })
    .await
}

/// `GET /api/v1/deposits`: the account's deposits, newest first, and on the first page its latest claims.
pub(super) async fn list(
    http: HttpRequest,
    payload: Payload,
    page: Result<Query<Page>, actix_web::Error>,
    api: Data<Api>,
) -> HttpResponse {
    answer(http, payload, &api, async |call| {
        let Ok(Query(Page { before, limit })) = page else { return Err(Refusal::Page(PAGE_MAX)) };
        let limit = limit.unwrap_or(PAGE);
        if !(1..=PAGE_MAX).contains(&limit) {
            return Err(Refusal::Page(PAGE_MAX));
        }
        let account_id = call.principal.account_id;
        let is_first = before.is_none();
        let read = call.api.run(move |conn| {
            let below = match before {
                None => i64::MAX,
                Some(id) => {
                    match rows::find(conn, &id)?.filter(|row| row.account() == Some(account_id)) {
                        Some(row) => row.id,
                        None => return Ok(None),
                    }
                }
            };
            // One more tells whether there are more.
            let found = rows::of_account(conn, account_id, below, limit.saturating_add(1))?;
            let claims = if is_first {
                deposit_claims::of_account(conn, account_id, i64::MAX, limit)?
            } else {
                Vec::new()
            };
            Ok::<_, DepositError>(Some((found, claims, chains::all(conn)?)))
        });
        let (mut found, claims, stands) = read.await?.ok_or(Refusal::NotFound)?;
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = found.len() > most;
        found.truncate(most);
        let chains = Chains::new(call.api.chains(), stands);
        let documents: Vec<Value> = found.iter().map(|row| chains.deposit(row)).collect();
        let claims: Vec<Value> = claims.iter().map(|claim| chains.claim(claim)).collect();
        Ok(Answer::Document(json!({ "data": documents, "has_more": has_more, "claims": claims })))
    })
    .await
}

/// `GET /api/v1/deposits/{id}`: a deposit or a claim of the account, or a deposit that a claim of it lists.
pub(super) async fn show(
    http: HttpRequest,
    payload: Payload,
    id: Path<String>,
    api: Data<Api>,
) -> HttpResponse {
    answer(http, payload, &api, async |call| {
        let (account_id, id) = (call.principal.account_id, id.into_inner());
        let found = call.api.run(move |conn| {
            let claim = deposit_claims::find(conn, &id)?;
            if let Some(claim) = claim.filter(|claim| claim.account_id == account_id.0) {
                return Ok(Some(Found::Claim(claim)));
            }
            let Some(row) = rows::find(conn, &id)? else { return Ok(None) };
            if !is_shown(conn, &row, account_id)? {
                return Ok(None);
            }
            Ok::<_, DepositError>(Some(Found::Deposit(Box::new(row), chains::all(conn)?)))
        });
        match found.await? {
            Some(Found::Claim(claim)) => {
                Ok(Answer::Document(claim_document(call.api, claim).await?))
            }
            Some(Found::Deposit(row, stands)) => {
                Ok(Answer::Document(Chains::new(call.api.chains(), stands).deposit(&row)))
            }
            None => Err(Refusal::NotFound),
        }
    })
    .await
}

enum Found {
    Claim(ClaimRow),
    Deposit(Box<DepositRow>, Vec<chains::ChainRow>),
}

/// Whether a deposit is shown to an account: its own, or one that a claim of it lists.
fn is_shown(
    conn: &mut AnyConnection,
    row: &DepositRow,
    account_id: AccountId,
) -> Result<bool, DepositError> {
    if row.account_id.is_some() {
        return Ok(row.account() == Some(account_id));
    }
    let Some(tx_hash) = TxHash::from_slice(&row.tx_hash) else { return Ok(false) };
    let chain_id = ChainId(row.chain_id);
    let claim = deposit_claims::of_transaction(conn, account_id, chain_id, tx_hash)?;
    Ok(claim.is_some() && claims::may_see(conn, row, account_id)?)
}

/// A claim with the deposits that were found in its transaction.
async fn claim_document(api: &Api, claim: ClaimRow) -> Result<Value, Refusal> {
    let claimed = claim.clone();
    let read = api.run(move |conn| {
        Ok::<_, DepositError>((claims::deposits_of(conn, &claimed)?, chains::all(conn)?))
    });
    let (found, stands) = read.await?;
    let chains = Chains::new(api.chains(), stands);
    let mut document = chains.claim(&claim);
    if let Some(fields) = document.as_object_mut() {
        let deposits: Vec<Value> = found.iter().map(|row| chains.deposit(row)).collect();
        fields.insert("deposits".to_owned(), Value::Array(deposits));
    }
    Ok(document)
}
