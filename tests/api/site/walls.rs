//! What holds of every page: the way home, whom to write to, nothing of anybody else's, nothing
//! that runs in the page; and of every form that it is sent from a page of ours.

use super::{SUPPORT, all_pages, app, builder};
use crate::support::app::TestApp;
use crate::support::client::{Request, Response};
use crate::support::forms::{Browser, Form, encoded, form_to, forms, tags};

#[test]
fn p1_every_page_has_a_way_home_and_p17_somebody_to_write_to() {
    let app = app();
    for (path, page) in all_pages(&app) {
        let text = page.text();
        let all = tags(&text);
        let links: Vec<_> = all.iter().filter(|tag| tag.name == "a").collect();
        assert!(links.iter().any(|link| link.get("href") == Some("/")), "{path}: no way home");
        let mailto = format!("mailto:{SUPPORT}");
        assert!(links.iter().any(|link| link.get("href") == Some(&mailto)), "{path}: no address");
        for link in ["/privacy", "/terms", "/status", "/docs"] {
            assert!(links.iter().any(|other| other.get("href") == Some(link)), "{path}: {link}");
        }
        let headings = all.iter().filter(|tag| tag.name == "h1").count();
        assert_eq!(headings, 1, "{path}: {text}");
        assert!(text.contains("<title>") && text.contains("<html lang=\"en\">"), "{path}");
    }
}

#[test]
fn every_answer_has_the_headers_that_keep_a_page_to_itself() {
    let app = app();
    let mut browser = Browser::new(&app);
    let style = tags(&browser.get("/").text())
        .into_iter()
        .find(|tag| tag.name == "link" && tag.get("rel") == Some("stylesheet"))
        .and_then(|tag| tag.get("href").map(str::to_owned))
        .unwrap();
    let others = ["/keys", &style, "/nothing"].map(|path| (path.to_owned(), browser.get(path)));
    for (path, page) in all_pages(&app).into_iter().chain(others) {
        guarded(&path, &page);
    }
    let asset = browser.get(&style);
    assert_eq!(asset.header("cache-control"), Some("public, max-age=31536000, immutable"));
    let outdated = browser.get("/assets/site.0000000000000000.css");
    assert_eq!((outdated.status, outdated.header("cache-control")), (200, Some("no-store")));
    assert_eq!(browser.get("/assets/other.0000000000000000.css").status, 404);
    assert_eq!(browser.get("/assets/%2e%2e%2fsite.rs").status, 404);
}

fn guarded(path: &str, page: &Response) {
    let policy = page.header("content-security-policy").unwrap_or_default();
    for part in
        ["default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"]
    {
        assert!(policy.contains(part), "{path}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{path}: {policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"), "{path}");
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"), "{path}");
    if !path.starts_with("/assets/") {
        assert_eq!(page.header("cache-control"), Some("no-store"), "{path}");
    }
}

#[test]
fn p6_no_page_names_another_site_or_runs_what_stands_in_it() {
    let app = app();
    for (path, page) in all_pages(&app) {
        let text = page.text();
        for tag in tags(&text) {
            for (name, value) in &tag.attributes {
                assert!(!name.starts_with("on") && name != "style", "{path}: {tag:?}");
                let loads = ["src", "srcset", "action", "formaction", "data", "poster", "ping"];
                let is_address = name == "href" || loads.contains(&name.as_str());
                let is_ours = value.starts_with('/') && !value.starts_with("//")
                    || value.starts_with('#')
                    || name == "href" && value.starts_with("mailto:")
                    || value.starts_with("data:image/")
                    // What the page itself is called, for search engines: nothing follows it.
                    || tag.get("rel") == Some("canonical");
                assert!(!is_address || is_ours, "{path}: {tag:?}");
            }
            assert!(tag.name != "style" && tag.name != "base" && tag.name != "iframe", "{path}");
        }
        for script in text.split("<script").skip(1) {
            let body = script.split_once('>').unwrap().1;
            assert!(body.starts_with("</script>"), "{path}: a script in the page");
        }
    }
}

/// Every form of every page, with who sees it.
fn all_forms(app: &TestApp) -> (String, Vec<(bool, Form)>) {
    let person = app.person();
    let token = app.session_of(person.id);
    let mut found: Vec<(bool, Form)> = Vec::new();
    for is_person in [false, true] {
        let mut browser =
            if is_person { Browser::with_session(app, &token) } else { Browser::new(app) };
        for (path, page) in super::crawl(&mut browser) {
            for form in forms(&page.text()) {
                if form.method == "get" {
                    continue;
                }
                assert_eq!(form.method, "post", "{path}");
                assert!(form.fields.iter().any(|(name, _)| name == "csrf"), "{path}: {form:?}");
                found.push((is_person, form));
            }
        }
    }
    let actions: std::collections::BTreeSet<&str> =
        found.iter().map(|(_, form)| form.action.as_str()).collect();
    assert!(actions.len() >= 12, "{actions:?}");
    (token, found)
}

