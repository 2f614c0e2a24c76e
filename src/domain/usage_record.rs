//! One row of the usage log: what is kept of an exchange, and nothing more.

use serde::{Deserialize, Serialize};

use super::clock::UnixMillis;
use super::ids::{AccountId, ApiKeyId, RequestId};
use super::money::NanoUsd;
use super::usage::{Pass, TokenCounts, Usage};

/// How an exchange ended. `code` is its number in the table of endings (`docs/endings.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// Complete.
    #[serde(rename = "E1")]
    Complete,
    /// The upstream refused.
    #[serde(rename = "E2")]
    Refused,
    /// Unreachable, or no head in time.
    #[serde(rename = "E3")]
    Unreachable,
    /// No head in time for a JSON call; it was read to its end without its client.
    #[serde(rename = "E3j")]
    LateJson,
    /// A head that no answer can follow: redirect, wrong type, unframed body.
    #[serde(rename = "E3x")]
    UnacceptableHead,
    /// The first event was an error.
    #[serde(rename = "E4")]
    ErrorAtOnce,
    /// An error event after the answer began.
    #[serde(rename = "E5")]
    ErrorEvent,
    /// Cut before its terminal event.
    #[serde(rename = "E6")]
    CutOff,
    /// Upstream silent beyond the limit.
    #[serde(rename = "E7")]
    Silent,
    /// The client left a stream.
    #[serde(rename = "E8")]
    ClientLeft,
    /// The client left a JSON call.
    #[serde(rename = "E9")]
    ClientLeftJson,
    /// Complete, but without usage.
    #[serde(rename = "E10")]
    NoUsage,
    /// Graceful stop.
    #[serde(rename = "E11")]
    Stopped,
    /// The process was killed; recovered at the last checkpoint.
    #[serde(rename = "E12")]
    Killed,
    /// The operator's credential was refused upstream.
    #[serde(rename = "E13")]
    CredentialRefused,
    /// A handler panicked.
    #[serde(rename = "E14")]
    Panicked,
    /// The client stopped reading.
    #[serde(rename = "E15")]
    ClientStalled,
    /// The post was not durable in time.
    #[serde(rename = "E16")]
    NotDurable,
    /// Longest duration reached.
    #[serde(rename = "E17")]
    MaxDuration,
    /// The reservation could not be extended.
    #[serde(rename = "E18")]
    NotExtended,
}

/// Each outcome with the code that the database, JSON and pages show.
const CODES: [(Outcome, &str); 20] = [
    (Outcome::Complete, "E1"),
    (Outcome::Refused, "E2"),
    (Outcome::Unreachable, "E3"),
    (Outcome::LateJson, "E3j"),
    (Outcome::UnacceptableHead, "E3x"),
    (Outcome::ErrorAtOnce, "E4"),
    (Outcome::ErrorEvent, "E5"),
    (Outcome::CutOff, "E6"),
    (Outcome::Silent, "E7"),
    (Outcome::ClientLeft, "E8"),
    (Outcome::ClientLeftJson, "E9"),
    (Outcome::NoUsage, "E10"),
    (Outcome::Stopped, "E11"),
    (Outcome::Killed, "E12"),
    (Outcome::CredentialRefused, "E13"),
    (Outcome::Panicked, "E14"),
    (Outcome::ClientStalled, "E15"),
    (Outcome::NotDurable, "E16"),
    (Outcome::MaxDuration, "E17"),
    (Outcome::NotExtended, "E18"),
];

impl Outcome {
    /// The stored code, such as `E3x`.
    #[must_use]
    pub fn code(self) -> &'static str {
        CODES.iter().find(|(outcome, _)| *outcome == self).map_or("E14", |(_, code)| code)
    }

    /// Every outcome.
    pub fn all() -> impl Iterator<Item = Self> {
        CODES.iter().map(|(outcome, _)| *outcome)
    }

    /// The outcome of that code.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        CODES.iter().find(|(_, known)| *known == code).map(|(outcome, _)| *outcome)
    }
}

/// Which kind of call a usage row is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Endpoint {
    /// `POST /v1/messages` with `"stream": true`.
    #[serde(rename = "messages_stream")]
    MessagesStream,
    /// `POST /v1/messages` answered as one JSON document.
    #[serde(rename = "messages")]
    Messages,
}

