//! The fields of a form or of a query, as browsers send them.

use actix_web::web::Query;

use crate::domain::money::NanoUsd;
use crate::domain::unprintable::unprintable;

/// See the module.
#[derive(Default)]
pub(super) struct FormFields(Vec<(String, String)>);

unprintable!(FormFields);

impl FormFields {
    /// Reads `name=value&…`; nothing where that is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Query::<Vec<(String, String)>>::from_query(text).ok().map(|query| Self(query.into_inner()))
    }

    /// Those without control characters.
    pub(super) fn printable(mut self) -> Self {
        self.0.retain(|(_, value)| !value.contains(char::is_control));
        self
    }

    /// The first value of a name as it was sent; empty where there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
    }

    /// The same without white space around it.
    pub(super) fn word(&self, name: &str) -> &str {
        self.text(name).trim()
    }

    /// Whether a box was ticked.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// All values of a name, in their order.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Dollars as people type them, with a point or a comma before the cents; nothing where nothing is
/// typed.
///
/// # Errors
/// What is wrong, as a sentence.
pub(super) fn dollars(typed: &str) -> Result<Option<NanoUsd>, &'static str> {
    let digits = typed.trim().trim_start_matches('$').trim();
    if digits.is_empty() {
        return Ok(None);
    }
    let amount = match digits.split_once(',') {
        None => digits.parse(),
        // A thousand dollars, or one: nobody but who has typed it can tell.
        Some((_, cents)) if cents.len() == 3 || digits.contains('.') || cents.contains(',') => {
            return Err("Enter the amount without separators between thousands, such as 1500.50.");
        }
        Some((whole, cents)) => format!("{whole}.{cents}").parse(),
    };
    amount.map(Some).map_err(|_| "Enter an amount in dollars, such as 12.50.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_have_a_point_or_a_comma_and_no_guesses() {
        let nanos = |typed| dollars(typed).map(|read| read.map(NanoUsd::as_nanos));
        assert_eq!(nanos("  "), Ok(None));
        assert_eq!(nanos(" $12.50 "), Ok(Some(12_500_000_000)));
        assert_eq!(nanos("0,5"), Ok(Some(500_000_000)));
        assert_eq!(nanos("1234,56"), Ok(Some(1_234_560_000_000)));
        for unclear in ["1,234", "1,234.50", "1,234,567", "1.234,50"] {
            assert!(nanos(unclear).is_err_and(|words| words.contains("thousands")), "{unclear}");
        }
        for none in ["much", "1,", ",5", "1.2.3", "€5"] {
            assert!(nanos(none).is_err_and(|words| words.contains("12.50")), "{none}");
        }
    }

    #[test]
    fn fields_are_decoded_and_told_apart() {
        let fields = FormFields::parse("a=1+2%26&b=&a=%C3%A9&c").unwrap();
        assert_eq!((fields.text("a"), fields.text("b"), fields.text("d")), ("1 2&", "", ""));
        assert!(fields.has("b") && fields.has("c") && !fields.has("d"));
        assert_eq!(fields.all("a").collect::<Vec<_>>(), ["1 2&", "é"]);
    }
}
