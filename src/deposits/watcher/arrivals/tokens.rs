//! Tokens that are not accepted and arrive at accounts' own addresses: looked for once an hour by
//! logs of any contract, in the words of one provider, since nothing is credited by them. Names and
//! symbols are not asked for: senders of such tokens write what they like into them.

use super::at_claim_priority;
use crate::chain::logs::{TokenLog, any_token_logs};
use crate::db::models::arrivals::{self as rows, ArrivalRow};
use crate::db::{AnyConnection, DbError, transaction};
use crate::deposits::recipients::Recipients;
use crate::deposits::watcher::observe::View;
use crate::deposits::watcher::{RoundError, WatcherState, column, height};
use crate::domain::clock::UnixMillis;
use crate::domain::evm::{EvmAddress, RawAmount};

/// Milliseconds between two looks.
const HOUR: i64 = 3_600_000;
/// Addresses whose tokens are looked for: those that were issued or paid to last.
const ADDRESSES: i64 = 500;
/// Questions at one look. Where they do not reach over the whole hour, for a provider gives few
/// blocks at once, they are about its last part.
const QUESTIONS: u64 = 24;

impl WatcherState {
    /// Looks, if an hour is over.
    pub(super) async fn look_for_tokens(
        &self,
        view: &View,
        ours: &Recipients,
        final_number: u64,
    ) -> Result<(), RoundError> {
        let (chain_id, now) = (self.chain_id(), self.now());
        let is_over = move |at: UnixMillis| now.millis_ahead_of(at) >= HOUR;
        let read = move |conn: &mut AnyConnection| {
            let look = rows::token_look(conn, chain_id)?;
            let is_due = look.is_some_and(|(_, at)| is_over(at));
            let addresses = if is_due { rows::likely(conn, ADDRESSES)? } else { Vec::new() };
            Ok::<_, DbError>((look, addresses))
        };
        let (look, addresses) = self.parts.database.run(read).await?;
        let last = match look {
            // What came before the first look is not looked for.
            None => return self.note_tokens(Vec::new(), column(final_number)).await,
            Some((_, at)) if !is_over(at) => return Ok(()),
            Some((last, _)) => height(last),
        };
        if addresses.is_empty() {
            return self.note_tokens(Vec::new(), column(final_number)).await;
        }
        let mut span = self.parts.chain.log_range_max.max(1);
        let reach = final_number.saturating_add(1).saturating_sub(span.saturating_mul(QUESTIONS));
        let mut from = last.saturating_add(1).max(reach);
        let mut found: Vec<TokenLog> = Vec::new();
        for _ in 0..QUESTIONS {
            if from > final_number {
                break;
            }
            let to = from.saturating_add(span).saturating_sub(1).min(final_number);
            match ask(view, (from, to), &addresses).await {
                Some(logs) => {
                    found.extend(logs);
                    from = to.saturating_add(1);
                }
                // Whatever the reason, fewer blocks are easier.
                None => span = (span / 2).max(1),
            }
        }
        let accepted = |log: &TokenLog| ours.is_token(log.token) || ours.is_own(log.from);
        found.retain(|log| !accepted(log));
        self.note_tokens(found, column(from.saturating_sub(1))).await
    }

    async fn note_tokens(&self, found: Vec<TokenLog>, until: i64) -> Result<(), RoundError> {
        let (chain_id, now) = (self.chain_id(), self.now());
        let most = i64::from(self.parts.deposits.arrivals_max_per_address);
        let note = move |conn: &mut AnyConnection| {
            for log in &found {
                let number = column(log.block_number);
                let row = ArrivalRow {
                    id: 0,
                    chain_id,
                    address: log.payee,
                    token: Some(log.token),
                    after_number: number.saturating_sub(1),
                    block_number: number,
                    raw_amount: RawAmount(log.amount),
                    tx_hash: Some(log.tx_hash),
                    tries: 1,
                    check_at: None,
                    created_at: now,
                    updated_at: now,
                };
                rows::note_token(conn, &row, most)?;
            }
            rows::set_token_look(conn, chain_id, until, now)?;
            Ok(())
        };
        Ok(self.write(move |conn| transaction::write(conn, note)).await?)
    }
}

/// The logs, in the words of the first provider that gives them.
async fn ask(view: &View, range: (u64, u64), addresses: &[EvmAddress]) -> Option<Vec<TokenLog>> {
    for provider in at_claim_priority(&view.providers) {
        if let Ok(logs) = any_token_logs(&provider, range, addresses).await {
            return Some(logs);
        }
    }
    None
}
