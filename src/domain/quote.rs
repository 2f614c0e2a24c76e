//! What a request was admitted under: the prices in force, what it is expected to cost and what it
//! may cost at most, and what an answer to it comes to.

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use super::clock::UnixMillis;
use super::cost::{CostBounds, RatedPass, cost};
use super::money::{MoneyError, NanoUsd};
use super::price_list::{Model, PriceList, Rates};
use super::usage::{Ceilings, Pass, PassKind, Usage};

/// How many tokens a prompt is taken for before the upstream has counted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PromptEstimate {
    /// At most, whatever the text is. No larger than the context of the models named.
    pub most: u64,
    /// Likely, without those below.
    pub likely: u64,
    /// Of a beginning that is known to be cached: likely charged as reads.
    pub cached: u64,
    /// Tokens that no count is trusted to lower: bytes that are neither prose nor JSON, each taken
    /// for one. A count is somebody else's word, and for such text estimates differ most.
    pub unusual: u64,
    /// No count holds, not even the upstream's own: the prompt is fetched from elsewhere when it
    /// runs.
    pub is_open: bool,
}

impl PromptEstimate {
    /// As the upstream counts it.
    #[must_use]
    pub const fn exactly(tokens: u64) -> Self {
        Self { most: tokens, likely: tokens, cached: 0, unusual: 0, is_open: false }
    }

    /// The upstream has counted it. What is known to be cached stays so.
    #[must_use]
    pub fn counted(&self, tokens: u64) -> Self {
        let cached = self.cached.min(tokens);
        let most = tokens.max(self.unusual.saturating_sub(cached));
        Self { most, likely: tokens.saturating_sub(cached), cached, ..Self::exactly(tokens) }
    }

    /// What it likely comes to in all.
    #[must_use]
    pub const fn likely_total(&self) -> u64 {
        self.likely.saturating_add(self.cached)
    }
}

/// See the module.
#[derive(Clone)]
pub struct Quote {
    /// The model that was asked for.
    pub model: Arc<Model>,
    /// Its rates at admission.
    pub rates: Arc<Rates>,
    /// All prices, for an answer that names other models.
    pub prices: Arc<PriceList>,
    /// When it was admitted.
    pub at: UnixMillis,
    /// The rates of every model named, the requested one among them.
    pub candidates: Vec<Arc<Rates>>,
    /// The priced ids of every model named.
    pub model_ids: Vec<String>,
    /// What an answer may use at most.
    pub ceilings: Ceilings,
    /// The prompt before it was counted.
    pub prompt: PromptEstimate,
    /// What server tools may add to the prompt, in tokens.
    pub tool_tokens: u64,
    /// Searches that are reserved.
    pub web_searches: u64,
    /// Times that the prompt may be read again, by searches, fetches and an advisor: each is
    /// charged by itself.
    pub more_passes: u64,
    /// It may write the 5-minute cache.
    pub uses_5m_cache: bool,
    /// It may write the 1-hour cache.
    pub uses_1h_cache: bool,
    /// `inference_geo` as asked for.
    pub geo: Option<String>,
    /// `speed` as asked for.
    pub speed: Option<String>,
    /// Output tokens that are reserved now.
    pub reserved_output: u64,
    /// Output tokens that the request allows.
    pub max_output: u64,
}

/// What usage comes to.
pub struct Priced {
    /// The charge.
    pub amount: NanoUsd,
    /// The passes that it is made of, each with the priced id of its model, as far as model and
    /// request allow them.
    pub passes: Vec<Pass>,
    /// Searches that are charged.
    pub web_searches: u64,
    /// More was reported than model and request allow; what they allow was charged.
    pub is_bounded: bool,
    /// For the operator.
    pub alerts: Vec<&'static str>,
}

const UNKNOWN_MODEL: &str = "an answer names a model without a price; billed as the requested one";
const FOREIGN_MODEL: &str =
    "a pass names a model that was not asked for; billed as the one that served";
const BEYOND: &str = "an answer reports more than model and request allow";

impl Quote {
    /// Takes an estimate of the prompt, which no context is larger than.
    pub fn set_prompt(&mut self, estimate: PromptEstimate) {
        let context = self.ceilings.context;
        let cached = estimate.cached.min(context);
        self.prompt = PromptEstimate {
            most: estimate.most.min(context),
            likely: estimate.likely.min(context.saturating_sub(cached)),
            cached,
            ..estimate
        };
    }

