//! What is written to people, and what has to be known to write it. How it reads is `mail`'s
//! business.

use serde::{Deserialize, Serialize};

use super::policy::PolicyKind;

/// An occasion to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MailKind {
    /// Somebody wants an account: a link that proves the address. Who has one already is told so
    /// instead.
    SignUp,
    /// A link to a new password. Goes nowhere if the address has no account.
    ResetPassword,
    /// A link that proves the new address of an account; goes to that address.
    ChangeEmail,
    /// The address has been changed; goes to the old one.
    EmailChanged,
    /// The password has been changed or reset.
    PasswordChanged,
    /// The second factor has been set up or removed: [`TotpChanged`].
    TotpChanged,
    /// The balance has fallen below the account's threshold: [`LowBalance`].
    LowBalance,
    /// A key has come to the end of its budget: [`KeyPaused`].
    KeyPaused,
    /// The account is going to be deleted: [`AccountClosing`].
    AccountClosing,
    /// A policy changes in what matters: [`PolicyChanged`]. Goes to everybody.
    PolicyChanged,
    /// The operator has suspended the account, or resumed it: [`StandingChanged`].
    StandingChanged,
    /// Keys were found where others can read them, and are revoked: [`KeysLeaked`].
    KeysLeaked,
    /// The account spends far more than it used to: [`UnusualSpending`].
    UnusualSpending,
    /// Somebody who knows the password has given wrong codes of the second factor: [`WrongCodes`].
    WrongCodes,
    /// Somebody has logged in: [`NewSession`].
    NewSession,
    /// Somebody who is logged in has made a key, or given one another secret: [`KeyIssued`].
    KeyIssued,
    /// A large deposit is in a block: [`DepositNews`], as of those that follow.
    DepositSeen,
    /// A deposit was credited.
    DepositCredited,
    /// A person has to look at a deposit.
    DepositHeld,
    /// A deposit was paid back.
    DepositRefunded,
    /// A credited deposit was undone by its chain.
    DepositReversed,
}

/// All of them with their names in the database.
const KINDS: [(MailKind, &str); 21] = [
    (MailKind::SignUp, "sign_up"),
    (MailKind::ResetPassword, "reset_password"),
    (MailKind::ChangeEmail, "change_email"),
    (MailKind::EmailChanged, "email_changed"),
    (MailKind::PasswordChanged, "password_changed"),
    (MailKind::TotpChanged, "totp_changed"),
    (MailKind::LowBalance, "low_balance"),
    (MailKind::KeyPaused, "key_paused"),
    (MailKind::AccountClosing, "account_closing"),
    (MailKind::PolicyChanged, "policy_changed"),
    (MailKind::StandingChanged, "standing_changed"),
    (MailKind::KeysLeaked, "keys_leaked"),
    (MailKind::UnusualSpending, "unusual_spending"),
    (MailKind::WrongCodes, "wrong_codes"),
    (MailKind::NewSession, "new_session"),
    (MailKind::KeyIssued, "key_issued"),
    (MailKind::DepositSeen, "deposit_seen"),
    (MailKind::DepositCredited, "deposit_credited"),
    (MailKind::DepositHeld, "deposit_held"),
    (MailKind::DepositRefunded, "deposit_refunded"),
    (MailKind::DepositReversed, "deposit_reversed"),
];

impl MailKind {
    /// Its name in the database and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// The kind of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        KINDS.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }

    /// Every kind.
    pub fn all() -> impl Iterator<Item = Self> {
        KINDS.iter().map(|(kind, _)| *kind)
    }

    /// Whether it goes out although its account wants no notices: what was asked for, and what
    /// concerns security or policy.
    #[must_use]
    pub const fn is_essential(self) -> bool {
        !matches!(self, Self::LowBalance | Self::KeyPaused) && !self.is_of_deposits()
    }

    /// Whether it tells what became of a deposit.
    #[must_use]
    pub const fn is_of_deposits(self) -> bool {
        matches!(
            self,
            Self::DepositSeen
                | Self::DepositCredited
                | Self::DepositHeld
                | Self::DepositRefunded
                | Self::DepositReversed
        )
    }

    /// Whether it is about nothing that has happened to the address it was put in for, so that it
    /// goes to the one that the account has when it is written. Notices have a link that turns them
    /// off, which is the account's.
    #[must_use]
    pub const fn goes_to_its_reader(self) -> bool {
        !self.is_essential() || self.is_bulk()
    }

    /// Whether its link changes what an account logs in with. Such a mail goes out, and its link
    /// works, only as long as nothing of that has changed since it was asked for.
    #[must_use]
    pub const fn opens_an_account(self) -> bool {
        matches!(self, Self::ResetPassword | Self::ChangeEmail)
    }

