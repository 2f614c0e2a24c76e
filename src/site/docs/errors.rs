//! `/docs/errors`: what each error under `/v1` means, and what to do about it.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use crate::site::layout::Frame;
use crate::site::{Site, page_request};

#[derive(Template)]
#[template(path = "docs_errors.html")]
struct ErrorsPage {
    frame: Frame,
    errors: [ErrorAdvice; 11],
}

/// One type of error.
pub(super) struct ErrorAdvice {
    pub(super) status: &'static str,
    pub(super) kind: &'static str,
    cause: &'static str,
    advice: &'static str,
}

/// In the order of their status.
pub(super) const ERRORS: [ErrorAdvice; 11] = [
    ErrorAdvice {
        status: "400",
        kind: "invalid_request_error",
        cause: "The request is malformed, or asks for something without a price.",
        advice: "Fix what the message names. Sending it again changes nothing.",
    },
    ErrorAdvice {
        status: "401",
        kind: "authentication_error",
        cause: "The API key is missing, wrong, expired or revoked.",
        advice: "Check the key, and that only one of the two key variables is set.",
    },
    ErrorAdvice {
        status: "402",
        kind: "billing_error",
        cause: "The balance or the key's budget does not cover what the request may cost.",
        advice: "Add credit, raise the budget, or lower max_tokens as far as the message says.",
    },
    ErrorAdvice {
        status: "403",
        kind: "permission_error",
        cause: "The account is suspended, or the key may not use this model or scope.",
        advice: "Change the key's models or scopes, or use another key.",
    },
    ErrorAdvice {
        status: "404",
        kind: "not_found_error",
        cause: "There is no such path or model.",
        advice: "Compare the path and the model's id with the list of models.",
    },
    ErrorAdvice {
        status: "409",
        kind: "conflict_error",
        cause: "The provider reports a conflict with another request.",
        advice: "Send it again.",
    },
    ErrorAdvice {
        status: "413",
        kind: "request_too_large",
        cause: "The body is larger than the limit.",
        advice: "Send less, for example smaller images.",
    },
    ErrorAdvice {
        status: "429",
        kind: "rate_limit_error",
        cause: "Too many requests per minute or at once, of the account or the key.",
        advice: "Wait for the time in retry-after. SDKs do so by themselves.",
    },
    ErrorAdvice {
        status: "500, 502, 503",
        kind: "api_error",
        cause: "The provider or the gateway has failed, or no provider is available.",
        advice: "Send it again after a pause. See the status page if it continues.",
    },
    ErrorAdvice {
        status: "504",
        kind: "timeout_error",
        cause: "The provider did not respond in time.",
        advice: "Send it again, or use streaming for long responses.",
    },
    ErrorAdvice {
        status: "529",
        kind: "overloaded_error",
        cause: "The provider is overloaded.",
        advice: "Send it again after a pause, or use another model.",
    },
];

/// `GET /docs/errors`
pub(in crate::site) async fn show(
    http: HttpRequest,
    payload: Payload,
    site: Data<Site>,
) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        visit.public_page(&ErrorsPage { frame: visit.frame("Errors"), errors: ERRORS })
    })
    .await
}
