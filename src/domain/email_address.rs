//! E-mail addresses in one spelling for each mailbox, so that one mailbox has one account and one
//! limit; and the spellings that earlier versions took, under which accounts may still stand.

use icu_normalizer::uts46::Uts46MapperBorrowed;
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

/// Longest e-mail address (RFC 5321 §4.5.3.1.3).
const EMAIL_MAX: usize = 254;

/// An e-mail address in the form in which mailboxes are told apart, or nothing if it is none: no
/// white space around it, the host in ASCII by IDNA (UTS 46), the local part in lower case and with
/// what UTS 46 makes of its characters: full-width letters and those in circles become plain, soft
/// hyphens and other signs that nobody sees go. A sigma at the end of a word is one like any other,
/// since in capitals they are the same. Quoted local parts and addresses of machines in brackets
/// have too many spellings to be any.
#[must_use]
pub fn canonical(text: &str) -> Option<String> {
    let text = text.trim();
    if !may_be_one(text) {
        return None;
    }
    let (local, host) = text.rsplit_once('@')?;
    let email = format!("{}@{}", canonical_local(local)?, canonical_host(host)?);
    // What mail cannot be sent to is no address here.
    (email.len() <= EMAIL_MAX && email.parse::<lettre::Address>().is_ok()).then_some(email)
}

/// What all versions have asked of an address.
fn may_be_one(text: &str) -> bool {
    let is_plain = !text.contains(|c: char| c.is_whitespace() || c.is_control());
    is_plain && text.len() <= EMAIL_MAX && text.contains('@')
}

fn canonical_local(local: &str) -> Option<String> {
    let uts46 = Uts46MapperBorrowed::new();
    let folded = uts46.map_normalize(local.chars()).map(|c| if c == 'ς' { 'σ' } else { c });
    let mapped: String = folded.collect();
    (!mapped.is_empty() && mapped.chars().all(is_plain)).then_some(mapped)
}

/// What may stand in a local part without quotes (RFC 5322 §3.2.3, RFC 6532), once it is mapped.
/// The mapping leaves a sign of replacement where a character should not be, and the two joiners,
/// which nobody sees.
fn is_plain(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_alphanumeric() || ".!#$%&'*+-/=?^_`{|}~".contains(c)
    } else {
        !c.is_whitespace() && !c.is_control() && !"\u{fffd}\u{200c}\u{200d}".contains(c)
    }
}

fn canonical_host(host: &str) -> Option<String> {
    let (deny, hyphens) = (AsciiDenyList::URL, Hyphens::CheckFirstLast);
    let ascii = Uts46::new().to_ascii(host.as_bytes(), deny, hyphens, DnsLength::Verify);
    ascii.ok().map(std::borrow::Cow::into_owned)
}

/// What mail is sent to: the host in ASCII, which each mail server can carry.
#[must_use]
pub fn deliverable(email: &str) -> Option<lettre::Address> {
    let (local, host) = email.rsplit_once('@')?;
    let ascii = canonical_host(host);
    lettre::Address::new(local, ascii.as_deref().unwrap_or(host)).ok()
}

/// What is counted as one mailbox, whether or not it is any.
#[must_use]
pub fn mailbox(text: &str) -> String {
    canonical(text).unwrap_or_else(|| as_typed(text))
}

/// In lower case and nothing else, each character by itself: two capitals that are the same stay
/// so.
fn as_typed(text: &str) -> String {
    text.trim().chars().flat_map(char::to_lowercase).collect()
}

/// In lower case as earlier versions had it, which told accounts apart by that: a capital sigma
/// became another letter at the end of a word.
fn as_before(text: &str) -> String {
    text.trim().to_lowercase()
}

