//! Compares what the usage log says that upstreams should have counted with what they report: for
//! the job and for the command.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{self, Settings, UpstreamSettings};
use crate::db::models::usage_sums;
use crate::db::{AnyConnection, DbError};
use crate::domain::clock::{UnixMillis, UtcDay};
use crate::domain::price_list::PriceList;
use crate::domain::reconciliation::{Comparison, TokensByModel, Verdict, compare};
use crate::domain::usage::TokenCounts;
use crate::upstream::client::tls_config;
use crate::upstream::node::CallContext;
use crate::upstream::usage_report::{self, UsageReportError};

/// See the module.
#[derive(Clone)]
pub struct Reconciler {
    /// Those with a credential for reports.
    upstreams: Vec<UpstreamSettings>,
    settings: config::Reconcile,
    prices: Arc<PriceList>,
    node: CallContext,
}

/// What an upstream says of a day.
pub struct DayReport {
    upstream: UpstreamSettings,
    day: UtcDay,
    report: Result<Vec<(String, TokenCounts)>, UsageReportError>,
}

/// What a day of an upstream came to.
pub struct DayResult {
    /// The operator's name of the upstream.
    pub upstream: String,
    /// The day.
    pub day: UtcDay,
    /// What the comparison came to; late or missing, without differences, where there is no report.
    pub comparison: Comparison,
    /// Why there is no report.
    pub error: Option<UsageReportError>,
}

impl Reconciler {
    /// For the upstreams of these settings that have a credential for reports.
    #[must_use]
    pub fn new(settings: &Settings, node: CallContext) -> Self {
        let has_report = |one: &&UpstreamSettings| one.report_credential.is_some();
        Self {
            upstreams: settings.upstreams.iter().filter(has_report).cloned().collect(),
            settings: settings.reconcile,
            prices: Arc::clone(&settings.prices),
            node,
        }
    }

    /// Whether no upstream has a credential for reports.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.upstreams.is_empty()
    }

    /// Asks every upstream for its reports of these days, one after the other. Not on a thread that
    /// others wait for.
    pub async fn fetch(&self, days: &[UtcDay]) -> Vec<DayReport> {
        let tls = tls_config().map_err(|error| UsageReportError::Unusable(error.to_string()));
        let mut reports = Vec::new();
        for upstream in &self.upstreams {
            let Some(asked) = upstream.for_reports() else { continue };
            for day in days.iter().copied() {
                let report = match &tls {
                    Ok(tls) => {
                        let what = (day, self.settings.timeout);
                        usage_report::fetch(&self.node, asked.clone(), what, tls).await
                    }
                    Err(error) => Err(error.clone()),
                };
                reports.push(DayReport { upstream: upstream.clone(), day, report });
            }
        }
        reports
    }

    /// Compares a report that was asked for at a moment with our rows.
    ///
    /// # Errors
    /// Storage.
    pub fn judge(
        &self,
        conn: &mut AnyConnection,
        found: DayReport,
        asked_at: UnixMillis,
    ) -> Result<DayResult, DbError> {
        let DayReport { upstream, day, report } = found;
        let may_grow = asked_at < day.plus(1).begin().plus(self.settings.late);
        let (comparison, error) = match report {
            Ok(theirs) => {
                let ours = usage_sums::of_upstream(conn, &upstream.name, day)?;
                let (ours, theirs) =
                    (self.by_model(&upstream, ours), self.by_model(&upstream, theirs));
                (compare(&ours, &theirs, self.settings.tolerance(), may_grow), None)
            }
            Err(error) => {
                let verdict = if may_grow { Verdict::Late } else { Verdict::Missing };
                (Comparison { verdict, differences: Vec::new() }, Some(error))
            }
        };
        Ok(DayResult { upstream: upstream.name, day, comparison, error })
    }

    /// The sums by priced id: a model goes by several names.
    fn by_model(
        &self,
        upstream: &UpstreamSettings,
        sums: Vec<(String, TokenCounts)>,
    ) -> TokensByModel {
        let mut by_model = BTreeMap::new();
        for (name, tokens) in sums {
            let sum: &mut TokenCounts = by_model.entry(self.id_of(upstream, name)).or_default();
            *sum = sum.plus(&tokens);
        }
        by_model
    }

    fn id_of(&self, upstream: &UpstreamSettings, name: String) -> String {
        let is_called = |id: &str| upstream.name_of(id).is_some_and(|called| called == name);
        let renamed = || self.prices.models().find(|model| is_called(model.id.as_str()));
        let known = self.prices.find(&name).or_else(renamed);
        known.map_or(name, |model| model.id.as_str().to_owned())
    }
}
