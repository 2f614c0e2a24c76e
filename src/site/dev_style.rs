//! `/dev/style`: every component in every state, to be looked at. Debug builds only.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::format::{Cents, GroupedCount, Micros, ShortTime, TimeElement};
use super::layout::Frame;
use super::{Site, page_request};
use crate::domain::clock::UnixMillis;
use crate::domain::money::NanoUsd;

#[derive(Template)]
#[template(path = "dev_style.html")]
struct StylePage {
    frame: Frame,
    icons: Vec<&'static str>,
    balance: Cents,
    tiny: Cents,
    rows: Vec<StyleRow>,
}

struct StyleRow {
    at: ShortTime,
    whole: TimeElement,
    count: GroupedCount,
    cost: Micros,
}

/// `GET /dev/style`
pub(super) async fn show(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let now = site.now();
        let row = |(minutes, cost): (i64, i64)| {
            let at = UnixMillis::from_millis(now.as_millis().saturating_sub(minutes * 60_000));
            StyleRow {
                at: ShortTime(at),
                whole: TimeElement(at),
                count: GroupedCount(minutes.saturating_mul(1_234)),
                cost: Micros(NanoUsd::from_nanos(cost)),
            }
        };
        visit.page(&StylePage {
            frame: visit.frame("Style"),
            icons: super::icons::names().collect(),
            balance: Cents(NanoUsd::from_nanos(35_163_469_785)),
            tiny: Cents(NanoUsd::from_nanos(1_200)),
            rows: [(2, 1_250_000), (75, 17_500), (60 * 24 * 3, 12_345_678_901)]
                .into_iter()
                .map(row)
                .collect(),
        })
    })
    .await
}
