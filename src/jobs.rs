//! What a node does by itself: the [`scheduler::Scheduler`] actor does what is due now and then, in
//! pieces ([`purge`], [`compaction`], [`notices`]), and the [`node::Node`] actor keeps this node's
//! lease and settles what dead nodes left open.

pub mod compaction;
pub mod node;
pub mod notices;
pub mod purge;
pub mod retention;
pub mod scheduler;
