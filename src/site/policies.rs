//! `/privacy` and `/terms`: texts that follow from the settings in force, so that they do not say
//! what the program does not do. What was published of them before is on the pages of `versions`.

mod contents;
pub(super) mod versions;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use chrono::NaiveDate;

use self::contents::PolicyText;
use self::versions::VersionLine;
use super::format::SignedDollars;
use super::layout::Frame;
use super::page_error::PageError;
use super::page_request::PageRequest;
use super::{Site, page_request};
use crate::config::{DatabaseUrl, MailDelivery, Settings};
use crate::domain::policy::PolicyKind;
use crate::policies::{PolicyVersions, Shown};

#[derive(Template)]
#[template(path = "policy.html")]
struct PolicyPage {
    frame: Frame,
    title: &'static str,
    /// The page says that it follows from the settings.
    is_generated: bool,
    days: PolicyDays,
    text: PolicyText,
}

/// The text alone, as it is published.
#[derive(Template)]
#[template(path = "privacy.html")]
struct PrivacyText {
    facts: PolicyFacts,
}

/// The same of the terms.
#[derive(Template)]
#[template(path = "terms.html")]
struct TermsText {
    facts: PolicyFacts,
}

/// From when what is in force.
struct PolicyDays {
    in_force: String,
    announced: Vec<VersionLine>,
    /// Where all versions are.
    versions: String,
}

/// What the texts are made of.
struct PolicyFacts {
    site_name: String,
    support_email: Option<String>,
    /// Who runs the service, if they say so.
    operator: Option<String>,
    jurisdiction: Option<String>,
    usage_log_days: u32,
    /// Days after which nothing of what was over is in the database's files.
    gone_after_days: u32,
    backup_days: u32,
    /// The setting by which the database's write-ahead log reuses its segments with their old
    /// bytes, if it has one.
    log_reuse: Option<&'static str>,
    /// The debt with which an account goes without a trace.
    debt_forgiven: SignedDollars,
    /// Hours between the wish to delete an account and its erasure.
    closing_grace_hours: u64,
    mail_link_hours: u64,
    /// Days for which a link works that turns mail off.
    unsubscribe_days: u64,
    session_days: u64,
    bcrypt_cost: u32,
    /// How many beginnings of prompts are recognised, by keyed hashes in memory.
    known_prefixes_max: usize,
    /// The chains on which deposits are taken, as people call them.
    chains: Vec<String>,
    /// Whether each account has addresses of its own.
    has_own_addresses: bool,
    has_tls_proxy: bool,
    has_mail_server: bool,
}

impl PolicyFacts {
    fn of(settings: &Settings) -> Self {
        let hours = |span: std::time::Duration| span.as_secs().div_ceil(3_600);
        Self {
            site_name: settings.site.name.clone(),
            support_email: settings.site.support_email.clone(),
            operator: settings.site.operator.clone(),
            jurisdiction: settings.site.jurisdiction.clone(),
            usage_log_days: settings.privacy.usage_log_days,
            gone_after_days: settings.privacy.gone_after_days(),
            backup_days: settings.privacy.backup_days,
            log_reuse: match settings.database.url {
                DatabaseUrl::Postgres(_) => Some("wal_recycle = on"),
                DatabaseUrl::Sqlite(_) => None,
            },
            debt_forgiven: SignedDollars(settings.deposits.debt_forgiven),
            closing_grace_hours: hours(settings.accounts.closing_grace),
            mail_link_hours: hours(settings.accounts.mail_link),
            unsubscribe_days: hours(settings.mail.unsubscribe).div_ceil(24),
            session_days: hours(settings.accounts.session).div_ceil(24),
            bcrypt_cost: settings.accounts.bcrypt_cost,
            known_prefixes_max: settings.reservation.known_prefixes_max,
            chains: settings.chains.iter().map(|chain| chain.display_name.clone()).collect(),
            has_own_addresses: settings.deposits.account_xpub.is_some(),
            has_tls_proxy: settings.server.behind_tls_proxy,
            has_mail_server: matches!(settings.mail.transport, MailDelivery::Smtp(_)),
        }
    }

