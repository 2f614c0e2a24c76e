//! `[otlp]`: where traces go, and what they say.

use std::time::Duration;

use actix_web::http::header::{HeaderName, HeaderValue};
use serde::{Deserialize, Deserializer};

use super::problems::{KeyPath, Problems};
use super::upstream::BaseUrl;
use super::value;

/// Traces of exchanges. Without an endpoint there are none.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Otlp {
    /// The collector, to whose path `/v1/traces` is added.
    #[serde(default, deserialize_with = "endpoint")]
    pub endpoint: Option<BaseUrl>,
    #[serde(default, deserialize_with = "value::optional_text")]
    headers_file: Option<String>,
    /// Of so many exchanges in a thousand there is a trace.
    #[serde(deserialize_with = "value::whole::<0, 1000, _, _>")]
    pub sample_per_thousand: u64,
    /// Whether spans name the model and count its tokens.
    #[serde(deserialize_with = "value::flag")]
    pub genai: bool,
    /// Whether a client's `traceparent` is continued, and decides whether there is a trace.
    #[serde(deserialize_with = "value::flag")]
    pub accept_traceparent: bool,
    /// Traces that wait to be sent; more are dropped.
    #[serde(deserialize_with = "value::whole::<1, 100_000, _, _>")]
    pub queue_max: usize,
    /// Time for the collector to take some.
    #[serde(rename = "timeout_secs", deserialize_with = "value::secs::<1, 60, _>")]
    pub timeout: Duration,
}

fn endpoint<'de, D: Deserializer<'de>>(from: D) -> Result<Option<BaseUrl>, D::Error> {
    value::parsed(from).map(Some)
}

impl Otlp {
    /// Headers for the collector, from the file.
    ///
    /// # Errors
    /// The reason, which names the file, never its content.
    pub fn headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        let Some(path) = &self.headers_file else { return Ok(Vec::new()) };
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("the file {path} cannot be read: {}", error.kind()))?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(number, line)| {
                let header = line.split_once(':').and_then(|(name, value)| {
                    let name: HeaderName = name.trim().parse().ok()?;
                    let mut value = HeaderValue::from_str(value.trim()).ok()?;
                    value.set_sensitive(true);
                    Some((name, value))
                });
                let line = number.saturating_add(1);
                header.ok_or_else(|| format!("line {line} of {path} must be `Name: value`"))
            })
            .collect()
    }

    /// Rules that span keys.
    pub(super) fn check(&self, at: &KeyPath, problems: &mut Problems) {
        if let Err(why) = self.headers() {
            problems.add(&at.key("headers_file"), why);
        }
        let is_open = |url: &BaseUrl| !url.is_https() && !url.is_loopback();
        if self.headers_file.is_some() && self.endpoint.as_ref().is_some_and(is_open) {
            problems.add(
                &at.key("endpoint"),
                "must use https, since otlp.headers_file has secrets for it",
            );
        }
    }
}
