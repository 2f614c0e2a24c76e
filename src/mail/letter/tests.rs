//! Promises of the texts: nothing of a user's becomes markup, a header or a link, and nothing is
//! loaded.

use super::*;
use crate::domain::colour::Colour;
use crate::domain::mail::DepositNews;
use crate::domain::policy::PolicyKind;
use crate::domain::secret_token::TokenKind;
use crate::mail::message::{ComposeError, compose};

const DAY: Duration = Duration::from_hours(24);

fn head() -> Letterhead {
    Letterhead {
        from: "Light & Power <mail@example.org>".parse().unwrap(),
        site_name: "Light & Power".to_owned(),
        base_url: "https://example.org".to_owned(),
        support_email: Some("help@example.org".to_owned()),
        accent: Colour::new(0x0d, 0x5c, 0x75),
        accent_dark: Colour::new(0x8a, 0xc4, 0xd6),
    }
}

fn policy(words: &str) -> PolicyNotice {
    PolicyNotice {
        version: PolicyVersion { kind: PolicyKind::Privacy, number: 3 },
        in_force: UtcDay::parse("2026-12-31").unwrap(),
        words: words.to_owned(),
    }
}

fn letters(token: &SecretToken) -> Vec<Letter<'_>> {
    let usd = || "1.5".to_owned();
    let news = |value: Option<String>, is_paced| {
        let news = DepositNews {
            deposit: "dep_1".to_owned(),
            chain_id: 8453,
            token: None,
            raw_amount: "1500000000000000000".to_owned(),
            value_usd: value,
            reason: Some("depegged".to_owned()),
            tx_hash: Some(format!("0x{}", "fe".repeat(32))),
            is_paced,
        };
        DepositLetter::of(news, &[])
    };
    let deposits = MailKind::all().filter(|kind| kind.is_of_deposits());
    let of_deposits: Vec<Letter<'_>> = deposits
        .flat_map(|kind| {
            let cases = [(Some(usd()), true), (Some(usd()), false), (None, false)];
            cases.map(|(value, is_paced)| Letter::Deposit(kind, news(value, is_paced)))
        })
        .collect();
    assert_eq!(of_deposits.len(), 15);
    let paused = |period, left_usd| KeyPaused {
        key_name: "ci".to_owned(),
        hint: Some("sluice_\u{2026}mpqN".to_owned()),
        period,
        budget_usd: usd(),
        left_usd,
    };
    let issued = |is_rotated, previous_expires_at| KeyIssued {
        key_name: "ci".to_owned(),
        hint: "sluice_\u{2026}mpqN".to_owned(),
        is_rotated,
        previous_expires_at,
    };
    let others = vec![
        Letter::SignUp(token, DAY),
        Letter::SignUpKnown,
        Letter::ResetPassword(token, DAY),
        Letter::ChangeEmail(token, DAY),
        Letter::EmailChanged,
        Letter::PasswordChanged,
        Letter::TotpChanged(TotpChanged { is_enabled: true }),
        Letter::TotpChanged(TotpChanged { is_enabled: false }),
        Letter::LowBalance(LowBalance { balance_usd: usd(), threshold_usd: usd() }),
        Letter::KeyPaused(paused(BudgetPeriod::Month, None)),
        Letter::KeyPaused(paused(BudgetPeriod::Total, None)),
        Letter::KeyPaused(paused(BudgetPeriod::Month, Some(usd()))),
        Letter::KeyPaused(KeyPaused { hint: None, ..paused(BudgetPeriod::Total, Some(usd())) }),
        Letter::NewSession(NewSession { began_at: 1_795_000_000_000 }),
        Letter::KeyIssued(issued(false, None)),
        Letter::KeyIssued(issued(true, None)),
        Letter::KeyIssued(issued(true, Some(1_795_000_000_000))),
        Letter::AccountClosing(AccountClosing { erased_at: 1_795_000_000_000 }),
        Letter::StandingChanged(StandingChanged { is_suspended: true }),
        Letter::StandingChanged(StandingChanged { is_suspended: false }),
        Letter::KeysLeaked(KeysLeaked { key_names: vec!["ci".to_owned()] }),
        Letter::KeysLeaked(KeysLeaked { key_names: vec!["ci".to_owned(), "laptop".to_owned()] }),
        Letter::UnusualSpending(UnusualSpending { spent_usd: usd(), busiest_usd: Some(usd()) }),
        Letter::UnusualSpending(UnusualSpending { spent_usd: usd(), busiest_usd: None }),
        Letter::WrongCodes(WrongCodes { count: 10, window_secs: 86_400 }),
        Letter::PolicyChanged(policy("Logs are kept for 30 days.\n\n\n\nThey were kept for 90.")),
    ];
    others.into_iter().chain(of_deposits).collect()
}

