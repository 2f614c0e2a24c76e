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
use crate::domain::colour::Colour;

const WHITE: Colour = Colour::new(0xff, 0xff, 0xff);
/// What mail stands on in the dark scheme, as its layout has it.
const DARK: Colour = Colour::new(0x1a, 0x20, 0x21);

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
    /// Colour of links and of the button.
    pub accent: Colour,
    /// Of links where the mail is shown on dark.
    pub accent_dark: Colour,
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
            accent: site.accent,
            accent_dark: on_dark(site.accent),
        }
    }

    /// A page of ours.
    #[must_use]
    pub fn page(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }
}

/// The accent, as much lighter as it takes to read it on dark.
fn on_dark(accent: Colour) -> Colour {
    let mut shades = (0..=20_u8).map(|step| WHITE.mixed_with(accent, step.saturating_mul(5)));
    shades.find(|shade| shade.is_legible_on(DARK)).unwrap_or(WHITE)
}
