//! `/unsubscribe`: turns notices off by a link in mail, without a log-in. A page with one button
//! for people; what the button sends, mail programs send on their own behalf (RFC 8058).

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::layout::Frame;
use super::page_error::{FormError, PageError};
use super::{Site, page_request};
use crate::accounts::identity::AuthError;

#[derive(Template)]
#[template(path = "unsubscribe.html")]
struct UnsubscribePage {
    frame: Frame,
    token: String,
    stand: UnsubscribeState,
}

/// Its status.
#[derive(Clone, Copy, PartialEq, Eq)]
enum UnsubscribeState {
    /// The link works, and nothing has been done by it here.
    Asking,
    /// The notices are off.
    Done,
    /// The link works no more, or never did.
    Dead,
}

/// `GET /unsubscribe?token=…`
pub(super) async fn show(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let token = visit.query().word("token").to_owned();
        let works = visit.site.people().may_unsubscribe(&token).await?;
        let stand = if works { UnsubscribeState::Asking } else { UnsubscribeState::Dead };
        visit.page(&UnsubscribePage { frame: visit.frame("Email notices"), token, stand })
    })
    .await
}

/// `POST /unsubscribe?token=…`. Answered at once and in place: mail programs follow no redirection.
pub(super) async fn send(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        visit.one_click().await?;
        let token = visit.query().word("token").to_owned();
        let done = visit.site.people().unsubscribe(&token, visit.client()).await;
        let frame = visit.frame("Email notices");
        match done {
            Ok(()) => visit.page(&UnsubscribePage { frame, token, stand: UnsubscribeState::Done }),
            Err(error @ AuthError::BadLink) => {
                let refusal = FormError::of(error)?;
                visit.refused(
                    &refusal,
                    &UnsubscribePage { frame, token, stand: UnsubscribeState::Dead },
                )
            }
            Err(error) => Err(PageError::from(error)),
        }
    })
    .await
}
