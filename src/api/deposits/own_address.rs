//! `POST /api/v1/deposits/address`: an address of the account's own, issued because somebody asks
//! for it. Each is watched for ever, so a look at where to pay makes none.

use actix_web::web::Data;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Api;
use crate::api::answer::CreatedOnce;
use crate::api::extractors::AccountCaller;
use crate::api::refusal::Refusal;
use crate::db::AnyConnection;
use crate::db::models::deposit_addresses;
use crate::deposits::{DepositError, addresses};

/// The account's own deposit address.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct OwnAddress {
    /// The address with its checksum (EIP-55). The same on every chain.
    address: String,
}

/// Create a deposit address.
///
/// Every payment to it counts for the account, on every configured chain and without a linked
/// wallet. An account has one address; later calls return the same.
#[utoipa::path(
    post, path = "/api/v1/deposits/address", operation_id = "issue_deposit_address",
    responses(
        (status = 201, description = "The new address."),
        (status = 200, description = "The existing address."),
        (status = 404, description = "`no_own_addresses`: this service does not issue any."),
    ),
)]
pub(in crate::api) async fn issue(
    caller: AccountCaller,
    api: Data<Api>,
) -> Result<CreatedOnce<OwnAddress>, Refusal> {
    let (account_id, now) = (caller.account_id, api.now());
    let has_chains = !api.chains().is_empty();
    let xpub = api.deposits().account_xpub.clone().filter(|_| has_chains);
    let xpub = xpub.ok_or(Refusal::NoOwnAddresses)?;
    let issue = move |conn: &mut AnyConnection| {
        let is_new = deposit_addresses::of_account(conn, account_id)?.is_none();
        Ok::<_, DepositError>((is_new, addresses::of_account(conn, &xpub, account_id, now)?))
    };
    let (is_new, address) = api.run(issue).await?;
    let document = OwnAddress { address: address.checksummed() };
    Ok(if is_new { CreatedOnce::Now(document) } else { CreatedOnce::Before(document) })
}
