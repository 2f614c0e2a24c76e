//! `[site]` and `[log]`: how the service presents itself, to people and to its operator.

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

use super::upstream::BaseUrl;
use super::value;

/// How the service presents itself to people.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Name on pages and in mail.
    #[serde(deserialize_with = "value::line")]
    pub name: String,
    /// Address under which people reach the service.
    #[serde(deserialize_with = "value::parsed")]
    pub base_url: BaseUrl,
    /// Where people write with questions.
    #[serde(default, deserialize_with = "email")]
    pub support_email: Option<String>,
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
            "must be an e-mail address, such as \"support@example.org\"",
        ));
    }
    Ok(Some(address))
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
