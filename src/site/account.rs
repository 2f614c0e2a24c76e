//! `/account`: everything that is held on a person (P13), and the ways to change it.

pub(super) mod closing;
pub(super) mod email;
pub(super) mod password;
pub(super) mod sessions;
pub(super) mod totp;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::layout::Frame;
use super::show::{Count, Dollars, Moment};
use super::{Site, visit};
use crate::accounts::identity::PeopleError;
use crate::accounts::identity::people::{Holdings, Profile};
use crate::accounts::identity::preferences::Preferences;

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
    profile: Profile,
    opened: Moment,
    available: Dollars,
    reserved: Dollars,
    preferences: Preferences,
    low_balance: Option<Dollars>,
    sessions: Count,
    wallets: Count,
    usage_log_days: u32,
}

/// `GET /account`
pub(super) async fn show(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    visit::answer(http, payload, &site, async |visit| {
        let session = visit.person()?;
        let people = visit.site.people();
        let id = session.account_id();
        let profile = people.profile(id).await?;
        let Holdings { preferences, sessions, wallets } = people.holdings(&session).await?;
        visit.page(&AccountPage {
            frame: visit.frame("Account"),
            opened: Moment(profile.row.created_at),
            available: Dollars(profile.row.available()),
            reserved: Dollars(profile.row.reserved()),
            low_balance: preferences.low_balance.map(Dollars),
            preferences,
            sessions: Count(sessions),
            wallets: Count(wallets),
            usage_log_days: visit.site.settings().privacy.usage_log_days,
            profile,
        })
    })
    .await
}

/// Whether a refusal is of the second factor, so that its field is the one to mend.
fn is_of_code(error: &PeopleError) -> bool {
    matches!(error, PeopleError::CodeRequired | PeopleError::WrongCode)
}
