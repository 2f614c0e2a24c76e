//! The fields of a form or of a query, as browsers send them.

use crate::domain::unprintable::unprintable;
use actix_web::web::Query;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_and_told_apart() {
        let fields = FormFields::parse("a=1+2%26&b=&a=%C3%A9&c").unwrap();
        assert_eq!((fields.text("a"), fields.text("b"), fields.text("d")), ("1 2&", "", ""));
        assert!(fields.has("b") && fields.has("c") && !fields.has("d"));
        assert_eq!(fields.all("a").collect::<Vec<_>>(), ["1 2&", "é"]);
    }
}
