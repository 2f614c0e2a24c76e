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

/// How the dashboard has one of its figures: in cents, with every digit at hand.
fn figure(name: &str, amount: &str) -> String {
    format!("data-amount=\"{name}\"><data class=\"amount\" value=\"{amount}\"")
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
    assert!(page.contains(&figure("available", text(&stand["available_usd"]))), "{page}");
    assert!(!page.contains("data-amount=\"reserved\""), "nothing is held: {page}");

    let rows = get(&app, &account, "/api/v1/usage")["data"].as_array().unwrap().clone();
    assert_eq!(rows.len(), 5);
    let mut spent = NanoUsd::ZERO;
    for row in &rows {
        let cost = text(&row["cost"]);
        spent = spent.plus(cost.parse().unwrap()).unwrap();
        assert!(
            page.contains(&format!("<data class=\"amount\" value=\"{cost}\"")),
            "{cost}: {page}"
        );
        assert!(page.contains(&format!("href=\"/usage/{}\"", text(&row["id"]))), "{page}");
    }
    assert!(spent > NanoUsd::ZERO);
    assert_eq!(stand["spent_today_usd"], spent.to_string());
    assert_eq!(stand["spent_month_usd"], spent.to_string());
    assert!(page.contains(&figure("month", &spent.to_string())), "{page}");
    assert!(page.contains(&figure("today", &spent.to_string())), "{page}");
    // Each model is in the bar of today, which says what it has cost.
    assert!(page.contains(&format!("<title>22 Nov 2026: ${spent}\n")), "{page}");
    let series = get(&app, &account, "/api/v1/usage/series?by=model&from=2026-11-22&to=2026-11-22");
    assert_eq!(series["lines"].as_array().unwrap().len(), 2, "{series}");
    for line in series["lines"].as_array().unwrap() {
        let (model, cost) = (text(&line["name"]), text(&line["total"]["cost"]));
        assert!(page.contains(&format!("\n{model}: ${cost}")), "{page}");
    }
    let by_key = browser.page("/dashboard?by=key&show=tokens&range=24h");
    let key = text(&get(&app, &account, "/api/v1/key")["name"]).to_owned();
    assert!(by_key.contains(&format!("{key}: share")), "{by_key}");
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
    let month = |sum: NanoUsd| figure("month", &sum.to_string());
    let november = app.browser(&account).page("/dashboard");
    assert!(november.contains(">November</p>") && november.contains(&month(all)));

    app.clock.advance(2 * DAY);
    let december = app.browser(&account).page("/dashboard");
    assert!(december.contains(">December</p>"), "{december}");
    assert!(december.contains(&month(NanoUsd::ZERO)), "{december}");
    for (day, cost) in ["30 Nov 2026", "22 Nov 2026"].iter().zip(costs) {
        let bar = format!("<title>{day}: ${}</title>", NanoUsd::from_nanos(cost));
        assert!(december.contains(&bar), "{bar}: {december}");
        assert!(december.contains(&format!("\">{day}</a></th>")), "{december}");
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
    assert!(browser.page("/keys").contains("Your programs send a key with each request"));
    for path in ["/usage", "/wallets", "/deposits", "/ledger"] {
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
    assert!(second.contains(">First page<") && !second.contains(">Next<"));
    let back = second.split("href=\"").find(|part| part.contains("after=")).unwrap();
    let back = browser.page(&back.split('"').next().unwrap().replace("&#38;", "&"));
    assert_eq!(rows_on(&back), 50);
    assert!(back.contains(">Next<") && !back.contains(">Previous<"), "{back}");
    // The first request was of the dearer model.
    let dearest = browser.page("/usage?sort=cost");
    let first_row = dearest.split("<tbody").last().unwrap();
    assert!(
        first_row.find("claude-opus-5-5").unwrap() < first_row.find("claude-haiku-5-5").unwrap()
    );
    assert_eq!(rows_on(&browser.page("/usage?sort=cost&page=1")), 3);
    assert_eq!(rows_on(&browser.page("/usage?result=ok")), 50);
    assert_eq!(rows_on(&browser.page("/usage?result=error")), 0);
    let id = &app.usage(&account)[7].id;
    for find in [id.as_str(), id.get(..20).unwrap()] {
        assert_eq!(browser.look(&format!("/usage?find={find}")).sends_to(), format!("/usage/{id}"));
    }
    let many = browser.page(&format!("/usage?find={}", id.get(..12).unwrap()));
    assert!(many.contains("Several requests begin like this."), "{many}");
    for (find, words) in
        [("req_1", "Enter the whole request ID"), ("req_zzzzzzzzzzzz", "No request")]
    {
        let page = browser.page(&format!("/usage?find={find}"));
        assert!(page.contains(words) && page.contains("aria-describedby=\"find-error\""), "{page}");
    }

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
    let page = browser.page("/ledger?show=entries");
    let entries = get(&app, &account, "/api/v1/ledger")["data"].as_array().unwrap().clone();
    assert_eq!(entries.len(), 2);
    for entry in &entries {
        for amount in ["amount", "balance"] {
            let shown = format!("<data class=\"amount\" value=\"{}\"", text(&entry[amount]));
            assert!(page.contains(&shown), "{shown}: {page}");
        }
    }
    assert!(page.contains(&format!("href=\"/usage/{}\"", app.only_row(&account).id)), "{page}");
    for path in ["/ledger?before=x", "/ledger?month=2026-13", "/ledger?day=today"] {
        assert_eq!(browser.look(path).status, 404, "{path}");
    }
}

#[test]
fn a_month_of_the_ledger_has_a_line_for_each_day_and_its_statement_adds_up() {
    const DAY: i64 = 86_400_000;
    let app = TestApp::sandboxed();
    let account = app.account("10");
    for model in MODELS {
        ask(&app, &account, model, "on the 22nd");
    }
    app.clock.advance(9 * DAY);
    ask(&app, &account, MODELS[0], "on the 1st of December");
    let browser = app.browser(&account);
    let november = browser.page("/ledger?month=2026-11");
    assert!(
        november.contains("href=\"/ledger?show=entries&#38;day=2026-11-22\">2 requests"),
        "{november}"
    );
    assert!(!november.contains("href=\"/usage/req_"), "charges are rolled up: {november}");
    let day = browser.page("/ledger?show=entries&day=2026-11-22");
    assert_eq!(day.matches("href=\"/usage/req_").count(), 2);
    assert!(browser.page("/ledger?month=2026-12").contains(">1 request</a>"));
    assert!(browser.page("/ledger?show=deposits").contains("class=\"empty\""));
    assert!(browser.page("/ledger?show=adjustments").contains("Credit by the operator."));

    let sum = |page: &str, name: &str| -> i64 {
        let found = page.split(&format!("data-amount=\"{name}\">")).nth(1).unwrap();
        let shown = found.split('<').next().unwrap().replace('$', "").replace('\u{2212}', "-");
        shown.parse::<NanoUsd>().unwrap().as_nanos()
    };
    let statements = ["2026-11", "2026-12"].map(|month| {
        let page = browser.page(&format!("/ledger/statement?month={month}"));
        let parts = ["opening", "deposits", "usage", "adjustments"].map(|name| sum(&page, name));
        assert_eq!(parts.iter().sum::<i64>(), sum(&page, "closing"), "{page}");
        (parts, sum(&page, "closing"))
    });
    let [(november, closed), (december, now)] = statements;
    assert_eq!((november[0], closed), (0, december[0]));
    assert_eq!(now, app.balance(&account).available);
    let costs: i64 = app.usage(&account).iter().map(|row| row.cost_nanousd.as_nanos()).sum();
    assert_eq!(november[2] + december[2], -costs);
    // A month to come has no statement.
    assert_eq!(browser.look("/ledger/statement?month=2027-01").status, 404);
}

#[test]
fn days_are_those_of_the_readers_zone() {
    const HOUR: i64 = 3_600_000;
    let app = TestApp::sandboxed();
    let account = app.account("10");
    // 22:14 in UTC is the next day in Kolkata.
    app.clock.advance(10 * HOUR + 14 * 60_000);
    ask(&app, &account, MODELS[0], "late");
    let browser = app.browser(&account);
    let rows_on = |page: &str| page.matches("aria-label=\"Receipt of ").count();
    let in_utc = ["2026-11-22", "2026-11-23"]
        .map(|day| rows_on(&browser.page(&format!("/usage?from={day}&to={day}"))));
    assert_eq!(in_utc, [1, 0]);
    let local = browser.reading_in("Asia/Kolkata");
    let pages =
        ["2026-11-22", "2026-11-23"].map(|day| local.page(&format!("/usage?from={day}&to={day}")));
    assert_eq!(pages.each_ref().map(|page| rows_on(page)), [0, 1]);
    assert!(pages[1].contains("<title>23 Nov, 03:00: $"), "{}", pages[1]);
    assert!(pages[1].contains("from=2026-11-22T18%3A30%3A00Z"), "{}", pages[1]);
    assert!(browser.reading_in("Nowhere/Land").page("/usage").contains("Times are in UTC."));
}
