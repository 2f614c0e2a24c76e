//! The domain's types as columns, so that no row and no query holds a bare number, word or string
//! of bytes. What does not read as what is written here fails while it is loaded.

use std::io::Write as _;

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::Pg;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{BigInt, Binary, Text};
use diesel::sqlite::Sqlite;

use super::AnyConnection;
use crate::domain::account_status::AccountStatus;
use crate::domain::clock::{CalendarMonth, UnixMillis};
use crate::domain::deposit::{ClaimReason, ClaimState, DepositReason, DepositState, RefundState};
use crate::domain::deposit_case::{CaseKind, CaseState};
use crate::domain::entry_kind::EntryKind;
use crate::domain::evm::{BlockHash, ChainId, EvmAddress, RawAmount, TxHash};
use crate::domain::ids::{AccountId, ApiKeyId};
use crate::domain::money::NanoUsd;
use crate::domain::policy::PolicyKind;
use crate::domain::refusal_cause::RefusalCause;
use crate::domain::usage_record::{Endpoint, Outcome};

/// The backend over both databases.
type AnyBackend = <AnyConnection as diesel::Connection>::Backend;

/// A stored value does not read as what this version writes.
#[derive(Debug, thiserror::Error)]
#[error("the column does not hold a {0}")]
struct UnreadableColumn(&'static str);

/// What could not be read, if that is why loading failed.
pub(super) fn unreadable(error: &diesel::result::Error) -> Option<&'static str> {
    let diesel::result::Error::DeserializationError(cause) = error else { return None };
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&**cause);
    while let Some(error) = cause {
        if let Some(UnreadableColumn(what)) = error.downcast_ref() {
            return Some(what);
        }
        cause = error.source();
    }
    None
}

/// Makes a type a column of that SQL type. `$write` gives what the databases store, `$read` the
/// value of it, or `None`.
macro_rules! column {
    ($name:ident, $sql:ident, $stored:ty, $what:literal, $write:expr, $bytes:expr, $read:expr) => {
        const _: () = {
            #[derive(AsExpression, FromSqlRow)]
            #[diesel(foreign_derive, sql_type = $sql)]
            #[expect(dead_code, reason = "it only carries the derives")]
            struct Proxy($name);
        };

        impl ToSql<$sql, Sqlite> for $name {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
                out.set_value($write(self));
                Ok(IsNull::No)
            }
        }

        impl ToSql<$sql, Pg> for $name {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                out.write_all($bytes(self).as_ref())?;
                Ok(IsNull::No)
            }
        }

        impl ToSql<$sql, AnyBackend> for $name {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, AnyBackend>) -> serialize::Result {
                out.set_value(($sql, self));
                Ok(IsNull::No)
            }
        }

        impl<DB: Backend> FromSql<$sql, DB> for $name
        where
            $stored: FromSql<$sql, DB>,
        {
            fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
                let stored = <$stored as FromSql<$sql, DB>>::from_sql(value)?;
                Ok($read(stored).ok_or(UnreadableColumn($what))?)
            }
        }
    };
}

/// A number of 64 bits under another name.
macro_rules! number {
    ($name:ident, $what:literal, $write:expr, $read:expr) => {
        column! {
            $name, BigInt, i64, $what,
            |value: &$name| $write(*value),
            |value: &$name| $write(*value).to_be_bytes(),
            |stored: i64| Some($read(stored))
        }
    };
}

/// A fixed number of bytes.
macro_rules! bytes {
    ($name:ident, $what:literal) => {
        column! {
            $name, Binary, Vec<u8>, $what,
            $name::as_bytes,
            $name::as_bytes,
            |stored: Vec<u8>| $name::from_slice(&stored)
        }
    };
}

/// One of some words.
macro_rules! word {
    ($name:ident, $what:literal, $write:expr, $read:expr) => {
        column! {
            $name, Text, String, $what,
            |value: &$name| $write(*value),
            |value: &$name| $write(*value),
            |stored: String| $read(&stored)
        }
    };
}

