//! Words that must not be found again, sent through every route of a running server, by everything
//! that a request has: path, query, headers, cookies, bodies of every kind, with and without
//! credentials, whole and broken off.
//!
//! Which routes there are is read from what the server is made of: `/openapi.json` for the
//! interface, the tables for website, `/v1` and the operator's listener. Each of them must have
//! been gone through with success (`by_api`, `by_site`), so that a new one fails here until
//! somebody has found a way through it; `flood` sends all that it may refuse to whatever there is.

mod by_api;
mod by_site;
mod flood;
mod routes;
mod stage;

use super::canaries::Place;
use super::search;
use crate::support::client::{Connection, Request};
use stage::Stage;

#[test]
fn p3_and_p5_what_goes_through_any_route_stays_nowhere() {
    let stage = Stage::open();
    let routes = routes::all(&stage);
    by_api::live(&stage);
    by_site::live(&stage);
    routes::ask_operators(&stage, &routes);
    routes::all_were_taken(&stage, &routes);
    flood::over(&stage, &routes);
    stage.settle();
    let mut faults = search::search(&stage.process, &stage.canaries);
    faults.extend(told_to_others(&stage, &routes));
    search::nothing(&faults);
    stage.canaries.were_found(&[
        "an e-mail address",
        "a key's name",
        "a transaction's hash",
        "a wallet's address",
        "an account",
    ]);
}

/// What another account, and somebody without one, is answered at every route, and in every kind of
/// refusal.
fn told_to_others(stage: &Stage, routes: &[routes::Route]) -> Vec<String> {
    let (key, token) = stage.somebody_else();
    let mut faults = Vec::new();
    let mut hear = |name: String, request: &Request, address| {
        let answer = Connection::open(address).ask(request);
        // Some go on for ever.
        let is_endless =
            answer.headers.iter().any(|(_, value)| value.starts_with("text/event-stream"));
        let (mut heard, body) = (format!("{:?}", answer.headers), answer.body.clone());
        heard.push_str(&String::from_utf8_lossy(&body));
        if !is_endless {
            heard.push_str(&answer.finish().text());
        }
        faults.extend(stage.canaries.found(Place::Others, &name, heard.as_bytes()));
    };
    for route in routes {
        let address = route.address(stage);
        let ask =
            || Request::new(&route.method, &route.filled("nobodys")).header("connection", "close");
        let place = |who: &str| format!("{} {} as told to {who}", route.method, route.path);
        hear(place("a stranger"), &ask(), address);
        hear(place("another key"), &ask().key(&key), address);
        let cookie = format!("sluice_session={token}");
        let session = ask().header("authorization", &format!("Bearer {token}"));
        hear(place("another session"), &session.header("cookie", &cookie), address);
    }
    let address = stage.process.address;
    for (name, request) in [
        ("404", Request::get("/v1/nothing")),
        ("404 on a page", Request::get("/nothing").header("accept", "text/html")),
        ("404 of the interface", Request::get("/api/v1/nothing")),
        ("405", Request::new("DELETE", "/v1/messages")),
        ("400", Request::post("/v1/messages", "{").key(&key)),
        ("401", Request::post("/v1/messages", "{}").key("sluice_none")),
        ("413", Request::post("/api/v1/accounts", vec![b'a'; 70_000])),
    ] {
        hear(format!("a {name}"), &request.header("connection", "close"), address);
    }
    faults
}