impl Endpoint {
    /// The stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MessagesStream => "messages_stream",
            Self::Messages => "messages",
        }
    }

    /// The endpoint of a stored name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::MessagesStream, Self::Messages].into_iter().find(|one| one.as_str() == name)
    }
}

/// A usage row. Times are milliseconds; counts are tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRecord {
    /// The exchange's name, its reservation's too.
    pub id: RequestId,
    /// Whose money.
    pub account_id: AccountId,
    /// Which key asked.
    pub api_key_id: ApiKeyId,
    /// When the request was admitted.
    pub created_at: UnixMillis,
    /// Stream or JSON.
    pub endpoint: Endpoint,
    /// The priced id of the model that was asked for.
    pub requested_model: String,
    /// The model that the upstream says served.
    pub served_model: Option<String>,
    /// The operator's name of the upstream.
    pub upstream: Option<String>,
    /// Uncached input tokens, extra passes included.
    pub input_tokens: i64,
    /// Output tokens, extra passes included.
    pub output_tokens: i64,
    /// 5-minute cache writes.
    pub cache_write_5m_tokens: i64,
    /// 1-hour cache writes.
    pub cache_write_1h_tokens: i64,
    /// Cache reads.
    pub cache_read_tokens: i64,
    /// Web searches run by the upstream.
    pub web_searches: i64,
    /// As reported.
    pub service_tier: Option<String>,
    /// As reported.
    pub inference_geo: Option<String>,
    /// As reported.
    pub speed: Option<String>,
    /// The list that priced it.
    pub price_version: String,
    /// What the account pays.
    pub cost: NanoUsd,
    /// From admission to the upstream's first content.
    pub first_byte_ms: Option<i64>,
    /// From admission to the end.
    pub latency_ms: i64,
    /// What the client got.
    pub http_status: i32,
    /// How it ended.
    pub ending: Outcome,
    /// Whether a count was estimated from bytes, or bounded by what model and request allow.
    pub is_estimated: bool,
    /// The passes that the counts are the sum of, with the priced id of each one's model. Empty
    /// where there is one, as an ordinary answer has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passes: Vec<Pass>,
}

impl UsageRecord {
    /// The row of an exchange of which nothing is known yet: no model, no count, no cost. It says
    /// E12, since it is what stays if its node dies.
    #[must_use]
    pub fn blank(
        id: RequestId,
        account_id: AccountId,
        api_key_id: ApiKeyId,
        created_at: UnixMillis,
    ) -> Self {
        Self {
            id,
            account_id,
            api_key_id,
            created_at,
            endpoint: Endpoint::Messages,
            requested_model: String::new(),
            served_model: None,
            upstream: None,
            input_tokens: 0,
            output_tokens: 0,
            cache_write_5m_tokens: 0,
            cache_write_1h_tokens: 0,
            cache_read_tokens: 0,
            web_searches: 0,
            service_tier: None,
            inference_geo: None,
            speed: None,
            price_version: String::new(),
            cost: NanoUsd::ZERO,
            first_byte_ms: None,
            latency_ms: 0,
            http_status: 0,
            ending: Outcome::Killed,
            is_estimated: false,
            passes: Vec::new(),
        }
    }

    /// The row as it stands where the client was not told of the end in time (E16).
    #[must_use]
    pub fn unheard(&self) -> Self {
        // A JSON call's status is still ours to choose.
        let http_status = match self.endpoint {
            Endpoint::Messages => 503,
            Endpoint::MessagesStream => self.http_status,
        };
        Self { ending: Outcome::NotDurable, http_status, ..self.clone() }
    }

    /// The row without the names that an upstream has given; `None` if it has none. Counts and cost
    /// are the same.
    #[must_use]
    pub fn without_names(&self) -> Option<Self> {
        let bare = Self {
            served_model: None,
            service_tier: None,
            inference_geo: None,
            speed: None,
            ..self.clone()
        };
        (bare != *self).then_some(bare)
    }

