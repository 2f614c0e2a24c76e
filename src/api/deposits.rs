//! `/api/v1/deposits`: where to pay, what became of it, and claims of transaction hashes. A claim
//! speeds up and explains; whose a deposit is, it does not say.

pub mod arrivals;
pub mod document;
pub(super) mod events;
pub mod options;
pub(super) mod own_address;
pub mod quotes;
pub mod watch;

use actix_web::web::{Data, Path};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::answer::{Accepted, Json};
use super::extractors::{AccountCaller, Body, Fields};
use super::query::{self, Parameters, QueryFields};
use super::refusal::Refusal;
use crate::config::Chain;
use crate::db::AnyConnection;
use crate::db::models::chains;
use crate::db::models::deposit_claims::{self, ClaimRow};
use crate::db::models::deposits::{self as rows, DepositRow};
use crate::deposits::DepositError;
use crate::deposits::arrivals as noticed;
use crate::deposits::claims::{self, Submitted};
use crate::domain::evm::TxHash;
use crate::domain::ids::AccountId;

use arrivals::Arrival;
use document::{ChainsView, Claim, Deposit, DepositOrClaim};

/// Deposits and claims in one answer, if no number was asked for.
const PAGE: i64 = 50;
/// And at most.
const PAGE_MAX: i64 = 200;

/// A transaction to submit.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Claimed {
    /// The name of the chain.
    #[schema(example = "base")]
    chain: String,
    /// 64 hexadecimal digits, with or without `0x`, or a text that contains them once, for example
    /// a block explorer link.
    #[schema(example = "0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060")]
    tx_hash: String,
}

impl Fields for Claimed {
    const FIELDS: &'static str = "chain, tx_hash (both text)";
}

/// The page to return.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// The id of a deposit: return older ones.
    before: Option<String>,
    /// Number of deposits.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i64>,
}

impl QueryFields for ListQuery {
    const REFUSAL: Refusal = Refusal::Page(PAGE_MAX);
}

/// A page of the account's deposits.
#[derive(Serialize, ToSchema)]
pub(super) struct DepositPage {
    /// Newest first.
    data: Vec<Deposit>,
    /// Whether there are older ones.
    has_more: bool,
    /// The latest claims, newest first; on the first page only.
    claims: Vec<Claim>,
    /// Arrivals at the account's own address that are not deposits, newest first; on the first page
    /// only.
    arrivals: Vec<Arrival>,
}

/// Submit a transaction.
///
/// Looks up a transaction at once and reports the deposits in it. A claim makes a deposit visible
/// sooner, but does not decide which account gets it.
#[utoipa::path(
    post, path = "/api/v1/deposits", operation_id = "claim_deposit",
    responses(
        (status = 202, description = "The claim."),
        (status = 400, description = "`invalid_tx_hash`: not a transaction hash."),
        (status = 404, description = "`unknown_chain`: no chain with this name."),
        (status = 429,
            description = "`too_many_open_claims`, `too_many_claims`: wait for the open ones."),
    ),
)]
pub(super) async fn claim(
    caller: AccountCaller,
    api: Data<Api>,
    body: Body<Claimed>,
) -> Result<Accepted<Claim>, Refusal> {
    let Claimed { chain, tx_hash } = body.0;
    let chain_id = api.chain(&chain)?.chain_id;
    let tx_hash = TxHash::parse_written(&tx_hash).map_err(Refusal::TxHash)?;
    let (account_id, now) = (caller.account_id, api.now());
    let limits = api.deposits().clone();
    let (open, recent) = (limits.open_claims_max_per_account, limits.claims_per_hour_per_account);
    let submitted =
        api.run(move |conn| claims::submit(conn, account_id, chain_id, tx_hash, &limits, now));
    match submitted.await? {
        Submitted::Kept(claim) => Ok(Accepted(claim_document(&api, claim).await?)),
        Submitted::TooManyOpen => Err(Refusal::TooManyOpenClaims(open)),
        Submitted::TooManyRecent => Err(Refusal::TooManyClaims(recent)),
    }
}

/// List deposits.
///
/// The account's deposits, newest first. The first page also has its latest claims and other
/// arrivals at its own address.
#[utoipa::path(
    get, path = "/api/v1/deposits", operation_id = "list_deposits",
    responses(
        (status = 200, description = "A page of the list."),
        (status = 400, description = "`invalid_page`: invalid parameters."),
        (status = 404, description = "`not_found`: `before` is not a deposit of this account."),
    ),
)]
pub(super) async fn list(
    caller: AccountCaller,
    api: Data<Api>,
    page: Parameters<ListQuery>,
) -> Result<Json<DepositPage>, Refusal> {
    let ListQuery { before, limit } = page.0;
    let limit = limit.unwrap_or(PAGE);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Refusal::Page(PAGE_MAX));
    }
    let before = query::name(before).map_err(|_| Refusal::NotFound)?;
    let account_id = caller.account_id;
    let configured = api.parts.context.settings.chains.clone();
    let read = api.run(move |conn| {
        let below = match before {
            None => i64::MAX,
            Some(id) => {
                match rows::find(conn, &id)?.filter(|row| row.account_id == Some(account_id)) {
                    Some(row) => row.id,
                    None => return Ok(None),
                }
            }
        };
        Ok::<_, DepositError>(Some(page_of(conn, &configured, account_id, (below, limit))?))
    });
    Ok(Json(read.await?.ok_or(Refusal::NotFound)?))
}

