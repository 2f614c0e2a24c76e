//! `/account`: everything that is held on a person (P13), and the ways to change it.

pub(super) mod closing;
pub(super) mod email;
pub(super) mod password;
pub(super) mod sessions;
pub(super) mod totp;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::format::{GroupedCount, SignedDollars, TimeElement};
use super::layout::Frame;
use super::{Site, page_request};
use crate::accounts::identity::AuthError;
use crate::accounts::identity::people::{Holdings, Profile};

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
    profile: Profile,
    opened: TimeElement,
    available: SignedDollars,
    reserved: SignedDollars,
    /// As a decimal number for its field; empty is never.
    low_balance: String,
    low_balance_set: Option<SignedDollars>,
    wants_notices: bool,
    /// Nothing was sent here: what is refused of preferences is said on their own page.
    refusal: Option<String>,
    sessions: GroupedCount,
    wallets: GroupedCount,
    usage_log_days: u32,
}

/// `GET /account`
pub(super) async fn show(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let session = visit.person()?;
        let people = visit.site.people();
        let id = session.account_id();
        let profile = people.profile(id).await?;
        let Holdings { preferences, sessions, wallets } = people.holdings(&session).await?;
        visit.page(&AccountPage {
            frame: visit.frame("Settings"),
            opened: TimeElement(profile.row.created_at),
            available: SignedDollars(profile.row.available_nanousd),
            reserved: SignedDollars(profile.row.reserved_nanousd),
            low_balance: preferences.low_balance.map(|sum| sum.to_string()).unwrap_or_default(),
            low_balance_set: preferences.low_balance.map(SignedDollars),
            wants_notices: preferences.wants_notices,
            refusal: None,
            sessions: GroupedCount(sessions),
            wallets: GroupedCount(wallets),
            usage_log_days: visit.site.settings().privacy.usage_log_days,
            profile,
        })
    })
    .await
}

/// Whether a refusal is of the second factor, so that its field is the one to mend.
fn is_of_code(error: &AuthError) -> bool {
    matches!(error, AuthError::CodeRequired | AuthError::WrongCode)
}
