//! `[site]` and `[log]`: how the service presents itself, to people and to its operator.

use chrono::NaiveDate;
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

use super::problems::{KeyPath, Problems};
use super::upstream::BaseUrl;
use super::value;
use crate::domain::colour::Colour;

/// What pages stand on, in the light scheme. The accent has to be legible upon it.
pub const LIGHT_GROUND: Colour = Colour::new(0xf5, 0xf6, 0xf4);
/// And in the dark one, for which a lighter accent is made.
pub const DARK_GROUND: Colour = Colour::new(0x12, 0x16, 0x17);

/// How the service presents itself to people.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteSettings {
    /// Name on pages and in mail.
    #[serde(deserialize_with = "value::line")]
    pub name: String,
    /// Address under which people reach the service.
    #[serde(deserialize_with = "value::parsed")]
    pub base_url: BaseUrl,
    /// Where people write with questions.
    #[serde(default, deserialize_with = "email")]
    pub support_email: Option<String>,
    /// One line below the name.
    #[serde(deserialize_with = "value::text")]
    pub tagline: String,
    /// What the service is, in two sentences.
    #[serde(deserialize_with = "value::text")]
    pub description: String,
    /// Colour of links and buttons.
    #[serde(deserialize_with = "accent")]
    pub accent: Colour,
    /// What the status page says at the moment.
    #[serde(default, deserialize_with = "value::optional_text")]
    pub status_message: Option<String>,
    /// Who runs the service, for the policy and the terms.
    #[serde(default, deserialize_with = "value::optional_text")]
    pub operator: Option<String>,
    /// Whose law the terms are under.
    #[serde(default, deserialize_with = "value::optional_text")]
    pub jurisdiction: Option<String>,
    /// The day from which the privacy policy is in force.
    #[serde(deserialize_with = "value::date")]
    pub privacy_in_force: NaiveDate,
    /// The day from which the terms are in force.
    #[serde(deserialize_with = "value::date")]
    pub terms_in_force: NaiveDate,
}

impl SiteSettings {
    /// Rules that span keys.
    pub(super) fn check(&self, at: &KeyPath, problems: &mut Problems) {
        if self.support_email.is_none() && !self.base_url.is_loopback() {
            problems.add(
                &at.key("support_email"),
                "is missing: users of a public service need a contact",
            );
        }
    }
}

/// What the operator sees.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// For people or for machines.
    pub format: LogFormat,
    /// Directives of tracing's `EnvFilter`, already found to parse.
    #[serde(deserialize_with = "filter")]
    pub filter: String,
}

/// Shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

fn email<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let address = value::text(from)?;
    let is_address = address.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty() && host.contains('.') && !address.contains(char::is_whitespace)
    });
    if !is_address {
        return Err(serde::de::Error::custom(
            "must be an email address, such as \"support@example.org\"",
        ));
    }
    Ok(Some(address))
}

fn accent<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Colour, D::Error> {
    let colour: Colour = value::parsed(from)?;
    if colour.is_legible_on(LIGHT_GROUND) {
        return Ok(colour);
    }
    Err(serde::de::Error::custom(format!(
        "{colour} is too light to be read: choose a darker colour, with a contrast of 4.5 to 1 on \
         {LIGHT_GROUND}"
    )))
}

fn filter<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let directives = value::text(from)?;
    match EnvFilter::try_new(&directives) {
        Ok(_) => Ok(directives),
        Err(reason) => Err(serde::de::Error::custom(format!(
            "must be a level such as \"info\", or directives: {reason}"
        ))),
    }
}
