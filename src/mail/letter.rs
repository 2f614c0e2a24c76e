//! What each mail says: one template in plain text for each occasion, whose first line is the
//! subject and whose paragraphs make both forms of the mail. A paragraph that is nothing but one of
//! our own links becomes a link.

mod button;
mod deposit;
mod text;

use std::time::Duration;

use askama::Template;
use chrono::{DateTime, Utc};

pub use self::deposit::DepositLetter;
use self::text::LetterText;
use super::Letterhead;
use crate::domain::clock::{UnixMillis, UtcDay};
use crate::domain::mail::{
    AccountClosing, BudgetPeriod, KeyIssued, KeyPaused, KeysLeaked, LowBalance, MailKind,
    NewSession, StandingChanged, TotpChanged, UnusualSpending, WrongCodes,
};
use crate::domain::policy::PolicyVersion;
use crate::domain::secret_token::SecretToken;

/// A mail's occasion with all that has to be known to write it.
pub enum Letter<'a> {
    /// A link that proves the address of a new account, and how long it works.
    SignUp(&'a SecretToken, Duration),
    /// The address has an account already.
    SignUpKnown,
    /// A link to a new password, and how long it works.
    ResetPassword(&'a SecretToken, Duration),
    /// A link that proves the new address, and how long it works.
    ChangeEmail(&'a SecretToken, Duration),
    /// The address has been changed.
    EmailChanged,
    /// The password has been changed.
    PasswordChanged,
    /// The second factor has been set up or removed.
    TotpChanged(TotpChanged),
    /// The balance has fallen below the threshold.
    LowBalance(LowBalance),
    /// A key has used up its budget.
    KeyPaused(KeyPaused),
    /// The account is going to be deleted.
    AccountClosing(AccountClosing),
    /// A policy changes in what matters.
    PolicyChanged(PolicyNotice),
    /// The account is suspended, or resumed.
    StandingChanged(StandingChanged),
    /// Keys were found where others can read them.
    KeysLeaked(KeysLeaked),
    /// The account spends far more than it used to.
    UnusualSpending(UnusualSpending),
    /// Wrong codes were given.
    WrongCodes(WrongCodes),
    /// Somebody has logged in.
    NewSession(NewSession),
    /// A key was made, or given another secret.
    KeyIssued(KeyIssued),
    /// What became of a deposit, by the kind of the mail.
    Deposit(MailKind, DepositLetter),
}

/// What is said of a version of a policy.
pub struct PolicyNotice {
    /// The version.
    pub version: PolicyVersion,
    /// The day from which it is in force.
    pub in_force: UtcDay,
    /// The operator's words.
    pub words: String,
}

/// The line above the unsubscribe link.
const UNSUBSCRIBE: &str = "Unsubscribe from these emails, without logging in:";

/// Both forms of a mail.
pub struct RenderedMail {
    /// The subject.
    pub subject: String,
    /// In plain text.
    pub plain: String,
    /// In HTML, which loads nothing.
    pub html: String,
}

#[derive(Template)]
#[template(path = "mail_layout.txt", whitespace = "preserve")]
struct Plain<'a> {
    head: &'a Letterhead,
    blocks: &'a [Paragraph<'a>],
}

#[derive(Template)]
#[template(path = "mail_layout.html", whitespace = "preserve")]
struct Html<'a> {
    head: &'a Letterhead,
    subject: &'a str,
    /// What a list of mail shows beside the subject.
    preheader: &'a str,
    /// The words on the first link.
    button: &'static str,
    blocks: &'a [Paragraph<'a>],
}

/// A paragraph.
struct Paragraph<'a> {
    text: &'a str,
    is_link: bool,
    /// The first link, which is a button as well.
    is_button: bool,
}

