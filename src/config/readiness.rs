//! What a service for the public still lacks, for `config check`, `config init` and `doctor` to
//! say. None of it keeps the server from starting.

use std::fmt;

use super::{DatabaseUrl, MailDelivery, Settings, examples};

/// One thing that the public would miss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unready {
    /// The key that mends it, or the command.
    pub key: &'static str,
    /// What is missing, and what to do.
    pub reason: String,
    /// The page and section of the manual.
    pub page: &'static str,
}

impl Unready {
    /// A sentence for an operator.
    #[must_use]
    pub fn new(key: &'static str, reason: impl Into<String>, page: &'static str) -> Self {
        Self { key, reason: reason.into(), page }
    }
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.key, self.reason, self.page)
    }
}

impl Settings {
    /// Whether people reach the service from elsewhere, by its `site.base_url`.
    #[must_use]
    pub fn is_public(&self) -> bool {
        !self.site.base_url.is_loopback()
    }

    /// Everything that the public would miss, as far as the settings tell. Empty for a service on
    /// this host alone.
    #[must_use]
    pub fn unready(&self) -> Vec<Unready> {
        if !self.is_public() {
            return Vec::new();
        }
        let checks = [mail, operator, jurisdiction, privacy_day, terms_day];
        let more = [encryption, payments, own_addresses, database_path, backups];
        checks.iter().chain(&more).filter_map(|check| check(self)).collect()
    }
}

fn mail(settings: &Settings) -> Option<Unready> {
    let MailDelivery::File(folder) = &settings.mail.transport else { return None };
    let reason = format!(
        "emails are written into the folder {} and reach nobody, so nobody can confirm an address: \
         set transport = \"smtp\" and host",
        folder.display()
    );
    Some(Unready::new("mail.transport", reason, "docs/operating.md#mail"))
}

fn operator(settings: &Settings) -> Option<Unready> {
    let reason = "is missing: the privacy policy and the terms must name who runs the service";
    let is_missing = settings.site.operator.is_none();
    is_missing.then(|| Unready::new("site.operator", reason, "docs/operating.md#policies"))
}

fn jurisdiction(settings: &Settings) -> Option<Unready> {
    let reason = "is missing: the terms must name the law that they are under";
    let is_missing = settings.site.jurisdiction.is_none();
    is_missing.then(|| Unready::new("site.jurisdiction", reason, "docs/operating.md#policies"))
}

fn privacy_day(settings: &Settings) -> Option<Unready> {
    let day = settings.site.privacy_in_force;
    built_in_day("site.privacy_in_force", "/site/privacy_in_force", day)
}

fn terms_day(settings: &Settings) -> Option<Unready> {
    built_in_day("site.terms_in_force", "/site/terms_in_force", settings.site.terms_in_force)
}

/// The page would say that its text applies since before the service existed.
fn built_in_day(key: &'static str, at: &str, day: chrono::NaiveDate) -> Option<Unready> {
    let built_in = examples::default_of(at)?;
    let is_built_in = built_in.as_str() == Some(&day.to_string());
    let reason = format!("is the built-in day, {day}: set the day on which your service begins");
    is_built_in.then(|| Unready::new(key, reason, "docs/operating.md#policies"))
}

fn encryption(settings: &Settings) -> Option<Unready> {
    let page = "docs/operating.md#tls-and-reachability";
    if !settings.site.base_url.is_https() {
        let reason = "is not https: passwords and keys would cross the internet in plain text";
        return Some(Unready::new("site.base_url", reason, page));
    }
    let is_served = settings.server.tls().is_some() || settings.server.behind_tls_proxy;
    let reason = "is false, and there is no tls_certificate_file: nothing answers https. Set the \
                  files, or put a TLS proxy in front and set behind_tls_proxy = true";
    (!is_served).then(|| Unready::new("server.behind_tls_proxy", reason, page))
}

fn payments(settings: &Settings) -> Option<Unready> {
    let reason = "there is none: nobody can pay, and only you can credit accounts";
    let page = "docs/deposits.md";
    settings.chains.is_empty().then(|| Unready::new("chains", reason, page))
}

fn own_addresses(settings: &Settings) -> Option<Unready> {
    let is_shared = !settings.chains.is_empty() && settings.deposits.account_xpub.is_none();
    let reason = "is not set, so all accounts pay to a treasury: nobody can pay from an exchange, \
                  and users must link their wallet before they pay";
    is_shared.then(|| Unready::new("deposits.account_xpub", reason, "docs/deposits.md"))
}

fn backups(settings: &Settings) -> Option<Unready> {
    let is_sqlite = matches!(settings.database.url, DatabaseUrl::Sqlite(_));
    let reason = "is not set: nothing is backed up on schedule, and a lost disk takes all balances";
    (is_sqlite && settings.backup.into.is_none())
        .then(|| Unready::new("backup.directory", reason, "docs/backups.md"))
}

fn database_path(settings: &Settings) -> Option<Unready> {
    let DatabaseUrl::Sqlite(path) = &settings.database.url else { return None };
    let reason = format!(
        "the path {} is relative: a command that runs in another folder would make another, empty \
         database. Write it from the root: sqlite:///…",
        path.display()
    );
    path.is_relative().then(|| Unready::new("database.url", reason, "docs/operating.md#sqlite"))
}
