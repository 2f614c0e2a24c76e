//! One row of the usage log: what is kept of an exchange, and nothing more.

use serde::{Deserialize, Serialize};

use super::clock::UnixMillis;
use super::ids::{AccountId, ApiKeyId, RequestId};
use super::money::NanoUsd;
use super::usage::{Pass, TokenCounts, Usage};

/// How an exchange ended; the contract's table of endings, by its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ending {
    /// Complete.
    E1,
    /// The upstream refused.
    E2,
    /// Unreachable, or no head in time.
    E3,
    /// No head in time for a JSON call; it was read to its end without its client.
    E3j,
    /// A head that no answer can follow: redirect, wrong type, unframed body.
    E3x,
    /// The first event was an error.
    E4,
    /// An error event after the answer began.
    E5,
    /// Cut before its terminal event.
    E6,
    /// Upstream silent beyond the limit.
    E7,
    /// The client left a stream.
    E8,
    /// The client left a JSON call.
    E9,
    /// Complete, but without usage.
    E10,
    /// Graceful stop.
    E11,
    /// The process was killed; recovered at the last checkpoint.
    E12,
    /// The operator's credential was refused upstream.
    E13,
    /// A handler panicked.
    E14,
    /// The client stopped reading.
    E15,
    /// The post was not durable in time.
    E16,
    /// Longest duration reached.
    E17,
    /// The reservation could not be extended.
    E18,
}

/// Each ending with the name that the database, JSON and pages show.
const ENDINGS: [(Ending, &str); 20] = [
    (Ending::E1, "E1"),
    (Ending::E2, "E2"),
    (Ending::E3, "E3"),
    (Ending::E3j, "E3j"),
    (Ending::E3x, "E3x"),
    (Ending::E4, "E4"),
    (Ending::E5, "E5"),
    (Ending::E6, "E6"),
    (Ending::E7, "E7"),
    (Ending::E8, "E8"),
    (Ending::E9, "E9"),
    (Ending::E10, "E10"),
    (Ending::E11, "E11"),
    (Ending::E12, "E12"),
    (Ending::E13, "E13"),
    (Ending::E14, "E14"),
    (Ending::E15, "E15"),
    (Ending::E16, "E16"),
    (Ending::E17, "E17"),
    (Ending::E18, "E18"),
];

impl Ending {
    /// The stored name, such as `E3x`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        ENDINGS.iter().find(|(ending, _)| *ending == self).map_or("E14", |(_, name)| name)
    }

    /// The ending of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        ENDINGS.iter().find(|(_, known)| *known == name).map(|(ending, _)| *ending)
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
    pub ending: Ending,
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
            ending: Ending::E12,
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
        Self { ending: Ending::E16, http_status, ..self.clone() }
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
    fn every_ending_is_stored_under_its_own_name_and_read_back() {
        for (ending, name) in ENDINGS {
            assert_eq!(ending.as_str(), name);
            assert_eq!(format!("{ending:?}"), name);
            assert_eq!(Ending::parse(name), Some(ending));
        }
        assert_eq!(Ending::parse("E99"), None);
        assert_eq!(Endpoint::Messages.as_str(), "messages");
        assert_eq!(Endpoint::MessagesStream.as_str(), "messages_stream");
    }

    #[test]
    fn a_blank_row_has_its_names_and_no_cost() {
        let record = record();
        assert_eq!((record.account_id, record.api_key_id), (AccountId(2), ApiKeyId(3)));
        assert_eq!((record.id.as_str(), record.created_at.as_millis()), ("req_1", 4));
        assert_eq!((record.cost, record.ending), (NanoUsd::ZERO, Ending::E12));
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
