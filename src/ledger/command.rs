//! What can be asked of the ledger, and what it answers.

use std::sync::Arc;

use crate::domain::clock::UnixMillis;
use crate::domain::entry_kind::EntryKind;
use crate::domain::ids::{AccountId, ApiKeyId, RequestId};
use crate::domain::key_limits::Exhausted;
use crate::domain::money::NanoUsd;
use crate::domain::usage_record::{Outcome, UsageRecord};

/// How much an exchange asks to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// What it would like, in all.
    pub amount: NanoUsd,
    /// What will do, in all. The account's funds decide what is between the two.
    pub least: NanoUsd,
    /// What it may cost beyond what is held. All that is at risk must be covered by what is
    /// available, but for `shortfall_max`.
    pub risk: NanoUsd,
    /// By how much an account may fall below zero in the worst case, if it was charged for an
    /// exchange early enough.
    pub shortfall_max: NanoUsd,
    /// At this moment or before.
    pub charged_before: UnixMillis,
}

impl Hold {
    /// So much, no less, and nothing at risk.
    #[must_use]
    pub const fn exactly(amount: NanoUsd) -> Self {
        Self {
            amount,
            least: amount,
            risk: NanoUsd::ZERO,
            shortfall_max: NanoUsd::ZERO,
            charged_before: UnixMillis::from_millis(i64::MIN),
        }
    }
}

/// One change of the books.
#[derive(Clone, Debug)]
pub enum Command {
    /// Hold money for the exchange that `record` describes.
    Reserve {
        /// The usage row to write if this node dies: cost 0.
        record: UsageRecord,
        /// How much to hold.
        hold: Hold,
        /// The node that runs the exchange.
        node_id: Arc<str>,
    },
    /// Raise a reservation.
    Extend {
        /// Which exchange.
        id: RequestId,
        /// Whose.
        account_id: AccountId,
        /// The new total to hold.
        hold: Hold,
    },
    /// Hold money again for an exchange that is still running although it was settled as if its
    /// node had died. What it was charged then comes back, so that it is as if nothing had
    /// happened.
    Resume {
        /// The usage row as it would be now.
        record: UsageRecord,
        /// How much to hold, in all.
        hold: Hold,
        /// The node that runs the exchange.
        node_id: Arc<str>,
    },
    /// Keep the meter's state, for the case that this node dies.
    Checkpoint {
        /// The usage row as it would be now.
        record: UsageRecord,
        /// What is to be held from now on, up or down, with nothing at risk: what was estimated is
        /// known. `None`: as before.
        amount: Option<NanoUsd>,
    },
    /// Charge what the record says, return the rest of the reservation, close it. A record with
    /// cost 0 voids it.
    Post {
        /// The usage row.
        record: UsageRecord,
    },
    /// Settle the reservation of a dead node or a panicked exchange at its last checkpoint.
    Recover {
        /// Which exchange.
        id: RequestId,
        /// Whose.
        account_id: AccountId,
        /// How it ended: E12 or E14.
        ending: Outcome,
        /// When its node was found to be dead, by the time that leases are kept by; `None` where
        /// the node itself gives the exchange up. A node that has renewed its lease since keeps its
        /// exchanges.
        judged_at: Option<UnixMillis>,
    },
    /// Append an entry that is not usage, and change what is available by it.
    Credit {
        /// Whose.
        account_id: AccountId,
        /// What for.
        kind: EntryKind,
        /// Unique within the kind.
        reference: String,
        /// Signed.
        amount: NanoUsd,
    },
    /// Append an entry that takes `amount` from what is available, if that much is.
    Withdraw {
        /// Whose.
        account_id: AccountId,
        /// What for.
        kind: EntryKind,
        /// Unique within the kind.
        reference: String,
        /// Positive.
        amount: NanoUsd,
    },
}

/// An account's funds when they did not suffice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// What is not held.
    pub available: NanoUsd,
    /// What could be held of it with the risk that was asked for; below zero where not even the
    /// risk is covered.
    pub spendable: NanoUsd,
    /// The same once everything has come back that other exchanges hold or put at risk.
    pub attainable: NanoUsd,
    /// What other exchanges hold.
    pub held: NanoUsd,
}

