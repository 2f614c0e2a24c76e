//! Text that somebody may open in a spreadsheet: what would be taken for a formula is preceded by
//! an apostrophe (OWASP, "CSV Injection").

use std::borrow::Cow;

use super::plain_text::is_hidden;

/// The text, safe in a cell. For words: numbers of our own making may begin with a minus.
#[must_use]
pub fn defused(text: &str) -> Cow<'_, str> {
    if is_formula(text) { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

/// What spreadsheets take for a formula, the wide forms of East Asian keyboards included. White
/// space before it is no protection, and a hidden character at the front is one of its tricks.
fn is_formula(text: &str) -> bool {
    let is_trick = text.starts_with(is_hidden);
    let signs = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
    is_trick || text.trim_start().starts_with(signs)
}

#[cfg(test)]
mod tests {
    use super::defused;

    #[test]
    fn formulas_are_defused_and_other_words_left_alone() {
        for text in ["=1+1", " @x", "\tx", "－1", "+x", "\r=x", "\u{200b}=x"] {
            assert_eq!(defused(text), format!("'{text}"));
        }
        for text in ["", "fine", "a=b", "1-2"] {
            assert_eq!(defused(text), text);
        }
    }
}