/// The spellings under which an address may have an account, in the order in which they count; none
/// of what is no address. What an earlier version made of capitals comes last: it may be somebody
/// else's.
#[must_use]
pub fn spellings(text: &str) -> Vec<String> {
    let (typed, before) = (as_typed(text), as_before(text));
    if !may_be_one(&before) {
        return Vec::new();
    }
    let canonical = canonical(text);
    // An earlier version took hosts as they were typed.
    let with_host = canonical.as_deref().and_then(|email| {
        let (local, host) = email.rsplit_once('@')?;
        let (deny, hyphens) = (AsciiDenyList::URL, Hyphens::CheckFirstLast);
        let (host, _) = Uts46::new().to_unicode(host.as_bytes(), deny, hyphens);
        Some(format!("{local}@{host}"))
    });
    let mut spellings = vec![typed];
    for spelling in [canonical, with_host, Some(before)].into_iter().flatten() {
        if !spellings.contains(&spelling) {
            spellings.push(spelling);
        }
    }
    spellings
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_mailbox_has_one_spelling() {
        for spelling in [
            "victim@example.org",
            " Victim@EXAMPLE.org\n",
            "victim\u{200b}@example.org",
            "victim@example.org\u{200b}",
            "vic\u{ad}tim@exam\u{ad}ple.org",
            "vic\u{2060}tim@example.org",
            "ｖｉｃｔｉｍ@ｅｘａｍｐｌｅ.org",
            "ⓥⓘⓒⓣⓘⓜ@ⓔⓧⓐⓜⓟⓛⓔ.ⓞⓡⓖ",
            "victim@example。org",
            "𝐯𝐢𝐜𝐭𝐢𝐦@example．org",
        ] {
            assert_eq!(canonical(spelling).unwrap(), "victim@example.org", "{spelling:?}");
        }
        let umlauts = "mu\u{308}ller@BU\u{308}CHER.example";
        assert_eq!(canonical(umlauts).unwrap(), "müller@xn--bcher-kva.example");
        assert_eq!(canonical("a@xn--bcher-kva.example").unwrap(), "a@xn--bcher-kva.example");
    }

    #[test]
    fn what_has_several_spellings_or_no_mailbox_is_refused() {
        assert_eq!(canonical("A.b+c@Example.ORG").unwrap(), "a.b+c@example.org");
        for bad in [
            "",
            "a",
            "@b.c",
            "a@",
            "a@b..c",
            "a@b.c.",
            "a b@c.d",
            "a@b\nc.d",
            "\"victim\"@example.org",
            "\"vic tim\"@example.org",
            "\"vic\\tim\"@example.org",
            "＂victim＂@example.org",
            "vic\u{200d}tim@example.org",
            "vic\u{200c}tim@example.org",
            "vic\u{202e}tim@example.org",
            "vic\u{e0041}tim@example.org",
            "vic(tim)@example.org",
            "a＠b@example.org",
            ".a@example.org",
            "a..b@example.org",
            "a․@example.org",
            "a@[192.0.2.1]",
            "a@[IPv6:2001:db8::1]",
            "a@-b.example",
            "a@xn--\u{fc}.example",
            "\u{ad}@example.org",
            &format!("{}@example.org", "a".repeat(300)),
        ] {
            assert_eq!(canonical(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn an_account_is_looked_for_as_it_was_typed_first() {
        assert_eq!(spellings(" A@Example.org "), ["a@example.org"]);
        assert_eq!(spellings("\"A\"@example.org"), ["\"a\"@example.org"]);
        let none: [&str; 0] = [];
        for nobody in ["", "a", "a\0b@example.org", "a b@example.org", &"@".repeat(255)] {
            assert_eq!(spellings(nobody), none, "{nobody:?}");
        }
        assert_eq!(
            spellings("Müller@Bücher.example"),
            ["müller@bücher.example", "müller@xn--bcher-kva.example"]
        );
        assert_eq!(
            spellings("a@xn--bcher-kva.example"),
            ["a@xn--bcher-kva.example", "a@bücher.example"]
        );
        assert_eq!(deliverable("a@bücher.example").unwrap().to_string(), "a@xn--bcher-kva.example");
    }

    #[test]
    fn a_sigma_is_one_letter_wherever_it_stands() {
        for spelling in ["ΑΣ@x.example", "ας@x.example", "ασ@x.example", "ΑΣ@X.EXAMPLE"] {
            assert_eq!(canonical(spelling).unwrap(), "ασ@x.example", "{spelling}");
            assert_eq!(mailbox(spelling), "ασ@x.example", "{spelling}");
        }
        // Who has an account under the one that an earlier version took keeps it, and is not taken
        // for the other.
        assert_eq!(spellings("ΑΣ@x.example"), ["ασ@x.example", "ας@x.example"]);
        assert_eq!(spellings("ας@x.example"), ["ας@x.example", "ασ@x.example"]);
        assert_eq!(spellings("ασ@x.example"), ["ασ@x.example"]);
        // Of hosts they are two letters, and the capital is the one that is not at the end, as in
        // DNS.
        let host = |host: &str| canonical(&format!("a@{host}.example")).unwrap();
        assert_eq!(host("ΑΣ"), host("ασ"));
        assert_ne!(host("ΑΣ"), host("ας"));
        let found = spellings("a@ΑΣ.example");
        assert_eq!(found.first().unwrap(), "a@ασ.example");
        assert_eq!(found.get(1), canonical("a@ΑΣ.example").as_ref());
    }

    #[test]
    fn letters_whose_cases_are_not_alike_have_one_spelling() {
        for (typed, wanted) in [
            ("İ", "i\u{307}"),
            ("ŉ", "ʼn"),
            ("ß", "ß"),
            ("ﬁ", "fi"),
            ("ϲ", "σ"),
            ("𝛓", "σ"),
            ("K", "k"),
            ("ſ", "s"),
        ] {
            let found = canonical(&format!("{typed}@x.example"));
            // Some are no address at all.
            let wanted = format!("{wanted}@x.example");
            let is_wanted = found.as_ref().is_none_or(|found| *found == wanted);
            assert!(is_wanted, "{typed} {found:?}");
        }
    }

    /// Letters whose lower case depends on what is around them, or is longer, or has no way back.
    const SPECIAL: &str = "[aΑΣσςϲΆΰİıIſßẞŉǰﬁﬃΐǅᾳᾼᾈΩKÅ𝛓\u{345}\u{307}\u{200d}.'’]{1,6}";

    proptest! {
        #[test]
        fn special_letters_have_one_spelling(local in SPECIAL, host in SPECIAL) {
            let text = format!("{local}@{host}.example");
            if let Some(email) = canonical(&text) {
                prop_assert_eq!(&canonical(&email).unwrap(), &email);
                prop_assert_eq!(&mailbox(&text), &email);
                let found = spellings(&text);
                let at = |spelling: &str| found.iter().position(|one| one == spelling);
                prop_assert!(at(&email).is_some_and(|at| at <= 1), "{:?}", found);
                prop_assert!(at(&as_before(&text)).is_some(), "{:?}", found);
                // What is found first is the same mailbox.
                prop_assert_eq!(canonical(found.first().unwrap()), Some(email));
            }
        }

        #[test]
        fn the_spelling_of_a_mailbox_is_its_own(text in "\\PC{1,12}@\\PC{1,12}\\.[a-zäöüß]{2,5}") {
            if let Some(email) = canonical(&text) {
                prop_assert_eq!(&canonical(&email).unwrap(), &email);
                prop_assert_eq!(&mailbox(&text), &email);
                prop_assert!(spellings(&text).contains(&email));
            }
        }

        #[test]
        fn plain_addresses_stay_what_they_were(
            text in "[a-z0-9+_-]{1,12}(\\.[a-z0-9]{1,5})?@[a-z0-9]{1,9}\\.[a-z]{2,5}",
        ) {
            prop_assert_eq!(canonical(&text).unwrap(), text);
        }
    }
}
