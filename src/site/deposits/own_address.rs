//! `POST /deposits/address`: the account's own address, which is issued on request.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use crate::db::AnyConnection;
use crate::deposits::addresses;
use crate::site::flash::Flash;
use crate::site::page_error::PageError;
use crate::site::{Site, page_request};

/// Issues it, and shows the page that has it.
pub(in crate::site) async fn issue(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let (account_id, now) = (visit.actor()?.account_id(), site.now());
        visit.form().await?;
        let settings = site.settings();
        let has_chains = !settings.chains.is_empty();
        let xpub = settings.deposits.account_xpub.clone().filter(|_| has_chains);
        let xpub = xpub.ok_or(PageError::NotFound)?;
        let issue =
            move |conn: &mut AnyConnection| addresses::of_account(conn, &xpub, account_id, now);
        site.run(issue).await?;
        visit.see_other("/deposits", Some(Flash::AddressIssued))
    })
    .await
}
