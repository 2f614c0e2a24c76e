//! Why somebody's wish about an account is refused: a word that stays, and a sentence for the
//! person. Pages and JSON say the same.

use super::password::{PasswordError, PasswordRule};
use super::throttle::TooMany;
use crate::accounts::AccountError;
use crate::db::DbError;
use crate::domain::ids::NoRandomness;
use crate::domain::money::NanoUsd;

/// See the module. None of them tells whether an address has an account to anybody but its owner.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Too many attempts.
    #[error("Too many attempts. Please try again later.")]
    TooManyAttempts {
        /// Seconds until the next may be made.
        retry_after_secs: u64,
    },
    /// Too many wrong codes of the second factor.
    #[error(
        "Too many wrong codes. For now, only recovery codes work. To use the app again, reset \
         your password by email, or wait if you have just done so."
    )]
    TooManyCodes {
        /// Seconds until the next is looked at.
        retry_after_secs: u64,
    },
    /// The address has no account, or that is not its password.
    #[error("Wrong email address or password.")]
    WrongCredentials,
    /// The password was right; the account asks for a second factor.
    #[error("This account requires a code from its authenticator app, or a recovery code.")]
    CodeRequired,
    /// That is no code of the second factor, or it was used before.
    #[error("The code is wrong or was already used.")]
    WrongCode,
    /// Whoever is logged in does not know the password.
    #[error("The password is wrong.")]
    WrongPassword,
    /// Not an address.
    #[error("This is not a valid email address.")]
    BadEmail,
    /// A password that is not taken.
    #[error(transparent)]
    Password(#[from] PasswordRule),
    /// A link that was used, has expired, or was never made.
    #[error("This link no longer works: it was used or has expired. Request a new one.")]
    BadLink,
    /// Only the operator opens accounts.
    #[error("Sign-up is closed at the moment.")]
    SignUpClosed,
    /// The address that was proven has an account.
    #[error("This address already has an account.")]
    EmailTaken,
    /// The address is the account's own.
    #[error("The account already has this address.")]
    SameEmail,
    /// The account may look, and nothing else.
    #[error("This account is suspended.")]
    Suspended,
    /// The account is about to be deleted, and can only be kept after all.
    #[error("This account is being deleted. Cancel the deletion to use it again.")]
    Closing,
    /// There is money on it that was not waived.
    #[error("This account still has {0} dollars. Ask for a refund first, or give up the balance.")]
    BalanceLeft(NanoUsd),
    /// Nobody wanted it deleted.
    #[error("This account is not being deleted.")]
    NotClosing,
    /// There is a second factor.
    #[error("Two-factor authentication is already on.")]
    TotpEnabled,
    /// There is none, or none is being set up.
    #[error("Two-factor authentication is not set up.")]
    TotpMissing,
    /// No such session of this account.
    #[error("No such session.")]
    NoSession,
    /// The session that asks has ended since it was recognised.
    #[error("This session has ended. Log in again.")]
    SessionEnded,
    /// A threshold below which nothing is.
    #[error("The threshold must be more than 0 dollars.")]
    BadThreshold,
    /// Too many log-ins at once.
    #[error("Too many people are logging in at the moment. Please try again.")]
    Busy,
    /// Ours to mend.
    #[error("The service is temporarily unavailable. Please try again.")]
    Unavailable(#[source] DbError),
}

impl AuthError {
    /// The word that stays.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooManyAttempts { .. } | Self::TooManyCodes { .. } => "too_many_attempts",
            Self::WrongCredentials => "wrong_credentials",
            Self::CodeRequired => "code_required",
            Self::WrongCode => "wrong_code",
            Self::WrongPassword => "wrong_password",
            Self::BadEmail => "invalid_email",
            Self::Password(_) => "invalid_password",
            Self::BadLink => "invalid_token",
            Self::SignUpClosed => "sign_up_closed",
            Self::EmailTaken => "email_taken",
            Self::SameEmail => "same_email",
            Self::Suspended => "account_suspended",
            Self::Closing => "account_closing",
            Self::BalanceLeft(_) => "balance_left",
            Self::NotClosing => "not_closing",
            Self::TotpEnabled => "totp_enabled",
            Self::TotpMissing => "totp_missing",
            Self::NoSession => "not_found",
            Self::SessionEnded => "unauthenticated",
            Self::BadThreshold => "invalid_threshold",
            Self::Busy | Self::Unavailable(_) => "unavailable",
        }
    }

    /// The HTTP status, for pages and JSON alike.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::BadEmail | Self::Password(_) | Self::BadLink | Self::BadThreshold => 400,
            Self::WrongCredentials | Self::CodeRequired | Self::WrongCode | Self::SessionEnded => {
                401
            }
            Self::WrongPassword | Self::SignUpClosed | Self::Suspended | Self::Closing => 403,
            Self::NoSession => 404,
            Self::EmailTaken
            | Self::SameEmail
            | Self::TotpEnabled
            | Self::TotpMissing
            | Self::BalanceLeft(_)
            | Self::NotClosing => 409,
            Self::TooManyAttempts { .. } | Self::TooManyCodes { .. } => 429,
            Self::Busy | Self::Unavailable(_) => 503,
        }
    }

    /// Seconds after which trying again may help.
    #[must_use]
    pub const fn retry_after_secs(&self) -> Option<u64> {
        match self {
            Self::TooManyAttempts { retry_after_secs }
            | Self::TooManyCodes { retry_after_secs } => Some(*retry_after_secs),
            Self::Busy => Some(5),
            _ => None,
        }
    }
}

impl From<TooMany> for AuthError {
    fn from(error: TooMany) -> Self {
        Self::TooManyAttempts { retry_after_secs: error.retry_after_secs }
    }
}

impl From<PasswordError> for AuthError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::Busy,
            PasswordError::Failed => Self::Unavailable(DbError::Task),
            PasswordError::Db(error) => Self::Unavailable(error),
        }
    }
}

impl From<DbError> for AuthError {
    fn from(error: DbError) -> Self {
        Self::Unavailable(error)
    }
}

impl From<NoRandomness> for AuthError {
    fn from(error: NoRandomness) -> Self {
        Self::Unavailable(error.into())
    }
}

/// For transactions, which begin and commit with it.
impl From<diesel::result::Error> for AuthError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<AccountError> for AuthError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::EmailTaken(_) => Self::EmailTaken,
            AccountError::Db(error) => Self::Unavailable(error),
            AccountError::Random(error) => error.into(),
            AccountError::BadEmail(_) => Self::BadEmail,
        }
    }
}
