//! `[mail]`: who mail comes from, and how it leaves.

use std::path::PathBuf;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::client::Certificate;
use secrecy::SecretString;
use serde::Deserialize;

use super::problems::{KeyPath, Problems};
use super::secret::SecretKeys;
use super::{LoadPurpose, is_loopback_host, secret, value};

/// Who mail comes from, and how it leaves.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The sender; without a name of its own it gets the site's.
    pub from: Mailbox,
    /// How it leaves.
    pub transport: MailDelivery,
    /// Time for one mail, from the connection to the server's last word.
    pub timeout: Duration,
    /// Mails that one node sends at once.
    pub at_once: u32,
    /// Mails that one node sends within a minute.
    pub per_minute: u32,
    /// Time after which a mail that could not be sent is dropped.
    pub give_up: Duration,
    /// Time for which a link works that turns notices off.
    pub unsubscribe: Duration,
}

/// How mail leaves.
#[derive(Clone, Debug)]
pub enum MailDelivery {
    /// Into a folder, for whoever tries things out.
    File(PathBuf),
    /// To a mail server.
    Smtp(Smtp),
}

/// A mail server.
#[derive(Clone, Debug)]
pub struct Smtp {
    /// Its name, which its certificate must bear.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the way there is protected.
    pub tls: MailTls,
    /// Roots that are trusted besides the public ones.
    pub extra_roots: Vec<Certificate>,
    /// Who we are there, and the proof. Commands do not fetch it.
    pub credentials: Option<(String, SecretString)>,
}

/// How the way to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// By a command at the beginning, without which nothing is sent.
    Starttls,
    /// From the first byte.
    Tls,
    /// Not at all.
    None,
}

