//! `POST /log-out`: ends the session here. Whoever has none is logged out already.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::note::Note;
use super::{Site, visit};

/// `POST /log-out`
pub(super) async fn send(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    visit::answer(http, payload, &site, async |visit| {
        if let Ok(session) = visit.whoever() {
            visit.form().await?;
            visit.site.people().log_out(&session, None).await?;
        }
        visit.forget_session();
        visit.see_other("/", Some(Note::LoggedOut))
    })
    .await
}
