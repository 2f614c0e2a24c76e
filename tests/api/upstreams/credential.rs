//! E13: what one account meets is its own, until a request of our own is told the same.

use std::time::Duration;

use super::{CANARY, KINDS, Kind, Pair, answer, error_body, expect_no_word_of_it, send};
use crate::support::alerting::Watched;
use crate::support::app::{Account, Builder, TestApp};
use crate::support::upstream::Upstream;
use crate::support::wait::eventually;

const ALERT: &str = "sluice_alerts_total{what=\"upstream refuses our credential\"}";
const RESTING: &str = "sluice_upstream_resting{upstream=\"primary\"}";

/// Whatever says that our credential or credit is refused.
fn refusals() -> Vec<(u16, String)> {
    let coded = |code: &str| {
        format!(
            r#"{{"error":{{"type":"rate_limit_error","message":"m",
                "details":{{"error_code":"{code}"}}}}}}"#
        )
    };
    let low = "Your credit balance is too low. Please go to Plans & Billing to upgrade, 4711.";
    let limit = "You have reached your specified API usage limits, 4711.";
    vec![
        (401, error_body("authentication_error", CANARY)),
        (402, CANARY.to_owned()),
        (400, error_body("invalid_request_error", low)),
        (400, error_body("invalid_request_error", limit)),
        (400, error_body("invalid_request_error", "This organization has been disabled.")),
        (429, coded("enforced_spend_limit_reached")),
        (429, coded("contract_spend_limit_reached")),
        (429, coded("ramp_limit_exceeded")),
        (402, coded("linked_organization_billing_unavailable")),
        (400, coded("organization_on_hold")),
    ]
}

/// Lets the one upstream refuse a request.
fn refused(app: &TestApp, upstream: &Upstream, account: &Account, kind: Kind, status: u16) -> u16 {
    let connection = send(app, account, kind);
    upstream.next().refuse(status, CANARY);
    let response = connection.answer(false).finish();
    expect_no_word_of_it(&response);
    response.status
}

fn served(app: &TestApp, upstream: &Upstream, account: &Account) {
    let connection = send(app, account, Kind::Json);
    answer(Kind::Json, upstream.next());
    connection.answer(false).finish().expect_ok();
}

#[test]
fn e13_the_operators_trouble_is_503_with_a_time_and_an_alert_a_day() {
    for kind in KINDS {
        for (status, body) in refusals() {
            let upstream = Upstream::start();
            let app = TestApp::with(&upstream);
            let account = app.account("5.00");
            for _ in 0..2 {
                let connection = send(&app, &account, kind);
                upstream.next().refuse(status, &body);
                let response = connection.answer(false).finish();
                response.expect_error(503, "api_error");
                expect_no_word_of_it(&response);
                assert!(response.header("retry-after").is_some());
                assert_eq!(response.header("x-should-retry"), None);
            }
            assert_eq!((app.metric(ALERT), upstream.count()), (1, 2), "{status} {body}");
            app.clock.advance(86_400_000);
            refused(&app, &upstream, &account, kind, 401);
            assert_eq!(app.metric(ALERT), 2);
        }
    }
}

#[test]
fn e13_one_mistaken_401_keeps_nobody_from_the_upstream() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let (one, two) = (app.account("5.00"), app.account("5.00"));
    for status in [401, 402] {
        assert_eq!(refused(&app, &upstream, &one, Kind::Json, status), 503);
        app.clock.advance(1_000);
    }
    eventually("our own request", || (upstream.probes() >= 1).then_some(()));
    served(&app, &upstream, &two);
    served(&app, &upstream, &one);
    assert_eq!((app.metric(RESTING), upstream.count()), (0, 4));
}

#[test]
fn e13_a_credential_that_our_own_request_is_refused_with_rests_the_upstream_for_all() {
    for status in [401, 402, 403] {
        let upstream = Upstream::start();
        upstream.answer_probes(Some((status, CANARY)));
        let app = TestApp::with(&upstream);
        let (one, two) = (app.account("5.00"), app.account("5.00"));
        let watched = Watched::new(app.admin_address);
        refused(&app, &upstream, &one, Kind::Stream, status);
        eventually("the upstream to rest", || (app.metric(RESTING) == 1).then_some(()));
        if status == 401 {
            watched.fires(&[
                "SluiceUpstreamCredential",
                "SluiceUpstreamResting",
                "SluiceNoUpstream",
            ]);
        }
        for kind in KINDS {
            let response = send(&app, &two, kind).answer(false).finish();
            response.expect_error(503, "api_error");
            assert_eq!(response.header("retry-after"), Some("30"));
        }
        assert_eq!((upstream.count(), upstream.probes()), (1, 1));
        // Later one request tries it.
        app.clock.advance(31_000);
        upstream.answer_probes(Some((200, "{}")));
        served(&app, &upstream, &two);
        served(&app, &upstream, &one);
        assert_eq!(app.metric(RESTING), 0);
    }
}

