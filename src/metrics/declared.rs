//! The series that a node has from its start, with names from the settings: a rule that asks
//! whether a counter has risen needs to see it before it rises.

use super::Metrics;
use crate::config::Settings;
use crate::domain::api_error::RefusalReason;
use crate::domain::mail::MailKind;
use crate::domain::policy::PolicyKind;

impl Metrics {
    /// Makes them all.
    pub fn declare(&self, settings: &Settings) {
        for reason in RefusalReason::ALL {
            self.refusal_reasons.with_label_values(&[reason.as_str()]).inc_by(0);
        }
        for chain in &settings.chains {
            let native = chain.native.iter().map(|coin| coin.symbol.as_str());
            let tokens = chain.tokens.iter().map(|token| token.symbol.as_str());
            self.chains.declare(&chain.name, native.chain(tokens));
        }
        for kind in MailKind::all() {
            self.mail.declare(kind.as_str());
        }
        for policy in PolicyKind::ALL {
            self.policies.declare(policy.as_str());
        }
        self.connections.declare();
        self.exchanges.open_max.set(i64::try_from(settings.server.max_streams).unwrap_or(i64::MAX));
        self.declare_reloaded(settings);
    }

    /// Makes those whose names a reload may bring. What is there stays as it is.
    pub fn declare_reloaded(&self, settings: &Settings) {
        for upstream in &settings.upstreams {
            self.upstreams.declare(&upstream.name, upstream.max_streams);
            self.exchanges.declare_upstream(&upstream.name);
            if upstream.report_credential.is_some() {
                self.reconciliation.declare(&upstream.name);
            }
        }
        for model in settings.prices.models() {
            self.exchanges.declare_model(model.id.as_str());
        }
        for chain in &settings.chains {
            for provider in &chain.providers {
                self.rpc.declare(&chain.name, &provider.name);
            }
        }
    }
}
