//! The grammar: the standard's own examples, every deviation with its line, and random messages.

use proptest::prelude::*;

use super::*;

/// From the standard, with the explicit scheme of its second example.
const EXAMPLE: &str = "https://example.com:3388 wants you to sign in with your Ethereum account:
0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2

I accept the ExampleOrg Terms of Service: https://example.com/tos

URI: https://example.com/login
Version: 1
Chain ID: 1
Nonce: 32891756
Issued At: 2021-09-30T16:25:24Z
Expiration Time: 2021-09-30T17:25:24+01:00
Not Before: 2021-09-30T16:25:24.123456Z
Request ID: some%20id@1
Resources:
- ipfs://bafybeiemxf5abjwjbikoz4mc3a3dla6ual3jsgpdr4cjr3oz3evfyavhwq/
- https://example.com/my-web2-claim.json";

#[test]
fn the_example_of_the_standard_is_read() {
    let message = SiweMessage::parse(EXAMPLE).unwrap();
    assert_eq!(message.scheme.as_deref(), Some("https"));
    assert_eq!(message.domain, "example.com:3388");
    assert_eq!(
        message.statement.as_deref(),
        Some("I accept the ExampleOrg Terms of Service: https://example.com/tos")
    );
    assert_eq!(
        (message.uri.as_str(), message.version.as_str()),
        ("https://example.com/login", "1")
    );
    assert_eq!((message.chain_id, message.nonce.as_str()), (ChainId(1), "32891756"));
    assert_eq!(message.issued_at.to_rfc3339_secs(), "2021-09-30T16:25:24Z");
    assert_eq!(message.expires_at.unwrap().to_rfc3339_secs(), "2021-09-30T16:25:24Z");
    assert_eq!(message.not_before.unwrap().to_string(), "2021-09-30T16:25:24.123Z");
    assert_eq!(message.request_id.as_deref(), Some("some%20id@1"));
    assert_eq!(message.resources.unwrap().len(), 2);
}

#[test]
fn what_is_optional_may_be_missing() {
    let (head, tail) = EXAMPLE.split_once("I accept").unwrap();
    let tail = tail.split_once('\n').unwrap().1;
    let without = format!("{head}{tail}");
    let without =
        without.split_once("\nExpiration").unwrap().0.replace("https://example.com:", "h:");
    let message = SiweMessage::parse(&without).unwrap();
    assert_eq!((message.scheme, message.statement, message.resources), (None, None, None));
    let empty = SiweMessage::parse(&format!("{head}\n{tail}")).unwrap();
    assert_eq!(empty.statement.as_deref(), Some(""));
    let none = SiweMessage::parse(EXAMPLE.split_once("\n- ").unwrap().0).unwrap();
    assert_eq!(none.resources, Some(Vec::new()));
}

