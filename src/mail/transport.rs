//! How mail leaves: into a folder, or by SMTP to a server. What a server says in words is not kept,
//! since it likes to repeat the recipient's address; its code is.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::Message;
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use secrecy::ExposeSecret;

use crate::config::{self, MailTls};

/// How long a server may take to say goodbye. It has the mail by then.
pub(super) const GOODBYE: Duration = Duration::from_secs(2);

/// Why a mail has not gone. Without words of a server or of a mail.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The server will never take it.
    #[error("the mail server rejected the email permanently (code {0})")]
    Refused(u16),
    /// The server cannot carry such an address or text.
    #[error("the mail server cannot transmit this email")]
    Unsendable,
    /// The server may take it later.
    #[error("the mail server deferred the email (code {0})")]
    PutOff(u16),
    /// The server does not let us in.
    #[error("the mail server refused the log-in: {0}")]
    NotLetIn(Reason),
    /// The connection broke. The server may have the mail or not.
    #[error("the connection to the mail server broke: {0}")]
    Broken(Reason),
    /// It took too long. The server may have the mail or not.
    #[error("the mail server took too long")]
    TimedOut,
    /// The folder.
    #[error("the email cannot be written to its folder")]
    Folder(#[source] io::Error),
}

/// What kind of mistake it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// A code of the server's.
    #[error("code {0}")]
    Code(u16),
    /// Its certificate, or the lack of TLS.
    #[error("TLS failed")]
    Tls,
    /// It does not offer what the settings ask for.
    #[error("it does not offer STARTTLS, or no way to log in")]
    NotOffered,
    /// It did not answer in SMTP.
    #[error("its answer is not SMTP")]
    Answer,
    /// The network.
    #[error("network error")]
    Network,
}

impl Reason {
    fn of(error: &smtp::Error) -> Self {
        match error.status() {
            Some(code) => Self::Code(code.into()),
            None if error.is_tls() => Self::Tls,
            None if error.is_client() => Self::NotOffered,
            None if error.is_response() => Self::Answer,
            None => Self::Network,
        }
    }
}

impl MailError {
    /// Whether it would be the same next time.
    #[must_use]
    pub const fn is_for_good(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Unsendable)
    }

    fn of_mail(error: &smtp::Error) -> Self {
        match error.status() {
            Some(code) if error.is_permanent() => Self::Refused(code.into()),
            Some(code) => Self::PutOff(code.into()),
            None if error.is_client() => Self::Unsendable,
            None => Self::Broken(Reason::of(error)),
        }
    }
}

/// A way for mail to leave.
pub enum Transport {
    /// Into a folder.
    Folder(PathBuf),
    /// To a mail server.
    Server(Box<MailServer>),
}

/// A mail server and how we present ourselves to it.
pub struct MailServer {
    host: String,
    port: u16,
    tls: MailTls,
    parameters: TlsParameters,
    pub(super) credentials: Option<Credentials>,
    hello: ClientId,
    pub(super) timeout: Duration,
}

impl Transport {
    /// As the settings have it.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub fn new(settings: &config::Mail) -> Result<Self, smtp::Error> {
        let server = match &settings.transport {
            config::MailDelivery::File(folder) => return Ok(Self::Folder(folder.clone())),
            config::MailDelivery::Smtp(server) => server,
        };
        let mut parameters = TlsParameters::builder(server.host.clone());
        for root in &server.extra_roots {
            parameters = parameters.add_root_certificate(root.clone());
        }
        let credentials = server.credentials.as_ref().map(|(user, password)| {
            Credentials::new(user.clone(), password.expose_secret().to_owned())
        });
        Ok(Self::Server(Box::new(MailServer {
            host: server.host.clone(),
            port: server.port,
            tls: server.tls,
            parameters: parameters.build()?,
            credentials,
            // lettre's default is this machine's name, which is nobody's business.
            hello: ClientId::Domain(settings.from.email.domain().to_owned()),
            timeout: settings.timeout,
        })))
    }

    /// Sends a mail. In a folder it has the name `file`, so that a second copy takes the place of
    /// the first.
    pub async fn send(&self, message: &Message, file: &str) -> Result<(), MailError> {
        match self {
            Self::Folder(folder) => {
                let (folder, file) = (folder.clone(), format!("{file}.eml"));
                let bytes = message.formatted();
                let written =
                    tokio::task::spawn_blocking(move || put_into(&folder, &file, &bytes)).await;
                written
                    .unwrap_or_else(|error| Err(io::Error::other(error)))
                    .map_err(MailError::Folder)
            }
            Self::Server(server) => {
                // lettre's own timeout ends with the connection's beginning, so all of it is timed
                // here.
                let sent = tokio::time::timeout(server.timeout, server.hand_over(message)).await;
                let mut connection = sent.unwrap_or(Err(MailError::TimedOut))?;
                // What becomes of the goodbye no longer matters to the mail.
                drop(tokio::time::timeout(GOODBYE, connection.abort()).await);
                Ok(())
            }
        }
    }
}

impl MailServer {
    /// Comes back once the server has taken the mail.
    async fn hand_over(&self, message: &Message) -> Result<AsyncSmtpConnection, MailError> {
        let let_in = |error: smtp::Error| MailError::NotLetIn(Reason::of(&error));
        let mut connection = self.connect().await.map_err(let_in)?;
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await.map_err(let_in)?;
        }
        let sent = connection.send(message.envelope(), &message.formatted()).await;
        sent.map_err(|error| MailError::of_mail(&error))?;
        Ok(connection)
    }

    pub(super) async fn connect(&self) -> Result<AsyncSmtpConnection, smtp::Error> {
        let from_first_byte = (self.tls == MailTls::Tls).then(|| self.parameters.clone());
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let mut connection = AsyncSmtpConnection::connect_tokio1(
            (host, self.port),
            Some(self.timeout),
            &self.hello,
            from_first_byte,
            None,
        )
        .await?;
        if self.tls == MailTls::Starttls {
            connection.starttls(self.parameters.clone(), &self.hello).await?;
        }
        Ok(connection)
    }
}

/// Writes a file that is there whole or not at all, for its owner alone.
fn put_into(folder: &Path, file: &str, bytes: &[u8]) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let unfinished = folder.join(format!(".{file}"));
    let mut open = std::fs::OpenOptions::new();
    open.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?.write_all(bytes)?;
    std::fs::rename(unfinished, folder.join(file))
}