#[test]
fn e13_the_second_upstream_serves_while_the_firsts_credential_is_refused() {
    let pair = Pair::new();
    pair.first.answer_probes(Some((401, CANARY)));
    let account = pair.app.account("5.00");
    pair.served_by_second(&account, Kind::Stream, |exchange| exchange.refuse(401, CANARY));
    let resting = "sluice_upstream_resting{upstream=\"first\"}";
    eventually("the first to rest", || (pair.app.metric(resting) == 1).then_some(()));
    for kind in KINDS {
        let connection = pair.send(&account, kind);
        super::expect_answer(kind, pair.second.next(), connection);
    }
    assert_eq!(pair.counts(), (1, 4));
}

#[test]
fn e13_no_kind_of_refusal_that_accounts_bring_about_closes_the_upstream_for_another() {
    for status in [400, 401, 402, 403, 404, 413, 422, 429, 500, 529] {
        let upstream = Upstream::start();
        let app = TestApp::with(&upstream);
        let (one, two) = (app.account("5.00"), app.account("5.00"));
        for at in 0..20 {
            let kind = KINDS[at % 3];
            refused(&app, &upstream, &one, kind, status);
        }
        served(&app, &upstream, &two);
        assert_eq!(upstream.count(), 21, "{status}");
    }
}

#[test]
fn e13_counts_of_tokens_never_count_against_messages() {
    let upstream = Upstream::start();
    upstream.answer_probes(Some((401, CANARY)));
    let app = TestApp::with(&upstream);
    for _ in 0..6 {
        let account = app.account("0");
        for status in [401, 403, 500] {
            refused(&app, &upstream, &account, Kind::Count, status);
        }
    }
    let account = app.account("5.00");
    served(&app, &upstream, &account);
    assert_eq!((upstream.count(), upstream.probes()), (19, 0));
}

#[test]
fn e13_a_403_is_the_operators_trouble_once_several_accounts_have_met_it() {
    let upstream = Upstream::start();
    let app = TestApp::with(&upstream);
    let accounts: Vec<_> = (0..4).map(|_| app.account("5.00")).collect();
    let forbid = |account: &Account, kind| refused(&app, &upstream, account, kind, 403);
    // However often one account meets it, that may be its own doing.
    for kind in [Kind::Stream, Kind::Json, Kind::Stream, Kind::Json] {
        assert_eq!(forbid(&accounts[0], kind), 403);
    }
    assert_eq!(forbid(&accounts[1], Kind::Stream), 403);
    assert_eq!(forbid(&accounts[2], Kind::Json), 503);
    let row = app.only_row(&accounts[2]);
    assert_eq!((row.ending.code(), row.cost_nanousd.as_nanos(), row.http_status), ("E13", 0, 503));
    assert_eq!(app.only_row(&accounts[1]).ending.code(), "E2");
    assert_eq!(app.metric(ALERT), 1);
    // It is asked all the same: an answer to anyone shows that the credential is good.
    served(&app, &upstream, &accounts[3]);
    assert_eq!(forbid(&accounts[2], Kind::Stream), 403);
    // After the window it takes several again.
    assert_eq!(forbid(&accounts[0], Kind::Stream), 403);
    app.clock.advance(60_000);
    assert_eq!(forbid(&accounts[1], Kind::Stream), 403);
}

#[test]
fn phrases_of_the_settings_stand_in_for_the_default_ones() {
    let upstream = Upstream::start();
    let base_url = format!("http://{}", upstream.address);
    let lines = "credential_phrases = [\"Out of Coins\"]";
    let app = Builder::new().upstream_with("primary", &base_url, lines).start();
    let account = app.account("5.00");
    let heard = |words: &str| {
        let connection = send(&app, &account, Kind::Json);
        upstream.next().refuse(400, &error_body("invalid_request_error", words));
        connection.answer(false).finish()
    };
    heard("we are OUT of coins, 4711").expect_error(503, "api_error");
    // Words about the operator stay out of a client's sight even if no phrase knows them.
    let response = heard("Your credit balance is too low, 4711");
    response.expect_error(400, "invalid_request_error");
    assert!(!response.text().contains("4711"));
    assert!(upstream.next_within(Duration::ZERO).is_none());
}
