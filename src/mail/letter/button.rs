//! The words of a mail's button, which is its first link.

use super::Letter;

impl Letter<'_> {
    /// What one does by opening the first link.
    pub(super) const fn button(&self) -> &'static str {
        match self {
            Self::SignUp(..) => "Confirm email address",
            Self::SignUpKnown => "Log in",
            Self::ResetPassword(..) | Self::PasswordChanged | Self::WrongCodes(_) => {
                "Choose a new password"
            }
            Self::ChangeEmail(..) => "Confirm new address",
            Self::TotpChanged(_) => "It was not me: choose a new password",
            Self::LowBalance(_) => "Add credit",
            Self::NewSession(_) => "View your sessions",
            Self::KeyPaused(_) | Self::KeysLeaked(_) | Self::KeyIssued(_) => "View your API keys",
            Self::AccountClosing(_) => "Log in to cancel",
            Self::PolicyChanged(_) => "Read the full text",
            Self::StandingChanged(_) | Self::EmailChanged => "View your account",
            Self::UnusualSpending(_) => "View your usage",
            Self::Deposit(..) => "View the deposit",
        }
    }
}
