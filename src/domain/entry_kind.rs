//! What an entry of the ledger is for.

use super::word::shown_as_word;

/// The kinds of ledger entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// An on-chain transfer, credited.
    Deposit,
    /// A posted exchange.
    Usage,
    /// An operator's correction, either way.
    Adjustment,
    /// A deposit paid back.
    Refund,
    /// A credited deposit that a reorganisation of its chain undid.
    Reversal,
    /// What the purge leaves in place of old usage entries.
    CarryForward,
}

/// All of them.
const KINDS: [EntryKind; 6] = [
    EntryKind::Deposit,
    EntryKind::Usage,
    EntryKind::Adjustment,
    EntryKind::Refund,
    EntryKind::Reversal,
    EntryKind::CarryForward,
];

impl EntryKind {
    /// The kind of a stored name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        KINDS.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deposit => "deposit",
            Self::Usage => "usage",
            Self::Adjustment => "adjustment",
            Self::Refund => "refund",
            Self::Reversal => "reversal",
            Self::CarryForward => "carry_forward",
        }
    }
}

shown_as_word!(EntryKind);
