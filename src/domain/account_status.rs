//! How an account stands by the operator's word.

use super::word::shown_as_word;

/// May an account do anything, or only look?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccountStatus {
    /// It may do what its credit covers.
    Active,
    /// It may look.
    Suspended,
}

impl AccountStatus {
    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }

    /// From the stored word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Active, Self::Suspended].into_iter().find(|status| status.as_str() == word)
    }

    /// Whether it may do what its credit covers.
    #[must_use]
    pub fn is_active(self) -> bool {
        self == Self::Active
    }
}

shown_as_word!(AccountStatus);
