//! State that lives in time.
//!
//! | actor | owns |
//! |---|---|
//! | [`crate::ledger::actor::Ledger`] | the only path of money writes inside a node; commits in groups |
//! | [`crate::gateway::exchange::StreamActor`] | one upstream answer, its meter, its reservation, its deadlines |
//! | [`crate::chain::provider::RpcActor`] | one JSON-RPC provider: its pace, its batches, its breaker |
//! | [`scheduler::Scheduler`] | what is due now and then, done in pieces |
//! | [`crate::mail::mailer::Mailer`] | mail that waits: sending it, trying again, giving up |
//! | [`node::Node`] | this node's lease, and the recovery of what dead nodes left open |

pub mod node;
pub mod scheduler;
