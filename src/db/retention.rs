//! What is over: found and deleted in pieces, so that nobody waits long for the database.

use diesel::connection::SimpleConnection;
use diesel::dsl::delete;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text};

use super::schema::{
    attempts, deposit_claims, email_tokens, ledger_entries, sessions, unsubscribe_tokens,
    usage_logs, wallet_challenges,
};
use super::{AnyConnection, DbError};
use crate::domain::clock::UnixMillis;
use crate::domain::deposit::ClaimState;
use crate::domain::entry_kind::EntryKind;
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;

/// Claims in which nothing was found.
const DEAD_CLAIMS: [ClaimState; 2] = [ClaimState::NotFound, ClaimState::Rejected];

/// A usage row that is over.
#[derive(Clone, Debug, Queryable)]
pub struct OldUsage {
    /// The exchange's name.
    pub id: String,
    /// Whose it was.
    pub account_id: AccountId,
    /// When it was made.
    pub created_at: UnixMillis,
}

/// The oldest usage rows from before a moment, and not from before `from`.
pub fn old_usage(
    conn: &mut AnyConnection,
    (from, before): (Option<UnixMillis>, UnixMillis),
    limit: i64,
) -> Result<Vec<OldUsage>, DbError> {
    let old = usage_logs::table
        .filter(usage_logs::created_at.ge(from.unwrap_or(UnixMillis::from_millis(i64::MIN))))
        .filter(usage_logs::created_at.lt(before))
        .order(usage_logs::created_at)
        .limit(limit)
        .select((usage_logs::id, usage_logs::account_id, usage_logs::created_at));
    let rows = match conn {
        AnyConnection::Sqlite(conn) => old.load(conn)?,
        // A plan for these very values begins with a look at the index's end, past the places of
        // all that have gone and were not vacuumed yet. One plan for any values does not.
        AnyConnection::Postgres(conn) => {
            conn.batch_execute("SET plan_cache_mode = force_generic_plan")?;
            let rows = old.load(conn);
            conn.batch_execute("RESET plan_cache_mode")?;
            rows?
        }
    };
    Ok(rows)
}

/// How many usage rows are from before a moment.
pub fn count_old_usage(conn: &mut AnyConnection, before: UnixMillis) -> Result<i64, DbError> {
    let old = usage_logs::table.filter(usage_logs::created_at.lt(before));
    Ok(old.count().get_result(conn)?)
}

/// Deletes usage rows; says how many there were.
pub(crate) fn delete_usage(conn: &mut AnyConnection, ids: &[String]) -> QueryResult<usize> {
    delete(usage_logs::table.filter(usage_logs::id.eq_any(ids))).execute(conn)
}

/// Deletes the ledger's lines of usage rows; each as (account, amount).
pub(crate) fn delete_usage_entries(
    conn: &mut AnyConnection,
    ids: &[String],
) -> QueryResult<Vec<(AccountId, NanoUsd)>> {
    match conn {
        // The planner has no samples of the column, which would be copies of what is erased, and
        // takes a list of names for half of the table. Names of one time lie close together, in the
        // database's own order.
        AnyConnection::Postgres(conn) => {
            let lines: Vec<DeletedEntry> = diesel::sql_query(
                "DELETE FROM ledger_entries
                 WHERE kind = 'usage' AND reference = ANY($1)
                 AND reference BETWEEN (SELECT min(name) FROM unnest($1) AS name)
                                   AND (SELECT max(name) FROM unnest($1) AS name)
                 RETURNING account_id, amount_nanousd",
            )
            .bind::<Array<Text>, _>(ids)
            .get_results(conn)?;
            Ok(lines.into_iter().map(|line| (line.account_id, line.amount_nanousd)).collect())
        }
        AnyConnection::Sqlite(conn) => {
            let lines = ledger_entries::kind
                .eq(EntryKind::Usage)
                .and(ledger_entries::reference.eq_any(ids));
            delete(ledger_entries::table.filter(lines))
                .returning((ledger_entries::account_id, ledger_entries::amount_nanousd))
                .get_results(conn)
        }
    }
}

/// A ledger line that has gone.
#[derive(QueryableByName)]
struct DeletedEntry {
    #[diesel(sql_type = BigInt)]
    account_id: AccountId,
    #[diesel(sql_type = BigInt)]
    amount_nanousd: NanoUsd,
}

/// Adds (account, amount) to the accounts' carry-forwards, which begin with the first
/// addition.
pub(crate) fn carry_forward(
    conn: &mut AnyConnection,
    sums: &[(AccountId, NanoUsd)],
    now: UnixMillis,
) -> QueryResult<()> {
    use ledger_entries as entries;
    match conn {
        // One round trip, however many accounts there are.
        AnyConnection::Postgres(conn) => {
            let (account_ids, amounts): (Vec<AccountId>, Vec<NanoUsd>) =
                sums.iter().copied().unzip();
            diesel::sql_query(
                "INSERT INTO ledger_entries (account_id, kind, reference, amount_nanousd,
                    created_at)
                 SELECT added.id, 'carry_forward', added.id::text, added.amount, $3
                 FROM unnest($1, $2) AS added (id, amount)
                 ON CONFLICT (kind, reference) DO UPDATE
                 SET amount_nanousd = ledger_entries.amount_nanousd + excluded.amount_nanousd,
                     created_at = excluded.created_at",
            )
            .bind::<Array<BigInt>, _>(account_ids)
            .bind::<Array<BigInt>, _>(amounts)
            .bind::<BigInt, _>(now)
            .execute(conn)?;
        }
        AnyConnection::Sqlite(conn) => {
            for (account_id, amount_nanousd) in sums {
                diesel::insert_into(entries::table)
                    .values((
                        entries::account_id.eq(account_id),
                        entries::kind.eq(EntryKind::CarryForward),
                        entries::reference.eq(account_id.0.to_string()),
                        entries::amount_nanousd.eq(amount_nanousd),
                        entries::created_at.eq(now),
                    ))
                    .on_conflict((entries::kind, entries::reference))
                    .do_update()
                    .set((
                        entries::amount_nanousd.eq(entries::amount_nanousd + amount_nanousd),
                        entries::created_at.eq(now),
                    ))
                    .execute(conn)?;
            }
        }
    }
    Ok(())
}