/// What became of a command. A refusal is an answer, never a database error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The money is held, durably.
    Reserved {
        /// How much.
        amount: NanoUsd,
    },
    /// Not enough.
    Insufficient(Shortage),
    /// The key has been revoked.
    KeyRevoked,
    /// Its owner has paused the key.
    KeyPaused,
    /// The key's time is over.
    KeyExpired,
    /// A budget of the key does not cover it.
    KeyBudget(Exhausted),
    /// The account has been suspended.
    AccountSuspended,
    /// There is no such account.
    NoAccount,
    /// The reservation holds more.
    Extended {
        /// In all.
        amount: NanoUsd,
    },
    /// The exchange is open again.
    Resumed {
        /// What is held, in all.
        amount: NanoUsd,
    },
    /// The checkpoint is durable.
    Checkpointed,
    /// No reservation of that id is open.
    NotOpen,
    /// Charged and closed, durably.
    Posted,
    /// It had been posted before; nothing changed.
    AlreadyPosted,
    /// A recovered exchange has become what its late post says.
    Replaced,
    /// Another transaction holds the account, and the group was not to wait. Nothing was decided.
    AccountBusy,
    /// The node of the exchange is not dead.
    OwnerAlive,
    /// The database refuses this settlement alone. The exchange stays open, with its final record,
    /// until an operator settles it.
    Parked,
    /// The entry is in the books.
    Credited,
    /// It had been before; nothing changed.
    AlreadyCredited,
}

impl Command {
    /// Whether the command closes an exchange: it may wait for the database, but never be lost.
    #[must_use]
    pub const fn is_settlement(&self) -> bool {
        matches!(self, Self::Post { .. } | Self::Recover { .. })
    }

    pub(crate) fn account_id(&self) -> AccountId {
        match self {
            Self::Reserve { record, .. }
            | Self::Resume { record, .. }
            | Self::Checkpoint { record, .. }
            | Self::Post { record } => record.account_id,
            Self::Extend { account_id, .. }
            | Self::Recover { account_id, .. }
            | Self::Credit { account_id, .. }
            | Self::Withdraw { account_id, .. } => *account_id,
        }
    }

    pub(super) fn exchange_id(&self) -> Option<&str> {
        match self {
            Self::Reserve { record, .. }
            | Self::Resume { record, .. }
            | Self::Checkpoint { record, .. }
            | Self::Post { record } => Some(record.id.as_str()),
            Self::Extend { id, .. } | Self::Recover { id, .. } => Some(id.as_str()),
            Self::Credit { .. } | Self::Withdraw { .. } => None,
        }
    }

    /// The exchange that is settled only if its node is dead.
    pub(super) fn judged_id(&self) -> Option<&str> {
        match self {
            Self::Recover { judged_at: Some(_), .. } => self.exchange_id(),
            _ => None,
        }
    }

    /// The key whose books the command may change, where the command names it.
    pub(super) fn key_id(&self) -> Option<ApiKeyId> {
        match self {
            Self::Reserve { record, .. } | Self::Resume { record, .. } | Self::Post { record } => {
                Some(record.api_key_id)
            }
            _ => None,
        }
    }

    /// Whether the command may change the books of the key that its exchange's reservation names.
    /// What a checkpoint holds counts only beside commands that hold more, which bring the key
    /// along.
    pub(super) const fn has_key_of_exchange(&self) -> bool {
        matches!(self, Self::Extend { .. } | Self::Recover { .. })
    }

    /// Whether the command asks for money to be held.
    pub(super) const fn is_hold(&self) -> bool {
        matches!(self, Self::Reserve { .. } | Self::Resume { .. } | Self::Extend { .. })
    }

    /// Whether an exchange begins with it.
    pub(super) const fn is_new(&self) -> bool {
        matches!(self, Self::Reserve { .. })
    }

    /// Whether the command is about an exchange and nothing else: not about a node either.
    pub(super) const fn is_of_an_exchange(&self) -> bool {
        !matches!(
            self,
            Self::Recover { judged_at: Some(_), .. } | Self::Credit { .. } | Self::Withdraw { .. }
        )
    }

    pub(super) fn credit_reference(&self) -> Option<(EntryKind, &str)> {
        match self {
            Self::Credit { kind, reference, .. } | Self::Withdraw { kind, reference, .. } => {
                Some((*kind, reference))
            }
            _ => None,
        }
    }
}