impl MailTls {
    /// The port that servers have for it.
    const fn port(self) -> u16 {
        match self {
            Self::Starttls => 587,
            Self::Tls => 465,
            Self::None => 25,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TransportName {
    File,
    Smtp,
}

/// The section as written, before its secret is fetched.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MailSection {
    transport: TransportName,
    #[serde(deserialize_with = "mailbox")]
    from: Mailbox,
    #[serde(deserialize_with = "value::text")]
    folder: String,
    #[serde(default, deserialize_with = "value::optional_text")]
    host: Option<String>,
    #[serde(default, deserialize_with = "port")]
    port: Option<u16>,
    tls: MailTls,
    #[serde(default, deserialize_with = "value::optional_text")]
    tls_ca_file: Option<String>,
    #[serde(default, deserialize_with = "value::optional_text")]
    user: Option<String>,
    #[serde(default, deserialize_with = "value::optional_secret")]
    password: Option<SecretString>,
    #[serde(default, deserialize_with = "value::optional_text")]
    password_file: Option<String>,
    #[serde(default, deserialize_with = "value::optional_text")]
    password_env: Option<String>,
    #[serde(rename = "timeout_secs", deserialize_with = "value::secs::<5, 1_800, _>")]
    timeout: Duration,
    #[serde(deserialize_with = "value::whole::<1, 100, _, _>")]
    at_once: u32,
    #[serde(deserialize_with = "value::whole::<1, 60_000, _, _>")]
    per_minute: u32,
    #[serde(rename = "give_up_hours", deserialize_with = "value::hours::<1, 336, _>")]
    give_up: Duration,
    #[serde(deserialize_with = "value::whole::<30, 3_650, _, _>")]
    unsubscribe_days: u32,
}

impl MailSection {
    /// The section with its secret in hand, if that is wanted, or nothing and problems.
    pub(super) fn resolve(
        self,
        at: &KeyPath,
        env: &[(String, String)],
        purpose: LoadPurpose,
        problems: &mut Problems,
    ) -> Option<Mail> {
        let transport = match self.transport {
            TransportName::File => MailDelivery::File(PathBuf::from(&self.folder)),
            TransportName::Smtp => MailDelivery::Smtp(self.smtp(at, env, purpose, problems)?),
        };
        Some(Mail {
            from: self.from,
            transport,
            timeout: self.timeout,
            at_once: self.at_once,
            per_minute: self.per_minute,
            give_up: self.give_up,
            unsubscribe: Duration::from_hours(u64::from(self.unsubscribe_days).saturating_mul(24)),
        })
    }

    fn smtp(
        &self,
        at: &KeyPath,
        env: &[(String, String)],
        purpose: LoadPurpose,
        problems: &mut Problems,
    ) -> Option<Smtp> {
        // Everything is looked at before anything is missed.
        let host = self.host_name(at, problems);
        let extra_roots = self.extra_roots(at, problems);
        let credentials = match purpose {
            LoadPurpose::Serve => self.credentials(at, env, problems),
            LoadPurpose::Command => Some(None),
        };
        let (host, extra_roots, credentials) = (host?, extra_roots?, credentials?);
        let port = self.port.unwrap_or_else(|| self.tls.port());
        Some(Smtp { host, port, tls: self.tls, extra_roots, credentials })
    }

    /// The server's name, if the mail may go there.
    fn host_name(&self, at: &KeyPath, problems: &mut Problems) -> Option<String> {
        let Some(host) = &self.host else {
            problems.add(&at.key("host"), "is missing: transport = \"smtp\" needs a server");
            return None;
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
        if !host.bytes().all(is_name) {
            problems.add(&at.key("host"), "must be a host's name, such as \"smtp.example.org\"");
            return None;
        }
        if is_loopback_host(host) {
            return Some(host.clone());
        }
        let mut is_fine = true;
        if self.tls == MailTls::None {
            problems.add(
                &at.key("tls"),
                "must be \"starttls\" or \"tls\": only a server on this host may be reached \
                 without TLS",
            );
            is_fine = false;
        }
        if !self.from.email.domain().contains('.') {
            problems.add(&at.key("from"), "must be an address that the server may send from");
            is_fine = false;
        }
        is_fine.then(|| host.clone())
    }

    fn extra_roots(&self, at: &KeyPath, problems: &mut Problems) -> Option<Vec<Certificate>> {
        let Some(file) = &self.tls_ca_file else { return Some(Vec::new()) };
        let read = std::fs::read(file)
            .map_err(|error| secret::unreadable(&format!("the file {file}"), &error))
            .and_then(|pem| {
                Certificate::from_pem(&pem)
                    .map_err(|_| format!("the file {file} holds no certificate in PEM"))
            });
        match read {
            Ok(certificate) => Some(vec![certificate]),
            Err(reason) => {
                problems.add(&at.key("tls_ca_file"), reason);
                None
            }
        }
    }

    /// Nothing on the outside is a mistake, nothing on the inside is a server that asks for no
    /// name.
    #[expect(clippy::option_option, reason = "a mistake, no credentials, and credentials")]
    fn credentials(
        &self,
        at: &KeyPath,
        env: &[(String, String)],
        problems: &mut Problems,
    ) -> Option<Option<(String, SecretString)>> {
        let keys = SecretKeys {
            key: "password",
            written: self.password.as_ref(),
            file: self.password_file.as_deref(),
            env: self.password_env.as_deref(),
        };
        let has_password =
            self.password.is_some() || self.password_file.is_some() || self.password_env.is_some();
        match &self.user {
            Some(user) => {
                let (_, password) = keys.fetch(at, env, problems)?;
                Some(Some((user.clone(), password)))
            }
            None if has_password => {
                problems.add(&at.key("user"), "is missing: there is a password for it");
                None
            }
            None => Some(None),
        }
    }
}

fn mailbox<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Mailbox, D::Error> {
    let refusal = || {
        serde::de::Error::custom(
            "must be an email address, with a name or without, such as \"Sluice \
             <mail@example.org>\"",
        )
    };
    let text = value::text(from)?;
    let mailbox: Mailbox = text.parse().map_err(|_| refusal())?;
    // The domain also stands in Message-IDs and in our greeting.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    let is_ascii = mailbox.email.user().is_ascii();
    if text.contains(char::is_control) || !is_ascii || !mailbox.email.domain().bytes().all(is_plain)
    {
        return Err(refusal());
    }
    Ok(mailbox)
}

fn port<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u16>, D::Error> {
    value::whole::<1, 65_535, D, u16>(from).map(Some)
}
