//! What upstreams do with a stranger's counts, and with requests that it pays for.

use super::{Attempt, DOZEN, FREE, PLACES, attempt};
use crate::upstreams::{KINDS, Kind};

/// Refusals by the dozen. Not among them is 429, which has everybody ask elsewhere first: it is
/// about the operator's limits.
pub(super) fn refusals() -> Vec<Attempt> {
    let orders = [
        "400",
        "401",
        "402",
        "403",
        "404",
        "413",
        "500",
        "529",
        "522",
        "low",
        "no model",
        "error document",
        "page",
        "end",
    ];
    let of_kind = |kind| {
        orders.map(|order| {
            attempt(order, move |stage| {
                let before = stage.reached(order);
                stage.answered(DOZEN, &stage.order(kind, order));
                // Some find no place.
                let least = if matches!(kind, Kind::Count) { FREE } else { PLACES / 2 };
                assert!(stage.reached(order) >= before + least, "{kind:?} {order}");
                Vec::new()
            })
        })
    };
    KINDS.into_iter().flat_map(of_kind).collect()
}

/// What takes places for as long as it lasts, even if its client has left.
pub(super) fn silence() -> Vec<Attempt> {
    let hang =
        |name, kind, order, times| attempt(name, move |stage| stage.open(times, kind, order));
    vec![
        attempt("counts that hang", |stage| {
            let held = stage.open(FREE, Kind::Count, "hang");
            // The places of those without credit are taken, and nobody else's.
            let refused = stage.app.ask(&stage.order(Kind::Count, "500"));
            refused.expect_error(429, "rate_limit_error");
            stage.answered(DOZEN, &stage.order(Kind::Count, "500"));
            held
        }),
        hang("counts that hang in a refusal", Kind::Count, "hang in a refusal", FREE),
        hang("streams that hang", Kind::Stream, "hang", 3),
        hang("streams that hang in a refusal", Kind::Stream, "hang in a refusal", 2),
        hang("streams that hang in their answer", Kind::Stream, "hang in an answer", 2),
        hang("calls for JSON that hang", Kind::Json, "hang", 1),
        attempt("more than there is room for", |stage| {
            stage.answered(DOZEN, &stage.order(Kind::Stream, "500"))
        }),
    ]
}
