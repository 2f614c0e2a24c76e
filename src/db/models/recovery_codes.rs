//! What logs in instead of a second factor, once each: rows and queries. Only hashes are ever here.

use diesel::prelude::*;

use crate::db::schema::recovery_codes;
use crate::db::{AnyConnection, DbError};
use crate::domain::ids::AccountId;

/// Puts these codes in the place of those that the account had.
pub fn replace(
    conn: &mut AnyConnection,
    account_id: AccountId,
    hashes: &[[u8; 32]],
) -> Result<(), DbError> {
    remove_all(conn, account_id)?;
    for hash in hashes {
        diesel::insert_into(recovery_codes::table)
            .values((
                recovery_codes::account_id.eq(account_id),
                recovery_codes::code_hash.eq(hash.as_slice()),
            ))
            .execute(conn)?;
    }
    Ok(())
}

/// Uses a code up; `false` if the account has none such.
pub fn use_up(
    conn: &mut AnyConnection,
    account_id: AccountId,
    hash: &[u8; 32],
) -> Result<bool, DbError> {
    let code = recovery_codes::table.find((account_id.0, hash.as_slice()));
    Ok(diesel::delete(code).execute(conn)? > 0)
}

/// Codes that an account has left.
pub fn left(conn: &mut AnyConnection, account_id: AccountId) -> Result<i64, DbError> {
    let codes = recovery_codes::table.filter(recovery_codes::account_id.eq(account_id));
    Ok(codes.count().get_result(conn)?)
}

/// Removes all codes of an account.
pub fn remove_all(conn: &mut AnyConnection, account_id: AccountId) -> Result<(), DbError> {
    let codes = recovery_codes::table.filter(recovery_codes::account_id.eq(account_id));
    diesel::delete(codes).execute(conn)?;
    Ok(())
}