impl Letter<'_> {
    /// Writes the mail; with `unsubscribe`, a link that turns such mail off, at its end.
    ///
    /// # Errors
    /// What askama says; its templates are compiled in.
    pub fn write(
        &self,
        head: &Letterhead,
        unsubscribe: Option<&str>,
    ) -> Result<RenderedMail, askama::Error> {
        let (text, links) = self.text(head)?;
        let (subject, body) = text.split_once('\n').unwrap_or((&text, ""));
        let mut blocks: Vec<Paragraph<'_>> = body
            .split("\n\n")
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(|text| {
                let is_link = links.iter().any(|link| link == text);
                Paragraph { text, is_link, is_button: false }
            })
            .collect();
        if let Some(first) = blocks.iter_mut().find(|block| block.is_link) {
            first.is_button = true;
        }
        let preheader = blocks.first().map_or(subject, |block| block.text);
        if let Some(link) = unsubscribe {
            blocks.push(Paragraph { text: UNSUBSCRIBE, is_link: false, is_button: false });
            blocks.push(Paragraph { text: link, is_link: true, is_button: false });
        }
        let plain = Plain { head, blocks: &blocks }.render()?;
        let button = self.button();
        let html = Html { head, subject, preheader, button, blocks: &blocks }.render()?;
        Ok(RenderedMail { subject: subject.to_owned(), plain, html })
    }

    /// The text, and the links in it.
    fn text(&self, head: &Letterhead) -> Result<(String, Vec<String>), askama::Error> {
        let (log_in, reset) = (head.page("/log-in"), head.page("/reset"));
        let preferences = head.page("/preferences");
        let own = self.link(head);
        let closing = head.page("/account/closing");
        let closing = closing.as_str();
        let (log_in, reset, preferences) = (log_in.as_str(), reset.as_str(), preferences.as_str());
        let link = own.as_str();
        let text = match self {
            Self::SignUp(_, valid) => {
                LetterText::SignUp { head, link, valid: &span(*valid) }.render()
            }
            Self::SignUpKnown => LetterText::SignUpKnown { head, log_in, reset }.render(),
            Self::ResetPassword(_, valid) => {
                LetterText::ResetPassword { head, link, valid: &span(*valid) }.render()
            }
            Self::ChangeEmail(_, valid) => {
                LetterText::ChangeEmail { head, link, valid: &span(*valid) }.render()
            }
            Self::EmailChanged => LetterText::EmailChanged { head }.render(),
            Self::PasswordChanged => LetterText::PasswordChanged { head, reset }.render(),
            Self::TotpChanged(TotpChanged { is_enabled }) => {
                LetterText::TotpChanged { head, is_enabled: *is_enabled, reset }.render()
            }
            Self::LowBalance(LowBalance { balance_usd, threshold_usd }) => {
                LetterText::LowBalance { head, balance_usd, threshold_usd, link, preferences }
                    .render()
            }
            Self::KeyPaused(paused) => {
                let is_month = paused.period == BudgetPeriod::Month;
                LetterText::KeyPaused { head, paused, is_month, link }.render()
            }
            Self::AccountClosing(AccountClosing { erased_at }) => {
                let erased_at = moment(UnixMillis::from_millis(*erased_at), "%-d %B %Y, %H:%M UTC");
                LetterText::AccountClosing { head, erased_at: &erased_at, log_in, reset }.render()
            }
            Self::PolicyChanged(PolicyNotice { version, in_force, words }) => {
                let name = version.kind.name();
                let in_force = &moment(in_force.begin(), "%-d %B %Y");
                LetterText::PolicyChanged { head, name, in_force, words, link, closing }.render()
            }
            Self::StandingChanged(StandingChanged { is_suspended }) => {
                LetterText::StandingChanged { head, is_suspended: *is_suspended, link }.render()
            }
            Self::KeysLeaked(KeysLeaked { key_names }) => {
                LetterText::KeysLeaked { head, key_names, link }.render()
            }
            Self::UnusualSpending(UnusualSpending { spent_usd, busiest_usd }) => {
                let busiest_usd = busiest_usd.as_deref().unwrap_or_default();
                LetterText::UnusualSpending { head, spent_usd, busiest_usd, link, reset }.render()
            }
            Self::WrongCodes(WrongCodes { count, window_secs }) => {
                let window = &span(Duration::from_secs(*window_secs));
                LetterText::WrongCodes { head, count: *count, window, reset }.render()
            }
            Self::NewSession(NewSession { began_at }) => {
                let began_at = UnixMillis::from_millis(*began_at).to_rfc3339_secs();
                LetterText::NewSession { head, began_at: &began_at, link, reset }.render()
            }
            Self::KeyIssued(issued) => {
                let ends_at = issued.previous_expires_at.map(UnixMillis::from_millis);
                let ends_at = ends_at.map(UnixMillis::to_rfc3339_secs);
                LetterText::KeyIssued { head, issued, ends_at, link }.render()
            }
            Self::Deposit(kind, deposit) => text::of_deposit(*kind, head, deposit, link),
        }?;
        let links = [link, log_in, reset, preferences, closing].map(str::to_owned).into();
        Ok((text, links))
    }

    /// Where this mail leads.
    fn link(&self, head: &Letterhead) -> String {
        let with = |path: &str, token: &SecretToken| {
            head.page(&format!("{path}?token={}", token.reveal()))
        };
        match self {
            Self::SignUp(token, _) => with("/sign-up/confirm", token),
            Self::ResetPassword(token, _) => with("/reset/confirm", token),
            Self::ChangeEmail(token, _) => with("/email/confirm", token),
            Self::LowBalance(_) => head.page("/deposits"),
            Self::Deposit(_, news) => head.page(&format!("/deposits/{}", news.deposit)),
            Self::KeyPaused(_) | Self::KeysLeaked(_) | Self::KeyIssued(_) => head.page("/keys"),
            Self::NewSession(_) => head.page("/account/sessions"),
            Self::UnusualSpending(_) => head.page("/usage"),
            Self::PolicyChanged(notice) => {
                let PolicyVersion { kind, number } = notice.version;
                head.page(&format!("/{kind}/versions/{number}"))
            }
            _ => head.page("/account"),
        }
    }
}

/// A span as people say it; in the largest unit that leaves nothing over.
fn span(span: Duration) -> String {
    let secs = span.as_secs();
    let (count, unit) = match secs {
        secs if secs % 86_400 == 0 => (secs / 86_400, "day"),
        secs if secs % 3_600 == 0 => (secs / 3_600, "hour"),
        secs => (secs / 60, "minute"),
    };
    if count == 1 { format!("one {unit}") } else { format!("{count} {unit}s") }
}

/// A moment in UTC as people write it.
fn moment(at: UnixMillis, form: &str) -> String {
    let at = DateTime::<Utc>::from_timestamp_millis(at.as_millis()).unwrap_or_default();
    at.format(form).to_string()
}

#[cfg(test)]
mod tests;
