//! What a case is about, and where it stands.

use super::word::shown_as_word;

/// What could not be read or agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CaseKind {
    /// A transaction in which something may pay us.
    Transaction,
    /// A transaction that an account asks about.
    Claim,
    /// A deposit that was found and is to be credited.
    Deposit,
}

impl CaseKind {
    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::Claim => "claim",
            Self::Deposit => "deposit",
        }
    }

    /// From the stored word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Transaction, Self::Claim, Self::Deposit].into_iter().find(|one| one.as_str() == word)
    }
}

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CaseState {
    /// It is not for a person yet: it may settle by itself, and its chain counts as degraded until
    /// it does.
    Doubted,
    /// A person decides. It is still looked at now and then, and goes by itself if it can be read.
    Open,
    /// A person has: it is not looked at.
    Dismissed,
}

impl CaseState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Doubted, Self::Open, Self::Dismissed];

    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Doubted => "doubted",
            Self::Open => "open",
            Self::Dismissed => "dismissed",
        }
    }

    /// From the stored word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }
}

shown_as_word!(CaseKind, CaseState);
