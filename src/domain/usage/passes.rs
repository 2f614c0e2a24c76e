//! An answer as passes: each run of one model over one prompt, billed by that model and by the tier
//! of that prompt.
//!
//! `usage.iterations[]` is the record of passes. Turns of a server-side loop replace the top level
//! where they add up to it. Of a chain of fallbacks each attempt is a pass of its own and the top
//! level is the last attempt only. Compactions and advisors come on top. What none of this explains
//! is billed by the plain reading of the top level.

use serde::{Deserialize, Serialize};

use super::{Iteration, IterationKind, TokenCounts, Usage};

/// A model that declined reports at most the one token that every answer begins with.
const NO_OUTPUT_MAX: u64 = 1;

/// What a pass was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PassKind {
    /// The answer, or the last attempt at it.
    Answer,
    /// A turn of a server-side tool loop.
    Turn,
    /// An attempt of a model that declined, before another one answered.
    Attempt,
    /// The context was summarised.
    Compaction,
    /// Another model gave advice.
    Advisor,
}

/// All kinds with their stored names.
const KINDS: [(PassKind, &str); 5] = [
    (PassKind::Answer, "answer"),
    (PassKind::Turn, "turn"),
    (PassKind::Attempt, "attempt"),
    (PassKind::Compaction, "compaction"),
    (PassKind::Advisor, "advisor"),
];

impl PassKind {
    /// The stored name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or("answer", |(_, name)| name)
    }

    /// The kind of a stored name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        KINDS.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }
}

/// Why a pass costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waiver {
    /// The model refused before it wrote anything.
    Refused,
    /// The model declined before it wrote anything, and another one answered.
    Declined,
}

impl Waiver {
    /// The stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Declined => "declined",
        }
    }

    /// The waiver of a stored name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Refused, Self::Declined].into_iter().find(|waiver| waiver.as_str() == name)
    }
}

/// One run of one model over one prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// What it was.
    pub kind: PassKind,
    /// The model that ran it, where it is named. Without a name an attempt ran the model that was
    /// asked for, everything else the one that served.
    pub model: Option<String>,
    /// What it counted.
    pub tokens: TokenCounts,
    /// Why it costs nothing, if it does not.
    pub waiver: Option<Waiver>,
    /// Its cache writes are charged at the price of reads.
    pub is_credit_redeemed: bool,
}

impl Pass {
    fn of(kind: PassKind, model: Option<String>, tokens: TokenCounts) -> Self {
        Self { kind, model, tokens, waiver: None, is_credit_redeemed: false }
    }

    /// Whether it is all that an ordinary answer has.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.kind == PassKind::Answer && self.waiver.is_none() && !self.is_credit_redeemed
    }
}

impl Usage {
    /// The passes that the report stands for.
    #[must_use]
    pub fn passes(&self) -> Vec<Pass> {
        let has_fallback =
            self.iterations.iter().any(|entry| entry.kind == IterationKind::FallbackMessage);
        let mut passes = if has_fallback { self.attempts() } else { self.turns() };
        for entry in &self.iterations {
            let kind = match entry.kind {
                IterationKind::Compaction => PassKind::Compaction,
                IterationKind::AdvisorMessage => PassKind::Advisor,
                IterationKind::Message | IterationKind::FallbackMessage => continue,
            };
            passes.push(Pass::of(kind, entry.model.clone(), entry.tokens));
        }
        passes
    }

    /// Without a fallback: the turns where they add up to the top level, else the top level.
    fn turns(&self) -> Vec<Pass> {
        let turns: Vec<&Iteration> =
            self.iterations.iter().filter(|entry| entry.kind == IterationKind::Message).collect();
        self.last_attempt(&turns)
    }