#[test]
fn each_deviation_is_named_with_its_line() {
    let cases = [
        (1, "https://example.com:3388 wants", "example.com/x wants"),
        (1, "https://example.com:3388 wants", " wants"),
        (1, "https://", "1https://"),
        (1, "account:", "account"),
        (1, "account:", "account:\r"),
        (2, "0xC02aaA39b", "0xC02aaA39B"),
        (2, "0xC02aaA39b", "C02aaA39b"),
        (3, "Cc2\n\n", "Cc2\n"),
        (4, "I accept", "I \"accept\""),
        (4, "I accept", "I äccept"),
        (5, "/tos\n\n", "/tos\n"),
        (6, "URI: https://example.com/login", "URI: example.com/login"),
        (6, "URI: https://example.com/login", "URI: https://example.com/%zz"),
        (6, "URI:", "uri:"),
        (7, "Version: 1", "Version: "),
        (8, "Chain ID: 1", "Chain ID: +1"),
        (8, "Chain ID: 1", "Chain ID: 0x1"),
        (8, "Chain ID: 1", "Chain ID: 99999999999999999999"),
        (9, "Nonce: 32891756", "Nonce: 3289175"),
        (9, "Nonce: 32891756", "Nonce: 32891756-"),
        (10, "2021-09-30T16:25:24Z", "2021-09-30 16:25:24Z"),
        (10, "2021-09-30T16:25:24Z", "2021-09-31T16:25:24Z"),
        (10, "2021-09-30T16:25:24Z", "1632990324"),
        (11, "17:25:24+01:00", "17:25:24"),
        (12, "Not Before: 2021", "Not Before: x2021"),
        (13, "some%20id@1", "some id"),
        (13, "some%20id@1", "%2"),
        (14, "Resources:", "Resources: "),
        (15, "- ipfs", "- no uri"),
        (15, "- ipfs", "-ipfs"),
        (17, "claim.json", "claim.json\n"),
        (17, "claim.json", "claim.json\nRequest ID: 1"),
    ];
    for (line, from, to) in cases {
        let text = EXAMPLE.replacen(from, to, 1);
        assert_ne!(text, EXAMPLE, "{from}");
        assert_eq!(SiweMessage::parse(&text), Err(ProofError::Malformed { line }), "{to:?}");
    }
    assert_eq!(SiweMessage::parse(""), Err(ProofError::Malformed { line: 1 }));
    assert_eq!(SiweMessage::parse(&"x".repeat(4097)), Err(ProofError::TooLong));
}

#[test]
fn fields_in_another_order_are_refused() {
    let swapped = EXAMPLE.replace("Version: 1\nChain ID: 1", "Chain ID: 1\nVersion: 1");
    assert_eq!(SiweMessage::parse(&swapped), Err(ProofError::Malformed { line: 7 }));
}

prop_compose! {
    fn moment()(millis in 0_i64..253_402_300_799_999) -> UnixMillis {
        UnixMillis::from_millis(millis)
    }
}

prop_compose! {
    fn message()(
        scheme in proptest::option::of("[a-z][a-z0-9+.-]{0,8}"),
        domain in "[a-z0-9.-]{1,40}(:[0-9]{1,5})?",
        address: [u8; 20],
        statement in proptest::option::of("[A-Za-z0-9 :/?#\\[\\]@!$&'()*+,;=._~-]{0,200}"),
        uri in "[a-z]{1,8}:[A-Za-z0-9:/?#@!$&'()*+,;=._~-]{0,80}(%[0-9A-F]{2})?",
        chain_id in 0_i64..,
        nonce in "[A-Za-z0-9]{8,40}",
        (issued_at, expires_at, not_before) in
            (moment(), proptest::option::of(moment()), proptest::option::of(moment())),
        request_id in proptest::option::of("[A-Za-z0-9:@!$&'()*+,;=._~-]{0,40}"),
        resources in proptest::option::of(proptest::collection::vec("[a-z]{1,8}:[a-z0-9/]{0,40}",
            0..5)),
    ) -> SiweMessage {
        let version = VERSION.to_owned();
        let chain_id = ChainId(chain_id);
        SiweMessage {
            scheme, domain, address: EvmAddress(address), statement, uri, version, chain_id, nonce,
            issued_at, expires_at, not_before, request_id, resources,
        }
    }
}

proptest! {
    #[test]
    fn text_and_message_are_each_others_inverse(message in message()) {
        prop_assert_eq!(SiweMessage::parse(&message.to_string()), Ok(message));
    }

    #[test]
    fn no_text_does_harm(text in ".{0,300}") {
        prop_assert!(SiweMessage::parse(&text).is_err());
    }

    #[test]
    fn no_damage_does_harm(message in message(), at: prop::sample::Index,
        with in "\\PC{0,3}|\n|\r") {
        let text = message.to_string();
        let (before, after) = text.split_at(at.index(text.len()));
        let damaged = format!("{before}{with}{}", after.split_at(1).1);
        // What still parses is another message of the same grammar: it has one text, which parses
        // to it again.
        if let Ok(other) = SiweMessage::parse(&damaged) {
            prop_assert_eq!(SiweMessage::parse(&other.to_string()), Ok(other));
        }
    }
}
