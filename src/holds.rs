//! What is held for a request, and why each number is what it is.
//!
//! A hold is what an exchange will likely cost, not the worst that could be imagined: whoever has
//! credit is served. What it may cost beyond that is put at risk, and the ledger admits a request
//! only where all that an account has at risk is covered by what it has, but for
//! `reservation.shortfall_max_usd`. An account that has only begun to pay for exchanges
//! (`reservation.shortfall_after_secs`) has no such shortfall. So a wrong guess here costs nobody
//! money; it only makes a hold larger or smaller.
//!
//! | part | likely | at most |
//! |---|---|---|
//! | text | by classes of bytes ([`calibration`]) | one token a byte, or for two letters |
//! | a prefix sent before | its count, at the price of reads ([`prefixes`]) | at the highest |
//! | images, documents | as configured; one by URL may fill the context | the same |
//! | server tools | as configured, for each use | the same |
//! | output of a stream | a first slice, extended before it is used up | the same |
//! | output of a JSON call | `max_tokens` | the same |
//!
//! The prompt is never more than the context of the largest model named. Once the upstream has
//! counted it, the hold is set to its exact price and nothing is at risk any more.
//!
//! Only counts and keyed hashes are kept, in memory, for as long as the upstream's cache lives.

pub mod calibration;
pub mod prefixes;
pub mod queue;

use std::ops::Range;

use crate::config;
use crate::domain::byte_counts::{ByteCounts, TokenFigures};
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::messages_request::MessagesRequest;
use crate::domain::messages_request::prefix::PromptPrefix;
use crate::domain::quote::PromptEstimate;
use crate::domain::usage::{TokenCounts, Usage};
use calibration::Calibrations;
use prefixes::Prefixes;
use queue::HoldQueues;

/// A prompt of fewer tokens says more of the frame around it than of its text.
const LESSON_TOKENS_MIN: u64 = 500;

/// What this node knows for holds.
pub struct Holds {
    calibrations: Calibrations,
    prefixes: Prefixes,
    /// Requests that wait for a hold of their account to come free.
    pub lines: HoldQueues,
}

/// What a request can teach once its answer is counted. Counts and hashes, no content.
#[derive(Clone, Debug, Default)]
pub struct Lesson {
    model_id: String,
    /// Of a prompt that is nothing but text.
    text: Option<ByteCounts>,
    marks: Vec<Mark>,
}

/// A beginning that the request asks to be cached.
#[derive(Clone, Copy, Debug)]
struct Mark {
    hash: u64,
    bytes: usize,
    lifetime_secs: u64,
}

impl Holds {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(rules: &config::ReservationSettings) -> Self {
        Self {
            calibrations: Calibrations::default(),
            prefixes: Prefixes::new(rules.known_prefixes_max),
            lines: HoldQueues::default(),
        }
    }

