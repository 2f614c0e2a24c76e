//! What people paste: the clipboard's own additions are taken away, and nothing else. Line ends,
//! blanks around a text and characters that are not seen are no part of an address or a signature,
//! and a message of ours begins and ends with none.

use std::borrow::Cow;

/// Characters that a clipboard adds without anybody's seeing them: white space of all kinds, the
/// mark of a byte order, and spaces without width.
const fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}'..='\u{200d}' | '\u{2060}')
}

/// A message with one LF at the end of each line, and nothing around it.
#[must_use]
pub fn message(text: &str) -> Cow<'_, str> {
    let text = text.trim_matches(is_blank);
    if text.contains('\r') { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) }
}

/// A signature in hexadecimal: without blanks, also those where a long line was broken, and without
/// quotation marks.
#[must_use]
pub fn signature(text: &str) -> String {
    let digits: String = text.chars().filter(|c| !is_blank(*c)).collect();
    with_prefix(digits.trim_matches(['"', '\'', '`']))
}

/// An address: without blanks around it, and without a chain's short name in front of it
/// (ERC-3770), as Safe copies it: `base:0x…`.
#[must_use]
pub fn address(text: &str) -> String {
    let text = text.trim_matches(is_blank);
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    match text.split_once(':') {
        Some((name, address)) if is_name(name) && address.starts_with(['0']) => {
            with_prefix(address)
        }
        _ => with_prefix(text),
    }
}

/// Some tools write the prefix as large as the digits.
fn with_prefix(text: &str) -> String {
    text.strip_prefix("0X").map_or_else(|| text.to_owned(), |digits| format!("0x{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_clipboard_adds_is_taken_away_and_nothing_else() {
        for text in ["a\nb", "a\r\nb", "\u{feff}a\nb\n", "  a\r\nb\r\n\r\n", "\u{200b}a\nb\u{a0}"] {
            assert_eq!(message(text), "a\nb", "{text:?}");
        }
        assert_eq!(message("a \n b"), "a \n b", "within it stays as it was signed");
        for text in ["0xab12", " 0xab12\r\n", "0Xab12", "\"0xab12\"", "0xab\n12", "\u{feff}0xab12"]
        {
            assert_eq!(signature(text), "0xab12", "{text:?}");
        }
        assert_eq!((signature(" 0x "), signature("")), ("0x".to_owned(), String::new()));
        for text in ["0xAb", " 0xAb ", "0XAb", "base:0xAb", "arb1:0xAb\n", "\u{200b}0xAb"] {
            assert_eq!(address(text), "0xAb", "{text:?}");
        }
        assert_eq!(address("https://x:0xAb"), "https://x:0xAb");
    }
}
