//! `POST /log-out`: ends the session here. Whoever has none is logged out already.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::flash::Flash;
use super::{Site, page_request};

/// `POST /log-out`
pub(super) async fn send(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        if let Ok(session) = visit.any_session() {
            visit.form().await?;
            visit.site.people().log_out(&session, None).await?;
        }
        visit.forget_session();
        visit.see_other("/", Some(Flash::LoggedOut))
    })
    .await
}
