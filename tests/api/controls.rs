//! S3: names and ids with control characters, which PostgreSQL partly does not take: nothing is
//! called so, and neither database is asked.

use crate::support::app::TestApp;
use crate::support::client::Request;

/// What is looked for by a name, each with what a person and a program are told.
const TARGETS: [(&str, &str, u16); 15] = [
    ("GET", "/api/v1/usage/{}", 404),
    ("GET", "/api/v1/usage?model={}", 400),
    ("GET", "/api/v1/usage?key={}", 400),
    ("GET", "/api/v1/usage?before={}", 400),
    ("GET", "/api/v1/usage/export?model={}", 400),
    ("GET", "/api/v1/usage/export?key={}", 400),
    ("GET", "/api/v1/keys/{}", 404),
    ("DELETE", "/api/v1/keys/{}", 404),
    ("GET", "/api/v1/deposits/{}", 404),
    ("GET", "/api/v1/deposits?before={}", 404),
    ("DELETE", "/api/v1/sessions/{}", 404),
    ("DELETE", "/api/v1/wallets/{}", 404),
    ("GET", "/v1/models/{}", 404),
    ("GET", "/policies/privacy/{}", 404),
    ("GET", "/policies/{}", 404),
];

#[test]
fn what_has_a_control_character_in_its_name_is_not_there() {
    let app = TestApp::sandboxed();
    let account = app.account("5.00");
    for (method, target, status) in TARGETS {
        for name in ["%00", "a%00b", "%0a", "%1B", "%7f"] {
            let path = target.replace("{}", name);
            let response = if path.starts_with("/api/") {
                app.as_person(&account, method, &path, None)
            } else {
                app.ask(&Request::new(method, &path).key(&account.key))
            };
            assert_eq!(response.status, status, "{method} {path} {}", response.text());
        }
    }
    let browser = app.browser(&account);
    for (path, status) in [
        ("/usage/%00", 404),
        ("/keys/%00", 404),
        ("/deposits/a%00", 404),
        ("/usage?model=%00", 200),
        ("/usage?key=%00&before=%00", 200),
        ("/deposits?before=%00", 200),
    ] {
        assert_eq!(browser.look(path).status, status, "{path}");
    }
    // Each is still found by a name that there is.
    let found = app.as_person(&account, "GET", &format!("/api/v1/keys/{}", account.key_id), None);
    assert_eq!(found.status, 200);
}