    /// In which line it waits.
    #[must_use]
    pub const fn line(self) -> MailLine {
        match self {
            Self::PolicyChanged => MailLine::Bulk,
            // What an account itself can bring about, and nobody waits for.
            Self::LowBalance
            | Self::KeyPaused
            | Self::UnusualSpending
            | Self::AccountClosing
            | Self::NewSession
            | Self::KeyIssued => MailLine::Notices,
            _ if self.is_of_deposits() => MailLine::Notices,
            _ => MailLine::Awaited,
        }
    }

    /// Whether it goes to everybody at once.
    #[must_use]
    pub const fn is_bulk(self) -> bool {
        matches!(self.line(), MailLine::Bulk)
    }
}

/// A line in which mail waits: in each, first come, first served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailLine {
    /// What somebody waits for, and what is about the security of an account.
    Awaited,
    /// What an account is told of its own use: nobody waits for it, and one account can bring about
    /// much of it.
    Notices,
    /// What goes to everybody at once.
    Bulk,
}

impl MailLine {
    /// As it is stored: whether it is [`Self::Bulk`], and whether it is [`Self::Notices`].
    #[must_use]
    pub const fn stored(self) -> (bool, bool) {
        (matches!(self, Self::Bulk), matches!(self, Self::Notices))
    }
}

/// Parameters of [`MailKind::TotpChanged`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotpChanged {
    /// Set up rather than removed.
    pub is_enabled: bool,
}

/// Parameters of [`MailKind::LowBalance`]; the amounts are dollars as people read them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LowBalance {
    /// What was left when the threshold was crossed.
    pub balance_usd: String,
    /// The threshold.
    pub threshold_usd: String,
}

/// Parameters of [`MailKind::KeyPaused`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPaused {
    /// What its owner calls the key.
    pub key_name: String,
    /// What tells it from others, if that is known.
    #[serde(default)]
    pub hint: Option<String>,
    /// Which of its budgets it is.
    pub period: BudgetPeriod,
    /// That budget, in dollars as people read them.
    pub budget_usd: String,
    /// What is left of it, too little for a request; nothing where it is used up.
    #[serde(default)]
    pub left_usd: Option<String>,
}

/// Parameters of [`MailKind::NewSession`]. Neither from where nor with what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSession {
    /// When it began, in milliseconds since the epoch.
    pub began_at: i64,
}

/// Parameters of [`MailKind::KeyIssued`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyIssued {
    /// What its owner calls the key.
    pub key_name: String,
    /// What tells it from others.
    pub hint: String,
    /// Whether it is another secret of a key that was there.
    pub is_rotated: bool,
    /// Until when the secret before works, in milliseconds since the epoch; at once, if it does
    /// not.
    pub previous_expires_at: Option<i64>,
}

/// The time that a budget is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetPeriod {
    /// A calendar month in UTC.
    Month,
    /// The key's whole life.
    Total,
}

/// Parameters of [`MailKind::AccountClosing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountClosing {
    /// Until when it can be kept after all, in milliseconds since the epoch.
    pub erased_at: i64,
}

/// Parameters of [`MailKind::PolicyChanged`]. What it says is looked up when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyChanged {
    /// Which text.
    pub policy: PolicyKind,
    /// The version that it is about.
    pub number: i64,
}

/// Parameters of [`MailKind::StandingChanged`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingChanged {
    /// Suspended rather than resumed.
    pub is_suspended: bool,
}

/// Parameters of [`MailKind::KeysLeaked`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysLeaked {
    /// What their owner calls them.
    pub key_names: Vec<String>,
}

/// Parameters of [`MailKind::UnusualSpending`]; the amounts are dollars as people read them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnusualSpending {
    /// What was spent within an hour.
    pub spent_usd: String,
    /// The busiest hour of the days before; `None` if there was none.
    pub busiest_usd: Option<String>,
}

/// Parameters of [`MailKind::WrongCodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrongCodes {
    /// How many there were.
    pub count: i64,
    /// Seconds for which no code of the app is looked at after too many.
    pub window_secs: u64,
}

/// Parameters of mail about a deposit: as the deposit was when it came to stand so. What its coin
/// and its chain are called is looked up when the mail is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DepositNews {
    /// Its public name.
    pub deposit: String,
    /// EIP-155 number of its chain.
    pub chain_id: i64,
    /// Contract of the token, with `0x`; `None` for the chain's own coin.
    pub token: Option<String>,
    /// Decimal, in the smallest unit.
    pub raw_amount: String,
    /// What it is about in dollars as people read them: what was credited, refunded or taken back;
    /// `None` where nothing is known or nothing was moved.
    pub value_usd: Option<String>,
    /// Why a person has to look, as it is stored.
    pub reason: Option<String>,
    /// The transaction that paid a refund, with `0x`.
    pub tx_hash: Option<String>,
    /// Whether others of its kind go without a mail for an hour.
    pub is_paced: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back_from_its_name() {
        for kind in MailKind::all() {
            assert!(!kind.as_str().is_empty(), "{kind:?}");
            assert_eq!(MailKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(MailKind::parse(""), None);
    }
}
