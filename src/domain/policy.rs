//! The two texts that people agree to, and a version of one as commands and pages name it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One of the texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyKind {
    /// What is kept on people, and how it goes.
    Privacy,
    /// Under which rules the service is used.
    Terms,
}

impl PolicyKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Privacy, Self::Terms];

    /// Its name in the database, in metrics and in addresses of pages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Privacy => "privacy",
            Self::Terms => "terms",
        }
    }

    /// As it stands in a sentence.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Privacy => "privacy policy",
            Self::Terms => "terms",
        }
    }

    /// As it stands above a page.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Privacy => "Privacy policy",
            Self::Terms => "Terms",
        }
    }
}

/// A version of one of them: `privacy/3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyVersion {
    /// Of which text.
    pub kind: PolicyKind,
    /// Counted from 1 for each.
    pub number: i64,
}

/// Not the name of a text, or of a version of one.
#[derive(Debug, thiserror::Error)]
pub enum NotAPolicy {
    /// Not a text.
    #[error("must be \"privacy\" or \"terms\"")]
    Kind,
    /// Not a version.
    #[error("must be a version such as \"privacy/1\" or \"terms/2\"")]
    Version,
}

impl FromStr for PolicyKind {
    type Err = NotAPolicy;

    fn from_str(text: &str) -> Result<Self, NotAPolicy> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(NotAPolicy::Kind)
    }
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PolicyVersion {
    type Err = NotAPolicy;

    fn from_str(text: &str) -> Result<Self, NotAPolicy> {
        let (kind, number) = text.split_once('/').ok_or(NotAPolicy::Version)?;
        let kind = kind.parse().map_err(|_| NotAPolicy::Version)?;
        let is_plain = number.bytes().all(|byte| byte.is_ascii_digit());
        let number = number.parse().ok().filter(|number| is_plain && *number > 0);
        Ok(Self { kind, number: number.ok_or(NotAPolicy::Version)? })
    }
}

impl fmt::Display for PolicyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_read_back_and_nothing_else_is_one() {
        for text in ["privacy/1", "terms/20"] {
            assert_eq!(text.parse::<PolicyVersion>().unwrap().to_string(), text);
        }
        for text in ["", "privacy", "privacy/", "privacy/0", "terms/-1", "terms/+1", "cookies/1"] {
            assert!(text.parse::<PolicyVersion>().is_err(), "{text}");
        }
    }
}