    /// Who is meant by "we".
    fn we(&self) -> &str {
        self.operator.as_deref().unwrap_or("the operator of this site")
    }

    fn closing_grace(&self) -> String {
        span_of_hours(self.closing_grace_hours)
    }

    fn mail_link(&self) -> String {
        span_of_hours(self.mail_link_hours)
    }

    /// The chains as they stand in a sentence.
    fn chain_names(&self) -> String {
        match self.chains.split_last() {
            None => "none at the moment".to_owned(),
            Some((last, [])) => last.clone(),
            Some((last, others)) => format!("{} and {last}", others.join(", ")),
        }
    }
}

/// Hours in words, days where they are whole ones.
pub(super) fn span_of_hours(hours: u64) -> String {
    match (hours, hours / 24) {
        (0, _) => "no time at all".to_owned(),
        (1, _) => "one hour".to_owned(),
        (24, _) => "one day".to_owned(),
        (hours, days) if hours.is_multiple_of(24) => format!("{days} days"),
        (hours, _) => format!("{hours} hours"),
    }
}

/// The text of the policy or the terms as the settings make it: what a version is published with.
///
/// # Errors
/// What askama says; its templates are compiled in.
pub fn text(kind: PolicyKind, settings: &Settings) -> Result<String, askama::Error> {
    let facts = PolicyFacts::of(settings);
    let text = match kind {
        PolicyKind::Privacy => PrivacyText { facts }.render(),
        PolicyKind::Terms => TermsText { facts }.render(),
    }?;
    Ok(text.trim().to_owned())
}

/// What the pages of a server with these settings say.
///
/// # Errors
/// As [`text`].
pub fn shown(settings: &Settings) -> Result<Shown, askama::Error> {
    let mut texts = Vec::with_capacity(PolicyKind::ALL.len());
    for kind in PolicyKind::ALL {
        texts.push((kind, text(kind, settings)?));
    }
    Ok(Shown::of(texts.iter().map(|(kind, text)| (*kind, text.as_str()))))
}

impl PolicyDays {
    /// By the versions that were published; as long as none is in force, by the settings.
    async fn of(
        visit: &PageRequest<'_>,
        kind: PolicyKind,
        set: NaiveDate,
    ) -> Result<Self, PageError> {
        let now = visit.site.now();
        let standing = visit.site.run(move |conn| PolicyVersions::at(conn, kind, now)).await?;
        Ok(Self {
            in_force: match &standing.in_force {
                Some(row) => row.in_force().to_string(),
                None => set.to_string(),
            },
            announced: standing.announced.iter().map(VersionLine::of).collect(),
            versions: format!("/{kind}/versions"),
        })
    }
}

/// `GET /privacy`
pub(super) async fn privacy(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let set = visit.site.settings().site.privacy_in_force;
        page(visit, PolicyKind::Privacy, ("Privacy policy", set)).await
    })
    .await
}

/// `GET /terms`
pub(super) async fn terms(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    page_request::answer(http, payload, &site, async |visit| {
        let set = visit.site.settings().site.terms_in_force;
        page(visit, PolicyKind::Terms, ("Terms", set)).await
    })
    .await
}

async fn page(
    visit: &PageRequest<'_>,
    kind: PolicyKind,
    (title, set): (&'static str, NaiveDate),
) -> Result<HttpResponse, PageError> {
    let days = PolicyDays::of(visit, kind, set).await?;
    let text = PolicyText::of(&text(kind, visit.site.settings())?);
    let is_generated = kind == PolicyKind::Privacy;
    let frame = visit.frame(title);
    visit.public_page(&PolicyPage { frame, title, is_generated, days, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_in_days_where_they_are_days() {
        let said = [0, 1, 5, 24, 30, 168].map(span_of_hours);
        let expected = ["no time at all", "one hour", "5 hours", "one day", "30 hours", "7 days"];
        assert_eq!(said, expected);
    }
}