    /// Estimates the prompt of a request to `model_id`, and says what its answer will teach.
    pub fn estimate(
        &self,
        whose: (AccountId, &str),
        request: &MessagesRequest,
        body: &[u8],
        rules: &config::ReservationSettings,
        now: UnixMillis,
    ) -> (PromptEstimate, Lesson) {
        let (account_id, model_id) = whose;
        let ascii =
            u64::try_from(body.len()).unwrap_or(u64::MAX).saturating_sub(request.other_bytes);
        let encoded = ascii.saturating_sub(request.ascii_bytes);
        let counts = ByteCounts::of(body).without_encoded(encoded);
        let mut lesson = Lesson { model_id: model_id.to_owned(), ..Lesson::default() };
        if request.remote_documents > 0 {
            // Whatever is found there may fill the context, and another time something else is.
            let open = PromptEstimate { is_open: true, ..PromptEstimate::exactly(u64::MAX) };
            return (open, lesson);
        }
        let media = media_tokens(request, rules);
        let safe = safe_figures(rules);
        let most = counts.tokens(&safe).saturating_add(media);
        if media == 0 && request.typed_tools.is_empty() {
            lesson.text = Some(counts);
        }
        let likely = self.calibrations.tokens(model_id, &counts, &safe).saturating_add(media);
        let plain =
            PromptEstimate { most, likely, unusual: counts.unusual(), ..PromptEstimate::default() };
        if !request.uses_cache || !self.prefixes.is_on() {
            return (plain, lesson);
        }
        let prefix = self.prefixes.beginnings(body, account_id, model_id);
        lesson.marks = marks(&prefix);
        let Some((beginning, known)) = self.prefixes.find(&prefix, now) else {
            return (plain, lesson);
        };
        let rest = uncovered(body, prefix.covered(beginning));
        let rest_bytes = rest.total();
        // How many images stand in the rest is not known; their share of the bytes is a fair guess.
        let media = if media == 0 { 0 } else { share(media, rest_bytes, counts.total()) };
        let rest = if encoded == 0 { rest } else { rest.without_encoded(rest.dense) };
        let likely = self.calibrations.tokens(model_id, &rest, &safe).saturating_add(media);
        // The same bytes are the same tokens, cached or not. A share of a longer count is no bound,
        // nor is a guess at images.
        let is_bound = known.is_exact && encoded == 0 && media == 0;
        let beside = if is_bound { rest.tokens(&safe) } else { most };
        let most = most.min(known.tokens.saturating_add(beside));
        let (likely, cached) = if known.is_alive {
            (likely, known.tokens)
        } else {
            (likely.saturating_add(known.tokens), 0)
        };
        let estimate = PromptEstimate { most, likely, cached, ..plain };
        (estimate, lesson)
    }

    /// Forgets beginnings of prompts that no cache holds any more.
    pub fn forget(&self, now: UnixMillis) {
        self.prefixes.forget(now);
    }

    /// Learns from an answer's first or only count of a prompt.
    pub fn learn(
        &self,
        lesson: &Lesson,
        usage: &Usage,
        now: UnixMillis,
        rules: &config::ReservationSettings,
    ) {
        let tokens: &TokenCounts = &usage.tokens;
        let prompt = tokens.prompt();
        if let Some(text) = &lesson.text
            && prompt >= LESSON_TOKENS_MIN
        {
            self.calibrations.learn(&lesson.model_id, text, prompt, &safe_figures(rules));
        }
        let cached = tokens
            .cache_read
            .saturating_add(tokens.cache_write_5m)
            .saturating_add(tokens.cache_write_1h);
        let Some(last) = lesson.marks.last().filter(|_| cached > 0) else { return };
        for mark in &lesson.marks {
            let part = share(cached, wide(mark.bytes), wide(last.bytes));
            let known = (part, mark.hash == last.hash);
            self.prefixes.remember(mark.hash, known, mark.lifetime_secs, now);
        }
    }
}

/// Bytes per token that no text falls below, as configured.
fn safe_figures(rules: &config::ReservationSettings) -> TokenFigures {
    TokenFigures {
        words: rules.word_bytes_per_token.saturating_mul(1_000),
        marks: rules.symbol_bytes_per_token.saturating_mul(1_000),
        symbols: rules.symbol_bytes_per_token.saturating_mul(1_000),
        ..TokenFigures::SAFE
    }
}

fn media_tokens(request: &MessagesRequest, rules: &config::ReservationSettings) -> u64 {
    request
        .images
        .saturating_mul(rules.image_tokens)
        .saturating_add(request.documents.saturating_mul(rules.document_tokens))
}

fn marks(prefix: &PromptPrefix) -> Vec<Mark> {
    prefix
        .beginnings
        .iter()
        .filter_map(|beginning| {
            Some(Mark {
                hash: beginning.hash,
                bytes: prefix.bytes(beginning),
                lifetime_secs: beginning.mark_secs?,
            })
        })
        .collect()
}

