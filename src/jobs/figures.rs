//! The sums that an operator watches: what is owed to all accounts, and deposits by state. They
//! read a whole table each, so one node does it, every few minutes.

use std::sync::Arc;
use std::time::Duration;

use super::job::{Batch, Job, JobError, Turn};
use super::plan::Plan;
use crate::context::AppContext;
use crate::db::AnyConnection;
use crate::db::models::{accounts, deposits, nodes};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::DepositState;
use crate::domain::evm::ChainId;
use crate::metrics::Metrics;
use crate::telemetry::Causes;

/// How often they are read.
const PAUSE: Duration = Duration::from_mins(2);

/// See the module.
#[derive(Clone)]
pub struct Figures {
    node_id: Arc<str>,
    /// Chains with their names.
    chains: Vec<(ChainId, String)>,
    metrics: Arc<Metrics>,
}

/// At the start and every two minutes.
pub(super) fn plan(context: &AppContext) -> Plan {
    let chains = context.settings.chains.iter();
    let figures = Figures {
        node_id: Arc::clone(&context.node_id),
        chains: chains.map(|chain| (chain.chain_id, chain.name.clone())).collect(),
        metrics: Arc::clone(&context.metrics),
    };
    Plan::of(move |_| figures.clone()).at_start().every(PAUSE)
}

impl Job for Figures {
    const NAME: &'static str = "figures";
    const TURN: Turn = Turn::Beside;

    fn step(&mut self, conn: &mut AnyConnection, now: UnixMillis) -> Result<Batch, JobError> {
        let shown = &self.metrics.ledger;
        if nodes::first(conn, now)?.is_some_and(|first| *first != *self.node_id) {
            shown.forget_sums();
            return Ok(Batch { is_last: true, ..Batch::default() });
        }
        let (available, reserved) = accounts::sums(conn)?;
        shown.set_liabilities(available, reserved);
        let counts = deposits::counts(conn)?;
        for (chain_id, name) in &self.chains {
            for state in DepositState::ALL {
                let count = counts.iter().find(|(id, one, _)| (id, one) == (chain_id, state));
                shown.set_deposits(name, state.as_str(), count.map_or(0, |(.., count)| *count));
            }
        }
        Ok(Batch { is_last: true, ..Batch::default() })
    }

    fn log_failure(error: &JobError) {
        tracing::debug!(error = %Causes(error), "sums for metrics cannot be read");
    }
}
