//! The headers that upstream puts on every answer: those that a gateway passes on, and those that
//! are the operator's own and that it must keep back.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, HttpResponseBuilder};

use crate::domain::clock::Clock;

/// A head of this status for this request, without a content type.
pub(super) fn head(status: StatusCode, request_id: &str) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response.insert_header(("request-id", request_id));
    response.insert_header(("anthropic-organization-id", "00000000-5a4d-4b0c-8000-000000000000"));
    let reset = Clock::System.now().plus_millis(60_000).to_string();
    for (limit, remaining, reset_name, count) in LIMITS {
        response.insert_header((limit, count));
        response.insert_header((remaining, count));
        response.insert_header((reset_name, reset.as_str()));
    }
    response
}

type LimitHeads = (&'static str, &'static str, &'static str, &'static str);

const LIMITS: [LimitHeads; 2] = [
    (
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
        "4000",
    ),
    (
        "anthropic-ratelimit-tokens-limit",
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
        "400000",
    ),
];