/// The classes of what a body has outside these parts.
fn uncovered(body: &[u8], parts: impl Iterator<Item = Range<usize>>) -> ByteCounts {
    let mut parts: Vec<Range<usize>> = parts.collect();
    parts.sort_by_key(|part| part.start);
    let mut counts = ByteCounts::default();
    let mut from = 0;
    for part in parts {
        counts = counts.plus(&ByteCounts::of(body.get(from..part.start).unwrap_or_default()));
        from = from.max(part.end);
    }
    counts.plus(&ByteCounts::of(body.get(from..).unwrap_or_default()))
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// `of` × `part` ÷ `whole`, rounded up.
fn share(of: u64, part: u64, whole: u64) -> u64 {
    let product = u128::from(of).saturating_mul(u128::from(part.min(whole)));
    u64::try_from(product.div_ceil(u128::from(whole.max(1)))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LoadPurpose, Settings, Sources, load_for};
    use crate::domain::messages_request::parse;

    const NOW: UnixMillis = UnixMillis::from_millis(0);

    fn settings() -> Settings {
        load_for(&Sources::default(), LoadPurpose::Command).unwrap()
    }

    /// A prompt of these blocks, each as JSON.
    fn estimate(holds: &Holds, blocks: &[String]) -> (PromptEstimate, Lesson) {
        let blocks = blocks.join(",");
        let body =
            format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{blocks}]}}]}}"#);
        let settings = settings();
        let request = parse(body.as_bytes(), &settings.requests.bounds()).unwrap();
        holds.estimate((AccountId(1), "m"), &request, body.as_bytes(), &settings.reservation, NOW)
    }

    fn text(text: &str, is_marked: bool) -> String {
        let mark = if is_marked { r#","cache_control":{"type":"ephemeral"}"# } else { "" };
        format!(r#"{{"type":"text","text":"{text}"{mark}}}"#)
    }

    /// Learns that all of these blocks were written to the cache as so many tokens.
    fn teach(holds: &Holds, blocks: &[String], tokens: u64) {
        let (_, lesson) = estimate(holds, blocks);
        let tokens = TokenCounts { cache_write_5m: tokens, ..TokenCounts::default() };
        let rules = settings().reservation;
        holds.learn(&lesson, &Usage { tokens, ..Usage::default() }, NOW, &rules);
    }

    fn holds() -> Holds {
        Holds::new(&settings().reservation)
    }

    #[test]
    fn only_a_count_of_the_same_bytes_lowers_what_a_prompt_is_at_most() {
        let holds = holds();
        let words = "words of it ".repeat(4_000);
        let first = [text(&words, false), text("and more", true)];
        teach(&holds, &first, 10_000);
        let next = [text(&words, false), text("and more", false), text("go on", true)];
        let (known, _) = estimate(&holds, &next);
        assert!(known.most < 11_000 && known.cached == 10_000, "{known:?}");

        // A share of what was counted: the beginning may be denser than the rest.
        let dense = "7Q!0x".repeat(4_000);
        let both = [text(&dense, true), text(&" ".repeat(200_000), true)];
        teach(&holds, &both, 20_000);
        let (shared, _) = estimate(&holds, &[text(&dense, true), text("go on", true)]);
        assert!(shared.cached < 10_000 && shared.most >= 20_000, "{shared:?}");

        // An image in the prompt: what is encoded cannot be told from dense text behind it.
        let image = r#"{"type":"image","source":{"type":"base64","media_type":"image/png",
            "data":"iVBORw0KGgoAAAAN"}}"#;
        let pictured = [image.to_owned(), text(&words, true)];
        teach(&holds, &pictured, 15_000);
        let attack = [image.to_owned(), text(&words, true), text(&dense.repeat(10), true)];
        let (attacked, _) = estimate(&holds, &attack);
        assert!(attacked.cached == 15_000 && attacked.most > 200_000, "{attacked:?}");
    }
}
