//! Balance, usage, receipts and the ledger: the figures on pages are those of the interface, to the
//! last digit.

use serde_json::{Value, json};
use sluice::domain::money::NanoUsd;

use crate::support::app::{Account, TestApp};

const MODELS: [&str; 2] = ["claude-haiku-5-5", "claude-opus-5-5"];

/// Asks a model something, and waits until that is paid.
fn ask(app: &TestApp, account: &Account, model: &str, content: &str) {
    let before = app.usage(account).len();
    let messages = json!([{ "role": "user", "content": content }]);
    let body = json!({ "model": model, "max_tokens": 50, "messages": messages });
    app.messages(account, &body.to_string()).expect_ok();
    app.settled(account, before + 1);
}

fn get(app: &TestApp, account: &Account, path: &str) -> Value {
    let response = app.api_get(account, path);
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn the_dashboard_says_what_the_interface_says() {
    let app = TestApp::sandboxed();
    let account = app.account("10");
    for (index, model) in MODELS.iter().cycle().take(5).enumerate() {
        ask(&app, &account, model, &"word ".repeat(index * 7 + 1));
    }
    let browser = app.browser(&account);
    let page = browser.page("/dashboard");
    let stand = get(&app, &account, "/api/v1/account");
    let figure = |name: &str, amount: &str| format!("data-amount=\"{name}\">${amount}<");
    assert!(page.contains(&figure("available", text(&stand["available_usd"]))), "{page}");
    assert!(page.contains(&figure("reserved", text(&stand["reserved_usd"]))), "{page}");

    let rows = get(&app, &account, "/api/v1/usage")["data"].as_array().unwrap().clone();
    assert_eq!(rows.len(), 5);
    let mut spent = NanoUsd::ZERO;
    for row in &rows {
        let cost = text(&row["cost"]);
        spent = spent.plus(cost.parse().unwrap()).unwrap();
        assert!(page.contains(&format!("<td class=\"number\">${cost}</td>")), "{cost}: {page}");
        assert!(page.contains(&format!("href=\"/usage/{}\"", text(&row["id"]))), "{page}");
    }
    assert!(spent > NanoUsd::ZERO);
    assert!(page.contains(&figure("month", &spent.to_string())), "{page}");
    assert!(page.contains(&format!("Cost: <strong>${spent}</strong>")), "{page}");
    // Each model has a bar today, which says what it has cost.
    let series = get(&app, &account, "/api/v1/usage/series?by=model&from=2026-11-22&to=2026-11-22");
    assert_eq!(series["lines"].as_array().unwrap().len(), 2, "{series}");
    for line in series["lines"].as_array().unwrap() {
        let (model, cost) = (text(&line["name"]), text(&line["total"]["cost"]));
        assert!(page.contains(&format!("<title>2026-11-22, {model}: ${cost}</title>")), "{page}");
    }
    assert!(!page.contains("Get started"), "{page}");
}

#[test]
fn a_month_has_its_own_sum_and_days_their_own_bars() {
    const DAY: i64 = 86_400_000;
    let app = TestApp::sandboxed();
    let account = app.account("10");
    ask(&app, &account, MODELS[0], "on the 22nd");
    app.clock.advance(8 * DAY);
    ask(&app, &account, MODELS[0], "on the 30th, and longer");
    let costs: Vec<i64> =
        app.usage(&account).iter().map(|row| row.cost_nanousd.as_nanos()).collect();
    let all = NanoUsd::from_nanos(costs.iter().sum());
    let month = |sum: NanoUsd| format!("data-amount=\"month\">${sum}<");
    let november = app.browser(&account).page("/dashboard");
    assert!(november.contains("Spent in November 2026") && november.contains(&month(all)));

    app.clock.advance(2 * DAY);
    let december = app.browser(&account).page("/dashboard");
    assert!(december.contains("Spent in December 2026"), "{december}");
    assert!(december.contains(&month(NanoUsd::ZERO)), "{december}");
    for (day, cost) in ["2026-11-30", "2026-11-22"].iter().zip(costs) {
        let bar = format!("<title>{day}, {}: ${}</title>", MODELS[0], NanoUsd::from_nanos(cost));
        assert!(december.contains(&bar), "{bar}: {december}");
        assert!(december.contains(&format!("<th scope=\"row\">{day}</th>")), "{december}");
    }
}

#[test]
fn who_is_new_is_told_what_to_do_next() {
    let app = TestApp::sandboxed();
    let browser = app.browser_with(&app.person().token);
    let page = browser.page("/dashboard");
    for step in ["href=\"/deposits\"", "href=\"/keys\"", "/v1/messages", "claude-haiku-5-5"] {
        assert!(page.contains(step), "{step}: {page}");
    }
    for path in ["/usage", "/keys", "/wallets", "/deposits", "/ledger"] {
        assert!(browser.page(path).contains("class=\"empty\""), "{path}");
    }
}

#[test]
fn a_receipt_has_every_line_of_the_interfaces_and_comes_to_the_charge() {
    let app = TestApp::sandboxed();
    let account = app.account("10");
    ask(&app, &account, "claude-haiku-5-5", "hello there");
    let row = app.only_row(&account);
    let browser = app.browser(&account);
    let page = browser.page(&format!("/usage/{}", row.id));
    let document = get(&app, &account, &format!("/api/v1/usage/{}", row.id));
    let lines = document["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 2, "{document}");
    for line in lines {
        for field in ["price", "amount"] {
            let amount = text(&line[field]);
            assert!(page.contains(&format!("${amount}")), "{field} {amount}: {page}");
        }
    }
    let charged = NanoUsd::from_nanos(row.cost_nanousd.as_nanos());
    assert!(page.contains(&format!("<strong>${charged}</strong>")), "{page}");
}

#[test]
fn a_list_is_filtered_paged_and_exported() {
    let app = TestApp::sandboxed();
    let account = app.account("10");
    for index in 0..53 {
        ask(&app, &account, MODELS[usize::from(index == 0)], "hi");
    }
    let browser = app.browser(&account);
    let rows_on = |page: &str| page.matches("aria-label=\"Receipt of ").count();
    let first = browser.page("/usage");
    assert_eq!(rows_on(&first), 50);
    let link = first.split("href=\"").find(|part| part.contains("before=")).unwrap();
    let link = link.split('"').next().unwrap().replace("&#38;", "&");
    let second = browser.page(&link);
    assert_eq!(rows_on(&second), 3, "{link}");
    assert!(second.contains(">Newest<") && !second.contains(">Older<"));

    assert_eq!(rows_on(&browser.page("/usage?model=claude-opus-5-5")), 1);
    assert_eq!(rows_on(&browser.page(&format!("/usage?by=key&key={}", account.key_id))), 50);
    let yesterday = browser.page("/usage?from=2026-11-20&to=2026-11-21");
    assert!(rows_on(&yesterday) == 0 && yesterday.contains("class=\"empty\""));
    let bad = browser.page("/usage?from=tomorrow");
    assert!(bad.contains("role=\"alert\"") && bad.contains("2026-11-22"), "{bad}");
    for path in ["/usage?before=req_none", "/usage?key=key_none"] {
        assert_eq!(browser.look(path).status, 404, "{path}");
    }

    let file = first.split("href=\"").find(|part| part.contains("format=csv")).unwrap();
    let file = browser.look(&file.split('"').next().unwrap().replace("&#38;", "&"));
    assert_eq!(file.status, 200);
    assert_eq!(file.text().lines().count(), 54);
}

#[test]
fn the_ledger_lists_what_the_interface_lists() {
    let app = TestApp::sandboxed();
    let account = app.account("10");
    ask(&app, &account, "claude-haiku-5-5", "hi");
    let browser = app.browser(&account);
    let page = browser.page("/ledger");
    let entries = get(&app, &account, "/api/v1/ledger")["data"].as_array().unwrap().clone();
    assert_eq!(entries.len(), 2);
    for entry in &entries {
        let amount = text(&entry["amount"]);
        let shown = match amount.strip_prefix('-') {
            Some(digits) => format!("\u{2212}${digits}"),
            None => format!("${amount}"),
        };
        assert!(page.contains(&format!("<td class=\"number\">{shown}</td>")), "{page}");
        assert!(page.contains(&format!("${}", text(&entry["balance"]))), "{page}");
        assert!(page.contains(text(&entry["reference"])), "{page}");
    }
    assert!(page.contains(&format!("href=\"/usage/{}\"", app.only_row(&account).id)), "{page}");
    assert_eq!(browser.look("/ledger?before=x").status, 404);
}
