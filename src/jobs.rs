//! What a node does by itself. The [`scheduler::Scheduler`] actor runs each [`job::Job`] when its
//! [`plan::Plan`] says so; the [`node::NodeActor`] actor keeps this node's lease and settles what
//! dead nodes left open.

pub mod alarm;
pub mod backup;
pub mod compaction;
mod erasure;
pub mod figures;
pub mod job;
pub mod node;
mod notices;
mod pacer;
pub mod plan;
mod policy_check;
pub mod purge;
pub mod reconcile;
pub mod reconciler;
pub mod retention;
pub mod run;
pub mod scheduler;
mod spending_check;

use crate::context::AppContext;
use crate::policies::Shown;

/// All jobs of a server. `shown` is what its pages of the policy and the terms say.
#[must_use]
pub fn plans(context: &AppContext, shown: Shown) -> Vec<plan::Plan> {
    let mut plans = vec![
        purge::plan(context),
        compaction::plan(context),
        policy_check::plan(context, shown),
        notices::plan(context),
        erasure::plan(context),
        figures::plan(context),
    ];
    plans.extend(spending_check::plan(context));
    plans.extend(backup::journal(context));
    plans.extend(backup::plan(context));
    plans.extend(reconcile::plan(context));
    plans
}