    /// Each attempt of a chain of fallbacks: those that declined, then the one that answered.
    fn attempts(&self) -> Vec<Pass> {
        let entries: Vec<&Iteration> = self
            .iterations
            .iter()
            .filter(|entry| {
                matches!(entry.kind, IterationKind::Message | IterationKind::FallbackMessage)
            })
            .collect();
        let serving = entries.iter().rev().find_map(|entry| match entry.kind {
            IterationKind::FallbackMessage => entry.model.as_deref(),
            _ => None,
        });
        // The answer is the fallback's entry and the turns of the same model that lead up to it.
        let turns = entries
            .iter()
            .rev()
            .take_while(|entry| {
                entry.kind == IterationKind::FallbackMessage
                    || (serving.is_some() && entry.model.as_deref() == serving)
            })
            .count();
        let (declined, answered) = entries.split_at(entries.len().saturating_sub(turns));
        let mut passes: Vec<Pass> = declined
            .iter()
            .map(|entry| {
                let pass = Pass::of(PassKind::Attempt, entry.model.clone(), entry.tokens);
                let wrote_nothing = entry.tokens.output <= NO_OUTPUT_MAX;
                Pass { waiver: wrote_nothing.then_some(Waiver::Declined), ..pass }
            })
            .collect();
        if adds_up(&entries, &self.tokens) && !adds_up(answered, &self.tokens) {
            let kind = if answered.len() > 1 { PassKind::Turn } else { PassKind::Answer };
            passes.extend(answered.iter().map(|entry| self.answer(kind, entry.tokens)));
        } else {
            passes.extend(self.last_attempt(answered));
        }
        passes
    }

    fn last_attempt(&self, turns: &[&Iteration]) -> Vec<Pass> {
        if turns.len() < 2 || !adds_up(turns, &self.tokens) {
            return vec![self.answer(PassKind::Answer, self.tokens)];
        }
        // Which cache was written, the top level may know better than its parts.
        let mut long_left = self.tokens.cache_write_1h;
        let mut short_left = self.tokens.cache_write_5m;
        let split = |turn: &&Iteration| {
            let written = written(&turn.tokens);
            let own_long = turn.tokens.cache_write_1h.min(long_left);
            let short = written.saturating_sub(own_long).min(short_left);
            let long = written.saturating_sub(short);
            short_left = short_left.saturating_sub(short);
            long_left = long_left.saturating_sub(long);
            let tokens = TokenCounts { cache_write_5m: short, cache_write_1h: long, ..turn.tokens };
            self.answer(PassKind::Turn, tokens)
        };
        turns.iter().map(split).collect()
    }

    fn answer(&self, kind: PassKind, tokens: TokenCounts) -> Pass {
        Pass {
            waiver: self.is_refused.then_some(Waiver::Refused),
            is_credit_redeemed: self.is_credit_redeemed,
            ..Pass::of(kind, self.served_model.clone(), tokens)
        }
    }
}

/// Whether entries make up the top level. Parts often come without the split of what they wrote.
fn adds_up(entries: &[&Iteration], whole: &TokenCounts) -> bool {
    let sum = entries.iter().fold(TokenCounts::default(), |sum, entry| sum.plus(&entry.tokens));
    let parts =
        |tokens: &TokenCounts| (tokens.input, tokens.output, tokens.cache_read, written(tokens));
    parts(&sum) == parts(whole)
}

const fn written(tokens: &TokenCounts) -> u64 {
    tokens.cache_write_5m.saturating_add(tokens.cache_write_1h)
}

/// What model and request allow an answer to use. What is reported beyond it is charged as this
/// much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceilings {
    /// Tokens of prompt in one pass: the largest context of the models named.
    pub context: u64,
    /// Tokens of output in one pass: `max_tokens`, or what the model can write.
    pub output: u64,
    /// Turns of a server-side loop, the answer among them.
    pub turns: u64,
    /// Attempts before the one that answers: entries of `fallbacks`.
    pub attempts: u64,
    /// Compactions and pieces of advice.
    pub extras: u64,
    /// Web searches.
    pub web_searches: u64,
}

impl Ceilings {
    /// The passes as far as they are allowed, and whether that is all of them.
    #[must_use]
    pub fn bound(&self, passes: Vec<Pass>) -> (Vec<Pass>, bool) {
        let (mut turns, mut attempts, mut extras) = (self.turns, self.attempts, self.extras);
        let mut is_whole = true;
        let mut bounded = Vec::with_capacity(passes.len().min(64));
        for pass in passes {
            // The top level may be the sum of a loop whose turns are not listed.
            let (left, runs) = match pass.kind {
                PassKind::Answer => (&mut turns, self.turns),
                PassKind::Turn => (&mut turns, 1),
                PassKind::Attempt => (&mut attempts, 1),
                PassKind::Compaction | PassKind::Advisor => (&mut extras, 1),
            };
            if *left == 0 {
                is_whole = false;
                continue;
            }
            *left = left.saturating_sub(1);
            let tokens = pass
                .tokens
                .within(self.context.saturating_mul(runs), self.output.saturating_mul(runs));
            is_whole &= tokens == pass.tokens;
            bounded.push(Pass { tokens, ..pass });
        }
        (bounded, is_whole)
    }
}
