//! Mail: what it says ([`letter`]), how it is put together ([`message`]), and how it leaves
//! ([`transport`]). When it is sent, and what becomes of it if it cannot be, is [`mailer`]'s
//! business.

mod compose;
pub mod letter;
pub mod mailer;
pub mod message;
mod send_queue;
pub mod transport;
pub mod trial;

use lettre::message::Mailbox;

use crate::config::Settings;

/// What stands on every mail.
#[derive(Clone, Debug)]
pub struct Letterhead {
    /// Who it comes from.
    pub from: Mailbox,
    /// The service's name.
    pub site_name: String,
    /// Where it is, without a slash at the end.
    pub base_url: String,
    /// Where people write with questions.
    pub support_email: Option<String>,
}

impl Letterhead {
    /// As the settings have it.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let site = &settings.site;
        let mut from = settings.mail.from.clone();
        if from.name.is_none() {
            from.name = Some(site.name.clone());
        }
        Self {
            from,
            site_name: site.name.clone(),
            base_url: site.base_url.as_str().to_owned(),
            support_email: site.support_email.clone(),
        }
    }

    /// A page of ours.
    #[must_use]
    pub fn page(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }
}
