//! Accounts as the books know them: locked, read, and changed by what a group comes to.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;

use crate::db::AnyConnection;
use crate::db::schema::accounts;
use crate::domain::account_status::AccountStatus;
use crate::domain::clock::UnixMillis;
use crate::domain::ids::AccountId;
use crate::domain::money::NanoUsd;

/// For how long an account is waited for that has kept its commands waiting for longer.
const SHORT_WAIT: &str = "SET LOCAL lock_timeout = 200";

/// What is done about accounts that another transaction holds. On `SQLite` nobody holds one: a
/// writer has the whole file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Busy {
    /// They are waited for, as long as a statement may wait for a lock.
    #[default]
    Wait,
    /// The same for a moment only.
    WaitShortly,
    /// They are left out.
    Skip,
}

/// An account's balance as stored.
#[derive(Clone, Debug, Queryable)]
pub struct BalanceRow {
    /// The account.
    pub id: AccountId,
    /// How it stands.
    pub status: AccountStatus,
    /// What can be spent.
    pub available_nanousd: NanoUsd,
    /// What is held.
    pub reserved_nanousd: NanoUsd,
    /// Below what its owner wants to be told.
    pub low_balance_nanousd: Option<NanoUsd>,
    /// What running exchanges may cost beyond what they hold.
    pub at_risk_nanousd: NanoUsd,
    /// When an exchange of it was charged for the first time.
    pub first_charged_at: Option<UnixMillis>,
    /// Since when it is about to be deleted.
    pub closing_at: Option<UnixMillis>,
    /// Another one after each transaction that has held the account to change anything of it.
    /// Always 0 on `SQLite`, where a writer has the whole file.
    pub version: i64,
}

/// By how much a group changes one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BalanceChange {
    /// The account.
    pub account_id: AccountId,
    /// Its version when it was read: see [`BalanceRow::version`].
    pub version: i64,
    /// Added to what is spendable.
    pub available_nanousd: NanoUsd,
    /// Added to what is held.
    pub reserved_nanousd: NanoUsd,
    /// Added to what is at risk.
    pub at_risk_nanousd: NanoUsd,
    /// When an exchange of it was charged for the first time, in this group or before.
    pub first_charged_at: Option<UnixMillis>,
}

impl BalanceRow {
    /// Has it as it is after a change that is written. The sums fit, or they would not be.
    pub(super) const fn change(&mut self, change: &BalanceChange, version: i64) {
        self.available_nanousd = sum(self.available_nanousd, change.available_nanousd);
        self.reserved_nanousd = sum(self.reserved_nanousd, change.reserved_nanousd);
        self.at_risk_nanousd = sum(self.at_risk_nanousd, change.at_risk_nanousd);
        self.first_charged_at = change.first_charged_at;
        self.version = version;
    }
}

impl BalanceChange {
    /// Whether any of the account's sums changes. Whoever pays for the first time has a change of
    /// balance as well.
    pub(super) fn is_any(&self) -> bool {
        [self.available_nanousd, self.reserved_nanousd, self.at_risk_nanousd] != [NanoUsd::ZERO; 3]
    }
}

/// Wraps only where the sum in the column would not fit.
const fn sum(stored: NanoUsd, change: NanoUsd) -> NanoUsd {
    NanoUsd::from_nanos(stored.as_nanos().wrapping_add(change.as_nanos()))
}

/// Locks the accounts' rows in the order of their ids and gives those that there are. Those that
/// are busy and are to be skipped are left out.
pub(crate) fn lock(
    conn: &mut AnyConnection,
    ids: &[AccountId],
    busy: Busy,
) -> QueryResult<Vec<AccountId>> {
    let rows =
        accounts::table.filter(accounts::id.eq_any(ids)).order(accounts::id).select(accounts::id);
    match conn {
        // Whoever adds a row that refers to an account is not in the way.
        AnyConnection::Postgres(conn) => match busy {
            Busy::Skip => rows.for_no_key_update().skip_locked().load(conn),
            Busy::Wait => rows.for_no_key_update().load(conn),
            Busy::WaitShortly => {
                conn.batch_execute(SHORT_WAIT)?;
                rows.for_no_key_update().load(conn)
            }
        },
        // BEGIN IMMEDIATE holds the whole file already.
        AnyConnection::Sqlite(_) => Ok(ids.to_vec()),
    }
}