/// A page of an account's deposits, below the row number `below`; claims go with the first.
fn page_of(
    conn: &mut AnyConnection,
    configured: &[Chain],
    account_id: AccountId,
    (below, limit): (i64, i64),
) -> Result<DepositPage, DepositError> {
    // One more tells whether there are more.
    let found = rows::of_account(conn, account_id, below, limit.saturating_add(1))?;
    let claims = if below == i64::MAX {
        deposit_claims::of_account(conn, account_id, i64::MAX, limit)?
    } else {
        Vec::new()
    };
    let arrived =
        if below == i64::MAX { noticed::of_account(conn, account_id)? } else { Vec::new() };
    let chains = ChainsView::new(configured, chains::all(conn)?);
    let mut data = chains.deposits(conn, &found)?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = data.len() > most;
    data.truncate(most);
    let claims = claims.iter().map(|claim| chains.claim(claim)).collect();
    let arrivals = arrived.iter().map(|one| Arrival::of(configured, one)).collect();
    Ok(DepositPage { data, has_more, claims, arrivals })
}

/// Get a deposit or a claim.
///
/// A deposit or a claim of the account, or a deposit listed by one of its claims.
#[utoipa::path(
    get, path = "/api/v1/deposits/{id}", operation_id = "get_deposit",
    params(("id" = String, Path, description = "A deposit (`dep_…`) or a claim (`claim_…`).")),
    responses(
        (status = 200, description = "The status."),
        (status = 404, description = "`not_found`: no deposit or claim of this account."),
    ),
)]
pub(super) async fn show(
    caller: AccountCaller,
    api: Data<Api>,
    id: Path<String>,
) -> Result<Json<DepositOrClaim>, Refusal> {
    let (account_id, id) = (caller.account_id, id.into_inner());
    let chains = api.parts.context.settings.chains.clone();
    let found = api.run(move |conn| find(conn, &chains, account_id, &id));
    Ok(Json(found.await?.ok_or(Refusal::NotFound)?))
}

/// A deposit or a claim that an account may see, by its name.
///
/// # Errors
/// [`DepositError`] where the database does not answer.
pub fn find(
    conn: &mut AnyConnection,
    configured: &[Chain],
    account_id: AccountId,
    id: &str,
) -> Result<Option<DepositOrClaim>, DepositError> {
    let claim = deposit_claims::find(conn, id)?;
    if let Some(claim) = claim.filter(|claim| claim.account_id == account_id) {
        let claim = with_deposits(conn, configured, &claim)?;
        return Ok(Some(DepositOrClaim::Claim(Box::new(claim))));
    }
    let Some(row) = rows::find(conn, id)? else { return Ok(None) };
    if !is_shown(conn, &row, account_id)? {
        return Ok(None);
    }
    let chains = ChainsView::new(configured, chains::all(conn)?);
    let deposit = chains.deposits(conn, &[row])?.pop();
    Ok(deposit.map(|deposit| DepositOrClaim::Deposit(Box::new(deposit))))
}

/// Whether an account has been paid anything.
fn has_deposits(conn: &mut AnyConnection, account_id: AccountId) -> Result<bool, DepositError> {
    Ok(!rows::of_account(conn, account_id, i64::MAX, 1)?.is_empty())
}

/// Whether what goes by this name is a deposit of the account's, or a claim with one. A transaction
/// that is nobody's so far is no reason: anybody may claim it.
fn is_paid(
    conn: &mut AnyConnection,
    account_id: AccountId,
    id: &str,
) -> Result<bool, DepositError> {
    let is_own = |row: &DepositRow| row.account_id == Some(account_id);
    if let Some(row) = rows::find(conn, id)? {
        return Ok(is_own(&row));
    }
    let claim = deposit_claims::find(conn, id)?;
    let Some(claim) = claim.filter(|claim| claim.account_id == account_id) else {
        return Ok(false);
    };
    Ok(claims::deposits_of(conn, &claim)?.iter().any(is_own))
}

/// Whether a deposit is shown to an account: its own, or one that a claim of it lists.
fn is_shown(
    conn: &mut AnyConnection,
    row: &DepositRow,
    account_id: AccountId,
) -> Result<bool, DepositError> {
    if row.account_id.is_some() {
        return Ok(row.account_id == Some(account_id));
    }
    let claim = deposit_claims::of_transaction(conn, account_id, row.chain_id, row.tx_hash)?;
    Ok(claim.is_some() && claims::may_see(conn, row, account_id)?)
}

async fn claim_document(api: &Api, claim: ClaimRow) -> Result<Claim, Refusal> {
    let chains = api.parts.context.settings.chains.clone();
    api.run(move |conn| with_deposits(conn, &chains, &claim)).await
}

/// A claim with the deposits that were found in its transaction.
fn with_deposits(
    conn: &mut AnyConnection,
    configured: &[Chain],
    claim: &ClaimRow,
) -> Result<Claim, DepositError> {
    let found = claims::deposits_of(conn, claim)?;
    let chains = ChainsView::new(configured, chains::all(conn)?);
    Ok(chains.claim_with(conn, claim, &found)?)
}
