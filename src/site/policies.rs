//! `/privacy` and `/terms`: texts that follow from the settings in force, so that they do not say what the program does
//! not do.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::layout::Frame;
use super::{Site, visit};
use crate::config::{Settings, Transport};

#[derive(Template)]
#[template(path = "privacy.html")]
struct PrivacyPage {
    frame: Frame,
    in_force: String,
    facts: Facts,
}

#[derive(Template)]
#[template(path = "terms.html")]
struct TermsPage {
    frame: Frame,
    in_force: String,
    facts: Facts,
}

/// What the texts are made of.
struct Facts {
    /// Who runs the service, if they say so.
    operator: Option<String>,
    jurisdiction: Option<String>,
    usage_log_days: u32,
    /// Days after which nothing of what was over is in the database's files.
    gone_after_days: u32,
    backup_days: u32,
    /// Hours between the wish to delete an account and its erasure.
    closing_grace_hours: u64,
    mail_link_hours: u64,
    session_days: u64,
    bcrypt_cost: u32,
    /// The chains on which deposits are taken, as people call them.
    chains: Vec<String>,
    /// Whether each account has addresses of its own.
    has_own_addresses: bool,
    has_tls_proxy: bool,
    has_mail_server: bool,
}

impl Facts {
    fn of(settings: &Settings) -> Self {
        let hours = |span: std::time::Duration| span.as_secs().div_ceil(3_600);
        Self {
            operator: settings.site.operator.clone(),
            jurisdiction: settings.site.jurisdiction.clone(),
            usage_log_days: settings.privacy.usage_log_days,
            gone_after_days: settings.privacy.gone_after_days(),
            backup_days: settings.privacy.backup_days,
            closing_grace_hours: hours(settings.accounts.closing_grace),
            mail_link_hours: hours(settings.accounts.mail_link),
            session_days: hours(settings.accounts.session).div_ceil(24),
            bcrypt_cost: settings.accounts.bcrypt_cost,
            chains: settings.chains.iter().map(|chain| chain.display_name.clone()).collect(),
            has_own_addresses: settings.deposits.account_xpub.is_some(),
            has_tls_proxy: settings.server.behind_tls_proxy,
            has_mail_server: matches!(settings.mail.transport, Transport::Smtp(_)),
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

/// `GET /privacy`
pub(super) async fn privacy(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    visit::answer(http, payload, &site, async |visit| {
        let settings = visit.site.settings();
        visit.page(&PrivacyPage {
            frame: visit.frame("Privacy policy"),
            in_force: settings.site.privacy_in_force.to_string(),
            facts: Facts::of(settings),
        })
    })
    .await
}

/// `GET /terms`
pub(super) async fn terms(http: HttpRequest, payload: Payload, site: Data<Site>) -> HttpResponse {
    visit::answer(http, payload, &site, async |visit| {
        let settings = visit.site.settings();
        visit.page(&TermsPage {
            frame: visit.frame("Terms"),
            in_force: settings.site.terms_in_force.to_string(),
            facts: Facts::of(settings),
        })
    })
    .await
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