    /// The limits of the request with its likely prompt and so much output.
    fn likely_bounds(&self, output_tokens: u64) -> CostBounds<'_> {
        CostBounds {
            input_tokens: self.prompt.likely.saturating_add(self.tool_tokens),
            cached_tokens: self.prompt.cached,
            ..self.bounds(output_tokens)
        }
    }

    /// The limits of the request at most, with so much output.
    fn bounds(&self, output_tokens: u64) -> CostBounds<'_> {
        CostBounds {
            input_tokens: self.prompt.most.saturating_add(self.tool_tokens),
            cached_tokens: 0,
            output_tokens,
            web_searches: self.web_searches,
            uses_5m_cache: self.uses_5m_cache,
            uses_1h_cache: self.uses_1h_cache,
            geo: self.geo.as_deref(),
            speed: self.speed.as_deref(),
        }
    }

    fn dearest(&self, bounds: &CostBounds<'_>) -> Result<NanoUsd, MoneyError> {
        let mut dearest = NanoUsd::ZERO;
        for rates in &self.candidates {
            dearest = dearest.max(rates.worst_cost(bounds)?);
        }
        Ok(dearest)
    }

    /// What is to be held for so much output: the likely cost of the prompt at the dearest model.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] where the bounds are beyond any sum of money.
    pub fn likely_cost(&self, output_tokens: u64) -> Result<NanoUsd, MoneyError> {
        self.dearest(&self.likely_bounds(output_tokens))
    }

    /// What so much output costs at most.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] where the bounds are beyond any sum of money.
    pub fn worst_cost(&self, output_tokens: u64) -> Result<NanoUsd, MoneyError> {
        let once = self.dearest(&self.bounds(output_tokens))?.max(self.likely_cost(output_tokens)?);
        if self.more_passes == 0 {
            return Ok(once);
        }
        let again = CostBounds {
            input_tokens: self.prompt.likely_total(),
            web_searches: 0,
            ..self.bounds(0)
        };
        once.plus(self.dearest(&again)?.times(self.more_passes)?)
    }

    /// The output that a hold of `funds` covers beside the likely prompt, at most what the request
    /// allows; 0 where the prompt alone is dearer.
    #[must_use]
    pub fn covered_output(&self, funds: NanoUsd) -> u64 {
        self.least_affordable(&self.likely_bounds(0), funds).unwrap_or(0).min(self.max_output)
    }

    /// The largest `max_tokens` with which `funds` afford the request at most, if any.
    #[must_use]
    pub fn affordable_output(&self, funds: NanoUsd) -> Option<u64> {
        self.least_affordable(&self.bounds(0), funds).filter(|tokens| *tokens > 0)
    }

    fn least_affordable(&self, bounds: &CostBounds<'_>, funds: NanoUsd) -> Option<u64> {
        let affordable = self.candidates.iter().map(|rates| rates.affordable_output(bounds, funds));
        affordable.min().flatten()
    }

    /// What is to be held once the upstream has counted the prompt: its price by class, what server
    /// tools may add, and so much output.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] where the counts are beyond any sum of money.
    pub fn counted_cost(&self, usage: &Usage, output_tokens: u64) -> Result<NanoUsd, MoneyError> {
        let mut usage = usage.clone();
        usage.tokens.output = usage.tokens.output.max(output_tokens);
        usage.iterations.clear();
        usage.is_refused = false;
        let tools = CostBounds { input_tokens: self.tool_tokens, ..self.bounds(0) };
        self.price(&usage).amount.plus(self.dearest(&tools)?)
    }

    /// The price of `usage` by the models that ran its passes.
    #[must_use]
    pub fn price(&self, usage: &Usage) -> Priced {
        let mut alerts = Vec::new();
        let served = usage.served_model.as_deref();
        let serving = served.and_then(|name| self.prices.find(name));
        let serving = serving.filter(|model| model.rates_at(self.at).is_some());
        if served.is_some() && serving.is_none() {
            alerts.push(UNKNOWN_MODEL);
        }
        let serving = serving.unwrap_or(&self.model);
        let (passes, mut is_whole) = self.ceilings.bound(usage.passes());
        let rated: Vec<RatedPass> =
            passes.into_iter().map(|pass| self.rated(pass, serving, usage, &mut alerts)).collect();
        let web_searches = usage.web_searches.min(self.ceilings.web_searches);
        is_whole &= web_searches == usage.web_searches;
        if !is_whole {
            alerts.push(BEYOND);
        }
        let of_searches = serving.rates_at(self.at).unwrap_or(&self.rates);
        let counted = Usage { web_searches, ..usage.clone() };
        // Within the ceilings no sum is beyond money; where one were, nothing is charged and the
        // operator told.
        let amount = if let Ok(priced) = cost(of_searches, &counted, &rated) {
            alerts.extend(priced.unpriced);
            priced.amount
        } else {
            alerts.push("an answer costs more than any sum of money");
            NanoUsd::ZERO
        };
        let passes = rated.into_iter().map(|rated| rated.pass).collect();
        Priced { amount, passes, web_searches, is_bounded: !is_whole, alerts }
    }

    /// Whether a model was named by the request, or may be picked by the upstream.
    fn is_admitted(&self, model: &Model) -> bool {
        let rates = model.rates_at(self.at);
        rates.is_some_and(|rates| self.candidates.iter().any(|known| Arc::ptr_eq(known, rates)))
    }

    /// A pass with the rates of its model and that model's priced id.
    fn rated(
        &self,
        mut pass: Pass,
        serving: &Arc<Model>,
        usage: &Usage,
        alerts: &mut Vec<&'static str>,
    ) -> RatedPass {
        let model = match (pass.kind, pass.model.as_deref()) {
            (PassKind::Attempt, None) => &self.model,
            (PassKind::Attempt | PassKind::Compaction | PassKind::Advisor, Some(name))
                if usage.served_model.as_deref() != Some(name) =>
            {
                let named = self.prices.find(name);
                let admitted = named.filter(|model| self.is_admitted(model));
                if admitted.is_none() && !alerts.contains(&FOREIGN_MODEL) {
                    alerts.push(FOREIGN_MODEL);
                }
                admitted.unwrap_or(serving)
            }
            _ => serving,
        };
        let rates = Arc::clone(model.rates_at(self.at).unwrap_or(&self.rates));
        pass.model = Some(model.id.as_str().to_owned());
        RatedPass { pass, rates }
    }
}
