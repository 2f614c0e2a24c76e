//! One spelling of a password, whatever keyboard and system it was typed on.

use icu_normalizer::ComposingNormalizerBorrowed;

/// The profile `OpaqueString` of RFC 8265, section 4.2, as far as it maps: every space becomes
/// U+0020, and letters are composed (NFC), with which macOS and others differ. Case stays. Of what
/// the profile forbids only control characters are refused, where a password is set: joined emoji
/// are somebody's password too.
pub(super) fn normalised(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if is_space(c) { ' ' } else { c }).collect();
    ComposingNormalizerBorrowed::new_nfc().normalize(&spaced).into_owned()
}

/// Unicode's category Zs.
const fn is_space(c: char) -> bool {
    matches!(
        c,
        '\u{20}' | '\u{a0}' | '\u{1680}' | '\u{2000}'
            ..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
    )
}

#[cfg(test)]
mod tests {
    use super::normalised;

    #[test]
    fn letters_are_composed_and_spaces_are_one() {
        // As macOS types it, and as others do; with a no-break and an ideographic space.
        assert_eq!(normalised("Mu\u{308}ller\u{a0}x\u{3000}y"), "Müller x y");
        // The examples of the standard, table 5: case and compatibility forms stay.
        for text in ["correct horse battery staple", "Correct Horse", "πßå", "Jack of ♦s", "Ａ"]
        {
            assert_eq!(normalised(text), text);
        }
        assert_eq!(normalised("foo\u{1680}bar"), "foo bar");
    }
}
