//! What mail people want.

use serde_json::{Value, json};

use crate::support::app::{Builder, TestApp};
use crate::support::upstream::Upstream;

const PATH: &str = "/api/v1/preferences";

fn app() -> TestApp {
    Builder::new().upstream("primary", Upstream::nowhere()).start()
}

#[test]
fn p15_people_say_what_they_want_to_be_told() {
    let app = app();
    let person = app.person();
    let get = || app.by(&person.token, "GET", PATH).json();
    assert_eq!(get(), json!({ "low_balance_usd": null, "wants_notices": true }));
    let wanted = json!({ "low_balance_usd": "2.500000001", "wants_notices": false });
    let put = app.by_with(&person.token, "PUT", PATH, &wanted);
    assert_eq!((put.status, put.json()), (200, wanted.clone()));
    assert_eq!(get(), wanted);
    let other = app.person();
    let others = app.by(&other.token, "GET", PATH).json();
    assert_eq!(others["wants_notices"], true, "it is nobody else's wish");
    let none = json!({ "low_balance_usd": null, "wants_notices": true });
    assert_eq!(app.by_with(&person.token, "PUT", PATH, &none).json(), none);
    assert_eq!(get(), none);
}

#[test]
fn what_is_no_wish_is_refused() {
    let app = app();
    let person = app.person();
    let refuse = |body: &Value, code: &str| {
        app.by_with(&person.token, "PUT", PATH, body).expect_refusal(400, code);
    };
    for amount in ["0", "0.00", "-1"] {
        let body = json!({ "low_balance_usd": amount, "wants_notices": true });
        refuse(&body, "invalid_threshold");
    }
    for body in [
        json!({ "low_balance_usd": "1.0000000001", "wants_notices": true }),
        json!({ "low_balance_usd": 5, "wants_notices": true }),
        json!({ "low_balance_usd": "much", "wants_notices": true }),
        json!({ "wants_notices": true }),
        json!({ "low_balance_usd": null }),
        json!({ "low_balance_usd": null, "wants_notices": "yes" }),
        json!({ "low_balance_usd": null, "wants_notices": true, "email": "a@example.org" }),
    ] {
        refuse(&body, "invalid_body");
    }
}
