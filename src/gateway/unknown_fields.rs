//! Fields of requests that the table of fields does not know: they pass, are counted, and their
//! names are noted in the log, each once a day, so that an operator learns what clients have begun
//! to send. A name is a stranger's text: what does not look like a name is not noted.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::domain::clock::UtcDay;
use crate::domain::messages_request::{TopField, fields};
use crate::metrics::Metrics;

/// Names that are noted in a day.
const NAMES_PER_DAY: usize = 50;
/// Bytes of a name that is noted.
const NAME_BYTES: usize = 64;

/// What was noted today, for all workers.
#[derive(Default)]
pub struct UnknownFields {
    noted: Mutex<Noted>,
}

#[derive(Default)]
struct Noted {
    day: Option<UtcDay>,
    names: HashSet<String>,
}

impl UnknownFields {
    /// Counts the unknown ones among a request's fields, and notes those that are new today.
    pub fn count(&self, request: &[TopField], metrics: &Metrics, today: UtcDay) {
        for name in fields::unknown(request) {
            metrics.unknown_request_fields.inc();
            if looks_like_a_name(name) && self.is_news(name, today) {
                tracing::info!(field = name, "requests have a field that is not in the table");
            }
        }
    }

    fn is_news(&self, name: &str, today: UtcDay) -> bool {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.day != Some(today) {
            *noted = Noted { day: Some(today), names: HashSet::new() };
        }
        noted.names.len() < NAMES_PER_DAY && noted.names.insert(name.to_owned())
    }
}

/// Small letters, digits and underscores, as all names of the wire are.
fn looks_like_a_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.len() <= NAME_BYTES && name.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: i64) -> UtcDay {
        UtcDay::from_number(number)
    }

    #[test]
    fn a_name_is_news_once_a_day_and_fifty_are() {
        let fields = UnknownFields::default();
        assert!(fields.is_news("a", day(1)) && !fields.is_news("a", day(1)));
        let news = (0..100).filter(|number| fields.is_news(&format!("n{number}"), day(1))).count();
        assert_eq!(news, NAMES_PER_DAY - 1);
        assert!(fields.is_news("a", day(2)) && fields.is_news("n99", day(2)));
    }

    #[test]
    fn what_could_be_a_text_is_not_noted() {
        assert!(looks_like_a_name("new_field_2") && looks_like_a_name(&"a".repeat(64)));
        for name in ["Dear Ada", "a b", "naïve", "a\n", "sk-123", "Mr", &"a".repeat(65)] {
            assert!(!looks_like_a_name(name), "{name}");
        }
    }

    #[test]
    fn only_fields_beyond_the_table_are_counted() {
        let metrics = Metrics::new().unwrap();
        let field = |name: &str| TopField { name: name.to_owned(), is_empty: false };
        let request = ["model", "thread", "new", "Other"].map(field);
        UnknownFields::default().count(&request, &metrics, day(1));
        assert_eq!(metrics.unknown_request_fields.get(), 2);
    }
}
