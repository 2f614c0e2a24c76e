//! Which programs may serve a schema. A schema names the oldest generation of programs that it is
//! for; a program knows its own. So an older program refuses a schema that lacks what it needs, and
//! serves one that only has more.

use diesel::prelude::*;

use super::schema::schema_compatibility as compatibility;
use super::{AnyConnection, DbError};

/// This program's generation. The release that ceases to use a table or column raises it; the
/// migration of a later release that removes that writes it into the schema
/// (`migrations/README.md`).
pub const GENERATION: i64 = 1;

/// The generation of a schema whose rows are not all there yet (`db::copying`): no program may
/// serve it.
pub const UNFINISHED: i64 = i64::MAX;

/// This program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Refuses a schema that is for newer programs alone; whether it says anything.
///
/// # Errors
/// [`DbError::Superseded`], [`DbError::Unfinished`], or [`DbError::Query`].
pub fn check(conn: &mut AnyConnection) -> Result<bool, DbError> {
    let row: Option<(i64, Option<String>)> = compatibility::table
        .select((compatibility::oldest_generation, compatibility::migrated_by))
        .first(conn)
        .optional()?;
    match row {
        Some((UNFINISHED, _)) => Err(DbError::Unfinished),
        Some((oldest, by)) if oldest > GENERATION => {
            Err(DbError::Superseded { oldest, by: by.unwrap_or_else(|| "unknown".to_owned()) })
        }
        other => Ok(other.is_some()),
    }
}

/// Notes that this version has migrated the schema.
pub(super) fn sign(conn: &mut AnyConnection) -> Result<(), DbError> {
    diesel::update(compatibility::table)
        .set(compatibility::migrated_by.eq(VERSION))
        .execute(conn)?;
    Ok(())
}
