//! Addresses with a query.

use std::fmt::Write;

/// A path with a query.
pub(super) struct QueryLink(String);

impl QueryLink {
    pub(super) fn new(path: &str) -> Self {
        Self(path.to_owned())
    }

    /// Adds a value, unless it is empty. What is no plain letter is encoded.
    pub(super) fn put(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        self.0.push_str(name);
        self.0.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                self.0.push(char::from(byte));
            } else {
                // Writing into text does not fail.
                write!(self.0, "%{byte:02X}").unwrap_or_default();
            }
        }
    }

    /// The address.
    pub(super) fn into_text(self) -> String {
        self.0
    }
}
