//! Text that reads as it is stored. Unicode has characters that are not seen, and some that turn
//! what stands beside them around, so that two names look alike or one reads as another (UTR #36,
//! "Unicode Security Considerations").

use std::borrow::Cow;

/// The format characters, general category Cf of Unicode 17: what joins, separates and turns
/// letters, and tags. The standard adds a few in some years; one that is missing here is invisible
/// at worst.
const FORMAT: [(char, char); 21] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{2064}'),
    ('\u{2066}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0001}', '\u{e0001}'),
    ('\u{e0020}', '\u{e007f}'),
];

/// The characters that fonts may give any look: general category Co.
const PRIVATE: [(char, char); 3] =
    [('\u{e000}', '\u{f8ff}'), ('\u{f0000}', '\u{ffffd}'), ('\u{100000}', '\u{10fffd}')];

/// The separators of lines and paragraphs, Zl and Zp.
const SEPARATORS: [(char, char); 1] = [('\u{2028}', '\u{2029}')];

/// Whether a character has no look of its own, or changes that of others: general categories Cc,
/// Cf, Co, Zl and Zp. Of the remaining one like them, Cs, no text of Rust's has any.
#[must_use]
pub fn is_hidden(letter: char) -> bool {
    let is_among = |ranges: &[(char, char)]| {
        ranges.iter().any(|(first, last)| (*first..=*last).contains(&letter))
    };
    letter.is_control()
        || !letter.is_ascii() && (is_among(&FORMAT) || is_among(&PRIVATE) || is_among(&SEPARATORS))
}

/// Whether all of a text is seen.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    !text.contains(is_hidden)
}

/// The text without what is hidden, but with its line ends and tabs: for text that was stored
/// before it was refused.
#[must_use]
pub fn shown(text: &str) -> Cow<'_, str> {
    let is_dropped = |letter| is_hidden(letter) && !matches!(letter, '\n' | '\r' | '\t');
    if text.contains(is_dropped) {
        Cow::Owned(text.chars().filter(|letter| !is_dropped(*letter)).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// A name as [`shown`]; one of which nothing is seen gets a word in its place.
#[must_use]
pub fn shown_name(name: &str) -> Cow<'_, str> {
    let shown = shown(name);
    if shown.trim().is_empty() { Cow::Borrowed("unnamed") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_told_from_what_is() {
        for hidden in [
            '\0',
            '\n',
            '\u{7f}',
            '\u{85}',
            '\u{ad}',
            '\u{61c}',
            '\u{180e}',
            '\u{200b}',
            '\u{200c}',
            '\u{200d}',
            '\u{200e}',
            '\u{202a}',
            '\u{202e}',
            '\u{2028}',
            '\u{2029}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{206f}',
            '\u{feff}',
            '\u{fff9}',
            '\u{e000}',
            '\u{f8ff}',
            '\u{f0000}',
            '\u{10fffd}',
            '\u{e0001}',
            '\u{e0041}',
        ] {
            assert!(is_hidden(hidden), "{hidden:?}");
            assert!(!is_plain(&format!("a{hidden}b")), "{hidden:?}");
        }
        for plain in
            ["", "Key 1", "Schlüssel", "ключ", "مفتاح", "מפתח", "キー", "🔑", "é", "a\u{a0}b"]
        {
            assert!(is_plain(plain), "{plain}");
        }
    }

    #[test]
    fn what_is_shown_has_lines_and_nothing_hidden() {
        assert_eq!(shown("ab\u{202e}dc\u{200b}"), "abdc");
        assert_eq!(shown("a\r\n\tb\u{1b}"), "a\r\n\tb");
        assert!(matches!(shown("plain\ntext"), Cow::Borrowed(_)));
        assert_eq!(shown_name("\u{200b}"), "unnamed");
        assert_eq!(shown_name("\u{202e}key"), "key");
    }

    #[test]
    fn the_ranges_are_in_order_and_apart() {
        for ranges in [FORMAT.as_slice(), &PRIVATE, &SEPARATORS] {
            assert!(ranges.iter().all(|(first, last)| first <= last));
            assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
    }
}
