//! `/account/sessions`: where one is logged in, and the end of it. Where those browsers are is not
//! known here.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use crate::db::models::sessions::SessionRow;
use crate::site::flash::Flash;
use crate::site::format::ShortTime;
use crate::site::layout::Frame;
use crate::site::{Site, page_request};

#[derive(Template)]
#[template(path = "account_sessions.html")]
struct SessionsPage {
    frame: Frame,
    sessions: Vec<SessionLine>,
}

/// One session.
struct SessionLine {
    id: String,
    began: ShortTime,
    /// For its button's name.
    began_machine: String,
    seen: ShortTime,
    ends: ShortTime,
    is_this: bool,
}

impl SessionLine {
    fn of(row: SessionRow, this: i64) -> Self {
        Self {
            began: ShortTime(row.created_at),
            began_machine: row.created_at.to_rfc3339_secs(),
            seen: ShortTime(row.last_seen_at),
            ends: ShortTime(row.expires_at),
            is_this: row.id == this,
            id: row.public_id,
        }
    }
}

/// `GET /account/sessions`
pub(in crate::site) async fn show(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let session = visit.person()?;
        let rows = visit.site.people().sessions(&session).await?;
        let sessions = rows.into_iter().map(|row| SessionLine::of(row, session.row.id)).collect();
        visit.page(&SessionsPage { frame: visit.frame("Sessions"), sessions })
    })
    .await
}

/// `POST /account/sessions/{id}/end`
pub(in crate::site) async fn end(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let session = visit.person()?;
        visit.form().await?;
        let id = visit.part("id").to_owned();
        let is_this = id == session.row.public_id;
        visit.site.people().log_out(&session, Some(id)).await?;
        if is_this {
            visit.forget_session();
            return visit.see_other("/", Some(Flash::LoggedOut));
        }
        visit.see_other("/account/sessions", Some(Flash::SessionEnded))
    })
    .await
}

/// `POST /account/sessions/end`: all of them.
pub(in crate::site) async fn end_all(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let session = visit.any_session()?;
        visit.form().await?;
        visit.site.people().log_out_everywhere(&session).await?;
        visit.forget_session();
        visit.see_other("/", Some(Flash::LoggedOutEverywhere))
    })
    .await
}
