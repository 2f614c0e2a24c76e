//! The website as a browser without scripts sees it: every page found by its links, what stands in
//! it, and what its forms do when somebody else sends them.

mod everybody;
mod guests;
mod people;
mod walls;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::support::app::{Builder, TestApp};
use crate::support::client::Response;
use crate::support::forms::{Browser, tags};
use crate::support::sandbox::sandbox;

const SUPPORT: &str = "support@gateway.test";

fn app() -> TestApp {
    builder().start()
}

fn builder() -> Builder {
    Builder::new()
        .upstream("sandbox", sandbox())
        .set("site.support_email", format!("\"{SUPPORT}\""))
        .set("server.requests_per_minute_per_account", 1_000_000)
}

/// Pages that nobody links to, since mail or a form leads there.
const UNLINKED: [&str; 6] = [
    "/unsubscribe?token=x",
    "/sign-up/confirm?token=x",
    "/reset/confirm?token=x",
    "/email/confirm?token=x",
    "/nothing",
    "/sign-up?sent",
];

/// Every page that can be reached, by its path, the answers to forms aside.
fn crawl(browser: &mut Browser<'_>) -> BTreeMap<String, Response> {
    let mut queue: VecDeque<String> =
        std::iter::once("/").chain(UNLINKED).map(str::to_owned).collect();
    let mut known: BTreeSet<String> = queue.iter().cloned().collect();
    let mut pages = BTreeMap::new();
    while let Some(path) = queue.pop_front() {
        let response = browser.get(&path);
        assert!(response.status < 500, "{path}: {}", response.status);
        if let Some(location) = response.header("location") {
            if known.insert(location.to_owned()) {
                queue.push_back(location.to_owned());
            }
            continue;
        }
        if response.header("content-type").is_none_or(|kind| !kind.starts_with("text/html")) {
            continue;
        }
        for tag in tags(&response.text()).iter().filter(|tag| tag.name == "a") {
            let link = tag.get("href").unwrap_or_default().split('#').next().unwrap_or_default();
            let is_page = link.starts_with('/')
                && !link.starts_with("/api/")
                && !link.starts_with("/usage/export")
                && link != "/openapi.json";
            if is_page && known.insert(link.to_owned()) {
                queue.push_back(link.to_owned());
            }
        }
        pages.insert(path, response);
    }
    assert!(pages.len() >= 12, "{:?}", pages.keys().collect::<Vec<_>>());
    pages
}

/// All pages, those of a stranger and those of somebody who is logged in.
fn all_pages(app: &TestApp) -> Vec<(String, Response)> {
    let mut pages: Vec<(String, Response)> = crawl(&mut Browser::new(app)).into_iter().collect();
    let person = app.person();
    let token = app.session_of(person.id);
    pages.extend(crawl(&mut Browser::with_session(app, &token)));
    let paths: BTreeSet<&str> = pages.iter().map(|(path, _)| path.as_str()).collect();
    for wanted in [
        "/privacy",
        "/terms",
        "/privacy/versions",
        "/terms/versions",
        "/status",
        "/docs",
        "/docs/api",
        "/docs/clients",
        "/docs/models",
        "/docs/errors",
        "/docs/billing",
        "/docs/account-api",
        "/docs/deposits",
        "/log-in",
        "/sign-up",
        "/reset",
        "/account",
        "/account/password",
        "/account/email",
        "/account/totp",
        "/account/sessions",
        "/account/closing",
        "/preferences",
        "/dashboard",
        "/keys",
        "/usage",
        "/deposits",
        "/wallets",
        "/ledger",
    ] {
        assert!(paths.contains(wanted), "{wanted} was not reached: {paths:?}");
    }
    pages
}