#[test]
fn a_deposit_of_a_chain_that_is_gone_is_told_without_its_names() {
    let news = |token: Option<&str>, raw: &str| {
        let news = DepositNews {
            deposit: "dep_1".to_owned(),
            chain_id: 8453,
            token: token.map(str::to_owned),
            raw_amount: raw.to_owned(),
            value_usd: None,
            reason: Some("a later version's".to_owned()),
            tx_hash: None,
            is_paced: false,
        };
        DepositLetter::of(news, &[])
    };
    for news in [news(None, "1"), news(Some("0x12"), "1"), news(Some("no token"), "no number")] {
        assert_eq!((news.coins.as_str(), news.reason), ("coins on chain 8453", ""));
    }
    let letter = Letter::Deposit(MailKind::DepositHeld, news(None, "1"));
    let written = letter.write(&head(), None).unwrap();
    assert!(written.plain.contains("https://example.org/deposits/dep_1"), "{}", written.plain);
}

#[test]
fn every_mail_has_both_forms_and_leads_nowhere_but_home() {
    let token = SecretToken::random(TokenKind::Mail).unwrap();
    for letter in letters(&token) {
        let written = letter.write(&head(), None).unwrap();
        let (plain, html) = (&written.plain, &written.html);
        assert!(!written.subject.trim().is_empty() && !written.subject.contains("{{"), "{plain}");
        assert!(plain.contains("Light & Power\nhttps://example.org\nhelp@example.org"), "{plain}");
        assert!(html.contains("Light &#38; Power"), "{html}");
        assert!(!plain.contains("\n\n\n") && plain.contains("\n-- \n"), "{plain}");
        for attribute in ["src=", "url(", "<img", "<script", "<link", "@import"] {
            assert!(!html.contains(attribute), "{attribute} in {html}");
        }
        for part in html.split("href=\"").skip(1) {
            let to = part.split('"').next().unwrap();
            let is_home = to == "https://example.org"
                || to.starts_with("https://example.org/")
                || to == "mailto:help@example.org";
            assert!(is_home, "{to}");
        }
        assert!(!written.subject.contains('\n'), "{}", written.subject);
        // Each paragraph is in both.
        let paragraphs = plain.split("\n\n").count();
        assert_eq!(html.matches("<p>").count(), paragraphs, "{plain}\n{html}");
    }
}

#[test]
fn the_first_link_is_the_one_button() {
    let token = SecretToken::random(TokenKind::Mail).unwrap();
    for letter in letters(&token) {
        let unsubscribe = Some("https://example.org/unsubscribe?token=x");
        let html = letter.write(&head(), unsubscribe).unwrap().html;
        let buttons: Vec<&str> = html.split("<a class=\"button\" href=\"").skip(1).collect();
        if matches!(letter, Letter::EmailChanged) {
            assert!(buttons.len() <= 1, "{html}");
            continue;
        }
        let [button] = buttons.as_slice() else { panic!("{} buttons: {html}", buttons.len()) };
        let (to, rest) = button.split_once('"').unwrap();
        assert!(rest.starts_with('>') && rest.contains("</a></div>"), "{html}");
        assert!(html.contains(&format!("<p><a href=\"{to}\">{to}</a></p>")), "{html}");
        assert!(!to.contains("unsubscribe"), "{html}");
    }
}

#[test]
fn a_link_carries_its_token_and_says_how_long_it_works() {
    let token = SecretToken::random(TokenKind::Mail).unwrap();
    let cases = [
        (Letter::SignUp(&token, DAY), "/sign-up/confirm", "for one day"),
        (Letter::ResetPassword(&token, Duration::from_hours(3)), "/reset/confirm", "for 3 hours"),
        (Letter::ChangeEmail(&token, Duration::from_secs(330)), "/email/confirm", "for 5 minutes"),
    ];
    for (letter, path, valid) in cases {
        let written = letter.write(&head(), None).unwrap();
        let link = format!("https://example.org{path}?token={}", token.reveal());
        assert!(written.plain.contains(&format!("\n\n{link}\n\n")), "{}", written.plain);
        assert!(written.html.contains(&format!("<a href=\"{link}\">")), "{}", written.html);
        assert!(written.plain.contains(valid), "{}", written.plain);
    }
}

