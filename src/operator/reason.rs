//! Why an operator does something, as the audit log keeps it.

use crate::domain::plain_text::shown;

/// Characters of a reason.
const CHARS_MAX: usize = 500;

/// A reason for the audit log: up to 500 visible characters. It names no person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(String);

/// Why a text is not a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadReason {
    /// Empty or too long.
    #[error("a reason must have 1 to {CHARS_MAX} characters")]
    Length,
    /// Something in it is not seen.
    #[error("a reason must not contain invisible characters")]
    Hidden,
}

impl Reason {
    /// A reason that has to be given.
    ///
    /// # Errors
    /// [`BadReason`].
    pub fn parse(text: &str) -> Result<Self, BadReason> {
        let text = text.trim();
        if text.is_empty() || text.chars().count() > CHARS_MAX {
            return Err(BadReason::Length);
        }
        if shown(text) != text {
            return Err(BadReason::Hidden);
        }
        Ok(Self(text.to_owned()))
    }

    /// A reason that may be left out: an empty text is none.
    ///
    /// # Errors
    /// [`BadReason`].
    pub fn optional(text: &str) -> Result<Self, BadReason> {
        if text.trim().is_empty() { Ok(Self(String::new())) } else { Self::parse(text) }
    }

    /// Its words; empty if none was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What exactly was done, followed by the reason as far as one was given.
    pub(super) fn after(&self, what: &str) -> String {
        match (what, self.as_str()) {
            (what, "") => what.to_owned(),
            ("", reason) => reason.to_owned(),
            (what, reason) => format!("{what}: {reason}"),
        }
    }
}
