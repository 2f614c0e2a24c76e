//! What restoring a backup must not undo: which key was revoked, which account erased, which refund
//! paid. An event names things by number, public id or keyed hash, never by anything of a person.

use serde::{Deserialize, Serialize};

use super::evm::{parse_fixed, to_hex};
use super::ids::AccountId;
use super::tombstone::Tombstone;

/// One such event, as JSON in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum JournalEvent {
    /// A key was revoked, by its public id.
    KeyRevoked {
        /// The key.
        key: String,
    },
    /// A key got another secret.
    KeyRotated {
        /// The key.
        key: String,
        /// The SHA-256 of that secret, which is random.
        hash: HashText,
        /// What tells it from others.
        hint: String,
        /// Until when the one before goes on working, in milliseconds; at once, if it does not.
        previous_expires_at: Option<i64>,
        /// When, in milliseconds.
        rotated_at: i64,
    },
    /// An account was erased.
    AccountErased {
        /// Its number, which nothing else has any more.
        account: AccountId,
    },
    /// The deletion of an account was asked for.
    AccountClosing {
        /// Its number.
        account: AccountId,
        /// Whether it goes with whatever is left on it.
        waives_balance: bool,
        /// Since when, in milliseconds.
        since: i64,
    },
    /// An account is kept after all.
    AccountKept {
        /// Its number.
        account: AccountId,
    },
    /// An account was suspended.
    AccountSuspended {
        /// Its number.
        account: AccountId,
    },
    /// A suspension ended.
    AccountResumed {
        /// Its number.
        account: AccountId,
    },
    /// A password, an address or a second factor was changed.
    CredentialsChanged {
        /// The account's number.
        account: AccountId,
        /// Which of them.
        credential: ChangedCredential,
    },
    /// A wallet was unlinked, or moved to another account.
    WalletEnded {
        /// The link's public id.
        wallet: String,
    },
    /// An address was derived.
    AddressIssued {
        /// The fingerprint of the extended key.
        xpub: String,
        /// The address's number below that key.
        index: i64,
    },
    /// A transfer must not be credited again, or a debtor's wallet not linked again.
    TombstoneKept {
        /// The keyed hash.
        tombstone: HashText,
    },
    /// A debtor's wallet may be linked again.
    TombstoneForgotten {
        /// The keyed hash.
        tombstone: HashText,
    },
    /// A refund was begun.
    RefundHeld {
        /// Its public id.
        refund: String,
        /// The keyed hash of the deposit's place on its chain.
        deposit: HashText,
        /// What left the balance, in billionths of a dollar.
        amount_nanousd: i64,
        /// Whether that is all that was credited.
        is_whole: bool,
    },
    /// A refund was paid.
    RefundPosted {
        /// Its public id.
        refund: String,
        /// The transaction that paid it.
        tx_hash: HashText,
    },
    /// A refund was given up.
    RefundCancelled {
        /// Its public id.
        refund: String,
    },
}

/// What somebody logs in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangedCredential {
    /// The password.
    Password,
    /// The mail address.
    Address,
    /// The second factor.
    SecondFactor,
}

/// 32 bytes, written in hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HashText(pub Tombstone);

impl From<HashText> for String {
    fn from(hash: HashText) -> Self {
        to_hex(&hash.0)
    }
}

impl TryFrom<String> for HashText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse_fixed(&text).map(Self).map_err(|error| error.to_string())
    }
}

impl JournalEvent {
    /// The account that it is about, if one is named.
    #[must_use]
    pub const fn account(&self) -> Option<AccountId> {
        match self {
            Self::AccountErased { account }
            | Self::AccountClosing { account, .. }
            | Self::AccountKept { account }
            | Self::AccountSuspended { account }
            | Self::AccountResumed { account }
            | Self::CredentialsChanged { account, .. } => Some(*account),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_back_from_what_is_written() {
        let events = [
            JournalEvent::KeyRevoked { key: "key_1".to_owned() },
            JournalEvent::KeyRotated {
                key: "key_1".to_owned(),
                hash: HashText([7; 32]),
                hint: "sluice_\u{2026}mpqN".to_owned(),
                previous_expires_at: Some(1),
                rotated_at: 0,
            },
            JournalEvent::AccountErased { account: AccountId(7) },
            JournalEvent::CredentialsChanged {
                account: AccountId(7),
                credential: ChangedCredential::SecondFactor,
            },
            JournalEvent::TombstoneKept { tombstone: HashText([0xab; 32]) },
        ];
        for event in events {
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<JournalEvent>(&text).unwrap(), event, "{text}");
        }
        let one = r#"{"event":"account_erased","account":7}"#;
        let event: JournalEvent = serde_json::from_str(one).unwrap();
        assert_eq!(event.account(), Some(AccountId(7)));
        assert!(serde_json::from_str::<JournalEvent>(r#"{"event":"a_later_one"}"#).is_err());
    }
}