#[test]
fn a_keys_name_is_neither_markup_nor_a_link_nor_a_header() {
    let hostile =
        "https://evil.example/\"><img src=x>\n\nhttps://evil.example\r\nBcc: b@evil.example";
    let key_name = hostile.to_owned();
    let paused = KeyPaused {
        key_name,
        hint: None,
        period: BudgetPeriod::Total,
        budget_usd: "1".to_owned(),
        left_usd: None,
    };
    let written = Letter::KeyPaused(paused).write(&head(), None).unwrap();
    assert!(!written.html.contains("<img"), "{}", written.html);
    assert!(!written.html.contains("href=\"https://evil"), "{}", written.html);
    assert!(!written.subject.contains("evil"), "{}", written.subject);
}

#[test]
fn headers_take_no_lines_from_anywhere() {
    let mut head = head();
    head.from.name = Some("Süß, \"Ltd\" <b@evil.example>, c@evil.example".to_owned());
    let now = UnixMillis::from_millis(1_795_000_000_000);
    let message =
        compose(&head, &Letter::EmailChanged, "a@example.org", ("msg_1", None), now).unwrap();
    let text = String::from_utf8(message.formatted()).unwrap();
    let (headers, _) = text.split_once("\r\n\r\n").unwrap();
    assert!(headers.is_ascii() && !headers.contains("@evil"), "{headers}");
    assert!(headers.contains("<mail@example.org>\r\n"), "{headers}");
    assert!(headers.contains("Reply-To: help@example.org"), "{headers}");
    assert!(headers.contains("Date: Wed, 18 Nov 2026 11:06:40 +0000"), "{headers}");
    assert!(headers.contains("Message-ID: <msg_1@example.org>"), "{headers}");
    assert!(headers.contains("Auto-Submitted: auto-generated"), "{headers}");
    assert!(headers.contains("multipart/alternative"), "{headers}");
    for recipient in ["a@example.org\r\nBcc: b@evil.example", "a@b.c, d@e.f", "", "a"] {
        let refused = compose(&head, &Letter::EmailChanged, recipient, ("msg_1", None), now);
        assert!(matches!(refused, Err(ComposeError::Recipient)), "{recipient}");
    }
}

#[test]
fn p16_a_notice_says_when_and_what_changes_in_the_operators_words() {
    let hostile = "More than 3 < 5 days.\n\n<script>alert(1)</script>\n\nhttps://evil.example";
    let written = Letter::PolicyChanged(policy(hostile)).write(&head(), None).unwrap();
    assert_eq!(written.subject, "Light & Power: changes to our privacy policy on 31 December 2026");
    assert!(written.plain.contains("\n\nMore than 3 < 5 days.\n\n"), "{}", written.plain);
    assert!(written.plain.contains("\n\nhttps://example.org/privacy/versions/3\n\n"));
    assert!(!written.html.contains("<script") && !written.html.contains("href=\"https://evil"));
}

/// The lines of the headers, unfolded.
fn headers_of(base_url: &str, unsubscribe: Option<&str>) -> Vec<String> {
    let mut head = head();
    head.base_url = base_url.to_owned();
    let low = LowBalance { balance_usd: "1".to_owned(), threshold_usd: "2".to_owned() };
    let (letter, now) = (Letter::LowBalance(low), UnixMillis::from_millis(1_795_000_000_000));
    let message =
        compose(&head, &letter, "a@example.org", ("msg_1", unsubscribe), now).unwrap().formatted();
    let text = String::from_utf8(message).unwrap();
    let (headers, _) = text.split_once("\r\n\r\n").unwrap();
    headers.replace("\r\n ", " ").lines().map(str::to_owned).collect()
}

#[test]
fn p15_a_link_that_turns_mail_off_is_named_in_the_headers_whole_and_alone() {
    let link = format!("https://example.org/unsubscribe?token=mail_{}", "a".repeat(52));
    let headers = headers_of("https://example.org", Some(&link));
    assert!(headers.contains(&format!("List-Unsubscribe: <{link}>")), "{headers:#?}");
    let post = "List-Unsubscribe-Post: List-Unsubscribe=One-Click";
    assert!(headers.iter().any(|line| line == post), "{headers:#?}");
    let is_named = |headers: &[String]| headers.iter().any(|line| line.starts_with("List-Unsub"));
    assert!(!is_named(&headers_of("https://example.org", None)));
    // Without https nothing may be posted unseen.
    let link = "http://127.0.0.1:8080/unsubscribe?token=mail_a";
    let headers = headers_of("http://127.0.0.1:8080", Some(link));
    assert!(headers.contains(&format!("List-Unsubscribe: <{link}>")), "{headers:#?}");
    assert!(!headers.iter().any(|line| line.starts_with("List-Unsubscribe-Post")));
    for link in ["https://a\r\nBcc: b@evil.example", "https://a> <https://b", "https://\u{e4}"] {
        assert!(!is_named(&headers_of("https://example.org", Some(link))), "{link}");
    }
}
