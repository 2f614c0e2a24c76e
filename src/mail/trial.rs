//! A try of the mail server for the operator: unlike all other mail, with the server's own words,
//! which may repeat an address. They go to the operator's terminal and nowhere else.

use std::path::PathBuf;
use std::time::SystemTime;

use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::DEFAULT_MECHANISMS;
use lettre::{Address, Message};
use tokio::time::timeout;

use super::Letterhead;
use super::transport::{GOODBYE, MailError, MailServer, Transport};
use crate::domain::clock::UnixMillis;
use crate::telemetry::Causes;

/// How far a try went before it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialStep {
    /// Connection and TLS.
    Connect,
    /// Log-in.
    LogIn,
    /// The mail itself.
    Send,
}

/// Why a try failed, with the server's words.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The server, or the way there.
    #[error("{}: {said}", .step.words())]
    Server {
        /// Where it failed.
        step: TrialStep,
        /// What it said, or what broke.
        said: String,
    },
    /// It took too long.
    #[error("the mail server does not answer within {0} s")]
    Silent(u64),
    /// The folder.
    #[error(transparent)]
    Folder(#[from] MailError),
    /// The message.
    #[error("the test email cannot be composed")]
    Message(#[from] lettre::error::Error),
}

/// What came of a try that went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    /// A file was written.
    File(PathBuf),
    /// The server's last words.
    Server(String),
}

impl TrialStep {
    const fn words(self) -> &'static str {
        match self {
            Self::Connect => "the mail server cannot be reached, or TLS failed",
            Self::LogIn => "the mail server refused the log-in",
            Self::Send => "the mail server refused the email",
        }
    }

    fn failed(self, error: &smtp::Error) -> TrialError {
        TrialError::Server { step: self, said: Causes(error).to_string() }
    }
}

/// A mail that says what it is, to one address.
///
/// # Errors
/// [`TrialError::Message`].
pub fn test_mail(
    head: &Letterhead,
    to: Address,
    (id, now): (&str, UnixMillis),
) -> Result<Message, TrialError> {
    let since_epoch = std::time::Duration::from_millis(now.as_millis().unsigned_abs());
    let text = format!(
        "This is a test of the settings of {}, sent at {now} by `sluice mail test`.\n\nEmails of \
         the service will come from this sender.\n",
        head.base_url
    );
    // In the form of all other mail, so that filters judge the same. Nothing in it needs escaping
    // but the address, in which only & can stand.
    let html =
        format!("<p>{}</p>", text.trim_end().replace('&', "&amp;").replace("\n\n", "</p><p>"));
    Ok(Message::builder()
        .from(head.from.clone())
        .to(Mailbox::new(None, to))
        .subject(format!("{}: test email", head.site_name))
        .message_id(Some(format!("<{id}@{}>", head.from.email.domain())))
        .date(SystemTime::UNIX_EPOCH.checked_add(since_epoch).unwrap_or(SystemTime::UNIX_EPOCH))
        .multipart(MultiPart::alternative_plain_html(text, html))?)
}

impl Transport {
    /// Connects, protects the connection and logs in as for a mail, and ends it without sending
    /// any. Of a folder, says where it is.
    ///
    /// # Errors
    /// [`TrialError`].
    pub async fn try_log_in(&self) -> Result<Tried, TrialError> {
        match self {
            Self::Folder(folder) => Ok(Tried::File(folder.clone())),
            Self::Server(server) => server.try_out(None).await.map(Tried::Server),
        }
    }

    /// Sends a mail and says what came of it; in a folder it has the name `file`.
    ///
    /// # Errors
    /// [`TrialError`].
    pub async fn try_send(&self, message: &Message, file: &str) -> Result<Tried, TrialError> {
        match self {
            Self::Folder(folder) => {
                self.send(message, file).await?;
                Ok(Tried::File(folder.join(format!("{file}.eml"))))
            }
            Self::Server(server) => server.try_out(Some(message)).await.map(Tried::Server),
        }
    }
}

impl MailServer {
    async fn try_out(&self, message: Option<&Message>) -> Result<String, TrialError> {
        let silent = TrialError::Silent(self.timeout.as_secs());
        timeout(self.timeout, self.talk(message)).await.unwrap_or(Err(silent))
    }

    async fn talk(&self, message: Option<&Message>) -> Result<String, TrialError> {
        let connected = self.connect().await;
        let mut connection = connected.map_err(|error| TrialStep::Connect.failed(&error))?;
        let mut said = "connected".to_owned();
        if let Some(credentials) = &self.credentials {
            let let_in = connection.auth(DEFAULT_MECHANISMS, credentials).await;
            let answer = let_in.map_err(|error| TrialStep::LogIn.failed(&error))?;
            said = words(&answer);
        }
        if let Some(message) = message {
            let sent = connection.send(message.envelope(), &message.formatted()).await;
            said = words(&sent.map_err(|error| TrialStep::Send.failed(&error))?);
        }
        drop(timeout(GOODBYE, connection.abort()).await);
        Ok(said)
    }
}

fn words(answer: &smtp::response::Response) -> String {
    let lines: Vec<&str> = answer.message().collect();
    format!("{} {}", answer.code(), lines.join(" "))
}