    /// Takes over what the meter counted and the passes that it stands for.
    pub fn set_usage(&mut self, usage: &Usage, passes: Vec<Pass>) {
        let sum = passes.iter().fold(TokenCounts::default(), |sum, pass| sum.plus(&pass.tokens));
        self.input_tokens = stored(sum.input);
        self.output_tokens = stored(sum.output);
        self.cache_write_5m_tokens = stored(sum.cache_write_5m);
        self.cache_write_1h_tokens = stored(sum.cache_write_1h);
        self.cache_read_tokens = stored(sum.cache_read);
        self.web_searches = stored(usage.web_searches);
        self.served_model.clone_from(&usage.served_model);
        self.service_tier.clone_from(&usage.service_tier);
        self.inference_geo.clone_from(&usage.inference_geo);
        self.speed.clone_from(&usage.speed);
        let is_plain = passes.len() == 1 && passes.iter().all(Pass::is_plain);
        self.passes = if is_plain { Vec::new() } else { passes };
    }
}

/// A count for a signed column, held at its top.
fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::usage::{Iteration, IterationKind};

    fn record() -> UsageRecord {
        let id = RequestId::from_stored("req_1".to_owned());
        UsageRecord::blank(id, AccountId(2), ApiKeyId(3), UnixMillis::from_millis(4))
    }

    #[test]
    fn every_outcome_is_stored_under_its_own_code_and_read_back() {
        for (outcome, code) in CODES {
            assert_eq!(outcome.code(), code);
            // As open reservations keep it.
            assert_eq!(serde_json::to_value(outcome).unwrap(), code);
            assert_eq!(Outcome::parse(code), Some(outcome));
        }
        assert_eq!(Outcome::parse("E99"), None);
        assert_eq!(Endpoint::Messages.as_str(), "messages");
        assert_eq!(Endpoint::MessagesStream.as_str(), "messages_stream");
        for endpoint in [Endpoint::Messages, Endpoint::MessagesStream] {
            assert_eq!(Endpoint::parse(endpoint.as_str()), Some(endpoint));
        }
    }

    #[test]
    fn a_blank_row_has_its_names_and_no_cost() {
        let record = record();
        assert_eq!((record.account_id, record.api_key_id), (AccountId(2), ApiKeyId(3)));
        assert_eq!((record.id.as_str(), record.created_at.as_millis()), ("req_1", 4));
        assert_eq!((record.cost, record.ending), (NanoUsd::ZERO, Outcome::Killed));
    }

    #[test]
    fn the_counts_of_a_row_are_the_sum_of_its_passes_and_one_plain_pass_is_not_kept_apart() {
        let tokens = |first| TokenCounts {
            input: first,
            output: first + 1,
            cache_write_5m: first + 2,
            cache_write_1h: first + 3,
            cache_read: first + 4,
        };
        let usage = Usage {
            served_model: Some("m".to_owned()),
            tokens: tokens(10),
            web_searches: 7,
            service_tier: Some("batch".to_owned()),
            inference_geo: Some("us".to_owned()),
            speed: Some("fast".to_owned()),
            ..Usage::default()
        };
        let extra = Iteration { kind: IterationKind::Compaction, model: None, tokens: tokens(100) };
        let mut found = record();
        found.set_usage(&usage, usage.passes());
        assert!(found.passes.is_empty());
        let usage = Usage { iterations: vec![extra], ..usage };
        found.set_usage(&usage, usage.passes());
        let expected = UsageRecord {
            served_model: usage.served_model.clone(),
            input_tokens: 110,
            output_tokens: 112,
            cache_write_5m_tokens: 114,
            cache_write_1h_tokens: 116,
            cache_read_tokens: 118,
            web_searches: 7,
            passes: usage.passes(),
            service_tier: usage.service_tier.clone(),
            inference_geo: usage.inference_geo.clone(),
            speed: usage.speed.clone(),
            ..record()
        };
        assert_eq!(found, expected);
        assert_eq!(found.passes.len(), 2);
        let refused = Usage { is_refused: true, iterations: Vec::new(), ..usage };
        found.set_usage(&refused, refused.passes());
        assert_eq!(found.passes, refused.passes(), "one that is not plain is kept");
    }

    #[test]
    fn a_count_beyond_its_column_stands_at_the_top() {
        let mut found = record();
        found.set_usage(&Usage { web_searches: u64::MAX, ..Usage::default() }, Vec::new());
        assert_eq!(found.web_searches, i64::MAX);
    }
}
