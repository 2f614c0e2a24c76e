//! The template of each occasion, and what it is filled with.

#![expect(
    clippy::ref_binding_to_reference,
    clippy::let_underscore_must_use,
    reason = "askama's derive writes so for the variants of an enum"
)]

use askama::Template;

use super::DepositLetter;
use crate::domain::mail::{KeyIssued, KeyPaused, MailKind};
use crate::mail::Letterhead;

/// The text of each occasion.
#[derive(Template)]
pub(super) enum LetterText<'a> {
    #[template(path = "mail_sign_up.txt", whitespace = "preserve")]
    SignUp { head: &'a Letterhead, link: &'a str, valid: &'a str },
    #[template(path = "mail_sign_up_known.txt", whitespace = "preserve")]
    SignUpKnown { head: &'a Letterhead, log_in: &'a str, reset: &'a str },
    #[template(path = "mail_reset_password.txt", whitespace = "preserve")]
    ResetPassword { head: &'a Letterhead, link: &'a str, valid: &'a str },
    #[template(path = "mail_change_email.txt", whitespace = "preserve")]
    ChangeEmail { head: &'a Letterhead, link: &'a str, valid: &'a str },
    #[template(path = "mail_email_changed.txt", whitespace = "preserve")]
    EmailChanged { head: &'a Letterhead },
    #[template(path = "mail_password_changed.txt", whitespace = "preserve")]
    PasswordChanged { head: &'a Letterhead, reset: &'a str },
    #[template(path = "mail_totp_changed.txt", whitespace = "preserve")]
    TotpChanged { head: &'a Letterhead, is_enabled: bool, reset: &'a str },
    #[template(path = "mail_low_balance.txt", whitespace = "preserve")]
    LowBalance {
        head: &'a Letterhead,
        balance_usd: &'a str,
        threshold_usd: &'a str,
        link: &'a str,
        preferences: &'a str,
    },
    #[template(path = "mail_key_paused.txt", whitespace = "preserve")]
    KeyPaused { head: &'a Letterhead, paused: &'a KeyPaused, is_month: bool, link: &'a str },
    #[template(path = "mail_account_closing.txt", whitespace = "preserve")]
    AccountClosing { head: &'a Letterhead, erased_at: &'a str, log_in: &'a str, reset: &'a str },
    #[template(path = "mail_policy_changed.txt", whitespace = "preserve")]
    PolicyChanged {
        head: &'a Letterhead,
        name: &'a str,
        in_force: &'a str,
        words: &'a str,
        link: &'a str,
        closing: &'a str,
    },
    #[template(path = "mail_standing_changed.txt", whitespace = "preserve")]
    StandingChanged { head: &'a Letterhead, is_suspended: bool, link: &'a str },
    #[template(path = "mail_keys_leaked.txt", whitespace = "preserve")]
    KeysLeaked { head: &'a Letterhead, key_names: &'a [String], link: &'a str },
    #[template(path = "mail_unusual_spending.txt", whitespace = "preserve")]
    UnusualSpending {
        head: &'a Letterhead,
        spent_usd: &'a str,
        /// Empty if there was none.
        busiest_usd: &'a str,
        link: &'a str,
        reset: &'a str,
    },
    #[template(path = "mail_wrong_codes.txt", whitespace = "preserve")]
    WrongCodes { head: &'a Letterhead, count: i64, window: &'a str, reset: &'a str },
    #[template(path = "mail_new_session.txt", whitespace = "preserve")]
    NewSession { head: &'a Letterhead, began_at: &'a str, link: &'a str, reset: &'a str },
    #[template(path = "mail_key_issued.txt", whitespace = "preserve")]
    KeyIssued {
        head: &'a Letterhead,
        issued: &'a KeyIssued,
        ends_at: Option<String>,
        link: &'a str,
    },
    #[template(path = "mail_deposit_seen.txt", whitespace = "preserve")]
    DepositSeen { head: &'a Letterhead, deposit: &'a DepositLetter, link: &'a str },
    #[template(path = "mail_deposit_credited.txt", whitespace = "preserve")]
    DepositCredited { head: &'a Letterhead, deposit: &'a DepositLetter, link: &'a str },
    #[template(path = "mail_deposit_held.txt", whitespace = "preserve")]
    DepositHeld { head: &'a Letterhead, deposit: &'a DepositLetter, link: &'a str },
    #[template(path = "mail_deposit_refunded.txt", whitespace = "preserve")]
    DepositRefunded { head: &'a Letterhead, deposit: &'a DepositLetter, link: &'a str },
    #[template(path = "mail_deposit_reversed.txt", whitespace = "preserve")]
    DepositReversed { head: &'a Letterhead, deposit: &'a DepositLetter, link: &'a str },
}

/// The text of what became of a deposit.
pub(super) fn of_deposit(
    kind: MailKind,
    head: &Letterhead,
    deposit: &DepositLetter,
    link: &str,
) -> Result<String, askama::Error> {
    match kind {
        MailKind::DepositSeen => LetterText::DepositSeen { head, deposit, link },
        MailKind::DepositHeld => LetterText::DepositHeld { head, deposit, link },
        MailKind::DepositRefunded => LetterText::DepositRefunded { head, deposit, link },
        MailKind::DepositReversed => LetterText::DepositReversed { head, deposit, link },
        _ => LetterText::DepositCredited { head, deposit, link },
    }
    .render()
}