number!(AccountId, "account's number", |id: AccountId| id.0, AccountId);
number!(ApiKeyId, "key's number", |id: ApiKeyId| id.0, ApiKeyId);
number!(CalendarMonth, "month", CalendarMonth::number, CalendarMonth::from_number);
number!(ChainId, "chain's number", |id: ChainId| id.0, ChainId);
number!(NanoUsd, "amount", NanoUsd::as_nanos, NanoUsd::from_nanos);
number!(UnixMillis, "moment", UnixMillis::as_millis, UnixMillis::from_millis);

bytes!(EvmAddress, "address");
bytes!(TxHash, "transaction's hash");
bytes!(BlockHash, "block's hash");

word!(AccountStatus, "account's status", AccountStatus::as_str, AccountStatus::parse);
word!(CaseKind, "kind of cases", CaseKind::as_str, CaseKind::parse);
word!(CaseState, "case's state", CaseState::as_str, CaseState::parse);
word!(ClaimReason, "claim's reason", ClaimReason::as_str, ClaimReason::parse);
word!(ClaimState, "claim's state", ClaimState::as_str, ClaimState::parse);
word!(DepositReason, "deposit's reason", DepositReason::as_str, DepositReason::parse);
word!(DepositState, "deposit's state", DepositState::as_str, DepositState::parse);
word!(RefundState, "refund's state", RefundState::as_str, RefundState::parse);
word!(EntryKind, "kind of ledger entries", EntryKind::as_str, EntryKind::parse);
word!(Endpoint, "endpoint", Endpoint::as_str, Endpoint::parse);
word!(RefusalCause, "cause of refusals", RefusalCause::as_str, RefusalCause::parse);
word!(PolicyKind, "policy's kind", PolicyKind::as_str, |word: &str| word.parse().ok());
word!(Outcome, "ending", Outcome::code, Outcome::parse);

column! {
    RawAmount, Text, String, "raw amount",
    RawAmount::to_string,
    RawAmount::to_string,
    |stored: String| stored.parse().ok()
}

#[cfg(test)]
mod tests {
    use diesel::prelude::*;
    use diesel::sql_types::Nullable;

    use super::*;
    use crate::db::DbError;

    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        state: DepositState,
        #[diesel(sql_type = Nullable<Text>)]
        reason: Option<DepositReason>,
        #[diesel(sql_type = BigInt)]
        amount: NanoUsd,
        #[diesel(sql_type = Binary)]
        tx_hash: TxHash,
        #[diesel(sql_type = Text)]
        raw: RawAmount,
    }

    fn memory() -> AnyConnection {
        AnyConnection::Sqlite(SqliteConnection::establish(":memory:").unwrap())
    }

    #[test]
    fn columns_are_read_back_as_they_were_written() {
        let sql = "SELECT $1 AS state, $2 AS reason, $3 AS amount, $4 AS tx_hash, $5 AS raw";
        let row: Row = diesel::sql_query(sql)
            .bind::<Text, _>(DepositState::Held)
            .bind::<Nullable<Text>, _>(Some(DepositReason::Depegged))
            .bind::<BigInt, _>(NanoUsd::from_nanos(-7))
            .bind::<Binary, _>(TxHash([9; 32]))
            .bind::<Text, _>(RawAmount([0xff; 32]))
            .get_result(&mut memory())
            .unwrap();
        assert_eq!((row.state, row.reason), (DepositState::Held, Some(DepositReason::Depegged)));
        assert_eq!((row.amount, row.tx_hash), (NanoUsd::from_nanos(-7), TxHash([9; 32])));
        assert_eq!(row.raw, RawAmount([0xff; 32]));
    }

    #[test]
    fn what_does_not_read_fails_while_it_is_loaded() {
        let read = |state: &str, hash: &str| {
            let sql = format!(
                "SELECT '{state}' AS state, NULL AS reason, 1 AS amount, {hash} AS tx_hash, \
                 '1' AS raw"
            );
            let loaded = diesel::sql_query(sql).get_result::<Row>(&mut memory());
            loaded.map_err(DbError::from).map(|row| row.reason)
        };
        assert!(matches!(read("held", "zeroblob(32)"), Ok(None)));
        let unknown = read("pending", "zeroblob(32)");
        assert!(matches!(unknown, Err(DbError::Unreadable { what: "deposit's state" })));
        let short = read("held", "zeroblob(31)");
        assert!(matches!(short, Err(DbError::Unreadable { what: "transaction's hash" })));
    }
}