/// Something that is of no use any more once its time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expirable {
    /// Sessions whose time is up.
    Sessions,
    /// Links in mail that do not work any more.
    EmailTokens,
    /// Links that turn notices off and do not work any more.
    UnsubscribeTokens,
    /// Messages for wallets that can not be signed any more.
    Challenges,
    /// Claims of transactions in which nothing was found.
    Claims,
    /// Counts of attempts whose window is over.
    Attempts,
}

impl Expirable {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Sessions,
        Self::EmailTokens,
        Self::UnsubscribeTokens,
        Self::Challenges,
        Self::Claims,
        Self::Attempts,
    ];

    /// As people and metrics read it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::EmailTokens => "email_tokens",
            Self::UnsubscribeTokens => "unsubscribe_tokens",
            Self::Challenges => "wallet_challenges",
            Self::Claims => "deposit_claims",
            Self::Attempts => "attempts",
        }
    }
}

/// How many of a kind are from before a moment.
pub fn count_leftovers(
    conn: &mut AnyConnection,
    kind: Expirable,
    before: UnixMillis,
) -> Result<i64, DbError> {
    let count = match kind {
        Expirable::Sessions => {
            sessions::table.filter(sessions::expires_at.lt(before)).count().get_result(conn)?
        }
        Expirable::EmailTokens => email_tokens::table
            .filter(email_tokens::expires_at.lt(before))
            .count()
            .get_result(conn)?,
        Expirable::UnsubscribeTokens => unsubscribe_tokens::table
            .filter(unsubscribe_tokens::expires_at.lt(before))
            .count()
            .get_result(conn)?,
        Expirable::Challenges => wallet_challenges::table
            .filter(wallet_challenges::expires_at.lt(before))
            .count()
            .get_result(conn)?,
        Expirable::Claims => deposit_claims::table
            .filter(deposit_claims::state.eq_any(DEAD_CLAIMS))
            .filter(deposit_claims::check_at.is_null())
            .filter(deposit_claims::updated_at.lt(before))
            .count()
            .get_result(conn)?,
        Expirable::Attempts => {
            attempts::table.filter(attempts::expires_at.lt(before)).count().get_result(conn)?
        }
    };
    Ok(count)
}

/// Deletes at most `limit` of a kind from before a moment; says how many.
pub fn delete_leftovers(
    conn: &mut AnyConnection,
    kind: Expirable,
    before: UnixMillis,
    limit: i64,
) -> Result<usize, DbError> {
    let gone = match kind {
        Expirable::Sessions => {
            let ids: Vec<i64> = sessions::table
                .filter(sessions::expires_at.lt(before))
                .limit(limit)
                .select(sessions::id)
                .load(conn)?;
            delete(sessions::table.filter(sessions::id.eq_any(ids))).execute(conn)?
        }
        Expirable::EmailTokens => {
            let ids: Vec<Vec<u8>> = email_tokens::table
                .filter(email_tokens::expires_at.lt(before))
                .limit(limit)
                .select(email_tokens::token_hash)
                .load(conn)?;
            delete(email_tokens::table.filter(email_tokens::token_hash.eq_any(ids)))
                .execute(conn)?
        }
        Expirable::UnsubscribeTokens => {
            let ids: Vec<Vec<u8>> = unsubscribe_tokens::table
                .filter(unsubscribe_tokens::expires_at.lt(before))
                .limit(limit)
                .select(unsubscribe_tokens::token_hash)
                .load(conn)?;
            delete(unsubscribe_tokens::table.filter(unsubscribe_tokens::token_hash.eq_any(ids)))
                .execute(conn)?
        }
        Expirable::Challenges => {
            let ids: Vec<String> = wallet_challenges::table
                .filter(wallet_challenges::expires_at.lt(before))
                .limit(limit)
                .select(wallet_challenges::nonce)
                .load(conn)?;
            delete(wallet_challenges::table.filter(wallet_challenges::nonce.eq_any(ids)))
                .execute(conn)?
        }
        Expirable::Claims => {
            let ids: Vec<i64> = deposit_claims::table
                .filter(deposit_claims::state.eq_any(DEAD_CLAIMS))
                .filter(deposit_claims::check_at.is_null())
                .filter(deposit_claims::updated_at.lt(before))
                .limit(limit)
                .select(deposit_claims::id)
                .load(conn)?;
            delete(deposit_claims::table.filter(deposit_claims::id.eq_any(ids))).execute(conn)?
        }
        Expirable::Attempts => {
            let hashes: Vec<Vec<u8>> = attempts::table
                .filter(attempts::expires_at.lt(before))
                .limit(limit)
                .select(attempts::hash)
                .load(conn)?;
            // It may have begun anew meanwhile.
            delete(attempts::table.filter(attempts::hash.eq_any(hashes)))
                .filter(attempts::expires_at.lt(before))
                .execute(conn)?
        }
    };
    Ok(gone)
}
