//! Where somebody goes after having logged in: back to a page of ours, and nowhere else.

/// Pages that one may come back to, by the first part of their path.
const PAGES: [&str; 8] =
    ["account", "dashboard", "deposits", "keys", "ledger", "preferences", "usage", "wallets"];

/// Where one goes that wanted nothing else.
pub(super) const START: &str = "/dashboard";

/// The page, if it is one of ours that one may come back to.
pub(super) fn page(text: &str) -> Option<&str> {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let first = path.strip_prefix('/')?.split('/').next()?;
    let is_plain = |part: &str, more: &[u8]| {
        part.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    let is_ours = PAGES.contains(&first) && is_plain(path, b"/_-") && is_plain(query, b"=&_-.:%+");
    (is_ours && text.len() <= 500).then_some(text)
}

/// The page, or the start.
pub(super) fn page_or_start(text: &str) -> &str {
    page(text).unwrap_or(START)
}

/// The page as the value of a query's parameter.
pub(super) fn as_value(page: &str) -> String {
    let mut value = String::with_capacity(page.len());
    for character in page.chars() {
        match character {
            '%' => value.push_str("%25"),
            '&' => value.push_str("%26"),
            '+' => value.push_str("%2B"),
            '=' => value.push_str("%3D"),
            '?' => value.push_str("%3F"),
            other => value.push(other),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_comes_back_to_pages_of_ours_and_to_nothing_else() {
        for ours in
            ["/keys", "/usage/req_01?x=1", "/usage?model=a-b.c&from=2026-11-22", "/account/totp"]
        {
            assert_eq!(page(ours), Some(ours));
        }
        for other in [
            "",
            "/",
            "keys",
            "//evil.example",
            "//evil.example/keys",
            "/\\evil.example",
            "/keys/../../evil",
            "/keys\\@evil.example",
            "/keys//evil.example:80",
            "https://evil.example/keys",
            "javascript:alert(1)",
            "/keys\r\nset-cookie: a=b",
            "/keys#x",
            "/log-out",
            "/log-in",
            "/assets/x",
            "/v1/messages",
            "/kéys",
            "/keys?next=https://evil.example",
            &format!("/keys/{}", "a".repeat(600)),
        ] {
            assert_eq!(page_or_start(other), START, "{other}");
        }
    }

    #[test]
    fn a_page_with_a_query_is_one_value() {
        assert_eq!(as_value("/usage?model=a&b=%20"), "/usage%3Fmodel%3Da%26b%3D%2520");
    }
}
