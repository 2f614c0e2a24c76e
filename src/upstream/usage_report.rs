//! The usage report of an upstream: tokens of a UTC day by model, as its administration API counts
//! them.
//!
//! The form is that of Anthropic's Usage and Cost Admin API, "Get Messages Usage Report"
//! (<https://platform.claude.com/docs/en/api/admin/usage_report/retrieve_messages>):
//! `GET /v1/organizations/usage_report/messages` with `starting_at`, `ending_at`,
//! `bucket_width=1d`, `group_by[]=model` and `workspace_ids[]`, an admin key in `x-api-key`, and
//! pages that `has_more` and `next_page` lead on. Its documentation says that usage appears within
//! minutes. `cost_report` of the same API is not asked for: it has no sums by class of token.

use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::time::timeout;

use super::Upstream;
use super::body::{BodyLimits, read_whole};
use super::client::UpstreamClient;
use super::node::CallContext;
use crate::config::UpstreamSettings;
use crate::domain::clock::{UnixMillis, UtcDay};
use crate::domain::usage::TokenCounts;

/// Bytes of a page, pages of a report, bytes of a model's name and of a page's name.
const PAGE_BYTES: usize = 4_194_304;
const PAGES_MAX: usize = 64;
const NAME_MAX: usize = 256;
const PAGE_NAME_MAX: usize = 2_048;

/// Why there is no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageReportError {
    /// The settings cannot be used.
    #[error("the upstream cannot be used: {0}")]
    Unusable(String),
    /// No answer.
    #[error("{0}")]
    Unreachable(String),
    /// Not in time.
    #[error("the report did not come within reconcile.timeout_secs")]
    TooSlow,
    /// 401 or 403.
    #[error(
        "the upstream refuses report_credential (status {0}): it must be an admin key of the \
         organisation"
    )]
    Refused(u16),
    /// Another status.
    #[error("the upstream answers status {0} to the question for its usage report")]
    Status(u16),
    /// Not a report that we understand, and why.
    #[error("the usage report cannot be used: {0}")]
    Unreadable(String),
}

#[derive(Deserialize)]
struct ReportPage {
    data: Vec<Bucket>,
    has_more: bool,
    next_page: Option<String>,
}

#[derive(Deserialize)]
struct Bucket {
    starting_at: String,
    results: Vec<ReportedUsage>,
}

#[derive(Deserialize)]
struct ReportedUsage {
    model: Option<String>,
    uncached_input_tokens: u64,
    cache_read_input_tokens: u64,
    output_tokens: u64,
    cache_creation: CacheCreation,
}

#[derive(Deserialize)]
struct CacheCreation {
    ephemeral_5m_input_tokens: u64,
    ephemeral_1h_input_tokens: u64,
}

/// Asks for the report of a day: the tokens by the upstream's names of models; a name may come
/// more than once. Nothing where it has no usage, or not yet. `settings` are those for reports,
/// `limit` is the time for all pages.
///
/// # Errors
/// [`UsageReportError`], which says nothing of the credential.
pub async fn fetch(
    node: &CallContext,
    settings: UpstreamSettings,
    (day, limit): (UtcDay, Duration),
    tls: &Arc<rustls::ClientConfig>,
) -> Result<Vec<(String, TokenCounts)>, UsageReportError> {
    let workspace = settings.report_workspace.clone();
    let upstream = Upstream::new(settings, tls)
        .map_err(|error| UsageReportError::Unusable(error.to_string()))?;
    let client = UpstreamClient::new(Arc::new(upstream));
    let pages = pages(node, &client, (day, workspace.as_deref()), limit);
    timeout(limit, pages).await.unwrap_or(Err(UsageReportError::TooSlow))
}

async fn pages(
    node: &CallContext,
    client: &UpstreamClient,
    (day, workspace): (UtcDay, Option<&str>),
    limit: Duration,
) -> Result<Vec<(String, TokenCounts)>, UsageReportError> {
    let only = workspace.map(|id| format!("&workspace_ids%5B%5D={}", encoded(id)));
    let path = format!(
        "/v1/organizations/usage_report/messages?starting_at={day}T00:00:00Z&ending_at={}T00:00:00Z\
         &bucket_width=1d&group_by%5B%5D=model{}",
        day.plus(1),
        only.unwrap_or_default()
    );
    let mut counts = Vec::new();
    let mut next: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let asked = match &next {
            None => path.clone(),
            Some(page) => format!("{path}&page={}", encoded(page)),
        };
        let page = page(node, client, &asked, limit).await?;
        for bucket in page.data {
            add(&mut counts, bucket, day)?;
        }
        match (page.has_more, page.next_page) {
            (false, _) => return Ok(counts),
            (true, Some(name)) if name.len() <= PAGE_NAME_MAX && next.as_ref() != Some(&name) => {
                next = Some(name);
            }
            (true, _) => return Err(unreadable("it says that more follows, but not where")),
        }
    }
    Err(unreadable("it has too many pages"))
}

async fn page(
    node: &CallContext,
    client: &UpstreamClient,
    path: &str,
    limit: Duration,
) -> Result<ReportPage, UsageReportError> {
    let asked = client.get(path).await;
    let mut answer = asked.map_err(|error| UsageReportError::Unreachable(error.to_string()))?;
    match answer.status.as_u16() {
        200 => {}
        status @ (401 | 403) => return Err(UsageReportError::Refused(status)),
        status => return Err(UsageReportError::Status(status)),
    }
    let limits = BodyLimits { bytes: PAGE_BYTES, idle: limit, whole: limit };
    let body = read_whole(node, &mut answer, limits).await;
    let body = body.map_err(|_| unreadable("a page ended early, or is longer than 4 MiB"))?;
    // Where and why, without the words of the report.
    serde_json::from_slice(&body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        unreadable(&format!("not the JSON that was expected, at line {line}, column {column}"))
    })
}

fn add(
    counts: &mut Vec<(String, TokenCounts)>,
    bucket: Bucket,
    day: UtcDay,
) -> Result<(), UsageReportError> {
    let begins = UnixMillis::parse_rfc3339(&bucket.starting_at);
    if begins != Some(day.begin()) {
        return Err(unreadable("it is about another day"));
    }
    for usage in bucket.results {
        let is_name = |name: &String| {
            (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let model = usage.model.filter(is_name);
        let model = model.ok_or_else(|| unreadable("a sum names no model"))?;
        let tokens = TokenCounts {
            input: usage.uncached_input_tokens,
            output: usage.output_tokens,
            cache_write_5m: usage.cache_creation.ephemeral_5m_input_tokens,
            cache_write_1h: usage.cache_creation.ephemeral_1h_input_tokens,
            cache_read: usage.cache_read_input_tokens,
        };
        counts.push((model, tokens));
    }
    Ok(())
}

fn unreadable(why: &str) -> UsageReportError {
    UsageReportError::Unreadable(why.to_owned())
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