#[test]
fn no_form_can_be_sent_by_another_site() {
    let app = app();
    let (token, forms) = all_forms(&app);
    for (is_person, form) in forms {
        let browser = |app| {
            let mut browser = Browser::with_session(app, &token);
            if !is_person {
                browser = Browser::new(app);
                // A page of ours has been looked at before.
                browser.get("/log-in");
            }
            browser
        };
        let other_word = form_to(&Browser::new(&app).get("/log-in").text(), "/log-in").fields;
        let other_word = other_word.iter().find(|(name, _)| name == "csrf").unwrap().1.clone();
        for word in ["", "0", &other_word] {
            let forged = form.clone().with("csrf", word);
            let refused = browser(&app).send(&forged);
            assert_eq!(refused.status, 403, "{} with {word:?}", form.action);
        }
        let mut without = form.clone();
        without.fields.retain(|(name, _)| name != "csrf");
        assert_eq!(browser(&app).send(&without).status, 403, "{}", form.action);
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.example"),
        ] {
            let body: Vec<String> = form
                .fields
                .iter()
                .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
                .collect();
            let request = Request::form(&form.action, body.join("&")).header(name, value);
            assert_eq!(browser(&app).ask(request).status, 403, "{} {name}", form.action);
        }
    }
    assert!(app.is_logged_in(&token), "something was done all the same");
}

#[test]
fn the_one_form_that_anybody_may_send_counts_for_its_link_and_for_nothing_else() {
    let app = app();
    let (sender, other) = (app.person(), app.person());
    let now = app.clock.now();
    let token = app.db(|conn| {
        let day = std::time::Duration::from_hours(24);
        sluice::accounts::identity::unsubscribe::issue(conn, other.id, day, now).unwrap()
    });
    let page = format!("/unsubscribe?token={}", token.reveal());
    // Whoever is logged in, and whatever site has them send it.
    let mut browser = Browser::with_session(&app, &app.session_of(sender.id));
    let text = browser.get(&page).text();
    let without_word: Vec<Form> = forms(&text)
        .into_iter()
        .filter(|form| !form.fields.iter().any(|(name, _)| name == "csrf"))
        .filter(|form| form.method == "post")
        .collect();
    let [form] = without_word.as_slice() else { panic!("{without_word:#?}") };
    assert_eq!(form.action, page);
    let request = Request::form(&form.action, "List-Unsubscribe=One-Click")
        .header("origin", "https://evil.example")
        .header("sec-fetch-site", "cross-site");
    assert_eq!(browser.ask(request).status, 200);
    let wants =
        |token: &str| app.by(token, "GET", "/api/v1/preferences").json()["wants_notices"].clone();
    assert_eq!((wants(&sender.token), wants(&other.token)), (true.into(), false.into()));
}

#[test]
fn a_form_that_is_none_is_refused_in_words() {
    let app = app();
    let mut browser = Browser::new(&app);
    let form = browser.form("/log-in", "/log-in");
    let big = form.clone().with("email", &"a".repeat(40_000));
    assert_eq!(browser.send(&big).status, 413);
    let json = Request::new("POST", "/log-in").json(&serde_json::json!({}));
    assert_eq!(browser.ask(json).status, 400);
    let broken = Request::form("/log-in", b"\xff\xfe".to_vec());
    assert_eq!(browser.ask(broken).status, 400);
    let wrong_method = browser.ask(Request::new("DELETE", "/log-in"));
    assert_eq!(wrong_method.status, 405);
    assert!(wrong_method.text().contains("href=\"/\""));
    assert_eq!(browser.ask(Request::get("/log-out")).status, 405);
}

#[test]
fn paths_that_nobody_serves_are_told_to_people_and_programs_each_in_their_way() {
    let app = app();
    let mut browser = Browser::new(&app);
    let page = browser.get("/no-such-page");
    assert_eq!(page.status, 404);
    assert!(page.text().contains("Page not found") && page.text().contains("href=\"/\""));
    app.ask(&Request::get("/no-such-page")).expect_error(404, "not_found_error");
    browser.get("/v1/no-such-page").expect_error(404, "not_found_error");
    browser.get("/api/v1/no-such-page").expect_refusal(404, "not_found");
    let head = app.ask(&Request::new("HEAD", "/log-in"));
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn cookies_are_for_this_host_and_not_for_scripts() {
    for (base_url, prefix, is_secure) in
        [("https://gateway.test", "__Host-", true), ("http://127.0.0.1:8080", "", false)]
    {
        let app = builder().set("site.base_url", format!("\"{base_url}\"")).start();
        let person = app.person();
        let mut browser = Browser::new(&app);
        let form = browser.form("/log-in", "/log-in");
        let guest = format!("{prefix}sluice_form");
        assert!(browser.cookies.contains_key(&guest), "{:?}", browser.cookies);
        let form =
            form.with("email", &person.email).with("password", crate::support::people::PASSWORD);
        let response = browser.send(&form);
        assert_eq!(response.status, 303, "{}", response.text());
        assert!(!browser.cookies.contains_key(&guest), "a stranger's cookie outlives the log-in");
        let cookies: Vec<&str> = response
            .headers
            .iter()
            .filter(|(name, _)| name == "set-cookie")
            .map(|(_, value)| value.as_str())
            .collect();
        let session = format!("{prefix}sluice_session=sess_");
        assert!(cookies.iter().any(|cookie| cookie.starts_with(&session)), "{cookies:?}");
        for cookie in cookies {
            for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
                assert!(cookie.contains(part), "{cookie}");
            }
            assert_eq!(cookie.contains("Secure"), is_secure, "{cookie}");
            assert!(!cookie.contains("Domain"), "{cookie}");
        }
    }
}
