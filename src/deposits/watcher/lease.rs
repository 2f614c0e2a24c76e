//! The lease of the node that reads a chain (leader election), and the chain's status. The row is
//! read in every round and written only where something has changed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{WatcherState, millis};
use crate::db::models::chains::{self, ChainRow};
use crate::db::models::nodes;
use crate::db::{AnyConnection, DbError, time};
use crate::domain::clock::UnixMillis;
use crate::domain::evm::{BlockHash, ChainId};
use crate::telemetry::Causes;

/// How long a node may read a chain after its last word.
const LEASE: Duration = Duration::from_mins(1);
/// What is said already is repeated in the log after this time.
const REPEAT: Duration = Duration::from_mins(5);

/// What the row says of the chain's state, and what the log said last.
#[derive(Debug, Default)]
pub(super) struct ReportedStatus {
    row: Option<(String, Option<String>)>,
    log: Option<(Option<String>, Instant)>,
}

impl WatcherState {
    /// The chain's row with this node as its reader; `None` while another node reads it.
    pub(super) async fn take_lease(&mut self) -> Result<Option<ChainRow>, DbError> {
        let chain_id = self.chain_id();
        let (node_id, clock) = (self.parts.node_id.to_string(), self.parts.clock.clone());
        let lease = move |conn: &mut AnyConnection| {
            let now = time::now(conn, &clock)?;
            if chains::find(conn, chain_id)?.is_none() {
                chains::create(conn, &unread(chain_id, &node_id, now))?;
            }
            let Some(row) = chains::find(conn, chain_id)? else { return Ok(None) };
            let is_mine = row.node_id == node_id;
            let is_free =
                is_mine || row.lease_expires_at < now || !nodes::is_alive(conn, &row.node_id, now)?;
            if !is_free {
                return Ok(None);
            }
            let left = row.lease_expires_at.millis_ahead_of(now);
            if is_mine && left > millis(LEASE) / 2 {
                return Ok(Some(row));
            }
            let lease_expires_at = now.plus_millis(millis(LEASE));
            let leased = ChainRow { node_id, lease_expires_at, ..row };
            let is_ours = chains::change(conn, &leased, now)?;
            let revision = leased.revision.saturating_add(1);
            Ok(is_ours.then_some(ChainRow { revision, ..leased }))
        };
        let row = self.parts.database.run(lease).await?;
        if row.is_none() {
            // Another node reads it, and shows how it is.
            self.parts.metrics.chains.forget(&self.parts.chain.name);
        }
        self.told.row = row.as_ref().map(|row| (row.status.clone(), row.status_detail.clone()));
        Ok(row)
    }

    /// Writes down how the chain is, and says it in the log, where it is new.
    pub(super) async fn say(&mut self, status: &'static str, detail: Option<String>) {
        self.parts.metrics.chains.set_ok(&self.parts.chain.name, status == "ok");
        self.log(status, detail.as_ref());
        let said = Some((status.to_owned(), detail.clone()));
        if self.told.row == said {
            return;
        }
        let (chain_id, now) = (self.chain_id(), self.now());
        let node_id = Arc::clone(&self.parts.node_id);
        let write = move |conn: &mut AnyConnection| {
            let row = chains::find(conn, chain_id)?.filter(|row| *row.node_id == *node_id);
            let Some(row) = row else { return Ok(false) };
            let next = ChainRow { status: status.to_owned(), status_detail: detail, ..row };
            chains::change(conn, &next, now)
        };
        match self.parts.database.run(write).await {
            Ok(true) => self.told.row = said,
            // Another node reads it now, and says so itself.
            Ok(false) => {}
            Err(error) => {
                let chain = &self.parts.chain.name;
                tracing::warn!(
                    chain,
                    error = %Causes(&error),
                    "the state of a chain could not be written"
                );
            }
        }
    }

    fn log(&mut self, status: &str, detail: Option<&String>) {
        let chain = &self.parts.chain.name;
        // What is said of a chain that is well concerns a coin, and was said when it was found.
        let detail = detail.filter(|_| status != "ok");
        match (detail, &self.told.log) {
            (Some(detail), Some((Some(said), at))) if said == detail && at.elapsed() < REPEAT => {}
            (Some(detail), _) => {
                tracing::error!(chain, status, detail, "deposits wait");
                self.told.log = Some((Some(detail.clone()), Instant::now()));
            }
            (None, Some((None, _))) => {}
            (None, _) => {
                tracing::info!(chain, "deposits go on");
                self.told.log = Some((None, Instant::now()));
            }
        }
    }
}

/// A chain that was never read. Block −1 says so.
fn unread(chain_id: ChainId, node_id: &str, now: UnixMillis) -> ChainRow {
    ChainRow {
        chain_id,
        revision: 0,
        first_number: 0,
        scanned_number: -1,
        scanned_hash: BlockHash([0; 32]),
        final_number: -1,
        head_number: -1,
        status: "degraded".to_owned(),
        status_detail: Some("starting".to_owned()),
        node_id: node_id.to_owned(),
        lease_expires_at: UnixMillis::from_millis(0),
        updated_at: now,
        block_millis: None,
    }
}
