//! Which headers pass, by allow-lists: of a client's request to an upstream, and of an upstream's
//! answer to a client. Nothing of the operator's organisation or limits there goes down.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

/// The betas that a request asks for.
pub const BETA: &str = "anthropic-beta";
/// Of a request.
const UP: [&str; 3] = ["anthropic-version", BETA, "accept"];
/// Of an answer.
const DOWN: [&str; 3] = ["content-type", "retry-after", "x-should-retry"];
/// Of a refusal. Our document replaces the upstream's, so its content type does not pass.
const DOWN_WITH_REFUSAL: [&str; 2] = ["retry-after", "x-should-retry"];

/// The client's headers that go up, unchanged. A list may come in several headers; they are the
/// same list.
#[must_use]
pub fn passing_up(from: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let joined = |name: &'static str| {
        let values = from.get_all(name).filter_map(|value| value.to_str().ok());
        let values: Vec<&str> = values.collect();
        let value = HeaderValue::from_str(&values.join(", ")).ok()?;
        (!values.is_empty()).then(|| (HeaderName::from_static(name), value))
    };
    UP.into_iter().filter_map(joined).collect()
}

/// The upstream's headers that go down with an answer.
#[must_use]
pub fn passing_down(from: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    named(&DOWN, from)
}

/// The upstream's headers that go down with a refusal.
#[must_use]
pub fn passing_with_refusal(from: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    named(&DOWN_WITH_REFUSAL, from)
}

fn named(names: &[&'static str], from: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let one = |name: &&'static str| Some((HeaderName::from_static(name), from.get(*name)?.clone()));
    names.iter().filter_map(one).collect()
}
